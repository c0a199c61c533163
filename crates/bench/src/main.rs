//! Throughput and latency of a four-node cluster, beside what its ordering engine alone commits.
//!
//! Both run on this machine, one after the other, several times in turn: what counts is the ratio, since absolute
//! numbers change with the neighbours. See `--help`.

mod attacks;
mod cluster;
mod languages;
mod latency;
mod linearizable;
mod links;
mod nodes;
mod prepared;
mod prices;
mod recovery;
mod report;
mod setup;
mod slopes;
mod stages;
mod start;
mod tops;
mod worst;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use pleach_client::TrustLevel;
use pleach_testkit::folder::Folder;
use pleach_testkit::load;
use serde_json::json;
use tokio::runtime::Runtime;

use cluster::{Cluster, ClusterRun, RunLoad};
use report::{Measured, processor_time};

/// How often the processor time is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Accepted bank transfers per second of four nodes on loopback, beside what the ordering engine alone commits with
/// payloads of the same size.
///
/// Nodes and clients share this machine's cores. Example: pleach-bench --clients 256 --rounds 3
#[derive(Parser, Debug)]
#[command(version)]
struct Options {
    /// Clients that transfer at the same time
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// Payloads that the engine alone has on their way: enough to saturate it
    #[arg(long, default_value_t = 4_000)]
    outstanding: usize,
    /// Accounts of the bank
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// Seconds that each measurement counts [default: 8; 60 for --attacks, 600 for --linearizable, 1800 for --slopes]
    #[arg(long)]
    seconds: Option<u64>,
    /// Times that the two are measured in turn
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Prints what one transfer costs in each stage, on one thread without sockets, and ends
    #[arg(long)]
    stages: bool,
    /// Prints what each kind of work takes for its gas, the dearest first, and ends
    #[arg(long)]
    prices: bool,
    /// Prints what the bank's transfer costs in each language that has an SDK, and ends
    #[arg(long)]
    languages: bool,
    /// Prints what a request would save if its proof left out the top of the tree, and ends
    #[arg(long)]
    tops: bool,
    /// Prints what the worst blocks of each kind cost a voter that the default limits allow, the dearest first, and ends
    #[arg(long)]
    worst: bool,
    /// Attacks clusters of four nodes, each in one of these ways, beside 16 honest clients, and ends with a table: all ways if none is named.
    /// Needs the program `pleach` beside this one, built with the feature `byzantine` for what members do
    #[arg(long, value_name = "KIND", num_args = 0..)]
    attacks: Option<Vec<attacks::Attack>>,
    /// How long reads and calls take, in blocks of the engine alone, and with a member that is stopped, cut off or gone; ends with tables.
    /// Needs the program `pleach` beside this one
    #[arg(long)]
    latency: bool,
    /// What the memory, the descriptors and the disk of nodes grow by in an hour, measured for --seconds at rest and as long under load; ends
    /// with a table. Needs the program `pleach` beside this one
    #[arg(long)]
    slopes: bool,
    /// Whether reads and calls of 12 clients are linearizable while four nodes are paused, killed and cut off from each other, one and now and
    /// then two at a time; ends with tables and a verdict, and keeps the history in ./pleach-linearizable if that is bad. With `one-node`, reads
    /// ask one node alone, and have to be found old. Needs the program `pleach` beside this one
    #[arg(long, value_name = "READS", num_args = 0..=1, default_missing_value = "fresh")]
    linearizable: Option<linearizable::Reads>,
    /// With --linearizable: nodes that break the rules in these ways, the last one first (`newest`, `stale`, ..; one is tolerated). `pleach` has to
    /// be built with the feature `byzantine`
    #[arg(long, value_name = "KIND", num_args = 1.., requires = "linearizable")]
    liars: Vec<String>,
    /// With --linearizable: chooses faults and operations [default: any]
    #[arg(long, requires = "linearizable")]
    seed: Option<u64>,
    /// The program that --attacks, --latency, --linearizable and --slopes start [default: `pleach` in the folder of this program]
    #[arg(long, value_name = "FILE")]
    pleach: Option<std::path::PathBuf>,
    /// Sends transfers that were proved and signed before, one for each two accounts, and so measures the nodes without the
    /// work of clients
    #[arg(long)]
    prepared: bool,
    /// Compares nodes whose files are on the disk with nodes whose files are in this folder, in turn, and ends. It is meant to be in
    /// memory
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "/dev/shm")]
    durable: Option<std::path::PathBuf>,
    /// Fills a cluster with so many records of 1 KiB, takes one node's data away, waits until it is back, and ends
    #[arg(long, value_name = "RECORDS")]
    recovery: Option<usize>,
    /// Writes so many records of 32 bytes to a node's store, starts the node on it, and ends
    #[arg(long, value_name = "RECORDS")]
    start: Option<usize>,
    /// Prints one JSON document instead of text
    #[arg(long, conflicts_with_all = ["stages", "prices", "languages", "tops", "worst", "attacks", "latency", "linearizable", "slopes", "prepared", "durable", "recovery", "start"])]
    json: bool,
}

