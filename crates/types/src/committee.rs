//! Who orders, executes and stores: a set of members, and what follows from it.
//!
//! A [`Committee`] is what certificates, transfers, keepers and clients are checked against. The first one is in genesis;
//! the result of every height names the one that certifies the next block ([`crate::BlockResult::members`]), so each is
//! certified by the one before it. The number of faults that a set tolerates is computed here and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};
use crate::key::Key;
use crate::limits::{ADDRESS_BYTES_MAX, MEMBERS_MAX, NAME_BYTES_MAX};
use crate::signature::PublicKey;

/// A member of a cluster: a node that orders, executes and stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MemberJson", into = "MemberJson")]
pub struct Member {
    /// The first key that the member ever had: its name in the partition map, so that a new key moves no record.
    pub id: PublicKey,
    /// The key with which the node votes, signs replies and opens connections.
    pub public_key: PublicKey,
    /// A name for people: one valid part of a key.
    pub name: String,
    /// How much the member stores in proportion to the others. One of capacity 0 stores no partition.
    pub capacity: u32,
    /// Where other members reach it, as `host:port`; empty where each member is told by its own configuration.
    pub address: String,
    /// The key before this one, so that what proves a fault of the old key convicts the member that has the new one.
    pub previous: Option<PublicKey>,
}

/// A member as people write it: what follows from the rest may be left out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberJson {
    name: String,
    public_key: PublicKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<PublicKey>,
    #[serde(default = "one")]
    capacity: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<PublicKey>,
}

const fn one() -> u32 {
    1
}

impl From<MemberJson> for Member {
    fn from(json: MemberJson) -> Self {
        let MemberJson { name, public_key, id, capacity, address, previous } = json;
        Self { id: id.unwrap_or(public_key), public_key, name, capacity, address, previous }
    }
}

impl From<Member> for MemberJson {
    fn from(member: Member) -> Self {
        let Member { id, public_key, name, capacity, address, previous } = member;
        Self { name, public_key, id: (id != public_key).then_some(id), capacity, address, previous }
    }
}

impl Member {
    /// A member with its first key, which stores as much as any other.
    #[must_use]
    pub fn new(name: impl Into<String>, public_key: PublicKey) -> Self {
        Self { id: public_key, public_key, name: name.into(), capacity: 1, address: String::new(), previous: None }
    }

    /// Checks all keys of the member: evidence against an old key convicts it as well.
    fn check_keys(&self) -> Result<(), CommitteeError> {
        // Most members have one key, which is checked once.
        let old = [Some(self.id), self.previous].into_iter().flatten().filter(|key| *key != self.public_key);
        let unsound = [self.public_key].into_iter().chain(old).find(|key| !key.is_sound());
        unsound.map_or(Ok(()), |key| Err(CommitteeError::Key { name: self.name.clone(), key }))
    }
}

impl Encode for Member {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.id.encode_to(out);
        self.public_key.encode_to(out);
        codec::put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        codec::put_bytes(out, self.address.as_bytes());
        codec::put_option(out, self.previous, |out, key| key.encode_to(out));
    }
}

impl Decode for Member {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: PublicKey::decode_from(reader)?,
            public_key: PublicKey::decode_from(reader)?,
            name: reader.string("member name", NAME_BYTES_MAX)?,
            capacity: reader.u32("member capacity")?,
            address: reader.string("member address", ADDRESS_BYTES_MAX)?,
            previous: reader.option("previous key", PublicKey::decode_from)?,
        })
    }
}

/// Why members are no committee.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitteeError {
    /// There is no member, or more than the protocol allows.
    #[error("{0} members: a cluster has from 1 to {MEMBERS_MAX}")]
    Count(usize),
    /// The members are not in the order of their keys, or one key appears twice.
    #[error("members must be in strictly ascending order of their public keys")]
    Order,
    /// Two members share an id.
    #[error("member id {0} appears twice")]
    IdTwice(PublicKey),
    /// A name is not one part of a key, or too long.
    #[error(
        "member name {0:?} must be one part of a key (no \"/\", not starting with \".\"), at most {NAME_BYTES_MAX} bytes"
    )]
    Name(String),
    /// Two members share a name.
    #[error("member name {0:?} appears twice")]
    NameTwice(String),
    /// An address is too long.
    #[error("the address of member {name:?} has {actual} bytes, the limit is {ADDRESS_BYTES_MAX}")]
    Address {
        /// The member.
        name: String,
        /// Bytes of its address.
        actual: usize,
    },
    /// A key of a member is no point of the curve, or anybody could sign for it.
    #[error(
        "member {name:?} has the key {key}, which is no point of the curve, or of small order: anybody could sign for it"
    )]
    Key {
        /// The member.
        name: String,
        /// Its key: the present, the first or the one before.
        key: PublicKey,
    },
}

