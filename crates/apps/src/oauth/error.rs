//! What the authorization server answers when it does not do what it was asked (RFC 6749, section 5.2), in the words of the
//! client's profile.

use portcullis_guard::oauth::WireProfile;
use portcullis_guard::{ClientRefusal, Input, Reply, View};
use portcullis_model::Problem;
use serde_json::json;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OauthError {
    /// The request contradicts itself or misses something.
    InvalidRequest(String),
    /// The client is not proven; `by_header`: it tried with the `Authorization` header.
    InvalidClient { by_header: bool },
    /// The code is unknown, used, too old, or not for this.
    BadCode(&'static str),
    /// The refresh token is unknown, used, too old, or not for this.
    BadRefreshToken(&'static str),
    /// The grant type is not one of ours.
    UnsupportedGrantType,
    /// The client may not use this grant type, or at all.
    UnauthorizedClient(&'static str),
    /// More than was granted, or no scope of ours.
    InvalidScope(String),
    /// The resource is none of ours (RFC 8707, section 2).
    InvalidTarget,
    /// The proof of possession does not hold (RFC 9449, section 5).
    InvalidProof(&'static str),
    /// Nobody has decided yet (RFC 8628, section 3.5).
    AuthorizationPending,
    /// The device asks too often.
    SlowDown,
    /// The person declined.
    AccessDenied,
    /// The device code is too old.
    ExpiredToken,
    /// Too many failures.
    TooMany(u32),
}

impl OauthError {
    pub(crate) fn of_client(refusal: &ClientRefusal) -> Self {
        match refusal {
            ClientRefusal::Malformed(words) => Self::InvalidRequest((*words).to_owned()),
            ClientRefusal::NotProven { by_header } => Self::InvalidClient { by_header: *by_header },
            ClientRefusal::Throttled(seconds) => Self::TooMany(*seconds),
            ClientRefusal::BadProof(words) => Self::InvalidProof(words),
        }
    }

    /// One word for logs and the developer's page.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient { .. } => "invalid_client",
            Self::BadCode(_) | Self::BadRefreshToken(_) => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidProof(_) => "invalid_dpop_proof",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::TooMany(_) => "temporarily_unavailable",
        }
    }

    /// What happened, for the developer.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::InvalidRequest(words) | Self::InvalidScope(words) => words.clone(),
            Self::InvalidClient { .. } => "The client is unknown, or its secret, key or assertion is wrong.".to_owned(),
            Self::BadCode(words) | Self::BadRefreshToken(words) | Self::UnauthorizedClient(words) | Self::InvalidProof(words) => {
                (*words).to_owned()
            }
            Self::UnsupportedGrantType => "grant_type is authorization_code, refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:device_code.".to_owned(),
            Self::InvalidTarget => "There is no such resource here.".to_owned(),
            Self::AuthorizationPending => "Nobody has entered and approved the code yet.".to_owned(),
            Self::SlowDown => "Ask less often: wait five seconds longer between two questions.".to_owned(),
            Self::AccessDenied => "The person declined.".to_owned(),
            Self::ExpiredToken => "The device code has expired. Start again.".to_owned(),
            Self::TooMany(_) => "Too many failed attempts. Wait before you try again.".to_owned(),
        }
    }

    pub(crate) fn reply(&self, profile: WireProfile) -> Reply {
        let rfc_status = match self {
            Self::InvalidClient { .. } => 401,
            Self::TooMany(_) => 429,
            _ => 400,
        };
        let (status, error, words) = match (profile, self) {
            // What Atlassian answers; clients of its apps tell these apart.
            (WireProfile::Atlassian, Self::BadRefreshToken(_)) => {
                (403, "invalid_grant", "Unknown or invalid refresh token.".to_owned())
            }
            (WireProfile::Atlassian, Self::BadCode(_)) => {
                (400, "invalid_request", "authorization_code is invalid".to_owned())
            }
            (WireProfile::Atlassian, Self::InvalidClient { .. }) => (401, "access_denied", "Unauthorized".to_owned()),
            (WireProfile::Atlassian, Self::InvalidTarget) => {
                (400, "invalid_target", "Incorrect resource parameters".to_owned())
            }
            _ => (rfc_status, self.code(), self.words()),
        };
        let mut reply = Reply::json(json!({"error": error, "error_description": words}))
            .with_status(status)
            .with_header("cache-control", "no-store")
            .with_header("pragma", "no-cache");
        if status == 401 {
            reply = reply.with_header("www-authenticate", "Basic realm=\"OAuth\", charset=\"UTF-8\"");
        }
        if let Self::TooMany(seconds) = self {
            reply = reply.with_header("retry-after", seconds.to_string());
        }
        reply
    }
}

/// The answer to a client that was not proven; it has the profile of the client that it says it is.
pub(crate) fn refused(view: &View, input: &Input, refusal: &ClientRefusal) -> Result<Reply, Problem> {
    let named = input.form("client_id").unwrap_or_default();
    let profile = view.with(|snapshot| snapshot.oauth().client_named(named).map(|client| client.profile));
    Ok(OauthError::of_client(refusal).reply(profile.unwrap_or(WireProfile::Rfc)))
}
