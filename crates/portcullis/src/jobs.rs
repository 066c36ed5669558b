//! Background jobs: refusals into the audit log, last use of tokens into the database, expired sessions out of it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_forge::Forge;
use portcullis_gateway::Gateway;
use portcullis_guard::{Entity, Guard, Policy, StoreError, Used, Write};
use serde_json::{Map, Value as Json, json};
use tokio::task::JoinHandle;

const REFUSALS_EVERY: Duration = Duration::from_millis(250);
/// Flushes of refusals between two flushes of last use: 30 s.
const LAST_USED_EVERY: u32 = 120;

/// Starts the jobs; abort the handle to stop them.
pub(crate) fn start(guard: Guard) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = 0u32;
        loop {
            tokio::time::sleep(REFUSALS_EVERY).await;
            if let Err(error) = guard.flush_refusals().await {
                tracing::error!(%error, "refusals could not be written to the audit log");
            }
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(LAST_USED_EVERY) {
                record_last_used(&guard).await;
                sweep_sessions(&guard).await;
                if let Err(error) = portcullis_apps::oauth::sweep::sweep(&guard).await {
                    tracing::error!(%error, "what is over of OAuth 2.0 could not be removed");
                }
                portcullis_apps::webhook::deliver::sweep(&guard).await;
                if let Err(error) = portcullis_apps::signing_key::ensure(&guard).await {
                    tracing::error!(?error, "no new signing key could be made");
                }
            }
        }
    })
}

/// Finds out once which walls stand around apps' code on this machine; says so in the log, in `/readyz?verbose` and in the audit log.
pub(crate) async fn look_at_the_sandbox(gateway: Arc<Gateway>, forge: Forge) {
    let (words, found) = match forge.walls().await {
        Ok(walls) => {
            let layers = walls.layers();
            let words = layers.map(|(name, stands)| format!("{name} {}", if stands { "on" } else { "off" })).join(", ");
            let found: Map<String, Json> =
                layers.into_iter().map(|(name, stands)| (name.to_owned(), stands.into())).collect();
            tracing::info!(walls = %words, "the sandbox of Forge apps");
            (words, json!({"walls": found}))
        }
        Err(error) => {
            tracing::warn!(%error, "Forge apps cannot run on this machine; `portcullis doctor` says what to do");
            // Strangers read `/readyz`; the reason is for the logs.
            ("does not start".to_owned(), json!({"error": error.to_string()}))
        }
    };
    let result: Result<(), StoreError> = async {
        let mut job = gateway.guard().begin_job::<Write>("look_at_sandbox").await?;
        job.found(found);
        job.commit().await
    }
    .await;
    if let Err(error) = result {
        tracing::error!(%error, "what stands around apps' code could not be written to the audit log");
    }
    gateway.note_sandbox(words);
}

/// Writes what is buffered, at shutdown.
pub(crate) async fn flush(guard: &Guard) {
    if let Err(error) = guard.flush_refusals().await {
        tracing::error!(%error, "refusals could not be written to the audit log");
    }
    record_last_used(guard).await;
}

async fn record_last_used(guard: &Guard) {
    let used = guard.take_last_used();
    if used.is_empty() {
        return;
    }
    let result = async {
        let mut job = guard.begin_job::<Write>("record_token_use").await?;
        let tokens = used.iter().filter_map(|(used, at_ms)| match used {
            Used::ApiToken(id) => Some((*id, *at_ms)),
            Used::AppGrant(_) | Used::ClientSecret(_) => None,
        });
        portcullis_accounts::api_token::note_last_used(job.tx(), &tokens.collect::<Vec<_>>()).await?;
        portcullis_apps::oauth::sweep::note_last_used(job.tx(), &used).await?;
        job.commit().await
    };
    if let Err(error) = result.await {
        tracing::error!(%error, "last use of tokens could not be written");
    }
}

/// Removes sessions that have expired, some at a time.
async fn sweep_sessions(guard: &Guard) {
    const AT_ONCE: usize = 500;
    let result: Result<(), StoreError> = async {
        let mut job = guard.begin_job::<Policy>("sweep_sessions").await?;
        let now = guard.now();
        let ended = portcullis_accounts::session::sweep(job.tx(), now, AT_ONCE).await?;
        if ended.is_empty() {
            return Ok(());
        }
        for id in ended {
            job.changed(Entity::Session(id));
        }
        job.commit().await
    }
    .await;
    if let Err(error) = result {
        tracing::error!(%error, "expired sessions could not be removed");
    }
}
