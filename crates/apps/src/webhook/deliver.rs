//! Sends what is in the outbox: signed, identified, again when it fails, and at most so much at once to one app that a slow one
//! holds up nobody else.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_crypto::jws::SigningKey;
use portcullis_crypto::{hex, sha256};
use portcullis_guard::{Claimed, Guard, Listener, MessageHead, Read, Sent, StoreError, View, WebhookOwner};
use portcullis_model::{AppId, Problem, WebhookId};
use portcullis_outbound::{Limits, Method, Outbound, Request};
use serde_json::json;
use tokio::task::JoinSet;
use url::Url;

use crate::connect::call;
use crate::oauth::client;

/// Attempts after the first, as the vendor has it.
const RETRIES_MAX: i64 = 5;
/// The next attempt comes after a time between these two.
const RETRY_MS: (i64, i64) = (5 * 60_000, 15 * 60_000);
/// After so long without a success an app gets each message once.
const FAILING_MS: i64 = 30 * 60_000;
/// A message that was claimed and never settled is due again after this.
const LEASE_MS: i64 = 60_000;
/// An app's code that runs longer than this leases its message anew, as often as it takes.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// Messages in memory at once.
const CLAIMED_MAX: usize = 512;
/// Messages of one app in memory at once.
const OWNER_CLAIMED_MAX: usize = CLAIMED_MAX / 2;
/// While apps are busy, the outbox is looked through for the others at most this often.
const PASS_OVER_EVERY: Duration = Duration::from_millis(50);
/// Requests under way to one app.
const PER_OWNER_MAX: usize = 16;
/// The outbox is looked at this often when nothing was put into it: something may be due again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an app may take.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(3), total: Duration::from_secs(10), answer_bytes: 64 << 10 };
/// Seconds that the token of an OAuth 2.0 app's webhook lives.
const TOKEN_LIFE_S: i64 = 300;
const NOTE_CHARS_MAX: usize = 300;
/// What was delivered or failed can be looked at for so long.
const KEPT_MS: i64 = 72 * 3_600_000;
/// Delivered messages kept of each app.
const KEPT_MAX: i64 = 1_000;

#[derive(Default)]
struct Owner {
    /// Each with the end of its lease.
    waiting: VecDeque<(i64, Claimed)>,
    under_way: usize,
}

/// What came of an attempt; the text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The receiver has it.
    Delivered(String),
    /// Worth another attempt.
    Failed(String),
    /// Not worth one.
    Refused(String),
    /// The receiver asks for it again, after so many milliseconds, with another head.
    Again(String, i64, Option<String>),
}

/// Takes messages to apps whose code runs here.
pub trait RunsHere: Send + Sync + 'static {
    /// Runs what the message is for.
    fn run<'a>(
        &'a self,
        claimed: &'a Claimed,
        head: &'a MessageHead,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;
}

struct Attempt {
    owner: String,
    id: i64,
    attempts: i64,
    result: Ended,
}

/// Sends until it is aborted. What is under way then is sent again by whoever comes next.
pub async fn run(guard: Guard, outbound: Outbound, here: Arc<dyn RunsHere>) {
    if let Err(error) = guard.release_messages().await {
        tracing::error!(%error, "webhooks that were under way cannot be taken up again before their lease ends");
    }
    let mut courier = Courier {
        guard,
        outbound,
        here,
        owners: HashMap::new(),
        failing_since: HashMap::new(),
        under_way: JoinSet::new(),
        pass_over_after: Instant::now(),
    };
    loop {
        courier.claim().await;
        courier.start();
        courier.wait().await;
    }
}

/// Removes what was settled long ago; run by a job.
pub async fn sweep(guard: &Guard) {
    if let Err(error) = guard.forget_settled_messages(KEPT_MS, KEPT_MAX).await {
        tracing::error!(%error, "old webhook deliveries could not be removed");
    }
}

struct Courier {
    guard: Guard,
    outbound: Outbound,
    here: Arc<dyn RunsHere>,
    owners: HashMap<String, Owner>,
    failing_since: HashMap<String, i64>,
    under_way: JoinSet<Attempt>,
    pass_over_after: Instant,
}

