//! The one module that reads the system clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use portcullis_model::{Clock, Timestamp};

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that can be moved forward: the system's plus an offset, or a fixed start for tests.
#[derive(Debug)]
pub struct EmulatedClock {
    fixed_ms: Option<i64>,
    offset_ms: AtomicI64,
}

impl EmulatedClock {
    /// Follows the system clock.
    pub fn following_system() -> Self {
        Self { fixed_ms: None, offset_ms: AtomicI64::new(0) }
    }

    /// Stands still at `start` until advanced.
    pub fn standing_at(start: Timestamp) -> Self {
        Self { fixed_ms: Some(start.0), offset_ms: AtomicI64::new(0) }
    }

    /// Moves forward; negative amounts are ignored, time does not run back.
    pub fn advance_ms(&self, ms: i64) {
        if ms > 0 {
            let moved = |offset: i64| Some(offset.saturating_add(ms));
            let _ = self.offset_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
        }
    }

    /// How far it was moved in all.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    /// Back to the start.
    pub fn reset(&self) {
        self.offset_ms.store(0, Ordering::SeqCst);
    }
}

impl Clock for EmulatedClock {
    fn now(&self) -> Timestamp {
        let base = self.fixed_ms.map_or_else(|| SystemClock.now(), Timestamp);
        base.plus_ms(self.offset_ms())
    }
}
