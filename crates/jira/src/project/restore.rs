//! `POST /project/{projectIdOrKey}/restore`: out of the trash.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::json;

use super::read::{load_one, project_json};
use crate::event;

async fn restore(mut cx: Ctx<op::Restore>, input: Input) -> Outcome<op::Restore> {
    let id = cx.target().project()?;
    let project = load_one(cx.tx(), id).await?;
    if project.trashed_at_ms.is_none() {
        return Err(Problem::invalid(format!("The project '{}' is neither archived nor in the trash.", project.key)));
    }
    cx.tx()
        .execute("UPDATE jira_project SET trashed_at_ms = NULL, trashed_by = NULL WHERE id = $1", &[id.0.into()])
        .await?;
    event::about_project(&mut cx, "project_restored_deleted", id, None).await?;
    cx.audit(format!("project:{id}"), Some(json!({"trashed": true})), Some(json!({"trashed": false})));
    cx.changed(Entity::Project(id));
    let view = cx.view().clone();
    let json = project_json(cx.tx(), &view, id, &input).await?;
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(restore);
}
