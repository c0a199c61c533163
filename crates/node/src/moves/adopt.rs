//! Putting records that came into tree, store and the blocks that are not final yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use pleach_state::State;
use pleach_store::{Error as StoreError, Rekeep};
use pleach_tree::{KeepError, MergeError, Path, Prefix, ValueDigest, VerifiedProof};
use pleach_types::{Hash, Height, Key};
use thiserror::Error;
use tracing::info;

use super::plan::joined;
use super::recorder::Recorder;
use crate::core::Node;
use crate::lock;
use crate::transfer::{Adoption, Asking, Came};

/// Bytes of records that are adopted at a time, at least and at most: what a node holds in memory, and how long it is held up.
pub(super) const PART_BYTES_MIN: usize = 1 << 20;
/// See [`PART_BYTES_MIN`].
pub(super) const PART_BYTES_MAX: usize = 16 << 20;

/// Records are asked for of one height for as long as this part of the window has not gone by since.
const AGE_PARTS: u64 = 4;

/// Why records cannot move now.
#[derive(Debug, Error)]
pub(crate) enum CannotMove {
    /// Too much was written meanwhile.
    #[error("the changes since height {0} are not all here")]
    NotRecorded(Height),
    /// The value that came last is not the one in the tree.
    #[error("the record {0} is not the one in the tree")]
    Record(Key),
    /// There are more records under the prefixes than came.
    #[error("{came} records came and {kept} are kept")]
    Missing { came: usize, kept: usize },
    /// What came was written over so long ago that the tree cannot tell, or it is not of this tree.
    #[error(transparent)]
    Tree(#[from] KeepError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Node {
    /// Notes down from now on what blocks change under all that is missing, if that is not done yet: one prefix after the other can
    /// be asked for at once then.
    pub(super) fn record_under(&self, missing: &[(Prefix, Path)]) {
        // No block is executed meanwhile: all above the newest height are noted down.
        let _delivered = lock(&self.finality.delivered);
        let mut recorder = lock(&self.moves.recorder);
        let covers = |recorder: &Recorder| missing.iter().all(|(prefix, _)| recorder.prefixes.contains(prefix));
        if !recorder.as_ref().is_some_and(covers) {
            let prefixes = missing.iter().map(|(prefix, _)| *prefix).collect();
            *recorder = Some(Recorder::new(prefixes, self.newest_height()));
        }
    }

    /// Begins to ask for records of a prefix: `None` while this node's newest height that others can
    /// have written, too (certified, and on its own disk), is below the one from which changes are noted down.
    pub(super) fn begin_adoption(&self, from: (Prefix, Path), enough: usize) -> Option<Adoption> {
        let mut recorder = lock(&self.moves.recorder);
        let recent = lock(&self.finality.recent);
        let newest = recent.certified()?.min(self.finality.disk.durable());
        let recorder = recorder.as_mut().filter(|recorder| recorder.since <= newest)?;
        // The height of the part before, while it is well remembered: those that are asked have it at hand, and may not have
        // written the newest one yet.
        let known = recorder.asked.filter(|asked| newest.saturating_sub(*asked) <= self.genesis.window / AGE_PARTS);
        let height = known.unwrap_or(newest);
        let of: (Height, Hash) = (height, recent.get(height)?.result.root);
        recorder.asked = Some(height);
        recorder.forget(height);
        drop(recent);
        let asking = Asking::new(self.members.committee().faults(), &self.genesis.limits);
        Some(Adoption::begin(asking, of, from, enough))
    }

    /// Keeps what came from now on.
    pub(super) fn take_over(&self, mut came: Came) -> Result<(), CannotMove> {
        // No block may be taken in meanwhile: what comes is joined to the newest state, and written under its height.
        let _delivered = lock(&self.finality.delivered);
        self.finality.disk.settle()?;
        {
            let recorder = lock(&self.moves.recorder);
            let recorder = recorder.as_ref().filter(|recorder| recorder.since <= came.height);
            let recorder = recorder.ok_or(CannotMove::NotRecorded(came.height))?;
            let came_under = |key: &Key| came.prefixes.iter().any(|prefix| prefix.contains(&key.path()));
            // The records are those of an older height, and blocks went on: what these wrote there since is put over them.
            recorder.replay(came.height, &mut came.records, came_under);
        }
        let content = came.proof()?;
        let before = self.state();
        let kept = joined(before.tree().kept(), &came.prefixes, self.members.placed().map().bits().into());
        let after = before.with_kept(kept.iter().copied(), content.as_ref())?;
        check(&before, &after, &came)?;
        let records = came.records.len();
        self.rekeep(&before, after, (&kept, content.as_ref()), came.records)?;
        info!(records, bytes = came.bytes, of = came.height, "records that this member is to keep were taken over");
        Ok(())
    }

    /// Puts a state that keeps other prefixes in the place of that of the newest height, `before`, here and in the store, and has
    /// the blocks that are not final yet keep the same, with the same content. Blocks wait meanwhile.
    pub(super) fn rekeep(
        &self,
        before: &State,
        after: State,
        (kept, content): (&[Prefix], Option<&VerifiedProof>),
        records: BTreeMap<Key, Bytes>,
    ) -> Result<(), CannotMove> {
        let change = Rekeep {
            height: before.height(),
            kept: after.tree().kept().to_vec(),
            records,
            outline: after.tree().outline_changes(before.tree()),
        };
        // The newest final block shares its tree with the recent heights.
        let also = |state: &State| match state.height() == after.height() {
            true => Ok(after.clone()),
            false => state.with_kept(kept.iter().copied(), content),
        };
        self.execution.chain.rekeep(also, || self.finality.disk.store().rekeep(&change).map_err(CannotMove::from))?;
        if let Some(tip) = lock(&self.finality.recent).tip() {
            tip.set_state(after);
        }
        Ok(())
    }
}

/// Checks that the values are those of the tree, and all of them: what is served from here on is served as proved.
fn check(before: &State, after: &State, came: &Came) -> Result<(), CannotMove> {
    let mut known = 0;
    for (key, value) in &came.records {
        let path = key.path();
        known += usize::from(before.keeps(&path));
        if after.tree().get(&path).ok().flatten() != Some(ValueDigest::of(value)) {
            return Err(CannotMove::Record(key.clone()));
        }
    }
    let (had, has) = (before.kept_records(), after.kept_records());
    if had + came.records.len() - known == has {
        return Ok(());
    }
    Err(CannotMove::Missing { came: came.records.len(), kept: has.saturating_sub(had) })
}
