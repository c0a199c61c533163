#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! | module | what it fixes |
//! | --- | --- |
//! | `path` | where a key stands: the only call of the path function |
//! | `label` | the 32 bytes that stand for a subtree, and the kind bit in them |
//! | `hash` | BLAKE3 of many 64-byte rows at a time |
//! | `node` | nodes in memory, shared between versions of the tree |
//! | `batch` | how a batch of changes reaches the nodes, and when labels are computed |
//! | `tree` | [`Tree`], the public face of the four above |
//! | `proof` | [`Proof`] and [`VerifiedProof`]: cutting, encoding, checking, merging |
//!
//! The crate is pure: no clock, no I/O, no randomness, no floating point. The same records give the same
//! labels and the same proof bytes on every machine.

mod batch;
mod hash;
mod iter;
mod label;
mod node;
mod path;
mod proof;
#[cfg(test)]
mod tests;
mod tree;

pub use iter::Iter;
pub use label::{Kind, Label, ValueDigest};
pub use path::Path;
pub use proof::{DecodeError, HashedProof, MergeError, Proof, ProofLimits, Undecided, VerifiedProof, VerifyError};
pub use tree::Tree;
