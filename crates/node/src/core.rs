//! The node as the engine sees it: [`Node`] is the engine's [`Application`].
//!
//! What the engine calls, and what each call may look at:
//!
//! | call | looks at | does |
//! | --- | --- | --- |
//! | `propose` | the parent's state, the pool | takes what others have forwarded into the pool, chooses requests, puts the parent's result beside them |
//! | `verify` | the block and its ancestry, *nothing else* | compares the result with its own; holds the requests to their bytes and the budget |
//! | `finalized` | blocks in the order of heights, each once | executes, hands on to disk and recent heights, then wakes who waits |
//! | `received` | one message of another node | queues it: to check it here would hold up the network |
//! | `work` | the queues, a clock for time-outs | answers and asks for states, complains, writes evidence |
//!
//! A block is executed by whoever needs its state first, a voter, the proposer of its child or the delivery, through `chain`, and once. If a quorum
//! agrees on another result than this node's, the node stops (`check_against_quorum`): it is broken, and whatever it says would be false.
//!
//! `delivered` is held while a final block is taken in or a fetched state is put in the place of this one, so that neither sees the other half done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use pleach_order::{Application, Network, Proposal};
use pleach_state::{
    Applied, BlockFault, Executor, Prepared, PreparedBlock, State, Unchecked, check_together, prepare_block,
};
use pleach_store::{BlockWrite, Keep, WindowEntry};
use pleach_tree::Prefix;
use pleach_types::api::Voting;
use pleach_types::request::ordered_digest;
use pleach_types::succession::Step;
use pleach_types::terms::RULES;
use pleach_types::vote::Round;
use pleach_types::{
    Block, Certificate, Committee, Encode, Evidence, Genesis, Hash, Height, Identity, Member, PublicKey, SecretKey,
    SystemRequest, Void,
};
use tokio::sync::Notify;
use tracing::{debug, error, info};

use crate::byzantine::Manner;
use crate::chain::{Chain, ExecutedBlock};
use crate::disk::Disk;
use crate::evidence::EvidenceStore;
use crate::fork::Forked;
use crate::lock;
use crate::members::{Members, is_listed};
use crate::metrics::Metrics;
use crate::moves::Moves;
use crate::pool::{Decided, Forwarded, Full, Origin, Pool, Sender};
use crate::read_through::ReadThrough;
use crate::recent_heights::{Final, RecentHeights};
use crate::resume::Resumed;
use crate::service::ServiceError;
use crate::transfer::wire::{Answer, Ask, Message};
use crate::transfer::{Failure, Fetch, Source};
use crate::turns::Turns;
use crate::waiters::Waiters;

/// Heights that are kept for reads beside the window of the state machine.
const HEIGHTS_KEPT_MIN: u64 = 256;
/// How far a request's `base` may be ahead of this node: the client read from a faster one.
const BASE_AHEAD_MAX: u64 = 64;
/// What is checked of the inbox at a time weighs this part of a block, or one request more.
const INBOX_PARTS: u64 = 4;
/// Requests of the inbox that are looked at at a time, those that find no room or cannot be read included.
const INBOX_LOOKED_AT: usize = 2_048;
/// Blocks that are kept as they were checked, until they are executed. One at a time is proposed; some never become final.
const CHECKED_MAX: usize = 8;

