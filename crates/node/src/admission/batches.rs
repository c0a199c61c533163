//! Where requests of clients come in: those that arrive together are checked together.
//!
//! Checking many requests at once takes half of the time that one after another does, most of which goes into
//! signatures. Nobody waits for company: whoever comes first lets the connections that have something to say have their
//! turn, and then all that have come by then are checked, once. On an idle node that is one.
//!
//! What waits is bounded, in number and in bytes, with half of it for one address at most, and who hangs up waits no more: neither can
//! strangers pile up work that nobody wants. A forged signature makes the few that are checked with it be checked once more, one by one.
//!
//! Clock, turns and tasks are those of whoever serves the clients ([`Errands`]): requests of simulated clients come in here too.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use pleach_types::Identity;
use tokio::sync::oneshot;

use crate::core::Node;
use crate::errands::Errands;
use crate::lock;
use crate::pool::{Full, Measure, Origin, Part, Sender};
use crate::service_error::ServiceError;
use crate::share::{Lease, Share, one_party};

/// Requests that are checked together at most: with a signature each, a millisecond or two of one thread, which answers
/// reads too.
const TOGETHER_MAX: usize = 64;
/// Bytes of requests that are checked together; one more may exceed it.
const TOGETHER_BYTES: usize = 1 << 20;
/// Requests that wait at most.
const WAITING_MAX: usize = 4_096;
/// Bytes of requests that wait at most.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// How long somebody waits for the answer that no more complaints are judged in this second. Connections are bounded for each address, and
/// with them what it sends meanwhile.
const JUDGED_LATER: Duration = Duration::from_secs(1);

type SubmitResult = Result<Identity, ServiceError>;

/// Where a node admits requests. See the head of the module.
pub struct Batches<S = RandomState> {
    node: Arc<Node>,
    errands: Arc<dyn Errands>,
    queue: Mutex<Queue>,
    /// Tells addresses apart for the other members and does not tell them which they are.
    origins: S,
}

struct Queue {
    waiting: VecDeque<Waiting>,
    places: Arc<Share>,
    bytes: Arc<Share>,
    /// Whether somebody is about to check them.
    checked: bool,
}

/// A request that waits for its check, and its part of the room.
struct Waiting {
    request: (Sender, Bytes),
    reply: oneshot::Sender<SubmitResult>,
    _held: [Lease; 2],
}

impl Default for Queue {
    fn default() -> Self {
        let [places, bytes] = [WAITING_MAX, WAITING_BYTES_MAX].map(|room| Share::new(room as u64));
        Self { waiting: VecDeque::new(), places, bytes, checked: false }
    }
}

impl Queue {
    /// Lets a request wait.
    ///
    /// # Errors
    /// Which bound is reached.
    fn push(
        &mut self,
        from: IpAddr,
        request: (Sender, Bytes),
        reply: oneshot::Sender<SubmitResult>,
    ) -> Result<(), Full> {
        let take = |share: &Arc<Share>, amount, measure| {
            share.take(from, amount).map_err(|_| {
                let part = if share.taken() + amount > share.room() { Part::Whole } else { Part::Origin };
                Full { measure, part }
            })
        };
        let place = take(&self.places, 1, Measure::Requests)?;
        let bytes = take(&self.bytes, request.1.len() as u64, Measure::Bytes)?;
        self.waiting.push_back(Waiting { request, reply, _held: [place, bytes] });
        Ok(())
    }

