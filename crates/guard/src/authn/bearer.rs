//! `Authorization: Bearer` with an access token of ours (RFC 6750, RFC 9068), or `DPoP` with one that is bound to a key (RFC 9449).
//!
//! The signature of a token is checked once; what it says is then remembered under its hash. Whether it still counts is asked of
//! the snapshot each time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use portcullis_crypto::jws::{ClaimsCheck, UnverifiedJws};
use portcullis_crypto::sha256;
use portcullis_model::{AccessKind, AppGrantId, AppId, ScopeSet, Surface, Timestamp, TokenFamilyId, UserId};
use serde_json::{Map, Value as Json};

use super::connect::ActAsToken;
use super::{RequestHead, Scheme};
use crate::addresses::Addresses;
use crate::caller::{Caller, CredentialRef};
use crate::connect::grant_of;
use crate::forge::ForgeToken;
use crate::snapshot::Snapshot;

/// `typ` of an access token (RFC 9068, section 2.1). No other JWT of ours has it.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// `typ` of a Connect app's token to act for a user.
pub const ACT_AS_TOKEN_TYPE: &str = "act-as+jwt";
/// Longest token that is looked at, in characters.
const TOKEN_CHARS_MAX: usize = 8 << 10;
/// Tokens remembered; when full, those that have expired are forgotten, then all.
const REMEMBERED_MAX: usize = 200_000;

/// What an access token says, once its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The key that signed it.
    pub kid: String,
    /// The grant it draws on.
    pub grant: AppGrantId,
    /// The family it came of.
    pub family: TokenFamilyId,
    /// When the family began.
    pub started_at_ms: i64,
    /// What it may do, within the grant and what the client may ask for.
    pub scopes: ScopeSet,
    /// Refused from here on.
    pub expires_at_ms: i64,
    /// Thumbprint of the key it is bound to (RFC 9449, section 6.1).
    pub key_thumbprint: Option<String>,
}

/// The session id in a token: the family and when it began.
pub fn session_id(family: TokenFamilyId, started_at_ms: i64) -> String {
    format!("{family}.{started_at_ms}")
}

fn parse_session_id(text: &str) -> Option<(TokenFamilyId, i64)> {
    let (family, started_at_ms) = text.split_once('.')?;
    Some((TokenFamilyId(family.parse().ok()?), started_at_ms.parse().ok()?))
}

fn of_claims(kid: &str, claims: &Map<String, Json>) -> Option<AccessToken> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    let (family, started_at_ms) = parse_session_id(text("sid")?)?;
    Some(AccessToken {
        kid: kid.to_owned(),
        grant: AppGrantId(text("gid")?.parse().ok()?),
        family,
        started_at_ms,
        scopes: ScopeSet::of_names(text("scope")?),
        expires_at_ms: claims.get("exp").and_then(Json::as_i64)?.checked_mul(1_000)?,
        key_thumbprint: match claims.get("cnf") {
            None => None,
            Some(cnf) => Some(cnf.get("jkt")?.as_str()?.to_owned()),
        },
    })
}

/// What was presented after `Bearer `.
#[derive(Clone, Debug)]
pub(crate) enum Presented {
    /// A token of ours, its signature checked.
    Token(Arc<AccessToken>),
    /// A Connect app's token to act for a user, its signature checked.
    ActAs(Arc<ActAsToken>),
    /// What a remote of a Forge app was given, its seal opened.
    Forge(ForgeToken),
    /// Three parts with dots between them, and not ours.
    OtherJwt,
    /// Any other text.
    Opaque,
}

impl Presented {
    fn expires_at_ms(&self) -> i64 {
        match self {
            Presented::Token(token) => token.expires_at_ms,
            Presented::ActAs(token) => token.expires_at_ms,
            Presented::Forge(_) | Presented::OtherJwt | Presented::Opaque => 0,
        }
    }
}

/// Tokens whose signature was checked, by their SHA-256.
#[derive(Default)]
pub(crate) struct Remembered(RwLock<HashMap<[u8; 32], Presented>>);

impl Remembered {
    /// Reads a token, from memory where it was seen before.
    pub(crate) fn read(
        &self,
        text: &str,
        snapshot: impl FnOnce(&mut dyn FnMut(&Snapshot)),
        addresses: &Addresses,
        now: Timestamp,
    ) -> Presented {
        if text.len() > TOKEN_CHARS_MAX {
            return Presented::Opaque;
        }
        let hash = sha256(text.as_bytes());
        if let Some(token) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            return token.clone();
        }
        let mut checked = None;
        snapshot(&mut |snapshot| checked = check(text, snapshot, addresses, now));
        match checked {
            Some(token) => {
                let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.retain(|_, token| now.0 < token.expires_at_ms());
                }
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.clear();
                }
                remembered.insert(hash, token.clone());
                token
            }
            None if UnverifiedJws::parse(text).is_ok() => Presented::OtherJwt,
            None => Presented::Opaque,
        }
    }
}

