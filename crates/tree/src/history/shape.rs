//! Making the nodes that a history tree holds out of what a proof or another tree shows.
//!
//! Recursion is bounded by the length of a path.

use std::sync::Arc;

use super::NotHeld;
use crate::{
    batch::EditBatch,
    edit::{Edit, Placed, Work, lefts},
    hash,
    jobs::Jobs,
    label::{Label, ValueDigest},
    leaf_group::LeafGroup,
    node::{Entry, Internal, Link, Slot, half, set_half},
    path::Path,
    prefix::Scope,
    proof::{Cursor, Look, TreeView, View},
};

/// A written path and the height that wrote it.
#[derive(Clone, Copy)]
pub(super) struct Dated<'a>(&'a [(Path, u64)]);

impl Placed for (Path, u64) {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl<'a> Dated<'a> {
    /// These written paths, which are sorted.
    pub(super) fn of(dates: &'a [(Path, u64)]) -> Self {
        Self(dates)
    }

    fn split(self, depth: usize) -> [Self; 2] {
        let (left, right) = self.0.split_at(lefts(self.0, depth));
        [Self(left), Self(right)]
    }

    fn newest(self) -> u64 {
        self.0.iter().map(|(_, height)| *height).max().unwrap_or(0)
    }
}

/// Shapes what a view shows as a history tree holds it.
pub(super) struct Shaper {
    batch: EditBatch<()>,
    /// The records under kept prefixes so far.
    owned: usize,
    /// The records that were under kept prefixes where others are kept now.
    left: usize,
}

impl Shaper {
    pub(super) fn new(jobs: Jobs<()>) -> Self {
        Self { batch: EditBatch::new(jobs, 0), owned: 0, left: 0 }
    }

    /// The records under kept prefixes that have been shaped.
    pub(super) fn owned(&self) -> usize {
        self.owned
    }

    /// The records that were kept, of what [`Shaper::reshape`] has shaped anew.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn finish(self) -> Jobs<()> {
        self.batch.finish()
    }

    /// Everything inside of the kept prefixes, in leaf groups; the proof of the written paths outside.
    pub(super) fn shape<V: View>(&mut self, root: V, scope: Scope<'_>, dated: Dated<'_>) -> Result<Slot<()>, NotHeld> {
        self.shape_at(root, scope, dated, 0, Path::ZERO)
    }

