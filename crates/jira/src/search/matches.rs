//! `POST /jql/match`: which of some issues match which of some queries.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, StoreError};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::jql;
use crate::search::asker::Asker;
use crate::search::evaluate::{NotCompiled, compile_forgiving};

/// Queries in one request.
const QUERIES_MAX: usize = 100;
/// Issues in one request, as Jira has it.
const ISSUES_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    issue_ids: Vec<i64>,
    #[serde(default)]
    jqls: Vec<String>,
}

async fn matches(mut cx: Ctx<op::MatchIssues>, input: Input) -> Outcome<op::MatchIssues> {
    let body: Body = input.parse()?;
    if body.jqls.is_empty() || body.issue_ids.is_empty() {
        return Err(Problem::invalid("Both jqls and issueIds must be provided."));
    }
    if body.jqls.len() > QUERIES_MAX || body.issue_ids.len() > ISSUES_MAX {
        return Err(Problem::invalid(format!(
            "At most {QUERIES_MAX} JQL queries and {ISSUES_MAX} issues may be given in one request."
        )));
    }
    let (view, now) = (cx.view().clone(), cx.now());
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let mut out: Vec<Json> = Vec::with_capacity(body.jqls.len());
    for text in &body.jqls {
        let compiled = match jql::parse(text) {
            Ok(query) => match compile_forgiving(cx.tx(), &asker, &query).await {
                Ok(compiled) => Ok(compiled),
                Err(NotCompiled::Said(messages)) => Err(messages),
                Err(NotCompiled::Store(error)) => return Err(error.into()),
            },
            Err(error) => Err(vec![error.to_string()]),
        };
        out.push(match compiled {
            Ok(compiled) => {
                let rows = cx.tx().query(compiled.among(&asker, &body.issue_ids), &[]).await?;
                let found = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, StoreError>>()?;
                json!({"matchedIssues": found, "errors": []})
            }
            Err(messages) => json!({"matchedIssues": [], "errors": messages}),
        });
    }
    cx.done(Reply::json(json!({"matches": out})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(matches);
}
