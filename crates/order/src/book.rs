//! Which votes members have shown, whichever way they came: alone, or inside a certificate.
//!
//! The engine compares votes that come from their signer, and forgets them once it has a certificate. So a vote that
//! contradicts one *inside a certificate* would go unnoticed: an Ed25519 certificate is a list of votes, and here it is
//! taken apart. The book serves two ends:
//!
//! - two votes of one member that exclude each other are evidence against it ([`VoteBook::see`]);
//! - a member that starts asks the others which of its votes they hold ([`VoteBook::newest_of`]).
//!
//! Votes that come alone may be forged, since nothing has checked their signatures yet: they are checked only once two
//! of them clash.

use std::collections::BTreeMap;

use pleach_types::vote::{Ballot, Round, Vote};
use pleach_types::{Evidence, Hash, PublicKey};

/// Views whose votes are kept, below the newest certified one: of as many epochs as they are spread over.
const VIEWS_BELOW: u64 = 512;
/// Views above the newest certified one for which votes are taken, and views of the epoch after: nobody can fill the book
/// with views to come.
const VIEWS_ABOVE: u64 = 64;

/// The votes of the last views.
#[derive(Debug)]
pub(crate) struct VoteBook {
    genesis: Hash,
    /// The members of the epochs that this member takes part in, in the order of their keys.
    members: BTreeMap<u64, Vec<PublicKey>>,
    certified: Round,
    /// The last view of each epoch before that was certified here, as long as votes of it are kept.
    ends: BTreeMap<u64, u64>,
    /// Votes of earlier rounds are not kept.
    floor: Round,
    /// By round and place of the voter, at most one of each kind.
    votes: BTreeMap<(Round, usize), ViewVotes>,
}

/// To notarize, to nullify, to finalize.
type ViewVotes = [Option<Vote>; 3];

const fn kind(ballot: &Ballot) -> usize {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => 1,
        Ballot::Finalize(_) => 2,
    }
}

impl VoteBook {
    /// An empty book, which takes no votes before it knows members.
    pub(crate) const fn new(genesis: Hash) -> Self {
        let start = Round { epoch: 0, view: 0 };
        let votes = BTreeMap::new();
        Self { genesis, members: BTreeMap::new(), certified: start, ends: BTreeMap::new(), floor: start, votes }
    }

    /// Takes the votes of these members in this epoch, from now on. They are in the order of their keys.
    pub(crate) fn enter(&mut self, epoch: u64, members: Vec<PublicKey>) {
        self.members.insert(epoch, members);
    }

    /// A quorum has certified something in this round.
    pub(crate) fn certified(&mut self, round: Round) {
        if round <= self.certified {
            return;
        }
        if round.epoch > self.certified.epoch {
            self.ends.insert(self.certified.epoch, self.certified.view);
        }
        self.certified = round;
        self.floor = self.floor.max(self.floor_of(round));
        self.votes = self.votes.split_off(&(self.floor, 0));
        self.members = self.members.split_off(&self.floor.epoch);
        self.ends = self.ends.split_off(&self.floor.epoch);
    }

    /// Where the last views before this one begin whose votes are kept. An epoch may be much shorter than they are.
    fn floor_of(&self, certified: Round) -> Round {
        let Round { mut epoch, view: mut views } = certified;
        for (before, last) in self.ends.iter().rev() {
            if views >= VIEWS_BELOW {
                break;
            }
            // At least one, so that no number of epochs that were passed over is kept.
            (epoch, views) = (*before, views.saturating_add((*last).max(1)));
        }
        Round { epoch, view: views.saturating_sub(VIEWS_BELOW) }
    }

    /// Whether votes of a round are taken.
    fn takes(&self, round: Round) -> bool {
        let Round { epoch, view } = self.certified;
        match round.epoch.checked_sub(epoch) {
            Some(0) => (view.saturating_sub(VIEWS_BELOW)..=view.saturating_add(VIEWS_ABOVE)).contains(&round.view),
            Some(1) => round.view <= VIEWS_ABOVE,
            Some(_) => false,
            // Votes of an epoch before come late, or are the last ones of a journal. They count while their view is among the last ones.
            None => {
                let last = self.ends.get(&round.epoch).map_or(VIEWS_BELOW, |end| end.saturating_add(VIEWS_ABOVE));
                round >= self.floor && round.view <= last
            }
        }
    }

