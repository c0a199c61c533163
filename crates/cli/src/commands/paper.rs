//! `pleach bench paper`: the thesis's evaluation, run again.

use std::fs;

use pleach_paper::StepDone;
use serde::Serialize;

use crate::args::BenchPaper;
use crate::errors::{CliError, Ending};
use crate::files::NewFolder;
use crate::output::Output;
use crate::profile::copyable;

#[derive(Serialize)]
struct Document {
    seed: u64,
    report: String,
    files: Vec<&'static str>,
    holds: bool,
}

/// Writes the report into a new folder.
pub fn run(output: Output, args: &BenchPaper) -> Result<Ending, CliError> {
    let folder = NewFolder::at(&args.out)?;
    let report = pleach_paper::run(args.seed, |StepDone { figure, done, of }| {
        output.live(&format!("figure {figure}: {done} of {of}"));
        if done == of && !output.is_live() {
            output.talk(format_args!("figure {figure} is done"));
        }
    });
    output.live("");
    let files = report.files();
    for (name, bytes) in &files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).map_err(CliError::file("write", &path))?;
    }
    let place = folder.finish()?;
    let summary = report.summary();
    let document = Document {
        seed: args.seed,
        report: copyable(&place.join("report.html")),
        files: files.keys().copied().collect(),
        holds: summary.holds(),
    };
    output.data("pleach.bench-paper/1", &document, || format!("{summary}\n{}\n", document.report))?;
    Ok(if document.holds { Ending::Done } else { Ending::Failed })
}
