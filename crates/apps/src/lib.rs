//! Apps and what they are let do: OAuth 2.0 (3LO) apps with consent and tokens, Connect apps with their installation, and
//! what both are told of: webhooks.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod access_rule;
pub mod connect;
pub mod edge;
pub mod oauth;
pub mod signing_key;
pub mod webhook;
pub mod wire;

use portcullis_guard::Handlers;

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers, services: &connect::Services) {
    oauth::handlers(handlers, services);
    connect::handlers(handlers, services);
    access_rule::handlers(handlers);
    signing_key::handlers(handlers);
    webhook::handlers(handlers, services);
}
