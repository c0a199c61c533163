//! How many complaints a node judges in a second.
//!
//! A complaint costs its sender nothing: no proof, no signature, no gas. Its judge checks two signatures or a whole signed answer, a tenth of a
//! millisecond and more, only to find that it is junk. So the *work* is bounded, at the door, after all that is cheaper (is it read, is the
//! accused a member who has not been convicted, is there room): half of it is for what other members pass on, so that no number of
//! strangers keeps out what a member has found. One member and one address have a part of their half, as in the pool ([`Room`]).
//! What the bound refuses may be sent again a second later; evidence does not go stale.

use std::time::Duration;

use crate::pool::{Demand, Full, Measure, Room, Sender};

/// Complaints of clients that a node judges in a second, and as many again of other members.
const JUDGED_PER_SECOND_MAX: u64 = 100;

/// The judgements of the present second.
#[derive(Debug, Default)]
pub(crate) struct Judgements {
    second: u64,
    of_clients: Room,
    of_members: Room,
}

impl Judgements {
    /// The time that the node has been running. A new second begins with nothing judged.
    pub(crate) fn at(&mut self, now: Duration) {
        if now.as_secs() != self.second {
            *self = Self { second: now.as_secs(), ..Self::default() };
        }
    }

    /// Takes one judgement for this sender. One member has one of `parts` of what is there for members.
    ///
    /// # Errors
    /// Whose part is used up.
    pub(crate) fn take(&mut self, sender: Sender, parts: u64) -> Result<(), Full> {
        let room = if sender.member.is_some() { &mut self.of_members } else { &mut self.of_clients };
        let demand = [Demand::of(Measure::Judgements, 1, JUDGED_PER_SECOND_MAX)];
        room.check(sender, &demand, parts)?;
        room.take(sender, &demand);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::PublicKey;

    use super::*;
    use crate::pool::{Origin, Part};

    const PARTS: u64 = 2;

    fn of(member: Option<u8>, origin: u64) -> Sender {
        Sender { member: member.map(|key| PublicKey([key; 32])), origin: Origin(origin) }
    }

    /// How many are judged for senders in turn until each is refused, and whose part was used up last.
    fn exhaust(judgements: &mut Judgements, senders: impl Iterator<Item = Sender>) -> (u64, Option<Part>) {
        let (mut judged, mut last) = (0, None);
        for sender in senders {
            loop {
                match judgements.take(sender, PARTS) {
                    Ok(()) => judged += 1,
                    Err(full) => break last = Some(full.part),
                }
            }
        }
        (judged, last)
    }

    #[test]
    fn strangers_use_up_their_half_and_a_member_its_part_of_the_other() {
        let mut judgements = Judgements::default();
        assert_eq!(exhaust(&mut judgements, [of(None, 0)].into_iter()), (25, Some(Part::Origin)));
        assert_eq!(exhaust(&mut judgements, (1..1_000).map(|origin| of(None, origin))), (75, Some(Part::Whole)));
        let of_one = (0..1_000).map(|origin| of(Some(1), origin));
        assert_eq!(
            exhaust(&mut judgements, of_one),
            (50, Some(Part::Member)),
            "whoever is faulty leaves some to others"
        );
        assert_eq!(judgements.take(of(Some(2), 0), PARTS), Ok(()));
    }

    #[test]
    fn another_second_has_judgements_of_its_own() {
        let mut judgements = Judgements::default();
        let all = || (0..10).map(|origin| of(None, origin));
        assert_eq!(exhaust(&mut judgements, all()).0, 100);
        judgements.at(Duration::from_millis(999));
        assert_eq!(exhaust(&mut judgements, all()).0, 0);
        judgements.at(Duration::from_millis(1_000));
        assert_eq!(exhaust(&mut judgements, all()).0, 100);
    }
}
