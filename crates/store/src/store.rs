//! Opening a store, and the open store.
//!
//! There is one writer: [`Inner::writer`] is held from the first check to the last, so blocks, other prefixes and another partition come one after the
//! other. Readers take no part in that. They go by what is *published*: the state of the last commit, the oldest readable height, and which heights
//! changed what. A commit publishes what it is about to change before its transaction and takes that back if it fails; so a reader sees one height
//! as a whole, or is told that it is gone.
//!
//! A write that fails retires the store (`database`): what reached the disk is only known after it has been opened again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path as FilePath;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pleach_tree::Prefix;
use pleach_types::{BlockResult, Certificate, Hash, Height};
use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::audit::{Depth, Progress, audit, audit_copy};
use crate::backend::{Device, Overlay};
use crate::commit::{self, BlockWrite};
use crate::database::{Db, lock};
use crate::error::{Damage, Error, OpenError, Refused, Result};
use crate::fold::Held;
use crate::header::{self, Marks};
use crate::history::{self, HistoryProofs};
use crate::kept::Kept;
use crate::layout::{Count, Keep, Position, StateRow, Tally, WindowEntry, decoded};
use crate::lock::Lock;
use crate::read::{Changed, Snapshot, heads};
use crate::staging::{Staging, Target};
use crate::table::{STATE, Table, decode_height, invariant};

/// The file in the store's folder.
pub(crate) const FILE: &str = "store.pleach";
/// A file that is not finished. Whoever finds it may remove it.
const NEW_FILE: &str = "store.new";

/// Bytes of pages in memory: the upper levels of a database of some ten million records.
const CACHE_BYTES: usize = 64 << 20;
/// The newest results whose places in the history are proved in full: at 30 ms a block some nine hours, and at most 170 MB.
const FINE_HISTORY_KEPT: u64 = 1 << 20;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of pages that the database keeps in memory.
    pub cache_bytes: usize,
    /// The newest results whose places in the history are proved in full ([`Store::prove_history`]). Of older ones the upper part
    /// of a proof stays.
    pub fine_history: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES, fine_history: FINE_HISTORY_KEPT }
    }
}

/// A store that is open but not checked: it gives nothing out before [`Opened::check`].
pub struct Opened {
    db: Db,
    marks: Marks,
    lock: Option<Lock>,
    fine: u64,
}

/// The durable partition of a node. Clones are the same store; see the head of the crate.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) writer: Mutex<WriterState>,
    pub(crate) published: Mutex<Published>,
    /// How many stagings were begun: only the last one of them goes on. Changes within transactions alone.
    pub(crate) stagings: AtomicU64,
    /// Given up after the database: until then the folder is in use.
    lock: Mutex<Option<Lock>>,
    /// See [`Options::fine_history`].
    fine: u64,
}

/// What only the one that writes needs.
pub(crate) struct WriterState {
    marks: Marks,
    pub(crate) counts: Vec<Count>,
}

/// What readers start from.
pub(crate) struct Published {
    pub(crate) state: Option<Arc<StateRow>>,
    pub(crate) kept: Arc<Kept>,
    /// The oldest readable height. Moves before the commit that drops what lies below it.
    oldest: Height,
    /// Knows of a height before the commit that makes it, so that no view is newer than this is.
    changed: Changed,
}

/// What a store takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The newest records.
    pub records: Tally,
    /// What the window adds: replaced values, written paths, receipts, code, and the outline.
    pub window: Tally,
    /// Bytes of the file.
    pub file_bytes: u64,
}

impl Usage {
    /// Bytes of the file that hold none of the counted rows: the structure of the database, space that is free
    /// for the next blocks, a partition that is being staged.
    #[must_use]
    pub const fn other_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.records.bytes + self.window.bytes)
    }
}

