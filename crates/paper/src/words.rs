//! What each figure confirms, and where and why ours differs, with the numbers of the report at hand.

use crate::{
    AcceptanceResult, Evaluation, MemoryResult,
    acceptance::{Point, REQUESTS},
    fixed::{decimals, grouped, kilobytes, mean, percent},
    memory::{Course, HEAVY_BYTES},
    occupancy::Occupancy,
    summary::{heavy_forgotten_at, rises},
};

/// The words to one figure.
pub struct Words {
    /// One sentence.
    pub confirms: String,
    /// One paragraph.
    pub differs: String,
}

/// The words to all figures, in their order.
pub fn words(report: &Evaluation) -> Vec<Words> {
    let [first, second, third] = &report.memory;
    let [fourth, fifth] = &report.acceptance;
    vec![
        three_nodes(first),
        five_nodes(second, first),
        heavy(third, &report.longer),
        collisions(fourth),
        few_collisions(fifth),
    ]
}

fn largest(course: &Course, operation: usize) -> u64 {
    course.nodes[operation - 1].iter().map(|sample| sample.thesis.data).max().unwrap_or(0)
}

fn three_nodes(result: &MemoryResult) -> Words {
    let MemoryResult { experiment, thesis, course, shares, ties } = result;
    let last = course.nodes.len();
    let full = course.full[last - 1].thesis.data;
    let overhead = |at: usize| course.nodes[at - 1].iter().map(|s| s.thesis.overhead).max().unwrap_or(0);
    // Numbers that stand in the words themselves follow from the rules, whatever the seed. 1.4 copies: so many of three random identifiers share, on
    // average, as many bits with a path as any of them, 3 (1 - 2/3 + 1/7). 45 bytes: with them a record of one's own, 20 and key and value, is as
    // large as a foreign one, 68.
    Words {
        confirms: format!(
            "A node holds what it has not written for T operations only if it is its own: with operation {} the average \
             node falls to {} of a full copy, a third and the labels beside it.",
            experiment.heights,
            percent(course.share(|sample| sample.thesis)),
        ),
        differs: format!(
            "After operation {}: the thesis's average node has {} of a full tree, ours {} ({} to {} over all draws of \
             identifiers). One copy of everything on three nodes is 33.3 %; what ours has beyond that is the stubs at the \
             borders of its prefixes, and the path of record 0. Most of the thesis's excess is its rule of closeness. Its \
             text says that every prefix is covered by exactly one node, but its public prototype compares how many \
             leading bits node and record share, and where several nodes share as many, all of them keep the record: 1.4 \
             copies in expectation. With that rule our tree has {} on average, between {} and {} from draw to draw, and \
             the thesis's figure is in that range. Before it: every one of our nodes has more than the {} of a full copy, \
             up to {}, because a foreign record is held as path and digest (64 bytes) and not as key and value, and the \
             values here have four bytes; with values of 45 bytes and more it is less. The full tree has {} in place of \
             32.4 kB, three of them because the prototype's own experiment writes values of one byte. Overhead: ours is \
             {} while the created records are in the window and {} after, the thesis's {} and {}; ours lists paths of 32 \
             bytes, the thesis pointers.",
            experiment.heights,
            percent(thesis.share),
            percent(course.share(|sample| sample.thesis)),
            percent(shares.least),
            percent(shares.most),
            percent(ties.mean),
            percent(ties.least),
            percent(ties.most),
            kilobytes(full),
            kilobytes(largest(course, 1)),
            kilobytes(full),
            kilobytes(overhead(1)),
            kilobytes(overhead(last)),
            kilobytes(thesis.overhead[0]),
            kilobytes(thesis.overhead[last - 1]),
        ),
    }
}

fn five_nodes(result: &MemoryResult, three: &MemoryResult) -> Words {
    let share = |result: &MemoryResult| percent(result.course.share(|sample| sample.thesis));
    let last = result.course.nodes.len();
    // After the last operation: as long as the creation is in the window, all nodes hold everything.
    let data: Vec<u64> = result.course.nodes[last - 1].iter().map(|sample| sample.thesis.data).collect();
    let (least, most) = (data.iter().min().unwrap_or(&0), data.iter().max().unwrap_or(&0));
    Words {
        confirms: format!(
            "Storage scales with the number of nodes: with five in place of three the average node falls from {} to {} \
             of a full copy.",
            share(three),
            share(result)
        ),
        differs: format!(
            "As in figure 6.1, and for the same reasons: {} in the thesis, {} here, where one copy on five nodes is 20 \
             %, and {} ({} to {}) with the prototype's rule. The nodes differ because their identifiers are random: they \
             keep {} to {} here, 8 kB to 15 kB in the thesis. The more nodes, the larger a part is what is no record: \
             borders, and the path of record 0.",
            percent(result.thesis.share),
            share(result),
            percent(result.ties.mean),
            percent(result.ties.least),
            percent(result.ties.most),
            kilobytes(*least),
            kilobytes(*most),
        ),
    }
}

