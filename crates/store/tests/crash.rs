//! A crash at every I/O: writes, changes of length and syncs, with what was not synced lost, torn or reordered.
//!
//! Each workload runs once to count its I/Os, then once for each of them with the power going off there. What is
//! left on the disk must open, hold a block that was acknowledged last or the one under way, all of it, and go on.
//! The power also goes off during that very opening, and a fault that is over at once must stop the store as well.

mod support;

use pleach_store::{Error, Keep, OpenError, Store};
use pleach_testkit::{replay, seeds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::disk::{Disk, Fault};
use support::{Layout, World, start};

const HEIGHTS: u64 = 5;
const WINDOW: u64 = 3;

/// How far a workload came.
#[derive(Default)]
struct Progress {
    /// The height that was acknowledged last.
    acknowledged: u64,
    /// The height that was under way, if another one.
    attempted: u64,
}

fn keep(height: u64) -> Keep {
    let oldest = height.saturating_sub(WINDOW);
    Keep { values: oldest, window: oldest }
}

/// Blocks, the last two together; then the partition of a later height, in chunks; then a block on top of it; then a clean end.
fn work(world: &World, disk: &Disk, progress: &mut Progress) -> Result<(), OpenError> {
    let (store, _) = start(disk.clone())?;
    let block = |height| world.block(height, keep(height));
    for height in 1..=HEIGHTS - 2 {
        progress.attempted = height;
        store.commit(&block(height))?;
        progress.acknowledged = height;
    }
    progress.attempted = HEIGHTS;
    store.commit_all(&[block(HEIGHTS - 1), block(HEIGHTS)])?;
    progress.acknowledged = HEIGHTS;
    let height = HEIGHTS + 3;
    progress.attempted = height;
    let staging = store.stage(world.target(height))?;
    for chunk in world.layout.chunks(&world.maps[&height], 2) {
        staging.put(&chunk)?;
    }
    staging.finish(&world.arrival(height - WINDOW, height), |_| {})?;
    (progress.acknowledged, progress.attempted) = (height, height + 1);
    store.commit(&world.block(height + 1, keep(height + 1)))?;
    progress.acknowledged = height + 1;
    store.close()?;
    Ok(())
}

/// What is kept at a height, by the way that leads there.
fn kept(height: u64) -> Keep {
    let target = HEIGHTS + 3;
    if height < target {
        return keep(height);
    }
    let arrived = Keep { values: target, window: target - WINDOW };
    let asked = keep(height);
    Keep { values: arrived.values.max(asked.values), window: arrived.window.max(asked.window) }
}

/// Checks what a crash left: the store opens, with the block before or the block after, and works.
fn recovered(world: &World, disk: &Disk, progress: &Progress, context: &str) {
    let (store, held) = start(disk.clone()).unwrap_or_else(|e| panic!("{context}: {e}"));
    let height = store.position().unwrap().height();
    let expected = [progress.acknowledged, progress.attempted];
    assert!(expected.contains(&height), "{context}: height {height}, not one of {expected:?}");
    assert_eq!(held, world.held(height), "{context}");
    world.compare(&store, kept(height), context);
    go_on(world, &store, height, context);
    if height < HEIGHTS + 3 {
        arrive(world, &store, context);
    }
}

/// Stages the partition anew, whatever the attempt that was cut off has left.
fn arrive(world: &World, store: &Store, context: &str) {
    let target = HEIGHTS + 3;
    world.install(store, target - WINDOW, target, 2);
    world.compare(store, kept(target), context);
    go_on(world, store, target, context);
    world.compare(store, kept(target + 1), context);
}

fn go_on(world: &World, store: &Store, height: u64, context: &str) {
    if world.maps.contains_key(&(height + 1)) {
        store.commit(&world.block(height + 1, keep(height + 1))).unwrap();
        world.compare(store, kept(height + 1), context);
    }
}

struct Workload {
    world: World,
    /// A disk with the partition of genesis.
    image: Vec<u8>,
    ios: u64,
}

fn workload(seed: u64, layout: Layout) -> Workload {
    let mut world = World::new(seed, layout, 40);
    while world.height() < HEIGHTS + 4 {
        world.next();
    }
    let disk = Disk::default();
    let (store, _) = start(disk.clone()).unwrap();
    world.install(&store, 0, 0, 2);
    store.close().unwrap();
    let image = disk.image();
    let disk = Disk::holding(&image);
    let mut progress = Progress::default();
    work(&world, &disk, &mut progress).unwrap();
    recovered(&world, &disk, &progress, "without a crash");
    let counted = Disk::holding(&image);
    work(&world, &counted, &mut Progress::default()).unwrap();
    Workload { world, image, ios: counted.ios() }
}

/// Cuts the power at one I/O, looks at what is left, and cuts it once more while that is being opened.
fn cut(workload: &Workload, at: u64, seed: u64) {
    let world = &workload.world;
    let context = format!("power off at I/O {at}, seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed << 32 | at);
    let disk = Disk::failing(&workload.image, at, Fault::Power);
    let mut progress = Progress::default();
    let error = work(world, &disk, &mut progress);
    assert!(error.is_err(), "{context}: nothing failed");
    let image = disk.after_power_cut(&mut rng);
    let disk = Disk::holding(&image);
    let opened = start(disk.clone()).map(drop);
    let opening = disk.ios();
    opened.unwrap_or_else(|e| panic!("{context}: {e}"));
    // Opening and closing again took `opening` I/Os: one of them is the last one this time.
    let second = rng.random_range(0..opening);
    let disk = Disk::failing(&image, second, Fault::Power);
    let _ = start(disk.clone()).map(drop);
    let image = disk.after_power_cut(&mut rng);
    recovered(world, &Disk::holding(&image), &progress, &format!("{context}, then at {second} of the recovery"));
}

#[test]
fn no_power_cut_loses_an_acknowledged_block_or_leaves_half_of_one() {
    for (seed, layout) in [(1, Layout::ALL), (2, Layout { bits: 3, held: 5 })] {
        let workload = workload(seed, layout);
        assert!(workload.ios > 100, "{} I/Os", workload.ios);
        for at in 0..workload.ios {
            cut(&workload, at, seed);
        }
    }
}

/// Other layouts of the disk. Each seed cuts the power some hundreds of times: `PLEACH_SEED=100 PLEACH_RUNS=100` in release, by hand.
#[test]
fn no_power_cut_loses_a_block_in_other_layouts() {
    for seed in seeds(100..101) {
        let _replay = replay(seed);
        let workload = workload(seed, Layout { bits: seed as usize % 5, held: seed as usize % 16 });
        for at in 0..workload.ios {
            cut(&workload, at, seed);
        }
        println!("seed {seed}: {} cuts", workload.ios);
    }
}

#[test]
fn the_first_failure_of_the_disk_retires_the_store() {
    let workload = workload(3, Layout::ALL);
    let world = &workload.world;
    let mut retired = 0;
    for at in (0..workload.ios).step_by(2) {
        let context = format!("fault at I/O {at}");
        let disk = Disk::failing(&workload.image, at, Fault::Once);
        let mut progress = Progress::default();
        // A store that took another block after the fault would have acknowledged it.
        if work(world, &disk, &mut progress).is_ok() {
            panic!("{context}: nothing failed");
        }
        retired += u32::from(progress.attempted > progress.acknowledged);
        recovered(world, &Disk::holding(&disk.image()), &progress, &context);
    }
    assert!(retired > 10, "{retired} commits failed");
}

#[test]
fn a_failed_store_refuses_every_later_write_and_read() {
    let workload = workload(4, Layout::ALL);
    let world = &workload.world;
    let disk = Disk::holding(&workload.image);
    let (store, _) = start(disk.clone()).unwrap();
    let opening = disk.ios();
    drop(store);
    let disk = Disk::failing(&workload.image, opening + 3, Fault::Once);
    let (store, _) = start(disk).unwrap();
    let block = world.block(1, keep(1));
    assert!(matches!(store.commit(&block), Err(Error::Failed(_))));
    assert!(matches!(store.commit(&block), Err(Error::Failed(_))));
    assert!(matches!(store.at(0), Err(Error::Failed(_))));
    assert_eq!(store.position().unwrap().height(), 0, "nothing was acknowledged");
}
