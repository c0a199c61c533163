//! Evidence: bytes that convict a member of a fault, for anybody who has the genesis digest.
//!
//! Only what a member signed can convict it. There are two kinds of proof ([`Strength`]):
//!
//! - *absolute*: what the accused signed contradicts itself. It holds however many members are faulty.
//! - *relative*: a signature contradicts what a quorum has certified. It holds while at most f members are faulty.
//!
//! | case | what the accused signed | strength |
//! | --- | --- | --- |
//! | [`Case::Votes`] | two votes of one round that exclude each other ([`Ballot::excludes`]) | absolute |
//! | [`Case::Results`] | two results of one height | absolute |
//! | [`Case::Result`] | a result that is not the certified one of its height | relative |
//! | [`Case::Reply`] | an answer to a read that does not answer its question under the root that it names | absolute |
//!
//! [`Evidence::judge`] is the only judge. It is pure, knows no members (whether the accused is one is for the caller), and
//! reads no certificate: the certified result comes from the caller's own memory or from a checked proof.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Height;
use crate::block::BlockResult;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::reply::SignedReply;
use crate::signature::{PublicKey, SecretKey, Signature};
use crate::vote::{Ballot, Round, Vote};

/// The number of [`Case::Reply`].
const REPLY: u8 = 3;

/// A result that a node has signed for a cluster. The signer stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedResult {
    /// What the node says a height came to.
    pub result: BlockResult,
    /// The node's signature over [`BlockResult::statement`].
    pub signature: Signature,
}

/// Bytes that are said to convict a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The digest of the genesis of the cluster in which it was signed.
    pub genesis: Hash,
    /// The key that signed.
    pub accused: PublicKey,
    /// What it signed.
    pub case: Case,
}

/// What the accused signed.
///
/// Pairs stand in ascending order of their encodings, so that one fault is one evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "evidence is rare and never held in numbers")]
pub enum Case {
    /// Two votes of one round that exclude each other.
    Votes {
        /// The round of both.
        round: Round,
        /// The lesser of the two.
        first: Vote,
        /// The greater.
        second: Vote,
    },
    /// A result that is not the certified one.
    Result(SignedResult),
    /// Two results of one height.
    Results {
        /// The lesser of the two.
        first: SignedResult,
        /// The greater.
        second: SignedResult,
    },
    /// An answer that does not answer its question.
    Reply(Box<SignedReply>),
}

/// What a verdict of guilt rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// A certificate: it holds while at most f members are faulty. A machine that computes wrongly can be convicted so.
    Relative,
    /// What the accused signed contradicts itself.
    Absolute,
}

/// Why evidence convicts nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum NotProven {
    /// It is of another cluster.
    #[error("the evidence is of the cluster with genesis {found}, not {expected}")]
    OtherGenesis {
        /// The genesis that it names.
        found: Hash,
        /// The genesis that counts.
        expected: Hash,
    },
    /// An honest member may sign both.
    #[error("an honest member may sign both")]
    Compatible,
    /// The two results are of different heights.
    #[error("the two results are of heights {first} and {second}")]
    Heights {
        /// The height of the one.
        first: Height,
        /// The height of the other.
        second: Height,
    },
    /// The signed result is the certified one.
    #[error("the signed result of height {0} is the certified one")]
    True(Height),
    /// What is certified for the height is not known.
    #[error("the certified result of height {0} is needed to judge this")]
    Unknown(Height),
    /// The signed answer answers its question.
    #[error("the signed answer answers its question under the root that it names")]
    Answered,
    /// A signature is not the accused's.
    #[error("a signature is not that of {0}")]
    Signature(PublicKey),
}

impl NotProven {
    /// The stable code by which people and programs know the reason.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherGenesis { .. } => "OTHER_GENESIS",
            Self::Compatible => "COMPATIBLE",
            Self::Heights { .. } => "OTHER_HEIGHT",
            Self::True(_) => "TRUE",
            Self::Unknown(_) => "UNKNOWN_HEIGHT",
            Self::Answered => "ANSWERED",
            Self::Signature(_) => "BAD_SIGNATURE",
        }
    }
}

