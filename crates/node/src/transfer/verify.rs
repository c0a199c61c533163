//! Checks of what was fetched, each against what is certified: `pleach-verify`, for the messages of a transfer. Pure.

use bytes::Bytes;
use pleach_store::{StagedChunk, WindowEntry};
use pleach_tree::{MergeError, Partition, Path, Prefix, ProofLimits, VerifiedProof};
use pleach_types::{BlockResult, Hash};
use pleach_verify::state::{self, PastHeight};
use pleach_verify::{FalseStatement, Misbehaviour, decode};

use super::wire::{ChunkContent, ITEM_BYTES_MAX};

/// The limits of a proof that is an item of a transfer: what fits in the item, a stub or a leaf for every few bytes.
pub(super) const ITEM_PROOF: ProofLimits =
    ProofLimits { max_bytes: ITEM_BYTES_MAX, max_nodes: ITEM_BYTES_MAX / 8, max_leaves: ITEM_BYTES_MAX / 64 };

/// Checks an entry of the window against the result and the digest of the block that are certified for its height.
pub(super) fn entry(encoded: &Bytes, result: &BlockResult, block: &Hash) -> Result<WindowEntry, Misbehaviour> {
    let entry: WindowEntry = decode("entry of the window", encoded)?;
    let past = PastHeight {
        result: &entry.result,
        header: &entry.header,
        written: &entry.written,
        receipts: &entry.receipts,
        code: &entry.code,
    };
    state::past_height(encoded, &past, result, block)?;
    if entry.certificate.is_some() {
        // Members hold different certificates of one block, so an entry travels without any.
        let statement = FalseStatement::PastHeight { what: "certificate", height: result.height };
        return Err(Misbehaviour::new(encoded, statement));
    }
    Ok(entry)
}

/// Checks a chunk that was asked for from `start` on. Returns it as the store takes it, with the tree's leaves.
pub(super) fn chunk(
    encoded: &Bytes,
    root: &Hash,
    (within, start): (&Prefix, &Path),
) -> Result<(StagedChunk, Partition), Misbehaviour> {
    let ChunkContent { prefix, proof, records } = decode("chunk", encoded)?;
    if !within.covers(&prefix) || prefix.first() != *start {
        let statement = FalseStatement::Elsewhere { prefix, start: *start, within: *within };
        return Err(Misbehaviour::new(encoded, statement));
    }
    let proved = state::partition(&proof, root, &ITEM_PROOF, prefix, &records)?;
    Ok((StagedChunk { prefix, records: records.into_iter().collect(), outline: Default::default() }, proved))
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
