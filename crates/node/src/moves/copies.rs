//! What members tell of the prefixes that they keep.

use std::collections::BTreeMap;
use std::time::Duration;

use pleach_types::PublicKey;

use super::plan::held;

/// How long counts what a member has told, where records are dropped because of it: several times as long as it takes until it
/// tells again.
const LATELY: Duration = Duration::from_secs(30);

/// What each member has told last. Only those that the network lets in can tell anything, so they are as few as members.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies(BTreeMap<PublicKey, ToldCopies>);

#[derive(Clone, Debug)]
struct ToldCopies {
    prefixes: Vec<u8>,
    /// When it was looked at first. It comes in where there is no clock.
    at: Option<Duration>,
}

impl Copies {
    pub(super) fn hear(&mut self, from: PublicKey, prefixes: Vec<u8>) {
        self.0.insert(from, ToldCopies { prefixes, at: None });
    }

    /// Dates what was heard since the last time.
    pub(super) fn date(&mut self, now: Duration) {
        self.0.values_mut().for_each(|told| told.at = told.at.or(Some(now)));
    }

    /// The members that have told that they keep a prefix.
    pub(super) fn keeping(&self, number: u32) -> Vec<PublicKey> {
        self.0.iter().filter(|(_, told)| held(&told.prefixes, number)).map(|(key, _)| *key).collect()
    }

    /// Whether a member has told that it keeps a prefix: `None` if it has told nothing.
    pub(super) fn says(&self, member: &PublicKey, number: u32) -> Option<bool> {
        self.0.get(member).map(|told| held(&told.prefixes, number))
    }

    /// Whether a member has told lately that it keeps a prefix: one that is silent may have lost its disk.
    pub(super) fn says_lately(&self, member: &PublicKey, number: u32, now: Duration) -> bool {
        let lately = |told: &ToldCopies| {
            held(&told.prefixes, number) && told.at.is_some_and(|at| now.saturating_sub(at) <= LATELY)
        };
        self.0.get(member).is_some_and(lately)
    }
}
