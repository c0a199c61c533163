//! The side that fetches: one transfer at a time, driven by [`Node::work`](crate::Node), in the steps of the head of `transfer`.
//!
//! ```text
//! stands still, or has lost its votes ─► offers ─► begin: window entries, peaks, edges and first chunks are wanted
//!                                                    │ entries, newest first, each checked under the one above
//!                                                    ▼
//! blocks, from S + 1 on ◄─ arrive ◄─ finish ◄─ all entries are there: code and written paths are wanted too
//! ```
//!
//! - A member that is behind by fewer heights than others keep goes on block by block, and begins nothing here. One whose votes are lost fetches
//!   in any case: it may vote only above the round that `order` names, and needs the state there.
//! - Each chunk tells where the next one of its prefix begins. So the records of one prefix come one after the other, those of several at once.
//! - What does not hold costs its sender its part in this transfer (`exclude`) and the transfer nothing. A transfer fails if nobody
//!   is left who could have an item, or if the own store fails; what was staged is dropped, and the next one begins at a newer height.
//! - `finish` makes the fetched state the stored one in one transaction; until then, the old one is served and a crash loses nothing.

mod work;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use pleach_store::{Staging, WindowEntry};
use pleach_tree::{OutlineNode, Path, Prefix, VerifiedProof};
use pleach_types::history::Peaks;
use pleach_types::vote::Round;
use pleach_types::{Hash, Height, PublicKey};
use pleach_verify::state::Offer;

use super::asking::Asking;
use super::failure::TransferFailure;
use super::inbox::MemberInbox;
use super::offers::Offers;
use super::wire::Answer;
use crate::lock;
use crate::moves::MoveJob;

/// How often others are asked for offers.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long this member may stand still before it asks whether the others are far ahead.
const STALL_WAIT: Duration = Duration::from_secs(3);
/// How often the log tells how far a transfer is.
const TELL: Duration = Duration::from_secs(2);

/// What a node has to do with states of others.
#[derive(Default)]
pub(crate) struct Fetch {
    answers: Mutex<Answers>,
    /// Taken by whoever works, one at a time.
    job: Mutex<FetchJob>,
    /// The least view of a certificate to go on from: set if this member's votes are lost.
    rejoin: Mutex<Option<Round>>,
    /// Bytes of the items that have come and items that are left, while a transfer is going on.
    progress: Mutex<Option<(u64, usize)>>,
    /// Items that others sent and that were not what is certified.
    pub(crate) invalid_parts: AtomicU64,
}

/// Answers that wait. Only what was asked for gets in, so no member can keep out what another one answers.
#[derive(Default)]
struct Answers {
    offers: MemberInbox<Answer>,
    parts: MemberInbox<Answer>,
    /// How many parts each member owes.
    owed: BTreeMap<PublicKey, usize>,
}

#[derive(Default)]
struct FetchJob {
    /// The height at which this member was seen last, and since when.
    seen: (Height, Duration),
    asked: Option<Duration>,
    offers: Offers<Offer>,
    /// Transfers that have failed since one was complete.
    failed: usize,
    transfer: Option<Box<StateTransfer>>,
    /// Single prefixes that move.
    moves: MoveJob,
}

impl Fetch {
    /// Queues an answer. Cheap.
    pub(crate) fn answer(&self, from: PublicKey, answer: Answer) {
        let Answers { offers, parts, owed } = &mut *lock(&self.answers);
        match answer {
            Answer::Offer { .. } => offers.push(from, answer, 1),
            answer => parts.push(from, answer, owed.get(&from).copied().unwrap_or(0)),
        }
    }

    fn answers(&self) -> impl Iterator<Item = (PublicKey, Answer)> {
        let Answers { offers, parts, .. } = &mut *lock(&self.answers);
        offers.take().into_iter().chain(parts.take())
    }

    /// The votes of this member are lost: it needs a state below a certificate of this round or a later one.
    pub(crate) fn rejoin(&self, round: Round) {
        *lock(&self.rejoin) = Some(round);
    }

    /// Whether a transfer is going on, and how far it is: bytes so far and items still to come.
    pub(crate) fn progress(&self) -> Option<(u64, usize)> {
        *lock(&self.progress)
    }
}

/// A state on its way.
struct StateTransfer {
    target: Offer,
    oldest: Height,
    kept: Vec<Prefix>,
    staging: Staging,
    asking: Asking,
    /// Why this member's own store cannot take what came.
    failed: Option<TransferFailure>,
    /// Checked entries, without a gap up to the target.
    entries: BTreeMap<Height, WindowEntry>,
    code: BTreeMap<Hash, Bytes>,
    /// The results of all heights before the target's.
    peaks: Peaks,
    /// The groups of written paths, once all entries are there.
    written: Vec<Vec<Path>>,
    proofs: Vec<VerifiedProof>,
    /// The tree's leaves of the kept records.
    parts: BTreeMap<Prefix, OutlineNode>,
    /// The value of the record of the cluster, which is among them.
    cluster: Option<Bytes>,
    bytes: u64,
    /// Items that were not what is certified, since last counted.
    invalid_parts: u64,
    told: Duration,
}
