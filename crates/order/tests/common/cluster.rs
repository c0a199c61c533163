//! A cluster on the deterministic runtime and the simulated network, of which any member may be down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use commonware_cryptography::ed25519;
use commonware_p2p::Message;
use commonware_p2p::simulated::{self, Control, Link, Manager, Oracle, Receiver, Sender};
use commonware_runtime::{
    Blob as _, Clock as _, Handle, ReadOptions, Storage as _, Supervisor as _, WriteOptions, deterministic,
};
use commonware_utils::{NZUsize, Probability};
use pleach_order::engine::{
    CHANNELS, Channels, Peers, Track, engine_public_key, max_message_size, partitions, quota, start,
};
use pleach_order::{Bounds, OrderError, Timeouts};
use pleach_testkit::{replay, seeds};
use pleach_types::{Genesis, Limits};

use super::slow::Slow;
use super::{Chain, Fault, genesis, secret, settings};

/// Epochs that a run gets to, at most.
const EPOCHS: u64 = 32;

pub type Context = deterministic::Context;
pub type Net = Oracle<ed25519::PublicKey, Context>;

/// Votes as they came over the network.
pub type Heard = Arc<Mutex<Vec<(ed25519::PublicKey, Bytes)>>>;

/// A receiver that notes what it hands on.
#[derive(Debug)]
pub struct Tapped {
    inner: Receiver<ed25519::PublicKey>,
    heard: Option<Heard>,
}

impl commonware_p2p::Receiver for Tapped {
    type Error = <Receiver<ed25519::PublicKey> as commonware_p2p::Receiver>::Error;
    type PublicKey = ed25519::PublicKey;

    async fn recv(&mut self) -> Result<Message<ed25519::PublicKey>, Self::Error> {
        let (from, message) = self.inner.recv().await?;
        if let Some(heard) = &self.heard {
            heard.lock().unwrap().push((from.clone(), Bytes::from(message.clone())));
        }
        Ok((from, message))
    }

    fn capacity(&self) -> std::num::NonZeroUsize {
        self.inner.capacity()
    }
}

/// A member's files, as they were when it was down: by partition and name.
pub type Files = Vec<(String, Vec<u8>, Vec<u8>)>;

/// A cluster of which any member may be down.
pub struct Cluster {
    pub context: Context,
    pub oracle: Net,
    pub genesis: Genesis,
    pub timeouts: Timeouts,
    pub chains: Vec<Arc<Chain>>,
    /// The votes that members have received, as they came: by whom they were sent.
    pub heard: Heard,
    /// What each member takes to build, check or execute a block.
    pub takes: Vec<Duration>,
    /// What each waits before it builds one.
    pub late: Vec<Duration>,
    handles: Vec<Option<Handle<Result<(), OrderError>>>>,
}

pub fn key(n: usize) -> ed25519::PublicKey {
    engine_public_key(&secret(n).public()).unwrap()
}

impl Cluster {
    pub async fn new(context: Context, count: usize, link: Link, timeouts: Timeouts) -> Self {
        Self::of(context, genesis(count), link, timeouts).await
    }

    /// A cluster whose epochs have so many blocks.
    pub async fn with_epochs(context: Context, blocks: u32, link: Link, timeouts: Timeouts) -> Self {
        let mut genesis = genesis(4);
        genesis.governance.epoch_blocks = blocks;
        Self::of(context, genesis, link, timeouts).await
    }

