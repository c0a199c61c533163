//! Proofs made by an adversary. Ids refer to the threat register.

mod oracle;

use std::{collections::BTreeMap, thread};

use bytes::Bytes;
use oracle::{Node, Records, chain, hash, internal};
use pleach_testkit::{replay, seeds};
use pleach_tree::{DecodeError, Label, LabelKind, Path, Prefix, Proof, ProofLimits, Tree, ValueDigest};
use rand::{Rng, SeedableRng, rngs::StdRng};

const LIMITS: ProofLimits = ProofLimits { max_bytes: 1 << 24, max_leaves: 1 << 20, max_nodes: 1 << 26 };

fn key(number: u32) -> Bytes {
    format!("key {number}").into()
}

fn tree(len: u32) -> Tree {
    (0..len).map(|i| (key(i), key(i + 1))).collect()
}

fn decode(bytes: &[u8]) -> Result<Proof, DecodeError> {
    let decoded = Proof::decode(bytes, &LIMITS);
    if let Ok(proof) = &decoded {
        assert_eq!(proof.encode(), bytes, "accepted bytes that are not canonical");
    }
    decoded
}

fn refusal(node: &Node) -> DecodeError {
    decode(&oracle::encode(node)).expect_err("a wrong shape is refused")
}

/// A leaf whose path starts with these bits.
fn leaf(prefix: &str) -> Node {
    let mut path = [0; 32];
    path[..prefix.len().div_ceil(8)].copy_from_slice(&oracle::pack(prefix));
    Node::Leaf(path, [9; 32])
}

fn stub(byte: u8) -> Node {
    Node::Stub([byte; 32])
}

/// Threats M3 and M4: no bit is ignored.
#[test]
fn every_flipped_bit_is_noticed() {
    for len in [0, 1, 2, 3, 10, 60, 300] {
        let tree = tree(len);
        for keys in [vec![], vec![key(0)], vec![key(1_000)], vec![key(0), key(1), key(1_001), key(5)]] {
            let bytes = tree.prove(&keys).encode();
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(proof) = decode(&flipped) {
                    assert!(proof.verify(tree.root()).is_err(), "{len} records, keys {keys:?}, bit {bit}");
                }
            }
        }
    }
}

/// Threat M3, in volume: proofs of random keys of random trees, every bit of each. The threat register asks for `PLEACH_RUNS=100000` of
/// them, which takes minutes in release.
#[test]
fn no_bit_of_random_proofs_is_ignored() {
    let proofs = seeds(0..200);
    let check = |seed: u64| {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, len) = (rng.random_range(0..1 << 30), rng.random_range(0..24));
        let tree: Tree = (first..first + len).map(|i| (key(i), key(i + 1))).collect();
        let keys: Vec<_> = (0..rng.random_range(0..4)).map(|_| key(first + rng.random_range(0..2 * len + 1))).collect();
        let honest = tree.prove(&keys).encode();
        let mut bytes = honest.clone();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = decode(&bytes).is_ok_and(|claim| claim.verify(tree.root()).is_ok());
            assert!(!accepted, "seed {seed}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(bytes, honest);
    };
    thread::scope(|scope| {
        for half in 0..2 {
            let proofs = proofs.clone();
            scope.spawn(move || proofs.filter(|seed| seed % 2 == half).for_each(check));
        }
    });
}

/// Threat M4.
#[test]
fn every_other_length_is_refused() {
    let bytes = tree(50).prove([key(3), key(70)]).encode();
    for len in 0..bytes.len() {
        let error = decode(&bytes[..len]).expect_err("truncated");
        let tags_only = matches!(error, DecodeError::TruncatedTags { actual, .. } if actual == len);
        let expected = DecodeError::TruncatedPayload { expected: bytes.len(), actual: len };
        assert!(tags_only || error == expected, "{len} bytes: {error}");
    }
    for more in [1, 2, 32, 64] {
        let (expected, actual) = (bytes.len(), bytes.len() + more);
        let longer = [bytes.clone(), vec![0; more]].concat();
        assert_eq!(decode(&longer), Err(DecodeError::TrailingBytes { expected, actual }));
    }
    assert_eq!(decode(&[]), Err(DecodeError::TruncatedTags { node: 0, actual: 0 }));
}

