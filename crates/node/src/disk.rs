//! The node's store: values of heights, and blocks on their way to the disk.
//!
//! ```text
//!  final block ─► unwritten ─► store.commit ─► durable, and what the engine's archive need not keep any more
//!                     │             │
//!  read at a height ──┴─────────────┘  the newest value that is not above it
//! ```
//!
//! A block is written behind its execution: what is not on the disk yet is in memory, and bounded in blocks and in bytes:
//! whoever hands on one more waits until there is room. Nothing is lost by a crash in between, since the engine's archive holds every final block until the store has it ([`Disk::durable`]).
//! So nobody waits for it either, and the blocks of half a second are written together: it takes the disk as long as one
//! of them. Where they are empty, as they are while the cluster rests, those of five seconds are: nothing else is to be written then.
//!
//! The newest block is held back until the next one is final. A result is certified by the block that carries it, the next one, so a store that has
//! the newest block has nothing certified to show after a start, until a quorum is there again. One that has the block before it starts with a certified
//! state, and executes the newest block again from the archive. The last block of an epoch is not held back ([`Disk::hand_on`]), nor is one
//! after which rules apply that this program does not know: a node that stops there must find it done when it is started again, or it would stop for it for ever.
//!
//! In a simulation the block is written at once, so that the same run is the same run twice.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pleach_store::{BlockWrite, Error, Store, Usage};
use pleach_tree::Path;
use pleach_types::Height;

use crate::lock;
use crate::process::thread_time;

/// Blocks that may wait to be written, beside those that are being written: the back-pressure of the disk on the order.
const UNWRITTEN_MAX: usize = 15;
/// Bytes of all blocks that are not written yet, those that are being written included. Blocks differ in size a thousand
/// times, so that their number alone is no bound of memory. A block larger than this is written alone.
pub const UNWRITTEN_BYTES_MAX: usize = 128 << 20;
/// Blocks that are written together at most.
const TOGETHER_MAX: usize = 16;
/// Bytes that are enough for a transaction: with so many the writer waits for no more. A part of what may be unwritten, or
/// it would wait for blocks that wait for it.
const TOGETHER_BYTES: usize = UNWRITTEN_BYTES_MAX / 4;
/// Blocks that are not written yet at most: those that wait, those that are being written, the one that waits to wait, and the newest, which is
/// held back.
pub const UNWRITTEN_BLOCKS_MAX: usize = UNWRITTEN_MAX + TOGETHER_MAX + 2;
/// How long the writer waits for more blocks to write with one.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long it waits as long as all of them are empty. A crash costs no more than executing them again.
const EMPTY_TOGETHER: Duration = Duration::from_secs(5);
/// What the last writing took is told in parts of what is left of it, each one of so many.
const WORK_PARTS: u64 = 32;

/// Bytes of memory for a receipt, module or node of the outline, beside its own.
const ITEM_BYTES: usize = 200;
/// The same for a record: its rows here and in the block, and its place in the tree.
const RECORD_BYTES: usize = 400;

/// What a block changed of the kept records.
type BlockChanges = Arc<BTreeMap<Path, Option<Bytes>>>;

/// A node's store. See the head of the module.
pub struct Disk {
    inner: Arc<Inner>,
    mode: WriteMode,
}

/// How blocks come to the store.
enum WriteMode {
    AtOnce,
    Behind(Mutex<WriterQueue>),
}

/// The way to the writer.
struct WriterQueue {
    /// `None` after the writer was stopped.
    writer: Option<SyncSender<WriterOrder>>,
    /// The newest block.
    held: Option<Box<BlockWrite>>,
}

impl WriterQueue {
    /// Hands the newest block on, if it is held. Whether there is somebody to hand it to.
    fn hand_on(&mut self) -> bool {
        let Some(block) = self.held.take() else { return true };
        self.writer.as_ref().is_some_and(|writer| writer.send(WriterOrder::Write(block)).is_ok())
    }
}

