//! Pleach's tree.
//!
//! The records of a batch come in one buffer, as a block's do. Paths and values are hashed by the tree: the peers get keys
//! that need no hashing. Proving ends with the encoded bytes, and verifying begins with them.

use std::any::Any;

use bytes::BytesMut;
use pleach_tree::{Label, Proof, ProofLimits, Tree, ValueDigest};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Pleach(Tree);

impl Subject for Pleach {
    const NAME: &'static str = "pleach";

    type Proof = Vec<u8>;

    fn new() -> Result<Self, String> {
        Ok(Self(Tree::new()))
    }

    fn apply(&mut self, changes: &[Change]) {
        let mut buffer = BytesMut::with_capacity(64 * changes.len());
        for (key, value) in changes {
            buffer.extend_from_slice(key);
            buffer.extend_from_slice(value.as_ref().map_or(&[], |value| value.as_slice()));
        }
        let mut rest = buffer.freeze();
        let mut take = |_: &[u8; 32]| rest.split_to(32);
        self.0.apply(changes.iter().map(|(key, value)| (take(key), value.as_ref().map(&mut take))));
    }

    fn root(&self) -> [u8; 32] {
        self.0.root().into()
    }

    fn prove(&mut self, keys: &[Key]) -> Vec<u8> {
        self.0.prove(keys).encode()
    }

    fn proof_bytes(proof: &Vec<u8>) -> usize {
        proof.len()
    }

    fn verify(root: &[u8; 32], proof: &Vec<u8>, records: &[(Key, Value)]) -> bool {
        let verified =
            Proof::decode(proof, &ProofLimits::default()).ok().and_then(|claim| claim.verify(Label::from(*root)).ok());
        let Some(proof) = verified else { return false };
        let is_proved = |found: &Option<ValueDigest>, value: &Value| *found == Some(ValueDigest::of(value));
        match records {
            [(key, value)] => proof.get(key).is_ok_and(|found| is_proved(&found, value)),
            records => proof
                .get_all(records.iter().map(|(key, _)| key))
                .is_ok_and(|found| found.iter().zip(records).all(|(found, (_, value))| is_proved(found, value))),
        }
    }

    fn snapshot(&mut self) -> Option<Box<dyn Any>> {
        Some(Box::new(self.0.clone()))
    }

    fn fork(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }
}
