//! What became of a request: receipts and refusals. Why a request has no receipt at all is in [`crate::void`].
//!
//! A receipt is the same on every node: it depends on the order, the body and the state, never on what a node
//! stores, on its engine or its machine. Receipts of a block form a prefix tree of their own, from identity to
//! encoded receipt, whose root is part of the block's result; so a receipt is proved like a record.

use bytes::Bytes;
use pleach_tree::Tree;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Height;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::Hash;
use crate::key::Key;
use crate::limits::{ABORT_BYTES_MAX, CALLS_MAX, EVENT_BYTES_MAX, EVENTS_MAX, OUTPUT_BYTES_MAX};
use crate::request::Identity;

/// What became of one ordered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The request.
    pub identity: Identity,
    /// The height of the block that holds it.
    pub height: Height,
    /// Its place among the requests of the block.
    pub index: u32,
    /// Gas used.
    pub gas: u64,
    /// Applied or refused.
    pub decision: Decision,
}

/// The tree of a block's receipts, from identity to encoded receipt. Its root is part of the block's result.
#[must_use]
pub fn receipts_tree<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Tree {
    let mut tree = Tree::new();
    let entry = |receipt: &Receipt| (Bytes::copy_from_slice(&receipt.identity.0), Some(Bytes::from(receipt.encode())));
    tree.apply(receipts.into_iter().map(entry));
    tree
}

/// Applied or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The operations ran and their changes were made: what each of the calls returned and announced, in their order.
    Applied(Vec<CallOutput>),
    /// Nothing was changed.
    Refused {
        /// The place of the call that was refused; `None` where the reason is the request's as a whole.
        call: Option<u8>,
        /// Why.
        refusal: Refusal,
    },
}

/// What came of one call of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOutput {
    /// What the operation returned.
    pub output: Bytes,
    /// What the operation announced.
    pub events: Vec<Event>,
}

/// Something that an operation announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub topic: Bytes,
    /// What it says.
    pub data: Bytes,
}

/// Why an ordered request changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A touched record, or the operation, has changed since `base`. The first such key, operation last.
    #[error("record {0} changed after the proof was made; read again and retry")]
    StaleRecord(Key),
    /// There is no record at the operation's key.
    #[error("there is no operation {0}")]
    OperationAbsent(Key),
    /// The operation's record is not a module that may run.
    #[error("record {0} is not a valid operation")]
    OperationInvalid(Key),
    /// The operation decided against it.
    #[error("aborted by the operation with code {code}: {message}")]
    Aborted {
        /// The operation's own code.
        code: u32,
        /// The operation's own words: text at most 1 KiB; bytes that are not UTF-8 are replaced.
        message: String,
    },
    /// The execution used all the gas that the request declares.
    #[error("out of gas: the request declares {limit}")]
    OutOfGas {
        /// What the request declares.
        limit: u64,
    },
    /// The execution used all its stack.
    #[error("stack overflow")]
    StackOverflow,
    /// The module trapped: an unreachable instruction, a division by zero, an access out of bounds.
    #[error("trapped")]
    Trap,
    /// The operation asked for a record that the request does not list. Clients add the key and try again.
    #[error("record {0} is not among the touched keys of the request")]
    UndeclaredKey(Key),
    /// The operation asked for a record by something that is not a key.
    #[error("the operation opened a record by bytes that are not a key")]
    BadKey,
    /// The operation tried to write outside its domain, or a system record.
    #[error("{operation} may not write {key}: it is outside its domain")]
    DomainViolation {
        /// The operation.
        operation: Key,
        /// The record.
        key: Key,
    },
    /// The operation broke the rules of a host function.
    #[error("misused a host function: {0}")]
    HostMisuse(HostMisuse),
    /// A value, an output or something else grew past a limit.
    #[error("{what} exceeds the limit of {limit}")]
    LimitExceeded {
        /// What grew too large.
        what: Limited,
        /// The limit.
        limit: u64,
    },
    /// The request of the system cannot be granted.
    #[error("{0}")]
    System(SystemRefusal),
    /// The cluster's owners have to sign a call of the root rule, and too few did.
    #[error("{signed} of the cluster's owners have signed, a new domain needs {needed}")]
    NotApproved {
        /// How many owners are among the signers.
        signed: u8,
        /// How many are needed.
        needed: u8,
    },
}

/// Why a request of the system changed nothing. Where several apply, the first of them is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error, Serialize, Deserialize)]
pub enum SystemRefusal {
    /// The key is not that of a member that the request could be about.
    #[error("no member that this could be about has the key")]
    NotAMember,
    /// The accused has been convicted already.
    #[error("the member has been convicted already")]
    AlreadyConvicted,
    /// The change is not the next one of the owners.
    #[error("the change is not the next one: seq is one more than the cluster's")]
    OutOfSequence,
    /// The change was to be made earlier or not at all.
    #[error("the change was to be ordered at an earlier height, or not at all")]
    Overdue,
    /// Too few owners have signed the change.
    #[error("too few owners have signed the change")]
    TooFewOwners,
    /// The key was convicted.
    #[error("the key was convicted")]
    KeyConvicted,
    /// So many members would leave, or store nothing, that a record could lose its last keeper.
    #[error("records could lose their last keeper: fewer members may leave in one epoch")]
    WouldLoseData,
    /// What would come of it is no list of members: too many, too few, or a name or key that is another's.
    #[error("there is no room in the list, or a name or key is another member's")]
    SetSize,
    /// The root or result that the request states is not this cluster's, or of a height that is not remembered.
    #[error(
        "the root or result that the request states is not this cluster's at that height, or the height is none of the last ones"
    )]
    NotReady,
    /// The terms are out of range, or of an earlier version of the rules.
    #[error("a limit of the terms is out of range, or the version of the rules is below the one in force")]
    BadTerms,
}