impl Courier {
    async fn claim(&mut self) {
        let held: usize = self.owners.values().map(|owner| owner.waiting.len() + owner.under_way).sum();
        let room = CLAIMED_MAX.saturating_sub(held);
        if room < CLAIMED_MAX / 4 {
            return;
        }
        let busy: Vec<String> = self
            .owners
            .iter()
            .filter(|(_, owner)| owner.waiting.len() + owner.under_way >= OWNER_CLAIMED_MAX)
            .map(|(name, _)| name.clone())
            .collect();
        // What waits for busy apps is read over to find what waits for others; that may take a tenth of the time at most.
        if !busy.is_empty() && Instant::now() < self.pass_over_after {
            return;
        }
        let started = Instant::now();
        let leased_until_ms = self.guard.now().0 + LEASE_MS;
        let most = i64::try_from(room.min(CLAIMED_MAX / 4)).unwrap_or(1);
        match self.guard.claim_messages(LEASE_MS, most, &busy).await {
            Ok(claimed) => {
                for message in claimed {
                    self.owners
                        .entry(message.message.owner.clone())
                        .or_default()
                        .waiting
                        .push_back((leased_until_ms, message));
                }
            }
            Err(error) => tracing::warn!(%error, "the outbox could not be read; it is tried again"),
        }
        if !busy.is_empty() {
            self.pass_over_after = Instant::now() + (started.elapsed() * 10).max(PASS_OVER_EVERY);
        }
    }

    fn start(&mut self) {
        let now = self.guard.now().0;
        for owner in self.owners.values_mut() {
            while owner.under_way < PER_OWNER_MAX
                && let Some((leased_until_ms, claimed)) = owner.waiting.pop_front()
            {
                // It waited long for others of its app. It is claimed again when its lease ends, here or on another node, and would
                // be sent twice.
                if leased_until_ms - now < LEASE_MS / 2 {
                    continue;
                }
                owner.under_way += 1;
                let (guard, outbound, here) = (self.guard.clone(), self.outbound.clone(), Arc::clone(&self.here));
                self.under_way.spawn(async move {
                    let (id, attempts) = (claimed.id, claimed.attempts);
                    let owner = claimed.message.owner.clone();
                    let result = attempt(&guard, &outbound, here.as_ref(), claimed).await;
                    Attempt { owner, id, attempts, result }
                });
            }
        }
        self.owners.retain(|_, owner| owner.under_way > 0 || !owner.waiting.is_empty());
    }

