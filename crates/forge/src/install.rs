//! An app's environment on this site: consented to by an administrator, with an account of its own from the first moment.

use portcullis_apps::connect::Reach;
use portcullis_authz::{Operation, op};
use portcullis_crypto::{ExposeSecret, KeyId, Purpose, SealingKey, SealingKeys};
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Policy, Reply, Tx, View, WebhookOwner};
use portcullis_model::{ForgeInstallationId, Problem, UserId};
use serde_json::{Value as Json, json};

use crate::invoke::{self, Run};
use crate::manifest::{Behind, Manifest};
use crate::wire::{bare, moment, whole};
use crate::{Forge, app, schedule};

const DATA_KEY: Purpose = Purpose::new("forge data key");

/// What an app kept outlives it for as long, the vendor's time; then nobody reads it again.
pub const KEPT_MS: i64 = 28 * 86_400_000;

/// The keys that seal what an installation keeps. `None` once they were destroyed.
///
/// # Errors
/// The database's; a bug when the key does not open.
pub(crate) async fn data_keys<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    id: ForgeInstallationId,
) -> Result<Option<SealingKeys>, Problem> {
    let sql = "SELECT uuid, data_key FROM forge_installation WHERE id = $1";
    let Some(row) = tx.query_opt(sql, &[id.0.into()]).await? else { return Ok(None) };
    let Some(sealed) = row.get::<Option<Vec<u8>>>("data_key")? else { return Ok(None) };
    let uuid: String = row.get("uuid")?;
    let opened = view.keys().open(&sealed, DATA_KEY, uuid.as_bytes()).map_err(Problem::bug)?;
    let key = <&[u8; 32]>::try_from(opened.expose_secret()).map_err(Problem::bug)?;
    Ok(Some(SealingKeys::new(SealingKey::new(KeyId(1), key).map_err(Problem::bug)?)))
}

/// Destroys what uninstalled apps kept, once its time is over. Names them.
pub(crate) async fn shred(tx: &mut Tx<Policy>, now_ms: i64) -> Result<Vec<ForgeInstallationId>, Problem> {
    let sql = "SELECT id FROM forge_installation WHERE uninstalled_at_ms <= $1 AND data_key IS NOT NULL";
    let mut out = Vec::new();
    for row in tx.query(sql, &[(now_ms - KEPT_MS).into()]).await? {
        let id: i64 = row.get("id")?;
        tx.execute("UPDATE forge_installation SET data_key = NULL WHERE id = $1", &[id.into()]).await?;
        tx.execute("DELETE FROM forge_value WHERE installation = $1", &[id.into()]).await?;
        out.push(ForgeInstallationId(id));
    }
    Ok(out)
}

struct Version {
    id: i64,
    major: i64,
    minor: i64,
    manifest: Manifest,
}

/// A version by its id to the outside, or the newest of an environment.
async fn version(tx: &mut Tx<Policy>, environment: i64, id: Option<&str>) -> Result<Version, Problem> {
    let sql = "SELECT id, major, minor, manifest FROM forge_version
               WHERE environment = $1 AND ($2 = '' OR uuid = $2) AND files IS NOT NULL ORDER BY major DESC, minor DESC LIMIT 1";
    let row = tx.query_opt(sql, &[environment.into(), id.map_or("", bare).into()]).await?;
    let row = row.ok_or_else(|| Problem::conflict("Nothing was deployed to this environment; run `forge deploy`."))?;
    let manifest = Manifest::parse(&row.get::<String>("manifest")?).map_err(|faults| Problem::bug(faults.join(" ")))?;
    Ok(Version { id: row.get("id")?, major: row.get("major")?, minor: row.get("minor")?, manifest })
}

fn reach_of(manifest: &Manifest) -> Reach {
    let changes = |scope: &&String| ["write:", "delete:", "manage:"].iter().any(|start| scope.starts_with(start));
    Reach {
        writes: manifest.scopes.iter().any(|scope| changes(&scope)),
        administers: manifest.scopes.contains("manage:jira-configuration"),
    }
}

fn word<'a>(input: &'a Input, name: &str) -> Result<&'a str, Problem> {
    let found = input.json().get(name).and_then(Json::as_str);
    found.ok_or_else(|| Problem::field(name, format!("{name} is missing.")))
}

