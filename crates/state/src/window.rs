//! What the last T blocks leave behind beside the records and their roots: the identities that they ordered, and the
//! code that they ran. Persistent, so that forks share it.
//!
//! # Warm code
//!
//! Code is *warm* for T heights after the last execution that ran it, and need not be sent again. All warm code together
//! has a bound in bytes, so that each node can keep it translated: when it is exceeded, the code that was not run for
//! longest leaves, at the same height the one with the least digest first. So the warm code is always the longest prefix
//! that fits of all code of the window, the last used first: it follows from the order alone, and whoever has the
//! window's list of what was run when has the set, whatever happened on the way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_types::{Genesis, Hash, Height, Identity, UsedCode};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

/// What one block adds to the window.
#[derive(Debug, Default)]
pub struct BlockTrace {
    /// The identities that it ordered.
    pub identities: BTreeSet<Identity>,
    /// The code that it ran, by digest.
    pub code: BTreeMap<Hash, Bytes>,
}

impl BlockTrace {
    /// The code with its sizes, in the order of the digests.
    pub fn used_code(&self) -> Vec<UsedCode> {
        self.code.iter().map(|(digest, code)| UsedCode::new(*digest, code)).collect()
    }
}

/// What is remembered of a block: no bytes of code, which would stay in memory when the code has left.
#[derive(Debug)]
pub struct Remembered {
    /// The identities that it ordered.
    pub identities: BTreeSet<Identity>,
    /// The code that it ran, warm or not, in the order of the digests.
    pub code: Vec<UsedCode>,
}

/// The window as it stands before the block of height `newest + 1`.
#[derive(Clone, Debug)]
pub struct Window {
    /// T: how many blocks are remembered.
    history: u64,
    /// The most bytes of warm code.
    warm_bytes_max: u64,
    newest: Height,
    traces: RedBlackTreeMapSync<Height, Arc<Remembered>>,
    identities: RedBlackTreeMapSync<Identity, Height>,
    code: RedBlackTreeMapSync<Hash, Warm>,
    /// When each warm code was last run, the longest ago first.
    by_use: RedBlackTreeSetSync<(Height, Hash)>,
    /// Bytes of all warm code.
    warm_bytes: u64,
}

/// Code that is warm.
#[derive(Clone, Debug)]
pub struct Warm {
    /// Its bytes.
    pub code: Bytes,
    /// The height that last ran it.
    pub used: Height,
}

/// The code that is warm after the block of height `newest`, by digest, with the height that last ran it and its size.
/// `used` is the code that was run at each of the last T heights, in any order; what is older is not looked at.
///
/// A member that starts, or fetches a state, learns from this which bytes it needs, before it has any.
pub fn warm_code<'a>(
    genesis: &Genesis,
    newest: Height,
    used: impl IntoIterator<Item = (Height, &'a UsedCode)>,
) -> BTreeMap<Hash, (Height, u32)> {
    let oldest = Window::oldest(genesis.history, newest);
    let mut last: BTreeMap<Hash, (Height, u32)> = BTreeMap::new();
    for (height, used) in used.into_iter().filter(|(height, _)| (oldest..=newest).contains(height)) {
        let entry = last.entry(used.digest).or_insert((height, used.bytes));
        *entry = (height, used.bytes).max(*entry);
    }
    let mut by_use: Vec<_> = last.into_iter().collect();
    by_use.sort_unstable_by_key(|(digest, (height, _))| Reverse((*height, *digest)));
    let mut room = u64::from(genesis.limits.warm_code_bytes);
    let fits = |(_, (_, bytes)): &(Hash, (Height, u32))| {
        let left = room.checked_sub((*bytes).into());
        room = left.unwrap_or(room);
        left.is_some()
    };
    by_use.into_iter().take_while(fits).collect()
}

impl Window {
    /// The window of height 0.
    pub fn genesis(history: u64, warm_bytes_max: u64) -> Self {
        Self {
            history,
            warm_bytes_max,
            newest: 0,
            traces: RedBlackTreeMapSync::new_sync(),
            identities: RedBlackTreeMapSync::new_sync(),
            code: RedBlackTreeMapSync::new_sync(),
            by_use: RedBlackTreeSetSync::new_sync(),
            warm_bytes: 0,
        }
    }

    /// The first of the last T heights up to `newest`: what lies before it is forgotten.
    pub const fn oldest(history: u64, newest: Height) -> Height {
        newest.saturating_add(1).saturating_sub(history)
    }

    /// The window after these heights, none of which is before [`Window::oldest`] of `newest`, the last one. `code` has
    /// the bytes of exactly the code that is warm then ([`warm_code`]).
    pub fn restore(
        history: u64,
        warm_bytes_max: u64,
        newest: Height,
        traces: BTreeMap<Height, Remembered>,
        code: BTreeMap<Hash, Warm>,
    ) -> Self {
        let mut window = Self::genesis(history, warm_bytes_max);
        window.newest = newest;
        for (height, trace) in traces {
            window.remember(height, trace);
        }
        for (digest, Warm { code, used }) in code {
            window.warm_up(digest, code, used);
        }
        window
    }

    /// The code that the newest block ran, warm or not, in the order of the digests.
    pub fn newest_used(&self) -> &[UsedCode] {
        self.traces.get(&self.newest).map_or(&[], |trace| &trace.code)
    }

    /// The code that the newest block ran, as far as it is warm.
    pub fn newest_code(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.newest_used().iter().filter_map(|used| Some((&used.digest, self.warm(&used.digest)?)))
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

    /// The height that last ran the code with this digest, if it is warm.
    pub fn warm_since(&self, digest: &Hash) -> Option<Height> {
        self.code.get(digest).map(|warm| warm.used)
    }

    /// All warm code.
    pub fn warm_code(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.code.iter().map(|(digest, warm)| (digest, &warm.code))
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
        self.remember(height, Remembered { code: trace.used_code(), identities: trace.identities });
        for (digest, code) in trace.code {
            self.cool(&digest);
            self.warm_up(digest, code, height);
        }
        while self.warm_bytes > self.warm_bytes_max
            && let Some((_, digest)) = self.by_use.first().copied()
        {
            self.cool(&digest);
        }
    }

    fn remember(&mut self, height: Height, trace: Remembered) {
        for identity in &trace.identities {
            self.identities.insert_mut(*identity, height);
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
        for UsedCode { digest, .. } in &trace.code {
            if self.warm_since(digest) == Some(height) {
                self.cool(digest);
            }
        }
    }

    /// Code that is not warm becomes warm.
    fn warm_up(&mut self, digest: Hash, code: Bytes, used: Height) {
        self.warm_bytes += code.len() as u64;
        self.by_use.insert_mut((used, digest));
        self.code.insert_mut(digest, Warm { code, used });
    }

    /// Code is not warm any more, if it was.
    fn cool(&mut self, digest: &Hash) {
        let Some(Warm { code, used }) = self.code.get(digest).cloned() else { return };
        self.code.remove_mut(digest);
        self.by_use.remove_mut(&(used, *digest));
        self.warm_bytes -= code.len() as u64;
    }
}
