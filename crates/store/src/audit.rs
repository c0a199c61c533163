//! Reading everything once and comparing it with what it should be: the start of a node, and `fsck`.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use pleach_tree::ValueDigest;
use pleach_types::block::{code_digest, written_digest};
use pleach_types::codec::Decode;
use pleach_types::receipt::receipts_tree;
use pleach_types::{Block, Hash, Height};

use crate::database::{Row, View, ViewRows};
use crate::error::{DAMAGES_MAX, Damage, Error};
use crate::fold::{BUCKETS, Fold, Held, Partition};
use crate::layout::{Bucket, Sizes, State, Tally, WindowEntry, decoded};
use crate::read::{Changed, before_at, head};
use crate::seal::SEAL_BYTES;
use crate::table::{STATE, Table, decode_height, decode_undo_key, invariant};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 4_096;

/// How far a walk over the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}

/// What an audit looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What a node needs to know before it serves.
    Start,
    /// Also what is re-derived from it: the roots of receipts, the digests of blocks, what is staged.
    Full,
}

/// The damages found: the first ones, and how many in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damages {
    pub(crate) first: Vec<Damage>,
    pub(crate) count: u64,
}

impl Damages {
    pub(crate) fn add(&mut self, damage: Damage) {
        self.count += 1;
        if self.first.len() < DAMAGES_MAX {
            self.first.push(damage);
        }
    }

    /// Notes damage and goes on; anything else ends the audit.
    fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Damaged(damage)) => {
                self.add(damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What an audit found.
pub(crate) struct Audit {
    pub(crate) damages: Damages,
    pub(crate) state: Option<State>,
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) changed: Changed,
    /// Rows read.
    pub(crate) rows: u64,
}

/// Reads everything. Records and frame are given to `visit` in the order of paths.
pub(crate) fn audit(
    view: &View,
    depth: Depth,
    visit: &mut dyn FnMut(&[Held]),
    progress: &mut dyn FnMut(Progress),
) -> Result<Audit> {
    let mut total = 0;
    for table in Table::ALL {
        total += view.table(table)?.len()?;
    }
    let mut auditor = Auditor {
        view,
        depth,
        progress,
        at: Progress { done: 0, total },
        damages: Damages::default(),
        sizes: Sizes::default(),
    };
    (auditor.progress)(auditor.at);
    let state = auditor.state()?;
    let partition = auditor.partition([Table::Records, Table::Frame], visit)?;
    auditor.buckets(&partition.buckets)?;
    let changed = auditor.undo(state.as_ref())?;
    let window = auditor.window(state.as_ref())?;
    auditor.code(&window)?;
    auditor.ordered(state.as_ref(), &window)?;
    if depth == Depth::Full {
        for table in [Table::StagedRecords, Table::StagedFrame, Table::StagedChunks] {
            auditor.rows(table, |_, _| Ok(()))?;
        }
    }
    auditor.close(state.as_ref(), partition.root);
    (auditor.progress)(auditor.at);
    let Auditor { damages, at, .. } = auditor;
    Ok(Audit { damages, state, buckets: partition.buckets, changed, rows: at.done })
}

/// Walks a partition, live or staged, without an audit of the rest. Damage is an error.
pub(crate) fn partition(view: &View, tables: [Table; 2], progress: &mut dyn FnMut(Progress)) -> Result<Partition> {
    let total = view.table(tables[0])?.len()? + view.table(tables[1])?.len()?;
    let mut auditor = Auditor {
        view,
        depth: Depth::Start,
        progress,
        at: Progress { done: 0, total },
        damages: Damages::default(),
        sizes: Sizes::default(),
    };
    let partition = auditor.partition(tables, &mut |_| {})?;
    (auditor.progress)(auditor.at);
    match auditor.damages.first.into_iter().next() {
        Some(damage) => Err(damage.into()),
        None => Ok(partition),
    }
}

struct Auditor<'a> {
    view: &'a View,
    depth: Depth,
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
    damages: Damages,
    /// What was counted, to be compared with the stored sizes.
    sizes: Sizes,
}

/// What the window's entries say about other tables.
#[derive(Default)]
struct Windows {
    /// The last height that carried or ran each code.
    code: BTreeMap<Hash, Height>,
    blocks: BTreeMap<Height, Hash>,
}

