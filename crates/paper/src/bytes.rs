//! How many bytes that is: formulas over what is held, not what an allocator says, so that the same seed gives the same
//! bytes everywhere.
//!
//! **The thesis's count.** Its *data* is "the total size in bytes of the Merkle prefix tree in each node, including all
//! internal, empty, placeholder, and leaf nodes", its *overhead* "all of the remaining structures of the HistoryTree".
//! The public prototype shows what that is: the length of the tree written out with tags of four bytes and lengths of
//! eight, where labels of internal nodes and ages are left out. So:
//!
//! | | bytes |
//! | --- | --- |
//! | internal node | 4 + one for each of two children |
//! | empty node | 0 (its parent's byte) |
//! | placeholder | 4 + 32 for the label |
//! | leaf | 4 + 8 + key + 8 + value |
//! | leaf that only the window holds (ours) | 4 + 32 for the path + 32 for the value's digest |
//! | a height of the window (ours) | 32 for the root + 32 for each written path |
//! | a kept prefix (ours) | 34 |
//!
//! **In memory.** What our nodes, leaf groups and window lists ask an allocator for, with everything that the thesis's count
//! leaves out, and key and value of each own record as they are. `examples/window.rs` compares this to what a counting
//! allocator sees.

use crate::held::HeldNodes;

/// Bytes at one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes {
    /// The tree and its values.
    pub data: u64,
    /// The window's lists, and the prefixes.
    pub overhead: u64,
}

/// A label, a digest, a path or a root.
const HASH: u64 = 32;
/// The first bits of a path, and how many.
const PREFIX: u64 = HASH + 2;

/// The thesis's count.
const TAG: u64 = 4;
const CHILD: u64 = 1;
const LENGTH: u64 = 8;

/// In memory: two counts of references before everything that is shared.
const SHARED: u64 = 16;
/// A node: two links of two words, a date, and the labels of both children.
const NODE: u64 = SHARED + 2 * 16 + 8 + 2 * HASH;
/// A record in a leaf group.
const RECORD: u64 = 2 * HASH;
/// A height in the window: its root, and a link to its list.
const HEIGHT: u64 = HASH + 16;
/// Forgotten heights leave memory, without their lists, when all heights of their piece of so many are forgotten.
const PIECE_HEIGHTS: u64 = 64;

/// What is counted of a node.
pub struct Counted<'a> {
    /// What its tree holds.
    pub held: &'a HeldNodes,
    /// Bytes of the keys of its own records.
    pub keys: u64,
    /// Bytes of the values of its own records.
    pub values: u64,
    /// How many prefixes it keeps.
    pub prefixes: u64,
    /// T.
    pub heights: u64,
    /// The number of paths that each height wrote, from height 0 to the newest.
    pub written: &'a [u64],
}

impl Counted<'_> {
    /// As the thesis counts.
    pub fn as_the_thesis(&self) -> Bytes {
        let own = self.held.owned.len() as u64 * (TAG + 2 * LENGTH) + self.keys + self.values;
        let internals = self.held.internals * (TAG + 2 * CHILD);
        let stubs = self.held.stubs * (TAG + HASH);
        let foreign = self.held.foreign * (TAG + 2 * HASH);
        let recent = self.written.iter().rev().take(usize::try_from(self.heights).unwrap_or(usize::MAX));
        let window: u64 = recent.map(|paths| HASH + paths * HASH).sum();
        Bytes { data: own + internals + stubs + foreign, overhead: window + self.prefixes * PREFIX }
    }

    /// As it is in memory.
    pub fn in_memory(&self) -> Bytes {
        Bytes {
            data: tree_in_memory(self.held) + self.keys + self.values,
            overhead: window_in_memory(self.written, self.heights) + SHARED + self.prefixes * PREFIX,
        }
    }
}

/// The bytes of a tree's nodes and leaf groups. The labels of stubs are in the nodes above them.
pub fn tree_in_memory(held: &HeldNodes) -> u64 {
    held.nodes * NODE + held.groups * SHARED + (held.owned.len() as u64 + held.foreign) * RECORD
}

/// The bytes of a window's roots and lists of written paths.
pub fn window_in_memory(written: &[u64], heights: u64) -> u64 {
    let newest = written.len().saturating_sub(1) as u64;
    let mut first = 0;
    while newest - first >= heights + PIECE_HEIGHTS - 1 {
        first += PIECE_HEIGHTS;
    }
    let lists = written.iter().rev().take(usize::try_from(heights).unwrap_or(usize::MAX));
    (newest + 1 - first) * HEIGHT + lists.map(|paths| SHARED + paths * HASH).sum::<u64>()
}
