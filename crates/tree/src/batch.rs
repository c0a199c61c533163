//! A batch of changes on its way into the tree.
//!
//! A batch is sorted by path and split down the tree, so every node on any of its paths is visited once. What comes
//! back up decides the shape first: a node left with few enough records becomes a leaf group, and that needs no hash. Nodes
//! that stay and changed, and the nodes inside leaf groups that changed, become [jobs](crate::jobs), which are hashed level
//! by level from the deepest upward, each level as one group of independent rows.
//!
//! A batch of very many changes is worked on in parts, each with its jobs, that fit the nearer caches. Recursion is
//! bounded by the length of a path, never by the size of the batch.

use std::{mem, sync::Arc};

use crate::{
    edit::{self, Edit, Work, fetch, lefts},
    fork::{SplitNode, SplitState},
    hash,
    jobs::{self, Jobs},
    label::Label,
    leaf_group::{self, LEAF_GROUP_RECORDS_MAX, LeafGroup},
    node::{Internal, Link, Slot},
    parallel,
    path::Path,
    prefix::Scope,
};

/// The most edits that are worked on together.
const PART_EDITS: usize = 128;

impl Scope<'_> {
    /// The most records that stand in a leaf group here. Outside of what is kept, single nodes are pruned, and so every
    /// node has to be there.
    pub(crate) fn group_max(self) -> usize {
        if self.is_inside() { LEAF_GROUP_RECORDS_MAX } else { 1 }
    }
}

/// Changes under way.
pub(crate) struct EditBatch<X> {
    jobs: Jobs<X>,
    height: u64,
    /// More edits than this are worked on by several threads; none if it is 0.
    grain: usize,
    /// Records added, less those removed.
    pub(crate) added: isize,
    /// The records that became others, in path order, if anybody asked for them.
    written: Option<Vec<Written>>,
}

/// A record that became another one, appeared or disappeared.
pub(crate) struct Written {
    pub(crate) path: Path,
    /// Records added: 1, 0 or -1.
    pub(crate) added: isize,
}

impl<X: Clone + Send + Sync> EditBatch<X> {
    /// Nothing yet. The nodes to be changed will be dated `height`.
    pub(crate) fn new(jobs: Jobs<X>, height: u64) -> Self {
        Self { jobs, height, grain: 0, added: 0, written: None }
    }

    /// Has a batch of as many edits worked on by several threads, if it is large enough.
    pub(crate) fn share(&mut self, edits: usize) {
        let parts = parallel::parts();
        if parts > 1 {
            self.grain = (edits / parts).max(2 * PART_EDITS);
        }
    }

    /// Takes note of every record that becomes another one, from now on.
    pub(crate) fn take_note(&mut self) {
        self.written = Some(Vec::new());
    }

    /// What has been noted.
    pub(crate) fn noted(&mut self) -> Vec<Written> {
        self.written.take().unwrap_or_default()
    }

    fn note(&mut self, group: Option<&LeafGroup<X>>, edits: &[Edit<X>]) {
        let Some(written) = &mut self.written else { return };
        for edit in edits {
            let old = group.and_then(|group| group.find(&edit.path)).map(|record| record.digest);
            let new = edit.extra.is_some().then_some(edit.digest);
            if old != new {
                let added = isize::from(new.is_some()) - isize::from(old.is_some());
                written.push(Written { path: edit.path, added });
            }
        }
    }

    /// The memory, to be used again.
    pub(crate) fn finish(self) -> Jobs<X> {
        self.jobs
    }

