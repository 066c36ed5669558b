//! One worklog: its row, and how it is shown.

use portcullis_authz::decide::Restriction;
use portcullis_guard::{AnyMode, Input, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, UserId};
use serde_json::{Map, Value as Json};

use crate::comment::{properties_of, shown_text};
use crate::issue::duration;
use crate::restriction::{self, Names};
use crate::wire;

/// What a query for worklogs starts with; the worklog is `c`, as the filters of [`crate::visible`] call it.
pub(super) const COLUMNS: &str =
    "SELECT c.id, c.issue_id, c.author_id, c.update_author_id, c.comment, c.restriction_type, c.group_id, c.role_id,
            c.started_at_ms, c.time_spent_s, c.created_at_ms, c.updated_at_ms ";

#[derive(Clone, Debug)]
pub(super) struct Worklog {
    pub id: i64,
    pub issue: i64,
    pub author: Option<UserId>,
    pub update_author: Option<UserId>,
    pub comment: Option<String>,
    pub restriction: Restriction,
    pub started_at_ms: i64,
    pub time_spent_s: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

impl Worklog {
    pub(super) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            issue: row.get("issue_id")?,
            author: row.get::<Option<i64>>("author_id")?.map(UserId),
            update_author: row.get::<Option<i64>>("update_author_id")?.map(UserId),
            comment: row.get("comment")?,
            restriction: restriction::of_row(row)?,
            started_at_ms: row.get("started_at_ms")?,
            time_spent_s: row.get("time_spent_s")?,
            created_at_ms: row.get("created_at_ms")?,
            updated_at_ms: row.get("updated_at_ms")?,
        })
    }
}

/// The worklog with this id; whether the caller may see it was decided before.
pub(super) async fn one<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Option<Worklog>, StoreError> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("FROM jira_worklog c WHERE c.id = ").bind(id);
    tx.query_opt(sql, &[]).await?.map(|row| Worklog::of(&row)).transpose()
}

pub(super) async fn several<M: AnyMode>(tx: &mut Tx<M>, sql: SqlBuilder) -> Result<Vec<Worklog>, StoreError> {
    tx.query(sql, &[]).await?.iter().map(Worklog::of).collect()
}

/// Worklog objects, in the order of `worklogs`; all that they need is read in batches.
pub(super) async fn render<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    worklogs: &[Worklog],
    with_properties: bool,
) -> Result<Vec<Json>, StoreError> {
    let authors: Vec<UserId> =
        worklogs.iter().flat_map(|worklog| [worklog.author, worklog.update_author]).flatten().collect();
    let people = wire::people(tx, &authors).await?;
    let names = Names::of(tx, worklogs.iter().map(|worklog| worklog.restriction)).await?;
    let mut properties = if with_properties {
        let ids: Vec<i64> = worklogs.iter().map(|worklog| worklog.id).collect();
        properties_of(tx, "worklog", &ids).await?
    } else {
        Default::default()
    };
    let mut out = Vec::with_capacity(worklogs.len());
    for worklog in worklogs {
        let mut json = Map::new();
        let link = input.api_url(&format!("/issue/{}/worklog/{}", worklog.issue, worklog.id));
        json.insert("self".into(), link.into());
        if let Some(author) = worklog.author.and_then(|id| people.get(&id)) {
            json.insert("author".into(), author.json(input));
        }
        if let Some(author) = worklog.update_author.and_then(|id| people.get(&id)) {
            json.insert("updateAuthor".into(), author.json(input));
        }
        if let Some(comment) = &worklog.comment {
            json.insert("comment".into(), shown_text(input, comment));
        }
        json.insert("created".into(), wire::moment(worklog.created_at_ms).into());
        json.insert("updated".into(), wire::moment(worklog.updated_at_ms).into());
        if let Some(visibility) = names.json(view, worklog.restriction) {
            json.insert("visibility".into(), visibility);
        }
        json.insert("started".into(), wire::moment(worklog.started_at_ms).into());
        json.insert("timeSpent".into(), duration::format(worklog.time_spent_s).into());
        json.insert("timeSpentSeconds".into(), worklog.time_spent_s.into());
        json.insert("id".into(), worklog.id.to_string().into());
        json.insert("issueId".into(), worklog.issue.to_string().into());
        if with_properties {
            json.insert("properties".into(), properties.remove(&worklog.id).unwrap_or_default().into());
        }
        out.push(Json::Object(json));
    }
    Ok(out)
}

/// One worklog's object, with what `expand` asks for.
pub(super) async fn shown<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    worklog: Worklog,
) -> Result<Json, Problem> {
    let with_properties = wire::expands(input, "properties");
    let mut shown = render(tx, view, input, &[worklog], with_properties).await?;
    shown.pop().ok_or_else(|| Problem::bug("a rendered worklog is missing"))
}

/// A worklog and whom it is restricted to; for telling others of it.
///
/// # Errors
/// The database's.
pub(crate) async fn one_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    id: i64,
) -> Result<Option<(Restriction, Json)>, Problem> {
    let Some(worklog) = one(tx, id).await? else { return Ok(None) };
    let restriction = worklog.restriction;
    Ok(Some((restriction, shown(tx, view, input, worklog).await?)))
}

pub(super) fn absent(id: &str) -> Problem {
    Problem::not_found(format!("Cannot find worklog with id: '{id}'."))
}
