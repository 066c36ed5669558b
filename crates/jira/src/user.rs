//! Reading and finding users.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{GlobalPermission, GroupId, Problem, ProjectId, ProjectPermission, UserId};
use serde_json::{Map, Value as Json, json};

use crate::group;
use crate::issue::facts;
use crate::project;
use crate::text::{begins_with, fold, highlight, word_begins_with};
use crate::wire::{Paging, people, person, person_json};

/// Users that a search looks at before it filters.
const CANDIDATES_MAX: i64 = 10_000;
const BULK_MAX: usize = 200;
const PROJECTS_MAX: usize = 50;

/// The user object of a single read: with locale, and groups and applications where `expand` names them.
///
/// # Errors
/// The database's.
pub(crate) async fn whole_json<M: AnyMode>(
    tx: &mut Tx<M>,
    user: UserId,
    input: &Input,
) -> Result<Option<Json>, StoreError> {
    let Some(found) = person(tx, user).await? else { return Ok(None) };
    let mut out = match found.json(input) {
        Json::Object(members) => members,
        _ => Map::new(),
    };
    out.insert("locale".into(), found.locale.clone().into());
    let expand = input.query_list("expand");
    let list = |items: Vec<Json>, wanted: &str| {
        let size = items.len();
        json!({"size": size, "items": if expand.contains(&wanted) { items } else { Vec::new() }})
    };
    let groups = groups(tx, user).await?;
    out.insert("groups".into(), list(groups.iter().map(|group| group.json(input)).collect(), "groups"));
    let sql = "SELECT DISTINCT a.key, a.name, a.position FROM account_membership m
                 JOIN account_application_group g ON g.group_id = m.group_id JOIN account_application a ON a.key = g.application_key
                WHERE m.user_id = $1 ORDER BY a.position";
    let rows = tx.query(sql, &[user.0.into()]).await?;
    let roles = rows
        .iter()
        .map(|row| Ok(json!({"key": row.get::<String>("key")?, "name": row.get::<String>("name")?})))
        .collect::<Result<Vec<_>, StoreError>>()?;
    out.insert("applicationRoles".into(), list(roles, "applicationRoles"));
    out.insert("expand".into(), "groups,applicationRoles".into());
    Ok(Some(Json::Object(out)))
}

async fn groups<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<Vec<group::Group>, StoreError> {
    let rows = tx.query("SELECT group_id FROM account_membership WHERE user_id = $1", &[user.0.into()]).await?;
    let ids = rows.iter().map(|row| row.get("group_id").map(GroupId)).collect::<Result<Vec<_>, _>>()?;
    group::by_ids(tx, &ids).await
}

/// The account that `accountId` names.
fn named(view: &View, input: &Input) -> Result<UserId, Problem> {
    let account_id = input.query("accountId").filter(|text| !text.is_empty());
    let account_id = account_id.ok_or_else(|| Problem::invalid("The query parameter 'accountId' is required."))?;
    view.with(|snapshot| snapshot.user_by_account_id(account_id))
        .ok_or_else(|| Problem::not_found("Specified user does not exist or you do not have required permissions"))
}

async fn get(mut cx: Ctx<op::GetUser>, input: Input) -> Outcome<op::GetUser> {
    let user = named(cx.view(), &input)?;
    let json = whole_json(cx.tx(), user, &input).await?.ok_or_else(|| Problem::bug("account without a row"))?;
    cx.done(Reply::json(json))
}

async fn groups_of(mut cx: Ctx<op::GetUserGroups>, input: Input) -> Outcome<op::GetUserGroups> {
    let user = named(cx.view(), &input)?;
    let groups = groups(cx.tx(), user).await?;
    cx.done(Reply::json(groups.iter().map(|group| group.json(&input)).collect()))
}

async fn bulk(mut cx: Ctx<op::BulkGetUsers>, input: Input) -> Outcome<op::BulkGetUsers> {
    let paging = Paging::of(&input, 10, 200)?;
    let account_ids: Vec<&str> = input.query_all("accountId").collect();
    if account_ids.is_empty() || account_ids.len() > BULK_MAX {
        return Err(Problem::invalid(format!("Between 1 and {BULK_MAX} 'accountId' parameters are required.")));
    }
    let mut ids: Vec<UserId> = cx
        .view()
        .with(|snapshot| account_ids.iter().filter_map(|account_id| snapshot.user_by_account_id(account_id)).collect());
    ids.sort_unstable();
    ids.dedup();
    let total = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let items = users_json(cx.tx(), &paging.cut(ids), &input).await?;
    cx.done(Reply::json(paging.page(&input, "/user/bulk", "values", total, items)))
}

