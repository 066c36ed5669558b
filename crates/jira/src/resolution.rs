//! Resolutions.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::Value as Json;

use crate::refs;
use crate::wire::Paging;

async fn all(mut cx: Ctx<op::GetResolutions>, input: Input) -> Outcome<op::GetResolutions> {
    let resolutions = refs::resolutions(cx.tx()).await?;
    cx.done(Reply::json(resolutions.iter().map(|resolution| resolution.json(&input)).collect()))
}

async fn get(mut cx: Ctx<op::GetResolution>, input: Input) -> Outcome<op::GetResolution> {
    let name = input.param("id");
    let resolutions = refs::resolutions(cx.tx()).await?;
    let found = resolutions.iter().find(|resolution| resolution.id.to_string() == name);
    let found = found.ok_or_else(|| Problem::not_found(format!("The resolution with id '{name}' does not exist")))?;
    cx.done(Reply::json(found.json(&input)))
}

/// None is the default: issues end without a resolution unless a transition sets one.
async fn search(mut cx: Ctx<op::SearchResolutions>, input: Input) -> Outcome<op::SearchResolutions> {
    let paging = Paging::of(&input, 50, 100)?;
    let ids = input.query_list("id");
    let only_default = input.query_bool("onlyDefault")?.unwrap_or(false);
    let mut found = refs::resolutions(cx.tx()).await?;
    found.retain(|resolution| !only_default && (ids.is_empty() || ids.contains(&resolution.id.to_string().as_str())));
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let with_default = |mut json: Json| {
        if let Some(members) = json.as_object_mut() {
            members.insert("isDefault".into(), false.into());
        }
        json
    };
    let items = paging.cut(found).iter().map(|resolution| with_default(resolution.json(&input))).collect();
    cx.done(Reply::json(paging.page(&input, "/resolution/search", "values", total, items)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(search);
}
