//! Votes of the ordering engine, in a form that needs no engine to read, check or compare.
//!
//! In each view of an epoch a member signs at most these: a vote to *notarize* one proposal, and then either a vote to
//! *nullify* the view or a vote to *finalize* the proposal. What is signed is the engine's own encoding, so a vote that a
//! member sent to others is evidence as it stands (docs/design.md section 8).
//!
//! Which votes of one view exclude each other is decided by [`Ballot::excludes`] and nowhere else: the judge of evidence
//! uses it, and so must whatever guards a member's own key, or an honest member could convict itself.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::Hash;
use crate::signature::{PublicKey, SecretKey, Signature};

/// One turn of one leader, in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round {
    /// The epoch: one set of members.
    pub epoch: u64,
    /// The view within the epoch.
    pub view: u64,
}

impl Round {
    /// The place of the member that leads, among so many in the order of their keys; `None` where there are none. They take turns.
    #[must_use]
    pub fn leader(self, members: usize) -> Option<usize> {
        let turn = self.epoch.wrapping_add(self.view).checked_rem(members as u64)?;
        usize::try_from(turn).ok()
    }
}

/// The proposal that a vote is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// The view of the proposal that it is built on.
    pub parent_view: u64,
    /// The digest of the block.
    pub block: Hash,
}

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ballot {
    /// The proposal is a valid block, and the only one that the voter notarizes in the view.
    Notarize(Proposal),
    /// The view ends without a block, as far as the voter is concerned: it will not finalize in it.
    Nullify,
    /// The voter has seen a quorum notarize the proposal, and has not voted to nullify the view.
    Finalize(Proposal),
}

/// A signed ballot. The round and the voter stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What the vote says.
    pub ballot: Ballot,
    /// The voter's signature over [`Ballot::signed_bytes`].
    pub signature: Signature,
}

impl Ballot {
    /// Whether no honest member signs both this and `other` in one round.
    ///
    /// Two ballots to notarize, or two to finalize, exclude each other if they name different proposals; one to nullify
    /// and one to finalize always do. A ballot to notarize excludes none of another kind: a member that has notarized
    /// may nullify when the view takes too long, and may finalize another proposal that a quorum has notarized.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Notarize(one), Self::Notarize(two)) | (Self::Finalize(one), Self::Finalize(two)) => one != two,
            (Self::Nullify, Self::Finalize(_)) | (Self::Finalize(_), Self::Nullify) => true,
            (Self::Notarize(_), Self::Nullify | Self::Finalize(_))
            | (Self::Nullify | Self::Finalize(_), Self::Notarize(_))
            | (Self::Nullify, Self::Nullify) => false,
        }
    }

    /// The bytes that a voter signs in the cluster with this genesis digest.
    ///
    /// ```text
    /// varint(len(namespace)) || namespace || varint(epoch) || varint(view) [ || varint(parent_view) || block ]
    /// namespace = "pleach/1/order/" || genesis digest || "_NOTARIZE" | "_NULLIFY" | "_FINALIZE"
    /// ```
    #[must_use]
    pub fn signed_bytes(&self, genesis: &Hash, round: Round) -> Vec<u8> {
        let mut namespace = order_namespace(genesis);
        namespace.extend_from_slice(match self {
            Self::Notarize(_) => b"_NOTARIZE",
            Self::Nullify => b"_NULLIFY",
            Self::Finalize(_) => b"_FINALIZE",
        });
        let mut bytes = Vec::new();
        put_varint(&mut bytes, namespace.len() as u64);
        bytes.extend_from_slice(&namespace);
        put_varint(&mut bytes, round.epoch);
        put_varint(&mut bytes, round.view);
        if let Some(proposal) = self.proposal() {
            put_varint(&mut bytes, proposal.parent_view);
            proposal.block.encode_to(&mut bytes);
        }
        bytes
    }

    /// The proposal that the ballot names.
    #[must_use]
    pub const fn proposal(&self) -> Option<&Proposal> {
        match self {
            Self::Notarize(proposal) | Self::Finalize(proposal) => Some(proposal),
            Self::Nullify => None,
        }
    }

    /// What it says, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Notarize(proposal) => format!("to notarize block {}", proposal.block.short()),
            Self::Nullify => "to nullify the view".into(),
            Self::Finalize(proposal) => format!("to finalize block {}", proposal.block.short()),
        }
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Notarize(_) => 0,
            Self::Nullify => 1,
            Self::Finalize(_) => 2,
        }
    }
}

impl Vote {
    /// Signs a ballot.
    #[must_use]
    pub fn sign(ballot: Ballot, genesis: &Hash, round: Round, key: &SecretKey) -> Self {
        Self { ballot, signature: key.sign_bytes(&ballot.signed_bytes(genesis, round)) }
    }

    /// Whether this member signed the vote, for this round, in the cluster with this genesis digest.
    #[must_use]
    pub fn is_by(&self, voter: &PublicKey, genesis: &Hash, round: Round) -> bool {
        voter.verify_bytes(&self.ballot.signed_bytes(genesis, round), &self.signature)
    }
}

/// What separates the votes of one cluster from those of every other.
#[must_use]
pub fn order_namespace(genesis: &Hash) -> Vec<u8> {
    let mut namespace = b"pleach/1/order/".to_vec();
    namespace.extend_from_slice(&genesis.0);
    namespace
}

/// LEB128, as the engine writes integers.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Encode for Round {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.view.to_le_bytes());
    }
}

impl Decode for Round {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { epoch: reader.u64("epoch")?, view: reader.u64("view")? })
    }
}

impl Encode for Proposal {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.parent_view.to_le_bytes());
        self.block.encode_to(out);
    }
}

impl Decode for Proposal {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { parent_view: reader.u64("parent view")?, block: Hash::decode_from(reader)? })
    }
}

impl Encode for Vote {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.ballot.tag());
        if let Some(proposal) = self.ballot.proposal() {
            proposal.encode_to(out);
        }
        self.signature.encode_to(out);
    }
}

impl Decode for Vote {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let ballot = match reader.byte("vote")? {
            0 => Ballot::Notarize(Proposal::decode_from(reader)?),
            1 => Ballot::Nullify,
            2 => Ballot::Finalize(Proposal::decode_from(reader)?),
            tag => return Err(DecodeError::UnknownTag { field: "vote", tag }),
        };
        Ok(Self { ballot, signature: Signature::decode_from(reader)? })
    }
}