async fn users_json<M: AnyMode>(tx: &mut Tx<M>, ids: &[UserId], input: &Input) -> Result<Vec<Json>, StoreError> {
    let people = people(tx, ids).await?;
    Ok(ids.iter().map(|id| person_json(&people, Some(*id), input)).collect())
}

async fn everyone<M: AnyMode>(tx: &mut Tx<M>, input: &Input) -> Result<Json, Problem> {
    let paging = Paging::of(input, 50, 1000)?;
    let sql = "SELECT id FROM account_user ORDER BY id LIMIT $1 OFFSET $2";
    let rows = tx.query(sql, &[paging.max_results.into(), paging.start_at.into()]).await?;
    let ids = rows.iter().map(|row| row.get("id").map(UserId)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json::Array(users_json(tx, &ids, input).await?))
}

/// Everybody, deactivated accounts and apps too.
async fn all(mut cx: Ctx<op::GetAllUsers>, input: Input) -> Outcome<op::GetAllUsers> {
    let json = everyone(cx.tx(), &input).await?;
    cx.done(Reply::json(json))
}

async fn all_default(mut cx: Ctx<op::GetAllUsersDefault>, input: Input) -> Outcome<op::GetAllUsersDefault> {
    let json = everyone(cx.tx(), &input).await?;
    cx.done(Reply::json(json))
}

/// Active users whose name, a word of it, or e-mail begins with the text; by name. Everybody for no text.
async fn matching<M: AnyMode>(tx: &mut Tx<M>, query: &str) -> Result<Vec<UserId>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT id FROM account_user WHERE active = 1");
    if !query.is_empty() && !query.contains('\0') {
        sql.push(" AND (name_folded LIKE ").bind(begins_with(query)).push(" ESCAPE '\\' OR name_folded LIKE ");
        sql.bind(word_begins_with(query)).push(" ESCAPE '\\' OR email_folded LIKE ");
        sql.bind(begins_with(query)).push(" ESCAPE '\\')");
    }
    sql.push(" ORDER BY name_folded {{c}}, id LIMIT ").bind(CANDIDATES_MAX);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| row.get("id").map(UserId)).collect()
}

/// Who `query` or `accountId` finds. `None`: neither was given.
async fn candidates<M: AnyMode>(tx: &mut Tx<M>, view: &View, input: &Input) -> Result<Option<Vec<UserId>>, StoreError> {
    if let Some(account_id) = input.query("accountId").filter(|text| !text.is_empty()) {
        let found = view.with(|snapshot| {
            let user = snapshot.user_by_account_id(account_id)?;
            snapshot.policy.user(user).filter(|facts| facts.active).map(|facts| facts.id)
        });
        return Ok(Some(found.into_iter().collect()));
    }
    match input.query("query") {
        Some(query) => Ok(Some(matching(tx, query.trim()).await?)),
        None => Ok(None),
    }
}

