//! The pool is bounded by the memory that requests say they take: this holds what they say to what an allocator counts, for the kinds
//! whose decoded form is large beside their bytes.

use std::alloc::System;
use std::hint::black_box;

use bytes::Bytes;
use pleach_state::{Prepared, prepare};
use pleach_tree::Tree;
use pleach_types::limits::{KEY_BYTES_MAX, SIGNERS_MAX, TOUCHED_MAX};
use pleach_types::{Body, Call, Encode as _, Hash, Key, Limits, Request, SecretKey};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The digest of no genesis.
const GENESIS: Hash = Hash([7; 32]);
/// Records beside those that are touched: paths are some 15 labels long.
const RECORDS: u32 = 30_000;
/// Requests of each kind.
const EACH: u64 = 64;

fn key(text: &str) -> Key {
    Key::new(text).unwrap_or_else(|e| panic!("{e}"))
}

/// A kind of request.
struct Kind {
    name: &'static str,
    touched: usize,
    key_bytes: usize,
    value_bytes: usize,
    argument_bytes: usize,
    signers: usize,
}

impl Kind {
    fn keys(&self) -> Vec<Key> {
        let width = self.key_bytes.max(8) - 2;
        let mut keys: Vec<_> = (0..self.touched).map(|n| key(&format!("a/{n:0width$}"))).collect();
        keys.sort();
        keys
    }

    fn request(&self, tree: &Tree, number: u64, signers: &[SecretKey]) -> Bytes {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let body = Body {
            genesis: GENESIS,
            calls: vec![Call { operation: key("a/op"), arguments: vec![1; self.argument_bytes].into() }],
            gas: 1,
            touched: self.keys(),
            base: 0,
            nonce,
            signers: Vec::new(),
        };
        let proof = tree.prove(body.proven_keys()).encode().into();
        let value = || (self.value_bytes > 0).then(|| Bytes::from(vec![5; self.value_bytes]));
        let values = (0..self.touched).map(|_| value()).collect();
        Request::sign(body, &signers[..self.signers], proof, values, vec![None]).encode().into()
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let others = (0..RECORDS).map(|n| (Bytes::copy_from_slice(&n.to_le_bytes()), Some(Bytes::from_static(b"x"))));
        tree.apply(others);
        let touched = self.keys().into_iter().filter(|_| self.value_bytes > 0);
        let value = || Some(Bytes::from(vec![5; self.value_bytes]));
        tree.apply(touched.map(|key| (Bytes::copy_from_slice(key.as_str().as_bytes()), value())));
        tree
    }
}

#[test]
fn requests_take_no_more_memory_than_they_say_and_not_much_less() {
    let none = Kind { name: "", touched: 0, key_bytes: 0, value_bytes: 0, argument_bytes: 0, signers: 0 };
    let kinds = [
        Kind { name: "small", ..none },
        Kind { name: "16 signatures", signers: SIGNERS_MAX, ..none },
        Kind { name: "256 short keys", touched: TOUCHED_MAX, ..none },
        Kind { name: "256 long keys", touched: TOUCHED_MAX, key_bytes: KEY_BYTES_MAX, ..none },
        Kind { name: "two values of 100 kB", touched: 2, value_bytes: 100_000, ..none },
        Kind { name: "64 small values", touched: 64, value_bytes: 10, ..none },
        Kind { name: "large arguments", argument_bytes: 200_000, ..none },
    ];
    let signers: Vec<_> = (0..SIGNERS_MAX as u8).map(|n| SecretKey::from_seed([n; 32])).collect();
    let limits = Limits::default();
    let mut wrong = Vec::new();
    for kind in kinds {
        let tree = kind.tree();
        let requests: Vec<_> = (0..EACH).map(|number| kind.request(&tree, number, &signers)).collect();
        let sent: usize = requests.iter().map(Bytes::len).sum();
        let region = Region::new(ALLOCATOR);
        let prepared: Vec<Prepared> = requests
            .iter()
            .map(|request| prepare(request, &limits, &GENESIS).unwrap_or_else(|e| panic!("{}: {e}", kind.name)))
            .collect();
        let counted = region.change();
        // The requests' own bytes, on which their values, arguments and codes lie, were there before.
        let taken = sent + counted.bytes_allocated - counted.bytes_deallocated;
        let said: usize = black_box(&prepared).iter().map(Prepared::held).sum();
        println!("{}: {} sent, {} taken, {} said", kind.name, sent / 64, taken / 64, said / 64);
        wrong.extend((said < taken || said > taken * 3 / 2 + EACH as usize * 1_024).then_some(kind.name));
    }
    assert_eq!(wrong, Vec::<&str>::new(), "these take more than they say, or far less");
}
