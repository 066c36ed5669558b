//! Who is there: second factors, and a fresh proof before what gives power away. On both engines.

use portcullis_crypto::{ExposeSecret, SecretSlice, Totp};
use portcullis_testkit::oauth::{field, pairs};
use portcullis_testkit::world::{Answer, BASE_URL, Client, World};
use serde_json::json;

use portcullis_model::Clock as _;
use portcullis_testkit::on_both_engines;

const FORM: &str = "application/x-www-form-urlencoded";
const MINUTE_MS: i64 = 60_000;
const FACTOR: &str = "/account/second-factor";

/// The token of the page's form that goes to `action`.
fn form_token(page: &str, action: &str) -> String {
    let form = page.split(&format!("action=\"{action}\"")).nth(1).unwrap_or_default();
    field(form, "form_token")
}

async fn post(browser: &Client<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
    browser.send_bytes("POST", path, Some(FORM), pairs(fields).into()).await
}

/// Adds an authenticator app to the account of a browser; it, and the recovery codes.
async fn add_factor(world: &World, browser: &Client<'_>) -> (Totp, Vec<String>) {
    let start = browser.get(FACTOR).await;
    let page = post(
        browser,
        "/account/second-factor/begin",
        &[("form_token", &form_token(&start.text, "/account/second-factor/begin"))],
    )
    .await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("<svg"), "a picture to scan");
    let key = page.text.split("Or type this key: <code>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let totp = Totp::of(&SecretSlice::from(base32(key))).unwrap();
    let proposed = field(&page.text, "proposed");
    let token = form_token(&page.text, FACTOR);
    let wrong = post(browser, FACTOR, &[("form_token", &token), ("proposed", &proposed), ("code", "000000")]).await;
    assert_eq!(wrong.status, 400, "a code that is none");
    let code = totp.code_at(now_s(world));
    let added = post(browser, FACTOR, &[("form_token", &token), ("proposed", &proposed), ("code", &code)]).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let listed = added.text.split("<pre").nth(1).and_then(|rest| rest.split("<code>").nth(1)).unwrap();
    let codes: Vec<String> = listed.split('<').next().unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);
    (totp, codes)
}

fn now_s(world: &World) -> u64 {
    u64::try_from(world.clock.now().0 / 1_000).unwrap()
}

fn base32(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes().filter(|byte| *byte != b' ') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        };
        (held, bits) = ((held << 5) | u32::from(value), bits + 5);
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 255).unwrap());
        }
    }
    out
}

async fn sign_in(world: &World, name: &str, more: &[(&str, &str)]) -> Answer {
    let person = world.person(name);
    let mut fields = vec![("email", person.email.as_str()), ("password", person.password.as_str())];
    fields.extend_from_slice(more);
    post(&world.anonymous(), "/login", &fields).await
}

async fn with_ticket(world: &World, ticket: &str, code: &str) -> Answer {
    post(&world.anonymous(), "/login", &[("ticket", ticket), ("code", code)]).await
}

async fn make_token(browser: &Client<'_>, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("form_token", token), ("label", "A script"), ("days", "7"), ("access", "full")];
    fields.extend_from_slice(more);
    post(browser, "/account/api-tokens", &fields).await
}

async fn tokens_of(world: &World, name: &str) -> usize {
    let list = world.by(name).get("/api/portcullis/v1/me/api-tokens").await;
    list.json()["values"].as_array().unwrap().len()
}

