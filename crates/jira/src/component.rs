//! Components of projects.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, ProjectId, ProjectPermission, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::project;
use crate::refs::ComponentRef;
use crate::text::{bounded, contains, fold};
use crate::visible::push_issue_visible;
use crate::wire::{Paging, Person, people, person_json};

/// Components of one project; the plain list has no pages.
const PER_PROJECT_MAX: i64 = 2000;
const PROJECTS_MAX: usize = 50;

#[derive(Clone, Debug)]
struct Component {
    id: i64,
    project: ProjectId,
    project_key: String,
    project_lead: Option<UserId>,
    project_assignee: String,
    name: String,
    description: String,
    lead: Option<UserId>,
    assignee_type: String,
}

const COLUMNS: &str = "
    SELECT c.id, c.project_id, c.name, c.description, c.lead_id, c.assignee_type, p.key AS project_key, p.lead_id AS project_lead_id,
           p.assignee_type AS project_assignee
      FROM jira_component c JOIN jira_project p ON p.id = c.project_id ";

const ASSIGNEE_TYPES: [&str; 4] = ["PROJECT_DEFAULT", "COMPONENT_LEAD", "PROJECT_LEAD", "UNASSIGNED"];

impl Component {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            project: ProjectId(row.get("project_id")?),
            project_key: row.get("project_key")?,
            project_lead: row.get::<Option<i64>>("project_lead_id")?.map(UserId),
            project_assignee: row.get("project_assignee")?,
            name: row.get("name")?,
            description: row.get("description")?,
            lead: row.get::<Option<i64>>("lead_id")?.map(UserId),
            assignee_type: row.get("assignee_type")?,
        })
    }

    fn people(&self) -> impl Iterator<Item = UserId> {
        self.lead.into_iter().chain(self.project_lead)
    }

    /// Who gets issues of this component, and by which rule in the end.
    fn real_assignee(&self) -> (&str, Option<UserId>) {
        let kind = if self.assignee_type == "PROJECT_DEFAULT" { &self.project_assignee } else { &self.assignee_type };
        match kind.as_str() {
            "COMPONENT_LEAD" => (kind, self.lead),
            "PROJECT_LEAD" => (kind, self.project_lead),
            _ => (kind, None),
        }
    }

    fn json(&self, input: &Input, people: &HashMap<UserId, Person>) -> Map<String, Json> {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/component/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        out.insert("name".into(), self.name.clone().into());
        if !self.description.is_empty() {
            out.insert("description".into(), self.description.clone().into());
        }
        if self.lead.is_some() {
            out.insert("lead".into(), person_json(people, self.lead, input));
        }
        out.insert("assigneeType".into(), self.assignee_type.clone().into());
        let (kind, assignee) = self.real_assignee();
        if assignee.is_some() {
            out.insert("assignee".into(), person_json(people, assignee, input));
            out.insert("realAssignee".into(), person_json(people, assignee, input));
        }
        out.insert("realAssigneeType".into(), kind.into());
        let is_valid = assignee.is_some() || !matches!(kind, "COMPONENT_LEAD" | "PROJECT_LEAD");
        out.insert("isAssigneeTypeValid".into(), is_valid.into());
        out.insert("project".into(), self.project_key.clone().into());
        out.insert("projectId".into(), self.project.0.into());
        out
    }

    fn audit(&self) -> Json {
        json!({
            "name": self.name,
            "description": self.description,
            "lead": self.lead.map(|lead| lead.0),
            "assigneeType": self.assignee_type,
        })
    }
}

async fn load<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Component, Problem> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE c.id = ").bind(id);
    Ok(Component::of(&tx.query_one(sql, &[]).await?)?)
}

async fn of_projects<M: AnyMode>(
    tx: &mut Tx<M>,
    projects: &[ProjectId],
    query: &str,
    limit: i64,
) -> Result<Vec<Component>, StoreError> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE c.project_id IN ").ids(&projects.iter().map(|id| id.0).collect::<Vec<_>>());
    if !query.is_empty() {
        sql.push(" AND c.name_folded LIKE ").bind(contains(query)).push(" ESCAPE '\\'");
    }
    sql.push(" ORDER BY c.name_folded {{c}}, c.id LIMIT ").bind(limit);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(Component::of).collect()
}