impl Store {
    /// Opens the store in a folder, or makes an empty one. Reads every page once and compares its checksum.
    ///
    /// # Errors
    /// Each reason of [`OpenError`]. A newer format, another genesis and a damaged header leave the file untouched.
    pub fn open(dir: &FilePath, genesis: &Hash, options: &Options) -> Result<Opened, OpenError> {
        let io = |what: &str| {
            let what = format!("{what} in {}", dir.display());
            move |source| OpenError::Io { what, source }
        };
        std::fs::create_dir_all(dir).map_err(io("making the folder"))?;
        let lock = Lock::take(dir)?;
        if !dir.join(FILE).try_exists().map_err(io("looking for the store"))? {
            create(dir, genesis, options)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(dir.join(FILE)).map_err(io("opening the store"))?;
        open_device(device(file)?, genesis, options, Some(lock))
    }

    /// Opens the store on a device of another kind, for tests and simulations. An empty device becomes an empty
    /// store; a crash while that is going on leaves a device that must be emptied again.
    ///
    /// # Errors
    /// As [`Store::open`], but for the lock.
    pub fn open_on(device: impl StorageBackend, genesis: &Hash, options: &Options) -> Result<Opened, OpenError> {
        let device: Device = Arc::new(device);
        let io = |source| OpenError::Io { what: "opening the device".into(), source };
        if device.len().map_err(io)? == 0 {
            header::create(&device, genesis).map_err(io)?;
        }
        open_device(device, genesis, options, None)
    }

    /// Where the store stands: `None` while it holds no partition.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        lock(&self.inner.published).state.as_ref().map(|state| state.position.clone())
    }

    /// What is kept: `None` while the store holds no partition.
    #[must_use]
    pub fn keep(&self) -> Option<Keep> {
        lock(&self.inner.published).state.as_ref().map(|state| state.keep)
    }

    /// The certificate of the block above the newest height, if the partition came from others with it ([`Arrival::above`]) and no block
    /// was written since. It is as it was handed in: whoever uses it checks it.
    ///
    /// [`Arrival::above`]: crate::Arrival::above
    #[must_use]
    pub fn above(&self) -> Option<Certificate> {
        lock(&self.inner.published).state.as_ref().and_then(|state| state.above.clone())
    }

    /// The prefixes whose records are kept, in ascending order and none within another; none while the store holds no
    /// partition.
    #[must_use]
    pub fn kept(&self) -> Vec<Prefix> {
        lock(&self.inner.published).kept.prefixes().to_vec()
    }

