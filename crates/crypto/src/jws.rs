//! JSON Web Signatures (RFC 7515), as narrow as they can be: compact form, three algorithms, and the algorithm a property of the key.
//!
//! A token never chooses how it is checked: its `alg` has to be the key's own, and keys that it carries or points to (`jwk`, `jku`,
//! `x5u`, `x5c`) are data for the caller, never used here. `crit` is refused whatever it names, because nothing is understood
//! (RFC 7515, section 4.1.11).
//!
//! An ES256 signature can be turned into a second valid one without the key, by negating `s`. So the text of a token is no
//! name for it: what must be seen once only is told apart by a claim (`jti`).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use crate::hash::{hmac_sha256, sha256};

/// Longest token that is looked at, in characters.
pub const TOKEN_CHARS_MAX: usize = 16 << 10;
/// How deep the JSON of a token may nest.
const DEPTH_MAX: usize = 8;
/// Largest allowance for clocks that differ.
const SKEW_S_MAX: i64 = 60;
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;
/// 65537, the one exponent that is in use.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
const EC_COORDINATE_BYTES: usize = 32;
/// Shortest shared secret: as long as the hash (RFC 7518, section 3.2).
const HMAC_SECRET_BYTES_MIN: usize = 32;

/// The algorithms that are known (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JwsAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl JwsAlgorithm {
    /// The name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            JwsAlgorithm::Hs256 => "HS256",
            JwsAlgorithm::Rs256 => "RS256",
            JwsAlgorithm::Es256 => "ES256",
        }
    }
}

/// The bytes or the JWK cannot serve as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable key")]
pub struct InvalidKey;

/// The key does not sign this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not be signed")]
pub struct SignError;

/// The library's functions ask for a source of randomness and draw from their own all the same.
#[expect(
    clippy::disallowed_methods,
    reason = "the argument is not used; keys and nonces of ECDSA come from aws-lc itself"
)]
fn unused() -> SystemRandom {
    SystemRandom::new()
}

enum Private {
    Hmac(SecretSlice<u8>),
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

/// A key that signs. Parsed once, kept, and never printed.
pub struct SigningKey {
    kid: String,
    private: Private,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.algorithm().name(), self.kid)
    }
}

