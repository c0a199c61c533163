//! Everything that can go wrong, by stable code, with the values and what to do.

use std::fmt;
use std::time::Duration;

use pleach_types::api::Problem;
use pleach_types::certificate::CertificateError;
use pleach_types::execution::Trace;
use pleach_types::genesis::GenesisError;
use pleach_types::limits::SUCCESSION_STEPS_MAX;
use pleach_types::{Evidence, Hash, Height, Identity, Key, PublicKey, Refusal, SignatureRefused};
use pleach_verify::file::FileError;
use pleach_verify::{FalseStatement, Misbehaviour};
use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::transport::TransportError;

/// Why the client could not do what it was asked to do.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// There is nobody to ask.
    #[error("no node address was given; name at least one node of the cluster")]
    NoNodes,
    /// An address is not one.
    #[error("node address {address:?} cannot be used: {why}; write host:port or http://host:port")]
    BadAddress {
        /// The text.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A node is of another cluster than the one that was pinned.
    #[error(
        "genesis of the cluster at {address} is {found}, expected {expected}; if the cluster was recreated, pin the new digest"
    )]
    GenesisMismatch {
        /// Where the node is.
        address: String,
        /// The pinned digest.
        expected: Hash,
        /// The digest of what the node sent.
        found: Hash,
    },
    /// The pinned digest is that of a document that cannot be a genesis.
    #[error("the pinned genesis breaks a rule: {0}")]
    GenesisInvalid(#[from] GenesisError),
    /// Operations of the cluster cannot be run here.
    #[error("this program cannot run operations of this cluster: {0}; a newer version may")]
    NoRuntime(String),
    /// Every node that answered sent an invalid reply. Nothing that they said was used.
    #[error("no honest answer; {}; ask other nodes of the cluster", list(.0))]
    InvalidReplies(Vec<InvalidReply>),
    /// No node gave an answer.
    #[error("no node could answer: {}; check the addresses and that the nodes run", list(.0))]
    Unreachable(Vec<NodeFailure>),
    /// Two results of one height are certified. Nobody can tell which of the two histories is the cluster's, so none is chosen.
    #[error(
        "the cluster has forked: two different results of height {height} are certified, so more of its members are Byzantine than it \
         tolerates, and nothing that they say can be relied on"
    )]
    Fork {
        /// The height.
        height: Height,
    },
    /// A file that was kept of this cluster does not hold.
    #[error("the file that was kept does not verify: {0}")]
    KeptFile(Box<InvalidCause>),
    /// Nodes answered, and none would do what was asked.
    #[error("no node could do this now: {}", list(.0))]
    Unavailable(Vec<NodeFailure>),
    /// None of the nodes whose addresses the client was given keeps a record.
    #[error(
        "none of the {nodes} nodes given keeps record {key}; it is kept by {}: add the address of one of them",
        keepers.join(", ")
    )]
    NoKeeper {
        /// The record.
        key: Key,
        /// The names of the members that keep it.
        keepers: Vec<String>,
        /// How many nodes the client knows.
        nodes: usize,
    },
    /// None of those who keep a record answers. Others do, as a rule.
    #[error("record {key} is kept by {}, and none of them answers: {}", keepers.join(" and "), list(failures))]
    KeepersUnreachable {
        /// The record.
        key: Key,
        /// The names of the members that keep it.
        keepers: Vec<String>,
        /// What was tried.
        failures: Vec<NodeFailure>,
    },
    /// Too few members answer for a read that is sure to miss nothing.
    #[error(
        "{answering} of {members} members say which block is the newest, {quorum} are needed for a read that misses nothing{}{}",
        if failures.is_empty() { "" } else { ": " }, list(failures)
    )]
    NotFresh {
        /// How many members answered in the last round.
        answering: usize,
        /// How many members the cluster has.
        members: usize,
        /// How many must answer.
        quorum: usize,
        /// Why others did not.
        failures: Vec<NodeFailure>,
    },
    /// The call timed out, and too few nodes answer to order anything.
    #[error(
        "{answering} of {members} nodes answer, {quorum} are needed to order requests; request {identity} may still \
         be executed up to height {expires}: ask for its receipt later"
    )]
    NoQuorum {
        /// The request, which may still be executed.
        identity: Identity,
        /// The last height whose block may hold it.
        expires: Height,
        /// How many nodes answered in the last round.
        answering: usize,
        /// How many members the cluster has.
        members: usize,
        /// How many of them order.
        quorum: usize,
    },
    /// The outcome is unknown.
    #[error(
        "no proven outcome of request {identity} within {} ms; it is not known whether it was executed, and it may \
         be up to height {expires}: ask for its receipt later", .waited.as_millis()
    )]
    Timeout {
        /// The request, whose receipt can be asked for.
        identity: Identity,
        /// The last height whose block may hold it.
        expires: Height,
        /// How long the client waited.
        waited: Duration,
    },
    /// Nobody can tell any more what became of the request.
    #[error(
        "it cannot be proved any more whether request {identity} was executed: the nodes have forgotten blocks up to height {expires}, the \
         last one that could hold it; look at the records that it would have changed"
    )]
    Forgotten {
        /// The request.
        identity: Identity,
        /// The last height whose block could hold it.
        expires: Height,
    },
    /// A prepared request came too late. That it was not executed and never will be is proved.
    #[error(
        "request {identity} was not executed and never will be: no block up to height {expires} holds it, and none above it may; \
         prepare the call anew"
    )]
    Expired {
        /// The request.
        identity: Identity,
        /// The last height whose block could hold it.
        expires: Height,
    },
    /// Bytes are no request that could be sent.
    #[error("these bytes are no prepared request of this cluster: {why}")]
    NoRequest {
        /// What is wrong with them.
        why: String,
    },
    /// Somebody who is to sign a request has not, and nothing was sent.
    #[error("nothing was sent: {} of those who are to sign the request have not: {}", .missing.len(), list(.missing))]
    SignaturesMissing {
        /// Who has not signed.
        missing: Vec<PublicKey>,
    },
    /// A signature is not put into a request.
    #[error(transparent)]
    SignatureRefused(SignatureRefused),
    /// The outcome of a request of the system is unknown.
    #[error(
        "no proven outcome of request {identity} within {} ms; it is not known whether it was decided, and it may still be: \
         ask for its receipt later, or send the same one again", .waited.as_millis()
    )]
    Undecided {
        /// The request, whose receipt can be asked for.
        identity: Identity,
        /// How long the client waited.
        waited: Duration,
    },
    /// A record of the system is not one that this program can read.
    #[error("record {key} of height {height} cannot be read by this program: {why}; a newer version may")]
    UnknownRecord {
        /// The record.
        key: Key,
        /// The height.
        height: Height,
        /// What is wrong with it.
        why: String,
    },
    /// No node has taken the request for as long as the call may take.
    #[error(
        "no node took request {identity} within {} ms ({problem}); try again with less load. A Byzantine node may \
         still have it executed up to height {expires}", .waited.as_millis()
    )]
    Overloaded {
        /// The request.
        identity: Identity,
        /// The last height whose block may hold it.
        expires: Height,
        /// How long the client tried.
        waited: Duration,
        /// What a node said.
        problem: Box<Problem>,
    },
    /// The operation does not do this: what the client's own run of it came to, or the cluster's decision where the caller takes that for a
    /// failure ([`crate::Executed::applied`]).
    #[error("refused: {refusal} ({by})")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Who says so.
        by: RefusedBy,
    },
    /// No node took the request, and f + 1 say that it can never be executed. Nothing proves that.
    #[error(
        "{nodes} nodes reject request {identity} and none takes it: {problem}. Should they be Byzantine, it may be executed up to \
         height {expires}"
    )]
    Rejected {
        /// The request.
        identity: Identity,
        /// The last height whose block may hold it.
        expires: Height,
        /// What they say.
        problem: Box<Problem>,
        /// How many distinct nodes say so.
        nodes: usize,
    },
    /// No node took the request of the system, and f + 1 say that it would be refused. Nothing proves that, and another one may
    /// be made all the same: no two that contradict each other are ever both carried out.
    #[error("{nodes} nodes refuse request {identity} and none takes it: {problem}")]
    Declined {
        /// The request.
        identity: Identity,
        /// What they say.
        problem: Box<Problem>,
        /// How many distinct nodes say so.
        nodes: usize,
    },
    /// Every attempt was overtaken by others. Nothing was executed.
    #[error("{operation} was not executed: {attempts} attempts in {} ms, the last one {last}; try again with less contention", .waited.as_millis())]
    RetriesExhausted {
        /// The operation.
        operation: Key,
        /// How many requests were sent.
        attempts: u32,
        /// How long that took.
        waited: Duration,
        /// Why the last one came to nothing.
        last: Retry,
    },
    /// The keys that an operation touches could not be found by running it.
    #[error(
        "the records that {operation} touches could not be found: after {rounds} rounds of reading and {gas} gas it \
         still asks for more (last {last}); name them with the call"
    )]
    DiscoveryLimit {
        /// The operation.
        operation: Key,
        /// Rounds of reading.
        rounds: u32,
        /// Gas that the runs used together.
        gas: u64,
        /// The last key asked for.
        last: Key,
    },
    /// One proof file cannot hold all of it.
    #[error("a proof file holds at most {limit} {what}, this one would have {actual}; read fewer records at a time")]
    FileTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// A height was executed, and no certificate of it came in time.
    #[error("no certificate of height {height} came within {} ms; try again", .waited.as_millis())]
    NotCertified {
        /// The height.
        height: Height,
        /// How long the client waited.
        waited: Duration,
    },
    /// No node shows that a checkpoint is part of the cluster's history.
    #[error(
        "no node shows that height {} came to {}, for which somebody has vouched: {why}. If they have not just fallen behind, this is another \
         history; believe nothing that they show, and ask who has vouched",
        .checkpoint.height, .checkpoint.result
    )]
    OtherHistory {
        /// The checkpoint.
        checkpoint: Checkpoint,
        /// What nodes showed or said in the place of a proof.
        why: Box<Self>,
    },
    /// The call exceeds a limit of the cluster. Nothing was sent.
    #[error("{what} is {actual}, this cluster's limit is {limit}; split the call")]
    OverLimit {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: u64,
        /// The limit.
        limit: u64,
    },
}