    /// Until something has ended, something new is in the outbox, or something may be due; settles all that has ended.
    async fn wait(&mut self) {
        let first = tokio::select! {
            Some(ended) = self.under_way.join_next(), if !self.under_way.is_empty() => Some(ended),
            () = self.guard.outgoing() => None,
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let mut ended: Vec<Attempt> = Vec::new();
        for joined in first.into_iter().chain(std::iter::from_fn(|| self.under_way.try_join_next())) {
            match joined {
                Ok(attempt) => ended.push(attempt),
                // Its lease ends, and it is tried again.
                Err(error) => tracing::error!(%error, "an attempt to send a webhook broke off"),
            }
        }
        let now = self.guard.now().0;
        let mut sent = Vec::with_capacity(ended.len());
        for attempt in ended {
            if let Some(owner) = self.owners.get_mut(&attempt.owner) {
                owner.under_way = owner.under_way.saturating_sub(1);
            }
            sent.push(self.settled(attempt, now));
        }
        if let Err(error) = self.guard.settle_messages(&sent).await {
            tracing::error!(%error, "what became of webhooks could not be written down; they are sent again");
        }
    }

    fn settled(&mut self, attempt: Attempt, now: i64) -> Sent {
        let (delivered, again, note) = match attempt.result {
            // The app says itself when it has had enough.
            Ended::Again(note, after_ms, head) => {
                let note = note.chars().take(NOTE_CHARS_MAX).collect();
                return Sent { id: attempt.id, delivered: false, due_at_ms: Some(now + after_ms), note, head };
            }
            Ended::Delivered(note) => (true, false, note),
            Ended::Failed(note) => (false, true, note),
            Ended::Refused(note) => (false, false, note),
        };
        let since = if delivered {
            self.failing_since.remove(&attempt.owner);
            now
        } else {
            *self.failing_since.entry(attempt.owner).or_insert(now)
        };
        let again = again && attempt.attempts < RETRIES_MAX && now - since < FAILING_MS;
        let due_at_ms = again.then(|| now + self.pause());
        Sent { id: attempt.id, delivered, due_at_ms, note: note.chars().take(NOTE_CHARS_MAX).collect(), head: None }
    }

    fn pause(&self) -> i64 {
        let view = self.guard.system_view("webhooks");
        let bytes: [u8; 4] = view.entropy().array();
        RETRY_MS.0 + i64::from(u32::from_be_bytes(bytes)) % (RETRY_MS.1 - RETRY_MS.0)
    }
}

/// Runs an attempt to its end, and renews the lease of its message for as long as that takes.
async fn while_leased<R>(every: Duration, renew: impl Fn() -> R, attempt: impl Future<Output = Ended>) -> Ended
where
    R: Future<Output = Result<(), StoreError>>,
{
    let mut attempt = std::pin::pin!(attempt);
    loop {
        match tokio::time::timeout(every, attempt.as_mut()).await {
            Ok(ended) => return ended,
            Err(_) => {
                if let Err(error) = renew().await {
                    tracing::warn!(%error, "the lease of an event could not be renewed; it may be handed out again");
                }
            }
        }
    }
}

async fn attempt(guard: &Guard, outbound: &Outbound, here: &dyn RunsHere, claimed: Claimed) -> Ended {
    let view = guard.system_view("webhooks");
    let Ok(head) = serde_json::from_str::<MessageHead>(&claimed.message.head) else {
        return Ended::Refused("The message cannot be read.".to_owned());
    };
    if claimed.message.owner.starts_with("forge:") {
        let renew = || guard.renew_message(claimed.id, LEASE_MS);
        return while_leased(RENEW_EVERY, renew, here.run(&claimed, &head)).await;
    }
    let Some(listener) = view.listener_of(WebhookId(claimed.message.target)) else {
        return Ended::Refused("The webhook ended, or its app is stopped or was refused access.".to_owned());
    };
    match view.may_be_told(&listener, &head).await {
        Ok(true) => {}
        Ok(false) => return Ended::Refused("The app may no longer see what this tells of.".to_owned()),
        Err(error) => return Ended::Failed(error.to_string()),
    }
    let request = match request(guard, &view, &listener, &head, &claimed).await {
        Ok(request) => request,
        Err(problem) => {
            return Ended::Refused(
                problem.into_words().unwrap_or_else(|_| "The request could not be made.".to_owned()),
            );
        }
    };
    match outbound.send_kept(request, LIMITS).await {
        Ok(answer) => {
            let note = format!("HTTP {}", answer.status);
            match answer.status {
                200..=299 => Ended::Delivered(note),
                408 | 409 | 425 | 429 | 500..=599 => Ended::Failed(note),
                _ => Ended::Refused(note),
            }
        }
        Err(error) => Ended::Failed(format!("The address {error}.")),
    }
}

async fn request(
    guard: &Guard,
    view: &View,
    listener: &Listener,
    head: &MessageHead,
    claimed: &Claimed,
) -> Result<Request, Problem> {
    let message = &claimed.message;
    let address = filled_in(&listener.webhook.url, &head.names);
    let mut url: Url = address.parse().map_err(|_| Problem::invalid("The address is none."))?;
    let authorization = match listener.webhook.owner {
        WebhookOwner::Connect(id) => {
            let app = view.with(|snapshot| snapshot.connect().app(id).cloned());
            let app = app.ok_or_else(|| Problem::invalid("The app is not installed."))?;
            let callee = call::callee(&app);
            // The hash is of the path below the app's own address.
            let path = address.strip_prefix(&app.base_url).unwrap_or_default();
            format!("JWT {}", call::token(view, &callee, &app.secret, "POST", path)?)
        }
        WebhookOwner::Forge(_) => return Err(Problem::invalid("A Forge app has no address.")),
        WebhookOwner::Oauth { client, .. } => {
            if let Some(account_id) = &head.by {
                url.query_pairs_mut().append_pair("triggeredByUser", account_id);
            }
            format!("Bearer {}", bearer(guard, view, client, message).await?)
        }
    };
    let mut headers = vec![
        ("content-type".into(), "application/json".to_owned()),
        ("authorization".into(), authorization),
        ("accept".into(), "*/*".to_owned()),
        ("x-atlassian-webhook-identifier".into(), message.identifier.clone()),
        ("x-atlassian-webhook-flow".into(), "Primary".to_owned()),
    ];
    if claimed.attempts > 0 {
        headers.push(("x-atlassian-webhook-retry".into(), claimed.attempts.to_string()));
    }
    if let Some(trace) = &head.trace {
        headers.push(("x-atlassian-webhook-trace".into(), trace.clone()));
    }
    Ok(Request { method: Method::POST, url, headers, body: message.body.as_bytes().to_vec() })
}

/// A token that an OAuth 2.0 app checks with its newest secret (HS256): who sends, to whom, when, and what.
async fn bearer(
    guard: &Guard,
    view: &View,
    client: AppId,
    message: &portcullis_guard::Message,
) -> Result<String, Problem> {
    let mut job = guard.begin_job::<Read>("read_client_secret").await?;
    let secret = client::newest_secret(job.tx(), view, client).await?;
    job.commit().await?;
    let secret = secret.ok_or_else(|| Problem::invalid("The app has no secret to sign with."))?;
    let app = view.with(|snapshot| snapshot.oauth().client(client).cloned());
    let app = app.ok_or_else(|| Problem::invalid("The app is gone."))?;
    let now_s = view.now().0.div_euclid(1_000);
    let claims = json!({
        "iss": view.addresses().issuer,
        "aud": app.client_id,
        "iat": now_s,
        "exp": now_s + TOKEN_LIFE_S,
        "jti": message.identifier,
        "body_sha256": hex(&sha256(message.body.as_bytes())),
    });
    let key = SigningKey::hs256(String::new(), &secret).map_err(Problem::bug)?;
    key.sign("JWT", &claims).map_err(Problem::bug)
}

/// What stands in an address as it is (RFC 3986, section 2.3).
const ENCODED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Puts names into the braces of an address, percent-encoded; what is not known is empty, and so is what would lead to another
/// folder.
pub(crate) fn filled_in(url: &str, names: &[(String, String)]) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        let value = names.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        let value = if matches!(value, "." | "..") { "" } else { value };
        out.extend(percent_encoding::utf8_percent_encode(value, ENCODED));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{Duration, Ended, StoreError, filled_in, while_leased};

