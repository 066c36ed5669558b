//! Queues of an app: what its code pushes runs later, in an invocation of its own (`@forge/events`).

use portcullis_guard::{About, Claimed, Message, MessageHead, Read, WebhookOwner, Write};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::Forge;
use crate::event::{QUEUE_KEPT_MS, retry_context};
use crate::invoke::{Installed, Run};
use crate::manifest::Module;

/// Where the packages push, below the platform's gateway; the rest of the path says again what the invocation knows.
pub(crate) const PATH: &str = "/webhook/queue/";
/// The event's name in the outbox.
pub(crate) const EVENT: &str = "forge:queue";

const QUEUE: &str = "forge.queue";
const DEPTH: &str = "forge.depth";
const STARTED: &str = "forge.started";
const DELAY: &str = "forge.delay";

const EVENTS_MAX: usize = 50;
const BYTES_MAX: usize = 200 << 10;
const DELAY_S_MAX: i64 = 900;
const JOB_CHARS_MAX: usize = 100;
/// An event whose handling pushed an event whose handling pushed an event, so often.
const DEPTH_MAX: u32 = 1_000;
/// Events of one installation that wait.
const WAITING_MAX: i64 = 10_000;

fn consumer<'a>(installed: &'a Installed, queue: &str) -> Option<&'a Module> {
    let named = |module: &&Module| module.content.get("queue").and_then(Json::as_str) == Some(queue);
    installed.code.manifest.modules.iter().filter(|module| module.kind == "consumer").find(named)
}

/// When an event was pushed, in milliseconds.
pub(crate) fn started(head: &MessageHead) -> i64 {
    head.named(STARTED).parse().unwrap_or(0)
}

struct Wrong {
    status: u16,
    words: String,
}

fn wrong(status: u16, words: impl Into<String>) -> Wrong {
    Wrong { status, words: words.into() }
}

/// An event to be stored: its body and the seconds it waits.
struct Pushed {
    body: Json,
    delay_s: i64,
}

/// Reads what is pushed, in the forms of the packages before version 1 and after.
fn pushed(asked: &Json) -> Result<Vec<Pushed>, Wrong> {
    let list = asked.get("payload").and_then(Json::as_array).ok_or_else(|| wrong(400, "payload is not a list."))?;
    if list.is_empty() || list.len() > EVENTS_MAX {
        return Err(wrong(400, format!("Between 1 and {EVENTS_MAX} events can be pushed at once.")));
    }
    let newer = asked.get("schema").and_then(Json::as_str).is_some_and(|schema| schema.ends_with("app-event-2"));
    let delay = |json: Option<&Json>| match json {
        None | Some(Json::Null) => Ok(0),
        Some(json) => match json.as_i64() {
            Some(seconds @ 0..=DELAY_S_MAX) => Ok(seconds),
            _ => Err(wrong(400, format!("delayInSeconds is a whole number from 0 to {DELAY_S_MAX}."))),
        },
    };
    let mut out = Vec::with_capacity(list.len());
    for one in list {
        if newer && one.get("concurrency").is_some_and(|json| !json.is_null()) {
            return Err(wrong(400, "Limits of concurrency are not built on this server."));
        }
        out.push(match newer {
            true => Pushed {
                body: one.get("body").cloned().ok_or_else(|| wrong(400, "An event has no body."))?,
                delay_s: delay(one.get("delayInSeconds"))?,
            },
            false => Pushed { body: one.clone(), delay_s: delay(asked.get("delayInSeconds"))? },
        });
    }
    Ok(out)
}

fn job(asked: &Json) -> Result<&str, Wrong> {
    let job = asked.get("jobId").and_then(Json::as_str).unwrap_or_default();
    let is_plain = job.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if job.is_empty() || job.len() > JOB_CHARS_MAX || !is_plain {
        return Err(wrong(400, "jobId is missing, or is none."));
    }
    Ok(job)
}

