//! Who someone is. Each scheme answers one of three: not present, verified, failed; failed ends the look-up, and so do two
//! credentials at once.

mod basic;
pub mod bearer;
pub mod client;
pub mod connect;
pub(crate) mod dpop;
pub(crate) mod password;
pub mod second_factor;
mod session;

use std::net::IpAddr;

use portcullis_authz::Row;
use portcullis_authz::decide::Reason;
use portcullis_crypto::TokenHash;
use portcullis_model::mode::ModeKind;
use portcullis_model::{AccessKind, Surface, Timestamp};

pub use basic::parse as parse_basic;

use crate::addresses::Addresses;
use crate::caller::{Caller, CredentialRef, SessionRef};
use crate::refusal::RefusalKind;
use crate::snapshot::Snapshot;
use crate::throttle::Throttle;
use bearer::Presented;
use client::ClientProof;

/// What the edge hands over before the body is read: only what proves who someone is, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Where the request arrived.
    pub surface: Surface,
    /// The `Authorization` header; more than one header is refused at the edge.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header (RFC 9449); more than one is refused at the edge.
    pub dpop: Option<&'a str>,
    /// The method, as sent.
    pub method: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The query, as sent, without its question mark.
    pub query: &'a str,
    /// The session cookie's value.
    pub session_cookie: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Sec-Fetch-Site` header.
    pub sec_fetch_site: Option<&'a str>,
    /// The origin this server is reached at, `http://host:port`.
    pub own_origin: &'a str,
    /// The remote address.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header, to name a session by.
    pub user_agent: &'a str,
    /// The `AP-Client-Key` header: the app in whose page the request is made.
    pub ap_client_key: Option<&'a str>,
    /// The `X-Atlassian-Webhook-Trace` header, at most 1,024 characters of printable ASCII.
    pub webhook_trace: Option<&'a str>,
    /// The id given to this request.
    pub request_id: &'a str,
}

/// Whether an `Authorization` header carries a token that looks like one of ours: nobody else may get to see it.
pub fn is_ours(authorization: &str) -> bool {
    let (scheme, rest) = authorization.split_once(' ').unwrap_or_default();
    let token = if scheme.eq_ignore_ascii_case("basic") {
        parse_basic(rest).map(|(_, token)| token)
    } else {
        Some(rest.to_owned())
    };
    token.is_some_and(|token| TokenHash::parse(&token).is_some())
}

/// What a scheme found.
enum Scheme {
    NotPresent,
    Verified(Box<Caller>),
    /// Not a credential, or not a good one.
    Failed(Failure),
}

enum Failure {
    /// Jira treats this as if nothing had been sent: no colon, no user, not base64, an unknown scheme.
    Unreadable,
    /// A readable credential that does not verify.
    Wrong,
    /// Too many failures; not even looked at.
    Throttled(u32),
    /// A bearer token that is none of ours, does not count any more, or cannot be used here.
    Bearer,
    /// A Connect app's token that does not hold, and why.
    Connect(String),
    /// At the site, a JWT that is none of ours: Jira answers as to nobody, and does not go on.
    UnknownJwt,
    /// A state-changing request with a cookie that another site could have caused.
    CrossSite,
}

/// Why nobody was proven.
#[derive(Clone, Debug)]
pub(crate) struct NotProven {
    pub kind: RefusalKind,
    pub reason: Reason,
    /// A credential was shown and failed.
    pub failed_login: bool,
    /// What was wrong with it, for the decision.
    pub why: Option<String>,
}

/// Whether the snapshot knows the credential that was shown as that of an active account; also when none was shown. Where it does
/// not, another node may have issued it since, let its owner in again or given it another e-mail address.
pub(crate) fn is_known(
    snapshot: &Snapshot,
    addresses: &Addresses,
    head: &RequestHead<'_>,
    presented: Option<&Presented>,
    now: Timestamp,
) -> bool {
    let basic = head.authorization.and_then(|text| text.strip_prefix("Basic ").or_else(|| text.strip_prefix("basic ")));
    let token = basic.and_then(parse_basic).and_then(|(email, token)| Some((email, TokenHash::parse(&token)?.1)));
    let session = head.session_cookie.and_then(TokenHash::parse);
    let bearer_known = match presented {
        Some(Presented::Token(token)) => bearer::is_known(snapshot, token),
        Some(Presented::ActAs(token)) => snapshot.connect().app_named(&token.app).is_some(),
        // The key that signed it may be another node's, and newer than what is known here.
        Some(Presented::OtherJwt) => false,
        // Another node may have installed the app.
        Some(Presented::Forge(token)) => token.caller(snapshot, nobody(head), now).is_some(),
        Some(Presented::Opaque) | None => true,
    };
    let active = |user| snapshot.policy.user(user).is_some_and(|facts| facts.active);
    let named =
        |user, email: &str| snapshot.person(user).is_some_and(|person| person.email_folded.as_deref() == Some(email));
    // An app that this node cannot prove may be installed by another, or have been given another secret there.
    let jwt = head.authorization.and_then(|text| text.strip_prefix("JWT "));
    let jwt_known = jwt.is_none_or(|text| connect::verify(snapshot, addresses, text, head, now).is_ok());
    bearer_known
        && jwt_known
        && token.is_none_or(|(email, hash)| {
            snapshot.token(&hash).is_some_and(|facts| active(facts.user) && named(facts.user, &email))
        })
        && session.is_none_or(|(_, hash)| snapshot.session(&hash).is_some_and(|facts| active(facts.user)))
}

