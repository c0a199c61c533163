//! Writing a block.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_tree::{FrameNode, Path, Prefix, ValueDigest};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::codec::Encode;
use pleach_types::limits::{BLOCK_REQUESTS_MAX, VALUE_BYTES_MAX};
use pleach_types::{BlockResult, Hash, Height, Key};

use crate::audit::decode_ordered;
use crate::database::Changes;
use crate::error::{Error, Refused};
use crate::frame;
use crate::layout::{
    Bucket, CODE_MAX, Keep, NOTE_BYTES_MAX, Position, State, WRITTEN_MAX, WindowEntry, decoded, encode_frame,
    encode_record, encode_undo,
};
use crate::table::{STATE, Table, decode_height, prefix_key, undo_key};

type Result<T, E = Error> = std::result::Result<T, E>;

/// What one block changes, in the store's terms. All of it becomes durable together, or nothing does.
#[derive(Clone, Debug)]
pub struct BlockWrite {
    /// What the block leaves in the window; its height is the stored one plus one.
    pub entry: WindowEntry,
    /// The block as ordered: the encoding of a [`pleach_types::Block`]. `None` where others keep it.
    pub ordered: Option<Bytes>,
    /// The changed records that this node holds: new value, or `None` where the record is gone. Each one's path is
    /// among the written paths.
    pub records: BTreeMap<Key, Option<Bytes>>,
    /// The changes of the frame: the new node, or `None` where there is none any more.
    pub frame: BTreeMap<Prefix, Option<FrameNode>>,
    /// The bytes of the code that the entry lists. What is stored already need not be given again.
    pub code: BTreeMap<Hash, Bytes>,
    /// The caller's note on this position, at most [`NOTE_BYTES_MAX`] bytes.
    pub note: Bytes,
    /// What is still needed after this block. A store never goes back behind what it has dropped.
    pub keep: Keep,
}

impl WindowEntry {
    /// Checks what a decoder will check when the entry is read back, and that the paths are those of the result.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        within("the number of written paths", self.written.len(), WRITTEN_MAX)?;
        within("the number of receipts", self.receipts.len(), BLOCK_REQUESTS_MAX)?;
        within("the number of modules", self.code.len(), CODE_MAX)?;
        let (height, expected) = (self.result.height, self.result.written);
        let ascending = self.written.is_sorted_by(|a, b| a < b);
        let found = if ascending { written_digest(&self.written) } else { Hash::default() };
        if found != expected {
            return Err(Refused::Written { height, found, expected });
        }
        if let Some((_, repeated)) = self.code.iter().zip(self.code.iter().skip(1)).find(|(a, b)| a >= b) {
            return Err(Refused::Code(*repeated));
        }
        let (found, expected) = (code_digest(&self.code), self.result.code);
        if found != expected {
            return Err(Refused::CodeList { height, found, expected });
        }
        if self.header.height == height {
            return Ok(());
        }
        Err(Refused::Header { height, found: self.header.height })
    }

    /// Checks that the header is that of a child of the height below.
    pub(crate) fn check_link(&self, result: &BlockResult, block: &Hash) -> Result<(), Refused> {
        if self.header.result == *result && self.header.context.parent == *block {
            return Ok(());
        }
        Err(Refused::NotChild { height: self.result.height, block: *block })
    }

    /// Checks that bytes are those of the entry's block.
    pub(crate) fn check_ordered(&self, bytes: &Bytes) -> Result<(), Refused> {
        let (height, block) = (self.result.height, self.block());
        let refused = |why| Err(Refused::Ordered { height, block, why });
        match decode_ordered(bytes, height) {
            Ok(found) if found == block => Ok(()),
            Ok(found) => refused(format!("they are block {found}")),
            Err(why) => refused(why),
        }
    }
}

impl BlockWrite {
    /// The block's height.
    pub(crate) const fn height(&self) -> Height {
        self.entry.result.height
    }

    /// Where a store stands after this block.
    pub(crate) fn position(&self) -> Position {
        Position { result: self.entry.result, block: self.entry.block(), note: self.note.clone() }
    }

