//! Creating issues: `POST issue` and `POST issue/bulk`; and the plain insertion that the demo's data uses too.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, View, Writes};
use portcullis_model::{IssueId, LevelId, Problem, ProblemKind, ProjectId, ProjectPermission, Timestamp, UserId};
use serde_json::{Map, Value as Json, json};

use super::content::{self, Content};
use super::edit::add_rest;
use super::fields::{self, Desk, PARENT_REQUIRED, SUMMARY_REQUIRED, Stage, Wanted, Wrong, invalid_payload, word};
use super::{facts, transition};
use crate::comment::{Property, store_properties};
use crate::{event, refs};

/// Issues in one bulk creation, as Jira has it.
const BULK_MAX: usize = 50;

/// An issue to be inserted.
#[derive(Clone, Debug)]
pub struct NewIssue {
    /// What it holds. Without a status it starts where new issues start, without a priority it gets the site's usual one.
    pub content: Content,
    /// Who creates it; nobody when anonymous.
    pub creator: Option<UserId>,
}

/// Inserts an issue under the next number of its project and says its id and key. Asks nobody's permission.
///
/// # Errors
/// The database's.
pub async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    new: &NewIssue,
    now: Timestamp,
) -> Result<(IssueId, String), StoreError> {
    let mut content = new.content.clone();
    if content.status.is_none() {
        content.status = Some(initial_status(tx).await?);
    }
    if content.priority.is_none() {
        content.priority = usual_priority(tx).await?;
    }
    if content.resolution.is_none() && is_done(tx, content.status).await? {
        content.resolution = usual_resolution(tx).await?;
    }
    let sql = "UPDATE jira_project SET next_issue_number = next_issue_number + 1 WHERE id = $1
            RETURNING next_issue_number - 1 AS number, key";
    let row = tx.query_one(sql, &[content.project.0.into()]).await?;
    let (number, key): (i64, String) = (row.get("number")?, row.get("key")?);
    let issue = content::insert_row(tx, &content, number, new.creator, now).await?;
    Ok((issue, format!("{key}-{number}")))
}

/// Where new issues start: the first status that is not begun.
async fn initial_status<M: AnyMode>(tx: &mut Tx<M>) -> Result<i64, StoreError> {
    let sql = "SELECT id FROM jira_status ORDER BY CASE category WHEN 'new' THEN 0 ELSE 1 END, id LIMIT 1";
    tx.query_one(sql, &[]).await?.get("id")
}

/// The priority of an issue that names none: Medium, or the middle one.
pub(crate) async fn usual_priority<M: AnyMode>(tx: &mut Tx<M>) -> Result<Option<i64>, StoreError> {
    let all = crate::refs::priorities(tx).await?;
    let medium = all.iter().find(|priority| priority.name == "Medium");
    Ok(medium.or_else(|| all.get(all.len() / 2)).map(|priority| priority.id))
}

/// The resolution of an issue that ends without one: Done, or the first.
pub(crate) async fn usual_resolution<M: AnyMode>(tx: &mut Tx<M>) -> Result<Option<i64>, StoreError> {
    let all = crate::refs::resolutions(tx).await?;
    let done = all.iter().find(|resolution| resolution.name == "Done");
    Ok(done.or_else(|| all.first()).map(|resolution| resolution.id))
}

/// Whether issues in the status are finished.
pub(crate) async fn is_done<M: AnyMode>(tx: &mut Tx<M>, status: Option<i64>) -> Result<bool, StoreError> {
    let sql = "SELECT category FROM jira_status WHERE id = $1";
    let row = tx.query_opt(sql, &[status.into()]).await?;
    Ok(row.map(|row| row.get::<String>("category")).transpose()?.as_deref() == Some("done"))
}

/// An issue that a request describes and that may be created; nothing is written yet.
struct Prepared {
    wanted: Wanted,
    properties: Vec<Property>,
    transitions: bool,
}

