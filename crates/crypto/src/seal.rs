//! Sealing: secrets at rest, and state that travels through other hands.
//!
//! The cipher is XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>): AES-256-GCM under a key that is derived for each
//! message, with CMAC as in NIST SP 800-108, from the first half of a 192-bit nonce. Plain AES-256-GCM with random
//! 96-bit nonces has to stop after 2^32 messages per key (NIST SP 800-38D, section 8.3), which a flood of sealed
//! decision ids reaches within days; this may go on to 2^80.
//!
//! ```text
//! version 1 | key id 4 | nonce 24 | ciphertext | tag 16        bytes
//! ```

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey},
    cmac,
    error::Unspecified,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{SecretSlice, zeroize::Zeroizing};

use crate::{Entropy, PlainToken, TokenFamily, TokenKind};

/// The keys of a deployment: one that seals, and any number that only open what was sealed before a rotation.
pub struct SealingKeys {
    current: SealingKey,
    retired: Vec<SealingKey>,
}

impl SealingKeys {
    /// With one key, which seals and opens.
    pub fn new(current: SealingKey) -> SealingKeys {
        SealingKeys { current, retired: Vec::new() }
    }

    /// Adds a key that opens and no longer seals.
    pub fn with_retired(mut self, key: SealingKey) -> SealingKeys {
        self.retired.push(key);
        self
    }

    /// The token of a family that follows the one presented, the same each time, so that a client whose answer was lost gets it
    /// again. The first is made with the key in force, the others with keys that were retired since. Nothing of it is stored: it
    /// takes both a key and the token before to make it.
    pub fn successors<'a>(
        &'a self,
        kind: TokenKind,
        family: TokenFamily,
        presented: &'a str,
    ) -> impl Iterator<Item = PlainToken> + 'a {
        std::iter::once(&self.current)
            .chain(&self.retired)
            .map(move |key| PlainToken::derive_in_family(kind, family, &*key.succession, presented.as_bytes()))
    }

    /// Seals `secret` for `purpose`. It opens only for the same purpose and the same `bound_to`: the id of the row or
    /// the caller it belongs to, so that sealed bytes copied to another row are refused there.
    ///
    /// # Errors
    /// If the cipher refuses, which a longer input than memory holds would need.
    pub fn seal(
        &self,
        secret: &[u8],
        purpose: Purpose,
        bound_to: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = entropy.array();
        let key_id = self.current.id;
        // One buffer of the final size, encrypted in place: no copy of the secret stays behind in freed memory.
        let mut sealed = Vec::with_capacity(OVERHEAD_BYTES + secret.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key_id.0.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(secret);
        let (_, body) = sealed.split_first_chunk_mut::<HEADER_BYTES>().ok_or(SealError)?;
        let aad = associated_data(key_id, purpose, bound_to);
        let tag = self.current.seal_in_place(&nonce, &aad, body).map_err(|_| SealError)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`SealingKeys::seal`] made for the same purpose and binding.
    ///
    /// # Errors
    /// If it was made otherwise, altered, or sealed by a key that is not here.
    pub fn open(&self, sealed: &[u8], purpose: Purpose, bound_to: &[u8]) -> Result<SecretSlice<u8>, OpenError> {
        self.open_bytes(sealed, purpose, bound_to).map(SecretSlice::from)
    }

    /// Which key sealed this, so that a rotation finds what is left to seal again. Says nothing about whether it opens.
    pub fn sealed_by(sealed: &[u8]) -> Option<KeyId> {
        Sealed::parse(sealed).ok().map(|sealed| sealed.key_id)
    }

    /// The key that seals now.
    pub fn current_id(&self) -> KeyId {
        self.current.id
    }

    /// [`SealingKeys::seal`] as base64url text without padding (RFC 4648, section 5): page tokens, decision ids. Its
    /// length tells the length of `state`.
    ///
    /// # Errors
    /// As [`SealingKeys::seal`]; also if the text would be longer than [`SealingKeys::open_text`] reads.
    pub fn seal_to_text(
        &self,
        state: &[u8],
        purpose: Purpose,
        bound_to: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<String, SealError> {
        let text = URL_SAFE_NO_PAD.encode(self.seal(state, purpose, bound_to, entropy)?);
        if text.len() > SEALED_TEXT_CHARS_MAX { Err(SealError) } else { Ok(text) }
    }

    /// Opens what [`SealingKeys::seal_to_text`] made. One text opens, no other spelling of it does.
    ///
    /// # Errors
    /// As [`SealingKeys::open`]; also for text that is too long or not base64url.
    pub fn open_text(&self, text: &str, purpose: Purpose, bound_to: &[u8]) -> Result<Vec<u8>, OpenError> {
        if text.len() > SEALED_TEXT_CHARS_MAX {
            return Err(OpenError::Malformed);
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| OpenError::Malformed)?;
        self.open_bytes(&sealed, purpose, bound_to)
    }

    fn open_bytes(&self, sealed: &[u8], purpose: Purpose, bound_to: &[u8]) -> Result<Vec<u8>, OpenError> {
        let sealed = Sealed::parse(sealed)?;
        let key = self.key(sealed.key_id).ok_or(OpenError::UnknownKey(sealed.key_id))?;
        let aad = associated_data(sealed.key_id, purpose, bound_to);
        key.open(&sealed, &aad).map_err(|_| OpenError::NotAuthentic)
    }

    fn key(&self, id: KeyId) -> Option<&SealingKey> {
        std::iter::once(&self.current).chain(&self.retired).find(|key| key.id == id)
    }
}

/// Longest text that is decoded: what still fits into a URL or a header.
pub const SEALED_TEXT_CHARS_MAX: usize = 4096;

/// The sealed form cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not seal")]
pub struct SealError;

/// Why sealed bytes do not open. For the operator's log; to the outside all three are one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not in our form at all.
    #[error("not a sealed value")]
    Malformed,
    /// Sealed by a key that is not configured here.
    #[error("sealed by key {0}, which is not configured")]
    UnknownKey(KeyId),
    /// Altered, or sealed for another purpose or binding, or by another key of the same id.
    #[error("sealed value is not authentic for this purpose")]
    NotAuthentic,
}

