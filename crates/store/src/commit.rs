//! Writing a block.
//!
//! All that can be checked without the database is checked first ([`BlockWrite::check`]), so that a block that does not fit changes nothing. Then, in one
//! transaction: records with their undo rows and the counts under each first byte, outline, window and code, steps, history, and what is dropped.
//! The state row comes last ([`write_state`]): with it the transaction is this height and no other.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_tree::{OutlineNode, Path, Prefix, ValueDigest};
use pleach_types::block::{code_digest, written_digest};
use pleach_types::codec::Encode;
use pleach_types::limits::{BLOCK_REQUESTS_MAX, MODULE_BYTES_MAX, VALUE_BYTES_MAX};
use pleach_types::succession::Step;
use pleach_types::{BlockResult, Certificate, Hash, Height, Key, UsedCode};

use crate::database::{Changes, Rows};
use crate::error::{Damage, Refused, Result};
use crate::history;
use crate::kept::Kept;
use crate::layout::{
    CODE_MAX, Count, Keep, LastUse, Position, StateRow, WRITTEN_MAX, WindowEntry, decoded, encode_outline,
    encode_record, encode_undo,
};
use crate::prefix_key;
use crate::seal::Seal;
use crate::table::{STATE, Table, invariant, prefix_key, undo_key};

/// What one block changes, in the store's terms. All of it becomes durable together, or nothing does.
#[derive(Clone, Debug)]
pub struct BlockWrite {
    /// What the block leaves in the window; its height is the stored one plus one.
    pub entry: WindowEntry,
    /// The changed records that this node keeps: new value, or `None` where the record is gone. Each one's path is
    /// among the written paths and under a kept prefix.
    pub records: BTreeMap<Key, Option<Bytes>>,
    /// The changes of the outline: the new node, or `None` where there is none any more.
    pub outline: BTreeMap<Prefix, Option<OutlineNode>>,
    /// Bytes of code that the entry lists. What is stored already need not be given again, nor what is not warm.
    pub code: BTreeMap<Hash, Bytes>,
    /// What is still needed after this block. A store never shows again what it has dropped.
    pub keep: Keep,
    /// The step to other members, if the block is the last of an epoch and they change. Steps are kept for ever.
    pub step: Option<Step>,
}

impl WindowEntry {
    /// Checks what a decoder will check when the entry is read back, and that the paths are those of the result.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        within("the number of written paths", self.written.len(), WRITTEN_MAX)?;
        within("the number of receipts", self.receipts.len(), BLOCK_REQUESTS_MAX)?;
        within("the number of modules", self.code.len(), CODE_MAX)?;
        let (height, expected) = (self.result.height, self.result.written);
        // Only the ascending order has the digest of the result; any other one is refused as if it had another digest.
        let ascending = self.written.is_sorted_by(|a, b| a < b);
        let found = if ascending { written_digest(&self.written) } else { Hash::default() };
        if found != expected {
            return Err(Refused::Written { height, found, expected });
        }
        if let Some(pair) = self.code.windows(2).find(|pair| pair[0].digest >= pair[1].digest) {
            return Err(Refused::Code(pair[1].digest));
        }
        let sizes = self.code.iter().map(|used| used.bytes as usize);
        within("a module", sizes.max().unwrap_or(0), MODULE_BYTES_MAX)?;
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
}

impl BlockWrite {
    /// The block's height.
    pub(crate) const fn height(&self) -> Height {
        self.entry.result.height
    }

    /// Where a store that stands at `before` stands after this block. The peaks are not the caller's to say: they follow
    /// from the results, of which the block's must name their root.
    pub(crate) fn position(&self, before: &Position) -> Position {
        let mut peaks = before.peaks.clone();
        peaks.push(&before.result);
        Position { result: self.entry.result, block: self.entry.block(), peaks }
    }

