//! A trial for a decision: a tree of digests in an arena, whose versions are overlays.
//!
//! The other layout that the choice of the tree compared. Nodes and leaf groups lie in vectors and are linked by their numbers. One
//! version, the base, is what stands there; every other one is an [`Overlay`] on its parent: a map from the numbers of
//! nodes to what became of them. The oldest overlay is merged down into the base when it is final. What a version adds
//! (nodes that are new, leaf groups that have other records) goes into free places of the arena at once, since nobody
//! else has links there; it takes note of them, and of the places that it needs no more, so that either is given back
//! when it is dropped or merged. Nothing is counted by reference but the children of versions.
//!
//! With `COPY`, a version copies what it changes to a free place too, as nodes that are shared do, and there is nothing to
//! look through; all else is the same. The difference tells what the arena does and what the overlays do.
//!
//! A node that an overlay changes has all its ancestors changed there. So a reader who found a node in one overlay looks
//! for its children in that one and older ones only, and goes through each overlay at most once on a way down. The map is a
//! hash table: with a sorted vector and binary search instead, batches took a quarter longer or more, and lookups in the last
//! of 16 versions half as long again.
//!
//! Shape and labels are those of `crates/tree`, and so is the code that hashes. Left out: dates, pruning, proofs,
//! values, threads, batches worked on in parts, versions that are changed more than once, readers while a batch is
//! applied, checks of overflow, and merging a version that has siblings (they must be dropped first).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

use pleach_tree::{Path, ValueDigest};

#[allow(dead_code, reason = "the tree's own file: hashing must not be what decides")]
#[path = "../../../../tree/src/hash.rs"]
mod hash;

use hash::{Preimage, Preimages};

type Label = [u8; 32];
type Record = (Path, ValueDigest);
/// A path with the digest that its record gets, or `None` to remove it.
pub type Edit = (Path, Option<ValueDigest>);

/// The most records in a leaf group.
const LEAF_GROUP_MAX: usize = 4;
/// The memory for so many jobs is kept from one batch to the next.
const JOBS_KEPT: usize = 1 << 16;

/// What stands at a position. Three bits say what: 0 nothing, 1 to 4 a leaf group of so many records, 5 a node. The others
/// are its number among its like.
#[derive(Clone, Copy, PartialEq)]
struct Link(u32);

impl Link {
    const EMPTY: Self = Self(0);
    const NODE: usize = 5;

    fn new(kind: usize, number: usize) -> Self {
        assert!(number < 1 << 29, "the arena is full");
        Self((kind << 29 | number) as u32)
    }

    fn kind(self) -> usize {
        (self.0 >> 29) as usize
    }

    fn number(self) -> usize {
        self.0 as usize & ((1 << 29) - 1)
    }
}

/// The labels of two children, and where they are.
#[derive(Clone, Copy)]
struct Node {
    row: Preimage,
    links: [Link; 2],
}

impl Node {
    const NEW: Self = Self { row: [0; 64], links: [Link::EMPTY; 2] };
}

/// Places for things of `size` elements each.
struct Places<T> {
    all: Vec<T>,
    size: usize,
    free: Vec<u32>,
}

impl<T: Copy> Places<T> {
    fn new(size: usize) -> Self {
        Self { all: Vec::new(), size, free: Vec::new() }
    }

    fn get(&self, number: usize) -> &[T] {
        &self.all[number * self.size..][..self.size]
    }

    fn put(&mut self, things: &[T]) -> usize {
        if let Some(number) = self.free.pop() {
            self.all[number as usize * self.size..][..self.size].copy_from_slice(things);
            return number as usize;
        }
        self.all.extend_from_slice(things);
        self.all.len() / self.size - 1
    }

    fn used(&self) -> usize {
        (self.all.len() - self.free.len() * self.size) * size_of::<T>()
    }

    fn room(&self) -> usize {
        self.all.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}

/// Spreads numbers over a table.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u32(&mut self, number: u32) {
        let product = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }
}

