//! Brute force costs time: failed attempts are counted per account and per address, and answered with 429 past a limit.
//!
//! Nobody is locked out for good, and a right credential from an address that did not fail is never slowed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use portcullis_model::Timestamp;

/// Failures of one account from one address within [`WINDOW_MS`] before further attempts are refused.
const PAIR_FAILURES_MAX: u32 = 30;
/// Failures from one address within [`WINDOW_MS`], whatever the account.
const ADDRESS_FAILURES_MAX: u32 = 300;
const WINDOW_MS: i64 = 60_000;
/// Bound on what is remembered; when full, the oldest windows are dropped.
const ENTRIES_MAX: usize = 50_000;

#[derive(Clone, Copy)]
struct Window {
    since_ms: i64,
    failures: u32,
}

type Key = (Option<IpAddr>, Option<String>);

/// Counts failures.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<Key, Window>>);

impl Throttle {
    /// Seconds to wait when an attempt must be refused unseen.
    pub(crate) fn refused_for_s(&self, address: Option<IpAddr>, account: &str, now: Timestamp) -> Option<u32> {
        let windows = self.0.lock().ok()?;
        let over = |key: &Key, max: u32| {
            let window = windows.get(key)?;
            let left_ms = window.since_ms + WINDOW_MS - now.0;
            (window.failures >= max && left_ms > 0).then(|| u32::try_from(left_ms / 1000 + 1).unwrap_or(1))
        };
        over(&(address, Some(account.to_owned())), PAIR_FAILURES_MAX)
            .or_else(|| over(&(address, None), ADDRESS_FAILURES_MAX))
    }

    /// Notes a failed attempt.
    pub(crate) fn failed(&self, address: Option<IpAddr>, account: &str, now: Timestamp) {
        let Ok(mut windows) = self.0.lock() else { return };
        if windows.len() >= ENTRIES_MAX {
            windows.retain(|_, window| window.since_ms + WINDOW_MS > now.0);
        }
        if windows.len() >= ENTRIES_MAX {
            windows.clear();
        }
        for key in [(address, Some(account.to_owned())), (address, None)] {
            let window = windows.entry(key).or_insert(Window { since_ms: now.0, failures: 0 });
            if window.since_ms + WINDOW_MS <= now.0 {
                *window = Window { since_ms: now.0, failures: 0 };
            }
            window.failures = window.failures.saturating_add(1);
        }
    }

    /// A right credential clears the account's own count from that address.
    pub(crate) fn succeeded(&self, address: Option<IpAddr>, account: &str) {
        if let Ok(mut windows) = self.0.lock() {
            windows.remove(&(address, Some(account.to_owned())));
        }
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        if let Ok(mut windows) = self.0.lock() {
            windows.clear();
        }
    }
}
