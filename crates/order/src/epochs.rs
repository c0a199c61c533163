//! One consensus engine after another: each for an epoch, with the members of that epoch.
//!
//! Epoch `e` holds the heights `e * n` to `(e + 1) * n - 1`, where `n` is [`crate::Settings::epoch_blocks`]. Its length is
//! fixed: an end that followed from what blocks decide would be an end that a member which has not executed them cannot see,
//! and it would answer "no" to a block that the others finalize.
//!
//! 1. The leaders of epoch `e` build up to its last block, `L`, and propose `L` again until it is final: nothing that stands
//!    above `L` in epoch `e` could survive.
//! 2. `L` is executed ([`crate::delivery`]). The application names the members of epoch `e + 1`
//!    ([`Application::committee`](crate::Application::committee)); their scheme is made known to the archive, and their addresses to
//!    the network, before anything of that epoch is looked at.
//! 3. The engine of epoch `e` is ended, and that of `e + 1` started on `L`, with a journal of its own. Views begin at 1 anew; the
//!    guard and the book of votes go on, since they count in rounds (`guard`, `book`).
//!
//! Votes, certificates and requests for certificates travel after the number of their epoch. What arrives for the next epoch
//! near the end of this one is kept: others may be there a moment earlier, and their first votes would be lost.
//!
//! A member that lags gets nothing more of its own epoch, since the others have left it. So whatever arrives from later epochs
//! makes it ask for the last block of its own one. It goes on from epoch to epoch like that, because only the state after each tells
//! the members of the next. An idle moment near the end makes it ask as well: the others may have finished without it.
//!
//! A node that is no member of the epoch, and follows ([`Application::follows`](crate::Application::follows)), runs the engine with a scheme that has no key in
//! it: certificates are checked and passed on to the archive, and there is nothing that it could sign. In the epoch in which it is a member it
//! runs the engine with its key, and its guard, book and muster have been there since its start.
//!
//! A member that changes its key has an engine with the one key up to the end of an epoch, and ends there
//! ([`OrderError::Rotated`]): connections, guard, book and data folder are all bound to a key, so it starts anew with the other one
//! (`pleach_node`'s module `rotation`). No epoch has both among its members, so no engine signs with either beside the other. Its entry
//! names the key before as long as it has no other, and the network lets that one in without a vote (`running`): a member that was
//! down when the epoch ended knows of the end only if it can connect with the key that it still has.

use std::sync::Arc;
use std::time::Duration;