/// What a version changes of its parent.
struct Overlay {
    parent: Version,
    children: usize,
    root: (Label, Link),
    /// Where in `nodes` a node is that its parent has too.
    changed: HashMap<u32, u32, BuildHasherDefault<Spread>>,
    nodes: Vec<Node>,
    /// What this version put into the arena.
    added: Vec<Link>,
    /// What this version, and any that comes of it, does not need.
    replaced: Vec<Link>,
}

/// The number of a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(u32);

impl Version {
    /// The oldest one.
    pub const BASE: Self = Self(u32::MAX);
}

/// All versions.
///
/// With `COPY`, its overlays are empty and its nodes are copied.
pub struct Tree<const COPY: bool> {
    nodes: Places<Node>,
    groups: [Places<Record>; LEAF_GROUP_MAX],
    root: (Label, Link),
    children: usize,
    overlays: Vec<Option<Overlay>>,
    jobs: Jobs,
}

impl<const COPY: bool> Tree<COPY> {
    /// One version, without records.
    pub fn new() -> Self {
        Self {
            nodes: Places::new(1),
            groups: [1, 2, 3, 4].map(Places::new),
            root: ([0; 32], Link::EMPTY),
            children: 0,
            overlays: Vec::new(),
            jobs: Jobs::default(),
        }
    }

    fn overlay(&self, version: Version) -> Option<&Overlay> {
        let overlay = self.overlays.get(version.0 as usize)?;
        Some(overlay.as_ref().expect("a version that was dropped"))
    }

    fn children(&mut self, version: Version) -> &mut usize {
        match self.overlays.get_mut(version.0 as usize) {
            Some(overlay) => &mut overlay.as_mut().expect("a version that was dropped").children,
            None => &mut self.children,
        }
    }

    fn top(&self, version: Version) -> (Label, Link) {
        self.overlay(version).map_or(self.root, |overlay| overlay.root)
    }

    /// The label of the whole tree.
    pub fn root(&self, version: Version) -> [u8; 32] {
        self.top(version).0
    }

    /// A node as `version` has it, with the newest version that changed it.
    fn node(&self, link: Link, mut version: Version) -> (&Node, Version) {
        let number = link.number();
        if COPY {
            return (&self.nodes.all[number], version);
        }
        while let Some(overlay) = self.overlay(version) {
            if let Some(at) = overlay.changed.get(&(number as u32)) {
                return (&overlay.nodes[*at as usize], version);
            }
            version = overlay.parent;
        }
        (&self.nodes.all[number], version)
    }

    fn records(&self, group: Link) -> &[Record] {
        match group.kind() {
            0 => &[],
            count => self.groups[count - 1].get(group.number()),
        }
    }

    /// The digest of the record at `path`.
    pub fn get(&self, version: Version, path: &Path) -> Option<ValueDigest> {
        let (mut link, mut version, mut depth) = (self.top(version).1, version, 0);
        while link.kind() == Link::NODE {
            let (node, newest) = self.node(link, version);
            (link, version) = (node.links[usize::from(path.bit(depth))], newest);
            depth += 1;
        }
        self.records(link).iter().find(|record| record.0 == *path).map(|record| record.1)
    }

    /// Reads all nodes and leaf groups on the descents of these edits, many at a time, so that they are near when they are visited.
    fn fetch(&self, version: Version, edits: &[Edit]) {
        let (mut sum, link) = (0, self.top(version).1);
        for edits in edits.chunks(128) {
            let mut descents: Vec<_> = edits.iter().map(|edit| (link, version, &edit.0)).collect();
            for depth in 0..Path::BITS {
                descents.retain_mut(|(link, version, path)| {
                    if link.kind() != Link::NODE {
                        let bytes = |record: &Record| record.0.as_bytes()[0] ^ record.1.as_bytes()[31];
                        sum ^= self.records(*link).iter().fold(0, |sum, record| sum ^ bytes(record));
                        return false;
                    }
                    let (node, newest) = self.node(*link, *version);
                    sum ^= node.row[0] ^ node.row[63];
                    (*link, *version) = (node.links[usize::from(path.bit(depth))], newest);
                    true
                });
                if descents.is_empty() {
                    break;
                }
            }
        }
        std::hint::black_box(sum);
    }

