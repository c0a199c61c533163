//! Leaders that are late, and for whom the others wait less.
//!
//! A leader may take until just before the time-out with each of its blocks. It loses nothing by it, and each request of everybody waits. The
//! time-out must be long enough for the slowest honest machine, so it cannot tell the two apart. What can is how long the other leaders
//! take:
//!
//! ```text
//!             the proposal took more than LATE times what it takes half of the leaders, twice in a row
//!   in time ---------------------------------------------------------------------------------------------> late
//!           <---------------------------------------------------------------------------------------------
//!             it took no more than that
//! ```
//!
//! In the views of a leader that is late, consensus' time goes faster ([`ConsensusClock::hurry`]) from the beginning of the view until the proposal
//! has come, so that the time-out is over after as long as is late. In one view, then in three, then in seven of them; in the one
//! in between it has its full time, to show that it has become better, and to lead: one that is slow for no fault of its own leads an eighth of
//! its turns at least, so that it is not absent ([the committee's rules](pleach_types::turns)).
//!
//! Each member decides by what it sees itself. A time-out that is too short costs a view and nothing that is safe; of the leaders more than
//! half are never late, since what is late is measured by that half, so there is always somebody who leads at full time. Members
//! that differ wait for each other for as long as they would without this.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use pleach_types::vote::Round;

use super::ConsensusClock;

/// What takes a leader so many times longer than half of them is late.
const LATE: u32 = 4;
/// What takes less than this is not late, whatever it takes others.
const LATE_MIN: Duration = Duration::from_millis(60);
/// The most views in a row in which a leader that is late is waited for less.
const HURRIED_MAX: u32 = 7;
/// A leader is late once it has been so often in a row.
const LATE_IN_A_ROW: u32 = 2;

/// How one leader has done.
#[derive(Clone, Copy, Debug, Default)]
struct LeaderPace {
    /// What its last proposal took that came, or how long it had not come.
    took: Option<Duration>,
    /// How often in a row that was late.
    late: u32,
    /// Of its next views, in so many it is waited for less,
    hurried: u32,
    /// after it was in so many the last time.
    before: u32,
}

/// The view of the moment.
#[derive(Clone, Copy, Debug)]
struct PresentView {
    round: Round,
    since: SystemTime,
    /// Whether it counts: something was to be ordered from its beginning.
    counts: bool,
    /// Whether the leader is waited for less.
    hurried: bool,
    proposed: bool,
}

/// The view of the moment, and how the leaders have done.
#[derive(Debug, Default)]
pub(crate) struct LeadersSeen {
    view: Option<PresentView>,
    /// The epoch in which these leaders take turns.
    epoch: Option<u64>,
    /// By the remainder of the views that they lead.
    leaders: Vec<LeaderPace>,
}

impl LeadersSeen {
    fn leader(&mut self, view: u64) -> Option<&mut LeaderPace> {
        let count = u64::try_from(self.leaders.len()).ok().filter(|count| *count > 0)?;
        self.leaders.get_mut(usize::try_from(view % count).ok()?)
    }

    /// What takes longer than this is late. `None` while too few leaders were seen.
    fn late(&self) -> Option<Duration> {
        let mut took: Vec<_> = self.leaders.iter().filter_map(|leader| leader.took).collect();
        took.sort_unstable();
        // The quicker half, rounded up: whatever the others do does not change it.
        let half = self.leaders.len().div_ceil(2).checked_sub(1)?;
        Some(took.get(half)?.saturating_mul(LATE).max(LATE_MIN))
    }

    /// The time-out for the leader of a view that begins, if it is a shorter one.
    fn begin(&mut self, view: u64) -> Option<Duration> {
        let late = self.late()?;
        let leader = self.leader(view)?;
        leader.hurried = leader.hurried.checked_sub(1)?;
        Some(late)
    }

    /// The view ends. Where no proposal has come until now, that took as long; unless the leader had less time than others.
    fn end(&mut self, view: PresentView, now: SystemTime) {
        let took = now.duration_since(view.since).unwrap_or_default();
        // A member that catches up learns of views that were decided long ago.
        if view.counts && !view.proposed && !view.hurried && self.late().is_some_and(|late| took > late) {
            self.note(view, now);
        }
    }

