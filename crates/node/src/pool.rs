//! Requests that wait to be ordered.
//!
//! Two stages. The *inbox* holds bytes that other members forwarded, unchecked; they are checked together, with
//! their signatures in one batch, when this node next builds a block. The *pool* holds checked requests in the
//! order of their arrival. Requests leave when a final block ordered them or when their proof has become too
//! old. Everything is bounded; the pool never decides an ordered request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pleach_state::{Prepared, PreparedBlock, State};
use pleach_types::{Hash, Height, Identity, Limits};

/// Requests that may wait, checked or not.
pub const POOL_REQUESTS_MAX: usize = 16_384;
/// Bytes of requests that may wait in each stage.
pub const POOL_BYTES_MAX: usize = 128 << 20;
/// Requests that a block has no room for and that are passed over before it counts as full.
const PASSED_OVER_MAX: usize = 64;
/// Blocks for which the pool remembers what they ordered, so that late copies are not checked again.
const REMEMBERED_BLOCKS: usize = 32;

/// A checked request.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// The bytes, as the client sent them.
    pub bytes: Bytes,
    /// What they say.
    pub prepared: Arc<Prepared>,
    /// The digest of the bytes ([`pleach_types::request::ordered_digest`]).
    content: Hash,
}

/// The two stages, and what was ordered lately.
#[derive(Debug, Default)]
pub struct Pool {
    next: u64,
    arrivals: BTreeMap<u64, Identity>,
    pooled: BTreeMap<Identity, (u64, Pooled)>,
    contents: BTreeMap<Hash, Identity>,
    by_base: BTreeSet<(Height, Identity)>,
    pooled_bytes: usize,
    /// Gas that all of them declare, and their weight.
    pooled_gas: u64,
    pooled_weight: u64,
    inbox: BTreeMap<Hash, Bytes>,
    inbox_bytes: usize,
    ordered: BTreeSet<Hash>,
    ordered_at: BTreeMap<Height, Vec<Hash>>,
}

impl Pool {
    /// Requests that wait in either stage.
    pub fn len(&self) -> usize {
        self.pooled.len() + self.inbox.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pooled.is_empty() && self.inbox.is_empty()
    }

    /// Whether what waits would fill a block.
    pub fn fills_block(&self, limits: &Limits) -> bool {
        let bytes = self.pooled_bytes + self.inbox_bytes;
        let full = self.len() >= limits.block_requests as usize || bytes >= limits.block_bytes as usize;
        full || self.pooled_gas >= limits.block_gas || self.pooled_weight >= limits.block_weight
    }

