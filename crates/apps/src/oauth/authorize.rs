//! Authorization requests (RFC 6749, section 4.1.1): read, checked, and answered at the app's own address and nowhere else.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_crypto::{ExposeSecret, Purpose};
use portcullis_guard::authn::client::repeated;
use portcullis_guard::oauth::{ClientFacts, ClientKind};
use portcullis_guard::{AnyMode, Tx, View, Writes};
use portcullis_model::{AppId, Problem, ScopeSet, UserId};
use serde::{Deserialize, Serialize};

use super::metadata_document::Document;
use super::{code, par, redirect_uri, scope};
use crate::wire;

const CONSENT: Purpose = Purpose::new("consent form");
/// A form of consent that is older is not taken.
const CONSENT_LIFE_MS: i64 = 30 * 60_000;
const STATE_CHARS_MAX: usize = 4_096;
/// Longest form field that is opened: a head of a request holds less than half of this.
const FIELD_CHARS_MAX: usize = 64 << 10;
/// What a query keeps as it is (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request that was checked. Travels through the consent form sealed, so that what is approved is what was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The client, by its row.
    #[serde(rename = "c")]
    pub client: i64,
    /// Where the answer goes, exactly.
    #[serde(rename = "r")]
    pub redirect_uri: String,
    /// Whether the request named it; the token request then has to name it too.
    #[serde(rename = "n")]
    pub redirect_named: bool,
    /// The client's own text, returned as it came.
    #[serde(rename = "s")]
    pub state: Option<String>,
    /// What is asked for, in the client's order.
    #[serde(rename = "o")]
    pub scopes: String,
    /// PKCE challenge, method S256.
    #[serde(rename = "h")]
    pub challenge: Option<String>,
    /// Thumbprint of the key that tokens are to be bound to (RFC 9449, section 10).
    #[serde(rename = "k")]
    pub key_thumbprint: Option<String>,
    /// The pushed request it came from, to be used up with the answer.
    #[serde(rename = "p")]
    pub pushed: Option<String>,
    /// What a client that is named by its address said of itself; it is stored when the person approves.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
    /// When it was shown.
    #[serde(rename = "t")]
    pub at_ms: i64,
}

impl Asked {
    /// The client.
    pub fn client(&self) -> AppId {
        AppId(self.client)
    }

    /// What is asked for.
    pub fn scope_set(&self) -> ScopeSet {
        ScopeSet::of_names(&self.scopes)
    }

    /// Whether the app keeps access while the person is away.
    pub fn is_lasting(&self) -> bool {
        self.scopes.split(' ').any(|scope| scope == scope::OFFLINE)
    }

    /// The sealed form field, for this account alone.
    ///
    /// # Errors
    /// A bug.
    pub fn seal(&self, view: &View, user: UserId) -> Result<String, Problem> {
        let json = serde_json::to_vec(self).map_err(Problem::bug)?;
        let bound_to = user.to_string();
        let sealed = view.keys().seal(&json, CONSENT, bound_to.as_bytes(), view.entropy()).map_err(Problem::bug)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a form field; `None` for one of another account, too old, or none of ours.
    pub fn open(view: &View, user: UserId, text: &str) -> Option<Self> {
        if text.len() > FIELD_CHARS_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let json = view.keys().open(&sealed, CONSENT, user.to_string().as_bytes()).ok()?;
        let asked: Self = serde_json::from_slice(json.expose_secret()).ok()?;
        (view.now().0 < asked.at_ms.saturating_add(CONSENT_LIFE_MS)).then_some(asked)
    }

    /// Where an answer with a code goes.
    pub fn approved(&self, issuer: &str, code: &str) -> String {
        answer(&self.redirect_uri, self.state.as_deref(), issuer, &[("code", code)])
    }

    /// Where an answer without one goes.
    pub fn refused(&self, issuer: &str, error: &str, words: &str) -> String {
        answer(&self.redirect_uri, self.state.as_deref(), issuer, &[("error", error), ("error_description", words)])
    }
}

/// The address of an answer: the app's own, with the parameters added to its query (RFC 6749, section 4.1.2; RFC 9207 for `iss`).
fn answer(redirect_uri: &str, state: Option<&str>, issuer: &str, parameters: &[(&str, &str)]) -> String {
    let mut out = redirect_uri.to_owned();
    let mut separator = if redirect_uri.contains('?') { '&' } else { '?' };
    for (name, value) in parameters.iter().copied().chain(state.map(|state| ("state", state))).chain([("iss", issuer)])
    {
        out.push(separator);
        out.push_str(name);
        out.push('=');
        out.extend(utf8_percent_encode(value, UNRESERVED));
        separator = '&';
    }
    out
}

/// Why a request is not shown to the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotShown {
    /// It is not known where an answer may go, so it is said on a page of ours (RFC 6749, section 4.1.2.1).
    Page {
        /// A few words.
        title: &'static str,
        /// What happened and what to do.
        words: String,
    },
    /// The app is told, at this address.
    Redirect {
        /// Where.
        location: String,
        /// The code, for the developer's page.
        error: &'static str,
        /// What is wrong, for the developer's page.
        words: String,
    },
}

