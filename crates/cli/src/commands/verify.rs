//! `pleach verify`: what a file proves, with nothing but the file and a genesis digest.

use pleach_node::config::read_genesis;
use pleach_types::api::{ReceiptView, Value};
use pleach_types::evidence::Strength;
use pleach_types::{Hash, Height, Identity, Key, PublicKey, Receipt};
use pleach_verify::file::{Conviction, Fork, Proven, ProvenAbsence, ProvenRecord};
use serde::Serialize;

use super::proof;
use super::sending::{events_text, output_line, receipt_words};
use crate::args::{Global, Verify};
use crate::errors::{CliError, Ending};
use crate::output::{Output, value_text};
use crate::profile::Profile;

/// What no file proves.
const NOT_PROVED: [&str; 2] =
    ["when this was: no clock is part of it", "that it is still so: newer heights may differ"];

#[derive(Serialize)]
struct Document {
    genesis: Hash,
    cluster: String,
    members: usize,
    faults_tolerated: usize,
    /// How many times the members changed since genesis.
    steps: usize,
    head: Option<HeadView>,
    older: Vec<ResultView>,
    records: Vec<RecordView>,
    receipts: Vec<ReceiptDocument>,
    absences: Vec<AbsenceView>,
    convictions: Vec<ConvictionView>,
    /// Two certified results of one height.
    fork: Option<ForkView>,
    not_proved: [&'static str; 2],
}

#[derive(Serialize)]
struct HeadView {
    #[serde(flatten)]
    result: ResultView,
    signers: usize,
}

#[derive(Serialize)]
struct ResultView {
    height: Height,
    root: Hash,
}

#[derive(Serialize)]
struct ForkView {
    height: Height,
    /// The digests of the two roots; they may be equal where something else differs.
    roots: [Hash; 2],
}

#[derive(Serialize)]
struct RecordView {
    height: Height,
    key: Key,
    present: bool,
    value: Option<Value>,
}

#[derive(Serialize)]
struct ReceiptDocument {
    identity: Identity,
    receipt: ReceiptView,
}

/// A request that was executed in none of some heights.
#[derive(Serialize)]
struct AbsenceView {
    identity: Identity,
    first: Height,
    last: Height,
    /// Whether these are all T heights up to the last one, so that a request which expires with it was never executed.
    window: bool,
}

/// A conviction, for documents.
#[derive(Serialize)]
pub struct ConvictionView {
    digest: Hash,
    accused: PublicKey,
    member: String,
    strength: &'static str,
    deed: String,
}

/// Judges a file.
pub fn run(global: &Global, output: Output, args: &Verify) -> Result<Ending, CliError> {
    let (file, proven) = proof::read(&args.file, &pinned(global, args)?)?;
    let window = file.genesis.window;
    let document = document(&proven, window);
    output.data("pleach.verify/1", &document, || text(&proven, window))?;
    Ok(Ending::Done)
}

/// The digest that counts: of the genesis file that is named, or as for every command.
fn pinned(global: &Global, args: &Verify) -> Result<Hash, CliError> {
    let Some(path) = &args.genesis_file else { return Profile::genesis(global) };
    let found = read_genesis(path)?.digest();
    match global.genesis {
        Some(named) if named != found => Err(CliError::usage(
            format!("{} has the digest {found}, --genesis is {named}", path.display()),
            "leave one of the two out: the one that you do not trust",
        )),
        _ => Ok(found),
    }
}

fn document(proven: &Proven, window: u64) -> Document {
    let result = |result: &pleach_types::BlockResult| ResultView { height: result.height, root: result.root };
    let record = |record: &ProvenRecord| RecordView {
        height: record.height,
        key: record.key.clone(),
        present: record.value.is_some(),
        value: record.value.as_ref().map(Value::from),
    };
    let receipt =
        |receipt: &Receipt| ReceiptDocument { identity: receipt.identity, receipt: ReceiptView::from(receipt) };
    let absence = |absent: &ProvenAbsence| AbsenceView {
        identity: absent.identity,
        first: *absent.heights.start(),
        last: *absent.heights.end(),
        window: absent.is_final(window),
    };
    Document {
        genesis: proven.genesis,
        cluster: proven.cluster.clone(),
        members: proven.committee.members().len(),
        faults_tolerated: proven.committee.faults(),
        steps: proven.steps,
        head: proven.head.map(|head| HeadView { result: result(&head.result), signers: head.signers }),
        older: proven.older.iter().map(result).collect(),
        records: proven.records.iter().map(record).collect(),
        receipts: proven.receipts.iter().map(receipt).collect(),
        absences: proven.absences.iter().map(absence).collect(),
        convictions: proven.convictions.iter().map(ConvictionView::of).collect(),
        fork: proven.fork.map(|fork| ForkView { height: fork.one.height, roots: [fork.one.root, fork.other.root] }),
        not_proved: NOT_PROVED,
    }
}

fn text(proven: &Proven, window: u64) -> String {
    let (members, faults) = (proven.committee.members().len(), proven.committee.faults());
    let mut lines = vec![format!("proved under genesis {} (cluster {})", proven.genesis, proven.cluster)];
    if let Some(head) = &proven.head {
        let (height, root) = (head.result.height, head.result.root);
        lines
            .push(format!("  height {height} came to root {root}: certified by {} of {members} members", head.signers));
        lines.push(format!("  (holds as long as no more than {faults} of these members are faulty)"));
    }
    for older in &proven.older {
        lines.push(format!("  height {} came to root {}: part of the certified history", older.height, older.root));
    }
    for ProvenRecord { height, key, value } in &proven.records {
        lines.push(match value {
            Some(value) => format!("  record {key} at #{height}: {}", value_text(Some(value))),
            None => format!("  record {key} at #{height}: absent"),
        });
    }
    lines.extend(proven.receipts.iter().map(receipt_text));
    lines.extend(proven.absences.iter().map(|absent| absence_text(absent, window)));
    lines.extend(proven.convictions.iter().map(conviction_text));
    lines.extend(proven.fork.iter().map(|fork| fork_text(fork, proven.convictions.len())));
    lines.push("not proved".into());
    lines.extend(NOT_PROVED.map(|what| format!("  {what}")));
    lines.join("\n") + "\n"
}

fn fork_text(fork: &Fork, guilty: usize) -> String {
    let Fork { one, other } = fork;
    let who = match guilty {
        0 => "No two certificates of one view are in it, so it names nobody: honest members may have signed both histories, in \
              different views"
            .to_owned(),
        _ => format!("It names {guilty} members above"),
    };
    format!(
        "  fork proven at height {}: roots {} and {} are both certified, so more members are Byzantine than the cluster tolerates.\n  \
         All else in this file is so in one of two histories. {who}",
        one.height, one.root, other.root
    )
}

fn receipt_text(receipt: &Receipt) -> String {
    let made = receipt.outputs().iter().map(|call| output_line(&call.output) + &events_text(&call.events));
    let made: String = made.collect::<String>().lines().map(|line| format!("\n  {line}")).collect();
    format!("  request {}: {}{made}", receipt.identity, receipt_words(receipt))
}

fn absence_text(absent: &ProvenAbsence, window: u64) -> String {
    let (identity, first, last) = (absent.identity, absent.heights.start(), absent.heights.end());
    let consequence = if absent.is_final(window) {
        format!("A request whose last height is #{last} was not executed and never will be")
    } else {
        format!("A request may stand in any of {window} heights: these are not all")
    };
    format!("  request {identity}: no block from #{first} to #{last} holds it\n  {consequence}")
}

/// Who is guilty of what, in two lines.
pub fn conviction_text(conviction: &Conviction) -> String {
    let Conviction { evidence, member, strength } = conviction;
    let rests = match strength {
        Strength::Absolute => "absolute: its own signatures contradict each other, however many members are faulty",
        Strength::Relative => {
            "relative: its signature contradicts what a quorum certified. A broken machine can be convicted so"
        }
    };
    format!("  member {} ({}) is guilty: it {}\n  {rests}", member.name, evidence.accused, conviction.deed())
}

impl ConvictionView {
    /// See [`Conviction`].
    pub fn of(conviction: &Conviction) -> Self {
        Self {
            digest: conviction.evidence.digest(),
            accused: conviction.evidence.accused,
            member: conviction.member.name.clone(),
            strength: match conviction.strength {
                Strength::Absolute => "absolute",
                Strength::Relative => "relative",
            },
            deed: conviction.deed(),
        }
    }
}
