//! The folder of a throwaway cluster: gone at the end, unless it is wanted.

use std::fs;
use std::path::{Path, PathBuf};

use rand::Rng as _;

use crate::errors::CliError;

/// A folder that is removed when it goes out of scope, unless it is kept.
#[derive(Debug)]
pub struct DemoFolder {
    path: PathBuf,
    keep: bool,
}

impl DemoFolder {
    /// A new private folder: in the temporary directory, or at `place`, which must not exist yet or be empty.
    ///
    /// # Errors
    /// If something is there, or the system says no.
    pub fn new(place: Option<&Path>) -> Result<Self, CliError> {
        let path = match place {
            // Absolute, since it is printed in commands that may be used from elsewhere.
            Some(place) => std::path::absolute(place).map_err(CliError::file("use", place))?,
            None => std::env::temp_dir().join(format!("pleach-demo-{:08x}", rand::rng().random::<u32>())),
        };
        match fs::read_dir(&path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(CliError::Exists { path }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => create_private(&path)?,
            Err(e) => return Err(CliError::file("use folder", &path)(e)),
        }
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

/// It will hold keys.
fn create_private(path: &Path) -> Result<(), CliError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(CliError::file("create", path))
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
