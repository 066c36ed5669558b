//! Clients that introduce themselves by an address (draft-ietf-oauth-client-id-metadata-document): their `client_id` is an https URL,
//! and what stands there is their registration.
//!
//! Off unless an administrator lets apps register themselves. A document is fetched for somebody who is signed in and for nobody
//! else, within the rules for outgoing calls; nothing of it is stored until that person approves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_guard::View;
use portcullis_guard::oauth::{ClientFacts, ClientKind, Registered, WireProfile};
use portcullis_model::{AppId, Problem, ScopeSet, Timestamp};
use portcullis_outbound::{Limits, Method, Outbound, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use url::Url;

use super::{client, redirect_uri, scope};

/// Largest document, in bytes. The draft proposes 5 KB (section 6.6).
const BYTES_MAX: usize = 16 << 10;
/// Longest `client_id` that is taken for an address.
const URL_CHARS_MAX: usize = 500;
/// What was fetched is taken for this long, and so is that it could not be.
const KEPT_MS: i64 = 5 * 60_000;
const KEPT_MAX: usize = 256;

/// What a client says of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its address, letter by letter.
    #[serde(rename = "i")]
    pub client_id: String,
    /// The name it gives itself.
    #[serde(rename = "n")]
    pub name: String,
    /// Where answers may go.
    #[serde(rename = "r")]
    pub redirect_uris: Vec<String>,
    /// The most it may ask for: names with blanks between them.
    #[serde(rename = "o")]
    pub scopes: String,
}

impl Document {
    /// What it may ask for.
    pub fn scopes(&self) -> ScopeSet {
        ScopeSet::of_names(&self.scopes)
    }

    /// The client as the authorization server sees it; with the id and the fate of one that was approved before.
    pub fn facts(&self, view: &View) -> ClientFacts {
        let known = view.with(|snapshot| snapshot.oauth().client_named(&self.client_id).cloned());
        ClientFacts {
            id: known.as_ref().map_or(AppId(0), |known| known.id),
            client_id: self.client_id.clone(),
            kind: ClientKind::Public,
            registered: Registered::Metadata,
            name: self.name.clone(),
            owner: None,
            service_user: None,
            profile: WireProfile::Rfc,
            scopes: self.scopes(),
            redirect_uris: self.redirect_uris.clone(),
            keys: Vec::new(),
            secrets: Vec::new(),
            pkce_required: true,
            par_required: false,
            dpop_required: false,
            shared: true,
            blocked: known.is_some_and(|known| known.blocked),
        }
    }
}

/// Whether a `client_id` is the address of a document rather than a name that we gave (section 3 of the draft): https with a path,
/// without user, fragment and dot segments. http leads to this machine only, for development.
///
/// # Errors
/// `Ok(None)` for a name; one sentence for the developer when it is an address that cannot be one of a client.
pub fn address(client_id: &str) -> Result<Option<Url>, &'static str> {
    if !client_id.starts_with("https://") && !client_id.starts_with("http://") {
        return Ok(None);
    }
    if client_id.len() > URL_CHARS_MAX || !client_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("A client_id that is an address is written in plain ASCII and has at most 500 characters.");
    }
    let url = Url::parse(client_id).map_err(|_| "This client_id is no address.")?;
    if url.scheme() != "https" && !redirect_uri::is_loopback(&url) {
        return Err("A client_id that is an address begins with https://.");
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() || client_id.contains('@') {
        return Err("A client_id that is an address holds no user and no fragment.");
    }
    // What parsing changed (dot segments, letters of the host, a missing path) would make two names of one client.
    if url.as_str() != client_id || url.path() == "/" {
        return Err("A client_id that is an address is written in its plain form and has a path.");
    }
    Ok(Some(url))
}

/// Reads a document.
///
/// # Errors
/// One sentence for the developer.
fn parse(client_id: &str, bytes: &[u8]) -> Result<Document, String> {
    let json: Map<String, Json> =
        serde_json::from_slice(bytes).map_err(|_| "What stands at its address is no JSON object.".to_owned())?;
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let texts = |name: &str| -> Vec<&str> {
        json.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
    };
    if text("client_id") != Some(client_id) {
        return Err("The document's client_id is not its address, letter by letter.".to_owned());
    }
    if json.contains_key("client_secret") || json.contains_key("client_secret_expires_at") {
        return Err("The document holds a client_secret, which everybody can read there.".to_owned());
    }
    if text("token_endpoint_auth_method").is_some_and(|method| method != "none") {
        return Err(
            "Clients that are named by an address are public here: token_endpoint_auth_method is none.".to_owned()
        );
    }
    if texts("grant_types").iter().any(|grant| !matches!(*grant, "authorization_code" | "refresh_token")) {
        return Err("The document's grant_types are authorization_code and refresh_token.".to_owned());
    }
    if texts("response_types").iter().any(|kind| *kind != "code") {
        return Err("The document's response_types is code.".to_owned());
    }
    let words = |problem: Problem| problem.into_words().unwrap_or_else(|_| "The document cannot be read.".to_owned());
    let named = text("client_name").map(str::trim).filter(|name| !name.is_empty()).unwrap_or("An app without a name");
    let name = client::parse_name(named).map_err(words)?;
    let redirect_uris = client::parse_uris(&texts("redirect_uris"), true).map_err(words)?;
    if redirect_uris.is_empty() {
        return Err("The document names no redirect_uris.".to_owned());
    }
    let scopes = scope::of_registration(text("scope"));
    Ok(Document {
        client_id: client_id.to_owned(),
        name,
        redirect_uris,
        scopes: scopes.names().collect::<Vec<_>>().join(" "),
    })
}

