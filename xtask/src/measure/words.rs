//! How often the words that `docs/glossary.md` replaces still stand.
//!
//! The page's tables are the list: a row whose first cell is one word in backticks, under the heading [`HEADING`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::source::rust_files;

/// The section of the glossary whose tables list the words.
pub const HEADING: &str = "## Words that go";

/// How often one word stands in one part of the repository.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Identifiers of which the word is a part (`door`, `DoorBounds`, `open_door`).
    pub names: usize,
    /// Words of comments, strings and pages.
    pub prose: usize,
}

/// Counts the glossary's words in the repository at `root`.
///
/// # Errors
/// If the glossary cannot be read, or lists no word.
pub fn report(root: &Path) -> Result<String, String> {
    let page = root.join("docs/glossary.md");
    let glossary = std::fs::read_to_string(&page).map_err(|e| format!("{}: {e}", page.display()))?;
    let words = listed(&glossary);
    if words.is_empty() {
        return Err(format!("{} lists no word under {HEADING:?}", page.display()));
    }
    let mut text = String::from("word: names / prose, in all and by part\n");
    let counts = counts(root, &words);
    for word in words {
        let parts = counts.get(&word).cloned().unwrap_or_default();
        let sum = |of: fn(&Count) -> usize| parts.values().map(of).sum::<usize>();
        let _ = write!(text, "{word}: {} / {}", sum(|count| count.names), sum(|count| count.prose));
        for (part, count) in &parts {
            let _ = write!(text, "  {part} {}/{}", count.names, count.prose);
        }
        text.push('\n');
    }
    Ok(text)
}

/// The words that the glossary lists, in its order.
#[must_use]
pub fn listed(glossary: &str) -> Vec<String> {
    let section =
        glossary.lines().skip_while(|line| *line != HEADING).skip(1).take_while(|line| !line.starts_with("## "));
    let cells = section.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    cells.filter(is_word).map(str::to_owned).collect()
}

fn counts(root: &Path, words: &[String]) -> BTreeMap<String, BTreeMap<String, Count>> {
    let mut counts: BTreeMap<String, BTreeMap<String, Count>> = BTreeMap::new();
    for (part, path) in texts(root) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        for (is_name, word) in split(&text, rust) {
            // The plural counts for the word: "circles" goes when "circle" does.
            let single = word.strip_suffix('s').unwrap_or(&word);
            if let Some(word) = words.iter().find(|listed| **listed == word || *listed == single) {
                let count = counts.entry(word.clone()).or_default().entry(part.clone()).or_default();
                if is_name { count.names += 1 } else { count.prose += 1 }
            }
        }
    }
    counts
}

/// The texts that are counted, each with the part of the repository that it belongs to.
fn texts(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for path in rust_files(&root.join("crates")) {
        let below = path.strip_prefix(root.join("crates")).unwrap_or(&path);
        let mut parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let (folder, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        found.push((if kind == "src" { folder } else { format!("{folder}/{kind}") }, path));
    }
    let pages = std::fs::read_dir(root.join("docs")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut pages: Vec<_> = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.retain(|path| !path.ends_with("glossary.md"));
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)));
    pages.sort();
    found.extend(pages.into_iter().map(|path| ("docs".to_owned(), path)));
    found
}

/// The words of a text in lower case, and whether each is a part of an identifier in code. Identifiers are split at `_` and at capitals.
#[must_use]
pub fn split(text: &str, rust: bool) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for line in text.lines() {
        // Roughly: a string that holds `//` counts as prose from there on, which it is.
        let (code, comment) = if rust { line.split_at(line.find("//").unwrap_or(line.len())) } else { ("", line) };
        for (index, piece) in code.split('"').enumerate() {
            add(&mut found, index % 2 == 0, piece);
        }
        add(&mut found, false, comment);
    }
    found
}

fn add(found: &mut Vec<(bool, String)>, is_name: bool, text: &str) {
    for run in text.split(|c: char| !c.is_alphabetic()).filter(|run| !run.is_empty()) {
        let mut word = String::new();
        let mut last_small = false;
        for c in run.chars() {
            if c.is_uppercase() && last_small {
                found.push((is_name, std::mem::take(&mut word)));
            }
            last_small = c.is_lowercase();
            word.extend(c.to_lowercase());
        }
        found.push((is_name, word));
    }
}
