//! Evidence against members that this node has found: kept over restarts, served to whoever asks, and put before the members as a
//! complaint ([`crate::core::Node`]'s `complain`).
//!
//! Of each accused one evidence of each case is kept, the first: a second one of the same case convicts it of no more, and a
//! member that votes twice in every view must not fill a disk. All of it is one proof file in the data folder
//! ([`FILE`]), written anew when something comes to it: `pleach verify` reads it as it is.
//!
//! What is found is handed on by the engine's workers, who must not wait for a disk. So it is written with the node's next
//! work, a fifth of a second later at most; a crash in between loses what the engine will find again as long as the votes
//! are in its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pleach_types::api::{Base64, EvidenceList, EvidenceView};
use pleach_types::limits::PROOF_FILE_EVIDENCE_MAX;
use pleach_types::succession::Step;
use pleach_types::{Encode as _, Evidence, Genesis, ProofFile, PublicKey};
use tracing::info;

use crate::kept::{EvidenceError, KeptFile};
use crate::lock;

/// The file in a node's data folder that holds the evidence.
pub const FILE: &str = "evidence.pleach";

/// The evidence that a node holds.
#[derive(Default)]
pub struct EvidenceStore(Mutex<HeldEvidence>);

#[derive(Default)]
struct HeldEvidence {
    /// By accused and case.
    evidence: BTreeMap<(PublicKey, u8), Evidence>,
    kept: KeptFile,
    /// What nobody has been told of since this process started.
    fresh: Vec<Evidence>,
    /// Whether something has come that is not written.
    unwritten: bool,
}

impl EvidenceStore {
    /// What is kept at a place; what comes will be kept there too.
    ///
    /// # Errors
    /// If it cannot be read, or is not what a node of this cluster has kept.
    pub fn open(place: PathBuf, genesis: &Genesis) -> Result<Self, EvidenceError> {
        let (kept, found) = KeptFile::open(place, genesis)?;
        let mut held = HeldEvidence { kept, ..HeldEvidence::default() };
        if let Some((file, _)) = found {
            held.fresh.clone_from(&file.evidence);
            held.evidence.extend(file.evidence.into_iter().map(|evidence| (evidence.charge(), evidence)));
            info!(evidence = held.evidence.len(), "members are guilty, see GET /v1/evidence");
        }
        Ok(Self(Mutex::new(held)))
    }

    /// Takes evidence whose signatures have been checked. Whether it says anything new.
    pub fn add(&self, evidence: Evidence) -> bool {
        let mut held = lock(&self.0);
        let case = evidence.charge();
        if held.evidence.contains_key(&case) || held.evidence.len() >= PROOF_FILE_EVIDENCE_MAX {
            return false;
        }
        held.fresh.push(evidence.clone());
        held.evidence.insert(case, evidence);
        held.unwritten = true;
        true
    }

    /// What has been found since this was last asked.
    pub fn fresh(&self) -> Vec<Evidence> {
        std::mem::take(&mut lock(&self.0).fresh)
    }

    /// Takes back what nobody could be told of.
    pub fn untold(&self, evidence: Evidence) {
        lock(&self.0).fresh.push(evidence);
    }

    /// Writes what has come since the last time, if there is a place for it. The steps lead from the members of genesis to those
    /// whom the evidence is against.
    pub fn write(&self, genesis: &Genesis, steps: impl FnOnce() -> Vec<Step>) {
        let mut held = lock(&self.0);
        if !held.unwritten {
            return;
        }
        let HeldEvidence { evidence, kept, .. } = &mut *held;
        let written = kept.write("evidence", || {
            let mut evidence: Vec<_> = evidence.values().cloned().collect();
            evidence.sort_by_cached_key(pleach_types::Encode::encode);
            ProofFile { evidence, steps: steps(), ..ProofFile::new(genesis.clone()) }.encode()
        });
        held.unwritten = !written;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.0).evidence.len()
    }

    /// Whom it is against.
    pub fn accused(&self) -> BTreeSet<PublicKey> {
        lock(&self.0).evidence.keys().map(|(accused, _)| *accused).collect()
    }

    /// All of it, for clients.
    pub fn list(&self) -> EvidenceList {
        let view = |evidence: &Evidence| EvidenceView {
            digest: evidence.digest(),
            accused: evidence.accused,
            evidence: Base64(evidence.encode().into()),
        };
        EvidenceList { evidence: lock(&self.0).evidence.values().map(view).collect() }
    }
}

