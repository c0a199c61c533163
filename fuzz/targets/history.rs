//! Histories of operations, seen by trees that keep different prefixes: every one answers what the full map answers, has
//! its root, lacks nothing, and holds what its prefixes and the last T heights make it hold and no more.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pleach_fuzz::oracle::{self, Bytes32, Node, Records, bit};
use pleach_fuzz::world::{planted, value};
use pleach_tree::{
    DigestTree, HistoryTree, Incompatible, Label, Path, Prefix, Proof, ProofLimits, ValueDigest, VerifiedProof,
    WrittenHeight,
};

#[derive(Arbitrary, Debug)]
struct Input {
    heights: u8,
    records: Vec<u8>,
    views: Vec<Vec<Kept>>,
    steps: Vec<Step>,
}

/// A prefix of a known path.
#[derive(Arbitrary, Clone, Debug)]
struct Kept(u8, u8);

#[derive(Arbitrary, Debug)]
enum Step {
    Operation {
        age: u8,
        /// What it touches: a path, whether the proof has it, whether it is changed and to what.
        touched: Vec<(u8, bool, Option<Option<u8>>)>,
    },
    Commit,
    Keep(u8, Vec<Kept>),
    Restore(u8),
    Snapshot(u8),
}

/// One tree and what it should keep.
struct View {
    kept: Vec<(Bytes32, usize)>,
    tree: HistoryTree,
}

struct World {
    heights: u64,
    records: Records,
    /// The records of every height.
    history: Vec<Records>,
    views: Vec<View>,
    /// Whether operations were accepted since the last commit, even such that change nothing: their paths are grafted.
    is_pending: bool,
    /// Trees set aside, with what they held.
    snapshots: Vec<(HistoryTree, Label, Vec<u8>)>,
}

fuzz_target!(|input: Input| {
    let records: Records = input.records.iter().take(48).map(|n| (planted((*n).into()), digest(*n))).collect();
    let full: DigestTree = records.iter().map(|(p, d)| (path(p), ValueDigest::from_bytes(*d))).collect();
    let heights = u64::from(input.heights % 5) + 1;
    let kept = input.views.iter().take(3).map(|kept| kept.iter().take(3).map(prefix).collect());
    let view = |kept: Vec<_>| View { tree: HistoryTree::from_full(&full, heights, prefixes(&kept)), kept };
    let views = std::iter::once(Vec::new()).chain(kept).map(view).collect();
    let mut world =
        World { heights, history: vec![records.clone()], records, views, is_pending: false, snapshots: Vec::new() };
    world.check_held();
    for step in input.steps.iter().take(40) {
        world.step(step);
    }
    world.commit();
    for (tree, root, held) in &world.snapshots {
        assert_eq!((tree.root(), &tree.held().encode()), (*root, held), "a snapshot has changed");
    }
});

fn digest(number: u8) -> Bytes32 {
    oracle::hash(&value(number))
}

fn path(bytes: &Bytes32) -> Path {
    Path::from_bytes(*bytes)
}

fn prefix(kept: &Kept) -> (Bytes32, usize) {
    const BITS: [usize; 8] = [0, 1, 2, 3, 5, 10, 255, 256];
    (planted(kept.0.into()), BITS[usize::from(kept.1 % 8)])
}

fn prefixes(kept: &[(Bytes32, usize)]) -> Vec<Prefix> {
    kept.iter().map(|(prefix, bits)| Prefix::new(path(prefix), *bits)).collect()
}

/// The naive proof, through its encoding.
fn verified(node: &Node) -> VerifiedProof {
    let limits = ProofLimits { max_nodes: 1 << 24, max_bytes: 1 << 24, max_leaves: 1 << 20 };
    let proof = Proof::decode(&oracle::encode(node), &limits).expect("an honest proof");
    proof.verify(Label::from_bytes(oracle::label(node))).expect("its own root")
}

/// What has to be held: what lies under kept prefixes or on written paths.
fn held(node: &Node, at: &mut Vec<bool>, kept: &[(Bytes32, usize)], written: &[Bytes32]) -> Node {
    let Node::Internal(children) = node else { return node.clone() };
    let agrees = |path: &Bytes32, bits: usize| at.iter().take(bits).enumerate().all(|(d, side)| bit(path, d) == *side);
    let below: Vec<_> = written.iter().filter(|path| agrees(path, 256)).copied().collect();
    if below.is_empty() && !kept.iter().any(|(prefix, bits)| agrees(prefix, *bits)) {
        return Node::Stub(oracle::label(node));
    }
    let [left, right] = [false, true].map(|side| {
        at.push(side);
        let shown = held(&children[usize::from(side)], at, kept, &below);
        at.pop();
        shown
    });
    oracle::internal(left, right)
}