    async fn of(context: Context, genesis: Genesis, link: Link, timeouts: Timeouts) -> Self {
        let count = genesis.members.len();
        let config = simulated::Config {
            max_size: max_message_size(count, &Bounds::of(&Limits::default())),
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, (0..count).map(key)).await;
        network.start();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                oracle.add_link(key(from), key(to), link.clone()).await.unwrap();
            }
        }
        let chains = (0..count).map(|_| Chain::new(&genesis)).collect();
        let handles = (0..count).map(|_| None).collect();
        Self {
            context,
            oracle,
            genesis,
            timeouts,
            chains,
            heard: Heard::default(),
            takes: vec![Duration::ZERO; count],
            late: vec![Duration::ZERO; count],
            handles,
        }
    }

    /// Puts members at so many milliseconds from a point, on one line: so far a message has to go between two of them, a tenth of it more or less.
    pub async fn place(&self, places: &[u64]) {
        for (from, at) in places.iter().enumerate() {
            for (to, there) in places.iter().enumerate().filter(|(to, _)| *to != from) {
                let far = at.abs_diff(*there).max(1);
                self.oracle.remove_link(key(from), key(to)).await.unwrap();
                self.oracle.add_link(key(from), key(to), link(far, far / 10, 0)).await.unwrap();
            }
        }
    }

    pub async fn start(&mut self, n: usize) {
        self.start_faulty(n, Fault::None).await;
    }

    pub async fn start_faulty(&mut self, n: usize, fault: Fault) {
        self.chains[n] = Chain::faulty(&self.genesis, fault);
        let channels = self.channels(n).await;
        let peers: Peers<Manager<_, Context>, Control<_, Context>> = Peers {
            provider: self.oracle.manager(),
            blocker: self.oracle.control(key(n)),
            track: Track(Arc::new(|_, _, _| ())),
        };
        let context = Slow::new(self.context.child("member").with_attribute("n", n), self.takes[n], self.late[n]);
        let settings = settings(&self.genesis, n, self.timeouts);
        self.handles[n] = Some(start(context, channels, peers, settings, self.chains[n].clone()));
    }

    pub async fn start_all(&mut self) {
        for n in 0..self.chains.len() {
            self.start(n).await;
        }
    }

    pub async fn channels(&self, n: usize) -> Channels<Sender<ed25519::PublicKey, Context>, Tapped> {
        let control = self.oracle.control(key(n));
        let mut pairs = Vec::new();
        for channel in CHANNELS {
            let (sender, inner) = control.register(channel, quota(&Bounds::of(&Limits::default()))).await.unwrap();
            let heard = (channel == CHANNELS[0]).then(|| Arc::clone(&self.heard));
            pairs.push((sender, Tapped { inner, heard }));
        }
        let [votes, certificates, resolver, backfill, blocks, messages, views] =
            pairs.try_into().unwrap_or_else(|_| panic!("seven channels"));
        Channels { votes, certificates, resolver, backfill, blocks, messages, views }
    }

    pub async fn crash(&mut self, n: usize) {
        let handle = self.handles[n].take().unwrap();
        handle.abort();
        let _ = handle.await;
        self.context.sleep(Duration::from_millis(10)).await;
    }

    /// The files of a member that is down.
    pub async fn files(&self, n: usize) -> Files {
        let mut files = Files::new();
        for partition in partitions(0..=EPOCHS).into_iter().map(|name| format!("node{n}-{name}")) {
            for name in self.context.scan(&partition).await.unwrap_or_default() {
                let (blob, length) = self.context.open(&partition, &name).await.unwrap();
                let content = blob.read_at(0, length as usize, ReadOptions::DONT_CACHE).await.unwrap();
                files.push((partition.clone(), name, content.coalesce().as_ref().to_vec()));
            }
        }
        files
    }

    /// The epochs of which a member caches blocks.
    pub async fn epochs_cached(&self, n: usize) -> Vec<u64> {
        let mut cached = Vec::new();
        for epoch in 0..=EPOCHS {
            for partition in partitions(epoch..=epoch).into_iter().filter(|name| name.contains("-cache-cache-")) {
                if self.context.scan(&format!("node{n}-{partition}")).await.is_ok_and(|names| !names.is_empty()) {
                    cached.push(epoch);
                    break;
                }
            }
        }
        cached
    }

    /// Puts the files of a member that is down back.
    pub async fn put_back(&self, n: usize, files: &Files) {
        for partition in partitions(0..=EPOCHS).into_iter().map(|name| format!("node{n}-{name}")) {
            let _ = self.context.remove(&partition, None).await;
        }
        for (partition, name, content) in files {
            let (blob, _) = self.context.open(partition, name).await.unwrap();
            blob.write_at(0, content.clone(), WriteOptions::default()).await.unwrap();
            blob.sync().await.unwrap();
        }
    }

    /// Waits until the members that are up have `height` final blocks.
    pub async fn reach(&self, height: usize) {
        loop {
            let up = self.chains.iter().zip(&self.handles).filter(|(_, handle)| handle.is_some());
            if up.into_iter().all(|(chain, _)| chain.height() >= height) {
                return;
            }
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn ordered_everywhere(&self, count: usize) {
        while self.chains.iter().any(|chain| chain.ordered().len() < count) {
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }
}

pub fn link(latency: u64, jitter: u64, loss_percent: u64) -> Link {
    Link {
        latency: Duration::from_millis(latency),
        jitter: Duration::from_millis(jitter),
        success_rate: Probability::new(100 - loss_percent, 100).expect("at most 100 %"),
    }
}

pub fn runner(seed: u64) -> deterministic::Runner {
    deterministic::Runner::new(
        deterministic::Config::new().with_seed(seed).with_timeout(Some(Duration::from_secs(3_000))),
    )
}

/// Runs a scenario with several seeds, or with those of the environment.
pub fn for_seeds(usual: std::ops::Range<u64>, scenario: impl Fn(u64)) {
    for seed in seeds(usual) {
        let _replay = replay(seed);
        scenario(seed);
    }
}

pub fn request(n: usize) -> Bytes {
    Bytes::from(format!("request {n}"))
}
