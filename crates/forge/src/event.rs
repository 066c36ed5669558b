//! Running an app's code because something happened: an issue was changed, an event came out of a queue, a time has come.
//!
//! All three wait in the outbox, so none is lost and each may come twice. What an app is told of the product is what its own account
//! may see at the moment of the change, and again at that of the delivery.

use std::future::Future;
use std::pin::Pin;

use portcullis_apps::webhook::deliver::{Ended, RunsHere};
use portcullis_guard::{Claimed, MessageHead};
use portcullis_model::{ForgeInstallationId, ProblemKind};
use serde_json::{Map, Value as Json, json};

use crate::invoke::{self, Installed, Run};
use crate::log::Outcome as Ending;
use crate::{Forge, queue, schedule};

/// Further attempts at an event of the product, the vendor's number.
const RETRIES_MAX: i64 = 4;
/// How long an event of a queue is tried, the vendor's time.
pub(crate) const QUEUE_KEPT_MS: i64 = 24 * 3_600_000;
/// The longest that an app may ask to wait for its next attempt.
const RETRY_AFTER_S_MAX: i64 = 900;
const RETRY_DATA_BYTES_MAX: usize = 4 << 10;
/// After an invocation that ended without the app's doing.
const AGAIN_MS: i64 = 30_000;
/// Name of what the app wants to know at its next attempt.
pub(crate) const RETRY: &str = "forge.retry";

impl RunsHere for Forge {
    fn run<'a>(
        &'a self,
        claimed: &'a Claimed,
        head: &'a MessageHead,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
        Box::pin(run(self, claimed, head))
    }
}

