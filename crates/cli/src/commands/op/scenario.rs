//! Scenarios of an operation, as a file has them: records before, a call, records after or the refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pleach_node::config::from_toml;
use pleach_tree::ValueDigest;
use pleach_types::{Event, Hash, Height, Key, Limits, PublicKey, SecretKey};
use pleach_vm::schema::arguments_schema;
use pleach_vm::{ArgumentError, Schema};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::module::read_module;
use crate::commands::decode;
use crate::errors::CliError;
use crate::files;
use crate::output::value_text;

/// The file of a folder.
const FILE: &str = "scenarios.toml";
/// Bytes of a file with scenarios.
const SCENARIO_FILE_BYTES_MAX: usize = 4 << 20;
/// What to do about a file that is none.
const HINT: &str = "\"pleach op test --help\" shows the format";

/// An operation, and what it is to do.
#[derive(Debug)]
pub struct Scenarios {
    /// The operation's key.
    pub operation: Key,
    /// Its module.
    pub module: PathBuf,
    /// The module's bytes.
    pub code: Bytes,
    /// The forms of records and output.
    pub forms: Forms,
    /// The scenarios, in the file's order.
    pub list: Vec<OpScenario>,
}

/// One scenario.
#[derive(Debug)]
pub struct OpScenario {
    /// What it is called.
    pub name: String,
    /// The height of the block.
    pub height: Height,
    /// Who signs, ascending.
    pub signers: Vec<PublicKey>,
    /// The encoded arguments.
    pub arguments: Bytes,
    /// The records that the request lists; none to list those that are opened.
    pub listed: Option<BTreeSet<Key>>,
    /// The records before.
    pub before: BTreeMap<Key, Bytes>,
    /// What is to come of it.
    pub expected: ExpectedEnd,
    /// The output, if that is said.
    pub output: Option<Bytes>,
    /// The events, if they are said.
    pub events: Option<Vec<Event>>,
    /// What is logged, if that is said.
    pub logs: Option<Vec<String>>,
}

/// What is to come of a scenario.
#[derive(Debug)]
pub enum ExpectedEnd {
    /// These records change, to these values or none, and no other.
    Changes(BTreeMap<Key, Option<Bytes>>),
    /// It is refused.
    Refused {
        /// The code of the refusal.
        reason: String,
        /// The code of the abort, if that is said.
        code: Option<u32>,
        /// The message of the abort, if that is said.
        message: Option<String>,
    },
}

/// The forms that records have, by the beginning of their keys, and the form of the output.
#[derive(Debug, Default)]
pub struct Forms {
    records: BTreeMap<String, Schema>,
    output: Option<Schema>,
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    operation: Key,
    module: PathBuf,
    output: Option<String>,
    #[serde(default)]
    forms: BTreeMap<String, String>,
    #[serde(rename = "scenario", default)]
    scenarios: Vec<ScenarioText>,
}

/// A scenario, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioText {
    name: String,
    #[serde(default = "first_height")]
    height: Height,
    #[serde(default)]
    signers: Vec<String>,
    arguments: Option<FileValue>,
    arguments_hex: Option<String>,
    listed: Option<BTreeSet<Key>>,
    #[serde(default)]
    records: BTreeMap<Key, FileValue>,
    after: Option<BTreeMap<Key, FileValue>>,
    refused: Option<String>,
    code: Option<u32>,
    message: Option<String>,
    output: Option<FileValue>,
    events: Option<Vec<EventText>>,
    logs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText {
    topic: String,
    #[serde(default)]
    data: String,
}

/// A value of the file, as JSON has it. Numbers that are too large for JSON are their digits, as text.
struct FileValue(Value);

