//! The archive of nullifications: what names the members that have signed both of two histories.
//!
//! Two blocks that exclude each other are final only if more members are Byzantine than the cluster tolerates. Say one was finalized in view
//! `v`. The first block of the other history in a view `w > v` needed a nullification of `v`: nobody correct votes for a block
//! that skips a view without it. So a quorum has signed to finalize in `v`, and a quorum to nullify `v`; those in both, f + 1 at
//! least, are guilty, and no correct member is among them (thesis goal G6; after LibraBFT's forensics, Sheng et al., 2021). The
//! certificates of the two histories do not show it: it takes the nullification, and the engine forgets it after
//! [`RETAINED_VIEWS`] views. A fork may be noticed later: so the last [`NULLIFICATIONS_KEPT`] are kept here.
//!
//! They are in memory, since they are asked for by whoever judges a fork and must not wait for a disk, and in a journal. What
//! is added is not synced with each: the engine's own journal brings the last views back at the next start. So it is
//! enough to sync once in [`SYNC_EVERY`], well before the engine forgets.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commonware_consensus::simplex::types::Nullification as EngineNullification;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Metrics, ReadOptions, Storage};
use commonware_storage::journal::Error;
use commonware_storage::journal::segmented::variable::{Config, Journal};
use pleach_types::certificate::Nullification;
use pleach_types::limits::MEMBERS_MAX;
use pleach_types::vote::Round;
use tracing::warn;

use crate::block::round_from_engine;
use crate::certificate::signatures_of;
use crate::partitions::{NULLIFICATIONS_PARTITION, REPLAY_BUFFER, RETAINED_VIEWS, WRITE_BUFFER};
use crate::scheme::Scheme;
use crate::signal::Signal;

/// Nullifications that are kept. At one in four views, with one of four members down, these are of the last 40,000 views: twenty
/// minutes at full pace.
const NULLIFICATIONS_KEPT: usize = 10_000;
/// Bytes of their signatures that are kept: with many members these are fewer nullifications.
const NULLIFICATION_BYTES_KEPT: usize = 16 << 20;
/// Nullifications of a section of the journal, which is a file.
const SECTION: u64 = 1_000;
/// Sections that there may be: the one that is written, and one of which a part is kept.
pub(crate) const SECTIONS: u64 = NULLIFICATIONS_KEPT as u64 / SECTION + 2;
/// Nullifications after which the journal is synced: far fewer than the engine keeps views.
const SYNC_EVERY: usize = 32;
const _: () = assert!((SYNC_EVERY as u64) < RETAINED_VIEWS.get());

/// The last nullifications, shared by whoever adds to them, writes them, and asks for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nullified(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<KeptNullified>,
    added: Signal,
}

#[derive(Debug, Default)]
struct KeptNullified {
    by_round: BTreeMap<Round, Nullification>,
    bytes: usize,
    /// What the journal does not have yet, the oldest first.
    unwritten: VecDeque<EngineNullification<Scheme>>,
}

impl KeptNullified {
    /// Whether it was not there.
    fn add(&mut self, of: &EngineNullification<Scheme>) -> bool {
        let round = round_from_engine(of.round);
        if self.by_round.contains_key(&round) {
            return false;
        }
        let Some((signers, signatures)) = signatures_of(&of.certificate) else { return false };
        let nullification = Nullification { round, signers, signatures };
        self.bytes += bytes_of(&nullification);
        self.by_round.insert(round, nullification);
        while self.by_round.len() > NULLIFICATIONS_KEPT || self.bytes > NULLIFICATION_BYTES_KEPT {
            let Some((_, oldest)) = self.by_round.pop_first() else { break };
            self.bytes -= bytes_of(&oldest);
        }
        true
    }
}

fn bytes_of(of: &Nullification) -> usize {
    of.signatures.len() * size_of::<pleach_types::Signature>()
}

impl Nullified {
    /// Nothing is ever left half done under the lock.
    fn kept(&self) -> MutexGuard<'_, KeptNullified> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a nullification whose votes the engine has checked.
    pub(crate) fn add(&self, of: &EngineNullification<Scheme>) {
        let mut kept = self.kept();
        if kept.add(of) {
            kept.unwritten.push_back(of.clone());
            // Where nothing is written, as after a failure, what waits must not grow.
            while kept.unwritten.len() > NULLIFICATIONS_KEPT {
                kept.unwritten.pop_front();
            }
            drop(kept);
            self.0.added.bump();
        }
    }

    fn next_unwritten(&self) -> Option<EngineNullification<Scheme>> {
        self.kept().unwritten.pop_front()
    }

    /// The nullification of a round, if it is kept.
    pub(crate) fn of(&self, round: Round) -> Option<Nullification> {
        self.kept().by_round.get(&round).cloned()
    }

    /// Opens the archive on disk and takes what is in it. `None` if that fails, which is said: this member goes on without, since nothing
    /// that it signs rests on it.
    pub(crate) async fn open<E: Storage + Metrics>(
        &self,
        context: E,
        prefix: &str,
        pages: CacheRef,
    ) -> Option<NullifiedArchive<E>> {
        let config = Config {
            partition: format!("{prefix}{NULLIFICATIONS_PARTITION}"),
            compression: None,
            codec_config: MEMBERS_MAX,
            page_cache: pages,
            write_buffer: WRITE_BUFFER,
        };
        self.read(context, config).await.inspect_err(unusable).ok()
    }

