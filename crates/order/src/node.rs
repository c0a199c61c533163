//! One member, put together: network channels, archive, delivery, consensus. Generic over runtime and network, so
//! that the code that runs in production is the code that is simulated.
//!
//! ```text
//!   votes, certificates, resolver ---> simplex <---> Deferred <---> Glue ---> Application
//!   backfill ---> resolver ------+        |                                     ^
//!   blocks -----> broadcast -----+--> marshal ---> Delivery --------------------+
//!   messages <---------------------------------------------------- Network -----+
//! ```

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::{Actor, Variant};
use commonware_consensus::marshal::resolver::{handler, p2p as backfill};
use commonware_consensus::marshal::standard::{Deferred, Standard};
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex::config::{ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::types::Artifact;
use commonware_consensus::simplex::{self, Engine, Floor};
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::blake3::{Blake3, Digest};
use commonware_cryptography::certificate::{ConstantProvider, Verifier as _};
use commonware_cryptography::{Digested, Digestible as _, ed25519};
use commonware_macros::select;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Quota, ReadOptions, Spawner, Storage};
use commonware_storage::archive::prunable;
use commonware_storage::journal::segmented::variable;
use commonware_storage::translator::EightCap;
use commonware_utils::ordered::Set;
use commonware_utils::{NZU16, NZU64, NZUsize, NonZeroDuration};
use pleach_types::vote::order_namespace;
use pleach_types::{Certificate, PublicKey};
use rand_core::CryptoRng;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::Application;
use crate::block::{BlockBound, EngineBlock, engine_key, engine_public_key};
use crate::certificate::{EngineFinalization, Scheme, to_engine};
use crate::config::{Bounds, OrderError, Settings, Timeouts, Votes};
use crate::delivery::{Delivery, Marshal, Progress, Reports};
use crate::glue::Glue;
use crate::guard::Guard;
use crate::muster::{Exchange, LostVotes, Memory, Witness};
use crate::network::{Network, Outgoing, Signals, frame_bytes_max, receive_frames, send_frames};
use crate::signal::Signal;

/// The network channels of a member, by number.
pub const CHANNELS: [u64; 7] = [0, 1, 2, 3, 4, 5, 6];

/// All blocks are of this epoch: its end, and anything computed from it, stays within 64 bits.
const EPOCH: Epoch = Epoch::zero();
const EPOCH_BLOCKS: NonZeroU64 = NZU64!(1 << 62);

// What follows is part of the format on disk: changing any of it makes existing data unreadable.
const PAGE_BYTES: NonZeroU16 = NZU16!(4_084);
pub(crate) const ARCHIVE_SECTION: NonZeroU64 = NZU64!(64);
const CACHE_SECTION: NonZeroU64 = NZU64!(256);
pub(crate) const VOTES_PARTITION: &str = "votes-0";
const MARSHAL_PARTITION: &str = "marshal";

/// Where a member's files are in its storage, each name behind the storage's prefix: the engine's as of the version that is
/// pinned.
pub const PARTITIONS: [&str; 20] = [
    "blocks-keys",
    "blocks-metadata",
    "blocks-values",
    "certificates-keys",
    "certificates-metadata",
    "certificates-values",
    "marshal-application-metadata",
    "marshal-cache-cache-0-certified-metadata",
    "marshal-cache-cache-0-finalizations-key",
    "marshal-cache-cache-0-finalizations-metadata",
    "marshal-cache-cache-0-finalizations-value",
    "marshal-cache-cache-0-notarizations-key",
    "marshal-cache-cache-0-notarizations-metadata",
    "marshal-cache-cache-0-notarizations-value",
    "marshal-cache-cache-0-notarized-metadata",
    "marshal-cache-cache-0-verified-key",
    "marshal-cache-cache-0-verified-metadata",
    "marshal-cache-cache-0-verified-value",
    "marshal-cache-metadata",
    VOTES_PARTITION,
];

