//! Logging work: add, change, delete; and the issue's time tracking that follows.

use portcullis_authz::decide::Restriction;
use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{Ctx, Input, Outcome, Reply, Tx, View, Writes};
use portcullis_model::{Problem, Timestamp};
use serde_json::{Value as Json, json};

use super::estimate::{Adjust, Manual};
use super::item::{Worklog, absent, one, shown};
use crate::comment::{Property, read_text, remove_properties, store_properties};
use crate::event;
use crate::issue::duration::{self, SECONDS_MAX};
use crate::issue::history::{self, ChangeItem};
use crate::restriction::{Asked, columns, word};
use crate::rich_text::Document;
use crate::wire;

/// Worklogs on one issue; Jira's limit.
const PER_ISSUE_MAX: i64 = 10_000;
/// Shortest worklog, in seconds: Jira counts minutes.
const TIME_SPENT_S_MIN: i64 = 60;

/// What a body says about the comment of a worklog.
#[derive(Clone, Debug)]
enum Comment {
    Unsaid,
    Cleared,
    Text(Document),
}

/// A worklog as a body describes it, alone or inside an edit or a transition; a change describes what is to be different.
#[derive(Clone, Debug)]
pub(crate) struct NewWorklog {
    time_spent_s: Option<i64>,
    started_at_ms: Option<i64>,
    comment: Comment,
    visibility: Asked,
    properties: Vec<Property>,
}

impl NewWorklog {
    /// Reads `{timeSpent | timeSpentSeconds, started?, comment?, visibility?, properties?}`.
    ///
    /// # Errors
    /// 400 in Jira's words.
    pub(crate) fn parse(input: &Input, json: &Json) -> Result<Self, Problem> {
        let new = Self::parse_change(input, json)?;
        if new.time_spent_s.is_none() {
            return Err(Problem::field("timeLogged", "You must indicate the time spent working."));
        }
        Ok(new)
    }

    /// The same where everything may be left out.
    fn parse_change(input: &Input, json: &Json) -> Result<Self, Problem> {
        let invalid =
            || Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.");
        if !json.is_object() {
            return Err(invalid());
        }
        let given = |member: &str| json.get(member).filter(|value| !value.is_null());
        let bad_time = || Problem::field("timeLogged", "Invalid time duration entered.");
        let time_spent_s = match (given("timeSpent"), given("timeSpentSeconds")) {
            (Some(Json::String(text)), _) => Some(duration::parse(text).ok_or_else(bad_time)?),
            (Some(_), _) => return Err(invalid()),
            (None, Some(seconds)) => Some(seconds.as_i64().ok_or_else(invalid)?),
            (None, None) => None,
        };
        if time_spent_s.is_some_and(|seconds| !(TIME_SPENT_S_MIN..=SECONDS_MAX).contains(&seconds)) {
            return Err(bad_time());
        }
        let started_at_ms = match given("started") {
            Some(Json::String(text)) => {
                let moment = wire::parse_moment(text);
                Some(moment.ok_or_else(|| Problem::field("started", format!("Error parsing time: {text}")))?)
            }
            Some(_) => return Err(invalid()),
            None => None,
        };
        let comment = match json.get("comment") {
            None => Comment::Unsaid,
            Some(Json::Null) => Comment::Cleared,
            Some(value) => match read_text(input, value)? {
                document if document.is_empty() => Comment::Cleared,
                document => Comment::Text(document),
            },
        };
        let (visibility, properties) = (Asked::parse(json)?, Property::parse_all(json)?);
        Ok(Self { time_spent_s, started_at_ms, comment, visibility, properties })
    }
}

/// How a worklog changed; zero seconds stand for none.
struct Logged {
    worklog: i64,
    from_s: i64,
    to_s: i64,
    /// Whether it is or was restricted: its change is then told to those alone who see it.
    restricted: bool,
}

