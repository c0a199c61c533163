//! Honest proofs: what they decide, what they look like, and how they are cut and merged.

mod oracle;

use std::collections::BTreeSet;

use bytes::Bytes;
use oracle::{Records, hash};
use pleach_testkit::{replay, seeds};
use pleach_tree::{Label, MergeError, Path, Proof, ProofLimits, Tree, ValueDigest, VerifiedProof, VerifyError};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn key(number: u32) -> Bytes {
    format!("key {number}").into()
}

/// A random tree over a part of the universe, and what the oracle makes of it.
fn world(seed: u64) -> (StdRng, u32, Tree, oracle::Node) {
    let mut rng = StdRng::seed_from_u64(seed);
    let universe = [1, 2, 5, 20, 100, 500][seed as usize % 6];
    let present: Vec<_> =
        (0..universe).filter(|_| rng.random_bool(0.6)).map(|i| (key(i), Bytes::from(vec![7; i as usize]))).collect();
    let records: Records = present.iter().map(|(key, value)| (hash(key), hash(value))).collect();
    (rng, universe, present.into_iter().collect(), oracle::build(&records))
}

fn random_keys(rng: &mut StdRng, universe: u32) -> BTreeSet<Bytes> {
    let some = rng.random_range(0..=universe.min(12));
    (0..some).map(|_| key(rng.random_range(0..universe))).collect()
}

fn verified(tree: &Tree, keys: &BTreeSet<Bytes>) -> VerifiedProof {
    tree.prove(keys).verify(tree.root()).expect("an honest proof verifies")
}

#[test]
fn proofs_are_the_oracles_to_the_byte_and_decide_what_they_show() {
    for seed in seeds(0..200) {
        let _replay = replay(seed);
        let (mut rng, universe, tree, full) = world(seed);
        let keys = random_keys(&mut rng, universe);
        let paths: Vec<_> = keys.iter().map(|key| hash(key)).collect();
        let naive = oracle::cut(&full, &paths);
        let proof = tree.prove(&keys);
        let bytes = proof.encode();
        assert_eq!(bytes, oracle::encode(&naive), "seed {seed}");
        assert_eq!(proof.encoded_len(), bytes.len(), "seed {seed}");
        let decoded = Proof::decode(&bytes, &ProofLimits::default()).expect("an honest proof decodes");
        assert_eq!(decoded, proof, "seed {seed}");
        assert_eq!((decoded.root(), tree.root()), (tree.root(), oracle::label(&full).into()), "seed {seed}");
        let proof = decoded.verify(tree.root()).expect("an honest proof verifies");
        for key in (0..universe + 20).map(key) {
            let said = proof.get(&key).ok().map(|digest| digest.map(<[u8; 32]>::from));
            assert_eq!(said, oracle::lookup(&naive, &hash(&key)), "seed {seed}, {key:?}");
            if keys.contains(&key) {
                assert_eq!(
                    proof.get(&key),
                    Ok(tree.get(&key).map(|value| ValueDigest::of(value))),
                    "seed {seed}, {key:?}"
                );
            }
        }
        // Many keys at once, decided ones and others, in any order and twice.
        let some: Vec<_> = (0..rng.random_range(0..30)).map(|_| key(rng.random_range(0..universe + 20))).collect();
        let one_by_one: Result<Vec<_>, _> = some.iter().map(|key| proof.get(key)).collect();
        assert_eq!(proof.get_all(&some), one_by_one, "seed {seed}");
        let proved: Vec<_> = keys.iter().rev().chain(&keys).collect();
        let one_by_one: Result<Vec<_>, _> = proved.iter().map(|key| proof.get(key)).collect();
        assert_eq!((proof.get_all(&proved), one_by_one.is_ok()), (one_by_one, true), "seed {seed}");
    }
}

#[test]
fn order_and_repetition_of_keys_do_not_matter() {
    let (.., tree, _) = world(5);
    let proof = tree.prove([key(1), key(2), key(3)]);
    assert_eq!(tree.prove([key(3), key(1), key(2), key(3), key(1)]), proof);
}

#[test]
fn no_keys_of_a_larger_tree_are_proved_by_one_label() {
    let (.., tree, _) = world(5);
    let proof = tree.prove::<Bytes>([]);
    assert_eq!(proof.encode(), [&[0b1000_0000], tree.root().as_ref()].concat());
    assert!(proof.verify(tree.root()).expect("verifies").get(&key(0)).is_err());
}

#[test]
fn small_trees_are_shown_whole() {
    assert_eq!(Tree::new().prove([key(0)]).encode(), [0]);
    let empty = verified(&Tree::new(), &BTreeSet::new());
    assert_eq!((empty.root(), empty.get(&key(0))), (Label::EMPTY, Ok(None)));
    let tree = Tree::from_iter([(key(0), key(9))]);
    let single = verified(&tree, &BTreeSet::new());
    assert_eq!(single.proof().encoded_len(), 65);
    assert_eq!(single.get(&key(0)), Ok(Some(ValueDigest::of(&key(9)))));
    assert_eq!(single.get(&key(1)), Ok(None));
}

/// Threat M9: a proof is of one tree only.
#[test]
fn a_proof_is_refused_under_every_other_root() {
    let mut trees = vec![Tree::new()];
    for i in 0..20 {
        let mut next = trees[i as usize].clone();
        next.insert(key(i % 15), i.to_string());
        trees.push(next);
    }
    for (height, tree) in trees.iter().enumerate() {
        for (other, root) in trees.iter().map(Tree::root).enumerate() {
            let verdict = tree.prove([key(3)]).verify(root);
            assert_eq!(verdict.is_ok(), height == other);
            if height != other {
                assert_eq!(verdict, Err(VerifyError { expected: root, actual: tree.root() }));
            }
        }
    }
}

