//! Lists of projects: `GET /project/search`, the deprecated `GET /project`, and `GET /project/recent`.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx, View};
use portcullis_model::{GlobalPermission, Problem, ProjectId, ProjectPermission, UserId};
use serde_json::{Value as Json, json};

use super::read::{self, Project};
use super::{administers, visible};
use crate::refs;
use crate::text::fold;
use crate::wire::{Paging, people, person_json};

const RECENT_MAX: usize = 20;
const PROPERTIES_MAX: usize = 50;

/// What a list asks for besides the base of each project.
struct Wanted {
    description: bool,
    lead: bool,
    issue_types: bool,
    url: bool,
    keys: bool,
    permissions: bool,
    insight: bool,
}

impl Wanted {
    fn of(input: &Input) -> Self {
        let expand = input.query_list("expand");
        let has = |what: &str| expand.contains(&what);
        Self {
            description: has("description"),
            lead: has("lead"),
            issue_types: has("issueTypes"),
            url: has("url"),
            keys: has("projectKeys"),
            permissions: has("permissions"),
            insight: has("insight"),
        }
    }
}

async fn list_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    projects: &[Project],
    wanted: &Wanted,
    input: &Input,
) -> Result<Vec<Json>, Problem> {
    let leads: Vec<UserId> = projects.iter().filter_map(|project| project.lead).collect();
    let removers = projects.iter().filter_map(|project| project.trashed_by);
    let people = people(tx, &leads.into_iter().chain(removers).collect::<Vec<_>>()).await?;
    let types: Json = if wanted.issue_types {
        refs::issue_types(tx).await?.iter().map(|found| found.json(input)).collect()
    } else {
        Json::Null
    };
    let insights = if wanted.insight {
        read::insights(tx, view, &projects.iter().map(|project| project.id).collect::<Vec<_>>()).await?
    } else {
        HashMap::new()
    };
    let mut out = Vec::with_capacity(projects.len());
    for project in projects {
        let mut json = project.base_json(input, &people);
        if wanted.description {
            json.insert("description".into(), project.description.clone().into());
        }
        if wanted.lead && project.lead.is_some() {
            json.insert("lead".into(), person_json(&people, project.lead, input));
        }
        if wanted.issue_types {
            json.insert("issueTypes".into(), types.clone());
        }
        if wanted.url && !project.url.is_empty() {
            json.insert("url".into(), project.url.clone().into());
        }
        if wanted.keys {
            json.insert("projectKeys".into(), read::keys(tx, project).await?.into());
        }
        if wanted.permissions {
            json.insert("permissions".into(), json!({"canEdit": administers(view, project.id)}));
        }
        if wanted.insight {
            json.insert("insight".into(), read::insight_json(insights.get(&project.id)));
        }
        out.push(Json::Object(json));
    }
    Ok(out)
}

/// `action`: what the caller must be able to do with the projects of the answer.
#[derive(Clone, Copy)]
enum Action {
    View,
    Browse,
    Edit,
    Create,
}

impl Action {
    fn of(input: &Input) -> Result<Self, Problem> {
        match input.query("action") {
            None | Some("" | "view") => Ok(Action::View),
            Some("browse") => Ok(Action::Browse),
            Some("edit") => Ok(Action::Edit),
            Some("create") => Ok(Action::Create),
            Some(_) => Err(Problem::invalid("Invalid action. Valid values are: view, browse, edit, create.")),
        }
    }

    fn allows(self, view: &View, project: ProjectId) -> bool {
        match self {
            // The list holds what the caller sees already.
            Action::View => true,
            Action::Browse => view.may(ProjectPermission::BrowseProjects, project, None),
            Action::Edit => administers(view, project),
            Action::Create => view.may(ProjectPermission::CreateIssues, project, None),
        }
    }
}

enum Order {
    Key,
    Name,
    Category,
    Owner,
    IssueCount,
    LastIssueUpdated,
    Deleted,
}

impl Order {
    /// The order and whether it is turned round.
    fn of(input: &Input) -> Result<(Self, bool), Problem> {
        // A plus arrives as a space.
        let text = input.query("orderBy").unwrap_or_default().trim_start_matches(['+', ' ']);
        let (name, reversed) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let order = match name {
            "" | "key" => Order::Key,
            "name" => Order::Name,
            "category" => Order::Category,
            "owner" => Order::Owner,
            "issueCount" => Order::IssueCount,
            "lastIssueUpdatedDate" | "lastIssueUpdatedTime" => Order::LastIssueUpdated,
            "deletedDate" | "archivedDate" => Order::Deleted,
            _ => return Err(Problem::invalid(format!("The field '{name}' cannot be used to order projects."))),
        };
        Ok((order, reversed))
    }
}

