//! The results of the last T heights: what evidence and members on standby are compared with. Persistent, so that forks
//! share it.

use std::sync::Arc;

use pleach_types::{BlockResult, Height};
use rpds::RedBlackTreeMapSync;

/// The results of the newest heights. See the head of the module.
#[derive(Clone, Debug)]
pub(crate) struct ResultHistory {
    /// T: how many are remembered.
    window: u64,
    results: RedBlackTreeMapSync<Height, Arc<BlockResult>>,
}

impl ResultHistory {
    /// None yet, and never more than those of `window` heights.
    pub(crate) fn new(window: u64) -> Self {
        Self { window, results: RedBlackTreeMapSync::new_sync() }
    }

    /// Adds the result of the next height, and forgets the one that is T heights older.
    pub(crate) fn push(&mut self, result: &BlockResult) {
        self.results.insert_mut(result.height, Arc::new(*result));
        if let Some(expired) = result.height.checked_sub(self.window) {
            self.results.remove_mut(&expired);
        }
    }

    /// The result of a height, if it is remembered.
    pub(crate) fn get(&self, height: Height) -> Option<&BlockResult> {
        self.results.get(&height).map(|result| &**result)
    }
}
