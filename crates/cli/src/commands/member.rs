//! `pleach member`: the record of the cluster, read with proof, and the changes that its owners make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pleach_client::{Client, Trust, Verified};
use pleach_types::api::{ReceiptView, Status};
use pleach_types::cluster::Absence;
use pleach_types::limits::OWNERS_MAX;
use pleach_types::system::Change;
use pleach_types::{
    ClusterRecord, Committee, Encode as _, Genesis, Hash, Height, Identity, Member, Partitioning, Placement, PublicKey,
    Receipt, SecretKey, SystemRequest, Terms, address,
};
use serde::Serialize;

use super::connected::with_cluster;
use super::prepared;
use super::sending::receipt_line;
use super::status::copies_missing;
use crate::args::{Global, MemberAdd, MemberCapacity, MemberChange, MemberMove, MemberRemove, OwnerSet, OwnersSign};
use crate::descriptions;
use crate::errors::{CliError, Ending};
use crate::files::{self, NewFile};
use crate::output::{Output, row, table};

#[derive(Serialize)]
struct ListDocument {
    height: Height,
    trust: Trust,
    changes: u64,
    members: Vec<MemberView>,
    next: Vec<MemberView>,
    standby: Vec<MemberView>,
    verdicts: Vec<VerdictView>,
    owners: Vec<PublicKey>,
    threshold: u8,
    terms: Terms,
    next_terms: Terms,
    /// How many members may still leave without the owners, by evidence or for absence, before these have to decide.
    expulsions_left: u8,
    absences: Vec<AbsentMemberView>,
}

/// A member that has led no block for whole epochs.
#[derive(Serialize)]
struct AbsentMemberView {
    id: PublicKey,
    epochs: u16,
}

#[derive(Serialize)]
struct MemberView {
    name: String,
    id: PublicKey,
    public_key: PublicKey,
    capacity: u32,
    address: String,
    /// How far one on standby is, if its node was asked: what it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    copied: Option<Copied>,
}

/// How far a member on standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Copied {
    /// Prefixes that it keeps.
    prefixes: u64,
    /// Prefixes that it is to keep before it is in force.
    of: u64,
}

#[derive(Serialize)]
struct VerdictView {
    public_key: PublicKey,
    kind: u8,
    evidence: Hash,
    height: Height,
    removed: bool,
}

#[derive(Serialize)]
struct ChangeDocument {
    member: String,
    public_key: PublicKey,
    identity: Identity,
    trust: Trust,
    receipt: ReceiptView,
    message: String,
}

/// A change, and whom it is about.
pub(super) struct Meant {
    pub(super) name: String,
    pub(super) key: PublicKey,
    pub(super) change: Change,
}

impl Meant {
    /// A change of the next member or the one on standby with this name or key.
    fn of(record: &ClusterRecord, what: &str, change: impl Fn(&Member) -> Change) -> Result<Self, CliError> {
        let members: Vec<_> = record.next.iter().chain(&record.standby).collect();
        let found = members.iter().find(|member| is_called(member, what));
        let found =
            found.map(|member| Self { name: member.name.clone(), key: member.public_key, change: change(member) });
        found.ok_or_else(|| nobody(what, "a next member or on standby", members.iter().map(|m| m.name.clone())))
    }
}

/// Another capacity of a member; its address stays.
fn with_capacity(member: &Member, capacity: u32) -> Change {
    Change::Set { key: member.public_key, capacity, address: member.address.clone() }
}

/// Prints the record.
pub fn list(global: &Global, output: Output) -> Result<Ending, CliError> {
    let (record, copied) = with_cluster(global, |client| async move {
        let record = client.cluster().await?;
        let statuses: Vec<_> = if record.standby.is_empty() {
            Vec::new()
        } else {
            client.statuses().await.into_iter().flatten().collect()
        };
        let copied = copied(&record, client.genesis().partitioning, &statuses);
        Ok((record, copied))
    })?;
    output.data("pleach.member-list/1", &document(&record, &copied), || text(&record, &copied))?;
    Ok(Ending::Done)
}

