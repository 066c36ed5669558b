//! What an app's code may reach: it asks in words of its own choosing, and the server decides who asks and what that means.
//!
//! Nothing that the code says names an installation, a user or a credential, but for the account of `asUser(accountId)`, which has
//! rules of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use portcullis_apps::edge::{Answer, Call, Edge, Reaches};
use portcullis_guard::{Caller, ForgeActs, Guard};
use portcullis_outbound::{Limits, OutboundError, Request};
use portcullis_sandbox::{Host, HostCall};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::invoke::{Installed, Run};
use crate::log::Line;
use crate::{Forge, egress, queue, remote, storage, web_trigger};

/// Headers that go with a call to Jira; the others say who somebody is, or nothing.
const HEADERS: &[&str] = &["content-type", "accept", "accept-language", "x-atlassian-token", "x-force-accept-language"];

/// Headers of a fetch that the sender sets, or that would name somebody in between.
const NOT_SENT: &[&str] = &[
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "proxy-authorization",
    "cookie",
    "forwarded",
    "x-forwarded-for",
];

/// An answer of somebody else, in bytes.
const ANSWER_BYTES_MAX: usize = 5 << 20;

const REDIRECTS_MAX: usize = 5;
const LINE_CHARS_MAX: usize = 16_384;

/// Acts for one invocation.
pub struct Broker {
    forge: Forge,
    guard: Guard,
    edge: Arc<dyn Edge>,
    installed: Arc<Installed>,
    /// Who started it, and as what.
    principal: Option<String>,
    module_type: String,
    module_key: String,
    /// How many events of a queue have led here.
    depth: u32,
    lines: Mutex<Vec<Line>>,
}

/// What `fetch` and Forge's own fetch send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    url: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    target: Json,
    #[serde(default)]
    redirect: Option<String>,
    method: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    base64: Option<String>,
}

impl Sent {
    fn body(&self) -> Result<Bytes, String> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Ok(Bytes::from(text.clone())),
            (None, Some(base64)) => STANDARD.decode(base64).map(Bytes::from).map_err(|error| error.to_string()),
            (None, None) => Ok(Bytes::new()),
        }
    }

    fn method(&self) -> Result<http::Method, String> {
        http::Method::from_bytes(self.method.as_bytes()).map_err(|_| format!("`{}` is not a method", self.method))
    }
}

fn answer_of(status: u16, headers: &[(String, String)], body: &[u8]) -> Json {
    let mut out = json!({"status": status, "statusText": http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()), "headers": headers});
    if let (Some(object), false) = (out.as_object_mut(), body.is_empty()) {
        match std::str::from_utf8(body) {
            Ok(text) => object.insert("text".to_owned(), text.into()),
            Err(_) => object.insert("base64".to_owned(), STANDARD.encode(body).into()),
        };
    }
    out
}

/// An answer in JSON, or without a body for null.
fn json_of(status: u16, body: &Json) -> Json {
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    let text = if body.is_null() { String::new() } else { body.to_string() };
    answer_of(status, &headers, text.as_bytes())
}

/// An answer of the platform itself.
fn said(status: u16, error: &str, message: &str) -> Json {
    let body = json!({"code": status, "message": message}).to_string();
    let headers = [
        ("content-type".to_owned(), "application/json".to_owned()),
        ("forge-proxy-error".to_owned(), error.to_owned()),
    ];
    answer_of(status, &headers, body.as_bytes())
}

impl Broker {
    pub(crate) fn new(forge: Forge, guard: Guard, edge: Arc<dyn Edge>, installed: Arc<Installed>, run: &Run) -> Self {
        Self {
            forge,
            guard,
            edge,
            installed,
            principal: run.principal.clone(),
            module_type: run.module_type.clone(),
            module_key: run.module_key.clone(),
            depth: run.depth,
            lines: Mutex::default(),
        }
    }

