//! Dynamic client registration (RFC 7591): off unless an administrator switches it on, and then for public clients alone, which have
//! nothing but what people approve.

use portcullis_authz::op;
use portcullis_guard::oauth::{ClientKind, Registered, WireProfile};
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::client::{self, New};
use super::scope;

/// Clients that may have registered themselves; more have to wait until old ones are removed.
const REGISTERED_MAX: usize = 5_000;

fn wrong(cx: Ctx<op::OauthRegister>, error: &str, words: &str) -> Outcome<op::OauthRegister> {
    let reply = Reply::json(json!({"error": error, "error_description": words})).with_status(400);
    cx.done(reply.with_header("cache-control", "no-store"))
}

async fn register(mut cx: Ctx<op::OauthRegister>, input: Input) -> Outcome<op::OauthRegister> {
    let view = cx.view().clone();
    let (open, many) = view.with(|snapshot| {
        let many = snapshot.oauth().clients().filter(|client| client.registered == Registered::Dynamic).count();
        (snapshot.settings.app_registration_open, many)
    });
    if !open {
        return Err(Problem::forbidden(
            "Apps cannot register themselves here. Make the app in the developer console, or ask an administrator to switch registration on.",
        ));
    }
    if many >= REGISTERED_MAX {
        return Err(Problem::new(portcullis_model::ProblemKind::TooMany, "Too many apps have registered themselves."));
    }
    let body = input.json();
    let text = |name: &str| body.get(name).and_then(Json::as_str);
    let texts = |name: &str| -> Vec<String> {
        let items = body.get(name).and_then(Json::as_array);
        items.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    if text("token_endpoint_auth_method").is_some_and(|method| method != "none") {
        return wrong(
            cx,
            "invalid_client_metadata",
            "Apps that register themselves are public clients: token_endpoint_auth_method is none.",
        );
    }
    let grant_types = texts("grant_types");
    if grant_types.iter().any(|grant| !matches!(grant.as_str(), "authorization_code" | "refresh_token")) {
        return wrong(cx, "invalid_client_metadata", "grant_types are authorization_code and refresh_token.");
    }
    if texts("response_types").iter().any(|kind| kind != "code") {
        return wrong(cx, "invalid_client_metadata", "response_types is code.");
    }
    let scopes = scope::of_registration(text("scope"));
    let redirect_uris = texts("redirect_uris");
    if redirect_uris.is_empty() {
        return wrong(cx, "invalid_redirect_uri", "redirect_uris is missing.");
    }
    let new = New {
        name: text("client_name").unwrap_or("An app without a name"),
        description: "",
        kind: ClientKind::Public,
        registered: Registered::Dynamic,
        owner: None,
        service_user: None,
        profile: WireProfile::Rfc,
        scopes,
        redirect_uris: &redirect_uris,
        shared: true,
        pkce_required: true,
    };
    let made = match client::create(cx.tx(), &view, &new).await {
        Ok(made) => made,
        Err(problem) if problem.cause.is_none() => {
            let words = problem.fields.first().map(|(_, words)| words.clone());
            let words = words.or_else(|| problem.messages.first().cloned()).unwrap_or_default();
            let error = if words.contains("callback") || words.contains("URL") {
                "invalid_redirect_uri"
            } else {
                "invalid_client_metadata"
            };
            return wrong(cx, error, &words);
        }
        Err(problem) => return Err(problem),
    };
    let json = json!({
        "client_id": made.client_id,
        "client_id_issued_at": view.now().0 / 1_000,
        "client_name": new.name,
        "redirect_uris": redirect_uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": scopes.names().chain([scope::OFFLINE]).collect::<Vec<_>>().join(" "),
    });
    cx.audit(format!("oauth_app:{}", made.id), None, Some(json!({"name": new.name, "redirectUris": redirect_uris})));
    cx.changed(Entity::OauthClient(made.id));
    cx.done(Reply::created(json).with_header("cache-control", "no-store"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(register);
}
