//! What other members sent and nobody has looked at yet, with room for each of them.

use std::collections::{BTreeMap, VecDeque};

use pleach_types::PublicKey;

/// Messages that wait: those of one member keep out none of another.
#[derive(Debug)]
pub(crate) struct MemberInbox<T>(BTreeMap<PublicKey, VecDeque<T>>);

impl<T> Default for MemberInbox<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> MemberInbox<T> {
    /// Adds a message of a member if fewer than `room` of its messages wait.
    pub(crate) fn push(&mut self, from: PublicKey, message: T, room: usize) {
        if room > 0 {
            let waiting = self.0.entry(from).or_default();
            if waiting.len() < room {
                waiting.push_back(message);
            }
        }
    }

    /// All that waits, one message of each member in turn. What comes meanwhile waits for the next time, so whoever goes
    /// through the messages comes to an end however fast they arrive.
    pub(crate) fn take(&mut self) -> Vec<(PublicKey, T)> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            self.0.retain(|from, waiting| {
                all.extend(waiting.pop_front().map(|message| (*from, message)));
                !waiting.is_empty()
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_floods_keeps_out_nobody_else_and_goes_in_turn() {
        let [loud, quiet] = [PublicKey([1; 32]), PublicKey([2; 32])];
        let mut inbox = MemberInbox::default();
        (0..1_000).for_each(|n| inbox.push(loud, n, 3));
        inbox.push(quiet, 7, 3);
        assert_eq!(inbox.take(), [(loud, 0), (quiet, 7), (loud, 1), (loud, 2)]);
        inbox.push(loud, 1, 0);
        assert_eq!(inbox.take(), []);
    }
}
