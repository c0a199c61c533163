//! The history of results: one hash that commits to the result of every height so far.
//!
//! [`BlockResult::history`](crate::BlockResult::history) of height h is the root of a Merkle tree over the encoded
//! results of heights 0 to h - 1. The tree is the one of RFC 9162 (Certificate Transparency), with our tags in the
//! place of its prefix bytes:
//!
//! ```text
//! leaf = BLAKE3("pleach/1/history-leaf" || encoded result)
//! node = BLAKE3("pleach/1/history-node" || left || right)
//! root of n leaves = node(root of the first k, root of the others), k the largest power of two below n;
//!                    the leaf itself for n = 1; 32 zero bytes for n = 0
//! ```
//!
//! So any certificate vouches for everything before it: an old result is proved under a newer one by an *inclusion
//! proof*, and that one history continues another by a *consistency proof*, both of about log2(n) hashes. A result that a
//! single node has signed is its signed list of all roots (thesis 4.3.6).

use std::ops::Range;

use thiserror::Error;

use crate::block::BlockResult;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};

/// The hash of a result as a leaf of the history.
#[must_use]
pub fn leaf(result: &BlockResult) -> Hash {
    Hash::of(Domain::HistoryLeaf, &result.encode())
}

/// The hash of two subtrees as one.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&left.0);
    pair[32..].copy_from_slice(&right.0);
    Hash::of(Domain::HistoryNode, &pair)
}

/// A complete subtree of a history: the results of the 2^`level` heights from `index` * 2^`level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subtree {
    /// How many levels it has above its leaves, at most 63.
    pub level: u8,
    /// Its place among the subtrees of its level.
    pub index: u64,
}

impl Subtree {
    /// The first height after it. `None` if there is no such height.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let end = (u128::from(self.index) + 1).checked_shl(self.level.into())?;
        u64::try_from(end).ok()
    }

    /// Its halves: for a subtree of more than one leaf.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let (level, left) = (self.level.checked_sub(1)?, self.index.checked_mul(2)?);
        Some([Self { level, index: left }, Self { level, index: left.checked_add(1)? }])
    }
}

/// The root of a range of results, as [`inclusion`] and [`consistency`] ask for it, put together from the complete subtrees
/// that it consists of, of which `subtree` gives the roots. `None` if it cannot, or if no history has such a part.
pub fn root_of(range: Range<u64>, subtree: impl Fn(Subtree) -> Option<Hash>) -> Option<Hash> {
    let (mut first, mut left) = (range.start, range.end.checked_sub(range.start)?);
    let mut roots = Vec::new();
    while left > 0 {
        // The largest that fits comes first; it begins where a subtree of its size does.
        let level = left.ilog2();
        if first.trailing_zeros() < level {
            return None;
        }
        roots.push(subtree(Subtree { level: level as u8, index: first >> level })?);
        (first, left) = (first + (1 << level), left - (1 << level));
    }
    roots.into_iter().rev().reduce(|right, left| node(&left, &right))
}

/// The roots of the complete subtrees of a history: all that is needed to append to it and to know its root. At most 64
/// hashes, whatever the height.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    /// One for each bit of `size` that is set, the largest subtree first.
    peaks: Vec<Hash>,
}

impl Peaks {
    /// How many results there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends the result of height [`Peaks::size`].
    ///
    /// # Panics
    /// After 2^64 - 1 results.
    pub fn push(&mut self, result: &BlockResult) {
        self.complete(result);
    }

