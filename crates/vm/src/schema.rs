//! The arguments of an operation: their description in its module, and their encoding from what people type.
//!
//! The description is text, `from: str, to: str, amount: u64`; the encoding is the layout of
//! `pleach_types::codec`. Types:
//!
//! | type | encoding | on a command line | in JSON |
//! |---|---|---|---|
//! | `str` | length and UTF-8 | the text | string |
//! | `bytes` | length and bytes | `0x` and hexadecimal digits, or text | the same, as a string |
//! | `u8`, `u16`, `u32`, `u64`, `u128` | as many bits, little-endian | decimal digits | number, or string of digits |
//! | `i8`, `i16`, `i32`, `i64`, `i128` | likewise, two's complement | the same, `-` in front of a negative one | the same |
//! | `bool` | 1 byte | `true` or `false` | the same |
//! | `key` | 32 bytes | 64 hexadecimal digits | the same, as a string |
//! | `option<T>` | 0, or 1 and the value | `none`, or the value | `null`, or the value |
//! | `list<T>` | count and values | a JSON array | array |
//! | `(T, U)`, and more | all values | a JSON array of as many | array of as many |
//! | `{a: T, b: U}` | all values, in this order | a JSON object of these names | object of these names |

use std::fmt;

use pleach_types::codec;
use pleach_types::limits::ARGUMENT_BYTES_MAX;
use serde_json::Value;
use thiserror::Error;
use wasm_encoder::{CustomSection, RawSection};

use crate::abi::ARGUMENTS_SECTION;
use crate::check::{InvalidOperation, invalid};

/// Types within types that a description may have.
const DEPTH: usize = 16;
/// Characters of a value that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;
/// Arguments that an operation may have; as many parts may a tuple or a record have.
const ARGUMENTS: usize = 64;
/// The types of numbers.
const NUMBERS: [(&str, Number); 10] = [
    ("u8", Number { bytes: 1, signed: false }),
    ("u16", Number { bytes: 2, signed: false }),
    ("u32", Number { bytes: 4, signed: false }),
    ("u64", Number { bytes: 8, signed: false }),
    ("u128", Number { bytes: 16, signed: false }),
    ("i8", Number { bytes: 1, signed: true }),
    ("i16", Number { bytes: 2, signed: true }),
    ("i32", Number { bytes: 4, signed: true }),
    ("i64", Number { bytes: 8, signed: true }),
    ("i128", Number { bytes: 16, signed: true }),
];

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// UTF-8 text.
    Str,
    /// Any bytes.
    Bytes,
    /// A whole number.
    Number(Number),
    /// True or false.
    Bool,
    /// An Ed25519 public key.
    Key,
    /// A value or none.
    Option(Box<Self>),
    /// Any number of values.
    List(Box<Self>),
    /// Two values or more, one after the other.
    Tuple(Vec<Self>),
    /// One value or more, each with a name.
    Record(Vec<(String, Self)>),
}

/// A type of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// How many bytes it has: 1, 2, 4, 8 or 16.
    pub bytes: usize,
    /// Whether it may be negative.
    pub signed: bool,
}

impl Number {
    /// The number that digits say, little-endian in two's complement, in the first [`Number::bytes`] of these. None for anything else
    /// and for what is out of range. Nothing but digits, and `-` in front of a negative number: `parse` alone would take a plus.
    fn of_digits(self, text: &str) -> Option<[u8; 16]> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) if self.signed => (true, digits),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let size: u128 = digits.parse().ok()?;
        let bits = 8 * self.bytes as u32 - u32::from(self.signed);
        // All numbers of so many bits; of negative ones one more.
        let most = u128::MAX >> (128 - bits);
        let most = if negative { most + 1 } else { most };
        let number = if negative { size.wrapping_neg() } else { size };
        (size <= most).then(|| number.to_le_bytes())
    }

    /// The digits of a number in [`Number::bytes`] bytes, little-endian.
    #[must_use]
    pub fn digits(self, bytes: &[u8]) -> String {
        let negative = self.signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 16];
        whole[..bytes.len().min(16)].copy_from_slice(&bytes[..bytes.len().min(16)]);
        if negative { i128::from_le_bytes(whole).to_string() } else { u128::from_le_bytes(whole).to_string() }
    }

    fn name(self) -> &'static str {
        NUMBERS.iter().find(|(_, number)| *number == self).map_or("number", |(name, _)| name)
    }
}

