//! The prefixes that the node keeps: every record under them, and none elsewhere.
//!
//! They come with a partition and stay, in a row of their own that no block writes again, until another one arrives or
//! other prefixes are kept ([`crate::rekeep`]).

use pleach_tree::{Path, Prefix};
use pleach_types::codec::{Decode, DecodeError, Encode, Reader, put_count};
use pleach_types::limits::PARTITION_BITS_MAX;

use crate::commit::within;
use crate::error::Refused;
use crate::fold::Held;
use crate::prefix_key::overlap;
use crate::table::{decode_prefix, prefix_key};

/// Prefixes that a node keeps, at most: all those of a partition map, the one record that every member keeps, and those that a
/// prefix is made of while its records come, or go: two for each bit of a path.
pub const KEPT_MAX: usize = (1 << PARTITION_BITS_MAX) + 1 + 512;

const _: () = assert!(512 == 2 * Path::BITS);

/// Kept prefixes, in ascending order and none within another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept(Vec<Prefix>);

impl Kept {
    pub(crate) fn new(prefixes: Vec<Prefix>) -> Result<Self, Refused> {
        within("the number of kept prefixes", prefixes.len(), KEPT_MAX)?;
        // In ascending order, whatever lies within a prefix comes right after it.
        match prefixes.windows(2).find(|pair| pair[0] >= pair[1] || overlap(&pair[0], &pair[1])) {
            Some(pair) => Err(Refused::KeptOrder(pair[1])),
            None => Ok(Self(prefixes)),
        }
    }

    pub(crate) fn prefixes(&self) -> &[Prefix] {
        &self.0
    }

    /// Checks that something that a node holds is where it may be. A leaf of the outline under a kept prefix would be taken
    /// for a record whose value is there.
    pub(crate) fn check(&self, held: &Held) -> Result<(), Refused> {
        match held {
            Held::Record { path, key, .. } if !self.holds(path) => Err(Refused::NotKept(key.clone())),
            Held::Outline { at, .. } => self.check_outline(at),
            Held::Record { .. } => Ok(()),
        }
    }

    /// Checks that a node of the outline lies outside.
    pub(crate) fn check_outline(&self, at: &Prefix) -> Result<(), Refused> {
        let after = self.0.partition_point(|prefix| prefix.first() <= at.first());
        let around = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|near| self.0.get(near));
        if around.into_iter().any(|prefix| overlap(prefix, at)) { Err(Refused::OutlineKept(*at)) } else { Ok(()) }
    }

    /// Whether every record under a prefix is kept because of a single one of these.
    pub(crate) fn covers(&self, prefix: &Prefix) -> bool {
        self.before(&prefix.first()).is_some_and(|kept| kept.covers(prefix))
    }

    /// Whether the record at a path is kept.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.before(path).is_some_and(|prefix| prefix.contains(path))
    }

    /// The last one that does not begin after a path: the only one that can have it.
    fn before(&self, path: &Path) -> Option<&Prefix> {
        let after = self.0.partition_point(|prefix| prefix.first() <= *path);
        self.0.get(after.checked_sub(1)?)
    }
}

impl Encode for Kept {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_count(out, self.0.len());
        self.0.iter().for_each(|prefix| out.extend_from_slice(&prefix_key(prefix)));
    }
}

impl Decode for Kept {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let field = "kept prefix";
        let prefixes = reader.list("kept prefixes", KEPT_MAX, |reader| {
            let key = reader.array::<34>(field)?;
            decode_prefix(&key).ok_or_else(|| DecodeError::Invalid { field, why: "not a prefix".into() })
        })?;
        Self::new(prefixes).map_err(|e| DecodeError::Invalid { field, why: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(first: u8, bits: usize) -> Prefix {
        let mut path = [0; 32];
        path[0] = first;
        Prefix::new(path.into(), bits)
    }

    #[test]
    fn a_path_is_kept_if_one_of_the_prefixes_has_it() {
        let prefixes = vec![prefix(0x10, 4), prefix(0x20, 8), prefix(0x40, 2), prefix(0xf3, 8)];
        let kept = Kept::new(prefixes.clone()).unwrap();
        for byte in 0..=255 {
            for last in [0, 255] {
                let mut path = [last; 32];
                path[0] = byte;
                let path = Path::from_bytes(path);
                assert_eq!(kept.holds(&path), prefixes.iter().any(|prefix| prefix.contains(&path)), "{path}");
                for bits in 0..=Path::BITS {
                    let at = Prefix::new(path, bits);
                    let inside = prefixes.iter().any(|prefix| prefix.covers(&at) || at.covers(prefix));
                    assert_eq!(kept.check_outline(&at).is_err(), inside, "{at:?}");
                    assert_eq!(kept.covers(&at), prefixes.iter().any(|prefix| prefix.covers(&at)), "{at:?}");
                }
            }
        }
        let (none, all) = (Kept::default(), Kept::new(vec![Prefix::ALL]).unwrap());
        assert!(!none.holds(&Path::of(b"x")) && all.holds(&Path::of(b"x")));
        for kept in [kept, none, all] {
            assert_eq!(Kept::decode(&kept.encode()), Ok(kept));
        }
    }

    #[test]
    fn as_many_are_kept_as_a_member_can_have_and_no_more() {
        // All prefixes of 12 bits but one, of whose records one is kept by itself: each member's `.cluster`.
        let whole = |number: u16| {
            let mut path = [0; 32];
            path[..2].copy_from_slice(&(number << 4).to_be_bytes());
            Prefix::new(path.into(), PARTITION_BITS_MAX.into())
        };
        let mut most: Vec<_> = (0..4096).map(whole).collect();
        assert!(Kept::new(most.clone()).is_ok());
        most[7] = Prefix::new(most[7].first(), Path::BITS);
        most.insert(8, Prefix::new(most[8].first(), 13));
        assert_eq!(Kept::new(most.clone()), Err(Refused::KeptOrder(most[9])), "one lies within another");
        most[9] = most[9].halves().unwrap()[1];
        let kept = Kept::new(most.clone()).unwrap();
        assert_eq!(Kept::decode(&kept.encode()), Ok(kept));
        let of_16_bits = |number: u16| {
            let mut path = [0; 32];
            path[..2].copy_from_slice(&number.to_be_bytes());
            Prefix::new(path.into(), 16)
        };
        let full: Vec<_> = (0..=u16::MAX).map(of_16_bits).take(KEPT_MAX).collect();
        assert!(Kept::new(full).is_ok());
        let more: Vec<_> = (0..=u16::MAX).map(of_16_bits).take(KEPT_MAX + 1).collect();
        let refused = Kept::new(more.clone());
        assert!(matches!(refused, Err(Refused::TooLarge { limit: KEPT_MAX, .. })), "{refused:?}");
        let too_many = Kept(more).encode();
        assert!(matches!(Kept::decode(&too_many), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn prefixes_have_one_order() {
        let (one, other) = (prefix(0x10, 4), prefix(0x20, 4));
        for wrong in [vec![other, one], vec![one, one], vec![one, prefix(0x18, 6)], vec![Prefix::ALL, other]] {
            assert!(matches!(Kept::new(wrong.clone()), Err(Refused::KeptOrder(_))), "{wrong:?}");
            assert!(matches!(Kept::decode(&Kept(wrong).encode()), Err(DecodeError::Invalid { .. })));
        }
    }
}