    /// A new version: `parent` with these changes, of which the last one of each path counts.
    pub fn apply(&mut self, parent: Version, edits: impl IntoIterator<Item = Edit>) -> Version {
        let edits = sorted(edits.into_iter().collect());
        self.fetch(parent, &edits);
        let (label, link) = self.top(parent);
        let jobs = mem::take(&mut self.jobs);
        let mut batch = Batch { tree: self, jobs, added: Vec::new(), replaced: Vec::new(), merged: Vec::new() };
        batch.jobs.rows.truncate(0);
        batch.jobs.all.clear();
        let stem = batch.open(0, 0, None) << 1;
        let link = match batch.change(label, link, parent, &edits, 0, stem) {
            Outcome::Settled(label, link) => {
                half(batch.jobs.rows.row(0), 0).copy_from_slice(&label);
                link
            }
            Outcome::LeafGroup(link) => {
                batch.label(link, 0, stem);
                link
            }
            Outcome::Pending(link) => link,
        };
        let Batch { mut jobs, added, replaced, .. } = batch;
        jobs.settle();
        let root = (*half(jobs.rows.row(0), 0), link);
        let changed = jobs.all.iter().filter(|job| matches!(job.place, Some((_, false)))).count();
        let mut overlay = Overlay {
            parent,
            children: 0,
            root,
            changed: HashMap::with_capacity_and_hasher(changed, BuildHasherDefault::default()),
            nodes: Vec::with_capacity(changed),
            added,
            replaced,
        };
        for (number, job) in jobs.all.iter().enumerate() {
            let Some((place, is_new)) = job.place else { continue };
            let node = Node { row: *jobs.rows.row(number), links: job.links };
            if is_new {
                self.nodes.all[place as usize] = node;
            } else {
                overlay.changed.insert(place, overlay.nodes.len() as u32);
                overlay.nodes.push(node);
            }
        }
        if jobs.all.len() <= JOBS_KEPT {
            self.jobs = jobs;
        }
        self.keep(overlay)
    }

    /// A new version without changes.
    pub fn fork(&mut self, parent: Version) -> Version {
        let root = self.top(parent);
        let (changed, nodes, added, replaced) = Default::default();
        self.keep(Overlay { parent, children: 0, root, changed, nodes, added, replaced })
    }

    fn keep(&mut self, overlay: Overlay) -> Version {
        *self.children(overlay.parent) += 1;
        let number = self.overlays.iter().position(Option::is_none).unwrap_or(self.overlays.len());
        if number == self.overlays.len() {
            self.overlays.push(None);
        }
        self.overlays[number] = Some(overlay);
        Version(number as u32)
    }

    fn take(&mut self, version: Version) -> Overlay {
        self.overlays[version.0 as usize].take().expect("a version that was dropped")
    }

    fn free(&mut self, links: Vec<Link>) {
        for link in links {
            match link.kind() {
                Link::NODE => self.nodes.free.push(link.number() as u32),
                count => self.groups[count - 1].free.push(link.number() as u32),
            }
        }
    }

    /// Drops a version that has no children.
    pub fn discard(&mut self, version: Version) {
        let overlay = self.take(version);
        assert_eq!(overlay.children, 0, "a version that others are based on");
        *self.children(overlay.parent) -= 1;
        self.free(overlay.added);
    }

