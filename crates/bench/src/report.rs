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
    /// Processor time that this program took for each, all threads together: unlike the rate it hardly depends on
    /// who else uses the machine. `None` where the system does not tell.
    pub cpu_each: Option<Duration>,
}

/// The time that so many of a hundred did not exceed, of times in ascending order.
pub fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    // The nearest-rank definition: the smallest value that at least this share is not above.
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl Measured {
    /// Sums up.
    pub fn new(mut latencies: Vec<Duration>, elapsed: Duration, cpu: Option<Duration>) -> Self {
        let cpu_each = cpu.map(|cpu| cpu / u32::try_from(latencies.len().max(1)).unwrap_or(u32::MAX));
        latencies.sort_unstable();
        Self {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: quantile(&latencies, 50),
            p99: quantile(&latencies, 99),
            finished: latencies.len(),
            cpu_each,
        }
    }

    /// As JSON: seconds^-1 and milliseconds.
    pub fn json(&self) -> Value {
        json!({
            "per_second": self.per_second.round(),
            "p50_ms": self.p50.as_secs_f64() * 1e3,
            "p99_ms": self.p99.as_secs_f64() * 1e3,
            "finished": self.finished,
            "cpu_us_each": self.cpu_each.map(|cpu| cpu.as_secs_f64() * 1e6),
        })
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99] = [self.p50, self.p99].map(|latency| latency.as_secs_f64() * 1e3);
        write!(f, "{:>8.0}/s   p50 {p50:>7.1} ms   p99 {p99:>7.1} ms", self.per_second)?;
        match self.cpu_each {
            Some(cpu) => write!(f, "   processor {:>6.0} µs each", cpu.as_secs_f64() * 1e6),
            None => Ok(()),
        }
    }
}

/// Processor time of this program so far, where the system tells it in `/proc` (Linux), to a hundredth of a second.
pub fn processor_time() -> Option<Duration> {
    // Kernel interface: user and system time are fields 14 and 15, in hundredths of a second, after a name that may
    // hold spaces and ends with a parenthesis.
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}
