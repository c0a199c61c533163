//! The record `.cluster`: who the members are, who decides about them, and what was decided.
//!
//! Every member keeps it, whatever else it keeps, and no operation can write it. It changes by requests of the system
//! ([`crate::system`]) and at the end of an epoch; how is in `pleach-state`.

use crate::Height;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::{Committee, CommitteeError, Member, faults};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::key::Key;
use crate::limits::{MEMBERS_MAX, OWNERS_MAX, VERDICTS_MAX};
use crate::signature::PublicKey;
use crate::terms::Terms;

/// What the record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRecord {
    /// How many changes the owners have made.
    pub seq: u64,
    /// The members that certify the next block, ascending by key.
    pub members: Vec<Member>,
    /// The members of the next epoch, ascending by key.
    pub next: Vec<Member>,
    /// Members that follow and fetch what they will keep, but do not vote yet, ascending by key.
    pub standby: Vec<Member>,
    /// Who may change the members, ascending.
    pub owners: Vec<PublicKey>,
    /// How many owners must sign a change.
    pub threshold: u8,
    /// How many members may be expelled without the owners, between two acts of theirs.
    pub cap: u8,
    /// How many have been.
    pub unasked: u8,
    /// Members that were convicted, ascending by key.
    pub verdicts: Vec<ConvictedMember>,
    /// The terms of the next block.
    pub terms: Terms,
    /// The terms of the next epoch.
    pub next_terms: Terms,
    /// The members in force that have led no block of the present epoch so far, ascending by id. Empty where genesis says that
    /// nobody leaves for that.
    pub absences: Vec<Absence>,
}

/// How long a member has led no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The id of the member, which it keeps with another key.
    pub id: PublicKey,
    /// Whole epochs, one after the other, in which it missed turns and led nothing. An epoch in which it had no turn does not count, and ends
    /// nothing.
    pub epochs: u16,
    /// Whether it has missed a turn in the present epoch.
    pub missed: bool,
}

impl Absence {
    /// Nothing is known of a member yet.
    #[must_use]
    pub const fn none(id: PublicKey) -> Self {
        Self { id, epochs: 0, missed: false }
    }
}

/// A member that evidence has convicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvictedMember {
    /// Its key.
    pub key: PublicKey,
    /// The kind of the evidence.
    pub kind: u8,
    /// The digest of the evidence.
    pub evidence: Hash,
    /// The height that convicted it.
    pub height: Height,
    /// Whether it was taken out of the next set for it.
    pub removed: bool,
}

/// How many members may be expelled without the owners, where the next set has so many: as many as may be faulty; never
/// so many that a prefix could lose all of its keepers (K of them); and no more than the terms allow.
#[must_use]
pub fn expulsion_cap(genesis: &Genesis, terms: &Terms, members: usize) -> u8 {
    let spare = genesis.partitioning.replicas.saturating_sub(1).into();
    let cap = faults(members).min(spare).min(terms.expulsions.into());
    u8::try_from(cap).unwrap_or(u8::MAX)
}

impl ClusterRecord {
    /// The key of the record.
    #[must_use]
    pub fn key() -> Key {
        Key::cluster()
    }

    /// What the record says at height 0.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let (governance, terms) = (&genesis.governance, Terms::genesis(genesis));
        Self {
            seq: 0,
            members: genesis.members.clone(),
            next: genesis.members.clone(),
            standby: Vec::new(),
            owners: governance.owners.clone(),
            threshold: governance.threshold,
            cap: expulsion_cap(genesis, &terms, genesis.members.len()),
            unasked: 0,
            verdicts: Vec::new(),
            terms,
            next_terms: terms,
            absences: Self::absences_of(genesis, &genesis.members, &[]),
        }
    }

    /// The absences that an epoch of these members begins with, given those that the one before has ended with.
    #[must_use]
    pub fn absences_of(genesis: &Genesis, members: &[Member], before: &[Absence]) -> Vec<Absence> {
        if genesis.governance.absent_epochs == 0 {
            return Vec::new();
        }
        let known = |id: &PublicKey| before.iter().find(|absence| absence.id == *id).copied();
        let mut absences: Vec<_> =
            members.iter().map(|member| known(&member.id).unwrap_or(Absence::none(member.id))).collect();
        absences.sort_unstable_by_key(|absence| absence.id);
        absences
    }

    /// The members that certify the next block.
    ///
    /// # Errors
    /// If they are no committee: what a state machine has written is one.
    pub fn committee(&self) -> Result<Committee, CommitteeError> {
        Committee::new(self.members.clone())
    }

    /// The members of the next epoch.
    ///
    /// # Errors
    /// As [`ClusterRecord::committee`].
    pub fn next_committee(&self) -> Result<Committee, CommitteeError> {
        Committee::new(self.next.clone())
    }
}

