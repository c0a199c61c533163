//! What tests and measurements of all crates share. No product depends on it.
//!
//! | module | feature | what is in it |
//! | --- | --- | --- |
//! | here | | seeds, and the line that replays one |
//! | [`folder`], [`ports`] | | temporary folders, and ports that nobody uses |
//! | [`http`] | | questions to a port |
//! | [`bank`], [`tour`] | | calls of operations, and what has to come of each |
//! | `members` | `members` | the members of a cluster, and their keys |
//! | `nodes` | `nodes` | clusters of real nodes in this process |
//! | `load` | `load` | the ordering engine alone under load |
//!
//! Features are there so that the tests of a crate build nothing that stands above it.
//!
//! A test that draws at random takes its seeds from [`seeds`] or [`seed`] and holds a [`replay`] while it runs with one. Then one variable,
//! `PLEACH_SEED`, replays whatever failed, and the line that does it is printed:
//!
//! ```
//! use pleach_testkit::{replay, seeds};
//!
//! for seed in seeds(0..4) {
//!     let _replay = replay(seed);
//!     let doubled = seed.wrapping_mul(2); // what is tested
//!     assert_eq!(doubled % 2, 0);
//! }
//! ```

pub mod bank;
pub mod folder;
pub mod http;
pub mod linear;
#[cfg(feature = "load")]
pub mod load;
#[cfg(feature = "members")]
pub mod members;
#[cfg(feature = "nodes")]
pub mod nodes;
pub mod ports;
pub mod tour;

use std::ops::Range;

/// The variable that says with which seed a test runs, alone or as the first of `PLEACH_RUNS`.
const SEED: &str = "PLEACH_SEED";
/// The variable that says with how many seeds a test runs.
const RUNS: &str = "PLEACH_RUNS";

/// The seeds to run with: `usual`, unless the environment asks for others. `PLEACH_SEED` alone is that one; with `PLEACH_RUNS` as many follow
/// from there on; `PLEACH_RUNS` alone is as many from the first usual one on.
///
/// # Panics
/// If a variable is not a number, or the seeds go beyond the largest one.
#[must_use]
pub fn seeds(usual: Range<u64>) -> Range<u64> {
    chosen(usual, number(SEED), number(RUNS))
}

/// The seed of a test that runs once: `usual`, unless `PLEACH_SEED` is another.
///
/// # Panics
/// If the variable is not a number.
#[must_use]
pub fn seed(usual: u64) -> u64 {
    number(SEED).unwrap_or(usual)
}

/// How often a test that runs once does what it does: `usual` times, unless `PLEACH_RUNS` is another number.
///
/// # Panics
/// If the variable is not a number, or does not fit.
#[must_use]
pub fn runs(usual: usize) -> usize {
    number(RUNS).map_or(usual, |runs| usize::try_from(runs).expect("a number of runs"))
}

/// Whether tests run with their usual seeds. What all of them together have to reach is demanded of those alone.
#[must_use]
pub fn usual() -> bool {
    [SEED, RUNS].iter().all(|variable| std::env::var_os(variable).is_none())
}

fn chosen(usual: Range<u64>, seed: Option<u64>, runs: Option<u64>) -> Range<u64> {
    let first = seed.unwrap_or(usual.start);
    let count = runs.unwrap_or(if seed.is_some() { 1 } else { usual.end.saturating_sub(usual.start) });
    let last = first.checked_add(count);
    first..last.unwrap_or_else(|| panic!("{SEED}={first} with {count} runs goes beyond the largest seed, {}", u64::MAX))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}={text:?} is not a number: {e}")))
}

/// Prints the line that runs a test again with one seed, if it panics while it holds this.
#[derive(Debug)]
#[must_use = "it prints when it is dropped by a panic: hold it while the test runs"]
pub struct Replay {
    line: String,
}

/// Names the test that runs on this thread, for the seed that it runs with now. On a thread that the test has made itself, the
/// line runs all tests of the program, since the thread does not know which one it belongs to.
pub fn replay(seed: u64) -> Replay {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let thread = std::thread::current();
    Replay { line: line(seed, &package, &program.unwrap_or_default(), thread.name().unwrap_or_default()) }
}

impl Replay {
    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to replay: {}", self.line);
        }
    }
}

/// `program` is the name of the test program, which cargo makes of that of the file and a hash.
fn line(seed: u64, package: &str, program: &str, test: &str) -> String {
    let file = program.rsplit_once('-').map_or(program, |(file, _)| file);
    // The tests within a crate's source are in a program of the crate's own name.
    let target = if file == package.replace('-', "_") { "--lib".to_owned() } else { format!("--test {file}") };
    // Threads are named after their test, but not those of tests that run one after the other.
    let test = if test == "main" { "" } else { test };
    format!("{SEED}={seed} cargo test -p {package} {target} {test}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{chosen, line, replay};

    #[test]
    fn the_variables_choose_one_seed_or_many() {
        assert_eq!(chosen(3..7, None, None), 3..7);
        assert_eq!(chosen(3..7, Some(90), None), 90..91);
        assert_eq!(chosen(3..7, None, Some(100)), 3..103);
        assert_eq!(chosen(3..7, Some(90), Some(10)), 90..100);
        assert_eq!(chosen(3..7, Some(u64::MAX - 1), None), u64::MAX - 1..u64::MAX);
    }

    #[test]
    #[should_panic(expected = "goes beyond the largest seed")]
    fn seeds_beyond_the_largest_are_refused() {
        let _ = chosen(3..7, Some(u64::MAX), Some(2));
    }

    #[test]
    fn the_line_names_package_file_and_test() {
        let whole = line(7, "pleach-sim", "cluster-0123456789abcdef", "twenty_seeds");
        assert_eq!(whole, "PLEACH_SEED=7 cargo test -p pleach-sim --test cluster twenty_seeds");
        assert_eq!(line(7, "pleach-sim", "pleach_sim-0123", "main"), "PLEACH_SEED=7 cargo test -p pleach-sim --lib");
        let own = replay(3);
        assert!(own.line().starts_with("PLEACH_SEED=3 cargo test -p pleach-testkit --lib "), "{}", own.line());
        let test = std::thread::current().name().map(str::to_owned).filter(|name| name != "main");
        assert!(test.is_none_or(|name| own.line().ends_with(&name)), "{}", own.line());
    }
}