    /// Makes the only child of the base the base.
    pub fn merge(&mut self, version: Version) {
        let overlay = self.take(version);
        assert!(overlay.parent == Version::BASE && self.children == 1, "only an only child of the base is final");
        for (number, at) in overlay.changed {
            self.nodes.all[number as usize] = overlay.nodes[at as usize];
        }
        self.free(overlay.replaced);
        (self.root, self.children) = (overlay.root, overlay.children);
        for child in self.overlays.iter_mut().flatten().filter(|child| child.parent == version) {
            child.parent = Version::BASE;
        }
    }

    /// Bytes of the arena in use, and all that it has.
    pub fn arena(&self) -> (usize, usize) {
        let sum =
            |nodes: usize, groups: fn(&Places<Record>) -> usize| nodes + self.groups.iter().map(groups).sum::<usize>();
        (sum(self.nodes.used(), Places::used), sum(self.nodes.room(), Places::room))
    }
}

/// What became of a position.
enum Outcome {
    /// It has its label.
    Settled(Label, Link),
    /// A leaf group without a label yet.
    LeafGroup(Link),
    /// A node among the jobs.
    Pending(Link),
}

/// Changes under way.
struct Batch<'a, const COPY: bool> {
    tree: &'a mut Tree<COPY>,
    jobs: Jobs,
    added: Vec<Link>,
    replaced: Vec<Link>,
    merged: Vec<Record>,
}

