//! Passwords, which come in a form: checked outside any transaction, because hashing takes its time on purpose.

use portcullis_crypto::{Password, PasswordCost, Passwords};
use portcullis_model::{Problem, UserId};

use crate::enter::Guard;
use crate::input::Input;

/// What a sign-in attempt proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The password is this account's.
    Proven(UserId),
    /// It is not, or there is no such account: one answer, after equal work.
    Wrong,
    /// Too many failures; not even looked at. Seconds to wait.
    Throttled(u32),
}

/// Sign-ins hashed at once; each takes 19 MiB.
pub(crate) const HASHES_AT_ONCE_MAX: usize = 4;
/// Sign-ins that wait for their turn; more are asked to come again, so that a flood does not become a queue of minutes.
pub(crate) const HASHES_WAITING_MAX: usize = 100;

impl Guard {
    /// Checks the form fields `email` and `password`, as they stand at the policy revision that is returned.
    ///
    /// # Errors
    /// The database's; 503 when the hashing cannot run.
    pub(crate) async fn verify_sign_in(
        &self,
        input: &Input,
        address: Option<std::net::IpAddr>,
    ) -> Result<(SignIn, i64), Problem> {
        let email = input.form("email").unwrap_or_default().trim().to_lowercase();
        if let Err(seconds) = self.throttle_begin(address, &email) {
            return Ok((SignIn::Throttled(seconds), 0));
        }
        let Ok(password) = Password::parse(input.form("password").unwrap_or_default()) else {
            return Ok((SignIn::Wrong, 0));
        };
        let permit = self.hashing_permit().await?;
        let (facts, at) = self.sign_in_facts(&email).await?;
        let (user, hash) = facts.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let verified = tokio::task::spawn_blocking(move || {
            // The place is given back when the work is done, not when the caller goes away.
            let _permit = permit;
            Passwords::new(PasswordCost::OWASP).verify(&password, hash.as_ref()).is_ok()
        })
        .await
        .map_err(Problem::bug)?;
        if verified {
            self.throttle_succeeded(address, &email);
        }
        Ok(match user.filter(|_| verified) {
            Some(user) => (SignIn::Proven(user), at),
            None => (SignIn::Wrong, at),
        })
    }
}
