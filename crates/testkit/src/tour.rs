//! Calls of the SDKs' tour (`operations/sdk_tour`, `sdk/c/tour.c`, `sdk/as/assembly/tour.ts`), which does with an SDK whatever it can do, and
//! what has to come of each: for everything that is one, in whatever language it was written and wherever it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a visit ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is applied.
    Applied {
        /// The output.
        output: Vec<u8>,
        /// What is written, or removed.
        writes: BTreeMap<String, Option<Vec<u8>>>,
        /// Topics and data of the events.
        events: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// Aborted by the operation, with code and message.
    Aborted(u32, String),
    /// This record is not the operation's to write.
    NotItsDomain(String),
    /// This record was opened and not listed.
    Undeclared(String),
    /// What was opened is no key.
    BadKey,
}

/// A call, and how it ends.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The arguments, as they are typed.
    pub words: Vec<String>,
    /// What has to come of it.
    pub ending: Ending,
}

/// The operation's key.
pub const OPERATION: &str = "bank/sdk";
/// Who signs each call, ascending.
pub const SIGNERS: [[u8; 32]; 3] = [[2; 32], [3; 32], [0xff; 32]];
/// The identity of each request.
pub const IDENTITY: [u8; 32] = [9; 32];
/// The digest of the cluster's genesis.
pub const GENESIS: [u8; 32] = [7; 32];
/// The height: each of its bytes has its place.
pub const HEIGHT: u64 = 0x0102_0304_0506_0708;
/// The place of the call in its request.
pub const CALL: u32 = 3;
/// What the signature signs that one visit shows.
pub const SIGNED: &str = "signed by one key alone";

/// The records that every call lists, absent ones too.
#[must_use]
pub fn records() -> Vec<(String, Option<Vec<u8>>)> {
    let records = [("bank/tour/there", Some(&b"before"[..])), ("bank/tour/gone", None), ("other/é", Some(b"x"))];
    records.into_iter().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect()
}

/// A call of one thing, with words for text, bytes and key; the other arguments are nothing.
fn visit(what: &str, text: &str, bytes: &str, key: &str, ending: Ending) -> Visit {
    let numbers = ["false", "0", "0", "0", "18446744073709551615", "0", "0", "0", "0", "none", "[]"];
    let words = [what, text, bytes, key].into_iter().chain(numbers).map(str::to_owned).collect();
    Visit { words, ending }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Bytes as they are typed.
fn as_bytes(bytes: &[u8]) -> String {
    format!("0x{}", hex(bytes))
}

/// A length as it is encoded.
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("the lengths here are short").to_le_bytes()
}

fn gives(output: &[u8]) -> Ending {
    Ending::Applied { output: output.to_vec(), writes: BTreeMap::new(), events: Vec::new() }
}

fn writes(output: &[u8], key: &str, value: Option<&[u8]>) -> Ending {
    let writes = [(key.to_owned(), value.map(<[u8]>::to_vec))].into();
    Ending::Applied { output: output.to_vec(), writes, events: Vec::new() }
}

