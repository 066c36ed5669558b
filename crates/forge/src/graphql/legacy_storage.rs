//! Storage as `@forge/storage` and `@forge/api` before 8 ask for it: GraphQL over the very values of `@forge/kvs`.
//!
//! Matched by field, since the text of a query differs from version to version. The `contextAri` that some send is not looked at: whose
//! storage it is, the caller says.

use std::future::Future;

use serde_json::{Map, Value as Json, json};

use super::{Asked, answer_name};
use portcullis_apps::edge::Answer;

const PAGE: u64 = 10;
const PAGE_MAX: u64 = 20;

/// Answers a document; `ask` carries out one operation of storage.
pub(crate) async fn answer<F, Fut>(body: &Json, ask: F) -> Json
where
    F: Fn(&'static str, Json) -> Fut,
    Fut: Future<Output = Answer>,
{
    let asked = match Asked::read(body) {
        Ok(asked) => asked,
        Err(message) => return json!({"errors": [{"message": message}]}),
    };
    let mut data = Map::new();
    let mut errors = Vec::new();
    for field in asked.fields() {
        let mut children = Map::new();
        match field.name.as_str() {
            "appStorage" | "appStorageCustomEntity" => {
                for child in asked.children(field) {
                    let input = asked.arguments(child).get("input").cloned().unwrap_or_default();
                    let value = mutation(&child.name, &input, &ask).await;
                    children.insert(answer_name(child).to_owned(), asked.project(child, &value));
                }
                data.insert(answer_name(field).to_owned(), children.into());
            }
            name => match query(name, &asked.arguments(field), &ask).await {
                Ok(value) => {
                    data.insert(answer_name(field).to_owned(), asked.project(field, &value));
                }
                Err(error) => {
                    data.insert(answer_name(field).to_owned(), Json::Null);
                    errors.push(error);
                }
            },
        }
    }
    if errors.is_empty() { json!({"data": data}) } else { json!({"data": data, "errors": errors}) }
}

fn failed(answer: &Answer) -> Json {
    let said: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = said.get("message").and_then(Json::as_str).unwrap_or("The storage refused.");
    let kind = said.get("code").and_then(Json::as_str).unwrap_or("FORBIDDEN");
    json!({"message": message, "extensions": {"errorType": kind, "statusCode": answer.status}})
}

async fn mutation<F, Fut>(name: &str, input: &Json, ask: &F) -> Json
where
    F: Fn(&'static str, Json) -> Fut,
    Fut: Future<Output = Answer>,
{
    let secret = input.get("encrypted") == Some(&Json::Bool(true));
    let at = |name: &str| input.get(name).cloned().unwrap_or_default();
    let answer = match name {
        "setAppStoredEntity" => {
            ask(if secret { "secret/set" } else { "set" }, json!({"key": at("key"), "value": at("value")})).await
        }
        "deleteAppStoredEntity" => {
            ask(if secret { "secret/delete" } else { "delete" }, json!({"key": at("key")})).await
        }
        "setAppStoredCustomEntity" => {
            ask("entity/set", json!({"key": at("key"), "value": at("value"), "entityName": at("entityName")})).await
        }
        "deleteAppStoredCustomEntity" => {
            ask("entity/delete", json!({"key": at("key"), "entityName": at("entityName")})).await
        }
        other => return json!({"success": false, "errors": [{"message": format!("There is no `{other}`.")}]}),
    };
    match answer.status {
        200..=299 => json!({"success": true, "errors": null}),
        _ => json!({"success": false, "errors": [failed(&answer)]}),
    }
}

async fn query<F, Fut>(name: &str, arguments: &Json, ask: &F) -> Result<Json, Json>
where
    F: Fn(&'static str, Json) -> Fut,
    Fut: Future<Output = Answer>,
{
    let at = |name: &str| arguments.get(name).cloned().unwrap_or_default();
    let read = |answer: &Answer| serde_json::from_slice::<Json>(&answer.body).unwrap_or_default();
    match name {
        "appStoredEntity" | "appStoredCustomEntity" => {
            let operation = match (name, at("encrypted") == Json::Bool(true)) {
                ("appStoredCustomEntity", _) => "entity/get",
                (_, true) => "secret/get",
                (_, false) => "get",
            };
            let mut body = json!({"key": at("key")});
            if let (Some(entity), Some(body)) = (arguments.get("entityName"), body.as_object_mut()) {
                body.insert("entityName".to_owned(), entity.clone());
            }
            let answer = ask(operation, body).await;
            match answer.status {
                200 => Ok(read(&answer)),
                // A value that is not there is null, which the packages make undefined.
                404 => Ok(json!({"key": at("key"), "value": null})),
                _ => Err(failed(&answer)),
            }
        }
        "appStoredEntities" | "appStoredEntitiesForCleanup" => {
            let limit = at("first").as_u64().unwrap_or(PAGE).clamp(1, PAGE_MAX);
            let conditions: Vec<Json> = at("where")
                .as_array()
                .into_iter()
                .flatten()
                .map(|condition| {
                    let part = |name: &str| condition.get(name).cloned().unwrap_or_default();
                    json!({"property": part("field"), "condition": part("condition"), "values": [part("value")]})
                })
                .collect();
            let answer = ask("query", json!({"where": conditions, "limit": limit, "after": at("after")})).await;
            if answer.status != 200 {
                return Err(failed(&answer));
            }
            let found = read(&answer);
            let edges: Vec<Json> = found.get("data").and_then(Json::as_array).into_iter().flatten().map(edge).collect();
            let more = found.get("cursor").is_some();
            Ok(json!({"edges": edges, "pageInfo": {"hasNextPage": more}, "totalCount": null}))
        }
        "appStoredCustomEntities" => {
            let mut body = arguments.clone();
            if let Some(object) = body.as_object_mut() {
                object.remove("contextAri");
                object.retain(|_, value| !value.is_null());
            }
            let answer = ask("entity/query", body).await;
            if answer.status != 200 {
                return Err(failed(&answer));
            }
            let found = read(&answer);
            let edges: Vec<Json> = found.get("data").and_then(Json::as_array).into_iter().flatten().map(edge).collect();
            let cursor = found.get("cursor").cloned();
            Ok(
                json!({"edges": edges, "pageInfo": {"hasNextPage": cursor.is_some(), "endCursor": cursor}, "cursor": cursor}),
            )
        }
        other => Err(
            json!({"message": format!("There is no `{other}`."), "extensions": {"errorType": "NOT_FOUND", "statusCode": 404}}),
        ),
    }
}

fn edge(entry: &Json) -> Json {
    json!({"node": entry, "cursor": entry.get("key")})
}
