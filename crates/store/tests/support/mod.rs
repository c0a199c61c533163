//! What the tests share: random blocks, and a naive model that keeps a whole map for every height.

#![allow(dead_code, missing_docs)]

pub mod disk;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pleach_store::{Arrival, BlockWrite, Held, Keep, StagedChunk, Store, Target, WindowEntry};
use pleach_tree::{Label, OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::history::Peaks;
use pleach_types::{
    Block, BlockResult, CallOutput, Certificate, Context, Decision, Encode, Hash, Height, Key, PublicKey, Receipt,
    Refusal, Signature, UsedCode,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub type Map = BTreeMap<Key, Bytes>;

/// Results whose places are proved in full: few, so that tests see what is dropped.
pub const FINE: u64 = 16;

pub const GENESIS: Hash = Hash([0x11; 32]);

/// The label of leaves, from its definition: another program than both the tree's and the store's.
pub fn label(leaves: &[(Path, ValueDigest)], depth: usize) -> Label {
    let hash = |a: &[u8], b: &[u8]| *blake3::hash(&[a, b].concat()).as_bytes();
    match leaves {
        [] => Label::EMPTY,
        [(path, digest)] => {
            let mut label = hash(path.as_bytes(), digest.as_bytes());
            label[0] |= 0x80;
            label.into()
        }
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(path, _)| !path.bit(depth)));
            let mut hash = hash(label(left, depth + 1).as_bytes(), label(right, depth + 1).as_bytes());
            hash[0] &= 0x7f;
            hash.into()
        }
    }
}

pub fn leaves(map: &Map) -> Vec<(Path, ValueDigest)> {
    let mut leaves: Vec<_> =
        map.iter().map(|(key, value)| (Path::of(key.as_bytes()), ValueDigest::of(value))).collect();
    leaves.sort();
    leaves
}

/// Which part a node holds, and how coarsely it knows the rest.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bits of the prefixes.
    pub bits: usize,
    /// The node holds the prefixes whose number is below this.
    pub held: usize,
}

impl Layout {
    pub const ALL: Self = Self { bits: 0, held: 1 };

    pub fn holds(&self, path: &Path) -> bool {
        let number = (0..self.bits).fold(0, |number, bit| number << 1 | usize::from(path.bit(bit)));
        number < self.held
    }

    pub fn kept(&self) -> Vec<Prefix> {
        let prefix = |number: usize| {
            let mut path = [0; 32];
            path[0] = (number << (8 - self.bits)) as u8;
            Prefix::new(path.into(), self.bits)
        };
        (0..self.held.min(1 << self.bits)).map(prefix).collect()
    }

