//! Passwords, which come in a form: checked outside any transaction, because hashing takes its time on purpose. Where the account
//! has a second factor, its code is asked for after that.

use std::net::IpAddr;

use portcullis_crypto::{Password, PasswordCost, PasswordHash, Passwords};
use portcullis_model::{Problem, UserId};

use super::second_factor::{Code, Factor, Proof};
use crate::caller::Caller;
use crate::enter::Guard;
use crate::input::Input;

/// What was proven in vain, or not yet in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// Nothing was shown: the page has to ask first.
    NotTried,
    /// The password is not this account's, or there is no such account: one answer, after equal work.
    Wrong,
    /// Too many failures; not even looked at. Seconds to wait.
    Throttled(u32),
    /// The password was right, and the account has a second factor. The text is to come back with its code, within five minutes.
    CodeNeeded(String),
    /// The code is none of the account's, or was used before. With the text to come back with once more.
    WrongCode(String),
}

impl SignIn {
    /// The word for the audit log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            SignIn::NotTried | SignIn::CodeNeeded(_) => "not_proven_yet",
            SignIn::Wrong => "wrong_password",
            SignIn::Throttled(_) => "too_many_failures",
            SignIn::WrongCode(_) => "wrong_code",
        }
    }

    /// Whether somebody tried and failed.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(self, SignIn::NotTried | SignIn::CodeNeeded(_))
    }
}

/// What is stored about how an account proves itself.
pub(crate) struct Stored {
    pub user: UserId,
    pub hash: Option<PasswordHash>,
    pub factor: Option<Factor>,
}

/// Sign-ins hashed at once; each takes 19 MiB.
pub(crate) const HASHES_AT_ONCE_MAX: usize = 4;
/// Sign-ins that wait for their turn; more are asked to come again, so that a flood does not become a queue of minutes.
pub(crate) const HASHES_WAITING_MAX: usize = 100;

/// Who was proven and the policy revision at which that was read; or how far it went.
pub(crate) type Checked = Result<(Proof, i64), SignIn>;

impl Guard {
    /// Checks the form fields `email`, `password` and `code`; or `ticket` and `code`, the answer to [`SignIn::CodeNeeded`].
    ///
    /// # Errors
    /// The database's; 503 when the hashing cannot run.
    pub(crate) async fn verify_sign_in(&self, input: &Input, address: Option<IpAddr>) -> Result<Checked, Problem> {
        let code = input.form("code").unwrap_or_default();
        if let Some(ticket) = input.form("ticket") {
            let Some((user, at)) = self.open_ticket(ticket) else { return Ok(Err(SignIn::Wrong)) };
            let (stored, _) = self.stored_of_user(user).await?;
            return match stored {
                Some(stored) => self.verify_code(&stored, code, at).await,
                None => Ok(Err(SignIn::Wrong)),
            };
        }
        let email = input.form("email").unwrap_or_default().trim().to_lowercase();
        let password = input.form("password").unwrap_or_default();
        match self.verify_password(&email, password, address).await? {
            Ok((stored, at)) => self.verify_code(&stored, code, at).await,
            Err(failed) => Ok(Err(failed)),
        }
    }

    /// Checks the form fields `confirm_password` and `confirm_code` of a person who is signed in.
    ///
    /// # Errors
    /// The database's; 503 when the hashing cannot run.
    pub(crate) async fn verify_again(&self, caller: &Caller, input: &Input) -> Result<Checked, Problem> {
        let Some(password) = input.form("confirm_password").filter(|text| !text.is_empty()) else {
            return Ok(Err(SignIn::NotTried));
        };
        let email = self.with_snapshot(|snapshot| {
            let person = caller.user.filter(|_| caller.session.is_some()).and_then(|user| snapshot.person(user));
            person.and_then(|person| person.email_folded.clone())
        });
        let (stored, at) = match self.verify_password(&email.unwrap_or_default(), password, caller.address).await? {
            Ok((stored, at)) if Some(stored.user) == caller.user => (stored, at),
            Ok(_) => return Ok(Err(SignIn::Wrong)),
            Err(failed) => return Ok(Err(failed)),
        };
        self.verify_code(&stored, input.form("confirm_code").unwrap_or_default(), at).await
    }

    async fn verify_password(
        &self,
        email: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Result<(Stored, i64), SignIn>, Problem> {
        if let Err(seconds) = self.throttle_begin(address, email) {
            return Ok(Err(SignIn::Throttled(seconds)));
        }
        let Ok(password) = Password::parse(password) else { return Ok(Err(SignIn::Wrong)) };
        let permit = self.hashing_permit().await?;
        let (stored, at) = self.stored_of_email(email).await?;
        let hash = stored.as_ref().and_then(|stored| stored.hash.clone());
        let verified = tokio::task::spawn_blocking(move || {
            // The place is given back when the work is done, not when the caller goes away.
            let _permit = permit;
            Passwords::new(PasswordCost::OWASP).verify(&password, hash.as_ref()).is_ok()
        })
        .await
        .map_err(Problem::bug)?;
        if verified {
            self.throttle_succeeded(address, email);
        }
        Ok(stored.filter(|_| verified).map(|stored| (stored, at)).ok_or(SignIn::Wrong))
    }

    async fn verify_code(&self, stored: &Stored, code: &str, at: i64) -> Result<Checked, Problem> {
        let user = stored.user;
        let Some(factor) = &stored.factor else { return Ok(Ok((Proof { user, code: Code::NotAsked }, at))) };
        let ticket = self.ticket(user, at).ok_or_else(|| Problem::bug("a ticket could not be sealed"))?;
        if code.trim().is_empty() {
            return Ok(Err(SignIn::CodeNeeded(ticket)));
        }
        if let Err(seconds) = self.throttle_begin_code(user) {
            return Ok(Err(SignIn::Throttled(seconds)));
        }
        let Some(code) = self.read_code(user, factor, code.trim(), self.now()).await? else {
            return Ok(Err(SignIn::WrongCode(ticket)));
        };
        self.throttle_code_succeeded(user);
        Ok(Ok((Proof { user, code }, at)))
    }
}
