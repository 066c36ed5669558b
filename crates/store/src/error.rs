use std::{fmt, io, path::PathBuf, sync::Arc};

/// Everything that can go wrong below the domain. No variant carries a bound value or a connection URL.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // Opening, migrating, backing up.
    /// Another process (or another `Store`) has this database open.
    #[error("database is in use: `{}` is locked by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The database was migrated by a newer program. Nothing was changed.
    #[error("database has schema version {found}, this program knows {known}: install the newer program")]
    NewerSchema {
        /// Highest version recorded in the database.
        found: i64,
        /// Highest version compiled in.
        known: i64,
    },
    /// A recorded migration has another name than the one compiled in, or is missing: the database belongs to another build.
    #[error("migration {version} in the database is not the one this program knows")]
    MigrationMismatch {
        /// The version that differs.
        version: i64,
    },
    /// The file is a database of another program.
    #[error("`{}` is not a database of this program", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The backup cannot be restored; the target was not touched.
    #[error("`{}` is not a sound backup: {why}", path.display())]
    BadBackup {
        /// The backup file.
        path: PathBuf,
        /// What the check found.
        why: String,
    },
    /// The target exists and overwriting was not asked for.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The engine does not offer this; the text says what to use instead.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The PostgreSQL URL cannot be read. The URL is not repeated, as it may hold a password.
    #[error("the PostgreSQL connection string cannot be read")]
    InvalidUrl,
    /// A schema name may hold `a-z`, `0-9` and `_` only.
    #[error("schema name may hold a-z, 0-9 and _ only, at most 60")]
    InvalidSchemaName,
    /// The file system refused.
    #[error("cannot access `{}`", path.display())]
    Io {
        /// The file in question.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    // What a caller may expect and handle.
    /// `query_one` found nothing.
    #[error("no row where one was expected")]
    NoRow,
    /// `query_one` or `query_opt` found more than one row.
    #[error("more than one row where at most one was expected")]
    TooManyRows,
    /// Another transaction came first; run this one again from the start.
    #[error("another transaction came first")]
    Conflict,
    /// A unique constraint or primary key was violated.
    #[error("not unique: {constraint}")]
    Unique {
        /// `table.column, table.column` on both engines; `index 'name'` for an index over expressions.
        constraint: String,
    },
    /// A foreign key was violated.
    #[error("foreign key violated")]
    ForeignKey,
    /// A `CHECK`, `NOT NULL` or column type was violated.
    #[error("constraint violated: {constraint}")]
    Constraint {
        /// As the engine names it.
        constraint: String,
    },
    /// The schema itself refuses this, for example a change of an append-only table.
    #[error("refused by the schema: {reason}")]
    Refused {
        /// The text of the trigger.
        reason: String,
    },
    /// No connection, writer lane or lock within the deadline (5 s). Nothing was changed.
    #[error("the database is busy")]
    Busy,
    /// The database cannot be reached, or went away before the commit was sent. Nothing was changed.
    #[error("the database cannot be reached")]
    Unavailable(#[source] EngineError),
    /// The commit was sent and its outcome is not known: it may have happened.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown(#[source] EngineError),

    // Mistakes in our own code.
    /// A statement of this transaction failed before; it was or will be rolled back.
    #[error("an earlier statement of this transaction failed")]
    Aborted,
    /// The statement's placeholders and the given values differ in number.
    #[error("statement has {expected} placeholders, {given} values were given")]
    Parameters {
        /// Distinct placeholders in the statement.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// A value cannot be bound on both engines.
    #[error("value {number} cannot be bound: {why}")]
    Bind {
        /// Number of the placeholder, from 1.
        number: usize,
        /// Why; never the value.
        why: String,
    },
    /// A result column is unknown or has another type.
    #[error("column `{column}`: {problem}")]
    Column {
        /// Name of the column.
        column: String,
        /// What is wrong with it; never its value.
        problem: &'static str,
    },
    /// Any other error of the engine.
    #[error("database error")]
    Engine(#[source] EngineError),
}

/// An engine's own words, kept for the log. Opaque, so that no driver type leaves this crate; cheap to clone, since one failed
/// commit may concern several transactions.
#[derive(Clone)]
pub struct EngineError(Arc<str>);

impl EngineError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for EngineError {}
