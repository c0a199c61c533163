//! States of blocks that may still become final, keyed by digest.
//!
//! A block's state is computed from its parent's, whoever asks first: the proposer of its child, a voter, or
//! the delivery of the final block. Executions run one at a time, so no block is executed twice; look-ups never
//! wait for an execution.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pleach_state::{Applied, Decision, State};
use pleach_types::{Block, Hash, Height, Receipt, Verdict};

use crate::lock;

/// A block and what it came to.
#[derive(Debug)]
pub struct Executed {
    /// The block.
    pub block: Arc<Block>,
    /// Its digest.
    pub digest: Hash,
    /// Its consequences.
    pub applied: Applied,
}

impl Executed {
    /// The block's height.
    pub fn height(&self) -> Height {
        self.block.header.height
    }

    /// The state after the block.
    pub const fn state(&self) -> &State {
        &self.applied.state
    }

    /// The receipts, in the order of the requests.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.applied.decisions.iter().filter_map(|decision| match decision {
            Decision::Receipt(receipt) => Some(receipt),
            Decision::Void(_) => None,
        })
    }

    /// How many of the block's requests were applied, refused, void.
    pub fn tally(&self) -> [u64; 3] {
        let mut tally = [0; 3];
        for decision in &self.applied.decisions {
            let slot = match decision {
                Decision::Receipt(receipt) if matches!(receipt.verdict, Verdict::Applied { .. }) => 0,
                Decision::Receipt(_) => 1,
                Decision::Void(_) => 2,
            };
            tally[slot] += 1;
        }
        tally
    }
}

/// The states.
#[derive(Debug)]
pub struct Chain {
    executed: Mutex<BTreeMap<Hash, Arc<Executed>>>,
    turn: Mutex<()>,
}

impl Chain {
    /// A chain that knows the genesis block alone.
    pub fn new(genesis: Arc<Executed>) -> Self {
        Self { executed: Mutex::new(BTreeMap::from([(genesis.digest, genesis)])), turn: Mutex::new(()) }
    }

    /// The block with this digest, if it was executed and not yet left behind.
    pub fn get(&self, digest: &Hash) -> Option<Arc<Executed>> {
        lock(&self.executed).get(digest).cloned()
    }

    /// The state of `digest`, executing `missing` (its ancestors without a state, oldest first, and the block
    /// itself last) as far as needed. `None` if they do not lead there from a known state.
    pub fn reach(
        &self,
        digest: &Hash,
        missing: &[Arc<Block>],
        execute: impl Fn(&State, &Block) -> Applied,
    ) -> Option<Arc<Executed>> {
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
            let applied = execute(parent.state(), block);
            let executed = Arc::new(Executed { block: block.clone(), digest: own, applied });
            lock(&self.executed).insert(own, executed);
        }
        self.get(digest)
    }

    /// Forgets every block that cannot have the final block `tip` among its ancestors, by height.
    pub fn finalize(&self, tip: &Executed) {
        let height = tip.height();
        lock(&self.executed).retain(|digest, block| block.height() > height || *digest == tip.digest);
    }
}
