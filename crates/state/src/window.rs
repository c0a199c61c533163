//! What the last T blocks leave behind beside the records and their roots: the identities that they ordered, and the
//! code that they carried or ran. Persistent, so that forks share it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_types::{Hash, Height, Identity};
use rpds::RedBlackTreeMapSync;

/// What one block adds to the window.
#[derive(Debug, Default)]
pub struct BlockTrace {
    /// The identities that it ordered.
    pub identities: BTreeSet<Identity>,
    /// The code that it carried or ran, by digest.
    pub code: BTreeMap<Hash, Bytes>,
}

/// The window as it stands before the block of height `newest + 1`.
#[derive(Clone, Debug)]
pub struct Window {
    /// T: how many blocks are remembered.
    history: u64,
    newest: Height,
    traces: RedBlackTreeMapSync<Height, Arc<BlockTrace>>,
    identities: RedBlackTreeMapSync<Identity, Height>,
    code: RedBlackTreeMapSync<Hash, Warm>,
}

#[derive(Clone, Debug)]
struct Warm {
    code: Bytes,
    used: Height,
}

impl Window {
    /// The window of height 0.
    pub fn genesis(history: u64) -> Self {
        Self {
            history,
            newest: 0,
            traces: RedBlackTreeMapSync::new_sync(),
            identities: RedBlackTreeMapSync::new_sync(),
            code: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// The window after these heights, of which the last is `newest` and those before the last T are not looked at.
    pub fn restore(history: u64, newest: Height, traces: BTreeMap<Height, BlockTrace>) -> Self {
        let mut window = Self::genesis(history);
        window.newest = newest;
        // Heights 1 and up: genesis orders nothing.
        let oldest = (newest + 1).saturating_sub(history);
        for (height, trace) in traces.into_iter().filter(|(height, _)| *height >= oldest) {
            window.add(height, trace);
        }
        window
    }

    /// What the newest block added.
    pub fn newest(&self) -> Option<&BlockTrace> {
        self.traces.get(&self.newest).map(|trace| &**trace)
    }

    /// The height at which a block ordered the identity, while that is remembered.
    ///
    /// A request lives for T blocks after its `base`, and it was ordered after its `base`: so when its
    /// identity is forgotten, the request is too old to be accepted again.
    pub fn ordered_at(&self, identity: &Identity) -> Option<Height> {
        self.identities.get(identity).copied()
    }

    /// The code with this digest, if it is warm.
    pub fn warm(&self, digest: &Hash) -> Option<&Bytes> {
        self.code.get(digest).map(|warm| &warm.code)
    }

    /// The window after the next block.
    pub fn push(&self, trace: BlockTrace) -> Self {
        let newest = self.newest + 1;
        let mut next = self.clone();
        next.newest = newest;
        next.add(newest, trace);
        if let Some(expired) = newest.checked_sub(self.history) {
            next.forget(expired);
        }
        next
    }

    fn add(&mut self, height: Height, trace: BlockTrace) {
        for identity in &trace.identities {
            self.identities.insert_mut(*identity, height);
        }
        for (digest, code) in &trace.code {
            self.code.insert_mut(*digest, Warm { code: code.clone(), used: height });
        }
        self.traces.insert_mut(height, Arc::new(trace));
    }

    /// Drops what the block of `height` added, unless a later block added it again.
    fn forget(&mut self, height: Height) {
        let Some(trace) = self.traces.get(&height).cloned() else { return };
        self.traces.remove_mut(&height);
        for identity in &trace.identities {
            self.identities.remove_mut(identity);
        }
        for digest in trace.code.keys() {
            if self.code.get(digest).is_some_and(|warm| warm.used == height) {
                self.code.remove_mut(digest);
            }
        }
    }
}