/// Who refused.
#[derive(Clone, Debug)]
pub enum RefusedBy {
    /// This client's own run over proved records. Nothing was sent.
    Simulation {
        /// The height of the records.
        height: Height,
        /// Gas used.
        gas: u64,
        /// What no receipt would show: what the operation logged on its way, and what the host's functions took.
        trace: Box<Trace>,
    },
    /// The cluster, with a receipt.
    Cluster {
        /// The height of the block that holds the request.
        height: Height,
        /// The request. In a box, since each result of this crate has room for the largest error.
        identity: Box<Identity>,
    },
}

impl fmt::Display for RefusedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulation { height, .. } => {
                write!(f, "by a local run over the records of height {height}; nothing was sent")
            }
            Self::Cluster { height, identity } => {
                write!(f, "by the cluster at height {height}, request {identity}")
            }
        }
    }
}

/// Why the client tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A record changed between the proof and the execution.
    StaleRecord(Key),
    /// The operation opened a record that the local run had not.
    UndeclaredKey(Key),
    /// The request declared less gas than its execution took.
    OutOfGas {
        /// What it declared.
        declared: u64,
    },
    /// The window passed without the request being executed.
    Expired,
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleRecord(key) => write!(f, "because record {key} had changed"),
            Self::UndeclaredKey(key) => write!(f, "because it opened {key}, which the local run had not"),
            Self::OutOfGas { declared } => write!(f, "because it took more than the {declared} gas that it declared"),
            Self::Expired => f.write_str("because its proof grew too old before it was executed"),
        }
    }
}

