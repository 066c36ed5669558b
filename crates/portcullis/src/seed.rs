//! First contents: a new site with its administrator, and the demo's people, projects and issues.
//!
//! The base data and the people go in by one transaction; everything else is made by requests, as people would make it.

use anyhow::{Context, bail};
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portcullis_accounts::user::NewUser;
use portcullis_accounts::{api_token, bootstrap, password, user};
use portcullis_authz::policy::AccountKind;
use portcullis_crypto::{Entropy, PlainToken, SystemEntropy};
use portcullis_gateway::Gateway;
use portcullis_guard::SystemClock;
use portcullis_model::{Clock, GroupId, Timestamp};
use portcullis_store::{AuditEntry, Policy, PolicyLogEntry, Store, StoreError, Tx};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::config::Config;

/// How long the demo's tokens live.
const TOKEN_DAYS: i64 = 365;

/// A person of the demo with the secrets that the card shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Name people see.
    pub name: String,
    /// E-mail, for signing in and for Basic authentication.
    pub email: String,
    /// The account id on the wire.
    pub account_id: String,
    /// Password.
    pub password: String,
    /// API token without scopes.
    pub api_token: String,
}

fn problem(problem: portcullis_model::Problem) -> anyhow::Error {
    let fields = problem.fields.iter().map(|(field, words)| format!("{field}: {words}"));
    let words: Vec<String> = problem.messages.iter().cloned().chain(fields).collect();
    match problem.cause {
        Some(cause) => anyhow::anyhow!(cause).context(words.join(" ")),
        None => anyhow::anyhow!(words.join(" ")),
    }
}

/// A password that can be read out: 20 letters and digits in groups.
fn readable_password(entropy: &dyn Entropy) -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let bytes: [u8; 20] = entropy.array();
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
    letters.chunks(5).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Base data of a site, in an open transaction.
