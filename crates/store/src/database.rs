//! The embedded database behind a wall.
//!
//! redb returns errors for the corruption that it knows of, and panics on some that it does not. Every call goes
//! through [`guard`], which makes a panic the same as an error, and a failed write retires the store: what of it
//! reached the disk is only known after the file has been opened and checked again.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use redb::{
    Builder, Database, OwnedRange, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, WriteTransaction,
};

use crate::backend::{BehindHeader, Device};
use crate::error::{Damage, Error, Result};
use crate::layout::{Sizes, Tally};
use crate::seal::{Seal, seal, unseal};
use crate::table::Table;

/// Calls into the database. A panic becomes an error.
///
/// This needs unwinding panics, which all profiles of the workspace have. State behind the database that a panic
/// may have left half changed is never used again: reads give back their transaction, and a failed write retires
/// the store.
pub(crate) fn guard<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Damage::Database(format!("it gave up: {text}")).into())
    })
}

/// An error of the database: damage if the database calls it so, else a failure.
pub(crate) fn failure(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Corrupted(why) => Damage::Database(why).into(),
        redb::Error::TableDoesNotExist(name) => Damage::Database(format!("table {name} is missing")).into(),
        error @ (redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. }) => {
            Damage::Database(error.to_string()).into()
        }
        // Said of bytes that were read well and make no sense, or end too early.
        redb::Error::Io(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Damage::Database(error.to_string()).into()
        }
        error => Error::Failed(error.to_string()),
    }
}

/// An open database and the device that it is on.
pub(crate) struct Db {
    pub(crate) device: Device,
    database: RwLock<Option<Database>>,
    /// Why there are no more writes.
    retired: OnceLock<String>,
}

impl Db {
    /// Opens the database on a device with a header, or makes an empty one. `checked` reads every page once and
    /// compares its checksum.
    pub(crate) fn open(device: Device, cache_bytes: usize, checked: bool) -> Result<Self> {
        let database = guard(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes).set_check_integrity_on_open(checked);
            builder.create_with_backend(BehindHeader(device.clone())).map_err(failure)
        })?;
        Ok(Self { device, database: RwLock::new(Some(database)), retired: OnceLock::new() })
    }

    /// Gives the database up without closing it, as nobody will read what closing it would write. Closing one whose pages are
    /// damaged may panic in the database's own destructors, which ends the process before anybody is told of the damage.
    pub(crate) fn abandon(mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(database.take());
    }

    /// Fails if a write failed before.
    pub(crate) fn usable(&self) -> Result<()> {
        self.retired.get().map_or(Ok(()), |why| Err(Error::Failed(why.clone())))
    }

    /// A view of the last commit that no later one changes.
    pub(crate) fn read(&self) -> Result<CommittedView> {
        self.usable()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(closed)?;
        guard(|| Ok(CommittedView { transaction: Arc::new(database.begin_read().map_err(failure)?) }))
    }

    /// Runs `change` in one transaction and makes it durable. If `change` refuses, nothing has happened; if the
    /// disk or the database fails, the store is retired.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Changes<'_>) -> Result<T>) -> Result<T> {
        self.usable()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(closed)?;
        let result = guard(|| {
            let mut transaction = database.begin_write().map_err(failure)?;
            // Two phases: the pages are on the disk before the commit that names them, so a commit never rests
            // on a checksum that an author of values could aim at. It also saves what a restart after a crash
            // would have to find out by reading everything.
            transaction.set_quick_repair(true);
            let mut changes = Changes { transaction: &transaction, sizes: Sizes::default() };
            match change(&mut changes) {
                Ok(value) => {
                    transaction.commit().map_err(failure)?;
                    Ok(value)
                }
                Err(error) => {
                    transaction.abort().map_err(failure)?;
                    Err(error)
                }
            }
        });
        if let Err(error @ (Error::Damaged(_) | Error::Failed(_))) = &result {
            self.retire(error);
        }
        result
    }

    /// No more writes.
    pub(crate) fn retire(&self, error: &Error) {
        // The first failure is the one that says what happened.
        let _ = self.retired.set(error.to_string());
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> Result<u64> {
        self.device.len().map_err(|e| Error::Failed(e.to_string()))
    }

    /// Closes the database, which saves what makes the next opening quick, and syncs the device.
    pub(crate) fn close(&self) -> Result<()> {
        let taken = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(database) = taken else { return Ok(()) };
        guard(|| database.close().map_err(failure))?;
        self.device.sync_data().map_err(|e| Error::Failed(e.to_string()))
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // Nobody is left to be told. What was acknowledged is durable already.
        let _ = self.close();
        let _ = guard(|| self.device.close().map_err(|e| Error::Failed(e.to_string())));
    }
}

