//! Whole answers to reads that a node has signed, because the client asked it to (thesis 4.3.6).
//!
//! ```text
//! question (keys, height) + answer (result, digests of values, proof) -> statement -> signature
//! ```
//!
//! A node signs the result of each height it answers at, and that convicts it of a false root. What it shows *under* a true
//! root it does not sign by itself: a wrong value or a proof of something else costs it no more than silence. A client that
//! wants more asks for a signature under question and answer together. An answer that does not answer its question then
//! convicts its signer by itself ([`crate::evidence::Case::Reply`]), whatever any quorum says.
//!
//! [`SignedReply::check`] is that judgement. An honest node runs it over its own answer before it signs, so that a fault in
//! whatever makes proofs ends as a refusal to sign, and never as a conviction of all members.

use bytes::Bytes;
use pleach_tree::Proof;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Height;
use crate::block::BlockResult;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};
use crate::key::Key;
use crate::limits::{SIGNED_REPLY_BYTES_MAX, SIGNED_REPLY_KEYS_MAX, signed_reply_proof};
use crate::signature::{PublicKey, SecretKey, Signature, Statement};

/// What a client asked, as far as a signature is about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyQuestion {
    /// The records, in strictly ascending order.
    pub keys: Vec<Key>,
    /// Those of them whose values may be left out, in strictly ascending order.
    pub without_values: Vec<Key>,
    /// The height to read at; whichever the node chooses where there is none.
    pub height: Option<Height>,
    /// The least height that will do.
    pub min_height: Option<Height>,
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyAnswer {
    /// What the height that was read came to.
    pub result: BlockResult,
    /// For each key that was asked for, the digest of the value that the node sent; none where it sent no value.
    pub values: Vec<Option<Hash>>,
    /// The encoded tree proof.
    pub proof: Bytes,
}

/// A question and its answer, signed by the node that gave it. The signer stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReply {
    /// What was asked.
    pub question: ReplyQuestion,
    /// What was answered.
    pub answer: ReplyAnswer,
    /// The node's signature over [`SignedReply::statement`].
    pub signature: Signature,
}

/// Why an answer does not answer its question under the root that it names.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Unanswered {
    /// It is of another height than the one asked for.
    #[error("it is of height {found}, where {asked} was asked for")]
    OtherHeight {
        /// The height asked for.
        asked: Height,
        /// The height of the answer.
        found: Height,
    },
    /// It is of a height below the least one asked for.
    #[error("it is of height {found}, where {least} was the least asked for")]
    BelowMinimum {
        /// The least height asked for.
        least: Height,
        /// The height of the answer.
        found: Height,
    },
    /// It has not one value, or the lack of one, for each key.
    #[error("it has {found} values for {asked} keys")]
    Count {
        /// Keys asked for.
        asked: usize,
        /// Values in the answer.
        found: usize,
    },
    /// Its proof does not decode, or is larger than a signed one may be.
    #[error("its proof does not decode: {0}")]
    Proof(String),
    /// Its proof is not of the tree with the root that it names.
    #[error("its proof has root {found}, where the result names {named}")]
    OtherRoot {
        /// The root in the result.
        named: Hash,
        /// The root of the proof.
        found: Hash,
    },
    /// Its proof leaves a key open.
    #[error("its proof neither shows {0} nor that it is absent")]
    NotDecided(Key),
    /// A value is another than the proved one.
    #[error("the value of {0} is not the one that the proof shows")]
    OtherValue(Key),
}

impl SignedReply {
    /// Signs an answer, whatever it says: whoever signs in earnest has [checked](SignedReply::check) it.
    #[must_use]
    pub fn sign(question: ReplyQuestion, answer: ReplyAnswer, genesis: &Hash, key: &SecretKey) -> Self {
        let mut reply = Self { question, answer, signature: Signature([0; 64]) };
        reply.signature = key.sign(&reply.statement(genesis));
        reply
    }

    /// What the node signs: everything but the signature, in the cluster with this genesis digest.
    #[must_use]
    pub fn statement(&self, genesis: &Hash) -> Statement {
        let mut bytes = genesis.encode();
        self.put_unsigned(&mut bytes);
        Statement { domain: Domain::ReplySignature, digest: Hash::of(Domain::ReplySignature, &bytes) }
    }

    /// Whether this node signed it for the cluster with this genesis digest.
    #[must_use]
    pub fn is_by(&self, node: &PublicKey, genesis: &Hash) -> bool {
        node.verify(&self.statement(genesis), &self.signature)
    }

