//! `pleach call`.

use bytes::Bytes;
use pleach_client::Client;
use pleach_vm::schema::arguments_schema;

use super::sending::{carry_out, settings};
use super::with_settings;
use crate::args::{Call, Global};
use crate::errors::{CliError, Ending};
use crate::output::Output;

/// Encodes the arguments, then simulates or sends.
pub fn run(global: &Global, output: Output, args: &Call) -> Result<Ending, CliError> {
    let given = args.arguments_hex.as_deref().map(from_hex).transpose()?;
    with_settings(global, settings(global, &args.sending), |client| async move {
        let arguments = match given {
            Some(arguments) => arguments,
            None => encode(&client, args).await?,
        };
        let call = client.call(args.operation.clone(), arguments).touching(args.touch.iter().cloned());
        carry_out(&client, output, call, &args.sending, None).await
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
