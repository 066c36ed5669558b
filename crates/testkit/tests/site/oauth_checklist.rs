//! The security checklist of OAuth 2.0, one test for each line, named after it. docs/security/oauth.md maps the lines to these tests
//! and gives the reasons where a line has none.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_crypto::jws::SigningKey;
use portcullis_crypto::sha256;
use portcullis_testkit::connect::ConnectApp;
use portcullis_testkit::oauth::{App, CALLBACK, Tokens, basic, encode, field, pairs, parameter, pkce};
use portcullis_testkit::world::{Answer, BASE_URL, Client, Engine, World};
use serde_json::{Value as Json, json};

const READ: &str = "read:jira-work offline_access";
const FORM: &str = "application/x-www-form-urlencoded";
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

async fn world() -> World {
    World::start(Engine::Sqlite).await
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.at("/error"))
}

/// An app without a secret.
async fn public_app(world: &World) -> App {
    world.app("Ben", json!({"kind": "public"})).await
}

/// The error that an authorization request ends with at the app's address.
async fn told(world: &World, browser: &Client<'_>, app: &App, more: &[(&str, &str)]) -> String {
    let answer = browser.get(&world.authorize_path(app, READ, more)).await;
    let location = answer.header("location").unwrap_or_default();
    assert!(location.starts_with(CALLBACK), "{} {location} {}", answer.status, answer.text);
    parameter(location, "error")
}

async fn works(world: &World, token: &str) -> bool {
    world.bearer(token).get(&world.at_gateway("/rest/api/3/issue/DEMO-1")).await.status == 200
}

#[tokio::test]
async fn e1_a_callback_is_compared_letter_by_letter() {
    let world = world().await;
    let app = world.app("Ben", json!({"redirectUris": [CALLBACK, "http://127.0.0.1:1234/cb"]})).await;
    let browser = world.browser("Cleo").await;
    for uri in [
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/CALLBACK",
        "https://app.example:443/callback",
        "https://app.example/callback#x",
        "https://app.example/../callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/https://app.example/callback",
        "http://127.0.0.1:1234/cb/../other",
        "http://localhost:1234/cb",
    ] {
        let answer = browser.get(&world.authorize_path(&app, READ, &[("redirect_uri", uri)])).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{uri}");
    }
    let answer = browser.get(&world.authorize_path(&app, READ, &[("redirect_uri", "http://127.0.0.1:50999/cb")])).await;
    assert_eq!(answer.status, 200, "the port of a loopback address may differ");
}

#[tokio::test]
async fn e2_several_callbacks_and_only_good_ones_are_registered() {
    let world = world().await;
    for uri in [
        "https://a.example/#x",
        "https://*.a.example/",
        "https://u:p@a.example/",
        "http://a.example/cb",
        "javascript:alert(1)",
    ] {
        let body = json!({"name": "x", "redirectUris": [CALLBACK, uri]});
        let answer = world.by("Ben").post("/api/portcullis/v1/oauth-apps", body).await;
        assert_eq!(answer.status, 400, "{uri}: {}", answer.text);
    }
    world
        .app("Ben", json!({"redirectUris": ["https://a.example/1", "https://a.example/2", "http://localhost:1/cb"]}))
        .await;
}

#[tokio::test]
async fn e3_an_unknown_app_or_callback_is_told_on_a_page_and_nobody_is_sent_away() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    for client in [world.browser("Cleo").await, world.anonymous()] {
        for more in [
            [("client_id", "nobody"), ("redirect_uri", CALLBACK)],
            [("client_id", app.client_id.as_str()), ("redirect_uri", "https://evil.example/")],
            [("client_id", ""), ("redirect_uri", CALLBACK)],
        ] {
            let answer = client.get(&world.authorize_path(&app, READ, &more)).await;
            assert_eq!((answer.status, answer.header("location")), (400, None), "{more:?}");
            assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        }
    }
}

#[tokio::test]
async fn e4_only_codes_are_given() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    for kind in ["token", "id_token", "code token", "code id_token", "none", "CODE"] {
        assert_eq!(
            told(&world, &browser, &app, &[("response_type", kind)]).await,
            "unsupported_response_type",
            "{kind}"
        );
    }
    assert_eq!(told(&world, &browser, &app, &[("response_type", "")]).await, "invalid_request");
    assert_eq!(told(&world, &browser, &app, &[("response_mode", "fragment")]).await, "invalid_request");
}

#[tokio::test]
async fn e5_passwords_are_no_grant() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let cleo = world.person("Cleo").clone();
    let fields = [("grant_type", "password"), ("username", cleo.email.as_str()), ("password", cleo.password.as_str())];
    assert_eq!(error(&world.token(&app, &fields).await), (400, "unsupported_grant_type".to_owned()));
    assert_eq!(
        error(&world.token(&app, &[("grant_type", "implicit")]).await),
        (400, "unsupported_grant_type".to_owned())
    );
}

#[tokio::test]
async fn e6_a_challenge_is_always_checked() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let (verifier, challenge) = pkce();
    let more = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let code = world.code("Cleo", &app, READ, &more).await;
    let wrong = "a".repeat(43);
    for fields in [
        &[][..],
        &[("code_verifier", wrong.as_str())],
        &[("code_verifier", challenge.as_str())],
        &[("code_verifier", "")],
    ] {
        assert_eq!(error(&world.exchange(&app, &code, fields).await), (400, "invalid_grant".to_owned()), "{fields:?}");
    }
    assert_eq!(world.exchange(&app, &code, &[("code_verifier", &verifier)]).await.status, 200, "it was not used up");
}

#[tokio::test]
async fn e7_an_app_without_a_secret_needs_pkce_and_any_app_can_be_made_to() {
    let world = world().await;
    let browser = world.browser("Cleo").await;
    for app in [public_app(&world).await, world.app("Ben", json!({"pkceRequired": true})).await] {
        assert_eq!(told(&world, &browser, &app, &[]).await, "invalid_request");
    }
    let app = public_app(&world).await;
    let put =
        world.by("Ben").put(&format!("/api/portcullis/v1/oauth-apps/{}", app.id), json!({"pkceRequired": false})).await;
    assert_eq!(put.json()["pkceRequired"], json!(true), "it cannot be switched off for a public app");
    let fresh = world.by("Ben").post("/api/portcullis/v1/oauth-apps", json!({"name": "x"})).await;
    assert_eq!(fresh.json()["pkceRequired"], json!(true), "new apps need it");
}

#[tokio::test]
async fn e8_plain_challenges_and_downgrades_are_refused() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    let (verifier, challenge) = pkce();
    for more in [
        vec![("code_challenge", challenge.as_str()), ("code_challenge_method", "plain")],
        vec![("code_challenge", challenge.as_str())],
        vec![("code_challenge_method", "S256")],
        vec![("code_challenge", "short"), ("code_challenge_method", "S256")],
    ] {
        assert_eq!(told(&world, &browser, &app, &more).await, "invalid_request", "{more:?}");
    }
    // Somebody who strips the challenge from the request does not get by the app's verifier.
    let code = world.code("Cleo", &app, READ, &[]).await;
    assert_eq!(
        error(&world.exchange(&app, &code, &[("code_verifier", &verifier)]).await),
        (400, "invalid_grant".to_owned())
    );
}

