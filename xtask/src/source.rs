//! Reading the repository's files.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    // What cargo says now: clones that share a target folder share this program too, which another one of them may have built.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// All `.rs` files below a folder, sorted.
///
/// # Panics
/// If a folder cannot be read.
#[must_use]
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines of a source file that are product code, numbered from 1: comments are cut off, and what follows
/// a `#[cfg(test)]` that starts a module is left out (test modules stand last in our files).
#[must_use]
pub fn product_lines(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]"
            && pair[1].trim_start().starts_with("mod ")
            && pair[1].trim_end().ends_with('{')
    });
    let product = &lines[..tests.unwrap_or(lines.len())];
    let code = product.iter().map(|line| line.split("//").next().unwrap_or_default().to_owned());
    (1..).zip(code).filter(|(_, line)| !line.trim().is_empty()).collect()
}

/// What the product code of a source file imports from the standard library in braces: `use std::{fs, sync::Arc}` gives
/// `std::fs` and `std::sync`.
#[must_use]
pub fn grouped_imports(text: &str) -> Vec<String> {
    let code: Vec<_> = product_lines(text).into_iter().map(|(_, line)| line).collect();
    let code = code.join(" ");
    let mut found = Vec::new();
    for (at, opening) in code.match_indices("std::{") {
        let (mut depth, mut name) = (1, String::new());
        for c in code[at + opening.len()..].chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                found.push(std::mem::take(&mut name));
            } else {
                name.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    let first = |name: &str| name.split("::").next().unwrap_or_default().trim().to_owned();
    found.iter().map(|name| first(name)).filter(|name| !name.is_empty()).map(|name| format!("std::{name}")).collect()
}

/// Whether `line` contains `word`, not as a part of a longer identifier.
#[must_use]
pub fn contains_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && (word.ends_with(':') || !after.is_some_and(is_part))
    })
}