/// All calls of the tour, each with what has to come of it. `digest` is BLAKE3, and `signature` a key with its signature over [`SIGNED`],
/// which the caller has.
#[must_use]
pub fn visits(digest: impl Fn(&[u8]) -> [u8; 32], (key, signature): &([u8; 32], [u8; 64])) -> Vec<Visit> {
    let nobody = hex(&[1; 32]);
    let plain = |what: &str, text: &str, bytes: &str, ending: Ending| visit(what, text, bytes, &nobody, ending);
    let context = [
        OPERATION.as_bytes(),
        b"bank/",
        &IDENTITY,
        &HEIGHT.to_le_bytes(),
        &GENESIS,
        &1u32.to_le_bytes(),
        &CALL.to_le_bytes(),
    ]
    .concat();
    let signers = |signs: u8| gives(&[&SIGNERS.concat()[..], &[signs]].concat());
    let (long, large) = ("x".repeat(600), as_bytes(&[0xfe; 1_500]));
    let mut signature_of_another = *signature;
    signature_of_another[40] ^= 1;
    let announced = Ending::Applied {
        output: b"data".to_vec(),
        writes: BTreeMap::new(),
        events: vec![("tópic".into(), b"data".to_vec()), (Vec::new(), Vec::new())],
    };
    let mut visits = vec![
        plain("context", "", "", gives(&context)),
        plain("listed", "", "", gives("bank/tour/gone\nbank/tour/there\nother/é\n".as_bytes())),
        // Whether it is there, and what is in it: before, with a value, removed, and with an empty value, which is there.
        plain("record", "there", "new", writes(b"\x01before\x01new\0\x01", "bank/tour/there", Some(b""))),
        plain("record", "gone", "", writes(b"\0\x01\0\x01", "bank/tour/gone", Some(b""))),
        plain("record", "unlisted", "new", Ending::Undeclared("bank/tour/unlisted".into())),
        plain("record", &long, "new", Ending::BadKey),
        plain("record", "", "new", Ending::BadKey),
        plain("remove", "there", "", writes(b"", "bank/tour/there", None)),
        plain("write", "bank/tour/gone", &large, writes(b"", "bank/tour/gone", Some(&[0xfe; 1_500]))),
        plain("write", "other/é", "y", Ending::NotItsDomain("other/é".into())),
        plain("write", "bank/tour/none", "y", Ending::Undeclared("bank/tour/none".into())),
        plain("write", "bank//x", "y", Ending::BadKey),
        visit("signers", "", "", &hex(&SIGNERS[0]), signers(1)),
        visit("signers", "", "", &hex(&SIGNERS[2]), signers(1)),
        visit("signers", "", "", &nobody, signers(0)),
        visit("verify", SIGNED, &as_bytes(signature), &hex(key), gives(&[1])),
        visit("verify", SIGNED, &as_bytes(&signature_of_another), &hex(key), gives(&[0])),
        visit("verify", "another text", &as_bytes(signature), &hex(key), gives(&[0])),
        visit("verify", SIGNED, &as_bytes(signature), &nobody, gives(&[0])),
        plain("verify", SIGNED, "short", Ending::Aborted(300, format!("no signature: {SIGNED}"))),
        plain("digest", "", "", gives(&digest(b""))),
        plain("digest", "", "abc", gives(&digest(b"abc"))),
        plain("digest", "", &large, gives(&digest(&[0xfe; 1_500]))),
        plain("receipt", "tópic", "data", announced),
        plain("abort", "é, and no more", "", Ending::Aborted(4_000_000_000, "é, and no more".into())),
        plain("abort", "", "", Ending::Aborted(4_000_000_000, String::new())),
        plain("dance", "", "", Ending::Aborted(301, "no such thing: dance, 18446744073709551615".into())),
    ];
    for (name, is_part) in
        [("alice", 1), ("é", 1), ("", 0), (".a", 0), ("a.", 1), ("a/b", 0), ("a\u{7f}", 0), ("\u{85}", 0)]
    {
        visits.push(plain("name", name, "", gives(&[is_part])));
    }
    visits.extend([all_arguments(false), all_arguments(true)]);
    visits
}

/// Every type of arguments comes as it was typed, at both ends of its range.
fn all_arguments(most: bool) -> Visit {
    let sized = |bytes: &[u8]| [&length(bytes.len())[..], bytes].concat();
    let (text, more, key): (&str, Vec<u8>, [u8; 32]) =
        if most { ("tëxt", vec![0xff; 3], [0xab; 32]) } else { ("", Vec::new(), [0; 32]) };
    let unsigned = if most { (u8::MAX, u16::MAX, u32::MAX, u64::MAX) } else { (0, 0, 0, 0) };
    let signed = if most { (i8::MAX, i16::MAX, i32::MAX, i64::MAX) } else { (i8::MIN, i16::MIN, i32::MIN, i64::MIN) };
    let (maybe, names) = if most { (Some("some"), vec!["a", "", "ccc"]) } else { (None, Vec::new()) };
    let ((a, b, c, d), (e, f, g, h)) = (unsigned, signed);
    let numbers = [
        a.to_string(),
        b.to_string(),
        c.to_string(),
        d.to_string(),
        e.to_string(),
        f.to_string(),
        g.to_string(),
        h.to_string(),
    ];
    let listed = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let words = ["arguments".to_owned(), text.into(), as_bytes(&more), hex(&key), most.to_string()];
    let words = words.into_iter().chain(numbers).chain([maybe.unwrap_or("none").to_owned(), format!("[{listed}]")]);
    let output = [
        sized(text.as_bytes()),
        sized(&more),
        key.to_vec(),
        vec![most.into()],
        a.to_le_bytes().to_vec(),
        b.to_le_bytes().to_vec(),
        c.to_le_bytes().to_vec(),
        d.to_le_bytes().to_vec(),
        e.to_le_bytes().to_vec(),
        f.to_le_bytes().to_vec(),
        g.to_le_bytes().to_vec(),
        h.to_le_bytes().to_vec(),
        maybe.map_or(vec![0], |text: &str| [vec![1], sized(text.as_bytes())].concat()),
        // The values first, then how many they were.
        names.iter().flat_map(|name| sized(name.as_bytes())).collect(),
        length(names.len()).to_vec(),
    ];
    Visit { words: words.collect(), ending: gives(&output.concat()) }
}
