//! The rules of the thesis for a history-aware tree (4.3.5, 5.1) word for word: every node has an age, contraction
//! keeps the younger one, and what a height wrote is walked once, T heights later, to cut what has become old. The
//! library holds what follows from this by a rule of its own, and is compared to it node by node.

use super::{Bytes32, Records, bit, hash};

/// A prefix: its first bits, and their number.
pub type Kept = (Bytes32, usize);

#[derive(Clone, Debug)]
pub enum Aged {
    Empty { born: i64 },
    Leaf { path: Bytes32, digest: Bytes32, born: i64 },
    Internal(Box<[Aged; 2]>),
    Pruned { label: Bytes32, born: i64 },
}

impl Aged {
    pub fn build(records: &Records, born: i64) -> Self {
        let mut tree = Self::Empty { born };
        for (path, digest) in records {
            tree = tree.insert(path, digest, born, 0);
        }
        tree
    }

    pub fn label(&self) -> Bytes32 {
        match self {
            Self::Empty { .. } => [0; 32],
            Self::Leaf { path, digest, .. } => {
                let mut label = hash(&[*path, *digest].concat());
                label[0] |= 128;
                label
            }
            Self::Internal(children) => {
                let mut label = hash(&[children[0].label(), children[1].label()].concat());
                label[0] &= 127;
                label
            }
            Self::Pruned { label, .. } => *label,
        }
    }

    /// Everything held, as a proof.
    pub fn shown(&self) -> super::Node {
        match self {
            Self::Empty { .. } => super::Node::Empty,
            Self::Leaf { path, digest, .. } => super::Node::Leaf(*path, *digest),
            Self::Internal(children) => super::internal(children[0].shown(), children[1].shown()),
            Self::Pruned { label, .. } => super::Node::Stub(*label),
        }
    }

    fn born(&self) -> i64 {
        match self {
            Self::Empty { born } | Self::Leaf { born, .. } | Self::Pruned { born, .. } => *born,
            Self::Internal(children) => children[0].born().max(children[1].born()),
        }
    }

    fn dated(proof: &super::Node, date: i64) -> Self {
        match proof {
            super::Node::Empty => Self::Empty { born: date },
            super::Node::Leaf(path, digest) => Self::Leaf { path: *path, digest: *digest, born: date },
            super::Node::Stub(label) => Self::Pruned { label: *label, born: date },
            super::Node::Internal(children) => {
                Self::Internal(Box::new([Self::dated(&children[0], date), Self::dated(&children[1], date)]))
            }
        }
    }

    pub fn graft(self, proof: Option<&super::Node>, path: &Bytes32, depth: usize) -> Self {
        match self {
            Self::Pruned { label, born } => {
                let proof = proof.expect("the proof reaches as far as the stub");
                assert_eq!(super::label(proof), label);
                Self::dated(proof, born)
            }
            Self::Internal(children) => {
                let side = usize::from(bit(path, depth));
                let below = match proof {
                    Some(super::Node::Internal(children)) => Some(&children[side]),
                    _ => None,
                };
                let mut children = *children;
                children[side] = children[side].clone().graft(below, path, depth + 1);
                Self::Internal(Box::new(children))
            }
            terminal => terminal,
        }
    }

    pub fn insert(self, path: &Bytes32, digest: &Bytes32, now: i64, depth: usize) -> Self {
        let new = Self::Leaf { path: *path, digest: *digest, born: now };
        match self {
            Self::Empty { .. } => new,
            Self::Leaf { path: there, .. } if there == *path => new,
            Self::Leaf { path: there, .. } => {
                let mut children = [Self::Empty { born: now }, Self::Empty { born: now }];
                children[usize::from(bit(&there, depth))] = self;
                Self::Internal(Box::new(children)).insert(path, digest, now, depth)
            }
            Self::Internal(mut children) => {
                let child = &mut children[usize::from(bit(path, depth))];
                *child = child.clone().insert(path, digest, now, depth + 1);
                Self::Internal(children)
            }
            Self::Pruned { .. } => panic!("graft first"),
        }
    }

    pub fn remove(self, path: &Bytes32, now: i64, depth: usize) -> Self {
        let mut children = match self {
            Self::Leaf { path: there, .. } => {
                assert_eq!(there, *path);
                return Self::Empty { born: now };
            }
            Self::Internal(children) => *children,
            Self::Empty { .. } | Self::Pruned { .. } => panic!("nothing there to be removed"),
        };
        let side = usize::from(bit(path, depth));
        children[side] = children[side].clone().remove(path, now, depth + 1);
        for (gone, kept) in [(0, 1), (1, 0)] {
            let Self::Empty { born: date } = children[gone] else { continue };
            match &children[kept] {
                Self::Leaf { path, digest, born } => {
                    return Self::Leaf { path: *path, digest: *digest, born: date.max(*born) };
                }
                Self::Empty { born } => return Self::Empty { born: date.max(*born) },
                _ => {}
            }
        }
        Self::Internal(Box::new(children))
    }

    /// Forgets what a change T heights ago left on this path, outside of the kept prefixes.
    pub fn prune(self, path: &Bytes32, now: i64, heights: i64, kept: &[Kept], depth: usize) -> Self {
        let Self::Internal(children) = self else { return self };
        let mut children = *children;
        let side = usize::from(bit(path, depth));
        children[side] = children[side].clone().prune(path, now, heights, kept, depth + 1);
        let meets = |(prefix, bits): &Kept| (0..depth.min(*bits)).all(|d| bit(prefix, d) == bit(path, d));
        let node = Self::Internal(Box::new(children));
        let Self::Internal(children) = &node else { unreachable!("just made") };
        let terminal = |child: &Self| !matches!(child, Self::Internal(_));
        if !kept.iter().any(meets) && children.iter().all(terminal) && now - node.born() >= heights {
            return Self::Pruned { label: node.label(), born: node.born() };
        }
        node
    }
}
