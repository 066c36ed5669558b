//! Statuses and their categories.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::project::require_live;
use crate::refs::{self, Status, StatusCategory};
use crate::text::fold;

async fn all(mut cx: Ctx<op::GetStatuses>, input: Input) -> Outcome<op::GetStatuses> {
    let statuses = refs::statuses(cx.tx()).await?;
    cx.done(Reply::json(statuses.iter().map(|status| status.json(&input)).collect()))
}

async fn get(mut cx: Ctx<op::GetStatus>, input: Input) -> Outcome<op::GetStatus> {
    let name = input.param("idOrName");
    let statuses = refs::statuses(cx.tx()).await?;
    let is_named = |status: &&Status| status.id.to_string() == name || fold(&status.name) == fold(name);
    let found = statuses.iter().find(is_named);
    let status =
        found.ok_or_else(|| Problem::not_found(format!("The status with name or id '{name}' could not be found.")))?;
    cx.done(Reply::json(status.json(&input)))
}

async fn categories(cx: Ctx<op::GetStatusCategories>, input: Input) -> Outcome<op::GetStatusCategories> {
    let mut out = vec![no_category(&input)];
    out.extend(StatusCategory::ALL.into_iter().map(|category| category.json(&input)));
    cx.done(Reply::json(Json::Array(out)))
}

async fn category(cx: Ctx<op::GetStatusCategory>, input: Input) -> Outcome<op::GetStatusCategory> {
    let name = input.param("idOrKey");
    if name == "1" || name == "undefined" {
        let json = no_category(&input);
        return cx.done(Reply::json(json));
    }
    let found =
        StatusCategory::ALL.into_iter().find(|category| category.id().to_string() == name || category.key() == name);
    let json = found
        .map(|category| category.json(&input))
        .ok_or_else(|| Problem::not_found(format!("The status category '{name}' could not be found.")))?;
    cx.done(Reply::json(json))
}

/// Jira lists it; no status has it.
fn no_category(input: &Input) -> Json {
    let link = input.api_url("/statuscategory/1");
    json!({"self": link, "id": 1, "key": "undefined", "colorName": "medium-gray", "name": "No Category"})
}

/// Every issue type of a project with its statuses; there is one workflow, so all have all.
async fn of_project(mut cx: Ctx<op::GetAllStatuses>, input: Input) -> Outcome<op::GetAllStatuses> {
    let project = cx.target().project()?;
    require_live(cx.view(), project, &input, "projectIdOrKey")?;
    let statuses: Json = refs::statuses(cx.tx()).await?.iter().map(|status| status.json(&input)).collect();
    let types = refs::issue_types(cx.tx()).await?;
    let out = types.iter().map(|found| {
        json!({
            "self": input.api_url(&format!("/issuetype/{}", found.id)),
            "id": found.id.to_string(),
            "name": found.name,
            "subtask": found.is_subtask(),
            "statuses": statuses,
        })
    });
    cx.done(Reply::json(out.collect()))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(categories);
    handlers.on(category);
    handlers.on(of_project);
}
