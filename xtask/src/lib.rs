//! Rules of the repository that the compiler does not hold, as code: `cargo test -p xtask`.
//!
//! [`measure`] prints figures about the source.
//!
//! What a crate may know ([`rules`]) is a part of ARCHITECTURE.md in the form of a table. Whoever
//! needs a new edge between crates changes the table, and so says it in the review.

pub mod advisories;
pub mod citations;
pub mod measure;
pub mod planted;
pub mod rules;
pub mod source;