async fn search(mut cx: Ctx<op::SearchProjects>, input: Input) -> Outcome<op::SearchProjects> {
    let view = cx.view().clone();
    let paging = Paging::of(&input, 50, 100)?;
    let action = Action::of(&input)?;
    let (order, reversed) = Order::of(&input)?;
    let statuses = input.query_list("status");
    if let Some(bad) = statuses.iter().find(|status| !matches!(**status, "live" | "archived" | "deleted")) {
        return Err(Problem::invalid(format!("Invalid status '{bad}'. Valid values are: live, archived, deleted.")));
    }
    let mut ids = Vec::new();
    if statuses.is_empty() || statuses.contains(&"live") {
        let seen = visible(cx.tx(), &view).await?;
        ids.extend(seen.into_iter().filter(|project| action.allows(&view, *project)));
    }
    if statuses.contains(&"deleted") && view.may_global(GlobalPermission::Administer) {
        let sql = "SELECT id FROM jira_project WHERE trashed_at_ms IS NOT NULL ORDER BY id";
        for row in cx.tx().query(sql, &[]).await? {
            ids.push(ProjectId(row.get("id")?));
        }
    }
    let mut projects = read::load(cx.tx(), &ids).await?;
    filter(&mut projects, &input)?;
    sort(cx.tx(), &view, &mut projects, &order).await?;
    if reversed {
        projects.reverse();
    }
    let total = i64::try_from(projects.len()).unwrap_or(i64::MAX);
    let shown = paging.cut(projects);
    let items = list_json(cx.tx(), &view, &shown, &Wanted::of(&input), &input).await?;
    cx.done(Reply::json(paging.page(&input, "/project/search", "values", total, items)))
}

fn filter(projects: &mut Vec<Project>, input: &Input) -> Result<(), Problem> {
    let ids = input.query_list("id");
    if ids.len() > PROPERTIES_MAX || input.query_list("keys").len() > PROPERTIES_MAX {
        return Err(Problem::invalid(format!("At most {PROPERTIES_MAX} projects can be asked for by id or key.")));
    }
    if !ids.is_empty() {
        projects.retain(|project| ids.contains(&project.id.to_string().as_str()));
    }
    let keys = input.query_list("keys");
    if !keys.is_empty() {
        projects.retain(|project| keys.contains(&project.key.as_str()));
    }
    if let Some(query) = input.query("query").map(str::trim).filter(|query| !query.is_empty()) {
        let query = fold(query);
        projects.retain(|project| fold(&project.name).contains(&query) || fold(&project.key).contains(&query));
    }
    let types = input.query_list("typeKey");
    if !types.is_empty() {
        projects.retain(|project| types.contains(&project.type_key.as_str()));
    }
    match input.query_int("categoryId")? {
        None => {}
        Some(-1) => projects.retain(|project| project.category.is_none()),
        Some(wanted) => projects.retain(|project| project.category.as_ref().is_some_and(|(id, _, _)| *id == wanted)),
    }
    Ok(())
}

async fn sort<M: AnyMode>(tx: &mut Tx<M>, view: &View, projects: &mut [Project], order: &Order) -> Result<(), Problem> {
    projects.sort_by(|a, b| a.key.cmp(&b.key));
    match order {
        Order::Key => {}
        Order::Name => projects.sort_by_key(|project| fold(&project.name)),
        Order::Category => projects.sort_by_key(|project| project.category.as_ref().map(|(_, name, _)| fold(name))),
        Order::Deleted => projects.sort_by_key(|project| project.trashed_at_ms),
        Order::Owner => {
            let leads: Vec<UserId> = projects.iter().filter_map(|project| project.lead).collect();
            let people = people(tx, &leads).await?;
            let name =
                |project: &Project| project.lead.and_then(|lead| people.get(&lead)).map(|p| fold(&p.display_name));
            projects.sort_by_key(name);
        }
        Order::IssueCount | Order::LastIssueUpdated => {
            let ids: Vec<ProjectId> = projects.iter().map(|project| project.id).collect();
            let found = read::insights(tx, view, &ids).await?;
            let by_count = matches!(order, Order::IssueCount);
            projects
                .sort_by_key(|project| found.get(&project.id).map(|(count, at)| if by_count { *count } else { *at }));
        }
    }
    Ok(())
}

async fn all(mut cx: Ctx<op::GetAllProjects>, input: Input) -> Outcome<op::GetAllProjects> {
    let view = cx.view().clone();
    let seen = visible(cx.tx(), &view).await?;
    let mut projects = read::load(cx.tx(), &seen).await?;
    projects.sort_by(|a, b| a.key.cmp(&b.key));
    let items = list_json(cx.tx(), &view, &projects, &Wanted::of(&input), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

/// Projects whose issues changed last come first: what a person visits is not recorded.
async fn recent(mut cx: Ctx<op::GetRecent>, input: Input) -> Outcome<op::GetRecent> {
    let view = cx.view().clone();
    let seen = visible(cx.tx(), &view).await?;
    let mut projects = read::load(cx.tx(), &seen).await?;
    sort(cx.tx(), &view, &mut projects, &Order::LastIssueUpdated).await?;
    projects.reverse();
    projects.truncate(RECENT_MAX);
    let items = list_json(cx.tx(), &view, &projects, &Wanted::of(&input), &input).await?;
    cx.done(Reply::json(Json::Array(items)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(search);
    handlers.on(all);
    handlers.on(recent);
}
