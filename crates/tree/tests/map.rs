//! The tree as a map, and its root, against a plain map and the naive oracle.

mod oracle;

use std::{collections::BTreeMap, thread};

use bytes::Bytes;
use oracle::{Records, hash};
use pleach_testkit::{replay, seeds};
use pleach_tree::{DigestTree, Label, LabelKind, Path, Tree, ValueDigest};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

type Model = BTreeMap<Bytes, Bytes>;
type Changes = Vec<(Bytes, Option<Bytes>)>;

fn oracle_root(model: &Model) -> [u8; 32] {
    let records: Records = model.iter().map(|(key, value)| (hash(key), hash(value))).collect();
    oracle::root(&records)
}

fn key(number: u32) -> Bytes {
    format!("key {number}").into()
}

fn records(range: std::ops::Range<u32>) -> impl Iterator<Item = (Bytes, Bytes)> {
    range.map(|i| (key(i), i.to_string().into()))
}

/// Changes over a small universe, so that removals, replacements and repeated keys are frequent.
fn random_changes(rng: &mut StdRng, universe: u32, max: usize) -> Changes {
    let value = |rng: &mut StdRng| Bytes::from(vec![rng.random::<u8>(); rng.random_range(0..70)]);
    (0..rng.random_range(0..=max))
        .map(|_| (key(rng.random_range(0..universe)), rng.random_bool(0.5).then(|| value(rng))))
        .collect()
}

