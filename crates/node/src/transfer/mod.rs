//! Getting the state from others: for a member that is new on its disk, or too far behind to catch up block by block
//! (DESIGN section 7).
//!
//! ```text
//!   fetching member                                    the others
//!   Offer? ───────────────────────────────────────────► the newest height S that they can hand out,
//!   certified result of S, header and certificate ◄──── certified by the block above it
//!   entries of the window, newest first ◄─────────────► any of them
//!   code that is warm, proofs of what was written ◄───► any of them
//!   records of the own prefixes, chunk by chunk ◄─────► those that keep them
//!   everything against the certified result; then the store, the tree, and the order from block S + 1 on
//! ```
//!
//! Nothing is believed. The header of block S + 1 is certified and names the result of S and its block. Each entry of the
//! window brings its block's header, whose digest is that which the header above names, and which names the result below:
//! so all results of the window are certified by one certificate. A result holds the digests of written paths, of receipts
//! and of warm code, so entries are checked against it, and code against its digest. Proofs and records are checked against
//! the root of S. What a peer says of ages is never asked (threat H7): the tree's dates follow from the written paths.
//!
//! Large items travel in parts; a part that does not come is asked for elsewhere. A member that sends what does not
//! verify is not asked again during the transfer. A source *pins* the state that is being fetched, so that it outlives the
//! last heights; how long and how many is bounded ([`source`]).
//!
//! The messages are lossy and arrive on the engine's workers, so they are only queued there; [`Node::work`] does the rest.
//!
//! [`Node::work`]: crate::Node

mod fetch;
mod plan;
mod source;
mod verify;
pub(crate) mod wire;

pub(crate) use fetch::Fetch;
pub(crate) use source::Source;
