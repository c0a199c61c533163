//! `pleach complain`: has the cluster convict members of what a file shows, and says what became of it. A file that shows a fork is for the
//! nodes themselves: a cluster with two histories decides nothing any more.

use std::time::Duration;

use pleach_client::{Client, Error, Trust, Verified};
use pleach_types::api::Problem;
use pleach_types::cluster::ConvictedMember;
use pleach_types::system::ResultPath;
use pleach_types::{ClusterRecord, Decision, Genesis, Height, Identity, ProofFile, Receipt, SystemRequest};
use pleach_verify::file::Conviction;
use serde::Serialize;

use super::connected::with_cluster;
use super::verify::{ConvictionView, conviction_text};
use super::{member, proof};
use crate::args::{Complain, Global};
use crate::errors::{CliError, Ending};
use crate::output::Output;
use crate::profile::Profile;

/// How often a path is made anew whose height the members do not remember any more.
const PATH_TRIES_MAX: u32 = 10;
/// How long to wait before that.
const PATH_PAUSE: Duration = Duration::from_millis(500);

/// The topic of the event that a convicted member leaves (`docs/protocol.md`).
pub const EXPELLED: &[u8] = b"pleach/expelled";

#[derive(Serialize)]
struct Document {
    complaints: Vec<ComplaintView>,
}

/// What became of one complaint, for documents.
#[derive(Serialize)]
pub struct ComplaintView {
    #[serde(flatten)]
    conviction: ConvictionView,
    identity: Identity,
    /// Whether it was sent: not if the proven record of the cluster answers it.
    sent: bool,
    #[serde(flatten)]
    outcome: ComplaintResult,
}

