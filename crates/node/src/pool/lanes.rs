//! Whose request comes next: by turns, not by age.
//!
//! Requests wait in lanes, and lanes in groups. Where anybody may create domains, a group is of one sender and a lane of one
//! domain, so that a thousand domains of one stranger have one part of each block between them. Where the owners approve
//! domains, these cannot be multiplied for nothing, while addresses can: then a group is of one domain and a lane of one sender.
//!
//! Each group, and each lane within its group, is charged with what its requests took of blocks, and whoever was charged
//! least is next. Who comes anew, or again, begins beside the one that was charged least: nobody saves up turns. What counts is
//! the gas that is declared, since a block has no room for others where it is declared and then not used; who uses less than
//! a quarter of it is charged twice.
//!
//! Within a lane the oldest and the cheapest take turns: those who declare much do not shut out those who declare little,
//! and the oldest comes first in its block, where it always fits.
//!
//! How much of a block each group may have is another matter ([`Portions`]).

use std::cmp::Reverse;
use std::collections::btree_map::Values;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use pleach_types::Identity;

use super::Sender;
use super::portions::Portions;

/// Requests of one group that a block has no room for and that are passed over before the group waits for the next block.
pub const PASSED_OVER_MAX: usize = 64;
/// Who uses less than one of so many parts of the gas that it declares is charged twice.
const USED_PARTS: u64 = 4;

/// What a group or a lane is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The system's own requests.
    System,
    /// Operations that the proof shows not to exist: one for all of them, since names cost nothing.
    Nowhere,
    /// A domain, with the slash at its end.
    Domain(Box<str>),
    /// By whom requests come.
    Sender(Sender),
}

/// A lane: its group, and what it is of within that.
pub type Lane = (Party, Party);

/// Where a request waits.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its lane.
    pub lane: &'a Lane,
    /// When it came: later ones have higher numbers.
    pub arrival: u64,
    /// How much of a block it takes.
    pub share: u64,
}

/// What came of offering a request to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in the block.
    Taken,
    /// It belongs in no block now.
    Unwanted,
    /// The block has no room for it.
    NoRoom,
    /// The block has room for nothing.
    BlockFull,
}

/// What some were charged, and who was charged least.
#[derive(Debug)]
struct Charges<T> {
    of: BTreeMap<Party, (u64, T)>,
    order: BTreeSet<(u64, Party)>,
}

