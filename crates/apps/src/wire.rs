//! What the answers of apps' operations share.

use portcullis_guard::Reply;
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

/// A moment as `2026-07-01T12:34:56.789Z`.
pub fn moment(ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// A list that is whole.
pub fn whole(values: Vec<Json>) -> Json {
    json!({"startAt": 0, "maxResults": values.len(), "total": values.len(), "values": values})
}

/// What the vendor's operations on properties of apps say: a status and a sentence.
pub fn said(status: u16, message: &str) -> Reply {
    Reply::json(json!({"message": message, "statusCode": status})).with_status(status)
}

/// The door for a short text of one line: trimmed, not empty, bounded, without control characters.
pub(crate) fn line(field: &str, text: &str, chars_max: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, format!("{field} must not be empty.")));
    }
    if text.chars().count() > chars_max {
        return Err(Problem::field(field, format!("{field} can have at most {chars_max} characters.")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, format!("{field} must not contain control characters.")));
    }
    Ok(text.to_owned())
}

/// Texts joined by blanks, in the order they stand, each once.
pub(crate) fn each_once(text: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.contains(&word) {
            out.push(word);
        }
    }
    out.join(" ")
}
