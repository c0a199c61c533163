//! Proofs of whole parts of the key space, and what can be learned from proofs of other trees of the same history.

use std::fmt;

use super::{Cursor, Look, MergeError, Undecided, VerifiedProof, View, cut::join_at, labels};
use crate::{
    label::{Label, ValueDigest},
    node::half,
    path::Path,
    prefix::{Prefix, Scope, any_contains, disjoint},
};

/// A verified proof of every path under some prefixes (thesis 3.3): what a store holds that keeps them.
///
/// ```
/// use pleach_tree::{Partition, Path, Prefix, Proof, ProofLimits, Tree};
///
/// let tree: Tree = (0..100).map(|i| (format!("key {i}").into(), "value".into())).collect();
/// let [left, right] = Prefix::ALL.halves().expect("there are bits left");
///
/// // Each half travels as bytes; whoever knows the root can check it, and put both together again.
/// let fetch = |prefix| -> Result<Partition, Box<dyn std::error::Error>> {
///     let bytes = tree.partition([prefix]).encode();
///     let proof = Proof::decode(&bytes, &ProofLimits::default())?.verify(tree.root())?;
///     Ok(Partition::new(proof, [prefix])?)
/// };
/// let whole = fetch(left)?.merge(&fetch(right)?)?;
/// assert_eq!(whole.records().count(), 100);
/// assert!(whole.get(b"key 7")?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Partition {
    proof: VerifiedProof,
    /// Sorted and disjoint.
    prefixes: Vec<Prefix>,
}

impl Partition {
    /// Takes a proof for the partition that it is, if it is one.
    ///
    /// # Errors
    ///
    /// If it leaves out something under `prefixes`.
    pub fn new(proof: VerifiedProof, prefixes: impl IntoIterator<Item = Prefix>) -> Result<Self, Incomplete> {
        let prefixes = disjoint(prefixes);
        for prefix in &prefixes {
            let mut ahead = vec![(proof.top(), Scope::root(std::slice::from_ref(prefix)), 0)];
            while let Some((cursor, scope, depth)) = ahead.pop() {
                match cursor.look(depth) {
                    _ if scope.is_outside() => {}
                    Look::Stub(_) => return Err(Incomplete { prefix: *prefix }),
                    Look::Internal(children) => {
                        ahead.extend(children.into_iter().zip(scope.children(depth)).map(|(c, s)| (c, s, depth + 1)));
                    }
                    Look::Empty | Look::Leaf(_) => {}
                }
            }
        }
        Ok(Self { proof, prefixes })
    }

    /// The root of the tree that this is a part of.
    pub fn root(&self) -> Label {
        self.proof.root()
    }

    /// The prefixes, sorted, none within another.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// The proof, which may decide more than what is under the prefixes.
    pub fn proof(&self) -> &VerifiedProof {
        &self.proof
    }

    /// Gives the proof away.
    pub fn into_proof(self) -> VerifiedProof {
        self.proof
    }

    /// What the tree holds under `key`: see [`VerifiedProof::get`].
    ///
    /// # Errors
    ///
    /// If the proof does not decide the key, which then is not under the prefixes.
    pub fn get(&self, key: &[u8]) -> Result<Option<ValueDigest>, Undecided> {
        self.proof.get(key)
    }

    /// The records under the prefixes, in path order.
    pub fn records(&self) -> impl Iterator<Item = (Path, ValueDigest)> {
        let mut ahead: Vec<Cursor<'_>> = vec![self.proof.top()];
        let leaves = std::iter::from_fn(move || {
            while let Some(cursor) = ahead.pop() {
                match cursor.look(0) {
                    Look::Leaf(row) => return Some((half(&row, 0).into(), half(&row, 1).into())),
                    Look::Internal([left, right]) => ahead.extend([right, left]),
                    Look::Empty | Look::Stub(_) => {}
                }
            }
            None
        });
        leaves.filter(|(path, _): &(Path, _)| any_contains(&self.prefixes, path))
    }

    /// The union of two partitions of the same tree (thesis 3.3).
    ///
    /// # Errors
    ///
    /// If they are of different trees.
    pub fn merge(&self, other: &Self) -> Result<Self, MergeError> {
        let proof = self.proof.merge(&other.proof)?;
        Ok(Self { proof, prefixes: disjoint(self.prefixes.iter().chain(&other.prefixes).copied()) })
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("root", &self.root())
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}

impl VerifiedProof {
    /// This proof, extended by what a proof `from` another tree of the same history shows of `key` (thesis 3.4,
    /// algorithm 1).
    ///
    /// Where this proof has a stub on the way to the key and the other one shows a node with the very same label at
    /// that place, the node takes the stub's place with all that is shown below it. If this proof decides the key
    /// already, it stays as it is, as long as both say the same of the key's record: absent, or present with the same
    /// value digest. (The thesis compares the nodes at the ends of the two ways, and so refuses a key that is absent
    /// in both trees if the leaf that its way ends at is another one.)
    ///
    /// Success says that the record is the same in both trees (observation 1). Failure need not mean the contrary,
    /// unless this proof decides the key or is of a history tree (observation 2, theorem 1).
    ///
    /// # Errors
    ///
    /// If `from` does not decide the key, or cannot take the stub's place.
    pub fn extend(&self, from: &Self, key: &[u8]) -> Result<Self, ExtendError> {
        self.extend_path(from, &Path::of(key))
    }

    pub(crate) fn extend_path(&self, from: &Self, path: &Path) -> Result<Self, ExtendError> {
        let theirs = from.get_path(path).map_err(ExtendError::Undecided)?;
        match self.get_path(path) {
            Ok(ours) if ours == theirs => Ok(self.clone()),
            Ok(ours) => Err(ExtendError::Different { path: *path, ours, theirs }),
            Err(_) if self.stub_is_known(from, path) => {
                Ok(Self { proof: join_at(&self.proof, &from.proof, path), root: self.root })
            }
            Err(_) => Err(ExtendError::NoSuchNode { path: *path }),
        }
    }

    /// Whether `from` shows an internal node with the label of the stub at the end of `path`, at the same place.
    ///
    /// It could stand at no other: a label covers the records below it, and an internal node above or below has more
    /// or fewer, or one way more through an empty node.
    fn stub_is_known(&self, from: &Self, path: &Path) -> bool {
        let (mut ours, mut theirs) = (self.top(), from.top());
        for depth in 0.. {
            match (ours.look(depth), theirs.look(depth)) {
                (Look::Internal(one), Look::Internal(other)) => {
                    let side = usize::from(path.bit(depth));
                    (ours, theirs) = (one[side], other[side]);
                }
                (Look::Stub(label), Look::Internal(_)) => {
                    return labels::all(&from.proof)[theirs.node] == *label.as_bytes();
                }
                _ => return false,
            }
        }
        false
    }
}

/// A proof leaves out something under a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("proof does not show everything under {prefix:?}")]
pub struct Incomplete {
    /// The prefix.
    pub prefix: Prefix,
}

/// Why a proof cannot be extended by another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The other proof does not decide the key.
    #[error(transparent)]
    Undecided(Undecided),
    /// The record is not the same in both trees.
    #[error("the record at {path} differs between the two trees")]
    Different {
        /// The path of the key.
        path: Path,
        /// The value digest in the tree to be extended.
        ours: Option<ValueDigest>,
        /// The value digest in the other tree.
        theirs: Option<ValueDigest>,
    },
    /// Nothing that the other proof shows has the label of the stub.
    #[error("no node of the other proof on the path {path} is the one left out")]
    NoSuchNode {
        /// The path of the key.
        path: Path,
    },
}
