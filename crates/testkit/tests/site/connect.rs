//! Connect apps: installed by an administrator from a descriptor, they prove each request, do what their scopes and their account's
//! permissions allow together, act for people where they may, and lose all of it the moment they are stopped.

use portcullis_crypto::jws::{SigningKey, UnverifiedJws, VerifyingKey};
use portcullis_guard::qsh;
use portcullis_testkit::connect::{ConnectApp, claims_of, hs256};
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::{Engine, World};
use serde_json::{Value as Json, json};

const MYSELF: &str = "/rest/api/3/myself";

fn issue() -> Json {
    json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "By an app"}})
}

on_both_engines! {
    async fn an_app_is_installed_works_and_is_uninstalled(world: World) {
        let app = ConnectApp::start("com.example.one", &["READ", "WRITE"]).await;
        let made = world.install(&app).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let installed = app.last("/installed").await;
        for member in ["clientKey", "sharedSecret", "baseUrl", "displayUrl", "displayUrlServicedeskHelpCenter", "productType",
            "description", "serverVersion", "pluginsVersion", "oauthClientId", "eventType", "publicKey"]
        {
            assert!(installed.body[member].is_string(), "{member}: {}", installed.body);
        }
        assert_eq!(installed.body["eventType"], "installed");
        let enabled = app.last("/enabled").await;
        assert_eq!((enabled.body["eventType"].as_str(), enabled.body.get("sharedSecret")), (Some("enabled"), None));
        let me = world.as_app(&app, "GET", MYSELF, None).await;
        assert_eq!((me.status, me.at("/accountType").as_str()), (200, "app"), "{}", me.text);
        let made = world.as_app(&app, "POST", "/rest/api/3/issue", Some(issue())).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let refused = world.as_app(&app, "DELETE", &format!("/rest/api/3/issue/{}", made.at("/key")), None).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        let gone = world.by("Ada").delete("/api/portcullis/v1/connect-apps/com.example.one").await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let order: Vec<String> = app.received().into_iter().map(|it| it.path).filter(|it| it != "/enabled").collect();
        assert_eq!(order, ["/installed", "/disabled", "/uninstalled"]);
        assert_eq!(world.as_app(&app, "GET", MYSELF, None).await.status, 401);
        // Its account is still there for what it did, and works again with the next installation.
        assert_eq!(world.install(&app).await.status, 201);
        let again = world.as_app(&app, "GET", MYSELF, None).await;
        assert_eq!((again.status, again.at("/accountId")), (200, me.at("/accountId")));
    }

    async fn an_app_is_stopped_at_the_next_request(world: World) {
        let app = ConnectApp::start("com.example.stop", &["READ", "ACT_AS_USER"]).await;
        assert_eq!(world.install(&app).await.status, 201);
        let assertion = world.assertion(&app, &world.person("Cleo").account_id).await;
        let token = world.act_as(&hs256(&app.secret().await, &assertion), "").await;
        assert_eq!(token.status, 200, "{}", token.text);
        let as_cleo = world.bearer(&token.at("/access_token"));
        assert_eq!(as_cleo.get(MYSELF).await.at("/accountId"), world.person("Cleo").account_id);
        let path = "/api/portcullis/v1/connect-apps/com.example.stop";
        assert_eq!(world.by("Ada").post(&format!("{path}/disable"), json!({})).await.status, 204);
        assert_eq!(as_cleo.get(MYSELF).await.status, 401);
        assert_eq!(world.as_app(&app, "GET", MYSELF, None).await.status, 401);
        assert_eq!(world.act_as(&hs256(&app.secret().await, &assertion), "").await.status, 400);
        assert_eq!(world.by("Ada").post(&format!("{path}/enable"), json!({})).await.status, 204);
        assert_eq!(world.as_app(&app, "GET", MYSELF, None).await.status, 200);
        assert_eq!(as_cleo.get(MYSELF).await.status, 401, "what was issued before stays worth nothing");
    }
}

