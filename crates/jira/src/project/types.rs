//! Kinds of projects: fixed, as in Jira.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

/// Key, formatted key, colour.
const TYPES: [(&str, &str, &str); 3] = [
    ("business", "Business", "#1D73A7"),
    ("software", "Software", "#F5A623"),
    ("service_desk", "Service Desk", "#67AB49"),
];

fn type_json((key, formatted, color): (&str, &str, &str)) -> Json {
    json!({
        "key": key,
        "formattedKey": formatted,
        "descriptionI18nKey": format!("jira.project.type.{key}.description"),
        "icon": "",
        "color": color,
    })
}

fn all_json() -> Json {
    TYPES.into_iter().map(type_json).collect()
}

fn one_json(key: &str) -> Result<Json, Problem> {
    let found = TYPES.into_iter().find(|(known, _, _)| *known == key);
    found.map(type_json).ok_or_else(|| Problem::not_found(format!("No project type could be found with key '{key}'.")))
}

async fn all(cx: Ctx<op::GetAllProjectTypes>, _: Input) -> Outcome<op::GetAllProjectTypes> {
    cx.done(Reply::json(all_json()))
}

async fn accessible(cx: Ctx<op::GetAllAccessibleProjectTypes>, _: Input) -> Outcome<op::GetAllAccessibleProjectTypes> {
    cx.done(Reply::json(all_json()))
}

async fn one(cx: Ctx<op::GetProjectTypeByKey>, input: Input) -> Outcome<op::GetProjectTypeByKey> {
    let found = one_json(input.param("projectTypeKey"))?;
    cx.done(Reply::json(found))
}

async fn one_accessible(
    cx: Ctx<op::GetAccessibleProjectTypeByKey>,
    input: Input,
) -> Outcome<op::GetAccessibleProjectTypeByKey> {
    let found = one_json(input.param("projectTypeKey"))?;
    cx.done(Reply::json(found))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(accessible);
    handlers.on(one);
    handlers.on(one_accessible);
}