    /// Changes the subtree `slot` at a position of `depth`.
    pub(crate) fn apply(&mut self, slot: Slot<X>, work: Work<'_, X>, depth: usize, scope: Scope<'_>) -> Slot<X> {
        let work = match work {
            Work::Spread([part]) => {
                let mut edits = edit::sort(mem::take(part));
                return self.apply(slot, Work::Sorted(&mut edits), depth, scope);
            }
            work if work.len() == 0 => return slot,
            Work::Sorted([edit]) => return self.single(slot, edit, depth, scope),
            Work::Sorted(edits) => {
                // Above a leaf group a batch is not cut: its parts would get the group's records among their edits, and note them as written.
                let whole = self.written.is_some() && matches!(slot.link, Link::LeafGroup(_));
                if edits.len() <= PART_EDITS || whole {
                    return self.part(slot, edits, depth, scope);
                }
                Work::Sorted(edits)
            }
            spread => spread,
        };
        match slot.link {
            Link::Internal(node) => self.apply_below(SplitNode::open(node), work, depth, scope),
            Link::Empty => self.apply_below(SplitNode::new(), work, depth, scope),
            Link::LeafGroup(group) => {
                self.added -= group.records().len() as isize;
                match work {
                    Work::Sorted(edits) => {
                        let mut edits = merge(Some(group), edits);
                        self.apply_below(SplitNode::new(), Work::Sorted(&mut edits), depth, scope)
                    }
                    Work::Spread(parts) => {
                        // Of several edits of one path the last one counts, and a record is older than any edit.
                        // A part has the edits whose paths go on from here with the bits of its number.
                        let bits = depth as u32 + parts.len().ilog2();
                        let mask = parts.len() - 1;
                        group.each(|record| {
                            parts[record.path.head(bits) & mask].insert(0, Edit::set(record));
                        });
                        self.apply_below(SplitNode::new(), Work::Spread(parts), depth, scope)
                    }
                }
            }
            Link::Stub => below_stub(),
        }
    }

    fn apply_below(&mut self, mut fork: SplitNode<X>, work: Work<'_, X>, depth: usize, scope: Scope<'_>) -> Slot<X> {
        let parallel = self.grain > 0 && work.len() > self.grain;
        let [left, right] = work.split(depth);
        let ([one, other], [left_scope, right_scope]) = ([fork.take(0), fork.take(1)], scope.children(depth));
        let (one, other) = if parallel {
            let mut second = self.second();
            let left = || self.apply(one, left, depth + 1, left_scope);
            let right = || second.apply(other, right, depth + 1, right_scope);
            let children = parallel::join(left, right);
            self.absorb(second);
            children
        } else {
            let one = self.apply(one, left, depth + 1, left_scope);
            (one, self.apply(other, right, depth + 1, right_scope))
        };
        fork.put(0, one);
        fork.put(1, other);
        self.join(fork, depth, scope)
    }

    /// Changes one record: each label waits for the one below, so there is nothing to gain from jobs on the way.
    fn single(&mut self, slot: Slot<X>, edit: &mut Edit<X>, depth: usize, scope: Scope<'_>) -> Slot<X> {
        let Link::Internal(node) = slot.link else {
            return self.part(slot, std::slice::from_mut(edit), depth, scope);
        };
        let side = usize::from(edit.path.bit(depth));
        let mut fork = SplitNode::open(node);
        let child = fork.take(side);
        let before = child.label;
        let child = self.single(child, edit, depth + 1, scope.children(depth)[side]);
        let same = child.label == before;
        fork.put(side, child);
        if same {
            return Slot { label: slot.label, link: fork.restore() };
        }
        self.join(fork, depth, scope)
    }

    /// Another batch for a part of the same work.
    fn second(&self) -> Self {
        let written = self.written.as_ref().map(|_| Vec::new());
        Self { jobs: Jobs::new(), written, added: 0, ..*self }
    }

    /// Takes over what a batch did that worked on what lies to the right.
    fn absorb(&mut self, right: Self) {
        self.added += right.added;
        if let (Some(written), Some(more)) = (&mut self.written, right.written) {
            written.extend(more);
        }
    }

