//! Telling apps what happened: webhooks, filled in inside the transaction of the change that they tell of.
//!
//! Each listener has the view of an account, and gets what that account would be shown at this moment: nothing of an issue, a comment
//! or a changelog item that it does not see. Nobody listening costs a look into memory.
//!
//! Bodies are written as by version 2 of the API, with rich text as wiki markup, as the vendor's webhooks are; for Forge apps as by version 3.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::Operation;
use portcullis_authz::decide::{Restriction, sees_restricted};
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{About, AnyMode, ApiVersion, Body, Ctx, Input, Listener, OpMode, StoreError, Tx, View};
use portcullis_model::{IssueId, Problem, ProjectId, ProjectPermission, UserId};
use serde_json::{Map, Value as Json, json};

use crate::issue::read::{Base, Expand, FieldSelection, issues_json};
use crate::issue::{facts, history};
use crate::search::asker::Asker;
use crate::search::evaluate::{NotCompiled, compile_forgiving};
use crate::{attachment, comment, jql, project, wire, worklog};

const ISSUE_UPDATED: &str = "jira:issue_updated";

/// Fields of an issue that comes along with something else.
const SHORT: [&str; 6] = ["summary", "issuetype", "project", "assignee", "priority", "status"];

/// How far an issue's history, comments and worklogs went before a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    change: i64,
    comment: i64,
    worklog: i64,
    link: i64,
}

impl Mark {
    /// The same after a link that is told of elsewhere.
    pub(crate) fn after_link(self, link: i64) -> Self {
        Self { link, ..self }
    }
}

/// Remembers where an issue stands, so that [`updated`] can tell what is new; `None` when nobody would be told.
pub(crate) async fn mark<O>(cx: &mut Ctx<O>, issue: IssueId) -> Result<Option<Mark>, Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let events = [ISSUE_UPDATED, "comment_created", "worklog_created", "issuelink_created"];
    if events.iter().all(|event| cx.view().listeners(event).is_empty()) {
        return Ok(None);
    }
    let sql = "SELECT coalesce((SELECT max(id) FROM jira_change WHERE issue_id = $1), 0) AS change,
                      coalesce((SELECT max(id) FROM jira_comment WHERE issue_id = $1), 0) AS comment,
                      coalesce((SELECT max(id) FROM jira_worklog WHERE issue_id = $1), 0) AS worklog,
                      coalesce((SELECT max(id) FROM jira_issue_link WHERE source_id = $1 OR destination_id = $1), 0) AS link";
    let row = cx.tx().query_one(sql, &[issue.0.into()]).await?;
    let (change, comment) = (row.get("change")?, row.get("comment")?);
    Ok(Some(Mark { change, comment, worklog: row.get("worklog")?, link: row.get("link")? }))
}

/// Tells that an issue was made.
pub(crate) async fn created<O>(cx: &mut Ctx<O>, issue: IssueId) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    about_issue(cx, "jira:issue_created", issue, What::Issue { type_name: "issue_created", since: None, comment: None })
        .await
}

/// Tells that an issue goes; before its rows do.
pub(crate) async fn deleted<O>(cx: &mut Ctx<O>, issue: IssueId) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    about_issue(cx, "jira:issue_deleted", issue, What::Issue { type_name: "issue_deleted", since: None, comment: None })
        .await
}

