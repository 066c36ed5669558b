//! With whom filters are shared.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{
    AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, Value, View, Writes,
};
use portcullis_model::{GlobalPermission, GroupId, Problem, ProjectId, UserId};
use serde_json::{Map, Value as Json, json};

use crate::filter::item::Filter;
use crate::filter::unavailable;
use crate::refs;
use crate::search::asker::Asker;
use crate::search::lookup::known_projects;
use crate::text::int_of;
use crate::wire;

/// Shares of one filter.
const SHARES_MAX: usize = 100;

/// What a share gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    View,
    Edit,
}

/// Those a filter is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Everyone,
    SignedIn,
    User(UserId),
    Group(GroupId),
    Project(ProjectId),
    Role(ProjectId, i64),
    /// What it was shared with is gone.
    Nobody,
}

impl With {
    const fn word(self) -> &'static str {
        match self {
            Self::Everyone => "global",
            Self::SignedIn => "authenticated",
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Project(_) => "project",
            Self::Role(..) => "projectRole",
            Self::Nobody => "project-unknown",
        }
    }
}

/// A row of `jira_filter_share`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    id: i64,
    rights: Rights,
    with: With,
}

impl Share {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let user = row.get::<Option<i64>>("user_id")?.map(UserId);
        let group = row.get::<Option<i64>>("group_id")?.map(GroupId);
        let project = row.get::<Option<i64>>("project_id")?.map(ProjectId);
        let role = row.get::<Option<i64>>("role_id")?;
        let with = match (row.get::<String>("share_type")?.as_str(), user, group, project, role) {
            ("global", ..) => With::Everyone,
            ("authenticated", ..) => With::SignedIn,
            ("user", Some(user), ..) => With::User(user),
            ("group", _, Some(group), ..) => With::Group(group),
            ("projectRole", _, _, Some(project), Some(role)) => With::Role(project, role),
            ("project", _, _, Some(project), _) => With::Project(project),
            _ => With::Nobody,
        };
        let rights = if row.get::<String>("rights")? == "edit" { Rights::Edit } else { Rights::View };
        Ok(Self { id: row.get("id")?, rights, with })
    }
}

/// The shares of these filters.
pub(crate) async fn shares_of<M: AnyMode>(
    tx: &mut Tx<M>,
    filters: &[i64],
) -> Result<HashMap<i64, Vec<Share>>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT id, filter_id, share_type, rights, user_id, group_id, project_id, role_id FROM jira_filter_share WHERE filter_id IN ",
    );
    sql.ids(filters).push(" ORDER BY id");
    let mut out: HashMap<i64, Vec<Share>> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        out.entry(row.get("filter_id")?).or_default().push(Share::of(&row)?);
    }
    Ok(out)
}