/// Pages in memory: 8 MiB.
const PAGES: NonZeroUsize = NZUsize!(2_048);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 * 1024);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1024 * 1024);
/// Entries of a mailbox inside the engine.
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Views for which votes and blocks are kept behind the newest final one, for members that lag.
pub(crate) const RETAINED_VIEWS: ViewDelta = ViewDelta::new(256);
/// Blocks of one sender that wait for their votes.
const BLOCKS_PER_SENDER: usize = 8;
/// Heights that are fetched at a time when catching up.
const REPAIR: NonZeroUsize = NZUsize!(32);
/// Final blocks handed out and not yet executed: the back-pressure of execution on ordering.
const UNEXECUTED: NonZeroUsize = NZUsize!(16);
/// How often the application may work without asking for it.
const WORK_EVERY: Duration = Duration::from_millis(200);
/// Pause before a failed fetch is tried again.
const FETCH_RETRY: Duration = Duration::from_millis(100);

/// A member's network channels: senders and receivers of [`CHANNELS`], in that order.
#[derive(Debug)]
pub struct Channels<S, R> {
    /// Votes.
    pub votes: (S, R),
    /// Certificates.
    pub certificates: (S, R),
    /// Requests for certificates, and answers.
    pub resolver: (S, R),
    /// Requests for blocks, and answers.
    pub backfill: (S, R),
    /// Proposed blocks.
    pub blocks: (S, R),
    /// Messages of the application.
    pub messages: (S, R),
    /// Which views are over, for members that lost their votes.
    pub views: (S, R),
}

/// Who the peers are, and how to shut one out.
#[derive(Clone, Debug)]
pub struct Peers<P, B> {
    /// The members, as the network knows them.
    pub provider: P,
    /// Shuts out a peer that sends what no correct member sends.
    pub blocker: B,
}

/// The engine's end of the [`Network`] that an application was given.
#[derive(Debug)]
pub(crate) struct Link {
    outgoing: mpsc::Receiver<Outgoing>,
    signals: Signals,
}

/// Gives the application its [`Network`].
pub(crate) fn introduce(app: &dyn Application, bounds: &Bounds) -> Link {
    let signals = Signals::default();
    let (network, outgoing) = Network::new(bounds.message_bytes, &signals);
    app.start(network);
    Link { outgoing, signals }
}

/// Starts a member. [`Application::start`] is called before this returns. The handle resolves when the member stops,
/// which only an error or an abort brings about; aborting it stops everything that was started.
///
/// # Panics
/// If the settings do not pass [`Settings::check`].
pub fn start<E, S, R, P, B>(
    context: E,
    channels: Channels<S, R>,
    peers: Peers<P, B>,
    settings: Settings,
    app: Arc<dyn Application>,
) -> Handle<Result<(), OrderError>>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    let link = introduce(&*app, &settings.bounds);
    start_linked(context, channels, peers, settings, app, link)
}

/// As [`start`], for an application that was introduced before.
pub(crate) fn start_linked<E, S, R, P, B>(
    context: E,
    channels: Channels<S, R>,
    peers: Peers<P, B>,
    settings: Settings,
    app: Arc<dyn Application>,
    link: Link,
) -> Handle<Result<(), OrderError>>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    context.spawn(move |context| Node { context, channels, peers, settings, app, link }.run())
}

/// The largest message that a member sends: the bound that the network must be given.
#[must_use]
pub fn max_message_size(members: usize, bounds: &Bounds) -> u32 {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    let votes = simplex::max_payload_size::<Scheme, Digest>(members);
    let blocks = marshal::max_payload_size::<Standard<EngineBlock>, Scheme>(members, &BlockBound(bounds.block_bytes));
    commonware_p2p::max_message_size(&[votes, blocks, frame_bytes_max(bounds.message_bytes)])
}

/// The quota of every channel, per peer.
#[must_use]
pub fn quota(bounds: &Bounds) -> Quota {
    Quota::per_second(NonZeroU32::new(bounds.messages_per_second).unwrap_or(NonZeroU32::MIN))
}

