//! Random histories of commits, reads, drops, transfers and restarts, against a model that keeps every height.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_store::{Error, Keep, Refused, fsck_on};
use pleach_testkit::{replay, seeds};
use pleach_types::Hash;
use rand::Rng;
use support::disk::Disk;
use support::{Layout, World, start};

const LAYOUTS: [Layout; 5] = [
    Layout::ALL,
    Layout { bits: 1, held: 1 },
    Layout { bits: 3, held: 3 },
    Layout { bits: 4, held: 0 },
    Layout { bits: 6, held: 40 },
];

/// What a block asks to keep: windows of all lengths, which may also ask for more than is left.
fn keep(world: &mut World, height: u64) -> Keep {
    let mut behind = || height.saturating_sub(world.rng.random_range(0..9));
    Keep { values: behind(), window: behind() }
}

fn after(before: Keep, asked: Keep) -> Keep {
    Keep { values: before.values.max(asked.values), window: before.window.max(asked.window) }
}

/// Leaves out bytes of code, as callers do with what is not warm.
fn cool(world: &mut World, code: &mut BTreeMap<Hash, Bytes>) {
    code.retain(|_, _| world.rng.random_bool(0.6));
}

/// What the store has bytes of after a commit: what was given while some height of the window lists it.
fn remember(world: &mut World, given: impl IntoIterator<Item = Hash>, window: std::ops::RangeInclusive<u64>) {
    let mut bytes = world.bytes.take().unwrap_or_default();
    bytes.extend(given);
    let listed: Vec<_> = world.entries.range(window).flat_map(|(_, entry)| &entry.code).map(|u| u.digest).collect();
    bytes.retain(|digest| listed.contains(digest));
    world.bytes = Some(bytes);
}

fn history(seed: u64) {
    let layout = LAYOUTS[seed as usize % LAYOUTS.len()];
    let mut world = World::new(seed, layout, [1, 3, 20, 60][seed as usize % 4]);
    world.large = seed.is_multiple_of(3);
    let context = format!("seed {seed}");
    let disk = Disk::default();
    let (mut store, held) = start(disk.clone()).unwrap();
    assert!(held.is_empty() && store.position().is_none());
    world.install(&store, 0, 0, 2);
    let first: Vec<_> = world.arrival(0, 0).code.into_keys().collect();
    remember(&mut world, first, 0..=0);
    let mut kept = Keep::default();
    for _ in 0..30 {
        match world.rng.random_range(0..10) {
            0 => {
                drop(store);
                let restarted = start(disk.clone()).unwrap();
                store = restarted.0;
                assert_eq!(restarted.1, world.held(store.position().unwrap().height()), "{context}");
            }
            1 => {
                // Too far behind to catch up: the partition of a later height takes the place of this one.
                for _ in 0..world.rng.random_range(0..5) {
                    world.next();
                }
                let height = world.height();
                let first = height.saturating_sub(world.rng.random_range(0..4)).max(1).min(height);
                let bits = world.rng.random_range(0..4);
                let mut arrival = world.arrival(first, height);
                cool(&mut world, &mut arrival.code);
                world.install_as(&store, height, bits, &arrival);
                kept = Keep { values: height, window: first };
                world.bytes = None;
                remember(&mut world, arrival.code.into_keys(), first..=height);
            }
            _ => {
                let before = world.height();
                let blocks: Vec<_> = (0..world.rng.random_range(1..4))
                    .map(|_| {
                        let height = world.next();
                        let asked = keep(&mut world, height);
                        kept = after(kept, asked);
                        let mut block = world.block(height, asked);
                        cool(&mut world, &mut block.code);
                        remember(&mut world, block.code.keys().copied(), kept.window..=height);
                        block
                    })
                    .collect();
                let reader = store.at(before).unwrap();
                store.commit_all(&blocks).unwrap();
                // Whoever began to read before the blocks goes on as if they were not there.
                let part = world.layout.part(&world.maps[&before]);
                for (key, value) in &part {
                    let path = pleach_tree::Path::of(key.as_bytes());
                    assert_eq!(reader.value(&path).unwrap().map(|r| r.value).as_ref(), Some(value), "{context}");
                }
                let again = store.commit_all(&blocks);
                assert!(matches!(again, Err(Error::Refused(Refused::NotNext { .. }))), "{context}");
            }
        }
        world.compare(&store, kept, &context);
        let part = world.layout.part(&world.maps[&store.position().unwrap().height()]);
        let usage = store.usage().unwrap();
        assert_eq!(usage.records.rows, part.len() as u64, "{context}");
        let bytes: usize = part.iter().map(|(key, value)| 32 + 16 + 2 + key.as_bytes().len() + value.len()).sum();
        assert_eq!(usage.records.bytes, bytes as u64, "{context}");
        assert!(usage.file_bytes > usage.records.bytes + usage.window.bytes, "{context}");
    }
    store.close().unwrap();
    let before = disk.image();
    let report = fsck_on(disk.clone(), |_| {}).unwrap();
    assert!(report.is_sound(), "{context}: {:?}", report.damages);
    assert_eq!(report.position.unwrap().height(), world.height(), "{context}");
    assert!(disk.image() == before, "{context}: fsck wrote");
}

