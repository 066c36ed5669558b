//! `/permissionscheme/{schemeId}/permission`: single grants of a scheme.

use portcullis_authz::op;
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::{Problem, ProjectPermission, SchemeId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::holder::{self, COLUMNS, Details, Expand, Holder, JOINS};
use super::scheme::named;

/// A grant as clients send it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GrantBody {
    holder: Option<holder::Body>,
    permission: Option<String>,
}

/// Adds a grant and returns its id.
///
/// # Errors
/// 400 for an unknown permission or holder, and for a grant that is there already; the database's.
pub(super) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    scheme: SchemeId,
    body: &GrantBody,
) -> Result<i64, Problem> {
    let key = body.permission.as_deref().unwrap_or_default();
    let permission: ProjectPermission =
        key.parse().map_err(|_| Problem::invalid(format!("Invalid permission key '{key}'.")))?;
    let holder = body.holder.as_ref().ok_or_else(|| Problem::invalid("The holder must be specified."))?;
    let holder = Holder::parse(tx, view, holder).await?;
    let sql = "
        INSERT INTO jira_permission_grant
               (scheme_id, permission, holder_type, user_id, group_id, role_id, field_id, application_key)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id";
    let mut params = vec![scheme.0.into(), permission.key().into()];
    params.extend(holder.values());
    let Some(row) = tx.query_opt(sql, &params).await? else {
        return Err(Problem::invalid(format!(
            "The permission '{permission}' is granted to this holder of type '{}' already.",
            holder.kind
        )));
    };
    Ok(row.get("id")?)
}

async fn rows<M: AnyMode>(tx: &mut Tx<M>, scheme: SchemeId, only: Option<i64>) -> Result<Vec<Row>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT h.permission, ");
    sql.push(COLUMNS).push(" FROM jira_permission_grant h").push(JOINS).push("WHERE h.scheme_id = ").bind(scheme.0);
    if let Some(id) = only {
        sql.push(" AND h.id = ").bind(id);
    }
    sql.push(" ORDER BY h.id");
    tx.query(sql, &[]).await
}

fn grant_json(row: &Row, details: &Details, input: &Input) -> Result<Json, StoreError> {
    let id: i64 = row.get("id")?;
    Ok(json!({
        "id": id,
        "self": input.api_url(&format!("/permissionscheme/permission/{id}")),
        "holder": details.json(row, input)?,
        "permission": row.get::<String>("permission")?,
    }))
}

/// The grants of a scheme, in the order in which they were made.
pub(super) async fn list_json<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: SchemeId,
    input: &Input,
) -> Result<Vec<Json>, StoreError> {
    let rows = rows(tx, scheme, None).await?;
    let details = Details::load(tx, &rows, Expand::of(input)).await?;
    rows.iter().map(|row| grant_json(row, &details, input)).collect()
}

async fn one_json<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: SchemeId,
    id: i64,
    input: &Input,
) -> Result<Option<Json>, StoreError> {
    let rows = rows(tx, scheme, Some(id)).await?;
    let details = Details::load(tx, &rows, Expand::of(input)).await?;
    rows.first().map(|row| grant_json(row, &details, input)).transpose()
}

async fn list(mut cx: Ctx<op::GetPermissionSchemeGrants>, input: Input) -> Outcome<op::GetPermissionSchemeGrants> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    let grants = list_json(cx.tx(), scheme.id, &input).await?;
    cx.done(Reply::json(json!({"permissions": grants, "expand": "user,group,projectRole,field,all"})))
}

fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("Permission grant with ID {text} does not exist in this permission scheme."))
}

async fn get(mut cx: Ctx<op::GetPermissionSchemeGrant>, input: Input) -> Outcome<op::GetPermissionSchemeGrant> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    let text = input.param("permissionId");
    let id = text.parse::<i64>().map_err(|_| unknown(text))?;
    let json = one_json(cx.tx(), scheme.id, id, &input).await?.ok_or_else(|| unknown(text))?;
    cx.done(Reply::json(json))
}

async fn create(mut cx: Ctx<op::CreatePermissionGrant>, input: Input) -> Outcome<op::CreatePermissionGrant> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    let body: GrantBody = input.parse()?;
    let id = insert(cx.tx(), &view, scheme.id, &body).await?;
    let json =
        one_json(cx.tx(), scheme.id, id, &input).await?.ok_or_else(|| Problem::bug("new grant without a row"))?;
    cx.audit(format!("permission_scheme:{}/grant:{id}", scheme.id), None, Some(json.clone()));
    cx.changed(Entity::Scheme(scheme.id));
    cx.done(Reply::created(json))
}

async fn delete(
    mut cx: Ctx<op::DeletePermissionSchemeEntity>,
    input: Input,
) -> Outcome<op::DeletePermissionSchemeEntity> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    let text = input.param("permissionId");
    let id = text.parse::<i64>().map_err(|_| unknown(text))?;
    let before = one_json(cx.tx(), scheme.id, id, &input).await?.ok_or_else(|| unknown(text))?;
    cx.tx().execute("DELETE FROM jira_permission_grant WHERE id = $1", &[id.into()]).await?;
    cx.audit(format!("permission_scheme:{}/grant:{id}", scheme.id), Some(before), None);
    cx.changed(Entity::Scheme(scheme.id));
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(get);
    handlers.on(create);
    handlers.on(delete);
}
