//! `/mypreferences`: small values that a user's programs keep on the account, and the locale.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::{Problem, UserId};
use serde_json::json;

use crate::property::{self, Entity};
use crate::wire::person;

/// What callers without an account read.
const DEFAULT_LOCALE: &str = "en_US";

fn of_user(user: UserId) -> Entity {
    Entity::new("preference", user.0, "/mypreferences".to_owned())
}

fn key(input: &Input) -> Result<&str, Problem> {
    let key = input.query("key").filter(|key| !key.is_empty());
    key.ok_or_else(|| Problem::invalid("The query parameter 'key' is required."))
}

fn unknown(key: &str) -> Problem {
    Problem::not_found(format!("key {key} not found for the user"))
}

async fn get(mut cx: Ctx<op::GetPreference>, input: Input) -> Outcome<op::GetPreference> {
    let (entity, key) = (of_user(cx.user()?), key(&input)?);
    let value = property::value(cx.tx(), &entity, key).await?.ok_or_else(|| unknown(key))?;
    cx.done(Reply::json(value))
}

async fn set(mut cx: Ctx<op::SetPreference>, input: Input) -> Outcome<op::SetPreference> {
    let (entity, key) = (of_user(cx.user()?), key(&input)?);
    property::put(cx.tx(), &entity, key, &input).await?;
    // As with properties: that it changed, not what it says.
    cx.audit(format!("preference:{key}"), None, None);
    cx.done(Reply::no_content())
}

async fn remove(mut cx: Ctx<op::RemovePreference>, input: Input) -> Outcome<op::RemovePreference> {
    let (entity, key) = (of_user(cx.user()?), key(&input)?);
    if !property::remove(cx.tx(), &entity, key).await? {
        return Err(unknown(key));
    }
    cx.audit(format!("preference:{key}"), None, None);
    cx.done(Reply::no_content())
}

async fn locale(mut cx: Ctx<op::GetLocale>, _: Input) -> Outcome<op::GetLocale> {
    let found = match cx.user() {
        Ok(user) => person(cx.tx(), user).await?.map(|person| person.locale),
        Err(_) => None,
    };
    cx.done(Reply::json(json!({"locale": found.unwrap_or_else(|| DEFAULT_LOCALE.to_owned())})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(set);
    handlers.on(remove);
    handlers.on(locale);
}
