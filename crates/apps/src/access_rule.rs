//! App access rules, as administrators keep them: which projects are closed to which apps. The guard applies them
//! (`guard/src/app_rules.rs`).

use portcullis_authz::{Operation, op};
use portcullis_guard::{
    ALL_APPS, AnyMode, Ctx, Entity, Handlers, Input, Outcome, Policy, Reply, Snapshot, StoreError, Tx,
};
use portcullis_model::{Problem, ProjectId};
use serde_json::{Value as Json, json};

use crate::wire;

/// Rules of a site.
const RULES_MAX: i64 = 10_000;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Its id.
    pub id: i64,
    /// The project that is closed.
    pub project: ProjectId,
    /// To whom: `connect:{key}`, `forge:{id}`, `oauth:{client id}` or `*`.
    pub app: String,
    /// Since when.
    pub created_at_ms: i64,
}

/// Every rule, the oldest first.
///
/// # Errors
/// The database's.
pub async fn all<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<AccessRule>, StoreError> {
    let rows = tx.query("SELECT id, project_id, app, created_at_ms FROM app_access_rule ORDER BY id", &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(AccessRule {
                id: row.get("id")?,
                project: ProjectId(row.get("project_id")?),
                app: row.get("app")?,
                created_at_ms: row.get("created_at_ms")?,
            })
        })
        .collect()
}

/// Every app that a rule can name now, as its word and the name that people know.
pub fn apps(snapshot: &Snapshot) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    out.extend(snapshot.connect().apps().map(|app| (format!("connect:{}", app.key), app.name.clone())));
    out.extend(snapshot.forge().installations().map(|app| (format!("forge:{}", app.app_uuid), app.name.clone())));
    out.extend(snapshot.oauth().clients().map(|app| (format!("oauth:{}", app.client_id), app.name.clone())));
    out.sort_by(|a, b| (a.1.to_lowercase(), &a.0).cmp(&(b.1.to_lowercase(), &b.0)));
    out.dedup();
    out
}

/// Closes a project to an app, or to all, and says so to the audit log.
///
/// # Errors
/// 400 for a project or an app that is not there; 409 when the rule stands already, or there are too many.
pub async fn add<O: Operation<Mode = Policy>>(
    cx: &mut Ctx<O>,
    project: &str,
    app: &str,
) -> Result<AccessRule, Problem> {
    let view = cx.view().clone();
    let found = view.with(|snapshot| {
        let by_id = project.parse().ok().map(ProjectId);
        let mut projects = snapshot.policy.projects();
        projects.find(|facts| Some(facts.id) == by_id || facts.key == project).map(|facts| facts.id)
    });
    let project =
        found.ok_or_else(|| Problem::field("project", "project is no key or id of a project of this site."))?;
    let known = app == ALL_APPS || view.with(|snapshot| apps(snapshot).iter().any(|(word, _)| word == app));
    if !known {
        let words = "app is none of this site's: connect:KEY, forge:ID, oauth:CLIENT_ID, or * for every app.";
        return Err(Problem::field("app", words));
    }
    let count: i64 = cx.tx().query_one("SELECT count(*) AS n FROM app_access_rule", &[]).await?.get("n")?;
    if count >= RULES_MAX {
        return Err(Problem::conflict(format!("A site has at most {RULES_MAX} app access rules.")));
    }
    let sql = "INSERT INTO app_access_rule (project_id, app, created_by, created_at_ms) VALUES ($1, $2, $3, $4)
               ON CONFLICT (project_id, app) DO NOTHING RETURNING id";
    let by = view.caller().user().map(|user| user.0);
    let now = view.now().0;
    let row = cx.tx().query_opt(sql, &[project.0.into(), app.into(), by.into(), now.into()]).await?;
    let row = row.ok_or_else(|| Problem::conflict("This project is closed to this app already."))?;
    cx.audit(format!("project:{}", project.0), None, Some(json!({"closedTo": app})));
    cx.changed(Entity::AppRules);
    Ok(AccessRule { id: row.get("id")?, project, app: app.to_owned(), created_at_ms: now })
}

