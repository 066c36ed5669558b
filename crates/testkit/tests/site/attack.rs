//! Attacks that were tried on the running site: those that got through once, and those that have to keep failing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portcullis_gateway::Gateway;
use portcullis_testkit::world::{Answer, Client, Engine, World};
use serde_json::{Value as Json, json};

const FORM: &str = "application/x-www-form-urlencoded";
const ORIGIN: &str = "http://portcullis.test";

/// A request as bytes of its own, for tasks that outlive the world's clients.
async fn send(
    gateway: Arc<Gateway>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> (u16, String) {
    let mut request = http::Request::builder().method(method).uri(path).header("host", "portcullis.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.header("content-length", body.len());
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let response = gateway.handle(request, Some("127.0.0.1".parse().expect("an address"))).await;
    let status = response.status().as_u16();
    let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let _ = response.into_body().collect().await;
    (status, cookie)
}

/// Status, and the cookie as a browser sends it back.
async fn sign_in(gateway: Arc<Gateway>, email: String, password: String) -> (u16, String) {
    let body = format!("email={email}&password={password}");
    send(gateway, "POST", "/login", &[("content-type", FORM)], body).await
}

async fn signed_in(world: &World, name: &str) -> String {
    let person = world.person(name);
    let (status, cookie) = sign_in(Arc::clone(&world.gateway), person.email.clone(), person.password.clone()).await;
    assert_eq!(status, 303);
    cookie
}

/// Everything of an answer that two callers could compare; ids that are random anyway are left out, the decision's length stays.
fn comparable(answer: &Answer, name: &str) -> (u16, BTreeMap<String, String>, String) {
    let random = ["atl-traceid", "atl-request-id", "x-arequestid", "x-request-id", "x-ratelimit-remaining"];
    let headers =
        answer.headers.iter().filter(|(header, _)| !random.contains(&header.as_str())).map(|(header, value)| {
            let text = value.to_str().unwrap_or_default();
            let text = if header == "portcullis-decision" { text.len().to_string() } else { text.to_owned() };
            (header.to_string(), text)
        });
    (answer.status, headers.collect(), answer.text.replace(name, "@"))
}

#[tokio::test]
async fn length_of_a_decision_id_does_not_tell_hidden_from_absent() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ada = world.by("Ada");
        let version = ada.post("/rest/api/3/version", json!({"name": "1", "project": "VAULT"})).await.at("/id");
        let component = ada.post("/rest/api/3/component", json!({"name": "c", "project": "VAULT"})).await.at("/id");
        let (version, component) =
            (format!("/rest/api/3/version/{version}"), format!("/rest/api/3/component/{component}"));
        let paths = [
            ("GET", "/rest/api/3/issue/VAULT-1", "/rest/api/3/issue/VAULX-1"),
            ("GET", "/rest/api/3/issue/VAULT-1", "/rest/api/3/issue/VAULT-9"),
            ("GET", "/rest/api/3/issue/VAULT-000000000001", "/rest/api/3/issue/VAULX-000000000001"),
            ("GET", "/rest/api/3/issue/VAULT-1/comment/1", "/rest/api/3/issue/VAULX-1/comment/1"),
            ("DELETE", "/rest/api/3/issue/VAULT-1", "/rest/api/3/issue/VAULX-1"),
            ("GET", "/rest/api/3/project/VAULT", "/rest/api/3/project/VAULX"),
            ("GET", "/rest/api/3/project/VAULT/role", "/rest/api/3/project/VAULX/role"),
            ("GET", "/rest/api/3/project/VAULT/statuses", "/rest/api/3/project/VAULX/statuses"),
            ("PUT", "/rest/api/3/project/VAULT", "/rest/api/3/project/VAULX"),
            ("DELETE", "/rest/api/3/project/VAULT", "/rest/api/3/project/VAULX"),
            ("GET", version.as_str(), "/rest/api/3/version/99999"),
            ("GET", component.as_str(), "/rest/api/3/component/99999"),
            (
                "GET",
                "/rest/api/3/user/assignable/search?project=VAULT",
                "/rest/api/3/user/assignable/search?project=VAULX",
            ),
        ];
        let bodies = [
            (
                "/rest/api/3/issue",
                json!({"fields": {"project": {"key": "VAULT"}, "summary": "s", "issuetype": {"name": "Task"}}}),
            ),
            (
                "/rest/api/3/issueLink",
                json!({"type": {"name": "Blocks"}, "inwardIssue": {"key": "DEMO-1"}, "outwardIssue": {"key": "VAULT-1"}}),
            ),
            (
                "/rest/api/3/issueLink",
                json!({"type": {"name": "Blocks"}, "inwardIssue": {"key": "VAULT-1"}, "outwardIssue": {"key": "DEMO-1"}}),
            ),
            ("/rest/api/3/version", json!({"name": "v", "project": "VAULT"})),
            ("/rest/api/3/component", json!({"name": "v", "project": "VAULT"})),
        ];
        let callers: [(&str, Client<'_>); 2] = [("Cleo", world.by("Cleo")), ("nobody", world.anonymous())];
        for (who, caller) in &callers {
            for (method, hidden, absent) in paths {
                let body = (method == "PUT").then(|| json!({"name": "x"}));
                let last = |path: &str| path.rsplit(['/', '=']).next().unwrap_or_default().to_owned();
                let one = caller.send(method, hidden, body.clone()).await;
                let other = caller.send(method, absent, body).await;
                let blind = |answer: &Answer, path: &str| {
                    let (status, headers, text) = comparable(answer, &last(path));
                    (status, headers, text.replace("VAULX", "@").replace("VAULT", "@"))
                };
                assert_eq!(blind(&one, hidden), blind(&other, absent), "{who} {method} {hidden}");
            }
            for (path, body) in &bodies {
                let absent: Json = body.to_string().replace("VAULT", "VAULX").parse().expect("JSON");
                let one = caller.post(path, body.clone()).await;
                let other = caller.post(path, absent).await;
                assert_eq!(comparable(&one, "VAULT"), comparable(&other, "VAULX"), "{who} {path} {body}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_made_at_once_count_like_guesses_one_after_the_other() {
    let world = World::start(Engine::Sqlite).await;
    let guesses: Vec<_> = (0..80)
        .map(|n| {
            let (gateway, email) = (Arc::clone(&world.gateway), world.person("Ben").email.clone());
            tokio::spawn(sign_in(gateway, email, format!("wrong-password-{n}")))
        })
        .collect();
    let mut looked_at = 0;
    for guess in guesses {
        let (status, _) = guess.await.expect("a task");
        assert!(matches!(status, 401 | 429), "{status}");
        looked_at += u32::from(status == 401);
    }
    assert!(looked_at <= 30, "{looked_at} guesses were looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_given_up_halfway_count_too() {
    let world = World::start(Engine::Sqlite).await;
    let email = world.person("Ben").email.clone();
    for n in 0..30 {
        let guess = sign_in(Arc::clone(&world.gateway), email.clone(), format!("wrong-password-{n}"));
        let _ = tokio::time::timeout(Duration::ZERO, guess).await;
    }
    assert_eq!(sign_in(Arc::clone(&world.gateway), email, "wrong-password".to_owned()).await.0, 429);
}

#[tokio::test]
async fn failed_sign_ins_change_no_policy_and_are_written_down_together() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        for n in 0..60 {
            // Too short for a password, so nothing is hashed.
            let (status, _) =
                sign_in(Arc::clone(&world.gateway), "nobody@acme.example".to_owned(), "x".to_owned()).await;
            assert_eq!(status, if n < 30 { 401 } else { 429 });
        }
        world.gateway.guard().flush_refusals().await.expect("written");
        let log = world.by("Ada").get("/api/portcullis/v1/audit?operation=consoleLogin&outcome=failed").await.json();
        let entries = log["values"].as_array().expect("entries").clone();
        assert_eq!(entries.len(), 40, "20 of each kind: {log}");
        assert!(
            entries.iter().all(|entry| entry["revision"] == entries[0]["revision"]),
            "the policy did not move: {log}"
        );
        assert!(entries.iter().any(|entry| entry["after"]["alike_until_now"] == 10), "the rest is counted: {log}");
    }
}

#[tokio::test]
async fn a_stranger_cannot_fill_the_audit_log_or_write_to_its_readers_terminal() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let key = format!("\u{1b}[2J{}", "X".repeat(1 << 20));
        let refused = world.anonymous().post("/rest/api/3/issue", json!({"fields": {"project": {"key": key}}})).await;
        assert!(refused.status == 400 || refused.status == 401, "{}", refused.status);
        world.gateway.guard().flush_refusals().await.expect("written");
        let log = world.by("Ada").get("/api/portcullis/v1/audit?operation=createIssue&outcome=denied").await;
        let target = log.at("/values/0/target");
        assert!(target.starts_with("[2JXXX"), "{target:.80}");
        assert_eq!(target.chars().count(), 120);
    }
}

#[tokio::test]
async fn endless_names_of_accounts_are_one_name_to_the_throttle() {
    let world = World::start(Engine::Sqlite).await;
    for n in 0..=30 {
        let email = format!("{}{n}", "a".repeat(300_000));
        let (status, _) = sign_in(Arc::clone(&world.gateway), email, "x".to_owned()).await;
        assert_eq!(status, if n < 30 { 401 } else { 429 });
    }
}

#[tokio::test]
async fn throttled_account_still_signs_in_from_elsewhere_and_its_tokens_work() {
    let world = World::start(Engine::Sqlite).await;
    let ben = world.person("Ben").clone();
    for _ in 0..31 {
        sign_in(Arc::clone(&world.gateway), ben.email.clone(), "x".to_owned()).await;
    }
    assert_eq!(sign_in(Arc::clone(&world.gateway), ben.email.clone(), ben.password.clone()).await.0, 429);
    let body = format!("email={}&password={}", ben.email, ben.password);
    let request = http::Request::post("/login").header("host", "portcullis.test").header("content-type", FORM);
    let request = request.header("content-length", body.len()).body(Full::new(Bytes::from(body))).expect("a request");
    let response = world.gateway.handle(request, Some("127.0.0.2".parse().expect("an address"))).await;
    assert_eq!(response.status().as_u16(), 303);
    assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 200);
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_sessions() {
    let world = World::start(Engine::Sqlite).await;
    let first = signed_in(&world, "Cleo").await;
    for _ in 0..99 {
        signed_in(&world, "Cleo").await;
    }
    assert_eq!(world.with_header("cookie", &first).get("/rest/api/3/myself").await.status, 200);
    let last = signed_in(&world, "Cleo").await;
    assert_eq!(world.with_header("cookie", &first).get("/rest/api/3/myself").await.status, 401);
    assert_eq!(world.with_header("cookie", &last).get("/rest/api/3/myself").await.status, 200);
}

#[tokio::test]
async fn what_may_stand_once_stands_once() {
    let world = World::start(Engine::Sqlite).await;
    let (cleo, ben) = (signed_in(&world, "Cleo").await, signed_in(&world, "Ben").await);
    let path = "/rest/api/3/myself";
    let gateway = || Arc::clone(&world.gateway);
    assert_eq!(send(gateway(), "GET", path, &[("host", "evil.example")], String::new()).await.0, 400, "two hosts");
    let two = format!("{cleo}; {ben}");
    assert_eq!(send(gateway(), "GET", path, &[("cookie", &two)], String::new()).await.0, 400, "two sessions");
    let same = format!("{cleo}; {cleo}");
    assert_eq!(send(gateway(), "GET", path, &[("cookie", &same)], String::new()).await.0, 200, "one session, twice");
    let twice = [("authorization", "Basic YTpi"), ("authorization", "Basic YTpi")];
    assert_eq!(send(gateway(), "GET", path, &twice, String::new()).await.0, 400, "two credentials");
    let both = world.by("Cleo").header("cookie", &cleo).get(path).await;
    assert_eq!(both.status, 403, "a token and a session");
}

#[tokio::test]
async fn credentials_of_another_kind_prove_nobody() {
    let world = World::start(Engine::Sqlite).await;
    let cleo = world.person("Cleo").clone();
    let cookie = signed_in(&world, "Cleo").await;
    let session = cookie.split_once('=').expect("a cookie").1;
    let made = world
        .by("Cleo")
        .post("/api/portcullis/v1/me/api-tokens", json!({"label": "s", "days": 1, "scopes": ["read:jira-work"]}))
        .await;
    let scoped = made.at("/token");
    let at_gateway = format!("/ex/jira/{}/rest/api/3/issue/DEMO-1", world.cloud_id());
    let email = cleo.email.as_str();
    for (what, email, secret) in [
        ("session as token", email, session),
        ("password as token", email, cleo.password.as_str()),
        ("scoped token on the site", email, scoped.as_str()),
        ("another's token", email, world.person("Ada").api_token.as_str()),
        ("account id for e-mail", cleo.account_id.as_str(), cleo.api_token.as_str()),
        ("e-mail with a blank", " cleo@acme.example", cleo.api_token.as_str()),
    ] {
        world.gateway.guard().reset_throttle();
        assert_eq!(world.with_basic(email, secret).get("/rest/api/3/myself").await.status, 401, "{what}");
    }
    assert_eq!(world.by("Cleo").get(&at_gateway).await.status, 401, "site token at the gateway");
    let myself = format!("/ex/jira/{}/rest/api/3/myself", world.cloud_id());
    assert_eq!(world.with_header("cookie", &cookie).get(&myself).await.status, 401, "session at the gateway");
    assert_eq!(world.with_basic(email, &scoped).get(&at_gateway).await.status, 200);
    let as_session = format!("portcullis.session={}", cleo.api_token);
    assert_eq!(
        world.with_header("cookie", &as_session).get("/rest/api/3/myself").await.status,
        401,
        "token as session"
    );
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let world = World::start(Engine::Sqlite).await;
    let cookie = signed_in(&world, "Cleo").await;
    let path = "/api/portcullis/v1/me/api-tokens";
    let body = r#"{"label":"x","days":1}"#.to_owned();
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", ORIGIN)],
    ] {
        let mut all = vec![("cookie", cookie.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        assert_eq!(send(Arc::clone(&world.gateway), "POST", path, &all, body.clone()).await.0, 403, "{headers:?}");
    }
    for media in ["text/plain", FORM, "multipart/form-data; boundary=x"] {
        let all = [("cookie", cookie.as_str()), ("content-type", media), ("origin", ORIGIN)];
        assert_eq!(send(Arc::clone(&world.gateway), "POST", path, &all, body.clone()).await.0, 415, "{media}");
    }
    let page = world.with_header("cookie", &cookie).get("/account/api-tokens").await.text;
    let token_of = |action: &str| {
        let form = page.split(&format!("action=\"{action}\"")).nth(1).expect("a form");
        form.split("name=\"form_token\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("a token")
            .to_owned()
    };
    let all = [("cookie", cookie.as_str()), ("content-type", FORM), ("origin", ORIGIN)];
    for token in [String::new(), token_of("/logout")] {
        let body = format!("form_token={token}&label=evil&days=1");
        let posted = send(Arc::clone(&world.gateway), "POST", "/account/api-tokens", &all, body).await;
        assert_eq!(posted.0, 403, "form token `{token}`");
    }
    let foreign = [("content-type", FORM), ("origin", "null")];
    let login = send(Arc::clone(&world.gateway), "POST", "/login", &foreign, "email=a&password=b".to_owned()).await;
    assert_eq!(login.0, 403, "signing somebody in from elsewhere");
    assert_eq!(world.by("Cleo").get(path).await.json()["values"].as_array().map(Vec::len), Some(1), "nothing was made");
}

#[tokio::test]
async fn paths_and_methods_are_what_they_say() {
    let world = World::start(Engine::Sqlite).await;
    let cleo = world.by("Cleo");
    for (path, status) in [
        ("/rest/api/3/..%2f..%2f_emulator/clock", 400),
        ("/rest/api/3/project/%2e%2e", 400),
        ("/rest/api/3/project/%C0%AE", 400),
        ("/rest/api/3/project/%252e%252e", 404),
        ("/rest/api/3/myself;x", 404),
        ("/rest/api/3/myself.", 404),
        ("/rest/api/3/%6dyself", 404),
        ("/rest/api/1.0/myself", 404),
        ("/REST/api/3/myself", 404),
        ("/rest/api/3/project/%EF%BC%B6AULT", 404),
        ("/rest/api/3/issue/VAULT-%EF%BC%91", 404),
        ("/ex/jira/x/rest/api/3/myself", 404),
    ] {
        assert_eq!(cleo.get(path).await.status, status, "{path}");
    }
    let gateway = format!("/ex/jira/{}", world.cloud_id());
    for path in ["/login", "/api/portcullis/v1/users", "/rest/../login", "/secure/attachment/1/x"] {
        let status = cleo.get(&format!("{gateway}{path}")).await.status;
        assert!(matches!(status, 400 | 404), "{path} {status}");
    }
    for header in ["x-http-method-override", "x-method-override", "x-http-method"] {
        world.by("Ada").header(header, "DELETE").get("/rest/api/3/issue/DEMO-1?_method=DELETE").await;
    }
    assert_eq!(world.by("Ada").get("/rest/api/3/issue/DEMO-1").await.status, 200);
    let allow = |answer: &Answer| answer.header("allow").map(str::to_owned);
    for method in ["OPTIONS", "HEAD"] {
        let hidden = cleo.send(method, "/rest/api/3/issue/VAULT-1", None).await;
        let absent = cleo.send(method, "/rest/api/3/issue/VAULX-1", None).await;
        assert_eq!((hidden.status, allow(&hidden)), (absent.status, allow(&absent)), "{method}");
    }
}

#[tokio::test]
async fn somebody_elses_decision_looks_like_none() {
    let world = World::start(Engine::Sqlite).await;
    let refused = world.by("Cleo").get("/rest/api/3/issue/VAULT-1").await;
    let id = refused.header("portcullis-decision").expect("an id").to_owned();
    let path = format!("/api/portcullis/v1/decisions/{id}");
    let forged = format!("{}AA", &path[..path.len() - 2]);
    let (other, none) = (world.by("Dan").get(&path).await, world.by("Dan").get(&forged).await);
    assert_eq!((other.status, &other.text), (404, &none.text));
    let own = world.by("Cleo").get(&path).await;
    assert_eq!(own.status, 200);
    assert!(!own.text.contains("10001") && !own.text.contains("BROWSE"), "{}", own.text);
}

#[tokio::test]
async fn the_emulated_clock_does_not_run_back() {
    let world = World::start(Engine::Sqlite).await;
    let before = world.anonymous().get("/_emulator/clock").await.json()["now_ms"].as_i64();
    for _ in 0..2 {
        world.anonymous().post("/_emulator/clock", json!({"advance_ms": i64::MAX})).await;
    }
    assert!(world.anonymous().get("/_emulator/clock").await.json()["now_ms"].as_i64() >= before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sign_in_under_way_does_not_outlive_the_password() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.person("Cleo").clone();
        let attempts: Vec<_> = (0..20)
            .map(|_| tokio::spawn(sign_in(Arc::clone(&world.gateway), cleo.email.clone(), cleo.password.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(60)).await;
        let path = format!("/api/portcullis/v1/users/{}/password", cleo.account_id);
        let changed = world.by("Ada").put(&path, json!({"password": "another password"})).await;
        assert_eq!(changed.status, 204, "{}", changed.text);
        for attempt in attempts {
            let (_, cookie) = attempt.await.expect("a task");
            if !cookie.is_empty() {
                let used = world.with_header("cookie", &cookie).get("/rest/api/3/myself").await;
                assert_eq!(used.status, 401, "a session of the old password: {cookie}");
            }
        }
    }
}

#[tokio::test]
async fn strangers_bodies_have_little_room_and_take_none_from_others() {
    let world = World::start(Engine::Sqlite).await;
    let upload = |credential: Option<String>| {
        let gateway = Arc::clone(&world.gateway);
        let mut request = http::Request::post("/rest/api/3/issue/DEMO-1/attachments")
            .header("host", "portcullis.test")
            .header("x-atlassian-token", "no-check")
            .header("content-type", "multipart/form-data; boundary=x")
            .header("transfer-encoding", "chunked");
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        // It begins, and never ends.
        let body = Full::new(Bytes::from(vec![b'a'; 20 << 20]));
        let request = request.body(body.with_trailers(std::future::pending())).expect("a request");
        tokio::spawn(async move { gateway.handle(request, None).await.status().as_u16() })
    };
    let mut strangers: Vec<_> = (0..10).map(|_| upload(None)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut turned_away = 0;
    for stranger in strangers.iter_mut().filter(|stranger| stranger.is_finished()) {
        assert_eq!(stranger.await.expect("a task"), 503);
        turned_away += 1;
    }
    assert_eq!(turned_away, 8, "48 MiB hold two bodies of 20");
    let pair = format!("{}:{}", world.person("Cleo").email, world.person("Cleo").api_token);
    let credential = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair));
    let known = upload(Some(credential));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!known.is_finished(), "there is room for who is known");
    let small = world.anonymous().post("/rest/api/3/issue", json!({"fields": {"project": {"key": "X"}}})).await;
    assert_ne!(small.status, 503, "small bodies ask for no room");
    known.abort();
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let again = upload(None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!again.is_finished(), "room is given back");
    again.abort();
}
