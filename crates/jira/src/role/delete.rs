//! `DELETE /role/{id}`, with another role in its place or only when nothing uses it.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Tx, Writes};
use portcullis_model::{Problem, ProjectId, SchemeId, SecuritySchemeId};

use super::named;
use super::roles::audit_json;

async fn delete(mut cx: Ctx<op::DeleteProjectRole>, input: Input) -> Outcome<op::DeleteProjectRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let swap = match input.query_int("swap")? {
        None => None,
        Some(id) => Some(named(cx.tx(), &id.to_string()).await?),
    };
    if swap.as_ref().is_some_and(|swap| swap.id == role.id || swap.project != role.project) {
        return Err(Problem::invalid("The role cannot be replaced by this one."));
    }
    let affected = affected(cx.tx(), role.id).await?;
    let used = affected.iter().any(|entity| matches!(entity, Entity::Scheme(_) | Entity::SecurityScheme(_)));
    if used && swap.is_none() {
        return Err(Problem::conflict(format!(
            "The project role '{}' is used by permission or issue security schemes. Name another one with 'swap'.",
            role.name
        )));
    }
    match &swap {
        Some(swap) => replace(cx.tx(), role.id, swap.id).await?,
        None => forget(cx.tx(), role.id).await?,
    }
    for statement in REMOVE {
        cx.tx().execute(*statement, &[role.id.into()]).await?;
    }
    for entity in affected {
        cx.changed(entity);
    }
    cx.audit(format!("role:{}", role.id), Some(audit_json(&role)), None);
    cx.done(Reply::no_content())
}

/// Whose rights depend on the role.
async fn affected<M: AnyMode>(tx: &mut Tx<M>, role: i64) -> Result<Vec<Entity>, Problem> {
    let mut out = Vec::new();
    let sql = "SELECT DISTINCT scheme_id AS id FROM jira_permission_grant WHERE role_id = $1";
    for row in tx.query(sql, &[role.into()]).await? {
        out.push(Entity::Scheme(SchemeId(row.get("id")?)));
    }
    let sql = "SELECT DISTINCT l.scheme_id AS id FROM jira_security_member m
                 JOIN jira_security_level l ON l.id = m.level_id WHERE m.role_id = $1";
    for row in tx.query(sql, &[role.into()]).await? {
        out.push(Entity::SecurityScheme(SecuritySchemeId(row.get("id")?)));
    }
    let sql = "SELECT DISTINCT project_id AS id FROM jira_role_actor WHERE role_id = $1";
    for row in tx.query(sql, &[role.into()]).await? {
        out.push(Entity::Project(ProjectId(row.get("id")?)));
    }
    Ok(out)
}

/// Puts `$2` where `$1` stands, unless it stands there already.
const REPLACE: &[&str] = &[
    "UPDATE jira_permission_grant SET role_id = $2 WHERE role_id = $1 AND NOT EXISTS
        (SELECT 1 FROM jira_permission_grant o WHERE o.scheme_id = jira_permission_grant.scheme_id
            AND o.permission = jira_permission_grant.permission AND o.holder_type = jira_permission_grant.holder_type
            AND o.role_id = $2)",
    "UPDATE jira_security_member SET role_id = $2 WHERE role_id = $1 AND NOT EXISTS
        (SELECT 1 FROM jira_security_member o WHERE o.level_id = jira_security_member.level_id
            AND o.holder_type = jira_security_member.holder_type AND o.role_id = $2)",
    "UPDATE jira_comment SET role_id = $2 WHERE role_id = $1",
    "UPDATE jira_worklog SET role_id = $2 WHERE role_id = $1",
    "UPDATE jira_filter_share SET role_id = $2 WHERE role_id = $1",
];

async fn replace<M: Writes>(tx: &mut Tx<M>, role: i64, swap: i64) -> Result<(), Problem> {
    for statement in REPLACE {
        tx.execute(*statement, &[role.into(), swap.into()]).await?;
    }
    Ok(())
}

/// What was restricted to the role is open to nobody afterwards, and filters shared with it are shared with nobody.
async fn forget<M: Writes>(tx: &mut Tx<M>, role: i64) -> Result<(), Problem> {
    tx.execute("UPDATE jira_comment SET role_id = NULL WHERE role_id = $1", &[role.into()]).await?;
    tx.execute("UPDATE jira_worklog SET role_id = NULL WHERE role_id = $1", &[role.into()]).await?;
    tx.execute("DELETE FROM jira_filter_share WHERE role_id = $1", &[role.into()]).await?;
    Ok(())
}

/// What is left of the role afterwards.
const REMOVE: &[&str] = &[
    "DELETE FROM jira_permission_grant WHERE role_id = $1",
    "DELETE FROM jira_security_member WHERE role_id = $1",
    "DELETE FROM jira_role_actor WHERE role_id = $1",
    "DELETE FROM jira_role_default_actor WHERE role_id = $1",
    "DELETE FROM jira_role WHERE id = $1",
];

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(delete);
}
