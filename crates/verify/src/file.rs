//! Proof files: everything that one proves, and why one proves nothing.
//!
//! ```text
//! bytes -> ProofFile -> genesis is the pinned one -> steps -> head -> older results -> records, receipts, absences, evidence -> Proven
//! ```
//!
//! A file holds as a whole or not at all: one part that does not hold refuses it, so that nobody reads true words
//! beside false ones. What a file never proves is *when* something was, and that it is still so: no clock is part of it,
//! and a newer height may differ.

use std::ops::RangeInclusive;

use bytes::Bytes;
use pleach_types::certificate::{CertifiedResult, ResultProof};
use pleach_types::codec::{Decode as _, Encode as _};
use pleach_types::evidence::{Case, NotProven, Strength};
use pleach_types::proof_file::{AbsentIn, PROOF_FILE_HEADER, PROOF_FILE_NAME, ReadAt, ReceiptAt};
use pleach_types::{
    BlockResult, Committee, DecodeError, Evidence, Hash, Height, Identity, Key, Member, ProofFile, PublicKey, Receipt,
};
use thiserror::Error;

use crate::anchor::TrustAnchor;
use crate::misbehaviour::{FalseStatement, Misbehaviour};
use crate::{absence, history, receipt, records};

/// What a proof file proves. Only [`judge`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proven {
    /// The genesis under which it is proved.
    pub genesis: Hash,
    /// The name that the genesis gives to the cluster.
    pub cluster: String,
    /// The members in force at the head, after all steps.
    pub committee: Committee,
    /// How many times the members changed before.
    pub steps: usize,
    /// What a quorum certified.
    pub head: Option<Head>,
    /// Results in the history of the head, by height.
    pub older: Vec<BlockResult>,
    /// Records.
    pub records: Vec<ProvenRecord>,
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// Requests that were not executed in some heights.
    pub absences: Vec<ProvenAbsence>,
    /// Members that are guilty.
    pub convictions: Vec<Conviction>,
    /// Two certified results of one height: more members are Byzantine than the cluster tolerates, and all else is proved of one of two histories.
    pub fork: Option<Fork>,
}

/// The certified result of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What its height came to.
    pub result: BlockResult,
    /// How many members voted for the block that carries it, or for a later one.
    pub signers: usize,
}

/// Two results of one height, both certified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The one that the rest of the file is about.
    pub one: BlockResult,
    /// The other.
    pub other: BlockResult,
}

/// A record that a file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRecord {
    /// The height at which it is true.
    pub height: Height,
    /// Its key.
    pub key: Key,
    /// Its value, `None` where it is proved absent.
    pub value: Option<Bytes>,
}

/// A request that was executed in none of some heights, as a file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAbsence {
    /// The request.
    pub identity: Identity,
    /// The heights.
    pub heights: RangeInclusive<Height>,
}

impl ProvenAbsence {
    /// Whether these are all the heights in which a request may stand that stands in none after the last of them: it was never
    /// executed then, and never will be. `window` is T, the heights for which a request may be executed.
    #[must_use]
    pub fn is_final(&self, window: u64) -> bool {
        let (first, last) = (*self.heights.start(), *self.heights.end());
        // Height 0 has no requests.
        first <= last.saturating_sub(window).saturating_add(1)
    }
}

