//! Writing comments: add, change, delete.

use portcullis_authz::decide::Restriction;
use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{Ctx, Input, Outcome, Reply, Tx, View, Writes};
use portcullis_model::{Problem, Timestamp};
use serde_json::{Value as Json, json};

use super::properties::{Property, remove_properties, store_properties};
use super::read::{absent, one, shown};
use super::text::read_text;
use crate::event;
use crate::issue::content::fold;
use crate::issue::touch;
use crate::restriction::{Asked, columns, word};
use crate::rich_text::Document;

/// Comments on one issue; Jira's limit.
const PER_ISSUE_MAX: i64 = 5_000;

/// A comment as a body describes it, alone or inside an edit, a transition or a link.
#[derive(Clone, Debug)]
pub(crate) struct NewComment {
    body: Document,
    visibility: Asked,
    properties: Vec<Property>,
}

impl NewComment {
    /// Reads `{body, visibility?, properties?}`.
    ///
    /// # Errors
    /// 400 in Jira's words.
    pub(crate) fn parse(input: &Input, json: &Json) -> Result<Self, Problem> {
        let body = read_body(input, json)?.ok_or_else(empty)?;
        Ok(Self { body, visibility: Asked::parse(json)?, properties: Property::parse_all(json)? })
    }
}

fn empty() -> Problem {
    Problem::field("comment", "Comment body can not be empty!")
}

/// The member `body`; `None` where it is missing.
fn read_body(input: &Input, json: &Json) -> Result<Option<Document>, Problem> {
    if !json.is_object() {
        return Err(Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again."));
    }
    let Some(value) = json.get("body").filter(|value| !value.is_null()) else { return Ok(None) };
    let document = read_text(input, value)?;
    if document.is_empty() { Err(empty()) } else { Ok(Some(document)) }
}

/// Adds a comment by the caller to an issue that it may comment on, and says its id. That it may is for the caller of this
/// function to know: the row of `addComment` asks for ADD_COMMENTS, an edit or a link has to ask itself.
///
/// # Errors
/// 400 for a restriction that the caller is not inside, or too many comments.
pub(crate) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    issue: &IssueFacts,
    now: Timestamp,
    new: NewComment,
) -> Result<i64, Problem> {
    let sql = "SELECT COUNT(*) AS total FROM jira_comment WHERE issue_id = $1";
    let total: i64 = tx.query_one(sql, &[issue.id.0.into()]).await?.get("total")?;
    if total >= PER_ISSUE_MAX {
        return Err(Problem::field("comment", format!("An issue can have at most {PER_ISSUE_MAX} comments.")));
    }
    let restriction = new.visibility.admit(tx, view, issue.project, Restriction::None).await?;
    let author = view.caller().user().map(|user| user.0);
    let text = fold(&new.body.to_text());
    let [kind, group, role] = columns(restriction);
    let sql = "INSERT INTO jira_comment (issue_id, author_id, update_author_id, body, body_folded, restriction_type,
                                         group_id, role_id, created_at_ms, updated_at_ms)
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING id";
    let body = new.body.into_json().to_string();
    let values = [issue.id.0.into(), author.into(), body.into(), text.into(), kind, group, role, now.0.into()];
    let id: i64 = tx.query_one(sql, &values).await?.get("id")?;
    store_properties(tx, "comment", id, &new.properties).await?;
    touch(tx, issue.id, now).await?;
    Ok(id)
}

/// `POST /issue/{issueIdOrKey}/comment`.
pub async fn add(mut cx: Ctx<op::AddComment>, input: Input) -> Outcome<op::AddComment> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let now = cx.now();
    let new = NewComment::parse(&input, &input.parse::<Json>()?)?;
    let mark = event::mark(&mut cx, issue.id).await?;
    let id = insert(cx.tx(), &view, &issue, now, new).await?;
    event::updated(&mut cx, issue.id, mark, "issue_commented").await?;
    let comment = one(cx.tx(), id).await?.ok_or_else(|| Problem::bug("a comment is gone that was just added"))?;
    cx.audit(format!("comment:{id}"), None, Some(json!({"issue": issue.id.0, "visibleTo": word(comment.restriction)})));
    let json = shown(cx.tx(), &view, &input, comment).await?;
    cx.done(Reply::created(json))
}

