//! Field values as requests send them: `fields` and `update` of create, edit and transition, each field under its own permission.

use std::collections::BTreeMap;

use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, ApiVersion, Input, StoreError, Tx, View};
use portcullis_model::{
    GlobalPermission, GroupId, IssueId, LevelId, Problem, ProblemKind, ProjectId, ProjectPermission, UserId,
};
use serde_json::{Map, Value as Json};

use super::content::{Content, CustomValue, fold};
use super::read::{CustomField, custom_fields};
use super::{duration, facts};
use crate::comment::{NewComment, TEXT_CHARS_MAX};
use crate::refs::{LinkType, Refs};
use crate::rich_text::{Cause, Document};
use crate::wire;
use crate::worklog::NewWorklog;

/// Fields that one request may name.
const FIELDS_MAX: usize = 500;
/// Verbs on one field.
const VERBS_MAX: usize = 500;
/// Values that a list field may hold.
const VALUES_MAX: usize = 500;
const SUMMARY_CHARS_MAX: usize = 255;
const LABEL_CHARS_MAX: usize = 255;
const SHORT_TEXT_CHARS_MAX: usize = 255;

/// What a request is doing to the issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Create,
    Edit,
    Transition,
}

/// Where fields are set, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub view: &'a View,
    pub input: &'a Input,
    pub project: ProjectId,
    /// The issue as it is now; `None` on creation.
    pub issue: Option<&'a IssueFacts>,
    pub stage: Stage,
}

impl Desk<'_> {
    pub(crate) fn may(&self, permission: ProjectPermission) -> bool {
        self.view.may(permission, self.project, self.issue)
    }

    /// Whether the caller may set the field here at all.
    pub(crate) fn may_set(&self, field: &str) -> bool {
        use ProjectPermission as P;
        let stage_allows = match field {
            "project" | "attachment" => self.stage == Stage::Create,
            "resolution" => self.stage != Stage::Create,
            _ => true,
        };
        // A transition alone gives what is part of it; any other field is an edit.
        let is_edit =
            self.stage == Stage::Transition && !matches!(field, "resolution" | "comment" | "worklog" | "issuelinks");
        let own = match field {
            "reporter" => Some(P::ModifyReporter),
            "assignee" => Some(P::AssignIssues),
            "duedate" => Some(P::ScheduleIssues),
            "security" => Some(P::SetIssueSecurity),
            "timetracking" | "worklog" => Some(P::WorkOnIssues),
            "comment" => Some(P::AddComments),
            "issuelinks" => Some(P::LinkIssues),
            "fixVersions" | "resolution" => Some(P::ResolveIssues),
            "attachment" => Some(P::CreateAttachments),
            _ => None,
        };
        stage_allows && (!is_edit || self.may(P::EditIssues)) && own.is_none_or(|permission| self.may(permission))
    }
}

/// What is done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Set,
    Add,
    Remove,
    Edit,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Verb::Set => "set",
            Verb::Add => "add",
            Verb::Remove => "remove",
            Verb::Edit => "edit",
        }
    }
}

/// What a request asks of one field.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    field: String,
    verbs: Vec<(Verb, Json)>,
}

/// Reads `fields` and `update` of a body.
///
/// # Errors
/// 400 when they have another shape or name the same field.
pub(crate) fn asked(body: &Json) -> Result<Vec<Asked>, Problem> {
    let (fields, update) = (object(body, "fields")?, object(body, "update")?);
    if fields.len() + update.len() > FIELDS_MAX {
        return Err(Problem::invalid(format!("At most {FIELDS_MAX} fields can be set at once.")));
    }
    let both: Vec<(String, String)> = update
        .keys()
        .filter(|field| fields.contains_key(*field))
        .map(|field| (field.clone(), format!("Field '{field}' cannot appear in both 'fields' and 'update'")))
        .collect();
    if !both.is_empty() {
        return Err(Problem::fields(both));
    }
    let mut out: Vec<Asked> = fields
        .iter()
        .map(|(field, value)| Asked { field: field.clone(), verbs: vec![(Verb::Set, value.clone())] })
        .collect();
    for (field, verbs) in update {
        let asked = verbs_of(verbs).ok_or_else(|| {
            Problem::field(
                field.as_str(),
                "Operations must be a list of objects with one of 'set', 'add', 'remove', 'edit'.",
            )
        })?;
        out.push(Asked { field: field.clone(), verbs: asked });
    }
    // What others depend on comes first: the type decides about the parent, and the parent about the security level.
    out.sort_by_key(|asked| match asked.field.as_str() {
        "issuetype" => 0,
        "parent" => 2,
        "security" => 3,
        _ => 1,
    });
    Ok(out)
}

fn object<'a>(body: &'a Json, member: &str) -> Result<&'a Map<String, Json>, Problem> {
    static NONE: std::sync::LazyLock<Map<String, Json>> = std::sync::LazyLock::new(Map::new);
    match body.get(member) {
        None | Some(Json::Null) => Ok(&NONE),
        Some(Json::Object(object)) => Ok(object),
        Some(_) => Err(invalid_payload()),
    }
}

