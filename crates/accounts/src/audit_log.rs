//! The audit log, newest first.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError};
use portcullis_model::Problem;
use serde_json::{Map, Value as Json};

use crate::wire::{self, Paging};

/// Entries that a filter counts and pages through; `to` goes further back.
const ENTRIES_REACHED_MAX: i64 = 10_000;
const PAGE_ITEMS_DEFAULT: i64 = 100;
const PAGE_ITEMS_MAX: i64 = 500;

struct Filter {
    from: Option<i64>,
    to: Option<i64>,
    subject: Option<String>,
    operation: Option<String>,
    outcome: Option<String>,
}

impl Filter {
    fn of(input: &Input) -> Result<Self, Problem> {
        let given = |name: &str| input.query(name).filter(|text| !text.is_empty());
        let moment = |name: &str| given(name).map(|text| wire::parse_moment(name, text)).transpose();
        let outcome = given("outcome").map(wire::comparable);
        if outcome.as_deref().is_some_and(|word| !["allowed", "denied", "failed"].contains(&word)) {
            return Err(Problem::invalid("The parameter 'outcome' is allowed, denied or failed."));
        }
        Ok(Self {
            from: moment("from")?,
            to: moment("to")?,
            subject: given("subject").map(wire::comparable),
            operation: given("operation").map(wire::comparable),
            outcome,
        })
    }

    /// `from` is within, `to` is not, so that two neighbouring ranges share no entry.
    fn push(&self, sql: &mut SqlBuilder) {
        sql.push("1 = 1");
        if let Some(from) = self.from {
            sql.push(" AND at_ms >= ").bind(from);
        }
        if let Some(to) = self.to {
            sql.push(" AND at_ms < ").bind(to);
        }
        if let Some(subject) = &self.subject {
            sql.push(" AND (subject = ").bind(subject).push(" OR on_behalf_of = ").bind(subject).push(")");
        }
        if let Some(operation) = &self.operation {
            sql.push(" AND operation = ").bind(operation);
        }
        if let Some(outcome) = &self.outcome {
            sql.push(" AND outcome = ").bind(outcome);
        }
    }
}

async fn list(mut cx: Ctx<op::ManageListAudit>, input: Input) -> Outcome<op::ManageListAudit> {
    let paging = Paging::up_to(&input, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX)?;
    if paging.start_at > ENTRIES_REACHED_MAX {
        let words =
            format!("startAt can be at most {ENTRIES_REACHED_MAX}. Use 'to' with the moment of the oldest entry seen.");
        return Err(Problem::invalid(words));
    }
    let filter = Filter::of(&input)?;
    let mut count = SqlBuilder::new("SELECT count(*) AS n FROM (SELECT 1 AS one FROM audit_entry WHERE ");
    filter.push(&mut count);
    count.push(" LIMIT ").bind(ENTRIES_REACHED_MAX).push(") AS found");
    let total = cx.tx().query_one(count, &[]).await?.get("n")?;
    let mut sql = SqlBuilder::new(
        "SELECT id, at_ms, request_id, subject, on_behalf_of, credential_id, access_kind, operation, target, outcome, reason,
                trace, revision, before_summary, after_summary, remote_address
           FROM audit_entry WHERE ",
    );
    filter.push(&mut sql);
    sql.push(" ORDER BY at_ms DESC, id {{c}} DESC LIMIT ").bind(paging.max_results);
    sql.push(" OFFSET ").bind(paging.start_at);
    let rows = cx.tx().query(sql, &[]).await?;
    let names = cx.view().with(|snapshot| {
        let name = |row: &Row| {
            let subject = row.get::<String>("subject").ok()?;
            let user = snapshot.user_by_account_id(&subject)?;
            snapshot.person(user).map(|person| person.display_name.clone())
        };
        rows.iter().map(name).collect::<Vec<_>>()
    });
    let values = rows.iter().zip(names).map(|(row, name)| entry(row, name)).collect::<Result<_, _>>()?;
    cx.done(Reply::json(paging.page(total, values)))
}

fn entry(row: &Row, subject_name: Option<String>) -> Result<Json, StoreError> {
    let mut out = Map::new();
    out.insert("id".into(), row.get::<String>("id")?.into());
    out.insert("at".into(), wire::moment(row.get("at_ms")?).into());
    out.insert("subject".into(), row.get::<String>("subject")?.into());
    if let Some(name) = subject_name {
        out.insert("subjectName".into(), name.into());
    }
    for (column, member) in [
        ("on_behalf_of", "onBehalfOf"),
        ("credential_id", "credential"),
        ("access_kind", "access"),
        ("operation", "operation"),
        ("target", "target"),
        ("outcome", "outcome"),
        ("reason", "reason"),
        ("remote_address", "address"),
        ("request_id", "requestId"),
    ] {
        if let Some(text) = row.get::<Option<String>>(column)? {
            out.insert(member.to_owned(), text.into());
        }
    }
    out.insert("revision".into(), row.get::<i64>("revision")?.into());
    for (column, member) in [("trace", "trace"), ("before_summary", "before"), ("after_summary", "after")] {
        if let Some(text) = row.get::<Option<String>>(column)? {
            out.insert(member.to_owned(), serde_json::from_str(&text).unwrap_or(Json::String(text)));
        }
    }
    Ok(Json::Object(out))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
}
