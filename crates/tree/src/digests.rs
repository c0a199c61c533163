//! A tree without keys and values.

use crate::{
    core::{Core, face},
    edit::Edit,
    iter::Records,
    label::{Label, ValueDigest},
    node::Entry,
    path::Path,
    prefix::{Prefix, disjoint},
    proof::{self, Proof, TreeView},
};

/// The tree of a map whose keys and values are elsewhere, or nowhere: it holds paths and value digests alone, and has
/// the same root and the same proofs as the [`Tree`](crate::Tree) of the whole records, at half the memory or less.
///
/// A clone is a snapshot, as with [`Tree`](crate::Tree).
#[derive(Clone, Default)]
pub struct DigestTree {
    pub(crate) core: Core<()>,
}

face!(DigestTree, (Path, ValueDigest));

impl DigestTree {
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
        self.core.apply(changes, edit);
    }

    /// Proves, for every one of `paths`, the digest of its value or its absence.
    pub fn prove(&self, paths: impl IntoIterator<Item = Path>) -> Proof {
        proof::cut(TreeView::new(&self.core.root), paths.into_iter().collect())
    }

    /// Proves every record under `prefixes`. The holder can make a [`Partition`](crate::Partition) of it.
    pub fn partition(&self, prefixes: impl IntoIterator<Item = Prefix>) -> Proof {
        proof::cut_prefixes(TreeView::new(&self.core.root), &disjoint(prefixes))
    }

    /// A part of a partition that is small enough to be sent: the largest prefix within `within` that begins at
    /// `start` and whose proof takes at most `max_bytes`, with that proof. The next one begins at [`Prefix::next`].
    ///
    /// `None` if `start` is not in `within`, or if not even the shortest proof there is fits.
    ///
    /// ```
    /// use pleach_tree::{DigestTree, Partition, Path, Prefix, ValueDigest};
    ///
    /// let record = |i: u32| (Path::of(&i.to_le_bytes()), ValueDigest::of(b"x"));
    /// let tree: DigestTree = (0..500).map(record).collect();
    /// let (mut start, mut records) = (Some(Prefix::ALL.first()), 0);
    /// while let Some(path) = start {
    ///     let (prefix, proof) = tree.chunk(&Prefix::ALL, &path, 4096).expect("a record fits");
    ///     assert!(proof.encoded_len() <= 4096);
    ///     records += Partition::new(proof.verify(tree.root())?, [prefix])?.records().count();
    ///     start = prefix.next();
    /// }
    /// assert_eq!(records, 500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn chunk(&self, within: &Prefix, start: &Path, max_bytes: usize) -> Option<(Prefix, Proof)> {
        proof::chunk(TreeView::new(&self.core.root), within, start, max_bytes)
    }
}

/// The edit of a record without anything beside path and digest.
pub(crate) fn edit((path, digest): (Path, Option<ValueDigest>)) -> Edit<()> {
    match digest {
        None => Edit::remove(path),
        Some(digest) => Edit::set(Entry { path, digest, extra: () }),
    }
}
