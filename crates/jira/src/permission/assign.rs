//! `/project/{projectKeyOrId}/permissionscheme`: which scheme a project has.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::{Problem, ProjectId, SchemeId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::scheme::{Scheme, load, scheme_json};
use crate::project::require_live;
use crate::text::int_of;

async fn assigned<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId) -> Result<Scheme, Problem> {
    let sql = "SELECT permission_scheme_id FROM jira_project WHERE id = $1";
    let id = SchemeId(tx.query_one(sql, &[project.0.into()]).await?.get("permission_scheme_id")?);
    load(tx, id).await?.ok_or_else(|| Problem::bug("project without its permission scheme"))
}

async fn get(mut cx: Ctx<op::GetAssignedPermissionScheme>, input: Input) -> Outcome<op::GetAssignedPermissionScheme> {
    let project = cx.target().project()?;
    require_live(cx.view(), project, &input, "projectKeyOrId")?;
    let scheme = assigned(cx.tx(), project).await?;
    let json = scheme_json(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
struct Body {
    id: Json,
}

async fn assign(mut cx: Ctx<op::AssignPermissionScheme>, input: Input) -> Outcome<op::AssignPermissionScheme> {
    let project = cx.target().project()?;
    require_live(cx.view(), project, &input, "projectKeyOrId")?;
    let body: Body = input.parse()?;
    let before = assigned(cx.tx(), project).await?;
    let id = int_of(&body.id)
        .map(SchemeId)
        .ok_or_else(|| Problem::invalid("The id of the permission scheme must be a number."))?;
    let unknown = || Problem::not_found(format!("Permission scheme with ID {id} does not exist."));
    let scheme = load(cx.tx(), id).await?.ok_or_else(unknown)?;
    if scheme.id != before.id && (scheme.project.is_some() || before.project.is_some()) {
        return Err(Problem::invalid(
            "A team-managed project keeps its own permission scheme, and nobody else can use it.",
        ));
    }
    let sql = "UPDATE jira_project SET permission_scheme_id = $2 WHERE id = $1";
    cx.tx().execute(sql, &[project.0.into(), id.0.into()]).await?;
    let note = |scheme: &Scheme| Some(json!({"permissionScheme": {"id": scheme.id.0, "name": scheme.name}}));
    cx.audit(format!("project:{project}"), note(&before), note(&scheme));
    cx.changed(Entity::Project(project));
    let json = scheme_json(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::json(json))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(assign);
}
