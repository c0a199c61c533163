//! Requests of the system: complaints, changes of the members, members that are ready.
//!
//! They stand in a block where a client's request may stand, and change the record `.cluster` alone. Nobody proves a
//! record for them, since every member keeps that one; nobody pays for them, so that their number and size are bounded.
//!
//! | action | who asks | what makes it count |
//! | --- | --- | --- |
//! | [`Action::Complain`] | anybody | the evidence |
//! | [`Action::Change`] | the owners, or for a new key the member itself | their signatures |
//! | [`Action::Ready`] | a member on standby | its signature, and a root that only who follows the chain knows |
//!
//! The *identity* covers everything but signatures and a complaint's path. Those can be spoilt by whoever sees the request
//! and sends it first; so what is wrong with them leaves no receipt and the identity unused. *Which* owners have signed is
//! bound, or somebody could take signatures away and have the rest refused under the same identity.

use bytes::Bytes;

use crate::Height;
use crate::block::BlockResult;
use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::committee::{Committee, Member};
use crate::evidence::{Case, Evidence};
use crate::hash::{Domain, Hash};
use crate::limits::{ADDRESS_BYTES_MAX, EVIDENCE_BYTES_MAX, HISTORY_PROOF_MAX, OWNERS_MAX, SYSTEM_BYTES_MAX};
use crate::request::{Identity, SYSTEM, SignatureRefused};
use crate::signature::{PublicKey, SecretKey, Signature, Statement};
use crate::terms::Terms;

/// A request of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemRequest {
    /// The digest of the genesis of the cluster that is meant.
    pub genesis: Hash,
    /// What is asked for.
    pub action: Action,
}

/// What a request of the system asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "few of them are ever held")]
pub enum Action {
    /// To convict a member.
    Complain(Complaint),
    /// To change the members, or who decides about them.
    Change(SignedChange),
    /// To let a member on standby vote from the next epoch on.
    Ready(Ready),
}

/// Evidence, and what it takes to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The evidence, of the same genesis as the request.
    pub evidence: Evidence,
    /// The certified result of a height that members have forgotten. For a [`Case::Result`] alone.
    pub path: Option<ResultPath>,
}

/// A result, proved under the history of a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultPath {
    /// The height whose result has the history.
    pub base: Height,
    /// The result, of the height that the evidence is about.
    pub proven: BlockResult,
    /// The inclusion proof ([`crate::history`]), from the leaf up.
    pub siblings: Vec<Hash>,
}

/// A change with what it takes to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedChange {
    /// One more than the number of changes that the owners have made; 0 for [`Change::Rotate`], which is not theirs.
    pub seq: u64,
    /// The last height at which it may be made.
    pub until: Height,
    /// What is to change.
    pub change: Change,
    /// Signatures of owners, ascending by their places; none for [`Change::Rotate`].
    pub signatures: Vec<OwnerSignature>,
}

/// A change of the members, or of who decides about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member, on standby until it is ready.
    Add(Member),
    /// A member leaves.
    Remove(PublicKey),
    /// A member stores more or less, or is elsewhere.
    Set {
        /// Its key.
        key: PublicKey,
        /// Its new capacity.
        capacity: u32,
        /// Its new address.
        address: String,
    },
    /// Other owners.
    Owners {
        /// The owners, ascending: one at least.
        owners: Vec<PublicKey>,
        /// How many of them must sign a change: one at least.
        threshold: u8,
    },
    /// What a height came to, by the owners' word: for clients that have slept for long.
    Checkpoint {
        /// The height.
        height: Height,
        /// The hash of its result as a leaf of the history.
        result: Hash,
    },
    /// A verdict is taken back.
    Pardon(PublicKey),
    /// A member has another key.
    Rotate {
        /// The key that it had.
        old: PublicKey,
        /// The key that it has from the next epoch on.
        new: PublicKey,
        /// The signature of the old key.
        by_old: Signature,
        /// The signature of the new key: nobody can claim a key that is not theirs.
        by_new: Signature,
    },
    /// Other terms, from the next epoch on.
    Terms(Terms),
}

