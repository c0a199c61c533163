//! What can be wrong with what others send, and why a transfer ends without a state.

use pleach_store::Error as StoreError;
use pleach_tree::{MergeError, NotHeld};
use pleach_verify::Misbehaviour;
use thiserror::Error;

use super::wire::Item;

/// What another member sent is not what it should be: no honest member sends it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum InvalidPart {
    #[error("a part of {bytes} bytes, where {due} are due")]
    NotFull { bytes: usize, due: usize },
    #[error("an item of {total} bytes, where there may be {most}")]
    TooLong { total: usize, most: usize },
    #[error("an item of {known} bytes is said to have {total}")]
    AnotherLength { known: usize, total: usize },
    /// It is not what is certified.
    #[error("its {0}")]
    NotCertified(#[from] Misbehaviour),
}

/// Why a transfer ends without a state. The next one begins at a newer height.
#[derive(Debug, Error)]
pub(crate) enum TransferFailure {
    #[error("none of {sources} members that should have it gives {item:?}")]
    Nobody { item: Item, sources: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    #[error(transparent)]
    State(#[from] pleach_state::RestoreError),
}
