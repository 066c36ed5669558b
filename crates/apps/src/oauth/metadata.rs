//! What the authorization server and the API say about themselves: addresses, capabilities, public keys. Only what is there.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::device;

/// Public documents may be kept for a few minutes.
const CACHE: &str = "public, max-age=300";
const AUTH_METHODS: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];

/// RFC 8414, section 2; the OpenID name gets the same document.
fn server(view: &View) -> Json {
    let issuer = &view.addresses().issuer;
    let scopes: Vec<&str> = portcullis_model::scope_names::SCOPE_NAMES.to_vec();
    let mut json = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
        "device_authorization_endpoint": format!("{issuer}/oauth/device/code"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", device::GRANT_TYPE],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "RS256"],
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "dpop_signing_alg_values_supported": ["ES256", "RS256"],
        "authorization_response_iss_parameter_supported": true,
        "require_pushed_authorization_requests": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "protected_resources": [view.addresses().api],
    });
    let open = view.with(|snapshot| snapshot.settings.app_registration_open);
    if let (true, Some(members)) = (open, json.as_object_mut()) {
        members.insert("registration_endpoint".into(), format!("{issuer}/oidc/register").into());
        members.insert("client_id_metadata_document_supported".into(), true.into());
    }
    json
}

async fn server_metadata(cx: Ctx<op::OauthServerMetadata>, _: Input) -> Outcome<op::OauthServerMetadata> {
    let json = server(cx.view());
    cx.done(Reply::json(json).with_header("cache-control", CACHE))
}

async fn openid_configuration(
    cx: Ctx<op::OauthOpenidConfiguration>,
    _: Input,
) -> Outcome<op::OauthOpenidConfiguration> {
    let json = server(cx.view());
    cx.done(Reply::json(json).with_header("cache-control", CACHE))
}

async fn keys(cx: Ctx<op::OauthKeys>, _: Input) -> Outcome<op::OauthKeys> {
    let keys: Vec<Json> =
        cx.view().with(|snapshot| snapshot.oauth().signing_keys().iter().filter_map(|key| key.public_jwk()).collect());
    cx.done(Reply::json(json!({"keys": keys})).with_header("cache-control", CACHE))
}

/// RFC 9728, section 2.
fn resource(view: &View, resource: String) -> Json {
    json!({
        "resource": resource,
        "authorization_servers": [view.addresses().issuer],
        "bearer_methods_supported": ["header"],
        // Agents ask for all that stands here, so it is what most of them need; the server's metadata lists every scope.
        "scopes_supported": ["read:jira-user", "read:jira-work", "write:jira-work", super::scope::OFFLINE],
        "dpop_signing_alg_values_supported": ["ES256", "RS256"],
        "resource_name": view.with(|snapshot| snapshot.settings.site_name.clone()),
    })
}

async fn protected_resource(cx: Ctx<op::OauthProtectedResource>, _: Input) -> Outcome<op::OauthProtectedResource> {
    let json = resource(cx.view(), cx.view().addresses().api.clone());
    cx.done(Reply::json(json).with_header("cache-control", CACHE))
}

async fn protected_resource_of_site(
    cx: Ctx<op::OauthProtectedResourceOfSite>,
    input: Input,
) -> Outcome<op::OauthProtectedResourceOfSite> {
    let cloud_id = input.param("cloudId");
    if cx.view().with(|snapshot| snapshot.settings.cloud_id != cloud_id) {
        return Err(Problem::not_found("There is no such site here."));
    }
    let json = resource(cx.view(), cx.view().addresses().gateway(cloud_id));
    cx.done(Reply::json(json).with_header("cache-control", CACHE))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(server_metadata);
    handlers.on(openid_configuration);
    handlers.on(keys);
    handlers.on(protected_resource);
    handlers.on(protected_resource_of_site);
}
