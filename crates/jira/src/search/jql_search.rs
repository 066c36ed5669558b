//! `GET|POST /search/jql`: issues that match a query, page by page.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, StoreError, Tx, View};
use portcullis_model::{Problem, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::issue::read::{self, Base, Expand, FieldSelection, issues_json};
use crate::jql::{self, Query};
use crate::search::asker::Asker;
use crate::search::evaluate::{Start, compile};

/// Issues on a page when the request does not say.
const PAGE_ISSUES_DEFAULT: i64 = 50;
const PAGE_ISSUES_MAX: i64 = 5_000;
/// Issue properties that may be asked for.
const PROPERTIES_MAX: usize = 5;
/// Issues that may be named as just written.
const RECONCILE_MAX: usize = 50;

/// What both methods ask.
#[derive(Debug, Default)]
struct Question {
    jql: String,
    next_page_token: Option<String>,
    max_results: Option<i64>,
    fields: Vec<String>,
    expand: Vec<String>,
    properties: Vec<String>,
    reconciled: usize,
}

async fn get(
    mut cx: Ctx<op::SearchAndReconsileIssuesUsingJql>,
    input: Input,
) -> Outcome<op::SearchAndReconsileIssuesUsingJql> {
    let question = Question {
        jql: input.query("jql").unwrap_or_default().to_owned(),
        next_page_token: input.query("nextPageToken").filter(|token| !token.is_empty()).map(str::to_owned),
        max_results: input.query_int("maxResults")?,
        fields: owned(&input.query_list("fields")),
        expand: owned(&input.query_list("expand")),
        properties: owned(&input.query_list("properties")),
        reconciled: input.query_list("reconcileIssues").len(),
    };
    let (view, now) = (cx.view().clone(), cx.now());
    let answer = search(cx.tx(), &view, &input, now, question).await?;
    cx.done(Reply::json(answer))
}

async fn post(
    mut cx: Ctx<op::SearchAndReconsileIssuesUsingJqlPost>,
    input: Input,
) -> Outcome<op::SearchAndReconsileIssuesUsingJqlPost> {
    let body: Body = input.parse()?;
    let max_results = body.max_results.as_ref().filter(|value| !value.is_null()).map(whole_number).transpose()?;
    let question = Question {
        jql: body.jql.unwrap_or_default(),
        next_page_token: body.next_page_token.filter(|token| !token.is_empty()),
        max_results,
        fields: body.fields.unwrap_or_default(),
        expand: body.expand.unwrap_or_default().split(',').map(|word| word.trim().to_owned()).collect(),
        properties: body.properties.unwrap_or_default(),
        reconciled: body.reconcile_issues.map_or(0, |ids| ids.len()),
    };
    let (view, now) = (cx.view().clone(), cx.now());
    let answer = search(cx.tx(), &view, &input, now, question).await?;
    cx.done(Reply::json(answer))
}

/// Unlike elsewhere, Jira refuses what it does not know here, so that a client of the removed search notices `startAt`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    jql: Option<String>,
    next_page_token: Option<String>,
    max_results: Option<Json>,
    fields: Option<Vec<String>>,
    expand: Option<String>,
    properties: Option<Vec<String>>,
    #[serde(rename = "fieldsByKeys")]
    _fields_by_keys: Option<bool>,
    reconcile_issues: Option<Vec<i64>>,
}

