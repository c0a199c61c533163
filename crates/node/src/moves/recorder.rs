//! What blocks change under prefixes whose records are still to come.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_tree::{Path, Prefix};
use pleach_types::{Height, Key};

/// Bytes of changes that are noted down, at most. Beyond that the part is given up and asked for again, of a newer height.
const RECORDED_BYTES_MAX: usize = 64 << 20;
/// Bytes of memory for a change beside key and value.
const CHANGE_BYTES: usize = 128;

/// Changes of all heights above one.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// The prefixes.
    pub(super) prefixes: BTreeSet<Prefix>,
    /// The changes of heights above this one are here.
    pub(super) since: Height,
    /// The height of which records were asked for last.
    pub(super) asked: Option<Height>,
    heights: BTreeMap<Height, Vec<(Key, Option<Bytes>)>>,
    bytes: usize,
}

impl Recorder {
    pub(super) const fn new(prefixes: BTreeSet<Prefix>, since: Height) -> Self {
        Self { prefixes, since, asked: None, heights: BTreeMap::new(), bytes: 0 }
    }

    /// Notes down what the next block changed. Returns whether there is room for it.
    pub(super) fn note(&mut self, height: Height, changes: &BTreeMap<Key, Option<Bytes>>) -> bool {
        let under = changes.iter().filter(|(key, _)| self.covers(&key.path()));
        let under: Vec<_> = under.map(|(key, value)| (key.clone(), value.clone())).collect();
        self.bytes += weight(&under);
        self.heights.insert(height, under);
        self.bytes <= RECORDED_BYTES_MAX
    }

    /// Whether one of the prefixes covers a path. None lies within another.
    fn covers(&self, path: &Path) -> bool {
        let whole = Prefix::new(*path, Path::BITS);
        self.prefixes.range(..=whole).next_back().is_some_and(|prefix| prefix.contains(path))
    }

    /// Forgets the changes up to a height: what is asked for from now on is of it or of a later one.
    pub(super) fn forget(&mut self, height: Height) {
        let later = self.heights.split_off(&height.saturating_add(1));
        let gone = std::mem::replace(&mut self.heights, later);
        self.bytes -= gone.values().map(|changes| weight(changes)).sum::<usize>();
        self.since = self.since.max(height);
    }

    /// Makes the changes of all heights above one, in their order.
    pub(super) fn replay(&self, above: Height, records: &mut BTreeMap<Key, Bytes>, belongs: impl Fn(&Key) -> bool) {
        let heights = self.heights.range(above.saturating_add(1)..);
        for (key, value) in heights.flat_map(|(_, changes)| changes).filter(|(key, _)| belongs(key)) {
            match value {
                Some(value) => drop(records.insert(key.clone(), value.clone())),
                None => drop(records.remove(key)),
            }
        }
    }
}

fn weight(changes: &[(Key, Option<Bytes>)]) -> usize {
    let one = |(key, value): &(Key, Option<Bytes>)| {
        CHANGE_BYTES + key.as_bytes().len() + value.as_ref().map_or(0, Bytes::len)
    };
    changes.iter().map(one).sum()
}