/// One member of a cluster, without the runtime that drives it.
pub struct Node {
    pub(crate) name: String,
    pub(crate) genesis: Genesis,
    pub(crate) genesis_digest: Hash,
    /// Who the members are, and who keeps what.
    pub(crate) members: Members,
    pub(crate) secret: SecretKey,
    /// Whether this node's key was a member's, or one's on standby, by any state of this node that is known.
    was_listed: AtomicBool,
    pub(crate) recent: Mutex<RecentHeights>,
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
    /// Whether this node votes, as the order says.
    pub(crate) voting: Mutex<Voting>,
    pub(crate) disk: Disk,
    pub(crate) chain: Chain,
    /// Blocks that are valid by their bytes and were not executed since, the oldest first.
    checked: Mutex<VecDeque<(Hash, Arc<PreparedBlock>)>>,
    executor: Arc<dyn Executor>,
    network: OnceLock<Network>,
    /// Whether it keeps the rules.
    pub(crate) manner: Manner,
    /// What was found against members.
    pub(crate) evidence: EvidenceStore,
    /// Whether it was shown that the cluster has forked.
    pub(crate) fork: Forked,
    /// States that others fetch from here.
    pub(crate) source: Source,
    pub(crate) read_through: ReadThrough,
    /// A state that this node fetches from others.
    pub(crate) fetch: Fetch,
    /// Where the order goes on, if the state came from others and the node was stopped before the engine had a block above it.
    start_above: Mutex<Option<Certificate>>,
    /// Records that move to this node, and from it.
    pub(crate) moves: Moves,
    /// Held while a block is delivered or a fetched state is put in: the height up to which blocks are not needed.
    pub(crate) delivered: Mutex<Height>,
    /// How many heights are remembered.
    pub(crate) keep: u64,
    /// Who led in this epoch.
    pub(crate) turns: Mutex<Turns>,
}

/// How many heights a node remembers: twice the window, since a client must have the time to learn that its request was
/// never executed.
pub(crate) fn heights_kept(genesis: &Genesis) -> u64 {
    genesis.window.saturating_mul(2).max(HEIGHTS_KEPT_MIN)
}

/// Translates all code that is warm in a state of which this node has not executed the blocks. Whoever runs warm code does not pay
/// for that, so it must not wait until a block runs it: others wait for the vote then.
fn translate_warm(executor: &dyn Executor, state: &State) {
    for (digest, code) in state.warm_code() {
        executor.prepare(&state.limits(), digest, code);
    }
}

impl Node {
    /// A node that goes on where its store stopped. `disk` is made of the store in `resumed`.
    #[must_use]
    pub fn new(secret: SecretKey, executor: Arc<dyn Executor>, resumed: Resumed, disk: Disk) -> Self {
        let Resumed { state, entries, members, above, .. } = resumed;
        let genesis = state.cluster_genesis().clone();
        let keep = heights_kept(&genesis);
        translate_warm(&*executor, &state);
        let turns = counted(&members, &entries);
        let (recent, tip) = remembered(&state, entries, keep);
        let committee = members.committee();
        let pool = Mutex::new(Pool::new(&state));
        let was_listed = was_listed(&state, &secret.public());
        let name = committee.member(&secret.public()).map_or_else(|| secret.public().short(), |m| m.name.clone());
        Self {
            name,
            genesis_digest: *state.genesis_digest(),
            members,
            genesis,
            secret,
            was_listed: AtomicBool::new(was_listed),
            recent: Mutex::new(recent),
            pool,
            progress: Notify::new(),
            waiters: Waiters::default(),
            metrics: Metrics::new(),
            replayed: AtomicBool::new(false),
            voting: Mutex::default(),
            disk,
            chain: Chain::new(tip),
            checked: Mutex::default(),
            executor,
            network: OnceLock::new(),
            manner: Manner::honest(),
            evidence: EvidenceStore::default(),
            fork: Forked::default(),
            source: Source::default(),
            read_through: ReadThrough::default(),
            fetch: Fetch::default(),
            start_above: Mutex::new(above),
            moves: Moves::default(),
            delivered: Mutex::new(0),
            keep,
            turns: Mutex::new(turns),
        }
    }

