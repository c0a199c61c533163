//! Certificates: what n - f members signed, in a form that needs no ordering engine to check.
//!
//! A certificate is a finalization of the engine: the votes of a quorum for one block. Since a member votes
//! for a block only if the result that it carries is its own, the certificate of a block certifies the result
//! of the block's parent. Where a block has no certificate of its own, that of a later block and the headers
//! between them do ([`ResultProof`]).

use thiserror::Error;

use crate::Height;
use crate::block::{BlockResult, Header};
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::Committee;
use crate::genesis::{Genesis, GenesisError};
use crate::hash::Hash;
use crate::limits::{HEADER_CHAIN_MAX, MEMBERS_MAX};
use crate::signature::{PublicKey, Signature};
use crate::vote::{Ballot, Proposal, Round};

/// The votes of a quorum that a block is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The epoch of the view in which the block became final.
    pub epoch: u64,
    /// The view in which the block became final: not always that of its header.
    pub view: u64,
    /// The view of the parent proposal.
    pub parent_view: u64,
    /// The digest of the block.
    pub block: Hash,
    /// The voters, as places in the committee, in strictly ascending order.
    pub signers: Vec<u8>,
    /// Their signatures, in the same order.
    pub signatures: Vec<Signature>,
}

/// Why a certificate, or a proof that rests on one, proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Fewer members signed than make a quorum.
    #[error("{found} members signed, {needed} are needed")]
    TooFewSigners {
        /// How many signed.
        found: usize,
        /// The quorum.
        needed: usize,
    },
    /// The signers are not in strictly ascending order: one may be there twice.
    #[error("signers are repeated or out of order")]
    RepeatedSigner,
    /// A signer is not a member.
    #[error("signer {index} is not one of the {members} members")]
    ForeignSigner {
        /// The index that the certificate names.
        index: u8,
        /// How many members there are.
        members: usize,
    },
    /// The number of signatures is not that of signers.
    #[error("{signatures} signatures for {signers} signers")]
    Count {
        /// How many signatures there are.
        signatures: usize,
        /// How many signers there are.
        signers: usize,
    },
    /// A signature does not hold.
    #[error("the signature of member {0} does not verify")]
    BadSignature(PublicKey),
    /// The certificate is of another block than the newest header.
    #[error("the certificate is of block {certified}, the newest header's digest is {header}")]
    OtherBlock {
        /// The certified block.
        certified: Hash,
        /// The header's digest.
        header: Hash,
    },
    /// The certified block is for another committee to certify.
    #[error("the block is for the members {found} to certify, the trusted ones are {expected}")]
    OtherCommittee {
        /// The digest of the committee that the block names.
        found: Hash,
        /// The digest of the trusted one.
        expected: Hash,
    },
    /// The certificate is of another epoch than the newest header's height.
    #[error("the certificate is of epoch {epoch}, but height {height} is not, with {epoch_blocks} blocks in an epoch")]
    OtherEpoch {
        /// The height of the certified block.
        height: Height,
        /// The epoch of the certificate.
        epoch: u64,
        /// Blocks of an epoch.
        epoch_blocks: u32,
    },
    /// There is no header.
    #[error("there is no header")]
    NoHeader,
    /// Two neighbouring headers are not parent and child.
    #[error("the header of height {0} is not the parent of the next")]
    BrokenChain(Height),
    /// A header carries the result of another height than its parent's.
    #[error("the header of height {height} carries the result of height {result}")]
    ResultHeight {
        /// The header's height.
        height: Height,
        /// The result's height.
        result: Height,
    },
}

impl CertificateError {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooFewSigners { .. } => "too_few_signers",
            Self::RepeatedSigner => "repeated_signer",
            Self::ForeignSigner { .. } => "foreign_signer",
            Self::Count { .. } => "signature_count",
            Self::BadSignature(_) => "bad_signature",
            Self::OtherBlock { .. } => "other_block",
            Self::OtherCommittee { .. } => "other_members",
            Self::OtherEpoch { .. } => "other_epoch",
            Self::NoHeader => "no_header",
            Self::BrokenChain(_) => "broken_chain",
            Self::ResultHeight { .. } => "result_height",
        }
    }
}

/// The votes of a quorum to nullify a view: it ended without a block, as far as they are concerned, and they do not finalize in it.
///
/// One alone proves nothing that a client needs. Beside a certificate of the same view it convicts those who signed both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nullification {
    /// The view.
    pub round: Round,
    /// The members that voted, by place in the committee of the epoch, ascending.
    pub signers: Vec<u8>,
    /// Their signatures over [`Ballot::Nullify`].
    pub signatures: Vec<Signature>,
}

