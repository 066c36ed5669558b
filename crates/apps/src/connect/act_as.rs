//! The grant by which a Connect app acts for a user (RFC 7523, section 2.1, with the vendor's claims). No user is asked: the
//! administrator agreed to the scope ACT_AS_USER when the app was installed.

use portcullis_authz::op;
use portcullis_authz::policy::AccountKind;
use portcullis_crypto::jws::{ClaimsCheck, UnverifiedJws};
use portcullis_crypto::sha256;
use portcullis_guard::authn::bearer::ACT_AS_TOKEN_TYPE;
use portcullis_guard::connect::{ConnectFacts, grant_of, intersection};
use portcullis_guard::{Ctx, Handlers, Input, Outcome, RefusedEarly, Reply, ReplyBody, View};
use portcullis_model::{Problem, UserId};
use serde_json::{Map, Value as Json, json};

use super::descriptor::SCOPES;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT: &str = "urn:atlassian:connect:clientid:";
const USER: &str = "urn:atlassian:connect:useraccountid:";
/// What clients take for the address of the authorization server, beside ours.
const AUDIENCES: [&str; 2] =
    ["https://oauth-2-authorization-server.services.atlassian.com", "https://auth.atlassian.io"];
/// Seconds that an assertion may be good for.
const ASSERTION_LIFE_S_MAX: i64 = 120;
const SKEW_S: i64 = 30;
/// Seconds that a token lives.
const LIFE_S: i64 = 900;

/// Why there is no token (RFC 6749, section 5.2).
struct Refused(&'static str, &'static str);

impl Refused {
    fn reply(&self) -> Reply {
        Reply::json(json!({"error": self.0, "error_description": self.1}))
            .with_status(400)
            .with_header("cache-control", "no-store")
            .with_header("pragma", "no-cache")
    }
}

const BAD_ASSERTION: Refused =
    Refused("invalid_grant", "The assertion is not one of an app that is installed here, or it does not hold.");

struct Asked {
    app: std::sync::Arc<ConnectFacts>,
    user: UserId,
    account_id: String,
    scopes: String,
    /// Hash of an assertion that names itself, and so counts once. Most clients' do not: two of one second are one text.
    once: Option<[u8; 32]>,
}

fn read(view: &View, input: &Input) -> Result<Asked, Refused> {
    match input.form("grant_type") {
        Some(GRANT_TYPE) => {}
        Some(grant) if !grant.is_empty() => {
            return Err(Refused("unsupported_grant_type", "Use urn:ietf:params:oauth:grant-type:jwt-bearer."));
        }
        _ => return Err(Refused("invalid_request", "grant_type is missing.")),
    }
    let text = input.form("assertion").filter(|text| !text.is_empty());
    let text = text.ok_or(Refused("invalid_request", "assertion is missing."))?;
    let jws = UnverifiedJws::parse(text).map_err(|_| BAD_ASSERTION)?;
    let client = jws.unverified_claim("iss").and_then(|iss| iss.strip_prefix(CLIENT)).ok_or(BAD_ASSERTION)?;
    let app = view.with(|snapshot| snapshot.connect().app_of_client(client).cloned());
    let app = app.filter(|app| app.enabled).ok_or(BAD_ASSERTION)?;
    let verified = jws.verify(&app.verifying).map_err(|_| BAD_ASSERTION)?;
    let claims = verified.claims().map_err(|_| BAD_ASSERTION)?;
    holds(view, claims)?;
    if !app.grant.act_as_user {
        return Err(Refused(
            "unauthorized_client",
            "The authenticated client is not authorized to use this authorization grant type",
        ));
    }
    let account_id = claims.get("sub").and_then(Json::as_str).and_then(|sub| sub.strip_prefix(USER));
    let account_id = account_id.ok_or(Refused("invalid_grant", "sub has to name a user by account id."))?;
    let user = user_of(view, account_id)?;
    Ok(Asked {
        scopes: scopes(&app, input.form("scope"))?,
        app,
        user,
        account_id: account_id.to_owned(),
        once: claims.get("jti").is_some().then(|| sha256(text.as_bytes())),
    })
}

