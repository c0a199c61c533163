//! What is kept between two audits, and what is done with what one found.

use std::path::{Path, PathBuf};

use pleach_client::{Audit, Client, FoundEvidence};
use pleach_node::durable;
use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Encode as _, Hash, ProofFile};
use pleach_verify::file;

use crate::args::Global;
use crate::commands::complain::{ComplaintView, complain};
use crate::errors::CliError;
use crate::files;
use crate::profile::Profile;

/// The file with the newest result of the last audit.
pub struct HeadFile(pub PathBuf);

impl HeadFile {
    /// Beside the profile. By genesis, since one folder may hold profiles of several clusters.
    pub fn of(global: &Global) -> Result<Self, CliError> {
        let genesis = Profile::find(global)?.genesis;
        Ok(Self(Profile::folder(global).join(format!("audit-{genesis}.pleach"))))
    }

    /// What it holds; `None` before the first audit.
    pub fn read(&self) -> Result<Option<ProofFile>, CliError> {
        if self.0.exists() { read(&self.0).map(Some) } else { Ok(None) }
    }

    /// Puts the head of an audit in its place, unless the one that stands there was not found in the same history: then it is what
    /// shows that, and the next audit has to see it too.
    pub fn renew(&self, audit: &Audit) -> Result<(), CliError> {
        if !audit.may_be_kept() {
            return Ok(());
        }
        durable::replace(&self.0, &audit.head.encode()).map_err(CliError::file("write", &self.0))
    }
}

pub fn read_all(paths: &[PathBuf]) -> Result<Vec<ProofFile>, CliError> {
    paths.iter().map(|path| read(path)).collect()
}

/// Reads a proof file. What it says the audit judges.
fn read(path: &Path) -> Result<ProofFile, CliError> {
    let content = files::read(path, PROOF_FILE_BYTES_MAX)?;
    file::read(&content).map_err(|why| CliError::ProofFile { path: path.into(), why: Box::new(why) })
}

/// A complaint, and what became of it.
pub struct MadeComplaint {
    pub evidence: Hash,
    pub outcome: Result<ComplaintView, CliError>,
}

/// Complains of all that was found. That it cannot must not hide what was found.
pub async fn complain_of(client: &Client, found: impl Iterator<Item = &FoundEvidence>) -> Vec<MadeComplaint> {
    let mut complaints = Vec::new();
    for FoundEvidence { conviction, file, .. } in found {
        let outcome = complain(client, conviction, file).await;
        complaints.push(MadeComplaint { evidence: conviction.evidence.digest(), outcome });
    }
    complaints
}
