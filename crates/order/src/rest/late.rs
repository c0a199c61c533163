//! Leaders that are late, and for whom the others wait less.
//!
//! A leader may take until just before the time-out with each of its blocks, or show them to so few that they come to nothing. It loses nothing
//! by it, and each request of everybody waits. The time-out must be long enough for the slowest honest machine, so it cannot tell the two apart.
//! What can is how long the views of other leaders take, from their begin until they are decided. No f leaders can make more be in time by being slow, since it is
//! measured by a quorum of all:
//!
//! ```text
//!             the proposal took more than LATE times what whole views of a quorum of leaders take, twice in a row
//!   in time ---------------------------------------------------------------------------------------------> late
//!           <---------------------------------------------------------------------------------------------
//!             it took no more than that
//! ```
//!
//! Of a view that the members gave up the proposal took as long as they waited, whether or not it came. Whole views are the measure, and not proposals: who is near to a leader that is
//! near to those before it hears of the view's begin and of the proposal at the same time, and would take one that is far away for late; but the view takes a quorum's
//! way there and back wherever one stands.
//!
//! A leader executes the block before its own first, and so does each member. What counts begins when this member has ([`LateLeaders::executed`]): until then it could not have proposed either.
//! A view whose parent takes this member longer to execute than a usual view takes does not count at all: a somewhat slower machine takes so much longer that
//! it would be late, and whoever comes after the block with the heaviest requests does so each time.
//!
//! In the views of a leader that is late, consensus' time goes faster ([`ConsensusClock::hurry`]) from then on until the view is decided, so that the time-outs
//! are over sooner. In one view, then in three, then in seven, and so on up to 31 of them; in the one in between it has its full time, as in its first one of each epoch,
//! to show that it has become better, and to lead: one that is slow for no fault of its own leads at least once in each epoch, so that it is not absent
//! ([the committee's rules](pleach_types::turns)).
//!
//! Each member decides by what it sees itself, and members see different times: one is far from the leader, another hears of the view's begin before it does. A
//! member that has given a view up does not vote for its proposal any more, so where a proposal comes for some in time and for others not, the view
//! takes until its last time-out. So who is late is waited for much less long than what is late: its proposal, if it takes as long as before, comes too late for all.
//! And the faster time goes on until the end of the view, so that what is left of such a view is short as well. A time-out that is too short costs a
//! view and nothing that is safe.
//!
//! Of its own views a member measures the whole, since its proposals are in time for itself. It gives none of them up, but its operator is told what the operators
//! of the others are: that it leads too slowly.
//!
//! A leader that the application says was convicted ([`Application::convicted`](crate::Application::convicted)) is to leave, and is hardly waited for at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use pleach_types::committee::{faults, quorum};
use pleach_types::vote::Round;
use pleach_types::{Context, PublicKey};
use tracing::warn;

use super::ConsensusClock;
use crate::delivery::DeliveryProgress;

/// A proposal is late that takes so many times longer than the views of a quorum of leaders.
const LATE: u32 = 4;
/// What takes less than this is not late, whatever it takes others: a leader in another continent hears of its view after 50 ms, and is heard after as many more.
const LATE_MIN: Duration = Duration::from_millis(120);
/// Time goes at least so many times faster in such a view, or as ever: where the others take that long as well, little is gained, and much is lost for one
/// that is slow for no fault of its own.
const TIMES_MIN: u32 = 8;
/// The most views in a row in which a leader that is late is waited for less.
const HURRIED_MAX: u32 = 31;
/// A leader is late once it has been so often in a row.
const LATE_IN_A_ROW: u32 = 2;
/// How long a leader is waited for that has been convicted.
const CONVICT_WAIT: Duration = Duration::from_millis(10);

/// How one leader has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeaderPace {
    key: PublicKey,
    /// How long its last view took.
    took: Option<Duration>,
    /// How often in a row that was late.
    late: u32,
    /// Of its next views, in so many it is waited for less,
    hurried: u32,
    /// after it was in so many the last time.
    before: u32,
}

impl LeaderPace {
    const fn new(key: PublicKey) -> Self {
        Self { key, took: None, late: 0, hurried: 0, before: 0 }
    }
}

/// How a view was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewEnd {
    /// A quorum voted for its block.
    Notarized,
    /// A quorum gave it up.
    GivenUp,
}

