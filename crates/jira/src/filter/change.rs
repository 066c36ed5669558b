//! Making, reading, changing and deleting a filter.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::{Problem, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::filter::item::{Filter, filter_json, load};
use crate::filter::share::{self, Rights};
use crate::filter::unavailable;
use crate::jql;
use crate::search::asker::Asker;
use crate::search::evaluate::compile_within;
use crate::text::{bounded, fold};

const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 10_000;
/// Filters of one owner.
const FILTERS_MAX: i64 = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    jql: Option<String>,
    #[serde(default, deserialize_with = "crate::wire::flag")]
    favourite: Option<bool>,
    #[serde(default)]
    share_permissions: Json,
    #[serde(default)]
    edit_permissions: Json,
}

async fn get(mut cx: Ctx<op::GetFilter>, input: Input) -> Outcome<op::GetFilter> {
    let (view, now, id) = (cx.view().clone(), cx.now(), cx.target().thing()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.done(Reply::json(json))
}

async fn create(mut cx: Ctx<op::CreateFilter>, input: Input) -> Outcome<op::CreateFilter> {
    let (view, now, user) = (cx.view().clone(), cx.now(), cx.user()?);
    let body: Body = input.parse()?;
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let name = checked_name(cx.tx(), user, body.name.as_deref().unwrap_or_default(), None).await?;
    let description = body.description.unwrap_or_default();
    checked_text("description", &description, DESCRIPTION_CHARS_MAX)?;
    let jql = body.jql.unwrap_or_default();
    check_jql(cx.tx(), &asker, &jql, None).await?;
    let mut shares = share::asked(cx.tx(), &view, &asker, &body.share_permissions, Rights::View).await?;
    shares.extend(share::asked(cx.tx(), &view, &asker, &body.edit_permissions, Rights::Edit).await?);
    let sql = "SELECT COUNT(*) AS count FROM jira_filter WHERE owner_id = $1";
    if cx.tx().query_one(sql, &[user.0.into()]).await?.get::<i64>("count")? >= FILTERS_MAX {
        return Err(Problem::invalid(format!("You must not own more than {FILTERS_MAX} filters.")));
    }
    let sql = "INSERT INTO jira_filter (owner_id, name, name_folded, description, jql) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let row = [user.0.into(), name.as_str().into(), fold(&name).into(), description.into(), jql.as_str().into()];
    let id: i64 = cx.tx().query_one(sql, &row).await?.get("id")?;
    share::add(cx.tx(), id, &shares).await?;
    if body.favourite == Some(true) {
        let sql = "INSERT INTO jira_filter_favourite (filter_id, user_id) VALUES ($1, $2)";
        cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
    }
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    let after = audited(&name, &jql, share::summary(cx.tx(), id).await?);
    cx.audit(format!("filter:{id}"), None, Some(after));
    // Jira answers 200 here, not 201.
    cx.done(Reply::json(json))
}

async fn update(mut cx: Ctx<op::UpdateFilter>, input: Input) -> Outcome<op::UpdateFilter> {
    let (view, now, user, id) = (cx.view().clone(), cx.now(), cx.user()?, cx.target().thing()?);
    let body: Body = input.parse()?;
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let old = one(cx.tx(), id).await?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), old.owner, name, Some(id)).await?,
        None => old.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| old.description.clone());
    checked_text("description", &description, DESCRIPTION_CHARS_MAX)?;
    let jql = match body.jql {
        Some(jql) => {
            check_jql(cx.tx(), &asker, &jql, Some(id)).await?;
            jql
        }
        None => old.jql.clone(),
    };
    let views = share::asked(cx.tx(), &view, &asker, &body.share_permissions, Rights::View).await?;
    let edits = share::asked(cx.tx(), &view, &asker, &body.edit_permissions, Rights::Edit).await?;
    let before = audited(&old.name, &old.jql, share::summary(cx.tx(), id).await?);
    let sql = "UPDATE jira_filter SET name = $2, name_folded = $3, description = $4, jql = $5 WHERE id = $1";
    let row = [id.into(), name.as_str().into(), fold(&name).into(), description.into(), jql.as_str().into()];
    cx.tx().execute(sql, &row).await?;
    if !body.share_permissions.is_null() {
        share::replace(cx.tx(), id, Rights::View, &views).await?;
    }
    if !body.edit_permissions.is_null() {
        share::replace(cx.tx(), id, Rights::Edit, &edits).await?;
    }
    match body.favourite {
        Some(true) => {
            let sql = "INSERT INTO jira_filter_favourite (filter_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
        }
        Some(false) => {
            let sql = "DELETE FROM jira_filter_favourite WHERE filter_id = $1 AND user_id = $2";
            cx.tx().execute(sql, &[id.into(), user.0.into()]).await?;
        }
        None => {}
    }
    let json = filter_json(cx.tx(), &view, &asker, &input, id).await?;
    let after = audited(&name, &jql, share::summary(cx.tx(), id).await?);
    cx.audit(format!("filter:{id}"), Some(before), Some(after));
    cx.done(Reply::json(json))
}

