//! BLAKE3 of many rows at a time.
//!
//! Everything that is labelled is exactly 64 bytes, which is one BLAKE3 block and one compression. One
//! compression after the other leaves most of a vector unit idle; sixteen independent ones run in little
//! more than the time of one. The library computes the chunks of one long message that way, and the same
//! entry point, told that each chunk is a whole message of one block, hashes our rows. It is public but not
//! documented as stable, which is why the version is pinned and a test compares it to the plain hash.

use blake3::{
    IncrementCounter,
    platform::{Platform, le_bytes_from_words_32},
};

/// The preimage of a label: two halves of 32 bytes.
pub(crate) type Row = [u8; 64];

/// Rows given to the vector code in one call: two times the widest unit (16 lanes), so that the fixed cost of a call
/// is shared.
const GROUP: usize = 32;

const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;

/// The initial state of BLAKE3 (that of SHA-256).
const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// Rows to be hashed together, side by side.
///
/// The vector code loads whole vectors where it needs sixteen bytes, so it reads up to 48 bytes behind some of its
/// inputs. For the library's own inputs, parts of one long message, there is always more behind them; behind a row
/// somewhere on the heap there may be no memory at all. Here there is: the next row, or a spare one behind the last.
#[derive(Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn push(&mut self, row: &Row) {
        self.rows.push(*row);
    }

    /// Calls `emit` with the number and the BLAKE3 hash of every row, in order, and forgets the rows.
    pub(crate) fn hash(&mut self, mut emit: impl FnMut(usize, [u8; 32])) {
        let count = self.rows.len();
        self.rows.push([0; 64]);
        let platform = Platform::detect();
        for first in (0..count).step_by(GROUP) {
            let group = &self.rows[first..count.min(first + GROUP)];
            match group {
                [row] => emit(first, single(platform, row)),
                group => several(platform, group, |at, hash| emit(first + at, hash)),
            }
        }
        self.rows.clear();
    }
}

/// Hashes up to a group of rows. Behind the last one there must be a row more in memory.
fn several(platform: Platform, rows: &[Row], mut emit: impl FnMut(usize, [u8; 32])) {
    let inputs: [&Row; GROUP] = std::array::from_fn(|at| &rows[at.min(rows.len() - 1)]);
    let mut hashes = [[0; 32]; GROUP];
    let (inputs, hashes) = (&inputs[..rows.len()], &mut hashes[..rows.len()]);
    let out = hashes.as_flattened_mut();
    platform.hash_many(inputs, &IV, 0, IncrementCounter::No, ROOT, CHUNK_START, CHUNK_END, out);
    hashes.iter().enumerate().for_each(|(at, hash)| emit(at, *hash));
}

/// The hash of one row, which may lie anywhere: this code reads nothing behind it.
fn single(platform: Platform, row: &Row) -> [u8; 32] {
    let mut words = IV;
    platform.compress_in_place(&mut words, row, 64, 0, CHUNK_START | CHUNK_END | ROOT);
    le_bytes_from_words_32(&words)
}

/// Calls `emit` with the BLAKE3 hash of every row, in order.
pub(crate) fn rows<'a>(rows: impl IntoIterator<Item = &'a Row>, mut emit: impl FnMut([u8; 32])) {
    let mut group = Rows::default();
    for row in rows {
        group.push(row);
        if group.len() == 2 * GROUP {
            group.hash(|_, hash| emit(hash));
        }
    }
    group.hash(|_, hash| emit(hash));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in the last bytes before memory that is not mapped: reading on would be a segmentation fault.
    ///
    /// Blocks this large always have mappings of their own, and zeroed ones cost no memory. Their length with the
    /// allocator's own 24 bytes is whole pages, so giving back every other one leaves holes right behind some
    /// of the rest. Where an allocator works otherwise, this tests less.
    #[test]
    fn reads_nothing_behind_a_row() {
        const LENGTH: usize = (33 << 20) - 24;
        let mut blocks: Vec<_> = (0..32).map(|_| Some(vec![0u8; LENGTH])).collect();
        blocks.iter_mut().step_by(2).for_each(|block| *block = None);
        let blocks = std::hint::black_box(blocks);
        for row in blocks.iter().flatten().map(|block| block.last_chunk().unwrap()) {
            for count in 1..=17 {
                let mut hashes = Vec::new();
                rows(std::iter::repeat_n(row, count), |hash| hashes.push(hash));
                assert_eq!(hashes, vec![*blake3::hash(row).as_bytes(); count]);
            }
        }
    }

    #[test]
    fn equals_the_plain_hash_for_every_group_size() {
        let inputs: Vec<Row> = (0..200u32).map(|i| std::array::from_fn(|j| (i * 31 + j as u32 * 7) as u8)).collect();
        for count in 0..=inputs.len() {
            let mut hashes = Vec::new();
            rows(&inputs[..count], |hash| hashes.push(hash));
            let plain: Vec<_> = inputs[..count].iter().map(|row| *blake3::hash(row).as_bytes()).collect();
            assert_eq!(hashes, plain, "{count} rows");
        }
    }
}
