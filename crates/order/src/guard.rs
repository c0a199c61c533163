//! What stands between the engine and the member's key: no two votes that exclude each other are ever signed.
//!
//! The engine keeps its votes in a journal before it sends them, and reads them again when it starts. That is enough as long as
//! the journal is the one that it wrote. It is not if somebody deletes it, or puts an older copy of the folder
//! back: then the engine votes anew in views in which it has voted, and an honest member convicts itself. So every vote
//! goes through the guard, which
//!
//! - is *shut* at every start, until the muster (`muster`) has found out which views are over and which of
//!   the member's votes others hold, and then admits votes in views above those only;
//! - remembers the votes of the last views, those that the journal holds and those that others hold included, and admits none
//!   that excludes one of them. The predicate is the judge's own ([`Ballot::excludes`]), so what the guard admits cannot
//!   be evidence.
//!
//! An abstention is always safe, and the engine is made for it: it is what a slow member does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pleach_types::vote::{Ballot, Round};

/// Views whose own votes are remembered. Twice as many as the engine keeps votes for: it signs nothing in older ones.
const REMEMBERED_VIEWS: u64 = 512;

/// Decides what the own key may sign.
#[derive(Debug, Default)]
pub struct Guard(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The view above which votes are admitted; `None` while it is shut.
    above: Option<u64>,
    /// The votes of this member, by view.
    votes: BTreeMap<u64, Vec<Ballot>>,
    /// The newest view whose votes were forgotten: nothing is admitted up to there.
    forgotten: u64,
}

impl Guard {
    /// Nothing is ever left half done under the lock.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the member may sign this. If so, it counts as signed from now on.
    pub(crate) fn admits(&self, round: Round, ballot: Ballot) -> bool {
        let mut held = self.held();
        if held.above.is_none_or(|above| round.view <= above) || round.view <= held.forgotten {
            // What was signed before may be signed again: it is the same bytes, and says nothing new.
            return held.knows(round.view, &ballot);
        }
        let before = held.votes.get(&round.view).map_or(&[][..], Vec::as_slice);
        if before.iter().any(|signed| signed.excludes(&ballot)) {
            return false;
        }
        held.remember(round.view, ballot);
        true
    }

    /// A vote of this member that the journal, or somebody else, holds.
    pub(crate) fn remember(&self, view: u64, ballot: Ballot) {
        self.held().remember(view, ballot);
    }

    /// Whether a vote is one that this member knows to have signed. `true` for what it has forgotten.
    pub(crate) fn knows(&self, view: u64, ballot: &Ballot) -> bool {
        let held = self.held();
        view <= held.forgotten || held.knows(view, ballot)
    }

    /// Admits votes in views above this one. It never opens further than it was: views that were over stay over.
    pub(crate) fn open(&self, above: u64) {
        let mut held = self.held();
        let above = held.above.map_or(above, |before| before.max(above));
        held.above = Some(above);
    }

    /// Admits nothing until it is opened again.
    pub(crate) fn shut(&self) {
        self.held().above = None;
    }

    /// The view above which votes are admitted; `None` while it is shut.
    pub(crate) fn above(&self) -> Option<u64> {
        self.held().above
    }
}

impl Held {
    fn knows(&self, view: u64, ballot: &Ballot) -> bool {
        self.votes.get(&view).is_some_and(|votes| votes.contains(ballot))
    }

    fn remember(&mut self, view: u64, ballot: Ballot) {
        if view <= self.forgotten {
            return;
        }
        let votes = self.votes.entry(view).or_default();
        if !votes.contains(&ballot) {
            votes.push(ballot);
        }
        let newest = self.votes.last_key_value().map_or(0, |(view, _)| *view);
        let forgotten = newest.saturating_sub(REMEMBERED_VIEWS);
        if forgotten > self.forgotten {
            self.forgotten = forgotten;
            self.votes = self.votes.split_off(&(forgotten + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::Hash;
    use pleach_types::vote::Proposal;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn proposal(n: u8) -> Proposal {
        Proposal { parent_view: 1, block: Hash([n; 32]) }
    }

    fn round(view: u64) -> Round {
        Round { epoch: 0, view }
    }

    #[test]
    fn a_guard_is_shut_until_it_is_opened_and_then_above_a_view() {
        let guard = Guard::default();
        assert!(!guard.admits(round(7), Ballot::Nullify));
        guard.open(7);
        assert!(!guard.admits(round(7), Ballot::Nullify));
        assert!(guard.admits(round(8), Ballot::Nullify));
        guard.shut();
        assert!(!guard.admits(round(9), Ballot::Nullify));
        assert!(guard.admits(round(8), Ballot::Nullify), "the same again says nothing new");
        guard.open(20);
        guard.open(3);
        assert_eq!(guard.above(), Some(20), "views that were over stay over");
    }

    #[test]
    fn what_the_journal_or_others_hold_binds() {
        let guard = Guard::default();
        guard.remember(9, Ballot::Finalize(proposal(1)));
        guard.open(5);
        assert!(!guard.admits(round(9), Ballot::Nullify));
        assert!(!guard.admits(round(9), Ballot::Finalize(proposal(2))));
        assert!(guard.admits(round(9), Ballot::Finalize(proposal(1))));
        assert!(guard.admits(round(9), Ballot::Notarize(proposal(2))), "no such pair is evidence");
        assert!(!guard.admits(round(9), Ballot::Notarize(proposal(3))));
    }

    #[test]
    fn nothing_is_admitted_where_the_memory_ends() {
        let guard = Guard::default();
        guard.open(0);
        assert!(guard.admits(round(1), Ballot::Notarize(proposal(1))));
        assert!(guard.admits(round(1 + REMEMBERED_VIEWS), Ballot::Nullify));
        assert!(!guard.admits(round(1), Ballot::Notarize(proposal(2))), "its votes there are forgotten");
        assert!(guard.knows(1, &Ballot::Nullify), "so nothing there is known to be somebody else's");
        assert!(guard.admits(round(2), Ballot::Nullify));
    }

    /// Whatever is asked for, in whatever order, with restarts that remember: no two admitted votes of a view exclude each
    /// other.
    #[test]
    fn no_two_admitted_votes_exclude_each_other() {
        for seed in 0..200 {
            let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
            let (mut guard, mut signed) = (Guard::default(), Vec::new());
            for _ in 0..400 {
                let (view, which) = (rng.random_range(0..12), proposal(rng.random_range(0..3)));
                let ballot = match rng.random_range(0..3) {
                    0 => Ballot::Notarize(which),
                    1 => Ballot::Nullify,
                    _ => Ballot::Finalize(which),
                };
                if guard.admits(round(view), ballot) {
                    signed.push((view, ballot));
                }
                match rng.random_range(0..40) {
                    0 => guard.open(rng.random_range(0..6)),
                    1 => guard.shut(),
                    2 => {
                        guard = Guard::default();
                        signed.iter().for_each(|(view, ballot)| guard.remember(*view, *ballot));
                    }
                    _ => {}
                }
            }
            for (view, one) in &signed {
                let clash = signed.iter().find(|(other, two)| other == view && one.excludes(two));
                assert_eq!(clash, None, "seed {seed}, view {view}, {one:?}");
            }
        }
    }
}
