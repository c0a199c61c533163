//! Members that lost everything, or are too far behind, come back with the help of others.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Runner as _, Supervisor as _};
use futures::join;
use pleach_client::{Client, Config};
use pleach_node::{NoFork, Node};
use pleach_order::Application as _;
use pleach_sim::access::ClientLink;
use pleach_sim::bank::{self, account_key};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::ledger::Conduct;
use pleach_sim::oracle::Oracle;
use pleach_testkit::{replay, seeds, usual};
use pleach_types::api::GetRequest;
use pleach_types::certificate::ResultProof;
use pleach_types::execution::{Execution, Executor, Outcome};
use pleach_types::{Decode as _, Encode as _, Genesis, Governance, Hash, Limits, Partitioning, ProofFile};

const ALL: [usize; 4] = [0, 1, 2, 3];
const ACCOUNTS: usize = 24;
const WINDOW: u64 = 16;
const STORM: Conditions = Conditions { latency_ms: 15, jitter_ms: 5, loss_percent: 3 };
const REACH_WAIT: Duration = Duration::from_secs(240);

/// A bank on four members, each record on so many of them.
fn run(seed: u64, copies: u16, scenario: impl AsyncFnOnce(Cluster, Client) + 'static) {
    run_in_epochs(seed, copies, Governance::default().epoch_blocks, scenario);
}

/// As [`run`], with epochs of so many blocks.
fn run_in_epochs(seed: u64, copies: u16, epoch_blocks: u32, scenario: impl AsyncFnOnce(Cluster, Client) + 'static) {
    runner(seed).start(move |context| async move {
        let governance = Governance { epoch_blocks, ..Governance::default() };
        let genesis = bank::genesis(4, WINDOW, Partitioning { bits: 3, replicas: copies });
        let genesis = Genesis { governance, ..genesis };
        let cluster = Cluster::started(&context, genesis, STORM).await;
        assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
        let client = cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await.unwrap();
        bank::found(&client, ACCOUNTS, 1_000).await.unwrap();
        scenario(cluster, client).await;
    });
}

/// Transfers, one after another. Those that fail do so because a member is down.
async fn transfers(client: &Client, count: usize) -> usize {
    let mut applied = 0;
    for n in 0..count {
        let (from, to) = (n % ACCOUNTS, (n * 7 + 1) % ACCOUNTS);
        if from != to {
            let sent = bank::transfer(client, from, to, 1).timeout(REACH_WAIT).send().await;
            applied += usize::from(sent.is_ok_and(|executed| executed.refusal().is_none()));
        }
    }
    applied
}

fn node(cluster: &Cluster, member: usize) -> Arc<Node> {
    cluster.ports().enter(member).expect("the member is up").0
}

async fn level(cluster: &Cluster, members: &[usize]) {
    let goal = cluster.ledger().height() + 2;
    assert!(cluster.reach(members, goal, REACH_WAIT).await, "{members:?} come to height {goal}");
}

/// The members agree with one another and with the oracle, and this one stores what it should.
async fn holds_what_it_should(cluster: &Cluster, member: usize) {
    let mut oracle = Oracle::new(cluster.genesis());
    assert_eq!(cluster.ledger().violations(), []);
    assert_eq!(oracle.replay(&cluster.ledger().heights()), []);
    let node = node(cluster, member);
    let state = node.state();
    let mut found = 0;
    for key in (0..ACCOUNTS).map(account_key).filter(|key| state.keeps(&key.path())) {
        let value = node.value(&key).expect("the store is readable");
        assert_eq!(value.as_ref(), oracle.record_at(state.height(), &key), "{key}");
        found += 1;
    }
    assert!(found > 0, "none of {ACCOUNTS} accounts are there");
}

#[test]
fn a_member_whose_data_is_gone_gets_its_part_back_under_load_and_votes_again() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        run(seed, 2, async |mut cluster, client| {
            transfers(&client, 10).await;
            cluster.wipe(3).await;
            let recover = async {
                cluster.pass(Duration::from_secs(1)).await;
                cluster.start(3).await;
                level(&cluster, &ALL).await;
            };
            let (applied, ()) = join!(transfers(&client, 40), recover);
            assert!(applied > 20, "{applied} transfers were applied meanwhile");
            level(&cluster, &ALL).await;
            assert!(!cluster.voteless(3));
            holds_what_it_should(&cluster, 3).await;
            // Without its votes there is no quorum now.
            cluster.crash(0).await;
            level(&cluster, &[1, 2, 3]).await;
            // And its next start finds what was fetched.
            cluster.crash(3).await;
            cluster.start(0).await;
            cluster.start(3).await;
            level(&cluster, &ALL).await;
            holds_what_it_should(&cluster, 3).await;
        });
    }
}

