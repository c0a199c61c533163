//! Four members under load with delay, loss, a crash and a partition: all promises hold, for every seed.
//!
//! `PLEACH_SEED=7 cargo test -p pleach-sim --test sim cluster::every_seed_keeps_all_promises` replays one seed; `PLEACH_SEED=100 PLEACH_RUNS=100` runs others.

use std::sync::atomic::{AtomicU64, Ordering};

use pleach_sim::scenario::{Scenario, ScenarioReport};
use pleach_testkit::{replay, seeds};

/// Runs at a time: a run is one thread.
const THREADS: usize = 2;

fn run(seed: u64) -> ScenarioReport {
    Scenario::of_seed(seed).run()
}

/// The report of a seed that went well.
fn good(seed: u64) -> ScenarioReport {
    let _replay = replay(seed);
    let report = run(seed);
    println!("seed {seed}: {report}");
    assert!(report.faults().is_empty(), "seed {seed}: {report}");
    // A run in which little happens proves little.
    assert!(report.told.get("proven receipts").is_some_and(|n| *n >= 10), "seed {seed}: {report}");
    report
}

#[test]
fn every_seed_keeps_all_promises() {
    let seeds = seeds(0..21);
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
