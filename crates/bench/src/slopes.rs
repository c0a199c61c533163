//! Whether what nodes take grows without an end: memory, descriptors and disk of four nodes, first at rest, then under load.
//!
//! Of each a straight line is laid through the second half of a time (least squares): in the first half caches, windows and journals fill, which
//! have bounds of their own (`docs/disk-use.md`, `docs/window-memory.md`). What the slope comes to in an hour is printed beside the values
//! themselves, so that a file that grows in one step is not taken for one that grows for ever.

use std::path::Path;
use std::time::{Duration, Instant};

use pleach_testkit::folder::Folder;

use crate::attacks::honest::Honest;
use crate::nodes::{self, Nodes, Usage};

/// Clients that change a record each, one call after another.
const CLIENTS: u8 = 16;
/// Looks in each time, and the shortest time between two.
const LOOKS: u32 = 360;
const LOOK_EVERY_MIN: Duration = Duration::from_millis(250);
/// Looks of which one is told while the program runs.
const TOLD_EVERY: usize = 30;

/// A look at one node.
#[derive(Clone, Copy)]
struct Look {
    /// Seconds since the time began.
    at: f64,
    usage: Usage,
    blocks: u64,
}

/// A thing that is measured.
struct Kind {
    name: &'static str,
    of: fn(&Usage) -> u64,
    /// What one of the unit is in the numbers of [`Usage`].
    unit: f64,
    /// Digits behind the point.
    digits: usize,
}

const KINDS: [Kind; 4] = [
    Kind { name: "memory MB", of: |usage| usage.memory, unit: 1e6, digits: 1 },
    Kind { name: "descriptors", of: |usage| usage.descriptors, unit: 1.0, digits: 0 },
    Kind { name: "store MB", of: |usage| usage.store, unit: 1e6, digits: 1 },
    Kind { name: "journals MB", of: |usage| usage.journals, unit: 1e6, digits: 1 },
];

/// Measures for `time` at rest and for as long under load, and prints a table.
///
/// # Errors
/// If a cluster cannot be started or used, or a node ended.
pub async fn run(program: Option<&Path>, time: Duration) -> Result<(), String> {
    let program = nodes::program(program)?;
    let folder = Folder::new();
    let mut nodes = Nodes::start(&program, folder.path()).await?;
    println!("| | node | of | at first | half-time | at the end | most | each hour | each 1,000 blocks |");
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    rows("at rest", &watch(&nodes, "at rest", time).await?);
    let mut honest = Honest::start(&nodes.profile, CLIENTS).await?;
    honest.begin();
    rows("under load", &watch(&nodes, "under load", time).await?);
    let calls = honest.end().await;
    println!("\nunder load: {} calls done, failed: {:?}", calls.done(), calls.failed);
    match nodes.dead() {
        0 => Ok(()),
        dead => Err(format!("{dead} nodes have ended")),
    }
}

/// Looks at all nodes until the time is over.
async fn watch(nodes: &Nodes, name: &str, time: Duration) -> Result<Vec<Vec<Look>>, String> {
    let every = (time / LOOKS).max(LOOK_EVERY_MIN);
    let mut looks = vec![Vec::new(); nodes.count()];
    let began = Instant::now();
    for number in 0_usize.. {
        for (node, looks) in looks.iter_mut().enumerate() {
            let blocks = nodes.counters(node)?.get("pleach_blocks_total").copied().unwrap_or(0);
            // Each with the time of its own: to ask four nodes in turn takes a while, more so under load.
            let look = Look { at: began.elapsed().as_secs_f64(), usage: nodes.usage(node), blocks };
            if number.is_multiple_of(TOLD_EVERY) {
                let Usage { memory, descriptors, store, journals } = look.usage;
                let (node, at) = (node + 1, look.at);
                eprintln!(
                    "{name}, {at:.0} s, node {node}: memory {memory}, descriptors {descriptors}, store {store}, journals {journals}, blocks {blocks}"
                );
            }
            looks.push(look);
        }
        // Here and not above, so that the last look is of the whole time.
        if began.elapsed() >= time {
            break;
        }
        tokio::time::sleep(every).await;
    }
    Ok(looks)
}

fn rows(name: &str, looks: &[Vec<Look>]) {
    for (node, looks) in looks.iter().enumerate() {
        let half = &looks[looks.len() / 2..];
        let (Some(first), Some(middle), Some(last)) = (looks.first(), half.first(), half.last()) else { continue };
        for kind in &KINDS {
            let value = |look: &Look| (kind.of)(&look.usage) as f64 / kind.unit;
            let most = looks.iter().map(value).fold(0.0, f64::max);
            let points: Vec<_> = half.iter().map(|look| (look.at, value(look))).collect();
            let second = slope(&points);
            let blocks = last.blocks.saturating_sub(middle.blocks) as f64;
            // From the same line: the difference of two looks would be that of a moment, as where a file has just been cut. By blocks too, since a machine
            // that orders half as many has half the slope an hour.
            let each_block = second * (last.at - middle.at) / blocks.max(1.0);
            let digits = kind.digits;
            println!(
                "| {name} | {} | {} | {:.digits$} | {:.digits$} | {:.digits$} | {most:.digits$} | {:+.2} | {:+.3} |",
                node + 1,
                kind.name,
                value(first),
                value(middle),
                value(last),
                second * 3_600.0,
                each_block * 1e3,
            );
        }
        let blocks = [first, middle, last].map(|look| look.blocks);
        println!("| {name} | {} | blocks | {} | {} | {} | | | |", node + 1, blocks[0], blocks[1], blocks[2]);
    }
}

/// The slope of the straight line that is closest to these points, by the squares of the distances; 0 where there is none.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count.max(1.0);
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let along = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    let square = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    if square > 0.0 { along / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn the_slope_of_a_line_is_found_among_what_goes_up_and_down() {
        let zigzag = |at: u32| if at.is_multiple_of(2) { 5.0 } else { -5.0 };
        let points: Vec<_> = (0..1_000).map(|at| (f64::from(at), 7.0 + 0.25 * f64::from(at) + zigzag(at))).collect();
        assert!((slope(&points) - 0.25).abs() < 1e-3, "{}", slope(&points));
        assert_eq!(slope(&[(1.0, 2.0)]), 0.0);
        assert_eq!(slope(&[]), 0.0);
    }
}
