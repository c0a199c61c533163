//! nomt over BLAKE3, with one worker. It keeps its pages in files; a batch counts until its root is known, and what is
//! written afterwards does not. The page caches are large enough that nothing is read back. One proof for many keys is
//! made from the proofs of each, as the library does it.

use nomt::hasher::{Blake3Hasher, ValueHasher};
use nomt::proof::{MultiProof, verify_multi_proof};
use nomt::trie::LeafData;
use nomt::{FinishedSession, KeyReadWrite, Nomt as Database, Options, SessionParams};

use crate::folder::Folder;
use crate::records::{Change, Key, Value};
use crate::subject::Subject;

/// The adapter.
pub struct Nomt {
    // Before the folder: files are closed before they are deleted.
    database: Database<Blake3Hasher>,
    finished: Option<FinishedSession>,
    root: [u8; 32],
    _folder: Folder,
}

impl Subject for Nomt {
    const NAME: &'static str = "nomt";
    const IN_HEAP: bool = false;

    type Proof = MultiProof;

    fn new() -> Result<Self, String> {
        let folder = Folder::new("nomt")?;
        let mut options = Options::new();
        options.path(folder.path());
        options.commit_concurrency(1);
        options.hashtable_buckets(256_000);
        options.page_cache_size(1024);
        options.leaf_cache_size(1024);
        options.bitbox_seed([7; 16]);
        let database = Database::open(options).map_err(|e| e.to_string())?;
        Ok(Self { database, finished: None, root: [0; 32], _folder: folder })
    }

    fn apply(&mut self, changes: &[Change]) {
        let session = self.database.begin_session(SessionParams::default());
        let mut writes: Vec<_> =
            changes.iter().map(|(key, value)| (*key, KeyReadWrite::Write(value.map(|value| value.to_vec())))).collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        let finished = session.finish(writes).expect("nomt computes a root");
        self.root = finished.root().into_inner();
        self.finished = Some(finished);
    }

    fn settle(&mut self) {
        if let Some(finished) = self.finished.take() {
            finished.commit(&self.database).expect("nomt writes a batch");
        }
    }

    fn root(&self) -> [u8; 32] {
        self.root
    }

    fn prove(&mut self, keys: &[Key]) -> MultiProof {
        let session = self.database.begin_session(SessionParams::default());
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        MultiProof::from_path_proofs(keys.iter().map(|key| session.prove(*key).expect("nomt proves")).collect())
    }

    fn proof_bytes(proof: &MultiProof) -> usize {
        borsh::to_vec(proof).map_or(0, |bytes| bytes.len())
    }

    fn verify(root: &[u8; 32], proof: &MultiProof, records: &[(Key, Value)]) -> bool {
        let Ok(proof) = verify_multi_proof::<Blake3Hasher>(proof, *root) else { return false };
        records.iter().all(|(key, value)| {
            let leaf = LeafData { key_path: *key, value_hash: Blake3Hasher::hash_value(value) };
            proof.confirm_value(&leaf).unwrap_or(false)
        })
    }
}
