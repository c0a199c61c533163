//! How much may wait, and of that how much for whom.
//!
//! A pool that is first come, first served belongs to whoever sends fastest. So each of its bounds holds for all requests
//! together, and parts of it for each member that forwards and for each origin. The parts are such that the members that may
//! be faulty do not fill the pool together, nor does one stranger who sends to every node.

use std::collections::BTreeMap;

use pleach_types::PublicKey;

/// Which client a request is of, as the node at whose port it came in tells them apart: a number that says nothing else, and
/// another one after each start of that node. Only requests that came by the same node can be compared by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(pub u64);

/// By whom a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The member that forwarded it. `None` for this node's own port.
    pub member: Option<PublicKey>,
    /// Which client of that node sent it. A member that states it falsely divides its own part of the room and nobody else's.
    pub origin: Origin,
}

/// Requests that may wait, checked or not.
pub const POOL_REQUESTS_MAX: usize = 16_384;
/// Bytes that requests which wait may take in memory, in each stage: what they were sent as, and their decoded form beside it.
pub const POOL_BYTES_MAX: usize = 128 << 20;
/// Bytes that one request takes in the pool's own lists, at most.
pub const INDEX_BYTES: usize = 1_024;
/// Of the room of this node's port, or of another member, one origin has one part of so many.
const ORIGIN_PARTS: u64 = 4;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// How many requests there are.
    Requests,
    /// Bytes that they take in memory.
    Bytes,
    /// How much of blocks those take together that take about the same part of one, by its logarithm.
    Class(u32),
    /// How much of blocks those of one domain take together.
    Domain,
    /// Complaints that are judged in a second.
    Judgements,
    /// Requests that are found invalid in a second.
    Invalid,
}

/// Why there is no room: which bound is reached, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Full {
    /// The bound.
    pub measure: Measure,
    /// Whose part of it.
    pub part: Part,
}

/// Whose part of the room is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// That of the member which forwards.
    Member,
    /// That of the origin.
    Origin,
}

