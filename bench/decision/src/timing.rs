//! Clocks and what is said about samples.

use std::time::{Duration, Instant};

/// Durations of one thing, in nanoseconds.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, duration: Duration, of: usize) {
        self.0.push(duration.as_nanos() as f64 / of as f64);
    }

    pub fn percentile(&mut self, percent: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let last = self.0.len() - 1;
        self.0[(last as f64 * percent / 100.0).round() as usize]
    }

    pub fn median(&mut self) -> f64 {
        self.percentile(50.0)
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// What reading the clock itself costs, which is in every sample of a single thing.
pub fn clock_ns() -> f64 {
    let mut samples = Samples::default();
    for _ in 0..100_000 {
        let start = Instant::now();
        samples.push(start.elapsed(), 1);
    }
    samples.median()
}

/// Resident memory of this process, in MiB.
pub fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

/// A duration in the unit that suits it.
pub fn show(ns: f64) -> String {
    match ns {
        ns if ns < 1_000.0 => format!("{ns:.0} ns"),
        ns if ns < 1_000_000.0 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

/// A row of the report: what was measured, beside its limit.
pub fn row(what: &str, ns: f64, limit_ns: Option<f64>) {
    match limit_ns {
        Some(limit) => println!("| {what} | {} | {} | {:.2} |", show(ns), show(limit), ns / limit),
        None => println!("| {what} | {} | | |", show(ns)),
    }
}