fn page(title: &'static str, words: impl Into<String>) -> NotShown {
    NotShown::Page { title, words: words.into() }
}

/// Reads and checks the parameters of a request, or of the pushed request that they name. `introduced` is what a client that is
/// named by its address says of itself.
///
/// # Errors
/// The database's. What is wrong with the request is the inner `Err`.
pub async fn read<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    pairs: &[(String, String)],
    introduced: Option<&Document>,
) -> Result<Result<(Asked, Arc<ClientFacts>), NotShown>, Problem> {
    let Some(urn) = named(pairs, "request_uri") else { return Ok(check(view, pairs, None, introduced)) };
    if !urn.starts_with(par::URN) {
        // E44: nothing is ever fetched from an address that a request names.
        return Ok(check(view, pairs, None, introduced).and_then(|(asked, _)| {
            Err(told(
                &asked,
                view,
                "request_uri_not_supported",
                "Only a request_uri of the pushed authorization request endpoint is taken.",
            ))
        }));
    }
    let client = named(pairs, "client_id").unwrap_or_default();
    let client = view.with(|snapshot| snapshot.oauth().client_named(client).map(|client| client.id));
    let pushed = match client {
        Some(client) => par::find(tx, view, client, urn).await?,
        None => None,
    };
    Ok(match pushed {
        Some(pushed) => check(view, &pushed, Some(urn), introduced),
        None => Err(page(
            "This request has expired",
            "The app prepared a request that was used already or is too old. Go back to the app and start again.",
        )),
    })
}

fn told(asked: &Asked, view: &View, error: &'static str, words: &str) -> NotShown {
    NotShown::Redirect {
        location: asked.refused(&view.addresses().issuer, error, words),
        error,
        words: words.to_owned(),
    }
}

