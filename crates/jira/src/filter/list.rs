//! Lists of filters: one's own, favourites, and the search. All hold only filters that are the caller's or shared with the caller.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx};
use portcullis_model::{GlobalPermission, Problem};
use serde_json::Value as Json;

use crate::filter::item::{Shown, filters_json};
use crate::search::asker::Asker;
use crate::search::fragment::Fragment;
use crate::search::lookup::known_projects;
use crate::text::{contains, fold};
use crate::wire::Paging;

/// Filters in a list that has no pages.
const LIST_MAX: i64 = 1_000;
const PAGE_DEFAULT: i64 = 50;
const PAGE_MAX: i64 = 100;
/// Ids that a search may name, as Jira has it.
const IDS_MAX: usize = 200;

async fn favourites(mut cx: Ctx<op::GetFavouriteFilters>, input: Input) -> Outcome<op::GetFavouriteFilters> {
    let (view, now) = (cx.view().clone(), cx.now());
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let json = match asker.user {
        Some(user) => {
            let mut condition = Fragment::new(
                "EXISTS (SELECT 1 FROM jira_filter_favourite v WHERE v.filter_id = f.id AND v.user_id = ",
            );
            condition.bind(user.0).push(")");
            let ids = ids(cx.tx(), &asker, condition).await?;
            filters_json(cx.tx(), &view, &asker, &input, &ids, &Shown::Whole).await?
        }
        None => Vec::new(),
    };
    cx.done(Reply::json(json.into()))
}

async fn mine(mut cx: Ctx<op::GetMyFilters>, input: Input) -> Outcome<op::GetMyFilters> {
    let (view, now, user) = (cx.view().clone(), cx.now(), cx.user()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let mut condition = Fragment::new("(f.owner_id = ");
    condition.bind(user.0);
    if input.query_bool("includeFavourites")? == Some(true) {
        condition.push(" OR EXISTS (SELECT 1 FROM jira_filter_favourite v WHERE v.filter_id = f.id AND v.user_id = ");
        condition.bind(user.0).push(")");
    }
    condition.push(")");
    let ids = ids(cx.tx(), &asker, condition).await?;
    let json = filters_json(cx.tx(), &view, &asker, &input, &ids, &Shown::Whole).await?;
    cx.done(Reply::json(json.into()))
}

async fn ids<M: AnyMode>(tx: &mut Tx<M>, asker: &Asker, condition: Fragment) -> Result<Vec<i64>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT f.id FROM jira_filter f WHERE ");
    asker.filter_visible().write_to(&mut sql);
    sql.push(" AND ");
    condition.write_to(&mut sql);
    sql.push(" ORDER BY f.name_folded {{c}}, f.id LIMIT ").bind(LIST_MAX);
    tx.query(sql, &[]).await?.iter().map(|row| row.get("id")).collect()
}

async fn search(mut cx: Ctx<op::GetFiltersPaginated>, input: Input) -> Outcome<op::GetFiltersPaginated> {
    let (view, now) = (cx.view().clone(), cx.now());
    let paging = Paging::of(&input, PAGE_DEFAULT, PAGE_MAX)?;
    let order = order(input.query("orderBy").unwrap_or("name"))?;
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let overrides =
        input.query_bool("overrideSharePermissions")? == Some(true) && view.may_global(GlobalPermission::Administer);
    let mut condition = if overrides { Fragment::always() } else { asker.filter_visible() };
    for part in conditions(cx.tx(), &asker, overrides, &input).await? {
        condition.push(" AND ").add(part);
    }
    let mut count = SqlBuilder::new("SELECT COUNT(*) AS count FROM jira_filter f WHERE ");
    condition.write_to(&mut count);
    let total: i64 = cx.tx().query_one(count, &[]).await?.get("count")?;
    let mut sql = SqlBuilder::new("SELECT f.id FROM jira_filter f WHERE ");
    condition.write_to(&mut sql);
    sql.push(" ORDER BY ");
    let user = asker.user.map_or(-1, |user| user.0);
    match order.0 {
        Key::Own(text) => sql.push(text),
        Key::OfUser(text) => sql.push(text).bind(user).push(")"),
    };
    sql.push(if order.1 { " DESC, f.id LIMIT " } else { " ASC, f.id LIMIT " }).bind(paging.max_results);
    sql.push(" OFFSET ").bind(paging.start_at);
    let rows = cx.tx().query(sql, &[]).await?;
    let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, StoreError>>()?;
    let expand = input.query_list("expand").into_iter().map(str::to_owned).collect();
    let values = filters_json(cx.tx(), &view, &asker, &input, &ids, &Shown::Expanded(expand)).await?;
    let page: Json = paging.page(&input, "/filter/search", "values", total, values);
    cx.done(Reply::json(page))
}

