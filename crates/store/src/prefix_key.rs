//! What a node knows of the tree outside of its partition.
//!
//! A root is that of the whole tree. A node that holds a part can only recompute it with the labels around: the
//! *outline*. It lists, without overlap among themselves or with the records, subtrees of which only the label
//! is known and leaves of which only the value's digest is known. Whatever neither a record nor the outline covers
//! is empty. A node that holds everything has an empty outline.
//!
//! Nothing in the outline changes unless what it stands for is written or is cut down to a label, so a block adds
//! and removes a few rows, and never has to rewrite the labels near the root.

use pleach_tree::{OutlineNode, Path, Prefix};

use crate::error::Refused;

/// The prefix of all bits: this one path.
pub(crate) fn whole(path: Path) -> Prefix {
    Prefix::new(path, Path::BITS)
}

/// The last path with a prefix.
pub(crate) fn last(prefix: &Prefix) -> Path {
    let mut bits = *prefix.first().as_bytes();
    for (at, byte) in bits.iter_mut().enumerate() {
        let fixed = prefix.bits().saturating_sub(8 * at).min(8);
        // Shifted as a wider number, since a byte can't be shifted by eight.
        *byte |= (0xff_u16 >> fixed) as u8;
    }
    bits.into()
}

/// Whether some path has both prefixes.
pub(crate) fn overlap(a: &Prefix, b: &Prefix) -> bool {
    a.covers(b) || b.covers(a)
}

/// A prefix for people: the bytes that hold its bits, and their number. `a0/3` is 101.
pub(crate) fn name(prefix: &Prefix) -> String {
    let path = prefix.first().to_string();
    format!("{}/{}", &path[..2 * prefix.bits().div_ceil(8)], prefix.bits())
}

/// Checks that a node of the outline can stand at `at`.
pub(crate) fn check(node: &OutlineNode, at: &Prefix) -> Result<(), Refused> {
    if node.fits(at) { Ok(()) } else { Err(Refused::OutlineLabel(*at)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_reaches_from_its_first_to_its_last_path() {
        for number in 0..300_u32 {
            let (a, b) = (Path::of(&number.to_le_bytes()), Path::of(b"other"));
            let bits = number as usize % (Path::BITS + 1);
            let prefix = Prefix::new(a, bits);
            assert!(prefix.contains(&last(&prefix)));
            let naive = (0..Path::BITS).take_while(|&at| a.bit(at) == b.bit(at)).count();
            assert_eq!(a.common_bits(&b), naive);
            assert_eq!(naive >= bits, prefix.first() <= b && b <= last(&prefix), "{prefix:?}");
        }
        assert_eq!(name(&Prefix::new(Path::from_bytes([0xa7; 32]), 3)), "a0/3");
        assert_eq!(name(&Prefix::ALL), "/0");
    }
}
