//! What stands between the engine and the member's key: no two votes that exclude each other are ever signed.
//!
//! The engine keeps its votes in a journal before it sends them, and reads them again when it starts. That is enough as long as
//! the journal is the one that it wrote. It is not if somebody deletes it, or puts an older copy of the folder
//! back: then the engine votes anew in views in which it has voted, and an honest member convicts itself. So every vote
//! goes through the guard, which
//!
//! - is *shut* at every start, until the muster (`muster`) has found out which rounds are over and which of
//!   the member's votes others hold, and then admits votes in later rounds only;
//! - remembers the votes of the last rounds, those that the journal holds and those that others hold included, and admits none
//!   that excludes one of them. The predicate is the judge's own ([`Ballot::excludes`]), so what the guard admits cannot
//!   be evidence.
//!
//! The engine writes a vote to nullify a view into its journal at its first attempt, and sends it at each later one: it takes for granted
//! that the first has been signed. So an attempt that is refused while the guard is shut is noted elsewhere (`refused`) before a later one is
//! admitted. Otherwise that vote would be in no journal, and after the next start nothing would keep the member from voting
//! to finalize in the same view.
//!
//! It admits nothing outside of this process's *tenure* either (`tenure`): another process may run with the same key.
//!
//! It admits nothing at all once the application wants no vote of this member any more: after it was shown that the cluster has forked.
//!
//! An abstention is always safe, and the engine is made for it: it is what a slow member does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use pleach_types::vote::{Ballot, Round};

use crate::signal::Signal;

/// Views whose own votes are remembered. Twice as many as the engine keeps votes for: it signs nothing in older ones.
const REMEMBERED_VIEWS: u64 = 512;
/// Views of which it is remembered that a vote to nullify them was refused. In older ones nothing is admitted.
pub(crate) const REFUSED_KEPT: usize = 32;

/// Decides what the own key may sign.
#[derive(Debug, Default)]
pub struct Guard {
    held: Mutex<HeldVotes>,
    /// Counts the views that were added to [`HeldVotes::refused`].
    refusals: Signal,
    /// Tells the time, by which tenure ends. Without it there is no end.
    clock: Option<Clock>,
    /// Whether nothing is admitted any more: the application wants no vote of this member.
    halted: Arc<AtomicBool>,
}

/// Tells the time, until the engine ends.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) Arc<dyn Fn() -> Option<SystemTime> + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Debug, Default)]
struct HeldVotes {
    /// Where votes are admitted; `None` while it is shut.
    opening: Option<Opening>,
    /// When this process's tenure ends; `None` before it has had any.
    tenure: Option<SystemTime>,
    /// The votes of this member, by round.
    votes: BTreeMap<Round, Vec<Ballot>>,
    /// The newest round whose votes were forgotten: nothing is admitted up to there.
    forgotten: Option<Round>,
    /// Where a vote to nullify was refused because the guard was shut, and whether that is noted on disk.
    refused: BTreeMap<Round, bool>,
}

/// Where votes are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The round above which votes are admitted.
    pub(crate) above: Round,
    /// The view of the epoch after that one above which votes are admitted there. Views begin anew with each epoch, so a
    /// member that has lost its votes may have cast some of them in the next one.
    pub(crate) next_above: u64,
}

impl Opening {
    /// Whether votes of a round are admitted.
    pub(crate) const fn admits(&self, round: Round) -> bool {
        if round.epoch == self.above.epoch {
            return round.view > self.above.view;
        }
        match round.epoch.checked_sub(self.above.epoch) {
            None | Some(0) => false,
            Some(1) => round.view > self.next_above,
            Some(_) => true,
        }
    }

    /// Whether votes are admitted in the round after this one.
    pub(crate) const fn admits_after(&self, round: Round) -> bool {
        // The next round may be in the next epoch.
        self.admits(Round { view: round.view.saturating_add(1), ..round })
            && (round.epoch != self.above.epoch || self.next_above == 0)
    }