    /// Checks that the answer answers the question under the root that it names. The signature is not looked at, and whether the
    /// result is the certified one of its height is another question ([`crate::evidence::Case::Result`]).
    ///
    /// # Errors
    /// The first reason why it does not.
    pub fn check(&self) -> Result<(), Unanswered> {
        let Self { question, answer, .. } = self;
        let found = answer.result.height;
        if let Some(asked) = question.height.filter(|asked| *asked != found) {
            return Err(Unanswered::OtherHeight { asked, found });
        }
        if let Some(least) = question.min_height.filter(|least| found < *least) {
            return Err(Unanswered::BelowMinimum { least, found });
        }
        if answer.values.len() != question.keys.len() {
            return Err(Unanswered::Count { asked: question.keys.len(), found: answer.values.len() });
        }
        let proof = Proof::decode(&answer.proof, &signed_reply_proof());
        let proof = proof.map_err(|why| Unanswered::Proof(why.to_string()))?.hash();
        let named = answer.result.root;
        let proof = match Hash::from(proof.root()) {
            found if found != named => return Err(Unanswered::OtherRoot { named, found }),
            _ => proof.against(named.into()).map_err(|why| Unanswered::Proof(why.to_string()))?,
        };
        for (key, value) in question.keys.iter().zip(&answer.values) {
            let shown = proof.get(key.as_bytes()).map_err(|_| Unanswered::NotDecided(key.clone()))?;
            // No value where the client said that it has it: that states nothing.
            let left_out = value.is_none() && question.without_values.binary_search(key).is_ok();
            if !left_out && *value != shown.map(Hash::from) {
                return Err(Unanswered::OtherValue(key.clone()));
            }
        }
        Ok(())
    }

    /// Bytes of the encoding: at most [`SIGNED_REPLY_BYTES_MAX`] decode.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encode().len()
    }

    fn put_unsigned(&self, out: &mut Vec<u8>) {
        let put_height = |out: &mut Vec<u8>, height: Height| out.extend_from_slice(&height.to_le_bytes());
        codec::put_list(out, &self.question.keys);
        codec::put_list(out, &self.question.without_values);
        codec::put_option(out, self.question.height, put_height);
        codec::put_option(out, self.question.min_height, put_height);
        self.answer.result.encode_to(out);
        codec::put_count(out, self.answer.values.len());
        for value in &self.answer.values {
            codec::put_option(out, *value, |out, digest| digest.encode_to(out));
        }
        codec::put_bytes(out, &self.answer.proof);
    }
}

impl Encode for SignedReply {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.put_unsigned(out);
        self.signature.encode_to(out);
    }
}

