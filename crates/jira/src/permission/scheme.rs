//! `/permissionscheme`: permission schemes as a whole.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Row, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectId, SchemeId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::grant::{self, GrantBody};
use crate::bootstrap::DEFAULT_SCHEME;
use crate::project;
use crate::text::{bounded, fold};

/// Grants that one body may hold.
const GRANTS_MAX: usize = 2000;

/// A scheme's row.
#[derive(Clone, Debug)]
pub(super) struct Scheme {
    pub id: SchemeId,
    pub name: String,
    pub description: String,
    /// The team-managed project it belongs to.
    pub project: Option<ProjectId>,
}

impl Scheme {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: SchemeId(row.get("id")?),
            name: row.get("name")?,
            description: row.get("description")?,
            project: row.get::<Option<i64>>("project_id")?.map(ProjectId),
        })
    }

    /// Whether the caller may know of it: a scheme of one project shows that the project exists.
    async fn is_seen<M: AnyMode>(&self, tx: &mut Tx<M>, view: &View) -> Result<bool, StoreError> {
        match self.project {
            None => Ok(true),
            Some(project) => Ok(project::visible(tx, view).await?.contains(&project)),
        }
    }
}

/// The scheme that the path names, if the caller may know of it.
pub(super) async fn named<M: AnyMode>(tx: &mut Tx<M>, view: &View, input: &Input) -> Result<Scheme, Problem> {
    let text = input.param("schemeId");
    let unknown = || Problem::not_found(format!("Permission scheme with ID {text} does not exist."));
    let id = text.parse::<i64>().map_err(|_| unknown())?;
    let scheme = load(tx, SchemeId(id)).await?.ok_or_else(unknown)?;
    if scheme.is_seen(tx, view).await? { Ok(scheme) } else { Err(unknown()) }
}

pub(super) async fn load<M: AnyMode>(tx: &mut Tx<M>, id: SchemeId) -> Result<Option<Scheme>, StoreError> {
    let sql = "SELECT id, name, description, project_id FROM jira_permission_scheme WHERE id = $1";
    tx.query_opt(sql, &[id.0.into()]).await?.as_ref().map(Scheme::of).transpose()
}

/// The scheme object; grants when `expand` names them or anything of them.
pub(super) async fn scheme_json<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: &Scheme,
    input: &Input,
) -> Result<Json, StoreError> {
    let expand = input.query_list("expand");
    let wanted =
        expand.iter().any(|what| ["permissions", "user", "group", "projectRole", "field", "all"].contains(what));
    shown_json(tx, scheme, wanted, input).await
}

async fn shown_json<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: &Scheme,
    with_grants: bool,
    input: &Input,
) -> Result<Json, StoreError> {
    let mut out = Map::new();
    out.insert("expand".into(), "permissions,user,group,projectRole,field,all".into());
    out.insert("self".into(), input.api_url(&format!("/permissionscheme/{}", scheme.id)).into());
    out.insert("id".into(), scheme.id.0.into());
    out.insert("name".into(), scheme.name.clone().into());
    out.insert("description".into(), scheme.description.clone().into());
    if let Some(project) = scheme.project {
        out.insert("scope".into(), json!({"type": "PROJECT", "project": {"id": project.to_string()}}));
    }
    if with_grants {
        out.insert("permissions".into(), Json::Array(grant::list_json(tx, scheme.id, input).await?));
    }
    Ok(Json::Object(out))
}

/// What the audit log keeps: names and who holds what.
pub(super) async fn audit_json<M: AnyMode>(tx: &mut Tx<M>, scheme: &Scheme, input: &Input) -> Result<Json, StoreError> {
    let grants = grant::list_json(tx, scheme.id, input).await?;
    Ok(json!({"name": scheme.name, "description": scheme.description, "permissions": grants}))
}

async fn all(mut cx: Ctx<op::GetAllPermissionSchemes>, input: Input) -> Outcome<op::GetAllPermissionSchemes> {
    let view = cx.view().clone();
    let sql = "SELECT id, name, description, project_id FROM jira_permission_scheme ORDER BY id";
    let mut out = Vec::new();
    for row in cx.tx().query(sql, &[]).await? {
        let scheme = Scheme::of(&row)?;
        if scheme.is_seen(cx.tx(), &view).await? {
            out.push(scheme_json(cx.tx(), &scheme, &input).await?);
        }
    }
    cx.done(Reply::json(json!({"permissionSchemes": out})))
}

async fn get(mut cx: Ctx<op::GetPermissionScheme>, input: Input) -> Outcome<op::GetPermissionScheme> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    // The read of one scheme has its grants unasked.
    let json = shown_json(cx.tx(), &scheme, true, &input).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    description: Option<String>,
    permissions: Option<Vec<GrantBody>>,
}

