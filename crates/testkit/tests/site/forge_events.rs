//! Forge apps that run because something happened, was queued, or is due. None of it is lost, and none of it tells more than the
//! app's account may see.

use std::time::Duration;

use portcullis_testkit::forge::ForgeApp;
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::World;
use serde_json::{Value as Json, json};

/// Writes what it is run for into its log, and pushes to its queue when an issue's summary says so.
const CODE: &str = r#"
const stargate = { type: 'fpp', provider: 'app', remote: 'stargate' };
const queue = async (operation, body) => {
    const response = await __forge_fetch__(stargate, `/webhook/queue/${operation}/{contextAri}/{environmentId}/{appId}/{appVersion}`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
};
exports.trigger = async (event, context) => {
    console.log('event', JSON.stringify(event));
    if (event.issue?.fields?.summary === 'write') {
        await __forge_fetch__({ type: 'fpp', provider: 'app', remote: 'jira' }, `/rest/api/3/issue/${event.issue.key}`, { method: 'PUT', body: '{"fields":{"summary":"written by the app"}}', headers: { 'content-type': 'application/json' } });
    }
    if (event.issue?.fields?.summary === 'again') return { _retry: true, retryOptions: { retryAfter: 10, retryReason: 'FUNCTION_UPSTREAM_RATE_LIMITED', retryData: { seen: 1 } } };
};
exports.run = async ({ call: { payload } }) => queue(payload.operation, payload.body);
exports.consume = async (event, context) => {
    console.log('queued', JSON.stringify(event));
    if (event.body === 'circle') await queue('publish', { queueName: 'work', jobId: 'circle', schema: 'app-event-2', payload: [{ body: 'circle' }] });
    if (event.body === 'throw') throw new Error('no');
};
exports.tick = async (event) => { console.log('tick', JSON.stringify(event)); };
"#;

fn manifest(scopes: &[&str], ignore_self: bool) -> Json {
    json!({
        "modules": {
            "trigger": [
                {"key": "issues", "function": "trigger", "events": ["avi:jira:created:issue", "avi:jira:updated:issue", "avi:jira:commented:issue", "avi:jira:viewed:issue"], "filter": {"ignoreSelf": ignore_self}},
                {"key": "assigned", "function": "trigger", "events": ["avi:jira:assigned:issue"]},
            ],
            "scheduledTrigger": [{"key": "hourly", "function": "tick", "interval": "hour"}],
            "consumer": [{"key": "worker", "queue": "work", "function": "consume"}],
            "jira:issuePanel": [{"key": "panel", "title": "Panel", "resolver": {"function": "run"}}],
            "function": [{"key": "trigger", "handler": "index.trigger"}, {"key": "run", "handler": "index.run"},
                         {"key": "consume", "handler": "index.consume"}, {"key": "tick", "handler": "index.tick"}],
        },
        "permissions": {"scopes": scopes},
    })
}

/// What was logged after a word, as JSON, the oldest first.
async fn logged(app: &ForgeApp, world: &World, word: &str) -> Vec<Json> {
    let mut out: Vec<Json> = Vec::new();
    for entry in app.log(world).await {
        let lines = entry["lines"].as_array().cloned().unwrap_or_default();
        let texts = lines.iter().filter_map(|line| line["text"].as_str()).filter_map(|text| text.strip_prefix(word));
        out.extend(texts.filter_map(|text| serde_json::from_str(text.trim()).ok()));
    }
    out.reverse();
    out
}

/// Waits until so much was logged after a word.
async fn until(app: &ForgeApp, world: &World, word: &str, many: usize) -> Vec<Json> {
    for _ in 0..200 {
        let found = logged(app, world, word).await;
        if found.len() >= many {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{word} was logged {} times, not {many}: {:?}", logged(app, world, word).await.len(), app.log(world).await);
}

async fn summary(world: &World, who: &str, issue: &str, text: &str) {
    let path = format!("/rest/api/3/issue/{issue}");
    let changed = world.by(who).put(&path, json!({"fields": {"summary": text}})).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
}

async fn push(world: &World, installation: &str, operation: &str, body: Json) -> (u64, Json) {
    let payload = json!({"operation": operation, "body": body});
    let answer = portcullis_testkit::forge::invoke(world, "Ada", installation, None, payload).await;
    let json = answer.json()["body"].clone();
    (json["status"].as_u64().unwrap_or_default(), json["body"].clone())
}

on_both_engines! {
    async fn an_app_is_told_of_what_its_account_sees_and_of_nothing_else(world: World) {
        world.sends_webhooks();
        let (app, _) = ForgeApp::installed(&world, manifest(&["read:jira-work"], true), CODE).await;
        let (deaf, _) = ForgeApp::installed(&world, manifest(&["read:jira-user"], false), CODE).await;
        // What the app does not see comes first: when the second is there, the first would be.
        summary(&world, "Ben", "VAULT-1", "hidden").await;
        summary(&world, "Ben", "DEMO-1", "seen").await;
        let events = until(&app, &world, "event", 1).await;
        assert_eq!(events.len(), 1, "VAULT is not told of: {events:?}");
        let event = &events[0];
        assert_eq!((&event["eventType"], &event["issue"]["key"]), (&json!("avi:jira:updated:issue"), &json!("DEMO-1")));
        assert_eq!(event["issue"]["fields"]["summary"], json!("seen"));
        assert_eq!(event["changelog"]["items"][0]["field"], json!("summary"));
        assert_eq!(event["atlassianId"], json!(world.person("Ben").account_id));
        assert_eq!((&event["selfGenerated"], &event["context"]["moduleKey"]), (&json!(false), &json!("issues")));
        assert!(event["timestamp"].is_string() && event.get("webhookEvent").is_none(), "{event}");

        // Comments come as documents, and once.
        let body = json!({"body": {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "hello"}]}]}});
        assert_eq!(world.by("Ben").post("/rest/api/3/issue/DEMO-1/comment", body).await.status, 201);
        let events = until(&app, &world, "event", 2).await;
        assert_eq!((&events[1]["eventType"], &events[1]["comment"]["body"]["type"]), (&json!("avi:jira:commented:issue"), &json!("doc")));

        // An assignment is an update as well, for two triggers.
        let assigned = json!({"accountId": world.person("Ben").account_id});
        let before = world.by("Ben").get("/rest/api/3/issue/DEMO-1").await.json()["fields"]["assignee"]["accountId"].clone();
        let assigned = if before == assigned["accountId"] { json!({"accountId": null}) } else { assigned };
        assert_eq!(world.by("Ben").put("/rest/api/3/issue/DEMO-1/assignee", assigned).await.status, 204);
        let events = until(&app, &world, "event", 4).await;
        let mut kinds: Vec<&str> = events[2..].iter().filter_map(|event| event["eventType"].as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["avi:jira:assigned:issue", "avi:jira:updated:issue"]);

        assert_eq!(logged(&deaf, &world, "event").await.len(), 0, "without the scope nothing is told");
    }

    async fn what_an_app_did_itself_is_no_news_to_it_where_it_says_so(world: World) {
        world.sends_webhooks();
        let scopes = ["read:jira-work", "write:jira-work"];
        let (ignores, id) = ForgeApp::installed(&world, manifest(&scopes, true), CODE).await;
        summary(&world, "Ben", "DEMO-1", "write").await;
        for _ in 0..100 {
            if world.by("Ben").get("/rest/api/3/issue/DEMO-1").await.text.contains("written by the app") { break; }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        summary(&world, "Ben", "DEMO-1", "after").await;
        let events = until(&ignores, &world, "event", 2).await;
        let told: Vec<&Json> = events.iter().map(|event| &event["issue"]["fields"]["summary"]).collect();
        assert_eq!(told, [&json!("write"), &json!("after")]);
        let gone = world.by("Ada").delete(&format!("/api/portcullis/v1/forge/installations/{id}")).await;
        assert_eq!(gone.status, 204);
        let (hears, _) = ForgeApp::installed(&world, manifest(&scopes, false), CODE).await;
        summary(&world, "Ben", "DEMO-1", "write").await;
        let events = until(&hears, &world, "event", 2).await;
        let by_itself: Vec<&Json> = events.iter().map(|event| &event["selfGenerated"]).collect();
        assert_eq!(by_itself, [&json!(false), &json!(true)]);
        assert_eq!(events[1]["issue"]["fields"]["summary"], json!("written by the app"));
    }

    async fn an_app_asks_for_an_event_again_and_gets_it_so_often_and_no_more(world: World) {
        world.sends_webhooks();
        let (app, _) = ForgeApp::installed(&world, manifest(&["read:jira-work"], false), CODE).await;
        summary(&world, "Ben", "DEMO-1", "again").await;
        let first = until(&app, &world, "event", 1).await;
        assert!(first[0].get("retryContext").is_none());
        for attempt in 1..=4 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            world.clock.advance_ms(11_000);
            let events = until(&app, &world, "event", attempt + 1).await;
            let retry = &events[attempt]["retryContext"];
            assert_eq!(retry["retryCount"], json!(attempt), "{retry}");
            assert_eq!((&retry["retryReason"], &retry["retryData"]), (&json!("FUNCTION_UPSTREAM_RATE_LIMITED"), &json!({"seen": 1})));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.clock.advance_ms(1_000_000);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(logged(&app, &world, "event").await.len(), 5);
    }

    async fn what_is_pushed_to_a_queue_runs_and_is_counted(world: World) {
        world.sends_webhooks();
        let (app, id) = ForgeApp::installed(&world, manifest(&["read:jira-work"], false), CODE).await;
        let event = |job: &str, body: Json| json!({"queueName": "work", "jobId": job, "schema": "ari:cloud:ecosystem::forge/app-event-2", "payload": [body]});
        assert_eq!(push(&world, &id, "publish", event("job-1", json!({"body": {"n": 1}}))).await.0, 201);
        let queued = until(&app, &world, "queued", 1).await;
        assert_eq!((&queued[0]["queueName"], &queued[0]["jobId"], &queued[0]["body"]), (&json!("work"), &json!("job-1"), &json!({"n": 1})));
        assert_eq!(push(&world, &id, "publish", event("job-2", json!({"body": "throw"}))).await.0, 201);
        until(&app, &world, "queued", 2).await;
        // Delayed, looked at, called off.
        assert_eq!(push(&world, &id, "publish", event("job-3", json!({"body": 3, "delayInSeconds": 60}))).await.0, 201);
        let stats = |success: i64, waiting: i64, failed: i64| json!({"success": success, "inProgress": waiting, "failed": failed});
        let job = |job: &str| json!({"queueName": "work", "jobId": job});
        for (name, counted) in [("job-1", stats(1, 0, 0)), ("job-2", stats(0, 0, 1)), ("job-3", stats(0, 1, 0))] {
            let mut found = Json::Null;
            for _ in 0..50 {
                found = push(&world, &id, "stats", job(name)).await.1;
                if found == counted { break; }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(found, counted, "{name}");
        }
        assert_eq!(push(&world, &id, "cancel", job("job-3")).await.0, 204);
        assert_eq!(push(&world, &id, "stats", job("job-3")).await.0, 404);
        world.clock.advance_ms(61_000);
        // Another app does not see the job, and what is no event is refused.
        let (_, other) = ForgeApp::installed(&world, manifest(&["read:jira-work"], false), CODE).await;
        assert_eq!(push(&world, &other, "stats", job("job-1")).await.0, 404);
        let mut stranger = event("job-4", json!({"body": 1}));
        stranger["queueName"] = json!("other");
        assert_eq!(push(&world, &id, "publish", stranger).await.0, 400);
        assert_eq!(push(&world, &id, "publish", event("job-5", json!({"body": "x".repeat(210 << 10)}))).await.0, 413);
        assert_eq!(push(&world, &id, "publish", event("a/b", json!({"body": 1}))).await.0, 400);
        assert_eq!(logged(&app, &world, "queued").await.len(), 2);
        // An app that is gone runs nothing.
        assert_eq!(push(&world, &id, "publish", event("job-6", json!({"body": 6, "delayInSeconds": 60}))).await.0, 201);
        let path = format!("/api/portcullis/v1/forge/installations/{id}");
        assert_eq!(world.by("Ada").delete(&path).await.status, 204);
        world.clock.advance_ms(61_000);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(logged(&app, &world, "queued").await.len(), 2);
    }

    async fn a_scheduled_trigger_runs_when_its_time_has_come(world: World) {
        world.sends_webhooks();
        let (app, _) = ForgeApp::installed(&world, manifest(&["read:jira-work"], false), CODE).await;
        let look = async || world.forge.look_at_schedule(world.gateway.guard()).await.expect("the schedule");
        assert_eq!(look().await, 0);
        world.clock.advance_ms(5 * 60_000);
        assert_eq!(look().await, 1);
        let ticks = until(&app, &world, "tick", 1).await;
        assert_eq!(ticks[0]["context"]["moduleKey"], json!("hourly"));
        assert_eq!(look().await, 0, "once each time");
        world.clock.advance_ms(10 * 3_600_000);
        assert_eq!(look().await, 1, "once after a standstill");
        until(&app, &world, "tick", 2).await;
        assert_eq!(look().await, 0);
    }

    async fn an_app_keeps_properties_about_itself(world: World) {
        let scopes = ["read:app-data:jira", "write:app-data:jira"];
        let code = r"exports.run = async ({ call: { payload } }) => { const response = await __forge_fetch__({ type: 'fpp', provider: payload.as ?? 'app', remote: 'jira' }, '/rest/forge/1/app/properties' + payload.path, payload.init); const text = await response.text(); return { status: response.status, body: text ? JSON.parse(text) : null }; };";
        let manifest = |scopes: &[&str]| json!({
            "modules": {"jira:issuePanel": [{"key": "panel", "title": "Panel", "resolver": {"function": "run"}}], "function": [{"key": "run", "handler": "index.run"}]},
            "permissions": {"scopes": scopes},
        });
        let (_, id) = ForgeApp::installed(&world, manifest(&scopes), code).await;
        let (_, other) = ForgeApp::installed(&world, manifest(&scopes), code).await;
        let (_, without) = ForgeApp::installed(&world, manifest(&["read:jira-work"]), code).await;
        let ask = async |id: &str, payload: Json| {
            let answer = portcullis_testkit::forge::invoke(&world, "Ada", id, None, payload).await;
            answer.json()["body"].clone()
        };
        let put = |value: &str| json!({"path": "/setting", "init": {"method": "PUT", "headers": {"content-type": "application/json"}, "body": value}});
        assert_eq!(ask(&id, put("{\"a\": [1]}")).await["status"], 201);
        assert_eq!(ask(&id, put("{\"a\": [2]}")).await["status"], 200);
        assert_eq!(ask(&id, json!({"path": "/setting"})).await["body"]["value"], json!({"a": [2]}));
        assert_eq!(ask(&id, json!({"path": ""})).await["body"]["keys"][0]["key"], json!("setting"));
        assert_eq!(ask(&other, json!({"path": "/setting"})).await["status"], 404, "another app's are not there");
        // The vendor asks classic scopes for none here, so whoever has any reaches its own properties, and those alone.
        assert_eq!(ask(&without, json!({"path": "/setting"})).await["status"], 404, "its own are none");
        assert_ne!(ask(&id, json!({"path": "/setting", "as": "user"})).await["status"], 200, "the app itself alone");
        assert_eq!(ask(&id, json!({"path": "/setting", "init": {"method": "DELETE"}})).await["status"], 204);
        assert_eq!(ask(&id, json!({"path": "/setting"})).await["status"], 404);
    }
}