impl<const COPY: bool> Batch<'_, COPY> {
    fn open(&mut self, depth: usize, parent: u32, place: Option<(u32, bool)>) -> u32 {
        self.jobs.all.push(Job { depth: depth as u32, parent, place, links: [Link::EMPTY; 2] });
        self.jobs.rows.push(&[0; 64]);
        self.jobs.all.len() as u32 - 1
    }

    fn replace(&mut self, link: Link) {
        if link != Link::EMPTY {
            self.replaced.push(link);
        }
    }

    /// `parent` says to the jobs whose child this is.
    fn change(&mut self, label: Label, link: Link, at: Version, edits: &[Edit], depth: usize, parent: u32) -> Outcome {
        if edits.is_empty() {
            return Outcome::Settled(label, link);
        }
        if link.kind() == Link::NODE {
            return self.descend(label, link, at, edits, depth, parent);
        }
        let mut merged = mem::take(&mut self.merged);
        merged.clear();
        let old = self.tree.records(link);
        merge(old, edits, &mut merged);
        let outcome = if merged == old {
            Outcome::Settled(label, link)
        } else {
            self.replace(link);
            self.build(&merged, depth, parent)
        };
        self.merged = merged;
        outcome
    }

    fn descend(&mut self, label: Label, link: Link, at: Version, edits: &[Edit], depth: usize, parent: u32) -> Outcome {
        let (node, at) = self.tree.node(link, at);
        let (before, mut node) = (*node, *node);
        let job = self.open(depth, parent, Some((link.number() as u32, false)));
        let (left, right) = edits.split_at(edits.partition_point(|edit| !edit.0.bit(depth)));
        let (mut unlabelled, mut pending) = ([false; 2], false);
        for (side, edits) in [left, right].into_iter().enumerate() {
            let (label, link) = (*half(&mut node.row, side), node.links[side]);
            match self.change(label, link, at, edits, depth + 1, job << 1 | side as u32) {
                Outcome::Settled(label, link) => {
                    *half(&mut node.row, side) = label;
                    node.links[side] = link;
                }
                Outcome::LeafGroup(link) => (node.links[side], unlabelled[side]) = (link, true),
                Outcome::Pending(link) => (node.links[side], pending) = (link, true),
            }
        }
        let [left, right] = node.links;
        if !pending && left.kind() + right.kind() <= LEAF_GROUP_MAX {
            self.cancel();
            self.replace(link);
            return match [left.kind(), right.kind()] {
                [0, 0] => Outcome::Settled([0; 32], Link::EMPTY),
                [0, 1] if !unlabelled[1] => Outcome::Settled(*half(&mut node.row, 1), right),
                [1, 0] if !unlabelled[0] => Outcome::Settled(*half(&mut node.row, 0), left),
                [0, _] => Outcome::LeafGroup(right),
                [_, 0] => Outcome::LeafGroup(left),
                _ => {
                    let records = [self.tree.records(left), self.tree.records(right)].concat();
                    self.replace(left);
                    self.replace(right);
                    Outcome::LeafGroup(self.group(&records))
                }
            };
        }
        if !pending && unlabelled == [false; 2] && node.row == before.row {
            self.cancel();
            return Outcome::Settled(label, link);
        }
        for side in (0..2).filter(|side| unlabelled[*side]) {
            self.label(node.links[side], depth + 1, job << 1 | side as u32);
        }
        *self.jobs.rows.row(job as usize) = node.row;
        self.jobs.all[job as usize].links = node.links;
        if COPY {
            self.replace(link);
            let (link, place) = self.place();
            self.jobs.all[job as usize].place = Some((place, true));
            return Outcome::Pending(link);
        }
        Outcome::Pending(link)
    }

    /// Takes back the last job.
    fn cancel(&mut self) {
        self.jobs.all.pop();
        self.jobs.rows.truncate(self.jobs.all.len());
    }

    /// A place for a new node.
    fn place(&mut self) -> (Link, u32) {
        let number = self.tree.nodes.put(&[Node::NEW]);
        let link = Link::new(Link::NODE, number);
        self.added.push(link);
        (link, number as u32)
    }

    fn group(&mut self, records: &[Record]) -> Link {
        let link = Link::new(records.len(), self.tree.groups[records.len() - 1].put(records));
        self.added.push(link);
        link
    }

    /// Makes the subtree of these records.
    fn build(&mut self, records: &[Record], depth: usize, parent: u32) -> Outcome {
        match records.len() {
            0 => return Outcome::Settled([0; 32], Link::EMPTY),
            1..=LEAF_GROUP_MAX => return Outcome::LeafGroup(self.group(records)),
            _ => {}
        }
        let (link, place) = self.place();
        let job = self.open(depth, parent, Some((place, true)));
        for (side, records) in split(records, depth).into_iter().enumerate() {
            let child = job << 1 | side as u32;
            self.jobs.all[job as usize].links[side] = match self.build(records, depth + 1, child) {
                Outcome::Settled(_, link) | Outcome::Pending(link) => link,
                Outcome::LeafGroup(link) => {
                    self.label(link, depth + 1, child);
                    link
                }
            };
        }
        Outcome::Pending(link)
    }

    fn label(&mut self, group: Link, depth: usize, parent: u32) {
        let mut records = [(Path::from([0; 32]), ValueDigest::from([0; 32])); LEAF_GROUP_MAX];
        let records = &mut records[..group.kind()];
        records.copy_from_slice(self.tree.records(group));
        self.label_records(records, depth, parent);
    }

    fn label_records(&mut self, records: &[Record], depth: usize, parent: u32) {
        match records {
            [] => {}
            [(path, digest)] => {
                let mut row = [0; 64];
                *half(&mut row, 0) = *path.as_bytes();
                *half(&mut row, 1) = *digest.as_bytes();
                self.jobs.leaves.push(&row);
                self.jobs.leaf_parents.push(parent);
            }
            records => {
                let job = self.open(depth, parent, None);
                for (side, records) in split(records, depth).into_iter().enumerate() {
                    self.label_records(records, depth + 1, job << 1 | side as u32);
                }
            }
        }
    }
}

/// A node that waits for its label.
struct Job {
    depth: u32,
    /// The number of the parent's job and the side.
    parent: u32,
    /// The number of the node and whether it is new; none for a node inside a leaf group.
    place: Option<(u32, bool)>,
    links: [Link; 2],
}

/// All nodes of a batch that wait for their labels. The first job is the root's parent.
#[derive(Default)]
struct Jobs {
    all: Vec<Job>,
    rows: Preimages,
    leaves: Preimages,
    leaf_parents: Vec<u32>,
    levels: Vec<Vec<u32>>,
}