    /// The position over two children that have their labels.
    fn join(&mut self, mut fork: SplitNode<X>, depth: usize, scope: Scope<'_>) -> Slot<X> {
        if let Some(contracted) = fork.contract([false; 2], scope) {
            return match contracted {
                SplitState::Settled(slot) => slot,
                SplitState::LeafGroup(group) => {
                    Slot { label: leaf_group::label(group.records(), depth), link: Link::LeafGroup(group) }
                }
                SplitState::Pending => unreachable!("what contracts is no node"),
            };
        }
        let label = Label::internal(hash::one(&fork.row));
        Slot { label, link: jobs::node(fork.owner, &fork.row, fork.links, self.height, &mut self.jobs.spare) }
    }

    /// Changes a subtree with all labels hashed together.
    fn part(&mut self, slot: Slot<X>, edits: &mut [Edit<X>], depth: usize, scope: Scope<'_>) -> Slot<X> {
        if edits.len() > 1 {
            fetch(&slot.link, edits, depth);
        }
        let stem = self.jobs.start();
        match self.change(slot, edits, depth, scope, stem) {
            SplitState::Settled(slot) => slot,
            SplitState::LeafGroup(group) => {
                self.jobs.label(group.records(), depth, stem);
                self.jobs.settle(Link::LeafGroup(group), self.height)
            }
            SplitState::Pending => self.jobs.settle(Link::Empty, self.height),
        }
    }

    /// `parent` says to the jobs whose child this is.
    fn change(
        &mut self,
        slot: Slot<X>,
        edits: &mut [Edit<X>],
        depth: usize,
        scope: Scope<'_>,
        parent: u32,
    ) -> SplitState<X> {
        if edits.is_empty() {
            return SplitState::Settled(slot);
        }
        match slot.link {
            Link::Internal(node) => self.descend(slot.label, node, edits, depth, scope, parent),
            Link::Empty => self.fill(None, slot.label, edits, depth, scope, parent),
            Link::LeafGroup(group) => self.fill(Some(group), slot.label, edits, depth, scope, parent),
            Link::Stub => below_stub(),
        }
    }

    fn descend(
        &mut self,
        label: Label,
        node: Arc<Internal<X>>,
        edits: &mut [Edit<X>],
        depth: usize,
        scope: Scope<'_>,
        parent: u32,
    ) -> SplitState<X> {
        let mut fork = SplitNode::open(node);
        let before = fork.row;
        let job = self.jobs.open(depth, parent);
        let middle = lefts(edits, depth);
        let (left, right) = edits.split_at_mut(middle);
        let (mut unlabelled, mut pending) = ([false; 2], false);
        for (side, edits) in [left, right].into_iter().enumerate().filter(|(_, edits)| !edits.is_empty()) {
            let scope = scope.children(depth)[side];
            match self.change(fork.take(side), edits, depth + 1, scope, job.child(side)) {
                SplitState::Settled(slot) => fork.put(side, slot),
                SplitState::LeafGroup(group) => {
                    fork.links[side] = Link::LeafGroup(group);
                    unlabelled[side] = true;
                }
                SplitState::Pending => pending = true,
            }
        }
        // A child that is pending is an internal node: more records are left than one leaf group holds, and nothing contracts.
        if !pending {
            if let Some(contracted) = fork.contract(unlabelled, scope) {
                self.jobs.cancel(job);
                return contracted;
            }
            // Nothing has changed after all: the node is given back as it was, so that versions of the tree share it.
            if unlabelled == [false; 2] && fork.row == before {
                self.jobs.cancel(job);
                return SplitState::Settled(Slot { label, link: fork.restore() });
            }
        }
        // Only now: had the node contracted, these records would have moved up, and their labels been computed for nothing.
        for side in (0..2).filter(|&side| unlabelled[side]) {
            if let Link::LeafGroup(group) = &fork.links[side] {
                self.jobs.label(group.records(), depth + 1, job.child(side));
            }
        }
        self.jobs.set(job, fork.owner, fork.row, fork.links);
        SplitState::Pending
    }

