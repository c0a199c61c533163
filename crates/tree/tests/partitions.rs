//! Partitions: what they show, how they travel, how they merge (thesis 3.3), and how proofs extend one another across
//! the trees of a history (thesis 3.4, algorithm 1).

mod oracle;

use std::collections::BTreeMap;

use oracle::{Bytes32, Node, Records, bit, hash};
use pleach_testkit::{replay, seeds, usual};
use pleach_tree::{
    DigestTree, ExtendError, HistoryTree, Incomplete, Label, MergeError, Partition, Path, Prefix, Proof, ProofLimits,
    Tree, ValueDigest, VerifiedProof,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

fn key(number: u32) -> String {
    format!("key {number}")
}

fn path(number: u32) -> Bytes32 {
    hash(key(number).as_bytes())
}

fn random_records(rng: &mut StdRng, universe: u32) -> Records {
    let present: Vec<u32> = (0..universe).filter(|_| rng.random_bool(0.6)).collect();
    present.into_iter().map(|i| (path(i), hash(&[rng.random_range(0..4)]))).collect()
}

fn tree(records: &Records) -> DigestTree {
    records.iter().map(|(p, digest)| (Path::from_bytes(*p), ValueDigest::from_bytes(*digest))).collect()
}

fn random_prefixes(rng: &mut StdRng) -> Vec<Prefix> {
    (0..rng.random_range(0..4))
        .map(|_| Prefix::new(Path::from_bytes(rng.random()), *[0, 1, 1, 2, 3, 8, 256].choose(rng).expect("not empty")))
        .collect()
}

fn has(prefixes: &[Prefix], at: &[bool]) -> bool {
    prefixes.iter().any(|p| at.iter().take(p.bits()).enumerate().all(|(d, b)| bit(p.first().as_bytes(), d) == *b))
}

/// The naive proof of prefixes.
fn cut(node: &Node, at: &mut Vec<bool>, prefixes: &[Prefix]) -> Node {
    match node {
        Node::Internal(_) if !has(prefixes, at) => Node::Stub(oracle::label(node)),
        Node::Internal(children) => {
            let mut child = |side: usize| {
                at.push(side == 1);
                let shown = cut(&children[side], at, prefixes);
                at.pop();
                shown
            };
            oracle::internal(child(0), child(1))
        }
        terminal => terminal.clone(),
    }
}

fn verified(proof: Proof, root: Label) -> VerifiedProof {
    let limits = ProofLimits { max_bytes: 1 << 24, max_leaves: 1 << 20, max_nodes: 1 << 22 };
    let decoded = Proof::decode(&proof.encode(), &limits).expect("an honest proof decodes");
    decoded.verify(root).expect("an honest proof verifies")
}

fn partition(tree: &DigestTree, prefixes: &[Prefix]) -> Partition {
    let proof = verified(tree.partition(prefixes.iter().copied()), tree.root());
    Partition::new(proof, prefixes.iter().copied()).expect("an honest partition is complete")
}

#[test]
fn partitions_are_the_oracles_to_the_byte_and_merge_to_their_union() {
    for seed in seeds(0..150) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let records = random_records(&mut rng, [1, 3, 30, 200][seed as usize % 4]);
        let (tree, full) = (tree(&records), oracle::build(&records));
        let (one, other) = (random_prefixes(&mut rng), random_prefixes(&mut rng));
        let both: Vec<_> = one.iter().chain(&other).copied().collect();
        for prefixes in [&one, &other, &both] {
            let naive = cut(&full, &mut Vec::new(), prefixes);
            let part = partition(&tree, prefixes);
            assert_eq!(part.proof().proof().encode(), oracle::encode(&naive), "seed {seed}");
            let shown: Vec<_> = part.records().map(|(p, d)| (Bytes32::from(p), Bytes32::from(d))).collect();
            let expected = records.iter().filter(|(p, _)| prefixes.iter().any(|k| k.contains(&Path::from_bytes(**p))));
            assert_eq!(shown, expected.map(|(p, d)| (*p, *d)).collect::<Vec<_>>(), "seed {seed}");
        }
        let merged = partition(&tree, &one).merge(&partition(&tree, &other)).expect("one tree");
        assert_eq!(merged, partition(&tree, &both), "seed {seed}");
        // What the merged one does not show, it is not taken for.
        for prefix in random_prefixes(&mut rng) {
            let complete = Partition::new(merged.proof().clone(), [prefix]);
            let lacks =
                cut(&full, &mut Vec::new(), &[&both[..], &[prefix]].concat()) != cut(&full, &mut Vec::new(), &both);
            assert_eq!(complete.err(), lacks.then_some(Incomplete { prefix }), "seed {seed}");
        }
    }
}

