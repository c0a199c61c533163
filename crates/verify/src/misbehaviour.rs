//! What is wrong with what somebody said.

use std::fmt;

use bytes::Bytes;
use pleach_tree::{Incomplete, Path, Prefix, VerifyError};
use pleach_types::certificate::CertificateError;
use pleach_types::committee::CommitteeError;
use pleach_types::history::HistoryError;
use pleach_types::limits::SIGNED_REPLY_BYTES_MAX;
use pleach_types::reply::Unanswered;
use pleach_types::{DecodeError, Evidence, Hash, Height, Identity, Key, PublicKey};
use thiserror::Error;

/// Something that no correct node says, with the bytes that show it.
///
/// The bytes alone convict nobody: a channel's other end cannot prove who sent them. Where the sender has *signed* what is
/// false, [`Misbehaviour::evidence`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Misbehaviour {
    /// What was said, and why it does not hold.
    pub statement: Box<FalseStatement>,
    /// The bytes that were checked, as they came.
    pub bytes: Bytes,
}

impl Misbehaviour {
    /// Something that is shown to be false by these bytes.
    #[must_use]
    pub fn new(bytes: &Bytes, statement: impl Into<FalseStatement>) -> Self {
        Self { statement: Box::new(statement.into()), bytes: bytes.clone() }
    }

    /// The evidence that convicts the signer, if something signed is false.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match &*self.statement {
            FalseStatement::SignedOther(evidence) | FalseStatement::Unanswered { evidence, .. } => Some(evidence),
            _ => None,
        }
    }
}

impl fmt::Debug for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be megabytes.
        f.debug_struct("Misbehaviour").field("statement", &self.statement).field("bytes", &self.bytes.len()).finish()
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statement.fmt(f)
    }
}

impl std::error::Error for Misbehaviour {}

