//! The first bytes of the file, in front of the database.
//!
//! The header says what the file is before anything else looks at it: a file of a newer program or of another
//! cluster is refused with not one byte changed. Behind it are two *marks*. Each says which height was last
//! acknowledged; they are written in turn, after a commit is durable and before it is acknowledged, and reach the
//! disk with the next sync. So a mark never names a height that the database could still lose to a crash, and a
//! database that is behind its marks was damaged. (One flipped bit in the database's own header can select the
//! commit before the last; all its checksums hold.)

use std::io;

use pleach_types::{Hash, Height};

use crate::backend::Device;
use crate::error::{Damage, OpenError};
use crate::seal::Seal;

/// The format that this program writes.
pub const FORMAT: u32 = 3;
/// Bytes in front of the database: a page, so that its pages stay aligned.
pub(crate) const HEADER_BYTES: u64 = 4096;

const MAGIC: &[u8; 16] = b"pleach store\0\0\0\0";
/// Magic, format, genesis: what the checksum after them covers. Later formats keep this part.
const FIXED: usize = 64;
const SEALED: usize = FIXED + 16;
/// Marks lie in sectors of their own, so that a torn write spoils one at most.
const MARKS_AT: [u64; 2] = [2048, 3072];
const MARK_BYTES: usize = 16 + 16;

/// Makes a file that has no content yet a store without a database.
pub(crate) fn create(device: &Device, genesis: &Hash) -> io::Result<()> {
    let mut page = vec![0; HEADER_BYTES as usize];
    page[..16].copy_from_slice(MAGIC);
    page[16..20].copy_from_slice(&FORMAT.to_le_bytes());
    page[32..FIXED].copy_from_slice(&genesis.0);
    let seal = Seal::of_header(&page[..FIXED]);
    page[FIXED..SEALED].copy_from_slice(&seal.0);
    device.set_len(HEADER_BYTES)?;
    device.write(0, &page)?;
    device.sync_data()
}

/// Checks that the file is a store of this format and this cluster. Nothing is written.
pub(crate) fn check(device: &Device, genesis: Option<&Hash>) -> Result<(), OpenError> {
    let damaged = |why: String| OpenError::Damaged(vec![Damage::Header(why)]);
    let io = |source| OpenError::Io { what: "reading the header".into(), source };
    let len = device.len().map_err(io)?;
    if len < HEADER_BYTES {
        return Err(damaged(format!("the file ends after {len} bytes")));
    }
    let mut bytes = [0; SEALED];
    device.read(0, &mut bytes).map_err(io)?;
    let (fixed, seal) = bytes.split_at(FIXED);
    // First of all, so that a file of something else is called that, and not a damaged store.
    if fixed[..16] != MAGIC[..] {
        return Err(damaged("this is not a store".into()));
    }
    // Before the number of the format is believed: a flipped bit there would send people to look for a newer program.
    let recomputed = Seal::of_header(fixed);
    if seal != recomputed.0 {
        return Err(damaged(format!("its checksum is not {recomputed}")));
    }
    let format = u32::from_le_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    if format > FORMAT {
        return Err(OpenError::NewerFormat { found: format, known: FORMAT });
    }
    if format != FORMAT {
        return Err(damaged(format!("it has format {format}, of an earlier build; this one reads {FORMAT}")));
    }
    let mut found = Hash::default();
    found.0.copy_from_slice(&fixed[32..]);
    match genesis {
        Some(expected) if *expected != found => Err(OpenError::OtherGenesis { found, expected: *expected }),
        _ => Ok(()),
    }
}

/// The marks of acknowledged heights.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// How many were written; the next one's place, and its rank when two are read.
    count: u64,
}

impl Marks {
    /// Reads the newest mark: the height last acknowledged. A mark that was torn counts as none.
    pub(crate) fn read(device: &Device) -> io::Result<(Self, Option<Height>)> {
        let mut newest = None;
        for at in MARKS_AT {
            let mut bytes = [0; MARK_BYTES];
            device.read(at, &mut bytes)?;
            let (content, seal) = bytes.split_at(16);
            if seal == Seal::of_header(content).0 {
                let number = |at: usize| content[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
                newest = newest.max(Some((number(0), number(8))));
            }
        }
        let count = newest.map_or(0, |(count, _)| count);
        Ok((Self { count }, newest.map(|(_, height)| height)))
    }

    /// Notes that `height` is durable. Not synced.
    pub(crate) fn write(&mut self, device: &Device, height: Height) -> io::Result<()> {
        let count = self.count.saturating_add(1);
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&count.to_le_bytes());
        bytes[8..16].copy_from_slice(&height.to_le_bytes());
        let seal = Seal::of_header(&bytes[..16]);
        bytes[16..].copy_from_slice(&seal.0);
        device.write(MARKS_AT[usize::from(count % 2 == 1)], &bytes)?;
        self.count = count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redb::backends::InMemoryBackend;

    use super::*;

    fn device() -> Device {
        let device: Device = Arc::new(InMemoryBackend::new());
        create(&device, &Hash([7; 32])).unwrap();
        device
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let device = device();
        assert!(check(&device, Some(&Hash([7; 32]))).is_ok());
        assert!(check(&device, None).is_ok());
        let other = check(&device, Some(&Hash([8; 32])));
        assert!(matches!(other, Err(OpenError::OtherGenesis { found: Hash([7, ..]), .. })));
        device.write(40, &[9]).unwrap();
        assert!(matches!(check(&device, None), Err(OpenError::Damaged(_))));
        let mut fixed = [0; FIXED];
        device.read(0, &mut fixed).unwrap();
        fixed[16] = FORMAT as u8 + 1;
        device.write(0, &fixed).unwrap();
        device.write(FIXED as u64, &Seal::of_header(&fixed).0).unwrap();
        let newer = check(&device, None);
        assert!(matches!(newer, Err(OpenError::NewerFormat { found, known: FORMAT }) if found == FORMAT + 1));
    }

    #[test]
    fn the_newest_whole_mark_counts() {
        let device = device();
        let (mut marks, newest) = Marks::read(&device).unwrap();
        assert_eq!(newest, None);
        for height in [3, 4, 5] {
            marks.write(&device, height).unwrap();
            assert_eq!(Marks::read(&device).unwrap().1, Some(height));
        }
        device.write(MARKS_AT[1], &[0xff]).unwrap();
        assert_eq!(Marks::read(&device).unwrap().1, Some(4), "the last one is torn");
    }
}