/// A node's answer that a correct node does not give. It was thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address}: {what}")]
pub struct InvalidReply {
    /// The node's index in the transport.
    pub node: usize,
    /// Where it is.
    pub address: String,
    /// What is wrong with the answer.
    pub what: InvalidCause,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidCause {
    /// The genesis is another one.
    #[error("its genesis is {found}, expected {expected}")]
    Genesis {
        /// The pinned digest.
        expected: Hash,
        /// The digest of what it sent.
        found: Hash,
    },
    /// The answer is about other records than asked for.
    #[error("it was asked for {asked}, the answer has {found}")]
    OtherRecord {
        /// What was asked for.
        asked: String,
        /// What came.
        found: String,
    },
    /// The answer is of another height than asked for.
    #[error("it was asked for height {asked}, the answer is of {found}")]
    OtherHeight {
        /// The height named.
        asked: Height,
        /// The height answered.
        found: Height,
    },
    /// The answer is older than what this client has verified before.
    #[error("it answered for height {found} after height {verified} had been verified: old state, or a replay")]
    WentBack {
        /// The height verified before.
        verified: Height,
        /// The height answered.
        found: Height,
    },
    /// It signs another result of a height than the members that vouch for it.
    #[error("it signs another result of height {height} than the members who were asked for that result")]
    OtherResult {
        /// The height.
        height: Height,
    },
    /// Two certificates of different results for one height: more than f members are faulty.
    #[error("it shows a second certified result for height {height}: more members are faulty than tolerated")]
    SplitHistory {
        /// The height.
        height: Height,
    },
    /// A certificate is needed, and there is none.
    #[error("it sent no certificate of height {0}")]
    NoCertificate(Height),
    /// The answer is about another request.
    #[error("it was asked about request {asked}, the answer is about {found}")]
    OtherRequest {
        /// What was asked about.
        asked: Identity,
        /// What came.
        found: Identity,
    },
    /// A receipt is not what its proof shows, or contradicts what stands beside it.
    #[error("its receipt of request {identity} does not verify: {why}")]
    Receipt {
        /// The request.
        identity: Identity,
        /// What is wrong.
        why: String,
    },
    /// Evidence that it shows convicts nobody.
    #[error("the evidence it sent does not verify: {0}")]
    Evidence(Box<FileError>),
    /// It sends more steps to other members than one answer may hold.
    #[error("it sent {found} steps to other members, one answer holds at most {SUCCESSION_STEPS_MAX}")]
    StepCount {
        /// How many.
        found: usize,
    },
    /// A proof file proves nothing.
    #[error("{0}")]
    File(Box<FileError>),
    /// What the answer states does not hold.
    #[error("its {0}")]
    Misbehaviour(#[from] Misbehaviour),
}

impl InvalidCause {
    /// Whether others vouch for the answer than the members that are known: later ones may.
    pub(crate) const fn is_of_others(&self) -> bool {
        let Self::Misbehaviour(misbehaviour) = self else { return false };
        matches!(
            *misbehaviour.statement,
            FalseStatement::NotMember(_) | FalseStatement::Certificate(CertificateError::OtherCommittee { .. })
        )
    }

    /// What convicts the node, where it has signed what is false.
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Misbehaviour(misbehaviour) => misbehaviour.evidence(),
            _ => None,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "GENESIS_MISMATCH",
            Self::OtherRecord { .. } => "WRONG_KEY_IN_PROOF",
            Self::OtherHeight { .. } | Self::WentBack { .. } => "WENT_BACK",
            Self::SplitHistory { .. } | Self::OtherResult { .. } => "LIED_ROOT",
            Self::NoCertificate(_) | Self::StepCount { .. } => "BAD_CERTIFICATE",
            Self::OtherRequest { .. } | Self::Receipt { .. } => "BAD_RECEIPT",
            Self::Evidence(_) => "BAD_EVIDENCE",
            Self::File(_) => "BAD_PROOF",
            Self::Misbehaviour(misbehaviour) => code_of(&misbehaviour.statement),
        }
    }
}

