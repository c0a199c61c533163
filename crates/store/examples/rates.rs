//! Measures a store: loading a partition, commits of blocks, reads, and the start.
//!
//! ```text
//! cargo run --release -p pleach-store --example rates -- FOLDER [RECORDS] [VALUE_BYTES] [BLOCKS] [CHANGES]
//! ```
//!
//! Keys have 32 bytes, values are random bytes. A block changes random records and keeps eight heights. The folder must
//! not exist; it is removed at the end. Reads ratios within one run: the times depend on the disk and on what else the
//! machine does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as Folder;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_store::{Arrival, BlockWrite, Held, Keep, Options, StagedChunk, Store, Target, WindowEntry, fsck};
use pleach_tree::{Path, Prefix, ValueDigest};
use pleach_types::block::written_digest;
use pleach_types::history::Peaks;
use pleach_types::{Block, BlockResult, Context, Hash, Height, Key, PublicKey};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

const GENESIS: Hash = Hash([3; 32]);
/// Bits of the prefixes by which the partition is loaded.
const CHUNK_BITS: usize = 5;
const WINDOW: Height = 8;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

struct Bench {
    rng: StdRng,
    value_bytes: usize,
    keys: Vec<(Path, Key)>,
    /// The digests alone: the tree that gives each height its root, with a digest for a value.
    tree: pleach_tree::DigestTree,
    last: WindowEntry,
    /// The results before the last one.
    peaks: Peaks,
}

impl Bench {
    fn new(records: usize, value_bytes: usize) -> Outcome<Self> {
        let mut keys = (0..records)
            .map(|number| Ok((Path::of(b""), Key::new(format!("bank/accounts/number-{number:011}"))?)))
            .collect::<Outcome<Vec<_>>>()?;
        keys.iter_mut().for_each(|(path, key)| *path = Path::of(key.as_bytes()));
        keys.sort();
        let first = BlockResult::genesis(Hash::default(), Hash::default());
        let (tree, last) = (pleach_tree::DigestTree::new(), entry(first, None, vec![]));
        Ok(Self { rng: StdRng::seed_from_u64(1), value_bytes, keys, tree, last, peaks: Peaks::default() })
    }

    fn value(&mut self) -> Bytes {
        let mut value = vec![0; self.value_bytes];
        self.rng.fill_bytes(&mut value);
        value.into()
    }

    /// Stages all records, chunk by chunk. Values are made again for the tree and for the store, from the same seed.
    fn load(&mut self, store: &Store) -> Outcome {
        let digests: Vec<_> =
            (0..self.keys.len()).map(|at| (self.keys[at].0, ValueDigest::of(&self.value()))).collect();
        self.tree.extend(digests);
        self.last.result.root = self.tree.root().into();
        self.rng = StdRng::seed_from_u64(1);
        let start = Instant::now();
        let staging = store.stage(Target { height: 0, root: self.last.result.root })?;
        let mut at = 0;
        while at < self.keys.len() {
            let prefix = Prefix::new(self.keys[at].0, CHUNK_BITS);
            let mut records = BTreeMap::new();
            while at < self.keys.len() && prefix.contains(&self.keys[at].0) {
                let value = self.value();
                records.insert(self.keys[at].1.clone(), value);
                at += 1;
            }
            staging.put(&StagedChunk { prefix, records, outline: BTreeMap::new() })?;
        }
        report("staged", self.keys.len(), start.elapsed());
        let start = Instant::now();
        let (kept, window) = (vec![Prefix::ALL], vec![self.last.clone()]);
        staging.finish(
            &Arrival { kept, window, code: BTreeMap::new(), peaks: self.peaks.clone(), steps: Vec::new(), above: None },
            |_| {},
        )?;
        report("checked and switched", self.keys.len(), start.elapsed());
        Ok(())
    }

    fn block(&mut self, changes: usize) -> BlockWrite {
        let mut records = BTreeMap::new();
        for _ in 0..changes {
            let key = self.keys[self.rng.random_range(0..self.keys.len())].1.clone();
            let value = self.value();
            records.insert(key, Some(value));
        }
        let digests: Vec<_> = records
            .iter()
            .map(|(key, value)| (Path::of(key.as_bytes()), value.as_deref().map(ValueDigest::of)))
            .collect();
        let written: BTreeSet<Path> = digests.iter().map(|(path, _)| *path).collect();
        self.tree.apply(digests);
        self.peaks.push(&self.last.result);
        let height = self.last.result.height + 1;
        let (root, history) = (self.tree.root().into(), self.peaks.root());
        let result = BlockResult { height, root, history, written: written_digest(&written), ..self.last.result };
        self.last = entry(result, Some(&self.last), written.into_iter().collect());
        let oldest = height.saturating_sub(WINDOW);
        BlockWrite {
            entry: self.last.clone(),
            records,
            outline: BTreeMap::new(),
            code: BTreeMap::new(),
            keep: Keep { values: oldest, window: oldest },
            step: None,
        }
    }

