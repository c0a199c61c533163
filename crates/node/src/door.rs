//! Where requests of clients come in: those that arrive together are checked together.
//!
//! Checking many requests at once takes half of the time that one after another does, most of which goes into
//! signatures. Nobody waits for company: whoever comes first lets the connections that have something to say have their
//! turn, and then all that have come by then are checked, once. On an idle node that is one.
//!
//! What waits is bounded, in number and in bytes, and who hangs up waits no more: neither can strangers pile up work that
//! nobody wants. A forged signature makes the few that are checked with it be checked once more, one by one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use pleach_types::Identity;
use tokio::sync::oneshot;

use crate::core::Node;
use crate::lock;
use crate::service::ServiceError;

/// Requests that are checked together at most: with a signature each, a millisecond or two of one thread, which answers
/// reads too.
const TOGETHER_MAX: usize = 64;
/// Bytes of requests that are checked together; one more may exceed it.
const TOGETHER_BYTES: usize = 1 << 20;
/// Requests that wait at most.
const WAITING_MAX: usize = 4_096;
/// Bytes of requests that wait at most.
const WAITING_BYTES_MAX: usize = 32 << 20;

type Verdict = Result<Identity, ServiceError>;

/// The door of a node. See the head of the module.
pub struct Door {
    node: Arc<Node>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Bytes, oneshot::Sender<Verdict>)>,
    /// Bytes of those that wait.
    bytes: usize,
    /// Whether somebody is about to check them.
    attended: bool,
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < WAITING_MAX && self.bytes + bytes <= WAITING_BYTES_MAX
    }

    fn push(&mut self, request: Bytes, verdict: oneshot::Sender<Verdict>) {
        self.bytes += request.len();
        self.waiting.push_back((request, verdict));
    }

    fn pop(&mut self) -> Option<(Bytes, oneshot::Sender<Verdict>)> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.0.len();
        Some(first)
    }

    /// Takes out the next ones that are checked together, without those whose clients have hung up.
    fn next(&mut self) -> (Vec<Bytes>, Vec<oneshot::Sender<Verdict>>) {
        let (mut requests, mut verdicts, mut bytes) = (Vec::new(), Vec::new(), 0);
        while requests.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
            let Some((request, verdict)) = self.pop() else { break };
            if !verdict.is_closed() {
                bytes += request.len();
                requests.push(request);
                verdicts.push(verdict);
            }
        }
        (requests, verdicts)
    }
}

impl Door {
    /// The door of this node.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, queue: Mutex::default() })
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// As [`Node::submit`], or that too many wait here.
    ///
    /// # Panics
    /// If checking the requests that came together panicked.
    pub async fn submit(self: &Arc<Self>, request: Bytes) -> Verdict {
        let (verdict, decided) = oneshot::channel();
        let attended = {
            let mut queue = lock(&self.queue);
            if !queue.has_room(request.len()) {
                return Err(ServiceError::Overloaded { waiting: queue.waiting.len() });
            }
            queue.push(request, verdict);
            std::mem::replace(&mut queue.attended, true)
        };
        if !attended {
            // A task of its own: the one that came first may hang up.
            tokio::spawn(Attendant(self.clone()).attend());
        }
        decided.await.expect("the check of requests panicked")
    }
}

/// Who checks what waits at the door.
struct Attendant(Arc<Door>);

impl Attendant {
    async fn attend(self) {
        loop {
            tokio::task::yield_now().await;
            let (requests, verdicts) = lock(&self.0.queue).next();
            for (verdict, decision) in verdicts.into_iter().zip(self.0.node.submit_all(&requests)) {
                // Who has hung up does not want to know.
                let _ = verdict.send(decision);
            }
            let mut queue = lock(&self.0.queue);
            if queue.waiting.is_empty() {
                queue.attended = false;
                return;
            }
        }
    }
}

impl Drop for Attendant {
    /// After a panic the next one attends, and nobody waits for a verdict that will not come.
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        if queue.attended && std::thread::panicking() {
            *queue = Queue::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(lengths: &[usize]) -> (Queue, Vec<oneshot::Receiver<Verdict>>) {
        let mut queue = Queue::default();
        let mut clients = Vec::new();
        for length in lengths {
            let (verdict, decided) = oneshot::channel();
            assert!(queue.has_room(*length));
            queue.push(Bytes::from(vec![0; *length]), verdict);
            clients.push(decided);
        }
        (queue, clients)
    }

    #[test]
    fn what_is_checked_together_is_bounded_in_number_and_bytes() {
        let (mut many, _clients) = queue(&[10; 2 * TOGETHER_MAX + 1]);
        let batches: Vec<_> = (0..4).map(|_| many.next().0.len()).collect();
        assert_eq!(batches, [TOGETHER_MAX, TOGETHER_MAX, 1, 0]);
        let (mut large, _clients) = queue(&[TOGETHER_BYTES - 1, TOGETHER_BYTES, 1, 1]);
        let batches: Vec<_> = (0..3).map(|_| large.next().0.len()).collect();
        assert_eq!((batches, large.bytes), (vec![2, 2, 0], 0));
    }

    #[test]
    fn who_hangs_up_waits_no_more() {
        let (mut queue, mut clients) = queue(&[1; 200]);
        let last = clients.split_off(198);
        drop(clients);
        assert_eq!(queue.next().0.len(), 2, "the others are not in the way");
        drop(last);
        assert_eq!((queue.next().0.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let (full, _clients) = queue(&[1; WAITING_MAX]);
        assert!(!full.has_room(1));
        let (full, _clients) = queue(&[WAITING_BYTES_MAX / 8; 8]);
        assert!(!full.has_room(1) && full.has_room(0));
    }
}
