//! The history of results, as far as proofs need it: roots of its complete subtrees.
//!
//! A result is appended when the block above it is written, since only then its place is final. Each result makes two subtrees
//! complete on average, so the history grows by some 160 bytes a height. The lower levels are for the newest results alone:
//! of older ones there is one root for each 2^[`COARSE_LEVEL`] heights, which stays for ever. Whoever wants to prove an old
//! result later takes the lower part of its proof while it is there.
//!
//! A store that has fetched its state knows the peaks of before, and nothing below them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use pleach_types::history::{Subtree, consistency, inclusion_above, node, root_of};
use pleach_types::{BlockResult, Hash, Height};

use crate::database::{Changes, CommittedView};
use crate::error::{Damage, Result};
use crate::layout::Position;
use crate::table::{Table, decode_subtree, invariant, subtree_key};

/// The lowest level of which all subtrees are kept for ever.
pub const COARSE_LEVEL: u8 = 12;

/// Appends the result of the height that the store stands at, and drops what is too fine for its age: the lower levels below
/// the newest `fine` results.
pub(crate) fn append(changes: &mut Changes<'_>, before: &Position, fine: u64) -> Result<()> {
    let mut peaks = before.peaks.clone();
    let mut rows = changes.rows(Table::History)?;
    for (subtree, root) in peaks.complete(&before.result) {
        rows.put(&subtree_key(subtree), &root.0)?;
    }
    // A half is needed for as long as somebody may ask for what is in the other half: both go with the last result that they are about.
    // One more result each time, so each pair is met once.
    let end = peaks.size().saturating_sub(fine);
    for level in (1..=COARSE_LEVEL).take_while(|level| end > 0 && end.trailing_zeros() >= u32::from(*level)) {
        let whole = Subtree { level, index: (end >> level) - 1 };
        for half in whole.halves().into_iter().flatten() {
            rows.remove(&subtree_key(half))?;
        }
    }
    Ok(())
}

/// Begins anew at the position of a state that was fetched: what is between the results that the store knew and those of the
/// new position is not there, so that only the upper levels of before are of use.
pub(crate) fn arrive(changes: &mut Changes<'_>, position: &Position) -> Result<()> {
    let mut rows = changes.rows(Table::History)?;
    rows.remove_before(&subtree_key(Subtree { level: COARSE_LEVEL, index: 0 }))?;
    for (subtree, root) in position.peaks.subtrees() {
        rows.put(&subtree_key(subtree), &root.0)?;
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
/// Proofs under the history of the first `size` results.
pub struct HistoryProofs {
    /// How many hashes are left out at the beginning of `inclusion`: 0, or [`COARSE_LEVEL`] for a result that is too old. Whoever has
    /// them since it was young puts them there.
    pub left_out: u8,
    /// That the result of the height is one of them, from the leaf up.
    pub inclusion: Vec<Hash>,
    /// That the history up to that height is the beginning of this one. `None` where a part of it is not there.
    pub consistency: Option<Vec<Hash>>,
}

/// Proves the result of a height, and the history before it, under the history of the first `size` results. `newer` are those from
/// the height of `position` on, which are appended to what is stored. `None` where that is not what it takes.
pub(crate) fn prove(
    view: &CommittedView,
    position: &Position,
    newer: &[BlockResult],
    height: Height,
    size: u64,
) -> Result<Option<HistoryProofs>> {
    let (mut peaks, mut fresh) = (position.peaks.clone(), BTreeMap::new());
    newer.iter().for_each(|result| fresh.extend(peaks.complete(result)));
    // The siblings of a result may be there before the result itself is.
    if size > peaks.size() {
        return Ok(None);
    }
    let failed = Cell::new(None);
    let subtree =
        |subtree: Subtree| match fresh.get(&subtree).map_or_else(|| read(view, subtree), |root| Ok(Some(*root))) {
            Ok(root) => root,
            Err(error) => {
                failed.set(Some(error));
                None
            }
        };
    let root = |range: Range<u64>| root_of(range, subtree);
    let above = |level| Some((level, inclusion_above(Subtree { level, index: height >> level }, size, root)?));
    let included = above(0).or_else(|| above(COARSE_LEVEL));
    // A history of nothing is the beginning of each, with nothing to show.
    let consistency = if height == 0 { Some(Vec::new()) } else { consistency(height, size, root) };
    match failed.take() {
        Some(error) => Err(error),
        None => Ok(included.map(|(left_out, inclusion)| HistoryProofs { left_out, inclusion, consistency })),
    }
}

fn read(view: &CommittedView, subtree: Subtree) -> Result<Option<Hash>> {
    let key = subtree_key(subtree);
    let content = view.get(Table::History, &key)?;
    Ok(content.map(|content| decode(&key, &content)).transpose()?)
}

fn decode(key: &[u8], content: &[u8]) -> Result<Hash, Damage> {
    content.try_into().map(Hash).map_err(|_| invariant(Table::History, key, "not a hash"))
}

/// Checks a row: that it is of results before the store's height, and the root of its halves where these are there.
pub(crate) fn check(view: &CommittedView, position: &Position, key: &[u8], content: &[u8]) -> Result<()> {
    let broken = |why: &str| Err(invariant(Table::History, key, why).into());
    let Some(subtree) = decode_subtree(key) else { return broken("not a level and a place") };
    let root = decode(key, content)?;
    if subtree.end().is_none_or(|end| end > position.height()) {
        return broken("it is of results that are not stored yet");
    }
    let Some(halves) = subtree.halves() else { return Ok(()) };
    let [left, right] = halves.map(|half| read(view, half));
    match (left?, right?) {
        (Some(left), Some(right)) if node(&left, &right) != root => broken("it is not the root of its halves"),
        _ => Ok(()),
    }
}
