//! What fields there are, and which of them the caller may set: `createmeta`, `editmeta`, `names`, `schema`.

use std::collections::HashSet;

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, ApiVersion, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectId, ProjectPermission};
use serde_json::{Map, Value as Json, json};

use super::fields::{Desk, Stage};
use super::read::{CustomField, custom_fields};
use crate::refs::{self, IssueType, Refs};
use crate::rich_text::Document;
use crate::wire::{self, Paging};

/// Versions, components or levels listed as allowed values.
const ALLOWED_MAX: i64 = 1_000;
/// Projects in one bare `createmeta`.
const PROJECTS_MAX: usize = 500;

/// A field that every site has.
#[derive(Clone, Copy, Debug)]
pub struct SystemField {
    /// Its id, and its name in JQL.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// The type of its value.
    pub kind: &'static str,
    /// The type of its members, for lists.
    pub items: Option<&'static str>,
    /// Verbs of `update`; none for fields that nobody sets directly.
    pub verbs: &'static [&'static str],
}

const SET: &[&str] = &["set"];
const LIST: &[&str] = &["add", "set", "remove"];
const ADD: &[&str] = &["add"];
const NONE: &[&str] = &[];

const fn field(
    id: &'static str,
    name: &'static str,
    kind: &'static str,
    items: Option<&'static str>,
    verbs: &'static [&'static str],
) -> SystemField {
    SystemField { id, name, kind, items, verbs }
}

/// The system's fields.
pub const SYSTEM_FIELDS: [SystemField; 42] = [
    field("statuscategorychangedate", "Status Category Changed", "datetime", None, NONE),
    field("issuetype", "Issue Type", "issuetype", None, SET),
    field("parent", "Parent", "issuelink", None, SET),
    field("timespent", "Time Spent", "number", None, NONE),
    field("project", "Project", "project", None, SET),
    field("fixVersions", "Fix versions", "array", Some("version"), LIST),
    field("aggregatetimespent", "Σ Time Spent", "number", None, NONE),
    field("resolution", "Resolution", "resolution", None, SET),
    field("resolutiondate", "Resolved", "datetime", None, NONE),
    field("workratio", "Work Ratio", "number", None, NONE),
    field("lastViewed", "Last Viewed", "datetime", None, NONE),
    field("watches", "Watchers", "watches", None, NONE),
    field("created", "Created", "datetime", None, NONE),
    field("priority", "Priority", "priority", None, SET),
    field("labels", "Labels", "array", Some("string"), LIST),
    field("timeestimate", "Remaining Estimate", "number", None, NONE),
    field("aggregatetimeoriginalestimate", "Σ Original Estimate", "number", None, NONE),
    field("versions", "Affects versions", "array", Some("version"), LIST),
    field("issuelinks", "Linked Issues", "array", Some("issuelinks"), ADD),
    field("assignee", "Assignee", "user", None, SET),
    field("updated", "Updated", "datetime", None, NONE),
    field("status", "Status", "status", None, NONE),
    field("components", "Components", "array", Some("component"), LIST),
    field("timeoriginalestimate", "Original estimate", "number", None, NONE),
    field("description", "Description", "string", None, SET),
    field("timetracking", "Time tracking", "timetracking", None, &["set", "edit"]),
    field("security", "Security Level", "securitylevel", None, SET),
    field("attachment", "Attachment", "array", Some("attachment"), NONE),
    field("aggregatetimeestimate", "Σ Remaining Estimate", "number", None, NONE),
    field("summary", "Summary", "string", None, SET),
    field("creator", "Creator", "user", None, NONE),
    field("subtasks", "Sub-tasks", "array", Some("issuelinks"), NONE),
    field("reporter", "Reporter", "user", None, SET),
    field("aggregateprogress", "Σ Progress", "progress", None, NONE),
    field("environment", "Environment", "string", None, SET),
    field("duedate", "Due date", "date", None, SET),
    field("progress", "Progress", "progress", None, NONE),
    field("votes", "Votes", "votes", None, NONE),
    field("comment", "Comment", "comments-page", None, ADD),
    field("worklog", "Log Work", "array", Some("worklog"), ADD),
    field("issuekey", "Key", "string", None, NONE),
    field("thumbnail", "Images", "string", None, NONE),
];

