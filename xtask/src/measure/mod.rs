//! Figures about the source, for people: how long functions are, which say nothing, which names mean two things, which files cannot be
//! read one after the other.
//!
//! Nothing is refused because of a figure. CONTRIBUTING.md says how to read them.

pub mod circles;
pub mod lines;
pub mod names;
pub mod parse;
pub mod words;

use std::fmt::Write;
use std::path::Path;

use parse::{Crate, File, Function};

/// From how many lines on a function is expected to have a comment.
pub const LONG: usize = 20;

/// What `measure --help` prints.
pub const HELP: &str = "\
Prints figures about the product code in crates/*/src, tests left out. The same source gives the same text.

Usage: cargo run -p xtask -- measure [OPTIONS]

Options:
  --longest N  How many of the longest functions without a comment are listed (default 20, 0 for none)
  --ties       Also which path ties each file of a circle to which other one
  --words      Instead: how often each word that docs/glossary.md replaces stands in names and in prose, and in which crates
  -h, --help   This text

How the figures are made:
  function     from `fn` to its closing brace, in lines that hold code: blank lines and comments do not count. Functions inside of functions
               count for themselves too; what a macro makes is not seen
  silent       a function of 20 lines or more with no comment between its braces (documentation above it does not count)
  comments     lines that hold a comment that is not documentation, for 1,000 lines of product code
  twice        a name that types, traits or aliases in two files or more have. xtask/src/measure/names.rs lists those that should, with reasons
  circle       files of a crate of which each imports or names what another one defines, and so on until the first
Targets: silent under 40 %, names that are defined twice without a reason under 25, no circle in client, node, types and cli.";

/// What is to be printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// How many functions are listed.
    pub longest: usize,
    /// Whether the paths that tie circles are listed.
    pub ties: bool,
    /// Whether words are counted instead.
    pub words: bool,
}

impl Options {
    /// Reads the arguments after `measure`.
    ///
    /// # Errors
    /// An argument that is not known, or a number that is none.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { longest: 20, ties: false, words: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--ties" => options.ties = true,
                "--words" => options.words = true,
                "--longest" => {
                    let number = arguments.next().ok_or("--longest takes a number, for example --longest 50")?;
                    options.longest = number
                        .parse()
                        .map_err(|_| format!("--longest {number:?} is not a number; write for example 50"))?;
                }
                other => return Err(format!("measure has no argument {other:?}; `measure --help` lists them")),
            }
        }
        Ok(options)
    }
}

/// Measures the repository at `root`.
///
/// # Errors
/// A file that cannot be read or parsed, with its path and the reason.
pub fn report(root: &Path, options: &Options) -> Result<String, String> {
    let crates = read_crates(root)?;
    if options.words {
        return words::report(root);
    }
    let mut text = table(&crates);
    text.push_str(&repeated(&crates));
    text.push_str(&circles_of(&crates, options.ties));
    text.push_str(&silent(&crates, options.longest));
    Ok(text)
}

/// Reads all crates of the repository at `root`, in order of their names.
///
/// # Errors
/// A file that cannot be read or parsed, with its path and the reason.
pub fn read_crates(root: &Path) -> Result<Vec<Crate>, String> {
    let folder = root.join("crates");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut folders: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("src").is_dir()).collect();
    folders.sort();
    folders.iter().map(|folder| parse::read_crate(root, folder)).collect()
}

/// The figures of one crate, or of all.
#[derive(Debug, Default)]
struct Figures {
    files: Vec<usize>,
    functions: Vec<usize>,
    lines: usize,
    comments: usize,
    docs: usize,
    long: usize,
    silent: usize,
}

impl Figures {
    fn add(&mut self, file: &File) {
        let product = |index: &usize| !file.tests.iter().any(|(first, last)| (first..=last).contains(&index));
        let lines: Vec<_> = (0..file.lines.len()).filter(product).map(|index| file.lines[index]).collect();
        self.files.push(lines.len());
        self.lines += lines.len();
        self.comments += lines.iter().filter(|line| line.comment).count();
        self.docs += lines.iter().filter(|line| line.doc).count();
        self.functions.extend(file.functions.iter().map(|function| function.length));
        self.long += file.functions.iter().filter(|function| function.length >= LONG).count();
        self.silent += file.functions.iter().filter(|function| is_silent(function)).count();
    }

