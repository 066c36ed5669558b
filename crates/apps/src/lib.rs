//! Apps and what they are let do. So far OAuth 2.0 (3LO) apps: clients, consent, tokens, revocation.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod oauth;
pub mod signing_key;
mod wire;

use portcullis_guard::Handlers;

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers) {
    oauth::handlers(handlers);
    signing_key::handlers(handlers);
}