/// The view of the moment.
#[derive(Clone, Copy, Debug)]
struct PresentView {
    round: Round,
    since: SystemTime,
    /// Whether it counts: something was to be ordered from its beginning.
    counts: bool,
    /// When this member could have proposed itself: it had executed the block before. `None` until then.
    able: Option<SystemTime>,
    /// Whether this member leads.
    own: bool,
    /// Whether the leader is waited for less.
    hurried: bool,
    /// When its proposal came.
    proposed: Option<SystemTime>,
}

impl PresentView {
    /// How long this member took from the begin of the view until it could have proposed itself.
    fn executing(self) -> Option<Duration> {
        self.able.map(|able| able.duration_since(self.since).unwrap_or_default())
    }
}

/// The view of the moment, and how the leaders have done.
#[derive(Debug, Default)]
pub(crate) struct LeadersSeen {
    view: Option<PresentView>,
    /// The newest view with a block that this member has not executed.
    unexecuted: Option<Round>,
    /// The epoch in which these leaders take turns.
    epoch: Option<u64>,
    /// In the order of their turns.
    leaders: Vec<LeaderPace>,
}

impl LeadersSeen {
    /// Another epoch has other leaders. Of those that stay it is known how they have done; each begins it with its full time.
    fn enter(&mut self, epoch: u64, leaders: &[PublicKey]) {
        let stays = |key| {
            self.leaders.iter().find(|leader| leader.key == key).map(|leader| LeaderPace { hurried: 0, ..*leader })
        };
        let leaders = leaders.iter().map(|key| stays(*key).unwrap_or_else(|| LeaderPace::new(*key)));
        (self.leaders, self.epoch) = (leaders.collect(), Some(epoch));
    }

    fn leader(&mut self, round: Round) -> Option<&mut LeaderPace> {
        let place = round.leader(self.leaders.len())?;
        self.leaders.get_mut(place)
    }

    /// What takes longer than this is late. `None` while too few leaders were seen.
    fn late(&self) -> Option<Duration> {
        Some(self.usual()?.saturating_mul(LATE))
    }

    /// What a view takes, a quarter of [`LATE_MIN`] at least. `None` while too few leaders were seen.
    fn usual(&self) -> Option<Duration> {
        let mut took: Vec<_> = self.leaders.iter().filter_map(|leader| leader.took).collect();
        took.sort_unstable();
        // The slowest of the quickest quorum. It is no slower than the slowest correct one, whatever f others do.
        let slowest = quorum(self.leaders.len()).checked_sub(1)?;
        Some((*took.get(slowest)?).max(LATE_MIN / LATE))
    }

    /// Whether this member took longer to execute the block before a view than a usual view takes.
    fn is_heavy(&self, view: PresentView) -> bool {
        view.executing().is_none_or(|took| self.usual().is_some_and(|usual| took > usual))
    }

    /// The time-out for the leader of the view, if it is a shorter one.
    fn begin(&mut self, view: PresentView) -> Option<Duration> {
        if self.is_heavy(view) {
            return None;
        }
        let usual = self.usual()?;
        let leader = self.leader(view.round)?;
        leader.hurried = leader.hurried.checked_sub(1)?;
        Some(usual)
    }

    /// A view was decided.
    fn end(&mut self, view: PresentView, end: ViewEnd, now: SystemTime) {
        let Some(able) = view.able.filter(|_| view.counts && !self.is_heavy(view)) else { return };
        let since = |begin: SystemTime, until: SystemTime| until.duration_since(begin).unwrap_or_default();
        let (took, whole) = (since(able, now), since(view.since, now));
        match view.proposed.filter(|_| end == ViewEnd::Notarized) {
            Some(_) if view.own => self.note(view, took, whole),
            Some(proposed) => self.note(view, since(able, proposed), whole),
            // It had less time than others. Or it was passed over at once, or declined to lead; and a member that catches up learns of views
            // that were decided long ago.
            None if view.hurried || self.late().is_none_or(|late| took <= late) => {}
            None => self.note(view, took, whole),
        }
    }

