//! Which height to fetch, of those that others offer.
//!
//! A height that is offered is certified, so no Byzantine member invents one; but it may be one that the others have not written yet.
//! Nodes hand out each of their last heights, so whoever offers a height is taken to hand out those just below it, too. The
//! height is therefore the greatest one that f + 1 members offer or exceed: at least one of them is honest and has it.
//! With f Byzantine members, wherever they stand, it lies between the greatest honest offer and the (f + 1)-th greatest one.
//!
//! It may be that too few offer anything, or that what the honest ones have does not overlap: a member that has just
//! fetched a state has nothing below it. Then the transfer fails, and each further one takes the next lower offer in turn, and
//! of few offers any, after some time. This ends: nodes keep their last heights for reads, hundreds of them, and a state that is
//! asked for for as long as it is; so soon after the honest members are level again, what any of them offers all of them
//! have, and the transfers that fail go through all offers of f + 1, the honest ones among them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pleach_types::PublicKey;

/// How long offers are collected after the first.
const COLLECT: Duration = Duration::from_millis(400);
/// How long it is waited for offers of f + 1 members, after the first.
const ALONE: Duration = Duration::from_secs(3);

/// What others offer, one each.
#[derive(Debug)]
pub(super) struct Offers<T> {
    offers: BTreeMap<PublicKey, T>,
    first: Option<Duration>,
    /// Who has answered the last question.
    heard: BTreeSet<PublicKey>,
}

impl<T> Default for Offers<T> {
    fn default() -> Self {
        Self { offers: BTreeMap::new(), first: None, heard: BTreeSet::new() }
    }
}

impl<T> Offers<T> {
    /// All are asked again: offers that were of no use may be by now.
    pub(super) fn asked(&mut self) {
        self.heard.clear();
    }

    /// Whether to look at an offer of this member: signatures are checked once for each question.
    pub(super) fn wants(&mut self, from: &PublicKey) -> bool {
        !self.offers.contains_key(from) && self.heard.insert(*from)
    }

    pub(super) fn add(&mut self, from: PublicKey, offer: T, now: Duration) {
        self.first.get_or_insert(now);
        self.offers.insert(from, offer);
    }

    /// The offer to take, once there is reason to decide; the others are forgotten then. `height` says how high an offer
    /// that is of use is; `faults` are the Byzantine members to expect, `failed` the transfers that have failed.
    pub(super) fn decide(
        &mut self,
        now: Duration,
        (faults, failed): (usize, usize),
        height: impl Fn(&T) -> Option<u64>,
    ) -> Option<T> {
        let waited = now.saturating_sub(self.first?);
        if waited < COLLECT {
            return None;
        }
        // An offer may have been of use when it came, and be passed by this member's own height since.
        self.offers.retain(|_, offer| height(offer).is_some());
        if self.offers.is_empty() {
            self.first = None;
        }
        if self.offers.is_empty() || (self.offers.len() <= faults && waited < ALONE) {
            return None;
        }
        self.first = None;
        let mut useful: Vec<_> = std::mem::take(&mut self.offers).into_values().collect();
        useful.sort_by_key(|offer| std::cmp::Reverse(height(offer)));
        // The highest f may be of Byzantine members that offer what nobody else has; the next one has been reached by a correct member.
        // After a failure it is another one, or a member that hands out nothing could hold this one off for ever.
        let above = if useful.len() > faults { faults } else { 0 };
        let at = above + failed % (useful.len() - above);
        Some(useful.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTED: Duration = Duration::from_millis(400);
    const LONG: Duration = Duration::from_secs(3);

    fn offers(heights: &[u64]) -> Offers<u64> {
        let mut offers = Offers::default();
        (0_u8..).zip(heights).for_each(|(at, height)| offers.add(PublicKey([at; 32]), *height, Duration::ZERO));
        offers
    }

    fn any(height: &u64) -> Option<u64> {
        Some(*height)
    }

    #[test]
    fn no_liar_pushes_the_height_beyond_what_an_honest_member_has() {
        assert_eq!(offers(&[500, 498, u64::MAX]).decide(COLLECTED, (1, 0), any), Some(500));
        assert_eq!(offers(&[500, 498, 0]).decide(COLLECTED, (1, 0), any), Some(498));
        assert_eq!(offers(&[7, 9, 8, u64::MAX, u64::MAX, 6]).decide(COLLECTED, (2, 0), any), Some(9));
        // Nobody decides alone by being the first, or the only one that has what is of use.
        assert_eq!(offers(&[u64::MAX]).decide(COLLECTED, (1, 0), any), None);
        let of_use = |height: &u64| any(height).filter(|height| *height > 300);
        let mut some = offers(&[298, 299, u64::MAX]);
        assert_eq!(some.decide(COLLECTED, (1, 0), of_use), None);
        some.asked();
        assert!(some.wants(&PublicKey([0; 32])) && !some.wants(&PublicKey([0; 32])));
        some.add(PublicKey([0; 32]), 301, COLLECTED);
        assert_eq!(some.decide(COLLECTED, (1, 0), of_use), Some(301));
        // Where nobody misbehaves, one offer is enough.
        assert_eq!(offers(&[5]).decide(COLLECTED, (0, 0), any), Some(5));
    }

    #[test]
    fn transfers_that_fail_go_through_what_is_offered() {
        let chosen = |heights: &[u64], failed| offers(heights).decide(LONG, (1, failed), any);
        assert_eq!([0, 1, 2].map(|failed| chosen(&[900, 500, u64::MAX], failed)), [Some(900), Some(500), Some(900)]);
        // Of too few, any, after a while.
        assert_eq!([0, 1].map(|failed| chosen(&[900], failed)), [Some(900); 2]);
        assert_eq!(offers(&[]).decide(LONG, (1, 0), any), None);
    }
}
