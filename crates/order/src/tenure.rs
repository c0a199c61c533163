//! Which of several processes with one key may vote.
//!
//! A member's folder may be copied, and both copies run. Each process has its own guard and journal, so nothing in either keeps the two from
//! signing votes that exclude each other, and the member would be convicted of what no one process did. The others tell them apart:
//!
//! 1. A process draws a number at its start. Every [`RENEW_EVERY`] it asks all others for *tenure* for that number.
//! 2. A member grants it, unless it has granted it to another process with the same key within the last [`HELD_FOR`]: then it says so. What comes
//!    from the same *place* (a folder on a machine) is the same member started again, since a folder's lock lets one process in; it need not wait.
//! 3. A process votes only while n - f - 1 others have granted it tenure, each for [`TENURE`] from when the process *asked*. The guard looks
//!    at the clock when it signs, so a process that was frozen meanwhile signs nothing when it goes on.
//! 4. A process that had fewer for a moment musters again (`muster`): it asks what is over, and which votes in its name others hold. Only who has
//!    granted a process tenure answers it, and what was answered before a grant that has run out does not count.
//!
//! Two processes that vote at one time would need n - f - 1 grants each of n - 1 others: at least n - 2f - 1 = f members would have granted both.
//! An operator who runs a key twice is one of the f that may be faulty, so one of those f is correct, and it grants no second one while
//! the first may still vote: [`HELD_FOR`] is longer than [`TENURE`], by far more than clocks of two machines go apart meanwhile.
//!
//! What this leaves open. A vote that reached none of those who answer the second process, cast just before the first one's tenure ended, in
//! a view that is undecided among them all the while. A member that restarts forgets whom it has granted tenure. And the copy of a whole virtual
//! machine, as long as both have the same name, is the same place.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use commonware_cryptography::ed25519::PublicKey;

/// How long a process may vote after it has asked for tenure: three renewals may be lost.
pub(crate) const TENURE: Duration = Duration::from_secs(8);
/// How long a member that grants tenure refuses it to another process, from when it was asked.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(10);
/// Pause before tenure is asked for again, while enough have granted it.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Members for which it is remembered who holds their tenure. There are no more in the network.
const HOLDERS_MAX: usize = 1_024;
/// Questions for tenure that may be unanswered: older ones grant nothing any more.
const ASKED_MAX: usize = 64;
/// The tenure of a member that needs nobody's.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// A process that runs with a member's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Drawn at its start.
    pub(crate) number: u64,
    /// Where its data is.
    pub(crate) place: u64,
}

/// Bytes of a process in a message.
pub(crate) const PROCESS_BYTES: usize = 16;

impl Process {
    pub(crate) fn encode(self) -> [u8; PROCESS_BYTES] {
        let mut bytes = [0; PROCESS_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.place.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, place) = bytes.split_first_chunk::<8>()?;
        Some(Self { number: u64::from_le_bytes(*number), place: u64::from_le_bytes(place.try_into().ok()?) })
    }
}

/// Whom this member has granted tenure, for each of the others.
#[derive(Debug, Default)]
pub(crate) struct Holders(BTreeMap<PublicKey, (Process, SystemTime)>);

impl Holders {
    /// Grants a process of this member tenure. `false` if another one has it.
    pub(crate) fn grant(&mut self, member: &PublicKey, process: Process, now: SystemTime) -> bool {
        if let Some((holder, until)) = self.0.get(member)
            && *holder != process
            && holder.place != process.place
            && now < *until
        {
            return false;
        }
        self.0.insert(member.clone(), (process, now + HELD_FOR));
        if self.0.len() > HOLDERS_MAX {
            self.0.retain(|_, (_, until)| now < *until);
        }
        true
    }

    /// Whether this process has tenure.
    pub(crate) fn has(&self, member: &PublicKey, number: u64, now: SystemTime) -> bool {
        self.0.get(member).is_some_and(|(holder, until)| holder.number == number && now < *until)
    }
}

/// The tenure of this process.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) process: Process,
    /// The number of the next question.
    next: u64,
    /// When the last questions were asked, the oldest first.
    asked: VecDeque<(u64, SystemTime)>,
    /// Until when each of the others has granted it.
    granted: BTreeMap<PublicKey, SystemTime>,
}

impl Tenure {
    pub(crate) const fn new(process: Process) -> Self {
        Self { process, next: 0, asked: VecDeque::new(), granted: BTreeMap::new() }
    }