#[test]
fn a_map_shows_the_same_partitions() {
    let map: Tree = (0..300).map(|i| (key(i).into(), "x".into())).collect();
    let digests = map.digests();
    assert_eq!((digests.root(), digests.len()), (map.root(), map.len()));
    assert!(digests.iter().eq(map.iter().map(|(key, value)| (Path::of(key), ValueDigest::of(value)))));
    for prefix in Prefix::ALL.halves().into_iter().flatten() {
        assert_eq!(map.partition([prefix]), digests.partition([prefix]));
    }
    assert_eq!(map.prove(["key 1", "key 999"]), digests.prove([b"key 1", b"key 999" as &[u8]].map(Path::of)));
}

/// Threat M10: partitions of different trees do not merge, however little they differ.
#[test]
fn partitions_of_different_trees_do_not_merge() {
    for seed in seeds(0..50) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut records = random_records(&mut rng, 50);
        let before = tree(&records);
        records.insert(path(rng.random_range(0..50)), [9; 32]);
        let after = tree(&records);
        let [left, right] = Prefix::ALL.halves().expect("bits are left");
        let refused = partition(&before, &[left]).merge(&partition(&after, &[right]));
        assert_eq!(refused.err(), Some(MergeError { left: before.root(), right: after.root() }), "seed {seed}");
    }
}

#[test]
fn chunks_cover_a_partition_once_and_keep_their_limit() {
    for seed in seeds(0..60) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let records = random_records(&mut rng, [0, 1, 40, 400][seed as usize % 4]);
        let tree = tree(&records);
        let within = Prefix::new(Path::from_bytes(rng.random()), rng.random_range(0..4));
        let max_bytes = [700, 1_000, 3_000, 1 << 20][rng.random_range(0..4)];
        let (mut start, mut got, mut chunks) = (Some(within.first()), Vec::new(), 0);
        while let Some(path) = start.filter(|path| within.contains(path)) {
            let (prefix, proof) = tree.chunk(&within, &path, max_bytes).expect("a record fits");
            assert!(proof.encoded_len() <= max_bytes && within.covers(&prefix), "seed {seed}");
            assert_eq!(prefix.first(), path, "seed {seed}: nothing is left out");
            let part = Partition::new(verified(proof, tree.root()), [prefix]).expect("complete");
            got.extend(part.records());
            (start, chunks) = (prefix.next(), chunks + 1);
        }
        let whole: Vec<_> = partition(&tree, &[within]).records().collect();
        assert_eq!(got, whole, "seed {seed}");
        let one_is_enough = tree.partition([within]).encoded_len() <= max_bytes;
        assert_eq!(chunks == 1, one_is_enough, "seed {seed}: chunks are as large as can be");
    }
}

