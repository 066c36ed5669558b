//! Issue types.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::{GlobalPermission, Problem};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::project::unknown as unknown_project;
use crate::refs::{self, IssueType};
use crate::text::{bounded, fold};

/// Those who browse no project see no types either.
async fn all(mut cx: Ctx<op::GetIssueAllTypes>, input: Input) -> Outcome<op::GetIssueAllTypes> {
    let visibility = cx.view().visibility();
    let sees_projects = !visibility.projects.is_empty() || !visibility.conditional.is_empty();
    if !sees_projects && !cx.view().may_global(GlobalPermission::Administer) {
        return cx.done(Reply::json(json!([])));
    }
    let types = refs::issue_types(cx.tx()).await?;
    cx.done(Reply::json(types.iter().map(|found| found.json(&input)).collect()))
}

async fn of_project(mut cx: Ctx<op::GetIssueTypesForProject>, input: Input) -> Outcome<op::GetIssueTypesForProject> {
    let name = input.query("projectId").unwrap_or_default();
    if cx.target().project.is_none() {
        return Err(unknown_project(name));
    }
    let level = input.query_int("level")?;
    let types = refs::issue_types(cx.tx()).await?;
    let shown = types.iter().filter(|found| level.is_none_or(|level| found.hierarchy_level == level));
    cx.done(Reply::json(shown.map(|found| found.json(&input)).collect()))
}

async fn named<M: AnyMode>(tx: &mut Tx<M>, name: &str) -> Result<IssueType, Problem> {
    let types = refs::issue_types(tx).await?;
    types
        .into_iter()
        .find(|found| found.id.to_string() == name)
        .ok_or_else(|| Problem::not_found(format!("The issue type with id '{name}' does not exist")))
}

async fn get(mut cx: Ctx<op::GetIssueType>, input: Input) -> Outcome<op::GetIssueType> {
    let found = named(cx.tx(), input.param("id")).await?;
    cx.done(Reply::json(found.json(&input)))
}

/// Types of the same level: an issue can change to these and keep its parent or sub-tasks.
async fn alternatives(
    mut cx: Ctx<op::GetAlternativeIssueTypes>,
    input: Input,
) -> Outcome<op::GetAlternativeIssueTypes> {
    let visibility = cx.view().visibility();
    let sees_projects = !visibility.projects.is_empty() || !visibility.conditional.is_empty();
    if !sees_projects && !cx.view().may_global(GlobalPermission::Administer) {
        let name = input.param("id");
        return Err(Problem::not_found(format!("The issue type with id '{name}' does not exist")));
    }
    let own = named(cx.tx(), input.param("id")).await?;
    let types = refs::issue_types(cx.tx()).await?;
    let shown = types.iter().filter(|found| found.id != own.id && found.is_subtask() == own.is_subtask());
    cx.done(Reply::json(shown.map(|found| found.json(&input)).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    hierarchy_level: Option<i64>,
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, name: &str, own: i64) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "You must specify a valid issue type name."));
    }
    bounded("name", name, 60)?;
    let taken =
        refs::issue_types(tx).await?.into_iter().any(|found| found.id != own && fold(&found.name) == fold(name));
    if taken {
        return Err(Problem::conflict("An issue type with this name already exists."));
    }
    Ok(name.to_owned())
}

async fn create(mut cx: Ctx<op::CreateIssueType>, input: Input) -> Outcome<op::CreateIssueType> {
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), 0).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 4000)?;
    let hierarchy_level = match (body.hierarchy_level, body.kind.as_deref()) {
        (Some(level @ (-1 | 0)), _) => level,
        (Some(_), _) => return Err(Problem::field("hierarchyLevel", "The hierarchy level must be -1 or 0.")),
        (None, Some("subtask")) => -1,
        (None, Some("standard") | None) => 0,
        (None, Some(_)) => return Err(Problem::field("type", "The type must be 'subtask' or 'standard'.")),
    };
    let sql = "INSERT INTO jira_issue_type (name, description, hierarchy_level) VALUES ($1, $2, $3) RETURNING id";
    let params = [name.as_str().into(), description.as_str().into(), hierarchy_level.into()];
    let id: i64 = cx.tx().query_one(sql, &params).await?.get("id")?;
    let made = IssueType { id, name, description, hierarchy_level };
    let json = made.json(&input);
    cx.audit(format!("issue_type:{id}"), None, Some(json.clone()));
    cx.done(Reply::created(json))
}

async fn update(mut cx: Ctx<op::UpdateIssueType>, input: Input) -> Outcome<op::UpdateIssueType> {
    let old = named(cx.tx(), input.param("id")).await?;
    let body: Body = input.parse()?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), name, old.id).await?,
        None => old.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| old.description.clone());
    bounded("description", &description, 4000)?;
    let sql = "UPDATE jira_issue_type SET name = $2, description = $3 WHERE id = $1";
    cx.tx().execute(sql, &[old.id.into(), name.as_str().into(), description.as_str().into()]).await?;
    let json = IssueType { name, description, ..old.clone() }.json(&input);
    cx.audit(format!("issue_type:{}", old.id), Some(old.json(&input)), Some(json.clone()));
    cx.done(Reply::json(json))
}

/// Issues of the type get the one of `alternativeIssueTypeId`, without which a type in use stays.
async fn delete(mut cx: Ctx<op::DeleteIssueType>, input: Input) -> Outcome<op::DeleteIssueType> {
    let old = named(cx.tx(), input.param("id")).await?;
    let sql = "SELECT 1 AS one FROM jira_issue WHERE issue_type_id = $1 LIMIT 1";
    let in_use = cx.tx().query_opt(sql, &[old.id.into()]).await?.is_some();
    match input.query("alternativeIssueTypeId").filter(|text| !text.is_empty()) {
        Some(text) => {
            let other = named(cx.tx(), text).await?;
            if other.id == old.id || other.is_subtask() != old.is_subtask() {
                return Err(Problem::invalid("The alternative issue type must be another one of the same kind."));
            }
            let sql = "UPDATE jira_issue SET issue_type_id = $2 WHERE issue_type_id = $1";
            cx.tx().execute(sql, &[old.id.into(), other.id.into()]).await?;
        }
        None if in_use => {
            return Err(Problem::conflict("The issue type is in use and no alternative issue type was specified."));
        }
        None => {}
    }
    let sql = "DELETE FROM jira_property WHERE entity_type = 'issuetype' AND entity_id = $1";
    cx.tx().execute(sql, &[old.id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_issue_type WHERE id = $1", &[old.id.into()]).await?;
    cx.audit(format!("issue_type:{}", old.id), Some(old.json(&input)), None::<Json>);
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(of_project);
    handlers.on(get);
    handlers.on(alternatives);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
}
