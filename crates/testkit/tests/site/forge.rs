//! Forge apps: deployed, installed with consent, run in the sandbox, and let do what scopes and people together allow.

use portcullis_testkit::forge::{ForgeApp, archive, invoke, manifest};
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::{Engine, World};
use serde_json::{Value as Json, json};

const API: &str = "/api/portcullis/v1/forge";

/// Calls Jira, or storage, as the payload says, and returns what came of it.
const CODE: &str = r#"
const ask = async (target, path, init) => {
    const response = await __forge_fetch__(target, path, init);
    const text = await response.text();
    let body; try { body = JSON.parse(text); } catch { body = text; }
    return { status: response.status, body, error: response.headers.get('forge-proxy-error') };
};
exports.run = async ({ call: { payload }, context }) => {
    console.log('asked for', payload.path ?? payload.kvs ?? payload.url);
    if (payload.fail) throw new TypeError(payload.fail);
    if (payload.url) { const response = await fetch(payload.url, payload.init); return { status: response.status, body: await response.text(), error: response.headers.get('forge-proxy-error') }; }
    if (payload.kvs) return ask({ type: 'kvs', provider: 'app', remote: 'kvs' }, '/api/v1/' + payload.kvs, { method: 'POST', body: JSON.stringify(payload.body), headers: { 'content-type': 'application/json' } });
    if (payload.path) return ask({ type: 'fpp', provider: payload.as, remote: 'jira', accountId: payload.accountId }, payload.path, payload.init);
    return { accountId: context.accountId, issue: context.extension.issue?.key, env: process.env.GREETING ?? null };
};
exports.hook = async (request) => ({ statusCode: 201, headers: { 'content-type': ['text/plain'], 'set-cookie': ['a=b'], 'x-app': ['yes'] }, body: request.method + ' ' + request.body + ' ' + JSON.stringify(request.queryParameters) + ' ' + (request.headers['x-sign'] ?? []) + ' ' + (request.headers.authorization ?? 'none') });
"#;

async fn asked(world: &World, who: &str, installation: &str, payload: Json) -> Json {
    let answer = invoke(world, who, installation, None, payload).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["body"].clone()
}