/// What was said, and why it does not hold. The texts go on after "its": *its certificate proves nothing*.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FalseStatement {
    /// Bytes are not the canonical encoding of what they should be.
    #[error("{what} does not decode: {why}")]
    Encoding {
        /// What the bytes should be.
        what: &'static str,
        /// What is wrong with them.
        why: DecodeError,
    },
    /// Bytes are not the encoding of a proof.
    #[error("proof does not decode: {0}")]
    ProofEncoding(#[from] pleach_tree::DecodeError),
    /// A certificate, or the headers below it, prove nothing.
    #[error("certificate proves nothing: {0}")]
    Certificate(#[from] CertificateError),
    /// A state is handed out with so many headers above it, where there is to be one.
    #[error(
        "offer has {0} headers, and must have one: that of the block above the result, which has to be certified itself"
    )]
    Headers(usize),
    /// A result is signed by somebody who is no member.
    #[error("result is signed by {0}, which is not a member")]
    NotMember(PublicKey),
    /// A signature over a result is not the node's.
    #[error("result has a signature that is not that of {0}")]
    Signature(PublicKey),
    /// A member signed another result than the certified one.
    #[error("signed result of height {} is not the certified one", .0.needs().unwrap_or_default())]
    SignedOther(Box<Evidence>),
    /// A node signed an answer that does not answer its question.
    #[error("signed answer does not answer the question: {why}")]
    Unanswered {
        /// Why not.
        why: Unanswered,
        /// What convicts the node.
        evidence: Box<Evidence>,
    },
    /// A signed answer is larger than one may be, so that it could convict nobody.
    #[error("signed answer has {0} bytes, at most {SIGNED_REPLY_BYTES_MAX} are allowed")]
    SignedTooLarge(usize),
    /// An answer that was to be signed is not.
    #[error("answer is not signed, and was to be")]
    NotSigned,
    /// A step to other members does not follow from the trusted ones.
    #[error("step to other members does not verify: {0}")]
    Step(#[from] StepError),
    /// A proof is of another tree.
    #[error("{0}")]
    Root(#[from] VerifyError),
    /// A proof says nothing of a key.
    #[error("proof neither contains {0} nor proves it absent")]
    KeyNotProven(Key),
    /// A proof says nothing of a path.
    #[error("proof leaves out the path {0}")]
    PathNotProven(Path),
    /// A value is not the proved one.
    #[error("value of {0} is not the one that the proof shows")]
    Value(Key),
    /// A receipt is not what its proof shows.
    #[error("receipt of request {identity} does not verify: {why}")]
    Receipt {
        /// The request.
        identity: Identity,
        /// Why.
        why: &'static str,
    },
    /// A request is not proved absent.
    #[error("proof that request {identity} was not executed does not verify: {why}")]
    Absence {
        /// The request.
        identity: Identity,
        /// Why.
        why: &'static str,
    },
    /// A result is not part of the history, or one history does not continue another.
    #[error("history does not verify: {0}")]
    History(#[from] HistoryError),
    /// The peaks of a history are not those of the result that they should stand before.
    #[error("history of {size} results with root {root} is not the certified one")]
    Peaks {
        /// How many results they stand for.
        size: u64,
        /// Their root.
        root: Hash,
    },
    /// A part of what a height left behind is not the certified one.
    #[error("{what} of height {height} is not the certified one")]
    PastHeight {
        /// The part.
        what: &'static str,
        /// The height.
        height: Height,
    },
    /// Code has another digest.
    #[error("code {expected} has digest {found}")]
    Code {
        /// The digest that was asked for.
        expected: Hash,
        /// The digest of the bytes.
        found: Hash,
    },
    /// A proof of a prefix leaves something out.
    #[error("proof leaves out something under {:?}", .0.prefix)]
    Incomplete(#[from] Incomplete),
    /// A part of a partition is not of where it should be.
    #[error("{prefix:?} does not begin at {start} within {within:?}")]
    Elsewhere {
        /// The prefix that was sent.
        prefix: Prefix,
        /// Where it should begin.
        start: Path,
        /// What it should be part of.
        within: Prefix,
    },
    /// A record of a partition is not the proved one.
    #[error("record {0} is not the one that is proved")]
    Record(Key),
    /// A record of a partition is left out.
    #[error("records lack the one at {0}")]
    RecordLeftOut(Path),
}

/// Why a step does not lead from the trusted members to others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StepError {
    /// The proof has another number of headers than one.
    #[error("{0} headers, where there is to be one: that of the last block of an epoch")]
    Headers(usize),
    /// The header is not that of the last block of an epoch, or of the epoch that its certificate is of.
    #[error("height {height} is not the last of epoch {epoch}, whose blocks are {epoch_blocks}")]
    NotLast {
        /// The height of the header.
        height: Height,
        /// The epoch of the certificate.
        epoch: u64,
        /// Blocks of an epoch.
        epoch_blocks: u32,
    },
    /// The step is from an epoch before the newest members that are known.
    #[error("epoch {epoch} is over: the newest members are those from epoch {since} on")]
    Earlier {
        /// The epoch of the certificate.
        epoch: u64,
        /// The first epoch of the newest members.
        since: u64,
    },
    /// The new members are no committee.
    #[error("the new members: {0}")]
    Committee(#[from] CommitteeError),
    /// The result names another set than the one that is shown.
    #[error("the next members are {certified}, the step shows {shown}")]
    OtherMembers {
        /// The digest of the set that is certified.
        certified: Hash,
        /// The digest of the one that the step shows.
        shown: Hash,
    },
}

impl FalseStatement {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encoding { .. } => "encoding",
            Self::ProofEncoding(why) => why.code(),
            Self::Certificate(why) => why.code(),
            Self::Headers(_) | Self::Step(StepError::Headers(_)) => "headers",
            Self::NotMember(_) => "not_member",
            Self::Signature(_) => "bad_signature",
            Self::SignedOther(_) => "signed_other",
            Self::Unanswered { .. } => "unanswered",
            Self::SignedTooLarge(_) => "signed_too_large",
            Self::NotSigned => "not_signed",
            Self::Step(StepError::NotLast { .. }) => "not_last",
            Self::Step(StepError::Earlier { .. }) => "earlier_step",
            Self::Step(StepError::Committee(why)) => why.code(),
            Self::Step(StepError::OtherMembers { .. }) => "other_next",
            Self::Root(_) => "other_root",
            Self::KeyNotProven(_) | Self::PathNotProven(_) => "not_decided",
            Self::Value(_) => "other_value",
            Self::Receipt { .. } => "other_receipt",
            Self::Absence { .. } => "not_absent",
            Self::History(why) => why.code(),
            Self::Peaks { .. } => "other_peaks",
            Self::PastHeight { .. } => "other_past",
            Self::Code { .. } => "other_code",
            Self::Incomplete(_) => "incomplete",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Record(_) => "other_record",
            Self::RecordLeftOut(_) => "left_out",
        }
    }
}
