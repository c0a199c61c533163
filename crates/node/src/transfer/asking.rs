//! Whom a member asks for the items of a state, and for how long it waits. Nothing in here depends on what an item says.
//!
//! Nothing that one source says decides time or memory:
//! - A part is full, or its sender misbehaves. The length of an item is what the first part says; another one later is invalid.
//! - How long a source may take depends on what it has *sent*, never on how much it says is to come. An item that is late, or
//!   takes very long, is asked for elsewhere as well. A source that is often late is asked after the others.
//! - An item longer than [`ITEM_BYTES_MAX`] can only be an entry of the window, which has the same length everywhere: the
//!   length is believed when f + 1 sources say it, or when all have been asked and no such agreement comes.
//! - All that is open, and all entries that wait for those above them, fit into [`OPEN_BYTES_MAX`] by their claimed lengths.
//!   What does not fit waits. The first in line ([`Rank`]) gets what the others hold: their attempts end on time or are
//!   dropped, and entries below it that only wait are given up. So it gets its room, and everything is fetched in the end,
//!   one at a time if need be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pleach_types::{Encode, Height, PublicKey};

use super::failure::{InvalidPart, TransferFailure};
use super::wire::{Answer, ENTRY_BYTES_MAX, ITEM_BYTES_MAX, Item, item_bytes_max, part_bytes};

/// Items that are asked for at a time.
const OPEN_MAX: usize = 16;
/// Bytes of all items that have not been checked yet, by their claimed lengths.
const OPEN_BYTES_MAX: usize = 384 << 20;
/// Sources that are asked for one item at a time.
const ATTEMPTS_MAX: usize = 2;
/// How long a source has before anything must have come.
const BASE: Duration = Duration::from_secs(2);
/// Bytes of an item that a source must have sent for each further second.
const RATE_MIN: u64 = 256 << 10;
/// How many times slower a source may be at most, one more each time that an item is asked for: links may be bad.
const ROUNDS_MAX: u32 = 8;
/// After how long a question is repeated: messages get lost.
const REPEAT: Duration = Duration::from_secs(1);
/// After how long an item is asked for elsewhere as well, however well it comes.
const HEDGE: Duration = Duration::from_secs(10);
/// A source that was late that often is asked after those that were not.
const LATE_MAX: u32 = 3;
/// How long a source that does not have an item is left alone. It may have it soon: not all write a height at once.
const GONE_PAUSE: Duration = Duration::from_millis(500);
/// How often a source may say that it does not have an item before that is taken for final.
const GONE_MAX: u32 = 4;
/// How often a source is asked for one item while others have said that they cannot give it.
const ASKS_MAX: u32 = 8;

/// One item of the greatest length fits.
const _: () = assert!(ENTRY_BYTES_MAX <= OPEN_BYTES_MAX && ITEM_BYTES_MAX <= ENTRY_BYTES_MAX);

/// A question for a part of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub to: PublicKey,
    pub item: Item,
    pub offset: u32,
}

/// What came of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It was not asked for, or more is to come.
    Taken,
    /// The item is whole. It is open until it is [`Asking::done`] or its sender is excluded ([`Asking::exclude`]).
    Whole(Bytes),
    Invalid(InvalidPart),
}

/// The place of an item in line: entries from the newest down, since each certifies the next; then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64, Item);

impl Rank {
    const fn of(item: Item) -> Self {
        match item {
            Item::Entry(height) => Self(u64::MAX - height, item),
            _ => Self(u64::MAX, item),
        }
    }
}

/// A source that was asked for an item.
#[derive(Debug)]
struct AskedSource {
    source: PublicKey,
    began: Duration,
    /// When the question for the part that is due was sent.
    asked: Duration,
    rounds: u32,
    total: Option<usize>,
    content: BytesMut,
    late: bool,
}

impl AskedSource {
    fn is_late(&self, now: Duration) -> bool {
        let sent = Duration::from_millis(self.content.len() as u64 * 1_000 / RATE_MIN);
        now.saturating_sub(self.began) >= (BASE + sent) * self.rounds
    }

    /// What it may come to. Until the first part is there, that one.
    const fn reserved(&self, part: usize) -> usize {
        match self.total {
            Some(total) => total,
            None => part,
        }
    }
}

/// An item that is asked for.
#[derive(Debug, Default)]
struct OpenItem {
    attempts: Vec<AskedSource>,
    begun: u32,
    /// How often each source was asked.
    asked: BTreeMap<PublicKey, u32>,
    /// How often each source said that it does not have it, and when it may be asked again.
    gone: BTreeMap<PublicKey, (u32, Duration)>,
    /// Lengths above [`ITEM_BYTES_MAX`] that sources claim.
    claims: BTreeMap<PublicKey, usize>,
    /// Whether each source that may be asked has been asked.
    asked_all: bool,
    /// The room that it waits for.
    waits_for: Option<usize>,
}