/// What the writer is told.
enum WriterOrder {
    Write(Box<BlockWrite>),
    /// Somebody waits for all that was handed on: to wait for more would hold the order up.
    Hurry,
}

struct Inner {
    store: Store,
    unwritten: Mutex<Unwritten>,
    /// Rings when a block was written, or none will be any more.
    written: Condvar,
    failed: OnceLock<Error>,
    /// Whether the writer has ended, however that came.
    ended: AtomicBool,
    /// What processors spent on writing, in nanoseconds, that nobody has asked for ([`Disk::take_work`]).
    work: AtomicU64,
    /// Bytes of unwritten blocks, at most.
    room: usize,
}

/// Blocks that are not on the disk yet.
#[derive(Default)]
struct Unwritten {
    heights: BTreeMap<Height, (BlockChanges, usize)>,
    /// Bytes of all of them.
    bytes: usize,
}

impl Unwritten {
    fn insert(&mut self, height: Height, changes: BlockChanges, bytes: usize) {
        self.heights.insert(height, (changes, bytes));
        self.bytes += bytes;
    }

    fn remove(&mut self, height: Height) {
        self.bytes -= self.heights.remove(&height).map_or(0, |(_, bytes)| bytes);
    }

    /// One alone has room whatever its size: otherwise a block that is too large would wait for ever.
    fn has_room(&self, bytes: usize, room: usize) -> bool {
        self.heights.is_empty() || self.bytes.saturating_add(bytes) <= room
    }
}

/// The other end of a [`Disk`] that writes behind: it must [run](Writer::run) on a thread of its own.
pub struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<WriterOrder>,
}

impl Disk {
    /// A disk that writes each block before it goes on.
    #[must_use]
    pub fn at_once(store: Store) -> Self {
        Self { inner: Inner::new(store, UNWRITTEN_BYTES_MAX), mode: WriteMode::AtOnce }
    }

    /// A disk that writes behind, and its writer.
    #[must_use]
    pub fn behind(store: Store) -> (Self, Writer) {
        Self::behind_with_room(store, UNWRITTEN_BYTES_MAX)
    }

