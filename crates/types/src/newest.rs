//! The newest block that a member knows of: what makes reads fresh (docs/design.md section 7).
//!
//! A proved answer may be an old one: a certified height stays certified. To know that nothing newer could be proved to
//! anybody, a reader asks n - f members for the newest block of which they hold a notarization or a finalization.
//!
//! ```text
//! some outcome of height h can be proved  =>  a block of height h or above is final
//!                                         =>  n - f members have voted to finalize it
//!                                         =>  f + 1 correct ones hold a notarization of it, or something newer
//!                                         =>  one of them is among any n - f that are asked
//! ```
//!
//! What a member shows is proved by the certificate in it, so nobody can claim a height that does not exist and have the
//! reader wait for it. That the member holds *nothing newer* is its signed word, over a nonce of the reader: an answer of yesterday
//! does not pass for one of today. No conviction rests on that word, since nobody else can know what a member held at a moment.

use crate::Height;
use crate::block::Header;
use crate::certificate::{Certificate, CertificateError, carried};
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::Committee;
use crate::hash::{Domain, Hash};
use crate::request::Nonce;
use crate::signature::{PublicKey, SecretKey, Signature, Statement};
use crate::vote::{Ballot, Proposal, Round};

/// How far the order has come with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A quorum has voted to notarize it: it may become final, or be given up.
    Notarized,
    /// A quorum has voted to finalize it.
    Final,
}

/// A block with the votes that a quorum has cast for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestBlock {
    /// What the votes are for.
    pub stage: Stage,
    /// The votes.
    pub certificate: Certificate,
    /// The header of the block.
    pub header: Header,
}

/// A member's word that it holds no newer block, as an answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNewest {
    /// The block; none where the member holds none above genesis.
    pub newest: Option<NewestBlock>,
    /// The member's signature over [`SignedNewest::statement`].
    pub signature: Signature,
}

impl Stage {
    /// The vote for a proposal that takes it to this stage.
    const fn ballot(self, proposal: Proposal) -> Ballot {
        match self {
            Self::Notarized => Ballot::Notarize(proposal),
            Self::Final => Ballot::Finalize(proposal),
        }
    }
}

impl NewestBlock {
    /// Where in the order the votes were cast.
    #[must_use]
    pub const fn round(&self) -> Round {
        Round { epoch: self.certificate.epoch, view: self.certificate.view }
    }

    /// Checks that a quorum of the committee voted for the block, in the cluster with this genesis digest.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self, genesis: &Hash, committee: &Committee) -> Result<(), CertificateError> {
        let header = self.header.digest();
        if header != self.certificate.block {
            return Err(CertificateError::OtherBlock { certified: self.certificate.block, header });
        }
        carried(&self.header)?;
        let found = self.header.result.members;
        if found != committee.digest() {
            return Err(CertificateError::OtherCommittee { found, expected: committee.digest() });
        }
        self.certificate.verify_votes(|proposal| self.stage.ballot(proposal), genesis, committee)
    }

    /// The height that a read must reach at least to miss nothing of this block and those before it, in epochs of so many blocks.
    ///
    /// An empty block changes no record, so that the height of its parent is enough; but for the last of an epoch, with
    /// which the members change.
    #[must_use]
    pub fn cover(&self, epoch_blocks: u32) -> Height {
        let empty = self.header.is_empty() && !self.ends_epoch(epoch_blocks);
        self.header.height.saturating_sub(u64::from(empty))
    }

    /// The digest of the members that certify the block after this one.
    #[must_use]
    pub fn next_members(&self, epoch_blocks: u32) -> Hash {
        let result = &self.header.result;
        if self.ends_epoch(epoch_blocks) { result.next } else { result.members }
    }

    fn ends_epoch(&self, epoch_blocks: u32) -> bool {
        let blocks = u64::from(epoch_blocks.max(1));
        self.header.height % blocks == blocks - 1
    }
}

impl SignedNewest {
    /// A member's answer to the question with this nonce.
    #[must_use]
    pub fn sign(newest: Option<NewestBlock>, nonce: &Nonce, genesis: &Hash, key: &SecretKey) -> Self {
        let mut signed = Self { newest, signature: Signature([0; 64]) };
        signed.signature = key.sign(&signed.statement(nonce, genesis));
        signed
    }

    /// What the member signs: genesis, epoch, nonce, view and digest of the block; epoch, view and digest are 0 where there is
    /// none. The votes are proved by themselves.
    #[must_use]
    pub fn statement(&self, nonce: &Nonce, genesis: &Hash) -> Statement {
        let round = self.newest.as_ref().map_or(Round { epoch: 0, view: 0 }, NewestBlock::round);
        let block = self.newest.as_ref().map_or(Hash::default(), |newest| newest.certificate.block);
        let mut bytes = genesis.encode();
        bytes.extend_from_slice(&round.epoch.to_le_bytes());
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&round.view.to_le_bytes());
        block.encode_to(&mut bytes);
        Statement { domain: Domain::NewestSignature, digest: Hash::of(Domain::NewestSignature, &bytes) }
    }

    /// Whether this member signed it as an answer to the question with this nonce.
    #[must_use]
    pub fn is_by(&self, member: &PublicKey, nonce: &Nonce, genesis: &Hash) -> bool {
        member.verify(&self.statement(nonce, genesis), &self.signature)
    }
}

impl Encode for NewestBlock {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(match self.stage {
            Stage::Notarized => 0,
            Stage::Final => 1,
        });
        self.certificate.encode_to(out);
        self.header.encode_to(out);
    }
}

impl Decode for NewestBlock {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let stage = match reader.byte("stage")? {
            0 => Stage::Notarized,
            1 => Stage::Final,
            tag => return Err(DecodeError::UnknownTag { field: "stage", tag }),
        };
        Ok(Self { stage, certificate: Certificate::decode_from(reader)?, header: Header::decode_from(reader)? })
    }
}

impl Encode for SignedNewest {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_option(out, self.newest.as_ref(), |out, newest| newest.encode_to(out));
        self.signature.encode_to(out);
    }
}

impl Decode for SignedNewest {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let newest = reader.option("newest block", NewestBlock::decode_from)?;
        Ok(Self { newest, signature: Signature::decode_from(reader)? })
    }
}