/// A member that evidence convicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// The evidence.
    pub evidence: Evidence,
    /// Who signed what it shows.
    pub member: Member,
    /// What the verdict rests on.
    pub strength: Strength,
}

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    /// It is something else.
    #[error("it is not a proof file: it does not begin with \"pleach-proof/1\"")]
    OtherFile,
    /// It is of a version that this program does not know.
    #[error("it is a proof file of another version than 1: it needs another version of this program")]
    OtherVersion,
    /// It is cut short, changed, or larger than a proof file may be.
    #[error("it does not decode: {0}")]
    Encoding(#[from] DecodeError),
    /// It is of another cluster.
    #[error("it is of the cluster with genesis {found}, not {expected}")]
    OtherGenesis {
        /// The digest of the genesis in it.
        found: Hash,
        /// The digest that counts.
        expected: Hash,
    },
    /// Nothing is in it but a genesis.
    #[error("it states nothing: it holds a genesis alone")]
    Empty,
    /// A step to other members does not follow from those before.
    #[error("step {place} to other members does not verify: its {why}")]
    Step {
        /// Which, from 1 on.
        place: usize,
        /// What is wrong.
        why: Box<FalseStatement>,
    },
    /// Its newest result is not certified.
    #[error("its newest result does not verify: its {0}")]
    Head(Box<FalseStatement>),
    /// An older result is not a part of the history.
    #[error("the result of height {height} is not a part of the history of the newest one: its {why}")]
    Older {
        /// The height.
        height: Height,
        /// What is wrong.
        why: Box<FalseStatement>,
    },
    /// Something in it is of a height whose result it does not prove.
    #[error("it has {what} of height {height}, and no proof of what that height came to")]
    NoResult {
        /// What is of that height.
        what: &'static str,
        /// The height.
        height: Height,
    },
    /// Records are not those of their height.
    #[error("the records of height {height} do not verify: their {why}")]
    Records {
        /// The height.
        height: Height,
        /// What is wrong.
        why: Box<FalseStatement>,
    },
    /// A receipt is not that of its height.
    #[error("the receipt of request {identity} does not verify: its {why}")]
    Receipt {
        /// The request.
        identity: Identity,
        /// What is wrong.
        why: Box<FalseStatement>,
    },
    /// A request is not shown to have no receipt.
    #[error("the absence of request {identity} at height {height} does not verify: its {why}")]
    Absence {
        /// The request.
        identity: Identity,
        /// The height.
        height: Height,
        /// What is wrong.
        why: Box<FalseStatement>,
    },
    /// Evidence convicts nobody.
    #[error("evidence {digest} convicts nobody: {why}")]
    Evidence {
        /// The digest of the evidence.
        digest: Hash,
        /// Why not.
        why: NotProven,
    },
    /// The other result of a fork is not certified.
    #[error("the other result of its fork does not verify: its {0}")]
    Fork(Box<FalseStatement>),
    /// The two results of a fork are the same.
    #[error("it shows no fork: both results of height {0} are the same")]
    NoFork(Height),
    /// The accused was no member.
    #[error("evidence {digest} accuses {accused}, which is none of the members that the file shows")]
    NoMember {
        /// The digest of the evidence.
        digest: Hash,
        /// The accused.
        accused: PublicKey,
    },
}

impl FileError {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherFile => "other_file",
            Self::OtherVersion => "other_version",
            Self::Encoding(_) => "encoding",
            Self::OtherGenesis { .. } => "other_genesis",
            Self::Empty => "empty",
            Self::Step { .. } => "step",
            Self::Head(_) => "head",
            Self::Older { .. } => "older",
            Self::NoResult { .. } => "no_result",
            Self::Records { .. } => "records",
            Self::Receipt { .. } => "receipt",
            Self::Absence { .. } => "absence",
            Self::Evidence { .. } => "evidence",
            Self::NoMember { .. } => "no_member",
            Self::Fork(_) => "fork",
            Self::NoFork(_) => "no_fork",
        }
    }
}

/// Reads a proof file. What it states is still to be judged.
///
/// # Errors
/// [`FileError::OtherFile`], [`FileError::OtherVersion`] and [`FileError::Encoding`].
pub fn read(bytes: &Bytes) -> Result<ProofFile, FileError> {
    if !bytes.starts_with(PROOF_FILE_HEADER) {
        // A file that was cut inside its header is cut, not another one.
        let cut = PROOF_FILE_HEADER.starts_with(bytes) && !bytes.is_empty();
        return match () {
            () if cut => Err(FileError::Encoding(DecodeError::Truncated {
                field: "header",
                needed: PROOF_FILE_HEADER.len(),
                left: bytes.len(),
            })),
            () if bytes.starts_with(PROOF_FILE_NAME) => Err(FileError::OtherVersion),
            () => Err(FileError::OtherFile),
        };
    }
    Ok(ProofFile::decode_shared(bytes.clone())?)
}

