//! Statuses and their categories.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::project::require_live;
use crate::refs::{self, Status, StatusCategory};
use crate::text::fold;
use crate::wire::Paging;

/// Statuses that one request names.
const IDS_MAX: usize = 50;

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

/// The status as the endpoints for managing statuses show it.
fn managed_json(status: &Status) -> Json {
    json!({
        "id": status.id.to_string(),
        "name": status.name,
        "statusCategory": category_word(status.category),
        "scope": {"type": "GLOBAL"},
        "description": status.description,
        "usages": [],
        "workflowUsages": [],
    })
}

fn category_word(category: StatusCategory) -> &'static str {
    match category {
        StatusCategory::New => "TODO",
        StatusCategory::Indeterminate => "IN_PROGRESS",
        StatusCategory::Done => "DONE",
    }
}

/// All statuses are global: `projectId` narrows nothing.
async fn search(mut cx: Ctx<op::Search>, input: Input) -> Outcome<op::Search> {
    let paging = Paging::of(&input, 200, 200)?;
    let text = input.query("searchString").map(fold).unwrap_or_default();
    let word = input.query("statusCategory").unwrap_or_default();
    let mut found = refs::statuses(cx.tx()).await?;
    found.retain(|status| {
        fold(&status.name).contains(&text) && (word.is_empty() || category_word(status.category) == word)
    });
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let items = paging.cut(found).iter().map(managed_json).collect();
    cx.done(Reply::json(paging.page(&input, "/statuses/search", "values", total, items)))
}

/// Unknown ids are left out.
async fn by_ids(mut cx: Ctx<op::GetStatusesById>, input: Input) -> Outcome<op::GetStatusesById> {
    let ids = input.query_list("id");
    if ids.is_empty() || ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("Between 1 and {IDS_MAX} 'id' parameters are required.")));
    }
    let statuses = refs::statuses(cx.tx()).await?;
    let found = statuses.iter().filter(|status| ids.contains(&status.id.to_string().as_str())).map(managed_json);
    cx.done(Reply::json(found.collect()))
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
    handlers.on(search);
    handlers.on(by_ids);
}
