//! The state after a block, as one node holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{
    HistoryTree, KeepError, NotHeld, OutlineNode, Path, Prefix, Proof, ValueDigest, VerifiedProof, WrittenHeight,
};
use pleach_types::committee::CommitteeError;
use pleach_types::genesis::GenesisError;
use pleach_types::history::Peaks;
use pleach_types::void::Void;
use pleach_types::{
    BlockResult, ClusterRecord, Committee, Decode, DecodeError, Evidence, Genesis, Hash, Height, Identity, Key, Limits,
    PublicKey, SystemRefusal, Terms, UsedCode,
};
use thiserror::Error;

use crate::call::PreparedCall;
use crate::prepare::Prepared;
use crate::results::ResultHistory;
use crate::system::{self, ClusterState, DecisionGround, PreparedSystem};
use crate::window::{Remembered, Window, warm_code};

/// Everything that the next block's execution depends on. Cloning shares everything.
///
/// Of the records of its own prefixes a node keeps the digests here, and their values in its store; of all others, the
/// digests of what the last T blocks wrote. Whatever it keeps, it decides every request like a node that keeps everything (docs/design.md section 4).
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) fixed: Arc<Fixed>,
    pub(crate) cluster: Arc<ClusterState>,
    pub(crate) tree: HistoryTree,
    pub(crate) window: Window,
    /// The results of the last T heights, that of `result` included.
    pub(crate) results: ResultHistory,
    /// The results of all heights below that of `result`.
    pub(crate) peaks: Peaks,
    pub(crate) result: BlockResult,
}

/// What a height of the window left behind, for [`State::restore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastHeight {
    /// What it came to.
    pub result: BlockResult,
    /// The paths that it wrote, in ascending order.
    pub written: Vec<Path>,
    /// The identities of the requests that have a receipt.
    pub identities: BTreeSet<Identity>,
    /// The code that they ran, warm or not, in the order of the digests.
    pub code: Vec<UsedCode>,
}

