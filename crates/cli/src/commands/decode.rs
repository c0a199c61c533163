//! Values of records as their fields, by a description in the language of `pleach.args`.

use bytes::Bytes;
use pleach_types::codec::Reader;
use pleach_types::limits::VALUE_BYTES_MAX;
use pleach_types::{DecodeError, PublicKey};
use pleach_vm::Schema;
use pleach_vm::schema::Type;
use serde_json::{Map, Value, json};

use crate::output::plain_or_quoted;

/// Numbers of so many bytes at most are numbers in JSON, larger ones are their digits.
const EXACT_BYTES: usize = 4;

/// The fields of a value.
///
/// # Errors
/// If the value is not of that form.
pub fn decode(schema: &Schema, value: &Bytes) -> Result<Map<String, Value>, DecodeError> {
    let mut reader = Reader::new(value.clone());
    let mut fields = Map::new();
    for (name, ty) in &schema.arguments {
        fields.insert(name.clone(), field(ty, &mut reader)?);
    }
    reader.finish()?;
    Ok(fields)
}

/// Recursion is as deep as the description, which its parser bounds; never as deep as the value says.
fn field(ty: &Type, reader: &mut Reader) -> Result<Value, DecodeError> {
    Ok(match ty {
        Type::Str => json!(reader.string("str", VALUE_BYTES_MAX)?),
        Type::Bytes => json!(format!("0x{}", hex::encode(reader.bytes("bytes", VALUE_BYTES_MAX)?))),
        Type::Number(number) => {
            let bytes = (0..number.bytes).map(|_| reader.byte("number")).collect::<Result<Vec<_>, _>>()?;
            let digits = number.digits(&bytes);
            // Most readers of JSON take its numbers for floating point and change those above 2^53 without a word. So what may be as large is its
            // digits, whatever it is now: a program that reads the one should not fail at the other.
            if number.bytes > EXACT_BYTES { Value::String(digits) } else { json!(digits.parse::<i64>().ok()) }
        }
        Type::Bool => json!(flag("bool", reader)?),
        Type::Key => json!(PublicKey(reader.array("key")?)),
        Type::Option(inner) => {
            if flag("option", reader)? {
                field(inner, reader)?
            } else {
                Value::Null
            }
        }
        Type::List(inner) => Value::Array(reader.list("list", VALUE_BYTES_MAX, |reader| field(inner, reader))?),
        Type::Tuple(types) => Value::Array(types.iter().map(|ty| field(ty, reader)).collect::<Result<_, _>>()?),
        Type::Record(types) => {
            let named = types.iter().map(|(name, ty)| Ok((name.clone(), field(ty, reader)?)));
            Value::Object(named.collect::<Result<_, DecodeError>>()?)
        }
    })
}

fn flag(name: &'static str, reader: &mut Reader) -> Result<bool, DecodeError> {
    match reader.byte(name)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(DecodeError::UnknownTag { field: name, tag }),
    }
}

/// The fields in one line, in the order of the description. Text that could read as another field, or as another line, is quoted.
pub fn line(schema: &Schema, fields: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), plain_or_quoted);
    let named = |(name, _): &(String, Type)| fields.get(name).map(|value| format!("{name}={}", text(value)));
    schema.arguments.iter().filter_map(named).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(schema: &str, value: &'static [u8]) -> Result<String, DecodeError> {
        let schema = schema.parse().expect("a description");
        decode(&schema, &Bytes::from_static(value)).map(|fields| line(&schema, &fields))
    }

    #[test]
    fn values_are_taken_apart_or_refused() {
        assert_eq!(fields("a: u64, b: str", b"\x02\0\0\0\0\0\0\0\x01\0\0\0x").as_deref(), Ok("a=2 b=x"));
        assert_eq!(fields("b: bool, a: bool", b"\x01\0").as_deref(), Ok("b=true a=false"), "in their order");
        assert_eq!(fields("l: list<bool>", b"\x02\0\0\0\x01\0").as_deref(), Ok("l=[true,false]"));
        assert_eq!(fields("o: option<bytes>", b"\x01\x01\0\0\0\xff").as_deref(), Ok("o=0xff"));
        assert_eq!(fields("o: option<u64>", b"\0").as_deref(), Ok("o=null"));
        assert!(fields("a: u64", b"\x02\0\0\0\0\0\0\0\0").is_err(), "a byte too many");
        assert_eq!(fields("a: i8, b: u16", b"\xff\x00\x01").as_deref(), Ok("a=-1 b=256"));
        assert_eq!(fields("a: i128", &[0xff; 16]).as_deref(), Ok("a=-1"));
        assert_eq!(fields("a: u128", &[0xff; 16]).as_deref(), Ok("a=340282366920938463463374607431768211455"));
        let exact = decode(
            &"n: u64, m: u32".parse().expect("a description"),
            &Bytes::from_static(b"\x01\0\0\0\0\0\x20\0\xff\xff\xff\xff"),
        );
        assert_eq!(
            serde_json::to_string(&exact.expect("a value")).expect("JSON"),
            r#"{"m":4294967295,"n":"9007199254740993"}"#
        );
        assert_eq!(fields("t: (u8, u8, bool)", b"\x01\x02\0").as_deref(), Ok("t=[1,2,false]"));
        assert_eq!(fields("r: {b: u8, a: u8}", b"\x01\x02").as_deref(), Ok("r={\"a\":2,\"b\":1}"));
        let forged = fields("memo: str, to: str", b"\x08\0\0\0x to=bob\x05\0\0\0a\n\"b\"");
        assert_eq!(
            forged.as_deref(),
            Ok(r#"memo="x to=bob" to="a\n\"b\"""#),
            "no text is another field, or another line"
        );
        assert!(fields("a: u64", b"\x02").is_err(), "cut short");
        assert!(fields("a: bool", b"\x02").is_err(), "neither true nor false");
        assert!(fields("l: list<u64>", b"\xff\xff\xff\xff").is_err(), "a count that lies");
    }
}
