//! A cluster of real nodes on the deterministic runtime and the simulated network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use commonware_cryptography::ed25519;
use commonware_p2p::simulated::{self, Control, Link, Manager};
use commonware_runtime::{
    Blob as _, Clock as _, Handle, ReadOptions, Storage as _, Supervisor as _, WriteOptions, deterministic,
};
use commonware_utils::{NZUsize, Probability};
use pleach_client::{Client, Config, Error};
use pleach_node::{Node, resume, settings};
use pleach_order::engine::{
    CHANNELS, Channels, Peers, Track, engine_public_key, max_message_size, partitions, quota, start,
};
use pleach_order::{Bounds, OrderError, Timeouts, Voted, VotesFound};
use pleach_store::{Options, StorageBackend as _, Store};
use pleach_types::execution::Executor;
use pleach_types::{Genesis, Height, SecretKey};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};

use crate::access::{self, InProcess, Ports, SimulatedTime, Treatment};
use crate::bank;
use crate::disk::SimDisk;
use crate::ledger::{Conduct, Ledger, Observer};
use crate::lines::{LineEar, Lines, Wired};
use crate::tap::{Tap, Tapped};

type SimContext = deterministic::Context;

/// Simulated time after which a run is given up.
const LIMIT: Duration = Duration::from_secs(36_000);

/// The runtime of a seed.
#[must_use]
pub fn runner(seed: u64) -> deterministic::Runner {
    deterministic::Runner::new(deterministic::Config::new().with_seed(seed).with_timeout(Some(LIMIT)))
}

/// Small stores need no large cache.
const STORE: Options = Options { cache_bytes: 1 << 20, fine_history: 1 << 10 };

/// Lives of a member that are told apart within one cluster.
const APART: u32 = 1_000;

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(20);

/// The network between two members, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The mean delay in milliseconds.
    pub latency_ms: u64,
    /// The deviation of the delay in milliseconds.
    pub jitter_ms: u64,
    /// How many of a hundred messages are lost.
    pub loss_percent: u64,
}

impl Conditions {
    /// A calm network: a few milliseconds and no loss.
    pub const CALM: Self = Self { latency_ms: 5, jitter_ms: 1, loss_percent: 0 };

