//! The words of Portcullis: typed ids, permissions, scopes, kinds of access, time, problems.
//!
//! Pure and small: every other crate imports this one, and it imports nothing of ours. It must not know HTTP, SQL or how a
//! decision is made.

pub mod access;
pub mod id;
pub mod mode;
pub mod permission;
pub mod problem;
pub mod scope;
pub mod scope_names;
pub mod time;

pub use access::{AccessKind, Surface};
pub use id::*;
pub use permission::{GlobalPermission, GlobalPermissionSet, ProjectPermission, ProjectPermissionSet};
pub use problem::{Problem, ProblemKind};
pub use scope::{ConnectScope, ScopeSet};
pub use time::{Clock, Timestamp};
