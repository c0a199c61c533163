//! Whether a history of reads and writes of one register is linearizable: an oracle that knows nothing of heights, proofs or nodes.
//!
//! Each write writes another value, so that every read says which write it saw. Then no search is needed (Gibbons and Korach, "Testing
//! shared memories", SIAM J. Comput. 26, 1997). Take a write with all reads that saw it:
//!
//! - if one of them had ended before another one began, then in every order the register has this value from that end to that beginning. No
//!   other value may have it in any part of that time;
//! - else there is a moment at which all of them were under way, and all of them may be there. But that must not lie as a whole in the time
//!   of another value.
//!
//! Moments are places in one order of all beginnings and ends ([`Moments`]), not times of a clock: two of them are never equal, and
//! what has ended before something else began is before it, whatever the machine's clocks do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The value of a register that nobody has written.
pub const UNWRITTEN: u64 = 0;
/// When something ends of which nobody knows whether it has, or will.
const NEVER: u64 = u64::MAX;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// This value was read.
    Read(u64),
    /// This value was written, which no other write writes.
    Write(u64),
}

/// A read that came back, or a write that may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub act: Act,
    /// When it began.
    pub began: u64,
    /// When it ended; `None` for a write of which nobody was told whether it was done. It may be done at any time after it began.
    pub ended: Option<u64>,
}

/// What can be in no order. Numbers are places in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The first operation of the two writes what the other one writes: nobody could tell which of them a read saw.
    WrittenTwice(usize, usize),
    /// A read saw what nobody has written.
    FromNowhere(usize),
    /// A read had ended before the write of what it saw began.
    FromTheFuture(usize),
    /// The register had two values at a time: each pair is an operation that ended, and a later one that knew of the same value.
    TwoValues([usize; 2], [usize; 2]),
    /// All that knew of the value of the first pair were under way only while the register had the value of the second pair.
    Within([usize; 2], [usize; 2]),
}

impl Violation {
    /// The operations that it is about, by their places in the history.
    #[must_use]
    pub fn places(&self) -> Vec<usize> {
        match self {
            Self::FromNowhere(read) | Self::FromTheFuture(read) => vec![*read],
            Self::WrittenTwice(a, b) => vec![*a, *b],
            Self::TwoValues(one, other) | Self::Within(one, other) => [one.as_slice(), other].concat(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrittenTwice(a, b) => write!(f, "operations {a} and {b} write the same value"),
            Self::FromNowhere(read) => write!(f, "operation {read} read what nobody has written"),
            Self::FromTheFuture(read) => write!(f, "operation {read} read what was written only after it had ended"),
            Self::TwoValues([a, b], [c, d]) => {
                write!(
                    f,
                    "from the end of operation {a} to the beginning of {b} there was one value, from that of {c} to that of {d} another one"
                )
            }
            Self::Within([a, b], [c, d]) => write!(
                f,
                "all that knew of a value were under way only between the beginning of operation {a} and the end of {b}; all this time, from \
                 the end of operation {c} to the beginning of {d}, there was another one"
            ),
        }
    }
}

/// All that knew of one value: which of them ended first, and which of them began last.
#[derive(Clone, Copy)]
struct Known {
    write: Option<usize>,
    first_end: (u64, usize),
    last_beginning: (u64, usize),
}

impl Known {
    /// From where to where the register must have had the value, if it must.
    fn span(&self) -> Option<(u64, u64)> {
        (self.first_end.0 < self.last_beginning.0).then_some((self.first_end.0, self.last_beginning.0))
    }

