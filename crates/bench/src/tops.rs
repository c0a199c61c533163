//! What a request would save if its proof left out the top of the tree, whose labels every node could keep for T heights.
//!
//! A proof without the top `k` levels is, for each of the 2^k places that its keys are under, the proof of the tree that
//! stands there. What nodes would have to keep for it are, for each height of the window, the labels of those levels that
//! the height has changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_tree::{DigestTree, Path, ValueDigest};
use pleach_types::{Body, Call, Encode, Key, Request, SecretKey};

use crate::setup::TRANSFER_GAS;

/// Requests that each figure is the mean of.
const SAMPLES: usize = 200;
/// Levels that are left out.
const LEVELS: [u32; 4] = [6, 8, 10, 12];
/// Transfers in a block: two records each.
const TRANSFERS: usize = 400;

/// What leaving out some levels comes to.
pub(crate) struct Saving {
    pub(crate) records: usize,
    pub(crate) levels: u32,
    /// Bytes of a whole request, and of its proof, as they are.
    pub(crate) request: f64,
    pub(crate) proof: f64,
    /// Bytes of the proof without the top.
    pub(crate) without: f64,
    /// Bytes of labels that a block of [`TRANSFERS`] changes in those levels: kept for each height of the window.
    pub(crate) height: usize,
}

/// Measures trees of these numbers of records.
pub(crate) fn measure(sizes: &[usize]) -> Vec<Saving> {
    sizes.iter().flat_map(|records| one(*records)).collect()
}

fn account(number: usize) -> Key {
    Key::new(format!("bank/account-{number}")).expect("a key")
}

fn one(records: usize) -> Vec<Saving> {
    let digest = ValueDigest::of(b"0123456789abcdef");
    let operation = Key::new("bank/transfer").expect("a key");
    let paths: Vec<Path> = (0..records).map(|n| account(n).path()).chain([operation.path()]).collect();
    let tree: DigestTree = paths.iter().map(|path| (*path, digest)).collect();
    // Far apart and different, without a random source: the paths are hashes anyway.
    let samples: Vec<_> = (0..SAMPLES).map(|n| [n * 7919 % records, (n * 104_729 + 1) % records]).collect();
    let (mut proof, mut request) = (0, 0);
    for pair in &samples {
        let bytes = tree.prove(pair.map(|n| paths[n]).into_iter().chain([operation.path()])).encode();
        proof += bytes.len();
        request += transfer(*pair, &operation, bytes).encode().len();
    }
    let mean = |sum: usize| sum as f64 / SAMPLES as f64;
    let saving = |levels: u32| Saving {
        records,
        levels,
        request: mean(request),
        proof: mean(proof),
        without: mean(without_top(&paths, &samples, levels, digest)),
        height: labels_changed(&paths, levels) * 32,
    };
    LEVELS.map(saving).into()
}

/// A request as the bank's clients send it, with the code of the operation warm.
fn transfer(pair: [usize; 2], operation: &Key, proof: Vec<u8>) -> Request {
    let mut touched = pair.map(account);
    touched.sort();
    let mut arguments = Vec::new();
    touched.iter().for_each(|key| key.encode_to(&mut arguments));
    arguments.extend_from_slice(&50_u64.to_le_bytes());
    let body = Body {
        genesis: Default::default(),
        calls: vec![Call { operation: operation.clone(), arguments: arguments.into() }],
        gas: TRANSFER_GAS,
        touched: touched.into(),
        base: 1,
        nonce: [0; 16],
        signers: Vec::new(),
    };
    let value = Some(Bytes::from_static(b"0123456789abcdef"));
    Request::sign(body, &[SecretKey::from_seed([1; 32])], proof.into(), vec![value; 2], vec![None])
}

fn prefix(path: &Path, levels: u32) -> u32 {
    let first = path.as_bytes();
    u32::from_be_bytes([first[0], first[1], first[2], first[3]]) >> (32 - levels)
}

/// Bytes of the proofs of all samples without their top levels.
fn without_top(paths: &[Path], samples: &[[usize; 2]], levels: u32, digest: ValueDigest) -> usize {
    let mut places: BTreeMap<u32, DigestTree> = BTreeMap::new();
    for path in paths {
        places.entry(prefix(path, levels)).or_default().apply([(*path, Some(digest))]);
    }
    let operation = paths[paths.len() - 1];
    let bytes = |pair: &[usize; 2]| {
        let keys = [paths[pair[0]], paths[pair[1]], operation];
        let under: BTreeSet<u32> = keys.iter().map(|path| prefix(path, levels)).collect();
        let part = |place: &u32| {
            let proof = places[place].prove(keys.into_iter().filter(|path| prefix(path, levels) == *place));
            // The levels above hold an internal and an empty node each here: half a byte.
            proof.encoded_len().saturating_sub(levels as usize / 2)
        };
        under.iter().map(part).sum::<usize>()
    };
    samples.iter().map(bytes).sum()
}

/// Labels of the top levels that a block changes.
fn labels_changed(paths: &[Path], levels: u32) -> usize {
    let written = paths.iter().step_by((paths.len() / (2 * TRANSFERS)).max(1)).take(2 * TRANSFERS);
    let nodes: BTreeSet<_> =
        written.flat_map(|path| (1..=levels).map(move |level| (level, prefix(path, level)))).collect();
    nodes.len()
}
