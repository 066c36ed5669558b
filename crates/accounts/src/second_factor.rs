//! Second factors: added and removed by their owner, removed by an administrator for whoever lost phone and codes. The guard asks for
//! them (`guard/src/authn/second_factor.rs`).

use portcullis_authz::op;
use portcullis_crypto::{Entropy, ExposeSecret, Purpose, SecretSlice, Totp};
use portcullis_guard::{
    AnyMode, Code, Ctx, Entity, Handlers, Input, Outcome, Proof, Reply, SECOND_FACTOR, StoreError, Tx, View, Writes,
    recovery_code_hash,
};
use portcullis_model::{Problem, Timestamp, UserId};
use serde_json::json;

use crate::user;

/// Codes for the day the phone is lost.
const RECOVERY_CODES: usize = 10;
/// Letters of recovery codes: none that is taken for another. 32, so that each carries five bits of the 80 that a code has.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LETTERS_PER_CODE: usize = 16;

/// A secret on its way through the page where it is scanned, not stored yet; bound to the account.
const PROPOSED: Purpose = Purpose::new("proposed second factor");
/// How long a person may take to scan it and type the first code.
const PROPOSED_MS: i64 = 30 * 60_000;

/// What an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Added at.
    pub created_at_ms: i64,
    /// Recovery codes that are not used up.
    pub recovery_codes: i64,
}

/// The second factor of an account, if there is one.
///
/// # Errors
/// The database's.
pub async fn of<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<Option<SecondFactor>, StoreError> {
    let sql = "SELECT created_at_ms, (SELECT COUNT(*) FROM account_recovery_code WHERE user_id = $1) AS codes
                 FROM account_second_factor WHERE user_id = $1";
    let Some(row) = tx.query_opt(sql, &[user.0.into()]).await? else { return Ok(None) };
    Ok(Some(SecondFactor { created_at_ms: row.get("created_at_ms")?, recovery_codes: row.get("codes")? }))
}

/// A secret that is not stored yet: what the page shows, and the sealed text by which it comes back.
#[derive(Debug)]
pub struct Proposed {
    totp: Totp,
    secret: SecretSlice<u8>,
    /// Opens for this account alone, and for half an hour.
    pub sealed: String,
}

impl Proposed {
    /// A new one; nothing is stored.
    ///
    /// # Errors
    /// 500 when it cannot be sealed.
    pub fn issue(view: &View, user: UserId) -> Result<Self, Problem> {
        let secret = Totp::issue(view.entropy());
        let until = view.now().plus_ms(PROPOSED_MS).0;
        let mut state = until.to_be_bytes().to_vec();
        state.extend_from_slice(secret.expose_secret());
        let sealed = view.keys().seal_to_text(&state, PROPOSED, &user.0.to_be_bytes(), view.entropy());
        let totp = Totp::of(&secret).map_err(Problem::bug)?;
        Ok(Self { totp, secret, sealed: sealed.map_err(Problem::bug)? })
    }

    /// Opens what [`Proposed::issue`] sealed; `None` when it is somebody else's, or too old.
    pub fn open(view: &View, user: UserId, sealed: &str) -> Option<Self> {
        let state = view.keys().open_text(sealed, PROPOSED, &user.0.to_be_bytes()).ok()?;
        let (until, secret) = state.split_first_chunk::<8>()?;
        let secret = SecretSlice::from(secret.to_vec());
        let totp = Totp::of(&secret).ok()?;
        let open = Self { totp, secret, sealed: sealed.to_owned() };
        (view.now().0 < i64::from_be_bytes(*until)).then_some(open)
    }

    /// The address that an authenticator app scans.
    ///
    /// # Errors
    /// 500 for an account without a name.
    pub fn url(&self, site: &str, account: &str) -> Result<String, Problem> {
        self.totp.url(site, account).map_err(Problem::bug)
    }

    /// The secret as people type it, in groups of four.
    pub fn key(&self) -> String {
        let letters: Vec<char> = self.totp.to_base32().chars().collect();
        letters.chunks(4).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
    }

    /// The time step of a code that is right at this moment.
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        self.totp.step_of(code, u64::try_from(now.0 / 1_000).unwrap_or(0))
    }
}

