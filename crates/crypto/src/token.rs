//! Opaque tokens: random text that means something only to us.
//!
//! ```text
//! ptat_ 0Jx9…33 characters…  K2p0aB
//! kind  192 random bits      CRC-32 of everything before it
//! ```
//! The prefix lets secret scanners and people recognise a leaked token; the checksum lets both tell a real one from a
//! typo or an example, and lets us refuse most junk without a look-up. It is no protection: who forges it still has to
//! guess 192 bits. Only a SHA-256 of the text is kept. A slow hash would add nothing, as there is no dictionary of
//! 192-bit values, and every request would pay for it (OWASP ASVS 5.0, 6.5 and 7.2: at least 128 bits from a secure
//! generator, stored as a hash).

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    Entropy,
    hash::{SHA256_BYTES, constant_time_eq, hex, hmac_sha256, sha256, unhex},
};

/// What a token is for. Part of its text, so that a token of one kind can never pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// A person's API token without scopes: all that the person may do, on the site's own address.
    ApiToken,
    /// A person's API token that is limited to scopes, on the API gateway.
    ScopedApiToken,
    /// The cookie of a signed-in browser.
    Session,
    /// The hidden field that ties a form to the session and the action it was made for.
    FormToken,
    /// The secret of an OAuth 2.0 client (RFC 6749, section 2.3.1).
    ClientSecret,
    /// An authorization code (RFC 6749, section 4.1.2).
    AuthorizationCode,
    /// An opaque access token (RFC 6749, section 1.4).
    AccessToken,
    /// A refresh token (RFC 6749, section 1.5).
    RefreshToken,
    /// The secret that a Connect app shares with this site.
    ConnectSecret,
    /// The end of an address at which an archive is uploaded.
    UploadAddress,
    /// The end of an address at which the outside reaches an app.
    WebTriggerAddress,
}

impl TokenKind {
    /// Every kind, for lists, scanner patterns and tests.
    pub const ALL: [TokenKind; 11] = [
        TokenKind::ApiToken,
        TokenKind::ScopedApiToken,
        TokenKind::Session,
        TokenKind::FormToken,
        TokenKind::ClientSecret,
        TokenKind::AuthorizationCode,
        TokenKind::AccessToken,
        TokenKind::RefreshToken,
        TokenKind::ConnectSecret,
        TokenKind::UploadAddress,
        TokenKind::WebTriggerAddress,
    ];

    /// The first five characters of every token of this kind. Fixed for ever: tokens in use begin with it.
    pub const fn prefix(self) -> &'static str {
        match self {
            TokenKind::ApiToken => "ptat_",
            TokenKind::ScopedApiToken => "ptst_",
            TokenKind::Session => "ptss_",
            TokenKind::FormToken => "ptft_",
            TokenKind::ClientSecret => "ptcs_",
            TokenKind::AuthorizationCode => "ptac_",
            TokenKind::AccessToken => "ptoa_",
            TokenKind::RefreshToken => "ptrt_",
            TokenKind::ConnectSecret => "ptns_",
            TokenKind::UploadAddress => "ptua_",
            TokenKind::WebTriggerAddress => "ptwt_",
        }
    }

    fn from_prefix(prefix: &[u8]) -> Option<TokenKind> {
        Some(match prefix {
            b"ptat_" => TokenKind::ApiToken,
            b"ptst_" => TokenKind::ScopedApiToken,
            b"ptss_" => TokenKind::Session,
            b"ptft_" => TokenKind::FormToken,
            b"ptcs_" => TokenKind::ClientSecret,
            b"ptac_" => TokenKind::AuthorizationCode,
            b"ptoa_" => TokenKind::AccessToken,
            b"ptrt_" => TokenKind::RefreshToken,
            b"ptns_" => TokenKind::ConnectSecret,
            b"ptua_" => TokenKind::UploadAddress,
            b"ptwt_" => TokenKind::WebTriggerAddress,
            _ => return None,
        })
    }
}

/// Length of every token of every kind, in ASCII characters.
pub const TOKEN_CHARS: usize = PREFIX_CHARS + SECRET_CHARS + CHECKSUM_CHARS;

