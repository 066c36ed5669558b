//! `GET /auditing/record`: the audit log in Jira's shape. It shows changes, as Jira's does; refusals are in our own list.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, SqlBuilder};
use portcullis_model::Problem;
use serde_json::{Map, Value as Json, json};

use crate::wire;

const LIMIT_MAX: i64 = 1_000;
/// How far paging reaches; `from` and `to` go further.
const OFFSET_MAX: i64 = 100_000;

async fn records(mut cx: Ctx<op::GetAuditRecords>, input: Input) -> Outcome<op::GetAuditRecords> {
    let offset = input.query_int("offset")?.unwrap_or(0).clamp(0, OFFSET_MAX);
    let limit = input.query_int("limit")?.unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
    let moment = |name: &str| {
        input.query(name).filter(|text| !text.is_empty()).map(|text| wire::parse_moment(name, text)).transpose()
    };
    let (from, to) = (moment("from")?, moment("to")?);
    let words: Vec<String> = input
        .query("filter")
        .unwrap_or_default()
        .split_whitespace()
        .take(10)
        .map(|word| format!("%{}%", word.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_")))
        .collect();
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Problem::invalid("The filter holds a character that cannot be searched for."));
    }
    let window = |sql: &mut SqlBuilder| {
        sql.push(" FROM audit_entry WHERE outcome = 'allowed'");
        if let Some(from) = from {
            sql.push(" AND at_ms >= ").bind(from);
        }
        if let Some(to) = to {
            sql.push(" AND at_ms <= ").bind(to);
        }
    };
    let named = |sql: &mut SqlBuilder| {
        for word in &words {
            sql.push(" AND (lower(operation) LIKE ").bind(word.as_str()).push(" ESCAPE '!'");
            sql.push(" OR lower(coalesce(target, '')) LIKE ").bind(word.as_str()).push(" ESCAPE '!'");
            sql.push(" OR lower(coalesce(after_summary, '')) LIKE ").bind(word.as_str()).push(" ESCAPE '!')");
        }
    };
    let mut count = SqlBuilder::new("SELECT count(*) AS n");
    // Jira counts what `from` and `to` leave, whatever `filter` says.
    window(&mut count);
    let total: i64 = cx.tx().query_one(count, &[]).await?.get("n")?;
    let mut sql =
        SqlBuilder::new("SELECT at_ms, subject, operation, target, before_summary, after_summary, remote_address");
    window(&mut sql);
    named(&mut sql);
    sql.push(" ORDER BY at_ms DESC, id {{c}} DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
    let rows = cx.tx().query(sql, &[]).await?;
    let mut records = Vec::with_capacity(rows.len());
    for (position, row) in (offset..).zip(&rows) {
        let operation: String = row.get("operation")?;
        let target = row.get::<Option<String>>("target")?.unwrap_or_default();
        let (kind, name) = target.split_once(':').unwrap_or(("", target.as_str()));
        let created = wire::moment(row.get("at_ms")?).replace('Z', "+0000");
        let mut record = json!({
            "id": total - position,
            "summary": operation,
            "authorAccountId": row.get::<String>("subject")?,
            "created": created,
            "category": category(&operation),
            "eventSource": "",
            "objectItem": {"name": name, "typeName": kind},
            "changedValues": changes(row.get("before_summary")?, row.get("after_summary")?),
        });
        if let (Some(address), Some(out)) = (row.get::<Option<String>>("remote_address")?, record.as_object_mut()) {
            out.insert("remoteAddress".into(), address.into());
        }
        records.push(record);
    }
    cx.done(Reply::json(json!({"offset": offset, "limit": limit, "total": total, "records": records})))
}

/// Jira's words for areas of configuration.
fn category(operation: &str) -> &'static str {
    let low = operation.to_lowercase();
    [
        ("permission", "permissions"),
        ("role", "projects"),
        ("group", "group management"),
        ("user", "user management"),
        ("token", "user management"),
        ("session", "user management"),
        ("project", "projects"),
        ("field", "fields"),
        ("setting", "system"),
    ]
    .iter()
    .find(|(part, _)| low.contains(part))
    .map_or("issues", |(_, category)| category)
}

/// Members that differ between two summaries.
fn changes(before: Option<String>, after: Option<String>) -> Vec<Json> {
    let parse = |text: Option<String>| -> Map<String, Json> {
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    };
    let (before, after) = (parse(before), parse(after));
    let text = |value: Option<&Json>| match value {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let mut change = json!({"fieldName": name});
            if let Some(out) = change.as_object_mut() {
                out.extend(text(before.get(name)).map(|from| ("changedFrom".to_owned(), Json::String(from))));
                out.extend(text(after.get(name)).map(|to| ("changedTo".to_owned(), Json::String(to))));
            }
            change
        })
        .collect()
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(records);
}
