//! A version of an app's code: uploaded, looked at, loaded once to see that it loads, and kept.
//!
//! A deployment that is refused leaves the reasons and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_authz::{Operation, op};
use portcullis_crypto::{PlainToken, TokenHash, TokenKind};
use portcullis_guard::{Body, Ctx, Handlers, Input, Outcome, Policy, Read, Reply, Tx, View, Write};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::app::{self, App, Environment};
use crate::archive::{self, Archive};
use crate::invoke::{self, Code};
use crate::manifest::Manifest;
use crate::{Forge, variable};

/// An upload that nobody deploys is thrown away after as long.
const UPLOAD_MS_MAX: i64 = 60 * 60_000;

async fn create_upload(mut cx: Ctx<op::ManageCreateForgeUpload>, input: Input) -> Outcome<op::ManageCreateForgeUpload> {
    let (view, now) = (cx.view().clone(), cx.now().0);
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let sql = "DELETE FROM forge_upload WHERE created_at_ms < $1";
    cx.tx().execute(sql, &[(now - UPLOAD_MS_MAX).into()]).await?;
    let address = PlainToken::issue(TokenKind::UploadAddress, view.entropy());
    let sql = "INSERT INTO forge_upload (address_hash, app, content, created_at_ms) VALUES ($1, $2, NULL, $3)";
    let hash = address.hash().to_bytes().to_vec();
    cx.tx().execute(sql, &[hash.into(), app.id.into(), now.into()]).await?;
    let url = format!("{}/forge/uploads/{}", view.addresses().api, address.expose_secret());
    cx.done(Reply::created(json!({"uploadUrl": url})))
}

/// The hash of the address at the end of a URL of ours.
fn address_hash(url: &str) -> Option<Vec<u8>> {
    let (kind, hash) = TokenHash::parse(url.rsplit('/').next().unwrap_or_default())?;
    (kind == TokenKind::UploadAddress).then(|| hash.to_bytes().to_vec())
}

async fn upload(mut cx: Ctx<op::ForgeUpload>, input: Input) -> Outcome<op::ForgeUpload> {
    receive(&mut cx, &input).await?;
    cx.done(Reply::empty(200))
}

/// Pages of an app, which are not shown yet: they are taken, as the command line expects, and thrown away with their address.
async fn upload_resource(mut cx: Ctx<op::ForgeUploadResource>, input: Input) -> Outcome<op::ForgeUploadResource> {
    receive(&mut cx, &input).await?;
    cx.done(Reply::no_content())
}

async fn receive<O: Operation<Mode = Write>>(cx: &mut Ctx<O>, input: &Input) -> Result<(), Problem> {
    let absent = || Problem::not_found("There is no upload at this address, or it has got its archive.");
    let hash = address_hash(input.param("address")).ok_or_else(absent)?;
    let Body::Bytes(content) = input.body() else { return Err(Problem::invalid("The body is the archive.")) };
    if content.len() > archive::BYTES_MAX {
        return Err(Problem::new(
            portcullis_model::ProblemKind::TooLarge,
            format!("An archive has at most {} bytes.", archive::BYTES_MAX),
        ));
    }
    let oldest = cx.now().0 - UPLOAD_MS_MAX;
    let sql =
        "UPDATE forge_upload SET content = $2 WHERE address_hash = $1 AND content IS NULL AND created_at_ms >= $3";
    if cx.tx().execute(sql, &[hash.into(), content.clone().into(), oldest.into()]).await? == 0 {
        return Err(absent());
    }
    Ok(())
}

/// What came of looking at an archive.
#[derive(Clone)]
enum Looked {
    Good(Arc<(Manifest, Archive)>),
    Bad(Vec<String>),
}

