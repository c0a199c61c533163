//! Nodes in memory.
//!
//! Nodes are counted by reference, so a clone of the tree shares all of them, and a change copies the nodes on its way
//! that others share and edits the rest in place. A node's label is held by its parent: the two labels a node holds
//! are the very row its own label is the hash of, and neither a proof nor a rehash touches the memory of a sibling.
//!
//! Single records would cost more in nodes than in themselves, so a subtree of few records is one [`LeafGroup`]. The nodes
//! inside a leaf group are not stored; where their labels are needed they are computed again.

use std::{mem, sync::Arc};

use crate::{
    edit::Placed,
    hash::Preimage,
    label::{Label, ValueDigest},
    leaf_group::LeafGroup,
    path::Path,
};

/// What stands at a position. `X` is what a record carries beside path and digest.
#[derive(Clone, Default)]
pub(crate) enum Link<X> {
    /// No key has this prefix.
    #[default]
    Empty,
    /// Two keys or more have this prefix, and what they are is not held here.
    Stub,
    /// The records with this prefix.
    LeafGroup(LeafGroup<X>),
    /// A node over two records or more.
    Internal(Arc<Internal<X>>),
}

impl<X> Link<X> {
    /// Reads something of every cache line that this leads to.
    pub(crate) fn fetch(&self) -> usize {
        match self {
            Self::Empty | Self::Stub => 0,
            Self::Internal(node) => {
                usize::from(node.row[0] ^ node.row[63]) ^ usize::from(matches!(node.links[0], Self::Empty))
            }
            Self::LeafGroup(group) => {
                let first_and_last = |record: &Entry<X>| record.path.as_bytes()[0] ^ record.digest.as_bytes()[31];
                group.records().iter().fold(0, |sum, record| sum ^ usize::from(first_and_last(record)))
            }
        }
    }

    /// How many links lead to the same node or leaf group.
    pub(crate) fn owners(&self) -> usize {
        match self {
            Self::Empty | Self::Stub => 0,
            Self::LeafGroup(group) => group.owners(),
            Self::Internal(node) => Arc::strong_count(node),
        }
    }
}

/// A record.
#[derive(Clone)]
pub(crate) struct Entry<X> {
    pub(crate) path: Path,
    pub(crate) digest: ValueDigest,
    pub(crate) extra: X,
}

impl<X> Entry<X> {
    /// `path || value digest`, the preimage of the leaf's label.
    pub(crate) fn row(&self) -> Preimage {
        row(self.path.as_bytes(), self.digest.as_bytes())
    }
}

/// A node over two records or more.
#[derive(Clone)]
pub(crate) struct Internal<X> {
    pub(crate) links: [Link<X>; 2],
    /// The height of the last change below, where a history is kept.
    pub(crate) touched: u64,
    /// The labels of the two children, the preimage of the node's own label.
    pub(crate) row: Preimage,
}

impl<X> Internal<X> {
    pub(crate) fn label(&self, side: usize) -> Label {
        Label::from_bytes(half(&self.row, side))
    }
}

/// A link with its label.
#[derive(Clone)]
pub(crate) struct Slot<X> {
    pub(crate) label: Label,
    pub(crate) link: Link<X>,
}

impl<X> Default for Slot<X> {
    fn default() -> Self {
        Self { label: Label::EMPTY, link: Link::Empty }
    }
}

impl<X> Slot<X> {
    pub(crate) fn take(&mut self) -> Self {
        mem::take(self)
    }
}

/// The link where `path` ends: empty, a stub or a leaf group, and its depth.
pub(crate) fn terminal<'a, X>(mut link: &'a Link<X>, path: &Path) -> (&'a Link<X>, usize) {
    let mut depth = 0;
    while let Link::Internal(node) = link {
        link = &node.links[usize::from(path.bit(depth))];
        depth += 1;
    }
    (link, depth)
}

/// The links where these paths end, or where `follow` stops, which is given each node on their descents with the number of
/// the path and the depth.
///
/// All are followed together, one step at a time: on one way each step waits for the one before, and on many descents
/// dozens wait at once. How many depends on how little there is to do in a step.
#[inline(always)]
pub(crate) fn ends<'a, X, P: Placed>(
    root: &'a Link<X>,
    paths: &[P],
    depth: usize,
    mut follow: impl FnMut(&Arc<Internal<X>>, usize, usize) -> bool,
) -> Vec<&'a Link<X>> {
    let mut ends = vec![root; paths.len()];
    // Where each way is, the next bits of its path and the number of that.
    let descent = |(number, path): (usize, &P)| (root, path.path().word(depth), number);
    let mut descents: Vec<(&'a Link<X>, u64, usize)> = paths.iter().enumerate().map(descent).collect();
    let mut depth = depth;
    while !descents.is_empty() {
        let mut going = 0;
        for at in 0..descents.len() {
            let (link, bits, number) = descents[at];
            match link {
                Link::Internal(node) if follow(node, number, depth) => {
                    descents[going] = (&node.links[(bits >> 63) as usize], bits << 1, number);
                    going += 1;
                }
                end => ends[number] = end,
            }
        }
        descents.truncate(going);
        depth += 1;
        if depth.is_multiple_of(64) {
            descents.iter_mut().for_each(|(_, bits, number)| *bits = paths[*number].path().word(depth));
        }
    }
    ends
}

/// A row of two halves.
pub(crate) fn row(left: &[u8; 32], right: &[u8; 32]) -> Preimage {
    let mut row = [0; 64];
    row[..32].copy_from_slice(left);
    row[32..].copy_from_slice(right);
    row
}

/// One 32-byte half of a row.
pub(crate) fn half(row: &Preimage, side: usize) -> [u8; 32] {
    row.as_chunks().0[side]
}

pub(crate) fn set_half(row: &mut Preimage, side: usize, bytes: &[u8; 32]) {
    row[32 * side..][..32].copy_from_slice(bytes);
}
