//! What the answers of this crate share.

use portcullis_model::Problem;
use serde_json::Value as Json;

pub(crate) use portcullis_apps::wire::{moment, whole};

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
