//! The thesis's numbers beside ours.

use std::fmt;

use crate::{
    AcceptanceResult, Evaluation, MemoryResult,
    acceptance::{Point, REQUESTS},
    bytes::Bytes,
    fixed::{decimals, deviation, grouped, kilobytes, mean, percent},
    memory::{Course, Sample},
    occupancy::Occupancy,
};

/// What a row says of the thesis's figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// Ours is the same, or the same within its spread.
    Same,
    /// Ours needs less.
    Less,
    /// Ours needs more.
    More,
    /// The thesis's own numbers do not agree with each other.
    Correction,
    /// Ours is another on purpose.
    Departure,
    /// The thesis has no such number.
    Added,
    /// What had to hold does not.
    Broken,
}

impl Comparison {
    /// One or two words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Less => "less",
            Self::More => "more",
            Self::Correction => "corrected",
            Self::Departure => "by design",
            Self::Added => "new",
            Self::Broken => "BROKEN",
        }
    }

    fn of(ours: u64, thesis: u64) -> Self {
        match ours.cmp(&thesis) {
            std::cmp::Ordering::Less => Self::Less,
            std::cmp::Ordering::Equal => Self::Same,
            std::cmp::Ordering::Greater => Self::More,
        }
    }
}

/// One comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SummaryRow {
    /// The number of the figure, like `6.1`.
    pub figure: &'static str,
    /// What is compared.
    pub what: String,
    /// What the thesis says.
    pub thesis: String,
    /// What was found here.
    pub ours: String,
    /// How the two compare.
    pub comparison: Comparison,
}

/// All comparisons. It is written as a table for a terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// In the order of the figures.
    pub rows: Vec<SummaryRow>,
}

