//! `Authorization: Basic base64(email:api_token)` (RFC 7617; Atlassian's API tokens).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_authz::policy::AccountKind;
use portcullis_crypto::{TokenHash, TokenKind};
use portcullis_model::{AccessKind, Surface, Timestamp};

use super::{Failure, RequestHead, Scheme};
use crate::caller::{Caller, CredentialRef};
use crate::snapshot::{Settings, Snapshot, TokenFacts};
use crate::throttle::Throttle;

/// Longest credential that is decoded, in characters.
const CREDENTIAL_CHARS_MAX: usize = 1024;
const DAY_MS: i64 = 86_400_000;

/// Parses the part after `Basic `: the account's e-mail in lower case, and the token.
///
/// `None` for what Jira treats as no credential at all: not base64, not UTF-8, no colon, no user.
pub fn parse(encoded: &str) -> Option<(String, String)> {
    if encoded.len() > CREDENTIAL_CHARS_MAX {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (email, token) = text.split_once(':')?;
    if email.is_empty() {
        return None;
    }
    Some((email.to_lowercase(), token.to_owned()))
}

pub(super) fn verify(
    snapshot: &Snapshot,
    throttle: &Throttle,
    encoded: &str,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Scheme {
    let Some((email, token)) = parse(encoded) else { return Scheme::Failed(Failure::Unreadable) };
    if let Some(caller) = find(snapshot, &email, &token, head, now) {
        return Scheme::Verified(Box::new(caller));
    }
    // A good credential is never slowed: only what failed is counted, and only what fails is refused unseen.
    if let Some(seconds) = throttle.refused_for_s(head.address, &email, now) {
        return Scheme::Failed(Failure::Throttled(seconds));
    }
    throttle.failed(head.address, &email, now);
    Scheme::Failed(Failure::Wrong)
}

/// Whether the token has not ended, by its own date or by what the site allows.
pub(super) fn in_force(settings: &Settings, facts: &TokenFacts, now: Timestamp) -> bool {
    let oldest_ms = now.0.saturating_sub(settings.api_token_days_max.saturating_mul(DAY_MS));
    now.0 < facts.expires_at_ms && settings.api_tokens_allowed && facts.created_at_ms >= oldest_ms
}

fn find(snapshot: &Snapshot, email: &str, token: &str, head: &RequestHead<'_>, now: Timestamp) -> Option<Caller> {
    let (kind, hash) = TokenHash::parse(token)?;
    let facts = snapshot.token(&hash)?;
    let person = snapshot.person(facts.user)?;
    let user = snapshot.policy.user(facts.user)?;
    if person.email_folded.as_deref() != Some(email) || !user.active || !in_force(&snapshot.settings, &facts, now) {
        return None;
    }
    // A token with scopes works at the gateway only, one without on the site (and on our management API) only.
    let access = match (kind, facts.scopes, head.surface) {
        (TokenKind::ScopedApiToken, Some(_), Surface::Gateway) => AccessKind::ScopedApiToken,
        (TokenKind::ApiToken, None, Surface::Site | Surface::Management) => AccessKind::ApiToken,
        _ => return None,
    };
    Some(Caller {
        access,
        user: Some(facts.user),
        account_id: Some(person.account_id.clone()),
        credential: CredentialRef::ApiToken(facts.id),
        scopes: facts.scopes,
        ..super::nobody(head)
    })
}

/// A service account's API token with scopes, which the gateway also takes as a bearer token.
pub(super) fn verify_bearer(snapshot: &Snapshot, token: &str, head: &RequestHead<'_>, now: Timestamp) -> Scheme {
    let service = TokenHash::parse(token).and_then(|(_, hash)| {
        let facts = snapshot.token(&hash)?;
        let user = snapshot.policy.user(facts.user)?;
        let email = snapshot.person(facts.user)?.email_folded.clone()?;
        (user.kind == AccountKind::Service).then_some(email)
    });
    match service.and_then(|email| find(snapshot, &email, token, head, now)) {
        Some(caller) => Scheme::Verified(Box::new(caller)),
        None => Scheme::Failed(Failure::Bearer),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn email_and_token_are_split_at_the_first_colon() {
        assert_eq!(parse("QmVuQEFjbWUuZXhhbXBsZTphOmI="), Some(("ben@acme.example".to_owned(), "a:b".to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_a_client_sends_is_read_back(email in "[a-z]{1,10}@[a-z]{1,10}", token in "[ -~]{0,60}") {
            use base64::Engine;
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{email}:{token}"));
            proptest::prop_assert_eq!(parse(&encoded), Some((email, token)));
        }
    }

    #[test]
    fn what_is_no_credential_is_none() {
        for text in ["", "!", "bm9jb2xvbg==", "OnRva2Vu", "/////w=="] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
