//! What the management API's answers share: moments, pages, and the doors for short texts and ids.

use portcullis_guard::Input;
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

/// Items on a page, when nothing is asked for and at most.
const PAGE_ITEMS_DEFAULT: i64 = 50;
const PAGE_ITEMS_MAX: i64 = 200;

/// A moment as `2026-07-01T12:34:56.789Z`.
pub(crate) fn moment(ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// Reads a moment of a query: RFC 3339, or milliseconds since 1970.
pub(crate) fn parse_moment(name: &str, text: &str) -> Result<i64, Problem> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|_| {
        Problem::invalid(format!("The parameter '{name}' is not a moment. Write it as 2026-07-01T12:34:56Z."))
    })
}

/// `startAt` and `maxResults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    pub start_at: i64,
    pub max_results: i64,
}

impl Paging {
    /// Reads both: a negative `startAt` is 0, `maxResults` is kept within 1 and a fixed bound.
    pub(crate) fn of(input: &Input) -> Result<Self, Problem> {
        Self::up_to(input, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX)
    }

    /// The same with other bounds.
    pub(crate) fn up_to(input: &Input, default: i64, max: i64) -> Result<Self, Problem> {
        let start_at = input.query_int("startAt")?.unwrap_or(0).max(0);
        let max_results = input.query_int("maxResults")?.unwrap_or(default).clamp(1, max);
        Ok(Self { start_at, max_results })
    }

    /// The page of a list that is in memory.
    pub(crate) fn cut<T>(self, items: impl Iterator<Item = T>) -> Vec<T> {
        let skip = usize::try_from(self.start_at).unwrap_or(usize::MAX);
        let take = usize::try_from(self.max_results).unwrap_or(0);
        items.skip(skip).take(take).collect()
    }

    /// `{"values": [..], "startAt": .., "maxResults": .., "total": ..}`.
    pub(crate) fn page(self, total: i64, values: Vec<Json>) -> Json {
        json!({"values": values, "startAt": self.start_at, "maxResults": self.max_results, "total": total})
    }
}

/// A list that is whole.
pub(crate) fn whole(values: Vec<Json>) -> Json {
    json!({"startAt": 0, "maxResults": values.len(), "total": values.len(), "values": values})
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

/// A text of a query or path that is compared with stored texts. A NUL is in none of them, and no engine takes one.
pub(crate) fn comparable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A pattern for `LIKE .. ESCAPE '!'` that finds `text` anywhere in a folded column.
pub(crate) fn contains_pattern(text: &str) -> String {
    let mut out = String::from("%");
    for letter in comparable(text).to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(letter);
    }
    out.push('%');
    out
}

#[cfg(test)]
mod tests {
    use super::{contains_pattern, line, moment, parse_moment};

    #[test]
    fn moments_read_back() {
        assert_eq!(moment(1_751_373_296_789), "2025-07-01T12:34:56.789Z");
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_moment("from", "2025-07-01T12:34:56.789Z").ok(), Some(1_751_373_296_789));
        assert_eq!(parse_moment("from", "1751373296789").ok(), Some(1_751_373_296_789));
        assert!(parse_moment("from", "yesterday").is_err());
    }

    #[test]
    fn lines_are_trimmed_and_bounded() {
        assert_eq!(line("name", "  a b ", 3).ok().as_deref(), Some("a b"));
        for text in ["", "  ", "abcd", "a\0b", "a\nb"] {
            assert!(line("name", text, 3).is_err(), "{text:?}");
        }
    }

    #[test]
    fn wildcards_are_taken_literally() {
        assert_eq!(contains_pattern("50%_A!"), "%50!%!_a!!%");
    }
}
