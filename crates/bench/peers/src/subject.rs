//! What a tree must do to be measured.

use std::any::Any;

use crate::records::{Change, Key, Value};

/// A tree with records of 32 and 32 bytes.
///
/// The adapters are thin: they convert what they must, and that counts, as it would for any user. Where a library offers
/// several ways, the fastest is taken.
pub trait Subject: Sized {
    /// The name in tables.
    const NAME: &'static str;

    /// Whether everything is in the heap, so that memory can be measured there.
    const IN_HEAP: bool = true;

    /// Whether it holds digests of values alone, so that its memory is that of digests and structure.
    const DIGESTS: bool = false;

    /// A proof, as the library hands it over.
    type Proof;

    /// An empty tree.
    ///
    /// # Errors
    /// If the library cannot be started.
    fn new() -> Result<Self, String>;

    /// Applies one batch, in no order, of distinct keys, up to the new root.
    fn apply(&mut self, changes: &[Change]);

    /// What has to follow `apply` before the next call and is not counted.
    fn settle(&mut self) {}

    /// The root.
    fn root(&self) -> [u8; 32];

    /// Proves the records of `keys`.
    fn prove(&mut self, keys: &[Key]) -> Self::Proof;

    /// The bytes of a proof in the library's own encoding, or, where it has none, of its parts without any framing.
    fn proof_bytes(proof: &Self::Proof) -> usize;

    /// Whether `proof` shows that a tree with this root has these records.
    fn verify(root: &[u8; 32], proof: &Self::Proof, records: &[(Key, Value)]) -> bool;

    /// A version of the tree that stays as it is until it is dropped, if the library has such.
    fn snapshot(&mut self) -> Option<Box<dyn Any>> {
        None
    }

    /// An independent copy for changes that may be thrown away, if the library has such.
    fn fork(&self) -> Option<Self> {
        None
    }
}
