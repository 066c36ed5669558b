//! Passwords: argon2id (RFC 9106), kept as PHC strings.

use std::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use crate::{Entropy, hash::constant_time_eq};

/// A password of acceptable length. Wiped when dropped, never shown.
///
/// Characters are free, spaces and emoji included, and nothing is trimmed (NIST SP 800-63B-4, section 3.1.1.2). Length
/// is counted in Unicode scalar values.
pub struct Password(SecretString);

/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Most characters of a password: generous to passphrases, and a bound on what a stranger can make us hash.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Why a text cannot be a password. Written to be shown to the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    #[error("a password needs at least {PASSWORD_CHARS_MIN} characters")]
    TooShort,
    /// More than [`PASSWORD_CHARS_MAX`] characters.
    #[error("a password can have at most {PASSWORD_CHARS_MAX} characters")]
    TooLong,
}

impl Password {
    /// The door for both a new password and one that is presented. At sign-in a refusal here answers before any work is
    /// done, which tells the caller about the text they typed and nothing about the account; answer it like a wrong
    /// password all the same.
    ///
    /// # Errors
    /// If the text is shorter or longer than a password may be.
    pub fn parse(text: &str) -> Result<Password, PasswordError> {
        // One more than the bound is enough to know, however long the text.
        match text.chars().take(PASSWORD_CHARS_MAX + 1).count() {
            0..PASSWORD_CHARS_MIN => Err(PasswordError::TooShort),
            PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => Ok(Password(SecretString::from(text))),
            _ => Err(PasswordError::TooLong),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Hashes passwords at one cost and checks them, with equal work whether or not the account exists.
///
/// Either call takes tens of milliseconds and [`PasswordCost::memory_kib`] of memory. Run it on a blocking thread, and
/// bound how many run at once: that bound times the memory is what strangers at the sign-in page can make the server
/// use.
pub struct Passwords {
    cost: PasswordCost,
    /// Stands in for the hash of an account that does not exist.
    nobody: PasswordHash,
}

/// Proof that a password was right.
#[derive(Debug)]
pub struct PasswordVerified {
    cost_changed: bool,
}

impl PasswordVerified {
    /// Whether the stored hash was made at another cost than new ones are: hash the password again and store that.
    pub fn wants_rehash(&self) -> bool {
        self.cost_changed
    }
}

/// The password is wrong, or there is no such account: one answer for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong password")]
pub struct WrongPassword;

/// The hash could not be computed, for want of memory or of a usable cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password could not be hashed")]
pub struct HashPasswordError(#[source] argon2::Error);

impl Passwords {
    /// New hashes are made at `cost`; stored ones are checked at their own.
    pub fn new(cost: PasswordCost) -> Passwords {
        let nobody = PasswordHash { cost, salt: Box::new([0; SALT_BYTES]), digest: [0; DIGEST_BYTES] };
        Passwords { cost, nobody }
    }

    /// Hashes a new password under a fresh salt.
    ///
    /// # Errors
    /// If argon2 refuses.
    pub fn hash(&self, password: &Password, entropy: &dyn Entropy) -> Result<PasswordHash, HashPasswordError> {
        let salt: [u8; SALT_BYTES] = entropy.array();
        let digest = argon2id(password, &salt, self.cost).map_err(HashPasswordError)?;
        Ok(PasswordHash { cost: self.cost, salt: Box::new(salt), digest })
    }

    /// Checks a presented password. `stored` is `None` when there is no such account or it has no password: the same
    /// work is done, and the answer is no. (The work of today's cost: a hash from before a change of cost stands out by
    /// its time until its owner signs in and it is made anew.)
    ///
    /// # Errors
    /// Unless the password is right.
    pub fn verify(
        &self,
        password: &Password,
        stored: Option<&PasswordHash>,
    ) -> Result<PasswordVerified, WrongPassword> {
        let against = stored.unwrap_or(&self.nobody);
        let digest = argon2id(password, &against.salt, against.cost).map_err(|_| WrongPassword)?;
        // Evaluated in this order so that the comparison is made in either case.
        let equal = constant_time_eq(&digest, &against.digest);
        match stored {
            Some(stored) if equal => Ok(PasswordVerified { cost_changed: stored.cost != self.cost }),
            _ => Err(WrongPassword),
        }
    }
}

fn argon2id(password: &Password, salt: &[u8], cost: PasswordCost) -> Result<[u8; DIGEST_BYTES], argon2::Error> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(DIGEST_BYTES))?;
    let mut digest = [0; DIGEST_BYTES];
    let password = password.0.expose_secret().as_bytes();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut digest)?;
    Ok(digest)
}

const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// How much work a guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PasswordCost {
    /// 19 MiB, two passes, one lane: the minimum for argon2id in OWASP's Password Storage Cheat Sheet.
    pub const OWASP: PasswordCost = PasswordCost { memory_kib: 19_456, passes: 2, lanes: 1 };