/// Checks signature, type, issuer, audience and times (RFC 9068, section 4).
fn check(text: &str, snapshot: &Snapshot, addresses: &Addresses, now: Timestamp) -> Option<Presented> {
    let jws = UnverifiedJws::parse(text).ok()?;
    let acts_as = match jws.typ()? {
        ACCESS_TOKEN_TYPE => false,
        ACT_AS_TOKEN_TYPE => true,
        _ => return None,
    };
    let kid = jws.kid()?.to_owned();
    let key = snapshot.oauth().verifying_key(&kid)?;
    let verified = jws.verify(key).ok()?;
    let claims = verified.claims().ok()?;
    let rules = ClaimsCheck {
        issuer: Some(&addresses.issuer),
        audience: Some(if acts_as { &addresses.site } else { &addresses.api }),
        now,
        skew_s: 0,
        lifetime_max_s: None,
    };
    rules.check(claims).ok()?;
    if acts_as {
        return act_as_of_claims(&kid, claims).map(Arc::new).map(Presented::ActAs);
    }
    of_claims(&kid, claims).map(Arc::new).map(Presented::Token)
}

fn act_as_of_claims(kid: &str, claims: &Map<String, Json>) -> Option<ActAsToken> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    let ms = |name: &str| claims.get(name).and_then(Json::as_i64)?.checked_mul(1_000);
    Some(ActAsToken {
        kid: kid.to_owned(),
        app: text("client_id")?.to_owned(),
        account_id: text("sub")?.to_owned(),
        grant: grant_of(text("scope")?),
        issued_at_ms: claims.get("iat_ms").and_then(Json::as_i64)?,
        expires_at_ms: ms("exp")?,
    })
}

/// The client, account and scopes of a token, while it counts.
pub(crate) fn in_force(snapshot: &Snapshot, token: &AccessToken, now: Timestamp) -> Option<(AppId, UserId, ScopeSet)> {
    let oauth = snapshot.oauth();
    let grant = oauth.grant(token.grant)?;
    let client = oauth.client(grant.client)?;
    let person = snapshot.person(grant.user)?;
    let counts = now.0 < token.expires_at_ms
        && !client.blocked
        && oauth.verifying_key(&token.kid).is_some()
        && !oauth.is_dead(token.family)
        && person.apps_since_ms <= token.started_at_ms
        && may_be_used(snapshot, client, grant.user);
    counts.then(|| (grant.client, grant.user, token.scopes.intersection(&grant.scopes).intersection(&client.scopes)))
}

/// Whether a client may be used for an account at all: where people may not let apps in, only service accounts have any.
pub(crate) fn may_be_used(snapshot: &Snapshot, client: &crate::oauth::ClientFacts, user: UserId) -> bool {
    client.service_user == Some(user) || snapshot.settings.user_apps_allowed
}

/// Whether the grant is known here; another node may have made it since.
pub(crate) fn is_known(snapshot: &Snapshot, token: &AccessToken) -> bool {
    snapshot.oauth().grant(token.grant).is_some()
}

/// The caller that a client of their own is for somebody who let it in: with what they gave it, as a token issued now would have.
pub(crate) fn with_own_app(snapshot: &Snapshot, caller: Caller, client: AppId, now: Timestamp) -> Option<Caller> {
    // Whoever is limited by scopes already would get others here.
    if caller.scopes.is_some() || caller.app_only {
        return None;
    }
    let user = caller.user?;
    let oauth = snapshot.oauth();
    let app = oauth.client(client).filter(|app| app.owner == Some(user))?;
    let grant = oauth.grant_of(client, user)?;
    let token = AccessToken {
        kid: oauth.signing_key()?.kid().to_owned(),
        grant: grant.id,
        // No family: nothing is issued.
        family: TokenFamilyId(0),
        started_at_ms: now.0,
        scopes: grant.scopes,
        expires_at_ms: now.0.saturating_add(60_000),
        key_thumbprint: None,
    };
    let (_, _, scopes) = in_force(snapshot, &token, now)?;
    Some(Caller {
        access: AccessKind::OAuth,
        surface: Surface::Gateway,
        credential: CredentialRef::AccessToken { client, grant: grant.id, family: token.family },
        session: None,
        scopes: Some(scopes),
        actor: Some(format!("app:{}", app.client_id)),
        access_token: Some(Arc::new(token)),
        ..caller
    })
}

pub(super) fn verify(
    snapshot: &Snapshot,
    token: &Arc<AccessToken>,
    bound: bool,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Scheme {
    let failed = || Scheme::Failed(super::Failure::Bearer);
    // A token that is bound to a key is worth nothing without its proof, and one without a key needs none (RFC 9449, section 7).
    if token.key_thumbprint.is_some() != bound {
        return failed();
    }
    let Some((client, user, scopes)) = in_force(snapshot, token, now) else { return failed() };
    let (Some(person), Some(facts)) = (snapshot.person(user), snapshot.policy.user(user)) else { return failed() };
    let Some(app) = snapshot.oauth().client(client).filter(|_| facts.active) else { return failed() };
    Scheme::Verified(Box::new(Caller {
        access: AccessKind::OAuth,
        user: Some(user),
        account_id: Some(person.account_id.clone()),
        credential: CredentialRef::AccessToken { client, grant: token.grant, family: token.family },
        scopes: Some(scopes),
        actor: Some(format!("app:{}", app.client_id)),
        access_token: Some(Arc::clone(token)),
        ..super::nobody(head)
    }))
}
