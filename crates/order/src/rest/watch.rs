//! When the cluster is at rest, as this member sees it.

use std::sync::Arc;

use commonware_macros::select;
use commonware_runtime::Clock;
use pleach_types::Block;

use super::ConsensusClock;
use crate::Application;
use crate::delivery::DeliveryProgress;
use crate::signal::Signal;

/// What tells whether there is something to order.
pub(crate) struct RestWatch {
    pub(crate) rest: Arc<ConsensusClock>,
    pub(crate) app: Arc<dyn Application>,
    pub(crate) progress: Arc<DeliveryProgress>,
    /// [`Network::wake`](crate::Network::wake).
    pub(crate) wake: Arc<Signal>,
}

impl RestWatch {
    /// Has time go slowly whenever nothing is to be ordered, for ever.
    pub(crate) async fn keep(self, clock: impl Clock) {
        loop {
            // After a start and after each rest one block is made at full speed at least.
            self.progress.delivered.above(self.progress.delivered.get()).await;
            // Before the questions: what comes while they are answered ends the rest.
            let (woken, stirred) = (self.wake.get(), self.rest.stirred.get());
            if !self.may_rest() {
                continue;
            }
            self.rest.go(clock.current(), true);
            select! {
                () = self.wake.above(woken) => {},
                () = self.rest.stirred.above(stirred) => {},
                () = self.busy(&clock) => {},
            }
            self.rest.go(clock.current(), false);
        }
    }

    /// Waits until a block is executed after which a member may not rest, or none has been for too long.
    async fn busy(&self, clock: &impl Clock) {
        loop {
            let height = self.progress.delivered.get();
            select! {
                () = clock.sleep(self.rest.still) => return,
                () = self.progress.delivered.above(height) => {},
            }
            if !self.may_rest() {
                return;
            }
        }
    }

    /// Whether all that is known to be final is executed, and nothing is to follow it at once.
    fn may_rest(&self) -> bool {
        let wanted = |block: &Arc<Block>| block.header.height != self.progress.tip.get() || self.app.wants_block(block);
        self.progress.newest_block().is_some_and(|block| !wanted(&block))
    }
}
