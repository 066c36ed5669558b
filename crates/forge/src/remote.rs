//! Remotes: servers of an app's own, which are called in place of a function, or by one. Each call proves itself with an invocation
//! token (FIT), a JWT that lives for seconds and is the remote's alone; where the manifest and the scopes say so, a token for the
//! API gateway comes with it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_apps::connect::install_key;
use portcullis_authz::op;
use portcullis_guard::{Ctx, Guard, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use portcullis_outbound::{Limits, OutboundError, Request};
use serde_json::{Value as Json, json};
use url::Url;

use crate::invoke::Installed;
use crate::manifest::Manifest;
use crate::{Forge, egress};

/// `typ` of an invocation token. No other JWT of ours has it.
const TOKEN_TYPE: &str = "JWT";
const ISSUER: &str = "forge/invocation-token";
const TOKEN_S: i64 = 25;
/// What a remote answers, in bytes.
const ANSWER_BYTES_MAX: usize = 5 << 20;
/// Headers that the caller of a remote may not choose.
const OURS: &[&str] =
    &["authorization", "host", "content-length", "connection", "transfer-encoding", "te", "upgrade", "cookie"];

/// A server of an app's own, as its manifest names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remote {
    pub key: String,
    base: Url,
    /// Whether functions may call it.
    compute: bool,
    auth: Auth,
}

/// Which tokens for the API gateway a remote gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Auth {
    system: bool,
    user: bool,
}

impl Auth {
    fn of(json: Option<&Json>) -> Self {
        let on = |name: &str| json.and_then(|json| json.get(name)?.get("enabled")) == Some(&Json::Bool(true));
        Self { system: on("appSystemToken"), user: on("appUserToken") }
    }
}

/// Reads `remotes` of a manifest; the faults are sentences for the developer.
pub(crate) fn read(json: Option<&Json>, faults: &mut Vec<String>) -> Vec<Remote> {
    const KEY_CHARS_MAX: usize = 23;
    let mut out: Vec<Remote> = Vec::new();
    for remote in json.and_then(Json::as_array).into_iter().flatten() {
        let key = remote.get("key").and_then(Json::as_str).unwrap_or_default();
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX || out.iter().any(|other| other.key == key) {
            faults.push(format!("A remote has no key of its own of 1 to {KEY_CHARS_MAX} characters: `{key}`."));
            continue;
        }
        let base = remote.get("baseUrl");
        let base = base.and_then(|base| base.as_str().or_else(|| base.get("default")?.as_str())).unwrap_or_default();
        let Some(address) = egress::address(base).filter(|url| url.query().is_none() && url.fragment().is_none())
        else {
            faults.push(format!("The remote `{key}` has no `baseUrl` that can be called."));
            continue;
        };
        let operations = remote.get("operations").and_then(Json::as_array);
        let compute = operations.into_iter().flatten().any(|operation| operation == "compute");
        out.push(Remote { key: key.to_owned(), base: address, compute, auth: Auth::of(remote.get("auth")) });
    }
    out
}

/// What is asked of a remote.
pub(crate) struct Asked {
    pub method: http::Method,
    /// Appended to the remote's address; begins with a slash, or is empty.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub auth: Auth,
    pub within: Duration,
}

/// On whose behalf, and in which module.
#[derive(Clone, Copy)]
pub(crate) struct Behalf<'a> {
    pub principal: Option<&'a str>,
    pub module_type: &'a str,
    pub module_key: &'a str,
    /// What a function would get as its context.
    pub context: &'a Json,
}

/// What came back.
pub(crate) struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Remote {
    /// The address of a path, which stays below the remote's own.
    fn at(&self, path: &str) -> Option<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        let below = path.is_empty() || path.starts_with('/');
        let url = egress::address(&format!("{base}{path}")).filter(|_| below)?;
        // A neighbour whose name begins alike is not below it.
        let rest = url.path().strip_prefix(self.base.path().trim_end_matches('/'))?;
        let stays = url.origin() == self.base.origin() && (rest.is_empty() || rest.starts_with('/'));
        stays.then_some(url)
    }
}