/// The signature of an owner over a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerSignature {
    /// The owner's place in the list of owners.
    pub owner: u8,
    /// Its signature over [`SignedChange::statement`].
    pub signature: Signature,
}

/// A member on standby that has fetched what it will keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its key.
    pub key: PublicKey,
    /// A height that it has followed the chain to.
    pub height: Height,
    /// The root of the records after that height, as it has come to itself.
    pub root: Hash,
    /// Its signature over the request's identity.
    pub signature: Signature,
}

impl SystemRequest {
    /// A complaint about what the evidence shows.
    #[must_use]
    pub const fn complain(evidence: Evidence, path: Option<ResultPath>) -> Self {
        Self { genesis: evidence.genesis, action: Action::Complain(Complaint { evidence, path }) }
    }

    /// A change, signed by those of `keys` that are owners.
    #[must_use]
    pub fn change(
        genesis: Hash,
        (seq, until): (u64, Height),
        change: Change,
        owners: &[PublicKey],
        keys: &[SecretKey],
    ) -> Self {
        let mut signed = SignedChange { seq, until, change, signatures: Vec::new() };
        let statement = signed.statement(&genesis);
        keys.iter().for_each(|key| signed.put(owners, &key.public(), key.sign(&statement)));
        Self { genesis, action: Action::Change(signed) }
    }

    /// A member's word that it has another key.
    #[must_use]
    pub fn rotate(genesis: Hash, until: Height, old: &SecretKey, new: &SecretKey) -> Self {
        let of = |by_old, by_new| {
            let change = Change::Rotate { old: old.public(), new: new.public(), by_old, by_new };
            let signed = SignedChange { seq: 0, until, change, signatures: Vec::new() };
            Self { genesis, action: Action::Change(signed) }
        };
        let statement = Self::member_statement(of(Signature::NONE, Signature::NONE).identity());
        of(old.sign(&statement), new.sign(&statement))
    }

    /// The word of a member on standby that it is ready.
    #[must_use]
    pub fn ready(genesis: Hash, height: Height, root: Hash, key: &SecretKey) -> Self {
        let of = |signature| {
            let ready = Ready { key: key.public(), height, root, signature };
            Self { genesis, action: Action::Ready(ready) }
        };
        let statement = Self::member_statement(of(Signature::NONE).identity());
        of(key.sign(&statement))
    }

    /// The request's identity: the hash of its encoding without signatures and path.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let mut bytes = Vec::new();
        self.put(&mut bytes, WithWitness::Left);
        Hash::of(Domain::SystemRequest, &bytes)
    }

    /// What a member signs about itself.
    #[must_use]
    pub const fn member_statement(identity: Identity) -> Statement {
        Statement { domain: Domain::MemberSignature, digest: identity }
    }

    /// The signatures whose keys the request itself names, for [`crate::signature::verify_all`].
    pub fn signed_statements(&self, identity: Identity) -> impl Iterator<Item = (&PublicKey, Statement, &Signature)> {
        let [first, second] = match &self.action {
            Action::Ready(ready) => [Some((&ready.key, &ready.signature)), None],
            Action::Change(SignedChange { change: Change::Rotate { old, new, by_old, by_new }, .. }) => {
                [Some((old, by_old)), Some((new, by_new))]
            }
            Action::Change(_) | Action::Complain(_) => [None, None],
        };
        let statement = Self::member_statement(identity);
        first.into_iter().chain(second).map(move |(key, signature)| (key, statement, signature))
    }

    /// How many signatures have to be checked.
    #[must_use]
    pub fn signature_count(&self) -> usize {
        match &self.action {
            Action::Complain(Complaint { evidence, .. }) => match evidence.case {
                Case::Result(_) | Case::Reply(_) => 1,
                Case::Votes { .. } | Case::Results { .. } => 2,
            },
            Action::Change(SignedChange { change: Change::Rotate { .. }, .. }) => 2,
            Action::Change(signed) => signed.signatures.len(),
            Action::Ready(_) => 1,
        }
    }

    /// The keys of the signed reply that it complains of, if that is what it does: whoever judges it hashes a proof.
    #[must_use]
    pub fn signed_reply_keys(&self) -> Option<usize> {
        match &self.evidence()?.case {
            Case::Reply(reply) => Some(reply.question.keys.len()),
            Case::Votes { .. } | Case::Result(_) | Case::Results { .. } => None,
        }
    }

    /// The evidence of a complaint.
    #[must_use]
    pub const fn evidence(&self) -> Option<&Evidence> {
        match &self.action {
            Action::Complain(complaint) => Some(&complaint.evidence),
            Action::Change(_) | Action::Ready(_) => None,
        }
    }
}

