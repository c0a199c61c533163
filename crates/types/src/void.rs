//! Why a request has no receipt.
//!
//! Two kinds of reasons, told apart by what shows them:
//!
//! - [`Unacceptable`]: its *bytes* alone show it. Every node sees it, whatever its state, so a block that holds such a
//!   request is invalid, and its leader loses the view: nobody can make the voters work for what leads nowhere.
//! - [`Void`]: only the *state* shows it, and states differ while blocks travel. An honest leader can propose such a
//!   request, so it is skipped: no effect, no receipt.
//!
//! In both cases the identity stays unused, because what is wrong is not bound by it (see [`crate::request`]) or because
//! it has been dealt with already.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Height;
use crate::evidence::NotProven;
use crate::hash::Hash;
use crate::key::Key;

/// Why the bytes of a request alone make it unfit for a block. See the head of the module.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Unacceptable {
    /// The bytes are not a canonical request.
    #[error("not a canonical request: {0}")]
    Malformed(String),
    /// The request exceeds a limit of this cluster.
    #[error("{what} is {actual}, this cluster's limit is {limit}")]
    OverLimit {
        /// What is too large.
        what: String,
        /// How large it is.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// The request is for another cluster.
    #[error("the request is for genesis {found}, this cluster's is {expected}")]
    WrongGenesis {
        /// The genesis that the request names.
        found: Hash,
        /// This cluster's.
        expected: Hash,
    },
    /// A signature does not hold.
    #[error("a signature does not verify")]
    BadSignature,
    /// The proof is no proof.
    #[error("the proof is not valid: {0}")]
    ProofInvalid(String),
    /// The proof holds more than its keys need: somebody else would pay for it.
    #[error("the proof has {found} bytes, the {keys} keys need {needed}")]
    ProofExcessive {
        /// Bytes of the proof.
        found: u64,
        /// Bytes of the proof of the request's keys.
        needed: u64,
        /// How many keys those are.
        keys: u64,
    },
    /// The proof leaves a touched key, or an operation's, undecided.
    #[error("the proof does not decide record {0}")]
    KeyNotProven(Key),
    /// A value is not the one that the proof's digest stands for.
    #[error("the value attached for record {0} is not the one that the proof shows")]
    ValueMismatch(Key),
    /// The attached code is not the one that the proof's digest stands for.
    #[error("the attached code is not that of operation {0}")]
    CodeMismatch(Key),
    /// The evidence of a complaint convicts nobody.
    #[error("the evidence convicts nobody: {0}")]
    NotProven(NotProven),
}

impl Unacceptable {
    /// The stable code by which people and programs know the reason.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED",
            Self::OverLimit { .. } => "OVER_LIMIT",
            Self::WrongGenesis { .. } => "WRONG_GENESIS",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::ProofInvalid(_) => "PROOF_INVALID",
            Self::ProofExcessive { .. } => "PROOF_EXCESSIVE",
            Self::KeyNotProven(_) => "KEY_NOT_PROVEN",
            Self::ValueMismatch(_) => "VALUE_MISMATCH",
            Self::CodeMismatch(_) => "CODE_MISMATCH",
            Self::NotProven(_) => "NOT_PROVEN",
        }
    }
}

/// Why the state makes a request void. See the head of the module.
///
/// Nodes refuse void requests at admission with these reasons; an ordered one is skipped by all nodes alike.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Void {
    /// The proof is older than the window.
    #[error("the proof is {age} blocks old, this cluster accepts fewer than {window}; read again")]
    ProofTooOld {
        /// Blocks since `base`.
        age: u64,
        /// The window T.
        window: u64,
    },
    /// The proof is of a height that does not exist yet.
    #[error("the proof is of height {base}, the newest is {newest}")]
    ProofFromFuture {
        /// The height that the request names.
        base: Height,
        /// The height of the state.
        newest: Height,
    },
    /// The proof does not hash to the root of its height.
    #[error("the proof has root {found}, that of height {base} is {root}")]
    RootMismatch {
        /// The height that the request names.
        base: Height,
        /// The root of that height.
        root: Hash,
        /// The root of the proof.
        found: Hash,
    },
    /// The operation's code is neither attached nor warm.
    #[error("the code of operation {0} must be attached: it has not been used in the last blocks")]
    CodeCold(Key),
    /// By what this cluster came to, the evidence of a complaint convicts nobody.
    #[error("the evidence convicts nobody: {0}")]
    NotProven(NotProven),
    /// The path of a complaint does not lead to the history of a height that is remembered.
    #[error("the result is not proved: {0}")]
    PathInvalid(String),
    /// The signature of an owner does not hold.
    #[error("the signature of owner {owner} (counted from 0) does not verify, or there are fewer owners")]
    OwnerSignature {
        /// The place of the owner in the list, as the request gives it.
        owner: u8,
    },
    /// A request with this identity was ordered before.
    #[error("the request was ordered before, at height {height}")]
    Duplicate {
        /// The height of the block that holds it.
        height: Height,
    },
}

impl Void {
    /// The stable code by which people and programs know the reason.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ProofTooOld { .. } => "PROOF_TOO_OLD",
            Self::ProofFromFuture { .. } => "PROOF_FROM_FUTURE",
            Self::RootMismatch { .. } => "ROOT_MISMATCH",
            Self::CodeCold(_) => "CODE_COLD",
            Self::NotProven(_) => "NOT_PROVEN",
            Self::PathInvalid(_) => "PATH_INVALID",
            Self::OwnerSignature { .. } => "OWNER_SIGNATURE",
            Self::Duplicate { .. } => "DUPLICATE",
        }
    }
}
