use std::marker::PhantomData;

pub use portcullis_model::mode::{Policy, Read, Write};

use crate::{
    AuditEntry, PolicyLogEntry, Row, Sql, StoreError, Value,
    audit::{APPEND_POLICY_LOG, INSERT_AUDIT_ENTRY, RAISE_POLICY_HEAD},
    postgres::Lease,
    sqlite::{Reader, Turn},
};

/// What a transaction may do.
pub trait Mode: sealed::Sealed + Send + Sync + 'static {}
/// A mode that changes data.
pub trait Writes: Mode {}

impl Mode for Read {}
impl Mode for Write {}
impl Mode for Policy {}
impl Writes for Write {}
impl Writes for Policy {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Read {}
    impl Sealed for super::Write {}
    impl Sealed for super::Policy {}
}

/// An open transaction. Dropping it rolls it back.
///
/// On SQLite statements run on the calling task, without giving way: bound what they touch.
pub struct Tx<M: Mode> {
    handle: Handle,
    revision: i64,
    /// A statement failed. PostgreSQL ends a transaction then and SQLite does not; here it is over on both.
    failed: bool,
    mode: PhantomData<fn() -> M>,
}

pub(crate) enum Handle {
    Reader(Reader),
    Writer(Turn),
    Postgres(Lease),
}

impl<M: Mode> Tx<M> {
    /// The policy head's revision, read inside this transaction when it opened.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// What the engine reports; the transaction is over then ([`StoreError::Aborted`] from here on).
    pub async fn query(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        self.check_usable()?;
        let values = sql.values(params)?;
        let result = match &mut self.handle {
            Handle::Reader(reader) => reader.query(&sql, values),
            Handle::Writer(turn) => turn.query(&sql, values),
            Handle::Postgres(lease) => lease.query(&sql, values).await,
        };
        self.failed = result.is_err();
        result
    }

    /// The row of a query that has at most one.
    ///
    /// # Errors
    /// [`StoreError::TooManyRows`]; else as [`Tx::query`].
    pub async fn query_opt(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Option<Row>, StoreError> {
        let mut rows = self.query(sql, params).await?.into_iter();
        let first = rows.next();
        if rows.next().is_some() { Err(StoreError::TooManyRows) } else { Ok(first) }
    }

    /// The row of a query that has exactly one.
    ///
    /// # Errors
    /// [`StoreError::NoRow`], [`StoreError::TooManyRows`]; else as [`Tx::query`].
    pub async fn query_one(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Row, StoreError> {
        self.query_opt(sql, params).await?.ok_or(StoreError::NoRow)
    }

    pub(crate) fn new(handle: Handle, revision: i64) -> Self {
        Self { handle, revision, failed: false, mode: PhantomData }
    }

    /// INVARIANT: nothing runs after a failure. On PostgreSQL a `COMMIT` would then roll back and report success.
    fn check_usable(&self) -> Result<(), StoreError> {
        if self.failed { Err(StoreError::Aborted) } else { Ok(()) }
    }
}

impl<M: Writes> Tx<M> {
    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// As [`Tx::query`]; constraints as [`StoreError::Unique`], [`StoreError::ForeignKey`], [`StoreError::Constraint`].
    pub async fn execute(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<u64, StoreError> {
        let sql = sql.into();
        self.check_usable()?;
        let values = sql.values(params)?;
        let result = match &mut self.handle {
            Handle::Reader(reader) => reader.execute(&sql, values),
            Handle::Writer(turn) => turn.execute(&sql, values),
            Handle::Postgres(lease) => lease.execute(&sql, values).await,
        };
        self.failed = result.is_err();
        result
    }

    /// Appends an audit entry besides the one that the commit appends.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.execute(INSERT_AUDIT_ENTRY, &entry.values()).await.map(drop)
    }
}

impl Tx<Read> {
    /// Ends the reading and gives the connection back, as dropping does.
    ///
    /// # Errors
    /// What the engine reports.
    pub async fn finish(self) -> Result<(), StoreError> {
        match self.handle {
            Handle::Reader(reader) => reader.finish(),
            // On PostgreSQL the connection leaves its transaction in the background: the reply need not wait for that.
            Handle::Writer(_) | Handle::Postgres(_) => Ok(()),
        }
    }
}

impl Tx<Write> {
    /// Commits the changes with their audit entry. When this returns they are on disk.
    ///
    /// Dropping the future once it was polled does not undo the commit.
    ///
    /// # Errors
    /// [`StoreError::Aborted`] after a failed statement, [`StoreError::Conflict`] (nothing changed; run it again),
    /// [`StoreError::CommitUnknown`] (it may have happened), and what the engine reports.
    pub async fn commit(self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.check_usable()?;
        let values = entry.values();
        match self.handle {
            Handle::Reader(reader) => reader.finish(),
            Handle::Writer(mut turn) => {
                turn.execute(&INSERT_AUDIT_ENTRY.into(), &values)?;
                turn.commit_in_group().await
            }
            Handle::Postgres(lease) => lease.execute_and_commit(&INSERT_AUDIT_ENTRY.into(), &values).await,
        }
    }
}

impl Tx<Write> {
    /// Commits what only says how far a message of the outbox got: the change that it tells of has its audit entry.
    pub(crate) async fn commit_bookkeeping(self) -> Result<(), StoreError> {
        self.check_usable()?;
        match self.handle {
            Handle::Reader(reader) => reader.finish(),
            Handle::Writer(turn) => turn.commit_in_group().await,
            Handle::Postgres(lease) => lease.commit().await,
        }
    }
}

impl Tx<Policy> {
    /// Raises the policy head by one, logs the changes at that revision, appends the audit entry and commits. Returns the new
    /// revision.
    ///
    /// # Errors
    /// As [`Tx::<Write>::commit`].
    pub async fn commit(self, entry: &AuditEntry, changes: &[PolicyLogEntry]) -> Result<i64, StoreError> {
        self.commit_publishing(entry, changes, |_| ()).await
    }

    /// Like `commit`, and calls `publish` with the new revision after the commit and before anyone else gets the writer lane.
    /// PostgreSQL has released its locks by then: other nodes are out of reach anyway and read the head.
    ///
    /// `publish` runs only when the commit succeeded; after [`StoreError::CommitUnknown`] a snapshot has to be read anew.
    ///
    /// # Errors
    /// As [`Tx::<Write>::commit`].
    pub async fn commit_publishing(
        mut self,
        entry: &AuditEntry,
        changes: &[PolicyLogEntry],
        publish: impl FnOnce(i64) + Send,
    ) -> Result<i64, StoreError> {
        let revision: i64 = self.query_one(RAISE_POLICY_HEAD, &[]).await?.get("revision")?;
        for change in changes {
            self.execute(APPEND_POLICY_LOG, &[revision.into(), change.kind.into(), change.id.as_str().into()]).await?;
        }
        let values = entry.values();
        match self.handle {
            Handle::Reader(reader) => reader.finish()?,
            Handle::Writer(mut turn) => {
                turn.execute(&INSERT_AUDIT_ENTRY.into(), &values)?;
                return turn.commit_alone(|| publish(revision)).map(|()| revision);
            }
            Handle::Postgres(lease) => lease.execute_and_commit(&INSERT_AUDIT_ENTRY.into(), &values).await?,
        }
        publish(revision);
        Ok(revision)
    }
}
