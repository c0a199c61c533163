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
    /// Views of others that members gave up.
    others: Vec<(Reason, u64)>,
}

/// A run in which one member takes `slow` for each block.
fn run(seed: u64, slow: Duration) -> Run {
    run_with(seed, [FAST, slow], Duration::ZERO)
}

/// A run in which each member but one takes the first of these for a block, and that one the second, and more before it builds one.
fn run_with(seed: u64, [fast, slow]: [Duration; 2], late: Duration) -> Run {
    runner(seed).start(|context| async move {
        let mut cluster = Cluster::new(context.child("cluster"), 4, link(5, 3, 0), timeouts(Duration::ZERO)).await;
        cluster.takes = vec![fast; 4];
        cluster.takes[SLOW] = slow;
        cluster.late[SLOW] = late;
        cluster.start_all().await;
        cluster.reach(START).await;
        let before = context.current();
        // Something is to be ordered all the time.
        for n in 0.. {
            if cluster.chains[0].height() >= START + BLOCKS {
                break;
            }
            cluster.chains[n % 4].submit(request(n));
            context.sleep(Duration::from_millis(20)).await;
        }
        assert_agreement(&cluster.chains);
        let chain = cluster.chains[0].finalized();
        let chain: Vec<_> = chain.iter().skip(START).map(|of| of.block.header.context).collect();
        let (slow, views) = (secret(SLOW).public(), given_up(&context.encode()));
        Run {
            lost: chain.windows(2).map(|pair| pair[1].view - pair[0].view - 1).sum(),
            led: chain.iter().filter(|of| of.leader == slow).count(),
            took: context.current().duration_since(before).unwrap(),
            others: views.iter().filter(|((of, _), _)| *of != slow).map(|((_, why), count)| (*why, *count)).collect(),
            why: views.into_keys().filter(|(of, _)| *of == slow).map(|(_, why)| why).collect(),
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

/// A leader that is as late as the others just still wait for loses most of its turns, and the others little time; no other leader loses any.
#[test]
fn a_leader_that_is_late_on_purpose_is_waited_for_less_and_still_leads_now_and_then() {
    let (quick, late) = (Duration::from_millis(2), Duration::from_millis(600));
    for_seeds(0..4, |seed| {
        let alike = run_with(seed, [quick; 2], Duration::ZERO);
        assert_eq!((alike.lost, alike.why.len()), (0, 0));
        let run = run_with(seed, [quick; 2], late);
        let turns = u32::try_from(run.led).unwrap() + u32::try_from(run.lost).unwrap();
        let waited = run.took.saturating_sub(alike.took);
        assert!(waited < late * turns * 2 / 3, "{turns} turns of the late one took {waited:?}");
        assert!(run.led > 0 && run.led < BLOCKS / 8, "the late one leads to {} blocks", run.led);
        assert_eq!(run.why, [Reason::LeaderTimeout]);
        assert_eq!(run.others, alike.others, "views of others were given up");
    });
}