const PREFIX_CHARS: usize = 5;
const SECRET_CHARS: usize = 3 * WORD_CHARS;
const SECRET_BYTES: usize = 24;
/// Characters that hold any `u64` in base 62: 62^10 < 2^64 < 62^11.
const WORD_CHARS: usize = 11;
/// Characters that hold any `u32` in base 62: 62^5 < 2^32 < 62^6.
const CHECKSUM_CHARS: usize = 6;

/// A token in clear, at the one moment when it is made and shown. Its `Debug` names the kind only; it is wiped when
/// dropped.
pub struct PlainToken {
    kind: TokenKind,
    text: SecretString,
}

impl PlainToken {
    /// A fresh token with 192 random bits.
    pub fn issue(kind: TokenKind, entropy: &dyn Entropy) -> PlainToken {
        PlainToken::from_secret(kind, entropy.array())
    }

    /// The token that follows from a secret and what it is bound to: the same for the same input, and so not kept
    /// anywhere.
    ///
    /// Made for [`TokenKind::FormToken`]: `secret` is the session's own token, `bound_to` the action of the form.
    /// `secret` needs the entropy that a token has, and the result says nothing about it (HMAC-SHA-256 as a
    /// pseudo-random function, RFC 2104).
    pub fn derive(kind: TokenKind, secret: &[u8], bound_to: &[u8]) -> PlainToken {
        let mut message = Vec::with_capacity(PREFIX_CHARS + bound_to.len());
        message.extend_from_slice(kind.prefix().as_bytes());
        message.extend_from_slice(bound_to);
        let mut bytes = [0; SECRET_BYTES];
        for (byte, derived) in bytes.iter_mut().zip(hmac_sha256(secret, &message)) {
            *byte = derived;
        }
        PlainToken::from_secret(kind, bytes)
    }

    /// A fresh token that names its family: 63 bits to find it by, 128 random bits to prove it with.
    pub fn issue_in_family(kind: TokenKind, family: TokenFamily, entropy: &dyn Entropy) -> PlainToken {
        PlainToken::of_family(kind, family, entropy.array())
    }

    /// The token of a family that follows from a secret and what it is bound to, as [`PlainToken::derive`] makes them.
    pub fn derive_in_family(kind: TokenKind, family: TokenFamily, secret: &[u8], bound_to: &[u8]) -> PlainToken {
        let mut message = Vec::with_capacity(PREFIX_CHARS + 8 + bound_to.len());
        message.extend_from_slice(kind.prefix().as_bytes());
        message.extend_from_slice(&family.0.to_be_bytes());
        message.extend_from_slice(bound_to);
        let mut proof = [0; PROOF_BYTES];
        for (byte, derived) in proof.iter_mut().zip(hmac_sha256(secret, &message)) {
            *byte = derived;
        }
        PlainToken::of_family(kind, family, proof)
    }

    fn of_family(kind: TokenKind, family: TokenFamily, proof: [u8; PROOF_BYTES]) -> PlainToken {
        let mut secret = [0; SECRET_BYTES];
        for (byte, from) in secret.iter_mut().zip(family.0.to_be_bytes().into_iter().chain(proof)) {
            *byte = from;
        }
        PlainToken::from_secret(kind, secret)
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text itself: to show it once, to set a cookie, and for nothing else.
    pub fn expose_secret(&self) -> &str {
        self.text.expose_secret()
    }

    /// What is stored in its place.
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(self.expose_secret().as_bytes()))
    }

    /// Whether `presented` is this token, in constant time. For derived tokens; issued ones are found by their hash.
    pub fn matches(&self, presented: &str) -> bool {
        constant_time_eq(self.expose_secret().as_bytes(), presented.as_bytes())
    }

    /// How lists of tokens name it: the prefix and the last four characters, `ptat_…p0aB`. The four belong to the
    /// checksum, so that 160 bits and more stay unknown.
    pub fn hint(&self) -> String {
        let text = self.expose_secret();
        let tail = text.get(TOKEN_CHARS - HINT_CHARS..).unwrap_or_default();
        format!("{}…{tail}", self.kind.prefix())
    }

    fn from_secret(kind: TokenKind, secret: [u8; SECRET_BYTES]) -> PlainToken {
        let mut text = String::with_capacity(TOKEN_CHARS);
        text.push_str(kind.prefix());
        // Three words rather than one number of 192 bits: fixed width, no bias, plain arithmetic.
        for word in secret.as_chunks::<8>().0 {
            push_base62::<WORD_CHARS>(&mut text, u64::from_be_bytes(*word));
        }
        let checksum = crc32(text.as_bytes());
        push_base62::<CHECKSUM_CHARS>(&mut text, checksum.into());
        PlainToken { kind, text: SecretString::from(text) }
    }
}

