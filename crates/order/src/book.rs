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

/// Views whose votes are kept, below the newest certified one.
const VIEWS_BELOW: u64 = 512;
/// Views above the newest certified one for which votes are taken: nobody can fill the book with views to come.
const VIEWS_ABOVE: u64 = 64;

/// The votes of the last views.
#[derive(Debug)]
pub(crate) struct VoteBook {
    genesis: Hash,
    epoch: u64,
    /// The members, in the order of their keys.
    members: Vec<PublicKey>,
    certified: u64,
    /// By view and place of the voter, at most one of each kind.
    votes: BTreeMap<(u64, usize), Votes>,
}

/// To notarize, to nullify, to finalize.
type Votes = [Option<Vote>; 3];

const fn kind(ballot: &Ballot) -> usize {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => 1,
        Ballot::Finalize(_) => 2,
    }
}

impl VoteBook {
    /// An empty book for an epoch with these members, in the order of their keys.
    pub(crate) const fn new(genesis: Hash, epoch: u64, members: Vec<PublicKey>) -> Self {
        Self { genesis, epoch, members, certified: 0, votes: BTreeMap::new() }
    }

    /// A quorum has certified something in this view.
    pub(crate) fn certified(&mut self, view: u64) {
        if view > self.certified {
            self.certified = view;
            let oldest = view.saturating_sub(VIEWS_BELOW);
            self.votes = self.votes.split_off(&(oldest, 0));
        }
    }

    /// Notes a vote of the member at this place. Returns the evidence against it, if the vote contradicts one that was
    /// seen before and both are its own.
    pub(crate) fn see(&mut self, view: u64, place: usize, vote: Vote) -> Option<Evidence> {
        let voter = *self.members.get(place)?;
        let range = self.certified.saturating_sub(VIEWS_BELOW)..=self.certified.saturating_add(VIEWS_ABOVE);
        if !range.contains(&view) {
            return None;
        }
        let (genesis, round) = (self.genesis, Round { epoch: self.epoch, view });
        let votes = self.votes.entry((view, place)).or_default();
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

    /// The votes of a member in the newest views in which it has voted, at most so many views, the newest first.
    pub(crate) fn newest_of(&self, voter: &PublicKey, views: usize) -> Vec<(u64, Vote)> {
        let Some(place) = self.members.iter().position(|member| member == voter) else { return Vec::new() };
        let own = self.votes.iter().rev().filter(|((_, of), _)| *of == place).take(views);
        own.flat_map(|((view, _), votes)| votes.iter().flatten().map(|vote| (*view, *vote))).collect()
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

    fn book() -> VoteBook {
        VoteBook::new(GENESIS, 0, (0..4).map(|n| secret(n).public()).collect())
    }

    fn vote(n: u8, view: u64, ballot: Ballot) -> Vote {
        Vote::sign(ballot, &GENESIS, Round { epoch: 0, view }, &secret(n))
    }

    fn proposal(n: u8) -> Proposal {
        Proposal { parent_view: 1, block: Hash([n; 32]) }
    }

    #[test]
    fn two_votes_that_exclude_each_other_are_evidence_whatever_lies_between() {
        let mut book = book();
        assert_eq!(book.see(5, 2, vote(2, 5, Ballot::Notarize(proposal(1)))), None);
        assert_eq!(book.see(5, 2, vote(2, 5, Ballot::Nullify)), None);
        assert_eq!(book.see(5, 2, vote(2, 5, Ballot::Nullify)), None, "the same again");
        assert_eq!(book.see(6, 2, vote(2, 6, Ballot::Finalize(proposal(1)))), None, "another view");
        assert_eq!(book.see(5, 1, vote(1, 5, Ballot::Finalize(proposal(1)))), None, "another member");
        let evidence = book.see(5, 2, vote(2, 5, Ballot::Finalize(proposal(1)))).expect("nullify and finalize");
        assert_eq!(evidence.accused, secret(2).public());
        assert_eq!(evidence.judge(&GENESIS, None), Ok(Strength::Absolute));
    }

    #[test]
    fn a_forged_vote_convicts_nobody_and_hides_none() {
        let mut book = book();
        let forged = Vote { signature: Signature([0; 64]), ..vote(2, 5, Ballot::Nullify) };
        let (one, two) = (vote(2, 5, Ballot::Finalize(proposal(1))), vote(2, 5, Ballot::Finalize(proposal(2))));
        assert_eq!(book.see(5, 2, forged), None);
        assert_eq!(book.see(5, 2, one), None, "a true one takes its place");
        assert_eq!(book.see(5, 2, forged), None);
        assert!(book.see(5, 2, two).is_some());
    }

    #[test]
    fn a_member_is_told_its_newest_votes_and_nobody_fills_the_book() {
        let mut book = book();
        for view in 1..=20 {
            book.see(view, 1, vote(1, view, Ballot::Notarize(proposal(1))));
            book.see(view, 2, vote(2, view, Ballot::Nullify));
        }
        let told = book.newest_of(&secret(1).public(), 3);
        assert_eq!(told.iter().map(|(view, _)| *view).collect::<Vec<_>>(), [20, 19, 18]);
        assert!(
            told.iter()
                .all(|(view, vote)| { vote.is_by(&secret(1).public(), &GENESIS, Round { epoch: 0, view: *view }) })
        );
        assert_eq!(book.newest_of(&secret(9).public(), 3), []);
        book.see(VIEWS_ABOVE + 1, 0, vote(0, VIEWS_ABOVE + 1, Ballot::Nullify));
        assert_eq!(book.newest_of(&secret(0).public(), 3), [], "too far ahead");
        book.certified(VIEWS_BELOW + 10);
        assert_eq!(book.newest_of(&secret(1).public(), 99).len(), 11, "views from 10 on are left");
    }
}