    /// Notes how long the proposal of a view took, and the view.
    fn note(&mut self, view: PresentView, proposal: Duration, whole: Duration) {
        let threshold = self.late();
        let Some(leader) = self.leader(view.round) else { return };
        let Some(threshold) = threshold.filter(|late| proposal > *late) else {
            *leader = LeaderPace { took: Some(whole), ..LeaderPace::new(leader.key) };
            return;
        };
        leader.took = Some(whole);
        leader.late = leader.late.saturating_add(1);
        if leader.late < LATE_IN_A_ROW || leader.hurried > 0 {
            return;
        }
        // Once it is sure: a leader that changes from one to the other fills no log.
        let hurried = (2 * leader.before + 1).min(HURRIED_MAX);
        if hurried == HURRIED_MAX && leader.before < HURRIED_MAX {
            let (member, took, late) = (leader.key, proposal.as_millis(), threshold.as_millis());
            if view.own {
                warn!(
                    took_ms = took,
                    late_ms = late,
                    "this member takes much longer to lead than the others each time: they wait for it less in most of its views. Is this machine slow, or far from the others?"
                );
            } else {
                warn!(%member, took_ms = took, late_ms = late, "a leader takes much longer than the others each time: it is waited for less in most of its views");
            }
        }
        leader.before = hurried;
        leader.hurried = leader.before;
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
    /// This member: whatever others think of it, it does not give its own views up.
    pub(crate) own: PublicKey,
    /// The machine's time.
    pub(crate) now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Whether something is to be ordered.
    pub(crate) wanted: Box<dyn Fn() -> bool + Send + Sync>,
    /// Whether a member was convicted and is to leave.
    pub(crate) convicted: Box<dyn Fn(&PublicKey) -> bool + Send + Sync>,
    pub(crate) seen: Mutex<LeadersSeen>,
}

impl LateLeaders {
    /// A view was decided, of an epoch with these leaders, who take turns: the next one begins, if it has not begun.
    pub(crate) fn decided(&self, round: Round, end: ViewEnd, leaders: &[PublicKey]) {
        let now = (self.now)();
        let next = Round { view: round.view.saturating_add(1), ..round };
        let mut seen = self.seen();
        if seen.view.is_some_and(|view| view.round >= next) {
            return;
        }
        if let Some(view) = seen.view.take() {
            if view.hurried {
                self.clock.hurry(now, 1);
            }
            // Of a view that others have left behind nothing is known but that it is over.
            seen.end(view, if view.round == round { end } else { ViewEnd::Notarized }, now);
        }
        if seen.epoch != Some(next.epoch) {
            seen.enter(next.epoch, leaders);
        }
        if end == ViewEnd::Notarized {
            seen.unexecuted = Some(round);
        }
        let counts = !self.clock.is_slow() && (self.wanted)();
        let own = seen.leader(next).is_some_and(|leader| leader.key == self.own);
        seen.view =
            Some(PresentView { round: next, since: now, counts, able: None, own, hurried: false, proposed: None });
        if seen.unexecuted.is_none() {
            self.is_able(&mut seen, now);
        }
    }

    /// This member has executed the block of a view, and with it all before.
    pub(crate) fn executed(&self, round: Round) {
        let now = (self.now)();
        let mut seen = self.seen();
        if seen.unexecuted.is_some_and(|newest| newest <= round) {
            seen.unexecuted = None;
            self.is_able(&mut seen, now);
        }
    }

    /// Calls [`LateLeaders::executed`] whenever a block is delivered, for ever.
    pub(crate) async fn follow(self: Arc<Self>, progress: Arc<DeliveryProgress>) {
        let mut seen = 0;
        loop {
            progress.delivered.above(seen).await;
            seen = progress.delivered.get();
            if let Some(block) = progress.newest_block() {
                let Context { epoch, view, .. } = block.header.context;
                self.executed(Round { epoch, view });
            }
        }
    }

    /// This member could propose now: the time of the leader begins.
    fn is_able(&self, seen: &mut LeadersSeen, now: SystemTime) {
        let Some(view) = seen.view.as_mut() else { return };
        view.able = Some(now);
        let view = *view;
        if !view.counts {
            return;
        }
        let times = self.waited(seen, view).map_or(1, |waited| times(self.timeout, waited));
        if times >= TIMES_MIN {
            self.clock.hurry(now, times);
            seen.view = Some(PresentView { hurried: true, ..view });
        }
    }

