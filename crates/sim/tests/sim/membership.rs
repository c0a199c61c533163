//! Requests of the system through whole clusters: every member comes to the same record of the cluster, keeps it over a
//! restart, gets it back with a state of others, and proves it to clients.

use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::{Runner as _, deterministic};
use pleach_client::{Client, Config};
use pleach_node::{Node, ServiceError};
use pleach_sim::access::ClientLink;
use pleach_sim::bank;
use pleach_sim::cluster::{self, Cluster, Conditions};
use pleach_testkit::{replay, seeds};
use pleach_types::system::Change;
use pleach_types::vote::Proposal;
use pleach_types::*;

const ALL: [usize; 4] = [0, 1, 2, 3];
const WINDOW: u64 = 16;
const STORM: Conditions = Conditions { latency_ms: 15, jitter_ms: 5, loss_percent: 3 };
const REACH_WAIT: Duration = Duration::from_secs(240);

fn owners() -> [SecretKey; 3] {
    [71, 72, 73].map(|n| SecretKey::from_seed([n; 32]))
}

fn owned(members: usize) -> Genesis {
    let mut owners: Vec<_> = owners().iter().map(SecretKey::public).collect();
    owners.sort_unstable();
    let governance = Governance { owners, threshold: 2, ..Governance::default() };
    Genesis { governance, ..bank::genesis(members, WINDOW, Partitioning { bits: 3, replicas: 2 }) }
}

fn node(cluster: &Cluster, member: usize) -> Arc<Node> {
    cluster.ports().enter(member).expect("the member is up").0
}

async fn submit(cluster: &Cluster, member: usize, request: &SystemRequest) -> Result<Identity, ServiceError> {
    cluster.ports().submit(member, request.encode()).await
}

/// A change by two of the owners.
fn change(cluster: &Cluster, change: Change) -> SystemRequest {
    let state = node(cluster, 0).state();
    let record = state.cluster();
    let numbers = (record.seq + 1, state.height() + 200);
    SystemRequest::change(*state.genesis_digest(), numbers, change, &record.owners, &owners()[..2])
}

/// Waits until this request has a receipt on all members, and returns it.
async fn done(cluster: &Cluster, members: &[usize], identity: Identity) -> Receipt {
    for _ in 0..100 {
        let goal = cluster.ledger().height() + 1;
        assert!(cluster.reach(members, goal, REACH_WAIT).await, "{members:?} come to height {goal}");
        let shown = |member: &usize| {
            let receipt = node(cluster, *member).receipt(&identity).proof?.receipt.0;
            Some(Receipt::decode(&receipt).expect("a receipt"))
        };
        let all: Vec<Receipt> = members.iter().filter_map(shown).collect();
        if all.len() == members.len() {
            assert!(all.iter().all(|receipt| *receipt == all[0]), "{all:?}");
            return all[0].clone();
        }
    }
    panic!("{identity} has no receipt on {members:?}");
}

/// The record that all of these members have, in their states and in their stores.
async fn record(cluster: &Cluster, members: &[usize]) -> ClusterRecord {
    let goal = cluster.ledger().height() + 2;
    assert!(cluster.reach(members, goal, REACH_WAIT).await, "{members:?} come to height {goal}");
    assert_eq!(cluster.ledger().violations(), []);
    let record = node(cluster, members[0]).state().cluster().clone();
    for member in members {
        let node = node(cluster, *member);
        assert_eq!(*node.state().cluster(), record, "member {member}");
        let value = node.value(&ClusterRecord::key()).expect("the store is readable");
        assert_eq!(value, Some(record.encode().into()), "member {member}");
    }
    record
}

async fn proved(client: &Client) -> ClusterRecord {
    let value = client.get_one(&ClusterRecord::key()).await.expect("a read").into_value();
    ClusterRecord::decode(&value.expect("it is there")).expect("the record of the cluster")
}

fn two_votes(genesis: Hash, liar: &SecretKey) -> SystemRequest {
    let round = Round { epoch: 0, view: 7 };
    let of = |n| Ballot::Notarize(Proposal { parent_view: 6, block: Hash([n; 32]) });
    let [one, other] = [1, 2].map(|n| Vote::sign(of(n), &genesis, round, liar));
    SystemRequest::complain(Evidence::of_votes(genesis, liar.public(), round, one, other), None)
}

fn runner(seed: u64) -> deterministic::Runner {
    cluster::runner(seed)
}

