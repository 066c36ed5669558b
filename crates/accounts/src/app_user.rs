//! Accounts that apps act with. Nobody signs in with one; it is in groups like any other, and an administrator may take it out.

use portcullis_authz::policy::AccountKind;
use portcullis_guard::{Policy, StoreError, Tx, View};
use portcullis_model::{GlobalPermission, GroupId, Problem, UserId};

use crate::group;
use crate::user::{self, NewUser};

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

/// Lets an app's account administer Jira, by the group that every site has for such apps.
///
/// # Errors
/// 409 where the group does not have the permission: giving it back would raise the apps in it.
pub async fn let_administer(tx: &mut Tx<Policy>, user: UserId) -> Result<(), Problem> {
    let sql = "SELECT g.id FROM account_group g JOIN account_global_grant p ON p.group_id = g.id
                WHERE g.name_folded = $1 AND p.permission = $2";
    let params = [group::ADMINISTERING_APPS.into(), GlobalPermission::Administer.key().into()];
    let Some(row) = tx.query_opt(sql, &params).await? else {
        return Err(Problem::conflict(format!(
            "The app asks to administer Jira, and the group {} does not have that permission. Give it back to the group, then \
             try again.",
            group::ADMINISTERING_APPS
        )));
    };
    user::add_to_group(tx, user, GroupId(row.get("id")?)).await?;
    Ok(())
}

/// Lets an app's account work, or stops it. The caller names [`portcullis_guard::Entity::User`] as changed.
///
/// # Errors
/// The database's.
pub async fn set_active(tx: &mut Tx<Policy>, user: UserId, active: bool) -> Result<(), StoreError> {
    let sql = "UPDATE account_user SET active = $2 WHERE id = $1 AND kind = 'app'";
    tx.execute(sql, &[user.0.into(), active.into()]).await.map(|_| ())
}
