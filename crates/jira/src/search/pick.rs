//! `GET /issue/picker`: issues whose key or summary starts with what is typed.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, Tx, View};
use portcullis_model::{Problem, Timestamp};
use serde_json::{Value as Json, json};

use crate::issue::facts::parse_key;
use crate::jql;
use crate::search::asker::Asker;
use crate::search::evaluate::{NotCompiled, Start, compile};
use crate::search::fragment::Fragment;
use crate::search::suggestions::marked;
use crate::search::text::TextQuery;
use crate::text::{begins_with, escape_html};

/// Issues in one section, as Jira has it.
const ISSUES_MAX: i64 = 20;

async fn pick(mut cx: Ctx<op::GetIssuePickerResource>, input: Input) -> Outcome<op::GetIssuePickerResource> {
    let (view, now) = (cx.view().clone(), cx.now());
    let found = picked(cx.tx(), &view, now, &input).await?;
    let (member, words) = match found.len() {
        0 => ("msg", "No matching issues found".to_owned()),
        count => ("sub", format!("Showing {count} of {count} matching issues")),
    };
    let current = json!({"label": "Current Search", member: words, "id": "cs", "issues": found});
    // What someone looked at is not recorded.
    let history = json!({"label": "History Search", "id": "hs", "msg": "No matching issues found", "issues": []});
    cx.done(Reply::json(json!({"sections": [history, current]})))
}

async fn picked<M: AnyMode>(tx: &mut Tx<M>, view: &View, now: Timestamp, input: &Input) -> Result<Vec<Json>, Problem> {
    let typed = input.query("query").unwrap_or_default().trim();
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let asker = Asker::of(tx, view, now).await?;
    let text = input.query("currentJQL").unwrap_or_default();
    // Queries come from the page around the picker: one that says nothing restricts nothing.
    let query = jql::parse(text).map_err(|error| Problem::invalid(error.to_string()))?;
    let compiled = match compile(tx, &asker, &query).await {
        Ok(compiled) => compiled,
        Err(NotCompiled::Said(_)) => return Ok(Vec::new()),
        Err(NotCompiled::Store(error)) => return Err(error.into()),
    };
    let mut parts = vec![matching(typed)];
    if let Some(project) = input.query("currentProjectId").filter(|project| !project.is_empty()) {
        let mut part = Fragment::new("i.project_id = ");
        part.bind(project.parse::<i64>().unwrap_or(-1));
        parts.push(part);
    }
    if let Some((key, number)) = input.query("currentIssueKey").and_then(parse_key) {
        let mut part = Fragment::new("NOT (i.number = ");
        part.bind(number)
            .push(" AND i.project_id IN (SELECT p.id FROM jira_project p WHERE p.key = ")
            .bind(key)
            .push("))");
        parts.push(part);
    }
    if input.query_bool("showSubTasks")? == Some(false) {
        parts.push(Fragment::new(
            "i.issue_type_id IN (SELECT t.id FROM jira_issue_type t WHERE t.hierarchy_level >= 0)",
        ));
    }
    let compiled = compiled.and(Fragment::all(parts));
    let rows = tx.query(compiled.select(&asker, Start::Offset(0), ISSUES_MAX), &[]).await?;
    let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, _>>()?;
    let mut sql = SqlBuilder::new(
        "SELECT i.id, i.number, i.summary, p.key FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id IN ",
    );
    sql.ids(&ids);
    let mut found = Vec::with_capacity(ids.len());
    for row in tx.query(sql, &[]).await? {
        let id: i64 = row.get("id")?;
        let key = format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?);
        let summary: String = row.get("summary")?;
        let at = ids.iter().position(|wanted| *wanted == id);
        found.push((
            at,
            json!({
                "id": id,
                "key": key,
                "keyHtml": marked(&key, typed),
                "img": format!("{}/static/issuetype.svg", input.base_url()),
                "summary": if key.to_lowercase().starts_with(&typed.to_lowercase()) { escape_html(&summary) } else { marked(&summary, typed) },
                "summaryText": summary,
            }),
        ));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, issue)| issue).collect())
}

/// The summary holds the words, or the key starts with what was typed: `DE`, `DEMO-1`, or the number alone.
fn matching(typed: &str) -> Fragment {
    let mut parts = Vec::new();
    if let Some(query) = TextQuery::parse(typed) {
        parts.push(query.matches("i.summary_folded"));
    }
    let mut key = Fragment::new(
        "EXISTS (SELECT 1 FROM jira_project p WHERE p.id = i.project_id AND LOWER(p.key || '-' || CAST(i.number AS TEXT)) LIKE ",
    );
    key.bind(begins_with(typed)).push(" ESCAPE '\\')");
    parts.push(key);
    if let Ok(number) = typed.parse::<i64>() {
        let mut part = Fragment::new("i.number = ");
        part.bind(number);
        parts.push(part);
    }
    Fragment::any(parts)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(pick);
}
