//! Constants as they stand in the source: most limits are private, so a test of another crate can only read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What shared limits are in.
const SHARED: &str = "types/src/limits.rs";
/// The crates of the product. Its demo is none of it.
const CRATES: [&str; 10] = ["types", "tree", "state", "vm", "node", "order", "store", "client", "verify", "cli"];

/// The expressions of all constants, by file and name.
pub struct Constants(BTreeMap<(String, String), String>);

impl Constants {
    pub fn read() -> Self {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let mut constants = BTreeMap::new();
        let mut folders: Vec<_> = CRATES.iter().map(|name| root.join(name).join("src")).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the source is there").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.extend((entry.file_name() != "demo").then_some(path));
                } else if path.extension().is_some_and(|ending| ending == "rs") && entry.file_name() != "tests.rs" {
                    read_file(&root, &path, &mut constants);
                }
            }
        }
        Self(constants)
    }

    /// All of them, by file and name.
    pub fn names(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.keys()
    }

    /// What a constant comes to: times in milliseconds. `None` if it is no sum of numbers and other constants.
    pub fn value(&self, file: &str, name: &str) -> Option<u64> {
        let own = self.0.get(&(file.into(), name.into()));
        let text = own.or_else(|| self.0.get(&(SHARED.into(), name.into())))?;
        let text = text.replace("size_of::<u64>()", "8").replace("u64::BITS as usize", "64");
        let mut sum = Sum { constants: self, file, text: text.trim() };
        let value = sum.shifted()?;
        sum.text.is_empty().then_some(value)
    }
}

fn read_file(root: &Path, path: &Path, constants: &mut BTreeMap<(String, String), String>) {
    let text = std::fs::read_to_string(path).expect("a source file");
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let file = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8").to_owned();
    for part in product.split("const ").skip(1) {
        let Some((head, expression)) = part.split(';').next().and_then(|part| part.split_once('=')) else { continue };
        let Some((name, _)) = head.split_once(':') else { continue };
        constants.insert((file.clone(), name.to_owned()), expression.to_owned());
    }
}

/// An expression of which the beginning has been read.
struct Sum<'a> {
    constants: &'a Constants,
    file: &'a str,
    text: &'a str,
}

impl Sum<'_> {
    fn takes(&mut self, sign: &str) -> bool {
        match self.text.strip_prefix(sign) {
            Some(rest) => {
                self.text = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn shifted(&mut self) -> Option<u64> {
        let mut value = self.added()?;
        while self.takes("<<") {
            value = value.checked_shl(u32::try_from(self.added()?).ok()?)?;
        }
        Some(value)
    }

    fn added(&mut self) -> Option<u64> {
        let mut value = self.multiplied()?;
        while self.takes("+") {
            value += self.multiplied()?;
        }
        Some(value)
    }

    fn multiplied(&mut self) -> Option<u64> {
        let mut value = self.one()?;
        loop {
            if self.takes("*") {
                value *= self.one()?;
            } else if self.takes("/") {
                value /= self.one()?;
            } else {
                return Some(value);
            }
        }
    }

    fn inner(&mut self) -> Option<u64> {
        let value = self.shifted()?;
        self.takes(")").then_some(value)
    }

    fn one(&mut self) -> Option<u64> {
        if self.takes("(") {
            return self.inner();
        }
        if self.takes("Duration::from_secs(") {
            return Some(self.inner()? * 1_000);
        }
        if self.takes("Duration::from_millis(") {
            return self.inner();
        }
        if self.takes("proof_nodes_max(") {
            return Some(pleach_types::limits::proof_nodes_max(usize::try_from(self.inner()?).ok()?) as u64);
        }
        let end = self.text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest.trim_start();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.replace('_', "").parse().ok();
        }
        self.constants.value(self.file, word)
    }
}
