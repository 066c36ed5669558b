use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Sqlite, WAIT_MAX,
    statement::{self, control, head},
};
use crate::{Row, Sql, StoreError, Value};

/// A reading transaction on a connection of its own.
pub(crate) struct Reader {
    engine: Arc<Sqlite>,
    /// In a mutex only so that `Tx` is `Sync`; it is never locked.
    connection: Option<Mutex<Connection>>,
    _slot: OwnedSemaphorePermit,
}

impl Reader {
    /// Opens the transaction and its view of the database (with the read of the head).
    pub(crate) async fn begin(engine: &Arc<Sqlite>) -> Result<(Self, i64), StoreError> {
        let slots = engine.reader_slots.clone();
        let slot = match slots.clone().try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => match tokio::time::timeout(WAIT_MAX, slots.acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(_)) | Err(_) => return Err(StoreError::Busy),
            },
        };
        let connection = Some(Mutex::new(engine.reader_connection()?));
        let mut reader = Self { engine: engine.clone(), connection, _slot: slot };
        let connection = reader.connection()?;
        control(connection, "BEGIN DEFERRED")?;
        let revision = head(connection)?;
        Ok((reader, revision))
    }

    pub(crate) fn query(&mut self, sql: &Sql, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let collation = self.engine.collation.clone();
        statement::query(self.connection()?, &collation, sql, values)
    }

    /// Fails in the engine: the connection is `query_only`.
    pub(crate) fn execute(&mut self, sql: &Sql, values: &[Value]) -> Result<u64, StoreError> {
        let collation = self.engine.collation.clone();
        statement::execute(self.connection()?, &collation, sql, values)
    }

    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        control(self.connection()?, "COMMIT")
    }

    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let connection = self.connection.as_mut().ok_or(StoreError::Aborted)?;
        Ok(connection.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let connection = connection.into_inner().unwrap_or_else(PoisonError::into_inner);
            // A connection that cannot leave its transaction is closed instead.
            if connection.is_autocommit() || control(&connection, "ROLLBACK").is_ok() {
                self.engine.return_reader(connection);
            }
        }
    }
}
