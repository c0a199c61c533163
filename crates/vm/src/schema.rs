//! The arguments of an operation: their description in its module, and their encoding from what people type.
//!
//! The description is text, `from: str, to: str, amount: u64`; the encoding is the layout of
//! `pleach_types::codec`. Types:
//!
//! | type | encoding | on a command line | in JSON |
//! |---|---|---|---|
//! | `str` | length and UTF-8 | the text | string |
//! | `bytes` | length and bytes | `0x` and hexadecimal digits, or text | the same, as a string |
//! | `u64` | 8 bytes | decimal digits | number, or string of digits |
//! | `bool` | 1 byte | `true` or `false` | the same |
//! | `key` | 32 bytes | 64 hexadecimal digits | the same, as a string |
//! | `option<T>` | 0, or 1 and the value | `none`, or the value | `null`, or the value |
//! | `list<T>` | count and values | a JSON array | array |
//! | `(T, U)` | both values | a JSON array of two | array of two |

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
/// Arguments that an operation may have.
const ARGUMENTS: usize = 64;

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// UTF-8 text.
    Str,
    /// Any bytes.
    Bytes,
    /// A number from 0 to 2^64 - 1.
    U64,
    /// True or false.
    Bool,
    /// An Ed25519 public key.
    Key,
    /// A value or none.
    Option(Box<Self>),
    /// Any number of values.
    List(Box<Self>),
    /// Two values.
    Pair(Box<Self>, Box<Self>),
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
            Self::List(_) | Self::Pair(..) => match serde_json::from_str(word) {
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
            Self::U64 => out.extend(number(value).ok_or_else(wrong)?.to_le_bytes()),
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
            Self::Pair(first, second) => {
                let [a, b] = value.as_array().ok_or_else(wrong)?.as_slice() else { return Err(wrong()) };
                first.put(&format!("{name}.0"), a, out)?;
                second.put(&format!("{name}.1"), b, out)?;
            }
        }
        Ok(())
    }

    /// The type with its article, for messages.
    fn described(&self) -> String {
        match self {
            Self::Str => "text".into(),
            Self::Bytes => "bytes (0x and hexadecimal digits, or text)".into(),
            Self::U64 => "a u64".into(),
            Self::Bool => "true or false".into(),
            Self::Key => "a key of 64 hexadecimal digits".into(),
            Self::Option(_) | Self::List(_) => {
                format!("{} {self}", if matches!(self, Self::List(_)) { "a" } else { "an" })
            }
            Self::Pair(..) => format!("a pair {self}"),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).ok(),
        None => Some(text.as_bytes().to_vec()),
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        // Not `parse` alone: it takes a leading plus.
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
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
            Self::U64 => f.write_str("u64"),
            Self::Bool => f.write_str("bool"),
            Self::Key => f.write_str("key"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Pair(a, b) => write!(f, "({a}, {b})"),
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, ty)) in self.arguments.iter().enumerate() {
            write!(f, "{}{name}: {ty}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let mut parser = Parser { text, at: 0 };
        let mut arguments = Vec::new();
        parser.space();
        while !parser.rest().is_empty() {
            if !arguments.is_empty() {
                parser.expect(",", "a comma between arguments")?;
            }
            if arguments.len() == ARGUMENTS {
                return Err(parser.fail("the end: 64 arguments are enough"));
            }
            let name = parser.word("the name of an argument")?.to_owned();
            if arguments.iter().any(|(known, _)| *known == name) {
                return Err(parser.fail("a name that is not taken"));
            }
            parser.expect(":", "a colon and the argument's type")?;
            arguments.push((name, parser.ty(DEPTH)?));
        }
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
        let Some(depth) = depth.checked_sub(1) else { return Err(self.fail("a type that is less nested")) };
        if self.rest().starts_with('(') {
            self.expect("(", "a pair")?;
            let first = self.ty(depth)?;
            self.expect(",", "a comma between the types of a pair")?;
            let second = self.ty(depth)?;
            self.expect(")", "the end of a pair")?;
            return Ok(Type::Pair(first.into(), second.into()));
        }
        const TYPES: &str = "one of str, bytes, u64, bool, key, option<T>, list<T>, (T, U)";
        let start = self.at;
        Ok(match self.word(TYPES)? {
            "str" => Type::Str,
            "bytes" => Type::Bytes,
            "u64" => Type::U64,
            "bool" => Type::Bool,
            "key" => Type::Key,
            "option" => Type::Option(self.inner(depth)?.into()),
            "list" => Type::List(self.inner(depth)?.into()),
            _ => return Err(SchemaError { at: start, expected: TYPES }),
        })
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
        for text in
            ["", "a: str", "from: str, to: str, amount: u64", "changes: list<(str, option<bytes>)>, k: key, f: bool"]
        {
            assert_eq!(schema(text).to_string(), text);
        }
        assert_eq!(schema(" a :list < ( str ,u64) > "), schema("a: list<(str, u64)>"));
    }

    #[test]
    fn bad_descriptions_are_refused_where_they_go_wrong() {
        for (text, at) in [
            ("a", 1),
            ("a: ", 3),
            ("a: i32", 3),
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
    }

    #[test]
    fn arguments_that_no_request_carries_are_refused_here() {
        let large = "x".repeat(ARGUMENT_BYTES_MAX);
        assert!(matches!(schema("a: str").encode_words("x", &[large]), Err(ArgumentError::TooLarge { .. })));
    }
}
