//! Measuring one subject.
//!
//! Every figure of a round is the median of several repetitions on one tree, except building, which happens once a round
//! and size. All subjects get the same changes in the same order: the workload is made anew from the seed for each.

use std::hint::black_box;
use std::time::Duration;

use crate::clock::timed;
use crate::heap;
use crate::lower_bound::Paths;
use crate::records::{Workload, insertions, keys, removals};
use crate::subject::Subject;

/// Keys in a batch.
pub const BATCH: usize = 1_000;
/// Versions kept.
pub const VERSIONS: usize = 16;
/// Repetitions with one key.
const SINGLES: usize = 300;
/// Repetitions with batches.
const BATCHES: usize = 12;
/// Keys in one proof, with the repetitions for each.
const PROOFS: [(usize, usize, [&str; 3]); 3] = [
    (1, 400, ["prove_1", "verify_1", "bytes_1"]),
    (10, 100, ["prove_10", "verify_10", "bytes_10"]),
    (400, 12, ["prove_400", "verify_400", "bytes_400"]),
];

/// Where figures go: the row's id and the figure in the row's unit.
pub type Sink<'a> = dyn FnMut(&'static str, f64) + 'a;

/// What is to be measured.
pub struct Plan<'a> {
    /// The records.
    pub workload: &'a Workload,
    /// Whether a group of rows is wanted.
    pub wants: &'a dyn Fn(&str) -> bool,
    /// Whether this is the first round: what does not vary is measured once.
    pub first: bool,
}

/// Measures one subject once.
///
/// # Errors
/// If the library cannot be started, or does not prove what it should: then its figures would be worth nothing.
pub fn subject<S: Subject>(plan: &Plan<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if plan.first && (plan.wants)("batches") {
        batches::<S>(plan, sink)?;
    }
    // Before the heap is looked at: the copy is not the tree's.
    let mut workload = plan.workload.clone();
    let before = heap::usage();
    let mut tree = build::<S>(plan, sink)?;
    let wants_memory = S::IN_HEAP && (plan.wants)("memory");
    if wants_memory {
        let used = heap::usage().since(before);
        let count = workload.len() as f64;
        sink("memory", used.bytes as f64 / count);
        if S::DIGESTS {
            sink("structure", used.bytes as f64 / count);
        }
        sink("allocations", used.allocations as f64 / count);
    }
    if (plan.wants)("proofs") {
        proofs(&mut tree, &mut workload, sink)?;
    }
    if (plan.wants)("update") {
        let times = (0..BATCHES).map(|_| per_key(&mut tree, &workload.updates(BATCH)));
        sink("update", median(times.collect()));
    }
    if (plan.wants)("update-one") {
        let times = (0..SINGLES).map(|_| per_key(&mut tree, &workload.updates(1)));
        sink("update_one", median(times.collect()));
    }
    if (plan.wants)("insert-one") {
        insert_one(&mut tree, &mut workload, sink);
    }
    if (plan.wants)("remove") {
        remove(&mut tree, &mut workload, sink);
    }
    if (plan.wants)("versions") {
        versions(&mut tree, &mut workload, sink);
    }
    let count = workload.len() as f64;
    let (_, time) = timed(|| drop(tree));
    if wants_memory {
        sink("drop", nanoseconds(time) / count);
    }
    Ok(())
}

fn build<S: Subject>(plan: &Plan<'_>, sink: &mut Sink<'_>) -> Result<S, String> {
    let changes = plan.workload.insertions();
    let mut tree = S::new()?;
    let (_, time) = timed(|| tree.apply(&changes));
    tree.settle();
    if (plan.wants)("build") {
        sink("build", nanoseconds(time) / changes.len() as f64);
    }
    Ok(tree)
}

fn batches<S: Subject>(plan: &Plan<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let changes = plan.workload.insertions();
    let mut tree = S::new()?;
    let mut sum = Duration::ZERO;
    for batch in changes.chunks(BATCH) {
        sum += timed(|| tree.apply(batch)).1;
        tree.settle();
    }
    sink("batches", nanoseconds(sum) / changes.len() as f64);
    Ok(())
}

fn insert_one<S: Subject>(tree: &mut S, workload: &mut Workload, sink: &mut Sink<'_>) {
    let strangers = workload.strangers(SINGLES);
    let times = insertions(&strangers).chunks(1).map(|change| per_key(tree, change)).collect();
    tree.apply(&removals(&strangers));
    tree.settle();
    sink("insert_one", median(times));
}

fn remove<S: Subject>(tree: &mut S, workload: &mut Workload, sink: &mut Sink<'_>) {
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let records = workload.sample(BATCH.min(workload.len() / 2).max(1));
        times.push(per_key(tree, &removals(&records)));
        tree.apply(&insertions(&records));
        tree.settle();
    }
    sink("remove", median(times));
}

