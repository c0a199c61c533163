//! What came is looked at once more before it is put into the tree and the store. Whoever sends it was checked against the root of its
//! height, so that nothing here should ever be refused: each check stands alone, whatever those before it have let through.

use pleach_testkit::folder::Folder;
use pleach_tree::{Prefix, ProofLimits};
use pleach_types::Height;

use super::adopt::CannotMove;
use super::plan::without;
use super::*;
use crate::core::Node;
use crate::disk::Disk;
use crate::disk::tests::{Alone, key};
use crate::transfer::Came;

/// The limits of a proof of a few records.
const SMALL: ProofLimits = ProofLimits { max_bytes: 1 << 20, max_nodes: 1_000, max_leaves: 100 };

/// All records under a prefix, of the newest height, as they come from somebody who keeps them.
fn sent(node: &Node, prefix: Prefix) -> Came {
    let state = node.state();
    let snapshot = node.finality.disk.store().at(state.height()).expect("the newest height");
    let chunk = snapshot.chunk(&prefix, None, usize::MAX).expect("kept");
    let records: Vec<_> = chunk.records.into_iter().map(|(_, record)| (record.key, record.value)).collect();
    let proof = state.tree().partition([prefix]).expect("kept").encode().into();
    let proved = pleach_verify::state::partition(&proof, &state.tree().root().into(), &SMALL, prefix, &records);
    let proofs = vec![proved.expect("what this node proves").into_proof()];
    Came { height: state.height(), prefixes: vec![prefix], records: records.into_iter().collect(), bytes: 0, proofs }
}

/// Has a node keep no records under a prefix any more.
fn drop_all(node: &Node, prefix: Prefix) {
    let before = node.state();
    let kept = without(before.tree().kept(), &prefix);
    let after = before.with_kept(kept.iter().copied(), None).expect("less than before");
    node.rekeep(&before, after, (&kept, None), Default::default()).expect("dropped");
}

/// Changes are noted down from the one after this height on.
fn record_since(node: &Node, height: Height, prefix: Prefix) {
    *lock(&node.moves.recorder) = Some(Recorder::new([prefix].into(), height));
}

/// A node that has dropped the half of its records in which the rule of the root is, that half, and its records as they come back.
fn dropped(folder: &Folder) -> (Alone, Prefix, Came) {
    let mut alone = Alone::new(folder.path(), Disk::at_once);
    (0..3).for_each(|_| alone.block());
    let halves = Prefix::ALL.halves().expect("two halves");
    let prefix = halves.into_iter().find(|half| half.contains(&key(".root_rule").path())).expect("one of the two");
    let came = sent(&alone.node, prefix);
    drop_all(&alone.node, prefix);
    (alone, prefix, came)
}

#[test]
fn what_came_is_taken_over_only_if_it_is_what_the_tree_has_and_all_of_it() {
    type Spoil = fn(&mut Came);
    type Refused = fn(&CannotMove) -> bool;
    // The record of the cluster is among what came and stays in any case, so it is not what is left out.
    let spoils: [(Spoil, Refused); 3] = [
        (
            |came| came.records.values_mut().for_each(|value| *value = "another".into()),
            |why| matches!(why, CannotMove::Record(_)),
        ),
        (|came| drop(came.records.remove(&key(".root_rule"))), |why| matches!(why, CannotMove::Missing { .. })),
        (|came| came.records.clear(), |why| matches!(why, CannotMove::Missing { .. })),
    ];
    let folder = Folder::new();
    let (alone, prefix, came) = dropped(&folder);
    let node = &alone.node;
    let had = node.state().kept_records();
    assert!(came.records.contains_key(&key(".root_rule")), "a record to be spoiled");
    record_since(node, came.height, prefix);
    for (spoil, refused) in spoils {
        let mut spoiled = again(&came);
        spoil(&mut spoiled);
        let why = node.take_over(spoiled).expect_err("refused");
        assert!(refused(&why), "{why}");
        assert_eq!(node.state().kept_records(), had, "nothing has changed: {why}");
    }
    node.take_over(came).expect("as it came");
    assert_eq!(node.state().kept_records(), had + 1);
    assert!(node.state().keeps(&key(".root_rule").path()), "kept again");
}

#[test]
fn what_came_of_a_height_from_which_changes_were_not_noted_down_is_not_taken_over() {
    let folder = Folder::new();
    let (alone, prefix, came) = dropped(&folder);
    let height = came.height;
    for since in [None, Some(height + 1)] {
        *lock(&alone.node.moves.recorder) = None;
        if let Some(since) = since {
            record_since(&alone.node, since, prefix);
        }
        let why = alone.node.take_over(again(&came)).expect_err("changes may be missing");
        assert!(matches!(why, CannotMove::NotRecorded(of) if of == height), "{why}");
    }
    record_since(&alone.node, height, prefix);
    alone.node.take_over(came).expect("all changes since are here");
}

/// The same once more.
fn again(came: &Came) -> Came {
    Came {
        height: came.height,
        prefixes: came.prefixes.clone(),
        records: came.records.clone(),
        bytes: came.bytes,
        proofs: came.proofs.clone(),
    }
}
