//! Groups and who is in them.

use portcullis_authz::op;
use portcullis_crypto::Entropy;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, Writes};
use portcullis_model::{GroupId, Problem};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::user;
use crate::wire::{self, Paging};

const NAME_CHARS_MAX: usize = 255;

/// The group of every app's account.
pub(crate) const APPS: &str = "atlassian-addons";
/// The group of accounts of apps that administer Jira.
pub(crate) const ADMINISTERING_APPS: &str = "atlassian-addons-admin";

/// Makes a group without members; its id and `groupId`. The caller names [`Entity::Group`] as changed.
///
/// # Errors
/// 400 for a name that is none, 409 for one that is taken (in any case of letters).
pub async fn create<M: Writes>(
    tx: &mut Tx<M>,
    name: &str,
    entropy: &dyn Entropy,
) -> Result<(GroupId, String), Problem> {
    let name = wire::line("name", name, NAME_CHARS_MAX)?;
    let sql = "SELECT id FROM account_group WHERE name_folded = $1";
    if tx.query_opt(sql, &[name.to_lowercase().into()]).await?.is_some() {
        return Err(Problem::conflict("There is a group with this name already."));
    }
    Ok(insert(tx, &name, false, entropy).await?)
}

pub(crate) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    name: &str,
    site_admin: bool,
    entropy: &dyn Entropy,
) -> Result<(GroupId, String), StoreError> {
    let uuid = entropy.uuid();
    let sql = "INSERT INTO account_group (uuid, name, name_folded, site_admin) VALUES ($1, $2, $3, $4) RETURNING id";
    let params = [uuid.as_str().into(), name.into(), name.to_lowercase().into(), site_admin.into()];
    let id = tx.query_one(sql, &params).await?.get("id")?;
    Ok((GroupId(id), uuid))
}

/// The group with this `groupId`, and its name.
pub(crate) async fn named<M: AnyMode>(tx: &mut Tx<M>, uuid: &str) -> Result<(GroupId, String), Problem> {
    let sql = "SELECT id, name FROM account_group WHERE uuid = $1";
    match tx.query_opt(sql, &[wire::comparable(uuid).into()]).await? {
        Some(row) => Ok((GroupId(row.get("id")?), row.get("name")?)),
        None => Err(Problem::not_found("There is no group with this id.")),
    }
}

async fn list(mut cx: Ctx<op::ManageListGroups>, input: Input) -> Outcome<op::ManageListGroups> {
    let paging = Paging::of(&input)?;
    let pattern = wire::contains_pattern(input.query("query").unwrap_or_default().trim());
    let sql = "SELECT count(*) AS n FROM account_group WHERE name_folded LIKE $1 ESCAPE '!'";
    let total = cx.tx().query_one(sql, &[pattern.as_str().into()]).await?.get("n")?;
    let sql = "SELECT g.id, g.uuid, g.name, g.site_admin,
                      (SELECT count(*) FROM account_membership m WHERE m.group_id = g.id) AS members
                 FROM account_group g WHERE g.name_folded LIKE $1 ESCAPE '!'
                ORDER BY g.name_folded {{c}}, g.id LIMIT $2 OFFSET $3";
    let rows = cx.tx().query(sql, &[pattern.into(), paging.max_results.into(), paging.start_at.into()]).await?;
    let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, _>>()?;
    let mut sql = SqlBuilder::new("SELECT group_id, application_key FROM account_application_group WHERE group_id IN ");
    sql.ids(&ids).push(" ORDER BY application_key {{c}}");
    let applications = cx.tx().query(sql, &[]).await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: i64 = row.get("id")?;
        let mut keys: Vec<String> = Vec::new();
        for application in &applications {
            if application.get::<i64>("group_id")? == id {
                keys.push(application.get("application_key")?);
            }
        }
        values.push(json!({
            "groupId": row.get::<String>("uuid")?,
            "name": row.get::<String>("name")?,
            "siteAdmin": row.get::<bool>("site_admin")?,
            "members": row.get::<i64>("members")?,
            "applications": keys,
        }));
    }
    cx.done(Reply::json(paging.page(total, values)))
}

#[derive(Deserialize)]
struct CreateBody {
    name: String,
}

async fn create_one(mut cx: Ctx<op::ManageCreateGroup>, input: Input) -> Outcome<op::ManageCreateGroup> {
    let view = cx.view().clone();
    let body: CreateBody = input.parse()?;
    let (group, uuid) = create(cx.tx(), &body.name, view.entropy()).await?;
    let json = json!({"groupId": uuid, "name": body.name.trim(), "siteAdmin": false, "members": 0, "applications": []});
    cx.audit(format!("group:{uuid}"), None, Some(json.clone()));
    cx.changed(Entity::Group(group));
    cx.done(Reply::created(json))
}

/// Places outside this crate that name groups: what they are called, and how many of them name `$1`. Ours go with the group;
/// those are not ours to change, and dropping a restriction silently would show what it hides.
const USES: [(&str, &str); 8] = [
    ("grants of permission schemes", "SELECT count(*) AS n FROM jira_permission_grant WHERE group_id = $1"),
    ("members of security levels", "SELECT count(*) AS n FROM jira_security_member WHERE group_id = $1"),
    ("role actors in projects", "SELECT count(*) AS n FROM jira_role_actor WHERE group_id = $1"),
    ("default role actors", "SELECT count(*) AS n FROM jira_role_default_actor WHERE group_id = $1"),
    ("shares of filters", "SELECT count(*) AS n FROM jira_filter_share WHERE group_id = $1"),
    ("restricted comments", "SELECT count(*) AS n FROM jira_comment WHERE group_id = $1"),
    ("restricted worklogs", "SELECT count(*) AS n FROM jira_worklog WHERE group_id = $1"),
    ("fields of issues", "SELECT count(*) AS n FROM jira_issue_value WHERE group_id = $1"),
];

