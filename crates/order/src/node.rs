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
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::{Actor, Variant};
use commonware_consensus::marshal::resolver::{handler, p2p as backfill};
use commonware_consensus::marshal::standard::{Deferred, Standard};
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex;
use commonware_consensus::simplex::types::Artifact;
use commonware_consensus::types::FixedEpocher;
use commonware_cryptography::blake3::Digest;
use commonware_cryptography::{Digested, Digestible as _, ed25519};
use commonware_macros::select;
use commonware_p2p::utils::mux::{Builder as _, GlobalSender, Muxer, prefixed};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Quota, ReadOptions, Spawner, Storage};
use commonware_storage::archive::prunable;
use commonware_storage::journal::segmented::variable;
use commonware_storage::translator::EightCap;
use commonware_utils::NZUsize;
use pleach_types::Certificate;
use pleach_types::limits::MEMBERS_MAX;
use pleach_types::vote::{Round, order_namespace};
use rand_core::CryptoRng;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::Application;
use crate::block::{BlockBound, EngineBlock, engine_key};
use crate::byzantine::{self, VoteSender};
use crate::certificate::{EngineFinalization, Scheme};
use crate::channels::{Channels, Peers};
use crate::config::{Bounds, FETCH_RETRY, MAILBOX, OrderError, Settings, Timeouts, VotesFound, fetch_timeout};
use crate::delivery::{Delivery, DeliveryProgress, Marshal, Reports};
use crate::entrance::{Entrance, Lengths};
use crate::epochs::{Driver, Muxes, own_key};
use crate::glue::Glue;
use crate::guard::{self, Guard};
use crate::muster::{Exchange, LostVotes, Memory};
use crate::network::{Network, Outgoing, Signals, packet_bytes_max, receive_packets, send_packets};
use crate::partitions::{
    ARCHIVE_SECTION, CACHE_SECTION, MARSHAL_PARTITION, PAGE_BYTES, REPLAY_BUFFER, WRITE_BUFFER, cached_views,
    votes_partition,
};
use crate::refused::Refused;
use crate::rest::ConsensusClock;
use crate::rest::late::LateLeaders;
use crate::rest::watch::RestWatch;
use crate::schemes::Schemes;
use crate::signal::Signal;
use crate::tenure::{Holders, Process, Tenure};

/// Pages in memory: 8 MiB.
const PAGES: NonZeroUsize = NZUsize!(2_048);
/// Blocks of one sender that wait for their votes.
const BLOCKS_PER_SENDER: usize = 8;
/// Heights that are fetched at a time when catching up.
const REPAIR: NonZeroUsize = NZUsize!(32);
/// Final blocks handed out and not yet executed: the back-pressure of execution on ordering.
const UNEXECUTED: NonZeroUsize = NZUsize!(16);
/// How often the application may work without asking for it.
const WORK_EVERY: Duration = Duration::from_millis(200);
/// The engine's end of the [`Network`] that an application was given.
#[derive(Debug)]
pub(crate) struct NetworkEnd {
    outgoing: mpsc::Receiver<Outgoing>,
    signals: Signals,
}

/// Gives the application its [`Network`].
pub(crate) fn introduce(app: &dyn Application, bounds: &Bounds) -> NetworkEnd {
    let signals = Signals::default();
    let (network, outgoing) = Network::new(bounds.message_bytes, &signals);
    app.start(network);
    NetworkEnd { outgoing, signals }
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
    B: Blocker<PublicKey = ed25519::PublicKey> + Sync,
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
    link: NetworkEnd,
) -> Handle<Result<(), OrderError>>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey> + Sync,
{
    context.spawn(move |context| EngineParts { context, channels, peers, settings, app, link }.run())
}

/// The largest message that a member sends: the bound that the network must be given.
#[must_use]
pub fn max_message_size(members: usize, bounds: &Bounds) -> u32 {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    // Votes and certificates travel after the number of their epoch.
    let votes = prefixed(simplex::max_payload_size::<Scheme, Digest>(members));
    let blocks = marshal::max_payload_size::<Standard<EngineBlock>, Scheme>(members, &BlockBound(bounds.block_bytes));
    commonware_p2p::max_message_size(&[votes, blocks, packet_bytes_max(bounds.message_bytes)])
}

/// The quota of every channel, per peer.
#[must_use]
pub fn quota(bounds: &Bounds) -> Quota {
    Quota::per_second(NonZeroU32::new(bounds.messages_per_second).unwrap_or(NonZeroU32::MIN))
}

/// What a member is put together from.
struct EngineParts<E, S, R, P, B> {
    context: E,
    channels: Channels<S, R>,
    peers: Peers<P, B>,
    settings: Settings,
    app: Arc<dyn Application>,
    link: NetworkEnd,
}