impl SignedChange {
    /// What each owner signs: the change, its number, and until when it may be made.
    #[must_use]
    pub fn statement(&self, genesis: &Hash) -> Statement {
        let mut bytes = genesis.encode();
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.until.to_le_bytes());
        self.change.put(&mut bytes, WithWitness::Kept);
        Statement { domain: Domain::OwnerSignature, digest: Hash::of(Domain::OwnerSignature, &bytes) }
    }

    /// Puts in the signature of one of `owners` over [`SignedChange::statement`], whoever else has signed.
    ///
    /// # Errors
    /// [`SignatureRefused`]; nothing has changed then.
    pub fn add_signature(
        &mut self,
        genesis: &Hash,
        owners: &[PublicKey],
        (signer, signature): (&PublicKey, Signature),
    ) -> Result<(), SignatureRefused> {
        if !owners.contains(signer) {
            return Err(SignatureRefused::NoSigner(*signer));
        }
        if !signer.verify(&self.statement(genesis), &signature) {
            return Err(SignatureRefused::Forged(*signer));
        }
        self.put(owners, signer, signature);
        Ok(())
    }

    fn put(&mut self, owners: &[PublicKey], signer: &PublicKey, signature: Signature) {
        let place = owners.iter().position(|owner| owner == signer);
        let Some(owner) = place.and_then(|place| u8::try_from(place).ok()) else { return };
        match self.signatures.binary_search_by_key(&owner, |of| of.owner) {
            Ok(at) => self.signatures[at].signature = signature,
            Err(at) => self.signatures.insert(at, OwnerSignature { owner, signature }),
        }
    }

    /// Those of `owners` whose signatures it has.
    #[must_use]
    pub fn signed_by(&self, genesis: &Hash, owners: &[PublicKey]) -> Vec<PublicKey> {
        let statement = self.statement(genesis);
        let signed = |of: &OwnerSignature| {
            owners.get(usize::from(of.owner)).filter(|key| key.verify(&statement, &of.signature)).copied()
        };
        self.signatures.iter().filter_map(signed).collect()
    }

    fn check(&self) -> Result<(), DecodeError> {
        let places: Vec<u8> = self.signatures.iter().map(|signature| signature.owner).collect();
        codec::ascending("owners' signatures", &places)?;
        let theirs = !matches!(self.change, Change::Rotate { .. });
        if theirs || (self.seq == 0 && self.signatures.is_empty()) {
            return self.change.check();
        }
        Err(invalid("rotation", "it is no change of the owners: its number is 0, and none of them signs it"))
    }
}

