//! The genesis of a cluster: its members, parameters and first records. Its digest is what a client pins.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::hash::{Domain, Hash};
use crate::key::{Key, KeyError, MEMBERS};
use crate::limits::{
    GENESIS_BYTES_MAX, GENESIS_RECORDS_MAX, HISTORY_MAX, Limits, MEMBERS_MAX, NAME_BYTES_MAX, PARTITION_BITS_MAX,
    VALUE_BYTES_MAX,
};
use crate::partition::{PartitionMap, Partitioning};
use crate::signature::PublicKey;

/// What a cluster starts from. Two clusters with different genesis share no message.
///
/// Decoding the canonical form checks it; reading JSON does not, so that tools can say what is wrong. Whoever
/// reads JSON calls [`Genesis::check`] before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// A name for people; also what tells apart clusters that are otherwise equal.
    pub name: String,
    /// The members, in strictly ascending order of their keys.
    pub members: Vec<Member>,
    /// The window T in blocks: a proof of `base` is accepted while fewer than T blocks came after it.
    pub history: u64,
    /// How the key space is divided among the members.
    pub partitioning: Partitioning,
    /// What bounds requests.
    pub limits: Limits,
    /// The records that the tree starts with, the members' apart: the root rule and the base rule.
    #[serde(with = "base64_values")]
    pub records: BTreeMap<Key, Bytes>,
}

/// A member of a cluster: a node that orders, executes and stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// A name for people: one valid part of a key.
    pub name: String,
    /// The key with which the node votes, signs replies and opens connections.
    pub public_key: PublicKey,
    /// How much the member stores in proportion to the others, at least 1.
    #[serde(default = "one")]
    pub capacity: u32,
}

const fn one() -> u32 {
    1
}

/// Why a genesis cannot start a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// There is no member, or more than the protocol allows.
    #[error("{0} members: a cluster has from 1 to {MEMBERS_MAX}")]
    MemberCount(usize),
    /// The members are not in the order of their keys, or one key appears twice.
    #[error("members must be in strictly ascending order of their public keys")]
    MemberOrder,
    /// A name is not one part of a key, or too long.
    #[error(
        "member name {0:?} must be one part of a key (no \"/\", not starting with \".\"), at most {NAME_BYTES_MAX} bytes"
    )]
    MemberName(String),
    /// Two members share a name.
    #[error("member name {0:?} appears twice")]
    MemberNameTwice(String),
    /// The cluster's name is empty or too long.
    #[error("cluster name {0:?} must have from 1 to {NAME_BYTES_MAX} bytes")]
    Name(String),
    /// The window is out of range.
    #[error("history is {0}: it must be from 1 to {HISTORY_MAX} blocks")]
    History(u64),
    /// The key space is cut too finely.
    #[error("{0} partition bits: a key space is cut by at most {PARTITION_BITS_MAX} bits")]
    PartitionBits(u8),
    /// No member would keep anything.
    #[error("0 replicas of each prefix: the least is 1, and f + 1 survive any f faults")]
    Replicas,
    /// A member would store nothing.
    #[error("member {0:?} has capacity 0: the least is 1")]
    Capacity(String),
    /// A limit is out of range.
    #[error("{0}")]
    Limits(String),
    /// There are too many first records.
    #[error("{0} records: a genesis has at most {GENESIS_RECORDS_MAX}")]
    RecordCount(usize),
    /// The document is too large.
    #[error("genesis of {0} bytes: the limit is {GENESIS_BYTES_MAX}")]
    TooLarge(usize),
    /// A first record is too large.
    #[error("record {key} has {actual} bytes, the limit is {limit}")]
    RecordTooLarge {
        /// The record.
        key: Key,
        /// Its size.
        actual: usize,
        /// The cluster's limit.
        limit: u32,
    },
    /// A first record stands where the members' records go.
    #[error("record {0} is reserved for the members")]
    RecordReserved(Key),
}