    /// The same tree with other prefixes kept, those of the second scope instead of the first: what is not held comes from
    /// `content`. Whatever lies the same way to both scopes stays as it is, and shared with other versions of the tree.
    pub(super) fn reshape(
        &mut self,
        root: &Slot<()>,
        content: Option<Cursor<'_>>,
        scopes: [Scope<'_>; 2],
        dated: Dated<'_>,
    ) -> Result<Slot<()>, NotHeld> {
        self.reshape_at((root.label, &root.link), JointTree::new(root, content), scopes, dated, (0, Path::ZERO))
    }

    fn reshape_at(
        &mut self,
        (label, link): (Label, &Link<()>),
        view: JointTree<'_>,
        [old, new]: [Scope<'_>; 2],
        dated: Dated<'_>,
        (depth, prefix): (usize, Path),
    ) -> Result<Slot<()>, NotHeld> {
        if old == new {
            return Ok(Slot { label, link: link.clone() });
        }
        let above = !old.is_inside() && !new.is_inside() && !new.is_outside();
        let (Link::Internal(node), Look::Internal(views), true) = (link, view.look(depth), above) else {
            // What was held of it is a part of what the view shows.
            self.left += count(view, old, depth);
            return self.shape_at(view, new, dated, depth, prefix);
        };
        let (olds, news, dates) = (old.children(depth), new.children(depth), dated.split(depth));
        over(dated.newest(), |side| {
            let child = (node.label(side), &node.links[side]);
            let place = (depth + 1, prefix.with_bit(depth, side == 1));
            self.reshape_at(child, views[side], [olds[side], news[side]], dates[side], place)
        })
    }

    fn shape_at<V: View>(
        &mut self,
        view: V,
        scope: Scope<'_>,
        dated: Dated<'_>,
        depth: usize,
        prefix: Path,
    ) -> Result<Slot<()>, NotHeld> {
        if scope.is_inside() {
            let mut records = Vec::new();
            collect(view, depth, prefix, &mut records)?;
            self.owned += records.len();
            return Ok(self.batch.apply(Slot::default(), Work::Sorted(&mut records), depth, scope));
        }
        let children = match view.look(depth) {
            Look::Empty => return Ok(Slot::default()),
            Look::Leaf(row) => {
                // A record under a kept prefix may stand alone above it.
                self.owned += usize::from(scope.awaits(&Path::from_bytes(half(&row, 0))));
                return Ok(leaf(&row));
            }
            Look::Internal(_) | Look::Stub(_) if scope.is_outside() && dated.0.is_empty() => {
                return Ok(Slot { label: view.label(), link: Link::Stub });
            }
            Look::Stub(_) => return Err(NotHeld { path: dated.0.first().map_or(prefix, |(path, _)| *path) }),
            Look::Internal(children) => children,
        };
        let (scopes, dates) = (scope.children(depth), dated.split(depth));
        over(dated.newest(), |side| {
            let prefix = prefix.with_bit(depth, side == 1);
            self.shape_at(children[side], scopes[side], dates[side], depth + 1, prefix)
        })
    }
}

/// All records below a view, in path order.
fn collect<V: View>(view: V, depth: usize, prefix: Path, records: &mut Vec<Edit<()>>) -> Result<(), NotHeld> {
    match view.look(depth) {
        Look::Empty => Ok(()),
        Look::Leaf(row) => {
            records.push(Edit::set(record(&row)));
            Ok(())
        }
        Look::Stub(_) => Err(NotHeld { path: prefix }),
        Look::Internal(children) => children
            .into_iter()
            .zip([false, true])
            .try_for_each(|(child, bit)| collect(child, depth + 1, prefix.with_bit(depth, bit), records)),
    }
}

/// The records under the prefixes of a scope, as far as a view shows them.
fn count<V: View>(view: V, scope: Scope<'_>, depth: usize) -> usize {
    match view.look(depth) {
        _ if scope.is_outside() => 0,
        Look::Empty | Look::Stub(_) => 0,
        Look::Leaf(row) => usize::from(scope.is_inside() || scope.awaits(&Path::from_bytes(half(&row, 0)))),
        Look::Internal(children) => {
            children.into_iter().zip(scope.children(depth)).map(|(view, scope)| count(view, scope, depth + 1)).sum()
        }
    }
}

/// Puts what `proof` shows at `paths`, sorted, where there are stubs. Each label has to be that of its stub.
///
/// Everything is made and checked before anything is changed.
pub(super) fn graft(root: &mut Slot<()>, proof: Cursor<'_>, paths: &[Path]) -> Result<(), NotHeld> {
    let mut scions = Vec::new();
    grow(root.label, &root.link, Some(proof), paths, 0, &mut scions)?;
    attach(&mut root.link, paths, 0, &mut scions.into_iter());
    Ok(())
}

/// Makes what will stand in the place of each stub on these paths, in path order.
fn grow(
    label: Label,
    link: &Link<()>,
    proof: Option<Cursor<'_>>,
    paths: &[Path],
    depth: usize,
    scions: &mut Vec<Link<()>>,
) -> Result<(), NotHeld> {
    let Some(first) = paths.first() else { return Ok(()) };
    match link {
        Link::Empty | Link::LeafGroup(_) => Ok(()),
        Link::Internal(node) => {
            // Where the proof's tree has a leaf, ours has changed since, and has no stub further down.
            let below = proof.and_then(|proof| match proof.look(depth) {
                Look::Internal(children) => Some(children),
                _ => None,
            });
            let (left, right) = paths.split_at(lefts(paths, depth));
            [left, right].into_iter().enumerate().try_for_each(|(side, paths)| {
                let below = below.map(|below| below[side]);
                grow(node.label(side), &node.links[side], below, paths, depth + 1, scions)
            })
        }
        Link::Stub => {
            let scion = proof.map(|proof| expand(proof, paths, depth)).transpose()?;
            scions.push(scion.filter(|scion| scion.label == label).ok_or(NotHeld { path: *first })?.link);
            Ok(())
        }
    }
}

/// Puts what [`grow`] made in its places.
fn attach(link: &mut Link<()>, paths: &[Path], depth: usize, scions: &mut impl Iterator<Item = Link<()>>) {
    match link {
        _ if paths.is_empty() => {}
        Link::Empty | Link::LeafGroup(_) => {}
        Link::Stub => *link = scions.next().expect("each stub on a path has its scion"),
        Link::Internal(node) => {
            let (left, right) = paths.split_at(lefts(paths, depth));
            let links = Arc::make_mut(node).links.iter_mut();
            links.zip([left, right]).for_each(|(link, paths)| attach(link, paths, depth + 1, scions));
        }
    }
}

/// The nodes on these paths, older than every height, and stubs beside them.
fn expand<V: View>(view: V, paths: &[Path], depth: usize) -> Result<Slot<()>, NotHeld> {
    match (view.look(depth), paths) {
        (Look::Empty, _) => Ok(Slot::default()),
        (Look::Leaf(row), _) => Ok(leaf(&row)),
        (Look::Internal(_) | Look::Stub(_), []) => Ok(Slot { label: view.label(), link: Link::Stub }),
        (Look::Stub(_), [path, ..]) => Err(NotHeld { path: *path }),
        (Look::Internal(children), paths) => {
            let (left, right) = paths.split_at(lefts(paths, depth));
            over(0, |side| expand(children[side], [left, right][side], depth + 1))
        }
    }
}

/// The node over two children, which are made from the left to the right.
fn over(touched: u64, mut child: impl FnMut(usize) -> Result<Slot<()>, NotHeld>) -> Result<Slot<()>, NotHeld> {
    let mut node = Internal { links: [Link::Empty, Link::Empty], touched, row: [0; 64] };
    for side in 0..2 {
        let child = child(side)?;
        set_half(&mut node.row, side, child.label.as_bytes());
        node.links[side] = child.link;
    }
    Ok(Slot { label: Label::internal(hash::one(&node.row)), link: Link::Internal(Arc::new(node)) })
}

fn leaf(row: &hash::Preimage) -> Slot<()> {
    let group = LeafGroup::of(1, std::iter::once(record(row)));
    Slot { label: Label::leaf(hash::one(row)), link: Link::LeafGroup(group) }
}

fn record(row: &hash::Preimage) -> Entry<()> {
    let (path, digest) = (Path::from_bytes(half(row, 0)), ValueDigest::from_bytes(half(row, 1)));
    Entry { path, digest, extra: () }
}

/// A tree, and where it has stubs, a proof of the same tree.
#[derive(Clone, Copy)]
pub(super) enum JointTree<'a> {
    Both(TreeView<'a, ()>, Option<Cursor<'a>>),
    Proof(Cursor<'a>),
}

impl<'a> JointTree<'a> {
    /// The two have the same root.
    pub(super) fn new(root: &'a Slot<()>, proof: Option<Cursor<'a>>) -> Self {
        Self::Both(TreeView::new(root), proof)
    }

    fn of_proof(look: Look<hash::Preimage, [Cursor<'a>; 2]>) -> Look<hash::Preimage, [Self; 2]> {
        look.map(|children| children.map(Self::Proof))
    }
}

impl View for JointTree<'_> {
    fn label(self) -> Label {
        match self {
            Self::Both(tree, _) => tree.label(),
            Self::Proof(proof) => proof.label(),
        }
    }

    fn look(self, depth: usize) -> Look<hash::Preimage, [Self; 2]> {
        match self {
            Self::Proof(proof) => Self::of_proof(proof.look(depth)),
            Self::Both(tree, proof) => match (tree.look(depth), proof.map(|proof| proof.look(depth))) {
                (Look::Stub(_), Some(shown)) => Self::of_proof(shown),
                (Look::Internal([left, right]), Some(Look::Internal([one, other]))) => {
                    Look::Internal([Self::Both(left, Some(one)), Self::Both(right, Some(other))])
                }
                (look, _) => look.map(|children| children.map(|child| Self::Both(child, None))),
            },
        }
    }
}