/// Shares as objects, by filter. A project the caller does not see is `project-unknown`; a group is shown to the filter's owner, to
/// its members and to those who may look groups up.
pub(crate) async fn shares_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    asker: &Asker,
    input: &Input,
    filters: &[(Filter, Vec<Share>)],
) -> Result<HashMap<i64, Vec<(Rights, Json)>>, StoreError> {
    let all = || filters.iter().flat_map(|(_, shares)| shares);
    let known = if all().any(|share| matches!(share.with, With::Project(_) | With::Role(..))) {
        known_projects(tx, asker).await?
    } else {
        Vec::new()
    };
    let mut projects: Vec<ProjectId> = Vec::new();
    let (mut users, mut roles) = (Vec::new(), Vec::new());
    for share in all() {
        match share.with {
            With::Project(project) => projects.push(project),
            With::Role(project, role) => {
                projects.push(project);
                roles.push(role);
            }
            With::User(user) => users.push(user),
            With::Everyone | With::SignedIn | With::Group(_) | With::Nobody => {}
        }
    }
    projects.retain(|project| known.binary_search(&project.0).is_ok());
    let projects = refs::projects(tx, &projects).await?;
    let people = wire::people(tx, &users).await?;
    let mut role_names: HashMap<i64, (String, String)> = HashMap::new();
    if !roles.is_empty() {
        let mut sql = SqlBuilder::new("SELECT id, name, description FROM jira_role WHERE id IN ");
        sql.ids(&roles);
        for row in tx.query(sql, &[]).await? {
            role_names.insert(row.get("id")?, (row.get("name")?, row.get("description")?));
        }
    }
    let (own_groups, picks) = (asker.groups(), asker.picks_users());
    let mut out = HashMap::new();
    for (filter, shares) in filters {
        let is_owner = asker.user == Some(filter.owner);
        let mut shown = Vec::with_capacity(shares.len());
        for share in shares {
            let mut json = Map::new();
            json.insert("id".into(), share.id.into());
            let kind = match share.with {
                With::Everyone => "global",
                With::SignedIn => "loggedin",
                With::User(user) => {
                    let Some(person) = people.get(&user) else { continue };
                    json.insert("user".into(), person.json(input));
                    "user"
                }
                With::Group(group) => {
                    if !(is_owner || picks || own_groups.contains(&group.0)) {
                        continue;
                    }
                    let Some((name, uuid)) = view.with(|snapshot| snapshot.group(group).cloned()) else { continue };
                    let link = input.api_url(&format!("/group?groupId={}", wire::encode_query(&uuid)));
                    json.insert("group".into(), json!({"name": name, "groupId": uuid, "self": link}));
                    "group"
                }
                With::Project(project) | With::Role(project, _) => match (projects.get(&project), share.with) {
                    (Some(found), With::Role(_, role)) => {
                        json.insert("project".into(), found.json(input));
                        if let Some((name, description)) = role_names.get(&role) {
                            let link = input.api_url(&format!("/project/{project}/role/{role}"));
                            json.insert(
                                "role".into(),
                                json!({"self": link, "id": role, "name": name, "description": description}),
                            );
                        }
                        "projectRole"
                    }
                    (Some(found), _) => {
                        json.insert("project".into(), found.json(input));
                        "project"
                    }
                    (None, _) => "project-unknown",
                },
                With::Nobody => "project-unknown",
            };
            json.insert("type".into(), kind.into());
            shown.push((share.rights, Json::Object(json)));
        }
        out.insert(filter.id, shown);
    }
    Ok(out)
}

/// A share that someone asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewShare {
    rights: Rights,
    with: With,
}

/// Reads the shares that a filter's body asks for, and checks that the caller may share like this.
pub(crate) async fn asked<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    asker: &Asker,
    body: &Json,
    rights: Rights,
) -> Result<Vec<NewShare>, Problem> {
    let items = match body {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        _ => return Err(payload()),
    };
    if items.len() > SHARES_MAX {
        return Err(refused(&format!("A filter must not have more than {SHARES_MAX} shares.")));
    }
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        out.push(NewShare { rights, with: with(tx, view, asker, item).await? });
    }
    Ok(out)
}

fn payload() -> Problem {
    Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.")
}

fn refused(message: &str) -> Problem {
    Problem::field("shares", message)
}

