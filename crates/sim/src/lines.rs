//! Two processes with one key: a folder that was copied, and both copies run.
//!
//! Each other member has one connection with a key at a time, whichever process made it: a second one is refused. So each of the two
//! hears some of the others and is heard by them, and when one ends the other takes its connections over.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use commonware_cryptography::ed25519;
use commonware_p2p::simulated::Receiver as NetworkReceiver;
use commonware_p2p::{Channel, LimitedSender, Message, Receiver, Recipients, simulated};
use commonware_runtime::{Spawner as _, Supervisor as _, deterministic};
use commonware_utils::NZUsize;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use rand::Rng;

type PeerKey = ed25519::PublicKey;
type NetworkSender = simulated::Sender<PeerKey, deterministic::Context>;

/// Messages that may wait for a process, as the engine is told. The channel through which they come has no bound, as the simulated
/// network has none.
const INBOX: NonZeroUsize = NZUsize!(1_024);

/// The connections of one key. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// The other members, and the process that each is connected with.
    held: BTreeMap<PeerKey, Option<usize>>,
    up: BTreeSet<usize>,
    inboxes: BTreeMap<(usize, Channel), UnboundedSender<Message<PeerKey>>>,
    /// The way out; empty until the first process starts.
    senders: BTreeMap<Channel, NetworkSender>,
}

impl Lines {
    /// A key that nobody is connected with, beside these members.
    pub(crate) fn new(others: impl IntoIterator<Item = PeerKey>) -> Self {
        let held = others.into_iter().map(|other| (other, None)).collect();
        let (up, inboxes, senders) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Inner { held, up, inboxes, senders })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the key is in the network already.
    pub(crate) fn is_open(&self) -> bool {
        !self.inner().senders.is_empty()
    }

    /// Takes over what the network has for the key: from now on each message goes to whoever has the line to its sender.
    pub(crate) fn open(
        &self,
        context: &deterministic::Context,
        channel: Channel,
        (sender, mut receiver): (NetworkSender, NetworkReceiver<PeerKey>),
    ) {
        self.inner().senders.insert(channel, sender);
        let lines = self.clone();
        context.child("lines").with_attribute("channel", channel).spawn(move |_| async move {
            while let Ok(message) = receiver.recv().await {
                lines.deliver(channel, message);
            }
        });
    }

    fn deliver(&self, channel: Channel, message: Message<PeerKey>) {
        let inner = self.inner();
        let holder = inner.held.get(&message.0).copied().flatten();
        if let Some(inbox) = holder.and_then(|holder| inner.inboxes.get(&(holder, channel))) {
            // Whoever has ended hears nothing.
            let _ = inbox.unbounded_send(message);
        }
    }

    /// The ends of a process that starts.
    pub(crate) fn pair(&self, process: usize, channel: Channel) -> (Wired, LineInbox) {
        let (inbox, arrived) = unbounded();
        let mut inner = self.inner();
        inner.inboxes.insert((process, channel), inbox);
        let sender = inner.senders.get(&channel).expect("the key is in the network").clone();
        (Wired { inner: sender, lines: Some((self.clone(), process)) }, LineInbox(arrived))
    }

    /// A process is up: it has the lines that nobody has.
    pub(crate) fn up(&self, process: usize) {
        let mut inner = self.inner();
        inner.up.insert(process);
        inner.held.values_mut().filter(|holder| holder.is_none()).for_each(|holder| *holder = Some(process));
    }

    /// A process has ended: the other one has its lines, if it is up.
    pub(crate) fn down(&self, process: usize) {
        let mut inner = self.inner();
        inner.up.remove(&process);
        let other = inner.up.first().copied();
        inner.held.values_mut().filter(|holder| **holder == Some(process)).for_each(|holder| *holder = other);
    }

    /// All connections break, and are made anew by one process or the other.
    pub(crate) fn draw(&self, rng: &mut impl Rng) {
        let mut inner = self.inner();
        let up: Vec<usize> = inner.up.iter().copied().collect();
        for holder in inner.held.values_mut().filter(|_| !up.is_empty()) {
            *holder = Some(up[rng.random_range(0..up.len())]);
        }
    }

    /// How many lines a process has.
    pub(crate) fn of(&self, process: usize) -> usize {
        self.inner().held.values().filter(|holder| **holder == Some(process)).count()
    }

    fn reached(&self, process: usize, recipients: Recipients<PeerKey>) -> Recipients<PeerKey> {
        let inner = self.inner();
        let reaches = |key: &PeerKey| inner.held.get(key).is_some_and(|holder| *holder == Some(process));
        let keys = match recipients {
            Recipients::All => inner.held.keys().cloned().collect(),
            Recipients::Some(keys) => keys,
            Recipients::One(key) => vec![key],
        };
        Recipients::Some(keys.into_iter().filter(|key| reaches(key)).collect())
    }
}

/// A process's way out.
#[derive(Clone, Debug)]
pub struct Wired {
    pub(crate) inner: NetworkSender,
    /// `None` of whoever is alone with its key.
    pub(crate) lines: Option<(Lines, usize)>,
}

impl LimitedSender for Wired {
    type PublicKey = PeerKey;
    type Checked<'a> = <NetworkSender as LimitedSender>::Checked<'a>;

    fn check(&mut self, recipients: Recipients<PeerKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let recipients = match &self.lines {
            Some((lines, process)) => lines.reached(*process, recipients),
            None => recipients,
        };
        self.inner.check(recipients)
    }
}

/// What arrives for one of two processes.
#[derive(Debug)]
pub(crate) struct LineInbox(UnboundedReceiver<Message<PeerKey>>);

/// Where a process hears the others.
#[derive(Debug)]
pub(crate) enum LineEar {
    /// It is alone with its key.
    Network(NetworkReceiver<PeerKey>),
    /// Another process may have the same one.
    Shared(LineInbox),
}

impl Receiver for LineEar {
    type Error = simulated::Error;
    type PublicKey = PeerKey;

    async fn recv(&mut self) -> Result<Message<PeerKey>, simulated::Error> {
        match self {
            Self::Network(receiver) => receiver.recv().await,
            Self::Shared(LineInbox(arrived)) => arrived.next().await.ok_or(simulated::Error::NetworkClosed),
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        match self {
            Self::Network(receiver) => receiver.capacity(),
            Self::Shared(_) => INBOX,
        }
    }
}
