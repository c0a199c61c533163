//! A node on a real machine: the engine's threads, the HTTP port's thread, and how both end.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::info;

use pleach_order::{Bounds, MemberAddress, Running, Settings, Timeouts, VotesFound};
use pleach_state::State;
use pleach_store::{OpenError, Options, Progress, Store};
use pleach_types::committee::faults;
use pleach_types::{Block, Genesis, SecretKey};
use pleach_vm::Vm;

use crate::byzantine::{Byzantine, Manner};
use crate::config::{NodeConfig, Places};
use crate::core::Node;
use crate::descriptors::{PEERS_SPARE, share_of_clients};
use crate::disk::{Disk, Writer};
use crate::evidence::{self, EvidenceStore};
use crate::fork::{self, Forked};
use crate::http;
use crate::port::{self, Deadlines};
use crate::resume::{ResumeError, Resumed, resume};
use crate::share::Share;
use crate::start_error::StartError;
use crate::watch::Watch;

/// Rows of a store from which on its check shows how far it is.
const ROWS_WORTH_A_LINE: u64 = 100_000;
/// The most threads of the engine, and of the HTTP port.
const THREADS_MAX: usize = 4;
/// Threads of the HTTP port that may block: on the disk, or with the JSON of a large answer. Each may have a folder open.
const BLOCKING_THREADS: usize = 8;

/// A node that runs. Dropping it stops it.
pub struct RunningNode {
    node: Arc<Node>,
    /// Where it stores.
    data: PathBuf,
    public: SocketAddr,
    engine: Arc<Running>,
    http: Option<HttpThread>,
    writer: Option<JoinHandle<()>>,
    /// Ends the thread that tells the log how the node is doing.
    watching: Option<std::sync::mpsc::Sender<()>>,
}

struct HttpThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts a node. It returns when both ports and the data folder are secured and the store has been checked, which takes
/// about a second for each 200,000 records; catching up goes on in the background.
///
/// # Errors
/// If the configuration, the genesis, the key, a port or the data folder cannot be used, the process may have too few files
/// open, or the store is damaged.
pub fn start(config: &NodeConfig) -> Result<RunningNode, StartError> {
    start_with(config, Manner::honest())
}

/// As [`start`], a node that breaks the rules: there is a [`Byzantine`] only in builds for tests.
///
/// # Errors
/// As [`start`].
pub fn start_byzantine(config: &NodeConfig, kind: Byzantine) -> Result<RunningNode, StartError> {
    tracing::warn!(kind = kind.name(), "this node breaks the rules on purpose");
    start_with(config, kind.into())
}

fn start_with(config: &NodeConfig, manner: Manner) -> Result<RunningNode, StartError> {
    let genesis = config.read_genesis()?;
    let keys = config.read_keys(&genesis)?;
    // All that the configuration may have wrong is found before there is a store of this genesis.
    let places = Places::find(config, &genesis)?;
    check_loss(config, &genesis)?;
    let connections = share_of_clients(&genesis)?;
    let listener = listen(places.public)?;
    let vm = Arc::new(Vm::new(&genesis.limits).map_err(|e| StartError::Vm(e.to_string()))?);
    let evidence = open_evidence(config, &genesis)?;
    let fork = open_fork(config, &genesis)?;
    let resumed = open_store(config, &genesis, &keys.current)?;
    let secret = keys.in_force(&config.node.data_dir, &resumed.state)?;
    let (disk, writer) = Disk::behind(resumed.store.clone());
    let writer = Some(spawn_writer(writer)?);
    let node = Node::new(secret, vm, resumed, disk).named(&config.node.name).with_evidence(evidence).with_fork(fork);
    let began = Instant::now();
    let node = Arc::new(node.behaving(manner).timed(Box::new(move || began.elapsed())));
    let public = listener.local_addr().map_err(|e| StartError::Http(e.to_string()))?;
    let engine = Arc::new(pleach_order::run(order_config(config, &genesis, &node, &places), node.clone())?);
    let watch = Arc::new(Watch::new(node.clone(), engine.clone(), config.node.data_dir.clone()));
    let http = serve(listener, &node, &engine, &watch, config, connections)?;
    info!(node = %config.node.name, %public, genesis = %node.genesis_digest, connections, "node started");
    let watching = Some(spawn_watch(watch)?);
    let data = config.node.data_dir.clone();
    Ok(RunningNode { node, data, public, engine, http: Some(http), writer, watching })
}