impl SigningKey {
    /// A fresh ES256 key, and its private half as PKCS #8 to be sealed and kept.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate_es256(kid: String) -> Result<(SigningKey, SecretSlice<u8>), InvalidKey> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &unused()).map_err(|_| InvalidKey)?;
        let key = SigningKey::es256_from_pkcs8(kid, document.as_ref())?;
        Ok((key, SecretSlice::from(document.as_ref().to_vec())))
    }

    /// From PKCS #8.
    ///
    /// # Errors
    /// For what is no private key on P-256.
    pub fn es256_from_pkcs8(kid: String, pkcs8: &[u8]) -> Result<SigningKey, InvalidKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| InvalidKey)?;
        Ok(SigningKey { kid, private: Private::Ec(Box::new(pair)) })
    }

    /// A fresh RS256 key of 2048 bits, and its private half as PKCS #8 to be sealed and kept.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate_rs256(kid: String) -> Result<(SigningKey, SecretSlice<u8>), InvalidKey> {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| InvalidKey)?;
        let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| InvalidKey)?;
        let secret = SecretSlice::from(document.as_ref().to_vec());
        Ok((SigningKey { kid, private: Private::Rsa(Box::new(pair)) }, secret))
    }

    /// The public half of an RSA key as PEM (RFC 7468, section 13), with LF at line ends; `None` for any other kind.
    pub fn public_pem(&self) -> Option<String> {
        let Private::Rsa(pair) = &self.private else { return None };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let mut out = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in encoded.as_bytes().chunks(64) {
            out.extend(line.iter().map(|byte| char::from(*byte)));
            out.push('\n');
        }
        out.push_str("-----END PUBLIC KEY-----\n");
        Some(out)
    }

    /// From PKCS #8.
    ///
    /// # Errors
    /// For what is no RSA private key of 2048 to 8192 bits with the exponent 65537.
    pub fn rs256_from_pkcs8(kid: String, pkcs8: &[u8]) -> Result<SigningKey, InvalidKey> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| InvalidKey)?;
        // What signs has to have a public half that `VerifyingKey::from_jwk` takes.
        Public::rsa(rsa_components(pair.public_key().as_ref()).ok_or(InvalidKey)?)?;
        Ok(SigningKey { kid, private: Private::Rsa(Box::new(pair)) })
    }

    /// From a shared secret; at least 32 bytes (RFC 7518, section 3.2).
    ///
    /// # Errors
    /// For a shorter one.
    pub fn hs256(kid: String, secret: &[u8]) -> Result<SigningKey, InvalidKey> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            return Err(InvalidKey);
        }
        Ok(SigningKey { kid, private: Private::Hmac(SecretSlice::from(secret.to_vec())) })
    }

    /// What it signs with.
    pub fn algorithm(&self) -> JwsAlgorithm {
        match self.private {
            Private::Hmac(_) => JwsAlgorithm::Hs256,
            Private::Rsa(_) => JwsAlgorithm::Rs256,
            Private::Ec(_) => JwsAlgorithm::Es256,
        }
    }

    /// Its id; may be empty, and then stands in no header.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half (RFC 7517); `None` for a shared secret.
    pub fn public_jwk(&self) -> Option<Json> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.private {
            Private::Hmac(_) => return None,
            Private::Ec(pair) => {
                let (x, y) = coordinates(pair.public_key().as_ref())?;
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Private::Rsa(pair) => {
                let parts = rsa_components(pair.public_key().as_ref())?;
                json!({"kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e)})
            }
        };
        let members = jwk.as_object_mut()?;
        members.insert("alg".into(), self.algorithm().name().into());
        members.insert("use".into(), "sig".into());
        if !self.kid.is_empty() {
            members.insert("kid".into(), self.kid.clone().into());
        }
        Some(jwk)
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// When the library's own form of a public key cannot be read, which it has no reason to.
    pub fn verifying_key(&self) -> Result<VerifyingKey, InvalidKey> {
        let public = match &self.private {
            Private::Hmac(secret) => Public::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret()))),
            Private::Ec(pair) => Public::ec(pair.public_key().as_ref())?,
            Private::Rsa(pair) => Public::rsa(rsa_components(pair.public_key().as_ref()).ok_or(InvalidKey)?)?,
        };
        Ok(VerifyingKey { kid: (!self.kid.is_empty()).then(|| self.kid.clone()), public: Arc::new(public) })
    }

    /// A compact token with this `typ` and these claims (RFC 7515, section 3.1).
    ///
    /// # Errors
    /// For claims that [`UnverifiedJws::parse`] or [`VerifiedJws::claims`] would refuse: no object, nested too deep, too long.
    /// When the library refuses, which it has no reason to.
    pub fn sign(&self, typ: &str, claims: &Json) -> Result<String, SignError> {
        if !claims.is_object() || !is_shallow(claims, 0) {
            return Err(SignError);
        }
        let mut header = json!({"typ": typ, "alg": self.algorithm().name()});
        if let (Some(members), false) = (header.as_object_mut(), self.kid.is_empty()) {
            members.insert("kid".into(), self.kid.clone().into());
        }
        let text = self.sign_with_header(&header, claims)?;
        if text.len() > TOKEN_CHARS_MAX { Err(SignError) } else { Ok(text) }
    }

    /// The same with any header, for tokens that carry their key (a DPoP proof) and for tests of what has to be refused.
    ///
    /// # Errors
    /// When the library refuses, which it has no reason to.
    pub fn sign_with_header(&self, header: &Json, claims: &Json) -> Result<String, SignError> {
        let mut out = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).map_err(|_| SignError)?);
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).map_err(|_| SignError)?, &mut out);
        let signature = match &self.private {
            Private::Hmac(secret) => hmac_sha256(secret.expose_secret(), out.as_bytes()).to_vec(),
            Private::Ec(pair) => pair.sign(&unused(), out.as_bytes()).map_err(|_| SignError)?.as_ref().to_vec(),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &unused(), out.as_bytes(), &mut signature).map_err(|_| SignError)?;
                signature
            }
        };
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut out);
        Ok(out)
    }
}

/// Whether [`Strict`] would read it.
fn is_shallow(value: &Json, depth: usize) -> bool {
    depth <= DEPTH_MAX
        && match value {
            Json::Array(items) => items.iter().all(|item| is_shallow(item, depth + 1)),
            Json::Object(members) => members.values().all(|member| is_shallow(member, depth + 1)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
        }
}

/// The coordinates of an uncompressed point: 4, x, y (SEC 1, section 2.3.3).
fn coordinates(point: &[u8]) -> Option<(&[u8; EC_COORDINATE_BYTES], &[u8; EC_COORDINATE_BYTES])> {
    let (&[4], rest) = point.split_first_chunk()? else { return None };
    let (x, rest) = rest.split_first_chunk()?;
    Some((x, rest.try_into().ok()?))
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1), which is how the library gives a public key.
fn rsa_components(der: &[u8]) -> Option<PublicKeyComponents<Vec<u8>>> {
    /// The content of an element with this tag, and what follows it (X.690, section 8.1).
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (&[found, first], rest) = der.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        if found == tag { rest.split_at_checked(length) } else { None }
    }
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let unsigned = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (sequence, _) = element(der, SEQUENCE)?;
    let (n, rest) = element(sequence, INTEGER)?;
    let (e, _) = element(rest, INTEGER)?;
    Some(PublicKeyComponents { n: unsigned(n), e: unsigned(e) })
}

