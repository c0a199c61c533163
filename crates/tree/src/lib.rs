#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! | module | what it fixes |
//! | --- | --- |
//! | `path` | where a key stands: the only call of the path function |
//! | `label` | the 32 bytes that stand for a subtree, and the kind bit in them |
//! | `hash` | BLAKE3 of many 64-byte rows at a time |
//! | `prefix` | parts of the key space, and what a position is to them |
//! | `node`, `leaf_group` | nodes in memory, shared between versions of the tree |
//! | `edit` | changes sorted by path |
//! | `batch`, `fork`, `jobs` | how a batch of changes reaches the nodes, and when labels are computed |
//! | `parallel` | the only place that knows of threads, with the feature `parallel` |
//! | `core`, `tree` | [`Tree`], the public face of all above |
//! | `digests` | [`DigestTree`], the same without keys and values |
//! | `history` | [`HistoryTree`]: kept prefixes, the window, grafting and pruning |
//! | `proof` | [`Partition`], [`Proof`] and [`VerifiedProof`]: cutting, encoding, checking, merging |
//!
//! The crate is pure: no clock, no I/O, no randomness, no floating point. The same records give the same
//! labels and the same proof bytes on every machine.

mod batch;
mod core;
mod digests;
mod edit;
mod fork;
mod hash;
mod history;
mod iter;
mod jobs;
mod label;
mod leaf_group;
mod node;
mod parallel;
mod path;
mod prefix;
mod proof;
#[cfg(test)]
mod tests;
mod tree;

pub use digests::DigestTree;
pub use history::{
    HEIGHT_MAX, HeldCounts, HistoryTree, Incompatible, KeepError, NotHeld, Outline, OutlineNode, RestoreError,
    WrittenHeight,
};
pub use iter::Iter;
pub use label::{Label, LabelKind, ValueDigest};
pub use path::Path;
pub use prefix::Prefix;
pub use proof::{
    DecodeError, ExtendError, HashedProof, Incomplete, MergeError, Partition, Proof, ProofLimits, Undecided,
    VerifiedProof, VerifyError,
};
pub use tree::Tree;
