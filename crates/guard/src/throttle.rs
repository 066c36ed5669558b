//! Brute force costs time: failed attempts are counted per account and per address, and answered with 429 past a limit.
//!
//! Nobody is locked out for good, and a right credential from an address that did not fail is never slowed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use portcullis_model::{Timestamp, UserId};

/// Failures of one account from one address within [`WINDOW_MS`] before further attempts are refused.
const PAIR_FAILURES_MAX: u32 = 30;
/// Wrong codes of one account within [`WINDOW_MS`], from wherever: whoever tries codes already has the password, and a million are
/// soon tried from many addresses.
const CODE_FAILURES_MAX: u32 = 10;
/// Failures from one address within [`WINDOW_MS`], whatever the account.
const ADDRESS_FAILURES_MAX: u32 = 300;
const WINDOW_MS: i64 = 60_000;
/// Characters of an account's name that are told apart: no e-mail address is longer (RFC 5321, section 4.5.3.1.3).
const ACCOUNT_CHARS_MAX: usize = 254;
/// Bound on what is remembered; when full, the oldest windows are dropped.
const ENTRIES_MAX: usize = 50_000;

#[derive(Clone, Copy)]
struct Window {
    since_ms: i64,
    failures: u32,
}

impl Window {
    fn ends_ms(self) -> i64 {
        self.since_ms.saturating_add(WINDOW_MS)
    }
}

type Key = (Option<IpAddr>, Option<String>);
type Windows = HashMap<Key, Window>;

/// The key of one account from one address; what is longer than any account's name is cut, so that strangers cannot fill the memory.
fn pair(address: Option<IpAddr>, account: &str) -> Key {
    (address, Some(account.chars().take(ACCOUNT_CHARS_MAX).collect()))
}

/// Counts failures.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<Windows>);

impl Throttle {
    /// Seconds to wait when an attempt must be refused unseen.
    pub(crate) fn refused_for_s(&self, address: Option<IpAddr>, account: &str, now: Timestamp) -> Option<u32> {
        refused_for_s(&*self.0.lock().ok()?, address, account, now)
    }

    /// Begins an attempt whose check takes its time: it counts as failed until [`Throttle::succeeded`] says otherwise, so that
    /// attempts made at once, or given up halfway, count like those made one after the other.
    ///
    /// # Errors
    /// Seconds to wait when the attempt must be refused unseen.
    pub(crate) fn begin(&self, address: Option<IpAddr>, account: &str, now: Timestamp) -> Result<(), u32> {
        let Ok(mut windows) = self.0.lock() else { return Err(1) };
        match refused_for_s(&windows, address, account, now) {
            Some(seconds) => Err(seconds),
            None => {
                count(&mut windows, address, account, now);
                Ok(())
            }
        }
    }

    /// Notes a failed attempt.
    pub(crate) fn failed(&self, address: Option<IpAddr>, account: &str, now: Timestamp) {
        if let Ok(mut windows) = self.0.lock() {
            count(&mut windows, address, account, now);
        }
    }

    /// [`Throttle::begin`] for the code of a second factor.
    ///
    /// # Errors
    /// Seconds to wait when the attempt must be refused unseen.
    pub(crate) fn begin_code(&self, user: UserId, now: Timestamp) -> Result<(), u32> {
        let Ok(mut windows) = self.0.lock() else { return Err(1) };
        let key = codes_of(user);
        match over(&windows, &key, CODE_FAILURES_MAX, now) {
            Some(seconds) => Err(seconds),
            None => {
                count_one(&mut windows, key, now);
                Ok(())
            }
        }
    }

    /// A right code clears what [`Throttle::begin_code`] counted.
    pub(crate) fn code_succeeded(&self, user: UserId) {
        if let Ok(mut windows) = self.0.lock() {
            windows.remove(&codes_of(user));
        }
    }

    /// A right credential clears the account's own count from that address, and what [`Throttle::begin`] counted for it.
    pub(crate) fn succeeded(&self, address: Option<IpAddr>, account: &str) {
        if let Ok(mut windows) = self.0.lock() {
            windows.remove(&pair(address, account));
            if let Some(window) = windows.get_mut(&(address, None)) {
                window.failures = window.failures.saturating_sub(1);
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        if let Ok(mut windows) = self.0.lock() {
            windows.clear();
        }
    }
}

fn refused_for_s(windows: &Windows, address: Option<IpAddr>, account: &str, now: Timestamp) -> Option<u32> {
    let pair = over(windows, &pair(address, account), PAIR_FAILURES_MAX, now);
    pair.or_else(|| over(windows, &(address, None), ADDRESS_FAILURES_MAX, now))
}

fn over(windows: &Windows, key: &Key, max: u32, now: Timestamp) -> Option<u32> {
    let window = windows.get(key)?;
    let left_ms = window.ends_ms().saturating_sub(now.0);
    (window.failures >= max && left_ms > 0).then(|| u32::try_from(left_ms / 1000 + 1).unwrap_or(1))
}

/// The key of an account's codes. No e-mail address has a space in it unquoted, so that it is nobody's pair.
fn codes_of(user: UserId) -> Key {
    (None, Some(format!("codes of {user}")))
}

fn count(windows: &mut Windows, address: Option<IpAddr>, account: &str, now: Timestamp) {
    count_one(windows, pair(address, account), now);
    count_one(windows, (address, None), now);
}

fn count_one(windows: &mut Windows, key: Key, now: Timestamp) {
    if windows.len() >= ENTRIES_MAX {
        windows.retain(|_, window| window.ends_ms() > now.0);
    }
    if windows.len() >= ENTRIES_MAX {
        windows.clear();
    }
    let window = windows.entry(key).or_insert(Window { since_ms: now.0, failures: 0 });
    if window.ends_ms() <= now.0 {
        *window = Window { since_ms: now.0, failures: 0 };
    }
    window.failures = window.failures.saturating_add(1);
}
