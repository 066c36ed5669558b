//! One issue to read: where `browse` links in answers and mails lead.

use askama::Template;
use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome};

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

#[derive(Template)]
#[template(path = "issue.html")]
pub(crate) struct IssuePage {
    pub frame: Frame,
    pub key: String,
    pub project: String,
    pub issue_type: String,
    pub summary: String,
    pub status: String,
    /// `new`, `indeterminate` or `done`.
    pub category: String,
    pub assignee: Option<String>,
    pub updated: Moment,
    pub rest_path: String,
}

const ISSUE: &str = "
    SELECT p.key, p.name AS project, i.number, i.summary, i.updated_at_ms,
           t.name AS issue_type, s.name AS status, s.category, u.display_name AS assignee
      FROM jira_issue i
      JOIN jira_project p ON p.id = i.project_id
      JOIN jira_issue_type t ON t.id = i.issue_type_id
      JOIN jira_status s ON s.id = i.status_id
      LEFT JOIN account_user u ON u.id = i.assignee_id
     WHERE i.id = $1";

async fn browse(mut cx: Ctx<op::ConsoleBrowseIssue>, _: Input) -> Outcome<op::ConsoleBrowseIssue> {
    let id = cx.target().issue()?.id;
    let now = cx.now();
    let row = cx.tx().query_one(ISSUE, &[id.0.into()]).await?;
    let key = format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?);
    let page = IssuePage {
        frame: Frame::of(&cx, Section::Elsewhere),
        rest_path: format!("/rest/api/3/issue/{key}"),
        key,
        project: row.get("project")?,
        issue_type: row.get("issue_type")?,
        summary: row.get("summary")?,
        status: row.get("status")?,
        category: row.get("category")?,
        assignee: row.get("assignee")?,
        updated: Moment::of(row.get("updated_at_ms")?, now.0),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(browse);
}
