//! Emulator controls: faults that the next requests meet. The clock is the guard's own.

use std::sync::Mutex;

use serde::Deserialize;

/// Faults waiting at once.
const FAULTS_MAX: usize = 100;

/// What a fault does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// 500.
    Error,
    /// 503 with `Retry-After`.
    Unavailable,
    /// 429 with `Retry-After` and Jira's rate-limit headers.
    RateLimit,
    /// A second of delay.
    Slow,
}

/// A fault as it is posted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fault {
    /// An operation id, a path prefix that starts with `/`, or `*`.
    pub target: String,
    /// What happens.
    pub kind: FaultKind,
    /// To how many requests.
    pub count: u32,
}

/// Waiting faults.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds a fault; `false` when too many wait.
    pub(crate) fn add(&self, fault: Fault) -> bool {
        let Ok(mut faults) = self.0.lock() else { return false };
        if faults.len() >= FAULTS_MAX {
            return false;
        }
        faults.push(fault);
        true
    }

    /// The fault this request meets, used up by one.
    pub(crate) fn meet(&self, operation: &str, path: &str) -> Option<FaultKind> {
        let mut faults = self.0.lock().ok()?;
        let at = faults.iter().position(|fault| {
            fault.target == "*"
                || fault.target == operation
                || (fault.target.starts_with('/') && path.starts_with(&fault.target))
        })?;
        let fault = faults.get_mut(at)?;
        let kind = fault.kind;
        fault.count = fault.count.saturating_sub(1);
        if fault.count == 0 {
            faults.remove(at);
        }
        Some(kind)
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        if let Ok(mut faults) = self.0.lock() {
            faults.clear();
        }
    }
}