enum Key {
    Own(&'static str),
    /// A subquery that ends with the caller.
    OfUser(&'static str),
}

/// The key and whether the greatest comes first.
fn order(text: &str) -> Result<(Key, bool), Problem> {
    // A plus arrives as a space.
    let (word, descending) = match text.strip_prefix('-') {
        Some(word) => (word, true),
        None => (text.trim_start_matches(['+', ' ']), false),
    };
    let key = match word.to_ascii_lowercase().as_str() {
        "" | "name" => Key::Own("f.name_folded {{c}}"),
        "id" => Key::Own("f.id"),
        "description" => Key::Own("LOWER(f.description) {{c}}"),
        "owner" => Key::Own("(SELECT u.account_id FROM account_user u WHERE u.id = f.owner_id) {{c}}"),
        "favourite_count" => Key::Own("(SELECT COUNT(*) FROM jira_filter_favourite v WHERE v.filter_id = f.id)"),
        "is_shared" => {
            Key::Own("CASE WHEN EXISTS (SELECT 1 FROM jira_filter_share s WHERE s.filter_id = f.id) THEN 1 ELSE 0 END")
        }
        "is_favourite" => {
            Key::OfUser("(SELECT COUNT(*) FROM jira_filter_favourite v WHERE v.filter_id = f.id AND v.user_id = ")
        }
        _ => return Err(Problem::invalid(format!("The orderBy value '{text}' is not supported."))),
    };
    Ok((key, descending))
}

/// What the query asks for. Shares that an answer would not name to the caller are not searched either: with a hidden project never,
/// with a group that the caller may not look up in its own filters only.
async fn conditions<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    overrides: bool,
    input: &Input,
) -> Result<Vec<Fragment>, Problem> {
    let mut out = Vec::new();
    let given = |name: &str| input.query(name).filter(|value| !value.is_empty()).map(|value| value.replace('\0', ""));
    if let Some(name) = given("filterName") {
        let mut part = Fragment::new("f.name_folded LIKE ");
        part.bind(contains(&name)).push(" ESCAPE '\\'");
        out.push(part);
    }
    if let Some(account) = given("accountId") {
        let mut part = Fragment::new("f.owner_id IN (SELECT u.id FROM account_user u WHERE u.account_id = ");
        part.bind(account).push(")");
        out.push(part);
    }
    let (id, name) = (given("groupId"), given("groupname"));
    if id.is_some() && name.is_some() {
        return Err(Problem::invalid("The groupname and groupId parameters can not be used together."));
    }
    if let Some((sql, text)) = id
        .map(|id| ("SELECT id FROM account_group WHERE uuid = $1", id))
        .or_else(|| name.map(|name| ("SELECT id FROM account_group WHERE name_folded = $1", fold(&name))))
    {
        let row = tx.query_opt(sql, &[text.into()]).await?;
        let group = row.map(|row| row.get::<i64>("id")).transpose()?.unwrap_or(-1);
        let mut part =
            Fragment::new("EXISTS (SELECT 1 FROM jira_filter_share g WHERE g.filter_id = f.id AND g.group_id = ");
        part.bind(group).push(")");
        if !(overrides || asker.picks_users() || asker.groups().contains(&group)) {
            // No account has the id 0.
            part.push(" AND f.owner_id = ").bind(asker.user.map_or(0, |user| user.0));
        }
        out.push(part);
    }
    if let Some(project) = input.query_int("projectId")? {
        let named = overrides || known_projects(tx, asker).await?.binary_search(&project).is_ok();
        let project = if named { project } else { -1 };
        let mut part =
            Fragment::new("EXISTS (SELECT 1 FROM jira_filter_share g WHERE g.filter_id = f.id AND g.project_id = ");
        part.bind(project).push(")");
        out.push(part);
    }
    let ids = input.query_list("id");
    if ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("At most {IDS_MAX} filter ids may be given.")));
    }
    if !ids.is_empty() {
        let mut numbers = Vec::with_capacity(ids.len());
        for id in ids {
            let number = id.parse::<i64>();
            numbers.push(number.map_err(|_| Problem::invalid(format!("Failed to convert 'id' with value: '{id}'")))?);
        }
        let mut part = Fragment::new("f.id IN ");
        part.ids(&numbers);
        out.push(part);
    }
    Ok(out)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(favourites);
    handlers.on(mine);
    handlers.on(search);
}
