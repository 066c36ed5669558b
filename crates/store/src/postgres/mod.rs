//! The shared engine: a pool of connections to PostgreSQL, the gate, and the policy head read in each transaction's first round
//! trip.

mod convert;
mod lease;
mod migrate;

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType, Timeouts,
    tokio_postgres::{Config, NoTls, SimpleQueryMessage},
};
use std::sync::Arc;

pub(crate) use lease::Lease;

use crate::{EngineError, StoreError, sql::Collation};
use convert::engine_error;

/// Bound on transactions in progress.
const CONNECTIONS_MAX: usize = 16;
/// How long a transaction waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Sent as start-up options, so that they cost no round trip. A lock, above all the gate, is waited for 5 s; a statement runs
/// 30 s; a node that vanished inside a transaction holds the gate 30 s.
const SESSION_OPTIONS: &str = "-c timezone=UTC -c lock_timeout=5s -c statement_timeout=30s \
                               -c idle_in_transaction_session_timeout=30s -c client_min_messages=warning";

// In one round trip each. The gate is locked before the first statement that takes a snapshot: who waited at the gate sees the
// head as it is after the wait. Under `pg_advisory_xact_lock`, a `SELECT`, it would see the one from before (measured).
pub(crate) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT revision FROM policy_head";
pub(crate) const BEGIN_WRITE: &str =
    "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE policy_gate IN ROW SHARE MODE; SELECT revision FROM policy_head";
pub(crate) const BEGIN_POLICY: &str =
    "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE policy_gate IN EXCLUSIVE MODE; SELECT revision FROM policy_head";

pub(crate) struct Postgres {
    pool: Pool,
    collation: Arc<Collation>,
}

impl Postgres {
    pub(crate) async fn open(url: &str, schema: Option<&str>) -> Result<Self, StoreError> {
        // The parser's error may repeat parts of the URL: dropped.
        let mut config: Config = url.parse().map_err(|_| StoreError::InvalidUrl)?;
        let mut options = config.get_options().map_or_else(String::new, |options| format!("{options} "));
        options.push_str(SESSION_OPTIONS);
        if let Some(schema) = schema {
            check_schema_name(schema)?;
            options.push_str(" -c search_path=");
            options.push_str(schema);
        }
        config.options(options);
        if config.get_application_name().is_none() {
            config.application_name("portcullis");
        }
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let timeouts = Timeouts { wait: Some(WAIT_MAX), create: Some(WAIT_MAX), recycle: Some(WAIT_MAX) };
        let builder = Pool::builder(manager).max_size(CONNECTIONS_MAX).timeouts(timeouts).runtime(Runtime::Tokio1);
        let pool = builder.build().map_err(|error| StoreError::Engine(EngineError::new(error.to_string())))?;
        let engine = Self { pool, collation: Arc::new(Collation::new("COLLATE \"C\"")) };
        engine.migrate(schema).await?;
        Ok(engine)
    }

    /// Begins a transaction with one of the constants above; returns the policy head with it.
    pub(crate) async fn begin(&self, begin: &'static str) -> Result<(Lease, i64), StoreError> {
        let lease = self.lease().await?;
        let messages = lease.client()?.simple_query(begin).await.map_err(|error| engine_error(&error))?;
        let revision = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        let revision = revision.ok_or_else(|| StoreError::Engine(EngineError::new("the policy head is missing")))?;
        Ok((lease, revision))
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => StoreError::Busy,
            PoolError::Backend(error) => match engine_error(&error) {
                StoreError::Engine(error) => StoreError::Unavailable(error),
                other => other,
            },
            other => StoreError::Unavailable(EngineError::new(other.to_string())),
        })?;
        Ok(Lease::new(connection, self.collation.clone()))
    }
}

fn check_schema_name(schema: &str) -> Result<(), StoreError> {
    let plain = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && (1..=60).contains(&schema.len()) { Ok(()) } else { Err(StoreError::InvalidSchemaName) }
}
