//! Nodes in memory.
//!
//! Nodes are immutable once shared and counted by reference, so a clone of the tree shares all of them and
//! a change copies only the path it walks. A node's label is held by its parent: the two labels a node
//! holds are the very row its own label is the hash of, and neither a proof nor a rehash has to touch the
//! memory of a sibling.

use std::{mem, sync::Arc};

use bytes::Bytes;

use crate::{hash::Row, label::Label, label::ValueDigest, path::Path};

/// What stands at a position.
#[derive(Clone, Default)]
pub(crate) enum Node {
    /// No key has this prefix.
    #[default]
    Empty,
    /// Exactly one key has this prefix.
    Leaf(Arc<Leaf>),
    /// Two keys or more have this prefix.
    Internal(Arc<Internal>),
}

/// A record.
pub(crate) struct Leaf {
    /// `path || value digest`, the preimage of the leaf's label.
    pub(crate) row: Row,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

impl Leaf {
    pub(crate) fn new(path: Path, key: Bytes, value: Bytes) -> Self {
        let mut row = [0; 64];
        row[..32].copy_from_slice(path.as_bytes());
        row[32..].copy_from_slice(ValueDigest::of(&value).as_bytes());
        Self { row, key, value }
    }

    pub(crate) fn path(&self) -> Path {
        Path::from_bytes(half(&self.row, 0))
    }

    pub(crate) fn digest(&self) -> ValueDigest {
        ValueDigest::from_bytes(half(&self.row, 1))
    }
}

/// A node over two keys or more.
#[derive(Clone)]
pub(crate) struct Internal {
    /// The labels of the two children, the preimage of the node's own label.
    pub(crate) row: Row,
    children: [Node; 2],
}

impl Internal {
    /// A node that holds one terminal child on the side of its path, on the way to be given more.
    pub(crate) fn over(terminal: Slot, depth: usize) -> Self {
        let mut node = Self { row: [0; 64], children: [Node::Empty, Node::Empty] };
        if let Some(path) = terminal.path() {
            node.put(usize::from(path.bit(depth)), terminal);
        }
        node
    }

    pub(crate) fn child(&self, side: usize) -> &Node {
        &self.children[side]
    }

    pub(crate) fn label(&self, side: usize) -> Label {
        Label::from_bytes(half(&self.row, side))
    }

    pub(crate) fn put(&mut self, side: usize, slot: Slot) {
        self.row[32 * side..][..32].copy_from_slice(slot.label.as_bytes());
        self.children[side] = slot.node;
    }

    /// Takes a child out, leaving an empty node under the old label until `put` restores both.
    pub(crate) fn take(&mut self, side: usize) -> Slot {
        Slot { label: self.label(side), node: mem::take(&mut self.children[side]) }
    }

    /// What stands in this node's place if fewer than two records are left under it.
    pub(crate) fn contract(&mut self) -> Option<Slot> {
        match &self.children {
            [Node::Empty, Node::Empty] => Some(Slot::default()),
            [Node::Leaf(_), Node::Empty] => Some(self.take(0)),
            [Node::Empty, Node::Leaf(_)] => Some(self.take(1)),
            _ => None,
        }
    }
}

/// A node with its label.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) label: Label,
    pub(crate) node: Node,
}

impl Default for Slot {
    fn default() -> Self {
        Self { label: Label::EMPTY, node: Node::Empty }
    }
}

impl Slot {
    /// The path of the leaf held here, if it is one.
    pub(crate) fn path(&self) -> Option<Path> {
        match &self.node {
            Node::Leaf(leaf) => Some(leaf.path()),
            Node::Empty | Node::Internal(_) => None,
        }
    }
}

/// One 32-byte half of a row.
pub(crate) fn half(row: &Row, side: usize) -> [u8; 32] {
    row.as_chunks().0[side]
}
