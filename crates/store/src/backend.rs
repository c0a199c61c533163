//! The bytes under the database: after the file's own header, and, for whoever must not write, under a copy in
//! memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::header::HEADER_BYTES;

/// A file or what stands in for one, shared between the database and the header.
pub(crate) type Device = Arc<dyn StorageBackend>;

/// What the database sees: the device from the end of the header on.
#[derive(Debug)]
pub(crate) struct BehindHeader(pub(crate) Device);

impl BehindHeader {
    fn shift(offset: u64) -> Result<u64, io::Error> {
        offset.checked_add(HEADER_BYTES).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

impl StorageBackend for BehindHeader {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.len()?.saturating_sub(HEADER_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(Self::shift(offset)?, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(Self::shift(len)?)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(Self::shift(offset)?, data)
    }

    // The device outlives the database, which closes with it still in use: the header's marks come last.
}

const PAGE: u64 = 4096;

/// A device that is only read: what is written stays in memory and is forgotten.
///
/// The database repairs a file that was not closed before it reads anything. Whoever checks a store must let it do
/// so without touching the file.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: Device,
    written: Mutex<OverlayPages>,
}

#[derive(Debug)]
struct OverlayPages {
    len: u64,
    /// How much of the base still shows: what was cut off and grown again is zeros.
    visible: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(crate) fn new(base: Device) -> Result<Self, io::Error> {
        let len = base.len()?;
        Ok(Self { base, written: Mutex::new(OverlayPages { len, visible: len, pages: BTreeMap::new() }) })
    }

    fn read_base(&self, visible: u64, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let there = visible.saturating_sub(offset).min(out.len() as u64) as usize;
        let (shown, zeros) = out.split_at_mut(there);
        zeros.fill(0);
        if shown.is_empty() { Ok(()) } else { self.base.read(offset, shown) }
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let end = end_within(offset, out.len(), written.len)?;
        self.read_base(written.visible, offset, out)?;
        for (number, page) in written.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let (start, from, to) = meet(*number, offset, end);
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&page[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.pages.retain(|number, _| number * PAGE < len);
        if let Some(last) = written.pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
        written.visible = written.visible.min(len);
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let end = end_within(offset, data.len(), written.len)?;
        for number in offset / PAGE..end.div_ceil(PAGE) {
            let (start, from, to) = meet(number, offset, end);
            if !written.pages.contains_key(&number) {
                let mut page = vec![0; PAGE as usize];
                self.read_base(written.visible, start, &mut page)?;
                written.pages.insert(number, page);
            }
            let Some(page) = written.pages.get_mut(&number) else { continue };
            page[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&data[(from - offset) as usize..(to - offset) as usize]);
        }
        Ok(())
    }
}

fn end_within(offset: u64, bytes: usize, len: u64) -> Result<u64, io::Error> {
    let end = offset.checked_add(bytes as u64).filter(|end| *end <= len);
    end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// Where a page begins, and the part of `offset..end` that lies in it.
fn meet(number: u64, offset: u64, end: u64) -> (u64, u64, u64) {
    let start = number * PAGE;
    (start, offset.max(start), end.min(start + PAGE))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn an_overlay_reads_like_a_copy_and_leaves_the_base_alone() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut copy: Vec<u8> = (0..rng.random_range(0..40_000_u32)).map(|i| (i % 251) as u8).collect();
            let base = Arc::new(InMemoryBackend::new());
            base.set_len(copy.len() as u64).unwrap();
            base.write(0, &copy).unwrap();
            let before = copy.clone();
            let overlay = Overlay::new(base.clone()).unwrap();
            for _ in 0..60 {
                if rng.random_bool(0.1) {
                    let len = rng.random_range(0..50_000);
                    overlay.set_len(len as u64).unwrap();
                    copy.resize(len, 0);
                }
                let from = rng.random_range(0..=copy.len());
                let to = rng.random_range(from..=copy.len().min(from + 10_000));
                if rng.random_bool(0.5) {
                    let data: Vec<u8> = (from..to).map(|_| rng.random()).collect();
                    overlay.write(from as u64, &data).unwrap();
                    copy[from..to].copy_from_slice(&data);
                }
                let mut read = vec![1; to - from];
                overlay.read(from as u64, &mut read).unwrap();
                assert!(read == copy[from..to], "seed {seed}");
                assert!(overlay.read(copy.len() as u64, &mut [0]).is_err());
            }
            let mut after = vec![0; before.len()];
            base.read(0, &mut after).unwrap();
            assert!(after == before, "seed {seed}: the base changed");
        }
    }
}