impl Jobs {
    /// Hashes everything, the deepest level first.
    fn settle(&mut self) {
        let (rows, all) = (&mut self.rows, &self.all);
        let mut parents = self.leaf_parents.drain(..);
        self.leaves.hash(|hash| {
            let parent = parents.next().expect("each leaf has a parent");
            *half(rows.row(parent as usize >> 1), parent as usize & 1) = leaf(hash);
        });
        for (number, job) in (0..).zip(all).skip(1) {
            if self.levels.len() <= job.depth as usize {
                self.levels.resize_with(job.depth as usize + 1, Vec::new);
            }
            self.levels[job.depth as usize].push(number);
        }
        for level in self.levels.iter_mut().rev() {
            rows.hash_some(level, |number, hash, rows| {
                let parent = all[number as usize].parent as usize;
                *half(rows.row(parent >> 1), parent & 1) = internal(hash);
            });
            level.clear();
        }
    }
}

fn leaf(mut hash: Label) -> Label {
    hash[0] |= 0x80;
    hash
}

fn internal(mut hash: Label) -> Label {
    hash[0] &= 0x7f;
    hash
}

fn half(row: &mut Preimage, side: usize) -> &mut [u8; 32] {
    &mut row.as_chunks_mut().0[side]
}

fn split(records: &[Record], depth: usize) -> [&[Record]; 2] {
    let (left, right) = records.split_at(records.partition_point(|record| !record.0.bit(depth)));
    [left, right]
}

/// Sorted by path, and of several of one path the last one.
fn sorted(edits: Vec<Edit>) -> Vec<Edit> {
    let head = |edit: &Edit| u64::from_be_bytes(*edit.0.as_bytes().first_chunk().expect("a path has 32 bytes"));
    let mut order: Vec<_> = edits.iter().map(head).zip(0..edits.len()).collect();
    order.sort_unstable_by(|(one, at), (other, behind)| {
        one.cmp(other).then_with(|| edits[*at].0.cmp(&edits[*behind].0).then(at.cmp(behind)))
    });
    let mut sorted: Vec<Edit> = Vec::with_capacity(edits.len());
    for (_, at) in order {
        match sorted.last_mut() {
            Some(last) if last.0 == edits[at].0 => *last = edits[at],
            _ => sorted.push(edits[at]),
        }
    }
    sorted
}