/// The arguments of an operation, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Name and type of each.
    pub arguments: Vec<(String, Type)>,
}

/// Why text describes no arguments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("arguments section at byte {at}: {expected}")]
pub struct SchemaError {
    /// Where in the text.
    pub at: usize,
    /// What should stand there.
    pub expected: &'static str,
}

/// Why values are not the arguments of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgumentError {
    /// A value is missing, or there is one too many.
    #[error("{operation} needs {}; got {given} ({problem})", expected_text(.expected))]
    Count {
        /// The operation.
        operation: String,
        /// Names of its arguments.
        expected: Vec<String>,
        /// How many values there are.
        given: usize,
        /// Which is missing, or which is not expected.
        problem: String,
    },
    /// A value is not of its type.
    #[error("argument {name}: {value:?} is not {expected}")]
    Value {
        /// The argument, with the place within lists and pairs.
        name: String,
        /// What was given.
        value: String,
        /// The type.
        expected: String,
    },
    /// The values are larger than any request may carry.
    #[error("the arguments take {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// Their encoding's bytes.
        actual: usize,
        /// The limit.
        limit: usize,
    },
}

fn expected_text(names: &[String]) -> String {
    if names.is_empty() { "no arguments".into() } else { names.join(", ") }
}

/// Reads the description of arguments from a module. None if it has none that can be understood: such an
/// operation takes raw bytes.
#[must_use]
pub fn arguments_schema(code: &[u8]) -> Option<Schema> {
    let sections = wasmparser::Parser::new(0).parse_all(code);
    for payload in sections {
        if let wasmparser::Payload::CustomSection(section) = payload.ok()?
            && section.name() == ARGUMENTS_SECTION
        {
            return std::str::from_utf8(section.data()).ok()?.parse().ok();
        }
    }
    None
}

/// The module with this description of its arguments, in the place of any that it has.
///
/// # Errors
/// If the bytes are no module.
pub fn describe(code: &[u8], schema: &Schema) -> Result<Vec<u8>, InvalidOperation> {
    let mut module = wasm_encoder::Module::new();
    for payload in wasmparser::Parser::new(0).parse_all(code) {
        let payload = payload.map_err(|e| invalid(&e, None))?;
        let described =
            matches!(&payload, wasmparser::Payload::CustomSection(section) if section.name() == ARGUMENTS_SECTION);
        if let Some((id, range)) = payload.as_section()
            && !described
        {
            module.section(&RawSection { id, data: &code[range.start as usize..range.end as usize] });
        }
    }
    let data = schema.to_string().into_bytes().into();
    module.section(&CustomSection { name: ARGUMENTS_SECTION.into(), data });
    Ok(module.finish())
}

impl Schema {
    /// Encodes arguments as people type them: by position (`alice bob 50`), by name (`to=bob amount=50`), or
    /// first some by position and then the rest by name. A value is taken by name if what stands before its
    /// first `=` is an argument's name.
    ///
    /// # Errors
    /// What is missing, unknown, or not of its type.
    pub fn encode_words<S: AsRef<str>>(&self, operation: &str, words: &[S]) -> Result<Vec<u8>, ArgumentError> {
        let mut values: Vec<Option<&str>> = vec![None; self.arguments.len()];
        let mut named = false;
        for (position, word) in words.iter().map(AsRef::as_ref).enumerate() {
            let (index, value) = match self.by_name(word) {
                Some(found) => {
                    named = true;
                    found
                }
                // After a name the position says nothing any more, and to guess could move somebody else's money.
                None if named => return Err(self.count(operation, words.len(), format!("{word:?} names no argument"))),
                None => (position, word),
            };
            match values.get_mut(index) {
                Some(place @ None) => *place = Some(value),
                Some(_) => {
                    let twice = format!("{} twice", self.arguments[index].0);
                    return Err(self.count(operation, words.len(), twice));
                }
                None => return Err(self.count(operation, words.len(), format!("{word:?} is too many"))),
            }
        }
        let mut out = Vec::new();
        for ((name, ty), value) in self.arguments.iter().zip(values) {
            let value = value.ok_or_else(|| self.count(operation, words.len(), format!("{name} missing")))?;
            ty.put_word(name, value, &mut out)?;
        }
        bounded(out)
    }

