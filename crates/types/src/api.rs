//! The messages between clients and nodes: the JSON of the HTTP port, shared by both sides.
//!
//! Digests and keys of people are hexadecimal; byte strings of ours (proofs, receipts, certificates) are the
//! canonical encoding in base64; record values are text where they can be, base64 otherwise.
//! Nothing in a reply is to be believed: the client checks what it names against certified roots.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pleach_tree::ValueDigest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Height;
use crate::block::BlockResult;
use crate::hash::Hash;
use crate::key::Key;
use crate::receipt::{CallOutput, Decision, Event, Receipt};
use crate::reply::{ReplyAnswer, ReplyQuestion};
use crate::request::{Identity, Nonce};
use crate::signature::{PublicKey, Signature};

/// A byte string: base64 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Base64(pub Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|e| D::Error::custom(format!("not base64: {e}")))?;
        Ok(Self(bytes.into()))
    }
}

impl From<Vec<u8>> for Base64 {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// A record's value: text where it is printable UTF-8, base64 otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Value {
    /// The value as text.
    Text(String),
    /// The value as base64.
    Base64(Base64),
}

impl From<&Bytes> for Value {
    fn from(value: &Bytes) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => Self::Text(text.into()),
            _ => Self::Base64(Base64(value.clone())),
        }
    }
}

impl From<Value> for Bytes {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => text.into(),
            Value::Base64(bytes) => bytes.0,
        }
    }
}

/// `GET /v1/status`: how a node is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub name: String,
    /// The node's key.
    pub public_key: PublicKey,
    /// The program's version.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's genesis.
    pub genesis: Hash,
    /// Height of the newest final block that the node has executed.
    pub height: Height,
    /// The newest height whose result is certified.
    pub certified_height: Height,
    /// The root of that height.
    pub certified_root: Hash,
    /// The oldest height that reads can name.
    pub oldest_height: Height,
    /// Records that the node keeps.
    pub records: u64,
    /// What the node stores.
    pub storage: Storage,
    /// The state that the node is fetching from others, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetching: Option<Fetching>,
    /// Requests waiting to be ordered.
    pub pending: u64,
    /// Whether the node votes.
    pub voting: Voting,
    /// The newest version of the rules that the node's program knows.
    pub rules_known: u32,
    /// The version of the rules that is decided for the next epoch.
    pub rules_next: u32,
    /// Whether the node serves: none of the conditions is [`Severity::Failing`].
    pub ready: bool,
    /// The height of which two different results are certified, if the node was shown such: it does not serve then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Height>,
    /// What whoever runs the node should know, the worst first. Nothing where all is well.
    pub conditions: Vec<Condition>,
    /// The other members, and how the node is connected with them.
    pub peers: Vec<PeerView>,
}

/// Something about a node that whoever runs it should know, as the node judges it itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its name, which stays the same: docs/operators.md says what each means.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// The member that it is about, if it is about another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What is the case.
    pub text: String,
    /// What to do.
    #[serde(rename = "cure")]
    pub hint: String,
}

/// How bad a [`Condition`] is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The node does not serve now.
    Failing,
    /// The node serves, and somebody should look after something.
    Warning,
}

/// Another member, as a node is connected with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its key.
    pub public_key: PublicKey,
    /// Where the node tries to reach it.
    pub address: String,
    /// Whether there is a connection, whoever opened it.
    pub connected: bool,
    /// For how many milliseconds nothing has come from it. A member that works says something every five seconds.
    pub silent_ms: u64,
    /// Why there is no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// By how many milliseconds its clock was ahead of the node's when they connected last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
}

/// The answer to `POST /v1/fork`: the cluster has forked, and the node neither votes nor serves any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkReply {
    /// The height of which two different results are certified.
    pub height: Height,
}

