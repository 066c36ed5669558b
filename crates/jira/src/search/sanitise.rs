//! The text of a query as someone else may read it: keys and names of what that person does not see are replaced by ids.
//!
//! A shared filter shows its query to all it is shared with, and `project = VAULT` would tell them a key they cannot see.

use std::collections::{HashMap, HashSet};

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
use crate::search::functions::{self, Function};
use crate::search::lookup::{known_projects, levels_in};
use crate::visible::push_issue_visible;

/// Queries in one request.
const QUERIES_MAX: usize = 100;

/// What a text of a query stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Project,
    Issue,
    Component,
    Version,
    Level,
    Filter,
    Person,
    Group,
}

/// What stands in place of hidden names, by what they stand for and their text in lower case.
type Replacements = HashMap<(What, String), Value>;

/// The text for this reader; as it is where nothing in it is hidden, or where it is no query.
///
/// # Errors
/// The database's.
pub async fn sanitised<M: AnyMode>(tx: &mut Tx<M>, reader: &Asker, text: &str) -> Result<String, StoreError> {
    let Ok(mut query) = jql::parse_strict(text) else { return Ok(text.to_owned()) };
    let mut names: HashMap<What, Vec<String>> = HashMap::new();
    each_name(&mut query, &mut |what, name| {
        names.entry(what).or_default().push(name.to_owned());
        None
    });
    let of = |what: What| names.get(&what).map_or(&[][..], Vec::as_slice);
    let mut found = Replacements::new();
    hidden_projects(tx, reader, of(What::Project), &mut found).await?;
    hidden_issues(tx, reader, of(What::Issue), &mut found).await?;
    for what in [What::Component, What::Version, What::Level, What::Filter] {
        hidden_things(tx, reader, what, of(what), &mut found).await?;
    }
    if !reader.picks_users() {
        people(tx, of(What::Person), &mut found).await?;
        groups(tx, reader, of(What::Group), &mut found).await?;
    }
    if found.is_empty() {
        return Ok(text.to_owned());
    }
    each_name(&mut query, &mut |what, name| found.get(&(what, name.to_lowercase())).cloned());
    Ok(query.to_string())
}

/// Calls `each` for every text that stands for something with an id, and puts what it gives in the text's place.
fn each_name(query: &mut Query, each: &mut impl FnMut(What, &str) -> Option<Value>) {
    if let Some(clause) = &mut query.filter {
        each_in(clause, each);
    }
}

fn each_in(clause: &mut Clause, each: &mut impl FnMut(What, &str) -> Option<Value>) {
    match clause {
        Clause::And(clauses) | Clause::Or(clauses) => clauses.iter_mut().for_each(|clause| each_in(clause, each)),
        Clause::Not(clause) => each_in(clause, each),
        Clause::TextSearch(_) => {}
        Clause::Terminal(terminal) => {
            let what = match &terminal.field {
                Field::Named(name) => system_field(name).and_then(|field| what_of(&field.kind)),
                Field::CustomId(_) | Field::Property { .. } => None,
            };
            let values = match &mut terminal.operand {
                Operand::Single(value) => std::slice::from_mut(value),
                Operand::List(values) => values.as_mut_slice(),
                Operand::Empty | Operand::Absent => &mut [],
            };
            for value in values {
                match value {
                    Value::Text(text) => {
                        if let Some(instead) = what.and_then(|what| each(what, text)) {
                            *value = instead;
                        }
                    }
                    Value::Function { name, args } => {
                        let (what, named) = match functions::find(name) {
                            Some(Function::LinkedIssues) => (What::Issue, 1),
                            Some(Function::MembersOf) => (What::Group, 1),
                            Some(Function::ReleasedVersions | Function::UnreleasedVersions) => {
                                (What::Project, args.len())
                            }
                            _ => continue,
                        };
                        for arg in args.iter_mut().take(named) {
                            if let Some(instead) = each(what, arg) {
                                *arg = shown(&instead);
                            }
                        }
                    }
                    Value::Number(_) | Value::Empty => {}
                }
            }
        }
    }
}

fn what_of(kind: &Kind) -> Option<What> {
    match kind {
        Kind::Project => Some(What::Project),
        Kind::Key | Kind::Parent => Some(What::Issue),
        Kind::Component => Some(What::Component),
        Kind::Version(_) => Some(What::Version),
        Kind::Level => Some(What::Level),
        Kind::Filter => Some(What::Filter),
        Kind::Person(_) | Kind::Watcher | Kind::Voter | Kind::WorklogAuthor => Some(What::Person),
        _ => None,
    }
}

/// A list of texts for `IN`, in the spelling in which the column has them.
fn push_texts(sql: &mut SqlBuilder, texts: impl Iterator<Item = String>) {
    sql.push(" IN (''");
    for text in texts {
        sql.push(", ").bind(text.replace('\0', "\u{fffd}"));
    }
    sql.push(")");
}

/// Hidden projects by key (now or formerly) and by name, in lower case.
async fn projects_named<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
) -> Result<HashMap<String, i64>, StoreError> {
    let mut out = HashMap::new();
    if names.is_empty() {
        return Ok(out);
    }
    let known = known_projects(tx, reader).await?;
    let upper = || names.iter().map(|name| name.to_uppercase());
    let mut sql =
        SqlBuilder::new("SELECT project_id AS id, key, key AS name_folded FROM jira_project_former_key WHERE key");
    push_texts(&mut sql, upper());
    sql.push(" UNION ALL SELECT id, key, name_folded FROM jira_project WHERE key");
    push_texts(&mut sql, upper());
    sql.push(" OR name_folded");
    push_texts(&mut sql, names.iter().map(|name| name.to_lowercase()));
    for row in tx.query(sql, &[]).await? {
        let id: i64 = row.get("id")?;
        if known.binary_search(&id).is_err() {
            out.insert(row.get::<String>("key")?.to_lowercase(), id);
            out.insert(row.get::<String>("name_folded")?.to_lowercase(), id);
        }
    }
    Ok(out)
}