impl Certificate {
    /// Checks that a quorum of the committee signed, in the cluster with this genesis digest.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self, genesis: &Hash, committee: &Committee) -> Result<(), CertificateError> {
        self.verify_votes(Ballot::Finalize, genesis, committee)
    }

    /// As [`Certificate::verify`], for votes of another kind.
    pub(crate) fn verify_votes(
        &self,
        ballot: impl Fn(Proposal) -> Ballot,
        genesis: &Hash,
        committee: &Committee,
    ) -> Result<(), CertificateError> {
        // Counts and order come first: whatever cannot hold is refused before a signature is checked.
        let (found, needed) = (self.signers.len(), committee.quorum());
        if found < needed {
            return Err(CertificateError::TooFewSigners { found, needed });
        }
        if self.signatures.len() != found {
            return Err(CertificateError::Count { signatures: self.signatures.len(), signers: found });
        }
        // One member twice would make a quorum of fewer. A fixed order also leaves one encoding for one set of votes.
        if !self.signers.is_sorted_by(|a, b| a < b) {
            return Err(CertificateError::RepeatedSigner);
        }
        let message = self.ballot_bytes(ballot, genesis);
        for (&index, signature) in self.signers.iter().zip(&self.signatures) {
            let members = committee.members().len();
            let member = committee.get(index.into()).ok_or(CertificateError::ForeignSigner { index, members })?;
            if !member.public_key.verify_bytes(&message, signature) {
                return Err(CertificateError::BadSignature(member.public_key));
            }
        }
        Ok(())
    }

    /// The bytes that each voter signed: those of a vote to finalize in the cluster with this genesis digest. Signers and
    /// signatures are not part of them.
    #[must_use]
    pub fn signed_bytes(&self, genesis: &Hash) -> Vec<u8> {
        self.ballot_bytes(Ballot::Finalize, genesis)
    }

    fn ballot_bytes(&self, ballot: impl Fn(Proposal) -> Ballot, genesis: &Hash) -> Vec<u8> {
        let round = Round { epoch: self.epoch, view: self.view };
        let proposal = Proposal { parent_view: self.parent_view, block: self.block };
        ballot(proposal).signed_bytes(genesis, round)
    }
}

/// A result, and what proves it: the headers from the block that carries it up to a certified one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultProof {
    /// From the header that carries the result to the certified one, in ascending order of height.
    pub headers: Vec<Header>,
    /// The certificate of the last header.
    pub certificate: Certificate,
}

/// The result of a height that a quorum of members vouches for. Only [`ResultProof::verify`] makes one, and
/// [`CertifiedResult::genesis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertifiedResult(BlockResult);

impl CertifiedResult {
    /// What height 0 came to: it follows from the genesis and needs nobody's word.
    ///
    /// # Errors
    /// If the members are no committee.
    pub fn genesis(genesis: &Genesis) -> Result<Self, GenesisError> {
        Ok(Self(genesis.result()?))
    }

    /// What the height came to.
    #[must_use]
    pub const fn result(&self) -> &BlockResult {
        &self.0
    }
}

/// The result that a header carries, which is that of its parent's height.
///
/// # Errors
/// [`CertificateError::ResultHeight`].
pub fn carried(header: &Header) -> Result<&BlockResult, CertificateError> {
    if header.height.checked_sub(1) == Some(header.result.height) {
        return Ok(&header.result);
    }
    Err(CertificateError::ResultHeight { height: header.height, result: header.result.height })
}

impl ResultProof {
    /// The result that it is about, whether or not it proves it. `None` without a header.
    #[must_use]
    pub fn stated(&self) -> Option<&BlockResult> {
        self.headers.first().map(|header| &header.result)
    }

    /// Checks the certificate, in the cluster with this genesis digest, and the headers below it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self, genesis: &Hash, committee: &Committee) -> Result<CertifiedResult, CertificateError> {
        let (Some(first), Some(last)) = (self.headers.first(), self.headers.last()) else {
            return Err(CertificateError::NoHeader);
        };
        // Cheap checks first: signatures are the expensive part of what does not hold.
        let header = last.digest();
        if header != self.certificate.block {
            return Err(CertificateError::OtherBlock { certified: self.certificate.block, header });
        }
        for pair in self.headers.windows(2) {
            let linked =
                pair[1].context.parent == pair[0].digest() && Some(pair[1].height) == pair[0].height.checked_add(1);
            if !linked {
                return Err(CertificateError::BrokenChain(pair[0].height));
            }
        }
        let result = carried(first)?;
        // The block itself says who certifies it: the committee that its ancestry has decided on.
        if last.result.members != committee.digest() {
            return Err(CertificateError::OtherCommittee { found: last.result.members, expected: committee.digest() });
        }
        self.certificate.verify(genesis, committee)?;
        Ok(CertifiedResult(*result))
    }
}

impl Encode for Certificate {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.view.to_le_bytes());
        out.extend_from_slice(&self.parent_view.to_le_bytes());
        self.block.encode_to(out);
        codec::put_bytes(out, &self.signers);
        codec::put_list(out, &self.signatures);
    }
}

impl Decode for Certificate {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: reader.u64("epoch")?,
            view: reader.u64("view")?,
            parent_view: reader.u64("parent view")?,
            block: Hash::decode_from(reader)?,
            signers: reader.bytes("signers", MEMBERS_MAX)?.to_vec(),
            signatures: reader.list("signatures", MEMBERS_MAX, Signature::decode_from)?,
        })
    }
}

impl Encode for ResultProof {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_list(out, &self.headers);
        self.certificate.encode_to(out);
    }
}

impl Decode for ResultProof {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            headers: reader.list("headers", HEADER_CHAIN_MAX, Header::decode_from)?,
            certificate: Certificate::decode_from(reader)?,
        })
    }
}
