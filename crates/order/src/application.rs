//! What the order is about: the application that is replicated.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pleach_types::api::Voting;
use pleach_types::vote::Round;
use pleach_types::{Block, Certificate, Committee, Context, Evidence, Hash, Height, Member, PublicKey};

#[cfg(feature = "byzantine")]
use crate::byzantine::Equivocation;
use crate::network::Network;

/// What a leader is asked to build on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalRequest {
    /// The context that the block's header must carry unchanged. `context.parent` is the parent's digest.
    pub context: Context,
    /// The height of the block to build: the parent's plus one.
    pub height: Height,
}

/// The replicated application: it builds, checks and executes blocks. `pleach-node` is one.
///
/// All methods are synchronous. Those that may execute requests (`propose`, `verify`, `finalized`) run on threads
/// where blocking is allowed, and several may run at once: `verify` of one block beside `finalized` of another. The other
/// methods run on the engine's workers and must return within microseconds.
///
/// A panic in any of them stops the engine, as a failing disk does: an ordered block that makes the application
/// panic makes every member panic. So execution must be total.
pub trait Application: Send + Sync + 'static {
    /// Hands over the means to reach the other members. Called once, before [`run`](crate::run) returns and before any other method but
    /// [`Application::height`] and [`Application::committee`].
    fn start(&self, network: Network);

    /// The newest height whose block the application has already, from an earlier run: delivery goes on with the next. Asked
    /// once, at the start.
    fn height(&self) -> Height {
        0
    }

    /// The members of an epoch, if the state of this application says who they are: asked for the epoch of the height after
    /// [`Application::height`] at the start and when the application has fetched a state, and for the next epoch when the last
    /// block of one has been [`Application::finalized`]. All correct members must answer alike.
    fn committee(&self, epoch: u64) -> Option<Committee>;

    /// Those beside the members who follow the order and do not vote, members on standby above all: as they were when the epoch began whose members
    /// [`Application::committee`] names, or when this application was started within it. They are let into the network, and nothing
    /// more: whom this names beside the members decides nothing, so members may differ in it.
    fn standby(&self) -> Vec<Member> {
        Vec::new()
    }

    /// Why this application can execute no block above [`Application::height`], if that is so: the engine ends with
    /// [`OrderError::Halted`](crate::OrderError::Halted) then, before it delivers another one. Asked at the start and after each block.
    fn cannot_go_on(&self) -> Option<String> {
        None
    }

    /// Whether this node goes on in an epoch in which its key is not a member's: it follows the order then, and does not vote. If
    /// not, it ends with [`OrderError::Removed`](crate::OrderError::Removed), or [`OrderError::Rotated`](crate::OrderError::Rotated). Asked at the start and at the beginning of each epoch.
    fn follows(&self) -> bool {
        false
    }

    /// Whether a member of the present epoch was convicted and leaves when the epoch ends: as a leader it is waited for no longer than
    /// a moment, where that is true of no more members than may be faulty. Members may differ in it for some time. It must be cheap: it is asked at the beginning of each view.
    fn convicted(&self, _member: &PublicKey) -> bool {
        false
    }

    /// How this member votes against the rules, if it does. Asked at the start.
    #[cfg(feature = "byzantine")]
    fn equivocates(&self) -> Option<Equivocation> {
        None
    }

    /// The newest members of whom this application has proof, and the first epoch in which they are in force: also where its own
    /// state is far behind, or gone. A member that has lost its votes asks them which rounds are over. It must be cheap.
    fn newest_members(&self) -> Option<(u64, Committee)> {
        None
    }

    /// The oldest height whose block is still needed: by this application after a crash, or by members that lag. What
    /// lies below may be dropped from the archive. It must never be above what the application has made durable.
    fn needed_from(&self) -> Height {
        0
    }

    /// Whether the state *after* the block with this digest can be had without executing further ancestors: the block is
    /// genesis, or was executed and its state is still kept.
    ///
    /// The engine walks from a block's parent towards genesis until this says `true`, and passes what it met on the way as
    /// `missing`. States of the last finalized block and of all blocks above it must be kept once executed, or
    /// they are executed again.
    fn knows(&self, block: &Hash) -> bool;

    /// Whether there is a reason to build a block on `parent` at once: requests are waiting, or requests that are already
    /// ordered (`parent` carries some) need one more block to have their result certified.
    ///
    /// If not, the leader waits up to [`Timeouts::idle`](crate::Timeouts::idle) for [`Network::wake`] and then builds an empty block; and
    /// where the newest final block is such a `parent`, time goes slowly for consensus ([`Timeouts::rest`](crate::Timeouts::rest)). It must be cheap: it
    /// is asked again at every wake-up.
    fn wants_block(&self, parent: &Block) -> bool;

    /// Whether what waits to be ordered is worth a block on `parent` at once: then the leader builds it without keeping the
    /// [pace](crate::Timeouts::pace). It must be cheap: it is asked again at every wake-up.
    fn is_worth_a_block(&self, _parent: &Block) -> bool {
        false
    }

    /// Builds the block of `proposal`: its header carries `proposal.context` and `proposal.height` unchanged and the
    /// result of the parent, computed from the parent's ancestry alone.
    ///
    /// `missing` holds the ancestors whose state is not known yet, oldest first, ending with the parent; it is empty if
    /// the parent's state is known. [`Application::finalized`] may have executed some of them meanwhile.
    ///
    /// `None` declines, and the next member leads at once: better than building late. The length of `missing` alone must
    /// not be a reason: if every member declines for it after a power cut, nobody ever leads.
    fn propose(&self, proposal: &ProposalRequest, missing: &[Arc<Block>]) -> Option<Block>;

    /// Whether `block` is valid: well formed for its height and limits, and its result is that of its parent.
    /// The verdict is permanent and depends on the block and its ancestry alone.
    ///
    /// The engine has checked the height, the parent's digest and the context. `missing` is as for
    /// [`Application::propose`]. Every correct member must answer alike; the engine never asks while ancestors are missing.
    fn verify(&self, block: &Arc<Block>, missing: &[Arc<Block>]) -> bool;

    /// The next finalized block, in height order without gaps, each height once per process: at start those of the node's own
    /// archive from the one after [`Application::height`] on, then live ones. The next is delivered only after this returns.
    ///
    /// `certificate` is the finalization of this very block. It is `None` if the block became final through a
    /// descendant: then the descendant's certificate and the digests that link them are the proof.
    fn finalized(&self, block: Arc<Block>, certificate: Option<Certificate>);

    /// All blocks that this member had acknowledged before its last stop have been given to
    /// [`Application::finalized`] again, and the member now takes part. Called once.
    fn replayed(&self) {}

    /// Does what takes long and belongs to no block, on a thread where blocking is allowed: called about five times a
    /// second and soon after [`Network::nudge`], never twice at once. `now` is the time since the engine started.
    fn work(&self, _now: Duration) {}

    /// This member's votes are lost ([`VotesFound::Lost`](crate::VotesFound::Lost)), so it takes part only from a finalization of `round` or later on.
    /// The application has to come by the state below such a block, and then call [`Network::set_start_point`]; no block is
    /// delivered before.
    fn rejoin(&self, _round: Round) {}

    /// How this member stands with its votes, whenever that changes. It must be cheap.
    fn voting(&self, _state: Voting) {}

    /// A member signed two votes that exclude each other, as `evidence` shows to anybody. The same member may be told of again,
    /// with the same evidence or with other. It must be cheap: hand the evidence on.
    fn evidence(&self, _evidence: Evidence) {}

    /// A message that the member `from` sent with [`Network::broadcast`] or [`Network::send`]. The sender is
    /// authenticated, the content is not trusted. It must be cheap: hand the message on.
    fn received(&self, from: PublicKey, message: Bytes);
}
