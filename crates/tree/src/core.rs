//! A full tree, whatever its records carry.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    batch::EditBatch,
    edit::{self, Edit, Work},
    jobs::Jobs,
    leaf_group::LeafGroup,
    node::{Entry, Internal, Link, Slot, terminal},
    path::Path,
    prefix::Scope,
};

/// Gives a tree around a [`Core`] what all such trees have.
macro_rules! face {
    ($tree:ident, $record:ty) => {
        impl $tree {
            /// A tree without records.
            pub fn new() -> Self {
                Self::default()
            }

            /// The label of the whole tree.
            pub fn root(&self) -> Label {
                self.core.root.label
            }

            /// The number of records.
            pub fn len(&self) -> usize {
                self.core.len
            }

            /// Whether there is no record.
            pub fn is_empty(&self) -> bool {
                self.core.len == 0
            }
        }

        impl PartialEq for $tree {
            fn eq(&self, other: &Self) -> bool {
                self.root() == other.root()
            }
        }

        impl Eq for $tree {}

        impl std::fmt::Debug for $tree {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($tree)).field("root", &self.root()).field("len", &self.len()).finish()
            }
        }

        impl Extend<$record> for $tree {
            fn extend<I: IntoIterator<Item = $record>>(&mut self, records: I) {
                self.apply(records.into_iter().map(|(place, content)| (place, Some(content))));
            }
        }

        impl FromIterator<$record> for $tree {
            fn from_iter<I: IntoIterator<Item = $record>>(records: I) -> Self {
                let mut tree = Self::new();
                tree.extend(records);
                tree
            }
        }
    };
}
pub(crate) use face;

/// All records, none of them pruned.
#[derive(Clone)]
pub(crate) struct Core<X> {
    pub(crate) root: Slot<X>,
    pub(crate) len: usize,
    pub(crate) scratch: Scratch<X>,
}

/// The memory in which batches work, kept from one to the next: some hundred kilobytes that an allocator would return
/// to the system and fetch again each time. All versions of a tree share it; one that finds it in use takes new.
pub(crate) struct Scratch<X> {
    jobs: Arc<Mutex<Option<Jobs<X>>>>,
}

impl<X> Clone for Scratch<X> {
    fn clone(&self) -> Self {
        Self { jobs: Arc::clone(&self.jobs) }
    }
}

impl<X> Default for Scratch<X> {
    fn default() -> Self {
        Self { jobs: Arc::default() }
    }
}

impl<X> Scratch<X> {
    pub(crate) fn take(&self) -> Jobs<X> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(Jobs::new)
    }

    /// Drops a tree, keeping some of its nodes for other versions.
    pub(crate) fn dismantle(&self, link: Link<X>) {
        let Link::Internal(node) = &link else { return };
        if Arc::strong_count(node) > 1 {
            return;
        }
        let mut jobs = self.take();
        jobs.spare.dismantle(link);
        if Arc::strong_count(&self.jobs) > 1 {
            self.give_back(jobs);
        }
    }

    pub(crate) fn give_back(&self, jobs: Jobs<X>) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(jobs);
    }
}

impl<X> Default for Core<X> {
    fn default() -> Self {
        Self { root: Slot::default(), len: 0, scratch: Scratch::default() }
    }
}

impl<X> Drop for Core<X> {
    fn drop(&mut self) {
        self.scratch.dismantle(self.root.take().link);
    }
}

impl<X> Core<X> {
    pub(crate) fn find(&self, path: &Path) -> Option<&Entry<X>> {
        match terminal(&self.root.link, path) {
            (Link::LeafGroup(group), _) => group.find(path),
            _ => None,
        }
    }
}

impl<X> Core<X> {
    /// The same tree with bare records.
    pub(crate) fn digests(&self) -> Core<()> {
        let root = Slot { label: self.root.label, link: bare(&self.root.link) };
        Core { root, len: self.len, scratch: Scratch::default() }
    }
}

/// Recursion is bounded by the length of a path.
fn bare<X>(link: &Link<X>) -> Link<()> {
    match link {
        Link::Empty => Link::Empty,
        Link::Stub => Link::Stub,
        Link::LeafGroup(group) => {
            let records = group.records();
            let bare = |record: &Entry<X>| Entry { path: record.path, digest: record.digest, extra: () };
            Link::LeafGroup(LeafGroup::of(records.len(), records.iter().map(bare)))
        }
        Link::Internal(node) => {
            let links = [bare(&node.links[0]), bare(&node.links[1])];
            Link::Internal(Arc::new(Internal { links, touched: node.touched, row: node.row }))
        }
    }
}

impl<X: Clone + Send + Sync> Core<X> {
    /// Applies the changes that `edit` makes of these. Of several of one path the last one counts.
    pub(crate) fn apply<T: Send>(
        &mut self,
        changes: impl IntoIterator<Item = T>,
        edit: impl Fn(T) -> Edit<X> + Send + Sync,
    ) {
        let mut edits = edit::spread(changes.into_iter(), edit);
        let mut batch = EditBatch::new(self.scratch.take(), 0);
        let work = Work::Spread(&mut edits);
        batch.share(work.len());
        self.root = batch.apply(self.root.take(), work, 0, Scope::Inside);
        self.len = self.len.checked_add_signed(batch.added).expect("as many records as there are");
        self.scratch.give_back(batch.finish());
    }
}