/// Tells what became of an issue since the mark: its update, new comments, worklogs and links.
pub(crate) async fn updated<O>(
    cx: &mut Ctx<O>,
    issue: IssueId,
    mark: Option<Mark>,
    type_name: &'static str,
) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let Some(mark) = mark else { return Ok(()) };
    let comments =
        newer(cx.tx(), "SELECT id FROM jira_comment WHERE issue_id = $1 AND id > $2 ORDER BY id", issue, mark.comment)
            .await?;
    let worklogs =
        newer(cx.tx(), "SELECT id FROM jira_worklog WHERE issue_id = $1 AND id > $2 ORDER BY id", issue, mark.worklog)
            .await?;
    let links = newer(
        cx.tx(),
        "SELECT id FROM jira_issue_link WHERE (source_id = $1 OR destination_id = $1) AND id > $2 ORDER BY id",
        issue,
        mark.link,
    )
    .await?;
    let what = What::Issue { type_name, since: Some(mark.change), comment: comments.last().copied() };
    about_issue(cx, ISSUE_UPDATED, issue, what).await?;
    for id in comments {
        about_issue(cx, "comment_created", issue, What::Comment(id)).await?;
    }
    for id in worklogs {
        about_issue(cx, "worklog_created", issue, What::Worklog(id)).await?;
    }
    for id in links {
        link(cx, "issuelink_created", id).await?;
    }
    Ok(())
}

async fn newer<M: AnyMode>(
    tx: &mut Tx<M>,
    sql: &'static str,
    issue: IssueId,
    than: i64,
) -> Result<Vec<i64>, StoreError> {
    tx.query(sql, &[issue.0.into(), than.into()]).await?.iter().map(|row| row.get("id")).collect()
}

/// Tells that a comment was changed, or goes (then before its row does).
pub(crate) async fn comment<O>(
    cx: &mut Ctx<O>,
    event: &'static str,
    type_name: &'static str,
    issue: IssueId,
    id: i64,
) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let what = What::Issue { type_name, since: Some(i64::MAX), comment: Some(id) };
    about_issue(cx, ISSUE_UPDATED, issue, what).await?;
    about_issue(cx, event, issue, What::Comment(id)).await
}

/// Tells that a worklog was changed, or goes (then before its row does).
pub(crate) async fn worklog<O>(cx: &mut Ctx<O>, event: &'static str, issue: IssueId, id: i64) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    about_issue(cx, event, issue, What::Worklog(id)).await
}

/// Tells that a file was attached, or goes (then before its row does).
pub(crate) async fn attachment<O>(cx: &mut Ctx<O>, event: &'static str, issue: IssueId, id: i64) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    about_issue(cx, event, issue, What::Attachment(id)).await
}

/// Tells that a property of an issue was set or removed.
pub(crate) async fn issue_property<O>(
    cx: &mut Ctx<O>,
    event: &'static str,
    issue: IssueId,
    key: &str,
    value: Option<&Json>,
) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    about_issue(cx, event, issue, What::Property { key, value }).await
}

/// Tells that two issues were linked, or that their link goes (then before its row does), to those who see both.
pub(crate) async fn link<O>(cx: &mut Ctx<O>, event: &'static str, id: i64) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    if cx.view().listeners(event).is_empty() {
        return Ok(());
    }
    let sql = "SELECT l.source_id, l.destination_id, t.id, t.name, t.outward, t.inward
                 FROM jira_issue_link l JOIN jira_link_type t ON t.id = l.type_id WHERE l.id = $1";
    let Some(row) = cx.tx().query_opt(sql, &[id.into()]).await? else { return Ok(()) };
    let (source, destination): (i64, i64) = (row.get("source_id")?, row.get("destination_id")?);
    let json = json!({
        "id": id,
        "sourceIssueId": source,
        "destinationIssueId": destination,
        "issueLinkType": {
            "id": row.get::<i64>("id")?,
            "name": row.get::<String>("name")?,
            "outwardName": row.get::<String>("outward")?,
            "inwardName": row.get::<String>("inward")?,
        },
    });
    about_issue(cx, event, IssueId(source), What::Link { json: &json, other: destination }).await
}

/// What a body tells of besides the event's name and time.
#[derive(Clone, Copy)]
enum What<'a> {
    /// The whole issue. `since`: the changelog after this change, without which an update tells nothing; `comment`: one that is new,
    /// changed or gone.
    Issue {
        type_name: &'static str,
        since: Option<i64>,
        comment: Option<i64>,
    },
    Comment(i64),
    Worklog(i64),
    Attachment(i64),
    Property {
        key: &'a str,
        value: Option<&'a Json>,
    },
    Link {
        json: &'a Json,
        other: i64,
    },
}

