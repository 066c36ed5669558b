//! Which issue security scheme a project has, and the levels that its people can set.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::{Problem, ProjectId, ProjectPermission, SecuritySchemeId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{level, scheme};
use crate::project::require_live;
use crate::text::int_of;
use crate::wire::Paging;

const MAPPINGS_MAX: usize = 1000;

async fn get(
    mut cx: Ctx<op::GetProjectIssueSecurityScheme>,
    input: Input,
) -> Outcome<op::GetProjectIssueSecurityScheme> {
    let project = cx.target().project()?;
    require_live(cx.view(), project, &input, "projectKeyOrId")?;
    let sql = "SELECT security_scheme_id FROM jira_project WHERE id = $1";
    let id: Option<i64> = cx.tx().query_one(sql, &[project.0.into()]).await?.get("security_scheme_id")?;
    let id = id.ok_or_else(|| Problem::not_found("The project does not have an issue security scheme."))?;
    let scheme = scheme::named(cx.tx(), &id.to_string()).await?;
    let json = scheme::with_levels(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::json(json))
}

/// Levels that the caller can set: none without Set Issue Security, and none that would hide the issue from its own reporter.
async fn levels(
    mut cx: Ctx<op::GetSecurityLevelsForProject>,
    input: Input,
) -> Outcome<op::GetSecurityLevelsForProject> {
    let (project, view) = (cx.target().project()?, cx.view().clone());
    let scheme = view.with(|snapshot| snapshot.policy.project(project).and_then(|facts| facts.security_scheme));
    let may_set = view.caller().user().is_some() && view.may(ProjectPermission::SetIssueSecurity, project, None);
    let mut out: Vec<Json> = Vec::new();
    if let Some(scheme) = scheme.filter(|_| may_set) {
        let levels = level::load(cx.tx(), Some(scheme)).await?;
        let usable = levels.iter().filter(|found| level::could_use(&view, project, found.id));
        out.extend(usable.map(|found| found.json(&input)));
    }
    cx.done(Reply::json(json!({"levels": out})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    project_id: Json,
    scheme_id: Json,
    #[serde(default)]
    old_to_new_security_level_mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    old_level_id: Json,
    new_level_id: Json,
}

/// Gives a project a scheme and its issues the new levels. Every level in use has to be mapped: an issue whose level the project does
/// not know is seen by nobody, and one that lost its level by everybody. -1 as the new level takes it away on purpose.
/// Jira does this in the background; here it is done when the answer arrives.
async fn associate(
    mut cx: Ctx<op::AssociateSchemesToProjects>,
    input: Input,
) -> Outcome<op::AssociateSchemesToProjects> {
    let body: Association = input.parse()?;
    let text = |value: &Json| int_of(value).map(|id| id.to_string()).unwrap_or_default();
    let unknown = || Problem::not_found(format!("No project could be found with id '{}'.", text(&body.project_id)));
    let project = int_of(&body.project_id).map(ProjectId).ok_or_else(unknown)?;
    let old = cx.view().with(|snapshot| {
        snapshot.policy.project(project).filter(|facts| !facts.trashed).map(|facts| facts.security_scheme)
    });
    let old: Option<SecuritySchemeId> = old.ok_or_else(unknown)?;
    let new = scheme::named(cx.tx(), &text(&body.scheme_id)).await?.id;
    if body.old_to_new_security_level_mappings.len() > MAPPINGS_MAX {
        return Err(Problem::invalid(format!("At most {MAPPINGS_MAX} levels can be mapped at once.")));
    }
    let mut mapped: HashMap<i64, Option<i64>> = HashMap::new();
    for mapping in &body.old_to_new_security_level_mappings {
        let from = int_of(&mapping.old_level_id).ok_or_else(|| Problem::invalid("'oldLevelId' must be a number."))?;
        let to = match int_of(&mapping.new_level_id) {
            Some(-1) => None,
            Some(id) => Some(level::in_scheme(cx.tx(), new, &id.to_string()).await?),
            None => return Err(Problem::invalid("'newLevelId' must be a number.")),
        };
        mapped.insert(from, to);
    }
    let sql = "SELECT DISTINCT i.security_level_id AS level_id, l.scheme_id FROM jira_issue i
                 JOIN jira_security_level l ON l.id = i.security_level_id WHERE i.project_id = $1 ORDER BY level_id";
    let mut moves = Vec::new();
    for row in cx.tx().query(sql, &[project.0.into()]).await? {
        let (from, scheme): (i64, i64) = (row.get("level_id")?, row.get("scheme_id")?);
        match mapped.get(&from) {
            Some(to) => moves.push((from, *to)),
            None if scheme == new.0 => {}
            None => {
                return Err(Problem::invalid(format!(
                    "Issues have the level {from}, which is not mapped to a new one."
                )));
            }
        }
    }
    // From their old levels at once: a level that is both old and new would otherwise be mapped twice.
    let sql = "SELECT id, security_level_id FROM jira_issue WHERE project_id = $1 AND security_level_id IS NOT NULL ORDER BY id";
    let issues = if moves.is_empty() { Vec::new() } else { cx.tx().query(sql, &[project.0.into()]).await? };
    for row in issues {
        let (issue, from): (i64, i64) = (row.get("id")?, row.get("security_level_id")?);
        if let Some((_, to)) = moves.iter().find(|(level, to)| *level == from && *to != Some(from)) {
            let sql = "UPDATE jira_issue SET security_level_id = $2 WHERE id = $1";
            cx.tx().execute(sql, &[issue.into(), (*to).into()]).await?;
        }
    }
    let sql = "UPDATE jira_project SET security_scheme_id = $2 WHERE id = $1";
    cx.tx().execute(sql, &[project.0.into(), new.0.into()]).await?;
    let before = json!({"issueSecurityScheme": old.map(|scheme| scheme.0)});
    cx.audit(format!("project:{project}"), Some(before), Some(json!({"issueSecurityScheme": new.0})));
    cx.changed(Entity::Project(project));
    cx.done(Reply::no_content())
}

async fn users(
    mut cx: Ctx<op::SearchProjectsUsingSecuritySchemes>,
    input: Input,
) -> Outcome<op::SearchProjectsUsingSecuritySchemes> {
    let paging = Paging::of(&input, 50, 50)?;
    let (schemes, projects) = (input.query_list("issueSecuritySchemeId"), input.query_list("projectId"));
    let sql = "SELECT id, security_scheme_id FROM jira_project WHERE security_scheme_id IS NOT NULL AND trashed_at_ms IS NULL ORDER BY id";
    let mut out = Vec::new();
    for row in cx.tx().query(sql, &[]).await? {
        let project = row.get::<i64>("id")?.to_string();
        let scheme = row.get::<i64>("security_scheme_id")?.to_string();
        let wanted = schemes.is_empty() || schemes.contains(&scheme.as_str());
        if wanted && (projects.is_empty() || projects.contains(&project.as_str())) {
            out.push(json!({"issueSecuritySchemeId": scheme, "projectId": project}));
        }
    }
    let total = i64::try_from(out.len()).unwrap_or(i64::MAX);
    let items = paging.cut(out);
    cx.done(Reply::json(paging.page(&input, "/issuesecurityschemes/project", "values", total, items)))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(levels);
    handlers.on(associate);
    handlers.on(users);
}
