//! What the window may hold (docs/design.md section 4): what the paths written in the last T heights need, whatever was read,
//! and however large the values are.

use std::collections::{BTreeMap, BTreeSet};

use pleach_paper::{HeldNodes, tree_in_memory, window_in_memory};
use pleach_tree::{DigestTree, HistoryTree, Path, Prefix, ValueDigest};

/// A generator for tests: the whole case follows from its number.
struct Case(u64);

impl Case {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn path(number: u64) -> Path {
    Path::of(&number.to_le_bytes())
}

/// How many nodes stand on the way of a path: one for each of its prefixes that two records or more have.
fn nodes_on(path: &Path, records: &BTreeMap<Path, u64>) -> u64 {
    let shared =
        |other: &Path| (0..Path::BITS).find(|depth| path.bit(*depth) != other.bit(*depth)).unwrap_or(Path::BITS);
    let mut shared: Vec<usize> = records.keys().map(shared).collect();
    shared.sort_unstable();
    // The second longest shared prefix is the longest that two have, and the shorter ones are nodes as well.
    shared.iter().rev().nth(1).map_or(0, |shared| 1 + (*shared).min(Path::BITS - 1) as u64)
}

#[test]
fn the_window_holds_no_more_than_the_written_paths_need() {
    let bytes = |held: HeldNodes| tree_in_memory(&held);
    let node = bytes(HeldNodes { nodes: 1, ..HeldNodes::default() });
    let leaf = bytes(HeldNodes { groups: 1, foreign: 1, ..HeldNodes::default() });
    for number in 0..60 {
        let mut case = Case(number);
        let universe = 20 + case.below(300);
        let (heights, writes) = (1 + case.below(6), case.below(12));
        let quarter = Prefix::new(path(number), 2);
        let mut records: BTreeMap<Path, u64> = (0..universe / 2).map(|number| (path(number), 0)).collect();
        let mut full: DigestTree = records.keys().map(|path| (*path, ValueDigest::of(b"0"))).collect();
        let mut trees = [None, Some(quarter)].map(|kept| HistoryTree::from_full(&full, heights, kept));
        let mut window: Vec<BTreeSet<Path>> = Vec::new();
        let mut counts = vec![0];
        for height in 1..20 {
            // Inserts, updates and removals of some, reads of others.
            let changes: BTreeMap<Path, Option<u64>> =
                (0..writes).map(|_| (path(case.below(universe)), (case.below(3) > 0).then_some(height))).collect();
            let read: Vec<Path> = (0..10).map(|_| path(case.below(universe))).collect();
            let proof = full.prove(changes.keys().chain(&read).copied()).verify(full.root()).expect("of this tree");
            let digests: Vec<_> =
                changes.iter().map(|(path, value)| (*path, value.map(|v| ValueDigest::of(&v.to_le_bytes())))).collect();
            let written = changes.iter().filter(|(path, value)| records.get(*path) != value.as_ref());
            let written: BTreeSet<Path> = written.map(|(path, _)| *path).collect();
            counts.push(written.len() as u64);
            window.push(written);
            full.apply(digests.clone());
            for (path, value) in changes {
                match value {
                    Some(value) => records.insert(path, value),
                    None => records.remove(&path),
                };
            }
            let recent: BTreeSet<&Path> = window.iter().rev().take(heights as usize).flatten().collect();
            let most: u64 = recent.iter().map(|path| nodes_on(path, &records)).sum();
            for tree in &mut trees {
                tree.check(height - 1, &proof, &read).expect("nothing has changed since");
                tree.apply(&proof, digests.clone()).expect("proved");
                assert_eq!(tree.commit(), full.root());
                let counts = tree.held_counts();
                let replay = format!("case {number}, height {height}: {counts:?}, at most {most} nodes");
                assert!(counts.window_nodes as u64 <= most, "{replay}");
                // A binary tree has one end more than nodes; above a kept prefix there are nodes that are not window.
                let above = 2 * tree.kept().len() as u64;
                let ends = counts.window_records as u64 + counts.stubs as u64;
                assert!(ends <= most + 1 + above, "{replay}");
            }
            let held = tree_in_memory(&HeldNodes::of(&trees[0]));
            assert!(held <= most * (node + leaf) + leaf, "case {number}, height {height}: {held} bytes");
            assert!(window_in_memory(&counts, heights) >= 32 * recent.len() as u64);
        }
    }
}
