//! Members that take long to execute a block, on the deterministic runtime: which of them lead, and what the others wait for.
//!
//! A failing seed is printed with the line that replays it.

mod common;

use std::time::Duration;

use common::cluster::{Cluster, for_seeds, link, request, runner};
use common::{assert_agreement, secret, timeouts};
use commonware_runtime::{Clock as _, Metrics as _, Runner as _, Supervisor as _};
use pleach_order::Reason;
use pleach_order::engine::given_up;

/// The member that is slower than the others.
const SLOW: usize = 3;
/// What the others take to build, check or execute a block.
const FAST: Duration = Duration::from_millis(100);
/// Blocks of a run.
const BLOCKS: usize = 80;
/// Blocks of the start, when members meet.
const START: usize = 4;

/// What a run with three fast members and a slow one came to.
struct Run {
    /// Views without a block.
    lost: u64,
    /// Blocks that the slow member led to.
    led: usize,
    /// How long it took.
    took: Duration,
    /// Why members gave up views of the slow one.
    why: Vec<Reason>,
}

/// A run in which one member takes `slow` for each block.
fn run(seed: u64, slow: Duration) -> Run {
    runner(seed).start(|context| async move {
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 3, 0), timeouts(Duration::ZERO)).await;
        cluster.takes = vec![FAST; 4];
        cluster.takes[SLOW] = slow;
        cluster.start_all().await;
        cluster.reach(START).await;
        let before = context.current();
        (0..20).for_each(|n| cluster.chains[n % 4].submit(request(n)));
        while cluster.chains[0].height() < START + BLOCKS {
            context.sleep(Duration::from_millis(20)).await;
        }
        assert_agreement(&cluster.chains);
        let chain = cluster.chains[0].finalized();
        let chain: Vec<_> = chain.iter().skip(START).map(|of| of.block.header.context).collect();
        let slow = secret(SLOW).public();
        Run {
            lost: chain.windows(2).map(|pair| pair[1].view - pair[0].view - 1).sum(),
            led: chain.iter().filter(|of| of.leader == slow).count(),
            took: context.current().duration_since(before).unwrap(),
            why: given_up(&context.encode()).into_keys().filter(|(of, _)| *of == slow).map(|(_, why)| why).collect(),
        }
    })
}

#[test]
fn a_leader_that_still_executes_its_final_parent_waits_and_gives_no_view_up() {
    for_seeds(0..3, |seed| {
        for slow in [120, 180, 300] {
            let run = run(seed, Duration::from_millis(slow));
            assert_eq!(run.lost, 0, "views are lost where the fourth member takes {slow} ms");
            assert!(run.led >= BLOCKS / 4 - 1, "the member that takes {slow} ms leads to {} blocks", run.led);
        }
    });
}

#[test]
fn a_leader_that_is_further_behind_declines_before_the_others_have_waited() {
    let timeout = timeouts(Duration::ZERO).leader;
    for_seeds(0..3, |seed| {
        let alike = run(seed, FAST);
        for slow in [400, 600] {
            let run = run(seed, Duration::from_millis(slow));
            assert!(run.lost > 0, "a member that takes {slow} ms is never too late: this shows nothing");
            assert_eq!(run.why, [Reason::Declined], "where a member takes {slow} ms");
            let waited = run.took.saturating_sub(alike.took);
            let lost = u32::try_from(run.lost).unwrap();
            assert!(waited < timeout * lost / 4, "{lost} views were lost, and {waited:?} with them");
        }
    });
}
