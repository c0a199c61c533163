//! What a member is to keep, and what to do about the prefixes that it keeps. Pure.

use std::collections::BTreeSet;

use pleach_state::State;
use pleach_tree::{Path, Prefix};
use pleach_types::{ClusterRecord, Committee, PartitionMap, Placement, PublicKey};

use crate::members::is_on_standby;

/// What a member is to keep, by the members in force, the next ones, and those on standby.
#[derive(Debug)]
pub(super) struct MovePlan {
    own: PublicKey,
    standby: bool,
    /// By the members in force, and by the next ones.
    placements: [Placement; 2],
    wanted: BTreeSet<u32>,
}

impl MovePlan {
    pub(super) fn new(state: &State, own: &PublicKey) -> Self {
        let place = |members: &Committee| Placement::new(members.clone(), state.cluster_genesis().partitioning);
        let (placements, joined) = ([state.committee(), state.next_committee()].map(place), with_standby(state, own));
        let wanted = placements.iter().chain(&joined.as_ref().map(place)).flat_map(|set| set.kept_by(own)).collect();
        Self { own: *own, standby: is_on_standby(state.cluster(), own), placements, wanted }
    }

    /// Whether it follows from this state.
    pub(super) fn is_of(&self, state: &State) -> bool {
        let sets = [state.committee(), state.next_committee()];
        self.placements.iter().zip(sets).all(|(placement, set)| placement.members().digest() == set.digest())
            && self.standby == is_on_standby(state.cluster(), &self.own)
    }

    /// The map of the prefixes, which have the same numbers whoever the members are.
    fn map(&self) -> &PartitionMap {
        self.placements[0].map()
    }

    /// The prefixes that are to be kept and are not, each with the first path in it that is not kept.
    pub(super) fn missing(&self, kept: &[Prefix]) -> impl Iterator<Item = (Prefix, Path)> {
        let prefixes = self.wanted.iter().filter_map(|number| self.map().prefix(*number));
        prefixes.filter_map(|prefix| Some((prefix, first_unkept(kept, &prefix)?)))
    }

    /// Something that is kept and need not be, and that all who are to keep it keep, as `keeps` says of a member and a prefix.
    pub(super) fn surplus(&self, kept: &[Prefix], keeps: impl Fn(&PublicKey, u32) -> bool) -> Option<Prefix> {
        let alone = Prefix::new(ClusterRecord::key().path(), Path::BITS);
        let map = self.map();
        let others_keep = |number: u32| {
            let mut keepers = self.placements.iter().flat_map(|set| set.keepers(number)).peekable();
            // Nobody may be the last to keep something.
            keepers.peek().is_some() && keepers.all(|keeper| keeps(&keeper.public_key, number))
        };
        let numbers = |prefix: &Prefix| {
            let first = map.prefix_of(&prefix.first());
            let count = 1_u32 << usize::from(map.bits()).saturating_sub(prefix.bits());
            first..first.saturating_add(count)
        };
        kept.iter().filter(|prefix| **prefix != alone).find_map(|prefix| {
            let number = numbers(prefix).find(|number| !self.wanted.contains(number) && others_keep(*number))?;
            let whole = map.prefix(number)?;
            Some(if prefix.covers(&whole) { whole } else { *prefix })
        })
    }
}

/// The next members with this one among them, if it is on standby: what it would keep then it is to have before.
fn with_standby(state: &State, own: &PublicKey) -> Option<Committee> {
    let record = state.cluster();
    let newcomer = record.standby.iter().find(|member| member.public_key == *own)?;
    let mut members = record.next.clone();
    members.push(newcomer.clone());
    members.sort_by_key(|member| member.public_key);
    Committee::new(members).ok()
}

/// The first path under a prefix that is not kept.
fn first_unkept(kept: &[Prefix], prefix: &Prefix) -> Option<Path> {
    let mut path = prefix.first();
    loop {
        let after = kept.partition_point(|kept| kept.first() <= path);
        match after.checked_sub(1).map(|at| kept[at]).filter(|kept| kept.contains(&path)) {
            None => return Some(path),
            Some(around) if around.covers(prefix) => return None,
            Some(around) => path = around.next().filter(|next| prefix.contains(next))?,
        }
    }
}