    /// Whether another request of this size finds room.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.pooled.len() < POOL_REQUESTS_MAX && self.pooled_bytes + bytes <= POOL_BYTES_MAX
    }

    /// Whether a request waits, checked.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.pooled.contains_key(identity)
    }

    /// Whether these very bytes wait or were ordered lately.
    pub fn knows(&self, content: &Hash) -> bool {
        self.contents.contains_key(content) || self.inbox.contains_key(content) || self.ordered.contains(content)
    }

    /// The checked form of these very bytes.
    pub fn prepared(&self, content: &Hash) -> Option<Arc<Prepared>> {
        let (_, pooled) = self.pooled.get(self.contents.get(content)?)?;
        Some(pooled.prepared.clone())
    }

    /// Takes bytes from another member, if they are new and there is room.
    pub fn receive(&mut self, content: Hash, bytes: Bytes) {
        let room = self.inbox.len() < POOL_REQUESTS_MAX && self.inbox_bytes + bytes.len() <= POOL_BYTES_MAX;
        if room && !self.knows(&content) {
            self.inbox_bytes += bytes.len();
            self.inbox.insert(content, bytes);
        }
    }

    /// Empties the inbox.
    pub fn take_inbox(&mut self) -> Vec<(Hash, Bytes)> {
        self.inbox_bytes = 0;
        std::mem::take(&mut self.inbox).into_iter().collect()
    }

    /// Whether one of the last blocks ordered these very bytes.
    pub fn was_ordered(&self, content: &Hash) -> bool {
        self.ordered.contains(content)
    }

    /// Adds a checked request, and says whether it did. Of two with one identity the first stays, unless only the second has
    /// the code with it: the code may turn cold while they wait.
    pub fn add(&mut self, content: Hash, bytes: Bytes, prepared: Arc<Prepared>) -> bool {
        let identity = prepared.identity();
        let code = |prepared: &Prepared| prepared.carried().is_some();
        match self.pooled.get(&identity) {
            Some((_, old)) if code(&old.prepared) || !code(&prepared) => return false,
            Some(_) => self.remove(&identity),
            None if !self.has_room(bytes.len()) => return false,
            None => {}
        }
        self.pooled_bytes += bytes.len();
        self.pooled_gas += prepared.gas();
        self.pooled_weight += prepared.weight();
        self.contents.insert(content, identity);
        self.arrivals.insert(self.next, identity);
        self.by_base.insert((prepared.request().body.base, identity));
        self.pooled.insert(identity, (self.next, Pooled { bytes, prepared, content }));
        self.next += 1;
        true
    }

    /// Requests for a block on top of `state`, oldest first, as many as the budget of a block holds.
    ///
    /// What does not fit is passed over for younger ones that do, but not for ever: it is older in the next block, and the
    /// oldest of all fits an empty block.
    pub fn select(&self, state: &State) -> Vec<Bytes> {
        let limits = &state.cluster_genesis().limits;
        let (mut block, mut selected, mut passed) = (PreparedBlock::default(), Vec::new(), 0);
        for identity in self.arrivals.values() {
            let Some((_, pooled)) = self.pooled.get(identity) else { continue };
            if state.check(&pooled.prepared).is_err() {
                continue;
            }
            // The check of the voters: what they would refuse stays out.
            match block.push(pooled.prepared.clone(), limits) {
                Ok(()) => selected.push(pooled.bytes.clone()),
                Err(_) if passed < PASSED_OVER_MAX => passed += 1,
                Err(_) => break,
            }
        }
        selected
    }

    /// Forgets what a final block ordered, and what can never be ordered after it.
    pub fn finalize(&mut self, state: &State, identities: impl IntoIterator<Item = Identity>, contents: Vec<Hash>) {
        for content in &contents {
            if let Some(bytes) = self.inbox.remove(content) {
                self.inbox_bytes -= bytes.len();
            }
        }
        identities.into_iter().for_each(|identity| self.remove(&identity));
        self.remember(state.height(), contents);
        self.expire(state);
    }

    /// Keeps the contents of the last blocks, so that late copies are known.
    fn remember(&mut self, height: Height, contents: Vec<Hash>) {
        self.ordered.extend(&contents);
        self.ordered_at.insert(height, contents);
        while self.ordered_at.len() > REMEMBERED_BLOCKS {
            for content in self.ordered_at.pop_first().into_iter().flat_map(|(_, contents)| contents) {
                self.ordered.remove(&content);
            }
        }
    }

    /// Drops requests whose proof is older than the window.
    fn expire(&mut self, state: &State) {
        while let Some((base, identity)) = self.by_base.first().copied() {
            if state.height().saturating_sub(base) < state.cluster_genesis().history {
                break;
            }
            self.remove(&identity);
        }
    }

    fn remove(&mut self, identity: &Identity) {
        if let Some((arrival, pooled)) = self.pooled.remove(identity) {
            self.arrivals.remove(&arrival);
            self.contents.remove(&pooled.content);
            self.by_base.remove(&(pooled.prepared.request().body.base, *identity));
            self.pooled_bytes -= pooled.bytes.len();
            self.pooled_gas -= pooled.prepared.gas();
            self.pooled_weight -= pooled.prepared.weight();
        }
    }
}