fn change(model: &mut Model, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

fn assert_same(tree: &Tree, model: &Model, universe: u32, context: &str) {
    assert_eq!(tree.root().as_bytes(), &oracle_root(model), "{context}");
    assert_eq!((tree.len(), tree.is_empty()), (model.len(), model.is_empty()), "{context}");
    for key in (0..universe).map(key) {
        assert_eq!(tree.get(&key), model.get(&key), "{context}");
        assert_eq!(tree.contains_key(&key), model.contains_key(&key), "{context}");
        let digest = model.get(&key).map(|value| ValueDigest::of(value));
        assert_eq!(tree.value_digest(&key), digest, "{context}");
    }
    let mut listed: Vec<_> = tree.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert!(listed.is_sorted_by_key(|(key, _)| hash(key)), "{context}: not in path order");
    listed.sort();
    assert!(listed.iter().map(|(key, value)| (key, value)).eq(model.iter()), "{context}");
}

#[test]
fn random_histories_agree_with_the_oracle_and_leave_snapshots_alone() {
    for seed in seeds(0..60) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let universe = [1, 3, 10, 40, 200][seed as usize % 5];
        let (mut tree, mut model) = (Tree::new(), Model::new());
        let mut snapshots = Vec::new();
        for block in 0..20 {
            let changes = random_changes(&mut rng, universe, 2 * universe as usize);
            let mut one_by_one = tree.clone();
            for (key, value) in changes.clone() {
                let old = match value {
                    Some(value) => one_by_one.insert(key.clone(), value),
                    None => one_by_one.remove(&key),
                };
                assert_eq!(old, model.get(&key).cloned(), "seed {seed}, block {block}");
                change(&mut model, &vec![(key.clone(), one_by_one.get(&key).cloned())]);
            }
            if rng.random_bool(0.7) {
                snapshots.push((tree.clone(), tree.root(), tree.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
            }
            tree.apply(changes);
            assert_eq!(tree, one_by_one, "seed {seed}, block {block}");
            assert_same(&tree, &model, universe, &format!("seed {seed}, block {block}"));
        }
        for (height, (snapshot, root, model)) in snapshots.iter().enumerate() {
            assert_eq!(snapshot.root(), *root, "seed {seed}, snapshot {height}");
            assert_same(snapshot, model, universe, &format!("seed {seed}, snapshot {height}"));
        }
    }
}

#[test]
fn every_order_of_insertion_gives_the_same_root() {
    fn visit(left: &[(Bytes, Bytes)], tree: &Tree, roots: &mut Vec<Label>) {
        if left.is_empty() {
            roots.push(tree.root());
        }
        for i in 0..left.len() {
            let (mut rest, mut tree) = (left.to_vec(), tree.clone());
            let (key, value) = rest.remove(i);
            tree.insert(key, value);
            visit(&rest, &tree, roots);
        }
    }
    let mut roots = Vec::new();
    visit(&records(0..6).collect::<Vec<_>>(), &Tree::new(), &mut roots);
    assert_eq!(roots.len(), 720);
    assert!(roots.iter().all(|root| root.as_bytes() == &oracle_root(&records(0..6).collect())));
}

#[test]
fn a_large_batch_in_any_order_and_in_any_parts_gives_the_same_tree() {
    let mut rng = StdRng::seed_from_u64(7);
    let all: Vec<_> = records(0..5_000).collect();
    let whole: Tree = all.iter().cloned().collect();
    assert_eq!(whole.root().as_bytes(), &oracle_root(&all.iter().cloned().collect()));
    let mut shuffled = all.clone();
    shuffled.shuffle(&mut rng);
    let mut parts = Tree::new();
    shuffled.chunks(617).for_each(|part| parts.extend(part.iter().cloned()));
    assert_eq!(parts, whole);
    parts.apply(records(5_000..9_000).map(|(key, value)| (key, Some(value))));
    parts.apply(records(4_000..9_000).map(|(key, _)| (key, None)));
    assert_eq!(parts, records(0..4_000).collect());
    parts.apply(records(0..4_000).map(|(key, _)| (key, None)));
    assert_eq!((parts.root(), parts.len()), (Label::EMPTY, 0));
}

/// Batches that are spread by the first bits before they are sorted: onto nothing, onto a few records that stand above
/// where the parts begin, and onto many; with keys repeated and removed, and with a length known or not.
#[test]
fn batches_of_thousands_agree_with_the_oracle() {
    for seed in seeds(0..6) {
        let _replay = replay(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let before: u32 = [0, 1, 3, 5, 200, 5_000][seed as usize];
        let (mut model, mut tree): (Model, Tree) = (records(0..before).collect(), records(0..before).collect());
        for batch in 0..3 {
            let changes: Changes = (0..rng.random_range(4_000..12_000))
                .map(|_| (key(rng.random_range(0..9_000)), rng.random_bool(0.6).then(|| vec![rng.random()].into())))
                .collect();
            change(&mut model, &changes);
            let snapshot = rng.random_bool(0.5).then(|| tree.clone());
            match batch {
                0 => tree.apply(changes.into_iter().filter(|_| true)),
                _ => tree.apply(changes),
            }
            assert_eq!(tree.root().as_bytes(), &oracle_root(&model), "seed {seed}, batch {batch}");
            assert_eq!(tree.len(), model.len(), "seed {seed}, batch {batch}");
            assert!(model.iter().all(|(key, value)| tree.get(key) == Some(value)), "seed {seed}, batch {batch}");
            drop(snapshot);
        }
    }
}

/// Paths chosen so that all but one of the parts into which a batch is spread are empty.
#[test]
fn a_batch_under_one_prefix_agrees_with_the_oracle() {
    let mut rng = StdRng::seed_from_u64(1);
    let path = |rng: &mut StdRng| {
        let mut path: [u8; 32] = rng.random();
        path[..6].fill(0xa7);
        path
    };
    let records: Records = (0..6_000).map(|number: u32| (path(&mut rng), hash(&number.to_le_bytes()))).collect();
    let digests = |records: &Records| -> Vec<_> {
        records.iter().map(|(path, digest)| (Path::from_bytes(*path), ValueDigest::from_bytes(*digest))).collect()
    };
    let tree: DigestTree = digests(&records).into_iter().rev().collect();
    assert_eq!(tree.root().as_bytes(), &oracle::root(&records));
    assert_eq!(tree.iter().collect::<Vec<_>>(), digests(&records));
}

#[test]
fn the_last_change_of_a_key_wins() {
    let change = |value: Option<&'static str>| (key(1), value.map(Bytes::from));
    let mut tree: Tree = records(0..10).collect();
    tree.apply([change(Some("a")), change(None), change(Some("b"))]);
    assert_eq!(tree.get(&key(1)), Some(&Bytes::from("b")));
    tree.apply([change(None), change(Some("c")), change(None)]);
    assert_eq!(tree.get(&key(1)), None);
    assert_eq!(tree.len(), 9);
}

#[test]
fn changes_without_effect_leave_the_tree_as_it_is() {
    let mut tree: Tree = records(0..100).collect();
    let before = tree.clone();
    tree.apply([]);
    tree.apply((100..200).map(|i| (key(i), None)));
    tree.apply(records(0..50).map(|(key, value)| (key, Some(value))));
    tree.apply([(key(100), Some(Bytes::new())), (key(100), None)]);
    assert_eq!(tree.remove(b"never there"), None);
    assert_eq!((&tree, tree.len()), (&before, 100));
}

#[test]
fn roots_tell_their_kind() {
    let mut tree = Tree::new();
    let kinds: Vec<_> = records(0..3)
        .map(|(key, value)| {
            let kind = tree.root().kind();
            tree.insert(key, value);
            kind
        })
        .collect();
    assert_eq!(kinds, [LabelKind::Empty, LabelKind::Leaf, LabelKind::Internal]);
    assert_eq!(Tree::new().root(), Label::EMPTY);
}

#[test]
fn an_empty_key_and_an_empty_value_are_records_like_others() {
    let mut tree = Tree::new();
    assert_eq!(tree.insert("", ""), None);
    assert_eq!(tree.get(b""), Some(&Bytes::new()));
    assert_ne!(tree.root(), Label::EMPTY);
    assert_eq!(tree.remove(b""), Some(Bytes::new()));
    assert_eq!(tree.root(), Label::EMPTY);
}

#[test]
fn readers_on_other_threads_keep_their_snapshot_while_the_tree_changes() {
    let mut tree: Tree = records(0..1_000).collect();
    let snapshot = tree.clone();
    let root = snapshot.root();
    thread::scope(|scope| {
        for reader in 0..2 {
            let snapshot = snapshot.clone();
            scope.spawn(move || {
                for i in (0..1_000).map(|i| (i + reader * 500) % 1_000) {
                    assert_eq!(snapshot.get(&key(i)), Some(&i.to_string().into()));
                    assert!(snapshot.prove([key(i)]).verify(root).is_ok());
                }
            });
        }
        scope.spawn(move || {
            for start in (0..1_000).step_by(50) {
                tree.apply(records(start..start + 50).map(|(key, _)| (key, None)));
            }
            assert!(tree.is_empty());
        });
    });
    assert_eq!(snapshot.len(), 1_000);
}

#[test]
fn update_sees_the_old_value_and_sets_or_removes() {
    let mut tree = Tree::from([("a", "1"), ("b", "2")]);
    assert_eq!(tree.update("a", |old| old.map(|old| [old, &b"1"[..]].concat().into())), Some("11".into()));
    assert_eq!(tree.update("b", |_| None), None);
    assert_eq!(tree.update("c", |old| old.is_none().then(|| "new".into())), Some("new".into()));
    assert_eq!(tree.update("d", |_| None), None);
    assert_eq!(tree, Tree::from([("a", "11"), ("c", "new")]));
    assert!(tree.keys().zip(tree.values()).eq(tree.iter()));
    let snapshot = tree.clone();
    tree.clear();
    assert_eq!((tree.len(), snapshot.len(), tree), (0, 2, Tree::new()));
}

/// Versions share their nodes and the memory that batches work in: forks that are made, changed and dropped on several
/// threads at once must not notice.
#[test]
fn forks_on_several_threads_do_not_see_one_another() {
    let tree: Tree = records(0..3_000).collect();
    let expected: Vec<Label> = (0..4)
        .map(|thread| {
            let mut fork = tree.clone();
            fork.apply(records(thread * 500..thread * 500 + 700).map(|(key, _)| (key, None)));
            fork.root()
        })
        .collect();
    thread::scope(|scope| {
        for (thread, root) in (0..).zip(&expected) {
            let tree = &tree;
            scope.spawn(move || {
                for _ in 0..30 {
                    let mut fork = tree.clone();
                    let older = fork.clone();
                    fork.apply(records(thread * 500..thread * 500 + 700).map(|(key, _)| (key, None)));
                    assert_eq!((fork.root(), older.root()), (*root, tree.root()));
                }
            });
        }
    });
    assert_eq!(tree, records(0..3_000).collect());
    assert_eq!(tree.iter().count(), 3_000);
}
