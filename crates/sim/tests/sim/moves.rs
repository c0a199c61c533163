//! Records move while members come and go: under load, all copies are back, none is lost, and what nobody need keep is dropped.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use commonware_runtime::{Runner as _, deterministic};
use pleach_client::{Client, Config};
use pleach_node::Node;
use pleach_sim::access::ClientLink;
use pleach_sim::bank;
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_sim::ledger::Conduct;
use pleach_testkit::{replay, seeds};
use pleach_types::api::GetRequest;
use pleach_types::system::Change;
use pleach_types::*;

const WINDOW: u64 = 32;
const BLOCKS: u32 = 32;
const ACCOUNTS: usize = 40;
const MONEY: u64 = 1_000;
const CONDITIONS: Conditions = Conditions { latency_ms: 10, jitter_ms: 4, loss_percent: 2 };
const REACH_WAIT: Duration = Duration::from_secs(240);

fn owner() -> SecretKey {
    SecretKey::from_seed([71; 32])
}

fn owned(members: usize, replicas: u16) -> Genesis {
    let governance =
        Governance { owners: vec![owner().public()], threshold: 1, epoch_blocks: BLOCKS, ..Governance::default() };
    Genesis { governance, ..bank::genesis(members, WINDOW, Partitioning { bits: 4, replicas }) }
}

fn node(cluster: &Cluster, member: usize) -> Arc<Node> {
    cluster.ports().enter(member).expect("the member is up").0
}

/// Asks for a change by the owner.
async fn ask(cluster: &Cluster, members: &[usize], change: Change) {
    let state = node(cluster, members[0]).state();
    let record = state.cluster();
    let numbers = (record.seq + 1, state.height() + 500);
    let request = SystemRequest::change(*state.genesis_digest(), numbers, change, &record.owners, &[owner()]);
    cluster.ports().submit(members[0], request.encode()).await.expect("it is taken");
}

/// Waits until all that was asked for is in force: so many changes since genesis.
async fn in_force(cluster: &Cluster, members: &[usize], changes: u64) {
    let goal = (cluster.ledger().height() / u64::from(BLOCKS) + 2) * u64::from(BLOCKS);
    assert!(cluster.reach(members, goal, REACH_WAIT).await, "{members:?} come to height {goal}");
    assert_eq!(node(cluster, members[0]).state().cluster().seq, changes, "it was granted");
}

/// Asks for a change by the owner, and waits until it is in force.
async fn change(cluster: &Cluster, members: &[usize], change: Change) {
    let changes = node(cluster, members[0]).state().cluster().seq + 1;
    ask(cluster, members, change).await;
    in_force(cluster, members, changes).await;
}

/// Waits until each of these members keeps what it is to keep, no more and no less, and knows that the others do.
async fn settled(cluster: &Cluster, members: &[usize], context: &str) {
    let done = |member: &usize| {
        let node = node(cluster, *member);
        let state = node.state();
        let committee = state.committee();
        let wanted = committee.partition_map(node.genesis().partitioning).kept(committee.members(), &node.public_key());
        let storage = node.status().storage;
        (state.tree().kept() == wanted && storage.prefixes_below == 0).then_some(storage)
    };
    let height = cluster.ledger().height();
    assert!(cluster.reach(members, height, REACH_WAIT).await, "{context}: all come to height {height}");
    for _ in 0..600 {
        if members.iter().all(|member| done(member).is_some()) {
            return;
        }
        cluster.pass(Duration::from_millis(250)).await;
    }
    let told: Vec<_> = members.iter().map(|member| node(cluster, *member).status().storage).collect();
    panic!("{context}: records do not come to rest: {told:?}");
}

