//! Who stores what: the map from prefixes of the key space to the members that keep them.
//!
//! The key space is cut into 2^b prefixes of b bits. Each is kept by K members, those who come first when all members
//! are ranked for it by *weighted rendezvous hashing* (Thaler and Ravishankar 1998; weights as in Schindelhauer and
//! Schomaker 2005): member m of capacity w ranks for a prefix by `-ln(h) / w`, where h in (0, 1] is drawn by hashing
//! prefix and the member's id. Everybody computes the same map from the certified member set, a member is drawn in
//! proportion to its capacity, and when members come or go only prefixes move that they win or leave. A member that has
//! another key keeps its id, and so its prefixes; one of capacity 0 keeps none.
//!
//! One record is kept by all, whatever the map says: `.cluster`, from which each of them learns who the members are.
//!
//! Nodes must agree to the last bit, so the logarithm is computed in integers (`cost`), never in floating point.

use pleach_tree::{Path, Prefix};
use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::committee::{Committee, Member};
use crate::hash::Domain;
use crate::key::Key;
use crate::limits::PARTITION_BITS_MAX;
use crate::signature::PublicKey;

/// How the key space is divided: fixed in genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partitioning {
    /// b: there are 2^b prefixes.
    pub bits: u8,
    /// K: how many members keep each prefix; all of them where there are fewer.
    pub replicas: u16,
}

impl Partitioning {
    /// One prefix that all members keep, however many there are.
    pub const EVERYWHERE: Self = Self { bits: 0, replicas: u16::MAX };
}

/// The number of a prefix: its b bits, most significant first.
pub type PrefixNumber = u32;

/// Which members keep which prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMap {
    bits: u8,
    /// For each prefix the places of its keepers among the members, best rank first.
    keepers: Vec<Vec<u16>>,
    /// The places of all members.
    all: Vec<u16>,
    /// Where the record stands that all keep.
    cluster: Path,
}

impl PartitionMap {
    /// The map for these members. With fewer members than K, all keep everything.
    #[must_use]
    pub fn new(partitioning: Partitioning, members: &[Member]) -> Self {
        let bits = partitioning.bits.min(PARTITION_BITS_MAX);
        let keepers = (0..1 << bits).map(|prefix| rank(bits, prefix, members, partitioning.replicas.into())).collect();
        Self {
            bits,
            keepers,
            all: (0u16..).zip(members).map(|(place, _)| place).collect(),
            cluster: Key::cluster().path(),
        }
    }

    /// b: how many bits of a path name its prefix.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// How many prefixes there are: 2^b.
    #[must_use]
    pub fn prefixes(&self) -> PrefixNumber {
        1 << self.bits
    }

    /// The prefix of a path in the tree.
    #[must_use]
    pub fn prefix_of(&self, path: &Path) -> PrefixNumber {
        let path = <[u8; 32]>::from(*path);
        let first = u32::from_be_bytes([path[0], path[1], path[2], path[3]]);
        // Shifting by the whole width would be an overflow.
        first.checked_shr(32 - u32::from(self.bits)).unwrap_or(0)
    }

    /// A prefix as the tree knows it. `None` for a number beyond the last.
    #[must_use]
    pub fn prefix(&self, number: PrefixNumber) -> Option<Prefix> {
        let mut first = [0; 32];
        if number >= self.prefixes() {
            return None;
        }
        first[..4].copy_from_slice(&number.checked_shl(32 - u32::from(self.bits)).unwrap_or(0).to_be_bytes());
        Some(Prefix::new(first.into(), self.bits.into()))
    }

    /// What the member with this key keeps; one that is no member, and follows the chain, keeps the record of the cluster.
    #[must_use]
    pub fn kept(&self, members: &[Member], key: &PublicKey) -> Vec<Prefix> {
        let place = members.binary_search_by_key(key, |member| member.public_key).ok();
        let place = place.and_then(|place| u16::try_from(place).ok());
        let own = place.into_iter().flat_map(|place| self.kept_by(place));
        let mut kept: Vec<_> = own.filter_map(|number| self.prefix(number)).collect();
        if !kept.iter().any(|prefix| prefix.contains(&self.cluster)) {
            kept.push(Prefix::new(self.cluster, Path::BITS));
            kept.sort_unstable();
        }
        kept
    }

    /// The members that keep the record at a path, as places in the list of members.
    #[must_use]
    pub fn keepers_of(&self, path: &Path) -> &[u16] {
        if *path == self.cluster { &self.all } else { self.keepers(self.prefix_of(path)) }
    }

    /// The members that keep a prefix, as places in the list of members; none for a number beyond the last.
    #[must_use]
    pub fn keepers(&self, prefix: PrefixNumber) -> &[u16] {
        self.keepers.get(prefix as usize).map_or(&[], Vec::as_slice)
    }