/// Has the log told how the node is doing. Nothing waits for this thread, and nothing ends with it: it only reports.
fn spawn_watch(watch: Arc<Watch>) -> Result<std::sync::mpsc::Sender<()>, StartError> {
    let (watching, stop) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("health".into()).spawn(move || watch.run(&stop));
    thread.map(|_| watching).map_err(StartError::thread("health"))
}

/// A cluster that can lose records to the faults that it tolerates runs only if whoever runs the node wants that.
fn check_loss(config: &NodeConfig, genesis: &Genesis) -> Result<(), StartError> {
    if genesis.survives_faults() {
        return Ok(());
    }
    let (copies, faults) = (genesis.copies(), faults(genesis.members.len()));
    if !config.node.accept_loss {
        return Err(StartError::Loss { copies, faults });
    }
    tracing::warn!(copies, faults, "records can be lost for ever: see pleach cluster plan");
    Ok(())
}

/// The folder of a node's store.
#[must_use]
pub fn store_dir(config: &NodeConfig) -> PathBuf {
    config.node.data_dir.join("store")
}

fn open_store(config: &NodeConfig, genesis: &Genesis, secret: &SecretKey) -> Result<Resumed, StartError> {
    let dir = store_dir(config);
    let failed = |reason: ResumeError| StartError::Resume { dir: dir.clone(), reason: Box::new(reason) };
    // Before the store makes it: whoever looks into a data folder reads all records in it.
    let made = pleach_order::durable::create_folder(&dir);
    let unmade = |source| OpenError::Io { what: format!("making the folder {}", dir.display()), source };
    made.map_err(|source| failed(unmade(source).into()))?;
    let opened = Store::open(&dir, &genesis.digest(), &Options::default()).map_err(|e| failed(e.into()))?;
    let mut shown = 0;
    let progress = |progress: Progress| {
        // Ten lines at most, and none for a store that is checked at once.
        let tenths = progress.done.saturating_mul(10).checked_div(progress.total).unwrap_or(10);
        if progress.total >= ROWS_WORTH_A_LINE && tenths > shown {
            shown = tenths;
            info!(rows = progress.done, of = progress.total, "checking the store");
        }
    };
    let resumed = resume(opened, genesis, &secret.public(), progress).map_err(failed)?;
    info!(height = resumed.height(), records = resumed.records(), "the store is as it was written");
    Ok(resumed)
}

fn open_evidence(config: &NodeConfig, genesis: &Genesis) -> Result<EvidenceStore, StartError> {
    let place = evidence::place(&config.node.data_dir);
    EvidenceStore::open(place.clone(), genesis)
        .map_err(|reason| StartError::Evidence { place, reason: Box::new(reason) })
}

fn open_fork(config: &NodeConfig, genesis: &Genesis) -> Result<Forked, StartError> {
    let place = fork::place(&config.node.data_dir);
    Forked::open(place.clone(), genesis).map_err(|reason| StartError::Evidence { place, reason: Box::new(reason) })
}

fn spawn_writer(writer: Writer) -> Result<JoinHandle<()>, StartError> {
    let run = move || {
        if let Err(error) = writer.run() {
            tracing::error!(%error, "the store cannot be written: this node stops");
        }
    };
    std::thread::Builder::new().name("store".into()).spawn(run).map_err(StartError::thread("store"))
}

/// The clients' port is taken first: it is the one that people mistype.
fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let error = |e: std::io::Error| StartError::Listen { address, reason: e.to_string() };
    let listener = TcpListener::bind(address).map_err(error)?;
    listener.set_nonblocking(true).map_err(error)?;
    Ok(listener)
}

fn order_config(config: &NodeConfig, genesis: &Genesis, node: &Node, places: &Places) -> pleach_order::Config {
    let addresses = genesis.members.iter().zip(&places.members).map(|(member, (key, address))| MemberAddress {
        key: *key,
        address: address.clone(),
        stands_for: member.address.clone(),
    });
    pleach_order::Config {
        settings: settings(genesis, node),
        addresses: addresses.collect(),
        listen: places.peer,
        data: config.node.data_dir.clone(),
        workers: threads(),
    }
}

/// Threads of the engine, and as many of the HTTP port: half of the machine's cores, since the execution of blocks, the
/// store and the disk have their own. More than a few would only wake each other.
fn threads() -> usize {
    (cores() / 2).clamp(1, THREADS_MAX)
}

