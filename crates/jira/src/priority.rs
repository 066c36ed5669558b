//! Priorities.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::Value as Json;

use crate::bootstrap::DEFAULT_PRIORITY;
use crate::refs::{self, Priority};
use crate::text::fold;
use crate::wire::Paging;

fn with_default(priority: &Priority, is_default: bool, input: &Input) -> Json {
    let mut json = priority.full_json(input);
    if let Some(members) = json.as_object_mut() {
        members.insert("isDefault".into(), is_default.into());
    }
    json
}

async fn all(mut cx: Ctx<op::GetPriorities>, input: Input) -> Outcome<op::GetPriorities> {
    let priorities = refs::priorities(cx.tx()).await?;
    cx.done(Reply::json(priorities.iter().map(|priority| priority.full_json(&input)).collect()))
}

async fn get(mut cx: Ctx<op::GetPriority>, input: Input) -> Outcome<op::GetPriority> {
    let name = input.param("id");
    let priorities = refs::priorities(cx.tx()).await?;
    let found = priorities.iter().find(|priority| priority.id.to_string() == name);
    let priority = found.ok_or_else(|| Problem::not_found(format!("The priority with id '{name}' does not exist")))?;
    cx.done(Reply::json(with_default(priority, priority.id == DEFAULT_PRIORITY, &input)))
}

async fn search(mut cx: Ctx<op::SearchPriorities>, input: Input) -> Outcome<op::SearchPriorities> {
    let paging = Paging::of(&input, 50, 100)?;
    let ids = input.query_list("id");
    let name = input.query("priorityName").map(fold).unwrap_or_default();
    let only_default = input.query_bool("onlyDefault")?.unwrap_or(false);
    let mut found = refs::priorities(cx.tx()).await?;
    found.retain(|priority| {
        (ids.is_empty() || ids.contains(&priority.id.to_string().as_str()))
            && fold(&priority.name).contains(&name)
            && (!only_default || priority.id == DEFAULT_PRIORITY)
    });
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    // Jira's search marks none as the default; `onlyDefault` finds it all the same.
    let items = paging.cut(found).iter().map(|priority| with_default(priority, false, &input)).collect();
    cx.done(Reply::json(paging.page(&input, "/priority/search", "values", total, items)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(search);
}