    /// Notes a vote of the member at this place. Returns the evidence against it, if the vote contradicts one that was
    /// seen before and both are its own.
    pub(crate) fn see(&mut self, round: Round, place: usize, vote: Vote) -> Option<Evidence> {
        let voter = *self.members.get(&round.epoch)?.get(place)?;
        if !self.takes(round) {
            return None;
        }
        let genesis = self.genesis;
        let votes = self.votes.entry((round, place)).or_default();
        let before = votes.iter().flatten().find(|before| before.ballot.excludes(&vote.ballot)).copied();
        let Some(before) = before else {
            votes[kind(&vote.ballot)].get_or_insert(vote);
            return None;
        };
        if !vote.is_by(&voter, &genesis, round) {
            return None;
        }
        if !before.is_by(&voter, &genesis, round) {
            // The forged one had taken the true one's place.
            votes[kind(&before.ballot)] = None;
            votes[kind(&vote.ballot)] = Some(vote);
            return None;
        }
        Some(Evidence::of_votes(genesis, voter, round, before, vote))
    }

    /// The place of the member that leads a round: members take turns.
    pub(crate) fn leader(&self, round: Round) -> Option<usize> {
        let members = self.members.get(&round.epoch)?.len();
        round.leader(members)
    }

    /// The vote to notarize of the leader of a round, if it was seen and is the leader's.
    pub(crate) fn vote_of_leader(&self, round: Round) -> Option<Vote> {
        let place = self.leader(round)?;
        let vote = (*self.votes.get(&(round, place))?.first()?)?;
        let leader = self.members.get(&round.epoch)?.get(place)?;
        vote.is_by(leader, &self.genesis, round).then_some(vote)
    }

    /// Whether the member with this key has this place in an epoch.
    pub(crate) fn is_at(&self, epoch: u64, place: usize, member: &PublicKey) -> bool {
        self.members.get(&epoch).and_then(|members| members.get(place)) == Some(member)
    }

