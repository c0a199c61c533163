//! From blocks to states. It knows nothing of where requests wait, nor of what becomes of a block that is final.
//!
//! A block is checked by its bytes when it is proposed, and executed when somebody needs the state after it: the proposer of its child, a
//! voter, or the delivery of the final block, whoever is first ([`chain`](crate::chain)). What came of the check is kept in between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use pleach_state::{Applied, BlockFault, Executor, Prepared, PreparedBlock, State, prepare_block};
use pleach_types::{Block, Hash};
use tracing::debug;

use crate::chain::{Chain, ExecutedBlock};
use crate::lock;

/// Blocks that are kept as they were checked, until they are executed. One at a time is proposed; some never become final.
const CHECKED_MAX: usize = 8;

/// The checked forms of requests with these contents, where they wait at this node: nobody checks a request twice.
pub(crate) type Known<'a> = &'a dyn Fn(&[Hash]) -> Vec<Option<Arc<Prepared>>>;

/// The states of blocks, and how they come about. See the head of the module.
pub(crate) struct Execution {
    executor: Arc<dyn Executor>,
    /// The states of blocks that may still become final.
    pub(crate) chain: Chain,
    /// Blocks that are valid by their bytes and were not executed since, the oldest first.
    checked: Mutex<VecDeque<(Hash, Arc<PreparedBlock>)>>,
}

impl Execution {
    /// Goes on from this block, whose state is there. All code that is warm in it is translated first.
    pub(crate) fn new(executor: Arc<dyn Executor>, tip: Arc<ExecutedBlock>) -> Self {
        let execution = Self { executor, chain: Chain::new(tip.clone()), checked: Mutex::default() };
        execution.translate_warm(tip.state());
        execution
    }

    /// Translates all code that is warm in a state of which this node has not executed the blocks. Whoever runs warm code does not pay
    /// for that, so it must not wait until a block runs it: others wait for the vote then.
    pub(crate) fn translate_warm(&self, state: &State) {
        for (digest, code) in state.warm_code() {
            self.executor.prepare(&state.limits(), digest, code);
        }
    }

    /// The block with this digest and the state after it, executing `missing` (its ancestors without a state, oldest first, and the block
    /// itself last) as far as needed. `None` if they do not lead there from a known state, or if one is invalid.
    pub(crate) fn reach(&self, digest: &Hash, missing: &[Arc<Block>], known: Known<'_>) -> Option<Arc<ExecutedBlock>> {
        self.chain.reach(digest, missing, |state, block| self.apply(state, block, known))
    }

    /// The block on which another one may be built: this node knows the state after it, and the rules for the next.
    pub(crate) fn ground(&self, parent: &Hash, missing: &[Arc<Block>], known: Known<'_>) -> Option<Arc<ExecutedBlock>> {
        self.reach(parent, missing, known).filter(|parent| parent.state().terms().are_known())
    }

    /// Whether this node may vote for a block: it carries the result of its parent as this node has it, and is valid by its bytes.
    pub(crate) fn is_valid(&self, block: &Block, missing: &[Arc<Block>], known: Known<'_>) -> bool {
        let Some(parent) = self.ground(&block.header.context.parent, missing, known) else { return false };
        // The cheaper part first: a leader with another result is refused for nothing else.
        *parent.state().result() == block.header.result && self.prepare(parent.state(), block, known).is_some()
    }

    /// The requests of a block in their checked form: from the pool where they wait there, together otherwise. `None` if the
    /// block is invalid by its bytes: such a block does nothing but cost its leader the view.
    fn prepare(&self, parent: &State, block: &Block, known: Known<'_>) -> Option<Arc<PreparedBlock>> {
        let digest = block.digest();
        let of = |checked: &&(Hash, Arc<PreparedBlock>)| checked.0 == digest;
        if let Some((_, prepared)) = lock(&self.checked).iter().find(of) {
            return Some(prepared.clone());
        }
        let prepared =
            prepare_block(&block.requests, known(block.digests()), &parent.limits(), parent.genesis_digest());
        let told = |fault: &BlockFault| {
            let (height, leader) = (block.header.height, block.header.context.leader);
            debug!(height, %leader, %fault, "a proposed block is invalid");
        };
        let prepared = Arc::new(prepared.inspect_err(told).ok()?);
        let mut checked = lock(&self.checked);
        checked.push_back((digest, prepared.clone()));
        // Proposals that never become final are never executed, so nothing else would take them out.
        if checked.len() > CHECKED_MAX {
            checked.pop_front();
        }
        Some(prepared)
    }

    /// What a block comes to, if it is valid by its bytes.
    fn apply(&self, state: &State, block: &Block, known: Known<'_>) -> Option<Applied> {
        let prepared = self.prepare(state, block, known)?;
        let digest = block.digest();
        // No block is executed twice.
        lock(&self.checked).retain(|(of, _)| *of != digest);
        Some(state.apply(&prepared, &block.header.context, &*self.executor))
    }

    /// Stops this node if a quorum has agreed on another result of the block's parent than this node came to.
    ///
    /// Such a node votes for nothing any more, and whatever it answers is refused by clients. Silence is more use.
    ///
    /// # Panics
    /// If the results differ: the engine stops as it does when a disk fails.
    pub(crate) fn check_against_quorum(&self, block: &Block) {
        let Some(parent) = self.chain.get(&block.header.context.parent) else { return };
        let (agreed, own) = (&block.header.result, parent.state().result());
        assert!(
            agreed == own,
            "execution of height {} went wrong here: a quorum came to root {}, this node to {}. Its memory, disk or \
             program is broken; replace what is, then start it again",
            agreed.height,
            agreed.root,
            own.root,
        );
    }
}

#[cfg(test)]
mod tests;
