//! Reading worklogs. Those restricted to others are filtered in SQL, so that totals do not count them.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::item::{COLUMNS, Worklog, absent, one, render, several, shown};
use crate::comment::projects_of_issues;
use crate::restriction::{projects_of, push_unrestricted_in};
use crate::visible::{push_issue_visible, push_unrestricted};
use crate::wire::{Paging, expands};

/// Worklogs on one page, and the default; Jira's cap.
const PAGE_ITEMS_MAX: i64 = 5_000;
/// Ids in one request for worklogs by id.
const IDS_MAX: usize = 1_000;

/// `GET /issue/{issueIdOrKey}/worklog`, in the order in which they were logged.
pub async fn list(mut cx: Ctx<op::GetIssueWorklog>, input: Input) -> Outcome<op::GetIssueWorklog> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let paging = Paging::of(&input, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)?;
    let after = input.query_int("startedAfter")?.unwrap_or(i64::MIN);
    let before = input.query_int("startedBefore")?.unwrap_or(i64::MAX);
    let push_wanted = |sql: &mut SqlBuilder| {
        sql.push("FROM jira_worklog c WHERE c.issue_id = ").bind(issue.id.0);
        sql.push(" AND c.started_at_ms >= ").bind(after).push(" AND c.started_at_ms < ").bind(before).push(" AND ");
        push_unrestricted(sql, &view, issue.project);
    };

    let mut sql = SqlBuilder::new("SELECT COUNT(*) AS total ");
    push_wanted(&mut sql);
    let total: i64 = cx.tx().query_one(sql, &[]).await?.get("total")?;

    let mut sql = SqlBuilder::new(COLUMNS);
    push_wanted(&mut sql);
    sql.push(" ORDER BY c.created_at_ms, c.id LIMIT ").bind(paging.max_results).push(" OFFSET ").bind(paging.start_at);
    let worklogs = several(cx.tx(), sql).await?;
    let items = render(cx.tx(), &view, &input, &worklogs, expands(&input, "properties")).await?;
    cx.done(Reply::json(json!({
        "startAt": paging.start_at,
        "maxResults": paging.max_results,
        "total": total,
        "worklogs": items,
    })))
}

/// `GET /issue/{issueIdOrKey}/worklog/{id}`; the guard has looked at the restriction.
pub async fn get(mut cx: Ctx<op::GetWorklog>, input: Input) -> Outcome<op::GetWorklog> {
    let view = cx.view().clone();
    let id = cx.target().thing()?;
    let worklog = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let json = shown(cx.tx(), &view, &input, worklog).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<i64>,
}

/// `POST /worklog/list`: of the ids, those that the caller may see; an array.
pub async fn by_ids(mut cx: Ctx<op::GetWorklogsForIds>, input: Input) -> Outcome<op::GetWorklogsForIds> {
    let view = cx.view().clone();
    let Ids { ids } = input.parse()?;
    if ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("At most {IDS_MAX} worklog ids can be requested at once.")));
    }
    let visibility = view.visibility();
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("FROM jira_worklog c JOIN jira_issue i ON i.id = c.issue_id WHERE c.id IN ").ids(&ids).push(" AND ");
    push_issue_visible(&mut sql, &visibility);
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, &view, &projects_of(&visibility));
    sql.push(" ORDER BY c.id");
    let worklogs = several(cx.tx(), sql).await?;
    let items = render(cx.tx(), &view, &input, &worklogs, expands(&input, "properties")).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// `fields.worklog` of issues that the caller may see: the first `limit` worklogs of each, and how many there are. Jira shows 20.
///
/// # Errors
/// The database's.
pub(crate) async fn page<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issues: &[i64],
    limit: i64,
) -> Result<HashMap<i64, Json>, Problem> {
    if issues.is_empty() {
        return Ok(HashMap::new());
    }
    let projects = projects_of_issues(tx, issues).await?;
    let mut sql = SqlBuilder::new("SELECT * FROM (");
    sql.push(COLUMNS).push(", COUNT(*) OVER (PARTITION BY c.issue_id) AS total,");
    sql.push(" ROW_NUMBER() OVER (PARTITION BY c.issue_id ORDER BY c.created_at_ms, c.id) AS place");
    sql.push(" FROM jira_worklog c JOIN jira_issue i ON i.id = c.issue_id WHERE c.issue_id IN ").ids(issues);
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, view, &projects);
    sql.push(") numbered WHERE place <= ").bind(limit).push(" ORDER BY issue_id, place");
    let rows = tx.query(sql, &[]).await?;
    let mut totals: HashMap<i64, i64> = HashMap::new();
    for row in &rows {
        totals.insert(row.get("issue_id")?, row.get("total")?);
    }
    let worklogs: Vec<Worklog> = rows.iter().map(Worklog::of).collect::<Result<_, StoreError>>()?;
    let shown = render(tx, view, input, &worklogs, false).await?;
    let mut items: HashMap<i64, Vec<Json>> = HashMap::new();
    for (worklog, json) in worklogs.iter().zip(shown) {
        items.entry(worklog.issue).or_default().push(json);
    }
    let page = |issue: i64| {
        let json = json!({
            "startAt": 0,
            "maxResults": limit,
            "total": totals.get(&issue).copied().unwrap_or(0),
            "worklogs": items.remove(&issue).unwrap_or_default(),
        });
        (issue, json)
    };
    Ok(issues.iter().copied().map(page).collect())
}