on_both_engines! {
    async fn e69_a_code_is_asked_for_after_the_password_and_counts_once(world: World) {
        let browser = world.browser("Cleo").await;
        let (totp, _) = add_factor(&world, &browser).await;

        let asked = sign_in(&world, "Cleo", &[]).await;
        assert_eq!(asked.status, 401);
        assert_eq!(asked.header("set-cookie"), None, "a password alone opens no session");
        let ticket = field(&asked.text, "ticket");
        assert_eq!(with_ticket(&world, &ticket, "000000").await.status, 401, "a wrong code");
        assert_eq!(with_ticket(&world, &ticket, &totp.code_at(now_s(&world))).await.status, 401, "the code that was used to add it");

        world.clock.advance_ms(30_000);
        let code = totp.code_at(now_s(&world));
        let signed_in = with_ticket(&world, &ticket, &code).await;
        assert_eq!(signed_in.status, 303, "{}", signed_in.text);
        assert!(signed_in.header("set-cookie").unwrap_or_default().starts_with("portcullis.session=ptss_"));
        assert_eq!(with_ticket(&world, &ticket, &code).await.status, 401, "a code counts once");
        assert_eq!(sign_in(&world, "Cleo", &[("code", &code)]).await.status, 401, "also with the password");

        // Another person's password, and nobody's ticket, are worth nothing.
        let other = sign_in(&world, "Dan", &[("code", "123456")]).await;
        assert_eq!(other.status, 303, "who has no second factor is not asked");
        assert_eq!(with_ticket(&world, "made-up", &code).await.status, 401);
        world.clock.advance_ms(30_000);
        let late = field(&sign_in(&world, "Cleo", &[]).await.text, "ticket");
        world.clock.advance_ms(6 * MINUTE_MS);
        assert_eq!(with_ticket(&world, &late, &totp.code_at(now_s(&world))).await.status, 401, "after five minutes");
    }

    async fn e69_two_who_send_one_code_at_once_are_one_person(world: World) {
        let browser = world.browser("Cleo").await;
        let (totp, _) = add_factor(&world, &browser).await;
        world.clock.advance_ms(30_000);
        let ticket = field(&sign_in(&world, "Cleo", &[]).await.text, "ticket");
        let code = totp.code_at(now_s(&world));
        let (one, two) = tokio::join!(with_ticket(&world, &ticket, &code), with_ticket(&world, &ticket, &code));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 401]);
    }

    async fn e69_recovery_codes_let_in_once_each(world: World) {
        let browser = world.browser("Cleo").await;
        let (_, codes) = add_factor(&world, &browser).await;
        assert_eq!(sign_in(&world, "Cleo", &[("code", &codes[0])]).await.status, 303);
        assert_eq!(sign_in(&world, "Cleo", &[("code", &codes[0])]).await.status, 401, "used");
        assert_eq!(sign_in(&world, "Cleo", &[("code", &codes[1].to_uppercase())]).await.status, 303);
        let page = browser.get(FACTOR).await;
        assert!(page.text.contains("<dd>8</dd>"), "eight are left");

        let token = form_token(&page.text, "/account/second-factor/recovery-codes");
        let renewed = post(&browser, "/account/second-factor/recovery-codes", &[("form_token", &token)]).await;
        assert_eq!(renewed.status, 200, "{}", renewed.text);
        assert_eq!(sign_in(&world, "Cleo", &[("code", &codes[2])]).await.status, 401, "replaced");
    }

    async fn e69_guessing_codes_is_slowed_for_the_account_and_from_everywhere(world: World) {
        let browser = world.browser("Cleo").await;
        add_factor(&world, &browser).await;
        let ticket = field(&sign_in(&world, "Cleo", &[]).await.text, "ticket");
        for _ in 0..10 {
            assert_eq!(with_ticket(&world, &ticket, "000000").await.status, 401);
        }
        let slowed = with_ticket(&world, &ticket, "000000").await;
        assert_eq!(slowed.status, 429);
        assert!(slowed.header("retry-after").is_some());
        assert_eq!(sign_in(&world, "Dan", &[]).await.status, 303, "nobody else is slowed");
        assert_eq!(browser.get("/account").await.status, 200, "nor the owner's session");
    }

    async fn e69_who_has_to_have_a_second_factor_can_only_add_one(world: World) {
        let path = "/api/portcullis/v1/settings/accounts.second_factor";
        assert_eq!(world.by("Ada").put(path, json!({"value": "administrators"})).await.status, 200);
        let ada = world.browser("Ada").await;
        let cleo = world.browser("Cleo").await;
        let sent = ada.get("/account/api-tokens").await;
        assert_eq!((sent.status, sent.header("location")), (303, Some(FACTOR)));
        assert_eq!(ada.get("/rest/api/3/myself").await.status, 403, "also not by the REST API");
        assert_eq!(ada.get("/api/portcullis/v1/users").await.status, 403);
        assert_eq!(cleo.get("/account/api-tokens").await.status, 200, "who is no administrator goes on");
        assert_eq!(world.by("Ada").get("/rest/api/3/myself").await.status, 200, "API tokens are not asked");

        add_factor(&world, &ada).await;
        assert_eq!(ada.get("/account/api-tokens").await.status, 200, "and everything works");
    }

    async fn e69_an_administrator_removes_what_was_lost_and_nobody_else_does(world: World) {
        let browser = world.browser("Cleo").await;
        add_factor(&world, &browser).await;
        let path = format!("/api/portcullis/v1/users/{}/second-factor", world.person("Cleo").account_id);
        assert_eq!(world.by("Ben").delete(&path).await.status, 403);
        assert_eq!(world.by("Ada").delete(&path).await.status, 204);
        assert_eq!(world.by("Ada").delete(&path).await.status, 404, "there is none any more");
        assert_eq!(sign_in(&world, "Cleo", &[]).await.status, 303);
    }

    async fn e69_a_page_of_one_person_is_worth_nothing_to_another_and_the_audit_log_holds_no_secret(world: World) {
        let browser = world.browser("Cleo").await;
        let secret = {
            let start = browser.get(FACTOR).await;
            let token = form_token(&start.text, "/account/second-factor/begin");
            let page = post(&browser, "/account/second-factor/begin", &[("form_token", &token)]).await;
            let sealed = field(&page.text, "proposed");
            // Somebody else's page is worth nothing.
            let dan = world.browser("Dan").await;
            let begun = dan.get(FACTOR).await;
            let own = post(&dan, "/account/second-factor/begin", &[("form_token", &form_token(&begun.text, "/account/second-factor/begin"))]).await;
            let token = form_token(&own.text, FACTOR);
            let stolen = post(&dan, FACTOR, &[("form_token", &token), ("proposed", &sealed), ("code", "000000")]).await;
            assert_eq!(stolen.status, 400);
            assert!(stolen.text.contains("Begin again"), "{}", stolen.text);
            page.text.split("Or type this key: <code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
        };
        let (totp, codes) = add_factor(&world, &browser).await;
        let audit = world.by("Ada").get("/api/portcullis/v1/audit?limit=100").await;
        assert!(audit.text.contains("consoleAddSecondFactor"), "{}", audit.text);
        for hidden in [secret.replace(' ', ""), totp.to_base32(), codes[0].clone()] {
            assert!(!audit.text.contains(&hidden), "{hidden}");
        }
        assert_ne!(SecretSlice::from(base32(&secret)).expose_secret(), base32(&totp.to_base32()), "each page has its own");
    }

    async fn e67_what_gives_power_away_asks_who_is_there_when_the_sign_in_is_old(world: World) {
        let browser = world.browser("Cleo").await;
        let token = form_token(&browser.get("/account/api-tokens").await.text, "/account/api-tokens");
        let before = tokens_of(&world, "Cleo").await;
        assert_eq!(make_token(&browser, &token, &[]).await.status, 200, "a fresh sign-in is not asked");
        assert_eq!(tokens_of(&world, "Cleo").await, before + 1);

        world.clock.advance_ms(16 * MINUTE_MS);
        let asked = make_token(&browser, &token, &[]).await;
        assert_eq!(asked.status, 403);
        assert!(asked.text.contains("Confirm that it is you"), "{}", asked.text);
        assert_eq!(field(&asked.text, "label"), "A script", "what was typed is kept");
        assert!(asked.text.contains("action=\"/account/api-tokens\""), "{}", asked.text);
        assert_eq!(tokens_of(&world, "Cleo").await, before + 1, "nothing was done");

        let wrong = make_token(&browser, &token, &[("confirm_password", "not the password")]).await;
        assert_eq!(wrong.status, 403);
        let others = world.person("Ben").password.clone();
        assert_eq!(make_token(&browser, &token, &[("confirm_password", &others)]).await.status, 403);
        assert_eq!(tokens_of(&world, "Cleo").await, before + 1);
        assert!(!wrong.text.contains("not the password"), "a password is never given back");

        let own = world.person("Cleo").password.clone();
        let forged = make_token(&browser, "ptft_x", &[("confirm_password", &own)]).await;
        assert_eq!(forged.status, 403, "a form of another site");
        assert_eq!(make_token(&browser, &token, &[("confirm_password", &own)]).await.status, 200);
        assert_eq!(make_token(&browser, &token, &[]).await.status, 200, "and is not asked again");
        assert_eq!(tokens_of(&world, "Cleo").await, before + 3);
        let read = browser.get("/account").await;
        assert_eq!(read.status, 200);
        world.clock.advance_ms(16 * MINUTE_MS);
        assert_eq!(browser.get("/account/api-tokens").await.status, 200, "reading asks nobody");
    }

    async fn e67_the_second_factor_is_part_of_a_fresh_proof(world: World) {
        let browser = world.browser("Cleo").await;
        let (totp, _) = add_factor(&world, &browser).await;
        let token = form_token(&browser.get("/account/api-tokens").await.text, "/account/api-tokens");
        world.clock.advance_ms(16 * MINUTE_MS);
        let own = world.person("Cleo").password.clone();
        let half = make_token(&browser, &token, &[("confirm_password", &own)]).await;
        assert_eq!(half.status, 403);
        assert!(half.text.contains("confirm_code"), "{}", half.text);
        let code = totp.code_at(now_s(&world));
        let whole = make_token(&browser, &token, &[("confirm_password", &own), ("confirm_code", &code)]).await;
        assert_eq!(whole.status, 200, "{}", whole.text);
    }

    async fn e67_the_management_api_asks_a_browser_too_and_a_program_never(world: World) {
        let browser = world.browser("Ada").await;
        let body = || json!({"name": "By a page", "redirectUris": ["https://app.example/callback"], "scopes": ["read:me"]});
        world.clock.advance_ms(16 * MINUTE_MS);
        let stale = browser.post("/api/portcullis/v1/oauth-apps", body()).await;
        assert_eq!(stale.status, 403);
        assert!(stale.text.contains("/confirm"), "{}", stale.text);
        let program = world.by("Ada").post("/api/portcullis/v1/oauth-apps", body()).await;
        assert_eq!(program.status, 201, "{}", program.text);

        // A session that is signed in anew goes on.
        let again = world.browser("Ada").await;
        assert_eq!(again.post("/api/portcullis/v1/oauth-apps", body()).await.status, 201);
        assert_eq!(world.anonymous().header("origin", BASE_URL).post("/confirm", json!({})).await.status, 415);
    }
}
