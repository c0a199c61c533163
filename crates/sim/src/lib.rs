//! Whole clusters in one thread: real nodes, the real engine, real clients; simulated time, network and faults.
//!
//! Everything that is random comes from one seed, and nothing here reads a clock of the machine, so a run that
//! fails fails again: `PLEACH_SEED=7 cargo test -p pleach-sim --test sim cluster::every_seed_keeps_all_promises`.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`cluster`] | members on the deterministic runtime: start, crash, cut off, bring back |
//! | [`access`] | the client's [`Transport`](pleach_client::Transport) and clock, without sockets |
//! | [`SimDisk`] | the disk of a member's store, which loses and tears what was not synced when the power goes |
//! | [`ledger`] | what each member is seen to do, compared with all others at every height |
//! | [`oracle`] | a bank in a map: what should have become of every ordered request |
//! | [`burden`] | what a faulty leader fills its blocks with |
//! | [`bank`] | genesis, keys and calls of the bank that all scenarios use |
//! | `lines` | whom each of two processes with one key reaches |
//! | [`tap`] | the votes that members send, for a judge who looks for two that exclude each other |
//! | [`scenario`] | load and faults of a seed, and the checks at the end |
//!
//! This crate is for tests only: nothing that is released depends on it.

pub mod access;
pub mod bank;
pub mod burden;
pub mod cluster;
mod disk;
pub mod ledger;
mod lines;
pub mod oracle;
pub mod scenario;
pub mod tap;

pub use disk::SimDisk;
