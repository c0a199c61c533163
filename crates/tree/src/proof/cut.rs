//! Making proofs: cutting a tree, or another proof, down to some paths, and joining two proofs.
//!
//! All of it goes level by level, as the nodes are numbered, with the paths that lead on split at every
//! node. The work is in proportion to what comes out.

use super::{
    Cursor, Proof, next,
    shape::{Shape, Tag},
};
use crate::{
    hash::{self, Preimage},
    label::Label,
    leaf_group::{self, LeafGroup},
    node::{Entry, Internal, Link, Slot, row},
    path::Path,
    prefix::{Prefix, Scope},
};

/// What stands at a position: a node, with its children in a form that depends on who looks.
#[derive(Clone, Copy)]
pub(crate) enum Look<Leaf, Children> {
    Empty,
    Leaf(Leaf),
    Stub(Label),
    Internal(Children),
}

impl<Leaf, Children> Look<Leaf, Children> {
    pub(crate) fn map<Others>(self, change: impl FnOnce(Children) -> Others) -> Look<Leaf, Others> {
        match self {
            Self::Empty => Look::Empty,
            Self::Leaf(row) => Look::Leaf(row),
            Self::Stub(label) => Look::Stub(label),
            Self::Internal(children) => Look::Internal(change(children)),
        }
    }
}

/// A position in something that can be cut down to a proof.
pub(crate) trait View: Copy {
    /// The label of the subtree here.
    fn label(self) -> Label;
    /// Reads what will be looked at, for no other reason than to have it near: all of it, or only what is never left
    /// out.
    fn fetch(self, _all: bool) -> usize {
        0
    }
    /// What stands here, at `depth`.
    fn look(self, depth: usize) -> Look<Preimage, [Self; 2]>;
}

/// A position in a tree.
pub(crate) enum TreeView<'a, X> {
    /// One that has its label.
    Link(&'a [u8; 32], &'a Link<X>),
    /// One inside a leaf group, and its depth.
    Records(&'a [Entry<X>], u16),
}

impl<X> Copy for TreeView<'_, X> {}

impl<X> Clone for TreeView<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, X> TreeView<'a, X> {
    pub(crate) fn new(slot: &'a Slot<X>) -> Self {
        Self::Link(slot.label.as_bytes(), &slot.link)
    }

    fn child(parent: &'a Internal<X>, side: usize) -> Self {
        Self::Link(&parent.row.as_chunks().0[side], &parent.links[side])
    }

    fn records(records: &'a [Entry<X>], depth: usize) -> Look<Preimage, [Self; 2]> {
        match records {
            [] => Look::Empty,
            [record] => Look::Leaf(record.row()),
            records => {
                let child = |records| Self::Records(records, depth as u16 + 1);
                Look::Internal(leaf_group::split(records, depth).map(child))
            }
        }
    }
}