#[tokio::test]
async fn the_installation_is_signed_with_a_key_that_anybody_can_look_up() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.signed", &["READ"]).await;
    assert_eq!(world.install(&app).await.status, 201);
    let installed = app.last("/installed").await;
    let jws = UnverifiedJws::parse(&installed.token).unwrap();
    assert_eq!(jws.header()["alg"], "RS256");
    let kid = jws.kid().unwrap().to_owned();
    let key = world.anonymous().get(&format!("/connect/install-keys/{kid}")).await;
    assert_eq!(key.status, 200);
    assert!(
        key.text.starts_with("-----BEGIN PUBLIC KEY-----\n") && key.text.ends_with("-----END PUBLIC KEY-----\n"),
        "{}",
        key.text
    );
    assert!(!key.text.contains('\r') && !key.text.contains("\n\n"));
    let unknown = world.anonymous().get("/connect/install-keys/another").await;
    assert_eq!((unknown.status, unknown.text.as_str()), (404, ""), "an app would take any text for a key");
    let claims = claims_of(&installed.token);
    assert_eq!(claims["iss"], installed.body["clientKey"]);
    assert_eq!(claims["aud"], json!([app.base_url]));
    assert_eq!(claims["qsh"], qsh::hash("POST&/installed&"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    // `enabled` is HS256 with the secret, and has no audience.
    let enabled = app.last("/enabled").await;
    let key = VerifyingKey::hs256(app.secret().await.as_bytes()).unwrap();
    assert!(UnverifiedJws::parse(&enabled.token).unwrap().verify(&key).is_ok());
    assert_eq!(claims_of(&enabled.token).get("aud"), None);
}

#[tokio::test]
async fn a_token_that_is_not_the_apps_for_this_request_is_refused() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.tokens", &["ADMIN"]).await;
    let other = ConnectApp::start("com.example.other", &["READ"]).await;
    assert_eq!((world.install(&app).await.status, world.install(&other).await.status), (201, 201));
    let (secret, good) = (app.secret().await, world.connect_claims(&app, "GET", MYSELF));
    let installed = app.last("/installed").await;
    assert_eq!(world.jwt(&hs256(&secret, &good)).get(MYSELF).await.status, 200);
    let with = |change: Json| {
        let mut claims = good.clone();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    };
    let now_s = world.now().0 / 1_000;
    for change in [
        json!({"qsh": null}),
        json!({"qsh": "context-qsh"}),
        json!({"qsh": ""}),
        json!({"qsh": 1}),
        json!({"qsh": qsh::hash("POST&/rest/api/3/myself&")}),
        json!({"qsh": qsh::hash("GET&/rest/api/3/project&")}),
        json!({"iat": null}),
        json!({"exp": null}),
        json!({"iat": "1"}),
        json!({"exp": now_s - 31, "iat": now_s - 200}),
        json!({"iat": now_s + 31, "exp": now_s + 200}),
        json!({"nbf": now_s + 31}),
        json!({"exp": now_s + 86_500}),
        json!({"aud": ["another site"]}),
        json!({"aud": []}),
        json!({"iss": installed.body["clientKey"]}),
        json!({"iss": "com.example.other"}),
        json!({"iss": "nobody"}),
        json!({"iss": null}),
        json!({"sub": ""}),
    ] {
        let refused = world.jwt(&hs256(&secret, &with(change.clone()))).get(MYSELF).await;
        assert_eq!(refused.status, 401, "{change}: {}", refused.text);
        assert!(!refused.text.contains("qsh") && refused.header("portcullis-decision").is_some(), "{change}");
    }
    for change in [
        json!({"exp": now_s - 29, "iat": now_s - 200}),
        json!({"aud": [installed.body["clientKey"]]}),
        json!({"aud": installed.body["clientKey"]}),
        json!({"sub": "whoever"}),
    ] {
        assert_eq!(world.jwt(&hs256(&secret, &with(change.clone()))).get(MYSELF).await.status, 200, "{change}");
    }
    // Another app's secret, our own tokens, other algorithms.
    let foreign = other.secret().await;
    let none =
        format!("{}.{}.", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", hs256(&secret, &good).split('.').nth(1).unwrap());
    let ours = app.last("/enabled").await.token;
    let (rsa, _) = SigningKey::generate_rs256("x".to_owned()).unwrap();
    for token in [
        hs256(&foreign, &good),
        none,
        ours,
        installed.token.clone(),
        rsa.sign("JWT", &good).unwrap(),
        "x".to_owned(),
        String::new(),
    ] {
        assert_eq!(world.jwt(&token).get(MYSELF).await.status, 401, "{token}");
    }
    // A token is no key to other doors, and a bad one is never nobody.
    let token = hs256(&secret, &good);
    assert_eq!(world.with_header("authorization", &format!("Bearer {token}")).get(MYSELF).await.status, 401);
    assert_eq!(world.jwt("x").get("/rest/api/3/serverInfo").await.status, 401);
    let gateway = world.at_gateway(MYSELF);
    assert_ne!(world.jwt(&token).get(&gateway).await.status, 200);
    assert_ne!(world.jwt(&token).get("/api/portcullis/v1/users").await.status, 200);
    assert_ne!(world.anonymous().get(&format!("{MYSELF}?jwt={token}")).await.status, 200);
}

#[tokio::test]
async fn the_decision_says_what_was_hashed_and_the_answer_does_not() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.why", &["READ"]).await;
    assert_eq!(world.install(&app).await.status, 201);
    let token = hs256(&app.secret().await, &world.connect_claims(&app, "GET", MYSELF));
    let refused = world.jwt(&token).get("/rest/api/3/project/search?b=2&a=1").await;
    assert_eq!(refused.status, 401);
    let id = refused.header("portcullis-decision").unwrap();
    let why = world.by("Ada").get(&format!("/api/portcullis/v1/decisions/{id}")).await;
    assert!(why.text.contains("GET&/rest/api/3/project/search&a=1&b=2"), "{}", why.text);
}