/// Reads what a request wants to create in a project in which the caller may create.
async fn prepare<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    project: ProjectId,
    body: &Json,
) -> Result<Prepared, Problem> {
    if !body.is_object() {
        return Err(invalid_payload());
    }
    let properties = Property::parse_all(body)?;
    let asked = fields::asked(body)?;
    let mut content = Content::new(project, 0, "");
    content.reporter = view.caller().user();
    let desk = Desk { view, input, project, issue: None, stage: Stage::Create };
    let mut wrong = Wrong::default();
    let mut wanted = match fields::apply(tx, desk, content, asked).await {
        Ok(wanted) => wanted,
        Err(problem) => {
            // What is missing is told together with what is wrong.
            wrong.add(problem)?;
            for (field, words) in missing(body) {
                wrong.add(Problem::field(field, words))?;
            }
            wrong.settle()?;
            return Err(Problem::bug("a problem without words"));
        }
    };
    for (field, words) in missing(body) {
        wrong.add(Problem::field(field, words))?;
    }
    let types = refs::issue_types(tx).await?;
    let is_subtask = types.iter().any(|found| found.id == wanted.content.issue_type && found.is_subtask());
    if is_subtask && wanted.content.parent.is_none() {
        wrong.add(Problem::field("parent", PARENT_REQUIRED))?;
    }
    wrong.settle()?;
    if !is_subtask && !wanted.names("security") {
        wanted.content.security = default_level(tx, project).await?;
    }
    if !wanted.names("assignee") {
        wanted.content.assignee = fields::automatic_assignee(tx, view, project).await?;
    }
    let transitions = body.get("transition").is_some_and(|transition| !transition.is_null());
    if transitions {
        let start = initial_status(tx).await?;
        let step = transition::named(tx, body, start).await?;
        if !view.may(ProjectPermission::TransitionIssues, project, None) {
            return Err(Problem::invalid("You do not have permission to transition issues in this project."));
        }
        transition::enter(tx, &mut wanted.content, &step, false).await?;
    }
    Ok(Prepared { wanted, properties, transitions })
}

/// What every issue needs and the request does not have, in Jira's words.
fn missing(body: &Json) -> Vec<(&'static str, &'static str)> {
    let has = |field: &str| {
        ["fields", "update"].iter().any(|member| body.get(member).and_then(|member| member.get(field)).is_some())
    };
    let mut out = Vec::new();
    if !has("summary") {
        out.push(("summary", SUMMARY_REQUIRED));
    }
    if !has("issuetype") {
        out.push(("issuetype", "Specify an issue type"));
    }
    out
}

/// The security level of new issues of the project.
async fn default_level<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId) -> Result<Option<LevelId>, StoreError> {
    let sql = "SELECT s.default_level_id FROM jira_project p JOIN jira_security_scheme s ON s.id = p.security_scheme_id
                WHERE p.id = $1";
    let row = tx.query_opt(sql, &[project.0.into()]).await?;
    let level = row.map(|row| row.get::<Option<i64>>("default_level_id")).transpose()?.flatten();
    Ok(level.map(LevelId))
}

/// Writes a prepared issue and says its id and answer.
async fn write<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    prepared: Prepared,
    now: Timestamp,
) -> Result<(IssueId, Json), Problem> {
    let Prepared { wanted, properties, transitions } = prepared;
    let creator = view.caller().user();
    let new = NewIssue { content: wanted.content.clone(), creator };
    let (issue, key) = insert(tx, &new, now).await?;
    if let Some(creator) = creator {
        // Whoever creates an issue watches it, as in Jira.
        let sql = "INSERT INTO jira_watcher (issue_id, user_id) VALUES ($1, $2)";
        tx.execute(sql, &[issue.0.into(), creator.0.into()]).await?;
    }
    store_properties(tx, "issue", issue.0, &properties).await?;
    let as_engine = facts::load(tx, view, &[issue.0]).await?.remove(&issue.0);
    let as_engine = as_engine.ok_or_else(|| Problem::bug("an issue is gone that was just created"))?;
    add_rest(tx, view, &as_engine, now, wanted).await?;
    let mut out = Map::new();
    out.insert("id".into(), issue.to_string().into());
    out.insert("key".into(), key.into());
    out.insert("self".into(), input.api_url(&format!("/issue/{issue}")).into());
    if transitions {
        out.insert("transition".into(), json!({"status": 204, "errorCollection": {"errorMessages": [], "errors": {}}}));
    }
    Ok((issue, Json::Object(out)))
}