impl<T> Default for Charges<T> {
    fn default() -> Self {
        Self { of: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<T: Default> Charges<T> {
    /// A party, which begins beside the one that was charged least.
    fn enter(&mut self, party: &Party) -> &mut T {
        if !self.of.contains_key(party) {
            let least = self.order.first().map_or(0, |(charged, _)| *charged);
            self.order.insert((least, party.clone()));
        }
        let least = self.order.first().map_or(0, |(charged, _)| *charged);
        &mut self.of.entry(party.clone()).or_insert_with(|| (least, T::default())).1
    }

    fn charge(&mut self, party: &Party, amount: u64) {
        if let Some((charged, _)) = self.of.get_mut(party) {
            self.order.remove(&(*charged, party.clone()));
            *charged = charged.saturating_add(amount);
            self.order.insert((*charged, party.clone()));
        }
    }

    /// What each was charged, who was charged least first.
    fn in_order(&self) -> impl Iterator<Item = (u64, &T)> {
        self.order.iter().filter_map(|(charged, party)| self.of.get(party).map(|(_, what)| (*charged, what)))
    }

    fn leave(&mut self, party: &Party) {
        if let Some((charged, _)) = self.of.remove(party) {
            self.order.remove(&(charged, party.clone()));
        }
    }
}

/// The requests of one lane.
#[derive(Debug, Default)]
struct Queue {
    by_age: BTreeMap<u64, Identity>,
    /// By how much of a block each takes, and then by arrival.
    by_share: BTreeMap<(u64, u64), Identity>,
    /// How much of blocks all of them take.
    share: u64,
}

impl Queue {
    /// The oldest of those that take more than this.
    fn oldest_above(&self, share: u64) -> Option<&Identity> {
        let larger = self.by_share.range((share.saturating_add(1), 0)..);
        larger.min_by_key(|((_, arrival), _)| *arrival).map(|(_, identity)| identity)
    }
}

/// The lanes of one group.
#[derive(Debug, Default)]
struct GroupLanes {
    lanes: Charges<Queue>,
    /// How much of blocks all that waits there takes.
    share: u64,
}

/// All that waits, by lanes.
#[derive(Debug, Default)]
pub struct Lanes {
    groups: Charges<GroupLanes>,
}

impl Lanes {
    /// Lets a request wait in its lane.
    pub fn insert(&mut self, place: Place<'_>, identity: Identity) {
        let (group, party) = place.lane;
        let lanes = self.groups.enter(group);
        lanes.share = lanes.share.saturating_add(place.share);
        let queue = lanes.lanes.enter(party);
        queue.by_age.insert(place.arrival, identity);
        queue.by_share.insert((place.share, place.arrival), identity);
        queue.share = queue.share.saturating_add(place.share);
    }

    /// Takes a request out of its lane.
    pub fn remove(&mut self, place: Place<'_>) {
        let (group, party) = place.lane;
        let Some((_, GroupLanes { lanes, share })) = self.groups.of.get_mut(group) else { return };
        let Some((_, queue)) = lanes.of.get_mut(party) else { return };
        *share = share.saturating_sub(place.share);
        queue.by_age.remove(&place.arrival);
        queue.by_share.remove(&(place.share, place.arrival));
        queue.share = queue.share.saturating_sub(place.share);
        if queue.by_age.is_empty() {
            lanes.leave(party);
        }
        if lanes.of.is_empty() {
            self.groups.leave(group);
        }
    }

    /// How much of blocks all that waits of a group takes, and what of it waits in one of its lanes.
    pub fn waiting(&self, group: &Party, lane: &Party) -> [u64; 2] {
        let Some((_, of_group)) = self.groups.of.get(group) else { return [0; 2] };
        [of_group.share, of_group.lanes.of.get(lane).map_or(0, |(_, queue)| queue.share)]
    }

    /// Whether a group has something that waits.
    pub fn has(&self, group: &Party) -> bool {
        self.groups.of.contains_key(group)
    }

    /// Whether all that waits of some group takes more than this of blocks.
    pub fn any_above(&self, share: u64) -> bool {
        self.groups.of.values().any(|(_, lanes)| lanes.share > share)
    }

    /// Charges a lane for a request that a final block holds: `declared` gas, of which `used` was used.
    pub fn charge(&mut self, place: Place<'_>, declared: u64, used: u64) {
        let wasted = used < declared / USED_PARTS;
        let amount = if wasted { place.share.saturating_mul(2) } else { place.share };
        let (group, party) = place.lane;
        self.groups.charge(group, amount);
        if let Some((_, of_group)) = self.groups.of.get_mut(group) {
            of_group.lanes.charge(party, amount);
        }
    }

    /// Offers requests to a block, by turns, until there is no more to offer or the block is full, so that each group takes no more than
    /// these portions. `offer` is told how much a request may take, and says what came of it, and how much it took.
    pub fn offer(&self, portions: Portions, mut offer: impl FnMut(&Identity, u64) -> (Offered, u64)) {
        if portions.large {
            self.offer_a_large_one(portions.usual(), &mut offer);
        }
        let mut shared = portions.shared;
        let mut groups: Vec<_> =
            self.groups.in_order().map(|(_, group)| Group::of(&group.lanes, portions.each)).collect();
        let mut turns: Heap = self.groups.in_order().map(|(charged, _)| charged).zip(0..).map(Reverse).collect();
        while let Some(Reverse((charged, at))) = turns.pop() {
            match groups[at].offer_one(&mut shared, &mut offer) {
                None => {}
                Some((Offered::BlockFull, _)) => return,
                Some((_, taken)) => turns.push(Reverse((charged.saturating_add(taken), at))),
            }
        }
    }

    /// Offers the oldest request that takes more than is usual, of the lane that was charged least among those that have one.
    ///
    /// It comes first: behind others the largest would never find room. That one is enough to give all their turn, since
    /// whoever has had it is charged for it.
    fn offer_a_large_one(&self, usual: u64, offer: &mut impl FnMut(&Identity, u64) -> (Offered, u64)) {
        let queues = self.groups.in_order().flat_map(|(_, group)| group.lanes.in_order()).map(|(_, queue)| queue);
        for identity in queues.filter_map(|queue| queue.oldest_above(usual)).take(PASSED_OVER_MAX) {
            if offer(identity, u64::MAX).0 != Offered::Unwanted {
                return;
            }
        }
    }
}

/// Places in a list, by what they were charged.
type Heap = BinaryHeap<Reverse<(u64, usize)>>;

/// A group while a block is filled.
struct Group<'a> {
    lanes: Vec<Turns<'a>>,
    turns: Heap,
    passed_over: usize,
    /// What is left of its own part of the block.
    own: u64,
}

impl<'a> Group<'a> {
    fn of(lanes: &'a Charges<Queue>, own: u64) -> Self {
        let turns = lanes.in_order().map(|(charged, _)| charged).zip(0..).map(Reverse).collect();
        Self { lanes: lanes.in_order().map(|(_, queue)| Turns::of(queue)).collect(), turns, passed_over: 0, own }
    }

    /// Offers one request, for what is left of the group's own part and of what is shared. `None` if the group has no more for this block.
    fn offer_one(
        &mut self,
        shared: &mut u64,
        offer: &mut impl FnMut(&Identity, u64) -> (Offered, u64),
    ) -> Option<(Offered, u64)> {
        while self.passed_over < PASSED_OVER_MAX
            && let Some(Reverse((charged, at))) = self.turns.pop()
        {
            let Some(identity) = self.lanes[at].next() else { continue };
            let (offered, share) = offer(identity, self.own.saturating_add(*shared));
            let taken = if offered == Offered::Taken { share } else { 0 };
            let of_own = taken.min(self.own);
            self.own -= of_own;
            *shared = shared.saturating_sub(taken - of_own);
            let passed_over = offered == Offered::NoRoom;
            self.passed_over += usize::from(passed_over);
            if !passed_over || self.lanes[at].goes_on() {
                self.turns.push(Reverse((charged.saturating_add(taken), at)));
            }
            return Some((offered, taken));
        }
        None
    }
}

/// A lane while a block is filled: the oldest and the cheapest in turn.
struct Turns<'a> {
    /// `None` once one of them did not fit.
    oldest: Option<Values<'a, u64, Identity>>,
    cheapest: Values<'a, (u64, u64), Identity>,
    /// Whether the last one was the oldest.
    was_oldest: bool,
    /// Those that have been offered.
    met: BTreeSet<Identity>,
}

impl<'a> Turns<'a> {
    fn of(queue: &'a Queue) -> Self {
        let (oldest, cheapest) = (Some(queue.by_age.values()), queue.by_share.values());
        Self { oldest, cheapest, was_oldest: false, met: BTreeSet::new() }
    }

