//! Who led, and who missed its turn: from the headers of final blocks alone.
//!
//! What one block says of it is in [`pleach_types::turns`]: all that have executed the same
//! heights count the same, and nobody has to be believed. A member that is slow, down or cut off misses its turns, and so does one whose
//! proposals the others do not get, or refuse: it tells owners whom to look at, and convicts nobody.
//!
//! Counted is the present epoch. A node that starts within it counts what its store remembers of it, which may begin later.

use std::collections::BTreeMap;

use pleach_types::turns::{Turn, turns};
use pleach_types::{Committee, Header, Height, PublicKey};

/// The turns of all members in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderTurns {
    pub(crate) epoch: u64,
    pub(crate) from: Height,
    pub(crate) to: Height,
    counts: BTreeMap<PublicKey, Turn>,
}

impl LeaderTurns {
    /// What these headers say, the oldest first, of the epoch of the last one, whose members are these.
    pub(crate) fn of<'a>(headers: impl Iterator<Item = &'a Header> + Clone, members: &Committee) -> Self {
        let mut turns = Self::default();
        let Some(epoch) = headers.clone().last().map(|header| header.context.epoch) else { return turns };
        for header in headers.filter(|header| header.context.epoch == epoch) {
            turns.note(header, members);
        }
        turns
    }

    /// Counts a final block, and says what was counted. `members` are those of its epoch.
    pub(crate) fn note(&mut self, header: &Header, members: &Committee) -> BTreeMap<PublicKey, Turn> {
        let of = turns(&header.context, members);
        // Height 0 was led by nobody.
        if header.height == 0 {
            return BTreeMap::new();
        }
        if header.context.epoch != self.epoch || self.to.checked_add(1) != Some(header.height) || self.from == 0 {
            *self = Self { epoch: header.context.epoch, from: header.height, ..Self::default() };
        }
        self.to = header.height;
        for (key, Turn { led, missed }) in &of {
            let turn = self.counts.entry(*key).or_default();
            turn.led = turn.led.saturating_add(*led);
            turn.missed = turn.missed.saturating_add(*missed);
        }
        of
    }

    /// The turns of a member.
    pub(crate) fn by(&self, key: &PublicKey) -> Turn {
        self.counts.get(key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::vote::Round;
    use pleach_types::{Block, BlockResult, Context, Hash, Member, SecretKey};

    use super::*;

    fn members(count: u8) -> Committee {
        let mut all: Vec<_> =
            (1..=count).map(|n| Member::new(format!("node-{n}"), SecretKey::from_seed([n; 32]).public())).collect();
        all.sort_by_key(|member| member.public_key);
        Committee::new(all).unwrap()
    }

    fn header(members: &Committee, height: Height, epoch: u64, (parent_view, view): (u64, u64)) -> Header {
        let leader = members.members()[Round { epoch, view }.leader(members.members().len()).unwrap()].public_key;
        let context = Context { epoch, view, parent_view, leader, parent: Hash::default() };
        Block::new(context, height, BlockResult::default(), Vec::new()).header
    }

    /// Whatever views were skipped: each view of the epoch is somebody's turn, led or missed, counted one by one.
    #[test]
    fn each_view_is_one_members_turn() {
        for (count, epoch, views) in [
            (4, 0, vec![1, 2, 3, 9, 10, 40]),
            (7, 5, vec![2, 3, 1_000, 1_001]),
            (1, 2, vec![1, 5]),
            (5, u64::MAX, vec![4, 6]),
        ] {
            let members = members(count);
            let (mut turns, mut parent, mut naive) = (LeaderTurns::default(), 0, BTreeMap::<PublicKey, Turn>::new());
            for (height, view) in (20..).zip(&views) {
                turns.note(&header(&members, height, epoch, (parent, *view)), &members);
                for between in parent + 1..=*view {
                    let place = (u128::from(epoch.wrapping_add(between)) % u128::from(count)) as usize;
                    let turn = naive.entry(members.members()[place].public_key).or_default();
                    if between == *view { turn.led += 1 } else { turn.missed += 1 }
                }
                parent = *view;
            }
            for key in members.keys() {
                assert_eq!(
                    turns.by(&key),
                    naive.get(&key).copied().unwrap_or_default(),
                    "{count} members, epoch {epoch}"
                );
            }
            assert_eq!((turns.from, turns.to), (20, 19 + views.len() as u64));
        }
    }

    #[test]
    fn an_epoch_begins_anew_and_a_restart_counts_what_is_remembered() {
        let members = members(4);
        let all: Vec<_> = [(14, 0, (13, 14)), (15, 0, (14, 17)), (16, 1, (0, 3)), (17, 1, (3, 4)), (18, 1, (4, 9))]
            .map(|(height, epoch, views)| header(&members, height, epoch, views))
            .into();
        let mut lived = LeaderTurns::default();
        all.iter().for_each(|header| drop(lived.note(header, &members)));
        assert_eq!((lived.epoch, lived.from, lived.to), (1, 16, 18));
        assert_eq!(LeaderTurns::of(all.iter(), &members), lived);
        let late = LeaderTurns::of(all[3..].iter(), &members);
        assert_eq!((late.from, late.to), (17, 18));
        // After a gap, as a fetched state leaves one, it begins after the gap.
        lived.note(&header(&members, 30, 1, (20, 21)), &members);
        assert_eq!((lived.from, lived.to), (30, 30));
        assert_eq!(LeaderTurns::of(all[..0].iter(), &members), LeaderTurns::default());
    }

    #[test]
    fn a_jump_over_views_without_number_costs_no_time() {
        let members = members(4);
        let mut turns = LeaderTurns::default();
        turns.note(&header(&members, 9, 0, (1, u64::MAX)), &members);
        let missed: u128 = members.keys().map(|key| u128::from(turns.by(&key).missed)).sum();
        assert_eq!(missed, u128::from(u64::MAX) - 2);
    }
}
