//! What requests of the system do to the record `.cluster` (`docs/protocol.md` has the same rules in its own words). Pure.
//!
//! Three kinds of ends, in this order:
//!
//! 1. *void*, without a receipt: evidence that the chain's own memory does not bear out, a path that proves nothing, the
//!    signature of an owner that does not hold. None of that is bound by the identity, or it is nobody's fault.
//! 2. *refused* for the first reason that applies, in the order of [`SystemRefusal`].
//! 3. *granted*: another record, which the next request sees.
//!
//! Members and terms change at the end of an epoch alone: what is decided in a block changes the *next* set, and at the start of the
//! last block of an epoch the next set, and the next terms, become those in force.

mod prepared;

use std::collections::BTreeSet;

use pleach_types::cluster::{ConvictedMember, expulsion_cap};
use pleach_types::codec::{self, Encode};
use pleach_types::committee::CommitteeError;
use pleach_types::history::{check_inclusion, leaf};
use pleach_types::limits::VERDICTS_MAX;
use pleach_types::system::{Action, Change, Complaint, OwnerSignature, Ready, SignedChange, SystemRequest};
use pleach_types::{
    BlockResult, CallOutput, ClusterRecord, Committee, Event, Evidence, Genesis, Hash, Height, Member, PublicKey,
    SystemRefusal, Void,
};

use crate::results::ResultHistory;

pub use prepared::PreparedSystem;

/// The topic of the event that a member was convicted and leaves for it.
pub const EXPELLED: &[u8] = b"pleach/expelled";
/// The topic of the event that a member was convicted and stays until the owners decide.
pub const CONVICTED: &[u8] = b"pleach/convicted";
/// The topic of the event that the owners vouch for a result.
pub const CHECKPOINT: &[u8] = b"pleach/checkpoint";

/// The record of the cluster, with the committees that it names.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) record: ClusterRecord,
    pub(crate) committee: Committee,
    pub(crate) next: Committee,
}

impl ClusterState {
    pub(crate) fn new(record: ClusterRecord) -> Result<Self, CommitteeError> {
        Ok(Self { committee: record.committee()?, next: record.next_committee()?, record })
    }
}

/// What a request is decided by, beside the record.
#[derive(Clone, Copy)]
pub(crate) struct DecisionGround<'a> {
    pub(crate) genesis: &'a Genesis,
    pub(crate) digest: &'a Hash,
    /// The height of the block that holds it.
    pub(crate) height: Height,
    /// The results of the heights before.
    pub(crate) results: &'a ResultHistory,
}

/// What a granted request leads to.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) record: ClusterRecord,
    pub(crate) output: CallOutput,
}

impl Granted {
    const fn silent(record: ClusterRecord) -> Self {
        Self { record, output: CallOutput { output: bytes::Bytes::new(), events: Vec::new() } }
    }
}

/// The record as a block of this height finds it, if that is another one: the last block of an epoch begins with the next
/// members and terms in force, so that it is certified by the ones before and carried by one that they certify.
pub(crate) fn at_start(record: &ClusterRecord, genesis: &Genesis, height: Height) -> Option<ClusterRecord> {
    let changes = record.members != record.next || record.terms != record.next_terms;
    let turned = || ClusterRecord { members: record.next.clone(), terms: record.next_terms, ..record.clone() };
    (ends_epoch(genesis, height) && changes).then(turned)
}

/// Whether a height is the last one of its epoch.
pub(crate) fn ends_epoch(genesis: &Genesis, height: Height) -> bool {
    let length = u64::from(genesis.governance.epoch_blocks);
    height.checked_rem(length).is_some_and(|at| at == length - 1)
}

/// Decides a request whose bytes are in order.
///
/// # Errors
/// Why it is void.
pub(crate) fn decide(
    record: &ClusterRecord,
    ground: DecisionGround<'_>,
    request: &SystemRequest,
) -> Result<Result<Granted, SystemRefusal>, Void> {
    match &request.action {
        Action::Complain(complaint) => {
            check_complaint(ground, complaint)?;
            Ok(convict(record, ground, &complaint.evidence))
        }
        Action::Change(signed) => {
            check_owners(record, ground, signed)?;
            Ok(change(record, ground, signed))
        }
        Action::Ready(one) => Ok(ready(record, ground, one).map(Granted::silent)),
    }
}

