//! `GET /myself`.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;

use crate::user::whole_json;

async fn get(mut cx: Ctx<op::GetCurrentUser>, input: Input) -> Outcome<op::GetCurrentUser> {
    let user = cx.user()?;
    let json = whole_json(cx.tx(), user, &input).await?.ok_or_else(|| Problem::bug("caller without an account"))?;
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
}