/// Has the owners add a member.
pub fn add(global: &Global, output: Output, args: &MemberAdd) -> Result<Ending, CliError> {
    let described = descriptions::read(&args.file)?;
    let new = described.member();
    let meant = |record: &ClusterRecord| {
        check_is_new(record, &new, &args.file)?;
        Ok(Meant { name: new.name.clone(), key: new.public_key, change: Change::Add(new.clone()) })
    };
    let done = |meant: &Meant, genesis: &Genesis, height| {
        let (name, last) = (&meant.name, last_height(genesis, height));
        format!(
            "{name} is on standby: after height {last} the others let its node in (pleach member join DIR --added, pleach start). It votes \
             from an epoch after that on, once it has what it is to keep: see \"pleach member list\""
        )
    };
    change(global, output, &args.signing, meant, done)
}

/// Checks that nobody has what a member to be needs for itself, and says who: the members refuse most of it as well, with a code.
fn check_is_new(record: &ClusterRecord, new: &Member, file: &Path) -> Result<(), CliError> {
    let all = || everybody(record);
    let has_key = |member: &&Member| {
        [member.public_key, member.id].contains(&new.public_key) || member.previous == Some(new.public_key)
    };
    let taken = |found: Option<&Member>, what: &str| match found {
        None => Ok(()),
        Some(member) => Err(CliError::usage(
            format!("{}: the member {} has the {what} of {} already", file.display(), member.name, new.name),
            "each member has its own: make another one with pleach member init",
        )),
    };
    taken(all().find(has_key), "key")?;
    taken(all().find(|member| member.name == new.name), "name")?;
    taken(all().find(|member| member.address == new.address), "address for members")
}

/// Checks that a member can be at an address: it is one that others can reach, and no other member is there.
///
/// # Errors
/// If it is none, or another member's.
pub(super) fn check_address(record: &ClusterRecord, of: &PublicKey, address: &str) -> Result<(), CliError> {
    if let Err(why) = address::check_reachable(address) {
        let what = format!("{address:?} is no address at which a member can be reached: {why}");
        return Err(CliError::usage(what, "write host:port, as the other members reach it"));
    }
    // By what names a member for ever: while it changes its key it is in the sets of two epochs by two of them.
    let own = everybody(record).find(|member| member.public_key == *of).map_or(*of, |member| member.id);
    match everybody(record).find(|member| member.address == address && member.id != own) {
        None => Ok(()),
        Some(other) => Err(CliError::usage(
            format!("the member {} is at {address}", other.name),
            "name the address of this one; if they change places, move the other one first",
        )),
    }
}

/// Has the owners take a member out.
pub fn remove(global: &Global, output: Output, args: &MemberRemove) -> Result<Ending, CliError> {
    if !args.force {
        with_cluster(global, |client| async move { check_copies(&client).await })?;
    }
    let args = &args.change;
    let meant = |record: &ClusterRecord| Meant::of(record, &args.member, |member| Change::Remove(member.public_key));
    let done = |meant: &Meant, genesis: &Genesis, height| {
        let last = last_height(genesis, height);
        format!("{} leaves at the end of the epoch, after height {last}", meant.name)
    };
    change(global, output, &args.signing, meant, done)
}

/// Has the others take over all records of a member.
pub fn drain(global: &Global, output: Output, args: &MemberChange) -> Result<Ending, CliError> {
    let meant = |record: &ClusterRecord| Meant::of(record, &args.member, |member| with_capacity(member, 0));
    let done = |meant: &Meant, genesis: &Genesis, height| {
        let (name, last) = (&meant.name, last_height(genesis, height));
        format!("{name} keeps no records after height {last}; others copy them from now on: see \"pleach status\"")
    };
    change(global, output, &args.signing, meant, done)
}

/// Sets how many records a member keeps beside the others.
pub fn capacity(global: &Global, output: Output, args: &MemberCapacity) -> Result<Ending, CliError> {
    let (args, capacity) = (&args.change, args.capacity);
    let meant = |record: &ClusterRecord| Meant::of(record, &args.member, |member| with_capacity(member, capacity));
    let done = |meant: &Meant, genesis: &Genesis, height| {
        let (name, last) = (&meant.name, last_height(genesis, height));
        format!("{name} has a capacity of {capacity} after height {last}; records are copied from now on")
    };
    change(global, output, &args.signing, meant, done)
}

