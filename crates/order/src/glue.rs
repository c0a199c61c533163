//! Between the engine's questions and the application's answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::{Application as EngineApplication, Heightable as _};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Spawner};
use futures::StreamExt as _;
use pleach_types::{Block, Height};
use tracing::{error, warn};

use crate::block::{EngineBlock, EngineContext, context_from_engine, hash_from_engine, round_from_engine};
use crate::certificate::Scheme;
use crate::delivery::DeliveryProgress;
use crate::rest::ConsensusClock;
use crate::rest::late::LateLeaders;
use crate::signal::Signal;
use crate::{Application, ProposalRequest};

/// Ancestors that a leader collects at most before it builds: a bound on memory. It is far above what a correct cluster
/// ever has certified and not final; were it small, a cluster that restarts with more of them would have no leader.
const PROPOSE_DEPTH_MAX: usize = 1_024;

/// Final blocks that a leader waits for before it builds. A block is final as soon as others have voted for it, while this
/// node still executes it: a leader that declined then would cost a view for each block that takes long. One that is further
/// behind is overtaken before it has caught up.
const LEAD_AFTER_MAX: u64 = 2;

/// Ancestors that are collected before the walk slows down to give delivery time to overtake it.
const ANCESTOR_WAIT_DEPTH: usize = 64;

/// How long a deep walk waits for progress before each further step.
const ANCESTOR_WAIT: Duration = Duration::from_millis(200);

/// What the engine asks goes here.
#[derive(Clone)]
pub(crate) struct Glue {
    pub(crate) app: Arc<dyn Application>,
    pub(crate) progress: Arc<DeliveryProgress>,
    pub(crate) wake: Arc<Signal>,
    /// The time by which a leader with nothing to order waits.
    pub(crate) rest: Arc<ConsensusClock>,
    /// Learns which proposals have come.
    pub(crate) late: Arc<LateLeaders>,
    /// The most that is waited from one block to the next while something is to be ordered.
    pub(crate) pace: Duration,
    /// When this node last built a block or was asked about one.
    pub(crate) last_block: Arc<Mutex<Option<SystemTime>>>,
    /// How long a leader with nothing to order waits.
    pub(crate) idle: Duration,
    /// The most bytes of a block.
    pub(crate) block_bytes: u32,
}

/// How a walk from a block towards genesis ended.
enum Walk {
    /// The application has the state of the parent of the first, or of the block itself if there are none. Oldest first.
    Known(Vec<Arc<Block>>),
    /// A block known to be final is on the way and will be delivered: wait for it instead of executing ahead.
    Behind(Height),
    /// Too deep, or an ancestor cannot be had.
    Unavailable,
}

impl Glue {
    /// Walks the ancestry, newest block first, to the first block whose state is known.
    ///
    /// `step` is called before each further step with the number of blocks collected; it may wait, or end the walk.
    async fn walk<S>(&self, mut ancestry: impl Ancestry<EngineBlock>, mut step: impl FnMut(usize) -> S) -> Walk
    where
        S: Future<Output = bool> + Send,
    {
        let mut missing = Vec::new();
        loop {
            let Some(block) = ancestry.next().await else { return Walk::Unavailable };
            if self.app.knows(&hash_from_engine(&block.digest())) {
                missing.reverse();
                return Walk::Known(missing);
            }
            let height = block.height().get();
            if height <= self.progress.delivered.get() {
                // Executed and forgotten, or beside the final chain: nothing can be built on it here.
                return Walk::Unavailable;
            }
            if height <= self.progress.tip.get() {
                return Walk::Behind(height);
            }
            missing.push(Arc::clone(block.inner().block()));
            if !step(missing.len()).await {
                return Walk::Unavailable;
            }
        }
    }

    /// The ancestors that the application must execute to verify a block, however long it takes to get them.
    /// If they can't be had, this waits for ever: "not now" is no verdict.
    async fn missing<E: Clock>(&self, clock: &E, ancestry: impl Ancestry<EngineBlock>) -> Vec<Arc<Block>> {
        loop {
            let (delivered, tip) = (self.progress.delivered.get(), self.progress.tip.get());
            // A node far behind would collect the whole chain here while delivery brings it too. Past a depth the walk
            // slows down, but never stops: whether it ends must not depend on what is final.
            let step = |depth: usize| async move {
                if depth >= ANCESTOR_WAIT_DEPTH {
                    select! {
                        () = clock.sleep(ANCESTOR_WAIT) => {},
                        () = self.progress.tip.above(tip) => {},
                        () = self.progress.delivered.above(delivered) => {},
                    }
                }
                // Start again once there is something new: the walk is then shorter.
                depth < ANCESTOR_WAIT_DEPTH
                    || (self.progress.tip.get() == tip && self.progress.delivered.get() == delivered)
            };
            match self.walk(ancestry.clone(), step).await {
                Walk::Known(missing) => return missing,
                Walk::Behind(height) => self.progress.delivered.above(height - 1).await,
                // Ancestry ends early only when the engine gives the block up, or started anew with other progress.
                Walk::Unavailable => self.progress.delivered.above(delivered).await,
            }
        }
    }

