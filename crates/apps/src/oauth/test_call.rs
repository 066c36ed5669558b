//! A call that a developer makes with an app of their own, as themselves: with the scopes that they let it have, decided and answered
//! like the app's own calls.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::Problem;
use portcullis_outbound::Method;
use serde_json::{Value as Json, json};

use super::client;
use crate::connect::Services;
use crate::edge::{Call, Reaches};

/// Bytes of an answer that are shown.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// What came back.
#[derive(Clone, Debug)]
pub struct Tried {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text, cut after 64 KB; JSON is indented.
    pub body: String,
}

impl Tried {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str())
    }
}

fn shown(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Json>(body) {
        Ok(json) => serde_json::to_string_pretty(&json).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    match text.char_indices().find(|(at, _)| *at >= SHOWN_BYTES_MAX) {
        Some((at, _)) => format!("{}\n… cut here", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Makes a call with the app of the path, which has to be the caller's own and let in by the caller.
///
/// # Errors
/// 400 for a method or path that cannot be one, 404 for an app that is not the caller's, 409 while the caller has not let it in.
pub async fn make(
    services: &Services,
    view: &View,
    input: &Input,
    (method, path, body): (&str, &str, &str),
) -> Result<Tried, Problem> {
    let (guard, edge) = services.edge.get()?;
    let method: Method = match method.trim().to_ascii_uppercase().parse() {
        Ok(method) if [Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(&method) => method,
        _ => return Err(Problem::field("method", "The method is GET, POST, PUT or DELETE.")),
    };
    let path = path.trim();
    if !path.starts_with("/rest/") || path.chars().any(char::is_control) {
        return Err(Problem::field("path", "The path begins with /rest/, like /rest/api/3/myself."));
    }
    let client = client::own_named(view, input)?;
    let caller = guard.with_own_app(view.caller(), client).ok_or_else(|| {
        Problem::conflict("Connect the app to your own account first: open its authorization URL and approve. A test call has the scopes that you gave it there.")
    })?;
    let headers = match body.is_empty() {
        true => Vec::new(),
        false => vec![("content-type".to_owned(), "application/json".to_owned())],
    };
    let call = Call {
        caller,
        reaches: Reaches::Jira,
        method,
        path: path.to_owned(),
        headers,
        body: body.to_owned().into_bytes().into(),
    };
    let answer = edge.answer(call).await;
    Ok(Tried { status: answer.status, headers: answer.headers, body: shown(&answer.body) })
}

async fn call(services: Services, view: View, input: Input) -> Result<Tried, Problem> {
    let json = input.json();
    let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
    let body = match json.get("body") {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    make(&services, &view, &input, (text("method"), text("path"), &body)).await
}

async fn tell(cx: Ctx<op::ManageTestOauthApp>, _: Input, _: Services, tried: Tried) -> Outcome<op::ManageTestOauthApp> {
    let headers: serde_json::Map<String, Json> =
        tried.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let reply = Reply::json(json!({"status": tried.status, "headers": headers, "body": tried.body}));
    cx.done(reply.with_header("cache-control", "no-store"))
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on_prepared(services, call, tell);
}