    fn next(&mut self) -> Option<&'a Identity> {
        let mut new = |identity: &&Identity| self.met.insert(**identity);
        self.was_oldest = !self.was_oldest && self.oldest.is_some();
        match &mut self.oldest {
            Some(oldest) if self.was_oldest => oldest.find(&mut new),
            _ => self.cheapest.find(&mut new),
        }
    }

    /// Whether there may be others for the block although the last one did not fit: cheaper ones than the oldest, none than the
    /// cheapest.
    fn goes_on(&mut self) -> bool {
        self.oldest = None;
        self.was_oldest
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::Hash;

    use super::super::Origin;
    use super::*;

    /// Whatever a group wants of a block.
    const ALL: Portions = Portions { each: u64::MAX, shared: 0, large: false };

    fn sender(number: u64) -> Party {
        Party::Sender(Sender { member: None, origin: Origin(number) })
    }

    fn identity(number: u64) -> Identity {
        let mut identity = Hash([0; 32]);
        identity.0[..8].copy_from_slice(&number.to_be_bytes());
        identity
    }

    struct Waiting {
        lane: Lane,
        arrival: u64,
        share: u64,
    }

    impl Waiting {
        const fn place(&self) -> Place<'_> {
            Place { lane: &self.lane, arrival: self.arrival, share: self.share }
        }
    }

