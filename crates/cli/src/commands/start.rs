//! `pleach start`: runs a node until it is told to stop.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::pin::Pin;
use std::time::Duration;

use pleach_node::byzantine::{Byzantine, UnknownByzantine};
use pleach_node::{NodeConfig, OrderError, RunningNode, StartError};
use pleach_types::Hash;
use serde::Serialize;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::args::Start;
use crate::errors::{CliError, Ending};
use crate::log::{Log, LogFormat};
use crate::output::Output;

/// How often a node is asked whether it has ended.
const POLL: Duration = Duration::from_millis(200);
/// How long a node may take to stop before it is left to the system. It loses nothing by that.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// The line on standard input that says: the parent will go, and that is well.
pub const DETACH: &str = "detach";

#[derive(Serialize)]
struct Started {
    name: String,
    genesis: Hash,
    public: String,
    peer: String,
    process: u32,
}

/// Why a node stops.
enum StopReason {
    Signal(&'static str),
    ParentGone,
    NodeEnded,
}

/// Runs a node.
pub fn run(output: Output, args: &Start) -> Result<Ending, CliError> {
    let kind = args.byzantine.as_deref().map(byzantine).transpose()?;
    let log = log_to_stderr()?;
    let config = NodeConfig::read(&args.config)?;
    let ran = run_node(output, args, &config, kind);
    log.settle();
    ran
}

/// The way to break the rules that has this name.
///
/// # Errors
/// If there is none: in what is handed out there is none at all.
pub fn byzantine(name: &str) -> Result<Byzantine, CliError> {
    name.parse().map_err(|why: UnknownByzantine| {
        let hint = match &why {
            UnknownByzantine::NotBuilt => {
                format!("build one that has: cargo run --release --features byzantine -- demo --byzantine {name}")
            }
            UnknownByzantine::Kind(_) => {
                let kinds: Vec<_> = Byzantine::ALL.iter().map(|kind| kind.name()).collect();
                format!("choose one of {}", kinds.join(", "))
            }
        };
        CliError::usage(format!("--byzantine {name}: {why}"), hint)
    })
}

fn run_node(output: Output, args: &Start, config: &NodeConfig, kind: Option<Byzantine>) -> Result<Ending, CliError> {
    // Watched from the first moment on: the parent may go while the node starts.
    let parent = args.exit_with_parent.then(watch_parent);
    if args.new_member {
        pleach_node::declare_new(&config.node.data_dir).map_err(StartError::from)?;
    }
    let start = || match kind {
        Some(kind) => pleach_node::start_byzantine(config, kind),
        None => pleach_node::start(config),
    };
    let mut node = start()?;
    announce(output, config, &node);
    let mut ends = Ends::new(parent)?;
    loop {
        let stop = ends.wait(&node);
        let rotated = matches!(node.ended(), Some(Err(StartError::Order(OrderError::Rotated { .. }))));
        if rotated && matches!(stop, StopReason::NodeEnded) {
            tracing::info!("this member has another key from this epoch on: starting again with it");
            // What `stop` returns is the error that ended the node, which is known. All that the node came to is on the disk then, and says
            // which key is in force: without the file of that one the start fails.
            let _ = node.stop();
            node = start()?;
            continue;
        }
        match stop {
            StopReason::Signal(name) => tracing::info!("{name}: stopping"),
            StopReason::ParentGone => {
                tracing::info!("standard input ended: whoever started this node has gone, stopping")
            }
            StopReason::NodeEnded => tracing::error!("a part of the node has ended by itself, stopping"),
        }
        stop_node(node)?;
        return Ok(Ending::Done);
    }
}

/// Has what is logged written to standard error, by a thread of its own.
///
/// # Errors
/// If `PLEACH_LOG` or `PLEACH_LOG_FORMAT` says nothing that can be read.
pub fn log_to_stderr() -> Result<Log, CliError> {
    let filter = match std::env::var("PLEACH_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|e| {
            CliError::usage(format!("PLEACH_LOG={text:?}: {e}"), "write for example info or pleach_node=debug")
        })?,
        // The engine tells of every connection that a stopped peer refuses.
        Err(_) => EnvFilter::new("info,commonware_p2p=warn,commonware_runtime=warn,commonware_consensus=warn"),
    };
    let format = log_format()?;
    let failed = |e: &dyn std::fmt::Display| CliError::Internal(format!("logging: {e}"));
    let log = Log::to(io::stderr(), format).map_err(|e| failed(&e))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone());
    // The subscriber would tell of its own errors on standard error, and panic where it cannot.
    let subscriber = subscriber.log_internal_errors(false);
    match format {
        LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().with_current_span(false).with_span_list(false).try_init(),
    }
    .map_err(|e| failed(&e))?;
    // One line, where all else is: the engine ends by a panic also when a disk is full, and a page of stack is no help then. Whoever wants it
    // sets RUST_BACKTRACE=full.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name(), "{}", panic.to_string().replace('\n', " "));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted == "full") {
            usual(panic);
        }
    }));
    Ok(log)
}