    /// This node with the name that it is configured with: a member on standby is in no genesis that could say it.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// This node with this manner.
    pub(crate) fn behaving(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// This node with the evidence that it has kept.
    pub(crate) fn with_evidence(self, evidence: EvidenceStore) -> Self {
        Self { evidence, ..self }
    }

    /// This node with the fork that it was shown before, if it was.
    pub(crate) fn with_fork(self, fork: Forked) -> Self {
        Self { fork, ..self }
    }

    /// What this node answers to a message of another member that asks for a part of a state, both as they travel. `None`
    /// if it is no such question, or there is no answer.
    #[must_use]
    pub fn answer_message(&self, from: &PublicKey, message: &Bytes) -> Option<Bytes> {
        match Message::read(message) {
            Ok(Message::Ask(ask)) => self.answer(from, &ask).map(|answer| Message::Answer(answer).encode().into()),
            _ => None,
        }
    }

    /// The way to the other members, once the engine has introduced this node to it.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.get()
    }

    /// Has the engine sign no vote of this node any more.
    pub(crate) fn stop_voting(&self) {
        if let Some(network) = self.network.get() {
            network.stop_voting();
        }
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
    /// Never: the newest height is always there.
    #[must_use]
    pub fn state(&self) -> State {
        let tip = lock(&self.recent).tip().and_then(|tip| tip.state());
        tip.expect("the newest height has its state")
    }

    /// Takes a request from a client: checks it, queues it, and forwards it to the other members, so that it
    /// is ordered whoever leads next.
    ///
    /// # Errors
    /// Why the request would be void, or that the queue is full.
    pub fn submit(&self, request: &Bytes) -> Result<Identity, ServiceError> {
        self.submit_all(&[(Origin::default(), request.clone())]).remove(0)
    }

    /// As [`Node::submit`] for many requests of several clients, which are checked together; one verdict for each.
    pub(crate) fn submit_all(&self, requests: &[(Origin, Bytes)]) -> Vec<Result<Identity, ServiceError>> {
        let contents: Vec<_> = requests.iter().map(|(_, request)| ordered_digest(request)).collect();
        let mut verdicts: BTreeMap<Hash, Result<Identity, ServiceError>> = {
            let pool = lock(&self.pool);
            let known = contents.iter().filter_map(|content| Some((*content, Ok(pool.prepared(content)?.identity()))));
            known.collect()
        };
        // Copies of one request are one.
        let (mut seen, mut unknown, mut unchecked) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (content, (origin, bytes)) in contents.iter().zip(requests) {
            if verdicts.contains_key(content) || !seen.insert(*content) {
                continue;
            }
            let sender = Sender { member: None, origin: *origin };
            match self.read(bytes, sender) {
                Ok(read) => {
                    unknown.push(Forwarded { content: *content, bytes: bytes.clone(), sender });
                    unchecked.push(read);
                }
                Err(refused) => drop(verdicts.insert(*content, Err(refused))),
            }
        }
        let state = self.state();
        for (request, prepared) in unknown.into_iter().zip(check_together(unchecked)) {
            let content = request.content;
            let prepared = prepared.map_err(ServiceError::Unacceptable);
            let verdict = prepared.and_then(|prepared| self.admit(request, prepared, &state));
            verdicts.insert(content, verdict);
        }
        contents.iter().map(|content| verdicts[content].clone()).collect()
    }

    /// Queues and forwards a request that was checked.
    fn admit(&self, request: Forwarded, prepared: Prepared, state: &State) -> Result<Identity, ServiceError> {
        let (identity, bytes, origin) = (prepared.identity(), request.bytes.clone(), request.sender.origin);
        let void = match state.check(&prepared) {
            Ok(()) => None,
            // Sent again after it was ordered: its receipt is what the client wants. It must not wait in the
            // pool, which is a reason to build blocks.
            Err(Void::Duplicate { .. }) => return Ok(identity),
            Err(void) if comes_soon(&void) => Some(void),
            Err(void) => return Err(ServiceError::Void(void)),
        };
        // Nobody pays for a request of the system, so one that would be refused does not get as far as a block.
        let refused = prepared.system().and_then(|system| state.foresee(system).ok().flatten());
        if let Some(refusal) = refused {
            return Err(ServiceError::System(refusal));
        }
        {
            let mut pool = lock(&self.pool);
            // Ordered since the state was looked at: as above.
            if pool.was_ordered(&request.content) {
                return Ok(identity);
            }
            if let Some(void) = void {
                if !pool.wait_ahead(request, Arc::new(prepared)) {
                    return Err(ServiceError::Void(void));
                }
            } else {
                pool.check_room_for(request.sender, &prepared).map_err(|full| self.overloaded(pool.len(), full))?;
                if !pool.add(request, Arc::new(prepared)) {
                    return Ok(identity);
                }
            }
        }
        if let Some(network) = self.network.get() {
            // Lossy on purpose: this node has the request and will lead one day; the client may ask others.
            let _ = network.broadcast(Message::request(origin, &bytes));
            network.wake();
        }
        Ok(identity)
    }

    /// There is no room: counts that.
    pub(crate) fn overloaded(&self, waiting: usize, full: Full) -> ServiceError {
        self.metrics.had_no_room(full);
        ServiceError::Overloaded { waiting, full }
    }

    /// Reads a request, and refuses it before anything that takes long if there is no room for it, or if it accuses nobody
    /// who could be convicted: anybody can make evidence against keys of their own. One that was decided before takes none.
    fn read(&self, bytes: &Bytes, sender: Sender) -> Result<Unchecked, ServiceError> {
        let read =
            Unchecked::read(bytes, &self.state().limits(), &self.genesis_digest).map_err(ServiceError::Unacceptable)?;
        let pool = lock(&self.pool);
        let (waiting, waits) = (pool.len(), pool.contains(&read.identity()));
        let room = pool.check_room(sender, read.costs(), read.held());
        drop(pool);
        let heard = |evidence| self.state().may_be_accused(evidence).map_err(ServiceError::System);
        let refused = match (read.evidence().map_or(Ok(()), heard), room) {
            _ if waits => return Ok(read),
            (Ok(()), Ok(())) => return Ok(read),
            (Ok(()), Err(full)) => Err(full),
            (Err(refused), _) => Ok(refused),
        };
        if lock(&self.recent).place_of(&read.identity()).is_some() {
            return Ok(read);
        }
        Err(refused.unwrap_or_else(|full| self.overloaded(waiting, full)))
    }

    /// Takes out of the inbox what is to be checked at once: a part of what a block may weigh. A leader does this before it
    /// proposes, so whatever others have forwarded may not take longer than the others wait for the proposal.
    fn take_inbox(&self) -> Vec<(Forwarded, Unchecked)> {
        let most = self.state().limits().block_weight / INBOX_PARTS;
        let (mut taken, mut weight) = (Vec::new(), 0);
        for _ in 0..INBOX_LOOKED_AT {
            if weight >= most {
                break;
            }
            let Some(forwarded) = lock(&self.pool).pop_inbox() else { break };
            // What finds no room would be dropped after all the work: the one who sent it can send it again.
            if let Ok(read) = self.read(&forwarded.bytes, forwarded.sender) {
                weight += read.costs().weight;
                taken.push((forwarded, read));
            }
        }
        taken
    }

    /// Checks what other members forwarded, many signatures at a time.
    fn drain_inbox(&self) {
        let (forwarded, unchecked): (Vec<_>, Vec<_>) = self.take_inbox().into_iter().unzip();
        let prepared = check_together(unchecked);
        let state = self.state();
        let mut pool = lock(&self.pool);
        for (forwarded, prepared) in forwarded.into_iter().zip(prepared) {
            let Ok(prepared) = prepared else { continue };
            let refused = prepared.system().is_some_and(|system| !matches!(state.foresee(system), Ok(None)));
            match state.check(&prepared) {
                _ if refused => {}
                Ok(()) => drop(pool.add(forwarded, Arc::new(prepared))),
                Err(void) if comes_soon(&void) => drop(pool.wait_ahead(forwarded, Arc::new(prepared))),
                Err(_) => {}
            }
        }
    }

    /// The requests of a block in their checked form: from the pool where they wait there, together otherwise. `None` if the
    /// block is invalid by its bytes: such a block does nothing but cost its leader the view.
    ///
    /// A block is checked when it is proposed and executed when the next one builds on it, so what came of the check is
    /// kept in between.
    fn prepare_block(&self, parent: &State, block: &Block) -> Option<Arc<PreparedBlock>> {
        let digest = block.digest();
        let of = |checked: &&(Hash, Arc<PreparedBlock>)| checked.0 == digest;
        if let Some((_, prepared)) = lock(&self.checked).iter().find(of) {
            return Some(prepared.clone());
        }
        let known = {
            let pool = lock(&self.pool);
            block.digests().iter().map(|content| pool.prepared(content)).collect()
        };
        let prepared = prepare_block(&block.requests, known, &parent.limits(), &self.genesis_digest);
        let told = |fault: &BlockFault| {
            let (height, leader) = (block.header.height, block.header.context.leader);
            debug!(height, %leader, %fault, "a proposed block is invalid");
        };
        let prepared = Arc::new(prepared.inspect_err(told).ok()?);
        let mut checked = lock(&self.checked);
        checked.push_back((digest, prepared.clone()));
        // Proposals that never become final are never executed, so nothing else would take them out.
        if checked.len() > CHECKED_MAX {
            checked.pop_front();
        }
        Some(prepared)
    }

    /// What a block comes to, if it is valid by its bytes.
    fn apply(&self, state: &State, block: &Block) -> Option<Applied> {
        let prepared = self.prepare_block(state, block)?;
        let digest = block.digest();
        // No block is executed twice.
        lock(&self.checked).retain(|(of, _)| *of != digest);
        Some(state.apply(&prepared, &block.header.context, &*self.executor))
    }

    fn reach(&self, digest: &Hash, missing: &[Arc<Block>]) -> Option<Arc<ExecutedBlock>> {
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

    /// What the store is to remember of a block.
    fn block_write(&self, executed: &ExecutedBlock, entry: &Final, step: Option<Step>) -> BlockWrite {
        let (state, before, height) = (executed.state(), self.state(), executed.height());
        let written = state.tree().written(height).unwrap_or_default().to_vec();
        let kept = executed.applied.changes.iter().filter(|(key, _)| state.keeps(&key.path()));
        let code: BTreeMap<_, _> = state.newest_code().map(|(digest, code)| (*digest, code.clone())).collect();
        let pin = self.source.oldest_pin().unwrap_or(height);
        let oldest = height.saturating_sub(self.keep - 1);
        let values = oldest.min(pin);
        let window = oldest.min((pin + 1).saturating_sub(self.genesis.window));
        BlockWrite {
            entry: entry.entry(written, state.newest_used().to_vec()),
            records: kept.map(|(key, value)| (key.clone(), value.clone())).collect(),
            outline: state.tree().outline_changes(before.tree()),
            code,
            keep: Keep { values, window },
            step,
        }
    }

    /// Puts a state that came from others in the place of this node's own, once `fetched` has made it the stored one.
    /// Blocks up to its height are not executed any more.
    pub(crate) fn install(
        &self,
        height: Height,
        fetched: impl FnOnce() -> Result<(State, Vec<WindowEntry>), Failure>,
    ) -> Result<(), Failure> {
        let mut delivered = lock(&self.delivered);
        // Blocks on their way to the disk belong to the old state: written after the fetched one, they would not follow it.
        self.disk.settle()?;
        let (state, entries) = fetched()?;
        translate_warm(&*self.executor, &state);
        self.members.enter(&state, None);
        *lock(&self.turns) = counted(&self.members, &entries);
        let (recent, tip) = remembered(&state, entries, self.keep);
        self.note_standing(&state);
        *lock(&self.recent) = recent;
        self.chain.reset(tip);
        self.moves.skip();
        lock(&self.pool).finalize(&state, None, Vec::new());
        *delivered = height;
        drop(delivered);
        self.progress.notify_waiters();
        Ok(())
    }

    /// Puts what was found against members before all of them: a complaint is ordered like any request, and whoever is guilty leaves
    /// at the end of the epoch.
    fn complain(&self) {
        if !self.replayed.load(Ordering::Acquire) {
            return;
        }
        for evidence in self.evidence.fresh() {
            let (accused, digest) = (evidence.accused, evidence.digest());
            let complaint = Bytes::from(SystemRequest::complain(evidence.clone(), None).encode());
            match self.submit(&complaint) {
                Ok(_) => info!(%accused, %digest, "a complaint about a member is on its way into the order"),
                Err(ServiceError::Overloaded { .. }) => self.evidence.untold(evidence),
                // Others were quicker, or it is no member any more.
                Err(why) => debug!(%accused, %digest, %why, "no complaint is made"),
            }
        }
    }

    /// Remembers whether this node is listed as a member.
    fn note_standing(&self, state: &State) {
        if is_listed(state.cluster(), &self.public_key()) {
            self.was_listed.store(true, Ordering::Release);
        }
    }

    pub(crate) fn newest_height(&self) -> Height {
        lock(&self.recent).tip().map_or(0, |tip| tip.header.height)
    }

    pub(crate) fn kept_prefixes(&self) -> Vec<Prefix> {
        self.state().tree().kept().to_vec()
    }

    /// The other members.
    pub(crate) fn others(&self) -> Vec<PublicKey> {
        self.members.others(&self.public_key())
    }
}

/// Whether a key is listed as a member's, or was: genesis names it, or it has taken records over.
fn was_listed(state: &State, key: &PublicKey) -> bool {
    let keeps_records = state.tree().kept().iter().any(|prefix| prefix.bits() < pleach_tree::Path::BITS);
    let of_genesis = state.cluster_genesis().members.iter().any(|member| member.public_key == *key);
    keeps_records || of_genesis || is_listed(state.cluster(), key)
}

/// Who led in the newest epoch, as far as a store remembers it.
fn counted(members: &Members, entries: &[WindowEntry]) -> Turns {
    let epoch = entries.last().map_or(0, |entry| entry.header.context.epoch);
    Turns::of(entries.iter().map(|entry| &entry.header), members.anchor().committee_of(epoch))
}

/// The last heights as a store remembers them, and their newest block.
fn remembered(state: &State, mut entries: Vec<WindowEntry>, keep: u64) -> (RecentHeights, Arc<ExecutedBlock>) {
    let mut recent = RecentHeights::new(keep);
    let newest = entries.pop().expect("a state that was restored has its own height");
    let height = newest.result.height;
    entries.into_iter().for_each(|entry| recent.push(Final::stored(entry, None), height));
    let tip = Arc::new(ExecutedBlock::stored(&newest, state.clone()));
    recent.push(Final::stored(newest, Some(state.clone())), height);
    (recent, tip)
}

/// Whether a request is void only because its `base` is a little ahead of this node. What lies far ahead would
/// wait, and keep others out, for ever.
fn comes_soon(void: &Void) -> bool {
    matches!(void, Void::ProofFromFuture { base, newest } if *base <= newest.saturating_add(BASE_AHEAD_MAX))
}

impl Application for Node {
    fn height(&self) -> Height {
        self.newest_height()
    }

    fn needed_from(&self) -> Height {
        // As far back as a member may lag and still catch up block by block; or as far as one that fetches a state that is
        // older has to come from there.
        let lagging = self.disk.durable().saturating_sub(self.keep);
        self.source.oldest_pin().map_or(lagging, |pin| lagging.min(pin))
    }

    fn start(&self, network: Network) {
        // The archive has nothing above a state that has just come from others, and would ask the others for blocks from long ago.
        if let Some(above) = lock(&self.start_above).take() {
            network.set_start_point(above);
        }
        // The engine starts an application once.
        let _ = self.network.set(network);
        if self.forked().is_some() {
            self.stop_voting();
        }
    }

    fn voting(&self, state: Voting) {
        *lock(&self.voting) = state;
    }

    fn knows(&self, block: &Hash) -> bool {
        self.chain.get(block).is_some()
    }

    fn wants_block(&self, parent: &Block) -> bool {
        // Nobody idles while others are to take over: they do at the end of the epoch, and one that is expelled votes until then.
        // The same where somebody on standby waits for the network to let it in.
        let result = &parent.header.result;
        !parent.requests.is_empty()
            || !lock(&self.pool).is_empty()
            || result.members != result.next
            || self.state().cluster().terms != self.state().cluster().next_terms
            || self.members.keeps_one_waiting(&self.state())
    }

    fn is_worth_a_block(&self, parent: &Block) -> bool {
        let ordered = parent.requests.len();
        // What a block orders leaves the pool when it is final.
        let still = if self.state().height() < parent.header.height { ordered } else { 0 };
        lock(&self.pool).is_worth_a_block(ordered, still)
    }

    fn propose(&self, proposal: &Proposal, missing: &[Arc<Block>]) -> Option<Block> {
        let parent = self.reach(&proposal.context.parent, missing)?;
        if !parent.state().terms().are_known() {
            return None;
        }
        self.drain_inbox();
        let requests = lock(&self.pool).select(parent.state());
        Some(Block::new(proposal.context, proposal.height, *parent.state().result(), requests))
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        let Some(parent) = self.reach(&block.header.context.parent, missing) else { return false };
        // The cheaper part first: a leader with another result is refused for nothing else.
        let parent = parent.state();
        *parent.result() == block.header.result
            && parent.terms().are_known()
            && self.prepare_block(parent, block).is_some()
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        let delivered = lock(&self.delivered);
        if block.header.height <= *delivered {
            return;
        }
        self.check_against_quorum(&block);
        let digest = block.digest();
        let Some(executed) = self.reach(&digest, &[block]) else {
            // A final block that does not extend the final chain: more members are Byzantine than the cluster can
            // bear, or this machine is broken. Going on could only spread it.
            panic!("final block {digest} does not extend the final chain");
        };
        self.chain.finalize(&executed);
        for Member { name, public_key, .. } in &executed.applied.departed {
            let epochs = self.state().cluster_genesis().governance.absent_epochs;
            info!(member = %name, %public_key, epochs, "a member has led no block for so many epochs: it leaves with the next one");
        }
        self.moves.note(&executed);
        // The state before names the members that certify this block.
        let turns = lock(&self.turns).note(&executed.header, self.state().committee());
        let step = self.members.step(&executed.header, certificate.as_ref(), executed.state());
        self.members.enter(executed.state(), step.as_ref());
        self.note_standing(executed.state());
        let entry = Final::executed(&executed, certificate);
        self.disk.write(self.block_write(&executed, &entry, step));
        let identities: Vec<_> = executed.receipts().map(|receipt| receipt.identity).collect();
        let decided = executed.receipts().map(|receipt| Decided { identity: receipt.identity, gas: receipt.gas });
        lock(&self.pool).finalize(executed.state(), decided, executed.contents.clone());
        let before = lock(&self.recent).tip().map_or(0, |tip| tip.requests);
        self.metrics.finalized(&executed, before);
        self.metrics.took_turns(&turns, &self.members.committee());
        let certified: Vec<_> = {
            let mut recent = lock(&self.recent);
            let before = recent.certified();
            recent.push(entry, self.disk.durable());
            recent.certified_since(before).collect()
        };
        // Where the node may stop behind this block, and must not come to it again when it is started anew.
        if self.members.ends_epoch(executed.header.height) || self.cannot_go_on().is_some() {
            self.disk.hand_on();
        }
        drop(delivered);
        self.progress.notify_waiters();
        self.waiters.wake(identities.into_iter().chain(certified));
    }

    fn committee(&self, epoch: u64) -> Option<Committee> {
        self.members.of(epoch, &self.state())
    }

    fn standby(&self) -> Vec<Member> {
        self.members.guests()
    }

    fn cannot_go_on(&self) -> Option<String> {
        let state = self.state();
        let (rules, next) = (state.terms().rules, state.height() + 1);
        (rules > RULES).then(|| {
            format!(
                "version {rules} of the rules is in force from height {next} on, and this program knows them up to version {RULES}. It has \
                 stopped before it would come to something else than the others: start the node with a program that knows version {rules}, \
                 on the same data"
            )
        })
    }

    fn follows(&self) -> bool {
        // One that no state has named yet may be named by the next. One that was named, and is not any more, has been taken out.
        let listed = is_listed(self.state().cluster(), &self.public_key());
        listed || !self.was_listed.load(Ordering::Acquire)
    }

    fn newest_members(&self) -> Option<(u64, Committee)> {
        let anchor = self.members.anchor();
        Some((anchor.since(), anchor.committee().clone()))
    }

    #[cfg(feature = "byzantine")]
    fn equivocates(&self) -> Option<pleach_order::Equivocation> {
        self.manner.equivocates()
    }

    fn replayed(&self) {
        self.replayed.store(true, Ordering::Release);
    }

    fn work(&self, now: Duration) {
        self.evidence.write(&self.genesis, || self.members.all_steps());
        self.fork.write();
        let Some(network) = self.network.get() else { return };
        self.manner.work(self, network);
        self.complain();
        self.drain_inbox();
        self.serve_members(network);
        for (from, ask) in self.source.questions() {
            if let Some(answer) = self.answer(&from, &ask) {
                // What gets lost is asked for again.
                let _ = network.send(from, Message::Answer(answer).encode().into());
            }
        }
        self.source.unpin(self.newest_height());
        self.fetch(now, network);
    }

    fn rejoin(&self, round: Round) {
        self.fetch.rejoin(round);
    }

    fn evidence(&self, evidence: Evidence) {
        let (accused, digest) = (evidence.accused, evidence.digest());
        if self.evidence.add(evidence) {
            error!(%accused, %digest, "a member signed two votes that exclude each other: see GET /v1/evidence");
            // To write it soon.
            self.network.get().inspect(|network| network.nudge());
        }
    }

    fn received(&self, from: PublicKey, message: Bytes) {
        let tell: fn(&Network) = match Message::read(&message) {
            Ok(Message::Request { origin, request }) => {
                let received = lock(&self.pool).receive((from, origin), ordered_digest(&request), &request);
                if let Err(full) = received {
                    self.metrics.had_no_room(full);
                }
                Network::wake
            }
            Ok(Message::Ask(Ask::Read(read))) => {
                self.read_through.ask(from, read);
                Network::nudge
            }
            Ok(Message::Ask(ask)) => {
                self.source.ask(from, ask);
                Network::nudge
            }
            Ok(Message::Answer(Answer::Read { number, found })) => {
                return self.read_through.answer(from, number, found);
            }
            // Told again soon: nothing is done at once because of it.
            Ok(Message::Keeps(prefixes)) => return self.moves.hear(from, prefixes),
            Ok(Message::Answer(answer)) => {
                self.fetch.answer(from, answer);
                Network::nudge
            }
            Err(error) => return debug!(%from, %error, "ignored a message that does not decode"),
        };
        if let Some(network) = self.network.get() {
            tell(network);
        }
    }
}

#[cfg(test)]
mod tests;