#[tokio::test]
async fn scopes_and_permissions_hold_together() {
    let world = World::start(Engine::Sqlite).await;
    // READ, and its account administers DEMO: it cannot write.
    let reader = ConnectApp::start("com.example.reader", &["READ"]).await;
    assert_eq!(world.install(&reader).await.status, 201);
    let account = world.as_app(&reader, "GET", MYSELF, None).await.at("/accountId");
    let roles = world.by("Ben").get("/rest/api/3/project/DEMO/role").await;
    let role = roles.at("/Administrators").rsplit('/').next().unwrap_or_default().to_owned();
    let added =
        world.by("Ben").post(&format!("/rest/api/3/project/DEMO/role/{role}"), json!({"user": [account]})).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let refused = world.as_app(&reader, "PUT", "/rest/api/3/project/DEMO", Some(json!({"name": "Mine"}))).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(world.as_app(&reader, "POST", "/rest/api/3/issue", Some(issue())).await.status, 403);
    assert_eq!(world.as_app(&reader, "GET", "/rest/api/3/issue/DEMO-1", None).await.status, 200);
    assert_eq!(world.as_app(&reader, "GET", "/rest/api/3/issue/VAULT-1", None).await.status, 404);
    // ADMIN, and put out of VAULT: it does not see VAULT, and an update does not bring it back.
    let admin = ConnectApp::start("com.example.admin", &["ADMIN"]).await;
    assert_eq!(world.install(&admin).await.status, 201);
    assert_eq!(world.as_app(&admin, "GET", "/rest/api/3/issue/VAULT-1", None).await.status, 200);
    let account = world.as_app(&admin, "GET", MYSELF, None).await.at("/accountId");
    let roles = world.by("Ada").get("/rest/api/3/project/VAULT/role").await;
    let role = roles.at("/atlassian-addons-project-access").rsplit('/').next().unwrap_or_default().to_owned();
    let out = world.by("Ada").delete(&format!("/rest/api/3/project/VAULT/role/{role}?user={account}")).await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert_eq!(world.as_app(&admin, "GET", "/rest/api/3/issue/VAULT-1", None).await.status, 404);
    assert_eq!(world.install(&admin).await.status, 201);
    assert_eq!(world.as_app(&admin, "GET", "/rest/api/3/issue/VAULT-1", None).await.status, 404);
    // What no Connect app may do stays so.
    let refused =
        world.as_app(&admin, "POST", "/rest/api/3/user", Some(json!({"emailAddress": "x@example.org"}))).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}

