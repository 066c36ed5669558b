//! SQL that several files of this folder share.

use portcullis_guard::SqlBuilder;

/// Appends a list for `IN`. One id is bound, so that the statement of a single issue stays the same text and is prepared once.
pub(crate) fn push_ids(sql: &mut SqlBuilder, ids: &[i64]) {
    match ids {
        [id] => {
            sql.push("(").bind(*id).push(")");
        }
        ids => {
            sql.ids(ids);
        }
    }
}

/// An issue with the key of its project.
pub(crate) const ISSUE: &str = "
    SELECT i.id, i.project_id, p.key AS project_key, i.number, i.issue_type_id, i.status_id, i.priority_id, i.resolution_id,
           i.security_level_id, i.parent_id, i.creator_id, i.reporter_id, i.assignee_id, i.summary, i.description,
           i.environment, i.due_date, i.created_at_ms, i.updated_at_ms, i.resolved_at_ms, i.status_changed_at_ms,
           i.original_estimate_s, i.remaining_estimate_s
      FROM jira_issue i JOIN jira_project p ON p.id = i.project_id
     WHERE i.id IN ";

/// The same, with how many rows of each relation there are: reading one issue then asks only for what is there.
pub(crate) const ISSUE_WITH_COUNTS: &str = "
    SELECT i.id, i.project_id, p.key AS project_key, i.number, i.issue_type_id, i.status_id, i.priority_id, i.resolution_id,
           i.security_level_id, i.parent_id, i.creator_id, i.reporter_id, i.assignee_id, i.summary, i.description,
           i.environment, i.due_date, i.created_at_ms, i.updated_at_ms, i.resolved_at_ms, i.status_changed_at_ms,
           i.original_estimate_s, i.remaining_estimate_s,
           (SELECT COUNT(*) FROM jira_issue_label r WHERE r.issue_id = i.id) AS labels,
           (SELECT COUNT(*) FROM jira_issue_component r WHERE r.issue_id = i.id) AS components,
           (SELECT COUNT(*) FROM jira_issue_version r WHERE r.issue_id = i.id) AS versions,
           (SELECT COUNT(*) FROM jira_issue_value r WHERE r.issue_id = i.id) AS field_values,
           (SELECT COUNT(*) FROM jira_issue r WHERE r.parent_id = i.id) AS children,
           (SELECT COUNT(*) FROM jira_issue_link r WHERE r.source_id = i.id)
             + (SELECT COUNT(*) FROM jira_issue_link r WHERE r.destination_id = i.id) AS links,
           (SELECT COUNT(*) FROM jira_comment r WHERE r.issue_id = i.id) AS comments,
           (SELECT COUNT(*) FROM jira_worklog r WHERE r.issue_id = i.id) AS worklogs,
           (SELECT COUNT(*) FROM jira_attachment r WHERE r.issue_id = i.id) AS attachments,
           (SELECT COUNT(*) FROM jira_watcher r WHERE r.issue_id = i.id) AS watchers,
           (SELECT COUNT(*) FROM jira_vote r WHERE r.issue_id = i.id) AS votes
      FROM jira_issue i JOIN jira_project p ON p.id = i.project_id
     WHERE i.id IN ";
