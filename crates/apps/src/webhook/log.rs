//! What became of webhooks: for administrators of the site, and for the developer of an OAuth 2.0 app. Bodies are not shown: they hold
//! what the app's account may see, which is not what the reader may.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, MessageHead, Outcome, Policy, Reply, Tx, View, WebhookOwner};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::wire;

/// Deliveries shown.
const SHOWN_MAX: i64 = 200;

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// Names it to the app.
    pub identifier: String,
    /// The event's name.
    pub event: String,
    /// `waiting`, `delivered` or `failed`.
    pub status: String,
    /// Attempts so far.
    pub attempts: i64,
    /// When it happened.
    pub created_at_ms: i64,
    /// When it is tried again.
    pub due_at_ms: Option<i64>,
    /// What the app said.
    pub note: String,
}

/// The newest deliveries of an owner.
///
/// # Errors
/// The database's.
pub async fn deliveries<M: AnyMode>(tx: &mut Tx<M>, owner: WebhookOwner) -> Result<Vec<Delivery>, Problem> {
    let sql = "SELECT id, identifier, head, status, attempts, created_at_ms, due_at_ms, note FROM store_outbox
                WHERE owner = $1 ORDER BY id DESC LIMIT $2";
    let rows = tx.query(sql, &[owner.word().into(), SHOWN_MAX.into()]).await?;
    rows.iter()
        .map(|row| {
            let head = serde_json::from_str::<MessageHead>(&row.get::<String>("head")?).ok();
            Ok(Delivery {
                id: row.get("id")?,
                identifier: row.get("identifier")?,
                event: head.map(|head| head.event).unwrap_or_default(),
                status: row.get("status")?,
                attempts: row.get("attempts")?,
                created_at_ms: row.get("created_at_ms")?,
                due_at_ms: row.get("due_at_ms")?,
                note: row.get("note")?,
            })
        })
        .collect()
}

/// The Connect app of the path.
///
/// # Errors
/// 404 when none is installed.
pub fn connect_owner(view: &View, input: &Input) -> Result<WebhookOwner, Problem> {
    let app = view.with(|snapshot| snapshot.connect().app_named(input.param("appKey")).map(|app| app.id));
    app.map(WebhookOwner::Connect).ok_or_else(|| Problem::not_found("There is no Connect app with this key."))
}

/// Sends a delivery of the path again, with the identifier that it had.
///
/// # Errors
/// 404 when the owner has none, 409 when it is still under way.
pub async fn redeliver(tx: &mut Tx<Policy>, view: &View, owner: WebhookOwner, input: &Input) -> Result<i64, Problem> {
    let absent = || Problem::not_found("There is no such delivery.");
    let id: i64 = input.param("deliveryId").parse().map_err(|_| absent())?;
    let sql = "SELECT due_at_ms FROM store_outbox WHERE id = $1 AND owner = $2";
    let row = tx.query_opt(sql, &[id.into(), owner.word().into()]).await?.ok_or_else(absent)?;
    if row.get::<Option<i64>>("due_at_ms")?.is_some() || !tx.requeue(id, &owner.word(), view.now().0).await? {
        return Err(Problem::conflict("This delivery is still under way."));
    }
    Ok(id)
}

fn json_of(delivery: &Delivery) -> Json {
    json!({
        "id": delivery.id,
        "identifier": delivery.identifier,
        "event": delivery.event,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "created": wire::moment(delivery.created_at_ms),
        "nextAttempt": delivery.due_at_ms.map(wire::moment),
        "note": delivery.note,
    })
}

type List = op::ManageListConnectDeliveries;
async fn list(mut cx: Ctx<List>, input: Input) -> Outcome<List> {
    let owner = connect_owner(cx.view(), &input)?;
    let all = deliveries(cx.tx(), owner).await?;
    cx.done(Reply::json(wire::whole(all.iter().map(json_of).collect())))
}

type Redeliver = op::ManageRedeliverConnect;
async fn again(mut cx: Ctx<Redeliver>, input: Input) -> Outcome<Redeliver> {
    let view = cx.view().clone();
    let owner = connect_owner(&view, &input)?;
    let id = redeliver(cx.tx(), &view, owner, &input).await?;
    cx.audit(format!("webhook_delivery:{id}"), None, Some(json!({"again": true})));
    cx.done(Reply::empty(202))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(again);
}
