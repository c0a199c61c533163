//! What there is with paths of four bits, sampled: threat M2. With three bits everything is tried
//! (`small_world`).

use pleach_testkit::{replay, seeds, usual};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedMutRandom};

use super::{
    digest,
    oracle::{self, Node},
    plant,
};
use crate::{Path, Proof, ProofLimits, Tree};

fn path(number: u8) -> [u8; 32] {
    let mut path = [0; 32];
    path[0] = number << 4;
    path
}

fn members(set: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |number| set >> number & 1 == 1)
}

/// Something false in a node's place.
fn lie(rng: &mut StdRng, honest: &Node) -> Node {
    let number = rng.random_range(0..16);
    match (rng.random_range(0..8), honest) {
        (0, _) => Node::Empty,
        (1, _) => Node::Leaf(path(number), digest(number)),
        (2, _) => Node::Leaf(path(number), digest(99)),
        (3, _) => Node::Stub(oracle::label(honest)),
        (4, _) => Node::Stub(rng.random()),
        (_, Node::Internal(children)) => {
            let [left, right] = (**children).clone();
            match rng.random_range(0..3) {
                0 => oracle::internal(right, left),
                1 => left,
                _ => Node::Leaf(oracle::label(&left), oracle::label(&right)),
            }
        }
        (5, Node::Leaf(path, digest)) => oracle::internal(Node::Stub(*path), Node::Stub(*digest)),
        (_, Node::Leaf(path, _)) => Node::Leaf(*path, rng.random()),
        _ => oracle::internal(honest.clone(), Node::Empty),
    }
}

#[test]
fn sampled_trees_prove_what_they_hold_and_nothing_else() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in seeds(0..6_000) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let (set, keys): (u16, u16) = (rng.random(), rng.random::<u16>() & rng.random::<u16>());
        let mut tree = Tree::new();
        plant(&mut tree, members(rng.random()).map(|number| (path(number), Some(200))));
        plant(&mut tree, (0..16).map(|n| (path(n), (set >> n & 1 == 1).then_some(n))));
        let records = members(set).map(|number| (path(number), digest(number))).collect();
        let paths: Vec<_> = members(keys).map(path).collect();
        let naive = oracle::cut(&oracle::build(&records), &paths);
        let honest = tree.prove_paths(paths.iter().copied().map(Path::from_bytes).collect()).encode();
        assert_eq!(honest, oracle::encode(&naive), "seed {seed}");

        let mut changed = naive.clone();
        let place = rng.random_range(0..oracle::level_order(&naive).len());
        let place = oracle::node_mut(&mut changed, place);
        *place = lie(&mut rng, &place.clone());
        let mut flipped = honest.clone();
        *flipped.choose_mut(&mut rng).expect("not empty") ^= 1 << rng.random_range(0..8);
        for bytes in [oracle::encode(&changed), flipped] {
            let Ok(claim) = Proof::decode(&bytes, &ProofLimits::default()) else { continue };
            assert_eq!(claim.encode(), bytes, "seed {seed}");
            let Ok(proof) = claim.verify(tree.root()) else {
                refused += 1;
                continue;
            };
            // A stub in an internal node's place is no lie: it decides less. What is decided must be true.
            accepted += 1;
            for number in 0..16 {
                if let Ok(said) = proof.get_path(&Path::from_bytes(path(number))) {
                    assert_eq!(said.map(<[u8; 32]>::from), records.get(&path(number)).copied(), "seed {seed}");
                }
            }
        }
    }
    assert!(!usual() || (refused > 1_000 && accepted > 100), "{refused} refused, {accepted} accepted");
}
