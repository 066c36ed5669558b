//! The token endpoint (RFC 6749, section 3.2).

use portcullis_authz::op;
use portcullis_crypto::PlainToken;
use portcullis_guard::oauth::ClientKind;
use portcullis_guard::{Client, Ctx, Handlers, Input, Outcome, Reply, ReplyBody, Trouble, Tx, Write};
use portcullis_model::{Problem, ScopeSet};
use serde_json::{Value as Json, json};

use super::access_token;
use super::authorize::is_resource;
use super::code::{self, Exchange};
use super::device::{self, Polled};
use super::error::{OauthError, refused};
use super::family::{self, Family, NewFamily, Rotation};

type Cx = Ctx<op::OauthToken>;

/// What goes out when it went well.
struct Issued {
    family: Family,
    /// What the access token may do: all of the family's, or less where less was asked for.
    scopes: String,
    refresh: Option<PlainToken>,
}

async fn token(mut cx: Cx, input: Input, client: Client) -> Outcome<op::OauthToken> {
    let profile = client.facts.profile;
    let result = match input.form("grant_type") {
        None | Some("") => Err(OauthError::InvalidRequest("grant_type is missing.".to_owned())),
        Some(grant_type) => match prove_once(cx.tx(), &client).await? {
            false => Err(OauthError::InvalidClient { by_header: false }),
            true => grant(&mut cx, &input, &client, grant_type).await?,
        },
    };
    match result {
        Ok(issued) => {
            let view = cx.view().clone();
            let account_id =
                view.with(|snapshot| snapshot.person(issued.family.user).map(|person| person.account_id.clone()));
            cx.acts(&client.facts.client_id, account_id);
            cx.audit(
                format!("app_grant:{}/{}", issued.family.grant, issued.family.id),
                None,
                Some(json!({"grantType": input.form("grant_type"), "scopes": issued.scopes})),
            );
            let token =
                access_token::of(&view, &client.facts.client_id, issued.family.user, &issued.family, &issued.scopes)?;
            let left_ms = (issued.family.expires_at_ms - view.now().0).min(family::IDLE_MS);
            let reply =
                Reply::json(Json::Null).with_header("cache-control", "no-store").with_header("pragma", "no-cache");
            // An ES256 signature takes as long as everything else here.
            cx.done_then(reply, move |reply| {
                let mut body = json!({
                    "access_token": token.sign()?,
                    "token_type": if issued.family.key_thumbprint.is_some() { "DPoP" } else { "Bearer" },
                    "expires_in": access_token::LIFE_S,
                    "scope": issued.scopes,
                });
                if let (Some(refresh), Some(members)) = (&issued.refresh, body.as_object_mut()) {
                    members.insert("refresh_token".into(), refresh.expose_secret().into());
                    members.insert("refresh_token_expires_in".into(), (left_ms / 1_000).into());
                }
                Ok(Reply { body: ReplyBody::Json(body), ..reply })
            })
        }
        Err(error) => {
            cx.acts(&client.facts.client_id, None);
            cx.audit(format!("oauth_app:{}", client.facts.id), None, Some(json!({"error": error.code()})));
            if !matches!(error, OauthError::AuthorizationPending) {
                note(&cx, &client, &error);
            }
            cx.done(error.reply(profile))
        }
    }
}

fn note(cx: &Cx, client: &Client, error: &OauthError) {
    cx.view().note_trouble(
        client.facts.id,
        Trouble {
            at_ms: cx.now().0,
            operation: "oauthToken",
            account_id: None,
            reason: error.code(),
            details: error.words(),
            decision: String::new(),
        },
    );
}

/// An assertion counts once (RFC 7523, section 3); `false` for one that was used.
pub(super) async fn prove_once(tx: &mut Tx<Write>, client: &Client) -> Result<bool, Problem> {
    let Some((jti, until_ms)) = &client.assertion else { return Ok(true) };
    let sql = "INSERT INTO app_oauth_assertion (client, jti, expires_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &[client.facts.id.0.into(), jti.as_str().into(), (*until_ms).into()]).await? > 0)
}

async fn grant(
    cx: &mut Cx,
    input: &Input,
    client: &Client,
    grant_type: &str,
) -> Result<Result<Issued, OauthError>, Problem> {
    if client.facts.blocked {
        return Ok(Err(OauthError::UnauthorizedClient("An administrator has blocked this app.")));
    }
    if input.fields().iter().any(|(name, value)| name == "resource" && !is_resource(cx.view(), value)) {
        return Ok(Err(OauthError::InvalidTarget));
    }
    let is_service = client.facts.kind == ClientKind::Service;
    match grant_type {
        "authorization_code" | "refresh_token" | device::GRANT_TYPE if is_service => {
            Ok(Err(OauthError::UnauthorizedClient("A service account's client uses client_credentials.")))
        }
        "authorization_code" => by_code(cx, input, client).await,
        "refresh_token" => by_refresh_token(cx, input, client).await,
        device::GRANT_TYPE => by_device_code(cx, input, client).await,
        "client_credentials" if is_service => by_itself(cx, input, client).await,
        "client_credentials" => {
            Ok(Err(OauthError::UnauthorizedClient("Only a service account's client uses client_credentials.")))
        }
        _ => Ok(Err(OauthError::UnsupportedGrantType)),
    }
}

fn needed<'a>(input: &'a Input, name: &str) -> Result<&'a str, OauthError> {
    let value = input.form(name).filter(|value| !value.is_empty());
    value.ok_or_else(|| OauthError::InvalidRequest(format!("{name} is missing.")))
}

fn given<'a>(input: &'a Input, name: &str) -> Option<&'a str> {
    input.form(name).filter(|value| !value.is_empty())
}