impl<E, S, R, P, B> EngineParts<E, S, R, P, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey> + Sync,
{
    async fn run(self) -> Result<(), OrderError> {
        let Self { context, channels, peers, settings, app, link: NetworkEnd { outgoing, signals } } = self;
        let lengths = Lengths::new(settings.epoch_blocks);
        let own = own_key(&settings);
        // The guard outlives the engine, in the hands of the application; what it holds of the runtime would keep the folder's files open.
        let clock = Arc::new(context.child("tenure"));
        let now = Arc::downgrade(&clock);
        let now = guard::Clock(Arc::new(move || now.upgrade().map(|clock| clock.current())));
        let guard = Arc::new(Guard::until(Arc::clone(&signals.halted), now));
        let namespace = order_namespace(&settings.genesis_digest);
        let schemes = Schemes::new(namespace, engine_key(&settings.secret), Arc::clone(&guard));
        let memory =
            Memory::new(settings.genesis_digest, settings.secret.public(), Arc::clone(&guard), Arc::clone(&app));
        // Whoever is asked before the journal has been read says so.
        let _ = signals.holdings.set(memory.holdings());
        let track = peers.track.clone();
        let who = (settings.secret.public(), Arc::clone(&app));
        let entrance = Entrance::new(lengths, schemes.clone(), memory.clone(), track, who);

        let packets = Self::start_messages(&context, channels.messages, outgoing, &settings, Arc::clone(&app));
        let work = Self::start_work(&context, Arc::clone(&app), Arc::clone(&signals.nudge));
        let votes = (byzantine::votes(channels.votes.0, &settings, &schemes, &*app), channels.votes.1);
        let (muxes, global, mut muxed) = Self::start_muxes(&context, votes, channels.certificates, channels.resolver);

        let pages = CacheRef::new(PAGE_BYTES, PAGES);
        let genesis = EngineBlock::new(settings.genesis.clone()).expect("settings were checked");
        let genesis = Digested::compute(genesis, &Sequential).await;
        let genesis_digest = genesis.digest();
        let (actor, marshal, floor) = Self::open_archive(&context, schemes.clone(), genesis, &settings, &pages).await;
        let processed = floor.processed().map_or(0, |processed| processed.height().get());

        let lost = settings.votes.are_lost();
        // What is known of the members before anything is executed.
        let has = app.height();
        let known = lengths.of(has + 1);
        let Some(members) = app.committee(known) else {
            return Err(OrderError::Stopped(format!("the application does not know the members of epoch {known}")));
        };
        entrance.enter(known, &members, None);
        let epoch = lengths.of(processed.max(has) + 1);
        // Before the journal of votes, which has the newest of them as well.
        let nullifications = memory.nullified();
        let nullifications =
            nullifications.open(context.child("nullifications"), &settings.storage_prefix, pages.clone()).await;
        let _kept = nullifications
            .map(|archive| context.child("nullified").spawn(move |_| async move { archive.keep().await }));
        // As its journal binds this member, so does what is noted beside it.
        let refused = Refused::read(context.child("refused"), &settings.storage_prefix, guard).await;
        let _noted = context.child("noting").spawn(move |_| refused.keep());
        if !lost {
            // Before anything is said to others, and before consensus reads it: from here on own votes bind. The next epoch may
            // have begun, and this one not be known to be over: its last block is acknowledged only then.
            for epoch in [epoch, epoch + 1] {
                Self::read_votes(&context, epoch, &memory, &settings, &pages).await;
            }
            memory.live(epoch);
        }
        let (mut views, safe) =
            Self::start_muster(&context, channels.views, global, &schemes, &memory, &settings, &app);
        // Before anything that could vote.
        let joined = match safe {
            Some(safe) => Some(Self::rejoin(&*app, safe, &signals).await?),
            None => None,
        };
        if lost {
            memory.live(lengths.of(app.height() + 1));
        }

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
        let progress = Arc::new(DeliveryProgress::new(Arc::clone(&signals.tip)));
        let (reports, finalized) = Reports::new(Arc::clone(&progress));
        let archive = actor.start(reports, buffer, resolver);

        // The application's state is rebuilt before this member takes part: it can vouch for nothing without.
        let delivery = Delivery {
            context: context.child("delivery"),
            app: Arc::clone(&app),
            marshal: marshal.clone(),
            progress: Arc::clone(&progress),
            start_point: Arc::clone(&signals.start_point),
            entrance: entrance.clone(),
            root: AtomicU64::default(),
            voted: Mutex::new(settings.votes.voted().cloned()),
        };
        match &joined {
            Some(certificate) => delivery.set_start_point(certificate)?,
            None => delivery.replay(processed).await?,
        }
        app.replayed();
        let Timeouts { pace, idle, .. } = settings.timeouts;
        let rest = ConsensusClock::new(context.current(), &settings.timeouts);
        let watch = RestWatch {
            rest: Arc::clone(&rest),
            app: Arc::clone(&app),
            progress: Arc::clone(&progress),
            wake: Arc::clone(&signals.wake),
        };
        let late = LateLeaders {
            clock: Arc::clone(&rest),
            timeout: settings.timeouts.leader,
            own: settings.secret.public(),
            now: Box::new({
                let clock = context.child("late");
                move || clock.current()
            }),
            wanted: Box::new({
                let (app, progress) = (Arc::clone(&app), Arc::clone(&progress));
                move || progress.newest_block().is_some_and(|block| app.wants_block(&block))
            }),
            convicted: Box::new({
                let app = Arc::clone(&app);
                move |member| app.convicted(member)
            }),
            seen: Mutex::default(),
        };
        let late = Arc::new(late);
        let leaders = context.child("leaders").spawn({
            let (late, progress) = (Arc::clone(&late), Arc::clone(&progress));
            move |_| late.follow(progress)
        });
        let rests = context.child("rests").spawn(move |clock| watch.keep(clock));
        let block_bytes = settings.bounds.block_bytes;
        let (wake, last_block) = (signals.wake, Arc::default());
        let glue = Glue {
            app,
            progress: Arc::clone(&progress),
            wake,
            rest: Arc::clone(&rest),
            late: Arc::clone(&late),
            pace,
            last_block,
            idle,
            block_bytes,
        };
        let deferred = Deferred::new(context.child("deferred"), glue, marshal.clone(), lengths.epocher());
        let driver = Driver {
            context: context.child("epochs"),
            settings,
            entrance,
            muxes,
            marshal,
            deferred,
            blocker: peers.blocker,
            progress,
            pages,
            rest,
            late,
            genesis: genesis_digest,
        };

        // Whatever ends ends all: a member that does half of its work is worse than one that is down.
        let reason = select! {
            result = delivery.run(finalized) => return result,
            error = driver.run() => return Err(error),
            _ = archive => "the archive",
            _ = &mut muxed => "the network",
            _ = broadcast => "the exchange of blocks",
            _ = packets => "the exchange of messages",
            _ = work => "the application's work",
            _ = rests => "the watch over what waits",
            _ = leaders => "the watch over leaders",
            ended = &mut views => return Err(OrderError::Stopped(match ended {
                Ok(Some(why)) => why,
                _ => "the exchange of views ended".into(),
            })),
        };
        Err(OrderError::Stopped(format!("{reason} ended")))
    }
}

