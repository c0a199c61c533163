//! An accepted proof, changed: whatever is still accepted for the same root says nothing false.
//!
//! The changes are to bytes, and to nodes, where the encoding stays well formed and the attack goes further.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pleach_fuzz::oracle::{self, Node};
use pleach_fuzz::world::{self, World};
use pleach_tree::{Proof, ProofLimits};

#[derive(Arbitrary, Debug)]
struct Input {
    records: Vec<(u8, u8)>,
    proved: Vec<u8>,
    nodes: Vec<(u8, Lie)>,
    bytes: Vec<(u16, Change)>,
}

/// What is put in a node's place.
#[derive(Arbitrary, Debug)]
enum Lie {
    Empty,
    /// The node's own label: true, but perhaps not canonical.
    Stub,
    StubOf([u8; 32]),
    /// A known key with a value.
    Record(u8, u8),
    /// Its children exchanged.
    Swapped,
    /// A child in its place.
    Lifted(bool),
    /// Below an internal node, beside an empty one.
    Sunk(bool),
    /// A node's label and its sibling's, as a record.
    AsRecord,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Flip(u8),
    Set(u8),
    Insert(u8),
    Remove,
    Truncate,
    Copy(u16),
}

fuzz_target!(|input: Input| {
    let records: Vec<_> = input.records.iter().map(|(key, value)| (u16::from(*key), *value)).collect();
    let proved: Vec<_> = input.proved.iter().map(|key| u16::from(*key)).collect();
    let world = World::new(&records);
    let honest = world.prove(&proved).into_proof().encode();
    let mut naive = world.cut(&proved);
    assert_eq!(oracle::encode(&naive), honest);
    for (number, lie) in input.nodes.iter().take(4) {
        tell(&mut naive, usize::from(*number), lie);
    }
    let mut bytes = oracle::encode(&naive);
    for (at, change) in input.bytes.iter().take(4) {
        alter(&mut bytes, usize::from(*at), change);
    }
    let Ok(proof) = Proof::decode(&bytes, &ProofLimits::default()) else {
        assert_ne!(bytes, honest);
        return;
    };
    assert_eq!(proof.encode(), bytes);
    let Ok(verified) = proof.verify(world.root()) else {
        assert_ne!(bytes, honest);
        return;
    };
    let mentioned =
        input.nodes.iter().filter_map(|(_, lie)| if let Lie::Record(key, _) = lie { Some(*key) } else { None });
    let mut known: Vec<u16> = input.proved.iter().copied().chain(mentioned).chain(0..8).map(u16::from).collect();
    known.extend(records.iter().map(|(key, _)| key));
    known.retain(|number| verified.get(&world::key(*number)).is_ok());
    for number in &known {
        assert_eq!(verified.get(&world::key(*number)), Ok(world.digest(*number)), "key {number}");
    }
    // What is true may be less than what was honest, but it is the tree's own proof of what it decides.
    let restricted = verified.restrict(known.iter().map(|number| world::key(*number)));
    assert_eq!(restricted, world.prove(&known));
});

fn tell(naive: &mut Node, number: usize, lie: &Lie) {
    let count = oracle::level_order(naive).len();
    let node = oracle::node_mut(naive, number % count);
    let old = node.clone();
    *node = match (lie, old) {
        (Lie::Empty, _) => Node::Empty,
        (Lie::Stub, old) => Node::Stub(oracle::label(&old)),
        (Lie::StubOf(label), _) => Node::Stub(*label),
        (Lie::Record(key, value), _) => Node::Leaf(world::path((*key).into()), oracle::hash(&world::value(*value))),
        (Lie::Swapped, Node::Internal(children)) => {
            let [left, right] = *children;
            oracle::internal(right, left)
        }
        (Lie::Lifted(side), Node::Internal(children)) => {
            let [left, right] = *children;
            if *side { right } else { left }
        }
        (Lie::Sunk(true), old) => oracle::internal(Node::Empty, old),
        (Lie::Sunk(false), old) => oracle::internal(old, Node::Empty),
        (Lie::AsRecord, Node::Internal(children)) => {
            Node::Leaf(oracle::label(&children[0]), oracle::label(&children[1]))
        }
        (Lie::AsRecord, Node::Leaf(path, digest)) => oracle::internal(Node::Stub(path), Node::Stub(digest)),
        (Lie::Swapped | Lie::Lifted(_) | Lie::AsRecord, old) => old,
    };
}

fn alter(bytes: &mut Vec<u8>, at: usize, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    match change {
        Change::Flip(bit) => bytes[at] ^= 1 << (bit % 8),
        Change::Set(byte) => bytes[at] = *byte,
        Change::Insert(byte) => bytes.insert(at, *byte),
        Change::Remove => drop(bytes.remove(at)),
        Change::Truncate => bytes.truncate(at),
        Change::Copy(from) => bytes[at] = bytes[usize::from(*from) % bytes.len()],
    }
}