#[tokio::test]
async fn each_scope_implies_those_below_it_and_no_other() {
    let world = World::start(Engine::Sqlite).await;
    let chain = ["READ", "WRITE", "DELETE", "PROJECT_ADMIN", "ADMIN"];
    for (rank, scope) in chain.into_iter().enumerate() {
        let app = ConnectApp::start(&format!("com.example.{}", scope.to_lowercase()), &[scope]).await;
        assert_eq!(world.install(&app).await.status, 201);
        let key = world.by("Ben").post("/rest/api/3/issue", issue()).await.at("/key");
        let asks = [
            ("GET", format!("/rest/api/3/issue/{key}"), None),
            ("PUT", format!("/rest/api/3/issue/{key}"), Some(json!({"fields": {"summary": "Changed"}}))),
            ("DELETE", format!("/rest/api/3/issue/{key}"), None),
            ("PUT", "/rest/api/3/project/DEMO".to_owned(), Some(json!({"description": scope}))),
            ("GET", "/rest/api/3/role".to_owned(), None),
        ];
        for (needed, (method, path, body)) in asks.into_iter().enumerate() {
            let answer = world.as_app(&app, method, &path, body).await;
            let allowed = answer.status < 300;
            assert_eq!(allowed, needed <= rank, "{scope} {method} {path}: {} {}", answer.status, answer.text);
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_leaves_nothing_behind() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.fails", &["READ"]).await;
    for status in [400, 401, 404, 500, 302] {
        app.answers("/installed", status);
        let failed = world.install(&app).await;
        assert_eq!(failed.status, 400, "{}", failed.text);
        assert!(failed.text.contains(&status.to_string()), "{}", failed.text);
        assert_eq!(world.by("Ada").get("/api/portcullis/v1/connect-apps").await.json()["total"], json!(0));
    }
    assert_eq!(
        world.as_app(&app, "GET", MYSELF, None).await.status,
        401,
        "the secret of a failed installation is none"
    );
    app.answers("/installed", 200);
    assert_eq!(world.install(&app).await.status, 201);
    let secret = app.secret().await;
    // An update that fails leaves the app as it was, with its secret and its scopes.
    app.answers("/installed", 500);
    app.change(&json!({"scopes": ["ADMIN"]}));
    assert_eq!(world.install(&app).await.status, 400);
    let good = hs256(&secret, &world.connect_claims(&app, "GET", MYSELF));
    assert_eq!(world.jwt(&good).get(MYSELF).await.status, 200);
    let shown = world.by("Ada").get("/api/portcullis/v1/connect-apps/com.example.fails").await;
    assert_eq!(shown.at("/scopes/0/name"), "READ");
    // After an update the secret before it works for some minutes, and signs nothing of ours.
    app.answers("/installed", 204);
    assert_eq!(world.install(&app).await.status, 201);
    assert_ne!(app.secret().await, secret);
    let token = |world: &World| hs256(&secret, &world.connect_claims(&app, "GET", MYSELF));
    assert_eq!(world.jwt(&token(&world)).get(MYSELF).await.status, 200);
    world.clock.advance_ms(301_000);
    assert_eq!(world.jwt(&token(&world)).get(MYSELF).await.status, 401);
}

#[tokio::test]
async fn an_installed_app_is_not_taken_over() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.target", &["READ"]).await;
    assert_eq!(world.install(&app).await.status, 201);
    // The same key from another address.
    let thief = ConnectApp::start("com.example.target", &["ADMIN"]).await;
    let refused = world.install(&thief).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(thief.received().is_empty(), "it was given a secret");
    // A descriptor that changes between the preview and the installation.
    let sly = ConnectApp::start("com.example.sly", &["READ"]).await;
    let ada = world.by("Ada");
    let ask = |hash: &str| json!({"descriptorUrl": sly.descriptor_url(), "descriptorHash": hash});
    let preview =
        ada.post("/api/portcullis/v1/connect-apps/preview", json!({"descriptorUrl": sly.descriptor_url()})).await;
    assert_eq!((preview.status, preview.at("/scopes/0/name").as_str()), (200, "READ"), "{}", preview.text);
    let hash = preview.at("/descriptorHash");
    sly.change(&json!({"scopes": ["ADMIN"]}));
    let refused = ada.post("/api/portcullis/v1/connect-apps", ask(&hash)).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(sly.received().is_empty());
    sly.change(&json!({"scopes": ["READ"]}));
    assert_eq!(ada.post("/api/portcullis/v1/connect-apps", ask(&hash)).await.status, 201);
    // Nobody but the administrator installs, looks at or removes apps.
    for name in ["Ben", "Cleo", "Dan"] {
        let by = world.by(name);
        assert_eq!(by.post("/api/portcullis/v1/connect-apps", ask(&hash)).await.status, 403);
        assert_eq!(by.post("/api/portcullis/v1/connect-apps/preview", ask(&hash)).await.status, 403);
        assert_eq!(by.get("/api/portcullis/v1/connect-apps").await.status, 403);
        assert_eq!(by.delete("/api/portcullis/v1/connect-apps/com.example.target").await.status, 403);
        assert_ne!(by.get("/rest/plugins/1.0/").await.status, 200);
    }
    assert_ne!(world.as_app(&app, "GET", "/rest/plugins/1.0/", None).await.status, 200);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let world = World::start(Engine::Sqlite).await;
    for address in [
        "http://10.0.0.1/d.json",
        "http://169.254.169.254/latest",
        "https://[fd00::1]/x",
        "file:///etc/passwd",
        "x",
        "http://u:p@127.0.0.1/",
    ] {
        let refused = world.by("Ada").post("/api/portcullis/v1/connect-apps", json!({"descriptorUrl": address})).await;
        assert_eq!(refused.status, 400, "{address}: {}", refused.text);
    }
    let app = ConnectApp::start("com.example.inside", &["READ"]).await;
    app.change(&json!({"baseUrl": "https://10.0.0.1"}));
    let refused = world.install(&app).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("not a public address"), "{}", refused.text);
}

