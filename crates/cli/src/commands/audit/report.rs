//! What an audit came to, for people and for programs.

use pleach_client::{Audit, Audited, Finding};
use pleach_types::{Hash, Height, PublicKey};
use serde::Serialize;

use super::kept::{HeadFile, MadeComplaint};
use crate::commands::complain::ComplaintView;
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table, thousands};

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditResult {
    /// Everything that was looked at is as it should be.
    Clean,
    /// So far it is, and fewer members answered than make a certificate.
    Weaker,
    /// Something is not, and it proves nothing to others.
    Suspect,
    /// A member lied, and there is proof.
    Proven,
    /// There are two histories.
    Fork,
    /// There was no audit.
    Failed,
}

impl AuditResult {
    pub const ALL: [Self; 6] = [Self::Clean, Self::Weaker, Self::Suspect, Self::Proven, Self::Fork, Self::Failed];

    pub fn of(audit: &Audit) -> Self {
        match () {
            () if audit.proofs().next().is_some() => Self::Proven,
            () if !audit.is_clean() => Self::Suspect,
            () if !audit.is_full() => Self::Weaker,
            () => Self::Clean,
        }
    }

    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Weaker => "weaker",
            Self::Suspect => "suspect",
            Self::Proven => "proven",
            Self::Fork => "fork",
            Self::Failed => "failed",
        }
    }

    pub const fn ending(self) -> Ending {
        match self {
            Self::Clean => Ending::Done,
            Self::Weaker | Self::Failed => Ending::Unavailable,
            Self::Suspect => Ending::Suspect,
            Self::Proven => Ending::Proven,
            Self::Fork => Ending::Forked,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    outcome: &'static str,
    height: Height,
    /// Whether the head of the last audit is a part of this history; `null` at the first audit.
    continued: Option<bool>,
    /// The file that the next audit goes on from.
    head: String,
    answering: usize,
    members: usize,
    needed: usize,
    compared_at: Height,
    keys: usize,
    files: usize,
    audited: Vec<AuditedView<'a>>,
    unreachable: Vec<String>,
    findings: Vec<FindingView<'a>>,
    complaints: Vec<ComplaintDocument<'a>>,
}

#[derive(Serialize)]
struct AuditedView<'a> {
    member: &'a str,
    public_key: PublicKey,
    address: &'a str,
    height: Height,
    asked: usize,
    proved: usize,
}

#[derive(Serialize)]
struct FindingView<'a> {
    kind: &'static str,
    member: Option<&'a str>,
    address: Option<&'a str>,
    what: &'a str,
    times: u64,
    /// The digest of the evidence, where there is proof.
    evidence: Option<Hash>,
}

#[derive(Serialize)]
struct ComplaintDocument<'a> {
    evidence: Hash,
    /// What became of it; left out where that is not known.
    #[serde(flatten)]
    outcome: Option<&'a ComplaintView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints the report.
///
/// # Errors
/// If standard output does not take it.
pub fn print(output: Output, audit: &Audit, complaints: &[MadeComplaint], head: &HeadFile) -> Result<(), CliError> {
    let document = document(audit, complaints, head);
    output.data("pleach.audit/1", &document, || text(audit, complaints))
}

fn document<'a>(audit: &'a Audit, complaints: &'a [MadeComplaint], head: &HeadFile) -> Document<'a> {
    let audited = |one: &'a Audited| AuditedView {
        member: &one.name,
        public_key: one.public_key,
        address: &one.address,
        height: one.height,
        asked: one.asked,
        proved: one.proved,
    };
    let complaint = |one: &'a MadeComplaint| ComplaintDocument {
        evidence: one.evidence,
        outcome: one.outcome.as_ref().ok(),
        error: one.outcome.as_ref().err().map(ToString::to_string),
    };
    Document {
        outcome: AuditResult::of(audit).code(),
        height: audit.height,
        continued: audit.continued,
        head: head.0.display().to_string(),
        answering: audit.members.len(),
        members: audit.of,
        needed: audit.needed,
        compared_at: audit.compared_at,
        keys: audit.keys,
        files: audit.files,
        audited: audit.members.iter().map(audited).collect(),
        unreachable: audit.unreachable.iter().map(ToString::to_string).collect(),
        findings: audit.findings.iter().map(finding).collect(),
        complaints: complaints.iter().map(complaint).collect(),
    }
}

fn finding(finding: &Finding) -> FindingView<'_> {
    FindingView {
        kind: finding.kind.code(),
        member: finding.member.as_deref(),
        address: finding.address.as_deref(),
        what: &finding.what,
        times: finding.times,
        evidence: finding.proof.as_ref().map(|found| found.conviction.evidence.digest()),
    }
}

fn text(audit: &Audit, complaints: &[MadeComplaint]) -> String {
    let (answering, of) = (audit.members.len(), audit.of);
    let mut lines = vec![format!("height {} · {answering} of {of} members answered", thousands(audit.height))];
    if !audit.is_full() {
        lines.push(format!(
            "weaker: {} members have to answer for an audit to say as much as a certificate does",
            audit.needed
        ));
    }
    let mut rows = vec![row!["MEMBER", "ADDRESS", "HEIGHT", "RECORDS PROVED"]];
    rows.extend(
        audit
            .members
            .iter()
            .map(|one| row![one.name, one.address, thousands(one.height), format!("{} of {}", one.proved, one.asked)]),
    );
    lines.push(table(&rows).trim_end().to_owned());
    lines.extend(audit.unreachable.iter().map(|failure| format!("not audited: {failure}")));
    lines.push(format!("{} records compared at height {}", audit.keys, thousands(audit.compared_at)));
    lines.push(match audit.continued {
        None => "the first audit: later ones go on from this height".into(),
        Some(true) => "the head of the last audit is a part of this history".into(),
        // Not yet an accusation: members may just have forgotten so old a height.
        Some(false) => "the head of the last audit is NOT shown to be a part of this history: it is kept".to_owned(),
    });
    if audit.files > 0 {
        lines.push(format!("{} files are parts of this history", audit.files));
    }
    lines.extend(audit.findings.iter().map(finding_text));
    for MadeComplaint { evidence, outcome } in complaints {
        let became = match outcome {
            Ok(view) => view.message().to_owned(),
            Err(e) => format!("not known: {e}"),
        };
        lines.push(format!("complaint of {}: {became}", evidence.short()));
    }
    if audit.is_clean() {
        lines.push("nothing was found".into());
    }
    lines.join("\n") + "\n"
}

/// One finding, in one line.
pub fn finding_text(finding: &Finding) -> String {
    let who = match (&finding.member, &finding.address) {
        (Some(member), Some(address)) => format!("{member} at {address}: "),
        (Some(who), None) | (None, Some(who)) => format!("{who}: "),
        (None, None) => String::new(),
    };
    let times = if finding.times > 1 { format!(", {} times", finding.times) } else { String::new() };
    let proof = if finding.proof.is_some() { "proof" } else { "no proof" };
    format!("! {who}{} ({}, {proof}{times})", finding.what, finding.kind.code())
}
