//! `pleach audit`: whether what the members show is one history, and all of it theirs. The work is the library's
//! ([`pleach_client::Client::audit`]); here is what is kept between two audits, what is said, and how it ends.

mod daemon;
mod kept;
mod metrics;
mod report;

use self::kept::{HeadFile, complain_of, read_all};
use self::report::AuditResult;
use super::connected::with_cluster;
use crate::args::{AuditOnce, Global};
use crate::errors::{CliError, Ending};
use crate::output::Output;

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
