//! Checkpoints: what a height came to, by the word of somebody whom the user trusts (the owners, as a rule).
//!
//! Members that have left keep their keys. With those of more than f of one set somebody can sign another future from the last block on at
//! which they were in force, and a client that knows of nothing later cannot tell it from the true one. A checkpoint of a later
//! height can: it stands in the history that each certified result commits to, and in no other one.
//!
//! ```text
//! height, leaf -> inclusion proof -> history of a newer result -> its certificate -> members that steps from genesis lead to
//! ```
//!
//! Whoever has been led into another future finds no such proof there. And once the proof has been checked, the client knows the members of that
//! newer height, and never goes back to those of before. What was forged from a later height on contains the checkpoint as
//! well: it helps for as long as no members that were in force *since* have sold their keys.

use std::fmt;
use std::str::FromStr;

use pleach_types::{Hash, Height};

/// What a height came to: the hash of its result as a leaf of the history. Its text is `HEIGHT:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The height.
    pub height: Height,
    /// The hash of its result as a leaf of the history.
    pub result: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.result)
    }
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is no checkpoint: HEIGHT:HASH, a number and 64 hexadecimal digits");
        let (height, result) = text.split_once(':').ok_or_else(form)?;
        Ok(Self { height: height.parse().map_err(|_| form())?, result: result.parse().map_err(|_| form())? })
    }
}
