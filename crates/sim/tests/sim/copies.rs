//! A member's folder was copied, and both copies run: two processes with one key, under load. Each of the others is connected with one of
//! the two, and in half of the runs connections go over from one to the other all the time. The others let one of the two vote
//! (`order::tenure`), so they sign no two votes that exclude each other; when one of them ends the other votes by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use commonware_runtime::{Runner as _, deterministic};
use pleach_client::Config;
use pleach_sim::access::ClientLink;
use pleach_sim::bank;
use pleach_sim::cluster::{Cluster, Conditions, runner};
use pleach_testkit::{replay, seeds};
use pleach_types::api::Voting;
use pleach_types::{Genesis, Governance, Partitioning};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// Runs in CI.
const RUNS: u64 = 10;
const MEMBERS: [usize; 4] = [0, 1, 2, 3];
/// The node that runs on a copy of a member's folder.
const COPY: usize = 4;
const ACCOUNTS: usize = 8;
const WINDOW: u64 = 16;
/// Blocks of an epoch, by seed.
const EPOCHS: [u32; 2] = [23, 1_024];
const REACH_WAIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(100);

fn genesis(seed: u64) -> Genesis {
    let epoch_blocks = EPOCHS[seed as usize % EPOCHS.len()];
    let governance = Governance { epoch_blocks, ..Governance::default() };
    Genesis { governance, ..bank::genesis(4, WINDOW, Partitioning { bits: 3, replicas: 2 }) }
}

fn voting(cluster: &Cluster, member: usize) -> Option<Voting> {
    cluster.ports().enter(member).map(|(node, _)| node.status().voting)
}

async fn all_vote(cluster: &Cluster, members: &[usize]) -> bool {
    for _ in 0..6_000 {
        if members.iter().all(|member| voting(cluster, *member) == Some(Voting::Open)) {
            return true;
        }
        cluster.pass(LOOK).await;
    }
    false
}

/// What the two processes did while both were up.
struct Both {
    /// Looks at which both voted.
    voted: usize,
    /// Those that ended by themselves, and why.
    ended: Vec<String>,
}

/// A member is stopped, its folder is copied, and both run; then one of them ends. `change` is done to their connections every 100 ms.
async fn run(
    context: &deterministic::Context,
    seed: u64,
    change: impl Fn(&Cluster, usize, &mut StdRng),
) -> (Cluster, Both) {
    let mut rng = StdRng::seed_from_u64(seed);
    let member = rng.random_range(0..MEMBERS.len());
    let (latency_ms, jitter_ms) = (rng.random_range(2..20), rng.random_range(0..8));
    let conditions = Conditions { latency_ms, jitter_ms, loss_percent: 0 };
    let mut cluster = Cluster::with_a_copy(context, genesis(seed), member, conditions).await;
    assert!(cluster.reach(&MEMBERS, 2, REACH_WAIT).await, "the cluster starts");
    let client = cluster.client(MEMBERS.to_vec(), ClientLink::NEAR, Config::default(), bank::vm(), seed).await;
    let client = client.expect("a client");
    bank::found(&client, ACCOUNTS, 1_000).await.expect("a bank");
    bank::transfer_without_end(context, client, |turn| (turn % ACCOUNTS, (turn * 3 + 1) % ACCOUNTS));
    cluster.pass(Duration::from_millis(rng.random_range(0..3_000))).await;
    cluster.crash(member).await;
    cluster.copy(member, COPY).await;
    let mut order = [member, COPY];
    order.shuffle(&mut rng);
    cluster.start(order[0]).await;
    if rng.random() {
        cluster.pass(Duration::from_millis(rng.random_range(0..5_000))).await;
        cluster.start(order[1]).await;
    } else {
        // Both at once: who connects with whom is chance.
        cluster.start(order[1]).await;
        cluster.draw_lines(member, &mut rng);
    }
    let mut both = Both { voted: 0, ended: Vec::new() };
    for _ in 0..rng.random_range(30..300) {
        cluster.pass(LOOK).await;
        change(&cluster, member, &mut rng);
        for one in order {
            both.ended.extend(cluster.ended(one).await);
        }
        let voting = order.map(|one| voting(&cluster, one));
        both.voted += usize::from(voting.iter().all(|voting| *voting == Some(Voting::Open)));
    }
    order.shuffle(&mut rng);
    let [ends, stays] = order;
    cluster.crash(ends).await;
    let all: Vec<usize> = MEMBERS.into_iter().filter(|one| *one != member).chain([stays]).collect();
    // Who is convicted is expelled, and comes nowhere any more.
    if both.ended.is_empty() && cluster.tap().convicted(&cluster.genesis().digest()).is_empty() {
        assert!(all_vote(&cluster, &all).await, "whoever stays votes");
        let goal = cluster.ledger().height() + 6;
        assert!(cluster.reach(&all, goal, REACH_WAIT).await, "all come to height {goal}");
        // Without its votes there is no quorum now.
        cluster.crash(all[0]).await;
        let goal = cluster.ledger().height() + 6;
        assert!(cluster.reach(&all[1..], goal, REACH_WAIT).await, "{stays} votes: the rest comes to height {goal}");
    }
    (cluster, both)
}

/// What the engine panics with where the copy is not one that a disk could hold: in one run of thirty the simulated disk lists a file of its cache
/// of blocks without another one that belongs to it. That is no fault of whom it happens to, and such a run shows nothing.
const NO_COPY: &str = "failed to initialize";

/// One run. Whether the folder could be copied.
fn never_vote_against_each_other(seed: u64) -> bool {
    let run = std::panic::AssertUnwindSafe(|| {
        runner(seed).start(async move |context: deterministic::Context| {
            let go_over = |cluster: &Cluster, member, rng: &mut StdRng| {
                if seed.is_multiple_of(2) && rng.random_range(0..30) == 0 {
                    cluster.draw_lines(member, rng);
                }
            };
            let (cluster, both) = run(&context, seed, go_over).await;
            assert_eq!(cluster.ledger().violations(), []);
            assert_eq!(cluster.tap().convicted(&cluster.genesis().digest()), BTreeSet::new());
            assert_eq!((both.voted, both.ended), (0, vec![]), "never do both vote, and neither ends");
        });
    });
    let Err(why) = std::panic::catch_unwind(run) else { return true };
    let said = why.downcast_ref::<String>();
    if !said.is_some_and(|said| said.starts_with(NO_COPY)) {
        std::panic::resume_unwind(why);
    }
    false
}

#[test]
fn two_processes_with_one_key_never_vote_against_each_other() {
    let seeds = seeds(0..RUNS);
    let all = seeds.end - seeds.start;
    let ran = seeds.filter(|seed| {
        let _replay = replay(*seed);
        never_vote_against_each_other(*seed)
    });
    let ran = ran.count() as u64;
    println!("{ran} of {all} folders could be copied");
    assert!(2 * ran >= all, "{ran} of {all} runs show something");
}
