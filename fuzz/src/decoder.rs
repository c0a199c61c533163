//! Proofs decoded once more, as `docs/proof-format.md` says and as naively as possible.
//!
//! It shares no code with the library. It says only whether an encoding is good, not why it isn't.

use pleach_tree::ProofLimits;

use crate::oracle::{Bytes32, Node, bit};

/// The proof that `bytes` encode, or `None` if a decoder must refuse them.
pub fn decode(bytes: &[u8], limits: &ProofLimits) -> Option<Node> {
    if bytes.len() > limits.max_bytes {
        return None;
    }
    let tags = read_tags(bytes, limits)?;
    let start = (2 * tags.len()).div_ceil(8);
    let padding = (2 * tags.len()..8 * start).any(|at| bit_of(bytes, at));
    let payload_len: usize = tags.iter().map(|tag| [0, 64, 32, 0][usize::from(*tag)]).sum();
    if padding || bytes.len() != start + payload_len {
        return None;
    }
    let mut payload = &bytes[start..];
    let mut nodes: Vec<Option<Node>> = tags.iter().map(|tag| Some(read_node(*tag, &mut payload))).collect();
    // From the last node to the first, children come before their parents.
    let mut first_child = tags.len();
    for at in (0..tags.len()).rev() {
        if tags[at] == 3 {
            first_child -= 2;
            let children = [first_child, first_child + 1].map(|child| nodes[child].take());
            let [Some(left), Some(right)] = children else { return None };
            if is_redundant(&left, &right) {
                return None;
            }
            nodes[at] = Some(Node::Internal(Box::new([left, right])));
        }
    }
    let root = nodes[0].take()?;
    is_placed_well(&root, &mut Vec::new()).then_some(root)
}

/// The tags, as numbers, until every announced node has one.
fn read_tags(bytes: &[u8], limits: &ProofLimits) -> Option<Vec<u8>> {
    let (mut tags, mut announced, mut leaves) = (Vec::new(), 1, 0);
    while tags.len() < announced {
        let at = 2 * tags.len();
        if at / 8 >= bytes.len() {
            return None;
        }
        let tag = 2 * u8::from(bit_of(bytes, at)) + u8::from(bit_of(bytes, at + 1));
        announced += if tag == 3 { 2 } else { 0 };
        leaves += usize::from(tag == 1);
        if announced > limits.max_nodes || leaves > limits.max_leaves {
            return None;
        }
        tags.push(tag);
    }
    Some(tags)
}

fn bit_of(bytes: &[u8], at: usize) -> bool {
    bytes[at / 8] & (128 >> (at % 8)) != 0
}

/// A node without children; one that has children gets them later.
fn read_node(tag: u8, payload: &mut &[u8]) -> Node {
    let mut take = || -> Bytes32 {
        let (head, rest) = payload.split_at(32);
        *payload = rest;
        head.try_into().expect("32 bytes")
    };
    match tag {
        1 => Node::Leaf(take(), take()),
        2 => Node::Stub(take()),
        _ => Node::Empty,
    }
}

/// Whether a parent of these two would be something else.
fn is_redundant(left: &Node, right: &Node) -> bool {
    use Node::{Empty, Leaf, Stub};
    matches!((left, right), (Empty, Empty | Leaf(..)) | (Leaf(..), Empty) | (Stub(_), Stub(_)))
}

/// Whether all leaves are under their paths, and labels and depths are possible. Recursion ends at depth 256.
fn is_placed_well(node: &Node, position: &mut Vec<bool>) -> bool {
    match node {
        Node::Empty => true,
        Node::Leaf(path, _) => position.iter().enumerate().all(|(depth, side)| bit(path, depth) == *side),
        Node::Stub(label) => position.len() < 256 && *label != [0; 32] && label[0] < 128,
        Node::Internal(children) => {
            position.len() < 256
                && children.iter().zip([false, true]).all(|(child, side)| {
                    position.push(side);
                    let good = is_placed_well(child, position);
                    position.pop();
                    good
                })
        }
    }
}
