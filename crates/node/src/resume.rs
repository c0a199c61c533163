//! From a store to a node that goes on where it stopped.
//!
//! 1. The store checks itself row by row, and hands over records and outline on the way.
//! 2. The state is rebuilt from them, with the window's entries and the code that is warm; its root has to be that of the newest height.
//! 3. The newest certificate of the window has to hold for it: the store's own checks show that it is as written, this that a quorum stands behind it.
//!
//! Blocks that the engine's archive has beyond that are executed again afterwards, by the engine's delivery. A state that came from others
//! brings the certificate of the block above it: the engine goes on from there, also where the node was stopped before the engine had that block.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_state::{PastHeight, State};
use pleach_store::{Arrival, Error, Held, OpenError, Opened, Progress, StagedChunk, Store, Target, WindowEntry};
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::certificate::{CertificateError, ResultProof};
use pleach_types::genesis::GenesisError;
use pleach_types::{Block, Certificate, ClusterRecord, Encode, Genesis, Height, Key, PublicKey};
use pleach_verify::TrustAnchor;
use thiserror::Error;

use crate::members::Members;

/// Why a node cannot go on with its store.
#[derive(Debug, Error)]
pub enum ResumeError {
    /// The store cannot be opened, or is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed while it was read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The genesis breaks a rule.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The parts of the store contradict each other.
    #[error("the store does not fit together: {0}. Remove its folder and let the node fetch its partition again")]
    State(#[from] pleach_state::RestoreError),
    /// A certificate in the store is none.
    #[error("the store's certificate of height {height} proves nothing: {why}")]
    Certificate {
        /// The height of the certified block.
        height: Height,
        /// What is wrong with it.
        why: CertificateError,
    },
    /// A height of the window is missing.
    #[error("height {0} is missing in the store's window")]
    Missing(Height),
}

/// A checked store and what was rebuilt from it.
pub struct Resumed {
    /// The store.
    pub store: Store,
    /// The state at its height.
    pub(crate) state: State,
    /// The heights of its window, the oldest first; the last one is the state's.
    pub(crate) entries: Vec<WindowEntry>,
    /// Who the members are, and how they came to be.
    pub(crate) members: Members,
    /// The certificate of the block above, if the state came from others and nothing was executed since: the order goes on from there.
    pub(crate) above: Option<Certificate>,
}

impl Resumed {
    /// The height that the store holds.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.state.height()
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.state.kept_records()
    }
}

/// Checks a store and rebuilds the state that it holds, with the prefixes that it keeps: they are the store's own, since records
/// move between members. A store that is empty begins at genesis, with what the member with this key keeps there.
///
/// Every record is read, every label computed again, up to the root that a quorum has certified, or will with the next
/// block: a node serves only what is certified, and stops if the quorum says otherwise.
///
/// # Errors
/// Each reason of [`ResumeError`]. Nothing is repaired.
pub fn resume(
    opened: Opened,
    genesis: &Genesis,
    key: &PublicKey,
    progress: impl FnMut(Progress),
) -> Result<Resumed, ResumeError> {
    let (mut parts, mut cluster): (BTreeMap<Prefix, OutlineNode>, _) = (BTreeMap::new(), None);
    let place = ClusterRecord::key().path();
    // The check hands over each row once, some at a time: the state is made of them without a second pass over the disk.
    let take = |held: &[Held]| {
        parts.extend(held.iter().map(part));
        cluster = held.iter().find_map(|held| value_at(&place, held)).or(cluster.take());
    };
    let store = opened.check(take, progress)?;
    if store.position().is_none() {
        parts = put_genesis(&store, genesis, key)?;
        cluster = Some(ClusterRecord::genesis(genesis).encode().into());
    }
    let kept = store.kept();
    let entries = entries(&store)?;
    let peaks = store.position().map(|position| position.peaks).unwrap_or_default();
    let code = store.warm()?.into_iter().map(|(digest, (_, code))| (digest, code)).collect();
    // A store without the record of the cluster is refused by the next step: an empty value is no such record.
    let cluster = cluster.unwrap_or_default();
    let state = State::restore(genesis.clone(), kept, &cluster, peaks, past(&entries), &code, parts)?;
    let members = Members::new(genesis, &state, store.steps()?);
    check_certificate(&entries, &members.anchor())?;
    // It certifies the state's own height, and no block of the window carries it yet.
    let above = store.above();
    if let Some(certificate) = &above {
        let height = state.height().saturating_add(1);
        let verified = certificate.verify(state.genesis_digest(), state.committee());
        verified.map_err(|why| ResumeError::Certificate { height, why })?;
    }
    Ok(Resumed { store, state, entries, members, above })
}