    /// So many requests of each of these groups and lanes, of one share.
    fn waiting(of: &[(u64, &str, u64)], share: u64) -> (Lanes, Vec<Waiting>) {
        let (mut lanes, mut all) = (Lanes::default(), Vec::new());
        for (group, domain, count) in of {
            for _ in 0..*count {
                let arrival = all.len() as u64;
                let one = Waiting { lane: (sender(*group), Party::Domain((*domain).into())), arrival, share };
                lanes.insert(one.place(), identity(arrival));
                all.push(one);
            }
        }
        (lanes, all)
    }

    /// The first `room` that are offered, all of them taken.
    fn taken(lanes: &Lanes, share: u64, room: usize) -> Vec<Identity> {
        let mut taken = Vec::new();
        lanes.offer(ALL, |identity, _| {
            if taken.len() == room {
                return (Offered::BlockFull, 0);
            }
            taken.push(*identity);
            (Offered::Taken, share)
        });
        taken
    }

    #[test]
    fn groups_have_equal_parts_and_lanes_within_them() {
        let (lanes, all) = waiting(&[(1, "a", 90), (1, "b", 90), (2, "c", 90), (3, "d", 5)], 10);
        let mut counts = BTreeMap::new();
        for identity in taken(&lanes, 10, 61) {
            let one = &all[u64::from_be_bytes(*identity.0.first_chunk().expect("8 bytes")) as usize];
            *counts.entry(one.lane.clone()).or_insert(0) += 1;
        }
        let of = |group, domain: &str| counts.get(&(sender(group), Party::Domain(domain.into()))).copied().unwrap_or(0);
        let (a, b, c, d) = (of(1, "a"), of(1, "b"), of(2, "c"), of(3, "d"));
        assert_eq!((a, b, c, d), (14, 14, 28, 5), "what one group does not need is for the others");
    }

    /// A block of 64 parts of 10, with requests that take 1 each unless it is said: what was taken of each group, in order.
    fn portions_taken(waiting: &[(u64, u64, u64)], large: bool) -> Vec<(u64, u64)> {
        let (mut lanes, mut shares, mut arrival) = (Lanes::default(), BTreeMap::new(), 0);
        for (group, count, share) in waiting {
            for _ in 0..*count {
                let one = Waiting { lane: (sender(*group), Party::Nowhere), arrival, share: *share };
                lanes.insert(one.place(), identity(arrival));
                shares.insert(identity(arrival), (*group, *share));
                arrival += 1;
            }
        }
        let mut taken = Vec::new();
        lanes.offer(Portions { each: 10, shared: 160, large }, |identity, room| {
            let (group, share) = shares[identity];
            if share > room {
                return (Offered::NoRoom, 0);
            }
            taken.push((group, share));
            (Offered::Taken, share)
        });
        taken
    }