enum Public {
    /// With its inner state made once: that is most of the work on a short message.
    Hmac(Box<hmac::Key>),
    Rsa {
        parsed: ParsedPublicKey,
        parts: PublicKeyComponents<Vec<u8>>,
    },
    Ec(ParsedPublicKey),
}

impl Public {
    fn rsa(parts: PublicKeyComponents<Vec<u8>>) -> Result<Public, InvalidKey> {
        let (Some(first), Some(last)) = (parts.n.first(), parts.n.last()) else { return Err(InvalidKey) };
        // A leading zero would be another spelling of the same number (RFC 7518, section 6.3.1.1). The library asks for
        // the length when it verifies; asked here, a key that could never verify is not taken in the first place.
        let bits = parts.n.len().saturating_mul(8).saturating_sub(first.leading_zeros() as usize);
        let is_sound = *first != 0 && last & 1 == 1 && parts.e == RSA_EXPONENT;
        if !is_sound || !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(InvalidKey);
        }
        let parsed = parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| InvalidKey)?;
        Ok(Public::Rsa { parsed, parts })
    }

    /// From an uncompressed point; the library refuses one that is not on the curve.
    fn ec(point: &[u8]) -> Result<Public, InvalidKey> {
        coordinates(point).ok_or(InvalidKey)?;
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map(Public::Ec).map_err(|_| InvalidKey)
    }
}

/// A key that verifies, parsed once.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Option<String>,
    public: Arc<Public>,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm().name())
    }
}

impl VerifyingKey {
    /// A public key (RFC 7517; its members: RFC 7518, section 6): RSA of 2048 to 8192 bits with the exponent 65537 for RS256,
    /// EC on P-256 for ES256. Certificates in it are not looked at.
    ///
    /// # Errors
    /// For any other kind, one with private members, or one that says by `use`, `key_ops` or `alg` that it is for something
    /// else. A shared secret is never read from a JWK: see [`VerifyingKey::hs256`].
    pub fn from_jwk(jwk: &Json) -> Result<VerifyingKey, InvalidKey> {
        let members = jwk.as_object().ok_or(InvalidKey)?;
        let text = |name: &str| members.get(name).and_then(Json::as_str);
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
            return Err(InvalidKey);
        }
        if members.get("use").is_some_and(|usage| usage.as_str() != Some("sig")) {
            return Err(InvalidKey);
        }
        if let Some(operations) = members.get("key_ops") {
            let operations = operations.as_array().ok_or(InvalidKey)?;
            if !operations.iter().any(|operation| operation.as_str() == Some("verify")) {
                return Err(InvalidKey);
            }
        }
        let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(InvalidKey);
        let public = match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                // Whole coordinates, with their leading zeros (RFC 7518, section 6.2.1.2).
                if x.len() != EC_COORDINATE_BYTES || y.len() != EC_COORDINATE_BYTES {
                    return Err(InvalidKey);
                }
                let point = [&[4], x.as_slice(), &y].concat();
                Public::ec(&point)?
            }
            (Some("RSA"), None) => Public::rsa(PublicKeyComponents { n: bytes("n")?, e: bytes("e")? })?,
            _ => return Err(InvalidKey),
        };
        let kid = match members.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(InvalidKey)?.to_owned()),
        };
        let key = VerifyingKey { kid, public: Arc::new(public) };
        if members.get("alg").is_some_and(|alg| alg.as_str() != Some(key.algorithm().name())) {
            return Err(InvalidKey);
        }
        Ok(key)
    }

    /// A shared secret; at least 32 bytes (RFC 7518, section 3.2).
    ///
    /// # Errors
    /// For a shorter one.
    pub fn hs256(secret: &[u8]) -> Result<VerifyingKey, InvalidKey> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            return Err(InvalidKey);
        }
        Ok(VerifyingKey {
            kid: None,
            public: Arc::new(Public::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))),
        })
    }

    /// What it verifies.
    pub fn algorithm(&self) -> JwsAlgorithm {
        match *self.public {
            Public::Hmac(_) => JwsAlgorithm::Hs256,
            Public::Rsa { .. } => JwsAlgorithm::Rs256,
            Public::Ec(_) => JwsAlgorithm::Es256,
        }
    }

    /// Its id, where it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// RFC 7638, SHA-256 in base64url; `None` for a shared secret.
    pub fn thumbprint(&self) -> Option<String> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let canonical = match &*self.public {
            Public::Hmac(_) => return None,
            Public::Ec(point) => {
                let (x, y) = coordinates(point.as_ref())?;
                format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{}\",\"y\":\"{}\"}}", encode(x), encode(y))
            }
            Public::Rsa { parts, .. } => {
                format!("{{\"e\":\"{}\",\"kty\":\"RSA\",\"n\":\"{}\"}}", encode(&parts.e), encode(&parts.n))
            }
        };
        Some(encode(&sha256(canonical.as_bytes())))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &*self.public {
            Public::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            // Fixed form: r and s of 32 bytes each, and no other length (RFC 7518, section 3.4).
            Public::Ec(parsed) | Public::Rsa { parsed, .. } => parsed.verify_sig(message, signature).is_ok(),
        }
    }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is not three parts of base64url with a JSON header, or too long.
    #[error("not a compact JWS")]
    Malformed,
    /// Its header asks for something that is not understood: `crit`, `b64`, `zip`.
    #[error("the header asks for something that is not understood")]
    NotUnderstood,
    /// Its algorithm is not the key's.
    #[error("the algorithm is not the key's")]
    OtherAlgorithm,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// Its payload is no JSON object, or names a member twice.
    #[error("the payload holds no claims")]
    NoClaims,
}

