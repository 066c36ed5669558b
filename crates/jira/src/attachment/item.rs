//! One attachment: its row, its name and type at the door, and how it is shown.

use std::collections::HashMap;

use portcullis_authz::decide::Restriction;
use portcullis_guard::{AnyMode, Input, Row, SqlBuilder, StoreError, Tx};
use portcullis_model::UserId;
use serde_json::{Map, Value as Json};

use crate::restriction;
use crate::wire::{self, Person};

const NAME_CHARS_MAX: usize = 255;
const TYPE_CHARS_MAX: usize = 127;
/// What an attachment is whose type nobody told.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A query for attachments `a` with the comment `c` that may restrict them; ends before its condition.
pub(super) const FROM: &str = "
    SELECT a.id, a.issue_id, a.author_id, a.file_name, a.mime_type, a.size_bytes, a.created_at_ms,
           c.restriction_type, c.group_id, c.role_id
      FROM jira_attachment a
      JOIN jira_issue i ON i.id = a.issue_id
      LEFT JOIN jira_comment c ON c.id = a.comment_id
     WHERE ";

#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub id: i64,
    pub issue: i64,
    pub author: Option<UserId>,
    pub file_name: String,
    pub mime_type: String,
    pub size_bytes: i64,
    pub created_at_ms: i64,
    pub restriction: Restriction,
}

impl Attachment {
    pub(super) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            issue: row.get("issue_id")?,
            author: row.get::<Option<i64>>("author_id")?.map(UserId),
            file_name: row.get("file_name")?,
            mime_type: row.get("mime_type")?,
            size_bytes: row.get("size_bytes")?,
            created_at_ms: row.get("created_at_ms")?,
            restriction: restriction::of_row(row)?,
        })
    }

    /// The object as it stands in an issue and in the answer to an upload.
    pub(super) fn json(&self, people: &HashMap<UserId, Person>, input: &Input) -> Map<String, Json> {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/attachment/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        out.insert("filename".into(), self.file_name.clone().into());
        if let Some(author) = self.author.and_then(|id| people.get(&id)) {
            out.insert("author".into(), author.json(input));
        }
        out.insert("created".into(), wire::moment(self.created_at_ms).into());
        out.insert("size".into(), self.size_bytes.into());
        out.insert("mimeType".into(), self.mime_type.clone().into());
        out.insert("content".into(), input.api_url(&format!("/attachment/content/{}", self.id)).into());
        out
    }
}

/// The attachment with this id; whether the caller may see it was decided before.
pub(super) async fn one<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Option<Attachment>, StoreError> {
    let mut sql = SqlBuilder::new(FROM);
    sql.push("a.id = ").bind(id);
    tx.query_opt(sql, &[]).await?.map(|row| Attachment::of(&row)).transpose()
}

/// An attachment and whom it is restricted to; for telling others of it.
///
/// # Errors
/// The database's.
pub(crate) async fn one_json<M: AnyMode>(
    tx: &mut Tx<M>,
    input: &Input,
    id: i64,
) -> Result<Option<(Restriction, Json)>, StoreError> {
    let Some(file) = one(tx, id).await? else { return Ok(None) };
    let people = authors(tx, std::slice::from_ref(&file)).await?;
    Ok(Some((file.restriction, Json::Object(file.json(&people, input)))))
}

/// The people who made some attachments.
pub(super) async fn authors<M: AnyMode>(
    tx: &mut Tx<M>,
    attachments: &[Attachment],
) -> Result<HashMap<UserId, Person>, StoreError> {
    let ids: Vec<UserId> = attachments.iter().filter_map(|attachment| attachment.author).collect();
    wire::people(tx, &ids).await
}

/// A file name without folders and control characters, cut to what fits. `None` when nothing is left.
pub(super) fn clean_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or("");
    let name: String = name.chars().filter(|c| !c.is_control() && !is_direction(*c)).take(NAME_CHARS_MAX).collect();
    let name = name.trim();
    if name.is_empty() || name == "." || name == ".." { None } else { Some(name.to_owned()) }
}

/// Characters that turn the direction of writing, with which `gpj.exe` can be made to look like `exe.jpg`.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A declared type as `type/subtype` in lower case, without parameters; one that has not that form is as good as none.
pub(super) fn clean_type(declared: Option<&str>) -> String {
    let essence = declared.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    match essence.split_once('/') {
        Some((kind, sub)) if essence.len() <= TYPE_CHARS_MAX && is_token(kind) && is_token(sub) => essence,
        _ => UNKNOWN_TYPE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{clean_name, clean_type};

    #[test]
    fn file_names_lose_folders_and_tricks() {
        assert_eq!(clean_name("note.txt").as_deref(), Some("note.txt"));
        assert_eq!(clean_name("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(clean_name("C:\\temp\\a b.txt").as_deref(), Some("a b.txt"));
        assert_eq!(clean_name("a\r\nb\0.txt").as_deref(), Some("ab.txt"));
        assert_eq!(clean_name("x\u{202e}gpj.exe").as_deref(), Some("xgpj.exe"));
        assert_eq!(clean_name("заметка 🎯.txt").as_deref(), Some("заметка 🎯.txt"));
        assert_eq!(clean_name(&"n".repeat(300)).map(|name| name.len()), Some(255));
        for empty in ["", "   ", "a/", "..", "\n"] {
            assert_eq!(clean_name(empty), None, "{empty:?}");
        }
    }

    #[test]
    fn types_are_plain_or_unknown() {
        assert_eq!(clean_type(Some("text/plain")), "text/plain");
        assert_eq!(clean_type(Some("Text/HTML; charset=utf-8")), "text/html");
        assert_eq!(clean_type(Some("image/svg+xml")), "image/svg+xml");
        for odd in [None, Some(""), Some("text"), Some("text/"), Some("a/b/c"), Some("text/pl\r\nx: y")] {
            assert_eq!(clean_type(odd), "application/octet-stream", "{odd:?}");
        }
    }
}
