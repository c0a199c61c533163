//! `pleach sign` and `pleach send`: requests that lie in files until all who are to sign have signed.
//!
//! A file is one request in its canonical encoding: a call, or a change of the owners. In a call zeros stand in the place of each signature
//! that is missing; a change has the signatures that there are. What is shown comes from the file and from the cluster, never from whoever
//! handed the file on: a signer sees the operation's arguments by its own description, and what it comes to over the records of now.

mod change;
mod trial;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use pleach_client::{Client, Config, Error, Prepared, Signature, Verified};
use pleach_types::api::{ReceiptView, Value};
use pleach_types::limits::REQUEST_BYTES_MAX;
use pleach_types::request::Kind;
use pleach_types::{Height, Identity, Key, PublicKey, Receipt};
use pleach_vm::schema::arguments_schema;
use serde::Serialize;
use serde_json::Map;

use self::change::{KeptChange, request_of};
use self::trial::Trial;
use super::connected::with_settings;
use super::decode::{decode, line};
use super::sending::{ChangeView, changes_text, conclude, next_step, receipt_line};
use crate::args::{Global, Send, Sign};
use crate::errors::{CliError, Ending};
use crate::output::{Output, row, table, thousands, whole_value_text};
use crate::{connection, files};

pub use self::change::show_change;

/// Arguments by their names.
type Fields = Map<String, serde_json::Value>;

