//! History trees against a naive one that holds everything, and against the thesis's own rules of age and pruning.
//!
//! Four properties, at every step of random histories: every tree, whatever it keeps, answers as the full map does
//! (exact); has its root (agreement); never lacks a node (complete); and holds what its prefixes and the last T heights
//! make it hold, neither more nor less (no leak). Threats H1 to H6 and H11.

mod oracle;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use oracle::{
    Bytes32, Node, Records,
    aged::{Aged, Kept},
    bit, hash,
};
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::{
    DigestTree, HistoryTree, Incompatible, Label, Outline, OutlineNode, Path, Prefix, Proof, ProofLimits, RestoreError,
    ValueDigest, VerifiedProof, WrittenHeight,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

type Effects = BTreeMap<Bytes32, Option<Bytes32>>;

fn path(bytes: &Bytes32) -> Path {
    Path::from_bytes(*bytes)
}

fn digest(number: u8) -> Bytes32 {
    hash(&[number])
}

fn digests(records: &Records) -> DigestTree {
    records.iter().map(|(p, digest)| (path(p), ValueDigest::from_bytes(*digest))).collect()
}

/// The naive proof, through its encoding.
fn proof(node: &Node) -> VerifiedProof {
    let root = Label::from_bytes(oracle::label(node));
    let limits = ProofLimits { max_nodes: 1 << 24, max_bytes: 1 << 24, max_leaves: 1 << 20 };
    Proof::decode(&oracle::encode(node), &limits).expect("decodes").verify(root).expect("verifies")
}

fn proof_of(records: &Records, paths: &[Bytes32]) -> VerifiedProof {
    proof(&oracle::cut(&oracle::build(records), paths))
}

/// What a tree holds by the closed form: kept prefixes, and the proof of what was written lately.
fn held(node: &Node, at: &mut Vec<bool>, kept: &[Kept], written: &[Bytes32]) -> Node {
    let Node::Internal(children) = node else { return node.clone() };
    let below: Vec<_> =
        written.iter().filter(|p| at.iter().enumerate().all(|(d, b)| bit(p, d) == *b)).copied().collect();
    let meets = |(prefix, bits): &Kept| at.iter().take(*bits).enumerate().all(|(d, b)| bit(prefix, d) == *b);
    if below.is_empty() && !kept.iter().any(meets) {
        return Node::Stub(oracle::label(node));
    }
    let mut child = |side: usize| {
        at.push(side == 1);
        let shown = held(&children[side], at, kept, &below);
        at.pop();
        shown
    };
    oracle::internal(child(0), child(1))
}

/// One tree, and what the thesis's rules make of it.
struct View {
    kept: Vec<Kept>,
    tree: HistoryTree,
    aged: Aged,
    /// The tree after the last height, and its outline, kept up with nothing but changes.
    before: (HistoryTree, Outline),
}

impl View {
    /// What changes of the outline lead to is the outline, and it is that of the proof of what must be held.
    fn follow_outline(&mut self, shown: &Node, context: &str) {
        let (before, outline) = &mut self.before;
        if before.kept() == self.tree.kept() {
            for (at, node) in self.tree.outline_changes(before) {
                let known = match node {
                    Some(node) => outline.insert(at, node) != Some(node),
                    None => outline.remove(&at).is_some(),
                };
                assert!(known, "{context}: a change at {at:?} that changes nothing");
            }
        } else {
            *outline = self.tree.outline();
        }
        assert_eq!(*outline, self.tree.outline(), "{context}: changes of the outline");
        assert_eq!(
            Ok(&*outline),
            proof(shown).outline(View::prefixes(&self.kept)).as_ref(),
            "{context}: outline of a proof"
        );
        *before = self.tree.clone();
    }

    fn prefixes(kept: &[Kept]) -> Vec<Prefix> {
        kept.iter().map(|(prefix, bits)| Prefix::new(path(prefix), *bits)).collect()
    }
}

struct World {
    rng: StdRng,
    heights: u64,
    universe: Vec<Bytes32>,
    records: Records,
    /// The records of every height.
    history: Vec<Records>,
    /// The paths written by the last T heights.
    window: VecDeque<Vec<Bytes32>>,
    views: Vec<View>,
    removals: f64,
    accepted: usize,
    refused: usize,
}

impl World {
    fn new(seed: u64, heights: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut universe: Vec<Bytes32> = (0..rng.random_range(4..50)).map(|_| rng.random()).collect();
        // Some paths that part late, in some worlds as late as can be (which costs the naive side most of its time).
        let depths: &[usize] = if seed.is_multiple_of(5) { &[60, 254, 255] } else { &[3, 9, 17] };
        for _ in 0..rng.random_range(0..12) {
            let mut near = *universe.choose(&mut rng).expect("not empty");
            let depth = *depths.choose(&mut rng).expect("not empty");
            near[depth / 8] ^= 128 >> (depth % 8);
            universe.push(near);
        }
        let records: Records = universe.iter().filter(|_| rng.random_bool(0.5)).map(|p| (*p, digest(0))).collect();
        let removals = *[0.1, 0.4, 0.8].choose(&mut rng).expect("not empty");
        let mut world = Self {
            heights,
            history: vec![records.clone()],
            records,
            window: VecDeque::new(),
            views: Vec::new(),
            universe,
            removals,
            accepted: 0,
            refused: 0,
            rng,
        };
        for number in 0..world.rng.random_range(1..=8) {
            let kept = if number == 0 { Vec::new() } else { world.random_kept() };
            let view = world.fresh_view(kept);
            world.views.push(view);
        }
        world
    }

    fn random_kept(&mut self) -> Vec<Kept> {
        let some = *[0, 1, 1, 2, 3].choose(&mut self.rng).expect("not empty");
        (0..some)
            .map(|_| {
                let near = *self.universe.choose(&mut self.rng).expect("not empty");
                let any = self.rng.random();
                (
                    if self.rng.random_bool(0.5) { near } else { any },
                    *[0, 1, 2, 3, 5, 10, 255, 256].choose(&mut self.rng).expect("not empty"),
                )
            })
            .collect()
    }

    fn fresh_view(&self, kept: Vec<Kept>) -> View {
        let tree = HistoryTree::from_full(&digests(&self.records), self.heights, View::prefixes(&kept));
        let mut aged = Aged::build(&self.records, i64::MIN / 2);
        for path in &self.universe {
            aged = aged.prune(path, 0, self.heights as i64, &kept, 0);
        }
        let before = (tree.clone(), tree.outline());
        View { kept, tree, aged, before }
    }

    fn height(&self) -> u64 {
        self.history.len() as u64 - 1
    }

    /// An operation: where it was proved, what it touches, what it would change.
    fn operation(&mut self) -> (u64, Vec<Bytes32>, Effects) {
        let age = self.rng.random_range(0..=self.heights + 1).min(self.height());
        let some = *[1, 1, 2, 3, 6].choose(&mut self.rng).expect("not empty");
        let touched: Vec<_> = self.universe.choose_multiple(&mut self.rng, some).copied().collect();
        let mut effects = Effects::new();
        for path in &touched {
            if self.rng.random_bool(0.7) {
                let value = (!self.rng.random_bool(self.removals)).then(|| digest(self.rng.random_range(0..4)));
                effects.insert(*path, value);
            }
        }
        (self.height() - age, touched, effects)
    }

    fn block(&mut self, operations: usize, context: &str) {
        let before = self.records.clone();
        for number in 0..operations {
            let context = format!("{context}, operation {number}");
            let (base, touched, effects) = self.operation();
            let proof = proof_of(&self.history[base as usize], &touched);
            let recent = self.height() - base < self.heights;
            let changed = touched.iter().find(|p| self.history[base as usize].get(*p) != self.records.get(*p));
            let expected = match changed {
                _ if !recent => Err(Incompatible::TooOld { base, height: self.height(), heights: self.heights }),
                None => Ok(()),
                Some(p) => Err(Incompatible::Changed {
                    path: path(p),
                    then: self.history[base as usize].get(p).map(|digest| ValueDigest::from_bytes(*digest)),
                    now: self.records.get(p).map(|digest| ValueDigest::from_bytes(*digest)),
                }),
            };
            let paths: Vec<_> = touched.iter().map(path).collect();
            for (number, view) in self.views.iter_mut().enumerate() {
                // No answer depends on what has been fetched, be it of this operation, of others or of nothing, and
                // before or after others changed something.
                if self.rng.random_bool(0.3) {
                    let some = self.rng.random_range(0..=self.universe.len());
                    view.tree.fetch(self.universe.choose_multiple(&mut self.rng, some).map(path));
                }
                assert_eq!(view.tree.check(base, &proof, &paths), expected, "{context}, view {number}: exact");
            }
            if expected.is_err() {
                self.refused += 1;
                continue;
            }
            self.accepted += 1;
            for (p, value) in &effects {
                match value {
                    Some(value) => self.records.insert(*p, *value),
                    None => self.records.remove(p),
                };
            }
            let changes = effects.iter().map(|(p, value)| (path(p), value.map(ValueDigest::from_bytes)));
            for (number, view) in self.views.iter_mut().enumerate() {
                let root = view.tree.root();
                view.tree.apply(&proof, changes.clone()).unwrap_or_else(|e| panic!("{context}, view {number}: {e}"));
                assert_eq!(view.tree.root(), root, "{context}, view {number}: grafting changed the root");
            }
        }
        self.commit(&before, context);
    }

    fn commit(&mut self, before: &Records, context: &str) {
        let written: Vec<_> = self
            .universe
            .iter()
            .filter(|p| before.get(*p) != self.records.get(*p))
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        self.history.push(self.records.clone());
        self.window.push_back(written.clone());
        let expired = (self.window.len() as u64 > self.heights).then(|| self.window.pop_front().expect("not empty"));
        let full = oracle::build(&self.records);
        let narrow = oracle::cut(&oracle::build(before), &written);
        let lately: Vec<_> = self.window.iter().flatten().copied().collect();
        let now = self.height() as i64;
        for (number, view) in self.views.iter_mut().enumerate() {
            let context = format!("{context}, view {number} of {:?}", view.kept);
            let root = view.tree.commit();
            assert_eq!(root.as_bytes(), &oracle::label(&full), "{context}: agreement");
            assert_eq!((view.tree.root(), view.tree.height()), (root, now as u64), "{context}");
            let paths: Vec<_> = written.iter().map(path).collect();
            assert_eq!(view.tree.written(now as u64), Some(&paths[..]), "{context}");
            for p in &written {
                view.aged = view.aged.clone().graft(Some(&narrow), p, 0);
            }
            for p in &written {
                view.aged = match self.records.get(p) {
                    Some(digest) => view.aged.clone().insert(p, digest, now, 0),
                    None => view.aged.clone().remove(p, now, 0),
                };
            }
            for p in expired.iter().flatten() {
                view.aged = view.aged.clone().prune(p, now, self.heights as i64, &view.kept, 0);
            }
            let shown = view.tree.held().encode();
            let closed = held(&full, &mut Vec::new(), &view.kept, &lately);
            assert_eq!(shown, oracle::encode(&closed), "{context}: closed form");
            view.follow_outline(&closed, &context);
            assert_eq!(shown, oracle::encode(&view.aged.shown()), "{context}: the thesis's ages");
            let owned = self.records.keys().filter(|p| View::prefixes(&view.kept).iter().any(|k| k.contains(&path(p))));
            assert_eq!(view.tree.held_counts().owned_records, owned.count(), "{context}");
        }
    }

    /// What a restarted node would be told.
    fn window(&self) -> Vec<WrittenHeight> {
        let oldest = self.height() + 1 - self.window.len() as u64;
        let genesis = (oldest == 1).then(|| (0, Vec::new()));
        let heights = genesis.into_iter().chain((oldest..).zip(self.window.iter().cloned()));
        heights
            .map(|(height, written)| WrittenHeight {
                root: oracle::root(&self.history[height as usize]).into(),
                written: written.iter().rev().map(path).collect(),
            })
            .collect()
    }
}

/// `cargo test -p pleach-tree --test history random_histories`, with this range set to one seed, replays it.
const SEEDS: std::ops::Range<u64> = 0..18;

#[test]
fn random_histories_are_exact_agree_are_complete_and_leak_nothing() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in seeds(SEEDS) {
        let _replay = replay(seed);
        let heights = [1, 2, 3, 4, 8, 64][seed as usize % 6];
        let mut world = World::new(seed, heights);
        for block in 0..if heights == 64 { 40 } else { 30 } {
            let operations = *[0, 1, 2, 5].choose(&mut world.rng).expect("not empty");
            world.block(operations, &format!("seed {seed}, T {heights}, block {block}"));
        }
        for idle in 0..=heights {
            world.block(0, &format!("seed {seed}, T {heights}, idle {idle}"));
        }
        let full = oracle::build(&world.records);
        for view in &world.views {
            let kept_only = oracle::encode(&held(&full, &mut Vec::new(), &view.kept, &[]));
            assert_eq!(view.tree.held().encode(), kept_only, "seed {seed}: no leak");
        }
        accepted += world.accepted;
        refused += world.refused;
    }
    assert!(!usual() || (accepted > 400 && refused > 400), "{accepted} accepted, {refused} refused");
}

