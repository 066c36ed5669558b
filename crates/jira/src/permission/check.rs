//! `POST /permissions/check` and `POST /permissions/project`.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::{GlobalPermission, Problem, ProjectId, ProjectPermission};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value as Json, json};

use super::Permission;
use crate::issue::facts;
use crate::project;

/// Permissions, projects or issues in one request.
const ITEMS_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    account_id: Option<String>,
    #[serde(default)]
    global_permissions: Vec<String>,
    #[serde(default)]
    project_permissions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default, deserialize_with = "ids")]
    projects: Vec<i64>,
    #[serde(default, deserialize_with = "ids")]
    issues: Vec<i64>,
}

/// Ids as numbers or as texts: `@forge/auth` hands on what an app gives it, and events hold ids as texts.
fn ids<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(i64),
        Text(String),
    }
    let read = |id| match id {
        Id::Number(id) => Ok(id),
        Id::Text(text) => text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an id"))),
    };
    Vec::<Id>::deserialize(input)?.into_iter().map(read).collect()
}

/// What somebody holds among what is asked for; unknown and hidden projects and issues are left out.
async fn check(mut cx: Ctx<op::GetBulkPermissions>, input: Input) -> Outcome<op::GetBulkPermissions> {
    let view = cx.view().clone();
    let body: Body = input.parse()?;
    let user = match &body.account_id {
        None => view.caller().user(),
        Some(account_id) => Some(
            cx.target()
                .user
                .ok_or_else(|| Problem::invalid(format!("The user with account ID '{account_id}' does not exist.")))?,
        ),
    };
    let asked = body
        .project_permissions
        .iter()
        .map(|question| question.permissions.len().max(question.projects.len()).max(question.issues.len()));
    if asked.fold(body.global_permissions.len(), usize::saturating_add) > ITEMS_MAX {
        return Err(Problem::invalid(format!(
            "At most {ITEMS_MAX} permissions, projects and issues can be checked at once."
        )));
    }
    let globals = body.global_permissions.iter().map(|key| {
        key.parse::<GlobalPermission>().map_err(|_| Problem::invalid(format!("Unrecognized permission: {key}")))
    });
    let globals = globals.collect::<Result<Vec<_>, _>>()?;
    let held: Vec<&str> = view.with(|snapshot| {
        globals.iter().filter(|permission| snapshot.policy.holds_global(user, **permission)).map(|p| p.key()).collect()
    });
    let seen = project::visible(cx.tx(), &view).await?;
    let mut grants: Vec<Json> = Vec::new();
    for question in &body.project_permissions {
        let permissions = question.permissions.iter().map(|key| {
            key.parse::<ProjectPermission>().map_err(|_| Problem::invalid(format!("Unrecognized permission: {key}")))
        });
        let permissions = permissions.collect::<Result<Vec<_>, _>>()?;
        let mut issues = facts::load(cx.tx(), &view, &question.issues).await?;
        // Neither the caller nor the account in question may learn of an issue in this way.
        issues.retain(|_, issue| {
            facts::sees(&view, issue)
                && view.user_may(user, ProjectPermission::BrowseProjects, issue.project, Some(issue))
                && view.with(|snapshot| snapshot.policy.in_level(user, issue)).is_ok()
        });
        for permission in permissions {
            let in_projects: Vec<i64> = view.with(|snapshot| {
                let could = |id: &&i64| {
                    seen.contains(&ProjectId(**id)) && snapshot.policy.could_hold(user, permission, ProjectId(**id))
                };
                question.projects.iter().filter(could).copied().collect()
            });
            let on_issues: Vec<i64> = question
                .issues
                .iter()
                .filter(|id| {
                    issues.get(id).is_some_and(|issue| view.user_may(user, permission, issue.project, Some(issue)))
                })
                .copied()
                .collect();
            grants.push(json!({"permission": permission.key(), "issues": on_issues, "projects": in_projects}));
        }
    }
    cx.done(Reply::json(json!({"projectPermissions": grants, "globalPermissions": held})))
}

#[derive(Deserialize)]
struct PermittedBody {
    permissions: Vec<String>,
}

/// Projects in which the caller holds every permission that is asked for.
async fn permitted(mut cx: Ctx<op::GetPermittedProjects>, input: Input) -> Outcome<op::GetPermittedProjects> {
    let view = cx.view().clone();
    let body: PermittedBody = input.parse()?;
    if body.permissions.len() > ITEMS_MAX {
        return Err(Problem::invalid(format!("At most {ITEMS_MAX} permissions can be asked for at once.")));
    }
    let asked = body.permissions.iter().map(|key| key.parse()).collect::<Result<Vec<Permission>, _>>()?;
    let user = view.caller().user();
    let seen = project::visible(cx.tx(), &view).await?;
    let projects: Vec<Json> = view.with(|snapshot| {
        let policy = &snapshot.policy;
        let holds = |project: ProjectId| {
            asked.iter().all(|permission| match permission {
                Permission::Global(permission) => policy.holds_global(user, *permission),
                Permission::Project(permission) => policy.could_hold(user, *permission, project),
            })
        };
        let facts = seen.iter().filter(|project| holds(**project)).filter_map(|project| policy.project(*project));
        facts.map(|facts| json!({"id": facts.id.0, "key": facts.key})).collect()
    });
    cx.done(Reply::json(json!({"projects": projects})))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(check);
    handlers.on(permitted);
}