/// How lines of the log look. An empty variable is as if it were not set.
fn log_format() -> Result<LogFormat, CliError> {
    let Some(text) = std::env::var_os("PLEACH_LOG_FORMAT").filter(|text| !text.is_empty()) else {
        return Ok(LogFormat::Text);
    };
    match text.to_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(CliError::usage(format!("PLEACH_LOG_FORMAT={text:?} is no form of a log"), "write text or json")),
    }
}

/// Says where the node listens. A node whose starter does not read that, or has no room for it, is a node all the same.
fn announce(output: Output, config: &NodeConfig, node: &RunningNode) {
    let started = Started {
        name: config.node.name.clone(),
        genesis: node.node().status().genesis,
        public: node.public_address().to_string(),
        peer: config.listen.peer.clone(),
        process: std::process::id(),
    };
    let printed = output.data("pleach.start/1", &started, || {
        format!("{} listens on {} for clients and on {} for members\n", started.name, started.public, started.peer)
    });
    if let Err(error) = printed {
        tracing::warn!(%error, "where the node listens cannot be printed");
    }
}

/// What ends a node. Made once for a process: a signal that comes while the node starts again counts as well.
struct Ends {
    runtime: tokio::runtime::Runtime,
    signal: Pin<Box<dyn Future<Output = &'static str>>>,
    parent: Option<oneshot::Receiver<()>>,
}

impl Ends {
    fn new(parent: Option<oneshot::Receiver<()>>) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| CliError::Internal(format!("no runtime: {e}")))?;
        let signal = runtime.block_on(async { signal() })?;
        Ok(Self { runtime, signal: Box::pin(signal), parent })
    }

    /// Waits for a signal, the parent's end or the node's.
    fn wait(&mut self, node: &RunningNode) -> StopReason {
        let Self { runtime, signal, parent } = self;
        runtime.block_on(async {
            tokio::select! {
                name = signal => StopReason::Signal(name),
                () = parent_gone(parent) => StopReason::ParentGone,
                () = node_ended(node) => StopReason::NodeEnded,
            }
        })
    }
}

async fn node_ended(node: &RunningNode) {
    while node.ended().is_none() {
        tokio::time::sleep(POLL).await;
    }
}

async fn parent_gone(parent: &mut Option<oneshot::Receiver<()>>) {
    // The sender is dropped without a word when the parent detached.
    let gone = match parent {
        Some(gone) => gone.await.is_ok(),
        None => false,
    };
    if !gone {
        *parent = None;
        std::future::pending().await
    }
}

/// Reads standard input to its end, which comes when the other end's process does: also after kill -9.
fn watch_parent() -> oneshot::Receiver<()> {
    let (gone, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if line.is_ok_and(|line| line == DETACH) {
                return;
            }
        }
        let _ = gone.send(());
    });
    receiver
}

/// The next signal to stop.
#[cfg(unix)]
pub fn signal() -> Result<impl Future<Output = &'static str>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|e| CliError::Internal(format!("signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// The next signal to stop.
#[cfg(not(unix))]
pub fn signal() -> Result<impl Future<Output = &'static str>, CliError> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        "ctrl-c"
    })
}

/// Stops a node in order, but does not wait for ever.
fn stop_node(node: RunningNode) -> Result<(), CliError> {
    let (done, stopped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(node.stop());
    });
    match stopped.recv_timeout(STOP_WAIT) {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            tracing::warn!("the node did not stop within {} s; ending without it", STOP_WAIT.as_secs());
            Ok(())
        }
    }
}
