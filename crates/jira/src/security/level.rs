//! Levels of issue security schemes.

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::{GlobalPermission, IssueId, LevelId, Problem, ProjectId, SecuritySchemeId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::member::{self, MemberBody};
use super::scheme;
use crate::project;
use crate::refs::{LEVEL_COLUMNS, LevelRef};
use crate::text::bounded;
use crate::wire::Paging;

/// A level as clients send it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LevelBody {
    name: Option<String>,
    description: Option<String>,
    pub is_default: Option<bool>,
    #[serde(default)]
    members: Vec<MemberBody>,
}

fn level_json(level: &LevelRef, input: &Input) -> Json {
    json!({
        "self": input.api_url(&format!("/securitylevel/{}", level.id)),
        "id": level.id.to_string(),
        "description": level.description,
        "name": level.name,
        "isDefault": level.is_default,
        "issueSecuritySchemeId": level.scheme.to_string(),
    })
}

/// All levels, or those of a scheme.
pub(super) async fn load<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: Option<SecuritySchemeId>,
) -> Result<Vec<LevelRef>, StoreError> {
    let mut sql = SqlBuilder::new(LEVEL_COLUMNS);
    if let Some(scheme) = scheme {
        sql.push("WHERE l.scheme_id = ").bind(scheme.0);
    }
    sql.push(" ORDER BY l.id");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(LevelRef::of).collect()
}

/// The levels of a scheme.
pub(super) async fn of_scheme<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: SecuritySchemeId,
    input: &Input,
) -> Result<Vec<Json>, StoreError> {
    Ok(load(tx, Some(scheme)).await?.iter().map(|level| level_json(level, input)).collect())
}

fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("The issue security level with id '{text}' does not exist."))
}

/// The id of a level of the scheme.
///
/// # Errors
/// 404; the database's.
pub(super) async fn in_scheme<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: SecuritySchemeId,
    text: &str,
) -> Result<i64, Problem> {
    let id = text.parse::<i64>().map_err(|_| unknown(text))?;
    let sql = "SELECT id FROM jira_security_level WHERE id = $1 AND scheme_id = $2";
    let row = tx.query_opt(sql, &[id.into(), scheme.0.into()]).await?;
    Ok(row.ok_or_else(|| unknown(text))?.get("id")?)
}

/// Adds a level with its members.
///
/// # Errors
/// 400 in words about the level; the database's.
pub(super) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    scheme: SecuritySchemeId,
    body: &LevelBody,
) -> Result<i64, Problem> {
    let name = checked_name(tx, scheme, body.name.as_deref().unwrap_or_default(), 0).await?;
    let description = body.description.clone().unwrap_or_default();
    bounded("description", &description, 4000)?;
    let sql = "INSERT INTO jira_security_level (scheme_id, name, description) VALUES ($1, $2, $3) RETURNING id";
    let level: i64 = tx.query_one(sql, &[scheme.0.into(), name.into(), description.into()]).await?.get("id")?;
    member::insert(tx, view, level, &body.members).await?;
    Ok(level)
}

async fn checked_name<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: SecuritySchemeId,
    name: &str,
    own: i64,
) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The issue security level name must not be empty."));
    }
    bounded("name", name, 255)?;
    if load(tx, Some(scheme)).await?.iter().any(|level| level.id.0 != own && level.name == name) {
        return Err(Problem::field("name", "An issue security level with this name already exists in this scheme."));
    }
    Ok(name.to_owned())
}

#[derive(Deserialize)]
struct Levels {
    levels: Vec<LevelBody>,
}

async fn add(mut cx: Ctx<op::AddSecurityLevel>, input: Input) -> Outcome<op::AddSecurityLevel> {
    let view = cx.view().clone();
    let scheme = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let body: Levels = input.parse()?;
    if body.levels.is_empty() || body.levels.len() > 1000 {
        return Err(Problem::invalid("Between 1 and 1000 levels must be given."));
    }
    let before = scheme::with_levels(cx.tx(), &scheme, &input).await?;
    scheme::add_levels(cx.tx(), &view, scheme.id, &body.levels).await?;
    let changed = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let after = scheme::with_levels(cx.tx(), &changed, &input).await?;
    cx.audit(format!("security_scheme:{}", scheme.id), Some(before), Some(after));
    cx.changed(Entity::SecurityScheme(scheme.id));
    cx.done(Reply::no_content())
}

