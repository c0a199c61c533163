//! Replacing the whole partition: a node that begins, was wiped, or is too far behind to catch up block by block.
//!
//! Chunks go into tables of their own, each durable when it is taken, so that memory holds one at a time. The last
//! transaction puts the tables in the place of the old ones: before it the store is the old one, after it the new one. The
//! start of a cluster is the same with the records of genesis.
//!
//! A staging does not outlive its handle. Whoever fetches a partition again, after a crash or a failed attempt, fetches
//! another height by then; what is left of the attempt before is dropped when the next one begins.
//!
//! Whoever brings a chunk has verified it against the certified root. Before the switch, the root of everything
//! that was staged is computed once more: what is missing or twice there is refused, and the old partition stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use pleach_tree::{OutlineNode, Path, Prefix};
use pleach_types::codec::Encode;
use pleach_types::history::Peaks;
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::succession::Step;
use pleach_types::{Certificate, Hash, Height, Key};

use crate::audit::{self, Progress};
use crate::commit::{check_code, within, write_entry, write_state, write_steps};
use crate::database::{Changes, lock};
use crate::error::{Damage, Error, Refused, Result, RowPlace};
use crate::fold::FoldedPartition;
use crate::history;
use crate::kept::Kept;
use crate::layout::{Count, Keep, Position, Sizes, StateRow, WindowEntry, encode_outline, encode_record};
use crate::prefix_key::{self, overlap, whole};
use crate::store::Store;
use crate::table::{KEPT, Table, prefix_key};

/// What is being staged: the records of one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The height.
    pub height: Height,
    /// Its certified root.
    pub root: Hash,
}

/// All that there is under a prefix.
#[derive(Clone, Debug)]
pub struct StagedChunk {
    /// The prefix. Chunks do not overlap.
    pub prefix: Prefix,
    /// The records under it that this node will hold.
    pub records: BTreeMap<Key, Bytes>,
    /// What is known of the rest under it.
    pub outline: BTreeMap<Prefix, OutlineNode>,
}

/// What goes with a staged partition: what it consists of, where it stands, and the window up to it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The prefixes whose records this node keeps from now on, in ascending order and none within another, at most
    /// [`KEPT_MAX`](crate::KEPT_MAX). Every record that was staged or that a block will change is under one of them,
    /// and nothing of the outline is.
    pub kept: Vec<Prefix>,
    /// The entries of the window, oldest first and without a gap. The last one's height and root are those of the
    /// target.
    pub window: Vec<WindowEntry>,
    /// Bytes of code that the entries list; those of code that is not warm may be missing.
    pub code: BTreeMap<Hash, Bytes>,
    /// What stands for the results of all heights before the target's.
    pub peaks: Peaks,
    /// The steps to other members up to the target's epoch, as far as they are not stored.
    pub steps: Vec<Step>,
    /// The certificate of the block above the target's height, if it is known: whoever stops before it has that block goes on from
    /// there ([`Store::above`]).
    pub above: Option<Certificate>,
}

/// A partition on its way in.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    target: Target,
    /// Which one it is of those that the open store has begun.
    number: u64,
    /// The prefixes of the chunks that are staged.
    staged: Mutex<BTreeSet<Prefix>>,
}

impl Staging {
    pub(crate) fn begin(store: Store, target: Target) -> Result<Self> {
        if let Some(position) = store.position().filter(|position| position.height() > target.height) {
            return Err(Refused::Behind { found: target.height, stored: position.height() }.into());
        }
        let number = store.inner.db.write(|changes| {
            clear(changes)?;
            // Transactions exclude each other, so an earlier staging either wrote before this and is dropped, or sees
            // that it is over.
            Ok(store.inner.stagings.fetch_add(1, Ordering::Relaxed) + 1)
        })?;
        Ok(Self { store, target, number, staged: Mutex::default() })
    }

    /// Stages a chunk. It is durable when this returns.
    ///
    /// # Errors
    /// As [`Staging::put_all`].
    pub fn put(&self, chunk: &StagedChunk) -> Result<()> {
        self.put_all(std::slice::from_ref(chunk))
    }