/// What became of a complaint.
#[derive(Serialize)]
struct ComplaintResult {
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
    let (file, proven) = proof::read(&args.file, &Profile::genesis(global)?)?;
    // No complaint: nobody is left who could decide about members of a cluster that has two histories. People have to.
    if let Some(fork) = &proven.fork {
        return show_fork(global, output, &file, fork.one.height);
    }
    let convictions = proven.convictions;
    if convictions.is_empty() {
        return Err(CliError::NoEvidenceInFile { path: args.file.clone() });
    }
    let texts: Vec<_> = convictions.iter().map(conviction_text).collect();
    let complaints = with_cluster(global, |client| async move {
        let mut complaints = Vec::new();
        for conviction in &convictions {
            complaints.push(complain(&client, conviction, &file).await?);
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

#[derive(Serialize)]
struct ForkDocument {
    height: Height,
    nodes: Vec<ForkShown>,
    /// Who has signed both histories, as the nodes can show.
    convictions: Vec<ConvictionView>,
}

/// What a node makes of a fork.
#[derive(Serialize)]
struct ForkShown {
    node: String,
    /// Whether it sees the fork: it neither votes nor serves then.
    stopped: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Shows a fork to all nodes, and tells what they make of it and whom they can name.
fn show_fork(global: &Global, output: Output, file: &ProofFile, height: Height) -> Result<Ending, CliError> {
    let (shown, found) = with_cluster(global, |client| async move {
        let shown = client.show_fork(file).await;
        // By now the nodes have looked through what they hold for whoever signed both.
        Ok((shown, client.evidence().await?))
    })?;
    let view = |(node, seen): (String, Result<Height, pleach_client::NodeFailure>)| match seen {
        Ok(_) => ForkShown { node, stopped: true, reason: None },
        Err(failure) => ForkShown { node, stopped: false, reason: Some(failure.why.to_string()) },
    };
    let nodes: Vec<_> = shown.into_iter().map(view).collect();
    let stopped = nodes.iter().any(|node| node.stopped);
    let convictions = found.iter().map(|one| ConvictionView::of(&one.conviction)).collect();
    let texts: Vec<_> = found.iter().map(|one| conviction_text(&one.conviction)).collect();
    let document = ForkDocument { height, nodes, convictions };
    output.data("pleach.complaint/1", &document, || fork_text(&document, &texts))?;
    Ok(if stopped { Ending::Done } else { Ending::Refused })
}

fn fork_text(ForkDocument { height, nodes, .. }: &ForkDocument, convictions: &[String]) -> String {
    let mut lines =
        vec![format!("two histories are certified from height {height} on: no complaint can be decided any more")];
    lines.extend(nodes.iter().map(|ForkShown { node, reason, .. }| match reason {
        None => {
            format!("  {node} has stopped: it neither votes nor serves until people have decided which history goes on")
        }
        Some(why) => format!("  {node} goes on: it {why}"),
    }));
    lines.push(match convictions.len() {
        0 => "no node can name who has signed both (yet: pleach evidence list)".into(),
        _ => "who has signed both, as the nodes can show (pleach evidence save keeps it):".into(),
    });
    lines.extend_from_slice(convictions);
    lines.join("\n") + "\n"
}

impl ComplaintView {
    /// In words.
    pub fn message(&self) -> &str {
        &self.outcome.message
    }
}

/// Complains of one member, unless the proven record of the cluster has its verdict.
///
/// # Errors
/// If what became of it is not known.
pub async fn complain(client: &Client, conviction: &Conviction, file: &ProofFile) -> Result<ComplaintView, CliError> {
    let record = client.cluster().await?;
    let before = record.verdicts.iter().find(|verdict| verdict.key == conviction.evidence.accused);
    let outcome = match before {
        Some(verdict) => convicted_before(&record, verdict),
        None => send(client, conviction, file, record.height()).await?,
    };
    Ok(ComplaintView {
        conviction: ConvictionView::of(conviction),
        // Whatever path it is sent with, it is the same request.
        identity: SystemRequest::complain(conviction.evidence.clone(), None).identity(),
        sent: before.is_none(),
        outcome,
    })
}

/// Has the cluster decide it. Old results are proved under the newest height of one node: another may not have come to it, or, where the
/// window is short, have forgotten it already. Then the path is made anew.
async fn send(
    client: &Client,
    conviction: &Conviction,
    file: &ProofFile,
    newest: Height,
) -> Result<ComplaintResult, CliError> {
    for attempt in 1.. {
        let path = path(client, conviction, file, newest).await?;
        match client.decide(&SystemRequest::complain(conviction.evidence.clone(), path)).await {
            Ok(receipt) => return Ok(decided(client.genesis(), conviction, &receipt)),
            Err(Error::Declined { problem, .. }) if problem.code == "PATH_INVALID" && attempt < PATH_TRIES_MAX => {
                tokio::time::sleep(PATH_PAUSE).await;
            }
            Err(Error::Declined { problem, .. }) => return Ok(rejected(*problem)),
            Err(e) => return Err(e.into()),
        }
    }
    Err(CliError::Internal("a complaint that was never sent".into()))
}

/// The certified result that the evidence is judged by, proved under a newer one, where the cluster has forgotten it: it has come
/// to height `newest`. The file has the result, since it was judged.
async fn path(
    client: &Client,
    conviction: &Conviction,
    file: &ProofFile,
    newest: Height,
) -> Result<Option<ResultPath>, CliError> {
    let window = client.genesis().window;
    let Some(height) = conviction.evidence.needs().filter(|height| height.saturating_add(window) <= newest) else {
        return Ok(None);
    };
    let head = file.head.as_ref().and_then(|head| head.stated()).map(|result| (result, &[][..]));
    let older = file.older.iter().map(|older| (&older.result, &older.siblings[..]));
    match older.chain(head).find(|(result, _)| result.height == height) {
        Some((result, siblings)) => Ok(Some(client.result_path(result, siblings).await?)),
        // Height 0, which nobody can sign another result of and be believed.
        None => Ok(None),
    }
}

fn convicted_before(record: &Verified<ClusterRecord>, verdict: &ConvictedMember) -> ComplaintResult {
    let stays = record.next.iter().any(|member| member.public_key == verdict.key);
    let consequence = if stays { "the owners have not removed it" } else { "it is not among the next members" };
    let message = format!("convicted before, at #{}: {consequence}; nothing was sent", verdict.height);
    ComplaintResult {
        outcome: "convicted_before",
        height: Some(verdict.height),
        trust: Some(record.trust()),
        reason: Some("ALREADY_CONVICTED".into()),
        message,
    }
}

fn decided(genesis: &Genesis, conviction: &Conviction, receipt: &Verified<Receipt>) -> ComplaintResult {
    let (height, name) = (receipt.height, &conviction.member.name);
    let events = || receipt.outputs().iter().flat_map(|call| &call.events);
    let (outcome, reason, message) = match &receipt.decision {
        Decision::Refused { refusal, .. } => ("refused", Some(reason_of(refusal)), refusal.to_string()),
        Decision::Applied(_) if events().any(|event| event.topic == EXPELLED) => {
            let last = member::last_height(genesis, height);
            ("expelled", None, format!("convicted: {name} leaves at the end of the epoch, after height {last}"))
        }
        Decision::Applied(_) => {
            let hint = format!("pleach member remove {name} --owner KEYFILE");
            ("convicted", None, format!("convicted: {name} stays until the owners decide ({hint})"))
        }
    };
    let message =
        format!("{message} · decided at #{height}, request {}, receipt {}", receipt.identity, receipt.trust());
    ComplaintResult { outcome, height: Some(height), trust: Some(receipt.trust()), reason, message }
}

fn reason_of(refusal: &pleach_types::Refusal) -> String {
    match refusal {
        pleach_types::Refusal::System(why) => why.code().into(),
        other => other.code().into(),
    }
}

/// What f + 1 nodes say that take no complaint which would be refused.
fn rejected(problem: Problem) -> ComplaintResult {
    let Problem { code, detail, .. } = problem;
    let message = match code.as_str() {
        "NOT_A_MEMBER" => "it is no member any more: there is nobody to convict".into(),
        "ALREADY_CONVICTED" => "the member was convicted before".into(),
        _ => format!("the nodes do not take it: {detail}"),
    };
    ComplaintResult { outcome: "refused", height: None, trust: None, reason: Some(code), message }
}
