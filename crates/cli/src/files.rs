//! Local files: never overwritten but by [`replace`], secret ones readable by their owner only.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pleach_node::durable;
use pleach_types::SecretKey;

use crate::errors::CliError;

/// Writes a file that must not exist yet.
///
/// # Errors
/// [`CliError::Exists`], or what the system says.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    write(path, text, false)
}

/// A file that a step which may have been cut off is to write, or has written.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    text: String,
    is_there: bool,
}

impl OwnFile {
    /// Looks whether the file stands there already.
    ///
    /// # Errors
    /// [`CliError::Exists`] if another one does, or what the system says.
    pub fn look(path: PathBuf, text: String) -> Result<Self, CliError> {
        let is_there = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self { path, text, is_there: false }),
            // One of another length is not read: it may be anything.
            Ok(found) if found.is_file() && found.len() == text.len() as u64 => {
                read(&path, text.len())?.as_ref() == text.as_bytes()
            }
            _ => false,
        };
        if is_there { Ok(Self { path, text, is_there }) } else { Err(CliError::Exists { path }) }
    }

    /// Writes it as a whole, if it is not there.
    ///
    /// # Errors
    /// As [`NewFile::at`] and [`NewFile::finish`].
    pub fn write(self) -> Result<(), CliError> {
        if self.is_there { Ok(()) } else { NewFile::at(&self.path)?.finish(self.text.as_bytes()) }
    }
}

/// As [`write_new`], for secrets: the file is private from its first moment on.
///
/// # Errors
/// As [`write_new`].
pub fn write_new_secret(path: &Path, text: &str) -> Result<(), CliError> {
    write(path, text, true)
}

fn write(path: &Path, text: &str, private: bool) -> Result<(), CliError> {
    durable::create_new(path, text.as_bytes(), private).map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => CliError::Exists { path: path.into() },
        _ => CliError::file("create", path)(reason),
    })
}

/// The name under which a file or a folder stands beside its place until it is complete.
fn partial_name(of: &OsStr) -> String {
    format!(".{}.partial-{}", of.to_string_lossy(), std::process::id())
}

/// A file that is being made: it stands beside its place until it is complete, so that nobody ever sees half of it, and
/// goes away if it never is. What stands at the place is never touched.
#[derive(Debug)]
pub struct NewFile {
    place: PathBuf,
    partial: PathBuf,
    file: File,
}

impl NewFile {
    /// Starts a file for `place`, where nothing may stand. Whatever is wrong with the place is found now, before there is
    /// anything to lose.
    ///
    /// # Errors
    /// [`CliError::Exists`], or what the system says.
    pub fn at(place: &Path) -> Result<Self, CliError> {
        if fs::symlink_metadata(place).is_ok() {
            return Err(CliError::Exists { path: place.into() });
        }
        // Elsewhere this stands for what is read from or written to others.
        if place.as_os_str() == "-" {
            let hint = "name a new file; one with this very name is ./-";
            return Err(CliError::usage("this goes to a file, and - is none", hint));
        }
        let name = place.file_name().ok_or_else(|| {
            CliError::usage(format!("{:?} is not a file's name", place.display().to_string()), "name a new file")
        })?;
        let partial = place.with_file_name(partial_name(name));
        let file = File::create_new(&partial).map_err(CliError::file("create", place))?;
        Ok(Self { place: place.into(), partial, file })
    }

    /// Where it will stand.
    pub fn path(&self) -> &Path {
        &self.place
    }

    /// Writes the whole file, and puts it in its place.
    ///
    /// # Errors
    /// [`CliError::Exists`] if something came to stand there meanwhile, or what the system says.
    pub fn finish(mut self, bytes: &[u8]) -> Result<(), CliError> {
        use std::io::Write as _;
        let failed = CliError::file("write", &self.place);
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all()).and_then(|()| self.appear());
        match written.and_then(|()| durable::sync_folder_of(&self.place)) {
            Ok(()) => Ok(()),
            Err(reason) if reason.kind() == io::ErrorKind::AlreadyExists => {
                Err(CliError::Exists { path: self.place.clone() })
            }
            Err(reason) => Err(failed(reason)),
        }
    }

    /// A second name is given only where there is none; a file system without second names has the file moved.
    fn appear(&self) -> io::Result<()> {
        match fs::hard_link(&self.partial, &self.place) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists && fs::symlink_metadata(&self.place).is_err() => {
                fs::rename(&self.partial, &self.place)
            }
            linked => linked,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// Puts other content in the place of a file's that had `before`, as a whole. Of two programs that do so at the same time the later one gets an
/// error, so that neither undoes what the other has done. The file keeps its mode, a link stays a link, and nothing beside it is touched.
///
/// # Errors
/// If the file has something else by now, or what the system says; it is as it was then.
pub fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), CliError> {
    if before == after {
        return Ok(());
    }
    let place = fs::canonicalize(path).map_err(CliError::file("read", path))?;
    let file = File::open(&place).map_err(CliError::file("read", path))?;
    // Held until it is done. Where there are no locks, what follows still looks just before it writes.
    match file.lock() {
        Err(e) if e.kind() != io::ErrorKind::Unsupported => return Err(CliError::file("lock", path)(e)),
        _ => {}
    }
    // Anew, by its name: who had the lock before has put another file there.
    let is_as_before = fs::metadata(&place).is_ok_and(|found| found.len() == before.len() as u64)
        && read(&place, before.len())?.as_ref() == before;
    if !is_as_before {
        let what = format!("{} was changed by somebody else meanwhile; nothing was written", path.display());
        return Err(CliError::usage(what, "look at it, and run the same command again"));
    }
    let partial = place.with_file_name(partial_name(place.file_name().unwrap_or_default()));
    let written = write_beside(&file, &partial, after).and_then(|()| fs::rename(&partial, &place));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written.and_then(|()| durable::sync_folder_of(&place)).map_err(CliError::file("write", path))
}

