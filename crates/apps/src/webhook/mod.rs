//! Webhooks: what apps want to be told of, and telling them.
//!
//! A Connect app's descriptor names some, which are here from its installation on; Connect and OAuth 2.0 apps register others while
//! they work ([`register`]). Whoever changes something leaves a message in the outbox, in the same transaction; [`deliver`] sends it
//! once that is committed, signed and again if need be; [`log`] shows what became of it.

pub mod deliver;
pub mod log;
mod register;

use portcullis_guard::{AnyMode, Entity, Handlers, Policy, Tx, Value};
use portcullis_model::{ConnectAppId, Problem, Timestamp, WebhookId};
use serde_json::json;

use crate::connect::{Services, descriptor, dynamic};

/// A webhook to be stored.
struct New<'a> {
    connect_app: Option<i64>,
    client: Option<i64>,
    grant: Option<i64>,
    fixed: bool,
    url: &'a str,
    events: &'a [String],
    jql: &'a str,
    field_ids: &'a [String],
    property_keys: &'a [String],
    exclude_body: bool,
    expires_at_ms: Option<i64>,
}

async fn insert(tx: &mut Tx<Policy>, new: &New<'_>, now: Timestamp) -> Result<WebhookId, Problem> {
    let list = |items: &[String]| -> Value { json!(items).to_string().into() };
    let sql =
        "INSERT INTO app_webhook (connect_app, client, grant_id, fixed, url, events, jql, field_ids, property_keys,
                                        exclude_body, created_at_ms, expires_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id";
    let values = [
        new.connect_app.into(),
        new.client.into(),
        new.grant.into(),
        new.fixed.into(),
        new.url.into(),
        list(new.events),
        new.jql.into(),
        list(new.field_ids),
        list(new.property_keys),
        new.exclude_body.into(),
        now.0.into(),
        new.expires_at_ms.into(),
    ];
    Ok(WebhookId(tx.query_one(sql, &values).await?.get("id")?))
}

/// Stores what an app's descriptor and its dynamic modules name, in place of what they named before. Names what changed.
pub(crate) async fn describe(
    tx: &mut Tx<Policy>,
    app: ConnectAppId,
    base_url: &str,
    now: Timestamp,
) -> Result<Vec<Entity>, Problem> {
    let mut all = Vec::new();
    for modules in [dynamic::described(tx, app).await?, dynamic::modules(tx, app).await?] {
        all.extend(descriptor::webhooks(Some(&modules), base_url).map_err(Problem::invalid)?);
    }
    let mut changed =
        remove(tx, "DELETE FROM app_webhook WHERE connect_app = $1 AND fixed = 1 RETURNING id", app.0).await?;
    for webhook in &all {
        let new = New {
            connect_app: Some(app.0),
            client: None,
            grant: None,
            fixed: true,
            url: &format!("{base_url}{}", webhook.path),
            events: std::slice::from_ref(&webhook.event),
            jql: &webhook.filter,
            field_ids: &[],
            property_keys: &webhook.property_keys,
            exclude_body: webhook.exclude_body,
            expires_at_ms: None,
        };
        changed.push(Entity::Webhook(insert(tx, &new, now).await?));
    }
    Ok(changed)
}

/// Removes all that a Connect app is told of, and what waits to be sent to it. Names what changed.
pub(crate) async fn forget_connect(tx: &mut Tx<Policy>, app: ConnectAppId) -> Result<Vec<Entity>, Problem> {
    tx.forget_messages(&portcullis_guard::WebhookOwner::Connect(app).word()).await?;
    remove(tx, "DELETE FROM app_webhook WHERE connect_app = $1 RETURNING id", app.0).await
}

async fn remove(tx: &mut Tx<Policy>, sql: &'static str, id: i64) -> Result<Vec<Entity>, Problem> {
    let rows = tx.query(sql, &[id.into()]).await?;
    rows.iter().map(|row| Ok(Entity::Webhook(WebhookId(row.get("id")?)))).collect()
}

/// How many webhooks an owner has registered while it works.
async fn registered<M: AnyMode>(tx: &mut Tx<M>, sql: &'static str, id: i64) -> Result<i64, Problem> {
    Ok(tx.query_one(sql, &[id.into()]).await?.get("n")?)
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    register::handlers(handlers, services);
    log::handlers(handlers);
}