#[test]
fn what_a_tree_holds_it_proves_and_the_rest_it_says_it_lacks() {
    for seed in seeds(0..20) {
        let _replay = replay(seed);
        let mut world = World::new(seed, 3);
        for block in 0..12 {
            world.block(2, &format!("seed {seed}, block {block}"));
            let (full, lately) =
                (oracle::build(&world.records), world.window.iter().flatten().copied().collect::<Vec<_>>());
            for view in &world.views {
                let shown = held(&full, &mut Vec::new(), &view.kept, &lately);
                for p in &world.universe {
                    let covers = |(prefix, bits): &Kept| (0..*bits).all(|depth| bit(prefix, depth) == bit(p, depth));
                    let keeps = view.kept.iter().any(covers);
                    assert_eq!(view.tree.keeps(&path(p)), keeps, "seed {seed}, block {block}");
                    let expected = oracle::lookup(&shown, p);
                    let got = view.tree.get(&path(p)).ok().map(|digest| digest.map(Bytes32::from));
                    assert_eq!(got, expected, "seed {seed}, block {block}");
                    let proof = view.tree.prove([path(p)]);
                    assert_eq!(proof.is_ok(), expected.is_some(), "seed {seed}, block {block}");
                    if let Ok(proof) = proof {
                        assert_eq!(
                            proof.encode(),
                            oracle::encode(&oracle::cut(&full, &[*p])),
                            "seed {seed}, block {block}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn other_prefixes_are_kept_as_if_they_always_had_been() {
    for seed in seeds(0..24) {
        let _replay = replay(seed);
        let mut world = World::new(seed, [1, 3, 8][seed as usize % 3]);
        for block in 0..20 {
            let context = format!("seed {seed}, block {block}");
            world.block(2, &context);
            let kept = world.random_kept();
            // As good as of the newest height: what is not held has not changed since.
            let back = world.rng.random_range(0..world.heights.min(world.history.len() as u64)) as usize;
            let then = oracle::build(&world.history[world.history.len() - 1 - back]);
            let content = proof(&held(&then, &mut Vec::new(), &kept, &[]));
            let number = world.rng.random_range(0..world.views.len());
            let view = &mut world.views[number];
            let (before, outline) = (view.tree.held(), view.tree.outline());
            let earlier = view.tree.clone();
            let lacks = view.tree.clone().set_kept(View::prefixes(&kept), None).is_err();
            view.tree.set_kept(View::prefixes(&kept), Some(&content)).unwrap_or_else(|e| panic!("{context}: {e}"));
            let mut changed = outline;
            for (at, node) in view.tree.outline_changes(&earlier) {
                match node {
                    Some(node) => drop(changed.insert(at, node)),
                    None => drop(changed.remove(&at).expect("it was there")),
                }
            }
            assert_eq!(changed, view.tree.outline(), "{context}");
            // The thesis's rules say nothing of it: build what they would have led to.
            let mut aged = Aged::build(&world.history[0], i64::MIN / 2);
            for (now, pair) in (1..).zip(world.history.windows(2)) {
                for p in world.universe.iter().collect::<BTreeSet<_>>() {
                    match (pair[0].get(p), pair[1].get(p)) {
                        (old, new) if old == new => {}
                        (_, Some(digest)) => aged = aged.insert(p, digest, now, 0),
                        (_, None) => aged = aged.remove(p, now, 0),
                    }
                }
            }
            for p in &world.universe {
                aged = aged.prune(p, world.history.len() as i64 - 1, world.heights as i64, &kept, 0);
            }
            assert_eq!(view.tree.held().encode(), oracle::encode(&aged.shown()), "{context}");
            let grew = before != view.tree.held() && lacks;
            assert!(grew || !lacks, "{context}: only what is missing can be lacking");
            (view.kept, view.aged) = (kept, aged);
        }
    }
}

/// Whoever hands out records that are to be kept cannot put in others.
#[test]
fn content_of_another_tree_is_refused_and_changes_nothing() {
    let full: DigestTree = (0..40u8).map(|i| (Path::of(&[i]), ValueDigest::of(&[i]))).collect();
    let [left, right] = Prefix::ALL.halves().expect("there are bits left");
    let mut other = full.clone();
    other.apply([(
        full.iter().find(|(path, _)| right.contains(path)).expect("some").0,
        Some(ValueDigest::of(b"false")),
    )]);
    let mut tree = HistoryTree::from_full(&full, 10, [left]);
    let before = (tree.held(), tree.kept().to_vec(), tree.kept_records());
    for (content, what) in [(Some(&other), "a false record"), (None, "nothing")] {
        let content = content.map(|content| content.partition([right]).verify(content.root()).expect("a proof"));
        assert!(tree.set_kept([left, right], content.as_ref()).is_err(), "{what}");
        assert_eq!((tree.held(), tree.kept().to_vec(), tree.kept_records()), before, "{what}");
    }
    let content = full.partition([right]).verify(full.root()).expect("a proof");
    assert_eq!(tree.set_kept([left, right], Some(&content)), Ok(()));
    assert_eq!(tree.kept_records(), full.len());
}

/// Threat H7: the ages come from the written paths of the last T heights, and nowhere else.
#[test]
fn a_restored_tree_is_the_one_that_never_stopped() {
    for seed in seeds(0..24) {
        let _replay = replay(seed);
        let heights = [1, 2, 5, 64][seed as usize % 4];
        let mut world = World::new(seed, heights);
        for block in 0..12 {
            world.block(2, &format!("seed {seed}, block {block}"));
        }
        let full = oracle::build(&world.records);
        let (window, height) = (world.window(), world.height());
        for number in 0..world.views.len() {
            let view = &world.views[number];
            let lately: Vec<_> = world.window.iter().flatten().copied().collect();
            let content = proof(&held(&full, &mut Vec::new(), &view.kept, &lately));
            let kept = View::prefixes(&view.kept);
            let tree = HistoryTree::restore(heights, kept, height, window.clone(), &content);
            let tree = tree.unwrap_or_else(|e| panic!("seed {seed}, view {number}: {e}"));
            assert_eq!(tree.held(), view.tree.held(), "seed {seed}, view {number}");
            let kept = View::prefixes(&view.kept);
            let keeps = |p: &Bytes32| kept.iter().any(|prefix| prefix.contains(&path(p)));
            let leaf = |(p, digest): (&Bytes32, &Bytes32)| {
                (Prefix::new(path(p), Path::BITS), OutlineNode::Leaf(ValueDigest::from_bytes(*digest)))
            };
            let records = world.records.iter().filter(|(p, _)| keeps(p)).map(leaf);
            let parts: BTreeMap<_, _> = records.chain(view.tree.outline()).collect();
            let of_parts = |parts| HistoryTree::from_parts(heights, kept.clone(), height, window.clone(), parts);
            let again = of_parts(parts.clone()).unwrap_or_else(|e| panic!("seed {seed}, view {number}: {e}"));
            assert_eq!((again.held(), again.window()), (view.tree.held(), view.tree.window()), "seed {seed}");
            // Whatever part is missing is missed, by the root or before it.
            for gone in parts.keys() {
                let others: BTreeMap<_, _> =
                    parts.iter().filter(|(at, _)| *at != gone).map(|(a, n)| (*a, *n)).collect();
                assert!(of_parts(others).is_err(), "seed {seed}, view {number}: without {gone:?}");
            }
            let fewer = window[1..].to_vec();
            let kept = View::prefixes(&view.kept);
            if window.len() as u64 <= heights {
                assert!(HistoryTree::restore(heights, kept, height, fewer, &content).is_err(), "seed {seed}");
            }
            world.views[number].tree = tree;
        }
        for block in 0..3 * heights.min(8) {
            world.block(2, &format!("seed {seed}, restored, block {block}"));
        }
    }
}

/// Forks of one height, each with its own next one, do not see one another.
#[test]
fn forks_go_their_own_ways() {
    for seed in seeds(0..15) {
        let _replay = replay(seed);
        let mut world = World::new(seed, 4);
        for block in 0..10 {
            let before: Vec<_> = world.views.iter().map(|view| (view.tree.clone(), view.tree.held())).collect();
            world.block(3, &format!("seed {seed}, block {block}"));
            for (number, (fork, held)) in before.into_iter().enumerate() {
                assert_eq!((fork.height(), fork.held()), (block, held), "seed {seed}, block {block}, view {number}");
                let mut fork = fork;
                let proof = proof_of(&world.history[block as usize], &world.universe);
                let gone = world.universe.iter().map(|p| (path(p), None));
                fork.apply(&proof, gone).expect("the proof shows all paths");
                assert_eq!(fork.commit(), Label::EMPTY, "seed {seed}, block {block}, view {number}");
            }
        }
    }
}

fn single(number: u8) -> Bytes32 {
    hash(&[number, 1])
}

/// A map of twenty records and a tree that keeps none of them, and one that keeps all.
fn pair(heights: u64) -> (Records, [HistoryTree; 2]) {
    let records: Records = (0..20).map(|number| (single(number), digest(number))).collect();
    let tree = |kept: &[Prefix]| HistoryTree::from_full(&digests(&records), heights, kept.iter().copied());
    let trees = [tree(&[]), tree(&[Prefix::ALL])];
    (records, trees)
}

/// Has each of ten operations check a record of its own and `read`, and change what it `writes`: all pass.
fn all_pass(read: Bytes32, writes: impl Fn(u8) -> Option<Bytes32>) {
    let (records, trees) = pair(10);
    for mut tree in trees {
        for number in 0..10 {
            let own = single(number);
            let proof = proof_of(&records, &[own, read]);
            assert_eq!(tree.check(0, &proof, &[path(&own), path(&read)]), Ok(()), "operation {number}");
            let change = |written| (path(&written), Some(ValueDigest::from_bytes(digest(99))));
            tree.apply(&proof, writes(number).map(change)).expect("proved");
            if number % 3 == 2 {
                tree.commit();
            }
        }
    }
}

/// Thesis 6.1: operations on records that do not intersect all pass.
#[test]
fn operations_on_separate_records_all_pass() {
    all_pass(single(15), |number| Some(single(number)));
}

/// Thesis 6.1: operations on the same records, there or not, that do not modify them all pass.
#[test]
fn operations_that_read_the_same_records_all_pass() {
    for read in [single(0), single(15), single(200)] {
        all_pass(read, |_| None);
    }
}

/// Thesis 6.1: what was modified since its proof is refused, in the same height and in later ones.
#[test]
fn operations_on_modified_records_are_refused() {
    let (records, trees) = pair(10);
    for mut tree in trees {
        for (number, value) in [(0, Some(digest(99))), (1, None)] {
            let own = single(number);
            let proof = proof_of(&records, &[own]);
            let value = value.map(ValueDigest::from_bytes);
            tree.apply(&proof, [(path(&own), value)]).expect("proved");
            let then = Some(ValueDigest::from_bytes(digest(number)));
            let refused = Err(Incompatible::Changed { path: path(&own), then, now: value });
            assert_eq!(tree.check(0, &proof, &[path(&own)]), refused, "same height");
            tree.commit();
            assert_eq!(tree.check(0, &proof, &[path(&own)]), refused, "next height");
        }
    }
}

/// Thesis 6.1, threat H6: modified and restored is unmodified.
#[test]
fn a_restored_record_counts_as_unmodified() {
    for commits in [[false, false], [true, false], [false, true], [true, true]] {
        let (mut records, trees) = pair(10);
        let own = single(3);
        let first = proof_of(&records, &[own]);
        let old = records[&own];
        for mut tree in trees.clone() {
            tree.apply(&first, [(path(&own), Some(ValueDigest::from_bytes(digest(99))))]).expect("proved");
            commits[0].then(|| tree.commit());
            assert!(tree.check(0, &first, &[path(&own)]).is_err());
            tree.apply(&first, [(path(&own), Some(ValueDigest::from_bytes(old)))]).expect("held");
            commits[1].then(|| tree.commit());
            assert_eq!(tree.check(0, &first, &[path(&own)]), Ok(()), "{commits:?}");
        }
        // Absent, there, and absent again.
        records.remove(&own);
        let without = digests(&records);
        let proof = proof_of(&records, &[own]);
        let mut tree = HistoryTree::from_full(&without, 10, []);
        tree.apply(&proof, [(path(&own), Some(ValueDigest::from_bytes(old)))]).expect("proved");
        commits[0].then(|| tree.commit());
        assert!(tree.check(0, &proof, &[path(&own)]).is_err());
        tree.apply(&proof, [(path(&own), None)]).expect("held");
        commits[1].then(|| tree.commit());
        assert_eq!(tree.check(0, &proof, &[path(&own)]), Ok(()), "{commits:?}");
    }
}

/// Thesis 6.1, threats H2 to H4: held until the height before T, gone at T, and one's own never.
#[test]
fn what_was_written_is_forgotten_after_exactly_t_heights() {
    for heights in [1, 2, 5] {
        let (records, [mut none, mut all]) = pair(heights);
        let own = single(3);
        let proof = proof_of(&records, &[own]);
        assert!(none.get(&path(&own)).is_err());
        for tree in [&mut none, &mut all] {
            tree.apply(&proof, [(path(&own), Some(ValueDigest::from_bytes(digest(99))))]).expect("proved");
            tree.commit();
        }
        for age in 0..heights {
            assert!(none.prove([path(&own)]).is_ok(), "T {heights}, age {age}");
            none.commit();
            all.commit();
        }
        assert!(none.get(&path(&own)).is_err(), "T {heights}");
        assert_eq!(none.held_counts().window_nodes, 0);
        assert!(all.prove([path(&own)]).is_ok());
        assert_eq!(all.held_counts().owned_records, 20);
    }
}

/// Thesis 6.1, threat H4: T heights and more later, whatever else was written, everything of one's own is there.
#[test]
fn records_of_the_own_partition_are_never_forgotten() {
    for heights in [1, 2, 5] {
        let (mut records, _) = pair(heights);
        let own = Prefix::new(path(&single(3)), 1);
        let mut tree = HistoryTree::from_full(&digests(&records), heights, [own]);
        for height in 0..4 * heights as u8 {
            let written = single(height % 20);
            tree.apply(&proof_of(&records, &[written]), [(path(&written), None)]).expect("proved");
            records.remove(&written);
            tree.commit();
            for p in (0..20).map(single).filter(|p| own.contains(&path(p))) {
                let now = records.get(&p).map(|digest| ValueDigest::from_bytes(*digest));
                assert_eq!(tree.get(&path(&p)), Ok(now), "T {heights}, height {height}");
                assert!(tree.prove([path(&p)]).is_ok(), "T {heights}, height {height}");
            }
        }
        let rest = records.keys().filter(|p| own.contains(&path(p))).count();
        assert_eq!(tree.held_counts().owned_records, rest, "T {heights}");
    }
}

/// Threat H5: local absent, same or different; claimed absent, same or different; held and stubbed.
#[test]
fn presence_and_absence_are_told_apart() {
    let states = [None, Some(digest(1)), Some(digest(2))];
    for (then, now) in states.iter().flat_map(|then| states.iter().map(move |now| (*then, *now))) {
        let others = (10..20).map(|number| (single(number), digest(number)));
        let own = single(3);
        let before: Records = others.chain(then.map(|digest| (own, digest))).collect();
        let proof = proof_of(&before, &[own]);
        for kept in [vec![], vec![Prefix::ALL]] {
            let mut tree = HistoryTree::from_full(&digests(&before), 4, kept);
            if now != then {
                tree.apply(&proof, [(path(&own), now.map(ValueDigest::from_bytes))]).expect("proved");
            }
            for _ in 0..2 {
                assert_eq!(tree.check(0, &proof, &[path(&own)]).is_ok(), then == now, "{then:?}, {now:?}");
                tree.commit();
            }
        }
    }
    let (records, trees) = pair(4);
    let proof = proof_of(&records, &[single(3)]);
    let absent_from_proof = (0..20).map(single).find(|p| proof.get(&[]).is_ok() || proof_lacks(&proof, p));
    let lacking = absent_from_proof.expect("twenty records don't fit one path");
    for tree in trees {
        let undecided = Err(Incompatible::Undecided { path: path(&lacking) });
        assert_eq!(tree.check(0, &proof, &[path(&lacking)]), undecided);
    }
}

fn proof_lacks(proof: &VerifiedProof, p: &Bytes32) -> bool {
    let tree =
        HistoryTree::restore(1, [], 0, vec![WrittenHeight { root: proof.root(), written: Arc::default() }], proof);
    tree.expect("nothing is needed").check(0, proof, &[path(p)]).is_err()
}

/// Threat H11: what changes nothing takes no room in the window, and leaves nothing behind.
#[test]
fn reads_and_writes_of_the_same_leave_no_trace() {
    let (records, trees) = pair(3);
    for mut tree in trees {
        let (held, root) = (tree.held(), tree.root());
        let proof = proof_of(&records, &[single(1), single(2), single(30)]);
        let same = [(path(&single(1)), Some(ValueDigest::from_bytes(digest(1)))), (path(&single(30)), None)];
        tree.apply(&proof, same).expect("proved");
        assert_eq!(tree.commit(), root);
        assert_eq!(tree.written(1), Some(&[][..]));
        assert_eq!(tree.held(), held);
    }
}

#[test]
fn proofs_of_other_heights_and_trees_are_refused() {
    let (records, trees) = pair(2);
    for mut tree in trees {
        let proof = proof_of(&records, &[single(1)]);
        let other = proof_of(&Records::from([(single(1), digest(1))]), &[single(1)]);
        let touched = [path(&single(1))];
        assert_eq!(tree.check(1, &proof, &touched), Err(Incompatible::Future { base: 1, height: 0 }));
        let (expected, actual) = (proof.root(), other.root());
        assert_eq!(tree.check(0, &other, &touched), Err(Incompatible::OtherTree { base: 0, expected, actual }));
        tree.commit();
        assert_eq!(tree.check(0, &proof, &touched), Ok(()));
        tree.commit();
        let old = Err(Incompatible::TooOld { base: 0, height: 2, heights: 2 });
        assert_eq!(tree.check(0, &proof, &touched), old);
        assert_eq!(tree.recent_root(0), None);
        assert_eq!(tree.recent_root(1).is_some(), tree.recent_root(2).is_some());
    }
}

/// What cannot be grafted changes nothing.
#[test]
fn a_proof_of_other_records_is_not_grafted() {
    let (records, [mut tree, _]) = pair(5);
    let held = tree.held();
    let mut others = records.clone();
    others.insert(single(1), digest(77));
    let false_proof = proof_of(&others, &[single(1), single(2)]);
    let change = (path(&single(1)), Some(ValueDigest::from_bytes(digest(5))));
    assert!(tree.apply(&false_proof, [change]).is_err());
    assert!(tree.apply_held([change]).is_err());
    assert!(tree.apply(&proof_of(&records, &[]), [change]).is_err());
    assert_eq!(tree.held(), held);
    assert_eq!(tree.commit(), Label::from_bytes(oracle::root(&records)));
}

/// Threat H10: who touches many records of others, and writes one, makes a node remember that one.
#[test]
fn touching_costs_no_memory() {
    let records: Records = (0..200).map(|number| (single(number), digest(number))).collect();
    let mut tree = HistoryTree::from_full(&digests(&records), 4, []);
    let mut lean = tree.clone();
    let all: Vec<_> = records.keys().copied().collect();
    let touched: Vec<_> = all.iter().map(path).collect();
    let change = [(touched[7], Some(ValueDigest::from_bytes(digest(9))))];
    let wide = proof_of(&records, &all);
    assert_eq!(tree.check(0, &wide, &touched), Ok(()));
    tree.apply(&wide, change).expect("proved");
    lean.apply(&proof_of(&records, &all[7..8]), change).expect("proved");
    assert_eq!(tree.commit(), lean.commit());
    assert_eq!((tree.held(), tree.held_counts()), (lean.held(), lean.held_counts()));
}

/// Recursion goes as deep as paths are long and no deeper: grafting, changing, pruning, restoring, other prefixes.
#[test]
fn the_deepest_history_goes_on_on_a_small_stack() {
    let work = || {
        let (one, mut other) = ([0x55; 32], [0x55; 32]);
        other[31] ^= 1;
        let records = Records::from([(one, digest(1)), (other, digest(2)), ([0; 32], digest(3)), ([1; 32], digest(4))]);
        let mut tree = HistoryTree::from_full(&digests(&records), 1, []);
        let proof = proof_of(&records, &[one]);
        tree.apply(&proof, [(path(&one), None)]).expect("proved");
        tree.commit();
        tree.commit();
        let mut without = records.clone();
        without.remove(&one);
        assert_eq!(tree.root().as_bytes(), &oracle::root(&without));
        let whole = self::proof(&oracle::build(&without));
        tree.set_kept([Prefix::new(path(&other), 256)], Some(&whole)).expect("everything is shown");
        assert_eq!(tree.get(&path(&other)), Ok(Some(ValueDigest::from_bytes(digest(2)))));
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(work).expect("a thread starts");
    thread.join().expect("512 KiB of stack are enough");
}

/// Threat: a stored or sent outline that contradicts itself.
#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let full: DigestTree = (0..40u8).map(|i| (Path::of(&[i]), ValueDigest::of(&[i]))).collect();
    let [left, right] = Prefix::ALL.halves().expect("there are bits left");
    let tree = HistoryTree::from_full(&full, 3, [left]);
    let leaf = |(path, digest)| (Prefix::new(path, Path::BITS), OutlineNode::Leaf(digest));
    let records: Vec<_> = full.iter().filter(|(path, _)| left.contains(path)).map(leaf).collect();
    let rest = tree.outline()[&right];
    let parts = |extra: &[(Prefix, OutlineNode)]| [&records[..], &[(right, rest)], extra].concat();
    let of_parts = |parts| HistoryTree::from_parts(3, [left], 0, tree.window(), parts);
    let misplaced = |parts: Vec<_>, at| match of_parts(parts) {
        Err(RestoreError::Misplaced { at: found }) => assert_eq!(found, at),
        other => panic!("{other:?}"),
    };

    assert_eq!(of_parts(parts(&[])).expect("fits").held(), tree.held());
    misplaced(parts(&[(right, rest)]), right);
    let [within, _] = right.halves().expect("there are bits left");
    misplaced(parts(&[(within, rest)]), within);
    misplaced(parts(&[records[0]]), records[0].0);
    let whole = Prefix::new(right.next().unwrap_or(right.first()), Path::BITS);
    misplaced([&records[..], &[(whole, rest)]].concat(), whole);
    misplaced([&records[..], &[(right, OutlineNode::Leaf(ValueDigest::of(b"x")))]].concat(), right);
    misplaced([&records[..], &[(right, OutlineNode::Subtree(Label::EMPTY))]].concat(), right);
    assert!(matches!(of_parts(records.clone()), Err(RestoreError::Root { .. })), "a subtree is missing");
    let coarse =
        HistoryTree::from_parts(3, [left], 0, tree.window(), vec![(Prefix::ALL, OutlineNode::Subtree(full.root()))]);
    assert!(matches!(coarse, Err(RestoreError::NotHeld(_))), "the kept records are missing");
}
