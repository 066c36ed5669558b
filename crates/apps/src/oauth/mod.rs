//! OAuth 2.0: the authorization server and the life of apps that people let in.
//!
//! | what | where |
//! |---|---|
//! | apps, their secrets and addresses | [`client`], [`redirect_uri`] |
//! | what an app asks for, and what people allow it | [`authorize`], [`grant`], [`scope`] |
//! | codes, families of refresh tokens, access tokens | [`code`], [`family`], [`access_token`] |
//! | clients that introduce themselves by an address | [`metadata_document`] |
//! | a call that a developer tries | [`test_call`] |
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
pub mod metadata_document;
mod par;
pub mod redirect_uri;
mod register;
mod resource;
mod revoke;
pub mod scope;
pub mod sweep;
pub mod test_call;
mod token;

use portcullis_guard::Handlers;

use crate::connect::Services;

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
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
    test_call::handlers(handlers, services);
    token::handlers(handlers);
}