/// Uses the code of a proof up and says whose it is; `None` when somebody was faster, or the second factor is another by now.
///
/// # Errors
/// The database's.
pub async fn redeem<M: Writes>(tx: &mut Tx<M>, proof: Proof) -> Result<Option<UserId>, StoreError> {
    let (user, code) = proof.unredeemed();
    let used = match code {
        Code::NotAsked => 1,
        Code::Step(step) => {
            let sql = "UPDATE account_second_factor SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
            tx.execute(sql, &[user.0.into(), step.into()]).await?
        }
        Code::Recovery(hash) => {
            let sql = "DELETE FROM account_recovery_code WHERE user_id = $1 AND hash = $2";
            tx.execute(sql, &[user.0.into(), hash.to_vec().into()]).await?
        }
    };
    Ok((used > 0).then_some(user))
}

/// Stores a second factor whose first code, of time step `step`, was right. Returns the recovery codes, which are shown once. The
/// caller names [`Entity::User`] as changed.
///
/// # Errors
/// The database's; 409 when the account has one already; 500 when it cannot be sealed.
pub async fn add<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    user: UserId,
    proposed: &Proposed,
    step: u64,
) -> Result<Vec<String>, Problem> {
    if of(tx, user).await?.is_some() {
        return Err(Problem::conflict("You have a second factor already. Remove it before you add another."));
    }
    let sealed = view
        .keys()
        .seal(proposed.secret.expose_secret(), SECOND_FACTOR, &user.0.to_be_bytes(), view.entropy())
        .map_err(Problem::bug)?;
    let step = i64::try_from(step).map_err(Problem::bug)?;
    let sql = "INSERT INTO account_second_factor (user_id, secret, last_step, created_at_ms) VALUES ($1, $2, $3, $4)";
    let Timestamp(now) = view.now();
    tx.execute(sql, &[user.0.into(), sealed.into(), step.into(), now.into()]).await?;
    Ok(renew_codes(tx, user, view.entropy()).await?)
}

/// New recovery codes, in place of those there were.
///
/// # Errors
/// The database's.
pub async fn renew_codes<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    entropy: &dyn Entropy,
) -> Result<Vec<String>, StoreError> {
    tx.execute("DELETE FROM account_recovery_code WHERE user_id = $1", &[user.0.into()]).await?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(entropy)).collect();
    for code in &codes {
        let hash = recovery_code_hash(user, code).to_vec();
        let sql = "INSERT INTO account_recovery_code (hash, user_id) VALUES ($1, $2)";
        tx.execute(sql, &[hash.into(), user.0.into()]).await?;
    }
    Ok(codes)
}

/// `abcd-efgh-jkmn-pqrs`.
fn recovery_code(entropy: &dyn Entropy) -> String {
    let drawn: [u8; LETTERS_PER_CODE] = entropy.array();
    let letters = drawn.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)).copied().map(char::from));
    let mut code = String::with_capacity(LETTERS_PER_CODE + 3);
    for (at, letter) in letters.enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(letter);
    }
    code
}

/// Removes the second factor of an account; `false` when it has none. The caller names [`Entity::User`] as changed.
///
/// # Errors
/// The database's.
pub async fn remove<M: Writes>(tx: &mut Tx<M>, user: UserId) -> Result<bool, StoreError> {
    tx.execute("DELETE FROM account_recovery_code WHERE user_id = $1", &[user.0.into()]).await?;
    Ok(tx.execute("DELETE FROM account_second_factor WHERE user_id = $1", &[user.0.into()]).await? > 0)
}

async fn remove_of_user(
    mut cx: Ctx<op::ManageRemoveUserSecondFactor>,
    input: Input,
) -> Outcome<op::ManageRemoveUserSecondFactor> {
    let user = user::named(cx.view(), input.param("accountId"))?;
    if !remove(cx.tx(), user).await? {
        return Err(Problem::not_found("The account has no second factor."));
    }
    cx.audit(format!("user:{}", input.param("accountId")), None, Some(json!({"secondFactor": "removed"})));
    cx.changed(Entity::User(user));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(remove_of_user);
}

#[cfg(test)]
mod tests {
    use super::recovery_code;
    use portcullis_crypto::SeededEntropy;

    #[test]
    fn recovery_codes_can_be_read_out() {
        let code = recovery_code(&SeededEntropy::new(1));
        assert_eq!(code.len(), 19);
        assert!(code.split('-').all(|part| part.len() == 4 && !part.contains(['l', 'o', '0', '1'])), "{code}");
    }
}
