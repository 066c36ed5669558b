//! Passwords, which come in a form: checked outside any transaction, because hashing takes its time on purpose.

use portcullis_crypto::{Password, PasswordCost, Passwords};
use portcullis_model::{Problem, UserId};

use crate::enter::Guard;
use crate::input::Input;
use crate::snapshot::Snapshot;

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

impl Guard {
    /// Checks the form fields `email` and `password`.
    ///
    /// # Errors
    /// The database's; 503 when the hashing cannot run.
    pub async fn verify_sign_in(&self, input: &Input, address: Option<std::net::IpAddr>) -> Result<SignIn, Problem> {
        let email = input.form("email").unwrap_or_default().trim().to_lowercase();
        if let Some(seconds) = self.throttle_check(address, &email) {
            return Ok(SignIn::Throttled(seconds));
        }
        let user = self.with_snapshot(|snapshot: &Snapshot| {
            snapshot.user_by_email(&email).filter(|user| snapshot.policy.user(*user).is_some_and(|facts| facts.active))
        });
        let hash = match user {
            Some(user) => self.password_hash(user).await?,
            None => None,
        };
        let Ok(password) = Password::parse(input.form("password").unwrap_or_default()) else {
            self.throttle_note(address, &email, false);
            return Ok(SignIn::Wrong);
        };
        let _permit = self.hashing_permit().await?;
        let verified = tokio::task::spawn_blocking(move || {
            Passwords::new(PasswordCost::OWASP).verify(&password, hash.as_ref()).is_ok()
        })
        .await
        .map_err(Problem::bug)?;
        self.throttle_note(address, &email, verified);
        Ok(match user.filter(|_| verified) {
            Some(user) => SignIn::Proven(user),
            None => SignIn::Wrong,
        })
    }
}