use commonware_consensus::marshal::standard::Deferred;
use commonware_consensus::simplex::config::{ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::{self, Engine, Floor};
use commonware_consensus::types::{Epoch, FixedEpocher, Height as EngineHeight};
use commonware_cryptography::Signer as _;
use commonware_cryptography::blake3::{Blake3, Digest};
use commonware_cryptography::ed25519;
use commonware_macros::select;
use commonware_p2p::utils::mux::{MuxHandle, SubReceiver, SubSender};
use commonware_p2p::{Blocker, Message, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_utils::vec::NonEmptyVec;
use pleach_types::Height;
use pleach_types::vote::Round;
use rand_core::CryptoRng;
use tracing::{debug, info, warn};

use crate::block::{EngineBlock, engine_key};
use crate::byzantine::VoteSender;
use crate::config::{FETCH_RETRY, MAILBOX, OrderError, Settings, fetch_timeout};
use crate::delivery::{DeliveryProgress, Marshal};
use crate::entrance::{Entrance, Root};
use crate::glue::Glue;
use crate::muster::Witness;
use crate::partitions::{REPLAY_BUFFER, RETAINED_VIEWS, WRITE_BUFFER, votes_partition};
use crate::rest::ConsensusClock;
use crate::rest::late::LateLeaders;
use crate::rest::runtime::RestingRuntime;
use crate::scheme::Scheme;

/// Blocks before the end of an epoch from which on what arrives for the next one is kept.
const NEXT_FROM: u64 = 16;
/// Blocks of an epoch that are executed before the votes of the one before are removed: more than are executed and not
/// acknowledged.
const FORGET_AFTER: u64 = 64;
/// Pause before a member that makes no progress asks for the last block of its epoch.
const STALL_WAIT: Duration = Duration::from_millis(500);

/// The network channels that carry epochs.
pub(crate) struct Muxes<S: Sender> {
    pub(crate) votes: MuxHandle<VoteSender<S>>,
    pub(crate) certificates: MuxHandle<S>,
    pub(crate) resolver: MuxHandle<S>,
    /// Votes of epochs that are not registered.
    pub(crate) elsewhere: commonware_utils::channel::mpsc::Receiver<(u64, Message<ed25519::PublicKey>)>,
}

type Pair<S> = (SubSender<S>, SubReceiver<ed25519::PublicKey>);

/// The channels of one epoch.
struct EpochChannels<S: Sender> {
    epoch: u64,
    votes: Pair<VoteSender<S>>,
    certificates: Pair<S>,
    resolver: Pair<S>,
}

impl<S: Sender<PublicKey = ed25519::PublicKey>> Muxes<S> {
    async fn register(&mut self, epoch: u64) -> Result<EpochChannels<S>, OrderError> {
        let closed = |e| OrderError::Stopped(format!("the network cannot carry epoch {epoch}: {e}"));
        Ok(EpochChannels {
            epoch,
            votes: self.votes.register(epoch).await.map_err(closed)?,
            certificates: self.certificates.register(epoch).await.map_err(closed)?,
            resolver: self.resolver.register(epoch).await.map_err(closed)?,
        })
    }
}

/// The engine's automaton and reporter.
pub(crate) type Consensus<E> = Deferred<E, Scheme, Glue, EngineBlock, FixedEpocher>;

/// Runs one engine after another.
pub(crate) struct Driver<E, S: Sender, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
{
    pub(crate) context: E,
    pub(crate) settings: Settings,
    pub(crate) entrance: Entrance,
    pub(crate) muxes: Muxes<S>,
    pub(crate) marshal: Marshal,
    pub(crate) deferred: Consensus<E>,
    pub(crate) blocker: B,
    pub(crate) progress: Arc<DeliveryProgress>,
    pub(crate) pages: CacheRef,
    /// The time by which the engines go.
    pub(crate) rest: Arc<ConsensusClock>,
    /// For whom it goes faster.
    pub(crate) late: Arc<LateLeaders>,
    /// The digest of the genesis block.
    pub(crate) genesis: Digest,
}

impl<E, S, B> Driver<E, S, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey> + Sync,
{
    /// Runs the engine of the epoch that was entered, and then those that follow, until one fails.
    pub(crate) async fn run(mut self) -> OrderError {
        let mut next = None;
        // Of earlier ones nothing can be left: an epoch has at least one block.
        let mut oldest = self.entrance.epoch().saturating_sub(FORGET_AFTER);
        loop {
            let epoch = self.entrance.epoch();
            match self.epoch(epoch, next, &mut oldest).await {
                Ok(lanes) => next = lanes,
                Err(error) => return error,
            }
        }
    }

    /// Runs the engine of an epoch until a later one is entered. Returns the channels of the next epoch, if they were opened. `oldest` is the
    /// first epoch whose votes may be on the disk.
    async fn epoch(
        &mut self,
        epoch: u64,
        lanes: Option<EpochChannels<S>>,
        oldest: &mut u64,
    ) -> Result<Option<EpochChannels<S>>, OrderError> {
        // Without the key it follows, and signs nothing.
        let takes_part = |scheme: &Arc<Scheme>| scheme.is_member() || self.entrance.app.follows();
        let Some(scheme) = self.entrance.schemes.of(epoch).filter(takes_part) else {
            return Err(self.entrance.departed(epoch));
        };
        let lanes = match lanes {
            Some(lanes) if lanes.epoch == epoch => lanes,
            _ => self.muxes.register(epoch).await?,
        };
        // Another state came meanwhile, of a later epoch.
        let Some(root) = self.root(epoch).await else { return Ok(None) };
        info!(epoch, members = scheme.members(), votes = scheme.is_member(), "taking part in the order");
        let mut engine = self.start(epoch, (*scheme).clone(), root, lanes);
        let (last, mut next, mut seen) = (self.entrance.lengths.last(epoch), None, 0);
        loop {
            let tip = self.progress.tip.get();
            // The votes of an epoch before are removed from that height on: the disk says by then that it is over, so that no crash leads back
            // into it; and the others have left it.
            while *oldest < epoch && self.progress.delivered.get() >= self.entrance.lengths.last(*oldest) + FORGET_AFTER
            {
                self.forget(*oldest).await;
                *oldest += 1;
            }
            if next.is_none() && tip.saturating_add(NEXT_FROM) >= last {
                next = Some(self.muxes.register(epoch + 1).await?);
            }
            let entrance = self.entrance.clone();
            select! {
                _ = &mut engine => return Err(OrderError::Stopped("consensus ended".into())),
                () = entrance.entered.epoch.above(epoch) => break,
                message = self.muxes.elsewhere.recv() => {
                    let Some((of, (from, _))) = message else {
                        return Err(OrderError::Stopped("the network ended".into()));
                    };
                    if of > epoch {
                        self.ask(last, NonEmptyVec::new(from));
                    }
                },
                // Until the next epoch is near, the end of this one comes with its blocks.
                () = self.progress.tip.above(tip) => {},
                () = self.context.sleep(STALL_WAIT) => {
                    if next.is_some() && std::mem::replace(&mut seen, tip) == tip {
                        self.ask_all(epoch, last);
                    }
                },
            }
        }
        // What it has signed is in its journal, and its last block is final: nothing of it is needed any more.
        engine.abort();
        let _ = engine.await;
        Ok(next)
    }

    /// Asks for the last block of an epoch, with its certificate.
    fn ask(&self, last: Height, of: NonEmptyVec<ed25519::PublicKey>) {
        debug!(height = last, "others are in a later epoch: asking for the last block of this one");
        self.marshal.hint_finalized(EngineHeight::new(last), of);
    }

    fn ask_all(&self, epoch: u64, last: Height) {
        let others = self.entrance.schemes.of(epoch).map(|scheme| scheme.others()).unwrap_or_default();
        if let Ok(others) = NonEmptyVec::try_from(others) {
            self.ask(last, others);
        }
    }

    /// Where the engine of an epoch begins: at the newest final block of the epoch that has a certificate, or at the last
    /// block of the epoch before. `None` once a later epoch is entered.
    async fn root(&self, epoch: u64) -> Option<Root> {
        let root = self.entrance.root_of(epoch);
        if let Some(Floor::Finalized(_)) = root {
            return root;
        }
        let before = self.entrance.lengths.before(epoch);
        let delivered = self.progress.delivered.get();
        // From the newest down, as far as this epoch has blocks here: not each has a certificate of its own.
        for height in (before.map_or(1, |before| before + 1)..=delivered).rev() {
            match self.marshal.get_finalization(EngineHeight::new(height)).await {
                Some(found) => return Some(Floor::Finalized(found)),
                None if self.marshal.get_info(EngineHeight::new(height)).await.is_none() => break,
                None => {}
            }
        }
        if root.is_some() {
            return root;
        }
        let Some(before) = before else { return Some(Floor::Genesis(self.genesis)) };
        // The epoch has no block with a certificate of its own yet, so its parent is the last block of the epoch before.
        if let Some((_, digest)) = self.marshal.get_info(EngineHeight::new(before)).await {
            return Some(Floor::Genesis(digest));
        }
        self.root_of_a_state(epoch).await
    }

    /// Where the engine of an epoch begins of which the archive has nothing. Delivery keeps the last block of the epoch before until the
    /// epoch has a certificate of its own. So either the application's state came from others, and says in a moment where to begin;
    /// or the archive was lost, and nothing leads on from that state: its blocks, if the others have them still, are certified by members of an epoch that
    /// this node has never entered. Then another state has to come. `None` once a later epoch is entered.
    async fn root_of_a_state(&self, epoch: u64) -> Option<Root> {
        let mut asked = false;
        loop {
            if let Some(root) = self.entrance.root_of(epoch) {
                return Some(root);
            }
            select! {
                () = self.entrance.entered.epoch.above(epoch) => return None,
                () = self.context.sleep(STALL_WAIT) => {},
            }
            if !std::mem::replace(&mut asked, true) {
                warn!(
                    epoch,
                    "the archive has no block of this epoch, nor the last one of the epoch before: a state has to come from the others"
                );
                self.entrance.app.rejoin(Round { epoch, view: 0 });
            }
        }
    }

    /// Removes the votes of an epoch that is over.
    async fn forget(&self, epoch: u64) {
        let partition = votes_partition(&self.settings.storage_prefix, epoch);
        match self.context.remove(&partition, None).await {
            Ok(()) | Err(commonware_runtime::Error::PartitionMissing(_)) => {}
            Err(error) => warn!(%error, partition, "votes of an epoch that is over cannot be removed"),
        }
    }

    fn start(&self, epoch: u64, scheme: Scheme, root: Root, lanes: EpochChannels<S>) -> Handle<()> {
        let Settings { timeouts, storage_prefix, .. } = &self.settings;
        let leaders = scheme.keys();
        let config = simplex::Config {
            scheme,
            elector: RoundRobin::<Blake3>::default(),
            blocker: self.blocker.clone(),
            automaton: self.deferred.clone(),
            relay: self.deferred.clone(),
            reporter: Witness {
                next: self.deferred.clone(),
                memory: self.entrance.memory.clone(),
                rest: Arc::clone(&self.rest),
                late: Arc::clone(&self.late),
                leaders,
            },
            // The engine shows what contradicts a vote that it has counted already only if it keeps that.
            track_historical_votes: true,
            strategy: Sequential,
            partition: votes_partition(storage_prefix, epoch),
            mailbox_size: MAILBOX,
            epoch: Epoch::new(epoch),
            floor: root,
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache: self.pages.clone(),
            leader_timeout: timeouts.leader,
            certification_timeout: timeouts.certification,
            timeout_retry: timeouts.retry,
            view_retention: RETAINED_VIEWS,
            skip: SkipPolicy::Enabled { timeout: timeouts.skip, budget: SkipBudget::Participants },
            fetch_timeout: fetch_timeout(&self.settings),
            fetch_retry_delay: FETCH_RETRY,
            // Whoever builds the next block needs this one. The others fetch what they missed: sending it to all of them
            // unasked would multiply the traffic by the number of members just when the network is slow.
            forward: ForwardPolicy::SilentLeader,
        };
        let context = RestingRuntime::new(self.context.child("consensus"), Arc::clone(&self.rest));
        Engine::new(context, config).start(lanes.votes, lanes.certificates, lanes.resolver)
    }
}

/// The scheme's own key, in the engine's form.
pub(crate) fn own_key(settings: &Settings) -> ed25519::PublicKey {
    engine_key(&settings.secret).public_key()
}
