//! A disk in memory that fails as disks do.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pleach_store::StorageBackend;
use rand::Rng;
use rand::rngs::StdRng;

/// What a write may tear into.
const SECTOR: usize = 512;

/// What happens at a chosen I/O: a write, a change of length, or a sync. Reads don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: from there on everything fails.
    Power,
    /// That one I/O fails, later ones do not.
    Once,
}

#[derive(Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct Inner {
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// What reads see.
    current: Vec<u8>,
    /// What was done since the last sync, oldest first.
    pending: Vec<Pending>,
    ios: u64,
    fault: Option<(u64, Fault)>,
    dark: bool,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    /// A disk that holds `image`, durably.
    pub fn holding(image: &[u8]) -> Self {
        let inner = Inner { durable: image.to_vec(), current: image.to_vec(), ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// A disk that holds `image` and fails at I/O number `at`, counted from 0.
    pub fn failing(image: &[u8], at: u64, fault: Fault) -> Self {
        let disk = Self::holding(image);
        disk.inner().fault = Some((at, fault));
        disk
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many I/Os there were.
    pub fn ios(&self) -> u64 {
        self.inner().ios
    }

    /// What reads see now.
    pub fn image(&self) -> Vec<u8> {
        self.inner().current.clone()
    }

    /// What a power cut leaves now: what was synced, and of the rest whatever `rng` lets through, whole, torn at
    /// sectors or not at all, later ones without earlier ones.
    pub fn after_power_cut(&self, rng: &mut StdRng) -> Vec<u8> {
        let inner = self.inner();
        let mut image = inner.durable.clone();
        // From nothing but losses to almost none: each kind of cut is worth its share.
        let kept = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        for pending in &inner.pending {
            match pending {
                Pending::Length(len) if rng.random_bool(kept) => image.resize(*len as usize, 0),
                Pending::Length(_) => {}
                Pending::Write(offset, data) => persist(&mut image, *offset as usize, data, kept, rng),
            }
        }
        image
    }
}

fn persist(image: &mut Vec<u8>, offset: usize, data: &[u8], kept: f64, rng: &mut StdRng) {
    let torn = rng.random_bool(0.3);
    if !torn && !rng.random_bool(kept) {
        return;
    }
    for (number, sector) in data.chunks(SECTOR).enumerate() {
        if torn && !rng.random_bool(kept) {
            continue;
        }
        let at = offset + number * SECTOR;
        if image.len() < at + sector.len() {
            image.resize(at + sector.len(), 0);
        }
        image[at..at + sector.len()].copy_from_slice(sector);
    }
}

impl Inner {
    /// Counts an I/O. An error means that it failed; the pending list may still hold it.
    fn io(&mut self) -> Result<(), io::Error> {
        let number = self.ios;
        self.ios += 1;
        match self.fault {
            _ if self.dark => Err(io::Error::other("the power is off")),
            Some((at, Fault::Power)) if at == number => {
                self.dark = true;
                Err(io::Error::other("the power went off"))
            }
            Some((at, Fault::Once)) if at == number => Err(io::Error::other("a fault of the disk")),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.inner().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let inner = self.inner();
        if inner.dark {
            return Err(io::Error::other("the power is off"));
        }
        let end = (offset as usize).checked_add(out.len());
        let range = end.and_then(|end| inner.current.get(offset as usize..end));
        out.copy_from_slice(range.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut inner = self.inner();
        let result = inner.io();
        if !inner.dark || result.is_ok() {
            inner.pending.push(Pending::Length(len));
        }
        result?;
        inner.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut inner = self.inner();
        inner.io()?;
        inner.durable = inner.current.clone();
        inner.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut inner = self.inner();
        let was_dark = inner.dark;
        let result = inner.io();
        if !was_dark {
            // A write that was cut off may have reached the disk in part.
            inner.pending.push(Pending::Write(offset, data.to_vec()));
        }
        result?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        if inner.current.len() < end {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        inner.current[start..end].copy_from_slice(data);
        Ok(())
    }
}
