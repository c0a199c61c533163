//! A small replicated application, and the settings of a cluster that runs it.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod cluster;
pub mod slow;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pleach_order::{Application, Bounds, Network, ProposalRequest, Settings, Timeouts, VotesFound};
use pleach_testkit::members::numbered;
pub use pleach_testkit::members::numbered_key as secret;
use pleach_types::api::Voting;
use pleach_types::hash::Domain;
use pleach_types::vote::Round;
use pleach_types::{
    Block, BlockResult, Certificate, Committee, Encode as _, Evidence, Genesis, Hash, Height, PublicKey,
};

/// A genesis with `count` members.
pub fn genesis(count: usize) -> Genesis {
    let genesis = Genesis::new("test", numbered(count), BTreeMap::new());
    genesis.check().unwrap();
    genesis
}

/// The settings of member `n`.
pub fn settings(genesis: &Genesis, n: usize, timeouts: Timeouts) -> Settings {
    Settings {
        secret: secret(n),
        epoch_blocks: genesis.governance.epoch_blocks,
        members_max: genesis.members.len(),
        peers_max: genesis.members.len(),
        genesis_digest: genesis.digest(),
        genesis: Block::genesis(genesis),
        timeouts,
        bounds: Bounds::of(&genesis.limits),
        storage_prefix: format!("node{n}-"),
        votes: VotesFound::Kept,
        place: n as u64,
    }
}

/// Timeouts that keep tests short.
pub fn timeouts(idle: Duration) -> Timeouts {
    Timeouts {
        pace: Duration::ZERO,
        idle,
        leader: Duration::from_millis(1_000),
        certification: Duration::from_millis(1_500),
        retry: Duration::from_millis(2_000),
        skip: Duration::from_millis(3_000),
        fetch: Duration::from_millis(500),
        rest: Timeouts::default().rest,
    }
}

/// Executes blocks by hashing them into a chain. A request is any bytes; each is ordered once at least.
pub struct Chain {
    genesis: Genesis,
    fault: Fault,
    state: Mutex<State>,
}

/// What is wrong with an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It computes other roots than the others do, from this height on.
    Roots(Height),
    /// It panics when it executes this height as final.
    Panic(Height),
    /// It builds blocks that belong elsewhere.
    Builds,
}

#[derive(Default)]
struct State {
    network: Option<Network>,
    pool: VecDeque<Bytes>,
    /// Height and root after each block that was executed.
    executed: BTreeMap<Hash, (Height, Hash)>,
    finalized: Vec<Final>,
    received: Vec<(PublicKey, Bytes)>,
    evidence: Vec<Evidence>,
    /// A member that is to leave.
    convicted: Option<PublicKey>,
    /// From which round on it may vote, if its votes are lost and that is known.
    rejoins: Option<Round>,
    /// How it was said to stand with voting.
    voting: Vec<Voting>,
    /// Blocks whose execution `verify` or `propose` had to catch up with.
    caught_up: usize,
}

/// A finalized block as the application saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    pub block: Arc<Block>,
    pub certificate: Option<Certificate>,
    pub root: Hash,
}

impl State {
    fn execute(&mut self, block: &Block, fault: Fault) {
        let digest = block.digest();
        if self.executed.contains_key(&digest) {
            return;
        }
        let (height, root) = self.executed[&block.header.context.parent];
        assert_eq!(block.header.height, height + 1, "the engine links heights");
        let mut bytes = root.0.to_vec();
        if matches!(fault, Fault::Roots(from) if height + 1 >= from) {
            bytes.push(1);
        }
        block.requests.iter().for_each(|request| bytes.extend_from_slice(&Hash::of(Domain::BlockBody, request).0));
        self.executed.insert(digest, (height + 1, Hash::of(Domain::Written, &bytes)));
    }

    fn result(&self, block: &Hash) -> BlockResult {
        let (height, root) = self.executed[block];
        BlockResult { height, root, ..BlockResult::default() }
    }
}

impl Chain {
    pub fn new(genesis: &Genesis) -> Arc<Self> {
        Self::faulty(genesis, Fault::None)
    }

    pub fn faulty(genesis: &Genesis, fault: Fault) -> Arc<Self> {
        let mut state = State::default();
        state.executed.insert(Block::genesis(genesis).digest(), (0, Hash::default()));
        Arc::new(Self { genesis: genesis.clone(), fault, state: Mutex::new(state) })
    }

    /// Queues a request here, and sends it to the others.
    pub fn submit(&self, request: Bytes) {
        let mut state = self.state.lock().unwrap();
        state.pool.push_back(request.clone());
        let network = state.network.clone().unwrap();
        drop(state);
        network.broadcast(request).unwrap();
        network.wake();
    }

    /// Queues a request here alone.
    pub fn hide(&self, request: Bytes) {
        self.state.lock().unwrap().pool.push_back(request);
        self.network().wake();
    }

    /// From now on this member is to leave.
    pub fn convict(&self, member: PublicKey) {
        self.state.lock().unwrap().convicted = Some(member);
    }

    pub fn height(&self) -> usize {
        self.state.lock().unwrap().finalized.len()
    }

