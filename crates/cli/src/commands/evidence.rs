//! `pleach evidence`: who broke the rules, as nodes hold it and as anybody can check.

use std::path::Path;

use pleach_client::{Client, Found, InvalidReply};
use pleach_types::{Encode as _, Hash, Height, ProofFile};
use pleach_verify::file::Conviction;
use serde::Serialize;

use super::verify::{ConvictionView, conviction_text};
use super::{proof, with_cluster};
use crate::args::{EvidenceSave, Global};
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::Output;
use crate::profile::Profile;

#[derive(Serialize)]
struct Document {
    evidence: Vec<EvidenceView>,
}

#[derive(Serialize)]
struct EvidenceView {
    #[serde(flatten)]
    conviction: ConvictionView,
    /// Where the nodes are that hold it; left out for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<String>>,
    /// The encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Prints what all nodes hold.
pub fn list(global: &Global, output: Output) -> Result<Ending, CliError> {
    let (found, invalid) = ask(global)?;
    let view = |one: &Found| EvidenceView {
        conviction: ConvictionView::of(&one.conviction),
        nodes: Some(one.nodes.clone()),
        hex: None,
    };
    let document = Document { evidence: found.iter().map(view).collect() };
    output.data("pleach.evidence/1", &document, || found.iter().map(line).collect())?;
    if found.is_empty() {
        output.talk("no node that answered holds evidence against a member");
    }
    invalid.iter().for_each(|reply| output.talk(format_args!("! {reply}")));
    Ok(Ending::Done)
}

/// Shows what a file, or the evidence with a digest, says.
pub fn show(global: &Global, output: Output, what: &str) -> Result<Ending, CliError> {
    let path = Path::new(what);
    let convictions = match what.parse::<Hash>() {
        // A file may have any name; a digest that is none is as likely a path.
        Ok(digest) if !path.exists() => vec![find(global, &digest)?.conviction],
        _ => proof::judge(path, &Profile::genesis(global)?)?.convictions,
    };
    if convictions.is_empty() {
        return Err(CliError::NoEvidenceInFile { path: path.into() });
    }
    let view = |conviction: &Conviction| EvidenceView {
        conviction: ConvictionView::of(conviction),
        nodes: None,
        hex: Some(hex::encode(conviction.evidence.encode())),
    };
    let document = Document { evidence: convictions.iter().map(view).collect() };
    output.data("pleach.evidence/1", &document, || convictions.iter().map(text).collect())?;
    Ok(Ending::Done)
}

/// Keeps the evidence with a digest in a file.
pub fn save(global: &Global, output: Output, args: &EvidenceSave) -> Result<Ending, CliError> {
    let place = NewFile::at(&args.file)?;
    let found = find(global, &args.digest)?;
    proof::write(output, place, &found.file)?;
    Ok(Ending::Done)
}

/// Keeps what nodes said that convicts them, and what shows a fork, in files beside the profile. That it cannot is said, and spoils
/// nothing: what the command was asked for has been proved or refused without them.
pub async fn keep(client: &Client, folder: &Path, output: Output) {
    if let Some(fork) = client.fork() {
        match keep_fork(fork.height, client.fork_file().await, folder, output) {
            Err(CliError::Exists { path }) => {
                output.talk(format_args!("! the fork was kept before in {}", path.display()))
            }
            Err(e) => output.talk(format_args!("! what shows the fork is lost: {e}")),
            Ok(()) => {}
        }
        return;
    }
    for found in client.convictions().await {
        let Found { conviction, nodes, .. } = &found;
        let member = format!("{} at {}", conviction.member.name, nodes.join(", "));
        output.talk(format_args!("! {member} is guilty: it {}. What it said was not used", conviction.deed()));
        match keep_one(&found, folder, output) {
            Err(CliError::Exists { path }) => output.talk(format_args!("  → kept before in {}", path.display())),
            Err(e) => output.talk(format_args!("  → the evidence is lost: {e}")),
            Ok(()) => {}
        }
    }
}

/// Keeps evidence in a file of a folder.
///
/// # Errors
/// [`CliError::Exists`] if it was kept before, or if it cannot be written.
pub fn keep_one(found: &Found, folder: &Path, output: Output) -> Result<(), CliError> {
    // By accused and case, as nodes keep it: whoever misbehaves in every answer must not fill a disk.
    let (accused, case) = found.conviction.evidence.charge();
    let path = folder.join(format!("evidence-{accused}-{case}.pleach"));
    proof::write(output, NewFile::at(&path)?, &found.file)
}

/// Keeps what shows a fork in a file of a folder.
///
/// # Errors
/// [`CliError::Exists`] if one of this height was kept before, or if it cannot be written.
pub fn keep_fork(height: Height, file: Option<ProofFile>, folder: &Path, output: Output) -> Result<(), CliError> {
    let lost = || CliError::Internal("one of the two certificates is not at hand any more".into());
    let path = folder.join(format!("fork-{height}.evidence"));
    proof::write(output, NewFile::at(&path)?, &file.ok_or_else(lost)?)
}

/// What the nodes hold, and which of their replies were invalid.
fn ask(global: &Global) -> Result<(Vec<Found>, Vec<InvalidReply>), CliError> {
    with_cluster(global, |client: Client| async move { Ok((client.evidence().await?, client.invalid_replies())) })
}

fn find(global: &Global, digest: &Hash) -> Result<Found, CliError> {
    let (found, _) = ask(global)?;
    let found = found.into_iter().find(|one| one.conviction.evidence.digest() == *digest);
    found.ok_or(CliError::NoEvidence { digest: *digest })
}

fn line(found: &Found) -> String {
    format!("{}  held by {}\n", text(&found.conviction), found.nodes.join(", "))
}

fn text(conviction: &Conviction) -> String {
    format!("evidence {}\n{}\n", conviction.evidence.digest(), conviction_text(conviction))
}