async fn about_issue<O>(cx: &mut Ctx<O>, event: &'static str, issue: IssueId, what: What<'_>) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let mut listeners = cx.view().listeners(event);
    if let What::Property { key, .. } = what {
        let wants = |keys: &[String]| keys.is_empty() || keys.iter().any(|wanted| wanted == key);
        listeners.retain(|listener| wants(&listener.webhook.property_keys));
    }
    if listeners.is_empty() {
        return Ok(());
    }
    let view = cx.view().clone();
    let Some(issue) = facts::load(cx.tx(), &view, &[issue.0]).await?.remove(&issue.0) else { return Ok(()) };
    let input = plain(&view);
    let as_documents = Input::new(Vec::new(), Vec::new(), Body::Empty, ApiVersion::V3, view.addresses().site.clone());
    let user = match view.caller().user() {
        Some(user) => wire::person(cx.tx(), user).await?,
        None => None,
    };
    let mut told: HashMap<(Option<UserId>, bool, Vec<String>), Option<Parts>> = HashMap::new();
    let mut messages: Vec<Prepared> = Vec::new();
    for listener in listeners {
        if !listener.sees(&issue) || !matches_jql(cx.tx(), &listener, issue.id).await? {
            continue;
        }
        // Who sees with the same account is told the same.
        let is_forge = listener.webhook.trigger.is_some();
        let key = (listener.view.caller().user(), is_forge, listener.webhook.field_ids.clone());
        // Forge apps read rich text as documents, as version 3 of the API writes it.
        let input = if is_forge { &as_documents } else { &input };
        let parts = match told.get(&key) {
            Some(parts) => parts.clone(),
            None => {
                let mut parts = shown(cx.tx(), &listener, input, &issue, what).await?;
                if let (What::Issue { .. }, Some(user), Some(parts)) = (what, &user, &mut parts) {
                    parts.insert("user".into(), user.json(input));
                }
                let parts = parts.map(Arc::new);
                told.insert(key, parts.clone());
                parts
            }
        };
        if let Some(parts) = parts {
            add(&mut messages, listener, parts);
        }
    }
    send(cx, event, About::Issue(issue.id.0), messages)
}

/// The members of a body.
type Parts = Arc<Map<String, Json>>;
/// Who is told what, and the webhooks registered for it.
type Prepared = (Listener, Parts, Vec<i64>);

/// Adds a message; registered webhooks of one app that lead to one address share it.
fn add(messages: &mut Vec<Prepared>, listener: Listener, parts: Parts) {
    let webhook = &listener.webhook;
    let own = if webhook.fixed { Vec::new() } else { vec![webhook.id.0] };
    let same = messages.iter_mut().find(|(other, _, _)| {
        !webhook.fixed
            && !other.webhook.fixed
            && other.webhook.owner == webhook.owner
            && other.webhook.url == webhook.url
            && other.webhook.exclude_body == webhook.exclude_body
    });
    match same {
        Some((_, _, ids)) => ids.extend(own),
        None => messages.push((listener, parts, own)),
    }
}

fn send<O>(cx: &mut Ctx<O>, event: &'static str, about: About, messages: Vec<Prepared>) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let now = cx.now();
    let empty: Arc<str> = "".into();
    // A descriptor can name many webhooks for one event: what they say is written once.
    let mut written: Vec<(Parts, Arc<str>)> = Vec::new();
    for (listener, parts, ids) in messages {
        let names = if listener.webhook.url.contains('{') { names(&parts) } else { Vec::new() };
        let same = written.iter().find(|(other, _)| ids.is_empty() && Arc::ptr_eq(other, &parts));
        let body = match (listener.webhook.exclude_body, same) {
            (true, _) => Arc::clone(&empty),
            (false, Some((_, body))) => Arc::clone(body),
            (false, None) => {
                let mut all = Map::clone(&parts);
                all.insert("timestamp".into(), now.0.into());
                all.insert("webhookEvent".into(), event.into());
                let is_shared = ids.is_empty();
                if !is_shared {
                    all.insert("matchedWebhookIds".into(), ids.into());
                }
                let body: Arc<str> = serde_json::to_string(&all).map_err(Problem::bug)?.into();
                if is_shared {
                    written.push((parts, Arc::clone(&body)));
                }
                body
            }
        };
        cx.tell(&listener, event, about, names, body)?;
    }
    Ok(())
}

