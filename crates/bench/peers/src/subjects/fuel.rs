//! fuel-merkle: a sparse Merkle tree over SHA-256, its nodes in a hash map. One proof for each key.

use fuel_merkle::sparse::MerkleTreeKey;
use fuel_merkle::sparse::in_memory::MerkleTree;
use fuel_merkle::sparse::proof::{ExclusionLeaf, Proof};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Fuel(MerkleTree);

impl Subject for Fuel {
    const NAME: &'static str = "fuel-merkle";

    type Proof = Vec<Proof>;

    fn new() -> Result<Self, String> {
        Ok(Self(MerkleTree::new()))
    }

    fn apply(&mut self, changes: &[Change]) {
        // The library has a batch for building alone.
        if self.root() == [0; 32] {
            let records = changes.iter().filter_map(|(key, value)| Some((tree_key(key), value.as_ref()?)));
            self.0 = MerkleTree::from_set(records);
            return;
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.0.update(tree_key(key), value),
                None => self.0.delete(tree_key(key)),
            }
        }
    }

    fn root(&self) -> [u8; 32] {
        self.0.root()
    }

    fn prove(&mut self, keys: &[Key]) -> Vec<Proof> {
        keys.iter().filter_map(|key| self.0.generate_proof(&tree_key(key))).collect()
    }

    fn proof_bytes(proof: &Vec<Proof>) -> usize {
        let leaf = |proof: &Proof| match proof {
            Proof::Exclusion(proof) if matches!(proof.leaf, ExclusionLeaf::Leaf(_)) => 64,
            _ => 0,
        };
        proof.iter().map(|proof| 32 * proof.proof_set().len() + leaf(proof)).sum()
    }

    fn verify(root: &[u8; 32], proof: &Vec<Proof>, records: &[(Key, Value)]) -> bool {
        let is_proved = |(proof, (key, value)): (&Proof, &(Key, Value))| match proof {
            Proof::Inclusion(proof) => proof.verify(root, &tree_key(key), value),
            Proof::Exclusion(_) => false,
        };
        proof.len() == records.len() && proof.iter().zip(records).all(is_proved)
    }
}

fn tree_key(key: &Key) -> MerkleTreeKey {
    MerkleTreeKey::new_without_hash(*key)
}