    pub fn part(&self, map: &Map) -> Map {
        map.iter()
            .filter(|(key, _)| self.holds(&Path::of(key.as_bytes())))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// What a node knows of the rest: subtrees at the prefixes, and leaves where there is but one.
    pub fn outline(&self, map: &Map) -> BTreeMap<Prefix, OutlineNode> {
        let leaves = leaves(map);
        let mut groups: BTreeMap<Prefix, Vec<_>> = BTreeMap::new();
        for (path, digest) in leaves.into_iter().filter(|(path, _)| !self.holds(path)) {
            groups.entry(Prefix::new(path, self.bits)).or_default().push((path, digest));
        }
        let node = |(prefix, leaves): (Prefix, Vec<(Path, ValueDigest)>)| match leaves[..] {
            [(path, digest)] => (Prefix::new(path, Path::BITS), OutlineNode::Leaf(digest)),
            _ => (prefix, OutlineNode::Subtree(label(&leaves, self.bits))),
        };
        groups.into_iter().map(node).collect()
    }

    /// The prefixes that cut the key space, as chunks of a transfer.
    pub fn chunks(&self, map: &Map, bits: usize) -> Vec<StagedChunk> {
        let (part, outline) = (self.part(map), self.outline(map));
        let number = |path: &Path| Prefix::new(*path, bits.min(self.bits));
        let mut prefixes: BTreeSet<Prefix> = part.keys().map(|key| number(&Path::of(key.as_bytes()))).collect();
        prefixes.extend(outline.keys().map(|at| number(&at.first())));
        let chunk = |prefix: Prefix| StagedChunk {
            prefix,
            records: part
                .iter()
                .filter(|(key, _)| prefix.contains(&Path::of(key.as_bytes())))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            outline: outline.iter().filter(|(at, _)| prefix.covers(at)).map(|(at, node)| (*at, *node)).collect(),
        };
        prefixes.into_iter().map(chunk).collect()
    }
}

/// A chain of random blocks and what it comes to, for all heights ever.
pub struct World {
    pub rng: StdRng,
    pub layout: Layout,
    pub keys: u32,
    pub large: bool,
    pub maps: BTreeMap<Height, Map>,
    pub entries: BTreeMap<Height, WindowEntry>,
    /// What stands for the results of all heights before each.
    pub peaks: BTreeMap<Height, Peaks>,
    pub code: Vec<Bytes>,
    /// The code whose bytes are stored, if not that of the whole window.
    pub bytes: Option<BTreeSet<Hash>>,
}

pub fn key(number: u32) -> Key {
    Key::new(format!("bank/{number}")).unwrap()
}

/// What comes with a partition of a height: a store does not look into it.
pub fn above(height: Height) -> Certificate {
    let signatures = vec![Signature([7; 64]); 3];
    Certificate { epoch: 1, view: height, parent_view: 0, block: GENESIS, signers: vec![0, 1, 3], signatures }
}

pub fn digest(code: &Bytes) -> Hash {
    ValueDigest::of(code).into()
}

impl World {
    pub fn new(seed: u64, layout: Layout, keys: u32) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let code = (0..4).map(|_| (0..rng.random_range(1..300)).map(|_| rng.random()).collect()).collect();
        let (maps, entries, peaks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut world = Self { rng, layout, keys, large: false, maps, entries, peaks, code, bytes: None };
        let mut map = Map::new();
        for key in (0..keys).map(key) {
            if world.rng.random_bool(0.6) {
                let value = world.value();
                map.insert(key, value);
            }
        }
        world.push(0, map, &[]);
        world
    }

    fn value(&mut self) -> Bytes {
        let most = if self.large && self.rng.random_bool(0.05) { 9_000 } else { 60 };
        (0..self.rng.random_range(0..=most)).map(|_| self.rng.random()).collect()
    }

    pub fn height(&self) -> Height {
        *self.maps.keys().next_back().unwrap()
    }

    /// Makes the next block and remembers what it comes to.
    pub fn next(&mut self) -> Height {
        let height = self.height() + 1;
        let mut map = self.maps[&(height - 1)].clone();
        let mut written = Vec::new();
        for _ in 0..self.rng.random_range(0..12) {
            let key = key(self.rng.random_range(0..self.keys));
            written.push(Path::of(key.as_bytes()));
            if self.rng.random_bool(0.3) {
                map.remove(&key);
            } else {
                let value = self.value();
                map.insert(key, value);
            }
        }
        self.push(height, map, &written);
        height
    }

    fn push(&mut self, height: Height, map: Map, written: &[Path]) {
        let written: BTreeSet<Path> = written.iter().copied().collect();
        let receipts: Vec<_> = (0..self.rng.random_range(0..5)).map(|index| self.receipt(height, index)).collect();
        let root = label(&leaves(&map), 0).into();
        let code: BTreeSet<UsedCode> = (0..self.rng.random_range(0..3))
            .map(|_| &self.code[self.rng.random_range(0..4)])
            .map(|code| UsedCode::new(digest(code), code))
            .collect();
        let mut peaks = Peaks::default();
        if let Some((below, entry)) = self.entries.last_key_value() {
            peaks = self.peaks[below].clone();
            peaks.push(&entry.result);
        }
        let result = BlockResult {
            height,
            root,
            receipts: receipts_root(&receipts),
            written: written_digest(&written),
            code: code_digest(&code),
            history: peaks.root(),
            ..BlockResult::default()
        };
        let parent = self.entries.last_key_value().map(|(_, entry)| entry);
        let (before, parent) = parent.map_or((result, GENESIS), |entry| (entry.result, entry.block()));
        let context = Context { epoch: 0, view: height, parent_view: 0, leader: PublicKey([1; 32]), parent };
        let requests = (0..self.rng.random_range(0..4)).map(|_| vec![self.rng.random(); 40].into()).collect();
        let block = Block::new(context, height, before, requests);
        let entry = WindowEntry {
            result,
            header: block.header.clone(),
            requests: block.requests.len() as u32,
            written: written.into_iter().collect(),
            receipts,
            code: code.into_iter().collect(),
            certificate: None,
        };
        self.maps.insert(height, map);
        self.entries.insert(height, entry);
        self.peaks.insert(height, peaks);
    }

