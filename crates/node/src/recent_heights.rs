//! Final heights: what reads, receipts and certificates are served from.
//!
//! Receipts are the larger part of a height, and what strangers can make large. They are in the store; in memory are those of
//! the newest heights, as many as a bound in bytes allows, and those that the store does not have yet, which are bounded by
//! the store's queue. Of all heights memory holds where each request was decided.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use pleach_state::State;
use pleach_store::WindowEntry;
use pleach_tree::{Path, Tree};
use pleach_types::certificate::ResultProof;
use pleach_types::limits::HEADER_CHAIN_MAX;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Certificate, Encode, Hash, Header, Height, Identity, Receipt, Signature, UsedCode};

use crate::chain::ExecutedBlock;
use crate::lock;

/// A final height that is still remembered.
#[derive(Debug)]
pub struct Final {
    /// The header of its block.
    pub header: Header,
    /// The block's digest.
    pub digest: Hash,
    /// What the height came to.
    pub result: BlockResult,
    /// How many requests the block holds.
    pub requests: u32,
    /// The state after it: `None` for heights from before the last start, and for old ones that would take too much memory.
    state: Mutex<Option<State>>,
    /// Records that its block wrote: what the state adds to the memory of the one before.
    written: usize,
    /// This node's signature over the height's result, made when first asked for.
    pub signature: OnceLock<Signature>,
    /// The requests that have a receipt, with their places in the block.
    decided: Vec<(Identity, u32)>,
    /// How many of them were applied.
    applied: u32,
    /// `None` once the store is the place to look.
    receipts: Mutex<Option<Arc<Receipts>>>,
    /// The encoded proof that the height's result is certified, made when first asked for.
    proof: OnceLock<Bytes>,
    certificate: Option<Certificate>,
}

/// The receipts of a height.
#[derive(Debug)]
pub struct Receipts {
    /// In the order of the requests.
    list: Vec<Receipt>,
    /// From identity to encoded receipt.
    tree: Tree,
    /// About how much memory they take.
    bytes: usize,
}

impl Receipts {
    /// The receipts of a height, in the order of its requests.
    pub fn of(list: Vec<Receipt>) -> Self {
        let tree = receipts_tree(&list);
        Self::new(list, tree)
    }

    fn new(list: Vec<Receipt>, tree: Tree) -> Self {
        // Once as they are and once encoded.
        let bytes = list.iter().map(|receipt| 2 * receipt.encoded_len() + RECEIPT_OVERHEAD).sum();
        Self { list, tree, bytes }
    }

    /// The encoded proof that the receipts tree has no receipt of this request. `None` if it has one.
    pub fn prove_absent(&self, identity: &Identity) -> Option<Vec<u8>> {
        let absent = !self.tree.contains_key(&identity.0);
        absent.then(|| self.tree.prove([identity.0]).encode())
    }

    /// About how much memory they take, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The receipt of the request at a place in the block, with its encoding and the encoded proof in the receipts tree.
    pub fn prove(&self, index: u32) -> Option<(&Receipt, Bytes, Vec<u8>)> {
        let place = self.list.binary_search_by_key(&index, |receipt| receipt.index).ok()?;
        let receipt = &self.list[place];
        let encoded = self.tree.get(&receipt.identity.0)?.clone();
        Some((receipt, encoded, self.tree.prove([receipt.identity.0]).encode()))
    }
}

/// Bytes of receipts that are kept in memory, beside those that the store does not have yet.
const RECEIPTS_BYTES_MAX: usize = 32 << 20;
/// Bytes of memory for a receipt beside its own.
const RECEIPT_OVERHEAD: usize = 300;

/// Writes whose versions of the tree are kept in memory: each copies a path, 2 to 3 kB. Beyond that the oldest heights can no
/// longer be read, although their receipts can. As many as [`READABLE_MIN`] blocks of the default budget write at most.
pub const READABLE_WRITES_MAX: usize = 42_000;
/// Heights that can be read whatever they wrote: a client that has read at one must come to its end.
pub const READABLE_MIN: u64 = 16;

/// The last final heights.
#[derive(Debug)]
pub struct RecentHeights {
    heights: BTreeMap<Height, Arc<Final>>,
    /// Where each request was decided: the height, and the place in its block.
    receipts: BTreeMap<Identity, (Height, u32)>,
    certified: Option<Height>,
    keep: u64,
    /// Heights below this one have no receipts in memory.
    lean_below: Height,
    /// Bytes of receipts in memory.
    receipts_bytes: usize,
    /// The oldest height whose state is kept.
    readable_from: Height,
    /// Records that the heights from there on wrote.
    readable_writes: usize,
}

impl RecentHeights {
    /// None yet; there will be the last `keep` heights.
    pub const fn new(keep: u64) -> Self {
        Self {
            heights: BTreeMap::new(),
            receipts: BTreeMap::new(),
            certified: None,
            keep,
            lean_below: 0,
            receipts_bytes: 0,
            readable_from: 0,
            readable_writes: 0,
        }
    }

