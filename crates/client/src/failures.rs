//! What failures of nodes mean for whoever would ask again.

use crate::error::{Error, NodeFailure, ReplyFault};
use crate::transport::TransportError;

/// How often all nodes are tried where every one of them is out of reach: a few rounds tell a restart from an absence.
pub(crate) const ROUNDS_ALONE: u32 = 4;

/// What nodes say of a height that they do not remember.
const FORGOTTEN: &str = "HEIGHT_FORGOTTEN";

/// Whether the nodes that were asked have forgotten the height.
pub(crate) fn is_forgotten(error: &Error) -> bool {
    matches!(error, Error::Unavailable(failures) if failures.iter().any(NodeFailure::has_forgotten))
}

/// Whether it makes no sense to ask again after so many rounds of this kind. Refused connections come back at once.
pub(crate) fn are_hopeless(failures: &[NodeFailure], round: u32) -> bool {
    !failures.iter().any(may_recover) || (round >= ROUNDS_ALONE && failures.iter().all(is_unreachable))
}

pub(crate) fn may_recover(failure: &NodeFailure) -> bool {
    match &failure.why {
        // Forgotten heights do not come back; the caller may name another.
        ReplyFault::Transport(TransportError::Problem(problem)) => problem.retryable && problem.code != FORGOTTEN,
        ReplyFault::Transport(_) => true,
        ReplyFault::Invalid(_) => false,
    }
}

/// Whether a node says that others keep a record.
pub(crate) fn is_not_kept(failure: &NodeFailure) -> bool {
    failure.says("NOT_KEPT")
}

/// Whether nothing answers at a node's address.
pub(crate) fn is_unreachable(failure: &NodeFailure) -> bool {
    matches!(failure.why, ReplyFault::Transport(TransportError::Unreachable(_)))
}