impl SystemRefusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::NotAMember,
        Self::AlreadyConvicted,
        Self::OutOfSequence,
        Self::Overdue,
        Self::TooFewOwners,
        Self::KeyConvicted,
        Self::WouldLoseData,
        Self::SetSize,
        Self::NotReady,
        Self::BadTerms,
    ];

    /// The stable code by which people and programs know the reason.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAMember => "NOT_A_MEMBER",
            Self::AlreadyConvicted => "ALREADY_CONVICTED",
            Self::OutOfSequence => "OUT_OF_SEQUENCE",
            Self::Overdue => "OVERDUE",
            Self::TooFewOwners => "TOO_FEW_OWNERS",
            Self::KeyConvicted => "KEY_CONVICTED",
            Self::WouldLoseData => "WOULD_LOSE_DATA",
            Self::SetSize => "SET_SIZE",
            Self::NotReady => "NOT_READY",
            Self::BadTerms => "BAD_TERMS",
        }
    }
}

/// How an operation can misuse the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostMisuse {
    /// A pointer and length reach beyond the memory.
    #[error("pointer out of range")]
    Pointer,
    /// A handle that was never given out.
    #[error("unknown record handle")]
    Handle,
    /// An index beyond what can be enumerated.
    #[error("index out of range")]
    Index,
}

/// What an operation can grow too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Limited {
    /// A record's value.
    #[error("a value")]
    Value,
    /// All values of an execution.
    #[error("the sum of all values")]
    Records,
    /// The returned output.
    #[error("the output")]
    Output,
    /// The number or bytes of events.
    #[error("the events")]
    Events,
}

impl Refusal {
    /// The stable code by which people and programs know the refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::StaleRecord(_) => "STALE_RECORD",
            Self::OperationAbsent(_) => "OPERATION_ABSENT",
            Self::OperationInvalid(_) => "OPERATION_INVALID",
            Self::Aborted { .. } => "ABORTED",
            Self::OutOfGas { .. } => "OUT_OF_GAS",
            Self::StackOverflow => "STACK_OVERFLOW",
            Self::Trap => "TRAP",
            Self::UndeclaredKey(_) => "UNDECLARED_KEY",
            Self::BadKey => "BAD_KEY",
            Self::DomainViolation { .. } => "DOMAIN_VIOLATION",
            Self::HostMisuse(_) => "HOST_MISUSE",
            Self::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Self::System(_) => "SYSTEM",
            Self::NotApproved { .. } => "NOT_APPROVED",
        }
    }

    /// Whether the same call, with a fresh proof, may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::StaleRecord(_))
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::StaleRecord(_) => 0,
            Self::OperationAbsent(_) => 1,
            Self::OperationInvalid(_) => 2,
            Self::Aborted { .. } => 3,
            Self::OutOfGas { .. } => 4,
            Self::StackOverflow => 5,
            Self::Trap => 6,
            Self::UndeclaredKey(_) => 7,
            Self::BadKey => 8,
            Self::DomainViolation { .. } => 9,
            Self::HostMisuse(_) => 10,
            Self::LimitExceeded { .. } => 11,
            Self::System(_) => 12,
            Self::NotApproved { .. } => 13,
        }
    }
}

impl Encode for Receipt {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.identity.encode_to(out);
        out.extend_from_slice(&self.height.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.gas.to_le_bytes());
        match &self.decision {
            Decision::Applied(calls) => {
                out.push(0);
                codec::put_list(out, calls);
            }
            Decision::Refused { call, refusal } => {
                out.push(1);
                codec::put_option(out, *call, |out, call| out.push(call));
                refusal.encode_to(out);
            }
        }
    }
}

impl Decode for Receipt {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            identity: Hash::decode_from(reader)?,
            height: reader.u64("height")?,
            index: reader.u32("index")?,
            gas: reader.u64("gas")?,
            decision: match reader.byte("verdict")? {
                0 => Decision::Applied(reader.list("calls", CALLS_MAX, CallOutput::decode_from)?),
                1 => Decision::Refused {
                    call: reader.option("call", |r| r.byte("call"))?,
                    refusal: Refusal::decode_from(reader)?,
                },
                tag => return Err(DecodeError::UnknownTag { field: "verdict", tag }),
            },
        })
    }
}