async fn publish(forge: &Forge, installed: &Installed, asked: &Json, depth: u32) -> Result<(u16, Json), Wrong> {
    let (guard, _) = forge.serving().map_err(|_| wrong(503, "The server is starting."))?;
    let queue = asked.get("queueName").and_then(Json::as_str).unwrap_or_default();
    consumer(installed, queue)
        .ok_or_else(|| wrong(400, format!("No consumer of the app's manifest reads the queue `{queue}`.")))?;
    let job = job(asked)?;
    let events = pushed(asked)?;
    if events.iter().map(|event| event.body.to_string().len()).sum::<usize>() > BYTES_MAX {
        return Err(wrong(413, format!("Events that are pushed at once have at most {BYTES_MAX} bytes.")));
    }
    if depth >= DEPTH_MAX {
        return Err(wrong(405, "Events of this app have pushed events for too long; the circle ends here."));
    }
    let store = |problem: Problem| {
        tracing::error!(?problem, "an event of a Forge app could not be stored");
        wrong(503, "The event could not be stored. Try again.")
    };
    let owner = WebhookOwner::Forge(installed.id).word();
    let now = guard.now().0;
    let view = guard.system_view("forge_queue");
    let mut job_of_ours = guard.begin_job::<Write>("forge_queue").await.map_err(|error| store(error.into()))?;
    let counted = job_of_ours.tx().count_messages(&owner, "").await.map_err(|error| store(error.into()))?;
    if counted.waiting >= WAITING_MAX {
        return Err(wrong(429, format!("{WAITING_MAX} events of this app wait already.")));
    }
    let mut messages = Vec::with_capacity(events.len());
    for event in events {
        let names = [
            (QUEUE, queue.to_owned()),
            (DEPTH, (depth + 1).to_string()),
            (STARTED, now.to_string()),
            (DELAY, event.delay_s.to_string()),
        ];
        let head = MessageHead {
            event: EVENT.to_owned(),
            about: About::Nothing,
            by: None,
            trace: None,
            revision: 0,
            names: names.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        };
        messages.push(Message {
            identifier: format!("{job}/{}", view.entropy().uuid()),
            owner: owner.clone(),
            target: installed.id.0,
            head: serde_json::to_string(&head).map_err(|error| store(Problem::bug(error)))?,
            body: event.body.to_string().into(),
            delay_ms: event.delay_s * 1_000,
        });
    }
    job_of_ours.tx().enqueue(&messages, now).await.map_err(|error| store(error.into()))?;
    job_of_ours.commit().await.map_err(|error| store(error.into()))?;
    guard.wake_outgoing();
    Ok((201, json!({})))
}

async fn about_job(forge: &Forge, installed: &Installed, asked: &Json, cancels: bool) -> Result<(u16, Json), Wrong> {
    let (guard, _) = forge.serving().map_err(|_| wrong(503, "The server is starting."))?;
    let start = format!("{}/", job(asked)?);
    let owner = WebhookOwner::Forge(installed.id).word();
    let read = async {
        if cancels {
            let mut job = guard.begin_job::<Write>("forge_queue").await?;
            let counted = job.tx().count_messages(&owner, &start).await?;
            job.tx().cancel_messages(&owner, &start).await?;
            job.commit().await?;
            return Ok(counted);
        }
        let mut job = guard.begin_job::<Read>("forge_queue").await?;
        job.tx().count_messages(&owner, &start).await
    };
    let counted = read.await.map_err(|error: portcullis_guard::StoreError| {
        tracing::error!(%error, "a job of a Forge app could not be read");
        wrong(503, "The job could not be read. Try again.")
    })?;
    if counted == portcullis_guard::Counted::default() {
        return Err(wrong(404, "There is no such job."));
    }
    Ok(match cancels {
        true => (204, Json::Null),
        false => (200, json!({"success": counted.delivered, "inProgress": counted.waiting, "failed": counted.failed})),
    })
}