/// Which prefixes are kept as a whole: one bit for each, in their order, the lowest bit of a byte first.
pub(super) fn bits(map: &PartitionMap, kept: &[Prefix]) -> Vec<u8> {
    let mut bits = vec![0_u8; (map.prefixes() as usize).div_ceil(8)];
    for number in 0..map.prefixes() {
        let whole = map.prefix(number).is_some_and(|prefix| first_unkept(kept, &prefix).is_none());
        bits[number as usize / 8] |= u8::from(whole) << (number % 8);
    }
    bits
}

/// Whether a prefix is among those that [`bits`] names.
pub(crate) fn held(bits: &[u8], number: u32) -> bool {
    bits.get(number as usize / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1)
}

/// These prefixes and those, where two halves are together one prefix of at least so many bits.
pub(super) fn joined(kept: &[Prefix], more: &[Prefix], bits: usize) -> Vec<Prefix> {
    let mut all: Vec<_> = kept.iter().chain(more).copied().collect();
    all.sort_unstable();
    all.dedup_by(|later, before| before.covers(later));
    let mut joined: Vec<Prefix> = Vec::with_capacity(all.len());
    for prefix in all {
        joined.push(prefix);
        while let [.., left, right] = joined[..]
            && left.bits() == right.bits()
            && right.bits() > bits
            && Prefix::new(left.first(), left.bits() - 1) == Prefix::new(right.first(), right.bits() - 1)
        {
            joined.truncate(joined.len() - 2);
            joined.push(Prefix::new(left.first(), left.bits() - 1));
        }
    }
    joined
}

/// What is left of these prefixes without one.
pub(super) fn without(kept: &[Prefix], gone: &Prefix) -> Vec<Prefix> {
    let (mut left, mut ahead) = (Vec::new(), kept.to_vec());
    while let Some(prefix) = ahead.pop() {
        match prefix.halves() {
            _ if gone.covers(&prefix) => {}
            Some(halves) if prefix.covers(gone) => ahead.extend(halves),
            _ => left.push(prefix),
        }
    }
    left.sort_unstable();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(n: u8, bits: usize) -> Prefix {
        Prefix::new(Path::of(&[n]), bits)
    }

    #[test]
    fn what_is_joined_and_taken_away_covers_the_same_paths() {
        for seed in 0..200_u8 {
            let some = |from: u8| {
                (0..4_u8)
                    .map(move |n| prefix(seed.wrapping_mul(7).wrapping_add(from + n), 1 + usize::from(n + seed % 5)))
            };
            let kept = joined(&[], &some(0).collect::<Vec<_>>(), 3);
            let more: Vec<_> = some(10).collect();
            let (both, less) = (joined(&kept, &more, 3), without(&kept, &more[0]));
            for list in [&kept, &both, &less] {
                assert!(list.windows(2).all(|pair| pair[0] < pair[1] && !pair[0].covers(&pair[1])), "{list:?}");
            }
            for probe in 0..=255_u8 {
                let path = Path::of(&[probe, 1]);
                let has = |list: &[Prefix]| list.iter().any(|prefix| prefix.contains(&path));
                assert_eq!(has(&both), has(&kept) || has(&more), "seed {seed}");
                assert_eq!(has(&less), has(&kept) && !more[0].contains(&path), "seed {seed}");
            }
            for prefix in &more {
                let unkept = first_unkept(&kept, prefix);
                assert!(
                    unkept.is_none_or(|path| prefix.contains(&path) && !kept.iter().any(|kept| kept.contains(&path)))
                );
                let whole = kept.iter().any(|kept| kept.covers(prefix))
                    || without(&[*prefix], prefix).is_empty()
                        && kept.iter().fold(vec![*prefix], |left, kept| without(&left, kept)).is_empty();
                assert_eq!(unkept.is_none(), whole, "seed {seed}, {prefix:?} of {kept:?}");
            }
        }
    }

    #[test]
    fn halves_become_whole_and_no_more_than_a_prefix_of_the_map() {
        let halves = Prefix::new(Path::of(b"x"), 4).halves().unwrap();
        assert_eq!(joined(&halves[..1], &halves[1..], 4), [Prefix::new(Path::of(b"x"), 4)]);
        assert_eq!(joined(&halves[..1], &halves[1..], 5), halves);
    }
}