/// What a member is put together from.
struct Node<E, S, R, P, B> {
    context: E,
    channels: Channels<S, R>,
    peers: Peers<P, B>,
    settings: Settings,
    app: Arc<dyn Application>,
    link: Link,
}

/// The members in both forms.
struct Members {
    ours: BTreeMap<PublicKey, ed25519::PublicKey>,
    theirs: BTreeMap<ed25519::PublicKey, PublicKey>,
}

impl Members {
    fn new(keys: &[PublicKey]) -> Self {
        let pairs = || keys.iter().filter_map(|key| Some((*key, engine_public_key(key)?)));
        Self { ours: pairs().collect(), theirs: pairs().map(|(ours, theirs)| (theirs, ours)).collect() }
    }

    /// The engine numbers members in the order of their keys, as genesis does.
    fn set(&self) -> Set<ed25519::PublicKey> {
        Set::from_iter_dedup(self.theirs.keys().cloned())
    }
}

impl<E, S, R, P, B> Node<E, S, R, P, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    async fn run(self) -> Result<(), OrderError> {
        let Self { context, channels, peers, settings, app, link: Link { outgoing, signals } } = self;
        let members = Members::new(&settings.members);
        let namespace = order_namespace(&settings.genesis_digest);
        let secret = engine_key(&settings.secret);
        let guard = Arc::new(Guard::default());
        let scheme =
            Scheme::signer(&namespace, members.set(), secret, Arc::clone(&guard)).expect("settings were checked");
        let (epoch, keys) = (EPOCH.get(), members.ours.keys().copied().collect());
        let memory = Memory::new(settings.genesis_digest, epoch, keys, settings.secret.public(), guard);
        let own = members.ours[&settings.secret.public()].clone();

        let frames = Self::start_messages(&context, channels.messages, outgoing, &members, &settings, Arc::clone(&app));

        let work = Self::start_work(&context, Arc::clone(&app), Arc::clone(&signals.nudge));
        let pages = CacheRef::new(PAGE_BYTES, PAGES);
        let lost = settings.votes.are_lost();
        if !lost {
            // Before anything is said to others, and before consensus reads it: from here on own votes bind.
            Self::read_votes(&context, &scheme, &memory, &settings, &pages).await;
            memory.live();
        }
        let certificates = channels.certificates.0.clone();
        let (mut views, safe) =
            Self::start_muster(&context, channels.views, certificates, &scheme, &memory, &settings, &app);
        // Before anything that could vote.
        let joined = match safe {
            Some(safe) => Some(Self::rejoin(&*app, safe, &signals).await?),
            None => None,
        };
        memory.live();

        // The archive, and what feeds it: blocks that are sent around, and blocks that are asked for.
        let resolver = Self::start_backfill(&context, channels.backfill, &peers, &own, &settings);
        let (engine, buffer) = buffered::Engine::new(
            context.child("blocks"),
            buffered::Config {
                public_key: own,
                mailbox_size: MAILBOX,
                deque_size: BLOCKS_PER_SENDER,
                priority: false,
                codec_config: BlockBound(settings.bounds.block_bytes),
                peer_provider: peers.provider.clone(),
                strategy: Sequential,
            },
        );
        let broadcast = engine.start(channels.blocks);
        let genesis = EngineBlock::new(settings.genesis.clone()).expect("settings were checked");
        let genesis = Digested::compute(genesis, &Sequential).await;
        let genesis_digest = genesis.digest();
        let (actor, marshal, floor) = Self::open_archive(&context, &scheme, genesis, &settings, &pages).await;
        let progress = Arc::new(Progress::default());
        let (reports, finalized) = Reports::new(Arc::clone(&progress));
        let archive = actor.start(reports, buffer, resolver);