/// The code of what an answer states falsely. What only members say to each other has no code of its own.
const fn code_of(statement: &FalseStatement) -> &'static str {
    match statement {
        FalseStatement::KeyNotProven(_) => "WRONG_KEY_IN_PROOF",
        FalseStatement::SignedOther(_) => "LIED_ROOT",
        FalseStatement::Certificate(_) | FalseStatement::Step(_) | FalseStatement::Headers(_) => "BAD_CERTIFICATE",
        FalseStatement::Receipt { .. } | FalseStatement::Absence { .. } => "BAD_RECEIPT",
        FalseStatement::NotMember(_) | FalseStatement::Signature(_) => "BAD_SIGNATURE",
        _ => "BAD_PROOF",
    }
}

/// Why one node's answer could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address} {why}")]
pub struct NodeFailure {
    /// The node's index in the transport.
    pub node: usize,
    /// Where it is.
    pub address: String,
    /// What happened.
    pub why: ReplyFault,
}

/// What happened at one node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplyFault {
    /// There was no answer, or a refusal to answer.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The answer does not hold.
    #[error("sent an invalid reply: {0}")]
    Invalid(#[from] InvalidCause),
}

impl Error {
    /// The stable code by which people and programs know the error.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NoNodes => "NO_NODES",
            Self::BadAddress { .. } => "BAD_ADDRESS",
            Self::GenesisMismatch { .. } => "GENESIS_MISMATCH",
            Self::GenesisInvalid(_) => "GENESIS_INVALID",
            Self::NoRuntime(_) => "NO_RUNTIME",
            Self::InvalidReplies(replies) => replies.first().map_or("LIED", |reply| reply.what.code()),
            Self::Fork { .. } => "FORK",
            Self::KeptFile(what) => what.code(),
            Self::Unreachable(_) => "NODE_UNREACHABLE",
            Self::NoKeeper { .. } => "NO_KEEPER",
            Self::KeepersUnreachable { .. } => "KEEPERS_UNREACHABLE",
            Self::Unavailable(failures) => first_problem(failures).map_or("UNAVAILABLE", |problem| &problem.code),
            Self::NotFresh { .. } | Self::NoQuorum { .. } => "NO_QUORUM",
            Self::Timeout { .. } | Self::Undecided { .. } => "TIMEOUT",
            Self::Forgotten { .. } => "FORGOTTEN",
            Self::Expired { .. } => "EXPIRED",
            Self::NoRequest { .. } => "NO_REQUEST",
            Self::SignaturesMissing { .. } => "SIGNATURES_MISSING",
            Self::SignatureRefused(_) => "SIGNATURE_REFUSED",
            Self::UnknownRecord { .. } => "UNKNOWN_RECORD",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Refused { refusal, .. } => refusal.code(),
            Self::Rejected { problem, .. } | Self::Declined { problem, .. } => &problem.code,
            Self::RetriesExhausted { .. } => "RETRIES_EXHAUSTED",
            Self::DiscoveryLimit { .. } => "DISCOVERY_LIMIT",
            Self::FileTooLarge { .. } => "FILE_TOO_LARGE",
            Self::NotCertified { .. } => "NOT_CERTIFIED",
            Self::OtherHistory { .. } => "OTHER_HISTORY",
            Self::OverLimit { .. } => "OVER_LIMIT",
        }
    }

    /// What kind of error it is, for exit codes and the like.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoNodes
            | Self::BadAddress { .. }
            | Self::NoRuntime(_)
            | Self::UnknownRecord { .. }
            | Self::NoRequest { .. }
            | Self::SignaturesMissing { .. }
            | Self::SignatureRefused(_)
            | Self::NoKeeper { .. }
            | Self::DiscoveryLimit { .. }
            | Self::FileTooLarge { .. }
            | Self::OverLimit { .. } => ErrorKind::BadInput,
            Self::GenesisMismatch { .. }
            | Self::GenesisInvalid(_)
            | Self::InvalidReplies(_)
            | Self::KeptFile(_)
            | Self::OtherHistory { .. } => ErrorKind::Verification,
            Self::Fork { .. } => ErrorKind::Fork,
            Self::NotFresh { .. } => ErrorKind::NoQuorum,
            Self::Unreachable(_)
            | Self::KeepersUnreachable { .. }
            | Self::Unavailable(_)
            | Self::NotCertified { .. } => ErrorKind::Availability,
            // A request has left this machine, and no end of it is proved: whatever was the reason.
            Self::Timeout { .. }
            | Self::Undecided { .. }
            | Self::NoQuorum { .. }
            | Self::Overloaded { .. }
            | Self::Rejected { .. }
            | Self::Forgotten { .. } => ErrorKind::Unknown,
            Self::Refused { .. } | Self::Declined { .. } | Self::RetriesExhausted { .. } | Self::Expired { .. } => {
                ErrorKind::Refused
            }
        }
    }

    /// Whether the same call may be made again: nothing was executed, and later it may be.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::RetriesExhausted { .. } | Self::Expired { .. })
            || matches!(self.kind(), ErrorKind::Availability | ErrorKind::NoQuorum)
    }

    /// The request that may still be executed although there is no outcome yet.
    #[must_use]
    pub const fn pending(&self) -> Option<Identity> {
        match self {
            Self::Timeout { identity, .. }
            | Self::Undecided { identity, .. }
            | Self::NoQuorum { identity, .. }
            | Self::Overloaded { identity, .. }
            | Self::Rejected { identity, .. } => Some(*identity),
            _ => None,
        }
    }

    /// The last height whose block may hold the request of [`Error::pending`], where there is one: once it is certified,
    /// [`crate::Client::never_executed`] can prove that the request was not executed.
    #[must_use]
    pub const fn expires(&self) -> Option<Height> {
        match self {
            Self::Timeout { expires, .. }
            | Self::NoQuorum { expires, .. }
            | Self::Overloaded { expires, .. }
            | Self::Rejected { expires, .. } => Some(*expires),
            _ => None,
        }
    }
}