fn heavy(result: &MemoryResult, longer: &Course) -> Words {
    let (others, own) = rises(&result.course);
    let node = result.course.heavy_node.unwrap_or(0) + 1;
    let end = |course: &Course| heavy_forgotten_at(course).map_or_else(|| "never".into(), |at| at.to_string());
    let value = grouped(HEAVY_BYTES as u64);
    Words {
        confirms: format!(
            "A heavy operation costs the owner of its record what it writes (+{} at node {node}) and all others nothing \
             that lasts: they are back where they were T operations later.",
            kilobytes(own)
        ),
        differs: format!(
            "In the thesis every node holds the {value} bytes for T operations. Here only the owner holds values, and the \
             others a digest and the path to it: +{} on average, whatever the value's size (the ordered block holds the \
             value until the owners are durable; it is in the log of every node, which neither count includes). The \
             others forget with operation {} here. In the thesis they do with operation 9, which is five and T = 4, as \
             its text says, and not T = 3, as its caption does; with T = 4 ours forget with operation {} too. The first \
             fall tells the same: it is at operation 4 in the thesis's figure 6.3 as in its figure 6.1, which has T = 4 \
             in text and caption.",
            kilobytes(others),
            end(&result.course),
            end(longer),
        ),
    }
}

fn at(points: &[Point], heights: u64) -> Option<&Point> {
    points.iter().find(|point| point.heights == heights)
}

fn measured(point: Option<&Point>) -> String {
    point.map_or_else(String::new, |point| format!("{} %", decimals(mean(point.accepted.iter().copied(), 10), 1)))
}

/// Why two curves are not one: T counts blocks.
fn clocks(result: &AcceptanceResult) -> String {
    format!(
        "Below the plateau the two clocks differ. With the thesis's, which counts accepted operations, exactly T are \
         accepted (40 with T = 40: {} measured). With a block for each operation, rejected ones let time pass too, and \
         the first T operations are all that can be accepted: {} with T = 40. This is the price of a window that one \
         fast client cannot flush, and real blocks hold many operations: were the {REQUESTS} in one block, T = 1 would \
         reach the plateau.",
        measured(at(&result.measured.thesis, 40)),
        measured(at(&result.measured.blocks, 40)),
    )
}

fn collisions(result: &AcceptanceResult) -> Words {
    let exact = Occupancy::new(result.measured.records, REQUESTS).expected(100);
    Words {
        confirms: format!(
            "T caps how many concurrent operations are accepted until collisions do: the plateau is {}, the exact \
             expectation {} %, the thesis's 63 %.",
            measured(result.measured.blocks.last()),
            decimals(exact, 2)
        ),
        differs: format!(
            "The plateau does not differ: of n records, k random picks find n (1 - (1 - 1/n)^k) different ones, {} for n \
             = k = 100, which is 100 less the thesis's 36.6 collisions. Its bars (60, 64, 60, 67, 63) are single runs and \
             lie around it. {} The thesis's bar at T = 0 has one accepted operation; it is drawn here at T = 1, since a \
             window of no heights accepts nothing.",
            decimals(exact, 2),
            clocks(result)
        ),
    }
}

fn few_collisions(result: &AcceptanceResult) -> Words {
    let occupancy = Occupancy::new(result.measured.records, REQUESTS);
    let exact = decimals(occupancy.expected(100), 2);
    Words {
        confirms: format!(
            "With ten times the records collisions all but vanish, and T decides: the plateau is {}, the exact expectation \
             {exact} %.",
            measured(result.measured.blocks.last()),
        ),
        differs: format!(
            "The thesis says 97 % and sets it equal to (100 - 4.8)/100, which is 95.2 %. The formula is right: n (1 - (1 - \
             1/n)^k) is {exact} for n = 1,000 and k = 100. The 97 is the bar of one run, at T = 140, beside two of 96, and \
             no rare one: {} % of all runs accept 97 or more. {}",
            decimals(occupancy.probability_from(97, 1000), 1),
            clocks(result)
        ),
    }
}
