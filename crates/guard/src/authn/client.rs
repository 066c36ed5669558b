//! OAuth 2.0 client authentication (RFC 6749, section 2.3; RFC 7523): checked before a transaction opens, so that what strangers
//! try at the token endpoint holds up nobody.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_crypto::TokenHash;
use portcullis_crypto::TokenKind;
use portcullis_crypto::jws::{ClaimsCheck, UnverifiedJws};
use portcullis_model::{AppId, ClientSecretId, Timestamp};
use serde_json::Value as Json;

use super::dpop;
use crate::enter::Guard;
use crate::input::Input;
use crate::oauth::{ClientFacts, ClientKind};
use crate::snapshot::Snapshot;

/// `client_assertion_type` of a JWT (RFC 7523, section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of an assertion.
const ASSERTION_LIFE_S_MAX: i64 = 300;
const SKEW_S: i64 = 60;

/// What a request's head holds of a client's proof.
#[derive(Clone, Default)]
pub(crate) struct ClientProof {
    authorization: Option<String>,
    dpop: Option<String>,
    url: String,
    method: String,
}

impl ClientProof {
    pub(crate) fn of(head: &super::RequestHead<'_>, url: String) -> Self {
        Self {
            authorization: head.authorization.map(str::to_owned),
            dpop: head.dpop.map(str::to_owned),
            url,
            method: head.method.to_owned(),
        }
    }
}

impl std::fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientProof(..)")
    }
}

/// How a client proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It cannot: a public client named itself.
    None,
    /// A secret in the head (`client_secret_basic`).
    SecretBasic,
    /// A secret in the body (`client_secret_post`).
    SecretPost,
    /// A signed assertion (`private_key_jwt`).
    PrivateKeyJwt,
}

/// A client that was proven, or that cannot prove itself and need not.
#[derive(Clone, Debug)]
pub struct Client {
    /// What is known of it.
    pub facts: Arc<ClientFacts>,
    /// How it proved itself.
    pub auth: ClientAuth,
    /// The secret it used.
    pub secret: Option<ClientSecretId>,
    /// One-time id of its assertion and when that ends; to be written down so that it is not used again.
    pub assertion: Option<(String, i64)>,
    /// Thumbprint of the key that it showed with a DPoP proof.
    pub key_thumbprint: Option<String>,
}

/// Why a client is not taken for whom it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRefusal {
    /// The request contradicts itself; what is wrong, for its developer.
    Malformed(&'static str),
    /// No such client, or not its secret: one answer for both.
    NotProven {
        /// It used the `Authorization` header, which the answer then names (RFC 6749, section 5.2).
        by_header: bool,
    },
    /// Too many failures; seconds to wait.
    Throttled(u32),
    /// The DPoP proof does not hold; what is wrong with it.
    BadProof(&'static str),
}

impl ClientRefusal {
    /// For the audit log.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            ClientRefusal::Malformed(_) => "malformed",
            ClientRefusal::NotProven { .. } => "wrong_client_credential",
            ClientRefusal::Throttled(_) => "too_many_failures",
            ClientRefusal::BadProof(_) => "wrong_proof",
        }
    }
}

