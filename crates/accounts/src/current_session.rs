//! `GET /rest/auth/1/session`: who am I, as clients of Jira Server's days still ask.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde_json::json;

async fn current(cx: Ctx<op::PortcullisCurrentSession>, input: Input) -> Outcome<op::PortcullisCurrentSession> {
    let user = cx.user()?;
    let name = cx.view().with(|snapshot| snapshot.person(user).map(|person| person.display_name.clone()));
    let account_id = cx.caller().account_id().unwrap_or_default().to_owned();
    let link = format!("{}/rest/api/latest/user?accountId={account_id}", input.base_url());
    cx.done(Reply::json(
        json!({"self": link, "name": name.unwrap_or_default(), "accountId": account_id, "loginInfo": {}}),
    ))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(current);
}
