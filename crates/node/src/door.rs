//! Where requests of clients come in: those that arrive together are checked together.
//!
//! Checking a hundred requests at once takes half of the time that one after another does, most of which goes into
//! signatures. Nobody waits for company: whoever comes first lets the connections that have something to say have their
//! turn, and then all that have come by then are checked, once. On an idle node that is one.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use pleach_types::Identity;
use tokio::sync::oneshot;

use crate::core::Node;
use crate::lock;
use crate::service::ServiceError;

/// Requests that are checked together at most: some milliseconds of one thread.
const TOGETHER_MAX: usize = 128;

type Verdict = Result<Identity, ServiceError>;

/// The door of a node. See the head of the module.
pub struct Door {
    node: Arc<Node>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(Bytes, oneshot::Sender<Verdict>)>,
    /// Whether somebody is about to check them.
    attended: bool,
}

impl Door {
    /// The door of this node.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, queue: Mutex::default() })
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// As [`Node::submit`].
    ///
    /// # Panics
    /// If checking the requests that came together panicked.
    pub async fn submit(self: &Arc<Self>, request: Bytes) -> Verdict {
        let (verdict, decided) = oneshot::channel();
        let attended = {
            let mut queue = lock(&self.queue);
            queue.waiting.push((request, verdict));
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
            let (requests, verdicts): (Vec<_>, Vec<_>) = {
                let mut queue = lock(&self.0.queue);
                let count = queue.waiting.len().min(TOGETHER_MAX);
                queue.waiting.drain(..count).unzip()
            };
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
