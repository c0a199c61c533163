//! The test vectors of arguments: `vectors/arguments.json`. After a change of the format, on purpose:
//! `PLEACH_FREEZE=1 cargo test -p pleach-vm --test arguments`.

#[path = "../../../vectors/rust/compare.rs"]
mod compare;

use pleach_vm::Schema;
use serde_json::{Value, json};

const TRANSFER: &str = "from: str, to: str, amount: u64";
const KEY: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

/// Descriptions, and words that are arguments of them.
const ACCEPTED: [(&str, &[&str]); 32] = [
    ("", &[]),
    (" \n\t ", &[]),
    (TRANSFER, &["alice", "bob", "50"]),
    (TRANSFER, &["alice", "amount=50", "to=bob"]),
    (TRANSFER, &["to=bob", "from=alice", "amount=50"]),
    (TRANSFER, &["", "a=b", "18446744073709551615"]),
    (" a:str ,\tb : option < list<u64> > ", &["x", "none"]),
    ("a: str", &["b=c"]),
    ("a: str", &["a=a=c"]),
    ("a: str", &["日本"]),
    ("a: bytes", &["0x00ff"]),
    ("a: bytes", &["0x"]),
    ("a: bytes", &["text"]),
    ("a: u64", &["007"]),
    ("a: bool, b: bool", &["true", "false"]),
    ("owner: key", &[KEY]),
    ("a: option<str>", &["none"]),
    ("a: option<str>", &["some"]),
    ("a: option<option<u64>>", &["5"]),
    ("a: list<u64>", &["[]"]),
    ("a: list<u64>", &[" [1, \"2\"]"]),
    ("a: (str, u64)", &["[\"x\", 1]"]),
    ("a: list<(str, option<bytes>)>", &["[[\"k\", \"0x01\"], [\"gone\", null]]"]),
    ("a: list<bool>", &["[true, \"false\"]"]),
    ("_A9: list<list<str>>", &["[[], [\"a\", \"b\"]]"]),
    ("a: u8, b: u16, c: u32, d: u128", &["255", "65535", "4294967295", "340282366920938463463374607431768211455"]),
    ("a: i8, b: i16, c: i32, d: i64", &["-128", "-32768", "-2147483648", "-9223372036854775808"]),
    ("a: i128, b: i128", &["-170141183460469231731687303715884105728", "170141183460469231731687303715884105727"]),
    ("a: list<i8>", &["[-1, \"-2\", 127]"]),
    ("a: (u8, str, bool)", &["[1, \"x\", true]"]),
    ("a: {name: str, at: (i8, i8)}", &["{\"at\": [1, -1], \"name\": \"x\"}"]),
    ("a: option<{ b : u8 }>", &["{\"b\": 1}"]),
];

/// Descriptions, and words that are not arguments of them.
const REFUSED: [(&str, &[&str]); 37] = [
    ("", &["a"]),
    (TRANSFER, &["alice", "bob"]),
    (TRANSFER, &["alice", "bob", "1", "2"]),
    (TRANSFER, &["alice", "from=bob"]),
    (TRANSFER, &["from=bob", "x"]),
    ("a: u64", &["-5"]),
    ("a: u64", &["+5"]),
    ("a: u64", &["5 "]),
    ("a: u64", &[""]),
    ("a: u64", &["0x5"]),
    ("a: u64", &["18446744073709551616"]),
    ("a: bool", &["True"]),
    ("a: bool", &["1"]),
    ("a: bytes", &["0x0"]),
    ("a: bytes", &["0xgg"]),
    ("a: key", &["0123"]),
    ("a: list<u64>", &["1"]),
    ("a: list<u64>", &["[1.5]"]),
    ("a: list<u64>", &["[-1]"]),
    ("a: list<u64>", &["[null]"]),
    ("a: list<str>", &["[1]"]),
    ("a: (str, u64)", &["[\"x\"]"]),
    ("a: (str, u64)", &["[\"x\", 1, 2]"]),
    ("a: list<(str, u64)>", &["[[\"a\", 1], [\"b\", true]]"]),
    ("a: list<u64>", &["[1] 2"]),
    ("a: list<bool>", &["[1]"]),
    ("a: u8", &["256"]),
    ("a: u8", &["-1"]),
    ("a: i8", &["128"]),
    ("a: i8", &["-129"]),
    ("a: i8", &["-"]),
    ("a: i128", &["-170141183460469231731687303715884105729"]),
    ("a: u128", &["340282366920938463463374607431768211456"]),
    ("a: (u8, u8, u8)", &["[1, 2]"]),
    ("a: {b: u8}", &["{}"]),
    ("a: {b: u8}", &["{\"b\": 1, \"c\": 2}"]),
    ("a: {b: u8}", &["[1]"]),
];

/// Texts that describe nothing.
const NO_DESCRIPTIONS: [&str; 18] = [
    "a",
    "a:",
    "a: int",
    "a: str,",
    ",",
    "a: str b: str",
    "a: str, a: u64",
    "ä: str",
    "a-b: str",
    "a: list<str",
    "a: list<>",
    "a: (str)",
    "a: (str, u64, )",
    "a: {}",
    "a: {b: u8, b: u8}",
    "a: {b: u8",
    "a: u256",
    "a: option<str>>",
];

fn schema(text: &str) -> Schema {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn arguments_are_as_committed() {
    let encoded = |(text, words): &(&str, &[&str])| {
        let bytes = schema(text).encode_words("x", words).unwrap_or_else(|e| panic!("{text:?} {words:?}: {e}"));
        json!({ "description": text, "words": words, "bytes": hex::encode(bytes) })
    };
    let refused = |(text, words): &(&str, &[&str])| {
        assert!(schema(text).encode_words("x", words).is_err(), "{text:?} {words:?}");
        json!({ "description": text, "words": words })
    };
    let deep = |depth: usize| format!("a: {}str{}", "list<".repeat(depth - 1), ">".repeat(depth - 1));
    let many = |count: usize| (0..count).map(|n| format!("a{n}: str")).collect::<Vec<_>>().join(", ");
    let no_descriptions: Vec<String> =
        NO_DESCRIPTIONS.into_iter().map(str::to_owned).chain([deep(17), many(65)]).collect();
    for text in &no_descriptions {
        assert!(text.parse::<Schema>().is_err(), "{text:?} is a description");
    }
    let descriptions = [deep(16), many(64)];
    descriptions.iter().for_each(|text| drop(schema(text)));
    let (encoded, refused): (Vec<Value>, Vec<Value>) =
        (ACCEPTED.iter().map(encoded).collect(), REFUSED.iter().map(refused).collect());
    compare::compare(
        "arguments",
        &json!({
            "accepted": encoded, "refused": refused,
            "descriptions": descriptions, "no_descriptions": no_descriptions,
        }),
    );
}
