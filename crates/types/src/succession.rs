//! How one set of members leads to the next.
//!
//! The result of an epoch's last height names the members of the next epoch ([`crate::BlockResult::next`]), and the members in
//! force certify it: so each set is certified by the one before, and the first one is in genesis.

use bytes::Bytes;

use crate::certificate::ResultProof;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::Member;
use crate::limits::{MEMBERS_MAX, STEP_BYTES_MAX};

/// From the members of one epoch to those of the next: the new ones, and the header of the epoch's last block with the
/// certificate that the old ones signed. How it is checked is in `pleach-verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The new members, in strictly ascending order of their keys.
    pub members: Vec<Member>,
    /// The proof of the result that names them as the next, with one header.
    pub proof: ResultProof,
}

impl Encode for Step {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_list(out, &self.members);
        self.proof.encode_to(out);
    }
}

impl Decode for Step {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let members = reader.list("members", MEMBERS_MAX, Member::decode_from)?;
        Ok(Self { members, proof: ResultProof::decode_from(reader)? })
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("step", bytes, STEP_BYTES_MAX)
    }
}
