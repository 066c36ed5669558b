//! What a hostile and what a tired person would send: never a 500, never a partial write.

use portcullis_testkit::world::{Engine, World};
use serde_json::json;

#[tokio::test]
async fn every_kind_of_bad_request_has_its_answer() {
    let world = World::start(Engine::Sqlite).await;
    let ben = world.by("Ben");
    let issue = "/rest/api/3/issue";
    let json = Some("application/json");
    assert_eq!(ben.send_bytes("POST", issue, json, "{".into()).await.status, 400);
    assert!(ben.send_bytes("POST", issue, json, "{\n \"a\": x}".into()).await.text.contains("line 2, column"));
    assert_eq!(ben.send_bytes("POST", issue, json, "[]".into()).await.status, 400);
    assert_eq!(ben.send_bytes("POST", issue, Some("text/plain"), "{}".into()).await.status, 415);
    assert_eq!(ben.send_bytes("POST", issue, None, "{}".into()).await.status, 415);
    assert_eq!(ben.send_bytes("POST", issue, json, vec![b' '; 5 << 20].into()).await.status, 413);
    assert_eq!(ben.get("/rest/api/3/nope").await.status, 404);
    let other = ben.send("DELETE", "/rest/api/3/myself", None).await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(ben.send("PATCH", issue, Some(json!({}))).await.status, 400);
    for path in
        ["/rest/api/3/../3/myself", "/rest/api/3/%2e%2e/myself", "/rest/api/3/issue/a%00b", "/rest/api/3/issue/a%2fb"]
    {
        assert_eq!(ben.get(path).await.status, 400, "{path}");
    }
    let twice = world.by("Ben").header("authorization", "Basic eA==").get("/rest/api/3/myself").await;
    assert_eq!(twice.status, 400, "{}", twice.text);
}

#[tokio::test]
async fn odd_values_are_refused_in_words() {
    let world = World::start(Engine::Sqlite).await;
    let ben = world.by("Ben");
    let deep = (0..200).fold(json!("x"), |inner, _| json!([inner]));
    for fields in [
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": ""}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "a\nb"}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x".repeat(256)}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": 7}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Nope"}, "summary": "x"}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "nope": 1}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "assignee": {"accountId": "nobody"}}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "duedate": "tomorrow"}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "labels": ["a b"]}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "description": "plain"}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x", "description": deep}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Sub-task"}, "summary": "x"}),
        json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Sub-task"}, "summary": "x", "parent": {"key": "VAULT-1"}}),
        json!({"project": [], "issuetype": {}, "summary": {}}),
        json!(null),
    ] {
        let answer = ben.post("/rest/api/3/issue", json!({"fields": fields})).await;
        assert_eq!(answer.status, 400, "{fields} -> {}", answer.text);
        assert!(answer.text.contains("error"), "{}", answer.text);
    }
    let total = ben.post("/rest/api/3/search/approximate-count", json!({"jql": "project = DEMO"})).await.at("/count");
    assert_eq!(total, "3", "nothing was half-made");
}

#[tokio::test]
async fn text_that_databases_trip_over_is_kept_or_refused_but_never_breaks() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ben = world.by("Ben");
        for summary in ["'; DROP TABLE jira_issue; --", "%_\\", "𝒳 ﷽ \u{202e}x", "a\u{0}b", "\u{feff}x"] {
            let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": summary});
            let made = ben.post("/rest/api/3/issue", json!({"fields": fields})).await;
            let expected = if summary.contains('\0') || summary.trim().is_empty() { 400 } else { 201 };
            assert_eq!(made.status, expected, "{summary:?} -> {}", made.text);
            if made.status == 201 {
                let read = ben.get(&format!("/rest/api/3/issue/{}", made.at("/key"))).await;
                assert_eq!(read.at("/fields/summary"), summary.trim());
            }
        }
    }
}

#[tokio::test]
async fn cookies_need_a_request_of_our_own_pages() {
    let world = World::start(Engine::Sqlite).await;
    let ben = world.person("Ben").clone();
    let form = format!("email={}&password={}", ben.email.replace('@', "%40"), ben.password);
    let kind = Some("application/x-www-form-urlencoded");
    let signed_in = world.anonymous().send_bytes("POST", "/login", kind, form.into()).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.text);
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let browser = world.with_header("cookie", &cookie);
    assert_eq!(browser.get("/rest/api/3/myself").await.status, 200);

    let body = json!({"name": "From elsewhere"});
    for (name, value) in
        [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("x-atlassian-token", "no-check")]
    {
        let refused = browser.clone().header(name, value).put("/rest/api/3/project/DEMO", body.clone()).await;
        assert_eq!((refused.status, refused.text.as_str()), (403, "XSRF check failed"), "{name}: {value}");
    }
    let ours = browser.clone().header("origin", "http://portcullis.test").put("/rest/api/3/project/DEMO", body).await;
    assert_eq!(ours.status, 200, "{}", ours.text);
    let both = world.by("Ben").header("cookie", &cookie).get("/rest/api/3/myself").await;
    assert_eq!(both.status, 403, "two credentials at once: {}", both.text);
}

#[tokio::test]
async fn emulator_controls_move_time_and_inject_faults() {
    let world = World::start(Engine::Sqlite).await;
    let before: i64 = world.anonymous().get("/_emulator/clock").await.at("/now_ms").parse().unwrap();
    let moved = world.anonymous().post("/_emulator/clock", json!({"advance_ms": 5000})).await;
    assert_eq!(moved.at("/now_ms"), (before + 5000).to_string());
    assert_eq!(world.anonymous().post("/_emulator/clock", json!({"advance_ms": -1})).await.status, 400);
    let fault = json!({"target": "getCurrentUser", "kind": "rate_limit", "count": 2});
    assert_eq!(world.anonymous().post("/_emulator/fault", fault).await.status, 204);
    let limited = world.by("Ben").get("/rest/api/3/myself").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
    assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 429);
    assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 200);
    assert_eq!(world.anonymous().post("/_emulator/reset", json!({})).await.at("/offset_ms"), "0");
}
