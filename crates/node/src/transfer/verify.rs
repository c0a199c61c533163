//! Checks of what was fetched, each against what is certified. Pure.

use bytes::Bytes;
use pleach_store::{StagedChunk, WindowEntry};
use pleach_tree::{FrameNode, Label, Partition, Path, Prefix, Proof, ProofLimits, ValueDigest, VerifiedProof};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::certificate::ResultProof;
use pleach_types::history::Peaks;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Certificate, Committee, Decode, Hash};

use super::wire::{Chunk, Item};

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

/// Why something is not what it should be.
pub(super) type Lie = String;

/// Checks an offer.
pub(super) fn target(encoded: &Bytes, genesis: &Hash, committee: &Committee) -> Result<Target, Lie> {
    let proof = ResultProof::decode_shared(encoded.clone()).map_err(|e| e.to_string())?;
    let result = *proof.verify(genesis, committee).map_err(|e| e.to_string())?.result();
    match &proof.headers[..] {
        [header] => Ok(Target { result, block: header.context.parent, floor: proof.certificate }),
        headers => Err(format!("an offer with {} headers: the block above must be certified itself", headers.len())),
    }
}

/// Checks an entry of the window against the result and the digest of the block that are certified for its height.
pub(super) fn entry(encoded: &Bytes, result: &BlockResult, block: &Hash) -> Result<WindowEntry, Lie> {
    let entry = WindowEntry::decode_shared(encoded.clone()).map_err(|e| e.to_string())?;
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
        Some((what, _)) => Err(format!("the {what} of height {} is not the certified one", result.height)),
        None => Ok(entry),
    }
}

/// Checks the history of results against what the result says of it.
pub(super) fn peaks(encoded: &Bytes, result: &BlockResult) -> Result<Peaks, Lie> {
    let peaks = Peaks::decode_shared(encoded.clone()).map_err(|e| e.to_string())?;
    if peaks.size() == result.height && peaks.root() == result.history {
        return Ok(peaks);
    }
    Err(format!("a history of {} results with root {} is not the certified one", peaks.size(), peaks.root()))
}

/// Checks code against its digest.
pub(super) fn code(bytes: &Bytes, digest: &Hash) -> Result<(), Lie> {
    let found = Hash::from(ValueDigest::of(bytes));
    if found == *digest { Ok(()) } else { Err(format!("code {digest} has digest {found}")) }
}

fn proof(encoded: &[u8], root: &Hash, item: &Item) -> Result<VerifiedProof, Lie> {
    let limits =
        ProofLimits { max_bytes: item.bytes_max(), max_nodes: item.bytes_max() / 8, max_leaves: item.bytes_max() / 64 };
    let proof = Proof::decode(encoded, &limits).map_err(|e| e.to_string())?;
    proof.verify(Label::from_bytes(root.0)).map_err(|e| e.to_string())
}

/// Checks a proof of paths.
pub(super) fn paths(encoded: &Bytes, root: &Hash, item: &Item, paths: &[Path]) -> Result<VerifiedProof, Lie> {
    let proof = proof(encoded, root, item)?;
    match paths.iter().find(|path| proof.get_path(path).is_err()) {
        Some(path) => Err(format!("the proof leaves out {path}")),
        None => Ok(proof),
    }
}

/// Checks a chunk that was asked for from `start` on. Returns it as the store takes it, with the tree's leaves.
pub(super) fn chunk(
    encoded: &Bytes,
    root: &Hash,
    item: &Item,
    (within, start): (&Prefix, &Path),
) -> Result<(StagedChunk, Vec<(Prefix, FrameNode)>), Lie> {
    let Chunk { prefix, proof: bytes, records } = Chunk::decode_shared(encoded.clone()).map_err(|e| e.to_string())?;
    if !within.covers(&prefix) || prefix.first() != *start {
        return Err(format!("{prefix:?} does not begin at {start} within {within:?}"));
    }
    let partition = Partition::new(proof(&bytes, root, item)?, [prefix]).map_err(|e| e.to_string())?;
    let mut proved = partition.records();
    let mut leaves = Vec::with_capacity(records.len());
    for (key, value) in &records {
        let record = (key.path(), ValueDigest::of(value));
        if proved.next() != Some(record) {
            return Err(format!("record {key} is not the one that is proved"));
        }
        leaves.push(FrameNode::record(record.0, record.1));
    }
    match proved.next() {
        Some((path, _)) => Err(format!("the record at {path} is left out")),
        None => Ok((StagedChunk { prefix, records: records.into_iter().collect(), frame: Default::default() }, leaves)),
    }
}

/// Puts proofs of one root together, two at a time, so that each is copied a logarithmic number of times.
pub(super) fn merged(mut proofs: Vec<VerifiedProof>) -> Result<Option<VerifiedProof>, Lie> {
    while proofs.len() > 1 {
        let pairs = proofs.chunks(2).map(|pair| match pair {
            [one, other] => one.merge(other).map_err(|e| e.to_string()),
            pair => Ok(pair[0].clone()),
        });
        proofs = pairs.collect::<Result<_, _>>()?;
    }
    Ok(proofs.pop())
}
