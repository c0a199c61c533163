//! Forks: what this node does when it is shown that the cluster has two histories.
//!
//! Two different results of one height are certified only if more members are Byzantine than the cluster tolerates. Then no answer of this node is worth
//! anything to whoever gets it, and a vote of it may make things worse: so it stops voting and serving, keeps what shows the fork
//! ([`FILE`], a proof file), and says so until people have decided which history goes on. A restart changes nothing: the file is
//! read again.
//!
//! Anybody may show a fork (`POST /v1/fork`), so what is no fork costs little: the certificates are compared with what this
//! node has before a signature is checked, one file is checked at a time, and a certificate ends at its first false signature. The
//! members whose signatures count are those of this node's own history: at the height where two histories part they are the
//! same in both.
//!
//! Heights that this node has forgotten are not looked at. Their members may have left long ago, and whoever gets hold of enough of
//! their old keys could make two results of such a height, and stop the cluster of today with them. What today's members sign rests on no
//! old key; a client that has seen two results of an old height stops all the same, and its people decide.

mod shown;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use pleach_types::certificate::CertificateError;
use pleach_types::{Encode as _, Genesis, Height, ProofFile};
use pleach_verify::file::FileError;
use thiserror::Error;
use tracing::error;

use crate::kept::{EvidenceError, KeptFile};
use crate::lock;

/// The file in a node's data folder that shows a fork.
pub const FILE: &str = "fork.evidence";

/// What to do about a fork, for people.
pub const HINT: &str = "rely on nothing that this cluster says from that height on, and compare fork.evidence in the data folders of all members: \
     people have to decide which history goes on. A node starts to vote again once that file is moved away";

/// Why what is shown is no fork.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoFork {
    /// It is no proof file of this cluster.
    #[error("the file cannot be used: {0}")]
    File(#[from] FileError),
    /// A certificate in it does not hold.
    #[error("a certificate in the file does not verify by the members that this node knows: {0}")]
    Certificate(#[from] CertificateError),
    /// All that it shows is what this node has.
    #[error("the file shows no two different results of one height")]
    Same,
    /// It shows one result of a height that this node has not come to.
    #[error("this node has not come to height {0}: show both results of the height")]
    Unknown(Height),
    /// It shows results of a height that this node has forgotten.
    #[error("height {0} is long past: old keys that have leaked could make such a file")]
    Forgotten(Height),
    /// Another one is being checked.
    #[error("this node is checking another file")]
    Busy,
}

impl NoFork {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "BAD_PROOF",
            Self::Certificate(_) => "BAD_CERTIFICATE",
            Self::Same => "NO_FORK",
            Self::Unknown(_) => "UNKNOWN_HEIGHT",
            Self::Forgotten(_) => "HEIGHT_FORGOTTEN",
            Self::Busy => "OVERLOADED",
        }
    }
}

/// Whether this node has seen a fork.
#[derive(Default)]
pub struct Forked {
    height: OnceLock<Height>,
    kept: Mutex<KeptFork>,
    /// Held while a file is checked.
    checking: Mutex<()>,
}

#[derive(Default)]
struct KeptFork {
    file: KeptFile,
    /// What is not written yet.
    unwritten: Option<ProofFile>,
}

impl Forked {
    /// What is kept at a place; what comes will be kept there too.
    ///
    /// # Errors
    /// If it cannot be read, or does not show a fork of this cluster.
    pub fn open(place: PathBuf, genesis: &Genesis) -> Result<Self, EvidenceError> {
        let (file, found) = KeptFile::open(place, genesis)?;
        let forked = Self { kept: Mutex::new(KeptFork { file, unwritten: None }), ..Self::default() };
        if let Some((_, proven)) = found {
            let height = proven.fork.ok_or(FileError::Empty)?.one.height;
            let _ = forked.height.set(height);
            error!(
                height,
                "the cluster has forked, as this node was shown before: it neither votes nor serves. {HINT}"
            );
        }
        Ok(forked)
    }

    /// The height of which two results are certified.
    pub fn height(&self) -> Option<Height> {
        self.height.get().copied()
    }

    fn keep(&self, height: Height, file: ProofFile) {
        lock(&self.kept).unwritten = Some(file);
        let _ = self.height.set(height);
        self.write();
    }

    /// Writes what is not written yet. It is tried again with the node's next work.
    pub fn write(&self) {
        let mut kept = lock(&self.kept);
        let Some(unwritten) = kept.unwritten.take() else { return };
        if !kept.file.write("what shows the fork", || unwritten.encode()) {
            kept.unwritten = Some(unwritten);
        }
    }
}

/// The place of the file in a data folder.
#[must_use]
pub fn place(data: &Path) -> PathBuf {
    data.join(FILE)
}
