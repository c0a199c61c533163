//! Following the members from epoch to epoch.
//!
//! A client begins with the members that genesis names. What later ones have certified it checks once it has followed the
//! *steps* that lead to them: each set is certified by the one before ([`pleach_verify::TrustAnchor::follow`]). Any node may hand them out,
//! since they prove themselves; so the node is asked whose answer others vouch for, and only when such an answer is there.
//!
//! The members that are known never go back, and what a node makes a client do is bounded: so many steps in an answer, so
//! many answers for one that does not verify.

use futures::StreamExt as _;
use futures::future::{Either, join_all, select};
use futures::stream::FuturesUnordered;
use pleach_types::limits::{PROOF_FILE_STEPS_MAX, SUCCESSION_STEPS_MAX};

use crate::error::{InvalidCause, NodeFailure};
use crate::inner::Inner;
use crate::verifier::Verifier;

/// How often a node is asked for further steps because of one of its answers.
pub(crate) const ROUNDS_MAX: usize = PROOF_FILE_STEPS_MAX / SUCCESSION_STEPS_MAX;

impl Inner {
    /// Checks what a node answered. Where others vouch for it than the members that are known, the node's steps are followed
    /// first. What does not hold then is held against the node.
    pub(crate) async fn check<T>(
        &self,
        node: usize,
        check: impl Fn(&Verifier) -> Result<T, InvalidCause>,
    ) -> Result<T, NodeFailure> {
        // Where there are two histories, neither is chosen, whatever holds.
        if let Some(forked) = self.fork_at(node) {
            return Err(forked);
        }
        let found = self.check_following(node, check).await;
        for (node, what) in self.verifier.take_contradicted() {
            self.nodes.record_invalid(node, what);
        }
        self.fork_at(node).map_or(found, Err)
    }

    async fn check_following<T>(
        &self,
        node: usize,
        check: impl Fn(&Verifier) -> Result<T, InvalidCause>,
    ) -> Result<T, NodeFailure> {
        let mut checked = check(&self.verifier);
        if checked.as_ref().is_err_and(InvalidCause::is_of_others) {
            // Whoever names other members has to show the steps to them. Steps that do not follow may be misbehaviour, or those of another history: before it is held
            // against the node, steps that part from ours are looked for.
            if let Err(failure) = self.follow(node).await {
                if failure.invalid_reply().is_some() {
                    self.look_for_other_steps(node).await;
                }
                return Err(failure);
            }
            checked = check(&self.verifier);
        }
        let what = match checked {
            Ok(found) => return Ok(found),
            Err(what) => what,
        };
        if what.is_of_others() {
            self.look_for_other_steps(node).await;
        } else {
            self.look_for_fork(node, &what).await;
        }
        Err(self.held_against(node, what))
    }

    /// Notes an invalid reply, unless it is known by now that there are two histories: then it may have been the truth of the other one.
    fn held_against(&self, node: usize, what: InvalidCause) -> NodeFailure {
        self.fork_at(node).unwrap_or_else(|| self.nodes.record_invalid(node, what))
    }

    /// Follows a node's steps to the newest members that it shows.
    pub(crate) async fn follow(&self, node: usize) -> Result<(), NodeFailure> {
        for _ in 0..ROUNDS_MAX {
            // While the answer is on its way, other tasks may get to know later members. Its steps go on from these.
            let known = self.verifier.trusted();
            let reply = self.nodes.transport.succession(node, known.since());
            let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
            let newest = known.follow(&reply.steps).map_err(|what| self.nodes.record_invalid(node, what))?;
            let more = reply.steps.len() == SUCCESSION_STEPS_MAX && newest.since() > known.since();
            self.verifier.trust(newest);
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Asks all nodes how the members have changed. Whether this client now knows of others than before.
    pub(crate) async fn catch_up(&self) -> bool {
        let nodes = 0..self.nodes.named();
        join_all(nodes.map(|node| self.follow(node))).await;
        self.learn_members().await
    }

    /// Asks the nodes who they are, where it matters and they have not said so yet. Whether the newest members are others than those
    /// whose map was used before.
    pub(crate) async fn learn_members(&self) -> bool {
        let others = self.keepers.follow(self.verifier.trusted().committee());
        if self.keepers.everywhere() {
            return others;
        }
        let ask = |node| async move {
            let status = self.nodes.transport.status(node);
            let status = self.nodes.reply(node, self.config.reply_timeout, status).await;
            status.map(|status| self.keepers.learn(node, &status.public_key)).is_ok()
        };
        let mut asked: FuturesUnordered<_> = self.keepers.unknown().into_iter().map(ask).collect();
        let mut some = false;
        loop {
            match select(asked.next(), self.nodes.runtime.sleep(self.nodes.late_after(self.config.hedge))).await {
                Either::Left((Some(answered), _)) => some |= answered,
                Either::Left((None, _)) => return others,
                // Those that are silent are asked in vain for what others keep, and that is all.
                Either::Right(_) if some => return others,
                Either::Right(_) => {}
            }
        }
    }

    /// How many nodes are sure to be more than those that may be faulty.
    pub(crate) fn enough(&self) -> usize {
        self.verifier.trusted().committee().faults() + 1
    }

    /// To how many nodes a request is sent at once.
    pub(crate) fn submit_to(&self) -> usize {
        self.config.submit_to.unwrap_or_else(|| self.enough()).max(1)
    }
}
