//! Transitions: which there are from an issue's status, and taking one.

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectPermission};
use serde_json::{Map, Value as Json, json};

use super::content::Content;
use super::create::{is_done, usual_resolution};
use super::edit::{Change, carry_out, rights_json};
use super::fields::{self, Desk, Stage, cannot_be_set, word};
use super::meta;
use crate::event;
use crate::refs::{Refs, StatusCategory};
use crate::wire;

/// A step of the workflow.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    id: i64,
    name: String,
    /// `None`: from every status.
    from: Option<i64>,
    to: i64,
}

impl Transition {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            from: row.get("from_status_id")?,
            to: row.get("to_status_id")?,
        })
    }
}

/// The steps that lead out of a status.
async fn from_status<M: AnyMode>(tx: &mut Tx<M>, status: i64) -> Result<Vec<Transition>, StoreError> {
    let sql = "SELECT id, name, from_status_id, to_status_id FROM jira_transition
                WHERE from_status_id IS NULL OR from_status_id = $1 ORDER BY id";
    tx.query(sql, &[status.into()]).await?.iter().map(Transition::of).collect()
}

/// The transitions that the caller may take from `status`; none without TRANSITION_ISSUES.
///
/// # Errors
/// The database's.
pub(crate) async fn list_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issue: &IssueFacts,
    status: i64,
    with_fields: bool,
) -> Result<Vec<Json>, StoreError> {
    if !view.may(ProjectPermission::TransitionIssues, issue.project, Some(issue)) {
        return Ok(Vec::new());
    }
    let resolves = view.may(ProjectPermission::ResolveIssues, issue.project, Some(issue));
    let refs = Refs::load(tx).await?;
    let shown = from_status(tx, status).await?.into_iter().map(|step| {
        let mut out = json!({
            "id": step.id.to_string(),
            "name": step.name,
            "to": refs.status(step.to, input),
            "hasScreen": false,
            "isGlobal": step.from.is_none(),
            "isInitial": false,
            "isAvailable": true,
            "isConditional": false,
            "looped": step.to == status,
        });
        if with_fields {
            let ends = refs.find_status(step.to).is_some_and(|found| found.category == StatusCategory::Done);
            let mut fields = Map::new();
            if let Some(field) = meta::resolution_field(&refs, input).filter(|_| ends && resolves) {
                fields.insert("resolution".into(), field);
            }
            if let Some(object) = out.as_object_mut() {
                object.insert("fields".into(), Json::Object(fields));
            }
        }
        out
    });
    Ok(shown.collect())
}

/// `GET issue/{issueIdOrKey}/transitions`.
pub async fn list(mut cx: Ctx<op::GetTransitions>, input: Input) -> Outcome<op::GetTransitions> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let with_fields = wire::expands(&input, "transitions.fields");
    let sql = "SELECT status_id FROM jira_issue WHERE id = $1";
    let status: i64 = cx.tx().query_one(sql, &[issue.id.0.into()]).await?.get("status_id")?;
    let mut transitions = list_json(cx.tx(), &view, &input, &issue, status, with_fields).await?;
    if let Some(wanted) = input.query("transitionId").filter(|id| !id.is_empty()) {
        transitions.retain(|transition| transition.get("id").and_then(Json::as_str) == Some(wanted));
    }
    cx.done(Reply::json(json!({"expand": "transitions", "transitions": transitions})))
}

/// The transition that a body names, out of `status`. Its id comes as text or as a number.
///
/// # Errors
/// 400 in Jira's words.
pub(crate) async fn named<M: AnyMode>(tx: &mut Tx<M>, body: &Json, status: i64) -> Result<Transition, Problem> {
    let given = body.get("transition").unwrap_or(&Json::Null);
    let id = word(given, "id").or_else(|| given.as_str().map(str::to_owned));
    let id = id.ok_or_else(|| Problem::invalid("Missing 'transition' identifier"))?;
    let found = from_status(tx, status).await?.into_iter().find(|step| step.id.to_string() == id);
    found.ok_or_else(|| Problem::invalid(format!("Transition id '{id}' is not valid for this issue.")))
}

/// Puts the issue into the status the step leads to. A status that ends an issue sets its resolution, any other clears it.
///
/// # Errors
/// 400 for a resolution on a step that does not end the issue.
pub(crate) async fn enter<M: AnyMode>(
    tx: &mut Tx<M>,
    content: &mut Content,
    step: &Transition,
    resolution_given: bool,
) -> Result<(), Problem> {
    content.status = Some(step.to);
    if is_done(tx, content.status).await? {
        if content.resolution.is_none() {
            content.resolution = usual_resolution(tx).await?;
        }
    } else if resolution_given && content.resolution.is_some() {
        return Err(cannot_be_set("resolution"));
    } else {
        content.resolution = None;
    }
    Ok(())
}

/// `POST issue/{issueIdOrKey}/transitions`.
pub async fn take(mut cx: Ctx<op::DoTransition>, input: Input) -> Outcome<op::DoTransition> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let now = cx.now();
    let body: Json = input.parse()?;
    // Setting a property is an edit; the row asks for the right to transition alone.
    let sets_properties =
        body.get("properties").and_then(Json::as_array).is_some_and(|properties| !properties.is_empty());
    if sets_properties && !view.may(ProjectPermission::EditIssues, issue.project, Some(&issue)) {
        return Err(Problem::field("properties", "You do not have permission to set properties of this issue."));
    }
    let before = Content::load(cx.tx(), issue.id).await?;
    let step = named(cx.tx(), &body, before.status.unwrap_or(0)).await?;
    let desk =
        Desk { view: &view, input: &input, project: issue.project, issue: Some(&issue), stage: Stage::Transition };
    let mut wanted = fields::apply(cx.tx(), desk, before.clone(), fields::asked(&body)?).await?;
    let resolution_given = wanted.names("resolution");
    enter(cx.tx(), &mut wanted.content, &step, resolution_given).await?;
    let change = Change { issue: &issue, before: &before, now };
    let rights = (rights_json(&before), rights_json(&wanted.content));
    let mark = event::mark(&mut cx, issue.id).await?;
    carry_out(cx.tx(), &view, change, wanted, &body).await?;
    event::updated(&mut cx, issue.id, mark, "issue_generic").await?;
    let (mut was, mut is) = (json!({"status": before.status}), json!({"status": step.to, "transition": step.id}));
    if rights.0 != rights.1 {
        (was["rights"], is["rights"]) = rights;
    }
    cx.audit(format!("issue:{}", issue.id), Some(was), Some(is));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(take);
}