    pub(crate) fn take_lines(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn forge_fetch(&self, sent: Sent) -> Result<Json, String> {
        let word = |name: &str| sent.target.get(name).and_then(Json::as_str).unwrap_or_default();
        match (word("type"), word("remote")) {
            ("fpp", "jira") => self.jira(&sent).await,
            ("kvs", _) => self.storage(&sent).await,
            ("frc", key) => self.remote(key, &sent).await,
            ("fpp", "stargate") if sent.path.starts_with("/forge/entities/graphql") => self.legacy_storage(&sent).await,
            ("fpp", "stargate") if sent.path.starts_with(queue::PATH) => self.queue(&sent).await,
            ("fpp", "stargate") if sent.path == "/graphql" => self.graphql(&sent).await,
            ("fpp", remote @ ("confluence" | "bitbucket")) => {
                Ok(said(501, "NOT_IMPLEMENTED", &format!("There is no {remote} behind this server.")))
            }
            (kind, remote) => Ok(said(
                501,
                "NOT_IMPLEMENTED",
                &format!("`{kind}` `{remote}` at `{}` is not built on this server.", sent.path),
            )),
        }
    }

    /// Who asks, as the code asked for it: itself, who started it, somebody who is not there, or nobody.
    fn caller(&self, sent: &Sent) -> Result<Caller, Json> {
        let provider = sent.target.get("provider").and_then(Json::as_str).unwrap_or_default();
        let named = sent.target.get("accountId").and_then(Json::as_str);
        let needs_user =
            || said(401, "NEEDS_AUTHENTICATION_ERR", "Nobody started this invocation whom the app could act for.");
        let acts = match (provider, named, self.principal.as_deref()) {
            ("app", _, _) => ForgeActs::App,
            ("none", _, _) => ForgeActs::Nobody,
            ("user", Some(named), Some(principal)) if named == principal => ForgeActs::User(principal),
            ("user", None, Some(principal)) => ForgeActs::User(principal),
            ("user", Some(named), _) => {
                let scopes = self.installed.code.manifest.impersonation_set();
                if scopes == portcullis_model::ScopeSet::EMPTY {
                    let words =
                        "The app may not act for a user who is not there: none of its scopes allows impersonation.";
                    return Err(said(403, "PROXY_ERR", words));
                }
                ForgeActs::Absent(named, scopes)
            }
            _ => return Err(needs_user()),
        };
        self.guard.forge(self.installed.id, acts).ok_or_else(needs_user)
    }

    async fn ask(&self, caller: Caller, reaches: Reaches, path: String, sent: &Sent) -> Result<Answer, String> {
        let headers = sent.headers.iter().filter(|(name, _)| HEADERS.contains(&name.to_ascii_lowercase().as_str()));
        let headers = headers.cloned().collect();
        Ok(self.edge.answer(Call { caller, reaches, method: sent.method()?, path, headers, body: sent.body()? }).await)
    }

    async fn jira(&self, sent: &Sent) -> Result<Json, String> {
        // What is no path of this site is not made one.
        if !sent.path.starts_with('/')
            || sent.path.starts_with("//")
            || sent.path.contains(['\\', '#'])
            || sent.path.contains(char::is_control)
        {
            return Ok(said(400, "PROXY_ERR", "The path does not begin with one slash, or holds what no path does."));
        }
        let caller = match self.caller(sent) {
            Ok(caller) => caller,
            Err(refused) => return Ok(refused),
        };
        let answer = self.ask(caller, Reaches::Jira, sent.path.clone(), sent).await?;
        Ok(answer_of(answer.status, &answer.headers, &answer.body))
    }

    async fn storage(&self, sent: &Sent) -> Result<Json, String> {
        let Some(rest) = sent.path.strip_prefix("/api/v1/") else {
            return Ok(said(404, "PROXY_ERR", "There is no such operation on storage."));
        };
        let Some(caller) = self.guard.forge(self.installed.id, ForgeActs::App) else {
            return Ok(said(401, "PROXY_ERR", "The app is not installed."));
        };
        let path = format!("{}/{rest}", storage::PATH);
        let answer = self.ask(caller, Reaches::Storage, path, sent).await?;
        Ok(answer_of(answer.status, &answer.headers, &answer.body))
    }

    /// Storage as packages before `@forge/kvs` ask for it; the values are the same.
    async fn legacy_storage(&self, sent: &Sent) -> Result<Json, String> {
        let Some(caller) = self.guard.forge(self.installed.id, ForgeActs::App) else {
            return Ok(said(401, "PROXY_ERR", "The app is not installed."));
        };
        let ask = |operation: &'static str, body: Json| {
            let call = Call {
                caller: caller.clone(),
                reaches: Reaches::Storage,
                method: http::Method::POST,
                path: format!("{}/{operation}", storage::PATH),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: body.to_string().into(),
            };
            async move { self.edge.answer(call).await }
        };
        let asked: Json = serde_json::from_slice(&sent.body()?).unwrap_or_default();
        let answer = crate::graphql::legacy_storage::answer(&asked, ask).await;
        Ok(json_of(200, &answer))
    }

    /// Pushes to the app's queues, and asks about what was pushed.
    async fn queue(&self, sent: &Sent) -> Result<Json, String> {
        let asked: Json = serde_json::from_slice(&sent.body()?).unwrap_or_default();
        let (status, body) = queue::answer(&self.forge, &self.installed, &sent.path, &asked, self.depth).await;
        Ok(json_of(status, &body))
    }

    /// What the platform's own gateway offers to code: addresses of its web triggers.
    async fn graphql(&self, sent: &Sent) -> Result<Json, String> {
        let asked: Json = serde_json::from_slice(&sent.body()?).unwrap_or_default();
        let answer = web_trigger::answer(&self.forge, &self.installed, &asked).await;
        Ok(json_of(200, &answer))
    }