#[tokio::test]
async fn acting_for_a_user_is_scopes_and_the_users_permissions() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.actor", &["WRITE", "ACT_AS_USER"]).await;
    assert_eq!(world.install(&app).await.status, 201);
    let secret = app.secret().await;
    let cleo = world.person("Cleo").account_id.clone();
    let good = world.assertion(&app, &cleo).await;
    let token = world.act_as(&hs256(&secret, &good), "").await;
    assert_eq!(token.status, 200, "{}", token.text);
    assert_eq!((token.json()["expires_in"].as_i64(), token.at("/token_type").as_str()), (Some(900), "Bearer"));
    let as_cleo = world.bearer(&token.at("/access_token"));
    let made = as_cleo.post("/rest/api/3/issue", issue()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let key = made.at("/key");
    assert_eq!(as_cleo.get("/rest/api/3/issue/VAULT-1").await.status, 404, "she does not see it");
    assert_eq!(as_cleo.delete(&format!("/rest/api/3/issue/{key}")).await.status, 403, "the app has no DELETE");
    let written = world.by("Ada").get("/api/portcullis/v1/audit?operation=createIssue").await;
    assert!(
        written.text.contains("app:com.example.actor") && written.text.contains(&cleo),
        "both are named: {}",
        written.text
    );
    // Fewer scopes, in both spellings.
    let read = world.act_as(&hs256(&secret, &good), "READ").await;
    assert_eq!(read.at("/scope"), "READ");
    assert_eq!(world.bearer(&read.at("/access_token")).post("/rest/api/3/issue", issue()).await.status, 403);
    assert_eq!(world.act_as(&hs256(&secret, &good), "READ+WRITE").await.at("/scope"), "READ WRITE");
    for (scope, error) in [("ADMIN", "invalid_scope"), ("DELETE", "invalid_scope"), ("X", "invalid_scope")] {
        assert_eq!(world.act_as(&hs256(&secret, &good), scope).await.at("/error"), error);
    }
    // The token is for the site alone, and ends.
    assert_ne!(as_cleo.get(&world.at_gateway(MYSELF)).await.status, 200);
    assert_ne!(as_cleo.get("/api/portcullis/v1/users").await.status, 200);
    world.clock.advance_ms(901_000);
    assert_eq!(as_cleo.get(MYSELF).await.status, 401);
}

#[tokio::test]
async fn nobody_is_acted_for_who_must_not_be() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.actor", &["READ", "ACT_AS_USER"]).await;
    let plain = ConnectApp::start("com.example.plain", &["ADMIN"]).await;
    assert_eq!((world.install(&app).await.status, world.install(&plain).await.status), (201, 201));
    let secret = app.secret().await;
    let own = world.as_app(&app, "GET", MYSELF, None).await.at("/accountId");
    let dan = world.person("Dan").account_id.clone();
    for account in ["712020:nobody", "", &own, &dan] {
        let refused = world.act_as(&hs256(&secret, &world.assertion(&app, account).await), "").await;
        assert_eq!(
            (refused.status, refused.at("/error").as_str()),
            (400, "invalid_grant"),
            "{account}: {}",
            refused.text
        );
    }
    let cleo = world.person("Cleo").account_id.clone();
    let refused = world.act_as(&hs256(&plain.secret().await, &world.assertion(&plain, &cleo).await), "").await;
    assert_eq!((refused.status, refused.at("/error").as_str()), (400, "unauthorized_client"), "{}", refused.text);
    let good = world.assertion(&app, &cleo).await;
    let now_s = world.now().0 / 1_000;
    for change in [
        json!({"tnt": "https://another.example"}),
        json!({"aud": "https://another.example"}),
        json!({"exp": now_s - 60}),
        json!({"exp": now_s + 200}),
        json!({"iss": "urn:atlassian:connect:clientid:x"}),
        json!({"iss": app.key}),
        json!({"sub": cleo}),
        json!({"iat": "x"}),
    ] {
        let mut claims = good.clone();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let refused = world.act_as(&hs256(&secret, &claims), "").await;
        assert_eq!(
            (refused.status, refused.at("/error").as_str()),
            (400, "invalid_grant"),
            "{change}: {}",
            refused.text
        );
    }
    let forged = world.act_as(&hs256(&plain.secret().await, &good), "").await;
    assert_eq!(forged.at("/error"), "invalid_grant");
    // One that names itself counts once.
    let mut once = good.clone();
    once["jti"] = json!("1");
    assert_eq!(world.act_as(&hs256(&secret, &once), "").await.status, 200);
    assert_eq!(world.act_as(&hs256(&secret, &once), "").await.at("/error"), "invalid_grant");
    // A deactivated user is acted for no longer, with what was issued before either.
    let token = world.act_as(&hs256(&secret, &good), "").await;
    let as_cleo = world.bearer(&token.at("/access_token"));
    assert_eq!(as_cleo.get(MYSELF).await.status, 200);
    let shut = world.by("Ada").post(&format!("/api/portcullis/v1/users/{cleo}/deactivate"), json!({})).await;
    assert!(shut.status < 300, "{}", shut.text);
    assert_eq!(as_cleo.get(MYSELF).await.status, 401);
    assert_eq!(world.act_as(&hs256(&secret, &good), "").await.at("/error"), "invalid_grant");
}