    /// What the store takes up.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn usage(&self) -> Result<Usage> {
        let sizes = lock(&self.inner.published).state.as_ref().map(|state| state.sizes).unwrap_or_default();
        let window = [sizes.undo, sizes.window, sizes.code, sizes.outline]
            .into_iter()
            .fold(Tally::default(), |sum, tally| Tally { rows: sum.rows + tally.rows, bytes: sum.bytes + tally.bytes });
        let file_bytes = self.inner.db.file_bytes()?;
        Ok(Usage { records: sizes.records, window, file_bytes })
    }

    /// Writes a block and makes it durable. When this returns `Ok`, no crash takes it away any more.
    ///
    /// # Errors
    /// [`Error::Refused`] if the block breaks a rule: nothing has changed. Otherwise the store has failed and takes
    /// no more writes; whether the block is in it is known once it has been opened again.
    pub fn commit(&self, block: &BlockWrite) -> Result<()> {
        self.commit_all(std::slice::from_ref(block))
    }

    /// As [`Store::commit`] for blocks that follow each other, in one transaction: all of them or none. What they change
    /// of the same page, and what making a transaction durable costs, is paid once.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_all(&self, blocks: &[BlockWrite]) -> Result<()> {
        let Some(last) = blocks.last() else { return Ok(()) };
        let mut writer = lock(&self.inner.writer);
        let (before, kept) = {
            let published = lock(&self.inner.published);
            (published.state.clone().ok_or(Refused::Empty)?, published.kept.clone())
        };
        let blocks = check_all(blocks, &before.position, &kept)?;
        let height = last.height();
        let blocks: Vec<_> = blocks.into_iter().map(|(block, position)| (block, position, block.by_path())).collect();
        let oldest = blocks.iter().fold(before.keep, |keep, (block, ..)| block.keep.after(keep, block.height())).values;
        let changed = blocks.iter().map(|(block, _, rows)| (block.height(), heads(rows.iter().map(|row| &row.0))));
        // Before the transaction: a reader that begins in between must know already what these heights replace, or it would take their new rows for
        // those of its own height.
        let announced = self.announce(changed.collect(), oldest);
        // A copy: if the transaction fails, memory stays as the disk is.
        let mut counts = writer.counts.clone();
        let written = self.inner.db.write(|changes| {
            let mut state = StateRow::clone(&before);
            for (block, position, records) in &blocks {
                state = commit::write(changes, block, position.clone(), records, &state, &mut counts, self.inner.fine)?;
            }
            Ok(state)
        });
        // Only once the blocks are durable: a mark ahead of the database is how a later start notices that the file is older than what was acknowledged.
        let written = written.and_then(|state| self.acknowledge(&mut writer, height).map(|()| state));
        let mut published = lock(&self.inner.published);
        match written {
            Ok(state) => {
                writer.counts = counts;
                published.changed = pruned(&published.changed, oldest);
                published.state = Some(Arc::new(state));
                Ok(())
            }
            Err(error) => {
                (published.oldest, published.changed) = announced;
                Err(error)
            }
        }
    }

    /// Tells readers of heights, and what those change, before they are there. Returns what they knew before.
    fn announce(&self, heights: Vec<(Height, Arc<[u64]>)>, oldest: Height) -> (Height, Changed) {
        let mut published = lock(&self.inner.published);
        let before = (published.oldest, published.changed.clone());
        published.oldest = oldest;
        Arc::make_mut(&mut published.changed).extend(heights);
        before
    }

    /// Notes in the header that a height is durable.
    fn acknowledge(&self, writer: &mut WriterState, height: Height) -> Result<()> {
        let noted = writer.marks.write(&self.inner.db.device, height);
        noted.map_err(|e| {
            let error = Error::Failed(e.to_string());
            self.inner.db.retire(&error);
            error
        })
    }

    /// The records at a height from [`Keep::values`] to the stored one.
    ///
    /// # Errors
    /// [`Refused::Empty`], [`Refused::NotReadable`], [`Error::Failed`], [`Error::Damaged`].
    pub fn at(&self, height: Height) -> Result<Snapshot> {
        let published = lock(&self.inner.published);
        let newest = published.state.as_ref().ok_or(Refused::Empty)?.position.height();
        let oldest = published.oldest;
        if height < oldest || height > newest {
            return Err(Refused::NotReadable { height, oldest, newest }.into());
        }
        // Taken while nobody can announce another height: the view is no newer than `changed`.
        let view = self.inner.db.read()?;
        Snapshot::new(&view, height, published.changed.clone())
    }

    /// What a height left in the window: `None` if it is not in it.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn window(&self, height: Height) -> Result<Option<WindowEntry>> {
        let key = height.to_be_bytes();
        let content = self.inner.db.read()?.get(Table::Window, &key)?;
        Ok(content.map(|content| decoded(Table::Window, &key, &content)).transpose()?)
    }

    /// Code by its digest: `None` if no height of the window ran it, or none was given its bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn code(&self, digest: &Hash) -> Result<Option<Bytes>> {
        self.inner.db.read()?.get(Table::Code, &digest.0)
    }

    /// All code whose bytes are stored, with the last height that ran it, for a start.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn warm(&self) -> Result<BTreeMap<Hash, (Height, Bytes)>> {
        let view = self.inner.db.read()?;
        let mut warm = BTreeMap::new();
        for row in view.under(Table::CodeUsed, &[])? {
            let row = row?;
            let digest = row.key.as_slice().try_into();
            let digest = Hash(digest.map_err(|_| invariant(Table::CodeUsed, &row.key, "not a digest"))?);
            let used = commit::last_use(&digest, &row.content)?;
            if let Some(bytes) = view.get(Table::Code, &digest.0)? {
                warm.insert(digest, (used.height, bytes));
            }
        }
        Ok(warm)
    }

    /// The steps from each set of members to the next, encoded, by the epoch at whose end they were made, for a start.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn steps(&self) -> Result<BTreeMap<u64, Bytes>> {
        let view = self.inner.db.read()?;
        let mut steps = BTreeMap::new();
        for row in view.under(Table::Steps, &[])? {
            let row = row?;
            let epoch = decode_height(&row.key).ok_or_else(|| invariant(Table::Steps, &row.key, "not an epoch"))?;
            steps.insert(epoch, row.content);
        }
        Ok(steps)
    }

    /// Proves the result of a height, and the history before it, under the history of the first `size` results: what the result of height
    /// `size` commits to. `newer` tells the results from a height on, which the store is still to be given. `None` if the height is not below
    /// `size`, a result is not there, or a part of the proof not (any more).
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`].
    pub fn prove_history(
        &self,
        height: Height,
        size: u64,
        newer: impl FnOnce(Height) -> Vec<BlockResult>,
    ) -> Result<Option<HistoryProofs>> {
        let Some(position) = self.position() else { return Ok(None) };
        // The result of its own height is not a part of what the store has put away.
        let newer = if size > position.height() { newer(position.height()) } else { Vec::new() };
        history::prove(&self.inner.db.read()?, &position, &newer, height, size)
    }

    /// Begins to stage a partition that will take the place of the stored one. It begins anew: whatever an earlier
    /// attempt has staged, in this process or another, is dropped, and an earlier [`Staging`] is over.
    ///
    /// # Errors
    /// [`Refused::Behind`], [`Error::Failed`], [`Error::Damaged`].
    pub fn stage(&self, target: Target) -> Result<Staging> {
        Staging::begin(self.clone(), target)
    }

    /// Puts another state in the place of the stored one: `change` writes it.
    pub(crate) fn switch(
        &self,
        height: Height,
        kept: Kept,
        change: impl FnOnce(&mut crate::database::Changes<'_>, Option<&StateRow>) -> Result<(StateRow, Vec<Count>)>,
    ) -> Result<()> {
        let mut writer = lock(&self.inner.writer);
        let before = lock(&self.inner.published).state.clone();
        // No height is readable from here until the new one is.
        let announced = self.announce(vec![(height, [].into())], height);
        let written = self.inner.db.write(|changes| change(changes, before.as_deref()));
        let written = written.and_then(|new| self.acknowledge(&mut writer, height).map(|()| new));
        let mut published = lock(&self.inner.published);
        match written {
            Ok((state, counts)) => {
                writer.counts = counts;
                published.changed = Changed::default();
                published.state = Some(Arc::new(state));
                published.kept = Arc::new(kept);
                Ok(())
            }
            Err(error) => {
                (published.oldest, published.changed) = announced;
                Err(error)
            }
        }
    }

    /// Closes the store, so that the next start need not recover anything, and gives up its folder: other clones give
    /// out nothing any more. Dropping the last clone does the same, but keeps errors to itself. Nothing that was
    /// acknowledged depends on it.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Damaged`].
    pub fn close(self) -> Result<()> {
        let _writer = lock(&self.inner.writer);
        let closed = self.inner.db.close();
        drop(lock(&self.inner.lock).take());
        closed
    }
}