/// Reads each account from each member that is to keep it, with the member's own proof, and adds up.
async fn sum(cluster: &Cluster, members: &[usize], context: &str) -> u64 {
    // What was taken over is there from the height on at which it was.
    let goal = cluster.ledger().height() + 5;
    assert!(cluster.reach(members, goal, REACH_WAIT).await, "{context}: all come to height {goal}");
    let height = members.iter().map(|member| node(cluster, *member).status().certified_height).min();
    let mut sum = 0;
    for account in 0..ACCOUNTS {
        let key = bank::account_key(account);
        let of = |member: &usize| {
            let node = node(cluster, *member);
            let state = node.state();
            let committee = state.committee().clone();
            let map = committee.partition_map(node.genesis().partitioning);
            let place = committee.index(&node.public_key()).expect("a member") as u16;
            map.keepers_of(&key.path()).contains(&place).then_some(node)
        };
        let keepers: Vec<_> = members.iter().filter_map(of).collect();
        assert!(!keepers.is_empty(), "{context}: {key} has keepers");
        let request = GetRequest { keys: vec![key.clone()], height, ..GetRequest::default() };
        let values = keepers.iter().map(|node| {
            let reply = node.get(&request).unwrap_or_else(|why| panic!("{context}: {key}: {why}"));
            Bytes::from(reply.records[0].value.clone().expect("an account"))
        });
        let values: Vec<Bytes> = values.collect();
        assert!(values.iter().all(|value| *value == values[0]), "{context}: {key}");
        // Its owner, and the balance.
        sum += u64::from_le_bytes(values[0][32..].try_into().expect("an account"));
    }
    sum
}

async fn client(cluster: &Cluster, members: usize, seed: u64) -> Client {
    let all = (0..members).collect();
    cluster.client(all, ClientLink::NEAR, Config::default(), bank::vm(), seed).await.expect("a client")
}

/// Runs a cluster of so many members, each record on so many of them, with a bank that is under load.
fn run(seed: u64, members: usize, replicas: u16, scenario: impl AsyncFnOnce(Cluster)) {
    run_with_newcomers(seed, members, 0, replicas, scenario);
}

/// As [`run`], with nodes beside that nobody has added yet.
fn run_with_newcomers(seed: u64, members: usize, newcomers: usize, replicas: u16, scenario: impl AsyncFnOnce(Cluster)) {
    runner(seed).start(async move |context: deterministic::Context| {
        let genesis = owned(members, replicas);
        let cluster = Cluster::with_newcomers(&context, genesis, newcomers, CONDITIONS).await;
        let all: Vec<usize> = (0..members).collect();
        assert!(cluster.reach(&all, 2, REACH_WAIT).await, "the cluster starts");
        let client = client(&cluster, members, seed).await;
        bank::found(&client, ACCOUNTS, MONEY).await.expect("a bank");
        bank::transfer_without_end(&context, client, |turn| (turn * 7 % ACCOUNTS, (turn * 11 + 1) % ACCOUNTS));
        scenario(cluster).await;
    });
}

