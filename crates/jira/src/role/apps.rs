//! The role of apps that may change things: in every project, with every project permission.
//!
//! Proposed once. What an administrator takes away, a permission of the role or an app in a project, no update gives back.

use portcullis_guard::{Entity, Policy, StoreError, Tx};
use portcullis_model::{ProjectId, ProjectPermission, SchemeId, UserId};

/// The role's name.
pub const ROLE: &str = "atlassian-addons-project-access";

/// Gives an app's account the role in every project, and in those made later. Names what changed.
///
/// # Errors
/// The database's.
pub async fn let_in(tx: &mut Tx<Policy>, user: UserId) -> Result<Vec<Entity>, StoreError> {
    let mut changed = Vec::new();
    let sql = "SELECT id FROM jira_role WHERE name_folded = $1 AND project_id IS NULL";
    let role: i64 = match tx.query_opt(sql, &[ROLE.into()]).await? {
        Some(row) => row.get("id")?,
        None => make(tx, &mut changed).await?,
    };
    let sql =
        "INSERT INTO jira_role_default_actor (role_id, user_id, group_id) VALUES ($1, $2, NULL) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[role.into(), user.0.into()]).await?;
    for row in tx.query("SELECT id FROM jira_project ORDER BY id", &[]).await? {
        let project: i64 = row.get("id")?;
        let sql = "INSERT INTO jira_role_actor (project_id, role_id, user_id, group_id) VALUES ($1, $2, $3, NULL)
                   ON CONFLICT DO NOTHING";
        tx.execute(sql, &[project.into(), role.into(), user.0.into()]).await?;
        changed.push(Entity::Project(ProjectId(project)));
    }
    Ok(changed)
}

/// Makes the role, with every project permission in every permission scheme there is.
async fn make(tx: &mut Tx<Policy>, changed: &mut Vec<Entity>) -> Result<i64, StoreError> {
    let sql =
        "INSERT INTO jira_role (name, name_folded, description, project_id) VALUES ($1, $1, $2, NULL) RETURNING id";
    let words = "A project role that represents Connect apps that may do more than read";
    let role: i64 = tx.query_one(sql, &[ROLE.into(), words.into()]).await?.get("id")?;
    for row in tx.query("SELECT id FROM jira_permission_scheme ORDER BY id", &[]).await? {
        let scheme: i64 = row.get("id")?;
        for permission in ProjectPermission::ALL {
            let sql = "INSERT INTO jira_permission_grant (scheme_id, permission, holder_type, role_id) VALUES ($1, $2, $3, $4)";
            tx.execute(sql, &[scheme.into(), permission.key().into(), "projectRole".into(), role.into()]).await?;
        }
        changed.push(Entity::Scheme(SchemeId(scheme)));
    }
    Ok(role)
}