/// The manifest's remote of a name.
pub(crate) fn named<'a>(manifest: &'a Manifest, key: &str) -> Option<&'a Remote> {
    manifest.remotes.iter().find(|remote| remote.key == key)
}

/// The remote behind an endpoint, with the endpoint's path and what it gets besides the invocation token.
pub(crate) fn of_endpoint<'a>(manifest: &'a Manifest, endpoint: &str) -> Option<(&'a Remote, String, Auth)> {
    let module = manifest.module("endpoint", endpoint)?;
    let remote = named(manifest, module.content.get("remote")?.as_str()?)?;
    let path = module.content.pointer("/route/path").and_then(Json::as_str).unwrap_or_default();
    Some((remote, path.to_owned(), Auth::of(module.content.get("auth"))))
}

/// What a function asks of a remote by `invokeRemote`.
pub(crate) fn by_function<'a>(manifest: &'a Manifest, key: &str) -> Result<(&'a Remote, Auth), &'static str> {
    let remote = named(manifest, key).ok_or("The manifest names no such remote.")?;
    if !remote.compute {
        return Err("The remote's `operations` do not hold `compute`, without which functions may not call it.");
    }
    Ok((remote, remote.auth))
}

/// The claims and the signature that tell a remote who calls.
fn invocation_token(guard: &Guard, installed: &Installed, behalf: Behalf<'_>) -> Result<String, Problem> {
    let view = guard.system_view("forge_remote");
    let key = install_key::current(&view)?;
    let now_s = guard.now().0 / 1_000;
    let cloud_id = guard.site().1;
    let api = view.addresses().gateway(&cloud_id);
    let mut claims = json!({
        "iss": ISSUER,
        "aud": format!("ari:cloud:ecosystem::app/{}", installed.app),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s.saturating_add(TOKEN_S),
        "jti": view.entropy().uuid(),
        "app": {
            "id": format!("ari:cloud:ecosystem::app/{}", installed.app),
            "version": installed.version,
            "appVersion": installed.version,
            "installationId": format!("ari:cloud:ecosystem::installation/{}", installed.uuid),
            "apiBaseUrl": api,
            "environment": {
                "type": installed.environment_kind,
                "id": format!("ari:cloud:ecosystem::environment/{}/{}", installed.app, installed.environment),
            },
            "module": {"type": behalf.module_type, "key": behalf.module_key},
            "installation": {
                "id": format!("ari:cloud:ecosystem::installation/{}", installed.uuid),
                "contexts": [{"name": "jira", "cloudId": cloud_id, "apiBaseUrl": api}],
            },
        },
        "context": behalf.context,
    });
    if let (Some(principal), Some(claims)) = (behalf.principal, claims.as_object_mut()) {
        claims.insert("principal".to_owned(), principal.into());
    }
    let header = json!({"alg": "RS256", "typ": TOKEN_TYPE, "kid": key_id(key.kid())});
    key.sign_with_header(&header, &claims).map_err(Problem::bug)
}

fn key_id(kid: &str) -> String {
    format!("{ISSUER}/{kid}")
}

/// Calls a remote.
///
/// # Errors
/// A sentence for the developer.
pub(crate) async fn call(
    forge: &Forge,
    guard: &Guard,
    installed: &Installed,
    remote: &Remote,
    asked: Asked,
    behalf: Behalf<'_>,
) -> Result<Answered, CallFailed> {
    let url = remote.at(&asked.path).ok_or(CallFailed::Path)?;
    let view = guard.system_view("forge_remote");
    let bearer =
        invocation_token(guard, installed, behalf).map_err(|problem| CallFailed::Platform(Box::new(problem)))?;
    let mut headers: Vec<(String, String)> = asked.headers;
    headers.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        !OURS.contains(&name.as_str()) && !name.starts_with("x-forge-") && !name.starts_with("x-b3-")
    });
    let trace = view.fresh_id();
    headers.push(("authorization".to_owned(), format!("Bearer {bearer}")));
    headers.push(("x-b3-traceid".to_owned(), trace.clone()));
    headers.push(("x-b3-spanid".to_owned(), trace.get(..16).unwrap_or_default().to_owned()));
    let scopes = &installed.code.manifest.scopes;
    if asked.auth.system
        && scopes.contains("read:app-system-token")
        && let Some(token) = guard.forge_token(installed.id, None)
    {
        headers.push(("x-forge-oauth-system".to_owned(), token));
    }
    if asked.auth.user
        && scopes.contains("read:app-user-token")
        && let Some(token) = behalf.principal.and_then(|principal| guard.forge_token(installed.id, Some(principal)))
    {
        headers.push(("x-forge-oauth-user".to_owned(), token));
    }
    let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let request = Request { method: asked.method, url, headers, body: asked.body };
    let limits = Limits { total: asked.within, answer_bytes: ANSWER_BYTES_MAX, ..Limits::default() };
    let answer = forge.0.outbound.send(request, limits).await.map_err(CallFailed::Sending)?;
    if (300..400).contains(&answer.status) {
        return Err(CallFailed::Redirect);
    }
    Ok(Answered { status: answer.status, headers: answer.headers, body: answer.body })
}