    /// Checks everything that does not need the database. `before` is where the store stands.
    pub(crate) fn check(&self, before: &Position) -> Result<(), Refused> {
        let (found, stored) = (self.entry.result.height, before.height());
        if Some(found) != stored.checked_add(1) {
            return Err(Refused::NotNext { expected: stored.saturating_add(1), found });
        }
        within("the note", self.note.len(), NOTE_BYTES_MAX)?;
        self.entry.check()?;
        self.entry.check_link(&before.result, &before.block)?;
        if let Some(bytes) = &self.ordered {
            self.entry.check_ordered(bytes)?;
        }
        for (at, node) in &self.frame {
            node.map_or(Ok(()), |node| frame::check(&node, at))?;
        }
        check_code(&self.code)?;
        for (key, value) in &self.records {
            within("a value", value.as_ref().map_or(0, Bytes::len), VALUE_BYTES_MAX)?;
            if self.entry.written.binary_search(&Path::of(key.as_bytes())).is_err() {
                return Err(Refused::NotWritten(key.clone()));
            }
        }
        Ok(())
    }

    /// The changed records in the order of their paths, which is that of the rows.
    pub(crate) fn by_path(&self) -> Vec<(Path, &Key, Option<&Bytes>)> {
        let mut records: Vec<_> =
            self.records.iter().map(|(key, value)| (Path::of(key.as_bytes()), key, value.as_ref())).collect();
        records.sort_unstable_by_key(|(path, ..)| *path);
        records
    }
}

/// Checks that code is what its digest says.
pub(crate) fn check_code(code: &BTreeMap<Hash, Bytes>) -> Result<(), Refused> {
    match code.iter().find(|(digest, bytes)| Hash::from(ValueDigest::of(bytes)) != **digest) {
        Some((digest, _)) => Err(Refused::Code(*digest)),
        None => Ok(()),
    }
}

pub(crate) fn within(what: &'static str, actual: usize, limit: usize) -> Result<(), Refused> {
    if actual > limit { Err(Refused::TooLarge { what, actual, limit }) } else { Ok(()) }
}

impl Keep {
    /// What is kept after a commit of `height`: never less dropped than before, and never the newest height.
    pub(crate) fn after(self, before: Self, height: Height) -> Self {
        let bound = |wanted: Height, dropped: Height| wanted.min(height).max(dropped);
        Self {
            values: bound(self.values, before.values),
            window: bound(self.window, before.window),
            ordered: bound(self.ordered, before.ordered),
        }
    }
}

/// Makes the changes of a block in a transaction. Returns the new state.
pub(crate) fn write(
    changes: &mut Changes<'_>,
    block: &BlockWrite,
    records: &[(Path, &Key, Option<&Bytes>)],
    before: &State,
    buckets: &mut [Bucket],
) -> Result<State> {
    let height = block.entry.result.height;
    let keep = block.keep.after(before.keep, height);
    changes.sizes = before.sizes;
    let replaced = write_records(changes, records, buckets)?;
    if keep.values < height {
        let mut undo = changes.rows(Table::Undo)?;
        for (path, content) in &replaced {
            undo.put(&undo_key(height, path), content)?;
        }
    }
    let mut frame = changes.rows(Table::Frame)?;
    for (at, node) in &block.frame {
        match node {
            Some(node) => frame.put(&prefix_key(at), &encode_frame(node)).map(drop)?,
            None => frame.remove(&prefix_key(at)).map(drop)?,
        }
    }
    drop(frame);
    write_entry(changes, &block.entry, block.ordered.as_ref(), &block.code)?;
    forget(changes, before.keep, keep)?;
    write_state(changes, block.position(), keep)
}

/// Writes the row that makes the transaction this commit and no other.
pub(crate) fn write_state(changes: &mut Changes<'_>, position: Position, keep: Keep) -> Result<State> {
    let state = State { position, keep, sizes: changes.sizes };
    changes.rows(Table::Meta)?.put(STATE, &state.encode())?;
    Ok(state)
}

