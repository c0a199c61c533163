//! How short a proof can be.
//!
//! The lower bound for a set of keys: 32 bytes for each subtree of two records or more beside their paths, 64 for each record
//! that is visible (the proved ones and single neighbours, as `docs/proof-format.md` says why), and one bit for each node.
//! Computed from the sorted paths of all records, without the library.

use crate::records::{Key, Value};

/// The paths of all records, sorted.
pub struct Paths(Vec<[u8; 32]>);

/// What a proof shows.
#[derive(Default)]
struct Shown {
    nodes: usize,
    leaves: usize,
    stubs: usize,
}

impl Paths {
    /// The paths of these records.
    pub fn new(records: &[(Key, Value)]) -> Self {
        let mut paths: Vec<_> = records.iter().map(|(key, _)| path(key)).collect();
        paths.sort_unstable();
        Self(paths)
    }

    /// The lower bound for a proof of these keys, in bytes.
    pub fn lower_bound(&self, keys: &[Key]) -> f64 {
        let mut paths: Vec<_> = keys.iter().map(path).collect();
        paths.sort_unstable();
        let mut shown = Shown::default();
        shown.visit(&self.0, &paths, 0);
        (32 * shown.stubs + 64 * shown.leaves) as f64 + shown.nodes as f64 / 8.0
    }
}

impl Shown {
    /// Counts what is shown of the subtree with these records at this depth. `keys` are those proved below it.
    fn visit(&mut self, records: &[[u8; 32]], keys: &[[u8; 32]], depth: usize) {
        self.nodes += 1;
        match records {
            [] => {}
            [_] => self.leaves += 1,
            _ if keys.is_empty() => self.stubs += 1,
            _ => {
                let split =
                    |paths: &[[u8; 32]]| paths.partition_point(|path| path[depth / 8] & (128 >> (depth % 8)) == 0);
                let (left, right) = records.split_at(split(records));
                let (keys_left, keys_right) = keys.split_at(split(keys));
                self.visit(left, keys_left, depth + 1);
                self.visit(right, keys_right, depth + 1);
            }
        }
    }
}

fn path(key: &Key) -> [u8; 32] {
    *pleach_tree::Path::of(key).as_bytes()
}