async fn create(mut cx: Ctx<op::CreatePermissionScheme>, input: Input) -> Outcome<op::CreatePermissionScheme> {
    let view = cx.view().clone();
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), None).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 4000)?;
    let sql = "INSERT INTO jira_permission_scheme (name, name_folded, description) VALUES ($1, $2, $3) RETURNING id";
    let params = [name.as_str().into(), fold(&name).into(), description.as_str().into()];
    let id = SchemeId(cx.tx().query_one(sql, &params).await?.get("id")?);
    insert_grants(cx.tx(), &view, id, &body.permissions.unwrap_or_default()).await?;
    let scheme = Scheme { id, name, description, project: None };
    let after = audit_json(cx.tx(), &scheme, &input).await?;
    cx.audit(format!("permission_scheme:{id}"), None, Some(after));
    cx.changed(Entity::Scheme(id));
    let json = scheme_json(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::created(json))
}

/// Grants in the body replace all that the scheme has.
async fn update(mut cx: Ctx<op::UpdatePermissionScheme>, input: Input) -> Outcome<op::UpdatePermissionScheme> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    let body: Body = input.parse()?;
    let before = audit_json(cx.tx(), &scheme, &input).await?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), Some(scheme.id)).await?;
    let description = body.description.unwrap_or_else(|| scheme.description.clone());
    bounded("description", &description, 4000)?;
    let sql = "UPDATE jira_permission_scheme SET name = $2, name_folded = $3, description = $4 WHERE id = $1";
    let params = [scheme.id.0.into(), name.as_str().into(), fold(&name).into(), description.as_str().into()];
    cx.tx().execute(sql, &params).await?;
    if let Some(grants) = &body.permissions {
        cx.tx().execute("DELETE FROM jira_permission_grant WHERE scheme_id = $1", &[scheme.id.0.into()]).await?;
        insert_grants(cx.tx(), &view, scheme.id, grants).await?;
    }
    let scheme = Scheme { name, description, ..scheme };
    let after = audit_json(cx.tx(), &scheme, &input).await?;
    cx.audit(format!("permission_scheme:{}", scheme.id), Some(before), Some(after));
    cx.changed(Entity::Scheme(scheme.id));
    let json = scheme_json(cx.tx(), &scheme, &input).await?;
    cx.done(Reply::json(json))
}

async fn insert_grants<M: portcullis_guard::Writes>(
    tx: &mut Tx<M>,
    view: &View,
    scheme: SchemeId,
    grants: &[GrantBody],
) -> Result<(), Problem> {
    if grants.len() > GRANTS_MAX {
        return Err(Problem::invalid(format!("A permission scheme can be given at most {GRANTS_MAX} grants at once.")));
    }
    for body in grants {
        grant::insert(tx, view, scheme, body).await?;
    }
    Ok(())
}

async fn delete(mut cx: Ctx<op::DeletePermissionScheme>, input: Input) -> Outcome<op::DeletePermissionScheme> {
    let view = cx.view().clone();
    let scheme = named(cx.tx(), &view, &input).await?;
    if scheme.id == DEFAULT_SCHEME {
        return Err(Problem::invalid("The default permission scheme cannot be deleted."));
    }
    let sql = "SELECT id FROM jira_project WHERE permission_scheme_id = $1 LIMIT 1";
    if cx.tx().query_opt(sql, &[scheme.id.0.into()]).await?.is_some() {
        return Err(Problem::invalid("The permission scheme is used by projects and cannot be deleted."));
    }
    let before = audit_json(cx.tx(), &scheme, &input).await?;
    cx.tx().execute("DELETE FROM jira_permission_grant WHERE scheme_id = $1", &[scheme.id.0.into()]).await?;
    cx.tx().execute("DELETE FROM jira_permission_scheme WHERE id = $1", &[scheme.id.0.into()]).await?;
    cx.audit(format!("permission_scheme:{}", scheme.id), Some(before), None);
    cx.changed(Entity::Scheme(scheme.id));
    cx.done(Reply::no_content())
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, name: &str, own: Option<SchemeId>) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The permission scheme name must not be empty."));
    }
    bounded("name", name, 255)?;
    let row =
        tx.query_opt("SELECT id FROM jira_permission_scheme WHERE name_folded = $1", &[fold(name).into()]).await?;
    let taken = row.map(|row| row.get("id").map(SchemeId)).transpose()?;
    if taken.is_some() && taken != own {
        return Err(Problem::field("name", format!("A permission scheme with name '{name}' already exists.")));
    }
    Ok(name.to_owned())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
}