/// A compact token, read and not yet believed.
pub struct UnverifiedJws<'a> {
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
    header: Map<String, Json>,
    claims: Option<Map<String, Json>>,
}

/// A token is a credential: nothing of it is shown.
impl fmt::Debug for UnverifiedJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedJws(..)")
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Reads a token, strictly (RFC 7515, section 7.1): three parts, base64url without padding and without stray bits, a JSON
    /// object as header in which no member stands twice.
    ///
    /// # Errors
    /// [`JwsError::Malformed`], [`JwsError::NotUnderstood`].
    pub fn parse(text: &'a str) -> Result<UnverifiedJws<'a>, JwsError> {
        if text.len() > TOKEN_CHARS_MAX {
            return Err(JwsError::Malformed);
        }
        let mut parts = text.split('.');
        let (Some(head), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::Malformed);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed);
        let header = object(&decode(head)?).ok_or(JwsError::Malformed)?;
        if header.get("alg").and_then(Json::as_str).is_none() {
            return Err(JwsError::Malformed);
        }
        for name in ["kid", "typ", "cty"] {
            if header.get(name).is_some_and(|value| !value.is_string()) {
                return Err(JwsError::Malformed);
            }
        }
        if ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
            return Err(JwsError::NotUnderstood);
        }
        let signed = text.get(..head.len() + 1 + payload.len()).ok_or(JwsError::Malformed)?;
        let payload = decode(payload)?;
        let claims = object(&payload);
        Ok(UnverifiedJws { signed, payload, signature: decode(signature)?, header, claims })
    }

    /// The whole header, as the token says. Keys and addresses in it (`jwk`, `jku`, `x5u`, `x5c`) are the sender's.
    pub fn header(&self) -> &Map<String, Json> {
        &self.header
    }

    /// `alg`, as the token says. It chooses nothing: [`UnverifiedJws::verify`] takes the key's own.
    fn alg_name(&self) -> &str {
        self.header.get("alg").and_then(Json::as_str).unwrap_or_default()
    }

    /// `kid`, as the token says.
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Json::as_str)
    }

    /// `typ`, as the token says.
    pub fn typ(&self) -> Option<&str> {
        self.header.get("typ").and_then(Json::as_str)
    }

    /// The payload as the token says, to look up whose key it needs. Nothing in it is true yet.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// A claim as the token says, to look up whose key it needs. It is not true yet. `None` where the payload is no JSON object, or
    /// one in which a member stands twice.
    pub fn unverified_claim(&self, name: &str) -> Option<&str> {
        self.claims.as_ref()?.get(name)?.as_str()
    }

    /// Checks the signature with a key. `alg` has to be the key's own, letter by letter.
    ///
    /// # Errors
    /// [`JwsError::OtherAlgorithm`], [`JwsError::BadSignature`].
    pub fn verify(self, key: &VerifyingKey) -> Result<VerifiedJws, JwsError> {
        if self.alg_name() != key.algorithm().name() {
            return Err(JwsError::OtherAlgorithm);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(JwsError::BadSignature);
        }
        Ok(VerifiedJws { header: self.header, payload: self.payload, claims: self.claims })
    }
}