/// `POST issue`.
pub async fn create(mut cx: Ctx<op::CreateIssue>, input: Input) -> Outcome<op::CreateIssue> {
    let view = cx.view().clone();
    let project = cx.target().project()?;
    let now = cx.now();
    let body: Json = input.parse()?;
    let prepared = prepare(cx.tx(), &view, &input, project, &body).await?;
    let (issue, json) = write(cx.tx(), &view, &input, prepared, now).await?;
    event::created(&mut cx, issue).await?;
    cx.audit(format!("issue:{issue}"), None, Some(json!({"project": project.0, "key": json.get("key")})));
    cx.done(Reply::created(json))
}

/// `POST issue/bulk`: each item succeeds or fails alone; all failing is a 400.
pub async fn create_all(mut cx: Ctx<op::CreateIssues>, input: Input) -> Outcome<op::CreateIssues> {
    let view = cx.view().clone();
    let now = cx.now();
    let body: Json = input.parse()?;
    let updates = body.get("issueUpdates").and_then(Json::as_array).ok_or_else(invalid_payload)?;
    if updates.is_empty() || updates.len() > BULK_MAX {
        return Err(Problem::invalid(format!("Between 1 and {BULK_MAX} issues can be created at once.")));
    }
    let (mut issues, mut errors, mut created) = (Vec::new(), Vec::new(), Vec::new());
    for (position, update) in updates.iter().enumerate() {
        match prepare_item(cx.tx(), &view, &input, update).await {
            // Nothing is written before all of an item is known to be good, except that a comment, worklog or its restriction may
            // still refuse: then the whole request fails.
            Ok(prepared) => {
                let (issue, json) = write(cx.tx(), &view, &input, prepared, now).await?;
                event::created(&mut cx, issue).await?;
                created.push(issue.0);
                issues.push(json);
            }
            Err(problem) => errors.push(failed(position, problem)?),
        }
    }
    if issues.is_empty() {
        let reply = json!({"issues": issues, "errors": errors});
        return cx.done(Reply::json(reply).with_status(400));
    }
    cx.audit("issues", None, Some(json!({"created": created})));
    cx.done(Reply::created(json!({"issues": issues, "errors": errors})))
}

/// One item of a bulk creation, under the permissions of its own project.
async fn prepare_item<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    update: &Json,
) -> Result<Prepared, Problem> {
    let unknown = || Problem::field("project", "Specify a valid project ID or key");
    let given = update.pointer("/fields/project").ok_or_else(unknown)?;
    let project = match (word(given, "id"), word(given, "key")) {
        (Some(id), _) => id.parse().ok().map(ProjectId),
        (None, Some(key)) => view.with(|snapshot| snapshot.project_by_key(&key)),
        (None, None) => None,
    };
    let may = |project: ProjectId| {
        view.may(ProjectPermission::BrowseProjects, project, None)
            && view.may(ProjectPermission::CreateIssues, project, None)
    };
    let project = project.filter(|project| may(*project)).ok_or_else(unknown)?;
    prepare(tx, view, input, project, update).await
}

/// `{status, elementErrors, failedElementNumber}`; what is no complaint about the item ends the request.
fn failed(position: usize, problem: Problem) -> Result<Json, Problem> {
    if problem.kind != ProblemKind::Invalid {
        return Err(problem);
    }
    let errors: Map<String, Json> = problem.fields.into_iter().map(|(field, words)| (field, words.into())).collect();
    Ok(json!({
        "status": 400,
        "elementErrors": {"errorMessages": problem.messages, "errors": errors, "status": 400},
        "failedElementNumber": position,
    }))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(create);
    handlers.on(create_all);
}
