//! `GET /project/{projectIdOrKey}` and the project object.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectId, SchemeId, SecuritySchemeId, UserId};
use serde_json::{Map, Value as Json, json};

use super::{administers, unknown};
use crate::refs::{self, category_json, project_avatar_urls};
use crate::visible::push_issue_visible;
use crate::wire::{Person, moment, people, person_json};
use crate::{component, role, version};

/// How long a project stays in the trash before Jira would remove it.
const RETENTION_MS: i64 = 60 * 24 * 60 * 60 * 1000;

/// A project's row.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub id: ProjectId,
    pub uuid: String,
    pub key: String,
    pub name: String,
    pub description: String,
    pub url: String,
    pub lead: Option<UserId>,
    pub type_key: String,
    pub team_managed: bool,
    pub assignee_type: String,
    pub scheme: SchemeId,
    pub security_scheme: Option<SecuritySchemeId>,
    pub category: Option<(i64, String, String)>,
    pub trashed_at_ms: Option<i64>,
    pub trashed_by: Option<UserId>,
}

impl Project {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let category = match row.get::<Option<i64>>("category_id")? {
            Some(id) => Some((id, row.get("category_name")?, row.get("category_description")?)),
            None => None,
        };
        Ok(Self {
            id: ProjectId(row.get("id")?),
            uuid: row.get("uuid")?,
            key: row.get("key")?,
            name: row.get("name")?,
            description: row.get("description")?,
            url: row.get("url")?,
            lead: row.get::<Option<i64>>("lead_id")?.map(UserId),
            type_key: row.get("type_key")?,
            team_managed: row.get("team_managed")?,
            assignee_type: row.get("assignee_type")?,
            scheme: SchemeId(row.get("permission_scheme_id")?),
            security_scheme: row.get::<Option<i64>>("security_scheme_id")?.map(SecuritySchemeId),
            category,
            trashed_at_ms: row.get("trashed_at_ms")?,
            trashed_by: row.get::<Option<i64>>("trashed_by")?.map(UserId),
        })
    }

    /// What every answer with the project shows.
    pub(crate) fn base_json(&self, input: &Input, people: &HashMap<UserId, Person>) -> Map<String, Json> {
        let mut out = Map::new();
        out.insert("expand".into(), "description,lead,issueTypes,url,projectKeys,permissions,insight".into());
        out.insert("self".into(), input.api_url(&format!("/project/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        out.insert("key".into(), self.key.clone().into());
        out.insert("name".into(), self.name.clone().into());
        out.insert("avatarUrls".into(), project_avatar_urls(input));
        if let Some((id, name, description)) = &self.category {
            out.insert("projectCategory".into(), category_json(*id, name, description, input));
        }
        out.insert("projectTypeKey".into(), self.type_key.clone().into());
        out.insert("simplified".into(), self.team_managed.into());
        out.insert("style".into(), if self.team_managed { "next-gen" } else { "classic" }.into());
        out.insert("isPrivate".into(), false.into());
        out.insert("properties".into(), json!({}));
        out.insert("entityId".into(), self.uuid.clone().into());
        out.insert("uuid".into(), self.uuid.clone().into());
        if let Some(at) = self.trashed_at_ms {
            out.insert("deleted".into(), true.into());
            out.insert("deletedDate".into(), moment(at).into());
            out.insert("retentionTillDate".into(), moment(at.saturating_add(RETENTION_MS)).into());
            if self.trashed_by.is_some() {
                out.insert("deletedBy".into(), person_json(people, self.trashed_by, input));
            }
        }
        out
    }
}

/// The projects with these ids, in their order; unknown ids are absent. Whether the caller may see them is the caller's business.
///
/// # Errors
/// The database's.
pub(crate) async fn load<M: AnyMode>(tx: &mut Tx<M>, ids: &[ProjectId]) -> Result<Vec<Project>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = SqlBuilder::new(
        "SELECT p.id, p.uuid, p.key, p.name, p.description, p.url, p.lead_id, p.type_key, p.team_managed, p.assignee_type,
                p.permission_scheme_id, p.security_scheme_id, p.trashed_at_ms, p.trashed_by, c.id AS category_id,
                c.name AS category_name, c.description AS category_description
           FROM jira_project p LEFT JOIN jira_project_category c ON c.id = p.category_id WHERE p.id IN ",
    );
    sql.ids(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
    let mut found = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let project = Project::of(&row)?;
        found.insert(project.id, project);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// One project.
///
/// # Errors
/// A bug when there is none: a located project is in the database.
pub(crate) async fn load_one<M: AnyMode>(tx: &mut Tx<M>, id: ProjectId) -> Result<Project, Problem> {
    load(tx, &[id]).await?.pop().ok_or_else(|| Problem::bug("located project without a row"))
}

/// What the audit log keeps of a project.
pub(crate) async fn audit_json<M: AnyMode>(tx: &mut Tx<M>, id: ProjectId) -> Result<Json, Problem> {
    let project = load_one(tx, id).await?;
    Ok(json!({
        "key": project.key,
        "name": project.name,
        "description": project.description,
        "url": project.url,
        "lead": project.lead.map(|lead| lead.0),
        "assigneeType": project.assignee_type,
        "permissionScheme": project.scheme.0,
        "issueSecurityScheme": project.security_scheme.map(|scheme| scheme.0),
        "category": project.category.map(|(id, _, _)| id),
        "trashed": project.trashed_at_ms.is_some(),
    }))
}

/// A project as events tell of it.
///
/// # Errors
/// The database's.
pub(crate) async fn short_json<M: AnyMode>(tx: &mut Tx<M>, id: ProjectId, input: &Input) -> Result<Json, Problem> {
    let project = load_one(tx, id).await?;
    let people = people(tx, &project.lead.into_iter().collect::<Vec<_>>()).await?;
    Ok(json!({
        "self": input.api_url(&format!("/project/{id}")),
        "id": id.0,
        "key": project.key,
        "name": project.name,
        "avatarUrls": project_avatar_urls(input),
        "projectLead": person_json(&people, project.lead, input),
        "assigneeType": project.assignee_type,
    }))
}

/// Issues the caller sees in each project, and when one of them last changed.
///
/// # Errors
/// The database's.
pub(crate) async fn insights<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    ids: &[ProjectId],
) -> Result<HashMap<ProjectId, (i64, i64)>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT i.project_id, count(*) AS issues, max(i.updated_at_ms) AS updated FROM jira_issue i WHERE i.project_id IN ",
    );
    sql.ids(&ids.iter().map(|id| id.0).collect::<Vec<_>>()).push(" AND ");
    push_issue_visible(&mut sql, &view.visibility());
    sql.push(" GROUP BY i.project_id");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((ProjectId(row.get("project_id")?), (row.get("issues")?, row.get("updated")?)))).collect()
}

