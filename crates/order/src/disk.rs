//! What is free on a disk, and what files take up there.

use std::path::{Path, PathBuf};

/// Free bytes of the file system of a folder, for whoever is not root; nothing where the system does not tell.
#[cfg(unix)]
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Free bytes of the file system of a folder, for whoever is not root; nothing where the system does not tell.
#[cfg(not(unix))]
#[must_use]
pub fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// Bytes of all files below a folder. What goes away meanwhile does not count.
#[must_use]
pub fn bytes_below(folder: PathBuf) -> u64 {
    let (mut bytes, mut ahead) = (0, vec![folder]);
    while let Some(folder) = ahead.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => ahead.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