/// Tells all members where one of them is.
pub fn move_to(global: &Global, output: Output, args: &MemberMove) -> Result<Ending, CliError> {
    let (args, address) = (&args.change, args.address);
    let moved = |member: &Member| Change::Set {
        key: member.public_key,
        capacity: member.capacity,
        address: address.to_string(),
    };
    let meant = |record: &ClusterRecord| {
        let meant = Meant::of(record, &args.member, moved)?;
        check_address(record, &meant.key, &address.to_string())?;
        Ok(meant)
    };
    let done = |meant: &Meant, genesis: &Genesis, height| {
        let (name, last) = (&meant.name, last_height(genesis, height));
        format!("the others reach {name} at {address} after height {last}")
    };
    change(global, output, &args.signing, meant, done)
}

/// Has the owners take a verdict back.
pub fn pardon(global: &Global, output: Output, args: &MemberChange) -> Result<Ending, CliError> {
    let meant = |record: &ClusterRecord| {
        let name = |key: &PublicKey| name_of(record, key).unwrap_or_else(|| key.to_string());
        let mut convicted = record.verdicts.iter().map(|verdict| verdict.key);
        let found = convicted.find(|key| name(key) == args.member || key.to_string() == args.member);
        let found = found.map(|key| Meant { name: name(&key), key, change: Change::Pardon(key) });
        found.ok_or_else(|| nobody(&args.member, "convicted", record.verdicts.iter().map(|verdict| name(&verdict.key))))
    };
    let done = |meant: &Meant, _: &Genesis, _| {
        format!("the verdict against {} is taken back; it does not come back by that if it has left", meant.name)
    };
    change(global, output, &args.signing, meant, done)
}

/// Has the owners put others in their place.
pub fn set_owners(global: &Global, output: Output, args: &OwnerSet) -> Result<Ending, CliError> {
    let mut owners = args.owners.clone();
    owners.sort_unstable();
    if let Some(pair) = owners.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(CliError::usage(format!("{} is named twice", pair[0]), "name each owner once"));
    }
    // Nodes refuse it too, but only after the present owners have all signed.
    if let Some(key) = owners.iter().find(|key| !key.is_sound()) {
        return Err(CliError::usage(
            format!("{key} is no point of the curve, or of small order: anybody could sign for it"),
            "name public keys that pleach key show has printed",
        ));
    }
    let all = u8::try_from(owners.len()).unwrap_or(u8::MAX);
    let threshold = args.threshold.unwrap_or(all);
    if owners.len() > OWNERS_MAX || usize::from(threshold) > owners.len() {
        return Err(CliError::usage(
            format!("{threshold} of {} owners cannot sign: there may be {OWNERS_MAX}", owners.len()),
            "name the public key of each owner, and let at most all of them sign",
        ));
    }
    let meant = |_: &ClusterRecord| {
        let change = Change::Owners { owners: owners.clone(), threshold };
        Ok(Meant { name: "the cluster".into(), key: owners[0], change })
    };
    let done = |_: &Meant, _: &Genesis, height| {
        format!("after height {height} {threshold} of {} owners must sign a change", owners.len())
    };
    change(global, output, &args.signing, meant, done)
}

/// The last height that the members of before certify where a change is decided at `height`: that of the last block of the
/// epoch, or of the next epoch if the change is in that very block, since members change when it begins.
pub fn last_height(genesis: &Genesis, height: Height) -> Height {
    let length = u64::from(genesis.governance.epoch_blocks).max(1);
    let next = height.saturating_add(1);
    next - next % length + (length - 1)
}