    /// Stages chunks in one transaction.
    ///
    /// # Errors
    /// [`Refused`] if a chunk holds something outside of its prefix or overlaps another, or if another staging was begun
    /// since: nothing has changed. [`Error::Damaged`], [`Error::Failed`].
    pub fn put_all(&self, chunks: &[StagedChunk]) -> Result<()> {
        let (mut staged, mut new) = (lock(&self.staged), BTreeSet::new());
        let mut checked = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            checked.push((chunk, chunk.check()?));
            let found = chunk.prefix;
            if let Some(staged) = overlapped(&staged, &found).or_else(|| overlapped(&new, &found)) {
                return Err(Refused::ChunkOverlap { found, staged }.into());
            }
            new.insert(found);
        }
        self.store.inner.db.write(|changes| {
            // Within the transaction: a staging that was begun since has emptied these tables, and must not get the rows of this one.
            self.still()?;
            for (chunk, records) in checked {
                let mut rows = changes.rows(Table::StagedRecords)?;
                for (path, key, value) in records {
                    rows.put(path.as_bytes(), &encode_record(key, value))?;
                }
                drop(rows);
                let mut rows = changes.rows(Table::StagedOutline)?;
                for (at, node) in &chunk.outline {
                    rows.put(&prefix_key(at), &encode_outline(node))?;
                }
            }
            Ok(())
        })?;
        // Only once they are durable: chunks of a transaction that failed may be put again, and overlap nothing.
        staged.append(&mut new);
        Ok(())
    }

    /// Checks that what is staged is of the kept prefixes and has the root of the target, and puts it in the place of the
    /// stored partition. Only its own height is readable then.
    ///
    /// # Errors
    /// [`Refused::StagedRoot`], [`Refused::StagedOverlap`], [`Refused::NotKept`] or [`Refused::WindowGap`] and the like if it
    /// does not fit together: the stored partition stays, and what was staged is of no use any more.
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn finish(self, arrival: &Arrival, mut progress: impl FnMut(Progress)) -> Result<()> {
        let (first, position, kept) = arrival.check(&self.target)?;
        let found = self.recompute(&kept, &mut progress)?;
        if found.root != Some(self.target.root) {
            let found = found.root.unwrap_or_default();
            return Err(Refused::StagedRoot { found, expected: self.target.root }.into());
        }
        let keep = Keep { values: self.target.height, window: first };
        self.store.switch(self.target.height, kept.clone(), |changes, before| {
            self.still()?;
            // Rows are only ever added: as many as were looked at are those that were looked at.
            let records = changes.rows(Table::StagedRecords)?.len()?;
            let outline = changes.rows(Table::StagedOutline)?.len()?;
            if (records, outline) != (found.records.rows, found.outline.rows) {
                return Err(Refused::StagingOver.into());
            }
            let stored = before.map(|state| state.position.height());
            if let Some(stored) = stored.filter(|stored| *stored > self.target.height) {
                return Err(Refused::Behind { found: self.target.height, stored }.into());
            }
            changes.rows(Table::Meta)?.put(KEPT, &kept.encode())?;
            let state = switch(changes, arrival, position, keep, &found)?;
            Ok((state, found.counts))
        })
    }

    /// Checks that no other staging was begun since.
    fn still(&self) -> Result<(), Refused> {
        let newest = self.store.inner.stagings.load(Ordering::Relaxed);
        if newest == self.number { Ok(()) } else { Err(Refused::StagingOver) }
    }

    fn recompute(&self, kept: &Kept, progress: &mut dyn FnMut(Progress)) -> Result<FoldedPartition> {
        let view = self.store.inner.db.read()?;
        self.still()?;
        match audit::staged(&view, kept, progress) {
            // What overlaps was staged so; its row is as it was written.
            Err(Error::Damaged(Damage::Invariant { place: RowPlace::Outline(at), .. })) => {
                Err(Refused::StagedOverlap(at).into())
            }
            found => found,
        }
    }
}

