use super::{Postgres, convert::engine_error};
use crate::{
    StoreError,
    migrations::{self, CREATE_STORE_MIGRATION_POSTGRES, Engine, LIST_APPLIED},
};

/// Nodes that start together migrate one after the other. The lock is per schema, and ends with the transaction.
const BEGIN_MIGRATION: &str = "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
    SELECT pg_advisory_xact_lock(hashtextextended('portcullis migration ' || current_schema(), 0))";

impl Postgres {
    /// Runs pending migrations. When there are none it changes nothing, so that a role without the right to do so can start.
    pub(super) async fn migrate(&self, schema: Option<&str>) -> Result<(), StoreError> {
        if let Some(schema) = schema {
            self.create_schema(schema).await?;
        }
        while self.migrate_one().await? {}
        Ok(())
    }

    /// Runs the next migration; false when there is none.
    async fn migrate_one(&self) -> Result<bool, StoreError> {
        let mut lease = self.lease().await?;
        let client = lease.client()?;
        client.batch_execute(BEGIN_MIGRATION).await.map_err(|error| engine_error(&error))?;
        let exists = client.query_one("SELECT to_regclass('store_migration') IS NOT NULL", &[]).await;
        let exists = exists.and_then(|row| row.try_get::<_, bool>(0)).map_err(|error| engine_error(&error))?;
        let mut applied = Vec::new();
        if exists {
            for row in client.query(LIST_APPLIED, &[]).await.map_err(|error| engine_error(&error))? {
                let version = row.try_get(0).map_err(|error| engine_error(&error))?;
                applied.push((version, row.try_get(1).map_err(|error| engine_error(&error))?));
            }
        } else {
            client.batch_execute(CREATE_STORE_MIGRATION_POSTGRES).await.map_err(|error| engine_error(&error))?;
        }
        let next = migrations::pending(&applied)?.first();
        if let Some(migration) = next {
            tracing::info!(version = migration.version, name = migration.name, "migrating");
            client.batch_execute(&migration.sql(Engine::Postgres)).await.map_err(|error| engine_error(&error))?;
            let record = "INSERT INTO store_migration (version, name, applied_at_ms)
                          VALUES ($1, $2, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT))";
            client
                .execute(record, &[&migration.version, &migration.name])
                .await
                .map_err(|error| engine_error(&error))?;
        }
        client.batch_execute("COMMIT").await.map_err(|error| engine_error(&error))?;
        lease.give_back();
        Ok(next.is_some())
    }

    async fn create_schema(&self, schema: &str) -> Result<(), StoreError> {
        let mut lease = self.lease().await?;
        // `IF NOT EXISTS` can still collide with itself, and asks for the right to create in any case: so look first, alone.
        let begin = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('portcullis schema', 0))";
        lease.client()?.batch_execute(begin).await.map_err(|error| engine_error(&error))?;
        let exists = lease.client()?.query_one("SELECT to_regnamespace($1::text) IS NOT NULL", &[&schema]).await;
        if !exists.and_then(|row| row.try_get::<_, bool>(0)).map_err(|error| engine_error(&error))? {
            let create = format!("CREATE SCHEMA \"{schema}\"");
            lease.client()?.batch_execute(&create).await.map_err(|error| engine_error(&error))?;
        }
        lease.client()?.batch_execute("COMMIT").await.map_err(|error| engine_error(&error))?;
        lease.give_back();
        Ok(())
    }
}
