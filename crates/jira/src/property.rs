//! Entity properties: small JSON values that apps and scripts keep on issues, projects, users, issue types, comments and worklogs.

use portcullis_authz::Operation;
use portcullis_authz::op;
use portcullis_guard::{
    AnyMode, Body, Ctx, Handlers, Input, OpMode, Outcome, Reply, SqlBuilder, StoreError, Tx, Writes,
};
use portcullis_model::{IssueId, Problem, UserId};
use serde_json::{Value as Json, json};

use crate::event;
use crate::issue::facts::sees;
use crate::project::require_live;
use crate::refs;
use crate::visible::push_unrestricted;
use crate::wire::encode_query;

const KEY_CHARS_MAX: usize = 255;
const VALUE_CHARS_MAX: usize = 32_768;
/// Properties of one entity.
const PER_ENTITY_MAX: i64 = 1000;

/// What a property is kept on.
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    kind: &'static str,
    id: i64,
    /// The path of the entity's properties, below `/rest/api/N`.
    path: String,
    /// What has to follow in links.
    query: String,
}

impl Entity {
    pub(crate) fn new(kind: &'static str, id: i64, path: String) -> Self {
        Self { kind, id, path, query: String::new() }
    }
}

async fn keys<M: AnyMode>(tx: &mut Tx<M>, entity: &Entity, input: &Input) -> Result<Reply, Problem> {
    let sql = "SELECT key FROM jira_property WHERE entity_type = $1 AND entity_id = $2 ORDER BY key {{c}} LIMIT $3";
    let rows = tx.query(sql, &[entity.kind.into(), entity.id.into(), PER_ENTITY_MAX.into()]).await?;
    let keys = rows
        .iter()
        .map(|row| {
            let key: String = row.get("key")?;
            let link = input.api_url(&format!("{}/{}{}", entity.path, encode_query(&key), entity.query));
            Ok(json!({"self": link, "key": key}))
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Reply::json(json!({"keys": keys})))
}

fn unknown(key: &str) -> Problem {
    Problem::not_found(format!("The property '{key}' does not exist."))
}

async fn get<M: AnyMode>(tx: &mut Tx<M>, entity: &Entity, input: &Input) -> Result<Reply, Problem> {
    let key = input.param("propertyKey");
    let value = value(tx, entity, key).await?.ok_or_else(|| unknown(key))?;
    Ok(Reply::json(json!({"key": key, "value": value})))
}

pub(crate) async fn value<M: AnyMode>(tx: &mut Tx<M>, entity: &Entity, key: &str) -> Result<Option<Json>, Problem> {
    let sql = "SELECT value FROM jira_property WHERE entity_type = $1 AND entity_id = $2 AND key = $3";
    let Some(row) = tx.query_opt(sql, &[entity.kind.into(), entity.id.into(), key.into()]).await? else {
        return Ok(None);
    };
    serde_json::from_str(&row.get::<String>("value")?).map(Some).map_err(Problem::bug)
}

/// 201 for a new key, 200 for one that was there.
async fn set<M: Writes>(tx: &mut Tx<M>, entity: &Entity, input: &Input) -> Result<Reply, Problem> {
    let is_new = put(tx, entity, input.param("propertyKey"), input).await?;
    Ok(Reply::empty(if is_new { 201 } else { 200 }))
}

/// Stores the body under the key; says whether the key is new.
pub(crate) async fn put<M: Writes>(tx: &mut Tx<M>, entity: &Entity, key: &str, input: &Input) -> Result<bool, Problem> {
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(Problem::invalid(format!("The property key must have between 1 and {KEY_CHARS_MAX} characters.")));
    }
    let Body::Json(json) = input.body() else {
        return Err(Problem::invalid("No content to map to Object due to end of input"));
    };
    let text = json.to_string();
    if text.chars().count() > VALUE_CHARS_MAX {
        return Err(Problem::invalid(format!("The property value must not exceed {VALUE_CHARS_MAX} characters.")));
    }
    let is_new = value(tx, entity, key).await?.is_none();
    if is_new {
        let sql = "SELECT count(*) AS properties FROM jira_property WHERE entity_type = $1 AND entity_id = $2";
        let there: i64 = tx.query_one(sql, &[entity.kind.into(), entity.id.into()]).await?.get("properties")?;
        if there >= PER_ENTITY_MAX {
            return Err(Problem::invalid(format!("An entity can have at most {PER_ENTITY_MAX} properties.")));
        }
    }
    let sql = "INSERT INTO jira_property (entity_type, entity_id, key, value) VALUES ($1, $2, $3, $4)
               ON CONFLICT (entity_type, entity_id, key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[entity.kind.into(), entity.id.into(), key.into(), text.into()]).await?;
    Ok(is_new)
}

