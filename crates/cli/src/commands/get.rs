//! `pleach get`: proved, or not printed.

use std::io::IsTerminal as _;

use pleach_client::{Config, Freshness, ReadOptions, Record, Trust, Verified};
use pleach_types::api::Value;
use pleach_types::{Height, Key};
use pleach_vm::Schema;
use serde::Serialize;
use serde_json::Map;

use super::connected::with_settings;
use super::{decode, proof};
use crate::args::{Get, Global};
use crate::connection;
use crate::errors::{CliError, Ending};
use crate::files::NewFile;
use crate::names;
use crate::output::{Output, row, table, value_text};

#[derive(Serialize)]
struct Document {
    height: Height,
    trust: Trust,
    freshness: Freshness,
    records: Vec<RecordView>,
}

#[derive(Serialize)]
struct RecordView {
    key: Key,
    present: bool,
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<Map<String, serde_json::Value>>,
}

/// Reads records and prints them.
pub fn run(global: &Global, output: Output, args: &Get) -> Result<Ending, CliError> {
    if args.raw && args.keys.len() != 1 {
        let what = format!("--raw writes one value, {} keys were given", args.keys.len());
        return Err(CliError::usage(what, "give one key, or leave out --raw"));
    }
    names::show(output, &args.keys);
    let place = args.proof.as_deref().map(NewFile::at).transpose()?;
    let reads = ReadOptions { fresh: !args.stale_ok, trust: args.trust.into(), min_height: args.min_height };
    let settings = Config { signed_replies: args.signed, reads, ..connection::settings(global.timeout) };
    let (records, file) = with_settings(global, settings, |client| async move {
        match place {
            Some(place) => {
                let (records, file) = client.prove(&args.keys).await?;
                Ok((records, Some((place, file))))
            }
            None => Ok((client.get(&args.keys).await?, None)),
        }
    })?;
    // What was read is printed whatever becomes of the file, and the file is written whoever reads the print.
    let kept = file.map(|(place, file)| proof::write(output, place, &file)).transpose();
    if args.raw {
        raw(output, &records)?
    } else {
        print(output, &records, args.decode.as_ref())?
    }
    kept?;
    let all_present = records.iter().all(|record| record.value.is_some());
    Ok(if all_present { Ending::Done } else { Ending::Absent })
}

fn raw(output: Output, records: &Verified<Vec<Record>>) -> Result<(), CliError> {
    let Some(Record { value: Some(value), key }) = records.first() else {
        output.talk(format_args!("the record is absent at height {} (proved)", records.height()));
        return Ok(());
    };
    if std::io::stdout().is_terminal() && std::str::from_utf8(value).is_err() {
        let what = format!("{key} has {} bytes that are not text: a terminal is no place for them", value.len());
        return Err(CliError::usage(what, "send them to a file: pleach get KEY --raw > FILE"));
    }
    output.raw(value)
}

fn print(output: Output, records: &Verified<Vec<Record>>, schema: Option<&Schema>) -> Result<(), CliError> {
    let view = |record: &Record| RecordView {
        key: record.key.clone(),
        present: record.value.is_some(),
        value: record.value.as_ref().map(Value::from),
        decoded: decoded(output, record, schema),
    };
    let (height, trust, freshness) = (records.height(), records.trust(), records.freshness());
    let document = Document { height, trust, freshness, records: records.iter().map(view).collect() };
    output.data("pleach.get/1", &document, || {
        let mut rows = vec![row!["KEY", "HEIGHT", "AGE", "TRUST", "VALUE"]];
        for (record, view) in records.iter().zip(&document.records) {
            let fields = schema.zip(view.decoded.as_ref());
            let fields = fields.map(|(schema, fields)| decode::line(schema, fields));
            let value = fields.unwrap_or_else(|| value_text(record.value.as_ref()));
            rows.push(row![record.key, format!("#{height}"), freshness, trust, value]);
        }
        table(&rows)
    })
}

/// The fields of a record's value. One that is of another form is shown as it is: it is proved all the same.
fn decoded(output: Output, record: &Record, schema: Option<&Schema>) -> Option<Map<String, serde_json::Value>> {
    let (schema, value) = (schema?, record.value.as_ref()?);
    let fields = decode::decode(schema, value);
    fields.inspect_err(|e| output.talk(format_args!("! {} is not \"{schema}\": {e}", record.key))).ok()
}