/// The archive's types, spelled out once.
type Certificates<E> = prunable::Archive<EightCap, E, Digest, EngineFinalization>;
type BlockArchive<E> = prunable::Archive<EightCap, E, Digest, <Standard<EngineBlock> as Variant>::StoredBlock>;
type Archive<E> = Actor<E, Standard<EngineBlock>, Schemes, Certificates<E>, BlockArchive<E>, FixedEpocher, Sequential>;

impl<E, S, R, P, B> EngineParts<E, S, R, P, B>
where
    E: Spawner + Clock + Metrics + Storage + CryptoRng,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey> + Sync,
{
    /// Starts what puts the number of the epoch in front of consensus' messages. The task ends when one of the channels does.
    fn start_muxes(
        context: &E,
        votes: (VoteSender<S>, R),
        certificates: (S, R),
        resolver: (S, R),
    ) -> (Muxes<S>, GlobalSender<S>, Handle<()>) {
        // `elsewhere` gets votes of epochs that no engine runs yet: others may begin the next epoch a moment earlier, and their first votes must not get lost.
        let (votes, votes_handle, elsewhere) =
            Muxer::builder(context.child("votes_by_epoch"), votes.0, votes.1).with_backup().build();
        let (certificates, certificates_handle, global) =
            Muxer::builder(context.child("certificates_by_epoch"), certificates.0, certificates.1)
                .with_global_sender()
                .build();
        let (resolver, resolver_handle) = Muxer::new(context.child("resolver_by_epoch"), resolver.0, resolver.1);
        let muxed = context.child("by_epoch").spawn(move |_| async move {
            select! {
                _ = votes.start() => {},
                _ = certificates.start() => {},
                _ = resolver.start() => {},
            }
        });
        let muxes =
            Muxes { votes: votes_handle, certificates: certificates_handle, resolver: resolver_handle, elsewhere };
        (muxes, global, muxed)
    }

    /// Starts both directions of the application's messages. The task ends when one of them does.
    fn start_messages(
        context: &E,
        (sender, receiver): (S, R),
        outgoing: mpsc::Receiver<Outgoing>,
        settings: &Settings,
        app: Arc<dyn Application>,
    ) -> Handle<()> {
        let packet_bytes = packet_bytes_max(settings.bounds.message_bytes);
        // A little below the quota, so that no packet is lost to it.
        let pause = Duration::from_secs(1) / settings.bounds.messages_per_second * 5 / 4;
        context.child("messages").spawn(move |context| async move {
            let incoming = context.child("incoming").spawn(move |_| receive_packets(receiver, app));
            let outgoing = context
                .child("outgoing")
                .spawn(move |context| send_packets(context, outgoing, sender, packet_bytes, pause));
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

    /// Reads the own votes of an epoch, and the certificates beside them, as consensus will.
    ///
    /// # Panics
    /// If the journal is damaged: there is no safe way on.
    async fn read_votes(context: &E, epoch: u64, memory: &Memory, settings: &Settings, pages: &CacheRef) {
        let partition = votes_partition(&settings.storage_prefix, epoch);
        // Opening it would make it, and an epoch that this member has not been in has none.
        if context.scan(&partition).await.is_ok_and(|blobs| blobs.is_empty()) {
            return;
        }
        let config = variable::Config {
            partition,
            compression: None,
            codec_config: MEMBERS_MAX,
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
        certificates: GlobalSender<S>,
        schemes: &Schemes,
        memory: &Memory,
        settings: &Settings,
        app: &Arc<dyn Application>,
    ) -> (Handle<Option<String>>, Option<oneshot::Receiver<Round>>) {
        // All others answer questions as well, and vote at once: only whoever has lost its votes has to wait for answers.
        let (lost, wanted) = if settings.votes.are_lost() {
            let (safe, wanted) = oneshot::channel();
            (Some(LostVotes { may_be_new: matches!(settings.votes, VotesFound::Unknown(_)), safe }), Some(wanted))
        } else {
            (None, None)
        };
        let app = Arc::clone(app);
        let exchange = Exchange {
            sender,
            certificates,
            schemes: schemes.clone(),
            memory: memory.clone(),
            voting: Box::new(move |state| app.voting(state)),
            answered: BTreeMap::new(),
            abstains: false,
            tenure: Tenure::new(Process { number: context.child("process").next_u64(), place: settings.place }),
            held_until: None,
            holders: Holders::default(),
            told_held: None,
        };
        (context.child("views").spawn(move |context| exchange.run(context, receiver, lost)), wanted)
    }

    /// Waits until the application has the state below a block from which on this member may take part.
    async fn rejoin(
        app: &dyn Application,
        safe: oneshot::Receiver<Round>,
        signals: &Signals,
    ) -> Result<Certificate, OrderError> {
        let round = safe.await.map_err(|_| OrderError::Stopped("the exchange of views ended".into()))?;
        let Round { epoch, view } = round;
        info!(epoch, view, "this member takes part again from this view on, once it has the state there");
        app.rejoin(round);
        loop {
            let certificate = signals.start_point.next().await;
            if (Round { epoch: certificate.epoch, view: certificate.view }) >= round {
                return Ok(certificate);
            }
            let Certificate { epoch, view, .. } = certificate;
            warn!(epoch, view, needed = ?round, "waiting for a newer state: the view of the fetched one is not above the last one in which this member may have voted");
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
    /// If they are damaged, or the machine does not let them be opened: there is no safe way on.
    async fn open_archive(
        context: &E,
        schemes: Schemes,
        genesis: Digested<EngineBlock>,
        settings: &Settings,
        pages: &CacheRef,
    ) -> (Archive<E>, Marshal, marshal::core::Floor) {
        // One bound for what is read from the disk and what peers send: a block that could be taken and not be read again would stop the next start.
        let bound = BlockBound(settings.bounds.block_bytes);
        let certificates = archive_config(&settings.storage_prefix, "certificates", MEMBERS_MAX, pages);
        let certificates = prunable::Archive::init(context.child("certificates"), certificates)
            .await
            .unwrap_or_else(|e| panic!("the archive of certificates cannot be opened: {e}"));
        let blocks = prunable::Archive::init(
            context.child("archive"),
            archive_config(&settings.storage_prefix, "blocks", bound, pages),
        )
        .await
        .unwrap_or_else(|e| panic!("the archive of blocks cannot be opened: {e}"));
        let config = marshal::Config {
            provider: schemes,
            epocher: Lengths::new(settings.epoch_blocks).epocher(),
            start: Start::Genesis(genesis),
            partition_prefix: format!("{}{MARSHAL_PARTITION}", settings.storage_prefix),
            mailbox_size: MAILBOX,
            view_retention: cached_views(settings.epoch_blocks),
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
}

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
