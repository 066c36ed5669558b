//! `/jql/autocompletedata` and its suggestions: what an editor offers while a query is typed. Values are looked for among what the
//! caller may see, as for the query itself.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, Timestamp};
use serde_json::{Map, Value as Json, json};

use crate::jql::{RESERVED_WORDS, quote_value};
use crate::refs::StatusCategory;
use crate::search::asker::Asker;
use crate::search::fields::{CustomField, CustomKind, Kind, SYSTEM_FIELDS, system_field};
use crate::search::functions;
use crate::search::lookup::{custom_fields, known_projects, levels_in};
use crate::text::{begins_with, contains, escape_html, word_begins_with};
use crate::visible::{push_issue_visible, sees_projects};

/// Suggestions in one answer, as Jira has it.
const RESULTS_MAX: i64 = 15;

async fn reference(mut cx: Ctx<op::GetAutoComplete>, _: Input) -> Outcome<op::GetAutoComplete> {
    let view = cx.view().clone();
    let body = reference_data(cx.tx(), &view).await?;
    cx.done(Reply::json(body))
}

/// Fields are the same for every project here, so the body narrows nothing.
async fn reference_post(mut cx: Ctx<op::GetAutoCompletePost>, _: Input) -> Outcome<op::GetAutoCompletePost> {
    let view = cx.view().clone();
    let body = reference_data(cx.tx(), &view).await?;
    cx.done(Reply::json(body))
}

async fn reference_data<M: AnyMode>(tx: &mut Tx<M>, view: &View) -> Result<Json, Problem> {
    let mut fields: Vec<Json> = SYSTEM_FIELDS
        .iter()
        .map(|field| field_json(field.name, field.name, &field.kind, field.orderable, field.java_type, None))
        .collect();
    let custom = if sees_projects(view) { custom_fields(tx).await? } else { Vec::new() };
    for field in custom {
        let clause = format!("cf[{}]", field.id);
        let shown = format!("{} - {clause}", field.name);
        let value = quote_value(&field.name).into_owned();
        let java_type = java_type(&field);
        fields.push(field_json(&value, &shown, &Kind::Custom(field), true, java_type, Some(&clause)));
    }
    let functions: Vec<Json> = functions::ALL
        .iter()
        .map(|(name, function, java_type)| {
            let mut out = Map::new();
            out.insert("value".into(), format!("{name}()").into());
            out.insert("displayName".into(), format!("{name}()").into());
            if function.is_list() {
                out.insert("isList".into(), "true".into());
            }
            out.insert("types".into(), json!([java_type]));
            Json::Object(out)
        })
        .collect();
    Ok(json!({
        "visibleFieldNames": fields,
        "visibleFunctionNames": functions,
        "jqlReservedWords": RESERVED_WORDS,
    }))
}

fn java_type(field: &CustomField) -> &'static str {
    match field.kind {
        CustomKind::Text | CustomKind::Url => "java.lang.String",
        CustomKind::Number => "java.lang.Number",
        CustomKind::Day | CustomKind::Moment => "java.util.Date",
        CustomKind::Option => "com.atlassian.jira.issue.customfields.option.Option",
        CustomKind::Person => "com.atlassian.jira.user.ApplicationUser",
        CustomKind::Group => "com.atlassian.crowd.embedded.api.Group",
        CustomKind::Labels => "com.atlassian.jira.issue.label.Label",
    }
}

fn field_json(
    value: &str,
    shown: &str,
    kind: &Kind,
    orderable: bool,
    java_type: &'static str,
    clause: Option<&str>,
) -> Json {
    let word = |yes: bool| if yes { "true" } else { "false" };
    let mut out = Map::new();
    out.insert("value".into(), value.into());
    out.insert("displayName".into(), shown.into());
    out.insert("orderable".into(), word(orderable).into());
    out.insert("searchable".into(), "true".into());
    if kind.completes() {
        out.insert("auto".into(), "true".into());
    }
    if let Some(clause) = clause {
        out.insert("cfid".into(), clause.into());
    }
    out.insert("operators".into(), kind.operators().into());
    out.insert("types".into(), json!([java_type]));
    Json::Object(out)
}

async fn suggest(
    mut cx: Ctx<op::GetFieldAutoCompleteForQueryString>,
    input: Input,
) -> Outcome<op::GetFieldAutoCompleteForQueryString> {
    let (view, now) = (cx.view().clone(), cx.now());
    let results = suggestions(cx.tx(), &view, now, &input).await?;
    cx.done(Reply::json(json!({"results": results})))
}

