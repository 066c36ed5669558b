//! Scheduled triggers: functions that run when their time has come, at least once each time. After a standstill a trigger runs once.

use std::time::Duration;

use portcullis_guard::{About, Guard, Message, MessageHead, Policy, Read, StoreError, Tx, WebhookOwner, Write};
use portcullis_model::ForgeInstallationId;
use serde_json::{Value as Json, json};

use crate::invoke::{Installed, Run};
use crate::manifest::{Manifest, Module};

/// The event's name in the outbox.
pub(crate) const EVENT: &str = "forge:schedule";

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The first run comes so long after the deployment, as the vendor's does.
const FIRST_MS: i64 = 5 * 60_000;
const DUE_MAX: i64 = 200;

/// Milliseconds between two runs of a module; `None` for a word that is no interval.
pub(crate) fn interval_ms(module: &Json) -> Option<i64> {
    match module.get("interval").and_then(Json::as_str)? {
        "fiveMinute" => Some(5 * 60_000),
        "hour" => Some(3_600_000),
        "day" => Some(86_400_000),
        "week" => Some(7 * 86_400_000),
        _ => None,
    }
}

fn scheduled(manifest: &Manifest) -> impl Iterator<Item = &Module> {
    manifest.modules.iter().filter(|module| module.kind == "scheduledTrigger")
}

/// Sets the clocks of an installation to what its manifest names; those that run already run on.
pub(crate) async fn plan(
    tx: &mut Tx<Policy>,
    id: ForgeInstallationId,
    manifest: Option<&Manifest>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let wanted: Vec<&Module> = manifest.into_iter().flat_map(scheduled).collect();
    let rows = tx.query("SELECT module_key FROM forge_schedule WHERE installation = $1", &[id.0.into()]).await?;
    for row in rows {
        let key: String = row.get("module_key")?;
        if !wanted.iter().any(|module| module.key == key) {
            let sql = "DELETE FROM forge_schedule WHERE installation = $1 AND module_key = $2";
            tx.execute(sql, &[id.0.into(), key.into()]).await?;
        }
    }
    for module in wanted {
        let sql = "INSERT INTO forge_schedule (installation, module_key, due_at_ms) VALUES ($1, $2, $3)
                   ON CONFLICT (installation, module_key) DO NOTHING";
        tx.execute(sql, &[id.0.into(), module.key.as_str().into(), (now_ms + FIRST_MS).into()]).await?;
    }
    Ok(())
}

/// Puts what is due into the outbox, for as long as it is polled.
pub(crate) async fn keep(guard: &Guard) {
    loop {
        if let Err(error) = look(guard).await {
            tracing::error!(%error, "scheduled triggers of Forge apps could not be read; they are tried again");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Puts what is due into the outbox. How many.
///
/// # Errors
/// The database's.
pub(crate) async fn look(guard: &Guard) -> Result<usize, StoreError> {
    let now = guard.now().0;
    let sql = "SELECT 1 AS one FROM forge_schedule WHERE due_at_ms <= $1 LIMIT 1";
    let mut reading = guard.begin_job::<Read>("forge_schedule").await?;
    let due = reading.tx().query_opt(sql, &[now.into()]).await?.is_some();
    drop(reading);
    if !due {
        return Ok(0);
    }
    let mut job = guard.begin_job::<Write>("forge_schedule").await?;
    let sql = "SELECT s.installation, s.module_key, v.manifest FROM forge_schedule s JOIN forge_installation i ON i.id = s.installation
               JOIN forge_version v ON v.id = i.code WHERE s.due_at_ms <= $1 ORDER BY s.due_at_ms LIMIT $2";
    let rows = job.tx().query(sql, &[now.into(), DUE_MAX.into()]).await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, key): (i64, String) = (row.get("installation")?, row.get("module_key")?);
        let manifest = Manifest::parse(&row.get::<String>("manifest")?).ok();
        let every =
            manifest.as_ref().and_then(|manifest| interval_ms(&manifest.module("scheduledTrigger", &key)?.content));
        // A module that is not to be understood any more is asked about again in a week.
        let next = now + every.unwrap_or(7 * 86_400_000);
        let sql = "UPDATE forge_schedule SET due_at_ms = $3 WHERE installation = $1 AND module_key = $2";
        job.tx().execute(sql, &[id.into(), key.as_str().into(), next.into()]).await?;
        let head = MessageHead {
            event: EVENT.to_owned(),
            about: About::Nothing,
            by: None,
            trace: None,
            revision: 0,
            names: vec![(MessageHead::MODULE.to_owned(), key)],
        };
        messages.push(Message {
            identifier: guard.system_view("forge_schedule").entropy().uuid(),
            owner: WebhookOwner::Forge(ForgeInstallationId(id)).word(),
            target: id,
            head: serde_json::to_string(&head).unwrap_or_default(),
            body: "{}".into(),
            delay_ms: 0,
        });
    }
    job.tx().enqueue(&messages, now).await?;
    job.commit().await?;
    guard.wake_outgoing();
    Ok(messages.len())
}

/// The run that a message is for.
pub(crate) fn run_of(installed: &Installed, head: &MessageHead, cloud_id: &str) -> Option<Run> {
    let module = installed.code.manifest.module("scheduledTrigger", head.named(MessageHead::MODULE))?;
    Some(Run {
        behind: module.behind.clone()?,
        module_type: module.kind.clone(),
        module_key: module.key.clone(),
        event: json!({"context": {"cloudId": cloud_id, "moduleKey": module.key}, "contextToken": {}}),
        principal: None,
        depth: 0,
    })
}
