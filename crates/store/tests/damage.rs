//! Bytes that change on the disk: noticed before anything is served, or harmless. Never a panic, never a wrong answer.

mod support;

use std::collections::BTreeMap;
use std::ops::Range;

use pleach_store::{Damage, Keep, OpenError, RowPlace, fsck_on};
use pleach_testkit::{replay, seeds, usual};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::disk::Disk;
use support::{Layout, World, start};

const HEIGHTS: u64 = 8;

fn keep(height: u64) -> Keep {
    let oldest = height.saturating_sub(4);
    Keep { values: oldest, window: oldest }
}

/// A store of some hundred kilobytes, as a clean end and as a kill leaves it.
fn images(seed: u64, layout: Layout) -> (World, [Vec<u8>; 2]) {
    let mut world = World::new(seed, layout, 400);
    world.large = true;
    while world.height() < HEIGHTS {
        world.next();
    }
    let disk = Disk::default();
    let (store, _) = start(disk.clone()).unwrap();
    world.install(&store, 0, 0, 2);
    for height in 1..=HEIGHTS {
        store.commit(&world.block(height, keep(height))).unwrap();
    }
    let killed = disk.image();
    store.close().unwrap();
    (world, [disk.image(), killed])
}

/// Does to an image what disks do. Returns what it was.
fn spoil(image: &mut Vec<u8>, rng: &mut StdRng) -> String {
    let pages = image.len() / 4096;
    let at = rng.random_range(0..image.len());
    match rng.random_range(0..10) {
        0..=4 => {
            let bit = rng.random_range(0..8);
            image[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        5 => {
            let byte = rng.random();
            image[at] = byte;
            format!("byte {at} set to {byte}")
        }
        6 => {
            let sector = at / 512 * 512;
            let byte = if rng.random_bool(0.5) { 0 } else { 0xff };
            image[sector..sector + 512].fill(byte);
            format!("sector at {sector} filled with {byte}")
        }
        7 => {
            let (from, to) = (rng.random_range(0..pages), rng.random_range(0..pages));
            image.copy_within(from * 4096..(from + 1) * 4096, to * 4096);
            format!("page {from} written over page {to}")
        }
        8 => {
            let (a, b) = (rng.random_range(0..pages), rng.random_range(0..pages));
            for byte in 0..4096 {
                image.swap(a * 4096 + byte, b * 4096 + byte);
            }
            format!("pages {a} and {b} swapped")
        }
        _ => {
            let len = if rng.random_bool(0.5) { at } else { image.len() + at };
            image.resize(len, 0);
            format!("cut or grown to {len}")
        }
    }
}

/// Opens a spoiled image. `Ok` means that it opened and all was as written; the names say how it was noticed.
fn noticed(world: &World, image: &[u8], context: &str) -> Result<(), Vec<Damage>> {
    match start(Disk::holding(image)) {
        Ok((store, held)) => {
            assert_eq!(store.position().unwrap().height(), HEIGHTS, "{context}");
            assert_eq!(held, world.held(HEIGHTS), "{context}");
            world.compare(&store, keep(HEIGHTS), context);
            Ok(())
        }
        Err(OpenError::Damaged(damages)) => {
            assert!(!damages.is_empty(), "{context}");
            Err(damages)
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

fn sample(samples: Range<u64>) {
    let (world, images) = images(5, Layout { bits: 3, held: 6 });
    let (mut harmless, mut found) = (0, BTreeMap::<String, u64>::new());
    for seed in samples.clone() {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let original = &images[seed as usize % 2];
        let mut image = original.clone();
        let what = spoil(&mut image, &mut rng);
        let context = format!("seed {seed}: {what}");
        match noticed(&world, &image, &context) {
            Ok(()) => harmless += 1,
            Err(damages) => {
                for damage in damages {
                    let name = format!("{damage:?}");
                    let name = name.split([' ', '(']).next().unwrap_or_default().to_owned();
                    *found.entry(name).or_default() += 1;
                }
                if seed.is_multiple_of(4) {
                    // The check by hand sees it as well, and changes nothing.
                    let disk = Disk::holding(&image);
                    let report = fsck_on(disk.clone(), |_| {});
                    assert!(report.is_err() || !report.unwrap().is_sound(), "{context}");
                    assert!(disk.image() == image, "{context}: fsck wrote");
                }
            }
        }
    }
    println!("{samples:?}: samples of {} bytes: {harmless} harmless; {found:?}", images[0].len());
    let database = found.get("Database").copied().unwrap_or(0);
    assert!(!usual() || (harmless > 0 && database > 0 && found.contains_key("Row")), "{harmless} harmless, {found:?}");
}

/// `PLEACH_SEED=1000000 PLEACH_RUNS=100000` in release, by hand.
#[test]
fn what_changes_on_the_disk_is_noticed_or_harmless() {
    sample(seeds(0..600));
}

#[test]
fn a_damaged_record_is_named_by_its_key_with_both_checksums() {
    let (world, [image, _]) = images(6, Layout::ALL);
    let mut named = 0;
    for (key, value) in world.maps[&HEIGHTS].iter().filter(|(_, value)| value.len() > 20).take(20) {
        let mut spoiled = image.clone();
        // Every place where the value lies, so that the newest is among them.
        let places: Vec<_> = image.windows(value.len()).enumerate().filter(|(_, w)| *w == &value[..]).collect();
        for (at, _) in &places {
            spoiled[*at + 7] ^= 0x10;
        }
        let damages = noticed(&world, &spoiled, "a damaged value").unwrap_err();
        named += damages
            .iter()
            .filter(|damage| {
                matches!(damage, Damage::Row { place: RowPlace::Record { key: Some(found), .. }, stored, recomputed }
                if found == key && stored != recomputed)
            })
            .count();
        let report = fsck_on(Disk::holding(&spoiled), |_| {}).unwrap();
        assert!(report.damages.iter().any(|damage| damages.contains(damage)), "{:?}", report.damages);
    }
    assert_eq!(named, 20);
}

#[test]
fn an_older_image_under_newer_marks_is_noticed() {
    let (world, [image, _]) = images(7, Layout::ALL);
    let disk = Disk::holding(&image);
    let (store, _) = start(disk.clone()).unwrap();
    drop(store);
    let older = disk.image();
    let mut newer_world = world;
    newer_world.next();
    let (store, _) = start(disk.clone()).unwrap();
    store.commit(&newer_world.block(HEIGHTS + 1, keep(HEIGHTS + 1))).unwrap();
    store.close().unwrap();
    // The database of before, whole and sound, behind the header of after.
    let mut mixed = disk.image()[..4096].to_vec();
    mixed.extend_from_slice(&older[4096..]);
    let error = start(Disk::holding(&mixed)).map(drop).unwrap_err();
    let expected = Damage::RolledBack { acknowledged: HEIGHTS + 1, found: Some(HEIGHTS) };
    assert!(matches!(&error, OpenError::Damaged(damages) if damages[..] == [expected.clone()]), "{error}");
    assert!(fsck_on(Disk::holding(&mixed), |_| {}).unwrap().damages.contains(&expected));
}