    /// What both admit.
    fn and(self, other: Self) -> Self {
        let (low, mut high) = if self.above.epoch <= other.above.epoch { (self, other) } else { (other, self) };
        match high.above.epoch - low.above.epoch {
            0 => {
                high.above = high.above.max(low.above);
                high.next_above = high.next_above.max(low.next_above);
            }
            1 => high.above.view = high.above.view.max(low.next_above),
            _ => {}
        }
        high
    }
}

impl Guard {
    /// A guard that admits nothing once this is set, and nothing before [`Guard::hold`] and after the end of tenure.
    pub(crate) fn until(halted: Arc<AtomicBool>, clock: Clock) -> Self {
        Self { halted, clock: Some(clock), ..Self::default() }
    }

    /// Where votes are admitted now.
    fn opening_in(&self, held: &HeldVotes) -> Option<Opening> {
        // The clock is read for each vote: a process that was frozen goes on in the middle of anything.
        let Some(clock) = &self.clock else { return held.opening };
        let in_tenure = (clock.0)().is_some_and(|now| held.tenure.is_some_and(|end| now < end));
        held.opening.filter(|_| in_tenure)
    }

    /// Nothing is ever left half done under the lock.
    fn held(&self) -> MutexGuard<'_, HeldVotes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the member may sign this. If so, it counts as signed from now on.
    pub(crate) fn admits(&self, round: Round, ballot: Ballot) -> bool {
        if self.halted.load(Ordering::Acquire) {
            return false;
        }
        let mut held = self.held();
        let opening = self.opening_in(&held);
        if !opening.is_some_and(|opening| opening.admits(round)) || held.is_forgotten(round) {
            // What was signed before may be signed again: it is the same bytes, and says nothing new.
            let known = held.knows(round, &ballot);
            if !known && ballot == Ballot::Nullify && opening.is_none() && held.refuse(round) {
                drop(held);
                self.refusals.bump();
            }
            return known;
        }
        let before = held.votes.get(&round).map_or(&[][..], Vec::as_slice);
        if before.iter().any(|signed| signed.excludes(&ballot)) {
            return false;
        }
        // The engine takes this for a later attempt, and does not write it down.
        if ballot == Ballot::Nullify && held.refused.get(&round) == Some(&false) {
            return false;
        }
        held.remember(round, ballot);
        true
    }

    /// Grows with each view in which a vote to nullify is refused for the first time.
    pub(crate) const fn refusals(&self) -> &Signal {
        &self.refusals
    }

    /// The rounds in which a vote to nullify was refused.
    pub(crate) fn refused(&self) -> Vec<Round> {
        self.held().refused.keys().copied().collect()
    }

    /// It is on disk that this member may have voted to nullify in these rounds.
    pub(crate) fn noted(&self, rounds: &[Round]) {
        let mut held = self.held();
        for round in rounds {
            if let Some(noted) = held.refused.get_mut(round) {
                *noted = true;
            }
        }
    }

    /// A vote of this member that the journal, or somebody else, holds.
    pub(crate) fn remember(&self, round: Round, ballot: Ballot) {
        self.held().remember(round, ballot);
    }

    /// Whether a vote is one that this member knows to have signed. `true` for what it has forgotten.
    pub(crate) fn knows(&self, round: Round, ballot: &Ballot) -> bool {
        let held = self.held();
        held.is_forgotten(round) || held.knows(round, ballot)
    }

    /// The newest round in which this member is known to have voted to finalize, among those that are remembered.
    pub(crate) fn finalized(&self) -> Option<Round> {
        let held = self.held();
        let finalizes = |votes: &Vec<Ballot>| votes.iter().any(|vote| matches!(vote, Ballot::Finalize(_)));
        held.votes.iter().rev().find(|(_, votes)| finalizes(votes)).map(|(round, _)| *round)
    }

    /// Admits votes from there on. It never opens further than it was: rounds that were over stay over.
    pub(crate) fn open(&self, opening: Opening) {
        let mut held = self.held();
        held.opening = Some(held.opening.map_or(opening, |before| before.and(opening)));
    }

