//! Replacing the whole partition: a node that begins, was wiped, or is too far behind to catch up block by block.
//!
//! Chunks go into tables of their own, each in a transaction, so that a crash costs one chunk and the progress is
//! what is stored. The last transaction puts the tables in the place of the old ones: before it the store is the old
//! one, after it the new one. The start of a cluster is the same with the records of genesis.
//!
//! Whoever brings a chunk has verified it against the certified root. Before the switch, the root of everything
//! that was staged is computed once more: what is missing or twice there is refused, and the old partition stays.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_tree::{FrameNode, Path, Prefix};
use pleach_types::codec::{Decode, DecodeError, Encode, Reader};
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::{Hash, Height, Key};

use crate::audit::{Progress, partition};
use crate::commit::{check_code, within, write_entry, write_state};
use crate::database::{Changes, View};
use crate::error::{Damage, Error, Place, Refused};
use crate::fold::Partition;
use crate::frame::{self, overlap, whole};
use crate::layout::{
    Bucket, Keep, NOTE_BYTES_MAX, Position, Sizes, State, WindowEntry, decoded, encode_frame, encode_record,
};
use crate::store::Store;
use crate::table::{STAGING, Table, decode_prefix, invariant, prefix_key};

type Result<T, E = Error> = std::result::Result<T, E>;

/// What is being staged: the records of one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The height.
    pub height: Height,
    /// Its certified root.
    pub root: Hash,
}

impl Encode for Target {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.height.to_le_bytes());
        self.root.encode_to(out);
    }
}

impl Decode for Target {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { height: reader.u64("height")?, root: Hash::decode_from(reader)? })
    }
}

/// All that there is under a prefix.
#[derive(Clone, Debug)]
pub struct StagedChunk {
    /// The prefix. Chunks do not overlap.
    pub prefix: Prefix,
    /// The records under it that this node will hold.
    pub records: BTreeMap<Key, Bytes>,
    /// What is known of the rest under it.
    pub frame: BTreeMap<Prefix, FrameNode>,
}

/// What goes with a staged partition: where it stands, and the window up to it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The entries of the window, oldest first and without a gap, with the ordered bytes where they are kept. The
    /// last one's height and root are those of the target.
    pub window: Vec<(WindowEntry, Option<Bytes>)>,
    /// The bytes of all code that the entries list.
    pub code: BTreeMap<Hash, Bytes>,
    /// The caller's note on the position, at most [`NOTE_BYTES_MAX`] bytes.
    pub note: Bytes,
}

/// A partition on its way in.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    target: Target,
}

impl Staging {
    pub(crate) fn begin(store: Store, target: Target) -> Result<Self> {
        if let Some(position) = store.position().filter(|position| position.height() > target.height) {
            return Err(Refused::Behind { found: target.height, stored: position.height() }.into());
        }
        if staged_target(&store.inner.db.read()?)? != Some(target) {
            store.inner.db.write(|changes| {
                for table in [Table::StagedRecords, Table::StagedFrame, Table::StagedChunks] {
                    changes.clear(table)?;
                }
                changes.rows(Table::Meta)?.put(STAGING, &target.encode()).map(drop)
            })?;
        }
        Ok(Self { store, target })
    }

    /// What is staged.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The prefixes of the chunks that are durable, in ascending order.
    ///
    /// # Errors
    /// [`Refused::StagingOver`], [`Error::Damaged`], [`Error::Failed`].
    pub fn done(&self) -> Result<Vec<Prefix>> {
        let view = self.store.inner.db.read()?;
        self.is(staged_target(&view)?)?;
        let rows = view.under(Table::StagedChunks, &[])?;
        rows.map(|row| Ok(staged_prefix(&row?.key)?)).collect()
    }

    /// Stages a chunk. It is durable when this returns.
    ///
    /// # Errors
    /// As [`Staging::put_all`].
    pub fn put(&self, chunk: &StagedChunk) -> Result<()> {
        self.put_all(std::slice::from_ref(chunk))
    }