impl Full {
    /// The two labels by which it is counted.
    pub const fn names(self) -> (&'static str, &'static str) {
        let measure = match self.measure {
            Measure::Requests => "requests",
            Measure::Bytes => "bytes",
            Measure::Class(_) => "class",
            Measure::Domain => "domain",
            Measure::Judgements => "judgements",
            Measure::Invalid => "invalid",
        };
        let part = match self.part {
            Part::Whole => "node",
            Part::Member => "member",
            Part::Origin => "origin",
        };
        (measure, part)
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.measure {
            Measure::Requests => "this node takes no more",
            Measure::Bytes => "they take all the memory that this node has for them",
            Measure::Class(_) => "those that take about the same part of a block fill too many blocks",
            Measure::Domain => "those of this domain fill too many blocks, and of them too many are",
            Measure::Judgements => "no more complaints are judged in this second",
            Measure::Invalid => "in this second no more requests are checked after so many invalid ones",
        })?;
        f.write_str(match self.part {
            Part::Whole => "",
            Part::Member => " from one member",
            Part::Origin => " from one address",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RoomParty {
    All,
    Member(PublicKey),
    Origin(Sender),
}

/// What one request takes of a measure.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The measure.
    pub measure: Measure,
    /// How much it takes.
    pub amount: u64,
    /// How much there is, for all.
    pub whole: u64,
    /// Of what there is for this node's port, or for another member, one origin has one part of so many.
    pub origins: u64,
}

impl Demand {
    /// Of a measure of which one origin has a quarter.
    pub const fn of(measure: Measure, amount: u64, whole: u64) -> Self {
        Self { measure, amount, whole, origins: ORIGIN_PARTS }
    }
}

/// What is taken.
#[derive(Debug, Default)]
pub struct Room {
    taken: BTreeMap<(Measure, RoomParty), u64>,
}

impl Room {
    /// Whether there is room, if of `members` parts one member may have one.
    ///
    /// # Errors
    /// Which bound is reached. Who has nothing yet of a measure gets one request, however large, as long as the whole has room.
    pub fn check(&self, sender: Sender, demand: &[Demand], members: u64) -> Result<(), Full> {
        for Demand { measure, amount, whole, origins } in demand.iter().copied() {
            let member = if sender.member.is_some() { whole / members.max(1) } else { whole };
            for (part, party, most) in parties(sender, whole, member, origins.max(1)) {
                let taken = self.taken(measure, party);
                let first = taken == 0 && part != Part::Whole;
                if !first && taken.saturating_add(amount) > most {
                    return Err(Full { measure, part });
                }
            }
        }
        Ok(())
    }

    /// Takes it.
    pub fn take(&mut self, sender: Sender, demand: &[Demand]) {
        for Demand { measure, amount, .. } in demand.iter().copied() {
            for (_, party, _) in parties(sender, 0, 0, 1) {
                *self.taken.entry((measure, party)).or_default() += amount;
            }
        }
    }

    /// Gives back what was taken with the same demand.
    pub fn give_back(&mut self, sender: Sender, demand: &[Demand]) {
        for Demand { measure, amount, .. } in demand.iter().copied() {
            for (_, party, _) in parties(sender, 0, 0, 1) {
                let key = (measure, party);
                let left = self.taken(measure, party).saturating_sub(amount);
                // Addresses come and go: only those that hold something are remembered.
                if left == 0 {
                    self.taken.remove(&key);
                } else {
                    self.taken.insert(key, left);
                }
            }
        }
    }

    /// How much all have taken of a measure.
    pub fn all(&self, measure: Measure) -> u64 {
        self.taken(measure, RoomParty::All)
    }

    fn taken(&self, measure: Measure, party: RoomParty) -> u64 {
        self.taken.get(&(measure, party)).copied().unwrap_or(0)
    }
}

/// Who shares in what a sender takes, and how much each may have: an origin one of `parts`.
fn parties(sender: Sender, whole: u64, member: u64, parts: u64) -> impl Iterator<Item = (Part, RoomParty, u64)> {
    let of_member = sender.member.map(|key| (Part::Member, RoomParty::Member(key), member));
    let all = [(Part::Whole, RoomParty::All, whole)].into_iter().chain(of_member);
    all.chain([(Part::Origin, RoomParty::Origin(sender), member / parts)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u64 = 800;

    fn demand(amount: u64) -> [Demand; 3] {
        [Measure::Requests, Measure::Bytes, Measure::Judgements].map(|measure| Demand::of(measure, amount, WHOLE))
    }

    fn sender(member: Option<u8>, origin: u64) -> Sender {
        Sender { member: member.map(|key| PublicKey([key; 32])), origin: Origin(origin) }
    }

    /// Takes one after another until there is no room.
    fn fill(room: &mut Room, sender: Sender, members: u64) -> (u64, Full) {
        for taken in 0.. {
            match room.check(sender, &demand(1), members) {
                Ok(()) => room.take(sender, &demand(1)),
                Err(full) => return (taken, full),
            }
        }
        unreachable!("room without end")
    }

    #[test]
    fn an_origin_has_a_quarter_and_faulty_members_together_less_than_the_whole() {
        let mut room = Room::default();
        let (taken, full) = fill(&mut room, sender(None, 1), 2);
        assert_eq!((taken, full.part), (WHOLE / 4, Part::Origin));
        let (taken, full) = fill(&mut room, sender(Some(1), 1), 2);
        assert_eq!((taken, full.part), (WHOLE / 8, Part::Origin));
        // The member invents origins.
        let all: u64 = (2..100).map(|origin| fill(&mut room, sender(Some(1), origin), 2).0).sum();
        assert_eq!(all, WHOLE / 2 - WHOLE / 8);
        assert_eq!(fill(&mut room, sender(Some(1), 100), 2).1.part, Part::Member);
        let (taken, full) = fill(&mut room, sender(None, 2), 2);
        assert_eq!((taken, full.part), (WHOLE / 4, Part::Whole), "what is left is for others");
    }

    #[test]
    fn an_origin_has_the_part_that_is_said() {
        let (mut room, mut taken) = (Room::default(), 0);
        let demand = [Demand { origins: 16, ..Demand::of(Measure::Class(3), 1, WHOLE) }];
        while room.check(sender(None, 1), &demand, 2).is_ok() {
            room.take(sender(None, 1), &demand);
            taken += 1;
        }
        assert_eq!(taken, WHOLE / 16);
    }

    #[test]
    fn one_stranger_at_every_node_leaves_room_for_others() {
        for members in [4_u8, 7, 10, 100] {
            let parts = u64::from(members - 1) / 3 + 1;
            let mut room = Room::default();
            let own = fill(&mut room, sender(None, 7), parts).0;
            let all: u64 = own + (1..members).map(|n| fill(&mut room, sender(Some(n), 7), parts).0).sum::<u64>();
            assert!(all < WHOLE, "{members} members: {all}");
        }
    }

    #[test]
    fn who_has_nothing_gets_one_however_large_and_all_comes_back() {
        let mut room = Room::default();
        let large = demand(WHOLE - 1);
        assert_eq!(room.check(sender(Some(1), 1), &large, 2), Ok(()));
        room.take(sender(Some(1), 1), &large);
        let full = room.check(sender(Some(1), 2), &demand(1), 2).expect_err("its part is taken");
        assert_eq!((full.part, full.names()), (Part::Member, ("requests", "member")));
        let full = room.check(sender(Some(2), 1), &large, 2).expect_err("the whole is taken");
        assert_eq!((full.part, full.names()), (Part::Whole, ("requests", "node")));
        room.give_back(sender(Some(1), 1), &large);
        assert!(room.taken.is_empty(), "{room:?}");
    }
}
