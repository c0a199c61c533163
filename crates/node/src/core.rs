//! The node: [`Node`] holds its parts and ties them together. What each does with the others stands with it (`impl Node`), above this
//! file; what the engine calls, in `application`.

mod application;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use pleach_order::Network;
use pleach_state::{Executor, Prepared, State};
use pleach_store::WindowEntry;
use pleach_tree::Prefix;
use pleach_types::api::Voting;
use pleach_types::{Certificate, Encode, Genesis, Hash, Height, Identity, PublicKey, SecretKey};

use crate::admission::{Admission, Admitted, Ground};
use crate::busy::{Busy, BusyClock};
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
use crate::pool::{Full, NodeLoad, Sender};
use crate::read_through::ReadThrough;
use crate::resume::Resumed;
use crate::service_error::ServiceError;
use crate::transfer::wire::Message;
use crate::transfer::{Fetch, Source, TransferFailure};
use crate::turns::LeaderTurns;

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
    /// How much of the time requests keep it busy.
    pub(crate) busy: Busy,
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
    pub(crate) turns: Mutex<LeaderTurns>,
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
        // By what is stored: whether it was a member before decides whether it goes on where no state names it (`follows`).
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
            busy: Busy::default(),
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

    /// This node with this clock, by which it tells how busy it is. Without one, no work takes any time.
    #[must_use]
    pub fn timed(self, clock: BusyClock) -> Self {
        Self { busy: Busy::by(clock), ..self }
    }

    /// How busy it was with requests since this was asked last.
    fn take_load(&self) -> NodeLoad {
        self.busy.take().and(self.finality.disk.take_work())
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
        let decisions = self.busy.during(|| self.with_ground(|ground| self.admission.submit(requests, ground)));
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
        for full in self.busy.during(|| self.with_ground(|ground| self.admission.drain(ground))) {
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
        fetched: impl FnOnce() -> Result<(State, Vec<WindowEntry>), TransferFailure>,
    ) -> Result<(), TransferFailure> {
        // No block is taken in meanwhile: it would be of one of two states.
        let mut delivered = lock(&self.finality.delivered);
        // Blocks on their way to the disk belong to the old state: written after the fetched one, they would not follow it.
        self.finality.disk.settle()?;
        let (state, entries) = fetched()?;
        // Before blocks can come: none of them may wait for a translation.
        self.execution.translate_warm(&state);
        // Before whatever asks who the members are: their turns, and all that goes on from here.
        self.members.enter(&state, None);
        *lock(&self.turns) = counted(&self.members, &entries);
        self.note_standing(&state);
        let (tip, decided) = self.finality.reset(&state, entries);
        self.execution.chain.reset(tip);
        self.moves.skip();
        // What the blocks in between ordered is not known: of the pool's requests go those that are too old now.
        self.admission.pool().finalize(&state, None, Vec::new(), self.take_load());
        *delivered = height;
        drop(delivered);
        self.finality.tell(decided);
        Ok(())
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
fn counted(members: &Members, entries: &[WindowEntry]) -> LeaderTurns {
    let epoch = entries.last().map_or(0, |entry| entry.header.context.epoch);
    LeaderTurns::of(entries.iter().map(|entry| &entry.header), members.anchor().committee_of(epoch))
}

#[cfg(test)]
mod tests;
