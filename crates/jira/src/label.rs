//! `GET /label`: labels on issues that the caller sees.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, SqlBuilder};
use serde_json::Value as Json;

use crate::visible::push_issue_visible;
use crate::wire::Paging;

async fn all(mut cx: Ctx<op::GetAllLabels>, input: Input) -> Outcome<op::GetAllLabels> {
    let paging = Paging::of(&input, 1000, 1000)?;
    let visibility = cx.view().visibility();
    let mut sql = SqlBuilder::new(
        "SELECT count(DISTINCT l.label) AS total FROM jira_issue_label l JOIN jira_issue i ON i.id = l.issue_id WHERE ",
    );
    push_issue_visible(&mut sql, &visibility);
    let total = cx.tx().query_one(sql, &[]).await?.get("total")?;
    let mut sql =
        SqlBuilder::new("SELECT l.label FROM jira_issue_label l JOIN jira_issue i ON i.id = l.issue_id WHERE ");
    push_issue_visible(&mut sql, &visibility);
    sql.push(" GROUP BY l.label ORDER BY l.label {{c}} LIMIT ").bind(paging.max_results);
    sql.push(" OFFSET ").bind(paging.start_at);
    let rows = cx.tx().query(sql, &[]).await?;
    let labels = rows.iter().map(|row| row.get::<String>("label").map(Json::from)).collect::<Result<Vec<_>, _>>()?;
    cx.done(Reply::json(paging.page(&input, "/label", "values", total, labels)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
}