    /// The votes of a member in the newest views in which it has voted, at most so many views, the newest first.
    pub(crate) fn newest_of(&self, voter: &PublicKey, views: usize) -> Vec<(Round, Vote)> {
        let own =
            self.votes.iter().rev().filter(|((round, place), _)| self.is_at(round.epoch, *place, voter)).take(views);
        own.flat_map(|((round, _), votes)| votes.iter().flatten().map(|vote| (*round, *vote))).collect()
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::evidence::Strength;
    use pleach_types::vote::Proposal;
    use pleach_types::{SecretKey, Signature};

    use super::*;

    const GENESIS: Hash = Hash([3; 32]);

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn round(view: u64) -> Round {
        Round { epoch: 0, view }
    }

    fn book() -> VoteBook {
        let mut book = VoteBook::new(GENESIS);
        book.enter(0, (0..4).map(|n| secret(n).public()).collect());
        book
    }

    fn vote(n: u8, view: u64, ballot: Ballot) -> Vote {
        Vote::sign(ballot, &GENESIS, round(view), &secret(n))
    }

    fn proposal(n: u8) -> Proposal {
        Proposal { parent_view: 1, block: Hash([n; 32]) }
    }

    #[test]
    fn two_votes_that_exclude_each_other_are_evidence_whatever_lies_between() {
        let mut book = book();
        assert_eq!(book.see(round(5), 2, vote(2, 5, Ballot::Notarize(proposal(1)))), None);
        assert_eq!(book.see(round(5), 2, vote(2, 5, Ballot::Nullify)), None);
        assert_eq!(book.see(round(5), 2, vote(2, 5, Ballot::Nullify)), None, "the same again");
        assert_eq!(book.see(round(6), 2, vote(2, 6, Ballot::Finalize(proposal(1)))), None, "another view");
        assert_eq!(book.see(round(5), 1, vote(1, 5, Ballot::Finalize(proposal(1)))), None, "another member");
        let evidence = book.see(round(5), 2, vote(2, 5, Ballot::Finalize(proposal(1)))).expect("nullify and finalize");
        assert_eq!(evidence.accused, secret(2).public());
        assert_eq!(evidence.judge(&GENESIS, None), Ok(Strength::Absolute));
    }

    #[test]
    fn a_forged_vote_convicts_nobody_and_hides_none() {
        let mut book = book();
        let forged = Vote { signature: Signature([0; 64]), ..vote(2, 5, Ballot::Nullify) };
        let (one, two) = (vote(2, 5, Ballot::Finalize(proposal(1))), vote(2, 5, Ballot::Finalize(proposal(2))));
        assert_eq!(book.see(round(5), 2, forged), None);
        assert_eq!(book.see(round(5), 2, one), None, "a true one takes its place");
        assert_eq!(book.see(round(5), 2, forged), None);
        assert!(book.see(round(5), 2, two).is_some());
    }

    #[test]
    fn a_member_is_told_its_newest_votes_and_nobody_fills_the_book() {
        let mut book = book();
        for view in 1..=20 {
            book.see(round(view), 1, vote(1, view, Ballot::Notarize(proposal(1))));
            book.see(round(view), 2, vote(2, view, Ballot::Nullify));
        }
        let told = book.newest_of(&secret(1).public(), 3);
        assert_eq!(told.iter().map(|(round, _)| round.view).collect::<Vec<_>>(), [20, 19, 18]);
        assert!(told.iter().all(|(round, vote)| vote.is_by(&secret(1).public(), &GENESIS, *round)));
        assert_eq!(book.newest_of(&secret(9).public(), 3), []);
        book.see(round(VIEWS_ABOVE + 1), 0, vote(0, VIEWS_ABOVE + 1, Ballot::Nullify));
        assert_eq!(book.newest_of(&secret(0).public(), 3), [], "too far ahead");
        book.certified(round(VIEWS_BELOW + 10));
        assert_eq!(book.newest_of(&secret(1).public(), 99).len(), 11, "views from 10 on are left");
    }

    /// Epochs may be sixteen blocks long, and a cluster may run for years.
    #[test]
    fn the_book_is_bounded_however_short_epochs_are() {
        let mut book = book();
        let last = 16;
        for epoch in 0..200 {
            book.enter(epoch, vec![secret(0).public()]);
            for view in 1..=last {
                let round = Round { epoch, view };
                assert_eq!(book.see(round, 0, Vote::sign(Ballot::Nullify, &GENESIS, round, &secret(0))), None);
                book.certified(round);
            }
        }
        let kept = book.newest_of(&secret(0).public(), usize::MAX);
        assert_eq!(kept.len() as u64, VIEWS_BELOW, "of 32 epochs");
        assert_eq!(kept.first().map(|(round, _)| *round), Some(Round { epoch: 199, view: last }));
        assert!(book.members.len() <= 33 && book.ends.len() <= 33, "{} epochs", book.members.len());
        // Nobody fills it with votes of views that those epochs never had, or of epochs that are over.
        let takes = |epoch, view| book.takes(Round { epoch, view });
        assert!(takes(198, last + VIEWS_ABOVE) && !takes(198, last + VIEWS_ABOVE + 1) && !takes(100, 1));
    }

    #[test]
    fn votes_of_the_epoch_before_are_kept_until_this_one_is_long() {
        let mut book = book();
        let next = |view| Round { epoch: 1, view };
        let sign = |view| Vote::sign(Ballot::Nullify, &GENESIS, next(view), &secret(3));
        assert_eq!(book.see(next(1), 0, sign(1)), None);
        assert_eq!(book.newest_of(&secret(3).public(), 9), [], "its members are not known yet");
        book.enter(1, vec![secret(3).public()]);
        book.see(next(VIEWS_ABOVE + 1), 0, sign(VIEWS_ABOVE + 1));
        book.see(next(1), 0, sign(1));
        book.see(round(7), 3, vote(3, 7, Ballot::Nullify));
        assert_eq!(
            book.newest_of(&secret(3).public(), 9),
            [(next(1), sign(1)), (round(7), vote(3, 7, Ballot::Nullify))]
        );
        book.certified(next(VIEWS_BELOW - 1));
        assert_eq!(book.newest_of(&secret(3).public(), 9).len(), 2);
        book.certified(next(VIEWS_BELOW));
        assert_eq!(book.newest_of(&secret(3).public(), 9), [(next(1), sign(1))]);
        assert_eq!(book.see(round(7), 3, vote(3, 7, Ballot::Nullify)), None);
        assert_eq!(book.newest_of(&secret(3).public(), 9).len(), 1, "the epoch before is over");
    }
}
