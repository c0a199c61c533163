//! Keepers that serve others and not this client: it reads through other members, whoever lies on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use commonware_runtime::{Clock as _, Runner as _, deterministic};
use pleach_client::{Client, Config};
use pleach_sim::access::{ClientLink, Treatment};
use pleach_sim::bank::{self, account_key};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::ledger::Conduct;
use pleach_sim::oracle::Oracle;
use pleach_testkit::{replay, seeds};
use pleach_types::Partitioning;

const ALL: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];
/// Copies of a record.
const COPIES: u16 = 2;
/// Members that may be faulty.
const FAULTS: usize = 2;
const ACCOUNTS: usize = 6;
const WINDOW: u64 = 16;
const STORM: Conditions = Conditions { latency_ms: 15, jitter_ms: 5, loss_percent: 2 };
const REACH_WAIT: Duration = Duration::from_secs(240);
/// What a read may take, whoever is silent: half of what a client waits at most.
const BOUND: Duration = Duration::from_secs(5);

/// A bank on seven members.
fn run(seed: u64, scenario: impl AsyncFnOnce(&deterministic::Context, Cluster) + 'static) {
    let _replay = replay(seed);
    runner(seed).start(|context| async move {
        let genesis = bank::genesis(ALL.len(), WINDOW, Partitioning { bits: 3, replicas: COPIES });
        let cluster = Cluster::started(&context, genesis, STORM).await;
        assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
        let founder = cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await;
        bank::found(&founder.expect("a client"), ACCOUNTS, 1_000).await.expect("a bank");
        scenario(&context, cluster).await;
    });
}

/// Who keeps an account, and who does not.
fn keepers(cluster: &Cluster, account: usize) -> (Vec<usize>, Vec<usize>) {
    let path = account_key(account).path();
    ALL.into_iter().partition(|member| cluster.ports().enter(*member).expect("it is up").0.state().keeps(&path))
}

fn treat(members: &[usize], treatment: Treatment) -> BTreeMap<usize, Treatment> {
    members.iter().map(|member| (*member, treatment)).collect()
}

/// The client reads what is in the account, within the bound, and nobody is convicted of anything.
async fn reads(context: &deterministic::Context, cluster: &Cluster, client: &Client, account: usize) {
    let key = account_key(account);
    let began = context.current();
    let record = client.get_one(&key).await.expect("a read");
    let took = context.current().duration_since(began).expect("time goes on");
    let mut oracle = Oracle::new(cluster.genesis());
    assert_eq!(oracle.replay(&cluster.ledger().heights()), []);
    assert!(record.is_some(), "{key} is there");
    assert_eq!(record.as_ref(), oracle.record_at(oracle.height(), &key), "{key}");
    assert!(took < BOUND, "{key} took {took:?}");
    println!("{key} took {took:?}");
    assert_eq!(cluster.ledger().violations(), []);
    for member in ALL {
        let (node, _) = cluster.ports().enter(member).expect("it is up");
        assert!(node.evidence_list().evidence.is_empty(), "member {member} holds evidence");
    }
}

/// All keepers of a record refuse one client, or leave it without an answer, and serve all others.
#[test]
fn whom_all_keepers_shun_reads_all_the_same_and_soon() {
    for seed in seeds(0..4) {
        run(seed, async move |context, cluster| {
            for account in 0..ACCOUNTS {
                let (keepers, _) = keepers(&cluster, account);
                assert_eq!(keepers.len(), usize::from(COPIES));
                for treatment in [Treatment::Refuses, Treatment::IsSilent] {
                    let shunned = cluster.treated_client(treat(&keepers, treatment), seed).await.expect("a client");
                    reads(context, &cluster, &shunned, account).await;
                    assert_eq!(shunned.invalid_replies(), [], "nobody is blamed");
                }
                let other = cluster.treated_client(BTreeMap::new(), seed).await.expect("a client");
                reads(context, &cluster, &other, account).await;
            }
        });
    }
}

/// As many members as may be faulty stand between the client and the keepers: their lies are noticed, and others help.
#[test]
fn liars_in_the_middle_of_a_read_make_nobody_believe_anything() {
    for seed in seeds(10..14) {
        run(seed, async move |context, cluster| {
            let mut noticed = 0;
            for account in 0..ACCOUNTS {
                let (keepers, others) = keepers(&cluster, account);
                for treatment in [Treatment::Lies, Treatment::HelpsNot] {
                    let mut treated = treat(&keepers, Treatment::Refuses);
                    let first = (account + seed as usize) % (others.len() - FAULTS + 1);
                    treated.extend(treat(&others[first..first + FAULTS], treatment));
                    let Ok(client) = cluster.treated_client(treated, seed).await else { panic!("a client") };
                    reads(context, &cluster, &client, account).await;
                    let invalid = client.invalid_replies();
                    assert!(invalid.is_empty() || treatment == Treatment::Lies, "{invalid:?}");
                    noticed += invalid.len();
                }
            }
            assert!(noticed > 0, "no liar was asked");
        });
    }
}

/// A keeper makes values up for the member that asks, or does not answer it: the member asks another keeper, and the client
/// blames nobody.
#[test]
fn keepers_that_mislead_members_mislead_no_client() {
    for (seed, conduct) in seeds(20..24).flat_map(|seed| [(seed, Conduct::Misleads), (seed, Conduct::IsMute)]) {
        run(seed, async move |context, mut cluster| {
            let (keepers, _) = keepers(&cluster, 0);
            let liar = keepers[seed as usize % keepers.len()];
            cluster.crash(liar).await;
            cluster.corrupt(liar, conduct);
            cluster.start(liar).await;
            let goal = cluster.ledger().height() + 2;
            assert!(cluster.reach(&ALL, goal, REACH_WAIT).await, "all come to height {goal}");
            let client = cluster.treated_client(treat(&keepers, Treatment::Refuses), seed).await.expect("a client");
            // Each read begins with another of the keepers.
            for _ in 0..6 {
                reads(context, &cluster, &client, 0).await;
            }
            assert_eq!(client.invalid_replies(), [], "nobody is blamed");
        });
    }
}
