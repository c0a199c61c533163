//! Whether reads and calls of many clients are linearizable while nodes are paused, killed and cut off from each other.
//!
//! Four nodes are processes of their own, with links between them that this program can cut. Clients write values, each of which is written once,
//! into a few registers, and read them through different nodes as `pleach get` does. A register is two records that every call changes
//! together, so that reads have to be of one height, from different keepers. What everybody was told goes to a judge that knows nothing of
//! heights and proofs (`pleach_testkit::linear`); a second one holds the heights together that the cluster has proved.
//!
//! A judge that finds nothing may be blind. So the same run with reads that ask one node alone has to be found wrong, and so may one with more
//! liars than the cluster tolerates.

mod clients;
mod faults;
mod history;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use pleach_client::{ReadOptions, TrustLevel};
use pleach_testkit::folder::Folder;
use pleach_vm::Vm;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use crate::attacks::honest;
use crate::links::Links;
use crate::nodes::{self, NODES, Nodes};
use clients::{Clients, DOMAIN};
use faults::{Fault, Injected};
use history::History;

/// Registers: few, so that clients meet.
const REGISTERS: usize = 6;
/// Clients.
const CLIENTS: usize = 12;
/// The client that makes the domain, by its address.
const FOUNDER: u8 = 39;
/// Violations that are printed.
const PRINTED: usize = 5;

/// What reads are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reads {
    /// As by default: nothing may be missing. No violation may be found
    Fresh,
    /// One node alone is asked, which may show what is old: a violation has to be found, or the judge is blind
    OneNode,
}

/// How it is to be run.
pub struct Plan<'a> {
    /// What reads are like.
    pub reads: Reads,
    /// How the last nodes break the rules, one kind each.
    pub liars: &'a [String],
    /// How long.
    pub time: Duration,
    /// What chooses faults and operations.
    pub seed: u64,
}

/// Runs, and prints a summary.
///
/// # Errors
/// If nodes cannot be started or do not come back, or the judges find what must not be, or nothing where they have to.
pub async fn run(program: Option<&Path>, plan: &Plan<'_>) -> Result<(), String> {
    let program = nodes::program(program)?;
    let folder = Folder::new();
    let mut links = Links::listen().await?;
    let mut nodes = Nodes::start_with(&program, folder.path(), Some(&mut links), None).await?;
    let founder = honest::client(&nodes.profile, DOMAIN, FOUNDER).await?;
    let vm = Vm::new(&founder.genesis().limits).map_err(|e| e.to_string())?;
    drop(founder);
    for (number, kind) in plan.liars.iter().enumerate() {
        let node = usize::from(NODES).checked_sub(number + 1).ok_or("there are four nodes")?;
        nodes.turn(node, kind).await?;
    }
    eprintln!("seed {}: {CLIENTS} clients, {REGISTERS} registers, {} s", plan.seed, plan.time.as_secs());
    let reads = match plan.reads {
        Reads::Fresh => ReadOptions::default(),
        // With one signature, as such a read is cheapest; it is checked against the certificate later.
        Reads::OneNode => ReadOptions { fresh: false, trust: TrustLevel::First, ..ReadOptions::default() },
    };
    let clients = Arc::new(Clients {
        profile: nodes.profile.clone(),
        reads,
        executor: Arc::new(vm),
        shared: history::Shared::new(),
        value: 0.into(),
        stop: false.into(),
    });
    let mut working = JoinSet::new();
    for client in 0..CLIENTS {
        working.spawn(clients.clone().work(client, plan.seed));
    }
    let mut random = StdRng::seed_from_u64(plan.seed);
    let until = Instant::now() + plan.time;
    let injected = faults::inject(&mut nodes, &links, &clients.shared, &mut random, until).await;
    clients.stop.store(true, Ordering::Relaxed);
    while working.join_next().await.is_some() {}
    let clients = Arc::into_inner(clients).ok_or("a client has not ended")?;
    judge(plan, &nodes, clients.shared.into_history(), injected)
}

/// Prints what was done and what the judges say, and keeps what they object to.
fn judge(
    plan: &Plan<'_>,
    nodes: &Nodes,
    history: History,
    injected: Result<Vec<Injected>, String>,
) -> Result<(), String> {
    let (faults, failed) = match injected {
        Ok(faults) => (faults, None),
        // What was read until then is judged all the same.
        Err(why) => (Vec::new(), Some(why)),
    };
    summary(&history, &faults);
    let violations = history.violations(REGISTERS);
    let impossible = history.impossible(&faults, plan.reads == Reads::Fresh);
    for what in violations.iter().chain(&impossible).take(PRINTED) {
        println!("{what}");
    }
    println!("\nviolations: {}; answers that nobody could have given: {}", violations.len(), impossible.len());
    let wrong = match plan.reads {
        _ if failed.is_some() => failed,
        _ if !impossible.is_empty() => Some("answers that nobody could have given".to_owned()),
        Reads::Fresh if !violations.is_empty() => Some("not linearizable".to_owned()),
        Reads::OneNode if violations.is_empty() => Some("reads of one node were not found to be old".to_owned()),
        Reads::Fresh | Reads::OneNode => None,
    };
    if let Some(why) = wrong {
        return Err(format!("{why}; {}", keep(plan, nodes, &history, &faults)?));
    }
    println!("verdict: {}", if violations.is_empty() { "linearizable" } else { "old, as reads of one node are" });
    Ok(())
}

fn summary(history: &History, faults: &[Injected]) {
    println!("| | ended | times |\n| --- | --- | ---: |");
    for ((kind, ended), count) in history.endings() {
        println!("| {kind} | {ended} | {count} |");
    }
    println!("\n| fault | times | seconds | reads that came back meanwhile | with NO_QUORUM | calls done meanwhile |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for fault in faults {
        kinds.entry(fault.kind).or_default().push(fault);
    }
    for kind in Fault::KINDS {
        let Some(faults) = kinds.get(kind) else { continue };
        let seconds = faults.iter().map(|fault| fault.millis[1] - fault.millis[0]).sum::<u128>() as f64 / 1e3;
        let [reads, without, calls] = history.during(faults);
        println!("| {kind} | {} | {seconds:.0} | {reads} | {without} | {calls} |", faults.len());
    }
}

/// Keeps history and logs in the folder in which the program runs, and says where.
fn keep(plan: &Plan<'_>, nodes: &Nodes, history: &History, faults: &[Injected]) -> Result<String, String> {
    let folder = Path::new("pleach-linearizable").join(plan.seed.to_string());
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    history.write(&folder.join("history.jsonl"), faults)?;
    for node in 0..nodes.count() {
        std::fs::copy(nodes.log(node), folder.join(format!("node-{}.log", node + 1))).map_err(failed)?;
    }
    Ok(format!("history and logs are in {}", folder.display()))
}
