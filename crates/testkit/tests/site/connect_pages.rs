//! Pages of Connect apps: shown in a frame with a signed address, to those whom they are for; and what a page may do in the session of
//! the person before it, which is what the app's scopes and that person's permissions allow together.

use portcullis_crypto::jws::{UnverifiedJws, VerifyingKey};
use portcullis_guard::qsh;
use portcullis_testkit::connect::{ConnectApp, claims_of};
use portcullis_testkit::oauth::{field, pairs};
use portcullis_testkit::world::{Answer, Client, Engine, World};
use serde_json::{Value as Json, json};

const KEY: &str = "com.example.pages";

async fn with_pages(world: &World, scopes: &[&str]) -> ConnectApp {
    let app = ConnectApp::start(KEY, scopes).await;
    app.change(&json!({"modules": {
        "generalPages": [
            {"key": "open", "url": "/open?project={project.key}&issue={issue.key}", "name": {"value": "Open <page>"}},
            {"key": "same", "url": "/same", "name": {"value": "Same"}, "cacheable": true},
            {"key": "odd", "url": "/odd", "name": {"value": "Odd"}, "conditions": [{"condition": "no_such_condition"}]},
            {"key": "bosses", "url": "/bosses", "name": {"value": "Bosses"}, "conditions": [{"condition": "user_is_admin"}]},
        ],
        "adminPages": [{"key": "admin", "url": "/admin", "name": {"value": "Admin"}}],
    }}));
    let made = world.install(&app).await;
    assert_eq!(made.status, 201, "{}", made.text);
    app
}

fn page(module: &str) -> String {
    format!("/plugins/servlet/ac/{KEY}/{module}")
}

/// The address of the frame of a page.
fn address(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.text);
    let (_, rest) = page.text.split_once(" src=\"http").expect("a frame");
    format!("http{}", rest.split('"').next().unwrap_or_default()).replace("&amp;", "&").replace("&#38;", "&")
}