pub(crate) fn invalid_payload() -> Problem {
    Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.")
}

fn verbs_of(verbs: &Json) -> Option<Vec<(Verb, Json)>> {
    let list = verbs.as_array().filter(|list| list.len() <= VERBS_MAX)?;
    let mut out = Vec::new();
    for verb in list {
        for (name, value) in verb.as_object()? {
            let verb = match name.as_str() {
                "set" => Verb::Set,
                "add" => Verb::Add,
                "remove" => Verb::Remove,
                "edit" => Verb::Edit,
                _ => return None,
            };
            out.push((verb, value.clone()));
        }
    }
    Some(out)
}

/// A link to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewLink {
    pub link_type: LinkType,
    /// The other issue, which the caller sees.
    pub other: IssueFacts,
    /// Whether this issue is the source: "this blocks the other".
    pub outward: bool,
}

/// The issue as a request wants it, and what is stored beside it.
pub(crate) struct Wanted {
    pub content: Content,
    pub comments: Vec<NewComment>,
    pub worklogs: Vec<NewWorklog>,
    pub links: Vec<NewLink>,
    /// Fields that the request named.
    pub named: Vec<String>,
}

impl Wanted {
    pub(crate) fn names(&self, field: &str) -> bool {
        self.named.iter().any(|named| named == field)
    }
}

/// Applies what is asked to `content`. Nothing is written. Every field is looked at, so that the answer names all that is wrong.
///
/// # Errors
/// 400 with `errors` by field.
pub(crate) async fn apply<M: AnyMode>(
    tx: &mut Tx<M>,
    desk: Desk<'_>,
    content: Content,
    asked: Vec<Asked>,
) -> Result<Wanted, Problem> {
    let named = asked.iter().map(|asked| asked.field.clone()).collect();
    let mut wanted = Wanted { content, comments: Vec::new(), worklogs: Vec::new(), links: Vec::new(), named };
    if asked.is_empty() {
        return Ok(wanted);
    }
    let refs = Refs::load(tx).await?;
    let custom = if asked.iter().any(|asked| asked.field.starts_with("customfield_")) {
        custom_fields(tx).await?
    } else {
        Vec::new()
    };
    let mut wrong = Wrong::default();
    for one in asked {
        if let Err(problem) = apply_one(tx, &desk, &refs, &custom, &mut wanted, &one).await {
            wrong.add(problem)?;
        }
    }
    wrong.settle()?;
    Ok(wanted)
}

