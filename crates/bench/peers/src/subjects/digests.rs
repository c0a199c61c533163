//! Pleach's tree of digests: as the other one, but the values are kept elsewhere.
//!
//! Paths and value digests are computed from keys and values here too, and that counts.

use std::any::Any;

use pleach_tree::{DigestTree, Path, ValueDigest};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;
use crate::subjects::pleach::Pleach;

/// The adapter.
pub struct Digests(DigestTree);

impl Subject for Digests {
    const NAME: &'static str = "pleach digests";
    const DIGESTS: bool = true;

    type Proof = Vec<u8>;

    fn new() -> Result<Self, String> {
        Ok(Self(DigestTree::new()))
    }

    fn apply(&mut self, changes: &[Change]) {
        let digest = |value: &Value| ValueDigest::of(value);
        self.0.apply(changes.iter().map(|(key, value)| (Path::of(key), value.as_ref().map(digest))));
    }

    fn root(&self) -> [u8; 32] {
        self.0.root().into()
    }

    fn prove(&mut self, keys: &[Key]) -> Vec<u8> {
        self.0.prove(keys.iter().map(|key| Path::of(key))).encode()
    }

    fn proof_bytes(proof: &Vec<u8>) -> usize {
        proof.len()
    }

    fn verify(root: &[u8; 32], proof: &Vec<u8>, records: &[(Key, Value)]) -> bool {
        Pleach::verify(root, proof, records)
    }

    fn snapshot(&mut self) -> Option<Box<dyn Any>> {
        Some(Box::new(self.0.clone()))
    }

    fn fork(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }
}
