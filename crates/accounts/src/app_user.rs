//! Accounts that apps act with. Nobody signs in with one; it is in groups like any other, and an administrator may take it out.

use portcullis_authz::policy::AccountKind;
use portcullis_guard::{Entity, Policy, StoreError, Tx, View};
use portcullis_model::{GroupId, Problem, UserId};

use crate::group;
use crate::user::{self, NewUser};

/// The group of apps that administer Jira.
pub const ADMINISTERING_APPS: &str = "atlassian-addons-admin";

/// Makes an app's account.
///
/// # Errors
/// The database's.
pub async fn make(tx: &mut Tx<Policy>, view: &View, name: &str) -> Result<UserId, Problem> {
    let new = NewUser {
        email: None,
        display_name: name.to_owned(),
        kind: AccountKind::App,
        time_zone: None,
        locale: None,
        password_hash: None,
    };
    Ok(user::create(tx, new, view.now(), view.entropy()).await?.0)
}

/// Puts an app's account into the default groups of every application, so that it sees what every user sees.
///
/// # Errors
/// The database's.
pub async fn let_in(tx: &mut Tx<Policy>, user: UserId) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT group_id FROM account_application_group WHERE is_default = 1";
    for row in tx.query(sql, &[]).await? {
        user::add_to_group(tx, user, GroupId(row.get("group_id")?)).await?;
    }
    Ok(())
}

/// Lets an app's account administer Jira. Names the group when it is made.
///
/// # Errors
/// 409 where the group of apps that administer is there without the permission: giving it back would raise the apps in it.
pub async fn let_administer(tx: &mut Tx<Policy>, view: &View, user: UserId) -> Result<Option<Entity>, Problem> {
    let sql = "SELECT g.id, (SELECT count(*) FROM account_global_grant p
                              WHERE p.group_id = g.id AND p.permission = 'ADMINISTER') AS grants
                 FROM account_group g WHERE g.name_folded = $1";
    let (id, made) = match tx.query_opt(sql, &[ADMINISTERING_APPS.into()]).await? {
        Some(row) if row.get::<i64>("grants")? > 0 => (GroupId(row.get("id")?), None),
        Some(_) => {
            return Err(Problem::conflict(format!(
                "The app asks to administer Jira, and the group {ADMINISTERING_APPS} does not have that permission. Give it back to the \
                 group or delete the group, then try again."
            )));
        }
        None => {
            let (id, _) = group::create(tx, ADMINISTERING_APPS, view.entropy()).await?;
            let sql = "INSERT INTO account_global_grant (permission, group_id) VALUES ('ADMINISTER', $1)";
            tx.execute(sql, &[id.0.into()]).await?;
            (id, Some(Entity::Group(id)))
        }
    };
    user::add_to_group(tx, user, id).await?;
    Ok(made)
}

/// Lets an app's account work, or stops it. The caller names [`Entity::User`] as changed.
///
/// # Errors
/// The database's.
pub async fn set_active(tx: &mut Tx<Policy>, user: UserId, active: bool) -> Result<(), StoreError> {
    let sql = "UPDATE account_user SET active = $2 WHERE id = $1 AND kind = 'app'";
    tx.execute(sql, &[user.0.into(), active.into()]).await.map(|_| ())
}
