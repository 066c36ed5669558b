//! The text of a comment or worklog at the door: wiki markup in v2, ADF in v3, ADF in the database.

use portcullis_guard::{ApiVersion, Input};
use portcullis_model::Problem;
use serde_json::Value as Json;

use crate::rich_text::Document;

/// Longest text, in characters; Jira's limit.
pub(crate) const TEXT_CHARS_MAX: usize = 32_767;

/// Reads rich text as the called version writes it.
///
/// # Errors
/// 400 under `comment`, which is Jira's name for it in both resources.
pub(crate) fn read_text(input: &Input, value: &Json) -> Result<Document, Problem> {
    let not_valid = || Problem::field("comment", "Comment body is not valid!");
    let too_long = || {
        Problem::field("comment", "The entered text is too long. It exceeds the allowed limit of 32,767 characters.")
    };
    match (input.version(), value) {
        (ApiVersion::V2, Json::String(markup)) => {
            if markup.chars().count() > TEXT_CHARS_MAX {
                return Err(too_long());
            }
            Ok(Document::from_wiki(markup))
        }
        (ApiVersion::V3, Json::Object(_)) => {
            let document = Document::from_adf(value.clone()).map_err(|_| not_valid())?;
            if document.to_text().chars().count() > TEXT_CHARS_MAX {
                return Err(too_long());
            }
            Ok(document)
        }
        (ApiVersion::V2 | ApiVersion::V3, _) => Err(not_valid()),
    }
}

fn stored(text: &str) -> Option<Document> {
    Document::from_adf(serde_json::from_str(text).ok()?).ok()
}

/// Stored text as the called version shows it.
pub(crate) fn shown_text(input: &Input, text: &str) -> Json {
    match (input.version(), stored(text)) {
        (ApiVersion::V2, Some(document)) => document.to_wiki().into(),
        (ApiVersion::V3, Some(document)) => document.into_json(),
        (ApiVersion::V2 | ApiVersion::V3, None) => Json::Null,
    }
}

/// Stored text as HTML.
pub(crate) fn html_of(text: &str) -> String {
    stored(text).map(|document| document.to_html()).unwrap_or_default()
}
