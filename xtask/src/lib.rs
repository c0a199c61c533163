//! Rules of the repository that the compiler does not hold, as code: `cargo test -p xtask`.
//!
//! [`measure`] prints figures about the source.
//!
//! What a crate may know ([`rules`]) is DESIGN section 9 and ARCHITECTURE.md in the form of a table. Whoever
//! needs a new edge between crates changes the table, and so says it in the review.

pub mod measure;
pub mod planted;
pub mod rules;
pub mod source;
