//! State machines that keep a part, with what their stores would have.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_state::{OrderedOutcome, PastHeight, State};
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::{ClusterRecord, Genesis, Key};

use super::random::Random;

/// A machine that keeps a part, with the values that its store would have.
pub struct Other {
    pub state: State,
    pub values: BTreeMap<Key, Bytes>,
}

/// The records that a state keeps.
pub fn own(state: &State, values: &BTreeMap<Key, Bytes>) -> BTreeMap<Key, Bytes> {
    values.iter().filter(|(key, _)| state.keeps(&key.path())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub fn past_height(state: &State, decisions: &[OrderedOutcome]) -> PastHeight {
    let identity = |decision: &OrderedOutcome| match decision {
        OrderedOutcome::Receipt(receipt) => Some(receipt.identity),
        OrderedOutcome::Void(_) => None,
    };
    PastHeight {
        result: *state.result(),
        written: state.tree().written(state.height()).expect("the newest height").to_vec(),
        identities: decisions.iter().filter_map(identity).collect(),
        code: state.newest_used().to_vec(),
    }
}

/// The machine as a store gives it back: its records, the outline, and the heights of the window.
pub fn restarted(machine: &Other, past: &[PastHeight]) -> State {
    let genesis: Genesis = machine.state.cluster_genesis().clone();
    let heights = genesis.window;
    let leaf =
        |(key, value): (&Key, &Bytes)| (Prefix::new(key.path(), Path::BITS), OutlineNode::Leaf(ValueDigest::of(value)));
    let parts: BTreeMap<_, _> = machine.values.iter().map(leaf).chain(machine.state.tree().outline()).collect();
    // Stores keep more heights than the last T, but need not have the bytes of code that is not warm any more.
    let last = |heights: u64| &past[past.len().saturating_sub(heights as usize)..];
    let warm: BTreeMap<_, _> = machine.state.warm_code().map(|(digest, code)| (*digest, code.clone())).collect();
    let window = last(heights + 2).to_vec();
    let kept = machine.state.tree().kept().to_vec();
    let peaks = machine.state.peaks().clone();
    let cluster = &machine.values[&ClusterRecord::key()];
    let state = State::restore(genesis, kept, cluster, peaks, window, &warm, parts).expect("what was kept fits");
    assert!(state.warm_code().eq(&warm), "restored at height {}", state.height());
    assert_eq!(state.tree().held(), machine.state.tree().held(), "restored at height {}", state.height());
    assert_eq!(state.cluster(), machine.state.cluster(), "restored at height {}", state.height());
    state
}

/// What the three other machines keep.
pub fn layouts(random: &mut Random) -> [Vec<Prefix>; 3] {
    let mut prefix = |bits: usize| {
        let mut path = [0; 32];
        path[0] = random.below(256) as u8;
        Prefix::new(path.into(), bits)
    };
    [vec![], vec![prefix(2)], vec![prefix(1), prefix(3), prefix(4)]]
}
