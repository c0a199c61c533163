//! Reading records at a height.
//!
//! `records` holds the newest values. What a block replaced is in `undo` under the block's height, so a record at
//! height `g` is the one in the first undo row of a height above `g`, or the newest one if there is none. Undo
//! rows stand in the order of heights: a block appends to their end and the window's end cuts off their
//! beginning, which costs the disk a few pages a block. (Ordered by path they would cost a page for each change,
//! twice.) Which heights changed a path is found in memory: eight bytes of path for each change of the window,
//! so that reading an old height does not ask the disk about every height since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{Path, Prefix};
use pleach_types::Height;

use crate::database::{CommittedView, ViewRows, ViewTable};
use crate::error::{Damage, Result};
use crate::layout::{Before, StoredRecord, decode_record, decode_undo};
use crate::prefix_key::last;
use crate::table::{Table, decode_undo_key, invariant, undo_key};

/// Which heights changed which paths, as far as undo rows reach. May name more than there are.
pub(crate) type Changed = Arc<BTreeMap<Height, Arc<[u64]>>>;

/// The beginning of a path, which tells almost all paths apart.
pub(crate) fn head(path: &Path) -> u64 {
    path.as_bytes().iter().take(8).fold(0, |head, byte| head << 8 | u64::from(*byte))
}

/// The heads of paths, as [`Changed`] holds them.
pub(crate) fn heads<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Arc<[u64]> {
    let heads: BTreeSet<_> = paths.into_iter().map(head).collect();
    heads.into_iter().collect()
}

/// The records of one height. Commits after it was made don't show, and don't wait for it; but the space of what
/// they replace is not used again before it is dropped, so hold it for one request, not for a transfer.
pub struct Snapshot {
    height: Height,
    changed: Changed,
    records: ViewTable,
    undo: ViewTable,
}

/// Records under a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The records with their paths, in ascending order.
    pub records: Vec<(Path, StoredRecord)>,
    /// Whether more follow: ask again after the last one.
    pub more: bool,
}

impl Snapshot {
    pub(crate) fn new(view: &CommittedView, height: Height, changed: Changed) -> Result<Self> {
        Ok(Self { height, changed, records: view.table(Table::Records)?, undo: view.table(Table::Undo)? })
    }

    /// The height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The record at a path.
    ///
    /// The row's checksum has been compared. That the record is the newest one rests on the check at the start and
    /// on the database since; a server that has the value's digest in its tree compares that as well.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`], [`crate::Error::Failed`].
    pub fn value(&self, path: &Path) -> Result<Option<StoredRecord>> {
        if let Some(before) = self.before(path)? {
            return Ok(before.value.map(|value| StoredRecord { key: before.key, value }));
        }
        let content = self.records.get(path.as_bytes())?;
        content.map(|content| record_at(path, &content)).transpose()
    }

    /// The records at some paths, in their order.
    ///
    /// # Errors
    /// As [`Snapshot::value`].
    pub fn values<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Option<StoredRecord>>> {
        paths.into_iter().map(|path| self.value(path)).collect()
    }

    /// The records under `prefix` whose paths come after `after`, in the order of paths, until their keys and
    /// values reach `bytes_max`. At least one, if there is one.
    ///
    /// # Errors
    /// As [`Snapshot::value`].
    pub fn chunk(&self, prefix: &Prefix, after: Option<&Path>, bytes_max: usize) -> Result<Chunk> {
        let from = after.map_or_else(|| prefix.first(), |path| prefix.first().max(*path));
        let mut old = self.changed_between(&from, &last(prefix))?.into_iter().peekable();
        let mut new = self.newest(&from)?.peekable();
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            // The lower path of the two walks; where they meet, the undo row has the record of this height.
            let newest = new.peek().map(|row| row.as_ref().map_or(from, |(path, _)| *path));
            let changed = old.peek().map(|(path, _)| *path);
            let path = newest.into_iter().chain(changed).min();
            let Some(path) = path.filter(|path| *path <= last(prefix)) else { break };
            let newest = new.next_if(|row| row.as_ref().map_or(true, |(at, _)| *at == path)).transpose()?;
            let record = match old.next_if(|(at, _)| *at == path) {
                Some((_, height)) => self.undone(height, &path)?,
                None => newest.map(|(_, record)| record),
            };
            let Some(record) = record.filter(|_| after != Some(&path)) else { continue };
            if bytes >= bytes_max && !records.is_empty() {
                return Ok(Chunk { records, more: true });
            }
            bytes += record.key.as_bytes().len() + record.value.len();
            records.push((path, record));
        }
        Ok(Chunk { records, more: false })
    }

    /// What the first height above this one found at a path before it changed it.
    fn before(&self, path: &Path) -> Result<Option<Before>> {
        let head = head(path);
        for (height, heads) in self.above() {
            if heads.binary_search(&head).is_err() {
                continue;
            }
            let key = undo_key(*height, path);
            if let Some(content) = self.undo.get(&key)? {
                return Ok(Some(before_at(&key, path, &content)?));
            }
        }
        Ok(None)
    }

    fn above(&self) -> impl Iterator<Item = (&Height, &Arc<[u64]>)> {
        let first = self.height.checked_add(1);
        first.into_iter().flat_map(|first| self.changed.range(first..))
    }

    /// The paths in a range that changed after this height, each with the first height that changed it.
    fn changed_between(&self, from: &Path, to: &Path) -> Result<BTreeMap<Path, Height>> {
        let mut found = BTreeMap::new();
        for (height, _) in self.above() {
            for row in self.undo.from(&undo_key(*height, from))? {
                let row = row?;
                match decode_undo_key(&row.key) {
                    Some((at, path)) if at == *height && path <= *to => found.entry(path).or_insert(*height),
                    _ => break,
                };
            }
        }
        Ok(found)
    }

    fn undone(&self, height: Height, path: &Path) -> Result<Option<StoredRecord>> {
        let key = undo_key(height, path);
        let Some(content) = self.undo.get(&key)? else {
            return Err(invariant(Table::Undo, &key, "the row is gone").into());
        };
        let before = before_at(&key, path, &content)?;
        Ok(before.value.map(|value| StoredRecord { key: before.key, value }))
    }

    fn newest(&self, from: &Path) -> Result<impl Iterator<Item = Result<(Path, StoredRecord)>> + use<>> {
        let rows: ViewRows = self.records.from(from.as_bytes())?;
        Ok(rows.map(|row| {
            let row = row?;
            let path = record_path(&row.key)?;
            Ok((path, record_at(&path, &row.content)?))
        }))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("height", &self.height).finish_non_exhaustive()
    }
}

pub(crate) fn record_path(key: &[u8]) -> Result<Path, Damage> {
    let path = key.try_into().map(Path::from_bytes);
    path.map_err(|_| invariant(Table::Records, key, format!("a path of {} bytes", key.len())))
}

pub(crate) fn record_at(path: &Path, content: &Bytes) -> Result<StoredRecord> {
    decode_record(path, content).map_err(|why| invariant(Table::Records, path.as_bytes(), why).into())
}

pub(crate) fn before_at(key: &[u8], path: &Path, content: &Bytes) -> Result<Before, Damage> {
    decode_undo(path, content).map_err(|why| invariant(Table::Undo, key, why))
}
