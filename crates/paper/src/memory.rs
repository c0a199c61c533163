//! Figures 6.1 to 6.3: memory per node over operations.
//!
//! The workload is the thesis's (6.2.1). An operation creates 1,000 records, named by the numbers 0 to 999, each with a
//! 32-bit integer; it is number 0, and all nodes hold all of it for T operations. Every following one changes record 0,
//! except that in figure 6.3 the fifth sets a record of node 3 to 10 KB. Every operation carries the proof of its
//! record, and each node checks it, applies it and commits a height: one operation a height, so that T means the same
//! in both. Each node is a [`HistoryTree`] with the prefixes it is closest to, and the values of the records under them.

use std::collections::BTreeMap;

use pleach_tree::{DigestTree, HistoryTree, Path, Prefix, ValueDigest, VerifiedProof};

use crate::{
    bytes::{Bytes, Counted},
    closest::{Rule, identifiers, kept},
    fixed::{mean, per_mille},
    held::HeldNodes,
    rng::Rng,
};

/// Records at the beginning.
pub const RECORDS: u64 = 1000;
/// The value of the heavy operation.
pub const HEAVY_BYTES: usize = 10_000;
/// The node whose record the heavy operation changes, from 0: the third, as in the thesis.
const HEAVY_NODE: usize = 2;
/// The operation of figure 6.3 that is heavy.
const HEAVY_OPERATION: u64 = 5;

/// One of the three experiments.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// The number of the figure, like `6.1`.
    pub figure: &'static str,
    /// N.
    pub nodes: usize,
    /// T.
    pub heights: u64,
    /// Operations after the one that creates the records.
    pub operations: u64,
    /// Whether the fifth operation is heavy.
    pub heavy: bool,
}

/// N = 3, T = 4.
pub const FIGURE_1: Experiment = Experiment { figure: "6.1", nodes: 3, heights: 4, operations: 7, heavy: false };
/// N = 5, T = 4.
pub const FIGURE_2: Experiment = Experiment { figure: "6.2", nodes: 5, ..FIGURE_1 };
/// N = 5, T = 3, with a heavy operation.
pub const FIGURE_3: Experiment = Experiment { figure: "6.3", nodes: 5, heights: 3, operations: 9, heavy: true };

/// What one node holds after one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// In the thesis's count.
    pub thesis: Bytes,
    /// In memory.
    pub memory: Bytes,
}

/// How memory went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Course {
    /// For each operation, from the first after the creation, each node.
    pub nodes: Vec<Vec<Sample>>,
    /// The same for a node that keeps everything.
    pub full: Vec<Sample>,
    /// The node whose record is heavy, from 0.
    pub heavy_node: Option<usize>,
}

impl Course {
    /// The average of the nodes' data after operation `number`, from 1, in bytes of one count.
    pub fn average(&self, number: usize, count: impl Fn(&Sample) -> Bytes) -> u64 {
        mean(self.nodes[number - 1].iter().map(|sample| count(sample).data), 1)
    }

    /// The average node's data after the last operation, in tenths of a percent of a full copy.
    pub fn share(&self, count: impl Fn(&Sample) -> Bytes) -> u64 {
        let last = self.nodes.len();
        per_mille(self.average(last, &count), count(&self.full[last - 1]).data)
    }
}

/// A node: its part of the tree, and the values of the records in it.
struct SampleNode {
    tree: HistoryTree,
    /// Key and value by path.
    values: BTreeMap<Path, (String, Vec<u8>)>,
}

/// A write of one record.
struct Write {
    key: String,
    value: Vec<u8>,
}

impl Write {
    /// A value of four bytes.
    fn number(record: u64, value: u64) -> Self {
        Self { key: record.to_string(), value: (value as u32).to_le_bytes().to_vec() }
    }

    fn path(&self) -> Path {
        Path::of(self.key.as_bytes())
    }
}

impl SampleNode {
    fn new(heights: u64, kept: Vec<Prefix>) -> Self {
        Self { tree: HistoryTree::new(heights, kept), values: BTreeMap::new() }
    }

    fn keeps(&self, path: &Path) -> bool {
        self.tree.kept().iter().any(|prefix| prefix.contains(path))
    }