    /// Adds the next final height. `durable` is the newest that the store has.
    pub fn push(&mut self, entry: Final, durable: Height) {
        let height = entry.header.height;
        self.receipts.extend(entry.decided.iter().map(|(identity, index)| (*identity, (height, *index))));
        self.receipts_bytes += entry.receipts().map_or(0, |receipts| receipts.bytes);
        if entry.certificate.is_some() {
            // The certificate of a block certifies the result that it carries: its parent's.
            self.certified = height.checked_sub(1);
        }
        self.readable_writes += entry.written;
        self.heights.insert(height, Arc::new(entry));
        while self.heights.len() as u64 > self.keep {
            self.forget_oldest();
        }
        self.thin(height);
        self.slim(durable);
    }

    /// Drops states, the oldest first, down to the bound.
    fn thin(&mut self, newest: Height) {
        while self.readable_writes > READABLE_WRITES_MAX
            && self.readable_from.saturating_add(READABLE_MIN) <= newest
            && let Some((height, entry)) = self.heights.range(self.readable_from..).next()
        {
            lock(&entry.state).take();
            (self.readable_from, self.readable_writes) =
                (height.saturating_add(1), self.readable_writes - entry.written);
        }
    }

    /// Drops receipts that the store has, the oldest first, down to the bound.
    fn slim(&mut self, durable: Height) {
        let lean = self.heights.range(self.lean_below..=durable.max(self.lean_below));
        for (height, entry) in lean {
            if self.receipts_bytes <= RECEIPTS_BYTES_MAX || *height > durable {
                break;
            }
            let dropped = lock(&entry.receipts).take();
            self.receipts_bytes -= dropped.map_or(0, |receipts| receipts.bytes);
            self.lean_below = height.saturating_add(1);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((height, entry)) = self.heights.pop_first() {
            if height >= self.readable_from {
                (self.readable_from, self.readable_writes) =
                    (height.saturating_add(1), self.readable_writes - entry.written);
            }
            self.receipts_bytes -= entry.receipts().map_or(0, |receipts| receipts.bytes);
            for (identity, _) in &entry.decided {
                // A later height cannot hold the same identity while this one is in the window.
                if self.receipts.get(identity).is_some_and(|(found, _)| *found == height) {
                    self.receipts.remove(identity);
                }
            }
        }
    }

    /// The newest height.
    pub fn tip(&self) -> Option<&Arc<Final>> {
        self.heights.values().next_back()
    }

    /// The newest height whose result is certified.
    pub const fn certified(&self) -> Option<Height> {
        self.certified
    }

    /// The oldest height that is remembered.
    pub fn oldest(&self) -> Height {
        self.heights.keys().next().copied().unwrap_or(0)
    }

    /// The oldest height whose records can be read.
    pub fn oldest_readable(&self) -> Height {
        let readable = |entry: &&Arc<Final>| entry.state().is_some();
        self.heights.values().find(readable).map_or(0, |entry| entry.header.height)
    }

    /// A height.
    pub fn get(&self, height: Height) -> Option<&Arc<Final>> {
        self.heights.get(&height)
    }

    /// The height that ordered a request, and the request's place in its block.
    pub fn place_of(&self, identity: &Identity) -> Option<(Height, u32)> {
        self.receipts.get(identity).copied()
    }

    /// The identities whose receipts were certified by the newest final block: those of the heights from `before` (the
    /// newest certified one until then) on.
    pub fn certified_since(&self, before: Option<Height>) -> impl Iterator<Item = Identity> {
        let first = before.map_or(0, |height| height.saturating_add(1));
        let heights = self.certified.filter(|last| first <= *last).map(|last| self.heights.range(first..=last));
        heights.into_iter().flatten().flat_map(|(_, entry)| entry.decided.iter().map(|(identity, _)| *identity))
    }

    /// Heights below `before`, newest first.
    pub fn newest_first(&self, before: Height) -> impl Iterator<Item = &Arc<Final>> {
        self.heights.range(..before).rev().map(|(_, entry)| entry)
    }

    /// The encoded [`ResultProof`] of a height: the headers from its child to the first one that has a
    /// certificate. `None` while there is none.
    pub fn result_proof(&self, height: Height) -> Option<Bytes> {
        let entry = self.heights.get(&height)?;
        if let Some(proof) = entry.proof.get() {
            return Some(proof.clone());
        }
        let proof = self.certified_headers(height, 1)?;
        Some(entry.proof.get_or_init(|| proof.encode().into()).clone())
    }

    /// The certificates of the heights that are remembered, as far as these have some of their own.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.heights.values().filter_map(|entry| entry.certificate().cloned()).collect()
    }