/// The kinds of errors that call for different reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller asked for something that cannot be asked for. Nothing was sent.
    BadInput,
    /// Somebody sent an invalid reply, or this is another cluster.
    Verification,
    /// The cluster has two histories: nothing of it can be relied on.
    Fork,
    /// Nodes are out of reach, too few or too busy.
    Availability,
    /// Too few members answer for a read that misses nothing. One that may be old is possible still.
    NoQuorum,
    /// It is not known whether the request was executed: a second one might be executed beside it.
    Unknown,
    /// The cluster, or a local run, says no.
    Refused,
}

/// The outcome of asking several nodes that all failed.
pub(crate) fn all_failed(mut failures: Vec<NodeFailure>) -> Error {
    // What the keepers themselves said, or did not, tells more than that others have asked them in vain.
    if failures.iter().any(|failure| !failure.is_second_hand()) {
        failures.retain(|failure| !failure.is_second_hand());
    }
    if let Some(height) = failures.iter().find_map(NodeFailure::fork) {
        return Error::Fork { height };
    }
    let invalid: Vec<_> = failures.iter().filter_map(NodeFailure::invalid_reply).collect();
    if !invalid.is_empty() {
        return Error::InvalidReplies(invalid);
    }
    if failures.iter().all(NodeFailure::is_silent) {
        Error::Unreachable(failures)
    } else {
        Error::Unavailable(failures)
    }
}

