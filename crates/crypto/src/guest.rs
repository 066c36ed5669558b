//! Keys, signatures and ciphers that an app's code asks its worker for: nothing of ours is protected by them. Each question brings its
//! key; nothing is kept.
//!
//! A key is DER: a public one SubjectPublicKeyInfo (RFC 5280) or, for RSA, PKCS #1; a private one PKCS #8 (RFC 5208), PKCS #1 or
//! SEC 1.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as sig, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use aws_lc_rs::{hkdf, iv::FixedLength, pbkdf2};
use serde::Deserialize;
use std::num::NonZeroU32;

/// Iterations of one derivation: half a second of a processor.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of one derived key.
const DERIVED_BYTES_MAX: usize = 1_024;

/// Digests by their names in Node.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Why an app's code gets none; the sentence that it is told.
pub type Refused = String;

/// Lets the library look once at what it wants to know of the machine: behind the wall the question would end the worker.
///
/// # Errors
/// The machine gives no random bytes.
#[expect(clippy::disallowed_methods, reason = "the bytes are thrown away")]
pub fn prepare() -> Result<(), Refused> {
    aws_lc_rs::rand::fill(&mut [0; 1]).map_err(|_| "no random bytes".to_owned())
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017).
    Rsa,
    /// RSASSA-PSS with a salt as long as the digest.
    RsaPss,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

/// How an ECDSA signature is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// ASN.1, as Node does.
    Der,
    /// r and s one after the other, as JWS and Web Crypto do.
    Fixed,
}

/// Block and stream ciphers by their names in Node.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Cipher block chaining.
    Cbc,
    /// Counter mode.
    Ctr,
    /// Galois/counter mode, with a tag of sixteen bytes.
    Gcm,
}

fn unknown(what: &str) -> String {
    format!("{what} is not available to apps on this server")
}

/// Whether a signature is the key's, of this message.
///
/// # Errors
/// The pair of key and digest is none that is offered.
pub fn verify(
    (scheme, hash, written): (Scheme, Algorithm, Written),
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Refused> {
    use Algorithm::{Sha1, Sha256, Sha384, Sha512};
    let fixed = written == Written::Fixed;
    let by: &'static dyn VerificationAlgorithm = match (scheme, hash) {
        (Scheme::Rsa, Sha1) => &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Scheme::Rsa, Sha256) => &sig::RSA_PKCS1_2048_8192_SHA256,
        (Scheme::Rsa, Sha384) => &sig::RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Rsa, Sha512) => &sig::RSA_PKCS1_2048_8192_SHA512,
        (Scheme::RsaPss, Sha256) => &sig::RSA_PSS_2048_8192_SHA256,
        (Scheme::RsaPss, Sha384) => &sig::RSA_PSS_2048_8192_SHA384,
        (Scheme::RsaPss, Sha512) => &sig::RSA_PSS_2048_8192_SHA512,
        (Scheme::P256, Sha256) if fixed => &sig::ECDSA_P256_SHA256_FIXED,
        (Scheme::P256, Sha256) => &sig::ECDSA_P256_SHA256_ASN1,
        (Scheme::P384, Sha384) if fixed => &sig::ECDSA_P384_SHA384_FIXED,
        (Scheme::P384, Sha384) => &sig::ECDSA_P384_SHA384_ASN1,
        (Scheme::P521, Sha512) if fixed => &sig::ECDSA_P521_SHA512_FIXED,
        (Scheme::P521, Sha512) => &sig::ECDSA_P521_SHA512_ASN1,
        (Scheme::Ed25519, _) => &sig::ED25519,
        _ => return Err(unknown("this pair of key and digest")),
    };
    Ok(UnparsedPublicKey::new(by, key).verify(message, signature).is_ok())
}

fn rsa_pair(key: &[u8]) -> Result<RsaKeyPair, String> {
    RsaKeyPair::from_pkcs8(key)
        .or_else(|_| RsaKeyPair::from_der(key))
        .map_err(|_| "the private key cannot be read".to_owned())
}

fn ec_pair(by: &'static EcdsaSigningAlgorithm, key: &[u8]) -> Result<EcdsaKeyPair, String> {
    EcdsaKeyPair::from_pkcs8(by, key)
        .or_else(|_| EcdsaKeyPair::from_private_key_der(by, key))
        .map_err(|_| "the private key cannot be read".to_owned())
}

fn ed_pair(key: &[u8]) -> Result<Ed25519KeyPair, String> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(|_| "the private key cannot be read".to_owned())
}

