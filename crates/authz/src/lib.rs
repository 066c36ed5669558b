//! The decision engine and the operation table.
//!
//! Pure and total: no clock, no I/O, no logging, no error. A missing fact is a refusal. It must not know HTTP or SQL.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod decide;
pub mod op;
pub mod policy;
pub mod row;

pub use decide::{
    Conditions, ConnectGrant, Decision, Fact, Facts, Outcome, Reason, Restriction, Subject, TargetSeen, decide,
};
pub use policy::{Policy, Visibility};
pub use row::{
    AccessSet, Area, CallerRule, ConnectRule, Expr, Locate, Method, Of, Operation, Row, Source, Thing, When,
};
