//! What was measured, in numbers.

use std::time::Duration;

use serde_json::{Value, json};

/// Latencies of what was finished within a time.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Finished per second.
    pub per_second: f64,
    /// The median latency.
    pub p50: Duration,
    /// The latency that one in a hundred exceeds.
    pub p99: Duration,
    /// How many were finished.
    pub finished: usize,
}

impl Measured {
    /// Sums up.
    pub fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let quantile = |percent: usize| latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied();
        Self {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: quantile(50).unwrap_or_default(),
            p99: quantile(99).unwrap_or_default(),
            finished: latencies.len(),
        }
    }

    /// As JSON: seconds^-1 and milliseconds.
    pub fn json(&self) -> Value {
        json!({
            "per_second": self.per_second.round(),
            "p50_ms": self.p50.as_secs_f64() * 1e3,
            "p99_ms": self.p99.as_secs_f64() * 1e3,
            "finished": self.finished,
        })
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99] = [self.p50, self.p99].map(|latency| latency.as_secs_f64() * 1e3);
        write!(f, "{:>8.0}/s   p50 {p50:>7.1} ms   p99 {p99:>7.1} ms", self.per_second)
    }
}
