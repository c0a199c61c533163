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
    heights: u64,
    newest: Height,
    traces: RedBlackTreeMapSync<Height, Arc<Remembered>>,
    identities: RedBlackTreeMapSync<Identity, Height>,
    warm: WarmSet,
    /// The bytes of the code in `warm`.
    code: RedBlackTreeMapSync<Hash, Bytes>,
}

/// Which code is warm, by the rule at the head of the module and nothing else: no bytes.
#[derive(Clone, Debug)]
struct WarmSet {
    /// The most bytes of it.
    bytes_max: u64,
    /// Bytes of all of it.
    bytes: u64,
    /// The height that last ran each, and its size.
    last_use: RedBlackTreeMapSync<Hash, (Height, u32)>,
    /// The longest ago first.
    by_use: RedBlackTreeSetSync<(Height, Hash)>,
}

impl WarmSet {
    fn new(bytes_max: u64) -> Self {
        let (last_use, by_use) = (RedBlackTreeMapSync::new_sync(), RedBlackTreeSetSync::new_sync());
        Self { bytes_max, bytes: 0, last_use, by_use }
    }

    /// Code was run at a height, which is not below any before. Returns what is not warm any more, for want of room.
    fn ran(&mut self, height: Height, code: &[UsedCode]) -> Vec<Hash> {
        for UsedCode { digest, bytes } in code {
            self.cool(digest);
            self.bytes += u64::from(*bytes);
            self.by_use.insert_mut((height, *digest));
            self.last_use.insert_mut(*digest, (height, *bytes));
        }
        let mut crowded_out = Vec::new();
        while self.bytes > self.bytes_max
            && let Some((_, digest)) = self.by_use.first().copied()
        {
            self.cool(&digest);
            crowded_out.push(digest);
        }
        crowded_out
    }

    /// Code is not warm any more, if it was.
    fn cool(&mut self, digest: &Hash) {
        let Some((height, bytes)) = self.last_use.get(digest).copied() else { return };
        self.last_use.remove_mut(digest);
        self.by_use.remove_mut(&(height, *digest));
        self.bytes -= u64::from(bytes);
    }
}

/// The code that is warm after the block of height `newest`, by digest, with the height that last ran it and its size.
/// `used` is the code that was run at each of the last T heights, in ascending order of the heights; what is older is not
/// looked at.
///
/// A member that starts, or fetches a state, learns from this which bytes it needs, before it has any.
pub fn warm_code<'a>(
    genesis: &Genesis,
    newest: Height,
    used: impl IntoIterator<Item = (Height, &'a [UsedCode])>,
) -> BTreeMap<Hash, (Height, u32)> {
    let oldest = Window::oldest(genesis.window, newest);
    let mut warm = WarmSet::new(genesis.limits.warm_code_bytes.into());
    for (height, used) in used.into_iter().filter(|(height, _)| *height >= oldest) {
        warm.ran(height, used);
    }
    warm.last_use.iter().map(|(digest, last)| (*digest, *last)).collect()
}

impl Window {
    /// The window of height 0.
    pub fn genesis(heights: u64, warm_bytes_max: u64) -> Self {
        Self {
            heights,
            newest: 0,
            traces: RedBlackTreeMapSync::new_sync(),
            identities: RedBlackTreeMapSync::new_sync(),
            warm: WarmSet::new(warm_bytes_max),
            code: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// The first of the last T heights up to `newest`: what lies before it is forgotten.
    pub const fn oldest(heights: u64, newest: Height) -> Height {
        newest.saturating_add(1).saturating_sub(heights)
    }

    /// The window after these heights, none of which is before [`Window::oldest`] of `newest`, the last one. `code` has
    /// the bytes of the code that is warm then ([`warm_code`]).
    pub fn restore(
        heights: u64,
        warm_bytes_max: u64,
        newest: Height,
        traces: BTreeMap<Height, Remembered>,
        code: impl IntoIterator<Item = (Hash, Bytes)>,
    ) -> Self {
        let mut window = Self::genesis(heights, warm_bytes_max);
        window.newest = newest;
        for (height, trace) in traces {
            window.remember(height, trace);
        }
        window.code = code.into_iter().collect();
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
        self.code.get(digest)
    }

    /// The height that last ran the code with this digest, if it is warm.
    pub fn warm_since(&self, digest: &Hash) -> Option<Height> {
        self.warm.last_use.get(digest).map(|(height, _)| *height)
    }

    /// All warm code.
    pub fn warm_code(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.code.iter()
    }

    /// The window after the next block.
    pub fn push(&self, trace: BlockTrace) -> Self {
        let mut next = self.clone();
        next.newest += 1;
        let used = trace.used_code();
        trace.code.into_iter().for_each(|(digest, code)| next.code.insert_mut(digest, code));
        // Takes away again what there is no room for.
        next.remember(next.newest, Remembered { identities: trace.identities, code: used });
        if let Some(expired) = next.newest.checked_sub(self.heights) {
            next.forget(expired);
        }
        next
    }

    fn remember(&mut self, height: Height, trace: Remembered) {
        for identity in &trace.identities {
            self.identities.insert_mut(*identity, height);
        }
        for digest in self.warm.ran(height, &trace.code) {
            self.code.remove_mut(&digest);
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
                self.warm.cool(digest);
                self.code.remove_mut(digest);
            }
        }
    }
}
