//! Every door: each row of the operation table is called without a credential, with junk, with an expired and a revoked one, on
//! the wrong surface, without scope and without permission. The rows come from the table itself, so none can be left out.

use portcullis_authz::{AccessSet, Area, Expr, Row, op};
use portcullis_model::AccessKind;
use portcullis_model::mode::ModeKind;
use portcullis_testkit::rows::call;
use portcullis_testkit::world::{Answer, Engine, World};
use serde_json::json;

const GATE: &str = "Client must be authenticated to access this resource.";

/// What the edge without handlers answers when the guard has allowed.
const ALLOWED: u16 = 501;

fn rows() -> impl Iterator<Item = &'static Row> {
    op::ROWS.iter().copied().filter(|row| row.open.is_none())
}

fn has(set: AccessSet, kind: AccessKind) -> bool {
    set.contains(kind)
}

/// The answer to somebody who is nobody: the gate, or what the row lets everyone do.
fn check_nobody(row: &Row, answer: &Answer, door: &str) {
    let what = format!("{door}: {} {} ({}) {}", row.method.name(), row.path, row.id, answer.text);
    match row.area {
        Area::Console if has(row.access, AccessKind::Anonymous) => assert!(answer.status != 200, "{what}"),
        Area::Console => assert!(matches!(answer.status, 303 | 401), "{what} -> {}", answer.status),
        Area::Management | Area::Gateway => assert_eq!(answer.status, 401, "{what}"),
        // Every one of its operations is open: clients prove themselves by what they send.
        Area::Authorization => panic!("{what}: an operation of the authorization server that is not open"),
        Area::Jira | Area::Site | Area::Operations if !has(row.access, AccessKind::Anonymous) => {
            assert_eq!((answer.status, answer.text.as_str()), (401, GATE), "{what}");
        }
        Area::Jira | Area::Site | Area::Operations => {
            let may_be_allowed = matches!(row.permission, Expr::Nothing | Expr::Cases(_) | Expr::Any(_));
            assert!(
                matches!(answer.status, 400 | 401 | 403 | 404) || (answer.status == ALLOWED && may_be_allowed),
                "{what} -> {}",
                answer.status
            );
        }
    }
    if answer.status != ALLOWED && !matches!(answer.status, 303 | 400) {
        assert!(answer.header("portcullis-decision").is_some(), "{what}: no decision id");
    }
}

/// The answer to a credential that failed: as to nobody where Jira falls back for reading, else refused; always marked.
fn check_failed(row: &Row, answer: &Answer, door: &str) {
    let what = format!("{door}: {} {} ({}) {}", row.method.name(), row.path, row.id, answer.text);
    let on_site = matches!(row.area, Area::Jira | Area::Site);
    let falls_back = row.mode == ModeKind::Read && on_site && has(row.access, AccessKind::Anonymous);
    if falls_back {
        check_nobody(row, answer, door);
    } else {
        assert!(matches!(answer.status, 303 | 401), "{what} -> {}", answer.status);
    }
    assert_eq!(answer.header("x-seraph-loginreason"), Some("AUTHENTICATED_FAILED"), "{what}");
    assert_eq!(answer.header("x-aaccountid"), None, "{what}");
}

#[tokio::test]
async fn without_a_credential() {
    let world = World::start(Engine::Sqlite).await.without_handlers();
    for row in rows() {
        let answer = call(&world.anonymous(), row, "", "DEMO", "DEMO-1").await;
        check_nobody(row, &answer, "nothing");
    }
}

#[tokio::test]
async fn with_junk() {
    let world = World::start(Engine::Sqlite).await.without_handlers();
    let ben = world.person("Ben").clone();
    for row in rows() {
        // A new account name each time, so that the throttle is not what answers.
        let junk = world.with_basic(&format!("{}-{}", row.number, ben.email), "junk");
        let answer = call(&junk, row, "", "DEMO", "DEMO-1").await;
        if answer.status == 429 {
            continue;
        }
        check_failed(row, &answer, "junk");
        world.gateway.guard().reset_throttle();
    }
}

