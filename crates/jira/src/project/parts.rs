//! Small reads of a project: its hierarchy of issue types, its avatars, its notification scheme.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::{read, require_live};
use crate::refs::{self, project_avatar_urls};

/// Jira knows it for team-managed projects only, and says so with 404.
async fn hierarchy(mut cx: Ctx<op::GetHierarchy>, input: Input) -> Outcome<op::GetHierarchy> {
    let id = cx.target().project()?;
    require_live(cx.view(), id, &input, "projectId")?;
    if !read::load_one(cx.tx(), id).await?.team_managed {
        return Err(Problem::not_found("The project is not simplified."));
    }
    let types = refs::issue_types(cx.tx()).await?;
    let levels: Vec<Json> = [(1, "Epic"), (0, "Base"), (-1, "Subtask")]
        .into_iter()
        .map(|(level, name)| {
            let on_level = types.iter().filter(|found| found.hierarchy_level == level);
            let shown: Vec<Json> = on_level.map(|found| json!({"id": found.id, "name": found.name})).collect();
            json!({"level": level, "name": name, "issueTypes": shown})
        })
        .collect();
    cx.done(Reply::json(json!({"projectId": id.0, "hierarchy": levels})))
}

/// There are no notification schemes: nothing is sent.
async fn notification_scheme(
    cx: Ctx<op::GetNotificationSchemeForProject>,
    input: Input,
) -> Outcome<op::GetNotificationSchemeForProject> {
    require_live(cx.view(), cx.target().project()?, &input, "projectKeyOrId")?;
    Err(Problem::not_found("No notification scheme is associated with this project."))
}

/// One avatar serves all projects.
async fn avatars(cx: Ctx<op::GetAllProjectAvatars>, input: Input) -> Outcome<op::GetAllProjectAvatars> {
    require_live(cx.view(), cx.target().project()?, &input, "projectIdOrKey")?;
    let avatar = json!({
        "id": "10200", "isSystemAvatar": true, "isSelected": true, "isDeletable": false, "urls": project_avatar_urls(&input),
    });
    cx.done(Reply::json(json!({"system": [avatar], "custom": []})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(hierarchy);
    handlers.on(notification_scheme);
    handlers.on(avatars);
}
