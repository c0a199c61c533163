//! Proof files: what a cluster said, with all that proves it, for anybody who has the genesis digest.
//!
//! A file outlives the cluster: whoever reads it needs no node, only the digest. From there everything follows in one line:
//!
//! ```text
//! genesis digest -> genesis -> first members -> steps -> members in force -> head -> older results
//!                                                                             |         |
//!                                                                             +---------+-> records, receipts, absences, evidence
//! ```
//!
//! The *head* is the one result that a certificate proves. All other heights are proved as parts of the history that it
//! commits to, so a file of any age can be carried over to a newer head, and there is one way to prove a height. Only what
//! two signatures of one member prove, its own contradiction, needs no head.
//!
//! A file may hold a *fork* too: a second certified result of a height that it proves otherwise. Then more members are Byzantine than the cluster
//! tolerates, and what the rest of the file proves is proved of one of two histories.
//!
//! How a file is checked is in `pleach-verify`.

use bytes::Bytes;

use crate::Height;
use crate::block::BlockResult;
use crate::certificate::ResultProof;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::evidence::Evidence;
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::key::Key;
use crate::limits::{
    ABSENCE_PATH_BYTES_MAX, HISTORY_PROOF_MAX, PROOF_FILE_ABSENCES_MAX, PROOF_FILE_BYTES_MAX, PROOF_FILE_EVIDENCE_MAX,
    PROOF_FILE_OLDER_MAX, PROOF_FILE_READS_MAX, PROOF_FILE_RECEIPTS_MAX, PROOF_FILE_STEPS_MAX, READ_KEYS_MAX,
    REPLY_PROOF_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::receipt::Receipt;
use crate::request::Identity;
use crate::succession::Step;

/// What every proof file begins with, up to the number of its version.
pub const PROOF_FILE_NAME: &[u8] = b"pleach-proof/";
/// The line that a proof file of this version begins with.
pub const PROOF_FILE_HEADER: &[u8] = b"pleach-proof/1\n";

/// What a cluster said, with all that proves it. Lists are in strictly ascending order, so that one content is one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// The genesis whose digest the reader has.
    pub genesis: Genesis,
    /// From the first members to those who certify the head.
    pub steps: Vec<Step>,
    /// The proof of the newest result.
    pub head: Option<ResultProof>,
    /// Older results, by height.
    pub older: Vec<OlderResult>,
    /// Records, by height.
    pub reads: Vec<ReadAt>,
    /// Receipts, by identity.
    pub receipts: Vec<ReceiptAt>,
    /// Requests that were executed in none of some heights, by identity.
    pub absences: Vec<AbsentIn>,
    /// Evidence against members, by encoding.
    pub evidence: Vec<Evidence>,
    /// The proof of another result of a height whose result the file proves.
    pub fork: Option<ResultProof>,
}

/// A result in the history that the head commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderResult {
    /// What its height came to.
    pub result: BlockResult,
    /// The proof that it is a part of the history, from the leaf up.
    pub siblings: Vec<Hash>,
}

/// Records under the root of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAt {
    /// The height: that of the head, of an older result, or 0.
    pub height: Height,
    /// The encoded tree proof of all keys.
    pub proof: Bytes,
    /// The records, by key: the value, `None` where there is no record.
    pub records: Vec<(Key, Option<Bytes>)>,
}

/// A request without a receipt in some heights in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentIn {
    /// The request.
    pub identity: Identity,
    /// The first of the heights.
    pub first: Height,
    /// For each of them, the encoded tree proof that the identity is absent under the receipts root. The file proves their results
    /// as it proves all others.
    pub paths: Vec<Bytes>,
}

/// A receipt under the receipts root of its height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptAt {
    /// The receipt.
    pub receipt: Receipt,
    /// The encoded proof of its identity in the receipts tree of its height.
    pub path: Bytes,
}

impl ProofFile {
    /// A file that proves nothing yet.
    #[must_use]
    pub const fn new(genesis: Genesis) -> Self {
        Self {
            genesis,
            steps: Vec::new(),
            head: None,
            older: Vec::new(),
            reads: Vec::new(),
            receipts: Vec::new(),
            absences: Vec::new(),
            evidence: Vec::new(),
            fork: None,
        }
    }
}

impl Encode for ProofFile {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PROOF_FILE_HEADER);
        self.genesis.encode_to(out);
        codec::put_list(out, &self.steps);
        codec::put_option(out, self.head.as_ref(), |out, head| head.encode_to(out));
        codec::put_list(out, &self.older);
        codec::put_list(out, &self.reads);
        codec::put_list(out, &self.receipts);
        codec::put_list(out, &self.absences);
        codec::put_list(out, &self.evidence);
        codec::put_option(out, self.fork.as_ref(), |out, fork| fork.encode_to(out));
    }
}