impl CommitteeError {
    /// The name of the reason in the test vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Count(_) => "count",
            Self::Order => "order",
            Self::IdTwice(_) => "id_twice",
            Self::Name(_) => "name",
            Self::NameTwice(_) => "name_twice",
            Self::Address { .. } => "address",
            Self::Key { .. } => "key",
        }
    }
}

/// The members of a cluster at a time, in strictly ascending order of their keys. Cloning shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    members: Arc<[Member]>,
    digest: Hash,
}

impl Committee {
    /// Checks members and makes them a committee.
    ///
    /// # Errors
    /// The first rule that is broken, with the value.
    pub fn new(members: Vec<Member>) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > MEMBERS_MAX {
            return Err(CommitteeError::Count(members.len()));
        }
        // One order, so one digest, for one set: results name committees by it.
        if !members.is_sorted_by(|a, b| a.public_key < b.public_key) {
            return Err(CommitteeError::Order);
        }
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for member in &members {
            check_name(&member.name)?;
            if !names.insert(&member.name) {
                return Err(CommitteeError::NameTwice(member.name.clone()));
            }
            if !ids.insert(member.id) {
                return Err(CommitteeError::IdTwice(member.id));
            }
            if member.address.len() > ADDRESS_BYTES_MAX {
                return Err(CommitteeError::Address { name: member.name.clone(), actual: member.address.len() });
            }
            member.check_keys()?;
        }
        Ok(Self { digest: digest(&members), members: members.into() })
    }

    /// The members, in strictly ascending order of their keys. There is at least one.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What results name the set by.
    #[must_use]
    pub const fn digest(&self) -> Hash {
        self.digest
    }

    /// f: how many members may be faulty.
    #[must_use]
    pub fn faults(&self) -> usize {
        faults(self.members.len())
    }

    /// n - f: how many members make a certificate.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.members.len())
    }

    /// The place of the member with this key, as certificates name it.
    #[must_use]
    pub fn index(&self, key: &PublicKey) -> Option<u8> {
        let at = self.members.binary_search_by_key(key, |member| member.public_key).ok()?;
        u8::try_from(at).ok()
    }

    /// The member with this key.
    #[must_use]
    pub fn member(&self, key: &PublicKey) -> Option<&Member> {
        self.members.get(usize::from(self.index(key)?))
    }

    /// The member at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Member> {
        self.members.get(place)
    }

    /// The members' keys, ascending.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = PublicKey> + '_ {
        self.members.iter().map(|member| member.public_key)
    }
}

/// The digest of a set of members, which are in ascending order.
fn digest(members: &[Member]) -> Hash {
    let mut bytes = Vec::new();
    codec::put_list(&mut bytes, members);
    Hash::of(Domain::Members, &bytes)
}

/// f: how many of `members` may be faulty: the largest f with `3f + 1 <= members`.
#[must_use]
pub const fn faults(members: usize) -> usize {
    members.saturating_sub(1) / 3
}

/// n - f: how many of `members` make a certificate.
#[must_use]
pub const fn quorum(members: usize) -> usize {
    members - faults(members)
}

