//! What a site sends to a Connect app, and the tokens it signs it with.

use portcullis_crypto::jws::{JwsAlgorithm, SigningKey};
use portcullis_guard::connect::ConnectFacts;
use portcullis_guard::{View, qsh};
use portcullis_model::Problem;
use portcullis_outbound::{Limits, Method, Outbound, OutboundError, Request};
use serde_json::{Value as Json, json};
use url::Url;

use super::descriptor;

/// Seconds that a token of ours lives.
const TOKEN_LIFE_S: i64 = 900;

/// An app as it is called.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Its key.
    pub key: String,
    /// Where it is.
    pub base_url: String,
    /// Names this site to it.
    pub client_key: String,
    /// Its id at the impersonation grant.
    pub oauth_client_id: String,
}

/// An installed app as it is called.
pub fn callee(app: &ConnectFacts) -> Callee {
    Callee {
        key: app.key.clone(),
        base_url: app.base_url.clone(),
        client_key: app.client_key.clone(),
        oauth_client_id: app.oauth_client_id.clone(),
    }
}

/// A token for one request to an app, HS256 with its secret or RS256 with the site's installation key.
///
/// HS256 tokens have no `aud`: atlassian-connect-express takes its first entry for the site's clientKey.
///
/// # Errors
/// 500 when the library refuses to sign.
pub fn token(view: &View, app: &Callee, key: &SigningKey, method: &str, path: &str) -> Result<String, Problem> {
    let now_s = view.now().0.div_euclid(1_000);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let canonical = qsh::canonical(method, path, query, qsh::SortedBy::Decoded);
    let mut claims = json!({
        "iss": app.client_key,
        "iat": now_s,
        "exp": now_s + TOKEN_LIFE_S,
        "qsh": qsh::hash(&canonical),
        "context": {},
    });
    if let (JwsAlgorithm::Rs256, Some(members)) = (key.algorithm(), claims.as_object_mut()) {
        members.insert("aud".into(), json!([app.base_url]));
    }
    if let (Some(account_id), Some(members)) = (view.caller().account_id(), claims.as_object_mut()) {
        members.insert("sub".into(), account_id.into());
    }
    key.sign("JWT", &claims).map_err(Problem::bug)
}

/// The body of a life cycle event; `secret` in `installed` alone.
pub fn event(view: &View, app: &Callee, event_type: &str, secret: Option<&str>) -> Json {
    let site = &view.addresses().site;
    let mut body = json!({
        "key": app.key,
        "clientKey": app.client_key,
        "oauthClientId": app.oauth_client_id,
        "baseUrl": site,
        "displayUrl": site,
        "displayUrlServicedeskHelpCenter": site,
        "productType": "jira",
        "description": view.with(|snapshot| snapshot.settings.site_name.clone()),
        "serverVersion": "100001",
        "pluginsVersion": "1001.0.0",
        "eventType": event_type,
    });
    if let (Some(secret), Some(members)) = (secret, body.as_object_mut()) {
        members.insert("sharedSecret".into(), secret.into());
        // Deprecated, and expected to be there.
        members.insert("publicKey".into(), "".into());
    }
    body
}

/// Sends an event and returns the status.
///
/// # Errors
/// Why there is no answer.
pub async fn post(
    outbound: &Outbound,
    app: &Callee,
    path: &str,
    token: &str,
    body: &Json,
) -> Result<u16, OutboundError> {
    let url: Url = format!("{}{path}", app.base_url).parse().map_err(|_| OutboundError::BadAddress)?;
    let request = Request {
        method: Method::POST,
        url,
        headers: vec![
            ("content-type".into(), "application/json".to_owned()),
            ("authorization".into(), format!("JWT {token}")),
            ("accept".into(), "*/*".to_owned()),
        ],
        body: serde_json::to_vec(body).unwrap_or_default(),
    };
    let limits = Limits { answer_bytes: 64 << 10, ..Limits::default() };
    outbound.send(request, limits).await.map(|answer| answer.status)
}

/// Fetches a descriptor.
///
/// # Errors
/// 400 with one sentence for the administrator.
pub async fn fetch(outbound: &Outbound, address: &str) -> Result<descriptor::Descriptor, Problem> {
    let wrong = |words: String| Problem::field("descriptorUrl", words);
    let url: Url =
        address.trim().parse().map_err(|_| wrong("The address of the descriptor is no address.".to_owned()))?;
    let request = Request {
        method: Method::GET,
        url,
        headers: vec![("accept".into(), "application/json".to_owned())],
        body: Vec::new(),
    };
    let limits = Limits { answer_bytes: descriptor::BYTES_MAX, ..Limits::default() };
    let answer =
        outbound.send(request, limits).await.map_err(|error| wrong(format!("The descriptor's address {error}.")))?;
    match answer.status {
        200 => descriptor::parse(&answer.body).map_err(wrong),
        301..=399 => Err(wrong("The descriptor's address leads to another one. Give that one.".to_owned())),
        status => Err(wrong(format!("The descriptor's address answered with HTTP status {status}."))),
    }
}
