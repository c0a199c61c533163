//! `pleach receipt`: what became of a request, proved.

use std::time::Duration;

use pleach_client::{Trust, Verified};
use pleach_types::api::ReceiptView;
use pleach_types::{Identity, Receipt};
use serde::Serialize;

use super::sending::receipt_line;
use super::with_cluster;
use crate::args::{Global, Receipt as Args};
use crate::errors::{CliError, Ending};
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
    let found = with_cluster(global, |client| async move { Ok(client.receipt(identity, wait).await?) })?;
    let receipt = found.ok_or(CliError::NoReceipt { identity })?;
    print(output, &receipt)?;
    Ok(Ending::of(&receipt))
}

fn print(output: Output, receipt: &Verified<Receipt>) -> Result<(), CliError> {
    let document =
        Document { identity: receipt.identity, trust: receipt.trust(), receipt: ReceiptView::from(&**receipt) };
    output.data("pleach.receipt/1", &document, || receipt_line(receipt) + "\n")
}
