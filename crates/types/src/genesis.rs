//! The genesis of a cluster: its members, parameters and first records. Its digest is what a client pins.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::{Committee, CommitteeError, Member, faults};
use crate::hash::{Domain, Hash};
use crate::key::{CLUSTER, Key, ROOT_RULE};
use crate::limits::{
    EPOCH_BLOCKS_DEFAULT, EPOCH_BLOCKS_MAX, EPOCH_BLOCKS_MIN, GENESIS_BYTES_MAX, GENESIS_RECORDS_MAX, Limits,
    MEMBERS_MAX, NAME_BYTES_MAX, OWNERS_MAX, PARTITION_BITS_MAX, VALUE_BYTES_MAX, WINDOW_MAX,
};
use crate::partition::{PartitionMap, Partitioning};
use crate::receipt::Refusal;
use crate::signature::PublicKey;

/// The window of a cluster that asks for no other, in blocks.
pub const WINDOW_DEFAULT: u64 = 64;

/// What a cluster starts from. Two clusters with different genesis share no message.
///
/// Decoding the canonical form checks it; reading JSON does not, so that tools can say what is wrong. Whoever
/// reads JSON calls [`Genesis::check`] before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// A name for people; also what tells apart clusters that are otherwise equal.
    pub name: String,
    /// Random bytes. Without them a cluster that is set up again with the same keys would share its genesis with the old
    /// one, and what members signed there would contradict what they sign here.
    #[serde(with = "hex")]
    pub salt: [u8; 16],
    /// The members, in strictly ascending order of their keys.
    pub members: Vec<Member>,
    /// The window T in blocks: a proof of `base` is accepted while fewer than T blocks came after it.
    pub window: u64,
    /// How the key space is divided among the members.
    pub partitioning: Partitioning,
    /// How members come and go.
    pub governance: Governance,
    /// What bounds requests and blocks.
    pub limits: Limits,
    /// The records that the tree starts with, that of the cluster apart: the root rule and the base rule.
    #[serde(with = "base64_values")]
    pub records: BTreeMap<Key, Bytes>,
}

/// How the members of a cluster come and go, and who may create domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governance {
    /// Blocks of an epoch: changes of the members take effect at its end.
    pub epoch_blocks: u32,
    /// The most members that the cluster may ever have.
    pub members_max: u16,
    /// How many members may be expelled by evidence alone, between two acts of the owners; f and K - 1 bound it too.
    pub expulsions: u8,
    /// Epochs after which a member that led no block leaves; 0 for never.
    pub absent_epochs: u16,
    /// Who may change the members, in strictly ascending order. Without owners members leave by evidence alone.
    pub owners: Vec<PublicKey>,
    /// How many owners must sign a change; 0 exactly where there is no owner.
    pub threshold: u8,
    /// Who may create domains.
    pub domains: Domains,
}

/// Who may create domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domains {
    /// Everybody.
    Open,
    /// Whoever has the signatures of as many owners as a change of the members needs.
    Approved,
}

impl Default for Governance {
    /// Nobody owns the cluster, everybody may create domains.
    fn default() -> Self {
        Self {
            epoch_blocks: EPOCH_BLOCKS_DEFAULT,
            members_max: MEMBERS_MAX as u16,
            expulsions: u8::MAX,
            absent_epochs: 0,
            owners: Vec::new(),
            threshold: 0,
            domains: Domains::Open,
        }
    }
}

/// Why a genesis cannot start a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// The members are no committee.
    #[error(transparent)]
    Members(#[from] CommitteeError),
    /// The cluster's name is empty or too long.
    #[error("cluster name {0:?} must have from 1 to {NAME_BYTES_MAX} bytes")]
    Name(String),
    /// The window is out of range.
    #[error("window is {0}: it must be from 1 to {WINDOW_MAX} blocks")]
    Window(u64),
    /// The key space is cut too finely.
    #[error("{0} partition bits: a key space is cut by at most {PARTITION_BITS_MAX} bits")]
    PartitionBits(u8),
    /// No member would keep anything.
    #[error("0 replicas of each prefix: the least is 1, and f + 1 survive any f faults")]
    Replicas,
    /// A member would store nothing.
    #[error("member {0:?} has capacity 0: the least at the start is 1")]
    Capacity(String),
    /// A rule of the governance is broken.
    #[error("{0}")]
    Governance(String),
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
    /// A first record stands where the cluster's record goes.
    #[error("record {0} is reserved for the members")]
    RecordReserved(Key),
}

impl Genesis {
    /// A genesis with defaults for everything else: a window of 64 blocks, all records on all members, no owners, no salt.
    #[must_use]
    pub fn new(name: impl Into<String>, members: Vec<Member>, records: BTreeMap<Key, Bytes>) -> Self {
        Self {
            name: name.into(),
            salt: [0; 16],
            members,
            window: WINDOW_DEFAULT,
            partitioning: Partitioning::EVERYWHERE,
            governance: Governance::default(),
            limits: Limits::default(),
            records,
        }
    }

