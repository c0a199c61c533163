//! `pleach audit`: whether what the members show is one history, and all of it theirs. The work is the library's
//! ([`Client::audit`]); here is what is kept between two audits, what is said, and how it ends.

mod daemon;
mod metrics;
mod report;

use std::path::{Path, PathBuf};

use pleach_client::{Audit, Client, Found};
use pleach_node::durable;
use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Encode as _, Hash, ProofFile};
use pleach_verify::file;

use self::report::AuditResult;
use super::complain::{ComplaintView, complain};
use super::with_cluster;
use crate::args::{AuditOnce, Global};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::output::Output;
use crate::profile::Profile;

pub use daemon::run;

/// Audits the cluster.
pub fn once(global: &Global, output: Output, args: &AuditOnce) -> Result<Ending, CliError> {
    let head = HeadFile::of(global)?;
    let (last, kept) = (head.read()?, read_all(&args.file)?);
    let (audit, complaints) = with_cluster(global, |client| async move {
        let audit = client.audit(last.as_ref(), &kept).await?;
        let complaints = if args.complain { complain_of(&client, audit.proofs()).await } else { Vec::new() };
        Ok((audit, complaints))
    })?;
    head.renew(&audit)?;
    report::print(output, &audit, &complaints, &head)?;
    Ok(AuditResult::of(&audit).ending())
}

/// The file with the newest result of the last audit.
struct HeadFile(PathBuf);

impl HeadFile {
    /// Beside the profile. By genesis, since one folder may hold profiles of several clusters.
    fn of(global: &Global) -> Result<Self, CliError> {
        let genesis = Profile::find(global)?.genesis;
        Ok(Self(Profile::folder(global).join(format!("audit-{genesis}.pleach"))))
    }

    /// What it holds; `None` before the first audit.
    fn read(&self) -> Result<Option<ProofFile>, CliError> {
        if self.0.exists() { read(&self.0).map(Some) } else { Ok(None) }
    }

    /// Puts the head of an audit in its place, unless the one that stands there was not found in the same history: then it is what
    /// shows that, and the next audit has to see it too.
    fn renew(&self, audit: &Audit) -> Result<(), CliError> {
        if !audit.may_be_kept() {
            return Ok(());
        }
        durable::replace(&self.0, &audit.head.encode()).map_err(CliError::file("write", &self.0))
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<ProofFile>, CliError> {
    paths.iter().map(|path| read(path)).collect()
}

/// Reads a proof file. What it says the audit judges.
fn read(path: &Path) -> Result<ProofFile, CliError> {
    let content = files::read(path, PROOF_FILE_BYTES_MAX)?;
    file::read(&content).map_err(|why| CliError::ProofFile { path: path.into(), why: Box::new(why) })
}

/// A complaint, and what became of it.
struct Complaint {
    evidence: Hash,
    outcome: Result<ComplaintView, CliError>,
}

/// Complains of all that was found. That it cannot must not hide what was found.
async fn complain_of(client: &Client, found: impl Iterator<Item = &Found>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for Found { conviction, file, .. } in found {
        let outcome = complain(client, conviction, file).await;
        complaints.push(Complaint { evidence: conviction.evidence.digest(), outcome });
    }
    complaints
}
