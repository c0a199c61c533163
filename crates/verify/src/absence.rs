//! Requests that were not executed: absence under the receipts roots of some heights in a row.

use bytes::Bytes;
use pleach_types::absence::AbsenceProof;
use pleach_types::certificate::carried;
use pleach_types::limits::absence_proof;
use pleach_types::{BlockResult, Height, Identity};

use crate::anchor::{TrustAnchor, decode};
use crate::misbehaviour::{FalseStatement, Misbehaviour};
use crate::records;

/// A request that was neither applied nor refused in some heights in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// What the heights came to, in ascending order: one at least.
    pub results: Vec<BlockResult>,
    /// For each of them, the encoded tree proof that the request is absent under its receipts root.
    pub paths: Vec<Bytes>,
}

/// Reads an encoded [`AbsenceProof`] and checks it: in which heights, from `first` on, the request was neither applied nor refused.
///
/// A request that is absent from *all* heights whose blocks may hold it will never be executed; for which heights proofs are
/// needed is the caller's to know.
///
/// # Errors
/// [`FalseStatement::Encoding`], [`FalseStatement::Certificate`]; [`FalseStatement::ProofEncoding`] and
/// [`FalseStatement::Root`] for a path that is of no receipts root; [`FalseStatement::Absence`] for what is about other heights
/// or requests, or shows that there is a receipt.
pub fn proved(anchor: &TrustAnchor, identity: &Identity, first: Height, bytes: &Bytes) -> Result<Absent, Misbehaviour> {
    let wrong = |why| Err(Misbehaviour::new(bytes, FalseStatement::Absence { identity: *identity, why }));
    let AbsenceProof { results: proof, paths } = decode("absence proof", bytes)?;
    // Cheap checks first, as everywhere: signatures are the expensive part of what does not hold.
    if proof.headers.first().and_then(|header| header.height.checked_sub(1)) != Some(first) {
        return wrong("it does not begin with the height that was asked for");
    }
    if paths.is_empty() || paths.len() > proof.headers.len() {
        return wrong("it has not one path for each of its heights");
    }
    anchor.result_proof(&proof).map_err(|why| Misbehaviour::new(bytes, why))?;
    let mut results = Vec::new();
    for (header, path) in proof.headers.iter().zip(&paths) {
        // A result proof says it of its first header alone; what links the others is only that each is the parent of the next.
        let result = carried(header).map_err(|why| Misbehaviour::new(bytes, why))?;
        under(result, identity, path)?;
        results.push(*result);
    }
    Ok(Absent { results, paths })
}

/// Checks that a request has no receipt under a certified result: `path` is the encoded tree proof of its absence there.
///
/// # Errors
/// [`FalseStatement::ProofEncoding`] and [`FalseStatement::Root`] for what is of no such tree; [`FalseStatement::Absence`] for what
/// shows that there is a receipt, or does not decide the request.
pub fn under(result: &BlockResult, identity: &Identity, path: &Bytes) -> Result<(), Misbehaviour> {
    let wrong = |why| Err(Misbehaviour::new(path, FalseStatement::Absence { identity: *identity, why }));
    match records::proof_within(path, &result.receipts, &absence_proof())?.get(&identity.0) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => wrong("it shows a receipt"),
        Err(_) => wrong("a path does not decide the request"),
    }
}