/// What something is sealed for. Two purposes never open each other's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(&'static str);

impl Purpose {
    /// A constant beside the concept it belongs to: `const PAGE: Purpose = Purpose::new("jira page token");`
    pub const fn new(name: &'static str) -> Purpose {
        Purpose(name)
    }
}

/// Names a key in what it sealed. Chosen by the operator, never used again for other key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 256-bit key and its id.
pub struct SealingKey {
    id: KeyId,
    derivation: cmac::Key,
    succession: Zeroizing<[u8; 32]>,
}

/// The bytes cannot serve as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable sealing key")]
pub struct InvalidSealingKey;

impl SealingKey {
    /// From 32 secret bytes, straight from a secure generator.
    ///
    /// # Errors
    /// If the cipher refuses them, which it has no reason to.
    pub fn new(id: KeyId, secret: &[u8; 32]) -> Result<SealingKey, InvalidSealingKey> {
        let derivation = cmac::Key::new(cmac::AES_256, secret).map_err(|_| InvalidSealingKey)?;
        // The cipher's own blocks begin with 0 and a counter; this one cannot be among them (NIST SP 800-108, label).
        let mut succession = Zeroizing::new([0; 32]);
        for (half, counter) in succession.chunks_mut(16).zip([1, 2]) {
            let mut block = vec![counter];
            block.extend_from_slice(b"token succession");
            let derived = cmac::sign(&derivation, &block).map_err(|_| InvalidSealingKey)?;
            half.iter_mut().zip(derived.as_ref()).for_each(|(byte, from)| *byte = *from);
        }
        Ok(SealingKey { id, derivation, succession })
    }

    fn seal_in_place(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], body: &mut [u8]) -> Result<Tag, Unspecified> {
        let (key, nonce) = self.message_key(nonce)?;
        key.seal_in_place_separate_tag(nonce, Aad::from(aad), body)
    }

    fn open(&self, sealed: &Sealed<'_>, aad: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (key, nonce) = self.message_key(sealed.nonce)?;
        let mut plain = vec![0; sealed.ciphertext.len()];
        key.open_separate_gather(nonce, Aad::from(aad), sealed.ciphertext, sealed.tag, &mut plain)?;
        Ok(plain)
    }

    /// The two CMAC blocks of the specification, then plain AES-256-GCM with the second half of the nonce.
    fn message_key(&self, nonce: &[u8; NONCE_BYTES]) -> Result<(LessSafeKey, Nonce), Unspecified> {
        let (context, gcm_nonce) = nonce.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
        let mut message_key = Zeroizing::new(Vec::with_capacity(32));
        for counter in [1, 2] {
            let mut block = vec![0, counter, b'X', 0];
            block.extend_from_slice(context);
            message_key.extend_from_slice(cmac::sign(&self.derivation, &block)?.as_ref());
        }
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &message_key)?);
        Ok((key, Nonce::try_assume_unique_for_key(gcm_nonce)?))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

