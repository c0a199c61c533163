//! The node as the engine sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use pleach_order::{Application, Network, Proposal};
use pleach_state::{Applied, Executor, Prepared, State, prepare, prepare_all};
use pleach_tree::Tree;
use pleach_types::genesis::GenesisError;
use pleach_types::receipt::Void;
use pleach_types::{Block, Certificate, Genesis, Hash, Identity, PartitionMap, PublicKey, SecretKey};
use tokio::sync::Notify;

use crate::chain::{Chain, Executed};
use crate::history::History;
use crate::lock;
use crate::metrics::Metrics;
use crate::pool::{Pool, content_of};
use crate::service::ServiceError;
use crate::waiters::Waiters;

/// Heights that are kept for reads beside the window of the state machine.
const HEIGHTS_KEPT_MIN: u64 = 256;
/// How far a request's `base` may be ahead of this node: the client read from a faster one.
const BASE_AHEAD_MAX: u64 = 64;

/// One member of a cluster, without the runtime that drives it.
pub struct Node {
    pub(crate) name: String,
    pub(crate) genesis: Genesis,
    pub(crate) digest: Hash,
    /// Who keeps what.
    pub(crate) map: PartitionMap,
    pub(crate) secret: SecretKey,
    pub(crate) history: Mutex<History>,
    pub(crate) pool: Mutex<Pool>,
    /// Wakes whoever waits for another height. Not a `watch` channel, which wakes in random order: the same run of a
    /// simulation must be the same run twice.
    pub(crate) progress: Notify,
    /// Wakes whoever waits for a receipt.
    pub(crate) waiters: Waiters,
    pub(crate) metrics: Metrics,
    /// Whether the blocks of the archive have been executed again: what is served before is older than what this
    /// node has shown already.
    pub(crate) replayed: AtomicBool,
    chain: Chain,
    executor: Arc<dyn Executor>,
    network: OnceLock<Network>,
}

impl Node {
    /// A node at height 0.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn new(genesis: Genesis, secret: SecretKey, executor: Arc<dyn Executor>) -> Result<Self, GenesisError> {
        let state = State::of_member(genesis.clone(), &secret.public())?;
        let block = Arc::new(Block::genesis(&genesis));
        let applied =
            Applied { state, decisions: Vec::new(), receipts: Tree::new(), changes: std::collections::BTreeMap::new() };
        let executed = Arc::new(Executed { digest: block.digest(), block, applied });
        // Twice the window: a client must have the time to learn that its request was never executed.
        let keep = genesis.history.saturating_mul(2).max(HEIGHTS_KEPT_MIN);
        let name = genesis.member(&secret.public()).map_or_else(|| secret.public().short(), |m| m.name.clone());
        Ok(Self {
            name,
            digest: genesis.digest(),
            map: genesis.partition_map(),
            genesis,
            secret,
            history: Mutex::new(History::new(executed.clone(), keep)),
            pool: Mutex::new(Pool::default()),
            progress: Notify::new(),
            waiters: Waiters::default(),
            metrics: Metrics::new(),
            replayed: AtomicBool::new(false),
            chain: Chain::new(executed),
            executor,
            network: OnceLock::new(),
        })
    }

    /// The genesis of the node's cluster.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The node's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.secret.public()
    }

    /// The state of the newest final block.
    ///
    /// # Panics
    /// Never: genesis is always there.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.history).tip().expect("history begins with genesis").executed.state().clone()
    }

    /// Takes a request from a client: checks it, queues it, and forwards it to the other members, so that it
    /// is ordered whoever leads next.
    ///
    /// # Errors
    /// Why the request would be void, or that the queue is full.
    pub fn submit(&self, bytes: &Bytes) -> Result<Identity, ServiceError> {
        let content = content_of(bytes);
        if let Some(prepared) = lock(&self.pool).prepared(&content) {
            return Ok(prepared.identity());
        }
        let prepared = prepare(bytes, &self.genesis, &self.digest).map_err(ServiceError::Void)?;
        let identity = prepared.identity();
        match self.state().check(&prepared) {
            Ok(()) => {}
            // Sent again after it was ordered: its receipt is what the client wants. It must not wait in the
            // pool, which is a reason to build blocks.
            Err(Void::Duplicate { .. }) => return Ok(identity),
            Err(void) if comes_soon(&void) => {}
            Err(void) => return Err(ServiceError::Void(void)),
        }
        {
            let mut pool = lock(&self.pool);
            if !pool.has_room(bytes.len()) {
                return Err(ServiceError::Overloaded { waiting: pool.len() });
            }
            pool.add(content, bytes.clone(), Arc::new(prepared));
        }
        if let Some(network) = self.network.get() {
            // Lossy on purpose: this node has the request and will lead one day; the client may ask others.
            let _ = network.broadcast(bytes.clone());
            network.wake();
        }
        Ok(identity)
    }

    /// Checks what other members forwarded, many signatures at a time.
    fn drain_inbox(&self) {
        let arrived = lock(&self.pool).take_inbox();
        let (contents, bytes): (Vec<_>, Vec<_>) = arrived.into_iter().unzip();
        let prepared = prepare_all(&bytes, &self.genesis, &self.digest);
        let state = self.state();
        let mut pool = lock(&self.pool);
        for ((content, bytes), prepared) in contents.into_iter().zip(bytes).zip(prepared) {
            let Ok(prepared) = prepared else { continue };
            match state.check(&prepared) {
                Ok(()) => pool.add(content, bytes, Arc::new(prepared)),
                Err(void) if comes_soon(&void) => pool.add(content, bytes, Arc::new(prepared)),
                Err(_) => {}
            }
        }
    }

    /// The requests of a block in their checked form: from the pool where they wait there, together otherwise.
    fn prepare_block(&self, block: &Block) -> Vec<Result<Arc<Prepared>, Void>> {
        let mut prepared: Vec<Option<Result<Arc<Prepared>, Void>>> = {
            let pool = lock(&self.pool);
            block.requests.iter().map(|bytes| pool.prepared(&content_of(bytes)).map(Ok)).collect()
        };
        let unknown: Vec<Bytes> =
            block.requests.iter().zip(&prepared).filter(|(_, p)| p.is_none()).map(|(bytes, _)| bytes.clone()).collect();
        let mut fresh = prepare_all(&unknown, &self.genesis, &self.digest).into_iter();
        for slot in prepared.iter_mut().filter(|slot| slot.is_none()) {
            *slot = fresh.next().map(|p| p.map(Arc::new));
        }
        prepared.into_iter().flatten().collect()
    }

    fn apply(&self, state: &State, block: &Block) -> Applied {
        state.apply(&self.prepare_block(block), &*self.executor)
    }

    fn reach(&self, digest: &Hash, missing: &[Arc<Block>]) -> Option<Arc<Executed>> {
        self.chain.reach(digest, missing, |state, block| self.apply(state, block))
    }

    /// Stops this node if a quorum has agreed on another result of the block's parent than this node came to.
    ///
    /// Such a node votes for nothing any more, and whatever it answers is refused by clients. Silence is more use.
    ///
    /// # Panics
    /// If the results differ: the engine stops as it does when a disk fails.
    fn check_against_quorum(&self, block: &Block) {
        let Some(parent) = self.chain.get(&block.header.context.parent) else { return };
        let (agreed, own) = (&block.header.result, parent.state().result());
        assert!(
            agreed == own,
            "execution of height {} went wrong here: a quorum came to root {}, this node to {}. Its memory, disk or \
             program is broken; replace what is, then start it again",
            agreed.height,
            agreed.root,
            own.root,
        );
    }

    /// The bounds of a block that do not depend on any state.
    fn within_limits(&self, block: &Block) -> bool {
        let limits = &self.genesis.limits;
        let bytes: usize = block.requests.iter().map(Bytes::len).sum();
        block.requests.len() <= limits.block_requests as usize && bytes <= limits.block_bytes as usize
    }
}

