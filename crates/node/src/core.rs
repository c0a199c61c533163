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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use pleach_order::{Application, Network, Proposal};
use pleach_state::{Executor, Prepared, State};
use pleach_store::WindowEntry;
use pleach_tree::Prefix;
use pleach_types::api::Voting;
use pleach_types::terms::RULES;
use pleach_types::vote::Round;
use pleach_types::{
    Block, Certificate, Committee, Encode, Evidence, Genesis, Hash, Height, Identity, Member, PublicKey, SecretKey,
    SystemRequest,
};
use tracing::{debug, error, info};

use crate::admission::{Admission, Admitted, Ground};
use crate::byzantine::Manner;
use crate::disk::Disk;
use crate::evidence::EvidenceStore;
use crate::execution::Execution;
use crate::finality::Finality;
use crate::fork::Forked;
use crate::lock;
use crate::members::{Members, is_listed};
use crate::metrics::Metrics;
use crate::moves::Moves;
use crate::pool::{Decided, Full, Origin, Sender};
use crate::read_through::ReadThrough;
use crate::recent_heights::Final;
use crate::resume::Resumed;
use crate::service_error::ServiceError;
use crate::transfer::wire::{Answer, Ask, Message};
use crate::transfer::{Failure, Fetch, Source};
use crate::turns::Turns;

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
    /// Requests before they are ordered.
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    /// Whether the blocks of the archive have been executed again: what is served before is older than what this
    /// node has shown already.
    pub(crate) replayed: AtomicBool,
    /// Whether this node votes, as the order says.
    pub(crate) voting: Mutex<Voting>,
    /// Final blocks.
    pub(crate) finality: Finality,
    /// Blocks, and the states after them.
    pub(crate) execution: Execution,
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
    /// Who led in this epoch.
    pub(crate) turns: Mutex<Turns>,
}