/// A number, also in quotes.
fn whole_number(value: &Json) -> Result<i64, Problem> {
    let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    number
        .ok_or_else(|| Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again."))
}

fn owned(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

async fn search<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    now: Timestamp,
    question: Question,
) -> Result<Json, Problem> {
    // The order of the checks is Jira's: page token, page size, unbounded, query.
    let page = match &question.next_page_token {
        Some(token) => Some(
            view.open_page(token)
                .and_then(|state| open(&state, &question.jql))
                .ok_or_else(|| Problem::invalid("The provided nextPageToken is invalid or has expired."))?,
        ),
        None => None,
    };
    let max_results = question.max_results.unwrap_or(PAGE_ISSUES_DEFAULT);
    if !(1..=PAGE_ISSUES_MAX).contains(&max_results) {
        return Err(Problem::invalid("The maxResults parameter must be between 1 and 5,000."));
    }
    if question.properties.len() > PROPERTIES_MAX {
        return Err(Problem::invalid("The properties parameter must not name more than 5 issue properties."));
    }
    if question.reconciled > RECONCILE_MAX {
        return Err(Problem::invalid("The reconcileIssues parameter must not name more than 50 issues."));
    }
    let query = bounded(&question.jql)?;
    let asker = Asker::of(tx, view, now).await?;
    let compiled = compile(tx, &asker, &query).await?;
    let from = page.unwrap_or(Start::Offset(0));
    // One more than the page tells whether another follows.
    let rows = tx.query(compiled.select(&asker, from, max_results + 1), &[]).await?;
    let mut ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, StoreError>>()?;
    let page_items = usize::try_from(max_results).unwrap_or(0);
    let is_last = ids.len() <= page_items;
    ids.truncate(page_items);

    let fields: Vec<&str> = question.fields.iter().map(String::as_str).collect();
    let words: Vec<&str> = question.expand.iter().map(String::as_str).collect();
    let asked = Expand::parse(&words);
    // Names and schemas are the same for all issues: a search shows them once, beside the issues.
    let expand = Expand { names: false, schema: false, ..asked };
    let select = FieldSelection::parse(if fields.is_empty() { &["id"] } else { &fields }, Base::Nothing);
    let mut issues = issues_json(tx, view, input, &ids, &select, &expand).await?;
    if !question.properties.is_empty() && !ids.is_empty() {
        let wanted: Vec<&str> = question.properties.iter().map(String::as_str).collect();
        let mut found = read::properties(tx, &ids, &wanted).await?;
        for (id, issue) in ids.iter().zip(&mut issues) {
            if let Some(issue) = issue.as_object_mut() {
                issue.insert("properties".into(), found.remove(id).unwrap_or_else(|| json!({})));
            }
        }
    }
    let mut out = Map::new();
    if asked.names || asked.schema {
        let (names, schema) = read::names_and_schema(tx).await?;
        if asked.names {
            out.insert("names".into(), names);
        }
        if asked.schema {
            out.insert("schema".into(), schema);
        }
    }
    out.insert("issues".into(), issues.into());
    if !is_last {
        let next = match (from, ids.last()) {
            (Start::Offset(_), Some(last)) | (Start::After(_), Some(last)) if !compiled.is_sorted() => {
                Start::After(*last)
            }
            (Start::Offset(offset), _) => Start::Offset(offset.saturating_add(max_results)),
            (Start::After(id), _) => Start::After(id),
        };
        out.insert("nextPageToken".into(), view.seal_page(&sealed(next, &question.jql))?.into());
    }
    out.insert("isLast".into(), is_last.into());
    Ok(Json::Object(out))
}

/// Reads a query that must restrict what it finds.
pub(crate) fn bounded(text: &str) -> Result<Query, Problem> {
    let query = jql::parse(text).map_err(|error| Problem::invalid(error.to_string()))?;
    if query.filter.is_none() {
        return Err(Problem::invalid(
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.",
        ));
    }
    Ok(query)
}

/// The state in a page token: how the next page starts, and which query it belongs to.
///
/// The seal binds it to the caller; every page is filtered by what the caller sees then. The digest keeps a token from being used
/// with another query by mistake, so it need not withstand someone who looks for two queries with the same one.
fn sealed(next: Start, jql: &str) -> Vec<u8> {
    let (kind, at) = match next {
        Start::Offset(at) => (0, at),
        Start::After(at) => (1, at),
    };
    let mut out = vec![kind];
    out.extend_from_slice(&at.to_be_bytes());
    out.extend_from_slice(&digest(jql).to_be_bytes());
    out
}

fn open(state: &[u8], jql: &str) -> Option<Start> {
    let (kind, rest) = state.split_first()?;
    let (at, of) = rest.split_first_chunk::<8>()?;
    if <[u8; 8]>::try_from(of).ok()? != digest(jql).to_be_bytes() {
        return None;
    }
    let at = i64::from_be_bytes(*at);
    match kind {
        0 => Some(Start::Offset(at)),
        1 => Some(Start::After(at)),
        _ => None,
    }
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(post);
}

#[cfg(test)]
mod tests {
    use super::{Start, bounded, open, sealed};

    #[test]
    fn page_state_opens_for_its_own_query_only() {
        for next in [Start::Offset(50), Start::After(10_000)] {
            let state = sealed(next, "project = A");
            assert_eq!(open(&state, "project = A"), Some(next));
            assert_eq!(open(&state, "project = B"), None);
            assert_eq!(open(&state[1..], "project = A"), None);
        }
        assert_eq!(open(&[], ""), None);
    }

    #[test]
    fn queries_without_a_restriction_are_refused() {
        for jql in ["", "  ", "ORDER BY created"] {
            let problem = bounded(jql).unwrap_err();
            assert_eq!(
                problem.messages,
                ["Unbounded JQL queries are not allowed here. Please add a search restriction to your query."]
            );
        }
        assert!(bounded("project = A ORDER BY created").is_ok());
        assert!(bounded("crash login").is_ok());
    }
}