/// Seven members, three copies: two leave one after the other, and each time all copies are back.
#[test]
fn all_copies_are_back_after_members_have_left() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        run(seed, 7, 3, async |cluster| {
            let client = client(&cluster, 7, seed + 1).await;
            let mut left: Vec<usize> = (0..7).collect();
            for gone in [3, 5] {
                left.retain(|member| *member != gone);
                let key = bank::member_secret(gone).public();
                change(&cluster, &left, Change::Remove(key)).await;
                let context = format!("seed {seed}, without {gone}");
                settled(&cluster, &left, &context).await;
                assert_eq!(sum(&cluster, &left, &context).await, ACCOUNTS as u64 * MONEY, "{context}");
                // Whoever was told of all seven finds everything.
                for account in 0..ACCOUNTS {
                    let read = client.get_one(&bank::account_key(account)).await;
                    assert!(read.expect("a read").into_value().is_some(), "{context}");
                }
            }
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
}

/// A member that is to keep nothing hands on everything and goes on voting; with a capacity again it gets its part back. A third
/// member is cut off meanwhile, stopped and wiped: it comes to rest like the others.
#[test]
fn a_drained_member_keeps_nothing_until_it_has_a_capacity_again() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        run(seed, 5, 2, async |mut cluster| {
            let all: Vec<usize> = (0..5).collect();
            let key = bank::member_secret(2).public();
            for (turn, capacity) in [0, 3, 1].into_iter().enumerate() {
                let context = format!("seed {seed}, capacity {capacity}");
                let rest = [vec![0, 1, 2, 4], vec![1, 2, 3, 4], vec![0, 2, 3, 4]][turn].clone();
                let other = [3, 0, 1][turn];
                match turn {
                    0 => cluster.isolate(other).await,
                    1 => cluster.crash(other).await,
                    _ => cluster.wipe(other).await,
                }
                change(&cluster, &rest, Change::Set { key, capacity, address: String::new() }).await;
                match turn {
                    0 => cluster.reconnect(other).await,
                    _ => cluster.start(other).await,
                }
                settled(&cluster, &all, &context).await;
                assert_eq!(node(&cluster, 2).status().storage.prefixes == 0, capacity == 0, "{context}");
                assert_eq!(sum(&cluster, &all, &context).await, ACCOUNTS as u64 * MONEY, "{context}");
            }
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
}

/// One member spoils, or drips, what it hands out, and those that take records over are stopped in the middle of it, one after the
/// other: no false record gets in, and all copies are back.
#[test]
fn a_lying_source_and_stopped_takers_lose_nothing() {
    let conducts = [Conduct::Spoils, Conduct::Drips];
    let (runs, noticed_in_all) = (seeds(0..4), Cell::new(0_u64));
    for (seed, conduct) in runs.clone().map(|seed| (seed, conducts[seed as usize % 2])) {
        let _replay = replay(seed);
        run(seed, 6, 3, async |mut cluster| {
            cluster.crash(1).await;
            cluster.corrupt(1, conduct);
            cluster.start(1).await;
            let left = [0, 1, 2, 3, 5];
            ask(&cluster, &left, Change::Remove(bank::member_secret(4).public())).await;
            cluster.pass(Duration::from_millis(150 * (1 + seed))).await;
            let mut noticed = 0;
            for member in [0, 2, 3, 5] {
                noticed += node(&cluster, member).invalid_parts();
                cluster.crash(member).await;
                cluster.start(member).await;
                cluster.pass(Duration::from_millis(100 * (1 + seed))).await;
            }
            in_force(&cluster, &left, 1).await;
            let context = format!("seed {seed}, {conduct:?}");
            settled(&cluster, &left, &context).await;
            noticed += left.iter().map(|member| node(&cluster, *member).invalid_parts()).sum::<u64>();
            println!("{context}: {noticed} invalid parts were noticed");
            noticed_in_all.set(noticed_in_all.get() + noticed);
            assert_eq!(sum(&cluster, &left, &context).await, ACCOUNTS as u64 * MONEY, "{context}");
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
    // Each prefix has two other keepers, and who is asked first is drawn: in a single run perhaps never the liar.
    assert!(noticed_in_all.get() > 0 || runs.count() < 4, "the liar was asked");
}

/// The entry of a node that the genesis does not name.
fn newcomer(number: usize) -> Member {
    Member::new(format!("newcomer{number}"), bank::member_secret(number).public())
}

/// Waits until something holds of the newest state that a member has.
async fn until(cluster: &Cluster, member: usize, what: &str, holds: impl Fn(&ClusterRecord) -> bool) {
    for _ in 0..6_000 {
        if holds(node(cluster, member).state().cluster()) {
            return;
        }
        cluster.pass(Duration::from_millis(50)).await;
    }
    let node = node(cluster, member);
    panic!("member {member}: not {what}: {:?} {:?}", node.status(), node.state().cluster());
}

fn names(members: &[Member], key: &PublicKey) -> bool {
    members.iter().any(|member| member.public_key == *key)
}

/// A node that genesis does not name is added under load, before or after it is started, and stopped in the middle: it follows, takes
/// its part over, says so, and votes in an epoch after. Whoever knew the first members alone reads what it keeps.
#[test]
fn a_newcomer_takes_its_part_over_and_votes() {
    for seed in seeds(0..4) {
        let _replay = replay(seed);
        run_with_newcomers(seed, 4, 1, 2, async |mut cluster| {
            let (old, all) = ([0, 1, 2, 3], [0, 1, 2, 3, 4]);
            let key = bank::member_secret(4).public();
            let context = format!("seed {seed}");
            let client = client(&cluster, 5, seed + 1).await;
            // So late that it cannot catch up block by block.
            let late = seed % 2 == 0;
            if late {
                let height = cluster.ledger().height();
                assert!(cluster.reach(&old, height + 300, REACH_WAIT).await, "{context}: the members go on");
            } else {
                cluster.start(4).await;
            }
            ask(&cluster, &old, Change::Add(newcomer(4))).await;
            if late {
                cluster.start(4).await;
            }
            until(&cluster, 4, "on standby", |record| names(&record.standby, &key)).await;
            for restart in 0..2 {
                cluster.crash(4).await;
                if restart == 1 && seed == 3 {
                    cluster.wipe(4).await;
                }
                cluster.start(4).await;
                cluster.pass(Duration::from_millis(200 * (seed + 1))).await;
            }
            until(&cluster, 0, "in force", |record| names(&record.members, &key)).await;
            settled(&cluster, &all, &context).await;
            assert_eq!(sum(&cluster, &all, &context).await, ACCOUNTS as u64 * MONEY, "{context}");
            for account in 0..ACCOUNTS {
                let read = client.get_one(&bank::account_key(account)).await;
                assert!(read.expect("a read").into_value().is_some(), "{context}");
            }
            // Four of five make a quorum: without one of the others its vote is needed.
            cluster.isolate(0).await;
            let height = cluster.ledger().height();
            assert!(cluster.reach(&all[1..], height + 10, REACH_WAIT).await, "{context}: it votes");
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
}

/// A newcomer says that it has everything, and is no more than a key: it is let in, since nobody can tell. The others keep what it
/// was to take over, so each record has as many copies as before.
#[test]
fn a_newcomer_that_lies_about_what_it_keeps_costs_no_copy() {
    for seed in seeds(0..2) {
        let _replay = replay(seed);
        run_with_newcomers(seed, 4, 1, 2, async |cluster| {
            let (old, key) = ([0, 1, 2, 3], bank::member_secret(4).public());
            let context = format!("seed {seed}");
            ask(&cluster, &old, Change::Add(newcomer(4))).await;
            until(&cluster, 0, "on standby", |record| names(&record.standby, &key)).await;
            let state = node(&cluster, 0).state();
            // Of another height, it is refused.
            let (genesis, height, root) = (*state.genesis_digest(), state.height(), state.result().root);
            let say = |height, root| {
                let ready = SystemRequest::ready(genesis, height, root, &bank::member_secret(4));
                cluster.ports().submit(0, ready.encode())
            };
            assert!(say(height, Hash([7; 32])).await.is_err(), "{context}: a root that is none");
            assert!(say(height + 9, root).await.is_err(), "{context}: a height to come");
            say(height, root).await.expect("it is taken");
            until(&cluster, 0, "in force", |record| names(&record.members, &key)).await;
            let goal = cluster.ledger().height() + 2 * u64::from(BLOCKS);
            assert!(cluster.reach(&old, goal, REACH_WAIT).await, "{context}: the four go on without it");
            for account in 0..ACCOUNTS {
                let path = bank::account_key(account).path();
                let copies = old.iter().filter(|member| node(&cluster, **member).state().keeps(&path)).count();
                assert!(copies >= 2, "{context}: account {account} has {copies} copies");
            }
            assert_eq!(sum(&cluster, &old, &context).await, ACCOUNTS as u64 * MONEY, "{context}");
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
}

/// The owners add a member and take it out again: its node ends with the epoch, and says why.
#[test]
fn a_newcomer_that_is_taken_out_ends() {
    for seed in seeds(0..2) {
        let _replay = replay(seed);
        run_with_newcomers(seed, 4, 1, 2, async |mut cluster| {
            let (old, key) = ([0, 1, 2, 3], bank::member_secret(4).public());
            ask(&cluster, &old, Change::Add(newcomer(4))).await;
            cluster.start(4).await;
            until(&cluster, 4, "listed", |record| names(&record.standby, &key) || names(&record.next, &key)).await;
            ask(&cluster, &old, Change::Remove(key)).await;
            let mut ended = None;
            for _ in 0..6_000 {
                ended = cluster.ended(4).await;
                if ended.is_some() {
                    break;
                }
                cluster.pass(Duration::from_millis(50)).await;
            }
            let ended = ended.unwrap_or_else(|| panic!("seed {seed}: it goes on"));
            assert!(ended.contains("Removed"), "seed {seed}: {ended}");
            let goal = cluster.ledger().height() + 10;
            assert!(cluster.reach(&old, goal, REACH_WAIT).await, "seed {seed}: the others go on");
            assert_eq!(cluster.ledger().violations(), []);
        });
    }
}