        // The application's state is rebuilt before this member takes part: it can vouch for nothing without.
        let delivery = Delivery {
            context: context.child("delivery"),
            app: Arc::clone(&app),
            marshal: marshal.clone(),
            progress: Arc::clone(&progress),
            floor: Arc::clone(&signals.floor),
            members: settings.members.len(),
            voted: Mutex::new(settings.votes.voted().cloned()),
        };
        let floor = match &joined {
            Some(certificate) => {
                delivery.set_floor(certificate)?;
                to_engine(certificate, settings.members.len()).map_or(Floor::Genesis(genesis_digest), Floor::Finalized)
            }
            None => {
                delivery.replay(floor.processed().map_or(0, |processed| processed.height().get())).await?;
                Floor::Genesis(genesis_digest)
            }
        };
        app.replayed();
        let Timeouts { pace, idle, .. } = settings.timeouts;
        let last_block = Arc::default();
        let block_bytes = settings.bounds.block_bytes;
        let glue = Glue { app, progress, wake: signals.wake, pace, last_block, idle, block_bytes };
        let deferred = Deferred::new(context.child("deferred"), glue, marshal, FixedEpocher::new(EPOCH_BLOCKS));
        let reporter = Witness { next: deferred.clone(), memory };
        let config = Self::consensus(scheme, deferred, reporter, peers.blocker, floor, &settings, pages);
        let votes = Engine::new(context.child("consensus"), config).start(
            channels.votes,
            channels.certificates,
            channels.resolver,
        );
        info!("taking part in the order");

        // Whatever ends ends all: a member that does half of its work is worse than one that is down.
        let reason = select! {
            result = delivery.run(finalized) => return result,
            _ = archive => "the archive",
            _ = votes => "consensus",
            _ = broadcast => "the exchange of blocks",
            _ = frames => "the exchange of messages",
            _ = work => "the application's work",
            ended = &mut views => return Err(OrderError::Stopped(match ended {
                Ok(Some(why)) => why,
                _ => "the exchange of views ended".into(),
            })),
        };
        Err(OrderError::Stopped(format!("{reason} ended")))
    }
}

/// The archive's types, spelled out once.
type Consensus<E> = Deferred<E, Scheme, Glue, EngineBlock, FixedEpocher>;
type Certificates<E> = prunable::Archive<EightCap, E, Digest, EngineFinalization>;
type Blocks<E> = prunable::Archive<EightCap, E, Digest, <Standard<EngineBlock> as Variant>::StoredBlock>;
type Archive<E> = Actor<
    E,
    Standard<EngineBlock>,
    ConstantProvider<Scheme, Epoch>,
    Certificates<E>,
    Blocks<E>,
    FixedEpocher,
    Sequential,
>;

