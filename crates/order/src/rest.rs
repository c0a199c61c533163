//! Time that goes slowly for consensus while there is nothing to order.
//!
//! A cluster at rest makes empty blocks, and each block makes every member flush its disk about fourteen times, for journals of votes,
//! archives and the store. The time-outs of the engine are the same as long as it runs: a leader that waited longer than
//! [`Timeouts::leader`](crate::Timeouts::leader) with its empty block would be given up, and a longer time-out would be waited for in full
//! when a leader dies under load. So the time-outs stay, and while nothing waits, time itself goes [`Timeouts::rest`](crate::Timeouts::rest)
//! times slower: for the engine of the epoch ([`runtime`]) and for a leader with an empty block, for nothing else.
//!
//! ```text
//!            a final block has been executed, none above it is known, and the application wants none on it
//!   awake -------------------------------------------------------------------------------------------------> at rest
//!         <-------------------------------------------------------------------------------------------------
//!            a request came (Network::wake); a block with requests was proposed; a member gave a view up;
//!            this member fell behind; no block came for too long (`still`)
//! ```
//!
//! Time never jumps: what is left of a time-out when the rest ends is waited for at full speed. So a request that comes while the leader is dead
//! waits for as long as it would in a busy cluster.
//!
//! Each member decides for itself, and nothing that is safe depends on it: slow time-outs are time-outs. Members that differ lose time. One
//! that is awake alone gives up the view of a leader that waits; its vote wakes the others. What makes members differ on
//! purpose, requests that only some can see, costs the others as many blocks as there would be without any rest. And where something is
//! lost at rest, a proposal or a vote, all are awake soon after the next block was due.
//!
//! In the views of leaders that are late each time, the same clock goes faster ([`late`]).

pub(crate) mod late;
pub(crate) mod runtime;
pub(crate) mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use commonware_macros::select;
use commonware_runtime::Clock;

use crate::config::Timeouts;
use crate::signal::Signal;

/// The time by which consensus goes.
#[derive(Debug)]
pub(crate) struct ConsensusClock {
    /// How many times slower it goes at rest.
    times: u32,
    /// A member that has executed no block for so long is awake: half way from the pause of a leader at rest to the time-out for it.
    still: Duration,
    time: Mutex<RunningTime>,
    /// Counts changes of how fast time goes.
    changed: Signal,
    /// Counts what ends a rest, beside requests.
    stirred: Signal,
}

/// How time has gone since it last went at another speed.
#[derive(Clone, Copy, Debug)]
struct RunningTime {
    slow: bool,
    /// How many times faster it goes while it does not go slowly.
    hurry: u32,
    /// When that was by the machine's clock, and by this one.
    since: SystemTime,
    then: SystemTime,
}

impl RunningTime {
    fn at(&self, now: SystemTime, times: u32) -> SystemTime {
        // A clock that was set back stands still here.
        let gone = now.duration_since(self.since).unwrap_or_default();
        self.then + if self.slow { gone / times } else { gone.saturating_mul(self.hurry) }
    }
}

impl ConsensusClock {
    /// A clock that begins `now`, at full speed.
    pub(crate) fn new(now: SystemTime, timeouts: &Timeouts) -> Arc<Self> {
        let Timeouts { idle, leader, rest, .. } = *timeouts;
        // Settings are checked to have it above zero.
        let times = rest.max(1);
        Arc::new(Self {
            times,
            still: (idle + leader.saturating_sub(idle) / 2).saturating_mul(times),
            time: Mutex::new(RunningTime { slow: false, hurry: 1, since: now, then: now }),
            changed: Signal::default(),
            stirred: Signal::default(),
        })
    }

    /// Ends a rest: something is going on.
    pub(crate) fn stir(&self) {
        self.stirred.bump();
    }

    /// Whether time goes slowly now.
    fn is_slow(&self) -> bool {
        self.time().slow
    }

    /// The time, when it is `now` by the machine's clock.
    fn at(&self, now: SystemTime) -> SystemTime {
        self.time().at(now, self.times)
    }

    /// How long it takes until a time, as things are. `None` if that has come.
    fn left(&self, now: SystemTime, until: SystemTime) -> Option<Duration> {
        let time = *self.time();
        let left = until.duration_since(time.at(now, self.times)).ok().filter(|left| !left.is_zero())?;
        // Not less than a nanosecond: the sleeper looks again after it, and must have come further.
        let hurried = (left / time.hurry).max(Duration::from_nanos(1));
        Some(if time.slow { left.saturating_mul(self.times) } else { hurried })
    }

    /// Waits until a time.
    async fn until(&self, clock: &impl Clock, deadline: SystemTime) {
        loop {
            // Before the look: a change after it ends the sleep.
            let seen = self.changed.get();
            let Some(left) = self.left(clock.current(), deadline) else { return };
            select! {
                () = clock.sleep(left) => {},
                () = self.changed.above(seen) => {},
            }
        }
    }

    /// Waits for so long.
    pub(crate) async fn sleep(&self, clock: &impl Clock, duration: Duration) {
        let deadline = self.at(clock.current()) + duration;
        self.until(clock, deadline).await;
    }

    /// Has time go slowly or not from now on.
    fn go(&self, now: SystemTime, slow: bool) {
        {
            let mut time = self.time();
            *time = RunningTime { slow, hurry: 1, since: now, then: time.at(now, self.times) };
        }
        self.changed.bump();
    }

    /// Has time go so many times faster from now on, or as ever if it is once. At rest it goes slowly nevertheless.
    fn hurry(&self, now: SystemTime, times: u32) {
        {
            let mut time = self.time();
            *time = RunningTime { hurry: times.max(1), since: now, then: time.at(now, self.times), ..*time };
        }
        self.changed.bump();
    }

    /// Nothing is ever left half done under the lock, so a panic elsewhere does not spoil it.
    fn time(&self) -> MutexGuard<'_, RunningTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest() -> Arc<ConsensusClock> {
        ConsensusClock::new(at(100), &Timeouts { rest: 8, ..Timeouts::default() })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn time_goes_on_without_a_jump_and_slowly_at_rest() {
        let rest = rest();
        assert_eq!(rest.at(at(110)), at(110));
        rest.go(at(110), true);
        assert_eq!((rest.at(at(110)), rest.at(at(118))), (at(110), at(111)));
        assert_eq!(rest.left(at(118), at(113)), Some(Duration::from_secs(16)));
        rest.go(at(118), false);
        assert_eq!((rest.at(at(118)), rest.at(at(120))), (at(111), at(113)));
        assert_eq!(rest.left(at(119), at(113)), Some(Duration::from_secs(1)), "what is left goes at full speed");
        assert_eq!(rest.left(at(120), at(113)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_take_time_back() {
        let rest = rest();
        rest.go(at(110), true);
        assert_eq!(rest.at(at(50)), at(110));
        rest.go(at(50), false);
        assert_eq!(rest.at(at(51)), at(111));
    }
}
