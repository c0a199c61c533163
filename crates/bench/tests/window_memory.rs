//! What blocks leave in a node's tree fits the memory that `docs/limits.md` states: counted by an allocator, not timed.
//!
//! In a binary of its own: the allocator counts what all threads do.

use std::{
    alloc::System,
    collections::{BTreeSet, VecDeque},
};

use pleach_node::{READABLE_MIN, READABLE_WRITES_MAX};
use pleach_tree::{DigestTree, HistoryTree, Path, ValueDigest};
use pleach_types::{Genesis, Limits, Member, SecretKey};
use pleach_vm::cost::V1;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that the window and the versions of the tree which can be read may take together, outside of a node's own prefixes.
const WINDOW_BUDGET: u64 = 512_000_000;
/// Records that are there before: the more there are, the deeper are new ones without any grinding.
const RECORDS: u64 = 1_000_000;
/// Bytes at the start of a path that the keys of a group share: 48 bits. So many pairs as a window holds share some 46 bits
/// for somebody who tries and keeps 2^32 keys.
const SHARED_BYTES: usize = 6;

/// New records whose paths share a long prefix, so many to a group; a group of one is an ordinary record.
fn path(number: u64, group: u64) -> Path {
    let own = *Path::of(&number.to_le_bytes()).as_bytes();
    let mut path = *Path::of(&[(number / group).to_le_bytes(), [7; 8]].concat()).as_bytes();
    path[SHARED_BYTES..].copy_from_slice(&own[SHARED_BYTES..]);
    Path::from_bytes(path)
}

fn in_use() -> u64 {
    let stats = HEAP.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

/// The bytes of a full window and of the versions that can be read, in a node that keeps none of the records. That is the
/// dearest: inside its own prefixes a node has leaf groups, outside one dated node for each step of a path.
fn bytes(heights: u64, writes: u64, group: u64) -> u64 {
    let base = |number: u64| Path::of(&[number.to_le_bytes(), [9; 8]].concat());
    let mut full: DigestTree = (0..RECORDS).map(|number| (base(number), ValueDigest::of(b"old"))).collect();
    let mut tree = HistoryTree::from_full(&full, heights, []);
    let mut versions = VecDeque::new();
    let readable = READABLE_MIN.max(READABLE_WRITES_MAX as u64 / writes + 1);
    // Until every version that can be read is of a full window: the older ones hold what newer ones have forgotten.
    for height in 1..=heights + readable {
        let paths: BTreeSet<Path> = (0..writes).map(|n| path(height * writes + n, group)).collect();
        let changes: Vec<_> = paths.iter().map(|path| (*path, Some(ValueDigest::of(b"new")))).collect();
        let proof = full.prove(paths).verify(full.root()).expect("of this tree");
        tree.apply(&proof, changes.clone()).expect("proved");
        full.apply(changes);
        assert_eq!(tree.commit(), full.root());
        versions.push_back(tree.clone());
        if versions.len() as u64 > readable {
            versions.pop_front();
        }
    }
    let before = in_use();
    drop((tree, versions));
    before - in_use()
}

#[test]
fn the_window_and_what_can_be_read_of_the_worst_blocks_fit_the_memory_that_is_stated() {
    let member = Member::new("node", SecretKey::from_seed([1; 32]).public());
    let heights = Genesis::new("window", vec![member], Default::default()).window;
    let writes = Limits::default().block_gas / (V1.write + V1.host + V1.record);
    // Blocks that write less have more versions, each of which copies the upper nodes anew.
    let kinds = [
        (writes, 1, "none"),
        (writes, 2, "pairs"),
        (writes, 5, "fives"),
        (writes / 4, 2, "pairs"),
        (writes / 16, 2, "pairs"),
    ];
    let page = include_str!("../../../docs/limits.md");
    let mut wrong = Vec::new();
    for (writes, group, name) in kinds {
        let bytes = bytes(heights, writes, group);
        assert!(bytes <= WINDOW_BUDGET, "{writes} writes a block, {name}: {bytes} bytes");
        let grouped =
            if writes < 1_000 { writes.to_string() } else { format!("{},{:03}", writes / 1_000, writes % 1_000) };
        let row = format!("| {grouped} | {name} | ");
        let stated = page.lines().find_map(|line| line.strip_prefix(&row)?.strip_suffix(" |")?.parse::<u64>().ok());
        // A node more or less that an allocator has handed out for later is no change of the page.
        let said = stated.is_some_and(|megabytes| bytes.abs_diff(megabytes * 1_000_000) <= bytes / 50 + 1_000_000);
        if !said {
            wrong.push(format!("{row}{} |", bytes / 1_000_000));
        }
    }
    assert!(wrong.is_empty(), "the page should say {wrong:#?}");
}

/// The bound on what can be read holds for blocks that write the most: the heights that stay in any case are not more.
#[test]
fn the_heights_that_stay_readable_in_any_case_fit_the_bound() {
    let writes = Limits::default().block_gas / (V1.write + V1.host + V1.record);
    assert!(READABLE_MIN * writes <= READABLE_WRITES_MAX as u64, "{writes} writes a block");
}
