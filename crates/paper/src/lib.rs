//! The evaluation of the thesis (chapter 6, figures 6.1 to 6.5), run again on Pleach's own tree.
//!
//! [`run`] does the thesis's experiments with real history trees, proofs, checks and commits; the [`Evaluation`] that it
//! returns is a page with plots, tables and what they say, beside the thesis's own numbers. Nothing is measured in time:
//! all of it is bytes and counts, so the same seed gives the same files, byte for byte, on every machine.
//!
//! It is a crate of its own because the `pleach` program runs it, and nothing may depend on `crates/bench`: pure (no files, clock or
//! randomness; who calls it writes the files), with nothing but `pleach-tree` under it.
//!
//! ```
//! let report = pleach_paper::run_with(1, &pleach_paper::Settings::quick(), |_| ());
//! println!("{}", report.summary());
//! for (name, bytes) in report.files() {
//!     println!("{name}: {} bytes", bytes.len());
//! }
//! ```
//!
//! # Layout
//!
//! | module | what it does |
//! | --- | --- |
//! | `rng` | draws from the seed |
//! | `closest` | which node keeps which prefixes |
//! | `memory` | figures 6.1 to 6.3: the workload, node by node |
//! | `held`, `bytes` | what a tree holds, and how many bytes that is |
//! | `acceptance` | figures 6.4 and 6.5: the workload, and a naive map beside it |
//! | `occupancy` | their exact expectation |
//! | `thesis` | the thesis's numbers |
//! | `summary` | both beside each other, with a verdict |
//! | `words` | what each figure confirms, and where and why ours differs |
//! | `figures`, `plot` | the plots |
//! | `page`, `tables` | the report as HTML and CSV |
//! | `fixed` | numbers as text, without floats |

mod acceptance;
mod bytes;
mod closest;
mod figures;
mod fixed;
mod held;
mod memory;
mod occupancy;
mod page;
mod plot;
mod rng;
mod summary;
mod tables;
mod thesis;
mod words;

use std::collections::BTreeMap;

use crate::{
    acceptance::Acceptance,
    closest::Rule,
    memory::{Course, Experiment, Shares},
    thesis::{AcceptanceFigure, MemoryFigure},
};

pub use crate::{
    bytes::{tree_in_memory, window_in_memory},
    held::HeldNodes,
    summary::{Comparison, Summary, SummaryRow},
};

/// How much is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Draws of node identifiers, over which the average node's share is averaged again. The first one is drawn.
    pub draws: u64,
    /// Repetitions of the experiments on acceptance.
    pub repetitions: u64,
    /// The values of T for which acceptance is measured, ascending from 1. The largest should be 100 or more: its
    /// acceptance is taken for the plateau.
    pub heights: Vec<u64>,
}

impl Settings {
    /// The report as it is meant: some seconds.
    #[must_use]
    pub fn full() -> Self {
        Self { draws: 32, repetitions: 100, heights: std::iter::once(1).chain((5..=140).step_by(5)).collect() }
    }

    /// A report for tests: less than a second, and a wide spread.
    #[must_use]
    pub fn quick() -> Self {
        Self { draws: 3, repetitions: 4, heights: vec![1, 20, 40, 60, 80, 100, 120, 140] }
    }
}

/// Something that has been done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepDone {
    /// The number of the figure, like `6.1`.
    pub figure: &'static str,
    /// Parts of it that are done.
    pub done: u64,
    /// All its parts.
    pub of: u64,
}

/// A figure of memory, and the thesis's.
struct MemoryResult {
    experiment: Experiment,
    thesis: &'static MemoryFigure,
    course: Course,
    /// The average node's share of a full copy over all draws.
    shares: Shares,
    /// The same with the prototype's rule, where several nodes can keep a prefix.
    ties: Shares,
}

/// A figure of acceptance, and the thesis's.
struct AcceptanceResult {
    figure: &'static str,
    thesis: &'static AcceptanceFigure,
    measured: Acceptance,
}

/// What was found.
pub struct Evaluation {
    seed: u64,
    settings: Settings,
    /// Figures 6.1 to 6.3.
    memory: [MemoryResult; 3],
    /// Figure 6.3 once more with T = 4, which is what the thesis's drawing shows.
    longer: Course,
    /// Figures 6.4 and 6.5.
    acceptance: [AcceptanceResult; 2],
}

/// Runs everything as it is meant. The same seed gives the same report. `progress` is called after each step.
#[must_use]
pub fn run(seed: u64, progress: impl FnMut(StepDone)) -> Evaluation {
    run_with(seed, &Settings::full(), progress)
}

/// Runs as much as the settings say.
///
/// # Panics
///
/// If `settings` have no T, one of 0, or a disorder of them; or if trees, maps and proofs of the same records do not agree: an error in the tree, not
/// a result.
#[must_use]
pub fn run_with(seed: u64, settings: &Settings, mut progress: impl FnMut(StepDone)) -> Evaluation {
    assert!(!settings.heights.is_empty() && settings.heights.is_sorted(), "T in ascending order");
    let memory = [
        (memory::FIGURE_1, &thesis::FIGURE_1),
        (memory::FIGURE_2, &thesis::FIGURE_2),
        (memory::FIGURE_3, &thesis::FIGURE_3),
    ];
    let memory = memory.map(|(experiment, thesis)| {
        let step = |done| StepDone { figure: experiment.figure, done, of: 3 };
        let course = memory::run(&experiment, seed, 0, Rule::Closest, true);
        progress(step(1));
        let shares = memory::shares(&experiment, seed, settings.draws, Rule::Closest);
        progress(step(2));
        // The same draws, so that nothing but the rule differs.
        let ties = memory::shares(&experiment, seed, settings.draws, Rule::Ties);
        progress(step(3));
        MemoryResult { experiment, thesis, course, shares, ties }
    });
    // Figure 6.3 has T = 3 in its caption, and is drawn as with T = 4: both are run, to tell which it is.
    let longer = memory::run(&Experiment { heights: 4, ..memory::FIGURE_3 }, seed, 0, Rule::Closest, true);
    let acceptance = [("6.4", 100, &thesis::FIGURE_4), ("6.5", 1000, &thesis::FIGURE_5)];
    let acceptance = acceptance.map(|(figure, records, thesis)| {
        let of = settings.repetitions;
        let step = |done| progress(StepDone { figure, done, of });
        let measured = acceptance::run(records, &settings.heights, seed, settings.repetitions, step);
        AcceptanceResult { figure, thesis, measured }
    });
    Evaluation { seed, settings: settings.clone(), memory, longer, acceptance }
}

impl Evaluation {
    /// The thesis's numbers beside ours, for a terminal.
    #[must_use]
    pub fn summary(&self) -> Summary {
        summary::summary(self)
    }

    /// The files of the report by name: `report.html`, which needs no other file, and every plot and table by itself.
    #[must_use]
    pub fn files(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let plots = figures::plots(self).into_iter().map(|(name, plot)| (name, plot.svg()));
        let tables = tables::tables(self);
        let page = std::iter::once(("report.html", page::page(self)));
        plots.chain(tables).chain(page).map(|(name, text)| (name, text.into_bytes())).collect()
    }
}
