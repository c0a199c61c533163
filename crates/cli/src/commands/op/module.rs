//! Reading a module, and checking it as every node would.

use std::path::Path;

use bytes::Bytes;
use pleach_client::arguments::largest_change;
use pleach_types::Limits;
use pleach_types::limits::MODULE_BYTES_MAX;
use pleach_vm::{InvalidOperation, ModuleInfo};

use crate::errors::CliError;
use crate::files;

/// Reads a module and checks it as every node would, and that a request has room for it.
pub fn read_module(path: &Path, limits: &Limits) -> Result<(Bytes, ModuleInfo), CliError> {
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
pub fn check_bytes(code: &Bytes, limits: &Limits) -> Result<ModuleInfo, InvalidOperation> {
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
