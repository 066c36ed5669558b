//! Apps and their environments: what a developer registers.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Policy, Reply, Tx, View};
use portcullis_model::{ForgeInstallationId, Problem, UserId};
use serde_json::{Value as Json, json};

use crate::wire::{bare, line, moment, whole};

const NAME_CHARS_MAX: usize = 60;
const KEY_CHARS_MAX: usize = 16;
const ENVIRONMENTS_MAX: usize = 20;

/// The environments that every app has: key, kind.
const FIRST: &[(&str, &str)] = &[("default", "DEVELOPMENT"), ("staging", "STAGING"), ("production", "PRODUCTION")];

/// An app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its row.
    pub id: i64,
    /// Its id to the outside.
    pub uuid: String,
    /// The name people see.
    pub name: String,
    /// Who registered it.
    pub owner: UserId,
}

/// An environment of an app.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its row.
    pub id: i64,
    /// Its id to the outside.
    pub uuid: String,
    /// `default`, `staging`, `production`, or a developer's own.
    pub key: String,
    /// `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub kind: String,
}

/// Whether the caller may see and change an app: who registered it, and administrators of the site.
fn may(view: &View, owner: UserId) -> bool {
    view.is_ours()
        || view
            .caller()
            .user()
            .is_some_and(|user| user == owner || view.with(|snapshot| snapshot.policy.is_site_admin(user)))
}

/// An app by its id to the outside, if the caller may see it.
///
/// # Errors
/// 404, whether there is none or it is somebody else's.
pub async fn find<M: AnyMode>(tx: &mut Tx<M>, view: &View, id: &str) -> Result<App, Problem> {
    let absent = || Problem::not_found("There is no Forge app with this id among yours.");
    let sql = "SELECT id, uuid, name, owner FROM forge_app WHERE uuid = $1";
    let row = tx.query_opt(sql, &[bare(id).into()]).await?.ok_or_else(absent)?;
    let app =
        App { id: row.get("id")?, uuid: row.get("uuid")?, name: row.get("name")?, owner: UserId(row.get("owner")?) };
    if may(view, app.owner) { Ok(app) } else { Err(absent()) }
}

/// An environment of an app, by its key or its id.
///
/// # Errors
/// 404.
pub async fn environment<M: AnyMode>(tx: &mut Tx<M>, app: &App, key: &str) -> Result<Environment, Problem> {
    let all = environments(tx, app).await?;
    let key = bare(key);
    all.into_iter()
        .find(|environment| environment.key == key || environment.uuid == key)
        .ok_or_else(|| Problem::not_found(format!("The app has no environment `{key}`.")))
}

async fn environments<M: AnyMode>(tx: &mut Tx<M>, app: &App) -> Result<Vec<Environment>, Problem> {
    let sql = "SELECT id, uuid, key, kind FROM forge_environment WHERE app = $1 ORDER BY id";
    let rows = tx.query(sql, &[app.id.into()]).await?;
    let read = |row: &portcullis_guard::Row| -> Result<Environment, Problem> {
        Ok(Environment { id: row.get("id")?, uuid: row.get("uuid")?, key: row.get("key")?, kind: row.get("kind")? })
    };
    rows.iter().map(read).collect()
}

/// The installation of an environment, where there is one.
///
/// # Errors
/// The database's.
pub async fn installed<M: AnyMode>(tx: &mut Tx<M>, environment: i64) -> Result<Option<ForgeInstallationId>, Problem> {
    let sql = "SELECT id FROM forge_installation WHERE environment = $1 AND uninstalled_at_ms IS NULL";
    match tx.query_opt(sql, &[environment.into()]).await? {
        Some(row) => Ok(Some(ForgeInstallationId(row.get("id")?))),
        None => Ok(None),
    }
}

async fn describe<M: AnyMode>(tx: &mut Tx<M>, view: &View, app: &App) -> Result<Json, Problem> {
    let mut out = Vec::new();
    for environment in environments(tx, app).await? {
        let sql = "SELECT uuid, major, minor, manifest, created_at_ms FROM forge_version WHERE environment = $1
                   ORDER BY major DESC, minor DESC LIMIT 20";
        let mut versions = Vec::new();
        for row in tx.query(sql, &[environment.id.into()]).await? {
            let (major, minor): (i64, i64) = (row.get("major")?, row.get("minor")?);
            versions.push(json!({
                "id": row.get::<String>("uuid")?,
                "version": format!("{major}.{minor}.0"),
                "createdAtMs": row.get::<i64>("created_at_ms")?,
                "created": moment(row.get("created_at_ms")?),
                "manifest": serde_json::from_str::<Json>(&row.get::<String>("manifest")?).map_err(Problem::bug)?,
            }));
        }
        out.push(
            json!({"id": environment.uuid, "key": environment.key, "type": environment.kind, "versions": versions}),
        );
    }
    let owner = view.with(|snapshot| snapshot.person(app.owner).cloned());
    Ok(json!({
        "id": app.uuid,
        "name": app.name,
        "owner": owner.map(|person| json!({"accountId": person.account_id, "displayName": person.display_name})),
        "environments": out,
    }))
}

async fn list(mut cx: Ctx<op::ManageListForgeApps>, _: Input) -> Outcome<op::ManageListForgeApps> {
    let view = cx.view().clone();
    let sql = "SELECT id, uuid, name, owner FROM forge_app ORDER BY name, id";
    let rows = cx.tx().query(sql, &[]).await?;
    let mut out = Vec::new();
    for row in rows {
        let owner = UserId(row.get("owner")?);
        if may(&view, owner) {
            out.push(json!({"id": row.get::<String>("uuid")?, "name": row.get::<String>("name")?}));
        }
    }
    cx.done(Reply::json(whole(out)))
}

