//! `POST /jql/parse`: the structure of queries, and what is wrong with them.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::jql::{self, Clause, Direction, Field, Operand, Predicate, Query, Terminal, Value, quote_value};
use crate::search::asker::Asker;
use crate::search::evaluate::{NotCompiled, compile, field_name};

/// Queries in one request.
const QUERIES_MAX: usize = 100;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    queries: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Validation {
    Strict,
    Warn,
    None,
}

async fn parse(mut cx: Ctx<op::ParseJqlQueries>, input: Input) -> Outcome<op::ParseJqlQueries> {
    let body: Body = input.parse()?;
    let validation = match input.query("validation").unwrap_or("strict").to_ascii_lowercase().as_str() {
        "strict" | "" => Validation::Strict,
        "warn" => Validation::Warn,
        "none" => Validation::None,
        other => {
            return Err(Problem::invalid(format!(
                "The validation '{other}' is not supported. The supported values are 'strict', 'warn' and 'none'."
            )));
        }
    };
    if body.queries.is_empty() {
        return Err(Problem::invalid("At least one JQL query must be provided."));
    }
    if body.queries.len() > QUERIES_MAX {
        return Err(Problem::invalid(format!("At most {QUERIES_MAX} JQL queries may be given in one request.")));
    }
    let (view, now) = (cx.view().clone(), cx.now());
    let asker = Asker::of(cx.tx(), &view, now).await?;
    let mut out = Vec::with_capacity(body.queries.len());
    for text in &body.queries {
        out.push(parsed(cx.tx(), &asker, text, validation).await?);
    }
    cx.done(Reply::json(json!({"queries": out})))
}

async fn parsed<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    text: &str,
    validation: Validation,
) -> Result<Json, Problem> {
    let mut out = Map::new();
    out.insert("query".into(), text.into());
    let query = match jql::parse_strict(text) {
        Ok(query) => query,
        Err(error) => {
            out.insert("errors".into(), json!([error.to_string()]));
            return Ok(Json::Object(out));
        }
    };
    if validation != Validation::None {
        match compile(tx, asker, &query).await {
            Ok(_) => {}
            Err(NotCompiled::Store(error)) => return Err(error.into()),
            Err(NotCompiled::Said(messages)) => {
                out.insert("errors".into(), messages.into());
                if validation == Validation::Strict {
                    return Ok(Json::Object(out));
                }
            }
        }
    }
    out.insert("structure".into(), structure(&query));
    Ok(Json::Object(out))
}

/// `{where?, orderBy?}`.
fn structure(query: &Query) -> Json {
    let mut out = Map::new();
    if let Some(filter) = &query.filter {
        out.insert("where".into(), clause(filter));
    }
    if !query.order_by.is_empty() {
        let fields: Vec<Json> = query
            .order_by
            .iter()
            .map(|order| {
                let mut out = Map::new();
                out.insert("field".into(), field(&order.field));
                if let Some(direction) = order.direction {
                    out.insert(
                        "direction".into(),
                        if direction == Direction::Descending { "desc" } else { "asc" }.into(),
                    );
                }
                Json::Object(out)
            })
            .collect();
        out.insert("orderBy".into(), json!({"fields": fields}));
    }
    Json::Object(out)
}

fn clause(of: &Clause) -> Json {
    match of {
        Clause::And(clauses) => json!({"clauses": clauses.iter().map(clause).collect::<Vec<_>>(), "operator": "and"}),
        Clause::Or(clauses) => json!({"clauses": clauses.iter().map(clause).collect::<Vec<_>>(), "operator": "or"}),
        Clause::Not(inner) => json!({"clauses": [clause(inner)], "operator": "not"}),
        Clause::Terminal(terminal) => comparison(terminal),
        Clause::TextSearch(text) => json!({
            "field": {"name": "text", "encodedName": "text"},
            "operator": "~",
            "operand": {"value": text, "encodedValue": quote_value(text)},
        }),
    }
}

fn comparison(terminal: &Terminal) -> Json {
    let mut out = Map::new();
    out.insert("field".into(), field(&terminal.field));
    out.insert("operator".into(), terminal.operator.symbol().to_lowercase().into());
    if terminal.operand != Operand::Absent {
        out.insert("operand".into(), operand(&terminal.operand));
    }
    if terminal.operator.is_history() {
        out.insert("predicates".into(), terminal.predicates.iter().map(predicate).collect());
    }
    Json::Object(out)
}