/// Lets the issue's remaining estimate and changelog follow a worklog.
async fn follow<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    issue: &IssueFacts,
    now: Timestamp,
    logged: Logged,
    adjust: Adjust,
) -> Result<(), Problem> {
    let sql = "SELECT remaining_estimate_s FROM jira_issue WHERE id = $1";
    let before_s: Option<i64> = tx.query_one(sql, &[issue.id.0.into()]).await?.get("remaining_estimate_s")?;
    let after_s = adjust.applied(before_s, logged.to_s.saturating_sub(logged.from_s));
    let sql = "UPDATE jira_issue SET remaining_estimate_s = $2, updated_at_ms = $3 WHERE id = $1";
    tx.execute(sql, &[issue.id.0.into(), after_s.into(), now.0.into()]).await?;

    let sql = "SELECT CAST(COALESCE(SUM(time_spent_s), 0) AS BIGINT) AS others_s FROM jira_worklog
                WHERE issue_id = $1 AND id <> $2 AND restriction_type IS NULL";
    let others_s: i64 = tx.query_one(sql, &[issue.id.0.into(), logged.worklog.into()]).await?.get("others_s")?;
    let total = |seconds: i64| Some(others_s.saturating_add(seconds)).filter(|seconds| *seconds > 0);
    let mut items = Vec::new();
    items.extend(changed("timeestimate", before_s, after_s));
    items.extend(changed("timespent", total(logged.from_s), total(logged.to_s)));
    if logged.restricted && !items.is_empty() {
        let id = Some(logged.worklog.to_string());
        items.push(ChangeItem::system("WorklogId", "WorklogId").from(id.clone(), id));
    }
    history::record(tx, issue.id, view.caller().user(), now, &items).await?;
    Ok(())
}

fn changed(field: &str, from_s: Option<i64>, to_s: Option<i64>) -> Option<ChangeItem> {
    let text = |seconds: Option<i64>| seconds.map(|seconds| seconds.to_string());
    let item = ChangeItem::system(field, field).from(text(from_s), text(from_s)).to(text(to_s), text(to_s));
    (from_s != to_s).then_some(item)
}

/// Logs work by the caller on an issue that it may work on, and says the worklog's id. That it may is for the caller of this
/// function to know: the row of `addWorklog` asks for WORK_ON_ISSUES, an edit or a transition has to ask itself.
///
/// # Errors
/// 400 for a restriction that the caller is not inside, or too many worklogs.
pub(crate) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    issue: &IssueFacts,
    now: Timestamp,
    new: NewWorklog,
    adjust: Adjust,
) -> Result<i64, Problem> {
    let sql = "SELECT COUNT(*) AS total FROM jira_worklog WHERE issue_id = $1";
    let total: i64 = tx.query_one(sql, &[issue.id.0.into()]).await?.get("total")?;
    if total >= PER_ISSUE_MAX {
        return Err(Problem::field("worklog", format!("An issue can have at most {PER_ISSUE_MAX} worklogs.")));
    }
    let time_spent_s = new.time_spent_s.unwrap_or(0);
    let restriction = new.visibility.admit(tx, view, issue.project, Restriction::None).await?;
    let author = view.caller().user().map(|user| user.0);
    let comment = match new.comment {
        Comment::Unsaid | Comment::Cleared => None,
        Comment::Text(document) => Some(document.into_json().to_string()),
    };
    let [kind, group, role] = columns(restriction);
    let sql =
        "INSERT INTO jira_worklog (issue_id, author_id, update_author_id, comment, restriction_type, group_id, role_id,
                                         started_at_ms, time_spent_s, created_at_ms, updated_at_ms)
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $9) RETURNING id";
    let started_at_ms = new.started_at_ms.unwrap_or(now.0);
    let values = [
        issue.id.0.into(),
        author.into(),
        comment.into(),
        kind,
        group,
        role,
        started_at_ms.into(),
        time_spent_s.into(),
        now.0.into(),
    ];
    let id: i64 = tx.query_one(sql, &values).await?.get("id")?;
    store_properties(tx, "worklog", id, &new.properties).await?;
    let restricted = restriction != Restriction::None;
    let logged = Logged { worklog: id, from_s: 0, to_s: time_spent_s, restricted };
    follow(tx, view, issue, now, logged, adjust).await?;
    Ok(id)
}

fn summary(worklog: &Worklog) -> Json {
    json!({
        "issue": worklog.issue,
        "timeSpentSeconds": worklog.time_spent_s,
        "started": wire::moment(worklog.started_at_ms),
        "visibleTo": word(worklog.restriction),
    })
}