impl Opened {
    /// Where the store says it stands. Its rows have not been compared with that yet.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn position(&self) -> Result<Option<Position>, OpenError> {
        Ok(read_state(&self.db)?.map(|state| state.position))
    }

    /// Reads everything in the order of paths, recomputes each label up to the root, and compares: each row with
    /// its checksum, records with the counts under each first byte, records and outline with the stored root, the window
    /// with its digests. Records and outline are handed to `visit` in batches as they come, at most about a megabyte
    /// each, so that a tree can be built on the way; it must not be used before this has returned `Ok`.
    ///
    /// The caller compares the stored root with one that it trusts: here it is only the one that was stored.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] with what differs; [`OpenError::Io`].
    pub fn check(self, mut visit: impl FnMut(&[Held]), mut progress: impl FnMut(Progress)) -> Result<Store, OpenError> {
        let found = audit(&self.db.read()?, Depth::Start, &mut visit, &mut progress)?;
        if found.damages.count > 0 {
            return Err(OpenError::Damaged(found.damages.first));
        }
        let oldest = found.state.as_ref().map_or(0, |state| state.keep.values);
        let kept = Arc::new(found.kept.unwrap_or_default());
        let published = Published { state: found.state.map(Arc::new), kept, oldest, changed: found.changed };
        let writer = WriterState { marks: self.marks, counts: found.counts };
        let inner = Inner {
            db: self.db,
            writer: Mutex::new(writer),
            published: Mutex::new(published),
            stagings: AtomicU64::new(0),
            lock: Mutex::new(self.lock),
            fine: self.fine,
        };
        Ok(Store { inner: Arc::new(inner) })
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let height = self.position().map(|position| position.height());
        f.debug_struct("Store").field("height", &height).finish_non_exhaustive()
    }
}