    /// As [`Peaks::push`]. The subtrees that become complete with the result: its leaf, and those that end with it.
    ///
    /// # Panics
    /// As [`Peaks::push`].
    pub fn complete(&mut self, result: &BlockResult) -> Vec<(Subtree, Hash)> {
        let mut root = leaf(result);
        let mut completed = vec![(Subtree { level: 0, index: self.size }, root)];
        // Each bit that is set at the end of the size is a subtree as large as what has just become complete.
        for level in 1..=self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            root = node(&left, &root);
            completed.push((Subtree { level: level as u8, index: self.size >> level }, root));
        }
        self.peaks.push(root);
        self.size = self.size.checked_add(1).expect("fewer than 2^64 heights");
        completed
    }

    /// The subtrees whose roots the peaks are, the largest first.
    pub fn subtrees(&self) -> impl Iterator<Item = (Subtree, Hash)> + '_ {
        let levels = (0..u64::BITS).rev().filter(|level| self.size >> level & 1 == 1);
        levels.zip(&self.peaks).map(|(level, peak)| {
            // What the size has above this bit is before the subtree.
            let index = (self.size >> level) - 1;
            (Subtree { level: level as u8, index }, *peak)
        })
    }

    /// Whether these are the results of all heights below that of `result`, as it says itself.
    #[must_use]
    pub fn precede(&self, result: &BlockResult) -> bool {
        self.size == result.height && self.root() == result.history
    }

    /// The root of the history.
    #[must_use]
    pub fn root(&self) -> Hash {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        folded.unwrap_or_default()
    }
}

impl Encode for Peaks {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_le_bytes());
        // Their number follows from the size.
        self.peaks.iter().for_each(|peak| peak.encode_to(out));
    }
}

impl Decode for Peaks {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let size = reader.u64("history size")?;
        let peaks = (0..size.count_ones()).map(|_| Hash::decode_from(reader)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }
}

/// Why a proof about a history proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HistoryError {
    /// The height is not part of the history.
    #[error("a history of {size} results has none of height {height}")]
    Height {
        /// The height.
        height: u64,
        /// How many results the history has.
        size: u64,
    },
    /// One history cannot continue the other.
    #[error("a history of {second} results does not continue one of {first}")]
    Sizes {
        /// The size of the older one.
        first: u64,
        /// The size of the newer one.
        second: u64,
    },
    /// The proof has more or fewer hashes than the sizes call for.
    #[error("the proof has {found} hashes, which is not what the sizes call for")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to the root {found}, not {expected}")]
    Root {
        /// The root that the proof leads to.
        found: Hash,
        /// The root that counts.
        expected: Hash,
    },
}

impl HistoryError {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Height { .. } => "height",
            Self::Sizes { .. } => "sizes",
            Self::Length { .. } => "length",
            Self::Root { .. } => "other_root",
        }
    }
}

/// The hashes that prove the leaf of a height under the root of the first `size` results, from the leaf up. `subtree`
/// gives the root of a range of leaves. `None` if it cannot, or if the height is not below `size`.
pub fn inclusion(height: u64, size: u64, subtree: impl Fn(Range<u64>) -> Option<Hash>) -> Option<Vec<Hash>> {
    inclusion_above(Subtree { level: 0, index: height }, size, subtree)
}

/// As [`inclusion`], of a complete subtree: the upper part of the proof of each of its leaves, whose lower part has as many hashes
/// as the subtree has levels. `None` also if it is not within the first `size` results.
pub fn inclusion_above(of: Subtree, size: u64, subtree: impl Fn(Range<u64>) -> Option<Hash>) -> Option<Vec<Hash>> {
    let leaves = 1_u64.checked_shl(of.level.into())?;
    let first = of.end().filter(|end| *end <= size)? - leaves;
    let (mut range, mut siblings) = (0..size, Vec::new());
    // Each half of a range is aligned to its own length at least, so the subtree is met exactly.
    while range.end - range.start > leaves {
        let middle = range.start + split(range.end - range.start);
        let (inside, beside) = if first < middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        siblings.push(subtree(beside)?);
        range = inside;
    }
    siblings.reverse();
    Some(siblings)
}

