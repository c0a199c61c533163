//! The figures as CSV.

use std::fmt::Write as _;

use crate::{
    AcceptanceResult, Evaluation, MemoryResult,
    acceptance::Point,
    fixed::{decimals, deviation, mean},
    summary::Summary,
};

/// All tables with the names of their files.
pub fn tables(report: &Evaluation) -> Vec<(&'static str, String)> {
    let [first, second, third] = &report.memory;
    let [fourth, fifth] = &report.acceptance;
    vec![
        ("figure-6.1.csv", memory(first)),
        ("figure-6.2.csv", memory(second)),
        ("figure-6.3.csv", memory(third)),
        ("figure-6.4.csv", acceptance(fourth)),
        ("figure-6.5.csv", acceptance(fifth)),
        ("summary.csv", summary(&report.summary())),
    ]
}

fn memory(result: &MemoryResult) -> String {
    let mut csv = String::from(
        "operation,node,data_bytes,overhead_bytes,data_bytes_in_memory,overhead_bytes_in_memory,thesis_data_bytes,thesis_overhead_bytes\n",
    );
    let course = &result.course;
    for (at, (samples, full)) in course.nodes.iter().zip(&course.full).enumerate() {
        let names = (1..=samples.len()).map(|node| node.to_string()).chain(["all".to_owned()]);
        for (node, (name, sample)) in names.zip(samples.iter().chain([full])).enumerate() {
            let (count, memory) = (sample.thesis, sample.memory);
            // Empty where the thesis draws nothing: for a node that keeps all. It has one line of overhead, which stands at each of the others.
            let data = result.thesis.nodes.get(node).and_then(|node| node.get(at)).map(u64::to_string);
            let overhead = data.as_ref().and_then(|_| result.thesis.overhead.get(at)).map(u64::to_string);
            let _ = writeln!(
                csv,
                "{},{name},{},{},{},{},{},{}",
                at + 1,
                count.data,
                count.overhead,
                memory.data,
                memory.overhead,
                data.unwrap_or_default(),
                overhead.unwrap_or_default()
            );
        }
    }
    csv
}

fn acceptance(result: &AcceptanceResult) -> String {
    let mut csv = String::from(
        "t,height_is,runs,mean_percent,deviation_percent,least_percent,most_percent,expected_percent,thesis_percent\n",
    );
    let measured = &result.measured;
    let points = [("block_for_each_operation", &measured.blocks), ("accepted_operation", &measured.thesis)];
    for (time, point) in points.into_iter().flat_map(|(time, points)| points.iter().map(move |point| (time, point))) {
        let Point { heights, accepted, expected } = point;
        // It has one clock and fewer T than are measured here: its number stands at both clocks, and its cell is empty for the other T.
        let thesis =
            result.thesis.accepted.iter().find(|(t, _)| t == heights).map(|(_, accepted)| accepted.to_string());
        let _ = writeln!(
            csv,
            "{heights},{time},{},{},{},{},{},{},{}",
            accepted.len(),
            decimals(mean(accepted.iter().copied(), 100), 2),
            decimals(deviation(accepted, 100), 2),
            accepted.iter().min().unwrap_or(&0),
            accepted.iter().max().unwrap_or(&0),
            decimals(*expected, 2),
            thesis.unwrap_or_default()
        );
    }
    csv
}

fn summary(summary: &Summary) -> String {
    let mut csv = String::from("figure,what,thesis,ours,verdict\n");
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    for row in &summary.rows {
        let cells = [row.figure, &row.what, &row.thesis, &row.ours, row.comparison.name()].map(quoted);
        let _ = writeln!(csv, "{}", cells.join(","));
    }
    csv
}
