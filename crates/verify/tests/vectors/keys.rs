//! Keys, and texts that are none.

use pleach_types::Key;
use serde_json::{Value, json};

use super::{hex, verdict};

pub fn all() -> Value {
    let long = "k".repeat(512);
    let (inside, outside) = edges();
    let valid = ["a", "bank/alice", "bank/ümlaut", "bank/.owner", ".root_rule", ".cluster", "a b", "日本/語", &long];
    let valid = valid.into_iter().map(str::to_owned).chain(outside);
    let valid: Vec<_> = valid
        .map(|text| {
            let text = text.as_str();
            let key = Key::new(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            let mut encoding = (text.len() as u32).to_le_bytes().to_vec();
            encoding.extend_from_slice(text.as_bytes());
            json!({ "key": text, "bytes": hex(encoding), "path": hex(key.path().as_bytes()) })
        })
        .collect();
    let too_long = "k".repeat(513);
    let invalid = ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\nb", "a\0", "a\u{7f}", "a\u{85}", &too_long];
    let invalid: Vec<_> = invalid.into_iter().map(str::to_owned).chain(inside).collect();
    for text in &invalid {
        verdict(text, "refused", Key::new(text.as_str()).map(drop).map_err(|_| "refused"));
    }
    json!({ "valid": valid, "invalid": invalid })
}

/// The ranges of characters that no key has, as `docs/protocol.md` names them.
const FORBIDDEN: [(u32, u32); 27] = [
    (0x0, 0x1f),
    (0x7f, 0x9f),
    (0xa0, 0xa0),
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x61c, 0x61c),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0x1_bca0, 0x1_bca3),
    (0x1_d173, 0x1_d17a),
    (0xe_0000, 0xe_0fff),
    (0x7f, 0x7f),
    (0x85, 0x85),
    (0x200b, 0x200b),
    (0x202e, 0x202e),
];

/// Texts with the characters at the ends of the ranges, and with those beside them that keys may have.
fn edges() -> (Vec<String>, Vec<String>) {
    let text = |number: u32| char::from_u32(number).map(|character| format!("x{character}"));
    let is_forbidden = |number: &u32| FORBIDDEN.iter().any(|(first, last)| (first..=last).contains(&number));
    let inside = FORBIDDEN.iter().flat_map(|(first, last)| [*first, *last]);
    let beside = FORBIDDEN.iter().flat_map(|(first, last)| [first.checked_sub(1), last.checked_add(1)]).flatten();
    let outside = beside.filter(|number| !is_forbidden(number));
    (inside.filter_map(text).collect(), outside.filter_map(text).collect())
}