    fn row(mut self, name: &str) -> String {
        self.files.sort_unstable();
        self.functions.sort_unstable();
        let at = |values: &[usize]| [50, 90, 99, 100].map(|percent| percentile(values, percent));
        let [median, p90, _, longest] = at(&self.files);
        let files = format!("{} / {median} / {p90} / {longest}", self.files.len());
        let [median, p90, p99, longest] = at(&self.functions);
        let functions = format!("{} / {median} / {p90} / {p99} / {longest}", self.functions.len());
        let docs = share(self.docs, self.lines, 100);
        let comments = share(self.comments, self.lines, 1000);
        let silent = format!("{} of {} ({} %)", self.silent, self.long, share(self.silent, self.long, 100));
        format!("{name:<8} | {files:<24} | {functions:<25} | {docs:>5} | {comments:>9} | {silent}\n")
    }
}

fn is_silent(function: &Function) -> bool {
    function.length >= LONG && !function.commented
}

/// The smallest of `sorted` that `percent` of them do not exceed; 0 of none.
#[must_use]
pub fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// `part` of `whole` in parts of `scale`, rounded; 0 of nothing.
fn share(part: usize, whole: usize, scale: usize) -> usize {
    (part * scale * 2 + whole).checked_div(whole * 2).unwrap_or_default()
}

fn table(crates: &[Crate]) -> String {
    let mut text = format!(
        "{:<8} | {:<24} | {:<25} | doc % | comments  | functions of {LONG} lines or more\n{:<8} | {:<24} | {:<25} |       | per 1,000 | without a comment\n",
        "", "files / med / p90 / max", "fns / med / p90 / p99 / max", "crate", "", ""
    );
    let mut all = Figures::default();
    for read in crates {
        let mut figures = Figures::default();
        for file in &read.files {
            figures.add(file);
            all.add(file);
        }
        text.push_str(&figures.row(&read.name));
    }
    text.push_str(&all.row("all"));
    text
}

fn repeated(crates: &[Crate]) -> String {
    let all = names::repeated(crates);
    let (shared, other): (Vec<_>, Vec<_>) = all.iter().partition(|repeated| names::reason(&repeated.name).is_some());
    let mut text =
        format!("\nNames of types defined twice: {} without a reason, {} with one\n", other.len(), shared.len());
    for repeated in other {
        let _ = writeln!(text, "  {} ({}): {}", repeated.name, repeated.places.len(), repeated.places.join(" "));
    }
    for repeated in shared {
        let reason = names::reason(&repeated.name).unwrap_or_default();
        let _ = writeln!(text, "  {} ({}), {reason}", repeated.name, repeated.places.len());
    }
    for (name, _) in names::SHARED.iter().filter(|(name, _)| !all.iter().any(|repeated| repeated.name == *name)) {
        let _ = writeln!(text, "  {name} is defined once now: take its row out of xtask/src/measure/names.rs");
    }
    text
}

fn circles_of(crates: &[Crate], ties: bool) -> String {
    let mut text = String::from("\nCircles between files\n");
    for read in crates {
        for circle in circles::circles(read) {
            let beginning = format!("crates/{}/src/", read.name);
            let short = |path: &String| path.strip_prefix(&beginning).unwrap_or(path).to_owned();
            let files: Vec<_> = circle.files.iter().map(short).collect();
            let _ = writeln!(text, "  {} ({} files): {}", read.name, files.len(), files.join(" "));
            for (file, target, path) in circle.ties.iter().filter(|_| ties) {
                let _ = writeln!(text, "    {} -> {}: {path}", short(file), short(target));
            }
        }
    }
    text
}

fn silent(crates: &[Crate], count: usize) -> String {
    let files = crates.iter().flat_map(|read| &read.files);
    let mut found: Vec<(&Function, &str)> =
        files.flat_map(|file| file.functions.iter().map(|function| (function, file.path.as_str()))).collect();
    found.retain(|(function, _)| is_silent(function));
    found.sort_by_key(|(function, path)| (std::cmp::Reverse(function.length), *path, function.line));
    found.truncate(count);
    let mut text = String::new();
    if !found.is_empty() {
        let _ = writeln!(text, "\nThe longest functions without a comment");
    }
    for (function, path) in found {
        let _ = writeln!(text, "  {:>3} lines  {path}:{} {}", function.length, function.line, function.name);
    }
    text
}
