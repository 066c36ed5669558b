//! Dashboards are not built: none can be made, so the lists are empty. Every other operation on them answers 501.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde_json::json;

use crate::wire::Paging;

const PAGE_DEFAULT: i64 = 20;
const PAGE_MAX: i64 = 1_000;

async fn list(cx: Ctx<op::GetAllDashboards>, input: Input) -> Outcome<op::GetAllDashboards> {
    let paging = Paging::of(&input, PAGE_DEFAULT, PAGE_MAX)?;
    let page = json!({"startAt": paging.start_at, "maxResults": paging.max_results, "total": 0, "dashboards": []});
    cx.done(Reply::json(page))
}

async fn search(cx: Ctx<op::GetDashboardsPaginated>, input: Input) -> Outcome<op::GetDashboardsPaginated> {
    let page = Paging::of(&input, PAGE_DEFAULT, PAGE_MAX)?.page(&input, "/dashboard/search", "values", 0, Vec::new());
    cx.done(Reply::json(page))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(search);
}