#[test]
fn padding_must_be_zero() {
    assert_eq!(decode(&[0b0000_0001]), Err(DecodeError::Padding { bits: 1 }));
    assert_eq!(decode(&[0b0010_0000]), Err(DecodeError::Padding { bits: 0b10_0000 }));
    assert!(decode(&[0]).is_ok());
}

/// Threat M5: one encoding for what can be said in one way only.
#[test]
fn each_wrong_shape_is_refused_by_name() {
    let good = || internal(leaf("00"), leaf("01"));
    assert!(decode(&oracle::encode(&internal(good(), stub(1)))).is_ok());
    let cases = [
        (internal(Node::Empty, Node::Empty), DecodeError::EmptySiblings { left: 1 }),
        (internal(good(), internal(Node::Empty, Node::Empty)), DecodeError::EmptySiblings { left: 5 }),
        (internal(Node::Empty, leaf("1")), DecodeError::LoneLeaf { left: 1 }),
        (internal(leaf("0"), Node::Empty), DecodeError::LoneLeaf { left: 1 }),
        (internal(stub(1), stub(2)), DecodeError::StubSiblings { left: 1 }),
        (internal(stub(0), leaf("1")), DecodeError::EmptyStub { node: 1 }),
        (Node::Stub([0; 32]), DecodeError::EmptyStub { node: 0 }),
        (internal(leaf("0"), stub(0x80)), DecodeError::LeafStub { node: 2 }),
        (Node::Stub([0xff; 32]), DecodeError::LeafStub { node: 0 }),
    ];
    for (node, error) in cases {
        assert_eq!(refusal(&node), error, "{node:?}");
    }
}

#[test]
fn a_leaf_off_its_path_is_refused() {
    for (left, right, node) in [("1", "1", 1), ("0", "0", 2), ("1", "0", 1)] {
        let error = refusal(&internal(leaf(left), leaf(right)));
        assert!(matches!(error, DecodeError::MisplacedLeaf { node: there, .. } if there == node), "{error}");
    }
    let deep = internal(internal(leaf("00"), leaf("11")), stub(1));
    assert!(matches!(refusal(&deep), DecodeError::MisplacedLeaf { node: 4, .. }));
    let Node::Leaf(path, _) = leaf("11") else { unreachable!("leaf makes leaves") };
    assert_eq!(refusal(&deep), DecodeError::MisplacedLeaf { node: 4, path: Path::from_bytes(path) });
}

/// Threat M6.
#[test]
fn depth_ends_where_paths_end() {
    let zeros = Node::Leaf([0; 32], [9; 32]);
    let mut last = [0; 32];
    last[31] = 1;
    let twins = internal(zeros, Node::Leaf(last, [8; 32]));
    assert!(decode(&oracle::encode(&chain(255, &Node::Empty, twins.clone()))).is_ok());
    assert!(matches!(refusal(&chain(254, &Node::Empty, twins.clone())), DecodeError::MisplacedLeaf { .. }));
    assert_eq!(refusal(&chain(256, &Node::Empty, twins)), DecodeError::TooDeep { node: 511 });
    assert!(decode(&oracle::encode(&chain(255, &Node::Empty, stub(1)))).is_ok());
    assert_eq!(refusal(&chain(256, &Node::Empty, stub(1))), DecodeError::TooDeep { node: 511 });
}

fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(64 << 10).spawn(work).expect("a thread starts");
    thread.join().expect("64 KiB of stack are enough");
}

/// Threat M7: a million levels.
#[test]
fn nested_bombs_are_refused_on_a_small_stack() {
    on_small_stack(|| {
        // The root, then a million times an internal node beside an empty one, either way round.
        for level in ["1100", "0011"] {
            let bits = "11".to_owned() + &level.repeat(1_000_000);
            let error = decode(&oracle::pack(&bits)).expect_err("too deep");
            assert!(matches!(error, DecodeError::TooDeep { .. }), "{error}");
        }
        let deepest = oracle::pack(&("11".to_owned() + &"1100".repeat(254) + "1000"));
        let proof = decode(&[deepest, vec![1; 32]].concat()).expect("256 levels are not too many");
        assert_ne!(proof.root(), Label::EMPTY);
    });
}

