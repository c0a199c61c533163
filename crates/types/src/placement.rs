//! Members, and which of them is to keep what: a [`Committee`] with its [`PartitionMap`].

use pleach_tree::Path;

use crate::committee::{Committee, Member};
use crate::partition::{PartitionMap, Partitioning, PrefixNumber};
use crate::signature::PublicKey;

/// Members, and which of them is to keep what. Making one takes a hash for each prefix and member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    members: Committee,
    map: PartitionMap,
}

impl Placement {
    /// What follows from these members.
    #[must_use]
    pub fn new(members: Committee, partitioning: Partitioning) -> Self {
        Self { map: members.partition_map(partitioning), members }
    }

    /// The members.
    #[must_use]
    pub const fn members(&self) -> &Committee {
        &self.members
    }

    /// Who is to keep what, by the places of the members.
    #[must_use]
    pub const fn map(&self) -> &PartitionMap {
        &self.map
    }

    /// The members that are to keep a prefix, best rank first; none for a number beyond the last.
    pub fn keepers(&self, prefix: PrefixNumber) -> impl Iterator<Item = &Member> {
        self.at(self.map.keepers(prefix))
    }

    /// The members that are to keep the record at a path.
    pub fn keepers_of(&self, path: &Path) -> impl Iterator<Item = &Member> {
        self.at(self.map.keepers_of(path))
    }

    /// The prefixes that the member with this key is to keep, ascending; none if it is no member.
    pub fn kept_by(&self, key: &PublicKey) -> impl Iterator<Item = PrefixNumber> {
        self.members.index(key).into_iter().flat_map(|place| self.map.kept_by(place.into()))
    }

    fn at<'a>(&'a self, places: &'a [u16]) -> impl Iterator<Item = &'a Member> {
        places.iter().filter_map(|place| self.members.get(usize::from(*place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SecretKey;

    #[test]
    fn members_and_places_are_the_same_thing() {
        let mut members: Vec<_> =
            (1..=6).map(|n| Member::new(format!("m{n}"), SecretKey::from_seed([n; 32]).public())).collect();
        members.sort_by_key(|member| member.public_key);
        let placement =
            Placement::new(Committee::new(members.clone()).expect("members"), Partitioning { bits: 4, replicas: 2 });
        for (place, member) in (0_u16..).zip(&members) {
            let kept: Vec<_> = placement.kept_by(&member.public_key).collect();
            assert_eq!(kept, placement.map().kept_by(place).collect::<Vec<_>>());
            for prefix in 0..placement.map().prefixes() {
                let first = placement.map().prefix(prefix).expect("a prefix").first();
                for keepers in [placement.keepers(prefix).count(), placement.keepers_of(&first).count()] {
                    assert_eq!(keepers, 2);
                }
                assert_eq!(placement.keepers(prefix).any(|keeper| keeper == member), kept.contains(&prefix));
            }
        }
        assert_eq!(placement.kept_by(&PublicKey([0; 32])).count(), 0);
    }
}
