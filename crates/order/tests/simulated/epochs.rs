//! One epoch after another: boundaries under loss, power cuts around them, members that are away over several.
//!
//! A failing seed is printed with the line that replays it.

use std::time::{Duration, SystemTime};

use crate::common::cluster::{Cluster, Context, for_seeds, key, link, request, runner};
use crate::common::{Final, assert_agreement, timeouts};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Blocks of an epoch: the fewest that a genesis may ask for.
const BLOCKS: u32 = 16;

/// A height behind so many boundaries.
fn behind(boundaries: usize) -> usize {
    boundaries * BLOCKS as usize + 3
}

async fn cluster(context: &Context, loss_percent: u64) -> Cluster {
    let idle = timeouts(Duration::from_millis(50));
    Cluster::with_epochs(context.child("cluster"), BLOCKS, link(15, 8, loss_percent), idle).await
}

#[test]
fn twenty_boundaries_are_passed_under_load_and_loss() {
    for_seeds(0..5, |seed| {
        runner(seed).start(|context| async move {
            let mut cluster = cluster(&context, seed % 5 * 5).await;
            cluster.start_all().await;
            for turn in 0..20 {
                cluster.chains[turn % 4].submit(request(turn));
                cluster.reach(behind(turn + 1)).await;
            }
            cluster.ordered_everywhere(20).await;
            assert_agreement(&cluster.chains);
            for n in 0..4 {
                let cached = cluster.epochs_cached(n).await;
                assert!(
                    cached.len() <= 3,
                    "member {n} keeps files of the epochs {cached:?}, this one and the last are enough"
                );
            }
        });
    });
}

/// All lose power near a boundary; what was final stays, and the order goes on, over the next boundary too.
#[test]
fn a_cluster_that_loses_power_at_a_boundary_goes_on() {
    for_seeds(0..10, |seed| {
        // From two blocks before the last one of the first epoch to two behind it.
        let cut = BLOCKS as usize - 3 + seed as usize % 5;
        let until = StdRng::seed_from_u64(seed).random_range(0..40);
        let (before, checkpoint) = runner(seed).start_and_recover(|context| async move {
            let mut cluster = cluster(&context, 5).await;
            cluster.start_all().await;
            // The first one there counts: the others are before the boundary, at it, or behind.
            while cluster.chains.iter().all(|chain| chain.height() < cut) {
                context.sleep(Duration::from_millis(1)).await;
            }
            context.sleep(Duration::from_millis(until)).await;
            assert_agreement_so_far(&cluster);
            cluster.chains.iter().map(|chain| chain.finalized()).max_by_key(Vec::len).unwrap()
        });
        deterministic::Runner::from(checkpoint).start(|context| async move {
            let mut cluster = cluster(&context, 5).await;
            cluster.start_all().await;
            cluster.reach(behind(2)).await;
            assert_agreement(&cluster.chains);
            assert_is_beginning(&before, &cluster.chains[0].finalized());
        });
    });
}

fn assert_agreement_so_far(cluster: &Cluster) {
    let longest = cluster.chains.iter().map(|chain| chain.finalized()).max_by_key(Vec::len).unwrap();
    cluster.chains.iter().for_each(|chain| assert_is_beginning(&chain.finalized(), &longest));
}

fn assert_is_beginning(before: &[Final], after: &[Final]) {
    for (old, new) in before.iter().zip(after) {
        assert_eq!(old.block, new.block, "a final block was lost");
    }
}

/// Its own epoch is over, and the next one too, when it comes back: whether it was killed in the middle of an epoch or at its end.
#[test]
fn a_member_that_was_away_over_two_boundaries_follows() {
    for_seeds(0..8, |seed| {
        runner(seed).start(|context| async move {
            let mut cluster = cluster(&context, 5).await;
            cluster.start_all().await;
            cluster.reach(5 + seed as usize * 2).await;
            cluster.crash(3).await;
            let away = cluster.chains[0].height();
            cluster.reach(away + behind(2)).await;
            cluster.start(3).await;
            cluster.reach(away + behind(3)).await;
            // It is needed now.
            cluster.crash(0).await;
            cluster.reach(away + behind(4)).await;
            assert_agreement(&cluster.chains);
        });
    });
}

/// Nobody can make the block behind a boundary alone: halves that are cut from each other there wait, and go on together.
#[test]
fn halves_that_are_cut_at_a_boundary_go_on_together() {
    for_seeds(0..4, |seed| {
        runner(seed).start(|context| async move {
            let mut cluster = cluster(&context, 0).await;
            cluster.start_all().await;
            cluster.reach(BLOCKS as usize - 2 + seed as usize % 3).await;
            let pairs = || (0..2).flat_map(|one| (2..4).flat_map(move |other| [(one, other), (other, one)]));
            for (from, to) in pairs() {
                cluster.oracle.remove_link(key(from), key(to)).await.unwrap();
            }
            context.sleep(Duration::from_secs(20)).await;
            let stood = cluster.chains.iter().map(|chain| chain.height()).max().unwrap();
            for (from, to) in pairs() {
                cluster.oracle.add_link(key(from), key(to), link(15, 8, 0)).await.unwrap();
            }
            cluster.reach(stood + behind(1)).await;
            assert_agreement(&cluster.chains);
        });
    });
}

/// Nothing waits at a boundary longer than for any other block, but for the start of an engine.
#[test]
fn a_boundary_takes_a_few_hops() {
    runner(0).start(|context| async move {
        let latency = 15;
        let idle = timeouts(Duration::ZERO);
        let mut cluster = Cluster::with_epochs(context.child("cluster"), BLOCKS, link(latency, 0, 0), idle).await;
        cluster.start_all().await;
        cluster.reach(1).await;
        let mut at = vec![context.current()];
        while at.len() < behind(4) {
            let height = cluster.chains[0].height();
            while cluster.chains[0].height() == height {
                context.sleep(Duration::from_millis(1)).await;
            }
            at.resize(cluster.chains[0].height(), context.current());
        }
        let pause = |height: usize| at[height - 1].duration_since(at[height - 2]).unwrap_or_default();
        let elapsed = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap();
        let usual = elapsed(at[0], at[BLOCKS as usize - 3]) / (BLOCKS - 3);
        for boundary in 1..=4 {
            // The first of the epoch waits for the last one to be final, the others of an epoch for a notarization alone.
            let took = pause(boundary * BLOCKS as usize);
            println!("boundary {boundary}: {took:?}, a block takes {usual:?}");
            assert!(took < usual + Duration::from_millis(6 * latency), "boundary {boundary} took {took:?}");
        }
    });
}
