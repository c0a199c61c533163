//! What other members forwarded, unchecked: taken out by turns over those members, so that none of them stands behind the
//! others, and with a part of the room for each.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use pleach_types::{Hash, PublicKey};

use super::room::{Demand, Full, INDEX_BYTES, Measure, Origin, POOL_BYTES_MAX, POOL_REQUESTS_MAX, Room, Sender};

/// A request that was forwarded.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The digest of its bytes.
    pub content: Hash,
    /// Its bytes.
    pub bytes: Bytes,
    /// By whom it came.
    pub sender: Sender,
}

/// What was forwarded and has not been checked.
#[derive(Debug, Default)]
pub struct Inbox {
    next: u64,
    waiting: BTreeMap<PublicKey, BTreeMap<u64, Forwarded>>,
    contents: BTreeMap<Hash, (PublicKey, u64)>,
    room: Room,
    /// Whose turn was last.
    last: Option<PublicKey>,
}

const fn demand(bytes: usize) -> [Demand; 2] {
    let held = (bytes + INDEX_BYTES) as u64;
    [
        Demand::of(Measure::Requests, 1, POOL_REQUESTS_MAX as u64),
        Demand::of(Measure::Bytes, held, POOL_BYTES_MAX as u64),
    ]
}

impl Inbox {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Bytes of all that wait, with what is around them.
    pub fn bytes(&self) -> u64 {
        self.room.all(Measure::Bytes)
    }

    /// Whether these very bytes wait.
    pub fn contains(&self, content: &Hash) -> bool {
        self.contents.contains_key(content)
    }

    /// Takes in what a member forwarded and what does not wait yet, if there is room. One member has one of `parts`.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn push(&mut self, from: (PublicKey, Origin), content: Hash, bytes: &Bytes, parts: u64) -> Result<(), Full> {
        let (member, origin) = from;
        let sender = Sender { member: Some(member), origin };
        self.room.check(sender, &demand(bytes.len()), parts)?;
        self.room.take(sender, &demand(bytes.len()));
        // A copy: these bytes are a part of a packet that may be megabytes, and would keep all of it in memory.
        let forwarded = Forwarded { content, bytes: Bytes::copy_from_slice(bytes), sender };
        self.contents.insert(content, (member, self.next));
        self.waiting.entry(member).or_default().insert(self.next, forwarded);
        self.next += 1;
        Ok(())
    }

    /// Takes out the next one: of the member after the one whose turn was last.
    pub fn pop(&mut self) -> Option<Forwarded> {
        let later = self.last.and_then(|last| self.waiting.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let (member, oldest) = later.or_else(|| self.waiting.first_key_value())?;
        let content = oldest.first_key_value()?.1.content;
        self.last = Some(*member);
        self.remove(&content)
    }

    /// Takes one out.
    pub fn remove(&mut self, content: &Hash) -> Option<Forwarded> {
        let (member, arrival) = self.contents.remove(content)?;
        let of_member = self.waiting.get_mut(&member)?;
        let forwarded = of_member.remove(&arrival)?;
        if of_member.is_empty() {
            self.waiting.remove(&member);
        }
        self.room.give_back(forwarded.sender, &demand(forwarded.bytes.len()));
        Some(forwarded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn member(key: u8) -> PublicKey {
        PublicKey([key; 32])
    }

    fn content(of: u8, number: u64) -> Hash {
        let mut content = Hash([of; 32]);
        content.0[..8].copy_from_slice(&number.to_be_bytes());
        content
    }

    /// How many of these a member forwards, each of another origin, until there is no room.
    fn fill(inbox: &mut Inbox, from: u8, bytes: &Bytes) -> u64 {
        for number in 0.. {
            if inbox.push((member(from), Origin(number)), content(from, number), bytes, 2).is_err() {
                return number;
            }
        }
        unreachable!("room without end")
    }

    #[test]
    fn one_member_fills_its_part_in_number_and_bytes_and_no_more() {
        for (bytes, most) in [(10, POOL_REQUESTS_MAX / 2), (1 << 20, POOL_BYTES_MAX / 2 / ((1 << 20) + INDEX_BYTES))] {
            let bytes = Bytes::from(vec![7; bytes]);
            let mut inbox = Inbox::default();
            assert_eq!(fill(&mut inbox, 1, &bytes), most as u64);
            assert!(inbox.push((member(2), Origin(0)), content(2, 0), &bytes, 2).is_ok(), "others have theirs");
            while inbox.pop().is_some() {}
            assert_eq!((inbox.len(), inbox.bytes()), (0, 0));
            assert!(inbox.waiting.is_empty());
        }
    }

    #[test]
    fn members_are_heard_by_turns_and_each_in_its_order() {
        let mut inbox = Inbox::default();
        let push = |inbox: &mut Inbox, from, number| {
            inbox.push((member(from), Origin(0)), content(from, number), &Bytes::from_static(b"x"), 2).expect("room");
        };
        (0..5).for_each(|number| push(&mut inbox, 1, 9 - number));
        (0..2).for_each(|number| push(&mut inbox, 3, number));
        push(&mut inbox, 2, 0);
        inbox.remove(&content(1, 8)).expect("it waits");
        let order: Vec<_> = std::iter::from_fn(|| inbox.pop()).map(|one| one.content).collect();
        let expected = [(1, 9), (2, 0), (3, 0), (1, 7), (3, 1), (1, 6), (1, 5)];
        assert_eq!(order, expected.map(|(of, number)| content(of, number)));
    }

    #[test]
    fn a_small_request_does_not_keep_its_packet() {
        let packet = Bytes::from(vec![7; 1 << 20]);
        let mut inbox = Inbox::default();
        inbox.push((member(1), Origin(0)), content(1, 0), &packet.slice(100..110), 2).expect("room");
        assert!(packet.is_unique(), "the packet stays in memory");
    }
}