    #[tokio::test]
    async fn an_attempt_that_takes_long_keeps_its_lease_also_after_a_renewal_that_failed() {
        let (renewed, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let renew = || {
            renewed.send(()).expect("somebody counts");
            async { Err(StoreError::Conflict) }
        };
        let attempt = async {
            for _ in 0..3 {
                seen.recv().await;
            }
            Ended::Delivered("after three renewals".to_owned())
        };
        let ended = while_leased(Duration::from_millis(1), renew, attempt).await;
        assert!(matches!(ended, Ended::Delivered(note) if note == "after three renewals"));
    }

    #[test]
    fn names_in_braces_are_filled_in_and_cannot_change_the_address() {
        let names = [
            ("issue.key".to_owned(), "DEMO-1".to_owned()),
            ("odd".to_owned(), "../?a=b&c#d".to_owned()),
            ("up".to_owned(), "..".to_owned()),
        ];
        for (url, is) in [
            ("https://a.example/hook", "https://a.example/hook"),
            ("https://a.example/{issue.key}/x", "https://a.example/DEMO-1/x"),
            ("https://a.example/{odd}", "https://a.example/..%2F%3Fa%3Db%26c%23d"),
            ("https://a.example/?u={user.id}&k={issue.key}", "https://a.example/?u=&k=DEMO-1"),
            ("https://a.example/a/{up}/b", "https://a.example/a//b"),
            ("https://a.example/{open", "https://a.example/{open"),
        ] {
            assert_eq!(filled_in(url, &names), is);
        }
    }
}
