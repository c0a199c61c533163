//! Who waits for which receipt.
//!
//! A block decides some hundred requests while thousands wait for theirs: to wake them all at every block would cost
//! more than the block. So each request has a waiter of its own, which exists while somebody waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pleach_types::Identity;
use tokio::sync::Notify;

use crate::lock;

/// The waiters, by the request that somebody waits for. Their number is bounded by the number of open questions.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<BTreeMap<Identity, Waiter>>);

#[derive(Debug, Default)]
struct Waiter {
    notify: Arc<Notify>,
    listeners: usize,
}

/// One who waits. Its waiter goes with the last of them.
#[derive(Debug)]
pub struct WaitGuard<'a> {
    waiters: &'a Waiters,
    identity: Identity,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Begins to wait for news of a request. Wait on [`WaitGuard::notified`], then look.
    pub fn wait_for(&self, identity: Identity) -> WaitGuard<'_> {
        let mut waiters = lock(&self.0);
        let waiter = waiters.entry(identity).or_default();
        waiter.listeners += 1;
        WaitGuard { waiters: self, identity, notify: waiter.notify.clone() }
    }

    /// Wakes those who wait for these requests, in the order in which they came: a simulation must be the same run
    /// each time.
    pub fn wake(&self, identities: impl IntoIterator<Item = Identity>) {
        let waiters = lock(&self.0);
        for identity in identities {
            if let Some(waiter) = waiters.get(&identity) {
                waiter.notify.notify_waiters();
            }
        }
    }
}

impl WaitGuard<'_> {
    /// Ends when there is news. Enrol (`enable`) before looking: what happens after the look then is not missed.
    pub fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut waiters = lock(&self.waiters.0);
        if let Some(waiter) = waiters.get_mut(&self.identity) {
            waiter.listeners = waiter.listeners.saturating_sub(1);
            if waiter.listeners == 0 {
                waiters.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;
    use pleach_types::Hash;

    use super::*;

    #[test]
    fn only_those_who_wait_for_the_request_wake_and_no_waiter_stays() {
        let waiters = Waiters::default();
        let (one, two) = (Hash([1; 32]), Hash([2; 32]));
        {
            let (first, second, other) = (waiters.wait_for(one), waiters.wait_for(one), waiters.wait_for(two));
            let mut woken = [pin!(first.notified()), pin!(second.notified()), pin!(other.notified())];
            assert!(woken.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
            waiters.wake([one]);
            let awake: Vec<_> = woken.iter_mut().map(|waiting| waiting.as_mut().now_or_never().is_some()).collect();
            assert_eq!(awake, [true, true, false]);
        }
        assert!(lock(&waiters.0).is_empty());
    }
}
