//! Reading groups and applications; membership and groups themselves are changed by the accounts crate.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, Value, View};
use portcullis_model::{GlobalPermission, GroupId, Problem, UserId};
use serde_json::{Map, Value as Json, json};

use crate::role::group_link;
use crate::text::{contains, highlight};
use crate::user;
use crate::wire::{Paging, people, person_json};

const PICKER_MAX: i64 = 1000;
const EXPANDED_USERS_MAX: i64 = 50;

/// A group's row.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub id: GroupId,
    pub uuid: String,
    pub name: String,
}

impl Group {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { id: GroupId(row.get("id")?), uuid: row.get("uuid")?, name: row.get("name")? })
    }

    /// `{name,groupId,self}`.
    pub(crate) fn json(&self, input: &Input) -> Json {
        json!({"name": self.name, "groupId": self.uuid, "self": group_link(&self.uuid, input)})
    }
}

/// The group with this very name.
///
/// # Errors
/// The database's.
pub(crate) async fn by_name<M: AnyMode>(tx: &mut Tx<M>, name: &str) -> Result<Option<Group>, StoreError> {
    let row = tx.query_opt("SELECT id, uuid, name FROM account_group WHERE name = $1", &[bindable(name)]).await?;
    row.as_ref().map(Group::of).transpose()
}

/// The group with this `groupId`.
///
/// # Errors
/// The database's.
pub(crate) async fn by_uuid<M: AnyMode>(tx: &mut Tx<M>, uuid: &str) -> Result<Option<Group>, StoreError> {
    let row = tx.query_opt("SELECT id, uuid, name FROM account_group WHERE uuid = $1", &[bindable(uuid)]).await?;
    row.as_ref().map(Group::of).transpose()
}

/// Text that may hold what no database takes matches nothing instead.
fn bindable(text: &str) -> Value {
    if text.contains('\0') { "".into() } else { text.into() }
}

/// The groups with these ids, by name.
///
/// # Errors
/// The database's.
pub(crate) async fn by_ids<M: AnyMode>(tx: &mut Tx<M>, ids: &[GroupId]) -> Result<Vec<Group>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = SqlBuilder::new("SELECT id, uuid, name FROM account_group WHERE id IN ");
    sql.ids(&ids.iter().map(|id| id.0).collect::<Vec<_>>()).push(" ORDER BY name_folded {{c}}");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(Group::of).collect()
}

/// The group that `groupname` or `groupId` of the query names.
///
/// # Errors
/// 400 when neither or both are there, 404 when there is no such group.
async fn of_query<M: AnyMode>(tx: &mut Tx<M>, input: &Input) -> Result<Group, Problem> {
    match (input.query("groupname"), input.query("groupId")) {
        (Some(_), Some(_)) => Err(Problem::invalid("Either 'groupname' or 'groupId' must be specified, not both.")),
        (Some(name), None) => by_name(tx, name)
            .await?
            .ok_or_else(|| Problem::not_found(format!("The group named '{name}' does not exist."))),
        (None, Some(id)) => by_uuid(tx, id)
            .await?
            .ok_or_else(|| Problem::not_found(format!("The group with id '{id}' does not exist."))),
        (None, None) => Err(Problem::invalid("'groupname' or 'groupId' must be specified.")),
    }
}

async fn members<M: AnyMode>(
    tx: &mut Tx<M>,
    group: GroupId,
    inactive_too: bool,
    paging: Paging,
    input: &Input,
) -> Result<(i64, Vec<Json>), Problem> {
    let sql = "SELECT count(*) AS total FROM account_membership m JOIN account_user u ON u.id = m.user_id
                WHERE m.group_id = $1 AND (u.active = 1 OR $2 = 1)";
    let total = tx.query_one(sql, &[group.0.into(), inactive_too.into()]).await?.get("total")?;
    let sql = "SELECT u.id FROM account_membership m JOIN account_user u ON u.id = m.user_id
                WHERE m.group_id = $1 AND (u.active = 1 OR $2 = 1) ORDER BY u.name_folded {{c}}, u.id LIMIT $3 OFFSET $4";
    let params = [group.0.into(), inactive_too.into(), paging.max_results.into(), paging.start_at.into()];
    let rows = tx.query(sql, &params).await?;
    let ids = rows.iter().map(|row| row.get("id").map(UserId)).collect::<Result<Vec<_>, _>>()?;
    let people = people(tx, &ids).await?;
    Ok((total, ids.iter().map(|id| person_json(&people, Some(*id), input)).collect()))
}

