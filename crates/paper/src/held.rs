//! What a history tree holds, node by node.
//!
//! The tree tells it itself: [`HistoryTree::held`] is a proof of everything that is there, and a proof's encoding
//! (`docs/proof-format.md`) says of every position what stands at it.

use pleach_tree::{HistoryTree, Path, Prefix};

/// As many records in one place share an allocation, where a tree keeps all that is below a position.
const LEAF_GROUP_RECORDS_MAX: u64 = 4;

/// What a history tree holds, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeldNodes {
    /// Positions over two records or more whose children are held.
    pub internals: u64,
    /// Those of them that are nodes in memory: below a kept prefix, few records are one leaf group without nodes.
    pub nodes: u64,
    /// Leaf groups: one to four records below a kept prefix, or one record elsewhere.
    pub groups: u64,
    /// Subtrees of which the label alone is held.
    pub stubs: u64,
    /// Positions without a record.
    pub empties: u64,
    /// The records under the kept prefixes.
    pub owned: Vec<Path>,
    /// Records elsewhere: written lately, or beside such.
    pub foreign: u64,
}

/// The kinds of nodes in a proof, numbered as in its encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Empty,
    Leaf,
    Stub,
    Internal,
}

impl Tag {
    fn read(bytes: &[u8], node: usize) -> Self {
        match bytes[node / 4] >> (6 - 2 * (node % 4)) & 0b11 {
            0b00 => Self::Empty,
            0b01 => Self::Leaf,
            0b10 => Self::Stub,
            _ => Self::Internal,
        }
    }
}

impl HeldNodes {
    /// Counts what `tree` holds at its newest height.
    pub fn of(tree: &HistoryTree) -> Self {
        let bytes = tree.held().encode();
        let positions = positions(&bytes);
        let mut payload = &bytes[positions.len().div_ceil(4)..];
        let mut held = Self::default();
        // The first child of each node that has children; and the records below, where all are held.
        let (mut children, mut below) = (vec![0; positions.len()], vec![0_u64; positions.len()]);
        for (node, (tag, _)) in positions.iter().enumerate() {
            match tag {
                Tag::Empty => held.empties += 1,
                Tag::Stub => {
                    held.stubs += 1;
                    payload = &payload[32..];
                }
                Tag::Leaf => {
                    let (row, rest) = payload.split_first_chunk::<64>().expect("as much payload as tags announce");
                    payload = rest;
                    let path = Path::from_bytes(*row.first_chunk::<32>().expect("a path"));
                    match covered(tree.kept(), &Prefix::new(path, Path::BITS)) {
                        true => held.owned.push(path),
                        false => held.foreign += 1,
                    }
                    below[node] = 1;
                }
                Tag::Internal => {
                    children[node] = 1 + 2 * held.internals as usize;
                    held.internals += 1;
                }
            }
        }
        for node in (0..positions.len()).rev().filter(|node| children[*node] > 0) {
            below[node] = below[children[node]] + below[children[node] + 1];
        }
        // A leaf group is what stands below a node without being one.
        let is_node = |node: usize| {
            let (tag, position) = &positions[node];
            *tag == Tag::Internal && (below[node] > LEAF_GROUP_RECORDS_MAX || !covered(tree.kept(), position))
        };
        let nodes: Vec<usize> = (0..positions.len()).filter(|node| is_node(*node)).collect();
        let is_group = |node: &usize| !is_node(*node) && !matches!(positions[*node].0, Tag::Empty | Tag::Stub);
        let ends = nodes.iter().flat_map(|node| [children[*node], children[*node] + 1]);
        held.groups = std::iter::once(0).chain(ends).filter(is_group).count() as u64;
        held.nodes = nodes.len() as u64;
        held
    }
}

/// What stands where, level by level.
fn positions(bytes: &[u8]) -> Vec<(Tag, Prefix)> {
    let mut positions: Vec<(Tag, Prefix)> = vec![(Tag::read(bytes, 0), Prefix::ALL)];
    let mut node = 0;
    while let Some((tag, position)) = positions.get(node).copied() {
        if tag == Tag::Internal {
            for half in position.halves().into_iter().flatten() {
                positions.push((Tag::read(bytes, positions.len()), half));
            }
        }
        node += 1;
    }
    positions
}

/// Whether one of these prefixes, sorted and disjoint, covers the position.
fn covered(kept: &[Prefix], position: &Prefix) -> bool {
    let before = kept.partition_point(|prefix| prefix.first() <= position.first());
    before > 0 && kept[before - 1].covers(position)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pleach_tree::{DigestTree, ValueDigest};

    use super::*;
    use crate::rng::Rng;

    /// Counts what has to be held by its definition: everything under the kept prefixes, and the proof of what was
    /// written, with the leaves beside it. `alone`: no leaf group above has been counted, of which this would be a part.
    fn count(records: &[Path], position: Prefix, kept: &[Prefix], written: &[Path], alone: bool, held: &mut HeldNodes) {
        let records: Vec<Path> = records.iter().filter(|path| position.contains(path)).copied().collect();
        let inside = kept.iter().any(|prefix| prefix.covers(&position));
        let near = kept.iter().any(|p| p.covers(&position) || position.covers(p));
        match records[..] {
            [] => held.empties += 1,
            [record] => {
                match kept.iter().any(|prefix| prefix.contains(&record)) {
                    true => held.owned.push(record),
                    false => held.foreign += 1,
                }
                held.groups += u64::from(alone);
            }
            _ if !near && !written.iter().any(|path| position.contains(path)) => held.stubs += 1,
            _ => {
                let group = inside && records.len() <= 4;
                held.internals += 1;
                held.nodes += u64::from(!group);
                held.groups += u64::from(group && alone);
                for half in position.halves().into_iter().flatten() {
                    count(&records, half, kept, written, !group, held);
                }
            }
        }
    }

    #[test]
    fn a_tree_is_counted_as_its_definition_says() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed, "held");
            let records: Vec<Path> = (0..rng.below(120)).map(|_| rng.path()).collect();
            let kept: Vec<Prefix> = (0..rng.below(4)).map(|_| Prefix::new(rng.path(), rng.below(6) as usize)).collect();
            let digest = |number: u64| ValueDigest::of(&number.to_le_bytes());
            let mut full: DigestTree = records.iter().map(|path| (*path, digest(0))).collect();
            let mut tree = HistoryTree::from_full(&full, 3, kept.clone());
            let mut window = Vec::new();
            for height in 1..8 {
                let written: BTreeSet<Path> =
                    (0..rng.below(6)).filter_map(|_| records.get(rng.below(120) as usize).copied()).collect();
                let proof = full.prove(written.iter().copied()).verify(full.root()).expect("of this tree");
                let changes: Vec<_> = written.iter().map(|path| (*path, Some(digest(height)))).collect();
                tree.apply(&proof, changes.clone()).expect("proved");
                full.apply(changes);
                assert_eq!(tree.commit(), full.root());
                window.push(written);
                let recent: Vec<Path> = window.iter().rev().take(3).flatten().copied().collect();
                let mut expected = HeldNodes::default();
                count(&records, Prefix::ALL, tree.kept(), &recent, true, &mut expected);
                let mut actual = HeldNodes::of(&tree);
                expected.owned.sort_unstable();
                actual.owned.sort_unstable();
                assert_eq!(actual, expected, "seed {seed}, height {height}");
                let counts = tree.held_counts();
                assert_eq!(counts.owned_records, actual.owned.len());
                assert_eq!(counts.window_records as u64, actual.foreign);
                assert_eq!(counts.stubs as u64, actual.stubs);
            }
        }
    }
}
