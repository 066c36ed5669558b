use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    AuditEntry, Policy, Read, StoreError, Tx, Write,
    postgres::{self, Postgres},
    sqlite::{self, Sqlite},
    tx::Handle,
};

/// Which database.
#[derive(Clone)]
pub enum StoreConfig {
    /// A file of our own; made when missing, owned by one process at a time.
    Sqlite {
        /// The database file. `<path>.lock` is made beside it.
        path: PathBuf,
    },
    /// A PostgreSQL server, shared by all nodes. Connections are not encrypted by this crate: use a socket or a private network.
    Postgres {
        /// `postgres://..` or `host=.. user=..`; may hold a password and is never printed.
        url: String,
        /// Made when missing; `None` uses the role's default search path.
        schema: Option<String>,
    },
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => f.debug_struct("Sqlite").field("path", path).finish(),
            Self::Postgres { url: _, schema } => {
                f.debug_struct("Postgres").field("schema", schema).finish_non_exhaustive()
            }
        }
    }
}

/// An open database. Clones share it; it closes with the last clone and transaction.
#[derive(Clone)]
pub struct Store(Engine);

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Store {
    /// Opens the database, makes it when missing (SQLite file, PostgreSQL schema) and runs pending migrations.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds the SQLite file, [`StoreError::NewerSchema`] when the database was
    /// migrated by a newer program, and what the engine reports.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        Ok(Self(match config {
            StoreConfig::Sqlite { path } => Engine::Sqlite(Arc::new(sqlite::blocking(|| Sqlite::open(path))?)),
            StoreConfig::Postgres { url, schema } => {
                Engine::Postgres(Arc::new(Postgres::open(url, schema.as_deref()).await?))
            }
        }))
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when no connection was free for 5 s.
    pub async fn read(&self) -> Result<Tx<Read>, StoreError> {
        Ok(match &self.0 {
            Engine::Sqlite(engine) => {
                let (reader, revision) = sqlite::Reader::begin(engine).await?;
                Tx::new(Handle::Reader(reader), revision)
            }
            Engine::Postgres(engine) => {
                let (lease, revision) = engine.begin(postgres::BEGIN_READ).await?;
                Tx::new(Handle::Postgres(lease), revision)
            }
        })
    }

    /// Begins an ordinary write. The policy head cannot move while it is open.
    ///
    /// On SQLite writes take turns, so do not wait inside one for another write to begin or commit, and keep polling a write
    /// that was queued: those before it may share its commit.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the turn, the gate or a connection was not free for 5 s.
    pub async fn write(&self) -> Result<Tx<Write>, StoreError> {
        Ok(match &self.0 {
            Engine::Sqlite(engine) => {
                let (turn, revision) = engine.lane.write().await?;
                Tx::new(Handle::Writer(turn), revision)
            }
            Engine::Postgres(engine) => {
                let (lease, revision) = engine.begin(postgres::BEGIN_WRITE).await?;
                Tx::new(Handle::Postgres(lease), revision)
            }
        })
    }

    /// Begins a change of rights: waits for writes in progress, and holds back new ones until it ends.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn policy(&self) -> Result<Tx<Policy>, StoreError> {
        Ok(match &self.0 {
            Engine::Sqlite(engine) => {
                let (turn, revision) = engine.lane.policy().await?;
                Tx::new(Handle::Writer(turn), revision)
            }
            Engine::Postgres(engine) => {
                let (lease, revision) = engine.begin(postgres::BEGIN_POLICY).await?;
                Tx::new(Handle::Postgres(lease), revision)
            }
        })
    }

    /// Whether this process owns the database (SQLite), so that memory can be exact.
    pub fn is_embedded(&self) -> bool {
        matches!(self.0, Engine::Sqlite(_))
    }

    /// Appends entries that belong to no other write (refusals), in a small write of their own.
    ///
    /// # Errors
    /// As [`Store::write`]; then none of the entries is stored.
    pub async fn append_audit_batch(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let Some((last, others)) = entries.split_last() else {
            return Ok(());
        };
        let mut tx = self.write().await?;
        for entry in others {
            tx.append_audit(entry).await?;
        }
        tx.commit(last).await
    }

    /// Writes a consistent copy of the SQLite database to `to`, while others read and write. The copy appears under its name
    /// only when complete and on disk; an older file of that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] on PostgreSQL; [`StoreError::Io`] when the target cannot be written;
    /// [`StoreError::Exists`] when it is the database itself.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Sqlite(engine) => engine.backup(to).await,
            Engine::Postgres(_) => {
                Err(StoreError::Unsupported("backups of PostgreSQL are made with pg_dump, not by this program"))
            }
        }
    }

    /// Reads the policy head once, to see that the database answers.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().await?.finish().await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The engine below, whose counters are private to this crate.
    pub(crate) fn sqlite_of(store: &Store) -> Arc<Sqlite> {
        match &store.0 {
            Engine::Sqlite(engine) => engine.clone(),
            Engine::Postgres(_) => panic!("not SQLite"),
        }
    }
}