impl World {
    fn height(&self) -> u64 {
        self.history.len() as u64 - 1
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Operation { age, touched } => self.operate(*age, touched),
            Step::Commit => self.commit(),
            Step::Keep(view, kept) => self.keep(*view, kept.iter().take(3).map(prefix).collect()),
            Step::Restore(view) => self.restore(*view),
            Step::Snapshot(view) => {
                let tree = &self.views[usize::from(*view) % self.views.len()].tree;
                self.snapshots.push((tree.clone(), tree.root(), tree.held().encode()));
            }
        }
    }

    fn operate(&mut self, age: u8, touched: &[(u8, bool, Option<Option<u8>>)]) {
        let base = self.height().saturating_sub(u64::from(age) % (self.heights + 2));
        let then = &self.history[base as usize];
        let touched = &touched[..touched.len().min(6)];
        let proved: Vec<_> = touched.iter().filter(|(_, is, _)| *is).map(|(n, ..)| planted((*n).into())).collect();
        let naive = oracle::cut(&oracle::build(then), &proved);
        let proof = verified(&naive);
        let paths: Vec<_> = touched.iter().map(|(number, ..)| planted((*number).into())).collect();
        let expected = self.verdict(base, &naive, &paths);
        let asked: Vec<_> = paths.iter().map(path).collect();
        for view in &self.views {
            assert_eq!(view.tree.check(base, &proof, &asked), expected, "not exact");
        }
        if expected.is_err() {
            return;
        }
        self.is_pending = true;
        let effects: BTreeMap<_, _> = touched.iter().zip(&paths).filter_map(|(t, p)| Some((*p, t.2?))).collect();
        for view in &mut self.views {
            let digests = effects.iter().map(|(p, new)| (path(p), new.map(|new| ValueDigest::from_bytes(digest(new)))));
            view.tree.apply(&proof, digests).expect("not complete");
        }
        for (path, new) in effects {
            match new {
                Some(new) => self.records.insert(path, digest(new)),
                None => self.records.remove(&path),
            };
        }
    }

    /// What the full map says of an operation.
    fn verdict(&self, base: u64, proof: &Node, touched: &[Bytes32]) -> Result<(), Incompatible> {
        let height = self.height();
        if height - base >= self.heights {
            return Err(Incompatible::TooOld { base, height, heights: self.heights });
        }
        for touched in touched {
            let Some(then) = oracle::lookup(proof, touched) else {
                return Err(Incompatible::Undecided { path: path(touched) });
            };
            let [then, now] = [then, self.records.get(touched).copied()].map(|d| d.map(ValueDigest::from_bytes));
            if then != now {
                return Err(Incompatible::Changed { path: path(touched), then, now });
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.is_pending = false;
        self.history.push(self.records.clone());
        let root = Label::from_bytes(oracle::root(&self.records));
        for view in &mut self.views {
            assert_eq!(view.tree.commit(), root, "no agreement");
        }
        self.check_held();
    }

    fn check_held(&self) {
        let newest = self.history.last().expect("height 0 is there");
        let full = oracle::build(newest);
        let first = self.history.len().saturating_sub(self.heights as usize);
        let written: Vec<_> = (first..self.history.len()).flat_map(|height| self.written(height)).collect();
        for view in &self.views {
            let naive = held(&full, &mut Vec::new(), &view.kept, &written);
            assert_eq!(view.tree.held().encode(), oracle::encode(&naive), "holds too much or too little");
            let is_owned = |path: &Bytes32| {
                view.kept.iter().any(|(prefix, bits)| (0..*bits).all(|d| bit(path, d) == bit(prefix, d)))
            };
            let owned = newest.keys().filter(|path| is_owned(path)).count();
            assert_eq!(view.tree.held_counts().owned_records, owned);
        }
    }

    /// The paths whose records a height changed.
    fn written(&self, height: usize) -> Vec<Bytes32> {
        let Some(before) = height.checked_sub(1).map(|before| &self.history[before]) else { return Vec::new() };
        let after = &self.history[height];
        let mut all: Vec<_> = before.keys().chain(after.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|path| before.get(path) != after.get(path));
        all
    }

    fn keep(&mut self, number: u8, kept: Vec<(Bytes32, usize)>) {
        let full = oracle::build(self.history.last().expect("height 0 is there"));
        let content = verified(&held(&full, &mut Vec::new(), &kept, &[]));
        let at = usize::from(number) % self.views.len();
        let view = &mut self.views[at];
        view.tree.set_kept(prefixes(&kept), Some(&content)).expect("the content is complete");
        view.kept = kept;
    }

    /// Only between heights: what is not committed would be lost.
    fn restore(&mut self, number: u8) {
        if self.is_pending {
            self.commit();
        }
        let first = self.history.len().saturating_sub(self.heights as usize);
        let height = |height: usize| WrittenHeight {
            root: Label::from_bytes(oracle::root(&self.history[height])),
            written: self.written(height).iter().map(path).collect(),
        };
        let window: Vec<_> = (first..self.history.len()).map(height).collect();
        let newest = self.height();
        let at = usize::from(number) % self.views.len();
        let view = &mut self.views[at];
        let content = view.tree.held().verify(view.tree.root()).expect("its own root");
        view.tree = HistoryTree::restore(self.heights, prefixes(&view.kept), newest, window, &content)
            .expect("what it held is enough");
        self.check_held();
    }
}
