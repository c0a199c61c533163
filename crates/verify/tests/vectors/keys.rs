//! Keys, and texts that are none.

use pleach_types::Key;
use serde_json::{Value, json};

use super::{hex, verdict};

pub fn all() -> Value {
    let long = "k".repeat(512);
    let valid = ["a", "bank/alice", "bank/ümlaut", "bank/.owner", ".root_rule", ".cluster", "a b", "日本/語", &long];
    let valid = valid.map(|text| {
        let key = Key::new(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let mut encoding = (text.len() as u32).to_le_bytes().to_vec();
        encoding.extend_from_slice(text.as_bytes());
        json!({ "key": text, "bytes": hex(encoding), "path": hex(key.path().as_bytes()) })
    });
    let too_long = "k".repeat(513);
    let invalid = ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\nb", "a\0", "a\u{7f}", "a\u{85}", &too_long];
    let invalid = invalid.map(|text| {
        verdict(text, "refused", Key::new(text).map(drop).map_err(|_| "refused"));
        text
    });
    json!({ "valid": valid, "invalid": invalid })
}
