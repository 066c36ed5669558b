//! The text of a query as someone else may read it: keys and names of what that person does not see are replaced by ids.
//!
//! A shared filter shows its query to all it is shared with, and `project = VAULT` would tell them a key they cannot see.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::issue::facts::parse_key;
use crate::jql::{self, Clause, Field, Operand, Query, Value};
use crate::search::asker::Asker;
use crate::search::evaluate::shown;
use crate::search::fields::{Kind, system_field};
use crate::search::lookup::known_projects;
use crate::visible::push_issue_visible;

/// Queries in one request.
const QUERIES_MAX: usize = 100;

/// The text for this reader; as it is where nothing in it is hidden, or where it is no query.
///
/// # Errors
/// The database's.
pub async fn sanitised<M: AnyMode>(tx: &mut Tx<M>, reader: &Asker, text: &str) -> Result<String, StoreError> {
    let Ok(mut query) = jql::parse_strict(text) else { return Ok(text.to_owned()) };
    let (mut projects, mut issues) = (Vec::new(), Vec::new());
    each_value(&mut query, &mut |kind, value| match kind {
        Kind::Project => projects.push(shown(value)),
        _ => issues.push(shown(value)),
    });
    let mut ids: HashMap<String, i64> = hidden_projects(tx, reader, &projects).await?;
    ids.extend(hidden_issues(tx, reader, &issues).await?);
    if ids.is_empty() {
        return Ok(text.to_owned());
    }
    each_value(&mut query, &mut |_, value| {
        if let Some(id) = ids.get(&shown(value).to_lowercase()) {
            *value = Value::Number(*id);
        }
    });
    Ok(query.to_string())
}

/// Calls `each` for every text that stands for a project or an issue.
fn each_value(query: &mut Query, each: &mut impl FnMut(&Kind, &mut Value)) {
    if let Some(clause) = &mut query.filter {
        each_in(clause, each);
    }
}

fn each_in(clause: &mut Clause, each: &mut impl FnMut(&Kind, &mut Value)) {
    match clause {
        Clause::And(clauses) | Clause::Or(clauses) => clauses.iter_mut().for_each(|clause| each_in(clause, each)),
        Clause::Not(clause) => each_in(clause, each),
        Clause::TextSearch(_) => {}
        Clause::Terminal(terminal) => {
            let Field::Named(name) = &terminal.field else { return };
            let Some(field) = system_field(name) else { return };
            if !matches!(field.kind, Kind::Project | Kind::Key | Kind::Parent) {
                return;
            }
            let values = match &mut terminal.operand {
                Operand::Single(value) => std::slice::from_mut(value),
                Operand::List(values) => values.as_mut_slice(),
                Operand::Empty | Operand::Absent => &mut [],
            };
            values
                .iter_mut()
                .filter(|value| matches!(value, Value::Text(_)))
                .for_each(|value| each(&field.kind, value));
        }
    }
}

async fn hidden_projects<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
) -> Result<HashMap<String, i64>, StoreError> {
    let mut out = HashMap::new();
    if names.is_empty() {
        return Ok(out);
    }
    let known = known_projects(tx, reader).await?;
    let mut sql = SqlBuilder::new("SELECT id, key, name_folded FROM jira_project WHERE key IN (''");
    for name in names {
        sql.push(", ").bind(name.to_uppercase().replace('\0', ""));
    }
    sql.push(") OR name_folded IN (''");
    for name in names {
        sql.push(", ").bind(name.to_lowercase().replace('\0', ""));
    }
    sql.push(")");
    for row in tx.query(sql, &[]).await? {
        let id: i64 = row.get("id")?;
        if known.binary_search(&id).is_err() {
            out.insert(row.get::<String>("key")?.to_lowercase(), id);
            out.insert(row.get("name_folded")?, id);
        }
    }
    Ok(out)
}

async fn hidden_issues<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
) -> Result<HashMap<String, i64>, StoreError> {
    let keys: Vec<(String, i64)> = names.iter().filter_map(|name| parse_key(name)).collect();
    let mut out = HashMap::new();
    if keys.is_empty() {
        return Ok(out);
    }
    let numbers: Vec<i64> = keys.iter().map(|(_, number)| *number).collect();
    let mut sql = SqlBuilder::new(
        "SELECT i.id, p.key, i.number FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.number IN ",
    );
    sql.ids(&numbers).push(" AND p.key IN (''");
    for (key, _) in &keys {
        sql.push(", ").bind(key.as_str());
    }
    // Not `NOT`: the condition is unknown, not false, for a reader without any project.
    sql.push(") AND CASE WHEN ");
    push_issue_visible(&mut sql, &reader.visibility);
    sql.push(" THEN 1 ELSE 0 END = 0");
    for row in tx.query(sql, &[]).await? {
        let key = format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?);
        out.insert(key.to_lowercase(), row.get("id")?);
    }
    Ok(out)
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    queries: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    query: String,
    account_id: Option<String>,
}

/// `POST /jql/sanitize`: queries as the named accounts may read them; without an account, as an anonymous reader may.
async fn sanitise(mut cx: Ctx<op::SanitiseJqlQueries>, input: Input) -> Outcome<op::SanitiseJqlQueries> {
    let body: Body = input.parse()?;
    if body.queries.is_empty() || body.queries.len() > QUERIES_MAX {
        return Err(Problem::invalid(format!("Between 1 and {QUERIES_MAX} JQL queries must be given in one request.")));
    }
    let (view, now) = (cx.view().clone(), cx.now());
    let mut out: Vec<Json> = Vec::with_capacity(body.queries.len());
    for asked in &body.queries {
        let user =
            match &asked.account_id {
                Some(account) => {
                    let found = view.with(|snapshot| snapshot.user_by_account_id(account));
                    Some(found.ok_or_else(|| {
                        Problem::invalid(format!("The user with account ID '{account}' does not exist."))
                    })?)
                }
                None => None,
            };
        let mut json = json!({"initialQuery": asked.query});
        if let Some(account) = &asked.account_id {
            json["accountId"] = account.as_str().into();
        }
        match jql::parse_strict(&asked.query) {
            Ok(_) => {
                let reader = Asker::named(&view, user, now);
                json["sanitizedQuery"] = sanitised(cx.tx(), &reader, &asked.query).await?.into();
            }
            Err(error) => json["errors"] = json!({"errorMessages": [error.to_string()], "errors": {}}),
        }
        out.push(json);
    }
    cx.done(Reply::json(json!({"queries": out})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(sanitise);
}
