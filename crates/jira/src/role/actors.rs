//! `/project/{projectIdOrKey}/role`: who has a role in a project.

use std::collections::BTreeMap;

use portcullis_authz::op;
use portcullis_authz::policy::ROLES_PER_PROJECT_MAX;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, StoreError, Tx, View, Writes};
use portcullis_model::{GroupId, Problem, ProjectId, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Role, actor_json, links, named_in, of_project};
use crate::bootstrap::{ADMINISTRATORS, APPS};
use crate::group;
use crate::project::{require_live, unknown as unknown_project, visible_named};

/// Users and groups in one request.
const ACTORS_MAX: usize = 1000;

/// Users and groups to be given a role.
#[derive(Default)]
pub(super) struct Added {
    pub users: Vec<UserId>,
    pub groups: Vec<GroupId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    user: Option<Vec<String>>,
    group: Option<Vec<String>>,
    group_id: Option<Vec<String>>,
}

impl Added {
    /// Reads `{user: [accountId]}`, `{group: [name]}` or `{groupId: [id]}`; users and groups are not mixed.
    pub(super) async fn of_body<M: AnyMode>(tx: &mut Tx<M>, view: &View, input: &Input) -> Result<Self, Problem> {
        let body: Body = input.parse()?;
        let kinds = [&body.user, &body.group, &body.group_id].into_iter().filter(|list| list.is_some()).count();
        if kinds != 1 {
            return Err(Problem::invalid("Exactly one of 'user', 'group' and 'groupId' must be specified."));
        }
        let mut out = Added::default();
        out.add_users(view, &body.user.unwrap_or_default())?;
        out.add_groups(tx, &body.group.unwrap_or_default(), &body.group_id.unwrap_or_default()).await?;
        Ok(out)
    }

    fn add_users(&mut self, view: &View, account_ids: &[String]) -> Result<(), Problem> {
        bound(account_ids.len())?;
        for account_id in account_ids {
            let user = view.with(|snapshot| {
                let id = snapshot.user_by_account_id(account_id)?;
                snapshot.policy.user(id).filter(|facts| facts.active).map(|facts| facts.id)
            });
            self.users.push(user.ok_or_else(|| not_there(account_id))?);
        }
        Ok(())
    }

    async fn add_groups<M: AnyMode>(
        &mut self,
        tx: &mut Tx<M>,
        names: &[String],
        ids: &[String],
    ) -> Result<(), Problem> {
        bound(names.len().saturating_add(ids.len()))?;
        for name in names {
            let found = group::by_name(tx, name).await?;
            self.groups.push(found.ok_or_else(|| not_there(name))?.id);
        }
        for id in ids {
            let found = group::by_uuid(tx, id).await?;
            self.groups.push(found.ok_or_else(|| not_there(id))?.id);
        }
        Ok(())
    }
}

fn bound(actors: usize) -> Result<(), Problem> {
    if actors > ACTORS_MAX {
        return Err(Problem::invalid(format!("At most {ACTORS_MAX} actors can be changed at once.")));
    }
    Ok(())
}

fn not_there(name: &str) -> Problem {
    Problem::not_found(format!(
        "We can't find '{name}' in any accessible user directory. Check they're still active and available, and try again."
    ))
}

/// The one user or group that a query names.
pub(super) enum Named {
    User(UserId),
    Group(GroupId),
    Unknown(String),
}

impl Named {
    pub(super) async fn of_query<M: AnyMode>(tx: &mut Tx<M>, view: &View, input: &Input) -> Result<Self, Problem> {
        let (user, group, group_id) = (input.query("user"), input.query("group"), input.query("groupId"));
        match (user, group, group_id) {
            (Some(account_id), None, None) => {
                let found = view.with(|snapshot| snapshot.user_by_account_id(account_id));
                Ok(found.map_or_else(|| Named::Unknown(account_id.to_owned()), Named::User))
            }
            (None, Some(name), None) => {
                let found = group::by_name(tx, name).await?;
                Ok(found.map_or_else(|| Named::Unknown(name.to_owned()), |group| Named::Group(group.id)))
            }
            (None, None, Some(id)) => {
                let found = group::by_uuid(tx, id).await?;
                Ok(found.map_or_else(|| Named::Unknown(id.to_owned()), |group| Named::Group(group.id)))
            }
            _ => Err(Problem::invalid("Exactly one of 'user', 'group' and 'groupId' must be specified.")),
        }
    }
}