/// The items that are still to come.
#[derive(Debug)]
pub(crate) struct Asking {
    faults: usize,
    /// Bytes of a full part.
    part: usize,
    budget: usize,
    limits: pleach_types::Limits,
    todo: BTreeSet<Rank>,
    open: BTreeMap<Rank, OpenItem>,
    /// Entries that came before those above them, which tell whether they are true.
    early: BTreeMap<Height, (PublicKey, Bytes)>,
    excluded: BTreeSet<PublicKey>,
    late: BTreeMap<PublicKey, u32>,
    questions: Vec<Question>,
}

impl Asking {
    pub(crate) fn new(faults: usize, limits: &pleach_types::Limits) -> Self {
        Self {
            faults,
            part: part_bytes(limits.request_bytes as usize),
            budget: OPEN_BYTES_MAX,
            limits: limits.clone(),
            todo: BTreeSet::new(),
            open: BTreeMap::new(),
            early: BTreeMap::new(),
            excluded: BTreeSet::new(),
            late: BTreeMap::new(),
            questions: Vec::new(),
        }
    }

    pub(super) fn want(&mut self, item: Item) {
        self.todo.insert(Rank::of(item));
    }

    /// Items that are not whole.
    pub(super) fn left(&self) -> usize {
        self.todo.len() + self.open.len()
    }

    /// How many answers each source owes.
    pub(super) fn owed(&self) -> BTreeMap<PublicKey, usize> {
        let mut owed = BTreeMap::new();
        for attempt in self.open.values().flat_map(|open| &open.attempts) {
            *owed.entry(attempt.source).or_default() += 1;
        }
        owed
    }

    /// The questions to be sent since last asked.
    pub(super) fn questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// Asks for what is due. `sources` are those that should have an item.
    ///
    /// # Errors
    /// If nobody can be asked for an item any more.
    pub(super) fn go_on(
        &mut self,
        now: Duration,
        sources: impl Fn(&Item) -> Vec<PublicKey>,
    ) -> Result<(), TransferFailure> {
        while let Some(first) = self.todo.first().copied()
            && (self.open.len() < OPEN_MAX || self.open.keys().next().is_some_and(|open| first < *open))
        {
            self.todo.pop_first();
            self.open.insert(first, OpenItem::default());
        }
        // In the order of their ranks. While one waits for room, nothing is asked for that comes after it: it would take that room.
        let mut another_waits = false;
        for rank in self.open.keys().copied().collect::<Vec<_>>() {
            self.look(rank, now, another_waits);
            if !another_waits {
                self.ask_if_due(rank, now, &sources(&rank.1))?;
            }
            another_waits |= self.open[&rank].waits_for.is_some();
        }
        Ok(())
    }

    /// Repeats questions, and sees who is late with an item. If an item that comes before it waits for room, the late ones go.
    fn look(&mut self, rank: Rank, now: Duration, another_waits: bool) {
        let Some(open) = self.open.get_mut(&rank) else { return };
        for attempt in &mut open.attempts {
            if attempt.is_late(now) && !attempt.late {
                attempt.late = true;
                *self.late.entry(attempt.source).or_default() += 1;
            }
            if now.saturating_sub(attempt.asked) >= REPEAT {
                attempt.asked = now;
                // An item has less than 4 GiB.
                let offset = attempt.content.len() as u32;
                self.questions.push(Question { to: attempt.source, item: rank.1, offset });
            }
        }
        open.attempts.retain(|attempt| !(another_waits && attempt.late));
    }

    /// Begins another attempt if none goes well.
    fn ask_if_due(&mut self, rank: Rank, now: Duration, sources: &[PublicKey]) -> Result<(), TransferFailure> {
        let open = &self.open[&rank];
        let slow = |attempt: &AskedSource| now.saturating_sub(attempt.began) >= HEDGE;
        let enough = match &open.attempts[..] {
            [one] => !one.late && !slow(one),
            attempts => attempts.iter().any(|attempt| !attempt.late),
        };
        if enough || !self.has_room(rank) {
            return Ok(());
        }
        let Some(source) = self.source(rank, now, sources)? else { return Ok(()) };
        let Some(open) = self.open.get_mut(&rank) else { return Ok(()) };
        // Of two that are late, the one that has sent more stays, and of one source the new attempt.
        open.attempts.retain(|attempt| attempt.source != source);
        open.attempts.sort_by_key(|attempt| !attempt.content.len());
        open.attempts.truncate(ATTEMPTS_MAX - 1);
        let asked = open.asked.entry(source).or_default();
        open.asked_all |= *asked > 0;
        *asked += 1;
        open.begun += 1;
        let rounds = open.begun.div_ceil(sources.len().max(1) as u32).min(ROUNDS_MAX);
        let (total, content) = (None, BytesMut::new());
        open.attempts.push(AskedSource { source, began: now, asked: now, rounds, total, content, late: false });
        self.questions.push(Question { to: source, item: rank.1, offset: 0 });
        Ok(())
    }