/// Whether a request is void only because its `base` is a little ahead of this node. What lies far ahead would
/// wait, and keep others out, for ever.
fn comes_soon(void: &Void) -> bool {
    matches!(void, Void::ProofFromFuture { base, newest } if *base <= newest.saturating_add(BASE_AHEAD_MAX))
}

impl Application for Node {
    fn start(&self, network: Network) {
        // The engine starts an application once.
        let _ = self.network.set(network);
    }

    fn knows(&self, block: &Hash) -> bool {
        self.chain.get(block).is_some()
    }

    fn wants_block(&self, parent: &Block) -> bool {
        !parent.requests.is_empty() || !lock(&self.pool).is_empty()
    }

    fn fills_block(&self) -> bool {
        lock(&self.pool).fills_block(&self.genesis.limits)
    }

    fn propose(&self, proposal: &Proposal, missing: &[Arc<Block>]) -> Option<Block> {
        let parent = self.reach(&proposal.context.parent, missing)?;
        self.drain_inbox();
        let requests = lock(&self.pool).select(parent.state());
        Some(Block::new(proposal.context, proposal.height, *parent.state().result(), requests))
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        if !self.within_limits(block) {
            return false;
        }
        let parent = self.reach(&block.header.context.parent, missing);
        parent.is_some_and(|parent| *parent.state().result() == block.header.result)
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        let contents: Vec<_> = block.requests.iter().map(content_of).collect();
        self.check_against_quorum(&block);
        let digest = block.digest();
        let Some(executed) = self.reach(&digest, &[block]) else {
            // A final block that does not extend the final chain: more members lie than the cluster can
            // bear, or this machine is broken. Going on could only spread it.
            panic!("final block {digest} does not extend the final chain");
        };
        self.chain.finalize(&executed);
        let identities: Vec<_> = executed.receipts().map(|receipt| receipt.identity).collect();
        lock(&self.pool).finalize(executed.state(), identities.iter().copied(), contents);
        self.metrics.finalized(&executed);
        let certified: Vec<_> = {
            let mut history = lock(&self.history);
            let before = history.certified();
            history.push(executed.clone(), certificate);
            history.certified_since(before).collect()
        };
        self.progress.notify_waiters();
        self.waiters.wake(identities.into_iter().chain(certified));
    }

    fn replayed(&self) {
        self.replayed.store(true, Ordering::Release);
    }

    fn received(&self, _from: PublicKey, message: Bytes) {
        let content = content_of(&message);
        lock(&self.pool).receive(content, message);
        if let Some(network) = self.network.get() {
            network.wake();
        }
    }
}
