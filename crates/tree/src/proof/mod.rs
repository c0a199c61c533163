//! Proofs: part of a tree, enough to compute its label.
//!
//! [`Proof`] says what somebody claims. [`Proof::hash`] computes its root, and [`HashedProof::against`] compares that
//! to one that is trusted for another reason. This is the only way to a [`VerifiedProof`], the only type that answers.
//! The encoding is fixed in `docs/proof-format.md`.

mod cut;
mod decode;
mod labels;
mod partition;
mod shape;

use std::fmt;

use self::{
    cut::Labelled,
    shape::{Level, Shape, Tag},
};
use crate::{
    hash::Preimage,
    label::{Label, ValueDigest},
    node::half,
    path::Path,
};

pub(crate) use self::cut::{Look, TreeView, View, chunk, cut, cut_prefixes};
pub use self::decode::{DecodeError, ProofLimits};
pub use self::partition::{ExtendError, Incomplete, Partition};

/// A part of a tree, not yet compared to a root.
///
/// It holds the paths of some keys down to where they end: in their own leaf, in another key's, or in an
/// empty node. What lies beside them is cut to one label, except that leaves stay visible as path and value
/// digest. It is kept nearly as it is encoded, in canonical form: equal proofs have equal bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    shape: Shape,
    /// `path || value digest` of the leaves and labels of the stubs, in the order of the nodes; then [`SPARE`] zeros.
    payload: Vec<u8>,
}

/// Bytes after the payload, so that leaves can be hashed where they are: vector code reads on after the end of its input.
const SPARE: usize = 64;

impl Proof {
    /// Decodes a proof, using every byte of `bytes`.
    ///
    /// # Errors
    ///
    /// If the input exceeds a limit or is not exactly what [`Proof::encode`] gives for some proof. Time and
    /// memory are bounded by a small multiple of the input's length.
    pub fn decode(bytes: &[u8], limits: &ProofLimits) -> Result<Self, DecodeError> {
        decode::decode(bytes, limits)
    }