#[tokio::test]
async fn a_page_is_framed_with_an_address_that_is_signed_for_the_person() {
    let world = World::start(Engine::Sqlite).await;
    let app = with_pages(&world, &["READ"]).await;
    let cleo = world.browser("Cleo").await;
    let shown = cleo.get(&format!("{}?issue.key=DEMO-1", page("open"))).await;
    let url = address(&shown);
    let target = url.strip_prefix(&app.base_url).expect("below the app's address");
    let (path, query) = target.split_once('?').unwrap();
    let names: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
    assert_eq!(
        names,
        ["project", "issue", "xdm_e", "xdm_c", "cp", "xdm_deprecated_addon_key_do_not_use", "lic", "cv", "jwt"]
    );
    assert!(query.starts_with("project=DEMO&issue=DEMO-1&"), "{query}");
    let (signed, token) = query.split_once("&jwt=").unwrap();
    let verifying = VerifyingKey::hs256(app.secret().await.as_bytes()).unwrap();
    assert!(UnverifiedJws::parse(token).unwrap().verify(&verifying).is_ok());
    let claims = claims_of(token);
    assert_eq!(claims["qsh"], qsh::hash(&qsh::canonical("GET", path, signed, qsh::SortedBy::Decoded)));
    assert_eq!(claims["sub"], world.person("Cleo").account_id.as_str());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    // Nothing but the app's own origin can be framed, and nobody frames the page itself.
    let policy = shown.header("content-security-policy").unwrap();
    assert!(
        policy.contains(&format!("frame-src {};", app.base_url)) && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(shown.text.contains("sandbox=\"") && !shown.text.contains("allow-top-navigation"));
    assert!(!shown.text.contains("Open <page>"), "a name is text");
    // The token of the address opens nothing here.
    assert_eq!(world.jwt(token).get("/rest/api/3/myself").await.status, 401);
    // A page that is the same for everyone has no token and nobody's name in its address.
    let same = address(&cleo.get(&page("same")).await);
    assert!(!same.contains("jwt=") && !same.contains(&world.person("Cleo").account_id), "{same}");
}

#[tokio::test]
async fn a_page_is_for_those_whom_it_is_for() {
    let world = World::start(Engine::Sqlite).await;
    let app = with_pages(&world, &["READ"]).await;
    let (ada, cleo) = (world.browser("Ada").await, world.browser("Cleo").await);
    for (module, for_ada, for_cleo) in
        [("open", 200, 200), ("admin", 200, 404), ("bosses", 200, 404), ("odd", 404, 404), ("none", 404, 404)]
    {
        assert_eq!(
            (ada.get(&page(module)).await.status, cleo.get(&page(module)).await.status),
            (for_ada, for_cleo),
            "{module}"
        );
    }
    let nobody = world.anonymous().get(&page("open")).await;
    assert!(
        nobody.status == 303 && nobody.header("location").unwrap_or_default().starts_with("/login"),
        "{}",
        nobody.status
    );
    // What the person does not see is no context, and is as absent as what is not there.
    for about in ["issue.key=VAULT-1", "project.key=VAULT", "issue.key=NONE-1", "project.key=NONE"] {
        let answer = cleo.get(&format!("{}?{about}", page("open"))).await;
        assert_eq!(answer.status, 404, "{about}");
        assert!(!answer.text.contains(&app.base_url));
    }
    assert_eq!(ada.get(&format!("{}?issue.key=VAULT-1", page("open"))).await.status, 200);
    let stopped = world.by("Ada").post(&format!("/api/portcullis/v1/connect-apps/{KEY}/disable"), json!({})).await;
    assert_eq!((stopped.status, ada.get(&page("open")).await.status), (204, 404));
}

async fn token(client: &Client<'_>, form_token: &str, about: Json) -> Answer {
    let form = pairs(&[("form_token", form_token), ("about", &about.to_string())]);
    client
        .send_bytes("POST", &format!("{}/token", page("open")), Some("application/x-www-form-urlencoded"), form.into())
        .await
}

#[tokio::test]
async fn a_context_token_tells_the_apps_server_what_the_person_sees() {
    let world = World::start(Engine::Sqlite).await;
    let app = with_pages(&world, &["READ"]).await;
    let cleo = world.browser("Cleo").await;
    let shown = cleo.get(&format!("{}?issue.key=DEMO-1", page("open"))).await;
    let form_token = {
        let (_, rest) = shown.text.split_once("data-token=\"").expect("a form token");
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    assert_eq!(field(&shown.text, "about"), "", "it travels in no form");
    let issue = world.by("Cleo").get("/rest/api/3/issue/DEMO-1").await;
    let about = json!({"jira": {"issue": {"id": issue.at("/id")}}});
    let given = token(&cleo, &form_token, about).await;
    assert_eq!(given.status, 200, "{}", given.text);
    let claims = claims_of(&given.at("/token"));
    assert_eq!(
        (claims["qsh"].as_str(), claims["sub"].as_str()),
        (Some("context-qsh"), Some(world.person("Cleo").account_id.as_str()))
    );
    assert_eq!(claims["context"]["jira"]["issue"]["key"], "DEMO-1");
    assert_eq!(claims["context"]["jira"]["project"]["key"], "DEMO");
    let verifying = VerifyingKey::hs256(app.secret().await.as_bytes()).unwrap();
    assert!(UnverifiedJws::parse(&given.at("/token")).unwrap().verify(&verifying).is_ok());
    assert_eq!(
        world.jwt(&given.at("/token")).get("/rest/api/3/myself").await.status,
        401,
        "it is for the app's server"
    );
    // A browser that says it is about something else gets nothing that its person does not see.
    let vault = world.by("Ada").get("/rest/api/3/issue/VAULT-1").await;
    assert_eq!(token(&cleo, &form_token, json!({"jira": {"issue": {"id": vault.at("/id")}}})).await.status, 404);
    assert_eq!(token(&cleo, "another", json!({})).await.status, 403);
    let elsewhere = cleo.clone().header("sec-fetch-site", "cross-site");
    assert_eq!(token(&elsewhere, &form_token, json!({})).await.status, 403);
}

#[tokio::test]
async fn a_page_may_do_what_scopes_and_the_person_before_it_allow_together() {
    let world = World::start(Engine::Sqlite).await;
    let task = |project: &str| json!({"fields": {"project": {"key": project}, "issuetype": {"name": "Task"}, "summary": "From a page"}});
    with_pages(&world, &["READ"]).await;
    let writer = ConnectApp::start("com.example.writer", &["ADMIN"]).await;
    assert_eq!(world.install(&writer).await.status, 201);
    let (cleo, ben) = (world.browser("Cleo").await, world.browser("Ben").await);
    let reads = cleo.clone().header("ap-client-key", KEY);
    let me = reads.get("/rest/api/3/myself").await;
    assert_eq!((me.status, me.at("/accountId")), (200, world.person("Cleo").account_id.clone()));
    // READ, though Cleo may create.
    let refused = reads.post("/rest/api/3/issue", task("DEMO")).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(cleo.post("/rest/api/3/issue", task("DEMO")).await.status, 201);
    // ADMIN, though Cleo does not see VAULT and does not administer.
    let all = cleo.clone().header("ap-client-key", "com.example.writer");
    assert_eq!(all.post("/rest/api/3/issue", task("DEMO")).await.status, 201);
    assert_eq!(all.get("/rest/api/3/issue/VAULT-1").await.status, 404);
    assert_eq!(all.put("/rest/api/3/project/DEMO", json!({"name": "Mine"})).await.status, 403);
    let bens = ben.clone().header("ap-client-key", "com.example.writer");
    assert_eq!(bens.put("/rest/api/3/project/DEMO", json!({"name": "Ben's"})).await.status, 200);
    // The audit names the app and the person.
    let audit = world.by("Ada").get("/api/portcullis/v1/audit?limit=5").await;
    let entry = audit.json()["values"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["operation"] == "updateProject")
        .cloned()
        .unwrap();
    assert_eq!(
        (entry["subject"].as_str(), entry["onBehalfOf"].as_str()),
        (Some("app:com.example.writer"), Some(world.person("Ben").account_id.as_str())),
        "{entry}"
    );
    // Nothing but the REST API: no page, no management, no webhooks of the app.
    for path in ["/account", "/api/portcullis/v1/connect-apps", "/admin/connect-apps"] {
        let ada = world.browser("Ada").await.header("ap-client-key", "com.example.writer");
        let answer = ada.get(path).await;
        assert!(matches!(answer.status, 401 | 403 | 404), "{path}: {}", answer.status);
    }
    let hooks = reads.get("/rest/api/3/webhook").await;
    assert_eq!(hooks.status, 403, "{}", hooks.text);
    // An app that is unknown or stopped has no pages; the session alone is then not used either.
    assert_eq!(cleo.clone().header("ap-client-key", "unknown").get("/rest/api/3/myself").await.status, 401);
    let stopped = world.by("Ada").post(&format!("/api/portcullis/v1/connect-apps/{KEY}/disable"), json!({})).await;
    assert_eq!((stopped.status, reads.get("/rest/api/3/myself").await.status), (204, 401));
    // Another site's page cannot use the session with it.
    let elsewhere = world
        .browser("Cleo")
        .await
        .header("sec-fetch-site", "cross-site")
        .header("ap-client-key", "com.example.writer");
    let refused = elsewhere.post("/rest/api/3/issue", task("DEMO")).await;
    assert!(matches!(refused.status, 401 | 403), "{}", refused.status);
}

#[tokio::test]
async fn the_script_of_pages_is_for_every_origin() {
    let world = World::start(Engine::Sqlite).await;
    for file in ["all.js", "all-debug.js"] {
        let script = world.anonymous().get(&format!("/atlassian-connect/{file}")).await;
        assert_eq!(script.status, 200);
        assert!(script.text.contains("window.AP"));
        assert_eq!(script.header("cross-origin-resource-policy"), Some("cross-origin"));
    }
    assert_eq!(world.anonymous().get("/atlassian-connect/other.js").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_app_adds_modules_all_or_nothing_and_takes_them_away() {
    const DYNAMIC: &str = "/rest/atlassian-connect/1/app/module/dynamic";
    let world = World::start(Engine::Sqlite).await;
    let app = with_pages(&world, &["READ"]).await;
    world.sends_webhooks();
    let general = |key: &str| json!({"key": key, "url": format!("/{key}"), "name": {"value": key}});
    let more = json!({
        "generalPages": [general("later")],
        "webhooks": [{"key": "hook", "event": "jira:issue_created", "url": "/made"}],
    });
    assert_eq!(world.as_app(&app, "GET", DYNAMIC, None).await.json(), json!({}));
    let added = world.as_app(&app, "POST", DYNAMIC, Some(more.clone())).await;
    assert_eq!(added.status, 200, "{}", added.text);
    assert_eq!(world.as_app(&app, "GET", DYNAMIC, None).await.json(), more);
    let cleo = world.browser("Cleo").await;
    assert!(address(&cleo.get(&page("later")).await).contains("/later?"));
    let task = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "Told"}});
    assert_eq!(world.by("Cleo").post("/rest/api/3/issue", task).await.status, 201);
    app.last("/made").await;
    // Nothing of a request with a key that is taken, twice in it, or none.
    for bad in [
        json!({"generalPages": [general("fine"), general("open")]}),
        json!({"generalPages": [general("fine"), general("fine")]}),
        json!({"generalPages": [general("fine"), {"url": "/x"}]}),
        json!({"webhooks": [{"key": "away", "event": "x", "url": "https://evil.example/"}]}),
        json!({}),
        json!([]),
    ] {
        let refused = world.as_app(&app, "POST", DYNAMIC, Some(bad.clone())).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
        assert!(!refused.at("/message").is_empty(), "{}", refused.text);
    }
    assert_eq!(world.as_app(&app, "GET", DYNAMIC, None).await.json(), more);
    // An update keeps what its descriptor does not name.
    app.change(&json!({"modules": {"generalPages": [general("later")]}}));
    assert_eq!(world.install(&app).await.status, 201);
    let kept = world.as_app(&app, "GET", DYNAMIC, None).await.json();
    assert_eq!(kept, json!({"webhooks": more["webhooks"]}));
    assert_eq!(world.as_app(&app, "DELETE", &format!("{DYNAMIC}?moduleKey=hook"), None).await.status, 204);
    assert_eq!(world.as_app(&app, "GET", DYNAMIC, None).await.json(), json!({}));
    // For the app alone: neither for its page's reader nor for an administrator.
    let in_page = cleo.clone().header("ap-client-key", KEY);
    assert_eq!(in_page.get(DYNAMIC).await.status, 403);
    assert_eq!(world.by("Ada").get(DYNAMIC).await.status, 403);
}
