//! `pleach complain`: has the cluster convict members of what a file shows, and says what became of it.

use pleach_client::{Client, Error, Trust, Verified};
use pleach_types::api::Problem;
use pleach_types::cluster::ConvictedMember;
use pleach_types::{ClusterRecord, Genesis, Height, Identity, Receipt, SystemRequest, Verdict};
use pleach_verify::file::Conviction;
use serde::Serialize;

use super::sending::wait_until_read;
use super::verify::{ConvictionView, conviction_text};
use super::{member, proof, with_cluster};
use crate::args::{Complain, Global};
use crate::errors::{CliError, Ending};
use crate::output::Output;
use crate::profile::Profile;

/// The topic of the event that a convicted member leaves (`docs/protocol.md`).
pub const EXPELLED: &[u8] = b"pleach/expelled";

#[derive(Serialize)]
struct Document {
    complaints: Vec<ComplaintView>,
}

#[derive(Serialize)]
struct ComplaintView {
    #[serde(flatten)]
    conviction: ConvictionView,
    identity: Identity,
    /// Whether it was sent: not if the proven record of the cluster answers it.
    sent: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What became of a complaint.
#[derive(Serialize)]
struct Outcome {
    outcome: &'static str,
    /// The height that decided it, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<Trust>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: String,
}

/// Complains of all that a file shows.
pub fn run(global: &Global, output: Output, args: &Complain) -> Result<Ending, CliError> {
    let convictions = proof::judge(&args.file, &Profile::genesis(global)?)?.convictions;
    if convictions.is_empty() {
        return Err(CliError::NoEvidenceInFile { path: args.file.clone() });
    }
    let texts: Vec<_> = convictions.iter().map(conviction_text).collect();
    let complaints = with_cluster(global, |client| async move {
        let mut complaints = Vec::new();
        for conviction in &convictions {
            complaints.push(complain(&client, conviction).await?);
        }
        Ok(complaints)
    })?;
    let all_convicted = complaints.iter().all(|complaint| complaint.outcome.reason.is_none());
    let document = Document { complaints };
    output.data("pleach.complaint/1", &document, || {
        let line =
            |(text, complaint): (&String, &ComplaintView)| format!("{text}\n  → {}\n", complaint.outcome.message);
        texts.iter().zip(&document.complaints).map(line).collect()
    })?;
    Ok(if all_convicted { Ending::Done } else { Ending::Refused })
}

async fn complain(client: &Client, conviction: &Conviction) -> Result<ComplaintView, CliError> {
    let request = SystemRequest::complain(conviction.evidence.clone(), None);
    let record = client.cluster().await?;
    let before = record.verdicts.iter().find(|verdict| verdict.key == conviction.evidence.accused);
    let outcome = match before {
        Some(verdict) => convicted_before(&record, verdict),
        None => match client.decide(&request).await {
            Ok(receipt) => {
                wait_until_read(client, receipt.height).await;
                decided(client.genesis(), conviction, &receipt)
            }
            Err(Error::Declined { problem, .. }) => {
                rejected(client.genesis().history, record.height(), conviction, *problem)
            }
            Err(e) => return Err(e.into()),
        },
    };
    Ok(ComplaintView {
        conviction: ConvictionView::of(conviction),
        identity: request.identity(),
        sent: before.is_none(),
        outcome,
    })
}

fn convicted_before(record: &Verified<ClusterRecord>, verdict: &ConvictedMember) -> Outcome {
    let stays = record.next.iter().any(|member| member.public_key == verdict.key);
    let consequence = if stays { "the owners have not removed it" } else { "it is not among the next members" };
    let message = format!("convicted before, at #{}: {consequence}; nothing was sent", verdict.height);
    Outcome {
        outcome: "convicted_before",
        height: Some(verdict.height),
        trust: Some(record.trust()),
        reason: Some("ALREADY_CONVICTED".into()),
        message,
    }
}

fn decided(genesis: &Genesis, conviction: &Conviction, receipt: &Verified<Receipt>) -> Outcome {
    let (height, name) = (receipt.height, &conviction.member.name);
    let events = || receipt.outputs().iter().flat_map(|call| &call.events);
    let (outcome, reason, message) = match &receipt.verdict {
        Verdict::Refused { refusal, .. } => ("refused", Some(reason_of(refusal)), refusal.to_string()),
        Verdict::Applied(_) if events().any(|event| event.topic == EXPELLED) => {
            let last = member::last_height(genesis, height);
            ("expelled", None, format!("convicted: {name} leaves at the end of the epoch, after height {last}"))
        }
        Verdict::Applied(_) => {
            let cure = format!("pleach member remove {name} --owner KEYFILE");
            ("convicted", None, format!("convicted: {name} stays until the owners decide ({cure})"))
        }
    };
    let message =
        format!("{message} · decided at #{height}, request {}, receipt {}", receipt.identity, receipt.trust());
    Outcome { outcome, height: Some(height), trust: Some(receipt.trust()), reason, message }
}

fn reason_of(refusal: &pleach_types::Refusal) -> String {
    match refusal {
        pleach_types::Refusal::System(why) => why.code().into(),
        other => other.code().into(),
    }
}

/// What f + 1 nodes say that take no complaint which would be refused, `newest` being a height that they have come to.
fn rejected(window: u64, newest: Height, conviction: &Conviction, problem: Problem) -> Outcome {
    let Problem { code, detail, .. } = problem;
    let message = match (code.as_str(), conviction.evidence.needs()) {
        ("NOT_PROVEN", Some(height)) if height.saturating_add(window) <= newest => format!(
            "too old: the cluster remembers what its last {window} heights came to, it has come to {newest}, and this is \
             about height {height}. It can convict nobody of it any more; to people the file proves it as before"
        ),
        ("NOT_A_MEMBER", _) => "it is no member any more: there is nobody to convict".into(),
        ("ALREADY_CONVICTED", _) => "the member was convicted before".into(),
        _ => format!("the nodes do not take it: {detail}"),
    };
    Outcome { outcome: "refused", height: None, trust: None, reason: Some(code), message }
}
