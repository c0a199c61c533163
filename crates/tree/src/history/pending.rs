//! What a height works on.
//!
//! The operations of a height look their records up, some of them several times, and each way from the root is a chain
//! of memory accesses that wait for each other. But all the paths are known before, so whoever announces them has them
//! followed together, once; then an operation finds its records in a short table. What is not announced is looked up
//! in the tree.

use std::collections::BTreeMap;

use crate::{
    digests,
    edit::{Edit, fetch},
    label::ValueDigest,
    node::Link,
    path::Path,
};

/// A record's value digest, or `None` for no record.
pub(super) type Content = Option<ValueDigest>;

/// The paths that a height was announced to work on, and its changes so far.
#[derive(Clone, Default)]
pub(super) struct Pending {
    /// The announced paths, sorted.
    items: Vec<PendingItem>,
    /// Where the items begin whose paths begin with the same bits, by these bits; and where the last ones end. Paths
    /// are spread evenly, so there are few of each; where somebody has ground many alike they are still sorted.
    starts: Vec<usize>,
    /// Changes at other paths.
    others: BTreeMap<Path, Content>,
}

#[derive(Clone)]
struct PendingItem {
    path: Path,
    /// What stood there when the height began, if that was held.
    before: Option<Content>,
    /// What it was changed to.
    change: Option<Content>,
}

impl Pending {
    /// Looks these paths up in the tree as it is without the changes so far, which stay.
    pub(super) fn announce(&mut self, paths: &[Path], root: &Link<()>) {
        self.withdraw();
        if paths.is_empty() {
            return;
        }
        let bits = paths.len().ilog2().max(1);
        let paths = sort(paths, bits);
        self.starts = starts(&paths, bits);
        // What is changed is going to be read as a whole, and what is far away is better read at once.
        let ends = fetch(root, &paths, 0);
        let item = |(path, end)| PendingItem { path, before: content(end, &path), change: self.others.remove(&path) };
        self.items = paths.into_iter().zip(ends).map(item).collect();
    }

    /// Forgets what was announced. Changes stay.
    pub(super) fn withdraw(&mut self) {
        self.starts.clear();
        self.others.extend(self.items.drain(..).filter_map(|item| Some((item.path, item.change?))));
    }

    fn find(&self, path: &Path) -> Option<usize> {
        // Two parts at least, so the logarithm is that of their number.
        let part = path.head(self.starts.len().checked_ilog2()?);
        let (from, to) = (self.starts[part], self.starts[part + 1]);
        let place = self.items[from..to].binary_search_by(|item| item.path.cmp(path)).ok()?;
        Some(from + place)
    }

    /// What stood at `path` before all changes, if it was announced and held.
    pub(super) fn before(&self, path: &Path) -> Option<Content> {
        self.items[self.find(path)?].before
    }

    /// What stands at `path` with the changes so far, if that is known.
    pub(super) fn now(&self, path: &Path) -> Option<Content> {
        match self.find(path) {
            Some(at) => self.items[at].change.or(self.items[at].before),
            None => self.others.get(path).copied(),
        }
    }

    pub(super) fn set(&mut self, path: Path, content: Content) {
        match self.find(&path) {
            Some(at) => self.items[at].change = Some(content),
            None => drop(self.others.insert(path, content)),
        }
    }

    /// The changes so far, sorted by path.
    pub(super) fn changes(&self) -> Vec<(Path, Content)> {
        let mut changes: Vec<_> = self.items.iter().filter_map(|item| Some((item.path, item.change?))).collect();
        if !self.others.is_empty() {
            changes.extend(self.others.iter().map(|(path, content)| (*path, *content)));
            changes.sort_unstable();
        }
        changes
    }

    /// Ends the height: its changes, sorted by path.
    pub(super) fn finish(&mut self) -> Vec<Edit<()>> {
        let changes = std::mem::take(self).changes();
        changes.into_iter().map(digests::edit).collect()
    }
}

/// What stands at `path`, which ends at this link, if it is held.
pub(super) fn content(end: &Link<()>, path: &Path) -> Option<Content> {
    match end {
        Link::Empty => Some(None),
        Link::LeafGroup(group) => Some(group.find(path).map(|record| record.digest)),
        Link::Stub | Link::Internal(_) => None,
    }
}

/// Where those begin whose paths begin with the same `bits` bits, and where the last ones end.
fn starts(paths: &[Path], bits: u32) -> Vec<usize> {
    let mut starts = vec![0; (1 << bits) + 1];
    paths.iter().for_each(|path| starts[path.head(bits)] += 1);
    let mut sum = 0;
    starts.iter_mut().for_each(|start| sum += std::mem::replace(start, sum));
    starts
}

/// Sorts paths, each of them once. Almost all the work is putting each among those that begin with the same bits.
fn sort(paths: &[Path], bits: u32) -> Vec<Path> {
    let mut places = starts(paths, bits);
    let mut sorted = vec![Path::ZERO; paths.len()];
    for path in paths {
        let place = &mut places[path.head(bits)];
        sorted[*place] = *path;
        *place += 1;
    }
    // Each place has moved to the end of its part, which is where the next one begins.
    places.iter().fold(0, |from, end| {
        sorted[from..*end].sort_unstable();
        *end
    });
    sorted.dedup();
    sorted
}