    /// As [`Disk::behind`], with another bound of what is not written yet.
    fn behind_with_room(store: Store, room: usize) -> (Self, Writer) {
        let (sender, queue) = sync_channel(UNWRITTEN_MAX);
        let inner = Inner::new(store, room);
        (
            Self {
                inner: inner.clone(),
                mode: WriteMode::Behind(Mutex::new(WriterQueue { writer: Some(sender), held: None })),
            },
            Writer { inner, queue },
        )
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The newest height that no crash takes away any more.
    #[must_use]
    pub fn durable(&self) -> Height {
        self.inner.store.position().map_or(0, |position| position.height())
    }

    /// Writes the next block; or holds it, and hands the one before it to the writer, as soon as there is room for both.
    ///
    /// # Panics
    /// If the store has failed. The engine stops then, as it does when its own disk fails: a node must not go on
    /// without its memory.
    pub fn write(&self, block: BlockWrite) {
        let changes = block.records.iter().map(|(key, value)| (key.path(), value.clone())).collect();
        let bytes = unwritten_bytes(&block);
        if let WriteMode::Behind(queue) = &self.mode {
            // Before there is a wait for room, which only what is handed on can make.
            let handed_on = lock(queue).hand_on();
            let works = handed_on && self.inner.wait_for_room(bytes);
            let why = || self.inner.failed.get().map_or("the writer has stopped".into(), ToString::to_string);
            assert!(works, "the store cannot be written: {}", why());
        }
        lock(&self.inner.unwritten).insert(block.entry.result.height, Arc::new(changes), bytes);
        match &self.mode {
            WriteMode::AtOnce => self.inner.commit(std::slice::from_ref(&block)).unwrap_or_else(|e| panic!("{e}")),
            WriteMode::Behind(queue) => lock(queue).held = Some(Box::new(block)),
        }
    }

    /// Has the newest block written without waiting for the next one.
    pub fn hand_on(&self) {
        if let WriteMode::Behind(queue) = &self.mode {
            // Where nobody writes any more, the next block learns of it.
            lock(queue).hand_on();
        }
    }

    /// Waits until everything is written, the newest block too.
    ///
    /// # Errors
    /// If the store has failed.
    pub fn settle(&self) -> Result<(), Error> {
        if let WriteMode::Behind(queue) = &self.mode {
            let mut queue = lock(queue);
            queue.hand_on();
            // If there is no room, there is so much to write that the writer waits for no more.
            let _ = queue.writer.as_ref().map(|writer| writer.try_send(WriterOrder::Hurry));
        }
        let mut unwritten = lock(&self.inner.unwritten);
        while !unwritten.heights.is_empty() {
            if let Some(error) = self.inner.failed.get() {
                return Err(error.clone());
            }
            unwritten = self.inner.written.wait(unwritten).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Why the store has failed, if the writer has told.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.inner.failed.get().cloned()
    }

    /// Lets the writer end, once it has written what waits. A newest block that is held back stays unwritten.
    pub fn stop_writer(&self) {
        if let WriteMode::Behind(queue) = &self.mode {
            lock(queue).writer.take();
        }
    }

    /// Closes the store and gives up its folder. Nothing that is durable depends on it.
    ///
    /// # Errors
    /// If the store has failed.
    pub fn close(&self) -> Result<(), Error> {
        self.inner.store.clone().close()
    }

    /// The values of kept records at a height, in the order of the paths: of the first ones only, if all of them are more
    /// than `bytes_max`. No more than one value is read in vain.
    ///
    /// # Errors
    /// If the height is not readable, or the store is damaged or has failed.
    pub fn values(&self, height: Height, paths: &[Path], bytes_max: usize) -> Result<Vec<Option<Bytes>>, Error> {
        let mut found: Vec<Option<Option<Bytes>>> = vec![None; paths.len()];
        let below = {
            let unwritten = lock(&self.inner.unwritten);
            for changes in unwritten.heights.range(..=height).rev().map(|(_, (changes, _))| changes) {
                for (slot, path) in found.iter_mut().zip(paths).filter(|(slot, _)| slot.is_none()) {
                    *slot = changes.get(path).cloned();
                }
            }
            // A block leaves this map only when the store has it, so the store has the height below the first.
            unwritten.heights.keys().next().map_or(height, |first| height.min(first - 1))
        };
        let unread = found.iter().any(Option::is_none);
        let snapshot = unread.then(|| self.inner.store.at(below)).transpose()?;
        let (mut values, mut bytes) = (Vec::new(), 0);
        for (value, path) in found.into_iter().zip(paths) {
            let value = match (value, &snapshot) {
                (Some(value), _) => value,
                (None, Some(snapshot)) => snapshot.value(path)?.map(|record| record.value),
                (None, None) => None,
            };
            bytes += value.as_ref().map_or(0, Bytes::len);
            if bytes > bytes_max {
                break;
            }
            values.push(value);
        }
        Ok(values)
    }

    /// What processors spent on writing blocks behind their execution, a part of it: the blocks of half a second are written together, so what that
    /// took is spread over about as many. Not the time in which the writer waits for the disk: nobody waits for it meanwhile.
    pub(crate) fn take_work(&self) -> Duration {
        let part = self.inner.work.load(Ordering::Relaxed) / WORK_PARTS;
        self.inner.work.fetch_sub(part, Ordering::Relaxed);
        Duration::from_nanos(part)
    }

    /// What the store takes up.
    ///
    /// # Errors
    /// If the store has failed.
    pub fn usage(&self) -> Result<Usage, Error> {
        self.inner.store.usage()
    }
}

impl Inner {
    fn new(store: Store, room: usize) -> Arc<Self> {
        Arc::new(Self {
            store,
            unwritten: Mutex::default(),
            written: Condvar::new(),
            failed: OnceLock::new(),
            ended: AtomicBool::new(false),
            work: AtomicU64::new(0),
            room,
        })
    }

    /// Waits until so many bytes more may be unwritten, or nobody writes any more. Whether somebody does. Blocks come from one place, so that what
    /// has room now has room afterwards.
    fn wait_for_room(&self, bytes: usize) -> bool {
        let mut unwritten = lock(&self.unwritten);
        while !unwritten.has_room(bytes, self.room) && !self.ended.load(Ordering::Acquire) {
            unwritten = self.written.wait(unwritten).unwrap_or_else(PoisonError::into_inner);
        }
        !self.ended.load(Ordering::Acquire)
    }

    fn commit(&self, blocks: &[BlockWrite]) -> Result<(), Error> {
        self.store.commit_all(blocks)?;
        let mut unwritten = lock(&self.unwritten);
        blocks.iter().for_each(|block| unwritten.remove(block.entry.result.height));
        self.written.notify_all();
        Ok(())
    }
}

impl Writer {
    /// Writes blocks until the disk's owner stops it, or the store fails.
    ///
    /// # Errors
    /// Why the store failed. The owner learns of it with the next block.
    pub fn run(self) -> Result<(), Error> {
        while let Ok(order) = self.queue.recv() {
            let WriterOrder::Write(first) = order else { continue };
            let blocks = self.together(*first);
            let began = thread_time();
            let committed = self.inner.commit(&blocks);
            let work = thread_time().saturating_sub(began).as_nanos();
            self.inner.work.fetch_add(u64::try_from(work).unwrap_or(u64::MAX), Ordering::Relaxed);
            if let Err(error) = committed {
                let _ = self.inner.failed.set(error.clone());
                self.inner.written.notify_all();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The blocks that come within a moment after one; no more come once the disk's owner stops the writer.
    fn together(&self, first: BlockWrite) -> Vec<BlockWrite> {
        let wait = |block: &BlockWrite| if block.entry.requests == 0 { EMPTY_TOGETHER } else { TOGETHER };
        let mut until = Instant::now() + wait(&first);
        let mut bytes = unwritten_bytes(&first);
        let mut blocks = vec![first];
        while blocks.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
            match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(WriterOrder::Write(block)) => {
                    until = until.min(Instant::now() + wait(&block));
                    bytes += unwritten_bytes(&block);
                    blocks.push(*block);
                }
                Ok(WriterOrder::Hurry) | Err(_) => break,
            }
        }
        blocks
    }
}

impl Drop for Writer {
    /// Whoever waits for room must not wait for a writer that is gone.
    fn drop(&mut self) {
        // Under the lock, or somebody who has just looked would begin to wait after the call that wakes him.
        let _unwritten = self.inner.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.ended.store(true, Ordering::Release);
        self.inner.written.notify_all();
    }
}

/// About how much memory a block takes until it is written: its own, and that of its receipts, which the node keeps for as
/// long as they cannot be read from the store.
#[must_use]
pub fn unwritten_bytes(block: &BlockWrite) -> usize {
    let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
    let records = block.records.iter().map(|(key, value)| RECORD_BYTES + key.as_bytes().len() + length(value));
    // Receipts count as they are, in the block's own list and in the node's, and as they are encoded.
    let receipts = block.entry.receipts.iter().map(|receipt| 2 * ITEM_BYTES + 2 * receipt.encoded_len());
    let code = block.code.values().map(|code| ITEM_BYTES + code.len());
    let others = block.entry.written.len() * size_of::<Path>() + block.outline.len() * ITEM_BYTES;
    records.chain(receipts).chain(code).sum::<usize>() + others
}
