//! Why a request was refused, whether an account holds a permission and through what, and the smallest change that would do.
//!
//! Explanations are for those who may know: the site's administrators everything, a caller what concerns its own credential.
//! What is hidden from the caller is never told apart from what does not exist.

mod decision;
mod question;

mod change;
mod site;
mod words;

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(decision::get);
    handlers.on(question::explain);
}
