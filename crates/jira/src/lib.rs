//! The resource server: projects, issues and what belongs to them, in the shapes of Jira's REST API.
//!
//! Handlers get a decided [`Ctx`](portcullis_guard::Ctx) and never ask who the caller is to allow an operation as a whole; what they
//! check are rules on single fields and items. SQL lives beside its concept, in files named `sql.rs` or constants at the top.

mod attachment;
pub mod bootstrap;
mod category;
mod comment;
mod component;
mod dashboard;
mod event;
mod field;
mod filter;
mod group;
pub mod issue;
mod issue_link;
mod issue_type;
pub mod jql;
mod label;
mod link_type;
mod myself;
mod permission;
mod preference;
mod priority;
pub mod project;
mod property;
pub mod refs;
mod remote_link;
mod resolution;
mod restriction;
pub mod rich_text;
pub mod role;
pub mod search;
mod security;
mod server_info;
mod status;
pub mod text;
mod user;
mod version;
pub mod visible;
mod vote;
mod watcher;
pub mod wire;
mod worklog;

use portcullis_guard::Handlers;

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers) {
    issue::handlers(handlers);
    attachment::handlers(handlers);
    comment::handlers(handlers);
    dashboard::handlers(handlers);
    filter::handlers(handlers);
    issue_link::handlers(handlers);
    remote_link::handlers(handlers);
    search::handlers(handlers);
    vote::handlers(handlers);
    watcher::handlers(handlers);
    worklog::handlers(handlers);
    category::handlers(handlers);
    component::handlers(handlers);
    field::handlers(handlers);
    group::handlers(handlers);
    issue_type::handlers(handlers);
    label::handlers(handlers);
    link_type::handlers(handlers);
    myself::handlers(handlers);
    permission::handlers(handlers);
    preference::handlers(handlers);
    priority::handlers(handlers);
    project::handlers(handlers);
    property::handlers(handlers);
    resolution::handlers(handlers);
    role::handlers(handlers);
    security::handlers(handlers);
    server_info::handlers(handlers);
    status::handlers(handlers);
    user::handlers(handlers);
    version::handlers(handlers);
}
