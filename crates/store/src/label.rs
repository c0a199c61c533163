//! The root of leaves and subtrees that arrive in the order of their paths, in the memory of one path.
//!
//! This computes the labels of `pleach-tree` once more, from their definition: leaf
//! `BLAKE3(path || BLAKE3(value))` with the top bit set, internal node `BLAKE3(left || right)` with the top bit
//! cleared, an internal node exactly where two keys or more share the prefix. A start thereby needs no memory for
//! the records it checks, and a fault in one of the two programs does not pass for agreement.

use pleach_tree::{Label, OutlineNode, Path, Prefix, ValueDigest};

use crate::prefix_key::{last, whole};

const KIND_BIT: u8 = 0x80;

fn leaf_label(path: &Path, digest: &ValueDigest) -> Label {
    let mut hash = *blake3::hash(&row(path.as_bytes(), digest.as_bytes())).as_bytes();
    hash[0] |= KIND_BIT;
    hash.into()
}

fn internal_label(left: &Label, right: &Label) -> Label {
    let mut hash = *blake3::hash(&row(left.as_bytes(), right.as_bytes())).as_bytes();
    hash[0] &= !KIND_BIT;
    hash.into()
}

fn row(left: &[u8; 32], right: &[u8; 32]) -> [u8; 64] {
    let mut row = [0; 64];
    row[..32].copy_from_slice(left);
    row[32..].copy_from_slice(right);
    row
}

/// A finished part of the tree.
struct TreePart {
    label: Label,
    /// Some path in it.
    path: Path,
    /// Where its topmost node stands, if that is internal. A leaf stands wherever its parent wants it.
    depth: Option<usize>,
}

impl TreePart {
    /// Puts internal nodes with one empty side on top, up to `depth`. A leaf needs none.
    fn lift(mut self, depth: usize) -> Self {
        while let Some(above) = self.depth.filter(|at| *at > depth).map(|at| at - 1) {
            let sides = if self.path.bit(above) { (&Label::EMPTY, &self.label) } else { (&self.label, &Label::EMPTY) };
            self.label = internal_label(sides.0, sides.1);
            self.depth = Some(above);
        }
        self
    }

    /// The internal node at `depth` over two parts.
    fn join(left: Self, right: Self, depth: usize) -> Self {
        let (left, right) = (left.lift(depth + 1), right.lift(depth + 1));
        Self { label: internal_label(&left.label, &right.label), path: left.path, depth: Some(depth) }
    }
}

/// Computes a root. Parts are given in ascending order.
#[derive(Default)]
pub(crate) struct RootFold {
    /// Parts that wait for what is right of them, each with the depth at which it branches off from the next.
    /// Those depths ascend, so there are never more than bits in a path.
    waiting: Vec<(TreePart, usize)>,
    last: Option<(TreePart, Prefix)>,
}

/// A part begins before the one before it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overlap(pub(crate) Prefix);

impl RootFold {
    /// Adds a record.
    pub(crate) fn record(&mut self, path: &Path, digest: &ValueDigest) -> Result<(), Overlap> {
        self.add(whole(*path), TreePart { label: leaf_label(path, digest), path: *path, depth: None })
    }

    /// Adds a node of the outline.
    pub(crate) fn outline(&mut self, at: &Prefix, node: &OutlineNode) -> Result<(), Overlap> {
        match node {
            OutlineNode::Leaf(digest) => self.record(&at.first(), digest),
            OutlineNode::Subtree(label) => {
                self.add(*at, TreePart { label: *label, path: at.first(), depth: Some(at.bits()) })
            }
        }
    }

    fn add(&mut self, at: Prefix, part: TreePart) -> Result<(), Overlap> {
        if let Some((left, before)) = self.last.take() {
            if at.first() <= last(&before) {
                return Err(Overlap(at));
            }
            let branch = left.path.common_bits(&part.path);
            let done = self.close(left, branch + 1);
            self.waiting.push((done, branch));
        }
        self.last = Some((part, at));
        Ok(())
    }

    /// Joins everything that branches off at `depth` or deeper to the part right of it.
    fn close(&mut self, mut right: TreePart, depth: usize) -> TreePart {
        while let Some((left, branch)) = self.waiting.pop_if(|(_, branch)| *branch >= depth) {
            right = TreePart::join(left, right, branch);
        }
        right
    }

    /// The root of everything added.
    pub(crate) fn finish(mut self) -> Label {
        match self.last.take() {
            None => Label::EMPTY,
            Some((last, _)) => self.close(last, 0).lift(0).label,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pleach_tree::Tree;

    use super::*;

    fn records(count: u32) -> Vec<(Path, Bytes, Bytes)> {
        let mut records: Vec<_> = (0..count)
            .map(|i| (Bytes::from(format!("key {i}")), Bytes::from(format!("value {i}"))))
            .map(|(key, value)| (Path::of(&key), key, value))
            .collect();
        records.sort();
        records
    }

    fn root_of(parts: &[(Path, Bytes, Bytes)]) -> Label {
        let mut folder = RootFold::default();
        for (path, _, value) in parts {
            folder.record(path, &ValueDigest::of(value)).unwrap();
        }
        folder.finish()
    }

    #[test]
    fn roots_are_those_of_the_tree() {
        for count in (0..40).chain([100, 1_000, 5_000]) {
            let records = records(count);
            let tree: Tree = records.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(root_of(&records), tree.root(), "{count} records");
        }
    }

    #[test]
    fn a_subtrees_label_stands_for_its_records() {
        let records = records(500);
        let root = root_of(&records);
        for bits in 1..8 {
            let mut folder = RootFold::default();
            let mut rest = &records[..];
            while let Some((path, _, value)) = rest.first() {
                let prefix = Prefix::new(*path, bits);
                let inside = rest.partition_point(|(path, ..)| prefix.contains(path));
                if inside > 1 {
                    // Deep enough that only what is under the prefix is lifted to it.
                    let mut part = RootFold::default();
                    for (path, _, value) in &rest[..inside] {
                        part.record(path, &ValueDigest::of(value)).unwrap();
                    }
                    let (last, _) = part.last.take().unwrap();
                    let label = part.close(last, bits).lift(bits).label;
                    folder.outline(&prefix, &OutlineNode::Subtree(label)).unwrap();
                } else {
                    folder.outline(&whole(*path), &OutlineNode::Leaf(ValueDigest::of(value))).unwrap();
                }
                rest = &rest[inside..];
            }
            assert_eq!(folder.finish(), root, "{bits} bits");
        }
    }

    #[test]
    fn overlapping_parts_have_no_root() {
        let records = records(2);
        let subtree = OutlineNode::Subtree(Label::from_bytes([1; 32]));
        let mut folder = RootFold::default();
        folder.outline(&Prefix::ALL, &subtree).unwrap();
        let inside = whole(records[0].0);
        assert_eq!(folder.record(&records[0].0, &ValueDigest::of(b"")), Err(Overlap(inside)));
        let mut folder = RootFold::default();
        folder.record(&records[0].0, &ValueDigest::of(b"")).unwrap();
        assert_eq!(folder.record(&records[0].0, &ValueDigest::of(b"")), Err(Overlap(inside)));
    }
}
