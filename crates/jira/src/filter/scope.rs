//! With whom a person shares new filters and dashboards unless told otherwise.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Body {
    scope: String,
}

async fn get(mut cx: Ctx<op::GetDefaultShareScope>, _: Input) -> Outcome<op::GetDefaultShareScope> {
    let user = cx.user()?;
    let sql = "SELECT scope FROM jira_filter_share_scope WHERE user_id = $1";
    let row = cx.tx().query_opt(sql, &[user.0.into()]).await?;
    let scope = row.map(|row| row.get::<String>("scope")).transpose()?.unwrap_or_else(|| "PRIVATE".to_owned());
    cx.done(Reply::json(json!({"scope": scope})))
}

async fn set(mut cx: Ctx<op::SetDefaultShareScope>, input: Input) -> Outcome<op::SetDefaultShareScope> {
    let user = cx.user()?;
    let body: Body = input.parse()?;
    let scope = match body.scope.as_str() {
        "GLOBAL" => "GLOBAL",
        "AUTHENTICATED" => "AUTHENTICATED",
        "PRIVATE" => "PRIVATE",
        _ => return Err(Problem::invalid("The scope must be GLOBAL, AUTHENTICATED or PRIVATE.")),
    };
    let sql = "INSERT INTO jira_filter_share_scope (user_id, scope) VALUES ($1, $2)
                   ON CONFLICT (user_id) DO UPDATE SET scope = excluded.scope";
    cx.tx().execute(sql, &[user.0.into(), scope.into()]).await?;
    cx.audit(format!("user:{}", user.0), None, Some(json!({"defaultShareScope": scope})));
    cx.done(Reply::json(json!({"scope": scope})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(set);
}