    /// Whether there is room for another attempt, as long as the others of this item or what it waits for. If all of them
    /// are late, room is made: they go, and so do entries that only wait for this one.
    fn has_room(&mut self, rank: Rank) -> bool {
        let open = &self.open[&rank];
        let known = open.attempts.iter().filter_map(|attempt| attempt.total).chain(open.waits_for);
        let need = known.max().unwrap_or(self.part);
        if self.reserved() + need > self.budget && open.attempts.iter().all(|attempt| attempt.late) {
            self.open.entry(rank).or_default().attempts.clear();
            while self.reserved() + need > self.budget
                && let Some((lowest, _)) = self.early.first_key_value()
                && rank < Rank::of(Item::Entry(*lowest))
            {
                let lowest = Item::Entry(*lowest);
                self.early.pop_first();
                self.want(lowest);
            }
        }
        self.reserved() + need <= self.budget
    }

    /// Bytes of all that is not checked, by claimed lengths.
    fn reserved(&self) -> usize {
        let attempts = self.open.values().flat_map(|open| &open.attempts);
        let early = self.early.values().map(|(_, content)| content.len());
        attempts.map(|attempt| attempt.reserved(self.part)).chain(early).sum()
    }

    /// Whom to ask next: each in turn, those that are often late after the others. `None` for nobody yet.
    fn source(
        &mut self,
        rank: Rank,
        now: Duration,
        sources: &[PublicKey],
    ) -> Result<Option<PublicKey>, TransferFailure> {
        // Different items begin with different members.
        let spread =
            rank.1.encode().iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        let count = sources.len().max(1);
        let Some(open) = self.open.get_mut(&rank) else { return Ok(None) };
        let refused = |key: &PublicKey| open.gone.get(key).is_some_and(|(times, _)| *times >= GONE_MAX);
        let out = |key: &PublicKey| self.excluded.contains(key) || refused(key);
        // If all are silent, it is the network, and they are asked for as long as that takes. If some answer that they do not
        // have it, the silent ones must not keep this member waiting for it.
        let asks_max = if sources.iter().any(refused) { ASKS_MAX } else { u32::MAX };
        let times = |key: &PublicKey| open.asked.get(key).copied().unwrap_or(0);
        let usable: Vec<_> = sources.iter().filter(|key| !out(key) && times(key) < asks_max).collect();
        let busy = |key: &PublicKey| open.attempts.iter().any(|attempt| attempt.source == *key && !attempt.late);
        if usable.is_empty() && open.attempts.iter().all(|attempt| attempt.late) {
            return Err(TransferFailure::Nobody { item: rank.1, sources: sources.len() });
        }
        let paused = |key: &PublicKey| open.gone.get(key).is_some_and(|(_, again)| now < *again);
        let free = (0..usable.len()).filter(|at| !busy(usable[*at]) && !paused(usable[*at]));
        // First whom this item was asked of the fewest times; of those, whoever is late the least; of those, the next one after where
        // this item begins.
        let order = |at: &usize| {
            let late = self.late.get(usable[*at]).map_or(0, |times| times / LATE_MAX);
            (times(usable[*at]), late, (*at + count - spread % count) % count)
        };
        Ok(free.min_by_key(order).map(|at| *usable[at]))
    }