    /// The time-out for the leader of the view, if it is a shorter one.
    fn waited(&self, seen: &mut LeadersSeen, view: PresentView) -> Option<Duration> {
        let leader = seen.leader(view.round)?.key;
        if view.own {
            // It counts as the others do, so as to know what they make of it.
            let _ = seen.begin(view);
            return None;
        }
        // More than f of them is more than there can be where the rules hold: somebody has to lead.
        let bearable =
            || seen.leaders.iter().filter(|leader| (self.convicted)(&leader.key)).count() <= faults(seen.leaders.len());
        if (self.convicted)(&leader) && bearable() {
            return Some(CONVICT_WAIT);
        }
        seen.begin(view)
    }

    /// The proposal of a view has come, or this member makes it.
    pub(crate) fn proposed(&self, round: Round) {
        let now = (self.now)();
        let mut seen = self.seen();
        if let Some(view) = seen.view.as_mut().filter(|view| view.round == round && view.proposed.is_none()) {
            view.proposed = Some(now);
        }
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn seen(&self) -> MutexGuard<'_, LeadersSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

    use super::*;
    use crate::config::Timeouts;

    const LEADERS: usize = 4;
    /// What the others take.
    const USUAL: Duration = Duration::from_millis(10);
    /// What a leader takes that is as late as the others just still wait for.
    const LATE_BY: Duration = Duration::from_millis(600);

    /// A member whose leaders take their time.
    struct Bench {
        leaders: LateLeaders,
        now: Arc<AtomicU64>,
        wanted: Arc<AtomicBool>,
        convicted: Arc<AtomicUsize>,
        /// What it takes this member to execute a block.
        executes: Duration,
        view: u64,
    }

    fn at(nanos: &AtomicU64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.load(Ordering::Relaxed))
    }

    fn key(place: usize) -> PublicKey {
        PublicKey([u8::try_from(place).unwrap(); 32])
    }

    /// What a leader does.
    #[derive(Clone, Copy)]
    enum Leads {
        /// It proposes after so long.
        After(Duration),
        /// It proposes at once what nobody else is shown.
        ToFew,
        /// It proposes at once what takes the others so long to get.
        SlowlyHeard(Duration),
    }

    impl Bench {
        /// All leaders have led once. So many of the last ones are convicted as `convicted` says.
        fn new() -> Self {
            let (now, wanted) = (Arc::new(AtomicU64::default()), Arc::new(AtomicBool::new(true)));
            let convicted = Arc::new(AtomicUsize::default());
            let timeouts = Timeouts::default();
            let leaders = LateLeaders {
                clock: ConsensusClock::new(at(&now), &timeouts),
                timeout: timeouts.leader,
                own: key(LEADERS),
                now: Box::new({
                    let now = now.clone();
                    move || at(&now)
                }),
                wanted: Box::new({
                    let wanted = wanted.clone();
                    move || wanted.load(Ordering::Relaxed)
                }),
                convicted: Box::new({
                    let convicted = convicted.clone();
                    move |of| (0..convicted.load(Ordering::Relaxed)).any(|n| *of == key(LEADERS - 1 - n))
                }),
                seen: Mutex::default(),
            };
            let mut bench = Self { leaders, now, wanted, convicted, executes: Duration::ZERO, view: 0 };
            (0..LEADERS).for_each(|_| _ = bench.view(Leads::After(USUAL)));
            bench
        }

        fn decided(&self, round: Round, end: ViewEnd) {
            self.leaders.decided(round, end, &(0..LEADERS).map(key).collect::<Vec<_>>());
        }

        /// How long members wait for the leader of the next view, and how long the view takes: it is given up after the time-out.
        fn view(&mut self, leads: Leads) -> [Duration; 2] {
            let timeouts = Timeouts::default();
            let left = |bench: &Self, timeout| {
                let (clock, now) = (&bench.leaders.clock, at(&bench.now));
                clock.left(now, clock.at(now) + timeout).unwrap_or_default()
            };
            let (of, next) = (Round { epoch: 0, view: self.view }, Round { epoch: 0, view: self.view + 1 });
            if self.view == 0 {
                self.decided(of, ViewEnd::Notarized);
            }
            self.view += 1;
            self.go(self.executes);
            self.leaders.executed(of);
            let (waited, certified) = (left(self, timeouts.leader), left(self, timeouts.certification));
            let (took, end) = match leads {
                Leads::After(takes) if takes <= waited => (takes, ViewEnd::Notarized),
                Leads::After(_) => (waited, ViewEnd::GivenUp),
                Leads::ToFew => (certified, ViewEnd::GivenUp),
                Leads::SlowlyHeard(takes) => (takes, ViewEnd::Notarized),
            };
            let proposes = match leads {
                Leads::After(takes) => takes.min(took),
                Leads::ToFew | Leads::SlowlyHeard(_) => Duration::ZERO,
            };
            self.go(proposes);
            if matches!(leads, Leads::ToFew) || end == ViewEnd::Notarized {
                self.leaders.proposed(next);
            }
            self.go(took - proposes);
            self.decided(next, end);
            [waited, took]
        }