/// Makes a change, has the owners sign it, and says what became of it; or writes it to a file, where more of them are to sign.
pub(super) fn change(
    global: &Global,
    output: Output,
    signing: &OwnersSign,
    meant: impl Fn(&ClusterRecord) -> Result<Meant, CliError>,
    done: impl Fn(&Meant, &Genesis, Height) -> String,
) -> Result<Ending, CliError> {
    let keys = files::read_keys(&signing.keys)?;
    if let Some(path) = &signing.prepare {
        return prepare(global, output, (path, signing.valid_for), &keys, meant);
    }
    let work = async |client: Client| {
        let record = client.cluster().await?;
        check_owners(&record, &keys)?;
        check_are_enough(&record, &keys)?;
        let meant = meant(&record)?;
        // It can be ordered for as long as a call can: a signed change that is kept back must not be made when nobody thinks of it any more.
        let request = signed(&client, &record, &meant, client.genesis().window, &keys);
        let receipt = client.decide(&request).await?;
        let message = match receipt.refusal() {
            None => done(&meant, client.genesis(), receipt.height),
            Some(refusal) => format!("{} stays as it was: {refusal}", meant.name),
        };
        Ok((meant, receipt, message))
    };
    let (meant, receipt, message) = with_cluster(global, work)?;
    print_change(output, meant, &receipt, message)?;
    Ok(Ending::of(&receipt))
}

/// Writes a change to a file that must not exist yet.
fn prepare(
    global: &Global,
    output: Output,
    (path, blocks): (&Path, u64),
    keys: &[SecretKey],
    meant: impl Fn(&ClusterRecord) -> Result<Meant, CliError>,
) -> Result<Ending, CliError> {
    let place = NewFile::at(path)?;
    let work = async |client: Client| {
        let record = client.cluster().await?;
        check_owners(&record, keys)?;
        // It is for one number: once the owners have made another change it can be made no more, however long it might have been kept.
        let request = signed(&client, &record, &meant(&record)?, blocks, keys);
        Ok((request, record))
    };
    let (request, record) = with_cluster(global, work)?;
    place.finish(&request.encode())?;
    prepared::show_change(output, path, request, record)?;
    Ok(Ending::Done)
}

/// The next change of the owners, which may be made within so many blocks.
fn signed(
    client: &Client,
    record: &Verified<ClusterRecord>,
    meant: &Meant,
    blocks: u64,
    keys: &[SecretKey],
) -> SystemRequest {
    let numbers = (record.seq.saturating_add(1), record.height().saturating_add(blocks));
    SystemRequest::change(client.genesis_digest(), numbers, meant.change.clone(), &record.owners, keys)
}

/// Prints what became of a change.
pub(super) fn print_change(
    output: Output,
    meant: Meant,
    receipt: &Verified<Receipt>,
    message: String,
) -> Result<(), CliError> {
    let document = ChangeDocument {
        member: meant.name,
        public_key: meant.key,
        identity: receipt.identity,
        trust: receipt.trust(),
        receipt: ReceiptView::from(&**receipt),
        message,
    };
    output.data("pleach.member-change/1", &document, || format!("{}\n{}\n", receipt_line(receipt), document.message))
}

/// Checks that owners sign, before anything is sent: what is refused for this would say less.
fn check_owners(record: &ClusterRecord, keys: &[SecretKey]) -> Result<(), CliError> {
    if record.owners.is_empty() || record.threshold == 0 {
        return Err(CliError::NoOwners);
    }
    match keys.iter().map(SecretKey::public).find(|key| !record.owners.contains(key)) {
        None => Ok(()),
        Some(key) => Err(CliError::usage(
            format!("{key} is not a key of one of the {} owners", record.owners.len()),
            "give key files of owners; \"pleach member list\" shows their public keys",
        )),
    }
}

fn check_are_enough(record: &ClusterRecord, keys: &[SecretKey]) -> Result<(), CliError> {
    let given: BTreeSet<_> = keys.iter().map(SecretKey::public).collect();
    let (needed, given) = (usize::from(record.threshold), given.len());
    if given >= needed {
        return Ok(());
    }
    Err(CliError::TooFewOwners { needed, given, owners: record.owners.len(), file: None })
}

