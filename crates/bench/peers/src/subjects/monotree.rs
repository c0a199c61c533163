//! monotree: a binary radix tree over BLAKE3, its nodes in a hash map. It never deletes old nodes. One proof for each key.

use monotree::hasher::Blake3;
use monotree::{DefaultDatabase, Hash, Hasher, Monotree, Proof, verify_proof};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Mono {
    tree: Monotree<DefaultDatabase, Blake3>,
    root: Option<Hash>,
}

impl Subject for Mono {
    const NAME: &'static str = "monotree";

    type Proof = Vec<Option<Proof>>;

    fn new() -> Result<Self, String> {
        Ok(Self { tree: Monotree::new("monotree"), root: None })
    }

    fn apply(&mut self, changes: &[Change]) {
        // The library's batch costs the size of the largest batch before, which is milliseconds.
        if let [(key, value)] = changes {
            let root = match value {
                Some(value) => self.tree.insert(self.root.as_ref(), key, value),
                None => self.tree.remove(self.root.as_ref(), key),
            };
            self.root = root.expect("a tree in memory");
            return;
        }
        let (mut keys, mut leaves, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in changes {
            match value {
                Some(value) => {
                    keys.push(*key);
                    leaves.push(*value);
                }
                None => removed.push(*key),
            }
        }
        if !keys.is_empty() {
            self.root = self.tree.inserts(self.root.as_ref(), &keys, &leaves).expect("a tree in memory");
        }
        if !removed.is_empty() {
            self.root = self.tree.removes(self.root.as_ref(), &removed).expect("a tree in memory");
        }
    }

    fn root(&self) -> [u8; 32] {
        self.root.unwrap_or_default()
    }

    fn prove(&mut self, keys: &[Key]) -> Self::Proof {
        let root = self.root;
        let mut prove = |key: &Key| self.tree.get_merkle_proof(root.as_ref(), key).expect("a tree in memory");
        keys.iter().map(&mut prove).collect()
    }

    fn proof_bytes(proof: &Self::Proof) -> usize {
        proof.iter().flatten().flatten().map(|(_, cut)| 1 + cut.len()).sum()
    }

    fn verify(root: &[u8; 32], proof: &Self::Proof, records: &[(Key, Value)]) -> bool {
        let hasher = Blake3::new();
        let is_proved = |(proof, (_, value)): (&Option<Proof>, &(Key, Value))| {
            verify_proof(&hasher, Some(root), value, proof.as_ref())
        };
        proof.len() == records.len() && proof.iter().zip(records).all(is_proved)
    }
}
