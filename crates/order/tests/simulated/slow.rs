//! Members that take long to execute a block, on the deterministic runtime: which of them lead, and what the others wait for.
//!
//! A failing seed is printed with the line that replays it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::cluster::{Cluster, Context, for_seeds, link, request, runner};
use crate::common::{assert_agreement, secret, timeouts};
use commonware_runtime::{Clock as _, Metrics as _, Runner as _, Supervisor as _};
use pleach_order::Reason;
use pleach_order::engine::given_up;
use pleach_types::PublicKey;

/// What the others take to build, check or execute a block.
const FAST: Duration = Duration::from_millis(100);
/// What one waits that is late on purpose: nearly as long as the others do.
const LATE: Duration = Duration::from_millis(600);
/// Blocks of a run.
const BLOCKS: usize = 80;
/// Blocks of the start, when members meet.
const START: usize = 4;

/// What a run with fast members and slow ones came to.
struct Run {
    /// Views without a block.
    lost: u64,
    /// Blocks that slow members led to.
    led: usize,
    /// How long it took.
    took: Duration,
    /// Why members gave up views of slow ones.
    why: BTreeSet<Reason>,
    /// Views of others that members gave up.
    others: Vec<(Reason, u64)>,
}

/// A run in which one member takes `slow` for each block.
fn run(seed: u64, slow: Duration) -> Run {
    Setup { fast: FAST, slow, ..Setup::quick() }.run(seed)
}

/// How a cluster of a run is made.
#[derive(Clone, Copy)]
struct Setup {
    members: usize,
    /// Those that are slower than the others.
    slower: &'static [usize],
    /// What each member takes for a block, and what the slow ones do.
    fast: Duration,
    slow: Duration,
    /// How long the slow ones wait before they build one.
    late: Duration,
    /// Whether they have been convicted.
    convicted: bool,
    /// The [places](Cluster::place) of the members, if they are not all near to each other.
    places: &'static [u64],
}

impl Setup {
    /// All are quick.
    const fn quick() -> Self {
        let quick = Duration::from_millis(2);
        Self { members: 4, slower: &[3], fast: quick, slow: quick, late: Duration::ZERO, convicted: false, places: &[] }
    }

    fn run(self, seed: u64) -> Run {
        runner(seed).start(|context| run_of(self, context))
    }
}

async fn run_of(setup: Setup, context: Context) -> Run {
    let Setup { members, slower, fast, slow, late, convicted, places } = setup;
    let slower: Vec<_> = slower.iter().map(|at| (*at, secret(*at).public())).collect();
    let mut cluster = Cluster::new(context.child("cluster"), members, link(5, 3, 0), timeouts(Duration::ZERO)).await;
    cluster.place(places).await;
    cluster.takes = vec![fast; members];
    slower.iter().for_each(|(at, _)| (cluster.takes[*at], cluster.late[*at]) = (slow, late));
    cluster.start_all().await;
    let convicts = slower.iter().filter(|_| convicted);
    for chain in &cluster.chains {
        convicts.clone().for_each(|(_, key)| chain.convict(*key));
    }
    cluster.reach(START).await;
    let before = context.current();
    let met = given_up(&context.encode());
    // Something is to be ordered all the time.
    for n in 0.. {
        if cluster.chains[0].height() >= START + BLOCKS {
            break;
        }
        cluster.chains[n % members].submit(request(n));
        context.sleep(Duration::from_millis(20)).await;
    }
    assert_agreement(&cluster.chains);
    let chain = cluster.chains[0].finalized();
    let chain: Vec<_> = chain.iter().skip(START).map(|of| of.block.header.context).collect();
    let is_slow = |key: &PublicKey| slower.iter().any(|(_, slow)| slow == key);
    let mut views = given_up(&context.encode());
    views.iter_mut().for_each(|(of, count)| *count -= met.get(of).unwrap_or(&0));
    views.retain(|_, count| *count > 0);
    Run {
        lost: chain.windows(2).map(|pair| pair[1].view - pair[0].view - 1).sum(),
        led: chain.iter().filter(|of| is_slow(&of.leader)).count(),
        took: context.current().duration_since(before).unwrap(),
        others: views.iter().filter(|((of, _), _)| !is_slow(of)).map(|((_, why), count)| (*why, *count)).collect(),
        why: views.into_keys().filter(|(of, _)| is_slow(of)).map(|(_, why)| why).collect(),
    }
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
            assert_eq!(run.why, [Reason::Declined].into(), "where a member takes {slow} ms");
            let waited = run.took.saturating_sub(alike.took);
            let lost = u32::try_from(run.lost).unwrap();
            assert!(waited < timeout * lost / 4, "{lost} views were lost, and {waited:?} with them");
        }
    });
}

