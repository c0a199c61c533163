//! One process per store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::OpenError;

const NAME: &str = "LOCK";
/// A process number has ten digits at most.
const NOTE_BYTES_MAX: u64 = 32;

/// Holds a folder until it is dropped, or the process ends in whatever way: the lock is the operating system's.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: the lock belongs to the open file, and a child process that another thread is
        // just starting shares it until it runs its own program. The folder would seem to be in use for that moment.
        // Where unlocking fails, closing is all that is left.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the folder and notes this process in it.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        let io = |source| OpenError::Io { what: format!("locking {}", path.display()), source };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        hold(dir, &mut file)?;
        file.set_len(0).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        file.write_all(std::process::id().to_string().as_bytes()).map_err(io)?;
        Ok(Self { file })
    }

    /// Takes the folder without writing anything. `None` if nobody ever held it.
    pub(crate) fn take_silently(dir: &Path) -> Result<Option<Self>, OpenError> {
        let Ok(mut file) = File::open(dir.join(NAME)) else { return Ok(None) };
        hold(dir, &mut file)?;
        Ok(Some(Self { file }))
    }
}

fn hold(dir: &Path, file: &mut File) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut note = String::new();
            // Without the note the holder has no name; that is all.
            let _ = file.take(NOTE_BYTES_MAX).read_to_string(&mut note);
            Err(OpenError::Locked { dir: dir.to_owned(), pid: note.trim().parse().ok() })
        }
        Err(TryLockError::Error(source)) => {
            Err(OpenError::Io { what: format!("locking {}", dir.join(NAME).display()), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use pleach_testkit::folder::Folder;

    use super::*;

    #[test]
    fn a_dropped_lock_is_free_although_a_process_that_is_being_started_has_the_file_open() {
        let folder = Folder::new();
        let lock = Lock::take(folder.path()).unwrap();
        // What a fork shares until the child runs its own program: another descriptor of the same open file.
        let child = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::take(folder.path()), Err(OpenError::Locked { .. })));
        drop(lock);
        Lock::take(folder.path()).unwrap();
        drop(child);
    }
}
