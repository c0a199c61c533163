//! Keeping other prefixes than before, between two blocks.
//!
//! Records come that others have kept, and those that others keep from now on go. The height stays: what the store holds is the
//! same tree, of which another part is stored. One transaction makes the change, so after a crash the store is the one before
//! or the one after.
//!
//! A record that came is not readable at earlier heights, and one that went is readable nowhere: whoever reads asks first
//! what was kept then, and now.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pleach_tree::{OutlineNode, Path, Prefix};
use pleach_types::codec::Encode;
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::{Height, Key};

use crate::commit::{within, write_counts, write_outline, write_record, write_state};
use crate::database::{Changes, CommittedView, lock};
use crate::error::{Refused, Result};
use crate::kept::Kept;
use crate::layout::{Count, encode_record};
use crate::prefix_key;
use crate::read::record_path;
use crate::store::Store;
use crate::table::{KEPT, Table, decode_undo_key, invariant};

/// Which prefixes are kept from now on, and what changes with them.
#[derive(Clone, Debug)]
pub struct Rekeep {
    /// The stored height, of which all of this is.
    pub height: Height,
    /// The prefixes that are kept from now on, in ascending order and none within another, at most
    /// [`KEPT_MAX`](crate::KEPT_MAX).
    pub kept: Vec<Prefix>,
    /// The records that come: all that are under the prefixes that were not kept before.
    pub records: BTreeMap<Key, Bytes>,
    /// The changes of the outline, as in [`BlockWrite::outline`](crate::BlockWrite::outline).
    pub outline: BTreeMap<Prefix, Option<OutlineNode>>,
}

/// Records that come, in the order of their paths.
type Coming<'a> = Vec<(Path, &'a Key, &'a Bytes)>;

impl Rekeep {
    /// Checks everything that does not need the database. Returns what is kept, and the records that come.
    fn check(&self, stored: Height) -> Result<(Kept, Coming<'_>), Refused> {
        // Records of another height, joined to those of this one, would be under no root at all.
        if self.height != stored {
            return Err(Refused::OtherHeight { found: self.height, stored });
        }
        let kept = Kept::new(self.kept.clone())?;
        for (at, node) in &self.outline {
            if let Some(node) = node {
                prefix_key::check(node, at)?;
                kept.check_outline(at)?;
            }
        }
        let mut records = Vec::with_capacity(self.records.len());
        for (key, value) in &self.records {
            within("a value", value.len(), VALUE_BYTES_MAX)?;
            let path = Path::of(key.as_bytes());
            if !kept.holds(&path) {
                return Err(Refused::NotKept(key.clone()));
            }
            records.push((path, key, value));
        }
        // By path, in which the table is ordered: pages are written one after the other, and each once.
        records.sort_unstable_by_key(|(path, ..)| *path);
        Ok((kept, records))
    }
}

/// Rows that go.
struct Going {
    records: Vec<Path>,
    undo: Vec<Vec<u8>>,
}

impl Going {
    /// The rows of what was kept `before` and is not any more. Reads all that lies under those prefixes.
    fn of(view: &CommittedView, before: &Kept, kept: &Kept) -> Result<Self> {
        let mut going = Self { records: Vec::new(), undo: Vec::new() };
        // A prefix that is still covered as a whole has nothing that goes, and need not be read: that is most of the store.
        let left: Vec<_> = before.prefixes().iter().filter(|prefix| !kept.covers(prefix)).collect();
        for prefix in &left {
            for row in view.table(Table::Records)?.from(prefix.first().as_bytes())? {
                let path = record_path(&row?.key)?;
                if !prefix.contains(&path) {
                    break;
                }
                if !kept.holds(&path) {
                    going.records.push(path);
                }
            }
        }
        // That no record goes is no reason to stop: the last heights may have removed all of them, and what they replaced is still there.
        if left.is_empty() {
            return Ok(going);
        }
        for row in view.table(Table::Undo)?.from(&[])? {
            let row = row?;
            let (_, path) =
                decode_undo_key(&row.key).ok_or_else(|| invariant(Table::Undo, &row.key, "not a height and a path"))?;
            if !kept.holds(&path) {
                going.undo.push(row.key);
            }
        }
        Ok(going)
    }
}

impl Store {
    /// Keeps other prefixes from now on. It is durable when this returns.
    ///
    /// Time and memory grow with what comes and goes: whoever takes over much does it in parts.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] if the change breaks a rule or is of another height than the stored one: nothing has changed.
    /// [`crate::Error::Damaged`], [`crate::Error::Failed`].
    pub fn rekeep(&self, change: &Rekeep) -> Result<()> {
        let mut writer = lock(&self.inner.writer);
        let (before, kept_before) = {
            let published = lock(&self.inner.published);
            (published.state.clone().ok_or(Refused::Empty)?, published.kept.clone())
        };
        let (kept, records) = change.check(before.position.height())?;
        // Nobody else writes.
        let going = Going::of(&self.inner.db.read()?, &kept_before, &kept)?;
        let mut counts = writer.counts.clone();
        let state = self.inner.db.write(|changes| {
            changes.sizes = before.sizes;
            move_records(changes, &going, &records, &mut counts)?;
            write_outline(changes, &change.outline)?;
            changes.rows(Table::Meta)?.put(KEPT, &kept.encode())?;
            write_state(changes, before.position.clone(), before.keep, before.above.clone())
        })?;
        writer.counts = counts;
        let mut published = lock(&self.inner.published);
        (published.state, published.kept) = (Some(Arc::new(state)), Arc::new(kept));
        Ok(())
    }
}

fn move_records(
    changes: &mut Changes<'_>,
    going: &Going,
    coming: &[(Path, &Key, &Bytes)],
    counts: &mut [Count],
) -> Result<()> {
    let mut undo = changes.rows(Table::Undo)?;
    // With their records: what these rows would restore is under no prefix that is kept.
    for key in &going.undo {
        undo.remove(key)?;
    }
    drop(undo);
    let mut touched = [false; crate::fold::COUNTS];
    let mut rows = changes.rows(Table::Records)?;
    let went = going.records.iter().map(|path| (path, None));
    let came = coming.iter().map(|(path, key, value)| (path, Some(encode_record(key, value))));
    for (path, content) in went.chain(came) {
        let first_byte = usize::from(path.as_bytes()[0]);
        touched[first_byte] = true;
        let before = rows.get(path.as_bytes())?.map(|(seal, _)| seal);
        write_record(&mut rows, &mut counts[first_byte], path, before.as_ref(), content.as_deref())?;
    }
    drop(rows);
    write_counts(changes, counts, &touched)
}
