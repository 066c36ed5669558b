//! The only crate that names a database driver: one SQL text on two engines (an embedded SQLite file, or PostgreSQL).
//!
//! - [`Store`] opens a database (lock, migrations) and begins transactions in one of three modes: [`Read`], [`Write`], [`Policy`].
//! - A [`Tx`] runs SQL that is `&'static str` or was made by [`SqlBuilder`]; nothing else can become SQL, so no input can.
//! - A write commits together with its [`AuditEntry`]; a policy change also raises the policy head and leaves a [`PolicyLogEntry`].
//! - A write can leave a [`Message`] in the outbox, which a job sends once it is committed.
//!
//! What an SQL text may use so that it means the same on both engines:
//! - `$1`, `$2`, .. bound by number, each value used at least once. Where PostgreSQL cannot infer a type: `CAST($1 AS BIGINT)`.
//! - 64-bit integers, text, bytes and null; booleans are the integers 0 and 1.
//! - Explicit order: `NULLS FIRST`/`NULLS LAST`, and `{{c}}` after a text expression that is ordered or compared by size; it
//!   becomes `COLLATE "C"` on PostgreSQL and nothing on SQLite, where bytes are the order already.
//! - After a failed statement the transaction is over, on both engines: use `ON CONFLICT` instead of trying and catching.
//! - No deferred constraints: one transaction could then fail the others in its group at their common commit.

mod audit;
mod error;
mod migrations;
mod outbox;
mod postgres;
mod problem;
mod sql;
mod sqlite;
mod store;
mod tx;
mod value;

pub use audit::{AuditEntry, PolicyLogEntry};
pub use error::{EngineError, StoreError};
pub use outbox::{Claimed, Counted, Message, Sent};
pub use sql::{Sql, SqlBuilder};
pub use sqlite::{Overwrite, backup_file, restore};
pub use store::{Store, StoreConfig};
pub use tx::{Mode, Policy, Read, Tx, Write, Writes};
pub use value::{FromValue, Row, Value};
