//! Reads are linearizable, whichever member is cut off from the others, crashes, or holds back what it has.
//!
//! A writer pays one coin after another into an account. Readers that know nothing but the genesis begin anew each time, from all
//! nodes: what they read is at least what had been acknowledged when they began, and at most what had been begun when they
//! ended. `PLEACH_RUNS=200` makes more runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use futures::join;
use pleach_client::{Client, Config, Executed, ReadOptions, Runtime as _};
use pleach_sim::access::{ClientLink, InProcess, Ports, SimulatedTime};
use pleach_sim::bank::{self, account_key};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::oracle::balance_of;
use pleach_testkit::{replay, seeds};
use pleach_types::{Governance, Hash, Partitioning};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const ALL: [usize; 4] = [0, 1, 2, 3];
const MONEY: u64 = 10_000;
const REACH_WAIT: Duration = Duration::from_secs(240);
const CONDITIONS: Conditions = Conditions { latency_ms: 10, jitter_ms: 5, loss_percent: 1 };
const COINS: u64 = 40;

/// What a run came to.
#[derive(Debug, Default)]
struct Seen {
    reads: AtomicU64,
    /// Reads that missed what had been acknowledged, and such as showed what nobody had begun.
    wrong: AtomicU64,
    failed: AtomicU64,
}

struct Counter {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    done: AtomicBool,
}

async fn reader(ports: &Ports, time: &SimulatedTime, genesis: Hash, fresh: bool, seed: u64) -> Option<Client> {
    let transport = InProcess::new(ports.clone(), time.clone(), ALL.to_vec(), ClientLink::NEAR, seed);
    let config = Config { reads: ReadOptions { fresh, ..ReadOptions::default() }, ..Config::default() };
    let mut bytes = [3; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let builder = Client::builder(genesis, Arc::new(transport)).runtime(Arc::new(time.clone()));
    builder.executor(bank::vm()).config(config).seed(bytes).connect().await.ok()
}

async fn write(client: &Client, counter: &Counter) {
    for _ in 0..COINS {
        counter.begun.fetch_add(1, Ordering::SeqCst);
        let sent = bank::transfer(client, 0, 1, 1).timeout(REACH_WAIT).send().await;
        sent.and_then(Executed::applied).map(drop).expect("the cluster orders whoever is cut off");
        counter.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    counter.done.store(true, Ordering::SeqCst);
}

async fn read(ports: &Ports, time: &SimulatedTime, genesis: Hash, fresh: bool, seed: u64, counter: &Counter) -> Seen {
    let (seen, mut random) = (Seen::default(), StdRng::seed_from_u64(seed));
    while !counter.done.load(Ordering::SeqCst) {
        time.sleep(Duration::from_millis(random.random_range(0..80))).await;
        let least = counter.acknowledged.load(Ordering::SeqCst);
        let Some(client) = reader(ports, time, genesis, fresh, random.random()).await else { continue };
        match client.get_one(&account_key(1)).await {
            Ok(value) => {
                let most = counter.begun.load(Ordering::SeqCst);
                let paid = value.as_ref().and_then(balance_of).expect("an account") - MONEY;
                seen.reads.fetch_add(1, Ordering::Relaxed);
                if !(least..=most).contains(&paid) {
                    println!("read {paid} at height {}, {least} were acknowledged and {most} begun", value.height());
                    seen.wrong.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(_) => drop(seen.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
    seen
}

/// One member after another is cut off from the others, and serves clients as before; or crashes and comes back.
async fn trouble(cluster: &mut Cluster, seed: u64, counter: &Counter) {
    let mut random = StdRng::seed_from_u64(seed ^ 0xff);
    while !counter.done.load(Ordering::SeqCst) {
        let member = random.random_range(0..ALL.len());
        let a_while = Duration::from_millis(random.random_range(200..2_000));
        if random.random_range(0..4) == 0 {
            cluster.crash(member).await;
            cluster.pass(a_while).await;
            cluster.start(member).await;
        } else {
            cluster.isolate(member).await;
            cluster.pass(a_while).await;
            cluster.reconnect(member).await;
        }
        // The next one begins once the others have come level: more than one at a time is more than may be faulty.
        let goal = cluster.ledger().height() + 1;
        assert!(cluster.reach(&ALL, goal, REACH_WAIT).await, "all come to height {goal}");
    }
}

fn run(seed: u64, fresh: bool) -> Seen {
    runner(seed).start(|context: deterministic::Context| async move {
        let partitioning = Partitioning { bits: 3, replicas: 2 };
        let mut genesis = bank::genesis(4, 64, partitioning);
        // Epochs end often, with the members that they had.
        genesis.governance = Governance { epoch_blocks: 32, ..genesis.governance };
        let mut cluster = Cluster::started(&context, genesis, CONDITIONS).await;
        assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
        let client = cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await;
        let client = client.expect("the nodes are up");
        bank::found(&client, 2, MONEY).await.expect("the bank is founded");
        let (ports, digest) = (cluster.ports().clone(), cluster.genesis().digest());
        let time = SimulatedTime(Arc::new(context.child("reader")));
        let counter =
            Counter { begun: AtomicU64::new(0), acknowledged: AtomicU64::new(0), done: AtomicBool::new(false) };
        let reads = read(&ports, &time, digest, fresh, seed, &counter);
        let (_, seen, ()) = join!(write(&client, &counter), reads, trouble(&mut cluster, seed, &counter));
        assert_eq!(cluster.ledger().violations(), []);
        seen
    })
}

#[test]
fn a_read_misses_nothing_that_was_acknowledged_before_it_began() {
    let (mut reads, mut failed) = (0, 0);
    for seed in seeds(0..4) {
        let _replay = replay(seed);
        let seen = run(seed, true);
        assert_eq!(seen.wrong.into_inner(), 0, "seed {seed}");
        reads += seen.reads.into_inner();
        failed += seen.failed.into_inner();
    }
    println!("{reads} reads, and {failed} that ended without an answer");
    assert!(reads > 10 * failed && reads > 0, "{reads} reads, {failed} failed");
}

/// The same judge finds reads that ask one node alone: else it would find nothing.
#[test]
fn a_read_of_what_one_node_has_is_found_to_be_old() {
    let old = (0..4).map(|seed| run(seed, false).wrong.into_inner()).sum::<u64>();
    assert!(old > 0, "no read was old");
}
