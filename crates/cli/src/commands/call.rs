//! `pleach call`, and `pleach send` for what it has prepared.

use bytes::Bytes;
use pleach_client::{Client, Config};
use pleach_types::limits::REQUEST_BYTES_MAX;
use pleach_types::{Height, Identity};
use pleach_vm::schema::arguments_schema;
use serde::Serialize;

use super::sending::{carry_out, conclude, print_executed, settings, sign_with};
use super::with_settings;
use crate::args::{Call, Global, Send};
use crate::connection;
use crate::errors::{CliError, Ending};
use crate::files::{self, NewFile};
use crate::names;
use crate::output::Output;

/// A request that was signed and not sent.
#[derive(Serialize)]
struct PreparedDocument {
    sent: bool,
    identity: Identity,
    /// The last height whose block may hold it.
    expires: Height,
}

/// Sends a request that was prepared.
pub fn send(global: &Global, output: Output, args: &Send) -> Result<Ending, CliError> {
    let bytes = files::read(&args.file, REQUEST_BYTES_MAX)?;
    let settings = Config { receipts: args.trust.into(), ..connection::settings(global.timeout) };
    with_settings(global, settings, |client| async move {
        let sent = client.prepared(bytes)?.send().await;
        conclude(output, sent.map(|executed| print_executed(output, &executed)), None)
    })
}

/// Signs a call and writes the request to its place.
async fn prepare(output: Output, call: pleach_client::Call, place: NewFile) -> Result<Ending, CliError> {
    let prepared = call.prepare().await?;
    let (identity, expires) = (prepared.identity(), prepared.expires());
    let path = place.path().to_owned();
    place.finish(prepared.bytes())?;
    let document = PreparedDocument { sent: false, identity, expires };
    output.data("pleach.call/1", &document, || {
        format!(
            "request {identity} is signed, and not sent: pleach send {0}\n  it can be executed up to height {expires}; its outcome: pleach \
             receipt {identity} --expires {expires}\n",
            path.display()
        )
    })?;
    Ok(Ending::Done)
}

/// Encodes the arguments, then simulates or sends.
pub fn run(global: &Global, output: Output, args: &Call) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.operation));
    let given = args.arguments_hex.as_deref().map(from_hex).transpose()?;
    let place = args.prepare.as_deref().map(NewFile::at).transpose()?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let arguments = match given {
            Some(arguments) => arguments,
            None => encode(&client, args).await?,
        };
        let call = client.call(args.operation.clone(), arguments).touching(args.touch.iter().cloned());
        match place {
            Some(place) => prepare(output, sign_with(call, &args.sending)?.0, place).await,
            None => carry_out(&client, output, call, &args.sending, None).await,
        }
    })
}

fn from_hex(text: &str) -> Result<Bytes, CliError> {
    let error =
        |e| CliError::usage(format!("--arguments-hex {text:?}: {e}"), "write two hexadecimal digits for each byte");
    hex::decode(text).map(Bytes::from).map_err(error)
}

/// Encodes text as the operation's own description of its arguments says. The description is part of the
/// module, so it is proved like any record.
async fn encode(client: &Client, args: &Call) -> Result<Bytes, CliError> {
    let operation = &args.operation;
    let record = client.get_one(operation).await?;
    let height = record.height();
    let Some(code) = record.into_value() else {
        return Err(CliError::NoOperation { operation: operation.clone(), height });
    };
    let Some(schema) = arguments_schema(&code) else {
        return Err(CliError::NoSchema { operation: operation.clone() });
    };
    let encoded = schema.encode_words(operation.as_str(), &args.arguments);
    encoded.map(Bytes::from).map_err(|why| CliError::Arguments { why, signature: format!("{operation}: {schema}") })
}