    /// The ancestors that the application must execute to build a block. `None` if this node is too far behind to lead.
    async fn led(&self, ancestry: impl Ancestry<EngineBlock>) -> Option<Vec<Arc<Block>>> {
        let bounded = |depth: usize| async move { depth < PROPOSE_DEPTH_MAX };
        loop {
            match self.walk(ancestry.clone(), bounded).await {
                Walk::Known(missing) => return Some(missing),
                Walk::Behind(height) if height <= self.progress.delivered.get().saturating_add(LEAD_AFTER_MAX) => {
                    self.progress.delivered.above(height - 1).await;
                }
                Walk::Behind(_) | Walk::Unavailable => return None,
            }
        }
    }

    /// Waits until there is something to order, at most the idle time.
    async fn pause<E: Clock>(&self, clock: &E, parent: &Block) {
        if !self.idle.is_zero() {
            self.wait(self.rest.sleep(clock, self.idle), || self.app.wants_block(parent)).await;
        }
    }

    /// Waits until the next block is due, or what waits is worth one at once. The last one took until `asked` to be certified, when the engine
    /// asked this node to lead: the next is due after as long again, so that blocks take half of the time at most.
    async fn keep_pace<E: Clock>(&self, clock: &E, parent: &Block, asked: SystemTime) {
        let Some(last) = *self.last_block() else { return };
        // A clock that was set back must not hold up the cluster: never longer than the pace.
        let took = asked.duration_since(last).unwrap_or_default();
        let pace = took.saturating_mul(2).min(self.pace);
        let left = last.checked_add(pace).and_then(|due| due.duration_since(clock.current()).ok());
        if let Some(left) = left {
            self.wait(clock.sleep(left.min(pace)), || self.app.is_worth_a_block(parent)).await;
        }
    }

    /// Waits until `done`, which is asked at each wake-up, or this sleep is over.
    async fn wait(&self, sleep: impl Future<Output = ()>, done: impl Fn() -> bool) {
        futures::pin_mut!(sleep);
        loop {
            // Before the question: what comes while it is answered wakes this up.
            let seen = self.wake.get();
            if done() {
                return;
            }
            select! {
                () = &mut sleep => return,
                () = self.wake.above(seen) => {},
            }
        }
    }

    /// A block with requests ends a rest: this member may not have had them.
    fn look_alive(&self, block: &Block) {
        if !block.requests.is_empty() {
            self.rest.stir();
        }
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn last_block(&self) -> MutexGuard<'_, Option<SystemTime>> {
        self.last_block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks what the application built: a faulty block must not leave this node, it would only cost a view.
    fn check(&self, proposal: &ProposalRequest, block: Block) -> Option<EngineBlock> {
        if block.header.context != proposal.context || block.header.height != proposal.height {
            error!(asked = ?proposal, built = ?block.header, "the application built a block for another place");
            return None;
        }
        let block = EngineBlock::new(block)?;
        if block.encoded_len() > self.block_bytes as usize {
            error!(bytes = block.encoded_len(), bound = self.block_bytes, "the application built too long a block");
            return None;
        }
        Some(block)
    }
}

impl<E: Spawner + Clock> EngineApplication<E> for Glue {
    type SigningScheme = Scheme;
    type Context = EngineContext;
    type Block = EngineBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (runtime, context): (E, EngineContext),
        ancestry: impl Ancestry<EngineBlock>,
        (): (),
    ) -> Option<Digested<EngineBlock>> {
        let asked = runtime.current();
        // Whatever others think of this member: it does not give its own view up.
        self.late.proposed(round_from_engine(context.round));
        let Some(missing) = self.led(ancestry.clone()).await else {
            warn!(view = context.round.view().get(), "declined to lead: this node is behind");
            return None;
        };
        let parent = ancestry.clone().next().await?;
        // After the check above: a member that is behind declines at once, and does not first wait for requests that it could not order.
        self.pause(&runtime, parent.inner().block()).await;
        self.keep_pace(&runtime, parent.inner().block(), asked).await;
        *self.last_block() = Some(runtime.current());

        let height = parent.height().get().checked_add(1)?;
        let proposal = ProposalRequest { context: context_from_engine(&context), height };
        let app = Arc::clone(&self.app);
        let build = runtime.child("build").shared(true).spawn({
            let proposal = proposal.clone();
            move |_| async move { app.propose(&proposal, &missing) }
        });
        let block = self.check(&proposal, build.await.ok()??)?;
        self.look_alive(block.block());
        Some(Digested::compute(block, &Sequential).await)
    }

    async fn verify(
        &mut self,
        (runtime, context): (E, EngineContext),
        mut ancestry: impl Ancestry<EngineBlock>,
    ) -> bool {
        let Some(block) = ancestry.next().await else { return futures::future::pending().await };
        *self.last_block() = Some(runtime.current());
        self.late.proposed(round_from_engine(context.round));
        self.look_alive(block.inner().block());
        let missing = self.missing(&runtime, ancestry).await;
        let (app, block) = (Arc::clone(&self.app), Arc::clone(block.inner().block()));
        let verify = runtime.child("verify").shared(true).spawn(move |_| async move { app.verify(&block, &missing) });
        match verify.await {
            Ok(verdict) => verdict,
            // Only at shutdown. A verdict that was not reached is no verdict.
            Err(_) => futures::future::pending().await,
        }
    }
}
