//! Making proofs: cutting a tree, or another proof, down to some paths, and joining two proofs.
//!
//! All of it goes level by level, as the nodes are numbered, with the paths that lead on split at every
//! node. The work is in proportion to what comes out.

use super::{
    Cursor, Proof,
    shape::{Shape, Tag},
};
use crate::{
    bucket,
    hash::Row,
    label::Label,
    node::{Internal, Link, Record, Slot},
    path::Path,
};

/// What stands at a position: a node, with its children in a form that depends on who looks.
#[derive(Clone, Copy)]
pub(crate) enum Look<Children> {
    Empty,
    Leaf(Row),
    Stub(Label),
    Internal(Children),
}

/// A position in something that can be cut down to a proof.
pub(crate) trait View: Copy {
    /// The label of the subtree here.
    fn label(self) -> Label;
    /// What stands here, at `depth`.
    fn look(self, depth: usize) -> Look<[Self; 2]>;
}

/// A position in a tree.
pub(crate) enum TreeView<'a, X> {
    /// One that has its label.
    Link { label: Label, link: &'a Link<X> },
    /// One inside a bucket.
    Records { records: &'a [Record<X>], depth: u16 },
}

impl<X> Copy for TreeView<'_, X> {}

impl<X> Clone for TreeView<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, X> TreeView<'a, X> {
    pub(crate) fn new(slot: &'a Slot<X>) -> Self {
        Self::Link { label: slot.label, link: &slot.link }
    }

    fn child(parent: &'a Internal<X>, side: usize) -> Self {
        Self::Link { label: parent.label(side), link: &parent.links[side] }
    }

    fn records(records: &'a [Record<X>], depth: usize) -> Look<[Self; 2]> {
        match records {
            [] => Look::Empty,
            [record] => Look::Leaf(record.row()),
            records => {
                let child = |records| Self::Records { records, depth: depth as u16 + 1 };
                Look::Internal(bucket::split(records, depth).map(child))
            }
        }
    }
}

impl<X> View for TreeView<'_, X> {
    fn label(self) -> Label {
        match self {
            Self::Link { label, .. } => label,
            Self::Records { records, depth } => bucket::label(records, usize::from(depth)),
        }
    }

    fn look(self, depth: usize) -> Look<[Self; 2]> {
        match self {
            Self::Records { records, .. } => Self::records(records, depth),
            Self::Link { link: Link::Bucket(bucket), .. } => Self::records(bucket.records(), depth),
            Self::Link { link: Link::Internal(node), .. } => {
                Look::Internal([Self::child(node, 0), Self::child(node, 1)])
            }
            Self::Link { link: Link::Empty, .. } => Look::Empty,
            Self::Link { link: Link::Stub, label } => Look::Stub(label),
        }
    }
}

/// A position in a proof whose labels have been computed.
#[derive(Clone, Copy)]
pub(super) struct Labelled<'a> {
    pub(super) cursor: Cursor<'a>,
    /// The labels of all nodes of the proof.
    pub(super) labels: &'a [[u8; 32]],
}

impl View for Labelled<'_> {
    fn label(self) -> Label {
        Label::from_bytes(self.labels[self.cursor.node])
    }

    fn look(self, _: usize) -> Look<[Self; 2]> {
        match self.cursor.look() {
            Look::Empty => Look::Empty,
            Look::Leaf(row) => Look::Leaf(row),
            Look::Stub(label) => Look::Stub(label),
            Look::Internal(children) => Look::Internal(children.map(|cursor| Self { cursor, ..self })),
        }
    }
}

/// Collects the nodes of a proof in level order.
#[derive(Default)]
struct Builder {
    shape: Shape,
    payload: Vec<u8>,
}

impl Builder {
    fn push(&mut self, tag: Tag, payload: &[u8]) {
        self.shape.push(tag);
        self.payload.extend_from_slice(payload);
    }

    fn finish(self) -> Proof {
        Proof { shape: self.shape, payload: self.payload }
    }
}

/// The proof of `paths`: everything off them becomes a stub, except that empty nodes and leaves stay
/// visible. A leaf next to a path may have to move up when the key of that path is removed, and a node that
/// held only its label could not do it.
pub(crate) fn cut<V: View>(root: V, mut paths: Vec<Path>) -> Proof {
    paths.sort_unstable();
    paths.dedup();
    let mut proof = Builder::default();
    let (mut level, mut below) = (vec![(root, paths.as_slice())], Vec::new());
    for depth in 0.. {
        if level.is_empty() {
            break;
        }
        for (view, paths) in level.drain(..) {
            match view.look(depth) {
                Look::Empty => proof.push(Tag::Empty, &[]),
                Look::Leaf(row) => proof.push(Tag::Leaf, &row),
                Look::Internal(children) if !paths.is_empty() => {
                    proof.push(Tag::Internal, &[]);
                    below.extend(children.into_iter().zip(Path::split(paths, depth)));
                }
                Look::Internal(_) | Look::Stub(_) => proof.push(Tag::Stub, view.label().as_bytes()),
            }
        }
        std::mem::swap(&mut level, &mut below);
    }
    proof.finish()
}

/// A position in one of two proofs of the same tree, or in both.
type Joint<'a> = (Cursor<'a>, Option<Cursor<'a>>);

/// The union of two proofs that have the same root: what either shows is shown.
pub(super) fn join(left: &Proof, right: &Proof) -> Proof {
    let mut proof = Builder::default();
    let (mut level, mut below) = (vec![(left.top(), Some(right.top()))], Vec::new());
    while !level.is_empty() {
        for joint in level.drain(..) {
            proof.push_joint(joint, &mut below);
        }
        std::mem::swap(&mut level, &mut below);
    }
    proof.finish()
}

impl Builder {
    fn push_joint<'a>(&mut self, (one, other): Joint<'a>, below: &mut Vec<Joint<'a>>) {
        match (one.look(), other.map(|other| (other, other.look()))) {
            // The labels are equal, so a stub here is this very internal node.
            (Look::Stub(_), Some((other, Look::Internal(_)))) => self.push_joint((other, None), below),
            (Look::Internal(ours), Some((_, Look::Internal(theirs)))) => {
                self.push(Tag::Internal, &[]);
                below.extend([(ours[0], Some(theirs[0])), (ours[1], Some(theirs[1]))]);
            }
            (Look::Internal(ours), _) => {
                self.push(Tag::Internal, &[]);
                below.extend(ours.map(|child| (child, None)));
            }
            (Look::Empty, _) => self.push(Tag::Empty, &[]),
            (Look::Leaf(row), _) => self.push(Tag::Leaf, &row),
            (Look::Stub(label), _) => self.push(Tag::Stub, label.as_bytes()),
        }
    }
}
