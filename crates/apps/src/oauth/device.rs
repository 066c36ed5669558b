//! The device grant (RFC 8628): a program without a browser shows a short code, a person enters it here and approves.

use portcullis_authz::op;
use portcullis_crypto::{Entropy, PlainToken, TokenHash, TokenKind};
use portcullis_guard::{AnyMode, Client, Ctx, Handlers, Input, Outcome, Policy, Reply, StoreError, Tx, View, Write};
use portcullis_model::{AppGrantId, AppId, Problem, UserId};
use serde_json::json;

use super::error::{OauthError, refused};
use super::family::{self, Family, NewFamily};
use super::{scope, token};
use crate::wire;

/// The grant type (RFC 8628, section 3.4).
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const LIFE_S: i64 = 600;
const INTERVAL_S: i64 = 5;
/// Letters of a user code: no vowels, so that no words come out, and none that look alike (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;

async fn begin(
    mut cx: Ctx<op::OauthDeviceAuthorization>,
    input: Input,
    client: Client,
) -> Outcome<op::OauthDeviceAuthorization> {
    let view = cx.view().clone();
    let profile = client.facts.profile;
    cx.acts(&client.facts.client_id, None);
    if !token::prove_once(cx.tx(), &client).await? {
        return cx.done(OauthError::InvalidClient { by_header: false }.reply(profile));
    }
    if client.facts.kind == portcullis_guard::oauth::ClientKind::Service || client.facts.blocked {
        return cx.done(OauthError::UnauthorizedClient("This client does not ask people.").reply(profile));
    }
    let scopes = match input.form("scope").filter(|scopes| !scopes.is_empty()) {
        Some(scopes) => wire::each_once(scopes),
        None => client.facts.scopes.names().collect::<Vec<_>>().join(" "),
    };
    if let Err(words) = scope::check(&scopes, &client.facts.scopes) {
        return cx.done(OauthError::InvalidScope(words).reply(profile));
    }
    let device_code = PlainToken::issue(TokenKind::AuthorizationCode, view.entropy());
    let user_code = user_code(view.entropy());
    let sql = "INSERT INTO app_oauth_device (hash, user_code, client, scopes, key_thumbprint, status, interval_s, expires_at_ms)
               VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7)";
    let params = [
        device_code.hash().to_bytes().to_vec().into(),
        user_code.as_str().into(),
        client.facts.id.0.into(),
        scopes.into(),
        client.key_thumbprint.clone().into(),
        INTERVAL_S.into(),
        view.now().plus_ms(LIFE_S * 1_000).0.into(),
    ];
    cx.tx().execute(sql, &params).await?;
    cx.audit(format!("oauth_app:{}", client.facts.id), None, None);
    let shown = format!("{}-{}", user_code.get(..4).unwrap_or_default(), user_code.get(4..).unwrap_or_default());
    let page = format!("{}/device", view.addresses().site);
    let body = json!({
        "device_code": device_code.expose_secret(),
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={shown}"),
        "expires_in": LIFE_S,
        "interval": INTERVAL_S,
    });
    cx.done(Reply::json(body).with_header("cache-control", "no-store"))
}

fn user_code(entropy: &dyn Entropy) -> String {
    let mut out = String::with_capacity(CODE_LETTERS);
    while out.len() < CODE_LETTERS {
        let [byte]: [u8; 1] = entropy.array();
        // 240 is the largest multiple of 20 in a byte: each letter is as likely as any other.
        if byte < 240
            && let Some(letter) = LETTERS.get(usize::from(byte) % LETTERS.len())
        {
            out.push(char::from(*letter));
        }
    }
    out
}

/// What a person may type: any case, with or without the hyphen.
fn read_code(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_ascii_alphabetic())
        .map(|letter| letter.to_ascii_uppercase())
        .take(16)
        .collect()
}

/// A device that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its code as a person reads it, without the hyphen.
    pub user_code: String,
    /// The client.
    pub client: AppId,
    /// What is asked for.
    pub scopes: String,
}

/// The device with this code that waits for a decision.
///
/// # Errors
/// The database's.
pub async fn waiting<M: AnyMode>(tx: &mut Tx<M>, view: &View, code: &str) -> Result<Option<Waiting>, StoreError> {
    let code = read_code(code);
    let sql = "SELECT client, scopes FROM app_oauth_device WHERE user_code = $1 AND status = 'pending' AND expires_at_ms > $2";
    let row = tx.query_opt(sql, &[code.as_str().into(), view.now().0.into()]).await?;
    row.map(|row| Ok(Waiting { user_code: code, client: AppId(row.get("client")?), scopes: row.get("scopes")? }))
        .transpose()
}