/// What may stand in the braces of an address.
const NAMES: [(&str, &str); 10] = [
    ("issue.id", "/issue/id"),
    ("issue.key", "/issue/key"),
    ("project.id", "/issue/fields/project/id"),
    ("project.key", "/issue/fields/project/key"),
    ("project.id", "/project/id"),
    ("project.key", "/project/key"),
    ("comment.id", "/comment/id"),
    ("worklog.id", "/worklog/id"),
    ("version.id", "/version/id"),
    ("property.key", "/property/key"),
];

fn names(parts: &Map<String, Json>) -> Vec<(String, String)> {
    let json = Json::Object(parts.clone());
    let text = |value: &Json| match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let found = NAMES.iter().filter_map(|(name, place)| Some(((*name).to_owned(), text(json.pointer(place)?)?)));
    found.collect()
}

/// The input of a request that asks for nothing in particular.
fn plain(view: &View) -> Input {
    Input::new(Vec::new(), Vec::new(), Body::Empty, ApiVersion::V2, view.addresses().site.clone())
}

/// Whether the issue is among those that the webhook is about. A query that no longer makes sense matches nothing.
async fn matches_jql<M: AnyMode>(tx: &mut Tx<M>, listener: &Listener, issue: IssueId) -> Result<bool, Problem> {
    let text = listener.webhook.jql.trim();
    if text.is_empty() {
        return Ok(true);
    }
    let Ok(query) = jql::parse(text) else { return Ok(false) };
    let asker = Asker::of(tx, &listener.view, listener.view.now()).await?;
    match compile_forgiving(tx, &asker, &query).await {
        Ok(compiled) => Ok(!tx.query(compiled.among(&asker, &[issue.0]), &[]).await?.is_empty()),
        Err(NotCompiled::Said(_)) => Ok(false),
        Err(NotCompiled::Store(error)) => Err(error.into()),
    }
}