struct Shown {
    client_id: String,
    auth: ClientAuth,
    /// The secret, or the assertion.
    proof: String,
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
fn basic(encoded: &str) -> Option<(String, String)> {
    const CHARS_MAX: usize = 4_096;
    if encoded.len() > CHARS_MAX {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

fn shown(proof: &ClientProof, input: &Input) -> Result<Shown, ClientRefusal> {
    let malformed = ClientRefusal::Malformed;
    if ["client_secret", "client_assertion"].iter().any(|name| input.query(name).is_some()) {
        return Err(malformed(
            "Credentials do not belong into the address: send them in the body or the Authorization header.",
        ));
    }
    let field = |name: &str| input.form(name).filter(|text| !text.is_empty());
    let (secret, assertion) = (field("client_secret"), field("client_assertion"));
    let header = match proof.authorization.as_deref() {
        None => None,
        Some(text) => {
            let encoded = text.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("basic ")).and(text.get(6..));
            let parsed = encoded.and_then(basic);
            Some(parsed.ok_or(ClientRefusal::NotProven { by_header: true })?)
        }
    };
    if usize::from(header.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some()) > 1 {
        return Err(malformed("The client proved itself in two ways; use one."));
    }
    let named = field("client_id");
    if let Some((client_id, secret)) = header {
        if named.is_some_and(|named| named != client_id) {
            return Err(malformed("client_id in the body is not the client of the Authorization header."));
        }
        return Ok(Shown { client_id, auth: ClientAuth::SecretBasic, proof: secret });
    }
    if let Some(assertion) = assertion {
        if field("client_assertion_type") != Some(JWT_BEARER) {
            return Err(malformed(
                "client_assertion_type has to be urn:ietf:params:oauth:client-assertion-type:jwt-bearer.",
            ));
        }
        let subject = UnverifiedJws::parse(assertion).ok();
        let subject = subject.and_then(|jws| jws.unverified_claim("sub").map(str::to_owned));
        let client_id = subject.ok_or(ClientRefusal::NotProven { by_header: false })?;
        if named.is_some_and(|named| named != client_id) {
            return Err(malformed("client_id is not the subject of the assertion."));
        }
        return Ok(Shown { client_id, auth: ClientAuth::PrivateKeyJwt, proof: assertion.to_owned() });
    }
    let Some(named) = named else {
        return Err(malformed("client_id is missing."));
    };
    let auth = if secret.is_some() { ClientAuth::SecretPost } else { ClientAuth::None };
    Ok(Shown { client_id: named.to_owned(), auth, proof: secret.unwrap_or_default().to_owned() })
}

/// The secret in force that this text is.
fn secret_of(facts: &ClientFacts, text: &str, now: Timestamp) -> Option<ClientSecretId> {
    let (TokenKind::ClientSecret, hash) = TokenHash::parse(text)? else { return None };
    let in_force = |expires_at_ms: Option<i64>| expires_at_ms.is_none_or(|at| now.0 < at);
    facts.secrets.iter().find(|secret| secret.hash == hash && in_force(secret.expires_at_ms)).map(|secret| secret.id)
}

/// RFC 7523, section 3: issuer and subject are the client, the audience is our issuer and nothing else, used once.
fn assertion_of(facts: &ClientFacts, text: &str, issuer: &str, now: Timestamp) -> Option<(String, i64)> {
    let jws = UnverifiedJws::parse(text).ok()?;
    let kid = jws.kid().map(str::to_owned);
    // An assertion is no other JWT: what names another type was made for something else (RFC 8725, section 3.11).
    if jws.typ().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt") && typ != "client-authentication+jwt") {
        return None;
    }
    let mut candidates =
        facts.keys.iter().filter(|key| kid.is_none() || key.kid().is_none() || key.kid() == kid.as_deref());
    let verified = candidates.find_map(|key| UnverifiedJws::parse(text).ok()?.verify(key).ok())?;
    let claims = verified.claims().ok()?;
    if claims.get("aud").and_then(Json::as_str) != Some(issuer) {
        return None;
    }
    let rules = ClaimsCheck {
        issuer: Some(&facts.client_id),
        audience: Some(issuer),
        now,
        skew_s: SKEW_S,
        lifetime_max_s: Some(ASSERTION_LIFE_S_MAX + SKEW_S),
    };
    rules.check(claims).ok()?;
    let jti = claims.get("jti").and_then(Json::as_str).filter(|jti| !jti.is_empty() && jti.len() <= 255)?;
    let ends_ms = claims.get("exp").and_then(Json::as_f64)? * 1_000.0;
    if !ends_ms.is_finite() || ends_ms > (now.0 as f64) + ((ASSERTION_LIFE_S_MAX + SKEW_S) * 1_000) as f64 {
        return None;
    }
    Some((jti.to_owned(), now.0 + (ASSERTION_LIFE_S_MAX + 2 * SKEW_S) * 1_000))
}

fn find(snapshot: &Snapshot, shown: &Shown, issuer: &str, now: Timestamp) -> Option<Client> {
    let facts = Arc::clone(snapshot.oauth().client_named(&shown.client_id)?);
    let (secret, assertion) = match shown.auth {
        ClientAuth::None => {
            // A client that has something to prove itself with must (E18).
            if facts.kind != ClientKind::Public {
                return None;
            }
            (None, None)
        }
        ClientAuth::SecretBasic | ClientAuth::SecretPost => (Some(secret_of(&facts, &shown.proof, now)?), None),
        ClientAuth::PrivateKeyJwt => (None, Some(assertion_of(&facts, &shown.proof, issuer, now)?)),
    };
    Some(Client { facts, auth: shown.auth, secret, assertion, key_thumbprint: None })
}

/// Whether what proved a client still does, asked again inside the operation's transaction.
pub(crate) fn still_good(snapshot: &Snapshot, client: &mut Client, now: Timestamp) -> bool {
    let Some(facts) = snapshot.oauth().client(client.facts.id) else { return false };
    if let Some(secret) = client.secret
        && !facts.secrets.iter().any(|kept| kept.id == secret && kept.expires_at_ms.is_none_or(|at| now.0 < at))
    {
        return false;
    }
    client.facts = Arc::clone(facts);
    true
}

/// The first name that stands twice (RFC 6749, section 3.1).
pub fn repeated(pairs: &[(String, String)]) -> Option<&str> {
    let name =
        pairs.iter().enumerate().find(|(at, (name, _))| pairs.iter().take(*at).any(|(before, _)| before == name));
    name.map(|(_, (name, _))| name.as_str())
}

impl Guard {
    /// Proves the client of a request to the authorization server.
    pub(crate) fn verify_client(&self, caller: &crate::caller::Caller, input: &Input) -> Result<Client, ClientRefusal> {
        let proof = &caller.client_proof;
        if repeated(input.fields()).is_some() || repeated(input.query_pairs()).is_some() {
            return Err(ClientRefusal::Malformed("A parameter may stand only once."));
        }
        let shown = shown(proof, input)?;
        let now = self.now();
        let issuer = self.addresses().issuer.clone();
        let found = self.with_snapshot(|snapshot| find(snapshot, &shown, &issuer, now));
        let Some(mut client) = found else {
            let account = format!("client {}", shown.client_id);
            // A good credential is never slowed: only what failed is counted, and only what fails is refused unseen.
            if let Err(seconds) = self.throttle_begin(caller.address(), &account) {
                return Err(ClientRefusal::Throttled(seconds));
            }
            return Err(ClientRefusal::NotProven { by_header: shown.auth == ClientAuth::SecretBasic });
        };
        if let Some(proof_text) = &proof.dpop {
            let proven =
                dpop::verify(proof_text, &proof.method, &proof.url, None, now).map_err(ClientRefusal::BadProof)?;
            if !self.remember_proof(&proven, now) {
                return Err(ClientRefusal::BadProof("The DPoP proof was used before."));
            }
            client.key_thumbprint = Some(proven.thumbprint);
        }
        Ok(client)
    }
}

/// The client's own id, for its facts' look-up elsewhere.
impl Client {
    /// Its id.
    pub fn id(&self) -> AppId {
        self.facts.id
    }
}

#[cfg(test)]
mod tests {
    use super::basic;

    #[test]
    fn both_parts_of_a_basic_header_are_form_encoded() {
        // `a%3Ab:c+d%2B`
        assert_eq!(basic("YSUzQWI6YytkJTJC"), Some(("a:b".to_owned(), "c d+".to_owned())));
        for text in ["", "!", "bm9jb2xvbg==", "YSUzOmI="] {
            assert_eq!(basic(text), None, "{text}");
        }
    }
}
