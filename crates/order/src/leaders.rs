//! What members tell each other of a view that was given up: the vote of its leader.
//!
//! A leader that proposes one block to some and another to others contradicts itself, but if neither block is certified nobody holds
//! both votes: each member has the one that it was shown, and the view is given up as if the leader had been slow. So
//! each member that holds the leader's vote to notarize when a view is given up sends it to all others, and whoever was shown
//! another one has evidence. Of a certified view nobody need tell: the certificate holds the leader's vote.
//!
//! Only a vote whose signature holds is told. What arrives is taken like any vote: it may be forged until it contradicts another.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pleach_types::codec::{Decode as _, DecodeError, Encode as _, Reader};
use pleach_types::vote::{Ballot, Round, Vote};

use crate::signal::Signal;

/// Votes that wait to be told, beyond which the oldest is dropped: only as many as views are given up in one turn of a task.
const WAITING: usize = 64;

/// Votes of leaders that are to be told.
#[derive(Debug, Default)]
pub(crate) struct LeadersVotes {
    waiting: Mutex<VecDeque<(Round, Vote)>>,
    /// Counts votes that were added.
    pub(crate) added: Signal,
}

impl LeadersVotes {
    /// Adds the vote of the leader of a view that was given up.
    pub(crate) fn add(&self, round: Round, vote: Vote) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING {
            waiting.pop_front();
        }
        waiting.push_back((round, vote));
        drop(waiting);
        self.added.bump();
    }

    /// What is to be told now.
    pub(crate) fn take(&self) -> VecDeque<(Round, Vote)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The message, after the byte that says what it is.
pub(crate) fn encode(kind: u8, round: Round, vote: &Vote) -> Vec<u8> {
    let mut message = vec![kind];
    round.encode_to(&mut message);
    vote.encode_to(&mut message);
    message
}

/// Reads what stands after that byte.
pub(crate) fn decode(message: bytes::Bytes) -> Result<(Round, Vote), DecodeError> {
    let mut reader = Reader::new(message);
    let told = (Round::decode_from(&mut reader)?, Vote::decode_from(&mut reader)?);
    reader.finish()?;
    match told.1.ballot {
        Ballot::Notarize(_) => Ok(told),
        _ => Err(DecodeError::Invalid { field: "vote", why: "a leader votes to notarize what it proposes".into() }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pleach_types::vote::Proposal;
    use pleach_types::{Hash, SecretKey};

    use super::*;

    const ROUND: Round = Round { epoch: 2, view: 9 };

    fn vote(ballot: Ballot) -> Vote {
        Vote::sign(ballot, &Hash([3; 32]), ROUND, &SecretKey::from_seed([1; 32]))
    }

    fn notarize() -> Vote {
        vote(Ballot::Notarize(Proposal { parent_view: 8, block: Hash([1; 32]) }))
    }

    #[test]
    fn a_leaders_vote_comes_through_and_nothing_else_does() {
        let message = encode(2, ROUND, &notarize());
        assert_eq!(decode(Bytes::copy_from_slice(&message[1..])).unwrap(), (ROUND, notarize()));
        for length in 0..message.len() - 1 {
            assert!(decode(Bytes::copy_from_slice(&message[1..=length])).is_err(), "{length} bytes");
        }
        assert!(decode([&message[1..], &[0]].concat().into()).is_err());
        let other = encode(2, ROUND, &vote(Ballot::Nullify));
        assert!(decode(Bytes::copy_from_slice(&other[1..])).is_err());
    }

    #[test]
    fn the_oldest_is_dropped_where_too_many_wait() {
        let votes = LeadersVotes::default();
        for view in 0..=WAITING as u64 {
            votes.add(Round { view, ..ROUND }, notarize());
        }
        let taken = votes.take();
        assert_eq!((taken.len(), taken[0].0.view), (WAITING, 1));
        assert!(votes.take().is_empty());
    }
}