async fn delete<M: Writes>(tx: &mut Tx<M>, entity: &Entity, input: &Input) -> Result<Reply, Problem> {
    let key = input.param("propertyKey");
    if remove(tx, entity, key).await? { Ok(Reply::no_content()) } else { Err(unknown(key)) }
}

/// Removes the key; says whether it was there.
pub(crate) async fn remove<M: Writes>(tx: &mut Tx<M>, entity: &Entity, key: &str) -> Result<bool, Problem> {
    let sql = "DELETE FROM jira_property WHERE entity_type = $1 AND entity_id = $2 AND key = $3";
    Ok(tx.execute(sql, &[entity.kind.into(), entity.id.into(), key.into()]).await? > 0)
}

fn note<O: Operation>(cx: &mut Ctx<O>, entity: &Entity, input: &Input)
where
    O::Mode: OpMode,
{
    // Values belong to apps and may be anything: the log keeps that they changed, not what they say.
    cx.audit(format!("{}:{}/property:{}", entity.kind, entity.id, input.param("propertyKey")), None, None);
}

/// Properties of issues are told of, the others are not.
async fn tell<O: Operation>(cx: &mut Ctx<O>, event: &'static str, entity: &Entity, input: &Input) -> Result<(), Problem>
where
    O::Mode: OpMode,
{
    if entity.kind != "issue" {
        return Ok(());
    }
    let value = if let Body::Json(value) = input.body() { Some(value) } else { None };
    event::issue_property(cx, event, IssueId(entity.id), input.param("propertyKey"), value).await
}

fn on_issue<O: Operation>(cx: &Ctx<O>) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let id = cx.target().issue()?.id;
    Ok(Entity::new("issue", id.0, format!("/issue/{id}/properties")))
}

fn on_worklog<O: Operation>(cx: &Ctx<O>) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let (issue, id) = (cx.target().issue()?.id, cx.target().thing()?);
    Ok(Entity::new("worklog", id, format!("/issue/{issue}/worklog/{id}/properties")))
}

fn on_project<O: Operation>(cx: &Ctx<O>, input: &Input) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let id = cx.target().project()?;
    require_live(cx.view(), id, input, "projectIdOrKey")?;
    Ok(Entity::new("project", id.0, format!("/project/{id}/properties")))
}

fn on_user<O: Operation>(cx: &Ctx<O>, input: &Input) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let account_id = input.query("accountId").filter(|text| !text.is_empty());
    let account_id = account_id.ok_or_else(|| Problem::invalid("The query parameter 'accountId' is required."))?;
    let user: UserId = cx
        .target()
        .user
        .ok_or_else(|| Problem::not_found("Specified user does not exist or you do not have required permissions"))?;
    let mut entity = Entity::new("user", user.0, "/user/properties".to_owned());
    entity.query = format!("?accountId={}", encode_query(account_id));
    Ok(entity)
}

/// A comment that the caller sees. The rows for writing ask who may edit it, not whether the issue and the comment are visible.
async fn on_comment<O: Operation>(cx: &mut Ctx<O>, input: &Input) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let text = input.param("commentId");
    let unknown = || Problem::not_found(format!("Can not find a comment for the id: {text}."));
    let (id, issue, view) = (cx.target().thing()?, cx.target().issue()?.clone(), cx.view().clone());
    if !sees(&view, &issue) {
        return Err(unknown());
    }
    let mut sql = SqlBuilder::new("SELECT c.id FROM jira_comment c WHERE c.id = ");
    sql.bind(id).push(" AND ");
    push_unrestricted(&mut sql, &view, issue.project);
    cx.tx().query_opt(sql, &[]).await?.ok_or_else(unknown)?;
    Ok(Entity::new("comment", id, format!("/comment/{id}/properties")))
}