impl Genesis {
    /// Checks everything that a decoder does not.
    ///
    /// # Errors
    /// The first rule that is broken, with the value.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(GenesisError::Name(self.name.clone()));
        }
        self.check_members()?;
        if self.history == 0 || self.history > HISTORY_MAX {
            return Err(GenesisError::History(self.history));
        }
        self.check_partitioning()?;
        self.limits.check().map_err(GenesisError::Limits)?;
        self.check_records()?;
        match self.encode().len() {
            len if len > GENESIS_BYTES_MAX => Err(GenesisError::TooLarge(len)),
            _ => Ok(()),
        }
    }

    fn check_members(&self) -> Result<(), GenesisError> {
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(GenesisError::MemberCount(self.members.len()));
        }
        if !self.members.is_sorted_by(|a, b| a.public_key < b.public_key) {
            return Err(GenesisError::MemberOrder);
        }
        let mut names = BTreeSet::new();
        for member in &self.members {
            member.record_key().map_err(|_| GenesisError::MemberName(member.name.clone()))?;
            if !names.insert(&member.name) {
                return Err(GenesisError::MemberNameTwice(member.name.clone()));
            }
        }
        Ok(())
    }

    fn check_partitioning(&self) -> Result<(), GenesisError> {
        let Partitioning { bits, replicas } = self.partitioning;
        if bits > PARTITION_BITS_MAX {
            return Err(GenesisError::PartitionBits(bits));
        }
        if replicas == 0 {
            return Err(GenesisError::Replicas);
        }
        match self.members.iter().find(|member| member.capacity == 0) {
            Some(member) => Err(GenesisError::Capacity(member.name.clone())),
            None => Ok(()),
        }
    }

    /// Which members keep which prefix of the key space.
    #[must_use]
    pub fn partition_map(&self) -> PartitionMap {
        PartitionMap::new(self.partitioning, &self.members)
    }

    /// Whether any f members may be lost without losing a record: each prefix has more than f keepers.
    #[must_use]
    pub fn survives_faults(&self) -> bool {
        usize::from(self.partitioning.replicas).min(self.members.len()) > self.faults()
    }

    fn check_records(&self) -> Result<(), GenesisError> {
        if self.records.len() > GENESIS_RECORDS_MAX {
            return Err(GenesisError::RecordCount(self.records.len()));
        }
        for (key, value) in &self.records {
            if value.len() > self.limits.value_bytes as usize {
                let limit = self.limits.value_bytes;
                return Err(GenesisError::RecordTooLarge { key: key.clone(), actual: value.len(), limit });
            }
            if key.as_str().starts_with(MEMBERS) {
                return Err(GenesisError::RecordReserved(key.clone()));
            }
        }
        Ok(())
    }

    /// The digest that clients pin.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash::of(Domain::Genesis, &self.encode())
    }

    /// All records of height 0: the first records and one for each member.
    ///
    /// # Errors
    /// [`GenesisError::MemberName`].
    pub fn all_records(&self) -> Result<BTreeMap<Key, Bytes>, GenesisError> {
        let mut records = self.records.clone();
        for member in &self.members {
            let key = member.record_key().map_err(|_| GenesisError::MemberName(member.name.clone()))?;
            records.insert(key, Bytes::from(member.encode()));
        }
        Ok(records)
    }

    /// How many members may be faulty: f, the largest with 3f + 1 members or fewer.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.members.len().saturating_sub(1) / 3
    }

    /// How many members make a certificate: n - f, and never nobody, though [`Genesis::check`] refuses a
    /// genesis without members.
    #[must_use]
    pub fn quorum(&self) -> usize {
        (self.members.len() - self.faults()).max(1)
    }

    /// The member with this key.
    #[must_use]
    pub fn member(&self, key: &PublicKey) -> Option<&Member> {
        let at = self.members.binary_search_by_key(key, |member| member.public_key).ok()?;
        self.members.get(at)
    }
}

impl Member {
    /// A member that stores as much as any other.
    #[must_use]
    pub fn new(name: impl Into<String>, public_key: PublicKey) -> Self {
        Self { name: name.into(), public_key, capacity: 1 }
    }

    /// The key of the member's record in the tree.
    ///
    /// # Errors
    /// Where the name is not one part of a key.
    pub fn record_key(&self) -> Result<Key, KeyError> {
        if self.name.contains('/') || self.name.starts_with('.') || self.name.len() > NAME_BYTES_MAX {
            return Err(KeyError::DotPart { key: self.name.clone(), part: self.name.clone(), at: 0 });
        }
        Key::new(format!("{MEMBERS}{}", self.name))
    }
}

impl Encode for Member {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.public_key.encode_to(out);
        codec::put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
    }
}

impl Decode for Member {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let public_key = PublicKey::decode_from(reader)?;
        let name = reader.string("member name", NAME_BYTES_MAX)?;
        Ok(Self { public_key, name, capacity: reader.u32("member capacity")? })
    }
}

impl Encode for Genesis {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, self.name.as_bytes());
        codec::put_list(out, &self.members);
        out.extend_from_slice(&self.history.to_le_bytes());
        self.partitioning.encode_to(out);
        self.limits.encode_to(out);
        codec::put_count(out, self.records.len());
        for (key, value) in &self.records {
            key.encode_to(out);
            codec::put_bytes(out, value);
        }
    }
}

impl Decode for Genesis {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let name = reader.string("cluster name", NAME_BYTES_MAX)?;
        let members = reader.list("members", MEMBERS_MAX, Member::decode_from)?;
        let history = reader.u64("history")?;
        let partitioning = Partitioning::decode_from(reader)?;
        let limits = Limits::decode_from(reader)?;
        let records = reader
            .list("records", GENESIS_RECORDS_MAX, |r| Ok((Key::decode_from(r)?, r.bytes("value", VALUE_BYTES_MAX)?)))?;
        if !records.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::NotCanonical {
                field: "records",
                why: "keys must be in strictly ascending order",
            });
        }
        let genesis = Self { name, members, history, partitioning, limits, records: records.into_iter().collect() };
        genesis.check().map_err(|e| DecodeError::Invalid { field: "genesis", why: e.to_string() })?;
        Ok(genesis)
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("genesis", bytes, GENESIS_BYTES_MAX)
    }
}

/// Values as base64 in JSON.
mod base64_values {
    use super::{BTreeMap, Bytes, Key};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(records: &BTreeMap<Key, Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        let text: BTreeMap<_, _> = records.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
        text.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Key, Bytes>, D::Error> {
        let text = BTreeMap::<Key, String>::deserialize(deserializer)?;
        let decode = |(key, text): (Key, String)| match STANDARD.decode(&text) {
            Ok(value) => Ok((key, Bytes::from(value))),
            Err(e) => Err(D::Error::custom(format!("record {key}: value is not base64: {e}"))),
        };
        text.into_iter().map(decode).collect()
    }
}