impl Encode for ClusterRecord {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seq.to_le_bytes());
        codec::put_list(out, &self.members);
        codec::put_list(out, &self.next);
        codec::put_list(out, &self.standby);
        codec::put_list(out, &self.owners);
        out.extend_from_slice(&[self.threshold, self.cap, self.unasked]);
        codec::put_list(out, &self.verdicts);
        self.terms.encode_to(out);
        self.next_terms.encode_to(out);
        codec::put_list(out, &self.absences);
    }
}

impl Decode for ClusterRecord {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let cluster = Self {
            seq: reader.u64("seq")?,
            members: reader.list("members", MEMBERS_MAX, Member::decode_from)?,
            next: reader.list("next members", MEMBERS_MAX, Member::decode_from)?,
            standby: reader.list("standby members", MEMBERS_MAX, Member::decode_from)?,
            owners: reader.list("owners", OWNERS_MAX, PublicKey::decode_from)?,
            threshold: reader.byte("threshold")?,
            cap: reader.byte("cap")?,
            unasked: reader.byte("unasked")?,
            verdicts: reader.list("verdicts", VERDICTS_MAX, ConvictedMember::decode_from)?,
            terms: Terms::decode_from(reader)?,
            next_terms: Terms::decode_from(reader)?,
            absences: reader.list("absences", MEMBERS_MAX, Absence::decode_from)?,
        };
        // One order for each set, so that a record has one encoding; a key that stands twice would count twice towards a quorum.
        let keys = |members: &[Member]| members.iter().map(|member| member.public_key).collect::<Vec<_>>();
        codec::ascending("members", &keys(&cluster.members))?;
        codec::ascending("next members", &keys(&cluster.next))?;
        codec::ascending("standby members", &keys(&cluster.standby))?;
        codec::ascending("owners", &cluster.owners)?;
        codec::ascending("verdicts", &cluster.verdicts.iter().map(|verdict| verdict.key).collect::<Vec<_>>())?;
        codec::ascending("absences", &cluster.absences.iter().map(|absence| absence.id).collect::<Vec<_>>())?;
        Ok(cluster)
    }
}

impl Encode for ConvictedMember {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.key.encode_to(out);
        out.push(self.kind);
        self.evidence.encode_to(out);
        out.extend_from_slice(&self.height.to_le_bytes());
        out.push(self.removed.into());
    }
}

impl Decode for ConvictedMember {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: PublicKey::decode_from(reader)?,
            kind: reader.byte("evidence kind")?,
            evidence: Hash::decode_from(reader)?,
            height: reader.u64("verdict height")?,
            removed: flag(reader, "removed")?,
        })
    }
}

impl Encode for Absence {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.id.encode_to(out);
        out.extend_from_slice(&self.epochs.to_le_bytes());
        out.push(self.missed.into());
    }
}

impl Decode for Absence {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: PublicKey::decode_from(reader)?,
            epochs: reader.u16("absent epochs")?,
            missed: flag(reader, "missed")?,
        })
    }
}

fn flag(reader: &mut Reader, field: &'static str) -> Result<bool, DecodeError> {
    match reader.byte(field)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(DecodeError::UnknownTag { field, tag }),
    }
}