impl<'de> Deserialize<'de> for FileValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = FileValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true, false, an array or a table")
    }

    fn visit_bool<E>(self, value: bool) -> Result<FileValue, E> {
        Ok(FileValue(json!(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<FileValue, E> {
        Ok(FileValue(json!(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<FileValue, E> {
        Ok(FileValue(json!(value)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<FileValue, E> {
        Ok(FileValue(json!(value.to_string())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<FileValue, E> {
        Ok(FileValue(json!(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<FileValue, E> {
        Ok(FileValue(json!(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<FileValue, E> {
        Ok(FileValue(json!(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<FileValue, A::Error> {
        let mut values = Vec::new();
        while let Some(FileValue(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(FileValue(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<FileValue, A::Error> {
        let mut values = serde_json::Map::new();
        while let Some((name, FileValue(value))) = fields.next_entry::<String, FileValue>()? {
            values.insert(name, value);
        }
        Ok(FileValue(Value::Object(values)))
    }
}

const fn first_height() -> Height {
    1
}

impl Scenarios {
    /// Reads a file, or the file of a folder, and the module that it names.
    ///
    /// # Errors
    /// If one of them cannot be read, is none, or contradicts itself; with the scenario and what may stand there.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let bytes = files::read(&path, SCENARIO_FILE_BYTES_MAX)?;
        let wrong = |why: String| CliError::usage(format!("{}: {why}", path.display()), HINT);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("this is not text, so no scenarios".into()))?;
        let file: FileText = from_toml(text).map_err(wrong)?;
        if file.scenarios.is_empty() {
            return Err(wrong("there is no [[scenario]] in it".into()));
        }
        // Figures of gas are kept by these names.
        let mut names = BTreeSet::new();
        if let Some(twice) = file.scenarios.iter().find(|scenario| !names.insert(&scenario.name)) {
            return Err(wrong(format!("two scenarios are called {:?}", twice.name)));
        }
        let module = path.parent().unwrap_or(Path::new("")).join(&file.module);
        let (code, _) = read_module(&module, &Limits::default())?;
        let forms = Forms::new(file.forms, file.output).map_err(wrong)?;
        let context = ScenarioContext { operation: &file.operation, schema: arguments_schema(&code), forms: &forms };
        let read = |text: ScenarioText| {
            let name = text.name.clone();
            context.scenario(text).map_err(|why| wrong(format!("scenario {name:?}: {why}")))
        };
        let list = file.scenarios.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { operation: file.operation, module, code, forms, list })
    }
}

impl Forms {
    fn new(records: BTreeMap<String, String>, output: Option<String>) -> Result<Self, String> {
        let form =
            |what: &str, text: &str| text.parse::<Schema>().map_err(|e| format!("the form of {what}, {text:?}: {e}"));
        let output = output.map(|text| form("the output", &text)).transpose()?;
        let records = records.into_iter().map(|(key, text)| Ok((key.clone(), form(&key, &text)?)));
        Ok(Self { records: records.collect::<Result<_, String>>()?, output })
    }

    /// The form of a record: that of the longest beginning of its key.
    fn of(&self, key: &Key) -> Option<&Schema> {
        let fits = self.records.iter().filter(|(beginning, _)| key.as_str().starts_with(beginning.as_str()));
        fits.max_by_key(|(beginning, _)| beginning.len()).map(|(_, form)| form)
    }

    /// A record's value for people.
    pub fn record(&self, key: &Key, value: Option<&Bytes>) -> String {
        shown(self.of(key), value)
    }

    /// An output for people.
    pub fn output(&self, value: &Bytes) -> String {
        shown(self.output.as_ref(), Some(value))
    }
}

fn shown(form: Option<&Schema>, value: Option<&Bytes>) -> String {
    let line = |(form, value)| decode::decode(form, value).ok().map(|fields| decode::line(form, &fields));
    form.zip(value).and_then(line).unwrap_or_else(|| value_text(value))
}

/// What the values of a scenario are read with.
struct ScenarioContext<'a> {
    operation: &'a Key,
    schema: Option<Schema>,
    forms: &'a Forms,
}

impl ScenarioContext<'_> {
    fn scenario(&self, text: ScenarioText) -> Result<OpScenario, String> {
        let aborts = text.code.is_some() || text.message.is_some();
        let expected = match (text.after, text.refused) {
            (Some(after), None) if !aborts => {
                let change = |(key, FileValue(value)): (Key, FileValue)| Ok((key.clone(), self.record(&key, value)?));
                ExpectedEnd::Changes(after.into_iter().map(change).collect::<Result<_, String>>()?)
            }
            (None, Some(reason)) => ExpectedEnd::Refused { reason, code: text.code, message: text.message },
            (None, None) if aborts => return Err("code and message belong to refused = \"ABORTED\"".into()),
            (None, None) => return Err("what is to come of it? Give after = { … } or refused = \"…\"".into()),
            (Some(_), None) => return Err("code and message belong to refused, not to after".into()),
            (Some(_), Some(_)) => return Err("either after or refused: what is refused changes nothing".into()),
        };
        let record =
            |(key, FileValue(value)): (Key, FileValue)| Ok(self.record(&key, value)?.map(|value| (key.clone(), value)));
        let before = text.records.into_iter().map(record).filter_map(Result::transpose);
        let signers = text.signers.iter().map(|signer| signer_of(signer)).collect::<Result<BTreeSet<_>, String>>()?;
        let output =
            text.output.map(|FileValue(value)| value_of("output", self.forms.output.as_ref(), value)).transpose()?;
        let event = |event: EventText| Ok(Event { topic: bytes_of(&event.topic)?, data: bytes_of(&event.data)? });
        let events = text.events.map(|events| events.into_iter().map(event).collect::<Result<_, String>>());
        Ok(OpScenario {
            arguments: self.arguments(text.arguments.map(|FileValue(value)| value), text.arguments_hex)?,
            before: before.collect::<Result<_, String>>()?,
            name: text.name,
            height: text.height,
            signers: signers.into_iter().collect(),
            listed: text.listed,
            expected,
            output: output.flatten(),
            events: events.transpose()?,
            logs: text.logs,
        })
    }

    fn arguments(&self, value: Option<Value>, digits: Option<String>) -> Result<Bytes, String> {
        match (value, digits, &self.schema) {
            (Some(_), Some(_), _) => Err("either arguments or arguments_hex".into()),
            (_, Some(digits), _) => hex_of(&digits).map_err(|e| format!("arguments_hex {e}")),
            (None, None, None) => Ok(Bytes::new()),
            (Some(_), None, None) => {
                Err("the module does not describe its arguments: give arguments_hex, or describe them with \
                \"pleach op describe\""
                    .into())
            }
            (value, None, Some(schema)) => {
                let value = with_keys(value.unwrap_or_else(|| json!([])));
                let encoded = schema.encode_json(self.operation.as_str(), &value);
                encoded.map(Bytes::from).map_err(|e| format!("{e}; it takes: {schema}"))
            }
        }
    }

    fn record(&self, key: &Key, value: Value) -> Result<Option<Bytes>, String> {
        value_of(key.as_str(), self.forms.of(key), value)
    }
}

/// The bytes of a value: by its form, or as they are. None for a record that is absent.
fn value_of(name: &str, form: Option<&Schema>, value: Value) -> Result<Option<Bytes>, String> {
    let of_form = |field: &str| form.is_some_and(|form| form.arguments.iter().any(|(known, _)| known == field));
    if value == json!({"absent": true}) && !of_form("absent") {
        return Ok(None);
    }
    if let Value::Object(fields) = &value
        && let [(only, digits)] = fields.iter().collect::<Vec<_>>()[..]
        && only == "hex"
        && !of_form("hex")
    {
        return hex_of(digits.as_str().unwrap_or_default()).map(Some).map_err(|e| format!("{name}: {e}"));
    }
    match (form, with_keys(value)) {
        (Some(form), value) => {
            // The only field needs no name.
            let alone = form.arguments.len() == 1 && !value.is_object();
            let value = if alone { json!([value]) } else { value };
            let encoded = form.encode_json(name, &value).map_err(|e| match e {
                ArgumentError::Value { name: field, value, expected } => {
                    format!("{name}: {field} {value:?} is not {expected}")
                }
                other => other.to_string(),
            });
            encoded.map(|bytes| Some(bytes.into()))
        }
        (None, Value::String(text)) => bytes_of(&text).map(Some).map_err(|e| format!("{name}: {e}")),
        (None, other) => Err(format!("{name}: {other} has no form: give one in [forms], or write text or \"0x…\"")),
    }
}

fn bytes_of(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix("0x") {
        Some(digits) => hex_of(digits),
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
}

fn hex_of(digits: &str) -> Result<Bytes, String> {
    let decoded = hex::decode(digits).map(Bytes::from);
    decoded.map_err(|e| format!("{digits:?} is not pairs of hexadecimal digits: {e}"))
}

/// The key of somebody by this name, always the same: a real one, whose secret everybody knows.
fn key_of(name: &str) -> PublicKey {
    SecretKey::from_seed(Hash::from(ValueDigest::of(name.as_bytes())).0).public()
}

fn signer_of(text: &str) -> Result<PublicKey, String> {
    match text.strip_prefix('@') {
        Some(name) if !name.is_empty() => Ok(key_of(name)),
        _ => text.parse().map_err(|e| format!("signer {text:?}: {e}; or write \"@alice\" for somebody's key")),
    }
}

/// Puts keys in the place of the names of people, and nothing in the place of `{ none = true }`: TOML has no word for it. The parser
/// bounds how deep a value is.
fn with_keys(value: Value) -> Value {
    match value {
        none if none == json!({"none": true}) => Value::Null,
        Value::String(text) => match text.strip_prefix('@') {
            // Two of them stand for text that begins with one.
            Some(rest) if rest.starts_with('@') => Value::String(rest.into()),
            Some(name) if !name.is_empty() => json!(key_of(name)),
            _ => Value::String(text),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(with_keys).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, with_keys(value))).collect())
        }
        other => other,
    }
}
