//! How much of the time requests keep a node busy.
//!
//! What counts is the time that passes while requests are checked and executed, not what processors spend on it: a machine that has too much
//! to do is what others wait for. Two threads that work at once count twice. Of writing blocks to the disk, which nobody waits for, the time of processors
//! counts ([`crate::Disk::take_work`]).

use std::sync::Mutex;
use std::time::Duration;

use crate::lock;
use crate::pool::NodeLoad;

/// The time since some moment, by a clock that is never set.
pub type BusyClock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Counts the time of work.
pub(crate) struct Busy {
    clock: BusyClock,
    /// What was counted, and since when.
    counted: Mutex<(Duration, Duration)>,
}

impl Default for Busy {
    /// Work takes no time: of a simulated run, each seed is to make the same blocks each time.
    fn default() -> Self {
        Self::by(Box::new(|| Duration::ZERO))
    }
}

impl Busy {
    /// By this clock.
    pub(crate) fn by(clock: BusyClock) -> Self {
        let now = clock();
        Self { clock, counted: Mutex::new((Duration::ZERO, now)) }
    }

    /// Does some work, and counts its time.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = (self.clock)();
        let done = work();
        lock(&self.counted).0 += (self.clock)().saturating_sub(began);
        done
    }

    /// What was counted since this was asked last.
    pub(crate) fn take(&self) -> NodeLoad {
        let now = (self.clock)();
        let (busy, since) = std::mem::replace(&mut *lock(&self.counted), (Duration::ZERO, now));
        NodeLoad { busy, elapsed: now.saturating_sub(since) }
    }
}
