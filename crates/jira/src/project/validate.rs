//! `GET /projectvalidate/*`: whether a key or name can be used for a new project.
//!
//! Those who cannot make projects learn nothing about projects they do not see: what hides looks free to them.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx, View};
use portcullis_model::{GlobalPermission, Problem, ProjectId};
use serde_json::json;

use super::create::{key_form_problem, key_problem};
use super::visible;
use crate::text::fold;

/// Tries at a free key or name before giving up.
const TRIES_MAX: i64 = 99;

async fn key(mut cx: Ctx<op::ValidateProjectKey>, input: Input) -> Outcome<op::ValidateProjectKey> {
    let view = cx.view().clone();
    let problem = seen_key_problem(cx.tx(), &view, input.query("key").unwrap_or_default()).await?;
    let errors = match problem {
        Some(problem) => json!({"projectKey": problem}),
        None => json!({}),
    };
    cx.done(Reply::json(json!({"errorMessages": [], "errors": errors})))
}

async fn valid_key(mut cx: Ctx<op::GetValidProjectKey>, input: Input) -> Outcome<op::GetValidProjectKey> {
    let view = cx.view().clone();
    let wanted: String = input
        .query("key")
        .unwrap_or_default()
        .to_uppercase()
        .chars()
        .filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        .take(8)
        .collect();
    let base = if wanted.len() < 2 || !wanted.starts_with(|c: char| c.is_ascii_uppercase()) {
        format!("PR{wanted}").chars().take(8).collect()
    } else {
        wanted
    };
    let mut candidate = base.clone();
    for number in 1..=TRIES_MAX {
        if seen_key_problem(cx.tx(), &view, &candidate).await?.is_none() {
            return cx.done(Reply::json(json!(candidate)));
        }
        candidate = format!("{base}{number}");
    }
    Err(Problem::not_found("A valid project key could not be generated."))
}

async fn valid_name(mut cx: Ctx<op::GetValidProjectName>, input: Input) -> Outcome<op::GetValidProjectName> {
    let view = cx.view().clone();
    let wanted = input.query("name").unwrap_or_default().trim().to_owned();
    if wanted.is_empty() {
        return Err(Problem::invalid("You must specify a valid project name."));
    }
    let mut candidate = wanted.clone();
    for number in 2..=TRIES_MAX {
        let sql = "SELECT id FROM jira_project WHERE name_folded = $1";
        let taken = cx.tx().query_opt(sql, &[fold(&candidate).into()]).await?;
        let taken = taken.map(|row| row.get("id").map(ProjectId)).transpose()?;
        let free = match taken {
            None => true,
            Some(project) => !knows(cx.tx(), &view, project).await?,
        };
        if free {
            return cx.done(Reply::json(json!(candidate)));
        }
        candidate = format!("{wanted} {number}");
    }
    Err(Problem::not_found("A valid project name could not be generated."))
}

async fn seen_key_problem<M: AnyMode>(tx: &mut Tx<M>, view: &View, key: &str) -> Result<Option<String>, Problem> {
    if let Some(problem) = key_form_problem(key) {
        return Ok(Some(problem));
    }
    let holder = view.with(|snapshot| snapshot.project_by_key(key));
    let Some(holder) = holder else { return Ok(None) };
    if knows(tx, view, holder).await? { key_problem(tx, key, None).await } else { Ok(None) }
}

async fn knows<M: AnyMode>(tx: &mut Tx<M>, view: &View, project: ProjectId) -> Result<bool, Problem> {
    Ok(view.may_global(GlobalPermission::Administer) || visible(tx, view).await?.contains(&project))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(key);
    handlers.on(valid_key);
    handlers.on(valid_name);
}