impl<E, S, R, P, B> Node<E, S, R, P, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    /// Starts both directions of the application's messages. The task ends when one of them does.
    fn start_messages(
        context: &E,
        (sender, receiver): (S, R),
        outgoing: mpsc::Receiver<Outgoing>,
        members: &Members,
        settings: &Settings,
        app: Arc<dyn Application>,
    ) -> Handle<()> {
        let (ours, theirs) = (members.ours.clone(), members.theirs.clone());
        let frame_bytes = frame_bytes_max(settings.bounds.message_bytes);
        // A little below the quota, so that no frame is lost to it.
        let pause = Duration::from_secs(1) / settings.bounds.messages_per_second * 5 / 4;
        context.child("messages").spawn(move |context| async move {
            let incoming = context.child("incoming").spawn(move |_| receive_frames(receiver, theirs, app));
            let outgoing = context
                .child("outgoing")
                .spawn(move |context| send_frames(context, outgoing, sender, ours, frame_bytes, pause));
            select! {
                _ = incoming => {},
                _ = outgoing => {},
            }
        })
    }

    /// Lets the application work, now and then and when it asks for it.
    fn start_work(context: &E, app: Arc<dyn Application>, nudge: Arc<Signal>) -> Handle<()> {
        context.child("work").spawn(move |context| async move {
            let started = context.current();
            loop {
                let seen = nudge.get();
                let (now, app) = (context.current().duration_since(started).unwrap_or_default(), Arc::clone(&app));
                let work = context.child("turn").shared(true).spawn(move |_| async move { app.work(now) });
                if work.await.is_err() {
                    return;
                }
                select! {
                    () = context.sleep(WORK_EVERY) => {},
                    () = nudge.above(seen) => {},
                }
            }
        })
    }

    /// Reads the own votes, and the certificates beside them, as consensus will.
    ///
    /// # Panics
    /// If the journal is damaged: there is no safe way on.
    async fn read_votes(context: &E, scheme: &Scheme, memory: &Memory, settings: &Settings, pages: &CacheRef) {
        let config = variable::Config {
            partition: format!("{}{VOTES_PARTITION}", settings.storage_prefix),
            compression: None,
            codec_config: scheme.certificate_codec_config(),
            page_cache: pages.clone(),
            write_buffer: WRITE_BUFFER,
        };
        let damaged = |e| panic!("the journal of votes is damaged: {e}");
        let journal = variable::Journal::<_, Artifact<Scheme, Digest>>::init(context.child("votes"), config).await;
        let journal = journal.unwrap_or_else(damaged);
        let mut replay =
            journal.replay(0, 0, REPLAY_BUFFER, ReadOptions::DONT_CACHE).await.unwrap_or_else(|e| panic!("{e}"));
        while let Some(artifact) = replay.next().await {
            let (_, _, _, artifact) = artifact.unwrap_or_else(|e| panic!("the journal of votes is damaged: {e}"));
            memory.replay(artifact);
        }
    }

    /// Starts the muster, and the answers to those of others. What is returned beside it tells a member whose journals are
    /// gone from which view on it may take part.
    fn start_muster(
        context: &E,
        (sender, receiver): (S, R),
        certificates: S,
        scheme: &Scheme,
        memory: &Memory,
        settings: &Settings,
        app: &Arc<dyn Application>,
    ) -> (Handle<Option<String>>, Option<oneshot::Receiver<u64>>) {
        let (lost, wanted) = if settings.votes.are_lost() {
            let (safe, wanted) = oneshot::channel();
            (Some(LostVotes { may_be_new: matches!(settings.votes, Votes::Unknown(_)), safe }), Some(wanted))
        } else {
            (None, None)
        };
        let app = Arc::clone(app);
        let exchange = Exchange {
            sender,
            certificates,
            scheme: scheme.clone(),
            memory: memory.clone(),
            members: settings.members.len(),
            voting: Box::new(move |state| app.voting(state)),
            answered: BTreeMap::new(),
            abstains_to: None,
        };
        (context.child("views").spawn(move |context| exchange.run(context, receiver, lost)), wanted)
    }

    /// Waits until the application has the state below a block from which on this member may take part.
    async fn rejoin(
        app: &dyn Application,
        safe: oneshot::Receiver<u64>,
        signals: &Signals,
    ) -> Result<Certificate, OrderError> {
        let view = safe.await.map_err(|_| OrderError::Stopped("the exchange of views ended".into()))?;
        info!(view, "this member takes part again from this view on, once it has the state there");
        app.rejoin(view);
        loop {
            let certificate = signals.floor.next().await;
            if certificate.view >= view {
                return Ok(certificate);
            }
            warn!(found = certificate.view, needed = view, "a floor in views in which this member may have voted");
        }
    }

    /// Starts what asks peers for blocks, and answers them.
    fn start_backfill(
        context: &E,
        channel: (S, R),
        peers: &Peers<P, B>,
        own: &ed25519::PublicKey,
        settings: &Settings,
    ) -> (handler::Receiver<Digest>, backfill::Mailbox<Digest, ed25519::PublicKey>) {
        let config = backfill::Config {
            public_key: own.clone(),
            peer_provider: peers.provider.clone(),
            blocker: peers.blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: fetch_timeout(settings),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        };
        backfill::init(context.child("backfill"), config, channel)
    }

    /// Opens the finalized blocks and certificates on disk.
    ///
    /// # Panics
    /// If they are damaged: there is no safe way on.
    async fn open_archive(
        context: &E,
        scheme: &Scheme,
        genesis: Digested<EngineBlock>,
        settings: &Settings,
        pages: &CacheRef,
    ) -> (Archive<E>, Marshal, marshal::core::Floor) {
        let bound = BlockBound(settings.bounds.block_bytes);
        let certificates =
            archive_config(&settings.storage_prefix, "certificates", scheme.certificate_codec_config(), pages);
        let certificates = prunable::Archive::init(context.child("certificates"), certificates)
            .await
            .unwrap_or_else(|e| panic!("the archive of certificates is damaged: {e}"));
        let blocks = prunable::Archive::init(
            context.child("archive"),
            archive_config(&settings.storage_prefix, "blocks", bound, pages),
        )
        .await
        .unwrap_or_else(|e| panic!("the archive of blocks is damaged: {e}"));
        let config = marshal::Config {
            provider: ConstantProvider::new(scheme.clone()),
            epocher: FixedEpocher::new(EPOCH_BLOCKS),
            start: Start::Genesis(genesis),
            partition_prefix: format!("{}{MARSHAL_PARTITION}", settings.storage_prefix),
            mailbox_size: MAILBOX,
            view_retention: RETAINED_VIEWS,
            prunable_items_per_section: CACHE_SECTION,
            page_cache: pages.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: bound,
            max_repair: REPAIR,
            max_pending_acks: UNEXECUTED,
            strategy: Sequential,
        };
        Actor::init(context.child("marshal"), certificates, blocks, config).await
    }

    /// How consensus runs.
    fn consensus(
        scheme: Scheme,
        deferred: Consensus<E>,
        reporter: Witness<Consensus<E>>,
        blocker: B,
        floor: Floor<Scheme, Digest>,
        settings: &Settings,
        pages: CacheRef,
    ) -> ConsensusConfig<E, B> {
        let timeouts = &settings.timeouts;
        simplex::Config {
            scheme,
            elector: RoundRobin::default(),
            blocker,
            automaton: deferred.clone(),
            relay: deferred,
            reporter,
            // The engine shows what contradicts a vote that it has counted already only if it keeps that.
            track_historical_votes: true,
            strategy: Sequential,
            partition: format!("{}{VOTES_PARTITION}", settings.storage_prefix),
            mailbox_size: MAILBOX,
            epoch: EPOCH,
            floor,
            replay_buffer: REPLAY_BUFFER,
            write_buffer: WRITE_BUFFER,
            page_cache: pages,
            leader_timeout: timeouts.leader,
            certification_timeout: timeouts.certification,
            timeout_retry: timeouts.retry,
            view_retention: RETAINED_VIEWS,
            skip: SkipPolicy::Enabled { timeout: timeouts.skip, budget: SkipBudget::Participants },
            fetch_timeout: fetch_timeout(settings),
            fetch_retry_delay: FETCH_RETRY,
            // Whoever builds the next block needs this one. The others fetch what they missed: sending it to all of them
            // unasked would multiply the traffic by the number of members just when the network is slow.
            forward: ForwardPolicy::SilentLeader,
        }
    }
}

type ConsensusConfig<E, B> = simplex::Config<
    Scheme,
    RoundRobin<Blake3>,
    B,
    Digest,
    Consensus<E>,
    Consensus<E>,
    Witness<Consensus<E>>,
    Sequential,
>;

fn archive_config<C>(prefix: &str, name: &str, codec_config: C, pages: &CacheRef) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{prefix}{name}-metadata"),
        key_partition: format!("{prefix}{name}-keys"),
        key_page_cache: pages.clone(),
        value_partition: format!("{prefix}{name}-values"),
        compression: None,
        codec_config,
        items_per_section: ARCHIVE_SECTION,
        key_write_buffer: WRITE_BUFFER,
        value_write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
    }
}

fn fetch_timeout(settings: &Settings) -> NonZeroDuration {
    NonZeroDuration::new(settings.timeouts.fetch).expect("settings were checked")
}
