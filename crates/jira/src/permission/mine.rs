//! `GET /mypermissions` and `GET /permissions`.

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx, View};
use portcullis_model::{Problem, ProjectId, ProjectPermission};
use serde_json::{Map, Value as Json, json};

use super::Permission;
use crate::issue::facts;
use crate::project;
use crate::visible::push_unrestricted;

/// What the question is about.
enum Context {
    /// Any of these, the projects that the caller sees.
    Anywhere(Vec<ProjectId>),
    Project(ProjectId),
    Issue(IssueFacts),
}

async fn mine(mut cx: Ctx<op::GetMyPermissions>, input: Input) -> Outcome<op::GetMyPermissions> {
    let view = cx.view().clone();
    let asked = input.query_list("permissions");
    if asked.is_empty() {
        return Err(Problem::invalid("The 'permissions' query parameter is required."));
    }
    let asked = asked.into_iter().map(str::parse).collect::<Result<Vec<Permission>, _>>()?;
    let context = context(cx.tx(), &view, &input, &asked).await?;
    let mut out = Map::new();
    for permission in asked {
        let mut json = permission.json();
        json.insert("id".into(), permission.id().into());
        json.insert("havePermission".into(), has(&view, permission, &context).into());
        out.insert(permission.key().to_owned(), Json::Object(json));
    }
    cx.done(Reply::json(json!({"permissions": out})))
}

fn has(view: &View, permission: Permission, context: &Context) -> bool {
    let permission = match permission {
        Permission::Global(permission) => return view.may_global(permission),
        Permission::Project(permission) => permission,
    };
    let user = view.caller().user();
    let could = |project: ProjectId| view.with(|snapshot| snapshot.policy.could_hold(user, permission, project));
    match context {
        Context::Anywhere(projects) => projects.iter().any(|project| could(*project)),
        Context::Project(project) => could(*project),
        Context::Issue(issue) => view.may(permission, issue.project, Some(issue)),
    }
}

async fn context<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    asked: &[Permission],
) -> Result<Context, Problem> {
    let named = |name: &str| input.query(name).filter(|value| !value.is_empty());
    if let Some(text) = named("commentId") {
        let browse = Permission::Project(ProjectPermission::BrowseProjects);
        if asked.iter().any(|permission| *permission != browse) {
            return Err(Problem::invalid("With 'commentId' only BROWSE_PROJECTS can be asked for."));
        }
        return comment(tx, view, text).await;
    }
    if let Some(name) = named("issueKey").or_else(|| named("issueId")) {
        let issue = facts::visible_named(tx, view, name)
            .await?
            .ok_or_else(|| Problem::not_found("Issue does not exist or you do not have permission to see it."))?;
        return Ok(Context::Issue(issue));
    }
    if let Some(name) = named("projectKey").or_else(|| named("projectId")) {
        let project = project::visible_named(tx, view, name).await?.ok_or_else(|| project::unknown(name))?;
        return Ok(Context::Project(project));
    }
    let seen = project::visible(tx, view).await?;
    if let Some(uuid) = named("projectUuid").or_else(|| named("projectConfigurationUuid")) {
        let row = tx.query_opt("SELECT id FROM jira_project WHERE uuid = $1", &[uuid.into()]).await?;
        let project = row.map(|row| row.get("id").map(ProjectId)).transpose()?;
        let project = project.filter(|project| seen.contains(project));
        return Ok(Context::Project(project.ok_or_else(|| project::unknown(uuid))?));
    }
    Ok(Context::Anywhere(seen))
}

async fn comment<M: AnyMode>(tx: &mut Tx<M>, view: &View, text: &str) -> Result<Context, Problem> {
    let unknown = || Problem::not_found(format!("Can not find a comment for the id: {text}."));
    let id = text.parse::<i64>().map_err(|_| unknown())?;
    let row = tx.query_opt("SELECT issue_id FROM jira_comment WHERE id = $1", &[id.into()]).await?;
    let issue = row.ok_or_else(unknown)?.get::<i64>("issue_id")?;
    let issue = facts::load(tx, view, &[issue]).await?.remove(&issue).filter(|issue| facts::sees(view, issue));
    let issue = issue.ok_or_else(unknown)?;
    let mut sql = portcullis_guard::SqlBuilder::new("SELECT c.id FROM jira_comment c WHERE c.id = ");
    sql.bind(id).push(" AND ");
    push_unrestricted(&mut sql, view, issue.project);
    tx.query_opt(sql, &[]).await?.ok_or_else(unknown)?;
    Ok(Context::Issue(issue))
}

async fn all(cx: Ctx<op::GetAllPermissions>, _: Input) -> Outcome<op::GetAllPermissions> {
    let all: Map<String, Json> =
        Permission::all().map(|permission| (permission.key().to_owned(), Json::Object(permission.json()))).collect();
    cx.done(Reply::json(json!({"permissions": all})))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(mine);
    handlers.on(all);
}