fn predicate(of: &Predicate) -> Json {
    json!({"operator": of.kind.symbol().to_lowercase(), "operand": operand(&of.operand)})
}

fn field(of: &Field) -> Json {
    let mut out = Map::new();
    out.insert("name".into(), field_name(of).into());
    out.insert("encodedName".into(), of.to_string().into());
    if let Field::Property { owner, key, path } = of {
        let entity = owner.strip_suffix(".property").unwrap_or(owner);
        let path = path.clone().unwrap_or_default();
        out.insert("property".into(), json!([{"entity": entity, "key": key, "path": path}]));
    }
    Json::Object(out)
}

fn operand(of: &Operand) -> Json {
    match of {
        Operand::Single(single) => value(single),
        Operand::List(values) => {
            json!({"values": values.iter().map(value).collect::<Vec<_>>(), "encodedOperand": of.to_string()})
        }
        Operand::Empty | Operand::Absent => json!({"keyword": "empty", "encodedOperand": "EMPTY"}),
    }
}

fn value(of: &Value) -> Json {
    match of {
        Value::Text(text) => json!({"value": text, "encodedValue": quote_value(text)}),
        Value::Number(number) => json!({"value": number.to_string(), "encodedValue": number.to_string()}),
        Value::Function { name, args } => {
            json!({"function": name, "arguments": args, "encodedOperand": of.to_string()})
        }
        Value::Empty => json!({"keyword": "empty", "encodedOperand": "EMPTY"}),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(parse);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::structure;
    use crate::jql::parse_strict;

    #[test]
    fn structure_names_clauses_operands_and_order() {
        let query =
            parse_strict("project = A AND NOT (labels IN ('x y', b) OR assignee = currentUser()) ORDER BY key DESC");
        assert_eq!(
            structure(&query.unwrap()),
            json!({
                "where": {
                    "clauses": [
                        {
                            "field": {"name": "project", "encodedName": "project"},
                            "operator": "=",
                            "operand": {"value": "A", "encodedValue": "A"},
                        },
                        {
                            "clauses": [{
                                "clauses": [
                                    {
                                        "field": {"name": "labels", "encodedName": "labels"},
                                        "operator": "in",
                                        "operand": {
                                            "values": [
                                                {"value": "x y", "encodedValue": "\"x y\""},
                                                {"value": "b", "encodedValue": "b"},
                                            ],
                                            "encodedOperand": "(\"x y\", b)",
                                        },
                                    },
                                    {
                                        "field": {"name": "assignee", "encodedName": "assignee"},
                                        "operator": "=",
                                        "operand": {
                                            "function": "currentUser",
                                            "arguments": [],
                                            "encodedOperand": "currentUser()",
                                        },
                                    },
                                ],
                                "operator": "or",
                            }],
                            "operator": "not",
                        },
                    ],
                    "operator": "and",
                },
                "orderBy": {"fields": [{"field": {"name": "key", "encodedName": "key"}, "direction": "desc"}]},
            })
        );
    }

    #[test]
    fn history_has_predicates_and_properties_their_key() {
        let query = parse_strict("status CHANGED AFTER startOfMonth(-1M) AND issue.property[\"a b\"].c = 1");
        assert_eq!(
            structure(&query.unwrap()),
            json!({
                "where": {
                    "clauses": [
                        {
                            "field": {"name": "status", "encodedName": "status"},
                            "operator": "changed",
                            "predicates": [{
                                "operator": "after",
                                "operand": {
                                    "function": "startOfMonth",
                                    "arguments": ["-1M"],
                                    "encodedOperand": "startOfMonth(-1M)",
                                },
                            }],
                        },
                        {
                            "field": {
                                "name": "issue.property[\"a b\"].c",
                                "encodedName": "issue.property[\"a b\"].c",
                                "property": [{"entity": "issue", "key": "a b", "path": "c"}],
                            },
                            "operator": "=",
                            "operand": {"value": "1", "encodedValue": "1"},
                        },
                    ],
                    "operator": "and",
                },
            })
        );
    }
}
