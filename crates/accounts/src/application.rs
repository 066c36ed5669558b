//! Applications of the site, and the groups whose members may use them.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::{group, wire};

async fn list(mut cx: Ctx<op::ManageListApplications>, _: Input) -> Outcome<op::ManageListApplications> {
    let sql = "SELECT a.application_key, g.uuid, g.name, a.is_default
                 FROM account_application_group a JOIN account_group g ON g.id = a.group_id
                ORDER BY g.name_folded {{c}}, g.id";
    let groups = cx.tx().query(sql, &[]).await?;
    let sql = "SELECT a.application_key, count(DISTINCT m.user_id) AS n
                 FROM account_application_group a
                 JOIN account_membership m ON m.group_id = a.group_id
                 JOIN account_user u ON u.id = m.user_id AND u.active = 1 AND u.kind <> 'app'
                GROUP BY a.application_key";
    let users = cx.tx().query(sql, &[]).await?;
    let applications = cx.tx().query("SELECT key, name FROM account_application ORDER BY position", &[]).await?;
    let mut values = Vec::with_capacity(applications.len());
    for application in &applications {
        let key: String = application.get("key")?;
        let mut own: Vec<Json> = Vec::new();
        for row in &groups {
            if row.get::<String>("application_key")? == key {
                own.push(json!({
                    "groupId": row.get::<String>("uuid")?,
                    "name": row.get::<String>("name")?,
                    "default": row.get::<bool>("is_default")?,
                }));
            }
        }
        let mut count = 0;
        for row in &users {
            if row.get::<String>("application_key")? == key {
                count = row.get("n")?;
            }
        }
        let name = application.get::<String>("name")?;
        values.push(json!({"key": key, "name": name, "groups": own, "users": count}));
    }
    cx.done(Reply::json(wire::whole(values)))
}

/// The application's key, as stored.
async fn named<M: AnyMode>(tx: &mut Tx<M>, key: &str) -> Result<String, Problem> {
    let row =
        tx.query_opt("SELECT key FROM account_application WHERE key = $1", &[wire::comparable(key).into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no application with this key."))?;
    Ok(row.get("key")?)
}

async fn add_group(mut cx: Ctx<op::ManageAddApplicationGroup>, input: Input) -> Outcome<op::ManageAddApplicationGroup> {
    let key = named(cx.tx(), input.param("applicationKey")).await?;
    let (group, name) = group::named(cx.tx(), input.param("groupId")).await?;
    let is_default = match input.json().get("default") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(is_default)) => *is_default,
        Some(_) => return Err(Problem::field("default", "default must be true or false.")),
    };
    let sql = "INSERT INTO account_application_group (application_key, group_id, is_default) VALUES ($1, $2, $3)
               ON CONFLICT (application_key, group_id) DO UPDATE SET is_default = excluded.is_default";
    cx.tx().execute(sql, &[key.as_str().into(), group.0.into(), is_default.into()]).await?;
    cx.audit(format!("application:{key}"), None, Some(json!({"group": name, "default": is_default})));
    cx.changed(Entity::Group(group));
    cx.done(Reply::no_content())
}

async fn remove_group(
    mut cx: Ctx<op::ManageRemoveApplicationGroup>,
    input: Input,
) -> Outcome<op::ManageRemoveApplicationGroup> {
    let key = named(cx.tx(), input.param("applicationKey")).await?;
    let (group, name) = group::named(cx.tx(), input.param("groupId")).await?;
    let sql = "DELETE FROM account_application_group WHERE application_key = $1 AND group_id = $2";
    if cx.tx().execute(sql, &[key.as_str().into(), group.0.into()]).await? == 0 {
        return Err(Problem::not_found("The group does not give access to this application."));
    }
    cx.audit(format!("application:{key}"), Some(json!({"group": name})), None);
    cx.changed(Entity::Group(group));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(add_group);
    handlers.on(remove_group);
}
