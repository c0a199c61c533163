//! The state after a block.

use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{Tree, ValueDigest};
use pleach_types::codec::Encode;
use pleach_types::genesis::GenesisError;
use pleach_types::hash::Domain;
use pleach_types::receipt::Void;
use pleach_types::{BlockResult, Genesis, Hash, Height, Key};

use crate::prepare::Prepared;
use crate::window::Window;

/// Everything that the next block's execution depends on. Cloning shares everything.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) tree: Tree,
    pub(crate) window: Window,
    pub(crate) result: BlockResult,
}

/// What never changes.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) digest: Hash,
}

impl State {
    /// The state of height 0.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn genesis(genesis: Genesis) -> Result<Self, GenesisError> {
        genesis.check()?;
        let records = genesis.all_records()?;
        let mut tree = Tree::new();
        tree.apply(records.into_iter().map(|(key, value)| (Bytes::from(String::from(key)), Some(value))));
        let root = tree.root().into();
        let result = BlockResult { height: 0, root, receipts: Tree::new().root().into(), written: written_digest([]) };
        let window = Window::genesis(genesis.history, root);
        let digest = genesis.digest();
        Ok(Self { cluster: Arc::new(Cluster { genesis, digest }), tree, window, result })
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

    /// The records.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The digest of a record's value.
    #[must_use]
    pub fn digest_of(&self, key: &Key) -> Option<ValueDigest> {
        self.tree.value_digest(key.as_bytes())
    }

    /// Whether the request, as the first of the next block, would get a receipt: `Ok` exactly then. The
    /// receipt may be a refusal, [`pleach_types::Refusal::StaleRecord`] included.
    ///
    /// # Errors
    /// Why it would be void.
    pub fn check(&self, prepared: &Prepared) -> Result<(), Void> {
        self.check_window(prepared)?;
        match prepared.first_stale(|key| self.digest_of(key)) {
            Some(_) => Ok(()),
            None => self.code(prepared).map(drop),
        }
    }

    /// Step 2: identity, base, root.
    pub(crate) fn check_window(&self, prepared: &Prepared) -> Result<(), Void> {
        if let Some(height) = self.window.ordered_at(&prepared.identity()) {
            return Err(Void::Duplicate { height });
        }
        let base = prepared.request().body.base;
        let (root, found) = (self.window.root(base)?, prepared.proof_root());
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
pub(crate) fn written_digest(paths: impl IntoIterator<Item = [u8; 32]>) -> Hash {
    let mut bytes = Vec::new();
    for path in paths {
        Hash(path).encode_to(&mut bytes);
    }
    Hash::of(Domain::Written, &bytes)
}