/// Compares a stated result with the chain's own memory, or with what is proved to be part of it. All other evidence was
/// judged with the bytes of the request.
fn check_complaint(ground: DecisionGround<'_>, Complaint { evidence, path }: &Complaint) -> Result<(), Void> {
    let Some(height) = evidence.needs() else { return Ok(()) };
    let certified: Option<&BlockResult> = match (ground.results.get(height), path) {
        (Some(own), _) => Some(own),
        (None, None) => None,
        (None, Some(path)) => {
            let base = ground.results.get(path.base);
            let base = base.ok_or_else(|| Void::PathInvalid(format!("height {} is not remembered", path.base)))?;
            check_inclusion(&leaf(&path.proven), height, path.base, &path.siblings, &base.history)
                .map_err(|e| Void::PathInvalid(e.to_string()))?;
            Some(&path.proven)
        }
    };
    evidence.judge(ground.digest, certified).map(drop).map_err(Void::NotProven)
}

/// Who is accused.
pub(crate) struct Accused {
    id: PublicKey,
    /// All keys of the member: the one that it signed with, and those that it has had since.
    keys: BTreeSet<PublicKey>,
}

/// Looks for the member that evidence is about.
///
/// # Errors
/// If it is nobody, or has been convicted. A verdict that takes nobody out stands in the way of no evidence that does: else a Byzantine member would have
/// itself convicted of the lesser fault, and stay whatever it does afterwards.
pub(crate) fn accused(record: &ClusterRecord, evidence: &Evidence) -> Result<Accused, SystemRefusal> {
    let key = &evidence.accused;
    let id = meant(record, key).ok_or(SystemRefusal::NotAMember)?;
    let own = everybody(record).filter(|member| member.id == id).map(|member| member.public_key);
    let keys: BTreeSet<PublicKey> = own.chain([*key]).collect();
    let mut before = record.verdicts.iter().filter(|verdict| keys.contains(&verdict.key));
    if before.any(|verdict| !evidence.expels() || Evidence::kind_expels(verdict.kind)) {
        return Err(SystemRefusal::AlreadyConvicted);
    }
    Ok(Accused { id, keys })
}

/// Convicts whom proven evidence accuses, and takes it out of the next set while that may happen without the owners.
fn convict(record: &ClusterRecord, ground: DecisionGround<'_>, evidence: &Evidence) -> Result<Granted, SystemRefusal> {
    let Accused { id, keys } = accused(record, evidence)?;
    // What it was convicted of before is the lesser.
    let mut heard = record.clone();
    heard.verdicts.retain(|verdict| !keys.contains(&verdict.key));
    let record = &heard;
    if record.verdicts.len() + keys.len() > VERDICTS_MAX {
        return Err(SystemRefusal::SetSize);
    }
    let mut without = record.clone();
    without.next.retain(|member| member.id != id);
    without.standby.retain(|member| member.id != id);
    without.unasked = record.unasked.saturating_add(1);
    let leaves = (&without.next, &without.standby) != (&record.next, &record.standby);
    let may_leave = evidence.expels() && record.unasked < record.cap;
    let removed = leaves && may_leave && keeps_data(&without, ground.genesis);
    let mut after = if removed { without } else { record.clone() };
    let verdict = |key| ConvictedMember {
        key,
        kind: evidence.kind(),
        evidence: evidence.digest(),
        height: ground.height,
        removed,
    };
    let verdicts: Vec<_> = keys.into_iter().map(verdict).collect();
    after.verdicts.extend(&verdicts);
    after.verdicts.sort_unstable_by_key(|verdict| verdict.key);
    let mut output = Vec::new();
    codec::put_list(&mut output, &verdicts);
    let event = event(if removed { EXPELLED } else { CONVICTED }, evidence.accused.encode());
    Ok(Granted { record: after, output: CallOutput { output: output.into(), events: vec![event] } })
}

fn event(topic: &'static [u8], data: Vec<u8>) -> Event {
    Event { topic: topic.into(), data: data.into() }
}

/// All entries of members: those to come, then those in force, then those on standby.
fn everybody(record: &ClusterRecord) -> impl Iterator<Item = &Member> {
    record.next.iter().chain(&record.members).chain(&record.standby)
}

/// The id of the member that a key means: who has it, or else who had it before its present one.
fn meant(record: &ClusterRecord, key: &PublicKey) -> Option<PublicKey> {
    let has = everybody(record).find(|member| member.public_key == *key);
    let had = || everybody(record).find(|member| member.previous == Some(*key));
    has.or_else(had).map(|member| member.id)
}