async fn actors<M: AnyMode>(
    tx: &mut Tx<M>,
    project: ProjectId,
    role: i64,
    input: &Input,
) -> Result<Vec<Json>, StoreError> {
    let sql = "
        SELECT a.id, u.account_id, u.display_name, u.active, g.name AS group_name, g.uuid AS group_uuid
          FROM jira_role_actor a LEFT JOIN account_user u ON u.id = a.user_id LEFT JOIN account_group g ON g.id = a.group_id
         WHERE a.project_id = $1 AND a.role_id = $2 ORDER BY a.id";
    let only_active = input.query_bool("excludeInactiveUsers").ok().flatten().unwrap_or(false);
    let mut out = Vec::new();
    for row in tx.query(sql, &[project.0.into(), role.into()]).await? {
        if !only_active || row.get::<Option<bool>>("active")? != Some(false) {
            out.push(actor_json(&row, input)?);
        }
    }
    Ok(out)
}

async fn role_json<M: AnyMode>(
    tx: &mut Tx<M>,
    project: ProjectId,
    role: &Role,
    input: &Input,
) -> Result<Json, StoreError> {
    let actors = actors(tx, project, role.id, input).await?;
    Ok(role.json(role.project_link(project, input), Some(actors)))
}

/// Names and links. The row asks for Administer Projects in any project; which project is looked at is checked here.
async fn list(mut cx: Ctx<op::GetProjectRoles>, input: Input) -> Outcome<op::GetProjectRoles> {
    let view = cx.view().clone();
    let name = input.param("projectIdOrKey");
    let project = visible_named(cx.tx(), &view, name).await?.ok_or_else(|| unknown_project(name))?;
    let json = links(cx.tx(), project, &input).await?;
    cx.done(Reply::json(json))
}

async fn get(mut cx: Ctx<op::GetProjectRole>, input: Input) -> Outcome<op::GetProjectRole> {
    let project = cx.target().project()?;
    require_live(cx.view(), project, &input, "projectIdOrKey")?;
    input.query_bool("excludeInactiveUsers")?;
    let role = named_in(cx.tx(), input.param("id"), project).await?;
    let json = role_json(cx.tx(), project, &role, &input).await?;
    cx.done(Reply::json(json))
}

async fn details(mut cx: Ctx<op::GetProjectRoleDetails>, input: Input) -> Outcome<op::GetProjectRoleDetails> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    require_live(&view, project, &input, "projectIdOrKey")?;
    let mine = input.query_bool("currentMember")?.unwrap_or(false);
    let without_apps = input.query_bool("excludeConnectAddons")?.unwrap_or(false);
    let mut out = Vec::new();
    for role in of_project(cx.tx(), project).await? {
        let id = portcullis_model::RoleId(role.id);
        let member = || {
            let user = view.caller().user();
            user.is_some_and(|user| view.with(|snapshot| snapshot.policy.has_role(user, project, id)))
        };
        if (without_apps && id == APPS) || (mine && !member()) {
            continue;
        }
        let mut json = role.json(role.project_link(project, &input), None);
        if let Some(members) = json.as_object_mut() {
            members.insert("admin".into(), (id == ADMINISTRATORS).into());
            members.insert("default".into(), false.into());
            members.insert("roleConfigurable".into(), true.into());
            members.insert("translatedName".into(), role.name.clone().into());
        }
        out.push(json);
    }
    cx.done(Reply::json(Json::Array(out)))
}

async fn add(mut cx: Ctx<op::AddActorUsers>, input: Input) -> Outcome<op::AddActorUsers> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    require_live(&view, project, &input, "projectIdOrKey")?;
    let role = named_in(cx.tx(), input.param("id"), project).await?;
    let added = Added::of_body(cx.tx(), &view, &input).await?;
    let before = actors(cx.tx(), project, role.id, &input).await?;
    insert(cx.tx(), project, role.id, &added).await?;
    let json = role_json(cx.tx(), project, &role, &input).await?;
    cx.audit(target(project, &role), Some(json!({"actors": before})), Some(json.clone()));
    cx.changed(Entity::Project(project));
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    categorised_actors: BTreeMap<String, Vec<String>>,
}

