//! Height 0: the records, the tree and the result that follow from a genesis alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_tree::{DigestTree, Tree, ValueDigest};

use crate::block::{BlockResult, code_digest, written_digest};
use crate::cluster::ClusterRecord;
use crate::codec::Encode;
use crate::genesis::{Genesis, GenesisError};
use crate::hash::Hash;
use crate::history::Peaks;
use crate::key::Key;

impl Genesis {
    /// All records of height 0: the first records and that of the cluster.
    #[must_use]
    pub fn all_records(&self) -> BTreeMap<Key, Bytes> {
        let mut records = self.records.clone();
        records.insert(ClusterRecord::key(), Bytes::from(ClusterRecord::genesis(self).encode()));
        records
    }

    /// The tree of [`Genesis::all_records`].
    #[must_use]
    pub fn tree(&self) -> DigestTree {
        self.all_records().iter().map(|(key, value)| (key.path(), ValueDigest::of(value))).collect()
    }

    /// The root of [`Genesis::tree`].
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree().root().into()
    }

    /// What height 0 came to: it needs nobody's word.
    ///
    /// # Errors
    /// If the members are no committee.
    pub fn result(&self) -> Result<BlockResult, GenesisError> {
        Ok(BlockResult::genesis(self.root(), self.committee()?.digest()))
    }
}

impl BlockResult {
    /// The result of height 0, which ordered nothing, with the root of its records and the first members.
    #[must_use]
    pub fn genesis(root: Hash, members: Hash) -> Self {
        Self {
            height: 0,
            root,
            receipts: Tree::new().root().into(),
            written: written_digest([]),
            code: code_digest([]),
            history: Peaks::default().root(),
            members,
            next: members,
        }
    }
}