type Fetched = Result<Arc<Document>, String>;

/// Fetches documents and keeps them for some minutes.
#[derive(Clone)]
pub struct Documents {
    outbound: Outbound,
    kept: Arc<Mutex<HashMap<String, (i64, Fetched)>>>,
}

impl Documents {
    /// Calls by these rules.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, kept: Arc::default() }
    }

    fn kept(&self, client_id: &str, now: Timestamp) -> Option<Fetched> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(client_id).filter(|(until, _)| now.0 < *until).map(|(_, fetched)| fetched.clone())
    }

    fn keep(&self, client_id: &str, fetched: Fetched, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (until, _)| now.0 < *until);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(client_id.to_owned(), (now.0.saturating_add(KEPT_MS), fetched));
    }

    /// The document of a client that introduces itself; `None` where the id is a name, nobody is signed in, or apps may not
    /// introduce themselves.
    ///
    /// # Errors
    /// The inner one is a sentence for the person, who can tell the developer.
    pub async fn of(&self, view: &View, client_id: &str) -> Option<Fetched> {
        let open = view.with(|snapshot| snapshot.settings.app_registration_open);
        if !open || view.caller().user().is_none() {
            return None;
        }
        let url = match address(client_id) {
            Ok(url) => url?,
            Err(words) => return Some(Err(words.to_owned())),
        };
        let now = view.now();
        if let Some(kept) = self.kept(client_id, now) {
            return Some(kept);
        }
        let fetched = self.fetch(url, client_id).await;
        self.keep(client_id, fetched.clone(), now);
        Some(fetched)
    }

    async fn fetch(&self, url: Url, client_id: &str) -> Fetched {
        let request = Request {
            method: Method::GET,
            url,
            headers: vec![("accept".into(), "application/json".to_owned())],
            body: Vec::new(),
        };
        let limits = Limits { total: Duration::from_secs(5), answer_bytes: BYTES_MAX, ..Limits::default() };
        let answer =
            self.outbound.send(request, limits).await.map_err(|error| format!("The app's address {error}."))?;
        match answer.status {
            200 => parse(client_id, &answer.body).map(Arc::new),
            // Section 6.5 of the draft: a redirect could lend a trusted name to another place.
            300..=399 => Err("The app's address leads to another one, which is not followed.".to_owned()),
            status => Err(format!("The app's address answered with HTTP status {status}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{address, parse};

    #[test]
    fn e49_an_address_has_one_way_to_be_written() {
        assert_eq!(address("abcDEF123"), Ok(None), "a name that we gave");
        for good in ["https://app.example/client.json", "https://app.example/a/b?v=1", "http://127.0.0.1:8000/client"] {
            assert!(matches!(address(good), Ok(Some(_))), "{good}");
        }
        for bad in [
            "https://app.example",
            "https://app.example/",
            "https://App.example/client",
            "https://app.example/a/../client",
            "https://app.example/a/%2e%2e/client",
            "https://app.example/client#x",
            "https://user@app.example/client",
            "https://user:pass@app.example/client",
            "https://app.example:443/client",
            "http://app.example/client",
            "https://app.example/cl ient",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn e49_a_document_that_lies_or_holds_a_secret_is_not_taken() {
        let id = "https://app.example/client.json";
        let good = r#"{"client_id": "https://app.example/client.json", "client_name": "Agent", "redirect_uris": ["http://127.0.0.1/cb"],
                       "scope": "read:jira-work offline_access unheard:of", "token_endpoint_auth_method": "none"}"#;
        let document = parse(id, good.as_bytes()).expect("a document");
        assert_eq!(
            (document.name.as_str(), document.redirect_uris.as_slice()),
            ("Agent", &["http://127.0.0.1/cb".to_owned()][..])
        );
        assert_eq!(document.scopes().names().collect::<Vec<_>>(), ["offline_access", "read:jira-work"]);
        for (bad, reason) in [
            ("[]", "no JSON object"),
            (
                r#"{"client_id": "https://app.example/other.json", "redirect_uris": ["https://a.example/cb"]}"#,
                "not its address",
            ),
            (
                r#"{"client_id": "https://app.example/client.json", "client_secret": "x", "redirect_uris": ["https://a.example/cb"]}"#,
                "client_secret",
            ),
            (
                r#"{"client_id": "https://app.example/client.json", "token_endpoint_auth_method": "client_secret_post", "redirect_uris": ["https://a.example/cb"]}"#,
                "public",
            ),
            (r#"{"client_id": "https://app.example/client.json"}"#, "redirect_uris"),
            (
                r#"{"client_id": "https://app.example/client.json", "redirect_uris": ["javascript:alert(1)"]}"#,
                "callback",
            ),
            (
                r#"{"client_id": "https://app.example/client.json", "redirect_uris": ["https://a.example/cb"], "grant_types": ["implicit"]}"#,
                "grant_types",
            ),
        ] {
            let words = parse(id, bad.as_bytes()).expect_err(bad);
            assert!(words.contains(reason), "{bad}: {words}");
        }
    }
}
