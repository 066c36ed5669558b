//! The HTTP surface: routes from the operation table, bounds on what strangers send, shapes of errors, metrics.
//!
//! It decides nothing: it finds the row, hands the head to the guard, parses the body within bounds, and words what comes back.

mod accept;
mod body;
pub mod config;
mod cors;
mod dispatch;
mod emulator;
mod errors;
mod forward;
mod head;
mod metrics;
mod openapi;
mod pages;
pub mod parse;
mod patience;
mod response;
mod roles;
mod routes;
mod server;
mod tls;
mod trail;

pub use config::Config;
pub use dispatch::{Gateway, Request};
pub use forward::{Forwarded, Reaches};
pub use response::Response;
pub use roles::Hosts;
pub use server::serve;
pub use tls::{Tls, TlsError};
