//! Servers of a Forge app's own: what proves a call to them, and what the tokens that they get are worth. On both engines.

use portcullis_crypto::jws::{UnverifiedJws, VerifyingKey};
use portcullis_testkit::connect::ConnectApp;
use portcullis_testkit::forge::{ForgeApp, invoke, manifest};
use portcullis_testkit::on_both_engines;
use portcullis_testkit::world::World;
use serde_json::{Value as Json, json};

const CODE: &str = "exports.run = () => 1; exports.hook = () => ({ statusCode: 200 });";
const HOUR_MS: i64 = 3_600_000;

fn with_remote(base: &str) -> Json {
    let mut manifest = manifest(&["read:jira-work", "read:app-system-token", "read:app-user-token"], &[]);
    manifest["remotes"] = json!([{"key": "own", "baseUrl": base}]);
    let on = json!({"appUserToken": {"enabled": true}, "appSystemToken": {"enabled": true}});
    manifest["modules"]["endpoint"] = json!([{"key": "there", "remote": "own", "auth": on}]);
    manifest["modules"]["jira:issuePanel"] = json!([{"key": "panel", "resolver": {"endpoint": "there"}}]);
    manifest
}

/// Has a person use the app; the tokens that its server was given, of the app and of the person, and its invocation token.
async fn tokens(world: &World, server: &ConnectApp, installation: &str, who: &str) -> [String; 3] {
    let answer = invoke(world, who, installation, None, json!({"path": "/used"})).await;
    assert_eq!(answer.json()["success"], true, "{}", answer.text);
    let received = server.last("/used").await;
    ["x-forge-oauth-system", "x-forge-oauth-user", "authorization"].map(|name| received.header(name))
}

async fn status(world: &World, token: &str, path: &str) -> u16 {
    world.bearer(token).get(&world.at_gateway(path)).await.status
}

on_both_engines! {
    async fn a_remote_is_called_with_a_token_that_is_for_it_alone(world: World) {
        let server = ConnectApp::start("remote", &[]).await;
        let (app, id) = ForgeApp::installed(&world, with_remote(&server.base_url), CODE).await;
        let [_, _, bearer] = tokens(&world, &server, &id, "Cleo").await;
        let token = bearer.strip_prefix("Bearer ").expect("a bearer token");
        let keys = world.anonymous().get("/.well-known/forge/jwks.json").await.json();
        let jws = UnverifiedJws::parse(token).expect("a JWS");
        assert_eq!(jws.kid(), keys["keys"][0]["kid"].as_str());
        let claims = jws.verify(&VerifyingKey::from_jwk(&keys["keys"][0]).expect("a key")).expect("ours");
        let claims = Json::Object(claims.claims().expect("claims").clone());
        assert_eq!(claims["aud"], json!(format!("ari:cloud:ecosystem::app/{}", app.id)));
        assert_eq!((&claims["iss"], &claims["principal"]), (&json!("forge/invocation-token"), &json!(world.person("Cleo").account_id)));
        // It opens nothing here.
        assert_eq!(status(&world, token, "/rest/api/3/issue/DEMO-1").await, 401);
        assert_eq!(world.bearer(token).get("/rest/api/3/issue/DEMO-1").await.status, 401);
    }

    async fn what_a_remote_gets_is_what_the_app_could_do_and_no_more(world: World) {
        let server = ConnectApp::start("remote", &[]).await;
        let (_, id) = ForgeApp::installed(&world, with_remote(&server.base_url), CODE).await;
        let [system, cleo, _] = tokens(&world, &server, &id, "Cleo").await;
        let [_, ben, _] = tokens(&world, &server, &id, "Ben").await;
        assert_eq!(status(&world, &cleo, "/rest/api/3/issue/DEMO-1").await, 200);
        assert_eq!(status(&world, &cleo, "/rest/api/3/issue/VAULT-1").await, 404, "the person's permissions");
        assert_eq!(status(&world, &ben, "/rest/api/3/issue/VAULT-1").await, 200);
        assert_eq!(status(&world, &system, "/rest/api/3/issue/DEMO-1").await, 200);
        assert_eq!(status(&world, &ben, "/rest/api/3/myself").await, 401, "a scope that the app has not");
        let body = json!({"fields": {"summary": "Changed"}});
        let changed = world.bearer(&ben).put(&world.at_gateway("/rest/api/3/issue/DEMO-1"), body).await;
        assert_eq!(changed.status, 401, "another");
        for path in ["/rest/api/3/issue/DEMO-1", "/api/portcullis/v1/me", "/account"] {
            assert!(![200].contains(&world.bearer(&ben).get(path).await.status), "{path} of the site itself");
        }
        for forged in [format!("{ben}A"), ben.replace("ptfg_", "ptoa_"), format!("ptfg_{}", &ben[6..])] {
            assert_eq!(status(&world, &forged, "/rest/api/3/issue/DEMO-1").await, 401, "{forged}");
        }
    }

    async fn what_a_remote_gets_ends_with_time_with_the_person_and_with_the_app(world: World) {
        let server = ConnectApp::start("remote", &[]).await;
        let (_, id) = ForgeApp::installed(&world, with_remote(&server.base_url), CODE).await;
        let issue = "/rest/api/3/issue/DEMO-1";
        let [system, cleo, _] = tokens(&world, &server, &id, "Cleo").await;
        world.clock.advance_ms(3 * HOUR_MS - 1_000);
        assert_eq!((status(&world, &system, issue).await, status(&world, &cleo, issue).await), (200, 200));
        world.clock.advance_ms(1_000);
        assert_eq!((status(&world, &system, issue).await, status(&world, &cleo, issue).await), (401, 401));

        let [system, cleo, _] = tokens(&world, &server, &id, "Cleo").await;
        let user = format!("/api/portcullis/v1/users/{}", world.person("Cleo").account_id);
        world.clock.advance_ms(1);
        assert_eq!(world.by("Ada").put(&format!("{user}/password"), json!({"password": "another password"})).await.status, 204);
        assert_eq!(status(&world, &cleo, issue).await, 401, "what was issued before the password was changed");
        let [_, cleo, _] = tokens(&world, &server, &id, "Cleo").await;
        assert_eq!(world.by("Ada").post(&format!("{user}/deactivate"), json!({})).await.status, 200);
        assert_eq!((status(&world, &system, issue).await, status(&world, &cleo, issue).await), (200, 401));
        let gone = world.by("Ada").delete(&format!("/api/portcullis/v1/forge/installations/{id}")).await;
        assert_eq!(gone.status, 204);
        assert_eq!(status(&world, &system, issue).await, 401);
    }

    async fn a_remote_that_is_added_or_moved_waits_for_consent(world: World) {
        let server = ConnectApp::start("remote", &[]).await;
        let (mut app, id) = ForgeApp::installed(&world, with_remote(&server.base_url), CODE).await;
        tokens(&world, &server, &id, "Cleo").await;
        let other = ConnectApp::start("other", &[]).await;
        app.describe(with_remote(&other.base_url));
        assert_eq!(app.deploy(&world, CODE).await.json()["status"], "DONE");
        tokens(&world, &server, &id, "Cleo").await;
        assert!(other.received().is_empty(), "nobody consented to the other address");
    }
}
