//! Labels of proofs, level by level from the deepest up, those of many proofs at a time.
//!
//! Siblings lie side by side in a level, so its labels, two by two, are the rows of the internal nodes of the level
//! above, in order. That stays true when the levels of several proofs are put one after the other: every level but a
//! root's has an even number of nodes. Only two levels are in memory at a time, since a hostile proof may have many
//! more nodes than bytes.

use std::mem;

use super::{Look, Proof, shape::Level};
use crate::{
    hash::{Row, Rows},
    label::Label,
};

/// Rows gathered before they are hashed: enough for the vector unit, little enough to stay in the nearest cache.
const GATHERED: usize = 256;

type Hash = [u8; 32];

/// The root labels of `proofs`.
pub(super) fn roots(proofs: &[Proof]) -> Vec<Label> {
    let mut ahead: Vec<_> = proofs.iter().map(|proof| proof.shape.levels()).collect();
    let (mut below, mut level) = (Vec::new(), Labels::default());
    let depths = ahead.iter().map(Vec::len).max().unwrap_or(0);
    for depth in (0..depths).rev() {
        let mut pairs = Pairs::of(&below);
        for (proof, ahead) in proofs.iter().zip(&mut ahead).filter(|(_, ahead)| ahead.len() > depth) {
            let shown = ahead.pop().expect("there are more levels than `depth`");
            level.extend(proof, &shown, &mut pairs);
        }
        level.finish(&mut below);
    }
    below.into_iter().map(Label::from_bytes).collect()
}

/// The labels of all nodes of `proof`, by their numbers.
pub(super) fn all(proof: &Proof) -> Vec<Hash> {
    let mut labels = vec![[0; 32]; proof.shape.len()];
    let (mut below, mut level) = (Vec::new(), Labels::default());
    for shown in proof.shape.levels().into_iter().rev() {
        level.extend(proof, &shown, &mut Pairs::of(&below));
        level.finish(&mut below);
        labels[shown.nodes].copy_from_slice(&below);
    }
    labels
}

/// The rows of the internal nodes above a level, in order.
struct Pairs<'a> {
    rows: std::slice::Iter<'a, Row>,
}

impl<'a> Pairs<'a> {
    fn of(below: &'a [Hash]) -> Self {
        Self { rows: below.as_flattened().as_chunks().0.iter() }
    }

    fn next(&mut self) -> &'a Row {
        self.rows.next().expect("each internal node has two children in the level below")
    }
}

/// The labels of one level, of one proof or of several.
#[derive(Default)]
struct Labels {
    labels: Vec<Hash>,
    rows: Rows,
    /// Where the labels of the gathered rows go, and whether they are those of leaves.
    waiting: Vec<(usize, bool)>,
}

impl Labels {
    fn extend(&mut self, proof: &Proof, level: &Level, pairs: &mut Pairs<'_>) {
        for node in proof.nodes(level) {
            match node {
                Look::Empty => self.labels.push([0; 32]),
                Look::Stub(label) => self.labels.push(label.into()),
                Look::Leaf(row) => self.wait(row, true),
                Look::Internal(()) => self.wait(pairs.next(), false),
            }
        }
    }

    fn wait(&mut self, row: &Row, leaf: bool) {
        self.waiting.push((self.labels.len(), leaf));
        self.labels.push([0; 32]);
        self.rows.push(row);
        if self.rows.len() == GATHERED {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let (labels, waiting) = (&mut self.labels, &self.waiting);
        self.rows.hash(|number, hash| {
            let (place, leaf) = waiting[number];
            labels[place] = if leaf { Label::leaf(hash) } else { Label::internal(hash) }.into();
        });
        self.waiting.clear();
    }

    /// Puts the labels of the level into `below`, in place of those of the level under it.
    fn finish(&mut self, below: &mut Vec<Hash>) {
        self.settle();
        below.clear();
        mem::swap(&mut self.labels, below);
    }
}
