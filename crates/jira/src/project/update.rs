//! `PUT /project/{projectIdOrKey}`.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::{GlobalPermission, Problem, ProjectId, SchemeId, SecuritySchemeId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::create::{AssigneeType, check_key_and_name, check_references, check_url, lead, reference};
use super::read::{audit_json, load_one, project_json};
use super::require_live;
use crate::event;
use crate::text::{bounded, fold};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    key: Option<String>,
    name: Option<String>,
    description: Option<String>,
    url: Option<String>,
    lead_account_id: Option<String>,
    /// The older spelling.
    lead: Option<String>,
    assignee_type: Option<String>,
    permission_scheme: Option<Json>,
    issue_security_scheme: Option<Json>,
    category_id: Option<Json>,
}

async fn update(mut cx: Ctx<op::UpdateProject>, input: Input) -> Outcome<op::UpdateProject> {
    let id = cx.target().project()?;
    let view = cx.view().clone();
    require_live(&view, id, &input, "projectIdOrKey")?;
    let body: Body = input.parse()?;
    let mut project = load_one(cx.tx(), id).await?;
    let before = audit_json(cx.tx(), id).await?;

    let key = body.key.unwrap_or_else(|| project.key.clone());
    let name = body.name.unwrap_or_else(|| project.name.clone());
    if key != project.key && !view.may_global(GlobalPermission::Administer) {
        // The row asks for it too, except when the new key is a former one of the same project.
        return Err(Problem::forbidden("You cannot edit the configuration of this project."));
    }
    check_key_and_name(cx.tx(), &key, &name, Some(id)).await?;
    if let Some(description) = body.description {
        bounded("description", &description, 32_767)?;
        project.description = description;
    }
    if let Some(url) = body.url {
        check_url(&url)?;
        project.url = url;
    }
    if let Some(account_id) = body.lead_account_id.or(body.lead) {
        project.lead = Some(lead(&cx, &account_id)?);
    }
    if let Some(word) = body.assignee_type {
        project.assignee_type = AssigneeType::of(&word)?.word().to_owned();
    }
    let scheme = reference("permissionScheme", body.permission_scheme.as_ref())?.map(SchemeId);
    let security = reference("issueSecurityScheme", body.issue_security_scheme.as_ref())?.map(SecuritySchemeId);
    let category = reference("categoryId", body.category_id.as_ref())?;
    // A team-managed project keeps its own scheme.
    let scheme = scheme.filter(|scheme| *scheme != project.scheme);
    check_references(cx.tx(), scheme, security, category.filter(|category| *category != -1)).await?;
    if scheme.is_some() && project.team_managed {
        return Err(Problem::field("permissionScheme", "A team-managed project keeps its own permission scheme."));
    }
    if let Some(security) = security
        && project.security_scheme != Some(security)
    {
        refuse_stranded_levels(cx.tx(), id, security).await?;
    }
    let category = match category {
        None => project.category.map(|(id, _, _)| id),
        Some(-1) => None,
        Some(category) => Some(category),
    };

    if key != project.key {
        let sql = "DELETE FROM jira_project_former_key WHERE key = $1 AND project_id = $2";
        cx.tx().execute(sql, &[key.as_str().into(), id.0.into()]).await?;
        let sql = "INSERT INTO jira_project_former_key (key, project_id) VALUES ($1, $2)";
        cx.tx().execute(sql, &[project.key.into(), id.0.into()]).await?;
    }
    let sql = "
        UPDATE jira_project
           SET key = $2, name = $3, name_folded = $4, description = $5, url = $6, lead_id = $7, assignee_type = $8,
               permission_scheme_id = $9, security_scheme_id = $10, category_id = $11
         WHERE id = $1";
    let params = [
        id.0.into(),
        key.into(),
        name.as_str().into(),
        fold(&name).into(),
        project.description.into(),
        project.url.into(),
        project.lead.map(|lead| lead.0).into(),
        project.assignee_type.into(),
        scheme.unwrap_or(project.scheme).0.into(),
        security.or(project.security_scheme).map(|scheme| scheme.0).into(),
        category.into(),
    ];
    cx.tx().execute(sql, &params).await?;
    let after = audit_json(cx.tx(), id).await?;
    event::about_project(&mut cx, "project_updated", id, None).await?;
    cx.audit(format!("project:{id}"), Some(before), Some(after));
    cx.changed(Entity::Project(id));
    let json = project_json(cx.tx(), &view, id, &input).await?;
    cx.done(Reply::json(json))
}

/// Refuses another security scheme while issues have levels that it does not know: nobody would see them any more.
///
/// # Errors
/// 400 with a way out.
pub(crate) async fn refuse_stranded_levels<M: AnyMode>(
    tx: &mut Tx<M>,
    project: ProjectId,
    scheme: SecuritySchemeId,
) -> Result<(), Problem> {
    let sql = "SELECT 1 AS one FROM jira_issue i JOIN jira_security_level l ON l.id = i.security_level_id
                WHERE i.project_id = $1 AND l.scheme_id <> $2 LIMIT 1";
    if tx.query_opt(sql, &[project.0.into(), scheme.0.into()]).await?.is_none() {
        return Ok(());
    }
    Err(Problem::field(
        "issueSecurityScheme",
        "Issues of this project have levels of the old scheme. Map them with PUT /issuesecurityschemes/project.",
    ))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(update);
}
