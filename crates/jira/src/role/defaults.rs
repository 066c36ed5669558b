//! `/role/{id}/actors`: who gets a role in projects that are made from now on.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, Writes};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::actors::{Added, Named};
use super::{Role, actor_json, named};

async fn actors<M: AnyMode>(tx: &mut Tx<M>, role: i64, input: &Input) -> Result<Vec<Json>, StoreError> {
    let sql = "
        SELECT a.id, u.account_id, u.display_name, g.name AS group_name, g.uuid AS group_uuid
          FROM jira_role_default_actor a LEFT JOIN account_user u ON u.id = a.user_id LEFT JOIN account_group g ON g.id = a.group_id
         WHERE a.role_id = $1 ORDER BY a.id";
    let rows = tx.query(sql, &[role.into()]).await?;
    rows.iter().map(|row| actor_json(row, input)).collect()
}

/// The role with its default actors.
pub(super) async fn role_json<M: AnyMode>(tx: &mut Tx<M>, role: &Role, input: &Input) -> Result<Json, StoreError> {
    let actors = actors(tx, role.id, input).await?;
    Ok(role.json(role.site_link(input), Some(actors)))
}

async fn get(mut cx: Ctx<op::GetProjectRoleActorsForRole>, input: Input) -> Outcome<op::GetProjectRoleActorsForRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let actors = actors(cx.tx(), role.id, &input).await?;
    cx.done(Reply::json(json!({"actors": actors})))
}

async fn add(mut cx: Ctx<op::AddProjectRoleActorsToRole>, input: Input) -> Outcome<op::AddProjectRoleActorsToRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let view = cx.view().clone();
    let added = Added::of_body(cx.tx(), &view, &input).await?;
    let before = actors(cx.tx(), role.id, &input).await?;
    insert(cx.tx(), role.id, &added).await?;
    let after = actors(cx.tx(), role.id, &input).await?;
    cx.audit(format!("role:{}", role.id), Some(Json::Array(before)), Some(Json::Array(after.clone())));
    cx.done(Reply::json(json!({"actors": after})))
}

/// Gives a role in projects that are made from now on.
pub(super) async fn insert<M: Writes>(tx: &mut Tx<M>, role: i64, added: &Added) -> Result<(), StoreError> {
    for user in &added.users {
        let sql = "INSERT INTO jira_role_default_actor (role_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[role.into(), user.0.into()]).await?;
    }
    for group in &added.groups {
        let sql = "INSERT INTO jira_role_default_actor (role_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[role.into(), group.0.into()]).await?;
    }
    Ok(())
}

async fn remove(
    mut cx: Ctx<op::DeleteProjectRoleActorsFromRole>,
    input: Input,
) -> Outcome<op::DeleteProjectRoleActorsFromRole> {
    let role = named(cx.tx(), input.param("id")).await?;
    let view = cx.view().clone();
    let before = actors(cx.tx(), role.id, &input).await?;
    match Named::of_query(cx.tx(), &view, &input).await? {
        Named::User(user) => {
            let sql = "DELETE FROM jira_role_default_actor WHERE role_id = $1 AND user_id = $2";
            cx.tx().execute(sql, &[role.id.into(), user.0.into()]).await?;
        }
        Named::Group(group) => {
            let sql = "DELETE FROM jira_role_default_actor WHERE role_id = $1 AND group_id = $2";
            cx.tx().execute(sql, &[role.id.into(), group.0.into()]).await?;
        }
        Named::Unknown(name) => {
            return Err(Problem::not_found(format!("'{name}' is not a default actor of the role.")));
        }
    }
    let after = actors(cx.tx(), role.id, &input).await?;
    cx.audit(format!("role:{}", role.id), Some(Json::Array(before)), Some(Json::Array(after.clone())));
    cx.done(Reply::json(json!({"actors": after})))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(add);
    handlers.on(remove);
}