/// The place of the evidence in a data folder.
#[must_use]
pub fn place(data: &Path) -> PathBuf {
    data.join(FILE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pleach_testkit::folder::Folder;
    use pleach_types::vote::Proposal;
    use pleach_types::{Ballot, Hash, Member, Round, SecretKey, Vote};
    use pleach_verify::file::FileError;

    use super::*;

    fn secret(n: u16) -> SecretKey {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_le_bytes());
        SecretKey::from_seed(seed)
    }

    fn genesis() -> Genesis {
        let mut secrets: Vec<_> = (0..4).map(secret).collect();
        secrets.sort_by_key(SecretKey::public);
        let member = |(n, key): (usize, &SecretKey)| Member::new(format!("node-{n}"), key.public());
        Genesis::new("evidence", secrets.iter().enumerate().map(member).collect(), BTreeMap::new())
    }

    fn votes(n: u16, view: u64) -> Evidence {
        let (genesis, round) = (genesis().digest(), Round { epoch: 0, view });
        let vote = |block| {
            let proposal = Proposal { parent_view: 1, block: Hash([block; 32]) };
            Vote::sign(Ballot::Finalize(proposal), &genesis, round, &secret(n))
        };
        Evidence::of_votes(genesis, secret(n).public(), round, vote(1), vote(2))
    }

    #[test]
    fn evidence_is_kept_over_restarts_the_first_of_each_case() {
        let (folder, genesis) = (Folder::new(), genesis());
        let store = EvidenceStore::open(place(folder.path()), &genesis).unwrap();
        store.write(&genesis, Vec::new);
        assert!(!place(folder.path()).exists(), "there is nothing to write");
        assert!(store.add(votes(1, 7)));
        assert!(!store.add(votes(1, 7)), "the same again");
        assert!(!store.add(votes(1, 8)), "a second fault of the same kind");
        assert!(store.add(votes(2, 8)));
        store.write(&genesis, Vec::new);
        let again = EvidenceStore::open(place(folder.path()), &genesis).unwrap();
        assert_eq!((again.list(), again.len()), (store.list(), 2));
        assert!(!again.add(votes(1, 9)));
    }

    #[test]
    fn a_changed_file_is_refused_and_not_written_over() {
        let (folder, genesis) = (Folder::new(), genesis());
        let store = EvidenceStore::open(place(folder.path()), &genesis).unwrap();
        store.add(votes(1, 7));
        store.write(&genesis, Vec::new);
        let mut bytes = std::fs::read(place(folder.path())).unwrap();
        // The last byte of the last signature; after it stands only that there is no fork.
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        std::fs::write(place(folder.path()), &bytes).unwrap();
        let refused = EvidenceStore::open(place(folder.path()), &genesis).err().unwrap();
        assert!(matches!(refused, EvidenceError::False(FileError::Evidence { .. })), "{refused}");
        std::fs::write(place(folder.path()), b"").unwrap();
        let refused = EvidenceStore::open(place(folder.path()), &genesis).err().unwrap();
        assert!(matches!(refused, EvidenceError::False(FileError::OtherFile)), "{refused}");
    }

    #[test]
    fn what_is_held_is_bounded_and_a_disk_that_is_full_loses_nothing() {
        let genesis = genesis();
        let store = EvidenceStore::default();
        let limit = u16::try_from(PROOF_FILE_EVIDENCE_MAX).unwrap();
        assert!((0..limit).all(|n| store.add(votes(n, 7))));
        assert!(!store.add(votes(limit, 7)));
        let folder = Folder::new();
        let nowhere = folder.join("no/such/folder").join(FILE);
        let store = EvidenceStore::open(nowhere.clone(), &genesis).unwrap();
        store.add(votes(1, 7));
        store.write(&genesis, Vec::new);
        std::fs::create_dir_all(nowhere.parent().unwrap()).unwrap();
        store.write(&genesis, Vec::new);
        assert!(nowhere.exists(), "it is tried again");
    }
}