fn closed() -> Error {
    Error::Failed("it is closed".into())
}

/// One row: key, checksum, content.
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) seal: Seal,
    pub(crate) content: Bytes,
}

/// The database as one commit left it.
#[derive(Clone)]
pub(crate) struct CommittedView {
    transaction: Arc<ReadTransaction>,
}

impl CommittedView {
    /// A table of this view.
    pub(crate) fn table(&self, table: Table) -> Result<ViewTable> {
        guard(|| match self.transaction.open_table(table.definition()) {
            Ok(rows) => Ok(ViewTable { table, rows: Some(rows) }),
            // A table is made by the first write to it.
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(ViewTable { table, rows: None }),
            Err(error) => Err(failure(error)),
        })
    }

    /// The content at a key of a table.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>> {
        self.table(table)?.get(key)
    }

    /// The rows of a table whose keys begin with `prefix`.
    pub(crate) fn under(&self, table: Table, prefix: &[u8]) -> Result<impl Iterator<Item = Result<Row>>> {
        let rows = self.table(table)?.from(prefix)?;
        let prefix = prefix.to_vec();
        Ok(rows.take_while(move |row| !row.as_ref().is_ok_and(|row| !row.key.starts_with(&prefix))))
    }
}

/// One table of a view.
pub(crate) struct ViewTable {
    table: Table,
    rows: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl ViewTable {
    /// The content at a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        guard(|| {
            let Some(rows) = &self.rows else { return Ok(None) };
            let Some(row) = rows.get(key).map_err(failure)? else { return Ok(None) };
            Ok(Some(Bytes::copy_from_slice(unseal(self.table, key, row.value())?.1)))
        })
    }

    /// The rows from a key on, in order.
    pub(crate) fn from(&self, key: &[u8]) -> Result<ViewRows> {
        guard(|| {
            let range = self.rows.as_ref().map(|rows| rows.range_owned::<&[u8]>(key..)).transpose().map_err(failure)?;
            Ok(ViewRows { table: self.table, range })
        })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> Result<u64> {
        guard(|| self.rows.as_ref().map_or(Ok(0), |rows| rows.len().map_err(failure)))
    }
}

/// A walk over rows. A damaged row is an error, and the walk goes on after it; a failure of the database ends it.
pub(crate) struct ViewRows {
    table: Table,
    range: Option<OwnedRange<&'static [u8], &'static [u8]>>,
}

impl Iterator for ViewRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let range = self.range.as_mut()?;
        let table = self.table;
        // Even looking at what was read may panic, where a page says that it reaches beyond its own end.
        let row = guard(|| {
            let Some((key, row)) = range.next().transpose().map_err(failure)? else { return Ok(None) };
            let key = key.value();
            Ok(Some(unseal(table, key, row.value()).map(|(seal, content)| Row {
                key: key.to_vec(),
                seal,
                content: Bytes::copy_from_slice(content),
            })))
        });
        match row {
            Ok(row) => Some(row?.map_err(Error::from)),
            Err(error) => {
                self.range = None;
                Some(Err(error))
            }
        }
    }
}

/// A transaction that is being written.
pub(crate) struct Changes<'a> {
    transaction: &'a WriteTransaction,
    /// What the tables hold, kept up with each change. Set before the first one, read after the last.
    pub(crate) sizes: Sizes,
}

