//! The client library before nodes of this program, whose time is simulated: honest ones, silent ones, and those that lie.
//!
//! One program for all of it: what a client does is compiled anew for each program that does it.

mod support;

mod absence;
mod audit;
mod calls;
mod checkpoint;
mod decisions;
mod evidence;
mod forks;
mod fresh;
mod hostile;
mod large_reads;
mod lifetime;
mod partitions;
mod proofs;
mod rounds;
mod session;
mod sockets;
mod succession;