/// Whether the credential that proved a caller is still in force, asked again inside the operation's transaction.
pub(crate) fn still_good(snapshot: &Snapshot, caller: &Caller, now: Timestamp) -> bool {
    match caller.credential {
        CredentialRef::None | CredentialRef::Operator => true,
        CredentialRef::ApiToken(id) => {
            snapshot.token_by_id(id).is_some_and(|facts| basic::in_force(&snapshot.settings, &facts, now))
        }
        CredentialRef::AccessToken { .. } => {
            caller.access_token.as_ref().is_some_and(|token| bearer::in_force(snapshot, token, now).is_some())
        }
        CredentialRef::Connect(id) => snapshot.connect().app(id).is_some_and(|app| app.enabled),
        CredentialRef::ActAs(_) => {
            caller.act_as.as_ref().is_some_and(|token| connect::in_force(snapshot, token, now).is_some())
        }
        CredentialRef::Framed { session, app } => {
            snapshot.session_by_id(session).is_some_and(|facts| now.0 < facts.expires_at_ms)
                && snapshot.connect().app(app).is_some_and(|app| app.enabled)
        }
        CredentialRef::Forge(id) => snapshot.forge().installation(id).is_some(),
        CredentialRef::Session(id) => snapshot.session_by_id(id).is_some_and(|facts| now.0 < facts.expires_at_ms),
    }
}

/// Proves the caller of a request, or refuses.
#[expect(clippy::too_many_arguments, reason = "everything that can prove somebody")]
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    addresses: &Addresses,
    throttle: &Throttle,
    row: &Row,
    head: &RequestHead<'_>,
    presented: Option<&Presented>,
    proof: Proof,
    now: Timestamp,
) -> Result<Caller, NotProven> {
    let anonymous = nobody(head);
    let header = match head.authorization {
        // Schemes are matched as Jira does: exact words; anything else is as if nothing had been sent.
        Some(text) if text.starts_with("Basic ") || text.starts_with("basic ") => {
            basic::verify(snapshot, throttle, text.get(6..).unwrap_or_default(), head, now)
        }
        Some(text) if text.starts_with("Bearer ") || text.starts_with("DPoP ") => {
            bearer_scheme(snapshot, text, head, presented, proof, now)
        }
        Some(text) if text.starts_with("JWT ") => {
            match connect::verify(snapshot, addresses, text.get(4..).unwrap_or_default(), head, now) {
                Ok(caller) => Scheme::Verified(Box::new(caller)),
                Err(why) => Scheme::Failed(Failure::Connect(why)),
            }
        }
        Some(_) => Scheme::Failed(Failure::Unreadable),
        None => Scheme::NotPresent,
    };
    let cookie = match (head.session_cookie, head.surface) {
        (Some(text), Surface::Site | Surface::Console | Surface::Management) => {
            session::verify(snapshot, row, text, head, now)
        }
        _ => Scheme::NotPresent,
    };
    let refused = |kind, reason| NotProven { kind, reason, failed_login: true, why: None };
    match (header, cookie) {
        (Scheme::Verified(caller), Scheme::NotPresent | Scheme::Failed(_)) => Ok(*caller),
        // A cookie that comes along with an app's token is ignored: it is the browser's, and the app is not its user.
        (Scheme::Verified(caller), Scheme::Verified(_)) if caller.connect.is_some() => Ok(*caller),
        (Scheme::Verified(_), Scheme::Verified(_)) => Err(refused(RefusalKind::WrongCredential, Reason::AccessKind)),
        (Scheme::NotPresent, Scheme::Verified(caller)) => match head.ap_client_key {
            None => Ok(*caller),
            Some(key) => connect::in_page(snapshot, *caller, key)
                .ok_or_else(|| refused(RefusalKind::Unauthenticated, Reason::NotAuthenticated)),
        },
        (Scheme::NotPresent | Scheme::Failed(Failure::Unreadable), Scheme::Failed(Failure::CrossSite)) => {
            Err(refused(RefusalKind::CrossSite, Reason::NotAuthenticated))
        }
        // An expired session, or an unreadable header, is nobody; the operation says whether nobody may go on.
        (Scheme::NotPresent | Scheme::Failed(Failure::Unreadable), Scheme::NotPresent | Scheme::Failed(_)) => {
            Ok(anonymous)
        }
        (Scheme::Failed(Failure::Throttled(retry_after_s)), _) => {
            Err(refused(RefusalKind::TooMany { retry_after_s }, Reason::NotAuthenticated))
        }
        // A failed token of an app is never answered as if there were none.
        (Scheme::Failed(Failure::Connect(why)), _) => {
            Err(NotProven { why: Some(why), ..refused(RefusalKind::Unauthenticated, Reason::NotAuthenticated) })
        }
        (Scheme::Failed(Failure::UnknownJwt), _) => {
            Err(refused(RefusalKind::Unauthenticated, Reason::NotAuthenticated))
        }
        (Scheme::Failed(Failure::Bearer), _) => Err(refused(RefusalKind::WrongCredential, Reason::AccessKind)),
        (Scheme::Failed(_), _) => {
            // Jira goes on as anonymous after a wrong Basic credential. We do so for reading only, and only on the site.
            let falls_back = snapshot.settings.failed_basic_is_anonymous
                && row.access.contains(AccessKind::Anonymous)
                && row.mode == ModeKind::Read
                && head.surface == Surface::Site;
            if falls_back || row.open.is_some() {
                Ok(Caller { failed_login: true, ..anonymous })
            } else {
                Err(refused(RefusalKind::Unauthenticated, Reason::NotAuthenticated))
            }
        }
    }
}