    /// A server of the app's own.
    async fn remote(&self, key: &str, sent: &Sent) -> Result<Json, String> {
        let (remote, auth) = match remote::by_function(&self.installed.code.manifest, key) {
            Ok(found) => found,
            Err(words) => return Ok(said(403, "INVALID_REMOTE", words)),
        };
        let asked = remote::Asked {
            method: sent.method()?,
            path: sent.path.clone(),
            headers: sent.headers.clone(),
            body: sent.body()?.to_vec(),
            auth,
            within: Duration::from_secs(25),
        };
        let context = json!({"cloudId": self.guard.site().1, "moduleKey": self.module_key});
        let behalf = remote::Behalf {
            principal: self.principal.as_deref(),
            module_type: &self.module_type,
            module_key: &self.module_key,
            context: &context,
        };
        match remote::call(&self.forge, &self.guard, &self.installed, remote, asked, behalf).await {
            Ok(answer) => Ok(answer_of(answer.status, &answer.headers, &answer.body)),
            Err(error) => {
                let words = format!("Remote `{key}`: {error}.");
                self.note("WARN", &words);
                Ok(said(424, "REMOTE_ERR", &words))
            }
        }
    }

    async fn fetch(&self, sent: Sent) -> Result<Json, String> {
        let mut url = sent.url.clone();
        let mut method = sent.method()?;
        let mut body = sent.body()?;
        let mut headers: Vec<_> = sent.headers.clone();
        headers.retain(|(name, _)| !NOT_SENT.contains(&name.to_ascii_lowercase().as_str()));
        for _ in 0..=REDIRECTS_MAX {
            let allowed =
                egress::address(&url).filter(|url| egress::is_allowed(&self.installed.code.manifest.egress, url));
            let Some(address) = allowed else {
                let words = format!("The app's manifest does not let it fetch from {url}.");
                self.note("WARN", &words);
                return Ok(said(403, "BLOCKED_EGRESS", &words));
            };
            let sending = headers.iter().map(|(name, value)| (name.clone().into(), value.clone())).collect();
            let request =
                Request { method: method.clone(), url: address.clone(), headers: sending, body: body.to_vec() };
            let limits = Limits { total: Duration::from_secs(25), answer_bytes: ANSWER_BYTES_MAX, ..Limits::default() };
            let answer = match self.forge.0.outbound.send(request, limits).await {
                Ok(answer) => answer,
                Err(error @ OutboundError::Forbidden(_)) => {
                    let words = format!("{url} {error}");
                    self.note("WARN", &words);
                    return Ok(said(403, "BLOCKED_EGRESS", "The address is not a public one."));
                }
                Err(error) => return Err(format!("{url} {error}")),
            };
            let location = answer.headers.iter().find(|(name, _)| name == "location").map(|(_, to)| to.as_str());
            let next = location.filter(|_| (301..=308).contains(&answer.status) && answer.status != 304);
            match (next, sent.redirect.as_deref()) {
                (Some(_), Some("error")) => return Err("the answer is a redirect".to_owned()),
                (Some(to), None | Some("follow")) => {
                    let next = address.join(to).map_err(|error| error.to_string())?;
                    if next.origin() != address.origin() {
                        // A credential is for the place that the app named, not for the one it was led to.
                        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
                    }
                    url = next.to_string();
                    if answer.status == 303 || (answer.status < 303 && method == http::Method::POST) {
                        method = http::Method::GET;
                        body = Bytes::new();
                    }
                }
                _ => return Ok(answer_of(answer.status, &answer.headers, &answer.body)),
            }
        }
        Err("too many redirects".to_owned())
    }

    fn note(&self, level: &str, text: &str) {
        let line = Line {
            at_ms: self.guard.now().0,
            level: level.to_owned(),
            text: text.chars().take(LINE_CHARS_MAX).collect(),
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Host for Broker {
    fn call(self: Arc<Self>, call: HostCall) -> Pin<Box<dyn Future<Output = Result<Json, String>> + Send>> {
        Box::pin(async move {
            let sent: Sent = serde_json::from_value(call.data).map_err(|error| error.to_string())?;
            match call.op.as_str() {
                "forge_fetch" => self.forge_fetch(sent).await,
                "fetch" => self.fetch(sent).await,
                other => Err(format!("`{other}` is not to be had")),
            }
        })
    }

    fn log(&self, line: &[u8]) {
        let (level, text) = serde_json::from_slice::<(String, String)>(line)
            .unwrap_or_else(|_| ("log".to_owned(), String::from_utf8_lossy(line).into_owned()));
        let level = match level.as_str() {
            "error" => "ERROR",
            "warn" => "WARN",
            "debug" => "DEBUG",
            _ => "INFO",
        };
        self.note(level, &text);
    }
}
