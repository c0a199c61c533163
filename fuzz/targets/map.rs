//! Batches of changes, with snapshots kept: the tree is the map it should be, its label and proofs are the oracle's, and
//! no version is touched by changes of another.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pleach_fuzz::oracle;
use pleach_fuzz::world::{self, World};
use pleach_tree::Path;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Keys with their new values, or removed.
    Apply(Vec<(u16, Option<u8>)>),
    /// Consecutive keys inserted.
    Fill(u16, u8, u8),
    /// Consecutive keys removed.
    Clear(u16, u8),
    /// The present version is kept.
    Keep,
    /// Changes go on from a version that was kept, in the place of the present one.
    Return(u8),
    /// A kept version is dropped.
    Drop(u8),
}

fuzz_target!(|steps: Vec<Step>| {
    let (mut present, mut kept) = (World::default(), Vec::<World>::new());
    for step in steps.iter().take(24) {
        match step {
            Step::Apply(changes) => present.apply(changes),
            Step::Fill(first, count, value) => {
                present.apply(&numbers(*first, *count).map(|key| (key, Some(*value))).collect::<Vec<_>>());
            }
            Step::Clear(first, count) => {
                present.apply(&numbers(*first, *count).map(|key| (key, None)).collect::<Vec<_>>());
            }
            Step::Keep => kept.push(present.clone()),
            Step::Return(at) if !kept.is_empty() => present = kept[usize::from(*at) % kept.len()].clone(),
            Step::Drop(at) if !kept.is_empty() => drop(kept.swap_remove(usize::from(*at) % kept.len())),
            Step::Return(_) | Step::Drop(_) => {}
        }
        assert_eq!(present.tree.root(), present.root());
        assert_eq!(*present.digests.root().as_bytes(), oracle::root(&present.planted));
        assert_eq!(present.tree.len(), present.records.len());
        assert_eq!(present.digests.len(), present.planted.len());
    }
    for version in kept.iter().chain([&present]) {
        check(version);
    }
});

fn numbers(first: u16, count: u8) -> impl Iterator<Item = u16> {
    (0..u16::from(count)).map(move |at| first.wrapping_add(at))
}

fn check(world: &World) {
    assert_eq!(world.tree.root(), world.root());
    let listed: Vec<_> = world.tree.iter().map(|(key, value)| (oracle::hash(key), oracle::hash(value))).collect();
    assert_eq!(listed, world.records.iter().map(|(path, digest)| (*path, *digest)).collect::<Vec<_>>());
    let listed: Vec<_> = world.digests.iter().map(|(path, digest)| (*path.as_bytes(), *digest.as_bytes())).collect();
    assert_eq!(listed, world.planted.iter().map(|(path, digest)| (*path, *digest)).collect::<Vec<_>>());
    let asked: Vec<u16> = (0..8).collect();
    for number in &asked {
        assert_eq!(world.tree.value_digest(&world::key(*number)), world.digest(*number));
    }
    assert_eq!(world.prove(&asked).proof().encode(), oracle::encode(&world.cut(&asked)));
    let paths: Vec<_> = asked.iter().map(|number| world::planted(32 * number)).collect();
    let proof = world.digests.prove(paths.iter().map(|path| Path::from_bytes(*path)));
    assert_eq!(proof.encode(), oracle::encode(&oracle::cut(&oracle::build(&world.planted), &paths)));
}