    /// Stages chunks in one transaction. They are durable when this returns.
    ///
    /// # Errors
    /// [`Refused`] if a chunk holds something outside of its prefix or overlaps another, or if another target was
    /// staged since: nothing has changed. [`Error::Damaged`], [`Error::Failed`].
    pub fn put_all(&self, chunks: &[StagedChunk]) -> Result<()> {
        let mut staged = self.done()?;
        let mut checked = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            checked.push((chunk, chunk.check()?));
            if let Some(staged) = staged.iter().find(|staged| overlap(staged, &chunk.prefix)) {
                return Err(Refused::ChunkOverlap { found: chunk.prefix, staged: *staged }.into());
            }
            staged.push(chunk.prefix);
        }
        self.store.inner.db.write(|changes| {
            self.still(changes)?;
            for (chunk, records) in checked {
                let mut rows = changes.rows(Table::StagedRecords)?;
                for (path, key, value) in records {
                    rows.put(path.as_bytes(), &encode_record(key, value))?;
                }
                drop(rows);
                let mut rows = changes.rows(Table::StagedFrame)?;
                for (at, node) in &chunk.frame {
                    rows.put(&prefix_key(at), &encode_frame(node))?;
                }
                drop(rows);
                changes.rows(Table::StagedChunks)?.put(&prefix_key(&chunk.prefix), &[])?;
            }
            Ok(())
        })
    }

    /// Checks that what is staged has the root of the target, and puts it in the place of the stored partition. Only
    /// its own height is readable then.
    ///
    /// # Errors
    /// [`Refused::StagedRoot`], [`Refused::StagedOverlap`] or [`Refused::WindowGap`] and the like if it does not fit
    /// together: the stored partition stays, and so does what is staged. [`Error::Damaged`], [`Error::Failed`].
    pub fn finish(self, arrival: &Arrival, mut progress: impl FnMut(Progress)) -> Result<()> {
        let (first, last) = arrival.check(&self.target)?;
        let found = self.recompute(&mut progress)?;
        if found.root != Some(self.target.root) {
            let found = found.root.unwrap_or_default();
            return Err(Refused::StagedRoot { found, expected: self.target.root }.into());
        }
        let position = Position { result: last.result, block: last.block(), note: arrival.note.clone() };
        let keep = Keep { values: self.target.height, window: first, ordered: first };
        self.store.switch(self.target.height, |changes, before| {
            self.still(changes)?;
            // Rows are only ever added: as many as were looked at are those that were looked at.
            let records = changes.rows(Table::StagedRecords)?.len()?;
            let frame = changes.rows(Table::StagedFrame)?.len()?;
            if (records, frame) != (found.records.rows, found.frame.rows) {
                return Err(Refused::StagingOver.into());
            }
            let stored = before.map(|state| state.position.height());
            if let Some(stored) = stored.filter(|stored| *stored > self.target.height) {
                return Err(Refused::Behind { found: self.target.height, stored }.into());
            }
            let state = switch(changes, arrival, position, keep, &found)?;
            Ok((state, found.buckets))
        })
    }

    /// Drops what is staged. The stored partition stays as it is.
    ///
    /// # Errors
    /// [`Refused::StagingOver`], [`Error::Damaged`], [`Error::Failed`].
    pub fn give_up(self) -> Result<()> {
        self.store.inner.db.write(|changes| {
            self.still(changes)?;
            clear(changes)
        })
    }

    /// Checks that no other staging was begun since.
    fn still(&self, changes: &mut Changes<'_>) -> Result<()> {
        let row = changes.rows(Table::Meta)?.get(STAGING)?;
        let staged: Option<Target> = row.map(|(_, content)| decoded(Table::Meta, STAGING, &content)).transpose()?;
        self.is(staged)
    }

    fn is(&self, staged: Option<Target>) -> Result<()> {
        if staged == Some(self.target) { Ok(()) } else { Err(Refused::StagingOver.into()) }
    }

    fn recompute(&self, progress: &mut dyn FnMut(Progress)) -> Result<Partition> {
        let view = self.store.inner.db.read()?;
        self.is(staged_target(&view)?)?;
        match partition(&view, [Table::StagedRecords, Table::StagedFrame], progress) {
            // What overlaps was staged so; its row is as it was written.
            Err(Error::Damaged(Damage::Invariant { place: Place::Frame(at), .. })) => {
                Err(Refused::StagedOverlap(at).into())
            }
            found => found,
        }
    }
}