async fn search(mut cx: Ctx<op::FindUsers>, input: Input) -> Outcome<op::FindUsers> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 1000)?;
    if ["query", "accountId", "property"].iter().all(|name| input.query(name).is_none()) {
        return Err(Problem::invalid(
            "At least one of the query parameters 'query', 'accountId' and 'property' is required.",
        ));
    }
    if !view.may_global(GlobalPermission::UserPicker) {
        return cx.done(Reply::json(json!([])));
    }
    let mut found = match candidates(cx.tx(), &view, &input).await? {
        Some(found) => found,
        None => matching(cx.tx(), "").await?,
    };
    if let Some(property) = input.query("property") {
        let with_property = having_property(cx.tx(), property).await?;
        // Reading somebody else's property takes Administer Jira; finding people by its value does too.
        let reads_all = view.may_global(GlobalPermission::Administer);
        found.retain(|user| with_property.contains(user) && (reads_all || view.caller().user() == Some(*user)));
    }
    let items = users_json(cx.tx(), &paging.cut(found), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// `key.path.to=value`: users with such a property.
async fn having_property<M: AnyMode>(tx: &mut Tx<M>, question: &str) -> Result<Vec<UserId>, Problem> {
    let malformed = || Problem::invalid("The property must be given as key.path=value.");
    let (path, wanted) = question.split_once('=').ok_or_else(malformed)?;
    let (key, inner) = path.split_once('.').ok_or_else(malformed)?;
    let sql = "SELECT entity_id, value FROM jira_property WHERE entity_type = 'user' AND key = $1 ORDER BY entity_id";
    let mut out = Vec::new();
    for row in tx.query(sql, &[key.into()]).await? {
        let value: Json = serde_json::from_str(&row.get::<String>("value")?).unwrap_or_default();
        let found = inner.split('.').try_fold(&value, |value, step| value.get(step));
        let found = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        let same = found.as_deref() == Some(wanted);
        if same {
            out.push(UserId(row.get("entity_id")?));
        }
    }
    Ok(out)
}

/// Users who hold all of the permissions, in a project or on an issue.
async fn with_permissions(
    mut cx: Ctx<op::FindUsersWithAllPermissions>,
    input: Input,
) -> Outcome<op::FindUsersWithAllPermissions> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 1000)?;
    let asked = input.query_list("permissions");
    if asked.is_empty() {
        return Err(Problem::invalid("The query parameter 'permissions' is required."));
    }
    let keys = asked.iter().map(|key| {
        key.parse::<ProjectPermission>().map_err(|_| Problem::invalid(format!("Unrecognized permission: {key}")))
    });
    let permissions = keys.collect::<Result<Vec<_>, _>>()?;
    let place = place(cx.tx(), &view, &input).await?;
    let found = match candidates(cx.tx(), &view, &input).await? {
        Some(found) => found,
        None => matching(cx.tx(), "").await?,
    };
    let found: Vec<UserId> = match place {
        Some((project, issue)) => found
            .into_iter()
            .filter(|user| {
                permissions.iter().all(|permission| view.user_may(Some(*user), *permission, project, issue.as_ref()))
            })
            .collect(),
        None => return Err(Problem::invalid("Either 'projectKey' or 'issueKey' is required.")),
    };
    let items = users_json(cx.tx(), &paging.cut(found), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// The project, and the issue, that a search is about; hidden ones are as absent as unknown ones, also in the words of the refusal,
/// which for an unknown one are the guard's.
async fn place<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
) -> Result<Option<(ProjectId, Option<IssueFacts>)>, Problem> {
    let named = |names: [&str; 2]| names.iter().find_map(|name| input.query(name).filter(|value| !value.is_empty()));
    if let Some(name) = named(["issueKey", "issueId"]) {
        let issue = facts::visible_named(tx, view, name).await?.ok_or_else(|| project::unknown(name))?;
        return Ok(Some((issue.project, Some(issue))));
    }
    match named(["project", "projectKey"]) {
        Some(name) => {
            let found = project::visible_named(tx, view, name).await?;
            Ok(Some((found.ok_or_else(|| project::unknown(name))?, None)))
        }
        None => Ok(None),
    }
}

