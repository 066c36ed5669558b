//! The management API's handlers behind a guard, on both engines: what they do, and what they refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_accounts::user::NewUser;
use portcullis_accounts::{api_token, bootstrap, password, session, user};
use portcullis_authz::policy::AccountKind;
use portcullis_authz::{Row, op};
use portcullis_crypto::{KeyId, SealingKey, SealingKeys, SystemEntropy};
use portcullis_guard::{
    Addresses, ApiVersion, Body, Deployment, EmulatedClock, Guard, Handlers, Input, Reply, ReplyBody, RequestHead, Stop,
};
use portcullis_model::{Surface, Timestamp};
use portcullis_store::{AuditEntry, PolicyLogEntry, Store, StoreConfig};
use serde_json::{Value as Json, json};

const NOW: Timestamp = Timestamp(1_795_608_000_000);

struct Site {
    guard: Guard,
    handlers: Handlers,
    clock: Arc<EmulatedClock>,
    people: Vec<(&'static str, String, String)>,
    dan_session: String,
}

/// Ada administers the site, Ben the project DEMO, Cleo is a member, Dan has no access to Jira.
async fn site(store: StoreConfig) -> Site {
    let entropy = SystemEntropy::new();
    let store = Store::open(&store).await.unwrap();
    let mut tx = store.policy().await.unwrap();
    let base = bootstrap::site(&mut tx, "Acme", "6a1f0000-0000-4000-8000-000000000001", NOW, &entropy).await.unwrap();
    let mut people = Vec::new();
    let mut ids = Vec::new();
    let admins = vec![base.site_admins, base.jira_administrators, base.jira_software_users];
    let users = vec![base.jira_software_users];
    for (name, groups) in [("Ada", admins), ("Ben", users.clone()), ("Cleo", users), ("Dan", Vec::new())] {
        let new = NewUser {
            email: Some(format!("{name}@acme.example")),
            display_name: name.to_owned(),
            kind: AccountKind::Person,
            time_zone: None,
            locale: None,
            password_hash: None,
        };
        let (id, account_id) = user::create(&mut tx, new, NOW, &entropy).await.unwrap();
        assert!(account_id.contains(':'));
        for group in groups {
            assert!(user::add_to_group(&mut tx, id, group).await.unwrap());
            assert!(!user::add_to_group(&mut tx, id, group).await.unwrap());
        }
        let (_, token) = api_token::issue(&mut tx, id, "first", 365, None, NOW, &entropy).await.unwrap();
        people.push((name, account_id, token.expose_secret().to_owned()));
        ids.push(id);
    }
    let [_, ben, _, dan] = ids[..] else { panic!("four people") };
    let (_, session) = session::open(&mut tx, dan, "Browser\n", "127.0.0.1", NOW, &entropy).await.unwrap();
    for sql in [
        "INSERT INTO jira_role (id, name, name_folded, description) VALUES (10002, 'Administrators', 'administrators', '')",
        "INSERT INTO jira_permission_scheme (id, name, name_folded, description) VALUES (5, 'Default', 'default', '')",
        "INSERT INTO jira_permission_grant (id, scheme_id, permission, holder_type, role_id)
              VALUES (12, 5, 'ADMINISTER_PROJECTS', 'projectRole', 10002)",
        "INSERT INTO jira_permission_grant (id, scheme_id, permission, holder_type, role_id)
              VALUES (13, 5, 'BROWSE_PROJECTS', 'projectRole', 10002)",
        "INSERT INTO jira_permission_scheme (id, name, name_folded, description) VALUES (6, 'Open', 'open', '')",
        "INSERT INTO jira_permission_grant (id, scheme_id, permission, holder_type, role_id)
              VALUES (14, 6, 'ADMINISTER_PROJECTS', 'projectRole', 10002)",
        "INSERT INTO jira_permission_grant (id, scheme_id, permission, holder_type)
              VALUES (15, 6, 'BROWSE_PROJECTS', 'applicationRole')",
        "INSERT INTO jira_project (id, uuid, key, name, name_folded, description, url, type_key, team_managed, assignee_type,
                permission_scheme_id, next_issue_number, created_at_ms)
              VALUES (10000, 'a', 'DEMO', 'Demo', 'demo', '', '', 'software', 0, 'UNASSIGNED', 6, 1, 0)",
        "INSERT INTO jira_project (id, uuid, key, name, name_folded, description, url, type_key, team_managed, assignee_type,
                permission_scheme_id, next_issue_number, created_at_ms)
              VALUES (10001, 'b', 'VAULT', 'Vault', 'vault', '', '', 'software', 0, 'UNASSIGNED', 5, 1, 0)",
    ] {
        tx.execute(sql, &[]).await.unwrap();
    }
    for sql in [
        "INSERT INTO jira_security_scheme (id, name, description) VALUES (3, 'Levels', '')",
        "INSERT INTO jira_security_level (id, scheme_id, name, description) VALUES (4, 3, 'Inner circle', '')",
        "INSERT INTO jira_security_member (level_id, holder_type, role_id) VALUES (4, 'projectRole', 10002)",
        "UPDATE jira_project SET security_scheme_id = 3 WHERE id = 10000",
        "INSERT INTO jira_issue_type (id, name, description, hierarchy_level) VALUES (1, 'Task', '', 0)",
        "INSERT INTO jira_status (id, name, description, category) VALUES (1, 'To Do', '', 'new')",
    ] {
        tx.execute(sql, &[]).await.unwrap();
    }
    for (id, number, level) in [(10000_i64, 1_i64, None), (10001, 2, Some(4_i64))] {
        let sql = "INSERT INTO jira_issue (id, project_id, number, issue_type_id, status_id, security_level_id, summary,
                          summary_folded, description_folded, environment_folded, created_at_ms, updated_at_ms, status_changed_at_ms)
                   VALUES ($1, 10000, $2, 1, 1, $3, 's', 's', '', '', 0, 0, 0)";
        tx.execute(sql, &[id.into(), number.into(), level.into()]).await.unwrap();
    }
    for project in [10000_i64, 10001] {
        let sql = "INSERT INTO jira_role_actor (project_id, role_id, user_id) VALUES ($1, 10002, $2)";
        tx.execute(sql, &[project.into(), ben.0.into()]).await.unwrap();
    }
    let entry =
        AuditEntry { id: "init".to_owned(), at_ms: NOW.0 - 1, outcome: "allowed".to_owned(), ..AuditEntry::default() };
    tx.commit(&entry, &[PolicyLogEntry { kind: "everything", id: String::new() }]).await.unwrap();

    let clock = Arc::new(EmulatedClock::standing_at(NOW));
    let keys = SealingKeys::new(SealingKey::new(KeyId(1), &[7; 32]).unwrap());
    let deployment = Deployment {
        store,
        clock: clock.clone(),
        entropy: Arc::new(entropy),
        keys,
        addresses: Addresses::one("http://portcullis.test"),
    };
    let mut handlers = Handlers::default();
    portcullis_accounts::handlers(&mut handlers);
    let guard = Guard::open(deployment).await.unwrap();
    Site { guard, handlers, clock, people, dan_session: session.expose_secret().to_owned() }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    json: Json,
}