fn signing(scheme: Scheme, written: Written) -> Option<&'static EcdsaSigningAlgorithm> {
    Some(match (scheme, written) {
        (Scheme::P256, Written::Der) => &sig::ECDSA_P256_SHA256_ASN1_SIGNING,
        (Scheme::P256, Written::Fixed) => &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
        (Scheme::P384, Written::Der) => &sig::ECDSA_P384_SHA384_ASN1_SIGNING,
        (Scheme::P384, Written::Fixed) => &sig::ECDSA_P384_SHA384_FIXED_SIGNING,
        (Scheme::P521, Written::Der) => &sig::ECDSA_P521_SHA512_ASN1_SIGNING,
        (Scheme::P521, Written::Fixed) => &sig::ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => return None,
    })
}

/// The signature of a message.
///
/// # Errors
/// The key cannot be read, or the pair is none that is offered.
pub fn sign(
    (scheme, hash, written): (Scheme, Algorithm, Written),
    key: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, Refused> {
    use Algorithm::{Sha256, Sha384, Sha512};
    #[expect(clippy::disallowed_methods, reason = "the library draws for itself whatever it is handed")]
    let random = SystemRandom::new();
    let failed = |_| "the key does not sign".to_owned();
    let rsa: &'static dyn sig::RsaEncoding = match (scheme, hash) {
        (Scheme::Rsa, Sha256) => &sig::RSA_PKCS1_SHA256,
        (Scheme::Rsa, Sha384) => &sig::RSA_PKCS1_SHA384,
        (Scheme::Rsa, Sha512) => &sig::RSA_PKCS1_SHA512,
        (Scheme::RsaPss, Sha256) => &sig::RSA_PSS_SHA256,
        (Scheme::RsaPss, Sha384) => &sig::RSA_PSS_SHA384,
        (Scheme::RsaPss, Sha512) => &sig::RSA_PSS_SHA512,
        (Scheme::P256, Sha256) | (Scheme::P384, Sha384) | (Scheme::P521, Sha512) => {
            let by = signing(scheme, written).ok_or_else(|| unknown("this curve"))?;
            return ec_pair(by, key)?.sign(&random, message).map(|made| made.as_ref().to_vec()).map_err(failed);
        }
        (Scheme::Ed25519, _) => return Ok(ed_pair(key)?.sign(message).as_ref().to_vec()),
        _ => return Err(unknown("this pair of key and digest")),
    };
    let pair = rsa_pair(key)?;
    let mut made = vec![0; pair.public_modulus_len()];
    pair.sign(rsa, &random, message, &mut made).map_err(failed)?;
    Ok(made)
}

/// The public key of a private one, as SubjectPublicKeyInfo.
///
/// # Errors
/// The key cannot be read.
pub fn public_of(scheme: Scheme, key: &[u8]) -> Result<Vec<u8>, Refused> {
    let failed = |_| "the public key cannot be written".to_owned();
    match scheme {
        Scheme::Rsa | Scheme::RsaPss => {
            rsa_pair(key)?.public_key().as_der().map(|der| der.as_ref().to_vec()).map_err(failed)
        }
        Scheme::Ed25519 => ed_pair(key)?.public_key().as_der().map(|der| der.as_ref().to_vec()).map_err(failed),
        Scheme::P256 | Scheme::P384 | Scheme::P521 => {
            let by = signing(scheme, Written::Der).ok_or_else(|| unknown("this curve"))?;
            ec_pair(by, key)?.public_key().as_der().map(|der| der.as_ref().to_vec()).map_err(failed)
        }
    }
}

/// What a cipher works with.
#[derive(Clone, Copy)]
pub struct Particulars<'a> {
    /// How blocks are chained.
    pub mode: Mode,
    /// Of AES: 16 or 32 bytes.
    pub key: &'a [u8],
    /// 16 bytes; 12 for GCM.
    pub iv: &'a [u8],
    /// What is authenticated and not enciphered; GCM alone.
    pub aad: &'a [u8],
    /// Whether the last block is filled up (PKCS #7); CBC alone.
    pub padding: bool,
}

