//! Checkpoints as files, and as arguments.

use std::path::Path;

use pleach_client::Checkpoint;
use pleach_node::config::from_toml;
use pleach_types::{Hash, Height};
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::errors::CliError;
use crate::files;
use crate::profile::Profile;

/// Bytes of a checkpoint's file.
const FILE_BYTES_MAX: usize = 4_096;

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    genesis: Hash,
    height: Height,
    result: Hash,
}

/// The checkpoint that the global options name, if they name one.
///
/// # Errors
/// If it is none, or of another cluster.
pub fn read(global: &Global, profile: &Profile) -> Result<Option<Checkpoint>, CliError> {
    let Some(text) = &global.checkpoint else { return Ok(None) };
    let error = |why: String| {
        CliError::usage(format!("--checkpoint {text}: {why}"), "name HEIGHT:HASH, or a file with a checkpoint")
    };
    // The text first: no file that happens to have such a name may stand in for what somebody has vouched for.
    let why_not = match text.parse() {
        Ok(checkpoint) => return Ok(Some(checkpoint)),
        Err(why) => why,
    };
    let path = Path::new(text);
    if !path.exists() {
        return Err(error(why_not));
    }
    let bytes = files::read(path, FILE_BYTES_MAX)?;
    let content = std::str::from_utf8(&bytes).map_err(|e| error(format!("not UTF-8: {e}")))?;
    let File { genesis, height, result } = from_toml(content).map_err(error)?;
    if genesis != profile.genesis {
        return Err(error(format!("it is of cluster {genesis}, the profile names {}", profile.genesis)));
    }
    Ok(Some(Checkpoint { height, result }))
}

/// The text of a file.
pub fn text(genesis: Hash, checkpoint: &Checkpoint) -> String {
    let Checkpoint { height, result } = checkpoint;
    format!(
        "# What a height of a cluster came to. Pass this file with --checkpoint: what nodes show has to contain it. It is not\n\
         # signed: take it from somebody you trust.\ngenesis = \"{genesis}\"\nheight = {height}\nresult = \"{result}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_checkpoint_reads_back() {
        let checkpoint = Checkpoint { height: 77, result: Hash([5; 32]) };
        let read: File = toml::from_str(&text(Hash([7; 32]), &checkpoint)).expect("a file");
        assert_eq!(read, File { genesis: Hash([7; 32]), height: 77, result: Hash([5; 32]) });
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        for text in ["", "77", "77:", ":77", "77:05", "-1:".repeat(2).as_str()] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
        }
    }
}