/// Groups that the product itself relies on.
const BUILT_IN: [&str; 2] = [APPS, ADMINISTERING_APPS];

async fn delete(mut cx: Ctx<op::ManageDeleteGroup>, input: Input) -> Outcome<op::ManageDeleteGroup> {
    let (group, name) = named(cx.tx(), input.param("groupId")).await?;
    let members = remove(cx.tx(), group, &name).await?;
    let target = format!("group:{}", input.param("groupId"));
    cx.audit(target, Some(json!({"name": name, "members": members})), None);
    // Members, the group and what it gave: everything is read again rather than each of very many members.
    cx.changed(Entity::Everything);
    cx.done(Reply::no_content())
}

/// Deletes a group that nothing names any more; says how many members it had.
pub(crate) async fn remove<M: Writes>(tx: &mut Tx<M>, group: GroupId, name: &str) -> Result<usize, Problem> {
    if BUILT_IN.contains(&name) {
        return Err(Problem::conflict("Apps need this group; it cannot be deleted."));
    }
    let mut uses = Vec::new();
    for (what, sql) in USES {
        let n: i64 = tx.query_one(sql, &[group.0.into()]).await?.get("n")?;
        if n > 0 {
            uses.push(format!("{n} {what}"));
        }
    }
    if !uses.is_empty() {
        return Err(Problem::conflict(format!("The group is still named by {}. Change those first.", uses.join(", "))));
    }
    let sql = "DELETE FROM account_membership WHERE group_id = $1 RETURNING user_id";
    let members = tx.query(sql, &[group.0.into()]).await?;
    tx.execute("DELETE FROM account_application_group WHERE group_id = $1", &[group.0.into()]).await?;
    tx.execute("DELETE FROM account_global_grant WHERE group_id = $1", &[group.0.into()]).await?;
    tx.execute("DELETE FROM account_group WHERE id = $1", &[group.0.into()]).await?;
    user::keep_an_administrator(tx).await?;
    Ok(members.len())
}

async fn members(mut cx: Ctx<op::ManageListGroupMembers>, input: Input) -> Outcome<op::ManageListGroupMembers> {
    let paging = Paging::of(&input)?;
    let (group, _) = named(cx.tx(), input.param("groupId")).await?;
    let sql = "SELECT count(*) AS n FROM account_membership WHERE group_id = $1";
    let total = cx.tx().query_one(sql, &[group.0.into()]).await?.get("n")?;
    let sql = "SELECT u.account_id, u.kind, u.display_name, u.email, u.active
                 FROM account_membership m JOIN account_user u ON u.id = m.user_id WHERE m.group_id = $1
                ORDER BY u.name_folded {{c}}, u.id LIMIT $2 OFFSET $3";
    let rows = cx.tx().query(sql, &[group.0.into(), paging.max_results.into(), paging.start_at.into()]).await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut member = json!({
            "accountId": row.get::<String>("account_id")?,
            "kind": row.get::<String>("kind")?,
            "displayName": row.get::<String>("display_name")?,
            "active": row.get::<bool>("active")?,
        });
        if let (Some(email), Some(out)) = (row.get::<Option<String>>("email")?, member.as_object_mut()) {
            out.insert("emailAddress".into(), email.into());
        }
        values.push(member);
    }
    cx.done(Reply::json(paging.page(total, values)))
}

async fn add_member(mut cx: Ctx<op::ManageAddGroupMember>, input: Input) -> Outcome<op::ManageAddGroupMember> {
    let user = user::named(cx.view(), input.param("accountId"))?;
    let (group, name) = named(cx.tx(), input.param("groupId")).await?;
    let added = user::add_to_group(cx.tx(), user, group).await?;
    cx.audit(target(&input), membership(&name, !added), membership(&name, true));
    cx.changed(Entity::User(user));
    cx.done(Reply::no_content())
}

async fn remove_member(mut cx: Ctx<op::ManageRemoveGroupMember>, input: Input) -> Outcome<op::ManageRemoveGroupMember> {
    let user = user::named(cx.view(), input.param("accountId"))?;
    let (group, name) = named(cx.tx(), input.param("groupId")).await?;
    if !user::remove_from_group(cx.tx(), user, group).await? {
        return Err(Problem::not_found("The account is not in this group."));
    }
    user::keep_an_administrator(cx.tx()).await?;
    cx.audit(target(&input), membership(&name, true), membership(&name, false));
    cx.changed(Entity::User(user));
    cx.done(Reply::no_content())
}

fn target(input: &Input) -> String {
    format!("user:{}", input.param("accountId"))
}

pub(crate) fn membership(group: &str, member: bool) -> Option<Json> {
    Some(json!({"group": group, "member": member}))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create_one);
    handlers.on(delete);
    handlers.on(members);
    handlers.on(add_member);
    handlers.on(remove_member);
}