    fn pair(&self) -> [usize; 2] {
        [self.first_end.1, self.last_beginning.1]
    }
}

/// The first reason that is found why no order of all this explains what was read, if there is one. The history may be in any order.
#[must_use]
pub fn violation(history: &[Operation]) -> Option<Violation> {
    let values = match values(history) {
        Ok(values) => values,
        Err(violation) => return Some(violation),
    };
    let mut spans: Vec<_> = values.values().filter_map(|known| Some((known.span()?, known))).collect();
    spans.sort_unstable_by_key(|(span, _)| *span);
    for pair in spans.windows(2) {
        let [(earlier, a), (later, b)] = pair else { continue };
        if later.0 < earlier.1 {
            return Some(Violation::TwoValues(a.pair(), b.pair()));
        }
    }
    // They follow one another by now, so that what lies within one lies within the last that begins before it.
    values.values().filter(|known| known.span().is_none()).find_map(|known| {
        let (from, to) = (known.last_beginning.0, known.first_end.0);
        let before = spans.partition_point(|(span, _)| span.0 < from);
        let (span, other) = spans.get(before.checked_sub(1)?)?;
        (to < span.1).then(|| Violation::Within([known.last_beginning.1, known.first_end.1], other.pair()))
    })
}

/// Who knew of each value.
fn values(history: &[Operation]) -> Result<BTreeMap<u64, Known>, Violation> {
    let mut values = BTreeMap::new();
    for (place, operation) in history.iter().enumerate() {
        let (Act::Read(value) | Act::Write(value)) = operation.act;
        let (began, ended) = ((operation.began, place), (operation.ended.unwrap_or(NEVER), place));
        let known = values.entry(value).or_insert(Known { write: None, first_end: ended, last_beginning: began });
        known.first_end = known.first_end.min(ended);
        known.last_beginning = known.last_beginning.max(began);
        if let Act::Write(_) = operation.act
            && let Some(other) = known.write.replace(place)
        {
            return Err(Violation::WrittenTwice(other, place));
        }
    }
    if let Some(known) = values.get_mut(&UNWRITTEN) {
        // It was there before everything.
        known.first_end.0 = 0;
    }
    for (place, operation) in history.iter().enumerate() {
        let Act::Read(value) = operation.act else { continue };
        match values.get(&value).and_then(|known| known.write) {
            None if value != UNWRITTEN => return Err(Violation::FromNowhere(place)),
            Some(write) if operation.ended.unwrap_or(NEVER) < history[write].began => {
                return Err(Violation::FromTheFuture(place));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Gives out moments, to whoever shares it.
#[derive(Debug, Default)]
pub struct Moments(AtomicU64);

impl Moments {
    /// This moment, after all that were given out before: to be taken before something begins, and after it has ended.
    pub fn now(&self) -> u64 {
        // Above 0, at which a register's first value was there.
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, Operation, UNWRITTEN, Violation, violation};
    use crate::{replay, seeds};

    /// All orders tried, by the definition alone: an operation may come next if none that is left had ended before it began.
    fn has_an_order(history: &[Operation], left: u32, value: u64) -> bool {
        let is_left = |place: &usize| left & (1 << place) != 0;
        let mut known = (0..history.len()).filter(is_left).filter_map(|place| history[place].ended).peekable();
        if known.peek().is_none() {
            // What nobody knows of may never have been done.
            return true;
        }
        let first_end = known.min().unwrap_or(u64::MAX);
        (0..history.len()).filter(is_left).filter(|place| history[*place].began < first_end).any(|place| {
            let rest = left & !(1 << place);
            match history[place].act {
                Act::Read(read) => read == value && has_an_order(history, rest, value),
                Act::Write(written) => has_an_order(history, rest, written),
            }
        })
    }

    /// Numbers that look random (splitmix64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % bound
        }
    }

    /// Some operations, each with its point in an order that explains it; then now and then a read is given another value.
    fn history(numbers: &mut Numbers) -> Vec<Operation> {
        let (mut value, mut written) = (UNWRITTEN, 0);
        let count = 2 + numbers.below(8);
        let mut history: Vec<_> = (0..count)
            .map(|number| {
                let (point, reach) = (number * 20, 1 + numbers.below(60));
                let act = if numbers.below(2) == 0 {
                    Act::Read(value)
                } else {
                    written += 1;
                    value = written;
                    Act::Write(value)
                };
                // All moments differ: the last digit is the operation's own.
                let began = (100 + point).saturating_sub(numbers.below(reach)) * 100 + 2 * number;
                let ended = (101 + point + numbers.below(reach)) * 100 + 2 * number + 1;
                let unknown = matches!(act, Act::Write(_)) && numbers.below(6) == 0;
                Operation { act, began, ended: (!unknown).then_some(ended) }
            })
            .collect();
        for operation in &mut history {
            if let Act::Read(read) = &mut operation.act
                && numbers.below(5) == 0
            {
                *read = numbers.below(written + 2);
            }
        }
        history
    }

    #[test]
    fn it_judges_as_all_orders_do() {
        let (mut right, mut wrong, mut kinds) = (0, 0, std::collections::HashSet::new());
        for seed in seeds(0..20_000) {
            let _replay = replay(seed);
            let history = history(&mut Numbers(seed));
            let found = violation(&history);
            let all = (1 << history.len()) - 1;
            assert_eq!(found.is_none(), has_an_order(&history, all, UNWRITTEN), "{found:?} in {history:#?}");
            match found {
                None => right += 1,
                Some(violation) => {
                    wrong += 1;
                    kinds.insert(std::mem::discriminant(&violation));
                }
            }
        }
        if crate::usual() {
            assert!(
                right > 1_000 && wrong > 1_000 && kinds.len() == 4,
                "{right} right, {wrong} wrong, {} kinds",
                kinds.len()
            );
        }
    }

    #[test]
    fn an_old_value_after_a_newer_one_is_found() {
        let done = |act, began, ended| Operation { act, began, ended: Some(ended) };
        let old = [done(Act::Write(1), 1, 2), done(Act::Write(2), 3, 4), done(Act::Read(1), 5, 6)];
        assert_eq!(violation(&old), Some(Violation::Within([1, 1], [0, 2])));
        let twice = [done(Act::Write(1), 1, 2), done(Act::Write(1), 3, 4)];
        assert_eq!(violation(&twice), Some(Violation::WrittenTwice(0, 1)));
        // The write is under way all the time: the new value, then the old one again, is what no order explains.
        let back = [done(Act::Write(1), 1, 9), done(Act::Read(1), 2, 3), done(Act::Read(UNWRITTEN), 4, 5)];
        assert!(violation(&back).is_some());
        // A write whose outcome nobody knows may be seen late, or never.
        let late = [
            Operation { act: Act::Write(1), began: 1, ended: None },
            done(Act::Read(UNWRITTEN), 2, 3),
            done(Act::Read(1), 4, 5),
        ];
        assert_eq!(violation(&late), None);
    }
}