/// Reads whom to share with: members of their own (`projectId`) or objects (`project: {id}`).
async fn with<M: AnyMode>(tx: &mut Tx<M>, view: &View, asker: &Asker, item: &Json) -> Result<With, Problem> {
    if !view.may_global(GlobalPermission::CreateSharedObjects) {
        return Err(refused("You do not have permission to share. All shares are invalid."));
    }
    let inner = |object: &str, member: &str| item.get(object).and_then(|object| object.get(member)).cloned();
    let flat = |member: &str| item.get(member).cloned();
    let project = || flat("projectId").or_else(|| inner("project", "id")).as_ref().and_then(int_of);
    let kind = item.get("type").and_then(Json::as_str).ok_or_else(payload)?;
    Ok(match kind {
        "global" => With::Everyone,
        "authenticated" | "loggedin" => With::SignedIn,
        "user" => {
            let account = flat("accountId").or_else(|| inner("user", "accountId"));
            let found = account.as_ref().and_then(Json::as_str);
            let found = found.and_then(|account| view.with(|snapshot| snapshot.user_by_account_id(account)));
            With::User(found.ok_or_else(|| refused("The user to share with does not exist."))?)
        }
        "group" => {
            let id = flat("groupId").or_else(|| inner("group", "groupId"));
            let name = flat("groupname").or_else(|| inner("group", "name"));
            let (sql, text) = match (id.as_ref().and_then(Json::as_str), name.as_ref().and_then(Json::as_str)) {
                (Some(id), _) => ("SELECT id FROM account_group WHERE uuid = $1", id.to_owned()),
                (None, Some(name)) => ("SELECT id FROM account_group WHERE name_folded = $1", name.to_lowercase()),
                (None, None) => return Err(payload()),
            };
            if text.contains('\0') {
                return Err(payload());
            }
            let row = tx.query_opt(sql, &[text.as_str().into()]).await?;
            let found = row.map(|row| row.get::<i64>("id")).transpose()?;
            // One may share with groups one is in; others look as if they were not there.
            let found = found.filter(|group| asker.groups().contains(group) || asker.picks_users());
            With::Group(GroupId(found.ok_or_else(|| refused("The group to share with does not exist."))?))
        }
        "project" | "projectRole" => {
            let absent = || refused("The project to share with does not exist.");
            let id = project().ok_or_else(absent)?;
            if known_projects(tx, asker).await?.binary_search(&id).is_err() {
                return Err(absent());
            }
            let role = flat("projectRoleId").or_else(|| inner("role", "id")).as_ref().and_then(int_of);
            match (kind, role) {
                ("projectRole", None) => return Err(payload()),
                ("projectRole", Some(role)) => {
                    let sql = "SELECT id FROM jira_role WHERE id = $1 AND (project_id IS NULL OR project_id = $2)";
                    if tx.query_opt(sql, &[role.into(), id.into()]).await?.is_none() {
                        return Err(refused("The project role to share with does not exist."));
                    }
                    With::Role(ProjectId(id), role)
                }
                _ => With::Project(ProjectId(id)),
            }
        }
        _ => return Err(payload()),
    })
}

const INSERT: &str =
    "INSERT INTO jira_filter_share (filter_id, share_type, rights, user_id, group_id, project_id, role_id)
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Stores shares; sharing with everyone or with all signed-in people replaces what is there.
pub(crate) async fn add<M: Writes + AnyMode>(
    tx: &mut Tx<M>,
    filter: i64,
    shares: &[NewShare],
) -> Result<(), StoreError> {
    for share in shares {
        let (mut user, mut group, mut project, mut role) = (Value::Null, Value::Null, Value::Null, Value::Null);
        match share.with {
            With::Everyone | With::SignedIn => {
                tx.execute("DELETE FROM jira_filter_share WHERE filter_id = $1", &[filter.into()]).await?;
            }
            With::User(id) => user = id.0.into(),
            With::Group(id) => group = id.0.into(),
            With::Project(id) => project = id.0.into(),
            With::Role(id, of) => {
                project = id.0.into();
                role = of.into();
            }
            With::Nobody => continue,
        }
        let rights = if share.rights == Rights::Edit { "edit" } else { "view" };
        let row = [filter.into(), share.with.word().into(), rights.into(), user, group, project, role];
        tx.execute(INSERT, &row).await?;
    }
    Ok(())
}

/// Replaces the shares of one kind of rights.
pub(crate) async fn replace<M: Writes + AnyMode>(
    tx: &mut Tx<M>,
    filter: i64,
    rights: Rights,
    shares: &[NewShare],
) -> Result<(), StoreError> {
    let word = if rights == Rights::Edit { "edit" } else { "view" };
    let sql = "DELETE FROM jira_filter_share WHERE filter_id = $1 AND rights = $2";
    tx.execute(sql, &[filter.into(), word.into()]).await?;
    add(tx, filter, shares).await
}

