//! Issue security: schemes of levels, who is in a level, and which scheme a project has.

mod assign;
mod level;
mod member;
mod scheme;

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    scheme::handlers(handlers);
    level::handlers(handlers);
    member::handlers(handlers);
    assign::handlers(handlers);
}
