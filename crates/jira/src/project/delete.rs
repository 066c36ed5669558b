//! `DELETE /project/{projectIdOrKey}`: into the trash, or for good.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply, StoreError, Tx, Writes};
use portcullis_model::{ProjectId, SchemeId};

use super::read::{audit_json, load_one};
use super::unknown;
use crate::event;

/// What belongs to a project, innermost first: rows before those they refer to. `$1` is the project.
const DELETE_ALL: &[&str] = &[
    "DELETE FROM jira_property WHERE entity_type = 'comment' AND entity_id IN
        (SELECT c.id FROM jira_comment c JOIN jira_issue i ON i.id = c.issue_id WHERE i.project_id = $1)",
    "DELETE FROM jira_property WHERE entity_type = 'worklog' AND entity_id IN
        (SELECT w.id FROM jira_worklog w JOIN jira_issue i ON i.id = w.issue_id WHERE i.project_id = $1)",
    "DELETE FROM jira_property WHERE entity_type = 'issue' AND entity_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_property WHERE entity_type = 'project' AND entity_id = $1",
    "DELETE FROM jira_attachment_content WHERE attachment_id IN
        (SELECT a.id FROM jira_attachment a JOIN jira_issue i ON i.id = a.issue_id WHERE i.project_id = $1)",
    "DELETE FROM jira_attachment WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_comment WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_worklog WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_watcher WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_vote WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_issue_link WHERE source_id IN (SELECT id FROM jira_issue WHERE project_id = $1)
        OR destination_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_remote_link WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_change_item WHERE change_id IN
        (SELECT c.id FROM jira_change c JOIN jira_issue i ON i.id = c.issue_id WHERE i.project_id = $1)",
    "DELETE FROM jira_change WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_issue_label WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_issue_component WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)
        OR component_id IN (SELECT id FROM jira_component WHERE project_id = $1)",
    "DELETE FROM jira_issue_version WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)
        OR version_id IN (SELECT id FROM jira_version WHERE project_id = $1)",
    "DELETE FROM jira_issue_value WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_issue_former_key WHERE issue_id IN (SELECT id FROM jira_issue WHERE project_id = $1)
        OR project_key IN (SELECT key FROM jira_project WHERE id = $1)
        OR project_key IN (SELECT key FROM jira_project_former_key WHERE project_id = $1)",
    "UPDATE jira_issue SET parent_id = NULL WHERE parent_id IN (SELECT id FROM jira_issue WHERE project_id = $1)",
    "DELETE FROM jira_issue WHERE project_id = $1",
    "DELETE FROM jira_component WHERE project_id = $1",
    "DELETE FROM jira_version WHERE project_id = $1",
    "DELETE FROM jira_filter_share WHERE project_id = $1",
    "DELETE FROM jira_role_actor WHERE project_id = $1",
    "DELETE FROM jira_project_former_key WHERE project_id = $1",
    "DELETE FROM jira_project WHERE id = $1",
    // What a team-managed project has of its own.
    "DELETE FROM jira_permission_grant WHERE scheme_id IN (SELECT id FROM jira_permission_scheme WHERE project_id = $1)",
    "DELETE FROM jira_permission_scheme WHERE project_id = $1",
    "DELETE FROM jira_role_default_actor WHERE role_id IN (SELECT id FROM jira_role WHERE project_id = $1)",
    "DELETE FROM jira_role WHERE project_id = $1",
];

/// Removes a project and all that belongs to it. Returns the schemes that went with it. The caller's operation names
/// [`Entity::Project`] and the schemes.
///
/// # Errors
/// The database's.
pub(crate) async fn for_good<M: Writes>(tx: &mut Tx<M>, project: ProjectId) -> Result<Vec<SchemeId>, StoreError> {
    let sql = "SELECT id FROM jira_permission_scheme WHERE project_id = $1";
    let rows = tx.query(sql, &[project.0.into()]).await?;
    let schemes = rows.iter().map(|row| row.get("id").map(SchemeId)).collect::<Result<Vec<_>, _>>()?;
    for statement in DELETE_ALL {
        tx.execute(*statement, &[project.0.into()]).await?;
    }
    Ok(schemes)
}

async fn delete(mut cx: Ctx<op::DeleteProject>, input: Input) -> Outcome<op::DeleteProject> {
    let id = cx.target().project()?;
    let keep = input.query_bool("enableUndo")?.unwrap_or(true);
    let project = load_one(cx.tx(), id).await?;
    if keep && project.trashed_at_ms.is_some() {
        return Err(unknown(input.param("projectIdOrKey")));
    }
    let before = audit_json(cx.tx(), id).await?;
    event::about_project(&mut cx, if keep { "project_soft_deleted" } else { "project_deleted" }, id, None).await?;
    if keep {
        let (now, user) = (cx.now(), cx.user()?);
        let sql = "UPDATE jira_project SET trashed_at_ms = $2, trashed_by = $3 WHERE id = $1";
        cx.tx().execute(sql, &[id.0.into(), now.0.into(), user.0.into()]).await?;
        let after = audit_json(cx.tx(), id).await?;
        cx.audit(format!("project:{id}"), Some(before), Some(after));
    } else {
        for scheme in for_good(cx.tx(), id).await? {
            cx.changed(Entity::Scheme(scheme));
        }
        cx.audit(format!("project:{id}"), Some(before), None);
    }
    cx.changed(Entity::Project(id));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(delete);
}
