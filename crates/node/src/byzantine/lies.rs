//! What a node says falsely, by kind.

mod told;

use std::fmt;
use std::future::{pending, ready};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::Either;
use pleach_order::Equivocation;

use super::unknown::UnknownByzantine;
use crate::transfer::wire::Answer;

/// How long a leader that is late waits: the others give it up after `Timeouts::leader`, 700 ms, of which building the block and
/// sending it take a part.
const LATE: Duration = Duration::from_millis(600);

/// How a node breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byzantine {
    /// It answers reads with other values than the proof shows.
    Value,
    /// It answers reads with a proof that is damaged.
    Proof,
    /// It signs another root than the certified one.
    Root,
    /// It answers reads as if there were no such records, with the proof of an empty tree.
    Absence,
    /// It answers reads with the value and the proof of another record.
    OtherKey,
    /// It answers reads with the oldest height that it can still prove.
    Stale,
    /// It takes reads and never answers.
    Silent,
    /// Asked for the newest block that it holds, it shows the oldest one that it has the votes for, or one that nobody voted for.
    Newest,
    /// It signs one result to some, and one with another history to others.
    SplitView,
    /// It votes twice in a view.
    Votes,
    /// As a leader it proposes two blocks to two halves of the others.
    Proposals,
    /// As a leader it shows its proposals to one of the others alone.
    Hidden,
    /// As a leader it proposes its block just before the others would give it up.
    Late,
    /// It hands out false parts of a state.
    Transfer,
    /// It accuses the others with forged votes.
    Complaints,
    /// It fills the network with what is no message and with requests that are none.
    Flood,
}

impl Byzantine {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Value,
        Self::Proof,
        Self::Root,
        Self::Absence,
        Self::OtherKey,
        Self::Stale,
        Self::Silent,
        Self::Newest,
        Self::SplitView,
        Self::Votes,
        Self::Proposals,
        Self::Hidden,
        Self::Late,
        Self::Transfer,
        Self::Complaints,
        Self::Flood,
    ];

    /// The name of the kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Proof => "proof",
            Self::Root => "root",
            Self::Absence => "absence",
            Self::OtherKey => "other-key",
            Self::Stale => "stale",
            Self::Silent => "silent",
            Self::Newest => "newest",
            Self::SplitView => "split-view",
            Self::Votes => "votes",
            Self::Proposals => "proposals",
            Self::Hidden => "hidden",
            Self::Late => "late",
            Self::Transfer => "transfer",
            Self::Complaints => "complaints",
            Self::Flood => "flood",
        }
    }

    /// Whether whoever reads from the node sees that it lies.
    #[must_use]
    pub const fn lies_to_readers(self) -> bool {
        matches!(
            self,
            Self::Value
                | Self::Proof
                | Self::Root
                | Self::Absence
                | Self::OtherKey
                | Self::Stale
                | Self::Newest
                | Self::SplitView
        )
    }

    /// What the node does, for people: "it ..".
    #[must_use]
    pub const fn deed(self) -> &'static str {
        match self {
            Self::Value => "answers reads with other values",
            Self::Proof => "answers reads with damaged proofs",
            Self::Root => "signs another root than the certified one",
            Self::Absence => "answers that no record exists",
            Self::OtherKey => "answers reads with the proof of another record",
            Self::Stale => "answers reads with the oldest height that it can prove",
            Self::Silent => "takes reads and never answers",
            Self::Newest => "shows old blocks as the newest, and blocks that nobody voted for",
            Self::SplitView => "signs one history for some, and another for others",
            Self::Votes => "votes for two blocks in each view",
            Self::Proposals => "proposes two blocks to two halves of the others",
            Self::Hidden => "shows its proposals to one of the others alone",
            Self::Late => "proposes each of its blocks as late as the others just still wait for",
            Self::Transfer => "hands out false parts of the state",
            Self::Complaints => "accuses the others with forged votes",
            Self::Flood => "floods the others with junk",
        }
    }

    /// Whether the node signs what convicts it.
    #[must_use]
    pub const fn leaves_proof(self) -> bool {
        matches!(self, Self::Root | Self::SplitView | Self::Votes | Self::Proposals)
    }
}

impl fmt::Display for Byzantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Byzantine {
    type Err = UnknownByzantine;

    fn from_str(name: &str) -> Result<Self, UnknownByzantine> {
        let kind = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        kind.ok_or_else(|| UnknownByzantine::Kind(name.into()))
    }
}

/// How a node behaves. It keeps the rules unless it was made of a [`Byzantine`].
#[derive(Debug)]
pub(crate) struct Manner {
    kind: Option<Byzantine>,
    /// How often it has lied: some lies differ from one to the next.
    count: AtomicU64,
}

impl From<Byzantine> for Manner {
    fn from(kind: Byzantine) -> Self {
        Self { kind: Some(kind), count: AtomicU64::new(0) }
    }
}

impl Manner {
    /// It keeps the rules.
    pub(crate) const fn honest() -> Self {
        Self { kind: None, count: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends when the node has heard a question: never, if it wants to hear none.
    pub(crate) fn hears(&self) -> impl Future<Output = ()> + Send + use<> {
        if self.kind == Some(Byzantine::Silent) { Either::Left(pending()) } else { Either::Right(ready(())) }
    }

    /// What the node does when it is to build a block, on a thread that may wait.
    pub(crate) fn leads(&self) {
        if self.kind == Some(Byzantine::Late) {
            std::thread::sleep(LATE);
        }
    }

    /// What the node hands out instead of a part of a state.
    pub(crate) fn hand_out(&self, mut answer: Answer) -> Answer {
        if let (Some(Byzantine::Transfer), Answer::Part { bytes, .. }) = (self.kind, &mut answer) {
            let mut forged = bytes.to_vec();
            let place = forged.len() / 2;
            if let Some(byte) = forged.get_mut(place) {
                *byte ^= 0xff;
            }
            *bytes = forged.into();
        }
        answer
    }

    /// How the node votes against the rules.
    pub(crate) const fn equivocates(&self) -> Option<Equivocation> {
        match self.kind {
            Some(Byzantine::Votes) => Some(Equivocation::Votes),
            Some(Byzantine::Proposals) => Some(Equivocation::Proposals),
            Some(Byzantine::Hidden) => Some(Equivocation::Hidden),
            _ => None,
        }
    }
}
