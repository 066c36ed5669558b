//! Editing an issue: `PUT issue/{issueIdOrKey}`, and carrying out what an edit or a transition wants.

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, Tx, View, Writes};
use portcullis_model::{GlobalPermission, Problem, ProjectPermission, Timestamp};
use serde_json::{Value as Json, json};

use super::content::{self, Author, Content};
use super::facts;
use super::fields::{self, Desk, Stage, Wanted, cannot_be_set, invalid_payload, word};
use super::read::{self, Base, FieldSelection};
use crate::comment::{self, Property, store_properties};
use crate::event;
use crate::issue_link;
use crate::worklog::{self, Adjust};

/// An issue about to change.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub issue: &'a IssueFacts,
    pub before: &'a Content,
    pub now: Timestamp,
}

/// Saves what is wanted: the content with its changelog, then comments, worklogs, links and properties.
///
/// # Errors
/// 400 for what those refuse; the database's.
pub(crate) async fn carry_out<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    change: Change<'_>,
    wanted: Wanted,
    body: &Json,
) -> Result<(), Problem> {
    let properties = Property::parse_all(body)?;
    let author = Author { user: view.caller().user(), now: change.now };
    content::save(tx, change.issue.id, author, change.before, &wanted.content, Vec::new()).await?;
    add_rest(tx, view, change.issue, change.now, wanted).await?;
    store_properties(tx, "issue", change.issue.id.0, &properties).await?;
    Ok(())
}

/// Adds what is stored beside an issue's own content.
pub(crate) async fn add_rest<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    issue: &IssueFacts,
    now: Timestamp,
    wanted: Wanted,
) -> Result<(), Problem> {
    for link in &wanted.links {
        let (source, destination) = if link.outward { (issue, &link.other) } else { (&link.other, issue) };
        issue_link::link(tx, view.caller().user(), now, &link.link_type, source, destination).await?;
    }
    for new in wanted.comments {
        comment::insert(tx, view, issue, now, new).await?;
    }
    for new in wanted.worklogs {
        worklog::insert(tx, view, issue, now, new, Adjust::Auto).await?;
    }
    Ok(())
}

/// `PUT issue/{issueIdOrKey}`.
pub async fn update(mut cx: Ctx<op::EditIssue>, input: Input) -> Outcome<op::EditIssue> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let now = cx.now();
    let body: Json = input.parse()?;
    let return_issue = input.query_bool("returnIssue")?.unwrap_or(false);
    check_flags(&view, &input, &issue)?;
    if !body.is_object() {
        return Err(invalid_payload());
    }
    let has = |member: &str| body.get(member).is_some_and(|value| !value.is_null());
    if !["fields", "update", "properties", "historyMetadata"].into_iter().any(has) {
        return Err(Problem::invalid("one of 'fields' or 'update' required"));
    }
    keeps_project(&view, &issue, &body)?;
    let before = Content::load(cx.tx(), issue.id).await?;
    let desk = Desk { view: &view, input: &input, project: issue.project, issue: Some(&issue), stage: Stage::Edit };
    let asked = fields::asked(&without_project(&body))?;
    let wanted = fields::apply(cx.tx(), desk, before.clone(), asked).await?;
    let named = wanted.named.clone();
    let rights = (rights_json(&before), rights_json(&wanted.content));
    let change = Change { issue: &issue, before: &before, now };
    let mark = event::mark(&mut cx, issue.id).await?;
    carry_out(cx.tx(), &view, change, wanted, &body).await?;
    let only_assignee = named.iter().all(|field| field == "assignee") && !named.is_empty();
    event::updated(&mut cx, issue.id, mark, if only_assignee { "issue_assigned" } else { "issue_updated" }).await?;
    // What an edit says stays out of the log; who may see the issue because of it does not.
    let changes_rights = rights.0 != rights.1;
    cx.audit(
        format!("issue:{}", issue.id),
        changes_rights.then(|| json!({"rights": rights.0})),
        Some(if changes_rights { json!({"fields": named, "rights": rights.1}) } else { json!({"fields": named}) }),
    );
    if !return_issue {
        return cx.done(Reply::no_content());
    }
    // An edit can take the issue out of its editor's sight.
    let after = facts::load(cx.tx(), &view, &[issue.id.0]).await?.remove(&issue.id.0);
    if !after.is_some_and(|after| facts::sees(&view, &after)) {
        return cx.done(Reply::no_content());
    }
    let select = FieldSelection::parse(&[], Base::All).with_key();
    let json = read::shown(cx.tx(), &view, &input, issue.id, &select).await?;
    cx.done(Reply::json(json))
}

/// What of an issue decides who may see it, for the audit log.
pub(crate) fn rights_json(content: &Content) -> Json {
    let pickers = content.custom.iter().filter_map(|(field, values)| {
        let holders: Vec<Json> = values
            .iter()
            .filter_map(|value| match (value.user, value.group) {
                (Some(user), _) => Some(json!({"user": user.0})),
                (None, Some(group)) => Some(json!({"group": group.0})),
                (None, None) => None,
            })
            .collect();
        (!holders.is_empty()).then(|| (format!("customfield_{field}"), Json::Array(holders)))
    });
    json!({
        "security": content.security.map(|level| level.0),
        "reporter": content.reporter.map(|user| user.0),
        "assignee": content.assignee.map(|user| user.0),
        "pickers": pickers.collect::<serde_json::Map<_, _>>(),
    })
}

/// Flags that ask for more than the right to edit.
fn check_flags(view: &View, input: &Input, issue: &IssueFacts) -> Result<(), Problem> {
    let administers = view.may_global(GlobalPermission::Administer);
    let silent = input.query_bool("notifyUsers")? == Some(false);
    if silent && !administers && !view.may(ProjectPermission::AdministerProjects, issue.project, Some(issue)) {
        return Err(Problem::forbidden(
            "To discard the user notification either admin or project admin permissions are required.",
        ));
    }
    let mut overrides = false;
    for flag in ["overrideScreenSecurity", "overrideEditableFlag"] {
        overrides |= input.query_bool(flag)? == Some(true);
    }
    if overrides && !(administers && view.caller().access().is_app()) {
        return Err(Problem::forbidden(
            "Only apps with the Administer Jira permission can override screens and editability.",
        ));
    }
    Ok(())
}

/// Naming the issue's own project is no change; any other, seen or not, is a move, which an edit does not do.
fn keeps_project(view: &View, issue: &IssueFacts, body: &Json) -> Result<(), Problem> {
    if body.pointer("/update/project").is_some() {
        return Err(cannot_be_set("project"));
    }
    let Some(project) = body.pointer("/fields/project").filter(|project| !project.is_null()) else { return Ok(()) };
    let same = match (word(project, "id"), word(project, "key")) {
        (Some(id), _) => id == issue.project.to_string(),
        (None, Some(key)) => view.with(|snapshot| snapshot.project_by_key(&key)) == Some(issue.project),
        (None, None) => false,
    };
    if same { Ok(()) } else { Err(cannot_be_set("project")) }
}

fn without_project(body: &Json) -> Json {
    let mut body = body.clone();
    if let Some(fields) = body.get_mut("fields").and_then(Json::as_object_mut) {
        fields.remove("project");
    }
    body
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(update);
}
