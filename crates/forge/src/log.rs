//! What ran, how it ended, and what it said.
//!
//! Invocations are noted in memory and written together, so that running one costs no commit of its own; what a crash loses is the
//! last quarter of a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Guard, Handlers, Input, Outcome as Answer, Policy, Reply, Write};
use portcullis_model::{ForgeInstallationId, Problem};
use serde_json::{Value as Json, json};

use crate::wire::moment;
use crate::{Forge, app, install};

const EVERY: Duration = Duration::from_millis(250);
/// Writes of the journal between two rounds of throwing away: 5 minutes.
const SWEEP_EVERY: u32 = 1_200;
/// Invocations that wait to be written; more are counted and dropped.
const WAITING_MAX: usize = 20_000;
/// How long they are kept.
const KEPT_MS: i64 = 14 * 86_400_000;
const PAGE_MAX: i64 = 500;

/// A line of an app's log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub at_ms: i64,
    /// `DEBUG`, `INFO`, `WARN` or `ERROR`.
    pub level: String,
    pub text: String,
}

/// How an invocation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Threw,
    Limited,
    Crashed,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Threw => "threw",
            Outcome::Limited => "limited",
            Outcome::Crashed => "crashed",
        }
    }
}

/// An invocation that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub id: String,
    pub installation: ForgeInstallationId,
    pub version: i64,
    pub function: String,
    pub module_type: String,
    pub module_key: String,
    pub principal: Option<String>,
    pub started_at_ms: i64,
    pub took_us: i64,
    pub outcome: Outcome,
    pub detail: String,
    pub host_calls: u32,
    pub lines: Vec<Line>,
    /// What it returned or threw; not kept.
    pub value: Json,
}

/// Invocations that are not written yet.
#[derive(Default)]
pub(crate) struct Journal(Mutex<(Vec<Finished>, u64)>);

impl Journal {
    pub fn note(&self, finished: &Finished) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.0.len() < WAITING_MAX {
            waiting.0.push(Finished { value: Json::Null, ..finished.clone() });
        } else {
            waiting.1 += 1;
        }
    }

    fn take(&self) -> (Vec<Finished>, u64) {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes the journal, and throws away what is over, for as long as it is polled.
pub(crate) async fn keep(forge: &Forge, guard: &Guard) {
    let mut rounds = 0u32;
    loop {
        tokio::time::sleep(EVERY).await;
        flush(forge, guard).await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(SWEEP_EVERY)
            && let Err(error) = sweep(guard).await
        {
            tracing::error!(?error, "what is over of Forge apps could not be removed");
        }
    }
}

/// Writes what waits.
pub(crate) async fn flush(forge: &Forge, guard: &Guard) {
    let (waiting, dropped) = forge.0.journal.take();
    if dropped > 0 {
        tracing::warn!(dropped, "invocations of Forge apps found no room in the journal");
    }
    if waiting.is_empty() {
        return;
    }
    if let Err(error) = write(guard, &waiting).await {
        tracing::error!(?error, lost = waiting.len(), "invocations of Forge apps could not be written");
    }
}

async fn write(guard: &Guard, finished: &[Finished]) -> Result<(), Problem> {
    let mut job = guard.begin_job::<Write>("forge_journal").await?;
    for one in finished {
        let sql = "INSERT INTO forge_invocation (uuid, installation, version, function_key, module_type, module_key, principal,
                          started_at_ms, took_us, outcome, detail, host_calls)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id";
        let params = [
            one.id.as_str().into(),
            one.installation.0.into(),
            one.version.into(),
            one.function.as_str().into(),
            one.module_type.as_str().into(),
            one.module_key.as_str().into(),
            one.principal.clone().into(),
            one.started_at_ms.into(),
            one.took_us.into(),
            one.outcome.word().into(),
            one.detail.as_str().into(),
            i64::from(one.host_calls).into(),
        ];
        let id: i64 = job.tx().query_one(sql, &params).await?.get("id")?;
        for line in &one.lines {
            let sql = "INSERT INTO forge_log (invocation, at_ms, level, text) VALUES ($1, $2, $3, $4)";
            // PostgreSQL has no place for a zero in a text.
            let text = line.text.replace('\0', "\u{fffd}");
            job.tx().execute(sql, &[id.into(), line.at_ms.into(), line.level.as_str().into(), text.into()]).await?;
        }
    }
    Ok(job.commit().await?)
}

