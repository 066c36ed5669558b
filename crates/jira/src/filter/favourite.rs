//! Favourite filters of a person.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde_json::json;

use crate::filter::item::filter_json;
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

/// For filters that the caller sees: favourites that were hidden since are in no list.
async fn unset(mut cx: Ctx<op::DeleteFavouriteForFilter>, input: Input) -> Outcome<op::DeleteFavouriteForFilter> {
    let (view, now, user, id) = (cx.view().clone(), cx.now(), cx.user()?, cx.target().thing()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let sql = "DELETE FROM jira_filter_favourite WHERE filter_id = $1 AND user_id = $2";
    cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.audit(format!("filter:{id}"), None, Some(json!({"favourite": false})));
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(set);
    handlers.on(unset);
}