/// What is wrong with a request so far.
#[derive(Default)]
pub(crate) struct Wrong {
    messages: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Wrong {
    /// Keeps a complaint about the input; anything else ends the work.
    pub(crate) fn add(&mut self, problem: Problem) -> Result<(), Problem> {
        if problem.kind != ProblemKind::Invalid || problem.status.is_some() {
            return Err(problem);
        }
        self.messages.extend(problem.messages);
        self.fields.extend(problem.fields);
        Ok(())
    }

    pub(crate) fn settle(self) -> Result<(), Problem> {
        if self.messages.is_empty() && self.fields.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::fields(self.fields);
        problem.messages = self.messages;
        Err(problem)
    }
}

/// Jira's words for a field that is unknown, and for one that the caller may not set: the two look the same.
pub(crate) fn cannot_be_set(field: &str) -> Problem {
    Problem::field(field, format!("Field '{field}' cannot be set. It is not on the appropriate screen, or unknown."))
}

async fn apply_one<M: AnyMode>(
    tx: &mut Tx<M>,
    desk: &Desk<'_>,
    refs: &Refs,
    custom: &[CustomField],
    wanted: &mut Wanted,
    asked: &Asked,
) -> Result<(), Problem> {
    let field = asked.field.as_str();
    if !desk.may_set(field) {
        return Err(cannot_be_set(field));
    }
    let content = &mut wanted.content;
    match field {
        "project" => Ok(()),
        "summary" => {
            content.summary = summary(only_set(asked)?)?;
            Ok(())
        }
        "description" => {
            content.description = rich_text(desk.input, field, only_set(asked)?)?;
            Ok(())
        }
        "environment" => {
            content.environment = rich_text(desk.input, field, only_set(asked)?)?;
            Ok(())
        }
        "issuetype" => issue_type(desk, refs, content, only_set(asked)?),
        "priority" => {
            let all = refs.priorities.iter().map(|found| (found.id, found.name.as_str()));
            content.priority = pick(only_set(asked)?, all, "priority", "The priority selected is invalid.")?;
            Ok(())
        }
        "resolution" => {
            let all = refs.resolutions.iter().map(|found| (found.id, found.name.as_str()));
            content.resolution = pick(only_set(asked)?, all, "resolution", "The resolution selected is invalid.")?;
            Ok(())
        }
        "assignee" => {
            content.assignee = assignee(tx, desk, only_set(asked)?).await?;
            Ok(())
        }
        "reporter" => {
            let value = only_set(asked)?;
            let unknown = || Problem::field("reporter", "The reporter specified is not a user.");
            let account = account_of(value).ok_or_else(|| Problem::field("reporter", "Reporter is required."))?;
            content.reporter = Some(user_of(desk.view, account).ok_or_else(unknown)?);
            Ok(())
        }
        "duedate" => {
            content.due_date = date("duedate", only_set(asked)?)?;
            Ok(())
        }
        "labels" => {
            content.labels = labels("labels", std::mem::take(&mut content.labels), asked)?;
            Ok(())
        }
        "components" => {
            let sql = "SELECT id, name FROM jira_component WHERE project_id = $1";
            let all = named_things(tx, sql, desk.project).await?;
            content.components = members(asked, &content.components, &all, "Component")?;
            Ok(())
        }
        "fixVersions" | "versions" => {
            let sql = "SELECT id, name FROM jira_version WHERE project_id = $1";
            let all = named_things(tx, sql, desk.project).await?;
            let list = if field == "versions" { &mut content.affects_versions } else { &mut content.fix_versions };
            *list = members(asked, list, &all, "Version")?;
            Ok(())
        }
        "parent" => parent(tx, desk, refs, content, only_set(asked)?).await,
        "security" => security(tx, desk, refs, content, only_set(asked)?).await,
        "timetracking" => time_tracking(content, asked),
        "comment" => {
            for value in added(asked)? {
                wanted.comments.push(NewComment::parse(desk.input, value)?);
            }
            Ok(())
        }
        "worklog" => {
            for value in added(asked)? {
                wanted.worklogs.push(NewWorklog::parse(desk.input, value)?);
            }
            Ok(())
        }
        "issuelinks" => {
            for value in added(asked)? {
                wanted.links.push(link(tx, desk, refs, value).await?);
            }
            Ok(())
        }
        _ => {
            let found = custom.iter().find(|found| format!("customfield_{}", found.id) == field);
            let found = found.ok_or_else(|| cannot_be_set(field))?;
            custom_value(tx, desk, found, content, asked).await
        }
    }
}

fn unsupported(field: &str, verb: Verb, supported: &str) -> Problem {
    let verb = verb.word();
    Problem::field(
        field,
        format!(
            "Field with id '{field}' does not support operation '{verb}' Supported operation(s) are: '{supported}'"
        ),
    )
}

/// The value of a field that can only be set; the last one counts.
fn only_set(asked: &Asked) -> Result<&Json, Problem> {
    if let Some((verb, _)) = asked.verbs.iter().find(|(verb, _)| *verb != Verb::Set) {
        return Err(unsupported(&asked.field, *verb, "set"));
    }
    Ok(asked.verbs.last().map_or(&Json::Null, |(_, value)| value))
}

/// The values of a field to which things can only be added.
fn added(asked: &Asked) -> Result<impl Iterator<Item = &Json>, Problem> {
    if let Some((verb, _)) = asked.verbs.iter().find(|(verb, _)| *verb != Verb::Add) {
        return Err(unsupported(&asked.field, *verb, "add"));
    }
    Ok(asked.verbs.iter().map(|(_, value)| value))
}

/// A text without what the database cannot hold.
fn plain<'a>(field: &str, value: &'a Json) -> Result<Option<&'a str>, Problem> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) if text.contains('\0') => {
            Err(Problem::field(field, "The text holds a character that is not allowed."))
        }
        Json::String(text) => Ok(Some(text)),
        _ => Err(Problem::field(field, "Operation value must be a string")),
    }
}

pub(crate) const SUMMARY_REQUIRED: &str = "You must specify a summary of the issue.";

fn summary(value: &Json) -> Result<String, Problem> {
    let text = plain("summary", value)?.unwrap_or("").trim();
    if text.is_empty() {
        return Err(Problem::field("summary", SUMMARY_REQUIRED));
    }
    if text.contains(['\n', '\r']) {
        return Err(Problem::field("summary", "The summary is invalid because it contains newline characters."));
    }
    if text.chars().count() > SUMMARY_CHARS_MAX {
        return Err(Problem::field("summary", "Summary must be less than 255 characters."));
    }
    Ok(text.to_owned())
}

/// Rich text as the called version writes it; an empty one is none.
fn rich_text(input: &Input, field: &str, value: &Json) -> Result<Option<Document>, Problem> {
    let too_long =
        || Problem::field(field, "The entered text is too long. It exceeds the allowed limit of 32,767 characters.");
    let document = match (input.version(), value) {
        (_, Json::Null) => return Ok(None),
        (ApiVersion::V2, Json::String(markup)) if markup.chars().count() > TEXT_CHARS_MAX => return Err(too_long()),
        (ApiVersion::V2, Json::String(markup)) => Document::from_wiki(markup),
        (ApiVersion::V2, _) => return Err(Problem::field(field, "Operation value must be a string")),
        (ApiVersion::V3, value) => Document::from_adf(value.clone()).map_err(|error| match error.cause() {
            Cause::NotADocument => Problem::field(field, error.public_message()),
            _ => Problem::invalid(error.public_message()),
        })?,
    };
    if document.to_text().chars().count() > TEXT_CHARS_MAX {
        return Err(too_long());
    }
    Ok(Some(document).filter(|document| !document.is_empty()))
}

