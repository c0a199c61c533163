//! A proof file that a node keeps in its data folder over restarts: judged when it is read, replaced as a whole when it is written.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use pleach_order::durable;
use pleach_types::limits::PROOF_FILE_BYTES_MAX;
use pleach_types::{Genesis, ProofFile};
use pleach_verify::file::{self, FileError, Proven};
use thiserror::Error;
use tracing::error;

/// Why kept evidence cannot be gone on with.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// What the system says.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not hold.
    #[error("it proves nothing: {0}")]
    False(#[from] FileError),
}

/// Where a proof file is kept.
#[derive(Default)]
pub struct KeptFile {
    /// `None` where nothing is written, as in a simulation.
    place: Option<PathBuf>,
    /// Whether the last attempt to write failed: it is said once.
    failing: bool,
}

impl KeptFile {
    /// What is kept at a place, with what it proves; what comes will be kept there too.
    ///
    /// # Errors
    /// If it cannot be read, or does not hold in this cluster.
    pub fn open(place: PathBuf, genesis: &Genesis) -> Result<(Self, Option<(ProofFile, Proven)>), EvidenceError> {
        let found = match durable::read(&place, PROOF_FILE_BYTES_MAX as u64 + 1)? {
            None => None,
            Some(bytes) => {
                let file = file::read(&Bytes::from(bytes))?;
                let proven = file::judge(&file, &genesis.digest())?;
                Some((file, proven))
            }
        };
        Ok((Self { place: Some(place), failing: false }, found))
    }

    /// Writes an encoded file to its place, if there is one. Whether it is there now. `what` is in it, for the log.
    pub fn write(&mut self, what: &str, file: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(place) = &self.place else { return false };
        match durable::replace(place, &file()) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                error!(%error, place = %place.display(), "{what} cannot be written; it is held in memory and tried again");
            }
            Err(_) => {}
        }
        !self.failing
    }
}
