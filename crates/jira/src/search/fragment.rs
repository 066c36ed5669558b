//! A piece of SQL that waits for its place in the statement: constants, values to bind, lists of ids.

use portcullis_guard::{SqlBuilder, Value};

/// The name of the common table of visible issues, see [`Fragment::seen`].
const SEEN: &str = "(SELECT seen.id FROM seen)";

/// A condition, made while names are looked up and put into the statement when all of it is understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragment {
    pieces: Vec<Piece>,
    /// Values to bind and ids in lists.
    pub values: usize,
    /// How often it asks for the visible issues.
    pub seen: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(&'static str),
    Bind(Value),
    Ids(Vec<i64>),
}

impl Fragment {
    /// Starts with this text.
    pub fn new(text: &'static str) -> Self {
        Self { pieces: vec![Piece::Text(text)], values: 0, seen: 0 }
    }

    /// Matches no issue.
    pub fn never() -> Self {
        Self::new("1 = 0")
    }

    /// Matches every issue.
    pub fn always() -> Self {
        Self::new("1 = 1")
    }

    /// Appends constant text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.pieces.push(Piece::Text(text));
        self
    }

    /// Appends a value to bind.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values += 1;
        let value = match value.into() {
            // The database holds no NUL, so what has one equals nothing; it refuses to compare with it, though.
            Value::Text(text) if text.contains('\0') => Value::Text(text.replace('\0', "\u{fffd}")),
            value => value,
        };
        self.pieces.push(Piece::Bind(value));
        self
    }

    /// Appends a list of ids for `IN`.
    pub fn ids(&mut self, ids: &[i64]) -> &mut Self {
        self.values += ids.len();
        self.pieces.push(Piece::Ids(ids.to_vec()));
        self
    }

    /// Appends the visible issues for `IN`: `(SELECT seen.id FROM seen)`.
    pub fn seen(&mut self) -> &mut Self {
        self.seen += 1;
        self.push(SEEN)
    }

    /// Appends another fragment.
    pub fn add(&mut self, other: Fragment) -> &mut Self {
        self.values += other.values;
        self.seen += other.seen;
        self.pieces.extend(other.pieces);
        self
    }

    /// `(a AND b ..)`, or what matches everything when there is none.
    pub fn all(parts: Vec<Fragment>) -> Self {
        joined(parts, " AND ").unwrap_or_else(Self::always)
    }

    /// `(a OR b ..)`, or what matches nothing when there is none.
    pub fn any(parts: Vec<Fragment>) -> Self {
        joined(parts, " OR ").unwrap_or_else(Self::never)
    }

    /// Puts it into the statement.
    pub fn write_to(&self, sql: &mut SqlBuilder) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push(text),
                Piece::Bind(value) => sql.bind(value.clone()),
                Piece::Ids(ids) => sql.ids(ids),
            };
        }
    }

    /// The text with numbered placeholders, for tests.
    #[cfg(test)]
    pub fn text(&self) -> String {
        let mut number = 0;
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Bind(value) => {
                    number += 1;
                    format!("${number}={value:?}")
                }
                Piece::Ids(ids) => format!("{ids:?}"),
            })
            .collect()
    }
}

/// Joins in halves, so that the depth of the expression grows with the logarithm of its parts (SQLite stops at 1000).
fn joined(mut parts: Vec<Fragment>, word: &'static str) -> Option<Fragment> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let right = joined(parts.split_off(parts.len() / 2), word)?;
    let mut out = Fragment::new("(");
    out.add(joined(parts, word)?).push(word).add(right).push(")");
    Some(out)
}
