//! Projects: reading, finding, making, changing, and the way into the trash and out of it.

pub mod create;
mod delete;
mod parts;
mod read;
mod restore;
mod search;
mod trash;
mod types;
mod update;
mod validate;

pub(crate) use read::short_json;

use portcullis_authz::decide::project_visible;
use portcullis_guard::{AnyMode, Handlers, Input, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{GlobalPermission, Problem, ProjectId, ProjectPermission};

use crate::visible::push_issue_visible;

pub(crate) fn handlers(handlers: &mut Handlers) {
    read::handlers(handlers);
    search::handlers(handlers);
    create::handlers(handlers);
    update::handlers(handlers);
    delete::handlers(handlers);
    restore::handlers(handlers);
    trash::handlers(handlers);
    types::handlers(handlers);
    parts::handlers(handlers);
    validate::handlers(handlers);
}

/// The words for a project that is not there, or not for the caller.
pub(crate) fn unknown(name: &str) -> Problem {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        Problem::not_found(format!("No project could be found with id '{name}'."))
    } else {
        Problem::not_found(format!("No project could be found with key '{name}'."))
    }
}

/// Refuses a project in the trash as if it were not there. Rules that Administer Jira alone fulfils do not look at it.
///
/// # Errors
/// 404, naming what `param` of the path says.
pub(crate) fn require_live(view: &View, project: ProjectId, input: &Input, param: &str) -> Result<(), Problem> {
    let live = view.with(|snapshot| snapshot.policy.project(project).is_some_and(|facts| !facts.trashed));
    if live { Ok(()) } else { Err(unknown(input.param(param))) }
}

/// A project that a parameter or body names by id or key, if the caller may know of it.
///
/// # Errors
/// The database's.
pub(crate) async fn visible_named<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    name: &str,
) -> Result<Option<ProjectId>, StoreError> {
    let found = view.with(|snapshot| {
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            let id = ProjectId(name.parse().ok()?);
            snapshot.policy.project(id).map(|facts| facts.id)
        } else {
            snapshot.project_by_key(name)
        }
    });
    let Some(project) = found else { return Ok(None) };
    let visible = view.with(|snapshot| project_visible(&snapshot.policy, view.caller().user(), project));
    if visible || participates(tx, view, &[project]).await?.contains(&project) {
        return Ok(Some(project));
    }
    Ok(None)
}

/// Projects that the caller may know of: it browses or administers them, administers Jira, or takes part in an issue of a project
/// that is open to those who do. By id.
///
/// # Errors
/// The database's.
pub(crate) async fn visible<M: AnyMode>(tx: &mut Tx<M>, view: &View) -> Result<Vec<ProjectId>, StoreError> {
    let user = view.caller().user();
    let (mut seen, rest): (Vec<_>, Vec<_>) = view.with(|snapshot| {
        let policy = &snapshot.policy;
        policy.projects().map(|facts| facts.id).partition(|id| project_visible(policy, user, *id))
    });
    seen.extend(participates(tx, view, &rest).await?);
    seen.sort_unstable();
    Ok(seen)
}

/// Which of the projects the caller sees an issue of, among those that are open to whoever takes part in one.
async fn participates<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    projects: &[ProjectId],
) -> Result<Vec<ProjectId>, StoreError> {
    let mut visibility = view.visibility();
    visibility.conditional.retain(|(project, _)| projects.contains(project));
    if visibility.conditional.is_empty() {
        return Ok(Vec::new());
    }
    let open: Vec<i64> = visibility.conditional.iter().map(|(project, _)| project.0).collect();
    let mut sql = SqlBuilder::new("SELECT DISTINCT i.project_id FROM jira_issue i WHERE i.project_id IN ");
    sql.ids(&open).push(" AND ");
    push_issue_visible(&mut sql, &visibility);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| row.get("project_id").map(ProjectId)).collect()
}

/// Whether the caller administers the project or Jira.
pub(crate) fn administers(view: &View, project: ProjectId) -> bool {
    view.may(ProjectPermission::AdministerProjects, project, None) || view.may_global(GlobalPermission::Administer)
}