const HINT_CHARS: usize = 4;
/// Bytes that prove a token of a family.
const PROOF_BYTES: usize = SECRET_BYTES - 8;

/// Finds the family of a token: random, so that nobody guesses another's, and not enough to make a token of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenFamily(u64);

impl TokenFamily {
    /// A fresh one.
    pub fn issue(entropy: &dyn Entropy) -> TokenFamily {
        TokenFamily(u64::from_be_bytes(entropy.array()) >> 1)
    }

    /// The family that a presented token names. [`TokenHash::parse`] has to have taken the text before.
    pub fn of(presented: &str) -> Option<TokenFamily> {
        let digits = presented.as_bytes().get(PREFIX_CHARS..PREFIX_CHARS + WORD_CHARS)?;
        let value =
            digits.iter().try_fold(0u64, |value, digit| value.checked_mul(62)?.checked_add(digit_of(*digit)?))?;
        (value <= u64::MAX >> 1).then_some(TokenFamily(value))
    }

    /// For an integer column; never negative.
    pub fn to_column(self) -> i64 {
        i64::try_from(self.0).unwrap_or_default()
    }

    /// From an integer column.
    pub fn from_column(value: i64) -> Option<TokenFamily> {
        u64::try_from(value).ok().map(TokenFamily)
    }
}

impl fmt::Debug for TokenFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFamily(..)")
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainToken({:?})", self.kind)
    }
}

/// SHA-256 of a token's whole text: what is stored, and what a presented token is looked up by. Equality is
/// constant-time.
///
/// Knowing a hash does not help anyone to make the token, yet it names a credential: it has no `Display`, and `Debug`
/// hides it.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; SHA256_BYTES]);

impl TokenHash {
    /// The door for text that somebody presents. Refuses, before any hashing, what we cannot have issued: wrong length,
    /// unknown prefix, a character outside base 62, a checksum that does not fit.
    pub fn parse(presented: &str) -> Option<(TokenKind, TokenHash)> {
        let text: &[u8; TOKEN_CHARS] = presented.as_bytes().try_into().ok()?;
        let (prefix, _) = text.split_first_chunk::<PREFIX_CHARS>()?;
        let (body, checksum) = text.split_last_chunk::<CHECKSUM_CHARS>()?;
        let kind = TokenKind::from_prefix(prefix)?;
        if unbase62(checksum)? != u64::from(crc32(body)) {
            return None;
        }
        let (_, secret) = body.split_first_chunk::<PREFIX_CHARS>()?;
        if !secret.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        Some((kind, TokenHash(sha256(text))))
    }

    /// For a binary column.
    pub const fn to_bytes(self) -> [u8; SHA256_BYTES] {
        self.0
    }

    /// From a binary column.
    pub const fn from_bytes(bytes: [u8; SHA256_BYTES]) -> TokenHash {
        TokenHash(bytes)
    }

