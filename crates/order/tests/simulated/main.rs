//! Clusters of the engine with a small application, on the deterministic runtime and the simulated network.
//!
//! One program for all of them: the engine is compiled anew for each program that simulates it, which takes minutes.

#[path = "../common/mod.rs"]
mod common;

mod epochs;
mod networks;
mod rest;
mod slow;
mod votes;
