//! How far an app would reach for one person: an app never sees or does more than the person may.

use portcullis_apps::oauth::scope::{Shown, Weight};
use portcullis_guard::{AnyMode, SqlBuilder, Tx, View};
use portcullis_jira::visible::push_issue_visible;
use portcullis_model::{GlobalPermission, Problem, ProjectPermission, UserId};

/// Projects named on the page; more are counted.
const NAMED_MAX: usize = 6;

/// What a person sees, and so what an app sees through them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Projects that the person browses.
    pub projects: usize,
    /// Keys of some of them.
    pub named: Vec<String>,
    /// Those that are not named.
    pub more: usize,
    /// Issues that the person sees.
    pub issues: i64,
    /// Projects that the person administers.
    pub administered: usize,
    /// Whether the person has access to Jira at all.
    pub has_access: bool,
}

impl Reach {
    /// A right that the person lacks and without which a scope leads to nothing.
    pub(crate) fn lacks(&self, view: &View, user: UserId, scope: &Shown) -> Option<&'static str> {
        let about_jira = scope.name.contains("jira");
        if about_jira && !self.has_access {
            return Some("you have no access to Jira");
        }
        match scope.name {
            "manage:jira-project" if self.administered == 0 => Some("you administer no project"),
            "manage:jira-configuration" if scope.weight == Weight::Administers => {
                let administers =
                    view.with(|snapshot| snapshot.policy.holds_global(Some(user), GlobalPermission::Administer));
                (!administers).then_some("you do not administer Jira")
            }
            _ => None,
        }
    }
}

pub(crate) async fn of<M: AnyMode>(tx: &mut Tx<M>, view: &View, user: UserId, app: &str) -> Result<Reach, Problem> {
    let (visibility, mut keys, administered, has_access) = view.with(|snapshot| {
        let policy = &snapshot.policy;
        let visibility = policy.visibility(Some(user)).without(snapshot.closed_to(app));
        let keys: Vec<String> = policy
            .projects()
            .filter(|project| !project.trashed && visibility.projects.contains(&project.id))
            .map(|project| project.key.clone())
            .collect();
        let administers = |project| policy.holds(Some(user), ProjectPermission::AdministerProjects, project, None);
        let administered =
            policy.projects().filter(|project| !project.trashed && administers(project.id).is_some()).count();
        (visibility, keys, administered, policy.has_access(user))
    });
    keys.sort_unstable();
    let mut sql = SqlBuilder::new(
        "SELECT count(*) AS n FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE p.trashed_at_ms IS NULL AND ",
    );
    push_issue_visible(&mut sql, &visibility);
    let issues = tx.query_one(sql, &[]).await?.get("n")?;
    let projects = keys.len();
    let more = projects.saturating_sub(NAMED_MAX);
    keys.truncate(NAMED_MAX);
    Ok(Reach { projects, named: keys, more, issues, administered, has_access })
}