pub(crate) fn insight_json(found: Option<&(i64, i64)>) -> Json {
    match found {
        Some((issues, updated)) => json!({"totalIssueCount": issues, "lastIssueUpdateTime": moment(*updated)}),
        None => json!({"totalIssueCount": 0}),
    }
}

/// The project's key now and its former ones.
pub(crate) async fn keys<M: AnyMode>(tx: &mut Tx<M>, project: &Project) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT key FROM jira_project_former_key WHERE project_id = $1 ORDER BY key {{c}}";
    let mut out = vec![project.key.clone()];
    for row in tx.query(sql, &[project.id.0.into()]).await? {
        out.push(row.get("key")?);
    }
    Ok(out)
}

/// The whole project, as a single read shows it.
///
/// # Errors
/// The database's.
pub(crate) async fn project_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    id: ProjectId,
    input: &Input,
) -> Result<Json, Problem> {
    let project = load_one(tx, id).await?;
    let wanted: Vec<UserId> = project.lead.into_iter().chain(project.trashed_by).collect();
    let people = people(tx, &wanted).await?;
    let mut out = project.base_json(input, &people);
    out.insert("description".into(), project.description.clone().into());
    if !project.url.is_empty() {
        out.insert("url".into(), project.url.clone().into());
    }
    if project.lead.is_some() {
        out.insert("lead".into(), person_json(&people, project.lead, input));
    }
    out.insert("assigneeType".into(), project.assignee_type.clone().into());
    let types = refs::issue_types(tx).await?;
    out.insert("issueTypes".into(), types.iter().map(|found| found.json(input)).collect());
    out.insert("components".into(), component::short_list(tx, id, input).await?);
    out.insert("versions".into(), version::list(tx, id, input).await?);
    out.insert("roles".into(), role::links(tx, id, input).await?);
    let expand = input.query_list("expand");
    if expand.contains(&"projectKeys") {
        out.insert("projectKeys".into(), keys(tx, &project).await?.into());
    }
    if expand.contains(&"permissions") {
        out.insert("permissions".into(), json!({"canEdit": administers(view, id)}));
    }
    if expand.contains(&"insight") {
        let found = insights(tx, view, &[id]).await?;
        out.insert("insight".into(), insight_json(found.get(&id)));
    }
    let properties = input.query_list("properties");
    if !properties.is_empty() {
        out.insert("properties".into(), properties_json(tx, id, &properties).await?);
    }
    Ok(Json::Object(out))
}

async fn properties_json<M: AnyMode>(tx: &mut Tx<M>, id: ProjectId, wanted: &[&str]) -> Result<Json, Problem> {
    let sql =
        "SELECT key, value FROM jira_property WHERE entity_type = 'project' AND entity_id = $1 ORDER BY key {{c}}";
    let mut out = Map::new();
    for row in tx.query(sql, &[id.0.into()]).await? {
        let key: String = row.get("key")?;
        if wanted.contains(&"*all") || wanted.contains(&key.as_str()) {
            out.insert(key, serde_json::from_str(&row.get::<String>("value")?).unwrap_or_default());
        }
    }
    Ok(Json::Object(out))
}

async fn get(mut cx: Ctx<op::GetProject>, input: Input) -> Outcome<op::GetProject> {
    let view = cx.view().clone();
    let project = cx.target().project.ok_or_else(|| unknown(input.param("projectIdOrKey")))?;
    let json = project_json(cx.tx(), &view, project, &input).await?;
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
}
