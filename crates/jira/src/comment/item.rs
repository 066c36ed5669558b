//! One comment: its row, and how it is shown.

use portcullis_authz::decide::Restriction;
use portcullis_guard::{AnyMode, Input, Row, StoreError, Tx, View};
use portcullis_model::UserId;
use serde_json::{Map, Value as Json};

use crate::comment::{html_of, properties_of, shown_text};
use crate::restriction::{self, Names};
use crate::wire;

/// What a query for comments starts with; the comment is `c`.
pub(super) const COLUMNS: &str =
    "SELECT c.id, c.issue_id, c.author_id, c.update_author_id, c.body, c.restriction_type, c.group_id, c.role_id,
            c.created_at_ms, c.updated_at_ms ";

#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub id: i64,
    pub issue: i64,
    pub author: Option<UserId>,
    pub update_author: Option<UserId>,
    pub body: String,
    pub restriction: Restriction,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

impl Comment {
    pub(super) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            issue: row.get("issue_id")?,
            author: row.get::<Option<i64>>("author_id")?.map(UserId),
            update_author: row.get::<Option<i64>>("update_author_id")?.map(UserId),
            body: row.get("body")?,
            restriction: restriction::of_row(row)?,
            created_at_ms: row.get("created_at_ms")?,
            updated_at_ms: row.get("updated_at_ms")?,
        })
    }
}

/// What is shown besides the ordinary members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    pub rendered: bool,
    pub properties: bool,
}

impl Extras {
    pub(super) fn of(input: &Input) -> Self {
        Self { rendered: wire::expands(input, "renderedBody"), properties: wire::expands(input, "properties") }
    }
}

/// Comment objects, in the order of `comments`; all that they need is read in batches.
pub(super) async fn render<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    comments: &[Comment],
    extras: Extras,
) -> Result<Vec<Json>, StoreError> {
    let authors: Vec<UserId> =
        comments.iter().flat_map(|comment| [comment.author, comment.update_author]).flatten().collect();
    let people = wire::people(tx, &authors).await?;
    let names = Names::of(tx, comments.iter().map(|comment| comment.restriction)).await?;
    let mut properties = if extras.properties {
        let ids: Vec<i64> = comments.iter().map(|comment| comment.id).collect();
        properties_of(tx, "comment", &ids).await?
    } else {
        Default::default()
    };
    let mut out = Vec::with_capacity(comments.len());
    for comment in comments {
        let mut json = Map::new();
        let link = input.api_url(&format!("/issue/{}/comment/{}", comment.issue, comment.id));
        json.insert("self".into(), link.into());
        json.insert("id".into(), comment.id.to_string().into());
        // An anonymous author is left out, as Jira does.
        if let Some(author) = comment.author.and_then(|id| people.get(&id)) {
            json.insert("author".into(), author.json(input));
        }
        json.insert("body".into(), shown_text(input, &comment.body));
        if extras.rendered {
            json.insert("renderedBody".into(), html_of(&comment.body).into());
        }
        if let Some(author) = comment.update_author.and_then(|id| people.get(&id)) {
            json.insert("updateAuthor".into(), author.json(input));
        }
        json.insert("created".into(), wire::moment(comment.created_at_ms).into());
        json.insert("updated".into(), wire::moment(comment.updated_at_ms).into());
        if let Some(visibility) = names.json(view, comment.restriction) {
            json.insert("visibility".into(), visibility);
        }
        json.insert("jsdPublic".into(), true.into());
        if extras.properties {
            json.insert("properties".into(), properties.remove(&comment.id).unwrap_or_default().into());
        }
        out.push(Json::Object(json));
    }
    Ok(out)
}
