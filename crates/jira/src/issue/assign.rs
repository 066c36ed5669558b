//! Assigning an issue: `PUT issue/{issueIdOrKey}/assignee`.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::content::{self, Author, Content};
use super::fields::assignee_named;
use crate::event;

/// `{"accountId": "..."}`, `"-1"` for whoever the project says, `null` for nobody.
pub async fn assign(mut cx: Ctx<op::AssignIssue>, input: Input) -> Outcome<op::AssignIssue> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let author = Author { user: view.caller().user(), now: cx.now() };
    let body: Json = input.parse()?;
    let assignee = match body.get("accountId") {
        Some(Json::Null) => None,
        Some(Json::String(account)) => assignee_named(cx.tx(), &view, issue.project, Some(&issue), account).await?,
        Some(_) => return Err(super::fields::invalid_payload()),
        None => {
            return Err(Problem::invalid(
                "'accountId' must be the only user identifying query parameter in GDPR strict mode.",
            ));
        }
    };
    let before = Content::load(cx.tx(), issue.id).await?;
    let after = Content { assignee, ..before.clone() };
    let mark = event::mark(&mut cx, issue.id).await?;
    content::save(cx.tx(), issue.id, author, &before, &after, Vec::new()).await?;
    event::updated(&mut cx, issue.id, mark, "issue_assigned").await?;
    cx.audit(
        format!("issue:{}", issue.id),
        Some(json!({"assignee": before.assignee.map(|user| user.0)})),
        Some(json!({"assignee": assignee.map(|user| user.0)})),
    );
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(assign);
}