impl Answer {
    fn at(&self, pointer: &str) -> &Json {
        self.json.pointer(pointer).unwrap_or(&Json::Null)
    }
    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }
}

impl Site {
    fn account_id(&self, name: &str) -> &str {
        &self.people.iter().find(|person| person.0 == name).unwrap().1
    }

    fn credential(&self, name: &str) -> (String, String) {
        let person = self.people.iter().find(|person| person.0 == name).unwrap();
        (format!("{name}@acme.example"), person.2.clone())
    }

    async fn call(&self, who: &str, id: &str, params: &[(&str, &str)], query: &[(&str, &str)], body: Json) -> Answer {
        let (email, token) = self.credential(who);
        self.call_with(&email, &token, id, params, query, body).await
    }

    async fn call_with(
        &self,
        email: &str,
        token: &str,
        id: &str,
        params: &[(&str, &str)],
        query: &[(&str, &str)],
        body: Json,
    ) -> Answer {
        let row: &'static Row = op::ROWS.iter().find(|row| row.id == id).unwrap();
        let header = format!("Basic {}", base64(&format!("{email}:{token}")));
        let head = RequestHead {
            dpop: None,
            method: row.method.name(),
            query: "",
            path: row.path,
            surface: Surface::Management,
            authorization: Some(&header),
            session_cookie: None,
            origin: None,
            sec_fetch_site: None,
            own_origin: "http://site.test",
            address: None,
            user_agent: "test",
            ap_client_key: None,
            webhook_trace: None,
            request_id: "r",
        };
        let pairs = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let body = if body.is_null() { Body::Empty } else { Body::Json(body) };
        let input = Input::new(pairs(params), pairs(query), body, ApiVersion::V3, "http://site.test".to_owned());
        let caller = match self.guard.authenticate(row, &head).await {
            Ok(caller) => caller,
            Err(stop) => return answer(Err(stop)),
        };
        answer(match self.handlers.of(row) {
            Some(handler) => handler(self.guard.clone(), caller, input).await,
            None => self.guard.run_unbuilt(row, &caller, &input).await,
        })
    }
}

