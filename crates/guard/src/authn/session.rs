//! Browser sessions: a cookie, and for every state-changing request a proof that a page of ours made it.

use portcullis_authz::{Method, Row};
use portcullis_crypto::{TokenHash, TokenKind};
use portcullis_model::{AccessKind, Timestamp};

use super::{Failure, RequestHead, Scheme, session_ref};
use crate::caller::{Caller, CredentialRef};
use crate::snapshot::Snapshot;

pub(super) fn verify(snapshot: &Snapshot, row: &Row, cookie: &str, head: &RequestHead<'_>, now: Timestamp) -> Scheme {
    let Some((TokenKind::Session, hash)) = TokenHash::parse(cookie) else { return Scheme::Failed(Failure::Wrong) };
    let Some(facts) = snapshot.session(&hash) else { return Scheme::Failed(Failure::Wrong) };
    let (Some(person), Some(user)) = (snapshot.person(facts.user), snapshot.policy.user(facts.user)) else {
        return Scheme::Failed(Failure::Wrong);
    };
    if !user.active || now.0 >= facts.expires_at_ms {
        return Scheme::Failed(Failure::Wrong);
    }
    if row.method != Method::Get && !same_origin(head) {
        return Scheme::Failed(Failure::CrossSite);
    }
    Scheme::Verified(Box::new(Caller {
        access: AccessKind::Session,
        user: Some(facts.user),
        account_id: Some(person.account_id.clone()),
        credential: CredentialRef::Session(facts.id),
        session: Some(session_ref(&facts)),
        ..super::nobody(head)
    }))
}

/// Whether a page of our own origin made the request (Fetch metadata, else `Origin`). Neither header: not proven.
pub(crate) fn same_origin(head: &RequestHead<'_>) -> bool {
    match (head.sec_fetch_site, head.origin) {
        (Some(site), origin) => site == "same-origin" && origin.is_none_or(|origin| origin == head.own_origin),
        (None, Some(origin)) => origin == head.own_origin,
        (None, None) => false,
    }
}