    /// Changes what is at most one leaf group.
    fn fill(
        &mut self,
        group: Option<LeafGroup<X>>,
        label: Label,
        edits: &mut [Edit<X>],
        depth: usize,
        scope: Scope<'_>,
        parent: u32,
    ) -> SplitState<X> {
        self.note(group.as_ref(), edits);
        match (group, edits) {
            (None, edits) if edits.iter().all(|edit| edit.extra.is_some()) => {
                self.added += edits.len() as isize;
                self.build(edits, depth, scope, parent)
            }
            // The commonest case by far: values change and paths do not, so the group keeps its form and its place.
            (Some(mut group), edits) if edits.iter().all(|edit| keeps_paths(&group, edit)) => {
                if replace(&mut group, edits) {
                    return SplitState::LeafGroup(group);
                }
                SplitState::Settled(Slot { label, link: Link::LeafGroup(group) })
            }
            (group, edits) => {
                let before = group.as_ref().map_or(0, |group| group.records().len());
                let mut records = merge(group, edits);
                self.added += records.len() as isize - before as isize;
                self.build(&mut records, depth, scope, parent)
            }
        }
    }

    /// Makes the subtree of these records, which are edits that remove nothing.
    fn build(&mut self, records: &mut [Edit<X>], depth: usize, scope: Scope<'_>, parent: u32) -> SplitState<X> {
        match records.len() {
            0 => return SplitState::Settled(Slot::default()),
            count if count <= scope.group_max() => {
                return SplitState::LeafGroup(LeafGroup::of(count, records.iter_mut().filter_map(Edit::take)));
            }
            _ => {}
        }
        let job = self.jobs.open(depth, parent);
        let mut fork = SplitNode::new();
        let middle = lefts(records, depth);
        let (left, right) = records.split_at_mut(middle);
        for (side, records) in [left, right].into_iter().enumerate() {
            match self.build(records, depth + 1, scope.children(depth)[side], job.child(side)) {
                SplitState::Settled(slot) => fork.put(side, slot),
                // Labels are not computed here but handed to the jobs, which hash many at a time side by side.
                SplitState::LeafGroup(group) => {
                    self.jobs.label(group.records(), depth + 1, job.child(side));
                    fork.links[side] = Link::LeafGroup(group);
                }
                SplitState::Pending => {}
            }
        }
        self.jobs.set(job, fork.owner, fork.row, fork.links);
        SplitState::Pending
    }
}

/// A history tree grafts what it changes first, and a full tree has no stubs.
fn below_stub() -> ! {
    unreachable!("a change below a stub")
}

/// Whether the set of paths stays as it is: a record replaced, or none removed.
fn keeps_paths<X>(group: &LeafGroup<X>, edit: &Edit<X>) -> bool {
    group.find(&edit.path).is_some() == edit.extra.is_some()
}

/// Replaces the records that are set. Returns whether the label is another one now.
fn replace<X: Clone>(group: &mut LeafGroup<X>, edits: &mut [Edit<X>]) -> bool {
    let mut changed = false;
    for new in edits.iter_mut().filter_map(Edit::take) {
        if let Some(old) = group.records_mut().iter_mut().find(|old| old.path == new.path) {
            changed |= old.digest != new.digest;
            *old = new;
        }
    }
    changed
}

/// The records of a leaf group after some edits, as edits that remove nothing.
fn merge<X: Clone>(group: Option<LeafGroup<X>>, edits: &mut [Edit<X>]) -> Vec<Edit<X>> {
    let old = group.as_ref().map_or(0, |group| group.records().len());
    let mut merged = Vec::with_capacity(old + edits.len());
    let mut edits = edits.iter_mut().peekable();
    if let Some(group) = group {
        group.each(|record| {
            while let Some(edit) = edits.next_if(|edit| edit.path < record.path) {
                merged.extend(edit.take().map(Edit::set));
            }
            match edits.next_if(|edit| edit.path == record.path) {
                Some(edit) => merged.extend(edit.take().map(Edit::set)),
                None => merged.push(Edit::set(record)),
            }
        });
    }
    merged.extend(edits.filter_map(Edit::take).map(Edit::set));
    merged
}