/// Whether a node votes on the order. Reads are answered in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voting {
    /// It has started, and asks the others which views are over.
    #[default]
    Asking,
    /// Its journal lacks votes of its own, or is gone: it asks more of the others, and votes in later views.
    Lost,
    /// It votes in the view that the order has reached.
    Open,
    /// It was shown that the cluster has forked: it neither votes nor serves.
    Forked,
}

/// What a node stores, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Keys, values and rows of the records that the node keeps.
    pub record_bytes: u64,
    /// What the last heights add: replaced values, written paths, receipts, warm code, labels around the own prefixes.
    pub window_bytes: u64,
    /// The ordering engine's journals, with the node's own votes, and its archive of blocks. Not a log: nothing in it may
    /// be deleted.
    pub journal_bytes: u64,
    /// The rest of the store's file: the structure of the database, and room for the next blocks.
    pub other_bytes: u64,
    /// Prefixes of the key space of which the node keeps all records.
    pub prefixes: u64,
    /// Prefixes in all.
    pub all_prefixes: u64,
    /// Copies that there are to be of each prefix.
    pub copies: u64,
    /// Copies of the prefix that has fewest: members that keep it on their disks, as they have told this node.
    pub least_copies: u64,
    /// Prefixes that have fewer copies than there are to be.
    pub prefixes_below: u64,
}

/// A transfer of state in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// Bytes that have come.
    pub bytes: u64,
    /// Items that are known to be still to come; chunks of records make more of them known.
    pub items_left: u64,
}

/// `GET /v1/members`: who the cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersView {
    /// All members.
    pub members: Vec<MemberView>,
    /// How many of them may be faulty.
    pub faults_tolerated: u64,
    /// How many make a certificate.
    pub quorum: u64,
    /// Over which heights turns were counted.
    pub turns: TurnsView,
}

/// The heights over which a node has counted who led: those of the present epoch, from where on it has executed or stored them.
/// Whoever has counted the same heights has counted the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnsView {
    /// The epoch.
    pub epoch: u64,
    /// The first height.
    pub from: Height,
    /// The last height.
    pub to: Height,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Its key.
    pub public_key: PublicKey,
    /// Where its HTTP port is, if the answering node has been told.
    pub http: Option<String>,
    /// Blocks that it has led.
    pub led: u64,
    /// Views in which it was to lead and that brought no block.
    pub missed: u64,
}

/// `POST /v1/get`: read records with a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRequest {
    /// The records, in strictly ascending order: a key that is named twice would be answered twice.
    pub keys: Vec<Key>,
    /// The certified height to read at; the newest where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Height>,
    /// The certified height to reach at least: the node waits a moment for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_height: Option<Height>,
    /// A height whose root the client has verified: its certificate need not be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_height: Option<Height>,
    /// Those of `keys` that are to be proved but whose values the client has (by digest), in strictly ascending order:
    /// the node may leave them out (`null`). What the proof says counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_values: Vec<Key>,
    /// Whether a height will do that is executed and not certified yet: the node's signature under its result is one member's word
    /// then, and the certificate is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executed: bool,
    /// Whether the node is to sign the whole answer, so that one that does not answer convicts it
    /// ([`crate::reply::SignedReply`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sign: bool,
    /// Whether a node that does not keep the records is to ask those who do, so that they do not see who reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub through: bool,
}

impl GetRequest {
    /// What is asked, as far as a signature under the answer is about it.
    #[must_use]
    pub fn question(&self) -> ReplyQuestion {
        ReplyQuestion {
            keys: self.keys.clone(),
            without_values: self.without_values.clone(),
            height: self.height,
            min_height: self.min_height,
        }
    }
}