on_both_engines! {
    async fn an_app_runs_with_what_its_scopes_and_the_person_may_do(world: World) {
        let scopes = ["read:jira-work", "read:jira-user", "storage:app"];
        let (_, id) = ForgeApp::installed(&world, manifest(&scopes, &[]), CODE).await;
        let cleo = world.person("Cleo").account_id.clone();
        let issue = |key: &str, who: &str| json!({"path": format!("/rest/api/3/issue/{key}"), "as": who});
        // Both may.
        assert_eq!(asked(&world, "Cleo", &id, issue("DEMO-1", "user")).await["status"], 200);
        // The app has the scope, the person not the permission.
        assert_eq!(asked(&world, "Cleo", &id, issue("VAULT-1", "user")).await["status"], 404);
        assert_eq!(asked(&world, "Ben", &id, issue("VAULT-1", "user")).await["status"], 200);
        // The person has the permission, the app not the scope.
        let comment = json!({"path": "/rest/api/3/issue/DEMO-1", "as": "user", "init": {"method": "PUT", "headers": {"content-type": "application/json"}, "body": "{\"fields\":{\"summary\":\"x\"}}"}});
        let refused = asked(&world, "Ada", &id, comment).await;
        assert_eq!((refused["status"].as_u64(), refused["body"]["message"].as_str()), (Some(401), Some("Unauthorized; scope does not match")));
        // As itself it sees what its own account does.
        assert_eq!(asked(&world, "Ada", &id, issue("VAULT-1", "app")).await["status"], 404);
        let me = asked(&world, "Cleo", &id, json!({"path": "/rest/api/3/myself", "as": "user"})).await;
        assert_eq!(me["body"]["accountId"], json!(cleo));
        let me = asked(&world, "Cleo", &id, json!({"path": "/rest/api/3/myself", "as": "app"})).await;
        assert_eq!(me["body"]["accountType"], "app");
        // Nobody is somebody because the code says so.
        let ada = world.person("Ada").account_id.clone();
        let other = json!({"path": "/rest/api/3/issue/VAULT-1", "as": "user", "accountId": ada});
        assert_eq!(asked(&world, "Cleo", &id, other).await["status"], 403);
        let nobody = asked(&world, "Ada", &id, json!({"path": "/rest/api/3/myself", "as": "none"})).await;
        assert_eq!(nobody["status"], 401);
        // The issue of a panel is one that the person sees.
        assert_eq!(invoke(&world, "Cleo", &id, Some("VAULT-1"), json!({})).await.status, 404);
        let answer = invoke(&world, "Cleo", &id, Some("DEMO-1"), json!({})).await.json();
        assert_eq!(answer["body"], json!({"accountId": cleo, "issue": "DEMO-1", "env": null}));
    }

    async fn an_app_acts_for_an_absent_person_only_where_its_manifest_allows_impersonation(world: World) {
        let mut described = manifest(&[], &[]);
        described["permissions"]["scopes"] = json!({"read:jira-work": {"allowImpersonation": true}, "read:jira-user": {}, "write:jira-work": {"allowImpersonation": false}});
        let (_, id) = ForgeApp::installed(&world, described, CODE).await;
        let account = |who: &str| world.person(who).account_id.clone();
        let read = |key: &str, account: &str| json!({"path": format!("/rest/api/3/issue/{key}"), "as": "user", "accountId": account});
        // What that person sees, not what the one sees who started it.
        assert_eq!(asked(&world, "Cleo", &id, read("VAULT-1", &account("Ben"))).await["status"], 200);
        assert_eq!(asked(&world, "Ben", &id, read("VAULT-1", &account("Cleo"))).await["status"], 404);
        // The other scopes are the app's while the person is there, and not in an absent one's name.
        let ben = account("Ben");
        let write = json!({"path": "/rest/api/3/issue/DEMO-1", "as": "user", "accountId": ben, "init": {"method": "PUT", "headers": {"content-type": "application/json"}, "body": "{\"fields\":{\"summary\":\"mine\"}}"}});
        let me = json!({"path": "/rest/api/3/myself", "as": "user", "accountId": ben});
        for (call, there) in [(write, 204), (me, 200)] {
            let absent = asked(&world, "Cleo", &id, call.clone()).await;
            assert_eq!((absent["status"].as_u64(), absent["body"]["message"].as_str()), (Some(401), Some("Unauthorized; scope does not match")));
            assert_eq!(asked(&world, "Ben", &id, call).await["status"], there);
        }
        // Not for whom Jira is closed to, for an app, for nobody that there is, or for who is gone.
        let own = asked(&world, "Ada", &id, json!({"path": "/rest/api/3/myself", "as": "app"})).await["body"]["accountId"].as_str().unwrap().to_owned();
        let closed = asked(&world, "Ada", &id, read("DEMO-1", &account("Dan"))).await;
        assert!(matches!(closed["status"].as_u64(), Some(401 | 403 | 404)), "{closed}");
        let gone = world.by("Ada").post(&format!("/api/portcullis/v1/users/{ben}/deactivate"), json!({})).await;
        assert_eq!(gone.status, 200, "{}", gone.text);
        for account in [own.as_str(), "nobody-at-all", "", &ben] {
            assert_eq!(asked(&world, "Ada", &id, read("DEMO-1", account)).await["error"], "NEEDS_AUTHENTICATION_ERR", "{account}");
        }
    }

    async fn values_are_kept_by_installation_and_secrets_apart(world: World) {
        let (_, one) = ForgeApp::installed(&world, manifest(&["storage:app"], &[]), CODE).await;
        let (_, two) = ForgeApp::installed(&world, manifest(&["storage:app"], &[]), CODE).await;
        let (_, without) = ForgeApp::installed(&world, manifest(&["read:jira-work"], &[]), CODE).await;
        let kvs = |operation: &str, body: Json| json!({"kvs": operation, "body": body});
        let set = asked(&world, "Ada", &one, kvs("set", json!({"key": "a", "value": {"n": 1}}))).await;
        assert_eq!(set["status"], 200);
        assert_eq!(asked(&world, "Ada", &one, kvs("get", json!({"key": "a"}))).await["body"]["value"], json!({"n": 1}));
        let other = asked(&world, "Ada", &two, kvs("get", json!({"key": "a"}))).await;
        assert_eq!((other["status"].as_u64(), other["body"]["code"].as_str()), (Some(404), Some("KEY_NOT_FOUND")));
        assert_eq!(asked(&world, "Ada", &without, kvs("get", json!({"key": "a"}))).await["status"], 401);
        // A secret is not a value, and no query shows it.
        asked(&world, "Ada", &one, kvs("secret/set", json!({"key": "s", "value": "hush"}))).await;
        assert_eq!(asked(&world, "Ada", &one, kvs("get", json!({"key": "s"}))).await["status"], 404);
        assert_eq!(asked(&world, "Ada", &one, kvs("secret/get", json!({"key": "s"}))).await["body"]["value"], "hush");
        let all = asked(&world, "Ada", &one, kvs("query", json!({}))).await;
        assert_eq!(all["body"]["data"], json!([{"key": "a", "value": {"n": 1}}]));
        // Whole or not at all.
        let half = json!({"set": [{"key": "b", "value": 1}], "check": [{"key": "a", "conditions": {"and": [{"property": "n", "condition": "EQUAL_TO", "values": [2]}]}}]});
        let half = asked(&world, "Ada", &one, kvs("transaction", half)).await;
        assert_eq!((half["status"].as_u64(), half["body"]["code"].as_str()), (Some(400), Some("CONDITIONAL_CHECK_FAILED")));
        assert_eq!(asked(&world, "Ada", &one, kvs("get", json!({"key": "b"}))).await["status"], 404);
        let conflict = json!({"key": "a", "value": 2, "options": {"keyPolicy": "FAIL_IF_EXISTS"}});
        assert_eq!(asked(&world, "Ada", &one, kvs("set", conflict)).await["body"]["code"], "KEY_CONFLICT");
        // Time passes.
        let ttl = json!({"key": "t", "value": 1, "options": {"ttl": {"value": 1, "unit": "MINUTES"}}});
        asked(&world, "Ada", &one, kvs("set", ttl)).await;
        assert_eq!(asked(&world, "Ada", &one, kvs("get", json!({"key": "t"}))).await["status"], 200);
        world.clock.advance_ms(60_000);
        assert_eq!(asked(&world, "Ada", &one, kvs("get", json!({"key": "t"}))).await["status"], 404);
        // The administrator can take it along, without the secrets.
        let data = world.by("Ada").get(&format!("{API}/installations/{one}/data")).await;
        assert_eq!(data.json()["values"][0]["key"], "a");
        assert!(!data.text.contains("hush"));
        assert_eq!(world.by("Ben").get(&format!("{API}/installations/{one}/data")).await.status, 403);
    }

    async fn a_version_that_reaches_further_waits_for_consent(world: World) {
        let (mut app, id) = ForgeApp::installed(&world, manifest(&["read:jira-work"], &[]), CODE).await;
        let comment = json!({"path": "/rest/api/3/issue/DEMO-1", "as": "user", "init": {"method": "PUT", "headers": {"content-type": "application/json"}, "body": "{\"fields\":{\"summary\":\"changed\"}}"}});
        // Code alone runs at once.
        assert_eq!(app.deploy(&world, &CODE.replace("GREETING", "OTHER")).await.at("/version"), "2.1.0");
        let listed = world.by("Ben").get(&format!("{API}/installations?appId={}", app.id)).await;
        assert_eq!(listed.at("/values/0/codeVersion"), "2.1.0");
        app.describe(manifest(&["read:jira-work", "write:jira-work"], &[]));
        assert_eq!(app.deploy(&world, CODE).await.at("/version"), "3.0.0");
        assert_eq!(asked(&world, "Ada", &id, comment.clone()).await["status"], 401);
        // The developer consents to nothing.
        assert_eq!(world.by("Ben").post(&format!("{API}/installations/{id}/upgrade"), json!({})).await.status, 403);
        assert_eq!(world.by("Ada").post(&format!("{API}/installations/{id}/upgrade"), json!({})).await.status, 200);
        assert_eq!(asked(&world, "Ada", &id, comment).await["status"], 204);
        let gone = world.by("Ada").delete(&format!("{API}/installations/{id}")).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        assert_eq!(invoke(&world, "Ada", &id, None, json!({})).await.status, 404);
    }

    async fn the_outside_reaches_a_web_trigger_by_its_address_alone(world: World) {
        let (app, id) = ForgeApp::installed(&world, manifest(&[], &[]), CODE).await;
        let made = world.by("Ben").post(&format!("{API}/installations/{id}/web-triggers"), json!({"triggerKey": "hook"})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let url = made.at("/url");
        let path = url.strip_prefix("http://portcullis.test").expect("an address of this site").to_owned();
        let called = world.by("Ada").header("x-sign", "s").header("cookie", "portcullis_session=x").send_bytes("POST", &format!("{path}?a=1,2"), Some("application/x-any"), "hello".into()).await;
        assert_eq!(called.status, 201, "{}", called.text);
        // The caller's own credential is not the app's to see; another's is.
        assert_eq!(called.text, "POST hello {\"a\":[\"1\",\"2\"]} s none");
        let called_with = world.with_header("authorization", "Bearer of-the-app").get(&path).await;
        assert!(called_with.text.ends_with("Bearer of-the-app"), "{}", called_with.text);
        assert_eq!((called.header("set-cookie"), called.header("x-app")), (None, Some("yes")));
        assert!(called.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
        assert_eq!(world.anonymous().get("/x1/ptwt_nothing").await.status, 404);
        assert_eq!(world.by("Cleo").post(&format!("{API}/installations/{id}/web-triggers"), json!({"triggerKey": "hook"})).await.status, 404);
        let log = app.log(&world).await;
        assert_eq!((log.len(), log[0]["moduleType"].as_str(), log[0]["outcome"].as_str()), (2, Some("webtrigger"), Some("ok")));
        world.by("Ada").delete(&format!("{API}/installations/{id}")).await;
        assert_eq!(world.anonymous().get(&path).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_throws_and_says_is_in_its_log() {
    let world = World::start(Engine::Sqlite).await;
    let (app, id) = ForgeApp::installed(&world, manifest(&[], &[]), CODE).await;
    let failed = invoke(&world, "Cleo", &id, None, json!({"fail": "on purpose"})).await.json();
    assert_eq!(
        (failed["success"].as_bool(), failed["error"]["errorType"].as_str()),
        (Some(false), Some("FUNCTION_ERR"))
    );
    let log = app.log(&world).await;
    assert_eq!(log[0]["outcome"], "threw");
    assert!(log[0]["detail"].as_str().is_some_and(|detail| detail.starts_with("TypeError: on purpose")), "{}", log[0]);
    assert_eq!(log[0]["lines"][0]["text"], "asked for undefined");
    assert_eq!(world.by("Cleo").get(&format!("{API}/apps/{}/environments/default/logs", app.id)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn egress_is_what_the_manifest_names_and_the_server_may_call() {
    let world = World::start(Engine::Sqlite).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 4096];
            let length = stream.read(&mut read).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&read[..length]).into_owned();
            let answer = match text.contains("GET /away") {
                true => "HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n",
                false => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let allowed = format!("http://127.0.0.1:{port}");
    let (_, id) = ForgeApp::installed(&world, manifest(&[], &[&allowed, "https://10.0.0.1"]), CODE).await;
    let fetched = asked(&world, "Ada", &id, json!({"url": format!("{allowed}/x")})).await;
    assert_eq!((fetched["status"].as_u64(), fetched["body"].as_str()), (Some(200), Some("hi")));
    for url in [
        "https://evil.example/".to_owned(),
        format!("http://127.0.0.1:{port}@evil.example/"),
        format!("http://localhost:{port}/"),
        format!("{allowed}/away"),
        // Named and consented to, but no public address.
        "https://10.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let blocked = asked(&world, "Ada", &id, json!({"url": url})).await;
        assert_eq!(
            (blocked["status"].as_u64(), blocked["error"].as_str()),
            (Some(403), Some("BLOCKED_EGRESS")),
            "{url}: {blocked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_an_app_lead_to_jiras_operations_and_nowhere_else() {
    let world = World::start(Engine::Sqlite).await;
    let (_, id) = ForgeApp::installed(&world, manifest(&["read:jira-work", "storage:app"], &[]), CODE).await;
    for path in [
        "/api/portcullis/v1/users",
        "/admin/apps",
        "/graphql",
        "/rest/../admin/apps",
        "/rest/api/3/%2e%2e/%2e%2e/%2e%2e/admin/apps",
        "//evil.example/rest/api/3/myself",
        "https://evil.example/rest/api/3/myself",
        "/rest/api/3/issue\\..\\..",
        "/forge/storage/kvs/v1/get",
        "/_emulator/clock",
        "/oauth/token",
        "rest/api/3/myself",
        "/metrics",
    ] {
        for (who, method) in [("user", "GET"), ("app", "POST")] {
            let answer = asked(&world, "Ada", &id, json!({"path": path, "as": who, "init": {"method": method}})).await;
            let status = answer["status"].as_u64().unwrap_or(0);
            assert!([400, 404, 405].contains(&status), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_refused_leaves_nothing_but_the_reasons() {
    let world = World::start(Engine::Sqlite).await;
    let good = manifest(&["read:jira-work"], &[]);
    let mut app = ForgeApp::register(&world, good.clone()).await;
    let text = |json: &Json| json.to_string();
    let mut named = good.clone();
    named["app"] = json!({"id": format!("ari:cloud:ecosystem::app/{}", app.id)});
    let with = |name: &str, content: &[u8]| archive(&[("manifest.yml", text(&named).as_bytes()), (name, content)]);
    for (archive, reason) in [
        ("no archive".into(), "cannot be read"),
        (archive(&[("index.cjs", b"x")]), "no manifest"),
        (with("../../etc/cron.d/x", b"x"), "no file of an app"),
        (with("/etc/passwd", b"x"), "no file of an app"),
        (with("a\\b.cjs", b"x"), "no file of an app"),
        (with("other.cjs", b"x"), "which the archive does not hold"),
        (with("index.cjs", b"throw new Error('at load')"), "at load"),
        (with("index.cjs", b"exports.run = ("), "SyntaxError"),
        (with("index.cjs", &vec![b' '; 65 << 20]), "larger than"),
    ] {
        let answer = app.deploy_archive(&world, archive).await;
        assert_eq!(answer.at("/status"), "FAILED", "{reason}: {}", answer.text);
        assert!(answer.text.contains(reason), "{reason}: {}", answer.text);
    }
    app.describe(json!({"modules": {"sql": [{"key": "main"}]}, "permissions": {"scopes": ["read:everything"]}}));
    let answer = app.deploy(&world, CODE).await;
    assert!(answer.text.contains("modules.sql") && answer.text.contains("read:everything"), "{}", answer.text);
    assert_eq!(app.install(&world, "Ada").await.status, 409);
    let described = world.by("Ben").get(&format!("{API}/apps/{}", app.id)).await;
    assert_eq!(described.json()["environments"][0]["versions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_its_developers_and_installing_it_an_administrators() {
    let world = World::start(Engine::Sqlite).await;
    let (app, id) = ForgeApp::installed(&world, manifest(&[], &[]), CODE).await;
    assert_eq!(world.by("Cleo").get(&format!("{API}/apps/{}", app.id)).await.status, 404);
    assert_eq!(world.by("Cleo").post(&format!("{API}/apps/{}/uploads", app.id), json!({})).await.status, 404);
    assert_eq!(world.by("Cleo").get(&format!("{API}/installations")).await.json()["total"], 0);
    assert_eq!(world.by("Ben").get(&format!("{API}/installations")).await.json()["total"], 1);
    assert_eq!(app.install(&world, "Ben").await.status, 403);
    assert_eq!(app.install(&world, "Ada").await.status, 409);
    assert_eq!(world.by("Ben").delete(&format!("{API}/installations/{id}")).await.status, 403);
    assert_eq!(world.anonymous().post("/graphql", json!({"query": "{ me { user { name } } }"})).await.status, 401);
    // A variable of the environment is there at the next invocation, and an encrypted one is never told.
    let variable = format!("{API}/apps/{}/environments/default/variables/GREETING", app.id);
    assert_eq!(world.by("Ben").put(&variable, json!({"value": "hello", "encrypt": true})).await.status, 204);
    assert_eq!(invoke(&world, "Ada", &id, None, json!({})).await.json()["body"]["env"], "hello");
    let listed = world.by("Ben").get(&format!("{API}/apps/{}/environments/default/variables", app.id)).await;
    assert_eq!(listed.json()["values"], json!([{"key": "GREETING", "value": null, "encrypt": true}]));
    let storage = world.by("Ada").post("/forge/storage/kvs/v1/get", json!({"key": "a"})).await;
    assert_eq!(storage.status, 401, "storage is apps' alone: {}", storage.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_what_an_app_may_do_keeps_and_did_and_ends_it() {
    let world = World::start(Engine::Sqlite).await;
    let scopes = ["read:jira-work", "storage:app"];
    let (_, id) = ForgeApp::installed(&world, manifest(&scopes, &["https://api.example.com"]), CODE).await;
    asked(&world, "Cleo", &id, json!({"kvs": "set", "body": {"key": "a", "value": "kept"}})).await;
    invoke(&world, "Cleo", &id, None, json!({"fail": "<b>on purpose</b>"})).await;
    world.forge.flush(world.gateway.guard()).await;
    let ada = world.browser("Ada").await;
    let all = ada.get("/admin/forge-apps").await;
    for words in ["Test app", "read:jira-work", "https://api.example.com", "1 value", "2 runs", "1 failed"] {
        assert!(all.text.contains(words), "{words}: {}", all.text);
    }
    let path = format!("/admin/forge-apps/{id}");
    let page = ada.get(&path).await;
    assert!(page.text.contains("asked for undefined") && page.text.contains("Failed"), "{}", page.text);
    assert!(!page.text.contains("<b>on purpose"), "what an app says is no markup");
    for who in ["Ben", "Cleo"] {
        let other = world.browser(who).await;
        assert_eq!((other.get("/admin/forge-apps").await.status, other.get(&path).await.status), (403, 403));
    }
    let end = page.text.split("/uninstall\"").nth(1).expect("the form that ends it");
    let token = portcullis_testkit::oauth::field(end, "form_token");
    let form = portcullis_testkit::oauth::pairs(&[("form_token", &token)]);
    let kind = Some("application/x-www-form-urlencoded");
    let ended = ada.send_bytes("POST", &format!("{path}/uninstall"), kind, form.into()).await;
    assert_eq!(ended.status, 303, "{}", ended.text);
    assert_eq!(ada.get(&path).await.status, 404);
    assert_eq!(invoke(&world, "Cleo", &id, None, json!({})).await.status, 404);
}
