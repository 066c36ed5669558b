//! Attaching files to an issue, and removing them.

use portcullis_authz::decide::{Restriction, issue_visible, sees_restricted};
use portcullis_authz::op;
use portcullis_guard::{Body, Ctx, Input, Outcome, Part, Reply};
use portcullis_model::{Problem, ProblemKind};
use serde_json::{Value as Json, json};

use super::item::{Attachment, authors, clean_name, clean_type, one};
use super::read::absent;
use super::{FILE_BYTES_MAX, FILES_MAX, PER_ISSUE_MAX};
use crate::event;
use crate::issue::history::{self, ChangeItem};
use crate::issue::touch;

/// The files of an upload: the parts named `file`, each within the limit.
fn files(input: &Input) -> Result<Vec<&Part>, Problem> {
    let Body::Multipart(parts) = input.body() else {
        return Err(Problem::invalid("Attachments are sent as multipart/form-data, in parts named 'file'."));
    };
    let files: Vec<&Part> = parts.iter().filter(|part| part.name == "file").collect();
    if files.is_empty() {
        return Err(Problem::invalid("No file was sent: the parts of the upload have to be named 'file'."));
    }
    if files.len() > FILES_MAX {
        let words = format!("At most {FILES_MAX} files can be attached at once.");
        return Err(Problem::new(ProblemKind::TooLarge, words));
    }
    if files.iter().any(|file| file.content.len() > FILE_BYTES_MAX) {
        let words = format!("An attachment can have at most {FILE_BYTES_MAX} bytes.");
        return Err(Problem::new(ProblemKind::TooLarge, words));
    }
    Ok(files)
}

/// `POST /issue/{issueIdOrKey}/attachments`.
pub async fn add(mut cx: Ctx<op::AddAttachment>, input: Input) -> Outcome<op::AddAttachment> {
    let issue = cx.target().issue()?.clone();
    let author = cx.caller().user();
    let now = cx.now();
    let files = files(&input)?;
    let sql = "SELECT COUNT(*) AS total FROM jira_attachment WHERE issue_id = $1";
    let total: i64 = cx.tx().query_one(sql, &[issue.id.0.into()]).await?.get("total")?;
    if total.saturating_add(i64::try_from(files.len()).unwrap_or(i64::MAX)) > PER_ISSUE_MAX {
        let words = format!("An issue can have at most {PER_ISSUE_MAX} attachments.");
        return Err(Problem::new(ProblemKind::TooLarge, words));
    }
    let mark = event::mark(&mut cx, issue.id).await?;
    let mut added = Vec::with_capacity(files.len());
    for file in files {
        let file_name = file.file_name.as_deref().and_then(clean_name);
        let file_name = file_name.ok_or_else(|| Problem::invalid("A file was sent without a usable name."))?;
        let mime_type = clean_type(file.content_type.as_deref());
        let size_bytes = i64::try_from(file.content.len()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO jira_attachment (issue_id, author_id, file_name, mime_type, size_bytes, created_at_ms)
                   VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
        let values = [
            issue.id.0.into(),
            author.map(|user| user.0).into(),
            file_name.as_str().into(),
            mime_type.as_str().into(),
            size_bytes.into(),
            now.0.into(),
        ];
        let id: i64 = cx.tx().query_one(sql, &values).await?.get("id")?;
        let sql = "INSERT INTO jira_attachment_content (attachment_id, content) VALUES ($1, $2)";
        cx.tx().execute(sql, &[id.into(), file.content.as_slice().into()]).await?;
        added.push(Attachment {
            id,
            issue: issue.id.0,
            author,
            file_name,
            mime_type,
            size_bytes,
            created_at_ms: now.0,
            restriction: Restriction::None,
        });
    }
    let items: Vec<ChangeItem> =
        added.iter().map(|file| item().to(Some(file.id.to_string()), Some(file.file_name.clone()))).collect();
    history::record(cx.tx(), issue.id, author, now, &items).await?;
    touch(cx.tx(), issue.id, now).await?;
    event::updated(&mut cx, issue.id, mark, "issue_updated").await?;
    for file in &added {
        event::attachment(&mut cx, "attachment_created", issue.id, file.id).await?;
    }
    cx.audit(
        format!("issue:{}", issue.id),
        None,
        Some(json!({"attachments": added.iter().map(summary).collect::<Vec<_>>()})),
    );
    let people = authors(cx.tx(), &added).await?;
    let json = added.iter().map(|file| Json::Object(file.json(&people, &input))).collect();
    cx.done(Reply::json(Json::Array(json)))
}

fn item() -> ChangeItem {
    ChangeItem::system("Attachment", "attachment")
}

fn summary(file: &Attachment) -> Json {
    json!({"id": file.id, "name": file.file_name, "type": file.mime_type, "bytes": file.size_bytes})
}

/// `DELETE /attachment/{id}`.
pub async fn remove(mut cx: Ctx<op::RemoveAttachment>, input: Input) -> Outcome<op::RemoveAttachment> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let id = cx.target().thing()?;
    let now = cx.now();
    let file = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    // The vendor's text asks for the right to delete only; an attachment that the caller does not see is absent all the same.
    let user = view.caller().user();
    let seen = view.with(|snapshot| {
        issue_visible(&snapshot.policy, user, &issue)
            && sees_restricted(&snapshot.policy, user, Some(issue.project), file.restriction)
    });
    if !seen {
        return Err(absent(input.param("id")));
    }
    let mark = event::mark(&mut cx, issue.id).await?;
    event::attachment(&mut cx, "attachment_deleted", issue.id, id).await?;
    cx.tx().execute("DELETE FROM jira_attachment_content WHERE attachment_id = $1", &[id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_attachment WHERE id = $1", &[id.into()]).await?;
    if file.restriction == Restriction::None {
        let item = item().from(Some(file.id.to_string()), Some(file.file_name.clone()));
        history::record(cx.tx(), issue.id, user, now, &[item]).await?;
    }
    touch(cx.tx(), issue.id, now).await?;
    event::updated(&mut cx, issue.id, mark, "issue_updated").await?;
    cx.audit(format!("attachment:{id}"), Some(summary(&file)), None);
    cx.done(Reply::no_content())
}