/// Answers a call of the packages: status and body.
pub(crate) async fn answer(forge: &Forge, installed: &Installed, path: &str, asked: &Json, depth: u32) -> (u16, Json) {
    let operation = path.strip_prefix(PATH).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let answered = match operation {
        "publish" => publish(forge, installed, asked, depth).await,
        "stats" => about_job(forge, installed, asked, false).await,
        "cancel" => about_job(forge, installed, asked, true).await,
        _ => Err(wrong(404, "There is no such operation on queues.")),
    };
    answered.unwrap_or_else(|Wrong { status, words }| {
        (status, json!({"code": status, "message": words, "errorMessage": words}))
    })
}

/// The run that an event of a queue is for.
pub(crate) fn run_of(
    installed: &Installed,
    claimed: &Claimed,
    head: &MessageHead,
    body: Json,
    now_ms: i64,
) -> Option<Run> {
    let queue = head.named(QUEUE);
    let module = consumer(installed, queue)?;
    let behind = module.behind.clone()?;
    let (job, id) = claimed.message.identifier.split_once('/').unwrap_or((&claimed.message.identifier, ""));
    let method = module.content.pointer("/resolver/method").and_then(Json::as_str);
    let event = match method {
        // Consumers before version 2 of the package are methods of a resolver.
        Some(method) => json!({
            "call": {"functionKey": method, "payload": body, "jobId": job},
            "context": {"jobId": job, "queueName": queue},
        }),
        None => {
            let mut event = json!({"queueName": queue, "jobId": job, "eventId": id, "body": body});
            if let Some(object) = event.as_object_mut() {
                if let Some(delay) = head.named(DELAY).parse::<i64>().ok().filter(|delay| *delay > 0) {
                    object.insert("delayInSeconds".to_owned(), delay.into());
                }
                if let Some(mut context) = retry_context(claimed, head) {
                    let started = started(head);
                    let remaining = started.saturating_add(QUEUE_KEPT_MS).saturating_sub(now_ms).max(0);
                    let window = json!({"startTime": crate::wire::moment(started), "remainingTimeMs": remaining});
                    context.insert("retentionWindow".to_owned(), window);
                    object.insert("retryContext".to_owned(), context.into());
                }
            }
            event
        }
    };
    Some(Run {
        behind,
        module_type: "consumer".to_owned(),
        module_key: module.key.clone(),
        event,
        principal: None,
        depth: head.named(DEPTH).parse().unwrap_or(DEPTH_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::{job, pushed};
    use serde_json::json;

    #[test]
    fn what_is_pushed_is_read_in_the_forms_of_both_generations() {
        let newer = json!({"schema": "ari:cloud:ecosystem::forge/app-event-2", "payload": [{"body": {"a": 1}, "delayInSeconds": 5}]});
        let read = pushed(&newer).map_err(|wrong| wrong.words).expect("it holds");
        assert_eq!((read.len(), read.first().map(|event| event.delay_s)), (1, Some(5)));
        let older = json!({"schema": "ari:cloud:ecosystem::forge/app-event", "payload": [{"a": 1}, {"a": 2}], "delayInSeconds": 7});
        let read = pushed(&older).map_err(|wrong| wrong.words).expect("it holds");
        assert_eq!(read.iter().map(|event| event.delay_s).collect::<Vec<_>>(), [7, 7]);
        for bad in [
            json!({}),
            json!({"payload": []}),
            json!({"payload": vec![1; 51]}),
            json!({"schema": "app-event-2", "payload": [{}]}),
            json!({"schema": "app-event-2", "payload": [{"body": 1, "delayInSeconds": 901}]}),
            json!({"schema": "app-event-2", "payload": [{"body": 1, "delayInSeconds": -1}]}),
            json!({"schema": "app-event-2", "payload": [{"body": 1, "concurrency": {"key": "a", "limit": 1}}]}),
        ] {
            assert_eq!(pushed(&bad).map_err(|wrong| wrong.status).err(), Some(400), "{bad}");
        }
        for bad in ["", "a/b", "a%b", "x y"] {
            assert!(job(&json!({"jobId": bad})).is_err(), "{bad}");
        }
    }
}