impl Change {
    /// The rules that need no state.
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Add(member) => check_new(member),
            Self::Owners { owners, threshold } => {
                codec::ascending("owners", owners)?;
                owners.iter().try_for_each(check_key)?;
                // Nobody could change anything any more: too easily done by mistake.
                let possible = (1..=owners.len()).contains(&usize::from(*threshold));
                if possible {
                    Ok(())
                } else {
                    Err(invalid("threshold", "from 1 to the number of owners, which are 1 or more"))
                }
            }
            Self::Rotate { old, new, .. } if old == new => Err(invalid("rotation", "the new key is the old one")),
            Self::Rotate { new, .. } => check_key(new),
            Self::Remove(_) | Self::Set { .. } | Self::Checkpoint { .. } | Self::Pardon(_) | Self::Terms(_) => Ok(()),
        }
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Add(_) => 0,
            Self::Remove(_) => 1,
            Self::Set { .. } => 2,
            Self::Owners { .. } => 3,
            Self::Checkpoint { .. } => 4,
            Self::Pardon(_) => 5,
            Self::Rotate { .. } => 6,
            Self::Terms(_) => 7,
        }
    }

    fn put(&self, out: &mut Vec<u8>, witness: WithWitness) {
        out.push(self.tag());
        match self {
            Self::Add(member) => member.encode_to(out),
            Self::Remove(key) | Self::Pardon(key) => key.encode_to(out),
            Self::Set { key, capacity, address } => {
                key.encode_to(out);
                out.extend_from_slice(&capacity.to_le_bytes());
                codec::put_bytes(out, address.as_bytes());
            }
            Self::Owners { owners, threshold } => {
                codec::put_list(out, owners);
                out.push(*threshold);
            }
            Self::Checkpoint { height, result } => {
                out.extend_from_slice(&height.to_le_bytes());
                result.encode_to(out);
            }
            Self::Terms(terms) => terms.encode_to(out),
            Self::Rotate { old, new, by_old, by_new } => {
                old.encode_to(out);
                new.encode_to(out);
                // A signer can make any number of signatures of one change: were they part of its identity, it would have many.
                if witness == WithWitness::Kept {
                    by_old.encode_to(out);
                    by_new.encode_to(out);
                }
            }
        }
    }
}

/// A member begins with its first key, and as one that alone would be a committee.
fn check_new(member: &Member) -> Result<(), DecodeError> {
    if member.id != member.public_key || member.previous.is_some() {
        return Err(invalid("new member", "its id is its key, and it has no key before"));
    }
    let alone = Committee::new(vec![member.clone()]);
    alone.map(drop).map_err(|e| DecodeError::Invalid { field: "new member", why: e.to_string() })
}

/// Nobody comes in with a key for which anybody could sign.
fn check_key(key: &PublicKey) -> Result<(), DecodeError> {
    if key.is_sound() {
        Ok(())
    } else {
        Err(invalid("key", "it is no point of the curve, or of small order: anybody could sign for it"))
    }
}

fn invalid(field: &'static str, why: &str) -> DecodeError {
    DecodeError::Invalid { field, why: why.into() }
}

/// Whether what the identity does not bind is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithWitness {
    Kept,
    Left,
}

impl SystemRequest {
    fn put(&self, out: &mut Vec<u8>, witness: WithWitness) {
        out.extend_from_slice(&[SYSTEM, self.action.tag()]);
        self.genesis.encode_to(out);
        // Left out of the identity: signatures, and the path to a result, of which there can be others for the same request.
        let kept = witness == WithWitness::Kept;
        match &self.action {
            Action::Complain(Complaint { evidence, path }) => {
                codec::put_bytes(out, &evidence.encode());
                if kept {
                    codec::put_option(out, path.as_ref(), |out, path| path.encode_to(out));
                }
            }
            Action::Change(SignedChange { seq, until, change, signatures }) => {
                out.extend_from_slice(&seq.to_le_bytes());
                out.extend_from_slice(&until.to_le_bytes());
                change.put(out, witness);
                codec::put_count(out, signatures.len());
                for OwnerSignature { owner, signature } in signatures {
                    out.push(*owner);
                    if kept {
                        signature.encode_to(out);
                    }
                }
            }
            Action::Ready(Ready { key, height, root, signature }) => {
                key.encode_to(out);
                out.extend_from_slice(&height.to_le_bytes());
                root.encode_to(out);
                if kept {
                    signature.encode_to(out);
                }
            }
        }
    }
}

impl Action {
    const fn tag(&self) -> u8 {
        match self {
            Self::Complain(_) => 0,
            Self::Change(_) => 1,
            Self::Ready(_) => 2,
        }
    }
}

