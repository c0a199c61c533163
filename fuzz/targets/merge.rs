//! Proofs of one tree, merged and cut down, are what the tree itself would have proved; proofs of two trees do not merge.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pleach_fuzz::oracle;
use pleach_fuzz::world::{self, World};
use pleach_tree::{Proof, ProofLimits};

#[derive(Arbitrary, Debug)]
struct Input {
    records: Vec<(u16, u8)>,
    proved: [Vec<u16>; 3],
    kept: Vec<u16>,
    change: (u16, Option<u8>),
}

fuzz_target!(|input: Input| {
    let world = World::new(&input.records);
    assert_eq!(world.tree.root(), world.root());
    let proofs = input.proved.each_ref().map(|numbers| world.prove(numbers));
    let all: Vec<u16> = input.proved.iter().flatten().copied().collect();
    let merged = proofs[0].merge(&proofs[1]).and_then(|both| both.merge(&proofs[2])).expect("one tree");
    assert_eq!(merged.proof().encode(), oracle::encode(&world.cut(&all)));
    assert_eq!(merged, world.prove(&all));
    assert_eq!(proofs[2].merge(&proofs[1]).and_then(|both| both.merge(&proofs[0])).as_ref(), Ok(&merged));
    assert_eq!(merged.merge(&merged).as_ref(), Ok(&merged));

    let decided: Vec<u16> = input.kept.iter().copied().filter(|n| merged.get(&world::key(*n)).is_ok()).collect();
    let restricted = merged.restrict(input.kept.iter().map(|number| world::key(*number)));
    assert_eq!(restricted.proof().encode(), oracle::encode(&world.cut(&decided)));
    for number in &decided {
        assert_eq!(restricted.get(&world::key(*number)), Ok(world.digest(*number)));
    }
    let limits = ProofLimits { max_bytes: usize::MAX, max_leaves: usize::MAX, max_nodes: usize::MAX };
    let again = Proof::decode(&merged.proof().encode(), &limits).expect("its own encoding");
    assert_eq!(again.verify(world.root()).as_ref(), Ok(&merged));

    let mut other = world.clone();
    other.apply(&[input.change]);
    let foreign = other.prove(&all);
    assert_eq!(merged.merge(&foreign).is_ok(), other.root() == world.root());
});
