//! Global permissions and the groups that hold them.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::{GlobalPermission, Problem};
use serde_json::{Value as Json, json};

use crate::{group, wire};

async fn list(mut cx: Ctx<op::ManageListGlobalPermissions>, _: Input) -> Outcome<op::ManageListGlobalPermissions> {
    let sql = "SELECT p.permission, g.uuid, g.name
                 FROM account_global_grant p LEFT JOIN account_group g ON g.id = p.group_id
                ORDER BY g.name_folded {{c}} NULLS FIRST, p.id";
    let rows = cx.tx().query(sql, &[]).await?;
    let mut values = Vec::with_capacity(GlobalPermission::ALL.len());
    for permission in GlobalPermission::ALL {
        let mut groups: Vec<Json> = Vec::new();
        let mut anyone = false;
        for row in &rows {
            if row.get::<String>("permission")? != permission.key() {
                continue;
            }
            match (row.get::<Option<String>>("uuid")?, row.get::<Option<String>>("name")?) {
                (Some(uuid), Some(name)) => groups.push(json!({"groupId": uuid, "name": name})),
                _ => anyone = true,
            }
        }
        values.push(json!({
            "permission": permission.key(),
            "meaning": permission.meaning(),
            "anyone": anyone,
            "groups": groups,
        }));
    }
    cx.done(Reply::json(wire::whole(values)))
}

fn named(input: &Input) -> Result<GlobalPermission, Problem> {
    input.param("permission").parse().map_err(|_| Problem::not_found("There is no global permission with this key."))
}

async fn grant(mut cx: Ctx<op::ManageGrantGlobalPermission>, input: Input) -> Outcome<op::ManageGrantGlobalPermission> {
    let permission = named(&input)?;
    if permission == GlobalPermission::SystemAdmin {
        return Err(Problem::invalid("SYSTEM_ADMIN cannot be granted on a cloud site."));
    }
    let (group, name) = group::named(cx.tx(), input.param("groupId")).await?;
    let sql = "INSERT INTO account_global_grant (permission, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let added = cx.tx().execute(sql, &[permission.key().into(), group.0.into()]).await? > 0;
    let held = |held: bool| Some(json!({"group": name, "held": held}));
    cx.audit(format!("global_permission:{permission}"), held(!added), held(true));
    cx.changed(Entity::Group(group));
    cx.done(Reply::no_content())
}

async fn revoke(
    mut cx: Ctx<op::ManageRevokeGlobalPermission>,
    input: Input,
) -> Outcome<op::ManageRevokeGlobalPermission> {
    let permission = named(&input)?;
    let (group, name) = group::named(cx.tx(), input.param("groupId")).await?;
    let sql = "DELETE FROM account_global_grant WHERE permission = $1 AND group_id = $2";
    if cx.tx().execute(sql, &[permission.key().into(), group.0.into()]).await? == 0 {
        return Err(Problem::not_found("The group does not hold this permission."));
    }
    let held = |held: bool| Some(json!({"group": name, "held": held}));
    cx.audit(format!("global_permission:{permission}"), held(true), held(false));
    cx.changed(Entity::Group(group));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(grant);
    handlers.on(revoke);
}