/// Proofs of trees of very different heights, the empty one among them, hashed together and one by one.
#[test]
fn many_proofs_are_hashed_as_each_alone() {
    assert_eq!(Proof::hash_many(Vec::new()), []);
    for seed in seeds(0..40) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let worlds: Vec<_> = (0..rng.random_range(1..20)).map(|_| world(rng.random_range(0..600))).collect();
        let claims: Vec<_> = worlds.iter().map(|(_, size, tree, _)| tree.prove(random_keys(&mut rng, *size))).collect();
        let hashed = Proof::hash_many(claims.clone());
        assert_eq!(hashed.len(), claims.len(), "seed {seed}");
        for ((hashed, claim), (.., tree, full)) in hashed.into_iter().zip(claims).zip(&worlds) {
            assert_eq!(hashed.root(), oracle::label(full).into(), "seed {seed}");
            assert_eq!((hashed.proof(), &claim.clone().hash()), (&claim, &hashed), "seed {seed}");
            let other = Label::from_bytes([7; 32]);
            let refused = hashed.clone().against(other);
            assert_eq!(refused, Err(VerifyError { expected: other, actual: tree.root() }), "seed {seed}");
            assert_eq!(hashed.against(tree.root()), claim.verify(tree.root()), "seed {seed}");
        }
    }
}

#[test]
fn a_restricted_proof_is_the_proof_of_fewer_keys() {
    for seed in seeds(0..200) {
        let _replay = replay(seed);
        let (mut rng, universe, tree, _) = world(seed);
        let keys = random_keys(&mut rng, universe);
        let fewer: BTreeSet<_> = keys.iter().filter(|_| rng.random_bool(0.5)).cloned().collect();
        let proof = verified(&tree, &keys);
        assert_eq!(proof.restrict(&fewer), verified(&tree, &fewer), "seed {seed}");
        assert_eq!(proof.restrict(&keys), proof, "seed {seed}");
        let more: BTreeSet<_> = (0..universe).map(key).collect();
        let decided = more.iter().filter(|key| proof.get(key).is_ok());
        let widest = proof.restrict(&more);
        assert_eq!(widest, proof.restrict(decided), "seed {seed}");
        assert_eq!(widest.proof().root(), tree.root(), "seed {seed}");
        let bytes = widest.proof().encode();
        assert_eq!(Proof::decode(&bytes, &ProofLimits::default()).as_ref(), Ok(widest.proof()), "seed {seed}");
    }
}

#[test]
fn merged_proofs_are_the_proof_of_all_keys() {
    for seed in seeds(0..200) {
        let _replay = replay(seed);
        let (mut rng, universe, tree, _) = world(seed);
        let (some, others) = (random_keys(&mut rng, universe), random_keys(&mut rng, universe));
        let (left, right) = (verified(&tree, &some), verified(&tree, &others));
        let union = verified(&tree, &(&some | &others));
        assert_eq!(left.merge(&right).as_ref(), Ok(&union), "seed {seed}");
        assert_eq!(right.merge(&left).as_ref(), Ok(&union), "seed {seed}");
        assert_eq!(union.merge(&left).as_ref(), Ok(&union), "seed {seed}");
        assert_eq!(union.restrict(&some), left, "seed {seed}");
    }
}

/// Threat M10.
#[test]
fn proofs_of_different_trees_do_not_merge() {
    let (.., mut tree, _) = world(4);
    let before = verified(&tree, &BTreeSet::from([key(1)]));
    tree.insert(key(2), "other");
    let after = verified(&tree, &BTreeSet::from([key(2)]));
    assert_eq!(before.merge(&after), Err(MergeError { left: before.root(), right: after.root() }));
}

/// Threat M12: no key is decided because another one's path is there, unless the path really shows it.
#[test]
fn without_its_path_a_key_is_not_decided() {
    let tree: Tree = (0..2_000).map(|i| (key(i), key(i))).collect();
    // Far apart enough for no key to end in a leaf beside another one's path.
    let keys: Vec<_> = (0..200).map(|i| key(17 * i)).collect();
    let alone: Vec<_> = keys.iter().map(|key| verified(&tree, &BTreeSet::from([key.clone()]))).collect();
    let apart: Vec<_> = (0..keys.len())
        .filter(|&i| (0..keys.len()).all(|j| i == j || alone[j].get(&keys[i]).is_err()))
        .take(7)
        .map(|i| keys[i].clone())
        .collect();
    assert_eq!(apart.len(), 7);
    for subset in 0..1 << apart.len() {
        let chosen = |i: usize| subset >> i & 1 == 1;
        let shown = (0..apart.len()).filter(|&i| chosen(i)).map(|i| apart[i].clone()).collect();
        let proof = verified(&tree, &shown);
        for (i, key) in apart.iter().enumerate() {
            assert_eq!(proof.get(key).is_ok(), chosen(i), "subset {subset:b}, key {i}");
        }
    }
}

/// The worked example of the format's description is what the library makes.
#[test]
fn the_documented_example_is_true() {
    let document = include_str!("../../../docs/proof-format.md");
    let tree: Tree =
        ["alice", "bob", "carol", "dave", "erin"].map(|key| (Bytes::from(key), Bytes::from("1"))).into_iter().collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown: String = document.split_whitespace().collect();
    let proof = tree.prove(["bob", "zoe"]);
    for key in ["alice", "bob", "carol", "dave", "erin", "zoe"] {
        println!("path of {key}: {}", Path::of(key.as_bytes()));
    }
    println!("root: {}\nproof: {}", tree.root(), hex(&proof.encode()));
    assert!(shown.contains(&tree.root().to_string()));
    assert!(shown.contains(&hex(&proof.encode())));
}
