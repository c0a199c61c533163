//! Faults that tests must find: each is planted in a copy of the repository, and the test that is named for it must fail there.
//!
//! A test that cannot fail holds nothing. What a fault is, where it goes and which test finds it stands in `xtask/planted.toml`; that each
//! still fits the code is checked with every run of the tests (`tests/tidy.rs`). To plant them takes a build for each, so that is done by hand.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::source::{root, rust_files};

/// What the command does, for people.
pub const HELP: &str = "\
Plants faults in a copy of the source, one after another, and runs the tests that must find them.

Usage: cargo run -p xtask -- planted [NAME ...]

Without a name all faults of xtask/planted.toml are planted, which takes a build for each: an hour or two. The copy and what
is built of it are in the target folder (`planted`, `planted-objects`) and stay there between runs; the source itself is never changed.

Exit code 0 says that all were found, 1 that a test has missed one, or that one does not fit the code any more.";

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is called.
    pub name: String,
    /// What the program does with it.
    pub what: String,
    /// Where it goes, below the root.
    pub file: PathBuf,
    /// What stands there once.
    pub find: String,
    /// What is put in its place.
    pub put: String,
    /// The test that finds it: arguments of `cargo test`.
    pub test: Vec<String>,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The test failed.
    Found,
    /// The test passed: it holds nothing.
    Missed,
    /// The program does not compile with it, or no test ran.
    Unfit,
}

impl Fate {
    const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missed => "MISSED",
            Self::Unfit => "UNFIT: it does not compile, or no test has that name",
        }
    }
}

/// All faults, as they stand in the file.
///
/// # Errors
/// What is wrong with it.
pub fn faults() -> Result<Vec<Fault>, String> {
    let path = root().join("xtask/planted.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
    let faults = table.get("fault").and_then(toml::Value::as_array).ok_or("no [[fault]] in xtask/planted.toml")?;
    faults.iter().enumerate().map(|(at, fault)| read(fault).ok_or(format!("fault {} lacks a field", at + 1))).collect()
}

fn read(fault: &toml::Value) -> Option<Fault> {
    let text = |field: &str| fault.get(field)?.as_str().map(str::to_owned);
    let words = fault.get("test")?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
    Some(Fault {
        name: text("name")?,
        what: text("what")?,
        file: text("file")?.into(),
        find: text("find")?,
        put: text("put")?,
        test: words.collect::<Option<_>>()?,
    })
}

impl Fault {
    /// The source with the fault in it.
    ///
    /// # Errors
    /// If what it is to replace does not stand there once.
    pub fn planted(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.find).count() {
            1 => Ok(source.replacen(&self.find, &self.put, 1)),
            count => Err(format!("{}: {:?} stands {count} times in {}", self.name, self.find, self.file.display())),
        }
    }
}

/// Plants the faults with these names, or all, one after another, and prints what became of each. Whether all were found.
///
/// # Errors
/// If there is no such fault, or the copy cannot be made.
pub fn plant(names: &[String]) -> Result<bool, String> {
    let faults = faults()?;
    if let Some(name) = names.iter().find(|name| faults.iter().all(|fault| fault.name != **name)) {
        let known: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        return Err(format!("there is no fault {name:?}; there are {}", known.join(", ")));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // What is built of the copy has a place of its own: cargo takes it for what is built of the source, by the same names.
    let (copy, objects) = (target.join("planted"), target.join("planted-objects"));
    copy_repository(&copy).map_err(|e| format!("{}: {e}", copy.display()))?;
    let mut all = true;
    for fault in faults.iter().filter(|fault| names.is_empty() || names.contains(&fault.name)) {
        print!("{:<28} ", fault.name);
        let _ = io::stdout().flush();
        let fate = plant_one(fault, &copy, &objects)?;
        println!("{} ({})", fate.word(), fault.what);
        all &= fate == Fate::Found;
    }
    Ok(all)
}

fn plant_one(fault: &Fault, copy: &Path, objects: &Path) -> Result<Fate, String> {
    let place = copy.join(&fault.file);
    let failed = |e: io::Error| format!("{}: {e}", place.display());
    let source = fs::read_to_string(&place).map_err(failed)?;
    fs::write(&place, fault.planted(&source)?).map_err(failed)?;
    let test =
        Command::new("cargo").arg("test").args(&fault.test).current_dir(copy).env("CARGO_TARGET_DIR", objects).output();
    // Whatever became of it: the next fault is alone.
    fs::write(&place, source).map_err(failed)?;
    Ok(fate(&test.map_err(|e| format!("cargo: {e}"))?))
}

fn fate(test: &Output) -> Fate {
    let said = String::from_utf8_lossy(&test.stdout);
    let ran = said.lines().any(|line| line.starts_with("running ") && line != "running 0 tests");
    match (ran, test.status.success()) {
        (true, true) => Fate::Missed,
        (true, false) => Fate::Found,
        (false, _) => Fate::Unfit,
    }
}

/// Copies what the repository tracks, as it stands. A file that is there already with the same content keeps its time, so that what was built
/// of it before is not built again.
fn copy_repository(to: &Path) -> io::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names: BTreeSet<&Path> = listed.split_terminator('\0').map(Path::new).collect();
    if to.is_dir() {
        // What was moved or removed since the last time would be built as well.
        let gone = |file: &PathBuf| file.strip_prefix(to).is_ok_and(|name| !names.contains(name));
        rust_files(to).into_iter().filter(gone).try_for_each(fs::remove_file)?;
    }
    for name in names {
        let (from, to) = (root().join(name), to.join(name));
        let Ok(content) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&to, content)?;
    }
    Ok(())
}