/// Why a remote gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailed {
    #[error("the path leads away from the remote")]
    Path,
    #[error("the remote redirects, which is not followed")]
    Redirect,
    #[error("the remote {0}")]
    Sending(OutboundError),
    #[error("the call could not be signed")]
    Platform(Box<Problem>),
}

impl Answered {
    /// As `invokeRemote` of a page gets it.
    pub(crate) fn json(&self) -> Json {
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
        let body: Json = serde_json::from_slice(&self.body).unwrap_or_else(|_| match std::str::from_utf8(&self.body) {
            Ok(text) => text.into(),
            Err(_) => STANDARD.encode(&self.body).into(),
        });
        json!({"status": self.status, "headers": headers, "body": body})
    }
}

async fn keys(cx: Ctx<op::ForgeKeys>, _: Input) -> Outcome<op::ForgeKeys> {
    let key = install_key::current(cx.view())?;
    let mut keys = Vec::new();
    if let Some(Json::Object(mut jwk)) = key.public_jwk() {
        jwk.insert("kid".to_owned(), key_id(key.kid()).into());
        keys.push(Json::Object(jwk));
    }
    cx.done(Reply::json(json!({"keys": keys})).with_header("cache-control", "public, max-age=300"))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(keys);
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde_json::json;

    #[test]
    fn a_path_stays_below_its_remote() {
        let mut faults = Vec::new();
        let remotes = read(Some(&json!([{"key": "r", "baseUrl": "https://r.example/base/"}])), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let at = |path: &str| remotes.first().and_then(|remote| remote.at(path)).map(|url| url.to_string());
        assert_eq!(at("/a?b=1"), Some("https://r.example/base/a?b=1".to_owned()));
        assert_eq!(at(""), Some("https://r.example/base".to_owned()));
        for away in ["@evil.example/", ".evil.example", "/../other", "/..%2f/../../x", "/a\\..\\b", "/a\nb", "//"] {
            assert!(at(away).is_none_or(|url| url.starts_with("https://r.example/base/")), "{away}: {:?}", at(away));
        }
        assert_eq!(at("/../other"), None);
        assert_eq!(at("/../baseline"), None);
        assert_eq!(at("evil"), None);
    }

    #[test]
    fn remotes_that_cannot_be_called_are_named() {
        for (remotes, fault) in [
            (json!([{"key": "", "baseUrl": "https://a.example"}]), "no key"),
            (
                json!([{"key": "a", "baseUrl": "https://a.example"}, {"key": "a", "baseUrl": "https://a.example"}]),
                "no key",
            ),
            (json!([{"key": "a", "baseUrl": "ftp://a.example"}]), "baseUrl"),
            (json!([{"key": "a", "baseUrl": "https://u:p@a.example"}]), "baseUrl"),
            (json!([{"key": "a"}]), "baseUrl"),
        ] {
            let mut faults = Vec::new();
            read(Some(&remotes), &mut faults);
            assert!(faults.iter().any(|said| said.contains(fault)), "{remotes} {faults:?}");
        }
        let mut faults = Vec::new();
        let remotes = read(
            Some(&json!([{"key": "a", "baseUrl": {"default": "https://a.example", "EU": "https://eu.example"}}])),
            &mut faults,
        );
        assert_eq!((remotes.len(), faults.len()), (1, 0));
    }
}
