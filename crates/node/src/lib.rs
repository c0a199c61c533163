//! A node: the ordering engine, the state machine and the HTTP port put together.
//!
//! ```text
//!  HTTP ──► door ──► pool ──► propose ┐                 ┌► history ──► reads, receipts
//!            ▲                        ├─ engine ─► chain┤
//!  peers ──► inbox ──────► verify ────┘                 └► pool (forgets what was ordered)
//! ```
//!
//! | module | duty |
//! | --- | --- |
//! | [`core`](Node) | the node as the engine's [`Application`](pleach_order::Application): votes, executes, delivers |
//! | `chain` | states of blocks that are not final yet, as forks of one persistent state |
//! | `pool` | requests that wait to be ordered |
//! | `history` | final heights: snapshots for reads, receipts, certificates |
//! | `service` | what clients can ask, without HTTP: the simulator calls it directly |
//! | `http` | the service on a TCP port |
//! | `config` | `pleach.toml` |
//!
//! [`Node`] reads no clock, spawns no thread and touches no file, so the same code runs on real sockets and in
//! the engine's deterministic simulation. [`start`] is the only place where a real runtime appears.
//!
//! Whether the node votes for a block depends on the block and its ancestry alone (`Node::verify`); its pool, its
//! history and its clients never matter there.
//!
//! In this version the state is in memory: a restarted node replays its own archive of final blocks from
//! height 1, then catches up with the others. Nothing is lost by a crash, but start-up takes longer as the
//! chain grows.

mod chain;
pub mod config;
mod core;
mod history;
mod http;
mod metrics;
mod openapi;
mod pool;
mod server;
mod service;
mod waiters;

pub use config::{ConfigError, NodeConfig};
pub use core::Node;
pub use pleach_order::OrderError;
pub use server::{RunningNode, StartError, settings, start};
pub use service::ServiceError;

/// Locks a mutex of ours.
///
/// # Panics
/// If another thread panicked while it held the lock: what it guards may be half changed, and a node that goes on
/// with that could vote for something false.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("another thread panicked while changing this")
}
