//! Token introspection (RFC 7662): a client with a proof of itself asks about its own tokens.

use portcullis_authz::op;
use portcullis_guard::{Client, ClientAuth, Ctx, Handlers, Input, Outcome, Reply};
use serde_json::{Value as Json, json};

use super::error::{OauthError, refused};
use super::{access_token, family, revoke};

async fn introspect(mut cx: Ctx<op::OauthIntrospect>, input: Input, client: Client) -> Outcome<op::OauthIntrospect> {
    let profile = client.facts.profile;
    // A reading transaction cannot write down that an assertion was used.
    if matches!(client.auth, ClientAuth::None | ClientAuth::PrivateKeyJwt) {
        return cx.done(OauthError::InvalidClient { by_header: false }.reply(profile));
    }
    let Some(text) = input.form("token").filter(|text| !text.is_empty()) else {
        return cx.done(OauthError::InvalidRequest("token is missing.".to_owned()).reply(profile));
    };
    let answer = about(&mut cx, &client, text).await?.unwrap_or_else(|| json!({"active": false}));
    cx.done(Reply::json(answer).with_header("cache-control", "no-store"))
}

/// What is said of a token that counts and is the client's own; of any other nothing.
async fn about(
    cx: &mut Ctx<op::OauthIntrospect>,
    client: &Client,
    text: &str,
) -> Result<Option<Json>, portcullis_model::Problem> {
    let view = cx.view().clone();
    let now = view.now();
    let Some(found) = revoke::find(cx.tx(), &view, text).await? else { return Ok(None) };
    let family = family::Family {
        id: found.family,
        grant: match &found.access {
            Some(access) => access.grant,
            None => family::grant_of(cx.tx(), found.family).await?,
        },
        user: found.user,
        scopes: found.scopes.clone(),
        key_thumbprint: found.key_thumbprint.clone(),
        started_at_ms: found.started_at_ms,
        expires_at_ms: found.expires_at_ms,
    };
    let counts = found.client == client.facts.id.0
        && !client.facts.blocked
        && !found.died
        && now.0 < found.expires_at_ms
        && (found.access.is_some() || found.is_current)
        && family::counts(&view, client.facts.id, &family);
    if !counts {
        return Ok(None);
    }
    let account_id = view.with(|snapshot| snapshot.person(found.user).map(|person| person.account_id.clone()));
    let scopes = match &found.access {
        Some(access) => access.scopes.names().collect::<Vec<_>>().join(" "),
        None => found.scopes,
    };
    let mut json = json!({
        "active": true,
        "scope": scopes,
        "client_id": client.facts.client_id,
        "sub": account_id,
        "exp": found.expires_at_ms / 1_000,
        "iss": view.addresses().issuer,
        "aud": view.addresses().api,
        "token_type": if found.key_thumbprint.is_some() { "DPoP" } else { "Bearer" },
    });
    if let (Some(access), Some(members)) = (&found.access, json.as_object_mut()) {
        members.insert("iat".into(), (access.expires_at_ms / 1_000 - access_token::LIFE_S).into());
    }
    if let (Some(thumbprint), Some(members)) = (&found.key_thumbprint, json.as_object_mut()) {
        members.insert("cnf".into(), json!({"jkt": thumbprint}));
    }
    Ok(Some(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on_client(introspect, refused);
}
