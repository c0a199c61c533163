//! Two ways of keeping many versions of a tree, measured for a decision: nodes shared by reference counts, as Pleach's tree
//! has them, and an arena with overlays, a trial; and, to tell the one from the other, an arena where changed nodes are copied.
//!
//! Both hold digests alone and hash keys and values of their changes, which counts. A node keeps 16 versions: with each
//! block there is one more, and the oldest is dropped, which is merging the second oldest down where versions are overlays.

use std::collections::VecDeque;
use std::hint::black_box;
use std::mem;

use pleach_tree::{DigestTree, Path, ValueDigest};

use crate::clock::timed;
use crate::heap;
use crate::measure::{BATCH, Plan, Sink, VERSIONS, mean, median, nanoseconds};
use crate::records::{Change, Value, keys};
use crate::subjects::overlay;

/// Blocks with all versions kept.
const BLOCKS: usize = 48;
/// Repetitions of everything else.
const TIMES: usize = 12;

/// A way of keeping versions.
pub trait Layout {
    /// The name in tables.
    const NAME: &'static str;
    /// One state of the tree.
    type Version;

    /// A tree without records, in one version.
    fn new() -> (Self, Self::Version)
    where
        Self: Sized;

    /// A new version: `parent` with these changes.
    fn apply(&mut self, parent: &Self::Version, changes: &[Change]) -> Self::Version;

    /// A new version without changes.
    fn fork(&mut self, parent: &Self::Version) -> Self::Version;

    /// Drops a version that no other one is based on.
    fn discard(&mut self, version: Self::Version);

    /// Drops the oldest of these, which are based on each other.
    fn drop_oldest(&mut self, kept: &mut VecDeque<Self::Version>);

    /// The root.
    fn root(&self, version: &Self::Version) -> [u8; 32];

    /// The digest of the record at `path`.
    fn get(&self, version: &Self::Version, path: &Path) -> Option<ValueDigest>;

