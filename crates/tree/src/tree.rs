//! The tree as its users see it.

use bytes::Bytes;

use crate::{
    core::{Core, face},
    digests::DigestTree,
    edit::Edit,
    iter::Iter,
    label::{Label, ValueDigest},
    node::Entry,
    path::Path,
    prefix::{Prefix, disjoint},
    proof::{self, Proof},
};

/// A map from keys to values with a label that commits to all of it: a binary Merkle prefix tree (thesis
/// 3.1) over the [`Path`]s of the keys.
///
/// Its shape depends on the set of records alone: an internal node stands exactly where two keys or more
/// share the prefix. So the label does too, whatever the order of changes that led there.
///
/// A clone is a snapshot: it takes constant time, shares all nodes, and is not affected by later changes of
/// the original (nor the reverse). Snapshots are `Send + Sync` and need no lock. Keys and values are
/// [`Bytes`]: one that is a slice of a larger buffer keeps that buffer in memory as long as the record lives.
///
/// Two trees are equal if their roots are.
#[derive(Clone, Default)]
pub struct Tree {
    core: Core<KeyValue>,
}

/// What a record of a map has beside path and digest.
#[derive(Clone)]
pub(crate) struct KeyValue {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

face!(Tree, (Bytes, Bytes));

impl Tree {
    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.core.find(&Path::of(key)).map(|record| &record.extra.value)
    }

    /// The digest of the value of `key`, as proofs show it: nothing is hashed but the key.
    pub fn value_digest(&self, key: &[u8]) -> Option<ValueDigest> {
        self.core.find(&Path::of(key)).map(|record| record.digest)
    }

    /// Whether there is a record with this key.
    pub fn contains_key(&self, key: &[u8]) -> bool {
        self.core.find(&Path::of(key)).is_some()
    }

    /// The records as `(key, value)`, in the order of their paths, which looks random but depends on the
    /// keys alone.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.core.root.link, self.core.len)
    }

    /// The keys, in the order of their paths.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys' paths.
    pub fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.iter().map(|(_, value)| value)
    }

    /// Sets the value of `key` and returns the old one.
    ///
    /// A batch given to [`Tree::apply`] is many times cheaper than its changes one by one.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Option<Bytes> {
        let key = key.into();
        let old = self.get(&key).cloned();
        self.apply([(key, Some(value.into()))]);
        old
    }

    /// Removes the record of `key` and returns its value. Without such a record nothing happens.
    pub fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        let old = self.get(key).cloned()?;
        self.apply([(Bytes::copy_from_slice(key), None)]);
        Some(old)
    }

    /// Changes the value of `key` to what `change` makes of the old one; `None` stands for no record, before and after.
    /// Returns the new value.
    ///
    /// ```
    /// let mut counts = pleach_tree::Tree::new();
    /// for word in ["to", "be", "or", "not", "to", "be"] {
    ///     counts.update(word, |old| Some(old.map_or(1, |count| count[0] + 1)).map(|count| vec![count].into()));
    /// }
    /// assert_eq!(counts.get(b"be"), Some(&vec![2].into()));
    /// ```
    pub fn update(
        &mut self,
        key: impl Into<Bytes>,
        change: impl FnOnce(Option<&Bytes>) -> Option<Bytes>,
    ) -> Option<Bytes> {
        let key = key.into();
        let new = change(self.get(&key));
        self.apply([(key, new.clone())]);
        new
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Applies a batch: each key gets its new value, or is removed where the value is `None`. The last
    /// change of a key wins; removing an absent key does nothing.
    ///
    /// Every label concerned is computed once, after all changes, level by level and many at a time.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) {
        self.core.apply(changes, |(key, value)| edit((Path::of(&key), key, value)));
    }

    /// `apply` with each key's path given. Outside of tests the path is always that of the key.
    #[cfg(test)]
    pub(crate) fn apply_at(&mut self, changes: impl IntoIterator<Item = (Path, Bytes, Option<Bytes>)>) {
        self.core.apply(changes, edit);
    }

    /// Proves, for every one of `keys`, its value's digest or its absence. Order and repetition of the keys
    /// do not matter: the proof, and its encoding, is that of the set.
    pub fn prove<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Proof {
        self.prove_paths(keys.into_iter().map(|key| Path::of(key.as_ref())).collect())
    }

    /// Proves every record under `prefixes`. The holder can make a [`Partition`](crate::Partition) of it.
    pub fn partition(&self, prefixes: impl IntoIterator<Item = Prefix>) -> Proof {
        proof::cut_prefixes(proof::TreeView::new(&self.core.root), &disjoint(prefixes))
    }

    /// The same tree without keys and values. It is copied node by node, and nothing is hashed.
    pub fn digests(&self) -> DigestTree {
        DigestTree { core: self.core.digests() }
    }

    pub(crate) fn prove_paths(&self, paths: Vec<Path>) -> Proof {
        proof::cut(proof::TreeView::new(&self.core.root), paths)
    }
}

fn edit((path, key, value): (Path, Bytes, Option<Bytes>)) -> Edit<KeyValue> {
    match value {
        None => Edit::remove(path),
        Some(value) => Edit::set(Entry { path, digest: ValueDigest::of(&value), extra: KeyValue { key, value } }),
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>, const N: usize> From<[(K, V); N]> for Tree {
    fn from(records: [(K, V); N]) -> Self {
        records.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
    }
}

impl<'a> IntoIterator for &'a Tree {
    type Item = (&'a Bytes, &'a Bytes);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