/// Throws away old invocations, values that have expired, and the data of apps that were uninstalled long enough ago.
async fn sweep(guard: &Guard) -> Result<(), Problem> {
    let now = guard.now().0;
    let mut job = guard.begin_job::<Policy>("forge_sweep").await?;
    let mut removed = 0;
    for sql in [
        "DELETE FROM forge_log WHERE invocation IN (SELECT id FROM forge_invocation WHERE started_at_ms < $1)",
        "DELETE FROM forge_invocation WHERE started_at_ms < $1",
    ] {
        removed += job.tx().execute(sql, &[(now - KEPT_MS).into()]).await?;
    }
    let sql = "DELETE FROM forge_value WHERE expires_at_ms IS NOT NULL AND expires_at_ms <= $1";
    removed += job.tx().execute(sql, &[now.into()]).await?;
    for installation in install::shred(job.tx(), now).await? {
        job.changed(Entity::ForgeInstallation(installation));
        removed += 1;
    }
    if removed > 0 {
        job.commit().await?;
    }
    Ok(())
}

async fn list(mut cx: Ctx<op::ManageForgeLogs>, input: Input) -> Answer<op::ManageForgeLogs> {
    let view = cx.view().clone();
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(cx.tx(), &app, input.param("environmentKey")).await?;
    let limit = input.query_int("maxResults")?.unwrap_or(100).clamp(1, PAGE_MAX);
    let start = input.query_int("startAt")?.unwrap_or(0).max(0);
    let since = input.query_int("since")?.unwrap_or(0);
    let sql = "SELECT i.uuid, i.function_key, i.module_type, i.module_key, i.principal, i.started_at_ms, i.took_us, i.outcome, i.detail,
                      i.host_calls, i.id, v.major, v.minor
               FROM forge_invocation i JOIN forge_installation n ON n.id = i.installation JOIN forge_version v ON v.id = i.version
               WHERE n.environment = $1 AND i.started_at_ms >= $2 ORDER BY i.id DESC LIMIT $3 OFFSET $4";
    // One more than is shown says whether there are more.
    let rows = cx.tx().query(sql, &[environment.id.into(), since.into(), (limit + 1).into(), start.into()]).await?;
    let shown = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > shown;
    let mut out = Vec::new();
    for row in rows.into_iter().take(shown) {
        let sql = "SELECT at_ms, level, text FROM forge_log WHERE invocation = $1 ORDER BY id";
        let mut lines = Vec::new();
        for line in cx.tx().query(sql, &[row.get::<i64>("id")?.into()]).await? {
            let (at_ms, level, text): (i64, String, String) =
                (line.get("at_ms")?, line.get("level")?, line.get("text")?);
            lines.push(json!({"at": moment(at_ms), "level": level, "text": text}));
        }
        let (major, minor): (i64, i64) = (row.get("major")?, row.get("minor")?);
        out.push(json!({
            "invocationId": row.get::<String>("uuid")?,
            "version": format!("{major}.{minor}.0"),
            "functionKey": row.get::<String>("function_key")?,
            "moduleType": row.get::<String>("module_type")?,
            "moduleKey": row.get::<String>("module_key")?,
            "actsFor": row.get::<Option<String>>("principal")?,
            "startedAt": moment(row.get("started_at_ms")?),
            "tookMicroseconds": row.get::<i64>("took_us")?,
            "outcome": row.get::<String>("outcome")?,
            "detail": row.get::<String>("detail")?,
            "hostCalls": row.get::<i64>("host_calls")?,
            "lines": lines,
        }));
    }
    cx.done(Reply::json(json!({"startAt": start, "maxResults": limit, "isLast": !has_more, "environmentId": environment.uuid, "values": out})))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
}