    async fn read<E: Storage + Metrics>(
        &self,
        context: E,
        config: Config<usize>,
    ) -> Result<NullifiedArchive<E>, Error> {
        let journal = Journal::init(context, config).await?;
        let mut next = 0;
        let mut replay = journal.replay(0, 0, REPLAY_BUFFER, ReadOptions::DONT_CACHE).await?;
        while let Some(item) = replay.next().await {
            let (section, _, _, of) = item?;
            next = next.max(section * SECTION) + 1;
            self.kept().add(&of);
        }
        Ok(NullifiedArchive { nullified: self.clone(), journal: replay.finish()?, next })
    }
}

fn unusable(error: &Error) {
    warn!(
        %error,
        "the archive of nullifications cannot be read or written: if the cluster forks, this member may not be able to say who is guilty"
    );
}

/// The archive on disk.
pub(crate) struct NullifiedArchive<E: Storage + Metrics> {
    nullified: Nullified,
    journal: Journal<E, EngineNullification<Scheme>>,
    /// How many have been written, ever.
    next: u64,
}

impl<E: Storage + Metrics> NullifiedArchive<E> {
    /// Writes what is added. It ends only if the disk fails.
    pub(crate) async fn keep(self) {
        let Err(error) = self.write().await;
        unusable(&error);
    }

    async fn write(self) -> Result<Infallible, Error> {
        let Self { nullified, mut journal, mut next } = self;
        let mut unsynced = 0;
        loop {
            let seen = nullified.0.added.get();
            while let Some(of) = nullified.next_unwritten() {
                (journal, ..) = journal.append(next / SECTION, &of).await?;
                (next, unsynced) = (next + 1, unsynced + 1);
            }
            if unsynced >= SYNC_EVERY {
                journal = journal.sync_all().await?;
                (journal, _) = journal.prune((next / SECTION).saturating_sub(SECTIONS - 2)).await?;
                unsynced = 0;
            }
            nullified.0.added.above(seen).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use commonware_codec::DecodeExt as _;
    use commonware_consensus::types::{Epoch, Round as EngineRound, View};
    use commonware_cryptography::certificate::Signers;
    use commonware_cryptography::ed25519;
    use commonware_cryptography::ed25519::certificate::Certificate as Signatures;
    use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic};
    use commonware_utils::{NZU16, NZUsize, Participant};
    use pleach_types::SecretKey;

    use super::*;

    /// By three of four members. Nobody checks the signatures here: the engine has.
    fn nullification(view: u64) -> EngineNullification<Scheme> {
        let signature = SecretKey::from_seed([1; 32]).sign_bytes(b"a vote").0;
        let signature = ed25519::Signature::decode(bytes::Bytes::copy_from_slice(&signature)).expect("a signature");
        let signers = Signers::new(4, (0..3).map(Participant::new)).expect("three of four");
        let certificate = Signatures { signers, signatures: vec![signature.into(); 3] };
        EngineNullification { round: EngineRound::new(Epoch::new(0), View::new(view)), certificate }
    }

    fn views(nullified: &Nullified) -> Vec<u64> {
        nullified.kept().by_round.keys().map(|round| round.view).collect()
    }

    /// One life of the archive: what it finds, and then takes these views. It is over without a goodbye.
    async fn live(context: deterministic::Context, added: std::ops::Range<u64>) -> Vec<u64> {
        let nullified = Nullified::default();
        let pages = CacheRef::new(NZU16!(4_084), NZUsize!(64));
        let archive = nullified.open(context.child("archive"), "", pages).await.expect("it opens");
        let found = views(&nullified);
        context.child("keep").spawn(move |_| async move { archive.keep().await });
        for view in added {
            nullified.add(&nullification(view));
            nullified.add(&nullification(view));
            context.sleep(std::time::Duration::from_millis(1)).await;
        }
        found
    }

    #[test]
    fn a_power_cut_takes_away_less_than_the_journal_of_votes_brings_back() {
        let runner = deterministic::Runner::timed(std::time::Duration::from_secs(60));
        let (found, crashed) = runner.start_and_recover(|context| live(context, 0..200));
        assert_eq!(found, Vec::<u64>::new());
        let (found, crashed) =
            deterministic::Runner::from(crashed).start_and_recover(|context| live(context, 150..230));
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "each once, from the first on");
        assert!(found.len() + SYNC_EVERY >= 200, "{} of 200", found.len());
        let (again, _) = deterministic::Runner::from(crashed).start_and_recover(|context| live(context, 0..0));
        assert!(again.len() + SYNC_EVERY >= 230 && again.starts_with(&found), "{} of 230", again.len());
    }

    #[test]
    fn the_newest_are_kept_in_memory_and_on_disk() {
        let added = NULLIFICATIONS_KEPT as u64 + 3 * SECTION;
        let (_, crashed) = deterministic::Runner::default().start_and_recover(|context| live(context, 0..added));
        let (found, _) = deterministic::Runner::from(crashed).start_and_recover(|context| live(context, 0..0));
        assert!(
            found.len() > NULLIFICATIONS_KEPT - SYNC_EVERY && found.len() <= NULLIFICATIONS_KEPT,
            "{}",
            found.len()
        );
        assert!(found.last().is_some_and(|newest| newest + SYNC_EVERY as u64 >= added), "{:?}", found.last());
        let nullified = Nullified::default();
        (0..2).for_each(|view| nullified.add(&nullification(view)));
        let of = nullified.of(Round { epoch: 0, view: 1 }).expect("it is kept");
        assert_eq!((of.signers.as_slice(), of.signatures.len()), (&[0, 1, 2][..], 3));
        assert_eq!(nullified.of(Round { epoch: 1, view: 1 }), None);
    }
}