async fn assignable(mut cx: Ctx<op::FindAssignableUsers>, input: Input) -> Outcome<op::FindAssignableUsers> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 1000)?;
    let Some((project, issue)) = place(cx.tx(), &view, &input).await? else {
        return Err(Problem::invalid("One of 'project', 'issueKey' and 'issueId' is required."));
    };
    let found = match candidates(cx.tx(), &view, &input).await? {
        Some(found) => found,
        None => matching(cx.tx(), "").await?,
    };
    let assignable =
        |user: &UserId| view.user_may(Some(*user), ProjectPermission::AssignableUser, project, issue.as_ref());
    let found: Vec<UserId> = found.into_iter().filter(assignable).collect();
    let items = users_json(cx.tx(), &paging.cut(found), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// Who may be assigned issues in all of the projects.
async fn assignable_everywhere(
    mut cx: Ctx<op::FindBulkAssignableUsers>,
    input: Input,
) -> Outcome<op::FindBulkAssignableUsers> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 1000)?;
    let keys = input.query_list("projectKeys");
    if keys.is_empty() || keys.len() > PROJECTS_MAX {
        return Err(Problem::invalid(format!("Between 1 and {PROJECTS_MAX} projects must be named in 'projectKeys'.")));
    }
    let mut projects = Vec::new();
    for key in keys {
        let found = project::visible_named(cx.tx(), &view, key).await?;
        projects.push(found.ok_or_else(|| project::unknown(key))?);
    }
    let found = match candidates(cx.tx(), &view, &input).await? {
        Some(found) => found,
        None => matching(cx.tx(), "").await?,
    };
    let assignable = |user: &UserId| {
        projects.iter().all(|project| view.user_may(Some(*user), ProjectPermission::AssignableUser, *project, None))
    };
    let found: Vec<UserId> = found.into_iter().filter(assignable).collect();
    let items = users_json(cx.tx(), &paging.cut(found), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// Who sees an issue, or browses a project.
async fn browsing(
    mut cx: Ctx<op::FindUsersWithBrowsePermission>,
    input: Input,
) -> Outcome<op::FindUsersWithBrowsePermission> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 1000)?;
    if input.query("query").is_none() && input.query("accountId").is_none() {
        return Err(Problem::invalid("Either 'query' or 'accountId' is required."));
    }
    if !view.may_global(GlobalPermission::UserPicker) {
        return cx.done(Reply::json(json!([])));
    }
    let Some((project, issue)) = place(cx.tx(), &view, &input).await? else {
        return Err(Problem::invalid("Either 'projectKey' or 'issueKey' is required."));
    };
    let found = candidates(cx.tx(), &view, &input).await?.unwrap_or_default();
    let browses = |user: &UserId| {
        view.user_may(Some(*user), ProjectPermission::BrowseProjects, project, issue.as_ref())
            && issue.as_ref().is_none_or(|issue| view.with(|s| s.policy.in_level(Some(*user), issue).is_ok()))
    };
    let found: Vec<UserId> = found.into_iter().filter(browses).collect();
    let items = users_json(cx.tx(), &paging.cut(found), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// `{users, total, header}` as both pickers show it. Those who cannot see everybody find a user by the exact name.
pub(crate) async fn picked_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    query: &str,
    max_results: i64,
    input: &Input,
) -> Result<Json, Problem> {
    let show_avatar = input.query_bool("showAvatar")?.unwrap_or(false);
    let excluded: Vec<&str> = input.query_list("excludeAccountIds");
    let without_apps = input.query_bool("excludeConnectUsers")?.unwrap_or(false)
        || input.query_bool("excludeConnectAddons")?.unwrap_or(false);
    let ids = matching(tx, query).await?;
    let people: HashMap<_, _> = people(tx, &ids).await?;
    let sees_all = view.may_global(GlobalPermission::UserPicker);
    let found: Vec<_> = ids
        .iter()
        .filter_map(|id| people.get(id))
        .filter(|person| sees_all || fold(&person.display_name) == fold(query))
        .filter(|person| !excluded.contains(&person.account_id.as_str()))
        .filter(|person| !without_apps || person.account_type != "app")
        .collect();
    let total = found.len();
    let shown: Vec<Json> = found
        .into_iter()
        .take(usize::try_from(max_results).unwrap_or(0))
        .map(|person| {
            let mut out = Map::new();
            out.insert("accountId".into(), person.account_id.clone().into());
            out.insert("accountType".into(), person.account_type.into());
            out.insert("html".into(), highlight(&person.display_name, query).into());
            out.insert("displayName".into(), person.display_name.clone().into());
            if show_avatar {
                out.insert("avatarUrl".into(), format!("{}/static/avatar-24.svg", input.base_url()).into());
            }
            Json::Object(out)
        })
        .collect();
    let header = format!("Showing {} of {total} matching users", shown.len());
    Ok(json!({"users": shown, "total": total, "header": header}))
}

async fn picker(mut cx: Ctx<op::FindUsersForPicker>, input: Input) -> Outcome<op::FindUsersForPicker> {
    let view = cx.view().clone();
    let max_results = input.query_int("maxResults")?.unwrap_or(50).clamp(1, 1000);
    let query = input.query("query").map(str::trim);
    let query = query.ok_or_else(|| Problem::invalid("The query parameter 'query' is required."))?;
    let json = picked_json(cx.tx(), &view, query, max_results, &input).await?;
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(groups_of);
    handlers.on(bulk);
    handlers.on(all);
    handlers.on(all_default);
    handlers.on(search);
    handlers.on(with_permissions);
    handlers.on(assignable);
    handlers.on(assignable_everywhere);
    handlers.on(browsing);
    handlers.on(picker);
}