/// Threat M7: levels as wide as the input, and counts that lie.
#[test]
fn wide_bombs_are_refused_on_a_small_stack() {
    on_small_stack(|| {
        let all_internal = vec![0xff; 1 << 20];
        assert!(matches!(decode(&all_internal), Err(DecodeError::TruncatedTags { .. })));
        let few = ProofLimits { max_nodes: 1_000, ..LIMITS };
        let refused = Err(DecodeError::TooManyNodes { announced: 1_001, limit: 1_000 });
        assert_eq!(Proof::decode(&all_internal, &few), refused);
        // A level of 2^20 nodes, all internal, over two million leaves that are not there.
        let mut bits = "11".repeat((1 << 21) - 1);
        bits += &"01".repeat(1 << 21);
        let many = ProofLimits { max_leaves: usize::MAX, ..LIMITS };
        let (bytes, expected) = (oracle::pack(&bits), (1 << 20) + (64 << 21));
        let refused = Err(DecodeError::TruncatedPayload { expected, actual: 1 << 20 });
        assert_eq!(Proof::decode(&bytes, &many), refused);
        assert_eq!(decode(&bytes), Err(DecodeError::TooManyLeaves { limit: 1 << 20 }));
    });
}

#[test]
fn limits_are_exact() {
    let tree = tree(100);
    let proof = tree.prove([key(1), key(2), key(3)]);
    let bytes = proof.encode();
    let order = oracle_counts(&bytes);
    let exact = ProofLimits { max_bytes: bytes.len(), max_leaves: order.0, max_nodes: order.1 };
    assert_eq!(Proof::decode(&bytes, &exact), Ok(proof));
    let limit = bytes.len() - 1;
    let short = Proof::decode(&bytes, &ProofLimits { max_bytes: limit, ..exact });
    assert_eq!(short, Err(DecodeError::TooLong { actual: bytes.len(), limit }));
    let limit = order.0 - 1;
    let few = Proof::decode(&bytes, &ProofLimits { max_leaves: limit, ..exact });
    assert_eq!(few, Err(DecodeError::TooManyLeaves { limit }));
    let limit = order.1 - 1;
    let small = Proof::decode(&bytes, &ProofLimits { max_nodes: limit, ..exact });
    assert_eq!(small, Err(DecodeError::TooManyNodes { announced: order.1, limit }));
}

/// Leaves and nodes of the honest proof in `limits_are_exact`, by the oracle.
fn oracle_counts(bytes: &[u8]) -> (usize, usize) {
    let records: Records = (0..100).map(|i| (hash(&key(i)), hash(&key(i + 1)))).collect();
    let naive = oracle::cut(&oracle::build(&records), &[1, 2, 3].map(|i| hash(&key(i))));
    assert_eq!(oracle::encode(&naive), bytes);
    let order = oracle::level_order(&naive);
    (order.iter().filter(|node| matches!(node, Node::Leaf(..))).count(), order.len())
}

/// Threat M1: the attacker owns a record whose leaf has for row (its path, label of a forged leaf),
/// as if finding such a value cost nothing. Read as an internal node, that row is a proof of the forgery.
#[test]
fn a_leaf_does_not_pass_for_an_internal_node() {
    let mut rng = StdRng::seed_from_u64(1);
    for case in 0..200 {
        let mut forged: [u8; 32] = rng.random();
        let mut owned: [u8; 32] = rng.random();
        // The attacker's leaf stands at depth 1 on the left, the forged one below it on the right.
        (forged[0], owned[0]) = (0b0100_0000 | forged[0] & 0x3f, owned[0] & 0x7f);
        let forged_leaf = Node::Leaf(forged, ValueDigest::of(b"a million").into());
        let records: Records = BTreeMap::from([(owned, oracle::label(&forged_leaf)), ([0xff; 32], [3; 32])]);
        let honest = oracle::build(&records);
        let root = Label::from_bytes(oracle::label(&honest));
        let false_proof = internal(internal(Node::Stub(owned), forged_leaf), Node::Leaf([0xff; 32], [3; 32]));
        assert!(decode(&oracle::encode(&honest)).expect("honest").verify(root).is_ok(), "case {case}");
        let claim = decode(&oracle::encode(&false_proof)).expect("its form is right");
        assert!(claim.verify(root).is_err(), "case {case}");
    }
}

