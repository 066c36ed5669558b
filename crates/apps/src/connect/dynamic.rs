//! Modules that a running app adds to those of its descriptor: `/rest/atlassian-connect/1/app/module/dynamic`. All of a request is
//! taken, or nothing. They outlive an update of the app, unless its new descriptor uses one of their keys.

use portcullis_authz::op;
use portcullis_guard::connect::ConnectFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Policy, Reply, Tx, View};
use portcullis_model::{ConnectAppId, Problem};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

use super::descriptor;
use crate::webhook;

/// Modules of one app, as the vendor has it.
const MODULES_MAX: usize = 100;
const KEY_CHARS_MAX: usize = 100;
const MODULE_CHARS_MAX: usize = 32_768;

/// The app that asks; the decision has made sure that it is one.
fn own(view: &View) -> Result<Arc<ConnectFacts>, Problem> {
    let app = view.caller().connect_app().filter(|_| view.caller().is_app_only());
    let app = app.and_then(|id| view.with(|snapshot| snapshot.connect().app(id).cloned()));
    app.ok_or_else(|| Problem::forbidden("The request is not from a Connect app."))
}

fn said(message: String) -> Reply {
    Reply::json(json!({"message": message})).with_status(400)
}

/// What an app has added, by kind, in the order in which it was added.
///
/// # Errors
/// The database's.
pub async fn modules<M: AnyMode>(tx: &mut Tx<M>, app: ConnectAppId) -> Result<Map<String, Json>, Problem> {
    let sql = "SELECT kind, module FROM app_connect_module WHERE app = $1 ORDER BY id";
    let mut out = Map::new();
    for row in tx.query(sql, &[app.0.into()]).await? {
        let module: Json = serde_json::from_str(&row.get::<String>("module")?).map_err(Problem::bug)?;
        let kind = out.entry(row.get::<String>("kind")?).or_insert_with(|| Json::Array(Vec::new()));
        if let Some(list) = kind.as_array_mut() {
            list.push(module);
        }
    }
    Ok(out)
}

/// The modules that an app's descriptor names, by kind.
///
/// # Errors
/// The database's.
pub(crate) async fn described<M: AnyMode>(tx: &mut Tx<M>, app: ConnectAppId) -> Result<Map<String, Json>, Problem> {
    let sql = "SELECT descriptor FROM app_connect WHERE id = $1";
    let text: String = tx.query_one(sql, &[app.0.into()]).await?.get("descriptor")?;
    let mut json: Json = serde_json::from_str(&text).map_err(Problem::bug)?;
    Ok(match json.get_mut("modules").map(Json::take) {
        Some(Json::Object(modules)) => modules,
        _ => Map::new(),
    })
}

/// Each module with its kind; of some kinds there is a list, of others one.
fn each(modules: &Map<String, Json>) -> impl Iterator<Item = (&str, &Json)> {
    modules.iter().flat_map(|(kind, of_kind)| {
        let several = of_kind.as_array().map_or(std::slice::from_ref(of_kind), Vec::as_slice);
        several.iter().map(move |module| (kind.as_str(), module))
    })
}

fn key_of(module: &Json) -> Option<&str> {
    module.get("key").and_then(Json::as_str)
}

/// Whether a module can have this key, which stands in addresses.
pub(super) fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= KEY_CHARS_MAX
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Every module of a request with its kind and key.
fn read(body: &Json) -> Result<Vec<(&str, &str, &Json)>, String> {
    let kinds = body.as_object().ok_or("The modules have to be an object, by kind.")?;
    let mut out = Vec::new();
    for (kind, module) in each(kinds) {
        let key = key_of(module).filter(|key| is_key(key));
        let key = key.ok_or_else(|| format!("A module of {kind} has no key of letters, digits and `-`."))?;
        out.push((kind, key, module));
    }
    if out.is_empty() {
        return Err("The request has no module.".to_owned());
    }
    Ok(out)
}