impl Case {
    /// The number of the case in the encoding.
    #[must_use]
    pub const fn number(&self) -> u8 {
        match self {
            Self::Votes { .. } => 0,
            Self::Result(_) => 1,
            Self::Results { .. } => 2,
            Self::Reply(_) => REPLY,
        }
    }
}

impl SignedResult {
    /// Signs a result for the cluster with this genesis digest.
    #[must_use]
    pub fn sign(result: BlockResult, genesis: &Hash, key: &SecretKey) -> Self {
        Self { signature: key.sign(&result.statement(genesis)), result }
    }

    /// Whether this node signed it for the cluster with this genesis digest.
    #[must_use]
    pub fn is_by(&self, node: &PublicKey, genesis: &Hash) -> bool {
        node.verify(&self.result.statement(genesis), &self.signature)
    }
}

impl Evidence {
    /// Evidence of two votes of one round, whichever way round they are given.
    #[must_use]
    pub fn of_votes(genesis: Hash, accused: PublicKey, round: Round, one: Vote, other: Vote) -> Self {
        let [first, second] = ascending(one, other);
        Self { genesis, accused, case: Case::Votes { round, first, second } }
    }

    /// Evidence of two results of one height, whichever way round they are given.
    #[must_use]
    pub fn of_results(genesis: Hash, accused: PublicKey, one: SignedResult, other: SignedResult) -> Self {
        let [first, second] = ascending(one, other);
        Self { genesis, accused, case: Case::Results { first, second } }
    }

    /// Evidence of a result that is not the certified one of its height.
    #[must_use]
    pub const fn of_result(genesis: Hash, accused: PublicKey, stated: SignedResult) -> Self {
        Self { genesis, accused, case: Case::Result(stated) }
    }

    /// Evidence of an answer that does not answer its question.
    #[must_use]
    pub fn of_reply(genesis: Hash, accused: PublicKey, reply: SignedReply) -> Self {
        Self { genesis, accused, case: Case::Reply(Box::new(reply)) }
    }

    /// What a verdict names it by.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash::of(Domain::Evidence, &self.encode())
    }

    /// The height whose certified result is needed to judge it, if it is judged by one.
    #[must_use]
    pub const fn needs(&self) -> Option<Height> {
        match &self.case {
            Case::Result(stated) => Some(stated.result.height),
            Case::Votes { .. } | Case::Results { .. } | Case::Reply(_) => None,
        }
    }

    /// Whether a verdict on it may take the accused out of the next members without the owners.
    ///
    /// Not for an answer that does not answer: a fault in the program that makes proofs, the same on many machines, would look
    /// so, and no answer of that kind has misled anybody, since every client sees that it is none.
    #[must_use]
    pub const fn expels(&self) -> bool {
        Self::kind_expels(self.kind())
    }

    /// The same of a verdict, by its kind ([`Evidence::kind`]).
    #[must_use]
    pub const fn kind_expels(kind: u8) -> bool {
        kind != REPLY
    }

    /// Judges the evidence as far as its bytes alone go: all of it but for a [`Case::Result`], which whoever has the
    /// certified result still has to [judge](Evidence::judge).
    ///
    /// # Errors
    /// As [`Evidence::judge`].
    pub fn judge_bytes(&self, genesis: &Hash) -> Result<(), NotProven> {
        match &self.case {
            Case::Result(stated) if self.genesis == *genesis => match stated.is_by(&self.accused, genesis) {
                true => Ok(()),
                false => Err(NotProven::Signature(self.accused)),
            },
            _ => self.judge(genesis, None).map(drop),
        }
    }

    /// The kind of the evidence, as verdicts name it: the number of its case.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.case.number()
    }

    /// Whom it accuses of what: one evidence of each is enough, since whoever misbehaves in every answer must not fill a disk or a report.
    #[must_use]
    pub const fn charge(&self) -> (PublicKey, u8) {
        (self.accused, self.kind())
    }

    /// Judges the evidence in the cluster with this genesis digest. `certified` is the certified result of the height that
    /// [`Evidence::needs`] names, where it is known.
    ///
    /// At most two signatures are checked, and only after everything that is cheaper, or a proof of limited size is hashed.
    ///
    /// # Errors
    /// The first reason why the accused is not guilty by it.
    pub fn judge(&self, genesis: &Hash, certified: Option<&BlockResult>) -> Result<Strength, NotProven> {
        if self.genesis != *genesis {
            return Err(NotProven::OtherGenesis { found: self.genesis, expected: *genesis });
        }
        let (holds, strength) = match &self.case {
            Case::Votes { round, first, second } => {
                contradict(&first.ballot, &second.ballot)?;
                let by = |vote: &Vote| vote.is_by(&self.accused, genesis, *round);
                (by(first) && by(second), Strength::Absolute)
            }
            Case::Results { first, second } => {
                differ(&first.result, &second.result)?;
                let by = |stated: &SignedResult| stated.is_by(&self.accused, genesis);
                (by(first) && by(second), Strength::Absolute)
            }
            Case::Result(stated) => {
                let height = stated.result.height;
                // The caller's memory may be of another height than asked for: that decides nothing.
                let truth = certified.filter(|truth| truth.height == height).ok_or(NotProven::Unknown(height))?;
                if *truth == stated.result {
                    return Err(NotProven::True(height));
                }
                (stated.is_by(&self.accused, genesis), Strength::Relative)
            }
            Case::Reply(reply) => {
                if reply.check().is_ok() {
                    return Err(NotProven::Answered);
                }
                (reply.is_by(&self.accused, genesis), Strength::Absolute)
            }
        };
        if holds { Ok(strength) } else { Err(NotProven::Signature(self.accused)) }
    }
}

