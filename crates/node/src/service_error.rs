//! Why a node does not answer a question, or take a request: the reasons, the codes by which programs know them, and what helps.

use pleach_types::api::Problem;
use pleach_types::limits::{READ_KEYS_MAX, REPLY_VALUES_MAX, SIGNED_REPLY_BYTES_MAX, SIGNED_REPLY_KEYS_MAX};
use pleach_types::reply::Unanswered;
use pleach_types::{Height, Identity, Key, SystemRefusal, Unacceptable, Void};
use thiserror::Error;

use crate::fork::NoFork;
use crate::pool::Full;
use crate::transfer::wire::READ_THROUGH_KEYS_MAX;

/// Why a node does not answer a question.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// The request can stand in no block.
    #[error("{0}")]
    Unacceptable(Unacceptable),
    /// The request would have no effect.
    #[error("{0}")]
    Void(Void),
    /// The request of the system would be refused.
    #[error("{0}")]
    System(SystemRefusal),
    /// Too many requests wait.
    #[error("{waiting} requests wait to be ordered: {full}")]
    Overloaded {
        /// How many wait.
        waiting: usize,
        /// Which bound is reached.
        full: Full,
    },
    /// A read names too many keys.
    #[error("{found} keys: a read names at most {READ_KEYS_MAX}")]
    KeyCount {
        /// How many it names.
        found: usize,
    },
    /// The keys of a read do not ascend strictly.
    #[error("{field}: {key} does not come after the key before it")]
    KeyOrder {
        /// The list.
        field: &'static str,
        /// The first key that is out of order, or there twice.
        key: Key,
    },
    /// The values that a read asks for are more than one answer holds.
    #[error(
        "the values of these {keys} records are more than {REPLY_VALUES_MAX} bytes: the first {fits} fit, {next} does not any more"
    )]
    ReplyTooLarge {
        /// How many records the read names.
        keys: usize,
        /// How many of them fit, from the first one on.
        fits: usize,
        /// The first key that does not.
        next: Key,
    },
    /// The answer that is to be signed is larger than one that can be evidence.
    #[error(
        "a signed answer has at most {SIGNED_REPLY_KEYS_MAX} keys and {SIGNED_REPLY_BYTES_MAX} bytes, this one {keys} and {bytes}"
    )]
    SignedTooLarge {
        /// Keys that the read names.
        keys: usize,
        /// Bytes of the answer as it would be signed; 0 where it has not been made.
        bytes: usize,
    },
    /// The answer is larger than one that comes from another member.
    #[error(
        "an answer through another member has at most {READ_THROUGH_KEYS_MAX} keys and one message, these {keys} are more: the first {fits} may fit"
    )]
    ThroughTooLarge {
        /// How many records the read names.
        keys: usize,
        /// How many of them may fit, from the first one on.
        fits: usize,
    },
    /// The node's own answer does not answer the question: it signs none that would convict it.
    #[error("this node does not sign its own answer: {0}")]
    NotSigned(Unanswered),
    /// A read names a height, and asks for a higher one at least.
    #[error("height {height} is below min_height {min_height}")]
    BelowMinimum {
        /// The height.
        height: Height,
        /// The least height.
        min_height: Height,
    },
    /// What is on its way to clients takes up the room for it.
    #[error("answers and bodies that are on their way take up the room that this node has for them")]
    NoRoom,
    /// This node does not keep the record.
    #[error("record {key} is not kept here but by {}", keepers.join(", "))]
    NotKept {
        /// The first such key.
        key: Key,
        /// The names of the members that keep it.
        keepers: Vec<String>,
    },
    /// None of those who keep a record has answered this node.
    #[error("record {key} is not kept here, and none of its keepers that were asked has sent it: {}", asked.join(", "))]
    NoKeeperAnswers {
        /// The first key.
        key: Key,
        /// The names of the members that were asked.
        asked: Vec<String>,
    },
    /// What this node stores is not what it should be.
    #[error("this node cannot read its store: {0}")]
    Damaged(String),
    /// No height is certified yet.
    #[error("no height is certified yet")]
    NothingCertified,
    /// This node cannot know yet what the newest block is for which it has voted.
    #[error(
        "this node cannot say what is newest: since its start, or just now, too few other members have told it what it voted for last"
    )]
    NewestUnknown,
    /// The request has a receipt: there is no proof that it has none.
    #[error("request {identity} is not absent: it was decided at height {height}")]
    Decided {
        /// The request.
        identity: Identity,
        /// The height of its block.
        height: Height,
    },
    /// The height is not certified yet.
    #[error("height {height} is not certified yet, the newest is {newest}")]
    NotYet {
        /// The height asked for.
        height: Height,
        /// The newest certified one.
        newest: Height,
    },
    /// The history is not there down to the height.
    #[error("this node does not know the history around height {height}: it has fetched its state since")]
    NoProof {
        /// The height.
        height: Height,
    },
    /// A file that is said to show a fork shows none, or another one is being looked at.
    #[error(transparent)]
    NoFork(#[from] NoFork),
    /// The height has been forgotten.
    #[error("height {height} is forgotten, the oldest is {oldest}")]
    Forgotten {
        /// The height asked for.
        height: Height,
        /// The oldest that is remembered.
        oldest: Height,
    },
}

