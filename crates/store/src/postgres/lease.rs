use std::sync::Arc;

use deadpool_postgres::{Object, tokio_postgres::types::ToSql};
use tokio::runtime::Handle;

use super::convert::{self, commit_error, engine_error};
use crate::{Row, Sql, StoreError, Value, sql::Collation};

/// Prepared statements kept per connection; built SQL makes new texts for ever, so there is a bound.
const STATEMENTS_MAX: usize = 512;

/// A pooled connection with an open transaction.
///
/// INVARIANT: a connection returns to the pool only outside a transaction: after `COMMIT` or `ROLLBACK` succeeded. In any other
/// case it is closed, and the server rolls back.
pub(crate) struct Lease {
    connection: Option<Object>,
    collation: Arc<Collation>,
}

impl Lease {
    pub(super) fn new(connection: Object, collation: Arc<Collation>) -> Self {
        Self { connection: Some(connection), collation }
    }

    pub(super) fn client(&self) -> Result<&Object, StoreError> {
        self.connection.as_ref().ok_or(StoreError::Aborted)
    }

    pub(crate) async fn query(&mut self, sql: &Sql, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql, values).await?;
        let rows = self.client()?.query(&statement, &params(values)).await.map_err(|error| engine_error(&error))?;
        convert::rows(&statement, &rows)
    }

    pub(crate) async fn execute(&mut self, sql: &Sql, values: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql, values).await?;
        self.client()?.execute(&statement, &params(values)).await.map_err(|error| engine_error(&error))
    }

    /// Runs a last statement and commits, in one round trip.
    pub(crate) async fn execute_and_commit(mut self, last: &Sql, values: &[Value]) -> Result<(), StoreError> {
        let statement = self.prepare(last, values).await?;
        let (client, params) = (self.client()?, params(values));
        // Each is sent when first polled, in this order. If the statement fails, the server answers the `COMMIT` with a
        // rollback and no error, so the statement's result decides first.
        let (executed, committed) = tokio::join!(
            biased;
            client.execute(&statement, &params),
            client.batch_execute("COMMIT"),
        );
        if let Err(error) = executed {
            // An answer to the statement means that the `COMMIT` behind it changed nothing; without one nobody knows.
            return Err(if error.as_db_error().is_some() { engine_error(&error) } else { commit_error(&error) });
        }
        committed.map_err(|error| commit_error(&error))?;
        self.give_back();
        Ok(())
    }

    /// Commits.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let client = self.client()?;
        client.batch_execute("COMMIT").await.map_err(|error| commit_error(&error))?;
        self.give_back();
        Ok(())
    }

    pub(super) fn give_back(&mut self) {
        drop(self.connection.take());
    }

    async fn prepare(
        &self,
        sql: &Sql,
        values: &[Value],
    ) -> Result<deadpool_postgres::tokio_postgres::Statement, StoreError> {
        let client = self.client()?;
        let text = self.collation.text(sql);
        let prepared = if sql.is_one_off() {
            client.prepare(&text).await
        } else {
            if client.statement_cache.size() >= STATEMENTS_MAX {
                client.statement_cache.clear();
            }
            client.prepare_cached(&text).await
        };
        let statement = prepared.map_err(|error| engine_error(&error))?;
        if statement.params().len() != values.len() {
            return Err(StoreError::Parameters { expected: statement.params().len(), given: values.len() });
        }
        convert::check_types(values, statement.params())?;
        Ok(statement)
    }
}

fn params(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl Drop for Lease {
    /// Rolls back in the background: a refused request should not cost a new connection. Until that is done the transaction's
    /// locks stay, the gate among them.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let dirty = Dirty(Some(connection));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(dirty.roll_back());
        }
    }
}

/// A connection in an unknown state; closed unless it can be cleaned. Also when the runtime drops the cleaning half-way.
struct Dirty(Option<Object>);

impl Dirty {
    async fn roll_back(mut self) {
        let clean = match &self.0 {
            Some(connection) => connection.batch_execute("ROLLBACK").await.is_ok(),
            None => false,
        };
        if clean {
            drop(self.0.take());
        }
    }
}

impl Drop for Dirty {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
