//! ethrex-trie: Ethereum's Merkle Patricia trie over Keccak-256, its nodes kept decoded in memory. Proofs are the encoded
//! nodes on the paths, each once. Verifying hashes each node, links them as the library does it, and looks the keys up.

use ethereum_types::H256;
use ethrex_crypto::{Crypto, NativeCrypto};
use ethrex_rlp::decode::RLPDecode;
use ethrex_trie::{FxHashMap, Node, Trie};

use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Ethrex {
    trie: Trie,
    root: [u8; 32],
}

impl Subject for Ethrex {
    const NAME: &'static str = "ethrex-trie";

    type Proof = Vec<Vec<u8>>;

    fn new() -> Result<Self, String> {
        Ok(Self { trie: Trie::new_temp(), root: [0; 32] })
    }

    fn apply(&mut self, changes: &[Change]) {
        for (key, value) in changes {
            match value {
                Some(value) => self.trie.insert(key.to_vec(), value.to_vec()).expect("a trie in memory"),
                None => drop(self.trie.remove(key).expect("a trie in memory")),
            }
        }
        self.root = self.trie.hash_no_commit(&NativeCrypto).0;
    }

    fn root(&self) -> [u8; 32] {
        self.root
    }

    fn prove(&mut self, keys: &[Key]) -> Vec<Vec<u8>> {
        if let [key] = keys {
            return self.trie.get_proof(key).expect("a trie in memory");
        }
        let paths: Vec<_> = keys.iter().map(|key| key.to_vec()).collect();
        let (root, mut nodes) = self.trie.get_proofs(&paths).expect("a trie in memory");
        nodes.extend(root);
        nodes
    }

    fn proof_bytes(proof: &Vec<Vec<u8>>) -> usize {
        proof.iter().map(Vec::len).sum()
    }

    fn verify(root: &[u8; 32], proof: &Vec<Vec<u8>>, records: &[(Key, Value)]) -> bool {
        let decode = |bytes: &Vec<u8>| Some((H256(NativeCrypto.keccak256(bytes)), Node::decode(bytes).ok()?));
        let Some(nodes) = proof.iter().map(decode).collect::<Option<FxHashMap<_, _>>>() else { return false };
        let Ok(linked) = Trie::get_embedded_root_committed(&nodes, H256(*root), &NativeCrypto, 64) else {
            return false;
        };
        let trie = Trie::new_temp_with_root(linked);
        records.iter().all(|(key, value)| trie.get(key).is_ok_and(|found| found.as_deref() == Some(value.as_slice())))
    }
}