fn is_convicted(record: &ClusterRecord, key: &PublicKey) -> bool {
    record.verdicts.binary_search_by_key(key, |verdict| verdict.key).is_ok()
}

fn has(members: &[Member], key: &PublicKey) -> bool {
    members.binary_search_by_key(key, |member| member.public_key).is_ok()
}

/// Whether each record is sure to keep a keeper when the next members take over, and somebody stores something: of the members in
/// force that store, fewer leave at once than there are copies.
///
/// The others copy what those who leave have kept, and how far they are the chain does not know. So the cap on members that leave
/// without the owners holds over all epochs until the owners act; and the owners look at the copies before they do.
pub(crate) fn keeps_data(record: &ClusterRecord, genesis: &Genesis) -> bool {
    let stay: BTreeSet<_> = record.next.iter().map(|member| member.id).collect();
    let storing = record.members.iter().filter(|member| member.capacity > 0);
    let copies = storing.clone().count().min(genesis.partitioning.replicas.into());
    let missing = storing.filter(|member| !stay.contains(&member.id)).count();
    missing <= copies.saturating_sub(1) && record.next.iter().any(|member| member.capacity > 0)
}

/// Whether the next members and those on standby are lists that may be.
fn are_lists(record: &ClusterRecord, genesis: &Genesis) -> bool {
    let most = usize::from(genesis.governance.members_max);
    let sizes = (1..=most).contains(&record.next.len()) && record.standby.len() <= most;
    // What the result of the height is made of: no rule of it may be broken, whatever was checked before.
    sizes && record.next_committee().is_ok()
}

/// The keys of a member, present, first and last; not each once.
fn keys_of(member: &Member) -> impl Iterator<Item = PublicKey> {
    [member.public_key, member.id].into_iter().chain(member.previous)
}

/// Checks that owners have signed where the request says so. A stranger could have put other signatures there.
fn check_owners(record: &ClusterRecord, ground: DecisionGround<'_>, signed: &SignedChange) -> Result<(), Void> {
    let statement = signed.statement(ground.digest);
    let forged = signed.signatures.iter().find(|OwnerSignature { owner, signature }| {
        !record.owners.get(usize::from(*owner)).is_some_and(|key| key.verify(&statement, signature))
    });
    forged.map_or(Ok(()), |forged| Err(Void::OwnerSignature { owner: forged.owner }))
}

fn change(record: &ClusterRecord, ground: DecisionGround<'_>, signed: &SignedChange) -> Result<Granted, SystemRefusal> {
    let theirs = !matches!(signed.change, Change::Rotate { .. });
    if !is_about_a_member(record, &signed.change) {
        return Err(SystemRefusal::NotAMember);
    }
    if theirs && record.seq.checked_add(1) != Some(signed.seq) {
        return Err(SystemRefusal::OutOfSequence);
    }
    if ground.height > signed.until {
        return Err(SystemRefusal::Overdue);
    }
    // A threshold of 0 means that there is no owner, not that nobody need be asked.
    if theirs && (record.threshold == 0 || signed.signatures.len() < usize::from(record.threshold)) {
        return Err(SystemRefusal::TooFewOwners);
    }
    if brings_in_a_convict(record, &signed.change) {
        return Err(SystemRefusal::KeyConvicted);
    }
    let mut after = changed(record, &signed.change);
    if !keeps_data(&after, ground.genesis) {
        return Err(SystemRefusal::WouldLoseData);
    }
    if is_taken(record, &signed.change) || !are_lists(&after, ground.genesis) {
        return Err(SystemRefusal::SetSize);
    }
    if contradicts(ground, &signed.change) {
        return Err(SystemRefusal::NotReady);
    }
    if are_bad_terms(record, ground.genesis, &signed.change) {
        return Err(SystemRefusal::BadTerms);
    }
    if theirs {
        after.seq = signed.seq;
        after.cap = expulsion_cap(ground.genesis, &after.next_terms, after.next.len());
        after.unasked = 0;
    }
    let mut granted = Granted::silent(after);
    if let Change::Checkpoint { height, result } = &signed.change {
        granted.output.events = vec![event(CHECKPOINT, [&height.to_le_bytes(), &result.0[..]].concat())];
    }
    Ok(granted)
}

