//! What an account lets an app do: made by consent, seen and taken back by the account and by administrators.

use portcullis_authz::op;
use portcullis_guard::oauth::ClientFacts;
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Policy, Reply, Row, StoreError, Tx, View, Writes,
};
use portcullis_model::{AppGrantId, AppId, Problem, ScopeSet, Timestamp, UserId};
use serde_json::{Value as Json, json};

use super::authorize::Asked;
use crate::wire;

/// A grant as lists show it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its id.
    pub id: AppGrantId,
    /// The app.
    pub client: AppId,
    /// The app's name.
    pub app_name: String,
    /// The app's public id.
    pub client_id: String,
    /// The account.
    pub user: UserId,
    /// The account's id on the wire.
    pub account_id: String,
    /// The account's name.
    pub user_name: String,
    /// What may be done.
    pub scopes: String,
    /// When it was given first.
    pub created_at_ms: i64,
    /// When it was given last.
    pub changed_at_ms: i64,
    /// When it was used last.
    pub last_used_at_ms: Option<i64>,
}

const LIST: &str = "SELECT g.id, g.client, g.user_id, g.scopes, g.created_at_ms, g.changed_at_ms, g.last_used_at_ms,
        c.name AS app_name, c.client_id, u.account_id, u.display_name
   FROM app_oauth_grant g JOIN app_oauth_client c ON c.id = g.client JOIN account_user u ON u.id = g.user_id";

fn of_row(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: AppGrantId(row.get("id")?),
        client: AppId(row.get("client")?),
        app_name: row.get("app_name")?,
        client_id: row.get("client_id")?,
        user: UserId(row.get("user_id")?),
        account_id: row.get("account_id")?,
        user_name: row.get("display_name")?,
        scopes: row.get("scopes")?,
        created_at_ms: row.get("created_at_ms")?,
        changed_at_ms: row.get("changed_at_ms")?,
        last_used_at_ms: row.get("last_used_at_ms")?,
    })
}

/// Which grants a list is of.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// Those of an account.
    User(UserId),
    /// Those of an app.
    Client(AppId),
    /// All.
    Everyone,
}

/// Grants, the latest first; at most `max`.
///
/// # Errors
/// The database's.
pub async fn list<M: AnyMode>(tx: &mut Tx<M>, of: Of, max: i64) -> Result<Vec<Grant>, StoreError> {
    let mut sql = portcullis_guard::SqlBuilder::new(LIST);
    match of {
        Of::User(user) => {
            sql.push(" WHERE g.user_id = ").bind(user.0);
        }
        Of::Client(client) => {
            sql.push(" WHERE g.client = ").bind(client.0);
        }
        Of::Everyone => {}
    }
    sql.push(" ORDER BY g.changed_at_ms DESC, g.id DESC LIMIT ").bind(max);
    tx.query(sql, &[]).await?.iter().map(of_row).collect()
}

/// Gives an app what an account approved: the new consent takes the place of the one before, in full. The caller names
/// [`Entity::AppGrant`] as changed.
///
/// # Errors
/// The database's.
pub async fn approve(
    tx: &mut Tx<Policy>,
    client: &ClientFacts,
    user: UserId,
    asked: &Asked,
    now: Timestamp,
) -> Result<AppGrantId, StoreError> {
    give(tx, client.id, user, &asked.scopes, now).await
}

pub(crate) async fn give(
    tx: &mut Tx<Policy>,
    client: AppId,
    user: UserId,
    scopes: &str,
    now: Timestamp,
) -> Result<AppGrantId, StoreError> {
    let sql = "INSERT INTO app_oauth_grant (client, user_id, scopes, created_at_ms, changed_at_ms)
               VALUES ($1, $2, $3, $4, $4)
               ON CONFLICT (client, user_id) DO UPDATE SET scopes = $3, changed_at_ms = $4 RETURNING id";
    let row = tx.query_one(sql, &[client.0.into(), user.0.into(), scopes.into(), now.0.into()]).await?;
    Ok(AppGrantId(row.get("id")?))
}

/// Takes a grant back, with every token that came of it. It has to be named as changed; its facts, or `None` when there is none, or
/// none of this account where one is named.
///
/// # Errors
/// The database's.
pub async fn revoke<M: Writes>(
    tx: &mut Tx<M>,
    id: AppGrantId,
    only_of: Option<UserId>,
) -> Result<Option<Grant>, StoreError> {
    let mut sql = portcullis_guard::SqlBuilder::new(LIST);
    sql.push(" WHERE g.id = ").bind(id.0);
    if let Some(user) = only_of {
        sql.push(" AND g.user_id = ").bind(user.0);
    }
    let Some(row) = tx.query_opt(sql, &[]).await? else { return Ok(None) };
    let grant = of_row(&row)?;
    for sql in [
        "DELETE FROM app_oauth_family WHERE grant_id = $1",
        "DELETE FROM app_oauth_code WHERE grant_id = $1",
        "DELETE FROM app_webhook WHERE grant_id = $1",
        "DELETE FROM app_oauth_grant WHERE id = $1",
    ] {
        tx.execute(sql, &[id.0.into()]).await?;
    }
    tx.execute("DELETE FROM app_oauth_device WHERE grant_id = $1", &[id.0.into()]).await?;
    Ok(Some(grant))
}