fn part(held: &Held) -> (Prefix, OutlineNode) {
    match held {
        Held::Record { path, digest, .. } => OutlineNode::record(*path, *digest),
        Held::Outline { at, node } => (*at, *node),
    }
}

fn value_at(place: &Path, held: &Held) -> Option<Bytes> {
    match held {
        Held::Record { path, value, .. } if path == place => Some(value.clone()),
        Held::Record { .. } | Held::Outline { .. } => None,
    }
}

/// Puts height 0 into an empty store.
fn put_genesis(
    store: &Store,
    genesis: &Genesis,
    key: &PublicKey,
) -> Result<BTreeMap<Prefix, OutlineNode>, ResumeError> {
    let state = State::of_member(genesis.clone(), key)?;
    let mut records = genesis.all_records();
    records.retain(|key, _| state.keeps(&key.path()));
    let outline = state.tree().outline();
    let leaf = |(key, value): (&Key, &Bytes)| OutlineNode::record(key.path(), ValueDigest::of(value));
    let parts = records.iter().map(leaf).chain(outline.clone()).collect();
    let entry = WindowEntry {
        result: *state.result(),
        header: Block::genesis(genesis).header,
        requests: 0,
        written: vec![],
        receipts: vec![],
        code: vec![],
        certificate: None,
    };
    // As a state from others arrives: whole or not at all. A crash here leaves an empty store, and the next start begins anew.
    let staging = store.stage(Target { height: 0, root: state.result().root })?;
    staging.put(&StagedChunk { prefix: Prefix::ALL, records, outline })?;
    let (kept, peaks) = (state.tree().kept().to_vec(), state.peaks().clone());
    staging.finish(
        &Arrival { kept, window: vec![entry], code: BTreeMap::new(), peaks, steps: Vec::new(), above: None },
        |_| {},
    )?;
    Ok(parts)
}

fn entries(store: &Store) -> Result<Vec<WindowEntry>, ResumeError> {
    let newest = store.position().map_or(0, |position| position.height());
    let oldest = store.keep().unwrap_or_default().window;
    let entry = |height| store.window(height)?.ok_or(ResumeError::Missing(height));
    (oldest..=newest).map(entry).collect()
}

/// The store's own checks say that it is what was written. This says that a quorum stands behind it: the newest
/// certificate vouches for its header, and the headers are linked.
fn check_certificate(entries: &[WindowEntry], anchor: &TrustAnchor) -> Result<(), ResumeError> {
    let newest = entries.iter().rev().find_map(|entry| Some((entry, entry.certificate.clone()?)));
    let Some((entry, certificate)) = newest else { return Ok(()) };
    let height = entry.result.height;
    let proof = ResultProof { headers: vec![entry.header.clone()], certificate };
    let verified = anchor.result_proof(&proof);
    verified.map(drop).map_err(|why| ResumeError::Certificate { height, why })
}

/// What a state is rebuilt from, of entries of the window.
pub(crate) fn past<'a>(entries: impl IntoIterator<Item = &'a WindowEntry>) -> Vec<PastHeight> {
    let past = |entry: &WindowEntry| PastHeight {
        result: entry.result,
        written: entry.written.clone(),
        identities: entry.receipts.iter().map(|receipt| receipt.identity).collect(),
        code: entry.code.clone(),
    };
    entries.into_iter().map(past).collect()
}