    /// 64 lower-case digits, for a text column.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// From a text column; lower case only.
    pub fn from_hex(text: &str) -> Option<TokenHash> {
        unhex(text).map(TokenHash)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `value` in base 62, most significant digit first, padded with `0` to `CHARS`.
fn push_base62<const CHARS: usize>(text: &mut String, mut value: u64) {
    let mut digits = [b'0'; CHARS];
    for digit in digits.iter_mut().rev() {
        let remainder = value % 62;
        *digit = BASE62.iter().copied().nth(usize::try_from(remainder).unwrap_or_default()).unwrap_or(b'0');
        value /= 62;
    }
    text.extend(digits.map(char::from));
}

fn unbase62(digits: &[u8; CHECKSUM_CHARS]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| Some(value * 62 + digit_of(*digit)?))
}

fn digit_of(letter: u8) -> Option<u64> {
    Some(u64::from(match letter {
        b'0'..=b'9' => letter - b'0',
        b'A'..=b'Z' => letter - b'A' + 10,
        b'a'..=b'z' => letter - b'a' + 36,
        _ => return None,
    }))
}

/// CRC-32 as in zlib and ISO 3309, a table of 256 steps made at compile time.
fn crc32(bytes: &[u8]) -> u32 {
    let update = |crc: u32, byte: &u8| {
        let index = usize::from(crc.to_le_bytes()[0] ^ byte);
        crc >> 8 ^ CRC_TABLE.get(index).copied().unwrap_or_default()
    };
    !bytes.iter().fold(u32::MAX, update)
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, where a panic stops the build"
)]
const CRC_TABLE: [u32; 256] = {
    const REVERSED_POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ REVERSED_POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::SeededEntropy;

    fn issued(kind: TokenKind) -> PlainToken {
        PlainToken::issue(kind, &SeededEntropy::new(1))
    }

    #[test]
    fn every_kind_is_recognised_and_hashes_to_what_was_stored() {
        let entropy = SeededEntropy::new(5);
        for kind in TokenKind::ALL {
            let token = PlainToken::issue(kind, &entropy);
            assert_eq!(TokenHash::parse(token.expose_secret()), Some((kind, token.hash())));
            assert_eq!(token.expose_secret().len(), TOKEN_CHARS);
            assert!(token.expose_secret().starts_with(kind.prefix()));
        }
    }

    #[test]
    fn prefixes_are_distinct_and_fixed() {
        let prefixes: Vec<_> = TokenKind::ALL.map(TokenKind::prefix).into();
        assert_eq!(
            prefixes,
            ["ptat_", "ptst_", "ptss_", "ptft_", "ptcs_", "ptac_", "ptoa_", "ptrt_", "ptns_", "ptua_", "ptwt_"]
        );
    }

    #[test]
    fn text_of_a_seeded_token_does_not_change_between_releases() {
        // The checksum was computed with zlib.
        let token = PlainToken::from_secret(TokenKind::ApiToken, [0xff; SECRET_BYTES]);
        assert_eq!(token.expose_secret(), format!("ptat_{}{}", "LygHa16AHYF".repeat(3), "3mdERV"));
        let token = PlainToken::from_secret(TokenKind::Session, [0; SECRET_BYTES]);
        assert!(token.expose_secret().starts_with("ptss_000000000000000000000000000000000"));
    }

    #[test]
    fn thousands_of_tokens_are_all_different() {
        let entropy = SeededEntropy::new(42);
        let texts: HashSet<String> =
            (0..5_000).map(|_| PlainToken::issue(TokenKind::Session, &entropy).expose_secret().to_owned()).collect();
        assert_eq!(texts.len(), 5_000);
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = issued(TokenKind::ApiToken);
        for position in 0..TOKEN_CHARS {
            for replacement in ['0', 'z', 'Q', '_', ' ', '\n', '\0'] {
                let mut text: Vec<char> = token.expose_secret().chars().collect();
                if text[position] == replacement {
                    continue;
                }
                text[position] = replacement;
                let text: String = text.into_iter().collect();
                assert_eq!(TokenHash::parse(&text), None, "`{text}`");
            }
        }
    }

    #[test]
    fn swapped_neighbours_are_refused() {
        let token = issued(TokenKind::ScopedApiToken);
        for position in 1..TOKEN_CHARS {
            let mut text = token.expose_secret().as_bytes().to_vec();
            text.swap(position - 1, position);
            let text = String::from_utf8(text).unwrap();
            assert!(text == token.expose_secret() || TokenHash::parse(&text).is_none(), "`{text}`");
        }
    }

    #[test]
    fn a_token_of_one_kind_cannot_be_relabelled_as_another() {
        let token = issued(TokenKind::ScopedApiToken);
        let relabelled = token.expose_secret().replace("ptst_", "ptat_");
        assert_eq!(TokenHash::parse(&relabelled), None);
    }

    #[test]
    fn a_matching_checksum_does_not_admit_other_characters() {
        for odd in ["-", "_", " ", "\u{1}", "é"] {
            let body = format!("ptat_{:0<33}", odd).into_bytes().into_iter().take(38).collect();
            let mut text = String::from_utf8(body).unwrap();
            let checksum = crc32(text.as_bytes());
            push_base62::<CHECKSUM_CHARS>(&mut text, checksum.into());
            assert_eq!(text.len(), TOKEN_CHARS);
            assert_eq!(TokenHash::parse(&text), None, "`{text}`");
        }
    }

    #[test]
    fn other_lengths_and_junk_are_refused() {
        let token = issued(TokenKind::ApiToken);
        let text = token.expose_secret();
        for junk in [
            "",
            "ptat_",
            "Bearer",
            "ééééééééééééééééééééééé",
            &text[1..],
            &text[..43],
            &format!("{text}0"),
            &format!(" {text}"),
        ] {
            assert_eq!(TokenHash::parse(junk), None, "`{junk}`");
        }
        assert_eq!(TokenHash::parse(&"\u{7f}".repeat(TOKEN_CHARS)), None);
        assert_eq!(TokenHash::parse(&"z".repeat(1 << 20)), None);
    }

    #[test]
    fn a_token_names_its_family_and_nobody_guesses_another_of_it() {
        let entropy = SeededEntropy::new(9);
        let family = TokenFamily::issue(&entropy);
        let first = PlainToken::issue_in_family(TokenKind::RefreshToken, family, &entropy);
        let second =
            PlainToken::derive_in_family(TokenKind::RefreshToken, family, b"key", first.expose_secret().as_bytes());
        let again =
            PlainToken::derive_in_family(TokenKind::RefreshToken, family, b"key", first.expose_secret().as_bytes());
        let other =
            PlainToken::derive_in_family(TokenKind::RefreshToken, family, b"yek", first.expose_secret().as_bytes());
        assert_eq!(second.expose_secret(), again.expose_secret());
        assert_ne!(second.expose_secret(), other.expose_secret());
        for token in [&first, &second, &other] {
            assert!(TokenHash::parse(token.expose_secret()).is_some());
            assert_eq!(TokenFamily::of(token.expose_secret()), Some(family));
        }
        assert_eq!(TokenFamily::from_column(family.to_column()), Some(family));
        assert_eq!(TokenFamily::of("ptrt_zzzzzzzzzzz"), None);
    }

    #[test]
    fn hash_survives_both_columns() {
        let hash = issued(TokenKind::ApiToken).hash();
        assert_eq!(TokenHash::from_bytes(hash.to_bytes()), hash);
        assert_eq!(TokenHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(TokenHash::from_hex(&hash.to_hex().to_uppercase()), None);
        assert_ne!(hash, issued(TokenKind::Session).hash());
    }

    #[test]
    fn hint_shows_kind_and_four_characters() {
        let token = issued(TokenKind::ApiToken);
        assert_eq!(token.hint(), format!("ptat_…{}", &token.expose_secret()[40..]));
    }

    #[test]
    fn debug_shows_neither_token_nor_hash() {
        let token = issued(TokenKind::RefreshToken);
        assert_eq!(format!("{token:?} {:?}", token.hash()), "PlainToken(RefreshToken) TokenHash(..)");
    }

    #[test]
    fn derived_token_depends_on_secret_binding_and_kind() {
        let derive = |secret: &[u8], bound_to: &[u8]| PlainToken::derive(TokenKind::FormToken, secret, bound_to);
        let token = derive(b"session", b"revoke");
        assert!(token.matches(derive(b"session", b"revoke").expose_secret()));
        assert!(TokenHash::parse(token.expose_secret()).is_some());
        assert!(!token.matches(derive(b"session", b"install").expose_secret()));
        assert!(!token.matches(derive(b"other", b"revoke").expose_secret()));
        assert!(!token.matches(PlainToken::derive(TokenKind::Session, b"session", b"revoke").expose_secret()));
        assert!(!token.matches(""));
    }

    #[test]
    fn checksum_is_the_common_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