#[test]
fn the_record_of_the_cluster_changes_everywhere_and_survives_restart_and_loss() {
    for seed in seeds(0..2) {
        let _replay = replay(seed);
        runner(seed).start(|context| async move {
            let mut cluster = Cluster::started(&context, owned(ALL.len()), STORM).await;
            assert!(cluster.reach(&ALL, 2, REACH_WAIT).await, "the cluster starts");
            let client =
                cluster.client(ALL.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await.unwrap();
            scenario(&mut cluster, &client).await;
        });
    }
}

async fn scenario(cluster: &mut Cluster, client: &Client) {
    let genesis = client.genesis_digest();
    // A member on standby, asked of one node and ordered by all.
    let newcomer = SecretKey::from_seed([90; 32]);
    let add = change(cluster, Change::Add(Member::new("newcomer", newcomer.public())));
    let identity = submit(cluster, 1, &add).await.expect("it is taken");
    assert_eq!(done(cluster, &ALL, identity).await.refusal(), None);
    assert_eq!(submit(cluster, 2, &add).await, Ok(identity), "sent again: its receipt is what is wanted");
    let added = record(cluster, &ALL).await;
    assert_eq!((added.seq, &added.standby), (1, &vec![Member::new("newcomer", newcomer.public())]));
    assert_eq!(proved(client).await, added);

    // A liar is convicted by anybody's complaint; it stays in force until the epoch ends.
    let liar = bank::member_secret(3);
    let complaint = two_votes(genesis, &liar);
    let identity = submit(cluster, 0, &complaint).await.expect("it is taken");
    let receipt = done(cluster, &ALL, identity).await;
    assert_eq!(receipt.outputs()[0].events[0].topic, "pleach/expelled");
    let convicted = record(cluster, &ALL).await;
    assert_eq!(convicted.verdicts[0].key, liar.public());
    assert_eq!((convicted.members.len(), convicted.next.len()), (4, 3));

    // What would be refused does not get as far as a block.
    let refused = async |request: &SystemRequest, member| match submit(cluster, member, request).await {
        Err(ServiceError::System(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let nobody = SecretKey::from_seed([91; 32]);
    assert_eq!(refused(&two_votes(genesis, &nobody), 1).await, SystemRefusal::NotAMember);
    let stale =
        SystemRequest::change(genesis, (1, 9_999), Change::Pardon(liar.public()), &added.owners, &owners()[1..]);
    assert_eq!(refused(&stale, 0).await, SystemRefusal::OutOfSequence);
    let forged =
        SystemRequest::change(genesis, (2, 9_999), Change::Pardon(liar.public()), &[nobody.public()], &[nobody]);
    assert!(matches!(submit(cluster, 0, &forged).await, Err(ServiceError::Void(Void::OwnerSignature { owner: 0 }))));
    let (round, honest) = (Round { epoch: 0, view: 8 }, bank::member_secret(0));
    let notarize = Ballot::Notarize(Proposal { parent_view: 6, block: Hash([1; 32]) });
    let [one, other] = [Ballot::Nullify, notarize].map(|ballot| Vote::sign(ballot, &genesis, round, &honest));
    let honest = Evidence::of_votes(genesis, honest.public(), round, one, other);
    let harmless = submit(cluster, 0, &SystemRequest::complain(honest, None)).await;
    assert!(matches!(harmless, Err(ServiceError::Unacceptable(Unacceptable::NotProven(_)))), "{harmless:?}");

    // A member that starts again has it from its store, one that has lost everything executes the blocks of the others, and
    // one that is too far behind for that fetches it with a state.
    cluster.crash(1).await;
    cluster.start(1).await;
    assert_eq!(record(cluster, &ALL).await, convicted);
    cluster.wipe(2).await;
    cluster.start(2).await;
    assert_eq!(record(cluster, &ALL).await, convicted);
    let behind = cluster.ledger().height();
    cluster.isolate(3).await;
    assert!(cluster.reach(&[0, 1, 2], behind + 330, Duration::from_secs(600)).await, "the others go on");
    cluster.reconnect(3).await;
    cluster.wipe(2).await;
    cluster.start(2).await;
    assert_eq!(record(cluster, &ALL).await, convicted);
    assert!(node(cluster, 3).status().oldest_height > behind, "it fetched the state");

    // And goes on from there: it judges the next change like the others.
    // One that has just fetched a state may be as far behind as the others remember.
    let newest = cluster.ledger().height();
    assert!(cluster.reach(&[2], newest, REACH_WAIT).await, "it comes to height {newest}");
    let state = node(cluster, 2).state();
    let ready = SystemRequest::ready(genesis, state.height(), state.result().root, &newcomer);
    let identity = submit(cluster, 2, &ready).await.expect("it is taken");
    assert_eq!(done(cluster, &ALL, identity).await.refusal(), None);
    let last = record(cluster, &ALL).await;
    assert!(last.standby.is_empty() && last.next.iter().any(|member| member.public_key == newcomer.public()));
    assert_eq!(proved(client).await, last);
}

/// Blocks of an epoch, where the ends of epochs matter.
const BLOCKS: u32 = 32;
/// One leaves, and the four that stay tolerate a fault.
const FIVE: [usize; 5] = [0, 1, 2, 3, 4];
const HONEST: [usize; 4] = [0, 1, 2, 4];

/// A member that has voted twice is out of the set when the next epoch begins, with nobody's help: the others go on without it, those
/// that come back later follow, and whoever has the genesis alone learns of it.
#[test]
fn a_liar_is_expelled_at_the_end_of_the_epoch_and_the_others_go_on() {
    for seed in seeds(0..3) {
        let _replay = replay(seed);
        runner(seed).start(|context| async move {
            let mut genesis = owned(FIVE.len());
            genesis.governance.epoch_blocks = BLOCKS;
            let mut cluster = Cluster::started(&context, genesis, STORM).await;
            assert!(cluster.reach(&FIVE, u64::from(BLOCKS) + 5, REACH_WAIT).await, "the second epoch begins");
            expulsion(&mut cluster).await;
        });
    }
}

async fn expulsion(cluster: &mut Cluster) {
    let genesis = node(cluster, 0).genesis().clone();
    let liar = bank::member_secret(3);
    let identity = submit(cluster, 1, &two_votes(genesis.digest(), &liar)).await.expect("it is taken");
    let receipt = done(cluster, &HONEST, identity).await;
    assert_eq!(receipt.outputs()[0].events[0].topic, "pleach/expelled");

    // It is out of the order from the next epoch on.
    let next = (receipt.height / u64::from(BLOCKS) + 1) * u64::from(BLOCKS);
    assert!(cluster.reach(&HONEST, next + 10, REACH_WAIT).await, "the others go on without it");
    let convicted = record(cluster, &HONEST).await;
    assert_eq!(convicted.members.len(), 4);
    assert!(convicted.members.iter().all(|member| member.public_key != liar.public()));

    // Whoever comes back is one of four now, whether it has its records or gets them from the others.
    cluster.crash(1).await;
    cluster.start(1).await;
    assert!(cluster.reach(&HONEST, next + 50, REACH_WAIT).await, "one that was restarted follows");
    cluster.wipe(2).await;
    cluster.start(2).await;
    let height = cluster.ledger().height();
    assert!(cluster.reach(&HONEST, height + 50, REACH_WAIT).await, "one that has lost everything follows");
    assert_eq!(record(cluster, &HONEST).await, convicted);

    // The steps that any of them hands out lead from genesis to the new members.
    for member in HONEST {
        let mut anchor = pleach_verify::TrustAnchor::of(&genesis).expect("a good genesis");
        for step in node(cluster, member).steps(0) {
            anchor = anchor.follow(&step).unwrap_or_else(|why| panic!("member {member}: its {why}"));
        }
        assert_eq!(anchor.committee().members(), convicted.members, "member {member}");
    }
}

/// A member that is down for two epochs is out with the end of the third, with nobody's help and without a verdict. Those that come back
/// meanwhile count like the others, also where they get the state from them. A second one that goes down stays, until the owners act.
#[test]
fn a_member_that_is_down_for_long_leaves_and_the_next_one_stays() {
    for seed in seeds(0..2) {
        let _replay = replay(seed);
        runner(seed).start(|context| async move {
            // One may be down while another loses its disk.
            let mut genesis = owned(SEVEN.len());
            (genesis.governance.epoch_blocks, genesis.governance.absent_epochs) = (BLOCKS, 2);
            let mut cluster = Cluster::started(&context, genesis, STORM).await;
            assert!(cluster.reach(&SEVEN, 5, REACH_WAIT).await, "the cluster starts");
            absence(&mut cluster).await;
        });
    }
}

const SEVEN: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];
/// Without member 3, and without member 4 behind the others.
const OTHERS: [usize; 6] = [0, 1, 2, 5, 6, 4];

async fn absence(cluster: &mut Cluster) {
    let away = bank::member_secret(3).public();
    cluster.crash(3).await;
    // Within the second epoch that counts: what is known of the first is in the record alone.
    assert!(cluster.reach(&OTHERS, u64::from(BLOCKS) * 5 / 2, REACH_WAIT).await, "the others go on");
    cluster.wipe(2).await;
    cluster.start(2).await;
    assert!(cluster.reach(&OTHERS, u64::from(BLOCKS) * 5, REACH_WAIT).await, "they go on when one has lost its disk");
    let left = record(cluster, &OTHERS).await;
    assert!(left.members.iter().all(|member| member.public_key != away), "{left:?}");
    assert_eq!((left.members.len(), left.unasked, left.verdicts.len()), (6, 1, 0));

    cluster.crash(4).await;
    let height = cluster.ledger().height();
    assert!(cluster.reach(&OTHERS[..5], height + 4 * u64::from(BLOCKS), REACH_WAIT).await, "five of six go on");
    let stays = record(cluster, &OTHERS[..5]).await;
    assert_eq!((stays.next.len(), stays.unasked), (6, 1), "a record has two copies, so one leaves unasked");
    assert!(stays.absences.iter().any(|absence| absence.epochs >= 2), "{:?}", stays.absences);
    cluster.start(4).await;
    let height = cluster.ledger().height() + u64::from(BLOCKS);
    assert!(cluster.reach(&OTHERS, height, REACH_WAIT).await, "it is back");
    let back = record(cluster, &OTHERS).await;
    assert!(back.absences.iter().all(|absence| absence.epochs == 0), "{:?}", back.absences);
}
