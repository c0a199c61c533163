//! `pleach op check`, `info` and `describe`.

use std::path::Path;

use bytes::Bytes;
use pleach_node::durable;
use pleach_tree::ValueDigest;
use pleach_types::{Hash, Limits};
use pleach_vm::ModuleInfo;
use pleach_vm::schema::{arguments_schema, describe as described};
use serde::Serialize;

use super::module::{check_bytes, read_module};
use crate::args::OpDescribe;
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::{Output, row, table, thousands};

/// What a module is.
#[derive(Serialize)]
struct ModuleDocument<'a> {
    file: String,
    bytes: usize,
    digest: Hash,
    functions: u32,
    imports: &'a [&'static str],
    exports: &'a [String],
    initial_pages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    warnings: Vec<String>,
}

impl<'a> ModuleDocument<'a> {
    fn new(file: &Path, code: &Bytes, info: &'a ModuleInfo) -> Self {
        Self {
            file: file.display().to_string(),
            bytes: code.len(),
            digest: Hash::from(ValueDigest::of(code)),
            functions: info.functions,
            imports: &info.imports,
            exports: &info.exports,
            initial_pages: info.initial_pages,
            // A module whose description is missing still runs; it must be called with encoded arguments.
            arguments: arguments_schema(code).map(|schema| schema.to_string()),
            warnings: info.hints(),
        }
    }

    fn arguments(&self) -> &str {
        match self.arguments.as_deref() {
            Some("") => "none",
            Some(arguments) => arguments,
            None => "not described",
        }
    }

    fn pages(&self) -> String {
        let s = if self.initial_pages == 1 { "" } else { "s" };
        format!("{} page{s} of memory at the start", self.initial_pages)
    }

    /// In a few lines.
    fn summary(&self) -> String {
        let (bytes, pages) = (thousands(self.bytes as u64), self.pages());
        let head = format!("ok · {bytes} bytes · {pages} · digest {}\n", self.digest);
        let warnings: String = self.warnings.iter().map(|warning| format!("  warning: {warning}\n")).collect();
        format!("{head}  arguments: {}\n{warnings}", self.arguments())
    }

    /// Line by line.
    fn details(&self) -> String {
        let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let imports: Vec<_> = self.imports.iter().map(|&import| import.to_owned()).collect();
        let mut rows = vec![
            row!["bytes", thousands(self.bytes as u64)],
            row!["digest", self.digest],
            row!["memory", self.pages()],
            row!["functions", thousands(self.functions.into())],
            row!["imports", list(&imports)],
            row!["exports", list(self.exports)],
            row!["arguments", self.arguments()],
        ];
        rows.extend(self.warnings.iter().map(|warning| row!["warning", warning]));
        table(&rows)
    }
}

/// Checks a module with the default limits.
pub fn check(output: Output, file: &Path) -> Result<Ending, CliError> {
    let (code, info) = read_module(file, &Limits::default())?;
    let document = ModuleDocument::new(file, &code, &info);
    output.data("pleach.op-check/1", &document, || document.summary())?;
    Ok(Ending::Done)
}

/// Shows what a module is, in full.
pub fn info(output: Output, file: &Path) -> Result<Ending, CliError> {
    let (code, info) = read_module(file, &Limits::default())?;
    let document = ModuleDocument::new(file, &code, &info);
    output.data("pleach.op-info/1", &document, || document.details())?;
    Ok(Ending::Done)
}

/// Attaches a description of the arguments.
pub fn describe(output: Output, args: &OpDescribe) -> Result<Ending, CliError> {
    let (code, _) = read_module(&args.file, &Limits::default())?;
    let failed = |why| CliError::Module { path: args.file.clone(), why: Box::new(why) };
    let code = Bytes::from(described(&code, &args.arguments).map_err(failed)?);
    // With its description it must be what it was without: nothing is written otherwise.
    let info = check_bytes(&code, &Limits::default()).map_err(failed)?;
    let file = match &args.out {
        Some(out) => {
            NewFile::at(out)?.finish(&code)?;
            out
        }
        None => {
            durable::replace(&args.file, &code).map_err(CliError::file("write", &args.file))?;
            &args.file
        }
    };
    let document = ModuleDocument::new(file, &code, &info);
    output.data("pleach.op-describe/1", &document, || document.summary())?;
    Ok(Ending::Done)
}