/// A token whose signature holds.
pub struct VerifiedJws {
    header: Map<String, Json>,
    payload: Vec<u8>,
    claims: Option<Map<String, Json>>,
}

/// Claims name people: nothing of them is shown.
impl fmt::Debug for VerifiedJws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedJws(..)")
    }
}

impl VerifiedJws {
    /// The header.
    pub fn header(&self) -> &Map<String, Json> {
        &self.header
    }

    /// What was signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The claims of a JWT (RFC 7519).
    ///
    /// # Errors
    /// [`JwsError::NoClaims`] when the payload is no JSON object, or names a member twice.
    pub fn claims(&self) -> Result<&Map<String, Json>, JwsError> {
        self.claims.as_ref().ok_or(JwsError::NoClaims)
    }
}

/// What is expected of registered claims (RFC 7519, section 4.1).
#[derive(Clone, Copy, Debug)]
pub struct ClaimsCheck<'a> {
    /// `iss` has to be this.
    pub issuer: Option<&'a str>,
    /// `aud` has to be this, or a list of texts that holds it.
    pub audience: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
    /// Allowance for clocks that differ, in seconds; more than a minute counts as a minute.
    pub skew_s: i64,
    /// `exp` is not further from `iat` than this, or from the present where there is no `iat`.
    pub lifetime_max_s: Option<i64>,
}

/// Why claims are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// `iss` is missing or another.
    #[error("another issuer")]
    Issuer,
    /// `aud` is missing or another.
    #[error("another audience")]
    Audience,
    /// A time is missing, or is no number.
    #[error("a time is missing or is no number")]
    NoTime,
    /// It has expired.
    #[error("expired")]
    Expired,
    /// It is not valid yet.
    #[error("not valid yet")]
    NotYet,
    /// It lives too long.
    #[error("lives too long")]
    TooLong,
}

impl ClaimsCheck<'_> {
    /// Checks the claims. `exp` is always needed; `nbf` and `iat` count where they stand.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(&self, claims: &Map<String, Json>) -> Result<(), ClaimError> {
        if let Some(issuer) = self.issuer
            && claims.get("iss").and_then(Json::as_str) != Some(issuer)
        {
            return Err(ClaimError::Issuer);
        }
        if let Some(audience) = self.audience {
            let fits = match claims.get("aud") {
                Some(Json::String(only)) => only == audience,
                Some(Json::Array(several)) => {
                    several.iter().all(Json::is_string) && several.iter().any(|one| one.as_str() == Some(audience))
                }
                _ => false,
            };
            if !fits {
                return Err(ClaimError::Audience);
            }
        }
        let skew_ms = self.skew_s.clamp(0, SKEW_S_MAX) * 1_000;
        let expires_ms = time_ms(claims, "exp")?.ok_or(ClaimError::NoTime)?;
        if self.now.0 >= expires_ms.saturating_add(skew_ms) {
            return Err(ClaimError::Expired);
        }
        if time_ms(claims, "nbf")?.is_some_and(|from_ms| self.now.0 < from_ms.saturating_sub(skew_ms)) {
            return Err(ClaimError::NotYet);
        }
        let made_ms = time_ms(claims, "iat")?;
        if made_ms.is_some_and(|made_ms| self.now.0 < made_ms.saturating_sub(skew_ms)) {
            return Err(ClaimError::NotYet);
        }
        if let Some(lifetime_max_s) = self.lifetime_max_s {
            // Without `iat` the present stands for it.
            let from_ms = made_ms.unwrap_or(self.now.0);
            if expires_ms.saturating_sub(from_ms) > lifetime_max_s.saturating_mul(1_000) {
                return Err(ClaimError::TooLong);
            }
        }
        Ok(())
    }
}

/// A NumericDate in milliseconds (RFC 7519, section 2).
#[expect(clippy::cast_possible_truncation, reason = "the bound before it keeps the number far within i64")]
fn time_ms(claims: &Map<String, Json>, name: &str) -> Result<Option<i64>, ClaimError> {
    /// The year 9999; what is later is a mistake in units.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds)).ok_or(ClaimError::NoTime)?;
    Ok(Some((seconds * 1_000.0) as i64))
}

/// A JSON object in which no member stands twice, at any level.
fn object(bytes: &[u8]) -> Option<Map<String, Json>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// Reads JSON and refuses what serde_json would keep the last of.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom("too deep"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Strict { depth: self.depth + 1 })? {
            out.push(item);
        }
        Ok(Json::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict { depth: self.depth + 1 })?;
            if out.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Json::Object(out))
    }
}