#[tokio::test]
async fn e9_a_code_that_comes_twice_ends_what_came_of_it() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    let tokens = Tokens::of(&world.exchange(&app, &code, &[]).await);
    assert!(works(&world, &tokens.access).await);
    assert_eq!(error(&world.exchange(&app, &code, &[]).await), (400, "invalid_grant".to_owned()));
    assert!(!works(&world, &tokens.access).await, "the access token is dead at once");
    assert_eq!(error(&world.refresh(&app, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    let page = world.browser("Cleo").await.get("/account/apps").await;
    assert!(page.text.contains("answered twice"), "the person is told");
}

#[tokio::test]
async fn e10_a_code_lives_a_minute_and_only_for_what_it_was_made() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let other = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    assert!(code.len() >= 40);
    assert_eq!(error(&world.exchange(&other, &code, &[]).await), (400, "invalid_grant".to_owned()), "another app's");
    let wrong =
        [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", "https://app.example/other")];
    assert_eq!(error(&world.token(&app, &wrong).await), (400, "invalid_grant".to_owned()), "another callback");
    let missing = [("grant_type", "authorization_code"), ("code", code.as_str())];
    assert_eq!(error(&world.token(&app, &missing).await), (400, "invalid_grant".to_owned()), "no callback");
    world.clock.advance_ms(59_000);
    assert_eq!(world.exchange(&app, &code, &[]).await.status, 200, "none of that used it up");
    let code = world.code("Cleo", &app, READ, &[]).await;
    world.clock.advance_ms(60_000);
    assert_eq!(error(&world.exchange(&app, &code, &[]).await), (400, "invalid_grant".to_owned()), "too old");
}

async fn e11(world: World) {
    let app = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    let thief = App { secret: "ptcs_wrong".to_owned(), ..app.clone() };
    assert_eq!(error(&world.exchange(&thief, &code, &[]).await), (401, "invalid_client".to_owned()));
    let (first, second) = tokio::join!(world.exchange(&app, &code, &[]), world.exchange(&app, &code, &[]));
    let good = [&first, &second].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "{} {}", first.text, second.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_wrong_secret_uses_up_nothing_and_of_two_exchanges_one_succeeds() {
    e11(world().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_the_same_on_postgres() {
    e11(World::start(Engine::Postgres).await).await;
}

#[tokio::test]
async fn e12_every_answer_names_its_issuer() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    let path = world.authorize_path(&app, READ, &[]);
    for decision in ["approve", "decline"] {
        let answer = world.decide(&browser, &path, decision).await;
        assert_eq!(parameter(answer.header("location").unwrap_or_default(), "iss"), BASE_URL, "{decision}");
    }
    let answer = browser.get(&world.authorize_path(&app, READ, &[("response_type", "token")])).await;
    assert_eq!(parameter(answer.header("location").unwrap_or_default(), "iss"), BASE_URL);
    let metadata = world.anonymous().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.json()["authorization_response_iss_parameter_supported"], json!(true));
    assert_eq!(metadata.at("/issuer"), BASE_URL);
}

#[tokio::test]
async fn e13_the_state_comes_back_byte_for_byte() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    for state in ["x".repeat(4_000), "a b&c=d/é\"%20+#?".to_owned(), "{\"j\":[1,2]}".to_owned()] {
        let answer = world.decide(&browser, &world.authorize_path(&app, READ, &[("state", &state)]), "approve").await;
        assert_eq!(parameter(answer.header("location").unwrap_or_default(), "state"), state);
    }
    let answer = world.decide(&browser, &world.authorize_path(&app, READ, &[("state", "")]), "approve").await;
    assert!(!answer.header("location").unwrap_or_default().contains("state="));
}

#[tokio::test]
async fn e14_the_consent_page_cannot_be_framed_forged_or_replayed() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    let path = world.authorize_path(&app, READ, &[]);
    let page = browser.get(&path).await;
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' https://app.example;"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("access-control-allow-origin"), None, "E54: no page of another site reads it");
    assert!(
        !page.text.contains("https://cdn") && !page.text.contains("style="),
        "nothing from elsewhere, nothing inline"
    );
    let (token, request, site) = (field(&page.text, "form_token"), field(&page.text, "request"), world.cloud_id());
    let post = |browser: Client<'static>, _: ()| browser;
    let _ = post;
    let send = async |client: &Client<'_>, token: &str, request: &str| {
        let form = pairs(&[("form_token", token), ("request", request), ("site", &site), ("decision", "approve")]);
        client.send_bytes("POST", "/authorize", Some(FORM), form.into()).await
    };
    assert_eq!(send(&browser, "", &request).await.status, 403, "no form token");
    assert_eq!(send(&browser, "ptft_x", &request).await.status, 403);
    assert_eq!(send(&browser, &token, "x").await.status, 400, "no request");
    let ben = world.browser("Ben").await;
    let bens = field(&ben.get(&path).await.text, "form_token");
    assert_eq!(send(&ben, &bens, &request).await.status, 400, "the request of Cleo's page in Ben's browser");
    let foreign = world.browser("Cleo").await.header("sec-fetch-site", "cross-site");
    assert_eq!(send(&foreign, &token, &request).await.status, 403, "a form of another site");
    world.clock.advance_ms(31 * MINUTE_MS);
    assert_eq!(send(&browser, &token, &request).await.status, 400, "an old page");
}

#[tokio::test]
async fn e15_the_answer_to_a_decision_is_303() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    for decision in ["approve", "decline"] {
        let answer = world.decide(&browser, &world.authorize_path(&app, READ, &[]), decision).await;
        assert_eq!(answer.status, 303);
        let error = parameter(answer.header("location").unwrap_or_default(), "error");
        assert_eq!(error, if decision == "decline" { "access_denied" } else { "" });
    }
    let answer = world.decide(&browser, &world.authorize_path(&app, READ, &[]), "maybe").await;
    assert_eq!((answer.status, answer.header("location")), (400, None));
}

#[tokio::test]
async fn e16_consent_is_asked_for_each_time_and_shows_what_is_new() {
    let world = world().await;
    let app = world.app("Ben", json!({"name": "Sprint sums"})).await;
    world.tokens("Cleo", &app, READ).await;
    let browser = world.browser("Cleo").await;
    let page = browser.get(&world.authorize_path(&app, "read:jira-work write:jira-work", &[])).await;
    assert_eq!(page.status, 200);
    for words in
        ["Sprint sums", "It is connected already", "badge new", "Change issues", "One hour", "1 project", "It gives up"]
    {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("VAULT"), "what the person cannot see is not named");
    for prompt in ["none", "none login"] {
        assert_eq!(told(&world, &browser, &app, &[("prompt", prompt)]).await, "consent_required");
    }
    let nobody = world.anonymous();
    assert_eq!(told(&world, &nobody, &app, &[("prompt", "none")]).await, "login_required");
    let answer = nobody.get(&world.authorize_path(&app, READ, &[])).await;
    assert!(
        answer.header("location").is_some_and(|to| to.starts_with("/login?return_to=%2Fauthorize%3Fclient")),
        "{answer:?}"
    );
    // A new consent takes the place of the one before.
    let narrow = world.tokens("Cleo", &app, "read:jira-user").await;
    assert_eq!(narrow.json["scope"], json!("read:jira-user"));
}

#[tokio::test]
async fn e17_people_list_and_revoke_what_they_granted() {
    let world = world().await;
    let app = world.app("Ben", json!({"name": "Sprint sums"})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let browser = world.browser("Cleo").await;
    let page = browser.get("/account/apps").await;
    assert!(page.text.contains("Sprint sums") && page.text.contains("Read projects and issues"), "{}", page.text);
    let id = world.by("Cleo").get("/api/portcullis/v1/me/app-grants").await.at("/values/0/id");
    let ben = world.browser("Ben").await;
    let form = |token: &str| pairs(&[("form_token", token)]);
    let bens = field(&ben.get("/account/apps").await.text, "form_token");
    let answer = ben.send_bytes("POST", &format!("/account/apps/{id}/revoke"), Some(FORM), form(&bens).into()).await;
    assert_ne!(answer.status, 303, "another person's");
    let marker = format!("action=\"/account/apps/{id}/revoke\"");
    let token = field(page.text.split_once(&marker).expect("a form").1, "form_token");
    let answer =
        browser.send_bytes("POST", &format!("/account/apps/{id}/revoke"), Some(FORM), form(&token).into()).await;
    assert_eq!(answer.status, 303);
    assert!(!works(&world, &tokens.access).await);
}

#[tokio::test]
async fn e18_an_app_with_a_secret_has_to_use_it_everywhere() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    let bare = App { secret: String::new(), ..app.clone() };
    assert_eq!(error(&world.exchange(&bare, &code, &[]).await), (401, "invalid_client".to_owned()));
    let client = [("client_id", app.client_id.as_str()), ("token", "x")];
    for path in ["/oauth/revoke", "/oauth/introspect", "/oauth/par", "/oauth/device/code"] {
        assert_eq!(error(&world.ask(path, &client).await), (401, "invalid_client".to_owned()), "{path}");
    }
    assert_eq!(world.exchange(&app, &code, &[]).await.status, 200);
}

#[tokio::test]
async fn e19_secrets_are_shown_once_and_changed_without_an_interruption() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    assert!(app.secret.starts_with("ptcs_") && app.secret.len() >= 44);
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    let shown = world.by("Ben").get(&path).await;
    assert!(!shown.text.contains(&app.secret));
    let page = world.browser("Ben").await.get(&format!("/console/apps/{}", app.id)).await;
    assert!(page.status == 200 && !page.text.contains(&app.secret));
    let made = world.by("Ben").post(&format!("{path}/secrets"), json!({})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(world.by("Ben").post(&format!("{path}/secrets"), json!({})).await.status, 409, "two at once");
    let new = App { secret: made.at("/clientSecret"), ..app.clone() };
    for app in [&app, &new] {
        let code = world.code("Cleo", app, READ, &[]).await;
        assert_eq!(world.exchange(app, &code, &[]).await.status, 200, "both count");
    }
    let old = shown.at("/secrets/0/id");
    assert_eq!(world.by("Ben").delete(&format!("{path}/secrets/{old}")).await.status, 204);
    assert_eq!(error(&world.refresh(&app, "x").await), (401, "invalid_client".to_owned()), "at once");
    assert_eq!(error(&world.refresh(&new, "x").await), (400, "invalid_grant".to_owned()));
    let last = made.at("/id");
    assert_eq!(world.by("Ben").delete(&format!("{path}/secrets/{last}")).await.status, 409, "the only one stays");
}

/// A client assertion (RFC 7523).
fn assertion(key: &SigningKey, app: &App, change: Json, now_s: i64) -> String {
    let mut claims = json!({"iss": app.client_id, "sub": app.client_id, "aud": BASE_URL, "jti": "j1", "iat": now_s, "exp": now_s + 60});
    if let (Some(claims), Some(change)) = (claims.as_object_mut(), change.as_object()) {
        claims.extend(change.clone());
        claims.retain(|_, value| !value.is_null());
    }
    key.sign("JWT", &claims).expect("an assertion")
}