struct Sealed<'a> {
    key_id: KeyId,
    nonce: &'a [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl Sealed<'_> {
    fn parse(bytes: &[u8]) -> Result<Sealed<'_>, OpenError> {
        Sealed::split(bytes).ok_or(OpenError::Malformed)
    }

    fn split(bytes: &[u8]) -> Option<Sealed<'_>> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (key_id, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Sealed { key_id: KeyId(u32::from_be_bytes(*key_id)), nonce, ciphertext, tag })
    }
}

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + 4 + NONCE_BYTES;
/// By how much sealing lengthens.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// Header, purpose and binding, each with a fixed or stated length, so that no two different triples give the same
/// bytes.
fn associated_data(key_id: KeyId, purpose: Purpose, bound_to: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(1 + 4 + 8 + purpose.0.len() + bound_to.len());
    data.push(VERSION);
    data.extend_from_slice(&key_id.0.to_be_bytes());
    data.extend_from_slice(&(purpose.0.len() as u64).to_be_bytes());
    data.extend_from_slice(purpose.0.as_bytes());
    data.extend_from_slice(bound_to);
    data
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::{SeededEntropy, hash::hex};

    const SHARED_SECRET: Purpose = Purpose::new("test shared secret");
    const PAGE: Purpose = Purpose::new("test page token");

    fn key(id: u32, byte: u8) -> SealingKey {
        SealingKey::new(KeyId(id), &[byte; 32]).unwrap()
    }

    fn keys() -> SealingKeys {
        SealingKeys::new(key(1, 7))
    }

    #[test]
    fn cipher_matches_the_vectors_of_the_specification() {
        let seal = |byte: u8, aad: &[u8]| {
            let mut body = b"XAES-256-GCM".to_vec();
            let tag = key(1, byte).seal_in_place(b"ABCDEFGHIJKLMNOPQRSTUVWX", aad, &mut body).unwrap();
            hex(&body) + &hex(tag.as_ref())
        };
        assert_eq!(seal(1, b""), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
        assert_eq!(seal(3, b"c2sp.org/XAES-256-GCM"), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
    }

    #[test]
    fn what_was_sealed_opens() {
        let (keys, entropy) = (keys(), SeededEntropy::new(1));
        for length in [0, 1, 15, 16, 17, 1000, 100_000] {
            let secret: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let sealed = keys.seal(&secret, SHARED_SECRET, b"row 1", &entropy).unwrap();
            assert_eq!(sealed.len(), secret.len() + OVERHEAD_BYTES);
            let opened = keys.open(&sealed, SHARED_SECRET, b"row 1").unwrap();
            assert_eq!(opened.expose_secret(), secret, "{length} bytes");
        }
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let keys = keys();
        let sealed = keys.seal(b"secret", SHARED_SECRET, b"row 1", &SeededEntropy::new(1)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(&altered, SHARED_SECRET, b"row 1").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn any_cut_or_extension_is_refused() {
        let keys = keys();
        let sealed = keys.seal(b"secret", SHARED_SECRET, b"row 1", &SeededEntropy::new(1)).unwrap();
        for length in 0..sealed.len() {
            assert!(keys.open(&sealed[..length], SHARED_SECRET, b"row 1").is_err(), "{length} bytes");
        }
        let longer = [sealed, vec![0]].concat();
        assert_eq!(keys.open(&longer, SHARED_SECRET, b"row 1").unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn other_purpose_or_binding_does_not_open() {
        let keys = keys();
        let sealed = keys.seal(b"secret", SHARED_SECRET, b"row 1", &SeededEntropy::new(1)).unwrap();
        assert_eq!(keys.open(&sealed, PAGE, b"row 1").unwrap_err(), OpenError::NotAuthentic);
        assert_eq!(keys.open(&sealed, SHARED_SECRET, b"row 2").unwrap_err(), OpenError::NotAuthentic);
        assert_eq!(keys.open(&sealed, SHARED_SECRET, b"").unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn purpose_and_binding_do_not_run_into_each_other() {
        let keys = keys();
        let sealed = keys.seal(b"secret", Purpose::new("ab"), b"c", &SeededEntropy::new(1)).unwrap();
        assert_eq!(keys.open(&sealed, Purpose::new("a"), b"bc").unwrap_err(), OpenError::NotAuthentic);
        assert_eq!(keys.open(&sealed, Purpose::new("abc"), b"").unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn rotation_opens_the_old_and_seals_with_the_new() {
        let entropy = SeededEntropy::new(1);
        let sealed = keys().seal(b"secret", SHARED_SECRET, b"", &entropy).unwrap();
        assert_eq!(SealingKeys::sealed_by(&sealed), Some(KeyId(1)));

        let rotated = SealingKeys::new(key(2, 9)).with_retired(key(1, 7));
        assert_eq!(rotated.open(&sealed, SHARED_SECRET, b"").unwrap().expose_secret(), b"secret");
        let again = rotated.seal(b"secret", SHARED_SECRET, b"", &entropy).unwrap();
        assert_eq!(SealingKeys::sealed_by(&again), Some(rotated.current_id()));

        assert_eq!(keys().open(&again, SHARED_SECRET, b"").unwrap_err(), OpenError::UnknownKey(KeyId(2)));
        let impostor = SealingKeys::new(key(1, 8));
        assert_eq!(impostor.open(&sealed, SHARED_SECRET, b"").unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn same_state_twice_gives_two_texts() {
        let (keys, entropy) = (keys(), SeededEntropy::new(1));
        let seal = || keys.seal_to_text(b"offset 50", PAGE, b"ada", &entropy).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn text_opens_and_is_safe_in_a_url() {
        let (keys, entropy) = (keys(), SeededEntropy::new(1));
        for round in 0..200u8 {
            let state = vec![round; round.into()];
            let text = keys.seal_to_text(&state, PAGE, b"ada", &entropy).unwrap();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            assert_eq!(keys.open_text(&text, PAGE, b"ada").unwrap(), state);
            assert!(keys.open_text(&text, PAGE, b"ben").is_err());
        }
    }

    #[test]
    fn no_other_spelling_of_a_text_opens() {
        let keys = keys();
        let text = keys.seal_to_text(b"offset 50", PAGE, b"ada", &SeededEntropy::new(1)).unwrap();
        for other in
            [format!("{text}="), format!("{text}=="), format!(" {text}"), format!("{text}\n"), format!("{text}A")]
        {
            assert!(keys.open_text(&other, PAGE, b"ada").is_err(), "`{other}`");
        }
        // 45 bytes of overhead and 10 of state are 55: the last character carries unused bits, which have to be zero.
        let text = keys.seal_to_text(b"offset 500", PAGE, b"ada", &SeededEntropy::new(1)).unwrap();
        let opening: Vec<char> = ('0'..='9')
            .chain('a'..='z')
            .chain('A'..='Z')
            .chain(['-', '_'])
            .filter(|last| keys.open_text(&format!("{}{last}", &text[..text.len() - 1]), PAGE, b"ada").is_ok())
            .collect();
        assert_eq!(opening, [text.chars().last().unwrap()]);
    }

    #[test]
    fn junk_and_too_long_text_are_malformed() {
        let keys = keys();
        for junk in ["", "A", "!!!!", "é", &"A".repeat(SEALED_TEXT_CHARS_MAX + 1), "AAAA"] {
            assert_eq!(keys.open_text(junk, PAGE, b"").unwrap_err(), OpenError::Malformed);
        }
        let too_much = vec![0; SEALED_TEXT_CHARS_MAX];
        assert_eq!(keys.seal_to_text(&too_much, PAGE, b"", &SeededEntropy::new(1)), Err(SealError));
    }

    #[test]
    fn random_bytes_never_open() {
        let (keys, entropy) = (keys(), SeededEntropy::new(99));
        for length in 0..300 {
            let mut junk = vec![0; length];
            entropy.fill(&mut junk);
            let head = [VERSION, 0, 0, 0, 1];
            for (byte, header) in junk.iter_mut().zip(head) {
                *byte = header;
            }
            assert!(keys.open(&junk, PAGE, b"").is_err(), "{length} bytes");
        }
    }
}
