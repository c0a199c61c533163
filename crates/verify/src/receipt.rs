//! Receipts under a result: what became of a request.

use bytes::Bytes;
use pleach_tree::ValueDigest;
use pleach_types::{BlockResult, Identity, Receipt};

use crate::anchor::decode;
use crate::misbehaviour::{FalseStatement, Misbehaviour};
use crate::records;

/// Reads the receipt of a request and checks it under the receipts root of `result`. What `result` rests on, a certificate
/// or the signatures of f + 1 members, is for the caller.
///
/// # Errors
/// [`FalseStatement::ProofEncoding`], [`FalseStatement::Root`], [`FalseStatement::Encoding`] and
/// [`FalseStatement::Receipt`].
pub fn under(result: &BlockResult, identity: Identity, path: &Bytes, receipt: &Bytes) -> Result<Receipt, Misbehaviour> {
    let wrong = |bytes, why| Err(Misbehaviour::new(bytes, FalseStatement::Receipt { identity, why }));
    match records::proof(path, &result.receipts)?.get(&identity.0) {
        Err(_) => return wrong(path, "its proof does not decide it"),
        Ok(proved) if proved != Some(ValueDigest::of(receipt)) => {
            return wrong(receipt, "its proof shows another receipt, or none");
        }
        Ok(_) => {}
    }
    let decoded: Receipt = decode("receipt", receipt)?;
    if decoded.identity != identity || decoded.height != result.height {
        return wrong(receipt, "it names another request or height");
    }
    Ok(decoded)
}