/// Judges a proof file under the pinned genesis digest, with nothing else.
///
/// # Errors
/// The first part that does not hold, in the order in which they follow from each other.
pub fn judge(file: &ProofFile, genesis: &Hash) -> Result<Proven, FileError> {
    let found = file.genesis.digest();
    if found != *genesis {
        return Err(FileError::OtherGenesis { found, expected: *genesis });
    }
    if states_nothing(file) {
        return Err(FileError::Empty);
    }
    // In this order, because each rests on the one before: genesis, members, results under their certificates, and only then what is proved under a
    // result.
    let (anchor, sets) = succession(file)?;
    let results = Results::of(file, &anchor)?;
    let records = file.reads.iter().map(|read| check_read(read, &results)).collect::<Result<Vec<_>, _>>()?;
    let receipts = file.receipts.iter().map(|at| check_receipt(at, &results)).collect::<Result<_, _>>()?;
    let absences = file.absences.iter().map(|absent| check_absence(absent, &results)).collect::<Result<_, _>>()?;
    let convictions = file.evidence.iter().map(|evidence| convict(evidence, genesis, &sets, &results));
    let convictions = convictions.collect::<Result<_, _>>()?;
    let fork = file.fork.as_ref().map(|proof| check_fork(proof, &anchor, &results)).transpose()?;
    Ok(Proven {
        genesis: found,
        cluster: file.genesis.name.clone(),
        committee: anchor.committee().clone(),
        steps: file.steps.len(),
        head: results.head,
        older: results.older,
        records: records.into_iter().flatten().collect(),
        receipts,
        absences,
        convictions,
        fork,
    })
}

fn states_nothing(file: &ProofFile) -> bool {
    let parts = [file.reads.is_empty(), file.receipts.is_empty(), file.absences.is_empty(), file.evidence.is_empty()];
    file.head.is_none() && file.fork.is_none() && parts == [true; 4]
}

/// The members in force after all steps, and all sets on the way.
fn succession(file: &ProofFile) -> Result<(TrustAnchor, Vec<Committee>), FileError> {
    // Decoding has checked the genesis; a file that a program has made itself may hold any.
    let invalid = |why: String| DecodeError::Invalid { field: "genesis", why };
    let mut anchor = TrustAnchor::of(&file.genesis).map_err(|e| invalid(e.to_string()))?;
    let mut sets = vec![anchor.committee().clone()];
    for (at, step) in file.steps.iter().enumerate() {
        let next = anchor.follow(&step.encode().into());
        anchor = next.map_err(|why| FileError::Step { place: at + 1, why: why.statement })?;
        sets.push(anchor.committee().clone());
    }
    Ok((anchor, sets))
}

/// The results that a file proves.
struct Results {
    genesis: BlockResult,
    head: Option<Head>,
    /// By height.
    older: Vec<BlockResult>,
}

impl Results {
    fn of(file: &ProofFile, anchor: &TrustAnchor) -> Result<Self, FileError> {
        let invalid = |why: String| DecodeError::Invalid { field: "genesis", why };
        let genesis = file.genesis.result().map_err(|e| invalid(e.to_string()))?;
        let head = file.head.as_ref().map(|proof| Ok((anchor.result_proof(proof)?, proof.certificate.signers.len())));
        let head = head.transpose().map_err(|why: pleach_types::certificate::CertificateError| {
            FileError::Head(Box::new(FalseStatement::Certificate(why)))
        })?;
        for older in &file.older {
            let (newest, height) = (head.map(|(newest, _)| newest), older.result.height);
            let newest: CertifiedResult = newest.ok_or(FileError::NoResult { what: "a result", height })?;
            let contained = history::contains(&newest, &older.result, &older.siblings);
            contained.map_err(|why| FileError::Older { height, why: why.statement })?;
        }
        let head = head.map(|(newest, signers)| Head { result: *newest.result(), signers });
        Ok(Self { genesis, head, older: file.older.iter().map(|older| older.result).collect() })
    }

    /// What a height came to: height 0 needs nobody's word.
    fn at(&self, what: &'static str, height: Height) -> Result<&BlockResult, FileError> {
        let head = self.head.as_ref().map(|head| &head.result);
        let mut known = std::iter::once(&self.genesis).chain(head).chain(&self.older);
        known.find(|result| result.height == height).ok_or(FileError::NoResult { what, height })
    }
}

