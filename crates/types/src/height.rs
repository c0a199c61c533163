//! Heights: the time of a cluster.

/// A block height: the number of blocks before it. Genesis has height 0.
///
/// Time in Pleach is the block height (docs/design.md section 4); the thesis counts operations (4.3.4).
pub type Height = u64;