    /// Encodes arguments given as a JSON object (by name) or array (by position).
    ///
    /// # Errors
    /// What is missing, unknown, or not of its type.
    pub fn encode_json(&self, operation: &str, json: &Value) -> Result<Vec<u8>, ArgumentError> {
        let mut out = Vec::new();
        let given = match json {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            other => return Err(mismatch("of the whole", other, "an object or array of arguments")),
        };
        for (index, (name, ty)) in self.arguments.iter().enumerate() {
            let value = if let Value::Object(fields) = json { fields.get(name) } else { json.get(index) };
            let value = value.ok_or_else(|| self.count(operation, given, format!("{name} missing")))?;
            ty.put(name, value, &mut out)?;
        }
        if given > self.arguments.len() {
            let unknown = json.as_object().and_then(|fields| fields.keys().find(|k| self.index(k).is_none()));
            let problem = unknown.map_or_else(|| "too many".to_owned(), |name| format!("{name} is unknown"));
            return Err(self.count(operation, given, problem));
        }
        bounded(out)
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.arguments.iter().position(|(known, _)| known == name)
    }

    fn by_name<'w>(&self, word: &'w str) -> Option<(usize, &'w str)> {
        let (name, value) = word.split_once('=')?;
        Some((self.index(name)?, value))
    }

    fn count(&self, operation: &str, given: usize, problem: String) -> ArgumentError {
        let expected = self.arguments.iter().map(|(name, _)| name.clone()).collect();
        ArgumentError::Count { operation: operation.into(), expected, given, problem }
    }
}

fn bounded(out: Vec<u8>) -> Result<Vec<u8>, ArgumentError> {
    if out.len() > ARGUMENT_BYTES_MAX {
        return Err(ArgumentError::TooLarge { actual: out.len(), limit: ARGUMENT_BYTES_MAX });
    }
    Ok(out)
}

/// A value that does not fit, in the user's words as far as they are short.
fn mismatch(name: &str, value: &Value, expected: impl fmt::Display) -> ArgumentError {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let value = if shown.len() < text.len() { shown + "..." } else { shown };
    ArgumentError::Value { name: name.into(), value, expected: expected.to_string() }
}

impl Type {
    /// A word of a command line: text stays text, everything composed is JSON.
    fn put_word(&self, name: &str, word: &str, out: &mut Vec<u8>) -> Result<(), ArgumentError> {
        let value = Value::String(word.into());
        match self {
            Self::Option(_) if word == "none" => self.put(name, &Value::Null, out),
            Self::Option(inner) => {
                out.push(1);
                inner.put_word(name, word, out)
            }
            Self::List(_) | Self::Tuple(_) | Self::Record(_) => match serde_json::from_str(word) {
                Ok(json) => self.put(name, &json, out),
                Err(_) => Err(mismatch(name, &value, format_args!("{} (write it as JSON)", self.described()))),
            },
            _ => self.put(name, &value, out),
        }
    }