/// Writes the new values. Returns the undo rows of those that differ.
fn write_records(
    changes: &mut Changes<'_>,
    records: &[(Path, &Key, Option<&Bytes>)],
    buckets: &mut [Bucket],
) -> Result<Vec<(Path, Vec<u8>)>> {
    let mut replaced = Vec::new();
    let mut touched = [false; crate::fold::BUCKETS];
    let mut rows = changes.rows(Table::Records)?;
    for (path, key, value) in records {
        let content = value.map(|value| encode_record(key, value));
        let before = rows.get(path.as_bytes())?;
        if before.as_ref().map(|(_, before)| before) == content.as_ref() {
            continue;
        }
        let first_byte = usize::from(path.as_bytes()[0]);
        let bucket = &mut buckets[first_byte];
        touched[first_byte] = true;
        if let Some((seal, _)) = &before {
            bucket.records = bucket.records.wrapping_sub(1);
            bucket.sum = bucket.sum.wrapping_sub(seal.number());
        }
        match content {
            Some(content) => {
                let seal = rows.put(path.as_bytes(), &content)?;
                bucket.records = bucket.records.wrapping_add(1);
                bucket.sum = bucket.sum.wrapping_add(seal.number());
            }
            None => drop(rows.remove(path.as_bytes())?),
        }
        replaced.push((*path, encode_undo(key, before.as_ref().map(|(_, before)| before.as_slice()))));
    }
    drop(rows);
    let mut rows = changes.rows(Table::Buckets)?;
    for (first_byte, bucket) in buckets.iter().enumerate().filter(|(at, _)| touched[*at]) {
        rows.put(&[first_byte as u8], &bucket.encode())?;
    }
    Ok(replaced)
}

/// Writes what a height leaves in the window.
pub(crate) fn write_entry(
    changes: &mut Changes<'_>,
    entry: &WindowEntry,
    ordered: Option<&Bytes>,
    code: &BTreeMap<Hash, Bytes>,
) -> Result<()> {
    let height = entry.result.height.to_be_bytes();
    changes.rows(Table::Window)?.put(&height, &entry.encode())?;
    if let Some(bytes) = ordered {
        changes.rows(Table::Ordered)?.put(&height, bytes)?;
    }
    for digest in &entry.code {
        let known = changes.rows(Table::CodeUsed)?.put_known(&digest.0, &height)?;
        if !known {
            let bytes = code.get(digest).ok_or(Refused::Code(*digest))?;
            changes.rows(Table::Code)?.put(&digest.0, bytes)?;
        }
    }
    Ok(())
}

/// Drops what is no longer kept.
fn forget(changes: &mut Changes<'_>, from: Keep, to: Keep) -> Result<()> {
    if to.values > from.values {
        // The row of a height leads to the height below it.
        changes.rows(Table::Undo)?.remove_before(&to.values.saturating_add(1).to_be_bytes())?;
    }
    if to.ordered > from.ordered {
        changes.rows(Table::Ordered)?.remove_before(&to.ordered.to_be_bytes())?;
    }
    if to.window > from.window {
        forget_window(changes, to.window)?;
    }
    Ok(())
}

/// Drops window entries below `to`, and the code that no later one carried or ran.
fn forget_window(changes: &mut Changes<'_>, to: Height) -> Result<()> {
    let mut window = changes.rows(Table::Window)?;
    let mut cold = Vec::new();
    for row in window.before(&to.to_be_bytes())? {
        let entry: WindowEntry = decoded(Table::Window, &row.key, &row.content)?;
        cold.extend(entry.code.into_iter().map(|digest| (digest, entry.result.height)));
    }
    window.remove_before(&to.to_be_bytes())?;
    drop(window);
    for (digest, height) in cold {
        let mut used = changes.rows(Table::CodeUsed)?;
        let last = used.get(&digest.0)?.and_then(|(_, content)| decode_height(&content));
        if last == Some(height) {
            used.remove(&digest.0)?;
            drop(used);
            changes.rows(Table::Code)?.remove(&digest.0)?;
        }
    }
    Ok(())
}
