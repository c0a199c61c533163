//! `pleach op`: operations on this machine, and into the cluster.
//!
//! | module | duty |
//! | --- | --- |
//! | `new`, `build` | the folder of an operation, and its module |
//! | `inspect` | what a module is: `check`, `info`, `describe` |
//! | `list` | what a domain lists |
//! | `scenario`, `trial` | scenarios as files, and their runs: `test`, `gas` |

mod build;
mod inspect;
mod list;
mod new;
mod scenario;
mod trial;

use std::path::Path;

use bytes::Bytes;
use pleach_client::arguments::largest_change;
use pleach_types::limits::MODULE_BYTES_MAX;
use pleach_types::{Key, Limits};
use pleach_vm::{InvalidOperation, ModuleInfo};

use super::sending::{carry_out, settings};
use super::with_settings;
use crate::args::{Global, Op, OpDeploy};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::Output;

/// Does what the command says.
pub fn run(global: &Global, output: Output, command: &Op) -> Result<Ending, CliError> {
    match command {
        Op::New(args) => new::run(output, args),
        Op::Build(args) => build::run(output, args),
        Op::Check(args) => inspect::check(output, &args.file),
        Op::Info(args) => inspect::info(output, &args.file),
        Op::Describe(args) => inspect::describe(output, args),
        Op::Test(args) => trial::test(output, args),
        Op::Gas(args) => trial::gas(output, args),
        Op::List(args) => list::run(global, output, args),
        Op::Deploy(args) => deploy(global, output, args),
    }
}

/// Checks a module with the cluster's limits and stores it.
fn deploy(global: &Global, output: Output, args: &OpDeploy) -> Result<Ending, CliError> {
    let domain = domain_of(&args.key)?;
    // Everything that can be wrong here is found before anything is sent.
    read_module(&args.file, &Limits::default())?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let (code, _) = read_module(&args.file, &client.genesis().limits)?;
        let mut changes = vec![(args.key.clone(), Some(code))];
        if !args.unlisted {
            changes.extend(list::entry(&client, output, &domain, &changes[0]).await?);
        }
        let call =
            client.change(&domain, &changes).map_err(|e| CliError::usage(e.to_string(), "choose a shorter key"))?;
        carry_out(&client, output, call, &args.sending, None).await
    })
}

/// The domain that an operation is stored in, without its slash.
fn domain_of(key: &Key) -> Result<String, CliError> {
    match key.domain().strip_suffix('/') {
        Some(domain) => Ok(domain.to_owned()),
        None => Err(CliError::usage(
            format!("{key} is in no domain: it has no \"/\""),
            format!("create a domain and deploy into it: pleach domain create NAME …, then NAME/{key}"),
        )),
    }
}

/// Reads a module and checks it as every node would, and that a request has room for it.
fn read_module(path: &Path, limits: &Limits) -> Result<(Bytes, ModuleInfo), CliError> {
    let code = files::read(path, MODULE_BYTES_MAX)?;
    if !code.starts_with(b"\0asm") {
        return Err(CliError::NotWasm { path: path.into(), start: start_of(&code) });
    }
    check_bytes(&code, limits)
        .map(|info| (code, info))
        .map_err(|why| CliError::Module { path: path.into(), why: Box::new(why) })
}

/// A module is deployed as an argument of the base rule, under a key of any length: one that nodes would run may be too large for
/// that.
fn check_bytes(code: &Bytes, limits: &Limits) -> Result<ModuleInfo, InvalidOperation> {
    let limit = largest_change(limits);
    let info = pleach_vm::check_within(code, limits)?;
    if code.len() > limit { Err(InvalidOperation::TooLarge { actual: code.len(), limit }) } else { Ok(info) }
}

/// What a file starts with, in words where they are known.
fn start_of(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 6] = [
        (b"\x89PNG", "a PNG image"),
        (b"\x7fELF", "a program of this machine, not of target wasm32v1-none"),
        (b"PK", "a ZIP archive"),
        (b"(module", "WebAssembly text: assemble it first"),
        (b"#!", "a script"),
        (b"\x1f\x8b", "compressed with gzip"),
    ];
    let digits: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    match known.iter().find(|(start, _)| bytes.starts_with(start)) {
        _ if bytes.is_empty() => "the file is empty".into(),
        Some((_, what)) => format!("starts with {}: {what}", digits.join(" ")),
        None => format!("starts with {}", digits.join(" ")),
    }
}
