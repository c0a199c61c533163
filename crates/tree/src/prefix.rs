//! Parts of the key space.

use crate::path::Path;

/// All keys whose paths begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Zeros after the bits that count, so that equal prefixes have equal bytes.
    path: Path,
    bits: u16,
}

impl Prefix {
    /// The prefix of no bits: all keys.
    pub const ALL: Self = Self { path: Path::ZERO, bits: 0 };

    /// The first `bits` bits of `path`.
    ///
    /// # Panics
    ///
    /// If `bits` is more than [`Path::BITS`].
    pub fn new(path: Path, bits: usize) -> Self {
        assert!(bits <= Path::BITS, "a prefix of {bits} bits");
        Self { path: path.first(bits), bits: bits as u16 }
    }

    /// The number of bits.
    pub fn bits(&self) -> usize {
        usize::from(self.bits)
    }

    /// The least path with this prefix.
    pub fn first(&self) -> Path {
        self.path
    }

    /// Whether `path` has this prefix.
    pub fn contains(&self, path: &Path) -> bool {
        self.path.agrees(path, self.bits())
    }

    /// Whether every path with the prefix `other` has this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(&other.path)
    }

    /// The two prefixes of one bit more, or `None` for a whole path.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let bits = self.bits();
        let half = |bit| Self { path: self.path.with_bit(bits, bit), bits: self.bits + 1 };
        (bits < Path::BITS).then(|| [half(false), half(true)])
    }

    /// The least path after this prefix, or `None` if there is none.
    pub fn next(&self) -> Option<Path> {
        let mut path = *self.path.as_bytes();
        // Adds one to the number that the bits are.
        for depth in (0..self.bits()).rev() {
            path[depth / 8] ^= 128 >> (depth % 8);
            if path[depth / 8] & (128 >> (depth % 8)) != 0 {
                return Some(Path::from_bytes(path));
            }
        }
        None
    }
}

impl std::fmt::Debug for Prefix {
    /// The bits, as zeros and ones.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prefix(")?;
        (0..self.bits()).try_for_each(|depth| write!(f, "{}", u8::from(self.path.bit(depth))))?;
        f.write_str(")")
    }
}

/// Sorted, without those that another one covers.
pub(crate) fn disjoint(prefixes: impl IntoIterator<Item = Prefix>) -> Vec<Prefix> {
    let mut prefixes: Vec<_> = prefixes.into_iter().collect();
    // A prefix sorts before all that it covers, and those directly after it.
    prefixes.sort_unstable();
    prefixes.dedup_by(|later, kept| kept.covers(later));
    prefixes
}

/// Whether one of these prefixes, sorted and disjoint, covers the path.
pub(crate) fn any_contains(prefixes: &[Prefix], path: &Path) -> bool {
    let before = prefixes.partition_point(|prefix| prefix.path <= *path);
    before > 0 && prefixes[before - 1].contains(path)
}

/// The depth from which on positions on the way to `path` have none of these prefixes, sorted and disjoint, below them.
/// `None` if one of them covers the path.
pub(crate) fn outside_from(prefixes: &[Prefix], path: &Path) -> Option<usize> {
    let after = prefixes.partition_point(|prefix| prefix.path <= *path);
    // Of what is sorted, the neighbours have most bits in common.
    let nearest = &prefixes[after.saturating_sub(1)..prefixes.len().min(after + 1)];
    if nearest.iter().any(|prefix| prefix.contains(path)) {
        return None;
    }
    Some(nearest.iter().map(|prefix| prefix.path.common_bits(path) + 1).max().unwrap_or(0))
}

/// What a position is to some prefixes, found on the way down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// One of the prefixes covers it.
    Inside,
    /// It is above these prefixes, which are sorted and disjoint; or outside, if there are none.
    Above(&'a [Prefix]),
}

impl<'a> Scope<'a> {
    /// The root of the tree, seen from disjoint prefixes.
    pub(crate) fn root(prefixes: &'a [Prefix]) -> Self {
        Self::Above(prefixes).settled(0)
    }

    pub(crate) fn is_outside(self) -> bool {
        matches!(self, Self::Above([]))
    }

    pub(crate) fn is_inside(self) -> bool {
        matches!(self, Self::Inside)
    }

    /// Whether the path is inside of a prefix that this position is above.
    pub(crate) fn awaits(self, path: &Path) -> bool {
        matches!(self, Self::Above(prefixes) if any_contains(prefixes, path))
    }

    /// The two positions below one of `depth`.
    pub(crate) fn children(self, depth: usize) -> [Self; 2] {
        match self {
            Self::Inside | Self::Above([]) => [self; 2],
            Self::Above(prefixes) => {
                let right = prefixes.partition_point(|prefix| !prefix.path.bit(depth));
                let (left, right) = prefixes.split_at(right);
                [left, right].map(|prefixes| Self::Above(prefixes).settled(depth + 1))
            }
        }
    }

    fn settled(self, depth: usize) -> Self {
        match self {
            Self::Above([prefix, ..]) if prefix.bits() == depth => Self::Inside,
            scope => scope,
        }
    }
}
