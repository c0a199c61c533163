//! Labels of proofs, from the deepest nodes up, those of many proofs at a time.
//!
//! Leaves need nothing but themselves, so all of them are hashed first, side by side, where they lie. Then the nodes
//! are gone through from the last to the first, two siblings at a time, which make the row of their parent. Internal
//! nodes take the labels of finished rows in the same order in which these were begun, so no node needs to know where
//! its children are. When a label is needed that is not there yet, all rows that wait are hashed together; so only
//! about two levels are in memory at a time, since a hostile proof may have many more nodes than bytes.

use super::{
    Proof,
    shape::{Shape, Tag},
};
use crate::{
    hash::{self, HashLanes, Preimage, Single},
    label::Label,
    node::{self, set_half},
};

type Hash = [u8; 32];

/// What an empty node has for a label.
const EMPTY: &Hash = &[0; 32];

/// A proof of no more pairs of siblings is most likely that of one key: a single way up, on which no two hashes can be computed
/// together. So that way is tried first, before there is memory for rows.
const FEW: usize = 48;

/// The root label of one proof.
pub(super) fn root(proof: &Proof) -> Label {
    let leaves = leaves(std::slice::from_ref(proof));
    let mut climb = Climb::new(proof, &leaves);
    // The widest level of a proof of many keys has about an eighth of all nodes; that of a hostile one far fewer.
    let room = (climb.pairs / 8).min(1 << 10) + 4;
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    if (1..=FEW).contains(&climb.pairs) {
        let label = climb.bottom();
        // It was the way to one key indeed, and that is the root.
        if climb.pairs == 0 {
            return climb.root(&[label]);
        }
        labels.push(label);
    }
    rows.reserve(room);
    labels.reserve(room);
    while climb.pairs > 0 {
        climb.place(&labels, &mut rows);
        hash_rows(&mut rows, &mut labels);
        if let [label] = &mut labels[..] {
            *label = climb.alone(*label);
        }
    }
    climb.root(&labels)
}

/// The root labels of `proofs`.
pub(super) fn roots(proofs: &[Proof]) -> Vec<Label> {
    let all_leaves = leaves(proofs);
    let (mut roots, mut climbs) = (Vec::with_capacity(proofs.len()), Vec::with_capacity(proofs.len()));
    let mut rest = &all_leaves[..];
    for (number, proof) in proofs.iter().enumerate() {
        let (leaves, others) = rest.split_at(proof.shape.total().leaves as usize);
        rest = others;
        let climb = Climb::new(proof, leaves);
        roots.push(climb.root(&[]));
        if climb.pairs > 0 {
            climbs.push((number, climb, 0..0));
        }
    }
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    // All proofs climb together, one row of each at least in a turn: the hash is fast only where many rows are at hand.
    while !climbs.is_empty() {
        for (_, climb, ready) in &mut climbs {
            let first = rows.len();
            climb.place(&labels[ready.clone()], &mut rows);
            *ready = first..rows.len();
        }
        hash_rows(&mut rows, &mut labels);
        climbs.retain(|(number, climb, ready)| {
            roots[*number] = climb.root(&labels[ready.clone()]);
            climb.pairs > 0
        });
    }
    roots
}

/// The labels of all leaves, in the order of their payloads.
fn leaves(proofs: &[Proof]) -> Vec<Hash> {
    let count = proofs.iter().map(|proof| proof.shape.total().leaves as usize).sum();
    let (mut labels, mut lanes) = (Vec::with_capacity(count), HashLanes::new());
    let mut emit = |hash| labels.push(Label::leaf(hash).into());
    for proof in proofs {
        proof.shape.leaf_payloads(|at| lanes.push(&proof.payload, at, &mut emit));
    }
    lanes.finish(&mut emit);
    labels
}

/// Hashes all rows, and forgets them.
fn hash_rows(rows: &mut Vec<Preimage>, labels: &mut Vec<Hash>) {
    labels.clear();
    if let [row] = &rows[..] {
        labels.push(Label::internal(hash::one(row)).into());
    } else {
        // One row more, to be read after the others.
        rows.push([0; 64]);
        hash::all_but_last(rows, |hash| labels.push(Label::internal(hash).into()));
    }
    rows.clear();
}

/// A proof on its way from the last node to the root.
struct Climb<'a> {
    shape: &'a Shape,
    /// As many pairs of siblings are left, and lie before all others.
    pairs: usize,
    /// The label of the right sibling of the last of them, if that is known already.
    right: Option<Hash>,
    /// The labels of the leaves.
    leaves: &'a [Hash],
    /// Leaves that are left.
    leaf: usize,
    /// The payload, two pieces for each leaf and one for each stub.
    pieces: &'a [Hash],
    /// Pieces that are left.
    piece: usize,
}

impl<'a> Climb<'a> {
    fn new(proof: &'a Proof, leaves: &'a [Hash]) -> Self {
        let pieces = proof.payload().as_chunks().0;
        let pairs = proof.shape.total().internals as usize;
        Self { shape: &proof.shape, pairs, right: None, leaves, leaf: leaves.len(), pieces, piece: pieces.len() }
    }

