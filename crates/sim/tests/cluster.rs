//! Four members under load with delay, loss, a crash and a partition: all promises hold, for every seed.
//!
//! `PLEACH_SIM_SEED=7 cargo test -p pleach-sim --test cluster one_seed -- --nocapture` replays one seed.
//! `PLEACH_SIM_SEEDS=100..200` in the environment makes `twenty_seeds` run those instead.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use pleach_sim::scenario::{Report, Scenario};

/// Runs at a time: a run is one thread.
const THREADS: usize = 2;

fn replay(seed: u64) -> String {
    format!("PLEACH_SIM_SEED={seed} cargo test -p pleach-sim --test cluster one_seed -- --nocapture")
}

fn run(seed: u64) -> Report {
    let scenario = Scenario::of_seed(seed);
    match std::panic::catch_unwind(|| scenario.run()) {
        Ok(report) => report,
        // A panic inside the run (a node that cannot go on, a stall) must not hide which seed it was.
        Err(panic) => {
            println!("seed {seed} panicked\n{}", replay(seed));
            std::panic::resume_unwind(panic)
        }
    }
}

/// The report of a seed that went well.
fn good(seed: u64) -> Report {
    let report = run(seed);
    println!("seed {seed}: {report}");
    assert!(report.faults().is_empty(), "seed {seed}: {report}\n{}", replay(seed));
    // A run in which little happens proves little.
    assert!(report.told.get("proven receipts").is_some_and(|n| *n >= 10), "seed {seed}: {report}\n{}", replay(seed));
    report
}

fn seeds() -> Range<u64> {
    let Ok(named) = std::env::var("PLEACH_SIM_SEEDS") else { return 1..21 };
    let (from, to) = named.split_once("..").expect("PLEACH_SIM_SEEDS is of the form 100..200");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn one_seed() {
    good(std::env::var("PLEACH_SIM_SEED").map_or(0, |seed| seed.parse().expect("PLEACH_SIM_SEED is a number")));
}

#[test]
fn twenty_seeds() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    good(seed);
                }
            });
        }
    });
}

#[test]
fn a_seed_twice_is_the_same_run_twice() {
    // One of each kind: with all records everywhere, and with two copies.
    let [seven, eight] = [7, 8].map(|seed| {
        let reports = std::thread::scope(|scope| {
            let runs = [scope.spawn(move || good(seed)), scope.spawn(move || good(seed))];
            runs.map(|run| run.join().expect("the run is good"))
        });
        let [one, two] = reports;
        assert_eq!(one.trace, two.trace, "seed {seed}");
        assert_eq!(one.told, two.told, "seed {seed}");
        assert_eq!(one.simulated, two.simulated, "seed {seed}");
        one
    });
    assert_ne!(seven.trace, eight.trace, "seeds differ");
}