    #[test]
    fn groups_have_their_own_parts_and_a_quarter_together() {
        let count = |taken: &[(u64, u64)], group| taken.iter().filter(|(of, _)| *of == group).count();
        let alone = portions_taken(&[(1, 1_000, 1)], false);
        assert_eq!(alone.len(), 10 + 160, "also where nobody else waits");
        let four = portions_taken(&[(1, 1_000, 1), (2, 1_000, 1), (3, 1_000, 1), (4, 1_000, 1)], false);
        assert_eq!((1..=4).map(|group| count(&four, group)).collect::<Vec<_>>(), [50; 4]);
        let few = portions_taken(&[(1, 1_000, 1), (2, 9, 1), (3, 1, 160), (4, 10, 1)], false);
        assert_eq!((2..=4).map(|group| count(&few, group)).collect::<Vec<_>>(), [9, 1, 10], "each has its turn");
        assert_eq!(count(&few, 1), 10 + 10, "what the third has left of the quarter, beside its own part");
    }

    #[test]
    fn one_large_request_comes_first_where_one_may() {
        let waiting = [(1, 500, 1), (1, 3, 600), (2, 2, 171), (3, 1, 1)];
        assert!(portions_taken(&waiting, false).iter().all(|(_, share)| *share == 1));
        let taken = portions_taken(&waiting, true);
        assert_eq!(taken[0], (1, 600), "of the lane that was charged least");
        assert_eq!(taken.iter().filter(|(_, share)| *share > 1).count(), 1, "one at a time");
        assert!(taken.contains(&(3, 1)), "others have what it leaves");
    }

    #[test]
    fn who_comes_anew_has_no_turns_saved_up() {
        let (mut lanes, all) = waiting(&[(1, "a", 100)], 10);
        all.iter().take(50).for_each(|one| {
            lanes.charge(one.place(), 0, 0);
            lanes.remove(one.place());
        });
        for arrival in 100..200 {
            let late = Waiting { lane: (sender(2), Party::Nowhere), arrival, share: 10 };
            lanes.insert(late.place(), identity(arrival));
        }
        let block = taken(&lanes, 10, 20);
        assert_eq!(block.iter().filter(|one| **one >= identity(100)).count(), 10);
    }

    #[test]
    fn what_does_not_fit_is_passed_over_so_often_and_no_more() {
        let of: Vec<_> = (0..500).map(|n| format!("lane-{n}")).collect();
        let of: Vec<_> = of.iter().map(|lane| (1, lane.as_str(), 1)).chain([(2, "other", 1)]).collect();
        let (lanes, _) = waiting(&of, 10);
        let mut offered = BTreeSet::new();
        lanes.offer(ALL, |identity, _| {
            offered.insert(*identity);
            (Offered::NoRoom, 0)
        });
        assert_eq!(offered.len(), PASSED_OVER_MAX + 1);
        assert!(offered.contains(&identity(500)), "another group is not held up");
    }

    /// Whatever comes and goes, each of those that wait is offered once, and nothing is left when all have gone.
    #[test]
    fn all_that_wait_are_offered_once() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (mut lanes, mut all) = (Lanes::default(), Vec::<Waiting>::new());
        for arrival in 0..2_000 {
            if draw(3) > 0 || all.is_empty() {
                let lane = (sender(draw(5)), Party::Domain(draw(7).to_string().into()));
                all.push(Waiting { lane, arrival, share: draw(100) });
                let new = all.last().expect("one was pushed");
                lanes.insert(new.place(), identity(arrival));
            } else {
                let gone = all.swap_remove(draw(all.len() as u64) as usize);
                if draw(2) == 0 {
                    lanes.charge(gone.place(), draw(100), draw(100));
                }
                lanes.remove(gone.place());
            }
            if arrival % 100 == 0 {
                let mut offered = Vec::new();
                lanes.offer(ALL, |identity, _| {
                    offered.push(*identity);
                    (Offered::Unwanted, 0)
                });
                offered.sort_unstable();
                assert_eq!(
                    offered,
                    all.iter()
                        .map(|one| identity(one.arrival))
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .collect::<Vec<_>>()
                );
            }
        }
        all.iter().for_each(|one| lanes.remove(one.place()));
        assert!(lanes.groups.of.is_empty() && lanes.groups.order.is_empty());
    }
}