    /// The headers that carry the results of `count` heights from `first` on, under one certificate: more of them where the
    /// last has none of its own, fewer where so many headers lead to none. `None` while not even the first is certified.
    pub fn certified_headers(&self, first: Height, count: usize) -> Option<ResultProof> {
        let mut headers: Vec<Header> = Vec::new();
        let mut certified: Option<(usize, &Certificate)> = None;
        for (_, later) in self.heights.range(first.checked_add(1)?..).take(HEADER_CHAIN_MAX) {
            headers.push(later.header.clone());
            certified = later.certificate.as_ref().map(|certificate| (headers.len(), certificate)).or(certified);
            if certified.is_some_and(|(length, _)| length >= count) {
                break;
            }
        }
        let (length, certificate) = certified?;
        headers.truncate(length);
        Some(ResultProof { headers, certificate: certificate.clone() })
    }
}

impl Final {
    /// A block that was just executed.
    pub fn executed(executed: &ExecutedBlock, certificate: Option<Certificate>) -> Self {
        let receipts = Receipts::new(executed.receipts().cloned().collect(), executed.applied.receipts.clone());
        let (header, result, state) = (&executed.header, *executed.state().result(), Some(executed.state().clone()));
        let of_block =
            Self::new(header.clone(), executed.digest, result, executed.requests, receipts, certificate, state);
        Self { written: executed.applied.changes.len(), ..of_block }
    }

    /// A height as the store remembers it. `state` is that of the newest one.
    pub fn stored(entry: WindowEntry, state: Option<State>) -> Self {
        let digest = entry.block();
        let WindowEntry { header, result, requests, receipts, certificate, .. } = entry;
        Self::new(header, digest, result, requests, Receipts::of(receipts), certificate, state)
    }

    fn new(
        header: Header,
        digest: Hash,
        result: BlockResult,
        requests: u32,
        receipts: Receipts,
        certificate: Option<Certificate>,
        state: Option<State>,
    ) -> Self {
        let applied = receipts.list.iter().filter(|receipt| receipt.refusal().is_none()).count();
        Self {
            header,
            digest,
            result,
            requests,
            state: Mutex::new(state),
            written: 0,
            signature: OnceLock::new(),
            decided: receipts.list.iter().map(|receipt| (receipt.identity, receipt.index)).collect(),
            // At most as many as the block has requests.
            applied: u32::try_from(applied).unwrap_or(u32::MAX),
            receipts: Mutex::new(Some(Arc::new(receipts))),
            proof: OnceLock::new(),
            certificate,
        }
    }

    /// The certificate of its block, if it has one of its own.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Puts another state in its place: the same one, with other prefixes kept.
    pub fn set_state(&self, state: State) {
        *lock(&self.state) = Some(state);
    }

    /// The state after it, as long as it is in memory: a snapshot that is cheap to clone.
    pub fn state(&self) -> Option<State> {
        lock(&self.state).clone()
    }

    /// The receipts, as long as they are in memory.
    pub fn receipts(&self) -> Option<Arc<Receipts>> {
        lock(&self.receipts).clone()
    }

    /// The height as the store should remember it: before it is handed on to the recent heights, with its receipts.
    pub fn entry(&self, written: Vec<Path>, code: Vec<UsedCode>) -> WindowEntry {
        WindowEntry {
            result: self.result,
            header: self.header.clone(),
            requests: self.requests,
            written,
            receipts: self.receipts().map(|receipts| receipts.list.clone()).unwrap_or_default(),
            code,
            certificate: self.certificate.clone(),
        }
    }

    /// How many of the block's requests were applied, refused, void.
    pub fn tally(&self) -> [u64; 3] {
        let (applied, decided) = (u64::from(self.applied), self.decided.len() as u64);
        [applied, decided - applied, u64::from(self.requests).saturating_sub(decided)]
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::{Block, Genesis, Member, SecretKey};

    use super::*;

    fn height(state: &State, height: Height, written: usize) -> Final {
        let header = Header { height, ..Block::genesis(state.cluster_genesis()).header };
        let result = BlockResult { height, ..*state.result() };
        let (receipts, code) = (Vec::new(), Vec::new());
        let entry = WindowEntry { result, header, requests: 0, written: vec![], receipts, code, certificate: None };
        Final { written, ..Final::stored(entry, Some(state.clone())) }
    }

    #[test]
    fn heights_that_wrote_much_are_readable_for_a_shorter_time() {
        let members = vec![Member::new("node", SecretKey::from_seed([1; 32]).public())];
        let state = State::genesis(Genesis::new("recent", members, BTreeMap::new())).unwrap();
        for (written, readable) in [(0, 256), (1_000, 42), (20_000, READABLE_MIN), (READABLE_WRITES_MAX, READABLE_MIN)]
        {
            let mut recent = RecentHeights::new(256);
            for number in 1..=300 {
                recent.push(height(&state, number, written), number);
            }
            assert_eq!(recent.heights.len(), 256, "receipts are kept for as long as ever");
            assert_eq!(300 - recent.oldest_readable() + 1, readable, "{written} records a height");
            let kept = recent.heights.values().filter(|entry| entry.state().is_some()).count() as u64;
            assert_eq!(kept, readable);
            assert_eq!(recent.readable_writes, written * readable as usize);
        }
    }
}
