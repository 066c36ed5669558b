//! What the answers of this crate share.

use portcullis_model::Problem;
use serde_json::{Value as Json, json};

/// A moment as `2026-07-01T12:34:56.789Z`.
pub(crate) fn moment(ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// A list that is whole.
pub(crate) fn whole(values: Vec<Json>) -> Json {
    json!({"startAt": 0, "maxResults": values.len(), "total": values.len(), "values": values})
}

/// A text of one line from a body: trimmed, not empty, bounded.
pub(crate) fn line(body: &Json, field: &str, chars_max: usize) -> Result<String, Problem> {
    let text = body.get(field).and_then(Json::as_str).unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > chars_max || text.chars().any(char::is_control) {
        return Err(Problem::field(field, format!("{field} is a line of 1 to {chars_max} characters.")));
    }
    Ok(text.to_owned())
}

/// The UUID at the end of an identifier as the vendor writes it (`ari:cloud:ecosystem::app/…`), or the UUID itself.
pub(crate) fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