/// Writes a new file with the mode of another one.
fn write_beside(file: &File, partial: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut new = File::create_new(partial)?;
    new.set_permissions(file.metadata()?.permissions())?;
    new.write_all(bytes)?;
    new.sync_all()
}

/// Reads a file of at most `limit` bytes: somebody's typo must not load a disk image.
///
/// # Errors
/// What the system says, or that it is too large.
pub fn read(path: &Path, limit: usize) -> Result<Bytes, CliError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CliError::file("read", path))?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(CliError::file("read", path))?;
    if bytes.len() > limit {
        let reason = io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
        return Err(CliError::file("use", path)(reason));
    }
    Ok(bytes.into())
}

/// A new secret key from the system's randomness.
pub fn new_secret() -> Result<SecretKey, CliError> {
    Ok(SecretKey::from_seed(random()?))
}

/// Bytes of the system's randomness.
pub fn random<const N: usize>() -> Result<[u8; N], CliError> {
    use rand::TryRngCore as _;
    let mut bytes = [0; N];
    let filled = rand::rngs::OsRng.try_fill_bytes(&mut bytes);
    filled.map_err(|e| CliError::Internal(format!("the system gives no randomness: {e}")))?;
    Ok(bytes)
}

/// Reads the key files of signers.
///
/// # Errors
/// The first file that cannot be read, is readable by others or holds no key.
pub fn read_keys(paths: &[PathBuf]) -> Result<Vec<SecretKey>, CliError> {
    paths.iter().map(|path| Ok(pleach_node::config::read_key(path)?)).collect()
}

/// A folder that is being made: it stands beside its place until it is complete, so that nobody ever sees
/// half of it, and goes away if it never is.
#[derive(Debug)]
pub struct NewFolder {
    place: PathBuf,
    partial: Option<PathBuf>,
}

impl NewFolder {
    /// Starts a folder for `place`, which must not exist yet or be empty.
    ///
    /// # Errors
    /// [`CliError::Exists`], or what the system says.
    pub fn at(place: &Path) -> Result<Self, CliError> {
        check_vacant(place)?;
        // Whoever made a link to an empty folder means the folder.
        let place = &fs::canonicalize(place).unwrap_or_else(|_| place.into());
        let name = place.file_name().ok_or_else(|| {
            CliError::usage(format!("{} is not a folder's name", place.display()), "name a new folder")
        })?;
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let partial = parent.join(partial_name(name));
        fs::create_dir(&partial).map_err(CliError::file("create", &partial))?;
        Ok(Self { place: place.into(), partial: Some(partial) })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.partial.as_deref().unwrap_or(&self.place)
    }

    /// Puts the complete folder in its place.
    ///
    /// # Errors
    /// What the system says; the folder is gone then.
    pub fn finish(mut self) -> Result<PathBuf, CliError> {
        fs::rename(self.path(), &self.place).map_err(CliError::file("create", &self.place))?;
        self.partial = None;
        durable::sync_folder_of(&self.place).map_err(CliError::file("create", &self.place))?;
        Ok(self.place.clone())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(partial) = self.partial.take() {
            let _ = fs::remove_dir_all(partial);
        }
    }
}

/// Whether nothing stands at `place`, or an empty folder.
fn check_vacant(place: &Path) -> Result<(), CliError> {
    match fs::read_dir(place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(CliError::Exists { path: place.into() }),
        Err(e) => Err(CliError::file("look into", place)(e)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CliError::Exists { path: place.into() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use pleach_testkit::folder::Folder;

    use super::*;

    #[test]
    fn of_two_who_replace_a_file_at_once_one_is_told() {
        for round in 0..20 {
            let (folder, start) = (Folder::new(), Barrier::new(4));
            let path = folder.write("shared", "before");
            let replace = |by: usize| {
                start.wait();
                replace(&path, b"before", format!("by {by}").as_bytes()).map(|()| by)
            };
            let outcomes = std::thread::scope(|scope| {
                let running: Vec<_> = (0..4)
                    .map(|by| {
                        scope.spawn({
                            let replace = &replace;
                            move || replace(by)
                        })
                    })
                    .collect();
                running.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
            });
            let done: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
            assert_eq!(done.len(), 1, "round {round}: {outcomes:?}");
            assert_eq!(fs::read(&path).expect("a file"), format!("by {}", done[0]).into_bytes());
            assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
        }
    }

    #[test]
    fn a_file_that_is_longer_than_it_was_is_not_taken_for_the_one_that_was_read() {
        let folder = Folder::new();
        let path = folder.write("grown", "before and after");
        let error = replace(&path, b"before", b"other").expect_err("it has grown");
        assert_eq!((error.exit_code(), fs::read(&path).expect("a file")), (2, b"before and after".to_vec()));
    }
}