impl SystemField {
    /// `{type, items?, system}`.
    pub fn schema(&self) -> Json {
        let mut out = Map::new();
        out.insert("type".into(), self.kind.into());
        if let Some(items) = self.items {
            out.insert("items".into(), items.into());
        }
        out.insert("system".into(), self.id.into());
        Json::Object(out)
    }
}

/// Whether a kind of custom field holds a list.
pub(crate) fn is_list(kind: &str) -> bool {
    matches!(kind, "multiselect" | "multiuserpicker" | "labels")
}

/// `{type, items?, custom, customId}` of a custom field.
pub(crate) fn custom_schema(id: i64, kind: &str) -> Json {
    let (value, items) = match kind {
        "float" => ("number", None),
        "datepicker" => ("date", None),
        "datetime" => ("datetime", None),
        "select" => ("option", None),
        "multiselect" => ("array", Some("option")),
        "userpicker" => ("user", None),
        "multiuserpicker" => ("array", Some("user")),
        "grouppicker" => ("group", None),
        "labels" => ("array", Some("string")),
        _ => ("string", None),
    };
    let mut out = Map::new();
    out.insert("type".into(), value.into());
    if let Some(items) = items {
        out.insert("items".into(), items.into());
    }
    out.insert("custom".into(), format!("com.atlassian.jira.plugin.system.customfieldtypes:{kind}").into());
    out.insert("customId".into(), id.into());
    Json::Object(out)
}

/// `names` and `schema` of the system's fields and these.
pub(crate) fn names_and_schema(custom: &[CustomField]) -> (Json, Json) {
    let (mut names, mut schema) = (Map::new(), Map::new());
    for field in SYSTEM_FIELDS.iter().filter(|field| !matches!(field.id, "issuekey" | "thumbnail")) {
        names.insert(field.id.to_owned(), field.name.into());
        schema.insert(field.id.to_owned(), field.schema());
    }
    for field in custom {
        let id = format!("customfield_{}", field.id);
        names.insert(id.clone(), field.name.clone().into());
        schema.insert(id, custom_schema(field.id, &field.kind));
    }
    (Json::Object(names), Json::Object(schema))
}

/// Rich text of an answer as HTML.
pub(crate) fn html(input: &Input, shown: &Json) -> String {
    let document = match (input.version(), shown) {
        (ApiVersion::V2, Json::String(markup)) => Some(Document::from_wiki(markup)),
        (ApiVersion::V3, Json::Object(_)) => Document::from_adf(shown.clone()).ok(),
        _ => None,
    };
    document.map(|document| document.to_html()).unwrap_or_default()
}

/// What the allowed values of fields are drawn from, for one project.
struct Choices {
    refs: Refs,
    custom: Vec<CustomField>,
    options: Vec<(i64, i64, String)>,
    components: Vec<Json>,
    versions: Vec<Json>,
    levels: Vec<Json>,
    project: Json,
}

impl Choices {
    async fn load<M: AnyMode>(
        tx: &mut Tx<M>,
        view: &View,
        input: &Input,
        project: ProjectId,
        issue: Option<&IssueFacts>,
    ) -> Result<Self, StoreError> {
        let refs = Refs::load(tx).await?;
        let custom = custom_fields(tx).await?;
        let sql = "SELECT id, field_id, value FROM jira_field_option WHERE disabled = 0 ORDER BY field_id, position, id LIMIT $1";
        let rows = tx.query(sql, &[(ALLOWED_MAX * 10).into()]).await?;
        let read = |row: &portcullis_guard::Row| Ok((row.get("field_id")?, row.get("id")?, row.get("value")?));
        let options = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
        let sql = "SELECT id, project_id, name, description FROM jira_component WHERE project_id = $1
                    ORDER BY name_folded {{c}}, id LIMIT $2";
        let mut components = Vec::new();
        for row in tx.query(sql, &[project.0.into(), ALLOWED_MAX.into()]).await? {
            let component = refs::ComponentRef {
                id: row.get("id")?,
                project,
                name: row.get("name")?,
                description: row.get("description")?,
            };
            components.push(component.json(input));
        }
        let sql = "SELECT id, project_id, name, description, archived, released, start_date, release_date, position
                     FROM jira_version WHERE project_id = $1 ORDER BY position, id LIMIT $2";
        let rows = tx.query(sql, &[project.0.into(), ALLOWED_MAX.into()]).await?;
        let versions = rows
            .iter()
            .map(|row| refs::VersionRef::of(row).map(|found| found.json(input)))
            .collect::<Result<_, _>>()?;
        let levels = levels(tx, view, input, project, issue).await?;
        let found = refs::projects(tx, &[project]).await?.remove(&project);
        let project = found.map_or(Json::Null, |found| found.json(input));
        Ok(Self { refs, custom, options, components, versions, levels, project })
    }