    fn put(&self, name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), ArgumentError> {
        let wrong = || mismatch(name, value, self.described());
        match self {
            Self::Str => codec::put_bytes(out, value.as_str().ok_or_else(wrong)?.as_bytes()),
            Self::Bytes => codec::put_bytes(out, &bytes(value.as_str().ok_or_else(wrong)?).ok_or_else(wrong)?),
            Self::Number(number) => {
                let digits = match value {
                    // As text too: many programs cannot write a JSON number above 2^53 without losing digits.
                    Value::String(digits) => digits.clone(),
                    Value::Number(number) if !number.is_f64() => number.to_string(),
                    _ => return Err(wrong()),
                };
                out.extend(&number.of_digits(&digits).ok_or_else(wrong)?[..number.bytes]);
            }
            Self::Bool => out.push(truth(value).ok_or_else(wrong)?.into()),
            Self::Key => out.extend(key(value).ok_or_else(wrong)?),
            Self::Option(_) if value.is_null() => out.push(0),
            Self::Option(inner) => {
                out.push(1);
                inner.put(name, value, out)?;
            }
            Self::List(inner) => {
                let items = value.as_array().ok_or_else(wrong)?;
                codec::put_count(out, items.len());
                for (i, item) in items.iter().enumerate() {
                    inner.put(&format!("{name}[{i}]"), item, out)?;
                }
            }
            Self::Tuple(types) => {
                let values = value.as_array().filter(|values| values.len() == types.len()).ok_or_else(wrong)?;
                for (i, (ty, value)) in types.iter().zip(values).enumerate() {
                    ty.put(&format!("{name}.{i}"), value, out)?;
                }
            }
            Self::Record(fields) => {
                let values = value.as_object().filter(|values| values.len() == fields.len()).ok_or_else(wrong)?;
                for (field, ty) in fields {
                    ty.put(&format!("{name}.{field}"), values.get(field).ok_or_else(wrong)?, out)?;
                }
            }
        }
        Ok(())
    }

    /// The type with its article, for messages.
    fn described(&self) -> String {
        match self {
            Self::Str => "text".into(),
            Self::Bytes => "bytes (0x and hexadecimal digits, or text)".into(),
            Self::Number(Number { signed: false, .. }) => format!("a {self}"),
            Self::Number(_) => format!("an {self}"),
            Self::Bool => "true or false".into(),
            Self::Key => "a key of 64 hexadecimal digits".into(),
            Self::Option(_) | Self::List(_) => {
                format!("{} {self}", if matches!(self, Self::List(_)) { "a" } else { "an" })
            }
            Self::Tuple(_) => format!("a tuple {self}"),
            Self::Record(_) => format!("a record {self}"),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).ok(),
        None => Some(text.as_bytes().to_vec()),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn key(value: &Value) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    hex::decode_to_slice(value.as_str()?, &mut key).ok()?;
    Some(key)
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str => f.write_str("str"),
            Self::Bytes => f.write_str("bytes"),
            Self::Number(number) => f.write_str(number.name()),
            Self::Bool => f.write_str("bool"),
            Self::Key => f.write_str("key"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Tuple(types) => {
                types
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, ty)| write!(f, "{}{ty}", if i == 0 { "(" } else { ", " }))?;
                f.write_str(")")
            }
            Self::Record(fields) => {
                f.write_str("{")?;
                write_named(f, fields)?;
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_named(f, &self.arguments)
    }
}

/// Names with their types.
fn write_named(f: &mut fmt::Formatter<'_>, named: &[(String, Type)]) -> fmt::Result {
    named.iter().enumerate().try_for_each(|(i, (name, ty))| write!(f, "{}{name}: {ty}", if i == 0 { "" } else { ", " }))
}

impl std::str::FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let mut parser = Parser { text, at: 0 };
        parser.space();
        let arguments = parser.named(DEPTH, |parser| parser.rest().is_empty())?;
        Ok(Self { arguments })
    }
}

