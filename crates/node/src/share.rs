//! A part of something scarce that strangers may use, and of that no more than half for one address.
//!
//! What the clients' port gives away without being asked who asks (connections, memory for bodies and answers) is needed
//! by the engine and the store as well, so it is counted, in one place for each kind. Half for one address: a single
//! machine cannot shut out all others, while a proxy in front of all clients, or all clients of one machine, still have
//! enough. That is also why the own machine is no exception: it would be the way around for whatever forwards strangers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::lock;

/// So much of something, in units of its own, in the hands of those who ask for it.
pub struct Share {
    room: u64,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: u64,
    by: BTreeMap<IpAddr, u64>,
}

/// There is no more, or no more for this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoShare;

impl Share {
    /// A share of this size, all of it free.
    pub fn new(room: u64) -> Arc<Self> {
        Arc::new(Self { room, taken: Mutex::default(), freed: Notify::new() })
    }

    /// The size of the share.
    pub const fn room(&self) -> u64 {
        self.room
    }

    /// Takes nothing yet, for an address. [`Lease::grow`] takes.
    pub fn open(self: &Arc<Self>, from: IpAddr) -> Lease {
        Lease { share: self.clone(), from: one_party(from), amount: 0 }
    }

    /// Takes an amount for an address.
    ///
    /// # Errors
    /// If it is not free.
    pub fn take(self: &Arc<Self>, from: IpAddr, amount: u64) -> Result<Lease, NoShare> {
        let mut held = self.open(from);
        held.grow(amount)?;
        Ok(held)
    }

    /// As [`Share::take`], waiting for it.
    ///
    /// # Errors
    /// If it did not become free in time.
    pub async fn take_within(self: &Arc<Self>, from: IpAddr, amount: u64, wait: Duration) -> Result<Lease, NoShare> {
        let take = async {
            loop {
                // Enrol before looking: what is freed after the look then wakes this task.
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                match self.take(from, amount) {
                    Ok(held) => return held,
                    Err(NoShare) => freed.await,
                }
            }
        };
        tokio::time::timeout(wait, take).await.map_err(|_| NoShare)
    }

    /// How much is taken.
    pub fn taken(&self) -> u64 {
        lock(&self.taken).all
    }
}

/// What somebody holds of a share. It goes back when this is dropped.
pub struct Lease {
    share: Arc<Share>,
    from: IpAddr,
    amount: u64,
}

impl Lease {
    /// Takes so much more.
    ///
    /// # Errors
    /// If it is not free; what was held before is held still.
    pub fn grow(&mut self, more: u64) -> Result<(), NoShare> {
        let mut taken = lock(&self.share.taken);
        let of_address = taken.by.get(&self.from).copied().unwrap_or(0).saturating_add(more);
        let all = taken.all.saturating_add(more);
        if all > self.share.room || of_address > self.share.room.div_ceil(2) {
            return Err(NoShare);
        }
        if more > 0 {
            taken.all = all;
            taken.by.insert(self.from, of_address);
            self.amount += more;
        }
        Ok(())
    }

    /// Gives back all but this amount. Does nothing if less is held.
    pub fn shrink(&mut self, amount: u64) {
        let Some(less) = self.amount.checked_sub(amount).filter(|less| *less > 0) else { return };
        self.amount = amount;
        let mut taken = lock(&self.share.taken);
        taken.all -= less;
        if let Some(held) = taken.by.get_mut(&self.from) {
            *held -= less;
            // Addresses come and go: only those that hold something are remembered.
            if *held == 0 {
                taken.by.remove(&self.from);
            }
        }
        drop(taken);
        self.share.freed.notify_waiters();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// What counts as one address: of version 6 the first half, since whoever has one has all that begin alike.
pub fn one_party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn one_address_gets_half_and_all_together_the_whole() {
        let share = Share::new(10);
        let mut held: Vec<_> = (0..5).map(|_| share.take(ONE, 1).expect("half is for one")).collect();
        assert!(share.take(ONE, 1).is_err(), "more than half for one address");
        held.push(share.take(OTHER, 5).expect("the other half is for others"));
        let third = "192.0.2.3".parse().expect("an address");
        assert!(share.take(third, 1).is_err(), "more than there is");
        assert_eq!(share.taken(), 10);
        held.remove(0);
        held[4].shrink(2);
        assert_eq!(share.taken(), 6);
        assert!(share.take(third, 4).is_ok());
        drop(held);
        assert_eq!((share.taken(), lock(&share.taken).by.len()), (0, 0), "all came back");
    }

    #[test]
    fn what_cannot_grow_keeps_what_it_has() {
        let share = Share::new(10);
        let mut held = share.take(ONE, 4).expect("there is room");
        assert_eq!((held.grow(2), held.grow(u64::MAX)), (Err(NoShare), Err(NoShare)));
        assert_eq!(share.taken(), 4);
        held.shrink(7);
        assert_eq!(share.taken(), 4, "to shrink to more does nothing");
    }

    #[test]
    fn the_addresses_of_one_network_are_one_party() {
        let party = |text: &str| one_party(text.parse().expect("an address"));
        assert_eq!(party("2001:db8::1"), party("2001:db8::ffff:1"));
        assert_ne!(party("2001:db8::1"), party("2001:db8:0:1::1"));
        assert_eq!(party("::ffff:192.0.2.1"), ONE);
        assert_ne!(ONE, OTHER);
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_is_freed_or_an_error() {
        let share = Share::new(2);
        let held = share.take(ONE, 1).expect("there is room");
        assert!(share.take_within(ONE, 1, Duration::from_millis(1)).await.is_err());
        let waiting = tokio::spawn({
            let share = share.clone();
            async move { share.take_within(ONE, 1, Duration::from_secs(60)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.expect("no panic"));
    }
}
