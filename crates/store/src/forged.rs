//! Rows whose checksums hold, but that no store of this program would have written: found by the audit, each by its
//! name. This is what is left between a checksum and the root: what a faulty or another program may write.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{OutlineNode, Prefix, Tree, ValueDigest};
use pleach_types::codec::{Decode, Encode};
use pleach_types::history::Peaks;
use pleach_types::{Block, BlockResult, Context, Hash, Key, PublicKey};
use redb::backends::InMemoryBackend;

use crate::backend::Device;
use crate::database::Changes;
use crate::error::{Damage, OpenError, RowPlace};
use crate::kept::Kept;
use crate::layout::{LastUse, StateRow, WindowEntry};
use crate::staging::{Arrival, StagedChunk, Target};
use crate::store::{Options, Store, open_device};
use crate::table::{KEPT, STATE, Table};

const GENESIS: Hash = Hash([5; 32]);

/// A record in each half of the key space.
fn keys() -> [Key; 2] {
    let key = |half| {
        let mut keys = (0..).map(|number: u32| Key::new(format!("bank/{number}")).unwrap());
        keys.find(|key| key.path().bit(0) == half).unwrap()
    };
    [key(false), key(true)]
}

/// A store with one record of the lower half, which it keeps; of the other it knows the digest.
fn store(device: &Device) -> Store {
    let [own, other] = keys();
    let mut tree = Tree::new();
    for key in [&own, &other] {
        tree.insert(key.as_bytes().to_vec(), "value");
    }
    let root = tree.root().into();
    let result = BlockResult::genesis(root, Hash::default());
    let context = Context { epoch: 0, view: 0, parent_view: 0, leader: PublicKey([1; 32]), parent: GENESIS };
    let header = Block::new(context, 0, result, vec![]).header;
    let entry =
        WindowEntry { result, header, requests: 0, written: vec![], receipts: vec![], code: vec![], certificate: None };
    crate::header::create(device, &GENESIS).unwrap();
    let store = open(device).unwrap();
    let staging = store.stage(Target { height: 0, root }).unwrap();
    let outline = [OutlineNode::record(other.path(), ValueDigest::of(b"value"))].into();
    staging.put(&StagedChunk { prefix: Prefix::ALL, records: [(own, "value".into())].into(), outline }).unwrap();
    let kept = Prefix::ALL.halves().unwrap()[..1].to_vec();
    let arrival = Arrival {
        kept,
        window: vec![entry],
        code: BTreeMap::new(),
        peaks: Peaks::default(),
        steps: Vec::new(),
        above: None,
    };
    staging.finish(&arrival, |_| {}).unwrap();
    store
}

fn open(device: &Device) -> Result<Store, OpenError> {
    open_device(device.clone(), &GENESIS, &Options { cache_bytes: 1 << 20, ..Options::default() }, None)?
        .check(|_| {}, |_| {})
}

/// What a start says once `forge` has written into a sound store.
fn found(forge: impl FnOnce(&mut Changes<'_>)) -> Vec<Damage> {
    let device: Device = Arc::new(InMemoryBackend::new());
    let store = store(&device);
    store
        .inner
        .db
        .write(|changes| {
            forge(changes);
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    match open(&device) {
        Err(OpenError::Damaged(damages)) => damages,
        other => panic!("{other:?}"),
    }
}

fn put(changes: &mut Changes<'_>, table: Table, key: &[u8], content: &[u8]) {
    changes.rows(table).unwrap().put(key, content).unwrap();
}

fn is(damages: &[Damage], expected: &RowPlace, why: &str) -> bool {
    let found = |damage: &Damage| matches!(damage, Damage::Invariant { place, why: of } if place == expected && of.contains(why));
    damages.iter().any(found)
}

#[test]
fn a_record_outside_of_the_kept_prefixes_is_found() {
    let upper = Kept::new(Prefix::ALL.halves().unwrap()[1..].to_vec()).unwrap();
    let damages = found(|changes| put(changes, Table::Meta, KEPT, &upper.encode()));
    let key = keys()[0].clone();
    let place = RowPlace::Record { path: key.path(), key: Some(key) };
    assert!(is(&damages, &place, "no prefix that is kept"), "{damages:?}");
}

#[test]
fn a_leaf_of_the_outline_that_passes_for_a_kept_record_is_found() {
    let all = Kept::new(vec![Prefix::ALL]).unwrap();
    let damages = found(|changes| put(changes, Table::Meta, KEPT, &all.encode()));
    let at = OutlineNode::record(keys()[1].path(), ValueDigest::of(b"value")).0;
    assert!(is(&damages, &RowPlace::Outline(at), "overlaps a prefix that is kept"), "{damages:?}");
}

#[test]
fn missing_and_broken_kept_prefixes_are_found() {
    let place = RowPlace::Meta("kept".into());
    let damages = found(|changes| assert!(changes.rows(Table::Meta).unwrap().remove(KEPT).unwrap()));
    assert!(is(&damages, &place, "where there is a state"), "{damages:?}");
    let damages = found(|changes| put(changes, Table::Meta, KEPT, &u32::MAX.to_le_bytes()));
    assert!(is(&damages, &place, "the limit"), "{damages:?}");
}

#[test]
fn a_position_with_the_history_of_other_results_is_found() {
    let damages = found(|changes| {
        let (_, content) = changes.rows(Table::Meta).unwrap().get(STATE).unwrap().unwrap();
        let mut state = StateRow::decode(&content).unwrap();
        state.position.peaks.push(&BlockResult::default());
        put(changes, Table::Meta, STATE, &state.encode());
    });
    assert!(is(&damages, &RowPlace::Meta("state".into()), "a history of 1 results"), "{damages:?}");
}

#[test]
fn code_that_the_window_does_not_list_is_found() {
    let code = Bytes::from_static(b"code");
    let digest = Hash::from(ValueDigest::of(&code));
    let damages = found(|changes| put(changes, Table::Code, &digest.0, &code));
    assert!(is(&damages, &RowPlace::Code(digest), "no height of the window lists it"), "{damages:?}");
    let last = LastUse { height: 0, bytes: 4 };
    let damages = found(|changes| put(changes, Table::CodeUsed, &digest.0, &last.encode()));
    assert!(is(&damages, &RowPlace::Code(digest), "the window says None"), "{damages:?}");
    let damages = found(|changes| put(changes, Table::Code, &digest.0, b"other"));
    assert!(is(&damages, &RowPlace::Code(digest), "recomputed"), "{damages:?}");
}