    /// The allowed values of a system field; `None` where there is no list.
    fn of(&self, field: &str, kind: &IssueType, stage: Stage, input: &Input) -> Option<Vec<Json>> {
        Some(match field {
            "issuetype" if stage == Stage::Create => vec![kind.json(input)],
            // A type of another level would need a move.
            "issuetype" => {
                let same = |found: &&IssueType| found.hierarchy_level == kind.hierarchy_level;
                self.refs.issue_types.iter().filter(same).map(|found| found.json(input)).collect()
            }
            "project" => vec![self.project.clone()],
            "priority" => self.refs.priorities.iter().map(|found| found.json(input)).collect(),
            "resolution" => self.refs.resolutions.iter().map(|found| found.json(input)).collect(),
            "components" => self.components.clone(),
            "fixVersions" | "versions" => self.versions.clone(),
            "security" => self.levels.clone(),
            _ => return None,
        })
    }
}

/// The project's security levels that the caller is in.
async fn levels<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    project: ProjectId,
    issue: Option<&IssueFacts>,
) -> Result<Vec<Json>, StoreError> {
    let user = view.caller().user();
    let mut facts = issue.cloned().unwrap_or_else(|| IssueFacts {
        id: portcullis_model::IssueId(0),
        project,
        level: None,
        reporter: user,
        assignee: None,
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    });
    let sql = "SELECT l.id, l.scheme_id, l.name, l.description, s.default_level_id
                 FROM jira_project p JOIN jira_security_level l ON l.scheme_id = p.security_scheme_id
                 JOIN jira_security_scheme s ON s.id = l.scheme_id
                WHERE p.id = $1 ORDER BY l.id LIMIT $2";
    let mut out = Vec::new();
    for row in tx.query(sql, &[project.0.into(), ALLOWED_MAX.into()]).await? {
        let level = refs::LevelRef::of(&row)?;
        facts.level = Some(level.id);
        if view.with(|snapshot| snapshot.policy.in_level(user, &facts)).is_ok() {
            out.push(level.json(input));
        }
    }
    Ok(out)
}

/// The order of fields on a create screen.
const ON_SCREENS: [&str; 20] = [
    "summary",
    "issuetype",
    "parent",
    "components",
    "description",
    "project",
    "reporter",
    "fixVersions",
    "priority",
    "resolution",
    "labels",
    "timetracking",
    "security",
    "environment",
    "versions",
    "duedate",
    "issuelinks",
    "assignee",
    "comment",
    "worklog",
];

/// The fields that the caller may set, each with its description.
fn settable(desk: &Desk<'_>, choices: &Choices, kind: &IssueType) -> Vec<(String, Json)> {
    let input = desk.input;
    let mut out = Vec::new();
    for id in ON_SCREENS {
        let Some(field) = SYSTEM_FIELDS.iter().find(|field| field.id == id) else { continue };
        let fits = match id {
            "security" => !kind.is_subtask() && !choices.levels.is_empty(),
            "parent" => kind.hierarchy_level < 1,
            "comment" | "worklog" => desk.stage != Stage::Create,
            _ => true,
        };
        if !fits || !desk.may_set(id) {
            continue;
        }
        let required =
            matches!(id, "summary" | "issuetype" | "project" | "reporter") || (id == "parent" && kind.is_subtask());
        let has_default = desk.stage == Stage::Create && matches!(id, "priority" | "reporter" | "assignee");
        let mut json = entry(id, field.name, required, has_default, field.schema(), field.verbs);
        if let Some(url) = auto_complete(id, desk) {
            json.insert("autoCompleteUrl".into(), url.into());
        }
        if let Some(allowed) = choices.of(id, kind, desk.stage, input) {
            json.insert("allowedValues".into(), Json::Array(allowed));
        }
        out.push((id.to_owned(), Json::Object(json)));
    }
    for field in &choices.custom {
        let id = format!("customfield_{}", field.id);
        if !desk.may_set(&id) {
            continue;
        }
        let verbs = if is_list(&field.kind) { LIST } else { SET };
        let mut json = entry(&id, &field.name, false, false, custom_schema(field.id, &field.kind), verbs);
        if matches!(field.kind.as_str(), "select" | "multiselect") {
            let option = |(_, id, words): &(i64, i64, String)| {
                let link = input.api_url(&format!("/customFieldOption/{id}"));
                json!({"self": link, "value": words, "id": id.to_string()})
            };
            let options = choices.options.iter().filter(|(owner, ..)| *owner == field.id).map(option).collect();
            json.insert("allowedValues".into(), Json::Array(options));
        }
        out.push((id, Json::Object(json)));
    }
    out
}

