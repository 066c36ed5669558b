//! OAuth 2.0 (3LO): a person lets an app in, the app works within scopes and the person's permissions, and loses access the moment
//! anybody who may takes it back.

use portcullis_testkit::oauth::{CALLBACK, Tokens, parameter};
use portcullis_testkit::on_both_engines;
use serde_json::json;

const READ: &str = "read:jira-work offline_access";

on_both_engines! {
    async fn a_person_lets_an_app_in_and_it_works_within_its_scopes(world: World) {
        let app = world.app("Ben", json!({})).await;
        let browser = world.browser("Cleo").await;
        let path = world.authorize_path(&app, "read:jira-work read:me offline_access", &[]);
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("An app") && page.text.contains("Read projects and issues"));
        let answer = world.decide(&browser, &path, "approve").await;
        let location = answer.header("location").unwrap_or_default();
        assert!(location.starts_with(CALLBACK), "{location}");
        assert_eq!((parameter(location, "state").as_str(), parameter(location, "iss").as_str()), ("xyz", "http://portcullis.test"));
        let answer = world.exchange(&app, &parameter(location, "code"), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["expires_in"], json!(3600));
        assert_eq!(answer.at("/token_type"), "Bearer");
        assert_eq!(answer.at("/scope"), "read:jira-work read:me offline_access");
        let tokens = Tokens::of(&answer);
        let api = world.bearer(&tokens.access);
        let sites = api.get("/oauth/token/accessible-resources").await;
        assert_eq!(sites.at("/0/id"), world.cloud_id(), "{}", sites.text);
        assert_eq!(sites.json()[0]["scopes"], json!(["read:jira-work"]));
        let me = api.get("/me").await;
        assert_eq!(me.at("/email"), "cleo@acme.example", "{}", me.text);
        assert_eq!(api.get(&world.at_gateway("/rest/api/3/issue/DEMO-1")).await.status, 200);
        assert_eq!(api.get(&world.at_gateway("/rest/api/3/issue/VAULT-1")).await.status, 404);
        let refused = api.post(&world.at_gateway("/rest/api/3/issue"), json!({"fields": {"project": {"key": "DEMO"}}})).await;
        assert_eq!((refused.status, refused.at("/message").as_str()), (401, "Unauthorized; scope does not match"));
        let next = world.refresh(&app, &tokens.refresh).await;
        assert_eq!(next.status, 200, "{}", next.text);
        let next = Tokens::of(&next);
        assert_ne!(next.refresh, tokens.refresh);
        assert_eq!(world.bearer(&next.access).get("/me").await.status, 200);
    }

    async fn what_is_revoked_is_refused_at_the_next_request(world: World) {
        let app = world.app("Ben", json!({})).await;
        let ours = world.at_gateway("/rest/api/3/issue/DEMO-1");
        // By the person.
        let tokens = world.tokens("Cleo", &app, READ).await;
        assert_eq!(world.bearer(&tokens.access).get(&ours).await.status, 200);
        let grants = world.by("Cleo").get("/api/portcullis/v1/me/app-grants").await;
        let id = grants.at("/values/0/id");
        assert_eq!(world.by("Ada").delete(&format!("/api/portcullis/v1/me/app-grants/{id}")).await.status, 404);
        assert_eq!(world.by("Cleo").delete(&format!("/api/portcullis/v1/me/app-grants/{id}")).await.status, 204);
        let refused = world.bearer(&tokens.access).get(&ours).await;
        assert_eq!((refused.status, refused.json()), (401, json!({"code": 401, "message": "Unauthorized"})));
        assert_eq!(world.refresh(&app, &tokens.refresh).await.at("/error"), "invalid_grant");
        // By the app.
        let tokens = world.tokens("Cleo", &app, READ).await;
        let fields = [("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str()), ("token", tokens.refresh.as_str())];
        assert_eq!(world.ask("/oauth/revoke", &fields).await.status, 200);
        assert_eq!(world.bearer(&tokens.access).get(&ours).await.status, 401);
        assert_eq!(world.refresh(&app, &tokens.refresh).await.at("/error"), "invalid_grant");
        // By an administrator, who blocks the app; nothing has to be approved again when it is let in.
        let tokens = world.tokens("Cleo", &app, READ).await;
        let blocked = format!("/api/portcullis/v1/admin/oauth-apps/{}/blocked", app.id);
        assert_eq!(world.by("Ben").put(&blocked, json!({"blocked": true})).await.status, 403);
        assert_eq!(world.by("Ada").put(&blocked, json!({"blocked": true})).await.status, 200);
        assert_eq!(world.bearer(&tokens.access).get(&ours).await.status, 401);
        assert_eq!(world.refresh(&app, &tokens.refresh).await.at("/error"), "unauthorized_client");
        assert_eq!(world.by("Ada").put(&blocked, json!({"blocked": false})).await.status, 200);
        assert_eq!(world.bearer(&tokens.access).get(&ours).await.status, 200);
        // By a new password.
        let cleo = world.person("Cleo").account_id.clone();
        let password = format!("/api/portcullis/v1/users/{cleo}/password");
        world.clock.advance_ms(1_000);
        assert_eq!(world.by("Ada").put(&password, json!({"password": "another password"})).await.status, 204);
        assert_eq!(world.bearer(&tokens.access).get(&ours).await.status, 401);
        assert_eq!(world.refresh(&app, &tokens.refresh).await.at("/error"), "invalid_grant");
    }
}