fn proofs<S: Subject>(tree: &mut S, workload: &mut Workload, sink: &mut Sink<'_>) -> Result<(), String> {
    let root = tree.root();
    for (count, repetitions, [prove, verify, bytes]) in PROOFS {
        if count > workload.len() {
            continue;
        }
        let (mut prove_times, mut verify_times, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for repetition in 0..repetitions {
            let mut records = workload.sample(count);
            let keys = keys(&records);
            let (proof, time) = timed(|| black_box(tree.prove(black_box(&keys))));
            prove_times.push(nanoseconds(time) / 1e3);
            let (good, time) = timed(|| S::verify(black_box(&root), black_box(&proof), black_box(&records)));
            verify_times.push(nanoseconds(time) / 1e3);
            lengths.push(S::proof_bytes(&proof) as f64);
            if !good {
                return Err(format!("a proof of {count} keys is refused"));
            }
            // A check that takes anything would be the fastest of all.
            records[count / 2].1[0] ^= 2;
            if repetition == 0 && S::verify(&root, &proof, &records) {
                return Err(format!("a proof of {count} keys is taken for one of other values"));
            }
        }
        sink(prove, median(prove_times));
        sink(verify, median(verify_times));
        sink(bytes, mean(&lengths));
    }
    Ok(())
}

/// The lower bound for the proofs that `proofs` makes: the same keys, since the workload is the same.
pub fn lower_bounds(workload: &Workload, sink: &mut Sink<'_>) {
    let mut workload = workload.clone();
    let paths = Paths::new(workload.records());
    for (count, repetitions, [_, _, bytes]) in PROOFS {
        if count > workload.len() {
            continue;
        }
        let lower_bounds: Vec<_> =
            (0..repetitions).map(|_| paths.lower_bound(&keys(&workload.sample(count)))).collect();
        sink(bytes, mean(&lower_bounds));
    }
}

fn versions<S: Subject>(tree: &mut S, workload: &mut Workload, sink: &mut Sink<'_>) {
    let forks = forks(tree, workload, sink);
    let Some(first) = tree.snapshot() else { return };
    let (mut kept, mut times, mut snapshots, mut growth) = (vec![first], Vec::new(), Vec::new(), Vec::new());
    for _ in 0..VERSIONS {
        let changes = workload.updates(BATCH);
        let before = heap::usage();
        times.push(per_key(tree, &changes));
        let (snapshot, time) = timed(|| tree.snapshot());
        snapshots.push(nanoseconds(time) / 1e3);
        kept.extend(snapshot);
        growth.push(heap::usage().since(before).bytes as f64 / changes.len() as f64);
    }
    sink("versions", median(times));
    sink("growth", mean(&growth));
    if !forks {
        return; // Its versions are numbers: taking and dropping one does nothing.
    }
    sink("snapshot", median(snapshots));
    let keys = BATCH.min(workload.len()) as f64;
    let drops = kept.drain(..VERSIONS).map(|version| nanoseconds(timed(|| drop(version)).1) / keys);
    sink("drop_version", median(drops.collect()));
}

/// Whether there are forks at all.
fn forks<S: Subject>(tree: &mut S, workload: &mut Workload, sink: &mut Sink<'_>) -> bool {
    let (mut fork_times, mut drops, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let (fork, time) = timed(|| tree.fork());
        let Some(fork) = fork else { return false };
        fork_times.push(nanoseconds(time) / 1e3);
        drops.push(nanoseconds(timed(|| drop(fork)).1) / 1e3);
        // The fork is thrown away, and so are its values.
        let changes = workload.clone().updates(BATCH);
        let work = || {
            let mut fork = tree.fork()?;
            fork.apply(&changes);
            Some(())
        };
        changed.push(nanoseconds(timed(work).1) / changes.len() as f64);
        workload.sample(1); // Other keys the next time.
    }
    sink("fork", median(fork_times));
    sink("drop_fork", median(drops));
    sink("fork_change", median(changed));
    true
}

/// Nanoseconds a key for a batch.
fn per_key<S: Subject>(tree: &mut S, changes: &[crate::records::Change]) -> f64 {
    let (_, time) = timed(|| tree.apply(black_box(changes)));
    tree.settle();
    nanoseconds(time) / changes.len() as f64
}

/// As a number.
pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The median: of an even number of figures, the mean of the two in the middle. 0 of nothing.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = |at: usize| figures.get(at).copied().unwrap_or_default();
    (middle(figures.len().saturating_sub(1) / 2) + middle(figures.len() / 2)) / 2.0
}

/// The mean. 0 of nothing.
pub fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len().max(1) as f64
}