/// Threat M1, for every length of a value: the attacker chooses key and value so that whatever 64 bytes of the
/// record are taken for two labels, the second one is that of the record to be forged. Neither that nor the record's own
/// row passes for an internal node; and of the forged key, all partitions say the same.
#[test]
fn a_value_of_any_length_is_no_way_to_forge_a_record() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut partitions = 0;
    for length in 0..=256usize {
        let victim = Bytes::from(format!("victim {length}"));
        let target = hash(&victim);
        let forged = Node::Leaf(target, hash(b"a million"));
        // As long a value as asked for that ends with the forged leaf's label, or as much of it as there is room for.
        let label = oracle::label(&forged);
        let mut value: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        let tail = length.min(32);
        value[length - tail..].copy_from_slice(&label[32 - tail..]);
        // A key whose leaf ends the victim's path, found by trying, and others.
        let others: Vec<Bytes> = (0..6).map(|other| Bytes::from(format!("other {length} {other}"))).collect();
        let tree_with =
            |own: &Bytes| others.iter().chain([own]).map(|key| (key.clone(), value.clone().into())).collect::<Tree>();
        let own = (0..)
            .map(|number| Bytes::from(format!("own {number}")))
            .find(|own| {
                let records: Records = others.iter().chain([own]).map(|key| (hash(key), hash(&value))).collect();
                terminal(&oracle::cut(&oracle::build(&records), &[target]), &target) == Some(hash(own))
            })
            .expect("some key does");
        let tree = tree_with(&own);
        let records: Records = tree.iter().map(|(key, value)| (hash(key), hash(value))).collect();
        let honest = oracle::cut(&oracle::build(&records), &[target]);

        let serialized = [&own[..], &value].concat();
        let counted = [&(own.len() as u64).to_le_bytes(), &own[..], &(length as u64).to_le_bytes(), &value].concat();
        let row = [hash(&own), hash(&value)].concat();
        for bytes in [serialized, counted, row, value.clone()] {
            let Some(last) = bytes.len().checked_sub(64) else { continue };
            for first in [0, last] {
                let half = |at: usize| <[u8; 32]>::try_from(&bytes[at..at + 32]).expect("32 bytes");
                for beside in [half(first), half(first + 32)] {
                    for children in [[Node::Stub(beside), forged.clone()], [forged.clone(), Node::Stub(beside)]] {
                        let mut lie = honest.clone();
                        let own_leaf = Node::Leaf(hash(&own), hash(&value));
                        let place = oracle::level_order(&lie).iter().position(|node| **node == own_leaf);
                        let [left, right] = children;
                        *oracle::node_mut(&mut lie, place.expect("it ends the path")) = internal(left, right);
                        if let Ok(claim) = decode(&oracle::encode(&lie)) {
                            assert!(claim.verify(tree.root()).is_err(), "values of {length} bytes");
                        }
                    }
                }
            }
        }

        let proof = tree.prove([&victim]).verify(tree.root()).expect("an honest proof");
        for _ in 0..4 {
            let prefix = Prefix::new(Path::from_bytes(rng.random()), rng.random_range(0..4));
            let partition = tree.partition([prefix]).verify(tree.root()).expect("an honest partition");
            let extended = partition.extend(&proof, &victim).expect("of the same tree");
            assert_eq!(extended.get(&victim), Ok(None), "values of {length} bytes");
            partitions += 1;
        }
    }
    assert!(partitions > 1_000);
}