/// The text or number under `member`.
pub(crate) fn word(value: &Json, member: &str) -> Option<String> {
    match value.get(member) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// The thing that `{id}` or `{name}` names among `all`; `null` is none.
fn pick<'a>(
    value: &Json,
    mut all: impl Iterator<Item = (i64, &'a str)>,
    field: &str,
    invalid: &str,
) -> Result<Option<i64>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let found = match (word(value, "id"), word(value, "name")) {
        (Some(id), _) => all.find(|(found, _)| found.to_string() == id),
        (None, Some(name)) => {
            let name = name.to_lowercase();
            all.find(|(_, found)| found.to_lowercase() == name)
        }
        (None, None) => None,
    };
    found.map(|(id, _)| Some(id)).ok_or_else(|| Problem::field(field, invalid))
}

fn issue_type(desk: &Desk<'_>, refs: &Refs, content: &mut Content, value: &Json) -> Result<(), Problem> {
    let all = refs.issue_types.iter().map(|found| (found.id, found.name.as_str()));
    let picked = pick(value, all, "issuetype", "Specify a valid issue type")?;
    let picked = picked.ok_or_else(|| Problem::field("issuetype", "Specify an issue type"))?;
    let level = |id: i64| refs.find_issue_type(id).map(|found| found.hierarchy_level);
    // Another level would leave parents and sub-tasks that do not fit; Jira moves the issue for that.
    if desk.stage != Stage::Create && level(picked) != level(content.issue_type) {
        return Err(Problem::field("issuetype", "The issue type selected is invalid."));
    }
    content.issue_type = picked;
    Ok(())
}

/// The account id in `{accountId}` or `{id}`.
fn account_of(value: &Json) -> Option<&str> {
    let text = |member: &str| value.get(member).and_then(Json::as_str).filter(|text| !text.is_empty());
    text("accountId").or_else(|| text("id"))
}

/// An active account.
pub(crate) fn user_of(view: &View, account: &str) -> Option<UserId> {
    view.with(|snapshot| {
        let user = snapshot.user_by_account_id(account)?;
        snapshot.policy.user(user).filter(|facts| facts.active).map(|_| user)
    })
}

async fn assignee<M: AnyMode>(tx: &mut Tx<M>, desk: &Desk<'_>, value: &Json) -> Result<Option<UserId>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    // `{"accountId": null}` and `{"id": null}` take the assignee away.
    let nobody = ["accountId", "id"].iter().any(|member| value.get(member).is_some_and(Json::is_null));
    match account_of(value) {
        Some(account) => assignee_named(tx, desk.view, desk.project, desk.issue, account).await,
        None if nobody => Ok(None),
        None => Err(Problem::field("assignee", "Specify a valid value for assignee")),
    }
}

/// The assignee that an account id names; `-1` is whoever the project says. An unknown account and one that cannot be assigned get
/// the same answer.
///
/// # Errors
/// 400 under `assignee`.
pub(crate) async fn assignee_named<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    project: ProjectId,
    issue: Option<&IssueFacts>,
    account: &str,
) -> Result<Option<UserId>, Problem> {
    if account == "-1" {
        return Ok(automatic_assignee(tx, view, project).await?);
    }
    user_of(view, account)
        .filter(|user| view.user_may(Some(*user), ProjectPermission::AssignableUser, project, issue))
        .map(Some)
        .ok_or_else(|| Problem::field("assignee", format!("User '{account}' cannot be assigned issues.")))
}

/// The project's lead, where the project assigns to its lead and the lead can be assigned.
///
/// # Errors
/// The database's.
pub(crate) async fn automatic_assignee<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    project: ProjectId,
) -> Result<Option<UserId>, StoreError> {
    let sql = "SELECT lead_id FROM jira_project WHERE id = $1 AND assignee_type = 'PROJECT_LEAD'";
    let lead = match tx.query_opt(sql, &[project.0.into()]).await? {
        Some(row) => row.get::<Option<i64>>("lead_id")?.map(UserId),
        None => None,
    };
    Ok(lead.filter(|lead| view.user_may(Some(*lead), ProjectPermission::AssignableUser, project, None)))
}

fn date(field: &str, value: &Json) -> Result<Option<String>, Problem> {
    match plain(field, value)? {
        None | Some("") => Ok(None),
        Some(text) if wire::is_date(text) => Ok(Some(text.to_owned())),
        Some(text) => Err(Problem::field(field, format!("Error parsing date string: {text}"))),
    }
}

fn list<'a>(field: &str, value: &'a Json) -> Result<&'a [Json], Problem> {
    match value {
        Json::Null => Ok(&[]),
        Json::Array(items) if items.len() <= VALUES_MAX => Ok(items),
        Json::Array(_) => Err(Problem::field(field, format!("At most {VALUES_MAX} values are allowed."))),
        _ => Err(Problem::field(field, "data was not an array")),
    }
}