async fn list_json<M: AnyMode>(
    tx: &mut Tx<M>,
    components: &[Component],
    input: &Input,
) -> Result<Vec<Map<String, Json>>, StoreError> {
    let ids: Vec<UserId> = components.iter().flat_map(Component::people).collect();
    let people = people(tx, &ids).await?;
    Ok(components.iter().map(|component| component.json(input, &people)).collect())
}

async fn one_json<M: AnyMode>(tx: &mut Tx<M>, id: i64, input: &Input) -> Result<Json, Problem> {
    let component = load(tx, id).await?;
    let mut json = list_json(tx, &[component], input).await?;
    Ok(Json::Object(json.pop().unwrap_or_default()))
}

/// The components of a project as the project object shows them.
///
/// # Errors
/// The database's.
pub(crate) async fn short_list<M: AnyMode>(
    tx: &mut Tx<M>,
    project: ProjectId,
    input: &Input,
) -> Result<Json, StoreError> {
    let short = |component: Component| {
        ComponentRef {
            id: component.id,
            project: component.project,
            name: component.name,
            description: component.description,
        }
        .json(input)
    };
    Ok(of_projects(tx, &[project], "", PER_PROJECT_MAX).await?.into_iter().map(short).collect())
}

async fn list(mut cx: Ctx<op::GetProjectComponents>, input: Input) -> Outcome<op::GetProjectComponents> {
    let project = cx.target().project()?;
    let components = of_projects(cx.tx(), &[project], "", PER_PROJECT_MAX).await?;
    let out = list_json(cx.tx(), &components, &input).await?;
    cx.done(Reply::json(out.into_iter().map(Json::Object).collect()))
}

/// Issues the caller sees, per component.
async fn counts<M: AnyMode>(tx: &mut Tx<M>, view: &View, ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT ic.component_id, count(*) AS issues FROM jira_issue_component ic JOIN jira_issue i ON i.id = ic.issue_id
          WHERE ic.component_id IN ",
    );
    sql.ids(ids).push(" AND ");
    push_issue_visible(&mut sql, &view.visibility());
    sql.push(" GROUP BY ic.component_id");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.get("component_id")?, row.get("issues")?))).collect()
}

fn sort(components: &mut [Component], order: Option<&str>) -> Result<(), Problem> {
    let text = order.unwrap_or("name").trim_start_matches(['+', ' ']);
    let (key, reversed) = text.strip_prefix('-').map_or((text, false), |key| (key, true));
    match key {
        "name" => {}
        "description" => components.sort_by_key(|component| fold(&component.description)),
        "lead" => components.sort_by_key(|component| component.lead),
        "issueCount" => {}
        _ => return Err(Problem::invalid(format!("The field '{key}' cannot be used to order components."))),
    }
    if reversed {
        components.reverse();
    }
    Ok(())
}

async fn page(
    mut cx: Ctx<op::GetProjectComponentsPaginated>,
    input: Input,
) -> Outcome<op::GetProjectComponentsPaginated> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 100)?;
    let query = input.query("query").unwrap_or_default();
    let mut components = of_projects(cx.tx(), &[project], query, PER_PROJECT_MAX).await?;
    sort(&mut components, input.query("orderBy"))?;
    let total = i64::try_from(components.len()).unwrap_or(i64::MAX);
    let shown = paging.cut(components);
    let counts = counts(cx.tx(), &view, &shown.iter().map(|component| component.id).collect::<Vec<_>>()).await?;
    let mut items = Vec::with_capacity(shown.len());
    for (component, mut json) in shown.iter().zip(list_json(cx.tx(), &shown, &input).await?) {
        json.insert("issueCount".into(), counts.get(&component.id).copied().unwrap_or(0).into());
        items.push(Json::Object(json));
    }
    let path = format!("/project/{project}/component");
    cx.done(Reply::json(paging.page(&input, &path, "values", total, items)))
}

