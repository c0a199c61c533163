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
pub(crate) type Preimage = [u8; 64];

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
/// The vector code loads whole vectors where it needs sixteen bytes, so it reads up to 48 bytes after the end of some of its
/// inputs. For the library's own inputs, parts of one long message, there is always more after them; after a row
/// somewhere on the heap there may be no memory at all. Here there is: the next row, or a spare one after the last.
pub(crate) struct Preimages {
    /// The rows, and the spare one.
    rows: Vec<Preimage>,
}

impl Default for Preimages {
    fn default() -> Self {
        Self { rows: vec![[0; 64]] }
    }
}

impl Preimages {
    pub(crate) fn push(&mut self, row: &Preimage) {
        // The spare one takes the row, and a new one takes its place.
        let last = self.rows.len() - 1;
        self.rows[last] = *row;
        self.rows.push([0; 64]);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.rows.truncate(len + 1);
    }

    /// The row with this number.
    pub(crate) fn row(&mut self, number: usize) -> &mut Preimage {
        &mut self.rows[number]
    }

    /// Calls `emit` with the BLAKE3 hash of every row, in order, and forgets the rows.
    pub(crate) fn hash(&mut self, emit: impl FnMut([u8; 32])) {
        all_but_last(&self.rows, emit);
        self.truncate(0);
    }

    /// Calls `emit` with each of these numbers, its row's hash, and all rows.
    pub(crate) fn hash_some(&mut self, numbers: &[u32], mut emit: impl FnMut(u32, [u8; 32], &mut Self)) {
        let platform = Platform::detect();
        if let [number] = numbers {
            return emit(*number, compress(platform, &self.rows[*number as usize], 64), self);
        }
        let mut hashes = [[0; 32]; GROUP];
        for numbers in numbers.chunks(GROUP) {
            let group = &mut hashes[..numbers.len()];
            several(platform, &self.rows, |at| numbers[at] as usize, group);
            numbers.iter().zip(group).for_each(|(number, hash)| emit(*number, *hash, self));
        }
    }
}

/// Rows that are hashed together where they lie.
pub(crate) struct HashLanes<'a> {
    rows: [&'a Preimage; GROUP],
    len: usize,
}

impl<'a> HashLanes<'a> {
    pub(crate) fn new() -> Self {
        Self { rows: [&[0; 64]; GROUP], len: 0 }
    }

    /// Adds the row that begins at `at` of `bytes`, after which there are 64 bytes more to be read. Calls `emit` with
    /// the BLAKE3 hashes of this and earlier rows, in order, once there are enough.
    ///
    /// # Panics
    ///
    /// If there are fewer bytes.
    pub(crate) fn push(&mut self, bytes: &'a [u8], at: usize, emit: &mut impl FnMut([u8; 32])) {
        let (row, after) = bytes[at..].split_first_chunk().expect("a row has 64 bytes");
        assert!(after.len() >= 64, "a row at the end of its memory");
        self.rows[self.len] = row;
        self.len += 1;
        if self.len == GROUP {
            self.finish(emit);
        }
    }

    /// Calls `emit` with the hashes of the rows that are left.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut([u8; 32])) {
        let (platform, rows) = (Platform::detect(), &self.rows[..self.len]);
        self.len = 0;
        match rows {
            [] => {}
            [row] => emit(compress(platform, row, 64)),
            rows => {
                let mut hashes = [[0; 32]; GROUP];
                let hashes = &mut hashes[..rows.len()];
                hash_many(platform, rows, hashes);
                hashes.iter().copied().for_each(emit);
            }
        }
    }
}

/// Calls `emit` with the BLAKE3 hash of each of these rows, in order. The last one is not hashed: it is there to be
/// read after the others.
pub(crate) fn all_but_last(rows: &[Preimage], mut emit: impl FnMut([u8; 32])) {
    let platform = Platform::detect();
    match rows {
        [] | [_] => {}
        [row, _] => emit(compress(platform, row, 64)),
        rows => {
            let (mut hashes, count) = ([[0; 32]; GROUP], rows.len() - 1);
            for first in (0..count).step_by(GROUP) {
                let group = &mut hashes[..(count - first).min(GROUP)];
                several(platform, rows, |at| first + at, group);
                group.iter().copied().for_each(&mut emit);
            }
        }
    }
}

/// Fills `hashes`, at most a group of them, with those of the rows that have the given numbers. The last row is there
/// to be read after the others.
fn several(platform: Platform, rows: &[Preimage], number: impl Fn(usize) -> usize, hashes: &mut [[u8; 32]]) {
    let (_, rows) = rows.split_last().expect("there is a row to spare");
    let mut inputs = [&rows[number(0)]; GROUP];
    let inputs = &mut inputs[..hashes.len()];
    inputs.iter_mut().enumerate().for_each(|(at, input)| *input = &rows[number(at)]);
    hash_many(platform, inputs, hashes);
}

