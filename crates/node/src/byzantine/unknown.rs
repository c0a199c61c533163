//! What is said of a kind of nodes that this program does not have.

use thiserror::Error;

/// Why there is no such way to break the rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownByzantine {
    /// The program was built without such nodes.
    #[error("this program has no nodes that break the rules")]
    NotBuilt,
    /// It has such nodes, but not this kind.
    #[error("there is no kind {0:?}")]
    Kind(String),
}
