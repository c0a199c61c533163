//! A node: the ordering engine, the state machine and the HTTP port put together.
//!
//! ```text
//!  HTTP ──► admission ► pool ► propose ┐                 ┌► recent heights ──► reads, receipts
//!               ▲                      ├─ engine ─► chain┤
//!  peers ──► inbox ───────► verify ────┘                 └► pool (forgets what was ordered)
//! ```
//!
//! | module | duty |
//! | --- | --- |
//! | [`core`](Node) | holds the parts and ties them together; above them all, the node as the engine's [`Application`](pleach_order::Application) |
//! | `admission`, `pool` | requests before they are ordered: how they come in and are checked, and how they wait. Knows a state, and no network |
//! | `execution`, `chain` | from blocks to states, and what this node may vote for; the states of blocks that are not final yet, as forks of one persistent state |
//! | `finality`, `recent_heights`, `waiters` | final blocks: snapshots for reads, receipts, certificates, what of them is on the disk, and who waits for news |
//! | [`byzantine`] | nodes that lie, in builds for tests alone |
//! | `evidence` | what was found against members |
//! | `fork` | what this node does when it is shown that the cluster has forked |
//! | `kept` | where both keep their file over restarts |
//! | `disk` | the store: values at a height, and blocks on their way to it |
//! | `transfer` | a state from others, for a member that lost its own or is too far behind, and for them |
//! | `read_through` | records that others keep, for clients that those do not serve |
//! | `resume` | from a store to a node that goes on where it stopped |
//! | `rotation` | a member changes its key, and its node goes on with it |
//! | `turns` | who led, and who missed its turn |
//! | `service`, `service_error` | what clients can ask, without HTTP: the simulator calls it directly; and why it is not answered |
//! | `http` | the service on a TCP port |
//! | `errands` | what serving clients needs of the runtime: the port's, or a simulated one |
//! | `port`, `share`, `carried` | what the port gives to strangers: connections, and bytes on their way |
//! | `health`, `watch` | how the node is doing: the one judgement, and what it is made from |
//! | `busy` | how much of its time the node is busy with requests: by that it shares out blocks |
//! | `process` | what this process takes of the machine |
//! | `descriptors` | how many files may be open, and how many of them are for clients |
//! | `config`, `start_error` | `pleach.toml`; why a node does not start |
//!
//! A part is below `core`, which holds it. What the node does with a part and others stands above `core` (`impl Node`), in a file of its own where
//! it is much: `fork/shown`, `read_through/errand`, `transfer/fetch/work`, `transfer/source/answers`, `moves/work`, `byzantine/*/told`.
//!
//! [`Node`] reads no clock, spawns no thread and touches no file, so the same code runs on real sockets and in the engine's
//! deterministic simulation. (By the clock that [`start`] gives it, it tells how busy it is: in a simulation no work takes any time. It writes evidence where [`start`] has given it a place; a simulation gives none.) [`start`]
//! is the only place where a real runtime appears.
//!
//! Whether the node votes for a block depends on the block and its ancestry alone (`execution`); its pool, its
//! recent heights and its clients never matter there.
//!
//! In memory are the tree's digests of the node's own prefixes and of the window, and the last heights' receipts. Values
//! are in the store, written behind execution, some blocks to a transaction. A restarted node checks its store, replays from
//! the engine's archive what the store does not have yet, then catches up with the others.

mod admission;
mod busy;
pub mod byzantine;
mod carried;
mod chain;
pub mod config;
mod core;
mod descriptors;
mod disk;
mod errands;
mod evidence;
mod execution;
mod finality;
mod fork;
pub mod health;
mod http;
mod kept;
mod lock;
mod members;
mod metrics;
mod moves;
mod openapi;
mod pool;
mod port;
mod process;
mod read_through;
mod recent_heights;
mod resume;
mod rotation;
mod server;
mod service;
mod service_error;
mod share;
mod start_error;
mod transfer;
mod turns;
mod waiters;
mod watch;

pub use admission::batches::Batches;
pub use busy::BusyClock;
pub use config::{ConfigError, NodeConfig};
pub use core::Node;
pub use disk::{Disk, UNWRITTEN_BLOCKS_MAX, UNWRITTEN_BYTES_MAX, Writer, unwritten_bytes};
pub use errands::{CheckedReply, Errands};
pub use evidence::FILE as EVIDENCE_FILE;
pub use fork::{FILE as FORK_FILE, NoFork};
pub use kept::EvidenceError;
use lock::lock;
pub use pleach_order::{OrderError, declare_new, durable};
pub use pool::{Full, Measure, Part};
pub use recent_heights::{READABLE_MIN, READABLE_WRITES_MAX};
pub use resume::{ResumeError, Resumed, resume};
pub use rotation::KeyFiles;
pub use server::{RunningNode, settings, start, start_byzantine, store_dir};
pub use service_error::ServiceError;
pub use start_error::StartError;