    /// Notes how long the leader of a view took.
    fn note(&mut self, view: PresentView, now: SystemTime) {
        let took = now.duration_since(view.since).unwrap_or_default();
        let late = self.late().is_some_and(|late| took > late);
        let Some(leader) = self.leader(view.round.view) else { return };
        if !late {
            *leader = LeaderPace { took: Some(took), ..LeaderPace::default() };
            return;
        }
        leader.took = Some(took);
        leader.late = leader.late.saturating_add(1);
        if leader.late >= LATE_IN_A_ROW && leader.hurried == 0 {
            leader.before = (2 * leader.before + 1).min(HURRIED_MAX);
            leader.hurried = leader.before;
        }
    }
}

/// How many times faster time is to go for a time-out to be over after so long.
fn times(timeout: Duration, waited: Duration) -> u32 {
    u32::try_from(timeout.as_nanos() / waited.as_nanos().max(1)).unwrap_or(1).max(1)
}

/// What this member has seen of leaders. See the head of the module.
pub(crate) struct LateLeaders {
    pub(crate) clock: Arc<ConsensusClock>,
    /// The time-out for leaders.
    pub(crate) timeout: Duration,
    /// The machine's time.
    pub(crate) now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Whether something is to be ordered.
    pub(crate) wanted: Box<dyn Fn() -> bool + Send + Sync>,
    pub(crate) seen: Mutex<LeadersSeen>,
}

impl LateLeaders {
    /// A view was decided, of an epoch with so many leaders who take turns: the next one begins, if it has not begun.
    pub(crate) fn decided(&self, round: Round, leaders: usize) {
        let now = (self.now)();
        let next = Round { view: round.view.saturating_add(1), ..round };
        let mut seen = self.seen();
        if seen.view.is_some_and(|view| view.round >= next) {
            return;
        }
        if let Some(view) = seen.view.take() {
            seen.end(view, now);
            if view.hurried {
                self.clock.hurry(now, 1);
            }
        }
        // Another epoch has other leaders.
        if seen.leaders.len() != leaders || seen.epoch != Some(next.epoch) {
            (seen.leaders, seen.epoch) = (vec![LeaderPace::default(); leaders], Some(next.epoch));
        }
        let counts = !self.clock.is_slow() && (self.wanted)();
        let waited = counts.then(|| seen.begin(next.view)).flatten();
        let times = waited.map_or(1, |waited| times(self.timeout, waited));
        let hurried = times > 1;
        if hurried {
            self.clock.hurry(now, times);
        }
        seen.view = Some(PresentView { round: next, since: now, counts, hurried, proposed: false });
    }

    /// The proposal of a view has come, or this member makes it.
    pub(crate) fn proposed(&self, round: Round) {
        let now = (self.now)();
        let mut seen = self.seen();
        let Some(view) = seen.view.filter(|view| view.round == round && !view.proposed) else { return };
        if view.hurried {
            self.clock.hurry(now, 1);
        }
        seen.view = Some(PresentView { proposed: true, hurried: false, ..view });
        if view.counts {
            seen.note(view, now);
        }
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn seen(&self) -> MutexGuard<'_, LeadersSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::config::Timeouts;

    const LEADERS: usize = 4;
    /// What the others take.
    const USUAL: Duration = Duration::from_millis(10);
    /// What a leader takes that is as late as the others just still wait for.
    const LATE_BY: Duration = Duration::from_millis(600);

    /// One member, whose leaders take their time.
    struct Bench {
        leaders: LateLeaders,
        now: Arc<AtomicU64>,
        wanted: Arc<AtomicBool>,
        view: u64,
    }

    fn at(nanos: &AtomicU64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.load(Ordering::Relaxed))
    }

    impl Bench {
        fn new() -> Self {
            let (now, wanted) = (Arc::new(AtomicU64::default()), Arc::new(AtomicBool::new(true)));
            let timeouts = Timeouts::default();
            let leaders = LateLeaders {
                clock: ConsensusClock::new(at(&now), &timeouts),
                timeout: timeouts.leader,
                now: Box::new({
                    let now = now.clone();
                    move || at(&now)
                }),
                wanted: Box::new({
                    let wanted = wanted.clone();
                    move || wanted.load(Ordering::Relaxed)
                }),
                seen: Mutex::default(),
            };
            Self { leaders, now, wanted, view: 0 }
        }

