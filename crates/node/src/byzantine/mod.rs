//! Where a node can be made to break the rules, for tests and for the demo.
//!
//! The node has a few places in which it asks its `Manner` what to do: where it signs, where it answers a read, where it hands out
//! parts of a state, and where it works by itself. (Votes have theirs in `pleach_order`.) Without the feature `byzantine` a manner is
//! nothing and does nothing, [`Byzantine`] has no value, and the lies are not in the program. With it, a node lies if it
//! was started by [`start_byzantine`](crate::start_byzantine), and in no other way.

#[cfg(not(feature = "byzantine"))]
mod honest;
#[cfg(feature = "byzantine")]
mod lies;
#[cfg(feature = "byzantine")]
mod nuisance;
mod unknown;

#[cfg(feature = "byzantine")]
pub use lies::Byzantine;
#[cfg(feature = "byzantine")]
pub(crate) use lies::Manner;
pub use unknown::UnknownByzantine;

#[cfg(not(feature = "byzantine"))]
pub use honest::Byzantine;
#[cfg(not(feature = "byzantine"))]
pub(crate) use honest::Manner;