    /// The prefixes that the member at this place keeps, ascending.
    pub fn kept_by(&self, member: u16) -> impl Iterator<Item = PrefixNumber> {
        let prefixes = (0u32..).zip(&self.keepers);
        prefixes.filter(move |(_, keepers)| keepers.contains(&member)).map(|(prefix, _)| prefix)
    }
}

impl Committee {
    /// Which members keep which prefix of the key space.
    #[must_use]
    pub fn partition_map(&self, partitioning: Partitioning) -> PartitionMap {
        PartitionMap::new(partitioning, self.members())
    }
}

/// The best `count` members for a prefix, best first.
fn rank(bits: u8, prefix: PrefixNumber, members: &[Member], count: usize) -> Vec<u16> {
    let mut ranked: Vec<(u64, u64, u16)> = (0u16..)
        .zip(members)
        .filter(|(_, member)| member.capacity > 0)
        .map(|(place, member)| (cost(draw(bits, prefix, &member.id)), u64::from(member.capacity), place))
        .collect();
    // a / v < b / w, without dividing: costs have 38 bits, capacities 32.
    ranked.sort_by(|(a, v, i), (b, w, j)| {
        let (left, right) = (u128::from(*a) * u128::from(*w), u128::from(*b) * u128::from(*v));
        left.cmp(&right).then(i.cmp(j))
    });
    ranked.into_iter().take(count).map(|(_, _, place)| place).collect()
}

/// 64 bits drawn for a prefix and the id of a member.
fn draw(bits: u8, prefix: PrefixNumber, id: &PublicKey) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(Domain::PartitionRank.tag());
    hasher.update(&[bits]).update(&prefix.to_le_bytes()).update(&id.0);
    let mut drawn = [0; 8];
    hasher.finalize_xof().fill(&mut drawn);
    u64::from_le_bytes(drawn)
}

/// `-log2((drawn + 1) / 2^64)` in units of 2^-32, from 0 to 2^38, in integers alone.
///
/// The integer part of the logarithm is the place of the highest bit. Each further bit comes from squaring the
/// mantissa, which doubles its logarithm: if the square is 2 or more, the bit is set.
fn cost(drawn: u64) -> u64 {
    let number = u128::from(drawn) + 1;
    let whole = 127 - number.leading_zeros();
    // The mantissa, from 1 up to 2, in units of 2^-63.
    let mut mantissa = (number << 63) >> whole;
    let mut log = u64::from(whole) << 32;
    for bit in (0..32).rev() {
        mantissa = (mantissa * mantissa) >> 63;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            log |= 1 << bit;
        }
    }
    (64 << 32) - log
}

impl Encode for Partitioning {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.bits);
        out.extend_from_slice(&self.replicas.to_le_bytes());
    }
}

impl Decode for Partitioning {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { bits: reader.byte("partition bits")?, replicas: reader.u16("replicas")? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signature::SecretKey;

    fn members(capacities: &[u32]) -> Vec<Member> {
        let member = |(n, capacity): (u8, &u32)| {
            let public_key = SecretKey::from_seed([n; 32]).public();
            Member { capacity: *capacity, ..Member::new(format!("m{n}"), public_key) }
        };
        let mut members: Vec<_> = (0u8..).zip(capacities).map(member).collect();
        members.sort_by_key(|member| member.public_key);
        members
    }

    fn map(bits: u8, replicas: u16, members: &[Member]) -> PartitionMap {
        PartitionMap::new(Partitioning { bits, replicas }, members)
    }

    /// The same ranks by floating point, which is good enough to check with.
    fn naive(bits: u8, prefix: u32, members: &[Member], count: usize) -> Vec<u16> {
        let score = |member: &Member| {
            let uniform = (draw(bits, prefix, &member.id) as f64 + 1.0) / 2f64.powi(64);
            -uniform.ln() / f64::from(member.capacity)
        };
        let mut ranked: Vec<_> = (0u16..).zip(members).map(|(place, member)| (score(member), place)).collect();
        ranked.sort_by(|a, b| a.partial_cmp(b).unwrap());
        ranked.into_iter().take(count).map(|(_, place)| place).collect()
    }