/// Shares in a few words, for the audit log.
pub(crate) async fn summary<M: AnyMode>(tx: &mut Tx<M>, filter: i64) -> Result<Json, StoreError> {
    let shares = shares_of(tx, &[filter]).await?.remove(&filter).unwrap_or_default();
    Ok(shares
        .iter()
        .map(|share| {
            let target = match share.with {
                With::User(id) => Some(id.0),
                With::Group(id) => Some(id.0),
                With::Project(id) | With::Role(id, _) => Some(id.0),
                With::Everyone | With::SignedIn | With::Nobody => None,
            };
            json!({"type": share.with.word(), "target": target, "edit": share.rights == Rights::Edit})
        })
        .collect())
}

async fn all_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    asker: &Asker,
    input: &Input,
    filter: i64,
) -> Result<Vec<Json>, Problem> {
    let found = crate::filter::item::load(tx, &[filter]).await?.pop().ok_or_else(unavailable)?;
    let shares = shares_of(tx, &[filter]).await?.remove(&filter).unwrap_or_default();
    let mut json = shares_json(tx, view, asker, input, &[(found, shares)]).await?;
    Ok(json.remove(&filter).unwrap_or_default().into_iter().map(|(_, share)| share).collect())
}

fn absent() -> Problem {
    Problem::not_found("The share permission does not exist.")
}

async fn list(mut cx: Ctx<op::GetSharePermissions>, input: Input) -> Outcome<op::GetSharePermissions> {
    let (view, now, id) = (cx.view().clone(), cx.now(), cx.target().thing()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let shares = all_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.done(Reply::json(shares.into()))
}

async fn get(mut cx: Ctx<op::GetSharePermission>, input: Input) -> Outcome<op::GetSharePermission> {
    let (view, now, id) = (cx.view().clone(), cx.now(), cx.target().thing()?);
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let wanted = input.param("permissionId").parse::<i64>().ok();
    let shares = all_json(cx.tx(), &view, &asker, &input, id).await?;
    let found = shares.into_iter().find(|share| wanted.is_some() && share.get("id").and_then(Json::as_i64) == wanted);
    cx.done(Reply::json(found.ok_or_else(absent)?))
}

async fn share(mut cx: Ctx<op::AddSharePermission>, input: Input) -> Outcome<op::AddSharePermission> {
    let (view, now, id) = (cx.view().clone(), cx.now(), cx.target().thing()?);
    let body: Json = input.parse()?;
    let rights = match body.get("rights").and_then(int_of) {
        None | Some(1) => Rights::View,
        Some(3) => Rights::Edit,
        Some(_) => return Err(payload()),
    };
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let with = with(cx.tx(), &view, &asker, &body).await?;
    let before = summary(cx.tx(), id).await?;
    let has = shares_of(cx.tx(), &[id]).await?.remove(&id).unwrap_or_default();
    if has.len() >= SHARES_MAX {
        return Err(refused(&format!("A filter must not have more than {SHARES_MAX} shares.")));
    }
    if !has.iter().any(|share| share.with == with && share.rights == rights) {
        add(cx.tx(), id, &[NewShare { rights, with }]).await?;
    }
    let after = summary(cx.tx(), id).await?;
    let shares = all_json(cx.tx(), &view, &asker, &input, id).await?;
    cx.audit(format!("filter:{id}"), Some(before), Some(after));
    cx.done(Reply::created(shares.into()))
}

async fn unshare(mut cx: Ctx<op::DeleteSharePermission>, input: Input) -> Outcome<op::DeleteSharePermission> {
    let id = cx.target().thing()?;
    let share = input.param("permissionId").parse::<i64>().map_err(|_| absent())?;
    let before = summary(cx.tx(), id).await?;
    let sql = "DELETE FROM jira_filter_share WHERE filter_id = $1 AND id = $2";
    if cx.tx().execute(sql, &[id.into(), share.into()]).await? == 0 {
        return Err(absent());
    }
    let after = summary(cx.tx(), id).await?;
    cx.audit(format!("filter:{id}"), Some(before), Some(after));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(get);
    handlers.on(share);
    handlers.on(unshare);
}
