//! Keeping what convicts nodes, or shows a fork, whatever the command was that met it.

use std::path::Path;

use pleach_client::{Client, FoundEvidence};
use pleach_types::{Height, ProofFile};

use super::proof;
use crate::errors::CliError;
use crate::files::NewFile;
use crate::output::Output;

/// Keeps what nodes said that convicts them, and what shows a fork, in files beside the profile. That it cannot is said, and spoils
/// nothing: what the command was asked for has been proved or refused without them.
pub async fn keep(client: &Client, folder: &Path, output: Output) {
    // Alone: what members have signed falsely may be the truth of the other history.
    if let Some(fork) = client.fork() {
        match keep_fork(fork.height, client.fork_file().await, folder, output) {
            Err(CliError::Exists { path }) => {
                output.talk(format_args!("! the proof of the fork was kept before in {}", path.display()))
            }
            Err(e) => output.talk(format_args!("! the proof of the fork cannot be kept: {e}")),
            Ok(()) => {}
        }
        return;
    }
    for found in client.convictions().await {
        let FoundEvidence { conviction, nodes, .. } = &found;
        let member = format!("{} at {}", conviction.member.name, nodes.join(", "));
        output.talk(format_args!("! {member} is guilty: it {}. What it said was not used", conviction.deed()));
        match keep_one(&found, folder, output) {
            Err(CliError::Exists { path }) => output.talk(format_args!("  → kept before in {}", path.display())),
            Err(e) => output.talk(format_args!("  → the evidence cannot be kept: {e}")),
            Ok(()) => {}
        }
    }
}

/// Keeps evidence in a file of a folder.
///
/// # Errors
/// [`CliError::Exists`] if it was kept before, or if it cannot be written.
pub fn keep_one(found: &FoundEvidence, folder: &Path, output: Output) -> Result<(), CliError> {
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