#[tokio::test]
async fn e20_a_key_proves_a_client_once_and_for_us_alone() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let (key, _) = SigningKey::generate_es256("k1".to_owned()).expect("a key");
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    let jwks = json!({"jwks": {"keys": [key.public_jwk()]}});
    assert_eq!(world.by("Ben").put(&path, jwks).await.status, 200);
    let now_s = world.gateway.guard().now().0 / 1_000;
    let send = async |assertion: &str, more: &[(&str, &str)]| {
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        fields.extend_from_slice(more);
        error(&world.ask("/oauth/token", &fields).await)
    };
    let proven = (400, "invalid_grant".to_owned());
    let refused = (401, "invalid_client".to_owned());
    let good = assertion(&key, &app, json!({}), now_s);
    assert_eq!(send(&good, &[]).await, proven);
    assert_eq!(send(&good, &[]).await, refused, "used before");
    for (what, change) in [
        ("the token endpoint as audience", json!({"aud": format!("{BASE_URL}/oauth/token"), "jti": "2"})),
        ("a list of audiences", json!({"aud": [BASE_URL], "jti": "3"})),
        ("another audience", json!({"aud": "https://evil.example", "jti": "4"})),
        ("another issuer", json!({"iss": "x", "jti": "5"})),
        ("expired", json!({"iat": now_s - 300, "exp": now_s - 61, "jti": "6"})),
        ("too long a life", json!({"exp": now_s + 3_600, "jti": "7"})),
        ("no id", json!({"jti": null})),
        ("no end", json!({"exp": null, "jti": "8"})),
    ] {
        assert_eq!(send(&assertion(&key, &app, change, now_s), &[]).await, refused, "{what}");
    }
    let (theirs, _) = SigningKey::generate_es256("k1".to_owned()).expect("a key");
    assert_eq!(send(&assertion(&theirs, &app, json!({"jti": "9"}), now_s), &[]).await, refused, "another key");
    let mixed = assertion(&key, &app, json!({"jti": "10"}), now_s);
    assert_eq!(send(&mixed, &[("client_secret", &app.secret)]).await, (400, "invalid_request".to_owned()), "E21");
}

#[tokio::test]
async fn e21_a_client_proves_itself_in_one_way_and_not_in_the_address() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let header = basic(&app);
    let ask = async |client: &Client<'_>, path: &str, fields: &[(&str, &str)]| {
        let mut all = vec![("grant_type", "refresh_token"), ("refresh_token", "x")];
        all.extend_from_slice(fields);
        error(&client.send_bytes("POST", path, Some(FORM), pairs(&all).into()).await)
    };
    let with_header = world.with_header("authorization", &header);
    assert_eq!(ask(&with_header, "/oauth/token", &[]).await, (400, "invalid_grant".to_owned()));
    let both = [("client_secret", app.secret.as_str())];
    assert_eq!(ask(&with_header, "/oauth/token", &both).await, (400, "invalid_request".to_owned()));
    assert_eq!(ask(&with_header, "/oauth/token", &[("client_id", "other")]).await, (400, "invalid_request".to_owned()));
    let path = format!("/oauth/token?client_secret={}", app.secret);
    let named = [("client_id", app.client_id.as_str())];
    assert_eq!(ask(&world.anonymous(), &path, &named).await, (400, "invalid_request".to_owned()));
    let wrong = world.with_header("authorization", "Basic eDp5");
    let answer = wrong.send_bytes("POST", "/oauth/token", Some(FORM), "grant_type=refresh_token".into()).await;
    assert_eq!(error(&answer), (401, "invalid_client".to_owned()));
    assert!(answer.header("www-authenticate").is_some_and(|header| header.starts_with("Basic ")));
}

#[tokio::test]
async fn e22_guessing_a_secret_costs_time_and_locks_nobody_out() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let thief = App { secret: "ptcs_wrong".to_owned(), ..app.clone() };
    let mut statuses = HashSet::new();
    for _ in 0..40 {
        statuses.insert(world.refresh(&thief, "x").await.status);
    }
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(world.refresh(&app, "x").await.status, 400, "the right secret is never slowed");
}