fn contradict(one: &Ballot, other: &Ballot) -> Result<(), NotProven> {
    if one.excludes(other) { Ok(()) } else { Err(NotProven::Compatible) }
}

fn differ(one: &BlockResult, other: &BlockResult) -> Result<(), NotProven> {
    match (one, other) {
        (one, other) if one.height != other.height => {
            Err(NotProven::Heights { first: one.height, second: other.height })
        }
        (one, other) if one == other => Err(NotProven::Compatible),
        _ => Ok(()),
    }
}

fn ascending<T: Encode>(one: T, other: T) -> [T; 2] {
    if one.encode() <= other.encode() { [one, other] } else { [other, one] }
}

/// Reads two values whose encodings must be in strictly ascending order.
fn pair<T: Encode + Decode>(field: &'static str, reader: &mut Reader) -> Result<(T, T), DecodeError> {
    let (first, second) = (T::decode_from(reader)?, T::decode_from(reader)?);
    codec::ascending(field, &[first.encode(), second.encode()])?;
    Ok((first, second))
}

impl Encode for SignedResult {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.result.encode_to(out);
        self.signature.encode_to(out);
    }
}

impl Decode for SignedResult {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { result: BlockResult::decode_from(reader)?, signature: Signature::decode_from(reader)? })
    }
}

impl Encode for Evidence {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.genesis.encode_to(out);
        self.accused.encode_to(out);
        out.push(self.kind());
        match &self.case {
            Case::Votes { round, first, second } => {
                round.encode_to(out);
                first.encode_to(out);
                second.encode_to(out);
            }
            Case::Result(stated) => stated.encode_to(out),
            Case::Results { first, second } => {
                first.encode_to(out);
                second.encode_to(out);
            }
            Case::Reply(reply) => reply.encode_to(out),
        }
    }
}