    fn receipt(&mut self, height: Height, index: u32) -> Receipt {
        let decision = if self.rng.random_bool(0.5) {
            Decision::Applied(vec![CallOutput { output: "out".into(), events: vec![] }])
        } else {
            Decision::Refused { call: Some(0), refusal: Refusal::Trap }
        };
        Receipt { identity: Hash(self.rng.random()), height, index, gas: 7, decision }
    }

    /// The block of a height in the store's terms.
    pub fn block(&self, height: Height, keep: Keep) -> BlockWrite {
        let (before, after) = (&self.maps[&(height - 1)], &self.maps[&height]);
        let entry = self.entries[&height].clone();
        let mut records = BTreeMap::new();
        for key in (0..self.keys).map(key) {
            let path = Path::of(key.as_bytes());
            // Written with the value that it had is allowed, and changes nothing.
            if self.layout.holds(&path) && entry.written.contains(&path) {
                records.insert(key.clone(), after.get(&key).cloned());
            }
        }
        let (old, new) = (self.layout.outline(before), self.layout.outline(after));
        let mut outline: BTreeMap<_, _> = old.keys().filter(|at| !new.contains_key(at)).map(|at| (*at, None)).collect();
        outline.extend(new.iter().filter(|(at, node)| old.get(at) != Some(node)).map(|(at, node)| (*at, Some(*node))));
        BlockWrite { code: self.code_of(&entry), entry, records, outline, keep, step: None }
    }

    fn code_of(&self, entry: &WindowEntry) -> BTreeMap<Hash, Bytes> {
        let known = self.code.iter().map(|code| (digest(code), code.clone()));
        known.filter(|(digest, _)| entry.code.iter().any(|used| used.digest == *digest)).collect()
    }

    pub fn target(&self, height: Height) -> Target {
        Target { height, root: self.entries[&height].result.root }
    }

    /// What arrives with a partition of `height` and a window that begins at `first`.
    pub fn arrival(&self, first: Height, height: Height) -> Arrival {
        let window: Vec<_> = self.entries.range(first..=height).map(|(_, entry)| entry.clone()).collect();
        let code = window.iter().flat_map(|entry| self.code_of(entry)).collect();
        let (kept, peaks) = (self.layout.kept(), self.peaks[&height].clone());
        Arrival { kept, window, code, peaks, steps: Vec::new(), above: Some(above(height)) }
    }

    /// Puts the partition of a height into a store.
    pub fn install(&self, store: &Store, first: Height, height: Height, bits: usize) {
        self.install_as(store, height, bits, &self.arrival(first, height));
    }

    pub fn install_as(&self, store: &Store, height: Height, bits: usize, arrival: &Arrival) {
        let staging = store.stage(self.target(height)).unwrap();
        for chunk in self.layout.chunks(&self.maps[&height], bits) {
            staging.put(&chunk).unwrap();
        }
        staging.finish(arrival, |_| {}).unwrap();
    }

    /// What a start must hand over at a height: records and outline in the order of paths.
    pub fn held(&self, height: Height) -> Vec<Held> {
        let map = &self.maps[&height];
        let mut held: Vec<_> = self
            .layout
            .part(map)
            .into_iter()
            .map(|(key, value)| {
                let (path, digest) = (Path::of(key.as_bytes()), ValueDigest::of(&value));
                (path, Held::Record { path, key, value, digest })
            })
            .collect();
        held.extend(self.layout.outline(map).into_iter().map(|(at, node)| (at.first(), Held::Outline { at, node })));
        held.sort_by_key(|(path, _)| *path);
        held.into_iter().map(|(_, held)| held).collect()
    }