/// A token of Cleo's that is no longer good.
async fn ended_token(world: &World, expire: bool) -> String {
    let made = world.by("Cleo").post("/api/portcullis/v1/me/api-tokens", json!({"label": "door", "days": 1})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let token = made.at("/token");
    let cleo = world.person("Cleo").clone();
    let good = world.with_basic(&cleo.email, &token).get("/rest/api/3/myself").await;
    assert_eq!(good.status, 200, "{}", good.text);
    if expire {
        world.clock.advance_ms(86_400_000);
    } else {
        let gone = world.by("Cleo").delete(&format!("/api/portcullis/v1/me/api-tokens/{}", made.at("/id"))).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
    token
}

async fn every_row_refuses_an_ended_token(expire: bool, door: &str) {
    let world = World::start(Engine::Sqlite).await;
    let token = ended_token(&world, expire).await;
    let world = world.without_handlers();
    let email = world.person("Cleo").email.clone();
    for row in rows() {
        let answer = call(&world.with_basic(&email, &token), row, "", "DEMO", "DEMO-1").await;
        check_failed(row, &answer, door);
        world.gateway.guard().reset_throttle();
    }
}

#[tokio::test]
async fn with_an_expired_token() {
    every_row_refuses_an_ended_token(true, "expired").await;
}

#[tokio::test]
async fn with_a_revoked_token() {
    every_row_refuses_an_ended_token(false, "revoked").await;
}

/// A scoped token of Ben's.
async fn scoped_token(world: &World, scopes: &[&str]) -> String {
    let made = world
        .by("Ben")
        .post("/api/portcullis/v1/me/api-tokens", json!({"label": "scoped", "days": 1, "scopes": scopes}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.at("/token")
}

#[tokio::test]
async fn on_the_wrong_surface() {
    let world = World::start(Engine::Sqlite).await;
    let token = scoped_token(&world, &["read:jira-work"]).await;
    let world = world.without_handlers();
    let ben = world.person("Ben").clone();
    let gateway = format!("/ex/jira/{}", world.cloud_id());
    for row in rows() {
        // A token with scopes on the site.
        let answer = call(&world.with_basic(&ben.email, &token), row, "", "DEMO", "DEMO-1").await;
        if row.area == Area::Gateway {
            // Made for access tokens alone; a token with scopes is a good credential there, of the wrong kind.
            assert_eq!(answer.status, 401, "{}", row.id);
        } else {
            check_failed(row, &answer, "scoped token on the site");
        }
        world.gateway.guard().reset_throttle();
        // A bearer token on the site.
        let answer = call(&world.with_header("authorization", "Bearer abc"), row, "", "DEMO", "DEMO-1").await;
        assert!(matches!(answer.status, 401 | 403), "bearer on the site: {} -> {}", row.id, answer.status);
        if matches!(row.area, Area::Jira) && row.path.starts_with("/rest/") {
            // A token without scopes at the gateway.
            let answer = call(&world.by("Ben"), row, &gateway, "DEMO", "DEMO-1").await;
            assert_eq!(
                (answer.status, answer.json()),
                (401, json!({"code": 401, "message": "Unauthorized"})),
                "site token at the gateway: {}",
                row.id
            );
            world.gateway.guard().reset_throttle();
        } else {
            // Pages and management are not behind the gateway.
            let answer = call(&world.with_basic(&ben.email, &token), row, &gateway, "DEMO", "DEMO-1").await;
            assert!(
                answer.status == 404 || answer.status == 401,
                "{} is behind the gateway: {}",
                row.id,
                answer.status
            );
        }
    }
}

#[tokio::test]
async fn without_scope() {
    let world = World::start(Engine::Sqlite).await;
    let token = scoped_token(&world, &["read:me"]).await;
    let world = world.without_handlers();
    let ben = world.person("Ben").clone();
    let gateway = format!("/ex/jira/{}", world.cloud_id());
    for row in rows().filter(|row| row.area == Area::Jira && row.path.starts_with("/rest/")) {
        let answer = call(&world.with_basic(&ben.email, &token), row, &gateway, "DEMO", "DEMO-1").await;
        let empty_set = [row.classic, row.granular].iter().flatten().any(portcullis_model::ScopeSet::is_empty);
        if !has(row.access, AccessKind::ScopedApiToken) {
            assert!(matches!(answer.status, 401 | 403), "no scoped tokens: {} -> {}", row.id, answer.status);
        } else if empty_set {
            assert_ne!(answer.text, r#"{"code":401,"message":"Unauthorized; scope does not match"}"#, "{}", row.id);
        } else {
            assert_eq!(
                (answer.status, answer.text.as_str()),
                (401, r#"{"code":401,"message":"Unauthorized; scope does not match"}"#),
                "{}",
                row.id
            );
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.contains("insufficient_scope"), "{}: {challenge}", row.id);
        }
    }
}

/// Whether an active account without access to Jira, in no group, may do it by the rule alone.
fn open_to_outsiders(expr: &Expr) -> bool {
    match expr {
        Expr::Nothing | Expr::Account => true,
        Expr::All(rules) => rules.iter().all(open_to_outsiders),
        Expr::Any(rules) => rules.iter().any(open_to_outsiders),
        Expr::Cases(cases) => cases.iter().any(|(_, rule)| open_to_outsiders(rule)),
        _ => false,
    }
}

#[tokio::test]
async fn without_permission() {
    let world = World::start(Engine::Sqlite).await.without_handlers();
    for row in rows().filter(|row| has(row.access, AccessKind::ApiToken)) {
        let answer = call(&world.by("Dan"), row, "", "DEMO", "DEMO-1").await;
        if answer.status == ALLOWED {
            assert!(open_to_outsiders(&row.permission), "Dan may {} {}", row.method.name(), row.path);
        } else {
            let what = format!("Dan: {} {} -> {} {}", row.method.name(), row.path, answer.status, answer.text);
            assert!(matches!(answer.status, 400 | 401 | 403 | 404), "{what}");
            assert!(answer.status == 400 || answer.header("portcullis-decision").is_some(), "{what}");
        }
    }
}

/// For every operation: what is hidden answers exactly as what never was, for Cleo, who may not know of VAULT.
#[tokio::test]
async fn hidden_targets_answer_like_absent_ones() {
    let world = World::start(Engine::Sqlite).await.without_handlers();
    for row in rows().filter(|row| has(row.access, AccessKind::ApiToken)) {
        let hidden = call(&world.by("Cleo"), row, "", "VAULT", "VAULT-1").await;
        let absent = call(&world.by("Cleo"), row, "", "NOPE", "NOPE-1").await;
        let names = |answer: &Answer| {
            let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(
            (hidden.status, hidden.text.replace("VAULT", "NOPE"), names(&hidden)),
            (absent.status, absent.text.clone(), names(&absent)),
            "{} {}",
            row.method.name(),
            row.path
        );
    }
}