impl<X> View for TreeView<'_, X> {
    fn label(self) -> Label {
        match self {
            Self::Link(label, _) => Label::from_bytes(*label),
            Self::Records(records, depth) => leaf_group::label(records, usize::from(depth)),
        }
    }

    fn fetch(self, all: bool) -> usize {
        match self {
            Self::Link(_, link @ Link::LeafGroup(LeafGroup::One(_))) => link.fetch(),
            Self::Link(_, link) if all => link.fetch(),
            Self::Link(..) | Self::Records(..) => 0,
        }
    }

    fn look(self, depth: usize) -> Look<Preimage, [Self; 2]> {
        match self {
            Self::Records(records, _) => Self::records(records, depth),
            Self::Link(_, Link::LeafGroup(group)) => Self::records(group.records(), depth),
            Self::Link(_, Link::Internal(node)) => Look::Internal([Self::child(node, 0), Self::child(node, 1)]),
            Self::Link(_, Link::Empty) => Look::Empty,
            Self::Link(label, Link::Stub) => Look::Stub(Label::from_bytes(*label)),
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

    fn look(self, depth: usize) -> Look<Preimage, [Self; 2]> {
        self.cursor.look(depth).map(|children| children.map(|cursor| Self { cursor, ..self }))
    }
}

/// Labels are computed each time they are asked for, one hash after the other.
impl View for Cursor<'_> {
    fn label(self) -> Label {
        match self.look(0) {
            Look::Empty => Label::EMPTY,
            Look::Leaf(row) => Label::leaf(hash::one(&row)),
            Look::Stub(label) => label,
            Look::Internal([left, right]) => {
                Label::internal(hash::one(&row(left.label().as_bytes(), right.label().as_bytes())))
            }
        }
    }

    fn look(self, _: usize) -> Look<Preimage, [Self; 2]> {
        let Self { proof, node } = self;
        match proof.shape.tag(node) {
            Tag::Empty => Look::Empty,
            Tag::Leaf => Look::Leaf(*next(&mut proof.payload_from(node))),
            Tag::Stub => Look::Stub(Label::from_bytes(*next(&mut proof.payload_from(node)))),
            Tag::Internal => {
                let first = proof.shape.first_child(node);
                Look::Internal([first, first + 1].map(|node| Self { proof, node }))
            }
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
        Proof::new(self.shape, self.payload)
    }
}

/// The proof of `paths`: everything off them becomes a stub, except that empty nodes and leaves stay
/// visible. A leaf next to a path may have to move up when the key of that path is removed, and a node that
/// held only its label could not do it.
pub(crate) fn cut<V: View>(root: V, mut paths: Vec<Path>) -> Proof {
    paths.sort_unstable();
    paths.dedup();
    cut_to(root, &paths, Scope::root(&[]), usize::MAX).expect("there is no limit")
}

/// The proof of every path under `prefixes`, which are sorted and disjoint.
pub(crate) fn cut_prefixes<V: View>(root: V, prefixes: &[Prefix]) -> Proof {
    cut_to(root, &[], Scope::root(prefixes), usize::MAX).expect("there is no limit")
}

/// The largest prefix within `within` whose least path is `start` and whose proof takes at most `max_bytes`, with
/// that proof.
pub(crate) fn chunk<V: View>(root: V, within: &Prefix, start: &Path, max_bytes: usize) -> Option<(Prefix, Proof)> {
    let begins = |bits: &usize| Prefix::new(*start, *bits).first() == *start;
    let prefixes = (within.bits()..=Path::BITS).filter(begins).map(|bits| Prefix::new(*start, bits));
    let mut fitting = prefixes.filter_map(|prefix| Some((prefix, cut_chunk(root, prefix, max_bytes)?)));
    fitting.next().filter(|(prefix, _)| within.covers(prefix))
}

fn cut_chunk<V: View>(root: V, prefix: Prefix, max_bytes: usize) -> Option<Proof> {
    cut_to(root, &[], Scope::root(&[prefix]), max_bytes).filter(|proof| proof.encoded_len() <= max_bytes)
}

/// The proof of `paths`, sorted and different, and of every path in the prefixes of `scope`. `None` if its payload
/// exceeds `max_bytes`.
fn cut_to<V: View>(root: V, paths: &[Path], scope: Scope<'_>, max_bytes: usize) -> Option<Proof> {
    // About as much as the proof of a few keys takes; more keys share more.
    let mut proof = Builder { shape: Shape::default(), payload: Vec::with_capacity(640 * paths.len().min(16)) };
    let (mut level, mut below) = (Vec::with_capacity(2 * paths.len() + 1), Vec::with_capacity(2 * paths.len()));
    level.push((root, paths, scope));
    for depth in 0.. {
        if level.is_empty() {
            break;
        }
        if level.len() > 2 {
            let fetch =
                |(view, paths, scope): &(V, &[Path], Scope<'_>)| view.fetch(!paths.is_empty() || !scope.is_outside());
            std::hint::black_box(level.iter().fold(0, |sum, entry| sum ^ fetch(entry)));
        }
        for (view, paths, scope) in level.drain(..) {
            match view.look(depth) {
                Look::Empty => proof.push(Tag::Empty, &[]),
                Look::Leaf(row) => proof.push(Tag::Leaf, &row),
                Look::Internal(children) if !paths.is_empty() || !scope.is_outside() => {
                    proof.push(Tag::Internal, &[]);
                    let children = children.into_iter().zip(Path::split(paths, depth)).zip(scope.children(depth));
                    below.extend(children.map(|((child, paths), scope)| (child, paths, scope)));
                }
                Look::Internal(_) | Look::Stub(_) => proof.push(Tag::Stub, view.label().as_bytes()),
            }
            if proof.payload.len() > max_bytes {
                return None;
            }
        }
        std::mem::swap(&mut level, &mut below);
    }
    Some(proof.finish())
}

/// A position in one of two proofs of the same tree, or in both.
type Joint<'a> = (Cursor<'a>, Option<Cursor<'a>>);

/// The union of two proofs that have the same root: what either shows is shown.
pub(super) fn join(left: &Proof, right: &Proof) -> Proof {
    join_where(left, right, |_, _| true)
}

/// `base` with what `other` shows in the place of the stub at the end of `path`. The caller has compared the labels.
pub(super) fn join_at(base: &Proof, other: &Proof, path: &Path) -> Proof {
    join_where(base, other, |depth, side| path.bit(depth) == (side == 1))
}

/// Joins two proofs, following both only into the children that `follow` names by the depth of their parent and their
/// side. Where the first has a stub, what the second shows there is taken.
fn join_where(left: &Proof, right: &Proof, follow: impl Fn(usize, usize) -> bool) -> Proof {
    let mut proof = Builder::default();
    let (mut level, mut below) = (vec![(left.top(), Some(right.top()))], Vec::new());
    for depth in 0.. {
        if level.is_empty() {
            break;
        }
        for joint in level.drain(..) {
            let from = below.len();
            proof.push_joint(joint, &mut below);
            for (side, (_, other)) in below[from..].iter_mut().enumerate() {
                *other = other.filter(|_| follow(depth, side));
            }
        }
        std::mem::swap(&mut level, &mut below);
    }
    proof.finish()
}

impl Builder {
    fn push_joint<'a>(&mut self, (one, other): Joint<'a>, below: &mut Vec<Joint<'a>>) {
        match (one.look(0), other.map(|other| (other, other.look(0)))) {
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
