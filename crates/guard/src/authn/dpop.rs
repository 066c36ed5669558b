//! Proof of possession (DPoP, RFC 9449): a token bound to a key is worth nothing without a fresh signature by that key.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_crypto::jws::{UnverifiedJws, VerifyingKey};
use portcullis_crypto::sha256;
use portcullis_model::Timestamp;
use serde_json::Value as Json;

/// Seconds that a proof may be old, or ahead of our clock.
const WINDOW_S: i64 = 60;
/// Proofs remembered; when full, no more are taken until some are too old anyway.
const REMEMBERED_MAX: usize = 200_000;

/// A proof that holds.
#[derive(Debug)]
pub(crate) struct Proven {
    /// RFC 7638 thumbprint of the key.
    pub thumbprint: String,
    /// One-time id.
    id: [u8; 32],
}

/// Checks a proof for one request (RFC 9449, section 4.3). `token` is the access token it comes with.
///
/// # Errors
/// What is wrong with it, for the developer.
pub(crate) fn verify(
    text: &str,
    method: &str,
    url: &str,
    token: Option<&str>,
    now: Timestamp,
) -> Result<Proven, &'static str> {
    let jws = UnverifiedJws::parse(text).map_err(|_| "The DPoP proof is not a JWT.")?;
    if jws.typ() != Some("dpop+jwt") {
        return Err("The DPoP proof needs the type dpop+jwt.");
    }
    let jwk = jws.header().get("jwk").ok_or("The DPoP proof names no key.")?;
    let key =
        VerifyingKey::from_jwk(jwk).map_err(|_| "The key of the DPoP proof cannot be used: ES256 and RS256 are.")?;
    let thumbprint = key.thumbprint().ok_or("The key of the DPoP proof has to be a public key.")?;
    let verified = jws.verify(&key).map_err(|_| "The signature of the DPoP proof does not hold.")?;
    let claims = verified.claims().map_err(|_| "The DPoP proof holds no claims.")?;
    let claim = |name: &str| claims.get(name).and_then(Json::as_str);
    if claim("htm") != Some(method) {
        return Err("htm of the DPoP proof is not the method of the request.");
    }
    let target = claim("htu").unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
    if target != url {
        return Err("htu of the DPoP proof is not the address of the request.");
    }
    let made_s = claims.get("iat").and_then(Json::as_f64).ok_or("The DPoP proof needs iat.")?;
    let age_s = now.0 as f64 / 1_000.0 - made_s;
    if !(-(WINDOW_S as f64)..=WINDOW_S as f64).contains(&age_s) {
        return Err("The DPoP proof is too old, or made in the future.");
    }
    if let Some(token) = token
        && claim("ath") != Some(URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())).as_str())
    {
        return Err("ath of the DPoP proof is not the hash of the access token.");
    }
    let jti = claim("jti").filter(|jti| !jti.is_empty()).ok_or("The DPoP proof needs jti.")?;
    let id = sha256(format!("{thumbprint} {jti}").as_bytes());
    Ok(Proven { thumbprint, id })
}

/// Proofs that were used while they would still be taken. Kept by each node for itself: a proof seen by one may be shown once to
/// another within the window.
#[derive(Default)]
pub(crate) struct UsedProofs(Mutex<HashMap<[u8; 32], i64>>);

impl UsedProofs {
    /// Writes a proof down; `false` when it was used before, or when no more can be remembered.
    pub(crate) fn remember(&self, proven: &Proven, now: Timestamp) -> bool {
        let Ok(mut used) = self.0.lock() else { return false };
        if used.len() >= REMEMBERED_MAX {
            used.retain(|_, until_ms| *until_ms > now.0);
        }
        if used.len() >= REMEMBERED_MAX {
            return false;
        }
        let until_ms = now.0 + 2 * WINDOW_S * 1_000;
        match used.insert(proven.id, until_ms) {
            Some(until) => until <= now.0,
            None => true,
        }
    }
}
