//! Where a key stands in the tree.

use crate::{hash, label::bytes32};

/// The position of a key: the BLAKE3 hash of its bytes, read from the most significant bit of the first byte.
///
/// A hash spreads keys evenly whatever their names are, so the tree stays balanced without rotations
/// (thesis 3.1). Two keys that share a long prefix of their paths cost their finder one hash per try and
/// double with each bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path([u8; 32]);

bytes32!(Path);

impl Path {
    /// Bits in a path, and so the depth no leaf exceeds.
    pub const BITS: usize = 256;

    /// The path of `key`.
    pub fn of(key: &[u8]) -> Self {
        Self(hash::bytes(key))
    }

    /// The bit that decides at `depth` between left (`false`) and right (`true`).
    ///
    /// # Panics
    ///
    /// If `depth` is [`Path::BITS`] or more.
    pub fn bit(&self, depth: usize) -> bool {
        self.0[depth / 8] >> (7 - depth % 8) & 1 == 1
    }

    /// The path of zeros, a start for prefixes.
    pub(crate) const ZERO: Self = Self([0; 32]);

    /// This prefix, which ends before `depth`, with one more bit.
    pub(crate) fn with_bit(mut self, depth: usize, bit: bool) -> Self {
        self.0[depth / 8] |= u8::from(bit) << (7 - depth % 8);
        self
    }

    /// The first `bits` bits, and zeros after them.
    pub(crate) fn first(mut self, bits: usize) -> Self {
        let whole = bits.div_ceil(8);
        self.0[whole..].fill(0);
        if !bits.is_multiple_of(8) {
            self.0[whole - 1] &= !(0xff >> (bits % 8));
        }
        self
    }

    /// Whether the first `bits` bits are those of `other`.
    pub(crate) fn agrees(&self, other: &Self, bits: usize) -> bool {
        let (whole, rest) = (bits / 8, bits % 8);
        let differ = |byte: usize| self.0[byte] ^ other.0[byte];
        self.0[..whole] == other.0[..whole] && (rest == 0 || differ(whole) >> (8 - rest) == 0)
    }

    /// The bits from `depth` on to the next multiple of 64, the first of them on top; zeros after the last.
    pub(crate) fn word(&self, depth: usize) -> u64 {
        let word = self.0.as_chunks().0.get(depth / 64).map_or(0, |word| u64::from_be_bytes(*word));
        word << (depth % 64)
    }

    /// The first bits, at most 32 of them, as a number.
    pub(crate) fn head(&self, bits: u32) -> usize {
        let head = u32::from_be_bytes(*self.0.first_chunk().expect("a path has 32 bytes"));
        (u64::from(head) >> (u32::BITS - bits)) as usize
    }

    /// How many leading bits are those of `other`: [`Path::BITS`] if the two are equal.
    pub fn common_bits(&self, other: &Self) -> usize {
        let differ = |(one, other): (&u8, &u8)| one ^ other;
        let mut bytes = self.0.iter().zip(&other.0).map(differ).enumerate();
        bytes
            .find(|(_, differ)| *differ != 0)
            .map_or(Self::BITS, |(at, differ)| 8 * at + differ.leading_zeros() as usize)
    }

    /// Cuts paths that agree on their first `depth` bits, sorted, into those going left and those going right.
    pub(crate) fn split(sorted: &[Self], depth: usize) -> [&[Self]; 2] {
        let (left, right) = sorted.split_at(sorted.partition_point(|path| !path.bit(depth)));
        [left, right]
    }
}
