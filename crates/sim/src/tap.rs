//! What members sign, as it goes over the network: for a judge who looks for two votes that exclude each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use commonware_cryptography::ed25519;
use commonware_p2p::Message;
use commonware_runtime::IoBuf;
use pleach_order::engine::vote_from_engine;
use pleach_types::vote::Round;
use pleach_types::{Evidence, Hash, PublicKey, Vote};

use crate::lines::LineEar;

/// All votes that have arrived anywhere, by who sent them and by round. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<TappedVotes>>);

type TappedVotes = BTreeMap<(PublicKey, Round), Vec<Vote>>;

impl Tap {
    fn note(&self, from: &ed25519::PublicKey, message: &IoBuf) {
        let Ok(voter) = from.as_ref().try_into().map(PublicKey) else { return };
        let Some((round, vote)) = vote_from_engine(&Bytes::from(message.clone())) else { return };
        self.add(voter, round, vote);
    }

    fn add(&self, voter: PublicKey, round: Round, vote: Vote) {
        let mut votes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = votes.entry((voter, round)).or_default();
        if !of.contains(&vote) {
            of.push(vote);
        }
    }

    /// How many votes have arrived.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// Whom the judge convicts of all pairs of votes of one member in one round, in the cluster with this genesis digest.
    #[must_use]
    pub fn convicted(&self, genesis: &Hash) -> BTreeSet<PublicKey> {
        let votes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = votes.iter().flat_map(|((voter, round), votes)| {
            let pairs =
                votes.iter().enumerate().flat_map(|(at, one)| votes[at + 1..].iter().map(move |two| (one, two)));
            pairs.map(|(one, two)| Evidence::of_votes(*genesis, *voter, *round, *one, *two))
        });
        pairs.filter(|evidence| evidence.judge(genesis, None).is_ok()).map(|evidence| evidence.accused).collect()
    }
}

/// A receiver whose messages are noted, where they are votes.
#[derive(Debug)]
pub struct Tapped {
    pub(crate) inner: LineEar,
    pub(crate) tap: Option<Tap>,
}

impl commonware_p2p::Receiver for Tapped {
    type Error = commonware_p2p::simulated::Error;
    type PublicKey = ed25519::PublicKey;

    async fn recv(&mut self) -> Result<Message<ed25519::PublicKey>, Self::Error> {
        let (from, message) = self.inner.recv().await?;
        if let Some(tap) = &self.tap {
            tap.note(&from, &message);
        }
        Ok((from, message))
    }

    fn capacity(&self) -> std::num::NonZeroUsize {
        self.inner.capacity()
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::vote::Proposal;
    use pleach_types::{Ballot, SecretKey};

    use super::*;

    #[test]
    fn who_votes_twice_in_a_view_is_convicted_and_nobody_else() {
        let (tap, genesis, round) = (Tap::default(), Hash([7; 32]), Round { epoch: 0, view: 3 });
        let add = |n: u8, round: Round, block: u8| {
            let key = SecretKey::from_seed([n; 32]);
            let ballot = Ballot::Notarize(Proposal { parent_view: 2, block: Hash([block; 32]) });
            tap.add(key.public(), round, Vote::sign(ballot, &genesis, round, &key));
        };
        add(1, round, 1);
        add(1, round, 1);
        add(2, round, 1);
        add(2, Round { view: 4, ..round }, 2);
        assert_eq!((tap.votes(), tap.convicted(&genesis)), (3, BTreeSet::new()));
        add(2, round, 2);
        assert_eq!(tap.convicted(&genesis), [SecretKey::from_seed([2; 32]).public()].into());
    }
}
