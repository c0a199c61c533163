//! The parts of a state that one member hands out to another, each against what is certified.
//!
//! The newest result comes with a certificate; each entry of the window is checked against the result and the digest of
//! the block that the header above it names; digests and sizes of code, receipts and written paths against the result
//! of their height; records against the root. So nobody's word is taken for any of it (docs/design.md section 7).

use bytes::Bytes;
use pleach_tree::{Partition, Path, Prefix, ProofLimits, ValueDigest};
use pleach_types::block::{UsedCode, code_digest, written_digest};
use pleach_types::certificate::ResultProof;
use pleach_types::history::Peaks;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Certificate, Hash, Header, Key, Receipt};

use crate::anchor::{TrustAnchor, decode};
use crate::misbehaviour::{FalseStatement, Misbehaviour};
use crate::records::proof_within;

/// A state that is handed out: the one after the block of a height.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the height came to.
    pub result: BlockResult,
    /// The digest of its block.
    pub block: Hash,
    /// The certificate of the block above it: where the order goes on.
    pub certificate: Certificate,
}

/// What a height leaves in the window, without its requests.
#[derive(Clone, Copy, Debug)]
pub struct PastHeight<'a> {
    /// What it came to.
    pub result: &'a BlockResult,
    /// The header of its block.
    pub header: &'a Header,
    /// The paths that it wrote, ascending.
    pub written: &'a [Path],
    /// The receipts of its requests, in the order of the requests.
    pub receipts: &'a [Receipt],
    /// The code that it ran, ascending by digest.
    pub code: &'a [UsedCode],
}

/// Reads and checks an offer: the proof of a result with one header.
///
/// # Errors
/// As [`TrustAnchor::result`], and [`FalseStatement::Headers`].
pub fn offer(anchor: &TrustAnchor, bytes: &Bytes) -> Result<Offer, Misbehaviour> {
    let proof: ResultProof = decode("offer", bytes)?;
    let [header] = &proof.headers[..] else {
        return Err(Misbehaviour::new(bytes, FalseStatement::Headers(proof.headers.len())));
    };
    let block = header.context.parent;
    let result = *anchor.result_proof(&proof).map_err(|why| Misbehaviour::new(bytes, why))?.result();
    Ok(Offer { result, block, certificate: proof.certificate })
}

/// Checks what a height left behind, `bytes`, against its certified result and the digest of its block.
///
/// # Errors
/// [`FalseStatement::PastHeight`], for the first part that is not the certified one.
pub fn past_height(
    bytes: &Bytes,
    past: &PastHeight<'_>,
    certified: &BlockResult,
    block: &Hash,
) -> Result<(), Misbehaviour> {
    let tree = receipts_tree(past.receipts);
    // The tree has each identity once and no order: a receipt that is there twice, or out of turn, would not be noticed.
    let in_turn = past.receipts.is_sorted_by(|a, b| a.index < b.index) && tree.len() == past.receipts.len();
    let height = certified.height;
    let checks = [
        ("result", past.result == certified),
        ("header", past.header.digest() == *block && past.header.height == height),
        ("written paths", written_digest(past.written) == certified.written),
        ("receipts", Hash::from(tree.root()) == certified.receipts && in_turn),
        ("code", code_digest(past.code) == certified.code),
    ];
    match checks.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(Misbehaviour::new(bytes, FalseStatement::PastHeight { what, height })),
        None => Ok(()),
    }
}

/// Reads the peaks of a history and checks that they stand before `result`.
///
/// # Errors
/// [`FalseStatement::Encoding`] and [`FalseStatement::Peaks`].
pub fn peaks(bytes: &Bytes, result: &BlockResult) -> Result<Peaks, Misbehaviour> {
    let peaks: Peaks = decode("history", bytes)?;
    if peaks.precede(result) {
        return Ok(peaks);
    }
    Err(Misbehaviour::new(bytes, FalseStatement::Peaks { size: peaks.size(), root: peaks.root() }))
}

/// Checks code against its digest.
///
/// # Errors
/// [`FalseStatement::Code`].
pub fn code(bytes: &Bytes, digest: &Hash) -> Result<(), Misbehaviour> {
    let found = Hash::from(ValueDigest::of(bytes));
    if found == *digest {
        return Ok(());
    }
    Err(Misbehaviour::new(bytes, FalseStatement::Code { expected: *digest, found }))
}

/// Checks that these are all records under a prefix, in the order of their paths, in the tree with this root: `proof` is
/// the encoded proof of the prefix.
///
/// # Errors
/// As [`crate::records::proof()`], [`FalseStatement::Incomplete`], [`FalseStatement::Record`] and
/// [`FalseStatement::RecordLeftOut`].
pub fn partition(
    proof: &Bytes,
    root: &Hash,
    limits: &ProofLimits,
    prefix: Prefix,
    records: &[(Key, Bytes)],
) -> Result<Partition, Misbehaviour> {
    let verified = proof_within(proof, root, limits)?;
    let partition = Partition::new(verified, [prefix]).map_err(|why| Misbehaviour::new(proof, why))?;
    // Record by record, in the order of paths: one that is left out in the middle shows as another one, and at the end as one too many.
    let mut proved = partition.records();
    for (key, value) in records {
        let record = (key.path(), ValueDigest::of(value));
        if proved.next() != Some(record) {
            return Err(Misbehaviour::new(proof, FalseStatement::Record(key.clone())));
        }
    }
    if let Some((path, _)) = proved.next() {
        return Err(Misbehaviour::new(proof, FalseStatement::RecordLeftOut(path)));
    }
    drop(proved);
    Ok(partition)
}
