//! Records move to other members while blocks go on (docs/design.md section 8).
//!
//! Who keeps which prefix of the key space follows from the members ([`PartitionMap`]). As soon as it is decided that others
//! come next, each member knows what it is to keep:
//!
//! ```text
//!   a member leaves: the others that keep its prefixes stay, and one more for each adopts it   (adoption)
//!   a member comes:  it adopts its prefixes while on standby, and says that it has them              ([`ready`])
//!                    who keeps one that it need not keep any more drops it                            (this module)
//! ```
//!
//! *Adopting.* From before the first question on, the member notes down what blocks change under the prefix. It asks those that
//! have the prefix for its records at a height S of its own chain, certified and on its disk, in chunks that prove
//! themselves against the root of S. After some megabytes they are put in, between two blocks: the tree
//! takes their proof, since what it does not hold has not changed since S, and must come to the same root with them; values that blocks
//! wrote since S are those that were noted down; tree, store and the blocks that are not final yet change together. The next part
//! is of the same S for as long as that is well remembered, and of a newer one then. So memory is bounded, a stop loses one part,
//! and nobody's word is taken for anything.
//!
//! *Dropping.* Members tell each other, unasked and unsigned, which prefixes they keep on their disks ([`Copies`]). A prefix
//! that a member need not keep goes only once all that are to keep it have told that they do. One that says so falsely counts as the
//! faulty keeper that it is.
//!
//! Whoever adopts a prefix answers that it does not keep it until it does, and clients ask the others.
//!
//! A transfer of state comes before all of this: a member that is far behind moves nothing.

mod adopt;
mod copies;
mod plan;
mod ready;
mod recorder;
#[cfg(test)]
mod tests;
mod work;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pleach_state::State;
use pleach_types::{Placement, PublicKey};

use crate::chain::ExecutedBlock;
use crate::lock;
use crate::transfer::Adoption;
use crate::transfer::wire::Answer;

use copies::Copies;
use plan::{MovePlan, held};
use recorder::Recorder;

/// How often a member tells the others what it keeps, beside whenever that changes.
const TELL: Duration = Duration::from_secs(5);
/// How long a member waits after a part that could not be adopted.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of records that are dropped at a time.
const DROP_BYTES: usize = 16 << 20;

/// What a node has to do with records that move.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    plan: Mutex<Option<Arc<MovePlan>>>,
    /// What others have told.
    copies: Mutex<Copies>,
    /// Changes under the prefixes that are to be adopted.
    recorder: Mutex<Option<Recorder>>,
    /// What was told last, and when.
    told: Mutex<(Vec<u8>, Option<Duration>)>,
    /// When this node said last that it is ready, if it is on standby.
    said_ready: Mutex<Option<Duration>>,
}

/// How many copies there are of prefixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopiesView {
    /// Prefixes that this node keeps as a whole.
    pub kept: usize,
    /// All prefixes.
    pub prefixes: u32,
    /// Copies that there are to be of each.
    pub wanted: usize,
    /// Copies of the prefix that has fewest, as far as this node has been told.
    pub least: usize,
    /// Prefixes that have fewer than there are to be.
    pub below: usize,
}

/// A step of moving records, between steps of the node's work.
#[derive(Debug, Default)]
pub(crate) struct MoveJob {
    adoption: Option<Box<Adoption>>,
    /// Bytes of the next part.
    part_bytes: usize,
    pause_until: Duration,
}

impl MoveJob {
    /// Takes an answer of another member. Returns how many invalid parts it was: one or none.
    pub(crate) fn receive(&mut self, from: PublicKey, answer: Answer, now: Duration) -> u64 {
        self.adoption.as_mut().map_or(0, |adoption| adoption.receive(from, answer, now))
    }

    /// Gives up what is on its way: a whole state is fetched.
    pub(crate) fn give_up(&mut self) {
        self.adoption = None;
    }
}

impl Moves {
    /// Notes down what a final block changed, as far as that is going to be kept.
    pub(crate) fn note(&self, executed: &ExecutedBlock) {
        let mut recorder = lock(&self.recorder);
        if recorder.as_mut().is_some_and(|recorder| !recorder.note(executed.height(), &executed.applied.changes)) {
            *recorder = None;
        }
    }

    /// Forgets what was noted down: the node goes on from a state of others, and does not execute the blocks in between.
    pub(crate) fn skip(&self) {
        *lock(&self.recorder) = None;
    }

    /// What a node with this key is to keep.
    fn plan(&self, state: &State, own: &PublicKey) -> Arc<MovePlan> {
        let mut plan = lock(&self.plan);
        if let Some(plan) = plan.as_ref().filter(|plan| plan.is_of(state)) {
            return plan.clone();
        }
        let new = Arc::new(MovePlan::new(state, own));
        *plan = Some(new.clone());
        new
    }

    /// What a member tells of the prefixes that it keeps.
    pub(crate) fn hear(&self, from: PublicKey, prefixes: Vec<u8>) {
        lock(&self.copies).hear(from, prefixes);
    }

    /// The members that have told that they keep a prefix.
    pub(crate) fn keeping(&self, number: u32) -> Vec<PublicKey> {
        lock(&self.copies).keeping(number)
    }

    /// How many of the members keep the prefix that has fewest of `wanted` copies, and how many prefixes have fewer. A member
    /// that has told nothing since this node started is taken to keep what it is to keep. `own` is this node, and what it keeps.
    fn fewest(&self, placed: &Placement, own: (&PublicKey, &[u8]), wanted: usize) -> (usize, usize) {
        let copies = lock(&self.copies);
        let counts = (0..placed.map().prefixes()).map(|number| {
            let keeps = |key: &PublicKey| {
                let told = if key == own.0 { Some(held(own.1, number)) } else { copies.says(key, number) };
                told.unwrap_or_else(|| placed.keepers(number).any(|keeper| keeper.public_key == *key))
            };
            placed.members().keys().filter(keeps).count()
        });
        counts.fold((wanted, 0), |(least, short), count| (least.min(count), short + usize::from(count < wanted)))
    }
}