async fn on_issue_type<O: Operation>(cx: &mut Ctx<O>, input: &Input) -> Result<Entity, Problem>
where
    O::Mode: OpMode,
{
    let text = input.param("issueTypeId");
    let types = refs::issue_types(cx.tx()).await?;
    let found = types.into_iter().find(|found| found.id.to_string() == text);
    let id = found.ok_or_else(|| Problem::not_found(format!("The issue type with id '{text}' does not exist")))?.id;
    Ok(Entity::new("issuetype", id, format!("/issuetype/{id}/properties")))
}

/// The four operations on properties of one kind of entity, which differ in their rows and in how the entity is found.
macro_rules! properties {
    ($module:ident, |$cx:ident, $input:ident| $entity:expr, $keys:ident, $get:ident, $set:ident, $delete:ident) => {
        mod $module {
            use super::*;

            pub(super) async fn keys(mut $cx: Ctx<op::$keys>, $input: Input) -> Outcome<op::$keys> {
                let entity = $entity?;
                let reply = super::keys($cx.tx(), &entity, &$input).await?;
                $cx.done(reply)
            }

            pub(super) async fn get(mut $cx: Ctx<op::$get>, $input: Input) -> Outcome<op::$get> {
                let entity = $entity?;
                let reply = super::get($cx.tx(), &entity, &$input).await?;
                $cx.done(reply)
            }

            pub(super) async fn set(mut $cx: Ctx<op::$set>, $input: Input) -> Outcome<op::$set> {
                let entity = $entity?;
                let reply = super::set($cx.tx(), &entity, &$input).await?;
                tell(&mut $cx, "issue_property_set", &entity, &$input).await?;
                note(&mut $cx, &entity, &$input);
                $cx.done(reply)
            }

            pub(super) async fn delete(mut $cx: Ctx<op::$delete>, $input: Input) -> Outcome<op::$delete> {
                let entity = $entity?;
                let reply = super::delete($cx.tx(), &entity, &$input).await?;
                tell(&mut $cx, "issue_property_deleted", &entity, &$input).await?;
                note(&mut $cx, &entity, &$input);
                $cx.done(reply)
            }

            pub(super) fn handlers(handlers: &mut Handlers) {
                handlers.on(keys);
                handlers.on(get);
                handlers.on(set);
                handlers.on(delete);
            }
        }
    };
}

properties!(
    issue,
    |cx, input| on_issue(&cx),
    GetIssuePropertyKeys,
    GetIssueProperty,
    SetIssueProperty,
    DeleteIssueProperty
);
properties!(
    worklog,
    |cx, input| on_worklog(&cx),
    GetWorklogPropertyKeys,
    GetWorklogProperty,
    SetWorklogProperty,
    DeleteWorklogProperty
);
properties!(
    project,
    |cx, input| on_project(&cx, &input),
    GetProjectPropertyKeys,
    GetProjectProperty,
    SetProjectProperty,
    DeleteProjectProperty
);
properties!(
    user,
    |cx, input| on_user(&cx, &input),
    GetUserPropertyKeys,
    GetUserProperty,
    SetUserProperty,
    DeleteUserProperty
);
properties!(
    comment,
    |cx, input| on_comment(&mut cx, &input).await,
    GetCommentPropertyKeys,
    GetCommentProperty,
    SetCommentProperty,
    DeleteCommentProperty
);
properties!(
    issue_type,
    |cx, input| on_issue_type(&mut cx, &input).await,
    GetIssueTypePropertyKeys,
    GetIssueTypeProperty,
    SetIssueTypeProperty,
    DeleteIssueTypeProperty
);

pub(crate) fn handlers(handlers: &mut Handlers) {
    issue::handlers(handlers);
    worklog::handlers(handlers);
    project::handlers(handlers);
    user::handlers(handlers);
    comment::handlers(handlers);
    issue_type::handlers(handlers);
}
