//! `pleach version`.

use serde::Serialize;

use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table};

/// The commit that this program was built from, where whoever built it has said so (`.ci/dist` does).
const COMMIT: Option<&str> = option_env!("PLEACH_COMMIT");

#[derive(Serialize)]
struct Version {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// The newest version of the rules by which blocks are executed that it knows.
    rules: u32,
    /// The format of data folders.
    store: u32,
    /// The interface of operations.
    abi: u32,
}

/// Prints the version, and those of what the program reads and writes.
pub fn run(output: Output) -> Result<Ending, CliError> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT.filter(|commit| !commit.is_empty()),
        rules: pleach_types::terms::RULES,
        store: pleach_store::FORMAT,
        abi: pleach_vm::abi::VERSION,
    };
    output.data("pleach.version/1", &version, || {
        let commit = version.commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default();
        let rows = [
            row!["rules of the cluster", format_args!("up to version {}", version.rules)],
            row!["data folders", format_args!("format {}", version.store)],
            row!["interface of operations", format_args!("version {}", version.abi)],
        ];
        format!("pleach {}{commit}\n{}", version.version, table(&rows))
    })?;
    Ok(Ending::Done)
}