/// Fills `hashes` with those of the rows, after each of which there is memory.
fn hash_many(platform: Platform, rows: &[&Preimage], hashes: &mut [[u8; 32]]) {
    let out = hashes.as_flattened_mut();
    platform.hash_many(rows, &IV, 0, IncrementCounter::No, ROOT, CHUNK_START, CHUNK_END, out);
}

/// Hashes rows one after the other, where each has to wait for the one before.
pub(crate) struct Single(Platform);

impl Single {
    pub(crate) fn new() -> Self {
        Self(Platform::detect())
    }

    /// The BLAKE3 hash of the row.
    pub(crate) fn hash(&self, row: &Preimage) -> [u8; 32] {
        compress(self.0, row, 64)
    }
}

/// The BLAKE3 hash of one row, which may lie anywhere: this code reads nothing after it.
pub(crate) fn one(row: &Preimage) -> [u8; 32] {
    compress(Platform::detect(), row, 64)
}

/// The BLAKE3 hash of bytes of any length.
pub(crate) fn bytes(bytes: &[u8]) -> [u8; 32] {
    if bytes.len() > 64 {
        return *blake3::hash(bytes).as_bytes();
    }
    // What fits one block needs none of the machinery for streams and trees of blocks.
    let mut block = [0; 64];
    block[..bytes.len()].copy_from_slice(bytes);
    compress(Platform::detect(), &block, bytes.len() as u8)
}

/// The hash of a message of one block, of which `len` bytes count.
fn compress(platform: Platform, block: &Preimage, len: u8) -> [u8; 32] {
    let mut words = IV;
    platform.compress_in_place(&mut words, block, len, 0, CHUNK_START | CHUNK_END | ROOT);
    le_bytes_from_words_32(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in the last bytes before memory that is not mapped: reading on would be a segmentation fault.
    ///
    /// Blocks this large always have mappings of their own, and zeroed ones cost no memory. Their length with the
    /// allocator's own 24 bytes is whole pages, so giving back every other one leaves holes right after some
    /// of the rest. Where an allocator works otherwise, this tests less.
    #[test]
    fn reads_nothing_after_a_row() {
        const LENGTH: usize = (33 << 20) - 24;
        let mut blocks: Vec<_> = (0..32).map(|_| Some(vec![0u8; LENGTH])).collect();
        blocks.iter_mut().step_by(2).for_each(|block| *block = None);
        let blocks = std::hint::black_box(blocks);
        for row in blocks.iter().flatten().map(|block| block.last_chunk().unwrap()) {
            for count in 1..=17 {
                assert_eq!(hashes(&vec![*row; count]), vec![*blake3::hash(row).as_bytes(); count]);
                assert_eq!(one(row), *blake3::hash(row).as_bytes());
            }
        }
    }

    fn hashes(inputs: &[Preimage]) -> Vec<[u8; 32]> {
        let (mut rows, mut hashes) = (Preimages::default(), Vec::new());
        inputs.iter().for_each(|row| rows.push(row));
        rows.hash(|hash| hashes.push(hash));
        hashes
    }

    #[test]
    fn equals_the_plain_hash_for_every_group_size() {
        let inputs: Vec<Preimage> =
            (0..200u32).map(|i| std::array::from_fn(|j| (i * 31 + j as u32 * 7) as u8)).collect();
        for count in 0..=inputs.len() {
            let plain: Vec<_> = inputs[..count].iter().map(|row| *blake3::hash(row).as_bytes()).collect();
            assert_eq!(hashes(&inputs[..count]), plain, "{count} rows");
            let mut rows = Preimages::default();
            inputs.iter().for_each(|row| rows.push(row));
            let picked: Vec<_> = (0..count as u32).map(|i| (i * 7 + count as u32) % 200).collect();
            let mut at = 0;
            rows.hash_some(&picked, |number, hash, _| {
                assert_eq!((number, hash), (picked[at], *blake3::hash(&inputs[number as usize]).as_bytes()));
                at += 1;
            });
            assert_eq!(at, count);
        }
    }

    #[test]
    fn equals_the_plain_hash_for_every_length() {
        let input: [u8; 200] = std::array::from_fn(|at| at as u8);
        for len in 0..=input.len() {
            assert_eq!(bytes(&input[..len]), *blake3::hash(&input[..len]).as_bytes(), "{len} bytes");
        }
    }
}