fn entry(id: &str, name: &str, required: bool, has_default: bool, schema: Json, verbs: &[&str]) -> Map<String, Json> {
    let mut out = Map::new();
    out.insert("required".into(), required.into());
    out.insert("schema".into(), schema);
    out.insert("name".into(), name.into());
    out.insert("key".into(), id.into());
    out.insert("fieldId".into(), id.into());
    out.insert("hasDefaultValue".into(), has_default.into());
    out.insert("operations".into(), verbs.into());
    out
}

fn auto_complete(field: &str, desk: &Desk<'_>) -> Option<String> {
    match (field, desk.issue) {
        ("assignee", Some(issue)) => {
            Some(desk.input.api_url(&format!("/user/assignable/search?issueId={}&query=", issue.id)))
        }
        ("assignee", None) => {
            Some(desk.input.api_url(&format!("/user/assignable/search?project={}&query=", desk.project)))
        }
        ("reporter", _) => Some(desk.input.api_url("/user/search?query=")),
        ("labels", _) => Some(desk.input.api_url("/label?query=")),
        ("issuelinks", _) => {
            Some(desk.input.api_url("/issue/picker?currentProjectId=&showSubTaskParent=true&showSubTasks=true&query="))
        }
        _ => None,
    }
}

/// The fields of `editmeta`: none without EDIT_ISSUES.
///
/// # Errors
/// The database's.
pub(crate) async fn edit_fields<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issue: &IssueFacts,
    issue_type: i64,
) -> Result<Json, StoreError> {
    let desk = Desk { view, input, project: issue.project, issue: Some(issue), stage: Stage::Edit };
    if !desk.may(ProjectPermission::EditIssues) {
        return Ok(json!({}));
    }
    let choices = Choices::load(tx, view, input, issue.project, Some(issue)).await?;
    let Some(kind) = choices.refs.find_issue_type(issue_type) else { return Ok(json!({})) };
    Ok(Json::Object(settable(&desk, &choices, kind).into_iter().filter(|(id, _)| id != "project").collect()))
}

/// The resolution field of a transition that ends an issue.
pub(crate) fn resolution_field(refs: &Refs, input: &Input) -> Option<Json> {
    let field = SYSTEM_FIELDS.iter().find(|field| field.id == "resolution")?;
    let mut json = entry(field.id, field.name, false, true, field.schema(), field.verbs);
    let allowed = refs.resolutions.iter().map(|found| found.json(input)).collect();
    json.insert("allowedValues".into(), Json::Array(allowed));
    Some(Json::Object(json))
}

/// `GET issue/{issueIdOrKey}/editmeta`.
pub async fn edit(mut cx: Ctx<op::GetEditIssueMeta>, input: Input) -> Outcome<op::GetEditIssueMeta> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let sql = "SELECT issue_type_id FROM jira_issue WHERE id = $1";
    let issue_type: i64 = cx.tx().query_one(sql, &[issue.id.0.into()]).await?.get("issue_type_id")?;
    let fields = edit_fields(cx.tx(), &view, &input, &issue, issue_type).await?;
    cx.done(Reply::json(json!({"fields": fields})))
}

/// `GET issue/createmeta/{projectIdOrKey}/issuetypes`: a page in `issueTypes`.
pub async fn issue_types(
    mut cx: Ctx<op::GetCreateIssueMetaIssueTypes>,
    input: Input,
) -> Outcome<op::GetCreateIssueMetaIssueTypes> {
    let paging = Paging::of(&input, 50, 200)?;
    let all = refs::issue_types(cx.tx()).await?;
    let total = all.len();
    let shown: Vec<Json> = paging.cut(all).iter().map(|found| found.json(&input)).collect();
    cx.done(Reply::json(json!({
        "maxResults": paging.max_results,
        "startAt": paging.start_at,
        "total": total,
        "issueTypes": shown,
    })))
}