        fn go(&self, time: Duration) {
            self.now.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        }

        /// The last of the leaders in so many turns: what is waited for it and what its views take, in milliseconds.
        fn turns_and_views(&mut self, turns: usize, leads: Leads) -> Vec<[u128; 2]> {
            let turn = |bench: &mut Self| {
                while bench.view % LEADERS as u64 != LEADERS as u64 - 2 {
                    bench.view(Leads::After(USUAL));
                }
                bench.view(leads).map(|time| time.as_millis())
            };
            (0..turns).map(|_| turn(self)).collect()
        }

        /// What is waited for the last of the leaders in so many turns, in milliseconds, if it takes so long.
        fn turns(&mut self, turns: usize, takes: Duration) -> Vec<u128> {
            self.turns_and_views(turns, Leads::After(takes)).into_iter().map(|[waited, _]| waited).collect()
        }
    }

    #[test]
    fn a_leader_that_is_late_each_time_is_waited_for_less_in_most_of_its_views() {
        let waited = Bench::new().turns(97, LATE_BY);
        let rows = [
            &[700, 700][..],
            &[30; 1],
            &[700],
            &[30; 3],
            &[700],
            &[30; 7],
            &[700],
            &[30; 15],
            &[700],
            &[30; 31],
            &[700],
            &[30; 31],
            &[700, 30],
        ];
        assert_eq!(waited, rows.concat());
    }

    #[test]
    fn one_whose_proposals_come_to_nothing_is_waited_for_less_too() {
        let took = Bench::new().turns_and_views(9, Leads::ToFew);
        let (full, less) = ([700, 1_400], [30, 60]);
        assert_eq!(took, [full, full, less, full, less, less, less, full, less]);
    }

