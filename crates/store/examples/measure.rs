//! Times reads and commits: `measure DIRECTORY` on SQLite, and on PostgreSQL too when `PORTCULLIS_TEST_POSTGRES` is set.

use std::{path::PathBuf, time::Instant};

use portcullis_store::{AuditEntry, Store, StoreConfig, StoreError};

const READS: u32 = 50_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: measure DIRECTORY")?);
    let name = format!("measure_{}", std::process::id());
    println!("SQLite");
    measure(&StoreConfig::Sqlite { path: dir.join(&name) }).await?;
    if let Ok(url) = std::env::var("PORTCULLIS_TEST_POSTGRES") {
        println!("PostgreSQL");
        measure(&StoreConfig::Postgres { url, schema: Some(name) }).await?;
    }
    Ok(())
}

async fn measure(config: &StoreConfig) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(config).await?;
    let mut tx = store.write().await?;
    tx.execute("CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, name TEXT)", &[]).await?;
    tx.execute(
        "WITH RECURSIVE n (id) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT id + 1 FROM n WHERE id < 99999)
         INSERT INTO thing (id, name) SELECT id, 'name of a thing' FROM n",
        &[],
    )
    .await?;
    tx.commit(&entry("setup".to_owned())).await?;

    let by_id = "SELECT id, name FROM thing WHERE id = $1";
    let mut tx = store.read().await?;
    let started = Instant::now();
    for n in 0..READS {
        tx.query_one(by_id, &[(n * 7 % 100_000).into()]).await?;
    }
    println!("  point read in an open transaction  {:?}", started.elapsed() / READS);
    drop(tx);
    let started = Instant::now();
    for n in 0..READS {
        let mut tx = store.read().await?;
        tx.query_one(by_id, &[(n * 7 % 100_000).into()]).await?;
        tx.finish().await?;
    }
    println!("  transaction with one point read    {:?}", started.elapsed() / READS);

    for (writers, each) in [(1_i64, 1_000_i64), (8, 500), (64, 200)] {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..writers {
            tasks.spawn(write(store.clone(), 1_000_000 * (writers * 100 + writer), each));
        }
        let mut conflicts = 0;
        while let Some(done) = tasks.join_next().await {
            conflicts += done??;
        }
        let total = writers * each;
        println!(
            "  {writers:2} writers  {:6.0} commits/s, {conflicts} conflicts",
            total as f64 / started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

async fn write(store: Store, from: i64, count: i64) -> Result<u64, StoreError> {
    let mut conflicts = 0;
    for id in from..from + count {
        loop {
            let mut tx = store.write().await?;
            tx.execute("INSERT INTO thing (id, name) VALUES ($1, 'new')", &[id.into()]).await?;
            match tx.commit(&entry(id.to_string())).await {
                Err(StoreError::Conflict) => conflicts += 1,
                done => break done?,
            }
        }
    }
    Ok(conflicts)
}

fn entry(id: String) -> AuditEntry {
    AuditEntry { id, ..AuditEntry::default() }
}
