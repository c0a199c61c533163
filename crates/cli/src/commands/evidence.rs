//! `pleach evidence`: who broke the rules, as nodes hold it and as anybody can check.

use std::path::Path;

use pleach_client::{Client, FoundEvidence, InvalidReply};
use pleach_types::{Encode as _, Hash};
use pleach_verify::file::Conviction;
use serde::Serialize;

use super::connected::with_cluster;
use super::proof;
use super::verify::{ConvictionView, conviction_text};
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
    let view = |one: &FoundEvidence| EvidenceView {
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
        // A file may be called like a digest: what is there is meant. What is no digest can be nothing but a path.
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

/// What the nodes hold, and which of their replies were invalid.
fn ask(global: &Global) -> Result<(Vec<FoundEvidence>, Vec<InvalidReply>), CliError> {
    with_cluster(global, |client: Client| async move { Ok((client.evidence().await?, client.invalid_replies())) })
}

fn find(global: &Global, digest: &Hash) -> Result<FoundEvidence, CliError> {
    let (found, _) = ask(global)?;
    let found = found.into_iter().find(|one| one.conviction.evidence.digest() == *digest);
    found.ok_or(CliError::NoEvidence { digest: *digest })
}

fn line(found: &FoundEvidence) -> String {
    format!("{}  held by {}\n", text(&found.conviction), found.nodes.join(", "))
}

fn text(conviction: &Conviction) -> String {
    format!("evidence {}\n{}\n", conviction.evidence.digest(), conviction_text(conviction))
}