fn answer(result: Result<Reply, Stop>) -> Answer {
    match result {
        Ok(reply) => {
            let json = match reply.body {
                ReplyBody::Json(json) => json,
                _ => Json::Null,
            };
            Answer { status: reply.status, json }
        }
        Err(Stop::Refused(refusal)) => {
            let status = match refusal.kind {
                portcullis_guard::RefusalKind::Unauthenticated => 401,
                portcullis_guard::RefusalKind::Hidden => 404,
                _ => 403,
            };
            Answer { status, json: json!({"decision": refusal.decision}) }
        }
        Err(Stop::Problem(problem)) => {
            use portcullis_model::ProblemKind as Kind;
            assert!(problem.cause.is_none(), "{problem:?}");
            let status = problem.status.unwrap_or(match problem.kind {
                Kind::Invalid => 400,
                Kind::NotFound => 404,
                Kind::Forbidden => 403,
                Kind::Conflict => 409,
                Kind::NotImplemented => 501,
                _ => 500,
            });
            Answer { status, json: json!({"messages": problem.messages, "fields": problem.fields}) }
        }
    }
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

static NEXT: AtomicU32 = AtomicU32::new(0);

macro_rules! on_both_engines {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = std::env::temp_dir().join(super::fresh_name());
                std::fs::create_dir_all(&folder).unwrap();
                super::$name(super::site(super::StoreConfig::Sqlite { path: folder.join("site.db") }).await).await;
                let _ = std::fs::remove_dir_all(&folder);
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let url = std::env::var("PORTCULLIS_TEST_POSTGRES")
                    .expect("PORTCULLIS_TEST_POSTGRES names the PostgreSQL server for tests; `./x test` starts one");
                let store = super::StoreConfig::Postgres { url, schema: Some(super::fresh_name()) };
                super::$name(super::site(store).await).await;
            })+
        }
    };
}

