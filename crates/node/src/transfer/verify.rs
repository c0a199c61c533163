//! Checks of what was fetched, each against what is certified. Pure.

use bytes::Bytes;
use pleach_store::{StagedChunk, WindowEntry};
use pleach_tree::{
    FrameNode, Label, MergeError, Partition, Path, Prefix, Proof, ProofLimits, ValueDigest, VerifiedProof,
};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::certificate::ResultProof;
use pleach_types::history::Peaks;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Certificate, Committee, Decode, Hash};

use super::failure::Lie;
use super::wire::{Chunk, ITEM_BYTES_MAX};

/// What is fetched: the state after a height.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// What the height came to.
    pub result: BlockResult,
    /// The digest of its block.
    pub block: Hash,
    /// The certificate of the block above it: where the order goes on.
    pub floor: Certificate,
}

/// Checks an offer.
pub(super) fn target(encoded: &Bytes, genesis: &Hash, committee: &Committee) -> Result<Target, Lie> {
    let proof = ResultProof::decode_shared(encoded.clone())?;
    let result = *proof.verify(genesis, committee)?.result();
    match &proof.headers[..] {
        [header] => Ok(Target { result, block: header.context.parent, floor: proof.certificate }),
        headers => Err(Lie::Headers(headers.len())),
    }
}

/// Checks an entry of the window against the result and the digest of the block that are certified for its height.
pub(super) fn entry(encoded: &Bytes, result: &BlockResult, block: &Hash) -> Result<WindowEntry, Lie> {
    let entry = WindowEntry::decode_shared(encoded.clone())?;
    let tree = receipts_tree(&entry.receipts);
    let ordered = entry.receipts.is_sorted_by(|a, b| a.index < b.index);
    let checks = [
        ("result", entry.result == *result),
        ("header", entry.block() == *block && entry.header.height == result.height),
        ("written paths", written_digest(&entry.written) == result.written),
        ("receipts", Hash::from(tree.root()) == result.receipts && ordered && tree.len() == entry.receipts.len()),
        ("code", code_digest(&entry.code) == result.code),
        ("certificate", entry.certificate.is_none()),
    ];
    match checks.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(Lie::Entry { what, height: result.height }),
        None => Ok(entry),
    }
}

/// Checks the history of results against what the result says of it.
pub(super) fn peaks(encoded: &Bytes, result: &BlockResult) -> Result<Peaks, Lie> {
    let peaks = Peaks::decode_shared(encoded.clone())?;
    if peaks.precede(result) {
        return Ok(peaks);
    }
    Err(Lie::History { size: peaks.size(), root: peaks.root() })
}

/// Checks code against its digest.
pub(super) fn code(bytes: &Bytes, digest: &Hash) -> Result<(), Lie> {
    let found = Hash::from(ValueDigest::of(bytes));
    if found == *digest { Ok(()) } else { Err(Lie::Code { expected: *digest, found }) }
}

fn proof(encoded: &[u8], root: &Hash) -> Result<VerifiedProof, Lie> {
    let max_bytes = ITEM_BYTES_MAX;
    let limits = ProofLimits { max_bytes, max_nodes: max_bytes / 8, max_leaves: max_bytes / 64 };
    Ok(Proof::decode(encoded, &limits)?.verify(Label::from_bytes(root.0))?)
}

/// Checks a proof of paths.
pub(super) fn paths(encoded: &Bytes, root: &Hash, paths: &[Path]) -> Result<VerifiedProof, Lie> {
    let proof = proof(encoded, root)?;
    match paths.iter().find(|path| proof.get_path(path).is_err()) {
        Some(path) => Err(Lie::LeavesOut(*path)),
        None => Ok(proof),
    }
}

/// Checks a chunk that was asked for from `start` on. Returns it as the store takes it, with the tree's leaves.
pub(super) fn chunk(
    encoded: &Bytes,
    root: &Hash,
    (within, start): (&Prefix, &Path),
) -> Result<(StagedChunk, Vec<(Prefix, FrameNode)>), Lie> {
    let Chunk { prefix, proof: bytes, records } = Chunk::decode_shared(encoded.clone())?;
    if !within.covers(&prefix) || prefix.first() != *start {
        return Err(Lie::Elsewhere { prefix, start: *start, within: *within });
    }
    let partition = Partition::new(proof(&bytes, root)?, [prefix])?;
    let mut proved = partition.records();
    let mut leaves = Vec::with_capacity(records.len());
    for (key, value) in &records {
        let record = (key.path(), ValueDigest::of(value));
        if proved.next() != Some(record) {
            return Err(Lie::Record(key.clone()));
        }
        leaves.push(FrameNode::record(record.0, record.1));
    }
    match proved.next() {
        Some((path, _)) => Err(Lie::RecordLeftOut(path)),
        None => Ok((StagedChunk { prefix, records: records.into_iter().collect(), frame: Default::default() }, leaves)),
    }
}

/// Puts proofs of one root together, two at a time, so that each is copied a logarithmic number of times.
pub(super) fn merged(mut proofs: Vec<VerifiedProof>) -> Result<Option<VerifiedProof>, MergeError> {
    while proofs.len() > 1 {
        let pairs = proofs.chunks(2).map(|pair| match pair {
            [one, other] => one.merge(other),
            pair => Ok(pair[0].clone()),
        });
        proofs = pairs.collect::<Result<_, _>>()?;
    }
    Ok(proofs.pop())
}
