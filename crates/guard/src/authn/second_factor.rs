//! Second factors: a code of an authenticator app, or one of the codes kept for the day the phone is lost. Each counts once.
//!
//! WHO has to have one is the site's setting; whoever has one is asked for it at every sign-in and every fresh proof.

use portcullis_crypto::{Purpose, Totp, sha256};
use portcullis_model::{Problem, Timestamp, UserId};

use crate::enter::Guard;
use crate::snapshot::Snapshot;

/// Seals the secret of a second factor; bound to the account's id.
pub const SECOND_FACTOR: Purpose = Purpose::new("second factor");
/// Seals that a password was right, for the page that asks for the code.
const PASSWORD_WAS_RIGHT: Purpose = Purpose::new("password was right");
/// How long a person may take to type the code.
const TICKET_MS: i64 = 5 * 60_000;
/// A proof that is older counts no more for what asks for a fresh one.
pub const FRESH_MS: i64 = 15 * 60_000;

/// What is stored of a second factor.
pub(crate) struct Factor {
    pub sealed: Vec<u8>,
    pub last_step: i64,
}

/// What a code turned out to be; not used up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The account has no second factor.
    NotAsked,
    /// The authenticator app's, of this time step.
    Step(i64),
    /// A recovery code, by its hash.
    Recovery([u8; 32]),
}

/// Who has just been proven, and by what. Whoever stores something for that account first uses the code up, in the same transaction:
/// `accounts::second_factor::redeem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub(crate) user: UserId,
    pub(crate) code: Code,
}

impl Proof {
    /// The account and the code, which may have been used by somebody else meanwhile.
    pub fn unredeemed(self) -> (UserId, Code) {
        (self.user, self.code)
    }
}

/// The hash under which a recovery code of an account is kept. Capitals, spaces and hyphens are left out of account.
pub fn recovery_code_hash(user: UserId, code: &str) -> [u8; 32] {
    let plain: String = code.chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
    sha256(format!("{}:{}", user.0, plain.to_ascii_lowercase()).as_bytes())
}

/// Whether an account has to have a second factor and has none.
pub(crate) fn is_missing(snapshot: &Snapshot, user: UserId) -> bool {
    snapshot.second_factor_required(user) && !snapshot.person(user).is_some_and(|person| person.second_factor)
}

impl Guard {
    /// Looks at a code; `None` when it is none, or one that was used.
    ///
    /// # Errors
    /// The database's; 500 when the stored secret does not open, which proves nobody.
    pub(crate) async fn read_code(
        &self,
        user: UserId,
        factor: &Factor,
        code: &str,
        now: Timestamp,
    ) -> Result<Option<Code>, Problem> {
        let now_s = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let opened = self.keys().open(&factor.sealed, SECOND_FACTOR, &user.0.to_be_bytes());
        let totp = Totp::of(&opened.map_err(Problem::bug)?).map_err(Problem::bug)?;
        let step = totp.step_of(code, now_s);
        if let Some(step) = step.and_then(|step| i64::try_from(step).ok()) {
            return Ok((step > factor.last_step).then_some(Code::Step(step)));
        }
        let hash = recovery_code_hash(user, code);
        let mut tx = self.store().read().await?;
        let sql = "SELECT 1 FROM account_recovery_code WHERE user_id = $1 AND hash = $2";
        let found = tx.query_opt(sql, &[user.0.into(), hash.to_vec().into()]).await?.is_some();
        tx.finish().await?;
        Ok(found.then_some(Code::Recovery(hash)))
    }

    /// Says that an account's password was right, to whoever shows it within five minutes with a code.
    pub(crate) fn ticket(&self, user: UserId, at: i64) -> Option<String> {
        let until = self.now().plus_ms(TICKET_MS).0;
        let state = format!("{} {at} {until}", user.0);
        self.keys().seal_to_text(state.as_bytes(), PASSWORD_WAS_RIGHT, &[], self.entropy()).ok()
    }

    /// The account of a ticket and the policy revision at which its password was right.
    pub(crate) fn open_ticket(&self, text: &str) -> Option<(UserId, i64)> {
        let state = self.keys().open_text(text, PASSWORD_WAS_RIGHT, &[]).ok()?;
        let state = String::from_utf8(state).ok()?;
        let mut numbers = state.split(' ').map(str::parse::<i64>);
        let (user, at, until) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        (self.now().0 < until).then_some((UserId(user), at))
    }
}

#[cfg(test)]
mod tests {
    use super::recovery_code_hash;
    use portcullis_model::UserId;

    #[test]
    fn recovery_codes_are_read_as_people_type_them() {
        let hash = recovery_code_hash(UserId(1), "abcd-efgh-jkmn-pqrs");
        assert_eq!(recovery_code_hash(UserId(1), "ABCD EFGH JKMN PQRS"), hash);
        assert_ne!(recovery_code_hash(UserId(2), "abcd-efgh-jkmn-pqrs"), hash);
    }
}
