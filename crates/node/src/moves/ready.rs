//! The word of a member on standby that it has what it is to keep (docs/design.md section 8).
//!
//! A member on standby follows the order and adopts the prefixes that it would keep among the next members ([`super::plan`]). Once
//! they are on its disk, it says so under its signature, with the root of a height of the window that it has come to itself. The
//! state machine lets it into the next set for that, and so it votes from the next epoch on.
//!
//! What a root shows is that whoever signed follows the chain; that it stores anything nobody can tell from outside, today or later.
//! One that says so and keeps nothing is a faulty member like one that loses its disk the day after: the others keep a record that it
//! was to take over until it *tells* them that it has it ([`super::copies`]), and members that say what is false are among the f that
//! may be faulty. Owners add whom they trust that far.

use std::time::Duration;

use bytes::Bytes;
use pleach_types::{Encode, SystemRequest};
use tracing::{debug, info};

use crate::core::Node;
use crate::lock;
use crate::members::is_on_standby;

/// How long a member waits for its word to be ordered before it gives it again, of a newer height: it may get lost on the way, and
/// the height forgotten.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// Its word names a height that lies this part of the window back: all others have come to it, and none has forgotten it soon.
const BACK_PARTS: u64 = 4;

impl Node {
    /// Says that this node is ready, if it is on standby: it keeps all that it is to keep.
    pub(super) fn say_ready(&self, now: Duration) {
        let state = self.state();
        if !is_on_standby(state.cluster(), &self.public_key()) {
            return;
        }
        let mut said = lock(&self.moves.said_ready);
        if said.is_some_and(|at| now.saturating_sub(at) < SAY_AGAIN) {
            return;
        }
        let known = {
            let recent = lock(&self.finality.recent);
            // A member that is a little behind would drop what names a height that it has not come to.
            let back = self.genesis.window / BACK_PARTS;
            let height = recent.certified().map(|height| height.min(self.finality.disk.durable()).saturating_sub(back));
            height.and_then(|height| Some((height, recent.get(height)?.result.root)))
        };
        let Some((height, root)) = known else { return };
        *said = Some(now);
        let ready = SystemRequest::ready(self.genesis_digest, height, root, &self.secret);
        match self.submit(&Bytes::from(ready.encode())) {
            Ok(_) => {
                info!(height, "this member keeps all that it is to keep: it asks to be let in with the next epoch")
            }
            Err(why) => debug!(height, %why, "this member's request to be let in with the next epoch is not taken yet"),
        }
    }
}