/// Nobody, with what is known of the request.
pub(crate) fn nobody(head: &RequestHead<'_>) -> Caller {
    Caller {
        access: AccessKind::Anonymous,
        rule_exempt: false,
        surface: head.surface,
        user: None,
        account_id: None,
        credential: CredentialRef::None,
        scopes: None,
        session: None,
        failed_login: false,
        address: head.address,
        request_id: head.request_id.to_owned(),
        user_agent: head.user_agent.chars().take(200).collect(),
        actor: None,
        access_token: None,
        connect: None,
        app_only: false,
        act_as: None,
        why_not: None,
        webhook_trace: head.webhook_trace.map(str::to_owned),
        client_proof: ClientProof::default(),
    }
}

/// Whether the request came with a DPoP proof, checked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    None,
    /// By the key with this thumbprint.
    Of(String),
    /// One that does not hold.
    Bad,
}

/// The table of where a bearer token may be used: at the gateway an access token, or a service account's API token with scopes.
fn bearer_scheme(
    snapshot: &Snapshot,
    text: &str,
    head: &RequestHead<'_>,
    presented: Option<&Presented>,
    proof: Proof,
    now: Timestamp,
) -> Scheme {
    match (head.surface, presented) {
        (Surface::Gateway, Some(Presented::Token(token))) => {
            let bound = text.starts_with("DPoP ");
            let proven = match (&token.key_thumbprint, proof) {
                (Some(thumbprint), Proof::Of(shown)) => bound && *thumbprint == shown,
                (None, Proof::None) => !bound,
                _ => false,
            };
            if proven { bearer::verify(snapshot, token, bound, head, now) } else { Scheme::Failed(Failure::Bearer) }
        }
        (Surface::Gateway, Some(Presented::Forge(token))) if text.starts_with("Bearer ") => {
            match token.caller(snapshot, nobody(head), now) {
                Some(caller) => Scheme::Verified(Box::new(caller)),
                None => Scheme::Failed(Failure::Bearer),
            }
        }
        (Surface::Gateway, Some(Presented::Opaque)) if text.starts_with("Bearer ") => {
            basic::verify_bearer(snapshot, text.get(7..).unwrap_or_default(), head, now)
        }
        (Surface::Site, Some(Presented::ActAs(token))) if text.starts_with("Bearer ") => {
            match connect::verify_act_as(snapshot, token, head, now) {
                Some(caller) => Scheme::Verified(Box::new(caller)),
                None => Scheme::Failed(Failure::UnknownJwt),
            }
        }
        (Surface::Site, Some(Presented::Token(_) | Presented::OtherJwt)) => Scheme::Failed(Failure::UnknownJwt),
        _ => Scheme::Failed(Failure::Bearer),
    }
}

fn session_ref(facts: &crate::snapshot::SessionFacts) -> SessionRef {
    SessionRef { id: facts.id, form_key: facts.form_key }
}