    /// As little work as argon2 can do. For tests that sign in a thousand times; protects nothing.
    pub const WEAK_FOR_TESTS: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };

    /// Memory of one computation.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    // The upper bounds keep whoever can write a row from choosing how long a sign-in takes.
    fn parse(memory_kib: u32, passes: u32, lanes: u32) -> Option<PasswordCost> {
        let within = (8..=MEMORY_KIB_MAX).contains(&memory_kib)
            && (1..=PASSES_MAX).contains(&passes)
            && (1..=LANES_MAX).contains(&lanes)
            && memory_kib >= 8 * lanes;
        within.then_some(PasswordCost { memory_kib, passes, lanes })
    }
}

const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// The stored form of a password, as the PHC string `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`.
///
/// Holds all that an offline guesser needs, so it has no `Display` and its `Debug` hides it;
/// [`PasswordHash::expose_phc`] is for the database.
#[derive(Clone)]
pub struct PasswordHash {
    cost: PasswordCost,
    salt: Box<[u8]>,
    digest: [u8; DIGEST_BYTES],
}

/// Not a password hash that we could have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an argon2id hash in the form that is stored here")]
pub struct InvalidPasswordHash;

impl PasswordHash {
    /// The text to store.
    pub fn expose_phc(&self) -> String {
        let PasswordCost { memory_kib, passes, lanes } = self.cost;
        let (salt, digest) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(self.digest));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${digest}")
    }

    fn parse(text: &str) -> Option<PasswordHash> {
        let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (cost, salt, digest) = (fields.next()?, fields.next()?, fields.next()?);

        let mut numbers = cost.split(',');
        let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let cost = PasswordCost::parse(number("m=")?, number("t=")?, number("p=")?)?;

        let salt = STANDARD_NO_PAD.decode(salt).ok()?;
        if !(SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len()) {
            return None;
        }
        let digest = STANDARD_NO_PAD.decode(digest).ok()?.try_into().ok()?;
        Some(PasswordHash { cost, salt: salt.into(), digest })
    }
}

// Ours have 16; other lengths are for hashes that were made elsewhere and moved here.
const SALT_BYTES_MIN: usize = 8;
const SALT_BYTES_MAX: usize = 48;

impl FromStr for PasswordHash {
    type Err = InvalidPasswordHash;

