//! What a store refuses changes nothing, and each refusal has its reason.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_store::{BlockWrite, Error, Keep, Refused, Target};
use pleach_tree::{FrameNode, Label, Path, Prefix};
use pleach_types::block::code_digest;
use pleach_types::{Hash, Key};
use support::disk::Disk;
use support::{Layout, World, start};

/// Breaks a block.
type Spoil = Box<dyn Fn(&mut BlockWrite)>;

fn refused(result: Result<(), Error>) -> Refused {
    match result {
        Err(Error::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocks_that_break_a_rule_change_nothing() {
    let mut world = World::new(1, Layout { bits: 2, held: 2 }, 40);
    let disk = Disk::default();
    let (store, _) = start(disk).unwrap();
    assert_eq!(
        refused(store.commit(&{
            world.next();
            world.block(1, Keep::default())
        })),
        Refused::Empty
    );
    world.install(&store, 0, 0, 2);
    let good = world.block(1, Keep::default());
    let stranger = Key::new("somebody/else").unwrap();
    let stub = FrameNode::Subtree(Label::EMPTY);
    let breaks: Vec<(&str, Spoil)> = vec![
        ("NotNext", Box::new(|b| b.entry.result.height = 2)),
        ("NotNext", Box::new(|b| b.entry.result.height = 0)),
        ("NotWritten", Box::new(move |b| drop(b.records.insert(stranger.clone(), None)))),
        ("Written", Box::new(|b| b.entry.result.written = Hash::default())),
        ("Written", Box::new(|b| b.entry.written.push(Path::from_bytes([0; 32])))),
        ("Header", Box::new(|b| b.entry.header.height = 2)),
        ("NotChild", Box::new(|b| b.entry.header.context.parent = Hash::default())),
        ("NotChild", Box::new(|b| b.entry.header.result.root = Hash::default())),
        ("Ordered", Box::new(|b| b.entry.header.context.view += 1)),
        ("Ordered", Box::new(|b| b.ordered = Some(Bytes::from_static(b"no block")))),
        ("CodeList", Box::new(|b| b.entry.code = vec![Hash([9; 32])])),
        (
            "Code",
            Box::new(|b| {
                b.entry.code = vec![Hash([9; 32])];
                b.entry.result.code = code_digest(&b.entry.code);
            }),
        ),
        (
            "Code",
            Box::new(|b| {
                b.code = [(Hash([9; 32]), Bytes::new())].into();
            }),
        ),
        ("Code", Box::new(|b| b.entry.code = vec![Hash([9; 32]); 2])),
        ("TooLarge", Box::new(|b| b.note = vec![0; pleach_store::NOTE_BYTES_MAX + 1].into())),
        ("FrameLabel", Box::new(move |b| b.frame = [(Prefix::ALL, Some(stub))].into())),
    ];
    for (name, spoil) in breaks {
        let mut bad = good.clone();
        spoil(&mut bad);
        let why = refused(store.commit(&bad));
        assert!(format!("{why:?}").starts_with(name), "{name}: {why:?}");
        world.compare(&store, Keep::default(), name);
    }
    world.next();
    let mut next = world.block(2, Keep::default());
    next.entry.header.context.parent = Hash::default();
    let why = refused(store.commit_all(&[good.clone(), next]));
    assert!(matches!(why, Refused::NotChild { height: 2, .. }), "{why:?}");
    assert_eq!(store.position().unwrap().height(), 0, "a good block was written beside a bad one");
    store.commit_all(&[]).unwrap();
    store.commit(&good).unwrap();
    world.compare(&store, Keep::default(), "after the refusals");
}

#[test]
fn partitions_that_do_not_fit_together_are_refused_and_the_stored_one_stays() {
    let mut world = World::new(2, Layout { bits: 3, held: 4 }, 60);
    let disk = Disk::default();
    let (store, _) = start(disk).unwrap();
    world.install(&store, 0, 0, 3);
    for _ in 0..3 {
        world.next();
    }
    let chunks = world.layout.chunks(&world.maps[&3], 3);
    let (target, arrival) = (world.target(3), world.arrival(1, 3));
    let staging = store.stage(target).unwrap();
    // A lost chunk, a wrong window, another root.
    for chunk in &chunks[1..] {
        staging.put(chunk).unwrap();
    }
    assert!(matches!(refused(staging.put(&chunks[1])), Refused::ChunkOverlap { .. }));
    let wide = pleach_store::StagedChunk { prefix: Prefix::ALL, records: BTreeMap::new(), frame: BTreeMap::new() };
    assert!(matches!(refused(staging.put(&wide)), Refused::ChunkOverlap { .. }));
    let mut outside = chunks[0].clone();
    outside.records.extend(chunks[1].records.clone());
    outside.frame.extend(chunks[1].frame.clone());
    assert!(matches!(refused(staging.put(&outside)), Refused::OutsideChunk { .. }));
    assert!(matches!(refused(staging.finish(&arrival, |_| {})), Refused::StagedRoot { .. }));
    let staging = store.stage(target).unwrap();
    assert_eq!(staging.done().unwrap().len(), chunks.len() - 1, "what was staged is still there");
    staging.put(&chunks[0]).unwrap();
    let mut gap = arrival.clone();
    gap.window.remove(1);
    assert_eq!(refused(store.stage(target).unwrap().finish(&gap, |_| {})), Refused::WindowGap(3));
    world.compare(&store, Keep::default(), "before the switch");
    // Another target drops what was staged, and the old handle is over.
    let other = store.stage(Target { height: 2, root: world.entries[&2].0.result.root }).unwrap();
    assert!(other.done().unwrap().is_empty());
    assert_eq!(refused(staging.put(&chunks[0])), Refused::StagingOver);
    assert_eq!(refused(staging.finish(&arrival, |_| {})), Refused::StagingOver);
    other.give_up().unwrap();
    world.install(&store, 1, 3, 3);
    world.compare(&store, Keep { values: 3, window: 1, ordered: 1 }, "after the switch");
    let behind = store.stage(Target { height: 2, root: Hash::default() }).unwrap_err();
    assert_eq!(behind, Error::Refused(Refused::Behind { found: 2, stored: 3 }));
}
