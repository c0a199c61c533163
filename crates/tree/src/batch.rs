//! A batch of changes on its way into the tree.
//!
//! A batch is sorted by path and split down the tree, so every node on any of its paths is visited once.
//! What comes back up decides the shape first: a node left with fewer than two records contracts, and that
//! needs no hash. Nodes that stay internal and changed are set aside in a list per depth, unlabelled and
//! detached from their parents. Then the lists are hashed from the deepest upward, each level as one group
//! of independent rows, and the nodes are handed back to their parents. Every label is so computed once per
//! batch, many at a time.
//!
//! Recursion is bounded by the length of a path, never by the size of the batch.

use std::sync::Arc;

use crate::{
    label::Label,
    node::{Internal, Leaf, Node, Slot},
    path::Path,
};

/// What a batch does to one path.
pub(crate) struct Change {
    pub(crate) path: Path,
    /// The new record, or `None` to remove the one there.
    pub(crate) leaf: Option<Arc<Leaf>>,
}

/// How many records a batch added and took away.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

/// Applies `changes`, in any order, to the tree under `root`. The last change of a path wins.
pub(crate) fn apply(root: &mut Slot, mut changes: Vec<Change>) -> Tally {
    changes.sort_by_key(|change| change.path);
    changes.dedup_by(|later, kept| {
        let repeated = later.path == kept.path;
        if repeated {
            kept.leaf = later.leaf.take();
        }
        repeated
    });
    let mut batch = Batch::default();
    let mut edits = Edit::label(changes);
    let slot = match batch.change(std::mem::take(root), &mut edits, 0) {
        Outcome::Settled(slot) => slot,
        Outcome::Pending => settle(batch.levels),
    };
    *root = slot;
    batch.tally
}

/// A change whose leaf has its label. Distinct paths, in ascending order.
struct Edit {
    path: Path,
    /// The leaf to stand there, or the empty node.
    slot: Slot,
}

impl Edit {
    fn label(changes: Vec<Change>) -> Vec<Self> {
        let rows = changes.iter().filter_map(|change| change.leaf.as_ref()).map(|leaf| &leaf.row);
        let mut labels = Label::of_leaves(rows).into_iter();
        let mut slot = |leaf| Slot { label: labels.next().expect("one label per leaf"), node: Node::Leaf(leaf) };
        changes
            .into_iter()
            .map(|change| Self { path: change.path, slot: change.leaf.map_or_else(Slot::default, &mut slot) })
            .collect()
    }
}

/// What became of a node.
enum Outcome {
    /// It stands, labelled.
    Settled(Slot),
    /// It is the last node in the list of its depth, waiting for its label.
    Pending,
}

/// An internal node that waits for its label.
struct Pending {
    node: Arc<Internal>,
    /// Whether the child on each side is itself pending, one level below.
    awaits: [bool; 2],
}

#[derive(Default)]
struct Batch {
    /// Pending nodes by depth, each list in path order.
    levels: Vec<Vec<Pending>>,
    tally: Tally,
}

impl Batch {
    fn change(&mut self, slot: Slot, edits: &mut [Edit], depth: usize) -> Outcome {
        match (slot.node, edits) {
            (node, []) => Outcome::Settled(Slot { label: slot.label, node }),
            (Node::Internal(node), edits) => self.descend(slot.label, node, edits, depth),
            (node, edits) => self.change_terminal(Slot { label: slot.label, node }, edits, depth),
        }
    }

    /// Changes a leaf or an empty node. If one path alone is concerned its record is replaced; otherwise
    /// an internal node takes its place, and contracts again if the changes leave it with one record.
    fn change_terminal(&mut self, terminal: Slot, edits: &mut [Edit], depth: usize) -> Outcome {
        match edits {
            [edit] if terminal.path().is_none_or(|path| path == edit.path) => {
                let new = std::mem::take(&mut edit.slot);
                self.tally.added += usize::from(terminal.path().is_none() && new.path().is_some());
                self.tally.removed += usize::from(terminal.path().is_some() && new.path().is_none());
                Outcome::Settled(new)
            }
            edits => self.descend(Label::EMPTY, Arc::new(Internal::over(terminal, depth)), edits, depth),
        }
    }

    fn descend(&mut self, label: Label, mut node: Arc<Internal>, edits: &mut [Edit], depth: usize) -> Outcome {
        let inner = Arc::make_mut(&mut node);
        let before = inner.row;
        let mut awaits = [false; 2];
        for (side, edits) in split(edits, depth).into_iter().enumerate() {
            if edits.is_empty() {
                continue;
            }
            match self.change(inner.take(side), edits, depth + 1) {
                Outcome::Settled(slot) => inner.put(side, slot),
                Outcome::Pending => awaits[side] = true,
            }
        }
        if awaits == [false; 2] {
            if let Some(terminal) = inner.contract() {
                return Outcome::Settled(terminal);
            }
            if inner.row == before {
                return Outcome::Settled(Slot { label, node: Node::Internal(node) });
            }
        }
        self.set_aside(Pending { node, awaits }, depth);
        Outcome::Pending
    }

    fn set_aside(&mut self, pending: Pending, depth: usize) {
        if self.levels.len() <= depth {
            self.levels.resize_with(depth + 1, Vec::new);
        }
        self.levels[depth].push(pending);
    }
}

fn split(edits: &mut [Edit], depth: usize) -> [&mut [Edit]; 2] {
    let middle = edits.partition_point(|edit| !edit.path.bit(depth));
    let (left, right) = edits.split_at_mut(middle);
    [left, right]
}

/// Labels the pending nodes, deepest first, and puts each back under its parent. Returns the root.
fn settle(mut levels: Vec<Vec<Pending>>) -> Slot {
    let mut below = Vec::new();
    while let Some(mut level) = levels.pop() {
        adopt(&mut level, below);
        let labels = Label::of_internals(level.iter().map(|pending| &pending.node.row));
        let nodes = level.into_iter().map(|pending| Node::Internal(pending.node));
        below = nodes.zip(labels).map(|(node, label)| Slot { label, node }).collect();
    }
    below.pop().expect("a batch with a pending root has it at depth 0")
}

/// Gives the labelled nodes of one level to their parents. Both lists are in path order, so the next child
/// is always the next parent's.
fn adopt(parents: &mut [Pending], children: Vec<Slot>) {
    let mut children = children.into_iter();
    for parent in parents {
        let inner = Arc::make_mut(&mut parent.node);
        for side in (0..2).filter(|&side| parent.awaits[side]) {
            inner.put(side, children.next().expect("a pending child was set aside before its parent"));
        }
    }
}