async fn install(
    mut cx: Ctx<op::ManageInstallForge>,
    input: Input,
    forge: Forge,
    (): (),
) -> Outcome<op::ManageInstallForge> {
    let (view, now) = (cx.view().clone(), cx.now().0);
    let app = app::find(cx.tx(), &view, word(&input, "appId")?).await?;
    let environment = app::environment(cx.tx(), &app, word(&input, "environmentKey")?).await?;
    if app::installed(cx.tx(), environment.id).await?.is_some() {
        return Err(Problem::conflict("The app is installed already; upgrade it instead."));
    }
    let wanted = input.json().get("versionId").and_then(Json::as_str);
    let version = version(cx.tx(), environment.id, wanted).await?;
    let name = match environment.kind.as_str() {
        "PRODUCTION" => app.name.clone(),
        _ => format!("{} ({})", app.name, environment.key),
    };
    let user = forge.0.accounts.make(cx.tx(), &view, &name).await?;
    let mut changed = vec![Entity::User(user)];
    changed.extend(forge.0.accounts.let_in(cx.tx(), user, reach_of(&version.manifest)).await?);
    let uuid = view.entropy().uuid();
    let key: [u8; 32] = view.entropy().array();
    let sealed = view.keys().seal(&key, DATA_KEY, uuid.as_bytes(), view.entropy()).map_err(Problem::bug)?;
    let sql = "INSERT INTO forge_installation (uuid, environment, version, code, user_id, scopes, data_key, installed_by, installed_at_ms, changed_at_ms)
               VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $8) RETURNING id";
    let params = [
        uuid.as_str().into(),
        environment.id.into(),
        version.id.into(),
        user.0.into(),
        version.manifest.scopes().into(),
        sealed.into(),
        view.caller().user().unwrap_or(user).0.into(),
        now.into(),
    ];
    let id = ForgeInstallationId(cx.tx().query_one(sql, &params).await?.get("id")?);
    schedule::plan(cx.tx(), id, Some(&version.manifest), now).await?;
    changed.push(Entity::ForgeInstallation(id));
    for entity in changed {
        cx.changed(entity);
    }
    let after = json!({"app": app.uuid, "environment": environment.key, "scopes": version.manifest.scopes, "egress": version.manifest.egress});
    cx.audit(format!("forge_installation:{uuid}"), None, Some(after));
    let event = json!({
        "id": uuid,
        "installerAccountId": view.caller().account_id(),
        "app": {"id": app.uuid, "version": format!("{}.{}.0", version.major, version.minor), "name": app.name},
        "environment": {"id": environment.uuid},
    });
    let reply = Reply::created(json!({"id": uuid, "version": format!("{}.{}.0", version.major, version.minor)}));
    cx.done_then(reply, move |reply| {
        tell(&forge, id, "avi:forge:installed:app", event);
        Ok(reply)
    })
}

/// Runs an app's triggers of an event of its own life, once that is stored.
fn tell(forge: &Forge, id: ForgeInstallationId, event: &'static str, body: Json) {
    let forge = forge.clone();
    tokio::spawn(async move {
        let told = async {
            let (guard, _) = forge.serving()?;
            let installed = invoke::installed(&forge, guard, id).await?;
            for module in triggers(&installed.code.manifest, event) {
                let mut body = body.clone();
                if let Some(object) = body.as_object_mut() {
                    object.insert("eventType".to_owned(), event.into());
                }
                invoke::run(
                    &forge,
                    &installed,
                    Run {
                        behind: module.1.clone(),
                        module_type: "trigger".to_owned(),
                        module_key: module.0.clone(),
                        event: body,
                        principal: None,
                        depth: 0,
                    },
                )
                .await?;
            }
            Ok::<(), Problem>(())
        };
        if let Err(error) = told.await {
            tracing::warn!(?error, event, "a Forge app could not be told of an event");
        }
    });
}

/// The triggers of an event: module key and what is run.
fn triggers(manifest: &Manifest, event: &str) -> Vec<(String, Behind)> {
    let named = |content: &Json| {
        content.get("events").and_then(Json::as_array).is_some_and(|events| events.iter().any(|one| one == event))
    };
    let modules = manifest.modules.iter().filter(|module| module.kind == "trigger" && named(&module.content));
    modules.filter_map(|module| Some((module.key.clone(), module.behind.clone()?))).collect()
}

struct Current {
    id: ForgeInstallationId,
    uuid: String,
    environment: i64,
    user: UserId,
    version: i64,
}

