//! Nodes taken apart to be changed, and what becomes of them.

use std::{mem, sync::Arc};

use crate::{
    hash::Preimage,
    jobs::Owner,
    label::Label,
    leaf_group::LeafGroup,
    node::{Internal, Link, Slot, half, set_half},
    prefix::Scope,
};

/// What became of a position.
pub(crate) enum SplitState<X> {
    /// It has its label.
    Settled(Slot<X>),
    /// A leaf group without a label yet.
    LeafGroup(LeafGroup<X>),
    /// A node among the jobs.
    Pending,
}

/// A node taken apart.
pub(crate) struct SplitNode<X> {
    pub(crate) owner: Owner<X>,
    pub(crate) row: Preimage,
    pub(crate) links: [Link<X>; 2],
}

impl<X: Clone> SplitNode<X> {
    pub(crate) fn new() -> Self {
        Self { owner: Owner::New, row: [0; 64], links: [Link::Empty, Link::Empty] }
    }

    pub(crate) fn open(mut node: Arc<Internal<X>>) -> Self {
        match Arc::get_mut(&mut node) {
            Some(inner) => {
                let (row, links) = (inner.row, mem::take(&mut inner.links));
                Self { owner: Owner::Alone(node), row, links }
            }
            None => Self { row: node.row, links: node.links.clone(), owner: Owner::Shared(node) },
        }
    }

    pub(crate) fn take(&mut self, side: usize) -> Slot<X> {
        Slot { label: Label::from_bytes(half(&self.row, side)), link: mem::take(&mut self.links[side]) }
    }

    pub(crate) fn put(&mut self, side: usize, slot: Slot<X>) {
        set_half(&mut self.row, side, slot.label.as_bytes());
        self.links[side] = slot.link;
    }

    /// The node as it was, where nothing changed.
    pub(crate) fn restore(self) -> Link<X> {
        Link::Internal(match self.owner {
            Owner::Shared(node) => node,
            Owner::Alone(mut node) => {
                if let Some(inner) = Arc::get_mut(&mut node) {
                    inner.links = self.links;
                }
                node
            }
            Owner::New | Owner::Inner => Arc::new(Internal { links: self.links, touched: 0, row: self.row }),
        })
    }

    /// What stands in this node's place if few enough records are left under it.
    pub(crate) fn contract(&mut self, unlabelled: [bool; 2], scope: Scope<'_>) -> Option<SplitState<X>> {
        let count = |link: &Link<X>| match link {
            Link::Empty => Some(0),
            Link::LeafGroup(group) => Some(group.records().len()),
            Link::Stub | Link::Internal(_) => None,
        };
        // A stub stands for two records at least, or it would be shown as a leaf: so whoever has pruned it contracts where all others do.
        let [left, right] = [count(&self.links[0])?, count(&self.links[1])?];
        match left + right {
            0 => Some(SplitState::Settled(Slot::default())),
            1 => {
                let side = right;
                let slot = self.take(side);
                match slot.link {
                    Link::LeafGroup(group) if unlabelled[side] => Some(SplitState::LeafGroup(group)),
                    _ => Some(SplitState::Settled(slot)),
                }
            }
            count if count <= scope.group_max() => {
                let mut records = Vec::with_capacity(count);
                for link in &mut self.links {
                    if let Link::LeafGroup(group) = mem::take(link) {
                        group.each(|record| records.push(record));
                    }
                }
                Some(SplitState::LeafGroup(LeafGroup::of(count, records.into_iter())))
            }
            _ => None,
        }
    }
}
