//! Heights at the edge of 64 bits. What a store or another member says is refused with a reason, never with the end of
//! the program.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pleach_state::{PastHeight, RestoreError, State};
use pleach_tree::{HEIGHT_MAX, OutlineNode, Prefix, ValueDigest};
use pleach_types::history::Peaks;
use pleach_types::{BlockResult, ClusterRecord, Decode as _, Genesis, Height};
use support::genesis;

fn restore(genesis: &Genesis, heights: impl IntoIterator<Item = Height>) -> Result<State, RestoreError> {
    let state = State::genesis(genesis.clone()).expect("a genesis");
    let past = |height| PastHeight {
        result: BlockResult { height, history: peaks(height).root(), ..*state.result() },
        written: Vec::new(),
        identities: BTreeSet::new(),
        code: Vec::new(),
    };
    let records = genesis.all_records();
    let leaf =
        |(key, value): (&pleach_types::Key, &bytes::Bytes)| OutlineNode::record(key.path(), ValueDigest::of(value));
    let parts: BTreeMap<_, _> = records.iter().map(leaf).collect();
    let heights: Vec<_> = heights.into_iter().map(past).collect();
    let peaks = peaks(heights.last().expect("a height").result.height);
    let cluster = &records[&ClusterRecord::key()];
    State::restore(genesis.clone(), [Prefix::ALL], cluster, peaks, heights, &BTreeMap::new(), parts)
}

/// Some history of as many results.
fn peaks(size: u64) -> Peaks {
    let subtrees = vec![7; 32 * size.count_ones() as usize];
    Peaks::decode(&[size.to_le_bytes().as_slice(), &subtrees].concat()).expect("one hash for each bit")
}

#[test]
fn a_state_of_any_height_is_restored_or_refused() {
    let genesis = genesis("edges", 2);
    for newest in [HEIGHT_MAX + 1, u64::MAX - 1, u64::MAX] {
        let refused = restore(&genesis, [newest - 1, newest]).map(drop).expect_err("too high");
        let expected = pleach_tree::RestoreError::TooHigh { height: newest };
        assert!(matches!(refused, RestoreError::Tree(reason) if reason == expected), "{refused}");
    }
    let refused = restore(&genesis, [u64::MAX, 0]).map(drop).expect_err("they do not follow each other");
    assert!(matches!(refused, RestoreError::Gap { below: u64::MAX, above: 0 }), "{refused}");
    let restored = restore(&genesis, [HEIGHT_MAX - 1, HEIGHT_MAX]).expect("the greatest height");
    assert_eq!(restored.height(), HEIGHT_MAX);
}