fn bounded<T>(field: &str, values: Vec<T>) -> Result<Vec<T>, Problem> {
    if values.len() > VALUES_MAX {
        return Err(Problem::field(field, format!("At most {VALUES_MAX} values are allowed.")));
    }
    Ok(values)
}

/// Applies set, add and remove to a list. `read` makes a value of what was sent.
fn changed<T: PartialEq>(
    asked: &Asked,
    mut values: Vec<T>,
    read: impl Fn(&Json) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let field = asked.field.as_str();
    for (verb, value) in &asked.verbs {
        match verb {
            Verb::Set => {
                values.clear();
                for item in list(field, value)? {
                    let item = read(item)?;
                    if !values.contains(&item) {
                        values.push(item);
                    }
                }
            }
            Verb::Add => {
                let item = read(value)?;
                if !values.contains(&item) {
                    values.push(item);
                }
            }
            Verb::Remove => {
                let item = read(value)?;
                values.retain(|found| *found != item);
            }
            Verb::Edit => return Err(unsupported(field, *verb, "set,add,remove")),
        }
    }
    bounded(field, values)
}

fn labels(field: &str, before: Vec<String>, asked: &Asked) -> Result<Vec<String>, Problem> {
    let read = |value: &Json| {
        let label = plain(field, value)?.unwrap_or("");
        if label.is_empty() {
            return Err(Problem::field(field, "A label cannot be empty."));
        }
        if label.contains(char::is_whitespace) {
            return Err(Problem::field(field, format!("The label '{label}' contains spaces which is invalid.")));
        }
        if label.chars().count() > LABEL_CHARS_MAX {
            let words = format!(
                "The label '{label}' exceeds the maximum length for a single label of {LABEL_CHARS_MAX} characters."
            );
            return Err(Problem::field(field, words));
        }
        Ok(label.to_owned())
    };
    let mut labels = changed(asked, before, read)?;
    labels.sort_unstable();
    Ok(labels)
}

async fn named_things<M: AnyMode>(
    tx: &mut Tx<M>,
    sql: &'static str,
    project: ProjectId,
) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = tx.query(sql, &[project.0.into()]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("name")?))).collect()
}

/// Components or versions of the project by `{id}` or `{name}`.
fn members(asked: &Asked, before: &[i64], all: &[(i64, String)], what: &str) -> Result<Vec<i64>, Problem> {
    let field = asked.field.as_str();
    let read = |value: &Json| {
        let (found, how, text) = match (word(value, "id"), word(value, "name")) {
            (Some(id), _) => (all.iter().find(|(found, _)| found.to_string() == id), "id", id),
            (None, Some(name)) => {
                let folded = name.to_lowercase();
                (all.iter().find(|(_, found)| found.to_lowercase() == folded), "name", name)
            }
            (None, None) => return Err(Problem::field(field, "expected 'id' or 'name'")),
        };
        found.map(|(id, _)| *id).ok_or_else(|| Problem::field(field, format!("{what} {how} '{text}' is not valid")))
    };
    let mut out = changed(asked, before.to_vec(), read)?;
    out.sort_unstable();
    Ok(out)
}

const NO_SUCH_PARENT: &str = "Could not find issue by id or key.";

async fn parent<M: AnyMode>(
    tx: &mut Tx<M>,
    desk: &Desk<'_>,
    refs: &Refs,
    content: &mut Content,
    value: &Json,
) -> Result<(), Problem> {
    let Some(kind) = refs.find_issue_type(content.issue_type) else {
        // The complaint about the type is enough.
        return Ok(());
    };
    if value.is_null() || value.get("none") == Some(&Json::Bool(true)) {
        if kind.is_subtask() {
            return Err(Problem::field("parent", PARENT_REQUIRED));
        }
        content.parent = None;
        return Ok(());
    }
    let unknown = || Problem::field("parent", NO_SUCH_PARENT);
    let name = word(value, "key").or_else(|| word(value, "id")).ok_or_else(unknown)?;
    let parent = facts::visible_named(tx, desk.view, &name).await?.ok_or_else(unknown)?;
    let sql =
        "SELECT t.hierarchy_level FROM jira_issue i JOIN jira_issue_type t ON t.id = i.issue_type_id WHERE i.id = $1";
    let level: i64 = tx.query_one(sql, &[parent.id.0.into()]).await?.get("hierarchy_level")?;
    let is_itself = desk.issue.is_some_and(|issue| issue.id == parent.id);
    let other_project = kind.is_subtask() && parent.project != desk.project;
    if is_itself || other_project || level != kind.hierarchy_level + 1 {
        return Err(Problem::field("parent", "Given parent issue does not belong to appropriate hierarchy."));
    }
    content.parent = Some(parent.id);
    if kind.is_subtask() {
        content.security = parent.level;
    }
    Ok(())
}

pub(crate) const PARENT_REQUIRED: &str = "Issue type is a sub-task but parent issue key or id not specified.";