#[test]
fn a_lying_source_is_noticed_and_others_are_asked() {
    for seed in seeds(10..13) {
        let _replay = replay(seed);
        // Two copies bear one that is lost, or one that lies; three bear both.
        run(seed, 3, async |mut cluster, client| {
            cluster.crash(1).await;
            cluster.corrupt(1, Conduct::Spoils);
            cluster.start(1).await;
            level(&cluster, &ALL).await;
            transfers(&client, 10).await;
            cluster.wipe(2).await;
            cluster.start(2).await;
            let fetching = node(&cluster, 2);
            level(&cluster, &ALL).await;
            assert!(fetching.invalid_parts() > 0, "the liar was asked");
            holds_what_it_should(&cluster, 2).await;
        });
    }
}

/// A Byzantine member hands out its state a byte at a time and claims that there is no end to it. The member that fetches is
/// needed: the other one falls silent afterwards.
#[test]
fn a_source_that_drips_does_not_keep_a_member_from_coming_back() {
    // Whether it is asked at all is for chance to say: with one of the seeds it must be.
    let asked = Arc::new(AtomicU64::new(0));
    for seed in seeds(40..44) {
        let _replay = replay(seed);
        let asked = asked.clone();
        run(seed, 3, async move |mut cluster, client| {
            // Where nothing is lost, drops come one after another without an end.
            cluster.change_conditions(Conditions::CALM).await;
            cluster.crash(1).await;
            cluster.corrupt(1, Conduct::Drips);
            cluster.start(1).await;
            level(&cluster, &ALL).await;
            transfers(&client, 10).await;
            cluster.isolate(3).await;
            let behind = node(&cluster, 3).height();
            let goal = behind + 330;
            assert!(cluster.reach(&[0, 1, 2], goal, Duration::from_secs(600)).await, "the others go on");
            cluster.reconnect(3).await;
            let fetching = node(&cluster, 3);
            level(&cluster, &ALL).await;
            asked.fetch_add(fetching.invalid_parts(), Ordering::Relaxed);
            assert!(fetching.status().oldest_height > behind, "the state was fetched");
            cluster.crash(1).await;
            assert!(transfers(&client, 10).await > 0, "the cluster goes on without the member that drips");
            level(&cluster, &[0, 2, 3]).await;
            holds_what_it_should(&cluster, 3).await;
        });
    }
    assert!(!usual() || asked.load(Ordering::Relaxed) > 0, "the member that drips was asked");
}

/// The blocks between what its archive has and the state that came are nowhere any more. It was stopped before its archive had a
/// block above that state: it goes on from there, and needs no other state.
#[test]
fn a_member_that_is_stopped_right_behind_a_state_that_came_goes_on_from_it() {
    for seed in seeds(70..76) {
        let _replay = replay(seed);
        // Within an epoch, and over the ends of several.
        let epoch_blocks = if seed.is_multiple_of(2) { 1_024 } else { 32 };
        run_in_epochs(seed, 2, epoch_blocks, async move |mut cluster, _| {
            cluster.isolate(3).await;
            let behind = node(&cluster, 3).height();
            let goal = behind + 330;
            assert!(cluster.reach(&[0, 1, 2], goal, Duration::from_secs(600)).await, "the others go on");
            cluster.reconnect(3).await;
            while node(&cluster, 3).height() < behind + 100 {
                cluster.pass(Duration::from_millis(1)).await;
            }
            let came = node(&cluster, 3).height();
            cluster.pass(Duration::from_millis(seed % 3 * 15)).await;
            cluster.crash(3).await;
            cluster.start(3).await;
            let (mut height, goal) = (came, cluster.ledger().height() + 2);
            for _ in 0..60_000 {
                cluster.pass(Duration::from_millis(1)).await;
                let next = node(&cluster, 3).height();
                assert!(next < height + WINDOW, "from {height} to {next}: another state has come");
                height = next;
                if height >= goal {
                    break;
                }
            }
            assert!(height >= goal, "a minute behind {came} it is at {height} of {goal}");
            holds_what_it_should(&cluster, 3).await;
        });
    }
}

#[test]
fn a_member_that_is_too_far_behind_for_single_blocks_fetches_the_state() {
    run(20, 2, async |mut cluster, client| {
        let first = GetRequest { height: Some(1), ..GetRequest::default() };
        let first = node(&cluster, 0).get_when_there(&first).await.expect("height 1");
        cluster.isolate(3).await;
        let behind = node(&cluster, 3).height();
        let goal = behind + 330;
        assert!(cluster.reach(&[0, 1, 2], goal, Duration::from_secs(600)).await, "the others go on");
        cluster.reconnect(3).await;
        transfers(&client, 5).await;
        level(&cluster, &ALL).await;
        let oldest = node(&cluster, 3).status().oldest_height;
        assert!(oldest > behind, "heights {behind} to {oldest} were not executed one by one");
        holds_what_it_should(&cluster, 3).await;

        // The first blocks are in nobody's archive any more: a member without its store cannot begin with them.
        cluster.lose_store(2).await;
        cluster.start(2).await;
        level(&cluster, &ALL).await;
        assert!(node(&cluster, 2).status().oldest_height > 0);
        holds_what_it_should(&cluster, 2).await;

        // What those could sign who have the keys of that time stops nobody: it is not even looked at.
        let own = ResultProof::decode(&first.certificate.expect("a certificate").0).expect("a proof");
        let mut other = own.clone();
        other.headers[0].result.root.0[0] ^= 1;
        for member in ALL {
            let node = node(&cluster, member);
            let fork = Some(other.clone());
            let file = ProofFile { head: Some(own.clone()), fork, ..ProofFile::new(node.genesis().clone()) };
            assert_eq!(node.see_fork(&file.encode().into()), Err(NoFork::Forgotten(1)), "member {member}");
        }
    });
}

