//! Saved filters: a query with a name, an owner, and people it is shared with.
//!
//! A filter that is not shared with the caller looks absent everywhere: by id (the guard decides), in lists, in queries that name it.
//! Shares are no part of the policy snapshot: they are read where they are needed, in the transaction of the request.

mod change;
mod favourite;
mod item;
mod list;
mod scope;
mod share;

use portcullis_guard::Handlers;
use portcullis_model::Problem;

pub(crate) fn handlers(handlers: &mut Handlers) {
    change::handlers(handlers);
    favourite::handlers(handlers);
    list::handlers(handlers);
    scope::handlers(handlers);
    share::handlers(handlers);
}

/// The answer for a filter that is not there, as the guard gives it for one that is hidden.
fn unavailable() -> Problem {
    Problem::invalid(
        "The selected filter is not available to you, perhaps it has been deleted or had its permissions changed.",
    )
}
