//! Reading attachments: the site's settings, one described, its content, and those of issues.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Input, Outcome, Reply, ReplyBody, SqlBuilder, StoreError, Tx, View};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::item::{Attachment, FROM, authors, one};
use super::{FILE_BYTES_MAX, PER_ISSUE_MAX};
use crate::comment::projects_of_issues;
use crate::restriction::push_unrestricted_in;

/// `GET /attachment/meta`.
pub async fn meta(cx: Ctx<op::GetAttachmentMeta>, _: Input) -> Outcome<op::GetAttachmentMeta> {
    cx.done(Reply::json(json!({"enabled": true, "uploadLimit": FILE_BYTES_MAX})))
}

/// `GET /attachment/{id}`: here, and only here, Jira's `id` is a number.
pub async fn get(mut cx: Ctx<op::GetAttachment>, input: Input) -> Outcome<op::GetAttachment> {
    let id = cx.target().thing()?;
    let attachment = one(cx.tx(), id).await?.ok_or_else(|| absent(input.param("id")))?;
    let people = authors(cx.tx(), std::slice::from_ref(&attachment)).await?;
    let mut json = attachment.json(&people, &input);
    json.insert("id".into(), attachment.id.into());
    cx.done(Reply::json(Json::Object(json)))
}

/// `GET /attachment/content/{id}`.
pub async fn content(mut cx: Ctx<op::GetAttachmentContent>, input: Input) -> Outcome<op::GetAttachmentContent> {
    let id = cx.target().thing()?;
    let reply = download(cx.tx(), id, &input).await?;
    cx.done(reply)
}

/// `GET /secure/attachment/{id}/{fileName}`: the address that older clients know. The name in it is not looked at.
pub async fn file(mut cx: Ctx<op::PortcullisAttachmentFile>, input: Input) -> Outcome<op::PortcullisAttachmentFile> {
    let id = cx.target().thing()?;
    let reply = download(cx.tx(), id, &input).await?;
    cx.done(reply)
}

async fn download<M: AnyMode>(tx: &mut Tx<M>, id: i64, input: &Input) -> Result<Reply, Problem> {
    let attachment = one(tx, id).await?.ok_or_else(|| absent(input.param("id")))?;
    let sql = "SELECT content FROM jira_attachment_content WHERE attachment_id = $1";
    let content = tx.query_one(sql, &[id.into()]).await?.get("content")?;
    let body = ReplyBody::Bytes { content_type: attachment.mime_type, file_name: attachment.file_name, content };
    Ok(Reply { status: 200, headers: Vec::new(), body })
}

/// `fields.attachment` of issues that the caller may see; an issue without attachments is absent.
///
/// # Errors
/// The database's.
pub(crate) async fn of_issues<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issues: &[i64],
) -> Result<HashMap<i64, Vec<Json>>, StoreError> {
    let mut out: HashMap<i64, Vec<Json>> = HashMap::new();
    if issues.is_empty() {
        return Ok(out);
    }
    let projects = projects_of_issues(tx, issues).await?;
    let limit = i64::try_from(issues.len()).unwrap_or(i64::MAX).saturating_mul(PER_ISSUE_MAX);
    let mut sql = SqlBuilder::new(FROM);
    sql.push("a.issue_id IN ").ids(issues).push(" AND ");
    push_unrestricted_in(&mut sql, view, &projects);
    sql.push(" ORDER BY a.id LIMIT ").bind(limit);
    let attachments: Vec<Attachment> =
        tx.query(sql, &[]).await?.iter().map(Attachment::of).collect::<Result<_, StoreError>>()?;
    let people = authors(tx, &attachments).await?;
    for attachment in &attachments {
        out.entry(attachment.issue).or_default().push(Json::Object(attachment.json(&people, input)));
    }
    Ok(out)
}

pub(super) fn absent(id: &str) -> Problem {
    Problem::not_found(format!("The attachment with id '{id}' does not exist"))
}
