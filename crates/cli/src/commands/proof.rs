//! Writing and reading proof files.

use std::path::Path;

use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Encode as _, Hash, ProofFile};
use pleach_verify::file::{self, Proven};

use crate::errors::CliError;
use crate::files::{self, NewFile};
use crate::output::{self, Output};

/// Writes a proof file to its place, once the judge of such files has found that it holds.
///
/// # Errors
/// If it cannot be written.
pub fn write(talk: Output, place: NewFile, file: &ProofFile) -> Result<(), CliError> {
    let (content, path) = (bytes::Bytes::from(file.encode()), place.path().to_owned());
    let judged = file::read(&content).and_then(|file| file::judge(&file, &file.genesis.digest()));
    judged.map_err(|why| CliError::Internal(format!("a proof file was made that does not verify: {why}")))?;
    place.finish(&content)?;
    let size = output::bytes(content.len() as u64);
    talk.talk(format_args!("kept in {} ({size}); check it with: pleach verify {}", path.display(), path.display()));
    Ok(())
}

/// Reads a proof file and judges it.
///
/// # Errors
/// If it cannot be read, is none, or does not hold.
pub fn judge(path: &Path, genesis: &Hash) -> Result<Proven, CliError> {
    read(path, genesis).map(|(_, proven)| proven)
}

/// As [`judge`]: the file and what it proves.
///
/// # Errors
/// As [`judge`].
pub fn read(path: &Path, genesis: &Hash) -> Result<(ProofFile, Proven), CliError> {
    let content = files::read(path, PROOF_FILE_BYTES_MAX)?;
    let judged = file::read(&content).and_then(|file| {
        let proven = file::judge(&file, genesis)?;
        Ok((file, proven))
    });
    judged.map_err(|why| CliError::ProofFile { path: path.into(), why: Box::new(why) })
}