async fn suggestions<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    now: Timestamp,
    input: &Input,
) -> Result<Vec<Json>, Problem> {
    let name = input.query("fieldName").unwrap_or_default();
    // Completing what stands after `BY`, `FROM` and the like is about the past, which is not searched.
    if input.query("predicateName").is_some_and(|predicate| !predicate.is_empty()) {
        return Ok(Vec::new());
    }
    let typed = input.query("fieldValue").unwrap_or_default().trim().trim_matches('"').replace('\0', "");
    let kind = match system_field(name) {
        Some(field) => field.kind.clone(),
        None if !sees_projects(view) => return Ok(Vec::new()),
        None => {
            let folded = name.trim_matches('"').to_lowercase();
            let fields = custom_fields(tx).await?;
            let found =
                fields.into_iter().find(|f| f.name.to_lowercase() == folded || format!("cf[{}]", f.id) == folded);
            match found {
                Some(field) => Kind::Custom(field),
                None => return Ok(Vec::new()),
            }
        }
    };
    let asker = Asker::of(tx, view, now).await?;
    Ok(found(tx, &asker, &kind, &typed).await?.iter().map(|found| suggestion(found, &typed)).collect())
}

/// What is shown and, where it differs, what is put into the query.
pub(crate) struct Found {
    shown: String,
    value: String,
}

pub(crate) async fn found<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    kind: &Kind,
    typed: &str,
) -> Result<Vec<Found>, StoreError> {
    let contains = contains(typed);
    let mut sql;
    match kind {
        Kind::Project => {
            sql = SqlBuilder::new("SELECT p.name AS shown, p.key AS value FROM jira_project p WHERE p.id IN ");
            sql.ids(&known_projects(tx, asker).await?).push(" AND (p.name_folded LIKE ").bind(contains);
            sql.push(" ESCAPE '\\' OR LOWER(p.key) LIKE ").bind(begins_with(typed));
            sql.push(" ESCAPE '\\') ORDER BY p.name_folded {{c}}, p.id");
        }
        Kind::IssueType => sql = site_names("SELECT name AS shown, name AS value FROM jira_issue_type", contains),
        Kind::Status => sql = site_names("SELECT name AS shown, name AS value FROM jira_status", contains),
        Kind::Priority => sql = site_names("SELECT name AS shown, name AS value FROM jira_priority", contains),
        Kind::Resolution => sql = site_names("SELECT name AS shown, name AS value FROM jira_resolution", contains),
        Kind::LinkType => sql = site_names("SELECT name AS shown, name AS value FROM jira_link_type", contains),
        Kind::StatusCategory => {
            let all = StatusCategory::ALL.into_iter().map(|category| category.name().to_owned());
            let all = all.filter(|name| name.to_lowercase().contains(&typed.to_lowercase()));
            return Ok(all.map(|name| Found { shown: name.clone(), value: name }).collect());
        }
        Kind::Level => {
            let ids = levels_in(asker, &known_projects(tx, asker).await?);
            sql = SqlBuilder::new("SELECT name AS shown, name AS value FROM jira_security_level WHERE id IN ");
            sql.ids(&ids).push(" AND LOWER(name) LIKE ").bind(contains).push(" ESCAPE '\\' ORDER BY name {{c}}, id");
        }
        Kind::Component | Kind::Version(_) => {
            sql = SqlBuilder::new(if *kind == Kind::Component {
                "SELECT MIN(name {{c}}) AS shown, MIN(name {{c}}) AS value FROM jira_component WHERE project_id IN "
            } else {
                "SELECT MIN(name {{c}}) AS shown, MIN(name {{c}}) AS value FROM jira_version WHERE project_id IN "
            });
            sql.ids(&known_projects(tx, asker).await?).push(" AND name_folded LIKE ").bind(contains);
            sql.push(" ESCAPE '\\' GROUP BY name_folded ORDER BY name_folded {{c}}");
        }
        Kind::Labels => {
            sql = SqlBuilder::new(
                "SELECT DISTINCT x.label {{c}} AS shown, x.label {{c}} AS value FROM jira_issue_label x JOIN jira_issue i ON i.id = x.issue_id WHERE LOWER(x.label) LIKE ",
            );
            sql.bind(begins_with(typed)).push(" ESCAPE '\\' AND ");
            push_issue_visible(&mut sql, &asker.visibility);
            sql.push(" ORDER BY 1");
        }
        Kind::Person(_) | Kind::Watcher | Kind::Voter | Kind::WorklogAuthor => sql = people(asker, typed),
        Kind::Filter => {
            sql =
                SqlBuilder::new("SELECT f.name AS shown, f.name AS value FROM jira_filter f WHERE f.name_folded LIKE ");
            sql.bind(contains).push(" ESCAPE '\\' AND ");
            asker.filter_visible().write_to(&mut sql);
            sql.push(" ORDER BY f.name_folded {{c}}, f.id");
        }
        Kind::Custom(field) => match field.kind {
            CustomKind::Option => {
                sql = SqlBuilder::new(
                    "SELECT value AS shown, value FROM jira_field_option WHERE disabled = 0 AND field_id = ",
                );
                sql.bind(field.id).push(" AND LOWER(value) LIKE ").bind(contains);
                sql.push(" ESCAPE '\\' ORDER BY position, id");
            }
            CustomKind::Person => sql = people(asker, typed),
            CustomKind::Group => {
                sql = SqlBuilder::new("SELECT name AS shown, name AS value FROM account_group WHERE name_folded LIKE ");
                sql.bind(contains).push(" ESCAPE '\\'");
                if !asker.picks_users() {
                    sql.push(" AND id IN ").ids(&asker.groups());
                }
                sql.push(" ORDER BY name_folded {{c}}, id");
            }
            CustomKind::Text
            | CustomKind::Url
            | CustomKind::Number
            | CustomKind::Day
            | CustomKind::Moment
            | CustomKind::Labels => return Ok(Vec::new()),
        },
        Kind::Key
        | Kind::Text(_)
        | Kind::Comment
        | Kind::AnyText
        | Kind::Parent
        | Kind::Moment(_)
        | Kind::Due
        | Kind::Count(_)
        | Kind::WorklogDate
        | Kind::Duration(_)
        | Kind::TimeSpent
        | Kind::Attachments
        | Kind::LastViewed => return Ok(Vec::new()),
    }
    sql.push(" LIMIT ").bind(RESULTS_MAX);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(Found { shown: row.get("shown")?, value: row.get("value")? })).collect()
}

