//! The ordering engine behind a small interface: blocks go in by vote, one chain of blocks comes out.
//!
//! The total order and its certificates are made by Commonware's *simplex* consensus, its *marshal* (durable,
//! ordered delivery and backfill) and its authenticated peer-to-peer network (docs/design.md section 6). This crate is
//! the only product crate that names them. The rest of Pleach sees [`Application`], [`Network`], [`Config`],
//! [`run`] and [`Running`]: plain types, no generics, no futures.
//!
//! # Protocol
//!
//! Every block names its parent by digest and carries the result of its parent's execution. In each *view* one
//! member leads:
//!
//! 1. the leader builds a block on the newest certified block ([`Application::propose`]) and sends the whole
//!    block to everybody;
//! 2. members that hold the block vote to *notarize* it; 2f + 1 votes notarize;
//! 3. members execute what the block's ancestry says and compare ([`Application::verify`]); those that agree
//!    *certify* the block, move to the next view and vote to *finalize* it; 2f + 1 votes finalize it and its
//!    ancestors, and are the [`Certificate`](pleach_types::Certificate) that clients check;
//! 4. a view without progress is *nullified* after a timeout and the next member leads.
//!
//! Finalized blocks are delivered in height order ([`Application::finalized`]), first those of the node's own
//! archive, then live ones.
//!
//! # What a member signs
//!
//! Votes alone, and each goes through a guard (`guard`) that admits none which excludes another one of this member. Which
//! those are it knows from its journal and, at every start, from the other members (`muster`).
//!
//! # What an application must keep to
//!
//! Whether a block is valid may depend on that block and its ancestry, on nothing else: not on what this node has
//! seen finalized, nor on its clock, pool or disk. A verdict is final. "Not yet" is not a verdict: when ancestors
//! are missing, this crate waits and does not ask the application (a trial that answered from local finality halted for
//! ever in 7 of 20 simulated runs). A leader that cannot build quickly declines, and the next one leads.
//!
//! # What is kept on disk
//!
//! Own votes are synced before they leave, so a restarted node cannot contradict itself; finalized blocks and their
//! certificates are archived until the application needs them no more ([`Application::needed_from`]). At start the
//! application gets those that it does not have. A data directory that was put back from an older copy lacks votes; the member learns of
//! them from the others, and votes in later views (`muster`). It does as well if the directory, or its journals, are gone or
//! are not those that the rest of the directory belongs to, which it notices by itself (`folder`). So that a member
//! which never ran is told from one that lost its data, [`declare_new`] leaves a note where its data will be.
//!
//! # Membership
//!
//! Members change at the ends of *epochs*, which have a fixed length: one engine after another, each with the members that the
//! state after the last block of the epoch before names ([`Application::committee`]). How that goes is in `epochs`.
//!
//! A node whose key is not a member's may *follow* the order: it runs the same engine, which checks and delivers all that is
//! final and signs nothing. So a member on standby is where the others are before it votes.

mod altered;
mod application;
mod block;
mod book;
mod byzantine;
mod certificate;
mod channels;
mod config;
mod delivery;
mod descriptors;
mod disk;
pub mod durable;
mod entrance;
mod epochs;
mod folder;
mod given_up;
mod glue;
mod guard;
mod introduction;
mod leaders;
mod links;
mod machine;
mod muster;
mod network;
mod node;
mod nullified;
mod partitions;
mod refused;
mod rest;
mod running;
mod scheme;
mod schemes;
mod signal;
mod tenure;
mod votes_cast;

pub use application::{Application, ProposalRequest};
#[cfg(feature = "byzantine")]
pub use byzantine::Equivocation;
pub use config::{Bounds, Config, MemberAddress, OrderError, Settings, Timeouts, Voted, VotesFound};
pub use descriptors::descriptors;
pub use disk::{bytes_below, free_bytes};
pub use folder::{declare_new, hand_over, journals};
pub use given_up::{GivenUp, Reason};
pub use links::{Link, Trouble};
pub use network::{Network, SendError};
pub use running::{Running, lacking, run};
pub use votes_cast::VotesCast;

/// The engine's generic side, for the simulator only: the same code as [`run`], on another runtime and network.
pub mod engine {
    pub use crate::block::{EngineBlock, engine_key, engine_public_key};
    pub use crate::certificate::{EngineFinalization, Scheme, from_engine, vote_from_engine};
    pub use crate::channels::{CHANNELS, Channels, Peers, Track};
    pub use crate::given_up::given_up;
    pub use crate::node::{max_message_size, quota, start};
    pub use crate::partitions::partitions;
}
