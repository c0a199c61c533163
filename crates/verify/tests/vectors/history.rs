//! The history of results: leaves, roots, peaks, and both kinds of proofs.

use std::ops::Range;

use pleach_types::history::{Peaks, check_consistency, check_inclusion, consistency, inclusion, leaf};
use pleach_types::{BlockResult, Hash};
use serde_json::{Value, json};

use super::{encoded, hash, verdict};

const RESULTS: u64 = 21;

fn result(height: u64) -> BlockResult {
    BlockResult { height, root: Hash([height as u8; 32]), ..super::support::result(height) }
}

/// The root of a range of results.
fn root(range: Range<u64>) -> Hash {
    // Peaks push results in the order of their heights; here they begin at any height.
    let mut peaks = Peaks::default();
    range.for_each(|height| peaks.push(&result(height)));
    peaks.root()
}

fn hashes(hashes: &[Hash]) -> Vec<Value> {
    hashes.iter().copied().map(hash).collect()
}

pub fn all() -> Value {
    let mut peaks = Peaks::default();
    let mut sizes = vec![json!({ "size": 0, "root": hash(peaks.root()), "peaks": encoded(&peaks) })];
    let mut results = Vec::new();
    for height in 0..RESULTS {
        let result = result(height);
        results.push(json!({ "height": height, "result": encoded(&result), "leaf": hash(leaf(&result)) }));
        peaks.push(&result);
        sizes.push(json!({ "size": height + 1, "root": hash(peaks.root()), "peaks": encoded(&peaks) }));
    }
    json!({ "results": results, "histories": sizes, "inclusion": inclusions(), "consistency": consistencies() })
}

fn inclusions() -> Vec<Value> {
    let one = |name: &str, expected: &str, height: u64, size: u64, siblings: &[Hash], root: Hash| {
        let found = check_inclusion(&leaf(&result(height)), height, size, siblings, &root);
        json!({
            "name": name, "height": height, "size": size, "siblings": hashes(siblings), "root": hash(root),
            "verdict": verdict(name, expected, found.map_err(|why| why.code())),
        })
    };
    let mut all = Vec::new();
    for (height, size) in [(0, 1), (0, 2), (1, 2), (2, 3), (4, 7), (6, 7), (0, 8), (7, 8), (13, 21), (16, 21), (20, 21)]
    {
        let siblings = inclusion(height, size, |range| Some(root(range))).expect("it is below");
        all.push(one("a result in its place", "accepted", height, size, &siblings, root(0..size)));
    }
    let siblings = inclusion(4, 7, |range| Some(root(range))).expect("it is below");
    let (mut forged, longer) = (siblings.clone(), [&siblings[..], &[Hash([1; 32])]].concat());
    forged[0].0[0] ^= 1;
    all.push(one("another place", "other_root", 5, 7, &siblings, root(0..7)));
    all.push(one("not below the size", "height", 7, 7, &siblings, root(0..7)));
    all.push(one("a sibling too few", "length", 4, 7, &siblings[..2], root(0..7)));
    all.push(one("a sibling too many", "length", 4, 7, &longer, root(0..7)));
    all.push(one("a forged sibling", "other_root", 4, 7, &forged, root(0..7)));
    all.push(one("another root", "other_root", 4, 7, &siblings, root(0..8)));
    all
}

fn consistencies() -> Vec<Value> {
    let one = |name: &str, expected: &str, (first, old): (u64, Hash), (second, new): (u64, Hash), proof: &[Hash]| {
        let found = check_consistency((first, &old), (second, &new), proof);
        json!({
            "name": name, "first": first, "first_root": hash(old), "second": second, "second_root": hash(new),
            "proof": hashes(proof), "verdict": verdict(name, expected, found.map_err(|why| why.code())),
        })
    };
    let of = |size: u64| (size, root(0..size));
    let mut all = Vec::new();
    for (first, second) in [(1, 1), (1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 21), (13, 21), (20, 21), (21, 21)] {
        let proof = consistency(first, second, |range| Some(root(range))).expect("it is not above");
        all.push(one("one continues the other", "accepted", of(first), of(second), &proof));
    }
    all.push(one("all continue the empty one", "accepted", of(0), of(9), &[]));
    let proof = consistency(13, 21, |range| Some(root(range))).expect("it is not above");
    let mut forged = proof.clone();
    forged[1].0[31] ^= 1;
    all.push(one("a shorter history cannot continue", "sizes", of(21), of(13), &proof));
    all.push(one("a hash too few", "length", of(13), of(21), &proof[..proof.len() - 1]));
    all.push(one("no hash", "length", of(13), of(21), &[]));
    all.push(one("a hash where none is needed", "length", of(21), of(21), &proof[..1]));
    all.push(one("a forged hash", "other_root", of(13), of(21), &forged));
    all.push(one("another older root", "other_root", (13, root(0..12)), of(21), &proof));
    all.push(one("another newer root", "other_root", of(13), (21, root(0..20)), &proof));
    all
}