/// The hashes that prove that the first `first` of `second` results are the ones of an older root. `None` as for
/// [`inclusion`], or if `first` is 0 or above `second`.
pub fn consistency(first: u64, second: u64, subtree: impl Fn(Range<u64>) -> Option<Hash>) -> Option<Vec<Hash>> {
    if first == 0 || first > second {
        return None;
    }
    let (mut range, mut proof) = (0..second, Vec::new());
    // The older tree ends at `first`; as long as it begins with the newer one, its root is known to the verifier.
    while first != range.end {
        let middle = range.start + split(range.end - range.start);
        if first <= middle {
            proof.push(subtree(middle..range.end)?);
            range.end = middle;
        } else {
            proof.push(subtree(range.start..middle)?);
            range.start = middle;
        }
    }
    if range.start > 0 {
        proof.push(subtree(range)?);
    }
    proof.reverse();
    Some(proof)
}

/// The largest power of two below `leaves`, which are two or more.
fn split(leaves: u64) -> u64 {
    1 << (63 - (leaves - 1).leading_zeros())
}

/// The way from a node up to the root, as both checks go it.
struct Climb {
    /// The place of the node on its level.
    at: u64,
    /// The place of the last node of the level: 0 on that of the root.
    last: u64,
}

/// On which side of a node its neighbour is.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// Goes up past the next neighbour. `None` from the root.
    fn next(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.at & 1 == 1 || self.at == self.last {
            // The last node of a level without a neighbour stands for itself on the level above.
            let skipped = self.at.trailing_zeros().min(63);
            (self.at, self.last) = (self.at >> skipped, self.last >> skipped);
            Side::Left
        } else {
            Side::Right
        };
        (self.at, self.last) = (self.at >> 1, self.last >> 1);
        Some(side)
    }
}

/// Checks that `leaf` is that of `height` in the history of `size` results with this root (RFC 9162, 2.1.3.2).
///
/// # Errors
/// The first rule that is broken.
pub fn check_inclusion(
    leaf: &Hash,
    height: u64,
    size: u64,
    siblings: &[Hash],
    root: &Hash,
) -> Result<(), HistoryError> {
    if height >= size {
        return Err(HistoryError::Height { height, size });
    }
    let wrong = HistoryError::Length { found: siblings.len() };
    let (mut climb, mut found) = (Climb { at: height, last: size - 1 }, *leaf);
    for sibling in siblings {
        found = match climb.next().ok_or(wrong)? {
            Side::Left => node(sibling, &found),
            Side::Right => node(&found, sibling),
        };
    }
    // The length follows from height and size. A shorter path could pass an inner node off as a result.
    if climb.last != 0 {
        return Err(wrong);
    }
    if found == *root { Ok(()) } else { Err(HistoryError::Root { found, expected: *root }) }
}

