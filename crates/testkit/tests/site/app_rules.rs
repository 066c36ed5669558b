//! App access rules: a closed project does not exist for an app, whichever gate it comes through; people are not touched. On both
//! engines.

use portcullis_testkit::connect::ConnectApp;
use portcullis_testkit::forge::{ForgeApp, invoke, manifest};
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::{Answer, World};
use serde_json::json;

const RULES: &str = "/api/portcullis/v1/app-access-rules";
const ISSUE: &str = "/rest/api/3/issue/DEMO-1";
const FORGE: &str = "exports.run = async ({ call }) => {
    const answer = await __forge_fetch__({ type: 'fpp', provider: call.payload.as, remote: 'jira' }, call.payload.path);
    return { status: answer.status };
}; exports.hook = () => ({ statusCode: 200 });";

async fn close(world: &World, project: &str, app: &str) -> String {
    let made = world.by("Ada").post(RULES, json!({"project": project, "app": app})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.at("/id")
}

async fn open(world: &World, id: &str) {
    assert_eq!(world.by("Ada").delete(&format!("{RULES}/{id}")).await.status, 204);
}

fn keys(found: &Answer) -> Vec<String> {
    let json = found.json();
    let issues = json["issues"].as_array().cloned().unwrap_or_default();
    issues.iter().filter_map(|issue| issue["key"].as_str().map(str::to_owned)).collect()
}

on_both_engines! {
    async fn a_closed_project_does_not_exist_for_an_oauth_app(world: World) {
        let app = world.app("Ben", json!({})).await;
        let token = world.tokens("Ben", &app, "read:jira-work write:jira-work read:me").await.access;
        let asks = |path: &str| { let path = world.at_gateway(path); let client = world.bearer(&token); async move { client.get(&path).await } };
        assert_eq!(asks(ISSUE).await.status, 200);
        let searched = "/rest/api/3/search/jql?jql=project%20is%20not%20EMPTY&fields=key";
        assert!(keys(&asks(searched).await).iter().any(|key| key == "DEMO-1"));

        let rule = close(&world, "DEMO", &format!("oauth:{}", app.client_id)).await;
        let (gone, absent) = (asks(ISSUE).await, asks("/rest/api/3/issue/NONE-1").await);
        assert_eq!((gone.status, gone.text), (404, absent.text), "as if it did not exist");
        let left = keys(&asks(searched).await);
        assert!(!left.is_empty() && left.iter().all(|key| key.starts_with("VAULT")), "{left:?}");
        for path in ["/rest/api/3/issue/DEMO-1/comment", "/rest/api/3/issue/DEMO-1/transitions"] {
            assert_eq!(asks(path).await.status, 404, "{path}");
        }
        let body = json!({"fields": {"project": {"key": "DEMO"}, "summary": "No", "issuetype": {"name": "Task"}}});
        let made = world.bearer(&token).post(&world.at_gateway("/rest/api/3/issue"), body).await;
        assert!([400, 403, 404].contains(&made.status), "{}", made.text);
        assert_eq!(asks("/rest/api/3/data-policy").await.json(), json!({"anyContentBlocked": true}));
        // The person, in person.
        assert_eq!(world.by("Ben").get(ISSUE).await.status, 200);
        // Another app.
        let other = world.app("Ben", json!({"name": "Other"})).await;
        let token = world.tokens("Ben", &other, "read:jira-work").await.access;
        assert_eq!(world.bearer(&token).get(&world.at_gateway(ISSUE)).await.status, 200);

        open(&world, &rule).await;
        assert_eq!(asks(ISSUE).await.status, 200, "at the next request");
        assert_eq!(asks("/rest/api/3/data-policy").await.json(), json!({"anyContentBlocked": false}));
    }

    async fn a_rule_holds_for_connect_apps_and_their_webhooks(world: World) {
        let app = ConnectApp::start("ruled", &["READ", "WRITE"]).await;
        app.change(&json!({"modules": {"webhooks": [{"event": "comment_created", "url": "/heard"}]}}));
        assert_eq!(world.install(&app).await.status, 201);
        world.sends_webhooks();
        assert_eq!(world.as_app(&app, "GET", ISSUE, None).await.status, 200);
        let rule = close(&world, "DEMO", "connect:ruled").await;
        assert_eq!(world.as_app(&app, "GET", ISSUE, None).await.status, 404);
        let text = |text: &str| json!({"body": {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]}});
        let comments = "/rest/api/3/issue/DEMO-1/comment";
        assert_eq!(world.by("Ben").post(comments, text("unheard")).await.status, 201);
        open(&world, &rule).await;
        assert_eq!(world.by("Ben").post(comments, text("heard")).await.status, 201);
        let heard = app.last("/heard").await;
        assert!(heard.body.to_string().contains("heard") && app.received().iter().all(|it| !it.body.to_string().contains("unheard")));
    }

    async fn a_rule_for_every_app_holds_for_forge_apps_too_and_for_those_that_come_later(world: World) {
        close(&world, "DEMO", "*").await;
        let (_, id) = ForgeApp::installed(&world, manifest(&["read:jira-work"], &[]), FORGE).await;
        for who in ["app", "user"] {
            let status = |path: &'static str| { let world = &world; let id = &id; async move { invoke(world, "Ben", id, None, json!({"as": who, "path": path})).await.json()["body"]["status"].clone() } };
            assert_eq!(status(ISSUE).await, json!(404), "{who}");
        }
        let app = world.app("Ben", json!({})).await;
        let token = world.tokens("Ben", &app, "read:jira-work").await.access;
        assert_eq!(world.bearer(&token).get(&world.at_gateway(ISSUE)).await.status, 404);
        // Names of projects are no content.
        assert_eq!(world.bearer(&token).get(&world.at_gateway("/rest/api/3/project/DEMO")).await.status, 200);
    }

    async fn rules_are_an_administrators_and_name_what_is_there(world: World) {
        assert_eq!(world.by("Ben").get(RULES).await.status, 403);
        assert_eq!(world.by("Ben").post(RULES, json!({"project": "DEMO", "app": "*"})).await.status, 403);
        for (body, field) in [
            (json!({"project": "NONE", "app": "*"}), "project"),
            (json!({"project": "DEMO", "app": "connect:none"}), "app"),
            (json!({"app": "*"}), "project"),
            (json!({"project": "DEMO"}), "app"),
        ] {
            let refused = world.by("Ada").post(RULES, body).await;
            assert_eq!(refused.status, 400, "{}", refused.text);
            assert!(refused.json()["errors"].get(field).is_some(), "{}", refused.text);
        }
        let id = close(&world, "DEMO", "*").await;
        assert_eq!(world.by("Ada").post(RULES, json!({"project": "DEMO", "app": "*"})).await.status, 409);
        assert_eq!(world.by("Ada").get(RULES).await.json()["values"][0]["project"]["key"], json!("DEMO"));
        let audit = world.by("Ada").get("/api/portcullis/v1/audit?limit=50").await;
        assert!(audit.text.contains("manageCreateAppRule") && audit.text.contains("closedTo"), "{}", audit.text);
        open(&world, &id).await;
        assert_eq!(world.by("Ada").delete(&format!("{RULES}/{id}")).await.status, 404);
    }
}