/// Leaders that are as late as the others just still wait for lose most of their turns, and the others little time; no other leader loses any. The late ones
/// lead to fewer than `led` blocks.
fn late_leaders_cost_little(seed: u64, setup: Setup, led: usize) {
    let slower = setup.slower;
    let alike = setup.run(seed);
    assert_eq!((alike.lost, alike.why.len()), (0, 0));
    let run = Setup { late: LATE, ..setup }.run(seed);
    let turns = u32::try_from(run.led).unwrap() + u32::try_from(run.lost).unwrap();
    let waited = run.took.saturating_sub(alike.took);
    assert!(waited < LATE * turns / 2, "{turns} turns of {slower:?} took {waited:?}");
    assert!(run.led > 0 && run.led < led, "{slower:?} lead to {} blocks", run.led);
    assert_eq!(run.why, [Reason::LeaderTimeout].into());
    assert_eq!(run.others, alike.others, "views of others were given up");
}

#[test]
fn a_leader_that_is_late_on_purpose_is_waited_for_less_and_still_leads_now_and_then() {
    for_seeds(0..4, |seed| late_leaders_cost_little(seed, Setup::quick(), BLOCKS / 8));
}

/// As many as a committee bears, one after the other or not: while consensus' time goes faster for one of them, nobody takes the others for absent, late or not.
#[test]
fn two_late_leaders_of_seven_cost_as_little_as_one_of_four() {
    for_seeds(0..4, |seed| {
        for slower in [&[5, 6], &[2, 5]] {
            late_leaders_cost_little(seed, Setup { members: 7, slower, ..Setup::quick() }, BLOCKS / 7);
        }
    });
}

/// The same leader costs nearly nothing once it was convicted, though it has not left.
#[test]
fn a_late_leader_that_was_convicted_is_hardly_waited_for() {
    for_seeds(0..4, |seed| {
        let alike = Setup::quick().run(seed);
        let run = Setup { late: LATE, convicted: true, ..Setup::quick() }.run(seed);
        let turns = u32::try_from(run.lost).unwrap();
        let waited = run.took.saturating_sub(alike.took);
        assert!(turns >= BLOCKS as u32 / 5, "it lost {turns} turns");
        assert!(waited < LATE * turns / 8, "{turns} turns took {waited:?}");
        // Where nothing is to be ordered as its view begins, it has its time.
        assert!(run.led < BLOCKS / 20, "it leads to {} blocks", run.led);
        assert_eq!(run.others, alike.others);
    });
}

/// Members are as far from each other as continents are, or some are. Who is far from one member is near to another, so they differ in whom they wait
/// for; and where they differ, a view takes until its time-out.
#[test]
fn members_that_are_far_from_each_other_give_no_views_up_for_it() {
    for_seeds(0..4, |seed| {
        for places in [&[0, 1, 80, 140], &[0, 1, 2, 50], &[0, 1, 100, 101], &[0, 40, 80, 120], &[0, 1, 2, 3]] {
            let run = Setup { places, ..Setup::quick() }.run(seed);
            assert_eq!((run.lost, run.why.len(), &run.others), (0, 0, &vec![]), "members at {places:?}");
        }
    });
}
