//! The test vectors in `vectors/proofs.json`: that they are what the naive implementation makes, and that the library
//! gives each the verdict that it names. `vectors/python` reads them too, and shares nothing with either.
//!
//! After a change of the format: `PLEACH_FREEZE=1 cargo test -p pleach-tree --test vectors`.

mod oracle;

use std::fmt::Write;

use oracle::{Bytes32, Node, Records, chain, hash, internal};
use pleach_tree::{Label, Proof, ProofLimits, ValueDigest};

/// A map, given as keys and values.
type Map = Vec<(String, String)>;

struct Accepted {
    name: &'static str,
    map: Map,
    keys: Vec<String>,
    /// Keys that the proof need not decide.
    others: Vec<String>,
}

struct Refused {
    name: &'static str,
    root: Bytes32,
    proof: Vec<u8>,
    reason: &'static str,
}

fn map(count: usize) -> Map {
    (0..count).map(|i| (format!("key {i}"), format!("value {i}"))).collect()
}

fn records(map: &Map) -> Records {
    map.iter().map(|(key, value)| (hash(key.as_bytes()), hash(value.as_bytes()))).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn naive_proof(map: &Map, keys: &[String]) -> Node {
    let paths: Vec<_> = keys.iter().map(|key| hash(key.as_bytes())).collect();
    oracle::cut(&oracle::build(&records(map)), &paths)
}

fn accepted() -> Vec<Accepted> {
    let case = |name, count, keys: &[&str], others: &[&str]| Accepted {
        name,
        map: map(count),
        keys: strings(keys),
        others: strings(others),
    };
    let odd = vec![(String::new(), String::new()), ("é\u{0}".into(), "x".repeat(100)), ("long".repeat(40), "y".into())];
    vec![
        case("empty tree, absence", 0, &["key 0"], &["anything"]),
        case("single record, inclusion", 1, &["key 0"], &["key 1"]),
        case("single record, absence", 1, &["key 1"], &[]),
        case("two records, no keys: one stub", 2, &[], &["key 0"]),
        case("inclusion", 20, &["key 7"], &["key 8", "key 9", "nobody"]),
        case("absence beside another leaf", 20, &["nobody"], &["key 3"]),
        case("absence in an empty place", 20, &["key 20", "key 23"], &[]),
        case("several keys, present and absent", 20, &["key 1", "key 2", "key 30", "key 19"], &["key 4"]),
        case(
            "all keys",
            9,
            &["key 0", "key 1", "key 2", "key 3", "key 4", "key 5", "key 6", "key 7", "key 8"],
            &["key 9"],
        ),
        case("a larger tree", 2_000, &["key 77", "key 1999", "key 2000"], &["key 5"]),
        Accepted { name: "odd keys and values", map: odd, keys: strings(&["", "é\u{0}"]), others: strings(&["long"]) },
    ]
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

fn refused_shapes() -> Vec<Refused> {
    let of =
        |name, node: Node, reason| Refused { name, root: oracle::label(&node), proof: oracle::encode(&node), reason };
    let raw = |name, proof: Vec<u8>, reason| Refused { name, root: [0; 32], proof, reason };
    let good = internal(leaf("00"), leaf("01"));
    let honest = oracle::encode(&naive_proof(&map(20), &strings(&["key 7"])));
    let shorter = |bytes: usize| honest[..honest.len() - bytes].to_vec();
    vec![
        of("two empty siblings", internal(Node::Empty, Node::Empty), "empty_siblings"),
        of("an empty node and a leaf as siblings", internal(Node::Empty, leaf("1")), "lone_leaf"),
        of("a leaf and an empty node as siblings", internal(leaf("0"), Node::Empty), "lone_leaf"),
        of("two stubs as siblings", internal(good.clone(), internal(stub(1), stub(2))), "stub_siblings"),
        of("a stub with the label of zeros", internal(stub(0), leaf("1")), "empty_stub"),
        of("a stub with the label of a leaf", internal(leaf("0"), stub(0x80)), "leaf_stub"),
        of("a leaf on the wrong side", internal(leaf("1"), leaf("11")), "misplaced_leaf"),
        of("a leaf off its path, deeper", internal(internal(leaf("00"), leaf("11")), stub(1)), "misplaced_leaf"),
        of("a stub at depth 256", chain(256, &Node::Empty, stub(1)), "too_deep"),
        of("an internal node at depth 256", chain(257, &Node::Empty, stub(1)), "too_deep"),
        raw("no bytes", Vec::new(), "truncated_tags"),
        raw("tags without end", vec![0xff; 40], "truncated_tags"),
        raw("one byte missing", shorter(1), "truncated_payload"),
        raw("a label missing", shorter(32), "truncated_payload"),
        raw("one byte too many", [&honest[..], &[0]].concat(), "trailing_bytes"),
        raw("padding that is not zero", vec![0b0000_0001], "padding"),
    ]
}

fn refused_lies() -> Vec<Refused> {
    let map = map(20);
    let keys = strings(&["key 7"]);
    let (honest, root) = (naive_proof(&map, &keys), oracle::root(&records(&map)));
    let path = hash(b"key 7");
    let places = oracle::level_order(&honest);
    let place = |wanted: &dyn Fn(&Node) -> bool| places.iter().position(|node| wanted(node)).expect("there is one");
    let own = place(&|node| matches!(node, Node::Leaf(there, _) if *there == path));
    let a_stub = place(&|node| matches!(node, Node::Stub(_)));
    let changed = |number: usize, lie: Node| {
        let mut proof = honest.clone();
        *oracle::node_mut(&mut proof, number) = lie;
        oracle::encode(&proof)
    };
    let mut flipped = oracle::encode(&honest);
    *flipped.last_mut().expect("not empty") ^= 1;
    let Node::Stub(mut label) = *places[a_stub] else { unreachable!("it is a stub") };
    label[31] ^= 1;
    // Read as an internal node, the row of the attacker's own leaf is the proof of a forged one.
    let (mut forged, mut owned): (Bytes32, Bytes32) = (hash(b"victim"), hash(b"attacker"));
    (forged[0], owned[0]) = (0b0100_0000 | forged[0] & 0x3f, owned[0] & 0x7f);
    let forged_leaf = Node::Leaf(forged, hash(b"a million"));
    let other = Node::Leaf([0xff; 32], [3; 32]);
    let attacked = Records::from([(owned, oracle::label(&forged_leaf)), ([0xff; 32], [3; 32])]);
    let as_internal = internal(internal(Node::Stub(owned), forged_leaf), other);
    let Node::Internal(children) = oracle::build(&records(&map)) else { unreachable!("twenty records") };
    let root_as_leaf = Node::Leaf(oracle::label(&children[0]), oracle::label(&children[1]));
    let lie = |name, proof| Refused { name, root, proof, reason: "other_root" };
    vec![
        lie("another value", changed(own, Node::Leaf(path, hash(b"value 8")))),
        lie(
            "a record hidden behind another one",
            changed(own, Node::Leaf(std::array::from_fn(|i| path[i] ^ u8::from(i == 31)), [1; 32])),
        ),
        lie("a flipped bit in the last byte", flipped),
        lie("another label for a stub", changed(a_stub, Node::Stub(label))),
        lie("an internal node shown as a record", oracle::encode(&root_as_leaf)),
        lie("the proof of a smaller tree", oracle::encode(&naive_proof(&self::map(19), &keys))),
        Refused {
            name: "a record shown as an internal node",
            root: oracle::root(&attacked),
            proof: oracle::encode(&as_internal),
            reason: "other_root",
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take everything");
        text
    })
}

/// The verdicts of the naive implementation as JSON. Keys and values are hexadecimal, since they may be any bytes.
fn json() -> String {
    let mut accepts = Vec::new();
    for case in accepted() {
        let proof = naive_proof(&case.map, &case.keys);
        let answer = |key: &String| {
            let says = match oracle::lookup(&proof, &hash(key.as_bytes())) {
                Some(Some(digest)) => format!("\"present\", \"value_digest\": \"{}\"", hex(&digest)),
                Some(None) => "\"absent\"".to_owned(),
                None => "\"undecided\"".to_owned(),
            };
            format!("        {{ \"key\": \"{}\", \"says\": {says} }}", hex(key.as_bytes()))
        };
        let answers: Vec<_> = case.keys.iter().chain(&case.others).map(answer).collect();
        // The larger map is described, not listed.
        let records: Vec<_> = match case.map.len() {
            0..=20 => case
                .map
                .iter()
                .map(|(k, v)| format!("[\"{}\", \"{}\"]", hex(k.as_bytes()), hex(v.as_bytes())))
                .collect(),
            _ => Vec::new(),
        };
        accepts.push(format!(
            "    {{\n      \"name\": \"{}\",\n      \"record_count\": {},\n      \"records\": [{}],\n      \"root\": \"{}\",\n      \"proof\": \"{}\",\n      \"answers\": [\n{}\n      ]\n    }}",
            case.name,
            case.map.len(),
            records.join(", "),
            hex(&oracle::root(&records_of(&case))),
            hex(&oracle::encode(&proof)),
            answers.join(",\n"),
        ));
    }
    let refuse = |case: &Refused| {
        let (root, proof) = (hex(&case.root), hex(&case.proof));
        let Refused { name, reason, .. } = case;
        format!(
            "    {{ \"name\": \"{name}\", \"reason\": \"{reason}\", \"root\": \"{root}\", \"proof\": \"{proof}\" }}"
        )
    };
    let refuses: Vec<_> = refused_shapes().iter().chain(&refused_lies()).map(refuse).collect();
    format!(
        "{{\n  \"accepted\": [\n{}\n  ],\n  \"refused\": [\n{}\n  ]\n}}\n",
        accepts.join(",\n"),
        refuses.join(",\n")
    )
}

fn records_of(case: &Accepted) -> Records {
    records(&case.map)
}

#[test]
fn the_committed_vectors_are_those_of_the_naive_implementation() {
    let (file, json) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/proofs.json"), json());
    if std::env::var_os("PLEACH_FREEZE").is_some() {
        std::fs::write(file, &json).expect("the vectors are written");
    }
    let committed = std::fs::read_to_string(file).expect("the vectors are there");
    assert!(committed == json, "vectors/proofs.json is not what this test makes: see its head");
}

#[test]
fn the_library_accepts_what_is_to_be_accepted_and_answers_the_same() {
    for case in accepted() {
        let naive = naive_proof(&case.map, &case.keys);
        let root = Label::from_bytes(oracle::root(&records_of(&case)));
        let proof = Proof::decode(&oracle::encode(&naive), &ProofLimits::default()).expect(case.name);
        let proof = proof.verify(root).expect(case.name);
        for key in case.keys.iter().chain(&case.others) {
            let said = proof.get(key.as_bytes()).ok();
            let expected = oracle::lookup(&naive, &hash(key.as_bytes()));
            assert_eq!(said, expected.map(|digest| digest.map(ValueDigest::from_bytes)), "{}", case.name);
            assert!(said.is_some() || case.others.contains(key), "{}", case.name);
        }
    }
}

#[test]
fn the_library_refuses_what_is_to_be_refused_for_the_same_reason() {
    for case in refused_shapes().iter().chain(&refused_lies()) {
        let reason = match Proof::decode(&case.proof, &ProofLimits::default()) {
            Ok(claim) => claim.verify(case.root.into()).err().map_or("none", |_| "other_root"),
            Err(error) => error.code(),
        };
        assert_eq!(reason, case.reason, "{}", case.name);
    }
}

/// Every reason of the format's description occurs.
#[test]
fn every_reason_has_a_vector() {
    let document = include_str!("../../../docs/proof-format.md");
    let named = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | refused"));
    let shapes: Vec<_> = refused_shapes().iter().chain(&refused_lies()).map(|case| case.reason).collect();
    let mut count = 0;
    for (name, _) in named {
        assert!(shapes.contains(&name), "{name}");
        count += 1;
    }
    assert_eq!(count, 12);
}