    /// Accepts the canonical text only: argon2id, version 19, a 32-byte digest, a cost within our bounds, nothing after
    /// it.
    fn from_str(text: &str) -> Result<PasswordHash, InvalidPasswordHash> {
        let hash = PasswordHash::parse(text).ok_or(InvalidPasswordHash)?;
        // Leading zeros, plus signs and further fields would survive the parser; they do not survive this.
        if hash.expose_phc() == text { Ok(hash) } else { Err(InvalidPasswordHash) }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn quick() -> Passwords {
        Passwords::new(PasswordCost::WEAK_FOR_TESTS)
    }

    fn stored(text: &str) -> PasswordHash {
        quick().hash(&password(text), &SeededEntropy::new(1)).unwrap()
    }

    #[test]
    fn hashes_of_the_reference_implementation_verify() {
        // From test.c of the reference implementation, https://github.com/P-H-C/phc-winner-argon2
        for phc in [
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=262144,t=2,p=1$c29tZXNhbHQ$eP4eyR+zqlZX1y5xCFTkw9m5GYx0L5YWwvCFvtlbLow",
        ] {
            let stored: PasswordHash = phc.parse().unwrap();
            assert!(quick().verify(&password("password"), Some(&stored)).is_ok());
            assert_eq!(quick().verify(&password("sassword"), Some(&stored)).unwrap_err(), WrongPassword);
        }
    }

    #[test]
    fn right_password_verifies_after_a_round_trip_through_the_database() {
        let read: PasswordHash = stored("correct horse").expose_phc().parse().unwrap();
        let verified = quick().verify(&password("correct horse"), Some(&read)).unwrap();
        assert!(!verified.wants_rehash());
    }

    #[test]
    fn near_misses_are_wrong() {
        let stored = stored("correct horse");
        for miss in ["correct hors", "correct horsE", " correct horse", "correct horse ", "correct horse\0"] {
            assert_eq!(quick().verify(&password(miss), Some(&stored)).unwrap_err(), WrongPassword, "`{miss}`");
        }
    }

    #[test]
    fn nobody_has_no_password() {
        assert_eq!(quick().verify(&password("correct horse"), None).unwrap_err(), WrongPassword);
    }

    #[test]
    fn work_for_nobody_is_work_at_the_present_cost() {
        assert_eq!(Passwords::new(PasswordCost::OWASP).nobody.cost, PasswordCost::OWASP);
    }

    #[test]
    fn a_hash_at_another_cost_still_verifies_and_asks_for_a_new_one() {
        let dearer = Passwords::new(PasswordCost { memory_kib: 64, passes: 2, lanes: 1 });
        assert!(dearer.verify(&password("correct horse"), Some(&stored("correct horse"))).unwrap().wants_rehash());
    }

    #[test]
    fn same_password_twice_has_two_hashes() {
        let entropy = SeededEntropy::new(3);
        let hash = || quick().hash(&password("correct horse"), &entropy).unwrap().expose_phc();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn owasp_cost_is_what_the_stored_text_says() {
        let hash =
            Passwords::new(PasswordCost::OWASP).hash(&password("correct horse"), &SeededEntropy::new(1)).unwrap();
        assert!(hash.expose_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn length_is_counted_in_characters() {
        let outcome = |text: &str| Password::parse(text).map(|_| ());
        assert_eq!(outcome("1234567"), Err(PasswordError::TooShort));
        assert_eq!(outcome("12345678"), Ok(()));
        assert_eq!(outcome("пароль12"), Ok(()));
        assert_eq!(outcome(&"🔑".repeat(7)), Err(PasswordError::TooShort));
        assert_eq!(outcome(&"🔑".repeat(256)), Ok(()));
        assert_eq!(outcome(&"a".repeat(257)), Err(PasswordError::TooLong));
        assert_eq!(outcome(&"a".repeat(1 << 22)), Err(PasswordError::TooLong));
        assert_eq!(PasswordError::TooShort.to_string(), "a password needs at least 8 characters");
    }

    #[test]
    fn other_spellings_and_other_schemes_are_refused() {
        let salt_and_digest = "c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for head in [
            "$argon2i$v=19$m=64,t=2,p=1$",
            "$argon2d$v=19$m=64,t=2,p=1$",
            "$argon2id$v=16$m=64,t=2,p=1$",
            "$argon2id$m=64,t=2,p=1$",
            "$argon2id$v=19$m=064,t=2,p=1$",
            "$argon2id$v=19$m=+64,t=2,p=1$",
            "$argon2id$v=19$t=2,m=64,p=1$",
            "$argon2id$v=19$m=64,t=2$",
            "$argon2id$v=19$m=64,t=2,p=1,keyid=AA$",
            "$argon2id$v=19$m=7,t=2,p=1$",
            "$argon2id$v=19$m=8,t=2,p=2$",
            "$argon2id$v=19$m=64,t=0,p=1$",
            "$argon2id$v=19$m=64,t=2,p=0$",
            "$argon2id$v=19$m=4294967295,t=2,p=1$",
            "$argon2id$v=19$m=64,t=4294967295,p=1$",
            "$argon2id$v=19$m=64,t=2,p=4294967295$",
        ] {
            let text = format!("{head}{salt_and_digest}");
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), InvalidPasswordHash, "`{text}`");
        }
        for tail in [
            "",
            "c29tZXNhbHQ",
            "c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "c29tZXNhbHQ$CTFh",
            "c29tZXNhbHQ=$",
            "$",
        ] {
            let text = format!("$argon2id$v=19$m=64,t=2,p=1${tail}");
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), InvalidPasswordHash, "`{text}`");
        }
        let extended = format!("$argon2id$v=19$m=64,t=2,p=1${salt_and_digest}$x");
        assert!(extended.parse::<PasswordHash>().is_err());
        assert!("".parse::<PasswordHash>().is_err());
    }

    #[test]
    fn debug_shows_neither_password_nor_hash() {
        assert_eq!(
            format!("{:?} {:?}", password("correct horse"), stored("correct horse")),
            "Password(..) PasswordHash(..)"
        );
    }
}