/// Recursive descent, to a fixed depth: the text comes from a stranger's module.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    const fn fail(&self, expected: &'static str) -> SchemaError {
        SchemaError { at: self.at, expected }
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), SchemaError> {
        if !self.rest().starts_with(token) {
            return Err(self.fail(expected));
        }
        self.at += token.len();
        self.space();
        Ok(())
    }

    fn word(&mut self, expected: &'static str) -> Result<&'a str, SchemaError> {
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if len == 0 {
            return Err(self.fail(expected));
        }
        self.at += len;
        self.space();
        Ok(&rest[..len])
    }

    fn ty(&mut self, depth: usize) -> Result<Type, SchemaError> {
        // Descriptions come from strangers' modules: without a bound a few bytes of brackets would end the stack.
        let Some(depth) = depth.checked_sub(1) else { return Err(self.fail("a type that is less nested")) };
        if self.rest().starts_with('(') {
            return self.tuple(depth);
        }
        if self.rest().starts_with('{') {
            self.expect("{", "a record")?;
            let fields = self.named(depth, |parser| parser.rest().starts_with('}'))?;
            if fields.is_empty() {
                return Err(self.fail("the name of a field"));
            }
            self.expect("}", "the end of a record")?;
            return Ok(Type::Record(fields));
        }
        const TYPES: &str =
            "one of str, bytes, u8 to u128, i8 to i128, bool, key, option<T>, list<T>, (T, U), {name: T}";
        let start = self.at;
        let word = self.word(TYPES)?;
        if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| *name == word) {
            return Ok(Type::Number(*number));
        }
        Ok(match word {
            "str" => Type::Str,
            "bytes" => Type::Bytes,
            "bool" => Type::Bool,
            "key" => Type::Key,
            "option" => Type::Option(self.inner(depth)?.into()),
            "list" => Type::List(self.inner(depth)?.into()),
            _ => return Err(SchemaError { at: start, expected: TYPES }),
        })
    }

    fn tuple(&mut self, depth: usize) -> Result<Type, SchemaError> {
        self.expect("(", "a tuple")?;
        let mut types = vec![self.ty(depth)?];
        while types.len() < 2 || !self.rest().starts_with(')') {
            self.expect(",", "a comma between the types of a tuple")?;
            if types.len() == ARGUMENTS {
                return Err(self.fail("the end: 64 parts are enough"));
            }
            types.push(self.ty(depth)?);
        }
        self.expect(")", "the end of a tuple")?;
        Ok(Type::Tuple(types))
    }

    /// Names with their types, separated by commas, until `ended`.
    fn named(&mut self, depth: usize, ended: impl Fn(&Self) -> bool) -> Result<Vec<(String, Type)>, SchemaError> {
        let mut named: Vec<(String, Type)> = Vec::new();
        while !ended(self) {
            if !named.is_empty() {
                self.expect(",", "a comma, and the next name")?;
            }
            if named.len() == ARGUMENTS {
                return Err(self.fail("the end: 64 names are enough"));
            }
            let name = self.word("a name")?.to_owned();
            if named.iter().any(|(known, _)| *known == name) {
                return Err(self.fail("a name that is not taken"));
            }
            self.expect(":", "a colon and a type")?;
            named.push((name, self.ty(depth)?));
        }
        Ok(named)
    }

    fn inner(&mut self, depth: usize) -> Result<Type, SchemaError> {
        self.expect("<", "\"<\" and a type")?;
        let inner = self.ty(depth)?;
        self.expect(">", "\">\"")?;
        Ok(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        text.parse().unwrap()
    }

    fn transfer() -> Schema {
        schema("from: str, to: str, amount: u64")
    }

    #[test]
    fn descriptions_are_read_and_printed_back() {
        for text in [
            "",
            "a: str",
            "from: str, to: str, amount: u64",
            "changes: list<(str, option<bytes>)>, k: key, f: bool",
            "a: u8, b: u16, c: u32, d: u64, e: u128, f: i8, g: i16, h: i32, i: i64, j: i128",
            "a: (str, u8, bool), b: list<{name: str, at: (i8, i8)}>",
        ] {
            assert_eq!(schema(text).to_string(), text);
        }
        assert_eq!(schema(" a :list < ( str ,u64) > "), schema("a: list<(str, u64)>"));
    }

    #[test]
    fn bad_descriptions_are_refused_where_they_go_wrong() {
        for (text, at) in [
            ("a", 1),
            ("a: ", 3),
            ("a: i33", 3),
            ("a: {}", 4),
            ("a: {b}", 5),
            ("a: {b: str, b: str}", 13),
            ("a: {b: str", 10),
            ("a: (str, u8", 11),
            ("a: str b: str", 7),
            ("a: list<str", 11),
            ("a: (str)", 7),
            ("a: str, a: str", 9),
            ("a: str,", 7),
            ("é: str", 0),
        ] {
            assert_eq!(text.parse::<Schema>().map_err(|e| e.at), Err(at), "{text}");
        }
        let deep = format!("a: {}str{}", "list<".repeat(100_000), ">".repeat(100_000));
        assert!(deep.parse::<Schema>().is_err());
        let many = (0..65).map(|i| format!("a{i}: str")).collect::<Vec<_>>().join(", ");
        assert!(many.parse::<Schema>().is_err());
    }

    #[test]
    fn words_by_position_and_by_name_mean_the_same() {
        let expected = [&5u32.to_le_bytes()[..], b"alice", &3u32.to_le_bytes(), b"bob", &50u64.to_le_bytes()].concat();
        for words in
            [&["alice", "bob", "50"][..], &["alice", "amount=50", "to=bob"], &["to=bob", "from=alice", "amount=50"]]
        {
            assert_eq!(transfer().encode_words("bank/transfer", words), Ok(expected.clone()), "{words:?}");
        }
        for json in
            [serde_json::json!(["alice", "bob", 50]), serde_json::json!({"to": "bob", "amount": "50", "from": "alice"})]
        {
            assert_eq!(transfer().encode_json("bank/transfer", &json), Ok(expected.clone()));
        }
        // What only looks like a name is a value.
        assert!(schema("a: str").encode_words("x", &["b=c"]).is_ok_and(|bytes| bytes.ends_with(b"b=c")));
    }

    #[test]
    fn errors_name_the_argument_and_the_value() {
        let say = |words: &[&str]| transfer().encode_words("bank/transfer", words).unwrap_err().to_string();
        assert_eq!(say(&["alice", "bob", "-5"]), "argument amount: \"-5\" is not a u64");
        assert_eq!(say(&["alice", "bob", "+5"]), "argument amount: \"+5\" is not a u64");
        assert_eq!(
            say(&["alice", "bob", "18446744073709551616"]),
            "argument amount: \"18446744073709551616\" is not a u64"
        );
        assert_eq!(say(&["alice", "bob"]), "bank/transfer needs from, to, amount; got 2 (amount missing)");
        assert_eq!(say(&["alice", "bob", "1", "2"]), "bank/transfer needs from, to, amount; got 4 (\"2\" is too many)");
        assert_eq!(say(&["alice", "from=bob"]), "bank/transfer needs from, to, amount; got 2 (from twice)");
        assert_eq!(say(&["from=bob", "x"]), "bank/transfer needs from, to, amount; got 2 (\"x\" names no argument)");
        let json = |json| transfer().encode_json("bank/transfer", &json).unwrap_err().to_string();
        assert_eq!(
            json(serde_json::json!({"from": "a", "to": "b", "amount": 1, "x": 1})),
            "bank/transfer needs from, to, amount; got 4 (x is unknown)"
        );
        assert_eq!(json(serde_json::json!(["a", "b", 1.5])), "argument amount: \"1.5\" is not a u64");
        assert_eq!(json(serde_json::json!(["a", 7, 1])), "argument to: \"7\" is not text");
        let list = schema("accounts: list<(str, u64)>");
        assert_eq!(
            list.encode_words("x", &["[[\"a\", 1], [\"b\", true]]"]).unwrap_err().to_string(),
            "argument accounts[1].1: \"true\" is not a u64"
        );
        assert_eq!(
            list.encode_words("x", &["a 1"]).unwrap_err().to_string(),
            "argument accounts: \"a 1\" is not a list<(str, u64)> (write it as JSON)"
        );
        assert_eq!(
            schema("").encode_words("x", &["a"]).unwrap_err().to_string(),
            "x needs no arguments; got 1 (\"a\" is too many)"
        );
    }

    #[test]
    fn every_type_has_its_encoding() {
        let one = |ty: &str, word: &str| schema(&format!("a: {ty}")).encode_words("x", &[word]).unwrap();
        assert_eq!(one("bytes", "0x00ff"), [2, 0, 0, 0, 0, 255]);
        assert_eq!(one("bytes", "hi"), [2, 0, 0, 0, b'h', b'i']);
        assert_eq!(one("bool", "true"), [1]);
        assert_eq!(one("key", &"ab".repeat(32)), [0xab; 32]);
        assert_eq!(one("option<u64>", "none"), [0]);
        assert_eq!(one("option<u64>", "1"), [1, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(one("list<option<bool>>", "[null, true]"), [2, 0, 0, 0, 0, 1, 1]);
        assert_eq!(one("(bool, str)", "[false, \"x\"]"), [0, 1, 0, 0, 0, b'x']);
        assert_eq!(one("(bool, u8, u8)", "[true, 2, 3]"), [1, 2, 3]);
        assert_eq!(one("{b: u8, a: bool}", "{\"a\": true, \"b\": 7}"), [7, 1]);
    }

    #[test]
    fn numbers_have_their_bits_and_no_more() {
        for (name, number) in NUMBERS {
            let schema = schema(&format!("a: {name}"));
            let bits = 8 * number.bytes as u32;
            let (least, most) = if number.signed {
                (i128::MIN >> (128 - bits), (i128::MAX >> (128 - bits)).cast_unsigned())
            } else {
                (0, u128::MAX >> (128 - bits))
            };
            let encode = |word: &str| schema.encode_words("x", &[word]);
            assert_eq!(encode(&most.to_string()), Ok(most.to_le_bytes()[..number.bytes].to_vec()), "{name}");
            assert_eq!(encode(&least.to_string()), Ok(least.to_le_bytes()[..number.bytes].to_vec()), "{name}");
            for edge in [most.to_string(), least.to_string(), "0".into(), "7".into()] {
                assert_eq!(number.digits(&encode(&edge).unwrap()), edge, "{name}");
            }
            // One more, and one less: of 128 bits, with a digit more.
            let more = most.checked_add(1).map_or_else(|| format!("{most}0"), |more| more.to_string());
            let less = least.checked_sub(1).map_or_else(|| format!("{least}0"), |less| less.to_string());
            for word in [more.as_str(), &less, "", "-", "+1", " 1", "1.0", "1e2", "0x1", "--1"] {
                let expected = Err(mismatch("a", &Value::String(word.into()), schema.arguments[0].1.described()));
                assert_eq!(encode(word), expected, "{name}");
            }
            assert_eq!(encode("-7").is_ok(), number.signed);
        }
        let json = |ty: &str, json: &str| schema(&format!("a: list<{ty}>")).encode_words("x", &[json]);
        assert_eq!(json("i8", "[-1, \"-128\"]"), Ok(vec![2, 0, 0, 0, 0xff, 0x80]));
        assert!(json("u128", "[1.0]").is_err() && json("u128", "[true]").is_err());
    }

    #[test]
    fn tuples_and_records_have_all_their_parts_and_no_other() {
        let say =
            |ty: &str, json: &str| schema(&format!("a: {ty}")).encode_words("x", &[json]).unwrap_err().to_string();
        assert_eq!(say("(u8, u8, u8)", "[1, 2]"), "argument a: \"[1,2]\" is not a tuple (u8, u8, u8)");
        assert_eq!(say("(u8, u8, u8)", "[1, 2, 256]"), "argument a.2: \"256\" is not a u8");
        assert_eq!(say("{b: i8}", "{\"b\": -129}"), "argument a.b: \"-129\" is not an i8");
        for json in ["{}", "{\"c\": 1}", "{\"b\": 1, \"c\": 1}", "[1]", "1"] {
            assert!(say("{b: i8}", json).ends_with("is not a record {b: i8}"), "{json}");
        }
        let wide = |count: usize| format!("a: ({})", vec!["u8"; count].join(", "));
        assert!(wide(64).parse::<Schema>().is_ok() && wide(65).parse::<Schema>().is_err());
        let deep = format!("a: {}u8{}", "{a: (u8, ".repeat(100_000), ")}".repeat(100_000));
        assert!(deep.parse::<Schema>().is_err());
    }

    #[test]
    fn arguments_that_no_request_carries_are_refused_here() {
        let large = "x".repeat(ARGUMENT_BYTES_MAX);
        assert!(matches!(schema("a: str").encode_words("x", &[large]), Err(ArgumentError::TooLarge { .. })));
    }
}