fn site_names(start: &'static str, contains: String) -> SqlBuilder {
    let mut sql = SqlBuilder::new(start);
    sql.push(" WHERE LOWER(name) LIKE ").bind(contains).push(" ESCAPE '\\' ORDER BY name {{c}}, id");
    sql
}

/// Those who may look people up find them by the start of a name; others find an exact name.
fn people(asker: &Asker, typed: &str) -> SqlBuilder {
    let mut sql = SqlBuilder::new(
        "SELECT u.display_name AS shown, u.account_id AS value FROM account_user u WHERE u.active = 1 AND ",
    );
    if asker.picks_users() {
        let prefix = begins_with(typed);
        sql.push("(u.name_folded LIKE ").bind(prefix.as_str()).push(" ESCAPE '\\' OR u.name_folded LIKE ");
        sql.bind(word_begins_with(typed))
            .push(" ESCAPE '\\' OR u.email_folded LIKE ")
            .bind(prefix)
            .push(" ESCAPE '\\')");
    } else {
        sql.push("u.name_folded = ").bind(typed.to_lowercase());
    }
    sql.push(" ORDER BY u.name_folded {{c}}, u.id");
    sql
}

/// What was typed is marked in what is shown, which is HTML.
fn suggestion(found: &Found, typed: &str) -> Json {
    let mut shown = marked(&found.shown, typed);
    if found.value != found.shown {
        shown.push_str(&format!(" ({})", escape_html(&found.value)));
    }
    json!({"value": quote_value(&found.value), "displayName": shown})
}

/// `text` as HTML with the first place of `typed` in bold.
pub(crate) fn marked(text: &str, typed: &str) -> String {
    let at = if typed.is_empty() { None } else { text.to_lowercase().find(&typed.to_lowercase()) };
    let parts = at.and_then(|at| {
        let end = at + typed.len();
        Some((text.get(..at)?, text.get(at..end)?, text.get(end..)?))
    });
    match parts {
        Some((before, found, after)) => {
            format!("{}<b>{}</b>{}", escape_html(before), escape_html(found), escape_html(after))
        }
        None => escape_html(text),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(reference);
    handlers.on(reference_post);
    handlers.on(suggest);
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn marks_are_html_and_the_rest_is_escaped() {
        assert_eq!(marked("To <Do>", "do"), "To &lt;<b>Do</b>&gt;");
        assert_eq!(marked("a&b", ""), "a&amp;b");
        // Lower case may be longer than what it came from.
        assert_eq!(marked("İx", "x"), "İx");
    }
}