/// The one of some prefixes, none within another, that overlaps this one.
fn overlapped(staged: &BTreeSet<Prefix>, prefix: &Prefix) -> Option<Prefix> {
    // In ascending order, what covers a prefix comes right before it, and what it covers right after.
    let around = [staged.range(..=prefix).next_back(), staged.range(prefix..).next()];
    around.into_iter().flatten().find(|staged| overlap(staged, prefix)).copied()
}

impl StagedChunk {
    /// Checks the chunk by itself. Returns its records in the order of their paths.
    fn check(&self) -> Result<Vec<(Path, &Key, &Bytes)>, Refused> {
        let outside = |found: Prefix| Refused::OutsideChunk { prefix: self.prefix, found };
        let mut records = Vec::with_capacity(self.records.len());
        for (key, value) in &self.records {
            within("a value", value.len(), VALUE_BYTES_MAX)?;
            let path = Path::of(key.as_bytes());
            // What stands outside could overwrite a record of a chunk that was checked before.
            if !self.prefix.contains(&path) {
                return Err(outside(whole(path)));
            }
            records.push((path, key, value));
        }
        for (at, node) in &self.outline {
            prefix_key::check(node, at)?;
            if !self.prefix.covers(at) {
                return Err(outside(*at));
            }
        }
        records.sort_unstable_by_key(|(path, ..)| *path);
        Ok(records)
    }
}

impl Arrival {
    /// Checks everything that does not need the database. Returns the first height, and where the store stands once the
    /// partition has arrived, with what it keeps.
    fn check(&self, target: &Target) -> Result<(Height, Position, Kept), Refused> {
        let gap = Refused::WindowGap(target.height);
        let (Some(first), Some(last)) = (self.window.first(), self.window.last()) else { return Err(gap) };
        let ends = (last.result.height, last.result.root) == (target.height, target.root);
        let follows =
            self.window.windows(2).all(|pair| pair[0].result.height.checked_add(1) == Some(pair[1].result.height));
        // Without a gap and up to the target, or a restart could not tell which code is warm and which requests were executed.
        if !(ends && follows) {
            return Err(gap);
        }
        for pair in self.window.windows(2) {
            pair[1].check_link(&pair[0].result, &pair[0].block())?;
        }
        for entry in &self.window {
            entry.check()?;
        }
        check_code(&self.code)?;
        let position = Position { result: last.result, block: last.block(), peaks: self.peaks.clone() };
        position.check()?;
        Ok((first.result.height, position, Kept::new(self.kept.clone())?))
    }
}

/// The transaction that makes the staged partition the stored one.
fn switch(
    changes: &mut Changes<'_>,
    arrival: &Arrival,
    position: Position,
    keep: Keep,
    found: &FoldedPartition,
) -> Result<StateRow> {
    // These describe the partition that goes. Left in place, undo rows would make up values of heights that the new one never had.
    for table in [Table::Undo, Table::Window, Table::Code, Table::CodeUsed, Table::Counts] {
        changes.clear(table)?;
    }
    changes.replace(Table::Records, Table::StagedRecords)?;
    changes.replace(Table::Outline, Table::StagedOutline)?;
    changes.sizes = Sizes { records: found.records, outline: found.outline, ..Sizes::default() };
    let mut rows = changes.rows(Table::Counts)?;
    for (first_byte, count) in found.counts.iter().enumerate().filter(|(_, count)| **count != Count::default()) {
        rows.put(&[first_byte as u8], &count.encode())?;
    }
    drop(rows);
    for entry in &arrival.window {
        write_entry(changes, entry, &arrival.code)?;
    }
    write_steps(changes, &arrival.steps)?;
    history::arrive(changes, &position)?;
    write_state(changes, position, keep, arrival.above.clone())
}

fn clear(changes: &mut Changes<'_>) -> Result<()> {
    Table::STAGED.into_iter().try_for_each(|table| changes.clear(table))
}