    /// Takes out the next ones that are checked together, without those whose clients have hung up.
    fn next(&mut self) -> (Vec<(Sender, Bytes)>, Vec<oneshot::Sender<SubmitResult>>) {
        let (mut requests, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        while requests.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
            let Some(Waiting { request, reply, .. }) = self.waiting.pop_front() else { break };
            if !reply.is_closed() {
                bytes += request.1.len();
                requests.push(request);
                replies.push(reply);
            }
        }
        (requests, replies)
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Batches<S> {
    /// The admission of this node. `origins` makes of addresses what other members are told instead.
    pub fn new(node: Arc<Node>, errands: Arc<dyn Errands>, origins: S) -> Arc<Self> {
        Arc::new(Self { node, errands, queue: Mutex::default(), origins })
    }

    /// Takes a request in that comes from this address.
    ///
    /// # Errors
    /// As [`Node::submit`], or that too many wait here.
    ///
    /// # Panics
    /// If checking the requests that came together panicked.
    pub async fn submit(self: &Arc<Self>, from: IpAddr, request: Bytes) -> SubmitResult {
        let (reply, decided) = oneshot::channel();
        let sender = Sender { member: None, origin: Origin(self.origins.hash_one(one_party(from))) };
        let checked = {
            let mut queue = lock(&self.queue);
            if let Err(full) = queue.push(from, (sender, request), reply) {
                return Err(self.node.overloaded(queue.waiting.len(), full));
            }
            std::mem::replace(&mut queue.checked, true)
        };
        if !checked {
            // A task of its own: the one that came first may hang up.
            self.errands.begin(Batch(self.clone()).check_waiting().boxed());
        }
        let decision = decided.await.expect("the check of requests panicked");
        // Junk by the tens of thousands costs more to read than to judge, and who is refused at once sends more at once.
        if let Err(ServiceError::Overloaded {
            full: Full { measure: Measure::Judgements | Measure::Invalid, .. },
            ..
        }) = decision
        {
            self.errands.pause(JUDGED_LATER).await;
        }
        decision
    }
}

/// The requests that are checked together next.
struct Batch<S>(Arc<Batches<S>>);

impl<S> Batch<S> {
    async fn check_waiting(self) {
        loop {
            self.0.errands.turn().await;
            let (requests, replies) = lock(&self.0.queue).next();
            for (reply, decision) in replies.into_iter().zip(self.0.node.submit_all(&requests)) {
                // Who has hung up does not want to know.
                let _ = reply.send(decision);
            }
            let mut queue = lock(&self.0.queue);
            if queue.waiting.is_empty() {
                queue.checked = false;
                return;
            }
        }
    }
}

impl<S> Drop for Batch<S> {
    /// After a panic the next request starts a check, and nobody waits for a reply that will not come.
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        if queue.checked && std::thread::panicking() {
            *queue = Queue::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn push(queue: &mut Queue, from: IpAddr, length: usize) -> Result<oneshot::Receiver<SubmitResult>, Full> {
        let (reply, decided) = oneshot::channel();
        queue.push(from, (Sender::default(), Bytes::from(vec![0; length])), reply).map(|()| decided)
    }

    fn queue(lengths: &[usize]) -> (Queue, Vec<oneshot::Receiver<SubmitResult>>) {
        let mut queue = Queue::default();
        let clients = lengths.iter().map(|length| push(&mut queue, ONE, *length).expect("there is room")).collect();
        (queue, clients)
    }

    #[test]
    fn what_is_checked_together_is_bounded_in_number_and_bytes() {
        let (mut many, _clients) = queue(&[10; 2 * TOGETHER_MAX + 1]);
        let batches: Vec<_> = (0..4).map(|_| many.next().0.len()).collect();
        assert_eq!(batches, [TOGETHER_MAX, TOGETHER_MAX, 1, 0]);
        let (mut large, _clients) = queue(&[TOGETHER_BYTES - 1, TOGETHER_BYTES, 1, 1]);
        let batches: Vec<_> = (0..3).map(|_| large.next().0.len()).collect();
        assert_eq!((batches, large.bytes.taken()), (vec![2, 2, 0], 0));
    }

    #[test]
    fn who_hangs_up_waits_no_more() {
        let (mut queue, mut clients) = queue(&[1; 200]);
        let last = clients.split_off(198);
        drop(clients);
        assert_eq!(queue.next().0.len(), 2, "the others are not in the way");
        drop(last);
        assert_eq!((queue.next().0.len(), queue.bytes.taken(), queue.places.taken()), (0, 0, 0));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes_with_half_for_one_address() {
        let (mut many, _clients) = queue(&[1; WAITING_MAX / 2]);
        assert_eq!(push(&mut many, ONE, 1).err().map(Full::names), Some(("requests", "origin")));
        assert!(push(&mut many, OTHER, 1).is_ok(), "others have their half");
        let (mut large, _clients) = queue(&[WAITING_BYTES_MAX / 8; 4]);
        assert_eq!(push(&mut large, ONE, 1).err().map(Full::names), Some(("bytes", "origin")));
        assert!(push(&mut large, OTHER, WAITING_BYTES_MAX / 2).is_ok());
        assert!(push(&mut large, ONE, 0).is_ok());
    }
}
