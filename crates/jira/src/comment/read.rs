//! Reading comments. Those restricted to others are filtered in SQL, so that totals do not count them.

use std::collections::HashMap;

use portcullis_authz::decide::Restriction;
use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::item::{COLUMNS, Comment, Extras, render};
use crate::restriction::{projects_of, push_unrestricted_in};
use crate::visible::{push_issue_visible, push_unrestricted};
use crate::wire::Paging;

/// Comments on one page; Jira's cap.
const PAGE_ITEMS_MAX: i64 = 100;
/// Ids in one request for comments by id.
const IDS_MAX: usize = 1_000;

/// `GET /issue/{issueIdOrKey}/comment`.
pub async fn list(mut cx: Ctx<op::GetComments>, input: Input) -> Outcome<op::GetComments> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let paging = Paging::of(&input, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)?;
    let newest_first = newest_first(&input)?;

    let mut sql = SqlBuilder::new("SELECT COUNT(*) AS total FROM jira_comment c WHERE c.issue_id = ");
    sql.bind(issue.id.0).push(" AND ");
    push_unrestricted(&mut sql, &view, issue.project);
    let total: i64 = cx.tx().query_one(sql, &[]).await?.get("total")?;

    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("FROM jira_comment c WHERE c.issue_id = ").bind(issue.id.0).push(" AND ");
    push_unrestricted(&mut sql, &view, issue.project);
    sql.push(if newest_first {
        " ORDER BY c.created_at_ms DESC, c.id DESC LIMIT "
    } else {
        " ORDER BY c.created_at_ms, c.id LIMIT "
    });
    sql.bind(paging.max_results).push(" OFFSET ").bind(paging.start_at);
    let comments = comments(cx.tx(), sql).await?;
    let items = render(cx.tx(), &view, &input, &comments, Extras::of(&input)).await?;
    cx.done(Reply::json(json!({
        "startAt": paging.start_at,
        "maxResults": paging.max_results,
        "total": total,
        "comments": items,
    })))
}

/// `orderBy`; a `+` arrives as a space.
fn newest_first(input: &Input) -> Result<bool, Problem> {
    match input.query("orderBy") {
        None | Some("" | "created" | "+created" | " created") => Ok(false),
        Some("-created") => Ok(true),
        Some(other) => Err(Problem::invalid(format!("The value '{other}' is not valid for 'orderBy'."))),
    }
}

/// `GET /issue/{issueIdOrKey}/comment/{id}`; the guard has looked at the restriction.
pub async fn get(mut cx: Ctx<op::GetComment>, input: Input) -> Outcome<op::GetComment> {
    let view = cx.view().clone();
    let id = cx.target().thing()?;
    let comment = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let json = shown(cx.tx(), &view, &input, comment).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<i64>,
}

/// `POST /comment/list`: of the ids, those that the caller may see.
pub async fn by_ids(mut cx: Ctx<op::GetCommentsByIds>, input: Input) -> Outcome<op::GetCommentsByIds> {
    let view = cx.view().clone();
    let Ids { ids } = input.parse()?;
    if ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("At most {IDS_MAX} comment ids can be requested at once.")));
    }
    let visibility = view.visibility();
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("FROM jira_comment c JOIN jira_issue i ON i.id = c.issue_id WHERE c.id IN ").ids(&ids).push(" AND ");
    push_issue_visible(&mut sql, &visibility);
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, &view, &projects_of(&visibility));
    sql.push(" ORDER BY c.id");
    let comments = comments(cx.tx(), sql).await?;
    let items = render(cx.tx(), &view, &input, &comments, Extras::of(&input)).await?;
    cx.done(Reply::json(json!({
        "maxResults": 1_048_576,
        "startAt": 0,
        "total": items.len(),
        "isLast": true,
        "values": items,
    })))
}

/// `fields.comment` of issues that the caller may see: the first `limit` comments of each, oldest first, and how many there are.
/// An issue without comments has an empty page.
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
    sql.push(" FROM jira_comment c JOIN jira_issue i ON i.id = c.issue_id WHERE c.issue_id IN ").ids(issues);
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, view, &projects);
    sql.push(") numbered WHERE place <= ").bind(limit).push(" ORDER BY issue_id, place");
    let rows = tx.query(sql, &[]).await?;
    let mut totals: HashMap<i64, i64> = HashMap::new();
    for row in &rows {
        totals.insert(row.get("issue_id")?, row.get("total")?);
    }
    let comments: Vec<Comment> = rows.iter().map(Comment::of).collect::<Result<_, StoreError>>()?;
    let shown = render(tx, view, input, &comments, Extras::default()).await?;
    let mut items: HashMap<i64, Vec<Json>> = HashMap::new();
    for (comment, json) in comments.iter().zip(shown) {
        items.entry(comment.issue).or_default().push(json);
    }
    let page = |issue: i64| {
        let total = totals.get(&issue).copied().unwrap_or(0);
        let comments = items.remove(&issue).unwrap_or_default();
        let json = json!({
            "comments": comments,
            "self": input.api_url(&format!("/issue/{issue}/comment")),
            "maxResults": total.min(limit),
            "total": total,
            "startAt": 0,
        });
        (issue, json)
    };
    Ok(issues.iter().copied().map(page).collect())
}

/// The projects of some issues.
pub(crate) async fn projects_of_issues<M: AnyMode>(
    tx: &mut Tx<M>,
    issues: &[i64],
) -> Result<Vec<ProjectId>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT DISTINCT project_id FROM jira_issue WHERE id IN ");
    sql.ids(issues).push(" ORDER BY project_id");
    tx.query(sql, &[]).await?.iter().map(|row| row.get("project_id").map(ProjectId)).collect()
}

async fn comments<M: AnyMode>(tx: &mut Tx<M>, sql: SqlBuilder) -> Result<Vec<Comment>, StoreError> {
    tx.query(sql, &[]).await?.iter().map(Comment::of).collect()
}

/// The comment with this id; whether the caller may see it was decided before.
pub(super) async fn one<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Option<Comment>, StoreError> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("FROM jira_comment c WHERE c.id = ").bind(id);
    tx.query_opt(sql, &[]).await?.map(|row| Comment::of(&row)).transpose()
}

/// One comment's object, with what `expand` asks for.
pub(super) async fn shown<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    comment: Comment,
) -> Result<Json, Problem> {
    let mut shown = render(tx, view, input, &[comment], Extras::of(input)).await?;
    shown.pop().ok_or_else(|| Problem::bug("a rendered comment is missing"))
}

/// A comment and whom it is restricted to; for telling others of it.
///
/// # Errors
/// The database's.
pub(crate) async fn one_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    id: i64,
) -> Result<Option<(Restriction, Json)>, Problem> {
    let Some(comment) = one(tx, id).await? else { return Ok(None) };
    let restriction = comment.restriction;
    Ok(Some((restriction, shown(tx, view, input, comment).await?)))
}

pub(super) fn absent(id: &str) -> Problem {
    Problem::not_found(format!("Can not find a comment for the id: {id}."))
}
