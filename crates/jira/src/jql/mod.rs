//! JQL, Jira's query language: from text to a tree, without knowing which fields exist.
//!
//! The folder exists so that everything a caller can type is bounded and understood before field knowledge, permissions
//! and SQL come in: behind [`parse`] only a [`Query`] travels. [`date`] reads what a date field may be compared with.
//!
//! What is followed, and how we know:
//! - grammar, tokens, reserved words: compared token by token with Atlassian's published parser `@atlaskit/jql-parser`
//!   3.0 (npm, Apache-2.0), and
//!   <https://support.atlassian.com/jira-software-cloud/docs/what-is-advanced-search-in-jira-cloud/>;
//! - error words and positions: answers of live sites quoted in public tests and issues, the example of `POST
//!   /jql/parse` in Atlassian's OpenAPI document, and the messages of `@atlaskit/jql-editor` (npm, Apache-2.0). Where
//!   these disagree, the answer a server gave wins.

mod ast;
pub mod date;
mod error;
mod lexer;
mod parser;
mod webhook;

pub use ast::{
    Clause, Direction, Field, Operand, Operator, Order, Position, Predicate, PredicateKind, Query, Terminal, Value,
    quote_value,
};
pub use error::{Found, ParseError};
pub use lexer::{KEYWORDS, RESERVED_WORDS};
pub use parser::{parse, parse_strict};
pub use webhook::webhook_problem;

/// The longest text that is read, in bytes. Jira's own bound is not published; the longest query a client of ours sends
/// is a list of some thousand keys.
pub const TEXT_BYTES_MAX: usize = 100_000;

/// How deep parentheses, `NOT`s and lists in lists may be nested, together. Keeps the recursion of parser, printer and
/// evaluator far below the 2 MiB stack of a worker thread.
pub const DEPTH_MAX: usize = 100;

/// The most clauses (`field operator value`) in one query. Each becomes at least one SQL condition; SQLite refuses
/// expressions deeper than 1000.
pub const CLAUSES_MAX: usize = 500;

/// The most values in one list and the most arguments of one function.
pub const LIST_VALUES_MAX: usize = 5_000;

/// The most values and arguments in one query. Each becomes a bound parameter, of which SQLite takes 32766 in a
/// statement.
pub const QUERY_VALUES_MAX: usize = 20_000;

/// The most fields after `ORDER BY`.
pub const ORDER_FIELDS_MAX: usize = 50;
