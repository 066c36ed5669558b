//! `ORDER BY`: by which fields, and in which direction when none is written.
//!
//! Empty values come last in both directions. Dates and priority start with the latest and most urgent unless told otherwise.

use portcullis_guard::{AnyMode, StoreError};

use crate::jql::{Direction, Order};
use crate::search::asker::Asker;
use crate::search::evaluate::{Compiler, field_name};
use crate::search::fields::{CustomKind, Kind, SYSTEM_FIELDS};
use crate::search::fragment::Fragment;

/// One key of an order.
#[derive(Debug)]
pub struct Sort {
    /// What is compared.
    pub by: Fragment,
    /// The greatest first.
    pub descending: bool,
}

impl<M: AnyMode> Compiler<'_, M> {
    /// The keys of an order; what cannot be sorted by becomes a message.
    pub(crate) async fn sorts(&mut self, orders: &[Order]) -> Result<Vec<Sort>, StoreError> {
        let mut out = Vec::new();
        for order in orders {
            let name = field_name(&order.field);
            let kinds = self.kinds(&order.field).await?;
            if kinds.is_empty() {
                self.messages.push(format!("Not able to sort using field '{name}'."));
                continue;
            }
            let keys: Option<Vec<Vec<Fragment>>> = kinds.iter().map(|kind| keys(kind, self.asker)).collect();
            let Some(keys) = keys else {
                self.messages.push(format!("Field '{name}' does not support sorting."));
                continue;
            };
            let descending = match order.direction {
                Some(direction) => direction == Direction::Descending,
                None => kinds.iter().all(starts_with_greatest),
            };
            // The first priority is the most urgent, which is the greatest.
            let turned = kinds.iter().all(|kind| *kind == Kind::Priority);
            out.extend(keys.into_iter().flatten().map(|by| Sort { by, descending: descending != turned }));
        }
        Ok(out)
    }
}

fn starts_with_greatest(kind: &Kind) -> bool {
    match kind {
        Kind::Moment(_) | Kind::Due | Kind::LastViewed | Kind::Priority | Kind::Count(_) => true,
        Kind::Custom(field) => matches!(field.kind, CustomKind::Day | CustomKind::Moment),
        _ => false,
    }
}

/// What to compare, the most important first; `None` for fields without an order.
fn keys(kind: &Kind, asker: &Asker) -> Option<Vec<Fragment>> {
    if !SYSTEM_FIELDS.iter().any(|field| field.kind == *kind && field.orderable) && !matches!(kind, Kind::Custom(_)) {
        return None;
    }
    const PROJECT: &str = "(SELECT p.key FROM jira_project p WHERE p.id = i.project_id) {{c}}";
    let one = |text: &'static str| Some(vec![Fragment::new(text)]);
    match kind {
        Kind::Project => one("(SELECT p.name_folded FROM jira_project p WHERE p.id = i.project_id) {{c}}"),
        Kind::Key => Some(vec![Fragment::new(PROJECT), Fragment::new("i.number")]),
        Kind::IssueType => one("(SELECT LOWER(t.name) FROM jira_issue_type t WHERE t.id = i.issue_type_id) {{c}}"),
        Kind::Status => one("i.status_id"),
        Kind::StatusCategory => one(
            "(SELECT CASE t.category WHEN 'new' THEN 0 WHEN 'indeterminate' THEN 1 ELSE 2 END FROM jira_status t WHERE t.id = i.status_id)",
        ),
        Kind::Priority => one("(SELECT t.position FROM jira_priority t WHERE t.id = i.priority_id)"),
        Kind::Resolution => one("(SELECT LOWER(t.name) FROM jira_resolution t WHERE t.id = i.resolution_id) {{c}}"),
        Kind::Level => one("(SELECT LOWER(t.name) FROM jira_security_level t WHERE t.id = i.security_level_id) {{c}}"),
        Kind::Person(column) => {
            let mut out = Fragment::new("(SELECT u.name_folded FROM account_user u WHERE u.id = ");
            out.push(column).push(") {{c}}");
            Some(vec![out])
        }
        // Empty texts are stored as such; they come last like every empty value.
        Kind::Text(column) => {
            let mut out = Fragment::new("NULLIF(");
            out.push(column).push(", '') {{c}}");
            Some(vec![out])
        }
        Kind::Labels => one("(SELECT MIN(LOWER(x.label) {{c}}) FROM jira_issue_label x WHERE x.issue_id = i.id) {{c}}"),
        Kind::Component => one(
            "(SELECT MIN(t.name_folded {{c}}) FROM jira_issue_component x JOIN jira_component t ON t.id = x.component_id WHERE x.issue_id = i.id) {{c}}",
        ),
        Kind::Version(of) => {
            let mut out = Fragment::new(
                "(SELECT MIN(t.position) FROM jira_issue_version x JOIN jira_version t ON t.id = x.version_id WHERE x.issue_id = i.id AND x.kind = ",
            );
            out.bind(*of).push(")");
            Some(vec![out])
        }
        Kind::Parent => {
            let mut out = Fragment::new("CASE WHEN i.parent_id IN ");
            out.seen().push(" THEN i.parent_id END");
            Some(vec![out])
        }
        Kind::Moment(column) | Kind::Count(column) | Kind::Duration(column) => one(column),
        Kind::TimeSpent => Some(vec![asker.time_spent()]),
        Kind::Due => one("i.due_date {{c}}"),
        // Not recorded, so equal for every issue.
        Kind::LastViewed => Some(Vec::new()),
        Kind::Custom(field) => {
            let start = match field.kind {
                CustomKind::Number => "(SELECT CASE WHEN x.field_id = ",
                CustomKind::Person => {
                    "(SELECT u.name_folded FROM jira_issue_value x JOIN account_user u ON u.id = x.user_id WHERE x.issue_id = i.id AND x.field_id = "
                }
                CustomKind::Option => {
                    "(SELECT t.position FROM jira_issue_value x JOIN jira_field_option t ON t.id = x.option_id WHERE x.issue_id = i.id AND x.field_id = "
                }
                CustomKind::Day | CustomKind::Moment => {
                    "(SELECT x.value FROM jira_issue_value x WHERE x.issue_id = i.id AND x.field_id = "
                }
                CustomKind::Text | CustomKind::Url | CustomKind::Group | CustomKind::Labels => {
                    "(SELECT x.value_folded FROM jira_issue_value x WHERE x.issue_id = i.id AND x.field_id = "
                }
            };
            let mut out = Fragment::new(start);
            out.bind(field.id);
            if field.kind == CustomKind::Number {
                out.push(" THEN CAST(x.value AS DOUBLE PRECISION) END FROM jira_issue_value x");
                out.push(" WHERE x.issue_id = i.id AND x.field_id = ").bind(field.id);
            }
            out.push(" ORDER BY x.position LIMIT 1)");
            if !matches!(field.kind, CustomKind::Number | CustomKind::Option) {
                out.push(" {{c}}");
            }
            Some(vec![out])
        }
        Kind::Comment
        | Kind::AnyText
        | Kind::Watcher
        | Kind::Voter
        | Kind::WorklogAuthor
        | Kind::WorklogDate
        | Kind::Attachments
        | Kind::LinkType
        | Kind::Filter => None,
    }
}
