//! `Authorization: JWT`: a Connect app's own token, signed with the secret that it shares with this site (HS256) and tied to one
//! request by its query string hash.
//!
//! Of the tokens that go between a site and an app this kind alone opens anything here: what this site issued names the site as
//! its issuer, a session token of the app has no hash, and a context token has a word in its place.

use std::sync::Arc;

use portcullis_authz::ConnectGrant;
use portcullis_crypto::jws::{ClaimError, ClaimsCheck, UnverifiedJws, VerifiedJws};
use portcullis_model::{AccessKind, Surface, Timestamp};
use serde_json::{Map, Value as Json};

use super::RequestHead;
use crate::addresses::Addresses;
use crate::caller::{Caller, CredentialRef};
use crate::connect::{ConnectFacts, intersection};
use crate::qsh;
use crate::snapshot::Snapshot;

/// Clocks may differ by this.
const SKEW_S: i64 = 30;
/// Longest life of a token: one day.
const LIFE_S_MAX: i64 = 86_400;

/// Proves an app. The error says what is wrong, for the decision; the public answer does not say.
pub(super) fn verify(
    snapshot: &Snapshot,
    addresses: &Addresses,
    text: &str,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Result<Caller, String> {
    if head.surface != Surface::Site {
        return Err("A Connect app's token is for the site's own address.".to_owned());
    }
    let jws = UnverifiedJws::parse(text).map_err(|_| "It is not a JSON Web Token.".to_owned())?;
    // Nothing else of an unverified token is looked at.
    let issuer = jws
        .unverified_claim("iss")
        .ok_or_else(|| "The claim iss is missing; it has to be the app's key.".to_owned())?;
    let app = snapshot.connect().app_named(issuer).ok_or_else(|| {
        let own = snapshot.connect().apps().any(|app| app.client_key == issuer);
        if own {
            "iss is the clientKey; it has to be the app's key.".to_owned()
        } else {
            "iss is not the key of an app that is installed here.".to_owned()
        }
    })?;
    if !app.enabled {
        return Err("The app is disabled.".to_owned());
    }
    let verified = verified(app, jws, text, now).ok_or("The signature does not fit the app's secret (HS256).")?;
    let claims = verified.claims().map_err(|_| "Its claims are no JSON object, or one stands twice.".to_owned())?;
    check(app, addresses, claims, head, now)?;
    let (Some(person), Some(facts)) = (snapshot.person(app.user), snapshot.policy.user(app.user)) else {
        return Err("The app's account is gone.".to_owned());
    };
    if !facts.active {
        return Err("The app's account is deactivated.".to_owned());
    }
    Ok(Caller {
        access: AccessKind::Connect,
        user: Some(app.user),
        account_id: Some(person.account_id.clone()),
        credential: CredentialRef::Connect(app.id),
        connect: Some(app.grant),
        app_only: true,
        actor: Some(format!("app:{}", app.key)),
        ..super::nobody(head)
    })
}

/// A request that a page of an app makes in a person's session: it may do what the app's scopes and the person's permissions allow
/// together. Whoever writes the header gives rights away and gets none.
pub(super) fn in_page(snapshot: &Snapshot, caller: Caller, key: &str) -> Option<Caller> {
    let app = snapshot.connect().app_named(key).filter(|app| app.enabled)?;
    let CredentialRef::Session(session) = caller.credential else { return None };
    Some(Caller {
        access: AccessKind::Connect,
        credential: CredentialRef::Framed { session, app: app.id },
        connect: Some(app.grant),
        actor: Some(format!("app:{}", app.key)),
        session: None,
        ..caller
    })
}

/// Verified with the secret in force or, for a while, with the one before it.
fn verified(app: &ConnectFacts, jws: UnverifiedJws<'_>, text: &str, now: Timestamp) -> Option<VerifiedJws> {
    if let Ok(verified) = jws.verify(&app.verifying) {
        return Some(verified);
    }
    let (previous, _) = app.previous.as_ref().filter(|(_, until_ms)| now.0 < *until_ms)?;
    UnverifiedJws::parse(text).ok()?.verify(previous).ok()
}

fn check(
    app: &ConnectFacts,
    addresses: &Addresses,
    claims: &Map<String, Json>,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Result<(), String> {
    if !claims.get("iat").is_some_and(Json::is_number) {
        return Err("The claim iat is missing or no number.".to_owned());
    }
    let rules =
        ClaimsCheck { issuer: Some(&app.key), audience: None, now, skew_s: SKEW_S, lifetime_max_s: Some(LIFE_S_MAX) };
    rules.check(claims).map_err(|error| match error {
        ClaimError::NoTime => "The claim exp is missing, or a time is no number.".to_owned(),
        other => format!("Its claims do not hold: {other}."),
    })?;
    let ours = |audience: &Json| {
        audience.as_str().is_some_and(|text| text == app.client_key || text.trim_end_matches('/') == addresses.site)
    };
    let meant = match claims.get("aud") {
        None => true,
        Some(Json::Array(several)) => several.iter().any(ours),
        Some(one) => ours(one),
    };
    if !meant {
        return Err("aud names another site.".to_owned());
    }
    // What a token says about a person grants nothing here; to act for one there is the impersonation grant.
    if claims.get("sub").is_some_and(|subject| subject.as_str() == Some("")) {
        return Err("sub is empty.".to_owned());
    }
    let qsh = match claims.get("qsh") {
        Some(Json::String(qsh)) => qsh,
        Some(_) => return Err("The claim qsh is no text.".to_owned()),
        None => return Err("The claim qsh is missing.".to_owned()),
    };
    if qsh == "context-qsh" {
        return Err("This is a context token, which is for the app's own server.".to_owned());
    }
    let base = addresses.site.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
    if qsh::matches(qsh, head.method, head.path, head.query, &base) {
        return Ok(());
    }
    let canonical = qsh::canonical(head.method, head.path, head.query, qsh::SortedBy::Decoded);
    let shortened: String = canonical.chars().take(400).collect();
    Err(format!("qsh is not that of the request, which is the SHA-256 of: {shortened}"))
}

/// A token to act for a user, once its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActAsToken {
    /// The key that signed it.
    pub kid: String,
    /// The app's key.
    pub app: String,
    /// The user's account id.
    pub account_id: String,
    /// What it may do, within what the app may.
    pub grant: ConnectGrant,
    /// Issued at.
    pub issued_at_ms: i64,
    /// Refused from here on.
    pub expires_at_ms: i64,
}

/// The app, the user and what may be done, while the token counts.
pub(crate) fn in_force(
    snapshot: &Snapshot,
    token: &ActAsToken,
    now: Timestamp,
) -> Option<(Arc<ConnectFacts>, portcullis_model::UserId, ConnectGrant)> {
    let app = snapshot.connect().app_named(&token.app)?;
    let user = snapshot.user_by_account_id(&token.account_id)?;
    let person = snapshot.person(user)?;
    let counts = now.0 < token.expires_at_ms
        && app.enabled
        && app.grant.act_as_user
        && app.since_ms <= token.issued_at_ms
        && person.apps_since_ms <= token.issued_at_ms
        && snapshot.oauth().verifying_key(&token.kid).is_some();
    let asked = ConnectGrant { act_as_user: true, ..token.grant };
    counts.then(|| (Arc::clone(app), user, intersection(asked, app.grant)))
}

pub(super) fn verify_act_as(
    snapshot: &Snapshot,
    token: &Arc<ActAsToken>,
    head: &RequestHead<'_>,
    now: Timestamp,
) -> Option<Caller> {
    let (app, user, grant) = in_force(snapshot, token, now)?;
    let person = snapshot.person(user)?;
    snapshot.policy.user(user).filter(|facts| facts.active)?;
    Some(Caller {
        access: AccessKind::Connect,
        user: Some(user),
        account_id: Some(person.account_id.clone()),
        credential: CredentialRef::ActAs(app.id),
        connect: Some(grant),
        app_only: false,
        actor: Some(format!("app:{}", app.key)),
        act_as: Some(Arc::clone(token)),
        ..super::nobody(head)
    })
}