async fn set(mut cx: Ctx<op::SetActors>, input: Input) -> Outcome<op::SetActors> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    require_live(&view, project, &input, "projectIdOrKey")?;
    let role = named_in(cx.tx(), input.param("id"), project).await?;
    let body: Replacement = input.parse()?;
    let mut wanted = Added::default();
    for (kind, names) in &body.categorised_actors {
        match kind.as_str() {
            "atlassian-user-role-actor" => wanted.add_users(&view, names)?,
            "atlassian-group-role-actor" => wanted.add_groups(cx.tx(), names, &[]).await?,
            "atlassian-group-role-actor-id" => wanted.add_groups(cx.tx(), &[], names).await?,
            other => return Err(Problem::invalid(format!("'{other}' is not a kind of role actor."))),
        }
    }
    let before = actors(cx.tx(), project, role.id, &input).await?;
    let sql = "DELETE FROM jira_role_actor WHERE project_id = $1 AND role_id = $2";
    cx.tx().execute(sql, &[project.0.into(), role.id.into()]).await?;
    insert(cx.tx(), project, role.id, &wanted).await?;
    let json = role_json(cx.tx(), project, &role, &input).await?;
    cx.audit(target(project, &role), Some(json!({"actors": before})), Some(json.clone()));
    cx.changed(Entity::Project(project));
    cx.done(Reply::json(json))
}

/// Removing who is not there succeeds.
async fn remove(mut cx: Ctx<op::DeleteActor>, input: Input) -> Outcome<op::DeleteActor> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    require_live(&view, project, &input, "projectIdOrKey")?;
    let role = named_in(cx.tx(), input.param("id"), project).await?;
    let before = actors(cx.tx(), project, role.id, &input).await?;
    match Named::of_query(cx.tx(), &view, &input).await? {
        Named::User(user) => {
            let sql = "DELETE FROM jira_role_actor WHERE project_id = $1 AND role_id = $2 AND user_id = $3";
            cx.tx().execute(sql, &[project.0.into(), role.id.into(), user.0.into()]).await?;
        }
        Named::Group(group) => {
            let sql = "DELETE FROM jira_role_actor WHERE project_id = $1 AND role_id = $2 AND group_id = $3";
            cx.tx().execute(sql, &[project.0.into(), role.id.into(), group.0.into()]).await?;
        }
        Named::Unknown(_) => {}
    }
    let after = actors(cx.tx(), project, role.id, &input).await?;
    cx.audit(target(project, &role), Some(json!({"actors": before})), Some(json!({"actors": after})));
    cx.changed(Entity::Project(project));
    cx.done(Reply::no_content())
}

fn target(project: ProjectId, role: &Role) -> String {
    format!("project:{project}/role:{}", role.id)
}

/// Gives a role in a project.
pub(super) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    project: ProjectId,
    role: i64,
    added: &Added,
) -> Result<(), Problem> {
    for user in &added.users {
        let sql =
            "INSERT INTO jira_role_actor (project_id, role_id, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[project.0.into(), role.into(), user.0.into()]).await?;
    }
    for group in &added.groups {
        let sql =
            "INSERT INTO jira_role_actor (project_id, role_id, group_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[project.0.into(), role.into(), group.0.into()]).await?;
    }
    // The engine takes so many roles into account; one more would be granted here and refused there.
    let sql = "SELECT count(DISTINCT role_id) AS roles FROM jira_role_actor WHERE project_id = $1";
    let roles: i64 = tx.query_one(sql, &[project.0.into()]).await?.get("roles")?;
    if usize::try_from(roles).unwrap_or(usize::MAX) > ROLES_PER_PROJECT_MAX {
        return Err(Problem::invalid(format!("A project can have actors in at most {ROLES_PER_PROJECT_MAX} roles.")));
    }
    Ok(())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(get);
    handlers.on(details);
    handlers.on(add);
    handlers.on(set);
    handlers.on(remove);
}
