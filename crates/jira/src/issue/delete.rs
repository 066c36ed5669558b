//! Deleting issues, with everything that belongs to them.

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View, Writes};
use portcullis_model::{IssueId, Problem, ProjectPermission, Timestamp};
use serde_json::json;

use super::content::key_of;
use super::facts;
use crate::event;

/// `DELETE issue/{issueIdOrKey}`.
pub async fn delete(mut cx: Ctx<op::DeleteIssue>, input: Input) -> Outcome<op::DeleteIssue> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.id;
    let now = cx.now();
    let with_subtasks = input.query_bool("deleteSubtasks")?.unwrap_or(false);
    let key = key_of(cx.tx(), issue).await?;
    let subtasks = subtasks(cx.tx(), &view, issue.0).await?;
    // A sub-task that the caller does not see is neither deleted with its parent nor told of.
    if subtasks.iter().any(|subtask| !facts::sees(&view, subtask)) {
        return Err(Problem::forbidden("You do not have permission to delete this issue."));
    }
    if !subtasks.is_empty() && !with_subtasks {
        return Err(Problem::invalid(format!(
            "The issue '{key}' has subtasks.  You must specify the 'deleteSubtasks' parameter to delete this issue and all its \
             subtasks."
        )));
    }
    for subtask in &subtasks {
        if !view.may(ProjectPermission::DeleteIssues, subtask.project, Some(subtask)) {
            return Err(Problem::forbidden("You do not have permission to delete the sub-tasks of this issue."));
        }
    }
    let mut ids: Vec<i64> = subtasks.iter().map(|subtask| subtask.id.0).collect();
    ids.push(issue.0);
    for id in &ids {
        event::deleted(&mut cx, IssueId(*id)).await?;
    }
    remove(cx.tx(), &ids, now).await?;
    cx.audit(format!("issue:{issue}"), Some(json!({"key": key, "subtasks": ids.len() - 1})), None);
    cx.done(Reply::no_content())
}

async fn subtasks<M: AnyMode>(tx: &mut Tx<M>, view: &View, issue: i64) -> Result<Vec<IssueFacts>, StoreError> {
    let sql = "SELECT i.id FROM jira_issue i JOIN jira_issue_type t ON t.id = i.issue_type_id
                WHERE i.parent_id = $1 AND t.hierarchy_level < 0 ORDER BY i.id";
    let rows = tx.query(sql, &[issue.into()]).await?;
    let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, _>>()?;
    let mut found = facts::load(tx, view, &ids).await?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// What belongs to issues, in the order in which it can go: the text before the list of issue ids, and the text after it.
const OF_ISSUES: [(&str, &str); 19] = [
    (
        "DELETE FROM jira_attachment_content WHERE attachment_id IN (SELECT id FROM jira_attachment WHERE issue_id IN ",
        ")",
    ),
    ("DELETE FROM jira_attachment WHERE issue_id IN ", ""),
    (
        "DELETE FROM jira_property WHERE entity_type = 'comment' AND entity_id IN (SELECT id FROM jira_comment WHERE issue_id IN ",
        ")",
    ),
    ("DELETE FROM jira_comment WHERE issue_id IN ", ""),
    (
        "DELETE FROM jira_property WHERE entity_type = 'worklog' AND entity_id IN (SELECT id FROM jira_worklog WHERE issue_id IN ",
        ")",
    ),
    ("DELETE FROM jira_worklog WHERE issue_id IN ", ""),
    ("DELETE FROM jira_property WHERE entity_type = 'issue' AND entity_id IN ", ""),
    ("DELETE FROM jira_watcher WHERE issue_id IN ", ""),
    ("DELETE FROM jira_vote WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_link WHERE source_id IN ", ""),
    ("DELETE FROM jira_issue_link WHERE destination_id IN ", ""),
    ("DELETE FROM jira_remote_link WHERE issue_id IN ", ""),
    ("DELETE FROM jira_change_item WHERE change_id IN (SELECT id FROM jira_change WHERE issue_id IN ", ")"),
    ("DELETE FROM jira_change WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_label WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_component WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_version WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_value WHERE issue_id IN ", ""),
    ("DELETE FROM jira_issue_former_key WHERE issue_id IN ", ""),
];

/// Removes issues and all that belongs to them. Issues of which one was the parent stay, without a parent; sub-tasks have to be among
/// `ids`. Asks nobody's permission.
///
/// # Errors
/// The database's.
pub async fn remove<M: Writes>(tx: &mut Tx<M>, ids: &[i64], now: Timestamp) -> Result<(), StoreError> {
    // Clients that keep copies of worklogs ask which are gone.
    let mut sql = SqlBuilder::new("INSERT INTO jira_deleted_worklog (worklog_id, deleted_at_ms) SELECT id, CAST(");
    sql.bind(now.0).push(" AS BIGINT) FROM jira_worklog WHERE issue_id IN ").ids(ids);
    sql.push(" ON CONFLICT (worklog_id) DO NOTHING");
    tx.execute(sql, &[]).await?;
    for (start, end) in OF_ISSUES {
        let mut sql = SqlBuilder::new(start);
        sql.ids(ids).push(end);
        tx.execute(sql, &[]).await?;
    }
    let mut sql = SqlBuilder::new("UPDATE jira_issue SET parent_id = NULL WHERE parent_id IN ");
    sql.ids(ids);
    tx.execute(sql, &[]).await?;
    let mut sql = SqlBuilder::new("DELETE FROM jira_issue WHERE id IN ");
    sql.ids(ids);
    tx.execute(sql, &[]).await.map(drop)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(delete);
}