    fn link(self) -> Link {
        Link {
            latency: Duration::from_millis(self.latency_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            success_rate: Probability::new(100 - self.loss_percent.min(100), 100).expect("at most 100 %"),
        }
    }
}

/// A cluster of which any member may be down or cut off. What a member has stored survives its crashes.
pub struct Cluster {
    context: SimContext,
    oracle: simulated::Oracle<ed25519::PublicKey, SimContext>,
    genesis: Genesis,
    secrets: Vec<SecretKey>,
    executors: Vec<Arc<dyn Executor>>,
    ledger: Ledger,
    ports: Ports,
    handles: Vec<Option<Handle<Result<(), OrderError>>>>,
    conditions: Conditions,
    cut_off: Vec<bool>,
    disks: Vec<SimDisk>,
    /// How often each member lost everything: its files of before are out of reach.
    lives: Vec<u32>,
    /// Members that lost their votes and do not vote yet.
    voteless: Vec<Arc<AtomicBool>>,
    /// How members treat the others.
    conduct: Vec<Conduct>,
    tap: Tap,
    /// The connections of members whose key another node has as well, by their numbers.
    lines: BTreeMap<usize, Lines>,
}

/// All that a member has stored, as it was when it was down.
#[derive(Debug)]
pub struct Stored {
    disk: SimDisk,
    /// By partition and name.
    files: Vec<(String, Vec<u8>, Vec<u8>)>,
}

impl Cluster {
    /// A cluster of `secrets.len()` nodes, none of them up yet: those of genesis come first, and the rest are nobody's members until the
    /// owners add them, or have the key of one that came before: then both are processes of one member, whose folder was copied.
    /// `executors` has one runtime of operations for each, so that one of them, the `suspect`, can be a broken one.
    ///
    /// # Panics
    /// If genesis and secrets do not belong together.
    pub async fn new(
        context: SimContext,
        genesis: Genesis,
        secrets: Vec<SecretKey>,
        executors: Vec<Arc<dyn Executor>>,
        suspect: Option<usize>,
        conditions: Conditions,
    ) -> Self {
        let count = secrets.len();
        assert!(count >= genesis.members.len() && count == executors.len(), "one secret and executor per node");
        let config = simulated::Config {
            max_size: max_message_size(count, &Bounds::of(&genesis.limits)),
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let keys: BTreeSet<_> = secrets.iter().map(engine_key).collect();
        let (network, oracle) = simulated::Network::new_with_peers(context.child("network"), config, keys).await;
        network.start();
        let ledger = Ledger::new(&genesis, suspect);
        let handles = secrets.iter().map(|_| None).collect();
        // Nobody is linked yet: reconnecting below makes the links, each once.
        let cut_off = vec![true; count];
        let ports = Ports::default();
        let disks = (0..count).map(|_| SimDisk::default()).collect();
        let voteless = (0..count).map(|_| Arc::default()).collect();
        let (lives, conduct) = (vec![0; count], vec![Conduct::Honest; count]);
        let mut cluster = Self {
            context,
            oracle,
            genesis,
            secrets,
            executors,
            ledger,
            ports,
            handles,
            conditions,
            cut_off,
            disks,
            lives,
            voteless,
            conduct,
            tap: Tap::default(),
            lines: BTreeMap::new(),
        };
        cluster.share_lines();
        for member in 0..count {
            cluster.reconnect(member).await;
        }
        cluster
    }

    /// A cluster of this genesis, whose members have the keys of [`bank::member_secret`] and whole runtimes, all of them started.
    ///
    /// # Panics
    /// If the genesis has other members.
    pub async fn started(context: &SimContext, genesis: Genesis, conditions: Conditions) -> Self {
        Self::with_newcomers(context, genesis, 0, conditions).await
    }

    /// As [`Cluster::started`], with so many more nodes that the genesis does not name and that are not started: they are numbered
    /// after the members.
    ///
    /// # Panics
    /// As [`Cluster::started`].
    pub async fn with_newcomers(
        context: &SimContext,
        genesis: Genesis,
        newcomers: usize,
        conditions: Conditions,
    ) -> Self {
        let members = 0..genesis.members.len() + newcomers;
        let secrets = members.clone().map(bank::member_secret).collect();
        let executors = members.map(|_| bank::vm()).collect();
        let mut cluster = Self::new(context.child("cluster"), genesis, secrets, executors, None, conditions).await;
        cluster.start_all().await;
        cluster
    }

    /// As [`Cluster::started`], with one more node, numbered after the members, that has the key of member `of`. It is not started.
    ///
    /// # Panics
    /// As [`Cluster::started`].
    pub async fn with_a_copy(context: &SimContext, genesis: Genesis, of: usize, conditions: Conditions) -> Self {
        let members = (0..genesis.members.len()).chain([of]);
        let secrets: Vec<_> = members.map(bank::member_secret).collect();
        let executors = secrets.iter().map(|_| bank::vm()).collect();
        let mut cluster = Self::new(context.child("cluster"), genesis, secrets, executors, None, conditions).await;
        cluster.start_all().await;
        cluster
    }

    /// Nodes with one key have their connections together.
    fn share_lines(&mut self) {
        for member in 0..self.members() {
            let Some(first) = (0..member).find(|first| self.key(*first) == self.key(member)) else { continue };
            let keys: BTreeSet<_> = (0..self.members()).map(|other| self.key(other)).collect();
            let own = self.key(member);
            let others = keys.into_iter().filter(|key| *key != own);
            let lines = self.lines.entry(first).or_insert_with(|| Lines::new(others)).clone();
            self.lines.insert(member, lines);
        }
    }

    /// Whether a node that came before has the same key.
    fn is_a_copy(&self, member: usize) -> bool {
        (0..member).any(|first| self.key(first) == self.key(member))
    }

    /// The connections of a key that two nodes have break, and are made anew by one or the other.
    ///
    /// # Panics
    /// If the member's key is its own.
    pub fn draw_lines(&self, member: usize, rng: &mut impl Rng) {
        self.lines[&member].draw(rng);
    }

    /// With how many others a node is connected whose key another one has as well.
    ///
    /// # Panics
    /// If the member's key is its own.
    #[must_use]
    pub fn connected(&self, member: usize) -> usize {
        self.lines[&member].of(member)
    }

    /// How many nodes there are, up or not, newcomers included.
    #[must_use]
    pub fn members(&self) -> usize {
        self.secrets.len()
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// What the members were seen to do.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Where the nodes are reached.
    #[must_use]
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Keeps the files of all members, none of which has been started, apart from those of another cluster on the same runtime.
    pub fn set_apart(&mut self) {
        self.lives.iter_mut().for_each(|life| *life += APART);
    }

    /// Starts every member of genesis.
    pub async fn start_all(&mut self) {
        for member in 0..self.genesis.members.len() {
            self.start(member).await;
        }
    }

    /// Starts a member with a fresh node on what its last run stored.
    ///
    /// # Panics
    /// If the genesis breaks a rule, or the member's store is not what it was.
    pub async fn start(&mut self, member: usize) {
        let secret = self.secrets[member].clone();
        let executor = self.executors[member].clone();
        let opened = Store::open_on(self.disks[member].clone(), &self.genesis.digest(), &STORE);
        let opened = opened.unwrap_or_else(|e| panic!("member {member} cannot open its store: {e}"));
        let resumed = resume(opened, &self.genesis, &secret.public(), |_| {});
        let resumed = resumed.unwrap_or_else(|e| panic!("member {member} cannot go on with its store: {e}"));
        // At once: a thread that writes behind would make each run of a seed another one.
        let disk = pleach_node::Disk::at_once(resumed.store.clone());
        let node = Arc::new(Node::new(secret, executor, resumed, disk));
        let mut settings = settings(&self.genesis, &node);
        settings.storage_prefix = self.storage_prefix(member);
        settings.place = member as u64;
        let voteless = self.voteless[member].clone();
        if voteless.load(Ordering::Acquire) {
            settings.votes = VotesFound::Lost(Voted(Arc::new(move || voteless.store(false, Ordering::Release))));
        }
        settings.check().expect("settings are consistent");
        let channels = self.channels(member).await;
        let peers: Peers<Manager<_, SimContext>, Control<_, SimContext>> = Peers {
            provider: self.oracle.manager(),
            blocker: self.oracle.control(self.key(member)),
            // All members are known to the network from the start.
            track: Track(Arc::new(|_, _, _| ())),
        };
        let context = self.context.child("member").with_attribute("n", member);
        let observer = Observer::new(member, node.clone(), self.ledger.clone(), self.conduct[member]);
        self.handles[member] = Some(start(context, channels, peers, settings, Arc::new(observer)));
        let time = SimulatedTime(Arc::new(self.context.child("port").with_attribute("n", member)));
        self.ports.open(member, node, time);
        if let Some(lines) = self.lines.get(&member) {
            lines.up(member);
        }
    }

    async fn channels(&self, member: usize) -> Channels<Wired, Tapped> {
        let control = self.oracle.control(self.key(member));
        let lines = self.lines.get(&member);
        let is_open = lines.is_some_and(Lines::is_open);
        let mut pairs = Vec::new();
        for channel in CHANNELS {
            let quota = quota(&Bounds::of(&self.genesis.limits));
            let (sender, inner) = match lines {
                None => {
                    let (inner, receiver) = control.register(channel, quota).await.expect("the network is up");
                    (Wired { inner, lines: None }, LineEar::Network(receiver))
                }
                // Two processes of one key: the network knows the key once, so what comes to it is handed to both.
                Some(lines) => {
                    if !is_open {
                        let pair = control.register(channel, quota).await.expect("the network is up");
                        lines.open(&self.context, channel, pair);
                    }
                    let (sender, inbox) = lines.pair(member, channel);
                    (sender, LineEar::Shared(inbox))
                }
            };
            let tap = (channel == CHANNELS[0]).then(|| self.tap.clone());
            pairs.push((sender, Tapped { inner, tap }));
        }
        let Ok([votes, certificates, resolver, backfill, blocks, messages, views]) = <[_; 7]>::try_from(pairs) else {
            unreachable!("one pair for each of the seven channels")
        };
        Channels { votes, certificates, resolver, backfill, blocks, messages, views }
    }

    /// Stops a member at once, as if its process were killed. Nothing of it is left but its storage.
    pub async fn crash(&mut self, member: usize) {
        self.close(member);
        if let Some(handle) = self.handles[member].take() {
            handle.abort();
            // How it ended does not matter: it was killed.
            let _ = handle.await;
        }
        // What becomes of unsynced writes is drawn; the moment of the crash is another one in each seed.
        let now = self.context.current().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut rng = StdRng::seed_from_u64(now.as_nanos() as u64 ^ member as u64);
        self.disks[member] = self.disks[member].cut_power(&mut rng);
        // Its tasks are dropped when the runtime next comes to them.
        self.context.sleep(Duration::from_millis(10)).await;
    }

    /// Nobody reaches a member any more.
    fn close(&self, member: usize) {
        self.ports.close(member);
        if let Some(lines) = self.lines.get(&member) {
            lines.down(member);
        }
    }

    /// Stops a member at once and deletes everything that it has stored.
    pub async fn wipe(&mut self, member: usize) {
        self.crash(member).await;
        self.disks[member] = SimDisk::default();
        self.lives[member] += 1;
        self.voteless[member].store(true, Ordering::Release);
    }

    /// Stops a member at once and deletes its store. Its journals stay, and its votes with them.
    pub async fn lose_store(&mut self, member: usize) {
        self.crash(member).await;
        self.disks[member] = SimDisk::default();
    }

    /// What the names of a member's files start with: another one in each life, so that none are left of the last.
    fn storage_prefix(&self, member: usize) -> String {
        format!("node{member}-{}-", self.lives[member])
    }

    /// Bytes of the files of a member that is down, one figure for each of the [`partitions`] of all epochs so far, in that
    /// order, and those of its store. What is gone takes none.
    ///
    /// # Panics
    /// If the member runs: it has them open.
    pub async fn bytes_on_disk(&self, member: usize) -> (Vec<u64>, u64) {
        let partitions = self.partitions_of(member);
        let mut bytes = vec![0; partitions.len()];
        for (partition, bytes) in partitions.into_iter().zip(&mut bytes) {
            let files = self.context.scan(&partition).await.unwrap_or_default();
            for file in files {
                let (_, length) = self.context.open(&partition, &file).await.expect("a file that was just listed");
                *bytes += length;
            }
        }
        (bytes, self.disks[member].len().expect("a disk in memory"))
    }

    /// All that a member has stored that is down.
    ///
    /// # Panics
    /// If the member runs: it has its files open.
    pub async fn stored(&self, member: usize) -> Stored {
        let mut files = Vec::new();
        for partition in self.partitions_of(member) {
            for name in self.context.scan(&partition).await.unwrap_or_default() {
                let (blob, length) = self.context.open(&partition, &name).await.expect("a file that was just listed");
                let content = blob.read_at(0, length as usize, ReadOptions::DONT_CACHE).await.expect("it is as long");
                files.push((partition.clone(), name, content.coalesce().as_ref().to_vec()));
            }
        }
        Stored { disk: self.disks[member].image(), files }
    }

    /// Copies all that a member has stored into the place of another, as an operator copies a folder. Both are down.
    ///
    /// Files that the simulated disk does not list yet are not copied: in rare runs the copy lacks a file whose length another one notes, and the
    /// engine refuses it with a panic (`PLEACH_SEED=12` of `copies`).
    ///
    /// # Panics
    /// If one of them runs.
    pub async fn copy(&mut self, from: usize, to: usize) {
        let mut stored = self.stored(from).await;
        let (old, new) = (self.storage_prefix(from), self.storage_prefix(to));
        for (partition, ..) in &mut stored.files {
            *partition = partition.replacen(&old, &new, 1);
        }
        self.put_back(to, &stored).await;
    }

    /// Puts all that a member had stored back, as it was once. The member is down.
    ///
    /// # Panics
    /// If the member runs.
    pub async fn put_back(&mut self, member: usize, stored: &Stored) {
        for partition in self.partitions_of(member) {
            // There may be no such epoch.
            let _ = self.context.remove(&partition, None).await;
        }
        for (partition, name, content) in &stored.files {
            let (blob, _) = self.context.open(partition, name).await.expect("a new file");
            blob.write_at(0, content.clone(), WriteOptions::default()).await.expect("there is room");
            blob.sync().await.expect("a disk in memory");
        }
        self.disks[member] = stored.disk.image();
    }

    /// The partitions that a member may have, those of all epochs so far included.
    fn partitions_of(&self, member: usize) -> Vec<String> {
        let epochs = 0..=self.ledger.height() / u64::from(self.genesis.governance.epoch_blocks) + 1;
        let prefix = self.storage_prefix(member);
        partitions(epochs).into_iter().map(|name| format!("{prefix}{name}")).collect()
    }

    /// The votes that have arrived anywhere.
    #[must_use]
    pub const fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Whether a member that was wiped does not vote yet.
    #[must_use]
    pub fn voteless(&self, member: usize) -> bool {
        self.voteless[member].load(Ordering::Acquire)
    }

    /// Makes a member, from its next start on, treat the others like this.
    pub fn corrupt(&mut self, member: usize, conduct: Conduct) {
        self.conduct[member] = conduct;
    }

    /// Whether a member runs, or how it ended by itself.
    pub async fn ended(&mut self, member: usize) -> Option<String> {
        let handle = self.handles[member].as_mut()?;
        let pause = self.context.sleep(LOOK);
        match futures::future::select(handle, Box::pin(pause)).await {
            futures::future::Either::Left((outcome, _)) => {
                self.handles[member] = None;
                self.close(member);
                Some(format!("{outcome:?}"))
            }
            futures::future::Either::Right(_) => None,
        }
    }

    /// Cuts a member off from all others. Clients still reach it.
    pub async fn isolate(&mut self, member: usize) {
        self.cut_off[member] = true;
        if self.is_a_copy(member) {
            return;
        }
        for other in (0..self.members()).filter(|other| *other != member) {
            // Two that are cut off have no link to remove.
            let _ = self.oracle.remove_link(self.key(member), self.key(other)).await;
            let _ = self.oracle.remove_link(self.key(other), self.key(member)).await;
        }
    }

    /// Links a member that was cut off to all others that are not.
    pub async fn reconnect(&mut self, member: usize) {
        self.cut_off[member] = false;
        if self.is_a_copy(member) {
            // A copy has the links of the member that it is a copy of.
            return;
        }
        for other in (0..self.members()).filter(|other| *other != member && !self.is_a_copy(*other)) {
            if !self.cut_off[other] {
                self.link(member, other).await;
                self.link(other, member).await;
            }
        }
    }

    async fn link(&self, from: usize, to: usize) {
        let link = self.conditions.link();
        self.oracle.add_link(self.key(from), self.key(to), link).await.expect("both are members, and not linked");
    }

    /// Changes the conditions on all links between members that are not cut off.
    pub async fn change_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        let keys: Vec<usize> = (0..self.members()).filter(|member| !self.is_a_copy(*member)).collect();
        for from in keys.clone() {
            for to in keys.iter().copied().filter(|to| *to != from) {
                if !self.cut_off[from] && !self.cut_off[to] {
                    let _ = self.oracle.remove_link(self.key(from), self.key(to)).await;
                    self.link(from, to).await;
                }
            }
        }
    }

    fn key(&self, member: usize) -> ed25519::PublicKey {
        engine_key(&self.secrets[member])
    }

    /// A client that knows these members' nodes. Everything random about it comes from `seed`.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn client(
        &self,
        members: Vec<usize>,
        link: access::ClientLink,
        config: Config,
        executor: Arc<dyn Executor>,
        seed: u64,
    ) -> Result<Client, Error> {
        let time = self.time();
        let transport = InProcess::new(self.ports.clone(), time.clone(), members, link, seed);
        self.connect(transport, time, config, executor, seed).await
    }