    /// A block that is not the last of its epoch, and was proposed in this round, is final. If the guard was opened below the
    /// round, the member had not voted in the next epoch by then: that begins once the last block is final, and nothing but that
    /// block can be certified in later views of the epoch before.
    pub(crate) fn goes_on(&self, round: Round) {
        if let Some(opening) = &mut self.held().opening
            && round.epoch == opening.above.epoch
            && round.view > opening.above.view
        {
            opening.next_above = 0;
        }
    }

    /// This process's tenure ends then.
    pub(crate) fn hold(&self, until: SystemTime) {
        self.held().tenure = Some(until);
    }

    /// Admits nothing until it is opened again.
    pub(crate) fn shut(&self) {
        self.held().opening = None;
    }

    /// Where votes are admitted; `None` while it is shut, and out of tenure.
    pub(crate) fn opening(&self) -> Option<Opening> {
        self.opening_in(&self.held())
    }
}

impl HeldVotes {
    fn is_forgotten(&self, round: Round) -> bool {
        self.forgotten.is_some_and(|forgotten| round <= forgotten)
    }

    fn knows(&self, round: Round, ballot: &Ballot) -> bool {
        self.votes.get(&round).is_some_and(|votes| votes.contains(ballot))
    }

    /// Whether it is news that a vote to nullify was refused there.
    fn refuse(&mut self, round: Round) -> bool {
        if self.is_forgotten(round) || self.refused.contains_key(&round) {
            return false;
        }
        self.refused.insert(round, false);
        if self.refused.len() > REFUSED_KEPT
            && let Some((oldest, _)) = self.refused.pop_first()
        {
            self.forget(oldest);
        }
        true
    }

    /// Nothing is admitted up to there any more.
    fn forget(&mut self, forgotten: Round) {
        if self.forgotten.is_none_or(|before| forgotten > before) {
            self.forgotten = Some(forgotten);
            self.votes.retain(|round, _| *round > forgotten);
            self.refused.retain(|round, _| *round > forgotten);
        }
    }