/// The level has to be one of the project's, and one that the caller is in: on the issue as it will be.
async fn security<M: AnyMode>(
    tx: &mut Tx<M>,
    desk: &Desk<'_>,
    refs: &Refs,
    content: &mut Content,
    value: &Json,
) -> Result<(), Problem> {
    if refs.find_issue_type(content.issue_type).is_some_and(|found| found.is_subtask()) {
        return Err(cannot_be_set("security"));
    }
    let sql = "SELECT l.id, l.name FROM jira_project p JOIN jira_security_level l ON l.scheme_id = p.security_scheme_id
                WHERE p.id = $1 ORDER BY l.id";
    let all = named_things(tx, sql, desk.project).await?;
    let invalid = "The security level specified is not valid.";
    let all = all.iter().map(|(id, name)| (*id, name.as_str()));
    let Some(level) = pick(value, all, "security", invalid)?.map(LevelId) else {
        content.security = None;
        return Ok(());
    };
    let as_it_will_be = future_facts(desk, content, Some(level));
    let caller = desk.view.caller().user();
    if desk.view.with(|snapshot| snapshot.policy.in_level(caller, &as_it_will_be)).is_err() {
        return Err(Problem::field("security", invalid));
    }
    content.security = Some(level);
    Ok(())
}

/// The issue as the engine will see it with this content.
fn future_facts(desk: &Desk<'_>, content: &Content, level: Option<LevelId>) -> IssueFacts {
    let of_field = |pick: &dyn Fn(&CustomValue) -> Option<i64>| {
        let mut out = Vec::new();
        for (field, values) in &content.custom {
            out.extend(values.iter().filter_map(pick).map(|id| (portcullis_model::FieldId(*field), id)));
        }
        out
    };
    IssueFacts {
        id: desk.issue.map_or(IssueId(0), |issue| issue.id),
        project: desk.project,
        level,
        reporter: content.reporter,
        assignee: content.assignee,
        user_fields: of_field(&|value| value.user.map(|user| user.0))
            .into_iter()
            .map(|(field, id)| (field, UserId(id)))
            .collect(),
        group_fields: of_field(&|value| value.group.map(|group| group.0))
            .into_iter()
            .map(|(field, id)| (field, GroupId(id)))
            .collect(),
    }
}

fn time_tracking(content: &mut Content, asked: &Asked) -> Result<(), Problem> {
    let mut wrong = Wrong::default();
    for (verb, value) in &asked.verbs {
        if !matches!(verb, Verb::Set | Verb::Edit) {
            return Err(unsupported("timetracking", *verb, "set,edit"));
        }
        let Some(object) = value.as_object() else {
            return Err(Problem::field("timetracking", "Operation value must be an object"));
        };
        let (had_original, had_remaining) = (content.original_estimate_s, content.remaining_estimate_s);
        let places = [
            ("originalEstimate", "timetracking_originalestimate", &mut content.original_estimate_s),
            ("remainingEstimate", "timetracking_remainingestimate", &mut content.remaining_estimate_s),
        ];
        for (member, error_field, place) in places {
            match estimate(object, member) {
                Some(Ok(seconds)) => *place = seconds,
                Some(Err(())) => wrong.add(Problem::field(error_field, "Invalid time duration entered."))?,
                None => {}
            }
        }
        // The first estimate is also what is left, as in Jira.
        if had_original.is_none() && had_remaining.is_none() && content.remaining_estimate_s.is_none() {
            content.remaining_estimate_s = content.original_estimate_s;
        }
    }
    wrong.settle()
}

/// `originalEstimate: "1d 2h"`, or `originalEstimateSeconds`; `None` when neither is given.
fn estimate(object: &Map<String, Json>, member: &str) -> Option<Result<Option<i64>, ()>> {
    match (object.get(member), object.get(&format!("{member}Seconds"))) {
        (Some(Json::String(text)), _) if text.is_empty() => Some(Ok(None)),
        (Some(Json::String(text)), _) => Some(duration::parse(text).map(Some).ok_or(())),
        (Some(Json::Number(minutes)), _) => Some(duration::parse(&minutes.to_string()).map(Some).ok_or(())),
        (Some(Json::Null), _) => Some(Ok(None)),
        (Some(_), _) => Some(Err(())),
        (None, Some(seconds)) => {
            let seconds = seconds.as_i64().filter(|seconds| (0..=duration::SECONDS_MAX).contains(seconds));
            Some(seconds.map(Some).ok_or(()))
        }
        (None, None) => None,
    }
}

