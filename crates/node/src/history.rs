//! Final heights: what reads, receipts and certificates are served from.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use pleach_state::Decision;
use pleach_types::certificate::ResultProof;
use pleach_types::limits::HEADER_CHAIN_MAX;
use pleach_types::{Certificate, Encode, Hash, Header, Height, Identity, Receipt, Signature};

use crate::chain::Executed;

/// A final block that is still remembered.
#[derive(Debug)]
pub struct Final {
    /// The block and its consequences.
    pub executed: Arc<Executed>,
    /// This node's signature over the height's result, made when first asked for.
    pub signature: OnceLock<Signature>,
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
    /// A history that begins with genesis and keeps `keep` heights.
    pub fn new(genesis: Arc<Executed>, keep: u64) -> Self {
        let mut history = Self { heights: BTreeMap::new(), receipts: BTreeMap::new(), certified: None, keep };
        history.push(genesis, None);
        history
    }

    /// Adds the next final height.
    pub fn push(&mut self, executed: Arc<Executed>, certificate: Option<Certificate>) {
        let height = executed.height();
        for receipt in executed.receipts() {
            self.receipts.insert(receipt.identity, (height, receipt.index));
        }
        if certificate.is_some() {
            // The certificate of a block certifies the result that it carries: its parent's.
            self.certified = height.checked_sub(1);
        }
        let entry = Final { executed, signature: OnceLock::new(), proof: OnceLock::new(), certificate };
        self.heights.insert(height, Arc::new(entry));
        while self.heights.len() as u64 > self.keep {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((height, entry)) = self.heights.pop_first() {
            for receipt in entry.executed.receipts() {
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
        heights.into_iter().flatten().flat_map(|(_, entry)| entry.executed.receipts().map(|receipt| receipt.identity))
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
            headers.push(later.executed.block.header.clone());
            if let Some(certificate) = &later.certificate {
                let proof = ResultProof { headers, certificate: certificate.clone() };
                return Some(entry.proof.get_or_init(|| proof.encode().into()).clone());
            }
        }
        None
    }
}

impl Final {
    /// The receipt of the request at a place in the block, with its encoding and the encoded proof in the receipts
    /// tree.
    pub fn receipt(&self, index: u32) -> Option<(&Receipt, Bytes, Vec<u8>)> {
        let Decision::Receipt(receipt) = self.executed.applied.decisions.get(index as usize)? else { return None };
        let tree = &self.executed.applied.receipts;
        let encoded = tree.get(&receipt.identity.0)?.clone();
        Some((receipt, encoded, tree.prove([receipt.identity.0]).encode()))
    }

    /// The digest of the block.
    pub fn digest(&self) -> Hash {
        self.executed.digest
    }
}