fn check_name(name: &str) -> Result<(), CommitteeError> {
    let is_part = !name.contains('/') && !name.starts_with('.') && name.len() <= NAME_BYTES_MAX;
    match Key::new(name) {
        Ok(_) if is_part => Ok(()),
        _ => Err(CommitteeError::Name(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SecretKey;

    fn members(count: u8) -> Vec<Member> {
        let member = |n: u8| Member::new(format!("m{n}"), SecretKey::from_seed([n; 32]).public());
        let mut members: Vec<_> = (0..count).map(member).collect();
        members.sort_by_key(|member| member.public_key);
        members
    }

    fn refused(change: impl FnOnce(&mut Vec<Member>)) -> CommitteeError {
        let mut members = members(4);
        change(&mut members);
        Committee::new(members).expect_err("a rule is broken")
    }

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(refused(Vec::clear), CommitteeError::Count(0));
        assert_eq!(refused(|m| *m = members(129)), CommitteeError::Count(129));
        assert_eq!(refused(|m| m.swap(0, 1)), CommitteeError::Order);
        assert_eq!(refused(|m| m[1].public_key = m[0].public_key), CommitteeError::Order);
        let id = members(4)[0].id;
        assert_eq!(refused(|m| m[3].id = id), CommitteeError::IdTwice(id));
        let name = members(4)[0].name.clone();
        assert_eq!(refused(|m| m[3].name = name.clone()), CommitteeError::NameTwice(name));
        for name in ["", ".", "..", ".x", "a/b", "/", "a\n", "zero\u{200b}", &"n".repeat(65)] {
            assert_eq!(refused(|m| m[2].name = name.into()), CommitteeError::Name(name.into()));
        }
        let name = members(4)[2].name.clone();
        let long = refused(|m| m[2].address = "a".repeat(ADDRESS_BYTES_MAX + 1));
        assert_eq!(long, CommitteeError::Address { name: name.clone(), actual: ADDRESS_BYTES_MAX + 1 });
        // The point 1, for which anybody signs, and no point at all.
        let mut one = [0; 32];
        one[0] = 1;
        for key in [PublicKey(one), PublicKey([2; 32])] {
            let unsound = CommitteeError::Key { name: name.clone(), key };
            assert_eq!(refused(|m| m[2].id = key), unsound);
            assert_eq!(refused(|m| m[2].previous = Some(key)), unsound);
            // It is the least one, or comes to stand where its order wants it.
            let first = refused(|m| {
                m[2].public_key = key;
                m.sort_by_key(|member| member.public_key);
            });
            assert_eq!(first, unsound);
        }
    }

    #[test]
    fn quorums_intersect_in_an_honest_member() {
        for n in 1..=128 {
            let committee = Committee::new(members(n)).unwrap();
            let (n, f, q) = (usize::from(n), committee.faults(), committee.quorum());
            assert!(3 * f < n && n <= 3 * f + 3, "{n} members, {f} faults");
            assert!(2 * q > n + f, "two quorums of {q} among {n} may share only the {f} faulty");
            assert!(q <= n - f, "the {f} faulty can block a quorum of {q} among {n}");
        }
        assert_eq!(faults(0), 0);
    }

    #[test]
    fn members_are_found_by_their_keys() {
        let committee = Committee::new(members(128)).unwrap();
        for (place, key) in committee.keys().enumerate() {
            assert_eq!(committee.index(&key).map(usize::from), Some(place));
            assert_eq!(committee.member(&key), committee.get(place));
        }
        assert_eq!(committee.index(&PublicKey([0; 32])), None);
    }

    #[test]
    fn everything_about_a_member_is_in_the_digest() {
        let before = Committee::new(members(4)).unwrap().digest();
        let changes: [fn(&mut Member); 6] = [
            |m| m.id = SecretKey::from_seed([77; 32]).public(),
            |m| m.public_key.0[31] ^= 0x80,
            |m| m.name.push('x'),
            |m| m.capacity += 1,
            |m| m.address.push('x'),
            |m| m.previous = Some(SecretKey::from_seed([77; 32]).public()),
        ];
        for change in changes {
            let mut members = members(4);
            change(&mut members[3]);
            assert_ne!(Committee::new(members).unwrap().digest(), before);
        }
    }

    #[test]
    fn a_member_is_written_without_what_follows_from_the_rest() {
        let member = members(1).remove(0);
        let json = serde_json::to_string(&member).unwrap();
        assert_eq!(json, format!("{{\"name\":\"m0\",\"public_key\":\"{}\",\"capacity\":1}}", member.public_key));
        assert_eq!(serde_json::from_str::<Member>(&json).unwrap(), member);
        let rotated = Member { id: PublicKey([7; 32]), previous: Some(PublicKey([7; 32])), ..member };
        let json = serde_json::to_string(&rotated).unwrap();
        assert_eq!(serde_json::from_str::<Member>(&json).unwrap(), rotated);
    }
}