    /// Makes rows of pairs, as far as labels allow. `ready` are the labels of the rows that were made the last time.
    fn place(&mut self, ready: &[Hash], rows: &mut Vec<Preimage>) {
        let mut ready = ready;
        if let Some(right) = self.right.take() {
            rows.push(node::row(self.take(Tag::Internal, &mut ready), &right));
            self.pairs -= 1;
        }
        while self.pairs > 0 {
            let (left, right) = self.shape.pair(self.pairs - 1);
            let needed = usize::from(left == Tag::Internal) + usize::from(right == Tag::Internal);
            // Labels are used up from the end, so the right half is taken now, and the pair waits for its left one.
            if needed > ready.len() {
                if right != Tag::Internal || !ready.is_empty() {
                    self.right = Some(*self.take(right, &mut ready));
                }
                break;
            }
            rows.push([0; 64]);
            if let Some(row) = rows.last_mut() {
                row[32..].copy_from_slice(self.take(right, &mut ready));
                row[..32].copy_from_slice(self.take(left, &mut ready));
            }
            self.pairs -= 1;
        }
    }

    /// The label of the next node, which has this tag.
    ///
    /// Which one comes cannot be foreseen, so there is no branch for it: all labels that may be meant are looked up.
    fn take<'b>(&mut self, tag: Tag, ready: &mut &'b [Hash]) -> &'b Hash
    where
        'a: 'b,
    {
        let (leaf, piece) = (self.leaf.wrapping_sub(1), self.piece.wrapping_sub(1));
        let choice = [
            EMPTY,
            self.leaves.get(leaf).unwrap_or(EMPTY),
            self.pieces.get(piece).unwrap_or(EMPTY),
            ready.first().unwrap_or(EMPTY),
        ];
        let (is_leaf, is_stub) = (usize::from(tag == Tag::Leaf), usize::from(tag == Tag::Stub));
        self.leaf = self.leaf.wrapping_sub(is_leaf);
        self.piece = self.piece.wrapping_sub(2 * is_leaf + is_stub);
        *ready = ready.get(usize::from(tag == Tag::Internal)..).unwrap_or_default();
        choice[tag as usize]
    }

    /// The label at the end of the way up that begins with the last pair, as far as it is alone. There is a pair.
    fn bottom(&mut self) -> Hash {
        self.pairs -= 1;
        let (left, right) = self.shape.pair(self.pairs);
        // Below the last siblings there is nothing.
        let ready = &mut &[][..];
        let (right, left) = (self.take(right, ready), self.take(left, ready));
        self.alone(Label::internal(hash::one(&node::row(left, right))).into())
    }

    /// Goes on, as long as the only row that can be made is that over the node of `label`: the way to a single key,
    /// where each hash waits for the one before. Returns the last label.
    fn alone(&mut self, label: Hash) -> Hash {
        let (single, mut label) = (Single::new(), label);
        let mut row: Preimage = [0; 64];
        if let Some(right) = self.right.take() {
            label = Label::internal(single.hash(&node::row(&label, &right))).into();
            self.pairs -= 1;
        }
        while let Some((side, beside)) = self.beside() {
            set_half(&mut row, side, &label);
            set_half(&mut row, 1 - side, beside);
            label = Label::internal(single.hash(&row)).into();
        }
        label
    }

    /// The side of the only internal node of the next pair, and the label of its sibling, if there is such a pair.
    fn beside(&mut self) -> Option<(usize, &'a Hash)> {
        let (left, right) = self.shape.pair(self.pairs.checked_sub(1)?);
        let side = usize::from(right == Tag::Internal);
        let (beside, leaves, stubs) = match [right, left][side] {
            Tag::Empty => (EMPTY, 0, 0),
            Tag::Leaf => (&self.leaves[self.leaf - 1], 1, 0),
            Tag::Stub => (&self.pieces[self.piece - 1], 0, 1),
            Tag::Internal => return None,
        };
        if side == 0 && left != Tag::Internal {
            return None;
        }
        self.leaf -= leaves;
        self.piece -= 2 * leaves + stubs;
        self.pairs -= 1;
        Some((side, beside))
    }

    /// The root's label, once nothing is left. `ready` are the labels of the rows that were made the last time.
    fn root(&self, ready: &[Hash]) -> Label {
        let label = match self.shape.tag(0) {
            Tag::Empty => Some(EMPTY),
            Tag::Leaf => self.leaves.first(),
            Tag::Stub => self.pieces.first(),
            Tag::Internal => ready.last(),
        };
        Label::from_bytes(*label.unwrap_or(EMPTY))
    }
}

/// The labels of all nodes of `proof`, by their numbers.
pub(super) fn all(proof: &Proof) -> Vec<Hash> {
    let leaves = leaves(std::slice::from_ref(proof));
    let (mut leaf, mut pieces) = (leaves.iter(), proof.payload().as_chunks().0);
    let own = |node| match proof.shape.tag(node) {
        Tag::Empty | Tag::Internal => *EMPTY,
        Tag::Stub => *pieces.split_off_first().expect("a stub has its payload"),
        Tag::Leaf => {
            pieces = &pieces[2..];
            *leaf.next().expect("each leaf has a label")
        }
    };
    let mut all: Vec<Hash> = (0..proof.shape.len()).map(own).collect();
    // One row more, to be read after the others.
    all.extend([[0; 32]; 2]);
    let mut labels = Vec::new();
    for level in proof.shape.levels().into_iter().rev() {
        let internals: Vec<usize> = level.nodes.filter(|node| proof.shape.tag(*node) == Tag::Internal).collect();
        if let Some(first) = internals.first() {
            let children = proof.shape.first_child(*first)..;
            let rows = all[children].as_flattened().as_chunks().0;
            labels.clear();
            hash::all_but_last(&rows[..=internals.len()], |hash| labels.push(Label::internal(hash).into()));
            internals.iter().zip(&labels).for_each(|(node, label)| all[*node] = *label);
        }
    }
    all.truncate(proof.shape.len());
    all
}