impl Options {
    /// Seconds that a measurement of throughput counts.
    fn each(&self) -> u64 {
        self.seconds.unwrap_or(8)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
        .with_writer(std::io::stderr)
        .init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pleach-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn print_stages(stages: &[(&str, Duration)]) {
    for (name, time) in stages {
        println!("{:>8.1} µs   {name}", time.as_secs_f64() * 1e6);
    }
}

fn print_prices(prices: &[(String, Duration, u64)]) {
    for (name, time, gas) in prices {
        println!("{:>8.2} ns each gas   {name}", time.as_secs_f64() * 1e9 / (*gas).max(1) as f64);
    }
}

fn print_languages(costs: &[languages::LanguageCost]) {
    for languages::LanguageCost { language, bytes, gas, time } in costs {
        println!("{language:<15} {bytes:>5} bytes {gas:>6} gas {:>6.1} µs", time.as_secs_f64() * 1e6);
    }
}

fn print_tops() {
    println!("  records levels  request    proof  without   saved   labels a height");
    for tops::Saving { records, levels, request, proof, without, height } in tops::measure(&[10_000, 1_000_000]) {
        let saved = 100.0 * (proof - without) / request;
        println!("{records:>9} {levels:>6} {request:>8.0} {proof:>8.0} {without:>8.0} {saved:>6.0}% {height:>15}");
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(done) = without_clusters(options) {
        return done;
    }
    if options.accounts < 2 || options.clients == 0 || options.seconds == Some(0) || options.rounds == 0 {
        return Err("needs at least 2 accounts, 1 client, 1 second and 1 round".into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("clients")
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    if let Some(done) = with_other_clusters(options, &runtime) {
        return done;
    }
    let (clients, accounts, seconds) = (options.clients, options.accounts, options.each());
    let load = RunLoad { clients, accounts, seconds, receipts: TrustLevel::Certified };
    if let Some(memory) = &options.durable {
        return compare_disks(options, memory, &runtime, load);
    }
    if options.prepared {
        return compare_prepared(options, &runtime, load);
    }
    compare_transfers(options, &runtime, load)
}

/// What runs on this thread alone, if the options ask for such a thing.
fn without_clusters(options: &Options) -> Option<Result<(), String>> {
    if options.stages {
        Some(stages::measure().map(|found| print_stages(&found)))
    } else if options.prices {
        Some(prices::measure().map(|found| print_prices(&found)))
    } else if options.languages {
        Some(languages::measure().map(|found| print_languages(&found)))
    } else if options.tops {
        print_tops();
        Some(Ok(()))
    } else if options.worst {
        Some(worst::measure().map(|found| print_worst(&found)))
    } else {
        options.start.map(|records| start::measure(records).map(|found| print_start(&found)))
    }
}

/// What makes clusters of its own, other than the bank that transfers are counted on, if the options ask for such a thing.
fn with_other_clusters(options: &Options, runtime: &Runtime) -> Option<Result<(), String>> {
    let pleach = options.pleach.as_deref();
    let time = |usual| Duration::from_secs(options.seconds.unwrap_or(usual));
    if let Some(attacks) = &options.attacks {
        Some(runtime.block_on(attacks::run(pleach, attacks, time(60))))
    } else if let Some(records) = options.recovery {
        Some(runtime.block_on(recovery::measure(records)).map(|found| print_recovery(&found)))
    } else if options.slopes {
        Some(runtime.block_on(slopes::run(pleach, time(1_800))))
    } else if let Some(reads) = options.linearizable {
        let seed = options.seed.unwrap_or_else(rand::random);
        let plan = linearizable::Plan { reads, liars: &options.liars, time: time(600), seed };
        Some(runtime.block_on(linearizable::run(pleach, &plan)))
    } else if options.latency {
        Some(latency::run(runtime, pleach, options.each()))
    } else {
        None
    }
}

/// Transfers of whole clients beside what the engine alone commits.
fn compare_transfers(options: &Options, runtime: &Runtime, load: RunLoad) -> Result<(), String> {
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: opening {} accounts", options.rounds, options.accounts);
        let run = run_cluster(runtime, load, Folder::new())?;
        // After the cluster has stopped, for the two would share the cores, and with payloads as large as its requests were.
        let engine = engine_alone(options, run.request_bytes)?;
        let ratio = run.transfers.per_second / engine.per_second;
        if !options.json {
            println!(
                "transfers        {}   {} blocks, {} conflicts retried, failures {:?}",
                run.transfers, run.blocks, run.stale, run.failures
            );
            print_engine(&engine, run.request_bytes, ratio);
        }
        rounds.push(json!({
            "transfers": run.transfers.json(), "engine": engine.json(), "ratio": ratio, "conflicts_retried": run.stale,
            "blocks": run.blocks, "failures": run.failures, "payload_bytes": run.request_bytes,
        }));
    }
    if options.json {
        let document = json!({"schema": "pleach.bench/1", "clients": options.clients, "outstanding": options.outstanding, "accounts": options.accounts, "rounds": rounds});
        println!("{document:#}");
    }
    Ok(())
}

fn run_cluster(runtime: &Runtime, load: RunLoad, folder: Folder) -> Result<ClusterRun, String> {
    runtime.block_on(async {
        let cluster = Cluster::start(load.accounts, folder).await?;
        let run = cluster.run(load).await?;
        cluster.stop().await?;
        Ok(run)
    })
}

fn print_engine(engine: &Measured, payload_bytes: usize, ratio: f64) {
    println!("engine alone     {engine}   payloads of {payload_bytes} bytes");
    println!("ratio            {ratio:>8.2}");
}

/// Prepared transfers beside the engine alone.
fn compare_prepared(options: &Options, runtime: &Runtime, load: RunLoad) -> Result<(), String> {
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: opening {} accounts", options.rounds, options.accounts);
        let run = runtime.block_on(async {
            let cluster = Cluster::start(load.accounts, Folder::new()).await?;
            eprintln!("preparing {} transfers", load.accounts / 2);
            let run = prepared::run(&cluster, load.clients).await?;
            cluster.stop().await?;
            Ok::<_, String>(run)
        })?;
        let engine = engine_alone(options, run.request_bytes)?;
        println!(
            "prepared         {}   {} transfers in {} blocks, failures {:?}",
            run.transfers, run.requests, run.blocks, run.failures
        );
        print_engine(&engine, run.request_bytes, run.transfers.per_second / engine.per_second);
    }
    Ok(())
}

/// Transfers with nodes whose files are on the disk beside transfers with nodes whose files are in memory: what it costs that nothing is lost.
fn compare_disks(options: &Options, memory: &Path, runtime: &Runtime, load: RunLoad) -> Result<(), String> {
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let disk = run_cluster(runtime, load, Folder::new())?.transfers;
        let in_memory = run_cluster(runtime, load, Folder::within(memory))?.transfers;
        println!("on the disk      {disk}");
        println!("in memory        {in_memory}");
        let ratio = disk.per_second / in_memory.per_second;
        println!("ratio            {ratio:>8.2}");
        ratios.push(ratio);
    }
    println!("mean ratio       {:>8.2}", ratios.iter().sum::<f64>() / ratios.len() as f64);
    Ok(())
}

fn print_recovery(found: &recovery::Recovery) {
    let [back, transfer, start] = [found.back, found.transfer, found.start].map(|time| time.as_secs_f64());
    let megabytes = found.record_bytes as f64 / 1e6;
    println!("the node keeps    {} records, {megabytes:.1} MB", found.records);
    println!("back after        {back:.2} s without data");
    println!("of it, transfer   {transfer:.2} s, {:.1} MB/s", megabytes / transfer.max(1e-3));
    println!("start             {start:.2} s with a full store, {:.0} records/s", found.records as f64 / start);
}

fn print_worst(rows: &[worst::KindRow]) {
    println!(
        "| kind | requests: applied, refused, void | gas | weight | kB | ms | ns a gas or weight | of the time-out | MB unwritten |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        let [applied, refused, void] = row.outcomes;
        // Gas and weight are added, since a unit of either stands for about a nanosecond of a voter.
        let nanoseconds = row.time.as_secs_f64() * 1e9 / (row.gas + row.weight).max(1) as f64;
        println!(
            "| {} | {}: {applied}, {refused}, {void} | {:.1} M | {:.1} M | {:.0} | {:.1} | {nanoseconds:.2} | {:.1} % | {:.1} |",
            row.kind,
            row.requests,
            row.gas as f64 / 1e6,
            row.weight as f64 / 1e6,
            row.bytes as f64 / 1e3,
            row.time.as_secs_f64() * 1e3,
            row.share() * 100.0,
            row.unwritten as f64 / 1e6,
        );
    }
    // What a node with a disk that stands still would hold, by the number of blocks alone: `UNWRITTEN_BYTES_MAX` may make it wait before that.
    let (most, blocks) = (rows.iter().map(|row| row.unwritten).max().unwrap_or(0), pleach_node::UNWRITTEN_BLOCKS_MAX);
    println!("{blocks} of the largest take {:.0} MB", most as f64 * blocks as f64 / 1e6);
}

fn print_start(found: &start::Start) {
    let [open, resume] = [found.open, found.resume].map(|time| time.as_secs_f64());
    let megabytes = found.file_bytes as f64 / 1e6;
    println!("the node keeps    {} records, a file of {megabytes:.1} MB", found.records);
    println!("opening           {open:.2} s");
    println!("checking, tree    {resume:.2} s");
    println!("start             {:.2} s, {:.0} records/s", open + resume, found.records as f64 / (open + resume));
}

/// What the ordering engine alone commits at its best, with payloads of the same size.
fn engine_alone(options: &Options, payload_bytes: usize) -> Result<Measured, String> {
    let folder = Folder::new();
    let load = load::Load {
        members: 4,
        payload_bytes,
        outstanding: options.outstanding,
        duration: Duration::from_secs(options.each()),
        folder: folder.path().to_path_buf(),
    };
    let (measured, cores) = cores_in_use(load.duration, || load::measure(&load));
    let measured = measured.map_err(|e| e.to_string())?;
    let per_second = measured.payloads as f64 / measured.elapsed.as_secs_f64();
    // Processor time of each is cores by rate: the whole time by the number of payloads would hold starting and warming up, which run in this
    // process too.
    Ok(Measured {
        per_second,
        p50: measured.latency_p50,
        p99: measured.latency_p99,
        finished: measured.payloads,
        cpu_each: cores.filter(|_| per_second > 0.0).map(|cores| Duration::from_secs_f64(cores / per_second)),
    })
}

/// Runs something that works evenly for its last `counted` seconds, and says how many cores it used in the middle of them:
/// start, warming up and end are left out.
fn cores_in_use<T>(counted: Duration, work: impl FnOnce() -> T) -> (T, Option<f64>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = Vec::new();
            while !over.load(Ordering::Relaxed) {
                looks.extend(processor_time().map(|time| (Instant::now(), time)));
                std::thread::sleep(LOOK_EVERY);
            }
            looks
        });
        let done = work();
        let end = Instant::now();
        over.store(true, Ordering::Relaxed);
        let looks = looking.join().expect("it only looks");
        // Counted back from the end, since nobody here knows how long starting and warming up took.
        let middle = |(at, _): &&(Instant, Duration)| {
            let left = end.saturating_duration_since(*at);
            (counted.mul_f64(0.2)..counted.mul_f64(0.8)).contains(&left)
        };
        let (first, last) = (looks.iter().find(middle), looks.iter().rfind(middle));
        let cores = first.zip(last).and_then(|(first, last)| {
            let elapsed = last.0.duration_since(first.0).as_secs_f64();
            (elapsed > 0.0).then(|| last.1.saturating_sub(first.1).as_secs_f64() / elapsed)
        });
        (done, cores)
    })
}
