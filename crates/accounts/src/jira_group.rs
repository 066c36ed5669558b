//! Groups as Jira's own API changes them: the same work as the management API's, in Jira's shapes.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::{GroupId, Problem};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{group, user};

#[derive(Deserialize)]
struct NewGroup {
    name: String,
}

#[derive(Deserialize)]
struct NewMember {
    #[serde(rename = "accountId")]
    account_id: String,
}

/// The group that the query names by `groupId` or by `groupname`.
async fn asked<M: AnyMode>(tx: &mut Tx<M>, input: &Input) -> Result<(GroupId, String, String), Problem> {
    let (sql, value) = match (input.query("groupId"), input.query("groupname")) {
        (Some(id), None) => ("SELECT id, uuid, name FROM account_group WHERE uuid = $1", id),
        (None, Some(name)) => ("SELECT id, uuid, name FROM account_group WHERE name = $1", name),
        _ => return Err(Problem::invalid("Either 'groupname' or 'groupId' must be given, and only one of them.")),
    };
    let absent = || Problem::not_found("The group does not exist.");
    if value.contains('\0') {
        return Err(absent());
    }
    let row = tx.query_opt(sql, &[value.into()]).await?.ok_or_else(absent)?;
    Ok((GroupId(row.get("id")?), row.get("uuid")?, row.get("name")?))
}

fn shape(input: &Input, uuid: &str, name: &str) -> Json {
    json!({"name": name, "groupId": uuid, "self": input.api_url(&format!("/group?groupId={uuid}"))})
}

async fn create(mut cx: Ctx<op::CreateGroup>, input: Input) -> Outcome<op::CreateGroup> {
    let new: NewGroup = input.parse()?;
    let view = cx.view().clone();
    let (id, uuid) = group::create(cx.tx(), &new.name, view.entropy()).await?;
    cx.audit(format!("group:{uuid}"), None, Some(json!({"name": new.name})));
    cx.changed(Entity::Group(id));
    cx.done(Reply::created(shape(&input, &uuid, &new.name)))
}

async fn remove(mut cx: Ctx<op::RemoveGroup>, input: Input) -> Outcome<op::RemoveGroup> {
    let (id, uuid, name) = asked(cx.tx(), &input).await?;
    let members = group::remove(cx.tx(), id, &name).await?;
    cx.audit(format!("group:{uuid}"), Some(json!({"name": name, "members": members})), None);
    cx.changed(Entity::Everything);
    cx.done(Reply::empty(200))
}

async fn add(mut cx: Ctx<op::AddUserToGroup>, input: Input) -> Outcome<op::AddUserToGroup> {
    let (group, uuid, name) = asked(cx.tx(), &input).await?;
    let new: NewMember = input.parse()?;
    let user = user::named(cx.view(), &new.account_id)?;
    if !user::add_to_group(cx.tx(), user, group).await? {
        return Err(Problem::invalid(format!("Cannot add user. User is already a member of '{name}'.")));
    }
    cx.audit(format!("user:{}", new.account_id), group::membership(&name, false), group::membership(&name, true));
    cx.changed(Entity::User(user));
    cx.done(Reply::created(shape(&input, &uuid, &name)))
}

async fn take_out(mut cx: Ctx<op::RemoveUserFromGroup>, input: Input) -> Outcome<op::RemoveUserFromGroup> {
    let (group, _, name) = asked(cx.tx(), &input).await?;
    let account_id = input.query("accountId").unwrap_or_default().to_owned();
    let user = user::named(cx.view(), &account_id)?;
    if !user::remove_from_group(cx.tx(), user, group).await? {
        return Err(Problem::invalid(format!("Cannot remove user. User is not a member of '{name}'.")));
    }
    user::keep_an_administrator(cx.tx()).await?;
    cx.audit(format!("user:{account_id}"), group::membership(&name, true), group::membership(&name, false));
    cx.changed(Entity::User(user));
    cx.done(Reply::empty(200))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(create);
    handlers.on(remove);
    handlers.on(add);
    handlers.on(take_out);
}
