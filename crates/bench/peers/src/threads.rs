//! What a second thread gains.
//!
//! The tree works on large batches in rayon's pool. Everything else here is measured with a pool of one thread; these rows
//! do the same work in one of two, by the clock on the wall, since the processor's time can only grow.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::clock::{Clock, timed_by};
use crate::measure::{Plan, Sink, median};
use crate::records::Change;
use crate::subject::Subject;
use crate::subjects::pleach::Pleach;

/// Keys of a large batch.
const LARGE: usize = 100_000;
/// Times that both are measured in turn.
const TURNS: usize = 5;

/// Has the tree work on one thread, wherever nothing else is said.
///
/// # Errors
/// If the pool has been started already.
pub fn use_one() -> Result<(), String> {
    ThreadPoolBuilder::new().num_threads(1).build_global().map_err(|e| e.to_string())
}

/// Measures the rows of the group `threads`.
///
/// # Errors
/// If threads cannot be started.
pub fn measure(plan: &Plan<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let pools = [pool(1)?, pool(2)?];
    let insertions = plan.workload.insertions();
    let (mut builds, mut batches) = (Vec::new(), Vec::new());
    let mut workload = plan.workload.clone();
    for _ in 0..TURNS {
        let mut trees = [Pleach::new()?, Pleach::new()?];
        builds.push(gain(&pools, &mut trees, &insertions));
        let updates = workload.updates(LARGE);
        batches.push(gain(&pools, &mut trees, &updates));
        if trees[0].root() != trees[1].root() {
            return Err("two threads make another tree than one".into());
        }
    }
    sink("threads_build", median(builds));
    sink("threads_batch", median(batches));
    Ok(())
}

fn pool(threads: usize) -> Result<ThreadPool, String> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| e.to_string())
}

/// How many times faster the second pool is with the same changes to equal trees.
fn gain(pools: &[ThreadPool; 2], trees: &mut [Pleach; 2], changes: &[Change]) -> f64 {
    let mut time = |at: usize| {
        let tree = &mut trees[at];
        timed_by(Clock::Wall, || pools[at].install(|| tree.apply(changes))).1.as_secs_f64()
    };
    time(0) / time(1)
}