async fn look(forge: Forge, view: View, input: Input) -> Result<Looked, Problem> {
    let (guard, _) = forge.serving()?;
    let mut job = guard.begin_job::<Read>("forge_deploy").await?;
    let app = app::find(job.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(job.tx(), &app, input.param("environmentKey")).await?;
    let url = input.json().get("artifactUrl").and_then(Json::as_str).unwrap_or_default();
    let absent = || Problem::field("artifactUrl", "There is no archive at this address.");
    let hash = address_hash(url).ok_or_else(absent)?;
    let sql = "SELECT content FROM forge_upload WHERE address_hash = $1 AND app = $2";
    let row = job.tx().query_opt(sql, &[hash.into(), app.id.into()]).await?.ok_or_else(absent)?;
    let content: Vec<u8> = row.get::<Option<Vec<u8>>>("content")?.ok_or_else(absent)?;
    let variables = variable::all(job.tx(), view.keys(), environment.id).await?;
    drop(job);
    let unpacked = tokio::task::spawn_blocking(move || archive::unpack(&content)).await.map_err(Problem::bug)?;
    let archive = match unpacked {
        Ok(archive) => archive,
        Err(fault) => return Ok(Looked::Bad(vec![fault])),
    };
    let manifest = match Manifest::parse(&archive.manifest) {
        Ok(manifest) => manifest,
        Err(faults) => return Ok(Looked::Bad(faults)),
    };
    if manifest.app != app.uuid {
        return Ok(Looked::Bad(vec!["`app.id` of the manifest is another app's.".to_owned()]));
    }
    let mut faults: Vec<String> = manifest
        .functions
        .iter()
        .filter(|(_, handler)| archive::file_of(&archive.files, &handler.file).is_none())
        .map(|(key, handler)| {
            format!("The function `{key}` is in `{}`, which the archive does not hold.", handler.file)
        })
        .collect();
    if faults.is_empty() && !manifest.functions.is_empty() {
        let code = Code { manifest: Arc::new(manifest.clone()), files: Arc::new(archive.files.clone()) };
        if let Err(fault) = invoke::load(&forge, &code, &variables).await {
            faults.push(fault.into_words()?);
        }
    }
    Ok(if faults.is_empty() { Looked::Good(Arc::new((manifest, archive))) } else { Looked::Bad(faults) })
}

/// The newest version of an environment, or of one of its majors.
async fn newest(tx: &mut Tx<Policy>, environment: i64, major: Option<i64>) -> Result<(i64, i64, Json), Problem> {
    let sql = "SELECT major, minor, manifest FROM forge_version WHERE environment = $1 AND ($2 < 0 OR major = $2)
               ORDER BY major DESC, minor DESC LIMIT 1";
    let row = tx
        .query_opt(sql, &[environment.into(), major.unwrap_or(-1).into()])
        .await?
        .ok_or_else(|| Problem::field("majorVersion", "There is no such major version."))?;
    let manifest = serde_json::from_str(&row.get::<String>("manifest")?).map_err(Problem::bug)?;
    Ok((row.get("major")?, row.get("minor")?, manifest))
}

async fn store(
    mut cx: Ctx<op::ManageDeployForge>,
    input: Input,
    _: Forge,
    looked: Looked,
) -> Outcome<op::ManageDeployForge> {
    let (view, now) = (cx.view().clone(), cx.now().0);
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(cx.tx(), &app, input.param("environmentKey")).await?;
    let by = cx.user()?;
    let uuid = view.entropy().uuid();
    let url = input.json().get("artifactUrl").and_then(Json::as_str).unwrap_or_default();
    if let Some(hash) = address_hash(url) {
        cx.tx().execute("DELETE FROM forge_upload WHERE address_hash = $1", &[hash.into()]).await?;
    }
    let (version, faults, idle) = match looked {
        Looked::Bad(faults) => (None, faults, Vec::new()),
        Looked::Good(good) => {
            let (manifest, archive) = good.as_ref();
            let major = input.json().get("majorVersion").and_then(Json::as_i64);
            let (id, name) =
                add_version(cx.tx(), &view, &environment, manifest, &archive.manifest, &archive.files, by.0, major)
                    .await?;
            if let Some(installation) = roll_out(cx.tx(), &environment, id, manifest, now).await? {
                cx.changed(installation);
            }
            cx.audit(
                format!("forge_app:{}", app.uuid),
                None,
                Some(json!({"environment": environment.key, "version": name})),
            );
            (Some((id, name)), Vec::new(), manifest.idle.clone())
        }
    };
    let sql =
        "INSERT INTO forge_deployment (uuid, environment, version, errors, created_at_ms) VALUES ($1, $2, $3, $4, $5)";
    let errors = json!(faults).to_string();
    let params = [
        uuid.as_str().into(),
        environment.id.into(),
        version.as_ref().map(|(id, _)| *id).into(),
        errors.into(),
        now.into(),
    ];
    cx.tx().execute(sql, &params).await?;
    let mut json = result(&uuid, version.map(|(_, name)| name), &faults);
    if let Some(object) = json.as_object_mut() {
        object.insert("warnings".to_owned(), idle.into());
    }
    cx.done(Reply::created(json))
}

fn result(uuid: &str, version: Option<String>, errors: &[String]) -> Json {
    json!({
        "id": uuid,
        "status": if version.is_some() { "DONE" } else { "FAILED" },
        "version": version,
        "errors": errors,
    })
}

#[expect(clippy::too_many_arguments, reason = "a version is all of this")]
async fn add_version(
    tx: &mut Tx<Policy>,
    view: &View,
    environment: &Environment,
    manifest: &Manifest,
    text: &str,
    files: &BTreeMap<String, String>,
    by: i64,
    wanted_major: Option<i64>,
) -> Result<(i64, String), Problem> {
    let (major, minor, before) = newest(tx, environment.id, wanted_major).await?;
    let same = Manifest::parse(&before.to_string()).is_ok_and(|before| !before.asks_for_other(manifest));
    let (top, _, _) = newest(tx, environment.id, None).await?;
    // What an app has before its first deployment is no version that anybody consented to.
    let (major, minor) = match (same && major > 1, wanted_major) {
        (true, _) => (major, minor + 1),
        (false, Some(_)) => {
            return Err(Problem::field("majorVersion", "The permissions differ from those of that major version."));
        }
        (false, None) => (top + 1, 0),
    };
    let sql = "INSERT INTO forge_version (uuid, environment, major, minor, manifest, files, deployed_by, created_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    let params = [
        view.entropy().uuid().into(),
        environment.id.into(),
        major.into(),
        minor.into(),
        text.into(),
        serde_json::to_string(files).map_err(Problem::bug)?.into(),
        by.into(),
        view.now().0.into(),
    ];
    let id = tx.query_one(sql, &params).await?.get("id")?;
    Ok((id, format!("{major}.{minor}.0")))
}

