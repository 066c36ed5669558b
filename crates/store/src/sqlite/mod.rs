//! The embedded engine: one file, one writer connection ([`lane`]), several readers, all used on the calling task. A point read
//! costs microseconds here, less than handing it to another thread would.

mod backup;
mod lane;
mod lock;
mod reader;
mod statement;

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

pub use backup::{Overwrite, backup_file, restore};
pub(crate) use lane::Turn;
pub(crate) use reader::Reader;

use crate::{
    StoreError,
    migrations::{self, CREATE_STORE_MIGRATION_SQLITE, Engine, LIST_APPLIED},
    sql::Collation,
};
use lane::Lane;
use lock::LockFile;
use statement::engine_error;

/// Bound on reading transactions in progress.
const READERS_MAX: usize = 16;
/// How long a transaction waits for a connection, the lane, or a foreign lock.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: more than the program has constants.
const STATEMENTS_MAX: usize = 1024;
/// "PCLS": tells our files from others (https://www.sqlite.org/pragma.html#pragma_application_id).
const APPLICATION_ID: i64 = 0x5043_4c53;

pub(crate) struct Sqlite {
    path: PathBuf,
    pub(crate) lane: Arc<Lane>,
    idle_readers: Mutex<Vec<Connection>>,
    reader_slots: Arc<Semaphore>,
    collation: Arc<Collation>,
    // Last, so that it is released after the connections are closed.
    _lock: Arc<LockFile>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let lock = Arc::new(LockFile::acquire(&path)?);
        create_private(&path)?;
        // Now that it exists: with its folders' links resolved too.
        let path = fs::canonicalize(&path).map_err(|source| StoreError::Io { path, source })?;
        let mut writer = connect(&path, Access::Write)?;
        migrate(&mut writer, &path)?;
        let collation = Arc::new(Collation::new(""));
        Ok(Self {
            lane: Arc::new(Lane::new(writer, path.clone(), collation.clone(), lock.clone())),
            path,
            idle_readers: Mutex::default(),
            reader_slots: Arc::new(Semaphore::new(READERS_MAX)),
            collation,
            _lock: lock,
        })
    }

    pub(crate) async fn backup(self: &Arc<Self>, to: &Path) -> Result<(), StoreError> {
        if fs::canonicalize(to).is_ok_and(|to| to == self.path) {
            return Err(StoreError::Exists { path: to.to_owned() }); // the database itself
        }
        let (engine, to) = (self.clone(), to.to_owned());
        // A copy takes seconds: not on a task's thread.
        let copy = tokio::task::spawn_blocking(move || backup::copy(&engine.path, &to)).await;
        copy.unwrap_or_else(|error| Err(StoreError::Engine(crate::EngineError::new(error.to_string()))))
    }

    fn reader_connection(&self) -> Result<Connection, StoreError> {
        let idle = self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| connect(&self.path, Access::Read), Ok)
    }

    fn return_reader(&self, connection: Connection) {
        self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Runs what may wait for the disk. On a multi-thread runtime the other tasks of this worker move on meanwhile; elsewhere there
/// is nobody else to run them, and `block_in_place` would panic.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    // No `SQLITE_OPEN_CREATE`: the file was made by `create_private`. No `SQLITE_OPEN_URI`: a path is only a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| engine_error(&error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(WAIT_MAX).map_err(|error| engine_error(&error))?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA recursive_triggers = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16384;
             PRAGMA journal_size_limit = 67108864;",
        )
        .map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs { path: path.to_owned() },
            _ => engine_error(&error),
        })?;
    if access == Access::Read {
        connection.execute_batch("PRAGMA query_only = ON").map_err(|error| engine_error(&error))?;
    }
    Ok(connection)
}

/// Makes the file, when missing, readable by its owner only; SQLite gives `-wal` and `-shm` the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map(drop).map_err(|source| StoreError::Io { path: path.to_owned(), source })
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let fresh = check_ours(connection, path)?;
    if fresh {
        in_transaction(connection, |connection| {
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.execute_batch(CREATE_STORE_MIGRATION_SQLITE)
        })?;
    }
    for migration in migrations::pending(&applied(connection)?)? {
        tracing::info!(version = migration.version, name = migration.name, "migrating");
        in_transaction(connection, |connection| {
            connection.execute_batch(&migration.sql(Engine::Sqlite))?;
            let record = "INSERT INTO store_migration (version, name, applied_at_ms)
                          VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
            connection.execute(record, (migration.version, migration.name)).map(drop)
        })?;
    }
    Ok(())
}

/// Whether the database is empty (true) or ours (false); any other is refused.
fn check_ours(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let number =
        |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(|error| engine_error(&error));
    match (number("PRAGMA application_id")?, number("SELECT count(*) FROM sqlite_schema")?) {
        (APPLICATION_ID, _) => Ok(false),
        (0, 0) => Ok(true),
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

fn applied(connection: &Connection) -> Result<Vec<(i64, String)>, StoreError> {
    let list = || -> rusqlite::Result<Vec<_>> {
        connection.prepare(LIST_APPLIED)?.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    list().map_err(|error| engine_error(&error))
}

fn in_transaction(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let run = |connection: &mut Connection| {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        work(&transaction)?;
        transaction.commit()
    };
    run(connection).map_err(|error| engine_error(&error))
}
