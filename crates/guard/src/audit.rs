//! Audit entries: writes carry theirs in their own transaction, refusals are buffered, bounded and flushed by a job.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_store::AuditEntry;

/// Refusals kept between two flushes; more are counted as lost.
const BUFFERED_MAX: usize = 4_096;
/// Equal refusals (caller, operation, reason) kept one by one between two flushes; further ones are counted into the last.
const EQUAL_MAX: u32 = 20;

/// Characters of what a refused request named.
const TARGET_CHARS_MAX: usize = 120;

/// A name that a stranger may have sent, as the log keeps it: short, and nothing that would move a terminal's cursor.
pub(crate) fn shortened(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(TARGET_CHARS_MAX).collect()
}

#[derive(Default)]
struct Buffer {
    entries: Vec<AuditEntry>,
    equal: HashMap<(String, String, String), (u32, usize)>,
}

/// Refusals on their way to the log.
#[derive(Default)]
pub(crate) struct RefusalLog {
    buffer: Mutex<Buffer>,
    lost: AtomicU64,
}

impl RefusalLog {
    /// Keeps an entry until the next flush.
    pub(crate) fn push(&self, entry: AuditEntry) {
        let Ok(mut buffer) = self.buffer.lock() else { return };
        let key = (entry.subject.clone(), entry.operation.clone(), entry.reason.clone().unwrap_or_default());
        if buffer.entries.len() >= BUFFERED_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let position = buffer.entries.len();
        let (count, last) = buffer.equal.entry(key).or_insert((0, position));
        *count += 1;
        if *count > EQUAL_MAX {
            let (count, last) = (*count, *last);
            if let Some(kept) = buffer.entries.get_mut(last) {
                kept.after = Some(format!("{{\"alike_until_now\":{}}}", count - EQUAL_MAX));
            }
            return;
        }
        *last = position;
        buffer.entries.push(entry);
    }

    /// Takes what is buffered.
    pub(crate) fn take(&self) -> Vec<AuditEntry> {
        let Ok(mut buffer) = self.buffer.lock() else { return Vec::new() };
        buffer.equal.clear();
        std::mem::take(&mut buffer.entries)
    }

    /// Entries that did not fit, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