#[test]
fn stores_answer_like_a_map_per_height() {
    for seed in seeds(0..25) {
        let _replay = replay(seed);
        history(seed);
    }
}

#[test]
fn the_file_stops_growing_when_the_window_is_full() {
    let mut world = World::new(7, Layout::ALL, 300);
    let disk = Disk::default();
    let (store, _) = start(disk.clone()).unwrap();
    world.install(&store, 0, 0, 2);
    let mut sizes = Vec::new();
    for _ in 0..240 {
        let height = world.next();
        let oldest = height.saturating_sub(8);
        store.commit(&world.block(height, Keep { values: oldest, window: oldest })).unwrap();
        let usage = store.usage().unwrap();
        sizes.push((usage.file_bytes, usage.window.bytes));
        world.maps.retain(|at, _| *at + 10 > height);
        world.entries.retain(|at, _| *at + 10 > height);
    }
    let most = |sizes: &[(u64, u64)]| sizes.iter().fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    let (early, late) = (most(&sizes[..80]), most(&sizes[80..]));
    assert!(late.0 <= early.0 * 3 / 2, "the file: {early:?}, later {late:?}");
    assert!(late.1 <= early.1 * 3 / 2, "the window: {early:?}, later {late:?}");
}

/// Readers and blocks at once: whatever height a reader is given, it sees that height and nothing of another.
#[test]
fn readers_see_one_height_while_blocks_are_committed() {
    let mut world = World::new(11, Layout { bits: 2, held: 3 }, 30);
    while world.height() < 80 {
        world.next();
    }
    let (store, _) = start(Disk::default()).unwrap();
    world.install(&store, 0, 0, 2);
    let (world, done) = (&world, &std::sync::atomic::AtomicBool::new(false));
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let reader = |behind: u64| {
            let store = store.clone();
            move || {
                let mut read = 0_u64;
                while !done.load(order) {
                    let height = store.position().unwrap().height().saturating_sub(behind);
                    // Blocks may have dropped the height since; then they say so.
                    match store.at(height) {
                        Ok(snapshot) => {
                            let part = world.layout.part(&world.maps[&height]);
                            for key in (0..world.keys).map(support::key) {
                                let found = snapshot.value(&pleach_tree::Path::of(key.as_bytes())).unwrap();
                                assert_eq!(found.as_ref().map(|r| &r.value), part.get(&key), "{key} at {height}");
                            }
                            let chunk = snapshot.chunk(&pleach_tree::Prefix::ALL, None, usize::MAX).unwrap();
                            assert_eq!(chunk.records.len(), part.len(), "at {height}");
                            read += 1;
                        }
                        Err(error) => assert!(matches!(error, Error::Refused(Refused::NotReadable { .. })), "{error}"),
                    }
                }
                read
            }
        };
        let readers: Vec<_> = [0, 1, 3, 4].into_iter().map(|behind| scope.spawn(reader(behind))).collect();
        for height in 1..=80_u64 {
            let oldest = height.saturating_sub(4);
            let keep = Keep { values: oldest, window: oldest };
            store.commit(&world.block(height, keep)).unwrap();
        }
        done.store(true, order);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