async fn get(mut cx: Ctx<op::GetGroup>, input: Input) -> Outcome<op::GetGroup> {
    let group = of_query(cx.tx(), &input).await?;
    let mut out = Map::new();
    out.insert("name".into(), group.name.clone().into());
    out.insert("groupId".into(), group.uuid.clone().into());
    out.insert("self".into(), group_link(&group.uuid, &input).into());
    let paging = Paging { start_at: 0, max_results: EXPANDED_USERS_MAX };
    let (size, items) = members(cx.tx(), group.id, false, paging, &input).await?;
    let shown =
        if input.query_list("expand").iter().any(|what| what.starts_with("users")) { items } else { Vec::new() };
    let end = i64::try_from(shown.len()).unwrap_or(0).saturating_sub(1).max(0);
    out.insert(
        "users".into(),
        json!({"size": size, "items": shown, "max-results": EXPANDED_USERS_MAX, "start-index": 0, "end-index": end}),
    );
    out.insert("expand".into(), "users".into());
    cx.done(Reply::json(Json::Object(out)))
}

async fn member_page(mut cx: Ctx<op::GetUsersFromGroup>, input: Input) -> Outcome<op::GetUsersFromGroup> {
    let paging = Paging::of(&input, 50, 50)?;
    let inactive_too = input.query_bool("includeInactiveUsers")?.unwrap_or(false);
    let group = of_query(cx.tx(), &input).await?;
    let (total, items) = members(cx.tx(), group.id, inactive_too, paging, &input).await?;
    let path =
        format!("/group/member?groupId={}&includeInactiveUsers={inactive_too}", crate::wire::encode_query(&group.uuid));
    cx.done(Reply::json(paging.page(&input, &path, "values", total, items)))
}

async fn bulk(mut cx: Ctx<op::BulkGetGroups>, input: Input) -> Outcome<op::BulkGetGroups> {
    let paging = Paging::of(&input, 50, 50)?;
    let ids = input.query_list("groupId");
    let names: Vec<&str> = input.query_all("groupName").collect();
    let application = input.query("applicationKey");
    match input.query("accessType") {
        None => {}
        Some("user" | "site-admin" | "admin") if application.is_some() => {}
        Some(_) => return Err(Problem::invalid("'accessType' needs an 'applicationKey'.")),
    }
    let mut groups = Vec::new();
    for row in cx.tx().query("SELECT id, uuid, name FROM account_group ORDER BY name_folded {{c}}", &[]).await? {
        groups.push(Group::of(&row)?);
    }
    if !ids.is_empty() || !names.is_empty() {
        groups.retain(|group| ids.contains(&group.uuid.as_str()) || names.contains(&group.name.as_str()));
    }
    if let Some(key) = application {
        let sql = "SELECT group_id FROM account_application_group WHERE application_key = $1";
        let rows = cx.tx().query(sql, &[bindable(key)]).await?;
        let members = rows.iter().map(|row| row.get("group_id").map(GroupId)).collect::<Result<Vec<_>, _>>()?;
        groups.retain(|group| members.contains(&group.id));
    }
    let total = i64::try_from(groups.len()).unwrap_or(i64::MAX);
    let items =
        paging.cut(groups).into_iter().map(|group| json!({"name": group.name, "groupId": group.uuid})).collect();
    cx.done(Reply::json(paging.page(&input, "/group/bulk", "values", total, items)))
}

/// `{header, total, groups}` as both pickers show it. Those who cannot see everybody find a group by its exact name, and nobody finds
/// one who browses no project.
async fn picked_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    query: &str,
    max_results: i64,
    input: &Input,
) -> Result<Json, StoreError> {
    let excluded: Vec<&str> = input.query_all("exclude").collect();
    let excluded_ids: Vec<&str> = input.query_all("excludeId").collect();
    let visibility = view.visibility();
    let groups = if visibility.projects.is_empty() && visibility.conditional.is_empty() {
        Vec::new()
    } else if view.may_global(GlobalPermission::UserPicker) {
        let sql =
            "SELECT id, uuid, name FROM account_group WHERE name_folded LIKE $1 ESCAPE '\\' ORDER BY name_folded {{c}}";
        let rows = tx.query(sql, &[bindable(&contains(query))]).await?;
        rows.iter().map(Group::of).collect::<Result<Vec<_>, _>>()?
    } else {
        by_name(tx, query).await?.into_iter().collect()
    };
    let found: Vec<Group> = groups
        .into_iter()
        .filter(|group| !excluded.contains(&group.name.as_str()) && !excluded_ids.contains(&group.uuid.as_str()))
        .collect();
    let total = found.len();
    let shown: Vec<Json> = found
        .iter()
        .take(usize::try_from(max_results).unwrap_or(0))
        .map(|group| {
            json!({"name": group.name, "html": highlight(&group.name, query), "labels": [], "groupId": group.uuid})
        })
        .collect();
    let header = format!("Showing {} of {total} matching groups", shown.len());
    Ok(json!({"header": header, "total": total, "groups": shown}))
}