    /// Compares everything that a store gives out with the model, at every height that it must answer for.
    pub fn compare(&self, store: &Store, keep: Keep, context: &str) {
        let position = store.position().unwrap();
        let height = position.height();
        let entry = &self.entries[&height];
        assert_eq!((position.result, position.block), (entry.result, entry.block()), "{context}");
        assert_eq!(position.peaks, self.peaks[&height], "{context}");
        assert_eq!(store.kept(), self.layout.kept(), "{context}");
        assert_eq!(store.keep(), Some(keep), "{context}");
        for at in keep.values..=height {
            self.compare_height(store, at, context);
        }
        assert!(keep.values == 0 || store.at(keep.values - 1).is_err(), "{context}");
        assert!(store.at(height + 1).is_err(), "{context}");
        self.compare_window(store, keep, height, context);
    }

    pub fn compare_height(&self, store: &Store, height: Height, context: &str) {
        let part = self.layout.part(&self.maps[&height]);
        let snapshot = store.at(height).unwrap();
        for key in (0..self.keys + 3).map(key) {
            let found = snapshot.value(&Path::of(key.as_bytes())).unwrap();
            assert_eq!(found.as_ref().map(|record| &record.value), part.get(&key), "{context}, {key} at {height}");
            assert!(found.is_none_or(|record| record.key == key), "{context}, {key} at {height}");
        }
        let mut walked = Map::new();
        let mut after = None;
        loop {
            let chunk = snapshot.chunk(&Prefix::ALL, after.as_ref(), 200).unwrap();
            assert!(chunk.records.is_sorted_by(|(a, _), (b, _)| a < b), "{context}");
            after = chunk.records.last().map(|(path, _)| *path);
            walked.extend(chunk.records.into_iter().map(|(_, record)| (record.key, record.value)));
            if !chunk.more {
                break;
            }
        }
        assert_eq!(walked, part, "{context}, walk at {height}");
    }

    fn compare_window(&self, store: &Store, keep: Keep, height: Height, context: &str) {
        let mut warm = BTreeMap::new();
        for at in keep.window.saturating_sub(2)..=height + 1 {
            let entry = (at >= keep.window).then(|| self.entries.get(&at)).flatten().filter(|_| at <= height);
            assert_eq!(store.window(at).unwrap().as_ref(), entry, "{context}, window {at}");
            for used in entry.into_iter().flat_map(|entry| &entry.code) {
                warm.insert(used.digest, at);
            }
        }
        warm.retain(|digest, _| self.bytes.as_ref().is_none_or(|bytes| bytes.contains(digest)));
        let known = |hash: &Hash| self.code.iter().find(|code| digest(code) == *hash).cloned().unwrap();
        let expected: BTreeMap<_, _> = warm.iter().map(|(hash, at)| (*hash, (*at, known(hash)))).collect();
        assert_eq!(store.warm().unwrap(), expected, "{context}");
        for code in &self.code {
            let found = store.code(&digest(code)).unwrap();
            assert_eq!(found.as_ref(), warm.contains_key(&digest(code)).then_some(code), "{context}");
        }
    }
}

/// The root of receipts, from identity to encoding, by the naive labels.
fn receipts_root(receipts: &[Receipt]) -> Hash {
    let mut leaves: Vec<_> = receipts.iter().map(|r| (Path::of(&r.identity.0), ValueDigest::of(&r.encode()))).collect();
    leaves.sort();
    label(&leaves, 0).into()
}

/// Opens a store on a disk and checks it. Returns what the start handed over.
pub fn start(disk: impl pleach_store::StorageBackend) -> Result<(Store, Vec<Held>), pleach_store::OpenError> {
    let options = pleach_store::Options { cache_bytes: 1 << 20, fine_history: FINE };
    let mut held = Vec::new();
    let opened = Store::open_on(disk, &GENESIS, &options)?;
    let store = opened.check(|batch| held.extend_from_slice(batch), |_| {})?;
    Ok((store, held))
}