    #[test]
    fn one_that_was_late_once_or_is_slow_by_a_little_is_waited_for_as_ever() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            assert_eq!(bench.turns(1, LATE_BY), [700]);
            assert_eq!(bench.turns(1, Duration::from_millis(119)), [700]);
        }
    }

    #[test]
    fn one_that_has_become_better_is_waited_for_as_ever() {
        let mut bench = Bench::new();
        bench.turns(7, LATE_BY);
        // It is in time in its next view.
        assert_eq!(bench.turns(4, USUAL), [700; 4]);
        assert_eq!(bench.turns(3, LATE_BY), [700, 700, 30], "and begins anew");
    }

    #[test]
    fn where_nothing_is_to_be_ordered_nobody_is_late() {
        let mut bench = Bench::new();
        bench.wanted.store(false, Ordering::Relaxed);
        assert_eq!(bench.turns(20, LATE_BY), [700; 20]);
        bench.wanted.store(true, Ordering::Relaxed);
        // Whether anything was wanted is asked as a view begins: one more has begun before.
        assert_eq!(bench.turns(3, LATE_BY), [700, 700, 30]);
        bench.wanted.store(false, Ordering::Relaxed);
        assert_eq!(bench.turns(3, LATE_BY), [700; 3]);
    }

    /// The block of each fourth view is heavy: whoever leads after it proposes later than all others, each time, since it executes it first.
    #[test]
    fn who_leads_after_heavy_blocks_is_not_late() {
        let mut bench = Bench::new();
        for _ in 0..40 {
            let slow = [USUAL, USUAL, USUAL].map(|takes| bench.view(Leads::After(takes))[0].as_millis());
            bench.executes = Duration::from_millis(300);
            // A machine that is slower by half.
            let after = bench.view(Leads::After(Duration::from_millis(150)))[0].as_millis();
            bench.executes = Duration::ZERO;
            assert_eq!((slow, after), ([700; 3], 700));
        }
    }

    #[test]
    fn while_this_member_executes_no_leader_is_hurried() {
        let mut bench = Bench::new();
        bench.turns(4, LATE_BY);
        (1..LEADERS).for_each(|_| _ = bench.view(Leads::After(USUAL)));
        bench.executes = Duration::from_millis(20);
        assert_eq!(bench.view(Leads::After(LATE_BY))[0].as_millis(), 30);
        bench.executes = Duration::ZERO;
        (1..LEADERS).for_each(|_| _ = bench.view(Leads::After(USUAL)));
        bench.executes = Duration::from_millis(31);
        assert_eq!(bench.view(Leads::After(LATE_BY))[0].as_millis(), 700, "as long as a usual view, and not counted");
        bench.executes = Duration::ZERO;
        assert_eq!(bench.turns(3, LATE_BY), [30, 30, 700], "it is waited for less in the two that are left");
    }

    /// It proposes at once, as it sees it, and its blocks take long to come to a quorum.
    #[test]
    fn a_member_gives_no_view_of_its_own_up_and_knows_when_it_is_late() {
        for late in [true, false] {
            let mut bench = Bench::new();
            bench.leaders.own = key(LEADERS - 1);
            let took = if late { LATE_BY } else { USUAL };
            assert_eq!(bench.turns_and_views(70, Leads::SlowlyHeard(took)), vec![[700, took.as_millis()]; 70]);
            let known = bench.leaders.seen().leaders[LEADERS - 1].before;
            assert_eq!(known, if late { HURRIED_MAX } else { 0 });
        }
    }

    #[test]
    fn where_the_others_are_slow_as_well_nobody_is_hurried() {
        let mut bench = Bench::new();
        for _ in 0..40 {
            let slow =
                [100, 100, 100, 600].map(|takes| bench.view(Leads::After(Duration::from_millis(takes)))[0].as_millis());
            assert_eq!(slow, [700; 4]);
        }
    }

    #[test]
    fn a_quorum_of_leaders_is_never_late() {
        let mut bench = Bench::new();
        for _ in 0..40 {
            let waited = [USUAL, USUAL, LATE_BY, LATE_BY].map(|takes| bench.view(Leads::After(takes))[0].as_millis());
            assert_eq!(waited, [700; 4], "two of four are more than one");
        }
        // Everybody is slow: as after a network has become so.
        let mut slow = Bench::new();
        let waited: Vec<_> =
            (0..100).map(|_| slow.view(Leads::After(Duration::from_millis(500)))[0].as_millis()).collect();
        assert_eq!(waited, [700; 100]);
    }

    #[test]
    fn who_has_been_convicted_is_hardly_waited_for() {
        let mut bench = Bench::new();
        bench.convicted.store(1, Ordering::Relaxed);
        assert_eq!(bench.turns_and_views(20, Leads::ToFew), [[10, 20]; 20]);
        assert_eq!(bench.turns(20, LATE_BY), [10; 20]);
        bench.convicted.store(2, Ordering::Relaxed);
        assert_eq!(bench.turns(2, USUAL), [700; 2], "more than can be borne: somebody has to lead");
    }

    #[test]
    fn nobody_gives_its_own_views_up() {
        let mut bench = Bench::new();
        bench.leaders.own = key(LEADERS - 1);
        bench.convicted.store(1, Ordering::Relaxed);
        assert_eq!(bench.turns(20, LATE_BY), [700; 20]);
    }

    #[test]
    fn who_catches_up_blames_nobody() {
        let mut bench = Bench::new();
        bench.turns(2, USUAL);
        for view in bench.view..bench.view + 100 {
            bench.decided(Round { epoch: 0, view }, ViewEnd::GivenUp);
        }
        bench.view += 99;
        assert_eq!(bench.turns(4, USUAL), [700; 4]);
    }

    #[test]
    fn in_another_epoch_who_stays_begins_with_its_full_time_and_others_are_new() {
        let mut bench = Bench::new();
        bench.turns(9, LATE_BY);
        let before = bench.leaders.seen().leaders.clone();
        assert_eq!((before[LEADERS - 1].hurried, before[LEADERS - 1].before), (6, 7));
        let next = [key(LEADERS), key(LEADERS - 1)];
        bench.leaders.decided(Round { epoch: 1, view: 0 }, ViewEnd::Notarized, &next);
        let seen = bench.leaders.seen();
        assert_eq!(seen.leaders, [LeaderPace::new(key(LEADERS)), LeaderPace { hurried: 0, ..before[LEADERS - 1] }]);
    }
}