/// The answer to [`GetRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply {
    /// The height that was read.
    pub height: Height,
    /// Its result, signed by the answering node: if it is not the certified one, it is evidence against the node.
    pub signed: SignedResultView,
    /// The records, in the order of the request.
    pub records: Vec<RecordView>,
    /// The encoded tree proof of all keys.
    pub proof: Base64,
    /// The encoded [`crate::certificate::ResultProof`] of the height; left out where the client knows it, and where the height is not
    /// certified yet and the question does not ask for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
    /// The node's signature over question and answer ([`crate::reply::SignedReply::statement`]), where the question asks for
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl GetReply {
    /// What is answered, as far as a signature is about it; `result` is the one in [`GetReply::signed`].
    #[must_use]
    pub fn answer(&self, result: BlockResult) -> ReplyAnswer {
        let digest = |value: &Value| match value {
            Value::Text(text) => ValueDigest::of(text.as_bytes()),
            Value::Base64(bytes) => ValueDigest::of(&bytes.0),
        };
        let values = self.records.iter().map(|record| record.value.as_ref().map(digest).map(Hash::from));
        ReplyAnswer { result, values: values.collect(), proof: self.proof.0.clone() }
    }
}

/// `POST /v1/newest`: the newest block of which the node holds a notarization or a finalization ([`crate::newest`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewestRequest {
    /// 16 bytes that nobody else could foresee, in hexadecimal digits.
    #[serde(with = "hex::serde")]
    pub nonce: Nonce,
}

/// The answer to [`NewestRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestReply {
    /// The node's key.
    pub node: PublicKey,
    /// The encoded [`crate::newest::SignedNewest`]: it alone counts.
    pub newest: Base64,
}

/// The result of a height, as one node vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedResultView {
    /// The encoded [`crate::block::BlockResult`].
    pub result: Base64,
    /// The node's key.
    pub node: PublicKey,
    /// Its signature over [`crate::block::BlockResult::statement`].
    pub signature: Signature,
}

/// One record of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    /// Its key.
    pub key: Key,
    /// Its value; `null` where it is absent.
    pub value: Option<Value>,
}

/// `POST /v1/execute`: have a request ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecuteRequest {
    /// The encoded [`crate::request::Request`].
    pub request: Base64,
}

/// The answer to [`ExecuteRequest`]: the node has taken the request; and what became of it, if the question said to
/// wait for that and it came in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecuteReply {
    /// The request's identity, under which its receipt can be asked for.
    pub identity: Identity,
    /// What became of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptReply>,
}

/// `GET /v1/receipts/{identity}`: what became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptReply {
    /// The request.
    pub identity: Identity,
    /// How far it has come.
    pub state: RequestState,
    /// The receipt for people; `null` until the request is executed. The encoded one in `proof` counts.
    pub receipt: Option<ReceiptView>,
    /// What proves the receipt.
    pub proof: Option<ReceiptProof>,
}

/// How far a request has come on the answering node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// The node has not seen it in the heights that it remembers.
    Unknown,
    /// It waits to be ordered.
    Pending,
    /// It is in a final block; the result of that block is not certified yet.
    Executed,
    /// The result of its block is certified.
    Certified,
}

/// `GET /v1/receipts/{identity}/absence`: that a request was executed in none of some heights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceReply {
    /// The request.
    pub identity: Identity,
    /// The first height, as it was asked for.
    pub first: Height,
    /// The last height that this answer is about: where there is more to prove than one answer holds, below the one that was
    /// asked for.
    pub last: Height,
    /// The encoded [`crate::absence::AbsenceProof`]: it alone counts.
    pub proof: Base64,
}

/// What proves a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptProof {
    /// The encoded receipt.
    pub receipt: Base64,
    /// The encoded proof of the identity in the receipts tree of its height.
    pub path: Base64,
    /// The result of its height, signed by the answering node.
    pub signed: SignedResultView,
    /// The encoded [`crate::certificate::ResultProof`] of its height, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
}