    fn remember(&mut self, round: Round, ballot: Ballot) {
        if self.is_forgotten(round) {
            return;
        }
        let votes = self.votes.entry(round).or_default();
        if !votes.contains(&ballot) {
            votes.push(ballot);
        }
        // Epochs may be shorter than that for ever: then the votes of as many views are kept, of however many epochs they are.
        if self.votes.len() as u64 > REMEMBERED_VIEWS
            && let Some(oldest) = self.votes.first_key_value().map(|(round, _)| *round)
        {
            self.forget(oldest);
        }
        let Some(newest) = self.votes.last_key_value().map(|(round, _)| *round) else { return };
        // Until an epoch is that long, the votes of the ones before are kept as well.
        let Some(view) = newest.view.checked_sub(REMEMBERED_VIEWS) else { return };
        self.forget(Round { view, ..newest });
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

    fn above(view: u64) -> Opening {
        Opening { above: round(view), next_above: 0 }
    }

    #[test]
    fn the_next_epoch_has_views_of_its_own_that_may_be_over() {
        let guard = Guard::default();
        guard.open(Opening { above: Round { epoch: 3, view: 40 }, next_above: 2 });
        for (epoch, view, admitted) in
            [(2, 99, false), (3, 40, false), (3, 41, true), (4, 2, false), (4, 3, true), (5, 1, true)]
        {
            assert_eq!(guard.admits(Round { epoch, view }, Ballot::Nullify), admitted, "epoch {epoch}, view {view}");
        }
        guard.open(Opening { above: Round { epoch: 4, view: 0 }, next_above: 0 });
        assert!(!guard.admits(Round { epoch: 4, view: 1 }, Ballot::Nullify), "views that were over stay over");
        assert!(!guard.admits(Round { epoch: 3, view: 50 }, Ballot::Nullify));
        assert!(guard.admits(Round { epoch: 4, view: 4 }, Ballot::Nullify));
    }

    #[test]
    fn an_epoch_that_goes_on_clears_the_next_one() {
        let guard = Guard::default();
        guard.open(Opening { above: Round { epoch: 3, view: 40 }, next_above: 2 });
        let next = Round { epoch: 4, view: 1 };
        for (epoch, view) in [(3, 40), (2, 99), (4, 9)] {
            guard.goes_on(Round { epoch, view });
            assert!(!guard.opening().unwrap().admits(next), "epoch {epoch}, view {view}");
        }
        assert!(
            !guard.opening().unwrap().admits_after(Round { epoch: 3, view: 41 }),
            "the next may be of the next epoch"
        );
        guard.goes_on(Round { epoch: 3, view: 41 });
        assert!(guard.opening().unwrap().admits(next));
        assert!(guard.opening().unwrap().admits_after(Round { epoch: 3, view: 41 }));
    }

    #[test]
    fn the_votes_of_an_epoch_bind_until_the_next_one_is_long() {
        let guard = Guard::default();
        guard.open(above(0));
        assert!(guard.admits(round(9), Ballot::Finalize(proposal(1))));
        assert!(guard.admits(Round { epoch: 1, view: REMEMBERED_VIEWS - 1 }, Ballot::Nullify));
        assert!(!guard.admits(round(9), Ballot::Nullify));
        assert!(guard.admits(Round { epoch: 1, view: REMEMBERED_VIEWS }, Ballot::Nullify));
        assert!(!guard.admits(round(10), Ballot::Nullify), "forgotten: nothing is admitted there");
    }

    #[test]
    fn the_memory_is_bounded_however_short_epochs_are() {
        let guard = Guard::default();
        guard.open(above(0));
        let rounds: Vec<_> = (0..200).flat_map(|epoch| (1..=16).map(move |view| Round { epoch, view })).collect();
        for round in &rounds {
            assert!(guard.admits(*round, Ballot::Finalize(proposal(1))));
        }
        assert_eq!(guard.held().votes.len() as u64, REMEMBERED_VIEWS, "of 32 epochs");
        let refused = rounds.iter().filter(|round| !guard.admits(**round, Ballot::Nullify)).count();
        assert_eq!(
            refused,
            rounds.len(),
            "those that are remembered exclude it, and where they are not nothing is admitted"
        );
    }

    #[test]
    fn nothing_is_admitted_out_of_tenure_whatever_has_noticed_its_end() {
        let seconds = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let clock = {
            let seconds = Arc::clone(&seconds);
            Clock(Arc::new(move || Some(at(seconds.load(Ordering::Relaxed)))))
        };
        let guard = Guard::until(Arc::default(), clock);
        guard.open(above(0));
        assert!(!guard.admits(round(7), Ballot::Finalize(proposal(1))), "nobody has granted any");
        guard.hold(at(8));
        assert!(guard.admits(round(7), Ballot::Finalize(proposal(1))));
        seconds.store(8, Ordering::Relaxed);
        assert_eq!(guard.opening(), None);
        assert!(!guard.admits(round(8), Ballot::Nullify));
        assert_eq!(guard.refused(), [round(8)], "the engine takes it for a vote that it has sent");
        guard.hold(at(12));
        assert_eq!(guard.opening(), Some(above(0)));
        assert!(!guard.admits(round(8), Ballot::Nullify));
        guard.noted(&guard.refused());
        assert!(guard.admits(round(8), Ballot::Nullify));
    }

    #[test]
    fn a_vote_that_was_refused_is_admitted_once_that_is_noted() {
        let guard = Guard::default();
        assert!(!guard.admits(round(7), Ballot::Nullify));
        assert!(!guard.admits(round(7), Ballot::Nullify));
        assert!(!guard.admits(round(8), Ballot::Finalize(proposal(1))));
        assert_eq!((guard.refused(), guard.refusals().get()), (vec![round(7)], 1));
        guard.open(above(6));
        assert!(!guard.admits(round(7), Ballot::Nullify), "it would be in no journal");
        assert!(guard.admits(round(8), Ballot::Nullify), "a first attempt is written down");
        guard.noted(&[round(7)]);
        assert!(guard.admits(round(7), Ballot::Nullify));
        assert!(!guard.admits(round(7), Ballot::Finalize(proposal(1))));
    }

    #[test]
    fn where_too_many_were_refused_nothing_is_admitted_any_more() {
        let guard = Guard::default();
        let last = REFUSED_KEPT as u64 + 3;
        (1..=last).for_each(|view| assert!(!guard.admits(round(view), Ballot::Nullify)));
        assert_eq!(guard.refused(), (4..=last).map(round).collect::<Vec<_>>());
        guard.open(above(0));
        assert!(!guard.admits(round(3), Ballot::Nullify));
        guard.noted(&guard.refused());
        assert!(guard.admits(round(4), Ballot::Nullify));
    }

    #[test]
    fn a_guard_is_shut_until_it_is_opened_and_then_above_a_view() {
        let guard = Guard::default();
        assert!(!guard.admits(round(7), Ballot::Nullify));
        guard.open(above(7));
        assert!(!guard.admits(round(7), Ballot::Nullify));
        assert!(guard.admits(round(8), Ballot::Nullify));
        guard.shut();
        assert!(!guard.admits(round(9), Ballot::Nullify));
        assert!(guard.admits(round(8), Ballot::Nullify), "the same again says nothing new");
        guard.open(above(20));
        guard.open(above(3));
        assert_eq!(guard.opening(), Some(above(20)), "views that were over stay over");
    }

    #[test]
    fn nothing_is_admitted_once_the_application_wants_no_vote() {
        let halted = Arc::new(AtomicBool::new(false));
        let guard = Guard { halted: Arc::clone(&halted), ..Guard::default() };
        guard.open(above(0));
        assert!(guard.admits(round(7), Ballot::Nullify));
        halted.store(true, Ordering::Release);
        guard.open(above(0));
        for view in [7, 8] {
            assert!(!guard.admits(round(view), Ballot::Nullify), "not even the same again");
        }
    }

    #[test]
    fn what_the_journal_or_others_hold_binds() {
        let guard = Guard::default();
        guard.remember(round(9), Ballot::Finalize(proposal(1)));
        guard.open(above(5));
        assert!(!guard.admits(round(9), Ballot::Nullify));
        assert!(!guard.admits(round(9), Ballot::Finalize(proposal(2))));
        assert!(guard.admits(round(9), Ballot::Finalize(proposal(1))));
        assert!(guard.admits(round(9), Ballot::Notarize(proposal(2))), "no such pair is evidence");
        assert!(!guard.admits(round(9), Ballot::Notarize(proposal(3))));
    }

    #[test]
    fn nothing_is_admitted_where_the_memory_ends() {
        let guard = Guard::default();
        guard.open(above(0));
        assert!(guard.admits(round(1), Ballot::Notarize(proposal(1))));
        assert!(guard.admits(round(1 + REMEMBERED_VIEWS), Ballot::Nullify));
        assert!(!guard.admits(round(1), Ballot::Notarize(proposal(2))), "its votes there are forgotten");
        assert!(guard.knows(round(1), &Ballot::Nullify), "so nothing there is known to be somebody else's");
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
                let round = Round { epoch: rng.random_range(0..3), view: rng.random_range(0..6) };
                let which = proposal(rng.random_range(0..3));
                let ballot = match rng.random_range(0..3) {
                    0 => Ballot::Notarize(which),
                    1 => Ballot::Nullify,
                    _ => Ballot::Finalize(which),
                };
                if guard.admits(round, ballot) {
                    signed.push((round, ballot));
                }
                match rng.random_range(0..40) {
                    0 => guard.open(Opening {
                        above: Round { epoch: rng.random_range(0..2), view: rng.random_range(0..4) },
                        next_above: rng.random_range(0..3),
                    }),
                    1 => guard.shut(),
                    2 => {
                        guard = Guard::default();
                        signed.iter().for_each(|(round, ballot)| guard.remember(*round, *ballot));
                    }
                    _ => {}
                }
            }
            for (round, one) in &signed {
                let clash = signed.iter().find(|(other, two)| other == round && one.excludes(two));
                assert_eq!(clash, None, "seed {seed}, {round:?}, {one:?}");
            }
        }
    }
}