        /// How long members wait for the leader of the next view, which takes so long. It is given up after that.
        fn view(&mut self, takes: Duration) -> Duration {
            let timeout = self.leaders.timeout;
            let left = |bench: &Self| {
                let (clock, now) = (&bench.leaders.clock, at(&bench.now));
                clock.left(now, clock.at(now) + timeout).unwrap_or_default()
            };
            self.leaders.decided(Round { epoch: 0, view: self.view }, LEADERS);
            self.view += 1;
            let waited = left(self);
            self.now.fetch_add(takes.min(waited).as_nanos() as u64, Ordering::Relaxed);
            if takes <= waited {
                self.leaders.proposed(Round { epoch: 0, view: self.view });
                assert_eq!(left(self), timeout, "time goes as ever once the proposal has come");
            }
            waited
        }

        /// What is waited for the last of the leaders in so many turns, in milliseconds, if it takes so long.
        fn turns(&mut self, turns: usize, takes: Duration) -> Vec<u128> {
            let turn = |bench: &mut Self| {
                (1..LEADERS).for_each(|_| _ = bench.view(USUAL));
                bench.view(takes).as_millis()
            };
            (0..turns).map(|_| turn(self)).collect()
        }
    }

    #[test]
    fn a_leader_that_is_late_each_time_is_waited_for_less_in_most_of_its_views() {
        let waited = Bench::new().turns(25, LATE_BY);
        let expected = [&[700, 700, 63, 700][..], &[63; 3], &[700], &[63; 7], &[700], &[63; 7], &[700, 63]];
        assert_eq!(waited, expected.concat());
    }

    #[test]
    fn one_that_was_late_once_or_is_slow_by_a_little_is_waited_for_as_ever() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            assert_eq!(bench.turns(1, LATE_BY), [700]);
            assert_eq!(bench.turns(1, Duration::from_millis(59)), [700]);
        }
    }

    #[test]
    fn one_that_has_become_better_is_waited_for_as_ever() {
        let mut bench = Bench::new();
        bench.turns(9, LATE_BY);
        // It is in time in one of the views in which it has less of it.
        assert_eq!(bench.turns(4, USUAL), [63, 700, 700, 700]);
        assert_eq!(bench.turns(3, LATE_BY), [700, 700, 63], "and begins anew");
    }

    #[test]
    fn where_nothing_is_to_be_ordered_nobody_is_late() {
        let mut bench = Bench::new();
        bench.wanted.store(false, Ordering::Relaxed);
        assert_eq!(bench.turns(20, LATE_BY), [700; 20]);
        bench.wanted.store(true, Ordering::Relaxed);
        assert_eq!(bench.turns(3, LATE_BY), [700, 700, 63]);
        bench.wanted.store(false, Ordering::Relaxed);
        assert_eq!(bench.turns(3, LATE_BY), [700; 3]);
    }

    #[test]
    fn more_than_half_of_the_leaders_are_never_late() {
        let mut bench = Bench::new();
        for _ in 0..40 {
            let waited = [USUAL, USUAL, LATE_BY, LATE_BY].map(|takes| bench.view(takes).as_millis());
            assert_eq!(waited[..2], [700; 2]);
        }
        // Everybody is slow: as after a network has become so.
        let mut slow = Bench::new();
        let waited: Vec<_> = (0..100).map(|_| slow.view(Duration::from_millis(500)).as_millis()).collect();
        assert_eq!(waited, [700; 100]);
    }

    #[test]
    fn who_catches_up_blames_nobody() {
        let mut bench = Bench::new();
        bench.turns(2, USUAL);
        for view in bench.view..bench.view + 100 {
            bench.leaders.decided(Round { epoch: 0, view }, LEADERS);
        }
        bench.view += 99;
        assert_eq!(bench.turns(4, USUAL), [700; 4]);
    }

    #[test]
    fn another_epoch_has_other_leaders() {
        let mut bench = Bench::new();
        bench.turns(5, LATE_BY);
        bench.leaders.decided(Round { epoch: 1, view: 0 }, LEADERS);
        let seen = bench.leaders.seen();
        assert!(seen.leaders.iter().all(|leader| leader.took.is_none() && leader.hurried == 0));
    }
}