fn fresh_name() -> String {
    format!("portcullis_accounts_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

on_both_engines! {
    people_are_made_changed_and_listed
    deactivation_ends_every_credential_at_once
    the_last_administrator_stays
    groups_give_and_take
    tokens_are_shown_once_and_revoked
    service_accounts_have_scoped_tokens_only
    sessions_are_their_owners
    settings_are_checked_and_followed
    the_audit_log_is_read_in_pages
    operations_are_listed
    a_decision_tells_each_reader_what_is_theirs
    permissions_are_explained
    operations_are_explained
    issues_are_explained_with_their_level
    the_smallest_change_is_enough
    odd_input_is_refused_in_words
}

async fn people_are_made_changed_and_listed(site: Site) {
    let all = site.call("Ada", "manageListUsers", &[], &[], Json::Null).await;
    assert_eq!((all.status, all.at("/total").as_i64()), (200, Some(4)));
    assert_eq!(all.text("/values/0/displayName"), "Ada");
    assert_eq!(all.at("/values/0/siteAdmin"), &json!(true));
    assert_eq!(all.at("/values/3/jiraAccess"), &json!(false));
    assert_eq!(site.call("Ben", "manageListUsers", &[], &[], Json::Null).await.status, 403);

    let found = site.call("Ada", "manageListUsers", &[], &[("query", "CLEO@"), ("kind", "person")], Json::Null).await;
    assert_eq!((found.at("/total").as_i64(), found.text("/values/0/displayName")), (Some(1), "Cleo"));

    let body = json!({"emailAddress": "eve@acme.example", "displayName": "Eve", "password": "correct horse",
        "applications": ["jira-software"]});
    let eve = site.call("Ada", "manageCreateUser", &[], &[], body.clone()).await;
    assert_eq!((eve.status, eve.at("/jiraAccess"), eve.at("/hasPassword")), (201, &json!(true), &json!(true)));
    assert!(!eve.json.to_string().contains("argon2"));
    assert_eq!(site.call("Ada", "manageCreateUser", &[], &[], body).await.status, 409);

    let id = [("accountId", eve.text("/accountId"))];
    let changed = json!({"displayName": "Eva", "timeZone": "Europe/Paris"});
    let changed = site.call("Ada", "manageUpdateUser", &id, &[], changed).await;
    assert_eq!((changed.status, changed.text("/displayName")), (200, "Eva"));
    assert_eq!(changed.text("/emailAddress"), "eve@acme.example");
    assert_eq!(site.call("Ada", "manageGetUser", &id, &[], Json::Null).await.text("/timeZone"), "Europe/Paris");
    let taken = json!({"emailAddress": "ADA@acme.example"});
    assert_eq!(site.call("Ada", "manageUpdateUser", &id, &[], taken).await.status, 409);
    assert_eq!(site.call("Ada", "manageGetUser", &[("accountId", "nobody")], &[], Json::Null).await.status, 404);
    assert!(password::parse("short").is_err());
    let short = site.call("Ada", "manageSetUserPassword", &id, &[], json!({"password": "short"})).await;
    assert_eq!(short.status, 400);
}

async fn deactivation_ends_every_credential_at_once(site: Site) {
    let cleo = [("accountId", site.account_id("Cleo"))];
    assert_eq!(site.call("Cleo", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 200);
    let off = site.call("Ada", "manageDeactivateUser", &cleo, &[], Json::Null).await;
    assert_eq!((off.status, off.at("/active"), off.at("/jiraAccess")), (200, &json!(false), &json!(false)));
    assert_eq!(site.call("Cleo", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 401);

    // What was ended stays ended.
    let on = site.call("Ada", "manageActivateUser", &cleo, &[], Json::Null).await;
    assert_eq!((on.status, on.at("/active"), on.at("/jiraAccess")), (200, &json!(true), &json!(true)));
    assert_eq!(site.call("Cleo", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 401);
    let tokens = site.call("Ada", "manageListApiTokens", &[], &cleo, Json::Null).await;
    assert_eq!(tokens.at("/total").as_i64(), Some(0));

    let dan = [("accountId", site.account_id("Dan"))];
    assert!(!site.dan_session.is_empty());
    let ended = site.call("Ada", "manageRevokeUserCredentials", &dan, &[], Json::Null).await;
    assert_eq!(ended.json, json!({"apiTokensRevoked": 1, "sessionsEnded": 1}));
}

async fn the_last_administrator_stays(site: Site) {
    let ada = [("accountId", site.account_id("Ada"))];
    assert_eq!(site.call("Ada", "manageDeactivateUser", &ada, &[], Json::Null).await.status, 409);
    let groups = site.call("Ada", "manageListGroups", &[], &[("query", "site-adm")], Json::Null).await;
    assert_eq!((groups.text("/values/0/name"), groups.at("/values/0/siteAdmin")), ("site-admins", &json!(true)));
    let group = groups.text("/values/0/groupId");
    let member = [("groupId", group), ada[0]];
    assert_eq!(site.call("Ada", "manageRemoveGroupMember", &member, &[], Json::Null).await.status, 409);
    assert_eq!(site.call("Ada", "manageDeleteGroup", &[("groupId", group)], &[], Json::Null).await.status, 409);
    let ben = [("groupId", group), ("accountId", site.account_id("Ben"))];
    assert_eq!(site.call("Ada", "manageAddGroupMember", &ben, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Ben", "manageRemoveGroupMember", &member, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Ada", "manageListGroups", &[], &[], Json::Null).await.status, 403);
}

async fn groups_give_and_take(site: Site) {
    let made = site.call("Ada", "manageCreateGroup", &[], &[], json!({"name": " Writers "})).await;
    assert_eq!((made.status, made.text("/name")), (201, "Writers"));
    assert_eq!(site.call("Ada", "manageCreateGroup", &[], &[], json!({"name": "writers"})).await.status, 409);
    let group = [("groupId", made.text("/groupId"))];
    let dan = [group[0], ("accountId", site.account_id("Dan"))];
    for _ in 0..2 {
        assert_eq!(site.call("Ada", "manageAddGroupMember", &dan, &[], Json::Null).await.status, 204);
    }
    let members = site.call("Ada", "manageListGroupMembers", &group, &[], Json::Null).await;
    assert_eq!((members.at("/total").as_i64(), members.text("/values/0/displayName")), (Some(1), "Dan"));

    let access = [("applicationKey", "jira-software"), group[0]];
    assert_eq!(
        site.call("Ada", "manageAddApplicationGroup", &access, &[], json!({"default": false})).await.status,
        204
    );
    let user = [("accountId", site.account_id("Dan"))];
    assert_eq!(site.call("Ada", "manageGetUser", &user, &[], Json::Null).await.at("/jiraAccess"), &json!(true));
    let applications = site.call("Ada", "manageListApplications", &[], &[], Json::Null).await;
    assert_eq!(applications.at("/values/0/users").as_i64(), Some(4));

    let permission = [("permission", "BULK_CHANGE"), group[0]];
    assert_eq!(site.call("Ada", "manageGrantGlobalPermission", &permission, &[], Json::Null).await.status, 204);
    let globals = site.call("Ada", "manageListGlobalPermissions", &[], &[], Json::Null).await;
    assert!(globals.json.to_string().contains("Writers"));
    assert_eq!(site.call("Ada", "manageRevokeGlobalPermission", &permission, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Ada", "manageRevokeGlobalPermission", &permission, &[], Json::Null).await.status, 404);
    let wrong = [("permission", "SYSTEM_ADMIN"), group[0]];
    assert_eq!(site.call("Ada", "manageGrantGlobalPermission", &wrong, &[], Json::Null).await.status, 400);

    assert_eq!(site.call("Ada", "manageDeleteGroup", &group, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Ada", "manageGetUser", &user, &[], Json::Null).await.at("/jiraAccess"), &json!(false));
    assert_eq!(site.call("Ada", "manageListGroupMembers", &group, &[], Json::Null).await.status, 404);
}

async fn tokens_are_shown_once_and_revoked(site: Site) {
    let made = site.call("Cleo", "manageCreateMyApiToken", &[], &[], json!({"label": "CI", "days": 7})).await;
    assert_eq!((made.status, made.text("/label")), (201, "CI"));
    let token = made.text("/token");
    assert!(token.starts_with("ptat_"));
    let list = site.call_with("cleo@acme.example", token, "manageListMyApiTokens", &[], &[], Json::Null).await;
    assert_eq!((list.status, list.at("/total").as_i64()), (200, Some(2)));
    assert!(!list.json.to_string().contains(token));
    assert_eq!(list.text("/values/0/expires"), "2026-12-02T12:00:00.000Z");

    let id = [("tokenId", made.text("/id"))];
    assert_eq!(site.call("Ben", "manageRevokeMyApiToken", &id, &[], Json::Null).await.status, 404);
    assert_eq!(site.call("Cleo", "manageRevokeMyApiToken", &id, &[], Json::Null).await.status, 204);
    let gone = site.call_with("cleo@acme.example", token, "manageListMyApiTokens", &[], &[], Json::Null).await;
    assert_eq!(gone.status, 401);

    for body in [
        json!({"label": "", "days": 7}),
        json!({"label": "a", "days": 0}),
        json!({"label": "a", "days": 366}),
        json!({"label": "a".repeat(256), "days": 1}),
        json!({"label": "a", "scopes": []}),
        json!({"label": "a", "scopes": ["nothing"]}),
        json!({"label": 1}),
    ] {
        assert_eq!(site.call("Cleo", "manageCreateMyApiToken", &[], &[], body.clone()).await.status, 400, "{body}");
    }
    let scoped = json!({"label": "s", "scopes": ["read:jira-work"]});
    let scoped = site.call("Cleo", "manageCreateMyApiToken", &[], &[], scoped).await;
    assert!(scoped.text("/token").starts_with("ptst_"));
    let revoked = site.call("Cleo", "manageRevokeAllMyApiTokens", &[], &[], Json::Null).await;
    assert_eq!(revoked.json, json!({"apiTokensRevoked": 2}));
    assert_eq!(site.call("Cleo", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 401);
    let all = site.call("Ada", "manageListApiTokens", &[], &[], Json::Null).await;
    assert_eq!(all.at("/total").as_i64(), Some(3));
    let dans = site.call("Ada", "manageListApiTokens", &[], &[("accountId", site.account_id("Dan"))], Json::Null).await;
    let id = [("tokenId", dans.text("/values/0/id"))];
    assert_eq!(site.call("Ada", "manageRevokeApiToken", &id, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Dan", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 401);
}

async fn service_accounts_have_scoped_tokens_only(site: Site) {
    let bot = json!({"displayName": "Bot", "kind": "service"});
    let bot = site.call("Ada", "manageCreateUser", &[], &[], bot).await;
    assert_eq!((bot.status, bot.text("/kind")), (201, "service"));
    let id = [("accountId", bot.text("/accountId"))];
    let without = site.call("Ada", "manageCreateServiceAccountApiToken", &id, &[], json!({"label": "t"})).await;
    assert_eq!(without.status, 400);
    let body = json!({"label": "t", "scopes": ["read:jira-work"], "days": 30});
    let token = site.call("Ada", "manageCreateServiceAccountApiToken", &id, &[], body.clone()).await;
    assert_eq!((token.status, token.at("/scopes")), (201, &json!(["read:jira-work"])));
    let person = [("accountId", site.account_id("Ben"))];
    assert_eq!(site.call("Ada", "manageCreateServiceAccountApiToken", &person, &[], body).await.status, 404);
    assert_eq!(
        site.call("Ada", "manageSetUserPassword", &id, &[], json!({"password": "correct horse"})).await.status,
        409
    );
}

async fn sessions_are_their_owners(site: Site) {
    let list = site.call("Dan", "manageListMySessions", &[], &[], Json::Null).await;
    assert_eq!((list.at("/total").as_i64(), list.text("/values/0/userAgent")), (Some(1), "Browser"));
    assert_eq!(list.text("/values/0/expires"), "2026-11-26T00:00:00.000Z");
    let id = [("sessionId", list.text("/values/0/id"))];
    assert_eq!(site.call("Ben", "manageRevokeMySession", &id, &[], Json::Null).await.status, 404);
    assert_eq!(site.call("Dan", "manageRevokeMySession", &id, &[], Json::Null).await.status, 204);
    assert_eq!(site.call("Dan", "manageListMySessions", &[], &[], Json::Null).await.at("/total").as_i64(), Some(0));
}

async fn settings_are_checked_and_followed(site: Site) {
    let all = site.call("Ada", "manageGetSettings", &[], &[], Json::Null).await;
    assert_eq!((all.at("/total").as_i64(), all.text("/values/0/value")), (Some(8), "Acme"));
    let change = async |key: &str, value: Json| {
        site.call("Ada", "manageChangeSetting", &[("settingKey", key)], &[], json!({"value": value})).await.status
    };
    assert_eq!(change("site.name", json!("Acme Ltd")).await, 200);
    assert_eq!(site.guard.site().0, "Acme Ltd");
    assert_eq!(change("site.cloud_id", json!("x")).await, 400);
    assert_eq!(change("site.nothing", json!("x")).await, 404);
    assert_eq!(change("api_tokens.days_max", json!(0)).await, 400);
    assert_eq!(change("api_tokens.days_max", json!(30)).await, 200);
    let long = site.call("Cleo", "manageCreateMyApiToken", &[], &[], json!({"label": "a", "days": 31})).await;
    assert_eq!(long.status, 400);
    let unsaid = site.call("Cleo", "manageCreateMyApiToken", &[], &[], json!({"label": "a"})).await;
    assert_eq!(unsaid.text("/expires"), "2026-12-25T12:00:00.000Z");
    // Older than the site allows now: refused from this moment on, not from when it was made.
    site.clock.advance_ms(31 * 86_400_000);
    assert_eq!(site.call("Cleo", "manageListMyApiTokens", &[], &[], Json::Null).await.status, 401);
}

async fn the_audit_log_is_read_in_pages(site: Site) {
    for name in ["a", "b", "c"] {
        site.clock.advance_ms(1_000);
        site.call("Ada", "manageCreateGroup", &[], &[], json!({"name": name})).await;
    }
    assert_eq!(site.call("Cleo", "manageListUsers", &[], &[], Json::Null).await.status, 403);
    site.guard.flush_refusals().await.unwrap();
    let page = site
        .call("Ada", "manageListAudit", &[], &[("operation", "manageCreateGroup"), ("maxResults", "2")], Json::Null)
        .await;
    assert_eq!((page.at("/total").as_i64(), page.at("/values").as_array().map(Vec::len)), (Some(3), Some(2)));
    assert_eq!((page.text("/values/0/after/name"), page.text("/values/1/after/name")), ("c", "b"));
    assert_eq!(page.text("/values/0/subjectName"), "Ada");
    let until = page.text("/values/0/at");
    let earlier = [("operation", "manageCreateGroup"), ("to", until), ("subject", site.account_id("Ada"))];
    let earlier = site.call("Ada", "manageListAudit", &[], &earlier, Json::Null).await;
    assert_eq!((earlier.at("/total").as_i64(), earlier.text("/values/0/after/name")), (Some(2), "b"));
    let denied = site.call("Ada", "manageListAudit", &[], &[("outcome", "denied")], Json::Null).await;
    assert_eq!((denied.at("/total").as_i64(), denied.text("/values/0/reason")), (Some(1), "permission"));
    for query in [[("outcome", "maybe")], [("from", "yesterday")], [("startAt", "10001")]] {
        assert_eq!(site.call("Ada", "manageListAudit", &[], &query, Json::Null).await.status, 400, "{query:?}");
    }
    assert_eq!(site.call("Cleo", "manageListAudit", &[], &[], Json::Null).await.status, 403);
}

async fn operations_are_listed(site: Site) {
    let found = site
        .call("Dan", "manageListOperations", &[], &[("query", "updateproject"), ("maxResults", "1000")], Json::Null)
        .await;
    assert_eq!(found.status, 200);
    let row = found.at("/values").as_array().unwrap().iter().find(|row| row["id"] == "updateProject").unwrap();
    assert_eq!(
        (row["method"].as_str(), row["scopes"]["classic"][0].as_str()),
        (Some("PUT"), Some("manage:jira-project"))
    );
}

async fn a_decision_tells_each_reader_what_is_theirs(site: Site) {
    let seen = site.call("Cleo", "updateProject", &[("projectIdOrKey", "DEMO")], &[], json!({"name": "x"})).await;
    let hidden = site.call("Cleo", "updateProject", &[("projectIdOrKey", "VAULT")], &[], json!({"name": "x"})).await;
    let absent = site.call("Cleo", "updateProject", &[("projectIdOrKey", "NOPE")], &[], json!({"name": "x"})).await;
    let read = async |who: &str, of: &Answer| {
        site.call(who, "manageGetDecision", &[("decisionId", of.text("/decision"))], &[], Json::Null).await
    };
    let all = read("Ada", &seen).await;
    assert_eq!((all.status, all.text("/subject/displayName"), all.text("/reason")), (200, "Cleo", "permission"));
    assert_eq!(
        all.text("/smallestChange/text"),
        "Add Cleo to the role Administrators of DEMO, which grant 14 of the scheme Open gives ADMINISTER_PROJECTS."
    );
    assert_eq!(all.text("/apiToken/label"), "first");
    let vault = read("Ada", &hidden).await;
    assert_eq!((vault.text("/target/project/key"), vault.at("/target/seenByCaller")), ("VAULT", &json!(false)));
    assert!(vault.text("/smallestChange/text").contains("role Administrators of VAULT"), "{vault:?}");
    let nothing = read("Ada", &absent).await;
    assert_eq!(nothing.at("/smallestChange/possible"), &json!(false));

    let own = read("Cleo", &seen).await;
    assert!(
        own.at("/missingPermissions").to_string().contains(r#"{"permission":"ADMINISTER_PROJECTS","project":"DEMO"}"#)
    );
    assert!(!own.json.to_string().contains("Administrators"));
    let mut hidden = read("Cleo", &hidden).await.json;
    let mut absent = read("Cleo", &absent).await.json;
    for answer in [&mut hidden, &mut absent] {
        let members = answer.as_object_mut().unwrap();
        members.remove("id");
        members.remove("target");
    }
    assert_eq!(hidden, absent);
    assert_eq!(hidden["text"], "What the request named does not exist, or you may not see it.");

    assert_eq!(read("Ben", &seen).await.status, 404);
    let junk = site.call("Ada", "manageGetDecision", &[("decisionId", "junk")], &[], Json::Null).await;
    assert_eq!(junk.status, 404);
    let someone_elses = read("Ben", &seen).await;
    assert_eq!(someone_elses.json, junk.json);

    let refused = site.call("Dan", "manageListUsers", &[], &[], Json::Null).await;
    let refused = read("Ada", &refused).await;
    assert!(refused.text("/smallestChange/text").starts_with("Add Dan to the group site-admins"), "{refused:?}");
}

async fn permissions_are_explained(site: Site) {
    let (ben, cleo, dan) = (site.account_id("Ben"), site.account_id("Cleo"), site.account_id("Dan"));
    let ask = async |who: &str, body: Json| site.call(who, "manageExplain", &[], &[], body).await;
    let held =
        ask("Ada", json!({"accountId": ben, "permission": "ADMINISTER_PROJECTS", "projectIdOrKey": "VAULT"})).await;
    assert_eq!((held.status, held.at("/holds")), (200, &json!(true)));
    assert_eq!((held.text("/through/type"), held.text("/through/grant/id")), ("projectRole", "12"));
    assert_eq!(held.text("/through/text"), "Ben has the role Administrators in VAULT.");
    let lacking =
        ask("Ada", json!({"accountId": cleo, "permission": "BROWSE_PROJECTS", "projectIdOrKey": 10001})).await;
    assert_eq!(lacking.at("/holds"), &json!(false));
    assert!(lacking.text("/smallestChange/text").contains("role Administrators of VAULT"));
    let access = ask("Ada", json!({"accountId": dan, "permission": "BROWSE_PROJECTS", "projectIdOrKey": "DEMO"})).await;
    assert_eq!(
        access.text("/smallestChange/text"),
        "Add Dan to the group jira-software-users, which gives access to Jira."
    );
    let global = ask("Ada", json!({"accountId": dan, "permission": "BULK_CHANGE"})).await;
    assert!(global.text("/smallestChange/text").contains("jira-software-users"), "{global:?}");

    let own = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "projectIdOrKey": "DEMO"})).await;
    assert_eq!((own.status, own.at("/holds")), (200, &json!(true)));
    let own = ask("Cleo", json!({"permission": "ADMINISTER_PROJECTS", "projectIdOrKey": "DEMO"})).await;
    assert_eq!((own.at("/holds"), own.at("/smallestChange")), (&json!(false), &Json::Null));
    let hidden = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "projectIdOrKey": "VAULT"})).await;
    let absent = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "projectIdOrKey": "NOPE"})).await;
    assert_eq!((hidden.status, hidden.json.clone()), (404, absent.json.clone()));
    let known = ask("Cleo", json!({"accountId": ben, "permission": "BROWSE_PROJECTS", "projectIdOrKey": "DEMO"})).await;
    let unknown =
        ask("Cleo", json!({"accountId": "x", "permission": "BROWSE_PROJECTS", "projectIdOrKey": "DEMO"})).await;
    assert_eq!((known.status, known.json.clone()), (403, unknown.json.clone()));
}

async fn operations_are_explained(site: Site) {
    let cleo = site.account_id("Cleo");
    let ask = async |who: &str, body: Json| site.call(who, "manageExplain", &[], &[], body).await;
    let rename = json!({"accountId": cleo, "method": "PUT", "path": "/rest/api/3/project/DEMO"});
    let refused = ask("Ada", rename.clone()).await;
    assert_eq!((refused.status, refused.at("/allowed")), (200, &json!(false)));
    assert!(refused.text("/smallestChange/text").contains("role Administrators of DEMO"), "{refused:?}");
    let ben = ask("Ben", json!({"operation": "updateProject", "projectIdOrKey": "VAULT"})).await;
    assert_eq!(ben.at("/allowed"), &json!(true));
    let mut scoped = rename;
    scoped["scopes"] = json!(["read:jira-work"]);
    let scoped = ask("Ada", scoped).await;
    assert_eq!((scoped.text("/reason"), scoped.at("/missingScopes")), ("scope", &json!(["manage:jira-project"])));
    assert!(scoped.text("/smallestChange/text").starts_with("The credential needs the scope(s) manage:jira-project."));
    assert_eq!(ask("Ada", json!({"method": "GET", "path": "/nothing"})).await.status, 400);
    assert_eq!(ask("Ada", json!({})).await.status, 400);
}

async fn issues_are_explained_with_their_level(site: Site) {
    let cleo = site.account_id("Cleo");
    let ask = async |who: &str, body: Json| site.call(who, "manageExplain", &[], &[], body).await;
    let open = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "issueIdOrKey": "demo-1"})).await;
    assert_eq!((open.status, open.at("/holds"), open.text("/issue/key")), (200, &json!(true), "DEMO-1"));
    let closed = json!({"accountId": cleo, "permission": "BROWSE_PROJECTS", "issueIdOrKey": "DEMO-2"});
    let seen_by_admin = ask("Ada", closed).await;
    assert_eq!((seen_by_admin.at("/holds"), seen_by_admin.at("/issueSecurity/member")), (&json!(false), &json!(false)));
    assert_eq!(
        seen_by_admin.text("/smallestChange/text"),
        "Add Cleo to the role Administrators of DEMO, which the security level Inner circle admits."
    );
    let ben = json!({"accountId": site.account_id("Ben"), "permission": "BROWSE_PROJECTS", "issueIdOrKey": "10001"});
    let ben = ask("Ada", ben).await;
    assert_eq!((ben.at("/holds"), ben.text("/issueSecurity/through/type")), (&json!(true), "projectRole"));
    let hidden = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "issueIdOrKey": "DEMO-2"})).await;
    let absent = ask("Cleo", json!({"permission": "BROWSE_PROJECTS", "issueIdOrKey": "DEMO-3"})).await;
    assert_eq!((hidden.status, hidden.json.clone()), (404, absent.json.clone()));

    let refused = site.call("Cleo", "getIssue", &[("issueIdOrKey", "DEMO-2")], &[], Json::Null).await;
    assert_eq!(refused.status, 404);
    let id = [("decisionId", refused.text("/decision"))];
    let why = site.call("Ada", "manageGetDecision", &id, &[], Json::Null).await;
    assert_eq!(why.text("/target/issue/key"), "DEMO-2");
    assert!(why.text("/smallestChange/text").contains("security level Inner circle"), "{why:?}");
    let own = site.call("Cleo", "manageGetDecision", &id, &[], Json::Null).await;
    assert!(!own.json.to_string().contains("level"), "{own:?}");
}