    /// Bytes of memory that are kept for all versions: those in use, and all.
    fn room(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Nodes shared by reference counts.
pub struct Shared;

impl Layout for Shared {
    const NAME: &'static str = "shared nodes";
    type Version = DigestTree;

    fn new() -> (Self, DigestTree) {
        (Self, DigestTree::new())
    }

    fn apply(&mut self, parent: &DigestTree, changes: &[Change]) -> DigestTree {
        let mut tree = parent.clone();
        tree.apply(edits(changes));
        tree
    }

    fn fork(&mut self, parent: &DigestTree) -> DigestTree {
        parent.clone()
    }

    fn discard(&mut self, version: DigestTree) {
        drop(version);
    }

    fn drop_oldest(&mut self, kept: &mut VecDeque<DigestTree>) {
        kept.pop_front();
    }

    fn root(&self, version: &DigestTree) -> [u8; 32] {
        version.root().into()
    }

    fn get(&self, version: &DigestTree, path: &Path) -> Option<ValueDigest> {
        version.get(path)
    }
}

impl<const COPY: bool> Layout for overlay::Tree<COPY> {
    const NAME: &'static str = if COPY { "copies in an arena" } else { "overlays" };
    type Version = overlay::Version;

    fn new() -> (Self, overlay::Version) {
        (Self::new(), overlay::Version::BASE)
    }

    fn apply(&mut self, parent: &overlay::Version, changes: &[Change]) -> overlay::Version {
        Self::apply(self, *parent, edits(changes))
    }

    fn fork(&mut self, parent: &overlay::Version) -> overlay::Version {
        Self::fork(self, *parent)
    }

    fn discard(&mut self, version: overlay::Version) {
        Self::discard(self, version);
    }

    fn drop_oldest(&mut self, kept: &mut VecDeque<overlay::Version>) {
        kept.pop_front();
        if let Some(version) = kept.front_mut() {
            self.merge(mem::replace(version, overlay::Version::BASE));
        }
    }

    fn root(&self, version: &overlay::Version) -> [u8; 32] {
        Self::root(self, *version)
    }

    fn get(&self, version: &overlay::Version, path: &Path) -> Option<ValueDigest> {
        Self::get(self, *version, path)
    }

    fn room(&self) -> (usize, usize) {
        self.arena()
    }
}

fn edits(changes: &[Change]) -> impl Iterator<Item = (Path, Option<ValueDigest>)> {
    let digest = |value: &Value| ValueDigest::of(value);
    changes.iter().map(move |(key, value)| (Path::of(key), value.as_ref().map(digest)))
}

/// Measures one layout once. Returns the last root, which must be the same for all.
pub fn measure<L: Layout>(plan: &Plan<'_>, sink: &mut Sink<'_>) -> [u8; 32] {
    let mut workload = plan.workload.clone();
    let (mut tree, empty) = L::new();
    let before = heap::usage();
    let mut kept = VecDeque::from([empty]);
    kept.push_back(tree.apply(&kept[0], &workload.insertions()));
    tree.drop_oldest(&mut kept);
    sink("structure", used(&tree, before) / workload.len() as f64);
    let bare = tree.apply(&kept[0], &workload.updates(BATCH)); // What is made once has been made.
    tree.discard(bare);

    let mut growth = Vec::new();
    while kept.len() < VERSIONS {
        let changes = workload.updates(BATCH);
        let before = (heap::usage(), tree.room());
        let version = tree.apply(&kept[kept.len() - 1], &changes);
        let (after, room) = (heap::usage(), tree.room());
        // An arena's room grows by leaps: what is in use counts.
        let heap = (after.bytes as f64 - before.0.bytes as f64) - (room.1 as f64 - before.1.1 as f64);
        growth.push((heap + room.0 as f64 - before.1.0 as f64) / changes.len() as f64);
        kept.push_back(version);
    }
    sink("growth", mean(&growth));

    let (mut updates, mut drops, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let changes = workload.updates(BATCH);
        let count = changes.len() as f64;
        let (version, update) = timed(|| tree.apply(&kept[VERSIONS - 1], black_box(&changes)));
        kept.push_back(version);
        let (_, drop) = timed(|| tree.drop_oldest(&mut kept));
        updates.push(nanoseconds(update) / count);
        drops.push(nanoseconds(drop) / count);
        blocks.push(nanoseconds(update + drop) / count);
    }
    sink("versions", median(updates));
    sink("drop_version", median(drops));
    sink("block", median(blocks));

    for (row, at) in [("get_tip", VERSIONS - 1), ("get_oldest", 0)] {
        let lookups = |_| {
            let paths: Vec<_> = keys(&workload.sample(BATCH)).iter().map(|key| Path::of(key)).collect();
            let found = || paths.iter().filter(|path| tree.get(&kept[at], black_box(path)).is_some()).count();
            let (found, time) = timed(found);
            assert_eq!(found, paths.len());
            nanoseconds(time) / found as f64
        };
        sink(row, median((0..TIMES).map(lookups).collect()));
    }

    let mut fork_change = |tree: &mut L, tip: &L::Version| {
        let change = |_| {
            let changes = workload.clone().updates(BATCH); // Thrown away, and so are its values.
            workload.sample(1); // Other keys the next time.
            let work = || {
                let fork = tree.apply(tip, &changes);
                tree.discard(fork);
            };
            nanoseconds(timed(work).1) / changes.len() as f64
        };
        median((0..TIMES).map(change).collect())
    };
    sink("fork_change_kept", fork_change(&mut tree, &kept[VERSIONS - 1]));
    while kept.len() > 1 {
        tree.drop_oldest(&mut kept);
    }
    sink("fork_change", fork_change(&mut tree, &kept[0]));
    let forks = (0..TIMES * TIMES).map(|_| {
        let (fork, time) = timed(|| tree.fork(&kept[0]));
        (nanoseconds(time) / 1e3, nanoseconds(timed(|| tree.discard(fork)).1) / 1e3)
    });
    let (forks, drops) = forks.unzip();
    sink("fork", median(forks));
    sink("drop_fork", median(drops));
    tree.root(&kept[0])
}

fn used(tree: &impl Layout, before: heap::Usage) -> f64 {
    let (used, room) = tree.room();
    (heap::usage().since(before).bytes - room + used) as f64
}