/// Components of several projects; projects that the caller does not browse are as absent as unknown ones.
async fn across(mut cx: Ctx<op::FindComponentsForProjects>, input: Input) -> Outcome<op::FindComponentsForProjects> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 100)?;
    let names = input.query_list("projectIdsOrKeys");
    if names.len() > PROJECTS_MAX {
        return Err(Problem::invalid(format!("At most {PROJECTS_MAX} projects can be named.")));
    }
    let mut projects = Vec::new();
    for name in &names {
        let found = project::visible_named(cx.tx(), &view, name).await?;
        projects.extend(found.filter(|project| view.may(ProjectPermission::BrowseProjects, *project, None)));
    }
    let query = input.query("query").unwrap_or_default();
    let mut components = of_projects(cx.tx(), &projects, query, PER_PROJECT_MAX).await?;
    sort(&mut components, input.query("orderBy"))?;
    let total = i64::try_from(components.len()).unwrap_or(i64::MAX);
    let items = paging
        .cut(components)
        .into_iter()
        .map(|component| {
            json!({
                "self": input.api_url(&format!("/component/{}", component.id)),
                "id": component.id.to_string(),
                "name": component.name,
                "description": component.description,
            })
        })
        .collect();
    cx.done(Reply::json(paging.page(&input, "/component", "values", total, items)))
}

async fn get(mut cx: Ctx<op::GetComponent>, input: Input) -> Outcome<op::GetComponent> {
    let id = cx.target().thing()?;
    let json = one_json(cx.tx(), id, &input).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    lead_account_id: Option<String>,
    assignee_type: Option<String>,
}

/// An account for a lead; empty text takes the lead away.
fn lead(view: &View, account_id: &str) -> Result<Option<UserId>, Problem> {
    if account_id.is_empty() {
        return Ok(None);
    }
    let found = view.with(|snapshot| {
        let user = snapshot.user_by_account_id(account_id)?;
        snapshot.policy.user(user).filter(|facts| facts.active).map(|facts| facts.id)
    });
    match found {
        Some(user) => Ok(Some(user)),
        None => Err(Problem::field("lead", format!("The user {account_id} does not exist."))),
    }
}

fn assignee_type(word: &str) -> Result<&str, Problem> {
    if ASSIGNEE_TYPES.contains(&word) {
        Ok(word)
    } else {
        Err(Problem::field("assigneeType", "The assignee type is invalid."))
    }
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId, name: &str, own: i64) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The component name specified is invalid - cannot be an empty string."));
    }
    bounded("name", name, 255)?;
    let sql = "SELECT id FROM jira_component WHERE project_id = $1 AND name_folded = $2 AND id <> $3";
    if tx.query_opt(sql, &[project.0.into(), fold(name).into(), own.into()]).await?.is_some() {
        return Err(Problem::field(
            "name",
            format!("A component with the name {name} already exists in this project."),
        ));
    }
    Ok(name.to_owned())
}

async fn create(mut cx: Ctx<op::CreateComponent>, input: Input) -> Outcome<op::CreateComponent> {
    let project = cx.target().project()?;
    let view = cx.view().clone();
    live(&view, project)?;
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), project, body.name.as_deref().unwrap_or_default(), 0).await?;
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 32_767)?;
    let lead = lead(&view, body.lead_account_id.as_deref().unwrap_or_default())?;
    let kind = assignee_type(body.assignee_type.as_deref().unwrap_or("PROJECT_DEFAULT"))?;
    let sql = "
        INSERT INTO jira_component (project_id, name, name_folded, description, lead_id, assignee_type)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
    let params = [
        project.0.into(),
        name.as_str().into(),
        fold(&name).into(),
        description.into(),
        lead.map(|lead| lead.0).into(),
        kind.into(),
    ];
    let id: i64 = cx.tx().query_one(sql, &params).await?.get("id")?;
    let after = load(cx.tx(), id).await?.audit();
    cx.audit(format!("component:{id}"), None, Some(after));
    let json = one_json(cx.tx(), id, &input).await?;
    cx.done(Reply::created(json))
}