async fn the_smallest_change_is_enough(site: Site) {
    let dan = site.account_id("Dan");
    let bulk = json!({"accountId": dan, "permission": "BULK_CHANGE"});
    let browse = json!({"accountId": dan, "permission": "BROWSE_PROJECTS", "issueIdOrKey": "DEMO-1"});
    for question in [bulk.clone(), browse.clone()] {
        let before = site.call("Ada", "manageExplain", &[], &[], question).await;
        assert_eq!(before.at("/holds"), &json!(false));
        assert_eq!(before.at("/smallestChange/steps").as_array().map(Vec::len), Some(1), "{before:?}");
        let group = before.text("/smallestChange/steps/0/group/groupId").to_owned();
        let member = [("groupId", group.as_str()), ("accountId", dan)];
        assert_eq!(site.call("Ada", "manageAddGroupMember", &member, &[], Json::Null).await.status, 204);
        for question in [&bulk, &browse] {
            let after = site.call("Ada", "manageExplain", &[], &[], question.clone()).await;
            assert_eq!(after.at("/holds"), &json!(true), "{after:?}");
        }
        assert_eq!(site.call("Ada", "manageRemoveGroupMember", &member, &[], Json::Null).await.status, 204);
    }
}

async fn odd_input_is_refused_in_words(site: Site) {
    let nul = "a\0b";
    for (operation, params, query, body) in [
        ("manageListUsers", vec![], vec![("query", nul)], Json::Null),
        ("manageGetUser", vec![("accountId", nul)], vec![], Json::Null),
        ("manageListGroups", vec![], vec![("query", nul)], Json::Null),
        ("manageDeleteGroup", vec![("groupId", nul)], vec![], Json::Null),
        ("manageCreateGroup", vec![], vec![], json!({"name": nul})),
        ("manageCreateUser", vec![], vec![], json!({"displayName": nul, "emailAddress": nul})),
        ("manageCreateUser", vec![], vec![], json!({"displayName": "a", "emailAddress": "a@b", "applications": [nul]})),
        ("manageCreateUser", vec![], vec![], json!({"displayName": "a", "emailAddress": "a@b", "groups": [nul]})),
        ("manageAddApplicationGroup", vec![("applicationKey", nul), ("groupId", nul)], vec![], Json::Null),
        ("manageGrantGlobalPermission", vec![("permission", nul), ("groupId", nul)], vec![], Json::Null),
        ("manageChangeSetting", vec![("settingKey", nul)], vec![], json!({"value": 1})),
        ("manageChangeSetting", vec![("settingKey", "site.name")], vec![], json!({"value": nul})),
        ("manageRevokeApiToken", vec![("tokenId", nul)], vec![], Json::Null),
        ("manageRevokeMySession", vec![("sessionId", "99999999999999999999")], vec![], Json::Null),
        ("manageListAudit", vec![], vec![("subject", nul)], Json::Null),
        ("manageListAudit", vec![], vec![("startAt", "x")], Json::Null),
        ("manageExplain", vec![], vec![], json!({"permission": "BROWSE_PROJECTS", "issueIdOrKey": "A\0-1"})),
        ("manageExplain", vec![], vec![], json!({"permission": "BROWSE_PROJECTS", "projectIdOrKey": "\0"})),
        ("manageExplain", vec![], vec![], json!([])),
        ("manageGetDecision", vec![("decisionId", nul)], vec![], Json::Null),
    ] {
        let answer = site.call("Ada", operation, &params, &query, body.clone()).await;
        let listed = ["manageListUsers", "manageListGroups", "manageListAudit"].contains(&operation);
        let expected =
            if listed { answer.status == 200 || answer.status == 400 } else { (400..=404).contains(&answer.status) };
        assert!(expected, "{operation} {params:?} {body}: {answer:?}");
    }
}
