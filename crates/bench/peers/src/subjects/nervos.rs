//! sparse-merkle-tree of Nervos, its nodes in hash maps, with BLAKE3 for its hash. One compiled proof for many keys.

use sparse_merkle_tree::default_store::DefaultStore;
use sparse_merkle_tree::traits::Hasher;
use sparse_merkle_tree::{CompiledMerkleProof, H256, SparseMerkleTree};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Nervos(SparseMerkleTree<Blake3, H256, DefaultStore<H256>>);

/// BLAKE3 as the library wants it.
#[derive(Default)]
pub struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write_h256(&mut self, h: &H256) {
        self.0.update(h.as_slice());
    }

    fn write_byte(&mut self, b: u8) {
        self.0.update(&[b]);
    }

    fn finish(self) -> H256 {
        (*self.0.finalize().as_bytes()).into()
    }
}

impl Subject for Nervos {
    const NAME: &'static str = "nervos smt";

    type Proof = CompiledMerkleProof;

    fn new() -> Result<Self, String> {
        Ok(Self(SparseMerkleTree::default()))
    }

    fn apply(&mut self, changes: &[Change]) {
        // A value of zeros removes the record.
        let leaf = |(key, value): &Change| (H256::from(*key), H256::from(value.unwrap_or_default()));
        self.0.update_all(changes.iter().map(leaf).collect()).expect("a tree in memory");
    }

    fn root(&self) -> [u8; 32] {
        (*self.0.root()).into()
    }

    fn prove(&mut self, keys: &[Key]) -> CompiledMerkleProof {
        let keys: Vec<H256> = keys.iter().map(|key| H256::from(*key)).collect();
        let proof = self.0.merkle_proof(keys.clone()).expect("at least one key");
        proof.compile(keys).expect("the keys that were proved")
    }

    fn proof_bytes(proof: &CompiledMerkleProof) -> usize {
        proof.0.len()
    }

    fn verify(root: &[u8; 32], proof: &CompiledMerkleProof, records: &[(Key, Value)]) -> bool {
        let leaves = records.iter().map(|(key, value)| (H256::from(*key), H256::from(*value))).collect();
        proof.verify::<Blake3>(&H256::from(*root), leaves).unwrap_or(false)
    }
}
