//! The node's work on records that move: what it adopts next, what it drops, and what it tells.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pleach_order::Network;
use pleach_tree::{Path, Prefix};
use pleach_types::{Encode, PartitionMap, PublicKey};
use tracing::{info, warn};

use super::adopt::{CannotMove, PART_BYTES_MAX, PART_BYTES_MIN};
use super::plan::{self, held};
use super::{CopiesView, DROP_BYTES, MoveJob, PAUSE, TELL};
use crate::core::Node;
use crate::lock;
use crate::transfer::wire::Message;

impl Node {
    /// Tells the others what this node keeps, adopts what it is to keep, and drops what it need not keep any more.
    pub(crate) fn move_records(&self, job: &mut MoveJob, now: Duration, network: &Network) {
        self.tell(now, network);
        if now < job.pause_until {
            return;
        }
        let done = match &mut job.adoption {
            Some(adoption) => adoption.go_on(|asking, height| self.ask_for(asking, height, now, network)),
            None => {
                if self.look_for_moves(job, now) {
                    network.nudge();
                }
                return;
            }
        };
        match done {
            Ok(false) => {}
            Ok(true) => {
                let Some(adoption) = job.adoption.take() else { return };
                // What comes next need not wait for the next turn.
                network.nudge();
                match self.take_over(adoption.into_came()) {
                    Ok(()) => job.part_bytes = job.part_bytes.saturating_mul(2).clamp(PART_BYTES_MIN, PART_BYTES_MAX),
                    Err(why) => self.pause(job, now, &why),
                }
            }
            Err(why) => self.pause(job, now, &why),
        }
    }

    /// A part could not be adopted: perhaps it took so long that what others wrote meanwhile is forgotten. The next one is smaller.
    fn pause(&self, job: &mut MoveJob, now: Duration, why: &dyn std::fmt::Display) {
        warn!(%why, "records that this member is to keep could not be taken over yet; it tries again");
        job.adoption = None;
        if let Some(recorder) = lock(&self.moves.recorder).as_mut() {
            recorder.asked = None;
        }
        job.part_bytes = PART_BYTES_MIN;
        job.pause_until = now + PAUSE;
    }

    /// Begins what is to be done next. Returns whether there is something to go on with at once.
    fn look_for_moves(&self, job: &mut MoveJob, now: Duration) -> bool {
        let state = self.state();
        // One that executes what others did long ago would move what they have moved back since, and ask for heights that they
        // have forgotten.
        if !self.replayed.load(Ordering::Acquire) || *state.committee() != self.members.committee() {
            return false;
        }
        let plan = self.moves.plan(&state, &self.public_key());
        let kept = state.tree().kept();
        let missing: Vec<_> = plan.missing(kept).collect();
        if let Some((prefix, start)) = missing.first().copied() {
            self.record_under(&missing);
            let bytes = job.part_bytes.max(PART_BYTES_MIN);
            // None while no height can be asked for yet.
            job.adoption = self.begin_adoption((prefix, start), bytes).map(Box::new);
            return job.adoption.is_some();
        }
        *lock(&self.moves.recorder) = None;
        self.say_ready(now);
        let mut copies = lock(&self.moves.copies);
        copies.date(now);
        let copies = copies.clone();
        let Some(prefix) = plan.surplus(kept, |keeper, number| copies.says_lately(keeper, number, now)) else {
            return false;
        };
        let dropped = self.drop_some(prefix);
        if let Err(why) = &dropped {
            self.pause(job, now, why);
        }
        dropped.is_ok()
    }

    /// Tells the others what this node keeps on its disk.
    fn tell(&self, now: Duration, network: &Network) {
        let kept = plan::bits(self.members.placed().map(), self.state().tree().kept());
        let mut told = lock(&self.moves.told);
        if told.0 == kept && told.1.is_some_and(|at| now.saturating_sub(at) < TELL) {
            return;
        }
        *told = (kept.clone(), Some(now));
        // What gets lost is told again.
        let _ = network.broadcast(Message::Keeps(kept).encode().into());
    }

    /// Drops some of the records under a prefix that others keep: so many that it does not take long.
    fn drop_some(&self, mut prefix: Prefix) -> Result<(), CannotMove> {
        let _delivered = lock(&self.finality.delivered);
        self.finality.disk.settle()?;
        let before = self.state();
        let snapshot = self.finality.disk.store().at(before.height())?;
        while snapshot.chunk(&prefix, None, DROP_BYTES)?.more
            && let Some([first, _]) = prefix.halves()
        {
            prefix = first;
        }
        let kept = plan::without(before.tree().kept(), &prefix);
        let after = before.with_kept(kept.iter().copied(), None)?;
        let records = before.kept_records().saturating_sub(after.kept_records());
        self.rekeep(&before, after, (&kept, None), BTreeMap::new())?;
        info!(?prefix, records, "records that other members keep now were dropped");
        Ok(())
    }

    /// The other members that have the record at a path, as far as is known: those that have told that they keep its prefix,
    /// and those that are to keep it.
    pub(crate) fn holders(&self, path: &Path) -> Vec<PublicKey> {
        let own = self.public_key();
        let number = self.members.placed().map().prefix_of(path);
        let mut holders = self.moves.keeping(number);
        for member in self.members.keeping(path) {
            if !holders.contains(&member.public_key) {
                holders.push(member.public_key);
            }
        }
        holders.retain(|key| *key != own);
        holders
    }

    /// What this node keeps, and what it has been told that others do.
    pub(crate) fn copies(&self) -> CopiesView {
        let placed = self.members.placed();
        let map: &PartitionMap = placed.map();
        let own = plan::bits(map, self.state().tree().kept());
        let kept = (0..map.prefixes()).filter(|number| held(&own, *number)).count();
        let wanted = map.keepers(0).len();
        let (least, below) = self.moves.fewest(&placed, (&self.public_key(), &own), wanted);
        CopiesView { kept, prefixes: map.prefixes(), wanted, least, below }
    }
}
