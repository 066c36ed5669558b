//! What a new site starts with: the application, the groups that Jira makes, their global permissions, the site's name.

use portcullis_crypto::Entropy;
use portcullis_guard::{Policy, StoreError, Tx};
use portcullis_model::{GlobalPermission, GroupId, Timestamp};
use serde_json::json;

use crate::{group, settings};

/// The application that gives access to Jira.
pub const JIRA_SOFTWARE: &str = "jira-software";

/// The groups of a new site.
#[derive(Clone, Copy, Debug)]
pub struct Base {
    /// `site-admins`: administer people and groups, and Jira too for those with access to it.
    pub site_admins: GroupId,
    /// `jira-administrators`: administer Jira.
    pub jira_administrators: GroupId,
    /// `jira-software-users`: have access to Jira; where new people are put.
    pub jira_software_users: GroupId,
    /// `atlassian-addons`: every app's user.
    pub addons: GroupId,
    /// `atlassian-addons-admin`: users of apps that administer Jira.
    pub addons_admin: GroupId,
}

/// Applications: key, name, position in the engine's set.
const APPLICATIONS: [(&str, &str, i64); 1] = [(JIRA_SOFTWARE, "Jira", 0)];

/// What administrators and people hold for the whole site on a new site.
const FOR_USERS: [GlobalPermission; 4] = [
    GlobalPermission::UserPicker,
    GlobalPermission::CreateSharedObjects,
    GlobalPermission::ManageGroupFilterSubscriptions,
    GlobalPermission::BulkChange,
];

/// Fills an empty database. The caller commits, with [`portcullis_guard::Entity::Everything`] changed.
///
/// # Errors
/// The database's; a second run on the same database meets its unique names.
pub async fn site(
    tx: &mut Tx<Policy>,
    site_name: &str,
    cloud_id: &str,
    _now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Base, StoreError> {
    for (key, name, position) in APPLICATIONS {
        let sql = "INSERT INTO account_application (key, name, position) VALUES ($1, $2, $3)";
        tx.execute(sql, &[key.into(), name.into(), position.into()]).await?;
    }
    let base = Base {
        site_admins: group::insert(tx, "site-admins", true, entropy).await?.0,
        jira_administrators: group::insert(tx, "jira-administrators", false, entropy).await?.0,
        jira_software_users: group::insert(tx, "jira-software-users", false, entropy).await?.0,
        addons: group::insert(tx, group::APPS, false, entropy).await?.0,
        addons_admin: group::insert(tx, group::ADMINISTERING_APPS, false, entropy).await?.0,
    };
    let sql = "INSERT INTO account_application_group (application_key, group_id, is_default) VALUES ($1, $2, 1)";
    tx.execute(sql, &[JIRA_SOFTWARE.into(), base.jira_software_users.0.into()]).await?;

    for group in [base.site_admins, base.jira_administrators, base.addons_admin] {
        grant(tx, group, GlobalPermission::Administer).await?;
        for permission in FOR_USERS {
            grant(tx, group, permission).await?;
        }
    }
    for permission in FOR_USERS {
        grant(tx, base.jira_software_users, permission).await?;
    }
    grant(tx, base.jira_software_users, GlobalPermission::CreateProject).await?;

    settings::store(tx, settings::SITE_NAME, &json!(site_name)).await?;
    settings::store(tx, settings::SITE_CLOUD_ID, &json!(cloud_id)).await?;
    Ok(base)
}

async fn grant(tx: &mut Tx<Policy>, group: GroupId, permission: GlobalPermission) -> Result<(), StoreError> {
    let sql = "INSERT INTO account_global_grant (permission, group_id) VALUES ($1, $2)";
    tx.execute(sql, &[permission.key().into(), group.0.into()]).await.map(drop)
}
