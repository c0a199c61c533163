//! The history tree: what an operation costs a node that keeps a quarter of the records.
//!
//! A block is 1,000 operations; each touches 3 random records and writes 2 of them, with a proof of the height before.
//! The window is full when measuring begins: T = 1,000 heights have each written 2,000 records, so with a million records
//! most of the tree was written in it. Proving is the clients' work and does not count. Operations that conflict with
//! an earlier one of their block are checked and refused, as a node would.

use std::hint::black_box;
use std::time::Duration;

use pleach_tree::{DigestTree, HistoryTree, Label, Path, Prefix, Proof, ProofLimits, ValueDigest, VerifiedProof};

use crate::clock::timed;
use crate::heap;
use crate::measure::{BATCH, Plan, Sink, median, nanoseconds};
use crate::records::{Change, Workload};

/// T.
const HEIGHTS: u64 = 1_000;
/// Blocks that are measured.
const BLOCKS: usize = 20;
const TOUCHED: usize = 3;
const WRITTEN: usize = 2;

/// A node's tree, and the whole one, which proves.
struct History {
    node: HistoryTree,
    full: DigestTree,
    workload: Workload,
}

/// The times of one block.
#[derive(Default)]
struct Times {
    /// Decoding the proofs and hashing them together.
    proofs: Duration,
    /// Checking and changing.
    operations: Duration,
    commit: Duration,
}

/// An operation as it arrives.
struct Operation {
    proof: Vec<u8>,
    touched: Vec<Path>,
    changes: Vec<(Path, Option<ValueDigest>)>,
}

/// Measures the rows of the group `history`.
///
/// # Errors
/// If the two trees disagree or a good proof is refused: then the figures would be worth nothing.
pub fn measure(plan: &Plan<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let mut history = History::new(plan.workload.clone());
    for _ in 0..HEIGHTS {
        history.fill()?;
    }
    let blocks = (0..BLOCKS).map(|_| history.block()).collect::<Result<Vec<_>, _>>()?;
    let mut report = |row, part: &dyn Fn(&Times) -> Duration| {
        sink(row, median(blocks.iter().map(|times| nanoseconds(part(times)) / BATCH as f64).collect()));
    };
    report("history", &|times| times.operations + times.commit);
    report("history_verified", &|times| times.proofs + times.operations + times.commit);
    report("history_operations", &|times| times.operations);
    report("history_commit", &|times| times.commit);
    // Nothing else shares its nodes: what is gone with it is what it held.
    let counts = history.node.held_counts();
    let before = heap::usage();
    drop(history.node);
    let held = before.since(heap::usage()).bytes as f64;
    sink("history_memory", held / (counts.owned_records + counts.window_records) as f64);
    Ok(())
}

impl History {
    fn new(workload: Workload) -> Self {
        let full: DigestTree =
            workload.records().iter().map(|(key, value)| (Path::of(key), ValueDigest::of(value))).collect();
        let quarter = Prefix::new(Path::from_bytes([0; 32]), 2);
        Self { node: HistoryTree::from_full(&full, HEIGHTS, [quarter]), full, workload }
    }

    /// A height like the others, brought about by one large operation.
    fn fill(&mut self) -> Result<(), String> {
        let changes: Vec<_> = self.workload.updates(WRITTEN * BATCH).iter().map(digests).collect();
        let root = self.full.root();
        let proof = self.full.prove(changes.iter().map(|(path, _)| *path)).verify(root).map_err(|e| e.to_string())?;
        self.node.apply(&proof, changes.iter().copied()).map_err(|e| e.to_string())?;
        self.full.apply(changes);
        let root = self.node.commit();
        self.agree(root)
    }

    fn block(&mut self) -> Result<Times, String> {
        let base = self.node.height();
        let operations: Vec<_> = (0..BATCH).map(|_| self.operation()).collect();
        let mut times = Times::default();
        let (proofs, time) = timed(|| verify(&operations, self.full.root()));
        times.proofs = time;
        let proofs = proofs.ok_or("a good proof is refused")?;
        let (accepted, time) = timed(|| self.execute(base, &operations, &proofs));
        times.operations = time;
        let changes: Vec<_> = accepted.iter().flat_map(|at| operations[*at].changes.iter().copied()).collect();
        let (root, time) = timed(|| self.node.commit());
        times.commit = time;
        self.full.apply(changes);
        self.agree(root)?;
        Ok(times)
    }

    fn operation(&mut self) -> Operation {
        let touched: Vec<_> = self.workload.sample(TOUCHED).iter().map(|(key, _)| Path::of(key)).collect();
        let new = self.workload.strangers(WRITTEN);
        let changes =
            touched.iter().zip(&new).map(|(path, (_, value))| (*path, Some(ValueDigest::of(value)))).collect();
        Operation { proof: self.full.prove(touched.iter().copied()).encode(), touched, changes }
    }

    /// The operations that are compatible, whose changes have been applied.
    fn execute(&mut self, base: u64, operations: &[Operation], proofs: &[VerifiedProof]) -> Vec<usize> {
        self.node.fetch(operations.iter().flat_map(|operation| operation.touched.iter().copied()));
        let mut accepted = Vec::with_capacity(operations.len());
        for (at, (operation, proof)) in operations.iter().zip(proofs).enumerate() {
            let is_good = black_box(&self.node).check(base, proof, &operation.touched).is_ok()
                && self.node.apply(proof, operation.changes.iter().copied()).is_ok();
            if is_good {
                accepted.push(at);
            }
        }
        accepted
    }

    fn agree(&self, root: Label) -> Result<(), String> {
        if root == self.full.root() {
            Ok(())
        } else {
            Err("the history tree has another root than the whole one".into())
        }
    }
}

fn digests((key, value): &Change) -> (Path, Option<ValueDigest>) {
    (Path::of(key), value.as_ref().map(|value| ValueDigest::of(value)))
}

/// The proofs of a block, hashed together.
fn verify(operations: &[Operation], root: Label) -> Option<Vec<VerifiedProof>> {
    let limits = ProofLimits::default();
    let proofs: Option<Vec<_>> = operations.iter().map(|o| Proof::decode(&o.proof, &limits).ok()).collect();
    Proof::hash_many(proofs?).into_iter().map(|proof| proof.against(root).ok()).collect()
}