#[tokio::test]
async fn e23_a_refresh_token_is_worth_nothing_to_another_client() {
    let world = world().await;
    let (app, other) = (world.app("Ben", json!({})).await, world.app("Ben", json!({})).await);
    let tokens = world.tokens("Cleo", &app, READ).await;
    assert_eq!(error(&world.refresh(&other, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    assert_eq!(world.refresh(&app, &tokens.refresh).await.status, 200, "and the attempt did no harm");
}

#[tokio::test]
async fn e24_a_refresh_token_used_again_after_the_leeway_ends_the_family() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let first = world.tokens("Cleo", &app, READ).await;
    let second = Tokens::of(&world.refresh(&app, &first.refresh).await);
    let third = Tokens::of(&world.refresh(&app, &second.refresh).await);
    // Two generations back is a replay at any time.
    assert_eq!(error(&world.refresh(&app, &first.refresh).await), (400, "invalid_grant".to_owned()));
    assert!(!works(&world, &third.access).await, "the access tokens die with it");
    assert_eq!(error(&world.refresh(&app, &third.refresh).await), (400, "invalid_grant".to_owned()));
    let page = world.browser("Cleo").await.get("/account/apps").await;
    assert!(page.text.contains("used a second time"), "the person is told");
    let audit = world.by("Ada").get("/api/portcullis/v1/audit?maxResults=200").await;
    assert!(audit.text.contains("withdraw"), "and the audit log");

    let first = world.tokens("Cleo", &app, READ).await;
    let second = Tokens::of(&world.refresh(&app, &first.refresh).await);
    world.clock.advance_ms(10 * MINUTE_MS + 1);
    assert_eq!(error(&world.refresh(&app, &first.refresh).await), (400, "invalid_grant".to_owned()));
    assert_eq!(error(&world.refresh(&app, &second.refresh).await), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn e25_a_client_that_lost_the_answer_gets_the_same_successor() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let first = world.tokens("Cleo", &app, READ).await;
    let next = Tokens::of(&world.refresh(&app, &first.refresh).await);
    world.clock.advance_ms(10 * MINUTE_MS);
    let again = Tokens::of(&world.refresh(&app, &first.refresh).await);
    assert_eq!(again.refresh, next.refresh);
    assert!(works(&world, &again.access).await);
    assert_eq!(world.refresh(&app, &next.refresh).await.status, 200);
}

async fn thousand(world: World) {
    let app = world.app("Ben", json!({})).await;
    let first = world.tokens("Cleo", &app, READ).await;
    let mut successors = HashSet::new();
    let world = std::sync::Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (world, app, token) = (std::sync::Arc::clone(&world), app.clone(), first.refresh.clone());
        tasks.spawn(async move { world.refresh(&app, &token).await });
    }
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text);
        successors.insert(answer.at("/refresh_token"));
    }
    assert_eq!(successors.len(), 1, "exactly one successor");
    for successor in &successors {
        assert_eq!(world.refresh(&app, successor).await.status, 200, "and it works");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e25_a_thousand_refreshes_at_once_have_one_successor() {
    thousand(world().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e25_the_same_on_postgres() {
    thousand(World::start(Engine::Postgres).await).await;
}

#[tokio::test]
async fn e26_a_refresh_asks_for_the_same_or_less() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let first = world.tokens("Cleo", &app, "read:jira-work write:jira-work offline_access").await;
    let ask = async |token: &str, scope: &str| {
        world.token(&app, &[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    for wider in ["read:jira-work manage:jira-project", "read:me", "nothing"] {
        assert_eq!(error(&ask(&first.refresh, wider).await), (400, "invalid_scope".to_owned()), "{wider}");
    }
    let narrow = ask(&first.refresh, "read:jira-work").await;
    assert_eq!((narrow.status, narrow.at("/scope")), (200, "read:jira-work".to_owned()), "nothing was lost");
    let narrow = Tokens::of(&narrow);
    let issue = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x"}});
    assert_eq!(
        world.bearer(&narrow.access).post(&world.at_gateway("/rest/api/3/issue"), issue.clone()).await.status,
        401
    );
    let whole = Tokens::of(&ask(&narrow.refresh, "read:jira-work write:jira-work offline_access").await);
    assert_eq!(world.bearer(&whole.access).post(&world.at_gateway("/rest/api/3/issue"), issue).await.status, 201);
}

#[tokio::test]
async fn e27_refresh_tokens_end_without_use_and_after_a_year() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let idle = world.tokens("Cleo", &app, READ).await;
    world.clock.advance_ms(90 * DAY_MS);
    assert_eq!(
        error(&world.refresh(&app, &idle.refresh).await),
        (400, "invalid_grant".to_owned()),
        "90 days without use"
    );
    let mut used = world.tokens("Cleo", &app, READ).await;
    for _ in 0..4 {
        world.clock.advance_ms(89 * DAY_MS);
        used = Tokens::of(&world.refresh(&app, &used.refresh).await);
        assert!(!used.refresh.is_empty());
    }
    world.clock.advance_ms(9 * DAY_MS);
    assert_eq!(error(&world.refresh(&app, &used.refresh).await), (400, "invalid_grant".to_owned()), "a year in all");
    let token = world.tokens("Cleo", &app, READ).await;
    world.clock.advance_ms(3_600_000);
    assert!(!works(&world, &token.access).await, "an access token lives an hour");
}

#[tokio::test]
async fn e28_every_way_of_revoking_takes_effect() {
    let world = world().await;
    let cleo = world.person("Cleo").account_id.clone();
    let app = world.app("Ben", json!({})).await;
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    let gone = async |tokens: &Tokens, what: &str| {
        assert!(!works(&world, &tokens.access).await, "{what}");
        assert_eq!(world.refresh(&app, &tokens.refresh).await.status / 100, 4, "{what}");
    };
    // The developer takes a scope away: every token is narrower at once.
    let tokens = world.tokens("Cleo", &app, READ).await;
    assert_eq!(world.by("Ben").put(&path, json!({"scopes": ["read:me"]})).await.status, 200);
    assert!(!works(&world, &tokens.access).await, "a scope that was taken from the app");
    assert_eq!(world.by("Ben").put(&path, json!({"scopes": ["read:me", "read:jira-work"]})).await.status, 200);
    assert!(works(&world, &tokens.access).await);
    // The site allows no apps of people.
    let setting = "/api/portcullis/v1/settings/apps.user_installed";
    assert_eq!(world.by("Ada").put(setting, json!({"value": false})).await.status, 200);
    assert!(!works(&world, &tokens.access).await, "user-installed apps are switched off");
    let page = world.browser("Cleo").await.get(&world.authorize_path(&app, "read:me", &[])).await;
    assert!(page.status == 403 && page.text.contains("does not let people connect apps"), "{}", page.text);
    assert_eq!(world.by("Ada").put(setting, json!({"value": true})).await.status, 200);
    // The account's credentials are revoked.
    world.clock.advance_ms(1_000);
    let answer = world.by("Ada").delete(&format!("/api/portcullis/v1/users/{cleo}/credentials")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    gone(&tokens, "credentials revoked").await;
    // The account is deactivated, and nothing comes back when it is activated again.
    world.clock.advance_ms(1_000);
    let tokens = world.tokens("Cleo", &app, "read:jira-work offline_access").await;
    world.clock.advance_ms(1_000);
    for what in ["deactivate", "activate"] {
        let answer = world.by("Ada").post(&format!("/api/portcullis/v1/users/{cleo}/{what}"), json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        gone(&tokens, what).await;
    }
    // An administrator revokes for all.
    world.clock.advance_ms(1_000);
    let tokens = world.tokens("Cleo", &app, "read:jira-work offline_access").await;
    assert_eq!(
        world.by("Ada").delete(&format!("/api/portcullis/v1/admin/oauth-apps/{}/grants", app.id)).await.status,
        200
    );
    gone(&tokens, "revoked for all").await;
    // E74: the app is deleted.
    let tokens = world.tokens("Cleo", &app, "read:jira-work offline_access").await;
    assert_eq!(world.by("Ada").delete(&path).await.status, 404, "somebody else's app");
    assert_eq!(world.by("Ben").delete(&path).await.status, 204);
    gone(&tokens, "the app is deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e29_a_revocation_is_known_to_every_node() {
    let world = World::start(Engine::Postgres).await;
    let other = world.another_node().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let path = world.at_gateway("/rest/api/3/issue/DEMO-1");
    let there = async |token: &str| {
        let request = http::Request::get(path.as_str())
            .header("host", "portcullis.test")
            .header("authorization", format!("Bearer {token}"));
        let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).expect("a request");
        other.handle(request, None).await.status().as_u16()
    };
    assert_eq!(there(&tokens.access).await, 200, "a token that another node gave");
    let id = world.by("Cleo").get("/api/portcullis/v1/me/app-grants").await.at("/values/0/id");
    assert_eq!(world.by("Cleo").delete(&format!("/api/portcullis/v1/me/app-grants/{id}")).await.status, 204);
    assert_eq!(there(&tokens.access).await, 401, "the next request");
    let tokens = world.tokens("Cleo", &app, READ).await;
    assert_eq!(there(&tokens.access).await, 200);
    let second = Tokens::of(&world.refresh(&app, &tokens.refresh).await);
    let third = Tokens::of(&world.refresh(&app, &second.refresh).await);
    assert_eq!(there(&third.access).await, 200);
    world.refresh(&app, &tokens.refresh).await;
    assert_eq!(there(&third.access).await, 401, "a replay that one node met");
}

#[tokio::test]
async fn e30_revocation_by_the_app_ends_its_own_tokens_and_no_others() {
    let world = world().await;
    let (app, other) = (world.app("Ben", json!({})).await, world.app("Ben", json!({})).await);
    let revoke = async |app: &App, token: &str| {
        let fields = [("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str()), ("token", token)];
        world.ask("/oauth/revoke", &fields).await.status
    };
    let tokens = world.tokens("Cleo", &app, READ).await;
    assert_eq!(revoke(&app, "unknown").await, 200);
    assert_eq!(revoke(&other, &tokens.refresh).await, 200);
    assert_eq!(revoke(&other, &tokens.access).await, 200);
    assert!(works(&world, &tokens.access).await, "another app's");
    assert_eq!(revoke(&app, &tokens.refresh).await, 200);
    assert!(!works(&world, &tokens.access).await);
    let tokens = world.tokens("Cleo", &app, READ).await;
    assert_eq!(revoke(&app, &tokens.access).await, 200);
    assert!(!works(&world, &tokens.access).await);
    assert_eq!(world.refresh(&app, &tokens.refresh).await.status, 400);
    let answer = world
        .ask("/oauth/revoke", &[("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str())])
        .await;
    assert_eq!(error(&answer), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn e31_introspection_tells_a_client_about_its_own_tokens_alone() {
    let world = world().await;
    let (app, other) = (world.app("Ben", json!({})).await, world.app("Ben", json!({})).await);
    let ask = async |app: &App, token: &str| {
        let fields = [("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str()), ("token", token)];
        world.ask("/oauth/introspect", &fields).await
    };
    let tokens = world.tokens("Cleo", &app, READ).await;
    let about = ask(&app, &tokens.access).await;
    assert_eq!(about.json()["active"], json!(true), "{}", about.text);
    assert_eq!(
        (about.at("/scope"), about.at("/client_id")),
        (READ.split(' ').rev().collect::<Vec<_>>().join(" "), app.client_id.clone())
    );
    assert_eq!(about.at("/sub"), world.person("Cleo").account_id);
    assert_eq!(ask(&app, &tokens.refresh).await.json()["active"], json!(true));
    let next = Tokens::of(&world.refresh(&app, &tokens.refresh).await);
    for (app, token) in [(&other, &tokens.access), (&app, &tokens.refresh), (&app, &"x".to_owned())] {
        assert_eq!(ask(app, token).await.json(), json!({"active": false}));
    }
    assert_eq!(ask(&app, &next.refresh).await.json()["active"], json!(true));
    let public = public_app(&world).await;
    let fields = [("client_id", public.client_id.as_str()), ("token", tokens.access.as_str())];
    assert_eq!(world.ask("/oauth/introspect", &fields).await.status, 401, "a client without a proof learns nothing");
}

#[tokio::test]
async fn e32_e33_nothing_but_an_access_token_of_ours_is_one() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let parts: Vec<&str> = tokens.access.split('.').collect();
    let header: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).expect("base64url")).expect("JSON");
    let claims: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url")).expect("JSON");
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    assert_eq!((claims["aud"].as_str(), claims["iss"].as_str()), (Some(BASE_URL), Some(BASE_URL)));
    assert_eq!(claims["sub"].as_str(), Some(world.person("Cleo").account_id.as_str()));
    let kid = header["kid"].as_str().expect("a key id").to_owned();
    let (theirs, _) = SigningKey::generate_es256(kid.clone()).expect("a key");
    let mut forged = vec![
        ("our claims under another key with our key's id", theirs.sign("at+jwt", &claims).expect("a token")),
        (
            "signed with a secret",
            SigningKey::hs256(kid.clone(), &[1; 32]).expect("a key").sign("at+jwt", &claims).expect("a token"),
        ),
        ("a refresh token", tokens.refresh.clone()),
        ("a client secret", app.secret.clone()),
        ("an API token", world.person("Cleo").api_token.clone()),
        ("nothing", String::new()),
        ("a token cut short", tokens.access[..tokens.access.len() - 2].to_owned()),
        ("two tokens", format!("{} {}", tokens.access, tokens.access)),
        (
            "alg none",
            format!(
                "{}.{}.",
                URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "at+jwt", "kid": kid}).to_string()),
                parts[1]
            ),
        ),
        (
            "another key id",
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "typ": "at+jwt", "kid": "../../etc/passwd"}).to_string()),
                parts[1],
                parts[2]
            ),
        ),
        (
            "another type",
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "typ": "JWT", "kid": header["kid"]}).to_string()),
                parts[1],
                parts[2]
            ),
        ),
    ];
    let now_s = world.gateway.guard().now().0 / 1_000;
    forged.push(("a client assertion", assertion(&theirs, &app, json!({}), now_s)));
    for (what, token) in forged {
        let answer = world.bearer(&token).get(&world.at_gateway("/rest/api/3/myself")).await;
        assert_eq!((answer.status, answer.json()), (401, json!({"code": 401, "message": "Unauthorized"})), "{what}");
        assert!(answer.header("www-authenticate").is_some_and(|header| header.contains("invalid_token")), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e32_a_token_for_another_audience_is_refused() {
    let world = World::start(Engine::Postgres).await;
    let other = world.another_node_at("https://elsewhere.example").await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let request = http::Request::get("/oauth/token/accessible-resources").header("host", "elsewhere.example");
    let request = request.header("authorization", format!("Bearer {}", tokens.access));
    let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).expect("a request");
    assert_eq!(other.handle(request, None).await.status().as_u16(), 401, "the same keys, another issuer and audience");
}

#[tokio::test]
async fn e33_a_bearer_token_is_for_the_gateway_alone() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let on_site = world.bearer(&tokens.access).get("/rest/api/3/serverInfo").await;
    assert_eq!((on_site.status, on_site.text.as_str()), (401, "Client must be authenticated to access this resource."));
    let opaque = world.bearer("opaque").get("/rest/api/3/serverInfo").await;
    assert_eq!((opaque.status, opaque.json()), (403, json!({"error": "Failed to parse Connect Session Auth Token"})));
    for path in ["/api/portcullis/v1/me/api-tokens", "/account", "/console/apps"] {
        assert!(matches!(world.bearer(&tokens.access).get(path).await.status, 303 | 401 | 403), "{path}");
    }
}

#[tokio::test]
async fn e36_keys_change_with_an_overlap_and_a_leaked_one_ends_at_once() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let keys =
        async || world.anonymous().get("/.well-known/jwks.json").await.json()["keys"].as_array().map_or(0, Vec::len);
    assert_eq!(keys().await, 1);
    assert_eq!(world.by("Ben").post("/api/portcullis/v1/signing-keys/rotate", json!({})).await.status, 403);
    assert_eq!(world.by("Ada").post("/api/portcullis/v1/signing-keys/rotate", json!({})).await.status, 201);
    assert_eq!(keys().await, 2);
    assert!(works(&world, &tokens.access).await, "signed with the key before");
    let new = Tokens::of(&world.refresh(&app, &tokens.refresh).await);
    assert!(works(&world, &new.access).await);
    assert_eq!(
        world.by("Ada").post("/api/portcullis/v1/signing-keys/rotate", json!({"leaked": true})).await.status,
        201
    );
    assert_eq!(keys().await, 1);
    assert!(!works(&world, &new.access).await && !works(&world, &tokens.access).await, "also what was remembered");
    let new = Tokens::of(&world.refresh(&app, &new.refresh).await);
    assert!(works(&world, &new.access).await, "a refresh is enough");
    let jwks = world.anonymous().get("/.well-known/jwks.json").await;
    assert!(!jwks.text.contains("\"d\""), "the public half alone");
}

/// A service account with a client of its own.
async fn service(world: &World, scopes: &[&str]) -> (String, App) {
    let account =
        world.by("Ada").post("/api/portcullis/v1/users", json!({"kind": "service", "displayName": "Nightly"})).await;
    assert_eq!(account.status, 201, "{}", account.text);
    let account_id = account.at("/accountId");
    let path = format!("/api/portcullis/v1/service-accounts/{account_id}/oauth-clients");
    let made = world.by("Ada").post(&path, json!({"name": "Nightly", "scopes": scopes})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (account_id, App { id: made.at("/id"), client_id: made.at("/clientId"), secret: made.at("/clientSecret") })
}

#[tokio::test]
async fn e37_e52_a_service_account_gets_tokens_for_itself_and_nobody_else() {
    let world = world().await;
    let (account_id, client) = service(&world, &["read:jira-work", "read:me"]).await;
    let answer = world.token(&client, &[("grant_type", "client_credentials")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let tokens = Tokens::of(&answer);
    assert_eq!(tokens.refresh, "", "no refresh token");
    let me = world.bearer(&tokens.access).get("/me").await;
    assert_eq!(me.at("/account_id"), account_id);
    assert!(world.people.iter().all(|person| person.account_id != client.client_id));
    let more = [("grant_type", "client_credentials"), ("scope", "write:jira-work")];
    assert_eq!(error(&world.token(&client, &more).await), (400, "invalid_scope".to_owned()), "fixed when it was made");
    let app = world.app("Ben", json!({})).await;
    assert_eq!(
        error(&world.token(&app, &[("grant_type", "client_credentials")]).await),
        (400, "unauthorized_client".to_owned())
    );
    for grant in ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"] {
        let fields = [("grant_type", grant), ("code", "x"), ("refresh_token", "x"), ("device_code", "x")];
        assert_eq!(
            error(&world.token(&client, &fields).await),
            (400, "unauthorized_client".to_owned()),
            "E53: {grant}"
        );
    }
    let page = world.browser("Cleo").await.get(&world.authorize_path(&client, READ, &[])).await;
    assert_eq!((page.status, page.header("location")), (400, None), "it asks nobody");
    let path = format!("/api/portcullis/v1/service-accounts/{account_id}/oauth-clients/{}", client.id);
    assert_eq!(world.by("Ada").delete(&path).await.status, 204);
    assert_eq!(world.bearer(&tokens.access).get("/me").await.status, 401);
}

#[tokio::test]
async fn e38_tokens_in_addresses_and_bodies_are_not_looked_at() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let path = world.at_gateway(&format!("/rest/api/3/myself?access_token={}", tokens.access));
    assert_eq!(world.anonymous().get(&path).await.status, 401);
    let form = pairs(&[("access_token", &tokens.access)]);
    let answer = world
        .anonymous()
        .send_bytes("POST", &world.at_gateway("/rest/api/3/search/jql"), Some(FORM), form.into())
        .await;
    assert!(matches!(answer.status, 401 | 415), "{}", answer.status);
}

#[tokio::test]
async fn e39_a_refusal_says_what_is_missing() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let project = world.at_gateway("/rest/api/3/project/DEMO");
    let refused = world.bearer(&tokens.access).put(&project, json!({"name": "x"})).await;
    assert_eq!(
        (refused.status, refused.json()),
        (401, json!({"code": 401, "message": "Unauthorized; scope does not match"}))
    );
    let header = refused.header("www-authenticate").unwrap_or_default();
    assert!(
        header.contains("error=\"insufficient_scope\"") && header.contains("scope=\"manage:jira-project\""),
        "{header}"
    );
    assert!(
        header.contains("resource_metadata=\"http://portcullis.test/.well-known/oauth-protected-resource\""),
        "{header}"
    );
    let nobody = world.anonymous().get("/me").await;
    assert!(
        nobody.status == 401 && nobody.header("www-authenticate").is_some_and(|header| header.starts_with("Bearer "))
    );
}

#[tokio::test]
async fn e40_e70_tokens_are_not_kept_by_caches_and_their_issue_is_audited() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    let answer = world.exchange(&app, &code, &[]).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let tokens = Tokens::of(&answer);
    world.bearer(&tokens.access).put(&world.at_gateway("/rest/api/3/project/DEMO"), json!({})).await;
    world.gateway.guard().flush_refusals().await.expect("flushed");
    let audit = world.by("Ada").get("/api/portcullis/v1/audit?maxResults=200").await;
    let subject = format!("app:{}", app.client_id);
    for operation in ["oauthToken", "consoleConsent", "updateProject"] {
        let entry =
            audit.json()["values"].as_array().into_iter().flatten().any(|entry| entry["operation"] == operation);
        assert!(entry, "{operation}");
    }
    assert!(audit.text.contains(&subject), "the app is named");
    for secret in [&tokens.access, &tokens.refresh, &app.secret, &code] {
        assert!(!audit.text.contains(secret.as_str()), "E55: no secret in the audit log");
    }
}

fn proof(key: &SigningKey, method: &str, url: &str, change: Json, now_s: i64) -> String {
    let mut claims = json!({"htm": method, "htu": url, "iat": now_s, "jti": "p1"});
    if let (Some(claims), Some(change)) = (claims.as_object_mut(), change.as_object()) {
        claims.extend(change.clone());
    }
    // The header of a proof holds the public key, which our own signer never does.
    let mut jwk = key.public_jwk().expect("a public key");
    if let Some(members) = jwk.as_object_mut() {
        members.retain(|name, _| matches!(name.as_str(), "kty" | "crv" | "x" | "y"));
    }
    key.sign_with_header(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}), &claims).expect("a proof")
}

