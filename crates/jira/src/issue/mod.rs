//! Issues: what they hold, how they are read and written, and who may set which field.
//!
//! The guard has decided on the operation as a whole; what is checked here are the rules on single fields, on parents and links
//! (whose other issue has to be visible) and on what a transition carries.

pub mod assign;
pub mod content;
pub mod create;
pub mod delete;
pub mod duration;
pub mod edit;
pub mod facts;
pub mod fields;
pub mod history;
pub mod meta;
pub mod read;
pub mod sql;
pub mod transition;

pub use history::touch;

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    read::handlers(handlers);
    create::handlers(handlers);
    edit::handlers(handlers);
    assign::handlers(handlers);
    delete::handlers(handlers);
    transition::handlers(handlers);
    meta::handlers(handlers);
    history::handlers(handlers);
}