impl Summary {
    /// Whether everything that had to hold does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.comparison != Comparison::Broken)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["figure", "what", "thesis", "ours", "verdict"];
        let cells = |row: &SummaryRow| {
            [
                row.figure.to_owned(),
                row.what.clone(),
                row.thesis.clone(),
                row.ours.clone(),
                row.comparison.name().to_owned(),
            ]
        };
        let rows: Vec<[String; 5]> =
            std::iter::once(heads.map(str::to_owned)).chain(self.rows.iter().map(cells)).collect();
        // In characters, as the padding below counts: `±` has two bytes.
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        for row in &rows {
            let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// All rows.
pub fn summary(report: &Evaluation) -> Summary {
    let [first, second, third] = &report.memory;
    let mut rows = Vec::new();
    for result in [first, second] {
        rows.extend(partitioned(result));
    }
    rows.extend(selective(third, &report.longer));
    rows.extend(report.acceptance.iter().flat_map(accepted));
    Summary { rows }
}

/// `12.2 kB of 35.7 kB (34.2 %)`.
fn share(course: &Course, count: impl Fn(&Sample) -> Bytes) -> String {
    let last = course.nodes.len();
    let (average, full) = (course.average(last, &count), count(&course.full[last - 1]).data);
    format!("{} of {} ({})", kilobytes(average), kilobytes(full), percent(course.share(&count)))
}

/// Makes the rows of a figure.
fn rows_of(figure: &'static str) -> impl Fn(&str, String, String, Comparison) -> SummaryRow {
    move |what, thesis, ours, comparison| SummaryRow { figure, what: what.to_owned(), thesis, ours, comparison }
}

/// Figures 6.1 and 6.2.
fn partitioned(result: &MemoryResult) -> Vec<SummaryRow> {
    let MemoryResult { experiment, thesis, course, shares, ties } = result;
    let row = rows_of(experiment.figure);
    let drop = forgotten_at(course);
    let overhead = |at: usize| course.nodes[at - 1].iter().map(|s| s.thesis.overhead).max().unwrap_or(0);
    let last = course.nodes.len();
    vec![
        row(
            "average node's data, of the full tree",
            format!("{} of 32 kB ({})", kilobytes(thesis.average), percent(thesis.share)),
            share(course, |sample| sample.thesis),
            Comparison::of(course.share(|sample| sample.thesis), thesis.share),
        ),
        row(
            "that share over all draws of identifiers",
            String::new(),
            format!("{} ({} to {})", percent(shares.mean), percent(shares.least), percent(shares.most)),
            // The worst draw against the one that the thesis shows: less is claimed of all of them.
            Comparison::of(shares.most, thesis.share),
        ),
        row(
            "with the prototype's rule, ties kept by all",
            percent(thesis.share),
            format!("{} ({} to {})", percent(ties.mean), percent(ties.least), percent(ties.most)),
            Comparison::Added,
        ),
        row("the same in memory, labels included", String::new(), share(course, |s| s.memory), Comparison::Added),
        row(
            "operation at which the rest is forgotten",
            "4".into(),
            name(drop),
            // No matter of more or less: the creation is operation 0, and a window of T heights forgets it with operation T.
            if drop == Some(experiment.heights) { Comparison::Same } else { Comparison::Broken },
        ),
        row(
            "overhead before that",
            kilobytes(thesis.overhead[0]),
            kilobytes(overhead(1)),
            Comparison::of(overhead(1), thesis.overhead[0]),
        ),
        row(
            "overhead after that",
            kilobytes(thesis.overhead[last - 1]),
            kilobytes(overhead(last)),
            Comparison::of(overhead(last), thesis.overhead[last - 1]),
        ),
    ]
}

/// Figure 6.3.
fn selective(result: &MemoryResult, longer: &Course) -> Vec<SummaryRow> {
    let MemoryResult { experiment, thesis, course, .. } = result;
    let row = rows_of(experiment.figure);
    // Operation 5 is the heavy one, of a record of the third node; both are counted from 0 here.
    let theirs = thesis.nodes.iter().enumerate().filter(|(node, _)| *node != 2).map(|(_, node)| node[4] - node[3]);
    let (theirs, owner) = (mean(theirs, 1), thesis.nodes[2][4] - thesis.nodes[2][3]);
    let (others, own) = rises(course);
    let ends = [name(heavy_forgotten_at(course)), name(heavy_forgotten_at(longer))];
    // T operations after the fifth, with T = 3 as in the caption, and with T = 4 as the thesis has it drawn.
    let as_it_should = [5 + experiment.heights, 9].map(|operation| operation.to_string());
    vec![
        row(
            "10 kB value at its owner",
            format!("+{}", kilobytes(owner)),
            format!("+{}", kilobytes(own)),
            Comparison::Same,
        ),
        row(
            "the same at each other node",
            format!("+{}", kilobytes(theirs)),
            format!("+{}", kilobytes(others)),
            Comparison::of(others, theirs),
        ),
        row(
            "operation at which the others forget it",
            "9 (T = 3 in the caption, 4 in the text)".into(),
            format!("{} with T = 3, {} with T = 4", ends[0], ends[1]),
            if ends == as_it_should { Comparison::Correction } else { Comparison::Broken },
        ),
    ]
}

/// Figures 6.4 and 6.5.
fn accepted(result: &AcceptanceResult) -> Vec<SummaryRow> {
    let AcceptanceResult { figure, thesis, measured } = result;
    let row = rows_of(figure);
    let exact = Occupancy::new(measured.records, REQUESTS);
    let plateau = measured.blocks.last();
    let close = plateau.is_some_and(|point| within(point, exact.expected(100)));
    let formula = 1000 - thesis.collisions;
    // The thesis's percent against its own formula, to a percent.
    let agrees = (thesis.plateau * 10).abs_diff(formula) < 10;
    let comparison = match (close, agrees) {
        (false, _) => Comparison::Broken,
        (true, true) => Comparison::Same,
        (true, false) => Comparison::Correction,
    };
    let mut rows = vec![row(
        "plateau",
        format!("{} % (its formula: {})", thesis.plateau, percent(formula)),
        format!("{} % (exact: {} %)", plateau.map_or_else(String::new, spread), decimals(exact.expected(100), 2)),
        comparison,
    )];
    for heights in [40, 80] {
        let at =
            |points: &[Point]| points.iter().find(|point| point.heights == heights).map(spread).unwrap_or_default();
        let theirs = thesis.accepted.iter().find(|(t, _)| *t == heights).map_or(0, |(_, accepted)| *accepted);
        rows.push(row(
            &format!("accepted with T = {heights}"),
            format!("{theirs} %"),
            format!("{} % (thesis's time: {} %)", at(&measured.blocks), at(&measured.thesis)),
            Comparison::Departure,
        ));
    }
    rows.push(row(
        "answers unlike those of the naive map",
        String::new(),
        format!("{} of {}", measured.disagreements, grouped(measured.answers)),
        if measured.disagreements == 0 { Comparison::Same } else { Comparison::Broken },
    ));
    rows
}

/// Mean and deviation.
fn spread(point: &Point) -> String {
    let mean = decimals(mean(point.accepted.iter().copied(), 10), 1);
    format!("{mean} ± {}", decimals(deviation(&point.accepted, 10), 1))
}

/// No figure's number of accepted operations has a larger deviation from run to run: it is 3.1 with 100 records, 2.1
/// with 1,000. In hundredths.
const DEVIATION_MAX: u64 = 320;

/// Whether the mean is within five standard errors of the expectation (in hundredths), so that a wrong one is noticed
/// and no seed is unlucky.
fn within(point: &Point, expected: u64) -> bool {
    let mean = mean(point.accepted.iter().copied(), 100);
    mean.abs_diff(expected).pow(2) * point.accepted.len() as u64 <= (5 * DEVIATION_MAX).pow(2)
}

fn name(operation: Option<u64>) -> String {
    operation.map_or_else(|| "never".to_owned(), |operation| operation.to_string())
}

/// The first operation after which the average node holds less than half of what it held before.
fn forgotten_at(course: &Course) -> Option<u64> {
    let average = |at: usize| course.average(at, |sample| sample.thesis);
    (2..=course.nodes.len()).find(|at| average(*at) * 2 < average(at - 1)).map(|at| at as u64)
}

/// By how much the data of the other nodes, on average, and of the heavy record's owner rises at operation 5.
pub fn rises(course: &Course) -> (u64, u64) {
    let rise = |node: usize| course.nodes[4][node].thesis.data.saturating_sub(course.nodes[3][node].thesis.data);
    let owner = course.heavy_node.unwrap_or(0);
    let others = (0..course.nodes[4].len()).filter(|node| *node != owner).map(rise);
    (mean(others, 1), rise(owner))
}

/// The first operation after the fifth at which the other nodes hold less than before.
pub fn heavy_forgotten_at(course: &Course) -> Option<u64> {
    let owner = course.heavy_node.unwrap_or(0);
    let others = |at: usize| {
        let samples = course.nodes[at - 1].iter().enumerate().filter(|(node, _)| *node != owner);
        samples.map(|(_, sample)| sample.thesis.data).sum::<u64>()
    };
    (6..=course.nodes.len()).find(|at| others(*at) < others(at - 1)).map(|at| at as u64)
}
