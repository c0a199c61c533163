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

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, TryLockError};

use bytes::Bytes;
use pleach_types::certificate::{CertificateError, ResultProof};
use pleach_types::{Encode as _, Genesis, Height, ProofFile};
use pleach_verify::file::{self, FileError};
use pleach_verify::{decode, fork};
use thiserror::Error;
use tracing::{error, warn};

use crate::core::Node;
use crate::evidence::EvidenceError;
use crate::kept::KeptFile;
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
    #[error("a certificate in the file does not hold for the members that this node knows: {0}")]
    Certificate(#[from] CertificateError),
    /// All that it shows is what this node has.
    #[error("the file shows no two different results of one height")]
    Same,
    /// It shows one result of a height that this node has not come to.
    #[error("this node has not come to height {0}: show both results of the height")]
    Unknown(Height),
    /// It shows results of a height that this node has forgotten.
    #[error("height {0} is over for long: old keys that have leaked could make such a file")]
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
    kept: Mutex<Kept>,
    /// Held while a file is checked.
    checking: Mutex<()>,
}

#[derive(Default)]
struct Kept {
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
        let forked = Self { kept: Mutex::new(Kept { file, unwritten: None }), ..Self::default() };
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

impl Node {
    /// The height of the fork that this node was shown. It neither votes nor serves then.
    #[must_use]
    pub fn forked(&self) -> Option<Height> {
        self.fork.height()
    }

    /// Looks at a file that is said to show a fork. If it does, this node stops voting and serving. The height of the fork.
    ///
    /// # Errors
    /// Why it is none.
    pub fn see_fork(&self, bytes: &Bytes) -> Result<Height, NoFork> {
        if let Some(height) = self.forked() {
            return Ok(height);
        }
        let _one = match self.fork.checking.try_lock() {
            Ok(one) => one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(NoFork::Busy),
        };
        let file = file::read(bytes)?;
        let found = file.genesis.digest();
        if found != self.genesis_digest {
            return Err(FileError::OtherGenesis { found, expected: self.genesis_digest }.into());
        }
        let shown = self.fork_of([file.head, file.fork].into_iter().flatten().collect())?;
        // The file is made here of proofs that hold, and judged all the same: it has to be read after the next start.
        let proven = file::judge(&shown, &self.genesis_digest)?;
        let height = proven.fork.ok_or(NoFork::Same)?.one.height;
        let guilty = proven.convictions.len();
        self.fork.keep(height, shown.clone());
        self.stop_voting();
        error!(height, guilty, "the cluster has forked: this node neither votes nor serves any more. {HINT}");
        for evidence in proven.convictions.into_iter().map(|conviction| conviction.evidence) {
            self.evidence.add(evidence);
        }
        self.accuse(&shown);
        Ok(height)
    }

    /// Looks through what this node has for those who have signed something that excludes one of the certificates of a fork: to finalize
    /// another block in the same view, or to nullify the view. The certificates alone name nobody where they are of different views.
    fn accuse(&self, fork: &ProofFile) {
        let anchor = self.members.anchor();
        let own = lock(&self.finality.recent).certificates();
        for certificate in [&fork.head, &fork.fork].into_iter().flatten().map(|proof| &proof.certificate) {
            let round = fork::round(certificate);
            let same_view = own.iter().filter(|own| fork::round(own) == round);
            let mut evidence: Vec<_> = same_view.flat_map(|own| fork::culprits(&anchor, certificate, own)).collect();
            if let Some(nullification) = self.network().and_then(|network| network.nullification(round)) {
                evidence.extend(fork::culprits_of_nullified(&anchor, certificate, &nullification));
            }
            // All of it is of certificates that were checked; it is judged before it convicts, as all evidence is.
            for evidence in evidence.into_iter().filter(|one| one.judge(&self.genesis_digest, None).is_ok()) {
                warn!(accused = %evidence.accused, view = round.view, epoch = round.epoch, "a member has signed for both histories");
                self.evidence.add(evidence);
            }
        }
    }

    /// The file that shows the fork between what is shown and what this node has, or between both that are shown.
    fn fork_of(&self, shown: Vec<ResultProof>) -> Result<ProofFile, NoFork> {
        let anchor = self.members.anchor();
        let file = || ProofFile { steps: self.members.all_steps(), ..ProofFile::new(self.genesis.clone()) };
        let newest = lock(&self.finality.recent).certified().unwrap_or(0);
        let mut unknown = Vec::new();
        for proof in shown {
            let Some(stated) = proof.stated() else { continue };
            match self.own_proof(stated.height) {
                // Keys of former members may have leaked: with them anybody could make another result of a height that is forgotten, and it must not stop
                // the members of today.
                None if stated.height <= newest => return Err(NoFork::Forgotten(stated.height)),
                None => unknown.push(proof),
                Some(own) if own.stated() == Some(stated) => {}
                Some(own) => {
                    // Only what a quorum has certified stops a node: anybody can state another result.
                    anchor.result_proof(&proof)?;
                    return Ok(fork::file(file(), &anchor, own, proof));
                }
            }
        }
        let stated: Vec<_> = unknown.iter().filter_map(ResultProof::stated).copied().collect();
        match (&stated[..], <[ResultProof; 2]>::try_from(unknown)) {
            ([one, other], Ok([first, second])) if one.height == other.height && one != other => {
                anchor.result_proof(&first)?;
                anchor.result_proof(&second)?;
                Ok(fork::file(file(), &anchor, first, second))
            }
            ([one, ..], _) => Err(NoFork::Unknown(one.height)),
            ([], _) => Err(NoFork::Same),
        }
    }

    /// What proves the result that this node has of a height, as far as it remembers.
    fn own_proof(&self, height: Height) -> Option<ResultProof> {
        let proof = lock(&self.finality.recent).result_proof(height)?;
        decode("certificate", &proof).ok()
    }
}

/// The place of the file in a data folder.
#[must_use]
pub fn place(data: &Path) -> PathBuf {
    data.join(FILE)
}
