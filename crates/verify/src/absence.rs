//! Requests that were not executed: absence under the receipts roots of some heights in a row.

use bytes::Bytes;
use pleach_types::absence::AbsenceProof;
use pleach_types::certificate::carried;
use pleach_types::limits::absence_proof;
use pleach_types::{Height, Identity};

use crate::anchor::{TrustAnchor, decode};
use crate::misbehaviour::{FalseStatement, Misbehaviour};
use crate::records;

/// Reads an encoded [`AbsenceProof`] and checks it. The last height of those, from `first` on, in which the request was
/// neither applied nor refused.
///
/// A request that is absent from *all* heights whose blocks may hold it will never be executed; for which heights proofs are
/// needed is the caller's to know.
///
/// # Errors
/// [`FalseStatement::Encoding`], [`FalseStatement::Certificate`]; [`FalseStatement::ProofEncoding`] and
/// [`FalseStatement::Root`] for a path that is of no receipts root; [`FalseStatement::Absence`] for what is about other heights
/// or requests, or shows that there is a receipt.
pub fn proved(anchor: &TrustAnchor, identity: &Identity, first: Height, bytes: &Bytes) -> Result<Height, Misbehaviour> {
    let wrong = |why| Err(Misbehaviour::new(bytes, FalseStatement::Absence { identity: *identity, why }));
    let AbsenceProof { results, paths } = decode("absence proof", bytes)?;
    // Cheap checks first, as everywhere: signatures are the expensive part of a lie.
    if results.headers.first().and_then(|header| header.height.checked_sub(1)) != Some(first) {
        return wrong("it does not begin with the height that was asked for");
    }
    if paths.is_empty() || paths.len() > results.headers.len() {
        return wrong("it has not one path for each of its heights");
    }
    anchor.result_proof(&results).map_err(|why| Misbehaviour::new(bytes, why))?;
    let mut last = first;
    for (header, path) in results.headers.iter().zip(&paths) {
        // A result proof says it of its first header alone; what links the others is only that each is the parent of the next.
        let result = carried(header).map_err(|why| Misbehaviour::new(bytes, why))?;
        last = result.height;
        let proof = records::proof_within(path, &result.receipts, &absence_proof())?;
        match proof.get(&identity.0) {
            Ok(None) => {}
            Ok(Some(_)) => return wrong("it shows a receipt"),
            Err(_) => return wrong("a path does not decide the request"),
        }
    }
    Ok(last)
}
