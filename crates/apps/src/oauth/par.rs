//! Pushed authorization requests (RFC 9126): the client sends its request itself, and the browser carries a name for it.

use portcullis_authz::op;
use portcullis_crypto::{PlainToken, TokenHash, TokenKind};
use portcullis_guard::{AnyMode, Client, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, View, Writes};
use portcullis_model::{AppId, Problem};
use serde_json::json;

use super::authorize::{self, NotShown};
use super::error::{OauthError, refused};
use super::token;

/// What a name of a pushed request begins with (RFC 9126, section 2.2).
pub(crate) const URN: &str = "urn:ietf:params:oauth:request_uri:";
/// A pushed request has to be shown and answered within this time.
const LIFE_S: i64 = 300;
/// What proves the client, and is not part of its request.
const PROOFS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

async fn push(
    mut cx: Ctx<op::OauthPushAuthorizationRequest>,
    input: Input,
    client: Client,
) -> Outcome<op::OauthPushAuthorizationRequest> {
    let view = cx.view().clone();
    let profile = client.facts.profile;
    cx.acts(&client.facts.client_id, None);
    if !token::prove_once(cx.tx(), &client).await? {
        return cx.done(OauthError::InvalidClient { by_header: false }.reply(profile));
    }
    let mut pairs: Vec<(String, String)> =
        input.fields().iter().filter(|(name, _)| !PROOFS.contains(&name.as_str())).cloned().collect();
    if pairs.iter().any(|(name, _)| name == "request_uri") {
        let error = OauthError::InvalidRequest("request_uri is not part of a pushed request.".to_owned());
        return cx.done(error.reply(profile));
    }
    if !pairs.iter().any(|(name, _)| name == "client_id") {
        pairs.push(("client_id".to_owned(), client.facts.client_id.clone()));
    }
    if let Some(thumbprint) = &client.key_thumbprint
        && !pairs.iter().any(|(name, _)| name == "dpop_jkt")
    {
        pairs.push(("dpop_jkt".to_owned(), thumbprint.clone()));
    }
    // What would be refused in the browser is refused here, where the developer sees it.
    if let Err(not_shown) = authorize::check(&view, &pairs, Some(URN), None) {
        let (error, words) = match not_shown {
            NotShown::Page { words, .. } => ("invalid_request", words),
            NotShown::Redirect { error, words, .. } => (error, words),
        };
        // `prompt=none` is answered in the browser: whether somebody is signed in is not known here.
        if !matches!(error, "login_required" | "consent_required") {
            let body = json!({"error": error, "error_description": words});
            return cx.done(Reply::json(body).with_status(400).with_header("cache-control", "no-store"));
        }
    }
    let name = PlainToken::issue(TokenKind::AuthorizationCode, view.entropy());
    let parameters = serde_json::to_string(&pairs).map_err(Problem::bug)?;
    let sql = "INSERT INTO app_oauth_pushed (hash, client, parameters, expires_at_ms) VALUES ($1, $2, $3, $4)";
    let params = [
        name.hash().to_bytes().to_vec().into(),
        client.facts.id.0.into(),
        parameters.into(),
        view.now().plus_ms(LIFE_S * 1_000).0.into(),
    ];
    cx.tx().execute(sql, &params).await?;
    cx.audit(format!("oauth_app:{}", client.facts.id), None, None);
    let body = json!({"request_uri": format!("{URN}{}", name.expose_secret()), "expires_in": LIFE_S});
    cx.done(Reply::created(body).with_header("cache-control", "no-store"))
}

fn hash_of(urn: &str) -> Option<Vec<u8>> {
    let (_, hash) = TokenHash::parse(urn.strip_prefix(URN)?)?;
    Some(hash.to_bytes().to_vec())
}

/// The parameters of a pushed request of this client, while it counts.
pub(super) async fn find<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    client: AppId,
    urn: &str,
) -> Result<Option<Vec<(String, String)>>, Problem> {
    let Some(hash) = hash_of(urn) else { return Ok(None) };
    let sql = "SELECT parameters FROM app_oauth_pushed WHERE hash = $1 AND client = $2 AND expires_at_ms > $3";
    let row = tx.query_opt(sql, &[hash.into(), client.0.into(), view.now().0.into()]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(serde_json::from_str(&row.get::<String>("parameters")?).ok())
}

/// Uses up a pushed request; `false` when it was used before.
///
/// # Errors
/// The database's.
pub(super) async fn use_up<M: Writes>(tx: &mut Tx<M>, urn: &str) -> Result<bool, StoreError> {
    let Some(hash) = hash_of(urn) else { return Ok(false) };
    Ok(tx.execute("DELETE FROM app_oauth_pushed WHERE hash = $1", &[hash.into()]).await? > 0)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on_client(push, refused);
}
