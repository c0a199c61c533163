//! Waiting for a change, on any runtime and in a reproducible order.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A number that only grows, and tasks that wait for it to grow.
///
/// `tokio::sync::watch` would do, but it spreads waiters at random, and a simulation must wake them in the same
/// order each time. [`Notify`] wakes in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    value: AtomicU64,
    changed: Notify,
}

impl Signal {
    /// The number now.
    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Raises the number to `value` if it is below, and wakes all waiters.
    pub(crate) fn raise(&self, value: u64) {
        self.value.fetch_max(value, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Adds one, and wakes all waiters.
    pub(crate) fn bump(&self) {
        self.value.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until the number is above `seen`. A change between reading `seen` and this call is not missed.
    pub(crate) async fn above(&self, seen: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enrol before looking: a change after the look then wakes this task.
            changed.as_mut().enable();
            if self.get() > seen {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_change_before_the_wait_is_not_missed() {
        let signal = Signal::default();
        let seen = signal.get();
        assert!(signal.above(seen).now_or_never().is_none());
        signal.bump();
        assert!(signal.above(seen).now_or_never().is_some());
    }

    #[test]
    fn a_change_during_the_wait_wakes_every_waiter() {
        let signal = Signal::default();
        let mut first = Box::pin(signal.above(0));
        let mut second = Box::pin(signal.above(4));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        signal.raise(4);
        signal.raise(3);
        assert!(first.as_mut().now_or_never().is_some());
        assert!(second.as_mut().now_or_never().is_none());
        signal.raise(5);
        assert!(second.as_mut().now_or_never().is_some());
    }
}
