//! The outline: what a history tree holds outside of its kept prefixes, as a list that can be stored and sent.
//!
//! A root is that of the whole tree, so whoever keeps a part of the records needs what stands around them to compute
//! it. The outline lists that without overlap: subtrees of which the label alone is held, and leaves of which the value's
//! digest is held. Whatever neither a kept record nor the outline covers is empty. Nothing in it changes unless what it
//! stands for is written, grafted or forgotten, so a height changes a few entries and never the labels near the root,
//! which are not in it.

use std::{collections::BTreeMap, sync::Arc};

use super::{DatedPaths, HistoryTree, NotHeld, RestoreError, WrittenHeight};
use crate::{
    hash::{self, Preimage},
    label::{Label, LabelKind, ValueDigest},
    leaf_group::LeafGroup,
    node::{Link, Slot, half, row},
    path::Path,
    prefix::{Prefix, Scope, any_contains, disjoint},
    proof::{Look, VerifiedProof, View},
};

/// An entry of an outline. See [`HistoryTree::outline`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutlineNode {
    /// Two records or more, at their common prefix of this length: the label of their subtree.
    Subtree(Label),
    /// One record, at the prefix of all its bits: the digest of its value.
    Leaf(ValueDigest),
}

impl OutlineNode {
    /// The entry of one record, with its place.
    pub fn record(path: Path, digest: ValueDigest) -> (Prefix, Self) {
        (Prefix::new(path, Path::BITS), Self::Leaf(digest))
    }

    /// Whether it can stand at `at`: a subtree's label is that of an internal node above the last bit, a leaf has a
    /// whole path.
    pub fn fits(&self, at: &Prefix) -> bool {
        match self {
            Self::Subtree(label) => label.kind() == LabelKind::Internal && at.bits() < Path::BITS,
            Self::Leaf(_) => at.bits() == Path::BITS,
        }
    }
}

/// Entries by place. The order is that of paths.
pub type Outline = BTreeMap<Prefix, OutlineNode>;

impl HistoryTree {
    /// What is held outside of the kept prefixes, at the newest height.
    ///
    /// ```
    /// use pleach_tree::{DigestTree, OutlineNode, HistoryTree, Path, Prefix, ValueDigest};
    ///
    /// let full: DigestTree = (0..100u8).map(|i| (Path::of(&[i]), ValueDigest::of(b"x"))).collect();
    /// let [left, right] = Prefix::ALL.halves().expect("there are bits left");
    /// let tree = HistoryTree::from_full(&full, 10, [left]);
    ///
    /// let outline = tree.outline();
    /// assert!(matches!(outline[&right], OutlineNode::Subtree(_)));
    /// // With its records, which are kept elsewhere, that is all that a restart needs.
    /// let records = full.iter().filter(|(path, _)| left.contains(path));
    /// let parts = records.map(|(path, digest)| OutlineNode::record(path, digest)).chain(outline);
    /// let again = HistoryTree::from_parts(10, [left], 0, tree.window(), parts)?;
    /// assert_eq!(again.held(), tree.held());
    /// # Ok::<(), pleach_tree::RestoreError>(())
    /// ```
    pub fn outline(&self) -> Outline {
        let mut outline = Outline::new();
        list(TreePlace::root(&self.root, &self.kept), &self.kept, &mut outline);
        outline
    }

    /// How the outline differs from that of `before`: new and changed entries, and `None` for those that are gone.
    ///
    /// It takes as long as what changed between the two, if `self` came from a clone of `before`, since what both share
    /// is passed over. The two may keep other prefixes.
    pub fn outline_changes(&self, before: &Self) -> BTreeMap<Prefix, Option<OutlineNode>> {
        let (mut gone, mut new) = (Outline::new(), Outline::new());
        let mut ahead = vec![(TreePlace::root(&before.root, &before.kept), TreePlace::root(&self.root, &self.kept))];
        while let Some((old, now)) = ahead.pop() {
            match (old.link, now.link) {
                _ if old.scope.is_inside() && now.scope.is_inside() => {}
                (Link::Internal(one), Link::Internal(other)) if Arc::ptr_eq(one, other) && old.scope == now.scope => {}
                (Link::Internal(_), Link::Internal(_)) => ahead.extend(old.below().zip(now.below())),
                _ => {
                    list(old, &before.kept, &mut gone);
                    list(now, &self.kept, &mut new);
                }
            }
        }
        new.retain(|at, node| gone.remove(at) != Some(*node));
        gone.into_keys().map(|at| (at, None)).chain(new.into_iter().map(|(at, node)| (at, Some(node)))).collect()
    }

    /// The heights that are remembered, the oldest first: what [`HistoryTree::from_parts`] asks for.
    pub fn window(&self) -> Vec<WrittenHeight> {
        (self.window.oldest()..=self.height()).filter_map(|height| self.window.recent(height)).cloned().collect()
    }

    /// A tree as it stood, as [`HistoryTree::restore`] makes it, from its parts in the order of their places: the kept
    /// records as leaves, and the outline.
    ///
    /// # Errors
    ///
    /// If parts are out of order, overlap or cannot stand at their place; if something is missing; if parts and window
    /// contradict each other; or if `height` is above [`HEIGHT_MAX`](crate::HEIGHT_MAX).
    ///
    /// # Panics
    ///
    /// If `heights` is 0.
    pub fn from_parts(
        heights: u64,
        kept: impl IntoIterator<Item = Prefix>,
        height: u64,
        window: Vec<WrittenHeight>,
        parts: impl IntoIterator<Item = (Prefix, OutlineNode)>,
    ) -> Result<Self, RestoreError> {
        let window = DatedPaths::checked(heights, height, window)?;
        let parts: Vec<_> = parts.into_iter().collect();
        check(&parts)?;
        let tree = Self::shaped(PartsBelow(&parts, 0), window, kept).map_err(RestoreError::NotHeld)?;
        let (content, window) = (tree.root.label, tree.window.root());
        if content == window { Ok(tree) } else { Err(RestoreError::Root { content, window }) }
    }
}

