//! `pleach fsck`: checks what a node has stored, while it does not run.

use std::path::{Path, PathBuf};

use pleach_store::{FsckReport, Progress};
use pleach_types::{Hash, Height};
use serde::Serialize;

use crate::args::Fsck;
use crate::errors::{CliError, Ending};
use crate::output::{Output, thousands};
use crate::profile::copyable;

/// Rows between two looks at how far the check is.
const SAY_EVERY: u64 = 10_000;

#[derive(Serialize)]
struct Document {
    store: String,
    sound: bool,
    height: Option<Height>,
    root: Option<Hash>,
    records: u64,
    record_bytes: u64,
    rows: u64,
    damages: u64,
    /// The first of them.
    damaged: Vec<String>,
}

/// Checks a store and says what is damaged.
pub fn run(output: Output, args: &Fsck) -> Result<Ending, CliError> {
    let dir = store_below(&args.dir);
    let mut next = SAY_EVERY;
    let progress = |Progress { done, total }: Progress| {
        if done >= next {
            next = done + SAY_EVERY;
            output.live(&format!("{} of {} rows", thousands(done), thousands(total)));
        }
    };
    let report = pleach_store::fsck(&dir, progress).map_err(|reason| CliError::Store { path: dir.clone(), reason });
    output.live("");
    let document = document(&dir, &report?);
    output.data("pleach.fsck/1", &document, || text(&document))?;
    Ok(if document.sound { Ending::Done } else { Ending::Damaged })
}

/// The store's folder, if a node's folder or its data folder is named.
fn store_below(dir: &Path) -> PathBuf {
    let inner = [dir.join("data").join("store"), dir.join("store")];
    inner.into_iter().find(|inner| inner.is_dir()).unwrap_or_else(|| dir.to_path_buf())
}

fn document(dir: &Path, report: &FsckReport) -> Document {
    let result = report.position.as_ref().map(|position| position.result);
    Document {
        store: copyable(dir),
        sound: report.is_sound(),
        height: result.map(|result| result.height),
        root: result.map(|result| result.root),
        records: report.records.rows,
        record_bytes: report.records.bytes,
        rows: report.rows,
        damages: report.damage_count,
        damaged: report.damages.iter().map(ToString::to_string).collect(),
    }
}

fn text(document: &Document) -> String {
    let stands = match (document.height, document.root) {
        (Some(height), Some(root)) => format!("height #{height}, root {root}"),
        _ => "no height can be read".into(),
    };
    let mut text = format!(
        "{}\n{stands}\n{} records, {} bytes; {} rows read, every label and checksum computed again\n",
        document.store,
        thousands(document.records),
        thousands(document.record_bytes),
        thousands(document.rows)
    );
    if document.sound {
        return text + "sound\n";
    }
    text += &format!("{} damages:\n", thousands(document.damages));
    for damage in &document.damaged {
        text += &format!("  {damage}\n");
    }
    text + "Remove the node's data folder and start it: it fetches its records from the others again.\n"
}
