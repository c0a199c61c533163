//! Checks of everything that a client or a node is told: canonical bytes in, a verdict or [`Misbehaviour`] out.
//!
//! Whoever has a genesis has a [`TrustAnchor`]: the digest that names the cluster, and the members whose word counts.
//! Everything else follows from it, and from nothing that a node says:
//!
//! ```text
//! genesis          -> TrustAnchor                                                     TrustAnchor::of
//! result proof     -> the certified result of a height                                TrustAnchor::result
//! signed result    -> what one member says of a height, and evidence if it is false   TrustAnchor::signed, ::compare
//! step             -> the members of the next epoch                                   TrustAnchor::follow
//! proof of records -> present or absent, under the root of a result                   records
//! receipt          -> under the receipts root of a result                             receipt
//! absence proof    -> a request was executed in none of some heights                  absence
//! older result     -> under the history of a newer one                                history
//! proof file       -> all that somebody kept of the above, under nothing but the genesis digest    file
//! two certificates -> who signed both, if nobody honest does                          fork
//! state            -> window, peaks, code and partitions of a member that hands out its state    state
//! ```
//!
//! The client, the transfer of state, the resumption of a node and the simulator's ledger all call these checks and have
//! none of their own. The crate is pure: no clock, no socket, no lock, no cache; it builds for browsers
//! (`wasm32-unknown-unknown`). Requests, retries and caches are the caller's.

pub mod absence;
mod anchor;
pub mod file;
pub mod fork;
pub mod history;
mod misbehaviour;
pub mod receipt;
pub mod records;
pub mod state;

pub use anchor::{TrustAnchor, decode};
pub use misbehaviour::{FalseStatement, Misbehaviour, StepError};