    pub fn finalized(&self) -> Vec<Final> {
        self.state.lock().unwrap().finalized.clone()
    }

    pub fn received(&self) -> Vec<(PublicKey, Bytes)> {
        self.state.lock().unwrap().received.clone()
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        self.state.lock().unwrap().evidence.clone()
    }

    pub fn voting(&self) -> Vec<Voting> {
        self.state.lock().unwrap().voting.clone()
    }

    pub fn rejoins(&self) -> Option<Round> {
        self.state.lock().unwrap().rejoins
    }

    pub fn network(&self) -> Network {
        self.state.lock().unwrap().network.clone().unwrap()
    }

    /// Requests in final blocks.
    pub fn ordered(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().finalized.iter().flat_map(|f| f.block.requests.clone()).collect()
    }
}

impl Application for Chain {
    fn start(&self, network: Network) {
        assert!(self.state.lock().unwrap().network.replace(network).is_none(), "started once");
    }

    fn committee(&self, _: u64) -> Option<Committee> {
        Some(self.genesis.committee().unwrap())
    }

    fn convicted(&self, member: &PublicKey) -> bool {
        self.state.lock().unwrap().convicted.as_ref() == Some(member)
    }

    fn knows(&self, block: &Hash) -> bool {
        self.state.lock().unwrap().executed.contains_key(block)
    }

    fn wants_block(&self, parent: &Block) -> bool {
        !parent.requests.is_empty() || !self.state.lock().unwrap().pool.is_empty()
    }

    fn propose(&self, proposal: &ProposalRequest, missing: &[Arc<Block>]) -> Option<Block> {
        let mut state = self.state.lock().unwrap();
        state.caught_up += missing.len();
        missing.iter().for_each(|block| state.execute(block, self.fault));
        let result = state.result(&proposal.context.parent);
        let requests: Vec<_> = state.pool.iter().take(100).cloned().collect();
        let height = proposal.height + u64::from(self.fault == Fault::Builds);
        Some(Block::new(proposal.context, height, result, requests))
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        let mut state = self.state.lock().unwrap();
        state.caught_up += missing.len();
        missing.iter().for_each(|block| state.execute(block, self.fault));
        block.header.result == state.result(&block.header.context.parent)
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        assert_ne!(self.fault, Fault::Panic(block.header.height), "the application has a fault");
        let mut state = self.state.lock().unwrap();
        assert_eq!(block.header.height, state.finalized.len() as u64 + 1, "in order, each height once");
        state.execute(&block, self.fault);
        let epoch = block.header.height / u64::from(self.genesis.governance.epoch_blocks);
        assert_eq!(block.header.context.epoch, epoch, "the epoch of height {}", block.header.height);
        if let Some(certificate) = &certificate {
            assert_eq!(certificate.epoch, epoch, "the epoch of the certificate of height {}", block.header.height);
            certificate.verify(&self.genesis.digest(), &self.genesis.committee().unwrap()).unwrap();
            assert_eq!(certificate.block, block.digest());
        }
        state.pool.retain(|request| !block.requests.contains(request));
        let (_, root) = state.executed[&block.digest()];
        state.finalized.push(Final { block, certificate, root });
    }

    fn rejoin(&self, round: Round) {
        self.state.lock().unwrap().rejoins = Some(round);
    }

    fn voting(&self, voting: Voting) {
        self.state.lock().unwrap().voting.push(voting);
    }

    fn evidence(&self, evidence: Evidence) {
        self.state.lock().unwrap().evidence.push(evidence);
    }

    fn received(&self, from: PublicKey, message: Bytes) {
        let mut state = self.state.lock().unwrap();
        state.received.push((from, message.clone()));
        let done = state.finalized.iter().any(|f| f.block.requests.contains(&message));
        if !done && !state.pool.contains(&message) {
            state.pool.push_back(message);
        }
        let network = state.network.clone().unwrap();
        drop(state);
        network.wake();
    }
}

/// All members have the same blocks and roots as far as they are, and each result is that of the height below.
pub fn assert_agreement(chains: &[Arc<Chain>]) {
    let longest = chains.iter().map(|chain| chain.finalized()).max_by_key(Vec::len).unwrap();
    for (n, chain) in chains.iter().enumerate() {
        for (ours, theirs) in chain.finalized().iter().zip(&longest) {
            assert_eq!(ours.block, theirs.block, "block of member {n}");
            assert_eq!(ours.root, theirs.root, "root of member {n}");
        }
    }
    for pair in longest.windows(2) {
        assert_eq!(pair[1].block.header.result.root, pair[0].root);
        assert_eq!(pair[1].block.header.context.parent, pair[0].block.digest());
    }
    assert!(longest.iter().filter(|f| f.certificate.is_some()).count() * 2 > longest.len(), "most have certificates");
}

/// What a run came to, in few bytes.
pub fn digest(chains: &[Arc<Chain>]) -> Hash {
    let mut bytes = Vec::new();
    for chain in chains {
        for f in chain.finalized() {
            bytes.extend_from_slice(&f.block.encode());
            bytes.extend_from_slice(&f.root.0);
        }
    }
    Hash::of(Domain::Written, &bytes)
}