    fn commits(&mut self, store: &Store, blocks: usize, changes: usize) -> Outcome {
        let mut times = Vec::new();
        for _ in 0..blocks {
            let block = self.block(changes);
            let start = Instant::now();
            store.commit(&block)?;
            times.push(start.elapsed());
        }
        times.sort();
        let (median, p90) = (times[blocks / 2], times[blocks * 9 / 10]);
        println!("commit of {changes} changes: median {median:.1?}, 90 % within {p90:.1?}");
        Ok(())
    }

    fn reads(&mut self, store: &Store, count: usize) -> Outcome {
        for behind in [0, 2, WINDOW] {
            let snapshot = store.at(self.last.result.height.saturating_sub(behind))?;
            let start = Instant::now();
            for _ in 0..count {
                let path = self.keys[self.rng.random_range(0..self.keys.len())].0;
                assert!(snapshot.value(&path)?.is_some(), "every record is there");
            }
            report(&format!("read {behind} heights behind"), count, start.elapsed());
        }
        let start = Instant::now();
        let (snapshot, mut after, mut records) = (store.at(self.last.result.height - 2)?, None, 0);
        loop {
            let chunk = snapshot.chunk(&Prefix::ALL, after.as_ref(), 1 << 20)?;
            records += chunk.records.len();
            after = chunk.records.last().map(|(path, _)| *path);
            if !chunk.more {
                break;
            }
        }
        report("walked in chunks of 1 MiB, 2 heights behind", records, start.elapsed());
        Ok(())
    }
}

/// What a height leaves in the window, on top of another one.
fn entry(result: BlockResult, below: Option<&WindowEntry>, written: Vec<Path>) -> WindowEntry {
    let (before, parent) = below.map_or((result, GENESIS), |below| (below.result, below.block()));
    let context = Context { epoch: 0, view: 0, parent_view: 0, leader: PublicKey([1; 32]), parent };
    let header = Block::new(context, result.height, before, vec![]).header;
    WindowEntry { result, header, requests: 0, written, receipts: vec![], code: vec![], certificate: None }
}

fn report(what: &str, count: usize, time: Duration) {
    println!("{what}: {count} in {time:.2?}, {:.2?} each", time / count.max(1) as u32);
}

fn usage(store: &Store) -> Outcome {
    let usage = store.usage()?;
    let mb = |bytes: u64| bytes >> 20;
    println!(
        "holds {} records of {} MB, window {} MB, other {} MB, file {} MB",
        usage.records.rows,
        mb(usage.records.bytes),
        mb(usage.window.bytes),
        mb(usage.other_bytes()),
        mb(usage.file_bytes)
    );
    Ok(())
}

/// Opens and checks, building the tree of digests on the way.
fn start(folder: &Folder, root: Option<Hash>) -> Outcome<Store> {
    let begin = Instant::now();
    let opened = Store::open(folder, &GENESIS, &Options::default())?;
    let open = begin.elapsed();
    let mut digests = Vec::new();
    let mut tree_time = Duration::ZERO;
    let mut tree = pleach_tree::DigestTree::new();
    let store = opened.check(
        |batch| {
            let begin = Instant::now();
            digests.extend(batch.iter().filter_map(|held| match held {
                Held::Record { path, digest, .. } => Some((*path, *digest)),
                Held::Outline { .. } => None,
            }));
            if digests.len() >= 100_000 {
                tree.extend(digests.drain(..));
            }
            tree_time += begin.elapsed();
        },
        |_| {},
    )?;
    tree.extend(digests);
    if let Some(root) = root {
        let all = begin.elapsed();
        assert_eq!(Hash::from(tree.root()), root, "the tree that was built has the stored root");
        println!("start: {all:.2?}, of it opening {open:.2?}, building a tree of digests {tree_time:.2?}");
    }
    Ok(store)
}

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let folder = Folder::new(arguments.first().ok_or("which folder?")?);
    if folder.exists() {
        return Err(format!("{} exists", folder.display()).into());
    }
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let (records, value_bytes) = (number(1, 1_000_000)?, number(2, 32)?);
    let (blocks, changes) = (number(3, 50)?, number(4, 1_000)?);
    println!("{records} records of 32 + {value_bytes} bytes");
    let mut bench = Bench::new(records, value_bytes)?;
    let store = start(folder, None)?;
    bench.load(&store)?;
    usage(&store)?;
    bench.commits(&store, blocks, changes)?;
    bench.commits(&store, blocks, 1)?;
    usage(&store)?;
    bench.reads(&store, 100_000)?;
    // As a kill leaves it, and as a clean end does.
    let killed = folder.with_extension("killed");
    std::fs::create_dir_all(&killed)?;
    std::fs::copy(folder.join("store.pleach"), killed.join("store.pleach"))?;
    store.close()?;
    print!("after a clean end, ");
    drop(start(folder, Some(bench.last.result.root))?);
    print!("after a kill, ");
    drop(start(&killed, Some(bench.last.result.root))?);
    let begin = Instant::now();
    assert!(fsck(folder, |_| {})?.is_sound(), "nothing is damaged");
    println!("fsck: {:.2?}", begin.elapsed());
    std::fs::remove_dir_all(&killed)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
