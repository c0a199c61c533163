//! A tree without keys and values.

use std::fmt;

use crate::{
    core::Core,
    edit::Edit,
    iter::Records,
    label::{Label, ValueDigest},
    node::Record,
    path::Path,
    proof::{self, Proof},
};

/// The tree of a map whose keys and values are elsewhere, or nowhere: it holds paths and value digests alone, and has
/// the same root and the same proofs as the [`Tree`](crate::Tree) of the whole records, at half the memory or less.
///
/// A clone is a snapshot, as with [`Tree`](crate::Tree).
#[derive(Clone, Default)]
pub struct DigestTree {
    pub(crate) core: Core<()>,
}

impl DigestTree {
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

    /// The value digest of the record at `path`.
    pub fn get(&self, path: &Path) -> Option<ValueDigest> {
        self.core.find(path).map(|record| record.digest)
    }

    /// The records in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (Path, ValueDigest)> {
        Records::new(&self.core.root.link).map(|record| (record.path, record.digest))
    }

    /// Applies a batch, like [`Tree::apply`](crate::Tree::apply): `None` removes a record, and the last change of a
    /// path wins.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = (Path, Option<ValueDigest>)>) {
        self.core.apply(changes.into_iter().map(edit).collect());
    }

    /// Proves, for every one of `paths`, the digest of its value or its absence.
    pub fn prove(&self, paths: impl IntoIterator<Item = Path>) -> Proof {
        proof::cut(proof::TreeView::new(&self.core.root), paths.into_iter().collect())
    }
}

/// The edit of a record without anything beside path and digest.
pub(crate) fn edit((path, digest): (Path, Option<ValueDigest>)) -> Edit<()> {
    match digest {
        None => Edit::remove(path),
        Some(digest) => Edit::set(Record { path, digest, extra: () }),
    }
}

impl PartialEq for DigestTree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for DigestTree {}

impl fmt::Debug for DigestTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestTree").field("root", &self.root()).field("len", &self.len()).finish()
    }
}

impl Extend<(Path, ValueDigest)> for DigestTree {
    fn extend<I: IntoIterator<Item = (Path, ValueDigest)>>(&mut self, records: I) {
        self.apply(records.into_iter().map(|(path, digest)| (path, Some(digest))));
    }
}

impl FromIterator<(Path, ValueDigest)> for DigestTree {
    fn from_iter<I: IntoIterator<Item = (Path, ValueDigest)>>(records: I) -> Self {
        let mut tree = Self::new();
        tree.extend(records);
        tree
    }
}
