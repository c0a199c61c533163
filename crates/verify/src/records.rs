//! Records under a certified root: what an answer to a read has to show.
//!
//! ```text
//! root of a certified result -> proof -> digest of the value, or absent -> value
//! ```

use bytes::Bytes;
use pleach_tree::{Path, Proof, ProofLimits, ValueDigest, VerifiedProof};
use pleach_types::limits::reply_proof;
use pleach_types::{Hash, Key};

use crate::misbehaviour::{FalseStatement, Misbehaviour};

/// Reads a proof of an answer, within the limits for answers, and checks that it is part of the tree with this root.
///
/// # Errors
/// [`FalseStatement::ProofEncoding`] and [`FalseStatement::Root`].
pub fn proof(bytes: &Bytes, root: &Hash) -> Result<VerifiedProof, Misbehaviour> {
    proof_within(bytes, root, &reply_proof())
}

/// As [`proof()`], within other limits.
///
/// # Errors
/// As [`proof()`].
pub fn proof_within(bytes: &Bytes, root: &Hash, limits: &ProofLimits) -> Result<VerifiedProof, Misbehaviour> {
    let proof = Proof::decode(bytes, limits).map_err(|why| Misbehaviour::new(bytes, why))?;
    proof.verify((*root).into()).map_err(|why| Misbehaviour::new(bytes, why))
}

/// What a proof says of a key: the digest of its value, `None` where there is no such record.
///
/// # Errors
/// [`FalseStatement::KeyNotProven`], with the proof's bytes.
pub fn digest(proof: &VerifiedProof, key: &Key) -> Result<Option<ValueDigest>, Misbehaviour> {
    let shown = proof.get(key.as_bytes());
    shown.map_err(|_| Misbehaviour::new(&proof.proof().encode().into(), FalseStatement::KeyNotProven(key.clone())))
}

/// Checks a value, `None` for no record, against what a proof says of its key.
///
/// # Errors
/// [`FalseStatement::KeyNotProven`], and [`FalseStatement::Value`] with the value's bytes.
pub fn value(proof: &VerifiedProof, key: &Key, value: Option<&Bytes>) -> Result<Option<ValueDigest>, Misbehaviour> {
    let digest = digest(proof, key)?;
    if value.map(|value| ValueDigest::of(value)) == digest {
        return Ok(digest);
    }
    Err(Misbehaviour::new(&value.cloned().unwrap_or_default(), FalseStatement::Value(key.clone())))
}

/// Reads a proof of paths, and checks that it decides all of them under the root.
///
/// # Errors
/// As [`proof()`], and [`FalseStatement::PathNotProven`].
pub fn paths(bytes: &Bytes, root: &Hash, limits: &ProofLimits, paths: &[Path]) -> Result<VerifiedProof, Misbehaviour> {
    let proof = proof_within(bytes, root, limits)?;
    match paths.iter().find(|path| proof.get_path(path).is_err()) {
        Some(path) => Err(Misbehaviour::new(bytes, FalseStatement::PathNotProven(*path))),
        None => Ok(proof),
    }
}
