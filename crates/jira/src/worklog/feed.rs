//! Which worklogs changed or went since a moment: `GET /worklog/updated` and `GET /worklog/deleted`.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Input, Outcome, Reply, SqlBuilder, StoreError};
use portcullis_model::{Problem, Timestamp};
use serde_json::{Map, Value as Json, json};

use crate::comment::properties_of;
use crate::restriction::{projects_of, push_unrestricted_in};
use crate::visible::push_issue_visible;
use crate::wire::{self, expands};

/// Worklogs on one page, as in Jira.
const PAGE_ITEMS_MAX: usize = 1_000;

struct Entry {
    worklog: i64,
    at_ms: i64,
}

fn since(input: &Input) -> Result<i64, Problem> {
    Ok(input.query_int("since")?.unwrap_or(0).max(0))
}

/// `GET /worklog/updated`: those that the caller may see. Unlike Jira's, the feed does not wait for a minute.
pub async fn modified(
    mut cx: Ctx<op::GetIdsOfWorklogsModifiedSince>,
    input: Input,
) -> Outcome<op::GetIdsOfWorklogsModifiedSince> {
    let view = cx.view().clone();
    let now = cx.now();
    let since = since(&input)?;
    let visibility = view.visibility();
    let mut sql = SqlBuilder::new(
        "SELECT c.id AS worklog_id, c.updated_at_ms AS at_ms
           FROM jira_worklog c JOIN jira_issue i ON i.id = c.issue_id WHERE c.updated_at_ms >= ",
    );
    sql.bind(since).push(" AND ");
    push_issue_visible(&mut sql, &visibility);
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, &view, &projects_of(&visibility));
    sql.push(" ORDER BY c.updated_at_ms, c.id LIMIT ").bind(PAGE_ITEMS_MAX + 1);
    let entries = entries(cx.tx().query(sql, &[]).await?)?;
    let ids: Vec<i64> = entries.iter().map(|entry| entry.worklog).collect();
    let mut properties =
        if expands(&input, "properties") { properties_of(cx.tx(), "worklog", &ids).await? } else { Default::default() };
    let json = page(&input, "/worklog/updated", since, now, &entries, |entry| {
        properties.remove(&entry.worklog).unwrap_or_default()
    });
    cx.done(Reply::json(json))
}

/// `GET /worklog/deleted`: ids alone, which tell nothing about an issue.
pub async fn deleted(
    mut cx: Ctx<op::GetIdsOfWorklogsDeletedSince>,
    input: Input,
) -> Outcome<op::GetIdsOfWorklogsDeletedSince> {
    let now = cx.now();
    let since = since(&input)?;
    let sql = "SELECT worklog_id, deleted_at_ms AS at_ms FROM jira_deleted_worklog WHERE deleted_at_ms >= $1
                ORDER BY deleted_at_ms, worklog_id LIMIT $2";
    let entries = entries(cx.tx().query(sql, &[since.into(), (PAGE_ITEMS_MAX + 1).into()]).await?)?;
    let json = page(&input, "/worklog/deleted", since, now, &entries, |_| Vec::new());
    cx.done(Reply::json(json))
}

fn entries(rows: Vec<portcullis_guard::Row>) -> Result<Vec<Entry>, StoreError> {
    rows.iter().map(|row| Ok(Entry { worklog: row.get("worklog_id")?, at_ms: row.get("at_ms")? })).collect()
}

/// `{values, since, until, self, nextPage?, lastPage}`. A page ends where the next one starts, so that items of one millisecond may
/// come twice but none is skipped; more than a page of them in one millisecond would be, and the page then goes one further.
fn page(
    input: &Input,
    path: &str,
    since: i64,
    now: Timestamp,
    entries: &[Entry],
    mut properties: impl FnMut(&Entry) -> Vec<Json>,
) -> Json {
    let last_page = entries.len() <= PAGE_ITEMS_MAX;
    let shown = entries.get(..PAGE_ITEMS_MAX).unwrap_or(entries);
    let until = if last_page {
        now.0.max(since)
    } else {
        let last = shown.last().map_or(since, |entry| entry.at_ms);
        if last > since { last } else { since.saturating_add(1) }
    };
    let values: Vec<Json> = shown
        .iter()
        .map(|entry| json!({"worklogId": entry.worklog, "updatedTime": entry.at_ms, "properties": properties(entry)}))
        .collect();
    let expand =
        input.query("expand").map(|expand| format!("&expand={}", wire::encode_query(expand))).unwrap_or_default();
    let link = |since: i64| input.api_url(&format!("{path}?since={since}{expand}"));
    let mut out = Map::new();
    out.insert("values".into(), Json::Array(values));
    out.insert("since".into(), since.into());
    out.insert("until".into(), until.into());
    out.insert("self".into(), link(since).into());
    if !last_page {
        out.insert("nextPage".into(), link(until).into());
    }
    out.insert("lastPage".into(), last_page.into());
    Json::Object(out)
}