/// Checks that blocks follow the stored position and each other, and what each must be by itself. Returns them with the
/// positions that they lead to.
fn check_all<'a>(
    blocks: &'a [BlockWrite],
    stored: &Position,
    kept: &Kept,
) -> Result<Vec<(&'a BlockWrite, Position)>, Refused> {
    let mut checked: Vec<(&BlockWrite, Position)> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let before = checked.last().map_or(stored, |(_, position)| position);
        let position = block.check(before, kept)?;
        checked.push((block, position));
    }
    Ok(checked)
}

/// Heights that are no longer readable need no heads.
fn pruned(changed: &Changed, oldest: Height) -> Changed {
    let mut changed = changed.clone();
    if changed.keys().next().is_some_and(|first| *first <= oldest) {
        let kept = Arc::make_mut(&mut changed);
        *kept = kept.split_off(&oldest.saturating_add(1));
    }
    changed
}

pub(crate) fn device(file: File) -> Result<Device, OpenError> {
    let failed = |e: redb::DatabaseError| OpenError::Io {
        what: "opening the store".into(),
        source: std::io::Error::other(e.to_string()),
    };
    Ok(Arc::new(FileBackend::new(file).map_err(failed)?))
}

/// Makes an empty store under another name and gives it its own once it is whole and durable.
fn create(dir: &FilePath, genesis: &Hash, options: &Options) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { what: format!("making a store in {}", dir.display()), source };
    let path = dir.join(NEW_FILE);
    let mut new = OpenOptions::new();
    let file = new.read(true).write(true).create(true).truncate(true).open(&path).map_err(io)?;
    let device = device(file)?;
    header::create(&device, genesis).map_err(io)?;
    Db::open(device.clone(), options.cache_bytes, false)?.close()?;
    device.sync_data().map_err(io)?;
    std::fs::rename(&path, dir.join(FILE)).map_err(io)?;
    // The name must be on the disk before anything is acknowledged in the file.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}

pub(crate) fn open_device(
    device: Device,
    genesis: &Hash,
    options: &Options,
    lock: Option<Lock>,
) -> Result<Opened, OpenError> {
    header::check(&device, Some(genesis))?;
    let io = |source| OpenError::Io { what: "reading the marks".into(), source };
    let (marks, acknowledged) = Marks::read(&device).map_err(io)?;
    let db = Db::open(device.clone(), options.cache_bytes, true).map_err(|error| diagnosed(&device, options, error))?;
    let found = read_state(&db).map_err(|error| diagnosed(&device, options, error))?;
    let found = found.map(|state| state.position.height());
    match acknowledged {
        Some(acknowledged) if found.is_none_or(|found| found < acknowledged) => {
            Err(OpenError::Damaged(vec![Damage::RolledBack { acknowledged, found }]))
        }
        _ => Ok(Opened { db, marks, lock, fine: options.fine_history }),
    }
}

fn read_state(db: &Db) -> Result<Option<StateRow>> {
    let content = db.read()?.get(Table::Meta, STATE)?;
    Ok(content.map(|content| decoded(Table::Meta, STATE, &content)).transpose()?)
}

/// Adds to the database's complaint, which names pages, the records that are damaged. The file is not touched.
fn diagnosed(device: &Device, options: &Options, error: Error) -> OpenError {
    let Error::Damaged(damage) = error else { return error.into() };
    let mut damages = vec![damage];
    let found = Overlay::new(device.clone()).ok().and_then(|overlay| {
        let db = Db::open(Arc::new(overlay), options.cache_bytes, false).ok()?;
        audit_copy(db, Depth::Start, &mut |_| {}).ok()
    });
    damages.extend(found.into_iter().flat_map(|found| found.damages.first));
    damages.truncate(crate::error::DAMAGES_MAX);
    OpenError::Damaged(damages)
}