/// `POST /issue/{issueIdOrKey}/worklog`.
pub async fn add(mut cx: Ctx<op::AddWorklog>, input: Input) -> Outcome<op::AddWorklog> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let now = cx.now();
    let adjust = Adjust::of_query(&input, Manual::Reduce)?;
    let new = NewWorklog::parse(&input, &input.parse::<Json>()?)?;
    let mark = event::mark(&mut cx, issue.id).await?;
    let id = insert(cx.tx(), &view, &issue, now, new, adjust).await?;
    event::updated(&mut cx, issue.id, mark, "issue_work_logged").await?;
    let worklog = one(cx.tx(), id).await?.ok_or_else(|| Problem::bug("a worklog is gone that was just added"))?;
    cx.audit(format!("worklog:{id}"), None, Some(summary(&worklog)));
    let json = shown(cx.tx(), &view, &input, worklog).await?;
    cx.done(Reply::created(json))
}

/// `PUT /issue/{issueIdOrKey}/worklog/{id}`: what the body leaves out stays.
pub async fn update(mut cx: Ctx<op::UpdateWorklog>, input: Input) -> Outcome<op::UpdateWorklog> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let id = cx.target().thing()?;
    let now = cx.now();
    let adjust = Adjust::of_query(&input, Manual::No)?;
    let change = NewWorklog::parse_change(&input, &input.parse::<Json>()?)?;
    let old = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let restriction = change.visibility.admit(cx.tx(), &view, issue.project, old.restriction).await?;
    let mark = event::mark(&mut cx, issue.id).await?;
    let time_spent_s = change.time_spent_s.unwrap_or(old.time_spent_s);
    let comment = match change.comment {
        Comment::Unsaid => old.comment.clone(),
        Comment::Cleared => None,
        Comment::Text(document) => Some(document.into_json().to_string()),
    };
    let editor = view.caller().user().map(|user| user.0);
    let [kind, group, role] = columns(restriction);
    let sql = "UPDATE jira_worklog SET update_author_id = $2, comment = $3, restriction_type = $4, group_id = $5, role_id = $6,
                      started_at_ms = $7, time_spent_s = $8, updated_at_ms = $9
                WHERE id = $1";
    let values = [
        id.into(),
        editor.into(),
        comment.into(),
        kind,
        group,
        role,
        change.started_at_ms.unwrap_or(old.started_at_ms).into(),
        time_spent_s.into(),
        now.0.max(old.updated_at_ms.saturating_add(1)).into(),
    ];
    cx.tx().execute(sql, &values).await?;
    store_properties(cx.tx(), "worklog", id, &change.properties).await?;
    let restricted = [old.restriction, restriction].iter().any(|found| *found != Restriction::None);
    let logged = Logged { worklog: id, from_s: old.time_spent_s, to_s: time_spent_s, restricted };
    follow(cx.tx(), &view, &issue, now, logged, adjust).await?;
    event::updated(&mut cx, issue.id, mark, "issue_worklog_updated").await?;
    event::worklog(&mut cx, "worklog_updated", issue.id, id).await?;
    let new = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    cx.audit(format!("worklog:{id}"), Some(summary(&old)), Some(summary(&new)));
    let json = shown(cx.tx(), &view, &input, new).await?;
    cx.done(Reply::json(json))
}

/// `DELETE /issue/{issueIdOrKey}/worklog/{id}`.
pub async fn delete(mut cx: Ctx<op::DeleteWorklog>, input: Input) -> Outcome<op::DeleteWorklog> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let id = cx.target().thing()?;
    let now = cx.now();
    let adjust = Adjust::of_query(&input, Manual::Increase)?;
    let old = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let mark = event::mark(&mut cx, issue.id).await?;
    event::worklog(&mut cx, "worklog_deleted", issue.id, id).await?;
    remove_properties(cx.tx(), "worklog", id).await?;
    cx.tx().execute("DELETE FROM jira_worklog WHERE id = $1", &[id.into()]).await?;
    let sql = "INSERT INTO jira_deleted_worklog (worklog_id, deleted_at_ms) VALUES ($1, $2)";
    cx.tx().execute(sql, &[id.into(), now.0.into()]).await?;
    let restricted = old.restriction != Restriction::None;
    let logged = Logged { worklog: id, from_s: old.time_spent_s, to_s: 0, restricted };
    follow(cx.tx(), &view, &issue, now, logged, adjust).await?;
    event::updated(&mut cx, issue.id, mark, "issue_worklog_deleted").await?;
    cx.audit(format!("worklog:{id}"), Some(summary(&old)), None);
    cx.done(Reply::no_content())
}