impl Auditor<'_> {
    fn count(&mut self, table: Table, row: &Row) {
        if let Some(tally) = self.sizes.get_mut(table) {
            tally.rows += 1;
            tally.bytes += (row.key.len() + SEAL_BYTES + row.content.len()) as u64;
        }
        self.at.done += 1;
        if self.at.done.is_multiple_of(PROGRESS_ROWS) {
            (self.progress)(self.at);
        }
    }

    /// Looks at each row of a table.
    fn rows(&mut self, table: Table, mut look: impl FnMut(&mut Self, &Row) -> Result<(), Damage>) -> Result<()> {
        let Some(rows) = self.start(table)? else { return Ok(()) };
        for row in rows {
            let Some(row) = self.damages.note(row)? else { continue };
            self.count(table, &row);
            if let Err(damage) = look(self, &row) {
                self.damages.add(damage);
            }
        }
        Ok(())
    }

    fn start(&mut self, table: Table) -> Result<Option<ViewRows>> {
        let rows = self.view.table(table).and_then(|rows| rows.from(&[]));
        self.damages.note(rows)
    }

    fn state(&mut self) -> Result<Option<State>> {
        let mut state = None;
        self.rows(Table::Meta, |_, row| {
            if row.key == STATE {
                state = Some(decoded(Table::Meta, STATE, &row.content)?);
            }
            Ok(())
        })?;
        Ok(state)
    }

    /// Records and frame, merged in the order of paths.
    fn partition(&mut self, tables: [Table; 2], visit: &mut dyn FnMut(&[Held])) -> Result<Partition> {
        let damages_before = self.damages.count;
        let (Some(records), Some(frame)) = (self.start(tables[0])?, self.start(tables[1])?) else {
            let none = Tally::default();
            return Ok(Partition { root: None, buckets: vec![Bucket::default(); BUCKETS], records: none, frame: none });
        };
        let (mut records, mut frame) = (records.peekable(), frame.peekable());
        let mut fold = Fold::new(visit);
        // Frame rows begin with their path, so the keys of both tables compare as their first paths do. What
        // can't be read comes first, to be noted.
        while let Some(table) = next_of(&mut records, &mut frame, tables) {
            let row = if table == tables[0] { records.next() } else { frame.next() };
            let Some(Some(row)) = row.map(|row| self.damages.note(row)).transpose()? else { continue };
            self.count(table, &row);
            let held = if table == tables[0] { fold.record(&row) } else { fold.frame(&row) };
            if let Some(held) = self.damages.note(held)? {
                let added = fold.add(held);
                self.damages.note(added)?;
            }
        }
        let mut partition = fold.finish();
        if self.damages.count > damages_before {
            partition.root = None;
        }
        Ok(partition)
    }

    fn buckets(&mut self, found: &[Bucket]) -> Result<()> {
        let mut stored = vec![Bucket::default(); BUCKETS];
        self.rows(Table::Buckets, |_, row| {
            let bucket = Bucket::decode(&row.content);
            match (row.key.as_slice(), bucket) {
                ([byte], Some(bucket)) => stored[usize::from(*byte)] = bucket,
                _ => return Err(invariant(Table::Buckets, &row.key, "not a bucket")),
            }
            Ok(())
        })?;
        for (first_byte, (stored, found)) in stored.iter().zip(found).enumerate() {
            if stored != found {
                self.damages.add(Damage::Bucket {
                    first_byte: first_byte as u8,
                    stored: stored.records,
                    stored_sum: stored.sum,
                    found: found.records,
                    found_sum: found.sum,
                });
            }
        }
        Ok(())
    }

    fn undo(&mut self, state: Option<&State>) -> Result<Changed> {
        let readable = state.map(|state| state.keep.values.saturating_add(1)..=state.position.height());
        let mut heads: BTreeMap<Height, Vec<u64>> = BTreeMap::new();
        self.rows(Table::Undo, |_, row| {
            let (height, path) =
                decode_undo_key(&row.key).ok_or_else(|| invariant(Table::Undo, &row.key, "not a height and a path"))?;
            before_at(&row.key, &path, &row.content)?;
            if !readable.as_ref().is_some_and(|readable| readable.contains(&height)) {
                return Err(invariant(Table::Undo, &row.key, "the height is not in the window"));
            }
            heads.entry(height).or_default().push(head(&path));
            Ok(())
        })?;
        let sorted = heads.into_iter().map(|(height, mut heads)| {
            heads.sort_unstable();
            (height, heads.into())
        });
        Ok(Arc::new(sorted.collect()))
    }

    fn window(&mut self, state: Option<&State>) -> Result<Windows> {
        let mut windows = Windows::default();
        let mut last: Option<WindowEntry> = None;
        self.rows(Table::Window, |auditor, row| {
            let entry: WindowEntry = decoded(Table::Window, &row.key, &row.content)?;
            auditor.entry(row, &entry, last.as_ref(), state)?;
            windows.code.extend(entry.code.iter().map(|digest| (*digest, entry.result.height)));
            windows.blocks.insert(entry.result.height, entry.block());
            last = Some(entry);
            Ok(())
        })?;
        let stored = state.map(|state| (&state.position.result, &state.position.block));
        let newest = last.as_ref().map(|entry| (entry.result, entry.block()));
        if stored != newest.as_ref().map(|(result, block)| (result, block)) {
            let why = "it does not end with the stored position".to_owned();
            let height = state.map_or(0, |state| state.position.height());
            self.damages.add(invariant(Table::Window, &height.to_be_bytes(), why));
        }
        Ok(windows)
    }

    fn entry(
        &self,
        row: &Row,
        entry: &WindowEntry,
        last: Option<&WindowEntry>,
        state: Option<&State>,
    ) -> Result<(), Damage> {
        let broken = |why: String| Err(invariant(Table::Window, &row.key, why));
        let height = entry.result.height;
        if decode_height(&row.key) != Some(height) {
            return broken(format!("it is of height {height}"));
        }
        let expected = match (last, state) {
            (Some(last), _) => last.result.height.saturating_add(1),
            (None, Some(state)) => state.keep.window,
            (None, None) => return broken("there is no position".into()),
        };
        if height != expected {
            return broken(format!("height {expected} should stand here"));
        }
        if let Some(below) = last {
            entry.check_link(&below.result, &below.block()).or_else(|refused| broken(refused.to_string()))?;
        }
        let written = written_digest(&entry.written);
        if written != entry.result.written {
            return broken(format!("written paths stored {}, recomputed {written}", entry.result.written));
        }
        let code = code_digest(&entry.code);
        if code != entry.result.code {
            return broken(format!("the list of code stored {}, recomputed {code}", entry.result.code));
        }
        if entry.header.height != height {
            return broken(format!("it has the header of height {}", entry.header.height));
        }
        if self.depth == Depth::Full {
            let receipts = Hash::from(receipts_tree(&entry.receipts).root());
            if receipts != entry.result.receipts {
                return broken(format!("receipts stored {}, recomputed {receipts}", entry.result.receipts));
            }
        }
        Ok(())
    }

    fn code(&mut self, windows: &Windows) -> Result<()> {
        let mut found = BTreeSet::new();
        self.rows(Table::Code, |_, row| {
            let digest = Hash::from(ValueDigest::of(&row.content));
            if row.key != digest.0 {
                return Err(invariant(Table::Code, &row.key, format!("recomputed {digest}")));
            }
            found.insert(digest);
            Ok(())
        })?;
        let mut used = BTreeMap::new();
        self.rows(Table::CodeUsed, |_, row| {
            match (row.key.as_slice().try_into(), decode_height(&row.content)) {
                (Ok(digest), Some(height)) => used.insert(Hash(digest), height),
                _ => return Err(invariant(Table::CodeUsed, &row.key, "not a digest and a height")),
            };
            Ok(())
        })?;
        let known: BTreeSet<_> = found.iter().chain(used.keys()).chain(windows.code.keys()).collect();
        for digest in known {
            let expected = windows.code.get(digest);
            if !found.contains(digest) || used.get(digest) != expected {
                let (has, used) = (found.contains(digest), used.get(digest));
                let why = format!("bytes stored: {has}, last used at {used:?}, the window says {expected:?}");
                self.damages.add(invariant(Table::Code, &digest.0, why));
            }
        }
        Ok(())
    }

    fn ordered(&mut self, state: Option<&State>, windows: &Windows) -> Result<()> {
        let kept = state.map(|state| state.keep.ordered..=state.position.height());
        self.rows(Table::Ordered, |auditor, row| {
            let height = decode_height(&row.key);
            let Some(height) = height.filter(|height| kept.as_ref().is_some_and(|kept| kept.contains(height))) else {
                return Err(invariant(Table::Ordered, &row.key, "the height is not kept"));
            };
            if auditor.depth == Depth::Full {
                let block = decode_ordered(&row.content, height);
                let digest = block.map_err(|why| invariant(Table::Ordered, &row.key, why))?;
                if windows.blocks.get(&height).is_some_and(|stored| *stored != digest) {
                    return Err(invariant(Table::Ordered, &row.key, format!("recomputed {digest}")));
                }
            }
            Ok(())
        })
    }

    /// The root and the sizes, which need everything else.
    fn close(&mut self, state: Option<&State>, root: Option<Hash>) {
        let Some(state) = state else {
            if self.sizes != Sizes::default() {
                self.damages.add(invariant(Table::Meta, STATE, "there are rows, but no state"));
            }
            return;
        };
        // Damaged rows have been named already, and would make every root wrong.
        if let Some(recomputed) = root.filter(|root| *root != state.position.result.root) {
            let (height, stored) = (state.position.height(), state.position.result.root);
            self.damages.add(Damage::Root { height, stored, recomputed });
        }
        if self.damages.count == 0 && self.sizes != state.sizes {
            let why = format!("sizes stored {:?}, recomputed {:?}", state.sizes, self.sizes);
            self.damages.add(invariant(Table::Meta, STATE, why));
        }
    }
}

/// Whose row comes next.
fn next_of(records: &mut Peekable<ViewRows>, frame: &mut Peekable<ViewRows>, tables: [Table; 2]) -> Option<Table> {
    fn key(row: &Result<Row>) -> Option<&[u8]> {
        row.as_ref().ok().map(|row| row.key.as_slice())
    }
    match (records.peek().map(key), frame.peek().map(key)) {
        (None, None) => None,
        (Some(_), None) => Some(tables[0]),
        (None, Some(_)) => Some(tables[1]),
        (Some(record), Some(frame)) => Some(if record <= frame { tables[0] } else { tables[1] }),
    }
}

/// The digest of the block that ordered bytes hold.
pub(crate) fn decode_ordered(bytes: &[u8], height: Height) -> Result<Hash, String> {
    let block = Block::decode(bytes).map_err(|e| e.to_string())?;
    if block.header.height != height {
        return Err(format!("they are of height {}", block.header.height));
    }
    Ok(block.digest())
}