impl NodeFailure {
    /// The height of which the client knows two certified results.
    pub(crate) const fn fork(&self) -> Option<Height> {
        match &self.why {
            ReplyFault::Invalid(InvalidCause::SplitHistory { height }) => Some(*height),
            _ => None,
        }
    }

    /// Whether the node refuses with this code.
    pub(crate) fn says(&self, code: &str) -> bool {
        matches!(&self.why, ReplyFault::Transport(TransportError::Problem(problem)) if problem.code == code)
    }

    /// Whether the node says that it was told nothing by those who keep a record.
    fn is_second_hand(&self) -> bool {
        self.says("NO_KEEPER_ANSWERS")
    }

    /// Whether the node has said nothing: nobody is there, or nobody who answers in time.
    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.why, ReplyFault::Transport(TransportError::Unreachable(_) | TransportError::Timeout(_)))
    }

    /// Whether the node says that it has forgotten the height.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.says("HEIGHT_FORGOTTEN")
    }

    /// The invalid reply, if that is what it was.
    #[must_use]
    pub fn invalid_reply(&self) -> Option<InvalidReply> {
        match &self.why {
            ReplyFault::Invalid(what) => {
                Some(InvalidReply { node: self.node, address: self.address.clone(), what: what.clone() })
            }
            ReplyFault::Transport(_) => None,
        }
    }
}

fn first_problem(failures: &[NodeFailure]) -> Option<&Problem> {
    failures.iter().find_map(|failure| match &failure.why {
        ReplyFault::Transport(TransportError::Problem(problem)) => Some(problem),
        _ => None,
    })
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
