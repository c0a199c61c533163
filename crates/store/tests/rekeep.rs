//! Keeping other prefixes between blocks, against a model that keeps every height.

mod support;

use std::collections::BTreeMap;

use pleach_store::{Error, KEPT_MAX, Keep, Refused, Rekeep, fsck_on};
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::{OutlineNode, Path, Prefix};
use pleach_types::Key;
use pleach_types::limits::VALUE_BYTES_MAX;
use rand::Rng;
use support::disk::Disk;
use support::{Layout, World, above, start};

/// The change from one layout to another at the newest height.
fn change(world: &World, from: Layout, to: Layout) -> Rekeep {
    let height = world.height();
    let map = &world.maps[&height];
    let (old, new) = (from.outline(map), to.outline(map));
    let mut outline: BTreeMap<Prefix, Option<OutlineNode>> =
        old.keys().filter(|at| !new.contains_key(at)).map(|at| (*at, None)).collect();
    outline.extend(new.into_iter().map(|(at, node)| (at, Some(node))));
    let comes = |key: &Key| !from.holds(&Path::of(key.as_bytes()));
    let records = to.part(map).into_iter().filter(|(key, _)| comes(key)).collect();
    Rekeep { height, kept: to.kept(), records, outline }
}

#[test]
fn a_store_that_keeps_other_prefixes_is_as_if_it_always_had() {
    for seed in seeds(0..20) {
        let _replay = replay(seed);
        let bits = [1, 3, 5][seed as usize % 3];
        let mut world = World::new(seed, Layout { bits, held: 1 }, 60);
        world.large = seed.is_multiple_of(4);
        let disk = Disk::default();
        let (mut store, _) = start(disk.clone()).unwrap();
        world.install(&store, 0, 0, 2);
        let mut expected = Some(above(0));
        for step in 0..40 {
            let context = format!("seed {seed}, step {step}");
            match world.rng.random_range(0..4) {
                0 => {
                    drop(store);
                    let (again, held) = start(disk.clone()).unwrap();
                    assert_eq!(held, world.held(world.height()), "{context}");
                    store = again;
                }
                1 => {
                    let from = world.layout;
                    world.layout.held = world.rng.random_range(0..=1 << bits);
                    store.rekeep(&change(&world, from, world.layout)).unwrap();
                }
                _ => {
                    let height = world.next();
                    let oldest = height.saturating_sub(world.rng.random_range(0..6));
                    store.commit(&world.block(height, Keep { values: oldest, window: oldest })).unwrap();
                    expected = None;
                }
            }
            assert_eq!(store.above(), expected, "{context}: until there is a block above what arrived");
            assert_eq!(store.kept(), world.layout.kept(), "{context}");
            world.compare_height(&store, world.height(), &context);
            let part = world.layout.part(&world.maps[&world.height()]);
            assert_eq!(store.usage().unwrap().records.rows, part.len() as u64, "{context}");
        }
        store.close().unwrap();
        let report = fsck_on(disk, |_| {}).unwrap();
        assert!(report.is_sound(), "seed {seed}: {:?}", report.damages);
    }
}

/// What the last heights replaced goes with a prefix, also where none of its records is left.
#[test]
fn nothing_stays_of_a_prefix_whose_records_are_gone() {
    let mut emptied = 0;
    for seed in seeds(0..60) {
        let _replay = replay(seed);
        let mut world = World::new(seed, Layout { bits: 1, held: 2 }, 3);
        let disk = Disk::default();
        let (store, _) = start(disk.clone()).unwrap();
        world.install(&store, 0, 0, 2);
        for _ in 0..4 {
            let height = world.next();
            store.commit(&world.block(height, Keep { values: 0, window: 0 })).unwrap();
        }
        let (from, to) = (world.layout, Layout { bits: 1, held: 1 });
        let goes = |height| from.part(&world.maps[&height]).keys().any(|key| !to.holds(&Path::of(key.as_bytes())));
        emptied += u32::from((0..world.height()).any(goes) && !goes(world.height()));
        store.rekeep(&change(&world, from, to)).unwrap();
        store.close().unwrap();
        let report = fsck_on(disk, |_| {}).unwrap();
        assert!(report.is_sound(), "seed {seed}: {:?}", report.damages);
    }
    assert!(!usual() || emptied > 0, "no seed has emptied a prefix");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (from, to) = (Layout { bits: 2, held: 1 }, Layout { bits: 2, held: 3 });
    let world = World::new(5, from, 60);
    let (store, _) = start(Disk::default()).unwrap();
    let empty = store.rekeep(&change(&world, from, to));
    assert!(matches!(empty, Err(Error::Refused(Refused::Empty))), "{empty:?}");
    world.install(&store, 0, 0, 2);
    let good = change(&world, from, to);
    let outside = world.maps[&0].iter().find(|(key, _)| !to.holds(&Path::of(key.as_bytes())));
    let (key, value) = outside.map(|(key, value)| (key.clone(), value.clone())).unwrap();
    let with = |change: &dyn Fn(&mut Rekeep)| {
        let mut changed = good.clone();
        change(&mut changed);
        match store.rekeep(&changed) {
            Err(Error::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(with(&|c| c.height = 7), Refused::OtherHeight { found: 7, stored: 0 }));
    assert!(matches!(with(&|c| c.kept.reverse()), Refused::KeptOrder(_)));
    assert!(matches!(with(&|c| c.kept = vec![Prefix::ALL; KEPT_MAX + 1]), Refused::TooLarge { .. }));
    assert_eq!(with(&|c| drop(c.records.insert(key.clone(), value.clone()))), Refused::NotKept(key.clone()));
    let long = vec![0; VALUE_BYTES_MAX + 1];
    let held = good.records.keys().next().unwrap().clone();
    assert!(matches!(with(&|c| drop(c.records.insert(held.clone(), long.clone().into()))), Refused::TooLarge { .. }));
    let leaf = OutlineNode::Leaf(pleach_tree::ValueDigest::of(b"x"));
    let inside = Prefix::new(to.kept()[1].first(), Path::BITS);
    assert_eq!(with(&|c| c.outline.extend([(inside, Some(leaf))])), Refused::OutlineKept(inside));
    assert_eq!(store.kept(), from.kept());
    world.compare(&store, Keep::default(), "after what was refused");
    store.rekeep(&good).unwrap();
}
