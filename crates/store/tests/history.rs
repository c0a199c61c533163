//! Proofs of old results: against the results themselves, while the store forgets, fetches and is opened again.

mod support;

use pleach_store::{COARSE_LEVEL, Keep, Store};
use pleach_testkit::{replay, seeds};
use pleach_types::BlockResult;
use pleach_types::history::{check_consistency, check_inclusion, leaf};
use support::disk::Disk;
use support::{FINE, Layout, World};

/// Results by height, from 0 on, as the world has made them.
fn results(world: &World, height: u64) -> Vec<BlockResult> {
    (0..=height).map(|at| world.entries[&at].result).collect()
}

/// Whether a store that has every result since `since` proves all that it should, and nothing that is not so.
fn compare(store: &Store, results: &[BlockResult], since: u64) {
    let newest = results.len() as u64 - 1;
    for size in 0..newest + 3 {
        for height in 0..newest + 3 {
            let proofs = store.prove_history(height, size, |_| Vec::new()).unwrap();
            let context = format!("{height} of {size} at {newest}");
            if height >= size || size > newest {
                assert_eq!(proofs, None, "{context}");
                continue;
            }
            // What is too fine for its age may be gone, and what was never there.
            let expected = height + FINE >= newest && height >= since && size >= since;
            let Some(proofs) = proofs else {
                assert!(!expected, "{context}");
                continue;
            };
            let (older, newer) = (&results[height as usize], &results[size as usize]);
            let root = &newer.history;
            assert_eq!(check_inclusion(&leaf(older), height, size, &proofs.inclusion, root), Ok(()), "{context}");
            let (old, new) = ((height, &older.history), (size, root));
            match proofs.consistency {
                Some(consistency) => assert_eq!(check_consistency(old, new, &consistency), Ok(()), "{context}"),
                None => assert!(!expected, "{context}"),
            }
        }
    }
}

/// What is still to be stored is proved as if it were.
#[test]
fn results_on_their_way_to_the_store_count() {
    let mut world = World::new(9, Layout::ALL, 20);
    let (store, _) = support::start(Disk::default()).unwrap();
    let first = world.next();
    world.install(&store, first, first, 0);
    for _ in 0..20 {
        let height = world.next();
        store.commit(&world.block(height, Keep { values: height - 1, window: height - 1 })).unwrap();
    }
    let stored = world.height();
    (0..12).for_each(|_| assert!(world.next() > stored));
    let results = results(&world, world.height());
    for size in stored..=world.height() {
        for height in stored - FINE..size {
            let newer = |from: u64| results[from as usize..size as usize].to_vec();
            let proofs = store.prove_history(height, size, newer).unwrap().expect("all of it is there");
            let (older, root) = (&results[height as usize], &results[size as usize].history);
            assert_eq!(
                check_inclusion(&leaf(older), height, size, &proofs.inclusion, root),
                Ok(()),
                "{height} of {size}"
            );
            let consistency = proofs.consistency.expect("all of it is there");
            assert_eq!(check_consistency((height, &older.history), (size, root), &consistency), Ok(()));
            let fewer = |from: u64| results[from as usize..size as usize - 1].to_vec();
            assert!(size == stored || store.prove_history(height, size, fewer).unwrap().is_none());
        }
    }
}

#[test]
fn results_are_proved_as_long_as_they_should_be() {
    for seed in seeds(0..4) {
        let _replay = replay(seed);
        let mut world = World::new(seed, Layout::ALL, 20);
        let disk = Disk::default();
        let (mut store, _) = support::start(disk.clone()).unwrap();
        let first = world.next();
        world.install(&store, first, first, 0);
        for _ in 0..60 {
            let height = world.next();
            store.commit(&world.block(height, Keep { values: height - 1, window: height - 1 })).unwrap();
            if height.is_multiple_of(20) {
                drop(store);
                (store, _) = support::start(disk.clone()).unwrap();
                compare(&store, &results(&world, height), first);
            }
        }
        // It fetches a state further on: what is between is not there.
        (0..20).for_each(|_| assert!(world.next() > 0));
        let arrived = world.height();
        world.install(&store, arrived - 5, arrived, 0);
        compare(&store, &results(&world, arrived), arrived);
        for _ in 0..25 {
            let height = world.next();
            store.commit(&world.block(height, Keep { values: height - 1, window: height - 1 })).unwrap();
        }
        compare(&store, &results(&world, world.height()), arrived);
        drop(store);
        let report = pleach_store::fsck_on(disk, |_| {}).unwrap();
        assert!(report.damages.is_empty(), "{report:?}");
    }
    assert_eq!(COARSE_LEVEL, 12, "clients take the lower twelve hashes of a proof in time");
}