/// Why a state cannot be made of what a store kept.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The genesis breaks a rule.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// There is not even the state's own height.
    #[error("the window has no height, not even the state's own")]
    NoHeights,
    /// Two heights of the window do not follow each other.
    #[error("height {above} of the window does not follow height {below}")]
    Gap {
        /// The one below.
        below: Height,
        /// The one above.
        above: Height,
    },
    /// The results of the heights before are not those that the newest result commits to.
    #[error("a history of {size} results with root {found}, height {height} calls for root {expected}")]
    History {
        /// How many results there are.
        size: u64,
        /// Their root.
        found: Hash,
        /// The state's height: how many there should be.
        height: Height,
        /// The root that the result of that height names.
        expected: Hash,
    },
    /// The value given for the record of the cluster is none.
    #[error("the record of the cluster does not decode: {0}")]
    Cluster(#[from] DecodeError),
    /// The record of the cluster names no members that can be.
    #[error("the record of the cluster names members that cannot be: {0}")]
    Committee(#[from] CommitteeError),
    /// The record of the cluster is not the one in the tree.
    #[error("the record of the cluster has digest {found}, the tree has {}", held.map_or("none".into(), |held| held.to_string()))]
    OtherCluster {
        /// The digest of the value given.
        found: Hash,
        /// That in the tree.
        held: Option<Hash>,
    },
    /// The newest result names other members than the record of the cluster.
    #[error("height {height} is of the {which} {found}, the record of the cluster has {expected}")]
    Members {
        /// The height.
        height: Height,
        /// Which members: those in force, or the next.
        which: &'static str,
        /// The digest that its result names.
        found: Hash,
        /// That of the record.
        expected: Hash,
    },
    /// The bytes of code that is warm are not given, or are of another size than the height says.
    #[error("height {height} used the code {digest} of {listed} bytes, {} are there", given(*found))]
    Code {
        /// The height that ran it.
        height: Height,
        /// Its digest.
        digest: Hash,
        /// How many bytes it has, by what the height left behind.
        listed: u32,
        /// How many were given, if any.
        found: Option<usize>,
    },
    /// Records, outline and window contradict each other.
    #[error(transparent)]
    Tree(#[from] pleach_tree::RestoreError),
}

/// The code of an operation, to be run.
pub(crate) struct Code {
    pub(crate) digest: Hash,
    pub(crate) bytes: Bytes,
    /// Whether it is warm: an earlier execution has paid for translating it.
    pub(crate) warm: bool,
}

fn given(bytes: Option<usize>) -> String {
    bytes.map_or_else(|| "none".into(), |bytes| bytes.to_string())
}

/// What never changes.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) genesis: Genesis,
    pub(crate) digest: Hash,
    /// Where the record of the cluster stands.
    cluster: (Key, Path),
}

impl Fixed {
    fn new(genesis: Genesis) -> Result<Arc<Self>, GenesisError> {
        genesis.check()?;
        let key = ClusterRecord::key();
        let path = key.path();
        Ok(Arc::new(Self { digest: genesis.digest(), genesis, cluster: (key, path) }))
    }

    /// What is kept beside what a caller asks for: no request of the system proves the record that it changes, and the
    /// last block of an epoch changes it without any request. So every state has it at hand.
    fn kept(&self, kept: impl IntoIterator<Item = Prefix>) -> impl Iterator<Item = Prefix> {
        kept.into_iter().chain([Prefix::new(self.cluster.1, Path::BITS)])
    }
}

/// The bytes of all code that is warm after these heights, or what there is to say about the first that is not there.
fn warm_bytes(
    genesis: &Genesis,
    newest: Height,
    heights: &[PastHeight],
    code: &BTreeMap<Hash, Bytes>,
) -> Result<BTreeMap<Hash, Bytes>, RestoreError> {
    let used = heights.iter().map(|past| (past.result.height, &past.code[..]));
    let warm = warm_code(genesis, newest, used).into_iter();
    warm.map(|(digest, (height, listed))| match code.get(&digest) {
        Some(bytes) if bytes.len() == listed as usize => Ok((digest, bytes.clone())),
        found => Err(RestoreError::Code { height, digest, listed, found: found.map(Bytes::len) }),
    })
    .collect()
}

impl State {
    /// The state of height 0, keeping everything.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn genesis(genesis: Genesis) -> Result<Self, GenesisError> {
        Self::keeping(genesis, [Prefix::ALL])
    }

    /// The state of height 0 as the member with this key keeps it; one that is no member keeps the record of the cluster.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn of_member(genesis: Genesis, key: &PublicKey) -> Result<Self, GenesisError> {
        let kept = genesis.partition_map().kept(&genesis.members, key);
        Self::keeping(genesis, kept)
    }

    /// The state of height 0, keeping the records under these prefixes, and the one of the cluster.
    ///
    /// # Errors
    /// If the genesis breaks a rule.
    pub fn keeping(genesis: Genesis, kept: impl IntoIterator<Item = Prefix>) -> Result<Self, GenesisError> {
        let fixed = Fixed::new(genesis)?;
        let cluster = Arc::new(ClusterState::new(ClusterRecord::genesis(&fixed.genesis))?);
        let tree = HistoryTree::from_full(&fixed.genesis.tree(), fixed.genesis.window, fixed.kept(kept));
        let result = BlockResult::genesis(tree.root().into(), cluster.committee.digest());
        let window = Window::genesis(fixed.genesis.window, fixed.genesis.limits.warm_code_bytes.into());
        let mut results = ResultHistory::new(fixed.genesis.window);
        results.push(&result);
        Ok(Self { fixed, cluster, tree, window, results, peaks: Peaks::default(), result })
    }

    /// A state as it was, from what a store kept of it.
    ///
    /// `cluster` is the value of the record `.cluster`; `parts` are the kept records as leaves and the outline, in the order of their places
    /// ([`HistoryTree::from_parts`]); `peaks` stand for the results of all heights before the state's; `heights` are those
    /// of the window, the oldest first, the last one the state's own; `code` has the bytes of what they used and is warm
    /// still, by digest, which the caller has compared.
    ///
    /// # Errors
    /// If the genesis breaks a rule, heights are missing or do not follow each other, bytes of warm code are missing, or
    /// parts, peaks and heights contradict.
    pub fn restore(
        genesis: Genesis,
        kept: impl IntoIterator<Item = Prefix>,
        cluster: &Bytes,
        peaks: Peaks,
        heights: Vec<PastHeight>,
        code: &BTreeMap<Hash, Bytes>,
        parts: impl IntoIterator<Item = (Prefix, OutlineNode)>,
    ) -> Result<Self, RestoreError> {
        let fixed = Fixed::new(genesis)?;
        let result = heights.last().ok_or(RestoreError::NoHeights)?.result;
        let height = result.height;
        if !peaks.precede(&result) {
            let (size, found, expected) = (peaks.size(), peaks.root(), result.history);
            return Err(RestoreError::History { size, found, height, expected });
        }
        // The tree holds this record's digest alone. Whoever supplies the bytes must not be able to name other members than the root does, so they are
        // compared with the certified sets here, and with the digest in the tree below.
        let value = ValueDigest::of(cluster);
        let cluster = ClusterState::new(ClusterRecord::decode_shared(cluster.clone())?)?;
        for (which, found, expected) in [
            ("members", result.members, cluster.committee.digest()),
            ("next members", result.next, cluster.next.digest()),
        ] {
            if found != expected {
                return Err(RestoreError::Members { height, which, found, expected });
            }
        }
        // A height left out would shorten the window without a trace: identities of that height could be executed twice.
        for pair in heights.windows(2) {
            let (below, above) = (pair[0].result.height, pair[1].result.height);
            if below.checked_add(1) != Some(above) {
                return Err(RestoreError::Gap { below, above });
            }
        }
        let length = fixed.genesis.window;
        let oldest = Window::oldest(length, height);
        let code = warm_bytes(&fixed.genesis, height, &heights, code)?;
        let (mut window, mut traces, mut results) = (Vec::new(), BTreeMap::new(), ResultHistory::new(length));
        for PastHeight { result, written, identities, code } in heights {
            if result.height >= oldest {
                results.push(&result);
                traces.insert(result.height, Remembered { identities, code });
            }
            window.push(WrittenHeight { root: result.root.into(), written: written.into() });
        }
        let tree = HistoryTree::from_parts(length, fixed.kept(kept), height, window, parts)?;
        // `from_parts` has compared the root of all parts with that of the newest height, so what the tree holds here is certified.
        let held = tree.get(&fixed.cluster.1).ok().flatten();
        if held != Some(value) {
            return Err(RestoreError::OtherCluster { found: value.into(), held: held.map(Hash::from) });
        }
        let warm_bytes = fixed.genesis.limits.warm_code_bytes.into();
        let window = Window::restore(length, warm_bytes, height, traces, code);
        Ok(Self { fixed, cluster: Arc::new(cluster), tree, window, results, peaks, result })
    }

    /// This state with the records under other prefixes kept, and the one of the cluster. What is not held comes from `content`, a
    /// proof of the root of one of the last T heights ([`HistoryTree::set_kept`]).
    ///
    /// # Errors
    /// If a record to be kept is neither held nor in `content`, or if `content` is of another tree.
    pub fn with_kept(
        &self,
        kept: impl IntoIterator<Item = Prefix>,
        content: Option<&VerifiedProof>,
    ) -> Result<Self, KeepError> {
        let mut state = self.clone();
        state.tree.set_kept(self.fixed.kept(kept), content)?;
        Ok(state)
    }

    /// Whether the record at this path is of a prefix that is kept here.
    #[must_use]
    pub fn keeps(&self, path: &Path) -> bool {
        self.tree.keeps(path)
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
        &self.fixed.genesis
    }

    /// The digest of the genesis.
    #[must_use]
    pub fn genesis_digest(&self) -> &Hash {
        &self.fixed.digest
    }

    /// The members that certify the next block.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.cluster.committee
    }

    /// The members of the next epoch, as far as it is decided.
    #[must_use]
    pub fn next_committee(&self) -> &Committee {
        &self.cluster.next
    }

    /// The record of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterRecord {
        &self.cluster.record
    }

    /// The terms of the next block: what it may cost, and by which rules it is executed.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let record = self.cluster();
        let turned = system::at_start(record, self.cluster_genesis(), self.height() + 1);
        turned.as_ref().unwrap_or(record).terms
    }

    /// The limits of the next block, and of the requests in it.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.terms().limits(&self.cluster_genesis().limits)
    }

    /// The key and the path of the record of the cluster.
    pub(crate) fn cluster_place(&self) -> (&Key, &Path) {
        (&self.fixed.cluster.0, &self.fixed.cluster.1)
    }

    /// What requests of the system in the next block are decided by.
    pub(crate) fn ground(&self) -> DecisionGround<'_> {
        DecisionGround {
            genesis: self.cluster_genesis(),
            digest: self.genesis_digest(),
            height: self.height() + 1,
            results: &self.results,
        }
    }

    /// What stands for the results of all heights before this one.
    #[must_use]
    pub const fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// What is held of the tree.
    #[must_use]
    pub const fn tree(&self) -> &HistoryTree {
        &self.tree
    }

    /// How many records are kept.
    #[must_use]
    pub fn kept_records(&self) -> usize {
        self.tree.kept_records()
    }

    /// The code that the newest block ran, in the order of the digests: also what is not warm, because the
    /// block ran more than there is room for.
    #[must_use]
    pub fn newest_used(&self) -> &[UsedCode] {
        self.window.newest_used()
    }

    /// The code that the newest block ran, by digest, as far as it is warm.
    pub fn newest_code(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.window.newest_code()
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
        let call = match prepared {
            Prepared::Client(call) => call,
            Prepared::System(system) => return self.foresee(system).map(drop),
        };
        self.check_window(call)?;
        match call.first_stale(&self.tree) {
            Some(_) => Ok(()),
            None => self.code(call).map(drop),
        }
    }

    /// What a request of the system, as the first of the next block, would be refused for, if it were. Who leaves for its absence with
    /// the end of an epoch depends on who leads that block, and is not foreseen.
    ///
    /// # Errors
    /// Why it would be void.
    pub fn foresee(&self, prepared: &PreparedSystem) -> Result<Option<SystemRefusal>, Void> {
        self.check_new(&prepared.identity())?;
        let ground = self.ground();
        let turned = system::at_start(self.cluster(), ground.genesis, ground.height);
        let record = turned.as_ref().unwrap_or_else(|| self.cluster());
        system::decide(record, ground, prepared.request()).map(Result::err)
    }

    /// Whether evidence of this kind could convict whom it accuses, whatever it shows: who takes complaints in asks this before it
    /// checks a signature.
    ///
    /// # Errors
    /// That the key is nobody's, or of a member that has been convicted.
    pub fn may_be_accused(&self, evidence: &Evidence) -> Result<(), SystemRefusal> {
        system::accused(self.cluster(), evidence).map(drop)
    }

    /// Whether the identity was not ordered in the window.
    pub(crate) fn check_new(&self, identity: &Identity) -> Result<(), Void> {
        self.window.ordered_at(identity).map_or(Ok(()), |height| Err(Void::Duplicate { height }))
    }

    /// Step 2: identity, base, root.
    pub(crate) fn check_window(&self, prepared: &PreparedCall) -> Result<(), Void> {
        self.check_new(&prepared.identity())?;
        let base = prepared.request().body.base;
        let (root, found) = (self.root_at(base)?, prepared.proof_root());
        if root == found { Ok(()) } else { Err(Void::RootMismatch { base, root, found }) }
    }

    /// The root that a proof of this height must have. Whoever takes requests in asks this before it hashes a proof.
    ///
    /// # Errors
    /// That the height is not in the window.
    pub fn root_at(&self, base: Height) -> Result<Hash, Void> {
        let newest = self.height();
        let Some(age) = newest.checked_sub(base) else { return Err(Void::ProofFromFuture { base, newest }) };
        let root = self.tree.recent_root(base).map(Hash::from);
        root.ok_or(Void::ProofTooOld { age, window: self.fixed.genesis.window })
    }

    /// Step 4: the operation's code, warm or from the request. `None` if the proof shows that there is no such operation.
    pub(crate) fn code(&self, prepared: &PreparedCall) -> Result<Option<Code>, Void> {
        let Some(digest) = prepared.operation().map(Hash::from) else { return Ok(None) };
        let warm = self.window.warm(&digest);
        match warm.or(prepared.carried()) {
            Some(bytes) => Ok(Some(Code { digest, bytes: bytes.clone(), warm: warm.is_some() })),
            None => Err(Void::CodeCold(prepared.call().operation.clone())),
        }
    }

    /// The height at which code was last run, while it is warm: from the next block on it stays so for T heights after
    /// that, unless other code takes its room.
    #[must_use]
    pub fn warm_since(&self, digest: &Hash) -> Option<Height> {
        self.window.warm_since(digest)
    }

    /// All code that is warm, by digest.
    pub fn warm_code(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.window.warm_code()
    }
}