impl Decode for ProofFile {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        if *reader.take("header", PROOF_FILE_HEADER.len())? != *PROOF_FILE_HEADER {
            let why = "the header must be \"pleach-proof/1\" and a line feed";
            return Err(DecodeError::NotCanonical { field: "header", why });
        }
        let file = Self {
            genesis: Genesis::decode_from(reader)?,
            steps: reader.list("steps", PROOF_FILE_STEPS_MAX, Step::decode_from)?,
            head: reader.option("head", ResultProof::decode_from)?,
            older: reader.list("older results", PROOF_FILE_OLDER_MAX, OlderResult::decode_from)?,
            reads: reader.list("reads", PROOF_FILE_READS_MAX, ReadAt::decode_from)?,
            receipts: reader.list("receipts", PROOF_FILE_RECEIPTS_MAX, ReceiptAt::decode_from)?,
            absences: reader.list("absences", PROOF_FILE_ABSENCES_MAX, AbsentIn::decode_from)?,
            evidence: reader.list("evidence", PROOF_FILE_EVIDENCE_MAX, Evidence::decode_from)?,
            fork: reader.option("fork", ResultProof::decode_from)?,
        };
        // Strictly, so that one file has one encoding, and nothing is judged twice.
        ascending("older results", &file.older, |older| older.result.height)?;
        ascending("reads", &file.reads, |read| read.height)?;
        ascending("receipts", &file.receipts, |at| at.receipt.identity)?;
        ascending("absences", &file.absences, |absent| absent.identity)?;
        ascending("evidence", &file.evidence, Encode::encode)?;
        Ok(file)
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("proof file", bytes, PROOF_FILE_BYTES_MAX)
    }
}

/// Checks that items are in strictly ascending order of what identifies them.
fn ascending<T, K: Ord>(field: &'static str, items: &[T], key: impl Fn(&T) -> K) -> Result<(), DecodeError> {
    codec::ascending(field, &items.iter().map(key).collect::<Vec<_>>())
}

impl Encode for OlderResult {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.result.encode_to(out);
        codec::put_list(out, &self.siblings);
    }
}

impl Decode for OlderResult {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            result: BlockResult::decode_from(reader)?,
            siblings: reader.list("siblings", HISTORY_PROOF_MAX, Hash::decode_from)?,
        })
    }
}

impl Encode for ReadAt {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.height.to_le_bytes());
        codec::put_bytes(out, &self.proof);
        codec::put_count(out, self.records.len());
        for (key, value) in &self.records {
            key.encode_to(out);
            codec::put_option(out, value.as_ref(), |out, value| codec::put_bytes(out, value));
        }
    }
}

impl Decode for ReadAt {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let value = |r: &mut Reader| r.option("value", |r| r.bytes("value", VALUE_BYTES_MAX));
        let read = Self {
            height: reader.u64("height of a read")?,
            proof: reader.bytes("proof", REPLY_PROOF_BYTES_MAX)?,
            records: reader.list("records", READ_KEYS_MAX, |r| Ok((Key::decode_from(r)?, value(r)?)))?,
        };
        if !read.records.is_sorted_by(|one, next| one.0 < next.0) {
            let why = "keys must be in strictly ascending order";
            return Err(DecodeError::NotCanonical { field: "records", why });
        }
        Ok(read)
    }
}

impl Encode for ReceiptAt {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.receipt.encode_to(out);
        codec::put_bytes(out, &self.path);
    }
}

impl Decode for ReceiptAt {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { receipt: Receipt::decode_from(reader)?, path: reader.bytes("path", REPLY_PROOF_BYTES_MAX)? })
    }
}

impl Encode for AbsentIn {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.identity.encode_to(out);
        out.extend_from_slice(&self.first.to_le_bytes());
        codec::put_count(out, self.paths.len());
        self.paths.iter().for_each(|path| codec::put_bytes(out, path));
    }
}

impl Decode for AbsentIn {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let path = |reader: &mut Reader| reader.bytes("path", ABSENCE_PATH_BYTES_MAX);
        Ok(Self {
            identity: Identity::decode_from(reader)?,
            first: reader.u64("first height")?,
            paths: reader.list("paths", PROOF_FILE_OLDER_MAX + 1, path)?,
        })
    }
}