/// The path of the leaf where this path ends, if it is one.
fn terminal(mut node: &Node, path: &[u8; 32]) -> Option<[u8; 32]> {
    for depth in 0.. {
        match node {
            Node::Internal(children) => node = &children[usize::from(oracle::bit(path, depth))],
            Node::Leaf(path, _) => return Some(*path),
            _ => return None,
        }
    }
    None
}

/// Threat M1, the registry: what is hashed is 64 bytes for every kind of node, and no label is of two kinds.
#[test]
fn a_label_is_of_one_kind() {
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..1_000 {
        let halves: [[u8; 32]; 2] = [rng.random(), rng.random()];
        let leaf = Label::from_bytes(oracle::label(&Node::Leaf(halves[0], halves[1])));
        let inner = Label::from_bytes(oracle::label(&internal(Node::Stub(halves[0]), Node::Stub(halves[1]))));
        assert_eq!(
            [leaf.kind(), inner.kind(), Label::EMPTY.kind()],
            [LabelKind::Leaf, LabelKind::Internal, LabelKind::Empty]
        );
        assert_ne!(leaf, inner, "one preimage, two kinds");
    }
}

/// Threat M1, the other way round: an internal node shown as a record with its children's labels for path
/// and digest, at the root, where every path fits.
#[test]
fn an_internal_node_does_not_pass_for_a_leaf() {
    for len in 2..100 {
        let tree = tree(len);
        let records: Records = tree.iter().map(|(key, value)| (hash(key), hash(value))).collect();
        let Node::Internal(children) = oracle::build(&records) else { unreachable!("two records or more") };
        let false_leaf = Node::Leaf(oracle::label(&children[0]), oracle::label(&children[1]));
        let claim = decode(&oracle::encode(&false_leaf)).expect("its form is right");
        assert!(claim.verify(tree.root()).is_err(), "{len} records");
    }
}

/// Threat M2: every part of a valid proof that would hide a record replaced by nothing or by another record.
#[test]
fn a_present_key_is_not_proved_absent() {
    let tree = tree(60);
    let records: Records = tree.iter().map(|(key, value)| (hash(key), hash(value))).collect();
    let full = oracle::build(&records);
    for path in records.keys() {
        let honest = oracle::cut(&full, &[*path]);
        for number in 0..oracle::level_order(&honest).len() {
            let other = Node::Leaf(std::array::from_fn(|i| path[i] ^ u8::from(i == 31)), [1; 32]);
            for lie in [Node::Empty, other, Node::Leaf(*path, [1; 32])] {
                let mut naive = honest.clone();
                let place = oracle::node_mut(&mut naive, number);
                if *place == lie {
                    continue;
                }
                *place = lie;
                if let Ok(claim) = decode(&oracle::encode(&naive)) {
                    assert!(claim.verify(tree.root()).is_err(), "node {number}");
                }
            }
        }
    }
}

/// Threat M4: whatever is accepted is what its decoded value encodes to (asserted in `decode`). The register asks for `PLEACH_RUNS=1000000`.
#[test]
fn random_bytes_are_refused_or_canonical() {
    let honest = tree(40).prove((0..6).map(key)).encode();
    for seed in seeds(0..20_000) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes = honest.clone();
        for _ in 0..rng.random_range(1..4) {
            let (from, to) = (rng.random_range(0..bytes.len()), rng.random_range(0..bytes.len()));
            match rng.random_range(0..4) {
                0 => bytes[to] = rng.random(),
                1 => bytes.copy_within(from..from + 1, to),
                2 => bytes.truncate(to.max(1)),
                _ => bytes.swap(from, to),
            }
        }
        let accepted = decode(&bytes).is_ok_and(|claim| claim.verify(tree_root()).is_ok());
        assert_eq!(accepted, bytes == honest, "seed {seed}");
    }
}

fn tree_root() -> Label {
    static ROOT: std::sync::OnceLock<Label> = std::sync::OnceLock::new();
    *ROOT.get_or_init(|| tree(40).root())
}
