//! Labels of proofs, level by level from the deepest up, those of many proofs at a time.
//!
//! Leaves need nothing but themselves, so all of them are hashed first, side by side. Siblings lie next to each other
//! in a level, so its labels, two by two, are the rows of the internal nodes of the level above, in order. That stays
//! true when the levels of several proofs are put one after the other: every level but a root's has an even number of
//! nodes. Only two levels are in memory at a time, since a hostile proof may have many more nodes than bytes.

use super::{
    Proof, next,
    shape::{Level, Tag},
};
use crate::{
    hash::{self, Rows},
    label::Label,
};

type Hash = [u8; 32];

/// The root labels of `proofs`.
pub(super) fn roots(proofs: &[Proof]) -> Vec<Label> {
    let mut leaves = Vec::new();
    hash_leaves(proofs, &mut leaves);
    // The levels that are left of each proof, and where the labels of its leaves begin.
    let mut first_leaf = 0;
    let mut ahead = Vec::with_capacity(proofs.len());
    for proof in proofs {
        ahead.push((proof, proof.shape.levels(), first_leaf));
        first_leaf += proof.shape.total().leaves as usize;
    }
    let mut labels = Labels::default();
    let depths = ahead.iter().map(|(_, levels, _)| levels.len()).max().unwrap_or(0);
    for depth in (0..depths).rev() {
        labels.go_up();
        for (proof, levels, first_leaf) in ahead.iter_mut().filter(|(_, levels, _)| levels.len() > depth) {
            let level = levels.pop().expect("there are more levels than `depth`");
            labels.extend(proof, &level, &leaves[*first_leaf..]);
        }
    }
    labels.level.into_iter().map(Label::from_bytes).collect()
}

/// The labels of all nodes of `proof`, by their numbers.
pub(super) fn all(proof: &Proof) -> Vec<Hash> {
    let (mut all, mut leaves) = (vec![[0; 32]; proof.shape.len()], Vec::new());
    hash_leaves(std::slice::from_ref(proof), &mut leaves);
    let mut labels = Labels::default();
    for level in proof.shape.levels().into_iter().rev() {
        labels.go_up();
        labels.extend(proof, &level, &leaves);
        all[level.nodes].copy_from_slice(&labels.level);
    }
    all
}

/// Adds the labels of all leaves, in the order of their payloads.
fn hash_leaves(proofs: &[Proof], labels: &mut Vec<Hash>) {
    let count = proofs.iter().map(|proof| proof.shape.total().leaves as usize).sum();
    let mut rows = Rows::with_capacity(count);
    for proof in proofs {
        proof.shape.leaf_payloads(|at| rows.push(next(&mut &proof.payload[at..])));
    }
    labels.reserve(count);
    rows.hash(|hash| labels.push(Label::leaf(hash).into()));
}

/// The labels of one level, of one proof or of several.
#[derive(Default)]
struct Labels {
    level: Vec<Hash>,
    /// Those of the level's internal nodes, until they have their places.
    internals: Vec<Hash>,
    /// As many of these as have their places.
    placed: usize,
}

impl Labels {
    /// Hashes the level, two by two, and makes room for the one above.
    fn go_up(&mut self) {
        self.internals.clear();
        self.placed = 0;
        if !self.level.is_empty() {
            // One row more, to be read behind the others.
            self.level.extend([[0; 32]; 2]);
            let (rows, _) = self.level.as_flattened().as_chunks();
            hash::all_but_last(rows, |hash| self.internals.push(Label::internal(hash).into()));
            self.level.clear();
        }
    }

    /// Adds a proof's level. `leaves` are the labels of all leaves of the proof, and what follows them.
    fn extend(&mut self, proof: &Proof, level: &Level, leaves: &[Hash]) {
        let (mut stubs, _) = proof.payload[level.payload..].as_chunks::<32>();
        let mut leaves = &leaves[level.leaves..];
        let mut internals = self.internals[self.placed..].iter();
        self.level.extend(level.nodes.clone().map(|node| match proof.shape.tag(node) {
            Tag::Empty => [0; 32],
            Tag::Stub => *stubs.split_off_first().expect("a stub has its payload"),
            Tag::Leaf => {
                stubs = &stubs[2..];
                *leaves.split_off_first().expect("each leaf has a label")
            }
            Tag::Internal => *internals.next().expect("each internal node has been hashed"),
        }));
        self.placed = self.internals.len() - internals.len();
    }
}
