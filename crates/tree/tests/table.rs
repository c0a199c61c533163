//! The table of `README.md`, beside this file, names tests that exist.

use std::{fs, path::Path};

/// The sources of all tests, in the folders of this crate.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *all += &fs::read_to_string(&path).expect("a source file");
        }
    }
}

#[test]
fn every_test_named_in_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    sources(&root.join("src"), &mut all);
    sources(&root.join("tests"), &mut all);
    let table = fs::read_to_string(root.join("tests/README.md")).expect("the table");
    // Names of tests are the code spans with underscores and nothing but them and small letters.
    let is_name = |span: &&str| span.contains('_') && span.chars().all(|c| c == '_' || c.is_ascii_lowercase());
    let names: Vec<_> = table.split('`').skip(1).step_by(2).filter(is_name).collect();
    let tests = names.iter().filter(|name| **name != "small_world" && **name != "four_bits");
    for name in tests {
        assert!(
            all.contains(&format!("#[test]\n    fn {name}(")) || all.contains(&format!("#[test]\nfn {name}(")),
            "{name}"
        );
    }
    assert!(names.len() > 30, "{} names", names.len());
}
