//! What is taken for time.
//!
//! On a machine that others use too, most of what passes on the wall may be theirs. The processor's time of this process is
//! not: but it hides what a library leaves to be waited for, and it adds up the threads of one that has several.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use cpu_time::ProcessTime;

/// What is taken for time.
#[derive(Clone, Copy, PartialEq, ValueEnum, Debug)]
pub enum Clock {
    /// What passes.
    Wall,
    /// What this process works, in all its threads.
    Cpu,
}

/// The clock in use, and what reading it twice costs.
static CHOSEN: OnceLock<(Clock, Duration)> = OnceLock::new();

/// Chooses the clock, once, before anything is measured.
pub fn choose(clock: Clock) {
    let cost = (0..1_000).map(|_| timed_by(clock, || ()).1).min().unwrap_or_default();
    let _ = CHOSEN.set((clock, cost));
}

/// What `work` gives, and how long it takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let (clock, cost) = CHOSEN.get().copied().unwrap_or((Clock::Wall, Duration::ZERO));
    let (result, time) = timed_by(clock, work);
    (result, time.saturating_sub(cost))
}

/// The same by another clock than the chosen one.
pub fn timed_by<T>(clock: Clock, work: impl FnOnce() -> T) -> (T, Duration) {
    match clock {
        Clock::Wall => {
            let start = Instant::now();
            let result = work();
            (result, start.elapsed())
        }
        Clock::Cpu => {
            let start = ProcessTime::now();
            let result = work();
            (result, start.elapsed())
        }
    }
}