#[tokio::test]
async fn e41_a_bound_token_needs_its_key() {
    let world = world().await;
    let app = world.app("Ben", json!({"dpopRequired": true})).await;
    let put =
        world.by("Ben").put(&format!("/api/portcullis/v1/oauth-apps/{}", app.id), json!({"dpopRequired": true})).await;
    assert_eq!(put.json()["dpopRequired"], json!(true));
    let (key, _) = SigningKey::generate_es256(String::new()).expect("a key");
    let now_s = world.gateway.guard().now().0 / 1_000;
    let endpoint = format!("{BASE_URL}/oauth/token");
    let code = world.code("Cleo", &app, READ, &[]).await;
    assert_eq!(error(&world.exchange(&app, &code, &[]).await), (400, "invalid_grant".to_owned()), "no proof");
    let exchange = async |proof: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("client_id", app.client_id.as_str()),
            ("client_secret", app.secret.as_str()),
        ];
        world.with_header("dpop", proof).send_bytes("POST", "/oauth/token", Some(FORM), pairs(&fields).into()).await
    };
    for (what, text) in [
        ("another method", proof(&key, "GET", &endpoint, json!({}), now_s)),
        ("another address", proof(&key, "POST", &format!("{BASE_URL}/other"), json!({}), now_s)),
        ("too old", proof(&key, "POST", &endpoint, json!({"iat": now_s - 120}), now_s)),
        ("no proof at all", "x".to_owned()),
    ] {
        assert_eq!(error(&exchange(&text).await), (400, "invalid_dpop_proof".to_owned()), "{what}");
    }
    let good = proof(&key, "POST", &endpoint, json!({}), now_s);
    let answer = exchange(&good).await;
    assert_eq!((answer.status, answer.at("/token_type")), (200, "DPoP".to_owned()), "{}", answer.text);
    assert_eq!(error(&exchange(&good).await), (400, "invalid_dpop_proof".to_owned()), "a proof counts once");
    let tokens = Tokens::of(&answer);
    assert!(!works(&world, &tokens.access).await, "as a plain bearer token it is worth nothing");
    let path = world.at_gateway("/rest/api/3/issue/DEMO-1");
    let url = format!("{BASE_URL}{path}");
    let ath = URL_SAFE_NO_PAD.encode(sha256(tokens.access.as_bytes()));
    let call = async |proof: &str| {
        let client = world.with_header("authorization", &format!("DPoP {}", tokens.access)).header("dpop", proof);
        client.get(&path).await.status
    };
    assert_eq!(call(&proof(&key, "GET", &url, json!({"jti": "a", "ath": ath}), now_s)).await, 200);
    assert_eq!(call(&proof(&key, "GET", &url, json!({"jti": "a", "ath": ath}), now_s)).await, 401, "used before");
    assert_eq!(call(&proof(&key, "GET", &url, json!({"jti": "b"}), now_s)).await, 401, "not for this token");
    let (theirs, _) = SigningKey::generate_es256(String::new()).expect("a key");
    assert_eq!(call(&proof(&theirs, "GET", &url, json!({"jti": "c", "ath": ath}), now_s)).await, 401, "another key");
    assert_eq!(
        error(&world.refresh(&app, &tokens.refresh).await),
        (400, "invalid_grant".to_owned()),
        "the refresh token is bound too"
    );
}

