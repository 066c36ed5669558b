//! Token revocation (RFC 7009): a client gives back what it does not need any more.

use portcullis_authz::op;
use portcullis_crypto::{TokenFamily, TokenHash, TokenKind};
use portcullis_guard::authn::bearer;
use portcullis_guard::{AnyMode, Client, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, View};
use portcullis_model::{TokenFamilyId, UserId};
use serde_json::json;

use super::error::{OauthError, refused};
use super::{family, token};

/// What a token of a client is.
pub(super) struct Found {
    pub family: TokenFamilyId,
    pub user: UserId,
    /// An access token, with what it says.
    pub access: Option<std::sync::Arc<bearer::AccessToken>>,
    pub scopes: String,
    /// Whether a refresh token is the one that would be taken now.
    pub is_current: bool,
    pub expires_at_ms: i64,
    pub started_at_ms: i64,
    pub died: bool,
    pub client: i64,
    pub key_thumbprint: Option<String>,
}

/// The family of an access or refresh token, whoever's.
pub(super) async fn find<M: AnyMode>(tx: &mut Tx<M>, view: &View, text: &str) -> Result<Option<Found>, StoreError> {
    const COLUMNS: &str =
        "SELECT id, client, user_id, scopes, key_thumbprint, current_hash, expires_at_ms, created_at_ms, died_at_ms
                             FROM app_oauth_family WHERE ";
    let access = view.read_access_token(text);
    let mut sql = portcullis_guard::SqlBuilder::new(COLUMNS);
    let mut hash = None;
    match (&access, TokenHash::parse(text)) {
        (Some(access), _) => {
            sql.push("id = ").bind(access.family.0);
        }
        (None, Some((TokenKind::RefreshToken, shown))) => {
            let Some(handle) = TokenFamily::of(text) else { return Ok(None) };
            hash = Some(shown);
            sql.push("handle = ").bind(handle.to_column());
        }
        (None, _) => return Ok(None),
    }
    let Some(row) = tx.query_opt(sql, &[]).await? else { return Ok(None) };
    let current: Option<Vec<u8>> = row.get("current_hash")?;
    let current = current.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(TokenHash::from_bytes);
    Ok(Some(Found {
        family: TokenFamilyId(row.get("id")?),
        user: UserId(row.get("user_id")?),
        is_current: hash.is_some() && current == hash,
        expires_at_ms: access.as_ref().map_or(row.get("expires_at_ms")?, |access| access.expires_at_ms),
        access,
        scopes: row.get("scopes")?,
        started_at_ms: row.get("created_at_ms")?,
        died: row.get::<Option<i64>>("died_at_ms")?.is_some(),
        client: row.get("client")?,
        key_thumbprint: row.get("key_thumbprint")?,
    }))
}

async fn revoke(mut cx: Ctx<op::OauthRevoke>, input: Input, client: Client) -> Outcome<op::OauthRevoke> {
    let view = cx.view().clone();
    cx.acts(&client.facts.client_id, None);
    if !token::prove_once(cx.tx(), &client).await? {
        return cx.done(OauthError::InvalidClient { by_header: false }.reply(client.facts.profile));
    }
    let Some(text) = input.form("token").filter(|text| !text.is_empty()) else {
        let error = OauthError::InvalidRequest("token is missing.".to_owned());
        return cx.done(error.reply(client.facts.profile));
    };
    // RFC 7009, section 2.2: what is unknown, or another client's, is answered alike and left alone.
    if let Some(found) = find(cx.tx(), &view, text).await?
        && found.client == client.facts.id.0
        && family::kill(cx.tx(), found.family, "revoked_by_app", view.now()).await?
    {
        let account_id = view.with(|snapshot| snapshot.person(found.user).map(|person| person.account_id.clone()));
        cx.acts(&client.facts.client_id, account_id);
        cx.audit(format!("token_family:{}", found.family), None, Some(json!({"revoked": true})));
        cx.withdrew(found.family);
    }
    cx.done(Reply::json(json!({})).with_header("cache-control", "no-store"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on_client(revoke, refused);
}