/// Checks that no node knows of a prefix with fewer copies than there are to be. What nodes say of that is unsigned: it keeps an owner
/// from a mistake, not from a Byzantine node.
pub(super) async fn check_copies(client: &Client) -> Result<(), CliError> {
    let statuses = client.statuses().await;
    let Some(short) = copies_missing(statuses.iter().flatten()) else { return Ok(()) };
    Err(CliError::usage(
        format!("{short}: to remove a member could lose records for ever"),
        "wait until \"pleach status\" warns of it no more; --force removes the member in any case",
    ))
}

fn is_called(member: &Member, what: &str) -> bool {
    member.name == what || member.public_key.to_string() == what
}

fn nobody(what: &str, which: &str, all: impl Iterator<Item = String>) -> CliError {
    let all = all.collect::<Vec<_>>().join(", ");
    let hint = if all.is_empty() { "nobody is".to_owned() } else { format!("name one of {all}, or its public key") };
    CliError::usage(format!("nobody who is {which} is called {what:?}"), hint)
}

/// All entries of members: those in force, then those to come, then those on standby.
pub(super) fn everybody(record: &ClusterRecord) -> impl Iterator<Item = &Member> {
    record.members.iter().chain(&record.next).chain(&record.standby)
}

/// The name of whoever has a key, or had it.
fn name_of(record: &ClusterRecord, key: &PublicKey) -> Option<String> {
    let has = |member: &&Member| member.public_key == *key || member.previous == Some(*key) || member.id == *key;
    everybody(record).find(has).map(|member| member.name.clone())
}

/// How far each member on standby is whose node has answered. It adopts what it would keep among the next members.
fn copied(record: &ClusterRecord, partitioning: Partitioning, statuses: &[Status]) -> BTreeMap<PublicKey, Copied> {
    let of = |member: &Member| {
        let status = statuses.iter().find(|status| status.public_key == member.public_key)?;
        let mut next: Vec<_> = record.next.iter().chain([member]).cloned().collect();
        next.sort_by_key(|member| member.public_key);
        let wanted = Placement::new(Committee::new(next).ok()?, partitioning).kept_by(&member.public_key).count();
        Some((member.public_key, Copied { prefixes: status.storage.prefixes, of: wanted as u64 }))
    };
    record.standby.iter().filter_map(of).collect()
}

fn document(record: &Verified<ClusterRecord>, copied: &BTreeMap<PublicKey, Copied>) -> ListDocument {
    let view = |member: &Member| MemberView {
        name: member.name.clone(),
        id: member.id,
        public_key: member.public_key,
        capacity: member.capacity,
        address: member.address.clone(),
        copied: copied.get(&member.public_key).copied(),
    };
    let views = |members: &[Member]| members.iter().map(view).collect();
    let verdict = |verdict: &pleach_types::cluster::ConvictedMember| VerdictView {
        public_key: verdict.key,
        kind: verdict.kind,
        evidence: verdict.evidence,
        height: verdict.height,
        removed: verdict.removed,
    };
    ListDocument {
        height: record.height(),
        trust: record.trust(),
        changes: record.seq,
        members: views(&record.members),
        next: views(&record.next),
        standby: views(&record.standby),
        verdicts: record.verdicts.iter().map(verdict).collect(),
        owners: record.owners.clone(),
        threshold: record.threshold,
        terms: record.terms,
        next_terms: record.next_terms,
        expulsions_left: record.cap.saturating_sub(record.unasked),
        absences: absent(record)
            .map(|Absence { id, epochs, .. }| AbsentMemberView { id: *id, epochs: *epochs })
            .collect(),
    }
}

/// Members that have led no block for whole epochs, if genesis has such ones leave.
fn absent(record: &ClusterRecord) -> impl Iterator<Item = &Absence> {
    record.absences.iter().filter(|absence| absence.epochs > 0)
}