async fn update(mut cx: Ctx<op::UpdateComponent>, input: Input) -> Outcome<op::UpdateComponent> {
    let (id, view) = (cx.target().thing()?, cx.view().clone());
    let component = load(cx.tx(), id).await?;
    live(&view, component.project)?;
    let body: Body = input.parse()?;
    let name = match &body.name {
        Some(name) => checked_name(cx.tx(), component.project, name, id).await?,
        None => component.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| component.description.clone());
    bounded("description", &description, 32_767)?;
    let lead = match &body.lead_account_id {
        Some(account_id) => lead(&view, account_id)?,
        None => component.lead,
    };
    let kind = assignee_type(body.assignee_type.as_deref().unwrap_or(&component.assignee_type))?;
    let sql = "
        UPDATE jira_component SET name = $2, name_folded = $3, description = $4, lead_id = $5, assignee_type = $6 WHERE id = $1";
    let params = [
        id.into(),
        name.as_str().into(),
        fold(&name).into(),
        description.into(),
        lead.map(|lead| lead.0).into(),
        kind.into(),
    ];
    cx.tx().execute(sql, &params).await?;
    let after = load(cx.tx(), id).await?.audit();
    cx.audit(format!("component:{id}"), Some(component.audit()), Some(after));
    let json = one_json(cx.tx(), id, &input).await?;
    cx.done(Reply::json(json))
}

/// Issues keep existing; the field loses the component, or gets the one of `moveIssuesTo`.
async fn delete(mut cx: Ctx<op::DeleteComponent>, input: Input) -> Outcome<op::DeleteComponent> {
    let (id, view) = (cx.target().thing()?, cx.view().clone());
    let component = load(cx.tx(), id).await?;
    live(&view, component.project)?;
    if let Some(text) = input.query("moveIssuesTo").filter(|text| !text.is_empty()) {
        let other = text.parse::<i64>().ok().filter(|other| *other != id);
        let sql = "SELECT id FROM jira_component WHERE id = $1 AND project_id = $2";
        let found = match other {
            Some(other) => cx.tx().query_opt(sql, &[other.into(), component.project.0.into()]).await?,
            None => None,
        };
        let other: i64 = found.ok_or_else(|| unknown(text))?.get("id")?;
        let sql = "INSERT INTO jira_issue_component (issue_id, component_id)
                   SELECT issue_id, CAST($2 AS BIGINT) FROM jira_issue_component WHERE component_id = $1 ON CONFLICT DO NOTHING";
        cx.tx().execute(sql, &[id.into(), other.into()]).await?;
    }
    cx.tx().execute("DELETE FROM jira_issue_component WHERE component_id = $1", &[id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_component WHERE id = $1", &[id.into()]).await?;
    cx.audit(format!("component:{id}"), Some(component.audit()), None);
    cx.done(Reply::no_content())
}

/// Who browses the project counts what they see.
async fn related(mut cx: Ctx<op::GetComponentRelatedIssues>, input: Input) -> Outcome<op::GetComponentRelatedIssues> {
    let (id, view) = (cx.target().thing()?, cx.view().clone());
    let count = counts(cx.tx(), &view, &[id]).await?.get(&id).copied().unwrap_or(0);
    let link = input.api_url(&format!("/component/{id}"));
    cx.done(Reply::json(json!({"self": link, "issueCount": count})))
}

fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("The component with id {text} does not exist."))
}

fn live(view: &View, project: ProjectId) -> Result<(), Problem> {
    let live = view.with(|snapshot| snapshot.policy.project(project).is_some_and(|facts| !facts.trashed));
    if live { Ok(()) } else { Err(project::unknown(&project.to_string())) }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(page);
    handlers.on(across);
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
    handlers.on(related);
}
