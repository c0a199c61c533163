//! Everything there is with paths of three bits: threat M2.

use std::collections::BTreeMap;

use super::{
    digest,
    oracle::{self, Node},
    plant,
};
use crate::{Label, Path, Proof, ProofLimits, Tree};

const PATHS: u8 = 8;

fn path(number: u8) -> [u8; 32] {
    let mut path = [0; 32];
    path[0] = number << 5;
    path
}

/// The members of a set of paths, given by its bits.
fn members(set: u8) -> impl Iterator<Item = u8> {
    (0..PATHS).filter(move |number| set >> number & 1 == 1)
}

fn records(set: u8) -> oracle::Records {
    members(set).map(|number| (path(number), digest(number))).collect()
}

fn tree(set: u8) -> Tree {
    let mut tree = Tree::new();
    plant(&mut tree, members(set).map(|number| (path(number), Some(number))));
    tree
}

fn paths(set: u8) -> Vec<Path> {
    members(set).map(|number| Path::from_bytes(path(number))).collect()
}

#[test]
fn every_tree_turns_into_every_other() {
    let roots: Vec<Label> = (0..=255).map(|set| oracle::root(&records(set)).into()).collect();
    for from in 0..=255 {
        let start = tree(from);
        for to in 0..=255u8 {
            let mut tree = start.clone();
            plant(&mut tree, (0..PATHS).map(|number| (path(number), (to >> number & 1 == 1).then_some(number))));
            assert_eq!(tree.root(), roots[usize::from(to)], "{from:08b} to {to:08b}");
            assert_eq!(tree.len(), to.count_ones() as usize, "{from:08b} to {to:08b}");
        }
        assert_eq!(start.root(), roots[usize::from(from)]);
    }
}

#[test]
fn every_proof_of_every_tree_is_the_oracles() {
    for set in 0..=255 {
        let (tree, full) = (tree(set), oracle::build(&records(set)));
        for keys in 0..=255 {
            let naive = oracle::cut(&full, &members(keys).map(path).collect::<Vec<_>>());
            let proof = tree.prove_paths(paths(keys));
            assert_eq!(proof.encode(), oracle::encode(&naive), "{keys:08b} of {set:08b}");
            let proof = proof.verify(tree.root()).expect("an honest proof verifies");
            for number in 0..PATHS {
                let said = proof.get_path(&Path::from_bytes(path(number))).ok();
                let shown = oracle::lookup(&naive, &path(number));
                assert_eq!(said.map(|digest| digest.map(<[u8; 32]>::from)), shown, "{keys:08b} of {set:08b}");
                assert!(said.is_some() || keys >> number & 1 == 0, "{keys:08b} of {set:08b}");
            }
        }
    }
}

#[test]
fn every_two_proofs_merge_and_come_apart_again() {
    for set in (0..=255).step_by(5) {
        let tree = tree(set);
        let proofs: Vec<_> =
            (0..=255).map(|keys| tree.prove_paths(paths(keys)).verify(tree.root()).expect("verifies")).collect();
        for (left, right) in (0..=255u8).flat_map(|left| (0..=255u8).step_by(7).map(move |right| (left, right))) {
            let [one, other, both] = [left, right, left | right].map(|keys| &proofs[usize::from(keys)]);
            assert_eq!(one.merge(other).as_ref(), Ok(both), "{left:08b}, {right:08b} of {set:08b}");
            assert_eq!(&both.restrict_paths(paths(right)), other, "{left:08b}, {right:08b} of {set:08b}");
        }
    }
}

/// All proofs there are of a tree, by their encoding.
fn proofs(set: u8) -> BTreeMap<Vec<u8>, Node> {
    let full = oracle::build(&records(set));
    let cut = |keys| oracle::cut(&full, &members(keys).map(path).collect::<Vec<_>>());
    (0..=255).map(cut).map(|naive| (oracle::encode(&naive), naive)).collect()
}

/// Asserts that these bytes verify only if they are one of the tree's proofs.
fn assert_verdict(bytes: &[u8], proofs: &BTreeMap<Vec<u8>, Node>, root: Label, context: impl Fn() -> String) {
    let claim = Proof::decode(bytes, &ProofLimits::default());
    if let Ok(claim) = &claim {
        assert_eq!(claim.encode(), bytes, "{}", context());
    }
    let verifies = claim.is_ok_and(|claim| claim.verify(root).is_ok());
    assert_eq!(verifies, proofs.contains_key(bytes), "{}", context());
}

/// What an adversary could put in a node's place.
fn lies(honest: &Node) -> Vec<Node> {
    let mut lies = vec![Node::Empty, Node::Stub(oracle::label(honest))];
    for number in 0..PATHS {
        lies.push(Node::Leaf(path(number), digest(number)));
        lies.push(Node::Leaf(path(number), digest(99)));
        lies.push(Node::Leaf(path(number), oracle::label(honest)));
    }
    if let Node::Internal(children) = honest {
        let [left, right] = (**children).clone();
        lies.push(oracle::internal(right.clone(), left.clone()));
        lies.push(Node::Leaf(oracle::label(&left), oracle::label(&right)));
        lies.extend([left, right]);
    }
    if let Node::Leaf(path, digest) = honest {
        lies.push(oracle::internal(Node::Stub(*path), Node::Stub(*digest)));
        lies.push(Node::Stub(*path));
        lies.push(oracle::internal(honest.clone(), Node::Empty));
    }
    lies
}

/// A stub in an internal node's place is no lie but another proof of the tree, one that decides less.
#[test]
fn no_changed_node_verifies() {
    for set in 0..=255 {
        let (root, proofs) = (tree(set).root(), proofs(set));
        for naive in proofs.values() {
            for place in 0..oracle::level_order(naive).len() {
                for lie in lies(oracle::level_order(naive)[place]) {
                    let mut changed = naive.clone();
                    *oracle::node_mut(&mut changed, place) = lie;
                    let bytes = oracle::encode(&changed);
                    assert_verdict(&bytes, &proofs, root, || format!("{set:08b}, node {place} of {naive:?}"));
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_verifies() {
    let mut flips = 0;
    for set in 0..=255 {
        let (root, proofs) = (tree(set).root(), proofs(set));
        for honest in proofs.keys() {
            let mut bytes = honest.clone();
            for bit in 0..8 * honest.len() {
                bytes[bit / 8] ^= 128 >> (bit % 8);
                assert_verdict(&bytes, &proofs, root, || format!("{set:08b}, bit {bit} of {honest:02x?}"));
                bytes[bit / 8] ^= 128 >> (bit % 8);
                flips += 1;
            }
        }
    }
    assert!(flips > 1_000_000, "{flips} flips");
}