/// A receipt for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptView {
    /// The height of the block.
    pub height: Height,
    /// The place in the block.
    pub index: u32,
    /// Gas used.
    pub gas: u64,
    /// `applied` or `refused`.
    pub verdict: String,
    /// The code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The refusal in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The place of the call that was refused; left out where the reason is the request's as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u8>,
    /// What each call returned and announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallView>,
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// What the operation returned.
    pub output: Value,
    /// What it announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventView>,
}

/// Something that an operation announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// What it is about.
    pub topic: Value,
    /// What it says.
    pub data: Value,
}

impl From<&CallOutput> for CallView {
    fn from(call: &CallOutput) -> Self {
        Self { output: Value::from(&call.output), events: call.events.iter().map(EventView::from).collect() }
    }
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self { topic: Value::from(&event.topic), data: Value::from(&event.data) }
    }
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        let view = Self {
            height: receipt.height,
            index: receipt.index,
            gas: receipt.gas,
            verdict: "applied".into(),
            reason: None,
            message: None,
            call: None,
            calls: receipt.outputs().iter().map(CallView::from).collect(),
        };
        match &receipt.decision {
            Decision::Applied(_) => view,
            Decision::Refused { call, refusal } => Self {
                verdict: "refused".into(),
                call: *call,
                reason: Some(refusal.code().into()),
                // For people alone: programs and proofs go by the code, since nodes of other versions have other words.
                message: Some(refusal.to_string()),
                ..view
            },
        }
    }
}

/// `GET /v1/evidence`: what the node holds against members.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvidenceList {
    /// The evidence, at most [`crate::limits::PROOF_FILE_EVIDENCE_MAX`].
    pub evidence: Vec<EvidenceView>,
}

/// One evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// Its digest.
    pub digest: Hash,
    /// Whom it accuses.
    pub accused: PublicKey,
    /// The encoded [`crate::Evidence`]: it alone counts.
    pub evidence: Base64,
}

/// `GET /v1/succession`: how the members changed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Succession {
    /// Encoded [`crate::succession::Step`]s, by epoch, at most [`crate::limits::SUCCESSION_STEPS_MAX`]: the first of those that are
    /// asked for.
    pub steps: Vec<Base64>,
}

/// `GET /v1/history/{height}`: that the result of a height is a part of what a newer one commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryReply {
    /// The height.
    pub height: Height,
    /// The newer height: its result commits to those of all heights below it, of which there are so many.
    pub size: Height,
    /// How many hashes are left out at the beginning of `inclusion`: 12 where the height is too old, otherwise none.
    pub left_out: u8,
    /// The inclusion proof of the height's result, from the leaf up ([`crate::history`]).
    pub inclusion: Vec<Hash>,
    /// The consistency proof from the history of the height's result to that of the newer one; left out where the node does not
    /// have it: the height is too old, or the node has fetched its state since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Vec<Hash>>,
    /// The encoded [`crate::certificate::ResultProof`] of the newer height.
    pub certificate: Base64,
}

/// `GET /v1/blocks`: final blocks, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// The blocks.
    pub blocks: Vec<BlockView>,
}

/// One final block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: Hash,
    /// Whose turn it was.
    pub leader: PublicKey,
    /// How many requests it holds.
    pub requests: u64,
    /// How many of them were applied.
    pub applied: u64,
    /// How many were refused.
    pub refused: u64,
    /// How many were void.
    pub void: u64,
    /// The root after it.
    pub root: Hash,
}

/// An error: `application/problem+json` (RFC 9457) with a code of ours and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable code.
    pub code: String,
    /// What happened, with the values.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// With `REPLY_TOO_LARGE`: how many records, counted from the first key, fit one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<u64>,
    /// With `NOT_KEPT`: the names of the members that keep the record, as in [`MembersView`].
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    pub keepers: Box<[String]>,
}

impl Problem {
    /// An error, with nothing that only some errors have.
    pub fn new(code: &str, detail: impl Into<String>, hint: impl Into<String>, retryable: bool) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            hint: hint.into(),
            retryable,
            fits: None,
            keepers: Box::default(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}
