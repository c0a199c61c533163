//! Heights at the edge of 64 bits. What a store or another member says is refused with a reason, never with the end of
//! the program.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pleach_state::{PastHeight, RestoreError, State};
use pleach_tree::{FrameNode, HEIGHT_MAX, Path, Prefix, ValueDigest};
use pleach_types::{BlockResult, Genesis, Height};
use support::genesis;

fn restore(genesis: &Genesis, heights: impl IntoIterator<Item = Height>) -> Result<State, RestoreError> {
    let state = State::genesis(genesis.clone()).expect("a genesis");
    let past = |height| PastHeight {
        result: BlockResult { height, ..*state.result() },
        written: Vec::new(),
        identities: BTreeSet::new(),
        code: BTreeMap::new(),
    };
    let records = genesis.all_records().expect("records");
    let leaf = |(key, value): (&pleach_types::Key, &bytes::Bytes)| {
        (Prefix::new(key.path(), Path::BITS), FrameNode::Leaf(ValueDigest::of(value)))
    };
    let parts: BTreeMap<_, _> = records.iter().map(leaf).collect();
    State::restore(genesis.clone(), [Prefix::ALL], heights.into_iter().map(past).collect(), parts)
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