impl StagedChunk {
    /// Checks the chunk by itself. Returns its records in the order of their paths.
    fn check(&self) -> Result<Vec<(Path, &Key, &Bytes)>, Refused> {
        let outside = |found: Prefix| Refused::OutsideChunk { prefix: self.prefix, found };
        let mut records = Vec::with_capacity(self.records.len());
        for (key, value) in &self.records {
            within("a value", value.len(), VALUE_BYTES_MAX)?;
            let path = Path::of(key.as_bytes());
            if !self.prefix.contains(&path) {
                return Err(outside(whole(path)));
            }
            records.push((path, key, value));
        }
        for (at, node) in &self.frame {
            frame::check(node, at)?;
            if !self.prefix.covers(at) {
                return Err(outside(*at));
            }
        }
        records.sort_unstable_by_key(|(path, ..)| *path);
        Ok(records)
    }
}

impl Arrival {
    /// Checks everything that does not need the database. Returns the first height and the last entry.
    fn check(&self, target: &Target) -> Result<(Height, &WindowEntry), Refused> {
        within("the note", self.note.len(), NOTE_BYTES_MAX)?;
        let gap = Refused::WindowGap(target.height);
        let (Some((first, _)), Some((last, _))) = (self.window.first(), self.window.last()) else { return Err(gap) };
        let ends = (last.result.height, last.result.root) == (target.height, target.root);
        let follows =
            self.window.windows(2).all(|pair| pair[0].0.result.height.checked_add(1) == Some(pair[1].0.result.height));
        if !(ends && follows) {
            return Err(gap);
        }
        for pair in self.window.windows(2) {
            pair[1].0.check_link(&pair[0].0.result, &pair[0].0.block())?;
        }
        for (entry, ordered) in &self.window {
            entry.check()?;
            ordered.as_ref().map_or(Ok(()), |bytes| entry.check_ordered(bytes))?;
        }
        check_code(&self.code)?;
        Ok((first.result.height, last))
    }
}

/// The transaction that makes the staged partition the stored one.
fn switch(
    changes: &mut Changes<'_>,
    arrival: &Arrival,
    position: Position,
    keep: Keep,
    found: &Partition,
) -> Result<State> {
    for table in [Table::Undo, Table::Window, Table::Ordered, Table::Code, Table::CodeUsed, Table::Buckets] {
        changes.clear(table)?;
    }
    changes.replace(Table::Records, Table::StagedRecords)?;
    changes.replace(Table::Frame, Table::StagedFrame)?;
    clear(changes)?;
    changes.sizes = Sizes { records: found.records, frame: found.frame, ..Sizes::default() };
    let mut rows = changes.rows(Table::Buckets)?;
    for (first_byte, bucket) in found.buckets.iter().enumerate().filter(|(_, bucket)| **bucket != Bucket::default()) {
        rows.put(&[first_byte as u8], &bucket.encode())?;
    }
    drop(rows);
    for (entry, ordered) in &arrival.window {
        write_entry(changes, entry, ordered.as_ref(), &arrival.code)?;
    }
    write_state(changes, position, keep)
}

fn clear(changes: &mut Changes<'_>) -> Result<()> {
    for table in [Table::StagedRecords, Table::StagedFrame, Table::StagedChunks] {
        changes.clear(table)?;
    }
    changes.rows(Table::Meta)?.remove(STAGING).map(drop)
}

fn staged_target(view: &View) -> Result<Option<Target>> {
    let content = view.get(Table::Meta, STAGING)?;
    Ok(content.map(|content| decoded(Table::Meta, STAGING, &content)).transpose()?)
}

fn staged_prefix(key: &[u8]) -> Result<Prefix, Damage> {
    decode_prefix(key).ok_or_else(|| invariant(Table::StagedChunks, key, "not a prefix"))
}
