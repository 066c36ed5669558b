//! Project categories.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, StoreError, Tx};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::refs::category_json;
use crate::text::{bounded, fold};

#[derive(Clone, Debug)]
struct Category {
    id: i64,
    name: String,
    description: String,
}

impl Category {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { id: row.get("id")?, name: row.get("name")?, description: row.get("description")? })
    }

    fn json(&self, input: &Input) -> Json {
        category_json(self.id, &self.name, &self.description, input)
    }
}

async fn load<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Category>, StoreError> {
    let rows = tx.query("SELECT id, name, description FROM jira_project_category ORDER BY id", &[]).await?;
    rows.iter().map(Category::of).collect()
}

async fn named<M: AnyMode>(tx: &mut Tx<M>, name: &str) -> Result<Category, Problem> {
    let found = load(tx).await?.into_iter().find(|category| category.id.to_string() == name);
    found.ok_or_else(|| Problem::not_found(format!("Could not find a project category with id '{name}'")))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    description: Option<String>,
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, name: &str, own: i64) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The project category name must not be empty."));
    }
    bounded("name", name, 255)?;
    if load(tx).await?.iter().any(|category| category.id != own && fold(&category.name) == fold(name)) {
        return Err(Problem::conflict(format!("The project category '{name}' already exists.")));
    }
    Ok(name.to_owned())
}

async fn all(mut cx: Ctx<op::GetAllProjectCategories>, input: Input) -> Outcome<op::GetAllProjectCategories> {
    let categories = load(cx.tx()).await?;
    cx.done(Reply::json(categories.iter().map(|category| category.json(&input)).collect()))
}

async fn get(mut cx: Ctx<op::GetProjectCategoryById>, input: Input) -> Outcome<op::GetProjectCategoryById> {
    let category = named(cx.tx(), input.param("id")).await?;
    cx.done(Reply::json(category.json(&input)))
}

async fn create(mut cx: Ctx<op::CreateProjectCategory>, input: Input) -> Outcome<op::CreateProjectCategory> {
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), body.name.as_deref().unwrap_or_default(), 0).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 1000)?;
    let sql = "INSERT INTO jira_project_category (name, description) VALUES ($1, $2) RETURNING id";
    let id = cx.tx().query_one(sql, &[name.as_str().into(), description.as_str().into()]).await?.get("id")?;
    let json = Category { id, name, description }.json(&input);
    cx.audit(format!("project_category:{id}"), None, Some(json.clone()));
    cx.done(Reply::created(json))
}

async fn update(mut cx: Ctx<op::UpdateProjectCategory>, input: Input) -> Outcome<op::UpdateProjectCategory> {
    let old = named(cx.tx(), input.param("id")).await?;
    let body: Body = input.parse()?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), name, old.id).await?,
        None => old.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| old.description.clone());
    bounded("description", &description, 1000)?;
    let sql = "UPDATE jira_project_category SET name = $2, description = $3 WHERE id = $1";
    cx.tx().execute(sql, &[old.id.into(), name.as_str().into(), description.as_str().into()]).await?;
    let json = Category { id: old.id, name, description }.json(&input);
    cx.audit(format!("project_category:{}", old.id), Some(old.json(&input)), Some(json.clone()));
    cx.done(Reply::json(json))
}

/// Its projects have none afterwards.
async fn delete(mut cx: Ctx<op::RemoveProjectCategory>, input: Input) -> Outcome<op::RemoveProjectCategory> {
    let old = named(cx.tx(), input.param("id")).await?;
    cx.tx().execute("UPDATE jira_project SET category_id = NULL WHERE category_id = $1", &[old.id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_project_category WHERE id = $1", &[old.id.into()]).await?;
    cx.audit(format!("project_category:{}", old.id), Some(old.json(&input)), None);
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
}
