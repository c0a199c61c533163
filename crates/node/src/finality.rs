//! Final blocks: the last heights as readers see them, what of them is on the disk, and who waits for news of them.
//!
//! ```text
//!   executed ─► take: to the disk ─► seen: to the last heights, from which reads and receipts come ─► told: those who wait
//! ```
//!
//! Whoever takes a block in, or puts a state that came from others in the place of this one, holds `delivered` for all of it, so that neither
//! sees the other half done; those who wait are woken when it is free again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pleach_state::State;
use pleach_store::{BlockWrite, Keep, WindowEntry};
use pleach_types::succession::Step;
use pleach_types::{Genesis, Height, Identity};
use tokio::sync::Notify;

use crate::chain::ExecutedBlock;
use crate::disk::Disk;
use crate::lock;
use crate::recent_heights::{Final, RecentHeights};
use crate::waiters::Waiters;

/// Heights that are kept for reads beside the window of the state machine.
const HEIGHTS_KEPT_MIN: u64 = 256;

/// How many heights a node remembers: twice the window, since a client must have the time to learn that its request was
/// never executed.
pub(crate) fn heights_kept(genesis: &Genesis) -> u64 {
    genesis.window.saturating_mul(2).max(HEIGHTS_KEPT_MIN)
}

/// What a node has of final blocks. See the head of the module.
pub(crate) struct Finality {
    pub(crate) recent: Mutex<RecentHeights>,
    pub(crate) disk: Disk,
    /// Wakes whoever waits for another height. Not a `watch` channel, which wakes in random order: the same run of a
    /// simulation must be the same run twice.
    pub(crate) progress: Notify,
    /// Wakes whoever waits for a receipt.
    pub(crate) waiters: Waiters,
    /// Held while a block is taken in or a fetched state is put in: the height up to which blocks are not needed.
    pub(crate) delivered: Mutex<Height>,
    /// How many heights are remembered.
    pub(crate) keep: u64,
}

impl Finality {
    /// The last heights as a store remembers them, which ends at this state. Returns their newest block beside it.
    pub(crate) fn new(state: &State, entries: Vec<WindowEntry>, disk: Disk) -> (Self, Arc<ExecutedBlock>) {
        let keep = heights_kept(state.cluster_genesis());
        let (recent, tip) = remembered(state, entries, keep);
        let recent = Mutex::new(recent);
        let (progress, waiters, delivered) = (Notify::new(), Waiters::default(), Mutex::new(0));
        (Self { recent, disk, progress, waiters, delivered, keep }, tip)
    }

    /// Goes on from another state, which came from others. Returns its block, and the requests that its window has decided: their clients
    /// may wait for that.
    pub(crate) fn reset(&self, state: &State, entries: Vec<WindowEntry>) -> (Arc<ExecutedBlock>, Vec<Identity>) {
        let receipts = entries.iter().flat_map(|entry| &entry.receipts);
        let decided = receipts.map(|receipt| receipt.identity).collect();
        let (recent, tip) = remembered(state, entries, self.keep);
        *lock(&self.recent) = recent;
        (tip, decided)
    }

    /// The state of the newest final block.
    ///
    /// # Panics
    /// Never: the newest height is always there.
    pub(crate) fn state(&self) -> State {
        let tip = lock(&self.recent).tip().and_then(|tip| tip.state());
        tip.expect("the newest height has its state")
    }

    /// The newest final height.
    pub(crate) fn newest_height(&self) -> Height {
        lock(&self.recent).tip().map_or(0, |tip| tip.header.height)
    }

    /// The oldest block that a member may need that lags and still goes on block by block.
    pub(crate) fn needed_from(&self) -> Height {
        self.disk.durable().saturating_sub(self.keep)
    }

    /// Hands the next final block to the disk. What others are fetching from `pin` on stays readable.
    pub(crate) fn take(&self, executed: &ExecutedBlock, entry: &Final, step: Option<Step>, pin: Option<Height>) {
        let (state, before, height) = (executed.state(), self.state(), executed.height());
        let written = state.tree().written(height).unwrap_or_default().to_vec();
        let kept = executed.applied.changes.iter().filter(|(key, _)| state.keeps(&key.path()));
        let code: BTreeMap<_, _> = state.newest_code().map(|(digest, code)| (*digest, code.clone())).collect();
        let pin = pin.unwrap_or(height);
        let oldest = height.saturating_sub(self.keep - 1);
        let values = oldest.min(pin);
        let window = oldest.min((pin + 1).saturating_sub(state.cluster_genesis().window));
        self.disk.write(BlockWrite {
            entry: entry.entry(written, state.newest_used().to_vec()),
            records: kept.map(|(key, value)| (key.clone(), value.clone())).collect(),
            outline: state.tree().outline_changes(before.tree()),
            code,
            keep: Keep { values, window },
            step,
        });
    }

    /// Lets readers see the block. Returns the requests of the blocks that are certified by it: their clients may wait for that.
    pub(crate) fn seen(&self, entry: Final) -> Vec<Identity> {
        let mut recent = lock(&self.recent);
        let before = recent.certified();
        recent.push(entry, self.disk.durable());
        recent.certified_since(before).collect()
    }

    /// Wakes those who wait for another height, and those who wait for news of these requests.
    pub(crate) fn tell(&self, identities: impl IntoIterator<Item = Identity>) {
        self.progress.notify_waiters();
        self.waiters.wake(identities);
    }
}

/// The last heights as a store remembers them, and their newest block.
fn remembered(state: &State, mut entries: Vec<WindowEntry>, keep: u64) -> (RecentHeights, Arc<ExecutedBlock>) {
    let mut recent = RecentHeights::new(keep);
    let newest = entries.pop().expect("a state that was restored has its own height");
    let height = newest.result.height;
    entries.into_iter().for_each(|entry| recent.push(Final::stored(entry, None), height));
    let tip = Arc::new(ExecutedBlock::stored(&newest, state.clone()));
    recent.push(Final::stored(newest, Some(state.clone())), height);
    (recent, tip)
}

#[cfg(test)]
mod tests;
