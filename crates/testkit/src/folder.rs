//! Folders that are gone with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Lines of a log that are printed after a failure.
const LINES_PRINTED: usize = 20;

/// A new folder, which is removed with its value. If that is because a test has failed, the ends of the logs in it (`*.log`) are printed.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder among the system's temporary ones.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a value that makes a folder is no default")]
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A folder in this one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn within(parent: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("pleach-test-{}-{number}", std::process::id()));
        // What a process left that was killed and had the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where something in it is.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where it is.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Names and contents of everything in it, in the order of the names. Folders have no content of their own.
    ///
    /// # Panics
    /// If a folder cannot be listed.
    #[must_use]
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                let content = fs::read(&path).unwrap_or_default();
                found.push((path, content));
            }
        }
        found.sort();
        found
    }

    /// Prints the last lines of each log that lies in the folder itself.
    fn print_logs(&self) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let log = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let skipped = log.lines().count().saturating_sub(LINES_PRINTED);
            let lines: Vec<_> = log.lines().skip(skipped).collect();
            eprintln!("{} ends with:\n{}", path.display(), lines.join("\n"));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a test failed of is often said in the log of a node, which goes with the folder.
        if std::thread::panicking() {
            self.print_logs();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}