#[tokio::test]
async fn e43_a_pushed_request_is_used_once_by_its_client() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    assert_eq!(world.by("Ben").put(&path, json!({"parRequired": true})).await.status, 200);
    let browser = world.browser("Cleo").await;
    assert_eq!(told(&world, &browser, &app, &[]).await, "invalid_request", "the app has to push");
    let push = async |scope: &str| {
        let fields = [
            ("client_id", app.client_id.as_str()),
            ("client_secret", app.secret.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", scope),
            ("state", "pushed"),
        ];
        world.ask("/oauth/par", &fields).await
    };
    assert_eq!(error(&push("openid").await), (400, "invalid_scope".to_owned()), "mistakes are told to the app");
    let pushed = push(READ).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    let urn = pushed.at("/request_uri");
    assert!(urn.starts_with("urn:ietf:params:oauth:request_uri:"));
    let there = format!("/authorize?client_id={}&request_uri={}", app.client_id, encode(&urn));
    let other = world.app("Ben", json!({})).await;
    let theirs = format!("/authorize?client_id={}&request_uri={}", other.client_id, encode(&urn));
    assert_eq!(browser.get(&theirs).await.status, 400, "another client's");
    let answer = world.decide(&browser, &there, "approve").await;
    let location = answer.header("location").unwrap_or_default().to_owned();
    assert_eq!(parameter(&location, "state"), "pushed", "{}", answer.text);
    assert_eq!(world.exchange(&app, &parameter(&location, "code"), &[]).await.status, 200);
    assert_eq!(browser.get(&there).await.status, 400, "used");
    let urn = push(READ).await.at("/request_uri");
    world.clock.advance_ms(301_000);
    let there = format!("/authorize?client_id={}&request_uri={}", app.client_id, encode(&urn));
    assert_eq!(browser.get(&there).await.status, 400, "too old");
}

#[tokio::test]
async fn e44_nothing_is_fetched_from_an_address_in_a_request() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    let uri = [("request_uri", "https://evil.example/request.jwt")];
    assert_eq!(told(&world, &browser, &app, &uri).await, "request_uri_not_supported");
    assert_eq!(told(&world, &browser, &app, &[("request", "e30.e30.")]).await, "request_not_supported");
}

#[tokio::test]
async fn e45_e46_metadata_says_what_is_there_and_nothing_else() {
    let world = world().await;
    let server = world.anonymous().get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(server, world.anonymous().get("/.well-known/openid-configuration").await.json());
    assert_eq!(server["response_types_supported"], json!(["code"]));
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(server.get("registration_endpoint"), None, "registration is off");
    for (name, method) in [
        ("authorization_endpoint", "GET"),
        ("token_endpoint", "POST"),
        ("revocation_endpoint", "POST"),
        ("introspection_endpoint", "POST"),
        ("pushed_authorization_request_endpoint", "POST"),
        ("device_authorization_endpoint", "POST"),
        ("jwks_uri", "GET"),
    ] {
        let path = server[name].as_str().and_then(|url| url.strip_prefix(BASE_URL)).expect(name);
        let answer = world.anonymous().send_bytes(method, path, (method == "POST").then_some(FORM), "x=1".into()).await;
        assert!(!matches!(answer.status, 404 | 405 | 501), "{name}: {}", answer.status);
    }
    for path in ["".to_owned(), world.at_gateway("")] {
        let resource = world.anonymous().get(&format!("/.well-known/oauth-protected-resource{path}")).await.json();
        assert_eq!(resource["resource"].as_str(), Some(format!("{BASE_URL}{path}").as_str()));
        assert_eq!(resource["authorization_servers"], json!([BASE_URL]));
    }
    assert_eq!(world.anonymous().get("/.well-known/oauth-protected-resource/ex/jira/other").await.status, 404);
}

#[tokio::test]
async fn e47_a_resource_is_ours_or_refused() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    assert_eq!(told(&world, &browser, &app, &[("resource", "https://evil.example")]).await, "invalid_target");
    let gateway = format!("{BASE_URL}{}", world.at_gateway(""));
    let code = world.code("Cleo", &app, READ, &[("resource", &gateway)]).await;
    assert_eq!(
        error(&world.exchange(&app, &code, &[("resource", "https://evil.example")]).await),
        (400, "invalid_target".to_owned())
    );
    let tokens = Tokens::of(&world.exchange(&app, &code, &[("resource", &gateway)]).await);
    assert!(works(&world, &tokens.access).await);
    assert_eq!(world.refresh(&app, &tokens.refresh).await.status, 200, "left out: as before");
}

#[tokio::test]
async fn e48_apps_register_themselves_only_where_that_is_switched_on() {
    let world = world().await;
    let body = json!({"client_name": "Agent", "redirect_uris": ["http://127.0.0.1:1/cb"], "token_endpoint_auth_method": "none", "scope": "read:jira-work"});
    assert_eq!(world.anonymous().post("/oidc/register", body.clone()).await.status, 400);
    let setting = "/api/portcullis/v1/settings/apps.registration_open";
    assert_eq!(world.by("Ada").put(setting, json!({"value": true})).await.status, 200);
    assert!(
        world
            .anonymous()
            .get("/.well-known/oauth-authorization-server")
            .await
            .at("/registration_endpoint")
            .ends_with("/oidc/register")
    );
    let made = world.anonymous().post("/oidc/register", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json().get("client_secret"), None);
    let page = world.browser("Cleo").await.get(&format!(
        "/authorize?client_id={}&response_type=code&scope=read%3Ajira-work&redirect_uri={}&code_challenge={}&code_challenge_method=S256",
        made.at("/client_id"), encode("http://127.0.0.1:1/cb"), pkce().1
    )).await;
    assert!(page.status == 200 && page.text.contains("registered itself"), "the person is warned: {}", page.text);
    for (body, error) in [
        (json!({"redirect_uris": ["https://a.example/#x"]}), "invalid_redirect_uri"),
        (json!({}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "client_secret_basic"}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["client_credentials"]}),
            "invalid_client_metadata",
        ),
    ] {
        let answer = world.anonymous().post("/oidc/register", body.clone()).await;
        assert_eq!((answer.status, answer.at("/error").as_str()), (400, error), "{body}");
    }
}

