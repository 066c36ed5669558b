//! Kinds of links between issues.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::json;

use crate::refs::{self, LinkType};
use crate::text::{bounded, fold};

async fn all(mut cx: Ctx<op::GetIssueLinkTypes>, input: Input) -> Outcome<op::GetIssueLinkTypes> {
    let types = refs::link_types(cx.tx()).await?;
    let out: Vec<_> = types.iter().map(|found| found.json(&input)).collect();
    cx.done(Reply::json(json!({"issueLinkTypes": out})))
}

async fn named<M: AnyMode>(tx: &mut Tx<M>, name: &str) -> Result<LinkType, Problem> {
    let types = refs::link_types(tx).await?;
    types
        .into_iter()
        .find(|found| found.id.to_string() == name)
        .ok_or_else(|| Problem::not_found(format!("No issue link type with id '{name}' found.")))
}

async fn get(mut cx: Ctx<op::GetIssueLinkType>, input: Input) -> Outcome<op::GetIssueLinkType> {
    let found = named(cx.tx(), input.param("issueLinkTypeId")).await?;
    cx.done(Reply::json(found.json(&input)))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    inward: Option<String>,
    outward: Option<String>,
}

async fn checked<M: AnyMode>(tx: &mut Tx<M>, body: Body, old: LinkType) -> Result<LinkType, Problem> {
    let text = |field: &str, given: Option<String>, old: String| {
        let text = given.unwrap_or(old);
        bounded(field, &text, 255)?;
        if text.trim().is_empty() {
            return Err(Problem::field(field, format!("The {field} of the issue link type must not be empty.")));
        }
        Ok(text.trim().to_owned())
    };
    let made = LinkType {
        id: old.id,
        name: text("name", body.name, old.name)?,
        inward: text("inward", body.inward, old.inward)?,
        outward: text("outward", body.outward, old.outward)?,
    };
    let taken = refs::link_types(tx)
        .await?
        .into_iter()
        .any(|found| found.id != made.id && fold(&found.name) == fold(&made.name));
    if taken {
        return Err(Problem::field(
            "name",
            format!("An issue link type with the name '{}' already exists.", made.name),
        ));
    }
    Ok(made)
}

async fn create(mut cx: Ctx<op::CreateIssueLinkType>, input: Input) -> Outcome<op::CreateIssueLinkType> {
    let nothing = LinkType { id: 0, name: String::new(), inward: String::new(), outward: String::new() };
    let mut made = checked(cx.tx(), input.parse()?, nothing).await?;
    let sql = "INSERT INTO jira_link_type (name, inward, outward) VALUES ($1, $2, $3) RETURNING id";
    let params = [made.name.as_str().into(), made.inward.as_str().into(), made.outward.as_str().into()];
    made.id = cx.tx().query_one(sql, &params).await?.get("id")?;
    let json = made.json(&input);
    cx.audit(format!("link_type:{}", made.id), None, Some(json.clone()));
    cx.done(Reply::created(json))
}

async fn update(mut cx: Ctx<op::UpdateIssueLinkType>, input: Input) -> Outcome<op::UpdateIssueLinkType> {
    let old = named(cx.tx(), input.param("issueLinkTypeId")).await?;
    let before = old.json(&input);
    let made = checked(cx.tx(), input.parse()?, old).await?;
    let sql = "UPDATE jira_link_type SET name = $2, inward = $3, outward = $4 WHERE id = $1";
    let params = [made.id.into(), made.name.as_str().into(), made.inward.as_str().into(), made.outward.as_str().into()];
    cx.tx().execute(sql, &params).await?;
    let json = made.json(&input);
    cx.audit(format!("link_type:{}", made.id), Some(before), Some(json.clone()));
    cx.done(Reply::json(json))
}

/// Its links go with it.
async fn delete(mut cx: Ctx<op::DeleteIssueLinkType>, input: Input) -> Outcome<op::DeleteIssueLinkType> {
    let old = named(cx.tx(), input.param("issueLinkTypeId")).await?;
    cx.tx().execute("DELETE FROM jira_issue_link WHERE type_id = $1", &[old.id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_link_type WHERE id = $1", &[old.id.into()]).await?;
    cx.audit(format!("link_type:{}", old.id), Some(old.json(&input)), None);
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
}
