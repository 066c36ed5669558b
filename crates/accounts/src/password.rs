//! Hashing of new passwords, on a blocking thread and never many at once.

use portcullis_crypto::{Entropy, Password, PasswordCost, PasswordHash, Passwords};
use portcullis_model::Problem;
use tokio::sync::Semaphore;

/// New passwords hashed at once. Apart from the bound on sign-ins, so that strangers at the sign-in page cannot hold up an
/// administrator, whose transaction is open meanwhile.
const HASHES_AT_ONCE_MAX: usize = 2;
static HASHING: Semaphore = Semaphore::const_new(HASHES_AT_ONCE_MAX);

/// The door for a new password.
///
/// # Errors
/// 400 in words for the person who typed it.
pub fn parse(text: &str) -> Result<Password, Problem> {
    Password::parse(text).map_err(|error| Problem::field("password", format!("{error}.")))
}

/// Hashes a new password; the text to store.
///
/// # Errors
/// 500 when there is no memory for it.
pub async fn hash(password: Password, entropy: &dyn Entropy) -> Result<PasswordHash, Problem> {
    let drawn = Drawn(entropy.array());
    let permit = HASHING.acquire().await.map_err(Problem::bug)?;
    let work = move || {
        // The place is given back when the work is done, not when the caller goes away.
        let _permit = permit;
        Passwords::new(PasswordCost::OWASP).hash(&password, &drawn)
    };
    tokio::task::spawn_blocking(work).await.map_err(Problem::bug)?.map_err(Problem::bug)
}

/// Bytes drawn beforehand, because the source does not travel to the blocking thread. More than a salt needs.
struct Drawn([u8; 64]);

impl Entropy for Drawn {
    fn fill(&self, bytes: &mut [u8]) {
        // INVARIANT: asked once, for a salt of 16 bytes. A longer wish would repeat what was drawn.
        for (place, byte) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *place = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{hash, parse};
    use portcullis_crypto::{PasswordCost, Passwords, SeededEntropy};

    #[tokio::test]
    async fn hashed_password_verifies() {
        let stored = hash(parse("correct horse").unwrap(), &SeededEntropy::new(1)).await.unwrap();
        let again = stored.expose_phc().parse().unwrap();
        let passwords = Passwords::new(PasswordCost::OWASP);
        assert!(passwords.verify(&parse("correct horse").unwrap(), Some(&again)).is_ok());
        assert!(passwords.verify(&parse("correct horsf").unwrap(), Some(&again)).is_err());
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(parse("short").is_err());
    }
}