/// A request in a file, and how it stands.
#[derive(Serialize)]
struct Document {
    sent: bool,
    #[serde(flatten)]
    what: What,
    /// The newest height that this command has seen.
    height: Height,
    /// The last height whose block may hold it.
    expires: Height,
    /// Who may sign, and who has.
    signers: Vec<SignerView>,
    /// How many of them must sign.
    needed: usize,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What {
    Call(CallView),
    Change { seq: u64, change: String },
}

#[derive(Serialize)]
struct CallView {
    identity: Identity,
    operation: Key,
    arguments: Value,
    /// The arguments by the operation's own description, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Fields>,
    gas: u64,
    touched: Vec<Key>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    changes: Vec<ChangeView>,
}

#[derive(Serialize)]
struct SignerView {
    public_key: PublicKey,
    signed: bool,
    /// Whether there is a signature in its name that does not hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    spoilt: bool,
}

/// A request that the cluster has decided.
#[derive(Serialize)]
struct DecidedDocument {
    sent: bool,
    identity: Identity,
    receipt: ReceiptView,
}

/// What a file holds.
enum Kept {
    Call(Box<Prepared>),
    Change(Box<KeptChange>),
}

/// Shows a request, puts signatures into it if there are any to put, and says what is next.
pub fn sign(global: &Global, output: Output, args: &Sign) -> Result<Ending, CliError> {
    let keys = files::read_keys(&args.signers)?;
    let bytes = files::read(&args.file, REQUEST_BYTES_MAX)?;
    let copies = args.from.iter().map(|path| Ok((path, files::read(path, REQUEST_BYTES_MAX)?)));
    let copies = copies.collect::<Result<Vec<_>, CliError>>()?;
    with_settings(global, connection::settings(global.timeout), |client| async move {
        match read(&client, &args.file, bytes.clone()).await? {
            Kept::Call(mut prepared) => {
                let trial = Trial::of(&client, &prepared).await?;
                // What was executed has changed the records that it was made over: that is no reason to do it once more.
                let in_time = check_is_in_time(trial.height, prepared.expires());
                if (trial.outcome.is_err() || in_time.is_err())
                    && let Some(receipt) = receipt(&client, prepared.identity()).await?
                {
                    return show_decided(output, &receipt);
                }
                in_time?;
                trial.check_is_not_ahead(&prepared)?;
                for (path, copy) in copies {
                    prepared.take_signatures(&client.prepared(copy).map_err(|e| of_copy(path, &e))?)?;
                }
                for key in &keys {
                    prepared.add_signature(&key.public(), key.sign(&prepared.statement()))?;
                }
                // All that may fail comes before the file is written: an error says that nothing was signed.
                let fields = fields(&client, &prepared.body().calls[0]).await?;
                files::replace(&args.file, &bytes, prepared.bytes())?;
                show_call(output, &args.file, &prepared, fields, &trial)
            }
            Kept::Change(mut kept) => {
                if let Err(why) = kept.check_can_be_made() {
                    let receipt = kept.receipt(&client).await?.ok_or(why)?;
                    return show_decided(output, &receipt);
                }
                kept.check_is_meant(&client).await?;
                for (path, copy) in copies {
                    let other = request_of(&client, copy).map_err(|e| of_copy(path, &e))?;
                    kept.take_signatures(path, &other)?;
                }
                keys.iter().try_for_each(|key| kept.sign(key))?;
                files::replace(&args.file, &bytes, &kept.bytes())?;
                kept.show(output, &args.file).map(|()| Ending::Done)
            }
        }
    })
}

/// Sends a request that lies in a file.
pub fn send(global: &Global, output: Output, args: &Send) -> Result<Ending, CliError> {
    let bytes = files::read(&args.file, REQUEST_BYTES_MAX)?;
    let settings = Config { receipts: args.trust.into(), ..connection::settings(global.timeout) };
    with_settings(global, settings, |client| async move {
        match read(&client, &args.file, bytes).await? {
            Kept::Call(prepared) => conclude(output, prepared.send().await, None),
            Kept::Change(kept) => kept.send(&client, output, args).await,
        }
    })
}

async fn read(client: &Client, path: &Path, bytes: Bytes) -> Result<Kept, CliError> {
    let of_file = |why: Error| {
        let hint = "name a file that --prepare or pleach sign has written; if somebody sent it, have it sent once more";
        CliError::usage(format!("{}: {why}", path.display()), hint)
    };
    match Kind::of(&bytes) {
        Ok(Kind::System) => Ok(Kept::Change(Box::new(KeptChange::read(client, bytes, of_file).await?))),
        // What is neither is told by the same words as what is no call.
        Ok(Kind::Client) | Err(_) => {
            let prepared = client.prepared(bytes).map_err(of_file)?;
            // The rules allow one so far; what is not shown must not be signed.
            if prepared.body().calls.len() != 1 {
                return Err(of_file(no_request("it makes several calls".into())));
            }
            Ok(Kept::Call(Box::new(prepared)))
        }
    }
}

/// The receipt of a request that was decided already, as far as nodes say at once.
async fn receipt(client: &Client, identity: Identity) -> Result<Option<Verified<Receipt>>, CliError> {
    Ok(client.receipt(identity, Duration::ZERO).await?)
}

fn show_decided(output: Output, receipt: &Verified<Receipt>) -> Result<Ending, CliError> {
    let document = DecidedDocument { sent: true, identity: receipt.identity, receipt: ReceiptView::from(&**receipt) };
    output.data("pleach.sign/1", &document, || {
        format!("{}\nit is decided, and nothing was signed\n", receipt_line(receipt))
    })?;
    Ok(Ending::of(receipt))
}

const fn no_request(why: String) -> Error {
    Error::NoRequest { why }
}

fn of_copy(path: &Path, why: &Error) -> CliError {
    CliError::usage(format!("{}: {why}", path.display()), "name a copy of the file that is to be signed")
}

fn check_is_in_time(height: Height, expires: Height) -> Result<(), CliError> {
    if height < expires {
        return Ok(());
    }
    let what = format!(
        "the request could be in a block up to height {expires}, and height {height} is over; nothing was signed or sent"
    );
    Err(CliError::usage(what, "prepare it anew, with --prepare"))
}

/// The arguments by the description that the operation has of them now, as fields and in a line.
async fn fields(client: &Client, call: &pleach_types::Call) -> Result<Option<(Fields, String)>, CliError> {
    let code = client.get_one(&call.operation).await?.into_value();
    let Some(schema) = code.as_ref().and_then(|code| arguments_schema(code)) else { return Ok(None) };
    let fields = decode(&schema, &call.arguments).ok();
    Ok(fields.map(|fields| (fields.clone(), line(&schema, &fields))))
}

fn show_call(
    output: Output,
    path: &Path,
    prepared: &Prepared,
    fields: Option<(Fields, String)>,
    trial: &Trial,
) -> Result<Ending, CliError> {
    let (body, missing) = (prepared.body(), prepared.missing());
    let call = &body.calls[0];
    let (fields, arguments) = fields.unzip();
    let changes = trial.outcome.as_ref().map_or(&[][..], |simulation| &simulation.changes);
    let view = CallView {
        identity: prepared.identity(),
        operation: call.operation.clone(),
        arguments: Value::from(&call.arguments),
        fields,
        gas: body.gas,
        touched: body.touched.clone(),
        verdict: if trial.outcome.is_ok() { "would_apply" } else { "would_be_refused" },
        reason: trial.outcome.as_ref().err().cloned(),
        changes: changes.iter().map(ChangeView::from).collect(),
    };
    let spoilt = spoilt(prepared);
    let signer =
        |key: &PublicKey| SignerView { public_key: *key, signed: !missing.contains(key), spoilt: spoilt.contains(key) };
    let document = Document {
        sent: false,
        what: What::Call(view),
        height: trial.height,
        expires: prepared.expires(),
        signers: body.signers.iter().map(signer).collect(),
        needed: body.signers.len(),
    };
    output.data("pleach.sign/1", &document, || {
        let arguments = arguments.unwrap_or_else(|| whole_value_text(&call.arguments));
        let verdict = match &trial.outcome {
            Ok(simulation) => {
                format!("would apply now, changes {}\n", simulation.changes.len()) + &changes_text(changes)
            }
            Err(reason) => format!("would be refused now · {reason}\n"),
        };
        format!(
            "request {} calls {} {arguments}\n  gas up to {}, touches {}\n{}{verdict}{}\n",
            prepared.identity(),
            call.operation,
            thousands(body.gas),
            body.touched.iter().map(Key::as_str).collect::<Vec<_>>().join(" "),
            standing_text(&document),
            next_step(path, missing)
        )
    })?;
    Ok(if trial.outcome.is_ok() { Ending::Done } else { Ending::Refused })
}

/// The signers in whose names something stands that is no signature of theirs under this request.
fn spoilt(prepared: &Prepared) -> Vec<PublicKey> {
    let request = prepared.request();
    let given = request.body.signers.iter().zip(&request.signatures);
    let given = given.filter(|(_, signature)| **signature != Signature::NONE).map(|(signer, _)| *signer);
    given.filter(|signer| prepared.missing().contains(signer)).collect()
}

fn standing_text(document: &Document) -> String {
    let Document { height, expires, .. } = document;
    let has = |signer: &SignerView| match (signer.signed, signer.spoilt) {
        (true, _) => "has signed",
        (false, false) => "has not signed",
        (false, true) => {
            "has a signature here that does not hold: what it was put under was changed since, or the file is damaged"
        }
    };
    let row = |signer: &SignerView| row!["  signer", signer.public_key, has(signer)];
    format!("  can be executed up to height {expires}, height {height} is there\n")
        + &table(&document.signers.iter().map(row).collect::<Vec<_>>())
}
