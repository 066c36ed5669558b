//! `/issuesecurityschemes`: schemes as a whole.

use portcullis_authz::op;
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::{Problem, SecuritySchemeId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::level::{self, LevelBody};
use crate::text::{bounded, fold, int_of};
use crate::wire::Paging;

const NAME_CHARS_MAX: usize = 60;
const DESCRIPTION_CHARS_MAX: usize = 255;

/// A scheme's row.
#[derive(Clone, Debug)]
pub(super) struct Scheme {
    pub id: SecuritySchemeId,
    pub name: String,
    pub description: String,
    pub default_level: Option<i64>,
}

const COLUMNS: &str = "SELECT id, name, description, default_level_id FROM jira_security_scheme ";

impl Scheme {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: SecuritySchemeId(row.get("id")?),
            name: row.get("name")?,
            description: row.get("description")?,
            default_level: row.get("default_level_id")?,
        })
    }

    fn json(&self, input: &Input) -> Map<String, Json> {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/issuesecurityschemes/{}", self.id)).into());
        out.insert("id".into(), self.id.0.into());
        out.insert("name".into(), self.name.clone().into());
        out.insert("description".into(), self.description.clone().into());
        if let Some(level) = self.default_level {
            out.insert("defaultSecurityLevelId".into(), level.into());
        }
        out
    }
}

pub(super) fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("The issue security scheme with id '{text}' does not exist."))
}

/// The scheme with this id.
///
/// # Errors
/// 404; the database's.
pub(super) async fn named<M: AnyMode>(tx: &mut Tx<M>, text: &str) -> Result<Scheme, Problem> {
    let id = text.parse::<i64>().map_err(|_| unknown(text))?;
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE id = ").bind(id);
    match tx.query_opt(sql, &[]).await? {
        Some(row) => Ok(Scheme::of(&row)?),
        None => Err(unknown(text)),
    }
}

/// The scheme with its levels.
pub(super) async fn with_levels<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: &Scheme,
    input: &Input,
) -> Result<Json, StoreError> {
    let mut out = scheme.json(input);
    out.insert("levels".into(), Json::Array(level::of_scheme(tx, scheme.id, input).await?));
    Ok(Json::Object(out))
}

async fn load_all<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Scheme>, StoreError> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("ORDER BY id");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(Scheme::of).collect()
}

async fn all(mut cx: Ctx<op::GetIssueSecuritySchemes>, input: Input) -> Outcome<op::GetIssueSecuritySchemes> {
    let schemes = load_all(cx.tx()).await?;
    let out: Vec<Json> = schemes.iter().map(|scheme| Json::Object(scheme.json(&input))).collect();
    cx.done(Reply::json(json!({"issueSecuritySchemes": out})))
}

async fn get(mut cx: Ctx<op::GetIssueSecurityScheme>, input: Input) -> Outcome<op::GetIssueSecurityScheme> {
    let scheme = named(cx.tx(), input.param("id")).await?;
    let json = with_levels(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::json(json))
}

async fn search(mut cx: Ctx<op::SearchSecuritySchemes>, input: Input) -> Outcome<op::SearchSecuritySchemes> {
    let paging = Paging::of(&input, 50, 50)?;
    let (ids, projects) = (input.query_list("id"), input.query_list("projectId"));
    let mut out: Vec<Json> = Vec::new();
    for scheme in load_all(cx.tx()).await? {
        let sql = "SELECT id FROM jira_project WHERE security_scheme_id = $1 ORDER BY id";
        let rows = cx.tx().query(sql, &[scheme.id.0.into()]).await?;
        let users = rows.iter().map(|row| row.get::<i64>("id")).collect::<Result<Vec<_>, _>>()?;
        let wanted = ids.is_empty() || ids.contains(&scheme.id.to_string().as_str());
        let used = projects.is_empty() || users.iter().any(|id| projects.contains(&id.to_string().as_str()));
        if wanted && used {
            let mut json = scheme.json(&input);
            if let Some(level) = json.shift_remove("defaultSecurityLevelId") {
                json.insert("defaultLevel".into(), level);
            }
            json.insert("projectIds".into(), users.into());
            out.push(Json::Object(json));
        }
    }
    let total = i64::try_from(out.len()).unwrap_or(i64::MAX);
    let items = paging.cut(out);
    cx.done(Reply::json(paging.page(&input, "/issuesecurityschemes/search", "values", total, items)))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    description: Option<String>,
    levels: Option<Vec<LevelBody>>,
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, name: &str, own: i64) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The issue security scheme name must not be empty."));
    }
    bounded("name", name, NAME_CHARS_MAX)?;
    if load_all(tx).await?.iter().any(|scheme| scheme.id.0 != own && fold(&scheme.name) == fold(name)) {
        return Err(Problem::field("name", "An issue security scheme with this name already exists."));
    }
    Ok(name.to_owned())
}

async fn create(mut cx: Ctx<op::CreateIssueSecurityScheme>, input: Input) -> Outcome<op::CreateIssueSecurityScheme> {
    let view = cx.view().clone();
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), 0).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, DESCRIPTION_CHARS_MAX)?;
    let sql = "INSERT INTO jira_security_scheme (name, description) VALUES ($1, $2) RETURNING id";
    let row = cx.tx().query_one(sql, &[name.into(), description.into()]).await?;
    let id = SecuritySchemeId(row.get("id")?);
    add_levels(cx.tx(), &view, id, &body.levels.unwrap_or_default()).await?;
    note(&mut cx, id, None, &input).await?;
    cx.changed(Entity::SecurityScheme(id));
    cx.done(Reply::created(json!({"id": id.to_string()})))
}

