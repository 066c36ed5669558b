//! `/role`: the site's project roles.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx, Writes};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{COLUMNS, Role, defaults, named};
use crate::text::{bounded, fold};

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    description: Option<String>,
}

async fn all(mut cx: Ctx<op::GetAllProjectRoles>, input: Input) -> Outcome<op::GetAllProjectRoles> {
    let mut sql = portcullis_guard::SqlBuilder::new(COLUMNS);
    sql.push("ORDER BY id");
    let rows = cx.tx().query(sql, &[]).await?;
    let mut out = Vec::with_capacity(rows.len());
    for row in &rows {
        let role = Role::of(row)?;
        out.push(defaults::role_json(cx.tx(), &role, &input).await?);
    }
    cx.done(Reply::json(Json::Array(out)))
}

async fn get(mut cx: Ctx<op::GetProjectRoleById>, input: Input) -> Outcome<op::GetProjectRoleById> {
    let role = named(cx.tx(), input.param("id")).await?;
    let json = defaults::role_json(cx.tx(), &role, &input).await?;
    cx.done(Reply::json(json))
}

async fn create(mut cx: Ctx<op::CreateProjectRole>, input: Input) -> Outcome<op::CreateProjectRole> {
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), None).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 1000)?;
    let sql = "INSERT INTO jira_role (name, name_folded, description) VALUES ($1, $2, $3) RETURNING id";
    let params = [name.as_str().into(), fold(&name).into(), description.as_str().into()];
    let id: i64 = cx.tx().query_one(sql, &params).await?.get("id")?;
    let role = Role { id, name, description, project: None };
    cx.audit(format!("role:{id}"), None, Some(audit_json(&role)));
    let json = defaults::role_json(cx.tx(), &role, &input).await?;
    cx.done(Reply::json(json))
}

/// `PUT`: both members are required.
async fn replace(mut cx: Ctx<op::FullyUpdateProjectRole>, input: Input) -> Outcome<op::FullyUpdateProjectRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let body: Body = input.parse()?;
    let (Some(name), Some(description)) = (body.name, body.description) else {
        return Err(Problem::invalid("Both the name and the description of the role must be specified."));
    };
    let changed = update(cx.tx(), &role, &name, &description).await?;
    cx.audit(format!("role:{}", role.id), Some(audit_json(&role)), Some(audit_json(&changed)));
    let json = defaults::role_json(cx.tx(), &changed, &input).await?;
    cx.done(Reply::json(json))
}

/// `POST`: the name, or else the description.
async fn change(mut cx: Ctx<op::PartialUpdateProjectRole>, input: Input) -> Outcome<op::PartialUpdateProjectRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let body: Body = input.parse()?;
    if body.name.is_none() && body.description.is_none() {
        return Err(Problem::invalid("The name or the description of the role must be specified."));
    }
    let name = body.name.unwrap_or_else(|| role.name.clone());
    let description = body.description.unwrap_or_else(|| role.description.clone());
    let changed = update(cx.tx(), &role, &name, &description).await?;
    cx.audit(format!("role:{}", role.id), Some(audit_json(&role)), Some(audit_json(&changed)));
    let json = defaults::role_json(cx.tx(), &changed, &input).await?;
    cx.done(Reply::json(json))
}

async fn update<M: Writes>(tx: &mut Tx<M>, role: &Role, name: &str, description: &str) -> Result<Role, Problem> {
    let name = checked_name(tx, name, Some(role)).await?;
    bounded("description", description, 1000)?;
    let sql = "UPDATE jira_role SET name = $2, name_folded = $3, description = $4 WHERE id = $1";
    tx.execute(sql, &[role.id.into(), name.as_str().into(), fold(&name).into(), description.into()]).await?;
    Ok(Role { name, description: description.to_owned(), ..role.clone() })
}

/// A name that no other role of the site (or of the role's own project) has.
async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, name: &str, of: Option<&Role>) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::invalid("The project role name must not be empty."));
    }
    bounded("name", name, 255)?;
    let project = of.and_then(|role| role.project).map_or(0, |project| project.0);
    let sql = "SELECT id FROM jira_role WHERE name_folded = $1 AND coalesce(project_id, 0) = $2 AND id <> $3";
    let own = of.map_or(0, |role| role.id);
    if tx.query_opt(sql, &[fold(name).into(), project.into(), own.into()]).await?.is_some() {
        return Err(Problem::conflict(format!("A project role with name '{name}' already exists.")));
    }
    Ok(name.to_owned())
}

pub(super) fn audit_json(role: &Role) -> Json {
    json!({"name": role.name, "description": role.description})
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(create);
    handlers.on(replace);
    handlers.on(change);
}
