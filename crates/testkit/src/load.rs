//! The engine alone under load: how many opaque payloads a second it orders, and how fast.
//!
//! All members run in this process on loopback sockets and real files, so they share its cores: the figures are what one machine
//! carries, a lower bound on what as many machines do. The application executes nothing. A closed loop keeps a fixed
//! number of payloads on their way; each waits in the pool of one member until that member leads.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use pleach_order::{
    Application, Bounds, Config, MemberAddress, Network, OrderError, ProposalRequest, Running, Settings, Timeouts,
    VotesFound, declare_new, run,
};
use pleach_types::{
    Block, BlockResult, Certificate, Committee, Genesis, Hash, Height, Limits, Member, PublicKey, SecretKey,
};

use crate::members;
use crate::ports::free_addresses;

/// Bytes of a payload's number and of its member's, which stand in front of it.
const NUMBER_BYTES: usize = 10;

/// What to order.
#[derive(Clone, Debug)]
pub struct Load {
    /// Members of the cluster: 1 to 64.
    pub members: usize,
    /// Bytes of a payload, at least 10.
    pub payload_bytes: usize,
    /// Payloads on their way at a time, over all members.
    pub outstanding: usize,
    /// How long to measure, after a second of warming up.
    pub duration: Duration,
    /// An empty folder for the members' files. It is not removed.
    pub folder: PathBuf,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadResult {
    /// Payloads ordered: final at the member that they were given to.
    pub payloads: usize,
    /// Blocks that became final.
    pub blocks: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The time from a payload's arrival to its being final that half of them stayed within.
    pub latency_p50: Duration,
    /// The same for 99 in 100.
    pub latency_p99: Duration,
}

/// Runs a cluster under load and measures it.
///
/// # Errors
/// [`OrderError`] if a member cannot start, or stops.
///
/// # Panics
/// If `members` is not 1 to 64, or `payload_bytes` below 10.
pub fn measure(load: &Load) -> Result<LoadResult, OrderError> {
    assert!((1..=64).contains(&load.members), "{} members", load.members);
    assert!(load.payload_bytes >= NUMBER_BYTES, "{} bytes hold no number", load.payload_bytes);
    let limits = Limits::default();
    let keys = members::keys(load.members as u8);
    let genesis = Genesis { limits: limits.clone(), ..Genesis::new("load", members::members(&keys), BTreeMap::new()) };
    let addresses = addresses(&genesis);
    let committee = genesis.committee().expect("members made here are a committee");
    let mut cluster = Vec::new();
    for (n, key) in keys.into_iter().enumerate() {
        let pool = LoadPool::new(n as u16, load, &limits);
        let app =
            Arc::new(LoadSource { pool: Mutex::new(pool), network: OnceLock::new(), committee: committee.clone() });
        let config = config(load, &genesis, &addresses, key)?;
        cluster.push((run(config, Arc::clone(&app) as Arc<dyn Application>)?, app));
    }
    let started = Instant::now();
    while cluster.iter().any(|(_, app)| app.lock().height == 0) {
        check(&cluster)?;
        if started.elapsed() > Duration::from_secs(60) {
            return Err(OrderError::Stopped("no block within a minute".into()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // The first blocks pay for connections and cold caches: what is measured begins once they are behind.
    std::thread::sleep(Duration::from_secs(1));
    let blocks = cluster[0].1.lock().height;
    cluster.iter().for_each(|(_, app)| app.lock().latencies.clear());
    let begin = Instant::now();
    std::thread::sleep(load.duration);
    let elapsed = begin.elapsed();
    check(&cluster)?;
    let blocks = cluster[0].1.lock().height - blocks;
    let mut latencies: Vec<_> = cluster.iter().flat_map(|(_, app)| std::mem::take(&mut app.lock().latencies)).collect();
    cluster.iter().for_each(|(running, _)| running.shutdown());
    for (running, _) in &cluster {
        running.wait()?;
    }
    latencies.sort_unstable();
    let quantile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    Ok(LoadResult { payloads: latencies.len(), blocks, elapsed, latency_p50: quantile(50), latency_p99: quantile(99) })
}

fn check(cluster: &[(Running, Arc<LoadSource>)]) -> Result<(), OrderError> {
    cluster.iter().find_map(|(running, _)| running.ended()).unwrap_or(Ok(()))
}

fn addresses(genesis: &Genesis) -> Vec<MemberAddress> {
    let addresses = free_addresses(genesis.members.len() as u16);
    let address = |(member, address): (&Member, SocketAddr)| MemberAddress {
        key: member.public_key,
        address: address.to_string(),
        stands_for: member.address.clone(),
    };
    genesis.members.iter().zip(addresses).map(address).collect()
}

fn config(
    load: &Load,
    genesis: &Genesis,
    addresses: &[MemberAddress],
    secret: SecretKey,
) -> Result<Config, OrderError> {
    let own = secret.public();
    let listen = addresses.iter().find(|member| member.key == own).and_then(|member| member.address.parse().ok());
    let listen = listen.expect("an address for each");
    let settings = Settings {
        secret,
        epoch_blocks: genesis.governance.epoch_blocks,
        members_max: genesis.governance.members_max.into(),
        peers_max: genesis.members.len(),
        genesis_digest: genesis.digest(),
        genesis: Block::genesis(genesis),
        // At its best: with this much on its way every block is full enough.
        timeouts: Timeouts { pace: Duration::ZERO, ..Timeouts::default() },
        bounds: Bounds::of(&genesis.limits),
        storage_prefix: String::new(),
        votes: VotesFound::Kept,
        place: 0,
    };
    let data = load.folder.join(own.short());
    declare_new(&data)?;
    Ok(Config { settings, addresses: addresses.to_vec(), listen, data, workers: 2 })
}

/// An application that orders payloads and executes none.
struct LoadSource {
    pool: Mutex<LoadPool>,
    /// Kept, since the engine ends with the application's interest in it.
    network: OnceLock<Network>,
    committee: Committee,
}

struct LoadPool {
    member: u16,
    next: u64,
    payload_bytes: usize,
    block_requests: usize,
    block_bytes: usize,
    waiting: VecDeque<Bytes>,
    /// When each payload that is on its way arrived.
    arrived: BTreeMap<u64, Instant>,
    /// What this member put into blocks that are not final yet.
    proposed: BTreeMap<Height, Vec<Bytes>>,
    latencies: Vec<Duration>,
    height: Height,
}

impl LoadSource {
    fn lock(&self) -> MutexGuard<'_, LoadPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadPool {
    fn new(member: u16, load: &Load, limits: &Limits) -> Self {
        let mut pool = Self {
            member,
            next: 0,
            payload_bytes: load.payload_bytes,
            block_requests: limits.block_requests as usize,
            block_bytes: limits.block_bytes as usize,
            waiting: VecDeque::new(),
            arrived: BTreeMap::new(),
            proposed: BTreeMap::new(),
            latencies: Vec::new(),
            height: 0,
        };
        (0..load.outstanding.div_ceil(load.members)).for_each(|_| pool.arrive());
        pool
    }

    /// A new payload arrives.
    fn arrive(&mut self) {
        let mut payload = BytesMut::zeroed(self.payload_bytes);
        let mut number = &mut payload[..];
        number.put_u16(self.member);
        number.put_u64(self.next);
        self.arrived.insert(self.next, Instant::now());
        self.waiting.push_back(payload.freeze());
        self.next += 1;
    }

    /// The number of a payload of this member.
    fn own(&self, payload: &Bytes) -> Option<u64> {
        let (member, rest) = payload.split_first_chunk::<2>()?;
        let number = rest.first_chunk::<8>()?;
        (u16::from_be_bytes(*member) == self.member).then(|| u64::from_be_bytes(*number))
    }
}

impl Application for LoadSource {
    fn start(&self, network: Network) {
        let _ = self.network.set(network);
    }

    fn committee(&self, _: u64) -> Option<Committee> {
        Some(self.committee.clone())
    }

    fn knows(&self, _: &Hash) -> bool {
        true
    }

    fn wants_block(&self, parent: &Block) -> bool {
        !parent.requests.is_empty() || !self.lock().waiting.is_empty()
    }

    fn propose(&self, proposal: &ProposalRequest, _: &[Arc<Block>]) -> Option<Block> {
        let mut pool = self.lock();
        let fit = (pool.block_bytes / (pool.payload_bytes + 4)).min(pool.block_requests).min(pool.waiting.len());
        let requests: Vec<_> = pool.waiting.drain(..fit).collect();
        pool.proposed.entry(proposal.height).or_default().extend_from_slice(&requests);
        let height = proposal.height - 1;
        let result = BlockResult { height, ..BlockResult::default() };
        Some(Block::new(proposal.context, proposal.height, result, requests))
    }

    fn verify(&self, block: &Arc<Block>, _: &[Arc<Block>]) -> bool {
        block.header.result.height + 1 == block.header.height
    }

    fn finalized(&self, block: Arc<Block>, _: Option<Certificate>) {
        let mut pool = self.lock();
        pool.height = block.header.height;
        for payload in &block.requests {
            let Some(arrived) = pool.own(payload).and_then(|number| pool.arrived.remove(&number)) else { continue };
            pool.latencies.push(arrived.elapsed());
            pool.arrive();
        }
        // What went into a block that lost its place waits again.
        let later = pool.proposed.split_off(&(block.header.height + 1));
        for payload in std::mem::replace(&mut pool.proposed, later).into_values().flatten() {
            if pool.own(&payload).is_some_and(|number| pool.arrived.contains_key(&number)) {
                pool.waiting.push_back(payload);
            }
        }
    }

    fn received(&self, _: PublicKey, _: Bytes) {}
}