/// Takes back every grant of an account, or to an app; each has to be named as changed.
///
/// # Errors
/// The database's.
pub async fn revoke_all<M: Writes>(tx: &mut Tx<M>, of: Of) -> Result<Vec<Grant>, StoreError> {
    let grants = list(tx, of, i64::MAX).await?;
    for grant in &grants {
        revoke(tx, grant.id, None).await?;
    }
    Ok(grants)
}

/// What was asked for and not granted before, and what was granted and is not asked for any more.
pub fn difference(view: &View, client: AppId, user: UserId, asked: &ScopeSet) -> Option<(ScopeSet, ScopeSet)> {
    let before = view.with(|snapshot| snapshot.oauth().grant_of(client, user).map(|grant| grant.scopes))?;
    Some((before.missing(asked), asked.missing(&before)))
}

/// What happened to an account's apps, the latest first: kind, the app's name, when.
///
/// # Errors
/// The database's.
pub async fn notices<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<Vec<(String, String, i64)>, StoreError> {
    let sql = "SELECT n.kind, c.name, n.at_ms FROM app_notice n LEFT JOIN app_oauth_client c ON c.id = n.client
                WHERE n.user_id = $1 ORDER BY n.at_ms DESC, n.id DESC LIMIT 10";
    let mut out = Vec::new();
    for row in tx.query(sql, &[user.0.into()]).await? {
        out.push((row.get("kind")?, row.get::<Option<String>>("name")?.unwrap_or_default(), row.get("at_ms")?));
    }
    Ok(out)
}

fn json_of(grant: &Grant) -> Json {
    json!({
        "id": grant.id.to_string(),
        "app": {"id": grant.client.to_string(), "clientId": grant.client_id, "name": grant.app_name},
        "user": {"accountId": grant.account_id, "displayName": grant.user_name},
        "scopes": grant.scopes.split(' ').collect::<Vec<_>>(),
        "created": wire::moment(grant.created_at_ms),
        "changed": wire::moment(grant.changed_at_ms),
        "lastUsed": grant.last_used_at_ms.map(wire::moment),
    })
}

/// Grants that one answer lists.
const LISTED_MAX: i64 = 1_000;

async fn list_mine(mut cx: Ctx<op::ManageListMyAppGrants>, _: Input) -> Outcome<op::ManageListMyAppGrants> {
    let user = cx.user()?;
    let grants = list(cx.tx(), Of::User(user), LISTED_MAX).await?;
    cx.done(Reply::json(wire::whole(grants.iter().map(json_of).collect())))
}

async fn list_all(mut cx: Ctx<op::ManageListAppGrants>, _: Input) -> Outcome<op::ManageListAppGrants> {
    let grants = list(cx.tx(), Of::Everyone, LISTED_MAX).await?;
    cx.done(Reply::json(wire::whole(grants.iter().map(json_of).collect())))
}

fn no_grant() -> Problem {
    Problem::not_found("There is no such connection. It may be revoked already.")
}

/// The id in the path.
///
/// # Errors
/// 404 for what cannot be one.
pub fn id_of(input: &Input) -> Result<AppGrantId, Problem> {
    input.param("grantId").parse().map(AppGrantId).map_err(|_| no_grant())
}

/// Takes one back and says so for the audit log.
async fn revoke_one<M: Writes>(
    tx: &mut Tx<M>,
    id: AppGrantId,
    only_of: Option<UserId>,
) -> Result<(String, Json), Problem> {
    let grant = revoke(tx, id, only_of).await?.ok_or_else(no_grant)?;
    Ok((format!("app_grant:{id}"), json_of(&grant)))
}

async fn revoke_mine(mut cx: Ctx<op::ManageRevokeMyAppGrant>, input: Input) -> Outcome<op::ManageRevokeMyAppGrant> {
    let user = cx.user()?;
    let id = id_of(&input)?;
    let (target, before) = revoke_one(cx.tx(), id, Some(user)).await?;
    cx.audit(target, Some(before), None);
    cx.changed(Entity::AppGrant(id));
    cx.done(Reply::no_content())
}

async fn revoke_any(mut cx: Ctx<op::ManageRevokeAppGrant>, input: Input) -> Outcome<op::ManageRevokeAppGrant> {
    let id = id_of(&input)?;
    let (target, before) = revoke_one(cx.tx(), id, None).await?;
    cx.audit(target, Some(before), None);
    cx.changed(Entity::AppGrant(id));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list_mine);
    handlers.on(list_all);
    handlers.on(revoke_mine);
    handlers.on(revoke_any);
}
