//! What the node does with a file that is said to show a fork.

use std::sync::TryLockError;

use bytes::Bytes;
use pleach_types::certificate::ResultProof;
use pleach_types::{Height, ProofFile};
use pleach_verify::file::{self, FileError};
use pleach_verify::{decode, fork};
use tracing::{error, warn};

use super::{HINT, NoFork};
use crate::core::Node;
use crate::lock;

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
