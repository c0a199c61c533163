//! States of blocks that may still become final, keyed by digest.
//!
//! A block's state is computed from its parent's, whoever asks first: the proposer of its child, a voter, or
//! the delivery of the final block. Executions run one at a time, so no block is executed twice; look-ups never
//! wait for an execution.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pleach_state::{Applied, OrderedOutcome, State};
use pleach_store::WindowEntry;
use pleach_tree::Tree;
use pleach_types::{Block, Hash, Header, Height, Receipt};

use crate::lock;

/// A block and what it came to.
#[derive(Debug)]
pub struct ExecutedBlock {
    /// The block's header.
    pub header: Header,
    /// Its digest.
    pub digest: Hash,
    /// How many requests the block holds.
    pub requests: u32,
    /// The digests of the requests, by which the pool knows their bytes.
    pub contents: Vec<Hash>,
    /// Its consequences.
    pub applied: Applied,
}

impl ExecutedBlock {
    /// A block that was executed before the last start: its state, and nothing of its consequences.
    pub fn stored(entry: &WindowEntry, state: State) -> Self {
        let (decisions, departed) = (Vec::new(), Vec::new());
        let applied = Applied { state, decisions, receipts: Tree::new(), changes: BTreeMap::new(), departed };
        Self {
            header: entry.header.clone(),
            digest: entry.block(),
            requests: entry.requests,
            contents: Vec::new(),
            applied,
        }
    }

    /// The block's height.
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// The state after the block.
    pub const fn state(&self) -> &State {
        &self.applied.state
    }

    /// The receipts, in the order of the requests.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.applied.decisions.iter().filter_map(|decision| match decision {
            OrderedOutcome::Receipt(receipt) => Some(receipt),
            OrderedOutcome::Void(_) => None,
        })
    }
}

/// The states.
#[derive(Debug)]
pub struct Chain {
    executed: Mutex<BTreeMap<Hash, Arc<ExecutedBlock>>>,
    turn: Mutex<()>,
}

impl Chain {
    /// A chain that knows one final block alone.
    pub fn new(tip: Arc<ExecutedBlock>) -> Self {
        Self { executed: Mutex::new(BTreeMap::from([(tip.digest, tip)])), turn: Mutex::new(()) }
    }

    /// The block with this digest, if it was executed and not yet left behind.
    pub fn get(&self, digest: &Hash) -> Option<Arc<ExecutedBlock>> {
        lock(&self.executed).get(digest).cloned()
    }

    /// The state of `digest`, executing `missing` (its ancestors without a state, oldest first, and the block
    /// itself last) as far as needed. `None` if they do not lead there from a known state, or if one is invalid.
    pub fn reach(
        &self,
        digest: &Hash,
        missing: &[Arc<Block>],
        execute: impl Fn(&State, &Block) -> Option<Applied>,
    ) -> Option<Arc<ExecutedBlock>> {
        let _turn = lock(&self.turn);
        for block in missing {
            let own = block.digest();
            if self.get(&own).is_some() {
                continue;
            }
            let parent = self.get(&block.header.context.parent)?;
            if block.header.height != parent.height() + 1 {
                return None;
            }
            let applied = execute(parent.state(), block)?;
            // Limits keep blocks far below 2^32 requests.
            let requests = u32::try_from(block.requests.len()).unwrap_or(u32::MAX);
            let contents = block.digests().to_vec();
            let executed =
                Arc::new(ExecutedBlock { header: block.header.clone(), digest: own, requests, contents, applied });
            lock(&self.executed).insert(own, executed);
        }
        self.get(digest)
    }

    /// Changes the states of all blocks, and then does `then`: if either fails, no state is changed. No block is executed
    /// meanwhile, and none may be finalized.
    ///
    /// # Errors
    /// Of the first that cannot be changed, or of `then`.
    pub fn rekeep<E: From<C>, C>(
        &self,
        change: impl Fn(&State) -> Result<State, C>,
        then: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _turn = lock(&self.turn);
        let before = lock(&self.executed).clone();
        let changed = before.into_iter().map(|(digest, block)| {
            let applied = Applied { state: change(block.state())?, ..block.applied.clone() };
            let (header, contents) = (block.header.clone(), block.contents.clone());
            Ok((digest, Arc::new(ExecutedBlock { header, digest, requests: block.requests, contents, applied })))
        });
        let changed = changed.collect::<Result<_, C>>()?;
        then()?;
        *lock(&self.executed) = changed;
        Ok(())
    }

    /// Forgets all blocks but this final one, which a state that came from others belongs to.
    pub fn reset(&self, tip: Arc<ExecutedBlock>) {
        let _turn = lock(&self.turn);
        *lock(&self.executed) = BTreeMap::from([(tip.digest, tip)]);
    }

    /// Forgets every block that cannot have the final block `tip` among its ancestors, by height.
    pub fn finalize(&self, tip: &ExecutedBlock) {
        let height = tip.height();
        lock(&self.executed).retain(|digest, block| block.height() > height || *digest == tip.digest);
    }
}