/// `{type: {id|name}, outwardIssue|inwardIssue: {id|key}}`. The source of the link needs LINK_ISSUES too, when it is the other issue.
async fn link<M: AnyMode>(tx: &mut Tx<M>, desk: &Desk<'_>, refs: &Refs, value: &Json) -> Result<NewLink, Problem> {
    let all = refs.link_types.iter().map(|found| (found.id, found.name.as_str()));
    let unknown_type = "No issue link type found with the given id or name.";
    let link_type = pick(value.get("type").unwrap_or(&Json::Null), all, "issuelinks", unknown_type)?
        .and_then(|id| refs.find_link_type(id).cloned())
        .ok_or_else(|| Problem::field("issuelinks", unknown_type))?;
    let (side, outward) = match (value.get("outwardIssue"), value.get("inwardIssue")) {
        (Some(side), None) => (side, true),
        (None, Some(side)) => (side, false),
        _ => return Err(Problem::field("issuelinks", "Exactly one of 'inwardIssue' and 'outwardIssue' is needed.")),
    };
    let unknown = || Problem::field("issuelinks", "Issue does not exist or you do not have permission to see it.");
    let name = word(side, "key").or_else(|| word(side, "id")).ok_or_else(unknown)?;
    let other = facts::visible_named(tx, desk.view, &name).await?.ok_or_else(unknown)?;
    let is_itself = desk.issue.is_some_and(|issue| issue.id == other.id);
    if is_itself {
        return Err(Problem::field("issuelinks", "You cannot link an issue to itself."));
    }
    if !outward && !desk.view.may(ProjectPermission::LinkIssues, other.project, Some(&other)) {
        return Err(Problem::field("issuelinks", format!("No Link Issue Permission for issue '{name}'")));
    }
    Ok(NewLink { link_type, other, outward })
}

async fn custom_value<M: AnyMode>(
    tx: &mut Tx<M>,
    desk: &Desk<'_>,
    field: &CustomField,
    content: &mut Content,
    asked: &Asked,
) -> Result<(), Problem> {
    let name = asked.field.as_str();
    let before = content.custom.remove(&field.id).unwrap_or_default();
    let values = match field.kind.as_str() {
        "labels" => {
            let before = before.into_iter().map(|value| value.text).collect();
            labels(name, before, asked)?.into_iter().map(|label| text_value(&label)).collect()
        }
        "select" | "multiselect" => {
            let options = options(tx, field.id).await?;
            let read = |value: &Json| option_value(name, &options, value);
            if field.kind == "select" { one(only_set(asked)?, read)? } else { changed(asked, before, read)? }
        }
        "userpicker" | "multiuserpicker" => {
            let read = |value: &Json| {
                let account = account_of(value).ok_or_else(|| Problem::field(name, "Specify a valid 'accountId'"))?;
                let user = user_of(desk.view, account)
                    .ok_or_else(|| Problem::field(name, format!("User '{account}' does not exist.")))?;
                Ok(CustomValue { user: Some(user), ..text_value(account) })
            };
            if field.kind == "userpicker" { one(only_set(asked)?, read)? } else { changed(asked, before, read)? }
        }
        "grouppicker" => match only_set(asked)? {
            Json::Null => Vec::new(),
            value => vec![group_value(tx, desk.view, name, value).await?],
        },
        "textarea" => match rich_text(desk.input, name, only_set(asked)?)? {
            None => Vec::new(),
            Some(document) => {
                vec![CustomValue { folded: fold(&document.to_text()), ..text_value(&document.into_json().to_string()) }]
            }
        },
        kind => one(only_set(asked)?, |value| scalar(name, kind, value))?,
    };
    if !values.is_empty() {
        content.custom.insert(field.id, values);
    }
    Ok(())
}

fn text_value(text: &str) -> CustomValue {
    CustomValue { text: text.to_owned(), folded: fold(text), user: None, group: None, option: None }
}

/// The value of a field that holds one; `null` and an empty text are none.
fn one(value: &Json, read: impl Fn(&Json) -> Result<CustomValue, Problem>) -> Result<Vec<CustomValue>, Problem> {
    if value.is_null() || value.as_str() == Some("") { Ok(Vec::new()) } else { Ok(vec![read(value)?]) }
}

fn scalar(name: &str, kind: &str, value: &Json) -> Result<CustomValue, Problem> {
    if kind == "float" {
        let number = value.as_f64().filter(|number| number.is_finite() && number.abs() < 1e15);
        let number = number.ok_or_else(|| Problem::field(name, "Operation value must be a number"))?;
        // One spelling per number: what is whole has no point.
        return Ok(text_value(&number.to_string()));
    }
    let text = plain(name, value)?.unwrap_or("");
    match kind {
        "datepicker" => date(name, value).map(|date| text_value(&date.unwrap_or_default())),
        "datetime" => {
            let moment = wire::parse_moment(text)
                .ok_or_else(|| Problem::field(name, format!("Error parsing date string: {text}")))?;
            Ok(text_value(&wire::moment(moment)))
        }
        "url" if !["http://", "https://", "ftp://"].iter().any(|scheme| text.starts_with(scheme)) => {
            Err(Problem::field(name, "Not a valid URL"))
        }
        "url" if text.chars().count() <= TEXT_CHARS_MAX => Ok(text_value(text)),
        _ if text.chars().count() > SHORT_TEXT_CHARS_MAX => {
            let words = format!(
                "The entered text is too long. It exceeds the allowed limit of {SHORT_TEXT_CHARS_MAX} characters."
            );
            Err(Problem::field(name, words))
        }
        _ => Ok(text_value(text)),
    }
}

/// Options by id; disabled ones cannot be chosen.
async fn options<M: AnyMode>(tx: &mut Tx<M>, field: i64) -> Result<BTreeMap<i64, String>, StoreError> {
    let sql = "SELECT id, value FROM jira_field_option WHERE field_id = $1 AND disabled = 0";
    let rows = tx.query(sql, &[field.into()]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("value")?))).collect()
}