    /// The number of a question that is asked now, if it is time to: `soon` after the last one while not enough have granted it.
    pub(crate) fn ask(&mut self, soon: Duration, enough: bool, now: SystemTime) -> Option<u64> {
        let pause = if enough { RENEW_EVERY } else { soon };
        if self.asked.back().is_some_and(|(_, last)| now.duration_since(*last).is_ok_and(|since| since < pause)) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.asked.push_back((number, now));
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
        Some(number)
    }

    /// A member grants what this process asked for with that number. Returns whether an earlier grant of that member had run out.
    pub(crate) fn granted(&mut self, by: &PublicKey, number: u64, now: SystemTime) -> bool {
        let Some((_, asked)) = self.asked.iter().find(|(asked, _)| *asked == number) else { return false };
        let until = *asked + TENURE;
        let before = self.granted.get(by).copied();
        self.granted.insert(by.clone(), before.map_or(until, |before| before.max(until)));
        before.is_some_and(|before| before <= now)
    }

    /// Those whose grants have not run out.
    pub(crate) fn current(&self, now: SystemTime) -> impl Iterator<Item = &PublicKey> {
        self.granted.iter().filter(move |(_, until)| now < **until).map(|(by, _)| by)
    }

    /// Until when `needed` of those that are members have granted it; `None` if they have not.
    pub(crate) fn until(
        &self,
        needed: usize,
        is_member: impl Fn(&PublicKey) -> bool,
        now: SystemTime,
    ) -> Option<SystemTime> {
        let Some(last) = needed.checked_sub(1) else { return Some(now + FOR_EVER) };
        let mut ends: Vec<_> = self.granted.iter().filter(|(by, _)| is_member(by)).map(|(_, until)| *until).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(last).copied().filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use commonware_cryptography::Signer as _;
    use commonware_cryptography::ed25519::PrivateKey;

    use super::*;

    fn member(n: u64) -> PublicKey {
        PrivateKey::from_seed(n).public_key()
    }

    const fn process(number: u64, place: u64) -> Process {
        Process { number, place }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_second_process_waits_until_the_first_has_been_silent_and_a_restart_does_not() {
        let (mut holders, of) = (Holders::default(), member(1));
        assert!(holders.grant(&of, process(1, 10), at(0)));
        assert!(!holders.grant(&of, process(2, 20), at(1)));
        assert!(holders.grant(&of, process(1, 10), at(5)));
        assert!(!holders.grant(&of, process(2, 20), at(14)));
        assert!(holders.has(&of, 1, at(14)) && !holders.has(&of, 2, at(14)));
        assert!(holders.grant(&of, process(3, 10), at(14)), "the same folder, started again");
        assert!(!holders.has(&of, 1, at(14)));
        assert!(holders.grant(&member(2), process(2, 20), at(14)), "members are none of each other's");
        assert!(holders.grant(&of, process(2, 20), at(24)));
        assert!(!holders.grant(&of, process(3, 10), at(25)), "it has gone over");
    }

    #[test]
    fn tenure_is_counted_from_the_question_and_of_members() {
        let mut tenure = Tenure::new(process(1, 1));
        let soon = Duration::from_millis(200);
        assert_eq!(tenure.until(0, |_| true, at(0)), Some(at(0) + FOR_EVER), "alone");
        assert_eq!(tenure.ask(soon, false, at(0)), Some(0));
        assert_eq!(tenure.ask(soon, true, at(1)), None);
        assert_eq!(tenure.ask(soon, false, at(1)), Some(1));
        assert!(!tenure.granted(&member(1), 0, at(3)));
        assert!(!tenure.granted(&member(2), 1, at(3)));
        assert!(!tenure.granted(&member(3), 7, at(3)), "it never asked that");
        assert_eq!(tenure.until(1, |_| true, at(3)), Some(at(9)));
        assert_eq!(tenure.until(2, |_| true, at(3)), Some(at(8)));
        assert_eq!(tenure.until(3, |_| true, at(3)), None);
        assert_eq!(tenure.until(1, |by| *by != member(2), at(3)), Some(at(8)));
        assert_eq!(tenure.until(2, |_| true, at(8)), None);
        assert_eq!(tenure.ask(soon, true, at(8)), Some(2));
        assert!(tenure.granted(&member(1), 2, at(8)), "the grant before had run out");
        assert!(!tenure.granted(&member(2), 2, at(8)));
    }

    #[test]
    fn a_process_travels() {
        let one = process(0x0102_0304_0506_0708, u64::MAX - 3);
        assert_eq!(Process::decode(&one.encode()), Some(one));
        assert_eq!(Process::decode(&one.encode()[1..]), None);
        assert_eq!(Process::decode(&[one.encode().as_slice(), &[0]].concat()), None);
    }
}
