//! The role of apps that may change things: in every project, with every project permission. Every site begins with it.
//!
//! Given once. What an administrator takes away, a permission of the role or an app in a project, no update gives back.

use portcullis_guard::{Entity, Policy, StoreError, Tx};
use portcullis_model::{Problem, ProjectId, ProjectPermission, SchemeId, UserId};

use super::actors::{self, Added};
use super::defaults;
use crate::bootstrap::APPS_NAME;

/// Gives an app's account the role in every project, and in those made later. Names what changed.
///
/// # Errors
/// 400 where a project has actors in as many roles as it can.
pub async fn let_in(tx: &mut Tx<Policy>, user: UserId) -> Result<Vec<Entity>, Problem> {
    let mut changed = Vec::new();
    let sql = "SELECT id FROM jira_role WHERE name_folded = $1 AND project_id IS NULL";
    let role: i64 = match tx.query_opt(sql, &[APPS_NAME.into()]).await? {
        Some(row) => row.get("id")?,
        None => make_again(tx, &mut changed).await?,
    };
    let app = Added { users: vec![user], groups: Vec::new() };
    defaults::insert(tx, role, &app).await?;
    for row in tx.query("SELECT id FROM jira_project ORDER BY id", &[]).await? {
        let project = ProjectId(row.get("id")?);
        actors::insert(tx, project, role, &app).await?;
        changed.push(Entity::Project(project));
    }
    Ok(changed)
}

/// The role for a site whose administrators deleted it, with every project permission in every permission scheme there is.
async fn make_again(tx: &mut Tx<Policy>, changed: &mut Vec<Entity>) -> Result<i64, StoreError> {
    let sql =
        "INSERT INTO jira_role (name, name_folded, description, project_id) VALUES ($1, $1, $2, NULL) RETURNING id";
    let words = "A project role that represents Connect apps that may do more than read";
    let role: i64 = tx.query_one(sql, &[APPS_NAME.into(), words.into()]).await?.get("id")?;
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