async fn by_code(cx: &mut Cx, input: &Input, client: &Client) -> Result<Result<Issued, OauthError>, Problem> {
    let view = cx.view().clone();
    let code = match needed(input, "code") {
        Ok(code) => code,
        Err(error) => return Ok(Err(error)),
    };
    let shown = code::Shown {
        client: client.facts.id,
        code,
        redirect_uri: given(input, "redirect_uri"),
        verifier: given(input, "code_verifier"),
        key_thumbprint: client.key_thumbprint.as_deref(),
        pkce_required: client.facts.pkce_required,
        dpop_required: client.facts.dpop_required,
    };
    Ok(match code::exchange(cx.tx(), &view, &shown).await? {
        Exchange::Done(family, refresh) => {
            let scopes = family.scopes.clone();
            Ok(Issued { family, scopes, refresh })
        }
        Exchange::Refused(words) => Err(OauthError::BadCode(words)),
        Exchange::Replayed(id, user) => {
            family::tell(cx.tx(), user, client.facts.id, "code_replayed", view.now()).await?;
            cx.withdrew(id);
            Err(OauthError::BadCode("The code was used before. The tokens that came of it are revoked."))
        }
    })
}

async fn by_refresh_token(cx: &mut Cx, input: &Input, client: &Client) -> Result<Result<Issued, OauthError>, Problem> {
    let view = cx.view().clone();
    let presented = match needed(input, "refresh_token") {
        Ok(presented) => presented,
        Err(error) => return Ok(Err(error)),
    };
    // Looked at before the token is used up: a client that asks for too much has lost nothing.
    let wanted = given(input, "scope").map(crate::wire::each_once);
    if let Some(wanted) = &wanted
        && !within(cx, presented, wanted).await?
    {
        return Ok(Err(OauthError::InvalidScope(
            "More than the person approved. Ask for the same scopes or fewer.".to_owned(),
        )));
    }
    Ok(match family::rotate(cx.tx(), &view, client.facts.id, presented, client.key_thumbprint.as_deref()).await? {
        Rotation::Next(family, refresh) => {
            let scopes = wanted.unwrap_or_else(|| family.scopes.clone());
            Ok(Issued { family, scopes, refresh: Some(refresh) })
        }
        Rotation::Unknown => Err(OauthError::BadRefreshToken(
            "The refresh token is unknown, has expired, was revoked, or is another client's.",
        )),
        Rotation::Replayed(id, user) => {
            family::tell(cx.tx(), user, client.facts.id, "refresh_token_replayed", view.now()).await?;
            cx.withdrew(id);
            Err(OauthError::BadRefreshToken(
                "The refresh token was used before. To be safe, all tokens of this authorization are revoked.",
            ))
        }
    })
}

/// Whether the scopes are among those of the family (RFC 6749, section 6). What is unknown is told apart by the rotation.
async fn within(cx: &mut Cx, presented: &str, wanted: &str) -> Result<bool, Problem> {
    let Some(granted) = family::scopes_of(cx.tx(), presented).await? else { return Ok(true) };
    Ok(!wanted.is_empty() && wanted.split(' ').all(|scope| granted.split(' ').any(|granted| granted == scope)))
}

async fn by_device_code(cx: &mut Cx, input: &Input, client: &Client) -> Result<Result<Issued, OauthError>, Problem> {
    let view = cx.view().clone();
    let code = match needed(input, "device_code") {
        Ok(code) => code,
        Err(error) => return Ok(Err(error)),
    };
    Ok(match device::poll(cx.tx(), &view, client, code).await? {
        Polled::Approved(family, refresh) => {
            let scopes = family.scopes.clone();
            Ok(Issued { family, scopes, refresh })
        }
        Polled::Not(error) => Err(error),
    })
}

/// A service account's client asks for itself (RFC 6749, section 4.4): no refresh token, scopes as fixed when it was made.
async fn by_itself(cx: &mut Cx, input: &Input, client: &Client) -> Result<Result<Issued, OauthError>, Problem> {
    let view = cx.view().clone();
    let Some(user) = client.facts.service_user else {
        return Ok(Err(OauthError::UnauthorizedClient("The service account is gone.")));
    };
    let (grant, active) = view.with(|snapshot| {
        let active = snapshot.policy.user(user).is_some_and(|facts| facts.active);
        (snapshot.oauth().grant_of(client.facts.id, user).copied(), active)
    });
    let Some(grant) = grant.filter(|_| active) else {
        return Ok(Err(OauthError::UnauthorizedClient(
            "The service account is deactivated, or its client was revoked.",
        )));
    };
    if client.facts.dpop_required && client.key_thumbprint.is_none() {
        return Ok(Err(OauthError::InvalidProof("The client needs a DPoP proof.")));
    }
    let scopes = match given(input, "scope").map(crate::wire::each_once) {
        Some(wanted) => {
            let mut known = ScopeSet::EMPTY;
            if !wanted.split(' ').all(|name| known.insert(name)) || !grant.scopes.covers(&known) {
                return Ok(Err(OauthError::InvalidScope("More than the client was made for.".to_owned())));
            }
            wanted
        }
        None => grant.scopes.names().collect::<Vec<_>>().join(" "),
    };
    let new = NewFamily {
        client: client.facts.id,
        grant: grant.id,
        user,
        scopes: &scopes,
        key_thumbprint: client.key_thumbprint.as_deref(),
        lasting: false,
    };
    let (family, _) = family::begin(cx.tx(), &view, new).await?;
    Ok(Ok(Issued { family, scopes, refresh: None }))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on_client(token, refused);
}