/// A runtime that notes what it has to translate although nobody pays for it: code that is warm and that it has not seen.
#[derive(Default)]
struct Translations {
    seen: Mutex<BTreeSet<Hash>>,
    warm: AtomicU64,
    unpaid: AtomicU64,
}

struct Watched(Arc<dyn Executor>, Arc<Translations>);

impl Executor for Watched {
    fn execute(&self, call: &Execution<'_>) -> Outcome {
        let new = self.1.seen.lock().expect("no panic").insert(*call.code_digest);
        self.1.warm.fetch_add(call.warm.into(), Ordering::Relaxed);
        self.1.unpaid.fetch_add((call.warm && new).into(), Ordering::Relaxed);
        self.0.execute(call)
    }

    fn prepare(&self, limits: &Limits, digest: &Hash, code: &Bytes) {
        self.1.seen.lock().expect("no panic").insert(*digest);
        self.0.prepare(limits, digest, code);
    }
}

/// Others wait for the vote of a member while it executes: what nobody pays for it has to have done before.
#[test]
fn a_member_that_fetched_the_state_translates_no_warm_code_while_others_wait() {
    runner(30).start(|context| async move {
        let translations = Arc::new(Translations::default());
        let genesis = bank::genesis(4, WINDOW, Partitioning { bits: 3, replicas: 4 });
        let mut executors = ALL.map(|_| bank::vm()).to_vec();
        executors[3] = Arc::new(Watched(bank::vm(), translations.clone()));
        let secrets = ALL.map(bank::member_secret).to_vec();
        let mut cluster = Cluster::new(context.child("cluster"), genesis, secrets, executors, None, STORM).await;
        cluster.start_all().await;
        assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
        // It is away before the bank is founded, so its operations are new to it.
        cluster.isolate(3).await;
        let behind = node(&cluster, 3).height();
        let client = cluster.client(vec![0, 1, 2], ClientLink::NEAR, Config::default(), bank::vm(), 30).await.unwrap();
        bank::found(&client, ACCOUNTS, 1_000).await.unwrap();
        assert!(cluster.reach(&[0, 1, 2], behind + 330, Duration::from_secs(600)).await, "the others go on");
        assert!(transfers(&client, 5).await > 0);
        cluster.reconnect(3).await;
        // Somebody calls the operation all the time, so it is warm when the state is fetched and after.
        while node(&cluster, 3).status().oldest_height <= behind {
            assert!(transfers(&client, 5).await > 0);
        }
        assert!(transfers(&client, 20).await > 0);
        level(&cluster, &ALL).await;
        assert!(translations.warm.load(Ordering::Relaxed) > 0, "it has run warm code");
        assert_eq!(translations.unpaid.load(Ordering::Relaxed), 0, "translated while others waited");
        holds_what_it_should(&cluster, 3).await;
    });
}

/// Under load without an end a member's files stay within a bound: what the last heights need. In the first heights they
/// grow, since nothing can be dropped yet; from then on as much goes as comes.
#[test]
fn what_a_member_keeps_on_its_disk_is_bounded() {
    // Heights that nodes remember, and those of a section of the archive, which is dropped as a whole.
    const KEPT: u64 = 256 + 64;
    run(30, 2, async |mut cluster, client| {
        let mut totals = Vec::new();
        for goal in (1..=5).map(|round| round * KEPT) {
            transfers(&client, 60).await;
            assert!(cluster.reach(&ALL, goal, Duration::from_secs(600)).await, "the cluster goes on to height {goal}");
            cluster.crash(1).await;
            let (partitions, store) = cluster.bytes_on_disk(1).await;
            cluster.start(1).await;
            let log: u64 = partitions.iter().sum();
            println!("height {goal}: log {log} bytes, store {store} bytes, by partition {partitions:?}");
            totals.push(log + store);
        }
        let (full, later) = (totals[1], &totals[2..]);
        // Where a section ends, and how full the pages of the store are, differs from one look to the next.
        assert!(later.iter().all(|bytes| *bytes < full + full / 4), "{full} bytes once it is full, later {later:?}");
    });
}
