//! Real folders: the lock, the header, interrupted beginnings, kills, and `fsck`.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pleach_store::{Damage, Keep, OpenError, Options, Store, fsck};
use pleach_testkit::folder::Folder;
use pleach_types::Hash;
use support::{GENESIS, Layout, World};

/// Where the store of a folder is.
fn file(folder: &Folder) -> PathBuf {
    folder.join("store.pleach")
}

fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(dir, &GENESIS, &Options::default())?.check(|_| {}, |_| {})
}

fn keep(height: u64) -> Keep {
    let oldest = height.saturating_sub(3);
    Keep { values: oldest, window: oldest }
}

#[test]
fn a_store_in_use_names_the_process_that_uses_it() {
    let folder = Folder::new();
    let store = open(folder.path()).unwrap();
    let me = Some(std::process::id());
    assert!(matches!(open(folder.path()), Err(OpenError::Locked { pid, .. }) if pid == me));
    assert!(matches!(fsck(folder.path(), |_| {}), Err(OpenError::Locked { pid, .. }) if pid == me));
    let clone = store.clone();
    drop(store);
    assert!(matches!(open(folder.path()), Err(OpenError::Locked { .. })), "a clone is the store as well");
    drop(clone);
    open(folder.path()).unwrap();
}

#[test]
fn newer_formats_other_clusters_and_other_files_are_left_untouched() {
    let folder = Folder::new();
    open(folder.path()).unwrap().close().unwrap();
    let ours = fs::read(file(&folder)).unwrap();
    let other = Store::open(folder.path(), &Hash([2; 32]), &Options::default());
    assert!(matches!(other, Err(OpenError::OtherGenesis { found: GENESIS, expected: Hash([2, ..]) })));
    assert!(fs::read(file(&folder)).unwrap() == ours);

    let mut newer = ours.clone();
    newer[16] = 9;
    let seal = blake3::keyed_hash(b"pleach/1/store/header           ", &newer[..64]);
    newer[64..80].copy_from_slice(&seal.as_bytes()[..16]);
    fs::write(file(&folder), &newer).unwrap();
    assert!(matches!(open(folder.path()), Err(OpenError::NewerFormat { found: 9, known: 3 })));
    assert!(matches!(fsck(folder.path(), |_| {}), Err(OpenError::NewerFormat { found: 9, known: 3 })));
    assert!(fs::read(file(&folder)).unwrap() == newer);

    for bytes in [&b""[..], b"a poem", &[0; 9_000]] {
        fs::write(file(&folder), bytes).unwrap();
        let refused = open(folder.path());
        assert!(matches!(&refused, Err(OpenError::Damaged(d)) if matches!(d[..], [Damage::Header(_)])), "{refused:?}");
        assert!(fs::read(file(&folder)).unwrap() == bytes);
    }
}

#[test]
fn a_beginning_that_was_interrupted_is_begun_again() {
    let folder = Folder::new();
    fs::write(folder.join("store.new"), b"half of a header").unwrap();
    let store = open(folder.path()).unwrap();
    assert!(store.position().is_none());
    assert!(!folder.join("store.new").exists());
}

#[test]
fn fsck_says_what_is_there_and_writes_nothing() {
    let folder = Folder::new();
    assert!(matches!(fsck(&folder.join("none"), |_| {}), Err(OpenError::Absent(_))));
    let mut world = World::new(1, Layout { bits: 2, held: 3 }, 60);
    let store = open(folder.path()).unwrap();
    world.install(&store, 0, 0, 2);
    let killed = Folder::new();
    for _ in 0..6 {
        let height = world.next();
        store.commit(&world.block(height, keep(height))).unwrap();
    }
    // As a kill would leave it: never closed.
    fs::copy(file(&folder), file(&killed)).unwrap();
    store.close().unwrap();
    for folder in [folder, killed] {
        let before = folder.contents();
        let mut last = None;
        let report = fsck(folder.path(), |progress| {
            assert!(progress.done <= progress.total);
            last = Some(progress);
        })
        .unwrap();
        assert!(report.is_sound(), "{:?}", report.damages);
        assert_eq!(report.position.unwrap().height(), 6);
        assert_eq!(report.records.rows, world.layout.part(&world.maps[&6]).len() as u64);
        assert_eq!(last.unwrap().done, report.rows);
        assert!(folder.contents() == before, "fsck wrote");
        open(folder.path()).unwrap();
    }
}

/// The blocks of the child and of the parent are the same: both make them from the seed.
fn killed_world() -> World {
    World::new(99, Layout { bits: 2, held: 2 }, 50)
}

/// Not a test by itself: the process that the next test kills. It says which height it has acknowledged.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(dir) = std::env::var("PLEACH_STORE_CHILD") else { return };
    let store = open(Path::new(&dir)).unwrap();
    let mut world = killed_world();
    if store.position().is_none() {
        world.install(&store, 0, 0, 2);
    }
    let stored = store.position().unwrap().height();
    loop {
        let height = world.next();
        if height > stored {
            store.commit(&world.block(height, keep(height))).unwrap();
            println!("acknowledged {height}");
            std::io::stdout().flush().unwrap();
        }
        world.maps.retain(|at, _| at + 5 > height);
        world.entries.retain(|at, _| at + 5 > height);
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = Folder::new();
    let mut acknowledged = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
            .env("PLEACH_STORE_CHILD", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 + round {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("acknowledged ")).unwrap();
            acknowledged = line.rsplit(' ').next().unwrap().parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = lines.map_while(Result::ok).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).max();
        acknowledged = rest.unwrap_or(0).max(acknowledged);
        let store = open(folder.path()).unwrap();
        let height = store.position().unwrap().height();
        assert!(height == acknowledged || height == acknowledged + 1, "{height} after {acknowledged}");
        let mut world = killed_world();
        while world.height() < height {
            world.next();
        }
        world.compare(&store, keep(height), &format!("killed after {acknowledged}"));
    }
}