impl VerifiedProof {
    /// What this proof shows outside of `kept`: the outline of whoever keeps these prefixes, if the proof is that of
    /// the paths written in the last T heights and of one path under each of the prefixes.
    ///
    /// # Errors
    ///
    /// If what it leaves out reaches into one of the prefixes from above.
    pub fn outline(&self, kept: impl IntoIterator<Item = Prefix>) -> Result<Outline, NotHeld> {
        let kept = disjoint(kept);
        let mut outline = Outline::new();
        let mut ahead = vec![(self.top(), Scope::root(&kept), Prefix::ALL)];
        while let Some((view, scope, at)) = ahead.pop() {
            match view.look(at.bits()) {
                _ if scope.is_inside() => {}
                Look::Empty => {}
                Look::Leaf(row) => {
                    let (path, digest) = (Path::from_bytes(half(&row, 0)), ValueDigest::from_bytes(half(&row, 1)));
                    if !any_contains(&kept, &path) {
                        outline.extend([OutlineNode::record(path, digest)]);
                    }
                }
                // Below this stub are records that are to be kept, and it hides them.
                Look::Stub(_) if !scope.is_outside() => return Err(NotHeld { path: at.first() }),
                Look::Stub(label) => drop(outline.insert(at, OutlineNode::Subtree(label))),
                Look::Internal(children) => {
                    let halves = at.halves().expect("no internal node is at the last bit");
                    let below = children.into_iter().zip(scope.children(at.bits())).zip(halves);
                    ahead.extend(below.map(|((view, scope), at)| (view, scope, at)));
                }
            }
        }
        Ok(outline)
    }
}

/// A position in a history tree.
#[derive(Clone, Copy)]
struct TreePlace<'a> {
    label: Label,
    link: &'a Link<()>,
    scope: Scope<'a>,
    at: Prefix,
}

impl<'a> TreePlace<'a> {
    fn root(root: &'a Slot<()>, kept: &'a [Prefix]) -> Self {
        Self { label: root.label, link: &root.link, scope: Scope::root(kept), at: Prefix::ALL }
    }

    /// The two positions below an internal node, none below anything else.
    fn below(self) -> impl Iterator<Item = Self> {
        let Link::Internal(node) = self.link else { return None.into_iter().flatten() };
        let halves = self.at.halves().expect("no internal node is at the last bit");
        let scopes = self.scope.children(self.at.bits());
        let side = move |side: usize| Self {
            label: node.label(side),
            link: &node.links[side],
            scope: scopes[side],
            at: halves[side],
        };
        Some([side(0), side(1)].into_iter()).into_iter().flatten()
    }
}

/// Lists everything outside of the kept prefixes, from a position on.
fn list(from: TreePlace<'_>, kept: &[Prefix], outline: &mut Outline) {
    let mut ahead = vec![from];
    while let Some(place) = ahead.pop() {
        match place.link {
            _ if place.scope.is_inside() => {}
            Link::Empty => {}
            Link::Stub => drop(outline.insert(place.at, OutlineNode::Subtree(place.label))),
            Link::LeafGroup(group) => list_group(group, kept, outline),
            Link::Internal(_) => ahead.extend(place.below()),
        }
    }
}

fn list_group(group: &LeafGroup<()>, kept: &[Prefix], outline: &mut Outline) {
    let outside = group.records().iter().filter(|record| !any_contains(kept, &record.path));
    outline.extend(outside.map(|record| OutlineNode::record(record.path, record.digest)));
}

/// Checks that parts are in order, apart, and of a kind that can stand where they do.
fn check(parts: &[(Prefix, OutlineNode)]) -> Result<(), RestoreError> {
    let misplaced = |(at, _): &(Prefix, OutlineNode)| RestoreError::Misplaced { at: *at };
    // A prefix sorts before all that it covers.
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].0 >= pair[1].0 || pair[0].0.covers(&pair[1].0)) {
        return Err(misplaced(&pair[1]));
    }
    parts.iter().find(|(at, node)| !node.fits(at)).map_or(Ok(()), |part| Err(misplaced(part)))
}

/// Sorted parts below a position, and its depth. They are apart, so more than one make an internal node.
#[derive(Clone, Copy)]
struct PartsBelow<'a>(&'a [(Prefix, OutlineNode)], usize);

impl PartsBelow<'_> {
    fn split(self, depth: usize) -> [Self; 2] {
        let (left, right) = self.0.split_at(self.0.partition_point(|(at, _)| !at.first().bit(depth)));
        [Self(left, depth + 1), Self(right, depth + 1)]
    }
}

impl View for PartsBelow<'_> {
    /// Recursion is bounded by the length of a path.
    fn label(self) -> Label {
        match self.look(self.1) {
            Look::Empty => Label::EMPTY,
            Look::Leaf(row) => Label::leaf(hash::one(&row)),
            Look::Stub(label) => label,
            Look::Internal([left, right]) => {
                Label::internal(hash::one(&row(left.label().as_bytes(), right.label().as_bytes())))
            }
        }
    }

    fn look(self, depth: usize) -> Look<Preimage, [Self; 2]> {
        match self.0 {
            [] => Look::Empty,
            [(at, OutlineNode::Leaf(digest))] => Look::Leaf(row(at.first().as_bytes(), digest.as_bytes())),
            [(at, OutlineNode::Subtree(label))] if at.bits() == depth => Look::Stub(*label),
            _ => Look::Internal(self.split(depth)),
        }
    }
}