async fn base(
    tx: &mut Tx<Policy>,
    name: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> anyhow::Result<bootstrap::Base> {
    let base = match bootstrap::site(tx, name, &entropy.uuid(), now, entropy).await {
        Ok(base) => base,
        Err(StoreError::Unique { .. }) => bail!("there is a site in this database already; nothing was changed"),
        Err(error) => return Err(error).context("cannot make the site"),
    };
    portcullis_jira::bootstrap::site(tx, base.jira_administrators).await?;
    Ok(base)
}

async fn commit(tx: Tx<Policy>, operation: &str, now: Timestamp, entropy: &dyn Entropy) -> anyhow::Result<()> {
    let entry = AuditEntry {
        id: entropy.uuid(),
        at_ms: now.0,
        request_id: entropy.uuid(),
        subject: "operator:init".to_owned(),
        access_kind: "operator".to_owned(),
        operation: operation.to_owned(),
        outcome: "allowed".to_owned(),
        ..AuditEntry::default()
    };
    tx.commit(&entry, &[PolicyLogEntry { kind: "everything", id: String::new() }]).await?;
    Ok(())
}

async fn add_person(
    tx: &mut Tx<Policy>,
    name: &str,
    email: &str,
    password: &str,
    groups: &[GroupId],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> anyhow::Result<(portcullis_model::UserId, String)> {
    let hash = password::hash(password::parse(password).map_err(problem)?, entropy).await.map_err(problem)?;
    let new = NewUser {
        email: Some(email.to_owned()),
        display_name: name.to_owned(),
        kind: AccountKind::Person,
        time_zone: None,
        locale: None,
        password_hash: Some(hash),
    };
    let (id, account_id) = user::create(tx, new, now, entropy).await.map_err(problem)?;
    for group in groups {
        user::add_to_group(tx, id, *group).await?;
    }
    Ok((id, account_id))
}

/// Makes a site with one administrator. Returns the password, when one had to be made.
pub(crate) async fn first_site(
    config: &Config,
    site: &str,
    email: &str,
    name: &str,
    password: Option<String>,
) -> anyhow::Result<Option<String>> {
    let entropy = SystemEntropy::new();
    let now = SystemClock.now();
    let store = Store::open(&config.store).await.context("cannot make the database")?;
    let made = password.is_none().then(|| readable_password(&entropy));
    let password = password.or_else(|| made.clone()).unwrap_or_default();
    let mut tx = store.policy().await?;
    let base = base(&mut tx, site, now, &entropy).await?;
    let groups = [base.site_admins, base.jira_administrators, base.jira_software_users];
    add_person(&mut tx, name, email, &password, &groups, now, &entropy).await?;
    commit(tx, "init", now, &entropy).await?;
    Ok(made)
}

/// Fills an empty database with the demo's people; everything else comes by [`demo_contents`].
///
/// # Errors
/// The database's.
pub async fn demo_people(store: &Store, now: Timestamp) -> anyhow::Result<Vec<Person>> {
    let entropy = SystemEntropy::new();
    let mut tx = store.policy().await?;
    let base = base(&mut tx, "Acme", now, &entropy).await?;
    let everyone = vec![base.jira_software_users];
    let admins = vec![base.site_admins, base.jira_administrators, base.jira_software_users];
    let mut people = Vec::new();
    for (name, groups) in [("Ada", admins), ("Ben", everyone.clone()), ("Cleo", everyone), ("Dan", Vec::new())] {
        let email = format!("{}@acme.example", name.to_lowercase());
        let password = readable_password(&entropy);
        let (id, account_id) = add_person(&mut tx, name, &email, &password, &groups, now, &entropy).await?;
        let (_, token): (_, PlainToken) =
            api_token::issue(&mut tx, id, "demo", TOKEN_DAYS, None, now, &entropy).await.map_err(problem)?;
        let api_token = token.expose_secret().to_owned();
        people.push(Person { name: name.to_owned(), email, account_id, password, api_token });
    }
    commit(tx, "demo", now, &entropy).await?;
    Ok(people)
}

/// A request to our own edge, as a person with an API token.
pub(crate) async fn send(
    gateway: &Gateway,
    person: &Person,
    method: &str,
    path: &str,
    body: Json,
) -> anyhow::Result<Json> {
    let credential = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", person.email, person.api_token));
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", gateway.guard().addresses().site.split("://").nth(1).unwrap_or_default())
        .header("authorization", format!("Basic {credential}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let response = gateway.handle(request, None).await;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{method} {path} as {}: {status} {}", person.name, String::from_utf8_lossy(&text));
    }
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

/// The demo's OAuth 2.0 app, as the card shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OauthApp {
    /// Its public id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Where answers go.
    pub redirect_uri: String,
    /// What it may ask for.
    pub scopes: Vec<String>,
}

/// Where the demo's app waits for answers.
const CALLBACK: &str = "http://localhost:9876/callback";
const DEMO_SCOPES: [&str; 8] = [
    "read:me",
    "read:account",
    "read:jira-user",
    "read:jira-work",
    "write:jira-work",
    "manage:jira-project",
    "manage:jira-configuration",
    "manage:jira-webhook",
];

/// Makes Ben's app, by a request of his.
///
/// # Errors
/// A request that is not answered with success.
pub async fn demo_oauth_app(gateway: &Gateway, people: &[Person]) -> anyhow::Result<OauthApp> {
    let ben = people.iter().find(|person| person.name == "Ben").context("the demo has Ben")?;
    let body = json!({
        "name": "Sprint reporter", "description": "Reads issues and writes a report on each sprint. A demo of an OAuth 2.0 app.",
        "redirectUris": [CALLBACK], "scopes": DEMO_SCOPES, "shared": true, "pkceRequired": false,
    });
    let made = send(gateway, ben, "POST", "/api/portcullis/v1/oauth-apps", body).await?;
    let text =
        |name: &str| made.get(name).and_then(Json::as_str).map(str::to_owned).context("an app has an id and a secret");
    let scopes = DEMO_SCOPES.iter().copied().chain(["offline_access"]).map(str::to_owned).collect();
    Ok(OauthApp {
        client_id: text("clientId")?,
        client_secret: text("clientSecret")?,
        redirect_uri: CALLBACK.to_owned(),
        scopes,
    })
}

fn paragraph(text: &str) -> Json {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]})
}

