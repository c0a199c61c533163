//! `pleach version`.

use serde::Serialize;

use crate::errors::{CliError, Ending};
use crate::output::Output;

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// Prints the version.
pub fn run(output: Output) -> Result<Ending, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    output.data("pleach.version/1", &Version { version }, || format!("pleach {version}\n"))?;
    Ok(Ending::Done)
}
