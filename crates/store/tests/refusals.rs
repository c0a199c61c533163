//! What a store refuses changes nothing, and each refusal has its reason.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_store::{Arrival, BlockWrite, Error, KEPT_MAX, Keep, Refused, Target};
use pleach_tree::{Label, OutlineNode, Path, Prefix};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::history::Peaks;
use pleach_types::limits::MODULE_BYTES_MAX;
use pleach_types::{Hash, Key, UsedCode};
use support::disk::Disk;
use support::{Layout, World, digest, start};

/// Breaks a block, or what arrives with a partition.
type Spoil<T> = Box<dyn Fn(&mut T)>;

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
    let of_others = (0..).map(support::key).find(|key| !world.layout.holds(&key.path())).unwrap();
    let used = |digest: Hash, bytes: u32| UsedCode { digest, bytes };
    let list = |b: &mut BlockWrite, code: Vec<UsedCode>| {
        b.entry.result.code = code_digest(&code);
        b.entry.code = code;
    };
    let module = Bytes::from_static(b"a module");
    let digest = support::digest(&module);
    let stub = OutlineNode::Subtree(Label::EMPTY);
    let breaks: Vec<(&str, Spoil<BlockWrite>)> = vec![
        ("NotNext", Box::new(|b| b.entry.result.height = 2)),
        ("NotNext", Box::new(|b| b.entry.result.height = 0)),
        ("NotWritten", Box::new(move |b| drop(b.records.insert(stranger.clone(), None)))),
        ("Written", Box::new(|b| b.entry.result.written = Hash::default())),
        ("Written", Box::new(|b| b.entry.written.push(Path::from_bytes([0; 32])))),
        ("Header", Box::new(|b| b.entry.header.height = 2)),
        ("NotChild", Box::new(|b| b.entry.header.context.parent = Hash::default())),
        ("NotChild", Box::new(|b| b.entry.header.result.root = Hash::default())),
        ("History", Box::new(|b| b.entry.result.history = Hash::default())),
        (
            "NotKept",
            Box::new(move |b| {
                b.entry.written = vec![of_others.path()];
                b.entry.result.written = written_digest(&b.entry.written);
                b.records = [(of_others.clone(), Some(Bytes::new()))].into();
            }),
        ),
        ("CodeList", Box::new(move |b| b.entry.code = vec![used(Hash([9; 32]), 1)])),
        ("Code(", Box::new(|b| b.code = [(Hash([9; 32]), Bytes::new())].into())),
        ("Code(", Box::new(move |b| list(b, vec![used(Hash([9; 32]), 1), used(Hash([9; 32]), 2)]))),
        (
            "CodeSize",
            Box::new(move |b| {
                list(b, vec![used(digest, 7)]);
                b.code = [(digest, module.clone())].into();
            }),
        ),
        ("TooLarge", Box::new(move |b| list(b, vec![used(digest, MODULE_BYTES_MAX as u32 + 1)]))),
        (
            "OutlineKept",
            Box::new(|b| {
                let leaf = OutlineNode::Leaf(pleach_tree::ValueDigest::of(b"not here"));
                b.outline = [(Prefix::new(Path::from_bytes([0; 32]), Path::BITS), Some(leaf))].into();
            }),
        ),
        ("OutlineLabel", Box::new(move |b| b.outline = [(Prefix::ALL, Some(stub))].into())),
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

/// Code has one size, also where only heights tell of it: whoever counts what is warm must come to the same sum everywhere.
#[test]
fn code_that_came_without_its_bytes_is_listed_with_one_size_and_may_bring_them_later() {
    let lists = |world: &World, height| world.entries[&height].code.iter().any(|u| u.digest == digest(&world.code[0]));
    let worlds = (0..).map(|seed| {
        let mut world = World::new(seed, Layout::ALL, 10);
        for _ in 0..3 {
            world.next();
        }
        world
    });
    let wanted = |world: &World| [0, 1, 2].map(|height| lists(world, height)) == [false, true, true];
    let world = worlds.into_iter().find(wanted).unwrap();
    let (module, digest) = (world.code[0].clone(), digest(&world.code[0]));
    let disk = Disk::default();
    let (store, _) = start(disk.clone()).unwrap();
    world.install(&store, 0, 0, 2);
    let mut bare = world.block(1, Keep::default());
    bare.code.clear();
    store.commit(&bare).unwrap();
    assert!(!store.warm().unwrap().contains_key(&digest) && store.code(&digest).unwrap().is_none());
    drop(store);
    let (store, _) = start(disk.clone()).unwrap();
    store.commit(&world.block(2, Keep::default())).unwrap();
    assert_eq!(store.warm().unwrap()[&digest], (2, module));
    drop(store);
    let (store, _) = start(disk).unwrap();
    // Another size for the same code, as a height after would list it.
    let mut other = world.block(3, Keep::default());
    other.entry.code = vec![UsedCode { digest, bytes: 3_000 }];
    other.entry.result.code = code_digest(&other.entry.code);
    other.code.clear();
    assert!(matches!(refused(store.commit(&other)), Refused::CodeSize { listed: 3_000, .. }));
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
    let wide = pleach_store::StagedChunk { prefix: Prefix::ALL, records: BTreeMap::new(), outline: BTreeMap::new() };
    assert!(matches!(refused(staging.put(&wide)), Refused::ChunkOverlap { .. }));
    let mut outside = chunks[0].clone();
    outside.records.extend(chunks[1].records.clone());
    outside.outline.extend(chunks[1].outline.clone());
    assert!(matches!(refused(staging.put(&outside)), Refused::OutsideChunk { .. }));
    assert!(matches!(refused(staging.finish(&arrival, |_| {})), Refused::StagedRoot { .. }));
    let staging = store.stage(target).unwrap();
    staging.put(&chunks[0]).unwrap();
    let again = refused(staging.finish(&arrival, |_| {}));
    assert!(matches!(again, Refused::StagedRoot { .. }), "what the last attempt staged has come back: {again:?}");
    let staged = || {
        let staging = store.stage(target).unwrap();
        staging.put_all(&chunks).unwrap();
        staging
    };
    let breaks: Vec<(&str, Spoil<Arrival>)> = vec![
        ("WindowGap", Box::new(|a| drop(a.window.remove(1)))),
        ("WindowGap", Box::new(|a| a.window.clear())),
        ("NotChild", Box::new(|a| a.window[2].header.context.parent = Hash::default())),
        ("History", Box::new(|a| a.peaks = Peaks::default())),
        ("KeptOrder", Box::new(|a| a.kept.reverse())),
        ("KeptOrder", Box::new(|a| a.kept.push(a.kept[3]))),
        ("KeptOrder", Box::new(|a| a.kept[0] = Prefix::ALL)),
        ("TooLarge", Box::new(|a| a.kept = vec![Prefix::ALL; KEPT_MAX + 1])),
        // What was staged does not belong to this node by its own word.
        ("NotKept", Box::new(|a| a.kept.truncate(1))),
        ("NotKept", Box::new(|a| a.kept.clear())),
        ("OutlineKept", Box::new(|a| a.kept.push(Prefix::new(Path::from_bytes([0xff; 32]), 1)))),
        ("Code(", Box::new(|a| drop(a.code.insert(Hash([9; 32]), Bytes::new())))),
    ];
    for (name, spoil) in breaks {
        let mut bad = arrival.clone();
        spoil(&mut bad);
        let why = refused(staged().finish(&bad, |_| {}));
        assert!(format!("{why:?}").starts_with(name), "{name}: {why:?}");
        world.compare(&store, Keep::default(), name);
    }
    // Another staging drops what was staged, also of the same target, and the old handle is over.
    let before = target;
    for target in [Target { height: 2, root: world.entries[&2].result.root }, target] {
        let staging = store.stage(before).unwrap();
        staging.put_all(&chunks[1..]).unwrap();
        let _other = store.stage(target).unwrap();
        assert_eq!(refused(staging.put(&chunks[0])), Refused::StagingOver);
        assert_eq!(refused(staging.finish(&arrival, |_| {})), Refused::StagingOver);
    }
    world.install(&store, 1, 3, 3);
    world.compare(&store, Keep { values: 3, window: 1 }, "after the switch");
    let behind = store.stage(Target { height: 2, root: Hash::default() }).unwrap_err();
    assert_eq!(behind, Error::Refused(Refused::Behind { found: 2, stored: 3 }));
}
