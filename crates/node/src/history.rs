//! Final heights: what reads, receipts and certificates are served from.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use pleach_state::State;
use pleach_store::WindowEntry;
use pleach_tree::{Path, Tree};
use pleach_types::certificate::ResultProof;
use pleach_types::limits::HEADER_CHAIN_MAX;
use pleach_types::receipt::receipts_tree;
use pleach_types::{BlockResult, Certificate, Encode, Hash, Header, Height, Identity, Receipt, Signature, Verdict};

use crate::chain::Executed;

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
    /// The state after it: `None` for heights from before the last start, which have receipts only.
    pub state: Option<State>,
    /// This node's signature over the height's result, made when first asked for.
    pub signature: OnceLock<Signature>,
    /// In the order of the requests.
    receipts: Vec<Receipt>,
    /// From identity to encoded receipt.
    tree: Tree,
    /// The encoded proof that the height's result is certified, made when first asked for.
    proof: OnceLock<Bytes>,
    certificate: Option<Certificate>,
}

/// The last final heights.
#[derive(Debug)]
pub struct History {
    heights: BTreeMap<Height, Arc<Final>>,
    /// Where each request was decided: the height, and the place in its block.
    receipts: BTreeMap<Identity, (Height, u32)>,
    certified: Option<Height>,
    keep: u64,
}

impl History {
    /// An empty history, which will keep `keep` heights.
    pub const fn new(keep: u64) -> Self {
        Self { heights: BTreeMap::new(), receipts: BTreeMap::new(), certified: None, keep }
    }

    /// Adds the next final height.
    pub fn push(&mut self, entry: Final) {
        let height = entry.header.height;
        self.receipts.extend(entry.receipts.iter().map(|receipt| (receipt.identity, (height, receipt.index))));
        if entry.certificate.is_some() {
            // The certificate of a block certifies the result that it carries: its parent's.
            self.certified = height.checked_sub(1);
        }
        self.heights.insert(height, Arc::new(entry));
        while self.heights.len() as u64 > self.keep {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((height, entry)) = self.heights.pop_first() {
            for receipt in &entry.receipts {
                // A later height cannot hold the same identity while this one is in the window.
                if self.receipts.get(&receipt.identity).is_some_and(|(found, _)| *found == height) {
                    self.receipts.remove(&receipt.identity);
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
        let readable = |entry: &&Arc<Final>| entry.state.is_some();
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
        heights.into_iter().flatten().flat_map(|(_, entry)| entry.receipts.iter().map(|receipt| receipt.identity))
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
        let mut headers: Vec<Header> = Vec::new();
        for (_, later) in self.heights.range(height.checked_add(1)?..).take(HEADER_CHAIN_MAX) {
            headers.push(later.header.clone());
            if let Some(certificate) = &later.certificate {
                let proof = ResultProof { headers, certificate: certificate.clone() };
                return Some(entry.proof.get_or_init(|| proof.encode().into()).clone());
            }
        }
        None
    }
}

impl Final {
    /// A block that was just executed.
    pub fn executed(executed: &Executed, certificate: Option<Certificate>) -> Self {
        Self {
            header: executed.header.clone(),
            digest: executed.digest,
            result: *executed.state().result(),
            requests: executed.requests,
            state: Some(executed.state().clone()),
            signature: OnceLock::new(),
            receipts: executed.receipts().cloned().collect(),
            tree: executed.applied.receipts.clone(),
            proof: OnceLock::new(),
            certificate,
        }
    }

    /// A height as the store remembers it. `state` is that of the newest one.
    pub fn stored(entry: WindowEntry, state: Option<State>) -> Self {
        Self {
            digest: entry.block(),
            tree: receipts_tree(&entry.receipts),
            header: entry.header,
            result: entry.result,
            requests: entry.requests,
            state,
            signature: OnceLock::new(),
            receipts: entry.receipts,
            proof: OnceLock::new(),
            certificate: entry.certificate,
        }
    }

    /// The certificate of its block, if it has one of its own.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The receipt of the request at a place in the block, with its encoding and the encoded proof in the receipts
    /// tree.
    pub fn receipt(&self, index: u32) -> Option<(&Receipt, Bytes, Vec<u8>)> {
        let place = self.receipts.binary_search_by_key(&index, |receipt| receipt.index).ok()?;
        let receipt = &self.receipts[place];
        let encoded = self.tree.get(&receipt.identity.0)?.clone();
        Some((receipt, encoded, self.tree.prove([receipt.identity.0]).encode()))
    }

    /// The height as the store should remember it.
    pub fn entry(&self, written: Vec<Path>, code: Vec<Hash>) -> WindowEntry {
        WindowEntry {
            result: self.result,
            header: self.header.clone(),
            requests: self.requests,
            written,
            receipts: self.receipts.clone(),
            code,
            certificate: self.certificate.clone(),
        }
    }

    /// How many of the block's requests were applied, refused, void.
    pub fn tally(&self) -> [u64; 3] {
        let applied = self.receipts.iter().filter(|receipt| matches!(receipt.verdict, Verdict::Applied { .. })).count();
        let receipts = self.receipts.len() as u64;
        [applied as u64, receipts - applied as u64, u64::from(self.requests).saturating_sub(receipts)]
    }
}