/// `GET issue/createmeta/{projectIdOrKey}/issuetypes/{issueTypeId}`: a page in `fields`.
pub async fn fields(
    mut cx: Ctx<op::GetCreateIssueMetaIssueTypeId>,
    input: Input,
) -> Outcome<op::GetCreateIssueMetaIssueTypeId> {
    let view = cx.view().clone();
    let project = cx.target().project()?;
    let paging = Paging::of(&input, 50, 200)?;
    let choices = Choices::load(cx.tx(), &view, &input, project, None).await?;
    let wanted = input.param("issueTypeId").parse::<i64>().ok();
    let kind = wanted.and_then(|id| choices.refs.find_issue_type(id));
    let kind =
        kind.ok_or_else(|| Problem::not_found("The issue type specified does not exist or is not available."))?;
    let desk = Desk { view: &view, input: &input, project, issue: None, stage: Stage::Create };
    let all = settable(&desk, &choices, kind);
    let total = all.len();
    let shown: Vec<Json> = paging.cut(all).into_iter().map(|(_, field)| field).collect();
    cx.done(Reply::json(json!({
        "maxResults": paging.max_results,
        "startAt": paging.start_at,
        "total": total,
        "fields": shown,
    })))
}

/// `GET issue/createmeta`: the projects in which the caller creates issues.
pub async fn create(mut cx: Ctx<op::GetCreateIssueMeta>, input: Input) -> Outcome<op::GetCreateIssueMeta> {
    let view = cx.view().clone();
    let (ids, keys) = (input.query_list("projectIds"), input.query_list("projectKeys"));
    let wanted = |id: ProjectId, key: &str| {
        (ids.is_empty() && keys.is_empty()) || ids.contains(&id.to_string().as_str()) || keys.contains(&key)
    };
    let mut projects: Vec<ProjectId> = view.with(|snapshot| {
        let projects = snapshot.policy.projects().filter(|project| wanted(project.id, &project.key));
        projects.map(|project| project.id).collect()
    });
    projects.retain(|project| {
        let may = |permission| view.may(permission, *project, None);
        may(ProjectPermission::BrowseProjects) && may(ProjectPermission::CreateIssues)
    });
    projects.truncate(PROJECTS_MAX);
    let with_fields = wire::expands(&input, "projects.issuetypes.fields");
    let (type_ids, type_names): (HashSet<&str>, HashSet<&str>) = (
        input.query_list("issuetypeIds").into_iter().collect(),
        // Names may hold commas only where they are sent one by one.
        input.query_all("issuetypeNames").flat_map(|names| names.split(',')).map(str::trim).collect(),
    );
    let all = refs::issue_types(cx.tx()).await?;
    let wanted = |kind: &&IssueType| {
        (type_ids.is_empty() && type_names.is_empty())
            || type_ids.contains(kind.id.to_string().as_str())
            || type_names.contains(kind.name.as_str())
    };
    let kinds: Vec<IssueType> = all.iter().filter(wanted).cloned().collect();
    let mut found = refs::projects(cx.tx(), &projects).await?;
    let mut out = Vec::new();
    for project in projects {
        let Some(shown) = found.remove(&project) else { continue };
        let choices =
            if with_fields { Some(Choices::load(cx.tx(), &view, &input, project, None).await?) } else { None };
        let desk = Desk { view: &view, input: &input, project, issue: None, stage: Stage::Create };
        let kind_json = |kind: &IssueType| {
            let mut json = kind.json(&input);
            if let Some(object) = json.as_object_mut() {
                object.insert("untranslatedName".into(), kind.name.clone().into());
                if let Some(choices) = &choices {
                    object.insert("expand".into(), "fields".into());
                    object.insert("fields".into(), Json::Object(settable(&desk, choices, kind).into_iter().collect()));
                }
            }
            json
        };
        out.push(json!({
            "expand": "issuetypes",
            "self": input.api_url(&format!("/project/{project}")),
            "id": project.to_string(),
            "key": shown.key,
            "name": shown.name,
            "avatarUrls": refs::project_avatar_urls(&input),
            "issuetypes": kinds.iter().map(kind_json).collect::<Vec<_>>(),
        }));
    }
    cx.done(Reply::json(json!({"expand": "projects", "projects": out})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(create);
    handlers.on(issue_types);
    handlers.on(fields);
    handlers.on(edit);
}
