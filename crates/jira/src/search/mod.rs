//! Search: from JQL to issues.
//!
//! [`evaluate`] understands a query on behalf of a caller and makes the statement; [`fields`], [`functions`] and [`lookup`] are what
//! it knows of names; [`asker`] is what it knows of the caller. The operations stand in files of their own.

pub mod asker;
mod count;
pub mod evaluate;
pub mod fields;
pub mod fragment;
pub mod functions;
mod jql_search;
pub mod lookup;
mod matches;
mod order;
mod parse;
mod pick;
mod removed;
pub mod sanitise;
mod suggestions;
pub mod text;

#[cfg(test)]
mod tests;

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    removed::handlers(handlers);
    jql_search::handlers(handlers);
    count::handlers(handlers);
    matches::handlers(handlers);
    parse::handlers(handlers);
    suggestions::handlers(handlers);
    pick::handlers(handlers);
    sanitise::handlers(handlers);
}
