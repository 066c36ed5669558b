//! Favourite filters of a person.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx};
use serde_json::json;

use crate::filter::item::filter_json;
use crate::filter::unavailable;
use crate::search::asker::Asker;

async fn set(mut cx: Ctx<op::SetFavouriteForFilter>, input: Input) -> Outcome<op::SetFavouriteForFilter> {
    let (view, now, user, id) = (cx.view().clone(), cx.now(), cx.user()?, cx.target().thing()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let sql = "INSERT INTO jira_filter_favourite (filter_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.audit(format!("filter:{id}"), None, Some(json!({"favourite": true})));
    cx.done(Reply::json(json))
}

/// The row asks for nothing but a signed-in caller, so that one can let go of a filter that was hidden since. Such a filter is
/// answered like one that is not there.
async fn unset(mut cx: Ctx<op::DeleteFavouriteForFilter>, input: Input) -> Outcome<op::DeleteFavouriteForFilter> {
    let (view, now, user) = (cx.view().clone(), cx.now(), cx.user()?);
    let Some(id) = cx.target().thing else { return Err(unavailable()) };
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let visible = is_visible(cx.tx(), &asker, id).await?;
    let sql = "DELETE FROM jira_filter_favourite WHERE filter_id = $1 AND user_id = $2";
    let removed = cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
    if !visible {
        // The removal stands: a reply commits where a problem would not.
        let text = unavailable().messages;
        let refusal = Reply::json(json!({"errorMessages": text, "errors": {}})).with_status(400);
        if removed == 0 {
            return Err(unavailable());
        }
        cx.audit(format!("filter:{id}"), None, Some(json!({"favourite": false})));
        return cx.done(refusal);
    }
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.audit(format!("filter:{id}"), None, Some(json!({"favourite": false})));
    cx.done(Reply::json(json))
}

async fn is_visible<M: AnyMode>(tx: &mut Tx<M>, asker: &Asker, id: i64) -> Result<bool, StoreError> {
    let mut sql = SqlBuilder::new("SELECT f.id FROM jira_filter f WHERE f.id = ");
    sql.bind(id).push(" AND ");
    asker.filter_visible().write_to(&mut sql);
    Ok(tx.query_opt(sql, &[]).await?.is_some())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(set);
    handlers.on(unset);
}
