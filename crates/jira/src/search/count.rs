//! `POST /search/approximate-count`: how many issues match. Ours is exact, and counts what the caller sees.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde::Deserialize;
use serde_json::json;

use crate::search::asker::Asker;
use crate::search::evaluate::compile;
use crate::search::jql_search::bounded;

#[derive(Deserialize)]
struct Body {
    jql: Option<String>,
}

async fn count(mut cx: Ctx<op::CountIssues>, input: Input) -> Outcome<op::CountIssues> {
    let body: Body = input.parse()?;
    let query = bounded(&body.jql.unwrap_or_default())?;
    let (view, now) = (cx.view().clone(), cx.now());
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let compiled = compile(cx.tx(), &asker, &query).await?;
    let count: i64 = cx.tx().query_one(compiled.count(&asker), &[]).await?.get("count")?;
    cx.done(Reply::json(json!({"count": count})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(count);
}