/// Whether there is a member as the change means it. Only a key in force is replaced: with two new ones in one epoch,
/// what was signed with the first would accuse nobody any more.
fn is_about_a_member(record: &ClusterRecord, change: &Change) -> bool {
    match change {
        Change::Remove(key) | Change::Set { key, .. } => has(&record.next, key) || has(&record.standby, key),
        Change::Pardon(key) => is_convicted(record, key),
        Change::Rotate { old, .. } => has(&record.members, old) && has(&record.next, old),
        Change::Add(_) | Change::Owners { .. } | Change::Checkpoint { .. } | Change::Terms(_) => true,
    }
}

fn brings_in_a_convict(record: &ClusterRecord, change: &Change) -> bool {
    match change {
        Change::Add(member) => is_convicted(record, &member.public_key),
        Change::Rotate { old, new, .. } => is_convicted(record, old) || is_convicted(record, new),
        Change::Remove(_)
        | Change::Set { .. }
        | Change::Owners { .. }
        | Change::Checkpoint { .. }
        | Change::Pardon(_)
        | Change::Terms(_) => false,
    }
}

/// Whether a name or a key that a change brings in is another's, or was. A new key of a member may not be one of its own
/// old ones either, or evidence would no longer tell one from the other.
fn is_taken(record: &ClusterRecord, change: &Change) -> bool {
    match change {
        Change::Add(new) => record
            .next
            .iter()
            .chain(&record.standby)
            .any(|member| member.name == new.name || keys_of(member).any(|key| key == new.public_key)),
        Change::Rotate { new, .. } => everybody(record).flat_map(keys_of).any(|key| key == *new),
        _ => false,
    }
}

/// Whether the owners vouch for a result that is none, or not the one that this cluster remembers.
fn contradicts(ground: DecisionGround<'_>, change: &Change) -> bool {
    match change {
        Change::Checkpoint { height, result } => {
            *height >= ground.height || ground.results.get(*height).is_some_and(|own| leaf(own) != *result)
        }
        _ => false,
    }
}

/// Whether terms are out of range, or lead back to rules of before. A version that is decided and not in force yet may be taken
/// back; one that this program does not know may be decided, since all programs have to decide alike.
fn are_bad_terms(record: &ClusterRecord, genesis: &Genesis, change: &Change) -> bool {
    match change {
        Change::Terms(terms) => terms.rules < record.terms.rules || terms.check(&genesis.limits).is_err(),
        _ => false,
    }
}

/// The record with a change made, whether it may be or not.
fn changed(record: &ClusterRecord, change: &Change) -> ClusterRecord {
    let mut after = record.clone();
    match change {
        Change::Add(member) => insert(&mut after.standby, member.clone()),
        Change::Remove(key) => {
            after.next.retain(|member| member.public_key != *key);
            after.standby.retain(|member| member.public_key != *key);
        }
        Change::Set { key, capacity, address } => {
            let lists = after.next.iter_mut().chain(&mut after.standby);
            for member in lists.filter(|member| member.public_key == *key) {
                (member.capacity, member.address) = (*capacity, address.clone());
            }
        }
        Change::Owners { owners, threshold } => (after.owners, after.threshold) = (owners.clone(), *threshold),
        // Ordered for its event alone.
        Change::Checkpoint { .. } => {}
        Change::Terms(terms) => after.next_terms = *terms,
        Change::Pardon(key) => after.verdicts.retain(|verdict| verdict.key != *key),
        Change::Rotate { old, new, .. } => {
            let place = after.next.iter().position(|member| member.public_key == *old);
            if let Some(place) = place {
                let member = after.next.remove(place);
                insert(&mut after.next, Member { public_key: *new, previous: Some(*old), ..member });
            }
        }
    }
    after
}

fn insert(members: &mut Vec<Member>, member: Member) {
    let place = members.partition_point(|other| other.public_key < member.public_key);
    members.insert(place, member);
}

/// Lets a member on standby into the next set.
fn ready(record: &ClusterRecord, ground: DecisionGround<'_>, ready: &Ready) -> Result<ClusterRecord, SystemRefusal> {
    let place = record.standby.binary_search_by_key(&ready.key, |member| member.public_key);
    let place = place.map_err(|_| SystemRefusal::NotAMember)?;
    if is_convicted(record, &ready.key) {
        return Err(SystemRefusal::KeyConvicted);
    }
    let mut after = record.clone();
    let member = after.standby.remove(place);
    insert(&mut after.next, member);
    if !are_lists(&after, ground.genesis) {
        return Err(SystemRefusal::SetSize);
    }
    match ground.results.get(ready.height) {
        Some(own) if own.root == ready.root => Ok(after),
        _ => Err(SystemRefusal::NotReady),
    }
}