impl Encode for SystemRequest {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.put(out, WithWitness::Kept);
    }
}

impl Decode for SystemRequest {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.byte("kind of request")? {
            SYSTEM => {}
            tag => return Err(DecodeError::UnknownTag { field: "kind of request", tag }),
        }
        let action = reader.byte("action of the system")?;
        let genesis = Hash::decode_from(reader)?;
        let action = match action {
            0 => Action::Complain(Complaint::decode_of(reader, &genesis)?),
            1 => Action::Change(SignedChange::decode_from(reader)?),
            2 => Action::Ready(Ready::decode_from(reader)?),
            tag => return Err(DecodeError::UnknownTag { field: "action of the system", tag }),
        };
        Ok(Self { genesis, action })
    }

    fn decode_shared(bytes: Bytes) -> Result<Self, DecodeError> {
        codec::decode_within("request of the system", bytes, SYSTEM_BYTES_MAX)
    }
}

impl Complaint {
    fn decode_of(reader: &mut Reader, genesis: &Hash) -> Result<Self, DecodeError> {
        let evidence = Evidence::decode_shared(reader.bytes("evidence", EVIDENCE_BYTES_MAX)?)?;
        if evidence.genesis != *genesis {
            return Err(invalid("evidence", "it is of another cluster than the complaint"));
        }
        let path = reader.option("path", ResultPath::decode_from)?;
        if let Some(path) = &path {
            let height = path.proven.height;
            if evidence.needs() != Some(height) || height >= path.base {
                return Err(invalid("path", "it proves an older result for evidence that is judged by that"));
            }
        }
        Ok(Self { evidence, path })
    }
}

impl Encode for ResultPath {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base.to_le_bytes());
        self.proven.encode_to(out);
        codec::put_list(out, &self.siblings);
    }
}

impl Decode for ResultPath {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            base: reader.u64("base")?,
            proven: BlockResult::decode_from(reader)?,
            siblings: reader.list("siblings", HISTORY_PROOF_MAX, Hash::decode_from)?,
        })
    }
}

impl Decode for SignedChange {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        let signed = Self {
            seq: reader.u64("seq")?,
            until: reader.u64("until")?,
            change: Change::decode_from(reader)?,
            signatures: reader.list("owners' signatures", OWNERS_MAX, |r| {
                Ok(OwnerSignature { owner: r.byte("owner")?, signature: Signature::decode_from(r)? })
            })?,
        };
        signed.check()?;
        Ok(signed)
    }
}

impl Decode for Change {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.byte("change")? {
            0 => Self::Add(Member::decode_from(reader)?),
            1 => Self::Remove(PublicKey::decode_from(reader)?),
            2 => Self::Set {
                key: PublicKey::decode_from(reader)?,
                capacity: reader.u32("member capacity")?,
                address: reader.string("member address", ADDRESS_BYTES_MAX)?,
            },
            3 => Self::Owners {
                owners: reader.list("owners", OWNERS_MAX, PublicKey::decode_from)?,
                threshold: reader.byte("threshold")?,
            },
            4 => Self::Checkpoint { height: reader.u64("checkpoint height")?, result: Hash::decode_from(reader)? },
            5 => Self::Pardon(PublicKey::decode_from(reader)?),
            6 => Self::Rotate {
                old: PublicKey::decode_from(reader)?,
                new: PublicKey::decode_from(reader)?,
                by_old: Signature::decode_from(reader)?,
                by_new: Signature::decode_from(reader)?,
            },
            7 => Self::Terms(Terms::decode_from(reader)?),
            // Not skipped: a member of an older version must not vote for a block whose changes it does not understand.
            tag => return Err(DecodeError::UnknownTag { field: "change", tag }),
        })
    }
}

impl Decode for Ready {
    fn decode_from(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: PublicKey::decode_from(reader)?,
            height: reader.u64("height")?,
            root: Hash::decode_from(reader)?,
            signature: Signature::decode_from(reader)?,
        })
    }
}