async fn delete(mut cx: Ctx<op::DeleteFilter>, _: Input) -> Outcome<op::DeleteFilter> {
    let id = cx.target().thing()?;
    let old = one(cx.tx(), id).await?;
    let before = audited(&old.name, &old.jql, share::summary(cx.tx(), id).await?);
    for sql in [
        "DELETE FROM jira_filter_favourite WHERE filter_id = $1",
        "DELETE FROM jira_filter_share WHERE filter_id = $1",
        "DELETE FROM jira_filter WHERE id = $1",
    ] {
        cx.tx().execute(sql, &[id.into()]).await?;
    }
    cx.audit(format!("filter:{id}"), Some(before), None);
    cx.done(Reply::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOwner {
    account_id: String,
}

async fn change_owner(mut cx: Ctx<op::ChangeFilterOwner>, input: Input) -> Outcome<op::ChangeFilterOwner> {
    let (view, id) = (cx.view().clone(), cx.target().thing()?);
    let body: NewOwner = input.parse()?;
    let old = one(cx.tx(), id).await?;
    let owner = view.with(|snapshot| {
        let user = snapshot.user_by_account_id(&body.account_id)?;
        snapshot.policy.has_access(user).then_some(user)
    });
    let owner = owner.ok_or_else(|| {
        Problem::invalid("The user that should own the filter does not exist or has no access to Jira.")
    })?;
    checked_name(cx.tx(), owner, &old.name, Some(id)).await?;
    cx.tx().execute("UPDATE jira_filter SET owner_id = $2 WHERE id = $1", &[id.into(), owner.0.into()]).await?;
    let owner_json = |user: UserId| json!({"owner": user.0});
    cx.audit(format!("filter:{id}"), Some(owner_json(old.owner)), Some(owner_json(owner)));
    cx.done(Reply::no_content())
}

async fn one<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Filter, Problem> {
    load(tx, &[id]).await?.pop().ok_or_else(unavailable)
}

fn audited(name: &str, jql: &str, shares: Json) -> Json {
    json!({"name": name, "jql": jql, "shares": shares})
}

fn checked_text(field: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::field(field, format!("The {field} must not contain NUL characters.")));
    }
    bounded(field, text, chars_max)
}

/// A name that its owner has given to no other filter.
async fn checked_name<M: AnyMode>(
    tx: &mut Tx<M>,
    owner: UserId,
    name: &str,
    of: Option<i64>,
) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("filterName", "You must specify a name to save this filter as."));
    }
    checked_text("filterName", name, NAME_CHARS_MAX)?;
    let sql = "SELECT id FROM jira_filter WHERE owner_id = $1 AND name_folded = $2";
    let found = tx.query_opt(sql, &[owner.0.into(), fold(name).into()]).await?;
    match found.map(|row| row.get::<i64>("id")).transpose()? {
        Some(id) if Some(id) != of => Err(Problem::field("filterName", "Filter with same name already exists.")),
        Some(_) | None => Ok(name.to_owned()),
    }
}

/// What is saved must be right in every word, as far as its owner can tell.
async fn check_jql<M: AnyMode>(tx: &mut Tx<M>, asker: &Asker, text: &str, filter: Option<i64>) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::invalid("The JQL query must not contain NUL characters."));
    }
    let query = jql::parse_strict(text).map_err(|error| Problem::invalid(error.to_string()))?;
    compile_within(tx, asker, &query, filter).await?;
    Ok(())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
    handlers.on(change_owner);
}