fn option_value(name: &str, options: &BTreeMap<i64, String>, value: &Json) -> Result<CustomValue, Problem> {
    let found = match (word(value, "id"), word(value, "value")) {
        (Some(id), _) => {
            let found = id.parse::<i64>().ok().and_then(|id| options.get_key_value(&id));
            found.ok_or_else(|| Problem::field(name, format!("Option id '{id}' is not valid")))?
        }
        (None, Some(words)) => {
            let found = options.iter().find(|(_, found)| **found == words);
            found.ok_or_else(|| Problem::field(name, format!("Option value '{words}' is not valid")))?
        }
        (None, None) => return Err(Problem::field(name, "Specify a valid 'id' or 'value'")),
    };
    let (id, words) = found;
    Ok(CustomValue { text: id.to_string(), folded: fold(words), user: None, group: None, option: Some(*id) })
}

/// A group by `{groupId}` or `{name}`, for those who may look groups up, or who are in it.
async fn group_value<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    name: &str,
    value: &Json,
) -> Result<CustomValue, Problem> {
    let unknown = || Problem::field(name, "The group specified does not exist.");
    let without_nul = |text: Option<String>| text.filter(|text| !text.contains('\0'));
    let row = match (without_nul(word(value, "groupId")), without_nul(word(value, "name"))) {
        (Some(id), _) => {
            let sql = "SELECT id, uuid, name FROM account_group WHERE uuid = $1";
            tx.query_opt(sql, &[id.into()]).await?
        }
        (None, Some(name)) => {
            let sql = "SELECT id, uuid, name FROM account_group WHERE name_folded = $1";
            tx.query_opt(sql, &[fold(&name).into()]).await?
        }
        (None, None) => None,
    };
    let row = row.ok_or_else(unknown)?;
    let group = GroupId(row.get("id")?);
    let is_in = view.caller().user().is_some_and(|user| view.with(|snapshot| snapshot.policy.is_member(user, group)));
    if !is_in && !view.may_global(GlobalPermission::UserPicker) {
        return Err(unknown());
    }
    Ok(CustomValue {
        text: row.get("uuid")?,
        folded: fold(&row.get::<String>("name")?),
        user: None,
        group: Some(group),
        option: None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Asked, Verb, asked, changed, labels, summary};
    use portcullis_model::Problem;
    use serde_json::{Value as Json, json};

    #[test]
    fn type_comes_first_and_security_last() {
        let body =
            json!({"fields": {"security": {}, "parent": {}, "summary": "x"}, "update": {"issuetype": [{"set": {}}]}});
        let asked = asked(&body).unwrap();
        let order: Vec<&str> = asked.iter().map(|asked| asked.field.as_str()).collect();
        assert_eq!(order, ["issuetype", "summary", "parent", "security"]);
    }

    #[test]
    fn a_field_is_named_once() {
        let body = json!({"fields": {"labels": []}, "update": {"labels": [{"add": "x"}]}});
        let problem = asked(&body).unwrap_err();
        assert_eq!(problem.fields[0].0, "labels");
    }

    #[test]
    fn verbs_have_one_shape() {
        for update in [json!({"labels": {"add": "x"}}), json!({"labels": [{"append": "x"}]}), json!({"labels": ["x"]})]
        {
            assert!(asked(&json!({"update": update})).is_err(), "{update}");
        }
        assert!(asked(&json!({"update": []})).is_err());
        assert!(asked(&json!({"fields": null})).unwrap().is_empty());
    }

    #[test]
    fn lists_are_set_added_to_and_taken_from() {
        let verbs = vec![(Verb::Set, json!(["a", "b"])), (Verb::Add, json!("c")), (Verb::Remove, json!("a"))];
        let asked = Asked { field: "labels".to_owned(), verbs };
        assert_eq!(labels("labels", vec!["z".to_owned()], &asked).unwrap(), ["b", "c"]);
        let edit = Asked { field: "labels".to_owned(), verbs: vec![(Verb::Edit, json!("c"))] };
        assert!(changed(&edit, Vec::<i64>::new(), |_: &Json| -> Result<i64, Problem> { Ok(1) }).is_err());
    }

    #[test]
    fn labels_are_single_words() {
        let add = |label: &str| Asked { field: "labels".to_owned(), verbs: vec![(Verb::Add, json!(label))] };
        for label in ["two words", "", "tab\there", "nul\0"] {
            assert!(labels("labels", Vec::new(), &add(label)).is_err(), "{label:?}");
        }
    }

    #[test]
    fn summaries_are_one_line_of_255_characters() {
        assert_eq!(summary(&json!(" x ")).unwrap(), "x");
        assert!(summary(&json!("ä".repeat(255))).is_ok());
        for wrong in [json!(""), json!(null), json!("a\nb"), json!("ä".repeat(256)), json!(5), json!(["x"])] {
            assert!(summary(&wrong).is_err(), "{wrong}");
        }
    }
}
