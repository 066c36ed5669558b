//! OAuth 2.0: the authorization server and the life of apps that people let in.
//!
//! | what | where |
//! |---|---|
//! | apps, their secrets and addresses | [`client`], [`redirect_uri`] |
//! | what an app asks for, and what people allow it | [`authorize`], [`grant`], [`scope`] |
//! | codes, families of refresh tokens, access tokens | [`code`], [`family`], [`access_token`] |
//! | endpoints | `token`, `revoke`, `introspect`, `par`, `device`, `register`, `metadata`, `resource` |

pub mod access_token;
pub mod authorize;
pub mod client;
pub mod code;
pub mod device;
mod error;
pub mod family;
pub mod grant;
mod introspect;
mod metadata;
mod par;
pub mod redirect_uri;
mod register;
mod resource;
mod revoke;
pub mod scope;
pub mod sweep;
mod token;

use portcullis_guard::Handlers;

pub(crate) fn handlers(handlers: &mut Handlers) {
    client::handlers(handlers);
    device::handlers(handlers);
    grant::handlers(handlers);
    introspect::handlers(handlers);
    metadata::handlers(handlers);
    par::handlers(handlers);
    register::handlers(handlers);
    resource::handlers(handlers);
    revoke::handlers(handlers);
    scope::handlers(handlers);
    token::handlers(handlers);
}