    /// Checks everything that a decoder does not.
    ///
    /// # Errors
    /// The first rule that is broken, with the value.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(GenesisError::Name(self.name.clone()));
        }
        self.committee()?;
        if self.window == 0 || self.window > WINDOW_MAX {
            return Err(GenesisError::Window(self.window));
        }
        self.check_partitioning()?;
        self.governance.check(self.members.len()).map_err(GenesisError::Governance)?;
        self.limits.check().map_err(GenesisError::Limits)?;
        self.check_records()?;
        match self.encode().len() {
            len if len > GENESIS_BYTES_MAX => Err(GenesisError::TooLarge(len)),
            _ => Ok(()),
        }
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

    /// The first committee.
    ///
    /// # Errors
    /// If the members are none.
    pub fn committee(&self) -> Result<Committee, GenesisError> {
        Ok(Committee::new(self.members.clone())?)
    }

    /// Which members keep which prefix of the key space.
    #[must_use]
    pub fn partition_map(&self) -> PartitionMap {
        PartitionMap::new(self.partitioning, &self.members)
    }

    /// How many members keep each record.
    #[must_use]
    pub fn copies(&self) -> usize {
        usize::from(self.partitioning.replicas).min(self.members.len())
    }

    /// Whether any f members may be lost without losing a record: each prefix has more than f keepers.
    #[must_use]
    pub fn survives_faults(&self) -> bool {
        self.copies() > faults(self.members.len())
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
            if key.as_str() == CLUSTER {
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
}

impl Governance {
    /// Checks the rules, for a cluster that starts with so many members.
    ///
    /// # Errors
    /// The first rule that is broken, with the value.
    pub fn check(&self, members: usize) -> Result<(), String> {
        let Self { epoch_blocks, members_max, owners, threshold, .. } = self;
        if !(EPOCH_BLOCKS_MIN..=EPOCH_BLOCKS_MAX).contains(epoch_blocks) {
            return Err(format!("epoch_blocks is {epoch_blocks}: from {EPOCH_BLOCKS_MIN} to {EPOCH_BLOCKS_MAX}"));
        }
        if usize::from(*members_max) < members || usize::from(*members_max) > MEMBERS_MAX {
            return Err(format!("members_max is {members_max}: from the {members} first members to {MEMBERS_MAX}"));
        }
        if owners.len() > OWNERS_MAX {
            return Err(format!("{} owners: a cluster has at most {OWNERS_MAX}", owners.len()));
        }
        // Strictly: one owner twice would count twice towards the threshold.
        if !owners.is_sorted_by(|a, b| a < b) {
            return Err("owners must be in strictly ascending order of their keys".into());
        }
        if let Some(key) = owners.iter().find(|key| !key.is_sound()) {
            return Err(format!(
                "the owner's key {key} is no point of the curve, or of small order: anybody could sign for it"
            ));
        }
        if usize::from(*threshold) > owners.len() || (*threshold == 0) != owners.is_empty() {
            let owners = owners.len();
            return Err(format!("threshold is {threshold}: from 1 to the {owners} owners, and 0 where there is none"));
        }
        if self.domains == Domains::Approved && owners.is_empty() {
            return Err("domains are to be approved, but there is no owner who could".into());
        }
        Ok(())
    }

    /// Whether an operation may run with these signers, in ascending order: where domains are to be approved, a call of
    /// the root rule needs the signatures of as many of the present owners as a change of the members does.
    ///
    /// # Errors
    /// [`Refusal::NotApproved`].
    pub fn approves(
        &self,
        operation: &Key,
        signers: &[PublicKey],
        (owners, needed): (&[PublicKey], u8),
    ) -> Result<(), Refusal> {
        if self.domains == Domains::Open || operation.as_str() != ROOT_RULE {
            return Ok(());
        }
        let signed = owners.iter().filter(|owner| signers.binary_search(owner).is_ok()).count();
        // At most as many as there are owners.
        let signed = u8::try_from(signed).unwrap_or(u8::MAX);
        if signed >= needed { Ok(()) } else { Err(Refusal::NotApproved { signed, needed }) }
    }
}

impl Encode for Governance {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch_blocks.to_le_bytes());
        out.extend_from_slice(&self.members_max.to_le_bytes());
        out.push(self.expulsions);
        out.extend_from_slice(&self.absent_epochs.to_le_bytes());
        codec::put_list(out, &self.owners);
        out.push(self.threshold);
        out.push(match self.domains {
            Domains::Open => 0,
            Domains::Approved => 1,
        });
    }
}

impl Decode for Governance {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch_blocks: reader.u32("epoch_blocks")?,
            members_max: reader.u16("members_max")?,
            expulsions: reader.byte("expulsions")?,
            absent_epochs: reader.u16("absent_epochs")?,
            owners: reader.list("owners", OWNERS_MAX, PublicKey::decode_from)?,
            threshold: reader.byte("threshold")?,
            domains: match reader.byte("domains")? {
                0 => Domains::Open,
                1 => Domains::Approved,
                tag => return Err(DecodeError::UnknownTag { field: "domains", tag }),
            },
        })
    }
}

impl Encode for Genesis {
    fn encode_to(&self, out: &mut Vec<u8>) {
        codec::put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.salt);
        codec::put_list(out, &self.members);
        out.extend_from_slice(&self.window.to_le_bytes());
        self.partitioning.encode_to(out);
        self.governance.encode_to(out);
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
        let salt = reader.array("salt")?;
        let members = reader.list("members", MEMBERS_MAX, Member::decode_from)?;
        let window = reader.u64("window")?;
        let partitioning = Partitioning::decode_from(reader)?;
        let governance = Governance::decode_from(reader)?;
        let limits = Limits::decode_from(reader)?;
        let records = reader
            .list("records", GENESIS_RECORDS_MAX, |r| Ok((Key::decode_from(r)?, r.bytes("value", VALUE_BYTES_MAX)?)))?;
        // The map below would accept any order, and two encodings of one genesis would be two clusters.
        if !records.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::NotCanonical {
                field: "records",
                why: "keys must be in strictly ascending order",
            });
        }
        let records = records.into_iter().collect();
        let genesis = Self { name, salt, members, window, partitioning, governance, limits, records };
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
