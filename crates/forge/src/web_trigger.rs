//! Addresses at which the outside reaches an app's function. Whoever knows one may call it, so it is long and random; what proves the
//! caller is between the app and whom it told the address.

use std::future::Future;
use std::pin::Pin;

use portcullis_apps::edge::{Call, Reaches};
use portcullis_authz::{Operation, op};
use portcullis_crypto::{PlainToken, TokenHash, TokenKind};
use portcullis_guard::{AnyMode, Body, Ctx, Handlers, Input, Outcome, Read, Reply, ReplyBody, Tx, View};
use portcullis_model::{ForgeInstallationId, Problem};
use serde_json::{Value as Json, json};

use crate::Forge;
use crate::app;
use crate::invoke::{self, Installed, Run};
use crate::log::Outcome as Ending;
use crate::wire::{bare, whole};

/// An answer that an app makes, in bytes.
const ANSWER_BYTES_MAX: usize = 5 << 20;

/// Headers that an app may not set on an answer from this site's address.
const NOT_SET: &[&str] = &[
    "set-cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "strict-transport-security",
    "clear-site-data",
];

fn url_of(view: &View, address: &str) -> String {
    format!("{}/x1/{address}", view.addresses().site)
}

/// An installation that the caller may administer or has registered the app of.
async fn owned<M: AnyMode>(tx: &mut Tx<M>, view: &View, uuid: &str) -> Result<ForgeInstallationId, Problem> {
    let sql = "SELECT i.id, a.uuid AS app FROM forge_installation i JOIN forge_environment e ON e.id = i.environment
               JOIN forge_app a ON a.id = e.app WHERE i.uuid = $1 AND i.uninstalled_at_ms IS NULL";
    let row = tx.query_opt(sql, &[bare(uuid).into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no such installation."))?;
    // The app itself asks for its own addresses, too.
    let id = ForgeInstallationId(row.get("id")?);
    if view.caller().forge_installation() != Some(id) {
        app::find(tx, view, &row.get::<String>("app")?).await?;
    }
    Ok(id)
}

async fn create(
    mut cx: Ctx<op::ManageCreateForgeWebTrigger>,
    input: Input,
) -> Outcome<op::ManageCreateForgeWebTrigger> {
    let (view, now) = (cx.view().clone(), cx.now().0);
    let id = owned(cx.tx(), &view, input.param("installationId")).await?;
    let key = input.json().get("triggerKey").and_then(Json::as_str).unwrap_or_default().to_owned();
    let sql = "SELECT v.manifest FROM forge_installation i JOIN forge_version v ON v.id = i.code WHERE i.id = $1";
    let text: String = cx.tx().query_one(sql, &[id.0.into()]).await?.get("manifest")?;
    let known =
        crate::manifest::Manifest::parse(&text).is_ok_and(|manifest| manifest.module("webtrigger", &key).is_some());
    if !known {
        return Err(Problem::field("triggerKey", format!("The app has no web trigger `{key}`.")));
    }
    let sql = "SELECT address FROM forge_web_trigger WHERE installation = $1 AND module_key = $2";
    let found = cx.tx().query_opt(sql, &[id.0.into(), key.as_str().into()]).await?;
    let address = match found {
        Some(row) => row.get("address")?,
        None => {
            let address = PlainToken::issue(TokenKind::WebTriggerAddress, view.entropy()).expose_secret().to_owned();
            let sql = "INSERT INTO forge_web_trigger (address, installation, module_key, created_at_ms) VALUES ($1, $2, $3, $4)";
            cx.tx().execute(sql, &[address.as_str().into(), id.0.into(), key.as_str().into(), now.into()]).await?;
            address
        }
    };
    cx.audit(format!("forge_web_trigger:{key}"), None, None);
    let reply = Reply::created(json!({"id": address, "triggerKey": key, "url": url_of(&view, &address)}));
    cx.done(reply)
}

async fn list(mut cx: Ctx<op::ManageListForgeWebTriggers>, input: Input) -> Outcome<op::ManageListForgeWebTriggers> {
    let view = cx.view().clone();
    let id = owned(cx.tx(), &view, input.param("installationId")).await?;
    let sql = "SELECT address, module_key FROM forge_web_trigger WHERE installation = $1 ORDER BY id";
    let mut out = Vec::new();
    for row in cx.tx().query(sql, &[id.0.into()]).await? {
        let (address, key): (String, String) = (row.get("address")?, row.get("module_key")?);
        out.push(json!({"id": address, "triggerKey": key, "url": url_of(&view, &address)}));
    }
    cx.done(Reply::json(whole(out)))
}

async fn delete(
    mut cx: Ctx<op::ManageDeleteForgeWebTrigger>,
    input: Input,
) -> Outcome<op::ManageDeleteForgeWebTrigger> {
    let view = cx.view().clone();
    let id = owned(cx.tx(), &view, input.param("installationId")).await?;
    let sql = "DELETE FROM forge_web_trigger WHERE installation = $1 AND address = $2";
    if cx.tx().execute(sql, &[id.0.into(), bare(input.param("triggerId")).into()]).await? == 0 {
        return Err(Problem::not_found("There is no such web trigger."));
    }
    cx.audit("forge_web_trigger", None, None);
    cx.done(Reply::no_content())
}

// ---- called from outside

async fn call(forge: Forge, _: View, input: Input) -> Result<Reply, Problem> {
    let absent = || Problem::not_found("There is nothing at this address.");
    let address = input.param("address");
    if TokenHash::parse(address).is_none_or(|(kind, _)| kind != TokenKind::WebTriggerAddress) {
        return Err(absent());
    }
    let (guard, _) = forge.serving()?;
    let mut job = guard.begin_job::<Read>("forge_web_trigger").await?;
    let sql = "SELECT installation, module_key FROM forge_web_trigger WHERE address = $1";
    let row = job.tx().query_opt(sql, &[address.into()]).await?.ok_or_else(absent)?;
    let (id, key) = (ForgeInstallationId(row.get("installation")?), row.get::<String>("module_key")?);
    drop(job);
    let installed = invoke::installed(&forge, guard, id).await.map_err(|_| absent())?;
    let module = installed.code.manifest.module("webtrigger", &key).ok_or_else(absent)?;
    let behind = module.behind.clone().ok_or_else(absent)?;
    let relayed = input.relayed();
    let mut headers = serde_json::Map::new();
    for (name, value) in &relayed.headers {
        if let Some(values) = headers.entry(name.clone()).or_insert_with(|| json!([])).as_array_mut() {
            values.push(value.as_str().into());
        }
    }
    let mut parameters = serde_json::Map::new();
    for (name, value) in input.query_pairs() {
        if let Some(values) = parameters.entry(name.clone()).or_insert_with(|| json!([])).as_array_mut() {
            // As the vendor does.
            values.extend(value.split(',').map(Json::from));
        }
    }
    let body = match input.body() {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let event = json!({
        "method": relayed.method, "path": format!("/x1/{address}"), "userPath": "", "headers": headers,
        "queryParameters": parameters, "body": body,
        "context": {"cloudId": guard.site().1, "moduleKey": key},
    });
    let content = module.content.clone();
    let run = Run { behind, module_type: "webtrigger".to_owned(), module_key: key, event, principal: None, depth: 0 };
    let finished = invoke::run(&forge, &installed, run).await?;
    let failed = || Reply::json(json!({"message": "The app failed to answer."})).with_status(500);
    if finished.outcome != Ending::Ok {
        return Ok(failed());
    }
    Ok(answer_of(&content, &finished.value).unwrap_or_else(failed))
}

/// The answer that an app returned, if it is one.
fn answer_of(module: &Json, value: &Json) -> Option<Reply> {
    let fixed = module.pointer("/response/type").and_then(Json::as_str) == Some("static");
    if fixed {
        let key = value.get("outputKey").and_then(Json::as_str)?;
        let outputs = module.pointer("/response/outputs").and_then(Json::as_array)?;
        let output = outputs.iter().find(|output| output.get("key").and_then(Json::as_str) == Some(key))?;
        let text = output.get("body").and_then(Json::as_str).unwrap_or_default().to_owned();
        let status = output
            .get("statusCode")
            .and_then(Json::as_u64)
            .and_then(|status| u16::try_from(status).ok())
            .unwrap_or(200);
        let kind = output.get("contentType").and_then(Json::as_str).unwrap_or("text/plain");
        return Some(relayed(status, kind, text, Vec::new()));
    }
    let status = value.get("statusCode").and_then(Json::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (200..600).contains(status))?;
    let text = value.get("body").and_then(Json::as_str).unwrap_or_default().to_owned();
    if text.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let mut kind = "application/json".to_owned();
    let mut headers = Vec::new();
    for (name, values) in value.get("headers").and_then(Json::as_object).into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        let values: Vec<&str> = match values {
            Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
            Json::String(text) => vec![text.as_str()],
            _ => continue,
        };
        if name == "content-type" {
            kind = values.join(", ");
        } else if !NOT_SET.contains(&name.as_str()) {
            headers.extend(values.into_iter().map(|value| (name.clone(), value.to_owned())));
        }
    }
    Some(relayed(status, &kind, text, headers))
}

/// What an app answers comes from this site's address: a browser must not take it for a page of the site.
fn relayed(status: u16, kind: &str, text: String, headers: Vec<(String, String)>) -> Reply {
    let body = if text.is_empty() {
        ReplyBody::Empty
    } else {
        ReplyBody::Relayed { content_type: kind.to_owned(), headers, text }
    };
    Reply { status, headers: Vec::new(), body }
        .with_header("content-security-policy", "sandbox; default-src 'none'")
        .with_header("cross-origin-resource-policy", "same-site")
}

async fn answer_call<O: Operation<Mode = Read>>(cx: Ctx<O>, _: Input, _: Forge, reply: Reply) -> Outcome<O> {
    cx.done(reply)
}

// ---- asked for by the app's code

/// Answers what `@forge/api` asks the platform's gateway for.
pub(crate) async fn answer_app(forge: &Forge, installed: &Installed, body: &Json) -> Json {
    let key = body
        .pointer("/variables/input/triggerKey")
        .or_else(|| body.pointer("/variables/triggerKey"))
        .and_then(Json::as_str);
    let text = body.get("query").and_then(Json::as_str).unwrap_or_default();
    let failed = |message: &str| json!({"errors": [{"message": message}]});
    let Ok((guard, edge)) = forge.serving() else { return failed("The server is starting.") };
    let path = format!("/api/portcullis/v1/forge/installations/{}/web-triggers", installed.uuid);
    // For the app, but by the server: what it may ask for is this and nothing else.
    let ask = |method: http::Method, path: String, body: Json| {
        edge.answer(Call {
            caller: guard.operator("forge"),
            reaches: Reaches::Management,
            method,
            path,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() },
        })
    };
    if text.contains("createWebTriggerUrl") {
        let made = ask(http::Method::POST, path, json!({"triggerKey": key})).await;
        let made: Json = serde_json::from_slice(&made.body).unwrap_or_default();
        return match made.get("url") {
            Some(url) => json!({"data": {"createWebTriggerUrl": {"success": true, "message": null, "url": url}}}),
            None => {
                json!({"data": {"createWebTriggerUrl": {"success": false, "message": "The app has no such web trigger.", "url": null}}})
            }
        };
    }
    if text.contains("webTriggerUrlsByAppContext") {
        let found = ask(http::Method::GET, path, Json::Null).await;
        let found: Json = serde_json::from_slice(&found.body).unwrap_or_default();
        return json!({"data": {"webTriggerUrlsByAppContext": found.get("values")}});
    }
    failed("This part of the platform's gateway is not built on this server.")
}

/// A boxed [`answer_app`], which calls the edge that calls code that may call it.
pub(crate) fn answer<'a>(
    forge: &'a Forge,
    installed: &'a Installed,
    body: &'a Json,
) -> Pin<Box<dyn Future<Output = Json> + Send + 'a>> {
    Box::pin(answer_app(forge, installed, body))
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on(create);
    handlers.on(list);
    handlers.on(delete);
    handlers.on_prepared(forge, call, answer_call::<op::ForgeWebTriggerGet>);
    handlers.on_prepared(forge, call, answer_call::<op::ForgeWebTriggerPost>);
    handlers.on_prepared(forge, call, answer_call::<op::ForgeWebTriggerPut>);
    handlers.on_prepared(forge, call, answer_call::<op::ForgeWebTriggerDelete>);
}
