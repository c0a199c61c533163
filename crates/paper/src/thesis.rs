//! What the thesis found: its text, and what its figures draw.
//!
//! The points of figures 6.1 to 6.3 are read off the lines of the drawings, which have no numbers at them, and are good
//! to about 10 bytes. Figures 6.4 and 6.5 print their numbers.

/// A figure of memory: bytes after operations 1, 2 and so on.
pub struct MemoryFigure {
    /// Data of each node.
    pub nodes: &'static [&'static [u64]],
    /// "Overhead - All".
    pub overhead: &'static [u64],
    /// The average after the drop, in bytes, as the text says.
    pub average: u64,
    /// That as a share of the 32 KB of the whole tree, in tenths of a percent.
    pub share: u64,
}

/// Figure 6.1.
pub const FIGURE_1: MemoryFigure = MemoryFigure {
    nodes: &[
        &[32_372, 32_372, 32_372, 11_784, 12_355, 12_355, 12_355],
        &[32_372, 32_372, 32_372, 19_240, 19_447, 19_447, 19_447],
        &[32_372, 32_372, 32_372, 21_057, 21_057, 21_057, 21_057],
    ],
    overhead: &[19_351, 19_399, 19_477, 574, 574, 574, 574],
    average: 17_600,
    share: 550,
};

/// Figure 6.2.
pub const FIGURE_2: MemoryFigure = MemoryFigure {
    nodes: &[
        &[32_372, 32_372, 32_372, 14_848, 14_848, 14_848, 14_848],
        &[32_372, 32_372, 32_372, 8855, 9062, 9062, 9062],
        &[32_372, 32_372, 32_372, 8222, 8513, 8513, 8513],
        &[32_372, 32_372, 32_372, 13_717, 14_330, 14_330, 14_330],
        &[32_372, 32_372, 32_372, 11_529, 11_820, 11_820, 11_820],
    ],
    overhead: &[19_415, 19_463, 19_511, 638, 638, 638, 638],
    average: 11_700,
    share: 370,
};

/// Figure 6.3. The third node has the heavy record.
pub const FIGURE_3: MemoryFigure = MemoryFigure {
    nodes: &[
        &[32_372, 32_372, 32_372, 2587, 13_367, 13_479, 13_479, 13_146, 3242],
        &[32_372, 32_372, 32_372, 8402, 19_140, 19_252, 19_252, 18_919, 9015],
        &[32_372, 32_372, 32_372, 19_967, 29_966, 29_966, 29_966, 29_966, 29_966],
        &[32_372, 32_372, 32_372, 4902, 15_682, 15_794, 15_794, 15_461, 5557],
        &[32_372, 32_372, 32_372, 7919, 18_657, 18_769, 18_769, 18_436, 8532],
    ],
    overhead: &[19_415, 19_463, 19_511, 638, 647, 647, 647, 647, 638],
    average: 0,
    share: 0,
};

impl MemoryFigure {
    /// The average of the nodes after each operation.
    pub fn averages(&self) -> Vec<u64> {
        let operations = self.nodes.first().map_or(0, |node| node.len());
        (0..operations).map(|at| crate::fixed::mean(self.nodes.iter().map(|node| node[at]), 1)).collect()
    }
}

/// A figure of acceptance: of 100 operations, one run for each T.
pub struct AcceptanceFigure {
    /// T and accepted operations. The first T is 0 in the figure; with it nothing could be accepted, and one was.
    pub accepted: &'static [(u64, u64)],
    /// The plateau of the text, in percent.
    pub plateau: u64,
    /// The text's expected number of collisions, in tenths.
    pub collisions: u64,
}

/// Figure 6.4: 100 records.
pub const FIGURE_4: AcceptanceFigure = AcceptanceFigure {
    accepted: &[(1, 1), (20, 20), (40, 40), (60, 60), (80, 64), (100, 60), (120, 67), (140, 63)],
    plateau: 63,
    collisions: 366,
};

/// Figure 6.5: 1,000 records.
pub const FIGURE_5: AcceptanceFigure = AcceptanceFigure {
    accepted: &[(1, 1), (20, 20), (40, 40), (60, 60), (80, 80), (100, 96), (120, 96), (140, 97)],
    plateau: 97,
    collisions: 48,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read off the drawings is what the text says in words.
    #[test]
    fn the_points_average_to_what_the_text_says() {
        for figure in [FIGURE_1, FIGURE_2] {
            let last = *figure.averages().last().expect("operations");
            assert!(last.abs_diff(figure.average) < 50, "{last}");
        }
    }
}