/// A version that reaches no further than what was consented to runs at once wherever its major is installed.
async fn roll_out(
    tx: &mut Tx<Policy>,
    environment: &Environment,
    version: i64,
    manifest: &Manifest,
    now: i64,
) -> Result<Option<portcullis_guard::Entity>, Problem> {
    let sql = "UPDATE forge_installation SET version = $2, code = $2, changed_at_ms = $3
               WHERE environment = $1 AND uninstalled_at_ms IS NULL
                 AND (SELECT major FROM forge_version WHERE id = version) = (SELECT major FROM forge_version WHERE id = $2)";
    let moved = tx.execute(sql, &[environment.id.into(), version.into(), now.into()]).await?;
    if moved == 0 {
        return Ok(None);
    }
    let changed = app::changed(app::installed(tx, environment.id).await?);
    if let Some(portcullis_guard::Entity::ForgeInstallation(id)) = changed {
        crate::schedule::plan(tx, id, Some(manifest), now).await?;
    }
    Ok(changed)
}

async fn get(mut cx: Ctx<op::ManageGetForgeDeployment>, input: Input) -> Outcome<op::ManageGetForgeDeployment> {
    let view = cx.view().clone();
    let app: App = app::find(cx.tx(), &view, input.param("appId")).await?;
    let sql = "SELECT d.uuid, d.errors, v.major, v.minor FROM forge_deployment d
               JOIN forge_environment e ON e.id = d.environment LEFT JOIN forge_version v ON v.id = d.version
               WHERE d.uuid = $1 AND e.app = $2";
    let id = input.param("deploymentId");
    let row = cx.tx().query_opt(sql, &[id.into(), app.id.into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no such deployment."))?;
    let version = match (row.get::<Option<i64>>("major")?, row.get::<Option<i64>>("minor")?) {
        (Some(major), Some(minor)) => Some(format!("{major}.{minor}.0")),
        _ => None,
    };
    let errors: Vec<String> = serde_json::from_str(&row.get::<String>("errors")?).map_err(Problem::bug)?;
    let json = result(id, version, &errors);
    cx.done(Reply::json(json))
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on(create_upload);
    handlers.on(upload);
    handlers.on(upload_resource);
    handlers.on_prepared(forge, look, store);
    handlers.on(get);
}