#[tokio::test]
async fn properties_are_an_apps_own() {
    let world = World::start(Engine::Sqlite).await;
    let app = ConnectApp::start("com.example.props", &[]).await;
    let other = ConnectApp::start("com.example.nosy", &["ADMIN"]).await;
    assert_eq!((world.install(&app).await.status, world.install(&other).await.status), (201, 201));
    let path = "/rest/atlassian-connect/1/addons/com.example.props/properties/a";
    let list = "/rest/atlassian-connect/1/addons/com.example.props/properties";
    assert_eq!(world.as_app(&app, "PUT", path, Some(json!({"b": 1}))).await.status, 201);
    assert_eq!(world.as_app(&app, "PUT", path, Some(json!({"b": 2}))).await.status, 200);
    assert_eq!(world.as_app(&app, "GET", path, None).await.json()["value"], json!({"b": 2}));
    assert_eq!(world.as_app(&app, "GET", list, None).await.at("/keys/0/key"), "a");
    assert_eq!(world.as_app(&app, "PUT", &format!("{list}/{}", "x".repeat(128)), Some(json!(1))).await.status, 400);
    assert_eq!(world.as_app(&app, "GET", MYSELF, None).await.status, 403, "it asked for no scope");
    for (method, body) in [("GET", None), ("PUT", Some(json!(1))), ("DELETE", None)] {
        assert_eq!(world.as_app(&other, method, path, body.clone()).await.status, 403);
        let absent = path.replace("com.example.props", "com.example.none");
        assert_eq!(
            world.as_app(&other, method, &absent, body).await.status,
            403,
            "which apps are installed is not told"
        );
    }
    assert_ne!(world.by("Ada").get(path).await.status, 200);
    assert_ne!(world.anonymous().get(path).await.status, 200);
    assert_eq!(world.as_app(&app, "DELETE", path, None).await.status, 204);
    assert_eq!(world.as_app(&app, "GET", path, None).await.status, 404);
    let info = world.as_app(&app, "GET", "/rest/atlassian-connect/1/addons/com.example.props", None).await;
    assert_eq!((info.status, info.at("/state").as_str()), (200, "ENABLED"), "{}", info.text);
}

#[tokio::test]
async fn bad_assertions_are_written_down_together_and_open_no_write() {
    let world = World::start(Engine::Sqlite).await;
    for n in 0..40 {
        let assertion = hs256(
            "a secret that is as long as one has to be",
            &json!({"iss": format!("urn:atlassian:connect:clientid:{n}")}),
        );
        assert_eq!(world.act_as(&assertion, "").await.at("/error"), "invalid_grant");
    }
    let log = || async { world.by("Ada").get("/api/portcullis/v1/audit?operation=connectToken").await.json() };
    assert_eq!(log().await["values"].as_array().map(Vec::len), Some(0), "nothing was written at once");
    world.gateway.guard().flush_refusals().await.expect("written");
    let entries = log().await["values"].as_array().cloned().unwrap_or_default();
    assert_eq!(entries.len(), 20, "the others are counted");
    assert!(entries.iter().all(|entry| entry["outcome"] == "failed" && entry["reason"] == "invalid_grant"));
}
