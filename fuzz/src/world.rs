//! Small trees, in the library and in the oracle.

use bytes::Bytes;
use pleach_tree::{DigestTree, Label, Path, Tree, ValueDigest, VerifiedProof};

use crate::oracle::{self, Bytes32, Node, Records};

/// The key with this number.
pub fn key(number: u16) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// The path of the key with this number.
pub fn path(number: u16) -> Bytes32 {
    oracle::hash(&key(number))
}

/// A path that is the hash of no known key. Those of equal numbers modulo 32 part late; for two of these 32, as late as
/// can be, which costs the naive side most of its time.
pub fn planted(number: u16) -> Bytes32 {
    const DEPTHS: [usize; 8] = [0, 3, 9, 17, 12, 13, 24, 40];
    const DEEP: [usize; 8] = [0, 3, 17, 60, 127, 128, 254, 255];
    let depths = if number % 32 < 2 { DEEP } else { DEPTHS };
    let mut path = path(number % 32);
    let depth = depths[usize::from(number / 32 % 8)];
    if depth > 0 {
        path[depth / 8] ^= 128 >> (depth % 8);
    }
    path
}

/// The value with this number.
pub fn value(number: u8) -> Vec<u8> {
    vec![number; usize::from(number % 5)]
}

/// A tree and its records.
#[derive(Clone, Default)]
pub struct World {
    /// In the library.
    pub tree: Tree,
    /// In the oracle.
    pub records: Records,
    /// The same at planted paths, in the library.
    pub digests: DigestTree,
    /// The same at planted paths, in the oracle.
    pub planted: Records,
}

impl World {
    /// The world with these records, of key and value numbers.
    pub fn new(records: &[(u16, u8)]) -> Self {
        let mut world = Self::default();
        world.apply(&records.iter().map(|(key, value)| (*key, Some(*value))).collect::<Vec<_>>());
        world
    }

    /// Applies a batch to both.
    pub fn apply(&mut self, changes: &[(u16, Option<u8>)]) {
        self.tree
            .apply(changes.iter().map(|(number, v)| (Bytes::from(key(*number)), v.map(|v| Bytes::from(value(v))))));
        let digest = |new: u8| ValueDigest::of(&value(new));
        let planted = |number: u16| Path::from_bytes(self::planted(number));
        self.digests.apply(changes.iter().map(|(number, new)| (planted(*number), new.map(digest))));
        for (number, new) in changes {
            set(&mut self.records, path(*number), *new);
            set(&mut self.planted, self::planted(*number), *new);
        }
    }

    /// The library's proof for these keys, verified.
    pub fn prove(&self, numbers: &[u16]) -> VerifiedProof {
        let proof = self.tree.prove(numbers.iter().map(|number| key(*number)));
        proof.verify(self.tree.root()).expect("an honest proof")
    }

    /// The oracle's proof for these keys.
    pub fn cut(&self, numbers: &[u16]) -> Node {
        let paths: Vec<_> = numbers.iter().map(|number| path(*number)).collect();
        oracle::cut(&oracle::build(&self.records), &paths)
    }

    /// The digest of a key's value.
    pub fn digest(&self, number: u16) -> Option<ValueDigest> {
        self.records.get(&path(number)).map(|digest| ValueDigest::from(*digest))
    }

    /// The root, by the oracle.
    pub fn root(&self) -> Label {
        Label::from(oracle::root(&self.records))
    }
}

fn set(records: &mut Records, path: Bytes32, new: Option<u8>) {
    match new {
        Some(new) => records.insert(path, oracle::hash(&value(new))),
        None => records.remove(&path),
    };
}
