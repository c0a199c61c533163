//! Blocks that cost as much as they may, or more: what a faulty leader can do with them, and what it cannot.

use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Runner as _, Supervisor as _};
use pleach_client::{Call, Client, Config, Executed};
use pleach_order::Application as _;
use pleach_sim::access::ClientLink;
use pleach_sim::bank;
use pleach_sim::burden::{Burden, SPIN, SPIN_KEY};
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::ledger::Conduct;
use pleach_testkit::{replay, seeds};
use pleach_types::{Genesis, Key, Limits, Partitioning};

const ALL: [usize; 4] = [0, 1, 2, 3];
const HONEST: [usize; 3] = [1, 2, 3];
const FAULTY: usize = 0;
const REACH_WAIT: Duration = Duration::from_secs(120);
/// Blocks of the faulty leader that are waited for: each way of being invalid twice.
const BLOCKS: usize = 2 * Burden::INVALID.len();

/// Small budgets, so that a block at their edge is made of few requests.
fn genesis() -> Genesis {
    let mut genesis = bank::genesis(4, 64, Partitioning::EVERYWHERE);
    genesis.records.insert(Key::new(SPIN_KEY).unwrap(), Bytes::from_static(SPIN));
    let limits = Limits {
        touched: 8,
        request_bytes: 256 << 10,
        block_bytes: 600 << 10,
        block_requests: 16,
        block_weight: 3_500_000,
        ..Limits::default()
    };
    let genesis = Genesis { limits, ..genesis };
    genesis.check().expect("a genesis");
    genesis
}

/// Runs a cluster with a member that treats others like this, and an honest client of the others.
fn run(seed: u64, conduct: Conduct, scenario: impl AsyncFnOnce(&Cluster, &Client)) {
    println!("seed {seed}, {conduct:?}");
    runner(seed).start(|context| async move {
        let secrets = ALL.map(bank::member_secret).to_vec();
        let executors = ALL.map(|_| bank::vm()).to_vec();
        let context = context.child("cluster");
        let mut cluster = Cluster::new(context, genesis(), secrets, executors, Some(FAULTY), Conditions::CALM).await;
        cluster.corrupt(FAULTY, conduct);
        cluster.start_all().await;
        assert!(cluster.reach(&HONEST, 2, REACH_WAIT).await, "the cluster starts");
        let client = cluster.client(HONEST.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), 1).await.unwrap();
        execute(client.create_domain("shop", None).unwrap()).await;
        scenario(&cluster, &client).await;
        assert_eq!(cluster.ledger().violations(), []);
    });
}

/// Has the cluster execute a call, which it does whatever the faulty leader proposes.
async fn execute(call: Call) {
    let sent = call.timeout(REACH_WAIT).send().await.and_then(Executed::applied);
    sent.map(drop).expect("an honest call is executed");
}

/// The honest client's call: it writes its one record.
async fn write(client: &Client, value: &[u8]) {
    let change = [(Key::new("shop/record").unwrap(), Some(Bytes::copy_from_slice(value)))];
    execute(client.change("shop", &change).unwrap()).await;
}

/// Calls of the honest client, until the faulty leader has proposed enough. Each of them is executed.
async fn calls_meanwhile(cluster: &Cluster, client: &Client) {
    for n in 0_u32.. {
        write(client, &n.to_le_bytes()).await;
        let looked = cluster.ledger().burdens().values().filter(|(_, looked)| *looked == HONEST.len()).count();
        if looked >= BLOCKS {
            return;
        }
        assert!(n < 1_000, "the faulty leader has proposed {looked} blocks that all looked at");
    }
}

/// Views that went by without a final block are the faulty leader's, and each of its blocks costs one.
fn only_its_own_views_are_lost(cluster: &Cluster) {
    let heights = cluster.ledger().heights();
    let blocks: Vec<_> = heights.values().map(|agreed| agreed.block.header.context).collect();
    let lost: u64 = blocks.windows(2).map(|pair| pair[1].view - pair[0].view - 1).sum();
    let proposed = cluster.ledger().burdens().len() as u64;
    assert!(lost <= proposed, "{lost} views were lost to {proposed} blocks");
    let faulty = bank::member_secret(FAULTY).public();
    assert!(blocks[1..].iter().all(|context| context.leader != faulty), "a block of the faulty leader is final");
}

#[test]
fn nobody_votes_for_an_invalid_block_and_it_costs_one_view() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        run(seed, Conduct::Invalid, async |cluster, client| {
            calls_meanwhile(cluster, client).await;
            only_its_own_views_are_lost(cluster);
            let burdens = cluster.ledger().burdens();
            for burden in Burden::INVALID {
                assert!(burdens.values().any(|(found, looked)| *found == burden && *looked == 3), "{burden:?}");
            }
        });
    }
}

#[test]
fn blocks_full_of_void_requests_are_within_the_budget_and_change_nothing() {
    for seed in seeds(10..12) {
        let _replay = replay(seed);
        run(seed, Conduct::Burdens(Burden::Void), async |cluster, client| {
            calls_meanwhile(cluster, client).await;
            let burdens = cluster.ledger().burdens();
            let heights = cluster.ledger().heights();
            let of = heights.values().filter(|agreed| burdens.contains_key(&agreed.digest));
            let void: Vec<_> =
                of.map(|agreed| (agreed.block.requests.len(), agreed.receipts.iter().flatten().count())).collect();
            assert!(
                !void.is_empty() && void.iter().all(|(requests, receipts)| *requests > 1 && *receipts == 0),
                "{void:?}"
            );
        });
    }
}

#[test]
fn the_worst_valid_blocks_are_executed_alike_and_honest_calls_with_them() {
    for seed in seeds(20..22) {
        let _replay = replay(seed);
        run(seed, Conduct::Burdens(Burden::Worst), async |cluster, client| {
            calls_meanwhile(cluster, client).await;
            let burdens = cluster.ledger().burdens();
            let heights = cluster.ledger().heights();
            let mut worst = heights.values().filter(|agreed| burdens.contains_key(&agreed.digest)).peekable();
            assert!(worst.peek().is_some(), "no block of the faulty leader is final");
            assert!(worst.all(|agreed| agreed.receipts.iter().all(Option::is_some)), "each loop has a receipt");
        });
    }
}

/// Whatever clients and members send, what an honest leader proposes is valid: the ledger checks each of its blocks.
#[test]
fn honest_leaders_propose_valid_blocks_whatever_they_are_sent() {
    for seed in seeds(30..32) {
        let _replay = replay(seed);
        run(seed, Conduct::Honest, async |cluster, client| {
            for round in 0..8_u64 {
                for (n, burden) in Burden::INVALID.into_iter().chain([Burden::Void, Burden::Worst]).enumerate() {
                    let (node, _) = cluster.ports().enter(n % 4).expect("the member is up");
                    for request in burden.requests(&node, 100 * round + n as u64) {
                        let _ = cluster.ports().submit(n % 4, request.clone()).await;
                        // A request stands behind a zero when members pass it on.
                        let message = Bytes::from([&[0; 9], &request[..]].concat());
                        node.received(bank::member_secret(FAULTY).public(), message);
                    }
                }
                write(client, &round.to_le_bytes()).await;
            }
            let heights = cluster.ledger().heights();
            let full = heights.values().map(|agreed| agreed.block.requests.len()).max();
            assert!(full > Some(4), "what is in order was ordered, many at a time: {full:?}");
        });
    }
}