/// `PUT /issue/{issueIdOrKey}/comment/{id}`: what the body leaves out stays.
pub async fn update(mut cx: Ctx<op::UpdateComment>, input: Input) -> Outcome<op::UpdateComment> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let id = cx.target().thing()?;
    let now = cx.now();
    let json: Json = input.parse()?;
    let body = read_body(&input, &json)?;
    let visibility = Asked::parse(&json)?;
    let properties = Property::parse_all(&json)?;
    let before = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let restriction = visibility.admit(cx.tx(), &view, issue.project, before.restriction).await?;
    if let Some(body) = body {
        let text = fold(&body.to_text());
        let sql = "UPDATE jira_comment SET body = $2, body_folded = $3 WHERE id = $1";
        cx.tx().execute(sql, &[id.into(), body.into_json().to_string().into(), text.into()]).await?;
    }
    // Clients take `updated` after `created` as the sign of an edit, also within one millisecond.
    let updated_at_ms = now.0.max(before.updated_at_ms.saturating_add(1));
    let editor = view.caller().user().map(|user| user.0);
    let [kind, group, role] = columns(restriction);
    let sql = "UPDATE jira_comment SET update_author_id = $2, restriction_type = $3, group_id = $4, role_id = $5,
                      updated_at_ms = $6
                WHERE id = $1";
    cx.tx().execute(sql, &[id.into(), editor.into(), kind, group, role, updated_at_ms.into()]).await?;
    store_properties(cx.tx(), "comment", id, &properties).await?;
    touch(cx.tx(), issue.id, now).await?;
    event::comment(&mut cx, "comment_updated", "issue_comment_edited", issue.id, id).await?;
    let after = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    cx.audit(
        format!("comment:{id}"),
        Some(json!({"issue": issue.id.0, "visibleTo": word(before.restriction)})),
        Some(json!({"issue": issue.id.0, "visibleTo": word(after.restriction)})),
    );
    let json = shown(cx.tx(), &view, &input, after).await?;
    cx.done(Reply::json(json))
}

/// `DELETE /issue/{issueIdOrKey}/comment/{id}`.
pub async fn delete(mut cx: Ctx<op::DeleteComment>, input: Input) -> Outcome<op::DeleteComment> {
    let issue = cx.target().issue()?.clone();
    let id = cx.target().thing()?;
    let now = cx.now();
    let before = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    event::comment(&mut cx, "comment_deleted", "issue_comment_deleted", issue.id, id).await?;
    // Attachments of a restricted comment have no other restriction than the comment's: they go with it, for without it
    // everyone would see them. Those of an open comment stay on the issue.
    let attachments = if before.restriction == Restriction::None {
        let sql = "UPDATE jira_attachment SET comment_id = NULL WHERE comment_id = $1";
        cx.tx().execute(sql, &[id.into()]).await?;
        0
    } else {
        let sql = "DELETE FROM jira_attachment_content
                    WHERE attachment_id IN (SELECT id FROM jira_attachment WHERE comment_id = $1)";
        cx.tx().execute(sql, &[id.into()]).await?;
        cx.tx().execute("DELETE FROM jira_attachment WHERE comment_id = $1", &[id.into()]).await?
    };
    remove_properties(cx.tx(), "comment", id).await?;
    cx.tx().execute("DELETE FROM jira_comment WHERE id = $1", &[id.into()]).await?;
    touch(cx.tx(), issue.id, now).await?;
    let visible_to = word(before.restriction);
    cx.audit(
        format!("comment:{id}"),
        Some(json!({"issue": issue.id.0, "visibleTo": visible_to, "attachments": attachments})),
        None,
    );
    cx.done(Reply::no_content())
}
