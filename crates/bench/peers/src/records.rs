//! What all subjects are given: the same records and the same changes, made from one seed.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// A key, uniformly distributed.
pub type Key = [u8; 32];
/// A value.
pub type Value = [u8; 32];
/// A key with its new value, or `None` to remove its record.
pub type Change = (Key, Option<Value>);

/// The records of a tree as they should be, and a source of changes to them.
#[derive(Clone)]
pub struct Workload {
    rng: StdRng,
    records: Vec<(Key, Value)>,
}

impl Workload {
    /// `count` records made from `seed`. Equal arguments give equal records and equal changes.
    pub fn new(count: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let records = (0..count).map(|_| record(&mut rng)).collect();
        Self { rng, records }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The records, in an order that is random to every subject.
    pub fn records(&self) -> &[(Key, Value)] {
        &self.records
    }

    /// The records as insertions.
    pub fn insertions(&self) -> Vec<Change> {
        self.records.iter().map(|(key, value)| (*key, Some(*value))).collect()
    }

    /// Distinct random records, at most as many as there are.
    pub fn sample(&mut self, count: usize) -> Vec<(Key, Value)> {
        self.sample_indices(count).into_iter().map(|at| self.records[at]).collect()
    }

    /// New values for distinct random records, which are those records' values from now on.
    pub fn updates(&mut self, count: usize) -> Vec<Change> {
        let indices = self.sample_indices(count);
        let mut update = |at: usize| {
            let record = &mut self.records[at];
            self.rng.fill_bytes(&mut record.1);
            (record.0, Some(record.1))
        };
        indices.into_iter().map(&mut update).collect()
    }

    /// Records that are not there. They are not remembered: they have to be removed again.
    pub fn strangers(&mut self, count: usize) -> Vec<(Key, Value)> {
        (0..count).map(|_| record(&mut self.rng)).collect()
    }

    fn sample_indices(&mut self, count: usize) -> Vec<usize> {
        let len = self.len();
        let mut indices = rand::seq::index::sample(&mut self.rng, len, count.min(len)).into_vec();
        indices.shuffle(&mut self.rng);
        indices
    }
}

fn record(rng: &mut StdRng) -> (Key, Value) {
    // No subject takes a value of zeros for an absent one by accident.
    (rng.random(), rng.random::<[u8; 32]>().map(|byte| byte | 1))
}

/// Removal of the given records.
pub fn removals(records: &[(Key, Value)]) -> Vec<Change> {
    records.iter().map(|(key, _)| (*key, None)).collect()
}

/// Insertion of the given records.
pub fn insertions(records: &[(Key, Value)]) -> Vec<Change> {
    records.iter().map(|(key, value)| (*key, Some(*value))).collect()
}

/// The keys of the given records.
pub fn keys(records: &[(Key, Value)]) -> Vec<Key> {
    records.iter().map(|(key, _)| *key).collect()
}