async fn run(forge: &Forge, claimed: &Claimed, head: &MessageHead) -> Ended {
    let Ok((guard, _)) = forge.serving() else { return Ended::Failed("The server is starting.".to_owned()) };
    let id = ForgeInstallationId(claimed.message.target);
    let installed = match invoke::installed(forge, guard, id).await {
        Ok(installed) => installed,
        Err(problem) if problem.kind == ProblemKind::NotFound => {
            return Ended::Refused("The app is not installed.".to_owned());
        }
        Err(_) => return Ended::Failed("The app could not be read.".to_owned()),
    };
    let body: Json = serde_json::from_str(&claimed.message.body).unwrap_or_default();
    let prepared = match head.event.as_str() {
        queue::EVENT => queue::run_of(&installed, claimed, head, body, guard.now().0),
        schedule::EVENT => schedule::run_of(&installed, head, &guard.site().1),
        _ => {
            let view = guard.system_view("forge_event");
            let (module, event) = (head.named(MessageHead::MODULE), head.named(MessageHead::FORGE_EVENT));
            let listener = view.trigger_of(id, module, event);
            match listener {
                None => None,
                Some(listener) => match view.may_be_told(&listener, head).await {
                    Ok(true) => product_event(&installed, claimed, head, body, &guard.site().1),
                    Ok(false) => {
                        return Ended::Refused("The app may no longer see what this tells of.".to_owned());
                    }
                    Err(error) => return Ended::Failed(error.to_string()),
                },
            }
        }
    };
    let Some(run) = prepared else {
        return Ended::Refused("The app has no such module any more.".to_owned());
    };
    let finished = match invoke::run(forge, &installed, run).await {
        Ok(finished) => finished,
        Err(problem) if problem.kind == ProblemKind::Unavailable => {
            return Ended::Again("The sandbox was not available.".to_owned(), AGAIN_MS, None);
        }
        Err(problem) => {
            return Ended::Refused(problem.into_words().unwrap_or_else(|_| "The function could not run.".to_owned()));
        }
    };
    let note = format!("Invocation {}", finished.id);
    let may_again = may_again(claimed, head, guard.now().0);
    match finished.outcome {
        Ending::Ok => match asked_again(&finished.value) {
            Some(again) if may_again => {
                let head = with_retry(head, &again.context);
                Ended::Again(format!("{note}: the app asks for it again"), again.after_ms, head)
            }
            Some(_) => Ended::Refused(format!("{note}: the app asked for it again too often")),
            None => Ended::Delivered(note),
        },
        Ending::Threw => Ended::Refused(format!("{note}: {}", first_line(&finished.detail))),
        Ending::Limited | Ending::Crashed if may_again => {
            let reason = finished.value.get("name").and_then(Json::as_str).unwrap_or("FUNCTION_PLATFORM_UNKNOWN_ERROR");
            let head = with_retry(head, &json!({"retryReason": reason}));
            Ended::Again(format!("{note}: {}", first_line(&finished.detail)), AGAIN_MS, head)
        }
        Ending::Limited | Ending::Crashed => Ended::Refused(format!("{note}: {}", first_line(&finished.detail))),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn may_again(claimed: &Claimed, head: &MessageHead, now_ms: i64) -> bool {
    match head.event.as_str() {
        queue::EVENT => queue::started(head).saturating_add(QUEUE_KEPT_MS) > now_ms,
        schedule::EVENT => false,
        _ => claimed.attempts < RETRIES_MAX,
    }
}

struct Again {
    after_ms: i64,
    context: Json,
}

/// What a returned `InvocationError` asks for.
fn asked_again(value: &Json) -> Option<Again> {
    if value.get("_retry") != Some(&Json::Bool(true)) {
        return None;
    }
    let options = value.get("retryOptions").cloned().unwrap_or_default();
    let after_s = options.get("retryAfter").and_then(Json::as_f64).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
    let after_s = after_s.clamp(1.0, RETRY_AFTER_S_MAX as f64) as i64;
    let data = options.get("retryData").filter(|data| data.is_object());
    let data = data.filter(|data| data.to_string().len() <= RETRY_DATA_BYTES_MAX).cloned();
    let context = json!({
        "retryReason": options.get("retryReason").and_then(Json::as_str).unwrap_or("FUNCTION_RETRY_REQUEST"),
        "retryData": data,
    });
    Some(Again { after_ms: after_s * 1_000, context })
}

fn with_retry(head: &MessageHead, context: &Json) -> Option<String> {
    let mut head = head.clone();
    head.names.retain(|(name, _)| name != RETRY);
    head.names.push((RETRY.to_owned(), context.to_string()));
    serde_json::to_string(&head).ok()
}

/// What an app is told of its earlier attempts; `None` at the first.
pub(crate) fn retry_context(claimed: &Claimed, head: &MessageHead) -> Option<Map<String, Json>> {
    if claimed.attempts == 0 {
        return None;
    }
    let kept = serde_json::from_str::<Json>(head.named(RETRY)).unwrap_or_default();
    let mut out = kept.as_object().cloned().unwrap_or_default();
    out.retain(|_, value| !value.is_null());
    out.insert("retryCount".to_owned(), claimed.attempts.into());
    Some(out)
}

/// The run that tells of an event of the product, in the words of Forge.
fn product_event(
    installed: &Installed,
    claimed: &Claimed,
    head: &MessageHead,
    body: Json,
    cloud_id: &str,
) -> Option<Run> {
    let module = installed.code.manifest.module("trigger", head.named(MessageHead::MODULE))?;
    let behind = module.behind.clone()?;
    let Json::Object(mut parts) = body else { return None };
    let mut event = Map::new();
    event.insert("eventType".to_owned(), head.named(MessageHead::FORGE_EVENT).into());
    if let Some(timestamp) = parts.remove("timestamp") {
        event.insert("timestamp".to_owned(), timestamp.to_string().into());
    }
    event.insert("selfGenerated".to_owned(), (head.named(MessageHead::BY_ITSELF) == "true").into());
    if let Some(by) = &head.by {
        event.insert("atlassianId".to_owned(), by.as_str().into());
    }
    event.insert("context".to_owned(), json!({"cloudId": cloud_id, "moduleKey": module.key}));
    event.insert("contextToken".to_owned(), json!({}));
    for name in ["webhookEvent", "user", "eventType", "matchedWebhookIds"] {
        parts.remove(name);
    }
    if let Some(name) = parts.remove("issue_event_type_name") {
        event.insert("jiraEventTypeName".to_owned(), name);
    }
    if let Some(issue) = parts.get("issue") {
        let fields = issue.get("fields");
        let people = ["assignee", "reporter", "creator"].iter().filter_map(|name| fields?.get(*name)?.get("accountId"));
        let mut people: Vec<&Json> = people.collect();
        people.dedup();
        let people: Vec<Json> = people.into_iter().map(|id| json!({"accountId": id})).collect();
        event.insert("associatedUsers".to_owned(), json!({"users": people}));
        let statuses: Vec<&Json> = fields.and_then(|fields| fields.get("status")).into_iter().collect();
        event.insert("associatedStatuses".to_owned(), json!({"statuses": statuses}));
    }
    // A link is told of without a wrapping.
    if let Some(Json::Object(link)) = parts.remove("issueLink") {
        event.extend(link);
    }
    event.extend(parts);
    if let Some(context) = retry_context(claimed, head) {
        event.insert("retryContext".to_owned(), context.into());
    }
    Some(Run {
        behind,
        module_type: "trigger".to_owned(),
        module_key: module.key.clone(),
        event: event.into(),
        principal: None,
        depth: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::asked_again;
    use serde_json::json;

    #[test]
    fn an_app_asks_for_another_attempt_within_bounds() {
        assert!(asked_again(&json!({"retryOptions": {"retryAfter": 5}})).is_none());
        let again = |options: serde_json::Value| {
            asked_again(&json!({"_retry": true, "retryOptions": options})).expect("it asks")
        };
        assert_eq!(again(json!({"retryAfter": 5})).after_ms, 5_000);
        assert_eq!(again(json!({"retryAfter": 1e12})).after_ms, 900_000);
        assert_eq!(again(json!({"retryAfter": -3})).after_ms, 1_000);
        assert_eq!(again(json!({})).context["retryReason"], json!("FUNCTION_RETRY_REQUEST"));
        assert_eq!(again(json!({"retryData": {"a": 1}})).context["retryData"], json!({"a": 1}));
        assert!(again(json!({"retryData": {"a": "x".repeat(5_000)}})).context["retryData"].is_null());
    }
}
