//! Getting the state from others: for a member that is new on its disk, or too far behind to catch up block by block
//! (docs/design.md section 7).
//!
//! ```text
//!   fetching member                                    the others
//!   Offer? ───────────────────────────────────────────► all: the newest height that they can hand out,
//!   certified result of S, header and certificate ◄──── certified by the block above it; S is chosen of these
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
//! Nothing that one source says decides time or memory, either. S is the greatest height that f + 1 members offer
//! ([`offers`]). Items travel in parts; a part is full, `min(part, total - offset)` bytes, or its sender misbehaves, and so does one
//! that changes its mind about the total. A source has as much time as what it *has sent* justifies; then the item is asked for
//! elsewhere as well, and who is often late is asked last. What is open fits into a budget; a total above 8 MiB is believed
//! if f + 1 say it ([`asking`]). A member that sent what is invalid is not asked again during the transfer. If those that should have an item
//! do not have it, the transfer fails, and the next one begins at a newer height. Of what arrives, only what was asked for
//! is queued, with room for each member ([`inbox`]).
//!
//! A source *pins* the state that is being fetched, so that it outlives the last heights; how long and how many is bounded
//! ([`source`]).
//!
//! The messages are lossy and arrive on the engine's workers, so they are only queued there; [`Node::work`] does the rest.
//!
//! [`Node::work`]: crate::Node

mod adoption;
mod asking;
mod failure;
mod fetch;
pub(crate) mod inbox;
mod offers;
mod plan;
mod source;
#[cfg(test)]
mod vectors;
mod verify;
pub(crate) mod wire;

pub(crate) use adoption::{Adoption, Came};
pub(crate) use asking::Asking;
pub(crate) use failure::TransferFailure;
pub(crate) use fetch::Fetch;
pub(crate) use source::Source;