#[test]
fn a_chunk_is_refused_where_nothing_fits_or_nothing_begins() {
    let tree: DigestTree = (0..100).map(|i| (Path::from_bytes(path(i)), ValueDigest::of(b"x"))).collect();
    let [left, right] = Prefix::ALL.halves().expect("bits are left");
    assert!(tree.chunk(&Prefix::ALL, &left.first(), 100).is_none());
    assert!(tree.chunk(&left, &right.first(), 1 << 20).is_none());
    let odd = Path::from_bytes(path(3));
    let (prefix, proof) = tree.chunk(&Prefix::ALL, &odd, 1 << 20).expect("fits");
    assert_eq!(prefix.first(), odd, "the chunk begins where it was asked to");
    assert!(proof.verify(tree.root()).is_ok());
}

/// Algorithm 1 as the thesis writes it, on naive nodes; records that are absent in both trees are the same, whatever
/// leaves their paths end at.
fn algorithm_1(base: &Node, other: &Node, path: &Bytes32) -> Option<Node> {
    let theirs = oracle::lookup(other, path)?;
    if let Some(ours) = oracle::lookup(base, path) {
        return (ours == theirs).then(|| base.clone());
    }
    let (mut stub, mut depth) = (base, 0);
    while let Node::Internal(children) = stub {
        stub = &children[usize::from(bit(path, depth))];
        depth += 1;
    }
    // Every node on the path in the other proof, wherever it stands.
    let (mut node, mut at, mut found) = (other, 0, None);
    loop {
        if matches!(node, Node::Internal(_)) && oracle::label(node) == oracle::label(stub) {
            found = Some(node.clone());
        }
        let Node::Internal(children) = node else { break };
        node = &children[usize::from(bit(path, at))];
        at += 1;
    }
    let found = found?;
    let mut extended = base.clone();
    let mut place = &mut extended;
    for d in 0..depth {
        let Node::Internal(children) = place else { unreachable!("walked above") };
        place = &mut children[usize::from(bit(path, d))];
    }
    *place = found;
    Some(extended)
}

/// Observation 1: what differs between the two trees is never taken over. And the extended proof is one of its own
/// tree: it verifies there, and says of every key what that tree holds.
#[test]
fn extension_is_the_thesis_s_and_takes_over_only_what_is_the_same() {
    let (mut extended, mut refused) = (0, 0);
    for seed in seeds(0..400) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let universe = [2, 6, 40][seed as usize % 3];
        let before = random_records(&mut rng, universe);
        let mut after = before.clone();
        for _ in 0..rng.random_range(0..3) {
            let p = path(rng.random_range(0..universe));
            if rng.random_bool(0.5) {
                after.remove(&p)
            } else {
                after.insert(p, hash(&[rng.random_range(0..4)]))
            };
        }
        let (old, new) = if rng.random_bool(0.5) { (&before, &after) } else { (&after, &before) };
        let some =
            |rng: &mut StdRng| (0..rng.random_range(0..4)).map(|_| path(rng.random_range(0..universe))).collect();
        let (ours, theirs): (Vec<Bytes32>, Vec<Bytes32>) = (some(&mut rng), some(&mut rng));
        let base = oracle::cut(&oracle::build(new), &ours);
        let from = oracle::cut(&oracle::build(old), &theirs);
        let (base_proof, from_proof) = (proof_of(&base), proof_of(&from));
        for number in 0..universe {
            let p = path(number);
            let result = base_proof.extend(&from_proof, key(number).as_bytes());
            let naive = algorithm_1(&base, &from, &p);
            assert_eq!(result.is_ok(), naive.is_some(), "seed {seed}, key {number}: {result:?}");
            let Ok(proof) = result else {
                refused += 1;
                continue;
            };
            extended += usize::from(proof != base_proof);
            assert_eq!(old.get(&p), new.get(&p), "seed {seed}, key {number}: observation 1");
            assert_eq!(proof.proof().encode(), oracle::encode(&naive.expect("checked")), "seed {seed}, key {number}");
            assert_eq!(proof.proof().root(), Label::from_bytes(oracle::root(new)), "seed {seed}, key {number}");
            for other in 0..universe {
                if let Ok(said) = proof.get(key(other).as_bytes()) {
                    assert_eq!(said.map(Bytes32::from), new.get(&path(other)).copied(), "seed {seed}, key {other}");
                }
            }
        }
    }
    assert!(!usual() || (extended > 100 && refused > 100), "{extended} extended, {refused} refused");
}

