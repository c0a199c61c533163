//! How long reads and calls take.
//!
//! Two tables. The first is of one process with four nodes and library clients, in blocks of the ordering engine alone in the same
//! run: what the engine needs for a block is the least that a call can take, whatever the machine. The second is of `pleach get` and
//! `pleach call`, a new process each, on a cluster of processes of which one member is well, stopped, cut off or gone. Last comes the longest
//! time in which no call of several clients was done, after one of four nodes was killed.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_client::{Client, Executed, TrustLevel, arguments};
use pleach_testkit::folder::Folder;
use pleach_testkit::load;
use pleach_types::Key;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::attacks::honest::{self, key};
use crate::cluster::{Cluster, ClusterRun, RunLoad};
use crate::nodes::{self, Nodes, authority};
use crate::report::quantile;

/// Runs of each command, after a first one: of so many, two are slower than the p99.
const COMMANDS: usize = 200;
/// The member that something happens to.
const MEMBER: usize = 2;
/// Clients that call while a node is killed, and from which address of loopback on.
const CALLERS: u8 = 8;
const FIRST_CALLER: u8 = 200;
/// How long they call before and after.
const AROUND_THE_END: Duration = Duration::from_secs(6);
/// A member is passed over once it has been silent for so long (`Timeouts::skip`), and some more.
const PASSED_OVER: Duration = Duration::from_secs(4);
/// Connections that are opened at most to fill a listener that takes none.
const FILLERS_MAX: usize = 8_192;
/// How long a connection may take before the listener counts as full.
const FULL_AFTER: Duration = Duration::from_millis(500);
/// Accounts of the bank.
const ACCOUNTS: usize = 10_000;

/// Measures, and prints tables for `docs/latency.md`.
///
/// # Errors
/// If a cluster cannot be started or used.
pub fn run(runtime: &Runtime, program: Option<&Path>, seconds: u64) -> Result<(), String> {
    in_blocks(runtime, seconds)?;
    println!();
    let program = nodes::program(program)?;
    runtime.block_on(async {
        of_commands(&program).await?;
        println!();
        after_an_end(&program).await
    })
}

/// The first table. A machine that others share has another speed a minute later, so the engine is measured between the clusters and after them.
fn in_blocks(runtime: &Runtime, seconds: u64) -> Result<(), String> {
    let (mut runs, mut blocks) = (Vec::new(), Vec::new());
    for clients in [1, 64] {
        let of_these = runtime.block_on(transfers_of(clients, seconds))?;
        // Only with the cluster stopped: beside it the engine would have a part of the cores, and a block of it would no longer be the least time.
        eprintln!("the engine alone: {seconds} s");
        let bytes = of_these.first().map_or(0, |(_, run)| run.request_bytes);
        blocks.push(block_of_the_engine(bytes, seconds)?);
        runs.extend(of_these);
    }
    let block = blocks.iter().sum::<Duration>() / blocks.len() as u32;
    let each: Vec<_> = blocks.iter().map(|block| format!("{:.1}", ms(*block))).collect();
    println!(
        "a block of the engine alone: {} ms, after one client and after 64; the table has their mean",
        each.join(" and ")
    );
    println!("\n| calls | done | p50 ms | p99 ms | p50 in blocks | p99 : p50 | ms between blocks | failures |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    for (name, ClusterRun { transfers, blocks, failures, .. }) in runs {
        let (p50, p99) = (ms(transfers.p50), ms(transfers.p99));
        println!(
            "| {name} | {} | {p50:.1} | {p99:.1} | {:.1} | {:.1} | {:.1} | {failures:?} |",
            transfers.finished,
            p50 / ms(block),
            p99 / p50,
            seconds as f64 * 1e3 / blocks.max(1) as f64,
        );
    }
    Ok(())
}

