//! Properties that a Forge app keeps about itself on this site, as Jira's API has them. They are kept and sealed with the app's values.

use portcullis_apps::wire::said;
use portcullis_authz::op;
use portcullis_guard::{Body, Ctx, Handlers, Input, Outcome, Reply};
use serde_json::{Value as Json, json};

use crate::storage::{Put, Store};

/// The store that they are kept in.
const PROPERTY: &str = "property";
const KEY_CHARS_MAX: usize = 127;
const VALUE_CHARS_MAX: usize = 32_768;
const PROPERTIES_MAX: usize = 100;

fn address(input: &Input, key: &str) -> String {
    let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
    format!("{}/rest/forge/1/app/properties/{key}", input.base_url())
}

async fn list(mut cx: Ctx<op::GetForgeAppPropertyKeys>, input: Input) -> Outcome<op::GetForgeAppPropertyKeys> {
    let view = cx.view().clone();
    let store = Store::open(cx.tx(), &view).await?;
    let keys: Vec<Json> = store
        .all(cx.tx(), PROPERTY)
        .await?
        .into_iter()
        .map(|entry| json!({"key": entry.key, "self": address(&input, &entry.key)}))
        .collect();
    cx.done(Reply::json(json!({"keys": keys})))
}

async fn get(mut cx: Ctx<op::GetForgeAppProperty>, input: Input) -> Outcome<op::GetForgeAppProperty> {
    let view = cx.view().clone();
    let key = input.param("propertyKey");
    let store = Store::open(cx.tx(), &view).await?;
    match store.get(cx.tx(), PROPERTY, key).await? {
        Some(entry) => cx.done(Reply::json(json!({"key": key, "value": entry.value, "self": address(&input, key)}))),
        None => cx.done(said(404, "Property not found.")),
    }
}

async fn put(mut cx: Ctx<op::PutForgeAppProperty>, input: Input) -> Outcome<op::PutForgeAppProperty> {
    let view = cx.view().clone();
    let key = input.param("propertyKey").to_owned();
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return cx.done(said(400, "The property key has 1 to 127 characters."));
    }
    let value = match input.body() {
        Body::Json(value) => value.clone(),
        _ => return cx.done(said(400, "The value is missing.")),
    };
    if value.to_string().chars().count() > VALUE_CHARS_MAX {
        return cx.done(said(400, "The value of a property has at most 32768 characters."));
    }
    let store = Store::open(cx.tx(), &view).await?;
    let is_new = store.get(cx.tx(), PROPERTY, &key).await?.is_none();
    if is_new && store.all(cx.tx(), PROPERTY).await?.len() >= PROPERTIES_MAX {
        return cx.done(said(400, "An app has at most 100 properties."));
    }
    store.put(cx.tx(), &view, &Put::plain(PROPERTY, key, value)).await?;
    cx.done(if is_new { said(201, "Property created.") } else { said(200, "Property updated.") })
}

async fn delete(mut cx: Ctx<op::DeleteForgeAppProperty>, input: Input) -> Outcome<op::DeleteForgeAppProperty> {
    let view = cx.view().clone();
    let key = input.param("propertyKey");
    let store = Store::open(cx.tx(), &view).await?;
    if store.get(cx.tx(), PROPERTY, key).await?.is_none() {
        return cx.done(said(404, "Property not found."));
    }
    store.remove(cx.tx(), PROPERTY, key).await?;
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(get);
    handlers.on(put);
    handlers.on(delete);
}