/// Makes the demo's projects, issues and comments, by requests of its people.
///
/// # Errors
/// Any request that is not answered with success.
pub async fn demo_contents(gateway: &Gateway, people: &[Person]) -> anyhow::Result<()> {
    let [ada, ben, cleo, ..] = people else { bail!("the demo has four people") };
    let text = |json: &Json, pointer: &str| match json.pointer(pointer) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    send(
        gateway,
        ada,
        "POST",
        "/rest/api/3/project",
        json!({
            "key": "DEMO", "name": "Demo", "projectTypeKey": "software", "leadAccountId": ben.account_id,
            "description": "Everyone with access to Jira may browse, create and edit here; Ben administers it.",
        }),
    )
    .await?;

    // VAULT has a scheme of its own, in which only the role Members sees anything.
    let members = send(
        gateway,
        ada,
        "POST",
        "/rest/api/3/role",
        json!({
            "name": "Members", "description": "People who work in a closed project.",
        }),
    )
    .await?;
    let role = text(&members, "/id");
    let default = send(gateway, ada, "GET", "/rest/api/3/permissionscheme/0?expand=permissions", Json::Null).await?;
    let grants: Vec<Json> = default
        .get("permissions")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .map(|grant| {
            let permission = grant.get("permission").cloned().unwrap_or_default();
            match text(grant, "/holder/type").as_str() {
                "applicationRole" => {
                    json!({"permission": permission, "holder": {"type": "projectRole", "parameter": role}})
                }
                _ => json!({"permission": permission, "holder": {
                    "type": text(grant, "/holder/type"), "parameter": text(grant, "/holder/parameter")}}),
            }
        })
        .collect();
    let scheme = send(
        gateway,
        ada,
        "POST",
        "/rest/api/3/permissionscheme",
        json!({
            "name": "Closed project", "description": "Only the role Members sees the project.", "permissions": grants,
        }),
    )
    .await?;
    send(
        gateway,
        ada,
        "POST",
        "/rest/api/3/project",
        json!({
            "key": "VAULT", "name": "Vault", "projectTypeKey": "software", "leadAccountId": ada.account_id,
            "description": "Ada and Ben only.", "permissionScheme": scheme.get("id"),
        }),
    )
    .await?;
    send(
        gateway,
        ada,
        "POST",
        &format!("/rest/api/3/project/VAULT/role/{role}"),
        json!({
            "user": [ada.account_id, ben.account_id],
        }),
    )
    .await?;

    let issue = |project: &str, kind: &str, summary: &str, words: &str| json!({"fields": {"project": {"key": project}, "issuetype": {"name": kind}, "summary": summary, "description": paragraph(words)}});
    let first = send(
        gateway,
        ben,
        "POST",
        "/rest/api/3/issue",
        issue("DEMO", "Task", "Welcome to the demo", "Try it: edit this issue with Ben's token, then with Cleo's."),
    )
    .await?;
    let second = send(
        gateway,
        cleo,
        "POST",
        "/rest/api/3/issue",
        issue(
            "DEMO",
            "Bug",
            "The sign-in page forgets where I was going",
            "It should bring me back to the page I asked for.",
        ),
    )
    .await?;
    send(
        gateway,
        ben,
        "POST",
        "/rest/api/3/issue",
        issue("DEMO", "Story", "As an administrator I see what an app can reach", "Before I agree to install it."),
    )
    .await?;
    let secret = send(
        gateway,
        ada,
        "POST",
        "/rest/api/3/issue",
        issue("VAULT", "Task", "Rotate the signing keys", "Nobody outside VAULT may learn that this issue exists."),
    )
    .await?;
    for (who, key, words) in [
        (cleo, text(&first, "/key"), "I can comment here, but not delete the issue."),
        (ben, text(&second, "/key"), "Seen it too. Taking it."),
        (ben, text(&secret, "/key"), "Planned for the first Monday of the month."),
    ] {
        send(gateway, who, "POST", &format!("/rest/api/3/issue/{key}/comment"), json!({"body": paragraph(words)}))
            .await?;
    }
    send(
        gateway,
        ben,
        "PUT",
        &format!("/rest/api/3/issue/{}/assignee", text(&second, "/key")),
        json!({"accountId": ben.account_id}),
    )
    .await?;
    Ok(())
}
