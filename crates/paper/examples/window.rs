//! Measures what the window of a history tree costs in memory: `docs/window-memory.md`.
//!
//! `cargo run --release -p pleach-paper --example window [RECORDS]` prints the table of that page. For each T and number
//! of writes per block it fills a window and 62 blocks more (forgotten heights leave memory in pieces of 64, and one
//! block later the first piece would), and prints what the tree holds, what docs/design.md section 4 lets expect, what the
//! formula of `pleach_paper::bytes` says, and what a counting allocator has handed out.

use std::{alloc::System, collections::BTreeSet, env, error::Error};

use pleach_paper::{HeldNodes, tree_in_memory, window_in_memory};
use pleach_tree::{DigestTree, HeldCounts, HistoryTree, Path, Prefix, ValueDigest};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Heights beyond T, after which all but one of a piece are forgotten, and still there.
const BEYOND: u64 = 62;
/// No two of some million hashed keys part deeper.
const DEPTHS: i32 = 48;

fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = env::args().nth(1).map(|records| records.parse()).transpose()?.unwrap_or(100_000);
    // A quarter of the key space: its records are the tree's and not the window's, so the window has three quarters of what is written.
    let part = Prefix::new(Path::from_bytes([0; 32]), 2);
    println!(
        "| keeps | T | writes per block | records written | nodes | records held | stubs | expected kB | held kB | \
         of it lists kB | allocator kB | bytes per record written |"
    );
    println!("| --- |{}", " ---: |".repeat(11));
    for (name, kept) in [("nothing", None), ("a quarter", Some(part))] {
        for heights in [8, 64, 512] {
            for writes in [10, 100, 1000] {
                let row = measure(records, heights, writes, kept)?;
                let HeldCounts { window_nodes, window_records, stubs, .. } = row.counts;
                println!(
                    "| {name} | {heights} | {writes} | {} | {window_nodes} | {window_records} | {stubs} | {} | {} | {} | {} | {} |",
                    row.written,
                    kilobytes(row.expected),
                    kilobytes(row.formula),
                    kilobytes(row.lists),
                    kilobytes(row.heap),
                    row.formula / row.written.max(1),
                );
            }
        }
    }
    Ok(())
}

fn kilobytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1000, bytes % 1000 / 100)
}

struct Row {
    counts: HeldCounts,
    /// Different records that the last T heights wrote.
    written: u64,
    expected: u64,
    /// What the window adds, by formula and by allocator: the same tree with an empty window is taken off.
    formula: u64,
    heap: u64,
    /// The lists and roots in the formula.
    lists: u64,
}

fn record(number: u64) -> Path {
    Path::of(&number.to_le_bytes())
}

/// The same numbers on every run: a linear congruence, good enough to spread writes over hashed keys.
fn draws(records: u64) -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % records
    }
}

fn measure(records: u64, heights: u64, writes: u64, kept: Option<Prefix>) -> Result<Row, Box<dyn Error>> {
    let mut draw = draws(records);
    let mut full: DigestTree = (0..records).map(|number| (record(number), ValueDigest::of(b"0"))).collect();
    let mut tree = HistoryTree::from_full(&full, heights, kept);
    let (mut written, mut counts) = (Vec::new(), vec![0]);
    for height in 1..=heights + BEYOND {
        let paths: BTreeSet<Path> = (0..writes).map(|_| record(draw())).collect();
        let digest = ValueDigest::of(&height.to_le_bytes());
        let proof = full.prove(paths.iter().copied()).verify(full.root())?;
        tree.check(height - 1, &proof, &paths.iter().copied().collect::<Vec<_>>())?;
        tree.apply(&proof, paths.iter().map(|path| (*path, Some(digest))))?;
        full.apply(paths.iter().map(|path| (*path, Some(digest))));
        assert_eq!(tree.commit(), full.root());
        counts.push(paths.len() as u64);
        written.push(paths);
    }
    let recent: BTreeSet<Path> = written.iter().rev().take(heights as usize).flatten().copied().collect();
    let bare = HistoryTree::from_full(&full, heights, kept);
    let lists = window_in_memory(&counts, heights);
    let formula = tree_in_memory(&HeldNodes::of(&tree)) + lists - tree_in_memory(&HeldNodes::of(&bare));
    let held = tree.held_counts();
    let heap = freed(tree).saturating_sub(freed(bare));
    let share = if kept.is_some() { 0.75 } else { 1.0 };
    // The lists of T heights, and no more.
    let recent_lists = window_in_memory(&counts[counts.len() - heights as usize..], heights);
    let expected = (share * expected_tree(records as f64, recent.len() as f64)) as u64 + recent_lists;
    Ok(Row { counts: held, written: recent.len() as u64, expected, formula, heap, lists })
}

/// The bytes that dropping a tree gives back.
fn freed(tree: HistoryTree) -> u64 {
    let in_use = || HEAP.stats().bytes_allocated as u64 - HEAP.stats().bytes_deallocated as u64;
    let before = in_use();
    drop(tree);
    before - in_use()
}

/// The bytes of the proof of `written` random ones of `records` records at hashed positions, in expectation:
/// docs/design.md section 4 in numbers. A node of depth d is there if two records or more are below it, and one of them is written; a
/// leaf, if the node above it is.
fn expected_tree(records: f64, written: f64) -> f64 {
    let (share, others) = (written / records, records - 1.0);
    // The probability that none of `records` records falls into such a part of the key space.
    let none = |part: f64, records: f64| (records * (-part).ln_1p()).exp();
    let some = |part: f64, records: f64| -(records * (-part).ln_1p()).exp_m1();
    let (mut nodes, mut leaves) = (0.0, 0.0);
    for depth in 0..DEPTHS {
        let part = 0.5_f64.powi(depth);
        nodes += (some(part * share, records) - records * part * share * none(part, others)) / part;
        // Alone on its side, not alone above; and not so that all above is unwritten.
        let alone = none(part / 2.0, others) - none(part, others);
        let unwritten = none(part / 2.0 * (1.0 + share), others) - none(part, others);
        leaves += records * (alone - (1.0 - share) * unwritten);
    }
    nodes * tree_in_memory(&HeldNodes { nodes: 1, ..HeldNodes::default() }) as f64
        + leaves * tree_in_memory(&HeldNodes { groups: 1, foreign: 1, ..HeldNodes::default() }) as f64
}
