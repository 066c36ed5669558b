//! Who someone is. Each scheme answers one of three: not present, verified, failed; failed ends the look-up, and so do two
//! credentials at once.

mod basic;
pub(crate) mod password;
mod session;

use std::net::IpAddr;

use portcullis_authz::Row;
use portcullis_authz::decide::Reason;
use portcullis_model::mode::ModeKind;
use portcullis_model::{AccessKind, Surface, Timestamp};

pub use basic::parse as parse_basic;

use crate::caller::{Caller, CredentialRef, SessionRef};
use crate::refusal::RefusalKind;
use crate::snapshot::Snapshot;
use crate::throttle::Throttle;

/// What the edge hands over before the body is read: only what proves who someone is, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Where the request arrived.
    pub surface: Surface,
    /// The `Authorization` header; more than one header is refused at the edge.
    pub authorization: Option<&'a str>,
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
    /// The id given to this request.
    pub request_id: &'a str,
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
    /// A bearer token where none can be used.
    Bearer,
    /// A state-changing request with a cookie that another site could have caused.
    CrossSite,
}

/// Why nobody was proven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotProven {
    pub kind: RefusalKind,
    pub reason: Reason,
    /// A credential was shown and failed.
    pub failed_login: bool,
}

/// Proves the caller of a request, or refuses.
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    throttle: &Throttle,
    row: &Row,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Result<Caller, NotProven> {
    let anonymous = Caller {
        access: AccessKind::Anonymous,
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
    };
    let header = match head.authorization {
        // Schemes are matched as Jira does: exact words; anything else is as if nothing had been sent.
        Some(text) if text.starts_with("Basic ") || text.starts_with("basic ") => {
            basic::verify(snapshot, throttle, text.get(6..).unwrap_or_default(), head, now)
        }
        Some(text) if text.starts_with("Bearer ") || text.starts_with("JWT ") => Scheme::Failed(Failure::Bearer),
        Some(_) => Scheme::Failed(Failure::Unreadable),
        None => Scheme::NotPresent,
    };
    let cookie = match (head.session_cookie, head.surface) {
        (Some(text), Surface::Site | Surface::Console | Surface::Management) => {
            session::verify(snapshot, row, text, head, now)
        }
        _ => Scheme::NotPresent,
    };
    let refused = |kind, reason| NotProven { kind, reason, failed_login: true };
    match (header, cookie) {
        (Scheme::Verified(caller), Scheme::NotPresent | Scheme::Failed(_)) => Ok(*caller),
        (Scheme::Verified(_), Scheme::Verified(_)) => Err(refused(RefusalKind::WrongCredential, Reason::AccessKind)),
        (Scheme::NotPresent, Scheme::Verified(caller)) => Ok(*caller),
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

fn session_ref(facts: &crate::snapshot::SessionFacts) -> SessionRef {
    SessionRef { id: facts.id, form_key: facts.form_key }
}
