//! A member's disk for its store, in memory: what was not synced may be lost, torn or reordered when the power goes.
//!
//! The engine's journals are on the runtime's own simulated storage, which loses what was not synced as well.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pleach_store::StorageBackend;
use rand::Rng;

/// What a write may tear into.
const SECTOR: usize = 512;

#[derive(Debug)]
enum PendingWrite {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct DiskContent {
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// What reads see.
    current: Vec<u8>,
    /// What was done since the last sync, oldest first.
    pending: Vec<PendingWrite>,
    /// Nothing works any more: the process that had this disk was killed.
    dark: bool,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<DiskContent>>);

impl SimDisk {
    /// Cuts the power, and returns the disk as the next start finds it: what was synced, and of the rest what `rng` lets
    /// through. The old one fails from now on, so that a process that is being dropped writes no more.
    pub fn cut_power(&self, rng: &mut impl Rng) -> Self {
        let mut content = self.content();
        content.dark = true;
        let mut image = std::mem::take(&mut content.durable);
        for pending in std::mem::take(&mut content.pending) {
            match pending {
                PendingWrite::Length(len) if rng.random_bool(0.5) => image.resize(len, 0),
                PendingWrite::Length(_) => {}
                PendingWrite::Write(offset, data) => {
                    for (number, sector) in data.chunks(SECTOR).enumerate().filter(|_| rng.random_bool(0.5)) {
                        put(&mut image, offset + number * SECTOR, sector);
                    }
                }
            }
        }
        Self(Arc::new(Mutex::new(DiskContent { current: image.clone(), durable: image, ..DiskContent::default() })))
    }

    /// Another disk with what reads see of this one, all of it durable.
    #[must_use]
    pub fn image(&self) -> Self {
        let current = self.content().current.clone();
        Self(Arc::new(Mutex::new(DiskContent { durable: current.clone(), current, ..DiskContent::default() })))
    }

    fn content(&self) -> MutexGuard<'_, DiskContent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, pending: PendingWrite) -> io::Result<()> {
        let mut content = self.content();
        if content.dark {
            return Err(io::Error::other("the power is off"));
        }
        match &pending {
            PendingWrite::Length(len) => content.current.resize(*len, 0),
            PendingWrite::Write(offset, data) => put(&mut content.current, *offset, data),
        }
        content.pending.push(pending);
        Ok(())
    }
}

fn put(image: &mut Vec<u8>, at: usize, data: &[u8]) {
    if image.len() < at + data.len() {
        image.resize(at + data.len(), 0);
    }
    image[at..at + data.len()].copy_from_slice(data);
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let end = (offset as usize).checked_add(out.len());
        let found = end.filter(|_| !content.dark).and_then(|end| content.current.get(offset as usize..end));
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(PendingWrite::Length(len as usize))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(PendingWrite::Write(offset as usize, data.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.content();
        if content.dark {
            return Err(io::Error::other("the power is off"));
        }
        for pending in std::mem::take(&mut content.pending) {
            match pending {
                PendingWrite::Length(len) => content.durable.resize(len, 0),
                PendingWrite::Write(offset, data) => put(&mut content.durable, offset, &data),
            }
        }
        Ok(())
    }
}
