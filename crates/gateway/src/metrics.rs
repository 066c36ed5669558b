//! Prometheus text. Labels are bounded: operation ids of the table, status classes, words of the engine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_guard::Guard;

const BUCKETS_MS: [u64; 8] = [1, 2, 5, 10, 50, 200, 1_000, 5_000];

/// What is counted at the edge.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    buckets: [AtomicU64; BUCKETS_MS.len()],
    slow: AtomicU64,
    total_us: AtomicU64,
}

impl Metrics {
    pub(crate) fn observe(&self, operation: &'static str, status: u16, took_us: u64) {
        if let Ok(mut requests) = self.requests.lock() {
            *requests.entry((operation, status)).or_insert(0) += 1;
        }
        let bucket = BUCKETS_MS.iter().position(|limit| took_us <= limit * 1_000);
        bucket.and_then(|at| self.buckets.get(at)).unwrap_or(&self.slow).fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub(crate) fn page(&self, guard: &Guard) -> String {
        let mut out = String::new();
        out.push_str("# HELP portcullis_requests_total Answers by operation and status.\n# TYPE portcullis_requests_total counter\n");
        if let Ok(requests) = self.requests.lock() {
            for ((operation, status), count) in requests.iter() {
                let _ =
                    writeln!(out, "portcullis_requests_total{{operation=\"{operation}\",status=\"{status}\"}} {count}");
            }
        }
        out.push_str("# HELP portcullis_decisions_total Decisions.\n# TYPE portcullis_decisions_total counter\n");
        for ((operation, access, outcome, reason), count) in guard.decision_counts() {
            let _ = writeln!(
                out,
                "portcullis_decisions_total{{operation=\"{operation}\",access_kind=\"{access}\",outcome=\"{outcome}\",reason=\"{reason}\"}} {count}"
            );
        }
        out.push_str(
            "# HELP portcullis_request_seconds Time to answer.\n# TYPE portcullis_request_seconds histogram\n",
        );
        let mut sum = 0;
        for (limit, count) in BUCKETS_MS.iter().zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            let seconds = *limit as f64 / 1_000.0;
            let _ = writeln!(out, "portcullis_request_seconds_bucket{{le=\"{seconds}\"}} {sum}");
        }
        sum += self.slow.load(Ordering::Relaxed);
        let total = self.total_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "portcullis_request_seconds_bucket{{le=\"+Inf\"}} {sum}");
        let _ = writeln!(out, "portcullis_request_seconds_sum {total}\nportcullis_request_seconds_count {sum}");
        out.push_str("# HELP portcullis_audit_refusals_lost_total Refusals that did not fit the audit buffer.\n");
        out.push_str("# TYPE portcullis_audit_refusals_lost_total counter\n");
        let _ = writeln!(out, "portcullis_audit_refusals_lost_total {}", guard.refusals_lost());
        out
    }
}
