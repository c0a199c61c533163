//! Small files that are whole at any moment: after a crash, a power failure or a full disk they are what they were before,
//! or what they were to become, never empty and never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Puts `content` in the place of the file at `path`, or creates it. If it returns without an error, no crash takes that
/// away. A file that has this content already is not written.
///
/// Until it is on disk, the new content stands in a file beside it, which has the same name with `.new` at its end.
///
/// # Errors
/// What the system says. The file is then what it was before; or it is new, but a power failure may undo that.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if !holds(path, content)? {
        step()?;
        let new = beside(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        let filled = fill(file, content).and_then(|()| step());
        filled.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))?;
    }
    // Also if it was there: whoever put it there may have been killed before this.
    sync_folder_of(path)
}

/// Creates a file that must not exist yet; a `private` one can be read by its owner only, from its first moment on. If it
/// returns without an error, no crash takes the file away.
///
/// # Errors
/// What the system says, [`io::ErrorKind::AlreadyExists`] for one. A file that could not be written is removed: it would
/// stand in the way of the next attempt.
pub fn create_new(path: &Path, content: &[u8], private: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(path)?;
    fill(file, content).inspect_err(|_| drop(fs::remove_file(path)))?;
    sync_folder_of(path)
}

/// The first bytes of a file, at most so many, or `None` if there is no such file.
///
/// # Errors
/// What the system says.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Creates a folder, and those above it, unless they are there. Nobody but the user of this process may look into what is new: whoever reads a
/// data folder reads all records in it, and another user of the machine has asked no port for them.
///
/// # Errors
/// What the system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    step()?;
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)?;
    sync_folder_of(path)
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    step()?;
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder_of(path),
    }
}

/// Makes what was created, renamed or removed at `path` last: names are in the folder, not in the file.
///
/// # Errors
/// What the system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Elsewhere a folder cannot be opened as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Tests end the program before a step of it.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
const fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
thread_local! {
    static STEPS_LEFT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

/// From the step with this number on, all steps of this thread fail: as if the program had ended there.
#[cfg(test)]
pub fn crash_at(step: Option<u32>) {
    STEPS_LEFT.set(step);
}

#[cfg(test)]
fn step() -> io::Result<()> {
    match STEPS_LEFT.get() {
        Some(0) => Err(io::Error::other("the program has ended")),
        left => {
            STEPS_LEFT.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}

/// Whether the file has this content. It is not read further than that takes.
fn holds(path: &Path, content: &[u8]) -> io::Result<bool> {
    Ok(read(path, content.len() as u64 + 1)?.is_some_and(|found| found == content))
}

fn fill(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use pleach_testkit::folder::Folder;

    use super::*;

    #[test]
    fn a_folder_that_is_made_is_nobody_elses_to_look_into() {
        let above = Folder::new();
        let made = above.join("node/data");
        create_folder(&made).unwrap();
        for path in [&made, &above.join("node")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
        }
        // What is there stays as somebody has wanted it.
        fs::set_permissions(&made, fs::Permissions::from_mode(0o750)).unwrap();
        create_folder(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o750);
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_if_it_changes() {
        let folder = Folder::new();
        let path = folder.join("file");
        replace(&path, b"one").unwrap();
        let first = fs::metadata(&path).unwrap();
        replace(&path, b"one").unwrap();
        let second = fs::metadata(&path).unwrap();
        assert_eq!((first.ino(), first.mtime_nsec()), (second.ino(), second.mtime_nsec()), "it was right already");
        // Whoever has the old file open goes on to read the old content: it was not truncated.
        let mut old = File::open(&path).unwrap();
        for content in [&b"two"[..], b"longer", b"", b"one"] {
            replace(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        let mut found = String::new();
        old.read_to_string(&mut found).unwrap();
        assert_eq!(found, "one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let folder = Folder::new();
        let path = folder.join("file");
        replace(&path, b"one").unwrap();
        // A crash while the next content was written: it is of no use and in nobody's way.
        fs::write(beside(&path), b"ha").unwrap();
        replace(&path, b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"half");
        fs::create_dir(beside(&path)).unwrap();
        assert!(replace(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"half");
    }

    #[test]
    fn a_new_file_is_private_from_the_start_and_never_an_old_one() {
        let folder = Folder::new();
        let path = folder.join("key");
        create_new(&path, b"secret", true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = create_new(&path, b"other", true).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
