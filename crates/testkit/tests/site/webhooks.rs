//! Webhooks: what happens is told, after its commit, to those who may see it; signed, identified, again when it fails, and never to an
//! app that lost its right meanwhile.

use std::time::Duration;

use portcullis_crypto::jws::{UnverifiedJws, VerifyingKey};
use portcullis_crypto::{hex, sha256};
use portcullis_guard::qsh;
use portcullis_testkit::connect::{ConnectApp, Received, claims_of};
use portcullis_testkit::oauth::encode;
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::{Engine, World};
use serde_json::{Value as Json, json};

/// An app that listens to these, installed.
async fn listening(world: &World, key: &str, scopes: &[&str], webhooks: Json) -> ConnectApp {
    let app = ConnectApp::start(key, scopes).await;
    app.change(&json!({"modules": {"webhooks": webhooks}}));
    let made = world.install(&app).await;
    assert_eq!(made.status, 201, "{}", made.text);
    world.sends_webhooks();
    app
}

fn task(project: &str, summary: &str) -> Json {
    json!({"fields": {"project": {"key": project}, "issuetype": {"name": "Task"}, "summary": summary}})
}

async fn made(world: &World, who: &str, project: &str, summary: &str) -> String {
    let made = world.by(who).post("/rest/api/3/issue", task(project, summary)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.at("/key")
}

/// The summaries of the issues that came to a path.
fn summaries(received: &[Received]) -> Vec<String> {
    let text =
        |it: &Received| it.body.pointer("/issue/fields/summary").and_then(Json::as_str).unwrap_or_default().to_owned();
    received.iter().map(text).collect()
}

async fn deliveries(world: &World, key: &str) -> Vec<Json> {
    let log = world.by("Ada").get(&format!("/api/portcullis/v1/connect-apps/{key}/deliveries")).await;
    assert_eq!(log.status, 200, "{}", log.text);
    log.json()["values"].as_array().cloned().unwrap_or_default()
}

/// The newest delivery, once it has this status.
async fn settled(world: &World, key: &str, status: &str, attempts: i64) -> Json {
    for _ in 0..200 {
        let newest = deliveries(world, key).await.first().cloned().unwrap_or_default();
        if newest["status"] == status && newest["attempts"] == attempts {
            return newest;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not {status} after {attempts}: {:?}", deliveries(world, key).await);
}

on_both_engines! {
    async fn what_happens_to_an_issue_is_told_signed_and_whole(world: World) {
        let app = listening(&world, "com.example.hooks", &["READ"], json!([
            {"event": "jira:issue_created", "url": "/made"},
            {"event": "jira:issue_updated", "url": "/changed"},
            {"event": "jira:issue_deleted", "url": "/gone/{issue.key}?p={project.key}", "excludeBody": true},
            {"event": "comment_created", "url": "/said"},
        ])).await;
        let key = made(&world, "Cleo", "DEMO", "Told of").await;
        let told = app.last("/made").await;
        assert_eq!((told.body["webhookEvent"].as_str(), told.body["issue_event_type_name"].as_str()), (Some("jira:issue_created"), Some("issue_created")));
        assert_eq!(told.body["timestamp"], world.now().0);
        assert_eq!(told.body["issue"]["key"], key.as_str());
        assert_eq!(told.body["issue"]["fields"]["project"]["key"], "DEMO");
        assert_eq!(told.body["user"]["accountId"], world.person("Cleo").account_id.as_str());
        assert!(told.body["user"].get("emailAddress").is_none(), "the app has no scope for e-mail addresses");
        assert!(told.body["issue"]["self"].as_str().unwrap().contains("/rest/api/2/issue/"));
        // Signed with the shared secret, for this request.
        let verifying = VerifyingKey::hs256(app.secret().await.as_bytes()).unwrap();
        assert!(UnverifiedJws::parse(&told.token).unwrap().verify(&verifying).is_ok());
        let claims = claims_of(&told.token);
        assert_eq!(claims["qsh"], qsh::hash("POST&/made&"));
        assert_eq!(claims["iss"], app.last("/installed").await.body["clientKey"]);
        assert_eq!((claims.get("aud"), claims.get("sub")), (None, None));
        assert_eq!(told.header("x-atlassian-webhook-flow"), "Primary");
        assert_eq!(told.header("x-atlassian-webhook-retry"), "");
        let path = format!("/rest/api/3/issue/{key}");
        let changed = world.by("Cleo").put(&path, json!({"fields": {"summary": "Told of again"}})).await;
        assert_eq!(changed.status, 204, "{}", changed.text);
        let told_again = app.last("/changed").await;
        assert_ne!(told_again.header("x-atlassian-webhook-identifier"), told.header("x-atlassian-webhook-identifier"));
        let item = &told_again.body["changelog"]["items"][0];
        assert_eq!((item["field"].as_str(), item["fromString"].as_str(), item["toString"].as_str()), (Some("summary"), Some("Told of"), Some("Told of again")));
        assert_eq!(told_again.body["changelog"]["items"].as_array().unwrap().len(), 1);
        let said = world.by("Ben").post(&format!("/rest/api/2/issue/{key}/comment"), json!({"body": "A *word*"})).await;
        assert_eq!(said.status, 201, "{}", said.text);
        let comment = app.last("/said").await.body;
        assert_eq!(comment["comment"]["body"], "A *word*");
        assert_eq!(comment["issue"]["fields"]["summary"], "Told of again");
        assert!(comment["issue"]["fields"].get("description").is_none());
        // Without a body, with names in the address, which the hash covers.
        assert_eq!(world.by("Ben").delete(&path).await.status, 204);
        let target = format!("/gone/{key}?p=DEMO");
        let gone = app.last(&target).await;
        assert_eq!((&gone.body, gone.header("content-length").as_str()), (&Json::Null, "0"));
        assert_eq!(claims_of(&gone.token)["qsh"], qsh::hash(&format!("POST&/gone/{key}&p=DEMO")));
    }

    async fn an_app_is_told_of_what_its_account_sees_and_its_query_matches(world: World) {
        let app = listening(&world, "com.example.sees", &["READ"], json!([
            {"event": "jira:issue_created", "url": "/all"},
            {"event": "jira:issue_created", "url": "/some", "filter": "project = DEMO AND priority = High"},
            {"event": "jira:issue_created", "url": "/broken", "filter": "no such thing ="},
            {"event": "comment_created", "url": "/said"},
        ])).await;
        made(&world, "Ada", "VAULT", "A secret").await;
        let mut high = task("DEMO", "Urgent");
        high["fields"]["priority"] = json!({"name": "High"});
        let urgent = world.by("Cleo").post("/rest/api/3/issue", high).await;
        assert_eq!(urgent.status, 201, "{}", urgent.text);
        let last = made(&world, "Cleo", "DEMO", "Ordinary").await;
        let role = json!({"body": "For some", "visibility": {"type": "role", "value": "Administrators"}});
        let said = world.by("Ben").post(&format!("/rest/api/2/issue/{last}/comment"), role).await;
        assert_eq!(said.status, 201, "{}", said.text);
        let open = world.by("Ben").post(&format!("/rest/api/2/issue/{last}/comment"), json!({"body": "For all"})).await;
        assert_eq!(open.status, 201, "{}", open.text);
        let mut all = summaries(&app.all("/all", 2).await);
        all.sort();
        assert_eq!(all, ["Ordinary", "Urgent"]);
        assert_eq!(summaries(&app.all("/some", 1).await), ["Urgent"]);
        assert_eq!(app.last("/said").await.body["comment"]["body"], "For all");
        assert_eq!(app.all("/said", 1).await.len(), 1, "a comment that is restricted to others is not told");
        assert!(app.received().iter().all(|it| it.path != "/broken" && !it.body.to_string().contains("A secret")));
    }

    async fn a_failed_delivery_comes_again_with_the_same_identifier(world: World) {
        let key = "com.example.again";
        let app = listening(&world, key, &["READ"], json!([{"event": "jira:issue_created", "url": "/made"}])).await;
        app.answers("/made", 503);
        made(&world, "Cleo", "DEMO", "Stubborn").await;
        let waiting = settled(&world, key, "waiting", 1).await;
        assert_eq!(waiting["note"], "HTTP 503");
        let first = app.last("/made").await;
        world.clock.advance_ms(1_000 * (5 * 60 - 1));
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(app.all("/made", 1).await.len(), 1, "not before five minutes");
        app.answers("/made", 200);
        world.clock.advance_ms(1_000 * (10 * 60 + 1));
        let second = app.all("/made", 2).await.remove(1);
        assert_eq!(second.header("x-atlassian-webhook-retry"), "1");
        assert_eq!(second.header("x-atlassian-webhook-identifier"), first.header("x-atlassian-webhook-identifier"));
        assert_eq!(second.body, first.body);
        settled(&world, key, "delivered", 2).await;
        // Again because a person wants it, and that is written down.
        let id = deliveries(&world, key).await[0]["id"].to_string();
        let path = format!("/api/portcullis/v1/connect-apps/{key}/deliveries/{id}/redeliver");
        assert_eq!(world.by("Cleo").post(&path, json!({})).await.status, 403);
        assert_eq!(world.by("Ada").post(&path, json!({})).await.status, 202);
        let third = app.all("/made", 3).await.remove(2);
        assert_eq!(third.header("x-atlassian-webhook-identifier"), first.header("x-atlassian-webhook-identifier"));
        assert_eq!(world.by("Ada").post(&path.replace(&id, "99999"), json!({})).await.status, 404);
    }

    async fn an_oauth_app_registers_webhooks_and_checks_them_with_its_secret(world: World) {
        let sink = ConnectApp::start("sink", &[]).await;
        let callback = format!("{}/callback", sink.base_url);
        let app = world.app("Ben", json!({
            "redirectUris": [callback], "scopes": ["read:jira-work", "manage:jira-webhook"],
        })).await;
        let scopes = "read:jira-work manage:jira-webhook offline_access";
        let tokens = world.tokens_at("Cleo", &app, scopes, &callback).await;
        let cleo = world.bearer(&tokens.access);
        let hooks = world.at_gateway("/rest/api/3/webhook");
        let wanted = |jql: &str| json!({"events": ["jira:issue_created", "jira:issue_updated"], "jqlFilter": jql, "fieldIdsFilter": ["summary"]});
        let registered = cleo.post(&hooks, json!({"url": format!("{}/hook", sink.base_url), "webhooks": [
            wanted("project = DEMO"),
            wanted("summary ~ x"),
            {"events": ["user_created"], "jqlFilter": "project = DEMO"},
        ]})).await;
        assert_eq!(registered.status, 200, "{}", registered.text);
        let results = registered.json()["webhookRegistrationResult"].clone();
        let id = results[0]["createdWebhookId"].as_i64().unwrap();
        assert!(results[1]["errors"][0].as_str().unwrap().contains("summary"));
        assert!(results[2]["errors"][0].as_str().unwrap().contains("user_created"));
        let elsewhere = cleo.post(&hooks, json!({"url": "https://evil.example/", "webhooks": [wanted("project = DEMO")]})).await;
        assert_eq!(elsewhere.status, 400, "{}", elsewhere.text);
        let list = cleo.get(&hooks).await;
        assert_eq!((list.at("/total"), list.at("/isLast")), ("1".to_owned(), "true".to_owned()));
        assert_eq!(list.json()["values"][0]["id"], id);
        assert!(list.at("/values/0/expirationDate").ends_with("+0000"));
        world.sends_webhooks();
        made(&world, "Ada", "VAULT", "Nothing for Cleo").await;
        let key = made(&world, "Ben", "DEMO", "For Cleo's app").await;
        let path = format!("/hook?triggeredByUser={}", encode(&world.person("Ben").account_id));
        let told = sink.last(&path).await;
        assert_eq!((&told.body["issue"]["key"], &told.body["matchedWebhookIds"]), (&json!(key), &json!([id])));
        let verifying = VerifyingKey::hs256(app.secret.as_bytes()).unwrap();
        assert!(UnverifiedJws::parse(&told.token).unwrap().verify(&verifying).is_ok());
        let claims = claims_of(&told.token);
        assert_eq!(claims["jti"], told.header("x-atlassian-webhook-identifier"));
        assert_eq!((claims["aud"].as_str(), claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()), (Some(app.client_id.as_str()), 300));
        assert_eq!(claims["body_sha256"], hex(&sha256(&told.bytes)));
        // Another field than the one that is listened to; then that one.
        let at = format!("/rest/api/3/issue/{key}");
        assert_eq!(world.by("Ben").put(&at, json!({"fields": {"labels": ["x"]}})).await.status, 204);
        assert_eq!(world.by("Ben").put(&at, json!({"fields": {"summary": "Renamed"}})).await.status, 204);
        let told = sink.all(&path, 2).await.remove(1);
        assert_eq!((told.body["webhookEvent"].as_str(), told.body["changelog"]["items"][0]["field"].as_str()), (Some("jira:issue_updated"), Some("summary")));
        // Refreshed, and deleted by whoever registered it.
        let named = json!({"webhookIds": [id, 999_999]});
        let refreshed = cleo.put(&world.at_gateway("/rest/api/3/webhook/refresh"), named.clone()).await;
        assert!(refreshed.at("/expirationDate").ends_with("+0000"), "{}", refreshed.text);
        let other = world.tokens_at("Ben", &app, scopes, &callback).await;
        assert_eq!(world.bearer(&other.access).send("DELETE", &hooks, Some(named.clone())).await.status, 202);
        assert_eq!(cleo.get(&hooks).await.at("/total"), "1", "another's webhooks are passed over");
        assert_eq!(cleo.send("DELETE", &hooks, Some(named)).await.status, 202);
        assert_eq!(cleo.get(&hooks).await.at("/total"), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_webhooks_of_an_oauth_app_and_an_account_are_the_most() {
    let world = World::start(Engine::Sqlite).await;
    let app = world.app("Ben", json!({"scopes": ["read:jira-work", "manage:jira-webhook"]})).await;
    let tokens = world.tokens("Cleo", &app, "read:jira-work manage:jira-webhook").await;
    let one = json!({"events": ["jira:issue_created"], "jqlFilter": "project = DEMO"});
    let body = json!({"url": "https://app.example/hook", "webhooks": [one, one, one, one, one, one]});
    let made = world.bearer(&tokens.access).post(&world.at_gateway("/rest/api/3/webhook"), body).await;
    let results = made.json()["webhookRegistrationResult"].as_array().cloned().unwrap();
    assert_eq!(results.iter().filter(|it| it.get("createdWebhookId").is_some()).count(), 5);
    assert!(results[5]["errors"][0].as_str().unwrap().contains("5 webhooks"), "{}", made.text);
    // Without the scope, as a person, as a script: no.
    let less = world.tokens("Dan", &app, "read:jira-work").await;
    assert_eq!(world.bearer(&less.access).get(&world.at_gateway("/rest/api/3/webhook")).await.status, 401);
    assert_eq!(world.by("Ada").get("/rest/api/3/webhook").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_lost_its_right_is_not_told_what_was_waiting_for_it() {
    let world = World::start(Engine::Sqlite).await;
    let key = "com.example.lost";
    let app = listening(&world, key, &["WRITE"], json!([{"event": "jira:issue_created", "url": "/made"}])).await;
    app.answers("/made", 503);
    made(&world, "Ada", "VAULT", "Seen once").await;
    settled(&world, key, "waiting", 1).await;
    let account = world.as_app(&app, "GET", "/rest/api/3/myself", None).await.at("/accountId");
    let roles = world.by("Ada").get("/rest/api/3/project/VAULT/role").await;
    let role = roles.at("/atlassian-addons-project-access").rsplit('/').next().unwrap_or_default().to_owned();
    let out = world.by("Ada").delete(&format!("/rest/api/3/project/VAULT/role/{role}?user={account}")).await;
    assert_eq!(out.status, 204, "{}", out.text);
    app.answers("/made", 200);
    world.clock.advance_ms(1_000 * (15 * 60));
    let failed = settled(&world, key, "failed", 2).await;
    assert_eq!(failed["note"], "The app may no longer see what this tells of.");
    assert_eq!(app.all("/made", 1).await.len(), 1);
    // And one that is stopped is told nothing at all.
    app.answers("/made", 503);
    made(&world, "Ada", "DEMO", "While it works").await;
    settled(&world, key, "waiting", 1).await;
    let stopped = world.by("Ada").post(&format!("/api/portcullis/v1/connect-apps/{key}/disable"), json!({})).await;
    assert_eq!(stopped.status, 204);
    world.clock.advance_ms(1_000 * (15 * 60));
    settled(&world, key, "failed", 2).await;
    made(&world, "Ada", "DEMO", "While it is stopped").await;
    assert_eq!(deliveries(&world, key).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_will_not_change_are_final_and_an_app_that_fails_for_long_is_asked_once() {
    let world = World::start(Engine::Sqlite).await;
    let key = "com.example.final";
    let app = listening(&world, key, &["READ"], json!([{"event": "jira:issue_created", "url": "/made"}])).await;
    app.answers("/made", 410);
    made(&world, "Cleo", "DEMO", "Not wanted").await;
    assert_eq!(settled(&world, key, "failed", 1).await["note"], "HTTP 410");
    // Failing since then.
    app.answers("/made", 500);
    world.clock.advance_ms(1_000 * (31 * 60));
    made(&world, "Cleo", "DEMO", "Half an hour later").await;
    let failed = settled(&world, key, "failed", 1).await;
    assert_eq!((failed["note"].as_str(), &failed["nextAttempt"]), (Some("HTTP 500"), &Json::Null));
    // The app itself can read what it missed.
    let missed = world.as_app(&app, "GET", "/rest/api/3/webhook/failed", None).await;
    assert_eq!(missed.status, 200, "{}", missed.text);
    let bodies: Vec<String> =
        missed.json()["values"].as_array().unwrap().iter().map(|it| it["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[1].contains("Half an hour later"));
    // A success ends it.
    app.answers("/made", 200);
    made(&world, "Cleo", "DEMO", "Well again").await;
    settled(&world, key, "delivered", 1).await;
    app.answers("/made", 429);
    made(&world, "Cleo", "DEMO", "Busy").await;
    settled(&world, key, "waiting", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_a_change_that_was_not_made() {
    let world = World::start(Engine::Sqlite).await;
    let key = "com.example.rolled.back";
    listening(
        &world,
        key,
        &["READ"],
        json!([{"event": "jira:issue_created", "url": "/made"}, {"event": "issuelink_created", "url": "/linked"}]),
    )
    .await;
    // The link is made, its comment is refused, and both are undone.
    let one = made(&world, "Cleo", "DEMO", "One").await;
    let two = made(&world, "Cleo", "DEMO", "Two").await;
    settled(&world, key, "delivered", 1).await;
    let link = |comment: Json| json!({"type": {"name": "Blocks"}, "inwardIssue": {"key": one}, "outwardIssue": {"key": two}, "comment": comment});
    let hidden = json!({"body": "x", "visibility": {"type": "group", "value": "no such group"}});
    let refused = world.by("Cleo").post("/rest/api/2/issueLink", link(hidden)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert_eq!(deliveries(&world, key).await.len(), 2);
    let done = world.by("Cleo").post("/rest/api/2/issueLink", link(json!({"body": "y"}))).await;
    assert_eq!(done.status, 201, "{}", done.text);
    assert_eq!(deliveries(&world, key).await.len(), 3, "the link is told of once");
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_versions_properties_worklogs_and_files_are_told_of() {
    let world = World::start(Engine::Sqlite).await;
    let events = [
        "project_created",
        "project_updated",
        "project_soft_deleted",
        "project_restored_deleted",
        "project_deleted",
        "jira:version_created",
        "jira:version_released",
        "jira:version_updated",
        "jira:version_deleted",
        "issue_property_set",
        "issue_property_deleted",
        "worklog_created",
        "worklog_updated",
        "worklog_deleted",
        "attachment_created",
        "attachment_deleted",
        "comment_updated",
        "comment_deleted",
        "issuelink_deleted",
    ];
    let webhooks: Vec<Json> =
        events.iter().map(|event| json!({"event": event, "url": format!("/{}", event.replace(':', "."))})).collect();
    let app = listening(&world, "com.example.every", &["ADMIN"], json!(webhooks)).await;
    let ada = world.by("Ada");
    let lead = world.person("Ada").account_id.clone();
    let project = ada
        .post(
            "/rest/api/3/project",
            json!({"key": "NEW", "name": "New", "projectTypeKey": "software", "leadAccountId": lead}),
        )
        .await;
    assert_eq!(project.status, 201, "{}", project.text);
    assert_eq!(app.last("/project_created").await.body["project"]["key"], "NEW");
    assert_eq!(ada.put("/rest/api/3/project/NEW", json!({"name": "Newer"})).await.status, 200);
    assert_eq!(app.last("/project_updated").await.body["project"]["name"], "Newer");
    let version = ada
        .post("/rest/api/3/version", json!({"project": "NEW", "projectId": project.json()["id"], "name": "1.0"}))
        .await;
    assert_eq!(version.status, 201, "{}", version.text);
    assert_eq!(app.last("/jira.version_created").await.body["version"]["name"], "1.0");
    let at = format!("/rest/api/3/version/{}", version.at("/id"));
    assert_eq!(ada.put(&at, json!({"released": true})).await.status, 200);
    assert_eq!(app.last("/jira.version_released").await.body["version"]["released"], true);
    app.last("/jira.version_updated").await;
    assert_eq!(ada.delete(&at).await.status, 204);
    app.last("/jira.version_deleted").await;
    let issue = made(&world, "Ada", "NEW", "With everything").await;
    let at = format!("/rest/api/3/issue/{issue}");
    assert_eq!(ada.put(&format!("{at}/properties/plan"), json!({"a": 1})).await.status, 201);
    assert_eq!(app.last("/issue_property_set").await.body["property"], json!({"key": "plan", "value": {"a": 1}}));
    assert_eq!(ada.delete(&format!("{at}/properties/plan")).await.status, 204);
    app.last("/issue_property_deleted").await;
    let worklog = ada.post(&format!("{at}/worklog"), json!({"timeSpentSeconds": 3600})).await;
    assert_eq!(worklog.status, 201, "{}", worklog.text);
    assert_eq!(app.last("/worklog_created").await.body["worklog"]["timeSpentSeconds"], 3600);
    let of_worklog = format!("{at}/worklog/{}", worklog.at("/id"));
    assert_eq!(ada.put(&of_worklog, json!({"timeSpentSeconds": 7200})).await.status, 200);
    assert_eq!(app.last("/worklog_updated").await.body["worklog"]["timeSpentSeconds"], 7200);
    assert_eq!(ada.delete(&of_worklog).await.status, 204);
    app.last("/worklog_deleted").await;
    let comment = ada.post(&format!("/rest/api/2/issue/{issue}/comment"), json!({"body": "x"})).await;
    let of_comment = format!("/rest/api/2/issue/{issue}/comment/{}", comment.at("/id"));
    assert_eq!(ada.put(&of_comment, json!({"body": "y"})).await.status, 200);
    assert_eq!(app.last("/comment_updated").await.body["comment"]["body"], "y");
    assert_eq!(ada.delete(&of_comment).await.status, 204);
    app.last("/comment_deleted").await;
    let other = made(&world, "Ada", "NEW", "Other").await;
    let link = json!({"type": {"name": "Blocks"}, "inwardIssue": {"key": issue}, "outwardIssue": {"key": other}});
    assert_eq!(ada.post("/rest/api/3/issueLink", link).await.status, 201);
    let shown = ada.get(&at).await;
    let id = shown.at("/fields/issuelinks/0/id");
    assert_eq!(ada.delete(&format!("/rest/api/3/issueLink/{id}")).await.status, 204);
    assert_eq!(app.last("/issuelink_deleted").await.body["issueLink"]["issueLinkType"]["name"], "Blocks");
    let form = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let upload = ada.clone().header("x-atlassian-token", "no-check");
    let file = upload
        .send_bytes("POST", &format!("{at}/attachments"), Some("multipart/form-data; boundary=b"), form.into())
        .await;
    assert_eq!(file.status, 200, "{}", file.text);
    assert_eq!(app.last("/attachment_created").await.body["attachment"]["filename"], "a.txt");
    assert_eq!(ada.delete(&format!("/rest/api/3/attachment/{}", file.at("/0/id"))).await.status, 204);
    app.last("/attachment_deleted").await;
    assert_eq!(ada.delete("/rest/api/3/project/NEW").await.status, 204);
    assert_eq!(app.last("/project_soft_deleted").await.body["project"]["key"], "NEW");
    assert_eq!(ada.post("/rest/api/3/project/NEW/restore", json!({})).await.status, 200);
    app.last("/project_restored_deleted").await;
    assert_eq!(ada.delete("/rest/api/3/project/NEW?enableUndo=false").await.status, 204);
    app.last("/project_deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_comes_back_and_another_apps_webhooks_are_its_own() {
    let world = World::start(Engine::Sqlite).await;
    let hooks = json!([{"event": "jira:issue_created", "url": "/made"}]);
    let app = listening(&world, "com.example.trace", &["READ"], hooks).await;
    let traced = world.by("Cleo").header("x-atlassian-webhook-trace", "loop-7");
    assert_eq!(traced.post("/rest/api/3/issue", task("DEMO", "Traced")).await.status, 201);
    assert_eq!(app.last("/made").await.header("x-atlassian-webhook-trace"), "loop-7");
    let long = world.by("Cleo").header("x-atlassian-webhook-trace", &"x".repeat(1_025));
    assert_eq!(long.post("/rest/api/3/issue", task("DEMO", "Too long")).await.status, 201);
    assert_eq!(app.all("/made", 2).await[1].header("x-atlassian-webhook-trace"), "");
    // Registered by one app, not seen by another.
    let url = format!("{}/later", app.base_url);
    let body = json!({"url": url, "webhooks": [{"events": ["jira:issue_deleted"], "jqlFilter": "project = DEMO"}]});
    let registered = world.as_app(&app, "POST", "/rest/api/3/webhook", Some(body.clone())).await;
    assert_eq!(registered.status, 200, "{}", registered.text);
    let other = ConnectApp::start("com.example.nosy", &["READ"]).await;
    assert_eq!(world.install(&other).await.status, 201);
    assert_eq!(world.as_app(&other, "GET", "/rest/api/3/webhook", None).await.at("/total"), "0");
    assert_eq!(
        world.as_app(&other, "POST", "/rest/api/3/webhook", Some(body)).await.status,
        400,
        "not below its address"
    );
    assert_eq!(world.as_app(&app, "GET", "/rest/api/3/webhook", None).await.at("/total"), "1");
    // An update of the app keeps what it registered, and takes what its descriptor says now.
    app.change(&json!({"modules": {"webhooks": [{"event": "jira:issue_created", "url": "/elsewhere"}]}}));
    assert_eq!(world.install(&app).await.status, 201);
    made(&world, "Cleo", "DEMO", "After the update").await;
    assert_eq!(summaries(&[app.last("/elsewhere").await]), ["After the update"]);
    assert_eq!(app.all("/made", 2).await.len(), 2);
    assert_eq!(world.as_app(&app, "GET", "/rest/api/3/webhook", None).await.at("/total"), "1");
    // A month later it is over.
    world.clock.advance_ms(1_000 * (31 * 86_400));
    assert_eq!(world.as_app(&app, "GET", "/rest/api/3/webhook", None).await.at("/total"), "0");
}
