//! `pleach receipt`: what became of a request, proved; or that nothing did.

use std::time::Duration;

use pleach_client::{Client, Config, Error as ClientError, NeverExecuted, Trust, Verified};
use pleach_types::api::ReceiptView;
use pleach_types::{Height, Identity, ProofFile, Receipt};
use serde::Serialize;

use super::connected::with_settings;
use super::proof;
use super::sending::{made_text, receipt_line};
use crate::args::{Global, Receipt as Args};
use crate::connection;
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::output::Output;

#[derive(Serialize)]
struct Document {
    identity: Identity,
    trust: Trust,
    receipt: ReceiptView,
}

/// A request that was not executed.
#[derive(Serialize)]
struct AbsentDocument {
    identity: Identity,
    receipt: Option<ReceiptView>,
    first: Height,
    last: Height,
}

/// What was found.
enum Found {
    Receipt(Box<Verified<Receipt>>, Option<Box<(NewFile, ProofFile)>>),
    Absent(NeverExecuted, Option<Box<(NewFile, ProofFile)>>),
    Nothing,
}

/// Finds and prints a receipt.
pub fn run(global: &Global, output: Output, args: &Args) -> Result<Ending, CliError> {
    let identity = args.identity;
    let wait = if args.wait { global.timeout } else { Duration::ZERO };
    let place = args.proof.as_deref().map(NewFile::at).transpose()?;
    let settings = Config { receipts: args.trust.into(), ..connection::settings(global.timeout) };
    let found = with_settings(global, settings, |client| async move { find(&client, args, wait, place).await })?;
    // What was found is printed whatever becomes of the file, and the file is written whoever reads the print.
    let keep =
        |file: Option<Box<(NewFile, ProofFile)>>| file.map(|file| proof::write(output, file.0, &file.1)).transpose();
    match found {
        Found::Receipt(receipt, file) => {
            let kept = keep(file);
            print(output, &receipt)?;
            kept?;
            Ok(Ending::of(&receipt))
        }
        Found::Absent(proved, file) => {
            let kept = keep(file);
            let ending = print_absent(output, &proved)?;
            kept?;
            Ok(ending)
        }
        Found::Nothing => Err(CliError::NoReceipt { identity }),
    }
}

async fn find(client: &Client, args: &Args, wait: Duration, place: Option<NewFile>) -> Result<Found, CliError> {
    let identity = args.identity;
    let Some(place) = place else {
        return match (client.receipt(identity, wait).await?, args.expires) {
            (Some(receipt), _) => Ok(Found::Receipt(Box::new(receipt), None)),
            (None, Some(expires)) => {
                let proved = client.never_executed(identity, expires).await;
                proved.map(|never| Found::Absent(never, None)).map_err(|why| not_proved(identity, why))
            }
            (None, None) => Ok(Found::Nothing),
        };
    };
    match (client.prove_receipt(identity, wait).await?, args.expires) {
        (Some((receipt, file)), _) => Ok(Found::Receipt(Box::new(receipt), Some(Box::new((place, file))))),
        (None, Some(expires)) => {
            let proved = client.prove_never_executed(identity, expires).await;
            let kept = proved.map(|(never, file)| Found::Absent(never, Some(Box::new((place, file)))));
            kept.map_err(|why| not_proved(identity, why))
        }
        (None, None) => Ok(Found::Nothing),
    }
}

/// That the nodes have forgotten says that there is nothing to wait for; anything else may be otherwise in a moment.
fn not_proved(identity: Identity, why: ClientError) -> CliError {
    match why {
        ClientError::Forgotten { .. } => why.into(),
        why => CliError::NotProved { identity, why },
    }
}

fn print_absent(output: Output, proved: &NeverExecuted) -> Result<Ending, CliError> {
    let (identity, first, last) = (proved.identity, *proved.heights.start(), *proved.heights.end());
    let document = AbsentDocument { identity, receipt: None, first, last };
    output.data("pleach.receipt/1", &document, || {
        format!(
            "no block from #{first} to #{last} holds request {identity} (certified): if it may stand in none above #{last}, it was \
             not executed and never will be\n"
        )
    })?;
    Ok(Ending::Absent)
}

fn print(output: Output, receipt: &Verified<Receipt>) -> Result<(), CliError> {
    let document =
        Document { identity: receipt.identity, trust: receipt.trust(), receipt: ReceiptView::from(&**receipt) };
    output.data("pleach.receipt/1", &document, || receipt_line(receipt) + "\n" + &made_text(receipt))
}
