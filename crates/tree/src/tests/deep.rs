//! Keys whose paths part late: threats M6 and M8.

use pleach_testkit::{replay, seeds};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{digest, oracle, plant};
use crate::{Label, LabelKind, Path, Proof, ProofLimits, Tree};

/// `path` with the bit at `depth` turned over.
fn parting_at(path: [u8; 32], depth: usize) -> [u8; 32] {
    let mut other = path;
    other[depth / 8] ^= 128 >> (depth % 8);
    other
}

fn check(tree: &Tree, records: &oracle::Records, paths: &[[u8; 32]], context: &str) {
    let full = oracle::build(records);
    assert_eq!(tree.root().as_bytes(), &oracle::label(&full), "{context}");
    assert_eq!(tree.len(), records.len(), "{context}");
    let bytes = tree.prove_paths(paths.iter().copied().map(Path::from_bytes).collect()).encode();
    assert_eq!(bytes, oracle::encode(&oracle::cut(&full, paths)), "{context}");
    let claim = Proof::decode(&bytes, &ProofLimits::default()).expect("an honest proof decodes");
    let proof = claim.verify(tree.root()).expect("an honest proof verifies");
    for path in paths {
        let said = proof.get_path(&Path::from_bytes(*path)).expect("a proved path is decided");
        assert_eq!(said.map(<[u8; 32]>::from), records.get(path).copied(), "{context}");
    }
}

#[test]
fn two_keys_may_part_at_any_depth() {
    let one = StdRng::seed_from_u64(3).random();
    for depth in [0, 1, 7, 8, 63, 128, 253, 254, 255] {
        let other = parting_at(one, depth);
        let mut tree = Tree::new();
        plant(&mut tree, [(one, Some(1)), (other, Some(2))]);
        let records = oracle::Records::from([(one, digest(1)), (other, digest(2))]);
        let third = parting_at(one, 254);
        check(&tree, &records, &[one, other, third], &format!("depth {depth}"));
        let mut one_by_one = Tree::new();
        plant(&mut one_by_one, [(other, Some(2))]);
        plant(&mut one_by_one, [(one, Some(1))]);
        assert_eq!(one_by_one, tree, "depth {depth}");
        plant(&mut tree, [(other, None)]);
        assert_eq!(tree.root().kind(), LabelKind::Leaf, "depth {depth}: the neighbour moves up all the way");
        plant(&mut tree, [(one, None), (other, None)]);
        assert_eq!(tree.root(), Label::EMPTY, "depth {depth}");
    }
}

/// The deepest comb there is: one key parting from the first at every depth.
#[test]
fn a_full_comb_grows_and_shrinks() {
    let one: [u8; 32] = StdRng::seed_from_u64(4).random();
    let paths: Vec<_> = (0..256).map(|depth| parting_at(one, depth)).chain([one]).collect();
    let mut tree = Tree::new();
    plant(&mut tree, paths.iter().map(|path| (*path, Some(5))));
    let mut records: oracle::Records = paths.iter().map(|path| (*path, digest(5))).collect();
    check(&tree, &records, &paths, "full");
    for batch in paths.chunks(40) {
        plant(&mut tree, batch.iter().map(|path| (*path, None)));
        records.retain(|path, _| !batch.contains(path));
        check(&tree, &records, &paths[..3], "shrinking");
    }
}

#[test]
fn random_histories_of_ground_paths_agree_with_the_oracle() {
    for seed in seeds(0..40) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut universe: Vec<[u8; 32]> = vec![rng.random()];
        for _ in 0..30 {
            let near = universe[rng.random_range(0..universe.len())];
            universe.push(parting_at(near, rng.random_range(0..256)));
        }
        let (mut tree, mut records) = (Tree::new(), oracle::Records::new());
        for block in 0..20 {
            let some = rng.random_range(0..10);
            let changes: Vec<_> = (0..some)
                .map(|_| (universe[rng.random_range(0..universe.len())], rng.random_bool(0.5).then(|| rng.random())))
                .collect();
            for (path, value) in &changes {
                match value {
                    Some(value) => records.insert(*path, digest(*value)),
                    None => records.remove(path),
                };
            }
            let before = tree.clone();
            let root = before.root();
            plant(&mut tree, changes);
            let proved: Vec<_> = (0..4).map(|_| universe[rng.random_range(0..universe.len())]).collect();
            check(&tree, &records, &proved, &format!("seed {seed}, block {block}"));
            assert_eq!(before.root(), root, "seed {seed}, block {block}");
        }
    }
}

/// Threat M8: a victim's path made as long as can be costs half a byte a level.
#[test]
fn empty_siblings_cost_two_bits() {
    let victim = [0; 32];
    let proof_len = |depth| {
        let mut tree = Tree::new();
        plant(&mut tree, [(victim, Some(1)), (parting_at(victim, depth), Some(2))]);
        tree.prove_paths(vec![Path::from_bytes(victim)]).encoded_len()
    };
    assert_eq!(proof_len(0), 1 + 128);
    assert_eq!(proof_len(255), 129 + 128);
}

/// Threat M8: whoever grinds keys beside a victim's lengthens the proofs of the victim and of the ground keys. Those of others
/// grow by no more than as many random records would make them.
#[test]
fn ground_paths_cost_their_neighbours_alone() {
    let mut rng = StdRng::seed_from_u64(8);
    let honest: Vec<[u8; 32]> = (0..500).map(|_| rng.random()).collect();
    let random: Vec<[u8; 32]> = (0..64).map(|_| rng.random()).collect();
    let ground: Vec<[u8; 32]> = (0..64).map(|depth| parting_at(honest[0], depth)).collect();
    let lengths = |more: &[[u8; 32]]| -> Vec<usize> {
        let mut tree = Tree::new();
        plant(&mut tree, honest.iter().chain(more).map(|path| (*path, Some(1))));
        honest.iter().map(|path| tree.prove_paths(vec![Path::from_bytes(*path)]).encoded_len()).collect()
    };
    let (alone, beside_random, beside_ground) = (lengths(&[]), lengths(&random), lengths(&ground));
    let sum = |lengths: &[usize]| lengths[1..].iter().sum::<usize>();
    assert!(sum(&beside_ground) <= sum(&beside_random), "others pay: {} bytes", sum(&beside_ground) - sum(&alone));
    // A leaf and some bits for each of the 64 levels: what the attacker has paid 2^64 hashes for.
    assert!(beside_ground[0] <= alone[0] + 64 * (64 + 1), "the victim's proof has {} bytes", beside_ground[0]);
}

/// Recursion goes as deep as a path is long and no deeper.
#[test]
fn the_deepest_tree_changes_on_a_small_stack() {
    let work = || {
        let mut tree = Tree::new();
        plant(&mut tree, [([0; 32], Some(1)), (parting_at([0; 32], 255), Some(2))]);
        plant(&mut tree, [([0; 32], None)]);
        assert_eq!(tree.len(), 1);
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(work).expect("a thread starts");
    thread.join().expect("256 KiB of stack are enough");
}
