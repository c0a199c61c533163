//! What this process takes of the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Descriptors of this process that are open, and how many may be, where the system tells both.
#[cfg(target_os = "linux")]
pub(crate) fn descriptors() -> Option<(u64, u64)> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    Some((open as u64, limit))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn descriptors() -> Option<(u64, u64)> {
    None
}

/// Resident memory of this process in bytes, where the system tells it.
pub(crate) fn memory() -> Option<u64> {
    // Kernel interface: "VmRSS:    170000 kB".
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// What processors have spent on all threads of this process.
pub(crate) fn processor_time() -> Duration {
    spent(ClockId::ProcessCPUTime)
}

/// What processors have spent on this thread.
pub(crate) fn thread_time() -> Duration {
    spent(ClockId::ThreadCPUTime)
}

fn spent(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_descriptors_memory_and_a_processor() {
        assert!(descriptors().is_some_and(|(open, limit)| open > 2 && open <= limit));
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
        assert!(processor_time() > Duration::ZERO);
    }
}