async fn create(mut cx: Ctx<op::ManageCreateForgeApp>, input: Input) -> Outcome<op::ManageCreateForgeApp> {
    let name = line(input.json(), "name", NAME_CHARS_MAX)?;
    let (owner, now, view) = (cx.user()?, cx.now().0, cx.view().clone());
    let uuid = view.entropy().uuid();
    let sql = "INSERT INTO forge_app (uuid, name, owner, created_at_ms) VALUES ($1, $2, $3, $4) RETURNING id";
    let params = [uuid.as_str().into(), name.as_str().into(), owner.0.into(), now.into()];
    let id = cx.tx().query_one(sql, &params).await?.get("id")?;
    let app = App { id, uuid, name, owner };
    for (key, kind) in FIRST {
        add_environment(cx.tx(), &view, &app, key, kind).await?;
    }
    cx.audit(format!("forge_app:{}", app.uuid), None, Some(json!({"name": app.name})));
    let json = describe(cx.tx(), &view, &app).await?;
    cx.done(Reply::created(json))
}

async fn add_environment(tx: &mut Tx<Policy>, view: &View, app: &App, key: &str, kind: &str) -> Result<(), Problem> {
    let now = view.now().0;
    let sql =
        "INSERT INTO forge_environment (app, uuid, key, kind, created_at_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let params = [app.id.into(), view.entropy().uuid().into(), key.into(), kind.into(), now.into()];
    let environment: i64 = tx.query_one(sql, &params).await?.get("id")?;
    // The command line takes an app whose environment has but one version for one that was never deployed.
    let manifest = json!({"app": {"id": format!("ari:cloud:ecosystem::app/{}", app.uuid)}, "modules": {}}).to_string();
    let sql = "INSERT INTO forge_version (uuid, environment, major, minor, manifest, files, deployed_by, created_at_ms)
               VALUES ($1, $2, 1, 1, $3, NULL, $4, $5)";
    let params = [view.entropy().uuid().into(), environment.into(), manifest.into(), app.owner.0.into(), now.into()];
    tx.execute(sql, &params).await?;
    Ok(())
}

async fn get(mut cx: Ctx<op::ManageGetForgeApp>, input: Input) -> Outcome<op::ManageGetForgeApp> {
    let view = cx.view().clone();
    let app = find(cx.tx(), &view, input.param("appId")).await?;
    let json = describe(cx.tx(), &view, &app).await?;
    cx.done(Reply::json(json))
}

type CreateEnvironment = op::ManageCreateForgeEnvironment;
async fn create_environment(mut cx: Ctx<CreateEnvironment>, input: Input) -> Outcome<CreateEnvironment> {
    let view = cx.view().clone();
    let app = find(cx.tx(), &view, input.param("appId")).await?;
    let key = line(input.json(), "key", KEY_CHARS_MAX)?;
    if !key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(Problem::field("key", "key has lower-case letters, digits and hyphens."));
    }
    let all = environments(cx.tx(), &app).await?;
    if all.iter().any(|environment| environment.key == key) {
        return Err(Problem::conflict(format!("The app has an environment `{key}` already.")));
    }
    if all.len() >= ENVIRONMENTS_MAX {
        return Err(Problem::invalid(format!("An app can have at most {ENVIRONMENTS_MAX} environments.")));
    }
    add_environment(cx.tx(), &view, &app, &key, "DEVELOPMENT").await?;
    cx.audit(format!("forge_app:{}", app.uuid), None, Some(json!({"environment": key})));
    let json = describe(cx.tx(), &view, &app).await?;
    cx.done(Reply::created(json))
}

type DeleteEnvironment = op::ManageDeleteForgeEnvironment;
async fn delete_environment(mut cx: Ctx<DeleteEnvironment>, input: Input) -> Outcome<DeleteEnvironment> {
    let view = cx.view().clone();
    let app = find(cx.tx(), &view, input.param("appId")).await?;
    let environment = environment(cx.tx(), &app, input.param("environmentKey")).await?;
    if FIRST.iter().any(|(key, _)| *key == environment.key) {
        return Err(Problem::conflict("Every app has this environment."));
    }
    let sql = "SELECT id FROM forge_installation WHERE environment = $1 LIMIT 1";
    if cx.tx().query_opt(sql, &[environment.id.into()]).await?.is_some() {
        return Err(Problem::conflict("The environment is or was installed; its data are kept with it."));
    }
    for sql in [
        "DELETE FROM forge_deployment WHERE environment = $1",
        "DELETE FROM forge_variable WHERE environment = $1",
        "DELETE FROM forge_version WHERE environment = $1",
        "DELETE FROM forge_environment WHERE id = $1",
    ] {
        cx.tx().execute(sql, &[environment.id.into()]).await?;
    }
    cx.audit(format!("forge_app:{}", app.uuid), Some(json!({"environment": environment.key})), None);
    cx.done(Reply::no_content())
}

/// Names the installation of an environment as changed, so that its next invocation reads it anew.
pub(crate) fn changed(installed: Option<ForgeInstallationId>) -> Option<Entity> {
    installed.map(Entity::ForgeInstallation)
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create);
    handlers.on(get);
    handlers.on(create_environment);
    handlers.on(delete_environment);
}
