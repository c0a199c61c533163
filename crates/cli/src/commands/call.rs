//! `pleach call`.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use pleach_client::Client;
use pleach_types::limits::REQUEST_BYTES_MAX;
use pleach_vm::Schema;
use pleach_vm::schema::{Type, arguments_schema};

use super::connected::with_settings;
use super::sending::{carry_out, settings};
use crate::args::{Call, Global};
use crate::errors::{CliError, Ending};
use crate::files;
use crate::names;
use crate::output::Output;

/// Encodes the arguments, then simulates or sends.
pub fn run(global: &Global, output: Output, args: &Call) -> Result<Ending, CliError> {
    names::show(output, std::slice::from_ref(&args.operation));
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
        // Where none are described and none are given, there are none.
        if args.arguments.is_empty() {
            return Ok(Bytes::new());
        }
        return Err(CliError::NoSchema { operation: operation.clone() });
    };
    let words = from_files(&schema, &args.arguments, io::stdin())?;
    let encoded = schema.encode_words(operation.as_str(), &words);
    encoded.map(Bytes::from).map_err(|why| CliError::Arguments { why, signature: format!("{operation}: {schema}") })
}

/// Puts contents of files in the place of the words that name one: `@FILE`, or `-` for standard input, also after the name of an argument. What
/// is to begin with `@` itself is written `@@`. Bytes are taken as they are; of a text the newline at its end is left out, which editors add.
fn from_files(schema: &Schema, words: &[String], mut input: impl Read) -> Result<Vec<String>, CliError> {
    let type_of = |name: &str| schema.arguments.iter().find(|(of, _)| of == name).map(|(_, ty)| ty);
    let mut found = Vec::new();
    for (position, word) in words.iter().enumerate() {
        let named = word.split_once('=').and_then(|(name, value)| Some((format!("{name}="), value, type_of(name)?)));
        let at = schema.arguments.get(position).map_or(&Type::Str, |(_, ty)| ty);
        let (prefix, value, ty) = named.unwrap_or((String::new(), word, at));
        let value = match value.strip_prefix('@') {
            // Before any path, so that each text can be written, also one that begins as a path does.
            Some(literal) if literal.starts_with('@') => literal.to_owned(),
            Some(path) => as_word(ty, path, files::read(Path::new(path), REQUEST_BYTES_MAX)?)?,
            None if value == "-" => {
                let mut bytes = Vec::new();
                let read = input.by_ref().take(REQUEST_BYTES_MAX as u64).read_to_end(&mut bytes);
                read.map_err(CliError::file("read", Path::new("standard input")))?;
                as_word(ty, "-", bytes.into())?
            }
            None => value.to_owned(),
        };
        found.push(prefix + &value);
    }
    Ok(found)
}

fn as_word(ty: &Type, source: &str, content: Bytes) -> Result<String, CliError> {
    if matches!(ty, Type::Bytes) {
        return Ok(format!("0x{}", hex::encode(content)));
    }
    let text = String::from_utf8(content.into()).map_err(|_| {
        CliError::usage(
            format!("{source} holds no UTF-8 text, and this argument is none of bytes"),
            "give a text, or an operation that takes bytes",
        )
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use pleach_testkit::folder::Folder;

    use super::*;

    #[test]
    fn arguments_come_from_files_and_from_standard_input() {
        let folder = Folder::new();
        let file = folder.write("text", "two\nlines\n");
        let schema: Schema = "name: str, value: bytes".parse().expect("a description");
        let at = format!("@{}", file.display());
        let read = |words: &[&str], input: &[u8]| {
            from_files(&schema, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), input)
        };
        assert_eq!(read(&[&at, &at], b"").expect("files"), ["two\nlines", "0x74776f0a6c696e65730a"]);
        assert_eq!(read(&[&format!("value={at}"), "name=-"], b"in\r\n").expect("files")[1], "name=in");
        assert_eq!(read(&["@@x", "-"], b"\xff").expect("no file"), ["@x", "0xff"]);
        assert_eq!(read(&["a=b", "-1"], b"").expect("no file"), ["a=b", "-1"], "a is no argument's name");
        assert_eq!(read(&["@nowhere"], b"").expect_err("no such file").exit_code(), 8);
        assert_eq!(read(&["-"], b"\xff").expect_err("no text").exit_code(), 2);
    }
}
