//! Reads are linearizable, whichever member is cut off from the others, crashes, or holds back what it has.
//!
//! A writer pays one coin after another into an account. Readers that know nothing but the genesis begin anew each time, from all
//! nodes. The judge of histories (`pleach_testkit::linear`) has to find an order of payments and reads that explains what they were
//! told. `PLEACH_RUNS=200` makes more runs; `pleach-bench --linearizable` does the like with processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use futures::join;
use pleach_client::{Client, Config, Executed, ReadOptions, Runtime as _};
use pleach_sim::access::{ClientLink, InProcess, Ports, SimulatedTime};
use pleach_sim::bank::{self, account_key};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::oracle::balance_of;
use pleach_testkit::linear::{Act, Moments, Operation, violation};
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
#[derive(Debug)]
struct Seen {
    reads: usize,
    failed: usize,
    /// Why no order explains what was read, if none does.
    wrong: Option<String>,
}

/// What the writer and the reader have done.
#[derive(Default)]
struct Account {
    moments: Moments,
    history: Mutex<Vec<Operation>>,
    done: AtomicBool,
}

impl Account {
    /// Adds what has just ended, and began at this moment.
    fn add(&self, act: Act, began: u64) {
        let ended = Some(self.moments.now());
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(Operation { act, began, ended });
    }
}

async fn reader(ports: &Ports, time: &SimulatedTime, genesis: Hash, fresh: bool, seed: u64) -> Option<Client> {
    let transport = InProcess::new(ports.clone(), time.clone(), ALL.to_vec(), ClientLink::NEAR, seed);
    let config = Config { reads: ReadOptions { fresh, ..ReadOptions::default() }, ..Config::default() };
    let mut bytes = [3; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let builder = Client::builder(genesis, Arc::new(transport)).runtime(Arc::new(time.clone()));
    builder.executor(bank::vm()).config(config).seed(bytes).connect().await.ok()
}

async fn write(client: &Client, account: &Account) {
    // The register holds how many coins were paid: each payment writes another number.
    for coin in 1..=COINS {
        let began = account.moments.now();
        let sent = bank::transfer(client, 0, 1, 1).timeout(REACH_WAIT).send().await;
        sent.and_then(Executed::applied).map(drop).expect("the cluster orders whoever is cut off");
        account.add(Act::Write(coin), began);
    }
    account.done.store(true, Ordering::SeqCst);
}

/// Reads until the writer is done. Returns how many reads came to nothing.
async fn read(ports: &Ports, time: &SimulatedTime, genesis: Hash, fresh: bool, seed: u64, account: &Account) -> usize {
    let (mut failed, mut random) = (0, StdRng::seed_from_u64(seed));
    while !account.done.load(Ordering::SeqCst) {
        time.sleep(Duration::from_millis(random.random_range(0..80))).await;
        let began = account.moments.now();
        let Some(client) = reader(ports, time, genesis, fresh, random.random()).await else { continue };
        match client.get_one(&account_key(1)).await {
            Ok(value) => {
                let balance = value.as_ref().and_then(balance_of).expect("an account");
                account.add(Act::Read(balance - MONEY), began);
            }
            Err(_) => failed += 1,
        }
    }
    failed
}

/// One member after another is cut off from the others, and serves clients as before; or crashes and comes back.
async fn trouble(cluster: &mut Cluster, seed: u64, account: &Account) {
    let mut random = StdRng::seed_from_u64(seed ^ 0xff);
    while !account.done.load(Ordering::SeqCst) {
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
        let account = Account::default();
        let reads = read(&ports, &time, digest, fresh, seed, &account);
        let (_, failed, ()) = join!(write(&client, &account), reads, trouble(&mut cluster, seed, &account));
        assert_eq!(cluster.ledger().violations(), []);
        let history = account.history.into_inner().unwrap_or_else(PoisonError::into_inner);
        let wrong = violation(&history).map(|violation| {
            let named: Vec<_> = violation.places().into_iter().map(|place| (place, history[place])).collect();
            format!("{violation}: {named:?}")
        });
        let reads = history.iter().filter(|operation| matches!(operation.act, Act::Read(_))).count();
        Seen { reads, failed, wrong }
    })
}

#[test]
fn a_read_misses_nothing_that_was_acknowledged_before_it_began() {
    let (mut reads, mut failed) = (0, 0);
    for seed in seeds(0..4) {
        let _replay = replay(seed);
        let seen = run(seed, true);
        assert_eq!(seen.wrong, None, "seed {seed}");
        reads += seen.reads;
        failed += seen.failed;
    }
    println!("{reads} reads, and {failed} that ended without an answer");
    assert!(reads > 10 * failed && reads > 0, "{reads} reads, {failed} failed");
}

/// The same judge finds reads that ask one node alone: else it would find nothing.
#[test]
fn a_read_of_what_one_node_has_is_found_to_be_old() {
    let old = (0..4).filter(|seed| run(*seed, false).wrong.is_some()).count();
    assert!(old > 0, "no read was old");
}