fn proof_of(node: &Node) -> VerifiedProof {
    let root = Label::from_bytes(oracle::label(node));
    Proof::decode(&oracle::encode(node), &ProofLimits::default()).expect("decodes").verify(root).expect("verifies")
}

/// Observation 2: the same record, the same other proof, and one base takes it over while another one cannot. The
/// thesis's example: a neighbour of the record has changed, and only one of the bases shows that region.
#[test]
fn extension_depends_on_the_base() {
    let map: BTreeMap<Bytes32, u32> = (0..200).map(|i| (path(i), i)).collect();
    let numbers: Vec<u32> = map.values().copied().collect();
    // Two neighbours on the left, and one far from both.
    let (ana, bob, eve) = (numbers[0], numbers[1], numbers[199]);
    let mut tree: Tree = (0..200).map(|i| (key(i).into(), "old".into())).collect();
    let old = tree.prove([key(ana)]).verify(tree.root()).expect("verifies");
    tree.insert(key(bob), "new");
    let near = tree.prove([key(bob), key(ana)]).verify(tree.root()).expect("verifies");
    let far = tree.prove([key(eve)]).verify(tree.root()).expect("verifies");
    assert_eq!(near.extend(&old, key(ana).as_bytes()).as_ref(), Ok(&near));
    let refused = far.extend(&old, key(ana).as_bytes());
    assert_eq!(refused, Err(ExtendError::NoSuchNode { path: Path::of(key(ana).as_bytes()) }));
    // What did not change on the other side can be taken over by both.
    let eve_old = {
        let mut before = tree.clone();
        before.insert(key(bob), "old");
        before.prove([key(eve)]).verify(before.root()).expect("verifies")
    };
    assert!(near.extend(&eve_old, key(eve).as_bytes()).is_ok_and(|proof| proof.get(key(eve).as_bytes()).is_ok()));
    let undecided = near.extend(&far, key(ana).as_bytes());
    assert!(matches!(undecided, Err(ExtendError::Undecided(_))));
}

/// Theorem 1: for bases that are history-aware, observation 2 does not apply: extension agrees with compatibility.
#[test]
fn extension_of_history_trees_does_not_depend_on_what_they_keep() {
    for seed in seeds(0..60) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut records = random_records(&mut rng, 40);
        let base = records.clone();
        let kept: Vec<_> = (0..4).map(|_| random_prefixes(&mut rng)).collect();
        let mut trees: Vec<_> = kept.iter().map(|kept| HistoryTree::from_full(&tree(&base), 4, kept.clone())).collect();
        for _ in 0..3 {
            let p = path(rng.random_range(0..40));
            let digest = rng.random_bool(0.5).then(|| hash(&[rng.random_range(0..4)]));
            let proof = proof_of(&oracle::cut(&oracle::build(&records), &[p]));
            match digest {
                Some(digest) => records.insert(p, digest),
                None => records.remove(&p),
            };
            for tree in &mut trees {
                let change = (Path::from_bytes(p), digest.map(ValueDigest::from_bytes));
                tree.apply(&proof, [change]).expect("proved");
                tree.commit();
            }
        }
        for number in 0..40 {
            let from = proof_of(&oracle::cut(&oracle::build(&base), &[path(number)]));
            let same = base.get(&path(number)) == records.get(&path(number));
            for tree in &trees {
                let held = verified(tree.held(), tree.root());
                let extended = held.extend(&from, key(number).as_bytes());
                assert_eq!(extended.is_ok(), same, "seed {seed}, key {number}");
                let checked = tree.check(0, &from, &[Path::from_bytes(path(number))]);
                assert_eq!(checked.is_ok(), same, "seed {seed}, key {number}");
            }
        }
    }
}