/// The parts of a body as one listener may see them; `None` when there is nothing that it may be told.
async fn shown<M: AnyMode>(
    tx: &mut Tx<M>,
    listener: &Listener,
    input: &Input,
    issue: &IssueFacts,
    what: What<'_>,
) -> Result<Option<Map<String, Json>>, Problem> {
    let view = &listener.view;
    let mut parts = Map::new();
    match what {
        What::Issue { type_name, since, comment } => {
            if let Some(id) = comment
                && let Some(json) = shown_comment(tx, view, input, issue.project, id).await?
            {
                parts.insert("comment".into(), json);
            }
            if let Some(since) = since {
                let fields = &listener.webhook.field_ids;
                let changelog = history::after(tx, view, issue.id, since).await?;
                let (items, named) = changelog.map_or((None, Vec::new()), |(json, fields)| (Some(json), fields));
                let matches = fields.is_empty() || named.iter().any(|field| fields.contains(field));
                // A Forge app is told of a comment by an event of its own.
                let tells = items.is_some() || (!parts.is_empty() && listener.webhook.trigger.is_none());
                if !matches || !tells {
                    return Ok(None);
                }
                if let Some(items) = items {
                    parts.insert("changelog".into(), items);
                }
            }
            parts.insert("issue_event_type_name".into(), type_name.into());
            parts.insert("issue".into(), issue_json(tx, view, input, issue, None).await?);
        }
        What::Comment(id) => {
            let Some(json) = shown_comment(tx, view, input, issue.project, id).await? else { return Ok(None) };
            parts.insert("comment".into(), json);
            parts.insert("issue".into(), issue_json(tx, view, input, issue, Some(&SHORT)).await?);
            parts.insert("eventType".into(), "primaryAction".into());
        }
        What::Worklog(id) => {
            let Some((restriction, json)) = worklog::one_json(tx, view, input, id).await? else { return Ok(None) };
            if !unrestricted(view, issue.project, restriction) {
                return Ok(None);
            }
            parts.insert("worklog".into(), json);
        }
        What::Attachment(id) => {
            let Some((restriction, json)) = attachment::one_json(tx, input, id).await? else { return Ok(None) };
            if !unrestricted(view, issue.project, restriction) {
                return Ok(None);
            }
            parts.insert("attachment".into(), json);
        }
        What::Property { key, value } => {
            let property = match value {
                Some(value) => json!({"key": key, "value": value}),
                None => json!({"key": key}),
            };
            parts.insert("property".into(), property);
            parts.insert("issue".into(), issue_json(tx, view, input, issue, Some(&SHORT)).await?);
        }
        What::Link { json, other } => {
            let found = facts::load(tx, view, &[other]).await?.remove(&other);
            if !found.is_some_and(|other| listener.sees(&other)) {
                return Ok(None);
            }
            parts.insert("issueLink".into(), json.clone());
        }
    }
    Ok(Some(parts))
}

async fn issue_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issue: &IssueFacts,
    fields: Option<&[&str]>,
) -> Result<Json, Problem> {
    let select = FieldSelection::parse(fields.unwrap_or_default(), Base::All).with_key();
    let mut found = issues_json(tx, view, input, &[issue.id.0], &select, &Expand::default()).await?;
    found.pop().ok_or_else(|| Problem::bug("an issue that is told of is missing"))
}

async fn shown_comment<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    project: ProjectId,
    id: i64,
) -> Result<Option<Json>, Problem> {
    let found = comment::one_json(tx, view, input, id).await?;
    Ok(found.filter(|(restriction, _)| unrestricted(view, project, *restriction)).map(|(_, json)| json))
}

fn unrestricted(view: &View, project: ProjectId, restriction: Restriction) -> bool {
    view.with(|snapshot| sees_restricted(&snapshot.policy, view.caller().user(), Some(project), restriction))
}

/// Events after which a project is seen by people who did not see it before; they are told when that is so.
const APPEARS: [&str; 2] = ["project_created", "project_restored_deleted"];
/// Events after which nobody sees a project; those who saw it are told.
const GOES: [&str; 2] = ["project_soft_deleted", "project_deleted"];

/// Tells of a project, or of a part of it such as a version.
pub(crate) async fn about_project<O>(
    cx: &mut Ctx<O>,
    event: &'static str,
    id: ProjectId,
    part: Option<(&'static str, Json)>,
) -> Result<(), Problem>
where
    O: Operation,
    O::Mode: OpMode,
{
    let mut listeners = cx.view().listeners(event);
    let appears = APPEARS.contains(&event);
    listeners.retain(|listener| {
        // A webhook about some issues is not about projects.
        listener.webhook.jql.trim().is_empty()
            && (appears || listener.view.may(ProjectPermission::BrowseProjects, id, None))
    });
    if listeners.is_empty() {
        return Ok(());
    }
    let input = plain(cx.view());
    let (name, json) = match part {
        Some(part) => part,
        None => ("project", project::short_json(cx.tx(), id, &input).await?),
    };
    let parts = Arc::new(Map::from_iter([(name.to_owned(), json)]));
    let mut messages = Vec::new();
    for listener in listeners {
        add(&mut messages, listener, Arc::clone(&parts));
    }
    send(cx, event, if GOES.contains(&event) { About::Nothing } else { About::Project(id.0) }, messages)
}
