//! The figures of the report, as plots.

use crate::{
    AcceptanceResult, Evaluation, MemoryResult,
    acceptance::Point,
    bytes::Bytes,
    fixed::{decimals, deviation, grouped, mean},
    memory::{Course, Experiment, Sample},
    occupancy::Occupancy,
    plot::{Axis, FAINT, INK, NODE_COLOURS, Plot, Series, Style, THESIS},
};

/// All plots with the names of their files, in the order of the report.
pub fn plots(report: &Evaluation) -> Vec<(&'static str, Plot)> {
    let [first, second, third] = &report.memory;
    let [fourth, fifth] = &report.acceptance;
    vec![
        ("figure-6.1.svg", thesis_count(first)),
        ("figure-6.1-memory.svg", in_memory(first)),
        ("figure-6.2.svg", thesis_count(second)),
        ("figure-6.2-memory.svg", in_memory(second)),
        ("figure-6.3.svg", thesis_count(third)),
        ("figure-6.3-memory.svg", in_memory(third)),
        ("figure-6.4.svg", acceptance(fourth)),
        ("figure-6.5.svg", acceptance(fifth)),
    ]
}

/// Points at 1, 2 and so on.
fn numbered(values: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    (1..).zip(values).collect()
}

/// Data of every node, of a full copy, and the largest overhead, in one count.
fn courses(course: &Course, count: impl Fn(&Sample) -> Bytes) -> Vec<Series> {
    let nodes = course.nodes.first().map_or(0, Vec::len);
    let mut series: Vec<Series> = (0..nodes)
        .map(|node| {
            let data = course.nodes.iter().map(|samples| count(&samples[node]).data);
            let colour = node % NODE_COLOURS;
            Series::new(format!("data, node {}", node + 1), colour, Style::Marked, numbered(data))
        })
        .collect();
    let overhead = course.nodes.iter().map(|samples| samples.iter().map(|s| count(s).overhead).max().unwrap_or(0));
    series.push(Series::new("overhead, largest of a node", INK, Style::Marked, numbered(overhead)));
    let full = course.full.iter().map(|sample| count(sample).data);
    series.push(Series::new("data, a node that keeps all", INK, Style::Dashed, numbered(full)));
    series
}

fn plot(result: &MemoryResult, title: String, series: Vec<Series>) -> Plot {
    let most = series.iter().flat_map(|series| &series.points).map(|(_, bytes)| *bytes).max().unwrap_or(0);
    Plot {
        title,
        x: Axis {
            label: "operations after the 1,000 records were created".into(),
            end: result.experiment.operations,
            unit: 1,
        },
        y: Axis::up_to("kB (1,000 bytes) at one node", most, 1000),
        series,
    }
}

fn title(result: &MemoryResult, count: &str) -> String {
    let Experiment { figure, nodes, heights, .. } = &result.experiment;
    format!("{figure}  Memory per node, N = {nodes}, T = {heights}, {count}")
}

fn thesis_count(result: &MemoryResult) -> Plot {
    let mut series = courses(&result.course, |sample| sample.thesis);
    let averages = numbered(result.thesis.averages());
    series.push(Series::new("thesis: data, average of the nodes", THESIS, Style::Marked, averages));
    plot(result, title(result, "in the thesis's count"), series)
}

fn in_memory(result: &MemoryResult) -> Plot {
    plot(result, title(result, "in memory"), courses(&result.course, |sample| sample.memory))
}

/// One percent: shares are in hundredths of a percent.
const PERCENT: u64 = 100;

fn acceptance(result: &AcceptanceResult) -> Plot {
    let measured = |name: &str, colour, points: &[Point]| Series {
        spread: points.iter().map(|point| deviation(&point.accepted, PERCENT)).collect(),
        ..Series::new(
            name,
            colour,
            Style::Marks,
            points.iter().map(|point| (point.heights, mean(point.accepted.iter().copied(), PERCENT))).collect(),
        )
    };
    let expected = |name: &str, colour, points: &[Point]| {
        Series::new(name, colour, Style::Line, points.iter().map(|point| (point.heights, point.expected)).collect())
    };
    let (blocks, accepted) = (&result.measured.blocks, &result.measured.thesis);
    let records = result.measured.records;
    let plateau = Occupancy::new(records, crate::acceptance::REQUESTS).expected(PERCENT);
    // The axis reaches as far as the thesis's own, also where less was measured.
    let theirs = result.thesis.accepted.iter().map(|(heights, _)| *heights);
    let end = blocks.iter().map(|point| point.heights).chain(theirs).max().unwrap_or(1);
    let thesis = result.thesis.accepted.iter().map(|(heights, accepted)| (*heights, accepted * PERCENT));
    let series = vec![
        Series::new("thesis, one run for each T", THESIS, Style::Marks, thesis.collect()),
        measured("a block for each operation: measured, mean ± deviation", 1, blocks),
        expected("exact expectation", 1, blocks),
        measured("the thesis's time, T accepted operations: measured", 0, accepted),
        expected("exact expectation", 0, accepted),
        Series::new(
            format!("exact plateau, {} %", decimals(plateau, 2)),
            FAINT,
            Style::Dashed,
            vec![(0, plateau), (end, plateau)],
        ),
    ];
    Plot {
        title: format!("{}  Acceptance of 100 concurrent operations on {} records", result.figure, grouped(records)),
        x: Axis { label: "T, the heights that are remembered".into(), end, unit: 1 },
        y: Axis { label: "accepted, %".into(), end: 100 * PERCENT, unit: PERCENT },
        series,
    }
}
