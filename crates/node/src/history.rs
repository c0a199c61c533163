//! Final heights: what reads, receipts and certificates are served from.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
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
    receipts: BTreeMap<Identity, Height>,
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
            self.receipts.insert(receipt.identity, height);
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
                if self.receipts.get(&receipt.identity) == Some(&height) {
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

    /// The height that ordered a request.
    pub fn height_of(&self, identity: &Identity) -> Option<Height> {
        self.receipts.get(identity).copied()
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
    /// The receipt of a request that this height ordered, with its encoding and the encoded proof in the
    /// receipts tree.
    pub fn receipt(&self, identity: &Identity) -> Option<(&Receipt, Bytes, Vec<u8>)> {
        let receipt = self.executed.receipts().find(|receipt| receipt.identity == *identity)?;
        let tree = &self.executed.applied.receipts;
        let encoded = tree.get(&identity.0)?.clone();
        Some((receipt, encoded, tree.prove([identity.0]).encode()))
    }

    /// The digest of the block.
    pub fn digest(&self) -> Hash {
        self.executed.digest
    }
}
