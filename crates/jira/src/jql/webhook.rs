//! Which queries may restrict a webhook: those that can be asked of one issue alone, as the vendor lists them.

use super::{Clause, Field, Operator, Query};

const FIELDS: [&str; 12] = [
    "issue",
    "issuekey",
    "key",
    "id",
    "project",
    "issuetype",
    "type",
    "status",
    "priority",
    "assignee",
    "reporter",
    "issue.property",
];

/// Says in one sentence what of a query may not stand in a webhook; `None` when nothing.
pub fn webhook_problem(query: &Query) -> Option<String> {
    if !query.order_by.is_empty() {
        return Some("A webhook's query cannot have ORDER BY.".to_owned());
    }
    query.filter.as_ref().and_then(clause)
}

fn clause(found: &Clause) -> Option<String> {
    match found {
        Clause::And(clauses) | Clause::Or(clauses) => clauses.iter().find_map(clause),
        Clause::Not(inner) => clause(inner),
        Clause::TextSearch(_) => Some("A webhook's query cannot search text.".to_owned()),
        Clause::Terminal(terminal) => {
            if let Field::Named(name) = &terminal.field {
                let known = name.to_lowercase();
                let is_custom =
                    known.strip_prefix("customfield_").is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit()));
                if !FIELDS.contains(&known.as_str()) && !is_custom {
                    return Some(format!(
                        "The field '{name}' cannot stand in a webhook's query. Use issueKey, project, issuetype, status, priority, \
                         assignee, reporter, issue.property or cf[id]."
                    ));
                }
            }
            let allowed =
                matches!(terminal.operator, Operator::Equals | Operator::NotEquals | Operator::In | Operator::NotIn);
            let words = format!(
                "The operator '{}' cannot stand in a webhook's query. Use =, !=, IN or NOT IN.",
                terminal.operator.symbol()
            );
            (!allowed).then_some(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::webhook_problem;
    use crate::jql;

    #[test]
    fn queries_about_one_issue_may_stand_in_a_webhook() {
        for good in [
            "project = DEMO",
            "project in (DEMO, OPS) AND status != Done",
            "issueKey = DEMO-1 OR NOT assignee = currentUser()",
            "cf[10010] = 5",
            "customfield_10010 in (a)",
            "issue.property[plan].state = open",
        ] {
            assert_eq!(webhook_problem(&jql::parse(good).unwrap()), None, "{good}");
        }
        for (bad, names) in [
            ("project = DEMO ORDER BY created", "ORDER BY"),
            ("summary ~ secret", "summary"),
            ("status was Done", "was"),
            ("priority > High", ">"),
            ("project = DEMO AND (labels = x OR status = Done)", "labels"),
            ("lost words", "text"),
        ] {
            let said = webhook_problem(&jql::parse(bad).unwrap()).unwrap_or_default();
            assert!(said.to_lowercase().contains(&names.to_lowercase()), "{bad}: {said}");
        }
    }
}
