//! What is known to be wrong with what we depend on: the lock files, held against a copy of RustSec's database (threat W7).
//!
//! Nothing is fetched: the database is a folder that somebody has cloned. What applies and was judged stands with the reason in
//! `xtask/advisories.toml`; an entry there that applies to nothing any more is an error too, so that no reason outlives its cause.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};

use crate::source::root;

/// What the command does, for people.
pub const HELP: &str = "\
Holds the lock files against a database of security advisories.

Usage: cargo run -p xtask -- advisories DATABASE

DATABASE is a clone of RustSec's advisory-db; nothing is fetched here. Each Cargo.lock of the repository is looked at. Advisories that
apply and have been judged stand in xtask/advisories.toml, with the reason.

Exit code 1 says that one applies that has not been judged, or that one in the list applies to nothing any more.";

/// Lock files of the repository, seen from its root.
const LOCKS: [&str; 4] = ["Cargo.lock", "crates/bench/peers/Cargo.lock", "fuzz/Cargo.lock", "operations/Cargo.lock"];
/// Those who are looked at least: a folder with fewer advisories is no database.
const LEAST: usize = 100;

/// An advisory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// `RUSTSEC-2024-0001`.
    pub id: String,
    /// The package that it is about.
    pub package: String,
    /// What kind of warning it is, such as `unmaintained`; none for a vulnerability.
    pub kind: Option<String>,
    /// Versions that are not affected: those that were mended, and those that never had it.
    sound: Vec<VersionReq>,
}

impl Advisory {
    /// Reads an advisory: a page that begins with a block of TOML. None for one that was withdrawn.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(page: &str) -> Result<Option<Self>, String> {
        let block = page.trim_start().strip_prefix("```toml").and_then(|rest| rest.split_once("\n```"));
        let (text, _) = block.ok_or("it does not begin with a block of TOML")?;
        let table: toml::Table = text.parse().map_err(|e| format!("{e}"))?;
        let advisory = table.get("advisory").and_then(toml::Value::as_table).ok_or("no [advisory]")?;
        if advisory.contains_key("withdrawn") {
            return Ok(None);
        }
        let text = |field: &str| advisory.get(field).and_then(toml::Value::as_str).map(str::to_owned);
        let versions = |field: &str| -> Result<Vec<VersionReq>, String> {
            let listed = table.get("versions").and_then(|versions| versions.get(field)).and_then(toml::Value::as_array);
            let requirement = |value: &toml::Value| {
                let text = value.as_str().ok_or_else(|| format!("{field}: no text"))?;
                VersionReq::parse(text).map_err(|e| format!("{field} {text:?}: {e}"))
            };
            listed.into_iter().flatten().map(requirement).collect()
        };
        Ok(Some(Self {
            id: text("id").ok_or("no id")?,
            package: text("package").ok_or("no package")?,
            kind: text("informational"),
            sound: [versions("patched")?, versions("unaffected")?].concat(),
        }))
    }

    /// Whether a package is affected. One of another source than the registry is not ours to judge by its name.
    #[must_use]
    pub fn affects(&self, package: &Package) -> bool {
        self.package == package.name && !self.sound.iter().any(|sound| sound.matches(&package.version))
    }
}

/// A package of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
}

/// The packages of a lock file that come from a registry.
///
/// # Errors
/// What is wrong with it.
pub fn packages(lock: &str) -> Result<BTreeSet<Package>, String> {
    let table: toml::Table = lock.parse().map_err(|e| format!("{e}"))?;
    let listed = table.get("package").and_then(toml::Value::as_array).ok_or("no [[package]]")?;
    let registered = listed.iter().filter(|package| package.get("source").is_some());
    let package = |package: &toml::Value| {
        let text = |field: &str| package.get(field)?.as_str();
        let (name, version) = text("name").zip(text("version")).ok_or("a package without name or version")?;
        let version = Version::parse(version).map_err(|e| format!("{name} {version}: {e}"))?;
        Ok(Package { name: name.to_owned(), version })
    };
    registered.map(package).collect()
}

/// The advisories of a database that apply to some of these, each with the package.
#[must_use]
pub fn applying<'a>(advisories: &'a [Advisory], packages: &'a BTreeSet<Package>) -> Vec<(&'a Advisory, &'a Package)> {
    let of = |advisory: &'a Advisory| {
        packages.iter().filter(move |package| advisory.affects(package)).map(move |package| (advisory, package))
    };
    advisories.iter().flat_map(of).collect()
}

/// Those that were judged: the id of each.
fn judged() -> Result<BTreeSet<String>, String> {
    let path = root().join("xtask/advisories.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
    let known = table.get("judged").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    let id = |entry: &toml::Value| {
        let text = |field: &str| entry.get(field)?.as_str();
        let (id, _why) = text("id").zip(text("why")).ok_or(format!("{}: an entry lacks id or why", path.display()))?;
        Ok(id.to_owned())
    };
    known.iter().map(id).collect()
}

/// All advisories below a folder's `crates`.
fn database(folder: &Path) -> Result<Vec<Advisory>, String> {
    let listed = |path: PathBuf| -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(&path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(entries.into_iter().map(|entry| entry.path()).collect())
    };
    let mut advisories = Vec::new();
    for package in listed(folder.join("crates"))? {
        for page in listed(package)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
            let text = fs::read_to_string(&page).map_err(|e| format!("{}: {e}", page.display()))?;
            advisories.extend(Advisory::read(&text).map_err(|e| format!("{}: {e}", page.display()))?);
        }
    }
    if advisories.len() < LEAST {
        let (path, count) = (folder.display(), advisories.len());
        return Err(format!("{path} has {count} advisories: that is no clone of the database"));
    }
    advisories.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(advisories)
}

/// Holds the lock files against a database and prints what applies. Whether all of that was judged, and all that was judged still applies.
///
/// # Errors
/// If something cannot be read.
pub fn look(folder: &Path) -> Result<bool, String> {
    let mut all = BTreeSet::new();
    for lock in LOCKS {
        let text = fs::read_to_string(root().join(lock)).map_err(|e| format!("{lock}: {e}"))?;
        all.extend(packages(&text).map_err(|e| format!("{lock}: {e}"))?);
    }
    let (advisories, judged) = (database(folder)?, judged()?);
    let found = applying(&advisories, &all);
    for (advisory, package) in &found {
        let word = if judged.contains(&advisory.id) { "judged" } else { "APPLIES" };
        let kind = advisory.kind.as_deref().unwrap_or("vulnerability");
        println!("{word:<8} {} {} {} ({kind})", advisory.id, package.name, package.version);
    }
    let is_known = |id: &str| advisories.iter().any(|advisory| advisory.id == id);
    let gone: Vec<_> = judged
        .iter()
        .filter(|id| is_known(id.as_str()) && found.iter().all(|(advisory, _)| advisory.id != **id))
        .collect();
    for id in &gone {
        println!("GONE     {id} stands in xtask/advisories.toml and applies to nothing any more");
    }
    println!("{} packages, {} advisories", all.len(), advisories.len());
    Ok(gone.is_empty() && found.iter().all(|(advisory, _)| judged.contains(&advisory.id)))
}