impl ServiceError {
    /// The stable code by which people and programs know the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unacceptable(why) => why.code(),
            Self::Void(void) => void.code(),
            Self::System(refusal) => refusal.code(),
            Self::Overloaded { .. } | Self::NoRoom => "OVERLOADED",
            Self::KeyCount { .. } => "KEY_COUNT",
            Self::KeyOrder { .. } => "KEY_ORDER",
            Self::ReplyTooLarge { .. } | Self::SignedTooLarge { .. } | Self::ThroughTooLarge { .. } => {
                "REPLY_TOO_LARGE"
            }
            Self::NotSigned(_) => "NOT_SIGNED",
            Self::BelowMinimum { .. } => "BELOW_MINIMUM",
            Self::NotKept { .. } => "NOT_KEPT",
            Self::NoKeeperAnswers { .. } => "NO_KEEPER_ANSWERS",
            Self::Damaged(_) => "STORE_DAMAGED",
            Self::NothingCertified => "NOTHING_CERTIFIED",
            Self::NewestUnknown => "NEWEST_UNKNOWN",
            Self::Decided { .. } => "DECIDED",
            Self::NotYet { .. } => "NOT_YET",
            Self::NoProof { .. } => "HISTORY_FORGOTTEN",
            Self::Forgotten { .. } => "HEIGHT_FORGOTTEN",
            Self::NoFork(why) => why.code(),
        }
    }

    /// The error for clients.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (hint, retryable) = match self {
            Self::Void(Void::CodeCold(_)) => ("attach the operation's code and send the request again", true),
            Self::Void(Void::ProofTooOld { .. }) => ("read the records again and make a new request", true),
            Self::Void(Void::ProofFromFuture { .. }) => ("this node is behind: send the request to another", true),
            Self::Unacceptable(Unacceptable::WrongGenesis { .. }) => {
                ("check that the client's profile is of this cluster", false)
            }
            Self::Void(Void::Duplicate { .. }) => ("ask for the request's receipt", false),
            Self::Unacceptable(Unacceptable::Malformed(_)) => {
                ("encode the request as docs/protocol.md says, or use the client library of this version", false)
            }
            Self::Unacceptable(Unacceptable::OverLimit { .. }) => {
                ("split the request; /v1/genesis has the limits", false)
            }
            Self::Unacceptable(Unacceptable::BadSignature) => (
                "each of the body's signers signs the request's identity; sign what is sent, after its last change",
                false,
            ),
            Self::Unacceptable(Unacceptable::ProofInvalid(_)) => {
                ("attach the proof that /v1/get gave at that height, as it was", false)
            }
            Self::Unacceptable(Unacceptable::ProofExcessive { .. }) => {
                ("cut the proof to the operation and the touched records before attaching it", false)
            }
            Self::Unacceptable(Unacceptable::NotProven(_)) | Self::Void(Void::NotProven(_)) => {
                ("pleach verify says the same of the evidence; nothing is to be done", false)
            }
            Self::Void(Void::PathInvalid(_)) => {
                ("prove the result under the history of one of the cluster's last heights", false)
            }
            Self::Void(Void::OwnerSignature { .. }) => {
                ("read .cluster: who the owners are, and in which order; let each sign what is sent", false)
            }
            Self::System(SystemRefusal::NotReady) => ("this node may be behind: try again, with a newer height", true),
            Self::System(_) => ("read .cluster: it has the members, the owners, seq and the verdicts", false),
            Self::Void(Void::RootMismatch { .. }) => (
                "attach the proof that /v1/get gave at that height, of this cluster: after a fork each side has its own",
                false,
            ),
            Self::Unacceptable(Unacceptable::KeyNotProven(_)) => {
                ("read the operation and all touched records in one /v1/get, and attach that proof", false)
            }
            Self::Unacceptable(Unacceptable::ValueMismatch(_)) => {
                ("attach the values of the read that the proof is of", false)
            }
            Self::Unacceptable(Unacceptable::CodeMismatch(_)) => {
                ("attach the value of the operation's record, or leave the code out", false)
            }
            Self::Overloaded { .. } | Self::NoRoom => ("wait a moment, or send the request to another node", true),
            Self::KeyCount { .. } => ("split the read", false),
            Self::KeyOrder { .. } => ("sort the keys by their bytes, and name each once", false),
            Self::ReplyTooLarge { .. } | Self::SignedTooLarge { .. } | Self::ThroughTooLarge { .. } => {
                ("split the read, and name the height of the first answer in the others", false)
            }
            Self::BelowMinimum { .. } => ("leave one of the two out", false),
            Self::NotKept { .. } => ("ask one of the members that keep it", false),
            Self::NoKeeperAnswers { .. } => ("ask again in a moment, or another node", true),
            Self::Damaged(_) => ("ask another node; the operator should stop this one and run pleach fsck", false),
            Self::NotSigned(_) => ("ask another node, and report it: this is a fault in the program", false),
            Self::Decided { .. } => ("ask for its receipt", false),
            Self::NothingCertified => ("the cluster has just started, or too few members run: see /v1/status", true),
            Self::NewestUnknown => {
                ("ask another node, or wait: this one needs answers of a quorum, or the next block", true)
            }
            Self::NotYet { .. } => ("ask again in a moment, or another node", true),
            Self::NoProof { .. } => ("ask another node", true),
            Self::NoFork(why) => (
                "send a proof file that holds two certified results of one height, or one that this node does not have",
                *why == NoFork::Busy,
            ),
            Self::Forgotten { .. } => ("leave out the height to read the newest", true),
        };
        let fits = match self {
            Self::ReplyTooLarge { fits, .. } | Self::ThroughTooLarge { fits, .. } => Some(*fits as u64),
            // How long a proof is depends on each key; half of them is half as long, more or less.
            Self::SignedTooLarge { keys, .. } => Some((keys / 2).min(SIGNED_REPLY_KEYS_MAX) as u64),
            _ => None,
        };
        let keepers =
            if let Self::NotKept { keepers, .. } = self { keepers.iter().cloned().collect() } else { Box::default() };
        Problem { fits, keepers, ..Problem::new(self.code(), self.to_string(), hint, retryable) }
    }
}
