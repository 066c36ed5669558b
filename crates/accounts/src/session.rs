//! Browser sessions: opened at sign-in, listed and ended by their owner.

use portcullis_authz::op;
use portcullis_crypto::{Entropy, PlainToken, TokenKind};
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, Writes};
use portcullis_model::{Problem, SessionId, Timestamp, UserId};
use serde_json::json;

use crate::wire;

/// A session ends this long after sign-in, used or not.
pub const SESSION_MS: i64 = 12 * 3_600_000;
const USER_AGENT_CHARS_MAX: usize = 255;
const ADDRESS_CHARS_MAX: usize = 64;
/// Sessions that one account has at once; signing in once more ends the oldest.
const SESSIONS_PER_ACCOUNT_MAX: i64 = 100;
/// Sessions shown of one account, the newest first.
const SESSIONS_SHOWN_MAX: i64 = 200;

/// Opens a session for a person who has just been proven; the token is for the cookie. The caller names [`Entity::Session`]
/// as changed.
///
/// # Errors
/// The database's.
pub async fn open<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    user_agent: &str,
    address: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(SessionId, PlainToken), StoreError> {
    let token = PlainToken::issue(TokenKind::Session, entropy);
    let form_key: [u8; 32] = entropy.array();
    let sql = "INSERT INTO account_session (user_id, hash, form_key, user_agent, address, created_at_ms, expires_at_ms, proven_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $6) RETURNING id";
    let params = [
        user.0.into(),
        token.hash().to_bytes().to_vec().into(),
        form_key.to_vec().into(),
        shortened(user_agent, USER_AGENT_CHARS_MAX).into(),
        shortened(address, ADDRESS_CHARS_MAX).into(),
        now.0.into(),
        now.plus_ms(SESSION_MS).0.into(),
    ];
    let id = tx.query_one(sql, &params).await?.get("id")?;
    Ok((SessionId(id), token))
}

/// Notes that the person of a session has just proven anew who they are. The caller names [`Entity::Session`] as changed.
///
/// # Errors
/// The database's.
pub async fn prove<M: Writes>(tx: &mut Tx<M>, user: UserId, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE account_session SET proven_at_ms = $3 WHERE id = $1 AND user_id = $2";
    Ok(tx.execute(sql, &[id.0.into(), user.0.into(), now.0.into()]).await? > 0)
}

/// Ends one session, at sign-out. The caller names [`Entity::Session`] as changed.
///
/// # Errors
/// The database's.
pub async fn end<M: Writes>(tx: &mut Tx<M>, id: SessionId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM account_session WHERE id = $1", &[id.0.into()]).await? > 0)
}

/// Ends one session of an account; `false` when it has none of that id. The caller names [`Entity::Session`] as changed.
///
/// # Errors
/// The database's.
pub async fn end_own<M: Writes>(tx: &mut Tx<M>, user: UserId, id: SessionId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM account_session WHERE id = $1 AND user_id = $2";
    Ok(tx.execute(sql, &[id.0.into(), user.0.into()]).await? > 0)
}

/// Ends the sessions of an account, but for one where that is asked; each has to be named as changed.
///
/// # Errors
/// The database's.
pub async fn end_of<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    but: Option<SessionId>,
) -> Result<Vec<SessionId>, StoreError> {
    let mut sql = SqlBuilder::new("DELETE FROM account_session WHERE user_id = ");
    sql.bind(user.0);
    if let Some(but) = but {
        sql.push(" AND id <> ").bind(but.0);
    }
    sql.push(" RETURNING id");
    ids(tx, sql).await
}

/// Ends the oldest sessions of an account that has more than it may; each has to be named as changed.
///
/// # Errors
/// The database's.
pub async fn end_oldest<M: Writes>(tx: &mut Tx<M>, user: UserId) -> Result<Vec<SessionId>, StoreError> {
    let mut sql = SqlBuilder::new("DELETE FROM account_session WHERE user_id = ");
    sql.bind(user.0).push(" AND id NOT IN (SELECT id FROM account_session WHERE user_id = ").bind(user.0);
    sql.push(" ORDER BY id DESC LIMIT ").bind(SESSIONS_PER_ACCOUNT_MAX).push(") RETURNING id");
    ids(tx, sql).await
}

/// Removes up to `limit` sessions that have run out; each has to be named as changed. Run by a job: they are refused anyway.
///
/// # Errors
/// The database's.
pub async fn sweep<M: Writes>(tx: &mut Tx<M>, now: Timestamp, limit: usize) -> Result<Vec<SessionId>, StoreError> {
    let mut sql = SqlBuilder::new(
        "DELETE FROM account_session WHERE id IN (SELECT id FROM account_session WHERE expires_at_ms <= ",
    );
    sql.bind(now.0).push(" ORDER BY id LIMIT ").bind(limit).push(") RETURNING id");
    ids(tx, sql).await
}

async fn ids<M: Writes>(tx: &mut Tx<M>, sql: SqlBuilder) -> Result<Vec<SessionId>, StoreError> {
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| row.get("id").map(SessionId)).collect()
}

/// What a browser says of itself, kept for its owner to recognize it.
fn shortened(text: &str, chars_max: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(chars_max).collect()
}

async fn list_mine(mut cx: Ctx<op::ManageListMySessions>, _: Input) -> Outcome<op::ManageListMySessions> {
    let user = cx.user()?;
    let now = cx.now();
    let own = cx.caller().session().map(|session| session.id.0);
    let sql = "SELECT id, user_agent, address, created_at_ms, expires_at_ms FROM account_session
                WHERE user_id = $1 AND expires_at_ms > $2 ORDER BY created_at_ms DESC, id DESC LIMIT $3";
    let rows = cx.tx().query(sql, &[user.0.into(), now.0.into(), SESSIONS_SHOWN_MAX.into()]).await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: i64 = row.get("id")?;
        values.push(json!({
            "id": id.to_string(),
            "userAgent": row.get::<String>("user_agent")?,
            "address": row.get::<String>("address")?,
            "created": wire::moment(row.get("created_at_ms")?),
            "expires": wire::moment(row.get("expires_at_ms")?),
            "current": own == Some(id),
        }));
    }
    cx.done(Reply::json(wire::whole(values)))
}

async fn revoke_mine(mut cx: Ctx<op::ManageRevokeMySession>, input: Input) -> Outcome<op::ManageRevokeMySession> {
    let user = cx.user()?;
    let none = || Problem::not_found("There is no session with this id.");
    let id: i64 = input.param("sessionId").parse().map_err(|_| none())?;
    if !end_own(cx.tx(), user, SessionId(id)).await? {
        return Err(none());
    }
    cx.audit(format!("session:{id}"), None, None);
    cx.changed(Entity::Session(SessionId(id)));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list_mine);
    handlers.on(revoke_mine);
}