    /// A client that knows all members, some of which treat it otherwise than others.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn treated_client(&self, by: BTreeMap<usize, Treatment>, seed: u64) -> Result<Client, Error> {
        let (time, members) = (self.time(), (0..self.genesis.members.len()).collect());
        let transport =
            InProcess::new(self.ports.clone(), time.clone(), members, access::ClientLink::NEAR, seed).treated(by);
        self.connect(transport, time, Config::default(), bank::vm(), seed).await
    }

    /// The clock of a new client.
    fn time(&self) -> SimulatedTime {
        SimulatedTime(Arc::new(self.context.child("client")))
    }

    async fn connect(
        &self,
        transport: InProcess,
        time: SimulatedTime,
        config: Config,
        executor: Arc<dyn Executor>,
        seed: u64,
    ) -> Result<Client, Error> {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let builder = Client::builder(self.genesis.digest(), Arc::new(transport));
        builder.runtime(Arc::new(time)).executor(executor).config(config).seed(bytes).connect().await
    }

    /// Waits until every one of `members` has come to `height`; says whether it happened within `limit`, by the time of a cluster that is busy:
    /// one that rests has so many times longer.
    pub async fn reach(&self, members: &[usize], height: Height, limit: Duration) -> bool {
        let deadline = self.context.current() + limit * Timeouts::default().rest;
        while members.iter().any(|member| self.ledger.reached(*member) < height) {
            if self.context.current() >= deadline {
                return false;
            }
            self.context.sleep(LOOK).await;
        }
        true
    }

    /// Lets simulated time pass.
    pub async fn pass(&self, duration: Duration) {
        self.context.sleep(duration).await;
    }
}

fn engine_key(secret: &SecretKey) -> ed25519::PublicKey {
    engine_public_key(&secret.public()).expect("a public key made from a secret is a valid one")
}