/// Removes a rule and says so to the audit log; `false` when there is none of that id.
///
/// # Errors
/// The database's.
pub async fn remove<O: Operation<Mode = Policy>>(cx: &mut Ctx<O>, id: i64) -> Result<bool, StoreError> {
    let sql = "DELETE FROM app_access_rule WHERE id = $1 RETURNING project_id, app";
    let Some(row) = cx.tx().query_opt(sql, &[id.into()]).await? else { return Ok(false) };
    let (project, app): (i64, String) = (row.get("project_id")?, row.get("app")?);
    cx.audit(format!("project:{project}"), Some(json!({"closedTo": app})), None);
    cx.changed(Entity::AppRules);
    Ok(true)
}

fn json_of(snapshot: &Snapshot, names: &[(String, String)], rule: &AccessRule) -> Json {
    json!({
        "id": rule.id.to_string(),
        "project": {"id": rule.project.0.to_string(), "key": snapshot.policy.project(rule.project).map(|facts| &facts.key)},
        "app": rule.app,
        "appName": names.iter().find(|(word, _)| *word == rule.app).map(|(_, name)| name),
        "created": wire::moment(rule.created_at_ms),
    })
}

async fn list(mut cx: Ctx<op::ManageListAppRules>, _: Input) -> Outcome<op::ManageListAppRules> {
    let rules = all(cx.tx()).await?;
    let values: Vec<Json> = cx.view().with(|snapshot| {
        let names = apps(snapshot);
        rules.iter().map(|rule| json_of(snapshot, &names, rule)).collect()
    });
    cx.done(Reply::json(json!({"values": values, "total": values.len()})))
}

async fn create(mut cx: Ctx<op::ManageCreateAppRule>, input: Input) -> Outcome<op::ManageCreateAppRule> {
    let word = |name: &str| input.json().get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let rule = add(&mut cx, &word("project"), &word("app")).await?;
    let json = cx.view().with(|snapshot| json_of(snapshot, &apps(snapshot), &rule));
    cx.done(Reply::created(json))
}

async fn delete(mut cx: Ctx<op::ManageDeleteAppRule>, input: Input) -> Outcome<op::ManageDeleteAppRule> {
    let none = || Problem::not_found("There is no app access rule with this id.");
    let id: i64 = input.param("ruleId").parse().map_err(|_| none())?;
    if !remove(&mut cx, id).await? {
        return Err(none());
    }
    cx.done(Reply::no_content())
}

/// What an app may know of the rules that hold for it (vendor: app data policies).
async fn policy(cx: Ctx<op::GetPolicy>, _: Input) -> Outcome<op::GetPolicy> {
    let any = !cx.view().closed_to_caller().is_empty();
    cx.done(Reply::json(json!({"anyContentBlocked": any})))
}

async fn policies(cx: Ctx<op::GetPolicies>, input: Input) -> Outcome<op::GetPolicies> {
    const IDS_MAX: usize = 50;
    let closed = cx.view().closed_to_caller();
    let ids: Vec<i64> = input.query_list("ids").iter().filter_map(|id| id.parse().ok()).collect();
    if ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("At most {IDS_MAX} projects can be asked about at once.")));
    }
    let known =
        ids.into_iter().filter(|id| cx.view().with(|snapshot| snapshot.policy.project(ProjectId(*id)).is_some()));
    let of = |id: i64| json!({"id": id, "dataPolicy": {"anyContentBlocked": closed.contains(&ProjectId(id))}});
    let policies: Vec<Json> = known.map(of).collect();
    cx.done(Reply::json(json!({"projectDataPolicies": policies})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create);
    handlers.on(delete);
    handlers.on(policy);
    handlers.on(policies);
}
