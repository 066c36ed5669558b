//! Project roles: the site's list, who has them in a project, and who gets them in new projects.

mod actors;
pub mod apps;
mod defaults;
mod delete;
mod roles;

use portcullis_guard::{AnyMode, Handlers, Input, Row, SqlBuilder, StoreError, Tx};
use portcullis_model::{Problem, ProjectId};
use serde_json::{Map, Value as Json, json};

use crate::wire::encode_query;

pub(crate) fn handlers(handlers: &mut Handlers) {
    roles::handlers(handlers);
    delete::handlers(handlers);
    actors::handlers(handlers);
    defaults::handlers(handlers);
}

/// A role's row.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub id: i64,
    pub name: String,
    pub description: String,
    /// The one project that has it; `None`: every company-managed project.
    pub project: Option<ProjectId>,
}

const COLUMNS: &str = "SELECT id, name, description, project_id FROM jira_role ";

impl Role {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            project: row.get::<Option<i64>>("project_id")?.map(ProjectId),
        })
    }

    /// `{self,name,id,description,scope?,actors}`.
    fn json(&self, link: String, actors: Option<Vec<Json>>) -> Json {
        let mut out = Map::new();
        out.insert("self".into(), link.into());
        out.insert("name".into(), self.name.clone().into());
        out.insert("id".into(), self.id.into());
        out.insert("description".into(), self.description.clone().into());
        if let Some(actors) = actors {
            out.insert("actors".into(), Json::Array(actors));
        }
        if let Some(project) = self.project {
            out.insert("scope".into(), json!({"type": "PROJECT", "project": {"id": project.to_string()}}));
        }
        Json::Object(out)
    }

    fn site_link(&self, input: &Input) -> String {
        input.api_url(&format!("/role/{}", self.id))
    }

    fn project_link(&self, project: ProjectId, input: &Input) -> String {
        input.api_url(&format!("/project/{project}/role/{}", self.id))
    }
}

/// The roles that a project has: its own, or the site's.
///
/// # Errors
/// The database's.
async fn of_project<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId) -> Result<Vec<Role>, StoreError> {
    let sql = "
        SELECT r.id, r.name, r.description, r.project_id FROM jira_role r JOIN jira_project p ON p.id = $1
         WHERE (p.team_managed = 0 AND r.project_id IS NULL) OR (p.team_managed = 1 AND r.project_id = p.id)
         ORDER BY r.id";
    let rows = tx.query(sql, &[project.0.into()]).await?;
    rows.iter().map(Role::of).collect()
}

/// Role names with the links to their actors in a project.
///
/// # Errors
/// The database's.
pub(crate) async fn links<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId, input: &Input) -> Result<Json, StoreError> {
    let roles = of_project(tx, project).await?;
    let pairs = roles.iter().map(|role| (role.name.clone(), Json::from(role.project_link(project, input))));
    Ok(Json::Object(pairs.collect()))
}

/// The role that a path names.
///
/// # Errors
/// 404; the database's.
async fn named<M: AnyMode>(tx: &mut Tx<M>, text: &str) -> Result<Role, Problem> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE id = ").bind(text.parse::<i64>().map_err(|_| unknown(text))?);
    match tx.query_opt(sql, &[]).await? {
        Some(row) => Ok(Role::of(&row)?),
        None => Err(unknown(text)),
    }
}

/// The same, when the project has it.
async fn named_in<M: AnyMode>(tx: &mut Tx<M>, text: &str, project: ProjectId) -> Result<Role, Problem> {
    let id = text.parse::<i64>().map_err(|_| unknown(text))?;
    of_project(tx, project).await?.into_iter().find(|role| role.id == id).ok_or_else(|| unknown(text))
}

fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("No project role could be found with id '{text}'."))
}

/// An actor object. The row has the actor's `id` and either a user or a group.
fn actor_json(row: &Row, input: &Input) -> Result<Json, StoreError> {
    let id: i64 = row.get("id")?;
    if let Some(account_id) = row.get::<Option<String>>("account_id")? {
        return Ok(json!({
            "id": id,
            "displayName": row.get::<Option<String>>("display_name")?.unwrap_or_default(),
            "type": "atlassian-user-role-actor",
            "actorUser": {"accountId": account_id},
            "avatarUrl": format!("{}/static/avatar-16.svg", input.base_url()),
        }));
    }
    let name = row.get::<Option<String>>("group_name")?.unwrap_or_default();
    Ok(json!({
        "id": id,
        "name": name,
        "displayName": name,
        "type": "atlassian-group-role-actor",
        "actorGroup": {
            "name": name,
            "displayName": name,
            "groupId": row.get::<Option<String>>("group_uuid")?.unwrap_or_default(),
        },
    }))
}

/// A group's link, as roles and permission schemes show it.
pub(crate) fn group_link(uuid: &str, input: &Input) -> String {
    input.api_url(&format!("/group?groupId={}", encode_query(uuid)))
}