/// Takes out what the app's new descriptor names itself.
pub(super) async fn give_way(tx: &mut Tx<Policy>, app: ConnectAppId) -> Result<(), Problem> {
    let described = described(tx, app).await?;
    for key in each(&described).filter_map(|(_, module)| key_of(module)) {
        let sql = "DELETE FROM app_connect_module WHERE app = $1 AND module_key = $2";
        tx.execute(sql, &[app.0.into(), key.into()]).await?;
    }
    Ok(())
}

type Get = op::DynamicModulesResourceGetModulesGet;
async fn get(mut cx: Ctx<Get>, _: Input) -> Outcome<Get> {
    let app = own(cx.view())?;
    let all = modules(cx.tx(), app.id).await?;
    cx.done(Reply::json(Json::Object(all)))
}

type Add = op::DynamicModulesResourceRegisterModulesPost;
async fn add(mut cx: Ctx<Add>, input: Input) -> Outcome<Add> {
    let (app, now) = (own(cx.view())?, cx.now());
    let body: Json = input.parse()?;
    let added = match read(&body) {
        Ok(added) => added,
        Err(words) => return cx.done(said(words)),
    };
    let described = described(cx.tx(), app.id).await?;
    let there = modules(cx.tx(), app.id).await?;
    let have = each(&there).count();
    let mut known: Vec<&str> = each(&described).chain(each(&there)).filter_map(|(_, module)| key_of(module)).collect();
    let mut twice: Vec<&str> = Vec::new();
    for (_, key, _) in &added {
        if known.contains(key) {
            twice.push(key);
        }
        known.push(key);
    }
    if !twice.is_empty() {
        let words = format!(
            "Installation failed. The app {} has duplicate module keys: [{}]. Please contact the app vendor.",
            app.key,
            twice.join(", ")
        );
        return cx.done(said(words));
    }
    if have.saturating_add(added.len()) > MODULES_MAX {
        return cx.done(said(format!("The app {} can have at most {MODULES_MAX} dynamic modules.", app.key)));
    }
    if let Err(words) = descriptor::webhooks(body.as_object(), &app.base_url) {
        return cx.done(said(words));
    }
    for (kind, key, module) in &added {
        let text = module.to_string();
        if text.chars().count() > MODULE_CHARS_MAX {
            return Err(Problem::invalid(format!("The module {key} is too long.")));
        }
        let sql = "INSERT INTO app_connect_module (app, module_key, kind, module) VALUES ($1, $2, $3, $4)";
        cx.tx().execute(sql, &[app.id.0.into(), (*key).into(), (*kind).into(), text.into()]).await?;
    }
    for entity in webhook::describe(cx.tx(), app.id, &app.base_url, now).await? {
        cx.changed(entity);
    }
    let keys: Vec<&str> = added.iter().map(|(_, key, _)| *key).collect();
    cx.audit(format!("connect_app:{}", app.key), None, Some(json!({"dynamicModules": keys})));
    cx.done(Reply::empty(200))
}

type Remove = op::DynamicModulesResourceRemoveModulesDelete;
async fn remove(mut cx: Ctx<Remove>, input: Input) -> Outcome<Remove> {
    let (app, now) = (own(cx.view())?, cx.now());
    let keys: Vec<String> = input.query_all("moduleKey").map(str::to_owned).collect();
    if keys.is_empty() {
        cx.tx().execute("DELETE FROM app_connect_module WHERE app = $1", &[app.id.0.into()]).await?;
    }
    for key in &keys {
        let sql = "DELETE FROM app_connect_module WHERE app = $1 AND module_key = $2";
        cx.tx().execute(sql, &[app.id.0.into(), key.as_str().into()]).await?;
    }
    for entity in webhook::describe(cx.tx(), app.id, &app.base_url, now).await? {
        cx.changed(entity);
    }
    cx.audit(format!("connect_app:{}", app.key), Some(json!({"dynamicModules": keys})), None);
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(add);
    handlers.on(remove);
}
