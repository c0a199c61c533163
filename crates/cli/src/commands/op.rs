//! `pleach op`: operations on this machine, and into the cluster.

use std::path::Path;

use bytes::Bytes;
use pleach_tree::ValueDigest;
use pleach_types::limits::MODULE_BYTES_MAX;
use pleach_types::{Hash, Key, Limits};
use pleach_vm::ModuleInfo;
use pleach_vm::schema::arguments_schema;
use serde::Serialize;

use super::sending::{carry_out, settings};
use super::with_settings;
use crate::args::{Global, OpCheck, OpDeploy};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::{Output, thousands};

#[derive(Serialize)]
struct CheckedDocument {
    file: String,
    bytes: usize,
    digest: Hash,
    functions: u32,
    imports: Vec<&'static str>,
    initial_pages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
}

/// Checks a module with the default limits.
pub fn check(output: Output, args: &OpCheck) -> Result<Ending, CliError> {
    let (code, info) = read_module(&args.file, &Limits::default())?;
    // A module whose description is missing still runs; it must be called with encoded arguments.
    let arguments = arguments_schema(&code).map(|schema| schema.to_string());
    let document = CheckedDocument {
        file: args.file.display().to_string(),
        bytes: code.len(),
        digest: Hash::from(ValueDigest::of(&code)),
        functions: info.functions,
        imports: info.imports.clone(),
        initial_pages: info.initial_pages,
        arguments,
    };
    output.data("pleach.op-check/1", &document, || {
        let (bytes, digest, pages) = (thousands(code.len() as u64), document.digest, info.initial_pages);
        let arguments = document.arguments.as_deref().unwrap_or("not described");
        let s = if pages == 1 { "" } else { "s" };
        format!(
            "ok · {bytes} bytes · {pages} page{s} of memory at the start · digest {digest}\n  arguments: {arguments}\n"
        )
    })?;
    Ok(Ending::Done)
}

/// Checks a module with the cluster's limits and stores it.
pub fn deploy(global: &Global, output: Output, args: &OpDeploy) -> Result<Ending, CliError> {
    let domain = domain_of(&args.key)?;
    // Everything that can be wrong here is found before anything is sent.
    read_module(&args.file, &Limits::default())?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let (code, _) = read_module(&args.file, &client.genesis().limits)?;
        let changes = [(args.key.clone(), Some(code))];
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

/// Reads a module and checks it as every node would.
fn read_module(path: &Path, limits: &Limits) -> Result<(Bytes, ModuleInfo), CliError> {
    let code = files::read(path, MODULE_BYTES_MAX)?;
    if !code.starts_with(b"\0asm") {
        return Err(CliError::NotWasm { path: path.into(), start: start_of(&code) });
    }
    let info = pleach_vm::check_within(&code, limits);
    info.map(|info| (code, info)).map_err(|why| CliError::Module { path: path.into(), why: Box::new(why) })
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
