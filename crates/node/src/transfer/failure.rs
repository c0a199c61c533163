//! What can be wrong with what others send, and why a transfer ends without a state.

use pleach_store::Error as StoreError;
use pleach_tree::{Incomplete, MergeError, NotHeld, Path, Prefix, VerifyError};
use pleach_types::certificate::CertificateError;
use pleach_types::codec::DecodeError;
use pleach_types::{Hash, Height, Key};
use thiserror::Error;

use super::wire::Item;

/// What another member sent is not what it should be: no honest member sends it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Lie {
    #[error("a part of {bytes} bytes, where {due} are due")]
    NotFull { bytes: usize, due: usize },
    #[error("an item of {total} bytes, where there may be {most}")]
    TooLong { total: usize, most: usize },
    #[error("an item of {known} bytes is said to have {total}")]
    AnotherLength { known: usize, total: usize },
    #[error(transparent)]
    Form(#[from] DecodeError),
    #[error(transparent)]
    ProofForm(#[from] pleach_tree::DecodeError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("an offer with {0} headers: the block above must be certified itself")]
    Headers(usize),
    #[error("the {what} of height {height} is not the certified one")]
    Entry { what: &'static str, height: Height },
    #[error("a history of {size} results with root {root} is not the certified one")]
    History { size: u64, root: Hash },
    #[error("code {expected} has digest {found}")]
    Code { expected: Hash, found: Hash },
    #[error(transparent)]
    Root(#[from] VerifyError),
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    #[error("the proof leaves out {0}")]
    LeavesOut(Path),
    #[error("{prefix:?} does not begin at {start} within {within:?}")]
    Elsewhere { prefix: Prefix, start: Path, within: Prefix },
    #[error("record {0} is not the one that is proved")]
    Record(Key),
    #[error("the record at {0} is left out")]
    RecordLeftOut(Path),
}

/// Why a transfer ends without a state. The next one begins at a newer height.
#[derive(Debug, Error)]
pub(crate) enum Failure {
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
