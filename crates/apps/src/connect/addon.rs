//! What a Connect app asks about itself, and the properties that it keeps here. Both are its own alone.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Body, Ctx, Handlers, Input, Outcome, Reply, Tx, View};
use portcullis_model::{ConnectAppId, Problem};
use serde_json::{Value as Json, json};

use crate::wire::said;

const KEY_CHARS_MAX: usize = 127;
const VALUE_CHARS_MAX: usize = 32_768;
const PROPERTIES_MAX: i64 = 100;

/// The app that asks; the decision has made sure that it asks about itself.
fn own(view: &View) -> Result<ConnectAppId, Problem> {
    view.caller().connect_app().ok_or_else(|| Problem::bug("no Connect app asks"))
}

async fn info(cx: Ctx<op::ConnectAddonInfo>, input: Input) -> Outcome<op::ConnectAddonInfo> {
    let id = own(cx.view())?;
    let app = cx.view().with(|snapshot| snapshot.connect().app(id).cloned());
    let app = app.ok_or_else(|| Problem::not_found("The app is not installed."))?;
    let link = format!("{}/rest/atlassian-connect/1/addons/{}", input.base_url(), app.key);
    cx.done(Reply::json(json!({
        "key": app.key,
        "name": app.name,
        "version": "1.0.0",
        "state": "ENABLED",
        "host": {"product": "Jira", "contacts": []},
        "links": {"self": [{"href": link}]},
    })))
}

fn address(input: &Input, name: &str) -> String {
    let key = input.param("addonKey");
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("{}/rest/atlassian-connect/1/addons/{key}/properties/{name}", input.base_url())
}

async fn value_of<M: AnyMode>(tx: &mut Tx<M>, app: ConnectAppId, name: &str) -> Result<Option<Json>, Problem> {
    let sql = "SELECT value FROM app_connect_property WHERE app = $1 AND name = $2";
    match tx.query_opt(sql, &[app.0.into(), name.into()]).await? {
        Some(row) => serde_json::from_str(&row.get::<String>("value")?).map(Some).map_err(Problem::bug),
        None => Ok(None),
    }
}

type List = op::AddonPropertiesResourceGetAddonPropertiesGet;
async fn list(mut cx: Ctx<List>, input: Input) -> Outcome<List> {
    let app = own(cx.view())?;
    let sql = "SELECT name FROM app_connect_property WHERE app = $1 ORDER BY name";
    let rows = cx.tx().query(sql, &[app.0.into()]).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.get("name")?;
        keys.push(json!({"key": name, "self": address(&input, &name)}));
    }
    cx.done(Reply::json(json!({"keys": keys})))
}

type Get = op::AddonPropertiesResourceGetAddonPropertyGet;
async fn get(mut cx: Ctx<Get>, input: Input) -> Outcome<Get> {
    let (app, name) = (own(cx.view())?, input.param("propertyKey").to_owned());
    match value_of(cx.tx(), app, &name).await? {
        Some(value) => {
            let reply = Reply::json(json!({"key": name, "value": value, "self": address(&input, &name)}));
            cx.done(reply)
        }
        None => cx.done(said(404, "Property with key not found.")),
    }
}

type Put = op::AddonPropertiesResourcePutAddonPropertyPut;
async fn put(mut cx: Ctx<Put>, input: Input) -> Outcome<Put> {
    let (app, name) = (own(cx.view())?, input.param("propertyKey").to_owned());
    if name.chars().count() > KEY_CHARS_MAX {
        return cx.done(said(400, "The property key cannot be longer than 127 characters."));
    }
    let Body::Json(value) = input.body() else {
        return cx.done(said(400, "The property value must not be empty."));
    };
    let text = value.to_string();
    if text.chars().count() > VALUE_CHARS_MAX {
        return cx.done(said(400, "The property value cannot be longer than 32768 characters."));
    }
    let before = value_of(cx.tx(), app, &name).await?;
    if before.is_none() {
        let sql = "SELECT count(*) AS n FROM app_connect_property WHERE app = $1";
        if cx.tx().query_one(sql, &[app.0.into()]).await?.get::<i64>("n")? >= PROPERTIES_MAX {
            return cx.done(said(400, "An app can have at most 100 properties."));
        }
    }
    let sql = "INSERT INTO app_connect_property (app, name, value) VALUES ($1, $2, $3)
               ON CONFLICT (app, name) DO UPDATE SET value = $3";
    cx.tx().execute(sql, &[app.0.into(), name.as_str().into(), text.into()]).await?;
    cx.audit(format!("connect_property:{name}"), None, None);
    cx.done(match before {
        Some(_) => said(200, "Property updated."),
        None => said(201, "Property created."),
    })
}

type Delete = op::AddonPropertiesResourceDeleteAddonPropertyDelete;
async fn delete(mut cx: Ctx<Delete>, input: Input) -> Outcome<Delete> {
    let (app, name) = (own(cx.view())?, input.param("propertyKey").to_owned());
    let sql = "DELETE FROM app_connect_property WHERE app = $1 AND name = $2";
    if cx.tx().execute(sql, &[app.0.into(), name.as_str().into()]).await? == 0 {
        return cx.done(said(404, "Property with key not found."));
    }
    cx.audit(format!("connect_property:{name}"), None, None);
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(info);
    handlers.on(list);
    handlers.on(get);
    handlers.on(put);
    handlers.on(delete);
}
