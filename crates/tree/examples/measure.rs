//! Rough figures of the tree on this machine: `cargo run --release -p pleach-tree --example measure [records]`.
//!
//! A shared machine is noisy: read ratios within one run. Comparisons with other libraries are in `crates/bench`.

use std::{hint::black_box, sync::LazyLock, time::Instant};

use bytes::Bytes;
use pleach_tree::{Proof, ProofLimits, Tree};

fn key(number: usize) -> Bytes {
    Bytes::copy_from_slice(blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn value(number: usize) -> Bytes {
    Bytes::copy_from_slice(blake3::hash(&(!number).to_le_bytes()).as_bytes())
}

/// Nanoseconds that this thread has been on a processor, where the system tells; time on the clock otherwise.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let on_processor = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = on_processor.and_then(|line| line.split(' ').next()?.parse().ok());
    first.unwrap_or_else(|| START.elapsed().as_nanos() as u64)
}

/// Runs `work` and prints how long one of `units` took.
fn time<T>(what: &str, units: usize, work: impl FnOnce() -> T) -> T {
    let start = now();
    let result = work();
    println!("{what:<48} {:>10.0} ns each", (now() - start) as f64 / units as f64);
    result
}

fn main() {
    let records = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let all: Vec<(Bytes, Bytes)> = (0..records).map(|i| (key(i), value(i))).collect();
    let changes = |range: std::ops::Range<usize>, salt: usize| -> Vec<(Bytes, Option<Bytes>)> {
        range.map(|i| (all[(i * 7919 + salt) % records].0.clone(), Some(value(i + salt)))).collect()
    };
    let build = all.clone();
    let mut tree: Tree = time("build in one batch", records, || build.into_iter().collect());
    for round in 0..3 {
        let batches: Vec<_> = (0..20).map(|batch| changes(0..1_000, (round * 20 + batch) * 1_000_003)).collect();
        time("update 1,000 keys a batch", 20_000, || batches.into_iter().for_each(|batch| tree.apply(batch)));
    }
    for count in [1, 10, 400] {
        let sets: Vec<Vec<Bytes>> =
            (0..4_000 / count).map(|s| (0..count).map(|i| key((s * 4001 + i * 7919) % records)).collect()).collect();
        let n = sets.len();
        let proofs: Vec<Proof> =
            time(&format!("prove {count} keys"), n, || sets.iter().map(|set| tree.prove(set)).collect());
        println!("{:>20} bytes", proofs[0].encoded_len());
        let encoded: Vec<_> = proofs.iter().map(Proof::encode).collect();
        time(&format!("verify {count} keys"), n, || {
            proofs.iter().for_each(|p| {
                black_box(p.root());
            })
        });
        time(&format!("decode and verify {count} keys"), n, || {
            encoded.iter().for_each(|p| {
                black_box(Proof::decode(p, &ProofLimits::default()).unwrap().root());
            })
        });
        time(&format!("verify {count} keys, all proofs together"), n, || Proof::hash_many(proofs));
    }
}