    /// Checks everything that does not need the database. `before` is where the store stands. Returns where it stands
    /// after the block.
    pub(crate) fn check(&self, before: &Position, kept: &Kept) -> Result<Position, Refused> {
        let (found, stored) = (self.entry.result.height, before.height());
        if Some(found) != stored.checked_add(1) {
            return Err(Refused::NotNext { expected: stored.saturating_add(1), found });
        }
        self.entry.check()?;
        self.entry.check_link(&before.result, &before.block)?;
        let position = self.position(before);
        position.check()?;
        for (at, node) in &self.outline {
            if let Some(node) = node {
                prefix_key::check(node, at)?;
                kept.check_outline(at)?;
            }
        }
        check_code(&self.code)?;
        // A record that the block did not write would be in the partition and not under the certified root, and the next start would refuse the store.
        // Better to refuse the block, while the store is sound.
        for (key, value) in &self.records {
            within("a value", value.as_ref().map_or(0, Bytes::len), VALUE_BYTES_MAX)?;
            let path = Path::of(key.as_bytes());
            if self.entry.written.binary_search(&path).is_err() {
                return Err(Refused::NotWritten(key.clone()));
            }
            if !kept.holds(&path) {
                return Err(Refused::NotKept(key.clone()));
            }
        }
        Ok(position)
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
        Self { values: bound(self.values, before.values), window: bound(self.window, before.window) }
    }
}

/// Makes the changes of a block in a transaction. `fine` is for [`history::append`]. Returns the new state.
pub(crate) fn write(
    changes: &mut Changes<'_>,
    block: &BlockWrite,
    position: Position,
    records: &[(Path, &Key, Option<&Bytes>)],
    before: &StateRow,
    counts: &mut [Count],
    fine: u64,
) -> Result<StateRow> {
    let height = block.entry.result.height;
    let keep = block.keep.after(before.keep, height);
    changes.sizes = before.sizes;
    let replaced = write_records(changes, records, counts)?;
    // Where nothing below this height is readable any more, there is nobody to undo it for.
    if keep.values < height {
        let mut undo = changes.rows(Table::Undo)?;
        for (path, content) in &replaced {
            undo.put(&undo_key(height, path), content)?;
        }
    }
    write_outline(changes, &block.outline)?;
    write_entry(changes, &block.entry, &block.code)?;
    write_steps(changes, &block.step)?;
    history::append(changes, &before.position, fine)?;
    // In the same transaction: rows that a crash left behind would be looked at by no later block, and stay for ever.
    forget(changes, before.keep, keep)?;
    write_state(changes, position, keep, None)
}

/// Makes the changes of the outline.
pub(crate) fn write_outline(changes: &mut Changes<'_>, outline: &BTreeMap<Prefix, Option<OutlineNode>>) -> Result<()> {
    let mut rows = changes.rows(Table::Outline)?;
    for (at, node) in outline {
        match node {
            Some(node) => rows.put(&prefix_key(at), &encode_outline(node)).map(drop)?,
            None => rows.remove(&prefix_key(at)).map(drop)?,
        }
    }
    Ok(())
}

/// Writes the row that makes the transaction this commit and no other.
pub(crate) fn write_state(
    changes: &mut Changes<'_>,
    position: Position,
    keep: Keep,
    above: Option<Certificate>,
) -> Result<StateRow> {
    let state = StateRow { position, keep, sizes: changes.sizes, above };
    changes.rows(Table::Meta)?.put(STATE, &state.encode())?;
    Ok(state)
}

/// Writes the new values. Returns the undo rows of those that differ.
fn write_records(
    changes: &mut Changes<'_>,
    records: &[(Path, &Key, Option<&Bytes>)],
    counts: &mut [Count],
) -> Result<Vec<(Path, Vec<u8>)>> {
    let mut replaced = Vec::new();
    let mut touched = [false; crate::fold::COUNTS];
    let mut rows = changes.rows(Table::Records)?;
    for (path, key, value) in records {
        let content = value.map(|value| encode_record(key, value));
        let before = rows.get(path.as_bytes())?;
        // Written with the value that it had: an undo row would take room in the window for nothing.
        if before.as_ref().map(|(_, before)| before) == content.as_ref() {
            continue;
        }
        let first_byte = usize::from(path.as_bytes()[0]);
        touched[first_byte] = true;
        let seal = before.as_ref().map(|(seal, _)| seal);
        write_record(&mut rows, &mut counts[first_byte], path, seal, content.as_deref())?;
        replaced.push((*path, encode_undo(key, before.as_ref().map(|(_, before)| before.as_slice()))));
    }
    drop(rows);
    write_counts(changes, counts, &touched)?;
    Ok(replaced)
}