impl Particulars<'_> {
    fn block(&self) -> Result<UnboundCipherKey, String> {
        let by = match self.key.len() {
            16 => &cipher::AES_128,
            32 => &cipher::AES_256,
            _ => return Err(unknown("a key of this length")),
        };
        UnboundCipherKey::new(by, self.key).map_err(|_| "the key cannot be read".to_owned())
    }

    fn iv(&self) -> Result<FixedLength<16>, String> {
        FixedLength::try_from(self.iv).map_err(|_| "Invalid initialization vector".to_owned())
    }

    fn sealed(&self) -> Result<(LessSafeKey, Nonce), String> {
        let by = match self.key.len() {
            16 => &aead::AES_128_GCM,
            32 => &aead::AES_256_GCM,
            _ => return Err(unknown("a key of this length")),
        };
        let key = UnboundKey::new(by, self.key).map_err(|_| "the key cannot be read".to_owned())?;
        let nonce = Nonce::try_assume_unique_for_key(self.iv)
            .map_err(|_| unknown("an initialization vector of this length"))?;
        Ok((LessSafeKey::new(key), nonce))
    }

    /// The text enciphered; with GCM, its tag of sixteen bytes follows.
    ///
    /// # Errors
    /// A key or vector of another length, a text that does not fit, or one that does not prove itself.
    pub fn encrypt(&self, mut text: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let failed = |_| "wrong final block length".to_owned();
        let with = |iv| EncryptionContext::Iv128(iv);
        match (self.mode, self.padding) {
            (Mode::Gcm, _) => {
                let (key, nonce) = self.sealed()?;
                key.seal_in_place_append_tag(nonce, Aad::from(self.aad), &mut text).map_err(failed)?;
            }
            (Mode::Cbc, true) => {
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(self.block()?).map_err(failed)?;
                key.less_safe_encrypt(&mut text, with(self.iv()?)).map_err(failed)?;
            }
            (Mode::Cbc, false) => {
                let key = EncryptingKey::cbc(self.block()?).map_err(failed)?;
                key.less_safe_encrypt(&mut text, with(self.iv()?)).map_err(failed)?;
            }
            (Mode::Ctr, _) => {
                let key = EncryptingKey::ctr(self.block()?).map_err(failed)?;
                key.less_safe_encrypt(&mut text, with(self.iv()?)).map_err(failed)?;
            }
        }
        Ok(text)
    }

    /// What [`Particulars::encrypt`] made, deciphered.
    ///
    /// # Errors
    /// A key or vector of another length, a text that does not fit, or one that does not prove itself.
    pub fn decrypt(&self, mut text: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let failed = |_| "bad decrypt".to_owned();
        let with = |iv| DecryptionContext::Iv128(iv);
        let plain = match (self.mode, self.padding) {
            (Mode::Gcm, _) => {
                let (key, nonce) = self.sealed()?;
                let unproven = |_| "Unsupported state or unable to authenticate data".to_owned();
                key.open_in_place(nonce, Aad::from(self.aad), &mut text).map_err(unproven)?.len()
            }
            (Mode::Cbc, true) => {
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.block()?).map_err(failed)?;
                key.decrypt(&mut text, with(self.iv()?)).map_err(failed)?.len()
            }
            (Mode::Cbc, false) => {
                let key = DecryptingKey::cbc(self.block()?).map_err(failed)?;
                key.decrypt(&mut text, with(self.iv()?)).map_err(failed)?.len()
            }
            (Mode::Ctr, _) => {
                let key = DecryptingKey::ctr(self.block()?).map_err(failed)?;
                key.decrypt(&mut text, with(self.iv()?)).map_err(failed)?.len()
            }
        };
        text.truncate(plain);
        Ok(text)
    }
}

/// PBKDF2 (RFC 8018).
///
/// # Errors
/// The digest is not offered; more iterations or bytes are asked for than one processor has half a second for.
pub fn derive_from_password(
    hash: Algorithm,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    bytes: usize,
) -> Result<Vec<u8>, Refused> {
    let by = match hash {
        Algorithm::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Algorithm::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Algorithm::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Algorithm::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        Algorithm::Md5 | Algorithm::Sha224 => return Err(unknown("this digest")),
    };
    let rounds = NonZeroU32::new(iterations).filter(|_| iterations <= ITERATIONS_MAX);
    let rounds = rounds.ok_or_else(|| format!("between 1 and {ITERATIONS_MAX} iterations are allowed"))?;
    if bytes > DERIVED_BYTES_MAX {
        return Err(format!("at most {DERIVED_BYTES_MAX} bytes can be derived"));
    }
    let mut out = vec![0; bytes];
    pbkdf2::derive(by, rounds, salt, password, &mut out);
    Ok(out)
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF (RFC 5869).
///
/// # Errors
/// The digest is not offered, or too many bytes are asked for.
pub fn expand(hash: Algorithm, secret: &[u8], salt: &[u8], info: &[u8], bytes: usize) -> Result<Vec<u8>, Refused> {
    let by = match hash {
        Algorithm::Sha1 => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hkdf::HKDF_SHA256,
        Algorithm::Sha384 => hkdf::HKDF_SHA384,
        Algorithm::Sha512 => hkdf::HKDF_SHA512,
        Algorithm::Md5 | Algorithm::Sha224 => return Err(unknown("this digest")),
    };
    let failed = |_| "the key cannot be derived".to_owned();
    if bytes > DERIVED_BYTES_MAX {
        return Err(format!("at most {DERIVED_BYTES_MAX} bytes can be derived"));
    }
    let mut out = vec![0; bytes];
    hkdf::Salt::new(by, salt)
        .extract(secret)
        .expand(&[info], Length(bytes))
        .map_err(failed)?
        .fill(&mut out)
        .map_err(failed)?;
    Ok(out)
}
