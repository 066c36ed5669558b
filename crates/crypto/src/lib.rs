//! Tokens, passwords and sealed secrets: the one crate that calls a cipher.
//!
//! Everything here is a function of its arguments. There is no clock, no global state and no hidden random source:
//! whoever needs random bytes passes an [`Entropy`], so that the same seed gives the same bytes. An input that cannot
//! be right is refused; nothing panics on it.
//!
//! | secret | kept as | checked with |
//! |---|---|---|
//! | a token that we issue ([`PlainToken`]) | [`TokenHash`] | [`TokenHash::parse`], then a look-up by hash |
//! | a password that a person chose ([`Password`]) | [`PasswordHash`] | [`Passwords::verify`] |
//! | a secret that we need again in full | bytes from [`SealingKeys::seal`] | [`SealingKeys::open`] |
//! | state that travels through other hands | text from [`SealingKeys::seal_to_text`] | [`SealingKeys::open_text`] |
#![deny(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::cast_possible_truncation
)]

pub mod entropy;
pub mod guest;
pub mod hash;
pub mod jws;
pub mod password;
pub mod seal;
pub mod token;
pub mod totp;

pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use hash::{constant_time_eq, hex, hmac_sha256, sha256};
pub use password::{Password, PasswordCost, PasswordHash, Passwords};
pub use seal::{KeyId, Purpose, SealingKey, SealingKeys};
pub use secrecy::{ExposeSecret, SecretSlice};
pub use token::{PlainToken, TokenFamily, TokenHash, TokenKind};
pub use totp::Totp;