impl Decode for Evidence {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let genesis = Hash::decode_from(reader)?;
        let accused = PublicKey::decode_from(reader)?;
        let case = match reader.byte("evidence case")? {
            0 => {
                let round = Round::decode_from(reader)?;
                let (first, second) = pair("votes", reader)?;
                Case::Votes { round, first, second }
            }
            1 => Case::Result(SignedResult::decode_from(reader)?),
            2 => {
                let (first, second) = pair("results", reader)?;
                Case::Results { first, second }
            }
            3 => Case::Reply(Box::new(SignedReply::decode_from(reader)?)),
            tag => return Err(DecodeError::UnknownTag { field: "evidence case", tag }),
        };
        Ok(Self { genesis, accused, case })
    }

    fn decode_shared(bytes: bytes::Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("evidence", bytes, EVIDENCE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::reply::{ReplyAnswer, ReplyQuestion};
    use crate::vote::Proposal;

    const GENESIS: Hash = Hash([7; 32]);
    const ROUND: Round = Round { epoch: 3, view: 300 };

    fn secret() -> SecretKey {
        SecretKey::from_seed([1; 32])
    }

    fn proposal(n: u8) -> Proposal {
        Proposal { parent_view: 298, block: Hash([n; 32]) }
    }

    fn vote(ballot: Ballot) -> Vote {
        Vote::sign(ballot, &GENESIS, ROUND, &secret())
    }

    fn votes(one: Ballot, other: Ballot) -> Evidence {
        Evidence::of_votes(GENESIS, secret().public(), ROUND, vote(one), vote(other))
    }

    fn stated(height: u64, root: u8) -> SignedResult {
        let result = BlockResult { height, root: Hash([root; 32]), ..BlockResult::default() };
        SignedResult::sign(result, &GENESIS, &secret())
    }

    fn results(one: SignedResult, other: SignedResult) -> Evidence {
        Evidence::of_results(GENESIS, secret().public(), one, other)
    }

    /// A signed answer that shows no value where `records` has one.
    fn unanswered() -> Evidence {
        let records = vec![(b"a", b"1"), (b"b", b"2")];
        let records = records.into_iter().map(|(key, value)| (key.as_slice().into(), value.as_slice().into()));
        let tree: pleach_tree::Tree = records.collect();
        let question = ReplyQuestion {
            keys: vec![Key::new("a").unwrap()],
            without_values: Vec::new(),
            height: Some(9),
            min_height: None,
        };
        let result = BlockResult { height: 9, root: tree.root().into(), ..BlockResult::default() };
        let answer = ReplyAnswer { result, values: vec![None], proof: tree.prove([b"a"]).encode().into() };
        Evidence::of_reply(GENESIS, secret().public(), SignedReply::sign(question, answer, &GENESIS, &secret()))
    }

    /// All evidence that convicts, with what it takes to judge it.
    fn guilty() -> Vec<(Evidence, Option<BlockResult>, Strength)> {
        let (notarize, finalize) = (Ballot::Notarize, Ballot::Finalize);
        let parent = Proposal { parent_view: 297, ..proposal(1) };
        let truth = stated(9, 2).result;
        let result = Evidence::of_result(GENESIS, secret().public(), stated(9, 1));
        vec![
            (votes(notarize(proposal(1)), notarize(proposal(2))), None, Strength::Absolute),
            (votes(finalize(proposal(1)), finalize(proposal(2))), None, Strength::Absolute),
            (votes(finalize(proposal(1)), finalize(parent)), None, Strength::Absolute),
            (votes(Ballot::Nullify, finalize(proposal(1))), None, Strength::Absolute),
            (results(stated(9, 1), stated(9, 2)), None, Strength::Absolute),
            (result, Some(truth), Strength::Relative),
            (unanswered(), None, Strength::Absolute),
        ]
    }

    #[test]
    fn each_fault_that_leaves_proof_convicts() {
        for (evidence, truth, strength) in guilty() {
            assert_eq!(evidence.judge(&GENESIS, truth.as_ref()), Ok(strength), "{evidence:?}");
            let bytes = evidence.encode();
            assert!(bytes.len() < 1_024, "{} bytes", bytes.len());
            assert_eq!(Evidence::decode(&bytes).as_ref(), Ok(&evidence));
        }
    }

    #[test]
    fn what_an_honest_member_may_sign_convicts_nobody() {
        let (notarize, finalize) = (Ballot::Notarize, Ballot::Finalize);
        for (one, other) in [
            (notarize(proposal(1)), Ballot::Nullify),
            (notarize(proposal(1)), finalize(proposal(1))),
            (notarize(proposal(1)), finalize(proposal(2))),
            (notarize(proposal(1)), notarize(proposal(1))),
            (finalize(proposal(1)), finalize(proposal(1))),
            (Ballot::Nullify, Ballot::Nullify),
        ] {
            assert_eq!(votes(one, other).judge(&GENESIS, None), Err(NotProven::Compatible), "{one:?} {other:?}");
            assert!(!one.excludes(&other) && !other.excludes(&one));
        }
        let Case::Reply(mut reply) = unanswered().case else { panic!("a reply") };
        reply.answer.values = vec![Some(pleach_tree::ValueDigest::of(b"1").into())];
        let answered = SignedReply::sign(reply.question, reply.answer, &GENESIS, &secret());
        let answered = Evidence::of_reply(GENESIS, secret().public(), answered);
        assert_eq!(answered.judge(&GENESIS, None), Err(NotProven::Answered));
        assert_eq!(results(stated(9, 1), stated(9, 1)).judge(&GENESIS, None), Err(NotProven::Compatible));
        let heights = results(stated(8, 1), stated(9, 1)).judge(&GENESIS, None);
        assert!(matches!(heights, Err(NotProven::Heights { .. })));
        let honest = Evidence::of_result(GENESIS, secret().public(), stated(9, 1));
        assert_eq!(honest.judge(&GENESIS, Some(&stated(9, 1).result)), Err(NotProven::True(9)));
        for known in [None, Some(stated(8, 2).result)] {
            assert_eq!(honest.judge(&GENESIS, known.as_ref()), Err(NotProven::Unknown(9)));
        }
    }

    #[test]
    fn no_changed_bit_leaves_a_verdict_that_differs() {
        for (evidence, truth, strength) in guilty() {
            let bytes = evidence.encode();
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = Evidence::decode(&changed) else { continue };
                assert!(changed.judge(&GENESIS, truth.as_ref()).is_err(), "bit {bit} of {evidence:?} ({strength:?})");
            }
        }
    }

    #[test]
    fn another_cluster_round_or_key_convicts_nobody() {
        let other = Hash([8; 32]);
        for (evidence, truth, _) in guilty() {
            let refused = evidence.judge(&other, truth.as_ref());
            assert_eq!(refused, Err(NotProven::OtherGenesis { found: GENESIS, expected: other }));
            let moved = Evidence { genesis: other, ..evidence.clone() };
            assert_eq!(moved.judge(&other, truth.as_ref()), Err(NotProven::Signature(secret().public())));
            let accused = SecretKey::from_seed([2; 32]).public();
            let framed = Evidence { accused, ..evidence.clone() };
            assert_eq!(framed.judge(&GENESIS, truth.as_ref()), Err(NotProven::Signature(accused)));
            if let Case::Votes { first, second, .. } = evidence.case {
                for round in [Round { view: 299, ..ROUND }, Round { epoch: 2, ..ROUND }] {
                    let moved = Evidence::of_votes(GENESIS, secret().public(), round, first, second);
                    assert_eq!(moved.judge(&GENESIS, None), Err(NotProven::Signature(secret().public())));
                }
            }
        }
    }

    #[test]
    fn a_pair_has_one_encoding() {
        let (one, other) = (vote(Ballot::Nullify), vote(Ballot::Finalize(proposal(1))));
        let key = secret().public();
        let evidence = Evidence::of_votes(GENESIS, key, ROUND, one, other);
        assert_eq!(evidence, Evidence::of_votes(GENESIS, key, ROUND, other, one));
        let Case::Votes { first, second, round } = evidence.case.clone() else { panic!("votes") };
        let swapped = Evidence { case: Case::Votes { round, first: second, second: first }, ..evidence.clone() };
        let twice = Evidence { case: Case::Votes { round, first, second: first }, ..evidence };
        for refused in [swapped, twice] {
            assert!(matches!(Evidence::decode(&refused.encode()), Err(DecodeError::NotCanonical { .. })));
        }
        let padded = vec![0; EVIDENCE_BYTES_MAX + 1];
        assert!(matches!(Evidence::decode(&padded), Err(DecodeError::TooLarge { .. })));
    }
}