async fn note(
    cx: &mut Ctx<op::CreateIssueSecurityScheme>,
    id: SecuritySchemeId,
    before: Option<Json>,
    input: &Input,
) -> Result<(), Problem> {
    let scheme = named(cx.tx(), &id.to_string()).await?;
    let after = with_levels(cx.tx(), &scheme, input).await?;
    cx.audit(format!("security_scheme:{id}"), before, Some(after));
    Ok(())
}

/// Adds levels with their members; one of them may become the default.
pub(super) async fn add_levels<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    scheme: SecuritySchemeId,
    levels: &[LevelBody],
) -> Result<(), Problem> {
    for body in levels {
        let level = level::insert(tx, view, scheme, body).await?;
        if body.is_default == Some(true) {
            let sql = "UPDATE jira_security_scheme SET default_level_id = $2 WHERE id = $1";
            tx.execute(sql, &[scheme.0.into(), level.into()]).await?;
        }
    }
    Ok(())
}

async fn update(mut cx: Ctx<op::UpdateIssueSecurityScheme>, input: Input) -> Outcome<op::UpdateIssueSecurityScheme> {
    let scheme = named(cx.tx(), input.param("id")).await?;
    let body: Body = input.parse()?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), name, scheme.id.0).await?,
        None => scheme.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| scheme.description.clone());
    bounded("description", &description, DESCRIPTION_CHARS_MAX)?;
    let sql = "UPDATE jira_security_scheme SET name = $2, description = $3 WHERE id = $1";
    cx.tx().execute(sql, &[scheme.id.0.into(), name.as_str().into(), description.as_str().into()]).await?;
    let note = |name: &str, description: &str| Some(json!({"name": name, "description": description}));
    let (before, after) = (note(&scheme.name, &scheme.description), note(&name, &description));
    cx.audit(format!("security_scheme:{}", scheme.id), before, after);
    cx.done(Reply::no_content())
}

async fn delete(mut cx: Ctx<op::DeleteSecurityScheme>, input: Input) -> Outcome<op::DeleteSecurityScheme> {
    let scheme = named(cx.tx(), input.param("schemeId")).await?;
    let sql = "SELECT id FROM jira_project WHERE security_scheme_id = $1 LIMIT 1";
    if cx.tx().query_opt(sql, &[scheme.id.0.into()]).await?.is_some() {
        return Err(Problem::invalid("The issue security scheme is used by projects and cannot be deleted."));
    }
    let sql = "SELECT 1 AS one FROM jira_issue i JOIN jira_security_level l ON l.id = i.security_level_id WHERE l.scheme_id = $1 LIMIT 1";
    if cx.tx().query_opt(sql, &[scheme.id.0.into()]).await?.is_some() {
        // An issue that lost its level would be open to everybody who browses its project.
        return Err(Problem::invalid("Issues have levels of this scheme. Move them to other levels first."));
    }
    let before = with_levels(cx.tx(), &scheme, &input).await?;
    let sql =
        "DELETE FROM jira_security_member WHERE level_id IN (SELECT id FROM jira_security_level WHERE scheme_id = $1)";
    cx.tx().execute(sql, &[scheme.id.0.into()]).await?;
    cx.tx().execute("DELETE FROM jira_security_level WHERE scheme_id = $1", &[scheme.id.0.into()]).await?;
    cx.tx().execute("DELETE FROM jira_security_scheme WHERE id = $1", &[scheme.id.0.into()]).await?;
    cx.audit(format!("security_scheme:{}", scheme.id), Some(before), None);
    cx.changed(Entity::SecurityScheme(scheme.id));
    cx.done(Reply::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    default_values: Vec<DefaultLevel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefaultLevel {
    issue_security_scheme_id: Json,
    default_level_id: Json,
}

/// The default of each scheme; -1 takes it away.
async fn set_defaults(mut cx: Ctx<op::SetDefaultLevels>, input: Input) -> Outcome<op::SetDefaultLevels> {
    let body: Defaults = input.parse()?;
    if body.default_values.len() > 1000 {
        return Err(Problem::invalid("At most 1000 default levels can be set at once."));
    }
    let mut changed = Vec::new();
    for default in &body.default_values {
        let wanted = int_of(&default.issue_security_scheme_id).map(|id| id.to_string()).unwrap_or_default();
        let scheme = named(cx.tx(), &wanted).await?;
        let level = match int_of(&default.default_level_id) {
            Some(-1) => None,
            Some(id) => Some(level::in_scheme(cx.tx(), scheme.id, &id.to_string()).await?),
            None => return Err(Problem::invalid("The default level must be named by its id.")),
        };
        let sql = "UPDATE jira_security_scheme SET default_level_id = $2 WHERE id = $1";
        cx.tx().execute(sql, &[scheme.id.0.into(), level.into()]).await?;
        changed.push(json!({"scheme": scheme.id.0, "before": scheme.default_level, "after": level}));
        cx.changed(Entity::SecurityScheme(scheme.id));
    }
    cx.audit("security_scheme", None, Some(Json::Array(changed)));
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(search);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
    handlers.on(set_defaults);
}
