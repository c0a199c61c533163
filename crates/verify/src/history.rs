//! Older results under a newer one: each certified result commits to all before it
//! ([`BlockResult::history`]).

use bytes::Bytes;
use pleach_types::certificate::CertifiedResult;
use pleach_types::history::{check_consistency, check_inclusion, leaf};
use pleach_types::{BlockResult, Encode, Hash, Height};

use crate::misbehaviour::Misbehaviour;

/// Checks that `older` is what its height came to, in the history that `newer` commits to. `siblings` go from the leaf up.
///
/// # Errors
/// [`crate::FalseStatement::History`], with the encoded older result and the siblings.
pub fn contains(newer: &CertifiedResult, older: &BlockResult, siblings: &[Hash]) -> Result<(), Misbehaviour> {
    let checked = is_leaf(newer, (older.height, &leaf(older)), siblings);
    checked.map_err(|why| Misbehaviour::new(&together(older, siblings), why))
}

/// As [`contains`], where the hash of the older result as a leaf is all that is known of it: a checkpoint.
///
/// # Errors
/// [`crate::FalseStatement::History`], with the leaf and the siblings.
pub fn contains_leaf(newer: &CertifiedResult, older: (Height, &Hash), siblings: &[Hash]) -> Result<(), Misbehaviour> {
    let bytes = || [older.1].into_iter().chain(siblings).flat_map(Encode::encode).collect::<Vec<_>>().into();
    is_leaf(newer, older, siblings).map_err(|why| Misbehaviour::new(&bytes(), why))
}

fn is_leaf(
    newer: &CertifiedResult,
    (height, leaf): (Height, &Hash),
    siblings: &[Hash],
) -> Result<(), pleach_types::history::HistoryError> {
    let newer = newer.result();
    check_inclusion(leaf, height, newer.height, siblings, &newer.history)
}

/// Checks that the history of `newer` continues the one of `older`, which somebody has checked before: the same results up
/// to there.
///
/// # Errors
/// [`crate::FalseStatement::History`], with the encoded newer result and the proof.
pub fn continues(older: &BlockResult, newer: &CertifiedResult, proof: &[Hash]) -> Result<(), Misbehaviour> {
    let newer = newer.result();
    let checked = check_consistency((older.height, &older.history), (newer.height, &newer.history), proof);
    checked.map_err(|why| Misbehaviour::new(&together(newer, proof), why))
}

fn together(result: &BlockResult, hashes: &[Hash]) -> Bytes {
    let mut bytes = result.encode();
    hashes.iter().for_each(|hash| hash.encode_to(&mut bytes));
    bytes.into()
}