async fn update(mut cx: Ctx<op::UpdateSecurityLevel>, input: Input) -> Outcome<op::UpdateSecurityLevel> {
    let scheme = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let id = in_scheme(cx.tx(), scheme.id, input.param("levelId")).await?;
    let body: LevelBody = input.parse()?;
    let old = load(cx.tx(), Some(scheme.id)).await?.into_iter().find(|level| level.id.0 == id);
    let old = old.ok_or_else(|| unknown(input.param("levelId")))?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), scheme.id, name, id).await?,
        None => old.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| old.description.clone());
    bounded("description", &description, 4000)?;
    let sql = "UPDATE jira_security_level SET name = $2, description = $3 WHERE id = $1";
    cx.tx().execute(sql, &[id.into(), name.as_str().into(), description.as_str().into()]).await?;
    let note = |name: &str, description: &str| Some(json!({"name": name, "description": description}));
    cx.audit(format!("security_level:{id}"), note(&old.name, &old.description), note(&name, &description));
    cx.done(Reply::no_content())
}

/// Issues of the level get the one of `replaceWith`. Without one a level in use stays: its issues would be open to everybody.
/// Jira does this in the background; here it is done when the answer arrives.
async fn remove(mut cx: Ctx<op::RemoveLevel>, input: Input) -> Outcome<op::RemoveLevel> {
    let scheme = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let id = in_scheme(cx.tx(), scheme.id, input.param("levelId")).await?;
    match input.query("replaceWith").filter(|text| !text.is_empty()) {
        Some(text) => {
            let other = in_scheme(cx.tx(), scheme.id, text).await?;
            if other == id {
                return Err(Problem::invalid("The level cannot be replaced by itself."));
            }
            let sql = "UPDATE jira_issue SET security_level_id = $2 WHERE security_level_id = $1";
            cx.tx().execute(sql, &[id.into(), other.into()]).await?;
        }
        None => {
            let sql = "SELECT 1 AS one FROM jira_issue WHERE security_level_id = $1 LIMIT 1";
            if cx.tx().query_opt(sql, &[id.into()]).await?.is_some() {
                return Err(Problem::conflict("Issues have this level. Name another one for them with 'replaceWith'."));
            }
        }
    }
    let before = scheme::with_levels(cx.tx(), &scheme, &input).await?;
    let sql = "UPDATE jira_security_scheme SET default_level_id = NULL WHERE default_level_id = $1";
    cx.tx().execute(sql, &[id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_security_member WHERE level_id = $1", &[id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_security_level WHERE id = $1", &[id.into()]).await?;
    cx.audit(format!("security_level:{id}"), Some(before), None);
    cx.changed(Entity::SecurityScheme(scheme.id));
    cx.done(Reply::no_content())
}

async fn search(mut cx: Ctx<op::GetSecurityLevels>, input: Input) -> Outcome<op::GetSecurityLevels> {
    let paging = Paging::of(&input, 50, 50)?;
    let (ids, schemes) = (input.query_list("id"), input.query_list("schemeId"));
    let only_default = input.query_bool("onlyDefault")?.unwrap_or(false);
    let mut levels = load(cx.tx(), None).await?;
    levels.retain(|level| {
        (ids.is_empty() || ids.contains(&level.id.to_string().as_str()))
            && (schemes.is_empty() || schemes.contains(&level.scheme.to_string().as_str()))
            && (!only_default || level.is_default)
    });
    let total = i64::try_from(levels.len()).unwrap_or(i64::MAX);
    let items = paging.cut(levels).iter().map(|level| level_json(level, &input)).collect();
    cx.done(Reply::json(paging.page(&input, "/issuesecurityschemes/level", "values", total, items)))
}

/// Whether the caller would be in the level of an issue of their own in the project.
pub(super) fn could_use(view: &View, project: ProjectId, level: LevelId) -> bool {
    let user = view.caller().user();
    let own = IssueFacts {
        id: IssueId(0),
        project,
        level: Some(level),
        reporter: user,
        assignee: user,
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    };
    user.is_some() && view.with(|snapshot| snapshot.policy.in_level(user, &own).is_ok())
}

/// The row asks for nothing: a level is shown to administrators and to those who could use it in a project they see.
async fn get(mut cx: Ctx<op::GetIssueSecurityLevel>, input: Input) -> Outcome<op::GetIssueSecurityLevel> {
    let view = cx.view().clone();
    let text = input.param("id");
    let found = load(cx.tx(), None).await?.into_iter().find(|level| level.id.to_string() == text);
    let level = found.ok_or_else(|| unknown(text))?;
    if !view.may_global(GlobalPermission::Administer) {
        let scheme = Some(SecuritySchemeId(level.scheme));
        let projects = project::visible(cx.tx(), &view).await?;
        let uses = |project: &ProjectId| {
            view.with(|snapshot| snapshot.policy.project(*project).is_some_and(|facts| facts.security_scheme == scheme))
        };
        if !projects.iter().filter(|project| uses(project)).any(|project| could_use(&view, *project, level.id)) {
            return Err(unknown(text));
        }
    }
    cx.done(Reply::json(level.json(&input)))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(add);
    handlers.on(update);
    handlers.on(remove);
    handlers.on(search);
    handlers.on(get);
}