async fn current<M: AnyMode>(tx: &mut Tx<M>, uuid: &str) -> Result<Current, Problem> {
    let sql = "SELECT id, uuid, environment, user_id, version FROM forge_installation WHERE uuid = $1 AND uninstalled_at_ms IS NULL";
    let row = tx.query_opt(sql, &[bare(uuid).into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no such installation."))?;
    Ok(Current {
        id: ForgeInstallationId(row.get("id")?),
        uuid: row.get("uuid")?,
        environment: row.get("environment")?,
        user: UserId(row.get("user_id")?),
        version: row.get("version")?,
    })
}

async fn upgrade(
    mut cx: Ctx<op::ManageUpgradeForge>,
    input: Input,
    forge: Forge,
    (): (),
) -> Outcome<op::ManageUpgradeForge> {
    let now = cx.now().0;
    let current = current(cx.tx(), input.param("installationId")).await?;
    let wanted = input.json().get("versionId").and_then(Json::as_str);
    let version = version(cx.tx(), current.environment, wanted).await?;
    let sql = "SELECT manifest FROM forge_version WHERE id = $1";
    let before: String = cx.tx().query_one(sql, &[current.version.into()]).await?.get("manifest")?;
    let before = Manifest::parse(&before).map_err(|faults| Problem::bug(faults.join(" ")))?;
    let had = reach_of(&before);
    let reach = reach_of(&version.manifest);
    // What it had before is not proposed again: an administrator may have taken it away.
    let more = Reach { writes: reach.writes && !had.writes, administers: reach.administers && !had.administers };
    for entity in forge.0.accounts.let_in(cx.tx(), current.user, more).await? {
        cx.changed(entity);
    }
    let sql = "UPDATE forge_installation SET version = $2, code = $2, scopes = $3, changed_at_ms = $4 WHERE id = $1";
    let scopes = version.manifest.scopes();
    cx.tx().execute(sql, &[current.id.0.into(), version.id.into(), scopes.into(), now.into()]).await?;
    schedule::plan(cx.tx(), current.id, Some(&version.manifest), now).await?;
    cx.changed(Entity::ForgeInstallation(current.id));
    let scopes = |manifest: &Manifest| json!({"scopes": manifest.scopes, "egress": manifest.egress});
    cx.audit(format!("forge_installation:{}", current.uuid), Some(scopes(&before)), Some(scopes(&version.manifest)));
    let name = format!("{}.{}.0", version.major, version.minor);
    let permissions =
        json!({"scopes": version.manifest.scopes, "external": {"fetch": {"backend": version.manifest.egress}}});
    let event = json!({
        "id": current.uuid,
        "upgraderAccountId": cx.caller().account_id(),
        "app": {"id": version.manifest.app, "version": name},
        "permissions": permissions,
    });
    let id = current.id;
    cx.done_then(Reply::json(json!({"id": current.uuid, "version": name})), move |reply| {
        tell(&forge, id, "avi:forge:upgraded:app", event);
        Ok(reply)
    })
}

/// Lets the app say good-bye; what it does never keeps it installed.
///
/// # Errors
/// 503 while the server starts.
pub async fn part(forge: Forge, _: View, input: Input) -> Result<(), Problem> {
    let (guard, _) = forge.serving()?;
    let Ok(installed) = invoke::find(&forge, guard, input.param("installationId")).await else { return Ok(()) };
    let modules = installed.code.manifest.modules.iter().filter(|module| module.kind == "preUninstall");
    for module in modules {
        let Some(behind) = module.behind.clone() else { continue };
        let run = Run {
            behind,
            module_type: module.kind.clone(),
            module_key: module.key.clone(),
            event: json!({"context": {"cloudId": guard.site().1, "moduleKey": module.key}}),
            principal: None,
            depth: 0,
        };
        if let Err(error) = invoke::run(&forge, &installed, run).await {
            tracing::warn!(?error, "a Forge app could not say good-bye");
        }
    }
    Ok(())
}

async fn uninstall(
    cx: Ctx<op::ManageUninstallForge>,
    input: Input,
    forge: Forge,
    (): (),
) -> Outcome<op::ManageUninstallForge> {
    finish_uninstall(cx, input, forge, Reply::no_content()).await
}

/// Ends the installation of the path, and answers with `reply`.
///
/// # Errors
/// 404 when there is none.
pub async fn finish_uninstall<O: Operation<Mode = Policy>>(
    mut cx: Ctx<O>,
    input: Input,
    forge: Forge,
    reply: Reply,
) -> Outcome<O> {
    let now = cx.now().0;
    let current = current(cx.tx(), input.param("installationId")).await?;
    let sql = "UPDATE forge_installation SET uninstalled_at_ms = $2, changed_at_ms = $2 WHERE id = $1";
    cx.tx().execute(sql, &[current.id.0.into(), now.into()]).await?;
    cx.tx().execute("DELETE FROM forge_web_trigger WHERE installation = $1", &[current.id.0.into()]).await?;
    schedule::plan(cx.tx(), current.id, None, now).await?;
    cx.tx().forget_messages(&WebhookOwner::Forge(current.id).word()).await?;
    forge.0.accounts.set_active(cx.tx(), current.user, false).await?;
    cx.changed(Entity::User(current.user));
    cx.changed(Entity::ForgeInstallation(current.id));
    cx.audit(format!("forge_installation:{}", current.uuid), None, Some(json!({"uninstalled": true})));
    cx.done(reply)
}

async fn list(
    mut cx: Ctx<op::ManageListForgeInstallations>,
    input: Input,
) -> Outcome<op::ManageListForgeInstallations> {
    let view = cx.view().clone();
    let wanted = input.query("appId").map(bare).unwrap_or_default().to_owned();
    let admin = view.is_ours()
        || view.caller().user().is_some_and(|user| view.with(|snapshot| snapshot.policy.is_site_admin(user)));
    let owner = if admin { -1 } else { view.caller().user().map_or(0, |user| user.0) };
    let sql = "SELECT i.uuid, i.scopes, i.installed_at_ms, i.changed_at_ms, i.user_id, i.installed_by, e.uuid AS environment, e.key, e.kind,
                      a.uuid AS app, a.name, g.major, g.minor, g.manifest AS granted, g.uuid AS granted_id, c.major AS code_major, c.minor AS code_minor, c.manifest AS code,
                      (SELECT uuid FROM forge_version WHERE environment = e.id ORDER BY major DESC, minor DESC LIMIT 1) AS newest,
                      (SELECT count(*) FROM forge_value WHERE installation = i.id) AS stored,
                      (SELECT coalesce(sum(bytes), 0) FROM forge_value WHERE installation = i.id) AS stored_bytes
               FROM forge_installation i JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app
               JOIN forge_version g ON g.id = i.version JOIN forge_version c ON c.id = i.code
               WHERE i.uninstalled_at_ms IS NULL AND ($1 = '' OR a.uuid = $1) AND ($2 < 0 OR a.owner = $2) ORDER BY a.name, i.id";
    let mut out = Vec::new();
    for row in cx.tx().query(sql, &[wanted.into(), owner.into()]).await? {
        let version = |major: &str, minor: &str| -> Result<String, Problem> {
            Ok(format!("{}.{}.0", row.get::<i64>(major)?, row.get::<i64>(minor)?))
        };
        let manifest = |name: &str| -> Result<Json, Problem> {
            serde_json::from_str(&row.get::<String>(name)?).map_err(Problem::bug)
        };
        let account = |column: &str| -> Result<Json, Problem> {
            let person = view.with(|snapshot| row.get(column).map(|id| snapshot.person(UserId(id)).cloned()))?;
            Ok(person.map_or(Json::Null, |it| json!({"accountId": it.account_id, "displayName": it.display_name})))
        };
        let scopes: String = row.get("scopes")?;
        out.push(json!({
            "id": row.get::<String>("uuid")?,
            "appId": row.get::<String>("app")?,
            "name": row.get::<String>("name")?,
            "environmentId": row.get::<String>("environment")?,
            "environmentKey": row.get::<String>("key")?,
            "environmentType": row.get::<String>("kind")?,
            "version": version("major", "minor")?,
            "manifest": manifest("granted")?,
            "codeVersion": version("code_major", "code_minor")?,
            "codeManifest": manifest("code")?,
            "isLatest": row.get::<String>("newest")? == row.get::<String>("granted_id")?,
            "scopes": scopes.split(' ').filter(|scope| !scope.is_empty()).collect::<Vec<_>>(),
            "account": account("user_id")?,
            "installedBy": account("installed_by")?,
            "installedAt": moment(row.get("installed_at_ms")?),
            "changedAt": moment(row.get("changed_at_ms")?),
            "storedValues": row.get::<i64>("stored")?,
            "storedBytes": row.get::<i64>("stored_bytes")?,
        }));
    }
    cx.done(Reply::json(whole(out)))
}

async fn nothing_first(_: Forge, _: View, _: Input) -> Result<(), Problem> {
    Ok(())
}

async fn export(mut cx: Ctx<op::ManageExportForgeData>, input: Input) -> Outcome<op::ManageExportForgeData> {
    let view = cx.view().clone();
    let sql = "SELECT id FROM forge_installation WHERE uuid = $1";
    let row = cx.tx().query_opt(sql, &[bare(input.param("installationId")).into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no such installation."))?;
    let id = ForgeInstallationId(row.get("id")?);
    let values = crate::storage::export(cx.tx(), &view, id).await?;
    cx.done(Reply::json(whole(values)))
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on(list);
    handlers.on(export);
    handlers.on_prepared(forge, nothing_first, install);
    handlers.on_prepared(forge, nothing_first, upgrade);
    handlers.on_prepared(forge, part, uninstall);
}