impl Receipt {
    /// Bytes of the encoding.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        const FIXED: usize = 32 + 8 + 4 + 8 + 1;
        let event = |event: &Event| 8 + event.len();
        let call = |call: &CallOutput| 8 + call.output.len() + call.events.iter().map(event).sum::<usize>();
        FIXED
            + match &self.decision {
                Decision::Applied(calls) => 4 + calls.iter().map(call).sum::<usize>(),
                Decision::Refused { call, refusal } => 1 + usize::from(call.is_some()) + refusal.encode().len(),
            }
    }

    /// What each call returned and announced; nothing if the request was refused.
    #[must_use]
    pub fn outputs(&self) -> &[CallOutput] {
        match &self.decision {
            Decision::Applied(calls) => calls,
            Decision::Refused { .. } => &[],
        }
    }

    /// Why the request was refused, if it was.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.decision {
            Decision::Applied(_) => None,
            Decision::Refused { refusal, .. } => Some(refusal),
        }
    }
}

impl Encode for CallOutput {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, &self.output);
        codec::put_list(out, &self.events);
    }
}

impl Decode for CallOutput {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { output: reader.bytes("output", OUTPUT_BYTES_MAX)?, events: decode_events(reader)? })
    }
}

fn decode_events(reader: &mut Reader) -> Result<Vec<Event>, DecodeError> {
    let events = reader.list("events", EVENTS_MAX, Event::decode_from)?;
    match events.iter().map(Event::len).sum() {
        actual if actual > EVENT_BYTES_MAX => {
            Err(DecodeError::TooLarge { field: "bytes of all events", actual, limit: EVENT_BYTES_MAX })
        }
        _ => Ok(events),
    }
}

impl Event {
    /// Bytes of topic and data.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.topic.len() + self.data.len()
    }

    /// Whether it says nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Encode for Event {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, &self.topic);
        codec::put_bytes(out, &self.data);
    }
}

impl Decode for Event {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { topic: reader.bytes("topic", EVENT_BYTES_MAX)?, data: reader.bytes("event", EVENT_BYTES_MAX)? })
    }
}

impl Encode for Refusal {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match self {
            Self::StaleRecord(key)
            | Self::OperationAbsent(key)
            | Self::OperationInvalid(key)
            | Self::UndeclaredKey(key) => {
                key.encode_to(out);
            }
            Self::Aborted { code, message } => {
                out.extend_from_slice(&code.to_le_bytes());
                codec::put_bytes(out, message.as_bytes());
            }
            Self::OutOfGas { limit } => out.extend_from_slice(&limit.to_le_bytes()),
            Self::StackOverflow | Self::Trap | Self::BadKey => {}
            Self::DomainViolation { operation, key } => {
                operation.encode_to(out);
                key.encode_to(out);
            }
            // By number, never by their words: receipts are hashed, and words may be improved.
            Self::HostMisuse(misuse) => out.push(*misuse as u8),
            Self::LimitExceeded { what, limit } => {
                out.push(*what as u8);
                out.extend_from_slice(&limit.to_le_bytes());
            }
            Self::System(refusal) => out.push(*refusal as u8),
            Self::NotApproved { signed, needed } => out.extend_from_slice(&[*signed, *needed]),
        }
    }
}

impl Decode for Refusal {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.byte("refusal")? {
            0 => Self::StaleRecord(Key::decode_from(reader)?),
            1 => Self::OperationAbsent(Key::decode_from(reader)?),
            2 => Self::OperationInvalid(Key::decode_from(reader)?),
            3 => Self::Aborted {
                code: reader.u32("abort code")?,
                // Replacing what is not UTF-8 can make the text up to three times as long.
                message: reader.string("abort message", 3 * ABORT_BYTES_MAX)?,
            },
            4 => Self::OutOfGas { limit: reader.u64("gas limit")? },
            5 => Self::StackOverflow,
            6 => Self::Trap,
            7 => Self::UndeclaredKey(Key::decode_from(reader)?),
            8 => Self::BadKey,
            9 => Self::DomainViolation { operation: Key::decode_from(reader)?, key: Key::decode_from(reader)? },
            10 => Self::HostMisuse(match reader.byte("misuse")? {
                0 => HostMisuse::Pointer,
                1 => HostMisuse::Handle,
                2 => HostMisuse::Index,
                tag => return Err(DecodeError::UnknownTag { field: "misuse", tag }),
            }),
            11 => Self::LimitExceeded {
                what: match reader.byte("limited")? {
                    0 => Limited::Value,
                    1 => Limited::Records,
                    2 => Limited::Output,
                    3 => Limited::Events,
                    tag => return Err(DecodeError::UnknownTag { field: "limited", tag }),
                },
                limit: reader.u64("limit")?,
            },
            12 => {
                let tag = reader.byte("refusal of the system")?;
                let refusal = SystemRefusal::ALL.get(usize::from(tag)).copied();
                Self::System(refusal.ok_or(DecodeError::UnknownTag { field: "refusal of the system", tag })?)
            }
            13 => Self::NotApproved { signed: reader.byte("owners")?, needed: reader.byte("threshold")? },
            tag => return Err(DecodeError::UnknownTag { field: "refusal", tag }),
        })
    }
}