fn named<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// Checks parameters, in the order that says where an error may be told.
pub(crate) fn check(
    view: &View,
    pairs: &[(String, String)],
    pushed: Option<&str>,
    introduced: Option<&Document>,
) -> Result<(Asked, Arc<ClientFacts>), NotShown> {
    for name in ["client_id", "redirect_uri"] {
        if pairs.iter().filter(|(key, _)| key == name).count() > 1 {
            return Err(page(
                "This request is not clear",
                format!("The app's address names {name} twice. Tell its developer."),
            ));
        }
    }
    let Some(client_id) = named(pairs, "client_id") else {
        return Err(page(
            "No app asks",
            "The address lacks client_id. Tell the developer of the app that sent you here.",
        ));
    };
    let introduced = introduced.filter(|document| document.client_id == client_id);
    let client = match introduced {
        Some(document) => Some(Arc::new(document.facts(view))),
        None => view.with(|snapshot| snapshot.oauth().client_named(client_id).cloned()),
    };
    let Some(client) = client else {
        return Err(page(
            "This app is not known",
            "There is no app with this client_id here. Tell the developer of the app that sent you here.",
        ));
    };
    if client.kind == ClientKind::Service {
        return Err(page(
            "This app asks nobody",
            "The client belongs to a service account and gets its tokens without a person.",
        ));
    }
    let asked_uri = named(pairs, "redirect_uri");
    let redirect_uri = match (asked_uri, client.redirect_uris.as_slice()) {
        (Some(asked), registered) if registered.iter().any(|uri| redirect_uri::matches(uri, asked)) => asked.to_owned(),
        (Some(_), _) => {
            return Err(page(
                "This address is not the app's",
                format!(
                    "{} asks to send you to an address that is not registered for it, letter by letter. Nothing was sent there. Tell the app's developer.",
                    client.name
                ),
            ));
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(page(
                "This request is not clear",
                format!(
                    "{} has several callback URLs and did not say which (redirect_uri). Tell its developer.",
                    client.name
                ),
            ));
        }
    };
    let mut asked = Asked {
        client: client.id.0,
        redirect_uri,
        redirect_named: asked_uri.is_some(),
        state: named(pairs, "state").map(str::to_owned),
        scopes: String::new(),
        challenge: None,
        key_thumbprint: None,
        pushed: pushed.map(str::to_owned),
        document: introduced.cloned(),
        at_ms: view.now().0,
    };
    if asked.state.as_ref().is_some_and(|state| state.len() > STATE_CHARS_MAX) {
        asked.state = None;
        return Err(told(&asked, view, "invalid_request", "state is longer than 4096 characters."));
    }
    let refuse = |error: &'static str, words: &str| Err(told(&asked, view, error, words));
    if let Some(name) = repeated(pairs) {
        return refuse(
            "invalid_request",
            &format!("{} may stand only once.", name.chars().take(40).collect::<String>()),
        );
    }
    if named(pairs, "request").is_some() {
        return refuse("request_not_supported", "Signed request objects are not taken here.");
    }
    if client.par_required && pushed.is_none() {
        return refuse("invalid_request", "This app has to push its requests first (RFC 9126).");
    }
    match named(pairs, "response_type") {
        Some("code") => {}
        None => return refuse("invalid_request", "response_type is missing."),
        Some(_) => return refuse("unsupported_response_type", "response_type has to be code."),
    }
    if named(pairs, "response_mode").is_some_and(|mode| mode != "query") {
        return refuse("invalid_request", "response_mode has to be query.");
    }
    let challenge = match (named(pairs, "code_challenge"), named(pairs, "code_challenge_method")) {
        (None, None) if client.pkce_required => {
            return refuse("invalid_request", "code_challenge is missing: this app has to use PKCE with S256.");
        }
        (None, None) => None,
        (Some(challenge), Some("S256")) if code::is_challenge(challenge) => Some(challenge.to_owned()),
        (Some(_), Some("S256")) => return refuse("invalid_request", "code_challenge is not a SHA-256 in base64url."),
        (_, _) => return refuse("invalid_request", "code_challenge_method has to be S256, with a code_challenge."),
    };
    let key_thumbprint = match named(pairs, "dpop_jkt") {
        Some(thumbprint) if !code::is_challenge(thumbprint) => {
            return refuse("invalid_request", "dpop_jkt is not a SHA-256 thumbprint in base64url.");
        }
        other => other.map(str::to_owned),
    };
    if named(pairs, "audience").is_some_and(|audience| !is_audience(view, audience)) {
        return refuse("invalid_request", "There is no such audience here.");
    }
    if pairs.iter().any(|(name, value)| name == "resource" && !is_resource(view, value)) {
        return refuse("invalid_target", "There is no such resource here.");
    }
    let scopes = match named(pairs, "scope") {
        Some(scopes) => wire::each_once(scopes),
        None => client.scopes.names().collect::<Vec<_>>().join(" "),
    };
    if let Err(words) = scope::check(&scopes, &client.scopes) {
        return refuse("invalid_scope", &words);
    }
    let prompt_none = named(pairs, "prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "none"));
    asked.scopes = scopes;
    asked.challenge = challenge;
    asked.key_thumbprint = key_thumbprint;
    if prompt_none {
        // Consent is asked for each time.
        let known = view.caller().user().is_some();
        let (error, words) = match known {
            true => ("consent_required", "The person has to be asked."),
            false => ("login_required", "Nobody is signed in."),
        };
        return Err(told(&asked, view, error, words));
    }
    Ok((asked, client))
}

/// `audience` as Atlassian's clients send it: its own API's name stands for ours.
fn is_audience(view: &View, audience: &str) -> bool {
    audience == "api.atlassian.com" || is_resource(view, audience)
}

/// Whether a resource indicator names our API (RFC 8707, section 2).
pub(crate) fn is_resource(view: &View, resource: &str) -> bool {
    let cloud_id = view.with(|snapshot| snapshot.settings.cloud_id.clone());
    let resource = resource.trim_end_matches('/');
    let addresses = view.addresses();
    resource == addresses.api || resource == addresses.gateway(&cloud_id)
}

/// Uses up the pushed request that was answered; `false` when it was answered before. A request of the browser's own has nothing
/// to use up.
///
/// # Errors
/// The database's.
pub async fn use_up<M: Writes>(tx: &mut Tx<M>, asked: &Asked) -> Result<bool, Problem> {
    match &asked.pushed {
        Some(urn) => Ok(par::use_up(tx, urn).await?),
        None => Ok(true),
    }
}

/// Whether an account may let this app in at all.
///
/// # Errors
/// Why not: a title and words for the person.
pub fn may_ask(view: &View, client: &ClientFacts, user: UserId) -> Result<(), (&'static str, String)> {
    let (site, allowed) =
        view.with(|snapshot| (snapshot.settings.site_name.clone(), snapshot.settings.user_apps_allowed));
    if client.blocked {
        return Err((
            "Blocked by an administrator",
            format!("An administrator of {site} has blocked the app {}. Ask them if you need it.", client.name),
        ));
    }
    if !allowed {
        return Err((
            "Apps need an administrator",
            format!(
                "An administrator of {site} does not let people connect apps. {} cannot access your account.",
                client.name
            ),
        ));
    }
    if !client.shared && client.owner != Some(user) {
        return Err((
            "This app is not shared",
            format!(
                "{} is in development: only the person who made it can connect it. Its developer can share it in the developer console.",
                client.name
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn e12_e13_an_answer_returns_the_state_as_it_came_and_names_the_issuer() {
        let location =
            answer("https://app.example/cb?x=1", Some("a b&c=d/é\"%20"), "https://auth.example", &[("code", "c")]);
        assert_eq!(
            location,
            "https://app.example/cb?x=1&code=c&state=a%20b%26c%3Dd%2F%C3%A9%22%2520&iss=https%3A%2F%2Fauth.example"
        );
        assert_eq!(answer("app:/cb", None, "i", &[("error", "e")]), "app:/cb?error=e&iss=i");
    }
}