/// Transfers of as many clients at a time on a cluster of their own, at each of two levels of trust, with the name of each run.
async fn transfers_of(clients: usize, seconds: u64) -> Result<Vec<(String, ClusterRun)>, String> {
    let cluster = Cluster::start(ACCOUNTS, Folder::new()).await?;
    let who = if clients == 1 { "one client".to_owned() } else { format!("{clients} clients") };
    let mut runs = Vec::new();
    for (receipts, trust) in [(TrustLevel::Quorum, "quorum"), (TrustLevel::Certified, "certified")] {
        let name = format!("{who}, {trust}");
        eprintln!("{name}: {seconds} s");
        runs.push((name, cluster.run(RunLoad { clients, accounts: ACCOUNTS, seconds, receipts }).await?));
    }
    cluster.stop().await?;
    Ok(runs)
}

/// The time between two blocks of the engine alone, each of which is proposed at once.
fn block_of_the_engine(payload_bytes: usize, seconds: u64) -> Result<Duration, String> {
    let folder = Folder::new();
    let load = load::Load {
        members: 4,
        payload_bytes,
        // One for each member, so that no leader waits.
        outstanding: 4,
        duration: Duration::from_secs(seconds),
        folder: folder.path().to_path_buf(),
    };
    let measured = load::measure(&load).map_err(|e| e.to_string())?;
    Ok(measured.elapsed / u32::try_from(measured.blocks.max(1)).unwrap_or(u32::MAX))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How the member fares while commands are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberState {
    Well,
    Stopped,
    CutOff,
    Gone,
}

/// The second table.
async fn of_commands(program: &Path) -> Result<(), String> {
    let folder = Folder::new();
    let mut nodes = Nodes::start(program, folder.path()).await?;
    drop(honest::client(&nodes.profile, "latency", FIRST_CALLER).await?);
    let record = key("latency/record");
    println!(
        "| one of four members | first `get` ms | p50 | p99 | failed | first `call` ms | p50 | p99 | failed |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for (state, name) in [
        (MemberState::Well, "is well"),
        (MemberState::Stopped, "is stopped"),
        (MemberState::CutOff, "is cut off"),
        (MemberState::Gone, "is gone"),
    ] {
        eprintln!("{COMMANDS} of each command while one of four {name}");
        // A command that is not counted, while the cluster is whole: it makes the session, for which none of the others is to pay.
        run_one(&nodes, &["get", record.as_str()])?;
        let mut held = Vec::new();
        match state {
            MemberState::Well => {}
            MemberState::Stopped => nodes.pause(MEMBER)?,
            MemberState::CutOff => {
                nodes.kill(MEMBER)?;
                held = swallow(&nodes.profile.nodes[MEMBER])?;
            }
            MemberState::Gone => nodes.kill(MEMBER)?,
        }
        if state != MemberState::Well {
            tokio::time::sleep(PASSED_OVER).await;
        }
        let get = run_many(&nodes, |_| vec!["get".into(), record.as_str().into()])?;
        let call = run_many(&nodes, |number| {
            let value = Bytes::copy_from_slice(&number.to_le_bytes());
            let change = hex(&arguments::change_records(&[(record.clone(), Some(value))]));
            vec!["call".into(), "latency/.base_rule".into(), "--arguments-hex".into(), change]
        })?;
        println!("| {name} | {get} | {call} |");
        drop(held);
        if state == MemberState::Stopped {
            nodes.go_on(MEMBER)?;
        }
        nodes.restart(MEMBER).await?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the place of a node that has ended as a network does that loses every packet: connections are neither taken nor refused. It does
/// for as long as what it returns lives.
fn swallow(address: &str) -> Result<Vec<Swallowing>, String> {
    let failed = |e: std::io::Error| format!("{address}: {e}");
    let at: SocketAddr = authority(address).to_socket_addrs().map_err(failed)?.next().ok_or("no address")?;
    let listener = TcpListener::bind(at).map_err(failed)?;
    let mut held = vec![Swallowing::Listener(listener)];
    // What is not accepted waits in the system's queue, and once that is full, the system answers nobody.
    while held.len() < FILLERS_MAX {
        match TcpStream::connect_timeout(&at, FULL_AFTER) {
            Ok(stream) => held.push(Swallowing::Waiting(stream)),
            Err(_) => return Ok(held),
        }
    }
    Err(format!("{address} still takes connections after {FILLERS_MAX}"))
}

/// A part of a listener that takes no connections.
#[expect(dead_code, reason = "what counts is that they stay open")]
enum Swallowing {
    Listener(TcpListener),
    Waiting(TcpStream),
}

/// How long some runs of a command took.
struct Times {
    first: Duration,
    /// All others.
    sorted: Vec<Duration>,
    failed: usize,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| quantile(&self.sorted, percent));
        write!(f, "{:.0} | {:.0} | {:.0} | {}", ms(self.first), ms(p50), ms(p99), self.failed)
    }
}

fn run_many(nodes: &Nodes, args: impl Fn(usize) -> Vec<String>) -> Result<Times, String> {
    let (mut took, mut failed) = (Vec::new(), 0);
    for number in 0..=COMMANDS {
        let args = args(number);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let began = Instant::now();
        let done = run_one(nodes, &args)?;
        took.push(began.elapsed());
        failed += usize::from(!done);
    }
    let first = took.remove(0);
    took.sort_unstable();
    Ok(Times { first, sorted: took, failed })
}

/// Runs a command, and says whether it succeeded. A record that is absent is a success.
fn run_one(nodes: &Nodes, args: &[&str]) -> Result<bool, String> {
    let mut command = nodes.command();
    let run = command.args(args).stdout(Stdio::null()).output().map_err(|e| format!("{args:?}: {e}"))?;
    let done = matches!(run.status.code(), Some(0 | 3));
    if !done {
        eprintln!("{}: {}", args.join(" "), String::from_utf8_lossy(&run.stderr).trim());
    }
    Ok(done)
}

/// What calling clients have done.
#[derive(Default)]
struct Done {
    stop: AtomicBool,
    at: Mutex<Vec<Instant>>,
    failed: Mutex<Vec<String>>,
}

/// The longest time without a call that was done, after a node was killed.
async fn after_an_end(program: &Path) -> Result<(), String> {
    let folder = Folder::new();
    let mut nodes = Nodes::start(program, folder.path()).await?;
    let (done, mut callers) = (Arc::new(Done::default()), JoinSet::new());
    for number in 0..CALLERS {
        let domain = format!("caller-{number}");
        let client = honest::client(&nodes.profile, &domain, FIRST_CALLER + number).await?;
        callers.spawn(call_until_stopped(client, key(&format!("{domain}/record")), done.clone()));
    }
    eprintln!("{CALLERS} clients call, and one of four nodes is killed");
    tokio::time::sleep(AROUND_THE_END).await;
    let killed = Instant::now();
    nodes.kill(MEMBER)?;
    tokio::time::sleep(AROUND_THE_END).await;
    done.stop.store(true, Ordering::Relaxed);
    while callers.join_next().await.is_some() {}
    let mut at = std::mem::take(&mut *done.at.lock().unwrap_or_else(PoisonError::into_inner));
    at.sort_unstable();
    // Gaps, not latencies: a call that waits through the change of leader is one, whatever the number of clients.
    let gap = |range: &dyn Fn(&Instant) -> bool| {
        let pairs = at.windows(2).filter(|pair| range(&pair[1]));
        pairs.map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
    };
    let (before, after) = (gap(&|at| *at < killed), gap(&|at| *at >= killed));
    let failed = std::mem::take(&mut *done.failed.lock().unwrap_or_else(PoisonError::into_inner));
    println!(
        "the longest time without a call that was done, of {CALLERS} clients: {:.0} ms before a node was killed, {:.0} ms after; failed: {failed:?}",
        ms(before),
        ms(after),
    );
    Ok(())
}

async fn call_until_stopped(client: Client, record: Key, done: Arc<Done>) {
    let domain = record.domain().trim_end_matches('/').to_owned();
    let mut number = 0_u64;
    while !done.stop.load(Ordering::Relaxed) {
        number += 1;
        let change = [(record.clone(), Some(Bytes::copy_from_slice(&number.to_le_bytes())))];
        let Ok(call) = client.change(&domain, &change) else { return };
        match call.send().await.and_then(Executed::applied) {
            Ok(_) => done.at.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now()),
            Err(e) => done.failed.lock().unwrap_or_else(PoisonError::into_inner).push(e.code().to_owned()),
        }
    }
}
