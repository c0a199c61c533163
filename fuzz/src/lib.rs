//! What the fuzz targets share: the oracle of the tree's tests, a naive decoder for proofs, and small trees.

#[path = "../../crates/tree/tests/oracle/mod.rs"]
#[allow(missing_docs, reason = "documented as the tests of the tree need it")]
pub mod oracle;

pub mod decoder;
pub mod world;
