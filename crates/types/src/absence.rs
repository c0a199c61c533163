//! That a request was executed in none of some heights: proof of what did not happen.
//!
//! A request may stand in the blocks of heights `base + 1` to `base + T` alone ([`crate::Body::base`], docs/design.md section 4). The
//! receipts root of each of them is certified, and a receipts tree proves absence as well as presence. So whoever has a
//! proof of absence under each of these roots needs nobody's word that the request was never executed, and never will be.

use bytes::Bytes;

use crate::certificate::ResultProof;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::{ABSENCE_HEIGHTS_MAX, ABSENCE_PATH_BYTES_MAX};

/// Proofs that an identity is in the receipts trees of some heights in a row under none of its receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsenceProof {
    /// The headers that carry the results of these heights, in ascending order of height, up to a certified one.
    pub results: ResultProof,
    /// For each of the heights, from the first header's result on, the encoded tree proof of the identity under the receipts
    /// root. Headers may go on beyond the last of them, to the certified one.
    pub paths: Vec<Bytes>,
}

impl Encode for AbsenceProof {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.results.encode_to(out);
        codec::put_count(out, self.paths.len());
        self.paths.iter().for_each(|path| codec::put_bytes(out, path));
    }
}

impl Decode for AbsenceProof {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            results: ResultProof::decode_from(reader)?,
            paths: reader.list("paths", ABSENCE_HEIGHTS_MAX, |reader| reader.bytes("path", ABSENCE_PATH_BYTES_MAX))?,
        })
    }
}