/// Fills `merged` with the records after the edits.
fn merge(records: &[Record], edits: &[Edit], merged: &mut Vec<Record>) {
    let mut edits = edits.iter().peekable();
    let set = |edit: &Edit| edit.1.map(|digest| (edit.0, digest));
    for record in records {
        while let Some(edit) = edits.next_if(|edit| edit.0 < record.0) {
            merged.extend(set(edit));
        }
        match edits.next_if(|edit| edit.0 == record.0) {
            Some(edit) => merged.extend(set(edit)),
            None => merged.push(*record),
        }
    }
    merged.extend(edits.filter_map(set));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pleach_tree::DigestTree;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// Few paths, half of them alike in their first 70 bits.
    fn path(rng: &mut StdRng, width: u8) -> Path {
        let mut bytes = [0; 32];
        bytes[0] = rng.random_range(0..width);
        if bytes[0] & 1 == 0 {
            bytes[9] = mem::take(&mut bytes[0]);
        }
        Path::from(bytes)
    }

    fn edits(rng: &mut StdRng, width: u8, removals: f64) -> Vec<Edit> {
        let count = rng.random_range(0..12);
        let digest =
            |rng: &mut StdRng| (!rng.random_bool(removals)).then(|| ValueDigest::from([rng.random_range(0..3); 32]));
        (0..count).map(|_| (path(rng, width), digest(rng))).collect()
    }

    fn agree<const COPY: bool>(tree: &Tree<COPY>, version: Version, oracle: &DigestTree) {
        assert_eq!(Label::from(oracle.root()), tree.root(version));
        for byte in 0..=255 {
            for at in [0, 9] {
                let mut bytes = [0; 32];
                bytes[at] = byte;
                assert_eq!(oracle.get(&bytes.into()), tree.get(version, &bytes.into()));
            }
        }
    }

    /// Changes any version, drops any that has no children, or makes one final with all its siblings dropped.
    #[test]
    fn histories_with_forks_have_the_roots_of_the_tree() {
        histories::<false>();
    }

    #[test]
    fn so_have_histories_with_copies() {
        histories::<true>();
    }

    fn histories<const COPY: bool>() {
        for seed in 0..60 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (width, removals) = ([8, 40, 255][seed as usize % 3], [0.2, 0.5, 0.8][seed as usize / 3 % 3]);
            let (mut tree, mut base) = (Tree::<COPY>::new(), DigestTree::new());
            // Versions by number, with their parents.
            let mut kept: BTreeMap<u32, (Version, DigestTree)> = BTreeMap::new();
            for _ in 0..300 {
                let pick = rng.random_range(0..=kept.len());
                let (parent, mut oracle) = match kept.iter().nth(pick) {
                    Some((number, (_, oracle))) => (Version(*number), oracle.clone()),
                    None => (Version::BASE, base.clone()),
                };
                match rng.random_range(0..4) {
                    0 | 1 if kept.len() < 20 => {
                        let edits = edits(&mut rng, width, removals);
                        oracle.apply(edits.iter().copied());
                        kept.insert(tree.apply(parent, edits).0, (parent, oracle));
                    }
                    2 => {
                        kept.insert(tree.fork(parent).0, (parent, oracle));
                    }
                    _ if parent == Version::BASE => {}
                    _ if rng.random_bool(0.6) => drop_with_children(&mut tree, &mut kept, parent),
                    _ if kept[&parent.0].0 == Version::BASE => {
                        let siblings: Vec<_> = children(&kept, Version::BASE).filter(|one| *one != parent).collect();
                        siblings.into_iter().for_each(|one| drop_with_children(&mut tree, &mut kept, one));
                        tree.merge(parent);
                        base = kept.remove(&parent.0).expect("a version").1;
                        kept.values_mut().filter(|one| one.0 == parent).for_each(|one| one.0 = Version::BASE);
                    }
                    _ => {}
                }
                let pick = rng.random_range(0..=kept.len());
                match kept.iter().nth(pick) {
                    Some((number, (_, oracle))) => agree(&tree, Version(*number), oracle),
                    None => agree(&tree, Version::BASE, &base),
                }
            }
            kept.iter().for_each(|(number, (_, oracle))| agree(&tree, Version(*number), oracle));
            // Nothing is left in the arena when there is nothing left.
            let heads: Vec<_> = children(&kept, Version::BASE).collect();
            heads.into_iter().for_each(|one| drop_with_children(&mut tree, &mut kept, one));
            agree(&tree, Version::BASE, &base);
            let last = tree.apply(Version::BASE, base.iter().map(|(path, _)| (path, None)));
            tree.merge(last);
            assert_eq!((tree.root(Version::BASE), tree.arena().0), ([0; 32], 0), "seed {seed}");
        }
    }

    fn children(kept: &BTreeMap<u32, (Version, DigestTree)>, of: Version) -> impl Iterator<Item = Version> {
        kept.iter().filter(move |(_, (parent, _))| *parent == of).map(|(number, _)| Version(*number))
    }

    fn drop_with_children<const COPY: bool>(
        tree: &mut Tree<COPY>,
        kept: &mut BTreeMap<u32, (Version, DigestTree)>,
        version: Version,
    ) {
        let below: Vec<_> = children(kept, version).collect();
        below.into_iter().for_each(|one| drop_with_children(tree, kept, one));
        tree.discard(version);
        kept.remove(&version.0);
    }
}
