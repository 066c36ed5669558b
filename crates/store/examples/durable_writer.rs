//! Writes rows for ever and prints each id once its commit was acknowledged. The test kills it with `kill -9` and looks whether
//! all that was acknowledged is there: `durable_writer DATABASE_FILE`.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use portcullis_store::{AuditEntry, Store, StoreConfig, StoreError};

/// Enough that commits are shared.
const WRITERS: usize = 32;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: durable_writer DATABASE_FILE")?);
    let store = Store::open(&StoreConfig::Sqlite { path }).await?;
    let mut tx = store.write().await?;
    tx.execute("CREATE TABLE IF NOT EXISTS durable (id INTEGER PRIMARY KEY) STRICT", &[]).await?;
    tx.commit(&AuditEntry { id: format!("setup-{}", std::process::id()), ..AuditEntry::default() }).await?;

    let next = Arc::new(AtomicI64::new(1));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write_for_ever(store.clone(), next.clone()));
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn write_for_ever(store: Store, next: Arc<AtomicI64>) -> Result<(), StoreError> {
    loop {
        let id = next.fetch_add(1, SeqCst);
        let mut tx = store.write().await?;
        tx.execute("INSERT INTO durable (id) VALUES ($1)", &[id.into()]).await?;
        tx.commit(&AuditEntry { id: id.to_string(), ..AuditEntry::default() }).await?;
        // One write call, so that a line is whole or missing.
        let _ = std::io::stdout().write_all(format!("{id}\n").as_bytes());
    }
}
