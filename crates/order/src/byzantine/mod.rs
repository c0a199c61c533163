//! The one place in the order where a member can be made to break the rules: the way that its votes go out.
//!
//! Without the feature `byzantine` there is nothing here: the way out is the network's own.

#[cfg(feature = "byzantine")]
mod equivocation;

#[cfg(feature = "byzantine")]
pub use equivocation::Equivocation;
#[cfg(feature = "byzantine")]
pub(crate) use equivocation::{VoteSender, votes};

/// The way out of votes.
#[cfg(not(feature = "byzantine"))]
pub(crate) type VoteSender<S> = S;

/// The way out of this member's votes.
#[cfg(not(feature = "byzantine"))]
pub(crate) fn votes<S>(
    sender: S,
    _: &crate::Settings,
    _: &crate::schemes::Schemes,
    _: &dyn crate::Application,
) -> VoteSender<S> {
    sender
}