#[tokio::test]
async fn e49_an_app_introduces_itself_by_an_address_and_is_stored_when_somebody_lets_it_in() {
    let world = world().await;
    let place = ConnectApp::start("agent", &[]).await;
    let client_id = format!("{}/atlassian-connect.json", place.base_url);
    place.change(&json!({
        "client_id": client_id, "client_name": "Agent of the road", "redirect_uris": [CALLBACK], "scope": READ,
        "token_endpoint_auth_method": "none",
    }));
    let app = App { client_id: client_id.clone(), secret: String::new(), ..public_app(&world).await };
    let (verifier, challenge) = pkce();
    let bound = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let path = world.authorize_path(&app, READ, &bound);
    let browser = world.browser("Cleo").await;
    let page = browser.get(&path).await;
    assert!(page.status == 400 && page.text.contains("not known"), "off by default: {}", page.text);

    let setting = "/api/portcullis/v1/settings/apps.registration_open";
    assert_eq!(world.by("Ada").put(setting, json!({"value": true})).await.status, 200);
    let metadata = world.anonymous().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.json()["client_id_metadata_document_supported"], json!(true));
    let stranger = world.anonymous().get(&path).await;
    assert!(
        stranger.status == 303 && stranger.header("location").unwrap_or_default().starts_with("/login"),
        "nothing is fetched for strangers"
    );

    let page = browser.get(&path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("Agent of the road") && page.text.contains(&place.base_url),
        "who answers for it: {}",
        page.text
    );
    let unknown = world.exchange(&app, "ptac_none", &[]).await;
    assert_eq!(error(&unknown).1, "invalid_client", "nothing is stored by looking");
    let declined = world.decide(&browser, &path, "decline").await;
    assert_eq!(parameter(declined.header("location").unwrap_or_default(), "error"), "access_denied");
    assert_eq!(error(&world.exchange(&app, "ptac_none", &[]).await).1, "invalid_client", "nor by declining");

    let code = world.code("Cleo", &app, READ, &bound).await;
    let tokens = Tokens::of(&world.exchange(&app, &code, &[("code_verifier", &verifier)]).await);
    assert!(works(&world, &tokens.access).await);
    assert_eq!(world.refresh(&app, &tokens.refresh).await.status, 200);

    // A document that changed is believed a few minutes later, and an address that is not in it any more gets nothing.
    place.change(&json!({"redirect_uris": ["https://other.example/cb"]}));
    world.clock.advance_ms(6 * MINUTE_MS);
    let page = world.browser("Cleo").await.get(&path).await;
    assert!(page.status == 400 && page.text.contains("not the app"), "{}", page.text);
    place.change(&json!({"client_id": "https://somebody.else/client"}));
    world.clock.advance_ms(6 * MINUTE_MS);
    let page = world.browser("Cleo").await.get(&path).await;
    assert!(page.status == 400 && page.text.contains("introduce itself"), "{}", page.text);

    // Blocked is blocked, whatever the document says.
    place.change(&json!({"client_id": client_id, "redirect_uris": [CALLBACK]}));
    world.clock.advance_ms(6 * MINUTE_MS);
    let apps = world.by("Ada").get("/api/portcullis/v1/admin/oauth-apps").await;
    let known =
        apps.json()["values"].as_array().expect("apps").iter().find(|app| app["clientId"] == json!(client_id)).cloned();
    let id = known.expect("the app is listed")["id"].as_str().expect("an id").to_owned();
    let blocked = format!("/api/portcullis/v1/admin/oauth-apps/{id}/blocked");
    assert_eq!(world.by("Ada").put(&blocked, json!({"blocked": true})).await.status, 200);
    let page = world.browser("Cleo").await.get(&path).await;
    assert!(page.status == 403 && page.text.contains("Blocked"), "{}", page.text);
}

#[tokio::test]
async fn e50_a_device_waits_for_a_person_and_no_longer_than_it_may() {
    let world = world().await;
    let app = public_app(&world).await;
    let begin =
        async || world.ask("/oauth/device/code", &[("client_id", app.client_id.as_str()), ("scope", READ)]).await;
    let poll = async |code: &str| {
        let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
        world.token(&app, &fields).await
    };
    let begun = begin().await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let (device, user_code) = (begun.at("/device_code"), begun.at("/user_code"));
    assert_eq!(user_code.len(), 9);
    assert_eq!(error(&poll(&device).await), (400, "authorization_pending".to_owned()));
    assert_eq!(error(&poll(&device).await), (400, "slow_down".to_owned()));
    let browser = world.browser("Cleo").await;
    let page = browser.get(&format!("/device?user_code={}", user_code.to_lowercase())).await;
    assert!(
        page.status == 200 && page.text.contains("Check the code") && page.text.contains("Read projects and issues"),
        "{}",
        page.text
    );
    let form =
        pairs(&[("form_token", &field(&page.text, "form_token")), ("user_code", &user_code), ("decision", "approve")]);
    assert_eq!(browser.send_bytes("POST", "/device", Some(FORM), form.clone().into()).await.status, 200);
    let tokens = Tokens::of(&poll(&device).await);
    assert!(works(&world, &tokens.access).await);
    assert_eq!(error(&poll(&device).await), (400, "invalid_grant".to_owned()), "once");
    assert_eq!(browser.get("/device?user_code=ZZZZ-ZZZZ").await.status, 400);
    let begun = begin().await;
    let page = browser.get(&format!("/device?user_code={}", begun.at("/user_code"))).await;
    let form = pairs(&[
        ("form_token", &field(&page.text, "form_token")),
        ("user_code", &begun.at("/user_code")),
        ("decision", "decline"),
    ]);
    browser.send_bytes("POST", "/device", Some(FORM), form.into()).await;
    assert_eq!(error(&poll(&begun.at("/device_code")).await), (400, "access_denied".to_owned()));
    let begun = begin().await;
    world.clock.advance_ms(600_000);
    assert_eq!(error(&poll(&begun.at("/device_code")).await), (400, "expired_token".to_owned()));
}

#[tokio::test]
async fn e54_pages_of_other_sites_read_only_what_is_public_or_their_own() {
    let world = world().await;
    let public = world.app("Ben", json!({"kind": "public", "redirectUris": ["https://spa.example/cb"]})).await;
    let from = async |origin: &str, path: &str| {
        let client = world.with_header("origin", origin);
        let answer =
            client.send_bytes("POST", path, Some(FORM), pairs(&[("client_id", &public.client_id)]).into()).await;
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(from("https://spa.example", "/oauth/token").await.as_deref(), Some("https://spa.example"));
    for origin in ["https://evil.example", "https://spa.example.evil.example", "https://spa.exampl", "null"] {
        assert_eq!(from(origin, "/oauth/token").await, None, "{origin}");
    }
    let metadata =
        world.with_header("origin", "https://any.example").get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn e57_a_token_is_worth_nothing_at_another_site() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    for site in ["7f1c9b1e-6a55-4b0e-9d7e-3a2f6a1f5c11", "x", "..%2f"] {
        let answer = world.bearer(&tokens.access).get(&format!("/ex/jira/{site}/rest/api/3/myself")).await;
        if site == "..%2f" {
            assert_eq!(answer.status, 400);
        } else {
            assert_eq!(
                (answer.status, answer.json()),
                (403, json!({"code": 403, "message": "The app is not installed on this instance"}))
            );
        }
    }
    let bad = world.bearer("x").get("/ex/jira/other/rest/api/3/myself").await;
    assert_eq!((bad.status, bad.json()), (401, json!({"code": 401, "message": "Unauthorized"})));
}

#[tokio::test]
async fn e58_what_an_app_may_do_is_scopes_and_permissions_together() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let project = world.at_gateway("/rest/api/3/project/DEMO");
    let body = json!({"description": "changed"});
    // Cleo has the scope and not the permission, Ben the permission and not the scope.
    let cleo = world.tokens("Cleo", &app, "manage:jira-project").await;
    let ben = world.tokens("Ben", &app, READ).await;
    let by_cleo = world.bearer(&cleo.access).put(&project, body.clone()).await;
    let by_ben = world.bearer(&ben.access).put(&project, body.clone()).await;
    assert_eq!(by_cleo.status, 403, "{}", by_cleo.text);
    assert!(by_cleo.text.contains("ADMINISTER_PROJECTS"), "{}", by_cleo.text);
    assert_eq!((by_ben.status, by_ben.at("/message").as_str()), (401, "Unauthorized; scope does not match"));
    let explain = async |who: &str, answer: &Answer| {
        let id = answer.header("portcullis-decision").unwrap_or_default();
        world.by(who).get(&format!("/api/portcullis/v1/decisions/{id}")).await
    };
    let (of_cleo, of_ben) = (explain("Cleo", &by_cleo).await, explain("Ben", &by_ben).await);
    assert_eq!((of_cleo.status, of_ben.status), (200, 200), "{} {}", of_cleo.text, of_ben.text);
    assert!(
        of_cleo.text.contains("permission") && of_ben.text.contains("manage:jira-project"),
        "{} {}",
        of_cleo.text,
        of_ben.text
    );
    let both = world.tokens("Ben", &app, "manage:jira-project").await;
    assert_eq!(world.bearer(&both.access).put(&project, body).await.status, 200);
}

#[tokio::test]
async fn e59_a_changed_permission_counts_at_the_next_request() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Ben", &app, "read:jira-work").await;
    let vault = world.at_gateway("/rest/api/3/issue/VAULT-1");
    assert_eq!(world.bearer(&tokens.access).get(&vault).await.status, 200);
    let roles = world.by("Ada").get("/rest/api/3/project/VAULT/role").await.json();
    let role = roles["Members"].as_str().and_then(|url| url.rsplit('/').next()).expect("a role").to_owned();
    let ben = world.person("Ben").account_id.clone();
    let answer = world.by("Ada").delete(&format!("/rest/api/3/project/VAULT/role/{role}?user={}", encode(&ben))).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(world.bearer(&tokens.access).get(&vault).await.status, 404);
}