fn text(record: &Verified<ClusterRecord>, copied: &BTreeMap<PublicKey, Copied>) -> String {
    let has = |members: &[Member], member: &Member| members.iter().any(|other| other.id == member.id);
    let line = |member: &Member, standing: &str| {
        row![member.name, standing, member.capacity, member.address, member.public_key]
    };
    let mut rows = vec![row!["NAME", "STANDING", "CAPACITY", "ADDRESS", "PUBLIC KEY"]];
    for member in &record.members {
        // What it is to have as the next member is what the owners have decided, or the member itself for its key.
        let next = record.next.iter().find(|next| next.id == member.id);
        let standing = match next {
            Some(next) if next.public_key != member.public_key => "in force, has this key next",
            Some(_) => "in force",
            None => "leaves",
        };
        rows.push(line(next.unwrap_or(member), standing));
    }
    let joins = record.next.iter().filter(|member| !has(&record.members, member));
    rows.extend(joins.map(|member| line(member, "joins")));
    rows.extend(record.standby.iter().map(|member| match copied.get(&member.public_key) {
        Some(Copied { prefixes, of }) => line(member, &format!("on standby, {prefixes} of {of} prefixes")),
        None => line(member, "on standby"),
    }));
    let mut text = table(&rows);
    for verdict in &record.verdicts {
        let name = name_of(record, &verdict.key).unwrap_or_else(|| verdict.key.to_string());
        let then = if verdict.removed { "taken out for it" } else { "left to the owners" };
        text += &format!("{name} was convicted at #{}, {then}: evidence {}\n", verdict.height, verdict.evidence);
    }
    for Absence { id, epochs, .. } in absent(record) {
        let name = name_of(record, id).unwrap_or_else(|| id.to_string());
        text += &format!("{name} has led no block for {epochs} epochs\n");
    }
    text += &owners_text(record);
    text += &format!("terms: {}\n", terms_text(&record.terms));
    if record.next_terms != record.terms {
        text += &format!("terms of the next epoch: {}\n", terms_text(&record.next_terms));
    }
    let left = record.cap.saturating_sub(record.unasked);
    text + &format!("{left} more may leave without the owners · at #{}, {}\n", record.height(), record.trust())
}

fn terms_text(terms: &Terms) -> String {
    let Terms { rules, gas, block_gas, block_weight, expulsions } = terms;
    format!(
        "rules {rules}, gas {gas} of a request and {block_gas} of a block, weight {block_weight}, at most {expulsions} expelled without the owners"
    )
}

fn owners_text(record: &ClusterRecord) -> String {
    if record.owners.is_empty() {
        return "nobody owns this cluster: members leave by evidence alone\n".into();
    }
    let keys: String = record.owners.iter().map(|owner| format!("  {owner}\n")).collect();
    format!("{} of {} owners must sign a change:\n{keys}", record.threshold, record.owners.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_newcomer_is_counts_what_it_would_keep_among_the_next_members() {
        let member = |n: u8| Member::new(format!("node-{n}"), SecretKey::from_seed([n; 32]).public());
        let mut members: Vec<_> = (1..=4).map(member).collect();
        members.sort_by_key(|member| member.public_key);
        let partitioning = Partitioning { bits: 4, replicas: 2 };
        let genesis = Genesis { partitioning, ..Genesis::new("test", members, Default::default()) };
        let mut record = ClusterRecord::genesis(&genesis);
        record.standby = vec![member(5), member(6)];
        let mut status = crate::commands::status::tests::status_of(member(5).public_key);
        status.storage.prefixes = 2;
        let copied = copied(&record, partitioning, &[status]);
        assert_eq!(copied.len(), 1, "nothing is known of one whose node was not asked");
        let Copied { prefixes, of } = copied[&member(5).public_key];
        assert_eq!(prefixes, 2);
        assert!((1..16).contains(&of), "a part of the 16 prefixes: {of}");
    }

    #[test]
    fn members_leave_after_the_last_block_of_an_epoch() {
        let mut genesis = Genesis::new("test", Vec::new(), Default::default());
        genesis.governance.epoch_blocks = 16;
        for (decided, last) in [(1, 15), (14, 15), (15, 31), (16, 31), (30, 31), (31, 47)] {
            assert_eq!(last_height(&genesis, decided), last, "decided at {decided}");
        }
    }
}