    /// The encoding: the tags of all nodes, then the payloads.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len() + 8);
        self.shape.encode_into(&mut bytes);
        bytes.extend_from_slice(self.payload());
        bytes
    }

    /// The length of the encoding in bytes.
    pub fn encoded_len(&self) -> usize {
        self.shape.encoded_len() + self.payload().len()
    }

    /// How many nodes of every kind there are: what decoding and hashing the proof cost in proportion to.
    pub fn node_count(&self) -> usize {
        self.shape.len()
    }

    /// Whether nothing could be left out of this proof without losing one of these paths: each internal node is on the way
    /// to one of them. Of all proofs that decide the paths only the one that a tree itself would give is so.
    ///
    /// ```
    /// use pleach_tree::{Path, Tree};
    ///
    /// let mut tree = Tree::new();
    /// (0..100_u8).for_each(|n| drop(tree.insert(vec![n], "x")));
    /// let (one, two) = (Path::of(&[1]), Path::of(&[2]));
    /// assert!(tree.prove([[1]]).is_minimal_for(&[one]));
    /// assert!(!tree.prove([[1], [2]]).is_minimal_for(&[one]));
    /// assert!(tree.prove([[1], [2]]).is_minimal_for(&[one, two]));
    /// ```
    pub fn is_minimal_for(&self, paths: &[Path]) -> bool {
        let mut met = vec![0_u64; self.shape.len().div_ceil(64)];
        let mut internals = 0;
        for path in paths {
            let (mut node, mut depth) = (0, 0);
            while self.shape.tag(node) == Tag::Internal {
                let (word, bit) = (&mut met[node / 64], 1 << (node % 64));
                internals += u32::from(*word & bit == 0);
                *word |= bit;
                node = self.shape.first_child(node) + usize::from(path.bit(depth));
                depth += 1;
            }
        }
        internals == self.shape.total().internals
    }

    fn new(shape: Shape, mut payload: Vec<u8>) -> Self {
        payload.resize(payload.len() + SPARE, 0);
        Self { shape, payload }
    }

    /// The payload alone.
    fn payload(&self) -> &[u8] {
        &self.payload[..self.payload.len() - SPARE]
    }

    /// Computes the root. This is all the hashing that verification takes.
    pub fn hash(self) -> HashedProof {
        let root = labels::root(&self);
        HashedProof { proof: self, root }
    }

    /// [`Proof::hash`] of many proofs, in their order: level by level, with the nodes of all proofs hashed side by
    /// side. One proof of one key keeps the vector unit waiting at each of its levels; hundreds of them fill it.
    pub fn hash_many(proofs: Vec<Self>) -> Vec<HashedProof> {
        let roots = labels::roots(&proofs);
        proofs.into_iter().zip(roots).map(|(proof, root)| HashedProof { proof, root }).collect()
    }

    /// The label of the tree this proof is part of, computed anew.
    pub fn root(&self) -> Label {
        labels::root(self)
    }

    /// Checks that this is part of the tree with the root `expected`: [`Proof::hash`] and [`HashedProof::against`]
    /// in one.
    ///
    /// # Errors
    ///
    /// If it is part of another tree.
    pub fn verify(self, expected: Label) -> Result<VerifiedProof, VerifyError> {
        self.hash().against(expected)
    }

    /// The nodes of a level, read one after the other.
    fn nodes(&self, level: &Level) -> impl Iterator<Item = Look<&Preimage, ()>> {
        let mut payload = &self.payload[level.payload..];
        level.nodes.clone().map(move |node| match self.shape.tag(node) {
            Tag::Empty => Look::Empty,
            Tag::Leaf => Look::Leaf(next(&mut payload)),
            Tag::Stub => Look::Stub(Label::from_bytes(*next(&mut payload))),
            Tag::Internal => Look::Internal(()),
        })
    }

    /// The payloads of `node` and the nodes after it.
    fn payload_from(&self, node: usize) -> &[u8] {
        &self.payload[self.shape.counts_before(node).payload_len()..]
    }

    fn top(&self) -> Cursor<'_> {
        Cursor { proof: self, node: 0 }
    }

    /// The node where `path` ends.
    fn terminal(&self, path: &Path) -> usize {
        let full = self.shape.full_levels();
        let mut node = Shape::below(full, path);
        let mut depth = full as usize;
        while self.shape.tag(node) == Tag::Internal {
            node = self.shape.first_child(node) + usize::from(path.bit(depth));
            depth += 1;
        }
        node
    }

    /// The nodes where these paths end. All are followed together: each step on one way waits for the one before.
    fn terminals(&self, paths: &[Path]) -> Vec<usize> {
        let full = self.shape.full_levels();
        let mut nodes: Vec<usize> = paths.iter().map(|path| Shape::below(full, path)).collect();
        let mut ahead: Vec<usize> = (0..paths.len()).collect();
        let mut depth = full as usize;
        while !ahead.is_empty() {
            ahead.retain(|&at| {
                let is_internal = self.shape.tag(nodes[at]) == Tag::Internal;
                if is_internal {
                    nodes[at] = self.shape.first_child(nodes[at]) + usize::from(paths[at].bit(depth));
                }
                is_internal
            });
            depth += 1;
        }
        nodes
    }

    /// What the proof says of `path`, which ends at this node.
    fn content(&self, node: usize, path: &Path) -> Result<Option<ValueDigest>, Undecided> {
        match self.shape.tag(node) {
            Tag::Empty => Ok(None),
            Tag::Leaf => {
                let row: &Preimage = next(&mut self.payload_from(node));
                let is_its_own = row[..32] == *path.as_bytes();
                Ok(is_its_own.then(|| ValueDigest::from_bytes(half(row, 1))))
            }
            Tag::Stub | Tag::Internal => Err(Undecided { path: *path }),
        }
    }
}

/// Takes a payload of fixed size off the front of `rest`.
fn next<'a, const N: usize>(rest: &mut &'a [u8]) -> &'a [u8; N] {
    let (head, tail) = rest.split_first_chunk().expect("a proof's payload is as long as its tags say");
    *rest = tail;
    head
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("nodes", &self.shape.len())
            .field("leaves", &self.shape.total().leaves)
            .field("stubs", &self.shape.total().stubs)
            .finish_non_exhaustive()
    }
}

/// A node of a proof.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    proof: &'a Proof,
    node: usize,
}

/// A proof whose root has been computed but not yet compared to anything. It answers nothing.
///
/// For those who know several roots, or learn later which one counts: look [`HashedProof::root`] up among them, then
/// call [`HashedProof::against`]. Nothing is hashed a second time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashedProof {
    proof: Proof,
    root: Label,
}

impl HashedProof {
    /// The label of the tree that the proof is part of, whichever that is.
    pub fn root(&self) -> Label {
        self.root
    }