    /// Checks the proof of an operation against the newest height, applies it, and ends the height.
    fn execute(&mut self, proof: &VerifiedProof, writes: &[Write]) {
        let paths: Vec<Path> = writes.iter().map(Write::path).collect();
        self.tree.check(self.tree.height(), proof, &paths).expect("nothing was written since the proof");
        let digests = writes.iter().map(|write| Some(ValueDigest::of(&write.value)));
        self.tree.apply(proof, paths.iter().copied().zip(digests)).expect("the proof decides what is written");
        self.tree.commit();
        for (path, write) in paths.into_iter().zip(writes).filter(|(path, _)| self.keeps(path)).collect::<Vec<_>>() {
            self.values.insert(path, (write.key.clone(), write.value.clone()));
        }
    }

    fn sample(&self, written: &[u64]) -> Sample {
        let counted = Counted {
            held: &HeldNodes::of(&self.tree),
            keys: self.values.values().map(|(key, _)| key.len() as u64).sum(),
            values: self.values.values().map(|(_, value)| value.len() as u64).sum(),
            prefixes: self.tree.kept().len() as u64,
            heights: self.tree.heights(),
            written,
        };
        Sample { thesis: counted.as_the_thesis(), memory: counted.in_memory() }
    }
}

/// Runs an experiment with the identifiers of one draw. Without `every`, memory is looked at after the last operation
/// alone.
///
/// # Panics
///
/// If the nodes' trees do not agree with the full map: then there is an error in the tree.
pub fn run(experiment: &Experiment, seed: u64, draw: u64, rule: Rule, every: bool) -> Course {
    let mut rng = Rng::new(seed, &format!("nodes/{}/{draw}", experiment.nodes));
    let identifiers = identifiers(&mut rng, experiment.nodes);
    let parts = (0..experiment.nodes).map(|me| kept(&identifiers, me, rule));
    let mut nodes: Vec<SampleNode> =
        parts.chain([vec![Prefix::ALL]]).map(|kept| SampleNode::new(experiment.heights, kept)).collect();
    let heavy = (experiment.heavy).then(|| heavy_record(&nodes));
    let mut map = DigestTree::new();
    // Height 0 wrote nothing.
    let mut written = vec![0];
    let mut course = Course { nodes: Vec::new(), full: Vec::new(), heavy_node: heavy.map(|(node, _)| node) };
    for operation in 0..=experiment.operations {
        let writes = match heavy {
            _ if operation == 0 => (0..RECORDS).map(|record| Write::number(record, 0)).collect(),
            Some((_, record)) if operation == HEAVY_OPERATION => {
                vec![Write { key: record.to_string(), value: vec![1; HEAVY_BYTES] }]
            }
            _ => vec![Write::number(0, operation)],
        };
        let paths: Vec<Path> = writes.iter().map(Write::path).collect();
        let proof = map.prove(paths.iter().copied()).verify(map.root()).expect("a proof of this map");
        map.apply(paths.into_iter().zip(writes.iter().map(|write| Some(ValueDigest::of(&write.value)))));
        for node in &mut nodes {
            node.execute(&proof, &writes);
            assert_eq!(node.tree.root(), map.root(), "a node's root after operation {operation}");
        }
        written.push(writes.len() as u64);
        if operation > 0 && (every || operation == experiment.operations) {
            let mut samples: Vec<Sample> = nodes.iter().map(|node| node.sample(&written)).collect();
            course.full.extend(samples.pop());
            course.nodes.push(samples);
        }
    }
    course
}

/// The third node and a record of its own; record 1 and its owner, should the third have none.
fn heavy_record(nodes: &[SampleNode]) -> (usize, u64) {
    let keeps = |node: usize, record: u64| nodes[node].keeps(&Write::number(record, 0).path());
    let own = (1..RECORDS).find(|record| keeps(HEAVY_NODE, *record)).map(|record| (HEAVY_NODE, record));
    own.or_else(|| (0..nodes.len()).find(|node| keeps(*node, 1)).map(|node| (node, 1)))
        .expect("every record has an owner")
}

/// The shares of a full copy that the average node holds, over some draws of identifiers, in tenths of a percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares {
    /// Of all draws.
    pub mean: u64,
    /// The least of a draw.
    pub least: u64,
    /// The most of a draw.
    pub most: u64,
}

/// The shares over the draws 0 to `draws`, in the thesis's count.
pub fn shares(experiment: &Experiment, seed: u64, draws: u64, rule: Rule) -> Shares {
    let shares: Vec<u64> =
        (0..draws).map(|draw| run(experiment, seed, draw, rule, false).share(|sample| sample.thesis)).collect();
    Shares {
        mean: mean(shares.iter().copied(), 1),
        least: shares.iter().copied().min().unwrap_or(0),
        most: shares.iter().copied().max().unwrap_or(0),
    }
}