    /// Takes a part of an item.
    pub(super) fn part(
        &mut self,
        from: PublicKey,
        (item, offset, total): (Item, u32, u32),
        bytes: &Bytes,
        now: Duration,
    ) -> Arrived {
        let rank = Rank::of(item);
        let (reserved, part, budget) = (self.reserved(), self.part, self.budget);
        let Some(open) = self.open.get_mut(&rank) else { return Arrived::Taken };
        let Some(at) = open.attempts.iter().position(|attempt| attempt.source == from) else { return Arrived::Taken };
        let attempt = &mut open.attempts[at];
        let (offset, total) = (offset as usize, total as usize);
        if attempt.content.len() != offset {
            // A question was repeated, and both were answered.
            return Arrived::Taken;
        }
        if let Err(invalid) =
            check(attempt.total, (offset, total), bytes.len(), part, item_bytes_max(&item, &self.limits))
        {
            return Arrived::Invalid(invalid);
        }
        if attempt.total.is_none() {
            let room = reserved - attempt.reserved(part) + total <= budget;
            if total > ITEM_BYTES_MAX {
                open.claims.insert(from, total);
            }
            let agreed = open.claims.values().filter(|claimed| **claimed == total).count() > self.faults;
            if total > ITEM_BYTES_MAX && !agreed && !open.asked_all {
                open.attempts.remove(at);
                return Arrived::Taken;
            }
            if !room {
                open.attempts.remove(at);
                let goes_on = open.attempts.iter().any(|attempt| !attempt.late);
                open.waits_for = Some(total).filter(|_| !goes_on);
                return Arrived::Taken;
            }
            open.waits_for = None;
        }
        let attempt = &mut open.attempts[at];
        if attempt.total.replace(total).is_none() {
            attempt.content.reserve(total);
        }
        attempt.content.extend_from_slice(bytes);
        attempt.asked = now;
        if attempt.content.len() == total {
            return Arrived::Whole(open.attempts.remove(at).content.freeze());
        }
        self.questions.push(Question { to: from, item, offset: attempt.content.len() as u32 });
        Arrived::Taken
    }

    /// Takes an answer: an item, if it is whole now, or what is invalid about it. `None` for one that was not asked for, or more is
    /// to come.
    pub(super) fn answer(
        &mut self,
        of: Height,
        from: PublicKey,
        answer: Answer,
        now: Duration,
    ) -> Option<(Item, Result<Bytes, InvalidPart>)> {
        match answer {
            // An answer about another height is one to a transfer that is over, and not invalid.
            Answer::Gone { height, item } if height == of => self.gone(from, item, now),
            Answer::Part { height, item, offset, total, bytes } if height == of => {
                match self.part(from, (item, offset, total), &bytes, now) {
                    Arrived::Taken => {}
                    Arrived::Whole(content) => return Some((item, Ok(content))),
                    Arrived::Invalid(invalid) => return Some((item, Err(invalid))),
                }
            }
            _ => {}
        }
        None
    }

    /// A source does not have an item.
    pub(super) fn gone(&mut self, from: PublicKey, item: Item, now: Duration) {
        let Some(open) = self.open.get_mut(&Rank::of(item)) else { return };
        let before = open.attempts.len();
        open.attempts.retain(|attempt| attempt.source != from);
        if open.attempts.len() < before {
            let (times, again) = open.gone.entry(from).or_default();
            *times += 1;
            *again = now + GONE_PAUSE * *times;
        }
    }

    /// An item is there and true.
    pub(super) fn done(&mut self, item: Item) {
        self.open.remove(&Rank::of(item));
    }

    /// Keeps an entry that is whole until those above it are there.
    pub(super) fn hold(&mut self, height: Height, from: PublicKey, content: Bytes) {
        self.done(Item::Entry(height));
        self.early.insert(height, (from, content));
    }

    /// An entry that was kept.
    pub(super) fn take(&mut self, height: Height) -> Option<(PublicKey, Bytes)> {
        self.early.remove(&height)
    }

    /// Does not ask a member again that sent what is invalid, and forgets what it sent and what has not been checked.
    pub(super) fn exclude(&mut self, sender: PublicKey) {
        self.excluded.insert(sender);
        for open in self.open.values_mut() {
            open.attempts.retain(|attempt| attempt.source != sender);
            open.claims.remove(&sender);
        }
        let its: Vec<_> = self.early.extract_if(.., |_, (from, _)| *from == sender).map(|(height, _)| height).collect();
        its.into_iter().for_each(|height| self.want(Item::Entry(height)));
    }
}

/// Checks the form of a part that stands where it should.
fn check(
    known: Option<usize>,
    (offset, total): (usize, usize),
    bytes: usize,
    part: usize,
    most: usize,
) -> Result<(), InvalidPart> {
    if let Some(known) = known.filter(|known| *known != total) {
        return Err(InvalidPart::AnotherLength { known, total });
    }
    if total > most {
        return Err(InvalidPart::TooLong { total, most });
    }
    let due = part.min(total.saturating_sub(offset));
    if bytes == due { Ok(()) } else { Err(InvalidPart::NotFull { bytes, due }) }
}

#[cfg(test)]
mod tests;
