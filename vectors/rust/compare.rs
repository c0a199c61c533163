//! Test vectors that a crate's own tests make: compared with the committed file, or written with `PLEACH_FREEZE=1`.

use serde_json::Value;

/// Compares a file of vectors with what the code makes.
pub fn compare(file: &str, made: &Value) {
    let path = format!("{}/../../vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let mut text = serde_json::to_string_pretty(made).expect("it is JSON");
    text.push('\n');
    if std::env::var_os("PLEACH_FREEZE").is_some() {
        std::fs::write(&path, &text).expect("the vectors can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(committed == text, "vectors/{file}.json is not what this test makes: a format has changed");
}