/// Writes down what a person decided; `None` when the device does not wait any more. An approval makes or changes a grant, which
/// has to be named as changed.
///
/// # Errors
/// The database's.
pub async fn decide(
    tx: &mut Tx<Policy>,
    view: &View,
    waiting: &Waiting,
    user: UserId,
    approved: bool,
) -> Result<Option<Option<AppGrantId>>, StoreError> {
    let grant = match approved {
        true => Some(super::grant::give(tx, waiting.client, user, &waiting.scopes, view.now()).await?),
        false => None,
    };
    let sql = "UPDATE app_oauth_device SET status = $2, user_id = $3, grant_id = $4 WHERE user_code = $1 AND status = 'pending'";
    let params = [
        waiting.user_code.as_str().into(),
        if approved { "approved" } else { "declined" }.into(),
        user.0.into(),
        grant.map(|grant| grant.0).into(),
    ];
    Ok((tx.execute(sql, &params).await? > 0).then_some(grant))
}

/// What a device that asks is told.
pub(crate) enum Polled {
    Approved(Family, Option<PlainToken>),
    Not(OauthError),
}

pub(crate) async fn poll(tx: &mut Tx<Write>, view: &View, client: &Client, code: &str) -> Result<Polled, Problem> {
    let now = view.now();
    let unknown =
        || Ok(Polled::Not(OauthError::BadCode("The device code is unknown, was used, or is another client's.")));
    let Some((TokenKind::AuthorizationCode, hash)) = TokenHash::parse(code) else { return unknown() };
    let sql =
        "SELECT client, scopes, key_thumbprint, status, grant_id, user_id, interval_s, polled_at_ms, expires_at_ms
                 FROM app_oauth_device WHERE hash = $1";
    let key = hash.to_bytes().to_vec();
    let Some(row) = tx.query_opt(sql, &[key.clone().into()]).await? else { return unknown() };
    if row.get::<i64>("client")? != client.facts.id.0 {
        return unknown();
    }
    if now.0 >= row.get::<i64>("expires_at_ms")? {
        return Ok(Polled::Not(OauthError::ExpiredToken));
    }
    let interval_s: i64 = row.get("interval_s")?;
    let polled_at_ms: Option<i64> = row.get("polled_at_ms")?;
    match row.get::<String>("status")?.as_str() {
        "pending" => {
            let too_soon = polled_at_ms.is_some_and(|at| now.0 < at.saturating_add(interval_s * 1_000));
            let longer = if too_soon { INTERVAL_S } else { 0 };
            let sql = "UPDATE app_oauth_device SET polled_at_ms = $2, interval_s = interval_s + $3 WHERE hash = $1";
            tx.execute(sql, &[key.into(), now.0.into(), longer.into()]).await?;
            return Ok(Polled::Not(if too_soon { OauthError::SlowDown } else { OauthError::AuthorizationPending }));
        }
        "approved" => {}
        "declined" => return Ok(Polled::Not(OauthError::AccessDenied)),
        _ => return unknown(),
    }
    let bound: Option<String> = row.get("key_thumbprint")?;
    if bound.is_some() && bound != client.key_thumbprint {
        return Ok(Polled::Not(OauthError::InvalidProof(
            "The DPoP proof is not by the key that the request began with.",
        )));
    }
    let (Some(grant), Some(user)) = (row.get::<Option<i64>>("grant_id")?, row.get::<Option<i64>>("user_id")?) else {
        return unknown();
    };
    let scopes: String = row.get("scopes")?;
    let new = NewFamily {
        client: client.facts.id,
        grant: AppGrantId(grant),
        user: UserId(user),
        scopes: &scopes,
        key_thumbprint: client.key_thumbprint.as_deref(),
        lasting: scopes.split(' ').any(|name| name == scope::OFFLINE),
    };
    let (family, refresh) = family::begin(tx, view, new).await?;
    if !family::counts(view, client.facts.id, &family) {
        return Err(Problem::conflict(super::code::GONE));
    }
    tx.execute("UPDATE app_oauth_device SET status = 'used' WHERE hash = $1", &[key.into()]).await?;
    Ok(Polled::Approved(family, refresh))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on_client(begin, refused);
}

#[cfg(test)]
mod tests {
    use super::{CODE_LETTERS, LETTERS, read_code, user_code};
    use portcullis_crypto::SeededEntropy;

    #[test]
    fn e50_user_codes_are_easy_to_type_and_hard_to_guess() {
        let entropy = SeededEntropy::new(3);
        let codes: std::collections::HashSet<String> = (0..1_000).map(|_| user_code(&entropy)).collect();
        assert_eq!(codes.len(), 1_000);
        assert!(
            codes.iter().all(|code| code.len() == CODE_LETTERS && code.bytes().all(|letter| LETTERS.contains(&letter)))
        );
        assert_eq!(read_code(" bcdf-ghjk "), "BCDFGHJK");
    }
}
