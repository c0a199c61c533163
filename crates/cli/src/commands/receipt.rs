//! `pleach receipt`: what became of a request, proved.

use std::time::Duration;

use pleach_client::{Trust, Verified};
use pleach_types::api::ReceiptView;
use pleach_types::{Identity, Receipt};
use serde::Serialize;

use super::sending::receipt_line;
use super::{proof, with_cluster};
use crate::args::{Global, Receipt as Args};
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::Output;

#[derive(Serialize)]
struct Document {
    identity: Identity,
    trust: Trust,
    receipt: ReceiptView,
}

/// Finds and prints a receipt.
pub fn run(global: &Global, output: Output, args: &Args) -> Result<Ending, CliError> {
    let identity = args.identity;
    let wait = if args.wait { global.timeout } else { Duration::ZERO };
    let place = args.proof.as_deref().map(NewFile::at).transpose()?;
    let found = with_cluster(global, |client| async move {
        match place {
            Some(place) => {
                let found = client.prove_receipt(identity, wait).await?;
                Ok(found.map(|(receipt, file)| (receipt, Some((place, file)))))
            }
            None => Ok(client.receipt(identity, wait).await?.map(|receipt| (receipt, None))),
        }
    })?;
    let (receipt, file) = found.ok_or(CliError::NoReceipt { identity })?;
    // What was found is printed whatever becomes of the file, and the file is written whoever reads the print.
    let kept = file.map(|(place, file)| proof::write(output, place, &file)).transpose();
    print(output, &receipt)?;
    kept?;
    Ok(Ending::of(&receipt))
}

fn print(output: Output, receipt: &Verified<Receipt>) -> Result<(), CliError> {
    let document =
        Document { identity: receipt.identity, trust: receipt.trust(), receipt: ReceiptView::from(&**receipt) };
    output.data("pleach.receipt/1", &document, || receipt_line(receipt) + "\n")
}