#[tokio::test]
async fn e64_tokens_belong_to_the_account_and_not_to_its_address() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let tokens = world.tokens("Cleo", &app, "read:me").await;
    let cleo = world.person("Cleo").account_id.clone();
    let answer = world
        .by("Ada")
        .put(&format!("/api/portcullis/v1/users/{cleo}"), json!({"emailAddress": "cleo2@acme.example"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let me = world.bearer(&tokens.access).get("/me").await;
    assert_eq!((me.at("/account_id"), me.at("/email")), (cleo, "cleo2@acme.example".to_owned()));
}

#[tokio::test]
async fn e72_json_bodies_are_read_like_forms_and_as_strictly() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let code = world.code("Cleo", &app, READ, &[]).await;
    let body = json!({
        "grant_type": "authorization_code", "client_id": app.client_id, "client_secret": app.secret, "code": code, "redirect_uri": CALLBACK,
    });
    let send = async |text: String| {
        world.anonymous().send_bytes("POST", "/oauth/token", Some("application/json"), text.into()).await
    };
    let good = body.to_string();
    for (what, text) in [
        ("a name twice", good.replacen('{', "{\"code\":\"x\",", 1)),
        ("a number", good.replacen('{', "{\"x\":1,", 1)),
        ("a list", "[]".to_owned()),
        ("not JSON", "{".to_owned()),
        ("more behind it", format!("{good} x")),
        ("too long", format!("{{\"x\":\"{}\"}}", "a".repeat(70_000))),
    ] {
        let answer = send(text).await;
        assert_eq!(
            (answer.status / 100, answer.at("/error").as_str()),
            (4, "invalid_request"),
            "{what} {}",
            answer.text
        );
    }
    assert_eq!(send(good).await.status, 200);
    let answer = world.anonymous().send_bytes("POST", "/oauth/token", Some("text/plain"), "grant_type=x".into()).await;
    assert_eq!(error(&answer), (400, "invalid_request".to_owned()));
    let cookie = world.browser("Cleo").await;
    let answer =
        cookie.send_bytes("POST", "/oauth/token", Some(FORM), pairs(&[("grant_type", "refresh_token")]).into()).await;
    assert_eq!(answer.status, 400, "a cookie proves nothing here");
}

#[tokio::test]
async fn e73_changes_of_an_app_are_in_the_audit_log_and_never_widen_what_was_approved() {
    let world = world().await;
    let app = world.app("Ben", json!({"scopes": ["read:jira-work"]})).await;
    let tokens = world.tokens("Cleo", &app, READ).await;
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    let change =
        json!({"scopes": ["read:jira-work", "write:jira-work"], "redirectUris": ["https://app.example/other"]});
    assert_eq!(world.by("Ben").put(&path, change).await.status, 200);
    let next = Tokens::of(&world.refresh(&app, &tokens.refresh).await);
    assert_eq!(next.json["scope"], json!(READ), "a refresh brings no more than was approved");
    let issue = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x"}});
    assert_eq!(world.bearer(&next.access).post(&world.at_gateway("/rest/api/3/issue"), issue).await.status, 401);
    let audit = world.by("Ada").get("/api/portcullis/v1/audit?maxResults=200").await;
    assert!(audit.text.contains("https://app.example/other"));
}

#[tokio::test]
async fn e79_a_parameter_stands_once() {
    let world = world().await;
    let app = world.app("Ben", json!({})).await;
    let browser = world.browser("Cleo").await;
    let path = world.authorize_path(&app, READ, &[]);
    for (twice, page) in [
        ("client_id=x", true),
        ("redirect_uri=https%3A%2F%2Fevil.example", true),
        ("scope=read%3Ame", false),
        ("state=2", false),
        ("response_type=code", false),
    ] {
        let answer = browser.get(&format!("{path}&{twice}")).await;
        let location = answer.header("location").unwrap_or_default();
        match page {
            true => assert_eq!((answer.status, location), (400, ""), "{twice}"),
            false => assert_eq!(parameter(location, "error"), "invalid_request", "{twice}"),
        }
    }
    for twice in ["grant_type", "client_id", "client_secret", "refresh_token", "scope"] {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("client_id", &app.client_id),
            ("client_secret", &app.secret),
            ("scope", "read:me"),
            (twice, "x"),
        ];
        assert_eq!(error(&world.ask("/oauth/token", &fields).await), (400, "invalid_request".to_owned()), "{twice}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_shared_is_its_makers_alone() {
    let world = world().await;
    let app = world.app("Ben", json!({"shared": false})).await;
    let page = world.browser("Cleo").await.get(&world.authorize_path(&app, READ, &[])).await;
    assert!(page.status == 403 && page.text.contains("in development"), "{}", page.text);
    world.tokens("Ben", &app, READ).await;
    let path = format!("/api/portcullis/v1/oauth-apps/{}", app.id);
    for who in ["Cleo", "Ada"] {
        assert_eq!(world.by(who).get(&path).await.status, 404, "{who}");
        assert_eq!(world.browser(who).await.get(&format!("/console/apps/{}", app.id)).await.status, 404, "{who}");
    }
}

#[tokio::test]
async fn the_wire_profile_of_atlassian_has_its_words() {
    let world = world().await;
    let app = world.app("Ben", json!({"profile": "atlassian"})).await;
    let answer = world.refresh(&app, "x").await;
    let words = json!({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."});
    assert_eq!((answer.status, answer.json()), (403, words));
    let answer = world.exchange(&app, "x", &[]).await;
    let words = json!({"error": "invalid_request", "error_description": "authorization_code is invalid"});
    assert_eq!((answer.status, answer.json()), (400, words));
    let thief = App { secret: "x".to_owned(), ..app };
    let words = json!({"error": "access_denied", "error_description": "Unauthorized"});
    let answer = world.refresh(&thief, "x").await;
    assert_eq!((answer.status, answer.json()), (401, words));
}

#[tokio::test]
async fn a_developer_tries_a_call_with_an_app_of_their_own_as_themselves() {
    let world = world().await;
    let app = world.app("Cleo", json!({})).await;
    let path = format!("/api/portcullis/v1/oauth-apps/{}/test-call", app.id);
    let cleo = world.by("Cleo");
    let get = json!({"method": "GET", "path": "/rest/api/3/issue/DEMO-1"});
    let early = cleo.post(&path, get.clone()).await;
    assert!(early.status == 409 && early.text.contains("Connect the app"), "{}", early.text);
    world.tokens("Cleo", &app, "read:jira-work").await;
    let tried = cleo.post(&path, get.clone()).await;
    assert_eq!((tried.status, &tried.json()["status"]), (200, &json!(200)), "{}", tried.text);
    assert!(tried.at("/body").contains("DEMO-1"));

    // Scopes and permissions both limit it, as they limit the app.
    let comment = json!({"method": "POST", "path": "/rest/api/2/issue/DEMO-1/comment", "body": {"body": "x"}});
    let refused = cleo.post(&path, comment).await;
    assert_eq!(refused.json()["status"], json!(401), "the scope is missing: {}", refused.text);
    let hidden = cleo.post(&path, json!({"method": "GET", "path": "/rest/api/3/issue/VAULT-1"})).await;
    assert_eq!(hidden.json()["status"], json!(404), "{}", hidden.text);
    for (path_of_call, method) in
        [("/api/portcullis/v1/tokens", "GET"), ("https://evil.example/rest/", "GET"), ("/rest/api/3/myself", "TRACE")]
    {
        let answer = cleo.post(&path, json!({"method": method, "path": path_of_call})).await;
        assert_eq!(answer.status, 400, "{path_of_call} {}", answer.text);
    }
    let outside = cleo.post(&path, json!({"method": "GET", "path": "/rest/../api/portcullis/v1/me/app-grants"})).await;
    assert_ne!(outside.json()["status"], json!(200), "the management API is out of reach: {}", outside.text);
    assert_eq!(world.by("Ben").post(&path, get.clone()).await.status, 404, "an app of somebody else");

    let page = world.browser("Cleo").await.get(&format!("/console/apps/{}", app.id)).await;
    let token = page.text.split("test-call#test-title").nth(1).map(|rest| field(rest, "form_token")).expect("the form");
    let form = pairs(&[("form_token", &token), ("method", "GET"), ("path", "/rest/api/3/issue/DEMO-1")]);
    let at = format!("/console/apps/{}/test-call", app.id);
    let shown = world.browser("Cleo").await.send_bytes("POST", &at, Some(FORM), form.clone().into()).await;
    assert_ne!(shown.status, 200, "a form of another session");
    let browser = world.browser("Cleo").await;
    let page = browser.get(&format!("/console/apps/{}", app.id)).await;
    let token = page.text.split("test-call#test-title").nth(1).map(|rest| field(rest, "form_token")).expect("the form");
    let form = pairs(&[("form_token", &token), ("method", "GET"), ("path", "/rest/api/3/issue/DEMO-1")]);
    let shown = browser.send_bytes("POST", &at, Some(FORM), form.into()).await;
    assert!(shown.status == 200 && shown.text.contains("<strong>200</strong>"), "{}", shown.text);

    let id = world.by("Cleo").get("/api/portcullis/v1/me/app-grants").await.at("/values/0/id");
    assert_eq!(cleo.delete(&format!("/api/portcullis/v1/me/app-grants/{id}")).await.status, 204);
    assert_eq!(cleo.post(&path, get).await.status, 409, "taken back");
}