/// The machine's cores.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Members, with the keys that they have had before, and members on standby that this node has room to connect with. Not as many as genesis allows, since each takes memory
/// from the start on. A node that has fetched the state of others knows of as many as were there before it began.
fn peers_max(genesis: &Genesis, state: &State) -> usize {
    let record = state.cluster();
    let now = record.members.len().max(record.next.len()).max(genesis.members.len()) + record.standby.len();
    let former = record.members.iter().chain(&record.next).filter(|member| member.previous.is_some()).count();
    now + former + PEERS_SPARE
}

/// The engine's settings for a node of this genesis, on its own storage.
#[must_use]
pub fn settings(genesis: &Genesis, node: &Node) -> Settings {
    Settings {
        secret: node.secret.clone(),
        epoch_blocks: genesis.governance.epoch_blocks,
        members_max: genesis.governance.members_max.into(),
        peers_max: peers_max(genesis, &node.state()),
        storage_prefix: String::new(),
        votes: VotesFound::Kept,
        place: 0,
        genesis_digest: node.genesis_digest,
        genesis: Block::genesis(genesis),
        timeouts: Timeouts::default(),
        bounds: Bounds::of(&genesis.limits),
    }
}

fn serve(
    listener: TcpListener,
    node: &Arc<Node>,
    engine: &Arc<Running>,
    watch: &Arc<Watch>,
    config: &NodeConfig,
    connections: u64,
) -> Result<HttpThread, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|e| StartError::Http(e.to_string()))?;
    let router = http::router(node.clone(), engine.clone(), watch.clone(), config.clone())
        .map_err(|e| StartError::Http(e.to_string()))?;
    let (share, counts) = (Share::new(connections), node.metrics.connections.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || {
        runtime.block_on(async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(e) => return tracing::error!("the port for clients cannot be served, so this node stops: {e}"),
            };
            // Not graceful: clients that wait in long polls must not hold up the end of the node.
            tokio::select! {
                () = port::serve(listener, router, share, Deadlines::default(), counts) => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("http".into()).spawn(run).map_err(StartError::thread("http"))?;
    Ok(HttpThread { stop, thread })
}

impl RunningNode {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Where clients reach it: the port that was really taken, where the configuration asked for any.
    #[must_use]
    pub const fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// How the first part of the node ended that has, or `None` while all run. A node of which a part has ended should be
    /// stopped: the rest of it serves nobody, and looks as if it did.
    #[must_use]
    pub fn ended(&self) -> Option<Result<(), StartError>> {
        let engine = self.engine.ended().map(|ended| ended.map_err(StartError::Order));
        engine.or_else(|| self.thread_ended().map(Err))
    }

    /// Which of the node's own threads ended by itself: by an error, or by a panic.
    fn thread_ended(&self) -> Option<StartError> {
        if self.http.as_ref().is_some_and(|http| http.thread.is_finished()) {
            return Some(StartError::Http("the log says why".into()));
        }
        let written = self.writer.as_ref().is_some_and(JoinHandle::is_finished);
        let why = || self.node.finality.disk.failure().map_or("the writer has ended".into(), |error| error.to_string());
        written.then(|| self.cannot_write(why()))
    }

    fn cannot_write(&self, why: String) -> StartError {
        pleach_order::lacking(&why, &self.data).map_or(StartError::Writer(why), StartError::Order)
    }

    /// Stops the node and waits until ports and data folder are free.
    ///
    /// # Errors
    /// If the engine, or another part of the node, had stopped by itself before.
    pub fn stop(mut self) -> Result<(), StartError> {
        let cut_short = self.thread_ended().map_or(Ok(()), Err);
        self.watching.take();
        self.stop_http();
        self.engine.shutdown();
        let ended = self.engine.wait().map_err(StartError::Order);
        self.node.evidence.write(&self.node.genesis, || self.node.members.all_steps());
        self.node.finality.disk.stop_writer();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if let Err(error) = self.node.finality.disk.close() {
            tracing::warn!(%error, "the store was not closed in order: the next start recovers it first");
        }
        ended.and(cut_short)
    }

    fn stop_http(&mut self) {
        if let Some(HttpThread { stop, thread }) = self.http.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        self.stop_http();
        // An answer on its way may hold the engine a little longer.
        self.engine.shutdown();
    }
}