impl Changes<'_> {
    /// Opens a table for a number of changes.
    pub(crate) fn rows(&mut self, table: Table) -> Result<Rows<'_>> {
        let rows = self.transaction.open_table(table.definition()).map_err(failure)?;
        Ok(Rows { table, rows, tally: self.sizes.get_mut(table) })
    }

    /// Drops a table with all its rows.
    pub(crate) fn clear(&mut self, table: Table) -> Result<()> {
        if let Some(tally) = self.sizes.get_mut(table) {
            *tally = Tally::default();
        }
        self.transaction.delete_table(table.definition()).map(drop).map_err(failure)
    }

    /// Puts one table in the place of another.
    pub(crate) fn replace(&mut self, table: Table, by: Table) -> Result<()> {
        self.clear(table)?;
        match self.transaction.rename_table(by.definition(), table.definition()) {
            Ok(()) | Err(redb::TableError::TableDoesNotExist(_)) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

/// One table of a transaction that is being written.
pub(crate) struct Rows<'a> {
    table: Table,
    rows: redb::Table<'a, &'static [u8], &'static [u8]>,
    tally: Option<&'a mut Tally>,
}

impl Rows<'_> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> Result<u64> {
        self.rows.len().map_err(failure)
    }

    /// The checksum and the content at a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<(Seal, Vec<u8>)>> {
        let Some(row) = self.rows.get(key).map_err(failure)? else { return Ok(None) };
        let (seal, content) = unseal(self.table, key, row.value())?;
        Ok(Some((seal, content.to_vec())))
    }

    /// Sets the content at a key. Returns its checksum.
    pub(crate) fn put(&mut self, key: &[u8], content: &[u8]) -> Result<Seal> {
        let (mark, row) = seal(self.table, key, content);
        let before = self.rows.insert(key, row.as_slice()).map_err(failure)?.map(|row| row.value().len());
        if let Some(tally) = &mut self.tally {
            forget(tally, before.map(|len| key.len() + len));
            tally.rows += 1;
            tally.bytes += (key.len() + row.len()) as u64;
        }
        Ok(mark)
    }

    /// Whether there is a row at a key, damaged or not.
    pub(crate) fn has(&self, key: &[u8]) -> Result<bool> {
        Ok(self.rows.get(key).map_err(failure)?.is_some())
    }

    /// The rows before a key, in order.
    pub(crate) fn before(&self, key: &[u8]) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        for row in self.rows.range::<&[u8]>(..key).map_err(failure)? {
            let (key, row) = row.map_err(failure)?;
            let (seal, content) = unseal(self.table, key.value(), row.value())?;
            found.push(Row { key: key.value().to_vec(), seal, content: Bytes::copy_from_slice(content) });
        }
        Ok(found)
    }

    /// Removes a key. Returns whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let before = self.rows.remove(key).map_err(failure)?.map(|row| row.value().len());
        if let Some(tally) = &mut self.tally {
            forget(tally, before.map(|len| key.len() + len));
        }
        Ok(before.is_some())
    }

    /// Removes all keys before `key`.
    pub(crate) fn remove_before(&mut self, key: &[u8]) -> Result<()> {
        let tally = &mut self.tally;
        let each = |key: &[u8], row: &[u8]| {
            if let Some(tally) = tally {
                forget(tally, Some(key.len() + row.len()));
            }
            false
        };
        self.rows.retain_in::<&[u8], _>(..key, each).map_err(failure)
    }
}

/// Takes one row off a tally. The tally is a count of ours, not a matter of soundness: a wrong one is found by
/// `fsck` and must not stop the node.
fn forget(tally: &mut Tally, bytes: Option<usize>) {
    if let Some(bytes) = bytes {
        tally.rows = tally.rows.saturating_sub(1);
        tally.bytes = tally.bytes.saturating_sub(bytes as u64);
    }
}

/// A lock that a panic elsewhere does not take away: what it protects is replaced as a whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