    /// The proof itself.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Checks that the proof is part of the tree with the root `expected`. Compares, and hashes nothing.
    ///
    /// # Errors
    ///
    /// If it is part of another tree.
    pub fn against(self, expected: Label) -> Result<VerifiedProof, VerifyError> {
        if self.root == expected {
            Ok(VerifiedProof { proof: self.proof, root: expected })
        } else {
            Err(VerifyError { expected, actual: self.root })
        }
    }
}

/// A proof that has been compared to a trusted root: made by [`Proof::verify`] or
/// [`HashedProof::against`], and from other verified proofs.
///
/// It answers for the keys whose paths it holds, whatever the keys it was made for.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    proof: Proof,
    root: Label,
}

impl VerifiedProof {
    /// The root this proof has been verified against.
    pub fn root(&self) -> Label {
        self.root
    }

    /// What the tree holds under `key`: the digest of its value, or `None` if it proves the key's absence.
    ///
    /// # Errors
    ///
    /// If the path of the key is not part of the proof, which then says nothing about it.
    pub fn get(&self, key: &[u8]) -> Result<Option<ValueDigest>, Undecided> {
        self.get_path(&Path::of(key))
    }

    /// [`VerifiedProof::get`] for those who know the key's path already.
    ///
    /// # Errors
    ///
    /// If the path is not part of the proof.
    pub fn get_path(&self, path: &Path) -> Result<Option<ValueDigest>, Undecided> {
        self.proof.content(self.proof.terminal(path), path)
    }

    /// [`VerifiedProof::get`] of many keys, in their order. The keys are followed together through the proof, which
    /// takes less time than one after the other.
    ///
    /// ```
    /// let tree = pleach_tree::Tree::from([("alice", "10"), ("bob", "20")]);
    /// let proof = tree.prove(["bob", "carol"]).verify(tree.root())?;
    /// assert_eq!(proof.get_all(["bob", "carol"])?, [tree.value_digest(b"bob"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first key whose path is not part of the proof.
    pub fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<ValueDigest>>, Undecided> {
        let paths: Vec<Path> = keys.into_iter().map(|key| Path::of(key.as_ref())).collect();
        self.contents(&paths).collect()
    }

    /// What the proof says of each of these paths.
    pub(crate) fn contents(&self, paths: &[Path]) -> impl Iterator<Item = Result<Option<ValueDigest>, Undecided>> {
        let nodes = self.proof.terminals(paths);
        nodes.into_iter().zip(paths).map(|(node, path)| self.proof.content(node, path))
    }

    pub(crate) fn top(&self) -> Cursor<'_> {
        self.proof.top()
    }

    /// The proof, to be sent on.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Gives the proof away as a claim that its next owner has to verify again.
    pub fn into_proof(self) -> Proof {
        self.proof
    }

    /// This proof cut down to `keys`: what the tree itself would have proved for them. Keys that this proof
    /// does not decide are left out.
    pub fn restrict<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Self {
        self.restrict_paths(keys.into_iter().map(|key| Path::of(key.as_ref())).collect())
    }

    pub(crate) fn restrict_paths(&self, mut paths: Vec<Path>) -> Self {
        // An undecided path would leave two stubs side by side at its end.
        paths.retain(|path| self.get_path(path).is_ok());
        let labels = labels::all(&self.proof);
        let top = Labelled { cursor: self.proof.top(), labels: &labels };
        Self { proof: cut(top, paths), root: self.root }
    }

    /// The union of two proofs of the same tree (thesis 3.3): it decides every key that either decides, and
    /// is what the tree itself would have proved for all of them.
    ///
    /// # Errors
    ///
    /// If the proofs have different roots.
    pub fn merge(&self, other: &Self) -> Result<Self, MergeError> {
        if self.root != other.root {
            return Err(MergeError { left: self.root, right: other.root });
        }
        Ok(Self { proof: cut::join(&self.proof, &other.proof), root: self.root })
    }
}

impl fmt::Debug for VerifiedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedProof").field("root", &self.root).field("proof", &self.proof).finish()
    }
}

/// A proof is of another tree than the one it should be of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("proof has the root {actual}, not {expected}")]
pub struct VerifyError {
    /// The trusted root.
    pub expected: Label,
    /// The root computed from the proof.
    pub actual: Label,
}

/// A proof does not hold the path of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("proof does not decide the key with the path {path}")]
pub struct Undecided {
    /// The path of the key.
    pub path: Path,
}

/// Two proofs cannot be merged because they are of different trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("proofs of different trees: {left} and {right}")]
pub struct MergeError {
    /// The root of the proof merged into.
    pub left: Label,
    /// The root of the other proof.
    pub right: Label,
}