fn check_read(read: &ReadAt, results: &Results) -> Result<Vec<ProvenRecord>, FileError> {
    let height = read.height;
    let result = results.at("records", height)?;
    let wrong = |why: Misbehaviour| FileError::Records { height, why: why.statement };
    let proof = records::proof(&read.proof, &result.root).map_err(wrong)?;
    let check = |(key, value): &(Key, Option<Bytes>)| {
        records::value(&proof, key, value.as_ref()).map_err(wrong)?;
        Ok(ProvenRecord { height, key: key.clone(), value: value.clone() })
    };
    read.records.iter().map(check).collect()
}

fn check_receipt(at: &ReceiptAt, results: &Results) -> Result<Receipt, FileError> {
    let (identity, height) = (at.receipt.identity, at.receipt.height);
    let result = results.at("a receipt", height)?;
    let checked = receipt::under(result, identity, &at.path, &at.receipt.encode().into());
    checked.map_err(|why| FileError::Receipt { identity, why: why.statement })
}

fn check_absence(absent: &AbsentIn, results: &Results) -> Result<ProvenAbsence, FileError> {
    let (identity, first) = (absent.identity, absent.first);
    // Without a path it states nothing, and a reader would take what stands there for a statement.
    let nothing = || FileError::Absence {
        identity,
        height: first,
        why: Box::new(FalseStatement::Absence { identity, why: "it has no path" }),
    };
    let mut last = None;
    for (height, path) in (first..=Height::MAX).zip(&absent.paths) {
        let result = results.at("a request that was not executed", height)?;
        let checked = absence::under(result, &identity, path);
        checked.map_err(|why| FileError::Absence { identity, height, why: why.statement })?;
        last = Some(height);
    }
    Ok(ProvenAbsence { identity, heights: first..=last.ok_or_else(nothing)? })
}

fn convict(
    evidence: &Evidence,
    genesis: &Hash,
    sets: &[Committee],
    results: &Results,
) -> Result<Conviction, FileError> {
    let digest = evidence.digest();
    let truth = evidence.needs().map(|height| results.at("evidence", height)).transpose()?;
    let strength = evidence.judge(genesis, truth).map_err(|why| FileError::Evidence { digest, why })?;
    let member = accused_member(&evidence.accused, sets);
    let member = member.ok_or(FileError::NoMember { digest, accused: evidence.accused })?.clone();
    Ok(Conviction { evidence: evidence.clone(), member, strength })
}

fn check_fork(proof: &ResultProof, anchor: &TrustAnchor, results: &Results) -> Result<Fork, FileError> {
    let certified = anchor.result_proof(proof).map_err(|why| FileError::Fork(Box::new(why.into())))?;
    let other = *certified.result();
    let one = *results.at("a fork", other.height)?;
    if one == other { Err(FileError::NoFork(other.height)) } else { Ok(Fork { one, other }) }
}

/// The newest form of the member that has this key, or had it before its present one.
fn accused_member<'a>(accused: &PublicKey, sets: &'a [Committee]) -> Option<&'a Member> {
    let is = |member: &&Member| member.public_key == *accused || member.previous == Some(*accused);
    sets.iter().rev().find_map(|set| set.members().iter().find(is))
}

impl Conviction {
    /// What the member did, in words that go on after its name.
    #[must_use]
    pub fn deed(&self) -> String {
        match &self.evidence.case {
            Case::Votes { round, first, second } => format!(
                "voted twice in view {} of epoch {}, {} and {}: votes that exclude each other",
                round.view,
                round.epoch,
                first.ballot.words(),
                second.ballot.words()
            ),
            Case::Result(stated) => {
                format!("signed a result of height {} that is not the certified one", stated.result.height)
            }
            Case::Results { first, .. } => format!("signed two different results of height {}", first.result.height),
            Case::Reply(reply) => {
                let why = reply.check().err().map(|why| format!(": {why}")).unwrap_or_default();
                format!("signed an answer that does not answer its question{why}")
            }
        }
    }
}