/// Writes or removes the row of a record, and counts it under its first byte. `before` is the checksum of the row that is there.
pub(crate) fn write_record(
    rows: &mut Rows<'_>,
    count: &mut Count,
    path: &Path,
    before: Option<&Seal>,
    content: Option<&[u8]>,
) -> Result<()> {
    // Sums of checksums that wrap: so one write changes a count without any other row being read, and the start check can compare it.
    if let Some(seal) = before {
        count.records = count.records.wrapping_sub(1);
        count.sum = count.sum.wrapping_sub(seal.number());
    }
    match content {
        Some(content) => {
            let seal = rows.put(path.as_bytes(), content)?;
            count.records = count.records.wrapping_add(1);
            count.sum = count.sum.wrapping_add(seal.number());
        }
        None => drop(rows.remove(path.as_bytes())?),
    }
    Ok(())
}

/// Writes those counts that were touched.
pub(crate) fn write_counts(changes: &mut Changes<'_>, counts: &[Count], touched: &[bool]) -> Result<()> {
    let mut rows = changes.rows(Table::Counts)?;
    for (first_byte, (count, _)) in counts.iter().zip(touched).enumerate().filter(|(_, (_, touched))| **touched) {
        rows.put(&[first_byte as u8], &count.encode())?;
    }
    Ok(())
}

/// Writes what a height leaves in the window.
pub(crate) fn write_entry(changes: &mut Changes<'_>, entry: &WindowEntry, code: &BTreeMap<Hash, Bytes>) -> Result<()> {
    let height = entry.result.height;
    changes.rows(Table::Window)?.put(&height.to_be_bytes(), &entry.encode())?;
    for UsedCode { digest, bytes: listed } in entry.code.iter().copied() {
        let given = code.get(&digest);
        let mut used = changes.rows(Table::CodeUsed)?;
        let before = used.get(&digest.0)?.map(|(_, content)| last_use(&digest, &content)).transpose()?;
        let sizes = [before.map(|before| before.bytes as usize), given.map(Bytes::len)];
        if let Some(found) = sizes.into_iter().flatten().find(|found| *found != listed as usize) {
            return Err(Refused::CodeSize { digest, listed, found }.into());
        }
        used.put(&digest.0, &LastUse { height, bytes: listed }.encode())?;
        drop(used);
        // An earlier height may have listed it without its bytes.
        if let Some(bytes) = given {
            let mut rows = changes.rows(Table::Code)?;
            if !rows.has(&digest.0)? {
                rows.put(&digest.0, bytes)?;
            }
        }
    }
    Ok(())
}

/// Writes how one set of members leads to the next, each under its epoch.
pub(crate) fn write_steps<'a>(changes: &mut Changes<'_>, steps: impl IntoIterator<Item = &'a Step>) -> Result<()> {
    let mut rows = changes.rows(Table::Steps)?;
    for step in steps {
        rows.put(&step.proof.certificate.epoch.to_be_bytes(), &step.encode())?;
    }
    Ok(())
}

pub(crate) fn last_use(digest: &Hash, content: &[u8]) -> Result<LastUse, Damage> {
    LastUse::decode(content).ok_or_else(|| invariant(Table::CodeUsed, &digest.0, "not a height and a size"))
}

/// Drops what is no longer kept.
fn forget(changes: &mut Changes<'_>, from: Keep, to: Keep) -> Result<()> {
    if to.values > from.values {
        // The row of a height leads to the height below it.
        changes.rows(Table::Undo)?.remove_before(&to.values.saturating_add(1).to_be_bytes())?;
    }
    if to.window > from.window {
        forget_window(changes, to.window)?;
    }
    Ok(())
}

/// Drops window entries below `to`, and the code that no later one ran.
fn forget_window(changes: &mut Changes<'_>, to: Height) -> Result<()> {
    let mut window = changes.rows(Table::Window)?;
    let mut cold = Vec::new();
    for row in window.before(&to.to_be_bytes())? {
        let entry: WindowEntry = decoded(Table::Window, &row.key, &row.content)?;
        cold.extend(entry.code.into_iter().map(|used| (used.digest, entry.result.height)));
    }
    window.remove_before(&to.to_be_bytes())?;
    drop(window);
    for (digest, height) in cold {
        let mut used = changes.rows(Table::CodeUsed)?;
        let last = used.get(&digest.0)?.map(|(_, content)| last_use(&digest, &content)).transpose()?;
        // A later height has run it too: then it stays until that one goes.
        if last.is_some_and(|last| last.height == height) {
            used.remove(&digest.0)?;
            drop(used);
            changes.rows(Table::Code)?.remove(&digest.0)?;
        }
    }
    Ok(())
}