impl Node {
    /// A node that goes on where its store stopped. `disk` is made of the store in `resumed`.
    #[must_use]
    pub fn new(secret: SecretKey, executor: Arc<dyn Executor>, resumed: Resumed, disk: Disk) -> Self {
        let Resumed { state, entries, members, above, .. } = resumed;
        let genesis = state.cluster_genesis().clone();
        let turns = counted(&members, &entries);
        let (finality, tip) = Finality::new(&state, entries, disk);
        let committee = members.committee();
        let admission = Admission::new(&state);
        let genesis_digest = *state.genesis_digest();
        let was_listed = was_listed(&state, &secret.public());
        let name = committee.member(&secret.public()).map_or_else(|| secret.public().short(), |m| m.name.clone());
        Self {
            name,
            genesis_digest,
            members,
            genesis,
            secret,
            was_listed: AtomicBool::new(was_listed),
            admission,
            metrics: Metrics::new(),
            replayed: AtomicBool::new(false),
            voting: Mutex::default(),
            finality,
            execution: Execution::new(executor, tip),
            network: OnceLock::new(),
            manner: Manner::honest(),
            evidence: EvidenceStore::default(),
            fork: Forked::default(),
            source: Source::default(),
            read_through: ReadThrough::default(),
            fetch: Fetch::default(),
            start_above: Mutex::new(above),
            moves: Moves::default(),
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
        self.finality.state()
    }

    /// Takes a request from a client: checks it, queues it, and forwards it to the other members, so that it
    /// is ordered whoever leads next.
    ///
    /// # Errors
    /// Why the request would be void, or that the queue is full.
    pub fn submit(&self, request: &Bytes) -> Result<Identity, ServiceError> {
        self.submit_all(&[(Sender::default(), request.clone())]).remove(0)
    }

    /// As [`Node::submit`] for many requests of several senders, which are checked together; one decision for each.
    pub(crate) fn submit_all(&self, requests: &[(Sender, Bytes)]) -> Vec<Result<Identity, ServiceError>> {
        let decisions = self.with_ground(|ground| self.admission.submit(requests, ground));
        let told = |(decision, (sender, bytes)): (Result<Admitted, ServiceError>, &(Sender, Bytes))| {
            let admitted = decision.inspect_err(|refused| self.count_refused(refused))?;
            if admitted.news
                && let Some(network) = self.network.get()
            {
                // Lossy on purpose: this node has the request and will lead one day; the client may ask others.
                let _ = network.broadcast(Message::request(sender.origin, bytes));
                network.wake();
            }
            Ok(admitted.identity)
        };
        decisions.into_iter().zip(requests).map(told).collect()
    }

    /// Checks what other members forwarded: a part of what a block may weigh.
    fn drain_inbox(&self) {
        for full in self.with_ground(|ground| self.admission.drain(ground)) {
            self.metrics.had_no_room(full);
        }
    }

    /// What admission is shown of this node now.
    fn with_ground<T>(&self, look: impl FnOnce(Ground<'_>) -> T) -> T {
        let state = self.state();
        let was_decided = |identity: &Identity| lock(&self.finality.recent).place_of(identity).is_some();
        look(Ground { state: &state, was_decided: &was_decided })
    }

    fn count_refused(&self, refused: &ServiceError) {
        if let ServiceError::Overloaded { full, .. } = refused {
            self.metrics.had_no_room(*full);
        }
    }

    /// What execution asks of admission: the checked forms of requests.
    fn known(&self) -> impl Fn(&[Hash]) -> Vec<Option<Arc<Prepared>>> {
        |contents| self.admission.prepared(contents)
    }

    /// There is no room: counts that.
    pub(crate) fn overloaded(&self, waiting: usize, full: Full) -> ServiceError {
        self.metrics.had_no_room(full);
        ServiceError::Overloaded { waiting, full }
    }

    /// Puts a state that came from others in the place of this node's own, once `fetched` has made it the stored one.
    /// Blocks up to its height are not executed any more.
    pub(crate) fn install(
        &self,
        height: Height,
        fetched: impl FnOnce() -> Result<(State, Vec<WindowEntry>), Failure>,
    ) -> Result<(), Failure> {
        let mut delivered = lock(&self.finality.delivered);
        // Blocks on their way to the disk belong to the old state: written after the fetched one, they would not follow it.
        self.finality.disk.settle()?;
        let (state, entries) = fetched()?;
        self.execution.translate_warm(&state);
        self.members.enter(&state, None);
        *lock(&self.turns) = counted(&self.members, &entries);
        self.note_standing(&state);
        self.execution.chain.reset(self.finality.reset(&state, entries));
        self.moves.skip();
        self.admission.pool().finalize(&state, None, Vec::new());
        *delivered = height;
        drop(delivered);
        self.finality.tell(None);
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
            // As a member: no number of strangers uses up the room and the judgements for what this node has found itself.
            let own = Sender { member: Some(self.public_key()), origin: Origin::default() };
            match self.submit_all(&[(own, complaint)]).remove(0) {
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
        self.finality.newest_height()
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

impl Application for Node {
    fn height(&self) -> Height {
        self.newest_height()
    }

    fn needed_from(&self) -> Height {
        // As far back as a member may lag and still catch up block by block; or as far as one that fetches a state that is
        // older has to come from there.
        let lagging = self.finality.needed_from();
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
        self.execution.chain.get(block).is_some()
    }

    fn wants_block(&self, parent: &Block) -> bool {
        // Nobody idles while others are to take over: they do at the end of the epoch, and one that is expelled votes until then.
        // The same where somebody on standby waits for the network to let it in.
        let result = &parent.header.result;
        !parent.requests.is_empty()
            || !self.admission.pool().is_empty()
            || result.members != result.next
            || self.state().cluster().terms != self.state().cluster().next_terms
            || self.members.keeps_one_waiting(&self.state())
    }

    fn is_worth_a_block(&self, parent: &Block) -> bool {
        let ordered = parent.requests.len();
        // What a block orders leaves the pool when it is final.
        let still = if self.state().height() < parent.header.height { ordered } else { 0 };
        self.admission.pool().is_worth_a_block(ordered, still)
    }

    fn propose(&self, proposal: &Proposal, missing: &[Arc<Block>]) -> Option<Block> {
        let parent = self.execution.ground(&proposal.context.parent, missing, &self.known())?;
        self.drain_inbox();
        let requests = self.admission.pool().select(parent.state());
        Some(Block::new(proposal.context, proposal.height, *parent.state().result(), requests))
    }

    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool {
        self.execution.is_valid(block, missing, &self.known())
    }

    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>) {
        let delivered = lock(&self.finality.delivered);
        if block.header.height <= *delivered {
            return;
        }
        self.execution.check_against_quorum(&block);
        let digest = block.digest();
        let Some(executed) = self.execution.reach(&digest, &[block], &self.known()) else {
            // A final block that does not extend the final chain: more members are Byzantine than the cluster can
            // bear, or this machine is broken. Going on could only spread it.
            panic!("final block {digest} does not extend the final chain");
        };
        self.execution.chain.finalize(&executed);
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
        self.finality.take(&executed, &entry, step, self.source.oldest_pin());
        let identities: Vec<_> = executed.receipts().map(|receipt| receipt.identity).collect();
        let decided = executed.receipts().map(|receipt| Decided { identity: receipt.identity, gas: receipt.gas });
        self.admission.pool().finalize(executed.state(), decided, executed.contents.clone());
        let before = lock(&self.finality.recent).tip().map_or(0, |tip| tip.requests);
        self.metrics.finalized(&executed, before);
        self.metrics.took_turns(&turns, &self.members.committee());
        let certified = self.finality.seen(entry);
        // Where the node may stop behind this block, and must not come to it again when it is started anew.
        if self.members.ends_epoch(executed.header.height) || self.cannot_go_on().is_some() {
            self.finality.disk.hand_on();
        }
        drop(delivered);
        self.finality.tell(identities.into_iter().chain(certified));
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
        self.admission.at(now);
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
                if let Err(full) = self.admission.receive((from, origin), &request) {
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
