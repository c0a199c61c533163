//! Proofs of records under a root: merged, of prefixes, in chunks, and with values.

use bytes::Bytes;
use pleach_tree::{DigestTree, Partition, Path, Prefix, Proof, Tree, ValueDigest};
use pleach_types::{Hash, Key, limits};
use pleach_verify::{records, state};
use serde_json::{Value, json};

use super::{hash, hex, verdict};

const RECORDS: usize = 40;

fn map() -> Vec<(String, String)> {
    (0..RECORDS).map(|n| (format!("key {n}"), format!("value {n}"))).collect()
}

fn tree() -> Tree {
    map().into_iter().map(|(key, value)| (Bytes::from(key), Bytes::from(value))).collect()
}

fn digests() -> DigestTree {
    map().iter().map(|(key, value)| (Path::of(key.as_bytes()), ValueDigest::of(value.as_bytes()))).collect()
}

fn root() -> Hash {
    tree().root().into()
}

fn prove(keys: &[&str]) -> Vec<u8> {
    tree().prove(keys).encode()
}

pub fn all() -> Value {
    json!({
        "record_count": RECORDS,
        "record_format": "key N has the value 'value N', N from 0 on",
        "root": hash(root()),
        "values": values(),
        "merged": merged(),
        "prefixes": prefixes(),
        "chunks": chunks(),
    })
}

/// What an answer to a read says of one key.
fn values() -> Vec<Value> {
    let one = |name: &str, expected: &str, proof: &[u8], root: Hash, key: &str, value: Option<&str>| {
        let key = Key::new(key).expect("a key");
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let proof = Bytes::copy_from_slice(proof);
        let found = records::proof(&proof, &root).and_then(|proof| records::value(&proof, &key, value.as_ref()));
        json!({
            "name": name, "proof": hex(&proof), "root": hash(root), "key": key, "value": value.map(hex),
            "verdict": verdict(name, expected, found.map(drop).map_err(|why| why.statement.code())),
        })
    };
    let proof = prove(&["key 7", "nobody"]);
    vec![
        one("a record", "accepted", &proof, root(), "key 7", Some("value 7")),
        one("no record", "accepted", &proof, root(), "nobody", None),
        one("another value", "other_value", &proof, root(), "key 7", Some("value 8")),
        one("a record that is hidden", "other_value", &proof, root(), "key 7", None),
        one("a record that is invented", "other_value", &proof, root(), "nobody", Some("value")),
        one(
            "a key that the proof does not decide",
            "not_decided",
            &prove(&["key 7"]),
            root(),
            "key 30",
            Some("value 30"),
        ),
        one("another root", "other_root", &proof, Hash([1; 32]), "key 7", Some("value 7")),
    ]
}

/// Two proofs of one tree, and the proof of both sets of keys.
fn merged() -> Vec<Value> {
    let sets: [(&[&str], &[&str]); 4] = [
        (&["key 1"], &["key 2"]),
        (&["key 1", "key 30"], &["key 30", "nobody"]),
        (&[], &["key 5"]),
        (&["key 3", "key 4", "key 5"], &["key 4"]),
    ];
    let one = |(left, right): &(&[&str], &[&str])| {
        let verified = |keys: &[&str]| tree().prove(keys).verify(tree().root()).expect("its own root");
        let merged = verified(left).merge(&verified(right)).expect("one root").into_proof().encode();
        let both: Vec<&str> = left.iter().chain(*right).copied().collect();
        assert_eq!(merged, prove(&both), "what the tree itself proves");
        json!({ "left_keys": left, "right_keys": right, "left": hex(prove(left)), "right": hex(prove(right)), "merged": hex(merged) })
    };
    sets.iter().map(one).collect()
}

/// All records under a prefix, in the order of their paths.
fn under(prefix: &Prefix) -> Vec<(Key, Bytes)> {
    let mut all: Vec<_> =
        map().into_iter().map(|(key, value)| (Key::new(key).expect("a key"), Bytes::from(value))).collect();
    all.retain(|(key, _)| prefix.contains(&key.path()));
    all.sort_by_key(|(key, _)| key.path());
    all
}

fn prefix(bits: &str) -> Prefix {
    let mut path = [0; 32];
    for (at, _) in bits.chars().enumerate().filter(|(_, bit)| *bit == '1') {
        path[at / 8] |= 0x80 >> (at % 8);
    }
    Prefix::new(path.into(), bits.len())
}

fn prefixes() -> Vec<Value> {
    let one = |name: &str, expected: &str, bits: &str, proof: Vec<u8>, records: Vec<(Key, Bytes)>| {
        let proof = Bytes::from(proof);
        let found = state::partition(&proof, &root(), &limits::reply_proof(), prefix(bits), &records);
        json!({
            "name": name, "prefix": bits, "proof": hex(&proof), "root": hash(root()),
            "records": records.iter().map(|(key, value)| json!([key, hex(value)])).collect::<Vec<_>>(),
            "verdict": verdict(name, expected, found.map(drop).map_err(|why| why.statement.code())),
        })
    };
    let whole = |bits: &str| digests().partition([prefix(bits)]).encode();
    // A place that holds one record, and one deeper than where the way ends.
    let lonely = map().iter().map(|(key, _)| Path::of(key.as_bytes())).min().expect("records");
    let deep: String = (0..20).map(|bit| if lonely.bit(bit) { '1' } else { '0' }).collect();
    let beside: String = deep[..19].to_owned() + if deep.ends_with('1') { "0" } else { "1" };
    let mut fewer = under(&prefix("01"));
    fewer.remove(1);
    let mut other = under(&prefix("01"));
    other[0].1 = Bytes::from_static(b"other");
    let mut turned = under(&prefix("01"));
    turned.swap(0, 1);
    vec![
        one("the whole tree", "accepted", "", whole(""), under(&prefix(""))),
        one("a quarter", "accepted", "01", whole("01"), under(&prefix("01"))),
        one("the way ends at a leaf before the prefix does", "accepted", &deep, whole(&deep), under(&prefix(&deep))),
        one("the way ends elsewhere: nothing is there", "accepted", &beside, whole(&beside), Vec::new()),
        one("the proof of half of it", "incomplete", "01", whole("010"), under(&prefix("01"))),
        one("a record left out", "other_record", "01", whole("01"), fewer),
        one("the last record left out", "left_out", "01", whole("01"), {
            let mut records = under(&prefix("01"));
            records.pop();
            records
        }),
        one("another value", "other_record", "01", whole("01"), other),
        one("out of order", "other_record", "01", whole("01"), turned),
    ]
}

/// The partition of a quarter in chunks of at most so many bytes.
fn chunks() -> Value {
    let (within, most) = (prefix("1"), 600);
    let (mut start, mut all) = (Some(within.first()), Vec::new());
    while let Some(path) = start {
        let (prefix, proof) = digests().chunk(&within, &path, most).expect("a record fits");
        let verified = Proof::decode(&proof.encode(), &limits::reply_proof()).expect("a proof");
        let verified = verified.verify(digests().root()).expect("its own root");
        let records = Partition::new(verified, [prefix]).expect("complete").records().count();
        let bits: String = (0..prefix.bits()).map(|bit| if prefix.first().bit(bit) { '1' } else { '0' }).collect();
        all.push(
            json!({ "start": hex(path.as_bytes()), "prefix": bits, "proof": hex(proof.encode()), "records": records }),
        );
        start = prefix.next().filter(|next| within.contains(next));
    }
    json!({ "within": "1", "max_bytes": most, "root": hash(root()), "chunks": all })
}