async fn picker(mut cx: Ctx<op::FindGroups>, input: Input) -> Outcome<op::FindGroups> {
    let query = input.query("query").unwrap_or_default();
    let max_results = input.query_int("maxResults")?.unwrap_or(20).clamp(1, PICKER_MAX);
    let view = cx.view().clone();
    let json = picked_json(cx.tx(), &view, query, max_results, &input).await?;
    cx.done(Reply::json(json))
}

/// Users and groups for one text; the row asks for the right to look people up.
async fn users_and_groups(mut cx: Ctx<op::FindUsersAndGroups>, input: Input) -> Outcome<op::FindUsersAndGroups> {
    let query = input.query("query").map(str::trim);
    let query = query.ok_or_else(|| Problem::invalid("The query parameter 'query' is required."))?;
    let max_results = input.query_int("maxResults")?.unwrap_or(50).clamp(1, PICKER_MAX);
    let view = cx.view().clone();
    let users = user::picked_json(cx.tx(), &view, query, max_results, &input).await?;
    let groups = picked_json(cx.tx(), &view, query, max_results, &input).await?;
    cx.done(Reply::json(json!({"users": users, "groups": groups})))
}

async fn application_json<M: AnyMode>(
    tx: &mut Tx<M>,
    key: &str,
    name: &str,
    input: &Input,
) -> Result<Json, StoreError> {
    let sql = "SELECT g.id, g.uuid, g.name, a.is_default FROM account_application_group a JOIN account_group g ON g.id = a.group_id
                WHERE a.application_key = $1 ORDER BY g.name_folded {{c}}";
    let (mut groups, mut defaults) = (Vec::new(), Vec::new());
    for row in tx.query(sql, &[key.into()]).await? {
        let group = Group::of(&row)?;
        if row.get("is_default")? {
            defaults.push(group.clone());
        }
        groups.push(group);
    }
    let sql = "SELECT count(DISTINCT m.user_id) AS users FROM account_application_group a
                 JOIN account_membership m ON m.group_id = a.group_id JOIN account_user u ON u.id = m.user_id
                WHERE a.application_key = $1 AND u.active = 1 AND u.kind <> 'app'";
    let users: i64 = tx.query_one(sql, &[key.into()]).await?.get("users")?;
    let names = |groups: &[Group]| groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
    let details = |groups: &[Group]| groups.iter().map(|group| group.json(input)).collect::<Vec<_>>();
    Ok(json!({
        "key": key,
        "groups": names(&groups),
        "groupDetails": details(&groups),
        "name": name,
        "defaultGroups": names(&defaults),
        "defaultGroupsDetails": details(&defaults),
        "selectedByDefault": false,
        "defined": true,
        "numberOfSeats": -1,
        "remainingSeats": -1,
        "userCount": users,
        "userCountDescription": "users",
        "hasUnlimitedSeats": true,
        "platform": false,
    }))
}

async fn applications(mut cx: Ctx<op::GetAllApplicationRoles>, input: Input) -> Outcome<op::GetAllApplicationRoles> {
    let mut out = Vec::new();
    for row in cx.tx().query("SELECT key, name FROM account_application ORDER BY position", &[]).await? {
        let (key, name): (String, String) = (row.get("key")?, row.get("name")?);
        out.push(application_json(cx.tx(), &key, &name, &input).await?);
    }
    cx.done(Reply::json(Json::Array(out)))
}

async fn application(mut cx: Ctx<op::GetApplicationRole>, input: Input) -> Outcome<op::GetApplicationRole> {
    let key = input.param("key");
    let row = cx.tx().query_opt("SELECT name FROM account_application WHERE key = $1", &[bindable(key)]).await?;
    let Some(row) = row else {
        return Err(Problem::not_found(format!("The application role with key '{key}' could not be found.")));
    };
    let json = application_json(cx.tx(), key, &row.get::<String>("name")?, &input).await?;
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(member_page);
    handlers.on(bulk);
    handlers.on(picker);
    handlers.on(users_and_groups);
    handlers.on(applications);
    handlers.on(application);
}
