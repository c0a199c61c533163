//! Messages of the application between members: bounded, batched, lossy.
//!
//! They travel on a channel of their own beside the engine's. A packet on that channel is one or more messages,
//! each after its length as a little-endian `u32`. Messages wait in a bounded queue; while one packet is on its way out,
//! the next collects what arrives, so many small messages cost few packets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_cryptography::ed25519;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock, IoBuf};
use pleach_types::certificate::Nullification;
use pleach_types::newest::Stage;
use pleach_types::vote::Round;
use pleach_types::{Certificate, Height, PublicKey};
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::debug;

use crate::Application;
use crate::block::{engine_public_key, public_key_from_engine};
use crate::muster::Holdings;
use crate::signal::Signal;

/// Messages that may wait to be sent. Their bytes are bounded by [`QUEUE_BYTES`].
const QUEUE_MESSAGES: usize = 4_096;

/// Bytes that may wait to be sent, unless a single message is longer.
const QUEUE_BYTES: usize = 16 << 20;

/// Bytes of the length in front of a message.
const LENGTH_BYTES: usize = 4;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The message is longer than the bound.
    #[error("the message has {actual} bytes, the bound is {bound}")]
    TooLong {
        /// Its length.
        actual: usize,
        /// The bound ([`crate::Bounds::message_bytes`]).
        bound: usize,
    },
    /// Too much is waiting already: the network is slower than the senders.
    #[error("too many messages wait to be sent")]
    Full,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

/// The application's way to the other members. Cheap to clone; every method returns at once.
///
/// What is queued may still get lost: a peer may be down, slow, or over its quota. Whoever needs an answer asks again.
#[derive(Clone, Debug)]
pub struct Network {
    queue: mpsc::Sender<Outgoing>,
    waiting: Arc<tokio::sync::Semaphore>,
    wake: Arc<Signal>,
    nudge: Arc<Signal>,
    start_point: Arc<StartPoint>,
    halted: Arc<AtomicBool>,
    holdings: Arc<OnceLock<Holdings>>,
    tip: Arc<Signal>,
    bound: usize,
}

/// Where the application wants the order to go on, once it has come by the state there.
#[derive(Debug, Default)]
pub(crate) struct StartPoint {
    wanted: Mutex<Option<Certificate>>,
    changed: Signal,
}

impl StartPoint {
    /// Waits for the next start point.
    pub(crate) async fn next(&self) -> Certificate {
        loop {
            let seen = self.changed.get();
            if let Some(certificate) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return certificate;
            }
            self.changed.above(seen).await;
        }
    }
}

/// A message on its way out, and its share of the queue's bytes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `None` is everybody else.
    to: Option<PublicKey>,
    message: Bytes,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl Network {
    pub(crate) fn new(bound: u32, signals: &Signals) -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, outgoing) = mpsc::channel(QUEUE_MESSAGES);
        let waiting = Arc::new(tokio::sync::Semaphore::new(QUEUE_BYTES));
        let Signals { wake, nudge, start_point, halted, holdings, tip } = signals.clone();
        (Self { queue, waiting, wake, nudge, start_point, halted, holdings, tip, bound: bound as usize }, outgoing)
    }

    /// Sends a message to all other members.
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    pub fn broadcast(&self, message: Bytes) -> Result<(), SendError> {
        self.enqueue(None, message)
    }

    /// Sends a message to one member. A message to a key that is no member goes nowhere.
    ///
    /// # Errors
    /// [`SendError`]; the message was not queued.
    pub fn send(&self, to: PublicKey, message: Bytes) -> Result<(), SendError> {
        self.enqueue(Some(to), message)
    }

    /// Tells the engine that there may be something to order: if this member leads and waits with an empty block,
    /// it asks [`Application::wants_block`] again.
    pub fn wake(&self) {
        self.wake.bump();
    }

    /// Asks for a call of [`Application::work`] soon.
    pub fn nudge(&self) {
        self.nudge.bump();
    }

    /// Says that the application has the state below this finalized block and wants the blocks from it on, not those
    /// that are missing before it. The application must have verified the certificate: the engine stops at a false one.
    pub fn set_start_point(&self, certificate: Certificate) {
        *self.start_point.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
        self.start_point.changed.bump();
    }

    /// The newest blocks of which this member holds the votes of a quorum, the newest first, none older than its newest vote to finalize:
    /// who shows a reader the first of them whose header is known keeps to [`pleach_types::newest`]. None are left where there is
    /// none above genesis. `None` while this member cannot know whether it has voted to finalize something newer: after a start until the
    /// others have told which views are over, and longer if its votes were lost.
    #[must_use]
    pub fn newest_blocks(&self) -> Option<Vec<(Stage, Certificate)>> {
        self.holdings.get()?.newest_blocks()
    }

    /// The votes of a quorum to nullify a view, if this member has them still: it keeps the last ten thousand such views. A
    /// fork is judged by them ([`pleach_types::certificate::Nullification`]).
    #[must_use]
    pub fn nullification(&self, round: Round) -> Option<Nullification> {
        self.holdings.get()?.nullification(round)
    }

    /// The greatest height that this member knows to be final: above what it has been given, while blocks are missing here. 0 before it knows of
    /// any.
    #[must_use]
    pub fn newest_final(&self) -> Height {
        self.tip.get()
    }

    /// Has this member sign no vote any more, until the process ends. It goes on to follow the order.
    pub fn stop_voting(&self) {
        self.halted.store(true, Ordering::Release);
    }

    fn enqueue(&self, to: Option<PublicKey>, message: Bytes) -> Result<(), SendError> {
        if message.len() > self.bound {
            return Err(SendError::TooLong { actual: message.len(), bound: self.bound });
        }
        // The bound on messages is below 2^32; at most the whole queue is taken, so that any message can go.
        let room = message.len().clamp(1, QUEUE_BYTES) as u32;
        let room = Arc::clone(&self.waiting).try_acquire_many_owned(room).map_err(|_| SendError::Full)?;
        self.queue.try_send(Outgoing { to, message, _room: room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Stopped,
        })
    }
}

