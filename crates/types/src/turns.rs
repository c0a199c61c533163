//! Whose turn the views were from a block's parent to the block.
//!
//! Members take turns, one in each view. A block says in which view it was proposed, and in which one its parent was; the views
//! in between brought nothing, and who was to lead them follows from their numbers. So whoever has the same blocks counts the same, and nobody has to be
//! believed: a block stands in another view than it says only if a quorum votes for what is false.

use std::collections::BTreeMap;

use crate::block::Context;
use crate::committee::Committee;
use crate::signature::PublicKey;
use crate::vote::Round;

/// The turns of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Blocks that it led.
    pub led: u64,
    /// Views that it was to lead and that brought no block.
    pub missed: u64,
}

/// The turns that end with a block, by key. `members` are those of its epoch. Height 0 was led by nobody and is not asked about.
#[must_use]
pub fn turns(context: &Context, members: &Committee) -> BTreeMap<PublicKey, Turn> {
    let mut turns: BTreeMap<PublicKey, Turn> = BTreeMap::new();
    turns.entry(context.leader).or_default().led = 1;
    let (all, size) = (members.members(), members.members().len() as u64);
    let skipped = context.view.saturating_sub(context.parent_view).saturating_sub(1);
    let (Some(rounds), Some(rest)) = (skipped.checked_div(size), skipped.checked_rem(size)) else { return turns };
    // The number of skipped views has no bound. Of whole rounds each member has missed one view; only what is left, less than a round,
    // is counted one by one.
    for member in all.iter().filter(|_| rounds > 0) {
        turns.entry(member.public_key).or_default().missed = rounds;
    }
    for view in (context.parent_view.saturating_add(1)..).take(usize::try_from(rest).unwrap_or(0)) {
        let place = Round { epoch: context.epoch, view }.leader(all.len());
        if let Some(member) = place.and_then(|place| all.get(place)) {
            turns.entry(member.public_key).or_default().missed += 1;
        }
    }
    turns
}