async fn hidden_projects<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
    found: &mut Replacements,
) -> Result<(), StoreError> {
    let hidden = projects_named(tx, reader, names).await?;
    found.extend(hidden.into_iter().map(|(name, id)| ((What::Project, name), Value::Number(id))));
    Ok(())
}

async fn hidden_issues<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
    found: &mut Replacements,
) -> Result<(), StoreError> {
    let keys: Vec<(String, i64)> = names.iter().filter_map(|name| parse_key(name)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let mut put = |key: String, id: i64| {
        found.insert((What::Issue, key.to_lowercase()), Value::Number(id));
    };
    let numbers: Vec<i64> = keys.iter().map(|(_, number)| *number).collect();
    // The key of a hidden project is hidden, whether or not it has such an issue: 0 is nobody's id.
    let projects: Vec<String> = keys.iter().map(|(key, _)| key.clone()).collect();
    let hidden = projects_named(tx, reader, &projects).await?;
    let mut ids: HashMap<(i64, i64), i64> = HashMap::new();
    let mut sql = SqlBuilder::new("SELECT i.id, i.project_id, i.number FROM jira_issue i WHERE i.project_id IN ");
    sql.ids(&hidden.values().copied().collect::<Vec<_>>()).push(" AND i.number IN ").ids(&numbers);
    for row in tx.query(sql, &[]).await? {
        ids.insert((row.get("project_id")?, row.get("number")?), row.get("id")?);
    }
    for (key, number) in &keys {
        if let Some(project) = hidden.get(&key.to_lowercase()) {
            put(format!("{key}-{number}"), ids.get(&(*project, *number)).copied().unwrap_or(0));
        }
    }
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
        put(format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?), row.get("id")?);
    }
    Ok(())
}

/// Components, versions, levels and filters of which the reader sees none of that name.
async fn hidden_things<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    what: What,
    names: &[String],
    found: &mut Replacements,
) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let folded = || names.iter().map(|name| name.to_lowercase());
    let known = known_projects(tx, reader).await?;
    let mut sql = match what {
        What::Component => SqlBuilder::new("SELECT id, name_folded AS name, CASE WHEN project_id IN "),
        What::Version => SqlBuilder::new("SELECT id, name_folded AS name, CASE WHEN project_id IN "),
        What::Level => SqlBuilder::new("SELECT id, name, CASE WHEN id IN "),
        _ => SqlBuilder::new("SELECT f.id, f.name_folded AS name, CASE WHEN "),
    };
    match what {
        What::Component | What::Version => {
            sql.ids(&known).push(" THEN 1 ELSE 0 END AS seen FROM ");
            sql.push(if what == What::Component { "jira_component" } else { "jira_version" })
                .push(" WHERE name_folded");
            push_texts(&mut sql, folded());
        }
        What::Level => {
            sql.ids(&levels_in(reader, &known)).push(" THEN 1 ELSE 0 END AS seen FROM jira_security_level");
        }
        _ => {
            reader.filter_visible().write_to(&mut sql);
            sql.push(" THEN 1 ELSE 0 END AS seen FROM jira_filter f WHERE f.name_folded");
            push_texts(&mut sql, folded());
        }
    }
    sql.push(" ORDER BY id");
    let (mut seen, mut hidden): (HashSet<String>, HashMap<String, i64>) = (HashSet::new(), HashMap::new());
    for row in tx.query(sql, &[]).await? {
        let name = row.get::<String>("name")?.to_lowercase();
        if row.get::<bool>("seen")? {
            seen.insert(name);
        } else {
            let id = row.get("id")?;
            hidden.entry(name).or_insert(id);
        }
    }
    hidden.retain(|name, _| !seen.contains(name));
    found.extend(hidden.into_iter().map(|(name, id)| ((what, name), Value::Number(id))));
    Ok(())
}

/// Names and e-mail addresses of people, as account ids.
async fn people<M: AnyMode>(tx: &mut Tx<M>, names: &[String], found: &mut Replacements) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let folded = || names.iter().map(|name| name.to_lowercase());
    let mut sql = SqlBuilder::new("SELECT account_id, name_folded, email_folded FROM account_user WHERE name_folded");
    push_texts(&mut sql, folded());
    sql.push(" OR email_folded");
    push_texts(&mut sql, folded());
    sql.push(" ORDER BY id");
    for row in tx.query(sql, &[]).await? {
        let account = Value::Text(row.get("account_id")?);
        for name in [Some(row.get("name_folded")?), row.get::<Option<String>>("email_folded")?].into_iter().flatten() {
            found.entry((What::Person, name)).or_insert_with(|| account.clone());
        }
    }
    Ok(())
}

/// Groups that the reader is not in, by their ids.
async fn groups<M: AnyMode>(
    tx: &mut Tx<M>,
    reader: &Asker,
    names: &[String],
    found: &mut Replacements,
) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let own = reader.groups();
    let mut sql = SqlBuilder::new("SELECT id, uuid, name_folded FROM account_group WHERE name_folded");
    push_texts(&mut sql, names.iter().map(|name| name.to_lowercase()));
    for row in tx.query(sql, &[]).await? {
        if !own.contains(&row.get::<i64>("id")?) {
            found.insert((What::Group, row.get("name_folded")?), Value::Text(row.get("uuid")?));
        }
    }
    Ok(())
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