fn holds(view: &View, claims: &Map<String, Json>) -> Result<(), Refused> {
    let rules = ClaimsCheck {
        issuer: None,
        audience: None,
        now: view.now(),
        skew_s: SKEW_S,
        lifetime_max_s: Some(ASSERTION_LIFE_S_MAX),
    };
    if !claims.get("iat").is_some_and(Json::is_number) {
        return Err(Refused("invalid_grant", "iat is missing."));
    }
    rules.check(claims).map_err(|_| {
        Refused("invalid_grant", "The assertion has expired, is not valid yet, or lives longer than two minutes.")
    })?;
    let addresses = view.addresses();
    let own = [addresses.issuer.as_str(), addresses.site.as_str()];
    let audience = claims.get("aud").and_then(Json::as_str).map(|aud| aud.trim_end_matches('/'));
    if !audience.is_some_and(|aud| AUDIENCES.contains(&aud) || own.contains(&aud)) {
        return Err(Refused("invalid_grant", "aud is not this authorization server."));
    }
    let tenant = claims.get("tnt").and_then(Json::as_str).map(|tnt| tnt.trim_end_matches('/'));
    if tenant != Some(addresses.site.as_str()) {
        return Err(Refused("invalid_grant", "tnt is not this site."));
    }
    Ok(())
}

/// An active person with access to Jira; nobody else can be acted for, and none of them is told apart.
fn user_of(view: &View, account_id: &str) -> Result<UserId, Refused> {
    let found = view.with(|snapshot| {
        let user = snapshot.user_by_account_id(account_id)?;
        let facts = snapshot.policy.user(user)?;
        (facts.active && facts.kind != AccountKind::App && snapshot.policy.has_access(user)).then_some(user)
    });
    found.ok_or(Refused("invalid_grant", "There is no such user, or nobody can act for that user."))
}

/// Scopes that were asked for, or all of the app's. Some clients join them with a plus that arrives as one.
fn scopes(app: &ConnectFacts, asked: Option<&str>) -> Result<String, Refused> {
    let own = |name: &str| intersection(grant_of(name), app.grant) == grant_of(name);
    let names: Vec<&str> = asked.unwrap_or_default().split([' ', '+']).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(SCOPES.iter().map(|(name, ..)| *name).filter(|name| own(name)).collect::<Vec<_>>().join(" "));
    }
    let known = |name: &&str| SCOPES.iter().any(|(known, ..)| known == name);
    if names.iter().all(|name| known(name) && own(name)) {
        Ok(names.join(" "))
    } else {
        Err(Refused("invalid_scope", "The app was not installed with all of these scopes."))
    }
}

fn check(view: &View, input: &Input) -> Result<Asked, Box<RefusedEarly>> {
    read(view, input).map_err(|refused| Box::new(RefusedEarly { reply: refused.reply(), word: refused.0 }))
}

async fn token(mut cx: Ctx<op::ConnectToken>, _: Input, asked: Asked) -> Outcome<op::ConnectToken> {
    let view = cx.view().clone();
    let now = view.now();
    let sql = "DELETE FROM app_connect_assertion WHERE expires_at_ms < $1";
    cx.tx().execute(sql, &[now.0.into()]).await?;
    if let Some(hash) = asked.once {
        let sql = "INSERT INTO app_connect_assertion (hash, expires_at_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let until = now.0 + (ASSERTION_LIFE_S_MAX + 2 * SKEW_S) * 1_000;
        if cx.tx().execute(sql, &[hash.to_vec().into(), until.into()]).await? == 0 {
            return cx.done(Refused("invalid_grant", "The assertion was used before.").reply());
        }
    }
    let key = view.with(|snapshot| snapshot.oauth().signing_key().cloned());
    let key = key.ok_or_else(|| Problem::bug("there is no signing key"))?;
    let now_s = now.0.div_euclid(1_000);
    let claims = json!({
        "iss": view.addresses().issuer,
        "aud": view.addresses().site,
        "sub": asked.account_id,
        "client_id": asked.app.key,
        "scope": asked.scopes,
        "iat": now_s,
        // The second is too coarse to tell what came before a revocation from what came after it.
        "iat_ms": now.0,
        "exp": now_s + LIFE_S,
        "jti": view.fresh_id(),
    });
    cx.acts(&asked.app.key, Some(asked.account_id.clone()));
    cx.audit(
        format!("connect_act_as:{}", asked.app.key),
        None,
        Some(json!({"user": asked.account_id, "scopes": asked.scopes, "userId": asked.user.0})),
    );
    let scopes = asked.scopes;
    let reply = Reply::json(Json::Null).with_header("cache-control", "no-store").with_header("pragma", "no-cache");
    cx.done_then(reply, move |reply| {
        let token = key.sign(ACT_AS_TOKEN_TYPE, &claims).map_err(Problem::bug)?;
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFE_S, "scope": scopes});
        Ok(Reply { body: ReplyBody::Json(body), ..reply })
    })
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on_checked(check, token);
}
