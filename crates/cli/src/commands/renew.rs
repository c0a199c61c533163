//! `pleach renew`: carries a proof file over to a certificate of today.

use pleach_types::Height;
use serde::Serialize;

use super::connected::with_cluster;
use super::proof;
use crate::args::{Global, Renew};
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::Output;
use crate::profile::Profile;

#[derive(Serialize)]
struct Document {
    /// The height of the newest result of the file that was given; none if it needs no certificate.
    from: Option<Height>,
    /// That of the new one.
    to: Option<Height>,
}

/// Writes a file that proves the same under a newer certificate.
pub fn run(global: &Global, output: Output, args: &Renew) -> Result<Ending, CliError> {
    let (file, proven) = proof::read(&args.file, &Profile::genesis(global)?)?;
    let from = proven.head.map(|head| head.result.height);
    let place = NewFile::at(&args.new)?;
    let renewed = with_cluster(global, |client| async move { Ok(client.renew(&file).await?) })?;
    let to = renewed.head.as_ref().and_then(|head| head.stated()).map(|result| result.height);
    proof::write(output, place, &renewed)?;
    let document = Document { from, to };
    output.data("pleach.renew/1", &document, || match (from, to) {
        (Some(from), Some(to)) => format!("proved under height {from} before, under height {to} now\n"),
        _ => "what it holds needs no certificate: the new file is the same\n".to_owned(),
    })?;
    Ok(Ending::Done)
}