/// Checks that the history `second` (how many results, root) begins with all of the history `first` (RFC 9162, 2.1.4.2).
///
/// # Errors
/// The first rule that is broken.
pub fn check_consistency(first: (u64, &Hash), second: (u64, &Hash), proof: &[Hash]) -> Result<(), HistoryError> {
    let ((old, old_root), (new, new_root)) = (first, second);
    if old > new {
        return Err(HistoryError::Sizes { first: old, second: new });
    }
    let wrong = HistoryError::Length { found: proof.len() };
    let same = |found: Hash, expected: &Hash| {
        if found == *expected { Ok(()) } else { Err(HistoryError::Root { found, expected: *expected }) }
    };
    if old == 0 || old == new {
        // Nothing is to be shown: every history continues the empty one and itself.
        let known = if old == 0 { Hash::default() } else { *new_root };
        return if proof.is_empty() { same(known, old_root) } else { Err(wrong) };
    }
    let complete = (old - 1).trailing_ones();
    let mut climb = Climb { at: (old - 1) >> complete, last: (new - 1) >> complete };
    // An older tree that is one complete subtree is known by its root.
    let mut hashes = old.is_power_of_two().then_some(old_root).into_iter().chain(proof);
    let start = *hashes.next().ok_or(wrong)?;
    let (mut found_old, mut found_new) = (start, start);
    for hash in hashes {
        match climb.next().ok_or(wrong)? {
            Side::Left => (found_old, found_new) = (node(hash, &found_old), node(hash, &found_new)),
            Side::Right => found_new = node(&found_new, hash),
        }
    }
    if climb.last != 0 {
        return Err(wrong);
    }
    same(found_old, old_root)?;
    same(found_new, new_root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(height: u64) -> BlockResult {
        BlockResult { height, ..BlockResult::default() }
    }

    /// The definition, word for word: it shares nothing with the code above.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => Hash([0; 32]),
            1 => leaves[0],
            n => {
                let mut k = 1;
                while 2 * k < n {
                    k *= 2;
                }
                let pair = [naive(&leaves[..k]).0, naive(&leaves[k..]).0].concat();
                Hash::of(Domain::HistoryNode, &pair)
            }
        }
    }

    const MOST: u64 = 70;

    fn leaves() -> Vec<Hash> {
        (0..MOST).map(|height| leaf(&result(height))).collect()
    }

    fn root(leaves: &[Hash], range: Range<u64>) -> Hash {
        naive(&leaves[range.start as usize..range.end as usize])
    }

    #[test]
    fn peaks_have_the_root_of_the_definition() {
        let (leaves, mut peaks) = (leaves(), Peaks::default());
        for size in 0..MOST {
            assert_eq!(peaks.root(), root(&leaves, 0..size), "{size}");
            assert_eq!((peaks.size(), peaks.peaks().len() as u32), (size, size.count_ones()));
            assert_eq!(Peaks::decode(&peaks.encode()).as_ref(), Ok(&peaks));
            peaks.push(&result(size));
        }
    }

    #[test]
    fn each_height_is_proved_in_its_place_and_no_other() {
        let leaves = leaves();
        for size in 1..MOST {
            let expected = root(&leaves, 0..size);
            for height in 0..size {
                let proof = inclusion(height, size, |range| Some(root(&leaves, range))).unwrap();
                let check =
                    |at, size, proof: &[Hash]| check_inclusion(&leaves[height as usize], at, size, proof, &expected);
                assert_eq!(check(height, size, &proof), Ok(()), "{height} of {size}");
                for other in (0..size).filter(|other| *other != height) {
                    assert!(check(other, size, &proof).is_err(), "{height} shown as {other} of {size}");
                }
                let longer = [&proof[..], &[Hash::default()]].concat();
                assert!(check(height, size, &longer).is_err());
                for at in 0..proof.len() {
                    let mut forged = proof.clone();
                    forged[at].0[0] ^= 1;
                    assert!(check(height, size, &forged).is_err());
                    assert!(check(height, size, &proof[..at]).is_err());
                }
            }
            let beyond = check_inclusion(&leaves[0], size, size, &[], &expected);
            assert_eq!(beyond, Err(HistoryError::Height { height: size, size }));
            assert_eq!(inclusion(size, size, |range| Some(root(&leaves, range))), None);
        }
    }

    #[test]
    fn each_history_continues_the_ones_before_it() {
        let leaves = leaves();
        for second in 1..MOST {
            let new = root(&leaves, 0..second);
            for first in 1..=second {
                let old = root(&leaves, 0..first);
                let proof = consistency(first, second, |range| Some(root(&leaves, range))).unwrap();
                assert_eq!(check_consistency((first, &old), (second, &new), &proof), Ok(()), "{first} {second}");
                let other = Hash([9; 32]);
                assert!(check_consistency((first, &other), (second, &new), &proof).is_err());
                assert!(check_consistency((first, &old), (second, &other), &proof).is_err());
                let longer = [&proof[..], &[Hash::default()]].concat();
                assert!(check_consistency((first, &old), (second, &new), &longer).is_err());
                for at in 0..proof.len() {
                    let mut forged = proof.clone();
                    forged[at].0[0] ^= 1;
                    assert!(check_consistency((first, &old), (second, &new), &forged).is_err());
                    assert!(check_consistency((first, &old), (second, &new), &proof[..at]).is_err());
                }
            }
            assert_eq!(check_consistency((0, &Hash::default()), (second, &new), &[]), Ok(()));
            assert!(check_consistency((0, &new), (second, &new), &[]).is_err());
            let sizes = HistoryError::Sizes { first: second + 1, second };
            assert_eq!(check_consistency((second + 1, &new), (second, &new), &[]), Err(sizes));
        }
    }

    #[test]
    fn complete_subtrees_are_enough_for_every_proof() {
        let (leaves, mut peaks) = (leaves(), Peaks::default());
        let mut known = std::collections::BTreeMap::new();
        for size in 1..=MOST {
            for (subtree, hash) in peaks.complete(&result(size - 1)) {
                assert_eq!(subtree.end(), Some(size), "what becomes complete ends with the newest result");
                assert_eq!(known.insert(subtree, hash), None);
                if let Some([left, right]) = subtree.halves() {
                    assert_eq!(hash, node(&known[&left], &known[&right]));
                }
            }
            for (subtree, hash) in peaks.subtrees() {
                assert_eq!(known[&subtree], hash);
            }
            let of = |range: Range<u64>| root_of(range, |subtree| known.get(&subtree).copied());
            for height in 0..size {
                let naive = inclusion(height, size, |range| Some(root(&leaves, range)));
                assert_eq!(inclusion(height, size, of), naive, "{height} of {size}");
                let naive = consistency(height, size, |range| Some(root(&leaves, range)));
                assert_eq!(consistency(height, size, of), naive, "{height} to {size}");
            }
            assert_eq!(of(0..size + 1), None, "more than there is");
            for (subtree, hash) in known.iter().filter(|(subtree, _)| subtree.level > 0) {
                let lower = usize::from(subtree.level);
                let upper = inclusion_above(*subtree, size, of).unwrap();
                let first = subtree.index << subtree.level;
                for height in first..subtree.end().unwrap() {
                    let whole = inclusion(height, size, of).unwrap();
                    assert_eq!(whole[lower..], upper, "{height} of {size} above {subtree:?} {hash}");
                }
            }
        }
        let any = |_| Some(Hash::default());
        assert_eq!(
            (root_of(Range { start: 3, end: 1 }, any), root_of(1..3, any)),
            (None, None),
            "no part of a history"
        );
        assert!(root_of(0..u64::MAX, any).is_some() && root_of(u64::MAX - 1..u64::MAX, any).is_some());
        assert_eq!(Subtree { level: 63, index: 1 }.end(), None);
        assert_eq!(Subtree { level: 63, index: 0 }.end(), Some(1 << 63));
        assert_eq!(Subtree { level: 255, index: u64::MAX }.end(), None);
    }

    /// What a client has to carry for a result of a month ago.
    #[test]
    fn a_proof_over_a_million_results_has_twenty_hashes() {
        let size = (1 << 20) + 12_345;
        for height in [0, 7, 500_000, size - 1] {
            let proof = inclusion(height, size, |_| Some(Hash::default())).unwrap();
            assert!(proof.len() <= 21 && proof.len() * 32 < 1_000, "{}", proof.len());
        }
    }

    #[test]
    fn sizes_at_the_end_of_the_range_end() {
        let hashes = vec![Hash::default(); 64];
        for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
            for height in [0, 1, size / 2, size - 1] {
                assert!(check_inclusion(&hashes[0], height, size, &hashes, &Hash([1; 32])).is_err());
                let proof = inclusion(height, size, |_| Some(Hash::default())).unwrap();
                assert!(proof.len() <= 64);
            }
            for first in [1, size / 2, size - 1] {
                assert!(check_consistency((first, &hashes[0]), (size, &Hash([1; 32])), &hashes).is_err());
                assert!(consistency(first, size, |_| Some(Hash::default())).unwrap().len() <= 65);
            }
        }
    }
}