/// The application's ways to the engine beside messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// There may be something to order.
    pub(crate) wake: Arc<Signal>,
    /// There is work to do.
    pub(crate) nudge: Arc<Signal>,
    /// The order is to go on elsewhere.
    pub(crate) start_point: Arc<StartPoint>,
    /// No vote is to be signed any more.
    pub(crate) halted: Arc<AtomicBool>,
    /// What this member holds of the newest blocks, once it has begun.
    pub(crate) holdings: Arc<OnceLock<Holdings>>,
    /// The greatest height known to be final.
    pub(crate) tip: Arc<Signal>,
}

/// Sends what is queued, at most one packet per `pause`. It never ends: an application that drops its [`Network`] just has
/// nothing more to say.
pub(crate) async fn send_packets(
    clock: impl Clock,
    mut queue: mpsc::Receiver<Outgoing>,
    mut sender: impl Sender<PublicKey = ed25519::PublicKey>,
    packet_bytes: usize,
    pause: Duration,
) {
    let mut next = queue.recv().await;
    while let Some(first) = next.take() {
        let to = first.to;
        let mut packet = BytesMut::with_capacity(LENGTH_BYTES + first.message.len());
        put_message(&mut packet, &first.message);
        // What waits for the same receiver and fits goes along.
        while let Ok(more) = queue.try_recv() {
            if more.to != to || packet.len() + LENGTH_BYTES + more.message.len() > packet_bytes {
                next = Some(more);
                break;
            }
            put_message(&mut packet, &more.message);
        }
        let recipients = match to {
            None => Some(Recipients::All),
            Some(key) => engine_public_key(&key).map(Recipients::One),
        };
        if let Some(recipients) = recipients {
            let _ = sender.send(recipients, IoBuf::from(packet.freeze()), false);
            // Packets above the quota would be lost: better to let the next one grow.
            clock.sleep(pause).await;
        }
        if next.is_none() {
            next = queue.recv().await;
        }
    }
    futures::future::pending().await
}

/// Hands what arrives to the application, until the network closes.
pub(crate) async fn receive_packets(
    mut receiver: impl Receiver<PublicKey = ed25519::PublicKey>,
    app: Arc<dyn Application>,
) {
    while let Ok((from, packet)) = receiver.recv().await {
        // The network lets members in alone.
        let from = public_key_from_engine(&from);
        let mut rest = Bytes::from(packet);
        while let Some(message) = take_message(&mut rest) {
            app.received(from, message);
        }
        if !rest.is_empty() {
            debug!(%from, bytes = rest.len(), "packet ends within a message");
        }
    }
}

/// The most bytes of a packet: a longest message, or several shorter ones.
pub(crate) const fn packet_bytes_max(message_bytes: u32) -> usize {
    LENGTH_BYTES + message_bytes as usize
}

fn put_message(packet: &mut BytesMut, message: &Bytes) {
    // At most the bound on messages, a u32.
    packet.put_u32_le(message.len() as u32);
    packet.put_slice(message);
}

/// The next message of a packet. `None` at its end, and if what is left is no message.
fn take_message(rest: &mut Bytes) -> Option<Bytes> {
    let length = *rest.first_chunk::<LENGTH_BYTES>()?;
    let end = LENGTH_BYTES.checked_add(u32::from_le_bytes(length) as usize)?;
    if end > rest.len() {
        return None;
    }
    Some(rest.split_to(end).slice(LENGTH_BYTES..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_hold_messages_of_any_length() {
        let messages = [Bytes::new(), Bytes::from_static(b"a"), Bytes::from(vec![7; 70_000])];
        let mut packet = BytesMut::new();
        messages.iter().for_each(|message| put_message(&mut packet, message));
        let mut rest = packet.freeze();
        for message in &messages {
            assert_eq!(take_message(&mut rest).as_ref(), Some(message));
        }
        assert_eq!(take_message(&mut rest), None);
        assert!(rest.is_empty());
    }

    #[test]
    fn packets_from_a_byzantine_member_yield_nothing() {
        for bytes in [&[][..], &[1], &[1, 0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 1], &[2, 0, 0, 0, 1]] {
            let mut rest = Bytes::copy_from_slice(bytes);
            assert_eq!(take_message(&mut rest), None);
            assert_eq!(rest.len(), bytes.len());
        }
    }

    #[test]
    fn the_queue_is_bounded_in_length_number_and_bytes() {
        let (network, mut outgoing) = Network::new(1 << 20, &Signals::default());
        let long = Bytes::from(vec![0; (1 << 20) + 1]);
        assert_eq!(network.broadcast(long), Err(SendError::TooLong { actual: (1 << 20) + 1, bound: 1 << 20 }));
        let big = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..16 {
            network.broadcast(big.clone()).unwrap();
        }
        assert_eq!(network.broadcast(Bytes::from_static(b"x")), Err(SendError::Full));
        drop(outgoing.try_recv().unwrap());
        network.broadcast(Bytes::from_static(b"x")).unwrap();
        while outgoing.try_recv().is_ok() {}
        for _ in 0..QUEUE_MESSAGES {
            network.send(PublicKey([1; 32]), Bytes::new()).unwrap();
        }
        assert_eq!(network.broadcast(Bytes::new()), Err(SendError::Full));
        drop(outgoing);
        assert_eq!(network.broadcast(Bytes::new()), Err(SendError::Stopped));
    }
}