impl Decode for SignedReply {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let keys = reader.list("keys", SIGNED_REPLY_KEYS_MAX, Key::decode_from)?;
        codec::ascending("keys", &keys)?;
        let without_values = reader.list("keys without values", SIGNED_REPLY_KEYS_MAX, Key::decode_from)?;
        codec::ascending("keys without values", &without_values)?;
        let height = reader.option("height", |reader| reader.u64("height"))?;
        let min_height = reader.option("least height", |reader| reader.u64("least height"))?;
        let result = BlockResult::decode_from(reader)?;
        let values = reader.list("digests of values", SIGNED_REPLY_KEYS_MAX, |reader| {
            reader.option("digest of a value", Hash::decode_from)
        })?;
        let proof = reader.bytes("proof", SIGNED_REPLY_BYTES_MAX)?;
        let signature = Signature::decode_from(reader)?;
        let question = ReplyQuestion { keys, without_values, height, min_height };
        Ok(Self { question, answer: ReplyAnswer { result, values, proof }, signature })
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("signed reply", bytes, SIGNED_REPLY_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use pleach_tree::{Tree, ValueDigest};
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{KEY_BYTES_MAX, SIGNED_REPLY_NODES_MAX};

    fn key(n: u8) -> Key {
        Key::new(format!("key/{n}")).expect("a key")
    }

    /// A tree with the even ones of these keys.
    fn tree(keys: u8) -> Tree {
        let record = |n: u8| (key(n).as_bytes().to_vec().into(), vec![n].into());
        (0..keys).filter(|n| n % 2 == 0).map(record).collect()
    }

    fn answered(keys: u8, asked: &[u8], without: &[u8], height: Height) -> SignedReply {
        let tree = tree(keys);
        let sorted = |numbers: &[u8]| {
            let mut keys: Vec<_> = numbers.iter().map(|n| key(*n)).collect();
            keys.sort();
            keys.dedup();
            keys
        };
        let (keys, without_values) = (sorted(asked), sorted(without));
        let value = |key: &Key| {
            let value = tree.get(key.as_bytes()).filter(|_| !without_values.contains(key));
            value.map(|value| ValueDigest::of(value).into())
        };
        let answer = ReplyAnswer {
            result: BlockResult { height, root: tree.root().into(), ..BlockResult::default() },
            values: keys.iter().map(value).collect(),
            proof: tree.prove(&keys).encode().into(),
        };
        let question = ReplyQuestion { keys, without_values, height: None, min_height: None };
        sign(question, answer)
    }

    fn sign(question: ReplyQuestion, answer: ReplyAnswer) -> SignedReply {
        SignedReply::sign(question, answer, &Hash([7; 32]), &SecretKey::from_seed([1; 32]))
    }

    proptest! {
        /// What a correct node says is never held against it; one other value, and it is.
        #[test]
        fn a_true_answer_answers_and_another_value_does_not(
            keys in 0_u8..40,
            asked in prop::collection::vec(0_u8..40, 0..8),
            without in prop::collection::vec(0_u8..40, 0..4),
            changed in any::<prop::sample::Index>(),
            height in 0_u64..9,
        ) {
            let mut reply = answered(keys, &asked, &without, height);
            reply.question.height = (height % 2 == 0).then_some(height);
            reply.question.min_height = (height % 3 == 0).then_some(height / 2);
            prop_assert_eq!(reply.check(), Ok(()));
            prop_assert_eq!(SignedReply::decode(&reply.encode()), Ok(reply.clone()));
            if !reply.question.keys.is_empty() {
                let place = changed.index(reply.question.keys.len());
                let key = reply.question.keys[place].clone();
                // Another value, or one that nobody has.
                reply.answer.values[place] = Some(Hash([9; 32]));
                prop_assert_eq!(reply.check(), Err(Unanswered::OtherValue(key)));
            }
        }
    }

    #[test]
    fn each_reason_is_found() {
        let good = answered(8, &[0, 1, 2], &[2], 5);
        let with = |change: fn(&mut SignedReply)| {
            let mut reply = good.clone();
            change(&mut reply);
            reply.check()
        };
        assert_eq!(with(|_| {}), Ok(()));
        let other = with(|reply| reply.question.height = Some(4));
        assert_eq!(other, Err(Unanswered::OtherHeight { asked: 4, found: 5 }));
        let old = with(|reply| reply.question.min_height = Some(6));
        assert_eq!(old, Err(Unanswered::BelowMinimum { least: 6, found: 5 }));
        let few = with(|reply| reply.answer.values.truncate(2));
        assert_eq!(few, Err(Unanswered::Count { asked: 3, found: 2 }));
        assert!(matches!(with(|reply| reply.answer.proof = Bytes::new()), Err(Unanswered::Proof(_))));
        assert!(matches!(with(|reply| reply.answer.result.root.0[0] ^= 1), Err(Unanswered::OtherRoot { .. })));
        let wide = answered(200, &[0, 1, 2], &[2], 5);
        let proof = tree(200).prove([key(100).as_bytes()]).encode().into();
        let others = SignedReply { answer: ReplyAnswer { proof, ..wide.answer.clone() }, ..wide }.check();
        assert!(matches!(others, Err(Unanswered::NotDecided(_))), "{others:?}");
        let hidden = with(|reply| reply.answer.values[0] = None);
        assert_eq!(hidden, Err(Unanswered::OtherValue(key(0))));
        // A value that may be left out may be sent, and is then one that counts.
        let left_out = with(|reply| reply.answer.values[2] = Some(ValueDigest::of(&[2]).into()));
        assert_eq!(left_out, Ok(()));
        let sent = with(|reply| reply.answer.values[2] = Some(Hash([1; 32])));
        assert_eq!(sent, Err(Unanswered::OtherValue(key(2))));
        // It was to send the value of another record.
        let present = with(|reply| reply.question.without_values = vec![key(1)]);
        assert_eq!(present, Err(Unanswered::OtherValue(key(2))));
    }

    #[test]
    fn one_key_of_any_depth_can_be_signed() {
        let label = 32;
        // A key that differs from another in the last bit of its path alone, named twice at full length.
        let proof = 256 * label + 2 * 64 + 256;
        let whole = 2 * (4 + KEY_BYTES_MAX) + 8 + 18 + BlockResult::default().encode().len() + 4 + 33 + 4 + proof + 64;
        assert!(whole <= SIGNED_REPLY_BYTES_MAX, "{whole}");
        const { assert!(SIGNED_REPLY_NODES_MAX > 2 * 256 + 1) };
    }

    #[test]
    fn only_the_signer_signs_it_and_only_for_its_cluster() {
        let (reply, key) = (answered(8, &[0], &[], 5), SecretKey::from_seed([1; 32]).public());
        assert!(reply.is_by(&key, &Hash([7; 32])));
        assert!(!reply.is_by(&key, &Hash([8; 32])));
        assert!(!reply.is_by(&SecretKey::from_seed([2; 32]).public(), &Hash([7; 32])));
        let mut others = reply.clone();
        others.question.min_height = Some(0);
        assert!(!others.is_by(&key, &Hash([7; 32])), "the question is signed with the answer");
    }
}