    #[test]
    fn the_logarithm_is_right_at_its_ends_and_between() {
        assert_eq!(cost(u64::MAX), 0);
        assert_eq!(cost(0), 64 << 32);
        assert_eq!(cost((1 << 63) - 1), 1 << 32);
        for shift in 0..64 {
            let drawn = 0xdead_beef_0bad_cafe_u64 >> shift;
            let exact = 64.0 - (drawn as f64 + 1.0).log2();
            assert!((cost(drawn) as f64 / 2f64.powi(32) - exact).abs() < 1e-8, "{drawn}");
        }
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_the_formula(
            capacities in prop::collection::vec(1u32..50, 1..20), bits in 0u8..7, replicas in 1u16..6,
        ) {
            let members = members(&capacities);
            let map = map(bits, replicas, &members);
            for prefix in 0..map.prefixes() {
                prop_assert_eq!(map.keepers(prefix), naive(bits, prefix, &members, replicas.into()));
            }
            let kept: usize = (0..members.len()).map(|place| map.kept_by(place as u16).count()).sum();
            prop_assert_eq!(kept, map.prefixes() as usize * members.len().min(replicas.into()));
        }

        #[test]
        fn who_leaves_moves_only_what_it_kept(
            capacities in prop::collection::vec(1u32..9, 3..12), gone in any::<prop::sample::Index>(), replicas in 1u16..4,
        ) {
            let all = members(&capacities);
            let gone = gone.index(all.len());
            let mut rest = all.clone();
            rest.remove(gone);
            let (before, after) = (map(6, replicas, &all), map(6, replicas, &rest));
            for prefix in 0..before.prefixes() {
                let key = |members: &[Member], place: &u16| members[usize::from(*place)].public_key;
                let old: Vec<_> = before.keepers(prefix).iter().map(|place| key(&all, place)).collect();
                let new: Vec<_> = after.keepers(prefix).iter().map(|place| key(&rest, place)).collect();
                let stayed: Vec<_> = old.iter().filter(|key| **key != all[gone].public_key).copied().collect();
                prop_assert_eq!(&new[..stayed.len()], &stayed[..], "prefix {}", prefix);
            }
        }
    }

    #[test]
    fn another_key_moves_nothing_and_capacity_0_keeps_nothing() {
        let all = members(&[1, 2, 3, 4, 5]);
        let names = |members: &[Member], map: &PartitionMap, prefix| {
            map.keepers(prefix).iter().map(|place| members[usize::from(*place)].name.clone()).collect::<Vec<_>>()
        };
        let mut rotated = all.clone();
        rotated[1].previous = Some(rotated[1].public_key);
        rotated[1].public_key = SecretKey::from_seed([99; 32]).public();
        rotated.sort_by_key(|member| member.public_key);
        let mut drained = all.clone();
        drained[2].capacity = 0;
        let (before, after, without) = (map(6, 2, &all), map(6, 2, &rotated), map(6, 2, &drained));
        for prefix in 0..before.prefixes() {
            assert_eq!(names(&all, &before, prefix), names(&rotated, &after, prefix), "{prefix}");
            assert!(!names(&drained, &without, prefix).contains(&all[2].name), "{prefix}");
        }
        assert_eq!(without.kept_by(2).count(), 0);
    }

    #[test]
    fn all_members_keep_the_record_of_the_cluster() {
        let members = members(&[1; 9]);
        let map = map(5, 2, &members);
        let cluster = Key::cluster().path();
        assert_eq!(map.keepers_of(&cluster), (0..9).collect::<Vec<u16>>());
        let other = Path::of(b"bank/alice");
        assert_eq!(map.keepers_of(&other), map.keepers(map.prefix_of(&other)));
        for member in &members {
            let kept = map.kept(&members, &member.public_key);
            assert_eq!(kept.iter().filter(|prefix| prefix.contains(&cluster)).count(), 1, "once, alone or in a prefix");
        }
        assert_eq!(map.kept(&members, &PublicKey([0; 32])), [Prefix::new(cluster, Path::BITS)]);
    }

    #[test]
    fn capacity_counts() {
        let members = members(&[1, 1, 2, 4]);
        let map = map(12, 1, &members);
        for (place, member) in (0u16..).zip(&members) {
            let share = map.kept_by(place).count() as f64 / f64::from(map.prefixes());
            let fair = f64::from(member.capacity) / 8.0;
            assert!((share - fair).abs() < 0.03, "capacity {}: share {share}, fair {fair}", member.capacity);
        }
    }

    #[test]
    fn a_path_is_in_the_prefix_that_its_first_bits_say() {
        let members = members(&[1, 1, 1]);
        let mut path = [0xff; 32];
        path[..2].copy_from_slice(&[0b1010_0101, 0b1100_0000]);
        for (bits, prefix) in [(0, 0), (1, 1), (4, 0b1010), (8, 0b1010_0101), (10, 0b10_1001_0111)] {
            let map = map(bits, 2, &members);
            assert_eq!(map.prefix_of(&path.into()), prefix, "{bits} bits");
            assert!(map.prefix(prefix).unwrap().contains(&path.into()));
        }
        assert_eq!(map(3, 2, &members).keepers(8), &[] as &[u16]);
    }
}
