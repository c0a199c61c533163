//! jmt: the Jellyfish Merkle tree of Penumbra over SHA-256, its nodes in a hash map here. Old nodes are deleted after each
//! batch until the first snapshot, and kept from then on: the library's versions are its snapshots.

use std::any::Any;
use std::collections::HashMap;

use jmt::proof::SparseMerkleProof;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, Version};
use sha2::Sha256;

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
#[derive(Default)]
pub struct Jmt {
    nodes: Nodes,
    version: Version,
    root: [u8; 32],
    keeps_versions: bool,
}

#[derive(Default)]
struct Nodes {
    nodes: HashMap<NodeKey, Node>,
    values: HashMap<KeyHash, Vec<(Version, Option<OwnedValue>)>>,
}

impl TreeReader for Nodes {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>, anyhow::Error> {
        Ok(self.nodes.get(key).cloned())
    }

    fn get_value_option(&self, version: Version, key: KeyHash) -> Result<Option<OwnedValue>, anyhow::Error> {
        let versions = self.values.get(&key).map_or(&[][..], Vec::as_slice);
        Ok(versions.iter().rev().find(|(since, _)| *since <= version).and_then(|(_, value)| value.clone()))
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>, anyhow::Error> {
        Ok(None) // Needed for restoring a tree alone.
    }
}

impl Subject for Jmt {
    const NAME: &'static str = "jmt";

    type Proof = Vec<SparseMerkleProof<Sha256>>;

    fn new() -> Result<Self, String> {
        Ok(Self::default())
    }

    fn apply(&mut self, changes: &[Change]) {
        self.version += 1;
        let set = changes.iter().map(|(key, value)| (KeyHash(*key), value.map(|value| value.to_vec())));
        let tree = JellyfishMerkleTree::<_, Sha256>::new(&self.nodes);
        let (root, batch) = tree.put_value_set(set, self.version).expect("a tree in memory");
        self.root = root.0;
        self.nodes.nodes.extend(batch.node_batch.nodes().iter().map(|(key, node)| (key.clone(), node.clone())));
        for ((version, key), value) in batch.node_batch.values() {
            let versions = self.nodes.values.entry(*key).or_default();
            if !self.keeps_versions {
                versions.clear();
            }
            versions.push((*version, value.clone()));
        }
        if !self.keeps_versions {
            for stale in batch.stale_node_index_batch {
                self.nodes.nodes.remove(&stale.node_key);
            }
        }
    }

    fn root(&self) -> [u8; 32] {
        self.root
    }

    fn prove(&mut self, keys: &[Key]) -> Self::Proof {
        let tree = JellyfishMerkleTree::<_, Sha256>::new(&self.nodes);
        let prove = |key: &Key| tree.get_with_proof(KeyHash(*key), self.version).expect("a tree in memory").1;
        keys.iter().map(prove).collect()
    }

    fn proof_bytes(proof: &Self::Proof) -> usize {
        proof.iter().map(|proof| borsh::to_vec(proof).map_or(0, |bytes| bytes.len())).sum()
    }

    fn verify(root: &[u8; 32], proof: &Self::Proof, records: &[(Key, Value)]) -> bool {
        let is_proved = |(proof, (key, value)): (&SparseMerkleProof<Sha256>, &(Key, Value))| {
            proof.verify_existence(RootHash(*root), KeyHash(*key), value).is_ok()
        };
        proof.len() == records.len() && proof.iter().zip(records).all(is_proved)
    }

    fn snapshot(&mut self) -> Option<Box<dyn Any>> {
        self.keeps_versions = true;
        Some(Box::new(self.version))
    }
}
