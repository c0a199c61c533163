//! The state after a block, as one node holds it.

use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{DigestTree, HistoryTree, NotHeld, Path, Prefix, Proof, Tree, ValueDigest};
use pleach_types::codec::Encode;
use pleach_types::genesis::GenesisError;
use pleach_types::hash::Domain;
use pleach_types::receipt::Void;
use pleach_types::{BlockResult, Genesis, Hash, Height, Key, PublicKey};
use rpds::RedBlackTreeMapSync;

use crate::prepare::Prepared;
use crate::window::Window;

/// Everything that the next block's execution depends on. Cloning shares everything.
///
/// A node keeps the records of its own prefixes, with their values. Of all others it holds what the last T blocks wrote,
/// as digests. Whatever it keeps, it decides every request like a node that keeps everything (DESIGN section 4).
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) tree: HistoryTree,
    /// The kept records.
    pub(crate) values: RedBlackTreeMapSync<Path, Arc<Record>>,
    pub(crate) window: Window,
    pub(crate) result: BlockResult,
}

/// A record that is kept.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) value: Bytes,
}

/// What never changes.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) digest: Hash,
}

impl State {
    /// The state of height 0, keeping everything.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn genesis(genesis: Genesis) -> Result<Self, GenesisError> {
        Self::keeping(genesis, [Prefix::ALL])
    }

    /// The state of height 0 as the member with this key keeps it; one that is no member keeps nothing.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn of_member(genesis: Genesis, key: &PublicKey) -> Result<Self, GenesisError> {
        let kept = genesis.partition_map().kept(&genesis.members, key);
        Self::keeping(genesis, kept)
    }

    /// The state of height 0, keeping the records under these prefixes.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn keeping(genesis: Genesis, kept: impl IntoIterator<Item = Prefix>) -> Result<Self, GenesisError> {
        genesis.check()?;
        let records = genesis.all_records()?;
        let digests: DigestTree = records.iter().map(|(key, value)| (key.path(), ValueDigest::of(value))).collect();
        let tree = HistoryTree::from_full(&digests, genesis.history, kept);
        let root = tree.root().into();
        let result = BlockResult { height: 0, root, receipts: Tree::new().root().into(), written: written_digest([]) };
        let window = Window::genesis(genesis.history);
        let digest = genesis.digest();
        let cluster = Arc::new(Cluster { genesis, digest });
        let mut state = Self { cluster, tree, values: RedBlackTreeMapSync::new_sync(), window, result };
        records.into_iter().for_each(|(key, value)| state.store(key.path(), &key, Some(value)));
        Ok(state)
    }

    /// Stores a value, or its absence, if the record is of a kept prefix.
    pub(crate) fn store(&mut self, path: Path, key: &Key, value: Option<Bytes>) {
        if !self.keeps(&path) {
            return;
        }
        match value {
            Some(value) => self.values.insert_mut(path, Arc::new(Record { key: key.clone(), value })),
            None => drop(self.values.remove_mut(&path)),
        }
    }

    /// Whether the record at this path is of a prefix that is kept here.
    #[must_use]
    pub fn keeps(&self, path: &Path) -> bool {
        self.tree.kept().iter().any(|prefix| prefix.contains(path))
    }

    /// The height of the block that led here.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.result.height
    }

    /// What that height came to: what the next block must carry.
    #[must_use]
    pub const fn result(&self) -> &BlockResult {
        &self.result
    }

    /// The genesis of the cluster.
    #[must_use]
    pub fn cluster_genesis(&self) -> &Genesis {
        &self.cluster.genesis
    }

    /// The digest of the genesis.
    #[must_use]
    pub fn genesis_digest(&self) -> &Hash {
        &self.cluster.digest
    }

    /// What is held of the tree.
    #[must_use]
    pub const fn tree(&self) -> &HistoryTree {
        &self.tree
    }

    /// The value of a kept record; `None` if there is none, or if it is not kept here ([`State::keeps`]).
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<&Bytes> {
        self.values.get(&key.path()).map(|record| &record.value)
    }

    /// The kept records, in the order of their paths.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Bytes)> {
        self.values.values().map(|record| (&record.key, &record.value))
    }

    /// How many records are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.size()
    }

    /// Whether no record is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Proves records, present or absent.
    ///
    /// # Errors
    /// If one is not held here.
    pub fn prove<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<Proof, NotHeld> {
        self.tree.prove(keys.into_iter().map(Key::path))
    }

    /// Whether the request, as the first of the next block, would get a receipt: `Ok` exactly then. The
    /// receipt may be a refusal, [`pleach_types::Refusal::StaleRecord`] included.
    ///
    /// # Errors
    /// Why it would be void.
    pub fn check(&self, prepared: &Prepared) -> Result<(), Void> {
        self.check_window(prepared)?;
        match prepared.first_stale(&self.tree) {
            Some(_) => Ok(()),
            None => self.code(prepared).map(drop),
        }
    }

    /// Step 2: identity, base, root.
    pub(crate) fn check_window(&self, prepared: &Prepared) -> Result<(), Void> {
        if let Some(height) = self.window.ordered_at(&prepared.identity()) {
            return Err(Void::Duplicate { height });
        }
        let (base, newest) = (prepared.request().body.base, self.height());
        let Some(age) = newest.checked_sub(base) else { return Err(Void::ProofFromFuture { base, newest }) };
        let root = self.tree.recent_root(base).map(Hash::from);
        let root = root.ok_or(Void::ProofTooOld { age, history: self.cluster.genesis.history })?;
        let found = prepared.proof_root();
        if root == found {
            return Ok(());
        }
        let why = format!("it hashes to {}, the root is {}", found.short(), root.short());
        Err(Void::ProofInvalid { base, why })
    }

    /// Step 4: the operation's code with its digest, from the request or warm. `None` if the proof shows that
    /// there is no such operation.
    pub(crate) fn code(&self, prepared: &Prepared) -> Result<Option<(Hash, Bytes)>, Void> {
        let Some(digest) = prepared.operation().map(Hash::from) else { return Ok(None) };
        match self.window.warm(&digest).or(prepared.request().code.as_ref()) {
            Some(code) => Ok(Some((digest, code.clone()))),
            None => Err(Void::CodeCold(prepared.request().body.operation.clone())),
        }
    }
}

/// The digest of the paths that a block wrote, in ascending order.
pub(crate) fn written_digest<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Hash {
    let mut bytes = Vec::new();
    for path in paths {
        Hash((*path).into()).encode_to(&mut bytes);
    }
    Hash::of(Domain::Written, &bytes)
}
