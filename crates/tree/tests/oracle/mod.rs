//! The tree and its proofs once more, as `docs/proof-format.md` says and as naively as possible: boxed nodes,
//! recursion, one hash at a time. It shares no code with the library, and it can build what the
//! library refuses to build: leaves with chosen digests, wrong shapes, nested bombs.
//!
//! Used by the tests in this folder and by the unit tests.

#![allow(dead_code, reason = "each test uses a part")]

pub mod aged;

use std::collections::{BTreeMap, VecDeque};

pub type Bytes32 = [u8; 32];

/// Value digests by path.
pub type Records = BTreeMap<Bytes32, Bytes32>;

#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    Empty,
    Leaf(Bytes32, Bytes32),
    Stub(Bytes32),
    Internal(Box<[Node; 2]>),
}

pub fn hash(bytes: &[u8]) -> Bytes32 {
    *blake3::hash(bytes).as_bytes()
}

pub fn bit(path: &Bytes32, depth: usize) -> bool {
    path[depth / 8] & (128 >> (depth % 8)) != 0
}

pub fn internal(left: Node, right: Node) -> Node {
    Node::Internal(Box::new([left, right]))
}

/// The whole tree of these records.
pub fn build(records: &Records) -> Node {
    let records: Vec<_> = records.iter().map(|(path, digest)| (*path, *digest)).collect();
    build_at(&records, 0)
}

fn build_at(records: &[(Bytes32, Bytes32)], depth: usize) -> Node {
    match records {
        [] => Node::Empty,
        [(path, digest)] => Node::Leaf(*path, *digest),
        _ => {
            let (right, left): (Vec<_>, Vec<_>) = records.iter().partition(|(path, _)| bit(path, depth));
            internal(build_at(&left, depth + 1), build_at(&right, depth + 1))
        }
    }
}

pub fn label(node: &Node) -> Bytes32 {
    match node {
        Node::Empty => [0; 32],
        Node::Stub(label) => *label,
        Node::Leaf(path, digest) => {
            let mut label = hash(&[*path, *digest].concat());
            label[0] |= 128;
            label
        }
        Node::Internal(children) => {
            let mut label = hash(&[label(&children[0]), label(&children[1])].concat());
            label[0] &= 127;
            label
        }
    }
}

pub fn root(records: &Records) -> Bytes32 {
    label(&build(records))
}

/// What a proof of `paths` shows of `node`.
pub fn cut(node: &Node, paths: &[Bytes32]) -> Node {
    cut_at(node, &paths.iter().collect::<Vec<_>>(), 0)
}

fn cut_at(node: &Node, paths: &[&Bytes32], depth: usize) -> Node {
    match node {
        Node::Internal(_) if paths.is_empty() => Node::Stub(label(node)),
        Node::Internal(children) => {
            let (right, left): (Vec<_>, Vec<_>) = paths.iter().partition(|path| bit(path, depth));
            internal(cut_at(&children[0], &left, depth + 1), cut_at(&children[1], &right, depth + 1))
        }
        terminal => terminal.clone(),
    }
}

/// What a proof says of `path`: `None` if it does not decide it.
pub fn lookup(mut node: &Node, path: &Bytes32) -> Option<Option<Bytes32>> {
    let mut depth = 0;
    loop {
        match node {
            Node::Internal(children) => node = &children[usize::from(bit(path, depth))],
            Node::Leaf(there, digest) if there == path => return Some(Some(*digest)),
            Node::Leaf(..) | Node::Empty => return Some(None),
            Node::Stub(_) => return None,
        }
        depth += 1;
    }
}

/// The nodes in the order of the encoding.
pub fn level_order(node: &Node) -> Vec<&Node> {
    let (mut queue, mut order) = (VecDeque::from([node]), Vec::new());
    while let Some(node) = queue.pop_front() {
        order.push(node);
        if let Node::Internal(children) = node {
            queue.extend(children.iter());
        }
    }
    order
}

/// The encoding of a proof, whether it makes sense or not.
pub fn encode(node: &Node) -> Vec<u8> {
    let (mut bits, mut payload) = (String::new(), Vec::new());
    for node in level_order(node) {
        match node {
            Node::Empty => bits += "00",
            Node::Leaf(path, digest) => {
                bits += "01";
                payload.extend([*path, *digest].concat());
            }
            Node::Stub(label) => {
                bits += "10";
                payload.extend(label);
            }
            Node::Internal(_) => bits += "11",
        }
    }
    let mut bytes = pack(&bits);
    bytes.extend(payload);
    bytes
}

/// Packs a string of `0` and `1` into bytes, padded with zeros.
pub fn pack(bits: &str) -> Vec<u8> {
    let byte = |bits: &[u8]| bits.iter().zip((0..8).rev()).map(|(bit, place)| (bit - b'0') << place).sum();
    bits.as_bytes().chunks(8).map(byte).collect()
}

/// The node with the given number in level order, to be changed in place.
pub fn node_mut(node: &mut Node, number: usize) -> &mut Node {
    let mut queue = VecDeque::from([node]);
    for _ in 0..number {
        if let Some(Node::Internal(children)) = queue.pop_front() {
            queue.extend(children.iter_mut());
        }
    }
    queue.pop_front().expect("the proof has that many nodes")
}

/// A tree of `depth` internal nodes in a row, each over `side` and the next, with `last` at the end.
pub fn chain(depth: usize, side: &Node, last: Node) -> Node {
    (0..depth).fold(last, |below, _| internal(below, side.clone()))
}
