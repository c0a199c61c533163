//! Any bytes: the library accepts exactly what the naive decoder accepts, gives them back as they were, and computes the
//! root that the oracle computes. The first byte chooses the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pleach_fuzz::{decoder, oracle};
use pleach_tree::{Label, Proof, ProofLimits};

const LIMITS: [ProofLimits; 4] = [
    ProofLimits { max_bytes: 1 << 20, max_leaves: 1 << 14, max_nodes: 1 << 18 },
    ProofLimits { max_bytes: 300, max_leaves: 1 << 14, max_nodes: 1 << 18 },
    ProofLimits { max_bytes: 1 << 20, max_leaves: 3, max_nodes: 1 << 18 },
    ProofLimits { max_bytes: 1 << 20, max_leaves: 1 << 14, max_nodes: 9 },
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let limits = LIMITS[usize::from(choice % 4)];
    let naive = decoder::decode(bytes, &limits);
    match (Proof::decode(bytes, &limits), naive) {
        (Ok(proof), Some(naive)) => {
            assert_eq!(proof.encode(), bytes);
            assert_eq!(proof.encoded_len(), bytes.len());
            assert_eq!(oracle::encode(&naive), bytes, "the oracle does not agree with itself");
            let root = Label::from(oracle::label(&naive));
            assert_eq!(proof.root(), root);
            let many = Proof::hash_many(vec![proof.clone(), proof.clone(), proof]);
            assert!(many.iter().all(|hashed| hashed.root() == root));
        }
        (Err(_), None) => {}
        (library, naive) => panic!("the library says {library:?}, the naive decoder {naive:?}"),
    }
});
