//! People, service accounts and groups, their credentials, the site's settings, and the management API over them.
//!
//! It owns the `account_` tables and writes no others; names of projects, roles and schemes are read for explanations only.
//! Functions that take a transaction are for the program's first start and for jobs; everything else is a handler.

mod wire;

pub mod api_token;
pub mod app_user;
mod application;
mod audit_log;
mod audit_records;
pub mod bootstrap;
mod current_session;
mod explain;
mod global_permission;
pub mod group;
mod jira_group;
mod operation;
pub mod password;
pub mod second_factor;
pub mod session;
pub mod settings;
pub mod user;

use portcullis_guard::Handlers;

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers) {
    user::handlers(handlers);
    group::handlers(handlers);
    application::handlers(handlers);
    global_permission::handlers(handlers);
    api_token::handlers(handlers);
    second_factor::handlers(handlers);
    session::handlers(handlers);
    settings::handlers(handlers);
    audit_log::handlers(handlers);
    operation::handlers(handlers);
    explain::handlers(handlers);
    jira_group::handlers(handlers);
    current_session::handlers(handlers);
    audit_records::handlers(handlers);
}
