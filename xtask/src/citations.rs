//! What code and pages cite: other pages, sections of them, threats, files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The targets of the links in a page (`[text](target)`), those to the web left out.
#[must_use]
pub fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://") && !target.is_empty()).collect()
}

/// The anchors of a page: its headings in lower case, spaces as hyphens, without punctuation.
#[must_use]
pub fn anchors(page: &str) -> BTreeSet<String> {
    let slug = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings(page).map(slug).collect()
}

fn headings(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter_map(move |line| {
        fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        (!fenced && heading.len() < line.len()).then(|| heading.trim())
    })
}

/// The numbers of a page's sections: its headings that begin with one (`## 6. Order`).
#[must_use]
pub fn sections(page: &str) -> BTreeSet<u32> {
    headings(page).filter_map(|heading| heading.split_once('.')?.0.parse().ok()).collect()
}

/// Names of files that a text cites: what looks like a path and ends as given.
#[must_use]
pub fn cited_files<'a>(text: &'a str, ending: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.len() > ending.len() && word.ends_with(ending)).collect()
}

/// The names that a text cites with the source file where they are (`` `consider` in `node/src/fetch.rs` ``, or several before one
/// file), each with that file. Of a path the last part counts.
#[must_use]
pub fn cited_names(text: &str) -> Vec<(&str, &str)> {
    let is_name =
        |code: &str| !code.is_empty() && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
    let (mut found, mut names) = (Vec::new(), Vec::new());
    // Between two marks stands code, and prose between two pieces of code.
    let pieces: Vec<_> = text.split('`').collect();
    for (before, code) in pieces.chunks_exact(2).map(|pair| (pair[0], pair[1])) {
        match before {
            " in " if code.ends_with(".rs") => found.extend(names.drain(..).map(|name| (name, code))),
            ", " | " and " => {}
            _ => names.clear(),
        }
        names.extend(code.rsplit("::").next().filter(|name| is_name(name)));
    }
    found
}

/// The sections that a text cites of a page: `page section 6`, or `page sections 3 and 4`, over the ends of lines.
#[must_use]
pub fn cited_sections(text: &str, page: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for after in text.split(page).skip(1) {
        let mut words = words(after).into_iter();
        if words.next().is_some_and(|word| word == "section" || word == "sections") {
            found.extend(words.filter(|word| word != "and").map_while(|word| word.parse::<u32>().ok()));
        }
    }
    found
}

/// The threats that a text cites: `threat W5`, `threats S1, S2 and M9`, `threats H1 to H6`.
#[must_use]
pub fn cited_threats(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, name) in text.match_indices("hreat") {
        // The rest of the word: "threats" and "threatened" begin alike.
        let rest = &text[at + name.len()..];
        let cited = words(rest.strip_prefix('s').unwrap_or(rest));
        found.extend(expand(
            cited.into_iter().take_while(|word| is_threat(word) || matches!(word.as_str(), "and" | "to")),
        ));
    }
    found
}

/// The threats that the page of threats names anywhere, ranges (`N3 to N5`) included.
#[must_use]
pub fn named_threats(page: &str) -> BTreeSet<String> {
    expand(words(page).into_iter()).into_iter().collect()
}

fn is_threat(word: &str) -> bool {
    let mut chars = word.chars();
    let family = chars.next().is_some_and(|c| c.is_ascii_uppercase());
    family && (2..=3).contains(&word.len()) && chars.all(|c| c.is_ascii_digit())
}

fn expand(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut range = false;
    for word in words {
        if is_threat(&word) {
            let first = found.last().filter(|last| range && last[..1] == word[..1]).map(|last| number(last) + 1);
            let last = number(&word);
            found.extend((first.unwrap_or(last)..=last).map(|number| format!("{}{number}", &word[..1])));
        }
        range = word == "to";
    }
    found
}

fn number(threat: &str) -> u32 {
    threat[1..].parse().unwrap_or_default()
}

/// The words of a text; signs of comments between them are left out, so a sentence may go over several lines.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Where a file that a page or source cites may stand: as written from the root, beside the page, or, for source, as
/// `crate/file` (`crates/crate/src/file`).
#[must_use]
pub fn places(root: &Path, beside: &Path, cited: &str) -> Vec<PathBuf> {
    let crates = root.join("crates");
    let mut places = vec![root.join(cited), beside.join(cited), root.join("docs").join(cited), crates.join(cited)];
    if let Some((name, rest)) = cited.split_once('/') {
        places.push(crates.join(name).join("src").join(rest));
    }
    // A file of the same crate: `tests/crash.rs` in the source of `store`.
    places.extend(beside.ancestors().take_while(|above| above.starts_with(&crates)).map(|above| above.join(cited)));
    places
}
