//! Rows and their checksums.
//!
//! The database checks its pages when it is opened, not when it reads them, and with a hash that only stands up
//! to chance. So every row carries a checksum of its own over the table, the key and the content, which is
//! compared each time the row is read: a row that was changed, or came from another place, is noticed before
//! anything is done with it.

use std::fmt;

use crate::error::Damage;
use crate::table::Table;

/// Bytes of a checksum: the first half of a BLAKE3 hash.
pub(crate) const SEAL_BYTES: usize = 16;

/// The checksum of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seal(pub(crate) [u8; SEAL_BYTES]);

impl Seal {
    /// The checksum of `content` at `key` of a table.
    pub(crate) fn of(table: Table, key: &[u8], content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(table.seal_key());
        // No table has keys of two lengths, so where the key ends is not in question.
        hasher.update(key);
        hasher.update(content);
        Self::cut(&hasher.finalize())
    }

    /// The checksum of a part of the file's header.
    pub(crate) fn of_header(bytes: &[u8]) -> Self {
        Self::cut(&blake3::keyed_hash(b"pleach/1/store/header           ", bytes))
    }

    fn cut(hash: &blake3::Hash) -> Self {
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&hash.as_bytes()[..SEAL_BYTES]);
        Self(seal)
    }

    /// As a number, for sums.
    pub(crate) const fn number(self) -> u128 {
        u128::from_le_bytes(self.0)
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({self})")
    }
}

/// The checksum of `content`, and its row: the checksum, then the content.
pub(crate) fn seal(table: Table, key: &[u8], content: &[u8]) -> (Seal, Vec<u8>) {
    let seal = Seal::of(table, key, content);
    (seal, [&seal.0, content].concat())
}

/// The content of a row, if its checksum holds.
pub(crate) fn unseal<'a>(table: Table, key: &[u8], row: &'a [u8]) -> Result<(Seal, &'a [u8]), Damage> {
    let Some((stored, content)) = row.split_first_chunk() else {
        let why = format!("a row of {} bytes is shorter than its checksum", row.len());
        return Err(Damage::Invariant { place: table.place(key, &[]), why });
    };
    let (stored, recomputed) = (Seal(*stored), Seal::of(table, key, content));
    if stored == recomputed {
        Ok((stored, content))
    } else {
        Err(Damage::Row { place: table.place(key, content), stored, recomputed })
    }
}
